/** The file port on node:fs: every read goes to Node's thread pool and through one buffer of JavaScript. */

import { read } from "node:fs";
import type { FilePort, OpenFile } from "../../port/file.js";
import { EAGAIN, EBADF, EIO, type Fetched, type FileReader, FileRangeSource } from "../file-range.js";

export function newPortableFiles(): FilePort {
  return { name: "node:fs", open: (file, range, onReady) => new FileRangeSource(READER, file, range, onReady) };
}

const READER: FileReader = {
  readNow: () => -EAGAIN,
  fetch(file: OpenFile, lengthBytes: number, position: number, onDone: (result: number) => void): Fetched {
    const bytes = new Uint8Array(lengthBytes);
    let from = 0;
    let wanted = true;
    let result = 0;
    const settle = (error: unknown, bytesRead = 0): void => {
      result = error === null ? bytesRead : errnoOf(error);
      if (wanted) onDone(result);
    };
    readInto(file, bytes, position < 0 ? null : position, settle);
    return {
      take(into, start, end) {
        const to = Math.min(result, from + end - start);
        into.set(bytes.subarray(from, to), start);
        const taken = to - from;
        from = to;
        return taken;
      },
      drop() {
        wanted = false;
      },
    };
  },
};

/** Through the handle where there is one: then closing it waits for the read. */
function readInto(
  file: OpenFile,
  bytes: Uint8Array,
  position: number | null,
  settle: (error: unknown, bytesRead?: number) => void,
): void {
  if (typeof file === "number") read(file, bytes, 0, bytes.length, position, settle);
  else {
    file.read(bytes, 0, bytes.length, position).then(
      ({ bytesRead }) => settle(null, bytesRead),
      (error: unknown) => settle(error),
    );
  }
}

/** Negative. */
function errnoOf(error: unknown): number {
  const { errno, code } = error as { errno?: unknown; code?: unknown };
  if (typeof errno === "number" && errno < 0) return errno;
  return code === "EBADF" ? -EBADF : -EIO;
}
