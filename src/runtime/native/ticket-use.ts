/**
 * What a session ticket is good for beside its scope: one server name and one protocol, those of the session that it was
 * given in. TLS would let a client resume under another name or with another protocol (RFC 8446 §4.6.1 leaves it to both
 * sides); then it has what one of them allowed it where the other asks for more. Keys of tickets are chosen before TLS reads
 * the ClientHello, so both are foretold from it, and compared with what TLS came to.
 */

import type { HelloNames, TlsInfo } from "../../port/tls.js";

export interface TicketUse {
  /** Lower case. */
  serverName: string;
  /** A character for each byte. */
  alpn: string;
}

/** Names that both TLS libraries read like we do. */
const PLAIN_NAME = /^[a-z0-9._-]{0,255}$/;

/** `protocols` are the server's by preference, a character for each byte. Null: no ticket helps, or serves, such a client. */
export function ticketUse({ serverName, alpn }: HelloNames, protocols: readonly string[]): TicketUse | null {
  const name = serverName.toLowerCase();
  const protocol = protocols.find((each) => alpn.includes(each));
  return protocol === undefined || !PLAIN_NAME.test(name) ? null : { serverName: name, alpn: protocol };
}

/** Whether TLS came to what was foretold: a second ClientHello (RFC 8446 §4.1.2) may not ask for something else. */
export function holds(use: TicketUse, { serverName, alpn, resumed }: TlsInfo): boolean {
  if (serverName.toLowerCase() !== use.serverName) return false;
  return !resumed || asBytes(alpn) === use.alpn;
}

/** A character for each byte of UTF-8. */
export function asBytes(text: string): string {
  return Buffer.from(text).toString("latin1");
}
