/**
 * What a client sends before anyone knows what it wants: the Initial datagrams of one attempt, kept as they came until its
 * ClientHello is whole. Only then is it known which listener it is for, and worth what a connection costs.
 *
 * Invariant: an attempt holds at most MAX_ATTEMPT_DATAGRAMS and MAX_ATTEMPT_BYTES, each of them with a packet that
 * opened, and all of them together at most MAX_ATTEMPTS_BYTES. It judges nothing: what is not plain (another frame, no
 * ClientHello, too much) ends the waiting, and the connection that is made then finds the exact error.
 */

import { concatBytes, equalRange, Reader } from "../base/bytes.js";
import type { Workbench } from "../conn/workbench.js";
import { CLIENT_HELLO, type ClientHello, readClientHello } from "../crypto/hello.js";
import { KeySet } from "../crypto/keys.js";
import { FRAME_CRYPTO, FRAME_PADDING, FRAME_PING } from "../frame/table.js";
import { CryptoIn } from "../inqueue/crypto.js";
import { DROP_NONE } from "../observe/drop-reason.js";
import { hasReservedBits, PACKET_INITIAL, PacketHeader, parseHeader } from "../packet/header.js";
import type { AeadPort } from "../port/aead.js";
import { LEVEL_INITIAL } from "../port/tls.js";
import { ADDR_COLS, type AddressProof } from "../port/udp.js";
import {
  ATTEMPT_MICROS,
  MAX_ATTEMPT_BYTES,
  MAX_ATTEMPT_DATAGRAMS,
  MAX_ATTEMPTS_BYTES,
  MAX_CRYPTO_INITIAL_BYTES,
} from "../proto/limits.js";
import { HeldBytes } from "../stream/held.js";

/** Where an attempt comes from, and when it began. */
export interface Origin {
  /** Destination id of its first Initial, from which the keys derive. */
  readonly dcid: Uint8Array;
  /** ADDR_COLS words. */
  readonly addr: Int32Array;
  /** Of the owner's sockets. */
  readonly socket: number;
  readonly version: number;
  readonly proof: AddressProof;
  readonly startedAtMicros: number;
}

/** A datagram as it came. */
export interface HeldDatagram {
  readonly bytes: Uint8Array;
  /** ECN_* of port/udp. */
  readonly ecn: number;
  readonly atMicros: number;
}

/** What a datagram brought. */
export const ATTEMPT_FORGED = 0; // no packet of it opens
export const ATTEMPT_WAITS = 1; // the ClientHello is not whole yet
export const ATTEMPT_READY = 2; // it is, or it will not be: `hello` says which
export type AttemptState = typeof ATTEMPT_FORGED | typeof ATTEMPT_WAITS | typeof ATTEMPT_READY;

/** Type and length of a TLS handshake message (RFC 8446 §4). */
const MESSAGE_HEADER_BYTES = 4;
const NO_BYTES = new Uint8Array(0);

const header = new PacketHeader();
const reader = new Reader();

export class Attempt {
  /** Once ready; null: there is none to be had. */
  hello: ClientHello | null = null;
  readonly held: HeldDatagram[] = [];
  heldBytes = 0;
  /** The Initial keys, for the connection; who takes them sets null. */
  keys: KeySet | null;
  private isOdd = false;
  private readonly input = new CryptoIn(LEVEL_INITIAL, new HeldBytes(MAX_CRYPTO_INITIAL_BYTES));
  private message: Uint8Array = NO_BYTES;

  constructor(
    aead: AeadPort,
    readonly origin: Origin,
  ) {
    this.keys = new KeySet(aead, true);
    this.keys.installInitial(origin.version, origin.dcid);
  }

  /** Whether a datagram from `addr`, which came through `socket`, may belong to it. */
  isFrom(addr: Int32Array, socket: number): boolean {
    return socket === this.origin.socket && sameAddress(addr, this.origin.addr);
  }

  /** Reads the Initial packets of a datagram, which are opened where they lie: `bytes` is a copy of it. */
  read(bench: Workbench, bytes: Uint8Array): AttemptState {
    let opened = 0;
    for (let at = 0; at < bytes.length; at = header.end) {
      if (parseHeader(bytes, at, bytes.length, bench.cidBytes, header, true) !== DROP_NONE) continue;
      if (header.type !== PACKET_INITIAL || header.version !== this.origin.version || !this.isOurs(bytes)) continue;
      if (this.open(bench, bytes)) opened++;
    }
    if (opened === 0) return ATTEMPT_FORGED;
    this.assemble();
    return this.hello !== null || this.isOdd ? ATTEMPT_READY : ATTEMPT_WAITS;
  }

  /** Keeps a datagram until the rest is there; false when it has as many as it may have. */
  hold(bytes: Uint8Array, ecn: number, atMicros: number): boolean {
    if (this.held.length >= MAX_ATTEMPT_DATAGRAMS || this.heldBytes + bytes.length > MAX_ATTEMPT_BYTES) return false;
    this.held.push({ bytes, ecn, atMicros });
    this.heldBytes += bytes.length;
    return true;
  }

  release(): void {
    this.keys?.destroy();
    this.keys = null;
    this.input.discard();
  }

  private isOurs(bytes: Uint8Array): boolean {
    const { dcidStart, dcidLength } = header;
    return equalRange(bytes, dcidStart, dcidStart + dcidLength, this.origin.dcid);
  }

  private open(bench: Workbench, bytes: Uint8Array): boolean {
    const { keys } = this;
    if (keys === null) return false;
    const { opener } = bench;
    bench.begin(bytes);
    opener.add(header.start, header.pnOffset, header.end, 0);
    opener.run(keys, LEVEL_INITIAL, -1);
    const isOpen = opener.isOpen(0);
    if (isOpen && hasReservedBits(opener.firstByte(0))) this.isOdd = true;
    else if (isOpen) this.readFrames(bytes, opener.payloadStart(0), opener.payloadEnd(0));
    bench.clear();
    return isOpen;
  }

  /** What a first flight has: CRYPTO and PADDING, and PING in what probes for it. */
  private readFrames(bytes: Uint8Array, start: number, end: number): void {
    reader.reset(bytes, start, end);
    while (reader.remaining > 0 && !this.isOdd) {
      const type = reader.u8();
      if (type === FRAME_PADDING || type === FRAME_PING) continue;
      const offset = reader.varint();
      const length = reader.varint();
      const at = reader.skip(length);
      this.isOdd = type !== FRAME_CRYPTO || !reader.ok || this.input.push(offset, bytes, at, at + length) !== 0;
    }
  }

  private assemble(): void {
    const next = this.input.take();
    if (next !== null) this.message = concatBytes(this.message, next);
    const { message } = this;
    if (message.length > 0 && message[0] !== CLIENT_HELLO) this.isOdd = true;
    if (this.isOdd || message.length < MESSAGE_HEADER_BYTES) return;
    const bodyBytes = (message[1] << 16) | (message[2] << 8) | message[3];
    const body = message.subarray(MESSAGE_HEADER_BYTES);
    if (bodyBytes > MAX_ATTEMPT_BYTES) this.isOdd = true;
    if (body.length >= bodyBytes) this.hello = readClientHello(body, bodyBytes);
  }
}

/** The attempts of one endpoint that wait for the rest of a ClientHello, the oldest first. */
export class Attempts {
  private readonly byDcid = new Map<string, Attempt>();
  private bytesSum = 0;

  /** `onDropped` is told of each datagram that goes with an attempt given up. */
  constructor(private readonly onDropped: () => void) {}

  get count(): number {
    return this.byDcid.size;
  }

  get heldBytes(): number {
    return this.bytesSum;
  }

  /** When the oldest one has waited long enough; Infinity without any. */
  nextDeadline(): number {
    for (const { origin } of this.byDcid.values()) return origin.startedAtMicros + ATTEMPT_MICROS;
    return Infinity;
  }

  find(dcid: Uint8Array): Attempt | null {
    return this.byDcid.get(keyOf(dcid)) ?? null;
  }

  /** Keeps a datagram of an attempt that waits; false when the attempt has as many as it may have. */
  hold(attempt: Attempt, bytes: Uint8Array, ecn: number, atMicros: number): boolean {
    if (!attempt.hold(bytes, ecn, atMicros)) return false;
    this.byDcid.set(keyOf(attempt.origin.dcid), attempt);
    this.bytesSum += bytes.length;
    while (this.bytesSum > MAX_ATTEMPTS_BYTES) this.dropOldest();
    return true;
  }

  /** The attempt waits no longer; its keys and datagrams are the caller's. */
  take(attempt: Attempt): void {
    if (this.byDcid.delete(keyOf(attempt.origin.dcid))) this.bytesSum -= attempt.heldBytes;
  }

  /** Forgets those that waited too long. */
  expire(nowMicros: number): void {
    while (this.nextDeadline() <= nowMicros) this.dropOldest();
  }

  clear(): void {
    while (this.byDcid.size > 0) this.dropOldest();
  }

  private dropOldest(): void {
    for (const attempt of this.byDcid.values()) {
      this.take(attempt);
      attempt.release();
      for (let i = attempt.held.length; i > 0; i--) this.onDropped();
      return;
    }
  }
}

export function sameAddress(a: Int32Array, b: Int32Array): boolean {
  for (let i = 0; i < ADDR_COLS; i++) if (a[i] !== b[i]) return false;
  return true;
}

function keyOf(dcid: Uint8Array): string {
  return String.fromCharCode(...dcid);
}
