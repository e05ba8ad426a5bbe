import assert from "node:assert/strict";
import { beforeEach, describe, test } from "node:test";
import { STREAM_BIDI, STREAM_UNI } from "../port/transport.js";
import { MAX_TURN_FRAMES, TURN_FLIGHT_SHARE } from "../proto/limits.js";
import { type Packet, StreamPair, type StreamSide } from "./stream-pair.contract.js";

let pair: StreamPair;
let client: StreamSide;
let server: StreamSide;
beforeEach(() => {
  pair = new StreamPair();
  ({ client, server } = pair);
});

/** The frames of these packets, as the server reads them. */
function framesOf(packets: (Packet | null)[]): string[] {
  for (const packet of packets) if (packet !== null) server.receive(packet);
  return server.takeFrames();
}

describe("STREAM frames", () => {
  test("RFC 9000 §19.8 a frame that fills its packet has no length, and every byte of the packet is used", () => {
    const id = client.table.open(STREAM_BIDI);
    client.write(id, 0, 3000, true);
    const packets = client.sendAll();
    assert.deepEqual(
      packets.map(({ bytes }) => bytes.length),
      [1200, 1200, 612],
    );
    assert.deepEqual(
      packets.map(({ bytes }) => bytes[0]),
      [0x08, 0x0c, 0x0f],
    );
    assert.deepEqual(framesOf(packets), ["STREAM 0 0+1198", "STREAM 0 1198+1196", "STREAM 0 2394+606 FIN"]);
  });

  test("several small streams share a packet", () => {
    const ids = [0, 1, 2].map(() => client.table.open(STREAM_UNI));
    for (const id of ids) client.write(id, 0, 100, true);
    assert.deepEqual(
      framesOf([client.send()]),
      ids.map((id) => `STREAM ${id} 0+100 FIN`),
    );
    assert.equal(client.output.hasPending(), false);
  });

  test("streams of one urgency take turns packet by packet", () => {
    const ids = [0, 1].map(() => client.table.open(STREAM_UNI));
    for (const id of ids) client.write(id, 0, 5000);
    const order = framesOf(client.sendAll()).map((frame) => Number(frame.split(" ")[1]));
    assert.deepEqual(order.slice(0, 6), [2, 6, 2, 6, 2, 6]);
  });

  test("a turn grows with the flight: TURN_FLIGHT_SHARE of it, at least a packet, at most MAX_TURN_FRAMES", () => {
    const ids = [0, 1].map(() => client.table.open(STREAM_UNI));
    for (const id of ids) client.write(id, 0, 5000);
    const turn = (flightPackets: number): number => {
      client.output.setFlight(flightPackets);
      return client.output.turnPackets(client.output.freshHead()!);
    };
    const perFrame = 1 / TURN_FLIGHT_SHARE;
    assert.deepEqual([0, perFrame, 2 * perFrame - 1, 2 * perFrame].map(turn), [1, 1, 1, 2]);
    const most = MAX_TURN_FRAMES * perFrame;
    assert.deepEqual([most - 1, most, 100 * most].map(turn), [MAX_TURN_FRAMES - 1, MAX_TURN_FRAMES, MAX_TURN_FRAMES]);
  });

  test("RFC 9000 §2.3 priorities can change at any time", () => {
    const ids = [0, 1, 2].map(() => client.table.open(STREAM_UNI));
    for (const id of ids) client.write(id, 0, 2000);
    client.table.setPriority(ids[2], 0, false);
    assert.deepEqual(framesOf([client.send()]), [`STREAM ${ids[2]} 0+1198`]);
    client.table.setPriority(ids[2], 99, false);
    client.table.setPriority(ids[1], -5, false);
    assert.deepEqual(framesOf([client.send()]), [`STREAM ${ids[1]} 0+1198`]);
  });

  test("no crumb of a longer stream is begun at the end of a packet", () => {
    const [small, long] = [client.table.open(STREAM_UNI), client.table.open(STREAM_UNI)];
    client.write(small, 0, 1180);
    client.write(long, 0, 2000);
    assert.deepEqual(framesOf([client.send()]), [`STREAM ${small} 0+1180`]);
  });

  test("RFC 9000 §2.2 an empty stream is opened and ended by a bare FIN", () => {
    const id = client.table.open(STREAM_UNI);
    client.table.write(id, new Uint8Array(0), 0, 0, true);
    assert.deepEqual(framesOf([client.send()]), [`STREAM ${id} 0+0 FIN`]);
  });
});

describe("RFC 9000 §13.3 loss", () => {
  test("RFC 9000 §13.3 lost data is sent again before new data, with its FIN", () => {
    const id = client.table.open(STREAM_BIDI);
    client.write(id, 0, 2000);
    const [first, second] = client.sendAll();
    client.write(id, 2000, 50, true);
    client.lost(first.pn);
    assert.deepEqual(framesOf(client.sendAll(0, 1500)), ["STREAM 0 0+1198", "STREAM 0 2000+50 FIN"]);
    client.acked(second.pn);
  });

  test("RFC 9000 §13.3 what was acknowledged meanwhile is not sent again, a bare FIN is", () => {
    const id = client.table.open(STREAM_BIDI);
    client.write(id, 0, 100);
    const data = client.send()!;
    client.table.write(id, new Uint8Array(0), 0, 0, true);
    const fin = client.send()!;
    client.lost(data.pn);
    client.acked(data.pn);
    assert.equal(client.output.hasPending(), false);
    client.lost(fin.pn);
    assert.deepEqual(framesOf([client.send()]), ["STREAM 0 100+0 FIN"]);
    client.lost(fin.pn);
    client.acked(fin.pn);
    assert.equal(client.output.hasPending(), false);
    assert.deepEqual(client.takeTold(), ["done 0"]);
  });

  test("RFC 9000 §13.3 data of a reset stream is not sent again, RESET_STREAM is until it is acknowledged", () => {
    const id = client.table.open(STREAM_UNI);
    client.write(id, 0, 1000);
    const data = client.send()!;
    client.table.reset(id, 3n);
    const reset = client.send()!;
    client.lost(data.pn);
    assert.equal(client.output.hasPending(), false);
    client.lost(reset.pn);
    const again = client.send()!;
    assert.deepEqual(framesOf([again]), [`RESET_STREAM ${id} 3 1000`]);
    client.acked(again.pn);
    client.lost(reset.pn);
    assert.equal(client.output.hasPending(), false);
    assert.deepEqual(client.takeTold(), [`closed ${id}`]);
  });

  test("RFC 9000 §13.3 STOP_SENDING is repeated until the final size is known", () => {
    const id = client.table.open(STREAM_BIDI);
    client.table.stopSending(id, 4n);
    const stop = client.send()!;
    client.lost(stop.pn);
    assert.deepEqual(framesOf([client.send()]), ["STOP_SENDING 0 4"]);
    client.lost(stop.pn);
    client.input.onResetStream(id, 4n, 0);
    assert.equal(client.output.hasPending(), false);
  });

  test("RFC 9000 §13.3 a lost limit is repeated with its current value, and only the latest one", () => {
    const id = server.table.open(STREAM_UNI);
    server.write(id, 0, 65_000);
    for (const packet of server.sendAll()) client.receive(packet);
    client.read(id, 0, 50_000);
    const first = client.send()!;
    client.read(id, 50_000, 10_000);
    client.lost(first.pn);
    assert.deepEqual(framesOf([client.send()]), [`MAX_STREAM_DATA ${id} 160000`]);
    client.lost(first.pn);
    assert.equal(client.output.hasPending(), false);
  });

  test("RFC 9000 §13.3 MAX_DATA and MAX_STREAMS are repeated when the latest one is lost", () => {
    const table = client.table;
    table.recvCredit.received = table.recvCredit.consumed = 600_000;
    client.input.onDataBlocked(1_000_000);
    const first = client.send()!;
    table.recvCredit.consumed = table.recvCredit.received = 700_000;
    client.input.onDataBlocked(1_600_000);
    const second = client.send()!;
    client.lost(first.pn);
    assert.equal(client.output.hasPending(), false);
    client.lost(second.pn);
    assert.deepEqual(framesOf(client.sendAll()), ["MAX_DATA 1700000"]);
    for (let index = 0; index < 2; index++) table.counts[STREAM_UNI].onPeerStreamForgotten();
    client.input.onStreamsBlocked(STREAM_UNI, 10);
    const streams = client.send()!;
    client.lost(streams.pn);
    assert.deepEqual(framesOf(client.sendAll()), ["MAX_STREAMS 1 12"]);
    table.counts[STREAM_UNI].update();
    client.lost(streams.pn);
    assert.deepEqual(framesOf(client.sendAll()), ["MAX_STREAMS 1 12"]);
    table.counts[STREAM_UNI].onPeerStreamForgotten();
    table.counts[STREAM_UNI].update();
    client.lost(streams.pn);
    assert.equal(client.output.hasPending(), false);
  });

  test("RFC 9000 §13.3 a lost STREAMS_BLOCKED is repeated only while somebody waits at that limit", () => {
    while (client.table.open(STREAM_UNI) >= 0);
    const blocked = client.send()!;
    client.lost(blocked.pn);
    assert.deepEqual(framesOf(client.sendAll()), ["STREAMS_BLOCKED 1 10"]);
    client.input.onMaxStreams(STREAM_UNI, 11);
    client.lost(blocked.pn);
    assert.equal(client.output.hasPending(), false);
  });

  test("acknowledgements and losses of forgotten streams are ignored", () => {
    const id = client.table.open(STREAM_UNI);
    client.write(id, 0, 10, true);
    const packet = client.send()!;
    client.acked(packet.pn);
    client.drain();
    assert.equal(client.table.find(id), null);
    client.lost(packet.pn);
    client.acked(packet.pn);
    assert.equal(client.output.hasPending(), false);
  });
});

describe("RFC 9000 §4.1 blocked", () => {
  test("RFC 9000 §4.1 the stream's limit stops it, told once, and no other stream", () => {
    pair = new StreamPair({}, { initialMaxStreamDataUni: 500 });
    ({ client, server } = pair);
    const [one, two] = [client.table.open(STREAM_UNI), client.table.open(STREAM_UNI)];
    client.write(one, 0, 600);
    client.write(two, 0, 100);
    assert.deepEqual(framesOf(client.sendAll()), [
      `STREAM ${one} 0+500`,
      `STREAM ${two} 0+100`,
      `STREAM_DATA_BLOCKED ${one} 500`,
    ]);
    client.write(one, 600, 1);
    assert.equal(client.output.hasPending(), false);
    client.input.onMaxStreamData(one, 700);
    assert.deepEqual(framesOf(client.sendAll()), [`STREAM ${one} 500+101`]);
  });

  test("RFC 9000 §4.1 the connection's limit stops new data, told once, and not what was lost", () => {
    pair = new StreamPair({}, { initialMaxData: 700 });
    ({ client, server } = pair);
    const [one, two] = [client.table.open(STREAM_UNI), client.table.open(STREAM_UNI)];
    client.write(one, 0, 600);
    const first = client.send()!;
    client.write(two, 0, 600);
    client.write(one, 600, 50);
    assert.deepEqual(framesOf([first, ...client.sendAll()]).slice(1), [`STREAM ${two} 0+100`, "DATA_BLOCKED 700"]);
    assert.equal(client.output.flowBlocked, 1);
    client.lost(first.pn);
    assert.deepEqual(framesOf(client.sendAll()), [`STREAM ${one} 0+600`]);
    assert.equal(client.output.hasPending(), false);
    client.input.onMaxData(900);
    assert.deepEqual(framesOf(client.sendAll()), [`STREAM ${two} 100+200`, "DATA_BLOCKED 900"]);
  });

  test("RFC 9000 §13.3 a lost DATA_BLOCKED is repeated only while that limit blocks", () => {
    pair = new StreamPair({}, { initialMaxData: 10 });
    ({ client, server } = pair);
    client.write(client.table.open(STREAM_UNI), 0, 20);
    const packet = client.send()!;
    assert.deepEqual(framesOf([packet]), ["STREAM 2 0+10", "DATA_BLOCKED 10"]);
    client.acked(packet.pn);
    client.lost(packet.pn);
    assert.deepEqual(framesOf(client.sendAll()), ["DATA_BLOCKED 10"]);
    client.input.onMaxData(15);
    client.lost(packet.pn);
    assert.deepEqual(framesOf(client.sendAll()), ["STREAM 2 10+5", "DATA_BLOCKED 15"]);
  });

  test("RFC 9000 §4.1 credit that comes before DATA_BLOCKED was sent makes it needless", () => {
    pair = new StreamPair({}, { initialMaxData: 10 });
    ({ client, server } = pair);
    const id = client.table.open(STREAM_UNI);
    client.write(id, 0, 10);
    client.sendAll();
    client.write(id, 10, 10);
    assert.equal(client.output.hasControl(), true);
    client.input.onMaxData(100);
    assert.deepEqual(framesOf(client.sendAll()), [`STREAM ${id} 10+10`]);
  });

  test("RFC 9000 §4.1, §4.6 limits raised before STREAM_DATA_BLOCKED and STREAMS_BLOCKED were sent make them needless", () => {
    pair = new StreamPair({}, { initialMaxStreamDataUni: 10, initialMaxStreamsUni: 1 });
    ({ client, server } = pair);
    const id = client.table.open(STREAM_UNI);
    client.write(id, 0, 10);
    client.sendAll();
    client.write(id, 10, 10);
    client.table.open(STREAM_UNI);
    client.input.onMaxStreamData(id, 15);
    client.input.onMaxStreams(STREAM_UNI, 2);
    assert.equal(client.output.hasControl(), false);
    assert.deepEqual(framesOf(client.sendAll()), [`STREAM ${id} 10+5`, `STREAM_DATA_BLOCKED ${id} 15`]);
  });

  test("a FIN needs no credit", () => {
    pair = new StreamPair({}, { initialMaxData: 10 });
    ({ client, server } = pair);
    const id = client.table.open(STREAM_UNI);
    client.write(id, 0, 10);
    client.sendAll();
    client.table.write(id, new Uint8Array(0), 0, 0, true);
    assert.deepEqual(framesOf(client.sendAll()), [`STREAM ${id} 10+0 FIN`]);
  });
});

describe("room in packets", () => {
  test("every size of packet and stream is used without a gap in the data or a byte over the limit", () => {
    for (let size = 24; size < 140; size++) {
      pair = new StreamPair();
      ({ client, server } = pair);
      const id = client.table.open(STREAM_UNI);
      const length = size * 3 - 7;
      client.write(id, 0, length, true);
      for (const packet of client.sendAll(0, size)) server.receive(packet);
      assert.equal(server.read(id, 0, 1000), length, `packets of ${size}`);
      assert.equal(server.table.atEnd(id), true);
    }
  });

  test("control frames that do not fit wait for the next packet", () => {
    const ids = Array.from({ length: 10 }, () => client.table.open(STREAM_BIDI));
    for (const id of ids) client.table.reset(id, 2n ** 61n);
    assert.equal(client.output.hasControl(), true);
    const packets = client.sendAll(0, 30);
    assert.equal(packets.length, 5);
    assert.deepEqual(
      framesOf(packets),
      ids.map((id) => `RESET_STREAM ${id} ${2n ** 61n} 0`),
    );
    assert.equal(client.output.hasControl(), false);
  });
});

test("filling packets allocates nothing that grows with their number", () => {
  const id = client.table.open(STREAM_UNI);
  const held = client.table.heldBytes();
  for (let round = 0; round < 500; round++) {
    client.write(id, round * 100, 100);
    for (const packet of client.sendAll()) {
      server.receive(packet);
      client.acked(packet.pn);
    }
    server.read(id, round * 100, 100);
    assert.equal(client.table.heldBytes(), held);
    assert.equal(server.table.heldBytes(), 0);
  }
});
