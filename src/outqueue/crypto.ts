/**
 * CRYPTO data of one packet number space, from TLS until it is acknowledged (RFC 9000 §13.3). How much TLS gives is our
 * own doing, mostly the size of our certificate chain; what the bound does not hold ends the connection.
 */

import { cryptoHeaderLength, writeCryptoHeader } from "../frame/stream.js";
import { MAX_CRYPTO_OUT_BYTES } from "../proto/limits.js";
import { prefixedRoom } from "../base/varint.js";
import { HeldBytes } from "../stream/held.js";
import { SendBuffer } from "../stream/send-buffer.js";
import { REC_CRYPTO, type SentPackets } from "./sent.js";

export class CryptoOut {
  private readonly buffer: SendBuffer;

  constructor(held: HeldBytes, limitBytes: number = MAX_CRYPTO_OUT_BYTES) {
    this.buffer = new SendBuffer(limitBytes, held);
  }

  /** False when there is no room for all of it. */
  push(bytes: Uint8Array): boolean {
    return this.buffer.write(bytes, 0, bytes.length) === bytes.length;
  }

  get hasPending(): boolean {
    return this.buffer.hasLost || this.buffer.next < this.buffer.end;
  }

  /** Some of it has never been sent. */
  get hasUnsent(): boolean {
    return this.buffer.next < this.buffer.end;
  }

  /** Writes CRYPTO frames at `pos` as far as they fit, lost ranges first; returns the new position. */
  fill(buf: Uint8Array, pos: number, limit: number, sent: SentPackets): number {
    const { buffer } = this;
    let at = pos;
    while (this.hasPending) {
      const isResend = buffer.hasLost;
      const offset = isResend ? buffer.lostStart : buffer.next;
      const end = isResend ? buffer.lostEnd : buffer.end;
      const room = prefixedRoom(limit - at - cryptoHeaderLength(offset));
      const length = Math.min(end - offset, room);
      if (length <= 0) return at;
      at = writeCryptoHeader(buf, at, offset, length);
      buffer.copyOut(offset, length, buf, at);
      at += length;
      if (isResend) buffer.onResent(length);
      else buffer.next += length;
      sent.note(REC_CRYPTO, 0, offset, length);
    }
    return at;
  }

  onAcked(offset: number, length: number): void {
    this.buffer.onAcked(offset, length);
  }

  onLost(offset: number, length: number): void {
    this.buffer.onLost(offset, length);
  }

  /** Forgets everything: the keys of the level are gone. */
  discard(): void {
    this.buffer.drop();
  }
}

/** Stands in for a space without keys, in which nothing can be sent: one for all connections. */
export const NO_CRYPTO_OUT = new CryptoOut(new HeldBytes(0), 0);
