/**
 * One QUIC connection with the sockets on it. A client's ends by itself with its last socket, unless somebody keeps it; a
 * server's when the client ends it, or when its server is closing and the last socket is gone.
 *
 *     opening --handshake--> open --nobody needs it, or closing and settled--> closing --> ended
 *        |                     |                                                  |
 *        +---------------------+---- error, destroy(), peer ----------------------+
 */

import { randomInt } from "node:crypto";
import type { SocketAddress } from "node:net";
import { IdMap } from "../../base/id-map.js";
import {
  type CloseInfo,
  DETAIL_RESET_ACKED,
  type HandshakeInfo,
  STREAM_BIDI,
  type StreamKind,
  T_BLOCKED,
  T_CLOSED,
  type TransportHandler,
} from "../../port/transport.js";
import { addressText } from "../../runtime/address.js";
import { type Connection, ConnectionDetails } from "../../runtime/loop.js";
import { localOf, remoteOf } from "../address.js";
import { writeKeylogFile } from "../environment.js";
import { closeError, invalidState, streamAborted } from "../errors.js";
import { Deferred } from "../deferred.js";
import { Channel } from "./channel.js";
import { CODE_REFUSED } from "./errors.js";
import type { Port } from "./port.js";

/** Peers choose the ids of their streams. */
const STREAM_SECRET = randomInt(2 ** 30);

/** The face of a link: told what concerns the connection as a whole. */
export interface LinkUser {
  onOpened(): void;
  /** A stream of the peer; false: nobody takes it. */
  onChannel(channel: Channel): boolean;
  onTicket(ticket: Uint8Array): void;
  onDatagram(bytes: Uint8Array): void;
  onEnd(error: unknown): void;
}

/** Called once: with a stream, or with why there is none. */
export type OpenDone = (error: unknown, channel: Channel | null) => void;

export class Link implements TransportHandler {
  readonly details: ConnectionDetails;
  readonly opened = new Deferred<void>();
  readonly closed = new Deferred<void>();
  user: LinkUser | null = null;
  info: HandshakeInfo | null = null;
  ended = false;
  /** Why, for its sockets; null for code 0. */
  endedBy: unknown = null;
  /** It stays without sockets. */
  kept = false;
  /** No new sockets; it ends with the last one. */
  closing = false;
  /** Latest session ticket, client only. */
  ticket: Uint8Array | null = null;
  private readonly channels = new IdMap<Channel>(STREAM_SECRET);
  /** Sockets that want to be on it and have no stream yet. */
  private readonly waiting: OpenDone[] = [];
  private closeSent = false;

  constructor(
    readonly port: Port,
    readonly transport: Connection,
    private readonly release: () => void,
  ) {
    this.details = new ConnectionDetails(transport);
    this.details.watch(DETAIL_RESET_ACKED);
    transport.owner = this;
  }

  get isServer(): boolean {
    return this.transport.isServer;
  }

  get remote(): SocketAddress {
    return remoteOf(this.transport.path.addr);
  }

  get local(): SocketAddress {
    const { addr, socket } = this.transport.path;
    return localOf(addr, this.port.addressOf(socket));
  }

  /** New sockets may be put on it. */
  get isUsable(): boolean {
    return !this.ended && !this.closing && !this.closeSent;
  }

  get socketCount(): number {
    let count = 0;
    for (const { user } of this.channels.values()) if (user !== null) count++;
    return count;
  }

  // --- sockets ---------------------------------------------------------------------------------------------------------

  /**
   * Asks for the stream of a new socket: it comes when the handshake is complete and the peer allows one more, maybe at
   * once. The returned function takes the request back.
   */
  open(done: OpenDone): () => void {
    this.waiting.push(done);
    if (this.info !== null || this.ended) this.serveWaiting();
    return () => {
      const at = this.waiting.indexOf(done);
      if (at < 0) return;
      this.waiting.splice(at, 1);
      this.settle();
    };
  }

  /** Lets sockets finish, takes no new ones, then ends. */
  close(): Promise<void> {
    this.kept = false;
    this.closing = true;
    this.settle();
    return this.closed.promise;
  }

  /** Ends at once; sockets get `error`, or ECONNRESET without one. */
  destroy(error: unknown, code = 0n): void {
    if (this.ended) return;
    this.closeSent = true;
    this.transport.close("application", code, "");
    this.finish(error ?? null, error ?? streamAborted("the session was destroyed"));
  }

  /** After anything that may leave the link without use. */
  settle(): void {
    if (this.ended || this.closeSent || this.kept || this.waiting.length > 0) return;
    if (this.isServer && !this.closing) return;
    for (const channel of this.channels.values()) if (!channel.isSettled) return;
    this.closeSent = true;
    this.transport.close("application", 0n, "");
  }

  // --- the engine ------------------------------------------------------------------------------------------------------

  onHandshake(info: HandshakeInfo): void {
    if (this.ended) return;
    this.info = info;
    this.opened.resolve();
    this.user?.onOpened();
    this.serveWaiting();
    this.settle();
  }

  onHandshakeConfirmed(): void {
    this.port.onConfirmed(this.transport);
  }

  onStream(id: number): void {
    const channel = this.ended ? null : this.add(id);
    if (channel !== null && !this.closing && this.user?.onChannel(channel) === true) return;
    if (channel === null) return;
    channel.letGo(CODE_REFUSED);
  }

  onReadable(id: number): void {
    this.channels.get(id)?.recv.onReadable();
  }

  onWritable(id: number): void {
    this.channels.get(id)?.send.onWritable();
  }

  onReset(id: number, code: bigint): void {
    this.channels.get(id)?.onReset(code);
  }

  onStopSending(id: number, code: bigint): void {
    this.channels.get(id)?.onStopSending(code);
  }

  onSendDone(id: number): void {
    this.channels.get(id)?.onSendDone();
  }

  onStreamClosed(id: number): void {
    const channel = this.channels.get(id);
    if (channel === undefined) return;
    this.channels.delete(id);
    channel.onClosed();
    this.settle();
  }

  onStreamsAvailable(kind: StreamKind): void {
    if (kind === STREAM_BIDI) this.serveWaiting();
  }

  onTicket(bytes: Uint8Array): void {
    this.ticket = bytes;
    this.user?.onTicket(bytes);
  }

  onNewToken(): void {}

  onDatagram(bytes: Uint8Array): void {
    this.user?.onDatagram(bytes);
  }

  onDatagramFate(): void {}

  onPathValidation(): void {}

  onKeylog(line: string): void {
    writeKeylogFile(line);
  }

  onDetail(_detail: number, id: number): void {
    this.channels.get(id)?.onResetAcked();
  }

  onClosed(info: CloseInfo): void {
    const { address, port } = this.remote;
    this.finish(closeError(info, addressText(address, port)));
  }

  /** The UDP socket broke. */
  onPortGone(error: unknown): void {
    this.finish(error);
  }

  private add(id: number): Channel {
    const channel = new Channel(this, id, this.port.newHold());
    this.channels.set(id, channel);
    return channel;
  }

  private serveWaiting(): void {
    while (this.waiting.length > 0) {
      const id = this.isUsable ? this.transport.open(STREAM_BIDI) : T_CLOSED;
      if (id === T_BLOCKED) return;
      const done = this.waiting.shift() as OpenDone;
      if (id >= 0) done(null, this.add(id));
      else done(invalidState("the session is closed or closing"), null);
    }
  }

  /** `why`: what sockets are told. */
  private finish(error: unknown, why = error): void {
    if (this.ended) return;
    this.ended = true;
    this.endedBy = why;
    const reason = error ?? invalidState("the session is closed");
    this.opened.reject(reason);
    for (const done of this.waiting.splice(0)) done(reason, null);
    for (const channel of this.channels.values()) channel.onLinkEnd(why);
    this.channels.clear();
    this.user?.onEnd(error);
    if (error === null) this.closed.resolve();
    else this.closed.reject(error);
    this.release();
    this.port.onLinkGone(this);
  }
}
