/**
 * Application datagrams on their way out (RFC 9221 §5): a bounded queue, each sent once and never again. What becomes of
 * each is told once: acknowledged, lost, or abandoned when it never left. Order is that of `send`.
 */

import { datagramFrameLength, writeDatagram } from "../frame/datagram.js";
import {
  DATAGRAM_ABANDONED,
  DATAGRAM_ACKNOWLEDGED,
  DATAGRAM_LOST,
  type DatagramFate,
  T_TOO_LARGE,
} from "../port/transport.js";
import { DATAGRAMS_OUT, MAX_DATAGRAM_FATES, MAX_DATAGRAM_OUT_BYTES } from "../proto/limits.js";
import { REC_DATAGRAM, type SentPackets } from "./sent.js";

interface Waiting {
  readonly id: number;
  readonly bytes: Uint8Array;
}

/** Told what became of datagrams. */
export interface DatagramSink {
  noteDatagramFate(id: number, fate: DatagramFate): void;
}

export class DatagramsOut {
  /** The peer's max_datagram_frame_size, bytes of a whole frame; 0: it takes none (RFC 9221 §3). */
  peerMaxBytes = 0;
  /** Which goes when there is no room: the one that waits longest, or the new one. */
  dropsOldest = true;
  /** Datagrams that may wait, 1 to MAX_DATAGRAMS_OUT. */
  maxWaiting = DATAGRAMS_OUT;
  sent = 0;
  acknowledged = 0;
  lost = 0;
  heldBytes = 0;
  private readonly sink: DatagramSink;
  private waiting: Waiting[] = [];
  private nextId = 1;
  /** Told to be lost: a late acknowledgement is no news. Oldest first. */
  private readonly toldLost: number[] = [];

  constructor(sink: DatagramSink) {
    this.sink = sink;
  }

  get hasPending(): boolean {
    return this.waiting.length > 0;
  }

  get count(): number {
    return this.waiting.length;
  }

  /** Largest payload that fits both the peer and a packet with `packetRoomBytes` for frames. */
  maxPayload(packetRoomBytes: number): number {
    return Math.max(0, Math.min(this.peerMaxBytes, packetRoomBytes) - datagramFrameLength(0, false));
  }

  /** Queues `bytes`, which stay ours: its id, or T_TOO_LARGE when it is more than `maxPayloadBytes`. */
  send(bytes: Uint8Array, maxPayloadBytes: number): number {
    if (bytes.length > maxPayloadBytes) return T_TOO_LARGE;
    const id = this.nextId++;
    const isFull = (): boolean =>
      this.waiting.length >= this.maxWaiting || this.heldBytes + bytes.length > MAX_DATAGRAM_OUT_BYTES;
    while (isFull() && this.waiting.length > 0 && this.dropsOldest) this.abandon(this.take());
    if (isFull()) {
      this.sink.noteDatagramFate(id, DATAGRAM_ABANDONED);
      return id;
    }
    this.waiting.push({ id, bytes });
    this.heldBytes += bytes.length;
    return id;
  }

  /** Writes what fits at `pos`; a packet that is empty before and has `limit - pos` for frames is the largest there is. */
  fill(buf: Uint8Array, pos: number, limit: number, sent: SentPackets, isEmptyPacket: boolean): number {
    let at = pos;
    for (let first = this.waiting[0]; first !== undefined; first = this.waiting[0]) {
      const { id, bytes } = first;
      const next = writeDatagram(buf, at, limit, bytes, this.peerMaxBytes);
      if (next < 0) {
        if (!isEmptyPacket || at > pos) return at;
        this.abandon(this.take()); // the path has become too narrow for it
        continue;
      }
      this.take();
      this.sent++;
      sent.note(REC_DATAGRAM, id, 0, bytes.length);
      at = next;
    }
    return at;
  }

  onAcked(id: number): void {
    const at = this.toldLost.indexOf(id);
    if (at >= 0) {
      this.toldLost.splice(at, 1);
      return;
    }
    this.acknowledged++;
    this.sink.noteDatagramFate(id, DATAGRAM_ACKNOWLEDGED);
  }

  onLost(id: number): void {
    if (this.toldLost.includes(id)) return;
    if (this.toldLost.length === MAX_DATAGRAM_FATES) this.toldLost.shift();
    this.toldLost.push(id);
    this.lost++;
    this.sink.noteDatagramFate(id, DATAGRAM_LOST);
  }

  /** The connection ends. */
  abandonAll(): void {
    while (this.waiting.length > 0) this.abandon(this.take());
    this.toldLost.length = 0;
  }

  private take(): Waiting {
    const first = this.waiting.shift()!;
    this.heldBytes -= first.bytes.length;
    return first;
  }

  private abandon({ id }: Waiting): void {
    this.sink.noteDatagramFate(id, DATAGRAM_ABANDONED);
  }
}
