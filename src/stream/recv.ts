/**
 * Receiving half of a stream: the states of RFC 9000 §3.2, the final size (§4.5) and the stream's receive credit.
 *
 *     RECV --FIN--> SIZE_KNOWN --all data--> DATA_RECVD --all read--> DATA_READ
 *       |               |
 *       +---------------+--RESET_STREAM--> RESET_RECVD --application told--> RESET_READ
 *
 * DATA_READ and RESET_READ are terminal. After STOP_SENDING arriving data is dropped, and the half is terminal as soon
 * as the final size is known. A reset that comes after all data is ignored: the data stays readable.
 */

import { STREAM_CREDIT_MIN_SHARE } from "../proto/limits.js";
import { FINAL_SIZE_ERROR, FLOW_CONTROL_ERROR, NO_ERROR } from "../proto/transport-error.js";
import { RecvCredit } from "./credit.js";
import type { HeldBytes } from "./held.js";
import { RecvBuffer } from "./recv-buffer.js";

export const RECV_RECV = 0;
export const RECV_SIZE_KNOWN = 1;
export const RECV_DATA_RECVD = 2;
export const RECV_DATA_READ = 3;
export const RECV_RESET_RECVD = 4;
export const RECV_RESET_READ = 5;
export type RecvState =
  | typeof RECV_RECV
  | typeof RECV_SIZE_KNOWN
  | typeof RECV_DATA_RECVD
  | typeof RECV_DATA_READ
  | typeof RECV_RESET_RECVD
  | typeof RECV_RESET_READ;

export class RecvStream {
  state: RecvState = RECV_RECV;
  readonly buffer: RecvBuffer;
  /** `received` is the highest offset seen, `consumed` what was read or dropped. */
  readonly credit: RecvCredit;
  /** -1 until FIN or RESET_STREAM. */
  finalSize = -1;
  /** The application asked for STOP_SENDING. */
  stopped = false;
  stopCode = 0n;
  resetCode = 0n;

  constructor(windowBytes: number, windowMaxBytes: number, held: HeldBytes) {
    this.credit = new RecvCredit(windowBytes, windowMaxBytes, STREAM_CREDIT_MIN_SHARE);
    this.buffer = new RecvBuffer(held);
  }

  get isTerminal(): boolean {
    return this.state === RECV_DATA_READ || this.state === RECV_RESET_READ;
  }

  /** More data can come: credit and STOP_SENDING still mean something to the peer. */
  get isOpen(): boolean {
    return this.state === RECV_RECV;
  }

  /**
   * Checks that data up to `end` (with `fin`: exactly up to it) agrees with the final size and the stream's limit.
   * Returns 0, FINAL_SIZE_ERROR (RFC 9000 §4.5) or FLOW_CONTROL_ERROR (§4.1).
   */
  check(end: number, fin: boolean): number {
    if (this.finalSize >= 0) {
      if (end > this.finalSize || (fin && end !== this.finalSize)) return FINAL_SIZE_ERROR;
      return NO_ERROR;
    }
    if (fin && end < this.credit.received) return FINAL_SIZE_ERROR;
    return end > this.credit.advertised ? FLOW_CONTROL_ERROR : NO_ERROR;
  }

  /** Takes a checked frame. True when the application has something new to see. */
  receive(offset: number, buf: Uint8Array, start: number, end: number, fin: boolean): boolean {
    const sizeIsNews = fin && this.finalSize < 0;
    if (sizeIsNews) {
      this.finalSize = offset + (end - start);
      if (this.state === RECV_RECV) this.state = RECV_SIZE_KNOWN;
    }
    if (this.state > RECV_SIZE_KNOWN) return false;
    if (this.stopped) {
      this.settleStopped();
      return false;
    }
    const { buffer } = this;
    const inOrder = buffer.end;
    buffer.receive(offset, buf, start, end);
    if (buffer.end === this.finalSize) {
      this.state = RECV_DATA_RECVD;
      return true;
    }
    return buffer.end > inOrder;
  }

  /** Copies in-order bytes out; the caller returns their credit to the connection. */
  read(buf: Uint8Array, start: number, end: number): number {
    const length = this.buffer.read(buf, start, end);
    this.credit.consumed += length;
    return length;
  }

  /** Everything up to FIN was read. */
  get isAtEnd(): boolean {
    if (this.stopped) return false;
    return this.state === RECV_DATA_READ || (this.state === RECV_DATA_RECVD && this.buffer.readable === 0);
  }

  /** RESET_STREAM with a checked final size. True when it changes something (RFC 9000 §3.2). */
  onReset(code: bigint, finalSize: number): boolean {
    this.finalSize = finalSize;
    if (this.state > RECV_SIZE_KNOWN) return false;
    this.state = RECV_RESET_RECVD;
    this.resetCode = code;
    this.buffer.discard();
    return true;
  }

  /** The application wants no more. False when nothing is left to drop or to stop. */
  stop(code: bigint): boolean {
    if (this.stopped || this.state > RECV_DATA_RECVD) return false;
    this.stopped = true;
    this.stopCode = code;
    this.buffer.discard();
    this.settleStopped();
    return true;
  }

  /** Bytes of credit that nobody will read any more, up to the highest offset: counts them as consumed. */
  takeUnread(): number {
    const unread = this.credit.received - this.credit.consumed;
    this.credit.consumed = this.credit.received;
    return unread;
  }

  private settleStopped(): void {
    if (this.finalSize >= 0 && this.state <= RECV_DATA_RECVD) this.state = RECV_DATA_READ;
  }
}
