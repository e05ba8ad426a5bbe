/** The sockets of this process by number, the smallest free one first, as descriptors are. */

import { EBADF, EOPNOTSUPP } from "../../socket/errno.js";
import type { SocketFile } from "./socket-file.js";
import { StreamFile } from "./stream-file.js";
import { socketError } from "./system-error.js";

const files: (SocketFile | StreamFile | undefined)[] = [];

export function addFile(file: SocketFile | StreamFile): number {
  let sd = files.indexOf(undefined);
  if (sd < 0) sd = files.length;
  files[sd] = file;
  return sd;
}

/** @throws SocketError EBADF; EOPNOTSUPP for the descriptor of a stream */
export function fileOf(sd: number, syscall: string): SocketFile {
  const file = anyFileOf(sd, syscall);
  if (file instanceof StreamFile) throw socketError(syscall, -EOPNOTSUPP);
  return file;
}

/** @throws SocketError EBADF */
export function anyFileOf(sd: number, syscall: string): SocketFile | StreamFile {
  const file = files[sd];
  if (file === undefined) throw socketError(syscall, -EBADF);
  return file;
}

/** Null for what is no stream's descriptor. */
export function streamOf(sd: number): StreamFile | null {
  const file = files[sd];
  return file instanceof StreamFile ? file : null;
}

export function removeFile(sd: number): void {
  files[sd] = undefined;
  while (files.length > 0 && files[files.length - 1] === undefined) files.pop();
}
