/** The two jobs over the API: listens and serves, or connects and sends. The only file that opens sockets. */

import { lookup } from "node:dns/promises";
import { readFile } from "node:fs/promises";
import { isIP } from "node:net";
import { connect, listen, type QuicEndpoint, type QuicSession } from "../../api/quic/index.js";
import { addressText } from "../../api/address.js";
import { codeOf, Failure, fileFailure, messageOf, toFailure } from "../failure.js";
import { runClient } from "./client.js";
import type { ClientEvents, ClientJob, ClientResult, ServerEvents, ServerJob } from "./job.js";
import { ALPN, MAX_STREAMS } from "./protocol.js";
import { networkFailure, type Peer, QuicLink } from "./quic-link.js";
import { runServer } from "./server.js";

/** Streams that wait for their turn to be read are few: the sender opens no more than --streams at once. */
const TRANSPORT_STREAMS = { initialMaxStreamsBidi: 1, initialMaxStreamsUni: MAX_STREAMS };
/** Keep-alives in the time of silence that ends a connection. */
const KEEP_ALIVES = 3;

/** What all streams together may hold of bytes that the peer has not acknowledged; each gets no less than the minimum. */
const SEND_BUFFERS_BYTES = 4 << 20;
const MIN_SEND_BUFFER_BYTES = 128 * 1024;
/** Flow control windows: a receive buffer grows as large. */
const STREAM_WINDOW_BYTES = 4 << 20;
const WINDOW_BYTES = 12 << 20;

function sessionOptions({ timeoutSeconds, streams }: ServerJob | ClientJob) {
  const share = Math.floor(SEND_BUFFERS_BYTES / streams);
  const sendBufferBytes = Math.max(share, MIN_SEND_BUFFER_BYTES);
  return {
    ext: { sendBufferBytes },
    maxStreamWindow: STREAM_WINDOW_BYTES,
    maxWindow: WINDOW_BYTES,
    handshakeTimeout: timeoutSeconds * 1000,
    keepAlive: Math.floor((timeoutSeconds * 1000) / KEEP_ALIVES),
    transportParams: { ...TRANSPORT_STREAMS, maxIdleTimeout: timeoutSeconds },
  };
}

async function readPem(path: string): Promise<Buffer> {
  return await readFile(path).catch((error) => {
    throw fileFailure("read", path, error);
  });
}

/** Errors about options come from the files that the user named: `files` says which. */
function setupFailure(error: unknown, peer: Peer, files: string): Failure {
  const failure = networkFailure(error, peer);
  if (files === "") return failure;
  const [message] = messageOf(error).split(". Received");
  if (codeOf(error).startsWith("ERR_INVALID_ARG"))
    return new Failure(`cannot use ${files}: ${message}`, { cause: error });
  if (codeOf(error) !== "ERR_QUIC_HANDSHAKE" || failure.byPeer) return failure;
  return new Failure(`${message}; checked against ${files}`, { cause: error });
}

/** Connects, sends, and resolves when everything is verified on both sides and the connection is closed. */
export async function runClientJob(job: ClientJob, events: ClientEvents, signal: AbortSignal): Promise<ClientResult> {
  const { caPath, pin, serverName, timeoutSeconds } = job;
  const peer = { address: addressText(job.host, job.port), timeoutSeconds };
  const common = sessionOptions(job);
  const ca = caPath === null ? null : await readPem(caPath);
  let link: QuicLink;
  let session: QuicSession;
  try {
    session = await connect(peer.address, {
      ...common,
      alpn: ALPN,
      reuseEndpoint: false,
      signal,
      ...(ca === null ? {} : { ca }),
      ...(serverName === null ? {} : { servername: serverName }),
      ...(pin === null
        ? {}
        : { ext: { ...common.ext, serverCertificateHashes: [{ algorithm: "sha-256", value: pin }] } }),
    });
    link = new QuicLink(session, peer, false);
    await session.opened;
  } catch (error) {
    throw setupFailure(error, peer, caPath === null ? "" : `--ca ${caPath}`);
  }
  const { createdAtMicros, handshakeCompletedAtMicros } = session.ext.stats();
  const report = await runClient(link, { ...job, signal, onProgress: events.onProgress });
  return { report, handshakeMicros: handshakeCompletedAtMicros - createdAtMicros };
}

/** Listens and serves: one client with `once`, else until the signal comes. Rejects when it cannot listen. */
export async function runServerJob(job: ServerJob, events: ServerEvents, signal: AbortSignal): Promise<void> {
  let finish: () => void = () => {};
  let fail: (error: unknown) => void = () => {};
  const ended = new Promise<void>((resolve, reject) => {
    finish = resolve;
    fail = reject;
  });
  const running = new Set<Promise<void>>();
  const onSession = (session: QuicSession) => {
    const served = serve(session, job, events, signal).then(() => {
      running.delete(served);
      if (job.once) finish();
    });
    running.add(served);
  };
  const endpoint = await openServer(job, onSession);
  const onAbort = () => fail(signal.reason);
  if (signal.aborted) onAbort();
  signal.addEventListener("abort", onAbort, { once: true });
  endpoint.closed.then(finish, (error) => fail(new Failure(`the server's socket broke: ${messageOf(error)}`)));
  try {
    const { address, port } = endpoint.address as { address: string; port: number };
    events.onListening({ address, port, pin: endpoint.ext.devCertificate?.fingerprint256 ?? null });
    await ended;
  } finally {
    signal.removeEventListener("abort", onAbort);
    await Promise.all(running);
    await endpoint.close().catch(() => {});
  }
}

async function openServer(job: ServerJob, onSession: (session: QuicSession) => void): Promise<QuicEndpoint> {
  const { host, port, certPath, keyPath, timeoutSeconds } = job;
  const where = { address: addressText(host, port), timeoutSeconds };
  const common = sessionOptions(job);
  const own = certPath !== null && keyPath !== null;
  const identity = own
    ? { sni: { "*": { certs: await readPem(certPath), keys: await readPem(keyPath) } } }
    : { ext: { ...common.ext, devCertificate: true as const } };
  try {
    const literal = isIP(host) === 0 ? (await lookup(host)).address : host;
    const options = { ...common, alpn: [ALPN], endpoint: { address: addressText(literal, port) } };
    return await listen(onSession, { ...options, ...identity });
  } catch (error) {
    throw bindFailure(error, job) ?? setupFailure(error, where, own ? `--cert ${certPath} with --key ${keyPath}` : "");
  }
}

function bindFailure(error: unknown, { host, port }: ServerJob): Failure | null {
  switch (codeOf(error)) {
    case "EADDRINUSE":
      return new Failure(`port ${port} of ${host} is in use: choose another with --port`, { cause: error });
    case "EADDRNOTAVAIL":
      return new Failure(`${host} is no address of this machine: choose another with --host`, { cause: error });
    case "EACCES":
    case "EPERM":
      return new Failure(`no permission to listen on port ${port} of ${host}: choose one from 1024`, { cause: error });
    case "ENOTFOUND":
    case "EAI_AGAIN":
      return new Failure(`cannot find an address for ${host}`, { cause: error });
    default:
      return null;
  }
}

/** One client, to its end; `events` hear how it went. */
async function serve(session: QuicSession, job: ServerJob, events: ServerEvents, signal: AbortSignal): Promise<void> {
  const remote = session.path?.remote;
  const address = remote === undefined ? "a client" : addressText(remote.address, remote.port);
  const link = new QuicLink(session, { address, timeoutSeconds: job.timeoutSeconds }, true);
  try {
    await session.opened.catch(() => link.closed);
    events.onServed(await runServer(link, { ...job, signal }));
  } catch (error) {
    events.onServed(toFailure(error));
  }
}
