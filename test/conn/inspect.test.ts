/** What an operator sees of connections and of an endpoint, and what is left in the sums when a connection is gone. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { briefOf, inspectConnection } from "#src/conn/inspect.js";
import { STREAM_BIDI } from "#src/port/transport.js";
import { VERSION_1 } from "#src/proto/version.js";
import { Pair } from "../support/pair.js";

const DATA = new Uint8Array(20_000);

function open(): Pair {
  const pair = new Pair();
  pair.settle();
  assert.ok(pair.serverConn !== null);
  return pair;
}

describe("what is seen of a connection", () => {
  test("its phase, protocol, windows and ids", () => {
    const pair = open();
    const server = pair.serverConn!;
    const brief = briefOf(server);
    assert.deepEqual([brief.phase, brief.isEstablished, brief.isServer], ["open", true, true]);
    assert.equal(brief.alpn, server.handshake?.alpn);
    assert.equal(brief.cwndBytes, server.stats().cwndBytes);
    const [mine, theirs] = [inspectConnection(pair.clientConn), inspectConnection(server)];
    assert.equal(mine.version, VERSION_1);
    assert.equal(mine.origDcid, theirs.origDcid);
    assert.ok(theirs.localCids.includes(mine.peerCid));
    assert.ok(mine.localCids.includes(theirs.peerCid));
    assert.deepEqual(
      mine.paths.map(({ role, validated }) => [role, validated]),
      [["active", true]],
    );
    assert.equal(mine.congestion, "cubic");
  });

  test("bytes that wait to be sent and to be read, and open streams", () => {
    const pair = open();
    const id = pair.clientConn.open(STREAM_BIDI);
    pair.clientConn.write(id, DATA, 0, DATA.length, false);
    assert.equal(inspectConnection(pair.clientConn).unsentBytes, DATA.length);
    assert.ok(briefOf(pair.clientConn).sendHeldBytes >= DATA.length);
    pair.advance(1_000_000);
    assert.equal(inspectConnection(pair.clientConn).unsentBytes, 0);
    assert.ok(briefOf(pair.serverConn!).recvHeldBytes >= DATA.length);
    assert.equal(inspectConnection(pair.serverConn!).streamsOpen, 1);
  });

  test("RFC 9000 §13.3 frames that are lost are counted with the bytes that are sent again", () => {
    const pair = open();
    const id = pair.clientConn.open(STREAM_BIDI);
    pair.clientConn.write(id, DATA, 0, 1000, false);
    let lost = 0;
    pair.filter = (fromClient) => !fromClient || lost++ > 0;
    pair.settle();
    pair.advance(5_000_000);
    const { framesLost, frameBytesLost } = inspectConnection(pair.clientConn);
    assert.deepEqual([framesLost, frameBytesLost], [1, 1000]);
    assert.equal(pair.serverConn!.readable(id), 1000);
  });
});

describe("sums of an endpoint", () => {
  test("established ones, whoever began them", () => {
    const pair = open();
    const [client, server] = [pair.client.tally(), pair.server.tally()];
    assert.deepEqual([client.established, client.activeOpens, client.passiveOpens], [1, 1, 0]);
    assert.deepEqual([server.established, server.activeOpens, server.passiveOpens], [1, 0, 1]);
    assert.equal(client.packetsSent, pair.clientConn.counters.packetsSent);
  });

  test("stay when the connection is gone, but for what only one that is there has", () => {
    const pair = open();
    pair.clientConn.close("application", 7n, "");
    pair.settle();
    const before = pair.server.tally();
    assert.deepEqual([before.closesSent, before.closesReceived, before.established], [0, 1, 0]);
    pair.advance(10_000_000);
    assert.equal(pair.server.connectionCount, 0);
    const [client, server] = [pair.client.tally(), pair.server.tally()];
    assert.deepEqual([client.closesSent, client.closesReceived, client.activeOpens], [1, 0, 1]);
    assert.deepEqual([server.closesReceived, server.passiveOpens], [1, 1]);
    assert.equal(server.packetsReceived, before.packetsReceived);
    assert.deepEqual([server.heldBytes, server.frameErrors], [0, 0]);
  });
});
