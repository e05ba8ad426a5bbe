/** One transfer of a file, as the benchmark asks for it, and what the server counted. */

/** `sendFile`; `readWrite`: each chunk read into a buffer of JavaScript and written; `memory`: no file, bytes at hand. */
export const FILE_MODES = ["sendFile", "readWrite", "memory"] as const;
export type FileMode = (typeof FILE_MODES)[number];

export interface FileJob {
  role: "server" | "client";
  mode: FileMode;
  path: string;
  warmUpBytes: number;
  bytes: number;
  datagramBytes: number;
  server?: unknown;
}

export interface FileFigures {
  cpuNanos: number;
  millis: number;
  runtime: { tls: string; udp: string };
}
