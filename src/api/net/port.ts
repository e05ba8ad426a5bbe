/**
 * A UDP socket with the links on it: a server's own, or the one that clients of a family share. It is given back when it
 * has no links and does not listen, after the closing periods of its connections (RFC 9000 §10.2). It keeps the process
 * alive while somebody holds it, and not otherwise.
 */

import type { SocketAddress } from "node:net";
import { NOBODY } from "../../port/transport.js";
import { CONNECTION_REFUSED } from "../../proto/transport-error.js";
import { addressText } from "../../runtime/address.js";
import { type Connection, EndpointHost, type HostOwner, type ListenOptions } from "../../runtime/loop.js";
import { type Family, socketAddress } from "../address.js";
import { type ListenerFacts, unwatchPort, watchPort } from "../control/watch.js";
import { Deferred } from "../deferred.js";
import { endpointClosed } from "../errors.js";
import { connectHost, hostedBy, type HostClient, listenAt } from "../hosted.js";
import { type ConnectionRequest, openConnection } from "../open-connection.js";
import { tryOtherFamily } from "../other-family.js";
import { Hold } from "./hold.js";
import { Link } from "./link.js";

/** How often a port without use looks whether its connections have ended, and for how long. */
const LINGER_STEP_MILLIS = 20;
const LINGER_STEPS = 50;

export interface PortOptions {
  address: string;
  port: number;
  ipv6Only: boolean;
  /** Of the quic host that owns the port; null: it is this process's. */
  hostPath: string | null;
}

/** What a server is chosen by, for `quic ss`. */
export interface ListenNames {
  alpn: readonly string[];
  serverNames: readonly string[];
}

export class Port implements HostOwner {
  /** It is closed; new users open another one. */
  readonly closed = new Deferred<void>();
  readonly links = new Set<Link>();
  isClosed = false;
  private onLink: ((link: Link) => void) | null = null;
  private names: ListenNames = { alpn: [], serverNames: [] };
  private holds = 0;
  private lingering = false;
  private readonly boundAddress: SocketAddress;
  private host!: EndpointHost;
  private registration: number | null = null;

  private constructor(
    readonly options: PortOptions,
    private readonly client: HostClient | null,
  ) {
    this.boundAddress = socketAddress(options.address, options.port);
  }

  /** Rejects with the system's error when it cannot be bound. It keeps nobody alive at first. */
  static async open(options: PortOptions): Promise<Port> {
    let port: Port | null = null;
    const owner: HostOwner = {
      onAccept: (conn) => port?.onAccept(conn),
      onEvents: (conn) => port?.onEvents(conn),
      onError: (error) => port?.onError(error),
    };
    const { hostPath, ...udp } = options;
    const client = hostPath === null ? null : await connectHost(hostPath);
    let host: EndpointHost;
    try {
      host = await EndpointHost.open({ udp, ...hostedBy(client, {}) }, owner);
    } catch (error) {
      client?.close();
      throw error;
    }
    port = new Port({ ...options, address: host.socket.address, port: host.socket.port }, client);
    port.host = host;
    host.unref();
    watchPort({ api: "net", host, listeners: () => port?.listenerFacts() ?? [], facts: () => ({}) });
    return port;
  }

  get address(): SocketAddress {
    return this.boundAddress;
  }

  addressOf(socket: number): SocketAddress {
    const udp = socket === 0 ? null : this.host.socketOf(socket);
    return udp === null ? this.boundAddress : socketAddress(udp.address, udp.port);
  }

  newHold(): Hold {
    return new Hold((change) => {
      this.holds += change;
      if (change === 1 && this.holds === 1) this.host.ref();
      if (change === -1 && this.holds === 0) this.host.unref();
    });
  }

  /** A connection to a server; its handshake has begun. @throws for what TLS does not take. */
  connect(request: ConnectionRequest): Link {
    if (this.isClosed) throw endpointClosed();
    const { conn, release } = openConnection(this.host, request);
    return this.adopt(conn, release);
  }

  /**
   * Takes clients until `stopListening`; after that they are refused, so that they need not wait for an answer. Rejects with
   * EADDRINUSE when another program of the quic host has one of the names there.
   */
  async listen(options: ListenOptions, names: ListenNames, onLink: (link: Link) => void): Promise<void> {
    const { client } = this;
    // a quic host asks for the Retry
    this.host.endpoint.listen(client === null ? options : { ...options, retry: "never" });
    this.names = names;
    this.onLink = onLink;
    if (client !== null) {
      this.registration = await listenAt(client, this.host, { ...names, reusePort: false, retry: false });
      if (this.onLink === null) this.unregister(); // it ended meanwhile
    }
  }

  /** Links that are there stay. */
  stopListening(): void {
    this.onLink = null;
    this.unregister();
    this.settle();
  }

  onLinkGone(link: Link): void {
    this.links.delete(link);
    this.settle();
  }

  onConfirmed(conn: Connection): void {
    if (!this.options.ipv6Only) void tryOtherFamily(this.host, conn);
  }

  // --- the loop --------------------------------------------------------------------------------------------------------

  onAccept(conn: Connection): void {
    if (this.onLink === null) {
      conn.close("transport", BigInt(CONNECTION_REFUSED), "");
      return;
    }
    this.onLink(this.adopt(conn, () => {}));
  }

  onEvents(conn: Connection): void {
    const { owner } = conn;
    conn.drain(owner instanceof Link ? owner : NOBODY);
  }

  onError(error: Error): void {
    unwatchPort(this.host);
    this.isClosed = true;
    for (const link of [...this.links]) link.onPortGone(error);
    this.closed.reject(error);
  }

  // --- inside ------------------------------------------------------------------------------------------------------------

  private unregister(): void {
    if (this.registration !== null) this.client?.unlisten(this.registration);
    this.registration = null;
  }

  private adopt(conn: Connection, release: () => void): Link {
    const link = new Link(this, conn, release);
    this.links.add(link);
    return link;
  }

  private listenerFacts(): ListenerFacts[] {
    if (this.onLink === null) return [];
    const { address, port } = this.boundAddress;
    return [{ identity: this, local: addressText(address, port), ...this.names, waiting: 0, backlog: 0 }];
  }

  private get isIdle(): boolean {
    return this.links.size === 0 && this.onLink === null;
  }

  /** After anything that may leave it without use. */
  settle(): void {
    if (!this.isIdle || this.lingering || this.isClosed) return;
    this.lingering = true;
    this.linger(LINGER_STEPS);
  }

  private linger(steps: number): void {
    if (this.isClosed) return;
    if (!this.isIdle) {
      this.lingering = false;
      return;
    }
    if (steps > 0 && this.host.endpoint.connectionCount > 0) {
      setTimeout(() => this.linger(steps - 1), LINGER_STEP_MILLIS).unref();
      return;
    }
    this.isClosed = true;
    unwatchPort(this.host);
    this.host.close();
    this.client?.close();
    this.closed.resolve();
  }
}

/** What clients share, by family. */
const shared = new Map<Family, Promise<Port>>();

/** The port for connections to addresses of that family: the shared one, or one of its own at a local address. */
export async function clientPort(family: Family, local: { address?: string; port?: number }): Promise<Port> {
  const address = local.address ?? (family === "IPv4" ? "0.0.0.0" : "::");
  const options = { address, port: local.port ?? 0, ipv6Only: family === "IPv6", hostPath: null };
  if (local.address !== undefined || local.port !== undefined) return Port.open(options);
  const known = shared.get(family);
  if (known !== undefined && !(await known).isClosed) return known;
  if (shared.get(family) === known) {
    const opening = Port.open(options);
    shared.set(family, opening);
    opening.catch(() => shared.delete(family));
  }
  return clientPort(family, local);
}
