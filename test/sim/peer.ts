/**
 * The program at one end of a simulated connection: opens its planned streams, writes and reads as its manners say, and
 * checks what the transport tells it. A wrong byte, a second FIN, an event after the end: each throws at once.
 */

import {
  type CloseInfo,
  type DatagramFate,
  type HandshakeInfo,
  STREAM_BIDI,
  STREAM_UNI,
  type StreamKind,
  T_BLOCKED,
  T_CLOSED,
  T_RESET,
  T_STATE,
  T_STOPPED,
  type Transport,
  type TransportHandler,
} from "#src/port/transport.js";
import type { Prng } from "#src/sim/prng.js";
import { CONTENT, CONTENT_RUN_BYTES, contentStart, firstWrongByte } from "./content.js";
import { DatagramChatter } from "./datagrams.js";
import { type HalfPlan, type Manners, planOf, streamId, type Workload } from "./workload.js";

/** A half that is written here. */
interface Sending {
  id: number;
  plan: HalfPlan;
  offset: number;
  /** Nothing more is to be written: FIN, reset or stopped. */
  ended: boolean;
  /** Nothing more is to be waited for. */
  done: boolean;
  stopSeen: boolean;
  blocked: boolean;
}

/** A half that is read here. */
interface Receiving {
  id: number;
  plan: HalfPlan;
  offset: number;
  stopped: boolean;
  done: boolean;
  finSeen: boolean;
}

export interface PeerHost {
  nowMicros(): number;
  mark(name: string): void;
}

const READ_BUFFER = new Uint8Array(CONTENT_RUN_BYTES);

export class Peer implements TransportHandler {
  handshake: HandshakeInfo | null = null;
  confirmed = false;
  closed: CloseInfo | null = null;
  /** A server connection for a first datagram that had made one before, which is gone: sent again, or a late copy. */
  isSecond = false;
  /** When `tick` is next due. */
  tickMicros = Infinity;
  readonly sending = new Map<number, Sending>();
  readonly receiving = new Map<number, Receiving>();
  private readonly manners: Manners;
  private readonly datagrams: DatagramChatter;
  /** Next index to open, by kind. */
  private readonly opened = [0, 0];
  private readonly forgotten = new Set<number>();
  private readonly dirty = new Set<number>();
  private doneHalves = 0;
  private readonly plannedHalves: number;

  constructor(
    readonly name: string,
    readonly conn: Transport,
    private readonly workload: Workload,
    private readonly host: PeerHost,
    private readonly prng: Prng,
  ) {
    this.manners = conn.isServer ? workload.server : workload.client;
    this.datagrams = new DatagramChatter(conn, this.manners.datagrams);
    this.plannedHalves = workload.streams.flat(2).reduce((sum, plan) => sum + (plan.backward === null ? 1 : 2), 0);
  }

  /** A late copy of a client's first datagram made this connection; nobody answers it. */
  get isGhost(): boolean {
    return this.isSecond && this.handshake === null;
  }

  /** Nothing is to be waited for at this end. */
  get isSettled(): boolean {
    return this.closed !== null || this.finished || this.isGhost;
  }

  /** All planned halves are done at this end, and the handshake is confirmed. */
  get finished(): boolean {
    return this.confirmed && this.doneHalves === this.plannedHalves;
  }

  /** Drains the connection and acts on it. */
  drain(): void {
    this.conn.drain(this);
    this.afterDrain();
  }

  /** Runs what the clock made due. True when it did something. */
  tick(nowMicros: number): boolean {
    if (nowMicros < this.tickMicros) return false;
    this.tickMicros = Infinity;
    for (const recv of this.receiving.values()) if (!recv.done) this.read(recv);
    for (const send of this.sending.values()) if (!send.ended && !send.blocked) this.write(send);
    return true;
  }

  /** What is not done, for the report of a failure. */
  describe(): string {
    const open = (halves: Iterable<{ id: number; done: boolean; offset: number; plan: HalfPlan }>): string[] =>
      [...halves].filter((half) => !half.done).map(({ id, offset, plan }) => `${id}@${offset}/${plan.bytes}`);
    const state = this.closed === null ? "open" : `closed ${describeClose(this.closed)}`;
    return (
      `${this.name}: ${state}, handshake ${this.handshake !== null}, halves ${this.doneHalves}/${this.plannedHalves}, ` +
      `opened ${this.opened}, sending [${open(this.sending.values())}], receiving [${open(this.receiving.values())}]`
    );
  }

  /** In 0-RTT: opens and writes what the remembered limits allow. */
  openEarly(): void {
    this.openPlanned(STREAM_BIDI);
    this.openPlanned(STREAM_UNI);
    this.afterDrain();
  }

  onHandshake(info: HandshakeInfo): void {
    this.require(this.handshake === null, "onHandshake came twice");
    this.handshake = info;
    this.openPlanned(STREAM_BIDI);
    this.openPlanned(STREAM_UNI);
    this.datagrams.go();
  }

  onHandshakeConfirmed(): void {
    this.require(this.handshake !== null && !this.confirmed, "onHandshakeConfirmed out of order");
    this.confirmed = true;
  }

  onStream(id: number): void {
    this.require(((id & 1) === 1) !== this.conn.isServer, `onStream(${id}) of our own stream`);
    this.require(!this.receiving.has(id), `onStream(${id}) came twice`);
    // a late copy of a first flight: its ticket was used
    this.require(!this.isSecond || !this.conn.isEarly(id), `E10: onStream(${id}) of 0-RTT that was sent before`);
    const plan = planOf(this.workload, id);
    if (plan === undefined) throw this.failure(`I13: stream ${id} was never planned`);
    this.receiving.set(id, newReceiving(id, plan.forward));
    if (plan.backward !== null) this.startSending(id, plan.backward);
  }

  onReadable(id: number): void {
    const recv = this.receiving.get(id);
    if (recv === undefined) throw this.failure(`onReadable(${id}) of a stream we do not know`);
    this.requireKnown(id);
    this.act(id);
  }

  onWritable(id: number): void {
    const send = this.sending.get(id);
    if (send === undefined) throw this.failure(`onWritable(${id}) of a stream we do not know`);
    this.requireKnown(id);
    send.blocked = false;
    this.act(id);
  }

  onReset(id: number, code: bigint): void {
    this.requireKnown(id);
    const recv = this.receiving.get(id);
    if (recv === undefined) throw this.failure(`onReset(${id}) of a stream we do not know`);
    this.require(!recv.finSeen, `onReset(${id}) after FIN was read`);
    this.checkReset(recv, code);
    this.host.mark("reset received");
    this.endReceiving(recv);
  }

  onStopSending(id: number, code: bigint): void {
    this.requireKnown(id);
    const send = this.sending.get(id);
    if (send === undefined) throw this.failure(`onStopSending(${id}) of a stream we do not know`);
    this.require(send.plan.stopAtBytes !== Infinity, `onStopSending(${id}) that nobody planned`);
    this.require(code === send.plan.stopCode, `onStopSending(${id}) with code ${code}, not ${send.plan.stopCode}`);
    this.require(!send.stopSeen, `onStopSending(${id}) came twice`);
    send.stopSeen = true;
    this.host.mark("stop received");
    this.endSending(send);
  }

  onSendDone(id: number): void {
    this.requireKnown(id);
    const send = this.sending.get(id);
    if (send === undefined) throw this.failure(`onSendDone(${id}) of a stream we do not know`);
    this.require(send.ended, `onSendDone(${id}) before the end was written`);
    this.endSending(send);
  }

  onStreamClosed(id: number): void {
    this.requireKnown(id);
    this.forgotten.add(id);
    const send = this.sending.get(id);
    if (send !== undefined) this.require(send.done, `onStreamClosed(${id}) before its sending half was done`);
    const recv = this.receiving.get(id);
    if (recv !== undefined && !recv.done && !recv.stopped) {
      throw this.failure(`onStreamClosed(${id}) before its receiving half was read: ${recv.offset}/${recv.plan.bytes}`);
    }
  }

  onStreamsAvailable(kind: StreamKind): void {
    this.host.mark("stream limit raised");
    this.openPlanned(kind);
  }

  onTicket(): void {
    this.require(!this.conn.isServer, "onTicket at a server");
    this.host.mark("ticket");
  }

  onNewToken(): void {
    this.require(!this.conn.isServer, "onNewToken at a server");
    this.host.mark("new token");
  }

  onDatagram(bytes: Uint8Array): void {
    const wrong = this.datagrams.onDatagram(bytes);
    this.require(wrong === "", wrong);
    this.host.mark("datagram");
  }

  onDatagramFate(id: number, fate: DatagramFate): void {
    const wrong = this.datagrams.onFate(id, fate);
    this.require(wrong === "", wrong);
    this.host.mark(`datagram fate ${fate}`);
    this.datagrams.go();
  }

  onPathValidation(): void {}
  onKeylog(): void {}

  onClosed(info: CloseInfo): void {
    this.require(this.closed === null, "onClosed came twice");
    this.closed = info;
  }

  private openPlanned(kind: StreamKind): void {
    const byServer = this.conn.isServer;
    const plans = this.workload.streams[byServer ? 1 : 0][kind];
    while (this.opened[kind] < plans.length) {
      const id = this.conn.open(kind);
      if (id === T_CLOSED) return;
      if (id === T_BLOCKED) {
        this.host.mark("stream limit reached");
        return;
      }
      const index = this.opened[kind]++;
      this.require(id === streamId(index, byServer, kind), `open gave ${id} for stream ${index} of kind ${kind}`);
      if (this.manners.priorities) this.conn.setPriority(id, this.prng.below(8), this.prng.chance(0.5));
      const { forward, backward } = plans[index];
      if (backward !== null) this.receiving.set(id, newReceiving(id, backward));
      this.startSending(id, forward);
      if (backward !== null) this.act(id); // a stop at 0 bytes
    }
  }

  private startSending(id: number, plan: HalfPlan): void {
    const send = { id, plan, offset: 0, ended: false, done: false, stopSeen: false, blocked: false };
    this.sending.set(id, send);
    this.act(id);
  }

  private act(id: number): void {
    if (this.manners.inline) this.actOn(id);
    else this.dirty.add(id);
  }

  private afterDrain(): void {
    for (const id of this.dirty) this.actOn(id);
    this.dirty.clear();
  }

  private actOn(id: number): void {
    const slow = this.manners.readPauseMicros > 0;
    const recv = this.receiving.get(id);
    if (recv !== undefined && !recv.done) {
      if (slow) this.armTick(this.manners.readPauseMicros);
      else this.read(recv);
    }
    const send = this.sending.get(id);
    if (send !== undefined && !send.ended) this.write(send);
  }

  private write(send: Sending): void {
    const { plan, id } = send;
    const reply = ((id & 1) === 1) !== this.conn.isServer;
    const target = Math.min(plan.bytes, plan.resetAtBytes);
    for (;;) {
      if (send.offset >= target && plan.resetAtBytes !== Infinity) {
        this.resetNow(send);
        return;
      }
      const length = Math.min(this.manners.chunkBytes, target - send.offset, CONTENT_RUN_BYTES);
      const start = contentStart(id, reply, send.offset);
      const fin = send.offset + length === plan.bytes && plan.resetAtBytes === Infinity;
      const taken = this.conn.write(id, CONTENT, start, start + length, fin);
      if (taken < 0) {
        this.onWriteRefused(send, taken);
        return;
      }
      this.require(taken <= length, `write(${id}) took ${taken} of ${length}`);
      send.offset += taken;
      if (taken === length && fin) {
        send.ended = true;
        return;
      }
      if (taken < length) {
        send.blocked = true;
        this.host.mark("write blocked");
        return;
      }
      if (this.manners.writePauseMicros > 0) {
        this.armTick(this.manners.writePauseMicros);
        return;
      }
    }
  }

  private onWriteRefused(send: Sending, code: number): void {
    if (code === T_CLOSED) {
      send.ended = true;
      return;
    }
    // STOP_SENDING may be known to the transport before its event was drained.
    const stopped = code === T_STOPPED || code === T_STATE;
    if (!stopped || send.plan.stopAtBytes === Infinity) throw this.failure(`write(${send.id}) gave ${code}`);
    send.ended = true;
  }

  private resetNow(send: Sending): void {
    send.ended = true;
    const did = this.conn.reset(send.id, send.plan.resetCode);
    const excused = send.stopSeen || this.conn.closeInfo !== null || send.plan.stopAtBytes !== Infinity;
    this.require(did || excused, `reset(${send.id}) found nothing to reset`);
    this.endSending(send);
  }

  private read(recv: Receiving): void {
    const { id, plan } = recv;
    const reply = ((id & 1) === 1) === this.conn.isServer;
    let budget = this.manners.readPauseMicros > 0 ? this.manners.readBytes : Infinity;
    while (!recv.done) {
      if (!recv.stopped && recv.offset >= plan.stopAtBytes) {
        recv.stopped = true;
        if (this.conn.stopSending(id, plan.stopCode)) {
          this.endReceiving(recv);
          return;
        }
      }
      const most = Math.min(budget, READ_BUFFER.length, Math.max(1, plan.stopAtBytes - recv.offset));
      const got = this.conn.read(id, READ_BUFFER, 0, most);
      if (got < 0) {
        this.onReadRefused(recv, got);
        return;
      }
      if (got === 0) break;
      this.require(got <= most, `read(${id}) gave ${got} of ${most}`);
      const wrong = firstWrongByte(id, reply, recv.offset, READ_BUFFER, got);
      this.require(wrong < 0, `I13: stream ${id} has a wrong byte at ${wrong}`);
      recv.offset += got;
      this.require(recv.offset <= plan.bytes, `I13: stream ${id} gave ${recv.offset} of ${plan.bytes} bytes`);
      budget -= got;
      if (budget <= 0) break;
    }
    if (this.conn.atEnd(id)) {
      this.require(!recv.finSeen, `I13: stream ${id} ended twice`);
      this.require(recv.offset === plan.bytes, `I13: stream ${id} ended at ${recv.offset}, not ${plan.bytes}`);
      this.require(plan.resetAtBytes === Infinity, `I13: stream ${id} ended, but its writer reset it`);
      recv.finSeen = true;
      this.endReceiving(recv);
      return;
    }
    if (budget <= 0) this.armTick(this.manners.readPauseMicros);
  }

  private onReadRefused(recv: Receiving, code: number): void {
    if (code === T_RESET) {
      this.checkReset(recv, this.conn.resetCode(recv.id));
      this.endReceiving(recv);
      return;
    }
    const closed = this.conn.closeInfo !== null;
    if (code === T_STATE && closed) return;
    throw this.failure(`read(${recv.id}) gave ${code} at ${recv.offset}/${recv.plan.bytes}`);
  }

  private checkReset(recv: Receiving, code: bigint): void {
    const { plan } = recv;
    const byWriter = plan.resetAtBytes !== Infinity && code === plan.resetCode;
    const byStop = plan.stopAtBytes !== Infinity && code === plan.stopCode;
    this.require(byWriter || byStop, `stream ${recv.id} was reset with code ${code} that nobody gave`);
  }

  private endSending(send: Sending): void {
    send.ended = true;
    if (!send.done) this.doneHalves++;
    send.done = true;
  }

  private endReceiving(recv: Receiving): void {
    if (!recv.done) this.doneHalves++;
    recv.done = true;
  }

  private armTick(delayMicros: number): void {
    const at = Math.ceil(this.host.nowMicros() + delayMicros);
    if (at < this.tickMicros) this.tickMicros = at;
  }

  private requireKnown(id: number): void {
    this.require(!this.forgotten.has(id), `an event of stream ${id} after onStreamClosed`);
    this.require(this.closed === null, `an event of stream ${id} after onClosed`);
  }

  private require(holds: boolean, what: string): asserts holds {
    if (!holds) throw this.failure(what);
  }

  private failure(what: string): Error {
    return new Error(`${this.name}: ${what}`);
  }
}

function newReceiving(id: number, plan: HalfPlan): Receiving {
  return { id, plan, offset: 0, stopped: false, done: false, finSeen: false };
}

export function describeClose(info: CloseInfo): string {
  return `${info.type} ${info.remote ? "by the peer" : "here"} code ${info.code} frame ${info.frameType} "${info.reason}"`;
}
