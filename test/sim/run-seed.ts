/**
 * One run: a scenario in, a verdict out. Three phases: until all planned work is done (or both ends are closed), the
 * close, and the time after it, in which everything must be given back. Throws what the checks found.
 */

import { createHash, type Hash } from "node:crypto";
import type { ConnectionConfig } from "#src/conn/config.js";
import type { Connection } from "#src/conn/connection.js";
import type { KeyLimits } from "#src/crypto/keys.js";
import { type ConnectOptions, Endpoint } from "#src/endpoint/endpoint.js";
import { ECN_CAPABLE } from "#src/path/ecn-check.js";
import { ACTIVE_CIDS } from "#src/proto/limits.js";
import { Copier, type Host, Nat, Prng, SimScratch, simAddress, Simulation } from "#src/sim/index.js";
import { Checker } from "./checker.js";
import { type ActWorld, FIRST_PUBLIC, HANDED_ON, mayMove } from "./dimensions.js";
import { collectMarks } from "./marks.js";
import { type Mode, type RunCrypto, SERVER_NAME } from "./modes.js";
import { buildDirection, type Direction } from "./network.js";
import { Peer } from "./peer.js";
import { PrintingTap } from "./printing-tap.js";
import { Program } from "./program.js";
import type { DirectionPlan, Scenario } from "./scenario.js";
import { collectTickets } from "./tickets.js";
import { TracingTap } from "./tracing-tap.js";

const CLIENT_ADDRESS = simAddress(10, 0, 0, 1, 50_000);
const SERVER_ADDRESS = simAddress(10, 0, 0, 2, 4433);
const PREFERRED_ADDRESS = simAddress(10, 0, 0, 3, 4434);
const SECOND = 1_000_000;
/** Virtual time that the work may take after the network became good: slow links, long backoff. */
const WORK_LIMIT_MICROS = 1800 * SECOND;
const CLOSE_LIMIT_MICROS = 600 * SECOND;
const EVENT_LIMIT = 400_000;
/** RFC 9001 §4.8: with the alert in its lower byte. */
const CRYPTO_ERROR = 0x100n;
const INVALID_TOKEN = 0x0bn;
/** After this much time without work all backoff is over; then nothing may be sent for a while. Less than idle. */
const CALM_MICROS = 70 * SECOND;
const QUIET_MICROS = 20 * SECOND;

export interface Outcome {
  /** `finished`: all work was done before the close; else how it ended. */
  end: "finished" | "closed";
  virtualMicros: number;
  handshakeMicros: number;
  events: number;
  bytes: number;
  marks: Set<string>;
  /** SHA-256 over every datagram sent, with its time; only when asked for. */
  trace: string;
  peers: Peer[];
}

export interface RunOptions {
  scratch?: SimScratch;
  /** Fill `Outcome.trace`. */
  trace?: boolean;
  /** One line for each datagram that is sent, delivered or dropped. */
  print?: (line: string) => void;
}

export function runScenario(scenario: Scenario, mode: Mode, options: RunOptions = {}): Outcome {
  const world = new World(scenario, mode, options);
  try {
    return world.run();
  } finally {
    world.dispose();
  }
}

class World implements ActWorld {
  readonly sim: Simulation;
  readonly marks = new Set<string>();
  readonly client: Program;
  server: Program;
  readonly clientHost: Host;
  serverHost: Host;
  readonly nat: Nat;
  readonly copier: Copier;
  private readonly crypto: RunCrypto;
  private readonly directions: Direction[];
  private readonly startMicros: number;
  private readonly checker: Checker;
  private readonly hash: Hash | null;
  /** One for each connection that resumes. */
  private readonly tickets: Uint8Array[];
  private killed = false;
  private restarted = false;

  constructor(
    private readonly scenario: Scenario,
    mode: Mode,
    options: RunOptions,
  ) {
    const { seed } = scenario;
    this.sim = new Simulation({ scratch: options.scratch ?? new SimScratch() });
    this.startMicros = this.sim.nowMicros;
    const random = new Prng(seed, "tls random");
    const later = (micros: number, step: () => void): void => this.sim.after(micros, step);
    this.crypto = mode.open(scenario.tls, random, scenario.maskHeaders, later);
    this.client = this.program("client", this.crypto.clientAead);
    this.server = this.program("server", this.crypto.serverAead);
    this.listen();
    this.tickets = this.collectTickets();
    const { sim } = this;
    const add = (name: "client" | "server", address: Int32Array): Host => {
      const app = this[name];
      const options = name === "client" ? scenario.clientHost : scenario.serverHost;
      return sim.addHost({ name, address, endpoint: app.endpoint, app, options, prng: new Prng(seed, `${name} host`) });
    };
    this.clientHost = add("client", CLIENT_ADDRESS);
    this.serverHost = add("server", SERVER_ADDRESS);
    if (scenario.preferred !== "no") this.serverHost.addSocket(PREFERRED_ADDRESS, scenario.preferred === "alive");
    this.directions = [
      buildDirection(sim, scenario.forward, seed, "forward"),
      buildDirection(sim, scenario.backward, seed, "backward"),
    ];
    this.nat = new Nat(sim.network, this.clientHost.id, CLIENT_ADDRESS);
    const [forward, backward] = this.directions;
    this.copier = new Copier(sim, sim.network, new Prng(seed, "copier"));
    sim.join(this.clientHost, this.serverHost, [this.nat, this.copier, ...forward.nodes], backward.nodes);
    if (scenario.rebindings.length > 0) this.scheduleRebindings(this.nat);
    this.checker = new Checker(scenario, mode.name === "null" && !scenario.maskHeaders, this.marks);
    this.hash = options.trace === true ? createHash("sha256") : null;
    sim.tap = this.hash === null ? this.checker : new TracingTap(this.checker, this.hash);
    if (options.print !== undefined) sim.tap = new PrintingTap(sim.tap, sim.nowMicros, options.print);
    this.scheduleActs();
  }

  run(): Outcome {
    for (let i = 0; i < this.scenario.connections; i++) this.connect(this.tickets[i]);
    this.work();
    const finished = this.allFinished();
    const atEnd = this.sim.nowMicros - this.startMicros;
    if (finished && this.canBeQuiet()) this.checkQuiet();
    if (!this.killed) this.close(finished);
    this.settle();
    this.collectMarks();
    return {
      end: finished ? "finished" : "closed",
      virtualMicros: atEnd,
      handshakeMicros: this.handshakeMicros(),
      events: this.sim.events,
      bytes: this.clientHost.bytesSent + this.serverHost.bytesSent,
      marks: this.marks,
      trace: this.hash?.digest("hex") ?? "",
      peers: this.peers(),
    };
  }

  get isConfirmed(): boolean {
    const peers = [...this.client.peers, ...this.server.peers];
    return peers.every((peer) => peer.confirmed || peer.closed !== null || peer.isGhost);
  }

  mark(name: string): void {
    this.marks.add(name);
  }

  dispose(): void {
    this.client.endpoint.destroy();
    this.server.endpoint.destroy();
    this.crypto.close();
  }

  private program(name: "client" | "server", aead: RunCrypto["clientAead"], drawsFrom: string = name): Program {
    const { sim, scenario } = this;
    const endpoint = new Endpoint({
      aead,
      random: new Prng(scenario.seed, `${drawsFrom} random`),
      nowMicros: sim.nowMicros,
      wallSeconds: () => sim.wallSeconds(),
      secret: new Uint8Array(32).fill(name === "client" ? 1 : 2),
    });
    const host = { nowMicros: () => sim.nowMicros, mark: (mark: string) => this.mark(mark) };
    const makePeer = (conn: Connection, index: number): Peer => {
      const prng = new Prng(scenario.seed, `${name} peer ${index}`);
      const { keyLimits } = scenario;
      if (keyLimits !== null) (conn.keys as unknown as { limits: KeyLimits }).limits = keyLimits;
      return new Peer(`${name} ${index}`, conn, scenario.workload, host, prng);
    };
    const wakeAt = (atMicros: number): void =>
      (name === "client" ? this.clientHost : this.serverHost).wakeAppAt(atMicros);
    return new Program(endpoint, makePeer, wakeAt);
  }

  private connect(ticket: Uint8Array | undefined): void {
    const { crypto, sim } = this;
    const isEarly = ticket !== undefined && this.scenario.resume !== "resumed";
    const options = {
      ...this.connectOptions(),
      ...(ticket !== undefined && { ticket }),
      ...(isEarly && { earlyAlpn: crypto.alpn }),
    };
    const peer = this.client.adopt(this.client.endpoint.connect(options, sim.nowMicros));
    if (isEarly) peer.openEarly();
  }

  private connectOptions(): ConnectOptions {
    const { clientTls: tls } = this.crypto;
    return { tls, serverName: SERVER_NAME, remote: SERVER_ADDRESS, config: this.scenario.clientConfig };
  }

  private collectTickets(): Uint8Array[] {
    const { scenario, crypto, sim } = this;
    const { resume, connections } = scenario;
    if (resume === "no" || crypto.prepare === undefined) return [];
    const ends = {
      client: this.client.endpoint,
      server: this.server.endpoint,
      clientAddress: CLIENT_ADDRESS,
      nowMicros: sim.nowMicros,
      scratch: sim.scratch,
    };
    const count = resume === "reused" ? 1 : connections;
    let tickets: Uint8Array[] = [];
    crypto.prepare(() => (tickets = collectTickets(ends, this.connectOptions(), count)));
    return Array.from({ length: connections }, (_, i) => tickets[Math.min(i, count - 1)]);
  }

  private scheduleActs(): void {
    const { sim, scenario } = this;
    sim.after(scenario.goodAfterMicros, () => this.becomeGood());
    for (const act of scenario.acts) sim.after(act.atMicros, () => act.run(this));
    const { close } = scenario.workload;
    if (close.atMicros !== Infinity) sim.after(close.atMicros, () => this.closeNow());
    for (const side of ["client", "server"] as const) {
      for (const atMicros of scenario.keyUpdates[side]) sim.after(atMicros, () => this.updateKeys(this[side]));
      for (const atMicros of scenario.cidRotations[side]) sim.after(atMicros, () => this.rotateIds(this[side]));
    }
    if (scenario.restartMicros !== undefined) sim.after(scenario.restartMicros, () => this.restartServer());
    const { kill } = scenario;
    if (kill === undefined) return;
    sim.after(kill.atMicros, () => {
      this.killed = true;
      (kill.host === "client" ? this.clientHost : this.serverHost).kill();
    });
  }

  /** The NAT takes its next public address at each of the times, once no handshake is under way any more. */
  private scheduleRebindings(nat: Nat): void {
    const { sim, scenario } = this;
    let ip = 1;
    let port = 1024;
    nat.enabled = true;
    nat.rebind(FIRST_PUBLIC);
    for (const { atMicros, isPortOnly } of scenario.rebindings) {
      sim.after(atMicros, () => {
        if (!this.isConfirmed) return;
        if (!isPortOnly) ip++;
        nat.rebind(simAddress(203, 0, 113, ip, ++port));
        this.marks.add(isPortOnly ? "another port" : "another address");
      });
    }
  }

  private restartServer(): void {
    const { scenario } = this;
    this.restarted = true;
    this.server = this.program("server", this.crypto.serverAead, "restarted server");
    this.listen();
    this.serverHost = this.sim.replaceHost(this.serverHost, {
      name: "server",
      endpoint: this.server.endpoint,
      app: this.server,
      options: scenario.serverHost,
      prng: new Prng(scenario.seed, "restarted host"),
    });
  }

  private listen(): void {
    const { serverConfig: config, retry, preferred } = this.scenario;
    const rows = { ipv4: PREFERRED_ADDRESS, ipv6: null };
    const options = { tls: this.crypto.serverTls, config, retry, earlyData: true };
    this.server.endpoint.listen({ ...options, ...(preferred !== "no" && { preferred: rows }) });
  }

  private updateKeys(program: Program): void {
    for (const { conn } of program.peers) conn.updateKeys();
  }

  private rotateIds(program: Program): void {
    for (const peer of program.peers) {
      const conn = peer.conn as Connection;
      if (!peer.confirmed || conn.closeInfo !== null) continue;
      // the last spare is left to a move, which is refused without one
      if ((this.moves && conn.peerIds.activeCount < 3) || !conn.peerIds.rotate()) continue;
      conn.host.schedule(conn);
      this.marks.add("connection id rotated");
    }
  }

  private becomeGood(): void {
    for (const direction of this.directions) direction.becomeGood();
    this.copier.options = null;
  }

  private work(): void {
    const limit = this.startMicros + this.scenario.goodAfterMicros + WORK_LIMIT_MICROS;
    const end = this.sim.run(limit, () => this.allSettled(), EVENT_LIMIT);
    if (this.allSettled()) return;
    throw new Error(`E1: neither finished nor closed (${end}) after ${this.elapsed()}: ${this.describe()}`);
  }

  private close(finished: boolean): void {
    this.becomeGood();
    this.closeNow();
    const end = this.sim.run(this.sim.nowMicros + CLOSE_LIMIT_MICROS, () => this.allClosed(), EVENT_LIMIT);
    if (!this.allClosed()) throw new Error(`E1: not closed (${end}) after ${this.elapsed()}: ${this.describe()}`);
    this.checkCodes(finished);
  }

  /** Nothing in the scenario makes an idle connection speak: keep-alive, or a late copy of a first datagram. */
  private canBeQuiet(): boolean {
    const { on, clientConfig, serverConfig, mayTimeOut } = this.scenario;
    const idleMillis = Math.min(clientConfig.maxIdleTimeoutMillis ?? 0, serverConfig.maxIdleTimeoutMillis ?? 0);
    const speaks = [clientConfig, serverConfig].some(({ keepAliveMillis }) => keepAliveMillis !== undefined);
    return !speaks && !this.moves && !on.duplicate && !on.keyUpdate && !mayTimeOut && idleMillis >= 120_000;
  }

  /** I11: once all is acknowledged, acknowledgements and probes end. */
  private checkQuiet(): void {
    const { sim } = this;
    this.becomeGood();
    sim.run(sim.nowMicros + CALM_MICROS, undefined, EVENT_LIMIT);
    const before = this.clientHost.datagramsSent + this.serverHost.datagramsSent;
    sim.run(sim.nowMicros + QUIET_MICROS, undefined, EVENT_LIMIT);
    const after = this.clientHost.datagramsSent + this.serverHost.datagramsSent;
    if (after !== before) throw new Error(`I11: ${after - before} datagrams with nothing to say: ${this.describe()}`);
    const { scenario } = this;
    for (const peer of this.client.peers) checkCalm(peer, scenario.clientConfig, scenario.forward);
    for (const peer of this.server.peers) if (!peer.isGhost) checkCalm(peer, scenario.serverConfig, scenario.backward);
  }

  private closeNow(): void {
    const { by, type, code } = this.scenario.workload.close;
    if (by !== "server") for (const peer of this.client.peers) peer.conn.close(type, code, "client says bye");
    if (by !== "client") for (const peer of this.server.peers) peer.conn.close(type, code, "server says bye");
  }

  /** E1: both ends agree on why. */
  private checkCodes(finished: boolean): void {
    const { on, workload, tls } = this.scenario;
    const { close } = workload;
    const { failOn, failAlert = 0 } = tls;
    for (const peer of this.peers()) {
      const info = peer.closed;
      if (info === null) continue;
      const expected = info.type === close.type && info.code === close.code;
      // A close while keys are missing may not carry the application's code (RFC 9000 §10.2.3).
      const early = !finished && info.type === "transport" && info.code === 0x0cn;
      // The close was lost, or the other end had gone before it heard of the connection: the timers speak.
      // The address was the old one, or the client's ids were used up when it was found elsewhere (RFC 9000 §9.5).
      // Or a reset overtook the close, which a reordering link held. Or a client was lured to where nothing arrives.
      const mayMiss =
        this.scenario.mayTimeOut || (finished && (this.moves || on.reorder)) || this.hasRefused() || this.wasMisled();
      const silent = mayMiss && (info.type.endsWith("timeout") || info.type === "stateless-reset");
      // a Retry token is good for a while only (RFC 9000 §8.1.3)
      const expired = (on.wallClock || on.stalls) && info.type === "transport" && info.code === INVALID_TOKEN;
      // this run's TLS was told to fail
      const failed =
        failOn !== undefined && info.type === "transport" && info.code === CRYPTO_ERROR + BigInt(failAlert);
      if (expected || early || silent || expired || failed) continue;
      throw new Error(`E1: unexpected end: ${this.describe()}`);
    }
  }

  /** E3: some time after the close nothing is left: no connection, no timer, no key. */
  private settle(): void {
    const { sim } = this;
    const end = sim.run(sim.nowMicros + CLOSE_LIMIT_MICROS, undefined, EVENT_LIMIT);
    for (const [host, program] of [
      [this.clientHost, this.client],
      [this.serverHost, this.server],
    ] as const) {
      if (!host.alive) continue;
      const { endpoint } = program;
      if (endpoint.connectionCount !== 0) throw new Error(`E3: ${host.name} keeps connections: ${this.describe()}`);
      if (endpoint.nextDeadline() !== Infinity) throw new Error(`E3: ${host.name} keeps a timer: ${this.describe()}`);
      this.checker.checkTotals(host, program);
    }
    if (end === "events") throw new Error(`E3: still busy long after the close: ${this.describe()}`);
    for (const { name, conn } of [...this.client.peers, ...this.server.peers]) {
      const held = (conn as Connection).heldBytes();
      if (held !== 0 && !this.killed && !this.restarted) throw new Error(`E3: ${name} still holds ${held} bytes`);
    }
    const left = this.killed || this.restarted ? "" : this.crypto.leftovers();
    if (left !== "") throw new Error(`E3: ${left}`);
  }

  /** The server may see its client at another address. */
  private get moves(): boolean {
    return mayMove(this.scenario.on);
  }

  private hasRefused(): boolean {
    return this.server.peers.some(({ conn }) => (conn as Connection).moves.refused > 0);
  }

  /** A client is where no answer comes: somebody else had handed on the one to its challenge, which counts (RFC 9000 §8.2.3). */
  private wasMisled(): boolean {
    const { unanswered } = this.clientHost;
    const isAt = ({ conn }: Peer): boolean => unanswered.has((conn as Connection).path.socket);
    return this.marks.has(HANDED_ON) && this.client.peers.some(isAt);
  }

  private peers(): Peer[] {
    return [...this.client.peers, ...this.server.peers].filter((peer) => !peer.isGhost);
  }

  private allFinished(): boolean {
    return this.peers().every((peer) => peer.finished && peer.closed === null);
  }

  /** Every connection is finished or closed, at each end that is there; one that is finished at the client at both. */
  private allSettled(): boolean {
    let open = 0;
    if (this.clientHost.alive) {
      for (const peer of this.client.peers) {
        if (!peer.isSettled) return false;
        if (peer.closed === null) open++;
      }
    }
    if (!this.serverHost.alive) return true;
    for (const peer of this.server.peers) {
      if (!peer.isSettled) return false;
      if (peer.closed === null && !peer.isGhost) open--;
    }
    return open <= 0 || !this.clientHost.alive || this.scenario.mayTimeOut;
  }

  /** Both ends have ended; a server that never accepted has nothing to end. A dead host does not count. */
  private allClosed(): boolean {
    if (this.clientHost.alive) for (const peer of this.client.peers) if (peer.closed === null) return false;
    if (!this.serverHost.alive) return true;
    return this.server.peers.every((peer) => peer.isGhost || peer.closed !== null);
  }

  private handshakeMicros(): number {
    let latest = 0;
    for (const { conn } of this.peers()) {
      const stats = conn.stats();
      latest = Math.max(latest, stats.handshakeCompletedAtMicros - this.startMicros);
    }
    return latest;
  }

  private elapsed(): string {
    return `${((this.sim.nowMicros - this.startMicros) / SECOND).toFixed(3)} s`;
  }

  private describe(): string {
    const lines = this.peers().map((peer) => `\n  ${peer.describe()}`);
    for (const [name, program] of [
      ["client", this.client],
      ["server", this.server],
    ] as const) {
      const drops = JSON.stringify(program.endpoint.counters.dropsByName());
      lines.push(`\n  ${name} endpoint: connections ${program.endpoint.connectionCount}, drops ${drops}`);
    }
    return lines.join("");
  }

  private collectMarks(): void {
    const { keyLimits, on } = this.scenario;
    const updates = this.peers().some(({ conn }) => conn.stats().keyUpdates > 0);
    if (keyLimits !== null && !on.keyUpdate && updates) this.mark("key updated at its limit");
    if (this.clientHost.sendsRefused + this.serverHost.sendsRefused > 0) this.mark("send refused");
    for (const { corrupt } of this.directions) if ((corrupt?.damaged ?? 0) > 0) this.mark("network: corrupt");
    collectMarks(this.marks, this.sim, [this.client.endpoint, this.server.endpoint], this.peers());
  }
}

/** E8: what both ends should have arrived at once nothing is under way any more. `outward` is what its datagrams pass. */
function checkCalm(peer: Peer, config: Partial<ConnectionConfig>, outward: DirectionPlan): void {
  const { peerIds, recovery } = peer.conn as Connection;
  const wanted = Math.min(config.activeConnectionIdLimit ?? ACTIVE_CIDS, ACTIVE_CIDS);
  if (peerIds.activeCount !== wanted || peerIds.hasRetire) {
    throw new Error(`E8: ${peer.name} holds ${peerIds.activeCount} ids of the peer's, not ${wanted}`);
  }
  if (recovery.bytesInFlight !== 0) throw new Error(`E8: ${peer.name} has ${recovery.bytesInFlight} bytes in flight`);
  if (outward.ecn?.bleach === true && outward.ecn.flipMicros === undefined && recovery.ecn.state === ECN_CAPABLE) {
    throw new Error(`E8: ${peer.name} believes in ECN on a path that clears it`);
  }
}
