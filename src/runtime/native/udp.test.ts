import assert from "node:assert/strict";
import { constants } from "node:os";
import { test } from "node:test";
import { Worker } from "node:worker_threads";
import { ADDR_PORT, ECN_ECT0, TX_FLAG_PROBE } from "../../port/udp.js";
import { Peer, pattern, txBatch, udpContract, until } from "../udp.contract.js";
import type { Departure } from "../udp.contract.js";
import { failNextSends, nativeUdp } from "./udp.js";
import { allowedOffload } from "./udp-offload.js";

const { EAGAIN, EIO, EINVAL, ENOBUFS, ENOSYS, EMSGSIZE, EPERM, ECONNREFUSED, ENETUNREACH } = constants.errno;
const EHOSTDOWN = 112;

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

test("a socket that stays without buffers is asked once a millisecond, then gives datagrams up until one leaves", async () => {
  const { a, b, to } = await pair();
  failNextSends(a.socket, ENOBUFS, 11); // two more than are waited for, and a third
  const start = performance.now();
  assert.equal(a.socket.send(txBatch(to([10, 20, 30, 40]))), false);
  const seen = await b.expect(1);
  assert.deepEqual(seen[0]?.bytes, pattern(40, 3));
  assert.ok(performance.now() - start > 4, "it waited");
  assert.equal(a.socket.stats.sendErrors, 3);
  await until(
    () => a.writable === 1,
    () => "not writable",
  );
  failNextSends(a.socket, ENOBUFS, 1);
  assert.equal(a.socket.send(txBatch(to([10]))), false, "one that left starts the patience anew");
  await b.expect(2);
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
  test(`GSO refused with ${name} three times in a row is given up for this socket alone, and nothing is lost`, async () => {
    const { a, b, to } = await pair();
    for (let trains = 1; trains <= 3; trains++) {
      assert.equal(a.socket.rung, "gso+gro");
      failNextSends(a.socket, errno, 1);
      assert.equal(a.socket.send(txBatch(to(EQUAL))), true);
      const seen = await b.expect(40 * trains);
      for (let i = 0; i < 40; i++) assert.deepEqual(seen[40 * trains - 40 + i]?.bytes, pattern(1200, i));
    }
    assert.equal(a.socket.rung, "sendmmsg+gro");
    assert.equal(b.socket.rung, "gso+gro");
    a.socket.send(txBatch(to(EQUAL)));
    await b.expect(160);
    assert.equal(a.socket.stats.sendErrors, 0);
    assert.equal(a.socket.stats.datagramsSent, 160);
    close(a, b);
  });
}

test("a train that leaves between those that are refused keeps GSO", async () => {
  const { a, b, to } = await pair();
  for (let round = 1; round <= 6; round++) {
    if (round !== 3) failNextSends(a.socket, EINVAL, 1);
    a.socket.send(txBatch(to(EQUAL)));
    await b.expect(40 * round);
    assert.equal(a.socket.rung, round < 6 ? "gso+gro" : "sendmmsg+gro");
  }
  close(a, b);
});

test("an error that is not GSO's own does not cost GSO, whatever it is and however often", async () => {
  const { a, b, to } = await pair();
  for (let i = 0; i < 4; i++) {
    failNextSends(a.socket, EINVAL, 2); // the train and its first datagram
    a.socket.send(txBatch(to(EQUAL)));
  }
  await b.expect(4 * 39);
  assert.equal(a.socket.stats.sendErrors, 4);
  for (let i = 0; i < 4; i++) {
    failNextSends(a.socket, EMSGSIZE, 4); // as long as it could be the answer to an earlier datagram
    a.socket.send(txBatch(to(EQUAL)));
  }
  await b.expect(4 * 39 + 4 * 40);
  assert.equal(a.socket.stats.sendErrors, 4);
  for (const errno of [EPERM, EPERM, EPERM, EPERM, EHOSTDOWN, ECONNREFUSED, ENETUNREACH]) {
    const before: number = a.socket.stats.sendErrors;
    failNextSends(a.socket, errno, errno === EPERM ? 1 : 4);
    assert.equal(a.socket.send(txBatch(to(EQUAL))), true);
    assert.equal(a.socket.stats.sendErrors, before + 40, "refused as a whole, and tried as a whole");
  }
  assert.equal(a.socket.rung, "gso+gro");
  close(a, b);
});

test("a batch that the kernel takes in part goes on where it stopped", async () => {
  const { a, b, to } = await pair();
  const sizes = Array.from({ length: 60 }, (_, i) => 100 + ((i * 37) % 600));
  failNextSends(a.socket, 0, 5);
  assert.equal(a.socket.send(txBatch(to(sizes))), true);
  const seen = await b.expect(60);
  for (const [i, n] of sizes.entries()) assert.deepEqual(seen[i]?.bytes, pattern(n, i));
  assert.equal(a.socket.stats.datagramsSent, 60);
  close(a, b);
});

test("without sendmmsg (ENOSYS) each datagram or train goes by itself", async () => {
  const { a, b, to } = await pair();
  failNextSends(a.socket, ENOSYS, 1);
  const sizes = [300, 500, 200, 200, 200, 100, 0, 900];
  a.socket.send(txBatch(to(sizes)));
  const seen = await b.expect(sizes.length);
  for (const [i, n] of sizes.entries()) assert.deepEqual(seen[i]?.bytes, pattern(n, i));
  assert.equal(a.socket.rung, "gso+gro");
  a.socket.close();
  b.socket.close();
});

for (const [offload, rung] of [
  [{}, "gso+gro"],
  [{ gso: false }, "sendmmsg+gro"],
  [{ gro: false }, "gso+recvmmsg"],
  [{ gso: false, gro: false, mmsg: false }, "sendmsg+recvmsg"],
] as const) {
  test(`the rung ${rung} can be asked for and carries everything`, async () => {
    const a = await Peer.open(nativeUdp, { offload });
    const b = await Peer.open(nativeUdp, { offload });
    assert.equal(a.socket.rung, rung);
    const sizes = [...EQUAL, 7, 1200, 1200, 0, 65_507, 3];
    const { port } = b.socket;
    assert.equal(
      a.socket.send(txBatch(sizes.map((n, i) => ({ bytes: pattern(n, i), to: "127.0.0.1", port, ecn: ECN_ECT0 })))),
      true,
    );
    const seen = await b.expect(sizes.length);
    for (const [i, n] of sizes.entries()) {
      assert.deepEqual(seen[i]?.bytes, pattern(n, i));
      assert.equal(seen[i]?.ecn, ECN_ECT0);
    }
    close(a, b);
  });
}

test("NETQUIC_UDP says which rungs may be used; options go before it", () => {
  const all = { gso: true, gro: true, mmsg: true };
  assert.deepEqual(allowedOffload(undefined, {}), all);
  assert.deepEqual(allowedOffload({}, { NETQUIC_UDP: "" }), all);
  const none = { gso: false, gro: false, mmsg: false };
  assert.deepEqual(allowedOffload({}, { NETQUIC_UDP: "no-gso,no-gro,sendmsg" }), none);
  assert.deepEqual(allowedOffload({ gso: true, mmsg: false }, { NETQUIC_UDP: "no-gso" }), { ...all, mmsg: false });
  assert.throws(() => allowedOffload({}, { NETQUIC_UDP: "no-gso, no-gro" }), {
    code: "ERR_INVALID_ARG_VALUE",
    message: 'NETQUIC_UDP="no-gso, no-gro" is no list of no-gso, no-gro, sendmsg',
  });
});

test("RFC 9000 §14.4 a probe leaves alone, and too large a probe is no error", async () => {
  const { a, b, to } = await pair();
  const batch = to([1200, 1200, 1200]);
  (batch[1] as Departure).flags = TX_FLAG_PROBE;
  a.socket.send(txBatch(batch));
  await b.expect(3);
  const tooBig: number[] = [];
  a.onTooBig = (dest, bytes) => tooBig.push(bytes, dest[ADDR_PORT]);
  failNextSends(a.socket, EMSGSIZE, 4);
  a.socket.send(txBatch([batch[1] as Departure]));
  assert.deepEqual(tooBig, [1200, b.socket.port], "told inside send");
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
