/**
 * Bulk transfers over one bottleneck, each between two hosts of its own: what goodput and fairness are measured with. A
 * flow's path is a delay, then the queue that all share, then nothing; the way back is a delay alone.
 */

import type { ConnectionConfig } from "#src/conn/config.js";
import type { Connection } from "#src/conn/connection.js";
import { Endpoint } from "#src/endpoint/endpoint.js";
import { NOBODY, STREAM_UNI, type TransportHandler, type TransportStats } from "#src/port/transport.js";
import { CONN_WINDOW_BYTES, STREAM_WINDOW_BYTES } from "#src/proto/limits.js";
import { Delay, Prng, RandomLoss, RateLimit, type SimApp, SimScratch, simAddress, Simulation } from "#src/sim/index.js";
import { nullMode, type RunCrypto, SERVER_NAME } from "./modes.js";
import { plainScenario } from "./scenario.js";

const PIECE_BYTES = 65_536;
const SERVER_PORT = 4433;

export interface FlowPlan {
  congestion: ConnectionConfig["congestion"];
  /** Without queueing. */
  rttMicros: number;
  startMicros: number;
  /** Receive window, and what the sender holds, at most. Default: those of the engine. */
  windowBytes?: number;
}

export interface LinkPlan {
  seed: number;
  bitsPerSec: number;
  queuePackets: number;
  /** Chance of loss on the way out. */
  loss?: number;
  flows: FlowPlan[];
}

/** Writes as much as the transport takes, for ever. */
class Source implements SimApp {
  private readonly handler: TransportHandler;
  private stream = -1;
  private wantsToWrite = false;

  constructor(
    readonly endpoint: Endpoint,
    readonly conn: Connection,
  ) {
    const mayWrite = (): void => void (this.wantsToWrite = true);
    this.handler = { ...NOBODY, onHandshake: mayWrite, onWritable: mayWrite };
  }

  run(): boolean {
    for (let conn = this.endpoint.takeEventful(); conn !== null; conn = this.endpoint.takeEventful()) {
      conn.drain(this.handler);
    }
    if (!this.wantsToWrite) return false;
    this.wantsToWrite = false;
    if (this.stream < 0) this.stream = this.conn.open(STREAM_UNI);
    while (this.conn.write(this.stream, ZEROS, 0, PIECE_BYTES, false) === PIECE_BYTES);
    return true;
  }
}

/** Reads all that comes and counts it. */
class Drain implements SimApp {
  receivedBytes = 0;
  private conn: Connection | null = null;
  private readonly handler: TransportHandler = { ...NOBODY, onReadable: (id) => this.read(id) };

  constructor(readonly endpoint: Endpoint) {}

  run(): boolean {
    this.conn ??= this.endpoint.accept();
    let acted = false;
    for (let conn = this.endpoint.takeEventful(); conn !== null; conn = this.endpoint.takeEventful()) {
      conn.drain(this.handler);
      acted = true;
    }
    return acted;
  }

  private read(id: number): void {
    const { conn } = this;
    if (conn === null) return;
    for (let waiting = conn.readable(id); waiting > 0; waiting = conn.readable(id)) {
      this.receivedBytes += Math.min(waiting, PIECE_BYTES);
      conn.read(id, SINK, 0, PIECE_BYTES);
    }
  }
}

const ZEROS = new Uint8Array(PIECE_BYTES);
const SINK = new Uint8Array(PIECE_BYTES);

export class Bottleneck {
  readonly sim = new Simulation({ scratch: new SimScratch() });
  private readonly sources: Source[] = [];
  private readonly drains: Drain[] = [];
  private readonly startMicros = this.sim.nowMicros;

  constructor(private readonly plan: LinkPlan) {
    const { bitsPerSec, queuePackets, seed } = plan;
    const link = new RateLimit(this.sim, { bitsPerSec, queuePackets, markPackets: Infinity });
    plan.flows.forEach((flow, index) => {
      const prng = (name: string): Prng => new Prng(seed, `flow ${index} ${name}`);
      const crypto = nullMode().open(plainScenario(seed).tls, prng("tls"), false, (micros, step) =>
        this.sim.after(micros, step),
      );
      this.sim.after(flow.startMicros, () => this.begin(flow, index, crypto, link, prng));
    });
  }

  /** Runs until this time after the start. */
  runUntil(micros: number): void {
    this.sim.run(this.startMicros + micros);
  }

  /** Stream bytes that the application of each flow has read. */
  received(): number[] {
    return this.plan.flows.map((_, index) => this.drains[index]?.receivedBytes ?? 0);
  }

  /** Of the sender of a flow that has begun. */
  stats(index: number): TransportStats {
    return this.sources[index].conn.stats();
  }

  private begin(flow: FlowPlan, index: number, crypto: RunCrypto, link: RateLimit, prng: (name: string) => Prng): void {
    const { sim } = this;
    const config = flowConfig(flow);
    const endpoint = (name: string, secret: number): Endpoint =>
      new Endpoint({
        aead: name === "source" ? crypto.clientAead : crypto.serverAead,
        random: prng(name),
        nowMicros: sim.nowMicros,
        wallSeconds: () => sim.wallSeconds(),
        secret: new Uint8Array(32).fill(secret),
      });
    const from = simAddress(10, 0, 1, index + 1, 50_000);
    const to = simAddress(10, 0, 2, index + 1, SERVER_PORT);
    const server = endpoint("drain", 2);
    server.listen({ tls: crypto.serverTls, config, retry: "never", earlyData: false });
    const client = endpoint("source", 1);
    const options = { tls: crypto.clientTls, serverName: SERVER_NAME, remote: to, config };
    const source = new Source(client, client.connect(options, sim.nowMicros));
    const drain = new Drain(server);
    this.sources[index] = source;
    this.drains[index] = drain;
    const a = sim.addHost({ name: "source", address: from, endpoint: client, app: source, prng: prng("a") });
    const b = sim.addHost({ name: "drain", address: to, endpoint: server, app: drain, prng: prng("b") });
    const delay = (name: string): Delay =>
      new Delay(sim, prng(name), { baseMicros: flow.rttMicros / 2, jitterMicros: 0, jitter: "uniform", fifo: true });
    const loss = this.plan.loss === undefined ? [] : [new RandomLoss(sim, prng("loss"), this.plan.loss)];
    sim.join(a, b, [...loss, delay("out"), link], [delay("back")]);
  }
}

function flowConfig({ congestion, windowBytes }: FlowPlan): Partial<ConnectionConfig> {
  const config: Partial<ConnectionConfig> = { congestion };
  if (windowBytes === undefined) return config;
  return {
    ...config,
    initialMaxData: Math.min(CONN_WINDOW_BYTES, 2 * windowBytes),
    initialMaxStreamDataUni: Math.min(STREAM_WINDOW_BYTES, windowBytes), // the larger ones have to grow
    sendBufferBytes: 2 * windowBytes, // `write` is told of room when a quarter is free
    streamWindowMaxBytes: windowBytes,
    connWindowMaxBytes: 2 * windowBytes,
  };
}
