/**
 * Sends files: each is cut into ranges that travel on streams of their own, a bounded number at once over all files.
 * A file that changes while it is read is an error, found by its length, its times or, at the latest, its SHA-256.
 */

import { type BigIntStats, constants } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { basename } from "node:path";
import { Failure, codeOf, fileFailure } from "../failure.js";
import { Semaphore } from "../semaphore.js";
import type { Link } from "./link.js";
import { hashHandle } from "./part-file.js";
import { type Control, encodeRangeHeader, type Range } from "./protocol.js";

/** Handed to QUIC at once: progress is shown in steps of it. */
const PIECE_BYTES = 4 << 20;
/** A range below this is not worth a stream. */
const MIN_RANGE_BYTES = 1 << 20;
const RANGE_ALIGN_BYTES = 64 * 1024;

export interface SourceFile {
  path: string;
  name: string;
  size: number;
}

/** Looks at a file that shall be sent.
 *  @throws a Failure when it is not there, not readable, or not a regular file. */
export async function inspectSource(path: string): Promise<SourceFile> {
  const handle = await openSource(path);
  try {
    const stats = await handle.stat();
    if (stats.isDirectory()) throw new Failure(`cannot read ${path}: is a directory; give the files in it`);
    if (!stats.isFile()) throw new Failure(`cannot read ${path}: not a regular file`);
    return { path, name: basename(path), size: stats.size };
  } finally {
    await handle.close();
  }
}

/** Without O_NONBLOCK, opening a pipe would wait for its writer. */
async function openSource(path: string): Promise<FileHandle> {
  const { O_RDONLY, O_NONBLOCK } = constants;
  try {
    return await open(path, O_RDONLY | O_NONBLOCK);
  } catch (error) {
    // A socket cannot be opened at all, a device may be absent.
    if (codeOf(error) === "ENXIO") throw new Failure(`cannot read ${path}: not a regular file`);
    throw fileFailure("read", path, error);
  }
}

/** The ranges of a file: at most `streams`, none for an empty one. */
export function cutIntoRanges(file: number, size: number, streams: number): Range[] {
  const count = Math.min(streams, Math.ceil(size / MIN_RANGE_BYTES));
  const ranges: Range[] = [];
  if (count === 0) return ranges;
  const step = Math.ceil(size / count / RANGE_ALIGN_BYTES) * RANGE_ALIGN_BYTES;
  for (let offset = 0; offset < size; offset += step) {
    ranges.push({ file, offset, length: Math.min(step, size - offset) });
  }
  return ranges;
}

export class Sender {
  private readonly link: Link;
  private readonly control: Control;
  private readonly streams: number;
  private readonly onBytes: (count: number) => void;
  private readonly fileSlots: Semaphore;
  private readonly rangeSlots: Semaphore;

  /** `onBytes` hears of bytes that QUIC has taken. */
  constructor(link: Link, control: Control, streams: number, onBytes: (count: number) => void) {
    this.link = link;
    this.control = control;
    this.streams = streams;
    this.onBytes = onBytes;
    this.fileSlots = new Semaphore(streams);
    this.rangeSlots = new Semaphore(streams);
  }

  /** Sends file number `index`, then its SHA-256, which is computed beside the sending unless it is known. */
  send(index: number, file: SourceFile, knownSha256?: string): Promise<string> {
    return this.fileSlots.run(async () => {
      const handle = await openSource(file.path);
      try {
        const before = await handle.stat({ bigint: true });
        if (before.size !== BigInt(file.size)) throw changed(file);
        const ranges = cutIntoRanges(index, file.size, this.streams);
        const hashed = knownSha256 ?? hashSource(handle, file);
        const sent = ranges.map((range) => this.rangeSlots.run(() => this.sendRange(handle, file, range)));
        const [sha256] = await Promise.all([hashed, ...sent]);
        if (!sameState(before, await handle.stat({ bigint: true }))) throw changed(file);
        await this.control.send({ type: "sent", file: index, sha256 });
        return sha256;
      } finally {
        await handle.close();
      }
    });
  }

  private async sendRange(handle: FileHandle, file: SourceFile, range: Range): Promise<void> {
    const sink = await this.link.openUni();
    await sink.write(encodeRangeHeader(range));
    const end = range.offset + range.length;
    for (let position = range.offset; position < end; ) {
      const length = Math.min(PIECE_BYTES, end - position);
      await sink.writeFile(handle, position, length).catch((error) => {
        if (error instanceof Failure) throw error;
        throw codeOf(error) === "ERR_NETQUIC_FILE_TRUNCATED" ? changed(file) : fileFailure("read", file.path, error);
      });
      position += length;
      this.onBytes(length);
    }
    await sink.end();
  }
}

async function hashSource(handle: FileHandle, file: SourceFile): Promise<string> {
  try {
    return await hashHandle(handle, file.size);
  } catch (error) {
    throw fileFailure("read", file.path, error);
  }
}

function sameState(a: BigIntStats, b: BigIntStats): boolean {
  return a.size === b.size && a.mtimeNs === b.mtimeNs;
}

function changed(file: SourceFile): Failure {
  return new Failure(`${file.path} changed while it was read: send it again when nobody writes to it`);
}
