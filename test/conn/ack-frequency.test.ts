import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Connection } from "#src/conn/connection.js";
import { STREAM_UNI } from "#src/port/transport.js";
import { ACK_FREQUENCY_MIN_PACKETS, ACK_FREQUENCY_WINDOW_SHARE, MIN_ACK_DELAY_MICROS } from "#src/proto/limits.js";
import { Pair, type PairOptions } from "../support/pair.js";

/** The client sends so much that its window is large. */
class Transfer {
  readonly pair: Pair;
  readonly client: Connection;
  readonly server: Connection;
  readonly id: number;
  private readonly into = new Uint8Array(1 << 20);

  constructor(options: PairOptions = {}) {
    this.pair = new Pair(options);
    this.pair.settle();
    this.client = this.pair.clientConn;
    this.server = this.pair.serverConn as Connection;
    this.id = this.client.open(STREAM_UNI);
    const wanted = 2 * (ACK_FREQUENCY_MIN_PACKETS / ACK_FREQUENCY_WINDOW_SHARE);
    for (let round = 0; round < 100 && this.windowPackets < wanted; round++) this.write(400_000);
    assert.ok(this.windowPackets >= wanted, `a window of ${this.windowPackets} packets`);
    // a whole flight at once has one ACK frame without being asked for that
    for (let round = 0; round < 60; round++) this.write(2000);
  }

  get windowPackets(): number {
    return this.client.stats().cwndBytes / this.client.path.maxDatagramBytes;
  }

  write(bytes: number): void {
    this.client.write(this.id, new Uint8Array(bytes), 0, bytes, false);
    this.pair.settle();
    this.server.read(this.id, this.into, 0, this.into.length);
    this.pair.advance(5_000);
  }
}

describe("draft-ietf-quic-ack-frequency between two connections", () => {
  test("draft-ietf-quic-ack-frequency §3 who sends much asks, and only who announced min_ack_delay is asked", () => {
    const { client, server } = new Transfer();
    assert.ok(client.stats().ackFrequencySent > 0);
    assert.equal(server.stats().ackFrequencyReceived, client.stats().ackFrequencySent);
    assert.equal(server.stats().ackFrequencySent, 0, "it sends nothing that is worth it");
    for (const off of [{ client: { ackFrequency: false } }, { server: { ackFrequency: false } }]) {
      const pair = new Transfer(off);
      assert.deepEqual([pair.client.stats().ackFrequencySent, pair.server.closeInfo], [0, null]);
    }
  });

  test("draft-ietf-quic-ack-frequency §7 a PTO's probe asks for its answer at once", () => {
    const { pair, client, server, id } = new Transfer();
    assert.equal(server.stats().bytesInFlight, 0);
    pair.filter = () => false;
    client.write(id, new Uint8Array(1), 0, 1, false);
    pair.settle();
    pair.filter = () => true;
    const { ptoCount: ptos, acksReceived: acks } = client.stats();
    for (let i = 0; i < 200 && client.stats().ptoCount === ptos; i++) pair.advance(MIN_ACK_DELAY_MICROS / 2);
    // two probes are fewer than the server waits for, and its delay is not over yet
    assert.deepEqual([client.stats().ptoCount, client.stats().acksReceived], [ptos + 1, acks + 1]);
  });
});
