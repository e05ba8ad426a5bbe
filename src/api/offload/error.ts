/** Errors of the offload: the errno names of the kernel's own, as system errors of Node look. */

import { constants } from "node:os";

export type OffloadErrorCode =
  | "EAFNOSUPPORT"
  | "EAGAIN"
  | "EBADF"
  | "EEXIST"
  | "EFAULT"
  | "EINVAL"
  | "EIO"
  | "EMSGSIZE"
  | "ENOENT"
  | "ENOMEM"
  | "ENOPROTOOPT";

export type OffloadCall = "setsockopt" | "getsockopt" | "sendmsg";

/** Why a call was refused; nothing was sent, installed or removed by it. */
export class OffloadError extends Error {
  override readonly name = "OffloadError";
  /** `EINVAL` and so on; stable, unlike the message. */
  readonly code: OffloadErrorCode;
  /** The same as a negative number. */
  readonly errno: number;
  /** The socket call that the method stands for. */
  readonly syscall: OffloadCall;

  constructor(code: OffloadErrorCode, syscall: OffloadCall, message: string) {
    super(`${syscall} ${code}: ${message}`);
    this.code = code;
    this.errno = -constants.errno[code];
    this.syscall = syscall;
  }
}
