/** When small writes leave: Nagle's rule, stream_data_nodelay, MSG_MORE; in memory and virtual time. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import {
  MSG_BATCH,
  MSG_MORE,
  MSG_QUIC_DATAGRAM,
  MSG_QUIC_STREAM_FIN,
  MSG_QUIC_STREAM_NEW,
  QUIC_SOCKOPT_CONFIG,
  QUIC_SOCKOPT_STREAM_RESET,
} from "#src/socket/numbers.js";
import { config, errInfo } from "#src/socket/structs.js";
import { receiveAll, sendPlain, setOption, SocketPair, text } from "./support.js";

class Wire {
  readonly sides: SocketPair;

  constructor(nodelay = false) {
    this.sides = new SocketPair();
    if (nodelay) this.sides.client.settings.config.stream_data_nodelay = 1;
  }

  /** Writes on stream 0, lets the client send once, and says how many stream bytes left. */
  leaves(data: string, flags = 0): number {
    const before = this.sentBytes;
    this.write(data, flags);
    return this.sentBytes - before;
  }

  write(data: string, flags: number): void {
    const isNew = this.sides.client.attached?.details.opened(0, false) === 0;
    const stream = { stream_id: 0, stream_flags: (isNew ? MSG_QUIC_STREAM_NEW : 0) | (flags & MSG_QUIC_STREAM_FIN) };
    const sent = sendPlain(this.sides.client, { data: text(data), flags: flags & ~MSG_QUIC_STREAM_FIN, stream });
    assert.equal(sent, data.length);
    this.sides.pair.sendFromClient();
  }

  get sentBytes(): number {
    return this.sides.pair.clientConn.stats().streamBytesSent;
  }
}

describe("Nagle's rule", () => {
  test("a small write leaves at once while nothing is in flight, the next when the first is acknowledged", () => {
    const wire = new Wire();
    assert.equal(wire.leaves("one"), 3);
    assert.equal(wire.leaves("two"), 0);
    assert.equal(wire.leaves("three"), 0);
    wire.sides.settle();
    assert.equal(wire.sentBytes, 11, "together, behind the acknowledgement");
    assert.deepEqual(receiveAll(wire.sides.server), ["0: onetwothree"]);
  });

  test("what fills a packet leaves, its rest waits", () => {
    const wire = new Wire();
    wire.leaves("one");
    const left = wire.leaves("x".repeat(3000));
    assert.ok(left > 1100 && left < 3000, `${left}`);
    wire.sides.settle();
    assert.equal(wire.sentBytes, 3003);
  });

  test("FIN waits with the last bytes, and with none", () => {
    for (const last of ["two", ""]) {
      const wire = new Wire();
      wire.leaves("one");
      assert.equal(wire.leaves(last, MSG_QUIC_STREAM_FIN), 0);
      wire.sides.settle();
      assert.deepEqual(receiveAll(wire.sides.server), [`0 fin: one${last}`]);
    }
  });

  test("a packet that leaves anyway takes small writes along: of a datagram, of a reset", () => {
    const wire = new Wire();
    wire.leaves("one");
    wire.leaves("two");
    sendPlain(wire.sides.client, { data: text("d"), flags: MSG_QUIC_DATAGRAM });
    wire.sides.pair.sendFromClient();
    assert.equal(wire.sentBytes, 6);
    const other = { stream_id: 4, stream_flags: MSG_QUIC_STREAM_NEW };
    sendPlain(wire.sides.client, { data: text("four"), flags: 0, stream: other });
    wire.leaves("more");
    setOption(wire.sides.client, QUIC_SOCKOPT_STREAM_RESET, errInfo.encode({ stream_id: 4, errcode: 1 }));
    wire.sides.pair.sendFromClient();
    assert.equal(wire.sentBytes, 10, "`more`, and nothing of the stream that was reset");
  });

  test("stream_data_nodelay switches it off", () => {
    const wire = new Wire(true);
    for (const data of ["one", "two", "three"]) assert.equal(wire.leaves(data), data.length);
    const { client } = new SocketPair();
    assert.equal(setOption(client, QUIC_SOCKOPT_CONFIG, config.encode({ stream_data_nodelay: 1 })), "EINVAL");
  });
});

describe("MSG_MORE", () => {
  for (const nodelay of [false, true]) {
    test(`holds writes until one comes without it, nodelay ${nodelay}`, () => {
      const wire = new Wire(nodelay);
      assert.equal(wire.leaves("one", MSG_MORE), 0);
      wire.sides.settle();
      assert.equal(wire.sentBytes, 0, "no acknowledgement frees it");
      assert.equal(wire.leaves("two", MSG_MORE), 0);
      assert.equal(wire.leaves("three"), 11);
    });
  }

  test("a full packet leaves all the same", () => {
    const wire = new Wire(true);
    assert.ok(wire.leaves("x".repeat(3000), MSG_MORE) > 1100);
    assert.ok(wire.sentBytes < 3000);
  });

  test("MSG_BATCH says that more calls come, and holds nothing", () => {
    assert.equal(new Wire().leaves("one", MSG_BATCH), 3);
  });
});
