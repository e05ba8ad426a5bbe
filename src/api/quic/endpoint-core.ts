/**
 * The UDP socket of an endpoint, and those that its sessions moved to, with the sessions on them, between the loop below and the QuicEndpoint that users hold. The socket is bound
 * at the first connect or listen. It keeps the process alive while it listens or has sessions, else not.
 */

import { createHash, randomBytes } from "node:crypto";
import type { SocketAddress } from "node:net";
import type { TlsContext } from "../../port/tls.js";
import { ADDR_PORT, type UdpOptions } from "../../port/udp.js";
import { NOBODY } from "../../port/transport.js";
import { CONNECTION_REFUSED } from "../../proto/transport-error.js";
import { addressText } from "../../runtime/address.js";
import { type Connection, EndpointHost, type HostOwner, type ListenOptions } from "../../runtime/loop.js";
import { type ListenerFacts, unwatchPort, watchPort } from "../control/watch.js";
import { sharedDatapath } from "../datapath.js";
import { connectHost, hostedBy, type HostClient, listenAt } from "../hosted.js";
import { endpointClosed, invalidState, invalidValue } from "../errors.js";
import { type Family, familyOf, type HostPort, resolveHost, socketAddress } from "../address.js";
import { Deferred } from "../deferred.js";
import { withinLimits } from "../memory.js";
import { openConnection } from "../open-connection.js";
import type { DevCertificate } from "../dev-certificate.js";
import type { QuicEndpoint } from "./endpoint.js";
import { type EndpointSetup, MIN_SECRET_BYTES } from "./endpoint-options.js";
import { tlsAt, wantsKeylogFile } from "../environment.js";
import { faces } from "./faces.js";
import { tryOtherFamily } from "../other-family.js";
import { servePreferred } from "./preferred.js";
import { SessionCore } from "./session-core.js";
import type { ClientSetup, ServerSetup } from "./session-options.js";
import type { QuicSession } from "./session.js";
import { callUser } from "./types.js";

export type OnSession = (this: QuicEndpoint, session: QuicSession) => unknown;

/** How often a closing endpoint looks whether the closing periods of its connections are over, and for how long. */
const LINGER_STEP_MILLIS = 20;
const LINGER_STEPS = 50;

/** All endpoints that are not destroyed. */
export const liveEndpoints = new Set<EndpointCore>();

export class EndpointCore implements HostOwner {
  readonly face: QuicEndpoint;
  readonly closed = new Deferred<void>();
  readonly createdAtMicros = monotonicMicros();
  destroyedAtMicros = 0;
  host: EndpointHost | null = null;
  listening = false;
  closing = false;
  destroyed = false;
  busy = false;
  maxConnectionsTotal: number;
  maxConnectionsPerHost: number;
  /** Ever, and now. */
  serverSessions = 0;
  private clientCount = 0;
  clientSessions = 0;
  busyCount = 0;
  devCertificate: DevCertificate | null = null;
  private binding: Promise<EndpointHost> | null = null;
  /** Of the quic host whose port it is, and of what it wants there; null: the port is its own. */
  private client: HostClient | null = null;
  private registration: number | null = null;
  private readonly sessions = new Set<SessionCore>();
  private server: { setup: ServerSetup; onSession: OnSession; options: ListenOptions } | null = null;
  /** Made by `connect` for its own use: closes itself when its last session is gone. */
  private readonly isAuto: boolean;
  /** Sessions on their way to be here. */
  private starting = 0;
  private idleTimer: NodeJS.Timeout | null = null;
  private boundAddress: SocketAddress | null = null;
  /** Outlives a change of certificates, so that tickets do. */
  private readonly ticketSecret: Uint8Array;

  /** `face`: null when `connect` or `listen` makes it. */
  constructor(
    readonly setup: EndpointSetup,
    face: QuicEndpoint | null,
    isAuto = false,
  ) {
    this.isAuto = isAuto;
    this.maxConnectionsTotal = setup.maxConnectionsTotal;
    this.maxConnectionsPerHost = setup.maxConnectionsPerHost;
    this.ticketSecret = ticketSecret(setup.secret ?? randomBytes(MIN_SECRET_BYTES));
    this.face = face ?? faces.endpoint(this);
    liveEndpoints.add(this);
  }

  nowMicros(): number {
    return this.host?.now() ?? monotonicMicros();
  }

  /** Where it is bound. */
  get address(): SocketAddress {
    return this.boundAddress ?? socketAddress("0.0.0.0", 0);
  }

  get isBound(): boolean {
    return this.boundAddress !== null;
  }

  get rungs(): { datapath: string; udp: string } {
    return { datapath: sharedDatapath().name, udp: this.host?.socket.rung ?? "" };
  }

  /** Opens one more socket for a session that moves, or for a preferred address; undefined: like the first one. */
  async addSocket(address: string | undefined, port: number): Promise<number> {
    const { host } = this;
    if (host === null || this.destroyed) throw endpointClosed();
    return host.addSocket(this.udpOptions(address ?? host.socket.address, port));
  }

  /** It goes with the last session that uses it. */
  releaseSocket(number: number): void {
    this.host?.releaseSocket(number);
  }

  /** Where a socket is bound. */
  addressOf(socket: number): SocketAddress {
    const udp = socket === 0 ? null : (this.host?.socketOf(socket) ?? null);
    return udp === null ? this.address : socketAddress(udp.address, udp.port);
  }

  /** Whether a new session may use it. */
  get isUsable(): boolean {
    return !this.closing && !this.destroyed;
  }

  /** The family that peers must have; null: any, or not said yet. */
  get family(): Family | null {
    const { address, ipv6Only } = this.setup;
    if (address === null) return this.host?.socket.family ?? null;
    const family = familyOf(address.host);
    return family === "IPv6" && !ipv6Only && address.host === "::" ? null : family;
  }

  // --- the user ------------------------------------------------------------------------------------------------------

  /** Starts a session; a name is looked up in the endpoint's family. */
  async connect(setup: ClientSetup, target: HostPort, serverName: string): Promise<SessionCore> {
    this.starting++;
    try {
      const remote = await resolveHost(target.host, this.family, setup.signal);
      return await this.start(setup, remote, target.port, serverName);
    } finally {
      this.starting--;
      this.settle();
    }
  }

  async listen(setup: ServerSetup, onSession: OnSession): Promise<void> {
    if (this.server !== null) throw invalidState("the endpoint listens already");
    const tls = this.serverTls(setup);
    this.server = { setup, onSession, options: { tls } };
    try {
      const host = await this.bind("127.0.0.1", setup.hostPath);
      // a host sends the Retry itself
      const retry = this.client !== null ? "never" : this.setup.validateAddress ? "always" : "auto";
      const { earlyData, preferred: wanted } = setup;
      const config = withinLimits(setup.config); // those of the host, which is known since
      const open = (address: string, port: number): Promise<number> => this.addSocket(address, port);
      const preferred = wanted === null ? undefined : await servePreferred(host, open, wanted);
      const options = { tls, config, retry, earlyData, ...(preferred !== undefined && { preferred }) } as const;
      host.endpoint.listen(options);
      this.server = { setup, onSession, options };
      await this.registerAt(host, setup);
    } catch (error) {
      this.host?.endpoint.stopListening();
      this.server = null;
      tls.close();
      this.settle();
      throw error;
    }
    this.devCertificate = setup.devCertificate;
    this.listening = true;
    this.settle();
  }

  /** Other certificates for new sessions. Nothing changes when they are wrong. */
  setIdentities(given: ServerSetup["identities"], replaces: boolean): void {
    const { server, host } = this;
    if (server === null || host === null || !this.listening) throw invalidState("the endpoint does not listen");
    const identities = replaces ? given : { ...server.setup.identities, ...given };
    if (Object.keys(identities).length === 0)
      throw invalidValue("entries", "must leave one certificate at least", given);
    const setup = { ...server.setup, identities, agent: "" }; // keys of its own do not leave the process
    const options = { ...server.options, tls: this.serverTls(setup) };
    host.endpoint.relisten(options);
    server.options.tls.close();
    this.server = { setup, onSession: server.onSession, options };
  }

  /** Refuses new sessions, waits for those that are there, then gives the socket back. */
  close(): Promise<void> {
    if (!this.closing && !this.destroyed) {
      this.closing = true;
      this.stopListening();
      this.settle();
    }
    return this.closed.promise;
  }

  /** Ends every session at once. */
  destroy(error: unknown): void {
    if (this.destroyed) return;
    this.stopListening();
    this.closing = true;
    for (const session of [...this.sessions]) session.destroy(error);
    this.finish(error);
  }

  // --- the loop --------------------------------------------------------------------------------------------------------

  onAccept(conn: Connection): void {
    const { server } = this;
    if (server === null || !this.admits(conn)) {
      this.busyCount++;
      conn.close("transport", BigInt(CONNECTION_REFUSED), "");
      return;
    }
    const { agent, identities, callbacks, keylog, datagramQueue } = server.setup;
    this.serverSessions++;
    this.clientCount++;
    const session = this.adopt(conn, {
      callbacks,
      tls: tlsAt(agent),
      pins: null,
      keylog,
      datagramQueue,
      ownCertificate: (name) => identityFor(identities, name),
      release: () => {},
    });
    callUser(server.onSession, this.face, [session.face], (error) => session.failBy(error));
  }

  onEvents(conn: Connection): void {
    const { owner } = conn;
    conn.drain(owner instanceof SessionCore ? owner : NOBODY);
  }

  onError(error: Error): void {
    if (this.destroyed) return;
    for (const session of [...this.sessions]) session.onEndpointGone(error);
    this.finish(error);
  }

  /** Both families are its sessions' unless the program has bound an address of one. */
  onConfirmed(conn: Connection): void {
    const { address, ipv6Only } = this.setup;
    const isAnyFamily = address === null || this.family === null;
    if (this.host !== null && isAnyFamily && !ipv6Only) void tryOtherFamily(this.host, conn);
  }

  onSessionGone(session: SessionCore): void {
    if (this.sessions.delete(session) && session.transport.isServer) this.clientCount--;
    this.settle();
  }

  // --- inside ----------------------------------------------------------------------------------------------------------

  private async start(setup: ClientSetup, remote: string, port: number, serverName: string): Promise<SessionCore> {
    const family = familyOf(remote);
    if (this.family !== null && this.family !== family) {
      throw invalidValue("address", `is ${family}, but the endpoint is bound to ${this.family}`, remote);
    }
    const host = await this.bind(family === "IPv4" ? "0.0.0.0" : "::");
    setup.signal?.throwIfAborted();
    const { identity, pins } = setup;
    // a resumed session shows no certificate, and pins want to see one
    const ticket = pins === null ? setup.ticket : undefined;
    const { conn, release } = openConnection(host, {
      ...setup,
      ticket,
      remote,
      port,
      serverName,
      report: setup.manual || pins !== null,
    });
    this.clientSessions++;
    return this.adopt(conn, {
      callbacks: setup.callbacks,
      tls: tlsAt(setup.agent),
      pins,
      keylog: setup.keylog,
      datagramQueue: setup.datagramQueue,
      ownCertificate: () => identity?.cert,
      release,
    });
  }

  private serverTls(setup: ServerSetup): TlsContext {
    return tlsAt(setup.agent).newServerContext({
      alpn: setup.alpn,
      identities: setup.identities,
      clientCertificate: setup.clientCertificate,
      keylog: setup.keylog || wantsKeylogFile(),
      earlyData: setup.earlyData,
      ticketSecret: this.ticketSecret,
      ...(setup.ca !== undefined && { ca: setup.ca }),
      ...(setup.crl !== undefined && { crl: setup.crl }),
      ...(setup.ciphers !== undefined && { ciphers: setup.ciphers }),
      ...(setup.groups !== undefined && { groups: setup.groups }),
    });
  }

  private adopt(conn: Connection, setup: ConstructorParameters<typeof SessionCore>[2]): SessionCore {
    const session = new SessionCore(this, conn, setup);
    this.sessions.add(session);
    this.settle();
    return session;
  }

  /** The socket; opened at the first call, at `fallback` when the options name no address. */
  private bind(fallback: string, path: string | null = null): Promise<EndpointHost> {
    if (!this.isUsable) return Promise.reject(endpointClosed());
    this.binding ??= this.open(fallback, path);
    return this.binding;
  }

  private async open(fallback: string, path: string | null): Promise<EndpointHost> {
    const { setup } = this;
    try {
      this.client = path === null ? null : await connectHost(path);
      const udp = this.udpOptions(setup.address?.host ?? fallback, setup.address?.port ?? 0);
      const options = hostedBy(this.client, {
        statelessResets: setup.statelessResets,
        ...(setup.secret !== undefined && { secret: setup.secret }),
        ...(setup.connectionIdBytes !== undefined && { cidBytes: setup.connectionIdBytes }),
        ...(setup.retryTokenSeconds !== undefined && { retryTokenSeconds: setup.retryTokenSeconds }),
        ...(setup.newTokenSeconds !== undefined && { newTokenSeconds: setup.newTokenSeconds }),
      });
      const host = await EndpointHost.open({ udp, ...options }, this);
      if (!this.isUsable) {
        host.close();
        throw endpointClosed();
      }
      this.host = host;
      watchPort({ api: "quic", host, listeners: () => this.listenerFacts(), facts: () => ({}) });
      this.boundAddress = socketAddress(host.socket.address, host.socket.port);
      return host;
    } catch (error) {
      this.binding = null;
      this.client?.close();
      this.client = null;
      throw error;
    }
  }

  private listenerFacts(): ListenerFacts[] {
    if (this.server === null || !this.listening) return [];
    const { alpn, identities } = this.server.setup;
    const { address, port } = this.address;
    const serverNames = Object.keys(identities).filter((name) => name !== "*");
    return [{ identity: this, local: addressText(address, port), alpn, serverNames, waiting: 0, backlog: 0 }];
  }

  private udpOptions(address: string, port: number): UdpOptions {
    const { ipv6Only, reusePort, receiveBufferBytes, sendBufferBytes } = this.setup;
    return {
      address,
      port,
      ipv6Only,
      reusePort,
      ...(receiveBufferBytes !== undefined && { receiveBufferBytes }),
      ...(sendBufferBytes !== undefined && { sendBufferBytes }),
    };
  }

  private admits(conn: Connection): boolean {
    if (this.busy || !this.isUsable) return false;
    if (this.maxConnectionsTotal > 0 && this.clientCount >= this.maxConnectionsTotal) return false;
    if (this.maxConnectionsPerHost === 0) return true;
    let sameHost = 0;
    for (const { transport } of this.sessions) {
      if (transport.isServer && sameIp(transport.path.addr, conn.path.addr)) sameHost++;
    }
    return sameHost < this.maxConnectionsPerHost;
  }

  /** With a quic host: it sends us those who want our protocols. */
  private async registerAt(host: EndpointHost, { alpn, serverNames }: ServerSetup): Promise<void> {
    const { client, setup } = this;
    if (client === null) return;
    const { reusePort, validateAddress } = setup;
    this.registration = await listenAt(client, host, { alpn, serverNames, reusePort, retry: validateAddress });
  }

  private stopListening(): void {
    this.listening = false;
    if (this.registration !== null) this.client?.unlisten(this.registration);
    this.registration = null;
    this.host?.endpoint.stopListening();
  }

  /** After anything that may leave the endpoint with nothing to do. */
  private settle(): void {
    if (this.destroyed) return;
    const { host } = this;
    const isIdle = this.sessions.size === 0 && this.starting === 0 && !this.listening;
    if (this.idleTimer !== null) clearTimeout(this.idleTimer);
    this.idleTimer = null;
    if (!isIdle || (this.closing && !this.isAuto)) host?.ref();
    else host?.unref();
    if (!isIdle) return;
    if (this.closing || this.isAuto) this.linger(LINGER_STEPS);
    else if (this.setup.idleTimeoutMillis > 0) {
      this.idleTimer = setTimeout(() => void this.close(), this.setup.idleTimeoutMillis);
      this.idleTimer.unref();
    }
  }

  /** Connections that just closed answer late packets for a while (RFC 9000 §10.2); then the socket goes. */
  private linger(steps: number): void {
    if (steps === 0 || this.host === null || this.host.endpoint.connectionCount === 0) {
      this.finish(undefined);
      return;
    }
    this.idleTimer = setTimeout(() => this.linger(steps - 1), LINGER_STEP_MILLIS);
    if (this.isAuto && !this.closing) this.idleTimer.unref();
  }

  private finish(error: unknown): void {
    if (this.destroyed) return;
    this.destroyed = true;
    this.destroyedAtMicros = this.nowMicros();
    if (this.idleTimer !== null) clearTimeout(this.idleTimer);
    if (this.host !== null) unwatchPort(this.host);
    this.host?.close();
    this.server?.options.tls.close();
    liveEndpoints.delete(this);
    if (error === undefined || error === null) this.closed.resolve();
    else this.closed.reject(error);
  }
}

function sameIp(a: Int32Array, b: Int32Array): boolean {
  for (let i = 0; i < ADDR_PORT; i++) if (a[i] !== b[i]) return false;
  return true;
}

/** The certificate that TLS chose for a name: exact, one label of a wildcard, or the default. */
function identityFor(identities: ServerSetup["identities"], name: string): string | undefined {
  const host = name.toLowerCase();
  const wild = `*${host.slice(host.indexOf("."))}`;
  // the name is the peer's: `constructor` is one, and every object has it
  const known = [host, wild, "*"].find((candidate) => Object.hasOwn(identities, candidate));
  return known === undefined ? undefined : identities[known]?.cert;
}

/** Tickets have keys of their own, from the same secret as tokens and resets. */
function ticketSecret(secret: Uint8Array): Uint8Array {
  return new Uint8Array(createHash("sha256").update("netquic ticket secret").update(secret).digest());
}

function monotonicMicros(): number {
  return Number(process.hrtime.bigint() / 1000n);
}
