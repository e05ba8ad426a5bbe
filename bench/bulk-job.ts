/** What the programs of a bulk transfer are told. */
export interface BulkJob {
  role: "server" | "client";
  /** `down`: the server sends. */
  dir: "down" | "up";
  streams: number;
  /** All streams together. */
  bytes: number;
  /** UDP payload; TCP programs ignore it. */
  datagramBytes: number;
  /** For the client: from the server's first message. */
  server?: unknown;
}
