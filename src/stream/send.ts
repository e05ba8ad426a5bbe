/**
 * Sending half of a stream: the states of RFC 9000 §3.1, what of it waits to be sent, and the peer's stream limit.
 *
 *     READY --write--> SEND --all and FIN sent--> DATA_SENT --all acked--> DATA_RECVD
 *       |               |                            |
 *       +---------------+---- reset, STOP_SENDING ---+--> RESET_SENT --acked--> RESET_RECVD
 *
 * DATA_RECVD and RESET_RECVD are terminal. "Sent" means at least once: lost parts are sent again in the same state.
 */

import { DOUBLE } from "../base/double.js";
import type { FileSource } from "../port/file.js";
import type { HeldBytes } from "./held.js";
import { SendBuffer } from "./send-buffer.js";

export const SEND_READY = 0;
export const SEND_SEND = 1;
export const SEND_DATA_SENT = 2;
export const SEND_DATA_RECVD = 3;
export const SEND_RESET_SENT = 4;
export const SEND_RESET_RECVD = 5;
export type SendState =
  | typeof SEND_READY
  | typeof SEND_SEND
  | typeof SEND_DATA_SENT
  | typeof SEND_DATA_RECVD
  | typeof SEND_RESET_SENT
  | typeof SEND_RESET_RECVD;

export class SendStream {
  state: SendState = SEND_READY;
  readonly buffer: SendBuffer;
  /** The peer's limit for offsets of this stream. */
  maxStreamData = DOUBLE;
  /** The limit that STREAM_DATA_BLOCKED was last sent for, -1 = none. */
  blockedAt = DOUBLE;
  /** The application has written the end: `buffer.end` is the final size. */
  finWritten = false;
  /** FIN must be sent, for the first time or again. */
  finPending = false;
  finAcked = false;
  /** The application was told that the buffer is full. */
  writeBlocked = false;
  /** STOP_SENDING arrived. */
  stopped = false;
  resetCode = 0n;
  stopCode = 0n;

  constructor(maxStreamData: number, sendBufferBytes: number, held: HeldBytes) {
    this.maxStreamData = maxStreamData;
    this.blockedAt = -1;
    this.buffer = new SendBuffer(sendBufferBytes, held);
  }

  /** Whether the application may write. */
  get isWritable(): boolean {
    return this.state <= SEND_SEND && !this.finWritten;
  }

  get isTerminal(): boolean {
    return this.state === SEND_DATA_RECVD || this.state === SEND_RESET_RECVD;
  }

  /** Bytes never sent that the peer's stream limit allows. */
  get freshBytes(): number {
    const { buffer } = this;
    return Math.min(buffer.end, this.maxStreamData) - buffer.next;
  }

  /** Whether something can be sent that takes no credit of the connection: lost bytes or a bare FIN. */
  get needsNoCredit(): boolean {
    const { buffer } = this;
    return buffer.hasLost || (this.finPending && buffer.next === buffer.end);
  }

  get isSendable(): boolean {
    return this.freshBytes > 0 || this.needsNoCredit;
  }

  /** Written bytes wait for the peer's stream limit only. */
  get isBlocked(): boolean {
    const { buffer } = this;
    return buffer.next === this.maxStreamData && buffer.end > buffer.next;
  }

  /** Returns how many bytes were taken; the caller has checked `isWritable`. */
  write(buf: Uint8Array, start: number, end: number, fin: boolean): number {
    const taken = this.buffer.write(buf, start, end);
    if (taken < end - start) this.writeBlocked = true;
    else if (fin) this.finWritten = this.finPending = true;
    if (this.state === SEND_READY && (taken > 0 || this.finWritten)) this.state = SEND_SEND;
    return taken;
  }

  /** Returns how many bytes of `source` came; the caller has checked `isWritable`. */
  writeFrom(source: FileSource): number {
    const { buffer } = this;
    if (buffer.room === 0) this.writeBlocked = true;
    const taken = buffer.fill(source);
    if (this.state === SEND_READY && taken > 0) this.state = SEND_SEND;
    return taken;
  }

  /** A frame with these never-sent bytes is on its way. */
  onSent(length: number, fin: boolean): void {
    this.buffer.next += length;
    if (fin) this.onFinSent();
  }

  onFinSent(): void {
    this.finPending = false;
    if (this.state === SEND_SEND) this.state = SEND_DATA_SENT;
  }

  /** True when that was the last thing missing: all data and FIN are acknowledged. */
  onAcked(offset: number, length: number, fin: boolean): boolean {
    if (this.state > SEND_DATA_SENT) return false;
    this.buffer.onAcked(offset, length);
    if (fin) {
      this.finAcked = true;
      this.finPending = false;
    }
    if (!this.finAcked || this.buffer.base !== this.buffer.end) return false;
    this.state = SEND_DATA_RECVD;
    return true;
  }

  onLost(offset: number, length: number, fin: boolean): void {
    if (this.state > SEND_DATA_SENT) return;
    this.buffer.onLost(offset, length);
    if (fin && !this.finAcked) this.finPending = true;
  }

  /** Drops all data; RESET_STREAM with `code` is to be sent. False when it is too late for that. */
  reset(code: bigint): boolean {
    if (this.state > SEND_DATA_SENT) return false;
    this.state = SEND_RESET_SENT;
    this.resetCode = code;
    this.finPending = false;
    this.writeBlocked = false;
    this.buffer.drop();
    return true;
  }

  /** Nothing of what was sent counts: the server refused it with 0-RTT (RFC 9001 §4.6.2). All of it is to be sent again. */
  rewind(maxStreamData: number): void {
    this.maxStreamData = maxStreamData;
    this.blockedAt = -1;
    this.buffer.rewind();
    if (this.state > SEND_DATA_SENT) return;
    if (this.state === SEND_DATA_SENT) this.state = SEND_SEND;
    this.finPending = this.finWritten;
  }

  /** Final size that RESET_STREAM carries (RFC 9000 §4.5). */
  get finalSize(): number {
    return this.buffer.next;
  }
}
