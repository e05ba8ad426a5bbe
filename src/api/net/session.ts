/** A QUIC connection with sockets on it, as users hold it: what concerns all of them, and the way to open more. */

import { EventEmitter } from "node:events";
import { isIP, type LookupFunction, type SocketAddress } from "node:net";
import { lookup as systemLookup } from "node:dns";
import type { Transport, TransportStats } from "../../port/transport.js";
import { familyOf, isLoopback } from "../address.js";
import { invalidState } from "../errors.js";
import type { Channel } from "./channel.js";
import type { Link, LinkUser } from "./link.js";
import { type ClientSetup, readSessionOptions, type SessionOptions } from "./options.js";
import { clientPort } from "./port.js";
import type { QuicSocket } from "./socket.js";
import { sockets } from "./sockets.js";

/** Lets modules beside this one look inside. */
export let linkOf: (session: NetSession) => Link;

/**
 * Events: `connection` (socket) for a stream that the peer opens, without a listener those are refused; `session` (ticket)
 * at a client; `datagram` (bytes); `close` (error or null) at the end.
 */
export class NetSession extends EventEmitter {
  readonly #link: Link;

  static {
    linkOf = (session) => session.#link;
  }

  /** Sessions come from `openSession`, from `socket.session` and from the `session` event of a server. */
  constructor(link: Link) {
    super();
    this.#link = link;
    const user: LinkUser = {
      onOpened: () => {},
      onChannel: (channel) => this.#offer(channel),
      onTicket: (ticket) => this.emit("session", Buffer.from(ticket)),
      onDatagram: (bytes) => this.emit("datagram", Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)),
      onEnd: (error) => this.emit("close", error),
    };
    link.user ??= user;
  }

  /** Opens one more socket to the peer. It connects when the peer allows one more stream. */
  connect(onConnect?: () => void): QuicSocket {
    return sockets.connectOn(this.#link, onConnect);
  }

  /** Fulfilled when it ended with code 0; rejects with why it ended else. */
  get closed(): Promise<void> {
    return this.#link.closed.promise;
  }

  get destroyed(): boolean {
    return this.#link.ended;
  }

  /** How many sockets are on it. */
  get sockets(): number {
    return this.#link.socketCount;
  }

  get remoteAddress(): SocketAddress {
    return this.#link.remote;
  }

  get localAddress(): SocketAddress {
    return this.#link.local;
  }

  get alpnProtocol(): string | null {
    return this.#link.info?.alpn ?? null;
  }

  /** SNI; "" for none, null before the handshake. */
  get servername(): string | null {
    return this.#link.info?.serverName ?? null;
  }

  /** The connection below, for façades of other kinds. */
  get transport(): Transport {
    return this.#link.transport;
  }

  /** Counters of the connection, times in microseconds. */
  stats(): TransportStats {
    return this.#link.transport.stats();
  }

  /** Sends a copy of `bytes` as a datagram (RFC 9221). False when it cannot be: too large, none taken, or closed. */
  sendDatagram(bytes: Uint8Array): boolean {
    return bytes.length > 0 && this.#link.transport.datagrams.send(bytes.slice()) > 0;
  }

  /** Takes no new sockets, lets those that are there finish, then ends. */
  close(): Promise<void> {
    return this.#link.close();
  }

  /** Ends at once; its sockets get `error`, or ECONNRESET. `code` is the application's on the wire, default 0. */
  destroy(error?: Error, code = 0n): void {
    this.#link.destroy(error, code);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #offer(channel: Channel): boolean {
    if (this.listenerCount("connection") === 0) return false;
    this.emit("connection", sockets.of(channel, {}));
    return true;
  }
}

const sessions = new WeakMap<Link, NetSession>();

/** The one face of a link. */
export function sessionOf(link: Link): NetSession {
  const known = sessions.get(link);
  if (known !== undefined) return known;
  const made = new NetSession(link);
  sessions.set(link, made);
  return made;
}

/**
 * A session that stays until it is closed, whether there are sockets on it or not. Resolves when the handshake is complete;
 * rejects with a QuicError, or the system's error for a name that is not known.
 */
export async function openSession(options: SessionOptions, signal?: AbortSignal): Promise<NetSession> {
  const link = await dial(readSessionOptions(options), () => signal?.throwIfAborted());
  link.kept = true;
  const hold = link.port.newHold();
  hold.set(true);
  const onAbort = (): void => link.destroy(signal?.reason);
  signal?.addEventListener("abort", onAbort, { once: true });
  try {
    await link.opened.promise;
  } catch (error) {
    hold.set(false);
    throw error;
  } finally {
    signal?.removeEventListener("abort", onAbort);
  }
  const release = (): void => hold.set(false);
  link.closed.promise.then(release, release);
  return sessionOf(link);
}

export type OnLookup = (error: Error | null, address: string, family: number, host: string) => void;

/** Looks the host up and begins a handshake with it; `check` throws when nobody wants it any more. */
export async function dial(setup: ClientSetup, check: () => void, onLookup?: OnLookup): Promise<Link> {
  const { host, servername, ticket } = setup;
  const address = isIP(host) === 0 ? await lookUp(setup, onLookup) : host;
  check();
  let port = await clientPort(familyOf(address), setup.local);
  // one that nobody uses any more is closed, maybe between its arrival and ours
  while (port.isClosed) port = await clientPort(familyOf(address), setup.local);
  try {
    check();
    return port.connect({
      ...setup,
      remote: address,
      port: setup.port,
      serverName: servername ?? (isLoopback(host) ? "localhost" : host),
      report: !setup.strict,
      keylog: false,
      ticket,
      earlyData: false, // a replay would run a program's first commands twice
      token: undefined,
    });
  } catch (error) {
    port.settle();
    throw error;
  }
}

function lookUp(
  { host, family, lookup = systemLookup as LookupFunction }: ClientSetup,
  onLookup: OnLookup = () => {},
): Promise<string> {
  return new Promise((resolve, reject) => {
    // IPv4 first: a name whose IPv6 address leads nowhere would cost a whole handshake timeout
    const options = { family, all: false, verbatim: false };
    const done: Parameters<LookupFunction>[2] = (error, found, foundFamily) => {
      const first = Array.isArray(found) ? found[0] : { address: found, family: foundFamily ?? isIP(found) };
      onLookup(error, first?.address ?? "", first?.family ?? 0, host);
      if (error !== null) reject(error);
      else if (first === undefined || isIP(first.address) === 0)
        reject(invalidState(`the lookup of ${host} gave no address`));
      else resolve(first.address);
    };
    lookup(host, options, done);
  });
}
