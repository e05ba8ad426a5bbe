/**
 * What a command ends with when it cannot do its work: one line for the person, an exit code, and who caused it.
 * Text that came from the network or from file names is stripped of control characters, so it cannot steer a terminal.
 */

export const EXIT_OK = 0;
export const EXIT_FAILURE = 1;
export const EXIT_USAGE = 2;

/** Longest line printed for one failure, characters. */
const LINE_CHARS = 400;

export class Failure extends Error {
  override readonly name = "Failure";
  readonly exitCode: number;
  /** The other side only tells us that it gave up; its own failure says why. */
  readonly byPeer: boolean;

  constructor(message: string, options: { exitCode?: number; byPeer?: boolean; cause?: unknown } = {}) {
    super(oneLine(message), options.cause === undefined ? {} : { cause: options.cause });
    this.exitCode = options.exitCode ?? EXIT_FAILURE;
    this.byPeer = options.byPeer ?? false;
  }
}

export function usage(message: string): Failure {
  return new Failure(message, { exitCode: EXIT_USAGE });
}

/** What steers a terminal, of C0 and C1, ends a line, or turns the order of what is shown. */
const STEERING = /[\p{Cc}\p{Zl}\p{Zp}\p{Bidi_Control}]/u;
const STEERING_RUNS = new RegExp(`${STEERING.source}+`, "gu");
const EACH_STEERING = new RegExp(STEERING.source, "gu");

/** The first `mostChars` characters of `text` as one line without control characters, those of direction among them. */
export function oneLine(text: string, mostChars = LINE_CHARS): string {
  const clean = text.replace(STEERING_RUNS, " ").trim();
  return clean.length <= mostChars ? clean : `${clean.slice(0, mostChars - 1)}…`;
}

/** `value` as JSON in one line: what `oneLine` takes away is escaped, which `JSON.stringify` does below U+0020 only. */
export function jsonLine(value: unknown): string {
  const escape = (char: string): string => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`;
  return JSON.stringify(value).replace(EACH_STEERING, escape);
}

/** What each system error means for a file, as the end of a sentence that starts with the path. */
const FILE_ERRORS: Readonly<Record<string, string>> = {
  ENOENT: "no such file or directory",
  ENOTDIR: "a part of the path is not a directory",
  EISDIR: "is a directory; give the files in it",
  EACCES: "permission denied",
  EPERM: "permission denied",
  EEXIST: "exists already",
  ENOSPC: "no space left on the disk",
  EDQUOT: "the disk quota is used up",
  EROFS: "the file system is read-only",
  EFBIG: "the file is too large for the file system",
  EMFILE: "too many open files",
  ENFILE: "too many open files",
  ENAMETOOLONG: "the name is too long",
  ELOOP: "too many symbolic links",
  EIO: "the disk reports an input/output error",
};

export function codeOf(error: unknown): string {
  const code = (error as { code?: unknown } | null)?.code;
  return typeof code === "string" ? code : "";
}

/** `doing` is a verb: `read`, `write`, `create`. */
export function fileFailure(doing: string, path: string, error: unknown): Failure {
  if (error instanceof Failure) return error;
  const meaning = FILE_ERRORS[codeOf(error)] ?? messageOf(error);
  return new Failure(`cannot ${doing} ${path}: ${meaning}`, { cause: error });
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Anything thrown as a failure; what is not one already keeps its message. */
export function toFailure(error: unknown): Failure {
  return error instanceof Failure ? error : new Failure(messageOf(error), { cause: error });
}
