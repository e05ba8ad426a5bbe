/**
 * What both ends of an interop cell speak, and how a peer program talks to the harness. Every peer program imports this
 * file, so that only its QUIC calls are its own.
 *
 * On the wire, ALPN `netquic-interop`, one bidirectional stream of the client for each request:
 *
 *   GET <n>\n FIN        the server answers with n bytes of {@link pattern} and FIN
 *   PUT\n <bytes> FIN    the server answers with the SHA-256 of the bytes as 64 hex digits and FIN
 *
 * To the harness: options are one JSON object in argv, results are lines of JSON on stdout. A server prints
 * `{"listening": port}` and, for each connection, `{"accepted": {...}}`; a client prints one `{"ok": ..., "detail": ...}`.
 * A server ends when its stdin does, so that none outlives the harness.
 */

import { createHash } from "node:crypto";
import type { InteropCase } from "./cases.js";

export const ALPN = "netquic-interop";
/** Most that one GET may ask for, bytes. */
const MAX_GET_BYTES = 64 * 1024 * 1024;
const CHUNK_BYTES = 64 * 1024;
const MAX_LINE_BYTES = 32;
const CONNECTIONS_AT_ONCE = 10;

export interface ProgramOptions {
  role: "client" | "server";
  host: string;
  /** Client: where to connect to. Server: 0 for any. */
  port: number;
  /** ALPN; `h3` lets our own program speak HTTP/3 through the shim. */
  alpn: string;
  /** PEM files: the server's chain and key, and the authority that signed it. */
  cert: string;
  key: string;
  ca: string;
  case: InteropCase;
  /** Size of one request. */
  bytes: number;
  /** One stream down and one up at once, in place of requests. */
  bothWays: boolean;
  /** Requests on each connection, at once as far as the peer's limits go. */
  streams: number;
  connections: number;
  /** TLS suites of our own side; "" for all. */
  ciphers: string;
  /** QUIC versions of our own side; none for all. */
  versions: readonly number[];
  /** A client moves to another local address during each connection. */
  migrates: boolean;
  /** Our own side updates its keys during each connection; a server tells `{"updated": count}`. */
  keyUpdate: boolean;
  /** How long a handshake and silence may last. */
  patienceMillis: number;
  /** Server: validate addresses by Retry before anything else. */
  retry: boolean;
}

/** A bidirectional stream as the protocol needs it. */
export interface InteropStream {
  read: AsyncIterable<Uint8Array>;
  /** Resolves when there is room for more. */
  write(bytes: Uint8Array): Promise<void>;
  /** FIN. */
  end(): Promise<void>;
}

export function readOptions(): ProgramOptions {
  const text = process.argv.at(-1);
  if (text === undefined) throw new Error("options are missing");
  return JSON.parse(text) as ProgramOptions;
}

/** One line to the harness. */
export function tell(line: object): void {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

/** Ends this process with the harness. */
export function endWithHarness(): void {
  process.stdin.on("end", () => process.exit(0));
  process.stdin.on("error", () => process.exit(0));
  process.stdin.resume();
}

/** `count` pseudo-random bytes that both sides can make; no two sizes share a prefix. */
export function pattern(count: number): Uint8Array {
  const bytes = new Uint8Array(count);
  let state = count >>> 0;
  for (let i = 0; i < count; i++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    bytes[i] = state >>> 24;
  }
  return bytes;
}

export function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** Server: answers one request. */
export async function serveStream(stream: InteropStream): Promise<void> {
  const hash = createHash("sha256");
  let line = "";
  let inBody = false;
  for await (const chunk of stream.read) {
    let start = 0;
    while (!inBody && start < chunk.length) {
      const char = String.fromCharCode(chunk[start++]!);
      if (char === "\n") inBody = true;
      else line += char;
      if (line.length > MAX_LINE_BYTES) throw new Error("the request line is too long");
    }
    hash.update(chunk.subarray(start));
  }
  const count = /^GET (\d+)$/.exec(line)?.[1];
  if (count !== undefined && Number(count) <= MAX_GET_BYTES) await writeAll(stream, pattern(Number(count)));
  else if (line === "PUT") await stream.write(new TextEncoder().encode(hash.digest("hex")));
  else throw new Error(`not a request: ${JSON.stringify(line)}`);
  await stream.end();
}

/**
 * Client: `bothWays` moves `bytes` down and up at once on two streams, anything else fetches them `streams` times, so that a
 * close right after the handshake does not race with the server's side of it. All checked; returns what it saw.
 *
 * @param streamsAtOnce for stacks that refuse a stream above the peer's limit in place of waiting
 */
export async function exchange(
  open: () => Promise<InteropStream>,
  options: ProgramOptions,
  streamsAtOnce = Infinity,
): Promise<string> {
  const { bytes, streams } = options;
  const started = process.hrtime.bigint();
  const seconds = () => (Number(process.hrtime.bigint() - started) / 1e9).toFixed(2);
  if (options.bothWays) {
    const [down, up] = await Promise.all([get(await open(), bytes), put(await open(), bytes)]);
    return `${down} down and ${up} up bytes, SHA-256 equal, ${seconds()} s`;
  }
  if (streams === 1) return `${await get(await open(), bytes)} bytes`;
  await atOnce(streams, streamsAtOnce, async () => get(await open(), bytes));
  return `${streams} streams of ${bytes} bytes, SHA-256 equal, ${seconds()} s`;
}

/**
 * Client: `connect` for each connection that the case asks for, each to its end or for {@link ProgramOptions.patienceMillis};
 * returns what the last one saw. With more than one, every connection says how long it took, and all are tried.
 */
export async function eachConnection(options: ProgramOptions, connect: () => Promise<string>): Promise<string> {
  if (options.connections === 1) return connect();
  const taken: number[] = [];
  const failures: string[] = [];
  let seen = "";
  await atOnce(options.connections, CONNECTIONS_AT_ONCE, async () => {
    const started = performance.now();
    const millis = () => Math.round(performance.now() - started);
    try {
      seen = await patiently(connect(), options.patienceMillis);
      taken.push(millis());
      tell({ connected: taken.length, millis: millis() });
    } catch (error) {
      failures.push(`${describe(error)} after ${millis()} ms`);
      tell({ connectionFailed: failures.length, failure: failures.at(-1) });
    }
  });
  const slowest = `slowest ${taken.reduce((most, one) => Math.max(most, one), 0)} ms`;
  const counted = `${taken.length} of ${options.connections} connections, ${slowest}`;
  if (failures.length > 0) throw new Error(`${counted}: ${failures.slice(0, 3).join("; ")}`);
  return `${counted}; ${seen}`;
}

/** Rejects when `work` takes longer; what it does then is nobody's business any more. */
async function patiently<T>(work: Promise<T>, millis: number): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const limit = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`the connection took more than ${millis / 1000} s`)), millis);
  });
  try {
    return await Promise.race([work, limit]);
  } finally {
    clearTimeout(timer);
  }
}

/** Runs `work` `count` times, at most `limit` at a time. */
async function atOnce(count: number, limit: number, work: () => Promise<unknown>): Promise<void> {
  let left = count;
  const worker = async (): Promise<void> => {
    while (left-- > 0) await work();
  };
  await Promise.all(Array.from({ length: Math.min(count, limit) }, worker));
}

/** `host:port` as URLs and QUIC APIs want it. */
export function addressOf({ host, port }: ProgramOptions): string {
  return `${host.includes(":") ? `[${host}]` : host}:${port}`;
}

async function get(stream: InteropStream, bytes: number): Promise<number> {
  await stream.write(new TextEncoder().encode(`GET ${bytes}\n`));
  await stream.end();
  const body = await readAll(stream.read);
  if (sha256(body) !== sha256(pattern(bytes))) throw new Error(`GET: ${body.length} bytes with a wrong checksum`);
  return body.length;
}

async function put(stream: InteropStream, bytes: number): Promise<number> {
  const body = pattern(bytes);
  const answer = readAll(stream.read);
  await stream.write(new TextEncoder().encode("PUT\n"));
  await writeAll(stream, body);
  await stream.end();
  const hex = new TextDecoder().decode(await answer);
  if (hex !== sha256(body)) throw new Error(`PUT: the server answered ${JSON.stringify(hex.slice(0, 80))}`);
  return bytes;
}

async function writeAll(stream: InteropStream, body: Uint8Array): Promise<void> {
  for (let at = 0; at < body.length; at += CHUNK_BYTES) await stream.write(body.subarray(at, at + CHUNK_BYTES));
}

export async function readAll(chunks: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  for await (const chunk of chunks) parts.push(chunk);
  return Buffer.concat(parts);
}

/** Runs a client to its end and tells the harness how it went. */
export async function runClient(work: () => Promise<string>): Promise<void> {
  try {
    tell({ ok: true, detail: await work() });
  } catch (error) {
    tell({ ok: false, detail: describe(error) });
  }
}

/** Name, code and message of an error and of its causes, on one line. */
export function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { code, cause } = error as { code?: unknown; cause?: unknown };
  const own = `${error.name}${code === undefined ? "" : ` ${String(code)}`}: ${error.message}`;
  const text = cause === undefined ? own : `${own} < ${describe(cause)}`;
  return text.replaceAll(/\s+/g, " ").slice(0, 400);
}

/** The two halves of a WHATWG stream pair as an {@link InteropStream}. */
export function fromWebStreams(pair: {
  readable: AsyncIterable<Uint8Array>;
  writable: {
    getWriter(): { ready: Promise<unknown>; write(bytes: Uint8Array): Promise<void>; close(): Promise<void> };
  };
}): InteropStream {
  const writer = pair.writable.getWriter();
  return {
    read: pair.readable,
    write: (bytes) => writer.write(bytes),
    end: () => writer.close(),
  };
}
