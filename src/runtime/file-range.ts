/**
 * One range of an open file as a source for a stream (port/file), over the two calls in which the addon and its twin
 * differ. Invariant: bytes are given once, in order; `position` is that of the next byte given, `leftBytes` what was
 * promised and is not given yet.
 */

import { fstatSync } from "node:fs";
import {
  FILE_ENDED,
  FILE_FAILED,
  FILE_PENDING,
  FILE_READY,
  type FileRange,
  type FileSource,
  type FileState,
  type OpenFile,
} from "../port/file.js";
import { FILE_FETCH_BYTES, FILE_PROBE_BYTES } from "../proto/limits.js";
import { systemError } from "./system-error.js";

/** Of `readNow`: nothing is at hand, `fetch` brings it. */
export const EAGAIN = 11;
export const EBADF = 9;
export const EIO = 5;

/** What an implementation of the file port brings. Results are bytes, 0 at the end of the file, or a negative errno. */
export interface FileReader {
  /** Never waits: -EAGAIN when it would. Position -1: where the file stands. */
  readNow(file: OpenFile, into: Uint8Array, start: number, end: number, position: number): number;
  /** Begins to read; `onDone` has the result, later. A number says why it could not begin. */
  fetch(file: OpenFile, lengthBytes: number, position: number, onDone: (result: number) => void): Fetched | number;
}

export interface Fetched {
  /** Copies what is left, as much as fits; returns how much. */
  take(into: Uint8Array, start: number, end: number): number;
  /** Once: it is not wanted any more, read or not; `onDone` is not called after. */
  drop(): void;
}

/** The number by which the system knows the file, -1 for one that is closed. */
export function descriptorOf(file: OpenFile): number {
  return typeof file === "number" ? file : file.fd;
}

export class FileRangeSource implements FileSource {
  state: FileState = FILE_READY;
  error: unknown = null;
  givenBytes = 0;
  private position: number;
  /** Infinity: up to the end of the file. */
  private leftBytes: number;
  /** Without a promise: what the file had left at the start, a guess that saves memory. */
  private guessBytes = 0;
  private fetched: Fetched | null = null;
  private fetchedBytes = 0;
  private closed = false;

  constructor(
    private readonly reader: FileReader,
    private readonly file: OpenFile,
    range: FileRange,
    private readonly onReady: () => void,
  ) {
    this.position = range.offset ?? -1;
    this.leftBytes = range.length ?? Infinity;
    if (this.leftBytes === 0) this.state = FILE_ENDED;
    else if (range.length === null) this.guess();
  }

  get wantedBytes(): number {
    if (this.leftBytes < Infinity) return this.leftBytes;
    return this.guessBytes > 0 ? this.guessBytes : FILE_PROBE_BYTES;
  }

  read(into: Uint8Array, start: number, end: number): number {
    if (this.state !== FILE_READY || this.closed) return 0;
    const to = Math.min(end, start + this.leftBytes);
    if (this.fetched !== null) return this.give(this.takeFetched(this.fetched, into, start, to));
    const result = this.reader.readNow(this.file, into, start, to, this.position);
    if (result > 0) return this.give(result);
    if (result === -EAGAIN) this.startFetch(to - start);
    else this.stop(result);
    return 0;
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.fetched?.drop();
    this.fetched = null;
  }

  private guess(): void {
    try {
      const stats = fstatSync(descriptorOf(this.file));
      if (stats.isFile()) this.guessBytes = Math.max(0, stats.size - Math.max(0, this.position));
    } catch {
      this.stop(-EBADF);
    }
  }

  private takeFetched(fetched: Fetched, into: Uint8Array, start: number, end: number): number {
    const taken = fetched.take(into, start, end);
    this.fetchedBytes -= taken;
    if (this.fetchedBytes > 0) return taken;
    fetched.drop();
    this.fetched = null;
    return taken;
  }

  private give(count: number): number {
    if (this.position >= 0) this.position += count;
    this.givenBytes += count;
    this.leftBytes -= count;
    this.guessBytes = Math.max(0, this.guessBytes - count);
    if (this.leftBytes === 0) this.state = FILE_ENDED;
    return count;
  }

  private startFetch(roomBytes: number): void {
    const length = Math.min(roomBytes, FILE_FETCH_BYTES);
    const started = this.reader.fetch(this.file, length, this.position, (result) => this.onFetched(result));
    if (typeof started === "number") {
      this.stop(started);
      return;
    }
    this.fetched = started;
    this.state = FILE_PENDING;
  }

  private onFetched(result: number): void {
    this.state = FILE_READY;
    if (result > 0) this.fetchedBytes = result;
    else {
      this.fetched?.drop();
      this.fetched = null;
      this.stop(result);
    }
    this.onReady();
  }

  /** The file has no more: 0, or a negative errno. */
  private stop(result: number): void {
    if (result === 0 && this.leftBytes === Infinity) {
      this.state = FILE_ENDED;
      return;
    }
    this.state = FILE_FAILED;
    this.error = result < 0 ? systemError(-result, "read") : truncated(this.givenBytes, this.leftBytes);
  }
}

function truncated(givenBytes: number, leftBytes: number): Error {
  const message = `the file ended after ${givenBytes} of ${givenBytes + leftBytes} bytes: it is shorter than was promised`;
  return Object.assign(new Error(message), { code: "ERR_NETQUIC_FILE_TRUNCATED" });
}
