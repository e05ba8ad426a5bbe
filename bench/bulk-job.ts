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
  /** For a server that cannot make its own certificate. */
  identity?: { cert: string; key: string };
  /** For the client: from the server's first message. */
  server?: unknown;
}
