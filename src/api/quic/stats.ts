/** Counters with the names and units of `node:quic`: bigint, times and round trips in nanoseconds. */

import type { TransportStats } from "../../port/transport.js";
import type { EndpointCore } from "./endpoint-core.js";
import type { StreamCore } from "./stream-core.js";

export interface EndpointStats {
  createdAt: bigint;
  destroyedAt: bigint;
  bytesReceived: bigint;
  bytesSent: bigint;
  packetsReceived: bigint;
  packetsSent: bigint;
  serverSessions: bigint;
  clientSessions: bigint;
  serverBusyCount: bigint;
  retryCount: bigint;
  versionNegotiationCount: bigint;
  statelessResetCount: bigint;
  immediateCloseCount: bigint;
}

export interface SessionStats {
  createdAt: bigint;
  closingAt: bigint;
  handshakeCompletedAt: bigint;
  handshakeConfirmedAt: bigint;
  bytesReceived: bigint;
  bytesSent: bigint;
  bidiInStreamCount: bigint;
  bidiOutStreamCount: bigint;
  uniInStreamCount: bigint;
  uniOutStreamCount: bigint;
  maxBytesInFlight: bigint;
  bytesInFlight: bigint;
  blockCount: bigint;
  cwnd: bigint;
  latestRtt: bigint;
  minRtt: bigint;
  rttVar: bigint;
  smoothedRtt: bigint;
  ssthresh: bigint;
  datagramsReceived: bigint;
  datagramsSent: bigint;
  datagramsAcknowledged: bigint;
  datagramsLost: bigint;
}

export interface StreamStats {
  createdAt: bigint;
  openedAt: bigint;
  receivedAt: bigint;
  ackedAt: bigint;
  destroyedAt: bigint;
  /** Bytes that were read, and that were given to the transport. */
  bytesReceived: bigint;
  bytesSent: bigint;
  /** In order and not read yet. */
  bytesAccumulated: bigint;
}

/** Largest value of an unlimited ssthresh, as node:quic reports it. */
const UNLIMITED = 2n ** 64n - 1n;

export function endpointStats(core: EndpointCore): EndpointStats {
  const udp = core.host?.udpStats;
  const counters = core.host?.endpoint.counters;
  return {
    createdAt: nanos(core.createdAtMicros),
    destroyedAt: nanos(core.destroyedAtMicros),
    bytesReceived: big(udp?.bytesReceived),
    bytesSent: big(udp?.bytesSent),
    packetsReceived: big(udp?.datagramsReceived),
    packetsSent: big(udp?.datagramsSent),
    serverSessions: big(core.serverSessions),
    clientSessions: big(core.clientSessions),
    serverBusyCount: big(core.busyCount),
    retryCount: big(counters?.retriesSent),
    versionNegotiationCount: big(counters?.versionNegotiationsSent),
    statelessResetCount: big(counters?.statelessResetsSent),
    immediateCloseCount: big(counters?.refusalsSent),
  };
}

export function sessionStats(stats: TransportStats): SessionStats {
  return {
    createdAt: nanos(stats.createdAtMicros),
    closingAt: nanos(stats.closedAtMicros),
    handshakeCompletedAt: nanos(stats.handshakeCompletedAtMicros),
    handshakeConfirmedAt: nanos(stats.handshakeConfirmedAtMicros),
    bytesReceived: big(stats.bytesReceived),
    bytesSent: big(stats.bytesSent),
    bidiInStreamCount: big(stats.bidiIn),
    bidiOutStreamCount: big(stats.bidiOut),
    uniInStreamCount: big(stats.uniIn),
    uniOutStreamCount: big(stats.uniOut),
    maxBytesInFlight: big(stats.maxBytesInFlight),
    bytesInFlight: big(stats.bytesInFlight),
    blockCount: big(stats.cwndBlocked + stats.flowBlocked),
    cwnd: big(stats.cwndBytes),
    latestRtt: nanos(stats.latestRttMicros),
    minRtt: nanos(stats.minRttMicros),
    rttVar: nanos(stats.rttVarMicros),
    smoothedRtt: nanos(stats.smoothedRttMicros),
    ssthresh: Number.isFinite(stats.ssthreshBytes) ? big(stats.ssthreshBytes) : UNLIMITED,
    datagramsReceived: big(stats.datagramsReceived),
    datagramsSent: big(stats.datagramsSent),
    datagramsAcknowledged: big(stats.datagramsAcknowledged),
    datagramsLost: big(stats.datagramsLost),
  };
}

export function streamStats(core: StreamCore): StreamStats {
  return {
    createdAt: nanos(core.createdAtMicros),
    openedAt: nanos(core.createdAtMicros),
    receivedAt: nanos(core.receivedAtMicros),
    ackedAt: nanos(core.ackedAtMicros),
    destroyedAt: nanos(core.destroyedAtMicros),
    bytesReceived: big(core.recv?.bytesRead),
    bytesSent: big(core.send?.bytesWritten),
    bytesAccumulated: big(core.recv?.readableBytes),
  };
}

function big(value: number | undefined): bigint {
  return value === undefined || !Number.isFinite(value) ? 0n : BigInt(Math.round(value));
}

function nanos(micros: number): bigint {
  return big(micros) * 1000n;
}
