/**
 * For the tests of the offload: packet protection once more, straight on node:crypto and nothing of ours (RFC 9001 §5.3,
 * §5.4); a UDP provider in memory; flows with keys made from a seed.
 */

import { type CipherCCMTypes, type CipherGCMTypes, createCipheriv, createHash } from "node:crypto";
import { aeadKeyBytes, type AeadPort } from "../../port/aead.js";
import {
  ADDR_COLS,
  ADDR_PORT,
  RX_COLS,
  RX_ECN,
  RX_LEN,
  RX_OFF,
  RX_SOURCE,
  type RxBatch,
  TX_COLS,
  TX_DEST,
  TX_LEN,
  TX_OFF,
  type TxBatch,
  type UdpHandler,
  type UdpOptions,
  type UdpProvider,
  type UdpSocket,
} from "../../port/udp.js";
import { setAddressRow, wordsToAddress } from "../../runtime/address.js";
import { chooseDatapath } from "../../runtime/choose.js";
import { newUdpStats } from "../../runtime/udp-stats.js";
import { aeadOf, type CipherName } from "./constants.js";
import { newQuicStat } from "./counters.js";
import { KeyRing } from "./key-ring.js";
import { type OffloadCore, OffloadSocket, type OpenOptions } from "./socket.js";

export interface Secrets {
  cipher: CipherName;
  key: Uint8Array;
  iv: Uint8Array;
  headerKey: Uint8Array;
}

/** Keys that differ for each seed; the header key is that of `headerSeed`. */
export function secrets(cipher: CipherName, seed: string, headerSeed = seed): Secrets {
  const bytes = (what: string, length: number): Uint8Array =>
    new Uint8Array(
      createHash("sha512")
        .update(`${what} ${cipher} ${what === "hp" ? headerSeed : seed}`)
        .digest(),
    ).slice(0, length);
  const aead = aeadOf(cipher);
  if (aead === undefined) throw new Error(cipher);
  const keyBytes = aeadKeyBytes(aead);
  return { cipher, key: bytes("key", keyBytes), iv: bytes("iv", 12), headerKey: bytes("hp", keyBytes) };
}

/** A short header packet in plaintext: its payload says which one it is. */
export function plainPacket(cid: Uint8Array, pn: number, bytes: number, keyPhase: 0 | 1 = 0, pnLength = 2): Uint8Array {
  const packet = new Uint8Array(bytes);
  packet[0] = 0x40 | (keyPhase << 2) | (pnLength - 1);
  packet.set(cid, 1);
  for (let i = 0; i < pnLength; i++) packet[1 + cid.length + i] = Math.floor(pn / 2 ** (8 * (pnLength - 1 - i)));
  for (let i = 1 + cid.length + pnLength; i < bytes; i++) packet[i] = (i * 31 + pn * 7) & 0xff;
  return packet;
}

/** The packet as it must stand on the wire. */
export function protect(plain: Uint8Array, cidLength: number, pn: number, own: Secrets): Uint8Array {
  const pnOffset = 1 + cidLength;
  const start = pnOffset + (plain[0] & 0x03) + 1;
  const nonce = Buffer.alloc(12);
  nonce.writeBigUInt64BE(BigInt(pn), 4);
  for (let i = 0; i < 12; i++) nonce[i] ^= own.iv[i];
  const name = own.cipher as CipherCCMTypes & CipherGCMTypes;
  const cipher = createCipheriv(name, own.key, nonce, { authTagLength: 16 });
  cipher.setAAD(plain.subarray(0, start), { plaintextLength: plain.length - start });
  const sealed = [cipher.update(plain.subarray(start)), cipher.final(), cipher.getAuthTag()];
  const wire = new Uint8Array(Buffer.concat([plain.subarray(0, start), ...sealed]));
  const sample = wire.subarray(pnOffset + 4, pnOffset + 20);
  const isChacha = own.cipher === "chacha20-poly1305";
  const mask = isChacha
    ? createCipheriv("chacha20", own.headerKey, sample).update(Buffer.alloc(5))
    : createCipheriv(`aes-${own.headerKey.length * 8}-ecb`, own.headerKey, null).update(sample);
  wire[0] ^= mask[0] & 0x1f;
  for (let i = pnOffset; i < start; i++) wire[i] ^= mask[1 + i - pnOffset];
  return wire;
}

export interface Sent {
  data: Uint8Array;
  address: string;
  port: number;
}

/** A socket in memory: what is sent stands in `sent`, what `arrive` is given arrives at once. */
export class MemoryUdp implements UdpProvider, UdpSocket {
  readonly name = "portable";
  readonly rung = "memory";
  readonly ecn = true;
  readonly stats = newUdpStats();
  readonly sent: Sent[] = [];
  address = "";
  port = 4433;
  family: "IPv4" | "IPv6" = "IPv4";
  /** The next send fills the socket. */
  isFull = false;
  closed = false;
  private handler!: UdpHandler;
  private waiting: Sent[] = [];

  async open(options: UdpOptions, handler: UdpHandler): Promise<UdpSocket> {
    this.handler = handler;
    this.address = options.address;
    this.family = options.address.includes(":") ? "IPv6" : "IPv4";
    return this;
  }

  send(tx: TxBatch): boolean {
    for (let i = 0; i < tx.count; i++) {
      const [off, length, dest] = [TX_OFF, TX_LEN, TX_DEST].map((column) => tx.rows[i * TX_COLS + column]);
      this.sent.push({
        data: tx.buf.slice(off, off + length),
        address: wordsToAddress(tx.dests, dest * ADDR_COLS),
        port: tx.dests[dest * ADDR_COLS + ADDR_PORT],
      });
    }
    return !this.isFull;
  }

  drain(): void {
    this.isFull = false;
    this.handler.onWritable();
  }

  fail(error: Error): void {
    this.handler.onError(error);
  }

  arrive(...datagrams: Sent[]): void {
    this.waiting.push(...datagrams);
    this.handler.onReadable();
  }

  recv(rx: RxBatch): number {
    let at = 0;
    const arrived = this.waiting.splice(0);
    for (const [i, { data, address, port }] of arrived.entries()) {
      at += 64; // apart, as the reads of the native socket are
      rx.buf.set(data, at);
      rx.rows[i * RX_COLS + RX_OFF] = at;
      rx.rows[i * RX_COLS + RX_LEN] = data.length;
      rx.rows[i * RX_COLS + RX_SOURCE] = i;
      rx.rows[i * RX_COLS + RX_ECN] = i & 3;
      setAddressRow(rx.sources, i * ADDR_COLS, address, port);
      at += data.length;
    }
    rx.count = rx.sourceCount = arrived.length;
    return arrived.length;
  }

  ref(): void {}
  unref(): void {}

  close(): void {
    this.closed = true;
  }
}

export interface Bench {
  udp: MemoryUdp;
  core: OffloadCore;
  socket: OffloadSocket;
}

/** A socket on memory with the crypto of this machine and counters of its own; `quic-crypto` is attached. */
export async function newBench(options: OpenOptions = {}, aead: AeadPort = chooseDatapath().aead): Promise<Bench> {
  const udp = new MemoryUdp();
  const core: OffloadCore = { udp, aead, keys: new KeyRing(aead), stat: newQuicStat() };
  const socket = await OffloadSocket.open(core, options);
  socket.attach("quic-crypto");
  return { udp, core, socket };
}
