/**
 * Files as a connection sees them: a source puts its next bytes straight into the send ring of a stream, so that they
 * pass through no buffer of JavaScript. Sources read in order, from one range of one open file; they never close it.
 *
 *     READY --read--> READY, ENDED, FAILED       the bytes were there
 *       |                ^
 *       +--read--> PENDING --onReady--+          they come from elsewhere (a disk): `read` brings them then
 */

export const FILE_READY = 0;
export const FILE_PENDING = 1;
export const FILE_ENDED = 2;
export const FILE_FAILED = 3;
export type FileState = typeof FILE_READY | typeof FILE_PENDING | typeof FILE_ENDED | typeof FILE_FAILED;

export interface FileSource {
  readonly state: FileState;
  /** Why it failed: the system's error, or `ERR_NETQUIC_FILE_TRUNCATED`. */
  readonly error: unknown;
  /** Bytes that `read` has returned so far. */
  readonly givenBytes: number;
  /** Room that the next `read` can use, bytes; 1 or more while it is ready. */
  readonly wantedBytes: number;
  /** Puts bytes into `into[start, end)` and returns how many, from the front; what lies behind them is unchanged. 0: the
   *  state says why. It never waits. */
  read(into: Uint8Array, start: number, end: number): number;
  /** Forgets what it has read ahead; `onReady` is called no more. Idempotent. */
  close(): void;
}

/** An open file: its descriptor, or what `fs.promises.open` gives, of which this much is used. */
export type OpenFile = number | OpenFileHandle;

export interface OpenFileHandle {
  /** -1 once it is closed. */
  readonly fd: number;
  read(buffer: Uint8Array, offset: number, length: number, position: number | null): Promise<{ bytesRead: number }>;
}

export interface FileRange {
  /** Bytes; null: from where the file stands, and moves that, as a pipe needs it. */
  offset: number | null;
  /** Bytes, a file that has less fails; null: up to its end, wherever that is by then. */
  length: number | null;
}

export interface FilePort {
  /** For people: `preadv2`, `node:fs`. */
  readonly name: string;
  /** `onReady`: a read that was pending is over. What is wrong with the file is the source's error, nothing is thrown. */
  open(file: OpenFile, range: FileRange, onReady: () => void): FileSource;
}
