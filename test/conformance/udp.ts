/** The engine behind the public API, over UDP sockets of the loopback and in real time. */

import { createSocket, type Socket } from "node:dgram";
import {
  connect,
  type ConnectOptions,
  listen,
  type ListenOptions,
  QuicEndpoint,
  QuicError,
  type QuicSession,
  type QuicStream,
  type TransportParamOptions,
} from "#src/api/quic/index.js";
import { coreOf } from "#src/api/quic/endpoint.js";
import type { Connection } from "#src/conn/connection.js";
import { ICMP_TOO_BIG } from "#src/port/udp.js";
import { simAddress } from "#src/sim/batches.js";
import { type CloseType, STREAM_UNI, type StreamKind } from "#src/port/transport.js";
import type { RawPeer } from "../raw/peer.js";
import { ALPN, type App, type DialOptions, engineIdentity, type Lab, rawCa, type Role, type Setup } from "./lab.js";

const HOST = "127.0.0.1";
const POLL_MILLIS = 1;
/** For what must come: only what never comes waits so long, on however slow a machine. */
const UNTIL_MILLIS = 20_000;
/** 127.0.0.x above this are hosts of the engine's, those below are the raw peers'. */
const OTHER_HOSTS = 100;

class UdpApp implements App {
  readonly conn: Connection;
  readonly received = new Map<number, Buffer>();
  readonly ended = new Set<number>();
  readonly tickets: Uint8Array[] = [];
  readonly tokens: Uint8Array[] = [];
  error: QuicError | null | undefined = undefined;
  private readonly streams = new Map<number, QuicStream>();
  private readonly writes = new Map<number, Promise<unknown>>();

  constructor(
    readonly session: QuicSession,
    private readonly mode: "echo" | "idle",
    readonly port: number,
  ) {
    this.conn = session.ext.transport as Connection;
    session.onstream = (stream) => this.onStream(stream);
    session.onsessionticket = (ticket) => void this.tickets.push(ticket);
    session.onnewtoken = (token) => void this.tokens.push(token);
    session.opened.catch(() => {});
    session.closed.then(
      () => (this.error = null),
      (error: unknown) => (this.error = error instanceof QuicError ? error : null),
    );
  }

  private onStream(stream: QuicStream): void {
    this.keep(stream);
    if (this.mode === "idle") return;
    void this.echo(stream).catch(() => {});
  }

  private keep(stream: QuicStream): void {
    this.streams.set(Number(stream.id), stream);
    stream.closed.catch(() => {});
  }

  private async echo(stream: QuicStream): Promise<void> {
    const id = Number(stream.id);
    const isBidi = stream.direction === "bidi";
    for await (const batch of stream) {
      const before = this.received.get(id) ?? Buffer.alloc(0);
      this.received.set(id, Buffer.concat([before, ...batch]));
      if (isBidi) await stream.writer.writev(batch);
    }
    this.ended.add(id);
    if (isBidi) await stream.writer.end();
  }

  async open(kind: StreamKind): Promise<number> {
    const { session } = this;
    const stream = await (kind === STREAM_UNI
      ? session.createUnidirectionalStream()
      : session.createBidirectionalStream());
    const id = Number(stream.id);
    this.keep(stream);
    return id;
  }

  write(id: number, data: Uint8Array, fin: boolean): void {
    const stream = this.streams.get(id) as QuicStream;
    const step = async (): Promise<void> => {
      if (data.length > 0) await stream.writer.write(data);
      if (fin) await stream.writer.end();
    };
    const before = this.writes.get(id) ?? Promise.resolve();
    this.writes.set(
      id,
      before.then(step).catch(() => {}),
    );
  }

  close(type: CloseType, code: bigint, reason: string): void {
    this.session.destroy(undefined, { type, code, reason });
  }
}

interface Attached {
  peer: RawPeer;
  sockets: Socket[];
}

export class UdpLab implements Lab {
  readonly transport = "udp";
  readonly apps: UdpApp[] = [];
  private readonly attached: Attached[] = [];
  private pending = 0;
  /** Where the engine's client has been seen: its addresses from number 1 on. */
  private readonly moved: { host: string; port: number }[] = [];

  private constructor(
    readonly role: Role,
    readonly setup: Setup,
    private readonly endpoint: QuicEndpoint,
  ) {}

  static async start(role: Role, setup: Setup): Promise<UdpLab> {
    const options = { address: `${HOST}:0`, validateAddress: setup.retry === true };
    const endpoint = new QuicEndpoint({ ...options, maxConnectionsTotal: setup.maxConnections ?? 0 });
    const lab = new UdpLab(role, setup, endpoint);
    endpoint.closed.catch(() => {});
    if (role === "server") {
      const { cert, key } = engineIdentity(setup);
      const listenOptions: ListenOptions = { ...lab.options(), certs: cert, keys: key };
      if (setup.clientCertificate === true) listenOptions.verifyClient = true;
      await listen((session) => void lab.note(session), listenOptions);
    }
    return lab;
  }

  private options(): ListenOptions & ConnectOptions {
    const { setup } = this;
    const options: ListenOptions & ConnectOptions = {
      alpn: setup.alpn ?? ALPN,
      ca: (setup.ca ?? [rawCa().pem]).join("\n"),
      endpoint: this.endpoint,
      enableEarlyData: setup.early === true,
      ...apiOptions(setup),
    };
    return options;
  }

  nowMicros(): number {
    return Number(process.hrtime.bigint() / 1000n);
  }

  async attach(peer: RawPeer, dial: DialOptions): Promise<void> {
    const entry: Attached = { peer, sockets: [] };
    this.attached.push(entry);
    peer.nowMicros = () => this.nowMicros();
    peer.wire = {
      send: (datagram, { own, engine }) => {
        const { host, port } = this.engineAddress(engine);
        this.pending++;
        (entry.sockets[own] as Socket).send(datagram, port, host, () => this.pending--);
      },
    };
    await this.addAddress(peer);
    if (this.role === "server") return;
    const options: ConnectOptions = { ...this.options(), servername: this.setup.serverName ?? "localhost" };
    if (dial.token !== undefined) options.token = dial.token;
    if (dial.ticket !== undefined) options.sessionTicket = dial.ticket;
    const { port } = (entry.sockets[0] as Socket).address();
    const app = this.note(await connect(`${HOST}:${port}`, options));
    dial.onStart?.(app);
  }

  async addAddress(peer: RawPeer): Promise<number> {
    const { sockets } = this.attached.find((candidate) => candidate.peer === peer) as Attached;
    return this.bind(peer, `127.0.0.${sockets.length + 1}`);
  }

  async addPort(peer: RawPeer): Promise<number> {
    return this.bind(peer, HOST);
  }

  private async bind(peer: RawPeer, host: string): Promise<number> {
    const entry = this.attached.find((candidate) => candidate.peer === peer) as Attached;
    const socket = createSocket({ type: "udp4", recvBufferSize: 4 << 20 });
    const to = entry.sockets.length;
    entry.sockets.push(socket);
    socket.on("error", () => {});
    socket.on("message", (datagram, { address, port }) => {
      peer.receive(datagram, { own: to, engine: this.engineNumber(address, port), ecn: 0 });
      peer.afterReceive();
    });
    await new Promise<void>((resolve) => socket.bind(0, host, resolve));
    return to;
  }

  private engineAddress(number: number): { host: string; port: number } {
    const first = { host: HOST, port: this.endpoint.address?.port ?? 0 };
    return number === 0 ? first : (this.moved[number - 1] as { host: string; port: number });
  }

  private engineNumber(host: string, port: number): number {
    if (port === this.endpoint.address?.port) return 0;
    const known = this.moved.findIndex((one) => one.host === host && one.port === port);
    return known >= 0 ? known + 1 : this.moved.push({ host, port });
  }

  async moveEngine(peer: RawPeer, where: "port" | "host"): Promise<number> {
    const { session } = this.app(peer) as UdpApp;
    const number = this.moved.length + 1;
    const address = where === "port" ? HOST : `127.0.0.${OTHER_HOSTS + number}`;
    session.ext.migrate({ address }).catch(() => {}); // what came of it is seen on the wire
    return number;
  }

  app(peer: RawPeer): UdpApp | null {
    const entry = this.attached.find((candidate) => candidate.peer === peer) as Attached;
    const { port } = (entry.sockets[0] as Socket).address();
    return this.apps.find((app) => app.port === port) ?? null;
  }

  async until(condition: () => boolean, millis = UNTIL_MILLIS): Promise<boolean> {
    const end = Date.now() + Math.min(millis, UNTIL_MILLIS);
    // first what is due already: waiting costs a millisecond each time
    for (let i = 0; i < 3; i++) {
      if (condition()) return true;
      await new Promise((resolve) => setImmediate(resolve));
    }
    while (!condition()) {
      if (Date.now() > end) return false;
      await new Promise((resolve) => setTimeout(resolve, POLL_MILLIS));
    }
    return true;
  }

  async wait(millis: number): Promise<void> {
    await new Promise((resolve) => setTimeout(resolve, millis));
  }

  drops(): Record<string, number> {
    return this.endpoint.ext.drops;
  }

  icmpTooBig(peer: RawPeer, address: number, mtuBytes: number): void {
    const entry = this.attached.find((candidate) => candidate.peer === peer) as Attached;
    const { address: host, port } = (entry.sockets[address] as Socket).address();
    const [a, b, c, d] = host.split(".").map(Number) as [number, number, number, number];
    const quoted = Uint8Array.of(0x40, ...peer.scid);
    coreOf(this.endpoint).host?.endpoint.onIcmp(simAddress(a, b, c, d, port), ICMP_TOO_BIG, mtuBytes, quoted);
  }

  async finish(): Promise<void> {
    for (const { session } of this.apps) session.destroy();
    await this.until(() => this.pending === 0);
    this.endpoint.destroy();
    await this.endpoint.closed.catch(() => {});
    for (const { sockets } of this.attached) for (const socket of sockets) socket.close();
    const held = (): number[] => this.apps.map(({ conn }) => conn.heldBytes());
    await this.until(() => held().every((bytes) => bytes === 0));
    if (held().some((bytes) => bytes !== 0)) throw new Error(`ledger: bytes held after the end: ${held().join(", ")}`);
  }

  private note(session: QuicSession): UdpApp {
    const app = new UdpApp(session, this.setup.app ?? "echo", session.path?.remote.port ?? 0);
    this.apps.push(app);
    return app;
  }
}

/** The engine's configuration in the words of the API. */
function apiOptions(setup: Setup): Partial<ListenOptions & ConnectOptions> {
  const { config = {} } = setup;
  const params: TransportParamOptions = {};
  const options: Partial<ListenOptions & ConnectOptions> = { transportParams: params };
  if (config.maxIdleTimeoutMillis !== undefined) params.maxIdleTimeout = config.maxIdleTimeoutMillis / 1000;
  if (config.initialMaxData !== undefined) params.initialMaxData = config.initialMaxData;
  const { initialMaxStreamDataBidiLocal: local, initialMaxStreamDataBidiRemote: remote } = config;
  if (local !== undefined) params.initialMaxStreamDataBidiLocal = local;
  if (remote !== undefined) params.initialMaxStreamDataBidiRemote = remote;
  if (config.initialMaxStreamDataUni !== undefined) params.initialMaxStreamDataUni = config.initialMaxStreamDataUni;
  if (config.initialMaxStreamsBidi !== undefined) params.initialMaxStreamsBidi = config.initialMaxStreamsBidi;
  if (config.initialMaxStreamsUni !== undefined) params.initialMaxStreamsUni = config.initialMaxStreamsUni;
  if (config.maxDatagramFrameBytes !== undefined) params.maxDatagramFrameSize = config.maxDatagramFrameBytes;
  if (config.handshakeTimeoutMillis !== undefined) options.handshakeTimeout = config.handshakeTimeoutMillis;
  if (config.keepAliveMillis !== undefined) options.keepAlive = config.keepAliveMillis;
  if (config.congestion !== undefined) options.cc = config.congestion === "newreno" ? "reno" : config.congestion;
  const { grease, versions, firstVersion } = config;
  if (firstVersion !== undefined) options.version = firstVersion;
  options.ext = { ...(grease !== undefined && { grease }), ...(versions !== undefined && { versions }) };
  return options;
}
