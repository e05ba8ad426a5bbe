/** What an operator sees of one connection beyond its counters (port/transport, TransportStats). Made when asked for. */

import { toHex } from "../base/bytes.js";
import type { CongestionName } from "../cong/controller.js";
import type { TransportStats } from "../port/transport.js";
import { SPACE_APP } from "../proto/space.js";
import type { Connection } from "./connection.js";
import { STATE_CLOSED, STATE_CLOSING, STATE_DRAINING, STATE_OPEN } from "./state.js";
import { connectionStats } from "./stats.js";

/** By STATE_*. */
const PHASE_NAMES = {
  [STATE_OPEN]: "open",
  [STATE_CLOSING]: "closing",
  [STATE_DRAINING]: "draining",
  [STATE_CLOSED]: "closed",
} as const;

/** What a list of connections shows of each. */
export interface ConnectionBrief {
  /** RFC 9000 §10; `open` has the handshake in it. */
  phase: (typeof PHASE_NAMES)[keyof typeof PHASE_NAMES];
  isEstablished: boolean;
  isServer: boolean;
  alpn: string;
  /** Memory of send buffers, receive buffers, and everything together, bytes. */
  sendHeldBytes: number;
  recvHeldBytes: number;
  heldBytes: number;
  cwndBytes: number;
  bytesInFlight: number;
  /** Largest UDP payload that is sent now. */
  maxDatagramBytes: number;
  /** What the peer may have on its way to us now, and what one stream of ours buffers. */
  recvWindowBytes: number;
  sendBufferBytes: number;
}

export interface PathView {
  /** ADDR_COLS words of port/udp, and the socket. */
  addr: Int32Array;
  socket: number;
  /** What it is to the connection. */
  role: "active" | "previous" | "probed";
  validated: boolean;
  maxDatagramBytes: number;
}

export interface ConnectionView {
  stats: TransportStats;
  version: number;
  serverName: string;
  cipher: string;
  isEarlyAccepted: boolean;
  congestion: CongestionName;
  pacingBytesPerSec: number;
  /** Probe timeout of 1-RTT packets, and how often in a row it fired. */
  ptoMicros: number;
  ptoCount: number;
  /** Frames lost whose content is sent again, and the bytes of stream and TLS data in them. */
  framesLost: number;
  frameBytesLost: number;
  unsentBytes: number;
  sendCreditBytes: number;
  /** Streams that are not finished yet. */
  streamsOpen: number;
  keyPhaseUpdates: number;
  /** Hexadecimal: ids of ours that the peer may use, and the one of the peer's in use with the number of all. */
  localCids: string[];
  peerCid: string;
  peerCidCount: number;
  origDcid: string;
  paths: PathView[];
}

export function briefOf(conn: Connection): ConnectionBrief {
  const { counters, config, handshake, path, recovery, state, streams } = conn;
  return {
    phase: PHASE_NAMES[state],
    isEstablished: counters.handshakeCompletedAtMicros > 0,
    isServer: conn.isServer,
    alpn: handshake?.alpn ?? "",
    sendHeldBytes: streams.held.sendBytes,
    recvHeldBytes: streams.held.recvBytes,
    heldBytes: conn.heldBytes(),
    cwndBytes: recovery.cc.cwndBytes,
    bytesInFlight: recovery.bytesInFlight,
    maxDatagramBytes: path.mtu.currentBytes,
    recvWindowBytes: streams.recvCredit.windowBytes,
    sendBufferBytes: config.sendBufferBytes,
  };
}

export function inspectConnection(conn: Connection): ConnectionView {
  const { counters, handshake, keys, localIds, peerIds, recovery, streams } = conn;
  return {
    stats: connectionStats(conn),
    version: conn.versions.current,
    serverName: handshake?.serverName ?? "",
    cipher: handshake?.cipher ?? "",
    isEarlyAccepted: handshake?.earlyDataAccepted ?? false,
    congestion: recovery.cc.name,
    pacingBytesPerSec: Math.round(recovery.pacer.bytesPerMicro * 1e6),
    ptoMicros: recovery.ptoMicros(SPACE_APP),
    ptoCount: recovery.ptoCount,
    framesLost: counters.framesLost,
    frameBytesLost: counters.frameBytesLost,
    unsentBytes: conn.streamOut.queuedBytes("next"),
    sendCreditBytes: streams.sendCredit.available,
    streamsOpen: streams.size,
    keyPhaseUpdates: keys.phases.updates,
    localCids: localIds.live.map(({ cid }) => toHex(cid)),
    peerCid: toHex(peerIds.current),
    peerCidCount: peerIds.activeCount,
    origDcid: toHex(conn.origDcid),
    paths: pathsOf(conn),
  };
}

function pathsOf({ moves, path }: Connection): PathView[] {
  const { previous, probed } = moves;
  return [
    viewOf(path, "active"),
    ...(previous === null ? [] : [viewOf(previous, "previous")]),
    ...probed.map((each) => viewOf(each, "probed")),
  ];
}

function viewOf({ addr, socket, validated, mtu }: Connection["path"], role: PathView["role"]): PathView {
  return { addr: addr.slice(), socket, role, validated, maxDatagramBytes: mtu.currentBytes };
}
