/**
 * A client or server that obeys nothing: it seals any frames in any packet, with any header, number, key or tag. It can
 * do a handshake by hand, and it reads what the endpoint under test answers. Frames are in raw-frames.
 */

import assert from "node:assert/strict";
import { initialSecrets, headerKey, nextSecret, phaseKeys } from "#src/crypto/schedule.js";
import { FrameDecoder } from "#src/frame/decode.js";
import { encodeParams } from "#src/frame/params.js";
import { FrameRecorder } from "#src/frame/recorder.contract.js";
import {
  PACKET_INITIAL,
  PACKET_RETRY,
  PACKET_SHORT,
  PACKET_VERSION_NEGOTIATION,
  PacketHeader,
  parseHeader,
} from "#src/packet/header.js";
import { decodePn } from "#src/packet/number.js";
import * as aead from "#src/port/aead.js";
import type { AeadId } from "#src/port/aead.js";
import {
  LEVEL_APP,
  LEVEL_EARLY,
  LEVEL_HANDSHAKE,
  LEVEL_INITIAL,
  type Level,
  type TlsContext,
  type TlsSession,
} from "#src/port/tls.js";
import { ADDR_PORT } from "#src/port/udp.js";
import { defaultParams, type TransportParams } from "#src/proto/params.js";
import { simAddress } from "#src/sim/batches.js";
import { Prng } from "#src/sim/prng.js";
import type { Arena, ArenaPeer } from "./arena.js";
import { NullAead } from "./null-aead.js";
import { NullTls, type NullTlsOptions } from "./null-tls.js";
import { ack, bytes, crypto, HANDSHAKE_DONE, padding, vi } from "./raw-frames.js";

export interface RawPeerOptions {
  isServer?: boolean;
  /** Source connection id; 8 bytes by default, may be empty. */
  scid?: Uint8Array;
  /** First destination id of a client, 8 bytes by default. */
  dcid?: Uint8Array;
  alpn?: string[];
  tls?: Partial<NullTlsOptions>;
  /** Context of a TLS library, in place of the null TLS. */
  context?: TlsContext;
  /** Changes the parameters, or writes the whole extension. */
  params?: (params: TransportParams) => Uint8Array | undefined;
  /** Changes a TLS message on its way into CRYPTO frames; null leaves it out. */
  editTls?: (level: Level, message: Uint8Array) => Uint8Array | null;
}

/** What a packet that was sent by hand can have otherwise. */
export interface PacketOptions {
  pn?: number;
  pnBytes?: 1 | 2 | 3 | 4;
  dcid?: Uint8Array;
  scid?: Uint8Array;
  token?: Uint8Array;
  version?: number;
  /** Flipped in the first byte before sealing: reserved bits, fixed bit, key phase. */
  firstByte?: number;
  /** Added to the Length field. */
  lengthDelta?: number;
  /** The tag is wrong. */
  forged?: boolean;
  /** Key generation of a 1-RTT packet; its Key Phase bit follows from it. */
  generation?: number;
  /** PADDING up to this packet size. */
  padTo?: number;
}

export interface ReadPacket {
  level: Level;
  pn: number;
  /** One line for each frame, see FrameRecorder. */
  frames: string[];
  keyPhase: number;
}

export interface ReadClose {
  level: Level;
  isApplication: boolean;
  frameType: number;
  code: number;
}

interface Secret {
  aeadId: AeadId;
  secret: Uint8Array;
}

const VERSION = 1;
const NONE = new Uint8Array(0);
const LEVEL_TYPE = [0, 1, 2, 0];
const SPACE_OF = [0, 2, 1, 2];
/** Largest CRYPTO piece in one packet of the peer's own flight. */
const PIECE_BYTES = 1000;
let nextPort = 20_000;

export class RawPeer implements ArenaPeer {
  readonly address = simAddress(10, 0, 0, 1, nextPort++);
  validated: boolean;
  bytesSent = 0;
  bytesReceived = 0;
  scid: Uint8Array;
  dcid: Uint8Array;
  /** What Initial keys come from. */
  keyDcid: Uint8Array;
  /** Next packet number by space. */
  readonly nextPn = [0, 0, 0];
  /** Everything that was received, in order. */
  datagrams: Uint8Array[] = [];
  packets: ReadPacket[] = [];
  /** Packets that could not be opened: stateless resets, or keys that are not there yet. */
  unread: Uint8Array[] = [];
  retries: Uint8Array[] = [];
  versionNegotiations: Uint8Array[] = [];
  token: Uint8Array = NONE;
  readonly isServer: boolean;
  readonly tls: NullTls;
  private readonly session: () => TlsSession;
  private openSession: TlsSession | null = null;
  private readonly aead = new NullAead(true);
  private readonly reads: (Secret | undefined)[] = [];
  private readonly writes: (Secret | undefined)[] = [];
  private readonly largest = [-1, -1, -1];
  private readonly cryptoSent = [0, 0, 0, 0];
  private readonly cryptoRead = [0, 0, 0, 0];
  private readonly cryptoHeld: Map<number, Uint8Array>[] = [new Map(), new Map(), new Map(), new Map()];
  private unopened: Uint8Array[] = [];
  private knowsPeer = false;
  private readonly sentTls: Uint8Array[] = [];
  /** Handshake and 1-RTT pieces of TLS that wait for `flushTls`. */
  private tlsOut: { level: Level; bytes: Uint8Array }[] = [];

  constructor(
    readonly arena: Arena,
    readonly options: RawPeerOptions = {},
  ) {
    this.isServer = options.isServer === true;
    this.validated = this.isServer;
    this.scid = options.scid ?? randomId(arena);
    this.dcid = options.dcid ?? randomId(arena);
    this.keyDcid = this.dcid;
    this.tls = new NullTls({ random: new Prng(7, `raw ${nextPort}`), ...options.tls });
    const alpn = options.alpn ?? ["test"];
    const own = this.isServer
      ? this.tls.newServerContext({ alpn, identities: {} })
      : this.tls.newClientContext({ alpn, serverName: "localhost", verify: "strict" });
    const context = options.context ?? own;
    this.session = () => context.newSession({ transportParams: this.transportParams() });
    if (!this.isServer) this.installInitial(this.dcid);
    arena.add(this);
  }

  // --- a handshake by hand --------------------------------------------------------------------------------------------

  /** Client: sends the ClientHello. Server: answers the one that has arrived. */
  hello(): this {
    this.openSession ??= this.session();
    this.pumpTls();
    this.flushTls();
    return this;
  }

  /** Does the whole handshake; the endpoint's side of it must work. */
  connect(): this {
    this.hello();
    if (this.isServer) {
      this.pumpTls();
      this.flushTls();
      this.send(LEVEL_APP, HANDSHAKE_DONE);
    } else {
      this.pumpTls();
      this.validated = true;
      this.flushTls();
      assert.ok(this.lines(LEVEL_APP).includes("HANDSHAKE_DONE"), `no handshake: ${JSON.stringify(this.closes)}`);
    }
    this.ackAll(LEVEL_APP);
    return this;
  }

  /** Client: sends its ClientHello once more, after a Retry, and goes on with the handshake. */
  connectAgain(): this {
    const [hello] = this.sentTls;
    assert.ok(hello !== undefined);
    this.send(LEVEL_INITIAL, crypto(0, hello));
    this.pumpTls();
    this.flushTls();
    return this;
  }

  /** Takes what TLS has made; what it wants to send waits for `flushTls`. */
  pumpTls(): void {
    const session = this.openSession;
    if (session === null) return;
    for (let result = session.take(); result !== null; result = session.take()) {
      if (result.kind === "secret") {
        const side = result.direction === "read" ? this.reads : this.writes;
        side[result.level] = { aeadId: result.aead, secret: result.secret };
      } else if (result.kind === "send") {
        const edited = this.options.editTls?.(result.level, result.bytes);
        if (edited !== null) this.tlsOut.push({ level: result.level, bytes: edited ?? result.bytes });
      }
    }
    const waiting = this.unopened;
    this.unopened = [];
    for (const packet of waiting) this.receivePackets(packet);
  }

  /** Sends the waiting TLS messages in CRYPTO frames, each packet in a datagram of its own. */
  flushTls(): void {
    const out = this.tlsOut;
    this.tlsOut = [];
    for (const { level, bytes: message } of out) {
      this.sentTls.push(message);
      for (let at = 0; at < message.length; at += PIECE_BYTES) {
        this.sendCrypto(level, message.subarray(at, at + PIECE_BYTES));
      }
    }
  }

  /** The packets of the waiting TLS messages, not sent. */
  takeTlsPackets(): Uint8Array[] {
    const packets: Uint8Array[] = [];
    for (const { level, bytes: message } of this.tlsOut.splice(0)) {
      for (let at = 0; at < message.length; at += PIECE_BYTES) {
        const piece = message.subarray(at, at + PIECE_BYTES);
        packets.push(this.packet(level, [crypto(this.cryptoSent[level], piece)]));
        this.cryptoSent[level] += piece.length;
      }
    }
    return packets;
  }

  /** The next bytes of the CRYPTO stream of `level`. */
  sendCrypto(level: Level, data: Uint8Array): void {
    const frame = crypto(this.cryptoSent[level], data);
    this.cryptoSent[level] += data.length;
    this.send(level, frame);
  }

  /** Acknowledges everything that was read at this level. */
  ackAll(level: Level): void {
    this.send(level, this.ackFrame(level));
  }

  ackFrame(level: Level): Uint8Array {
    const pns = this.packets.filter((packet) => packet.level === level).map((packet) => packet.pn);
    const sorted = [...new Set(pns)].sort((a, b) => b - a);
    const ranges: [number, number][] = [];
    for (const pn of sorted) {
      const last = ranges.at(-1);
      if (last !== undefined && last[0] === pn + 1) last[0] = pn;
      else ranges.push([pn, pn]);
    }
    return ack(...ranges.slice(0, 100));
  }

  // --- sending --------------------------------------------------------------------------------------------------------

  /** One packet with these frames, in a datagram of its own. */
  send(level: Level, ...frames: Uint8Array[]): void {
    this.arena.send(this, this.packet(level, frames));
  }

  /** These packets in one datagram. */
  sendPackets(...packets: Uint8Array[]): void {
    this.arena.send(this, bytes(...packets));
  }

  /** A sealed packet. An Initial of a client is padded to 1200 bytes unless `padTo` says otherwise. */
  packet(level: Level, frames: readonly Uint8Array[], options: PacketOptions = {}): Uint8Array {
    const space = SPACE_OF[level];
    const pn = options.pn ?? this.nextPn[space]++;
    const pnBytes = options.pnBytes ?? 4;
    const isLong = level !== LEVEL_APP;
    const padTo = options.padTo ?? (level === LEVEL_INITIAL && !this.isServer ? 1200 : 0);
    const start = this.headerStart(level, pnBytes, options);
    let payload = bytes(...frames);
    const rest = isLong ? 2 : 0;
    const size = start.length + rest + pnBytes + payload.length + aead.TAG_BYTES;
    const missing = Math.max(padTo - size, 4 - pnBytes - payload.length); // RFC 9001 §5.4.2: room for a sample
    if (missing > 0) payload = bytes(payload, padding(missing));
    const length = pnBytes + payload.length + aead.TAG_BYTES + (options.lengthDelta ?? 0);
    const packet = bytes(
      start,
      isLong ? vi(length, 2) : [],
      ...Array.from({ length: pnBytes }, (_, i) => Math.floor(pn / 256 ** (pnBytes - 1 - i)) & 255),
      payload,
      new Uint8Array(aead.TAG_BYTES),
    );
    this.seal(packet, start.length + rest, pnBytes, level, pn, options.generation ?? 0);
    if (options.forged === true) packet[packet.length - 1] ^= 0x55;
    return packet;
  }

  private headerStart(level: Level, pnBytes: number, options: PacketOptions): Uint8Array {
    const dcid = options.dcid ?? this.dcid;
    const flips = options.firstByte ?? 0;
    if (level === LEVEL_APP) {
      const phase = ((options.generation ?? 0) & 1) << 2;
      return bytes((0x40 | phase | (pnBytes - 1)) ^ flips, dcid);
    }
    const scid = options.scid ?? this.scid;
    const token = options.token ?? (this.isServer ? NONE : this.token);
    const version = options.version ?? VERSION;
    return bytes(
      (0xc0 | (LEVEL_TYPE[level] << 4) | (pnBytes - 1)) ^ flips,
      [version >>> 24, (version >>> 16) & 255, (version >>> 8) & 255, version & 255],
      dcid.length,
      dcid,
      scid.length,
      scid,
      level === LEVEL_INITIAL ? bytes(vi(token.length), token) : NONE,
    );
  }

  private seal(buf: Uint8Array, pnOff: number, pnBytes: number, level: Level, pn: number, generation: number): void {
    const secret = this.writes[level === LEVEL_EARLY ? LEVEL_INITIAL : level];
    assert.ok(secret !== undefined, `no keys to write level ${level}`);
    const rows = new Int32Array(aead.SEAL_COLS);
    rows[aead.SEAL_PN_OFF] = pnOff;
    rows[aead.SEAL_PN_LEN] = pnBytes;
    rows[aead.SEAL_END] = buf.length - aead.TAG_BYTES;
    rows[aead.SEAL_PN_LO] = pn | 0;
    rows[aead.SEAL_PN_HI] = Math.floor(pn / 2 ** 32);
    this.withKeys(secret, generation, (key, hp) => {
      rows[aead.SEAL_KEY] = key;
      rows[aead.SEAL_HP] = hp;
      assert.equal(this.aead.seal({ buf, rows, count: 1 }), 1);
    });
  }

  // --- receiving ------------------------------------------------------------------------------------------------------

  receive(datagram: Uint8Array): void {
    this.datagrams.push(datagram);
    this.receivePackets(datagram.slice());
  }

  private receivePackets(datagram: Uint8Array): void {
    const header = new PacketHeader();
    for (let at = 0; at < datagram.length; at = header.end) {
      const drop = parseHeader(datagram, at, datagram.length, this.scid.length, header);
      const whole = datagram.slice(at, header.end);
      if (header.type === PACKET_RETRY) this.retries.push(whole);
      else if (header.type === PACKET_VERSION_NEGOTIATION) this.versionNegotiations.push(whole);
      else if (drop !== 0) this.unread.push(whole);
      else this.receivePacket(datagram, header, whole);
    }
  }

  private receivePacket(buf: Uint8Array, header: PacketHeader, whole: Uint8Array): void {
    const level =
      header.type === PACKET_SHORT ? LEVEL_APP : header.type === PACKET_INITIAL ? LEVEL_INITIAL : header.type;
    if (this.isServer && !this.knowsPeer && level === LEVEL_INITIAL) {
      this.keyDcid = buf.slice(header.dcidStart, header.dcidStart + header.dcidLength);
      this.installInitial(this.keyDcid);
    }
    const secret = this.reads[level];
    if (secret === undefined) {
      this.unopened.push(whole);
      return;
    }
    const packet = this.open(buf, header, level as Level, secret);
    if (packet === null) {
      this.unread.push(whole);
      return;
    }
    if (!this.knowsPeer && header.isLong) {
      this.knowsPeer = true;
      this.dcid = buf.slice(header.scidStart, header.scidStart + header.scidLength);
    }
    this.packets.push(packet);
    for (const line of packet.frames) if (line.startsWith("CRYPTO")) this.onCrypto(packet.level, line);
  }

  private open(buf: Uint8Array, header: PacketHeader, level: Level, secret: Secret): ReadPacket | null {
    for (let generation = 0; generation < (level === LEVEL_APP ? 4 : 1); generation++) {
      const copy = buf.slice();
      const rows = new Int32Array(aead.OPEN_COLS);
      rows[aead.OPEN_OFF] = header.start;
      rows[aead.OPEN_PN_OFF] = header.pnOffset;
      rows[aead.OPEN_END] = header.end;
      const space = SPACE_OF[level];
      let pn = 0;
      this.withKeys(secret, generation, (key, hp) => {
        rows[aead.OPEN_KEY] = key;
        rows[aead.OPEN_HP] = hp;
        const batch = { buf: copy, rows, count: 1 };
        this.aead.unmask(batch);
        pn = decodePn(rows[aead.OPEN_PN_LO], rows[aead.OPEN_PN_LEN], this.largest[space]);
        rows[aead.OPEN_PN_LO] = pn | 0;
        this.aead.open(batch);
      });
      if (rows[aead.OPEN_STATUS] !== aead.OPEN_OK) continue;
      this.largest[space] = Math.max(this.largest[space], pn);
      const recorder = new FrameRecorder();
      const decoder = new FrameDecoder();
      const start = header.pnOffset + rows[aead.OPEN_PN_LEN];
      assert.ok(decoder.decode(level, copy, start, header.end - aead.TAG_BYTES, recorder), decoder.errorReason);
      return { level, pn, frames: recorder.lines, keyPhase: (copy[header.start] >> 2) & 1 };
    }
    return null;
  }

  private onCrypto(level: Level, line: string): void {
    const [, offset, hex = ""] = line.split(" ");
    this.cryptoHeld[level].set(Number(offset), Buffer.from(hex, "hex"));
    for (;;) {
      const next = this.cryptoHeld[level].get(this.cryptoRead[level]);
      if (next === undefined || next.length === 0) return;
      this.cryptoRead[level] += next.length;
      if (this.isServer) this.openSession ??= this.session();
      this.openSession?.put(level, next);
      this.pumpTls();
    }
  }

  // --- what was read --------------------------------------------------------------------------------------------------

  /** All frames of a level, in order. */
  lines(level: Level): string[] {
    return this.packets.filter((packet) => packet.level === level).flatMap((packet) => packet.frames);
  }

  /** Every CONNECTION_CLOSE that could be read. */
  get closes(): ReadClose[] {
    return this.packets.flatMap(({ level, frames }) =>
      frames
        .filter((line) => line.startsWith("CONNECTION_CLOSE"))
        .map((line) => {
          const words = line.split(" ");
          const isApplication = words[1] === "application";
          const code = Number(words[isApplication ? 2 : 3]);
          return { level, isApplication, code, frameType: isApplication ? 0 : Number(words[2]) };
        }),
    );
  }

  /** The transport error that the endpoint closed with, or -1. */
  get closeCode(): number {
    const transport = this.closes.find((close) => !close.isApplication);
    return transport?.code ?? -1;
  }

  forget(): void {
    this.packets = [];
    this.datagrams = [];
    this.unread = [];
  }

  // --- keys -----------------------------------------------------------------------------------------------------------

  installInitial(dcid: Uint8Array): void {
    const { client, server } = initialSecrets(VERSION, dcid, this.aead);
    this.reads[LEVEL_INITIAL] = { aeadId: aead.AEAD_AES_128_GCM, secret: this.isServer ? client : server };
    this.writes[LEVEL_INITIAL] = { aeadId: aead.AEAD_AES_128_GCM, secret: this.isServer ? server : client };
  }

  /** Whether this side has keys to write at `level`. */
  canWrite(level: Level): boolean {
    return this.writes[level] !== undefined;
  }

  private withKeys(from: Secret, generation: number, use: (key: number, hp: number) => void): void {
    const hp = this.aead.newHeaderKey(from.aeadId, headerKey(VERSION, from.aeadId, from.secret, this.aead));
    let { secret } = from;
    for (let i = 0; i < generation; i++) secret = nextSecret(VERSION, from.aeadId, secret, this.aead);
    const keys = phaseKeys(VERSION, from.aeadId, secret, this.aead);
    const key = this.aead.newKey(from.aeadId, keys.key, keys.iv);
    use(key, hp);
    this.aead.freeKey(key);
    this.aead.freeHeaderKey(hp);
  }

  private transportParams(): Uint8Array {
    const params = defaultParams();
    params.initialScid = this.scid;
    params.initialMaxData = 1 << 24;
    params.initialMaxStreamDataBidiLocal = 1 << 20;
    params.initialMaxStreamDataBidiRemote = 1 << 20;
    params.initialMaxStreamDataUni = 1 << 20;
    params.initialMaxStreamsBidi = 100;
    params.initialMaxStreamsUni = 100;
    params.activeConnectionIdLimit = 8;
    if (this.isServer) params.originalDcid = this.keyDcid;
    return this.options.params?.(params) ?? encodeParams(params, this.isServer);
  }
}

function randomId(arena: Arena): Uint8Array {
  const id = new Uint8Array(8);
  arena.random.fill(id, 0, 8);
  return id;
}

/** A peer that only does what is right, on the same endpoint: after each attack it must still be served. */
export class Bystander {
  readonly peer: RawPeer;
  private nextStream = 0;

  constructor(readonly arena: Arena) {
    this.peer = new RawPeer(arena).connect();
  }

  /** A request arrives at the application and is acknowledged. */
  assertServed(): void {
    const { arena, peer } = this;
    const conn = arena.conns.find((candidate) => candidate.path.addr[ADDR_PORT] === peer.address[ADDR_PORT]);
    assert.ok(conn !== undefined);
    const id = 4 * this.nextStream++;
    peer.forget();
    peer.send(LEVEL_APP, bytes(0x0b, vi(id), vi(3), [1, 2, 3]));
    const got = new Uint8Array(8);
    assert.equal(conn.read(id, got, 0, 8), 3, "the bystander's data arrives");
    arena.advance(30_000);
    assert.ok(
      peer.lines(LEVEL_APP).some((line) => line.startsWith("ACK")),
      "the bystander is acknowledged",
    );
    peer.ackAll(LEVEL_APP);
  }
}

export { LEVEL_APP, LEVEL_EARLY, LEVEL_HANDSHAKE, LEVEL_INITIAL };
