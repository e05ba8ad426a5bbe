/** Errors of system calls that the addon reports by number. */

import { getSystemErrorMap } from "node:util";

/** An error in the shape of Node's own; `errno` is positive. `where` follows the code: " 127.0.0.1:80". */
export function systemError(errno: number, syscall: string, where = ""): Error {
  const [code, text] = getSystemErrorMap().get(-errno) ?? [`E${errno}`, "unknown error"];
  return Object.assign(new Error(`${syscall} ${code}${where}: ${text}`), { errno: -errno, code, syscall });
}
