/** draft-ietf-quic-ack-frequency from the outside: a raw peer asks, and reads how it is acknowledged. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { ConnectionConfig } from "#src/conn/config.js";
import type { Connection } from "#src/conn/connection.js";
import {
  ACK_DELAY_LIMIT_MICROS,
  MIN_ACK_DELAY_MICROS,
  USELESS_FRAMES_BURST,
  USELESS_FRAMES_PER_SECOND,
} from "#src/proto/limits.js";
import { SPACE_APP } from "#src/proto/space.js";
import { FRAME_ENCODING_ERROR, PROTOCOL_VIOLATION } from "#src/proto/transport-error.js";
import { Arena } from "../support/arena.js";
import { ackFrequency, PING } from "../support/raw-frames.js";
import { LEVEL_APP, RawPeer } from "../support/raw-peer.js";

const ROLES = ["server", "client"] as const;
const IMMEDIATE_ACK = Uint8Array.of(0x1f);
const FRAME_ACK_FREQUENCY = 0xaf;

/** An endpoint in the role, and its peer. */
class Scene {
  readonly arena: Arena;
  readonly peer: RawPeer;
  readonly conn: Connection;

  constructor(role: (typeof ROLES)[number], config: Partial<ConnectionConfig> = {}) {
    this.arena = new Arena({ config });
    this.peer = new RawPeer(this.arena, { isServer: role === "client" });
    if (role === "client") this.arena.connect(this.peer, config);
    this.peer.connect();
    this.arena.advance(100_000); // what waited to be acknowledged is
    this.peer.forget();
    const conn = this.arena.conns.at(-1);
    assert.ok(conn !== undefined);
    this.conn = conn;
  }

  /** Sends packets of `frames` until one is acknowledged; returns how many. */
  untilAck(...frames: Uint8Array[]): number {
    for (let packets = 1; packets < 100; packets++) {
      this.peer.forget();
      this.peer.send(LEVEL_APP, ...frames);
      if (this.peer.lines(LEVEL_APP).some((line) => line.startsWith("ACK "))) return packets;
    }
    return Infinity;
  }
}

for (const role of ROLES) {
  describe(`a ${role} that is asked`, () => {
    test("draft-ietf-quic-ack-frequency §4 answers after more than so many packets, until it is asked for something else", () => {
      const scene = new Scene(role);
      assert.equal(scene.untilAck(PING), 2, "RFC 9000 §13.2.2");
      scene.peer.send(LEVEL_APP, ackFrequency(0, 9, 25_000, 3));
      assert.equal(scene.untilAck(PING), 9, "ACK_FREQUENCY was the first of ten");
      assert.equal(scene.untilAck(PING), 10);
      scene.peer.send(LEVEL_APP, ackFrequency(1, 0, 25_000, 1));
      assert.equal(scene.untilAck(PING), 1);
      assert.equal(scene.conn.stats().ackFrequencyReceived, 2);
    });

    test("draft-ietf-quic-ack-frequency §6 answers after the delay that was asked for", () => {
      const scene = new Scene(role);
      scene.peer.send(LEVEL_APP, ackFrequency(0, 9, 70_000, 3));
      const dueMicros = scene.arena.nowMicros + 70_000;
      assert.equal(scene.conn.space(SPACE_APP).ackPolicy.deadlineMicros, dueMicros);
      scene.peer.forget();
      scene.arena.advance(69_999);
      assert.deepEqual(scene.peer.lines(LEVEL_APP), []);
      scene.arena.advance(1);
      assert.match(scene.peer.lines(LEVEL_APP).join(), /^ACK /);
    });

    test("draft-ietf-quic-ack-frequency §5 answers IMMEDIATE_ACK at once", () => {
      const scene = new Scene(role);
      scene.peer.send(LEVEL_APP, ackFrequency(0, 1000, 25_000, 0));
      assert.equal(scene.untilAck(IMMEDIATE_ACK), 1);
      assert.equal(scene.untilAck(PING), Infinity);
      assert.equal(scene.untilAck(PING, IMMEDIATE_ACK), 1);
    });

    test("draft-ietf-quic-ack-frequency §4 a delay below min_ack_delay, or beyond what max_ack_delay can be, is PROTOCOL_VIOLATION", () => {
      for (const micros of [MIN_ACK_DELAY_MICROS, ACK_DELAY_LIMIT_MICROS - 1]) {
        const scene = new Scene(role);
        scene.peer.send(LEVEL_APP, ackFrequency(0, 9, micros, 3));
        assert.equal(scene.conn.closeInfo, null);
      }
      for (const micros of [0, MIN_ACK_DELAY_MICROS - 1, ACK_DELAY_LIMIT_MICROS, 2n ** 62n - 1n]) {
        const scene = new Scene(role);
        scene.peer.send(LEVEL_APP, ackFrequency(0, 9, 2_000, 3), ackFrequency(0, 9, micros, 3));
        const [close] = scene.peer.closes;
        assert.deepEqual([close?.code, close?.frameType], [PROTOCOL_VIOLATION, FRAME_ACK_FREQUENCY], `${micros}`);
      }
    });

    test("draft-ietf-quic-ack-frequency §3 min_ack_delay is never above a max_ack_delay of its own", () => {
      const scene = new Scene(role, { maxAckDelayMillis: 0 });
      scene.peer.send(LEVEL_APP, ackFrequency(0, 9, 0, 3));
      assert.equal(scene.conn.closeInfo, null);
    });

    test("without ackFrequency both frames are unknown: FRAME_ENCODING_ERROR", () => {
      for (const frame of [IMMEDIATE_ACK, ackFrequency(0, 9, 20_000, 3)]) {
        const scene = new Scene(role, { ackFrequency: false });
        scene.peer.send(LEVEL_APP, frame);
        const frameType = frame === IMMEDIATE_ACK ? 0x1f : FRAME_ACK_FREQUENCY;
        assert.deepEqual(scene.peer.closes.at(0), {
          level: LEVEL_APP,
          isApplication: false,
          code: FRAME_ENCODING_ERROR,
          frameType,
        });
      }
    });

    test("RFC 9000 §21.9 requests without end are as little allowed as PING frames", () => {
      for (const frame of [IMMEDIATE_ACK, ackFrequency(0, 9, 20_000, 3)]) {
        const scene = new Scene(role);
        const most = 1100 / frame.length;
        let sent = 0;
        while (scene.conn.closeInfo === null && sent < 2 * USELESS_FRAMES_BURST) {
          const frames = Array.from({ length: most }, () => frame);
          scene.peer.send(LEVEL_APP, ...frames);
          sent += frames.length;
        }
        assert.equal(Number(scene.conn.closeInfo?.code), PROTOCOL_VIOLATION);
        assert.ok(sent >= USELESS_FRAMES_BURST && sent < USELESS_FRAMES_BURST + most + USELESS_FRAMES_PER_SECOND);
      }
    });
  });
}
