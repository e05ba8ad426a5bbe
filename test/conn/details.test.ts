/** What façades with the states of RFC 9000 §3 are shown and told, between two connections. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { ConnectionDetails } from "#src/conn/details.js";
import {
  DETAIL_KEY_PHASE,
  DETAIL_LOCAL_IDS,
  DETAIL_RESET_ACKED,
  DETAIL_SIZE_KNOWN,
  DETAIL_STREAM_CREDIT,
  DETAIL_STREAM_LIMIT,
  STREAM_BIDI,
  STREAM_UNI,
} from "#src/port/transport.js";
import { Pair, type PairOptions, Recorder } from "../support/pair.js";

/** A recorder that also listens to details. */
class DetailRecorder extends Recorder {
  readonly details: number[][] = [];
  onDetail(...args: number[]): void {
    this.details.push(args);
  }
}

interface Scene {
  pair: Pair;
  client: ConnectionDetails;
  server: ConnectionDetails;
  clientTold: DetailRecorder;
  serverTold: DetailRecorder;
}

function scene(bits: number, options: PairOptions = {}): Scene {
  const pair = new Pair(options);
  const clientTold = (pair.clientEvents = new DetailRecorder());
  const serverTold = (pair.serverEvents = new DetailRecorder());
  pair.settle();
  assert.ok(pair.serverConn !== null);
  const client = new ConnectionDetails(pair.clientConn);
  const server = new ConnectionDetails(pair.serverConn);
  client.watch(bits);
  server.watch(bits);
  return { pair, client, server, clientTold, serverTold };
}

const DATA = new Uint8Array(5000);

describe("states of a stream", () => {
  test("RFC 9000 §3.1 the sending half: ready, send, sent, received, forgotten", () => {
    const { pair, client } = scene(0);
    const id = pair.clientConn.open(STREAM_UNI);
    const state = (): number | undefined => client.stream(id)?.sendState;
    assert.equal(state(), 0);
    pair.clientConn.write(id, DATA, 0, 100, false);
    assert.equal(state(), 1);
    assert.deepEqual([client.unsentBytes, client.stream(id)?.writtenBytes], [100, 100]);
    pair.clientConn.write(id, DATA, 0, 0, true);
    pair.filter = (fromClient) => fromClient;
    pair.settle();
    assert.deepEqual([state(), client.unsentBytes], [2, 0]);
    pair.filter = () => true;
    pair.advance(1_000_000);
    assert.equal(client.stream(id), null);
  });

  test("RFC 9000 §3.2 the receiving half: receive, size known, received, forgotten; a stream of nobody is null", () => {
    const { pair, server, serverTold } = scene(DETAIL_SIZE_KNOWN);
    const id = pair.clientConn.open(STREAM_UNI);
    assert.equal(server.stream(id), null);
    pair.clientConn.write(id, DATA, 0, 3, false);
    pair.settle();
    assert.deepEqual([server.stream(id)?.recvState, server.stream(id)?.recvFinalSize], [0, -1]);
    let datagrams = 0;
    pair.filter = (fromClient) => !fromClient || datagrams++ > 0; // the first one is lost, the end comes ahead of it
    pair.clientConn.write(id, DATA, 0, 1500, true);
    pair.settle();
    assert.deepEqual([server.stream(id)?.recvState, server.stream(id)?.recvFinalSize], [1, 1503]);
    assert.deepEqual(serverTold.details, [[DETAIL_SIZE_KNOWN, id, 1503]]);
    pair.filter = () => true;
    pair.advance(2_000_000);
    assert.equal(server.stream(id)?.recvState, 2);
    while (pair.serverConn?.read(id, DATA, 0, DATA.length) !== 0);
    assert.equal(server.stream(id)?.recvState, 3);
    pair.advance(1);
    assert.equal(server.stream(id), null);
  });

  test("a reset, from both sides, with the acknowledgement of ours", () => {
    const { pair, client, server, clientTold } = scene(DETAIL_RESET_ACKED);
    const id = pair.clientConn.open(STREAM_BIDI);
    pair.clientConn.write(id, DATA, 0, 100, false);
    pair.settle();
    pair.clientConn.reset(id, 7n);
    assert.equal(client.stream(id)?.sendState, 4);
    pair.advance(1_000_000);
    assert.equal(client.stream(id)?.sendState, 5);
    assert.deepEqual(clientTold.details, [[DETAIL_RESET_ACKED, id, 100]]);
    assert.ok([4, 5].includes(server.stream(id)?.recvState ?? -1));
    assert.equal(server.stream(id)?.sendState, 0);
  });

  test("RFC 9000 §3.2 a stream that is announced is there before anything is written to it", () => {
    const { pair, client, server } = scene(0);
    const id = pair.clientConn.open(STREAM_BIDI);
    pair.settle();
    assert.equal(server.opened(STREAM_BIDI, true), 0);
    assert.equal(client.announce(id), true);
    pair.settle();
    assert.deepEqual([server.opened(STREAM_BIDI, true), server.stream(id)?.recvState], [1, 0]);
    assert.equal(pair.serverConn?.write(id, DATA, 0, 5, false), 5, "it may speak first");
    pair.settle();
    assert.equal(pair.clientConn.readable(id), 5);
    assert.equal(client.announce(pair.clientConn.open(STREAM_UNI)), false);
    assert.equal(client.announce(id + 400), false);
  });

  test("RFC 9000 §4.1 what may be written is bounded by the stream and by the connection", () => {
    const config = { initialMaxData: 3000, initialMaxStreamDataUni: 2000 };
    const { pair, client } = scene(0, { server: config });
    const one = pair.clientConn.open(STREAM_UNI);
    const two = pair.clientConn.open(STREAM_UNI);
    assert.equal(client.stream(one)?.creditBytes, 2000);
    pair.clientConn.write(one, DATA, 0, 1500, false);
    assert.equal(client.stream(one)?.creditBytes, 500);
    pair.settle();
    assert.equal(client.stream(two)?.creditBytes, 1500);
  });

  test("RFC 9000 §4.6 how many streams were opened, and how many still may be", () => {
    const { pair, client, server } = scene(0, { server: { initialMaxStreamsUni: 3 } });
    assert.equal(client.openable(STREAM_UNI), 3);
    const id = pair.clientConn.open(STREAM_UNI);
    pair.clientConn.write(id, DATA, 0, 1, false);
    pair.settle();
    assert.deepEqual([client.openable(STREAM_UNI), client.opened(STREAM_UNI, false)], [2, 1]);
    assert.deepEqual([server.opened(STREAM_UNI, true), server.opened(STREAM_UNI, false)], [1, 0]);
  });

  test("memory of send and receive buffers", () => {
    const { pair, client, server } = scene(0);
    const id = pair.clientConn.open(STREAM_UNI);
    pair.clientConn.write(id, DATA, 0, DATA.length, false);
    assert.ok(client.sendHeldBytes >= DATA.length);
    pair.advance(1_000_000);
    assert.ok(server.recvHeldBytes >= DATA.length);
    assert.equal(client.sendHeldBytes, 0);
  });
});

describe("details", () => {
  test("nothing that is not watched is told", () => {
    const { pair, clientTold, serverTold } = scene(0);
    assert.equal(pair.clientConn.updateKeys(), true);
    const id = pair.clientConn.open(STREAM_BIDI);
    pair.clientConn.write(id, DATA, 0, 10, false);
    pair.clientConn.reset(id, 1n);
    pair.advance(3_000_000);
    assert.deepEqual([clientTold.details, serverTold.details], [[], []]);
  });

  test("RFC 9001 §6.2 new keys that the peer began with", () => {
    const { pair, clientTold, serverTold } = scene(DETAIL_KEY_PHASE);
    pair.clientConn.updateKeys();
    pair.clientConn.write(pair.clientConn.open(STREAM_UNI), DATA, 0, 10, false);
    pair.advance(3_000_000);
    assert.deepEqual([serverTold.details, clientTold.details], [[[DETAIL_KEY_PHASE, 0, 1]], []]);
  });

  test("RFC 9000 §4.1, §4.6 limits that the peer raised, the latest of each stream", () => {
    const config = { initialMaxStreamDataUni: 2000, initialMaxStreamsUni: 2, streamWindowMaxBytes: 2000 };
    const { pair, clientTold } = scene(DETAIL_STREAM_CREDIT | DETAIL_STREAM_LIMIT, { server: config });
    const ids = [pair.clientConn.open(STREAM_UNI), pair.clientConn.open(STREAM_UNI)];
    for (const id of ids) pair.clientConn.write(id, DATA, 0, 2000, false);
    pair.settle();
    for (const id of ids) pair.serverConn?.read(id, DATA, 0, DATA.length);
    pair.advance(1_000_000);
    assert.deepEqual(
      clientTold.details.map(([detail, id]) => [detail, id]),
      ids.map((id) => [DETAIL_STREAM_CREDIT, id]),
    );
    clientTold.details.length = 0;
    pair.clientConn.write(ids[0], DATA, 0, 0, true);
    pair.settle();
    pair.serverConn?.read(ids[0], DATA, 0, 1);
    pair.advance(1_000_000);
    assert.deepEqual(clientTold.details, [[DETAIL_STREAM_LIMIT, STREAM_UNI, 3]]);
  });

  test("RFC 9000 §5.1.2 connection ids of ours that the peer retired", () => {
    const { pair, clientTold } = scene(DETAIL_LOCAL_IDS);
    assert.equal(pair.serverConn?.peerIds.rotate(), true);
    pair.serverConn?.write(pair.serverConn.open(STREAM_UNI), DATA, 0, 10, false);
    pair.advance(1_000_000);
    assert.deepEqual(clientTold.details, [[DETAIL_LOCAL_IDS, 0, 1]]);
  });
});
