/** Test support: a frame handler that writes down what it was called with, one line per frame. */

import { toHex } from "../base/bytes.js";
import type { AckFrame } from "./ack.js";
import type { FrameHandler } from "./decode.js";

export class FrameRecorder implements FrameHandler {
  readonly lines: string[] = [];
  failed = false;
  /** `failed` turns true after this many frames. */
  failAfter = Number.POSITIVE_INFINITY;

  onPadding(bytes: number): void {
    this.add(`PADDING ${bytes}`);
  }
  onPing(): void {
    this.add("PING");
  }
  onAck(ack: AckFrame): void {
    const ranges = Array.from({ length: ack.count }, (_, i) => `${ack.first[i]}-${ack.last[i]}`).join(",");
    const ecn = ack.hasEcn ? ` ecn ${ack.ect0} ${ack.ect1} ${ack.ce}` : "";
    this.add(`ACK ${ack.largest} delay ${ack.delay} ${ranges}${ecn}`);
  }
  onResetStream(id: number, code: bigint, finalSize: number): void {
    this.add(`RESET_STREAM ${id} ${code} ${finalSize}`);
  }
  onStopSending(id: number, code: bigint): void {
    this.add(`STOP_SENDING ${id} ${code}`);
  }
  onCrypto(offset: number, buf: Uint8Array, start: number, end: number): void {
    this.add(`CRYPTO ${offset} ${toHex(buf.subarray(start, end))}`);
  }
  onNewToken(buf: Uint8Array, start: number, end: number): void {
    this.add(`NEW_TOKEN ${toHex(buf.subarray(start, end))}`);
  }
  onStream(id: number, offset: number, buf: Uint8Array, start: number, end: number, fin: boolean): void {
    this.add(`STREAM ${id} ${offset} ${toHex(buf.subarray(start, end))}${fin ? " fin" : ""}`);
  }
  onMaxData(max: number): void {
    this.add(`MAX_DATA ${max}`);
  }
  onMaxStreamData(id: number, max: number): void {
    this.add(`MAX_STREAM_DATA ${id} ${max}`);
  }
  onMaxStreams(kind: number, max: number): void {
    this.add(`MAX_STREAMS ${kind} ${max}`);
  }
  onDataBlocked(limit: number): void {
    this.add(`DATA_BLOCKED ${limit}`);
  }
  onStreamDataBlocked(id: number, limit: number): void {
    this.add(`STREAM_DATA_BLOCKED ${id} ${limit}`);
  }
  onStreamsBlocked(kind: number, limit: number): void {
    this.add(`STREAMS_BLOCKED ${kind} ${limit}`);
  }
  onNewConnectionId(
    seq: number,
    retirePriorTo: number,
    buf: Uint8Array,
    cidStart: number,
    cidEnd: number,
    tokenStart: number,
  ): void {
    const token = toHex(buf.subarray(tokenStart, tokenStart + 16));
    this.add(`NEW_CONNECTION_ID ${seq} ${retirePriorTo} ${toHex(buf.subarray(cidStart, cidEnd))} ${token}`);
  }
  onRetireConnectionId(seq: number): void {
    this.add(`RETIRE_CONNECTION_ID ${seq}`);
  }
  onPathChallenge(buf: Uint8Array, start: number): void {
    this.add(`PATH_CHALLENGE ${toHex(buf.subarray(start, start + 8))}`);
  }
  onPathResponse(buf: Uint8Array, start: number): void {
    this.add(`PATH_RESPONSE ${toHex(buf.subarray(start, start + 8))}`);
  }
  onConnectionClose(
    isApplication: boolean,
    code: bigint,
    frameType: number,
    buf: Uint8Array,
    reasonStart: number,
    reasonEnd: number,
  ): void {
    const cause = isApplication ? "application" : `transport ${frameType}`;
    this.add(`CONNECTION_CLOSE ${cause} ${code} ${toHex(buf.subarray(reasonStart, reasonEnd))}`);
  }
  onHandshakeDone(): void {
    this.add("HANDSHAKE_DONE");
  }
  onImmediateAck(): void {
    this.add("IMMEDIATE_ACK");
  }
  onAckFrequency(seq: number, thresholdPackets: number, maxAckDelayMicros: number, reorderingPackets: number): void {
    this.add(`ACK_FREQUENCY ${seq} ${thresholdPackets} ${maxAckDelayMicros} ${reorderingPackets}`);
  }
  onDatagram(buf: Uint8Array, start: number, end: number, frameBytes: number): void {
    this.add(`DATAGRAM ${frameBytes} ${toHex(buf.subarray(start, end))}`);
  }

  private add(line: string): void {
    this.lines.push(line);
    if (this.lines.length >= this.failAfter) this.failed = true;
  }
}
