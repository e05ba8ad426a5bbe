/**
 * A bidirectional stream as a socket: what programs know of net.Socket and tls.TLSSocket, over QUIC. The peer's end is FIN,
 * `end()` is ours, `destroy(error)` is RESET_STREAM and STOP_SENDING. Invariant: bytes whose write was called back are
 * delivered, also after `destroy()` without an error; a stream that lost bytes never ends as if it had not.
 */

import type { SocketAddress } from "node:net";
import { Duplex } from "node:stream";
import type { PeerCertificate } from "node:tls";
import type { X509Certificate } from "node:crypto";
import { invalidState, invalidType, QuicError } from "../errors.js";
import type { Channel, ChannelUser } from "./channel.js";
import { type ConnectArguments, normalizeConnect } from "./connect-arguments.js";
import { CODE_ABORTED, endError, netError, type Where } from "./errors.js";
import { IdleTimer } from "./idle-timer.js";
import type { Link } from "./link.js";
import { type ClientSetup, type ConnectOptions, readSessionOptions } from "./options.js";
import { ReadSlab } from "./read-slab.js";
import { dial, linkOf, NetSession, sessionOf } from "./session.js";
import { sockets } from "./sockets.js";
import { type CipherInfo, cipherOf, isAuthorized, peerCertificateOf, peerX509 } from "./tls-info.js";

type Callback = (error?: Error | null) => void;

const HIGH_WATER_BYTES = 64 * 1024;
/** Largest chunk of `data`. */
const READ_BYTES = 256 * 1024;
/** The longest that a timer of Node waits: more would be no time at all. */
const MAX_TIMER_MILLIS = 2 ** 31 - 1;

/** A stream of a QUIC connection with the methods, properties and events of `net.Socket` and `tls.TLSSocket`. */
export class QuicSocket extends Duplex {
  /** As of tls.TLSSocket. */
  readonly encrypted = true;
  connecting = false;
  /** Milliseconds of `setTimeout`; 0 = none. */
  timeout = 0;
  readonly #options: ConnectOptions;
  #link: Link | null = null;
  #channel: Channel | null = null;
  /** Takes back what `connect` waits for. */
  #cancel: (() => void) | null = null;
  #started = false;
  #isRefed = true;
  #resets = false;
  #bytesCompleted = 0;
  #idle: IdleTimer | null = null;
  readonly #slab = new ReadSlab();
  readonly #onReadable = (): void => this._read();
  /** For messages, from the moment that it is known. */
  #target: Where | undefined;
  #lastLocal: SocketAddress | null = null;
  #lastRemote: SocketAddress | null = null;

  static {
    sockets.of = (channel, options) => {
      const socket = new QuicSocket(options);
      socket.#started = true;
      socket.#attach(channel);
      return socket;
    };
    sockets.connectOn = (link, onConnect) => {
      const socket = new QuicSocket();
      socket.#begin(onConnect);
      socket.#openOn(link);
      return socket;
    };
  }

  /** Not connected yet: `connect` does that, with these options and its own. */
  constructor(options: ConnectOptions = {}) {
    const highWaterMark = options.highWaterMark ?? HIGH_WATER_BYTES;
    const marks = { readableHighWaterMark: highWaterMark, writableHighWaterMark: highWaterMark };
    const { signal } = options;
    super({
      allowHalfOpen: options.allowHalfOpen ?? false,
      emitClose: false, // with an argument, as net.Socket does
      ...marks,
      ...(signal !== undefined && { signal }),
    });
    this.#options = options;
  }

  // --- connecting ------------------------------------------------------------------------------------------------------

  /**
   * As net.Socket: `(options, onConnect)` or `(port, host, onConnect)`; options here win over the constructor's. Errors come
   * as `error` events. @throws for options of the wrong kind, and when it was called before
   */
  connect(...args: ConnectArguments): this {
    const { options, onConnect } = normalizeConnect(args);
    const all: ConnectOptions = { ...this.#options, ...options };
    if (this.#started || this.destroyed) throw invalidState("the socket was connected before: make a new one");
    const { session, timeout } = all;
    if (session instanceof NetSession) {
      this.#begin(onConnect);
      this.#openOn(linkOf(session));
    } else {
      const setup = readSessionOptions(all);
      this.#begin(onConnect);
      void this.#dial(setup);
    }
    if (timeout !== undefined && timeout > 0) this.setTimeout(timeout);
    return this;
  }

  #begin(onConnect: (() => void) | undefined): void {
    this.#started = true;
    this.connecting = true;
    if (onConnect !== undefined) this.once("connect", onConnect);
  }

  async #dial(setup: ClientSetup): Promise<void> {
    const { host: address, port } = setup;
    this.#target = { address, port };
    try {
      const check = (): void => {
        if (this.destroyed) throw invalidState("the socket was destroyed");
      };
      const link = await dial(setup, check, (error, found, family, host) => {
        this.emit("lookup", error, found, family, host);
        if (error === null) this.#target = { address: found, port };
      });
      if (this.destroyed) link.settle();
      else this.#openOn(link);
    } catch (error) {
      this.destroy(error as Error);
    }
  }

  #openOn(link: Link): void {
    this.#link = link;
    const { address, port } = link.remote;
    this.#target = { address, port };
    const hold = link.port.newHold();
    hold.set(this.#isRefed);
    const cancel = link.open((error, channel) => {
      this.#cancel = null;
      hold.set(false);
      if (channel !== null) this.#onOpened(channel);
      else this.destroy(endError(error, "connect", this.#target));
    });
    if (!this.connecting || this.destroyed) return;
    this.#cancel = () => {
      hold.set(false);
      cancel();
    };
  }

  /** Its stream is there, maybe while `connect` still runs: who called that gets to add its listeners first. */
  #onOpened(channel: Channel): void {
    this.#attach(channel);
    process.nextTick(() => {
      if (this.destroyed) return;
      this.connecting = false;
      this.emit("connect");
      this.emit("ready");
      this.emit("secureConnect");
      if (this.destroyed) return;
      channel.announce();
      this.read(0); // an end or an error is noticed without a reader
    });
  }

  #attach(channel: Channel): void {
    const user: ChannelUser = {
      onPeerReset: (error) => this.destroy(endError(error, "read")),
      onPeerStop: (error) => this.#onPeerStop(error),
      onLinkEnd: (error) => this.#onLinkEnd(error),
    };
    this.#link = channel.link;
    this.#channel = channel;
    channel.user = user;
    channel.hold.set(this.#isRefed);
    if (!this.connecting) this.read(0);
  }

  // --- the stream ------------------------------------------------------------------------------------------------------

  override _read(): void {
    const recv = this.#channel?.recv;
    if (recv === undefined || this.connecting) {
      this.once("connect", () => this._read());
      return;
    }
    for (;;) {
      const chunk = recv.take(READ_BYTES, this.#slab.next());
      if (chunk === null) break;
      this.#slab.onRead(chunk.length);
      this.#idle?.touch();
      if (!this.push(chunk) && !recv.isOver) return;
    }
    if (recv.ended) this.push(null);
    else if (recv.error !== null) this.destroy(endError(this.#endOf(recv.error), "read"));
    else recv.wait(this.#onReadable, READ_BYTES, this.#slab.next());
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, callback: Callback): void {
    if (this.connecting) {
      this.once("connect", () => this._write(chunk, _encoding, callback));
      return;
    }
    this.#push([chunk], callback);
  }

  override _writev(chunks: { chunk: Buffer; encoding: BufferEncoding }[], callback: Callback): void {
    if (this.connecting) {
      this.once("connect", () => this._writev(chunks, callback));
      return;
    }
    this.#push(
      chunks.map(({ chunk }) => chunk),
      callback,
    );
  }

  override _final(callback: Callback): void {
    if (this.connecting) {
      this.once("connect", () => this._final(callback));
      return;
    }
    const send = this.#channel?.send;
    // a peer that reads no more has no use for an end, and to close is no error
    if (send?.isOpen === true) send.end(null);
    process.nextTick(callback); // `finish` is never within `end`
  }

  override _destroy(error: Error | null, callback: Callback): void {
    this.connecting = false;
    this.#idle?.stop();
    this.#cancel?.();
    this.#cancel = null;
    const channel = this.#channel;
    if (channel !== null) {
      this.#rememberAddresses(channel.link);
      const { send } = channel;
      // an end that is only not written yet is no less an end
      if (this.writableEnded && this.writableLength === 0 && !this.#resets && send.isOpen) send.end(null);
      const isCut = this.#resets || (!send.finTaken && (error !== null || this.writableLength > 0));
      const code = error === null ? CODE_ABORTED : codeOf(error);
      channel.letGo(isCut ? code : null);
    }
    callback(error);
    if (this.#started)
      setImmediate(() => this.emit("close", error !== null)); // net.Socket's handle takes as long
    else process.nextTick(() => this.emit("close"));
  }

  #push(chunks: Buffer[], callback: Callback): void {
    const send = this.#channel?.send;
    if (send === undefined) {
      callback(socketClosed());
      return;
    }
    const last = chunks.length - 1;
    chunks.forEach((chunk, at) => {
      send.write(chunk, false, (error) => {
        this.#idle?.touch();
        if (error === null) this.#bytesCompleted += chunk.length;
        if (at === last) callback(error === null ? null : this.#writeError(error));
      });
    });
  }

  #writeError(error: unknown): Error {
    if (this.#channel?.link.ended === true) return endError(this.#endOf(error), "write");
    return netError("EPIPE", "write", error);
  }

  /** What ended the connection, in place of what its streams were told: null = it was closed in good order. */
  #endOf(error: unknown): unknown {
    const link = this.#channel?.link;
    return link?.ended === true ? link.endedBy : error;
  }

  /** The peer reads no more. That is an error for who still writes, and for who gets a code with it. */
  #onPeerStop(error: QuicError): void {
    if (error.errorCode !== 0n) this.destroy(netError("ECONNRESET", "write", error));
  }

  #onLinkEnd(error: unknown): void {
    const recv = this.#channel?.recv;
    // what had arrived is read first; the reader meets the error behind it
    if (recv !== undefined && recv.readableBytes > 0) return;
    this.destroy(endError(error, "read"));
  }

  // --- net.Socket ------------------------------------------------------------------------------------------------------

  get pending(): boolean {
    return this.#channel === null || this.connecting || this.destroyed;
  }

  get readyState(): "opening" | "open" | "readOnly" | "writeOnly" | "closed" {
    if (this.connecting) return "opening";
    if (this.readable && this.writable) return "open";
    if (this.readable) return "readOnly";
    return this.writable ? "writeOnly" : "closed";
  }

  get bytesRead(): number {
    return this.#channel?.recv.bytesRead ?? 0;
  }

  /** What waits to be sent is counted. */
  get bytesWritten(): number {
    return this.destroyed ? this.#bytesCompleted : this.#bytesCompleted + this.writableLength;
  }

  get bufferSize(): number {
    return this.writableLength;
  }

  get remoteAddress(): string | undefined {
    return this.#remote?.address;
  }

  get remotePort(): number | undefined {
    return this.#remote?.port;
  }

  get remoteFamily(): string | undefined {
    return familyName(this.#remote);
  }

  get localAddress(): string | undefined {
    return this.#local?.address;
  }

  get localPort(): number | undefined {
    return this.#local?.port;
  }

  get localFamily(): string | undefined {
    return familyName(this.#local);
  }

  /** Where this end is bound; an empty object before that is known. */
  address(): { address?: string; port?: number; family?: string } {
    const local = this.#local;
    return local === null ? {} : { address: local.address, port: local.port, family: familyName(local) ?? "" };
  }

  /** Emits `timeout` after so many milliseconds without traffic, 0 = never. The socket stays open. */
  setTimeout(millis: number, onTimeout?: () => void): this {
    if (this.destroyed) return this;
    if (!Number.isFinite(millis) || millis < 0) throw invalidType("msecs", "a finite number from 0", millis);
    if (onTimeout !== undefined && typeof onTimeout !== "function") {
      throw invalidType("callback", "a function", onTimeout);
    }
    this.timeout = Math.min(millis, MAX_TIMER_MILLIS);
    this.#idle?.stop();
    const sentBytes = (): number => this.#channel?.send.bytesWritten ?? 0;
    this.#idle = millis === 0 ? null : new IdleTimer(this.timeout, sentBytes, () => this.emit("timeout"));
    if (onTimeout === undefined) return this;
    if (millis === 0) this.removeListener("timeout", onTimeout);
    else this.once("timeout", onTimeout);
    return this;
  }

  /** Does nothing: QUIC has no delay of that kind. */
  setNoDelay(_noDelay?: boolean): this {
    return this;
  }

  /** Does nothing: the connection keeps itself alive (option `quic.keepAlive`). */
  setKeepAlive(_enable?: boolean, _initialDelay?: number): this {
    return this;
  }

  ref(): this {
    return this.#setRef(true);
  }

  unref(): this {
    return this.#setRef(false);
  }

  /** Ends, and is destroyed when all of it was handed over. */
  destroySoon(): void {
    if (this.writable) this.end();
    if (this.writableFinished) this.destroy();
    else this.once("finish", () => this.destroy());
  }

  /** Destroys it so that the peer sees ECONNRESET, whatever was written. */
  resetAndDestroy(): this {
    this.#resets = true;
    if (this.#started) return this.destroy();
    return this.destroy(socketClosed());
  }

  // --- tls.TLSSocket ---------------------------------------------------------------------------------------------------

  /** The peer's certificate is good; always so at a client, unless `rejectUnauthorized` is false. */
  get authorized(): boolean {
    return isAuthorized(this.#link?.info ?? null, this.#link?.isServer ?? false);
  }

  /** Why it is not, as the code of node:tls; null when it is. */
  get authorizationError(): string | null {
    return this.#link?.info?.verifyError || null;
  }

  /** Null before the handshake. */
  get alpnProtocol(): string | null {
    return this.#link?.info?.alpn ?? null;
  }

  get servername(): string | null {
    return this.#link?.info?.serverName ?? null;
  }

  getProtocol(): "TLSv1.3" | null {
    return (this.#link?.info ?? null) === null ? null : "TLSv1.3";
  }

  getCipher(): CipherInfo | undefined {
    const info = this.#link?.info ?? null;
    return info === null ? undefined : cipherOf(info);
  }

  getPeerCertificate(detailed = false): PeerCertificate | object {
    return peerCertificateOf(this.#link?.info ?? null, detailed);
  }

  getPeerX509Certificate(): X509Certificate | undefined {
    return peerX509(this.#link?.info ?? null);
  }

  /** The latest ticket, for the option `session` of a later connect; undefined before one came. */
  getSession(): Buffer | undefined {
    const ticket = this.#link?.ticket ?? null;
    return ticket === null ? undefined : Buffer.from(ticket);
  }

  isSessionReused(): boolean {
    return this.#link?.info?.resumed ?? false;
  }

  /** The connection that it is on, for more sockets; null while that is not known. */
  get session(): NetSession | null {
    return this.#link === null ? null : sessionOf(this.#link);
  }

  // --- inside ------------------------------------------------------------------------------------------------------------

  get #remote(): SocketAddress | null {
    const link = this.#channel?.link;
    return link === undefined || this.destroyed ? this.#lastRemote : link.remote;
  }

  get #local(): SocketAddress | null {
    const link = this.#channel?.link;
    return link === undefined || this.destroyed ? this.#lastLocal : link.local;
  }

  #rememberAddresses(link: Link): void {
    this.#lastRemote = link.remote;
    this.#lastLocal = link.local;
  }

  #setRef(isRefed: boolean): this {
    this.#isRefed = isRefed;
    if (!this.destroyed) this.#channel?.hold.set(isRefed);
    return this;
  }
}

function socketClosed(): Error {
  return Object.assign(new Error("Socket is closed"), { code: "ERR_SOCKET_CLOSED" });
}

/** What goes on the wire for an error that a program destroys a socket with. */
function codeOf(error: Error): bigint {
  return error instanceof QuicError && error.errorCode !== 0n ? error.errorCode : CODE_ABORTED;
}

function familyName(address: SocketAddress | null): string | undefined {
  if (address === null) return undefined;
  return address.family === "ipv6" ? "IPv6" : "IPv4";
}
