/**
 * One UDP port of this process with all sockets that are bound to it: listeners share it by ALPN and server name, and
 * connections by their ids. It is opened by the first socket and closed after the last one.
 */

import { isIP } from "node:net";
import { NOBODY } from "../../port/transport.js";
import { ADDR_IP0, ADDR_IP3, ADDR_PORT } from "../../port/udp.js";
import { CONNECTION_REFUSED } from "../../proto/transport-error.js";
import {
  type Connection,
  ConnectionDetails,
  EndpointHost,
  type HostOwner,
  Listener,
  NO_APPLICATION_PROTOCOL,
} from "../../runtime/loop.js";
import { Listeners } from "../../socket/dispatch.js";
import { addressText } from "../../runtime/address.js";
import { EACCES, EADDRINUSE, ECONNREFUSED, EINVAL } from "../../socket/errno.js";
import { QUIC_SS_CLOSED } from "../../socket/numbers.js";
import { isServed, socketAddress } from "../address.js";
import { type ListenerFacts, type SocketFacts, unwatchPort, watchPort } from "../control/watch.js";
import { connectHost, hostedBy, type HostClient, listenAt } from "../hosted.js";
import { connectionConfig } from "./connection-config.js";
import { SocketFile } from "./socket-file.js";
import { socketError } from "./system-error.js";

/** How often a port without sockets looks whether its connections have ended, and for how long. */
const LINGER_STEP_MILLIS = 20;
const LINGER_STEPS = 150;

export interface PortOptions {
  address: string;
  port: number;
  ipv6Only: boolean;
  /** The Unix socket of the quic host that owns it; null: the process itself does. */
  hostPath: string | null;
  /** Length of connection ids; undefined: whatever the port has, 8 if it is new. */
  cidBytes?: number | undefined;
}

/** Why a quic host may refuse a listener. */
const HOST_ERRORS: Readonly<Record<string, number>> = { EADDRINUSE, EACCES };

const ports = new Map<string, Promise<SharedPort>>();

export class SharedPort implements HostOwner {
  host: EndpointHost | null = null;
  readonly listeners = new Listeners<SocketFile>();
  /** Any listener takes 0-RTT, or did. */
  private takesEarlyData = false;
  private sockets = 0;
  /** Preferred addresses by text, and the numbers of their sockets. */
  private readonly served = new Map<string, Promise<number>>();
  private closed = false;
  /** What the quic host sends us clients for, by listener. */
  private readonly registrations = new Map<SocketFile, number>();

  private constructor(
    readonly options: PortOptions,
    private readonly client: HostClient | null,
  ) {}

  /** The port of these options, opened now if no socket has it. Rejects with the system's error. */
  static async take(options: PortOptions): Promise<SharedPort> {
    const known = options.port === 0 ? undefined : ports.get(keyOf(options));
    const shared = await (known ?? SharedPort.open(options));
    if (shared.closed) return SharedPort.take(options);
    const { cidBytes } = options;
    if (cidBytes !== undefined && shared.host?.endpoint.bench.cidBytes !== cidBytes) throw socketError("bind", -EINVAL);
    shared.sockets++;
    shared.host?.ref();
    return shared;
  }

  private static open(options: PortOptions): Promise<SharedPort> {
    const opening = SharedPort.bind({ ...options });
    const key = keyOf(options);
    if (options.port !== 0) ports.set(key, opening);
    opening.then(
      (shared) => ports.set(keyOf(shared.options), opening),
      () => ports.delete(key),
    );
    return opening;
  }

  private static async bind(options: PortOptions): Promise<SharedPort> {
    const { address, port, ipv6Only, hostPath, cidBytes } = options;
    const client = hostPath === null ? null : await connectHost(hostPath);
    const shared = new SharedPort(options, client);
    try {
      const endpoint = hostedBy(client, cidBytes === undefined ? {} : { cidBytes });
      shared.host = await EndpointHost.open({ udp: { address, port, ipv6Only }, ...endpoint }, shared);
    } catch (error) {
      client?.close();
      throw error;
    }
    options.port = shared.host.socket.port;
    watchPort({
      api: "socket",
      host: shared.host,
      listeners: () => shared.listenerFacts(),
      facts: ({ owner }) => (owner instanceof SocketFile ? factsOf(owner) : {}),
    });
    return shared;
  }

  /** 0 or a negative errno; see Listeners.add. With a quic host once it has agreed. */
  listen(file: SocketFile): number | Promise<number> {
    const { address } = this.options;
    const isWildcard = address === "::" || address === "0.0.0.0";
    const family = isIP(address) === 4 ? "IPv4" : isWildcard && !this.options.ipv6Only ? "both" : "IPv6";
    const key = {
      place: `${address} ${this.options.port}`,
      isWildcard,
      family,
      alpn: file.sock.alpn,
      serverNames: file.serverNames,
      reusePort: file.reusePort,
    } as const;
    const result = this.listeners.add(key, file);
    if (result === 0 && file.earlyTickets !== null) this.takesEarlyData = true;
    if (result === 0 && this.listeners.size === 1) this.startListening();
    return result === 0 && this.client !== null ? this.register(this.client, file) : result;
  }

  stopListening(file: SocketFile): void {
    this.listeners.remove(file);
    const registration = this.registrations.get(file);
    if (registration !== undefined) this.client?.unlisten(registration);
    this.registrations.delete(file);
    if (this.listeners.size === 0) this.host?.endpoint.stopListening();
  }

  /** Makes clients find us at this address, too, for as long as the port is there. Rejects with the system's error. */
  async serveAt(address: string, port: number): Promise<void> {
    const { host } = this;
    if (host === null || isServed(host, { host: address, port })) return;
    const key = `${address} ${port}`;
    let opening = this.served.get(key);
    if (opening === undefined) {
      opening = host.addSocket({ address, port });
      this.served.set(key, opening);
    }
    try {
      await opening;
    } catch (error) {
      this.served.delete(key);
      throw error;
    }
  }

  /** A socket is done with the port. */
  release(): void {
    this.sockets--;
    if (this.sockets > 0) return;
    this.host?.unref();
    this.linger(LINGER_STEPS);
  }

  // --- the loop --------------------------------------------------------------------------------------------------------

  onAccept(conn: Connection): void {
    const { owner } = conn;
    if (!(owner instanceof SocketFile)) return;
    owner.conn = conn;
    owner.sock.attach(conn, new ConnectionDetails(conn));
    owner.local = socketAddress(this.options.address, this.options.port);
    this.sockets++;
    const listener = this.parents.get(owner);
    this.parents.delete(owner);
    if (listener === undefined || listener.pending.length >= listener.backlog) {
      conn.close("transport", BigInt(CONNECTION_REFUSED), "");
      this.release();
      return;
    }
    listener.pending.push(owner);
    listener.wake();
  }

  onEvents(conn: Connection): void {
    const { owner } = conn;
    conn.drain(owner instanceof SocketFile ? owner.sock : NOBODY);
  }

  /** The UDP socket broke: whoever waits for something here waits in vain. */
  onError(): void {
    this.forget();
    for (const [, file] of [...this.listeners.entries()]) file.sock.markClosed();
    for (const { owner } of this.host?.endpoint.connections ?? []) {
      if (owner instanceof SocketFile) owner.sock.markClosed();
    }
  }

  // --- inside ------------------------------------------------------------------------------------------------------------

  /** Listeners of connections that are not offered yet. */
  private readonly parents = new WeakMap<SocketFile, SocketFile>();

  private async register(client: HostClient, file: SocketFile): Promise<number> {
    const { sock, serverNames, reusePort } = file;
    const wanted = { alpn: sock.alpn, serverNames, reusePort, retry: wantsRetry(file) };
    try {
      const registration = await listenAt(client, this.host as EndpointHost, wanted);
      if (file.isClosed) client.unlisten(registration);
      else this.registrations.set(file, registration);
      return 0;
    } catch (error) {
      this.stopListening(file);
      return -(HOST_ERRORS[(error as { code?: string }).code ?? ""] ?? ECONNREFUSED);
    }
  }

  private startListening(): void {
    const takesEarlyData = (): boolean => this.takesEarlyData;
    // a quic host sends the Retry itself
    const isHosted = this.client !== null;
    this.host?.endpoint.listenBy({
      retry: isHosted ? "never" : "auto",
      get earlyData() {
        return takesEarlyData();
      },
      versions: [],
      choose: (hello, addr) => {
        if (hello?.isWhole !== true) return CONNECTION_REFUSED; // nobody gets what cannot be read, whatever he speaks
        const listener = this.listeners.match(hello, hashOf(addr));
        if (listener === null) return NO_APPLICATION_PROTOCOL;
        if (listener.pending.length >= listener.backlog) return CONNECTION_REFUSED;
        const child = listener.newChild();
        this.parents.set(child, listener);
        child.accepted = {
          tls: child.newTls(true),
          config: connectionConfig(listener.sock),
          retry: isHosted ? "never" : wantsRetry(listener) ? "always" : "auto",
          owner: child,
          acceptAtHello: true,
          ...(listener.earlyTickets !== null && { earlyData: listener.earlyTickets }),
        };
        return new Listener(child.accepted);
      },
    });
  }

  /** Connections that just closed answer late packets for a while (RFC 9000 §10.2); then the port goes. */
  private linger(steps: number): void {
    if (this.sockets > 0 || this.closed) return;
    if (steps > 0 && (this.host?.endpoint.connectionCount ?? 0) > 0) {
      setTimeout(() => this.linger(steps - 1), LINGER_STEP_MILLIS).unref();
      return;
    }
    this.forget();
    this.host?.close();
  }

  private forget(): void {
    this.closed = true;
    ports.delete(keyOf(this.options));
    if (this.host !== null) unwatchPort(this.host);
  }

  private listenerFacts(): ListenerFacts[] {
    const { address, port } = this.options;
    return [...this.listeners.entries()].map(([{ alpn, serverNames }, file]) => ({
      identity: file,
      local: addressText(address, port),
      alpn,
      serverNames,
      waiting: file.pending.length,
      backlog: file.backlog,
    }));
  }
}

/** @throws SocketError EADDRINUSE for what the system calls so, too. */
export async function takePort(options: PortOptions): Promise<SharedPort> {
  try {
    return await SharedPort.take(options);
  } catch (error) {
    if ((error as { code?: string }).code === "EADDRINUSE") throw socketError("bind", -EADDRINUSE);
    throw error;
  }
}

function factsOf({ sock }: SocketFile): SocketFacts {
  return {
    alpn: sock.alpn,
    recvBufferBytes: sock.receiveMemoryBytes,
    sendBufferBytes: sock.sendMemoryBytes,
    isClosed: sock.state === QUIC_SS_CLOSED,
  };
}

function wantsRetry({ sock }: SocketFile): boolean {
  return sock.settings.config.validate_peer_address !== 0;
}

function keyOf({ address, port, ipv6Only, hostPath }: PortOptions): string {
  return `${address} ${port} ${ipv6Only} ${hostPath ?? ""}`;
}

/** Of the peer's address and port: one peer always meets the same member of a group. */
function hashOf(addr: Int32Array): number {
  let hash = addr[ADDR_PORT] as number;
  for (let i = ADDR_IP0; i <= ADDR_IP3; i++) hash = Math.imul(hash ^ (addr[i] as number), 0x9e3779b1);
  return hash ^ (hash >>> 15);
}
