/**
 * A QUIC client or server that obeys nothing: any frame in any packet, with any header, number, key or tag. It does a
 * handshake by its own TLS, acknowledges what it reads unless told not to, and keeps everything that came. Times and
 * sockets belong to its wire; nothing comes from the engine.
 */

import { randomBytes } from "node:crypto";
import { ack, bytes, crypto, HANDSHAKE_DONE, padding, vi } from "../support/raw-frames.js";
import type { RawCertificate } from "./certificate.js";
import { type Frame, readFrames } from "./frames.js";
import { type Header, longHeader, readHeader, RETRY, tokenField, typeBits, VERSION_NEGOTIATION } from "./headers.js";
import { P_ORIGINAL_DCID, type Param, readParams, usualParams, withParam, writeParams } from "./params.js";
import { initialKeys, type Keys, keysFrom, open, retryTag, seal, TAG_BYTES, updatedKeys, V1 } from "./protection.js";
import { RawTlsClient, type RawTlsClientOptions } from "./tls-client.js";
import { APP, EARLY, HANDSHAKE, INITIAL, type RawTicket } from "./tls-messages.js";
import { RawTlsServer, type RawTlsServerOptions, type TicketStore } from "./tls-server.js";

export { APP, EARLY, HANDSHAKE, INITIAL };

/** Between which addresses a datagram goes: numbers of the peer's own, and of the engine's. */
export interface Way {
  own: number;
  engine: number;
  ecn: number;
}

/** Where datagrams go. */
export interface Wire {
  send(datagram: Buffer, way: Way): void;
}

export interface RawPeerOptions {
  version?: number;
  scid?: Uint8Array;
  /** First destination id of a client. */
  dcid?: Uint8Array;
  alpn?: readonly string[];
  /** What a server chooses; null for none. */
  chosenAlpn?: string | null;
  serverName?: string;
  token?: Uint8Array;
  /** Changes the transport parameters; bytes are the whole extension. */
  params?: (list: Param[], peer: RawPeer) => Param[] | Uint8Array;
  client?: Partial<RawTlsClientOptions>;
  server?: Partial<RawTlsServerOptions>;
  ticket?: RawTicket;
  early?: boolean;
  tickets?: TicketStore;
  chain?: readonly RawCertificate[];
  /** Acknowledge at once what asks for it; default true. */
  autoAck?: boolean;
  /** TLS messages leave as soon as they are made; default true. Else `flushTls` sends them. */
  autoTls?: boolean;
  /** A server sends HANDSHAKE_DONE when its handshake is complete; default true. */
  confirm?: boolean;
  /** The first Initial of a client's flight arrived; true = the script does what is to be done, the rest of it is dropped. */
  onFirst?: (peer: RawPeer, header: Header) => boolean;
  /** A client follows a Retry; default true. */
  followRetry?: boolean;
}

/** What a packet that is sent by hand can have otherwise. */
export interface PacketOptions {
  pn?: number;
  pnBytes?: 1 | 2 | 3 | 4;
  dcid?: Uint8Array;
  scid?: Uint8Array;
  token?: Uint8Array;
  version?: number;
  /** Flipped in the first byte before protection: reserved bits, fixed bit, spin bit, key phase. */
  flip?: number;
  /** Added to the Length field. */
  lengthDelta?: number;
  forged?: boolean;
  /** Key generation of a 1-RTT packet; its Key Phase bit follows from it. */
  generation?: number;
  /** PADDING up to this packet size; 0 for none. */
  padTo?: number;
  keys?: Keys;
}

export interface ReadPacket {
  level: number;
  pn: number;
  firstByte: number;
  version: number;
  dcid: Buffer;
  frames: Frame[];
  /** Size of the datagram that it came in, its number, to which of the peer's addresses and from which of the engine's. */
  datagramBytes: number;
  datagram: number;
  to: number;
  engine: number;
  ecn: number;
  atMicros: number;
  generation: number;
}

export interface ReadClose {
  level: number;
  isApplication: boolean;
  code: bigint;
  frameType: number;
  reason: string;
}

export interface StreamRead {
  data: Buffer;
  fin: boolean;
}

const SPACE_OF = [0, 2, 1, 2];
const LEVELS = [INITIAL, EARLY, HANDSHAKE, APP];
const PIECE_BYTES = 1000;
const MIN_INITIAL_BYTES = 1200;
const NON_ELICITING = new Set(["PADDING", "ACK", "CONNECTION_CLOSE"]);

export class RawPeer {
  /** The clock of its wire. */
  nowMicros: () => number = () => 0;
  wire: Wire = { send: () => {} };
  /** Address that it sends from, and that of the engine's to which it sends. */
  from = 0;
  engine = 0;
  ecn = 0;
  version: number;
  scid: Uint8Array;
  dcid: Uint8Array;
  /** What the keys of Initial packets come from. */
  keyDcid: Uint8Array;
  /** The first destination id of the client. */
  origDcid: Uint8Array;
  token: Uint8Array;
  autoAck: boolean;
  autoTls: boolean;
  /** ECT(0), ECT(1) and CE for its ACK frames; null = without. */
  ecnCounts: ((level: number) => (number | bigint)[]) | null = null;
  /** Key generation of what it sends from now on. */
  generation = 0;
  readonly nextPn = [0, 0, 0];
  readonly bytes = { sent: 0, received: 0 };
  datagrams: Buffer[] = [];
  packets: ReadPacket[] = [];
  /** What could not be read. */
  unread: Buffer[] = [];
  retries: Buffer[] = [];
  versionNegotiations: Buffer[] = [];
  readonly streams = new Map<number, StreamRead>();
  readonly tlsClient: RawTlsClient | null;
  readonly tlsServer: RawTlsServer | null;
  /** TLS messages that wait for `flushTls`. */
  tlsOut: { level: number; bytes: Buffer }[] = [];
  readonly cryptoSent = [0, 0, 0, 0];
  private readonly reads: (Keys | undefined)[] = [];
  private readonly writes: (Keys | undefined)[] = [];
  private readonly largest = [-1, -1, -1];
  private readonly ackDue = [false, false, false];
  private readonly cryptoRead = [0, 0, 0, 0];
  private readonly cryptoHeld: Map<number, Buffer>[] = LEVELS.map(() => new Map());
  private readonly streamHeld = new Map<number, Map<number, Buffer>>();
  private unopened: { packet: Buffer; datagramBytes: number; way: Way }[] = [];
  private knowsPeer = false;
  private retried = false;
  private confirmed = false;
  /** Number of the bidirectional stream that the next echo uses. */
  nextEcho = 20;

  constructor(
    readonly isServer: boolean,
    readonly options: RawPeerOptions = {},
  ) {
    this.version = options.version ?? V1;
    this.scid = options.scid ?? randomBytes(8);
    this.dcid = options.dcid ?? randomBytes(8);
    this.keyDcid = this.dcid;
    this.origDcid = this.dcid;
    this.token = options.token ?? Buffer.alloc(0);
    this.autoAck = options.autoAck !== false;
    this.autoTls = options.autoTls !== false;
    this.tlsClient = isServer ? null : this.newTlsClient();
    this.tlsServer = isServer ? this.newTlsServer() : null;
    if (!isServer) this.installInitial(this.version, this.dcid);
  }

  private newTlsClient(): RawTlsClient {
    const { options } = this;
    const tls: RawTlsClientOptions = {
      alpn: options.alpn ?? ["test"],
      serverName: options.serverName ?? "localhost",
      params: this.params(),
      ...options.client,
    };
    if (options.ticket !== undefined) tls.ticket = options.ticket;
    if (options.early !== undefined) tls.early = options.early;
    return new RawTlsClient(tls, this.sink());
  }

  private newTlsServer(): RawTlsServer {
    const { options } = this;
    const tls: RawTlsServerOptions = {
      chain: options.chain ?? [],
      params: () => this.params(),
      acceptEarly: options.early === true,
      ...options.server,
    };
    if (options.chosenAlpn !== undefined) tls.alpn = options.chosenAlpn;
    if (options.tickets !== undefined) tls.tickets = options.tickets;
    return new RawTlsServer(tls, this.sink());
  }

  private sink(): ConstructorParameters<typeof RawTlsClient>[1] {
    return {
      send: (level, piece) => this.tlsOut.push({ level, bytes: piece }),
      secret: (level, direction, secret) => {
        const side = direction === "read" ? this.reads : this.writes;
        side[level] = keysFrom(this.version, secret);
      },
    };
  }

  private params(): Buffer {
    let list = usualParams(this.scid);
    if (this.isServer) list = withParam(list, P_ORIGINAL_DCID, this.origDcid);
    const edited = this.options.params?.(list, this) ?? list;
    return edited instanceof Uint8Array ? Buffer.from(edited) : writeParams(edited);
  }

  // --- ids of streams -------------------------------------------------------------------------------------------------

  /** Id of the n-th stream that this peer opens. */
  ownBidi(n = 0): number {
    return 4 * n + (this.isServer ? 1 : 0);
  }
  ownUni(n = 0): number {
    return 4 * n + (this.isServer ? 3 : 2);
  }
  /** Id of the n-th stream that the engine opens. */
  theirBidi(n = 0): number {
    return 4 * n + (this.isServer ? 0 : 1);
  }
  theirUni(n = 0): number {
    return 4 * n + (this.isServer ? 2 : 3);
  }
  takeBidi(): number {
    return this.ownBidi(this.nextEcho++);
  }

  /** Transport parameters of the engine. */
  get peerParams(): Map<number, Buffer> {
    const extension = this.tlsClient?.peerParams ?? this.tlsServer?.clientParams ?? null;
    return extension === null ? new Map() : readParams(extension);
  }

  // --- handshake ------------------------------------------------------------------------------------------------------

  /** Client: the ClientHello. */
  hello(): void {
    this.tlsClient?.start();
    if (this.autoTls) this.flushTls();
  }

  get handshakeDone(): boolean {
    return this.tlsClient?.done ?? this.tlsServer?.done ?? false;
  }

  /** Sends the waiting TLS messages in CRYPTO frames, each piece in a datagram of its own. */
  flushTls(upTo = APP): void {
    const out = this.tlsOut.filter(({ level }) => level <= upTo);
    this.tlsOut = this.tlsOut.filter(({ level }) => level > upTo);
    for (const { level, bytes: message } of out) {
      for (let at = 0; at < message.length; at += PIECE_BYTES) {
        this.sendCrypto(level, message.subarray(at, at + PIECE_BYTES));
      }
    }
  }

  /** The packets of the waiting TLS messages, not sent. */
  takeTlsPackets(): Buffer[] {
    return this.tlsOut
      .splice(0)
      .map(({ level, bytes: message }) => this.packet(level, [this.cryptoFrame(level, message)], { padTo: 0 }));
  }

  /** The next bytes of the CRYPTO stream of `level`. */
  sendCrypto(level: number, data: Uint8Array): void {
    this.send(level, this.cryptoFrame(level, data));
  }

  cryptoFrame(level: number, data: Uint8Array): Uint8Array {
    const frame = crypto(this.cryptoSent[level] as number, data);
    this.cryptoSent[level] = (this.cryptoSent[level] as number) + data.length;
    return frame;
  }

  // --- sending --------------------------------------------------------------------------------------------------------

  /** One packet with these frames, in a datagram of its own. */
  send(level: number, ...frames: Uint8Array[]): void {
    this.sendRaw(this.packet(level, frames));
  }

  /** Packets, or anything, in one datagram. */
  sendRaw(...packets: Uint8Array[]): void {
    const datagram = Buffer.concat(packets);
    this.bytes.sent += datagram.length;
    this.wire.send(datagram, { own: this.from, engine: this.engine, ecn: this.ecn });
  }

  sendFrom(address: number, ...packets: Uint8Array[]): void {
    const before = this.from;
    this.from = address;
    this.sendRaw(...packets);
    this.from = before;
  }

  canWrite(level: number): boolean {
    return this.writes[level] !== undefined;
  }

  writeKeys(level: number): Keys {
    const keys = this.writes[level];
    if (keys === undefined) throw new Error(`the raw peer has no keys to write at level ${level}`);
    return keys;
  }

  /** A sealed packet. An Initial is padded to 1200 bytes unless `padTo` says otherwise. */
  packet(level: number, frames: readonly Uint8Array[], options: PacketOptions = {}): Buffer {
    const space = SPACE_OF[level] as number;
    const pn = options.pn ?? (this.nextPn[space] as number);
    if (options.pn === undefined) this.nextPn[space] = pn + 1;
    const pnBytes = options.pnBytes ?? 4;
    const isLong = level !== APP;
    const padTo = options.padTo ?? (level === INITIAL ? MIN_INITIAL_BYTES : 0);
    const generation = options.generation ?? (level === APP ? this.generation : 0);
    const start = this.headerStart(level, pnBytes, generation, options);
    let payload = bytes(...frames);
    const size = start.length + (isLong ? 2 : 0) + pnBytes + payload.length + TAG_BYTES;
    const least = options.padTo === 0 ? 0 : 4 - pnBytes - payload.length; // RFC 9001 §5.4.2: room for a sample
    const missing = Math.max(padTo - size, least, 0);
    if (missing > 0) payload = bytes(payload, padding(missing));
    const length = pnBytes + payload.length + TAG_BYTES + (options.lengthDelta ?? 0);
    const number = Array.from({ length: pnBytes }, (_, i) => Math.floor(pn / 256 ** (pnBytes - 1 - i)) & 255);
    const header = bytes(start, isLong ? vi(length, 2) : [], number);
    const base = options.keys ?? this.writeKeys(level);
    const packet = seal(generation === 0 ? base : updatedKeys(base, generation), header, pnBytes, pn, payload);
    if (options.forged === true) packet[packet.length - 1] = (packet[packet.length - 1] as number) ^ 0x55;
    return packet;
  }

  private headerStart(level: number, pnBytes: number, generation: number, options: PacketOptions): Uint8Array {
    const dcid = options.dcid ?? this.dcid;
    const flip = options.flip ?? 0;
    if (level === APP) return bytes((0x40 | ((generation & 1) << 2) | (pnBytes - 1)) ^ flip, dcid);
    const version = options.version ?? this.version;
    const first = (0xc0 | typeBits(level, version) | (pnBytes - 1)) ^ flip;
    const token = options.token ?? (this.isServer ? Buffer.alloc(0) : this.token);
    const rest = level === INITIAL ? tokenField(token) : Buffer.alloc(0);
    return longHeader(first, version, dcid, options.scid ?? this.scid, rest);
  }

  /** A Retry that asks for `token` under a new id, or with any bytes changed. */
  retryPacket(token: Uint8Array, scid: Uint8Array, options: { origDcid?: Uint8Array; version?: number } = {}): Buffer {
    const version = options.version ?? this.version;
    const start = longHeader(0xc0 | typeBits(RETRY, version), version, this.dcid, scid, token);
    return Buffer.concat([start, retryTag(version, options.origDcid ?? this.origDcid, start)]);
  }

  ackFrame(level: number): Uint8Array {
    const pns = this.packets.filter((packet) => SPACE_OF[packet.level] === SPACE_OF[level]).map(({ pn }) => pn);
    const ranges: [number, number][] = [];
    for (const pn of [...new Set(pns)].sort((a, b) => b - a)) {
      const last = ranges.at(-1);
      if (last !== undefined && last[0] === pn + 1) last[0] = pn;
      else ranges.push([pn, pn]);
    }
    const frame = ack(...ranges.slice(0, 60));
    if (this.ecnCounts === null) return frame;
    return bytes(0x03, frame.subarray(1), ...this.ecnCounts(level).map((count) => vi(count)));
  }

  // --- receiving ------------------------------------------------------------------------------------------------------

  receive(datagram: Buffer, way: Way): void {
    this.bytes.received += datagram.length;
    this.datagrams.push(datagram);
    this.readPackets(datagram, datagram.length, way);
  }

  /** After a batch of datagrams: acknowledges and goes on with the handshake. */
  afterReceive(): void {
    const waiting = this.unopened;
    this.unopened = [];
    for (const { packet, datagramBytes, way } of waiting) this.readPackets(packet, datagramBytes, way);
    this.sendAck(INITIAL);
    if (this.autoTls) this.flushTls();
    this.sendAck(HANDSHAKE);
    if (this.tlsServer?.done === true && !this.confirmed && this.options.confirm !== false) {
      this.confirmed = true;
      this.send(APP, HANDSHAKE_DONE);
    }
    this.sendAck(APP);
  }

  private sendAck(level: number): void {
    const space = SPACE_OF[level] as number;
    if (!this.autoAck || this.ackDue[space] !== true || !this.canWrite(level)) return;
    this.ackDue[space] = false;
    this.send(level, this.ackFrame(level));
  }

  private readPackets(datagram: Buffer, datagramBytes: number, way: Way): void {
    for (let at = 0; at < datagram.length; ) {
      const header = readHeader(datagram, at, this.scid.length);
      if (header === null) {
        this.unread.push(datagram.subarray(at));
        return;
      }
      const whole = datagram.subarray(at, header.end);
      if (header.kind === RETRY) this.onRetry(whole, header);
      else if (header.kind === VERSION_NEGOTIATION) this.versionNegotiations.push(whole);
      else if (!this.readPacket(whole, { ...header, pnOffset: header.pnOffset - at }, datagramBytes, way)) return;
      at = header.end;
    }
  }

  private onRetry(whole: Buffer, header: Header): void {
    this.retries.push(whole);
    if (this.isServer || this.options.followRetry === false || this.retried) return;
    this.followRetry(header.scid, header.token);
  }

  /** The same ClientHello again, with the token. */
  followRetry(dcid: Uint8Array, token: Uint8Array): void {
    this.retried = true;
    this.dcid = Buffer.from(dcid);
    this.token = Buffer.from(token);
    this.installInitial(this.version, this.dcid);
    const hello = this.firstFlight;
    this.cryptoSent[INITIAL] = 0;
    for (let at = 0; at < hello.length; at += PIECE_BYTES) {
      this.sendCrypto(INITIAL, hello.subarray(at, at + PIECE_BYTES));
    }
  }

  /** The ClientHello that was sent. */
  get firstFlight(): Buffer {
    return this.tlsClient?.helloBytes ?? Buffer.alloc(0);
  }

  /** False: the rest of the datagram is not to be read. */
  private readPacket(whole: Buffer, header: Header, datagramBytes: number, way: Way): boolean {
    const level = header.kind;
    if (this.isServer && !this.knowsPeer) {
      if (level !== INITIAL) return false;
      if (!this.onFirstInitial(header)) return false;
    }
    if (!this.isServer && level === INITIAL && header.version !== this.version) {
      this.version = header.version; // the server chose another compatible version (RFC 9368 §2.3)
      this.installInitial(header.version, this.keyDcid);
    }
    const keys = this.reads[level];
    if (keys === undefined) {
      this.unopened.push({ packet: whole, datagramBytes, way });
      return true;
    }
    const generations = level === APP ? [0, 1, 2, 3, 4, 5, 6, 7] : [0];
    let used = 0;
    const choice = (phase: number): Keys[] =>
      generations.filter((g) => level !== APP || (g & 1) === phase).map((g) => updatedKeys(keys, g));
    const space = SPACE_OF[level] as number;
    const opened = open(choice, keys.hp, whole, header.pnOffset, this.largest[space] as number);
    if (opened === null) {
      this.unread.push(whole);
      return true;
    }
    if (level === APP) used = opened.firstByte & 4 ? 1 : 0;
    if (level === APP && opened.pn > (this.largest[space] as number) && used !== (this.generation & 1)) {
      this.generation++; // the engine updated its keys (RFC 9001 §6.2)
    }
    this.largest[space] = Math.max(this.largest[space] as number, opened.pn);
    if (!this.knowsPeer && level !== APP) {
      this.knowsPeer = true;
      this.dcid = Buffer.from(header.scid);
    }
    const frames = readFrames(opened.payload);
    const { pn, firstByte } = opened;
    this.packets.push({
      level,
      pn,
      firstByte,
      version: header.version,
      dcid: Buffer.from(header.dcid),
      frames,
      datagramBytes,
      datagram: this.datagrams.length - 1,
      to: way.own,
      engine: way.engine,
      ecn: way.ecn,
      atMicros: this.nowMicros(),
      generation: used,
    });
    if (frames.some(({ name }) => !NON_ELICITING.has(name))) this.ackDue[space] = true;
    for (const frame of frames) this.onFrame(level, frame);
    return true;
  }

  /** Version and destination id of the flight that `onFirst` took. */
  private answeredFlight = "";

  private onFirstInitial(header: Header): boolean {
    const flight = `${header.version} ${Buffer.from(header.dcid).toString("hex")}`;
    if (flight === this.answeredFlight) return false; // a ClientHello in several datagrams is one flight
    this.dcid = Buffer.from(header.scid);
    this.keyDcid = Buffer.from(header.dcid);
    if (!this.retried) this.origDcid = this.keyDcid;
    this.version = header.version;
    this.installInitial(header.version, this.keyDcid);
    if (this.options.onFirst?.(this, header) === true) {
      this.answeredFlight = flight;
      return false;
    }
    this.knowsPeer = true;
    return true;
  }

  /** A server that sent a Retry keeps the first id of the client. */
  get wasRetried(): boolean {
    return this.retried;
  }

  noteRetried(): void {
    this.retried = true;
  }

  private onFrame(level: number, frame: Frame): void {
    if (frame.name === "CRYPTO") this.onCrypto(level, frame);
    else if (frame.name === "STREAM") this.onStream(frame);
  }

  private onCrypto(level: number, frame: Frame): void {
    const held = this.cryptoHeld[level] as Map<number, Buffer>;
    held.set(Number(frame.values[0]), frame.data);
    for (;;) {
      const at = this.cryptoRead[level] as number;
      const next = [...held].find(([offset, data]) => offset <= at && offset + data.length > at);
      if (next === undefined) return;
      held.delete(next[0]);
      const fresh = next[1].subarray(at - next[0]);
      this.cryptoRead[level] = at + fresh.length;
      this.tlsClient?.receive(level, fresh);
      this.tlsServer?.receive(level, fresh);
    }
  }

  private onStream(frame: Frame): void {
    const id = Number(frame.values[0]);
    let stream = this.streams.get(id);
    if (stream === undefined) this.streams.set(id, (stream = { data: Buffer.alloc(0), fin: false }));
    let held = this.streamHeld.get(id);
    if (held === undefined) this.streamHeld.set(id, (held = new Map()));
    held.set(Number(frame.values[1]), frame.data);
    for (;;) {
      const at = stream.data.length;
      const next = [...held].find(([offset, data]) => offset <= at && offset + data.length > at);
      if (next === undefined) break;
      held.delete(next[0]);
      stream.data = Buffer.concat([stream.data, next[1].subarray(at - next[0])]);
    }
    if (frame.fin) stream.fin = true;
  }

  // --- what was read --------------------------------------------------------------------------------------------------

  /** All frames of a name, in order; of one level when it is given. */
  frames(name: string, level = -1): Frame[] {
    const packets = level < 0 ? this.packets : this.packets.filter((packet) => packet.level === level);
    return packets.flatMap((packet) => packet.frames.filter((frame) => frame.name === name));
  }

  get closes(): ReadClose[] {
    return this.packets.flatMap(({ level, frames }) =>
      frames
        .filter(({ name }) => name === "CONNECTION_CLOSE")
        .map(({ type, values, data }) => ({
          level,
          isApplication: type === 0x1d,
          code: values[0] as bigint,
          frameType: Number(values[1]),
          reason: data.toString(),
        })),
    );
  }

  /** Forgets the packets, but not their numbers. */
  forget(): void {
    for (const packet of this.packets) packet.frames = [];
    this.datagrams = [];
    this.unread = [];
  }

  installInitial(version: number, dcid: Uint8Array): void {
    const { client, server } = initialKeys(version, dcid);
    this.reads[INITIAL] = this.isServer ? client : server;
    this.writes[INITIAL] = this.isServer ? server : client;
  }
}
