import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { STREAM_BIDI } from "#src/port/transport.js";
import { DEFAULT_DATAGRAM_BYTES, MIN_INITIAL_DATAGRAM_BYTES, REST_AFTER_MICROS } from "#src/proto/limits.js";
import { SPACE_APP, SPACE_HANDSHAKE, SPACE_INITIAL } from "#src/proto/space.js";
import { NO_CRYPTO_OUT } from "#src/outqueue/crypto.js";
import { NO_SENT_PACKETS } from "#src/outqueue/sent.js";
import { closeOf, Pair, type PairOptions } from "../support/pair.js";

/** Echo of 1 KiB: the connection is still usable. */
function assertUsable(pair: Pair): void {
  const { clientConn: conn, serverConn: server } = pair;
  assert.ok(server !== null, "the server has a connection");
  const id = conn.open(STREAM_BIDI);
  const sent = new Uint8Array(1024).map((_, i) => i);
  conn.write(id, sent, 0, sent.length, true);
  pair.advance(100_000);
  const got = new Uint8Array(2048);
  assert.equal(server.read(id, got, 0, got.length), 1024);
  assert.ok(server.atEnd(id));
  server.write(id, got, 0, 1024, true);
  pair.advance(100_000);
  assert.equal(conn.read(id, got, 0, got.length), 1024);
  assert.deepEqual(got.subarray(0, 1024), sent);
}

const cases: [string, PairOptions][] = [
  ["plain", {}],
  ["RFC 9000 §8.1.2 with Retry", { retry: "always" }],
  ["RFC 9001 §4.7 with HelloRetryRequest", { serverTls: { helloRetry: true } }],
  [
    "RFC 9000 §8.1 with a certificate chain beyond three times the first flight",
    { serverTls: { certificateBytes: 20_000 } },
  ],
  ["with a ClientHello over several Initials", { clientTls: { keyShareBytes: 3000 } }],
  ["with a client certificate", { serverTls: { clientAuth: true } }],
  ["with tickets", { serverTls: { tickets: 2 } }],
  ["with NewReno", { client: { congestion: "newreno" }, server: { congestion: "newreno" } }],
];

describe("handshakes", () => {
  for (const [name, options] of cases) {
    test(name, () => {
      const pair = new Pair(options);
      pair.advance(2_000_000);
      assert.deepEqual(pair.clientEvents.names().slice(0, 2), ["handshake", "confirmed"]);
      assert.ok(pair.serverEvents.names().includes("handshake"));
      assertUsable(pair);
      assert.equal(pair.server.counters.retriesSent, options.retry === "always" ? 1 : 0);
    });
  }

  test("a server gives its TLS session back when the handshake is complete, and the client still gets the tickets", () => {
    const pair = new Pair({ serverTls: { tickets: 2 } });
    pair.advance(2_000_000);
    assert.equal(pair.serverConn?.handshakeState.tls, null);
    assert.notEqual(pair.clientConn.handshakeState.tls, null);
    assert.equal(pair.clientEvents.names().filter((name) => name === "ticket").length, 2);
  });

  test("RFC 9001 §4.9.2 what Initial and Handshake packets needed is given back, and both sides share the rest", () => {
    const pair = new Pair();
    pair.advance(2_000_000);
    const { clientConn: client, serverConn: server } = pair;
    for (const space of [SPACE_INITIAL, SPACE_HANDSHAKE] as const) {
      assert.equal(client.space(space), server?.space(space), "one closed space serves all connections");
      assert.equal(client.recovery.sent[space], NO_SENT_PACKETS);
      assert.equal(client.cryptoOut[space], NO_CRYPTO_OUT);
      assert.equal(client.space(space).ackPolicy.hasNew, false);
      assert.deepEqual([NO_SENT_PACKETS.next, NO_SENT_PACKETS.largestAcked, NO_CRYPTO_OUT.hasPending], [0, -1, false]);
      assert.equal(NO_CRYPTO_OUT.push(new Uint8Array(1)), false);
    }
    assertUsable(pair);
  });

  test("RFC 9000 §8.1 a server sends at most three times what came before the address is validated", () => {
    let fromClient = 0;
    let fromServer = 0;
    const pair = new Pair({ serverTls: { certificateBytes: 40_000 } });
    pair.filter = (isClient, bytes) => {
      if (isClient) {
        fromClient += bytes.length;
        return fromClient <= 1200; // only the first datagram arrives
      }
      fromServer += bytes.length;
      assert.ok(fromServer <= 3 * 1200, `${fromServer} bytes for 1200`);
      return true;
    };
    pair.advance(9_000_000);
    assert.ok(fromServer > 2400);
  });

  test("RFC 9000 §6.2 a client gives up when Version Negotiation lists none of its versions", () => {
    const pair = new Pair();
    let initial: Uint8Array | null = null;
    pair.filter = (isClient, bytes) => {
      if (isClient) initial ??= bytes;
      return false;
    };
    pair.settle();
    assert.ok(initial !== null);
    const first: Uint8Array = initial;
    const dcid = first.slice(6, 6 + first[5]);
    const scidAt = 6 + dcid.length + 1;
    const scid = first.slice(scidAt, scidAt + first[scidAt - 1]);
    const answer = (...versions: number[][]) =>
      Uint8Array.of(0x80, 0, 0, 0, 0, scid.length, ...scid, dcid.length, ...dcid, ...versions.flat());
    pair.inject(false, answer([0x1a, 0x2a, 0x3a, 0x4a], [0, 0, 0, 1]));
    assert.equal(pair.clientConn.closeInfo, null, "a list with our version is ignored");
    pair.inject(false, answer([0x1a, 0x2a, 0x3a, 0x4a]));
    pair.settle();
    assert.equal(closeOf(pair.clientEvents).type, "version-negotiation");
    assert.equal(pair.client.connectionCount, 0);
  });

  test("RFC 9000 §6.1 a server answers an unknown version with the versions it has, and only a large datagram", () => {
    const pair = new Pair();
    pair.settle();
    const answers: Uint8Array[] = [];
    pair.filter = (isClient, bytes) => {
      if (!isClient) answers.push(bytes);
      return true;
    };
    const odd = new Uint8Array(1200);
    odd.set([0xc0, 0x1a, 0x2a, 0x3a, 0x4a, 8, 1, 2, 3, 4, 5, 6, 7, 8, 2, 9, 9]);
    pair.inject(true, odd.slice(0, 1199));
    pair.settle();
    assert.equal(answers.length, 0);
    pair.inject(true, odd);
    pair.settle();
    assert.equal(answers.length, 1);
    assert.deepEqual([...answers[0].subarray(1, 5)], [0, 0, 0, 0]);
    assert.deepEqual([...answers[0].subarray(5, 17)], [2, 9, 9, 8, 1, 2, 3, 4, 5, 6, 7, 8]);
  });
});

describe("paths", () => {
  test("RFC 9000 §13.4.1 stats count the marks of all spaces, also of those that are closed", () => {
    const pair = new Pair();
    pair.settle();
    const marked = pair.clientConn.stats().packetsSent;
    assert.ok(marked < 10, "still testing the path, so every datagram had a mark");
    // the packet that completes the handshake closes its space before it is counted there
    assert.equal(pair.serverConn?.stats().ect0Received, marked - 1);
    assert.equal(pair.serverConn?.space(SPACE_APP).ecn.ect0, 1);
    assert.equal(pair.clientConn.stats().ecn, "capable");
    assert.equal(pair.serverConn?.stats().ceReceived, 0);
  });

  test("RFC 9000 §14.3 a black hole: datagrams shrink to what every path carries within six PTOs", () => {
    const pair = new Pair();
    pair.settle();
    const { clientConn: conn } = pair;
    const first = conn.open(STREAM_BIDI);
    conn.write(first, new Uint8Array(100_000), 0, 100_000, false);
    pair.advance(1_000_000);
    assert.equal(conn.path.maxDatagramBytes, DEFAULT_DATAGRAM_BYTES, "discovered by the first transfer");
    pair.filter = (_isClient, bytes) => bytes.length <= MIN_INITIAL_DATAGRAM_BYTES;
    const id = conn.open(STREAM_BIDI);
    const ptosBefore = conn.stats().ptoCount;
    conn.write(id, new Uint8Array(100_000), 0, 100_000, true);
    while (conn.path.mtu.blackHoles === 0) pair.advance(1000);
    assert.ok(conn.stats().ptoCount - ptosBefore <= 6, `${conn.stats().ptoCount - ptosBefore} PTOs`);
    pair.advance(5_000_000);
    assert.equal(pair.serverConn?.readable(id), 100_000);
    assert.equal(conn.path.maxDatagramBytes, MIN_INITIAL_DATAGRAM_BYTES);
    assert.equal(conn.path.mtu.blackHoles, 1);
  });
});

describe("ends", () => {
  test("RFC 9000 §10.2 both sides see an application's code and reason, and forget the connection after three PTOs", () => {
    const pair = new Pair();
    pair.settle();
    pair.clientConn.close("application", 2n ** 61n, "enough");
    pair.settle();
    const info = closeOf(pair.serverEvents);
    assert.equal(info.type, "application");
    assert.equal(info.code, 2n ** 61n);
    assert.equal(info.reason, "enough");
    assert.equal(info.remote, true);
    assert.equal(closeOf(pair.clientEvents).remote, false);
    pair.advance(5_000_000);
    assert.equal(pair.client.connectionCount + pair.server.connectionCount, 0);
    assert.equal(pair.client.nextDeadline(), Infinity);
    assert.equal(pair.server.nextDeadline(), Infinity);
    assert.equal(pair.aead.liveKeys + pair.aead.liveHeaderKeys, 0, "every key slot is free");
    assert.equal(pair.clientConn.heldBytes() + (pair.serverConn?.heldBytes() ?? 0), 0);
  });

  test("RFC 9000 §10.2 a closing period may last longer than three PTOs", () => {
    const pair = new Pair({ client: { closePtos: 255 } });
    pair.settle();
    pair.clientConn.close("application", 0n, "");
    const ptoMicros = pair.clientConn.recovery.ptoMicros(SPACE_APP);
    pair.advance(254 * ptoMicros);
    assert.deepEqual([pair.client.connectionCount, pair.server.connectionCount], [1, 0]);
    pair.advance(ptoMicros);
    assert.equal(pair.client.connectionCount, 0);
  });

  test("the time of the end is that of the close, also when the connection is abandoned after it", () => {
    const pair = new Pair();
    pair.advance(100_000);
    pair.clientConn.close("application", 0n, "");
    pair.settle();
    const { closedAtMicros } = pair.clientConn.stats();
    assert.equal(closedAtMicros, pair.nowMicros);
    pair.clientConn.abandon();
    assert.equal(pair.clientConn.stats().closedAtMicros, closedAtMicros);
  });

  test("the time of the end of a connection that is abandoned open is that of its last event", () => {
    const pair = new Pair();
    pair.settle();
    pair.nowMicros += 50_000;
    const id = pair.clientConn.open(STREAM_BIDI);
    pair.clientConn.write(id, new Uint8Array(10), 0, 10, true);
    pair.settle();
    const lastMicros = pair.nowMicros;
    pair.nowMicros += 50_000;
    pair.clientConn.abandon();
    assert.equal(pair.clientConn.stats().closedAtMicros, lastMicros);
  });

  test("RFC 9000 §10.2.3 an application's code is hidden from Initial and Handshake packets", () => {
    const pair = new Pair();
    pair.filter = (isClient) => isClient; // the server has seen the hello, the client has nothing but Initial keys
    pair.settle();
    pair.clientConn.close("application", 77n, "early");
    pair.settle();
    const info = closeOf(pair.serverEvents);
    assert.equal(info.type, "transport");
    assert.equal(info.code, 0x0cn);
    assert.equal(info.reason, "");
  });

  test("RFC 9001 §4.8 a TLS failure at the server reaches the client as CRYPTO_ERROR with the alert", () => {
    const pair = new Pair({ serverTls: { failOn: 1, failAlert: 40 } });
    pair.settle();
    const info = closeOf(pair.clientEvents);
    assert.equal(info.code, 0x128n);
    assert.equal(info.remote, true);
    assert.equal(pair.server.halfOpenCount, 1, "it costs as much as any other until its closing period is over");
    pair.advance(5_000_000);
    assert.equal(pair.server.halfOpenCount, 0);
  });

  test("RFC 9001 §4.8 a TLS failure at the client reaches the server", () => {
    const pair = new Pair({ clientTls: { failOn: 11, failAlert: 42 } });
    pair.settle();
    const info = closeOf(pair.serverEvents);
    assert.equal(info.code, 0x12an);
    assert.equal(closeOf(pair.clientEvents).remote, false);
  });

  test("RFC 9000 §10.1 silence for the smaller idle timeout ends a connection on both sides without a packet", () => {
    const pair = new Pair({ client: { maxIdleTimeoutMillis: 5000 }, server: { maxIdleTimeoutMillis: 60_000 } });
    pair.advance(1_000_000);
    const before = pair.client.counters.datagramsSent + pair.server.counters.datagramsSent;
    pair.advance(4_500_000);
    assert.equal(closeOf(pair.clientEvents).type, "idle-timeout");
    assert.equal(closeOf(pair.serverEvents).type, "idle-timeout");
    assert.equal(pair.client.counters.datagramsSent + pair.server.counters.datagramsSent, before);
    assert.equal(pair.client.connectionCount + pair.server.connectionCount, 0);
  });

  test("a connection on which nothing moves gives back what only traffic needs, once, and goes on when some comes", () => {
    const pair = new Pair();
    pair.advance(900_000);
    const { clientConn: client, serverConn: server } = pair;
    assert.ok(server !== null);
    for (let round = 0; round < 2; round++) {
      assertUsable(pair);
      assert.ok(client.recovery.sent[SPACE_APP]!.mask >= 0);
      pair.advance(REST_AFTER_MICROS + 100_000);
      for (const conn of [client, server]) {
        assert.equal(conn.recovery.sent[SPACE_APP]!.mask, -1);
        assert.ok(conn.nextDeadline() > pair.nowMicros + 10_000_000, "nothing but the idle timeout wakes it");
      }
    }
  });

  test("RFC 9000 §10.1.2 keep-alive keeps a silent connection open", () => {
    const pair = new Pair({ client: { maxIdleTimeoutMillis: 5000, keepAliveMillis: 2000 } });
    pair.advance(60_000_000);
    assert.equal(pair.clientConn.closeInfo, null);
    assertUsable(pair);
  });

  test("a peer that never answers ends in a handshake timeout", () => {
    const pair = new Pair();
    pair.filter = () => false;
    pair.advance(11_000_000);
    assert.equal(closeOf(pair.clientEvents).type, "handshake-timeout");
    assert.equal(pair.client.connectionCount, 0);
  });

  test("RFC 9000 §10.3 a server that lost its state resets the connection", () => {
    const pair = new Pair();
    pair.settle();
    pair.serverConn?.abandon();
    pair.settle();
    assert.equal(pair.server.connectionCount, 0);
    const id = pair.clientConn.open(STREAM_BIDI);
    pair.clientConn.write(id, new Uint8Array(100), 0, 100, true);
    pair.settle();
    assert.equal(closeOf(pair.clientEvents).type, "stateless-reset");
    assert.equal(pair.server.counters.statelessResetsSent, 1);
  });

  test("RFC 9000 §10.2.1 a closing endpoint answers ever less often", () => {
    const pair = new Pair();
    pair.settle();
    pair.filter = (isClient) => isClient; // the close never arrives
    pair.serverConn?.close("application", 1n, "");
    let answers = 0;
    pair.filter = (isClient) => {
      if (!isClient) answers++;
      return isClient;
    };
    pair.settle();
    for (let i = 0; i < 100; i++) {
      const id = pair.clientConn.open(STREAM_BIDI);
      pair.clientConn.write(id, new Uint8Array(10), 0, 10, true);
      pair.settle();
    }
    assert.ok(answers >= 2 && answers <= 8, `${answers} answers to 100 datagrams`);
  });

  test("RFC 9000 §5.2.2 an endpoint that accepts no more refuses with CONNECTION_REFUSED", () => {
    const pair = new Pair({ maxConnections: 0 });
    pair.settle();
    const info = closeOf(pair.clientEvents);
    assert.equal(info.code, 2n);
    assert.equal(pair.server.connectionCount, 0);
  });
});

describe("paths", () => {
  test("RFC 9000 §14.4 a path that drops large datagrams does not stop a transfer", () => {
    const pair = new Pair({ client: { maxIdleTimeoutMillis: 60_000 }, server: { maxIdleTimeoutMillis: 60_000 } });
    pair.settle();
    pair.filter = (_, bytes) => bytes.length <= 1280;
    const id = pair.clientConn.open(STREAM_BIDI);
    const sent = new Uint8Array(100_000).fill(7);
    pair.clientConn.write(id, sent, 0, sent.length, true);
    pair.advance(20_000_000);
    assert.equal(pair.serverConn?.readable(id), sent.length);
  });
});
