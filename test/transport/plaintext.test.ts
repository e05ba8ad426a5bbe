/** `disable_1rtt_encryption` (0xbaad) between two engines: in force only when both ask, and what it means then. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Connection } from "#src/conn/connection.js";
import { openSessionTicket, sealSessionTicket } from "#src/conn/session-ticket.js";
import { DROP_FORGED } from "#src/observe/drop-reason.js";
import { LEVEL_APP } from "#src/port/tls.js";
import { STREAM_BIDI } from "#src/port/transport.js";
import { LOCAL_CID_BYTES } from "#src/proto/limits.js";
import { closeOf, Pair, type PairOptions } from "../support/pair.js";

const ASKS = { disable1RttEncryption: true };
const TEXT = Uint8Array.from("for everyone to read, more than one frame header long", (c) => c.charCodeAt(0));
const PADDING = 0x00;
const APPLICATION_CLOSE = 0x1d;
const KEY_PHASE = 0x04;

const isShort = (bytes: Uint8Array): boolean => (bytes[0] & 0x80) === 0;
const holds = (bytes: Uint8Array, text: Uint8Array): boolean => Buffer.from(bytes).includes(Buffer.from(text));

interface Opened {
  pair: Pair;
  client: Connection;
  server: Connection;
  /** Datagrams so far, with the side that sent them. */
  wire: { fromClient: boolean; bytes: Uint8Array }[];
}

function opened(options: PairOptions): Opened {
  const pair = new Pair(options);
  const wire: Opened["wire"] = [];
  pair.filter = (fromClient, bytes) => wire.push({ fromClient, bytes: bytes.slice() }) > 0;
  pair.settle();
  assert.ok(pair.serverConn !== null);
  pair.advance(1_000_000);
  return { pair, client: pair.clientConn, server: pair.serverConn, wire };
}

function plain(options: PairOptions = {}): Opened {
  return opened({ client: ASKS, server: ASKS, ...options });
}

/** One stream with these bytes; what the other side read of it. */
function carried(pair: Pair, from: Connection, to: Connection, bytes: Uint8Array): Uint8Array {
  const id = from.open(STREAM_BIDI);
  const got = new Uint8Array(bytes.length);
  let read = 0;
  for (let written = 0; written < bytes.length; ) {
    written += Math.max(0, from.write(id, bytes, written, bytes.length, true));
    pair.advance(100_000);
    read += Math.max(0, to.read(id, got, read, got.length));
    pair.advance(100_000);
  }
  return got.subarray(0, read);
}

/** A 1-RTT packet in the client's name that anyone who saw a connection id could write. */
function forged({ clientConn }: Pair, pn: number, ...frames: number[]): Uint8Array {
  return Uint8Array.of(0x40, ...clientConn.peerIds.current, pn, ...frames);
}

describe("1-RTT packets in the clear", () => {
  test("both sides ask: streams both ways are readable on the wire, without a tag", () => {
    const { pair, client, server, wire } = plain();
    assert.deepEqual([client.stats().plaintext, server.stats().plaintext], [true, true]);
    assert.equal(client.keys.appTagBytes, 0);
    assert.deepEqual(carried(pair, client, server, TEXT), TEXT);
    assert.deepEqual(carried(pair, server, client, TEXT), TEXT);
    for (const side of [true, false]) {
      const seen = wire.filter(({ fromClient, bytes }) => fromClient === side && holds(bytes, TEXT));
      assert.equal(seen.length, 1);
      assert.ok(isShort(seen[0].bytes));
      assert.deepEqual(seen[0].bytes.subarray(-TEXT.length), TEXT, "the packet ends with its last frame");
    }
  });

  for (const asker of ["client", "server"] as const) {
    test(`only the ${asker} asks: packets stay encrypted, and one in the clear is dropped`, () => {
      const { pair, client, server } = opened({ [asker]: ASKS });
      assert.deepEqual([client.stats().plaintext, server.stats().plaintext], [false, false]);
      assert.deepEqual([client.keys.appTagBytes, server.keys.appTagBytes], [16, 16]);
      const before = server.counters.packetsDropped;
      pair.inject(true, forged(pair, 200, APPLICATION_CLOSE, 0, 0, ...new Array<number>(30).fill(0)));
      pair.settle();
      assert.deepEqual([server.counters.packetsDropped, server.closeInfo], [before + 1, null]);
      assert.ok(pair.server.counters.drops[DROP_FORGED] > 0);
      assert.deepEqual(carried(pair, client, server, TEXT), TEXT);
    });
  }

  test("nobody is asked by default", () => {
    const { client, server } = opened({});
    assert.deepEqual([client.stats().plaintext, server.stats().plaintext], [false, false]);
  });

  test("the handshake stays protected: a damaged packet with a long header does not open", () => {
    const pair = new Pair({ client: ASKS, server: ASKS });
    let damaged = 0;
    pair.filter = (fromClient, bytes) => {
      if (!fromClient && !isShort(bytes) && damaged++ === 0) bytes[bytes.length - 1] ^= 1;
      return true;
    };
    pair.advance(5_000_000);
    assert.ok(damaged > 0 && pair.aead.forged > 0);
    assert.equal(pair.clientConn.stats().plaintext, true);
    assert.ok(pair.clientConn.stats().handshakeConfirmedAtMicros > 0);
  });

  test("bulk transfers go in trains and arrive whole, both ways", () => {
    const { pair, client, server } = plain();
    const bytes = new Uint8Array(400_000).map((_, i) => (i * 31) ^ (i >> 8));
    assert.deepEqual(carried(pair, client, server, bytes), bytes);
    assert.deepEqual(carried(pair, server, client, bytes), bytes);
    assert.equal(client.stats().packetsDropped + server.stats().packetsDropped, 0);
  });

  test("a datagram may be as much longer as the tag was", () => {
    const [none, aead] = [plain().client, opened({}).client];
    assert.equal(none.stats().maxDatagramBytes, aead.stats().maxDatagramBytes);
    assert.equal(none.datagrams.maxBytes, aead.datagrams.maxBytes + 16);
  });

  test("whoever knows a connection id is believed: that is what the option gives up", () => {
    const { pair } = plain();
    pair.inject(true, forged(pair, 200, APPLICATION_CLOSE, 0, 0));
    pair.advance(10_000_000);
    assert.deepEqual([closeOf(pair.serverEvents).remote, closeOf(pair.serverEvents).type], [true, "application"]);
  });

  test("a packet of another stack may be shorter than a header sample", () => {
    const { pair, server } = plain();
    const { packetsReceived, packetsDropped } = server.stats();
    const counts = (): number[] => [
      server.stats().packetsReceived - packetsReceived,
      server.stats().packetsDropped - packetsDropped,
    ];
    pair.inject(true, forged(pair, 200, PADDING));
    assert.deepEqual(counts(), [1, 0]);
    pair.inject(true, forged(pair, 201).subarray(0, 1 + LOCAL_CID_BYTES));
    assert.deepEqual(counts(), [1, 1], "without a packet number");
  });

  test("RFC 9001 §6 there are no keys to update, and the Key Phase bit means nothing", () => {
    const { pair, client, server } = plain();
    assert.deepEqual([client.updateKeys(), server.updateKeys()], [false, false]);
    let flipped = 0;
    pair.filter = (_, bytes) => {
      if (isShort(bytes) && flipped++ % 2 === 0) bytes[0] ^= KEY_PHASE;
      return true;
    };
    const bytes = new Uint8Array(20_000).fill(7);
    assert.deepEqual(carried(pair, client, server, bytes), bytes);
    assert.deepEqual(carried(pair, server, client, bytes), bytes);
    assert.ok(flipped > 30);
    for (const { closeInfo, keys } of [client, server]) {
      assert.deepEqual([closeInfo, keys.phases.updates, keys.keyPhase], [null, 0, 0]);
    }
    server.keys.phases.sealedPackets = 2 ** 40;
    assert.deepEqual([server.keys.needsUpdate, server.keys.sealBudget(LEVEL_APP)], [false, Infinity]);
  });

  test("a wish for new keys from before the handshake never comes true", () => {
    const pair = new Pair({ client: ASKS, server: ASKS });
    assert.equal(pair.clientConn.updateKeys(), true);
    pair.settle();
    pair.advance(10_000_000);
    assert.deepEqual([pair.clientConn.closeInfo, pair.clientConn.stats().keyUpdates], [null, 0]);
  });

  test("0-RTT stays encrypted, and a ticket does not remember the parameter", () => {
    const { pair, wire } = plain({ earlyData: true });
    const { ticket } = pair;
    const session = openSessionTicket(ticket);
    assert.ok(session !== null && !session.params.disable1RttEncryption);
    const asking = { ...session, params: { ...session.params, disable1RttEncryption: true } };
    assert.deepEqual(sealSessionTicket(asking), ticket, "nor does it when it is sealed");
    wire.length = 0;
    pair.again({ ticket, earlyAlpn: "test", config: ASKS });
    const id = pair.clientConn.open(STREAM_BIDI);
    pair.clientConn.write(id, TEXT, 0, TEXT.length, true);
    pair.advance(1_000_000);
    const server = pair.serverConn;
    assert.ok(server !== null && server.isEarly(id));
    assert.deepEqual([server.stats().plaintext, pair.clientConn.stats().earlyPacketsSent], [true, 1]);
    const early = wire.filter(({ bytes }) => !isShort(bytes) && holds(bytes, TEXT));
    assert.equal(early.length, 1, "the null AEAD of this test leaves the text readable");
    assert.ok(server.readable(id) > 0);
  });

  test("keys and slots are given back", () => {
    const { pair, client } = plain();
    client.close("application", 0n, "");
    pair.advance(200_000_000);
    assert.deepEqual([pair.aead.liveKeys, pair.aead.liveHeaderKeys], [0, 0]);
  });
});
