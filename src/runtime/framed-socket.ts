/**
 * Messages over Unix stream sockets: each is its length as a 32-bit number in network order, then so many bytes. Both
 * directions are bounded: a message that is too long, and an other end that does not read, end the connection.
 *
 * Invariant: frames are handed over whole and in order, none after the end, and `onEnd` comes exactly once.
 */

import { chmodSync, lstatSync, unlinkSync } from "node:fs";
import { connect, createServer, type Server, type Socket } from "node:net";
import { constants } from "node:os";
import { u32At } from "../base/bytes.js";
import { systemError } from "./system-error.js";

const { EADDRINUSE, ECONNRESET, EMSGSIZE, ENAMETOOLONG, ENOBUFS } = constants.errno;
const HEADER_BYTES = 4;
/** `sun_path` of Linux without its final zero. Node cuts longer ones. */
export const MAX_PATH_BYTES = 107;
const NO_BYTES = new Uint8Array(0);

export interface FramedLimits {
  /** Longest message, either way, bytes. */
  maxFrameBytes: number;
  /** What may wait until the other end reads, bytes. */
  maxQueuedBytes: number;
}

export interface FramedHandler {
  /** The bytes are the handler's own. */
  onFrame(frame: Uint8Array): void;
  /** Null: the other end, or `end`, ended it between two messages; else a system error, whose `code` says why. */
  onEnd(error: Error | null): void;
  /** What was sent has left; only where the owner sends piece by piece. */
  onDrain?(): void;
}

export class FramedSocket {
  private header = NO_BYTES;
  /** The message that arrives, null between two of them. */
  private frame: Uint8Array | null = null;
  /** Bytes that are there of it. */
  private filled = 0;
  private ended = false;
  private failure: Error | null = null;
  private finishing = false;
  private paused = false;
  /** What had arrived when it was paused. */
  private rest: Uint8Array = NO_BYTES;

  constructor(
    private readonly socket: Socket,
    private readonly limits: FramedLimits,
    private readonly handler: FramedHandler,
  ) {
    socket.on("data", (chunk: Buffer) => this.receive(chunk));
    socket.on("drain", () => handler.onDrain?.());
    socket.on("error", (error) => this.fail(error));
    socket.on("close", () => this.onClosed());
  }

  /** Bytes that wait until the other end reads. */
  get queuedBytes(): number {
    return this.socket.writableLength;
  }

  /**
   * Sends one message; the bytes are the socket's until it has left. False when there is no connection any more. One that
   * is too long, or finds no place in the queue, ends it: EMSGSIZE, ENOBUFS.
   */
  send(frame: Uint8Array): boolean {
    const { socket, limits } = this;
    if (this.finishing || this.socket.destroyed) return false;
    if (frame.length > limits.maxFrameBytes) return this.fail(systemError(EMSGSIZE, "send"));
    if (this.queuedBytes + HEADER_BYTES + frame.length > limits.maxQueuedBytes) {
      return this.fail(systemError(ENOBUFS, "send"));
    }
    const header = new Uint8Array(HEADER_BYTES);
    new DataView(header.buffer).setUint32(0, frame.length);
    socket.cork();
    socket.write(header);
    socket.write(frame);
    socket.uncork();
    return true;
  }

  /** Hands over no more until `resume`, not even what has arrived; if the connection ends before, that is dropped. */
  pause(): void {
    this.paused = true;
    this.socket.pause();
  }

  resume(): void {
    if (!this.paused) return;
    this.paused = false;
    const { rest } = this;
    this.rest = NO_BYTES;
    this.receive(rest);
    if (!this.paused) this.socket.resume();
  }

  /** Ends the connection when what was sent has left; nothing more is heard. */
  end(): void {
    this.finishing = true;
    this.socket.destroySoon();
  }

  /** Ends the connection now. */
  destroy(): void {
    this.finishing = true;
    this.socket.destroy();
  }

  /** Whether the connection keeps the process alive. */
  ref(): void {
    this.socket.ref();
  }

  unref(): void {
    this.socket.unref();
  }

  private receive(chunk: Uint8Array): void {
    let at = 0;
    while (at < chunk.length && !this.paused && !this.finishing && !this.socket.destroyed) {
      at = this.frame === null ? this.takeHeader(chunk, at) : this.takeFrame(this.frame, chunk, at);
    }
    if (this.paused && at < chunk.length) this.rest = chunk.subarray(at);
  }

  private takeHeader(chunk: Uint8Array, at: number): number {
    const missing = HEADER_BYTES - this.header.length;
    const end = Math.min(chunk.length, at + missing);
    this.header = Buffer.concat([this.header, chunk.subarray(at, end)]);
    if (this.header.length < HEADER_BYTES) return end;
    const length = u32At(this.header, 0);
    this.header = NO_BYTES;
    if (length > this.limits.maxFrameBytes) {
      this.fail(systemError(EMSGSIZE, "receive", `: ${length} bytes`));
      return end;
    }
    this.frame = new Uint8Array(length);
    this.filled = 0;
    if (length === 0) this.takeFrame(this.frame, chunk, end);
    return end;
  }

  private takeFrame(frame: Uint8Array, chunk: Uint8Array, at: number): number {
    const end = Math.min(chunk.length, at + frame.length - this.filled);
    frame.set(chunk.subarray(at, end), this.filled);
    this.filled += end - at;
    if (this.filled === frame.length) {
      this.frame = null;
      this.handler.onFrame(frame);
    }
    return end;
  }

  private fail(error: Error): false {
    this.failure ??= error;
    this.socket.destroy();
    return false;
  }

  private onClosed(): void {
    if (this.ended) return;
    this.ended = true;
    const isCut = !this.finishing && (this.frame !== null || this.header.length > 0);
    this.handler.onEnd(this.failure ?? (isCut ? systemError(ECONNRESET, "receive", " in a message") : null));
  }
}

/** Connects to a Unix socket. What is sent before the connection stands waits; `onEnd` tells why it never stood. */
export function connectFramed(path: string, limits: FramedLimits, handler: FramedHandler): FramedSocket {
  checkFramedPath(path);
  return new FramedSocket(connect(path), limits, handler);
}

export interface FramedServer {
  readonly path: string;
  /** No new connections; the socket's name is gone. Those that are there go on. */
  close(): void;
  ref(): void;
  unref(): void;
}

export interface ListenFramedOptions {
  path: string;
  /** Of the socket, default 0o600: who may write to it may connect. */
  mode?: number;
  /** Connections at once; more are closed as they come. */
  maxConnections: number;
  /** Makes a FramedSocket of it, at once. */
  onConnection(socket: Socket): void;
  /** The listening socket failed. */
  onError(error: Error): void;
}

/**
 * Listens on a Unix socket. One that is left of a dead process is replaced. Rejects with EADDRINUSE when somebody
 * listens there or the path is no socket, and with ENAMETOOLONG.
 */
export async function listenFramed(options: ListenFramedOptions): Promise<FramedServer> {
  const { path, mode = 0o600 } = options;
  checkFramedPath(path);
  const server = createServer((socket) => options.onConnection(socket));
  server.maxConnections = options.maxConnections;
  if (isSocket(path)) {
    if (await isAnswered(path)) throw systemError(EADDRINUSE, "listen", ` ${path}`);
    unlinkSync(path);
  }
  await listenAt(server, path, mode);
  server.on("error", (error) => options.onError(error));
  return {
    path,
    close: () => server.close(), // Node removes the name
    ref: () => server.ref(),
    unref: () => server.unref(),
  };
}

/** Made with the mode that it shall have: nobody slips in before a chmod. */
function listenAt(server: Server, path: string, mode: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    const before = withUmask(0o777 & ~mode, () => {
      server.listen(path, () => {
        server.off("error", reject);
        resolve();
      });
    });
    if (!before) chmodSync(path, mode);
  });
}

/** False in a worker thread, which cannot change the mask. */
function withUmask(mask: number, work: () => void): boolean {
  let before: number | null = null;
  try {
    before = process.umask(mask);
  } catch {
    // a worker thread
  }
  try {
    work();
  } finally {
    if (before !== null) process.umask(before);
  }
  return before !== null;
}

function isSocket(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false })?.isSocket() ?? false;
}

/** Only a refusal says that nobody listens. */
export function isAnswered(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path, () => {
      socket.destroy();
      resolve(true);
    });
    socket.on("error", (error: NodeJS.ErrnoException) => resolve(error.code !== "ECONNREFUSED"));
  });
}

/** @throws Error ENAMETOOLONG for a path that no Unix socket can have. */
export function checkFramedPath(path: string): void {
  if (Buffer.byteLength(path) > MAX_PATH_BYTES) throw systemError(ENAMETOOLONG, "connect", ` ${path}`);
}
