/**
 * What goes wrong, as users see it: QuicError with a stable string `code` (that of `node:quic` for the same situation), the
 * RFC's number as `errorCode`, and one sentence that says what to do. Messages may change, codes do not.
 */

import { inspect } from "node:util";
import type { CloseInfo } from "../port/transport.js";
import { localAlertText, remoteAlertText, tlsAlertName } from "../proto/tls-alert.js";
import {
  CONNECTION_REFUSED,
  CRYPTO_ERROR,
  INTERNAL_ERROR,
  isCryptoError,
  transportErrorName,
} from "../proto/transport-error.js";

/** RFC 9000 §16: error codes are 62-bit integers. */
const MAX_CODE = 2n ** 62n - 1n;

export interface QuicErrorOptions {
  /** Number on the wire, 0 to 2^62-1; default 0. */
  errorCode?: bigint | number;
  /** `error.code`; default `ERR_QUIC_STREAM_ABORTED`. */
  code?: string;
  /** Whose number it is; default `application`. */
  type?: "application" | "transport";
  cause?: unknown;
}

/** An error of a stream or a session. Give one to `destroy` or `fail` to choose the code on the wire. */
export class QuicError extends Error {
  override readonly name = "QuicError";
  readonly code: string;
  readonly errorCode: bigint;
  readonly type: "application" | "transport";
  /** TLS alert number (RFC 8446 §6) of a failed handshake, else null. */
  alert: number | null = null;
  /** Whether the peer (or the network) raised it. */
  remote = false;
  /** Frame type that triggered a transport error, 0 when unknown. */
  frameType = 0;
  /** Reason phrase of the CONNECTION_CLOSE, "" for none. */
  reason = "";

  /** @throws RangeError, code `ERR_INVALID_ARG_VALUE`, for an `errorCode` beyond 62 bits. */
  constructor(message: string, options: QuicErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = options.code ?? "ERR_QUIC_STREAM_ABORTED";
    this.errorCode = toCode(options.errorCode ?? 0n, "options.errorCode");
    this.type = options.type ?? "application";
  }
}

/** An error code as it goes on the wire. @throws for anything that is no integer of 0 to 2^62-1. */
export function toCode(value: unknown, name: string): bigint {
  if (typeof value !== "bigint" && typeof value !== "number") throw invalidType(name, "a bigint or a number", value);
  if (typeof value === "number" && !Number.isSafeInteger(value)) throw invalidValue(name, "is no safe integer", value);
  const code = BigInt(value);
  if (code < 0n || code > MAX_CODE) throw invalidValue(name, "must be 0 to 2^62-1", value);
  return code;
}

/** The code that a reset carries for `error` (node:quic: INTERNAL_ERROR for what is no QuicError). */
export function wireCode(error: unknown): bigint {
  return error instanceof QuicError ? error.errorCode : BigInt(INTERNAL_ERROR);
}

export function invalidType(name: string, expected: string, given: unknown): TypeError {
  const message = `The "${name}" option must be ${expected}. Received ${describe(given)}`;
  return Object.assign(new TypeError(message), { code: "ERR_INVALID_ARG_TYPE" });
}

export function invalidValue(name: string, why: string, given: unknown): RangeError {
  const message = `The "${name}" option ${why}. Received ${describe(given)}`;
  return Object.assign(new RangeError(message), { code: "ERR_INVALID_ARG_VALUE" });
}

export function invalidState(message: string): Error {
  return Object.assign(new Error(message), { code: "ERR_INVALID_STATE" });
}

export function noDatagrams(): QuicError {
  const message = "the peer takes no datagrams: it announced no max_datagram_frame_size (RFC 9221 §3)";
  return new QuicError(message, { code: "ERR_QUIC_NO_DATAGRAMS", type: "transport" });
}

export function datagramTooLarge(bytes: number, most: number): QuicError {
  const message = `a datagram of ${bytes} bytes; the most that fits now is ${most}, see session.maxDatagramSize`;
  return new QuicError(message, { code: "ERR_QUIC_DATAGRAM_TOO_LARGE", type: "transport" });
}

export function endpointClosed(): QuicError {
  return new QuicError("the endpoint is closed", { code: "ERR_QUIC_ENDPOINT_CLOSED", type: "transport" });
}

export function streamReset(code: bigint): QuicError {
  const error = new QuicError(`the peer reset the stream with code ${code}`, {
    code: "ERR_QUIC_STREAM_RESET",
    errorCode: code,
  });
  error.remote = true;
  return error;
}

export function streamStopped(code: bigint): QuicError {
  const error = new QuicError(`the peer reads no more of the stream (STOP_SENDING, code ${code})`, { errorCode: code });
  error.remote = true;
  return error;
}

/** A stream that ended because of this side: `what` says how. */
export function streamAborted(what: string, cause?: unknown): QuicError {
  return new QuicError(what, cause === undefined ? {} : { cause });
}

/** Why a connection ended, or null for an end without an error. `peer` is its address, for the message. */
export function closeError(info: CloseInfo, peer: string): QuicError | null {
  const isNetwork = info.type !== "application" && info.type !== "transport";
  if (!isNetwork && info.code === 0n) return null;
  const error = isNetwork ? networkError(info, peer) : closeFrameError(info, peer);
  error.remote = info.remote;
  error.frameType = info.frameType;
  error.reason = info.reason;
  return error;
}

function networkError(info: CloseInfo, peer: string): QuicError {
  const make = (message: string, code: string): QuicError => new QuicError(message, { code, type: "transport" });
  switch (info.type) {
    case "idle-timeout":
      return make(`nothing came from ${peer} until the idle timeout`, "ERR_QUIC_IDLE_TIMEOUT");
    case "handshake-timeout":
      return make(`no handshake with ${peer} in time: no QUIC server answers there`, "ERR_QUIC_HANDSHAKE_TIMEOUT");
    case "stateless-reset":
      return make(`${peer} no longer knows this connection (stateless reset)`, "ERR_QUIC_STATELESS_RESET");
    default:
      return make(
        `${peer} speaks none of our QUIC versions${info.reason === "" ? "" : `: ${info.reason}`}`,
        "ERR_QUIC_VERSION_NEGOTIATION_ERROR",
      );
  }
}

function closeFrameError(info: CloseInfo, peer: string): QuicError {
  const { type, code: errorCode } = info;
  const reason = info.reason === "" ? "" : `: ${info.reason}`;
  if (type === "application") {
    const message = `${who(info, peer)} closed the connection with application code ${errorCode}${reason}`;
    return new QuicError(message, { code: "ERR_QUIC_APPLICATION_ERROR", errorCode });
  }
  const number = Number(errorCode);
  if (isCryptoError(number)) return handshakeError(info, number - CRYPTO_ERROR, peer);
  if (number === CONNECTION_REFUSED && info.remote) {
    const code = "ERR_QUIC_CONNECTION_REFUSED";
    return new QuicError(`${peer} refused the connection${reason}`, { code, errorCode, type: "transport" });
  }
  const message = `${who(info, peer)} closed the connection: ${transportErrorName(number)}${reason}`;
  return new QuicError(message, { code: "ERR_QUIC_TRANSPORT_ERROR", errorCode, type: "transport" });
}

function handshakeError(info: CloseInfo, alert: number, peer: string): QuicError {
  const advice = info.remote ? remoteAlertText(alert) : localAlertText(alert);
  // our own reason is the advice with what the TLS library found; the peer's is in its own words
  const detail = !info.remote && info.reason.startsWith(tlsAlertName(alert)) ? info.reason : advice;
  const told = info.remote ? withoutAdvice(info.reason, advice) : "";
  const extra = told === "" ? "" : ` (peer: ${told})`;
  const error = new QuicError(`TLS handshake with ${peer} failed, alert ${alert} ${detail}${extra}`, {
    code: "ERR_QUIC_HANDSHAKE",
    errorCode: info.code,
    type: "transport",
  });
  error.alert = alert;
  return error;
}

/** A peer of our own kind gives the advice, too, and in brackets what its TLS library found. */
function withoutAdvice(reason: string, advice: string): string {
  if (!reason.startsWith(advice)) return reason;
  return reason
    .slice(advice.length)
    .trim()
    .replace(/^\((.*)\)$/s, "$1");
}

function who(info: CloseInfo, peer: string): string {
  return info.remote ? peer : "this side";
}

function describe(given: unknown): string {
  const text = inspect(given, { depth: 0, breakLength: Infinity });
  const short = text.length > 60 ? `${text.slice(0, 57)}...` : text;
  return `${short} (${given === null ? "null" : typeof given})`;
}
