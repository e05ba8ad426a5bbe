/**
 * The configuration of one simulated run and its drawing from a seed (docs/simulation.md). Swarm rule: each seed switches
 * about half of the dimensions off, otherwise every run looks the same and rare combinations never meet.
 */

import type { ConnectionConfig } from "#src/conn/config.js";
import type { KeyLimits } from "#src/crypto/keys.js";
import { AEAD_AES_128_GCM, AEAD_AES_256_GCM, AEAD_CHACHA20_POLY1305, type AeadId } from "#src/port/aead.js";
import {
  type BurstLossOptions,
  type CodelOptions,
  type DelayOptions,
  type DuplicateOptions,
  type HostOptions,
  type PolicerOptions,
  PROMPT_HOST,
  Prng,
  type RateOptions,
  type ReorderOptions,
} from "#src/sim/index.js";
import { type Act, ROWS } from "./dimensions.js";
import { drawWorkload, plainWorkload, type Workload } from "./workload.js";

const DRAWN_HERE = [
  "loss",
  "burst",
  "exact",
  "reorder",
  "duplicate",
  "corrupt",
  "delay",
  "jitter",
  "rate",
  "mtu",
  "ecn",
  "blackout",
  "retry",
  "helloRetry",
  "clientAuth",
  "certificate",
  "bigHello",
  "tickets",
  "lateTls",
  "ciphers",
  "windows",
  "streamLimits",
  "batches",
  "timers",
  "keepAlive",
  "newreno",
  "ackDelay",
  "clients",
  "resets",
  "stops",
  "slowReader",
  "trickle",
  "manyStreams",
  "big",
  "randomClose",
  "keyUpdate",
  "cidRotation",
  "bbr",
  "pathMtu",
  "datagrams",
  "resume",
  "rebind",
] as const;
export type Dimension = (typeof DRAWN_HERE)[number] | (typeof ROWS)[number]["name"];
/** Those of this file first, then the rows of `dimensions.ts`: there is the place for a new one. */
export const DIMENSIONS: readonly Dimension[] = [...DRAWN_HERE, ...ROWS.map(({ name }) => name)];
export type Switches = Record<Dimension, boolean>;

/** What happens to datagrams of one direction. Absent = that node is not there. */
export interface DirectionPlan {
  loss?: number;
  burst?: BurstLossOptions;
  /** Bitmap over the first datagrams. */
  exact?: number;
  blackout?: { fromMicros: number; untilMicros: number };
  reorder?: ReorderOptions;
  duplicate?: DuplicateOptions;
  corrupt?: number;
  delay: DelayOptions;
  rate?: RateOptions;
  /** Largest UDP payload that passes. */
  mtuBytes?: number;
  /** From this time after the start on it is another one. */
  mtuChange?: { mtuBytes: number; atMicros: number };
  /** `flipMicros`: when the clearing of marks begins or ends; `remarks`: ECT(0) becomes ECT(1). */
  ecn?: { bleach: boolean; markChance: number; remarks?: boolean; flipMicros?: number[] };
  policer?: PolicerOptions;
  codel?: CodelOptions;
  /** Datagrams leave together, at multiples of this time. */
  slotMicros?: number;
  delaySteps?: { atMicros: number; baseMicros: number }[];
}

export interface TlsPlan {
  helloRetry: boolean;
  clientAuth: boolean;
  certificateBytes: number;
  keyShareBytes: number;
  tickets: number;
  aead: AeadId;
  /** Results come up to this much later; 0 = at once. Null TLS only. */
  lateMicros: number;
  /** A handshake message whose receiver finds it wrong, and the alert that it sends then. Null TLS only. */
  failOn?: number;
  failAlert?: number;
}

interface SideTimes {
  client: number[];
  server: number[];
}

export interface Scenario {
  seed: number;
  on: Switches;
  /** From client to server, and back. */
  forward: DirectionPlan;
  backward: DirectionPlan;
  /** The network is good from this time after the start, and from the close on: nothing is lost, changed or reordered. */
  goodAfterMicros: number;
  tls: TlsPlan;
  retry: "auto" | "always" | "never";
  clientConfig: Partial<ConnectionConfig>;
  serverConfig: Partial<ConnectionConfig>;
  clientHost: HostOptions;
  serverHost: HostOptions;
  /** `resumed`: with a ticket of a handshake before; `early`: and in 0-RTT; `reused`: all with the same ticket. */
  resume: "no" | "resumed" | "early" | "reused";
  /** Connections from one client endpoint. */
  connections: number;
  workload: Workload;
  /** Null mode: header protection on. */
  maskHeaders: boolean;
  /** Times after the start at which a side updates its keys, or moves to another of the peer's ids, if it may. */
  keyUpdates: SideTimes;
  cidRotations: SideTimes;
  /** For the keys of all connections. */
  keyLimits: KeyLimits | null;
  /** A connection may end by a timeout before its work is done. */
  mayTimeOut: boolean;
  /** Times after the start at which a NAT in front of the client takes another port, or another address. */
  rebindings: { atMicros: number; isPortOnly: boolean }[];
  /** Time after the start at which the server's process is replaced by another one with the same secret. */
  restartMicros?: number;
  /** Time after the start at which a host vanishes. */
  kill?: { host: "client" | "server"; atMicros: number };
  /** What else happens during the run (`dimensions.ts`). */
  acts: Act[];
  /** The server has a second address, and says that it prefers it; `dead`: nothing arrives there. */
  preferred: "no" | "alive" | "dead";
}

const NO_JITTER = { jitterMicros: 0, jitter: "uniform", fifo: true } as const;

/** Longer than any run that works. */
const LONG_MICROS = 10_000_000_000;

/** Nothing wrong anywhere: 10 ms each way, plain handshake, one stream of 1,000 bytes each way. */
export function plainScenario(seed: number): Scenario {
  return {
    seed,
    on: Object.fromEntries(DIMENSIONS.map((name) => [name, false])) as Switches,
    forward: { delay: { baseMicros: 10_000, ...NO_JITTER } },
    backward: { delay: { baseMicros: 10_000, ...NO_JITTER } },
    goodAfterMicros: LONG_MICROS,
    tls: {
      helloRetry: false,
      clientAuth: false,
      certificateBytes: 700,
      keyShareBytes: 32,
      tickets: 0,
      aead: AEAD_AES_128_GCM,
      lateMicros: 0,
    },
    retry: "never",
    clientConfig: { handshakeTimeoutMillis: 60_000, maxIdleTimeoutMillis: 120_000 },
    serverConfig: { handshakeTimeoutMillis: 60_000, maxIdleTimeoutMillis: 120_000 },
    clientHost: PROMPT_HOST,
    serverHost: PROMPT_HOST,
    resume: "no",
    connections: 1,
    workload: plainWorkload(1, 1000),
    maskHeaders: false,
    keyUpdates: { client: [], server: [] },
    cidRotations: { client: [], server: [] },
    keyLimits: null,
    mayTimeOut: false,
    rebindings: [],
    acts: [],
    preferred: "no",
  };
}

/** `off` switches dimensions off that the seed has on: for shrinking. */
export function drawScenario(seed: number, off: readonly Dimension[] = []): Scenario {
  const scenario = plainScenario(seed);
  const swarm = new Prng(seed, "swarm");
  for (const name of DIMENSIONS) scenario.on[name] = swarm.chance(CHANCES[name] ?? 0.5);
  for (const name of off) scenario.on[name] = false;
  const { on } = scenario;
  drawNetwork(scenario, new Prng(seed, "network"));
  drawPathMtu(scenario, new Prng(seed, "path mtu"));
  drawTls(scenario, new Prng(seed, "tls"));
  drawConfig(scenario, new Prng(seed, "config"));
  drawHosts(scenario, new Prng(seed, "hosts"));
  scenario.workload = drawWorkload(new Prng(seed, "workload"), on);
  scenario.mayTimeOut = on.randomClose;
  if (on.keyUpdate) scenario.keyUpdates = drawTimes(new Prng(seed, "keys"), 4);
  if (on.cidRotation) scenario.cidRotations = drawTimes(new Prng(seed, "ids"), 10);
  if (on.resume) scenario.resume = new Prng(seed, "resume").pick(["resumed", "early", "early", "reused"] as const);
  if (on.clients) scenario.connections = new Prng(seed, "clients").range(2, 4);
  if (on.datagrams) drawDatagrams(scenario.workload, new Prng(seed, "datagrams"));
  if (on.rebind) drawRebindings(scenario, new Prng(seed, "rebind"));
  scenario.maskHeaders = new Prng(seed, "mask").chance(0.5);
  for (const { name, draw } of ROWS) if (on[name]) draw(scenario, new Prng(seed, name));
  return scenario;
}

function drawDatagrams(workload: Workload, prng: Prng): void {
  workload.client = { ...workload.client, datagrams: prng.range(0, 60) };
  workload.server = { ...workload.server, datagrams: prng.range(0, 60) };
}

/** The client speaks now and then: a server does not find an address from which nothing comes (RFC 9000 §9.3.3). */
function drawRebindings(scenario: Scenario, prng: Prng): void {
  scenario.rebindings = Array.from({ length: prng.range(1, 5) }, () => ({
    atMicros: Math.floor(prng.logUniform(20_000, 5_000_000)),
    isPortOnly: prng.chance(0.5),
  }));
  scenario.clientConfig.keepAliveMillis ??= prng.range(200, 2000);
}

function drawTimes(prng: Prng, most: number): SideTimes {
  const times = (): number[] => Array.from({ length: prng.range(1, most) }, () => prng.logUniform(10_000, 5_000_000));
  return { client: times(), server: times() };
}

/** Dimensions that shape or lengthen a run so much that half of all seeds would be too many. */
const CHANCES: Partial<Record<Dimension, number>> = {
  exact: 0.2,
  blackout: 0.1,
  clients: 0.12,
  manyStreams: 0.15,
  pathMtu: 0.2,
  big: 0.12,
  randomClose: 0.12,
  resume: 0.4,
  rebind: 0.3,
  retry: 0.3,
  certificate: 0.3,
  bigHello: 0.2,
  clientAuth: 0.3,
  helloRetry: 0.3,
  slowReader: 0.3,
  trickle: 0.3,
  ...Object.fromEntries(ROWS.map(({ name, chance }) => [name, chance])),
};

function drawNetwork(scenario: Scenario, prng: Prng): void {
  const { on } = scenario;
  scenario.goodAfterMicros = Math.floor(prng.logUniform(50_000, 3_000_000));
  const mtuBytes = prng.range(1200, 1500);
  // Both ways draw alike, so that switching a dimension off leaves the draws of the others where they were.
  for (const way of ["forward", "backward"] as const) {
    const one = new Prng(prng.u32(), way);
    scenario[way] = drawDirection(one, on, scenario.goodAfterMicros);
    if (on.mtu) scenario[way].mtuBytes = mtuBytes;
  }
  if (!on.mtu) return;
  scenario.clientConfig.maxDatagramBytes = mtuBytes;
  scenario.serverConfig.maxDatagramBytes = prng.range(1200, mtuBytes);
}

/** Sizes that the ends do not know of, and that change. */
function drawPathMtu(scenario: Scenario, prng: Prng): void {
  const plans = [scenario.forward, scenario.backward].map((plan) => ({
    plan,
    mtuBytes: prng.range(1200, 1500),
    mtuChange: { mtuBytes: prng.range(1200, 1500), atMicros: Math.floor(prng.logUniform(20_000, 2_000_000)) },
    changes: prng.chance(0.5),
  }));
  const bounds = [prng.range(1200, 1500), Math.floor(prng.logUniform(1200, 9000))];
  if (!scenario.on.pathMtu) return;
  for (const { plan, mtuBytes, mtuChange, changes } of plans) {
    plan.mtuBytes = mtuBytes;
    if (changes) plan.mtuChange = mtuChange;
  }
  scenario.clientConfig.maxDatagramBytes = prng.pick(bounds);
  scenario.serverConfig.maxDatagramBytes = prng.pick(bounds);
}

function drawDirection(prng: Prng, on: Switches, goodAfterMicros: number): DirectionPlan {
  const all: Required<Omit<DirectionPlan, "mtuChange" | "policer" | "codel" | "slotMicros" | "delaySteps">> = {
    loss: prng.logUniform(0.001, 0.3),
    burst: { goodMean: prng.logUniform(10, 200), badMean: prng.logUniform(2, 30), badLoss: prng.range(5, 10) / 10 },
    exact: prng.below(2 ** 10),
    blackout: { fromMicros: Math.floor(prng.float() * goodAfterMicros), untilMicros: goodAfterMicros },
    reorder: drawReorder(prng),
    duplicate: {
      chance: prng.logUniform(0.01, 0.3),
      copies: Math.floor(prng.logUniform(1, 20)),
      spreadMicros: prng.chance(0.5) ? 0 : Math.floor(prng.logUniform(1000, 20_000_000)),
    },
    corrupt: prng.logUniform(0.0005, 0.2),
    delay: { baseMicros: Math.floor(prng.logUniform(50, 375_000)), ...NO_JITTER },
    rate: {
      bitsPerSec: prng.logUniform(64_000, 1e10),
      queuePackets: Math.floor(prng.logUniform(8, 1000)),
      markPackets: prng.chance(0.5) ? Infinity : Math.floor(prng.logUniform(2, 100)),
    },
    mtuBytes: 0,
    ecn: { bleach: prng.chance(0.3), markChance: prng.pick([0, 0.01, 0.1, 1]) },
  };
  const plan: DirectionPlan = { delay: { baseMicros: 10_000, ...NO_JITTER } };
  if (on.delay) plan.delay = all.delay;
  if (on.jitter) {
    plan.delay = {
      baseMicros: plan.delay.baseMicros,
      jitterMicros: Math.floor(prng.float() * Math.max(200, plan.delay.baseMicros)),
      jitter: prng.pick(["uniform", "pareto"] as const),
      fifo: prng.chance(0.5),
    };
  }
  for (const name of [
    "loss",
    "burst",
    "exact",
    "blackout",
    "reorder",
    "duplicate",
    "corrupt",
    "rate",
    "ecn",
  ] as const) {
    // A direction may be spared: impairment of one way only is a case of its own.
    if (on[name] && !prng.chance(0.25)) Object.assign(plan, { [name]: all[name] });
  }
  return plan;
}

function drawReorder(prng: Prng): ReorderOptions {
  return {
    mode: prng.pick(["late", "reverse"] as const),
    chance: prng.logUniform(0.01, 0.5),
    depth: Math.floor(prng.logUniform(1, 64)),
    holdMicros: Math.floor(prng.logUniform(100, 500_000)),
  };
}

function drawTls({ on, tls }: Scenario, prng: Prng): void {
  const certificateBytes = Math.floor(prng.logUniform(500, 60_000));
  const keyShareBytes = Math.floor(prng.logUniform(900, 4000));
  const aead = prng.pick([AEAD_AES_128_GCM, AEAD_AES_256_GCM, AEAD_CHACHA20_POLY1305] as const);
  const lateMicros = Math.floor(prng.logUniform(100, 500_000));
  tls.helloRetry = on.helloRetry;
  tls.clientAuth = on.clientAuth;
  if (on.certificate) tls.certificateBytes = certificateBytes;
  if (on.bigHello) tls.keyShareBytes = keyShareBytes;
  if (on.tickets) tls.tickets = 2;
  if (on.ciphers) tls.aead = aead;
  if (on.lateTls) tls.lateMicros = lateMicros;
}

function drawConfig(scenario: Scenario, prng: Prng): void {
  const { on } = scenario;
  const retry = prng.pick(["always", "auto"] as const);
  if (on.retry) scenario.retry = retry;
  for (const config of [scenario.clientConfig, scenario.serverConfig]) {
    const one = new Prng(prng.u32(), "side");
    const windows = {
      initialMaxData: Math.floor(one.logUniform(5000, 2_000_000)),
      initialMaxStreamDataBidiLocal: Math.floor(one.logUniform(1000, 1_000_000)),
      initialMaxStreamDataBidiRemote: Math.floor(one.logUniform(1000, 1_000_000)),
      initialMaxStreamDataUni: Math.floor(one.logUniform(1000, 1_000_000)),
      streamWindowMaxBytes: Math.floor(one.logUniform(1_000_000, 6_000_000)),
      connWindowMaxBytes: Math.floor(one.logUniform(2_000_000, 15_000_000)),
      sendBufferBytes: Math.floor(one.logUniform(1000, 2_000_000)),
    };
    if (on.windows) Object.assign(config, windows);
    const limits = { initialMaxStreamsBidi: one.range(1, 5), initialMaxStreamsUni: one.range(1, 5) };
    if (on.streamLimits) Object.assign(config, limits);
    const acks = { maxAckDelayMillis: one.range(0, 300), ackDelayExponent: one.range(0, 20) };
    if (on.ackDelay) Object.assign(config, acks);
    const keepAliveMillis = Math.floor(one.logUniform(50, 5000));
    if (on.keepAlive) config.keepAliveMillis = keepAliveMillis;
    if (on.newreno && one.chance(0.7)) config.congestion = "newreno";
    config.ecn = on.ecn;
    config.activeConnectionIdLimit = one.range(2, 8);
    if (on.bbr && one.chance(0.7)) config.congestion = "bbr";
  }
}

function drawHosts(scenario: Scenario, prng: Prng): void {
  const { on } = scenario;
  for (const host of ["clientHost", "serverHost"] as const) {
    const one = new Prng(prng.u32(), host);
    const options: HostOptions = { ...PROMPT_HOST };
    const batches = { batchPackets: Math.floor(one.logUniform(1, 64)), gatherMicros: one.pick([0, 20, 500, 5000]) };
    if (on.batches) Object.assign(options, batches);
    const timers = {
      timerLateMicros: Math.floor(one.logUniform(10, 100_000)),
      spuriousTimeouts: one.pick([0, 0.1, 1]),
    };
    if (on.timers) Object.assign(options, timers);
    scenario[host] = options;
  }
}
