/** What makes a connection: who it is, and the ids that its first packets carry. */

import type { EarlyTickets } from "../crypto/early-tickets.js";
import type { KeySet } from "../crypto/keys.js";
import type { TlsSession } from "../port/tls.js";
import type { TransportParams } from "../proto/params.js";
import type { ConnectionConfig } from "./config.js";

export interface ConnectionInit {
  isServer: boolean;
  /** Of the client's first flight. */
  version: number;
  config: ConnectionConfig;
  /** Makes the TLS session: at once at a client, which may need a second one, with a whole ClientHello at a server. */
  startTls: (version: number) => TlsSession;
  /**
   * Destination id of the client's first Initial (RFC 9000 §7.3), at a server after a Retry that of the Retry: Initial keys
   * derive from it. At a server it leads to the connection until its end: a late copy of that Initial must not start a
   * second one.
   */
  origDcid: Uint8Array;
  /** Server: these keys, which the connection owns from now on; null = it makes them. */
  initialKeys: KeySet | null;
  localCid: Uint8Array;
  peerCid: Uint8Array;
  /** ADDR_COLS words of the peer's address. */
  addr: Int32Array;
  /** The socket of the endpoint that it is reached through. */
  socket: number;
  /** Client: sent in Initial packets (NEW_TOKEN of an earlier connection). */
  token: Uint8Array | null;
  /** Server: the client's address is proven by a token. */
  addressValidated: boolean;
  /** Client: the server's limits of the session that 0-RTT builds on (RFC 9000 §7.4.1); null = no 0-RTT. */
  remembered: TransportParams | null;
  /** Server: the tickets that 0-RTT is accepted with; null = never. */
  earlyTickets: EarlyTickets | null;
  nowMicros: number;
}
