/** 0-RTT between two engines: accepted, refused in every way, replayed, late, and under limits that changed. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { EARLY_ACCEPTED, EARLY_REFUSED } from "#src/conn/early.js";
import type { Connection } from "#src/conn/connection.js";
import { openSessionTicket, sealSessionTicket } from "#src/conn/session-ticket.js";
import { DROP_KEYS_UNAVAILABLE, DROP_UNKNOWN_CID } from "#src/observe/drop-reason.js";
import { LEVEL_EARLY } from "#src/port/tls.js";
import { type HandshakeInfo, STREAM_BIDI, STREAM_UNI, T_BLOCKED } from "#src/port/transport.js";
import { MAX_EARLY_HELD_PACKETS } from "#src/proto/limits.js";
import { SPACE_APP } from "#src/proto/space.js";
import { PROTOCOL_VIOLATION } from "#src/proto/transport-error.js";
import { closeOf, Pair, type PairOptions } from "../support/pair.js";

const ZERO_RTT = 1;
const HELLO = Uint8Array.from("hello, early server", (c) => c.charCodeAt(0));

function typeOf(bytes: Uint8Array): number {
  return (bytes[0] & 0x80) === 0 ? -1 : (bytes[0] >> 4) & 3;
}

/** A pair whose client has a ticket for 0-RTT. */
function withTicket(options: PairOptions = {}): { pair: Pair; ticket: Uint8Array } {
  const pair = new Pair({ earlyData: true, ...options });
  pair.settle();
  return { pair, ticket: pair.ticket };
}

/** Starts again with the ticket and writes a request in a stream of its own, before anything was sent. */
function request(pair: Pair, ticket: Uint8Array, bytes = HELLO): number {
  pair.again({ ticket, earlyAlpn: "test" });
  const id = pair.clientConn.open(STREAM_BIDI);
  assert.equal(pair.clientConn.write(id, bytes, 0, bytes.length, true), bytes.length);
  return id;
}

function readAll(conn: { read(id: number, buf: Uint8Array, start: number, end: number): number }, id: number) {
  const buf = new Uint8Array(100_000);
  const length = conn.read(id, buf, 0, buf.length);
  return buf.subarray(0, Math.max(0, length));
}

function infoOf(pair: Pair): HandshakeInfo {
  return pair.clientEvents.args("handshake")?.[0] as HandshakeInfo;
}

describe("0-RTT accepted", () => {
  test("RFC 9001 §4.6 a request is with the server before the handshake is complete, and marked", () => {
    const { pair, ticket } = withTicket();
    const id = request(pair, ticket);
    pair.filter = (fromClient) => fromClient; // nothing comes back
    pair.settle();
    const { serverConn } = pair;
    assert.ok(serverConn !== null && serverConn.handshake === null);
    assert.deepEqual(readAll(serverConn, id), HELLO);
    assert.equal(serverConn.isEarly(id), true);
    assert.equal(serverConn.stats().earlyPacketsReceived, 1);
    pair.filter = () => true;
    pair.advance(5_000_000);
    const info = infoOf(pair);
    assert.deepEqual([info.resumed, info.earlyDataAttempted, info.earlyDataAccepted], [true, true, true]);
    assert.equal(pair.clientConn.stats().earlyPacketsSent, 1);
    assert.equal(pair.clientConn.stats().packetsLost, 0, "RFC 9000 §13.2.1 acknowledged in 1-RTT");
  });

  test("RFC 9221 §4 a datagram in 0-RTT is marked too; we ourselves send them in 1-RTT only", () => {
    const { pair, ticket } = withTicket();
    pair.again({ ticket, earlyAlpn: "test" });
    const { out } = pair.clientConn.datagrams;
    assert.equal(out.peerMaxBytes, 0);
    out.peerMaxBytes = 1200;
    assert.ok(pair.clientConn.datagrams.send(HELLO) >= 0);
    pair.filter = (fromClient) => fromClient;
    pair.settle();
    assert.deepEqual(pair.serverEvents.args("datagram"), [HELLO, true]);
    pair.filter = () => true;
    pair.advance(5_000_000);
    assert.ok(pair.clientConn.datagrams.send(HELLO) >= 0);
    pair.settle();
    assert.deepEqual(
      pair.serverEvents.calls.filter(([name]) => name === "datagram").map((call) => call[2]),
      [true, false],
    );
  });

  test("data that does not fit before the answer goes on in 1-RTT, and a stream of then is not early", () => {
    const { pair, ticket } = withTicket();
    const bytes = new Uint8Array(60_000).fill(7);
    const id = request(pair, ticket, bytes);
    pair.advance(1_000_000);
    assert.deepEqual(readAll(pair.serverConn!, id), bytes);
    const late = pair.clientConn.open(STREAM_BIDI);
    pair.clientConn.write(late, HELLO, 0, HELLO.length, true);
    pair.settle();
    assert.equal(pair.serverConn!.isEarly(late), false);
    assert.ok(pair.clientConn.stats().earlyPacketsSent < 20);
  });

  test("RFC 9000 §7.4.1 remembered limits hold in 0-RTT: streams and bytes", () => {
    const limits = { initialMaxStreamsUni: 2, initialMaxStreamDataUni: 1000, initialMaxData: 1500 };
    const { pair, ticket } = withTicket({ server: limits });
    pair.again({ ticket, earlyAlpn: "test" });
    const ids = [pair.clientConn.open(STREAM_UNI), pair.clientConn.open(STREAM_UNI)];
    assert.equal(pair.clientConn.open(STREAM_UNI), T_BLOCKED);
    for (const id of ids) pair.clientConn.write(id, new Uint8Array(2000), 0, 2000, true);
    pair.filter = (fromClient) => fromClient;
    pair.settle();
    assert.equal(pair.serverConn!.stats().streamBytesReceived, 1500);
  });

  test("RFC 9000 §17.2.3 a client sends no 0-RTT once it has 1-RTT keys, and drops the early ones", () => {
    const { pair, ticket } = withTicket();
    request(pair, ticket);
    pair.settle();
    assert.equal(pair.clientConn.keys.canWrite(LEVEL_EARLY), false);
    pair.filter = (fromClient, bytes) => {
      assert.ok(!fromClient || typeOf(bytes) !== ZERO_RTT);
      return true;
    };
    const id = pair.clientConn.open(STREAM_BIDI);
    pair.clientConn.write(id, HELLO, 0, HELLO.length, true);
    pair.settle();
  });

  test("RFC 9001 §4.9.3 the server drops its keys three PTOs after the handshake", () => {
    const { pair, ticket } = withTicket();
    request(pair, ticket);
    pair.settle();
    const { serverConn } = pair;
    assert.equal(serverConn!.keys.canRead(LEVEL_EARLY), true);
    pair.advance(3 * serverConn!.recovery.ptoMicros(SPACE_APP) + 1000);
    assert.equal(serverConn!.keys.canRead(LEVEL_EARLY), false);
    assert.equal(serverConn!.keys.wasDiscarded(LEVEL_EARLY), true);
  });

  test("RFC 9000 §5.2.2 packets that overtake the Initial wait for it", () => {
    const { pair, ticket } = withTicket();
    const held: Uint8Array[] = [];
    const id = request(pair, ticket, new Uint8Array(5000).fill(3));
    pair.filter = (fromClient, bytes) => {
      if (!fromClient || typeOf(bytes) !== 0) return true;
      held.push(bytes);
      return false;
    };
    pair.settle();
    assert.ok(pair.serverConn === null);
    pair.filter = () => true;
    for (const bytes of held) pair.inject(true, bytes);
    pair.settle();
    const { serverConn } = pair as { serverConn: Connection | null };
    assert.equal(readAll(serverConn!, id).length, 5000);
    assert.equal(serverConn!.isEarly(id), true);
    assert.equal(pair.clientConn.stats().packetsLost, 0);
  });

  test("RFC 9000 §17.2.5.3 after a Retry the data goes again in 0-RTT", () => {
    const { pair, ticket } = withTicket({ retry: "always" });
    const id = request(pair, ticket);
    pair.filter = (fromClient, bytes) => fromClient || typeOf(bytes) === 3;
    pair.settle();
    assert.deepEqual(readAll(pair.serverConn!, id), HELLO);
    assert.equal(pair.serverConn!.isEarly(id), true);
    assert.equal(pair.clientConn.stats().earlyPacketsSent, 2);
  });

  test("everything of 0-RTT lost arrives in 1-RTT", () => {
    const { pair, ticket } = withTicket();
    const id = request(pair, ticket, new Uint8Array(4000).fill(9));
    let first = true;
    pair.filter = (fromClient, bytes) => {
      if (!fromClient || (typeOf(bytes) === 0 && first)) {
        first = false;
        return true;
      }
      return typeOf(bytes) !== ZERO_RTT;
    };
    pair.advance(10_000_000);
    assert.equal(readAll(pair.serverConn!, id).length, 4000);
    assert.ok(pair.clientEvents.names().includes("sendDone"));
  });
});

/** What a refusal must look like: resumed or not, the request arrives once, in 1-RTT. */
function checkRefused(pair: Pair, id: number, bytes: Uint8Array): void {
  pair.advance(10_000_000);
  const { serverConn, clientConn } = pair;
  assert.equal(clientConn.closeInfo, null);
  const info = infoOf(pair);
  assert.deepEqual([info.earlyDataAttempted, info.earlyDataAccepted], [true, false]);
  assert.equal(serverConn!.stats().earlyPacketsReceived, 0, "RFC 9001 §4.6.2 not processed");
  assert.deepEqual(readAll(serverConn!, id), bytes);
  assert.equal(serverConn!.isEarly(id), false);
  assert.equal(clientConn.early.status, EARLY_REFUSED);
  assert.equal(clientConn.keys.canWrite(LEVEL_EARLY), false);
  assert.ok(pair.clientEvents.names().includes("sendDone"));
}

describe("0-RTT refused", () => {
  test("RFC 8446 §8.1 a ticket is good for it once; the handshake resumes all the same", () => {
    const { pair, ticket } = withTicket();
    const first = request(pair, ticket);
    pair.settle();
    assert.equal(infoOf(pair).earlyDataAccepted, true);
    assert.equal(pair.serverConn!.isEarly(first), true);
    const bytes = new Uint8Array(40_000).fill(5);
    checkRefused(pair, request(pair, ticket, bytes), bytes);
    assert.equal(infoOf(pair).resumed, true);
  });

  test("RFC 9001 §4.6.2 HelloRetryRequest refuses it", () => {
    const { ticket } = withTicket();
    const other = new Pair({ earlyData: true, seed: 6, serverTls: { helloRetry: true } });
    other.settle();
    checkRefused(other, request(other, ticket), HELLO);
  });

  test("a ticket of another server, or of before a restart, resumes at most", () => {
    const { ticket } = withTicket();
    const other = new Pair({ earlyData: true, seed: 2 });
    other.settle();
    checkRefused(other, request(other, ticket), HELLO);
  });

  test("a server that does not accept it drops the packets", () => {
    const { ticket } = withTicket();
    const other = new Pair({ earlyData: true, serverWithoutEarly: true });
    other.settle();
    assert.equal(openSessionTicket(other.ticket)?.allowsEarlyData, false);
    checkRefused(other, request(other, ticket), HELLO);
  });

  test("RFC 9000 §7.4.1 limits that are lower now hold: streams above them wait, and all arrive in the end", () => {
    const { ticket } = withTicket();
    const limits = { initialMaxStreamsBidi: 1, initialMaxData: 2000, initialMaxStreamDataBidiRemote: 800 };
    const other = new Pair({ earlyData: true, server: limits, seed: 5 });
    other.settle();
    other.again({ ticket, earlyAlpn: "test" });
    const bytes = new Uint8Array(3000).fill(6);
    const ids = [0, 1, 2].map(() => other.clientConn.open(STREAM_BIDI));
    for (const id of ids) other.clientConn.write(id, bytes, 0, bytes.length, true);
    const empty = other.clientConn.open(STREAM_BIDI);
    other.clientConn.write(empty, bytes, 0, 0, true);
    other.clientConn.setPriority(empty, 0, false);
    const done = new Map<number, number>();
    for (let round = 0; round < 50; round++) {
      other.advance(200_000);
      assert.equal(
        other.clientConn.closeInfo,
        null,
        JSON.stringify(other.clientConn.closeInfo, (_, v) => String(v)),
      );
      const conn = other.serverConn!;
      for (const id of [...ids, empty]) {
        const got = readAll(conn, id).length;
        if (got > 0) done.set(id, (done.get(id) ?? 0) + got);
        if (conn.atEnd(id)) conn.write(id, bytes, 0, 0, true);
      }
    }
    assert.deepEqual(
      [...done.entries()],
      ids.map((id) => [id, 3000]),
    );
    assert.ok(other.serverEvents.calls.some(([name, id]) => name === "stream" && id === empty));
  });

  test("resets and stops of refused streams are told again", () => {
    const { ticket } = withTicket();
    const other = new Pair({ earlyData: true, seed: 3 });
    other.settle();
    other.again({ ticket, earlyAlpn: "test" });
    const id = other.clientConn.open(STREAM_BIDI);
    other.clientConn.write(id, HELLO, 0, HELLO.length, false);
    other.sendFromClient();
    other.clientConn.reset(id, 5n);
    other.clientConn.stopSending(id, 6n);
    other.advance(5_000_000);
    assert.deepEqual(other.serverEvents.args("reset"), [id, 5n]);
    assert.deepEqual(other.serverEvents.args("stop"), [id, 6n]);
    assert.equal(other.clientConn.closeInfo, null);
  });

  test("RFC 9001 §4.6.2 an acknowledgement of a refused packet is a PROTOCOL_VIOLATION", () => {
    const { ticket } = withTicket();
    const other = new Pair({ earlyData: true, seed: 4 });
    other.settle();
    request(other, ticket);
    other.sendFromClient();
    other.drain();
    // the server says that it got packet 0
    const space = other.serverConn!.space(SPACE_APP);
    space.received.record(0, other.nowMicros);
    space.onPacket(0, true, 0, other.nowMicros);
    other.advance(1_000_000);
    assert.equal(other.clientConn.early.status, EARLY_REFUSED);
    assert.equal(closeOf(other.clientEvents).code, BigInt(PROTOCOL_VIOLATION));
  });
});

describe("0-RTT that carries no data", () => {
  test("RFC 9001 §9.2 a stream that is reset or stopped in it is marked, as whoever recorded it may do that again", () => {
    const { pair, ticket } = withTicket();
    pair.again({ ticket, earlyAlpn: "test" });
    const [reset, stopped] = [pair.clientConn.open(STREAM_BIDI), pair.clientConn.open(STREAM_BIDI)];
    pair.clientConn.reset(reset, 5n);
    pair.clientConn.stopSending(stopped, 6n);
    pair.sendFromClient();
    const { server } = pair;
    const conn = server.accept();
    assert.ok(conn !== null && conn.handshake === null);
    assert.deepEqual([conn.isEarly(reset), conn.isEarly(stopped)], [true, true]);
  });
});

describe("0-RTT and what a client remembers", () => {
  test("RFC 9000 §7.4.1 a server that accepts it must not lower a limit", () => {
    const { pair, ticket } = withTicket();
    const opened = openSessionTicket(ticket)!;
    const raised = sealSessionTicket({
      ...opened,
      params: { ...opened.params, initialMaxStreamsUni: opened.params.initialMaxStreamsUni + 1 },
    });
    request(pair, raised);
    pair.advance(1_000_000);
    const info = closeOf(pair.clientEvents);
    assert.equal(info.code, BigInt(PROTOCOL_VIOLATION));
    assert.match(info.reason, /initialMaxStreamsUni/);
    assert.equal(pair.clientConn.early.status, EARLY_ACCEPTED);
  });

  test("nothing is offered with a ticket of another protocol, without being asked, or with bytes that are no ticket", () => {
    const { pair, ticket } = withTicket();
    for (const options of [{ ticket, earlyAlpn: "other" }, { ticket }]) {
      pair.again(options);
      assert.equal(pair.clientConn.open(STREAM_BIDI), T_BLOCKED);
      pair.settle();
      assert.equal(infoOf(pair).resumed, true);
      assert.equal(infoOf(pair).earlyDataAttempted, false);
    }
    for (const broken of [new Uint8Array(0), ticket.subarray(0, 20), Uint8Array.of(1, ...ticket.subarray(1))]) {
      pair.again({ ticket: broken, earlyAlpn: "test" });
      pair.settle();
      assert.equal(infoOf(pair).resumed, false);
    }
  });
});

describe("0-RTT under attack", () => {
  /** A 0-RTT packet that looks right, to an id that nobody has. */
  function forged(n: number): Uint8Array {
    const bytes = new Uint8Array(1200).fill(n);
    bytes.set([0xd0, 0, 0, 0, 1, 8, n >> 16, n >> 8, n, 1, 2, 3, 4, 5, 0], 0);
    bytes.set([0x44, 0x9f], 15); // 1183 bytes follow
    return bytes;
  }

  test("a flood without Initials holds a bounded number of packets, and an honest client is served in 0-RTT", () => {
    const { pair, ticket } = withTicket();
    const before = pair.server.counters.drops[DROP_KEYS_UNAVAILABLE];
    for (let n = 1; n <= 5000; n++) pair.inject(true, forged(n));
    const dropped = pair.server.counters.drops[DROP_KEYS_UNAVAILABLE] - before;
    assert.ok(dropped >= 5000 - MAX_EARLY_HELD_PACKETS, `${dropped}`);
    const id = request(pair, ticket);
    pair.settle();
    assert.equal(pair.serverConn!.isEarly(id), true);
    assert.equal(infoOf(pair).earlyDataAccepted, true);
  });

  test("RFC 9000 §8.1 a server at its amplification limit does not wake up for acknowledgements that it may not send", () => {
    const { pair, ticket } = withTicket({ server: { maxAckDelayMillis: 8000 } });
    request(pair, ticket, new Uint8Array(300));
    let fromClients = 0;
    pair.filter = (fromClient) => fromClient && ++fromClients === 1;
    pair.settle();
    const { serverConn } = pair;
    // the flight and its probes use the limit up before the acknowledgement is due; the client is silent
    for (let wakes = 0; serverConn!.closeInfo === null; wakes++) {
      assert.ok(wakes < 1000, "the server is busy with nothing");
      const next = pair.server.nextDeadline();
      assert.ok(next < Infinity);
      pair.nowMicros = Math.max(pair.nowMicros, next);
      pair.server.timeout(pair.nowMicros);
      pair.settle();
    }
  });

  test("without 0-RTT nothing is held for it", () => {
    const pair = new Pair();
    pair.settle();
    pair.inject(true, forged(1));
    assert.equal(pair.server.counters.drops[DROP_UNKNOWN_CID], 1);
  });

  test("RFC 9001 §9.2 the same first flight twice opens its streams once", () => {
    const { pair, ticket } = withTicket();
    request(pair, ticket);
    const flight: Uint8Array[] = [];
    pair.filter = (fromClient, bytes) => {
      if (fromClient && typeOf(bytes) === 0) flight.push(bytes.slice());
      return true;
    };
    pair.settle();
    assert.equal(pair.serverEvents.names().filter((name) => name === "stream").length, 1);
    pair.clientConn.close("application", 0n, "");
    pair.advance(10_000_000);
    assert.equal(pair.server.connectionCount, 0);
    pair.serverEvents.calls.length = 0;
    for (const bytes of flight) pair.inject(true, bytes);
    pair.settle();
    assert.equal(pair.server.connectionCount, 1, "a handshake begins again");
    assert.deepEqual(
      pair.serverEvents.names().filter((name) => name === "stream"),
      [],
    );
  });
});
