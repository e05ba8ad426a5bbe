/**
 * The counters of `/proc/net/quic/snmp` and `/proc/net/quic_stat` by Linux's names, from what connections, endpoints and
 * UDP sockets count anyway. docs/cli.md says what each of them means here.
 */

import {
  DROP_BAD_TOKEN,
  DROP_CID_LENGTH,
  DROP_DUPLICATE,
  DROP_FIXED_BIT,
  DROP_FORGED,
  DROP_KEYS_DISCARDED,
  DROP_KEYS_UNAVAILABLE,
  DROP_OTHER_ADDRESS,
  DROP_RATE_LIMITED,
  DROP_REASONS,
  DROP_REFUSED,
  DROP_RETRY_INTEGRITY,
  DROP_SMALL_INITIAL,
  DROP_TRUNCATED,
  DROP_UNEXPECTED_TYPE,
  DROP_UNKNOWN_CID,
  DROP_UNKNOWN_VERSION,
  DROP_WRONG_DCID,
  DROP_ZERO_LENGTH,
} from "../../observe/drop-reason.js";
import type { UdpStats } from "../../port/udp.js";
import { ConnectionTally, type Endpoint } from "../../runtime/loop.js";

/** In the order of `/proc/net/quic/snmp`. */
export const SNMP_NAMES = [
  "QuicConnCurrentEstabs",
  "QuicConnPassiveEstabs",
  "QuicConnActiveEstabs",
  "QuicPktRcvFastpaths",
  "QuicPktDecFastpaths",
  "QuicPktEncFastpaths",
  "QuicPktRcvBacklogs",
  "QuicPktDecBacklogs",
  "QuicPktEncBacklogs",
  "QuicPktInvHdrDrop",
  "QuicPktInvNumDrop",
  "QuicPktInvFrmDrop",
  "QuicPktRcvDrop",
  "QuicPktDecDrop",
  "QuicPktEncDrop",
  "QuicFrmRcvBufDrop",
  "QuicFrmRetrans",
  "QuicFrmOutCloses",
  "QuicFrmInCloses",
] as const;

/** Those of `/proc/net/quic_stat`: flows of the Tx offload now and ever, and packets that it refused. */
export const OFFLOAD_NAMES = ["QuicCurrTxSw", "QuicTxSw", "QuicTxSwError"] as const;

export type CounterName = (typeof SNMP_NAMES)[number] | (typeof OFFLOAD_NAMES)[number];
export type Counters = Record<CounterName, number>;

const HEADER_DROPS = [
  DROP_TRUNCATED,
  DROP_FIXED_BIT,
  DROP_UNKNOWN_VERSION,
  DROP_CID_LENGTH,
  DROP_SMALL_INITIAL,
  DROP_WRONG_DCID,
  DROP_UNEXPECTED_TYPE,
  DROP_RETRY_INTEGRITY,
  DROP_ZERO_LENGTH,
];
const RECEIVE_DROPS = [DROP_UNKNOWN_CID, DROP_BAD_TOKEN, DROP_REFUSED, DROP_RATE_LIMITED, DROP_OTHER_ADDRESS];
const DECRYPT_DROPS = [DROP_FORGED, DROP_KEYS_UNAVAILABLE, DROP_KEYS_DISCARDED];

/** Sums over endpoints, of which some are gone. */
export class CounterSums {
  readonly tally = new ConnectionTally();
  readonly drops = new Float64Array(DROP_REASONS);
  datagramsHeld = 0;
  receiveOverflows = 0;
  sendErrors = 0;

  /** `isGone`: the endpoint is closed, and only what it did counts. */
  add({ endpoint, udpStats }: { endpoint: Endpoint; udpStats: UdpStats }, isGone: boolean): void {
    const tally = endpoint.tally();
    this.tally.addGone(tally);
    if (!isGone) {
      this.tally.established += tally.established;
      this.tally.heldBytes += tally.heldBytes + endpoint.attemptBytes;
    }
    for (let reason = 0; reason < DROP_REASONS; reason++)
      this.drops[reason] += endpoint.counters.drops[reason] as number;
    this.datagramsHeld += endpoint.counters.datagramsHeld;
    this.receiveOverflows += udpStats.receiveOverflows;
    this.sendErrors += udpStats.sendErrors;
  }

  addGone(other: CounterSums): void {
    this.tally.addGone(other.tally);
    for (let reason = 0; reason < DROP_REASONS; reason++) this.drops[reason] += other.drops[reason] as number;
    this.datagramsHeld += other.datagramsHeld;
    this.receiveOverflows += other.receiveOverflows;
    this.sendErrors += other.sendErrors;
  }
}

/** `offload`: those of the Tx offload in this process. */
export function countersOf(sums: CounterSums, offload: Record<(typeof OFFLOAD_NAMES)[number], number>): Counters {
  const { tally } = sums;
  const dropped = (reasons: readonly number[]): number =>
    reasons.reduce((sum, reason) => sum + (sums.drops[reason] as number), 0);
  return {
    QuicConnCurrentEstabs: tally.established,
    QuicConnPassiveEstabs: tally.passiveOpens,
    QuicConnActiveEstabs: tally.activeOpens,
    QuicPktRcvFastpaths: Math.max(0, tally.packetsReceived - sums.datagramsHeld),
    QuicPktDecFastpaths: Math.max(0, tally.packetsReceived - tally.packetsHeld),
    QuicPktEncFastpaths: tally.packetsSent,
    QuicPktRcvBacklogs: sums.datagramsHeld,
    QuicPktDecBacklogs: tally.packetsHeld,
    QuicPktEncBacklogs: 0, // a packet is sealed where it is built
    QuicPktInvHdrDrop: dropped(HEADER_DROPS),
    QuicPktInvNumDrop: dropped([DROP_DUPLICATE]),
    QuicPktInvFrmDrop: tally.frameErrors,
    QuicPktRcvDrop: dropped(RECEIVE_DROPS) + sums.receiveOverflows,
    QuicPktDecDrop: dropped(DECRYPT_DROPS),
    QuicPktEncDrop: sums.sendErrors,
    QuicFrmRcvBufDrop: tally.datagramsDropped,
    QuicFrmRetrans: tally.framesLost,
    QuicFrmOutCloses: tally.closesSent,
    QuicFrmInCloses: tally.closesReceived,
    QuicCurrTxSw: offload.QuicCurrTxSw,
    QuicTxSw: offload.QuicTxSw,
    QuicTxSwError: offload.QuicTxSwError,
  };
}

export function noCounters(): Counters {
  return Object.fromEntries([...SNMP_NAMES, ...OFFLOAD_NAMES].map((name) => [name, 0])) as Counters;
}

/** Adds `other`, which another process sent: what is no number there counts nothing. */
export function addCounters(sum: Counters, other: Partial<Record<CounterName, unknown>>): void {
  for (const name of [...SNMP_NAMES, ...OFFLOAD_NAMES]) {
    const value = other[name];
    if (typeof value === "number" && Number.isFinite(value)) sum[name] += value;
  }
}
