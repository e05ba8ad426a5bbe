/**
 * Many connections on the UDP sockets of one owner, sans I/O: routes datagrams by destination connection id, starts and accepts
 * connections, answers what belongs to none, keeps their deadlines in one heap and their wish to send in one queue.
 *
 * The owner's loop: `receive` or `timeout`, then `accept` and `takeEventful` until null, then `transmit` while it says
 * true, then sleep until `nextDeadline`. `onWork` tells it that an application call made work in between.
 */

import { LastView } from "../base/bytes.js";
import { Fifo } from "../base/fifo.js";
import { Heap } from "../base/heap.js";
import { finish } from "../conn/close.js";
import { type ConnectionConfig, localParamBytes, localParams, makeConfig } from "../conn/config.js";
import { Connection } from "../conn/connection.js";
import type { ConnectionHost } from "../conn/host.js";
import { usesSocket } from "../conn/moves.js";
import { onLateTls, tryReset } from "../conn/receive.js";
import { openKept } from "../conn/session-ticket.js";
import { STATE_CLOSED, STATE_OPEN } from "../conn/state.js";
import { firstVersion } from "../conn/versions.js";
import { ConnectionTally } from "../conn/tally.js";
import { Workbench } from "../conn/workbench.js";
import { TokenKeys } from "../crypto/token.js";
import { DROP_ZERO_LENGTH, type DropReason } from "../observe/drop-reason.js";
import { statelessResetTokenStart } from "../packet/stateless-reset.js";
import type { AeadPort } from "../port/aead.js";
import { type MemoryPressure, NO_PRESSURE } from "../port/memory.js";
import type { Random } from "../port/random.js";
import type { TlsContext, TlsSessionOptions } from "../port/tls.js";
import type { CloseType } from "../port/transport.js";
import {
  datagramBytes,
  ICMP_TOO_BIG,
  type IcmpKind,
  RX_COLS,
  RX_LEN,
  RX_OFF,
  type RxBatch,
  type TxBatch,
} from "../port/udp.js";
import { INITIAL_DCID_BYTES, MAX_CID_BYTES, MIN_INITIAL_DATAGRAM_BYTES } from "../proto/limits.js";
import { Acceptor, type Chooser, Listener, type ListenOptions } from "./accept.js";
import { Answers } from "./answers.js";
import { EndpointCounters } from "./counters.js";
import { type CidSource, localCidBytes, randomCids } from "./ids.js";
import { applyIcmpTooBig, applyTooBig, isQuoted } from "./path-hints.js";
import { CidTable, endOfRun } from "./route.js";

export interface EndpointOptions {
  aead: AeadPort;
  random: Random;
  nowMicros: number;
  /** Wall clock in seconds, for tokens. */
  wallSeconds: () => number;
  /** 32 bytes from which token and reset keys derive; random by default. Share it to let tokens outlive a restart. */
  secret?: Uint8Array;
  /** How long tokens are good for: those of Retry, default 10 s, and of NEW_TOKEN, default a day, which is the most. */
  retryTokenSeconds?: number;
  newTokenSeconds?: number;
  /** Answer packets of connections that nobody knows (RFC 9000 §10.3); default true. */
  statelessResets?: boolean;
  /** Makes connection ids; default: random ones. */
  cids?: CidSource;
  /** Length of the ids of all connections: 4 to 20, default 8; what `cids` can make. */
  cidBytes?: number;
}

export interface ConnectOptions {
  tls: TlsContext;
  serverName?: string;
  /** From `onTicket` of an earlier connection; bytes that are none mean a full handshake. */
  ticket?: Uint8Array;
  /** Offer 0-RTT (RFC 9001 §4.6) if the ticket is of this protocol, which must be the only one that `tls` offers. */
  earlyAlpn?: string;
  /** From NEW_TOKEN of an earlier connection to the same server. */
  token?: Uint8Array;
  /** ADDR_COLS words (port/udp). */
  remote: Int32Array;
  /** The socket to go through, 0 (default) = the first. */
  socket?: number;
  config?: Partial<ConnectionConfig>;
}

export class Endpoint implements ConnectionHost {
  readonly aead: AeadPort;
  readonly random: Random;
  readonly bench: Workbench;
  readonly closeBatch: TxBatch;
  readonly counters = new EndpointCounters();
  readonly answers: Answers;
  readonly tokens: TokenKeys;
  readonly wallSeconds: () => number;
  readonly sendsResets: boolean;
  readonly cids: CidSource;
  /** Set by the owner, before there are connections. */
  pressure: Readonly<MemoryPressure> = NO_PRESSURE;
  /** Set by the owner: called at most once until the next `transmit`, never from inside a door. */
  onWork: (() => void) | null = null;

  private readonly acceptor: Acceptor;
  private readonly table: CidTable<Connection>;
  /** Stateless reset tokens that peers gave us. */
  private readonly resets: CidTable<Connection>;
  private readonly rxView = new LastView();
  private readonly deadlines = new Heap<Connection>();
  private readonly all = new Set<Connection>();
  private readonly transmitQueue = new Fifo<Connection>();
  private readonly eventful = new Fifo<Connection>();
  readonly lateTls = new Fifo<Connection>();
  private leftPath = false;
  private insideDoor = false;
  private workTold = false;

  constructor(options: EndpointOptions) {
    this.aead = options.aead;
    this.random = options.random;
    this.bench = new Workbench(options.aead, localCidBytes(options.cidBytes));
    this.wallSeconds = options.wallSeconds;
    this.answers = new Answers(options.nowMicros);
    const secret = options.secret ?? this.randomBytes(32);
    const { retryTokenSeconds, newTokenSeconds } = options;
    this.tokens = new TokenKeys(options.aead, options.random, secret, retryTokenSeconds, newTokenSeconds);
    this.sendsResets = options.statelessResets ?? true;
    this.cids = options.cids ?? randomCids(options.random);
    const seeds = new DataView(this.randomBytes(8).buffer);
    this.table = new CidTable<Connection>(seeds.getInt32(0), seeds.getInt32(4));
    this.resets = new CidTable<Connection>(seeds.getInt32(4), seeds.getInt32(0));
    this.acceptor = new Acceptor(this);
    this.closeBatch = {
      buf: new Uint8Array(MIN_INITIAL_DATAGRAM_BYTES),
      rows: new Int32Array(8),
      dests: new Int32Array(16),
      count: 0,
      destCount: 0,
      used: 0,
      socket: 0,
    };
  }

  get connectionCount(): number {
    return this.all.size;
  }

  get connections(): Iterable<Connection> {
    return this.all;
  }

  /** Sums over all connections, those included that are gone. */
  tally(): ConnectionTally {
    const sum = new ConnectionTally();
    sum.addGone(this.counters.gone);
    for (const conn of this.all) sum.add(conn);
    return sum;
  }

  get halfOpenCount(): number {
    return this.acceptor.halfOpenCount;
  }

  /** Bytes of datagrams that wait until a ClientHello is whole. */
  get attemptBytes(): number {
    return this.acceptor.attemptBytes;
  }

  // --- for the application -----------------------------------------------------------------------------------------

  /** Accepts connections from now on. Throws when the endpoint already listens. */
  listen(options: ListenOptions): void {
    this.acceptor.listen(this.chooserOf(options));
  }

  private chooserOf(options: ListenOptions): Chooser {
    const listener = new Listener(options);
    const { retry = "auto", earlyData = false } = options;
    return { retry, earlyData: earlyData !== false, versions: listener.config.versions, choose: () => listener };
  }

  /** From now on new connections are accepted with these options; those that exist go on as they began. */
  relisten(options: ListenOptions): void {
    this.acceptor.replace(this.chooserOf(options));
  }

  /** As `listen`, for several listeners, of which `chooser` names one when a ClientHello is whole. */
  listenBy(chooser: Chooser): void {
    this.acceptor.listen(chooser);
  }

  /** Refuses new connections; those that exist go on. */
  stopListening(): void {
    this.acceptor.stop();
  }

  /** Starts a connection; its first datagram leaves with the next `transmit`. */
  connect(options: ConnectOptions, nowMicros: number): Connection {
    const config = makeConfig(options.config);
    const localCid = this.newCid();
    const kept = openKept(options);
    const version = config.firstVersion || firstVersion(config.versions, kept.ticket?.version ?? kept.tokenVersion);
    const ticket = kept.ticket?.version === version ? kept.ticket : null; // RFC 9369 §5: not with another version's
    const earlyData = ticket !== null && ticket.allowsEarlyData && ticket.alpn === options.earlyAlpn;
    const origDcid = this.randomBytes(INITIAL_DCID_BYTES);
    const conn = new Connection(this, {
      isServer: false,
      version,
      config,
      startTls: (tlsVersion) => {
        const params = localParams(config);
        params.initialScid = localCid;
        const session: TlsSessionOptions = {
          transportParams: localParamBytes(params, config, false, tlsVersion, this.random),
          earlyData: earlyData && tlsVersion === version,
        };
        if (options.serverName !== undefined) session.serverName = options.serverName;
        if (ticket !== null && tlsVersion === version) session.ticket = ticket.tls;
        return options.tls.newSession(session);
      },
      origDcid,
      localCid,
      initialKeys: null,
      peerCid: origDcid,
      addr: options.remote.slice(),
      socket: options.socket ?? 0,
      token: kept.tokenVersion === version ? kept.token : null,
      addressValidated: true,
      remembered: earlyData ? ticket.params : null,
      earlyTickets: null,
      nowMicros,
    });
    this.route(localCid, conn);
    this.counters.connectionsStarted++;
    this.add(conn);
    this.schedule(conn);
    return conn;
  }

  /** The next server connection whose ClientHello was processed, or null. */
  accept(): Connection | null {
    return this.acceptor.takeAccepted();
  }

  /** A connection with something to drain, or null; drain it before the next call. */
  takeEventful(): Connection | null {
    for (let conn = this.eventful.take(); conn !== null; conn = this.eventful.take()) {
      conn.isEventful = false;
      if (conn.events.pending) return conn;
    }
    return null;
  }

  /** Closes every connection with the same code. */
  closeAll(type: CloseType, code: bigint, reason: string): void {
    for (const conn of this.all) conn.close(type, code, reason);
  }

  /** Forgets everything at once; nothing is sent. */
  destroy(): void {
    this.stopListening();
    for (const conn of this.all) {
      conn.abandon();
      this.settle(conn);
    }
    this.transmitQueue.clear();
  }

  // --- doors for the owner's loop -----------------------------------------------------------------------------------

  receive(rx: RxBatch, nowMicros: number): void {
    this.insideDoor = true;
    let current: Connection | null = null;
    this.counters.datagramsReceived += rx.count;
    this.counters.bytesReceived += datagramBytes(rx, 0, rx.count);
    for (let row = 0; row < rx.count; ) {
      const off = rx.rows[row * RX_COLS + RX_OFF];
      const lengthBytes = rx.rows[row * RX_COLS + RX_LEN];
      if (lengthBytes === 0) {
        this.countDrop(DROP_ZERO_LENGTH);
        row++;
        continue;
      }
      const conn = this.ownerOf(rx.buf, off, lengthBytes);
      if (conn !== current && current !== null) this.endRun(current, nowMicros);
      current = conn ?? this.acceptor.onUnknown(rx, row, nowMicros);
      const end = conn === null ? row + 1 : endOfRun(rx, this.rxView.of(rx.buf), row, this.bench.cidBytes);
      if (current !== null) current.receive(rx, row, end, nowMicros);
      row = end;
    }
    if (current !== null) this.endRun(current, nowMicros);
    this.insideDoor = false;
  }

  /** Appends datagrams to `tx`. True = it is full: send it, empty it, call again. */
  transmit(tx: TxBatch, nowMicros: number): boolean {
    this.workTold = false;
    this.insideDoor = true;
    const countBefore = tx.count;
    const usedBefore = tx.used;
    const full = !this.answers.flush(tx) || this.transmitConnections(tx, nowMicros);
    this.counters.datagramsSent += tx.count - countBefore;
    this.counters.bytesSent += tx.used - usedBefore;
    this.insideDoor = false;
    return full;
  }

  /** Handles every deadline that is due. Call `transmit` after it. */
  timeout(nowMicros: number): void {
    this.insideDoor = true;
    this.acceptor.timeout(nowMicros);
    for (let conn = this.lateTls.take(); conn !== null; conn = this.lateTls.take()) {
      onLateTls(conn, nowMicros);
      this.noteEvents(conn); // the owner may have to judge the peer before it is sent anything
    }
    for (;;) {
      const conn = this.deadlines.peek();
      if (conn === null || conn.heapKey > nowMicros) break;
      // out of the heap until its transmit has run, which is what moves the deadline on
      this.deadlines.remove(conn);
      conn.timeout(nowMicros);
      this.schedule(conn);
      this.noteEvents(conn);
    }
    this.insideDoor = false;
  }

  /** The socket says that a datagram of `bytes` to `dest` was larger than the interface carries (port/udp, UdpHandler). */
  onTooBig(dest: Int32Array, bytes: number, socket = 0): void {
    for (const conn of this.all) if (applyTooBig(conn, dest, bytes, socket)) this.schedule(conn);
  }

  /** The socket passes on what an ICMP message says of a datagram to `dest` that began so (port/udp, UdpHandler). */
  onIcmp(dest: Int32Array, kind: IcmpKind, mtuBytes: number, quoted: Uint8Array, socket = 0): void {
    this.counters.icmpReceived++;
    if (kind !== ICMP_TOO_BIG) return; // unreachable now is no reason to give a connection up: timeouts decide
    for (const conn of this.all) {
      if (isQuoted(conn, quoted) && applyIcmpTooBig(conn, dest, mtuBytes, socket)) this.schedule(conn);
    }
  }

  /** Whether a connection left a path since the last call: its socket may be of no use any more. */
  takeLeftSocket(): boolean {
    const { leftPath } = this;
    this.leftPath = false;
    return leftPath;
  }

  usesSocket(socket: number): boolean {
    for (const conn of this.all) if (usesSocket(conn, socket)) return true;
    return false;
  }

  /** Microseconds on the owner's clock; Infinity when only the network or the application can make work. */
  nextDeadline(): number {
    if (this.lateTls.count > 0) return 0;
    return Math.min(this.deadlines.peek()?.heapKey ?? Infinity, this.acceptor.nextDeadline());
  }

  // --- ConnectionHost ------------------------------------------------------------------------------------------------

  newCid(leastBytes = 0): Uint8Array {
    const cid = new Uint8Array(Math.max(leastBytes, this.bench.cidBytes));
    do this.cids.fill(cid);
    while (this.table.find(cid, 0, cid.length) !== null);
    return cid;
  }

  resetToken(cid: Uint8Array): Uint8Array {
    return this.tokens.resetToken(cid);
  }

  newToken(version: number, addr: Int32Array): Uint8Array | null {
    return this.acceptor.newToken(version, addr);
  }

  route(cid: Uint8Array, conn: Connection): void {
    this.table.add(cid, conn);
  }

  unroute(cid: Uint8Array, conn: Connection): void {
    this.table.remove(cid, conn);
  }

  routeReset(token: Uint8Array, conn: Connection): void {
    this.resets.add(token, conn);
  }

  unrouteReset(token: Uint8Array, conn: Connection): void {
    this.resets.remove(token, conn);
  }

  noteLeftPath(): void {
    this.leftPath = true;
  }

  schedule(conn: Connection): void {
    if (!conn.isQueued) {
      conn.isQueued = true;
      this.transmitQueue.push(conn);
    }
    if (this.insideDoor || this.workTold) return;
    this.workTold = true;
    this.onWork?.();
  }

  countDrop(reason: DropReason): void {
    this.counters.drop(reason);
  }

  /** For the acceptor: a new connection of either role. */
  add(conn: Connection): void {
    this.all.add(conn);
  }

  /** Ends the connection that the datagram resets, if there is one (RFC 9000 §10.3.1). */
  onReset(buf: Uint8Array, start: number, end: number, nowMicros: number): boolean {
    const at = statelessResetTokenStart(start, end);
    const conn = at < 0 ? null : this.resets.find(buf, at, end - at);
    if (conn === null || conn.state !== STATE_OPEN || !tryReset(conn, buf, start, end, nowMicros)) return false;
    this.schedule(conn);
    this.noteEvents(conn);
    return true;
  }

  /** A connection that turned out to be nothing. */
  private forget(conn: Connection): void {
    finish(conn, conn.counters.createdAtMicros);
    conn.release();
    this.settle(conn);
  }

  randomBytes(count: number): Uint8Array {
    const bytes = new Uint8Array(count);
    this.random.fill(bytes, 0, count);
    return bytes;
  }

  // --- inside ----------------------------------------------------------------------------------------------------------

  private ownerOf(buf: Uint8Array, off: number, lengthBytes: number): Connection | null {
    const isLong = (buf[off] & 0x80) !== 0;
    const idLength = isLong ? (buf[off + 5] ?? 255) : this.bench.cidBytes;
    const idStart = off + (isLong ? 6 : 1);
    if (idLength > MAX_CID_BYTES || idStart + idLength > off + lengthBytes) return null;
    return this.table.find(buf, idStart, idLength);
  }

  private endRun(conn: Connection, nowMicros: number): void {
    conn.endReceive(nowMicros);
    if (conn.isServer && conn.counters.packetsReceived === 0) {
      // the first packet did not open: its ids may be wrong, and must not stand in the way of the real one
      this.forget(conn);
      return;
    }
    this.acceptor.onProgress(conn);
    this.schedule(conn);
    this.noteEvents(conn);
  }

  private transmitConnections(tx: TxBatch, nowMicros: number): boolean {
    const { transmitQueue } = this;
    for (let left = transmitQueue.count; left > 0; left--) {
      const conn = transmitQueue.take() as Connection;
      const more = conn.transmit(tx, nowMicros);
      this.acceptor.onProgress(conn);
      this.noteEvents(conn);
      if (more) {
        transmitQueue.push(conn); // those that have not had their turn go first next time
        return true;
      }
      conn.isQueued = false;
      this.settle(conn);
    }
    return transmitQueue.count > 0;
  }

  private noteEvents(conn: Connection): void {
    if (conn.isEventful || !conn.events.pending) return;
    // the application knows a server connection from `accept` on; one that ends before is none of its business
    if (conn.isServer && !conn.handshakeState.offered) return;
    conn.isEventful = true;
    this.eventful.push(conn);
  }

  /** Puts the connection where its state says: the heap, or nowhere once it is closed. */
  private settle(conn: Connection): void {
    if (conn.state !== STATE_CLOSED) {
      this.deadlines.update(conn, conn.nextDeadline());
      return;
    }
    this.deadlines.remove(conn);
    this.noteEvents(conn);
    if (!this.all.delete(conn)) return;
    this.leftPath = true;
    this.counters.connectionsClosed++;
    this.counters.gone.add(conn);
    this.acceptor.onGone(conn);
    for (const { cid } of conn.localIds.live) this.table.remove(cid, conn);
    for (const cid of conn.localIds.lingering) this.table.remove(cid, conn);
    this.table.remove(conn.origDcid, conn);
    if (conn.resetToken !== null) this.resets.remove(conn.resetToken, conn);
  }
}
