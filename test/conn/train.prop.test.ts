/**
 * Trains of packets against the general way (conn/transmit), which is the definition: two worlds of the same seed live
 * through the same random writes, priorities, losses and waits, one with trains and one without. Every datagram of both
 * sides, every deadline and all state that the next packet depends on must be the same.
 */

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import type { Connection } from "#src/conn/connection.js";
import { rest } from "#src/conn/idle.js";
import { STATE_OPEN } from "#src/conn/state.js";
import type { Endpoint } from "#src/endpoint/endpoint.js";
import { ECN_ECT0, type RxBatch, RX_COLS, TX_COLS, TX_ECN, TX_LEN, TX_OFF, type TxBatch } from "#src/port/udp.js";
import type { CongestionName } from "#src/cong/controller.js";
import type { KeyLimits } from "#src/crypto/keys.js";
import { ECN_TESTING } from "#src/path/ecn-check.js";
import { STREAM_BIDI } from "#src/port/transport.js";
import { AEAD_LIMIT_REACHED } from "#src/proto/transport-error.js";
import { newRxBatch, newTxBatch } from "#src/sim/batches.js";
import { LEVEL_APP } from "#src/port/tls.js";
import { SENT_ACKED, SENT_SKIPPED, SENT_STATE_MASK, type SentPackets } from "#src/outqueue/sent.js";
import { SPACE_APP } from "#src/proto/space.js";
import { closeOf, Pair } from "../support/pair.js";

const ONE_WAY_MICROS = 5_000;
const STREAMS = 4;
const DATA = Uint8Array.from({ length: 1 << 17 }, (_, i) => (i * 7 + (i >> 8)) & 0xff);

const SMALL_WINDOWS = {
  initialMaxData: 50_000,
  connWindowMaxBytes: 60_000,
  initialMaxStreamDataBidiRemote: 20_000,
  streamWindowMaxBytes: 30_000,
};

interface Content {
  bytes: number;
  sum: number;
}

function newContent(): Content {
  return { bytes: 0, sum: 0 };
}

function addTo(content: Content, from: Uint8Array, bytes: number): void {
  if (bytes <= 0) return;
  content.bytes += bytes;
  for (let at = 0; at < bytes; at++) content.sum = (Math.imul(content.sum, 31) + from[at]!) | 0;
}

interface Flying {
  toServer: boolean;
  dueMicros: number;
  ecn: number;
  bytes: Uint8Array;
}

/** One of the two worlds: a pair behind a path with delay and loss; every `lossEvery`th datagram is lost. */
class World {
  readonly pair: Pair;
  readonly log: string[] = [];
  trains = 0;
  /** Both connections give back what only traffic needs, after every flight. */
  rests = false;
  /** What was read of each stream, by the server and then by the client, and what was written. */
  readonly got = Array.from({ length: 2 * STREAMS }, newContent);
  readonly given = Array.from({ length: 2 * STREAMS }, newContent);
  private readonly tx: TxBatch = newTxBatch();
  private readonly rx: RxBatch = newRxBatch();
  private flying: Flying[] = [];
  private sent = 0;
  /** Larger datagrams are lost. */
  pathBytes = 1500;

  constructor(
    seed: number,
    sendsTrains: boolean,
    public lossEvery: number,
    ecn: boolean,
    congestion: CongestionName,
  ) {
    const config = { ecn, congestion, sendBufferBytes: 100_000, maxDatagramFrameBytes: 65_535 } as const;
    // half of the worlds live at the edges of small windows
    const server = seed % 2 === 0 ? config : { ...config, ...SMALL_WINDOWS };
    this.pair = new Pair({ seed, client: config, server });
    this.pair.settle();
    for (let i = 0; i < STREAMS; i++) this.pair.clientConn.open(STREAM_BIDI);
    for (const endpoint of [this.pair.client, this.pair.server]) endpoint.bench.sendsTrains = sendsTrains;
    const { builder } = this.pair.client.bench;
    const append = builder.appendRun.bind(builder);
    builder.appendRun = (run) => {
      this.trains++;
      append(run);
    };
  }

  /** Passes time. */
  pass(micros: number): void {
    const { pair } = this;
    const end = pair.nowMicros + micros;
    for (;;) {
      this.transmit(true);
      this.transmit(false);
      pair.drain();
      if (this.rests) for (const conn of [pair.clientConn, pair.serverConn!]) if (conn.state === STATE_OPEN) rest(conn);
      const next = Math.min(
        pair.client.nextDeadline(),
        pair.server.nextDeadline(),
        this.flying[0]?.dueMicros ?? Infinity,
      );
      if (next > end) break;
      pair.nowMicros = Math.max(pair.nowMicros, next);
      this.deliver();
      pair.client.timeout(pair.nowMicros);
      pair.server.timeout(pair.nowMicros);
    }
    pair.nowMicros = end;
    this.log.push(stateOf(pair.client, pair.clientConn), stateOf(pair.server, pair.serverConn!));
  }

  private transmit(toServer: boolean): void {
    const { tx, pair } = this;
    const from = toServer ? pair.client : pair.server;
    for (let more = true; more; ) {
      tx.count = tx.destCount = tx.used = 0;
      more = from.transmit(tx, pair.nowMicros);
      for (let row = 0; row < tx.count * TX_COLS; row += TX_COLS) {
        const bytes = tx.buf.slice(tx.rows[row + TX_OFF], tx.rows[row + TX_OFF] + tx.rows[row + TX_LEN]);
        const ecn = tx.rows[row + TX_ECN];
        this.log.push(`${pair.nowMicros} ${toServer} ${ecn} ${Buffer.from(bytes).toString("base64")}`);
        if (++this.sent % this.lossEvery === 0 || bytes.length > this.pathBytes) continue;
        this.flying.push({ toServer, dueMicros: pair.nowMicros + ONE_WAY_MICROS, ecn, bytes });
      }
    }
  }

  private deliver(): void {
    const { rx, pair } = this;
    while (this.flying.length > 0 && this.flying[0]!.dueMicros <= pair.nowMicros) {
      const { toServer, ecn, bytes } = this.flying.shift()!;
      rx.sources.set(toServer ? pair.clientAddress : pair.serverAddress, 0);
      rx.buf.set(bytes);
      rx.rows.set([0, bytes.length, 0, ecn], 0);
      rx.count = rx.sourceCount = 1;
      assert.equal(RX_COLS, 4);
      (toServer ? pair.server : pair.client).receive(rx, pair.nowMicros);
      rx.count = 0;
    }
    const into = new Uint8Array(DATA.length);
    for (let i = 0; i < STREAMS; i++) {
      for (const [side, conn] of [pair.serverConn!, pair.clientConn].entries()) {
        for (let count = conn.read(4 * i, into, 0, into.length); count > 0; ) {
          addTo(this.got[side * STREAMS + i]!, into, count);
          count = conn.read(4 * i, into, 0, into.length);
        }
      }
    }
  }
}

/** What decides the packets to come, beside the frames that wait. */
function stateOf(endpoint: Endpoint, conn: Connection): string {
  const { recovery, keys, path, idle } = conn;
  const { pacer, windowUse } = recovery as unknown as Record<string, unknown>;
  return JSON.stringify([
    conn.stats(),
    endpoint.nextDeadline(),
    conn.nextDeadline(),
    pacer,
    windowUse,
    recovery.ecn,
    sentOf(recovery.sent[SPACE_APP]),
    keys.sealBudget(LEVEL_APP),
    path,
    idle,
  ]);
}

/** The packets that were sent and are not forgotten; slots that hold none may hold anything. */
function sentOf(sent: SentPackets): unknown[] {
  const { kind, id, offset, length, recordCount, recordMask } = sent as unknown as Record<string, number[]>;
  const packets: unknown[] = [];
  for (let pn = sent.base; pn < sent.next; pn++) {
    const slot = pn & sent.mask;
    const state = sent.flags[slot] & SENT_STATE_MASK;
    if (state === SENT_SKIPPED) continue;
    packets.push([pn, sent.flags[slot], sent.sizeBytes[slot], sent.sentMicros[slot]]);
    for (let i = 0; i < (recordCount![slot] as number) && state !== SENT_ACKED; i++) {
      const at = (sent.link[slot] + i) & Number(recordMask);
      packets.push([kind![at], id![at], offset![at], length![at]]);
    }
  }
  const { base, next, firstOutstanding, largestAcked, bytesInFlight, elicitingCount, lastElicitingMicros, mask } = sent;
  const sums = { base, next, firstOutstanding, largestAcked, bytesInFlight, elicitingCount, lastElicitingMicros, mask };
  return [packets, sums, recordMask];
}

type Step =
  | { do: "write"; stream: number; bytes: number; fin: boolean }
  | { do: "priority"; stream: number; urgency: number; incremental: boolean }
  | { do: "answer"; stream: number; bytes: number }
  | { do: "reset"; stream: number }
  | { do: "stop"; stream: number }
  | { do: "datagram"; bytes: number }
  | { do: "update" }
  | { do: "narrow"; pathBytes: number }
  | { do: "pass"; micros: number };

const stream = fc.nat({ max: STREAMS - 1 });
/** The streams above it are left to go on. */
const rarely = fc.nat({ max: 1 });
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({ do: fc.constant("write" as const), stream, bytes: size(), fin: fc.constant(false) }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("write" as const), stream, bytes: size(), fin: fc.boolean() }) },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant("priority" as const),
      stream,
      urgency: fc.nat({ max: 7 }),
      incremental: fc.boolean(),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("answer" as const), stream, bytes: size() }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("datagram" as const), bytes: fc.nat({ max: 1500 }) }) },
  { weight: 1, arbitrary: fc.constant({ do: "update" as const }) },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant("narrow" as const), pathBytes: fc.integer({ min: 1200, max: 1500 }) }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constantFrom("reset" as const, "stop" as const), stream: rarely }) },
  {
    weight: 4,
    arbitrary: fc.record({ do: fc.constant("pass" as const), micros: fc.integer({ min: 1, max: 40_000 }) }),
  },
);

function size(): fc.Arbitrary<number> {
  return fc.oneof(fc.nat({ max: 5_000 }), fc.nat({ max: DATA.length }));
}

function live(world: World, steps: readonly Step[]): void {
  const { clientConn, serverConn } = world.pair;
  const write = (conn: Connection, side: number, stream: number, bytes: number, fin: boolean): void => {
    addTo(world.given[side + stream]!, DATA, conn.write(4 * stream, DATA, 0, bytes, fin));
  };
  for (const next of steps) {
    if (next.do === "pass") world.pass(next.micros);
    else if (next.do === "answer") write(serverConn!, STREAMS, next.stream, next.bytes, false);
    else if (next.do === "reset") clientConn.reset(4 * next.stream, 7n);
    else if (next.do === "stop") serverConn!.stopSending(4 * next.stream, 8n);
    else if (next.do === "datagram") clientConn.datagrams.send(DATA.slice(0, next.bytes));
    else if (next.do === "update") clientConn.keys.initiateUpdate(world.pair.nowMicros);
    else if (next.do === "narrow") world.pathBytes = next.pathBytes;
    else if (next.do === "priority") clientConn.setPriority(4 * next.stream, next.urgency, next.incremental);
    else write(clientConn, 0, next.stream, next.bytes, next.fin);
  }
  world.pass(200_000);
}

function assertSame(fast: World, plain: World): void {
  assert.equal(plain.trains, 0);
  assert.equal(fast.log.length, plain.log.length);
  fast.log.forEach((line, i) => assert.equal(line, plain.log[i]));
}

/** Both worlds, after `arrange` has changed something on the client, and after much was written. */
function both(arrange: (conn: Connection) => void): [World, World] {
  return [true, false].map((sendsTrains) => {
    const world = new World(7, sendsTrains, Infinity, true, "cubic");
    world.pass(50_000);
    arrange(world.pair.clientConn);
    for (let i = 0; i < 30; i++) live(world, [{ do: "write", stream: 1, bytes: DATA.length, fin: false }]);
    return world;
  }) as [World, World];
}

describe("trains of packets", () => {
  test("are the packets that the general way sends, and leave the same state", () => {
    let trains = 0;
    fc.assert(
      fc.property(
        fc.array(step, { minLength: 5, maxLength: 60 }),
        fc.integer({ min: 1, max: 1000 }),
        fc.constantFrom(Infinity, 97, 13),
        fc.boolean(),
        fc.constantFrom("cubic" as const, "newreno" as const, "bbr" as const),
        (steps, seed, lossEvery, ecn, congestion) => {
          const [fast, plain] = [true, false].map((sends) => {
            const world = new World(seed, sends, lossEvery, ecn, congestion);
            live(world, steps);
            return world;
          }) as [World, World];
          trains += fast.trains;
          assertSame(fast, plain);
        },
      ),
      { numRuns: 40 },
    );
    assert.ok(trains > 100, `${trains} runs`);
  });

  test("connections that rest after every flight bring all that was written", () => {
    fc.assert(
      fc.property(
        fc.array(step, { minLength: 5, maxLength: 60 }),
        fc.integer({ min: 1, max: 1000 }),
        fc.constantFrom(Infinity, 97, 13),
        fc.constantFrom("cubic" as const, "bbr" as const),
        (steps, seed, lossEvery, congestion) => {
          // what a reset or a stop cuts off depends on the moment
          const whole = steps.filter((one) => one.do !== "reset" && one.do !== "stop");
          const world = new World(seed, true, lossEvery, false, congestion);
          world.rests = true;
          live(world, whole);
          world.lossEvery = Infinity;
          world.pathBytes = 1500;
          world.pass(20_000_000);
          for (const conn of [world.pair.clientConn, world.pair.serverConn!]) assert.equal(conn.state, STATE_OPEN);
          assert.deepEqual(world.got, world.given);
        },
      ),
      { numRuns: 40 },
    );
  });

  test("RFC 9001 §6.6 a train leaves the last packet of a key to the close", () => {
    const [fast, plain] = both((conn) => {
      const limits = { updatePackets: Infinity, confidentialityPackets: conn.keys.phases.sealedPackets + 1000 };
      (conn.keys as unknown as { limits: KeyLimits }).limits = limits;
      conn.keys.canUpdate = () => false;
      conn.keys.initiateUpdate = () => false;
    });
    assertSame(fast, plain);
    assert.ok(fast.trains > 10);
    assert.equal(closeOf(fast.pair.clientEvents).code, BigInt(AEAD_LIMIT_REACHED));
  });

  test("RFC 9000 §13.4.2 no train leaves while the path is tested for ECN marks", () => {
    const [fast, plain] = both((conn) => {
      conn.recovery.ecn.state = ECN_TESTING;
    });
    assertSame(fast, plain);
    assert.ok(fast.log.some((line) => line.includes(` true ${ECN_ECT0} `)));
  });

  for (const boundary of [2 ** 14, 2 ** 30, 2 ** 31, 2 ** 32, 2 ** 40]) {
    test(`RFC 9000 §16 offsets of any length: a flight across ${boundary}`, () => {
      const [fast, plain] = [true, false].map((sendsTrains) => {
        const world = new World(3, sendsTrains, Infinity, false, "cubic");
        const { clientConn } = world.pair;
        const send = clientConn.streams.get(4)!.send!;
        send.buffer.base = send.buffer.next = send.buffer.end = boundary - 5_000;
        send.maxStreamData = clientConn.streams.sendCredit.max = 2 ** 50;
        world.lossEvery = 1; // the peer knows nothing of the leap
        live(world, [{ do: "write", stream: 1, bytes: DATA.length, fin: false }]);
        return world;
      }) as [World, World];
      assertSame(fast, plain);
      assert.ok(fast.trains > 1, `${fast.trains} runs`);
    });
  }
});
