import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { ConnectionConfig } from "#src/conn/config.js";
import { QuicBit } from "#src/conn/quic-bit.js";
import { FIXED_BIT } from "#src/packet/header.js";
import { Prng } from "#src/sim/prng.js";
import { Pair } from "../support/pair.js";

interface Seen {
  pair: Pair;
  /** QUIC bits of what the client sent, and of what the server sent, before and after the first datagram back. */
  first: number[];
  client: Set<number>;
  server: Set<number>;
}

/** A transfer each way; what the first bytes of all datagrams said. */
function transfer(client: Partial<ConnectionConfig>, server: Partial<ConnectionConfig>): Seen {
  const pair = new Pair({ client, server });
  const seen: Seen = { pair, first: [], client: new Set(), server: new Set() };
  let answered = false;
  pair.filter = (fromClient, bytes) => {
    const bit = bytes[0] & FIXED_BIT;
    if (!answered && fromClient) seen.first.push(bit);
    answered ||= !fromClient;
    (fromClient ? seen.client : seen.server).add(bit);
    return true;
  };
  pair.settle();
  const { clientConn, serverConn } = pair;
  assert.ok(serverConn !== null);
  for (const [from, to] of [
    [clientConn, serverConn],
    [serverConn, clientConn],
  ] as const) {
    const id = from.open(0);
    from.write(id, new Uint8Array(200_000), 0, 200_000, true);
    pair.advance(2_000_000);
    assert.equal(to.readable(id), 200_000);
  }
  assert.deepEqual([clientConn.stats().packetsDropped, serverConn.stats().packetsDropped], [0, 0]);
  return seen;
}

describe("the QUIC bit", () => {
  test("RFC 9287 §3.1 is drawn by both sides when both take both, and set until the peer has said so", () => {
    const seen = transfer({}, {});
    assert.deepEqual([...seen.client].sort(), [0, FIXED_BIT]);
    assert.deepEqual([...seen.server].sort(), [0, FIXED_BIT]);
    assert.ok(seen.first.length > 0 && seen.first.every((bit) => bit === FIXED_BIT));
  });

  test("RFC 9287 §3.1 is set towards a peer that did not say that it takes both", () => {
    for (const [client, server] of [
      [true, false],
      [false, true],
    ] as const) {
      const seen = transfer({ grease: client }, { grease: server });
      assert.deepEqual([...seen.client, ...seen.server], [FIXED_BIT, FIXED_BIT]);
    }
  });

  test("RFC 9287 §3.1 a close has it set, for whoever reads it without keys", () => {
    const { pair } = transfer({}, {});
    const bits = new Set<number>();
    pair.filter = (fromClient, bytes) => {
      if (fromClient) bits.add(bytes[0] & FIXED_BIT);
      return true;
    };
    pair.clientConn.close("application", 7n, "");
    pair.settle();
    assert.deepEqual([...bits], [FIXED_BIT]);
    assert.ok(pair.serverConn?.closeInfo !== null);
  });

  test("it is as good as random", () => {
    const bit = new QuicBit();
    const random = new Prng(1, "bits");
    assert.equal(bit.next(random), FIXED_BIT);
    bit.isFree = true;
    let ones = 0;
    for (let i = 0; i < 3200; i++) if (bit.next(random) === FIXED_BIT) ones++;
    assert.ok(ones > 1450 && ones < 1750, `${ones}`);
  });
});
