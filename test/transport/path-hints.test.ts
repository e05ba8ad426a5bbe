/** What the socket says of sizes, and what the search of the path MTU makes of it. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { ICMP_PORT_UNREACHABLE, ICMP_TOO_BIG, ICMP_UNREACHABLE } from "#src/port/udp.js";
import { STREAM_BIDI } from "#src/port/transport.js";
import { simAddress } from "#src/sim/batches.js";
import { Pair } from "../support/pair.js";

const CARRIES_BYTES = 1300;

/** A client that sends 200 KB over a path that carries 1,300 bytes; `onLost` is called for each datagram that is larger. */
function narrow(onLost: (pair: Pair, bytes: number) => void): { pair: Pair; probes: number[] } {
  const pair = new Pair();
  const probes: number[] = [];
  pair.filter = (fromClient, { length }) => {
    if (!fromClient || length <= CARRIES_BYTES) return true;
    probes.push(length);
    onLost(pair, length);
    return false;
  };
  pair.settle();
  const sent = new Uint8Array(200_000).fill(7);
  const id = pair.clientConn.open(STREAM_BIDI);
  assert.equal(pair.clientConn.write(id, sent, 0, sent.length, true), sent.length);
  const got = new Uint8Array(sent.length);
  let have = 0;
  for (let i = 0; i < 40; i++) {
    pair.advance(1000);
    have += Math.max(0, pair.serverConn?.read(id, got, have, got.length) ?? 0);
  }
  assert.equal(have, sent.length);
  return { pair, probes };
}

/** How packets of the client begin. */
function quote({ clientConn }: Pair): Uint8Array {
  return Uint8Array.of(0x40, ...clientConn.peerIds.current, 1, 2, 3);
}

describe("sizes", () => {
  test("RFC 9000 §14.4 a probe that the interface refuses has failed at once: no size is tried twice", () => {
    const { pair, probes } = narrow((at, bytes) => at.client.onTooBig(at.serverAddress, bytes));
    assert.ok(probes.length > 1);
    assert.equal(new Set(probes).size, probes.length, probes.join());
    const { maxDatagramBytes, mtuProbesLost } = pair.clientConn.stats();
    assert.ok(maxDatagramBytes > CARRIES_BYTES - 16 && maxDatagramBytes <= CARRIES_BYTES, `${maxDatagramBytes}`);
    assert.equal(mtuProbesLost, probes.length);
  });

  test("what is said of another destination, or of a datagram that is no probe, changes nothing", () => {
    const other = simAddress(10, 0, 0, 3, 443);
    const { probes } = narrow((at, bytes) => {
      at.client.onTooBig(other, bytes);
      at.client.onTooBig(at.serverAddress, bytes - 1);
      at.client.onTooBig(at.serverAddress, 1200);
    });
    assert.ok(new Set(probes).size < probes.length, "lost probes are tried again");
  });

  test("RFC 9000 §14.2.1 the MTU that an ICMP message names is tried next, without the headers of IP and UDP", () => {
    const { pair, probes } = narrow((at) =>
      at.client.onIcmp(at.serverAddress, ICMP_TOO_BIG, CARRIES_BYTES + 28, quote(at)),
    );
    assert.equal(pair.clientConn.stats().maxDatagramBytes, CARRIES_BYTES);
    assert.ok(probes.length > 0);
    assert.equal(pair.client.counters.icmpReceived, probes.length);
  });

  test("RFC 9000 §14.2.1 an ICMP message that does not quote a packet of the connection changes nothing", () => {
    const forgeries: ((pair: Pair) => Uint8Array)[] = [
      () => new Uint8Array(0),
      () => Uint8Array.of(0x40),
      (pair) => quote(pair).subarray(0, 8), // the last byte of the id is cut off
      (pair) => quote(pair).map((byte, i) => byte ^ (i === 8 ? 1 : 0)),
      (pair) => quote(pair).map((byte, i) => byte ^ (i === 0 ? 0x80 : 0)), // a long header has its id elsewhere
      () => new Uint8Array(28),
    ];
    for (const forgery of forgeries) {
      const { probes } = narrow((at) =>
        at.client.onIcmp(at.serverAddress, ICMP_TOO_BIG, CARRIES_BYTES + 28, forgery(at)),
      );
      assert.ok(!probes.includes(CARRIES_BYTES) && new Set(probes).size < probes.length, "lost probes are tried again");
    }
    const long = (pair: Pair): Uint8Array => Uint8Array.of(0xc0, 0, 0, 0, 1, 8, ...pair.clientConn.peerIds.current);
    const { pair } = narrow((at) => at.client.onIcmp(at.serverAddress, ICMP_TOO_BIG, CARRIES_BYTES + 28, long(at)));
    assert.equal(pair.clientConn.stats().maxDatagramBytes, CARRIES_BYTES, "a long header does quote it");
  });

  test("RFC 9000 §14.2.1 forged ICMP messages of all kinds neither shrink datagrams nor end the connection", () => {
    const pair = new Pair();
    pair.settle();
    const forge = (): void => {
      for (const mtuBytes of [0, 1, 68, 576, 1227, 65_535])
        pair.client.onIcmp(pair.serverAddress, ICMP_TOO_BIG, mtuBytes, quote(pair));
      for (const kind of [ICMP_PORT_UNREACHABLE, ICMP_UNREACHABLE] as const)
        pair.client.onIcmp(pair.serverAddress, kind, 0, quote(pair));
    };
    forge();
    const id = pair.clientConn.open(STREAM_BIDI);
    assert.equal(pair.clientConn.write(id, new Uint8Array(50_000), 0, 50_000, false), 50_000);
    for (let i = 0; i < 10; i++) {
      pair.advance(500);
      forge();
    }
    const { maxDatagramBytes } = pair.clientConn.stats();
    assert.ok(maxDatagramBytes >= 1452, `${maxDatagramBytes}`);
    assert.equal(pair.clientEvents.args("closed"), undefined);
  });
});
