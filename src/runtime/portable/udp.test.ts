import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { PORTABLE_QUEUE_BYTES, PORTABLE_QUEUE_DATAGRAMS } from "../../proto/limits.js";
import { Peer, pattern, txBatch, udpContract } from "../udp.contract.js";
import { portableUdp } from "./udp.js";

udpContract(portableUdp);

test("the receive queue is bounded in datagrams; what is beyond is dropped and counted", async () => {
  const a = await Peer.open(portableUdp);
  const b = await Peer.open(portableUdp);
  b.paused = true;
  let sent = 0;
  for (; sent < PORTABLE_QUEUE_DATAGRAMS + 100; sent += 50) {
    a.socket.send(
      txBatch(Array.from({ length: 50 }, (_, i) => ({ bytes: pattern(2, i), to: "127.0.0.1", port: b.socket.port }))),
    );
    await new Promise((resolve) => setImmediate(resolve));
    await new Promise((resolve) => setImmediate(resolve));
  }
  while (b.take() > 0);
  assert.equal(b.arrivals.length, PORTABLE_QUEUE_DATAGRAMS);
  assert.equal(b.socket.stats.receiveOverflows, sent - PORTABLE_QUEUE_DATAGRAMS);
  a.socket.close();
  b.socket.close();
});

test("the receive queue is bounded in bytes", async () => {
  const a = await Peer.open(portableUdp);
  const b = await Peer.open(portableUdp);
  b.paused = true;
  const size = 60_000;
  const fit = Math.floor(PORTABLE_QUEUE_BYTES / size);
  const one = txBatch([{ bytes: pattern(size, 1), to: "127.0.0.1", port: b.socket.port }]);
  for (let i = 0; i < fit + 5; i++) {
    a.socket.send(one);
    await new Promise((resolve) => setImmediate(resolve));
    await new Promise((resolve) => setImmediate(resolve));
  }
  while (b.take() > 0);
  assert.equal(b.arrivals.length, fit);
  assert.equal(b.socket.stats.receiveOverflows, 5);
  a.socket.close();
  b.socket.close();
});

test("a batch that libuv queues is back-pressure: false, then onWritable when all of it is out", () => {
  const script = `
    const { portableUdp } = await import(${JSON.stringify(import.meta.resolve("./udp.js"))});
    const { Peer, txBatch, pattern, until } = await import(${JSON.stringify(import.meta.resolve("../udp.contract.js"))});
    const a = await Peer.open(portableUdp), b = await Peer.open(portableUdp);
    const rows = Array.from({ length: 60 }, (_, i) => ({ bytes: pattern(400, i), to: "127.0.0.1", port: b.socket.port }));
    const batch = txBatch(rows);
    const taken = a.socket.send(batch);
    batch.buf.fill(0);
    let refused = false;
    try { a.socket.send(batch); } catch { refused = true; }
    await until(() => a.writable === 1, () => "not writable");
    const seen = await b.expect(60);
    const same = seen.every((d, i) => Buffer.compare(d.bytes, pattern(400, i)) === 0);
    console.log(JSON.stringify({ taken, refused, same, ...a.socket.stats }));
    a.socket.close(); b.socket.close();`;
  // A switch of Node's own tests: sends go through libuv's queue, as they do when the socket buffer is full.
  const args = ["--test-udp-no-try-send", "--input-type=module", "-e", script];
  const child = spawnSync(process.execPath, args, { encoding: "utf8", timeout: 60_000 });
  const { taken, refused, same, datagramsSent, bytesSent, sendBlocked } = JSON.parse(child.stdout || child.stderr);
  assert.deepEqual(
    { taken, refused, same, datagramsSent, bytesSent, sendBlocked },
    { taken: false, refused: true, same: true, datagramsSent: 60, bytesSent: 24_000, sendBlocked: 1 },
  );
});
