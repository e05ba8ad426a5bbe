/** Two engines joined by memory, in virtual time: no delay, no loss, unless a test holds datagrams back. */

import type { Connection } from "#src/conn/connection.js";
import type { ConnectionConfig } from "#src/conn/config.js";
import type { ListenOptions } from "#src/endpoint/accept.js";
import { type ConnectOptions, Endpoint } from "#src/endpoint/endpoint.js";
import type { TlsContext } from "#src/port/tls.js";
import type { CloseInfo, TransportHandler } from "#src/port/transport.js";
import {
  ADDR_COLS,
  ADDR_IP0,
  ADDR_LOCAL_IP0,
  ADDR_PORT,
  RX_COLS,
  RX_ECN,
  RX_LEN,
  RX_OFF,
  RX_SOURCE,
  type RxBatch,
  TX_COLS,
  TX_DEST,
  TX_ECN,
  TX_LEN,
  TX_OFF,
  type TxBatch,
} from "#src/port/udp.js";
import { newRxBatch, newTxBatch, simAddress } from "#src/sim/batches.js";
import { Prng } from "#src/sim/prng.js";
import { NullAead } from "./null-aead.js";
import { NullTls, type NullTlsOptions } from "./null-tls.js";

export interface PairOptions {
  client?: Partial<ConnectionConfig>;
  server?: Partial<ConnectionConfig>;
  clientTls?: Partial<NullTlsOptions>;
  serverTls?: Partial<NullTlsOptions>;
  retry?: "auto" | "always" | "never";
  maxConnections?: number;
  /** The server accepts 0-RTT, and gives a ticket; see `Pair.again`. */
  earlyData?: boolean;
  /** With `earlyData`: the server neither accepts it nor says so in tickets. */
  serverWithoutEarly?: boolean;
  seed?: number;
  /** Lengths of the connection ids that the sides issue. */
  clientCidBytes?: number;
  serverCidBytes?: number;
  /** Where the server wants to be after the handshake. */
  preferred?: ListenOptions["preferred"];
}

/** Records every call of a TransportHandler as `[name, ...arguments]`. */
export class Recorder implements TransportHandler {
  readonly calls: [string, ...unknown[]][] = [];
  onHandshake = (info: unknown): void => this.add("handshake", info);
  onHandshakeConfirmed = (): void => this.add("confirmed");
  onStream = (id: number): void => this.add("stream", id);
  onReadable = (id: number): void => this.add("readable", id);
  onWritable = (id: number): void => this.add("writable", id);
  onReset = (id: number, code: bigint): void => this.add("reset", id, code);
  onStopSending = (id: number, code: bigint): void => this.add("stop", id, code);
  onSendDone = (id: number): void => this.add("sendDone", id);
  onStreamClosed = (id: number): void => this.add("streamClosed", id);
  onStreamsAvailable = (kind: number): void => this.add("available", kind);
  onTicket = (bytes: Uint8Array): void => this.add("ticket", bytes);
  onNewToken = (bytes: Uint8Array): void => this.add("newToken", bytes);
  onDatagram = (bytes: Uint8Array, early: boolean): void => this.add("datagram", bytes, early);
  onDatagramFate = (id: number, fate: number): void => this.add("datagramFate", id, fate);
  onPathValidation = (validation: unknown): void => this.add("pathValidation", validation);
  onKeylog = (line: string): void => this.add("keylog", line);
  onClosed = (info: unknown): void => this.add("closed", info);

  names(): string[] {
    return this.calls.map(([name]) => name);
  }

  /** Arguments of the first call of this name, or undefined. */
  args(name: string): unknown[] | undefined {
    return this.calls.find(([called]) => called === name)?.slice(1);
  }

  private add(name: string, ...args: unknown[]): void {
    this.calls.push([name, ...args]);
  }
}

/** The CloseInfo that a side was told. */
export function closeOf(events: Recorder): CloseInfo {
  const info = events.args("closed")?.[0];
  if (info === undefined) throw new Error("not closed");
  return info as CloseInfo;
}

export class Pair {
  nowMicros = 1_000_000;
  readonly aead = new NullAead(true);
  readonly client: Endpoint;
  readonly server: Endpoint;
  clientConn: Connection;
  clientEvents = new Recorder();
  serverEvents = new Recorder();
  /** Who is told, in place of the recorders. */
  clientHandler: TransportHandler | null = null;
  serverHandler: TransportHandler | null = null;
  serverConn: Connection | null = null;
  /** Where a datagram arrived is told, as the kernel does. */
  tellsLocal = false;
  /** Called for each datagram, with the numbers of the sockets it leaves from and goes to; false drops it. */
  filter: (fromClient: boolean, bytes: Uint8Array, from: number, to: number) => boolean = () => true;
  readonly clientAddress = simAddress(10, 0, 0, 1, 40_000);
  readonly serverAddress = simAddress(10, 0, 0, 2, 443);
  /** By the numbers of their sockets; what goes to no address of these is lost. */
  readonly clientAddresses: (Int32Array | null)[] = [this.clientAddress];
  readonly serverAddresses: (Int32Array | null)[] = [this.serverAddress];
  private readonly clientTls: TlsContext;
  private readonly listen: (config: Partial<ConnectionConfig>) => void;
  private readonly tx: TxBatch = newTxBatch();
  private readonly rx: RxBatch = newRxBatch();

  constructor(options: PairOptions = {}) {
    const seed = options.seed ?? 1;
    const endpoint = (name: string, cidBytes?: number): Endpoint =>
      new Endpoint({
        aead: this.aead,
        random: new Prng(seed, name),
        nowMicros: this.nowMicros,
        wallSeconds: () => Math.floor(this.nowMicros / 1e6),
        ...(cidBytes !== undefined && { cidBytes }),
      });
    this.client = endpoint("client", options.clientCidBytes);
    this.server = endpoint("server", options.serverCidBytes);
    const { earlyData = false } = options;
    const serverEarly = earlyData && options.serverWithoutEarly !== true;
    const tickets = earlyData ? 1 : 0;
    const serverTls = new NullTls({ random: new Prng(seed, "server-tls"), tickets, ...options.serverTls });
    const clientTls = new NullTls({ random: new Prng(seed, "client-tls"), ...options.clientTls });
    const tls = serverTls.newServerContext({ alpn: ["test"], identities: {}, earlyData: serverEarly });
    const { retry = "auto", maxConnections = 1000 } = options;
    const preferred = options.preferred === undefined ? {} : { preferred: options.preferred };
    this.listen = (config) =>
      this.server.listen({ tls, config, retry, maxConnections, earlyData: serverEarly, ...preferred });
    this.listen(options.server ?? {});
    const config = { alpn: ["test"], serverName: "localhost", verify: "strict" as const, earlyData };
    this.clientTls = clientTls.newClientContext(config);
    this.clientConn = this.connect({ config: options.client ?? {} });
  }

  /** The ticket that the client was given, once the handshake has settled. */
  get ticket(): Uint8Array {
    const bytes = this.clientEvents.args("ticket")?.[0];
    if (!(bytes instanceof Uint8Array)) throw new Error("no ticket");
    return bytes;
  }

  /** The server takes connections under another configuration from now on. */
  listenAgain(config: Partial<ConnectionConfig>): void {
    this.server.stopListening();
    this.listen(config);
  }

  /** Closes the connection and starts another one, with a clean record of events. */
  again(options: Partial<ConnectOptions>): void {
    this.clientConn.close("application", 0n, "");
    this.settle();
    this.clientEvents = new Recorder();
    this.serverEvents = new Recorder();
    this.serverConn = null;
    this.clientConn = this.connect(options);
  }

  private connect(options: Partial<ConnectOptions>): Connection {
    return this.client.connect({ tls: this.clientTls, remote: this.serverAddress, ...options }, this.nowMicros);
  }

  /** Moves datagrams and drains events until nothing happens any more at this instant. */
  settle(): void {
    for (let round = 0; round < 10_000; round++) {
      const moved = this.move(true) + this.move(false);
      this.drain();
      if (moved === 0) return;
    }
    throw new Error("the two engines never come to rest");
  }

  /** Moves datagrams, but leaves the events to the test. */
  exchange(): void {
    while (this.move(true) + this.move(false) > 0);
  }

  /** Lets time pass, in steps of the engines' own deadlines. */
  advance(micros: number): void {
    const end = this.nowMicros + micros;
    this.settle();
    for (;;) {
      const next = Math.min(this.client.nextDeadline(), this.server.nextDeadline());
      if (next > end) break;
      this.nowMicros = Math.max(this.nowMicros, next);
      this.client.timeout(this.nowMicros);
      this.server.timeout(this.nowMicros);
      this.settle();
    }
    this.nowMicros = end;
  }

  /** What the client has to say now, and nothing that comes back. */
  sendFromClient(): void {
    this.move(true);
  }

  /** One direction: everything that the sender has to say now. Returns the number of datagrams. */
  private move(fromClient: boolean): number {
    const from = fromClient ? this.client : this.server;
    const to = fromClient ? this.server : this.client;
    let count = 0;
    for (let more = true; more; ) {
      const { tx } = this;
      tx.count = tx.destCount = tx.used = 0;
      more = from.transmit(tx, this.nowMicros);
      count += tx.count;
      this.deliver(tx, to, fromClient);
    }
    return count;
  }

  private deliver(tx: TxBatch, to: Endpoint, fromClient: boolean): void {
    const { rx } = this;
    const source = (fromClient ? this.clientAddresses : this.serverAddresses)[tx.socket];
    const sockets = fromClient ? this.serverAddresses : this.clientAddresses;
    rx.count = rx.sourceCount = 0;
    let used = 0;
    for (let i = 0; i < tx.count; i++) {
      const off = tx.rows[i * TX_COLS + TX_OFF];
      const bytes = tx.buf.slice(off, off + tx.rows[i * TX_COLS + TX_LEN]);
      if (tx.rows[i * TX_COLS + TX_DEST] >= tx.destCount) throw new Error("row without a destination");
      const dest = tx.dests.subarray(tx.rows[i * TX_COLS + TX_DEST] * ADDR_COLS);
      const socket = sockets.findIndex((address) => address !== null && sameRemote(dest, address));
      if (source == null || socket < 0 || !this.filter(fromClient, bytes, tx.socket, socket)) continue;
      if (rx.count > 0 && socket !== rx.socket) {
        to.receive(rx, this.nowMicros);
        rx.count = used = 0;
      }
      rx.sources.set(source, 0);
      if (this.tellsLocal)
        rx.sources.set((sockets[socket] as Int32Array).subarray(ADDR_IP0, ADDR_PORT), ADDR_LOCAL_IP0);
      rx.sourceCount = 1;
      rx.socket = socket;
      rx.buf.set(bytes, used);
      const row = rx.count++ * RX_COLS;
      rx.rows[row + RX_OFF] = used;
      rx.rows[row + RX_LEN] = bytes.length;
      rx.rows[row + RX_SOURCE] = 0;
      rx.rows[row + RX_ECN] = tx.rows[i * TX_COLS + TX_ECN];
      used += bytes.length;
    }
    if (rx.count > 0) to.receive(rx, this.nowMicros);
  }

  /** A datagram out of nowhere, with the address of the other side. */
  inject(fromClient: boolean, bytes: Uint8Array, to = 0): void {
    const { rx } = this;
    rx.sources.set(fromClient ? this.clientAddress : this.serverAddress, 0);
    if (this.tellsLocal)
      rx.sources.set(
        (fromClient ? this.serverAddress : this.clientAddress).subarray(ADDR_IP0, ADDR_PORT),
        ADDR_LOCAL_IP0,
      );
    rx.socket = to;
    rx.count = rx.sourceCount = 1;
    rx.buf.set(bytes, 0);
    rx.rows.set([0, bytes.length, 0, 0], 0);
    (fromClient ? this.server : this.client).receive(rx, this.nowMicros);
  }

  drain(): void {
    for (let conn = this.server.accept(); conn !== null; conn = this.server.accept()) this.serverConn ??= conn;
    for (let conn = this.client.takeEventful(); conn !== null; conn = this.client.takeEventful()) {
      conn.drain(this.clientHandler ?? this.clientEvents);
    }
    for (let conn = this.server.takeEventful(); conn !== null; conn = this.server.takeEventful()) {
      conn.drain(this.serverHandler ?? this.serverEvents);
    }
  }
}

/** Whether two rows have the same address and port of the peer. */
function sameRemote(one: Int32Array, other: Int32Array): boolean {
  for (let i = 0; i <= ADDR_PORT; i++) if (one[i] !== other[i]) return false;
  return true;
}
