/**
 * Receives files: ranges are written where they belong as they arrive, in any order; a file whose bytes are all there is
 * hashed from start to end and gets its name only when the SHA-256 is the sender's. The peer is not trusted: names,
 * ranges and lengths are checked, and what it sends cannot leave the folder.
 */

import { statfs } from "node:fs/promises";
import { join } from "node:path";
import { Failure, fileFailure } from "../failure.js";
import { formatBytes } from "../format.js";
import { Semaphore } from "../semaphore.js";
import type { ByteSource } from "./link.js";
import { exists, overwriteFailure, PartFile } from "./part-file.js";
import { nameProblem, type OfferedFile, readRange } from "./protocol.js";

/** Files hashed at once. */
const HASH_SLOTS = 2;

export interface ReceiverOptions {
  dir: string;
  runId: string;
  /** Existing files are replaced. */
  force: boolean;
  onBytes(count: number): void;
  /** The file has its final name. */
  onVerified(index: number, path: string, sha256: string): void;
}

interface Incoming extends OfferedFile {
  index: number;
  arrivedBytes: number;
  writtenBytes: number;
  /** Null before the first range or, for an empty file, before `sent`. */
  part: Promise<PartFile> | null;
  sha256: string | null;
  finished: boolean;
}

export class Receiver {
  private readonly options: ReceiverOptions;
  private readonly hashSlots = new Semaphore(HASH_SLOTS);
  private files: Incoming[] = [];
  private discarded = false;
  private firstMillis = -1;
  private lastMillis = -1;
  receivedBytes = 0;

  constructor(options: ReceiverOptions) {
    this.options = options;
  }

  /** From the first byte to the last one, over all files. */
  get receiveMicros(): number {
    return Math.round((this.lastMillis - this.firstMillis) * 1000);
  }

  /** Checks what will come.
   *  @throws a Failure for a bad name, a duplicate, an existing target or too little space. */
  async offer(offered: readonly OfferedFile[]): Promise<void> {
    const names = new Set<string>();
    let totalBytes = 0;
    for (const { name, size } of offered) {
      const problem = nameProblem(name);
      if (problem !== null) throw new Failure(`the file name ${JSON.stringify(name)} is refused: ${problem}`);
      if (names.has(name)) throw duplicateFailure(name);
      names.add(name);
      totalBytes += size;
      const path = join(this.options.dir, name);
      if (!this.options.force && (await exists(path))) throw overwriteFailure(path);
    }
    await checkSpace(this.options.dir, totalBytes);
    this.files = offered.map(({ name, size }, index) => {
      return { index, name, size, arrivedBytes: 0, writtenBytes: 0, part: null, sha256: null, finished: false };
    });
  }

  /** Takes one stream of the peer to its end. */
  async range(source: ByteSource): Promise<void> {
    const { range, batches } = await readRange(source);
    const file = this.fileOf(range.file);
    const end = range.offset + range.length;
    if (end > file.size) throw new Failure(`${file.name}: the peer sent a range outside the file`);
    const part = await this.partOf(file);
    let position = range.offset;
    for await (const batch of batches) {
      const count = bytesIn(batch);
      if (position + count > end) throw new Failure(`${file.name}: the peer sent more than the range it announced`);
      if (file.arrivedBytes + count > file.size) throw new Failure(`${file.name}: the peer sent a part of it twice`);
      file.arrivedBytes += count;
      await part.write(batch, position);
      position += count;
      this.count(file, count);
    }
    if (position < end) throw new Failure(`${file.name}: a stream ended before its range was complete`);
    await this.finishIfComplete(file);
  }

  /** The peer has sent all of a file. */
  async sent(index: number, sha256: string): Promise<void> {
    const file = this.fileOf(index);
    if (file.sha256 !== null) throw new Failure(`${file.name}: the peer announced its end twice`);
    file.sha256 = sha256;
    await this.finishIfComplete(file);
  }

  /** Removes what is not finished, for good. */
  async discard(): Promise<void> {
    this.discarded = true;
    for (const file of this.files) {
      const part = await file.part?.catch(() => null);
      await part?.discard().catch(() => {});
    }
  }

  private fileOf(index: number): Incoming {
    const file = this.files[index];
    if (file === undefined) throw new Failure(`the peer sent file number ${index}, which it had not offered`);
    if (file.finished) throw new Failure(`${file.name}: the peer sent more after its end`);
    return file;
  }

  private async partOf(file: Incoming): Promise<PartFile> {
    const { dir, runId, force } = this.options;
    file.part ??= PartFile.create(dir, file.name, runId, force);
    const part = await file.part;
    if (this.discarded) {
      await part.discard();
      throw new Failure("the transfer was given up");
    }
    return part;
  }

  private count(file: Incoming, count: number): void {
    const nowMillis = performance.now();
    if (this.firstMillis < 0) this.firstMillis = nowMillis;
    this.lastMillis = nowMillis;
    file.writtenBytes += count;
    this.receivedBytes += count;
    this.options.onBytes(count);
  }

  private async finishIfComplete(file: Incoming): Promise<void> {
    if (file.sha256 === null || file.writtenBytes < file.size || file.finished) return;
    file.finished = true;
    const wanted = file.sha256;
    const part = await this.partOf(file);
    const found = await this.hashSlots.run(() => part.sha256(file.size));
    if (this.discarded) return;
    if (found !== wanted) {
      await part.discard();
      throw new Failure(`${file.name} arrived damaged: its SHA-256 is ${found}, the sender's ${wanted}`);
    }
    await part.commit();
    this.options.onVerified(file.index, part.finalPath, found);
  }
}

export function duplicateFailure(name: string): Failure {
  return new Failure(`two of the files are called ${name}: they would end in the same place, send them apart`);
}

async function checkSpace(dir: string, totalBytes: number): Promise<void> {
  const { bavail, bsize } = await statfs(dir).catch((error) => {
    throw fileFailure("write to", dir, error);
  });
  const freeBytes = bavail * bsize;
  // File systems without a size (some network and overlay ones) report none at all.
  if (bsize === 0 || (bavail === 0 && totalBytes === 0)) return;
  if (totalBytes > freeBytes) {
    const [need, free] = [formatBytes(totalBytes), formatBytes(freeBytes)];
    throw new Failure(`cannot write to ${dir}: the files need ${need}, ${free} are free`);
  }
}

function bytesIn(batch: Uint8Array[]): number {
  let count = 0;
  for (const chunk of batch) count += chunk.length;
  return count;
}
