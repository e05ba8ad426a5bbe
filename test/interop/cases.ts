/** What each case of the matrix moves, over which path, and what must be seen besides the client's word. */

import type { DirectionPlan } from "../sim/scenario.js";
import type { RebindPlan } from "./forwarder.js";

export const CASES = [
  "handshake",
  "transfer",
  "retry",
  "multiplexing",
  "resumption",
  "zerortt",
  "ecn",
  "chacha20",
  "keyupdate",
  "v2",
  "ipv6",
  "amplification",
  "longrtt",
  "transferloss",
  "transfercorruption",
  "blackhole",
  "rebindport",
  "rebindaddress",
  "migration",
  "handshakeloss",
  "handshakecorruption",
] as const;

export type InteropCase = (typeof CASES)[number];

export interface CaseSetup {
  host: string;
  /** Size of one request, bytes; null: what `--bytes` says. */
  bytes: number | null;
  /** As many bytes up as down, at once. */
  bothWays: boolean;
  /** Requests on one connection, each on a stream of its own. */
  streams: number;
  /** Connections, one handshake each. */
  connections: number;
  /** TLS suites of our side; "" for all. */
  ciphers: string;
  /** QUIC versions of our side; none for all. */
  versions: readonly number[];
  /** The client moves to another local address while bytes move. */
  migrates: boolean;
  /** Our side takes new keys while bytes move. */
  keyUpdate: boolean;
  /** A certificate chain of more than 10 kB. */
  largeChain: boolean;
  /** The path in both directions; null without a forwarder. */
  path: DirectionPlan | null;
  /** A NAT in the path that gives the client another port or address; null without. */
  rebind: RebindPlan | null;
  /** What our own side must say of the (last) connection when the bytes have moved. */
  fact: ((facts: SessionFacts, isServer: boolean) => boolean) | null;
  /** What the forwarder must have seen. */
  witness: "retry" | "amplification" | "loss" | "damage" | "blackout" | "rebinding" | null;
  /** How long one connection may be silent or in its handshake, milliseconds. */
  patienceMillis: number;
  /** Bound of the cell, milliseconds. */
  limitMillis: number;
}

/** What our side knows of a connection. */
export interface SessionFacts {
  version: number;
  resumed: boolean;
  /** Some of the request went in 0-RTT and was taken. */
  early: boolean;
  /** Whether the path carries marks and the peer tells of them. */
  ecn: string;
  /** Packets that came with ECT(0). */
  ect0Received: number;
  pathMoves: number;
  pathsValidated: number;
}

const MICROS_PER_MILLI = 1000;
/** Of a transfer that an impaired path slows down. */
const IMPAIRED_BYTES = 1_000_000;
/** The number that the interop runner of the QUIC working group asks for. */
const MULTIPLEXED_STREAMS = 1999;
const HANDSHAKES = 50;
/** RFC 9369 §3.1. */
const VERSION_2 = 0x6b3343cf;

const PLAIN: CaseSetup = {
  host: "127.0.0.1",
  bytes: 1000,
  bothWays: false,
  streams: 1,
  connections: 1,
  ciphers: "",
  versions: [],
  migrates: false,
  keyUpdate: false,
  largeChain: false,
  path: null,
  rebind: null,
  fact: null,
  witness: null,
  patienceMillis: 60_000,
  limitMillis: 60_000,
};

/** A path of so much delay each way and nothing else; its nodes are the simulator's. */
function path(delayMillis: number, rest: Partial<DirectionPlan> = {}): DirectionPlan {
  return {
    delay: { baseMicros: delayMillis * MICROS_PER_MILLI, jitterMicros: 0, jitter: "uniform", fifo: true },
    ...rest,
  };
}

const LINK = { rate: { bitsPerSec: 10e6, queuePackets: 100, markPackets: Infinity } };
const BLACKOUT = { fromMicros: 400 * MICROS_PER_MILLI, untilMicros: 2400 * MICROS_PER_MILLI };
const IMPAIRED = { ...PLAIN, bytes: IMPAIRED_BYTES, bothWays: true };
const REBIND_BYTES = [20_000, 400_000];
/** Long enough for a challenge to be repeated (a second, RFC 9000 §8.2.1). */
const MOVING_BYTES = 3_000_000;
const MOVING: CaseSetup = {
  ...PLAIN,
  // down only: a quiche client whose window is full acknowledges PATH_CHALLENGE frames and never answers them
  bytes: MOVING_BYTES,
  path: path(10, LINK),
  witness: "rebinding",
  // A client does not see what a NAT does.
  fact: ({ pathMoves, pathsValidated }, isServer) => !isServer || (pathMoves > 0 && pathsValidated > 0),
};
/** The sixth PTO of a handshake ends after more than a minute; the runner of the working group limits all fifty together only. */
const HANDSHAKES_ONLY = { ...PLAIN, connections: HANDSHAKES, patienceMillis: 150_000, limitMillis: 330_000 };

export const CASE_SETUPS: Record<InteropCase, CaseSetup> = {
  handshake: PLAIN,
  transfer: { ...PLAIN, bytes: null, bothWays: true, limitMillis: 120_000 },
  retry: { ...PLAIN, path: path(0), witness: "retry" },
  multiplexing: { ...PLAIN, bytes: 32, streams: MULTIPLEXED_STREAMS, limitMillis: 120_000 },
  resumption: { ...PLAIN, fact: ({ resumed, early }) => resumed && !early },
  zerortt: { ...PLAIN, fact: ({ early }) => early },
  ecn: { ...IMPAIRED, fact: ({ ecn }) => ecn === "capable" },
  chacha20: { ...IMPAIRED, ciphers: "TLS_CHACHA20_POLY1305_SHA256" },
  keyupdate: { ...PLAIN, bytes: null, bothWays: true, keyUpdate: true },
  v2: { ...IMPAIRED, versions: [VERSION_2], fact: ({ version }) => version === VERSION_2 },
  ipv6: { ...IMPAIRED, host: "::1" },
  amplification: { ...PLAIN, largeChain: true, path: path(15), witness: "amplification" },
  longrtt: { ...IMPAIRED, path: path(375) },
  transferloss: { ...IMPAIRED, path: path(10, { ...LINK, loss: 0.02 }), witness: "loss" },
  transfercorruption: { ...IMPAIRED, path: path(10, { ...LINK, corrupt: 0.02 }), witness: "damage" },
  blackhole: { ...IMPAIRED, path: path(10, { ...LINK, blackout: BLACKOUT }), witness: "blackout" },
  rebindport: { ...MOVING, rebind: { address: "127.0.0.1", afterBytes: REBIND_BYTES } },
  rebindaddress: { ...MOVING, rebind: { address: "127.0.0.2", afterBytes: REBIND_BYTES } },
  migration: {
    ...IMPAIRED,
    migrates: true,
    path: path(10, LINK),
    fact: ({ pathMoves, pathsValidated }) => pathMoves > 0 && pathsValidated > 0,
  },
  handshakeloss: { ...HANDSHAKES_ONLY, path: path(15, { loss: 0.3 }), witness: "loss" },
  handshakecorruption: { ...HANDSHAKES_ONLY, path: path(15, { corrupt: 0.3 }), witness: "damage" },
};
