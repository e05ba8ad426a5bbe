/**
 * What a descriptor stands for: a QuicSock with its addresses, its place on a UDP port, and the calls that wait for it.
 * Invariant: a file that is not in the table any more is only here to let its connection end.
 */

import type { SocketAddress } from "node:net";
import type { Connection, EarlyTickets, ListenOptions } from "../../runtime/loop.js";
import { EBADF } from "../../socket/errno.js";
import { AF_INET, QUIC_CRYPTO_APP, QUIC_SS_ESTABLISHING } from "../../socket/numbers.js";
import { QuicSock } from "../../socket/sock.js";
import { FirstTicket, MessageTls } from "../../socket/tls-messages.js";
import type { SharedPort } from "./shared-port.js";
import { socketError } from "./system-error.js";
import { Waiters } from "./waiting.js";

export class SocketFile extends Waiters {
  readonly sock = new QuicSock();
  port: SharedPort | null = null;
  /** Bound to, or of the connection. */
  local: SocketAddress | null = null;
  conn: Connection | null = null;
  /** Listening: connections to accept, and how many may wait. */
  readonly pending: SocketFile[] = [];
  backlog = 0;
  /** Listening, and of accepted sockets those of the listener: tickets whose 0-RTT is taken; null = none is. */
  earlyTickets: EarlyTickets | null = null;
  serverNames: readonly string[] = [];
  reusePort = false;
  /** SO_REUSEADDR, which a port of UDP does without. */
  reuseAddress = false;
  /** SO_RCVTIMEO and SO_SNDTIMEO, milliseconds; 0 = for ever. */
  receiveTimeoutMillis = 0;
  sendTimeoutMillis = 0;
  ipv6Only = false;
  /** Of an accepted socket: what its connection began with. */
  accepted: ListenOptions | null = null;
  /** A port for a migration, or for a preferred address, is being opened: null when it was, or the system's error. */
  opening: Promise<Error | null> | null = null;
  /** Ends with the call that opens or registers a port now. */
  private turn: Promise<void> | null = null;
  /** Its descriptor is closed; streams that have their own keep the connection. */
  isClosed = false;

  constructor(
    readonly family: number,
    /** SOCK_DGRAM or SOCK_STREAM, which are the same here. */
    readonly type: number,
  ) {
    super();
    this.sock.onWake = () => this.wake();
  }

  get isIpv4(): boolean {
    return this.family === AF_INET;
  }

  /** Runs `call` at once, or after those that came before: what the lock of a socket does in Linux. */
  async inTurn(syscall: string, call: () => Promise<void>): Promise<void> {
    while (this.turn !== null) await this.turn;
    if (this.isClosed) throw socketError(syscall, -EBADF);
    const end = (): void => {
      this.turn = null;
    };
    const result = call();
    this.turn = result.then(end, end);
    return result;
  }

  /** TLS of this socket's connection, by messages. */
  newTls(isServer: boolean): MessageTls {
    const firstTicket = new FirstTicket();
    const tls = new MessageTls(isServer, this.sock, (level, bytes) => {
      const ticket = level === QUIC_CRYPTO_APP ? firstTicket.push(bytes) : null;
      if (ticket !== null) this.sock.onTicket(ticket);
      if (level === QUIC_CRYPTO_APP) return;
      this.sock.onHandshakeMessage(level, bytes);
    });
    this.sock.tls = tls;
    return tls;
  }

  /** A connection that a client has begun: this listener's settings, and a handshake of its own. */
  newChild(): SocketFile {
    const child = new SocketFile(this.family, this.type);
    child.port = this.port;
    child.sock.isServer = true;
    child.sock.state = QUIC_SS_ESTABLISHING;
    child.sock.settings.inherit(this.sock.settings);
    child.sock.events.inherit(this.sock.events);
    child.sock.alpn = this.sock.alpn;
    child.reuseAddress = this.reuseAddress;
    child.sock.sendBufferBytes = this.sock.sendBufferBytes;
    child.sock.receiveBufferBytes = this.sock.receiveBufferBytes;
    child.earlyTickets = this.earlyTickets;
    child.receiveTimeoutMillis = this.receiveTimeoutMillis;
    child.sendTimeoutMillis = this.sendTimeoutMillis;
    return child;
  }
}
