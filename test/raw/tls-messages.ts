/** TLS 1.3 handshake messages as bytes, and the key schedule (RFC 8446 §4, §7.1), for the raw client and server. */

import { createECDH, createHash, createPublicKey, diffieHellman, generateKeyPairSync } from "node:crypto";
import { expandLabel, hkdfExtract, hmac } from "./protection.js";

export const INITIAL = 0;
export const EARLY = 1;
export const HANDSHAKE = 2;
export const APP = 3;

export const CLIENT_HELLO = 1;
export const SERVER_HELLO = 2;
export const NEW_SESSION_TICKET = 4;
export const ENCRYPTED_EXTENSIONS = 8;
export const CERTIFICATE = 11;
export const CERTIFICATE_REQUEST = 13;
export const CERTIFICATE_VERIFY = 15;
export const FINISHED = 20;

export const EXT_SERVER_NAME = 0;
export const EXT_SUPPORTED_GROUPS = 10;
export const EXT_SIGNATURE_ALGORITHMS = 13;
export const EXT_ALPN = 16;
export const EXT_PRE_SHARED_KEY = 41;
export const EXT_EARLY_DATA = 42;
export const EXT_SUPPORTED_VERSIONS = 43;
export const EXT_PSK_MODES = 45;
export const EXT_KEY_SHARE = 51;
export const EXT_QUIC_PARAMS = 0x39;

export const AES_128_GCM_SHA256 = 0x1301;
export const GROUP_P256 = 23;
export const GROUP_X25519 = 29;
export const ECDSA_P256_SHA256 = 0x0403;
/** RFC 9001 §4.6.1. */
export const MAX_EARLY_DATA = 0xffffffff;

export type Extension = [type: number, body: Buffer];

export const u8 = (value: number): Buffer => Buffer.of(value);
export const u16 = (value: number): Buffer => Buffer.of(value >> 8, value & 255);
export const u24 = (value: number): Buffer => Buffer.of(value >> 16, (value >> 8) & 255, value & 255);
export const u32 = (value: number): Buffer => {
  const out = Buffer.alloc(4);
  out.writeUInt32BE(value);
  return out;
};
/** A vector with its length in 1, 2 or 3 bytes before it. */
export function vec(lengthBytes: 1 | 2 | 3, ...parts: Uint8Array[]): Buffer {
  const body = Buffer.concat(parts);
  const length = lengthBytes === 1 ? u8(body.length) : lengthBytes === 2 ? u16(body.length) : u24(body.length);
  return Buffer.concat([length, body]);
}

export function message(type: number, ...parts: Uint8Array[]): Buffer {
  return Buffer.concat([u8(type), vec(3, ...parts)]);
}

export function extensionList(extensions: readonly Extension[]): Buffer {
  return vec(2, ...extensions.map(([type, body]) => Buffer.concat([u16(type), vec(2, body)])));
}

/** Reads vectors and integers from the front. */
export class Reader {
  at = 0;
  constructor(readonly buf: Buffer) {}

  get left(): number {
    return this.buf.length - this.at;
  }

  int(bytes: 1 | 2 | 3 | 4): number {
    const value = this.buf.readUIntBE(this.at, bytes);
    this.at += bytes;
    return value;
  }

  take(count: number): Buffer {
    if (count > this.left) throw new Error("a TLS message is cut");
    this.at += count;
    return this.buf.subarray(this.at - count, this.at);
  }

  vec(lengthBytes: 1 | 2 | 3): Buffer {
    return this.take(this.int(lengthBytes));
  }

  extensions(): Map<number, Buffer> {
    const inner = new Reader(this.vec(2));
    const out = new Map<number, Buffer>();
    while (inner.left > 0) out.set(inner.int(2), inner.vec(2));
    return out;
  }
}

/** Splits a CRYPTO stream into messages. */
export class MessageBuffer {
  private held: Buffer = Buffer.alloc(0);

  put(bytes: Uint8Array): Buffer[] {
    this.held = Buffer.concat([this.held, bytes]);
    const out: Buffer[] = [];
    while (this.held.length >= 4) {
      const end = 4 + this.held.readUIntBE(1, 3);
      if (this.held.length < end) break;
      out.push(this.held.subarray(0, end));
      this.held = this.held.subarray(end);
    }
    return out;
  }
}

/** One ephemeral key, in a group. */
export interface KeyShare {
  group: number;
  publicBytes: Buffer;
  shared(peer: Buffer): Buffer;
}

export function newKeyShare(group: number): KeyShare {
  if (group === GROUP_P256) {
    const ecdh = createECDH("prime256v1");
    return { group, publicBytes: ecdh.generateKeys(), shared: (peer) => ecdh.computeSecret(peer) };
  }
  const { privateKey, publicKey } = generateKeyPairSync("x25519");
  const publicBytes = Buffer.from(publicKey.export({ format: "jwk" }).x as string, "base64url");
  const shared = (peer: Buffer): Buffer => {
    const key = { kty: "OKP", crv: "X25519", x: peer.toString("base64url") };
    return diffieHellman({ privateKey, publicKey: createPublicKey({ key, format: "jwk" }) });
  };
  return { group, publicBytes, shared };
}

const NONE = Buffer.alloc(0);
const ZEROS = Buffer.alloc(32);

function sha256(...parts: Uint8Array[]): Buffer {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(part);
  return hash.digest();
}

/** Transcript and secrets of one handshake. */
export class Schedule {
  private readonly messages: Buffer[] = [];
  private early: Buffer;
  private handshake: Buffer = NONE;
  private master: Buffer = NONE;

  constructor(psk: Buffer | null) {
    this.early = hkdfExtract(ZEROS, psk ?? ZEROS);
  }

  add(bytes: Buffer): void {
    this.messages.push(bytes);
  }

  /** The server took no ticket (RFC 8446 §7.1). */
  withoutPsk(): void {
    this.early = hkdfExtract(ZEROS, ZEROS);
  }

  /** Hash of all messages so far, and of `more` after them. */
  hash(...more: Uint8Array[]): Buffer {
    return sha256(...this.messages, ...more);
  }

  private derive(secret: Buffer, label: string, hash: Buffer): Buffer {
    return expandLabel(secret, label, hash, 32);
  }

  onShared(shared: Buffer): void {
    this.handshake = hkdfExtract(this.derive(this.early, "derived", sha256()), shared);
    this.master = hkdfExtract(this.derive(this.handshake, "derived", sha256()), ZEROS);
  }

  earlySecret(): Buffer {
    return this.derive(this.early, "c e traffic", this.hash());
  }

  binder(truncatedHello: Buffer): Buffer {
    const key = this.derive(this.early, "res binder", sha256());
    return hmac(expandLabel(key, "finished", NONE, 32), this.hash(truncatedHello));
  }

  handshakeSecrets(): { client: Buffer; server: Buffer } {
    const hash = this.hash();
    return {
      client: this.derive(this.handshake, "c hs traffic", hash),
      server: this.derive(this.handshake, "s hs traffic", hash),
    };
  }

  appSecrets(): { client: Buffer; server: Buffer } {
    const hash = this.hash();
    return {
      client: this.derive(this.master, "c ap traffic", hash),
      server: this.derive(this.master, "s ap traffic", hash),
    };
  }

  resumptionSecret(): Buffer {
    return this.derive(this.master, "res master", this.hash());
  }

  verifyData(trafficSecret: Buffer): Buffer {
    return hmac(expandLabel(trafficSecret, "finished", NONE, 32), this.hash());
  }
}

/** What a session is resumed with. */
export interface RawTicket {
  identity: Buffer;
  psk: Buffer;
  ageAdd: number;
  maxEarlyData: number;
  receivedAtMillis: number;
  alpn: string;
}

export function ticketPsk(resumptionSecret: Buffer, nonce: Buffer): Buffer {
  return expandLabel(resumptionSecret, "resumption", nonce, 32);
}

/** Where a TLS side puts what it makes. `read` and `write` are as seen from that side. */
export interface TlsSink {
  send(level: number, bytes: Buffer): void;
  secret(level: number, direction: "read" | "write", secret: Buffer): void;
}

/** Content that CertificateVerify signs (RFC 8446 §4.4.3). */
export function verifyContent(side: "server" | "client", hash: Buffer): Buffer {
  return Buffer.concat([Buffer.alloc(64, 0x20), Buffer.from(`TLS 1.3, ${side} CertificateVerify\0`), hash]);
}
