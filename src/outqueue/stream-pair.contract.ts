/**
 * Two stream tables with their queues, joined by real frames in memory: what one side fills, the other decodes. The test
 * decides when packets arrive, are acknowledged or are lost. Every byte of a stream is a function of who sent it, its id
 * and its offset, so that any byte can be checked without keeping what was written.
 */

import { NO_PRESSURE } from "../port/memory.js";
import assert from "node:assert/strict";
import { FrameDecoder, type FrameHandler } from "../frame/decode.js";
import { Events } from "../inqueue/events.js";
import { StreamInput } from "../inqueue/streams.js";
import type { StreamKind, TransportHandler } from "../port/transport.js";
import { defaultParams, type TransportParams } from "../proto/params.js";
import { LEVEL_APP, SPACE_APP } from "../proto/space.js";
import { StreamTable, type StreamWindows } from "../stream/table.js";
import { AckedRuns, SENT_ACKED, SENT_LOST, SentPackets } from "./sent.js";
import { StreamOutput } from "./streams.js";

/** Transport parameters with roomy defaults. */
export function streamParams(over: Partial<TransportParams> = {}): TransportParams {
  return {
    ...defaultParams(),
    initialMaxData: 1_000_000,
    initialMaxStreamDataBidiLocal: 100_000,
    initialMaxStreamDataBidiRemote: 100_000,
    initialMaxStreamDataUni: 100_000,
    initialMaxStreamsBidi: 10,
    initialMaxStreamsUni: 10,
    ...over,
  };
}

export const TEST_WINDOWS: StreamWindows = {
  streamMaxBytes: 1_000_000,
  connMaxBytes: 2_000_000,
  sendBufferBytes: 64 * 1024,
  pressure: NO_PRESSURE,
};

/** The byte at `offset` of what a side sends on stream `id`. */
export function byteAt(isServer: boolean, id: number, offset: number): number {
  return (offset * 31 + (offset >> 8) * 7 + id * 101 + (isServer ? 57 : 0)) & 0xff;
}

export interface Packet {
  pn: number;
  bytes: Uint8Array;
}

export class StreamSide {
  readonly isServer: boolean;
  readonly events = new Events();
  readonly table: StreamTable;
  readonly input: StreamInput;
  readonly output: StreamOutput;
  readonly sent = new SentPackets(SPACE_APP);
  private readonly runs = new AckedRuns();
  /** What the application was told: "readable 0", in order. */
  readonly told: string[] = [];
  /** Frames that arrived: "MAX_DATA 7", in order. */
  readonly frames: string[] = [];
  /** First error that the input returned. */
  error = 0;
  private pn = 0;
  private readonly decoder = new FrameDecoder();
  private readonly fates = {
    onFrameAcked: (_space: number, kind: number, id: number, offset: number, length: number) =>
      this.output.onFrameAcked(kind, id, offset, length),
    onFrameLost: (_space: number, kind: number, id: number, offset: number, length: number) =>
      this.output.onFrameLost(kind, id, offset, length),
  };

  constructor(isServer: boolean, local: TransportParams, windows: StreamWindows = TEST_WINDOWS) {
    this.isServer = isServer;
    this.table = new StreamTable(isServer, local, windows, this.events, {
      fill: (buf, start, end) => buf.fill(7, start, end),
    });
    this.input = new StreamInput(this.table, this.events);
    this.output = new StreamOutput(this.table);
  }

  /** Writes the next `length` bytes of the stream's pattern, the first of which is at `offset`. */
  write(id: number, offset: number, length: number, fin = false): number {
    const bytes = new Uint8Array(length + 2); // not at the start of its buffer
    for (let at = 0; at < length; at++) bytes[at + 1] = byteAt(this.isServer, id, offset + at);
    return this.table.write(id, bytes, 1, length + 1, fin);
  }

  /** Reads up to `length` bytes, which start at `offset`, and checks each. */
  read(id: number, offset: number, length: number): number {
    const bytes = new Uint8Array(length);
    const count = this.table.read(id, bytes, 0, length);
    for (let at = 0; at < count; at++) {
      const expected = byteAt(!this.isServer, id, offset + at);
      if (bytes[at] !== expected) assert.equal(bytes[at], expected, `stream ${id} byte ${offset + at}`);
    }
    return count;
  }

  /** The next packet, or null when there is nothing to send. `payloadBytes` is its size at most. */
  send(nowMicros = 0, payloadBytes = 1200): Packet | null {
    if (!this.output.hasPending()) return null;
    const buf = new Uint8Array(payloadBytes + 20);
    this.sent.open(this.pn, nowMicros);
    const end = this.output.fill(buf, 10, 10 + payloadBytes, this.sent, nowMicros);
    assert.ok(end <= 10 + payloadBytes, "fill stays below its limit");
    if (end === 10) {
      this.sent.abort();
      return null;
    }
    this.sent.commit(end - 10, true, true);
    return { pn: this.pn++, bytes: buf.subarray(10, end) };
  }

  /** All packets that can be sent now. */
  sendAll(nowMicros = 0, payloadBytes = 1200): Packet[] {
    const packets: Packet[] = [];
    for (let p = this.send(nowMicros, payloadBytes); p !== null; p = this.send(nowMicros, payloadBytes))
      packets.push(p);
    return packets;
  }

  receive(packet: Packet): void {
    const ok = this.decoder.decode(LEVEL_APP, packet.bytes, 0, packet.bytes.length, this.handler);
    assert.ok(ok, this.decoder.errorReason);
  }

  acked(pn: number): void {
    if (pn < this.sent.base) return; // declared lost before, and forgotten since
    const slot = pn & this.sent.mask;
    this.sent.leaveFlight(slot);
    this.sent.flags[slot] = SENT_ACKED;
    this.sent.tellAcked(slot, this.runs, this.fates);
    this.runs.flush(this.sent.space, this.fates);
  }

  lost(pn: number): void {
    const slot = pn & this.sent.mask;
    this.sent.leaveFlight(slot);
    this.sent.flags[slot] = SENT_LOST;
    this.sent.tellLost(slot, this.fates);
  }

  drain(): void {
    this.events.drain(this.application);
  }

  /** What was told since the last call. */
  takeTold(): string[] {
    this.drain();
    return this.told.splice(0);
  }

  takeFrames(): string[] {
    return this.frames.splice(0);
  }

  private check(frame: string, error: number): void {
    this.frames.push(frame);
    if (this.error === 0) this.error = error;
  }

  /** A frame that cannot be wrong. */
  private take(frame: string, apply: () => void): void {
    this.frames.push(frame);
    apply();
  }

  private readonly handler = {
    failed: false,
    onStream: (id: number, offset: number, buf: Uint8Array, start: number, end: number, fin: boolean) =>
      this.check(
        `STREAM ${id} ${offset}+${end - start}${fin ? " FIN" : ""}`,
        this.input.onStream(id, offset, buf, start, end, fin),
      ),
    onResetStream: (id: number, code: bigint, finalSize: number) =>
      this.check(`RESET_STREAM ${id} ${code} ${finalSize}`, this.input.onResetStream(id, code, finalSize)),
    onStopSending: (id: number, code: bigint) =>
      this.check(`STOP_SENDING ${id} ${code}`, this.input.onStopSending(id, code)),
    onMaxData: (max: number) => this.take(`MAX_DATA ${max}`, () => this.input.onMaxData(max)),
    onMaxStreamData: (id: number, max: number) =>
      this.check(`MAX_STREAM_DATA ${id} ${max}`, this.input.onMaxStreamData(id, max)),
    onMaxStreams: (kind: StreamKind, max: number) =>
      this.take(`MAX_STREAMS ${kind} ${max}`, () => this.input.onMaxStreams(kind, max)),
    onDataBlocked: (limit: number) => this.take(`DATA_BLOCKED ${limit}`, () => this.input.onDataBlocked(limit)),
    onStreamDataBlocked: (id: number, limit: number) =>
      this.check(`STREAM_DATA_BLOCKED ${id} ${limit}`, this.input.onStreamDataBlocked(id, limit)),
    onStreamsBlocked: (kind: StreamKind, limit: number) =>
      this.take(`STREAMS_BLOCKED ${kind} ${limit}`, () => this.input.onStreamsBlocked(kind, limit)),
  } as unknown as FrameHandler;

  private readonly application = {
    onStream: (id: number) => this.told.push(`stream ${id}`),
    onReadable: (id: number) => this.told.push(`readable ${id}`),
    onWritable: (id: number) => this.told.push(`writable ${id}`),
    onReset: (id: number, code: bigint) => this.told.push(`reset ${id} ${code}`),
    onStopSending: (id: number, code: bigint) => this.told.push(`stop ${id} ${code}`),
    onSendDone: (id: number) => this.told.push(`done ${id}`),
    onStreamClosed: (id: number) => this.told.push(`closed ${id}`),
    onStreamsAvailable: (kind: StreamKind) => this.told.push(`available ${kind}`),
  } as unknown as TransportHandler;
}

/** A client and a server that know each other's parameters. */
export class StreamPair {
  readonly client: StreamSide;
  readonly server: StreamSide;

  constructor(
    clientParams: Partial<TransportParams> = {},
    serverParams: Partial<TransportParams> = {},
    windows: StreamWindows = TEST_WINDOWS,
  ) {
    this.client = new StreamSide(false, streamParams(clientParams), windows);
    this.server = new StreamSide(true, streamParams(serverParams), windows);
    this.client.table.applyPeerParams(streamParams(serverParams));
    this.server.table.applyPeerParams(streamParams(clientParams));
  }

  /** Sends, delivers and acknowledges everything both sides have, until both are quiet. */
  settle(nowMicros = 0, payloadBytes = 1200): void {
    for (let quiet = 0; quiet < 2; ) {
      quiet++;
      for (const [from, to] of [
        [this.client, this.server],
        [this.server, this.client],
      ] as const) {
        for (const packet of from.sendAll(nowMicros, payloadBytes)) {
          quiet = 0;
          to.receive(packet);
          from.acked(packet.pn);
        }
      }
    }
  }
}
