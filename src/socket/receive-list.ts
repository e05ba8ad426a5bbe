/**
 * What `recvmsg` hands out, in Linux's order: handshake messages, then events, then data of streams and datagrams in the
 * order in which they came. Data of a stream stays in the stream; the list holds its place only, once.
 *
 * Invariant: events that tell of the same thing are one, the latest, so that the list is bounded by the number of streams
 * and by what the transport may hold.
 */

/** What a datagram takes beside its bytes: an empty one costs memory, too. */
const DATAGRAM_COST_BYTES = 256;

/** A message that can be read in parts. */
export interface Message {
  readonly bytes: Uint8Array;
  /** Read so far. */
  offset: number;
}

export interface HandshakeMessage extends Message {
  /** QUIC_CRYPTO_*. */
  readonly level: number;
}

export interface EventMessage extends Message {
  /** Equal keys tell of the same thing. */
  readonly key: string;
}

/** The place of a stream. */
export interface StreamItem {
  readonly kind: "stream";
  readonly id: number;
  /** Taken from the stream, and not read yet: what MSG_PEEK looked at. */
  peeked: Uint8Array | null;
  /** The stream is at its end: only `peeked` is left. */
  ended: boolean;
}

export type DataItem = StreamItem | ({ readonly kind: "datagram" } & Message);

export class ReceiveList {
  readonly handshake: HandshakeMessage[] = [];
  readonly data: DataItem[] = [];
  /** Memory of what is whole here: TLS messages, and datagrams with what each costs. Streams hold their data themselves. */
  handshakeBytes = 0;
  datagramBytes = 0;
  private readonly events = new Map<string, EventMessage>();
  private readonly streams = new Set<number>();

  get isEmpty(): boolean {
    return this.handshake.length === 0 && this.events.size === 0 && this.data.length === 0;
  }

  pushHandshake(level: number, bytes: Uint8Array): void {
    this.handshake.push({ level, bytes, offset: 0 });
    this.handshakeBytes += bytes.length;
  }

  /** The first TLS message was read to its end; null when there is none. */
  shiftHandshake(): HandshakeMessage | null {
    const message = this.handshake.shift() ?? null;
    if (message !== null) this.handshakeBytes -= message.bytes.length;
    return message;
  }

  /** All TLS messages that nobody has read. */
  takeHandshake(): HandshakeMessage[] {
    this.handshakeBytes = 0;
    return this.handshake.splice(0);
  }

  get eventCount(): number {
    return this.events.size;
  }

  /** An event that was half read stays, and is told again when it changes. */
  pushEvent(key: string, bytes: Uint8Array): void {
    const known = this.events.get(key);
    if (known !== undefined && known.offset > 0) this.pushEvent(`${key} again`, bytes);
    else this.events.set(key, { key, bytes, offset: 0 });
  }

  pushStream(id: number): void {
    if (this.streams.has(id)) return;
    this.streams.add(id);
    this.data.push({ kind: "stream", id, peeked: null, ended: false });
  }

  /** False, and nothing is kept, when datagrams would hold more than `limitBytes`. */
  pushDatagram(bytes: Uint8Array, limitBytes: number): boolean {
    const heldBytes = this.datagramBytes + bytes.length + DATAGRAM_COST_BYTES;
    if (heldBytes > limitBytes) return false;
    this.datagramBytes = heldBytes;
    this.data.push({ kind: "datagram", bytes, offset: 0 });
    return true;
  }

  firstEvent(): EventMessage | null {
    for (const event of this.events.values()) return event;
    return null;
  }

  dropEvent(event: EventMessage): void {
    this.events.delete(event.key);
  }

  /** The first data item was read to its end. */
  dropData(): void {
    const item = this.data.shift();
    if (item?.kind === "stream") this.streams.delete(item.id);
    else if (item !== undefined) this.datagramBytes -= item.bytes.length + DATAGRAM_COST_BYTES;
  }

  /** Nothing of this stream will be read here: it was reset, or moves elsewhere. Null when nothing of it was. */
  takeStream(id: number): StreamItem | null {
    if (!this.streams.delete(id)) return null;
    const at = this.data.findIndex((item) => item.kind === "stream" && item.id === id);
    return this.data.splice(at, 1)[0] as StreamItem;
  }
}
