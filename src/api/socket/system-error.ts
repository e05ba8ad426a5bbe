/** Errors of socket calls, as Node's own system errors look: `code`, `errno` (negative) and `syscall`. */

import { errnoName } from "../../socket/errno.js";

export interface SocketError extends Error {
  /** `EAGAIN`, `ENOSPC`, `ENOSTR`, ... */
  code: string;
  /** Negative, Linux's number. */
  errno: number;
  syscall: string;
}

/** `result` is a negative errno. */
export function socketError(syscall: string, result: number): SocketError {
  const code = errnoName(-result);
  return Object.assign(new Error(`${syscall} ${code}`), { code, errno: result, syscall });
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
