/** What the programs of a tunnel's benchmark are told. */

/** `tcp`: no relay at all; `tls`: the same relay over node:tls; `socat`: over OpenSSL, by socat. */
export const RELAYS = ["tunnel", "tls", "socat", "tcp"] as const;
export type Relay = (typeof RELAYS)[number];

export interface TunnelJob {
  /** In the order of the bytes of a download: source, its end of the relay, the other end, sink. */
  role: "target" | "far" | "near" | "client";
  relay: Relay;
  dir: "down" | "up";
  bytes: number;
  warmUpBytes: number;
  /** Where the next one towards the target listens. */
  port: number;
  cert: string;
  key: string;
  /** PEM files of both, for programs that want files. */
  certPath: string;
  keyPath: string;
}

/** The first message of all but the client. */
export interface Listening {
  port: number;
  tls?: string;
  udp?: string;
}
