/** Counters that a connection keeps for itself, and the one place where all counters of its parts are put together. */

import { STREAM_BIDI, STREAM_UNI, type TransportStats } from "../port/transport.js";
import type { Connection } from "./connection.js";

export class ConnectionCounters {
  handshakeCompletedAtMicros = 0;
  handshakeConfirmedAtMicros = 0;
  closedAtMicros = 0;
  bytesReceived = 0;
  bytesSent = 0;
  packetsReceived = 0;
  packetsSent = 0;
  packetsDropped = 0;
  earlyPacketsReceived = 0;
  earlyPacketsSent = 0;
  cwndBlocked = 0;

  constructor(readonly createdAtMicros: number) {}
}

export function connectionStats(conn: Connection): TransportStats {
  const { counters, recovery, streams } = conn;
  return {
    createdAtMicros: counters.createdAtMicros,
    handshakeCompletedAtMicros: counters.handshakeCompletedAtMicros,
    handshakeConfirmedAtMicros: counters.handshakeConfirmedAtMicros,
    closedAtMicros: counters.closedAtMicros,
    bytesReceived: counters.bytesReceived,
    bytesSent: counters.bytesSent,
    packetsReceived: counters.packetsReceived,
    packetsSent: counters.packetsSent,
    packetsLost: recovery.packetsLost,
    bytesLost: recovery.bytesLost,
    packetsDropped: counters.packetsDropped,
    spuriousLosses: recovery.spuriousLosses,
    bytesInFlight: recovery.bytesInFlight,
    maxBytesInFlight: recovery.maxBytesInFlight,
    cwndBytes: recovery.cc.cwndBytes,
    ssthreshBytes: recovery.cc.ssthreshBytes,
    latestRttMicros: recovery.rtt.latestRttMicros,
    minRttMicros: recovery.rtt.minRttMicros,
    smoothedRttMicros: recovery.rtt.smoothedRttMicros,
    rttVarMicros: recovery.rtt.rttVarMicros,
    ptoCount: recovery.ptoCountTotal,
    bidiIn: streams.counts[STREAM_BIDI].peerOpened,
    bidiOut: streams.counts[STREAM_BIDI].opened,
    uniIn: streams.counts[STREAM_UNI].peerOpened,
    uniOut: streams.counts[STREAM_UNI].opened,
    earlyPacketsReceived: counters.earlyPacketsReceived,
    earlyPacketsSent: counters.earlyPacketsSent,
    streamBytesReceived: streams.bytesReceived,
    streamBytesSent: conn.streamOut.streamBytesSent,
    cwndBlocked: counters.cwndBlocked,
    flowBlocked: conn.streamOut.flowBlocked,
  };
}
