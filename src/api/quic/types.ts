/** Shapes of values that users of the API see. */

import type { SocketAddress } from "node:net";
import type { PathValidationResult } from "../../port/transport.js";
import type { QuicSession } from "./session.js";
import type { QuicStream } from "./stream.js";

/** What `session.opened` resolves to. */
export interface OpenedInfo {
  local: SocketAddress;
  remote: SocketAddress;
  /** SNI, "" for none. */
  servername: string;
  /** Negotiated ALPN protocol. */
  protocol: string;
  cipher: string;
  cipherVersion: "TLSv1.3";
  /** Why the peer's certificate did not verify, "" when it did or none was asked for; not "" only with manual checks. */
  validationErrorReason: string;
  /** OpenSSL's number of it (X509_V_ERR_*), 0 for none. */
  validationErrorCode: number;
  /** The client offered 0-RTT, and the server took it. */
  earlyDataAttempted: boolean;
  earlyDataAccepted: boolean;
}

/** All are called with the session as `this`; what they throw or reject with destroys the session. */
export interface SessionCallbacks {
  /** The peer opened a stream. Without it, streams of the peer are destroyed at the end of the turn. What it throws destroys that stream only. */
  onstream?: ((this: QuicSession, stream: QuicStream) => unknown) | undefined;
  /** The session is destroyed with this error. */
  onerror?: ((this: QuicSession, error: unknown) => unknown) | undefined;
  onhandshake?: ((this: QuicSession, info: OpenedInfo) => unknown) | undefined;
  /** The server refused 0-RTT: what was sent so is on its way again, streams and all. Before `onhandshake`; client only. */
  onearlyrejected?: ((this: QuicSession) => unknown) | undefined;
  /** For the option `sessionTicket` of a later connect. */
  onsessionticket?: ((this: QuicSession, ticket: Uint8Array) => unknown) | undefined;
  /** For the option `token` of a later connect to the same server. */
  onnewtoken?: ((this: QuicSession, token: Uint8Array, address: SocketAddress) => unknown) | undefined;
  /** The peer sent a datagram; `early` when it came in 0-RTT. Without it, datagrams are dropped. */
  ondatagram?: ((this: QuicSession, datagram: Uint8Array, early: boolean) => unknown) | undefined;
  /** What became of a datagram that was sent: once for each, unless the session ends while it is in flight. */
  ondatagramstatus?:
    | ((this: QuicSession, id: bigint, status: "acknowledged" | "lost" | "abandoned") => unknown)
    | undefined;
  /**
   * A path was asked whether it works (RFC 9000 §8.2), by `ext.migrate`, for the server's preferred address, or at a server
   * whose client moved: it answered, did not, or was of no interest any more.
   */
  onpathvalidation?:
    | ((
        this: QuicSession,
        result: PathValidationResult,
        newLocalAddress: SocketAddress,
        newRemoteAddress: SocketAddress,
        oldLocalAddress: SocketAddress,
        oldRemoteAddress: SocketAddress,
        preferredAddress: boolean,
      ) => unknown)
    | undefined;
  /** One line of NSS key log, newline included; with `keylog: true`. */
  onkeylog?: ((this: QuicSession, line: string) => unknown) | undefined;
}

export const CALLBACK_NAMES = [
  "onstream",
  "onerror",
  "onhandshake",
  "onearlyrejected",
  "onsessionticket",
  "onnewtoken",
  "ondatagram",
  "ondatagramstatus",
  "onpathvalidation",
  "onkeylog",
] as const satisfies readonly (keyof SessionCallbacks)[];

/** All are called with the stream as `this`; what they throw or reject with destroys the stream. */
export interface StreamCallbacks {
  /** The stream is destroyed with this error. */
  onerror?: ((this: QuicStream, error: unknown) => unknown) | undefined;
  /** A write waits for room. */
  onblocked?: ((this: QuicStream) => unknown) | undefined;
  /** The peer sent RESET_STREAM: nothing more can be read. */
  onreset?: ((this: QuicStream, error: unknown) => unknown) | undefined;
  /** The peer sent STOP_SENDING: nothing more can be written. */
  onstopsending?: ((this: QuicStream, error: unknown) => unknown) | undefined;
}

/** How a session ends on the wire. */
export interface CloseOptions {
  /** 0 to 2^62-1; default 0. */
  code?: bigint | number;
  /** Namespace of `code`; default `transport`. */
  type?: "transport" | "application";
  reason?: string;
}

/** Calls a user's function; `onThrow` gets what it throws, or rejects with. */
export function callUser<This, Args extends unknown[]>(
  callback: ((this: This, ...args: Args) => unknown) | undefined,
  self: This,
  args: Args,
  onThrow: (error: unknown) => void,
): void {
  if (callback === undefined) return;
  try {
    const result = callback.apply(self, args);
    if (result instanceof Promise) result.catch(onThrow);
  } catch (error) {
    onThrow(error);
  }
}

/** For what a callback threw that has nobody else to go to. */
export function warnOfThrow(callback: string, error: unknown): void {
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
  process.emitWarning(`${callback} failed: ${text}`, { type: "NetquicWarning" });
}
