/** A whole body for a stream, whatever it is made of: written with back-pressure, then FIN; an error resets the stream. */

import type { OpenFileHandle } from "../../port/file.js";
import { invalidType } from "../errors.js";
import { viewOf } from "../option-reader.js";
import { FileWrite, isOpenFile } from "./send-file.js";
import type { StreamCore } from "./stream-core.js";
import { bytesOf, type WriterChunk } from "./writer.js";

type Chunks = AsyncIterable<WriterChunk | readonly WriterChunk[]> | Iterable<WriterChunk | readonly WriterChunk[]>;

/** What `fs.promises.open` gives, as far as it is used here. */
interface FileHandleLike extends OpenFileHandle {
  close(): Promise<void>;
}

export type StreamBody = null | WriterChunk | Blob | FileHandleLike | Chunks | Promise<StreamBody>;

/** @throws `ERR_INVALID_ARG_TYPE` for what is no body; what fails later destroys the stream. */
export function sendBody(core: StreamCore, body: unknown): void {
  if (!isBody(body)) throw invalidType("body", "a string, bytes, Blob, FileHandle, iterable, promise or null", body);
  core.outbound = "body";
  run(core, body).catch((error: unknown) => core.destroy(error));
}

function isBody(body: unknown): body is StreamBody {
  if (body === null || typeof body === "string" || viewOf(body) !== null) return true;
  return body instanceof Promise || body instanceof Blob || isFileHandle(body) || isIterable(body);
}

async function run(core: StreamCore, given: StreamBody): Promise<void> {
  let body: unknown = given;
  while (body instanceof Promise) body = await body;
  if (!isBody(body)) throw invalidType("body", "a string, bytes, Blob, FileHandle, iterable or null", body);
  if (body === null) return write(core, new Uint8Array(0), true);
  const bytes = typeof body === "string" ? Buffer.from(body) : viewOf(body);
  if (bytes !== null) return write(core, bytes, true);
  if (body instanceof Blob) await writeAll(core, body.stream() as unknown as AsyncIterable<WriterChunk>);
  else if (isFileHandle(body)) await writeFile(core, body);
  else await writeAll(core, body as Chunks);
  await write(core, new Uint8Array(0), true);
}

async function writeAll(core: StreamCore, chunks: Chunks): Promise<void> {
  for await (const chunk of chunks) {
    // an iterable of `node:stream/iter` yields batches
    const batch: readonly WriterChunk[] = Array.isArray(chunk) ? chunk : [chunk as WriterChunk];
    for (const each of batch) await write(core, bytesOf(each), false);
  }
}

async function writeFile(core: StreamCore, file: FileHandleLike): Promise<void> {
  try {
    await new FileWrite(core, file, { offset: null, length: null }).finished;
  } finally {
    await file.close();
  }
}

function write(core: StreamCore, bytes: Uint8Array, fin: boolean): Promise<void> {
  const { send } = core;
  if (send === null) return Promise.reject(invalidType("body", "absent: this stream cannot be written", bytes));
  return new Promise((resolve, reject) => {
    send.write(bytes, fin, (error) => (error === null ? resolve() : reject(error as Error)));
  });
}

function isFileHandle(body: unknown): body is FileHandleLike {
  return typeof body === "object" && isOpenFile(body);
}

function isIterable(body: unknown): boolean {
  if (typeof body !== "object" || body === null) return false;
  return Symbol.asyncIterator in body || Symbol.iterator in body;
}
