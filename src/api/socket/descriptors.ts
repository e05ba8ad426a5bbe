/** The sockets of this process by number, the smallest free one first, as descriptors are. */

import { EBADF } from "../../socket/errno.js";
import type { SocketFile } from "./socket-file.js";
import { socketError } from "./system-error.js";

const files: (SocketFile | undefined)[] = [];

export function addFile(file: SocketFile): number {
  let sd = files.indexOf(undefined);
  if (sd < 0) sd = files.length;
  files[sd] = file;
  return sd;
}

/** @throws SocketError EBADF */
export function fileOf(sd: number, syscall: string): SocketFile {
  const file = files[sd];
  if (file === undefined) throw socketError(syscall, -EBADF);
  return file;
}

export function removeFile(sd: number): void {
  files[sd] = undefined;
  while (files.length > 0 && files[files.length - 1] === undefined) files.pop();
}
