/**
 * Random nonsense from a peer with keys: valid frames and damaged ones, in any order, level, number and datagram,
 * between random calls of the application. Never an exception, never a hang, always progress or a code of the RFC.
 * A failure names its seed: FUZZ_SEED=n runs that one, FUZZ_RUNS=n that many.
 */

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { ConnectionConfig } from "#src/conn/config.js";
import type { Connection } from "#src/conn/connection.js";
import { encodeParams } from "#src/frame/params.js";
import type { Level } from "#src/port/tls.js";
import { STREAM_BIDI, STREAM_UNI } from "#src/port/transport.js";
import { MAX_SEND_DATAGRAM_BYTES } from "#src/proto/limits.js";
import type { TransportParams } from "#src/proto/params.js";
import { Prng } from "#src/sim/prng.js";
import { Arena, type Arrival } from "../support/arena.js";
import type { NullTlsOptions } from "../support/null-tls.js";
import {
  bytes,
  crypto,
  ints,
  newConnectionId,
  padding,
  pathChallenge,
  reset,
  sample,
  stopSending,
  stream,
  vi,
} from "../support/raw-frames.js";
import {
  LEVEL_APP,
  LEVEL_EARLY,
  LEVEL_HANDSHAKE,
  LEVEL_INITIAL,
  type PacketOptions,
  RawPeer,
  type RawPeerOptions,
} from "../support/raw-peer.js";

const SEED = process.env["FUZZ_SEED"];
const FIRST = Number(SEED ?? 1);
const RUNS = Number(process.env["FUZZ_RUNS"] ?? (SEED === undefined ? 250 : 1));
const STEPS = 60;
const FINAL_SIZE = 1200;
const LEVELS = [LEVEL_INITIAL, LEVEL_EARLY, LEVEL_HANDSHAKE, LEVEL_APP] as const;
const EDGES = [0n, 1n, 63n, 64n, 16383n, 16384n, 2n ** 30n, 2n ** 53n - 1n, 2n ** 53n, 2n ** 60n, 2n ** 62n - 1n];

class Fuzzer {
  readonly random: Prng;
  readonly arena: Arena;
  readonly peers: RawPeer[];
  /** Whose turn it is. */
  private peer: RawPeer;
  /** Share of packets that break rules; the others keep a connection alive, so that deep states are reached. */
  private readonly rude: number;
  /** Steps of the endpoint's TLS that take their time. */
  private readonly late: (() => void)[] = [];

  constructor(readonly seed: number) {
    this.random = new Prng(seed, "fuzz");
    const { random } = this;
    const isServer = random.chance(0.5);
    this.rude = random.pick([0, 0.01, 0.05, 0.3, 1]);
    const retry = this.rude === 1 && random.chance(0.1) ? "always" : "auto";
    const tls: Partial<NullTlsOptions> = { tickets: random.below(3) };
    if (random.chance(0.3)) tls.later = (step) => void this.late.push(step);
    this.arena = new Arena({ seed, retry, tls, config: this.config() });
    this.peers = Array.from({ length: random.chance(0.3) ? 3 : 1 }, () => this.newPeer(isServer));
    this.peer = this.peers[0];
  }

  private newPeer(isServer: boolean): RawPeer {
    const { random } = this;
    const options: RawPeerOptions = { isServer, tls: { helloRetry: this.rude === 1 && random.chance(0.1) } };
    if (random.chance(0.2)) options.scid = padding(0);
    if (this.rude === 1 && random.chance(0.3)) options.editTls = (_level, message) => this.mutate(message, 0.1);
    if (random.chance(0.3)) options.params = (params) => this.oddParams(params, isServer);
    if (this.rude === 1 && random.chance(0.1)) options.params = () => this.randomBytes(random.below(80));
    const peer = new RawPeer(this.arena, options);
    peer.validated = true; // it may prove its address at any time; amplification has tests of its own
    if (isServer) this.arena.connect(peer, this.config());
    return peer;
  }

  /** Settings of the endpoint, each as far from the default as it may be. */
  private config(): Partial<ConnectionConfig> {
    const { random } = this;
    const config: Partial<ConnectionConfig> = {};
    if (random.chance(0.7)) return config;
    config.maxIdleTimeoutMillis = random.pick([0, 1, 30_000, 2 ** 40]);
    config.initialMaxData = random.pick([0, 3000, 2 ** 21]);
    config.initialMaxStreamDataUni = random.pick([0, 100, 2 ** 20]);
    config.initialMaxStreamsBidi = random.pick([0, 1, 100]);
    config.congestion = random.pick(["newreno", "cubic"] as const);
    config.keepAliveMillis = random.pick([0, 1, 500]);
    config.maxDatagramBytes = random.pick([1200, 1452, 9000, MAX_SEND_DATAGRAM_BYTES]);
    config.ecn = random.chance(0.5);
    config.maxAckDelayMillis = random.pick([0, 25, 2 ** 14 - 1]);
    config.ackDelayExponent = random.pick([0, 20]);
    config.activeConnectionIdLimit = random.pick([2, 8]);
    config.sendBufferBytes = random.pick([1, 1000, 2 ** 20]);
    return config;
  }

  /** Parameters of the peer that are valid, and odd. */
  private oddParams(params: TransportParams, isServer: boolean): Uint8Array {
    const { random } = this;
    const pick = () => random.pick([0, 1, 1000, 2 ** 30, 2 ** 53 - 1]);
    params.maxIdleTimeoutMillis = pick();
    params.initialMaxData = pick();
    params.initialMaxStreamDataBidiLocal = pick();
    params.initialMaxStreamDataBidiRemote = pick();
    params.initialMaxStreamDataUni = pick();
    params.initialMaxStreamsBidi = pick();
    params.initialMaxStreamsUni = pick();
    params.maxUdpPayloadBytes = random.pick([1200, 1300, 65_527, 2 ** 53 - 1]);
    params.ackDelayExponent = random.below(21);
    params.maxAckDelayMillis = random.pick([0, 25, 2 ** 14 - 1]);
    params.activeConnectionIdLimit = random.pick([2, 3, 8, 2 ** 53 - 1]);
    params.disableActiveMigration = random.chance(0.5);
    return encodeParams(params, isServer);
  }

  run(): void {
    this.runLate(100);
    for (const peer of this.peers) this.begin(peer);
    for (let step = 0; step < STEPS; step++) {
      this.peer = this.random.pick(this.peers);
      this.step();
    }
    this.runLate(1000);
    this.check();
    this.arena.assertCleanEnd();
  }

  /** Late steps of TLS, so many at most; each may lead to others. */
  private runLate(count: number): void {
    for (let left = count; left > 0 && this.late.length > 0; left--) {
      this.late.shift()?.();
      if (this.random.chance(0.5)) this.arena.pump();
    }
    this.arena.pump();
  }

  /** Goes some way into the handshake. */
  private begin(peer: RawPeer): void {
    const isLate = this.arena.tls.options.later !== undefined;
    const stage = this.rude < 1 && !isLate ? 5 : this.random.below(4);
    if (stage === 5) peer.connect();
    else if (stage > 0) peer.hello();
    if (stage > 1) {
      peer.pumpTls();
      peer.flushTls();
    }
    if (stage > 2) peer.send(LEVEL_INITIAL, Uint8Array.of(1));
  }

  private step(): void {
    const { random, arena, peer } = this;
    if (random.chance(0.3)) this.runLate(1 + random.below(3));
    const dice = random.below(10);
    if (dice < 5) {
      const datagram = this.datagram();
      if (random.chance(0.5)) arena.send(peer, bytes(datagram, padding(Math.max(0, 1200 - datagram.length))));
      else arena.send(peer, datagram, ...(random.chance(0.1) ? [datagram] : []));
    } else if (dice < 6) this.batch();
    else if (dice < 7) {
      peer.pumpTls();
      peer.flushTls();
    } else if (dice < 8) arena.advance(random.below(3_000_000));
    else this.application();
    for (const conn of arena.conns) {
      const cap = 1.5 * 15 * 2 ** 20 + 512 * 1024;
      assert.ok(conn.heldBytes() < cap && conn.heldBytes() >= 0, `holds ${conn.heldBytes()}`);
      if (conn.closeInfo !== null) continue; // the frame that broke a limit may have been counted
      assert.ok(conn.recovery.bytesInFlight >= 0);
      assert.ok(conn.localIds.live.length <= 8 && conn.peerIds.activeCount <= 8);
      assert.ok(conn.streams.recvCredit.received <= conn.streams.recvCredit.advertised);
      assert.ok(conn.nextDeadline() > 0);
    }
  }

  /** Datagrams of all peers in one receive batch, mixed. */
  private batch(): void {
    const { random, arena } = this;
    const arrivals: Arrival[] = [];
    for (let left = 1 + random.below(12); left > 0; left--) {
      this.peer = random.pick(this.peers);
      const from = random.chance(this.rude / 10) ? random.pick(this.peers) : this.peer;
      arrivals.push({ peer: from, datagram: this.datagram() });
    }
    arena.deliverMixed(arrivals);
    if (random.chance(0.3)) arena.deliverMixed(arrivals);
    arena.pump();
  }

  private datagram(): Uint8Array {
    const { random } = this;
    const count = random.chance(0.3) ? 1 + random.below(4) : 1;
    const packets = Array.from({ length: count }, () => this.packet());
    if (random.chance(this.rude / 5)) packets.push(this.randomBytes(random.below(60)));
    return this.mutate(bytes(...packets), random.chance(this.rude) ? 0.2 : 0);
  }

  private packet(): Uint8Array {
    const { random, peer } = this;
    if (!random.chance(this.rude) && peer.canWrite(LEVEL_APP)) {
      return peer.packet(
        LEVEL_APP,
        Array.from({ length: 1 + random.below(6) }, () => this.politeFrame()),
      );
    }
    let level: Level = random.chance(0.6) ? LEVEL_APP : random.pick<Level>(LEVELS);
    if (!peer.canWrite(level === LEVEL_EARLY ? LEVEL_INITIAL : level)) level = LEVEL_INITIAL;
    const frames = Array.from({ length: random.below(6) }, () => this.frame());
    const options: PacketOptions = {};
    if (random.chance(0.1)) options.pnBytes = random.pick([1, 2, 3, 4] as const);
    if (random.chance(0.1)) options.pn = random.pick([0, 1, random.below(300), 2 ** 31, 2 ** 32 + 5, 2 ** 53 - 10]);
    if (random.chance(0.03)) options.firstByte = 1 << random.below(7);
    if (random.chance(0.03)) options.dcid = this.randomBytes(random.below(21));
    if (random.chance(0.03)) options.scid = this.randomBytes(random.below(21));
    if (random.chance(0.03)) options.token = this.randomBytes(random.below(200));
    if (random.chance(0.03)) options.version = random.pick([0, 2, 0x1a2a3a4a]);
    if (random.chance(0.03)) options.lengthDelta = random.below(40) - 20;
    if (random.chance(0.05)) options.forged = true;
    if (random.chance(0.05)) options.generation = random.below(3);
    if (random.chance(0.2)) options.padTo = random.below(1400);
    return peer.packet(level, frames, options);
  }

  /** A frame with random or border values, sometimes damaged. */
  private frame(): Uint8Array {
    const { random } = this;
    const type = random.below(0x22);
    const value = (): bigint => (random.chance(0.5) ? BigInt(random.below(100)) : random.pick(EDGES));
    let frame: Uint8Array;
    if (type >= 8 && type < 16)
      frame = stream(value(), value(), this.randomBytes(random.below(200)), random.chance(0.3));
    else if (type === 2) frame = this.ackFrame();
    else if (type === 6) frame = crypto(value(), this.randomBytes(random.below(100)));
    else if (type === 4) frame = ints(type, value(), value(), value());
    else if (type === 5 || type === 0x11 || type === 0x15) frame = ints(type, value(), value());
    else if ((type >= 0x10 && type <= 0x17) || type === 0x19) frame = ints(type, value());
    else if (type === 0x18) frame = bytes(type, vi(value()), vi(value()), 8, this.randomBytes(24));
    else if ((type === 0x1c || type === 0x1d) && random.chance(0.9)) frame = Uint8Array.of(1);
    else if (type === 0x21) frame = bytes(vi(0xaf), vi(value()), vi(value()), vi(value()), vi(value()));
    else frame = type === 0x20 ? bytes(vi(value())) : sample(type);
    return random.chance(0.05) ? this.mutate(frame, 1) : frame;
  }

  /** A frame that a peer may send at any time: every stream of it ends at FINAL_SIZE. */
  private politeFrame(): Uint8Array {
    const { random, peer } = this;
    const isUni = random.chance(0.3);
    const id = 4 * random.below(12) + (isUni ? 2 : 0) + (peer.isServer ? 1 : 0);
    const offset = random.below(FINAL_SIZE);
    const data = this.randomBytes(Math.min(random.below(300), FINAL_SIZE - offset));
    switch (random.below(14)) {
      case 0:
      case 1:
      case 2:
        return stream(id, offset, data, offset + data.length === FINAL_SIZE && random.chance(0.5));
      case 3:
        return stream(id, 0, this.randomBytes(random.below(FINAL_SIZE)));
      case 4:
        return random.chance(0.2) ? reset(id, FINAL_SIZE, random.below(9)) : Uint8Array.of(1);
      case 5:
        return random.chance(0.2) && !isUni ? stopSending(id, random.below(9)) : Uint8Array.of(1);
      case 6:
        return isUni ? ints(0x10, random.pick(EDGES)) : ints(0x11, id, random.pick(EDGES));
      case 7:
        return ints(random.pick([0x12, 0x13, 0x16, 0x17]), random.below(2000));
      case 8:
        return ints(random.pick([0x14, 0x10]), random.below(2 ** 30));
      case 9:
        return ints(0x15, id, random.below(5000));
      case 10:
        return pathChallenge(random.below(1000));
      case 11:
        return peer.scid.length === 0 ? padding(3) : newConnectionId(1 + random.below(7), 0);
      default:
        return random.chance(0.7) ? this.ackFrame(true) : Uint8Array.of(1);
    }
  }

  private ackFrame(isPolite = false): Uint8Array {
    const { random } = this;
    if (!isPolite && random.chance(0.1)) {
      return bytes(2, vi(random.pick(EDGES)), vi(0), vi(random.below(3)), vi(random.below(5)), vi(0), vi(0));
    }
    const level = isPolite ? LEVEL_APP : random.pick<Level>([LEVEL_INITIAL, LEVEL_HANDSHAKE, LEVEL_APP]);
    const has = this.peer.packets.some((packet) => packet.level === level);
    return has ? this.peer.ackFrame(level) : Uint8Array.of(1);
  }

  private application(): void {
    const { random, arena } = this;
    const conn: Connection | undefined = arena.conns.length > 0 ? random.pick(arena.conns) : undefined;
    if (conn === undefined) return;
    const id = random.below(20);
    const data = this.randomBytes(random.below(3000));
    switch (random.below(9)) {
      case 0:
        conn.open(random.chance(0.5) ? STREAM_BIDI : STREAM_UNI);
        break;
      case 1:
      case 2:
        conn.write(id, data, 0, data.length, random.chance(0.2));
        break;
      case 3:
      case 4:
        conn.read(id, data, 0, data.length);
        break;
      case 5:
        conn.reset(id, BigInt(random.below(100)));
        break;
      case 6:
        conn.stopSending(id, BigInt(random.below(100)));
        break;
      case 7:
        if (random.chance(0.02))
          conn.close(random.chance(0.5) ? "application" : "transport", BigInt(random.below(9)), "fuzz");
        break;
      default:
        if (random.chance(0.01)) conn.abandon();
    }
    arena.pump();
  }

  private check(): void {
    for (const { code, isApplication } of this.peers.flatMap((peer) => peer.closes)) {
      const known = isApplication || (code >= 0 && code <= 0x10) || (code >= 0x100 && code <= 0x1ff);
      assert.ok(known, `closed with ${code}`);
    }
  }

  private randomBytes(length: number): Uint8Array {
    const out = new Uint8Array(length);
    this.random.fill(out, 0, length);
    return out;
  }

  /** With this probability: bytes changed, cut, added or repeated. */
  private mutate(input: Uint8Array, probability: number): Uint8Array {
    const { random } = this;
    if (!random.chance(probability) || input.length === 0) return input;
    const out = input.slice();
    switch (random.below(4)) {
      case 0:
        out[random.below(out.length)] ^= 1 << random.below(8);
        return out;
      case 1:
        return out.subarray(0, random.below(out.length));
      case 2:
        out[random.below(out.length)] = random.below(256);
        return bytes(out, this.randomBytes(random.below(8)));
      default:
        return bytes(out, out.subarray(random.below(out.length)));
    }
  }
}

describe("a peer that sends anything", () => {
  test(`${RUNS} seeds from ${FIRST}: progress or an end, never an exception`, () => {
    for (let seed = FIRST; seed < FIRST + RUNS; seed++) {
      try {
        new Fuzzer(seed).run();
      } catch (error) {
        throw new Error(`FUZZ_SEED=${seed}: ${(error as Error).message}`, { cause: error });
      }
    }
  });
});
