/**
 * The way of a batch out: cut into packets, sealed into the arena by the aead port, which copies the plaintext in the same
 * pass, and sent by the udp port. Only headers are copied here; nothing is allocated per packet.
 *
 * Invariant: a batch is sealed and sent as a whole or refused as a whole. Every packet is checked (header, flow, key phase,
 * packet number) before the first is sealed, so that a refused batch has used no packet number.
 */

import {
  type AeadPort,
  GATHER_COLS,
  GATHER_LEN,
  GATHER_OFF,
  GATHER_SOURCE,
  GATHER_TO,
  SEAL_COLS,
  SEAL_END,
  SEAL_HP,
  SEAL_KEY,
  SEAL_OFF,
  SEAL_PN_HI,
  SEAL_PN_LEN,
  SEAL_PN_LO,
  SEAL_PN_OFF,
  TAG_BYTES,
} from "../../port/aead.js";
import { ADDR_COLS, TX_COLS, TX_LEN, TX_OFF, type TxBatch, type UdpSocket } from "../../port/udp.js";
import { decodePn } from "../../packet/number.js";
import { MAX_CIPHER_BYTES, MAX_GSO_SEGMENTS, MAX_IOVECS, MAX_PLAINTEXT_BYTES, UDP_MAX_SEGMENTS } from "./constants.js";
import { OffloadError, type OffloadErrorCode } from "./error.js";
import type { FlowTable } from "./flow-table.js";
import type { PacketKey } from "./key-ring.js";

const WORD = 2 ** 32;
/** Header form and fixed bit of a short header: 01 (RFC 9000 §17.3.1). */
const SHORT_MASK = 0xc0;
const SHORT_BITS = 0x40;
const KEY_PHASE_BIT = 0x04;
const PN_LENGTH_BITS = 0x03;
/** The header sample begins this far behind the start of the packet number (RFC 9001 §5.4.2). */
const SAMPLE_OFFSET_BYTES = 4;

const NO_PIECES: readonly Uint8Array[] = [];

/** A batch as one send brought it. */
export interface Message {
  readonly pieces: readonly Uint8Array[];
  /** Bytes of all pieces. */
  readonly bytes: number;
  /** Payload of each datagram but the last; 0 = one datagram. */
  readonly gsoSize: number;
  /** Of one UDP datagram of this address family, and of one GSO send. */
  readonly maxPayloadBytes: number;
}

/** Whether a message is a batch of short header packets: by its first byte, and at least two bytes long. */
export function isShortHeader(message: Message): boolean {
  if (message.bytes < 2) return false;
  const first = message.pieces.find((piece) => piece.length > 0) as Uint8Array;
  return (first[0] & SHORT_MASK) === SHORT_BITS;
}

/** Packets that a message would be cut into, at least 1: what a refusal of it counts as. */
export function packetsOf(message: Message): number {
  const stride = message.gsoSize === 0 ? message.bytes : message.gsoSize - TAG_BYTES;
  return stride <= 0 ? 1 : Math.max(1, Math.ceil(message.bytes / stride));
}

export class Transmitter {
  /** An address row: where the next batch goes. */
  readonly dest = new Int32Array(ADDR_COLS);
  private readonly aead: AeadPort;
  private readonly flows: FlowTable;
  private readonly arena = new Uint8Array(MAX_CIPHER_BYTES);
  private readonly tx: TxBatch = {
    buf: this.arena,
    rows: new Int32Array(UDP_MAX_SEGMENTS * TX_COLS),
    dests: this.dest,
    count: 0,
    destCount: 1,
    used: 0,
    socket: 0,
  };
  private readonly cursor = new PieceCursor();
  /** A row per packet, and one more for each end of a piece inside a packet. */
  private readonly copies = {
    rows: new Int32Array((MAX_GSO_SEGMENTS + MAX_IOVECS) * GATHER_COLS),
    count: 0,
    sources: NO_PIECES,
  };
  private readonly seals = {
    buf: this.arena,
    rows: new Int32Array(MAX_GSO_SEGMENTS * SEAL_COLS),
    count: 0,
    gather: this.copies,
  };
  private readonly keys: PacketKey[] = [];
  private readonly pns = new Float64Array(MAX_GSO_SEGMENTS);

  constructor(aead: AeadPort, flows: FlowTable) {
    this.aead = aead;
    this.flows = flows;
  }

  /**
   * Sends a message as it is, cut at `gsoSize`. False when the socket takes no more until it is writable.
   *
   * @throws OffloadError `EMSGSIZE`, `EINVAL` for more segments than the kernel takes.
   */
  sendPlain(socket: UdpSocket, message: Message): boolean {
    const { bytes, gsoSize, maxPayloadBytes } = message;
    if (bytes > maxPayloadBytes) throw refused("EMSGSIZE", `${bytes} bytes, a UDP payload has ${maxPayloadBytes}`);
    const stride = gsoSize === 0 ? Math.max(bytes, 1) : gsoSize;
    const count = Math.max(1, Math.ceil(bytes / stride));
    if (count > UDP_MAX_SEGMENTS) throw refused("EINVAL", `${count} segments, at most ${UDP_MAX_SEGMENTS}`);
    this.cursor.begin(message.pieces);
    this.cursor.copy(0, bytes, this.arena, 0);
    this.layOut(count, bytes, stride);
    return socket.send(this.tx);
  }

  /**
   * Cuts a message at `gsoSize` - 16, protects each packet and sends them. False when the socket takes no more until it is
   * writable; the batch has been taken all the same.
   *
   * @param nextPn what truncated packet numbers are completed with
   * @throws OffloadError `EINVAL`, `ENOMEM`, `EMSGSIZE`; `EIO` when the crypto library fails.
   */
  sendProtected(socket: UdpSocket, message: Message, nextPn: number, cidLength: number): boolean {
    const { bytes, gsoSize } = message;
    const stride = gsoSize === 0 ? bytes : gsoSize - TAG_BYTES;
    if (stride <= 0) throw refused("EINVAL", `gsoSize ${gsoSize} leaves no room beside the tag of ${TAG_BYTES} bytes`);
    const count = Math.ceil(bytes / stride);
    const wireBytes = bytes + count * TAG_BYTES;
    checkCaps(message, count, wireBytes);
    const { cursor } = this;
    cursor.begin(message.pieces);
    for (let i = 0; i < count; i++) {
      const off = i * (stride + TAG_BYTES);
      const length = Math.min(stride, bytes - i * stride);
      cursor.copy(i * stride, Math.min(length, 1 + cidLength + SAMPLE_OFFSET_BYTES), this.arena, off);
      this.plan(i, off, off + length, nextPn, cidLength);
    }
    this.planCopies(message, count, stride);
    this.seal(count, wireBytes);
    this.layOut(count, wireBytes, stride + TAG_BYTES);
    return socket.send(this.tx);
  }

  /** Checks the packet at [off, end) and writes its seal row. */
  private plan(index: number, off: number, end: number, nextPn: number, cidLength: number): void {
    const { arena } = this;
    const first = arena[off];
    if ((first & SHORT_MASK) !== SHORT_BITS) throw refused("EINVAL", `packet ${index} has no short header`);
    const pnOff = off + 1 + cidLength;
    const pnLength = (first & PN_LENGTH_BITS) + 1;
    if (pnOff + SAMPLE_OFFSET_BYTES > end) {
      throw refused(
        "EINVAL",
        `packet ${index} has ${end - off} bytes, at least ${1 + cidLength + SAMPLE_OFFSET_BYTES}`,
      );
    }
    const flow = this.flows.find(this.dest, 0, arena, off + 1, cidLength);
    if (flow === null) throw refused("EINVAL", `packet ${index}: no flow for its address, port and connection id`);
    const phase = (first & KEY_PHASE_BIT) === 0 ? 0 : 1;
    const key = flow.keys[phase];
    if (key === null) throw refused("EINVAL", `packet ${index}: the flow has no key of phase ${phase}`);

    let truncated = 0;
    for (let i = 0; i < pnLength; i++) truncated = (truncated << 8) | arena[pnOff + i];
    const pn = decodePn(truncated, pnLength, nextPn - 1);
    const least = this.leastPn(index, key);
    if (pn < least || pn > Number.MAX_SAFE_INTEGER) {
      throw refused("EINVAL", `packet ${index}: packet number ${pn} was used or passed over; ${least} is the least`);
    }
    this.keys[index] = key;
    this.pns[index] = pn;
    const r = index * SEAL_COLS;
    const { rows } = this.seals;
    rows[r + SEAL_OFF] = off;
    rows[r + SEAL_PN_OFF] = pnOff;
    rows[r + SEAL_PN_LEN] = pnLength;
    rows[r + SEAL_END] = end;
    rows[r + SEAL_KEY] = key.slot;
    rows[r + SEAL_HP] = flow.headerSlot;
    rows[r + SEAL_PN_LO] = pn | 0;
    rows[r + SEAL_PN_HI] = Math.floor(pn / WORD);
  }

  /** The least packet number that `key` still takes, after the packets before `index` in this batch. */
  private leastPn(index: number, key: PacketKey): number {
    for (let i = index - 1; i >= 0; i--) if (this.keys[i] === key) return this.pns[i] + 1;
    return key.nextPn;
  }

  /** Where the plaintext of each packet lies in the pieces. */
  private planCopies(message: Message, count: number, stride: number): void {
    const { cursor, copies, seals } = this;
    cursor.begin(message.pieces);
    copies.sources = message.pieces;
    copies.count = 0;
    for (let i = 0; i < count; i++) {
      const r = i * SEAL_COLS;
      const end = seals.rows[r + SEAL_END];
      let to = seals.rows[r + SEAL_PN_OFF] + seals.rows[r + SEAL_PN_LEN];
      while (to < end) {
        const at = i * stride + to - seals.rows[r + SEAL_OFF];
        const length = Math.min(end - to, cursor.seek(at));
        const row = copies.count++ * GATHER_COLS;
        copies.rows[row + GATHER_SOURCE] = cursor.index;
        copies.rows[row + GATHER_OFF] = at - cursor.start;
        copies.rows[row + GATHER_LEN] = length;
        copies.rows[row + GATHER_TO] = to;
        to += length;
      }
    }
  }

  private seal(count: number, wireBytes: number): void {
    for (let i = 0; i < count; i++) this.keys[i].nextPn = this.pns[i] + 1;
    this.seals.count = count;
    const sealed = this.aead.seal(this.seals);
    this.copies.sources = NO_PIECES;
    if (sealed === count) return;
    this.arena.fill(0, 0, wireBytes); // no plaintext stays behind
    throw refused("EIO", `the crypto library failed at packet ${sealed}; the packet numbers of the batch are used up`);
  }

  private layOut(count: number, bytes: number, stride: number): void {
    const { tx } = this;
    for (let i = 0, off = 0; i < count; i++, off += stride) {
      tx.rows[i * TX_COLS + TX_OFF] = off;
      tx.rows[i * TX_COLS + TX_LEN] = Math.min(stride, bytes - off);
    }
    tx.count = count;
    tx.used = bytes;
  }
}

/** Finds positions of a message in its pieces, from front to back. */
class PieceCursor {
  /** The piece found, and where in the message it begins. */
  index = 0;
  start = 0;
  private pieces = NO_PIECES;

  begin(pieces: readonly Uint8Array[]): void {
    this.pieces = pieces;
    this.index = 0;
    this.start = 0;
  }

  /** Goes to the piece that holds byte `at`, not before the last one found; returns the bytes from there to its end. */
  seek(at: number): number {
    while (at >= this.start + this.pieces[this.index].length) this.start += this.pieces[this.index++].length;
    return this.start + this.pieces[this.index].length - at;
  }

  /** Copies `length` bytes of the message, from its byte `at`, to buf[to...]. */
  copy(at: number, length: number, buf: Uint8Array, to: number): void {
    for (let done = 0; done < length; ) {
      const run = Math.min(length - done, this.seek(at + done));
      const piece = this.pieces[this.index];
      const from = at + done - this.start;
      buf.set(piece.subarray(from, from + run), to + done);
      done += run;
    }
  }
}

function checkCaps(message: Message, count: number, wireBytes: number): void {
  const { pieces, bytes, maxPayloadBytes } = message;
  if (pieces.length > MAX_IOVECS) throw refused("ENOMEM", `${pieces.length} pieces, at most ${MAX_IOVECS}`);
  if (bytes > MAX_PLAINTEXT_BYTES)
    throw refused("ENOMEM", `${bytes} bytes of plaintext, at most ${MAX_PLAINTEXT_BYTES}`);
  if (count > MAX_GSO_SEGMENTS) throw refused("ENOMEM", `${count} packets, at most ${MAX_GSO_SEGMENTS}`);
  if (wireBytes > MAX_CIPHER_BYTES)
    throw refused("ENOMEM", `${wireBytes} bytes protected, at most ${MAX_CIPHER_BYTES}`);
  if (wireBytes > maxPayloadBytes) {
    throw refused("EMSGSIZE", `${wireBytes} bytes protected, a UDP payload has ${maxPayloadBytes}`);
  }
}

function refused(code: OffloadErrorCode, message: string): OffloadError {
  return new OffloadError(code, "sendmsg", message);
}
