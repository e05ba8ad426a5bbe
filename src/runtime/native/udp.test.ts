import assert from "node:assert/strict";
import { constants } from "node:os";
import { test } from "node:test";
import { Worker } from "node:worker_threads";
import { TX_FLAG_PROBE } from "../../port/udp.js";
import { Peer, pattern, txBatch, udpContract, until } from "../udp.contract.js";
import type { Departure } from "../udp.contract.js";
import { failNextSends, nativeUdp } from "./udp.js";

const { EAGAIN, EIO, EINVAL, ENOBUFS, EMSGSIZE, EPERM } = constants.errno;

udpContract(nativeUdp);

async function pair(): Promise<{ a: Peer; b: Peer; to: (sizes: number[]) => Departure[] }> {
  const a = await Peer.open(nativeUdp);
  const b = await Peer.open(nativeUdp);
  const { port } = b.socket;
  return { a, b, to: (sizes) => sizes.map((n, i) => ({ bytes: pattern(n, i), to: "127.0.0.1", port })) };
}

function close(...peers: Peer[]): void {
  for (const peer of peers) peer.socket.close();
}

const EQUAL = new Array<number>(40).fill(1200);

for (const [name, errno] of [
  ["EAGAIN", EAGAIN],
  ["ENOBUFS", ENOBUFS],
] as const) {
  test(`a full socket (${name}) keeps the batch, sends it in order when writable, and says so once`, async () => {
    const { a, b, to } = await pair();
    const sizes = Array.from({ length: 60 }, (_, i) => (i % 3 === 0 ? 1200 : 100 + i));
    failNextSends(a.socket, errno, 3);
    const batch = txBatch(to(sizes));
    assert.equal(a.socket.send(batch), false);
    batch.buf.fill(0);
    batch.rows.fill(0);
    batch.dests.fill(0);
    assert.throws(() => a.socket.send(batch), /onWritable/);
    assert.equal(b.arrivals.length, 0);
    const seen = await b.expect(60);
    for (const [i, n] of sizes.entries()) assert.deepEqual(seen[i]?.bytes, pattern(n, i));
    await until(
      () => a.writable === 1,
      () => "not writable",
    );
    assert.equal(a.socket.stats.sendBlocked, 1);
    assert.equal(a.socket.stats.datagramsSent, 60);
    assert.equal(a.socket.stats.sendErrors, 0);
    assert.equal(a.socket.send(txBatch(to([5]))), true);
    await b.expect(61);
    assert.equal(a.writable, 1);
    close(a, b);
  });
}

test("a socket without buffers for ever gives datagrams up one by one instead of spinning", async () => {
  const { a, b, to } = await pair();
  failNextSends(a.socket, ENOBUFS, 64 * 2);
  assert.equal(a.socket.send(txBatch(to([10, 20, 30]))), false);
  await until(
    () => a.writable === 1,
    () => "not writable",
  );
  const seen = await b.expect(1);
  assert.deepEqual(seen[0]?.bytes, pattern(30, 2));
  assert.equal(a.socket.stats.sendErrors, 2);
  close(a, b);
});

test("closing a blocked socket drops what was kept and calls nothing", async () => {
  const { a, b, to } = await pair();
  failNextSends(a.socket, EAGAIN, 1);
  assert.equal(a.socket.send(txBatch(to([10]))), false);
  a.socket.close();
  await new Promise((resolve) => setTimeout(resolve, 10));
  assert.equal(a.writable + b.arrivals.length, 0);
  close(b);
});

for (const [name, errno] of [
  ["EIO", EIO],
  ["EINVAL", EINVAL],
] as const) {
  test(`GSO refused with ${name} is given up for this socket alone, nothing is lost, and the rung says so`, async () => {
    const { a, b, to } = await pair();
    assert.equal(a.socket.rung, "gso+gro");
    failNextSends(a.socket, errno, 1);
    assert.equal(a.socket.send(txBatch(to(EQUAL))), true);
    const seen = await b.expect(40);
    for (let i = 0; i < 40; i++) assert.deepEqual(seen[i]?.bytes, pattern(1200, i));
    assert.equal(a.socket.rung, "sendmmsg+gro");
    assert.equal(b.socket.rung, "gso+gro");
    a.socket.send(txBatch(to(EQUAL)));
    await b.expect(80);
    assert.equal(a.socket.stats.sendErrors, 0);
    assert.equal(a.socket.stats.datagramsSent, 80);
    close(a, b);
  });
}

test("an error that is not GSO's own does not cost GSO", async () => {
  const { a, b, to } = await pair();
  failNextSends(a.socket, EINVAL, 2); // the train and its first datagram
  a.socket.send(txBatch(to(EQUAL)));
  await b.expect(39);
  assert.equal(a.socket.stats.sendErrors, 1);
  failNextSends(a.socket, EMSGSIZE, 1);
  a.socket.send(txBatch(to(EQUAL)));
  await b.expect(79);
  assert.equal(a.socket.stats.sendErrors, 1);
  assert.equal(a.socket.rung, "gso+gro");
  failNextSends(a.socket, EPERM, 1 + 40);
  assert.equal(a.socket.send(txBatch(to(EQUAL))), true);
  assert.equal(a.socket.stats.sendErrors, 41);
  close(a, b);
});

test("RFC 9000 §14.4 a probe leaves alone, and too large a probe is no error", async () => {
  const { a, b, to } = await pair();
  const batch = to([1200, 1200, 1200]);
  (batch[1] as Departure).flags = TX_FLAG_PROBE;
  a.socket.send(txBatch(batch));
  await b.expect(3);
  failNextSends(a.socket, EMSGSIZE, 1);
  a.socket.send(txBatch([batch[1] as Departure]));
  assert.equal(a.socket.stats.sendErrors, 0);
  close(a, b);
});

test("a datagram leaves from the local address it is told to", async () => {
  const a = await Peer.open(nativeUdp, { address: "0.0.0.0" });
  const six = await Peer.open(nativeUdp, { address: "::" });
  const b = await Peer.open(nativeUdp, { address: "0.0.0.0" });
  const { port } = b.socket;
  a.socket.send(txBatch([{ bytes: pattern(5, 0), to: "127.0.0.1", port, from: "127.0.0.2" }]));
  const [first] = await b.expect(1);
  assert.deepEqual([first?.from, first?.to], ["127.0.0.2", "127.0.0.1"]);
  assert.ok((first?.ifindex ?? 0) > 0);
  six.socket.send(txBatch([{ bytes: pattern(5, 0), to: "127.0.0.9", port, from: "127.0.0.3" }]));
  const seen = await b.expect(2);
  assert.deepEqual([seen[1]?.from, seen[1]?.to], ["127.0.0.3", "127.0.0.9"]);
  close(a, six, b);
});

test("datagrams that the kernel drops for want of room are counted", async () => {
  const a = await Peer.open(nativeUdp);
  const b = await Peer.open(nativeUdp, { receiveBufferBytes: 4096 });
  b.paused = true;
  const sizes = Array.from({ length: 200 }, (_, i) => 500 + i);
  const { port } = b.socket;
  a.socket.send(txBatch(sizes.map((n, i) => ({ bytes: pattern(n, i), to: "127.0.0.1", port }))));
  while (b.take() > 0);
  const before = b.arrivals.length;
  assert.ok(before < 200);
  b.paused = false;
  a.socket.send(txBatch([{ bytes: pattern(1, 1), to: "127.0.0.1", port }])); // brings the counter along
  await b.expect(before + 1);
  assert.equal(b.socket.stats.receiveOverflows, 200 - before);
  close(a, b);
});

test("reusePort lets two sockets share a port", async () => {
  const a = await Peer.open(nativeUdp, { reusePort: true });
  const b = await Peer.open(nativeUdp, { reusePort: true, port: a.socket.port });
  assert.equal(a.socket.port, b.socket.port);
  close(a, b);
});

test("a worker that ends with open and blocked sockets takes them along", async () => {
  const script = `
    import { Peer, txBatch, pattern } from ${JSON.stringify(import.meta.resolve("../udp.contract.js"))};
    import { nativeUdp, failNextSends } from ${JSON.stringify(import.meta.resolve("./udp.js"))};
    import { parentPort } from "node:worker_threads";
    const a = await Peer.open(nativeUdp), b = await Peer.open(nativeUdp);
    const one = txBatch([{ bytes: pattern(5, 1), to: "127.0.0.1", port: b.socket.port }]);
    a.socket.send(one);
    await b.expect(1);
    failNextSends(a.socket, ${EAGAIN}, 1e9);
    a.socket.send(one);
    parentPort.postMessage(b.socket.port);`;
  const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(script)}`));
  const port = await new Promise<number>((resolve, reject) => worker.once("message", resolve).once("error", reject));
  await worker.terminate();
  const again = await Peer.open(nativeUdp, { port });
  close(again);
});
