/**
 * Runs with a peer that lies (`test/support/hostile-aead`): one side changes what it sends before sealing it. Whatever
 * arrives, the honest side throws nothing, holds no more than its ledger allows, sends no more than a reason for it, and
 * ends in a typed close with nothing left over.
 */

import type { Connection } from "#src/conn/connection.js";
import { Endpoint } from "#src/endpoint/endpoint.js";
import type { AeadPort } from "#src/port/aead.js";
import { type CloseInfo, STREAM_BIDI, STREAM_UNI, type TransportHandler } from "#src/port/transport.js";
import { CONN_WINDOW_MAX_BYTES, LEDGER_FIXED_BYTES, LEDGER_WINDOW_SHARE } from "#src/proto/limits.js";
import {
  Delay,
  type Host,
  Prng,
  RandomLoss,
  type SimApp,
  type SimScratch,
  simAddress,
  Simulation,
} from "#src/sim/index.js";
import { HostileAead } from "../support/hostile-aead.js";
import { NullAead } from "../support/null-aead.js";
import { NullTls } from "../support/null-tls.js";
import { CONTENT } from "./content.js";

const SECOND = 1_000_000;
const EVENT_LIMIT = 100_000;
const CLIENT = simAddress(10, 0, 0, 1, 50_000);
const SERVER = simAddress(10, 0, 0, 2, 4433);
const STREAMS = 6;
const STREAM_BYTES = 8000;
/** What the honest side announces, small so that its ledger is small, too. */
const WINDOW_BYTES = 40_000;
const SEND_BUFFER_BYTES = 20_000;

export interface HostileOutcome {
  /** How the honest side's connection ended; null when it never had one. */
  closed: CloseInfo | null;
  changed: number;
}

/** Reads and writes without a word about what it gets; resets, stops and closes now and then. */
class LooseProgram implements SimApp, TransportHandler {
  closed: CloseInfo | null = null;
  readonly conns: Connection[] = [];
  private conn: Connection | null = null;
  private readonly written = new Map<number, number>();
  private readonly buffer = new Uint8Array(4096);

  constructor(
    readonly endpoint: Endpoint,
    private readonly prng: Prng,
  ) {}

  run(): boolean {
    let acted = false;
    for (let conn = this.endpoint.accept(); conn !== null; conn = this.endpoint.accept()) this.conns.push(conn);
    for (let conn = this.endpoint.takeEventful(); conn !== null; conn = this.endpoint.takeEventful()) {
      this.conn = conn;
      conn.drain(this);
      acted = true;
    }
    return acted;
  }

  onHandshake(): void {
    for (let left = STREAMS; left > 0; left--) {
      const id = this.conn?.open(this.prng.chance(0.5) ? STREAM_BIDI : STREAM_UNI) ?? -1;
      if (id >= 0) this.write(id);
    }
  }

  onStream(id: number): void {
    if ((id & 2) === 0) this.write(id);
  }

  onReadable(id: number): void {
    if (this.prng.chance(0.05)) this.conn?.stopSending(id, 7n);
    while ((this.conn?.read(id, this.buffer, 0, this.buffer.length) ?? 0) > 0);
    this.conn?.atEnd(id);
  }

  onWritable(id: number): void {
    if (this.prng.chance(0.05)) this.conn?.reset(id, 8n);
    else this.write(id);
  }

  onClosed(info: CloseInfo): void {
    this.closed = info;
  }

  onHandshakeConfirmed(): void {}
  onReset(): void {}
  onStopSending(): void {}
  onSendDone(): void {}
  onStreamClosed(): void {}
  onStreamsAvailable(): void {}
  onTicket(): void {}
  onNewToken(): void {}
  onDatagram(): void {}
  onDatagramFate(): void {}
  onPathValidation(): void {}
  onKeylog(): void {}

  private write(id: number): void {
    const done = this.written.get(id) ?? 0;
    const taken = this.conn?.write(id, CONTENT, done, STREAM_BYTES, true) ?? 0;
    if (taken > 0) this.written.set(id, done + taken);
  }
}

/** Throws what the checks found. */
export function runHostile(seed: number, scratch: SimScratch): HostileOutcome {
  const prng = new Prng(seed, "hostile");
  const sim = new Simulation({ scratch });
  const clientLies = prng.chance(0.5);
  const honest = new NullAead(false);
  const liar = new HostileAead(new NullAead(false), new Prng(seed, "lies"), prng.logUniform(0.02, 0.7));
  const tls = new NullTls({ random: new Prng(seed, "tls"), certificateBytes: 2000, tickets: 1 });
  const program = (name: string, aead: AeadPort): LooseProgram => {
    const random = new Prng(seed, `${name} random`);
    const endpoint = new Endpoint({ aead, random, nowMicros: sim.nowMicros, wallSeconds: () => sim.wallSeconds() });
    return new LooseProgram(endpoint, new Prng(seed, `${name} program`));
  };
  const client = program("client", clientLies ? liar : honest);
  const server = program("server", clientLies ? honest : liar);
  const config = {
    initialMaxData: WINDOW_BYTES,
    connWindowMaxBytes: WINDOW_BYTES,
    streamWindowMaxBytes: WINDOW_BYTES,
    initialMaxStreamDataBidiLocal: WINDOW_BYTES / 4,
    initialMaxStreamDataBidiRemote: WINDOW_BYTES / 4,
    initialMaxStreamDataUni: WINDOW_BYTES / 4,
    sendBufferBytes: SEND_BUFFER_BYTES,
  };
  server.endpoint.listen({ tls: tls.newServerContext({ alpn: ["sim"], identities: {} }), config });
  const context = tls.newClientContext({ alpn: ["sim"], serverName: "sim.test", verify: "strict" });
  client.conns.push(client.endpoint.connect({ tls: context, remote: SERVER, config }, sim.nowMicros));
  const add = (name: string, address: Int32Array, app: LooseProgram): Host =>
    sim.addHost({ name, address, endpoint: app.endpoint, app, prng: new Prng(seed, `${name} host`) });
  const path = (name: string) => [
    new RandomLoss(sim, new Prng(seed, `${name} loss`), seed % 3 === 0 ? 0.05 : 0),
    new Delay(sim, new Prng(seed, `${name} delay`), {
      baseMicros: 5000,
      jitterMicros: 0,
      jitter: "uniform",
      fifo: true,
    }),
  ];
  sim.join(add("client", CLIENT, client), add("server", SERVER, server), path("forward"), path("backward"));

  const watched = clientLies ? server : client;
  checkedRun(sim, sim.nowMicros + 20 * SECOND, watched);
  client.endpoint.closeAll("application", 0n, "");
  server.endpoint.closeAll("application", 0n, "");
  checkedRun(sim, sim.nowMicros + 200 * SECOND, watched);
  for (const { endpoint } of [client, server]) {
    if (endpoint.connectionCount !== 0) throw new Error("E3: a connection is left");
    if (endpoint.nextDeadline() !== Infinity) throw new Error("E3: a timer is left");
  }
  if (honest.liveKeys + honest.liveHeaderKeys !== 0) throw new Error("E3: keys are left");
  if (tls.liveSessions !== 0) throw new Error("E3: TLS sessions are left");
  return { closed: watched.closed, changed: liar.changed };
}

/** Runs and looks at the ledger of the honest side now and then. */
function checkedRun(sim: Simulation, untilMicros: number, watched: LooseProgram): void {
  const cap = LEDGER_WINDOW_SHARE * WINDOW_BYTES + LEDGER_FIXED_BYTES + 2 * (STREAMS + 100) * SEND_BUFFER_BYTES;
  if (cap > LEDGER_WINDOW_SHARE * CONN_WINDOW_MAX_BYTES) throw new Error("the bound says nothing");
  for (let left = EVENT_LIMIT; left > 0; left -= 50) {
    const end = sim.run(untilMicros, undefined, 50);
    for (const conn of watched.conns) {
      if (conn.heldBytes() > cap) throw new Error(`I8: ${conn.heldBytes()} bytes are held, ${cap} are allowed`);
    }
    if (end !== "events") return;
  }
  throw new Error("I7: the two talk without end");
}
