/** Transport parameters as sessions show them: names and units of `node:quic`, integers as bigint. */

import type { TransportParams } from "../../proto/params.js";

export interface SessionTransportParams {
  initialMaxStreamDataBidiLocal: bigint;
  initialMaxStreamDataBidiRemote: bigint;
  initialMaxStreamDataUni: bigint;
  initialMaxData: bigint;
  initialMaxStreamsBidi: bigint;
  initialMaxStreamsUni: bigint;
  /** Seconds, rounded up. */
  maxIdleTimeout: bigint;
  activeConnectionIDLimit: bigint;
  ackDelayExponent: bigint;
  /** Milliseconds. */
  maxAckDelay: bigint;
  maxDatagramFrameSize: bigint;
  disableActiveMigration: boolean;
  /** Connection ids in hex; null where there is none. */
  initialSCID: string | null;
  originalDCID: string | null;
  retrySCID: string | null;
}

export function sessionTransportParams(params: TransportParams): SessionTransportParams {
  return {
    initialMaxStreamDataBidiLocal: BigInt(params.initialMaxStreamDataBidiLocal),
    initialMaxStreamDataBidiRemote: BigInt(params.initialMaxStreamDataBidiRemote),
    initialMaxStreamDataUni: BigInt(params.initialMaxStreamDataUni),
    initialMaxData: BigInt(params.initialMaxData),
    initialMaxStreamsBidi: BigInt(params.initialMaxStreamsBidi),
    initialMaxStreamsUni: BigInt(params.initialMaxStreamsUni),
    maxIdleTimeout: BigInt(Math.ceil(params.maxIdleTimeoutMillis / 1000)),
    activeConnectionIDLimit: BigInt(params.activeConnectionIdLimit),
    ackDelayExponent: BigInt(params.ackDelayExponent),
    maxAckDelay: BigInt(params.maxAckDelayMillis),
    maxDatagramFrameSize: BigInt(params.maxDatagramFrameBytes),
    disableActiveMigration: params.disableActiveMigration,
    initialSCID: hex(params.initialScid),
    originalDCID: hex(params.originalDcid),
    retrySCID: hex(params.retryScid),
  };
}

function hex(cid: Uint8Array | null): string | null {
  return cid === null ? null : Buffer.from(cid.buffer, cid.byteOffset, cid.length).toString("hex");
}
