/** Counters that a connection keeps for itself, and the one place where all counters of its parts are put together. */

import { DOUBLE } from "../base/double.js";
import type { EcnCounts } from "../pnspace/ecn.js";
import { USELESS_FRAME_STREAM_BYTES, USELESS_FRAMES_BURST, USELESS_FRAMES_PER_SECOND } from "../proto/limits.js";
import { STREAM_BIDI, STREAM_UNI, type TransportStats } from "../port/transport.js";
import { SPACES, type SpaceId } from "../proto/space.js";
import type { Connection } from "./connection.js";

/** By ECN_* state of path/ecn-check. */
const ECN_STATES = ["testing", "unknown", "capable", "failed"] as const;

export class ConnectionCounters {
  handshakeCompletedAtMicros = 0;
  handshakeConfirmedAtMicros = 0;
  closedAtMicros = 0;
  bytesReceived = DOUBLE;
  bytesSent = DOUBLE;
  packetsReceived = 0;
  packetsSent = 0;
  packetsDropped = 0;
  earlyPacketsReceived = 0;
  earlyPacketsSent = 0;
  acksReceived = 0;
  acksSent = 0;
  ackFrequencyReceived = 0;
  cwndBlocked = 0;
  /** Frames lost whose content is sent again, and the bytes of stream and TLS data in them. */
  framesLost = 0;
  frameBytesLost = DOUBLE;
  /** Frames that moved nothing, less what time has forgiven, and when that was reckoned. */
  private uselessFrames = DOUBLE;
  private uselessAtMicros = DOUBLE;
  private uselessAtBytes = DOUBLE;
  /** Marks received in spaces that are closed. */
  ect0 = 0;
  ect1 = 0;
  ce = 0;

  constructor(readonly createdAtMicros: number) {
    this.bytesReceived = this.bytesSent = this.uselessFrames = this.frameBytesLost = 0;
    this.uselessAtMicros = createdAtMicros;
    this.uselessAtBytes = 0;
  }

  /**
   * One more frame that asks for an answer and moves nothing, after `streamBytes` of stream data in all. False: there are
   * too many (RFC 9000 §21.9).
   */
  takeUseless(nowMicros: number, streamBytes: number): boolean {
    const byTime = ((nowMicros - this.uselessAtMicros) * USELESS_FRAMES_PER_SECOND) / 1e6;
    const forgiven = byTime + (streamBytes - this.uselessAtBytes) / USELESS_FRAME_STREAM_BYTES;
    this.uselessAtMicros = nowMicros;
    this.uselessAtBytes = streamBytes;
    this.uselessFrames = Math.max(0, this.uselessFrames - forgiven) + 1;
    return this.uselessFrames <= USELESS_FRAMES_BURST;
  }

  /** The space of `counts` goes. */
  keepMarks(counts: EcnCounts): void {
    this.ect0 += counts.ect0;
    this.ect1 += counts.ect1;
    this.ce += counts.ce;
  }
}

export function connectionStats(conn: Connection): TransportStats {
  const { counters, moves, path, recovery, streams } = conn;
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
    congestionEvents: recovery.congestionEvents,
    persistentCongestions: recovery.persistentCongestions,
    ...ecnStats(conn),
    maxDatagramBytes: path.mtu.currentBytes,
    mtuProbesSent: path.mtu.probesSent,
    mtuProbesLost: path.mtu.probesLost,
    mtuBlackHoles: path.mtu.blackHoles,
    latestRttMicros: recovery.rtt.latestRttMicros,
    minRttMicros: recovery.rtt.minRttMicros,
    smoothedRttMicros: recovery.rtt.smoothedRttMicros,
    rttVarMicros: recovery.rtt.rttVarMicros,
    ptoCount: recovery.ptoCountTotal,
    acksReceived: counters.acksReceived,
    acksSent: counters.acksSent,
    ackFrequencyReceived: counters.ackFrequencyReceived,
    ackFrequencySent: conn.control.ackFrequency.requests,
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
    keyUpdates: conn.keys.phases.updates,
    plaintext: conn.keys.isPlain,
    pathsValidated: moves.validated,
    pathsFailed: moves.failed,
    pathMoves: moves.count,
    pathReturns: moves.returns,
    datagramsReceived: conn.events.datagramsReceived,
    datagramsDropped: conn.events.datagramsDropped,
    datagramsSent: conn.datagrams.out.sent,
    datagramsAcknowledged: conn.datagrams.out.acknowledged,
    datagramsLost: conn.datagrams.out.lost,
  };
}

function ecnStats(
  conn: Connection,
): Pick<TransportStats, "ect0Received" | "ect1Received" | "ceReceived" | "ceReported" | "ecn"> {
  const { counters, recovery } = conn;
  let { ect0, ect1, ce } = counters;
  for (let space = 0; space < SPACES; space++) {
    const counts = conn.space(space as SpaceId).ecn;
    ect0 += counts.ect0;
    ect1 += counts.ect1;
    ce += counts.ce;
  }
  const { ceReported, state } = recovery.ecn;
  return { ect0Received: ect0, ect1Received: ect1, ceReceived: ce, ceReported, ecn: ECN_STATES[state] };
}
