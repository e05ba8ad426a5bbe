/** The engine in memory and virtual time, with the real TLS library and real packet protection. */

import { Endpoint } from "#src/endpoint/endpoint.js";
import type { Connection } from "#src/conn/connection.js";
import { closeError, type QuicError } from "#src/api/errors.js";
import type { TlsContext, TlsProvider } from "#src/port/tls.js";
import type { CloseInfo, CloseType, StreamKind, TransportHandler } from "#src/port/transport.js";
import {
  ADDR_COLS,
  ADDR_IP3,
  ADDR_LOCAL_IP0,
  ADDR_PORT,
  ICMP_TOO_BIG,
  TX_COLS,
  TX_DEST,
  TX_ECN,
  TX_LEN,
  TX_OFF,
} from "#src/port/udp.js";
import { chooseDatapath } from "#src/runtime/choose.js";
import { chooseTls } from "#src/runtime/choose-tls.js";
import { addToRx, newRxBatch, newTxBatch, simAddress } from "#src/sim/batches.js";
import { Prng } from "#src/sim/prng.js";
import type { RawPeer } from "../raw/peer.js";
import { ALPN, type App, type DialOptions, engineIdentity, type Lab, rawCa, type Role, type Setup } from "./lab.js";

const START_MICROS = 1_000_000;
/** The engine does not learn at which of its addresses a datagram arrived. */
const NO_ADDRESS = new Int32Array(ADDR_COLS);
const MAX_ROUNDS = 20_000;
const CLEAN_UP_MICROS = 600_000_000;
const READ_BYTES = 65_536;
const ENGINE_PORT = 10_000;

let provider: TlsProvider | undefined;
const contexts = new Map<string, TlsContext>();

function contextOf(role: Role, setup: Setup): TlsContext {
  const { chainBytes, clientCertificate, ca, alpn, serverName, early } = setup;
  const key = JSON.stringify([role, chainBytes, clientCertificate, ca, alpn, serverName, early]);
  let context = contexts.get(key);
  if (context !== undefined) return context;
  provider ??= chooseTls(process.env);
  const common = { alpn: [alpn ?? ALPN], ca: ca ?? [rawCa().pem], earlyData: early === true };
  context =
    role === "server"
      ? provider.newServerContext({
          ...common,
          identities: { "*": engineIdentity(setup) },
          clientCertificate: clientCertificate === true ? "require" : "ignore",
        })
      : provider.newClientContext({ ...common, serverName: serverName ?? "localhost", verify: "strict" });
  contexts.set(key, context);
  return context;
}

class MemoryApp implements App, TransportHandler {
  readonly received = new Map<number, Buffer>();
  readonly ended = new Set<number>();
  readonly tickets: Uint8Array[] = [];
  readonly tokens: Uint8Array[] = [];
  error: QuicError | null | undefined = undefined;
  /** What the echo could not write yet. */
  private readonly owed = new Map<number, { data: Buffer; fin: boolean }>();

  constructor(
    readonly conn: Connection,
    private readonly mode: "echo" | "idle",
  ) {}

  onHandshake(): void {}
  onHandshakeConfirmed(): void {}
  onStream(): void {}
  onReadable(id: number): void {
    if (this.mode === "idle") return;
    const isBidi = (id & 2) === 0;
    const isTheirs = (id & 1) !== (this.conn.isServer ? 1 : 0);
    const chunk = Buffer.alloc(READ_BYTES);
    for (;;) {
      const count = this.conn.read(id, chunk, 0, chunk.length);
      if (count <= 0) break;
      const data = Buffer.from(chunk.subarray(0, count));
      this.received.set(id, Buffer.concat([this.received.get(id) ?? Buffer.alloc(0), data]));
      if (isBidi && isTheirs) this.write(id, data, false);
    }
    if (!this.conn.atEnd(id) || this.ended.has(id)) return;
    this.ended.add(id);
    if (isBidi && isTheirs) this.write(id, Buffer.alloc(0), true);
  }
  onWritable(id: number): void {
    const owed = this.owed.get(id);
    if (owed === undefined) return;
    this.owed.delete(id);
    this.write(id, owed.data, owed.fin);
  }
  onReset(): void {}
  onStopSending(): void {}
  onSendDone(): void {}
  onStreamClosed(): void {}
  onStreamsAvailable(): void {}
  onTicket(bytes: Uint8Array): void {
    this.tickets.push(bytes);
  }
  onNewToken(bytes: Uint8Array): void {
    this.tokens.push(bytes);
  }
  onDatagram(): void {}
  onDatagramFate(): void {}
  onPathValidation(): void {}
  onKeylog(): void {}
  onClosed(info: CloseInfo): void {
    this.error = closeError(info, "the raw peer");
  }

  async open(kind: StreamKind): Promise<number> {
    return this.conn.open(kind);
  }

  write(id: number, data: Uint8Array, fin: boolean): void {
    const owed = this.owed.get(id);
    if (owed !== undefined) {
      owed.data = Buffer.concat([owed.data, data]);
      owed.fin ||= fin;
      return;
    }
    const taken = this.conn.write(id, data, 0, data.length, fin);
    if (taken >= 0 && taken < data.length) this.owed.set(id, { data: Buffer.from(data.subarray(taken)), fin });
  }

  close(type: CloseType, code: bigint, reason: string): void {
    this.conn.close(type, code, reason);
  }
}

interface Attached {
  peer: RawPeer;
  addresses: Int32Array[];
}

let nextPort = 20_000;

export class MemoryLab implements Lab {
  readonly transport = "memory";
  readonly apps: MemoryApp[] = [];
  private readonly endpoint: Endpoint;
  private micros = START_MICROS;
  private readonly attached: Attached[] = [];
  private readonly byConn = new Map<Connection, MemoryApp>();
  /** Port from which a server connection began. */
  private readonly ports = new Map<Connection, number>();
  private queue: { datagram: Buffer; source: Int32Array; engine: number; ecn: number }[] = [];
  /** Local addresses of the engine, by the number of their socket; the first is whatever the peers send to. */
  private readonly engineAddresses = [simAddress(10, 1, 0, 1, ENGINE_PORT)];
  private readonly rx = newRxBatch(256, 512 * 1024);
  private readonly tx = newTxBatch();

  constructor(
    readonly role: Role,
    readonly setup: Setup,
    seed: number,
  ) {
    this.endpoint = new Endpoint({
      aead: chooseDatapath(process.env).aead,
      random: new Prng(seed, "conformance"),
      nowMicros: this.micros,
      wallSeconds: () => Math.floor(Date.now() / 1000 + (this.micros - START_MICROS) / 1e6),
    });
    if (role === "server") this.listen(setup);
  }

  private listen(setup: Setup): void {
    this.endpoint.listen({
      tls: contextOf("server", setup),
      config: setup.config ?? {},
      retry: setup.retry === true ? "always" : "auto",
      maxConnections: setup.maxConnections ?? 1e6,
      earlyData: setup.early === true,
    });
  }

  /** The server goes on with another configuration. */
  relisten(setup: Setup): void {
    this.endpoint.stopListening();
    this.listen(setup);
  }

  nowMicros(): number {
    return this.micros;
  }

  async attach(peer: RawPeer, dial: DialOptions): Promise<void> {
    const entry: Attached = { peer, addresses: [] };
    this.attached.push(entry);
    peer.nowMicros = () => this.micros;
    peer.wire = {
      send: (datagram, { own, engine, ecn }) => {
        this.queue.push({ datagram, source: entry.addresses[own] as Int32Array, engine, ecn });
      },
    };
    await this.addAddress(peer);
    if (this.role === "server") return;
    const remote = (entry.addresses[0] as Int32Array).slice();
    remote.set(simAddress(10, 1, 0, 1, 0).subarray(0, 4), ADDR_LOCAL_IP0);
    const options = { tls: contextOf("client", this.setup), remote };
    const { token, ticket, onStart } = dial;
    const conn = this.endpoint.connect(
      {
        ...options,
        config: this.setup.config ?? {},
        ...(token === undefined ? {} : { token }),
        ...(ticket === undefined ? {} : { ticket }),
        ...(this.setup.early === true ? { earlyAlpn: this.setup.alpn ?? ALPN } : {}),
      },
      this.micros,
    );
    const app = this.note(conn);
    onStart?.(app);
  }

  async addAddress(peer: RawPeer): Promise<number> {
    const entry = this.attached.find((candidate) => candidate.peer === peer) as Attached;
    entry.addresses.push(simAddress(10, 0, 0, entry.addresses.length + 1, nextPort++));
    return entry.addresses.length - 1;
  }

  async addPort(peer: RawPeer): Promise<number> {
    const entry = this.attached.find((candidate) => candidate.peer === peer) as Attached;
    const address = (entry.addresses[0] as Int32Array).slice();
    address[ADDR_PORT] = nextPort++;
    entry.addresses.push(address);
    return entry.addresses.length - 1;
  }

  async moveEngine(peer: RawPeer, where: "port" | "host"): Promise<number> {
    const conn = this.app(peer)?.conn as Connection;
    const socket = this.engineAddresses.length;
    const local = where === "port" ? conn.path.addr.slice() : new Int32Array(ADDR_COLS);
    if (where === "host") local.set(simAddress(10, 1, 0, socket + 1, 0).subarray(0, 4), ADDR_LOCAL_IP0);
    this.engineAddresses.push(local);
    const refusal = conn.migrate({ socket, local, isIpv4: true, force: false }, this.micros);
    if (refusal !== null) throw new Error(`the engine does not move: ${refusal}`);
    return socket;
  }

  app(peer: RawPeer): App | null {
    const entry = this.attached.find((candidate) => candidate.peer === peer);
    const port = entry?.addresses[0]?.[ADDR_PORT];
    return this.apps.find(({ conn }) => this.ports.get(conn) === port) ?? null;
  }

  /** Hands what waits to the engine, nothing more. */
  deliverNow(): void {
    this.deliver();
  }

  async until(condition: () => boolean, millis = 20_000): Promise<boolean> {
    const end = this.micros + millis * 1000;
    this.pump();
    for (let wakeups = 0; !condition(); wakeups++) {
      if (wakeups % 50 === 49) await new Promise((resolve) => setImmediate(resolve));
      const next = this.endpoint.nextDeadline();
      if (next > end || wakeups > 100_000) {
        this.micros = Math.min(end, Math.max(this.micros, end));
        return condition();
      }
      this.micros = Math.max(this.micros, next);
      this.endpoint.timeout(this.micros);
      this.pump();
    }
    return true;
  }

  async wait(millis: number): Promise<void> {
    await this.until(() => false, millis);
  }

  drops(): Record<string, number> {
    return this.endpoint.counters.dropsByName();
  }

  icmpTooBig(peer: RawPeer, address: number, mtuBytes: number): void {
    const entry = this.attached.find((candidate) => candidate.peer === peer) as Attached;
    this.endpoint.onIcmp(
      entry.addresses[address] as Int32Array,
      ICMP_TOO_BIG,
      mtuBytes,
      Uint8Array.of(0x40, ...peer.scid),
    );
  }

  async finish(): Promise<void> {
    this.endpoint.closeAll("application", 0n, "");
    await this.until(() => this.endpoint.connectionCount === 0, CLEAN_UP_MICROS / 1000);
    const held = this.apps.map(({ conn }) => conn.heldBytes());
    const problems: string[] = [];
    if (this.endpoint.connectionCount > 0) problems.push(`${this.endpoint.connectionCount} connections left`);
    if (this.endpoint.halfOpenCount > 0) problems.push(`${this.endpoint.halfOpenCount} half-open handshakes left`);
    if (held.some((bytes) => bytes !== 0)) problems.push(`bytes held after the end: ${held.join(", ")}`);
    this.endpoint.destroy();
    if (problems.length > 0) throw new Error(`ledger: ${problems.join("; ")}`);
  }

  // --- moving datagrams -----------------------------------------------------------------------------------------------

  private pump(): void {
    for (let round = 0; ; round++) {
      if (round > MAX_ROUNDS) throw new Error("the engine never comes to rest");
      const moved = this.deliver() + this.transmit();
      this.drain();
      if (moved === 0) return;
    }
  }

  private deliver(): number {
    const queue = this.queue;
    this.queue = [];
    for (let next = 0; next < queue.length; ) {
      const { rx } = this;
      rx.count = rx.sourceCount = 0;
      for (; next < queue.length; next++) {
        const { datagram: bytes, source, engine, ecn } = queue[next] as (typeof queue)[0];
        if (rx.count > 0 && engine !== rx.socket) break;
        rx.socket = engine;
        if (!addToRx(rx, { bytes, length: bytes.length, source, ecn }, NO_ADDRESS)) break;
      }
      this.endpoint.receive(rx, this.micros);
      this.drain();
    }
    return queue.length;
  }

  private transmit(): number {
    const { tx } = this;
    let count = 0;
    for (let more = true; more; ) {
      tx.count = tx.destCount = tx.used = 0;
      more = this.endpoint.transmit(tx, this.micros);
      count += tx.count;
      for (let i = 0; i < tx.count; i++) this.handOver(i);
    }
    if (count > 0) for (const { peer } of this.attached) peer.afterReceive();
    return count;
  }

  private handOver(row: number): void {
    const { tx } = this;
    const base = row * TX_COLS;
    const off = tx.rows[base + TX_OFF];
    const datagram = Buffer.from(tx.buf.subarray(off, off + tx.rows[base + TX_LEN]));
    const dest = tx.dests.subarray(tx.rows[base + TX_DEST] * ADDR_COLS);
    for (const { peer, addresses } of this.attached) {
      const to = addresses.findIndex(
        (address) => address[ADDR_PORT] === dest[ADDR_PORT] && address[ADDR_IP3] === dest[ADDR_IP3],
      );
      if (to >= 0) peer.receive(datagram, { own: to, engine: tx.socket, ecn: tx.rows[base + TX_ECN] });
    }
  }

  private drain(): void {
    for (let conn = this.endpoint.accept(); conn !== null; conn = this.endpoint.accept()) this.note(conn);
    for (let conn = this.endpoint.takeEventful(); conn !== null; conn = this.endpoint.takeEventful()) {
      conn.drain(this.note(conn));
    }
  }

  private note(conn: Connection): MemoryApp {
    let app = this.byConn.get(conn);
    if (app === undefined) {
      app = new MemoryApp(conn, this.setup.app ?? "echo");
      this.byConn.set(conn, app);
      this.ports.set(conn, conn.path.addr[ADDR_PORT]);
      this.apps.push(app);
    }
    return app;
  }
}
