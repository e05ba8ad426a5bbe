/**
 * Errors as programs written for node:net test them: `code`, `errno`, `syscall`, `address` and `port` of the system's error
 * for the same situation. The QUIC error is the `cause`, its number `quicCode`. What TCP has no word for (the TLS
 * handshake, versions) stays a QuicError with the code of docs/errors.md.
 */

import { constants } from "node:os";
import { QuicError } from "../errors.js";

/** Codes of RESET_STREAM and STOP_SENDING between two sockets: closed in good order, given up, and not taken at all. */
export const CODE_NONE = 0n;
export const CODE_ABORTED = 1n;
export const CODE_REFUSED = 2n;

export type NetCode = "ECONNREFUSED" | "ECONNRESET" | "ECONNABORTED" | "EPIPE" | "ETIMEDOUT";

/** What was under way: the name that the system's error has. */
export type Syscall = "connect" | "read" | "write";

export interface NetError extends Error {
  code: NetCode;
  errno: number;
  syscall: Syscall;
  address?: string;
  port?: number;
  /** Number on the wire, of a stream or of the connection; absent when there was none. */
  quicCode?: bigint;
}

export interface Where {
  address: string;
  port: number;
}

export function netError(code: NetCode, syscall: Syscall, cause: unknown, where?: Where): NetError {
  const at = where === undefined ? "" : ` ${where.address}:${where.port}`;
  const error = new Error(`${syscall} ${code}${at}`, cause === null ? undefined : { cause });
  return Object.assign(error, {
    code,
    errno: -constants.errno[code],
    syscall,
    ...where,
    ...(cause instanceof QuicError && { quicCode: cause.errorCode }),
  });
}

/** By the code of the QuicError that ended a connection; what is not here reset it. */
const CODE_OF_END: Readonly<Record<string, NetCode>> = {
  ERR_QUIC_IDLE_TIMEOUT: "ETIMEDOUT",
  ERR_QUIC_HANDSHAKE_TIMEOUT: "ETIMEDOUT",
  ERR_QUIC_CONNECTION_REFUSED: "ECONNREFUSED",
};
/** Ends that are told as they are. */
const NO_NET_CODE = ["ERR_QUIC_HANDSHAKE", "ERR_QUIC_VERSION_NEGOTIATION_ERROR", "ERR_QUIC_ENDPOINT_CLOSED"];

/** Why a socket ended with its connection, which ended with `cause`; null: with code 0, while the socket was in use. */
export function endError(cause: unknown, syscall: Syscall, where?: Where): Error {
  if (cause === null) return netError("ECONNRESET", syscall, null, where);
  if (!(cause instanceof QuicError)) return cause instanceof Error ? cause : new Error(String(cause));
  if (NO_NET_CODE.includes(cause.code)) return cause;
  return netError(CODE_OF_END[cause.code] ?? "ECONNRESET", syscall, cause, where);
}
