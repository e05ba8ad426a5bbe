/** A client's connection on an endpoint that is bound: its TLS context, its addresses, and the engine's connection. */

import type { TlsIdentity } from "../port/tls.js";
import { ADDR_COLS } from "../port/udp.js";
import { setAddressRow } from "../runtime/address.js";
import type { Connection, ConnectionConfig, EndpointHost } from "../runtime/loop.js";
import { setLocal } from "./address.js";
import { agentFor, tlsAt, wantsKeylogFile } from "./environment.js";
import { invalidValue } from "./errors.js";

export interface ConnectionRequest {
  /** A literal address of the host's family. */
  remote: string;
  port: number;
  alpn: string[];
  /** SNI, and the name that the certificate must be valid for. */
  serverName: string;
  /** The handshake goes on whatever the certificate is, and the caller decides by `verifyError`. */
  report: boolean;
  ca: string[] | undefined;
  crl: string[] | undefined;
  ciphers: string | undefined;
  groups: string | undefined;
  identity: TlsIdentity | undefined;
  keylog: boolean;
  ticket: Uint8Array | undefined;
  /** Offer 0-RTT where the ticket allows it; it takes one `alpn` alone. */
  earlyData: boolean;
  token: Uint8Array | undefined;
  /** Path of a handshake agent; undefined: NETQUIC_AGENT, if there is no `identity`; "" for TLS in this process. */
  agent?: string;
  config: Partial<ConnectionConfig>;
}

/** `release` gives back what the connection had alone: call it when it is gone. @throws for what TLS does not take. */
export function openConnection(
  host: EndpointHost,
  request: ConnectionRequest,
): { conn: Connection; release: () => void } {
  const { remote, alpn, ca, crl, ciphers, groups, identity, ticket, token } = request;
  const row = new Int32Array(ADDR_COLS);
  if (!setAddressRow(row, 0, remote, request.port)) throw invalidValue("address", "is no literal address", remote);
  setLocal(row, host.socket.address);
  const earlyAlpn = ticket !== undefined && request.earlyData && alpn.length === 1 ? alpn[0] : undefined;
  const provider = tlsAt(request.agent ?? agentFor(undefined, identity !== undefined));
  const tls = provider.newClientContext({
    alpn,
    serverName: request.serverName,
    verify: request.report ? "report" : "strict",
    keylog: request.keylog || wantsKeylogFile(),
    earlyData: earlyAlpn !== undefined,
    ...(ca !== undefined && { ca }),
    ...(crl !== undefined && { crl }),
    ...(ciphers !== undefined && { ciphers }),
    ...(groups !== undefined && { groups }),
    ...(identity !== undefined && { identity }),
  });
  const conn = host.endpoint.connect(
    {
      tls,
      remote: row,
      config: request.config,
      ...(ticket !== undefined && { ticket }),
      ...(earlyAlpn !== undefined && { earlyAlpn }),
      ...(token !== undefined && { token }),
    },
    host.now(),
  );
  return { conn, release: () => tls.close() };
}
