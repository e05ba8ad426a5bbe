/**
 * What the two sides of a transfer say to each other.
 *
 * One bidirectional stream, opened by the client, carries messages: a JSON object a line. Bytes of files travel on
 * unidirectional streams in both directions, one range of one file each, behind a header of 20 bytes in network order.
 *
 *   client                                      server
 *   hello, file*, offered            ------>    checks names, sizes, space
 *                                    <------    ready
 *   ranges; sent (SHA-256) a file    ------>    writes, compares, renames
 *                                    <------    verified a file, then its ranges and sent, back
 *   verified a file; done after all  ------>
 *                                    <------    report
 *
 * Who cannot go on closes the connection with APP_FAILED and a sentence.
 */

import { Failure } from "../failure.js";
import type { ByteSink, ByteSource, ControlStream } from "./link.js";

export const ALPN = "netquic-transfer";
export const PROTOCOL_VERSION = 1;
/** Application error code of a connection that one side gave up. */
export const APP_FAILED = 1n;

/** Files in one transfer. */
export const MAX_FILES = 100_000;
/** Ranges that one side has on their way at once. */
export const MAX_STREAMS = 64;
/** A name has at most 255 bytes, six characters each when escaped. */
const MAX_LINE_BYTES = 4096;
const MAX_NAME_BYTES = 255;
const RANGE_HEADER_BYTES = 20;
/** `nqR1`: tells a stream of ours from a mistake. */
const RANGE_MAGIC = 0x6e_71_52_31;

export interface OfferedFile {
  name: string;
  size: number;
}

/** What the server measured, for the client's summary. */
export interface ServerReport {
  receivedBytes: number;
  receiveMicros: number;
  packetsSent: number;
  packetsLost: number;
  tls: string;
  datapath: string;
}

export type Message =
  | { type: "hello"; version: number }
  | ({ type: "file" } & OfferedFile)
  | { type: "offered"; count: number }
  | { type: "ready" }
  | { type: "sent"; file: number; sha256: string }
  | { type: "verified"; file: number }
  | { type: "done" }
  | ({ type: "report" } & ServerReport);

export interface Range {
  file: number;
  offset: number;
  length: number;
}

function broken(what: string): Failure {
  return new Failure(`the peer does not keep to the transfer protocol: ${what}`);
}

type Kind = "count" | "text" | "sha256";

const FIELDS: { readonly [K in Message["type"]]: Readonly<Record<string, Kind>> } = {
  hello: { version: "count" },
  file: { name: "text", size: "count" },
  offered: { count: "count" },
  ready: {},
  sent: { file: "count", sha256: "sha256" },
  verified: { file: "count" },
  done: {},
  report: {
    receivedBytes: "count",
    receiveMicros: "count",
    packetsSent: "count",
    packetsLost: "count",
    tls: "text",
    datapath: "text",
  },
};

function fits(kind: Kind, value: unknown): boolean {
  if (kind === "count") return Number.isSafeInteger(value) && (value as number) >= 0;
  if (typeof value !== "string") return false;
  return kind === "text" || /^[0-9a-f]{64}$/.test(value);
}

/** Reads one line. Only the fields of the message are kept.
 *  @throws a Failure that says what is wrong with it. */
export function parseMessage(line: string): Message {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    throw broken("a message is not JSON");
  }
  if (typeof value !== "object" || value === null) throw broken("a message is not an object");
  const given = value as Record<string, unknown>;
  const type = given["type"];
  if (typeof type !== "string" || !Object.hasOwn(FIELDS, type)) throw broken(`message type ${JSON.stringify(type)}`);
  const message: Record<string, unknown> = { type };
  for (const [field, kind] of Object.entries(FIELDS[type as Message["type"]])) {
    if (!fits(kind, given[field])) throw broken(`field ${field} of message ${type}`);
    message[field] = given[field];
  }
  return message as Message;
}

/** Null, or what makes `name` unusable as the name of a received file. */
export function nameProblem(name: string): string | null {
  if (name === "" || name === "." || name === "..") return "it is no file name";
  if (name.includes("/") || name.includes("\\") || name.includes("\0")) return "it has path separators";
  if (Buffer.byteLength(name) > MAX_NAME_BYTES) return "it is longer than 255 bytes";
  return null;
}

export function encodeRangeHeader(range: Range): Uint8Array {
  const bytes = Buffer.alloc(RANGE_HEADER_BYTES);
  bytes.writeUInt32BE(RANGE_MAGIC, 0);
  bytes.writeUInt32BE(range.file, 4);
  bytes.writeUIntBE(range.offset, 8, 6);
  bytes.writeUIntBE(range.length, 14, 6);
  return bytes;
}

function decodeRangeHeader(bytes: Buffer): Range {
  if (bytes.readUInt32BE(0) !== RANGE_MAGIC) throw broken("a stream does not start with a range");
  return { file: bytes.readUInt32BE(4), offset: bytes.readUIntBE(8, 6), length: bytes.readUIntBE(14, 6) };
}

/** Reads the header of a stream of a range; `batches` are the bytes behind it. */
export async function readRange(source: ByteSource): Promise<{ range: Range; batches: AsyncIterable<Uint8Array[]> }> {
  const batches = source[Symbol.asyncIterator]();
  const header = Buffer.alloc(RANGE_HEADER_BYTES);
  const first: Uint8Array[] = [];
  for (let filled = 0; filled < RANGE_HEADER_BYTES; ) {
    const next = await batches.next();
    if (next.done === true) throw broken("a stream ended inside its header");
    for (const chunk of next.value) {
      const taken = Math.min(RANGE_HEADER_BYTES - filled, chunk.length);
      header.set(chunk.subarray(0, taken), filled);
      filled += taken;
      if (taken < chunk.length) first.push(chunk.subarray(taken));
    }
  }
  return { range: decodeRangeHeader(header), batches: withFirst(first, batches) };
}

async function* withFirst(first: Uint8Array[], batches: AsyncIterator<Uint8Array[]>): AsyncGenerator<Uint8Array[]> {
  if (first.length > 0) yield first;
  for (let next = await batches.next(); next.done !== true; next = await batches.next()) yield next.value;
}

/** The messages of the control stream, both ways. */
export class Control {
  private readonly sink: ByteSink;
  private readonly source: ByteSource;
  private lastWrite: Promise<void> = Promise.resolve();

  constructor(stream: ControlStream) {
    this.sink = stream.sink;
    this.source = stream.source;
  }

  /** Messages go out in the order of the calls. */
  send(message: Message): Promise<void> {
    const bytes = Buffer.from(`${JSON.stringify(message)}\n`);
    this.lastWrite = this.lastWrite.then(() => this.sink.write(bytes));
    this.lastWrite.catch(() => {}); // whoever sent it hears of it
    return this.lastWrite;
  }

  async end(): Promise<void> {
    await this.lastWrite;
    await this.sink.end();
  }

  async *messages(): AsyncGenerator<Message> {
    let pending = "";
    const decoder = new TextDecoder();
    for await (const batch of this.source) {
      for (const chunk of batch) {
        pending += decoder.decode(chunk, { stream: true });
        let start = 0;
        for (let end = pending.indexOf("\n"); end >= 0; end = pending.indexOf("\n", start)) {
          if (end - start > MAX_LINE_BYTES) throw broken("a message is too long");
          yield parseMessage(pending.slice(start, end));
          start = end + 1;
        }
        pending = pending.slice(start);
        if (pending.length > MAX_LINE_BYTES) throw broken("a message is too long");
      }
    }
    if (pending !== "") throw broken("the control stream ended inside a message");
  }
}
