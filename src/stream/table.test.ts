import assert from "node:assert/strict";
import { beforeEach, describe, test } from "node:test";
import { StreamPair, StreamSide, streamParams } from "../outqueue/stream-pair.contract.js";
import { STREAM_BIDI, STREAM_UNI, T_BLOCKED, T_RESET, T_STATE, T_STOPPED } from "../port/transport.js";

const NONE = new Uint8Array(0);

let pair: StreamPair;
let client: StreamSide;
let server: StreamSide;
beforeEach(() => {
  pair = new StreamPair();
  ({ client, server } = pair);
});

describe("open", () => {
  test("RFC 9000 §2.1 gives ids in order, each kind on its own", () => {
    const kinds = [STREAM_BIDI, STREAM_UNI, STREAM_BIDI, STREAM_UNI] as const;
    assert.deepEqual(
      kinds.map((kind) => client.table.open(kind)),
      [0, 2, 4, 6],
    );
    assert.deepEqual(
      kinds.map((kind) => server.table.open(kind)),
      [1, 3, 5, 7],
    );
  });

  test("RFC 9000 §4.6 blocks at the peer's limit, says so to the peer once, and tells when there is more", () => {
    for (let count = 0; count < 10; count++) assert.ok(client.table.open(STREAM_UNI) >= 0);
    assert.equal(client.table.open(STREAM_UNI), T_BLOCKED);
    assert.equal(client.table.open(STREAM_UNI), T_BLOCKED);
    server.receive(client.send()!);
    assert.deepEqual(server.takeFrames(), ["STREAMS_BLOCKED 1 10"]);
    assert.equal(client.table.open(STREAM_UNI), T_BLOCKED);
    assert.equal(client.output.hasPending(), false);
    client.input.onMaxStreams(STREAM_UNI, 11);
    assert.deepEqual(client.takeTold(), ["available 1"]);
    assert.equal(client.table.open(STREAM_UNI), 42);
    client.input.onMaxStreams(STREAM_UNI, 12);
    assert.deepEqual(client.takeTold(), [], "nobody was refused");
  });

  test("before the peer's parameters are known nothing can be opened and nothing is sent", () => {
    const alone = new StreamSide(false, streamParams());
    assert.equal(alone.table.open(STREAM_BIDI), T_BLOCKED);
    assert.equal(alone.output.hasPending(), false);
    alone.table.applyPeerParams(streamParams());
    assert.deepEqual(alone.takeTold(), ["available 0"]);
  });

  test("RFC 9000 §7.4.1 parameters that come again only raise limits, also of open streams", () => {
    const early = new StreamSide(false, streamParams());
    early.table.applyPeerParams(streamParams({ initialMaxStreamDataBidiRemote: 100, initialMaxData: 150 }));
    const id = early.table.open(STREAM_BIDI);
    early.write(id, 0, 1000);
    early.sendAll();
    assert.equal(early.output.streamBytesSent, 100);
    early.table.applyPeerParams(streamParams({ initialMaxStreamDataBidiRemote: 400, initialMaxData: 120 }));
    early.sendAll();
    assert.equal(early.output.streamBytesSent, 150);
  });
});

describe("write", () => {
  test("takes what fits, counts fin only with the last byte, and tells when it can go on", () => {
    const id = client.table.open(STREAM_BIDI);
    assert.equal(client.table.writable(id), 65_536);
    assert.equal(client.write(id, 0, 60_000), 60_000);
    assert.equal(client.write(id, 60_000, 10_000, true), 5536);
    assert.equal(client.write(id, 65_536, 4464, true), 0);
    assert.equal(client.table.writable(id), 0);
    const packets = client.sendAll();
    for (const { pn } of packets.slice(0, 3)) client.acked(pn);
    assert.deepEqual(client.takeTold(), [], "not for a crumb");
    for (const { pn } of packets.slice(3)) client.acked(pn);
    assert.deepEqual(client.takeTold(), [`writable ${id}`]);
    assert.equal(client.write(id, 65_536, 4464, true), 4464);
    assert.equal(client.table.writable(id), 0, "the end is written");
    assert.equal(client.write(id, 70_000, 1), T_STATE);
  });

  test("an empty write with fin ends a full stream", () => {
    const id = client.table.open(STREAM_BIDI);
    client.write(id, 0, 65_536);
    assert.equal(client.table.write(id, NONE, 0, 0, true), 0);
    assert.equal(client.write(id, 65_536, 1), T_STATE);
  });

  test("T_STATE for unknown streams and missing halves, T_STOPPED after STOP_SENDING, T_STATE after our reset", () => {
    assert.equal(client.write(0, 0, 1), T_STATE);
    const uni = server.table.open(STREAM_UNI);
    server.write(uni, 0, 1);
    pair.settle();
    assert.equal(client.write(uni, 0, 1), T_STATE);
    assert.equal(client.table.writable(uni), 0);
    const id = client.table.open(STREAM_BIDI);
    client.write(id, 0, 1);
    pair.settle();
    server.table.stopSending(id, 5n);
    pair.settle();
    assert.equal(client.write(id, 1, 1), T_STOPPED);
    assert.equal(client.table.stopCode(id), 5n);
    const other = client.table.open(STREAM_BIDI);
    assert.equal(client.table.reset(other, 1n), true);
    assert.equal(client.write(other, 0, 1), T_STATE);
  });
});

describe("read", () => {
  test("gives bytes in order, then the end, which atEnd tells", () => {
    const id = client.table.open(STREAM_UNI);
    client.write(id, 0, 10, true);
    pair.settle();
    assert.deepEqual(server.takeTold(), [`stream ${id}`, `readable ${id}`]);
    assert.equal(server.table.readable(id), 10);
    assert.equal(server.read(id, 0, 6), 6);
    assert.equal(server.table.atEnd(id), false);
    assert.equal(server.read(id, 6, 6), 4);
    assert.equal(server.table.atEnd(id), true);
    assert.equal(server.read(id, 10, 6), 0);
    assert.deepEqual(server.takeTold(), [`closed ${id}`]);
    assert.equal(server.read(id, 10, 6), T_STATE);
  });

  test("an end that comes alone is told, and seen by atEnd without another read", () => {
    const id = client.table.open(STREAM_UNI);
    client.write(id, 0, 10);
    pair.settle();
    server.read(id, 0, 10);
    server.takeTold();
    client.table.write(id, NONE, 0, 0, true);
    pair.settle();
    assert.deepEqual(server.takeTold(), [`readable ${id}`]);
    assert.equal(server.table.atEnd(id), true);
    assert.deepEqual(server.takeTold(), [`closed ${id}`]);
  });

  test("T_STATE without a receiving half and after stopSending; T_RESET after a reset", () => {
    const uni = client.table.open(STREAM_UNI);
    assert.equal(client.read(uni, 0, 1), T_STATE);
    assert.equal(client.table.readable(uni), 0);
    const id = client.table.open(STREAM_BIDI);
    client.write(id, 0, 5);
    pair.settle();
    client.table.reset(id, 9n);
    pair.settle();
    assert.equal(server.read(id, 0, 5), T_RESET);
    assert.equal(server.table.resetCode(id), 9n);
    assert.equal(server.table.atEnd(id), false);
    const stopped = client.table.open(STREAM_BIDI);
    client.write(stopped, 0, 5);
    pair.settle();
    assert.equal(server.table.stopSending(stopped, 1n), true);
    assert.equal(server.read(stopped, 0, 5), T_STATE);
  });

  test("reading returns credit when it is worth a frame", () => {
    const id = client.table.open(STREAM_BIDI);
    client.write(id, 0, 60_000);
    pair.settle();
    server.read(id, 0, 6249);
    assert.equal(server.output.hasPending(), false);
    server.read(id, 6249, 1);
    pair.settle();
    assert.deepEqual(client.takeFrames(), [`MAX_STREAM_DATA ${id} 106250`]);
  });
});

describe("reset and stopSending", () => {
  test("are false when there is nothing to end", () => {
    assert.equal(client.table.reset(0, 1n), false);
    assert.equal(client.table.stopSending(0, 1n), false);
    const uni = client.table.open(STREAM_UNI);
    assert.equal(client.table.stopSending(uni, 1n), false);
    assert.equal(client.table.reset(uni, 1n), true);
    assert.equal(client.table.reset(uni, 1n), false);
    pair.settle();
    assert.equal(server.table.reset(uni, 1n), false);
    server.drain();
    assert.equal(server.table.stopSending(uni, 1n), false);
  });

  test("what the application ended by itself is not told any more", () => {
    const id = client.table.open(STREAM_BIDI);
    client.write(id, 0, 65_536 + 1);
    for (const packet of client.sendAll()) {
      server.receive(packet);
      client.acked(packet.pn);
    }
    server.table.stopSending(id, 1n);
    client.table.reset(id, 1n);
    assert.deepEqual([server.takeTold(), client.takeTold()], [[`stream ${id}`], []]);
  });

  test("stopSending after all data arrived drops it without a frame", () => {
    const id = client.table.open(STREAM_UNI);
    client.write(id, 0, 500, true);
    pair.settle();
    assert.equal(server.table.stopSending(id, 1n), true);
    assert.equal(server.output.hasPending(), false);
    assert.equal(server.table.heldBytes(), 0);
    assert.deepEqual(server.takeTold(), [`stream ${id}`, `closed ${id}`]);
  });
});

describe("the end of a stream", () => {
  test("is told once, after both halves, and frees its place for the peer", () => {
    for (let round = 0; round < 25; round++) {
      const id = client.table.open(STREAM_BIDI);
      assert.equal(id, 4 * round, "the limit of ten never blocks");
      client.write(id, 0, 300, true);
      pair.settle();
      server.read(id, 0, 300);
      server.write(id, 0, 200, true);
      pair.settle();
      client.read(id, 0, 200);
      assert.deepEqual(server.takeTold(), [`stream ${id}`, `done ${id}`, `closed ${id}`]);
      assert.deepEqual(client.takeTold(), [`done ${id}`, `closed ${id}`]);
      pair.settle();
      assert.deepEqual([client.table.size, server.table.size], [0, 0]);
    }
    assert.deepEqual([client.table.heldBytes(), server.table.heldBytes()], [0, 0]);
  });

  test("clear forgets everything at once", () => {
    const id = client.table.open(STREAM_BIDI);
    client.write(id, 0, 50_000);
    client.table.reset(client.table.open(STREAM_UNI), 1n);
    assert.ok(client.table.heldBytes() > 0);
    client.table.clear();
    assert.deepEqual([client.table.size, client.table.heldBytes(), client.output.hasPending()], [0, 0, false]);
    client.acked(0);
  });
});

describe("windows", () => {
  test("a stream's window that grows takes the connection's along", () => {
    server.table.smoothedRttMicros = 10_000;
    const id = client.table.open(STREAM_UNI);
    client.write(id, 0, 1);
    pair.settle();
    const { recv } = server.table.find(id)!;
    for (let now = 0; now < 4; now++) {
      recv!.credit.received = recv!.credit.consumed = recv!.credit.advertised;
      server.table.nextMaxStreamData(recv!, now);
    }
    assert.deepEqual([recv!.credit.windowBytes, server.table.recvCredit.windowBytes], [800_000, 1_200_000]);
  });

  test("double with use up to their maximum, the connection's ahead of the stream's", () => {
    client.table.smoothedRttMicros = server.table.smoothedRttMicros = 10_000;
    const id = client.table.open(STREAM_UNI);
    let [written, read] = [0, 0];
    for (let now = 0; now < 200_000; now += 2000) {
      written += Math.max(0, client.write(id, written, 65_536));
      pair.settle(now);
      for (let count = 1; count > 0; read += count) count = server.read(id, read, 20_000);
    }
    const { credit } = server.table.find(id)!.recv!;
    assert.equal(credit.windowBytes, 1_000_000);
    const { windowBytes, advertised } = server.table.recvCredit;
    assert.ok(windowBytes >= 1_500_000 && windowBytes <= 2_000_000);
    assert.ok(advertised <= read + windowBytes);
    assert.ok(read > 2_000_000);
  });
});
