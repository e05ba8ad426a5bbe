/**
 * The file port on the addon (addon/file.cc): what the page cache has goes from the kernel into the send ring in one call;
 * the rest is fetched on Node's thread pool into memory of the addon, and copied from there.
 */

import type { FilePort, OpenFile } from "../../port/file.js";
import { descriptorOf, EBADF, type Fetched, type FileReader, FileRangeSource } from "../file-range.js";
import { loadAddon } from "./addon.js";

/** What addon/file.cc exports. */
export interface FileAddon {
  fileRead(fd: number, buf: Uint8Array, start: number, end: number, position: number): number;
  fileFetch(fd: number, length: number, position: number, onDone: (result: number) => void): number;
  fileTake(slot: number, buf: Uint8Array, start: number, end: number): number;
  fileDrop(slot: number): boolean;
}

/** @throws ERR_NETQUIC_NO_ADDON */
export function newNativeFiles(addon: FileAddon = loadAddon<FileAddon>()): FilePort {
  const reader = new NativeReader(addon);
  return { name: "preadv2", open: (file, range, onReady) => new FileRangeSource(reader, file, range, onReady) };
}

class NativeReader implements FileReader {
  constructor(private readonly addon: FileAddon) {}

  readNow(file: OpenFile, into: Uint8Array, start: number, end: number, position: number): number {
    const fd = descriptorOf(file);
    return fd < 0 ? -EBADF : this.addon.fileRead(fd, into, start, end, position);
  }

  fetch(file: OpenFile, lengthBytes: number, position: number, onDone: (result: number) => void): Fetched | number {
    const { addon } = this;
    const slot = addon.fileFetch(descriptorOf(file), lengthBytes, position, onDone);
    if (slot < 0) return slot;
    return {
      take: (into, start, end) => addon.fileTake(slot, into, start, end),
      drop: () => void addon.fileDrop(slot),
    };
  }
}
