/** QuicStream of `node:quic`: what users hold of one stream. Everything happens in its core. */

import type { FileHandle } from "node:fs/promises";
import type { Duplex } from "node:stream";
import { DEFAULT_URGENCY, URGENCIES } from "../../proto/limits.js";
import { ConnectionDetails } from "../../runtime/loop.js";
import { invalidState, invalidType, toCode } from "../errors.js";
import { sendBody, type StreamBody } from "./body.js";
import { watchAbort } from "../deferred.js";
import { makeDuplex, type ToDuplexOptions } from "./duplex.js";
import { faces } from "./faces.js";
import { OptionReader } from "../option-reader.js";
import { READ_CHUNK_BYTES, type RecvHalf } from "../recv-half.js";
import { sendFile, type SendFileOptions } from "./send-file.js";
import type { QuicSession } from "./session.js";
import { type StreamStats, streamStats } from "./stats.js";
import type { StreamCore } from "./stream-core.js";
import type { StreamCallbacks } from "./types.js";
import { StreamWriter } from "./writer.js";

export interface PriorityOptions {
  level?: "high" | "default" | "low";
  /** Shares with other streams of its level instead of going first; default false. */
  incremental?: boolean;
}

export interface ReadOptions {
  /** Bytes at most, default 64 KiB. */
  maxBytes?: number;
  /** Where the bytes go: the result is a view of it, no more than it holds. Default: a new array. */
  into?: Uint8Array;
  /** Ends the wait; nothing is lost by it. */
  signal?: AbortSignal;
}

const URGENCY = { high: 0, default: DEFAULT_URGENCY, low: URGENCIES - 1 } as const;
/** Chunks that one step of the iterator yields at most. */
const BATCH_CHUNKS = 4;

export class QuicStream {
  readonly #core: StreamCore;
  #writer: StreamWriter | null = null;
  /** What node:quic does not have. */
  readonly ext: QuicStreamExt;

  /** Streams come from sessions. */
  constructor(core: StreamCore) {
    this.#core = core;
    this.ext = new QuicStreamExt(core);
  }

  /** Null once destroyed. */
  get id(): bigint | null {
    return this.#core.destroyed ? null : BigInt(this.#core.id);
  }

  get direction(): "bidi" | "uni" | null {
    if (this.#core.destroyed) return null;
    return this.#core.isUni ? "uni" : "bidi";
  }

  /** Fulfilled: a stream is handed out when it is open. */
  get opened(): Promise<void> {
    return OPENED;
  }

  /** Fulfilled when both halves are finished (everything sent is acknowledged); rejects when an error ended it. */
  get closed(): Promise<void> {
    return this.#core.closed.promise;
  }

  get destroyed(): boolean {
    return this.#core.destroyed;
  }

  /** Some of it came in 0-RTT (RFC 9001 §9.2): whoever recorded it may have sent it, until the session is open. */
  get early(): boolean {
    return this.#core.isEarly;
  }

  get session(): QuicSession | null {
    return this.#core.destroyed ? null : this.#core.session.face;
  }

  get stats(): StreamStats {
    return streamStats(this.#core);
  }

  get priority(): { level: "high" | "default" | "low"; incremental: boolean } | null {
    const { urgency, incremental, destroyed } = this.#core;
    if (destroyed) return null;
    return { level: urgency < DEFAULT_URGENCY ? "high" : urgency > DEFAULT_URGENCY ? "low" : "default", incremental };
  }

  /** @throws `ERR_INVALID_STATE` when a body or a Duplex writes this stream. */
  get writer(): StreamWriter {
    if (this.#writer === null) {
      claimWriter(this.#core);
      this.#writer = new StreamWriter(this.#core);
    }
    return this.#writer;
  }

  get onerror(): StreamCallbacks["onerror"] {
    return this.#core.callbacks.onerror;
  }
  set onerror(callback: StreamCallbacks["onerror"]) {
    this.#core.callbacks.onerror = checked("onerror", callback);
  }

  get onblocked(): StreamCallbacks["onblocked"] {
    return this.#core.callbacks.onblocked;
  }
  set onblocked(callback: StreamCallbacks["onblocked"]) {
    this.#core.callbacks.onblocked = checked("onblocked", callback);
  }

  get onreset(): StreamCallbacks["onreset"] {
    return this.#core.callbacks.onreset;
  }
  set onreset(callback: StreamCallbacks["onreset"]) {
    this.#core.callbacks.onreset = checked("onreset", callback);
  }

  get onstopsending(): StreamCallbacks["onstopsending"] {
    return this.#core.callbacks.onstopsending;
  }
  set onstopsending(callback: StreamCallbacks["onstopsending"]) {
    this.#core.callbacks.onstopsending = checked("onstopsending", callback);
  }

  /** Writes `body` and ends the stream. @throws `ERR_INVALID_STATE` when something else writes it. */
  setBody(body: StreamBody): void {
    if (this.#core.send === null) throw invalidState("this stream cannot be written");
    claimOutbound(this.#core, "body");
    sendBody(this.#core, body);
  }

  setPriority(options: PriorityOptions = {}): void {
    const reader = new OptionReader(options, "options");
    const level = reader.oneOf("level", ["high", "default", "low"]) ?? "default";
    const incremental = reader.boolean("incremental") ?? false;
    reader.finish();
    this.#core.setPriority(URGENCY[level], incremental);
  }

  /** RESET_STREAM: drops what is not sent. The reading half goes on. */
  resetStream(code: bigint | number = 0n): void {
    this.#core.resetStream(toCode(code, "code"));
  }

  /** STOP_SENDING: drops what is not read. The writing half goes on. */
  stopSending(code: bigint | number = 0n): void {
    this.#core.stopSending(toCode(code, "code"));
  }

  /** Ends both halves. `closed` rejects with `error` when one is given; its code, or `options.code`, goes to the peer. */
  destroy(error?: unknown, options: { code?: bigint | number; reason?: string } = {}): void {
    const reader = new OptionReader(options, "options");
    const code = reader.raw("code");
    reader.string("reason"); // streams have none on the wire
    reader.finish();
    this.#core.destroy(error ?? undefined, code === undefined ? undefined : toCode(code, "options.code"));
  }

  /**
   * What arrives, in batches of chunks of up to 64 KiB; throws when the peer resets the stream or the connection ends
   * before it. Leaving the loop early stops the peer. One iterator only.
   */
  [Symbol.asyncIterator](): AsyncIterableIterator<Uint8Array[]> {
    const { recv } = this.#core;
    if (recv !== null) claimInbound(recv);
    return new StreamIterator(this.#core);
  }
}

faces.stream = (core) => new QuicStream(core);

/** `stream.ext`: what is ours. */
export class QuicStreamExt {
  readonly #core: StreamCore;
  constructor(core: StreamCore) {
    this.#core = core;
  }

  /** The stream as a Duplex. Reads and writes before it are fine (a header, say); nothing else may do them after. */
  toDuplex(options: ToDuplexOptions = {}): Duplex {
    const { recv, send } = this.#core;
    if (recv !== null) claimInbound(recv);
    if (send !== null && this.#core.outbound !== "writer") claimOutbound(this.#core, "duplex");
    this.#core.outbound = "duplex";
    return makeDuplex(this.#core, options);
  }

  /**
   * Sends part of an open file, in its turn among the writes of `stream.writer`, which also ends the stream. Resolves to the
   * number of bytes when all of them are in the send buffer. The file stays open; it must until then.
   *
   * Rejects with the system's error, or `ERR_NETQUIC_FILE_TRUNCATED` when the file is shorter than `length`. When a part was
   * sent by then, the stream is reset: the peer would take what follows for the rest.
   */
  async sendFile(file: number | FileHandle, options: SendFileOptions = {}): Promise<number> {
    claimWriter(this.#core);
    return await sendFile(this.#core, file, options);
  }

  /**
   * Makes the peer see a bidirectional stream before anything is written to it, for protocols whose server speaks first.
   * Nothing is lost by it when something is written at once.
   */
  announce(): void {
    const { session, id, destroyed } = this.#core;
    if (!destroyed) new ConnectionDetails(session.transport).announce(id);
  }

  /** Bytes that can be read now. */
  get readableBytes(): number {
    return this.#core.recv?.readableBytes ?? 0;
  }

  /** The next chunk, or null at the end. One read at a time. Rejects as the iterator throws. */
  read(options: ReadOptions = {}): Promise<Uint8Array | null> {
    const { recv } = this.#core;
    if (recv === null) return Promise.resolve(null);
    // not an async function: each would be a promise and a turn of the microtasks more for every chunk
    try {
      const { into = null, signal } = options;
      const { maxBytes = into?.length ?? READ_CHUNK_BYTES } = options;
      if (into !== null && !(into instanceof Uint8Array && into.length > 0)) {
        throw invalidType("options.into", "a Uint8Array that is not empty", into);
      }
      if (!((Number.isInteger(maxBytes) || maxBytes === Infinity) && maxBytes >= 1)) {
        throw invalidType("options.maxBytes", "a whole number of 1 or more", maxBytes);
      }
      if (signal?.aborted === true) throw signal.reason;
      claimInbound(recv);
      const chunk = recv.take(maxBytes, into);
      if (chunk === null && !recv.isOver) return waitForChunk(recv, maxBytes, into, signal);
      recv.claimed = false;
      if (chunk === null && recv.error !== null) throw recv.error;
      return Promise.resolve(chunk);
    } catch (error) {
      return Promise.reject(error);
    }
  }
}

/** Ends the claim of the reader with the wait. */
function waitForChunk(
  recv: RecvHalf,
  maxBytes: number,
  into: Uint8Array | null,
  signal: AbortSignal | undefined,
): Promise<Uint8Array | null> {
  return new Promise((resolve, reject) => {
    const reading = new Reading(recv, maxBytes, into, signal, resolve, reject);
    reading.releases = true;
    reading.next();
  });
}

class StreamIterator implements AsyncIterableIterator<Uint8Array[]> {
  readonly #core: StreamCore;
  #done = false;
  /** Steps that are asked for and not done, and the last of them: they come one after the other. */
  #steps = 0;
  #last: Promise<unknown> | null = null;

  constructor(core: StreamCore) {
    this.#core = core;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<IteratorResult<Uint8Array[]>> {
    const run = (): Promise<IteratorResult<Uint8Array[]>> => this.#step();
    const step = this.#steps++ === 0 || this.#last === null ? run() : this.#last.then(run, run);
    this.#last = step;
    return step;
  }

  async #step(): Promise<IteratorResult<Uint8Array[]>> {
    const { recv } = this.#core;
    try {
      if (recv === null || this.#done) return { done: true, value: undefined };
      const first = await new Promise<Uint8Array | null>((resolve, reject) => {
        const fail = (error: unknown): void => {
          this.#done = true;
          reject(error);
        };
        new Reading(recv, READ_CHUNK_BYTES, null, undefined, resolve, fail).next();
      });
      if (first === null) {
        this.#done = true;
        return { done: true, value: undefined };
      }
      const batch = [first];
      while (batch.length < BATCH_CHUNKS) {
        const chunk = recv.take();
        if (chunk === null) break;
        batch.push(chunk);
      }
      return { done: false, value: batch };
    } finally {
      this.#steps--;
    }
  }

  async return(): Promise<IteratorResult<Uint8Array[]>> {
    this.#done = true;
    this.#core.stopSending(0n);
    return { done: true, value: undefined };
  }
}

/** One wait for a chunk, or for null at the end. */
class Reading {
  private readonly wake = (): void => this.next();
  private unwatch: (() => void) | null = null;
  /** The claim of the reader ends with this wait. */
  releases = false;

  constructor(
    private readonly recv: RecvHalf,
    private readonly maxBytes: number,
    private readonly into: Uint8Array | null,
    private readonly signal: AbortSignal | undefined,
    private readonly resolve: (chunk: Uint8Array | null) => void,
    private readonly reject: (error: unknown) => void,
  ) {}

  /** Takes what there is, or waits for it. Called again by what arrives. */
  next(): void {
    const { recv, maxBytes, into } = this;
    if (into !== null && into.length === 0) {
      recv.unwait();
      this.end();
      this.reject(invalidState("options.into was transferred away before there was anything to read"));
      return;
    }
    const chunk = recv.take(maxBytes, into);
    if (chunk === null && !recv.isOver) {
      this.unwatch ??= watchAbort(this.signal, () => {
        recv.unwait();
        this.end();
        this.reject(this.signal?.reason);
      });
      recv.wait(this.wake, maxBytes, into);
      return;
    }
    this.end();
    if (chunk === null && recv.error !== null) this.reject(recv.error);
    else this.resolve(chunk);
  }

  private end(): void {
    this.unwatch?.();
    if (this.releases) this.recv.claimed = false;
  }
}

function claimInbound(recv: RecvHalf): void {
  if (recv.claimed) throw invalidState("something reads this stream already");
  recv.claimed = true;
}

function claimOutbound(core: StreamCore, by: "writer" | "body" | "duplex"): void {
  if (core.outbound !== "") throw invalidState(`a ${core.outbound} writes this stream already`);
  core.outbound = by;
}

/** For the writer and what goes in its turn. */
function claimWriter(core: StreamCore): void {
  if (core.outbound !== "writer") claimOutbound(core, "writer");
}

/** A callback as users may set it. */
export function checked<F>(name: string, callback: F): F {
  if (callback !== undefined && typeof callback !== "function") throw invalidType(name, "a function", callback);
  return callback;
}

const OPENED = Promise.resolve();
