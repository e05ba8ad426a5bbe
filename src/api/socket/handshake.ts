/**
 * Handshakes for sockets by the TLS library of this process: what libquic does for C programs. TLS messages go from the
 * socket to the library and back, as a program with its own TLS would carry them.
 */

import { LEVEL_APP, LEVEL_EARLY, LEVEL_HANDSHAKE, LEVEL_INITIAL, type Level, type TlsSession } from "../../port/tls.js";
import { EINVAL, ETIMEDOUT } from "../../socket/errno.js";
import {
  QUIC_CRYPTO_APP,
  QUIC_CRYPTO_EARLY,
  QUIC_CRYPTO_HANDSHAKE,
  QUIC_CRYPTO_INITIAL,
  QUIC_SS_CLOSED,
  QUIC_SS_ESTABLISHING,
} from "../../socket/numbers.js";
import type { MessageTls } from "../../socket/tls-messages.js";
import { sharedTls } from "../environment.js";
import { closeError } from "../errors.js";
import { fileOf } from "./descriptors.js";
import type { SocketFile } from "./socket-file.js";
import { socketError } from "./system-error.js";
import type { WaitOptions } from "./waiting.js";

/** By QUIC_CRYPTO_*. */
const LEVEL_OF: Readonly<Record<number, Level>> = {
  [QUIC_CRYPTO_APP]: LEVEL_APP,
  [QUIC_CRYPTO_INITIAL]: LEVEL_INITIAL,
  [QUIC_CRYPTO_HANDSHAKE]: LEVEL_HANDSHAKE,
  [QUIC_CRYPTO_EARLY]: LEVEL_EARLY,
};
/** By LEVEL_*. */
const CRYPTO_OF = [QUIC_CRYPTO_INITIAL, QUIC_CRYPTO_EARLY, QUIC_CRYPTO_HANDSHAKE, QUIC_CRYPTO_APP];
const DEFAULT_TIMEOUT_MILLIS = 10_000;

export interface ClientHandshakeOptions extends WaitOptions {
  /** SNI, and the name that the certificate must be valid for. */
  serverName: string;
  /** Trust anchors, PEM; default those of the runtime. */
  ca?: string[];
  /** Certificate and key, PEM, for a server that asks. */
  identity?: { cert: string; key: string };
  /** Milliseconds; default 10,000. */
  timeoutMillis?: number;
}

export interface ServerHandshakeOptions extends WaitOptions {
  /** Certificate chain and key, PEM. */
  cert: string;
  key: string;
  /** Trust anchors for client certificates, PEM; option CONFIG, `certificate_request`, says whether to ask for one. */
  ca?: string[];
  timeoutMillis?: number;
}

/** The client's handshake, after `connect`. Rejects with a QuicError of TLS, ETIMEDOUT, EINVAL, or the signal's reason. */
export async function quic_client_handshake(sd: number, options: ClientHandshakeOptions): Promise<void> {
  const file = fileOf(sd, "quic_client_handshake");
  const { serverName, ca, identity } = options;
  const tls = tlsOf(file, "quic_client_handshake");
  const context = sharedTls().newClientContext({
    alpn: [...file.sock.alpn],
    serverName,
    verify: "strict",
    ...(ca !== undefined && { ca }),
    ...(identity !== undefined && { identity }),
  });
  const session = context.newSession({ transportParams: tls.transportParams });
  await drive(file, tls, session, options, () => context.close());
}

/** The server's handshake, on an accepted socket. Rejects as the client's does. */
export async function quic_server_handshake(sd: number, options: ServerHandshakeOptions): Promise<void> {
  const file = fileOf(sd, "quic_server_handshake");
  const { cert, key, ca } = options;
  const tls = tlsOf(file, "quic_server_handshake");
  const context = sharedTls().newServerContext({
    alpn: [...file.sock.alpn],
    identities: { "*": { cert, key } },
    clientCertificate: CERTIFICATE_REQUEST[file.sock.settings.config.certificate_request] ?? "ignore",
    ...(ca !== undefined && { ca }),
  });
  const session = context.newSession({ transportParams: tls.transportParams });
  await drive(file, tls, session, options, () => context.close());
}

/** By `certificate_request` of option CONFIG. */
const CERTIFICATE_REQUEST = ["ignore", "request", "require", "ignore"] as const;

function tlsOf({ sock }: SocketFile, syscall: string): MessageTls {
  if (sock.tls === null || sock.state !== QUIC_SS_ESTABLISHING || sock.alpn.length === 0) {
    throw socketError(syscall, -EINVAL);
  }
  sock.tls.isDriven = true;
  return sock.tls;
}

/** Carries messages until the handshake is complete; at a client also tickets, until the connection ends. */
function drive(
  file: SocketFile,
  tls: MessageTls,
  session: TlsSession,
  { signal, timeoutMillis = DEFAULT_TIMEOUT_MILLIS }: WaitOptions & { timeoutMillis?: number },
  release: () => void,
): Promise<void> {
  return new Promise((resolve, reject) => {
    let stop = (): void => {};
    const end = (error: unknown): void => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", onAbort);
      const goesOn = error === null && !file.sock.isServer;
      if (!goesOn) finish();
      if (error === null) resolve();
      else reject(error as Error);
    };
    const finish = (): void => {
      stop();
      session.close();
      release();
    };
    const onAbort = (): void => end(signal?.reason);
    const timer = setTimeout(() => end(socketError("handshake", -ETIMEDOUT)), timeoutMillis);
    let isComplete = false;
    const step = (): void => {
      if (carry(file, tls, session) && !isComplete) {
        isComplete = true;
        end(null);
      } else if (file.sock.state === QUIC_SS_CLOSED) {
        if (isComplete) finish();
        else end(whyClosed(file));
      }
    };
    stop = file.onWake(step);
    session.onResults = step;
    signal?.addEventListener("abort", onAbort, { once: true });
    step();
  });
}

/** Moves what either side has; true when the library said that the handshake is complete. */
function carry(file: SocketFile, tls: MessageTls, session: TlsSession): boolean {
  const { sock } = file;
  let isComplete = false;
  for (;;) {
    const message = sock.list.handshake.shift();
    if (message !== undefined) session.put(LEVEL_OF[message.level] as Level, message.bytes);
    const before = sock.list.handshake.length;
    for (let result = session.take(); result !== null; result = session.take()) {
      if (result.kind === "send") tls.send(CRYPTO_OF[result.level] as number, result.bytes);
      else if (result.kind === "secret") {
        tls.setSecret(CRYPTO_OF[result.level] as number, result.direction, result.aead, result.secret);
      } else if (result.kind === "alert") tls.fail(result.alert, result.message);
      else if (result.kind === "ticket") sock.onTicket(result.bytes);
      else if (result.kind === "done") {
        sock.alpn = [result.info.alpn];
        tls.complete(result.info);
        isComplete = true;
      }
    }
    if (message === undefined && sock.list.handshake.length === before) return isComplete;
  }
}

function whyClosed({ conn, sock }: SocketFile): unknown {
  const info = conn?.closeInfo ?? null;
  const error = info === null ? null : closeError(info, "the peer");
  return error ?? socketError("handshake", sock.state === QUIC_SS_CLOSED ? -EINVAL : -ETIMEDOUT);
}
