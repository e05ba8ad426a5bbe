/**
 * `stream.ext.sendFile`: part of an open file on a stream, read by the datapath straight into the send buffer. The file
 * stays the caller's. Invariant: a stream of which the peer has a part of what was promised never goes on after it.
 */

import type { FileRange, FileSource, OpenFile } from "../../port/file.js";
import { sharedDatapath } from "../datapath.js";
import { invalidState, invalidType, wireCode } from "../errors.js";
import { watchAbort } from "../deferred.js";
import { OptionReader } from "../option-reader.js";
import type { WriteDone } from "../send-half.js";
import type { StreamCore } from "./stream-core.js";

export interface SendFileOptions {
  /** First byte, default 0. Null: from where the file stands, and move that; for what has no positions, such as pipes. */
  offset?: number | null;
  /** Bytes; a file that has less is an error. Default: up to its end. */
  length?: number;
  /** Ends the wait. When a part was sent already, the stream is reset. */
  signal?: AbortSignal;
}

/** Resolves to the number of bytes, all of them in the send buffer. */
export async function sendFile(core: StreamCore, file: unknown, options: SendFileOptions = {}): Promise<number> {
  if (!isOpenFile(file)) throw invalidType("file", "a file descriptor or a FileHandle", file);
  const reader = new OptionReader(options, "options");
  const isAnywhere = reader.raw("offset") === null;
  const offset = isAnywhere ? null : (position(reader, "offset") ?? 0);
  const length = position(reader, "length") ?? null;
  const signal = reader.signal("signal");
  reader.finish();
  if (signal?.aborted === true) throw signal.reason;
  const write = new FileWrite(core, file, { offset, length });
  const unwatch = watchAbort(signal, () => write.abort(signal?.reason));
  try {
    return await write.finished;
  } finally {
    unwatch();
  }
}

/** A file on its way into the send buffer. */
export class FileWrite {
  /** Bytes. Rejects with what was wrong with the file, or with why the stream ended. */
  readonly finished: Promise<number>;
  private source: FileSource | null = null;
  private isOver = false;
  private done: WriteDone = () => {};
  private reject: (error: unknown) => void = () => {};

  constructor(
    private readonly core: StreamCore,
    file: OpenFile,
    range: FileRange,
  ) {
    const { send } = core;
    if (send === null) throw invalidState("the stream cannot be written");
    const { files } = sharedDatapath();
    this.finished = new Promise((resolve, reject) => {
      this.reject = reject;
      this.done = (error) => {
        if (error !== null) {
          this.fail(error);
          return;
        }
        this.isOver = true;
        resolve(this.source?.givenBytes ?? 0);
      };
      send.writeFrom((onReady) => (this.source = files.open(file, range, onReady)), this.done);
    });
  }

  /** Takes it back when the stream has nothing of it yet, else resets the stream. */
  abort(reason: unknown): void {
    if (this.isOver) return;
    this.core.send?.cancel(this.done);
    this.fail(reason);
  }

  private fail(error: unknown): void {
    if (this.isOver) return;
    this.isOver = true;
    this.reject(error);
    const { core, source } = this;
    // what follows would take the place of what is missing
    if (source !== null && source.givenBytes > 0) core.resetStream(wireCode(error), error);
  }
}

function position(reader: OptionReader, name: string): number | undefined {
  return reader.number(name, 0, Number.MAX_SAFE_INTEGER);
}

export function isOpenFile(value: unknown): value is OpenFile {
  if (typeof value === "number") return Number.isInteger(value) && value >= 0 && value < 2 ** 31;
  const { fd, read } = (value ?? {}) as { fd?: unknown; read?: unknown };
  return typeof value === "object" && typeof fd === "number" && typeof read === "function";
}
