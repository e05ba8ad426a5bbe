/**
 * What each frame means for a connection: every handler goes to one room and turns its verdict into a close. One
 * handler serves all connections of an endpoint; `begin` points it at a packet.
 */

import type { AckFrame } from "../frame/ack.js";
import type { FrameHandler } from "../frame/decode.js";
import {
  FRAME_ACK,
  FRAME_ACK_FREQUENCY,
  FRAME_DATA_BLOCKED,
  FRAME_DATAGRAM,
  FRAME_HANDSHAKE_DONE,
  FRAME_IMMEDIATE_ACK,
  FRAME_MAX_STREAM_DATA,
  FRAME_NEW_CONNECTION_ID,
  FRAME_NEW_TOKEN,
  FRAME_PING,
  FRAME_RESET_STREAM,
  FRAME_RETIRE_CONNECTION_ID,
  FRAME_STOP_SENDING,
  FRAME_STREAM,
  FRAME_STREAM_DATA_BLOCKED,
  FRAME_STREAMS_BLOCKED_BIDI,
  FRAME_STREAMS_BLOCKED_UNI,
} from "../frame/table.js";
import { LEVEL_EARLY, LEVEL_INITIAL, type Level } from "../port/tls.js";
import { DETAIL_LOCAL_IDS, DETAIL_PEER_IDS, STREAM_BIDI, type StreamKind } from "../port/transport.js";
import { ACK_DELAY_LIMIT_MICROS, MAX_PEER_TOKEN_BYTES } from "../proto/limits.js";
import { RESET_TOKEN_BYTES } from "../proto/params.js";
import { levelSpace, SPACE_APP, SPACE_HANDSHAKE } from "../proto/space.js";
import { FRAME_ENCODING_ERROR, PROTOCOL_VIOLATION } from "../proto/transport-error.js";
import { closeTransport, onPeerClose } from "./close.js";
import { minAckDelayMicros } from "./config.js";
import type { Connection } from "./connection.js";
import { confirmHandshake, feedTls, issueIds, pumpTls, takeCrypto } from "./handshake.js";
import { onFollowed, onOwnPathResponse } from "./migrate.js";
import { onPathChallenge, onPathResponse } from "./moves.js";
import { onServedResponse } from "./served-preferred.js";
import { sealPeerToken } from "./session-ticket.js";
import { STATE_OPEN } from "./state.js";

/** Between packets: a frame that comes then is a mistake of ours, and throws. */
const NOBODY = null as unknown as Connection;

export class ConnectionFrames implements FrameHandler {
  private conn = NOBODY;
  private level: Level = LEVEL_INITIAL;
  private keyPhase: 0 | 1 = 0;
  private nowMicros = 0;
  /** Destination id of the packet: RETIRE_CONNECTION_ID must not name it (RFC 9000 §19.16). */
  private dcidBuf!: Uint8Array;
  private dcidStart = 0;
  private dcidEnd = 0;

  begin(conn: Connection, level: Level, keyPhase: 0 | 1, nowMicros: number): void {
    this.conn = conn;
    this.level = level;
    this.keyPhase = keyPhase;
    this.nowMicros = nowMicros;
  }

  /** The frames of this packet are done: all connections share this object, which keeps none of them alive. */
  end(): void {
    this.conn = NOBODY;
  }

  setDcid(buf: Uint8Array, start: number, end: number): void {
    this.dcidBuf = buf;
    this.dcidStart = start;
    this.dcidEnd = end;
  }

  get failed(): boolean {
    return this.conn.state !== STATE_OPEN;
  }

  private verdict(error: number, frameType: number, reason: string): void {
    if (error !== 0) closeTransport(this.conn, error, frameType, reason);
  }

  private streamVerdict(error: number, frameType: number, id: number): void {
    if (error !== 0) closeTransport(this.conn, error, frameType, `${this.conn.streamIn.errorReason}, stream ${id}`);
  }

  onPing(): void {
    this.useless(FRAME_PING);
  }

  private useless(frameType: number): void {
    const { counters, streams } = this.conn;
    if (counters.takeUseless(this.nowMicros, streams.bytesReceived)) return;
    this.verdict(PROTOCOL_VIOLATION, frameType, "too many frames that move nothing");
  }

  onAck(ack: AckFrame): void {
    const { conn } = this;
    const space = levelSpace(this.level);
    // a frame before it in the same packet may have ended the level
    if (space !== SPACE_APP && conn.keys.wasDiscarded(this.level)) return;
    const error = conn.recovery.onAck(space, ack, this.nowMicros);
    if (error !== 0) {
      closeTransport(conn, error, FRAME_ACK, "acknowledges a packet that was never sent");
      return;
    }
    conn.counters.acksReceived++;
    const pnspace = conn.space(space);
    if (ack.largest > pnspace.largestAcked) pnspace.largestAcked = ack.largest;
    if (space !== SPACE_APP) return;
    const { own, arrival } = conn.moves;
    if (own?.isFollowed === false && arrival === null) onFollowed(conn, this.nowMicros);
    conn.streams.smoothedRttMicros = conn.recovery.rtt.smoothedRttMicros;
    conn.control.ackFrequency.reconsider(conn.path.maxDatagramBytes, ack.largest, this.nowMicros);
    const ptoMicros = conn.recovery.ptoMicros(SPACE_APP);
    const wrong = conn.keys.phases.onAcked(ack.largest, this.keyPhase, this.nowMicros, ptoMicros);
    this.verdict(wrong, FRAME_ACK, "old keys acknowledge a packet of new keys");
  }

  onImmediateAck(): void {
    if (!this.takesAckFrequency(FRAME_IMMEDIATE_ACK)) return;
    this.conn.space(SPACE_APP).ackPolicy.onImmediateAck(this.nowMicros);
    this.useless(FRAME_IMMEDIATE_ACK);
  }

  onAckFrequency(seq: number, thresholdPackets: number, maxAckDelayMicros: number, reorderingPackets: number): void {
    if (!this.takesAckFrequency(FRAME_ACK_FREQUENCY)) return;
    const { conn } = this;
    if (maxAckDelayMicros < minAckDelayMicros(conn.config) || maxAckDelayMicros >= ACK_DELAY_LIMIT_MICROS) {
      const reason = `max_ack_delay of ${maxAckDelayMicros} microseconds asked for`;
      closeTransport(conn, PROTOCOL_VIOLATION, FRAME_ACK_FREQUENCY, reason);
      return;
    }
    conn.counters.ackFrequencyReceived++;
    conn.space(SPACE_APP).onAckFrequency(seq, thresholdPackets, maxAckDelayMicros, reorderingPackets);
    this.useless(FRAME_ACK_FREQUENCY);
  }

  /** To who did not announce min_ack_delay, the frames of draft-ietf-quic-ack-frequency are unknown ones. */
  private takesAckFrequency(frameType: number): boolean {
    if (this.conn.config.ackFrequency) return true;
    this.verdict(FRAME_ENCODING_ERROR, frameType, "unknown frame type");
    return false;
  }

  onResetStream(id: number, code: bigint, finalSize: number): void {
    this.streamVerdict(this.conn.streamIn.onResetStream(id, code, finalSize), FRAME_RESET_STREAM, id);
    if (this.level === LEVEL_EARLY) this.conn.streams.noteEarly(id);
  }

  onStopSending(id: number, code: bigint): void {
    this.streamVerdict(this.conn.streamIn.onStopSending(id, code), FRAME_STOP_SENDING, id);
    if (this.level === LEVEL_EARLY) this.conn.streams.noteEarly(id);
  }

  onCrypto(offset: number, buf: Uint8Array, start: number, end: number): void {
    const { conn, level, nowMicros } = this;
    if (takeCrypto(conn, level, offset, buf, start, end) && feedTls(conn, level, nowMicros)) pumpTls(conn, nowMicros);
  }

  private takeToken(token: Uint8Array): void {
    this.conn.events.noteNewToken(sealPeerToken(this.conn.versions.current, token));
  }

  onNewToken(buf: Uint8Array, start: number, end: number): void {
    if (this.conn.isServer) this.verdict(PROTOCOL_VIOLATION, FRAME_NEW_TOKEN, "NEW_TOKEN from a client");
    else if (end - start <= MAX_PEER_TOKEN_BYTES) this.takeToken(buf.slice(start, end));
  }

  onStream(id: number, offset: number, buf: Uint8Array, start: number, end: number, fin: boolean): void {
    this.streamVerdict(this.conn.streamIn.onStream(id, offset, buf, start, end, fin), FRAME_STREAM, id);
    if (this.level === LEVEL_EARLY) this.conn.streams.noteEarly(id);
  }

  onMaxData(max: number): void {
    this.conn.streamIn.onMaxData(max);
  }

  onMaxStreamData(id: number, max: number): void {
    this.streamVerdict(this.conn.streamIn.onMaxStreamData(id, max), FRAME_MAX_STREAM_DATA, id);
  }

  onMaxStreams(kind: StreamKind, max: number): void {
    this.conn.streamIn.onMaxStreams(kind, max);
  }

  onDataBlocked(limit: number): void {
    this.conn.streamIn.onDataBlocked(limit);
    this.useless(FRAME_DATA_BLOCKED);
  }

  onStreamDataBlocked(id: number, limit: number): void {
    this.streamVerdict(this.conn.streamIn.onStreamDataBlocked(id, limit), FRAME_STREAM_DATA_BLOCKED, id);
    this.useless(FRAME_STREAM_DATA_BLOCKED);
  }

  onStreamsBlocked(kind: StreamKind, limit: number): void {
    this.conn.streamIn.onStreamsBlocked(kind, limit);
    this.useless(kind === STREAM_BIDI ? FRAME_STREAMS_BLOCKED_BIDI : FRAME_STREAMS_BLOCKED_UNI);
  }

  onNewConnectionId(
    seq: number,
    retirePriorTo: number,
    buf: Uint8Array,
    cidStart: number,
    cidEnd: number,
    tokenStart: number,
  ): void {
    const { peerIds } = this.conn;
    const cid = buf.slice(cidStart, cidEnd);
    const token = buf.slice(tokenStart, tokenStart + RESET_TOKEN_BYTES);
    const lowestSeq = peerIds.lowestSeq;
    this.verdict(peerIds.onNew(seq, retirePriorTo, cid, token), FRAME_NEW_CONNECTION_ID, `connection id ${seq}`);
    if (peerIds.lowestSeq > lowestSeq) this.conn.events.noteDetail(DETAIL_PEER_IDS, 0, peerIds.lowestSeq);
  }

  onRetireConnectionId(seq: number): void {
    const { conn } = this;
    const { length } = conn.localIds.live;
    const error = conn.localIds.onRetire(seq, this.dcidBuf, this.dcidStart, this.dcidEnd);
    if (error !== 0) {
      closeTransport(conn, error, FRAME_RETIRE_CONNECTION_ID, `connection id ${seq} is not there or in use`);
      return;
    }
    for (let cid = conn.localIds.takeRetired(); cid !== null; cid = conn.localIds.takeRetired()) {
      conn.host.unroute(cid, conn);
    }
    const { live } = conn.localIds;
    if (live.length < length) conn.events.noteDetail(DETAIL_LOCAL_IDS, 0, live[0].seq);
    issueIds(conn, this.nowMicros);
  }

  /** RFC 9221 §3: what was not announced, or is larger, ends the connection. */
  onDatagram(buf: Uint8Array, start: number, end: number, frameBytes: number): void {
    const most = this.conn.config.maxDatagramFrameBytes;
    if (frameBytes <= most) this.conn.events.noteDatagram(buf.slice(start, end), this.level === LEVEL_EARLY);
    else
      this.verdict(PROTOCOL_VIOLATION, FRAME_DATAGRAM, `DATAGRAM frame of ${frameBytes} bytes, announced are ${most}`);
  }

  onPathChallenge(buf: Uint8Array, start: number): void {
    onPathChallenge(this.conn, buf, start);
  }

  onPathResponse(buf: Uint8Array, start: number): void {
    const { conn, nowMicros } = this;
    if (!conn.isServer) onOwnPathResponse(conn, buf, start, nowMicros);
    else if (!onServedResponse(conn, buf, start, nowMicros)) onPathResponse(conn, buf, start, nowMicros);
  }

  onConnectionClose(
    isApplication: boolean,
    code: bigint,
    frameType: number,
    buf: Uint8Array,
    reasonStart: number,
    reasonEnd: number,
  ): void {
    const type = isApplication ? "application" : "transport";
    const reason = readReason(buf, reasonStart, reasonEnd);
    onPeerClose(this.conn, { type, remote: true, code, frameType, reason }, this.nowMicros);
  }

  onHandshakeDone(): void {
    const { conn } = this;
    if (conn.isServer) this.verdict(PROTOCOL_VIOLATION, FRAME_HANDSHAKE_DONE, "HANDSHAKE_DONE from a client");
    else if (conn.cryptoOut[SPACE_HANDSHAKE].hasUnsent) {
      // held back until we had its keys; confirmation would discard those of a Finished that nobody has seen
      this.verdict(PROTOCOL_VIOLATION, FRAME_HANDSHAKE_DONE, "HANDSHAKE_DONE before our Finished was sent");
    } else confirmHandshake(conn, this.nowMicros);
  }
}

/** ASCII of the reason phrase; anything else becomes `?`, because it ends up in terminals and logs. */
function readReason(buf: Uint8Array, start: number, end: number): string {
  let text = "";
  for (let i = start; i < end; i++) {
    const byte = buf[i];
    text += byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : "?";
  }
  return text;
}
