/**
 * SOCK_SEQPACKET Unix sockets on the addon (addon/unix_batch.cc): whole messages in order, descriptors beside them, and the
 * kernel's word for who the other side is.
 *
 * Invariant: what a socket has no room for waits here, at most `maxQueuedBytes`; a peer that leaves more than that unread is
 * given up, so that it costs nobody else anything.
 */

import { Fifo } from "../../base/fifo.js";
import { MAX_UNIX_QUEUED_FDS, UNIX_ACCEPT_REST_MILLIS } from "../../proto/limits.js";
import { systemError } from "../system-error.js";
import { loadAddon } from "./addon.js";

/** What addon/unix_batch.cc and addon/udp_member.cc export of it. */
interface UnixAddon {
  unixListen(path: string, onEvent: (event: number) => void): number;
  unixConnect(path: string, onEvent: (event: number) => void): number;
  unixAccept(handle: number, onEvent: (event: number) => void): number;
  unixPeer(handle: number, peer: Int32Array): number;
  unixSend(handle: number, bytes: Uint8Array, fds: Int32Array): number;
  unixRecv(handle: number, bytes: Uint8Array, fds: Int32Array): number;
  unixWatch(handle: number, events: number): number;
  unixKeepAlive(handle: number, keep: boolean): void;
  unixClose(handle: number): void;
  fdDup(fd: number): number;
  fdClose(fd: number): void;
}

const EVENT_READABLE = 1;
const EVENT_WRITABLE = 2;
const EAGAIN = 11;
const EMSGSIZE = 90;
/** ENOMEM, ENFILE, EMFILE, ENOBUFS: it is this side that cannot, and who waits to be accepted goes on waiting. */
const SHORTAGES: readonly number[] = [12, 23, 24, 105];
const NO_FDS = new Int32Array(0);
/** Descriptors that one message may bring: the kernel's own limit. */
export const MAX_MESSAGE_FDS = 253;
/** Messages read before the event loop has its turn. */
const MESSAGES_PER_TURN = 32;

/** The other side, as the kernel knows it since it connected. */
export interface UnixPeer {
  readonly pid: number;
  readonly uid: number;
  readonly gid: number;
}

export interface UnixHandler {
  /** A message; `bytes` is valid inside the call, the descriptors are the handler's from now on. */
  onMessage(bytes: Uint8Array, fds: readonly number[]): void;
  /** The other side is gone, was given up, or broke the rules (`error`). The socket is closed; nothing follows. */
  onClosed(error: Error | null): void;
}

interface Waiting {
  readonly bytes: Uint8Array;
  readonly fds: Int32Array;
}

export interface UnixSocketLimits {
  /** Largest message, bytes. */
  maxMessageBytes: number;
  /** What may wait for the other side, bytes. */
  maxQueuedBytes: number;
}

/**
 * Listens at `path`, which is its owner's alone (mode 0600). While the process may have no more descriptors, clients wait in
 * the kernel, and it looks for them from time to time only. @throws the system's error; a path of > 107 bytes is ENAMETOOLONG.
 */
export class UnixListener {
  private readonly addon = loadAddon<UnixAddon>();
  private handle: number;
  private restTimer: NodeJS.Timeout | null = null;
  /** It was told, and not all who wait were accepted since. */
  private isShort = false;

  constructor(
    path: string,
    private readonly limits: UnixSocketLimits,
    private readonly onSocket: (socket: UnixSocket) => void,
    /** Once for each time in which nobody can be accepted. */
    private readonly onShortage: (error: Error) => void = () => {},
  ) {
    this.handle = checked(
      this.addon.unixListen(path, () => this.acceptAll()),
      "bind",
      path,
    );
  }

  close(): void {
    if (this.handle >= 0) this.addon.unixClose(this.handle);
    this.handle = -1;
    if (this.restTimer !== null) clearTimeout(this.restTimer);
  }

  private acceptAll(): void {
    while (this.handle >= 0) {
      let result = 0;
      const socket = new UnixSocket(this.limits, (onEvent) => (result = this.addon.unixAccept(this.handle, onEvent)));
      if (!socket.isOpen) {
        if (SHORTAGES.includes(-result)) this.rest(systemError(-result, "accept"));
        else this.isShort = false;
        return;
      }
      this.onSocket(socket);
    }
  }

  /** The kernel would go on saying that somebody waits. */
  private rest(error: Error): void {
    this.addon.unixWatch(this.handle, 0);
    this.restTimer = setTimeout(() => {
      this.restTimer = null;
      this.addon.unixWatch(this.handle, EVENT_READABLE);
    }, UNIX_ACCEPT_REST_MILLIS);
    if (this.isShort) return;
    this.isShort = true;
    this.onShortage(error);
  }
}

/** Connects at once: a Unix socket knows no waiting. @throws the system's error (ENOENT, ECONNREFUSED, EACCES, EAGAIN). */
export function connectUnix(path: string, limits: UnixSocketLimits): UnixSocket {
  let result = 0;
  const socket = new UnixSocket(limits, (onEvent) => (result = loadAddon<UnixAddon>().unixConnect(path, onEvent)));
  checked(result, "connect", path);
  return socket;
}

/** How often descriptors wait in queues, and which of them shall be closed when they have left. */
const waitingFds = new Map<number, number>();
const closedWhileWaiting = new Set<number>();

/** Closes a descriptor that came with a message, or was sent; its number is not free while it waits to be sent. */
export function closeFd(fd: number): void {
  if (waitingFds.has(fd)) closedWhileWaiting.add(fd);
  else loadAddon<UnixAddon>().fdClose(fd);
}

/** Another number of the same descriptor, which `closeFd` ends. @throws the system's error. */
export function duplicateFd(fd: number): number {
  return checked(loadAddon<UnixAddon>().fdDup(fd), "fcntl", "");
}

function holdFds(fds: Int32Array): void {
  for (const fd of fds) waitingFds.set(fd, (waitingFds.get(fd) ?? 0) + 1);
}

function releaseFds(fds: Int32Array): void {
  for (const fd of fds) {
    const others = (waitingFds.get(fd) ?? 1) - 1;
    if (others > 0) waitingFds.set(fd, others);
    else waitingFds.delete(fd);
    if (others === 0 && closedWhileWaiting.delete(fd)) closeFd(fd);
  }
}

export class UnixSocket {
  private readonly addon = loadAddon<UnixAddon>();
  /** Null: nobody reads yet, and messages wait in the kernel. */
  private handler: UnixHandler | null = null;
  /** Negative once closed. */
  private handle: number;
  /** What waits: `first`, taken out of the queue already, and then the queue. */
  private first: Waiting | null = null;
  private readonly queue = new Fifo<Waiting>();
  private queued = 0;
  private queuedFds = 0;
  /** Messages that the kernel took: whether the other side reads shows in it. */
  sentCount = 0;
  private readonly buf: Uint8Array;
  private readonly fds = new Int32Array(1 + MAX_MESSAGE_FDS);

  /** `open` gives a handle of the addon, or a negative errno. */
  constructor(
    private readonly limits: UnixSocketLimits,
    open: (onEvent: (event: number) => void) => number,
  ) {
    this.buf = new Uint8Array(limits.maxMessageBytes);
    this.handle = open((event) => this.onEvent(event));
  }

  get isOpen(): boolean {
    return this.handle >= 0;
  }

  /** Bytes that wait for the other side. */
  get queuedBytes(): number {
    return this.queued;
  }

  /** @throws the system's error. */
  get peer(): UnixPeer {
    const row = new Int32Array(3);
    checked(this.addon.unixPeer(this.handle, row), "getsockopt", "");
    return { pid: row[0] as number, uid: row[1] as number, gid: row[2] as number };
  }

  /** From now on messages are handed out, each in a call of its own. */
  start(handler: UnixHandler): void {
    this.handler = handler;
  }

  /**
   * Sends one message, now or when there is room; descriptors stay the caller's, who ends them by `closeFd`. False when the
   * socket is closed, or when too much waits already: then it is closed, and `onClosed` follows.
   */
  send(bytes: Uint8Array, fds: readonly number[] = []): boolean {
    if (this.handle < 0) return false;
    const list = fds.length === 0 ? NO_FDS : Int32Array.from(fds);
    if (this.queued === 0) {
      const result = this.addon.unixSend(this.handle, bytes, list);
      if (result === 0) {
        this.sentCount++;
        return true;
      }
      if (result !== -EAGAIN) return this.giveUp(systemError(-result, "sendmsg"));
      this.addon.unixWatch(this.handle, EVENT_READABLE | EVENT_WRITABLE);
    }
    const isFull = this.queued + bytes.length > this.limits.maxQueuedBytes;
    if (isFull || this.queuedFds + list.length > MAX_UNIX_QUEUED_FDS) {
      return this.giveUp(new Error("the other side does not read what it is sent"));
    }
    this.queue.push({ bytes: bytes.slice(), fds: list });
    this.queued += bytes.length;
    this.queuedFds += list.length;
    holdFds(list);
    return true;
  }

  ref(): void {
    if (this.handle >= 0) this.addon.unixKeepAlive(this.handle, true);
  }

  unref(): void {
    if (this.handle >= 0) this.addon.unixKeepAlive(this.handle, false);
  }

  /** Nothing is told after it. Idempotent. */
  close(): void {
    if (this.handle < 0) return;
    this.addon.unixClose(this.handle);
    this.handle = -1;
    for (let next = this.first ?? this.queue.take(); next !== null; next = this.queue.take()) releaseFds(next.fds);
    this.first = null;
    this.queue.clear();
    this.queued = this.queuedFds = 0;
  }

  private onEvent(event: number): void {
    if (event === EVENT_WRITABLE) this.flush();
    else this.receive();
  }

  private receive(): void {
    for (let i = 0; i < MESSAGES_PER_TURN && this.handle >= 0 && this.handler !== null; i++) {
      const size = this.addon.unixRecv(this.handle, this.buf, this.fds);
      if (size === -EAGAIN) return;
      if (size <= 0) {
        const error = size === 0 ? null : size === -EMSGSIZE ? tooLarge() : systemError(-size, "recvmsg");
        this.end(error);
        return;
      }
      const fds = Array.from(this.fds.subarray(1, 1 + (this.fds[0] as number)));
      this.handler.onMessage(this.buf.subarray(0, size), fds);
    }
  }

  private flush(): void {
    for (; this.handle >= 0; this.first = null) {
      const next = (this.first ??= this.queue.take());
      if (next === null) break;
      const result = this.addon.unixSend(this.handle, next.bytes, next.fds);
      if (result === -EAGAIN) return;
      if (result !== 0) {
        this.end(systemError(-result, "sendmsg"));
        return;
      }
      this.sentCount++;
      this.queued -= next.bytes.length;
      this.queuedFds -= next.fds.length;
      releaseFds(next.fds);
    }
    if (this.handle >= 0) this.addon.unixWatch(this.handle, EVENT_READABLE);
  }

  /** The handler hears of it when its own call is over. */
  private giveUp(error: Error): false {
    this.close();
    queueMicrotask(() => this.handler?.onClosed(error));
    return false;
  }

  private end(error: Error | null): void {
    this.close();
    this.handler?.onClosed(error);
  }
}

function tooLarge(): Error {
  return systemError(EMSGSIZE, "recvmsg");
}

function checked(result: number, syscall: string, path: string): number {
  if (result < 0) throw systemError(-result, syscall, path === "" ? "" : ` ${path}`);
  return result;
}
