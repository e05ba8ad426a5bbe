/** The states of a connection's streams and buffers, for façades that show them (port/transport, DetailTransport). */

import {
  type ConnectionIdRange,
  type DetailTransport,
  type StreamDetails,
  STREAM_BIDI,
  STREAM_UNI,
  type StreamKind,
} from "../port/transport.js";
import {
  RECV_DATA_READ,
  RECV_DATA_RECVD,
  RECV_RECV,
  RECV_RESET_READ,
  RECV_RESET_RECVD,
  RECV_SIZE_KNOWN,
} from "../stream/recv.js";
import {
  SEND_DATA_RECVD,
  SEND_DATA_SENT,
  SEND_READY,
  SEND_RESET_RECVD,
  SEND_RESET_SENT,
  SEND_SEND,
} from "../stream/send.js";
import { CONTROL_MAX_STREAM_DATA } from "../stream/stream.js";
import { CONN_MAX_STREAMS } from "../stream/table.js";
import type { ConnectionConfig } from "./config.js";
import type { Connection } from "./connection.js";
import { reconfigure } from "./reconfigure.js";
import { demandLocalIds, retirePeerIds } from "./retire-ids.js";

/** In the order of RFC 9000 §3.1 and §3.2, which is that of port/transport. */
const SEND_ORDER = [SEND_READY, SEND_SEND, SEND_DATA_SENT, SEND_DATA_RECVD, SEND_RESET_SENT, SEND_RESET_RECVD];
const RECV_ORDER = [RECV_RECV, RECV_SIZE_KNOWN, RECV_DATA_RECVD, RECV_DATA_READ, RECV_RESET_RECVD, RECV_RESET_READ];

export class ConnectionDetails implements DetailTransport {
  constructor(private readonly conn: Connection) {}

  /** Makes the TLS session now, which a client otherwise has from its first flight on. */
  startTls(): void {
    void this.conn.handshakeState.tls;
  }

  /**
   * Another configuration, and for a server the parameters that go with it. False once the handshake is too far, with
   * nothing changed: this side has answered, or streams are there. @throws RangeError
   */
  reconfigure(given: Partial<ConnectionConfig>, nowMicros: number): boolean {
    return reconfigure(this.conn, given, nowMicros);
  }

  watch(details: number): void {
    this.conn.events.watched = details;
  }

  announce(id: number): boolean {
    const { streams, host } = this.conn;
    const stream = streams.find(id);
    if (stream === null || stream.send === null || stream.recv === null) return false;
    streams.control(stream, CONTROL_MAX_STREAM_DATA);
    host.schedule(this.conn);
    return true;
  }

  stream(id: number): StreamDetails | null {
    const { streams } = this.conn;
    const stream = streams.get(id);
    if (stream === null) return null;
    const { send, recv } = stream;
    const unsentBytes = send === null ? 0 : send.buffer.end - send.buffer.next;
    const creditBytes =
      send === null ? 0 : Math.min(send.maxStreamData - send.buffer.end, streams.sendCredit.available - unsentBytes);
    return {
      sendState: send === null ? -1 : SEND_ORDER.indexOf(send.state),
      recvState: recv === null ? -1 : RECV_ORDER.indexOf(recv.state),
      recvFinalSize: recv?.finalSize ?? -1,
      stopped: recv?.stopped ?? false,
      writtenBytes: send?.buffer.end ?? 0,
      sentBytes: send?.buffer.next ?? 0,
      creditBytes: Math.max(0, creditBytes),
    };
  }

  openable(kind: StreamKind): number {
    const { opened, peerMax } = this.conn.streams.counts[kind];
    return Math.max(0, peerMax - opened);
  }

  opened(kind: StreamKind, byPeer: boolean): number {
    const counts = this.conn.streams.counts[kind];
    return byPeer ? counts.peerOpened : counts.opened;
  }

  get sendHeldBytes(): number {
    return this.conn.streams.held.sendBytes;
  }

  get recvHeldBytes(): number {
    return this.conn.streams.held.recvBytes;
  }

  get unsentBytes(): number {
    return this.conn.streamOut.queuedBytes("next");
  }

  get unackedBytes(): number {
    return this.conn.streamOut.queuedBytes("base");
  }

  get creditBytes(): number {
    return Math.max(0, this.conn.streams.sendCredit.available - this.unsentBytes);
  }

  get cwndBytes(): number {
    return this.conn.recovery.cc.cwndBytes;
  }

  wantRoom(): void {
    this.conn.streamOut.wantRoom();
  }

  setDelay(delays: boolean, corked: boolean): void {
    const { streamOut, host } = this.conn;
    if (streamOut.delaysSmall === delays && streamOut.isCorked === corked) return;
    streamOut.delaysSmall = delays;
    streamOut.isCorked = corked;
    host.schedule(this.conn);
  }

  get isUpdatingKeys(): boolean {
    return this.conn.keys.isUpdating;
  }

  get isMoving(): boolean {
    const { previous, own } = this.conn.moves;
    return previous !== null || (own !== null && own.attempts.length > 0);
  }

  holdStreams(isHeld: boolean): void {
    const { streams, host } = this.conn;
    for (const kind of [STREAM_BIDI, STREAM_UNI] as const) {
      streams.counts[kind].isHeld = isHeld;
      if (streams.counts[kind].isUpdateDue()) streams.controlBits |= CONN_MAX_STREAMS << kind;
    }
    host.schedule(this.conn);
  }

  connectionIds(ofPeer: boolean): ConnectionIdRange {
    const { localIds, peerIds } = this.conn;
    const { lowestSeq: lowest, highestSeq: highest } = ofPeer ? peerIds : localIds;
    return { lowest, highest, active: ofPeer ? peerIds.currentSeq : lowest };
  }

  useConnectionId(seq: number): boolean {
    return this.conn.peerIds.select(seq);
  }

  retireConnectionIds(ofPeer: boolean, priorTo: number): boolean {
    return ofPeer ? retirePeerIds(this.conn, priorTo) : demandLocalIds(this.conn, priorTo);
  }
}
