/** What both ends of a tunnel agree on, each from its own command line. */

import type { CertificateInput, KeyInput } from "../pem.js";

/** A host, literal or by name, and a port. */
export interface Place {
  host: string;
  port: number;
}

/** What is carried under one ALPN name: TCP connections as streams, UDP flows as datagrams, or both. */
export interface TunnelService {
  alpn: string;
  /** The server accepts and the client dials; else the client accepts and the server dials. */
  reverse: boolean;
  /** Where this end accepts, or what it dials. */
  tcp: Place | null;
  udp: Place | null;
}

export interface Identity {
  certs: CertificateInput;
  keys: KeyInput;
}

/** What happens to a tunnel, for whoever runs it. */
export type TunnelEvent =
  /** This end accepts TCP connections or datagrams there. */
  | { type: "accepting"; alpn: string; protocol: "tcp" | "udp"; address: string; port: number }
  /** The server listens for clients; `pin` is the SHA-256 of a certificate that was made for this run. */
  | { type: "serving"; address: string; port: number; pin: string | null }
  /** A QUIC connection carries the service from now on; `peer` is the other end. */
  | { type: "up"; alpn: string; peer: string }
  /** It is gone, or did not come to be; a client tries again after `retryMillis`. */
  | { type: "down"; alpn: string; peer: string; error: unknown; retryMillis: number | null }
  /** It goes on elsewhere: the client's address has changed. */
  | { type: "moved"; alpn: string; local: string; remote: string }
  /** The client did not get away from a path that is gone, or does not answer. */
  | { type: "stuck"; alpn: string; error: unknown };

export type Tell = (event: TunnelEvent) => void;
