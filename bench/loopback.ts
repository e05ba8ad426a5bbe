/** QUIC through the public API as the programs of the benchmarks speak it: a server on loopback, its client, one stream's bytes. */

import { connect, listen, type QuicSession, type QuicStream, type SessionOptions } from "#src/api/quic/index.js";
import { devCertificate } from "#src/runtime/native/x509.js";
import { tell } from "./child.js";

/** What a server tells its client. */
export interface Target {
  port: number;
  ca: string;
}

export const ALPN = "perf";
const READ_BYTES = 256 * 1024;
/** What is written, whoever writes: more than one would only be more cache. */
const chunk = new Uint8Array(1 << 20);

/** A handshake agent that has the key of a server. */
export interface AgentTarget {
  path: string;
  ca: string;
}

/** Listens on loopback, with a key of its own or one that an agent has, and tells where. */
export async function serve(
  onsession: (session: QuicSession) => void,
  options: SessionOptions = {},
  agent: AgentTarget | null = null,
): Promise<void> {
  const { cert, key } = devCertificate({ hosts: ["localhost"] });
  const own = agent === null ? { sni: { "*": { keys: key, certs: cert } } } : { ext: { agent: agent.path } };
  const endpoint = await listen(onsession, { ...options, ...own, alpn: [ALPN], endpoint: { address: "127.0.0.1:0" } });
  tell({ port: endpoint.address?.port, ca: agent?.ca ?? cert });
}

/** A server whose streams are downloads: the first, of all its sessions, is `warmUp`, each one after it `counted`. */
export function serveDownloads(
  warmUp: (stream: QuicStream) => Promise<void>,
  counted: (stream: QuicStream, session: QuicSession) => Promise<void>,
  options: SessionOptions = {},
): Promise<void> {
  let isWarm = false;
  return serve((session) => {
    session.closed.catch(() => {});
    session.onstream = async (stream) => {
      await drain(stream);
      if (isWarm) return counted(stream, session);
      isWarm = true;
      return warmUp(stream);
    };
  }, options);
}

/** The bytes of one download. */
export async function download(session: QuicSession): Promise<number> {
  const stream = await session.createBidirectionalStream();
  await stream.writer.end();
  return drain(stream);
}

/** A session with the server of this run, once it is open. */
export async function dial(server: unknown, options: SessionOptions = {}): Promise<QuicSession> {
  const { port, ca } = server as Target;
  const session = await connect(`127.0.0.1:${port}`, { ...options, alpn: ALPN, ca, servername: "localhost" });
  await session.opened;
  return session;
}

/** Reads to the end and returns the bytes. */
export async function drain(stream: QuicStream): Promise<number> {
  const into = new Uint8Array(READ_BYTES);
  for (let bytes = 0; ; ) {
    const got = await stream.ext.read({ into });
    if (got === null) return bytes;
    bytes += got.length;
  }
}

/** Writes `bytes` in chunks of at most 1 MiB, then the end. */
export async function send(stream: QuicStream, bytes: number, chunkBytes = chunk.length): Promise<void> {
  for (let left = bytes; left > 0; left -= chunkBytes) {
    const length = Math.min(left, chunkBytes);
    await stream.writer.write(length < chunk.length ? chunk.subarray(0, length) : chunk);
  }
  await stream.writer.end();
}
