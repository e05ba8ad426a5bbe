/** Servers, clients and certificates for the tests of the public API: real UDP and real TLS on the loopback. */

import { createHash } from "node:crypto";
import {
  connect,
  type ConnectOptions,
  listen,
  type ListenOptions,
  type QuicEndpoint,
  QuicError,
  type QuicSession,
  type QuicStream,
} from "#src/api/quic/index.js";
import { type Certificate, makeCertificate } from "#src/runtime/native/x509.js";
import { untilWithin } from "../support/wait.js";

export const ALPN = "netquic-test";

/** One authority and one certificate for `localhost`, made once for all tests of a process. */
let authority: Certificate | undefined;
let leaf: Certificate | undefined;

export function testCa(): Certificate {
  authority ??= makeCertificate({ subject: "netquic test CA", ca: true });
  return authority;
}

export function issue(hosts: string[], options: { notBefore?: Date; notAfter?: Date } = {}): Certificate {
  const { cert: issuerCertPem, key: issuerKeyPem } = testCa();
  return makeCertificate({ subject: hosts[0] ?? "client", hosts, issuerCertPem, issuerKeyPem, ...options });
}

export function testLeaf(): Certificate {
  leaf ??= issue(["localhost", "127.0.0.1", "::1"]);
  return leaf;
}

export type OnSession = (session: QuicSession) => unknown;

/** What a test opens; closed by `Symbol.asyncDispose` in reverse order. */
export class Bench {
  private readonly undo: (() => unknown)[] = [];

  async serve(onSession: OnSession, options: ListenOptions = {}): Promise<QuicEndpoint> {
    const { cert, key } = testLeaf();
    const identity = options.sni === undefined && options.ext === undefined ? { certs: cert, keys: key } : {};
    const endpoint = await listen(onSession, { alpn: [ALPN], ...identity, ...options });
    this.undo.push(async () => {
      endpoint.destroy();
      await endpoint.closed;
    });
    return endpoint;
  }

  /** A session with `endpoint`, trusting the test CA. */
  async connect(endpoint: QuicEndpoint, options: ConnectOptions = {}): Promise<QuicSession> {
    const session = await connect(addressOf(endpoint), { alpn: ALPN, ca: testCa().cert, ...options });
    this.undo.push(() => session.destroy());
    return session;
  }

  /** Both ends of one session, handshake done on both. */
  async pair(
    server: ListenOptions = {},
    client: ConnectOptions = {},
    onSession: OnSession = () => {},
  ): Promise<{ client: QuicSession; server: QuicSession; endpoint: QuicEndpoint }> {
    let accept!: (session: QuicSession) => void;
    const accepted = new Promise<QuicSession>((resolve) => {
      accept = resolve;
    });
    const endpoint = await this.serve((session) => {
      accept(session);
      return onSession(session);
    }, server);
    const session = await this.connect(endpoint, client);
    await session.opened;
    const other = await accepted;
    await other.opened;
    return { client: session, server: other, endpoint };
  }

  later(undo: () => unknown): void {
    this.undo.push(undo);
  }

  async dispose(): Promise<void> {
    for (const undo of this.undo.reverse()) await undo();
  }
}

/** Runs `body` with a bench and takes everything down after it. */
export function withBench(body: (bench: Bench) => Promise<void>): () => Promise<void> {
  return async () => {
    const bench = new Bench();
    try {
      await body(bench);
    } finally {
      await bench.dispose();
    }
  };
}

export function addressOf(endpoint: QuicEndpoint): string {
  const { address, port, family } = endpoint.address ?? { address: "", port: 0, family: "" };
  return family === "ipv6" ? `[${address === "::" ? "::1" : address}]:${port}` : `${address}:${port}`;
}

/** Sends everything back that comes. */
export function echo(session: QuicSession): void {
  session.onstream = async (stream) => {
    for await (const batch of stream) await stream.writer.writev(batch);
    await stream.writer.end();
  };
}

/** The next stream that the peer opens. */
export function nextStream(session: QuicSession): Promise<QuicStream> {
  return new Promise((resolve) => {
    session.onstream = (stream) => {
      resolve(stream);
    };
  });
}

export async function readAll(stream: QuicStream): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const batch of stream) chunks.push(...batch);
  return Buffer.concat(chunks);
}

export function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** Bytes that do not compress and differ at every offset. */
export function content(lengthBytes: number, seed = 1): Buffer {
  const buffer = Buffer.allocUnsafe(lengthBytes);
  let state = seed | 0x5eed;
  for (let i = 0; i < lengthBytes; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    buffer[i] = state >>> 24;
  }
  return buffer;
}

/** The QuicError that `promise` rejects with. */
export async function quicError(promise: Promise<unknown>): Promise<QuicError> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof QuicError) return error;
    throw error;
  }
  throw new Error("it was fulfilled");
}

export function pause(millis: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, millis));
}

/** Waits until `condition` holds, at most `millis`. */
export const until = untilWithin(30_000);
