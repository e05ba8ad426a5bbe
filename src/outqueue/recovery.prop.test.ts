/**
 * Recovery against a naive model: the pseudocode of RFC 9002 Appendix A over maps of objects. Random sequences of
 * packets, acknowledgements, timeouts, discarded spaces and a confirmed handshake must leave both with the same bytes
 * in flight, lost packets, RTT and deadlines, and each packet's frames with exactly one fate of each kind.
 */

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type AckFrame, newAckFrame } from "../frame/ack.js";
import { SPACE_APP, SPACE_HANDSHAKE, SPACE_INITIAL, SPACES, type SpaceId } from "../proto/space.js";
import { PROTOCOL_VIOLATION } from "../proto/transport-error.js";
import { Recovery } from "./recovery.js";
import { type FrameFates, REC_STREAM, NO_SENT_PACKETS, SENT_STATE_MASK } from "./sent.js";

type State = "skipped" | "outstanding" | "acked" | "lost";
const STATES: readonly State[] = ["skipped", "skipped", "outstanding", "acked", "lost"];
const MAX_ACK_DELAY = 25_000;

interface Packet {
  pn: number;
  time: number;
  eliciting: boolean;
  inFlight: boolean;
  bytes: number;
  state: State;
}

interface Space {
  packets: Map<number, Packet>;
  next: number;
  largestAcked: number;
  lastEliciting: number;
  lossTime: number;
  ackedSent: number;
  /** Lost ack-eliciting packets with nothing acknowledged between. */
  run: Packet[];
}

class Model {
  spaces: Space[] = [];
  latest = 0;
  min = 0;
  smoothed = 333_000;
  variance = 166_500;
  firstSample = -1;
  ptoCount = 0;
  confirmed = false;
  validated: boolean;
  lastEvent = -1;
  persistent = 0;
  lostTotal = 0;

  constructor(isServer: boolean) {
    this.validated = isServer;
    for (let i = 0; i < SPACES; i++) this.spaces.push(this.newSpace(0));
  }

  newSpace(next: number): Space {
    return {
      packets: new Map(),
      next,
      largestAcked: -1,
      lastEliciting: -1,
      lossTime: Infinity,
      ackedSent: -1,
      run: [],
    };
  }

  space(id: SpaceId): Space {
    return this.spaces[id] as Space;
  }

  get inFlight(): number {
    let sum = 0;
    for (const { packets } of this.spaces) {
      for (const packet of packets.values()) if (packet.state === "outstanding" && packet.inFlight) sum += packet.bytes;
    }
    return sum;
  }

  send(id: SpaceId, skip: number, eliciting: boolean, inFlight: boolean, bytes: number, now: number): number {
    const space = this.space(id);
    for (let i = 0; i < skip; i++) {
      const pn = space.next++;
      space.packets.set(pn, { pn, time: now, eliciting: false, inFlight: false, bytes: 0, state: "skipped" });
    }
    const pn = space.next++;
    space.packets.set(pn, { pn, time: now, eliciting, inFlight, bytes, state: "outstanding" });
    if (inFlight) this.lastEvent = now;
    if (eliciting) space.lastEliciting = now;
    return pn;
  }

  /** Numbers below `forgotten` are not remembered any more. */
  ack(id: SpaceId, numbers: Set<number>, forgotten: number, delay: number, now: number): void {
    const space = this.space(id);
    const largest = Math.max(...numbers);
    const newly: Packet[] = [];
    for (const pn of numbers) {
      const packet = space.packets.get(pn);
      if (packet === undefined || packet.state === "acked" || pn < forgotten) continue;
      if (packet.state === "outstanding") newly.push(packet);
      else if (packet.inFlight && space.run.some((first) => first.time <= packet.time)) space.run = [];
      packet.state = "acked";
    }
    space.largestAcked = Math.max(space.largestAcked, largest);
    if (id === SPACE_HANDSHAKE) this.validated = true;
    if (newly.length === 0) return;
    const top = newly.reduce((a, b) => (a.pn > b.pn ? a : b));
    if (top.pn === largest && newly.some((packet) => packet.eliciting)) {
      this.sample(Math.max(1, now - top.time), id === SPACE_INITIAL ? 0 : delay, now);
    }
    space.ackedSent = Math.max(space.ackedSent, top.time);
    this.detect(id, now);
    if (this.validated) this.ptoCount = 0;
    this.lastEvent = now;
  }

  sample(latest: number, delay: number, now: number): void {
    this.latest = latest;
    if (this.firstSample < 0) {
      this.min = this.smoothed = latest;
      this.variance = latest / 2;
      this.firstSample = now;
      return;
    }
    this.min = Math.min(this.min, latest);
    const capped = this.confirmed ? Math.min(delay, MAX_ACK_DELAY) : delay;
    const adjusted = latest >= this.min + capped ? latest - capped : latest;
    this.variance = (3 / 4) * this.variance + (1 / 4) * Math.abs(this.smoothed - adjusted);
    this.smoothed = (7 / 8) * this.smoothed + (1 / 8) * adjusted;
  }

  detect(id: SpaceId, now: number): void {
    const space = this.space(id);
    space.lossTime = Infinity;
    const delay = Math.max((9 / 8) * Math.max(this.latest, this.smoothed), 1000);
    const period = (this.smoothed + Math.max(4 * this.variance, 1000) + MAX_ACK_DELAY) * 3;
    let persistent = false;
    let undecided = false; // a packet below may still be lost, and is older than what follows
    for (const packet of [...space.packets.values()].sort((a, b) => a.pn - b.pn)) {
      if (packet.pn > space.largestAcked) break;
      if (packet.state === "acked" && !undecided && !this.scanned.has(packet)) space.run = [];
      if (packet.state !== "outstanding") continue;
      const later = [...space.packets.values()].filter(
        (other) => other.pn > packet.pn && other.pn <= space.largestAcked && other.state !== "skipped",
      ).length;
      if (later < 3 && packet.time + delay > now) {
        space.lossTime = Math.min(space.lossTime, packet.time + delay);
        undecided = true;
        continue;
      }
      packet.state = "lost";
      if (!packet.inFlight) continue;
      this.lostTotal++;
      if (!packet.eliciting || this.firstSample < 0 || packet.time <= this.firstSample) continue;
      const start = space.run[0]?.time ?? Infinity;
      if (this.spaces.some((other) => other !== space && other.ackedSent >= start)) space.run = [];
      space.run.push(packet);
      if (packet.time - (space.run[0] as Packet).time > period) persistent = true;
    }
    space.packets.forEach((packet) => {
      if (packet.state === "outstanding") return;
      if (packet.pn < this.lowestOutstanding(space)) this.scanned.add(packet);
    });
    if (!persistent) return;
    this.persistent++;
    this.min = this.latest;
    for (const other of this.spaces) other.run = [];
  }

  /** Settled packets that an earlier scan has passed. */
  scanned = new Set<Packet>();

  lowestOutstanding(space: Space): number {
    const open = [...space.packets.values()].filter((packet) => packet.state === "outstanding");
    return Math.min(space.largestAcked + 1, ...open.map((packet) => packet.pn));
  }

  waiting(id: SpaceId): boolean {
    return [...this.space(id).packets.values()].some((packet) => packet.state === "outstanding" && packet.eliciting);
  }

  deadline(): number {
    const loss = Math.min(...this.spaces.map((space) => space.lossTime));
    if (loss !== Infinity) return loss;
    const period = (id: SpaceId): number =>
      Math.min(
        (this.smoothed + Math.max(4 * this.variance, 1000) + (id === SPACE_APP ? MAX_ACK_DELAY : 0)) *
          2 ** this.ptoCount,
        60_000_000,
      );
    const ids = ([SPACE_INITIAL, SPACE_HANDSHAKE, SPACE_APP] as const).filter(
      (id) => this.waiting(id) && (id !== SPACE_APP || this.confirmed),
    );
    if (ids.length > 0) return Math.min(...ids.map((id) => this.space(id).lastEliciting + period(id)));
    if (this.validated || this.lastEvent < 0) return Infinity;
    return this.lastEvent + period(SPACE_INITIAL);
  }

  timeout(now: number): void {
    if (this.deadline() > now) return;
    const loss = this.spaces.map((space) => space.lossTime);
    const earliest = Math.min(...loss);
    if (earliest !== Infinity) this.detect(loss.indexOf(earliest) as SpaceId, now);
    else this.ptoCount++;
    this.lastEvent = now;
  }

  discard(id: SpaceId, now: number): void {
    const { next, ackedSent } = this.space(id);
    this.spaces[id] = { ...this.newSpace(next), ackedSent };
    this.ptoCount = 0;
    this.lastEvent = now;
  }
}

type Step =
  | { do: "send"; space: SpaceId; skip: number; kind: number; bytes: number; wait: number }
  | { do: "ack"; space: SpaceId; seed: number; span: number; delay: number; wait: number }
  | { do: "timeout"; wait: number }
  | { do: "discard"; space: SpaceId; wait: number }
  | { do: "confirm"; wait: number };

const wait = fc.oneof(fc.nat(2_000), fc.nat(100_000), fc.nat(2_000_000));
const space = fc.oneof(
  { weight: 1, arbitrary: fc.constantFrom<SpaceId>(SPACE_INITIAL, SPACE_HANDSHAKE) },
  { weight: 6, arbitrary: fc.constant<SpaceId>(SPACE_APP) },
);
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 40,
    arbitrary: fc.record({
      do: fc.constant("send" as const),
      space,
      skip: fc.constantFrom(0, 0, 0, 0, 0, 1, 2),
      kind: fc.nat(9),
      bytes: fc.integer({ min: 30, max: 1452 }),
      wait: fc.oneof(fc.constant(0), wait),
    }),
  },
  {
    weight: 20,
    arbitrary: fc.record({
      do: fc.constant("ack" as const),
      space,
      seed: fc.nat(),
      span: fc.integer({ min: 1, max: 40 }),
      delay: fc.nat(10_000),
      wait,
    }),
  },
  { weight: 8, arbitrary: fc.record({ do: fc.constant("timeout" as const), wait }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("discard" as const), space, wait }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("confirm" as const), wait }) },
);

/** Both sides, and the fates that the real one reported. */
class Pair implements FrameFates {
  readonly model: Model;
  readonly real: Recovery;
  readonly acked = new Map<string, number>();
  readonly lost = new Map<string, number>();
  readonly ack: AckFrame = newAckFrame();
  /** Spaces without keys: nothing is sent or acknowledged there any more. */
  readonly gone = new Set<SpaceId>();
  now = 1;

  constructor(isServer: boolean) {
    this.model = new Model(isServer);
    this.real = new Recovery({ isServer, congestion: "newreno", datagramBytes: 1452 }, this);
  }

  onFrameAcked(id: SpaceId, _kind: number, pn: number): void {
    this.acked.set(`${id}:${pn}`, (this.acked.get(`${id}:${pn}`) ?? 0) + 1);
  }

  onFrameLost(id: SpaceId, _kind: number, pn: number): void {
    this.lost.set(`${id}:${pn}`, (this.lost.get(`${id}:${pn}`) ?? 0) + 1);
  }

  run(step: Step): void {
    this.now += step.wait;
    const { model, real, now } = this;
    if ((step.do === "send" || step.do === "ack") && this.gone.has(step.space)) return;
    if (step.do === "send") {
      const inFlight = step.kind > 1;
      const eliciting = step.kind > 2;
      const pn = model.send(step.space, step.skip, eliciting, inFlight, step.bytes, now);
      const sent = real.sent[step.space] as (typeof real.sent)[number];
      sent.open(pn, now);
      sent.note(REC_STREAM, pn, 0, step.bytes);
      real.onPacketSent(step.space, step.bytes, eliciting, inFlight, now);
    } else if (step.do === "ack") {
      this.acknowledge(step.space, step.seed, step.span, step.delay);
    } else if (step.do === "timeout") {
      model.timeout(now);
      real.onTimeout(now);
    } else if (step.do === "discard") {
      if (step.space === SPACE_APP) return;
      model.discard(step.space, now);
      real.discardSpace(step.space, now);
      this.gone.add(step.space);
    } else {
      model.confirmed = model.validated = true;
      real.handshakeConfirmed = true;
    }
  }

  /** Acknowledges a random choice of the latest `span` numbers that were sent. */
  private acknowledge(id: SpaceId, seed: number, span: number, delay: number): void {
    const { packets, next } = this.model.space(id);
    const numbers = new Set<number>();
    let random = seed;
    for (let pn = next - 1; pn >= Math.max(0, next - span); pn--) {
      random = (Math.imul(random, 1_103_515_245) + 12_345) >>> 0;
      const state = packets.get(pn)?.state;
      if (state !== undefined && state !== "skipped" && random >>> 24 > 90) numbers.add(pn);
    }
    if (numbers.size === 0) return;
    const { ack } = this;
    ack.count = 0;
    for (const pn of numbers) {
      if (ack.count > 0 && pn === (ack.first[ack.count - 1] as number) - 1) {
        ack.first[ack.count - 1] = pn;
        continue;
      }
      ack.first[ack.count] = ack.last[ack.count] = pn;
      ack.count++;
    }
    ack.largest = ack.last[0] as number;
    ack.delay = delay;
    this.model.ack(id, numbers, this.real.sent[id]?.base ?? 0, delay * 8, this.now);
    assert.equal(this.real.onAck(id, ack, this.now), 0);
  }

  compare(): void {
    const { model, real } = this;
    assert.equal(real.bytesInFlight, model.inFlight, "bytes in flight");
    assert.equal(real.packetsLost, model.lostTotal, "packets lost");
    assert.equal(real.ptoCount, model.ptoCount, "PTO count");
    assert.equal(real.persistentCongestions, model.persistent, "persistent congestion");
    close(real.rtt.smoothedRttMicros, model.smoothed, "smoothed RTT");
    close(real.rtt.rttVarMicros, model.variance, "RTT variation");
    if (model.firstSample >= 0) assert.equal(real.rtt.minRttMicros, model.min, "minimum RTT");
    close(real.deadline(), model.deadline(), "deadline");
    for (const sent of real.sent) {
      if (sent === NO_SENT_PACKETS) continue;
      const { packets, next } = model.space(sent.space);
      assert.equal(sent.next, next, "next packet number");
      for (const packet of packets.values()) {
        assert.ok(packet.pn >= sent.base || packet.state !== "outstanding", `${packet.pn} is forgotten`);
      }
      for (let pn = sent.base; pn < sent.next; pn++) {
        const state = STATES[(sent.flags[pn & sent.mask] as number) & SENT_STATE_MASK];
        assert.equal(state, packets.get(pn)?.state, `state of ${pn}`);
      }
    }
  }

  compareFates(): void {
    for (const count of [...this.acked.values(), ...this.lost.values()]) assert.equal(count, 1);
    for (const id of [SPACE_INITIAL, SPACE_HANDSHAKE, SPACE_APP] as const) {
      for (const packet of this.model.space(id).packets.values()) {
        const key = `${id}:${packet.pn}`;
        if (packet.state === "lost" && packet.inFlight) assert.ok(this.lost.has(key), `${key} handed back`);
        if (packet.state === "outstanding") assert.ok(!this.acked.has(key), `${key} is not acknowledged`);
        // A packet that was lost long ago may be forgotten before its acknowledgement comes.
        if (packet.state === "acked" && !this.lost.has(key) && packet.inFlight) assert.ok(this.acked.has(key), key);
      }
    }
  }
}

function close(actual: number, expected: number, what: string): void {
  if (actual === expected) return;
  assert.ok(Math.abs(actual - expected) < 1e-3, `${what}: ${actual}, not ${expected}`);
}

for (const isServer of [true, false]) {
  test(`RFC 9002 A: a ${isServer ? "server" : "client"} recovers as the pseudocode does`, () => {
    fc.assert(
      fc.property(fc.array(step, { minLength: 20, maxLength: 120, size: "max" }), (steps) => {
        const pair = new Pair(isServer);
        for (const next of steps) {
          pair.run(next);
          pair.compare();
        }
        pair.compareFates();
      }),
      { numRuns: 150, includeErrorInReport: true },
    );
  });
}

test("RFC 9000 §13.1 a number that was not sent or was skipped is a PROTOCOL_VIOLATION wherever the range puts it", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 60 }), fc.nat(59), fc.nat(59), (count, hole, spread) => {
      const pair = new Pair(true);
      for (let pn = 0; pn < count; pn++) {
        pair.run({ do: "send", space: SPACE_APP, skip: pn === hole ? 1 : 0, kind: 5, bytes: 100, wait: 1 });
      }
      const { ack, real } = pair;
      const { next } = pair.model.space(SPACE_APP);
      ack.count = 1;
      ack.first[0] = Math.max(0, hole - spread);
      ack.largest = ack.last[0] = Math.min(hole + spread, next - 1 + (hole >= count ? 1 : 0));
      const lies = hole < count || ack.largest >= next;
      assert.equal(real.onAck(SPACE_APP, ack, 1000), lies ? PROTOCOL_VIOLATION : 0);
    }),
  );
});
