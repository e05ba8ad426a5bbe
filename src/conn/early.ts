/**
 * 0-RTT of one connection (RFC 9001 §4.6, RFC 9000 §7.4.1, §17.2.3): who offered it, what became of it, and what follows.
 *
 *   client   remembered limits, early write key -> OFFERED --early_data in EncryptedExtensions--> ACCEPTED
 *                                                     '--HelloRetryRequest, or none there--> REFUSED: all is sent again
 *   server   a fresh ticket in the ClientHello -> TLS is allowed to accept -> early read key -> ACCEPTED, else REFUSED
 *
 * Invariants: a client seals nothing with early keys once the server's answer is known; a server that refuses opens no
 * 0-RTT packet, not even one that it holds.
 */

import type { EarlyTickets } from "../crypto/early-tickets.js";
import { earlyTicketsIn } from "../crypto/hello.js";
import { FRAME_CRYPTO } from "../frame/table.js";
import { LEVEL_EARLY } from "../port/tls.js";
import { SPACE_APP } from "../proto/space.js";
import { defaultParams, type TransportParams } from "../proto/params.js";
import { PROTOCOL_VIOLATION } from "../proto/transport-error.js";
import { DEADLINE_KEYS } from "../timer/deadlines.js";
import { closeTransport } from "./close.js";
import type { Connection } from "./connection.js";
import { rememberedParams } from "./session-ticket.js";

export const EARLY_NONE = 0;
/** The client's TLS offers it. */
export const EARLY_OFFERED = 1;
export const EARLY_ACCEPTED = 2;
export const EARLY_REFUSED = 3;
export type EarlyStatus = typeof EARLY_NONE | typeof EARLY_OFFERED | typeof EARLY_ACCEPTED | typeof EARLY_REFUSED;

/** A server drops its 0-RTT keys this many PTOs after the handshake is complete (RFC 9001 §4.9.3). */
const KEEP_KEYS_PTOS = 3;

/** Limits that a server which accepts 0-RTT must not lower (RFC 9000 §7.4.1, RFC 9221 §3). */
const KEPT_LIMITS = [
  "activeConnectionIdLimit",
  "initialMaxData",
  "initialMaxStreamDataBidiLocal",
  "initialMaxStreamDataBidiRemote",
  "initialMaxStreamDataUni",
  "initialMaxStreamsBidi",
  "initialMaxStreamsUni",
  "maxDatagramFrameBytes",
] as const satisfies readonly (keyof TransportParams)[];

export class EarlyState {
  status: EarlyStatus = EARLY_NONE;
  /** The client offered 0-RTT. */
  attempted = false;
  /** Server: 0-RTT packets may come whose key is not there yet. */
  mayCome: boolean;
  /** Server: tickets of this connection, until it is known what they are good for. */
  private issued: Uint8Array[] | null = null;
  private goodFor: { serverName: string; alpn: string; version: number } | null = null;
  private asked = false;

  /** `remembered`: a client's, null = it offers none; `tickets`: a server's, null = it accepts none. */
  constructor(
    public remembered: TransportParams | null,
    readonly tickets: EarlyTickets | null,
  ) {
    this.mayCome = tickets !== null;
  }

  /** Server: TLS sends this in 1-RTT. */
  noteTickets(bytes: Uint8Array, nowMicros: number): void {
    if (this.tickets === null) return;
    (this.issued ??= []).push(...earlyTicketsIn(bytes));
    if (this.goodFor === null) return;
    const { serverName, alpn, version } = this.goodFor;
    this.issueTickets(serverName, alpn, version, nowMicros);
  }

  /** Server, at the end of the handshake. */
  issueTickets(serverName: string, alpn: string, version: number, nowMicros: number): void {
    if (this.tickets !== null) this.goodFor = { serverName, alpn, version };
    for (const ticket of this.issued ?? []) this.tickets?.issue(ticket, serverName, alpn, version, nowMicros);
    this.issued = null;
  }

  /** Server: whether this is the moment to say what becomes of the 0-RTT that the hello offers; true once. */
  takeDecision(): boolean {
    if (this.asked) return false;
    this.asked = true;
    return true;
  }
}

/** For a connection that is being made, as the last of its parts. */
export function prepareEarly(
  conn: Connection,
  remembered: TransportParams | null,
  tickets: EarlyTickets | null,
): EarlyState {
  conn.handshakeState.framer.wantsHello = tickets !== null;
  if (remembered !== null) conn.streams.applyPeerParams(remembered);
  return new EarlyState(remembered, tickets);
}

/**
 * Client, before its first flight: a program that does TLS itself kept the server's parameters of an earlier connection itself,
 * too. False when it is too late.
 */
export function restoreParams(conn: Connection, params: Partial<TransportParams>): boolean {
  const { early, handshakeState: handshake } = conn;
  if (conn.isServer || handshake.peerParams !== null || early.attempted) return false;
  early.remembered = rememberedParams({ ...defaultParams(), ...params });
  conn.streams.applyPeerParams(early.remembered);
  return true;
}

/** Server: the first ClientHello is complete and TLS has not seen its end. */
export function decideEarly(conn: Connection, nowMicros: number): void {
  const { early, handshakeState: handshake } = conn;
  const { hello } = handshake.framer;
  if (early.tickets === null || hello === null || !early.takeDecision()) return;
  early.attempted = hello.offersEarlyData;
  const alpn = early.tickets.take(hello, conn.versions.current, nowMicros);
  if (alpn !== null) handshake.tls?.allowEarlyData(alpn);
}

/** A 0-RTT key came from TLS: a client may send, a server accepts. */
export function onEarlyKey(conn: Connection): void {
  const { early } = conn;
  early.attempted = true;
  early.status = conn.isServer ? EARLY_ACCEPTED : EARLY_OFFERED;
  // TLS offers it, but nobody said what the limits are
  if (!conn.isServer && early.remembered === null) conn.keys.discard(LEVEL_EARLY);
}

/** Server: the handshake goes on, so TLS has said all that it will say about 0-RTT. */
export function settleEarly(conn: Connection): void {
  const { early } = conn;
  early.mayCome = false;
  if (early.status === EARLY_ACCEPTED || conn.keys.wasDiscarded(LEVEL_EARLY)) return;
  early.status = EARLY_REFUSED;
  conn.keys.discard(LEVEL_EARLY);
  conn.undecryptable.take(LEVEL_EARLY);
}

/** Server: the client has 1-RTT keys now, and late 0-RTT packets for a while. */
export function expireEarly(conn: Connection, nowMicros: number): void {
  if (!conn.keys.canRead(LEVEL_EARLY)) return;
  conn.deadlines.set(DEADLINE_KEYS, nowMicros + KEEP_KEYS_PTOS * conn.recovery.ptoMicros(SPACE_APP));
}

/** Client: HelloRetryRequest or EncryptedExtensions has said whether 0-RTT is accepted; the parameters may follow. */
export function onEarlyAnswer(conn: Connection, accepted: boolean): void {
  const { early } = conn;
  if (early.remembered === null || early.status === EARLY_ACCEPTED || early.status === EARLY_REFUSED) return;
  // RFC 9000 §7.4.1: from here on limits change that 0-RTT packets must not use
  conn.keys.discard(LEVEL_EARLY);
  if (accepted && early.status === EARLY_OFFERED) {
    early.status = EARLY_ACCEPTED;
    return;
  }
  early.status = EARLY_REFUSED;
  conn.recovery.disownEarly();
}

/** Client: the server's parameters are there (RFC 9000 §7.4.1, RFC 9001 §4.6.2). Before they are applied. */
export function onParamsAfterEarly(conn: Connection, params: TransportParams): void {
  const { remembered, status } = conn.early;
  if (remembered === null) return;
  if (status !== EARLY_ACCEPTED) {
    conn.streams.restart(params);
    return;
  }
  const lowered = KEPT_LIMITS.find((name) => params[name] < remembered[name]);
  if (lowered === undefined) return;
  closeTransport(conn, PROTOCOL_VIOLATION, FRAME_CRYPTO, `0-RTT is accepted, but ${lowered} is lower than it was`);
}
