/**
 * Packet protection of RFC 9001 §5 and RFC 9369 §3.3 on node:crypto, AES-128-GCM and SHA-256 only. Part of the raw peer:
 * nothing here comes from the engine, so that an error in the one cannot hide an error in the other.
 */

import { createCipheriv, createDecipheriv, createHmac } from "node:crypto";

export const V1 = 1;
export const V2 = 0x6b3343cf;
export const TAG_BYTES = 16;
const HASH_BYTES = 32;
const SAMPLE_BYTES = 16;

interface VersionConstants {
  salt: Buffer;
  prefix: string;
  retryKey: Buffer;
  retryNonce: Buffer;
}

const hex = (text: string): Buffer => Buffer.from(text, "hex");

const CONSTANTS: Record<number, VersionConstants> = {
  [V1]: {
    salt: hex("38762cf7f55934b34d179ae6a4c80cadccbb7f0a"),
    prefix: "quic",
    retryKey: hex("be0c690b9f66575a1d766b54e368c84e"),
    retryNonce: hex("461599d35d632bf2239825bb"),
  },
  [V2]: {
    salt: hex("0dede3def700a6db819381be6e269dcbf9bd2ed9"),
    prefix: "quicv2",
    retryKey: hex("8fb4b01b56ac48e260fbcbcead7ccc92"),
    retryNonce: hex("d86969bc2d7c6d9990efb04a"),
  },
};

/** Other versions are protected as version 1: what they look like inside is nobody's business. */
function constants(version: number): VersionConstants {
  return (CONSTANTS[version] ?? CONSTANTS[V1]) as VersionConstants;
}

export function hmac(key: Uint8Array, data: Uint8Array): Buffer {
  return createHmac("sha256", key).update(data).digest();
}

export function hkdfExtract(salt: Uint8Array, ikm: Uint8Array): Buffer {
  return hmac(salt, ikm);
}

/** HKDF-Expand-Label of RFC 8446 §7.1; `label` without its prefix. */
export function expandLabel(secret: Uint8Array, label: string, context: Uint8Array, bytes: number): Buffer {
  const name = Buffer.from(`tls13 ${label}`);
  const info = Buffer.concat([
    Buffer.of(bytes >> 8, bytes & 255, name.length),
    name,
    Buffer.of(context.length),
    context,
  ]);
  let block: Buffer = Buffer.alloc(0);
  let out: Buffer = Buffer.alloc(0);
  for (let i = 1; out.length < bytes; i++) {
    block = hmac(secret, Buffer.concat([block, info, Buffer.of(i)]));
    out = Buffer.concat([out, block]);
  }
  return out.subarray(0, bytes);
}

/** Keys of one direction at one level. */
export interface Keys {
  version: number;
  secret: Buffer;
  key: Buffer;
  iv: Buffer;
  hp: Buffer;
}

const NONE = Buffer.alloc(0);

export function keysFrom(version: number, secret: Buffer): Keys {
  const { prefix } = constants(version);
  return {
    version,
    secret,
    key: expandLabel(secret, `${prefix} key`, NONE, 16),
    iv: expandLabel(secret, `${prefix} iv`, NONE, 12),
    hp: expandLabel(secret, `${prefix} hp`, NONE, 16),
  };
}

/** Keys after `count` key updates (RFC 9001 §6.1): the header protection key stays. */
export function updatedKeys(keys: Keys, count: number): Keys {
  let list = generations.get(keys);
  if (list === undefined) generations.set(keys, (list = [keys]));
  const { prefix } = constants(keys.version);
  while (list.length <= count) {
    const { secret } = list[list.length - 1] as Keys;
    const next = keysFrom(keys.version, expandLabel(secret, `${prefix} ku`, NONE, HASH_BYTES));
    list.push({ ...next, hp: keys.hp });
  }
  return list[count] as Keys;
}

const generations = new WeakMap<Keys, Keys[]>();

export function initialKeys(version: number, dcid: Uint8Array): { client: Keys; server: Keys } {
  const secret = hkdfExtract(constants(version).salt, dcid);
  const side = (label: string): Keys => keysFrom(version, expandLabel(secret, label, NONE, HASH_BYTES));
  return { client: side("client in"), server: side("server in") };
}

function nonce(iv: Buffer, pn: number): Buffer {
  const out = Buffer.from(iv);
  let rest = BigInt(pn);
  for (let i = out.length - 1; i >= 4; i--, rest >>= 8n) out[i] = (out[i] as number) ^ Number(rest & 255n);
  return out;
}

function mask(hp: Buffer, sample: Uint8Array): Buffer {
  return createCipheriv("aes-128-ecb", hp, null).update(sample);
}

/** `header` ends with the packet number of `pnBytes` bytes; returns the protected packet. */
export function seal(keys: Keys, header: Uint8Array, pnBytes: number, pn: number, payload: Uint8Array): Buffer {
  const cipher = createCipheriv("aes-128-gcm", keys.key, nonce(keys.iv, pn));
  cipher.setAAD(header);
  const packet = Buffer.concat([header, cipher.update(payload), cipher.final(), cipher.getAuthTag()]);
  const pnOffset = header.length - pnBytes;
  const bits = mask(keys.hp, packet.subarray(pnOffset + 4, pnOffset + 4 + SAMPLE_BYTES));
  packet[0] = (packet[0] as number) ^ ((bits[0] as number) & ((packet[0] as number) & 0x80 ? 0x0f : 0x1f));
  for (let i = 0; i < pnBytes; i++) packet[pnOffset + i] = (packet[pnOffset + i] as number) ^ (bits[i + 1] as number);
  return packet;
}

export interface Opened {
  pn: number;
  firstByte: number;
  payload: Buffer;
}

/** Opens one packet that ends where `packet` ends; null when the tag does not match. `keys` may be a choice by phase. */
export function open(
  keys: (phase: number) => Keys[],
  hp: Buffer,
  packet: Uint8Array,
  pnOffset: number,
  largest: number,
): Opened | null {
  if (packet.length < pnOffset + 4 + SAMPLE_BYTES) return null;
  const copy = Buffer.from(packet);
  const bits = mask(hp, copy.subarray(pnOffset + 4, pnOffset + 4 + SAMPLE_BYTES));
  const firstByte = (copy[0] as number) ^ ((bits[0] as number) & ((copy[0] as number) & 0x80 ? 0x0f : 0x1f));
  copy[0] = firstByte;
  const pnBytes = (firstByte & 3) + 1;
  for (let i = 0; i < pnBytes; i++) copy[pnOffset + i] = (copy[pnOffset + i] as number) ^ (bits[i + 1] as number);
  const pn = decodePn(copy.readUIntBE(pnOffset, pnBytes), pnBytes, largest);
  const start = pnOffset + pnBytes;
  for (const candidate of keys((firstByte >> 2) & 1)) {
    const decipher = createDecipheriv("aes-128-gcm", candidate.key, nonce(candidate.iv, pn));
    decipher.setAAD(copy.subarray(0, start));
    decipher.setAuthTag(copy.subarray(copy.length - TAG_BYTES));
    const payload = decipher.update(copy.subarray(start, copy.length - TAG_BYTES));
    try {
      decipher.final();
    } catch {
      continue;
    }
    return { pn, firstByte, payload };
  }
  return null;
}

/** RFC 9000 A.3. */
function decodePn(truncated: number, bytes: number, largest: number): number {
  const expected = largest + 1;
  const window = 256 ** bytes;
  const candidate = expected - (expected % window) + truncated;
  if (candidate + window / 2 <= expected) return candidate + window;
  return candidate > expected + window / 2 && candidate >= window ? candidate - window : candidate;
}

/** The tag of a Retry packet (RFC 9001 §5.8). `retry` is the packet without it. */
export function retryTag(version: number, origDcid: Uint8Array, retry: Uint8Array): Buffer {
  const { retryKey, retryNonce } = constants(version);
  const cipher = createCipheriv("aes-128-gcm", retryKey, retryNonce);
  cipher.setAAD(Buffer.concat([Buffer.of(origDcid.length), origDcid, retry]));
  cipher.final();
  return cipher.getAuthTag();
}
