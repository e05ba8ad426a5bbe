/** Errors of socket calls, as Node's own system errors look: `code`, `errno` (negative) and `syscall`. */

import { UNKNOWN_PSK_IDENTITY } from "../../port/tls.js";
import { EACCES, EIO, EKEYREJECTED, errnoName, ESRCH, ETIMEDOUT } from "../../socket/errno.js";

export interface SocketError extends Error {
  /** `EAGAIN`, `ENOSPC`, `ENOSTR`, ... */
  code: string;
  /** Negative, Linux's number. */
  errno: number;
  syscall: string;
}

/** `result` is a negative errno; `detail` says for people what it was, `cause` for programs. */
export function socketError(syscall: string, result: number, detail = "", cause?: unknown): SocketError {
  const code = errnoName(-result);
  const message = `${syscall} ${code}${detail === "" ? "" : `: ${detail}`}`;
  const error = cause === undefined ? new Error(message) : new Error(message, { cause });
  return Object.assign(error, { code, errno: result, syscall });
}

/** What a handshake agent calls failures that are not of TLS. */
const AGENT_ERRORS: Readonly<Record<string, number>> = { EIO, ESRCH, ETIMEDOUT };

/**
 * This side's TLS failed: EACCES, or EKEYREJECTED for a server that has no key of the client's identity. Or its agent did:
 * ETIMEDOUT, ESRCH (there is none), EIO (anything else).
 */
export function handshakeError(
  syscall: string,
  { message, code = "" }: { message: string; code?: string },
  cause?: unknown,
): SocketError {
  const byTls = message.includes(UNKNOWN_PSK_IDENTITY) ? EKEYREJECTED : EACCES;
  return socketError(syscall, -(AGENT_ERRORS[code] ?? byTls), message, cause);
}

/** The result when it is none. @throws SocketError */
export function checked(syscall: string, result: number): number {
  if (result < 0) throw socketError(syscall, result);
  return result;
}

/** Whether a call that waits would go on waiting. */
export function wouldBlock(error: unknown): boolean {
  const code = (error as { code?: unknown } | null)?.code;
  return code === "EAGAIN" || code === "ENOSPC";
}
