/**
 * One connection, made of the rooms above it in the map. It constructs its parts and has four doors for its owner
 * (`receive`, `transmit`, `timeout`, `nextDeadline`); the procedures behind them stand in files of their own, and the
 * methods of port/transport only pass on. Invariant: a flag belongs to the part that decides by it.
 */

import type { HeapItem } from "../base/heap.js";
import { LocalIds } from "../connid/local.js";
import { PeerIds } from "../connid/peer.js";
import { KeySet } from "../crypto/keys.js";
import { Events } from "../inqueue/events.js";
import { StreamInput } from "../inqueue/streams.js";
import type { DropReason } from "../observe/drop-reason.js";
import { ControlOut } from "../outqueue/control.js";
import { CryptoOut, NO_CRYPTO_OUT } from "../outqueue/crypto.js";
import { Recovery } from "../outqueue/recovery.js";
import { StreamOutput } from "../outqueue/streams.js";
import { Path } from "../path/path.js";
import { CLOSED_SPACE, newSpaces, type PnSpace } from "../pnspace/pnspace.js";
import { HeldBytes } from "../stream/held.js";
import type { FileSource } from "../port/file.js";
import {
  type CloseInfo,
  type CloseType,
  type HandshakeInfo,
  type MoveRefusal,
  type MoveTarget,
  type StreamKind,
  T_CLOSED,
  type Transport,
  type TransportHandler,
  type TransportStats,
} from "../port/transport.js";
import type { RxBatch, TxBatch } from "../port/udp.js";
import { MAX_CRYPTO_OUT_BYTES } from "../proto/limits.js";
import type { SPACE_HANDSHAKE, SPACE_INITIAL, SpaceId } from "../proto/space.js";
import { StreamTable } from "../stream/table.js";
import { DEADLINE_HANDSHAKE, Deadlines } from "../timer/deadlines.js";
import { abandon, CloseState, closeByUser } from "./close.js";
import { type ConnectionConfig, recoveryOptions, streamWindows } from "./config.js";
import { ConnectionDatagrams } from "./datagrams.js";
import { type EarlyState, prepareEarly } from "./early.js";
import { FrameFate } from "./fate.js";
import { type HandshakeState, newHandshake } from "./handshake.js";
import type { ConnectionHost } from "./host.js";
import { IdleState, restartIdle } from "./idle.js";
import type { ConnectionInit } from "./init.js";
import { migrate } from "./migrate.js";
import { Moves } from "./moves.js";
import { QuicBit } from "./quic-bit.js";
import { endReceive, onLateTls, receiveDatagrams } from "./receive.js";
import { STATE_CLOSED, STATE_OPEN, type ConnectionState } from "./state.js";
import { ConnectionCounters, connectionStats } from "./stats.js";
import { nextDeadline, onTimeout } from "./timeout.js";
import { transmitConnection } from "./transmit.js";
import { Undecryptable } from "./undecryptable.js";
import { VersionState } from "./versions.js";

export class Connection implements Transport, HeapItem {
  heapKey = Infinity;
  heapIndex = -1;
  /** The endpoint's queues: already in the transmit queue, already in the event queue. */
  isQueued = false;
  isEventful = false;
  /** The API object that wraps it; the engine never looks at it. */
  owner: unknown = null;

  state: ConnectionState = STATE_OPEN;
  readonly isServer: boolean;
  readonly versions: VersionState;
  readonly config: ConnectionConfig;
  origDcid: Uint8Array;
  /** Source id of our long headers. */
  readonly localCid: Uint8Array;
  /** Client: source id of the Retry that was followed. */
  retryScid: Uint8Array | null = null;
  token: Uint8Array | null;
  /** Source id of the peer's long headers; null at a client until its first packet came (RFC 9000 §7.2). */
  peerScid: Uint8Array | null;
  /** Stateless reset token that the endpoint knows for this connection. */
  resetToken: Uint8Array | null = null;
  handshake: HandshakeInfo | null = null;

  readonly counters: ConnectionCounters;
  readonly deadlines = new Deadlines();
  readonly keys: KeySet;
  path: Path;
  readonly moves = new Moves();
  readonly localIds: LocalIds;
  readonly peerIds: PeerIds;
  readonly events = new Events();
  readonly streams: StreamTable;
  readonly streamIn: StreamInput;
  readonly streamOut: StreamOutput;
  readonly control: ControlOut;
  readonly datagrams: ConnectionDatagrams;
  /** What CRYPTO buffers of both directions hold. */
  readonly cryptoHeld = new HeldBytes(MAX_CRYPTO_OUT_BYTES);
  readonly cryptoOut: [CryptoOut, CryptoOut, CryptoOut];
  readonly recovery: Recovery;
  handshakeState: HandshakeState;
  readonly closing = new CloseState();
  readonly undecryptable = new Undecryptable();
  readonly early: EarlyState;
  readonly idle = new IdleState();
  readonly quicBit = new QuicBit();
  spaces: [PnSpace, PnSpace, PnSpace];

  constructor(
    readonly host: ConnectionHost,
    init: ConnectionInit,
  ) {
    const { isServer, config } = init;
    this.isServer = isServer;
    this.versions = new VersionState(isServer, init.version, config.versions, init.startTls, config.compatibleVersions);
    this.config = config;
    this.origDcid = init.origDcid;
    this.localCid = init.localCid;
    this.token = init.token;
    this.counters = new ConnectionCounters(init.nowMicros);
    this.keys = init.initialKeys ?? new KeySet(host.aead, isServer);
    if (init.initialKeys === null) this.keys.installInitial(init.version, init.origDcid);
    this.path = new Path(config.maxDatagramBytes);
    this.path.setAddress(init.addr, 0, init.socket);
    this.path.validated = init.addressValidated;
    this.path.noteDcid(init.localCid, 0, init.localCid.length);
    this.peerScid = isServer ? init.peerCid : null;
    this.localIds = new LocalIds(init.localCid, config.issuedConnectionIds);
    this.peerIds = new PeerIds(init.peerCid, config.activeConnectionIdLimit);
    this.streams = new StreamTable(isServer, config, streamWindows(config, host.pressure), this.events, host.random);
    this.streamIn = new StreamInput(this.streams, this.events);
    this.streamOut = new StreamOutput(this.streams);
    this.cryptoOut = [new CryptoOut(this.cryptoHeld), new CryptoOut(this.cryptoHeld), new CryptoOut(this.cryptoHeld)];
    this.datagrams = new ConnectionDatagrams(this);
    this.recovery = new Recovery(recoveryOptions(isServer, config, this.path), new FrameFate(this));
    this.control = new ControlOut(this.localIds, this.peerIds, this.path.responses, this.recovery);
    this.spaces = newSpaces(host.random, this.recovery, config);
    this.handshakeState = newHandshake(this);
    this.early = prepareEarly(this, init.remembered, init.earlyTickets);
    this.deadlines.set(DEADLINE_HANDSHAKE, init.nowMicros + config.handshakeTimeoutMillis * 1000);
    restartIdle(this, init.nowMicros);
  }

  space(id: SpaceId): PnSpace {
    return this.spaces[id];
  }

  /** Gives up what belongs to packets of a space whose keys are gone (RFC 9001 §4.9). */
  closeSpace(id: typeof SPACE_INITIAL | typeof SPACE_HANDSHAKE, nowMicros: number): void {
    this.recovery.discardSpace(id, nowMicros);
    this.cryptoOut[id].discard();
    this.cryptoOut[id] = NO_CRYPTO_OUT;
    this.counters.keepMarks(this.spaces[id].ecn);
    this.spaces[id] = CLOSED_SPACE;
  }

  // --- doors for the endpoint ----------------------------------------------------------------------------------------

  /** Datagrams [from, to) of the batch, all from one source; call `endReceive` after the last ones. */
  receive(rx: RxBatch, from: number, to: number, nowMicros: number): void {
    receiveDatagrams(this, rx, from, to, nowMicros);
  }

  endReceive(nowMicros: number): void {
    endReceive(this, nowMicros);
  }

  /** True = the batch is full and there is more. */
  transmit(tx: TxBatch, nowMicros: number): boolean {
    if (this.handshakeState.late) onLateTls(this, nowMicros);
    return transmitConnection(this, tx, nowMicros);
  }

  timeout(nowMicros: number): void {
    onTimeout(this, nowMicros);
  }

  nextDeadline(): number {
    return nextDeadline(this);
  }

  // --- what procedures of several rooms share --------------------------------------------------------------------------

  drop(reason: DropReason): void {
    this.counters.packetsDropped++;
    this.host.countDrop(reason);
  }

  /** Bytes held for this connection, by all of its queues. */
  heldBytes(): number {
    const { streams, cryptoHeld, undecryptable, datagrams } = this;
    return streams.heldBytes() + cryptoHeld.total + undecryptable.heldBytes + datagrams.heldBytes;
  }

  /** Gives up what only an open connection needs; what was received stays readable. */
  release(): void {
    this.keys.destroy();
    this.handshakeState.release();
    this.undecryptable.clear();
    for (const out of this.cryptoOut) out.discard();
    this.datagrams.out.abandonAll();
  }

  get closeInfo(): CloseInfo | null {
    return this.closing.info;
  }

  open(kind: StreamKind): number {
    return this.state === STATE_OPEN ? this.scheduled(this.streams.open(kind)) : T_CLOSED;
  }

  write(id: number, buf: Uint8Array, start: number, end: number, fin: boolean): number {
    return this.state === STATE_OPEN ? this.scheduled(this.streams.write(id, buf, start, end, fin)) : T_CLOSED;
  }

  writeFrom(id: number, source: FileSource): number {
    return this.state === STATE_OPEN ? this.scheduled(this.streams.writeFrom(id, source)) : T_CLOSED;
  }

  writable(id: number): number {
    return this.streams.writable(id);
  }

  read(id: number, buf: Uint8Array, start: number, end: number): number {
    return this.consumed(this.streams.read(id, buf, start, end));
  }

  expect(id: number, buf: Uint8Array | null, start: number, end: number): void {
    this.streams.expect(id, buf, start, end);
  }

  readable(id: number): number {
    return this.streams.readable(id);
  }

  atEnd(id: number): boolean {
    return this.consumed(this.streams.atEnd(id));
  }

  isEarly(id: number): boolean {
    return this.streams.isEarly(id);
  }

  reset(id: number, code: bigint): boolean {
    return this.state === STATE_OPEN && this.scheduled(this.streams.reset(id, code));
  }

  stopSending(id: number, code: bigint): boolean {
    return this.state === STATE_OPEN && this.scheduled(this.streams.stopSending(id, code));
  }

  resetCode(id: number): bigint {
    return this.streams.resetCode(id);
  }

  stopCode(id: number): bigint {
    return this.streams.stopCode(id);
  }

  setPriority(id: number, urgency: number, incremental: boolean): void {
    this.streams.setPriority(id, urgency, incremental);
  }

  updateKeys(): boolean {
    return this.state === STATE_OPEN && this.scheduled(this.keys.requestUpdate());
  }

  migrate(target: MoveTarget | null, nowMicros: number): MoveRefusal | null {
    return migrate(this, target, nowMicros);
  }

  close(type: CloseType, code: bigint, reason: string): void {
    this.scheduled(closeByUser(this, type, code, reason));
  }

  abandon(): void {
    if (this.state !== STATE_CLOSED) this.scheduled(abandon(this));
  }

  drain(handler: TransportHandler): void {
    this.events.drain(handler);
    if (this.state === STATE_CLOSED) this.streams.clear();
    else this.consumed(0);
  }

  stats(): TransportStats {
    return connectionStats(this);
  }

  private consumed<R>(result: R): R {
    if (this.streamOut.hasControl() || this.events.pending) this.host.schedule(this);
    return result;
  }

  private scheduled<R>(result: R): R {
    this.host.schedule(this);
    return result;
  }
}
