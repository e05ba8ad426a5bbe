/**
 * A file that is being received: written under a temporary name next to its place, and moved there only by `commit`.
 * Until then nothing has the final name, whatever happens to this process.
 */

import { createHash, type Hash } from "node:crypto";
import { constants } from "node:fs";
import { type FileHandle, link, lstat, open, rename, unlink } from "node:fs/promises";
import { join } from "node:path";
import { Failure, codeOf, fileFailure } from "../failure.js";

/** A temporary name keeps this much of the final one, so that the suffix fits into 255 bytes. */
const KEPT_NAME_BYTES = 200;
const HASH_CHUNK_BYTES = 1 << 20;
/** What `link` answers on file systems without hard links. */
const NO_HARD_LINKS = new Set(["EPERM", "EOPNOTSUPP", "ENOTSUP", "ENOSYS", "EMLINK"]);

/** The temporary name of `name` in the run that is called `runId`. */
export function partName(name: string, runId: string): string {
  let kept = name;
  while (Buffer.byteLength(kept) > KEPT_NAME_BYTES) kept = kept.slice(0, -1);
  return `${kept}${partSuffix(runId)}`;
}

/** What the temporary names of one run end with. */
export function partSuffix(runId: string): string {
  return `.part-${runId}`;
}

export function overwriteFailure(path: string): Failure {
  return new Failure(`${path} exists already: move it away, choose another --out, or say --force`);
}

/** Feeds the file into `hash` from start to end; memory stays at one chunk. */
export async function hashHandle(handle: FileHandle, size: number, hash: Hash = createHash("sha256")): Promise<string> {
  const chunk = Buffer.allocUnsafe(Math.min(HASH_CHUNK_BYTES, Math.max(size, 1)));
  let position = 0;
  while (position < size) {
    const { bytesRead } = await handle.read(chunk, 0, Math.min(chunk.length, size - position), position);
    if (bytesRead === 0) break;
    hash.update(chunk.subarray(0, bytesRead));
    position += bytesRead;
  }
  return hash.digest("hex");
}

export class PartFile {
  readonly finalPath: string;
  private readonly partPath: string;
  private readonly handle: FileHandle;
  private readonly force: boolean;
  private open = true;

  static async create(dir: string, name: string, runId: string, force: boolean): Promise<PartFile> {
    const partPath = join(dir, partName(name, runId));
    try {
      const { O_RDWR, O_CREAT, O_EXCL, O_NOFOLLOW } = constants;
      const handle = await open(partPath, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0o666);
      return new PartFile(join(dir, name), partPath, handle, force);
    } catch (error) {
      throw fileFailure("create", partPath, error);
    }
  }

  private constructor(finalPath: string, partPath: string, handle: FileHandle, force: boolean) {
    this.finalPath = finalPath;
    this.partPath = partPath;
    this.handle = handle;
    this.force = force;
  }

  /** Writes all of `chunks` at `position`. */
  async write(chunks: Uint8Array[], position: number): Promise<void> {
    try {
      let pending = chunks;
      while (pending.length > 0) {
        const { bytesWritten } = await this.handle.writev(pending, position);
        position += bytesWritten;
        pending = after(pending, bytesWritten);
      }
    } catch (error) {
      throw fileFailure("write", this.partPath, error);
    }
  }

  async sha256(size: number): Promise<string> {
    try {
      return await hashHandle(this.handle, size);
    } catch (error) {
      throw fileFailure("read", this.partPath, error);
    }
  }

  /** Gives the file its final name. Without `force` an existing file of that name stays and this throws. */
  async commit(): Promise<void> {
    await this.closeHandle();
    try {
      if (this.force) await rename(this.partPath, this.finalPath);
      else await this.moveToFreeName();
    } catch (error) {
      throw codeOf(error) === "EEXIST"
        ? overwriteFailure(this.finalPath)
        : fileFailure("create", this.finalPath, error);
    }
  }

  /** Removes the temporary file. After `commit` it does nothing. */
  async discard(): Promise<void> {
    await this.closeHandle();
    await unlink(this.partPath).catch(() => {});
  }

  /** rename(2) replaces silently; link(2) is the one call that fails when the name is taken. */
  private async moveToFreeName(): Promise<void> {
    try {
      await link(this.partPath, this.finalPath);
    } catch (error) {
      if (!NO_HARD_LINKS.has(codeOf(error))) throw error;
      if (await exists(this.finalPath)) throw overwriteFailure(this.finalPath);
      await rename(this.partPath, this.finalPath);
      return;
    }
    await unlink(this.partPath);
  }

  private async closeHandle(): Promise<void> {
    if (!this.open) return;
    this.open = false;
    await this.handle.close().catch((error) => {
      throw fileFailure("write", this.partPath, error);
    });
  }
}

export async function exists(path: string): Promise<boolean> {
  try {
    await lstat(path);
    return true;
  } catch (error) {
    if (codeOf(error) === "ENOENT") return false;
    throw fileFailure("look at", path, error);
  }
}

/** What is left of `chunks` behind the first `count` bytes. */
function after(chunks: Uint8Array[], count: number): Uint8Array[] {
  let i = 0;
  while (i < chunks.length && count >= (chunks[i] as Uint8Array).length) count -= (chunks[i++] as Uint8Array).length;
  const rest = chunks.slice(i);
  if (count > 0 && rest.length > 0) rest[0] = (rest[0] as Uint8Array).subarray(count);
  return rest;
}
