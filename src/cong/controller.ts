/**
 * What every congestion controller is to the recovery of its connection (RFC 9002 §7). It sees sums, never packets:
 * one call per ACK frame, so that the cost per packet is an addition.
 */

import { INITIAL_WINDOW_PACKETS, MINIMUM_WINDOW_PACKETS } from "../proto/limits.js";
import type { DeliveryRate } from "./delivery-rate.js";
import type { Rtt } from "./rtt.js";

export type CongestionName = "newreno" | "cubic" | "bbr";

export interface CongestionController {
  readonly name: CongestionName;
  /** Bytes that may be in flight; a whole number. */
  readonly cwndBytes: number;
  /** Infinity until the first congestion event or the end of the initial slow start. */
  readonly ssthreshBytes: number;
  /** Packets sent up to here belong to the current recovery period (RFC 9002 §7.3.2); -1: there was none. */
  readonly recoveryStartMicros: number;

  /** The path carries datagrams of this size from now on. The window keeps its bytes; its least and its growth follow. */
  setDatagramBytes(bytes: number): void;
  /** An ACK gave an RTT sample; `largestSentMicros` is when the packet that it measures was sent. */
  onRttSample(rtt: Rtt, largestSentMicros: number, nowMicros: number): void;
  /**
   * An ACK acknowledged `bytes` of packets sent after the recovery period began. `windowLimited` is false when the
   * window was not in use and must not grow (RFC 9002 §7.8).
   */
  onPacketsAcked(bytes: number, windowLimited: boolean, rtt: Rtt, nowMicros: number): void;
  /**
   * Loss or an ECN-CE mark; `sentMicros` is when the latest packet that it hit was sent. Returns true when this began a
   * recovery period, false when one was there already.
   */
  onCongestionEvent(sentMicros: number, nowMicros: number): boolean;
  /** RFC 9002 §7.6.2. Follows `onCongestionEvent`. */
  onPersistentCongestion(): void;
  /** Everything that began the current recovery period arrived after all: take the reduction back. */
  onSpuriousCongestion(): void;

  // Of those that model the path; the others have none of these.
  /** What the pacer is to let through; without it the pacer follows the window. */
  readonly pacingBytesPerMicro?: number;
  /** After each ACK and each loss of 1-RTT packets; `inFlightBytes` is what is left in flight. */
  onRateSample?(delivery: DeliveryRate, inFlightBytes: number, rtt: Rtt, nowMicros: number): void;
  /** The first packet after a time with nothing in flight leaves. */
  onRestart?(delivery: DeliveryRate, nowMicros: number): void;
}

/** RFC 9002 §7.2. */
export function initialWindowBytes(datagramBytes: number): number {
  return Math.min(INITIAL_WINDOW_PACKETS * datagramBytes, Math.max(14_720, 2 * datagramBytes));
}

export function minimumWindowBytes(datagramBytes: number): number {
  return MINIMUM_WINDOW_PACKETS * datagramBytes;
}
