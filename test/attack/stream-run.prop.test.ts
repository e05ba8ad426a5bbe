/**
 * The tight path for bulk packets (conn/stream-run) against the general one: two endpoints get the same frames in the same
 * batches, one of them with a byte of PADDING behind each STREAM frame, which the tight path does not take.
 */

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { Connection } from "#src/conn/connection.js";
import { FRAME_STREAM } from "#src/frame/table.js";
import { ECN_CE, ECN_ECT0, ECN_NOT_ECT } from "#src/port/udp.js";
import { SPACE_APP } from "#src/proto/space.js";
import { DEADLINE_IDLE } from "#src/timer/deadlines.js";
import { Arena, type Arrival } from "../support/arena.js";
import { ackFrequency, bytes, padding, PING, reset, vi } from "../support/raw-frames.js";
import { LEVEL_APP, RawPeer } from "../support/raw-peer.js";

const STREAMS = 2;
const WINDOW = 3_000;
const config = {
  initialMaxData: 4_500,
  connWindowMaxBytes: 4_500,
  initialMaxStreamDataBidiRemote: WINDOW,
  streamWindowMaxBytes: WINDOW,
};

/** One packet. `shift` moves its offset away from the next one; `skip` packet numbers are left out before it. */
interface Step {
  id: number;
  length: number;
  shape: "bulk" | "bulk" | "shift" | "fin" | "ping" | "padding" | "duplicate" | "forged" | "reserved" | "reset";
  shift: number;
  skip: number;
  ecn: number;
  /** STREAM with a Length field; varints longer than needed. */
  hasLength: boolean;
  isWide: boolean;
}

const rare = <T>(often: T, ...others: T[]): fc.Arbitrary<T> =>
  fc.oneof({ weight: 16, arbitrary: fc.constant(often) }, { weight: 1, arbitrary: fc.constantFrom(...others) });

const step: fc.Arbitrary<Step> = fc.record({
  id: rare(0, 4),
  length: fc.integer({ min: 0, max: 300 }),
  shape: rare<Step["shape"]>(
    "bulk",
    "shift",
    "shift",
    "fin",
    "ping",
    "padding",
    "padding",
    "duplicate",
    "forged",
    "reserved",
    "reset",
  ),
  shift: fc.integer({ min: -200, max: 200 }),
  skip: rare(0, 1, 5),
  ecn: rare(ECN_NOT_ECT, ECN_CE, ECN_CE, ECN_ECT0),
  hasLength: fc.boolean(),
  isWide: fc.boolean(),
});

type Wait = "no" | "reads" | "gives up";
const WAITING_BYTES = 2_000;

/** Batches of packets; after each the application reads so many bytes of each stream. */
const batches = fc.array(
  fc.record({
    steps: fc.array(step, { minLength: 1, maxLength: 30 }),
    read: rare(0, 500, 5_000),
    micros: fc.nat(30_000),
    /** A reader waits with an array of its own from before the batch on, and perhaps gives up after it. */
    waits: rare<Wait>("no", "reads", "reads", "reads", "gives up"),
    /** The application stops this stream before the batch, -1 = none. */
    stops: rare(-1, -1, -1, 0, 4),
  }),
  { minLength: 1, maxLength: 10 },
);

/** What the peer asks for first (draft-ietf-quic-ack-frequency): packets and reordering of its ACK_FREQUENCY. */
const requests = fc.option(fc.tuple(fc.constantFrom(1, 4, 30), fc.constantFrom(0, 1, 3, 5)));

/** A CloseInfo whose frame type, if that is STREAM, has no bits: packets that are filled up have frames with a length. */
function withoutBits(value: unknown): unknown {
  if (typeof value !== "object" || value === null || !("frameType" in value)) return value;
  const { frameType } = value as { frameType: number };
  return { ...value, frameType: (frameType & 0xf8) === FRAME_STREAM ? FRAME_STREAM : frameType };
}

class Side {
  readonly arena = new Arena({ config });
  readonly peer = new RawPeer(this.arena).connect();
  readonly conn = this.arena.conns[0] as Connection;
  readonly content: number[][] = [[], []];
  private readonly next = [0, 0];
  private last: Uint8Array | null = null;
  private readonly into = new Uint8Array(7 + WAITING_BYTES);

  constructor(private readonly isPadded: boolean) {}

  receive(steps: readonly Step[]): void {
    const arrivals = steps.map((one): Arrival => ({ peer: this.peer, datagram: this.packet(one), ecn: one.ecn }));
    this.arena.deliverMixed(arrivals);
  }

  ask(request: [packets: number, reordering: number] | null): void {
    if (request !== null) this.peer.send(LEVEL_APP, ackFrequency(0, request[0], 10_000, request[1]));
  }

  /** What the application does before a batch. */
  prepare(waits: Wait, stops: number): void {
    if (stops >= 0) this.conn.stopSending(stops, 5n);
    if (waits === "no") return;
    this.conn.expect(0, this.into, 7, 7 + WAITING_BYTES);
  }

  /** And after it. */
  finish(waits: Wait): void {
    if (waits === "reads") {
      const count = this.conn.read(0, this.into, 7, 7 + WAITING_BYTES);
      for (let i = 0; i < count; i++) this.content[0]?.push(this.into[7 + i] as number);
    } else if (waits === "gives up") {
      this.conn.expect(0, null, 0, 0);
    }
    this.into.fill(0xee); // it is the reader's again
  }

  read(most: number): void {
    const into = new Uint8Array(most);
    for (let stream = 0; stream < STREAMS; stream++) {
      const count = this.conn.read(4 * stream, into, 0, most);
      for (let i = 0; i < count; i++) this.content[stream]?.push(into[i] as number);
    }
  }

  /** All that either path may change. */
  state(): unknown {
    const { conn, arena } = this;
    const { recvCredit, bytesReceived, controlBits } = conn.streams;
    const space = conn.space(SPACE_APP);
    const { first, last, count, largest, largestTimeMicros } = space.received;
    const streams = [0, 4].map((id) => {
      const recv = conn.streams.find(id)?.recv;
      if (recv == null) return null;
      const { state, finalSize, credit, buffer } = recv;
      return {
        state,
        finalSize,
        credit: { ...credit },
        at: buffer.readOffset,
        end: buffer.end,
        gaps: buffer.rangeCount,
      };
    });
    return {
      state: conn.state,
      close: withoutBits(conn.closing.info),
      counters: { ...conn.counters, bytesReceived: 0, bytesSent: 0 },
      drops: arena.endpoint.counters.dropsByName(),
      idle: conn.deadlines.get(DEADLINE_IDLE),
      received: [[...first.subarray(0, count)], [...last.subarray(0, count)], largest, largestTimeMicros],
      // private fields too: how many packets wait for an acknowledgement, and the largest that did
      space: { ...space, skip: null, received: null, ackPolicy: { ...space.ackPolicy }, ecn: { ...space.ecn } },
      credit: { ...recvCredit },
      bytesReceived,
      controlBits,
      streams,
      content: this.content,
      events: arena.events
        .get(conn)
        ?.calls.slice(1)
        .map((call) => call.map(withoutBits)),
    };
  }

  private packet(one: Step): Uint8Array {
    if (one.shape === "duplicate" && this.last !== null) return this.last.slice();
    this.peer.nextPn[SPACE_APP] = (this.peer.nextPn[SPACE_APP] as number) + one.skip;
    const options = { forged: one.shape === "forged", firstByte: one.shape === "reserved" ? 0x08 : 0 };
    const packet = this.peer.packet(LEVEL_APP, [this.frame(one)], { ...options, pnBytes: one.isWide ? 4 : 2 });
    this.last = packet;
    return packet;
  }

  private frame(one: Step): Uint8Array {
    if (one.shape === "ping") return PING;
    if (one.shape === "padding") return padding(9);
    const index = one.id / 4;
    const next = this.next[index] as number;
    if (one.shape === "reset") return reset(one.id, next, 6);
    const offset = Math.max(0, one.shape === "shift" ? next + one.shift : next);
    const end = offset + one.length;
    // what was shifted ahead is sent again in its place
    if (one.shape !== "forged" && one.shape !== "shift") this.next[index] = Math.max(next, end);
    const data = Uint8Array.from({ length: one.length }, (_, i) => ((offset + i) * 7 + index) & 255);
    const hasLength = one.hasLength || this.isPadded;
    const type = 0x0c | (hasLength ? 2 : 0) | (one.shape === "fin" ? 1 : 0);
    const size = one.isWide ? 8 : undefined;
    const head = bytes(type, vi(one.id, size), vi(offset, size), hasLength ? vi(data.length, size) : []);
    return bytes(head, data, this.isPadded ? [0] : []);
  }
}

test("packets of one stream that are taken in a run leave what the same packets leave one by one", () => {
  let taken = 0;
  fc.assert(
    fc.property(batches, requests, (list, request) => {
      const tight = new Side(false);
      const general = new Side(true);
      for (const side of [tight, general]) side.ask(request);
      for (const { steps, read, micros, waits, stops } of list) {
        for (const side of [tight, general]) {
          side.prepare(waits, stops);
          side.receive(steps);
          side.arena.drain();
          side.finish(waits);
        }
        assert.deepEqual(tight.state(), general.state());
        for (const side of [tight, general]) {
          side.read(read);
          side.arena.advance(micros);
        }
        assert.deepEqual(tight.state(), general.state());
      }
      taken += tight.arena.aead.scattered;
      assert.equal(general.arena.aead.scattered, 0, "padded packets are not taken");
    }),
    { numRuns: 250 },
  );
  assert.ok(taken > 1_000, `${taken} packets were taken in runs`);
});
