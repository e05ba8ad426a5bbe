/** ICMP answers and datagrams that the interface does not carry: told, bounded, and never anyone else's error. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { ADDR_PORT, ICMP_PORT_UNREACHABLE, TX_FLAG_PROBE } from "../../port/udp.js";
import { wordsToAddress } from "../address.js";
import { loopTurns, Peer, pattern, txBatch, until } from "../udp.contract.js";
import { nativeUdp } from "./udp.js";

/** What is told of a datagram that an ICMP message quotes. */
const QUOTED_BYTES = 28;

interface Told {
  address: string;
  port: number;
  kind: number;
  mtuBytes: number;
  quoted: number[];
}

function listen(peer: Peer): Told[] {
  const told: Told[] = [];
  peer.onIcmp = (dest, kind, mtuBytes, quoted) =>
    told.push({ address: wordsToAddress(dest, 0), port: dest[ADDR_PORT], kind, mtuBytes, quoted: [...quoted] });
  return told;
}

async function closedPort(address: string): Promise<number> {
  const gone = await Peer.open(nativeUdp, { address });
  const { port } = gone.socket;
  gone.socket.close();
  return port;
}

for (const [own, to] of [
  ["127.0.0.1", "127.0.0.1"],
  ["::1", "::1"],
  ["::", "127.0.0.1"],
  ["::", "::1"],
] as const) {
  test(`a closed port is told as ICMP says it, ${own} to ${to}, and the next datagram leaves all the same`, async () => {
    const a = await Peer.open(nativeUdp, { address: own });
    const b = await Peer.open(nativeUdp, { address: to });
    const told = listen(a);
    const port = await closedPort(to);
    for (let i = 1; i <= 5; i++) {
      a.socket.send(txBatch([{ bytes: pattern(50, i), to, port }]));
      // The error waits on the socket now: neither this send nor the read behind it may meet it.
      a.socket.send(txBatch([{ bytes: pattern(60, i), to, port: b.socket.port }]));
      b.socket.send(txBatch([{ bytes: pattern(70, i), to, port: a.socket.port }]));
      await b.expect(i);
      await a.expect(i);
    }
    await until(
      () => told.length === 5,
      () => `told ${told.length} times`,
    );
    for (const [i, one] of told.entries()) {
      const quoted = [...pattern(50, i + 1).subarray(0, QUOTED_BYTES)];
      assert.deepEqual(one, { address: to, port, kind: ICMP_PORT_UNREACHABLE, mtuBytes: 0, quoted });
    }
    assert.equal(a.socket.stats.sendErrors, 0);
    assert.deepEqual(a.errors, []);
    a.socket.close();
    b.socket.close();
  });
}

test("one batch to closed and open ports: every datagram to an open one arrives", async () => {
  const a = await Peer.open(nativeUdp);
  const b = await Peer.open(nativeUdp);
  const closed = await closedPort("127.0.0.1");
  const ports = Array.from({ length: 60 }, (_, i) => (i % 3 === 0 ? b.socket.port : closed));
  a.socket.send(txBatch(ports.map((port, i) => ({ bytes: pattern(100 + i, i), to: "127.0.0.1", port }))));
  const seen = await b.expect(20);
  for (const [i, { bytes }] of seen.entries()) assert.deepEqual(bytes, pattern(100 + 3 * i, 3 * i));
  assert.equal(a.socket.stats.sendErrors, 0);
  a.socket.close();
  b.socket.close();
});

test("a storm of ICMP answers is a few hints, and an owner that listens to none is not woken for ever", async () => {
  const a = await Peer.open(nativeUdp);
  const deaf = await Peer.open(nativeUdp);
  const told = listen(a);
  const port = await closedPort("127.0.0.1");
  const start = performance.now();
  for (let i = 0; i < 500; i++) {
    const one = txBatch([{ bytes: pattern(20, i), to: "127.0.0.1", port }]);
    a.socket.send(one);
    deaf.socket.send(one);
    if (i % 10 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  await until(
    () => told.length >= 16,
    () => `told ${told.length} times`,
  );
  await new Promise((resolve) => setTimeout(resolve, 5));
  const bound = 16 + ((performance.now() - start) / 1000) * 100;
  assert.ok(told.length <= bound + 1, `${told.length} hints, at most ${bound}`);
  const before = loopTurns();
  await new Promise((resolve) => setTimeout(resolve, 60));
  const turns = loopTurns() - before;
  assert.ok(turns < 100, `${turns} turns of the loop in 60 ms of rest`);
  a.socket.close();
  deaf.socket.close();
});

test("RFC 9000 §14.4 a probe larger than the interface carries is told at once with its size and is no error", async () => {
  for (const [own, to] of [
    ["127.0.0.1", "127.0.0.1"],
    ["::1", "::1"],
    ["::", "127.0.0.1"],
  ] as const) {
    const a = await Peer.open(nativeUdp, { address: own });
    const b = await Peer.open(nativeUdp, { address: to });
    const told: number[][] = [];
    a.onTooBig = (dest, bytes) => told.push([bytes, dest[ADDR_PORT]]);
    const icmp = listen(a);
    const { port } = b.socket;
    // The loopback interface carries 65,536 bytes: more than a UDP payload over IPv4, but not the largest over IPv6.
    const bytes = to === "::1" ? 65_500 : 65_510;
    const probe = { bytes: pattern(bytes, 1), to, port, flags: TX_FLAG_PROBE };
    const small = { bytes: pattern(1200, 2), to, port };
    assert.equal(a.socket.send(txBatch([small, probe, small])), true);
    assert.deepEqual(told, [[bytes, port]]);
    assert.equal(a.socket.stats.sendErrors, 0);
    await b.expect(2);
    a.socket.send(txBatch([{ ...probe, flags: 0 }]));
    assert.deepEqual(told, [
      [bytes, port],
      [bytes, port],
    ]);
    assert.equal(a.socket.stats.sendErrors, 1);
    await new Promise((resolve) => setTimeout(resolve, 5));
    assert.deepEqual(icmp, [], "what this host finds out is no ICMP message");
    a.socket.close();
    b.socket.close();
  }
});

test("a quoted datagram that is shorter is told as it is", async () => {
  const a = await Peer.open(nativeUdp);
  const told = listen(a);
  const port = await closedPort("127.0.0.1");
  a.socket.send(txBatch([{ bytes: pattern(3, 1), to: "127.0.0.1", port }]));
  await until(
    () => told.length === 1,
    () => `told ${told.length} times`,
  );
  assert.deepEqual(told[0]?.quoted, [...pattern(3, 1)]);
  a.socket.close();
});

test("a hint may close the socket", async () => {
  const a = await Peer.open(nativeUdp);
  const port = await closedPort("127.0.0.1");
  let told = 0;
  a.onIcmp = () => {
    told++;
    a.socket.close();
  };
  const one = { bytes: pattern(10, 1), to: "127.0.0.1", port };
  a.socket.send(txBatch([one]));
  a.socket.send(txBatch([one]));
  await until(
    () => told > 0,
    () => "not told",
  );
  await new Promise((resolve) => setTimeout(resolve, 5));
  assert.equal(told, 1);
});
