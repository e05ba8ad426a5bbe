/**
 * What a server hands out to recognise later without remembering it: address validation tokens (RFC 9000 §8.1) and
 * stateless reset tokens (RFC 9000 §10.3.2). All keys come from one secret, so that servers that share it understand
 * each other.
 *
 *   token = kind (1) · epoch (1) · nonce (12)
 *           · AEAD(issued seconds (4) · version (4) [· odcid length (1) · odcid · scid length (1) · scid])
 *
 * Keys of tokens change each TOKEN_KEY_SECONDS; tokens of the epoch before are still taken, and of the next one, which a
 * server whose clock is ahead may have begun. The key of reset tokens stays: they are for connections of any age.
 *
 * Invariants: the kind and the client's address are authenticated with the token: IP address and port of a Retry token,
 * the IP address of a NEW_TOKEN token, which must work from another port. Either counts in the QUIC version that it was
 * made in only (RFC 9369 §4.1, §5). A NEW_TOKEN token is taken once. What does
 * not authenticate costs one AEAD operation and leaves nothing behind.
 */

import { concatBytes, Reader, u32At, Writer } from "../base/bytes.js";
import { AEAD_AES_128_GCM, aeadKeyBytes, expandSpec, HASH_SHA256, TAG_BYTES } from "../port/aead.js";
import type { AeadPort } from "../port/aead.js";
import type { Random } from "../port/random.js";
import { ADDR_COLS, ADDR_IP0, ADDR_PORT } from "../port/udp.js";
import {
  MAX_TOKEN_BYTES,
  MAX_USED_TOKENS,
  NEW_TOKEN_SECONDS,
  RETRY_TOKEN_SECONDS,
  TOKEN_KEY_SECONDS,
} from "../proto/limits.js";
import { RESET_TOKEN_BYTES } from "../proto/params.js";
import { expandLabel } from "./schedule.js";

/** Length of an address key: the IPv6 form of the address, then the port. */
export const ADDRESS_KEY_BYTES = 18;

const IP_BYTES = 16;
const KIND_RETRY = 0x52;
const KIND_NEW = 0x4e;
const NONCE_BYTES = 12;
const NONCE_AT = 2;
const HEAD_BYTES = NONCE_AT + NONCE_BYTES;
const MIN_TOKEN_BYTES = HEAD_BYTES + 8 + TAG_BYTES;
const WORD = 2 ** 32;

/** What a valid token says. */
export type OpenedToken =
  | {
      kind: "retry";
      /** Destination Connection ID of the client's first Initial. */
      odcid: Uint8Array;
      /** Source Connection ID of the Retry packet: what this Initial must be sent to (RFC 9000 §7.3). */
      retryScid: Uint8Array;
    }
  | { kind: "new" }
  /** A Retry token, good but for another version of QUIC. */
  | { kind: "other-version" };

/** Before, now and next. */
const KEPT_EPOCHS = 3;

interface EpochKeys {
  readonly epoch: number;
  readonly retry: Uint8Array;
  readonly new: Uint8Array;
}

function epochOf(nowSeconds: number): number {
  return Math.floor(nowSeconds / TOKEN_KEY_SECONDS);
}

export class TokenKeys {
  private readonly aead: AeadPort;
  private readonly random: Random;
  private readonly base: Uint8Array;
  /** Of the epochs that were asked for last. */
  private keys: EpochKeys[] = [];
  private readonly resetKey: Uint8Array;
  private readonly used = new UsedTokens(MAX_USED_TOKENS);
  private readonly retrySeconds: number;
  private readonly newSeconds: number;

  /** `secret`: 32 unpredictable bytes or more. Tokens expire after so many seconds, TOKEN_KEY_SECONDS at most. */
  constructor(
    aead: AeadPort,
    random: Random,
    secret: Uint8Array,
    retrySeconds: number = RETRY_TOKEN_SECONDS,
    newSeconds: number = NEW_TOKEN_SECONDS,
  ) {
    this.retrySeconds = retrySeconds;
    this.newSeconds = newSeconds;
    this.aead = aead;
    this.random = random;
    this.base = aead.hkdfExtract(HASH_SHA256, new Uint8Array(0), secret);
    this.resetKey = expandLabel(HASH_SHA256, this.base, "netquic reset", 32, aead);
  }

  /** Token for a Retry packet; `addressKey` is from {@link addressKey}. `nowSeconds` is wall clock time. */
  sealRetryToken(
    odcid: Uint8Array,
    retryScid: Uint8Array,
    version: number,
    addressKey: Uint8Array,
    nowSeconds: number,
  ): Uint8Array {
    const plain = new Writer(52);
    plain.u32(nowSeconds);
    plain.u32(version);
    plain.u8(odcid.length);
    plain.bytes(odcid);
    plain.u8(retryScid.length);
    plain.bytes(retryScid);
    return this.seal(KIND_RETRY, nowSeconds, addressKey, plain.finish());
  }

  /** Token for a NEW_TOKEN frame; differs each time (RFC 9000 §8.1.3). */
  sealNewToken(version: number, addressKey: Uint8Array, nowSeconds: number): Uint8Array {
    const plain = new Writer(8);
    plain.u32(nowSeconds);
    plain.u32(version);
    return this.seal(KIND_NEW, nowSeconds, addressKey.subarray(0, IP_BYTES), plain.finish());
  }

  /**
   * What the token of an Initial of this version and address proves, or null: forged, cut, expired, of another address,
   * or a NEW_TOKEN token that was used before. Null with {@link isRetryToken} means INVALID_TOKEN (RFC 9000 §8.1.2), else
   * that the address is not validated (RFC 9000 §8.1.3).
   */
  open(token: Uint8Array, version: number, addressKey: Uint8Array, nowSeconds: number): OpenedToken | null {
    if (token.length < MIN_TOKEN_BYTES || token.length > MAX_TOKEN_BYTES) return null;
    const isRetry = token[0] === KIND_RETRY;
    if (!isRetry && token[0] !== KIND_NEW) return null;
    const keys = this.keysOf(token[1], nowSeconds);
    if (keys === null) return null;
    const aad = concatBytes(token.subarray(0, NONCE_AT), isRetry ? addressKey : addressKey.subarray(0, IP_BYTES));
    const nonce = token.subarray(NONCE_AT, HEAD_BYTES);
    const key = isRetry ? keys.retry : keys.new;
    const plain = this.aead.openOnce(AEAD_AES_128_GCM, key, nonce, aad, token.subarray(HEAD_BYTES));
    if (plain === null) return null;

    const reader = new Reader();
    reader.reset(plain, 0, plain.length);
    const issuedSeconds = reader.u32();
    // A wall clock that was set back must not end service: as far off in the future is as good as in the past.
    const lifeSeconds = isRetry ? this.retrySeconds : this.newSeconds;
    if (Math.abs(nowSeconds - issuedSeconds) > lifeSeconds) return null;
    if (reader.u32() !== version) return isRetry ? { kind: "other-version" } : null;
    if (!isRetry) return this.used.take(nonce, issuedSeconds) ? { kind: "new" } : null;
    const odcid = reader.take(reader.u8());
    const retryScid = reader.take(reader.u8());
    return reader.ok ? { kind: "retry", odcid, retryScid } : null;
  }

  /** Whether the token looks as if it came in a Retry packet of ours, valid or not (RFC 9000 §8.1.1). */
  isRetryToken(token: Uint8Array): boolean {
    return token.length >= MIN_TOKEN_BYTES && token[0] === KIND_RETRY;
  }

  /** Stateless reset token of a connection id of ours: a keyed hash of it (RFC 9000 §10.3.2). */
  resetToken(cid: Uint8Array): Uint8Array {
    return this.aead.hkdfExpandAll(HASH_SHA256, this.resetKey, expandSpec(cid, RESET_TOKEN_BYTES));
  }

  private seal(kind: number, nowSeconds: number, address: Uint8Array, plain: Uint8Array): Uint8Array {
    const keys = this.epochKeys(epochOf(nowSeconds));
    const head = new Uint8Array(HEAD_BYTES);
    head[0] = kind;
    head[1] = keys.epoch;
    this.random.fill(head, NONCE_AT, HEAD_BYTES);
    const aad = concatBytes(head.subarray(0, NONCE_AT), address);
    const key = kind === KIND_RETRY ? keys.retry : keys.new;
    return concatBytes(head, this.aead.sealOnce(AEAD_AES_128_GCM, key, head.subarray(NONCE_AT), aad, plain));
  }

  /** The keys of the epoch that ends in this byte, if it is now, before or next; else null. */
  private keysOf(lowByte: number, nowSeconds: number): EpochKeys | null {
    const now = epochOf(nowSeconds);
    for (let epoch = now - 1; epoch <= now + 1; epoch++) if ((epoch & 0xff) === lowByte) return this.epochKeys(epoch);
    return null;
  }

  private epochKeys(epoch: number): EpochKeys {
    const known = this.keys.find((each) => each.epoch === epoch);
    if (known !== undefined) return known;
    const derive = (label: string): Uint8Array =>
      expandLabel(HASH_SHA256, this.base, `${label} ${epoch}`, aeadKeyBytes(AEAD_AES_128_GCM), this.aead);
    const made = { epoch, retry: derive("netquic retry"), new: derive("netquic new token") };
    this.keys = [made, ...this.keys.slice(0, KEPT_EPOCHS - 1)];
    return made;
  }
}

/** The bytes of the peer address in row `row` of a table of port/udp, that tokens are bound to. */
export function addressKey(addrs: Int32Array, row: number): Uint8Array {
  const at = row * ADDR_COLS;
  const key = new Writer(ADDRESS_KEY_BYTES);
  for (let word = 0; word < IP_BYTES / 4; word++) key.u32(addrs[at + ADDR_IP0 + word]);
  key.u16(addrs[at + ADDR_PORT]);
  return key.finish();
}

/**
 * Nonces of NEW_TOKEN tokens that were taken, in two generations. When the newer one is full the older one is forgotten,
 * and with it every token issued before the last that it knew: a token may be refused for that, but none is taken twice.
 */
class UsedTokens {
  private young = new Set<number>();
  private old = new Set<number>();
  private youngIssued = -1;
  private oldIssued = -1;
  /** Tokens issued up to here are refused. */
  private refusedToSeconds = -1;
  private readonly perGeneration: number;

  constructor(maxTokens: number) {
    this.perGeneration = maxTokens / 2;
  }

  /** True when the token was not used before; it is from now on. */
  take(nonce: Uint8Array, issuedSeconds: number): boolean {
    if (issuedSeconds <= this.refusedToSeconds) return false;
    // 53 bits of a random nonce: two tokens in the set that share them are one chance in 10^8.
    const id = u32At(nonce, 0) + (u32At(nonce, 4) >>> 11) * WORD;
    if (this.young.has(id) || this.old.has(id)) return false;
    if (this.young.size >= this.perGeneration) {
      this.refusedToSeconds = Math.max(this.refusedToSeconds, this.oldIssued);
      this.old = this.young;
      this.oldIssued = this.youngIssued;
      this.young = new Set();
      this.youngIssued = -1;
    }
    this.young.add(id);
    this.youngIssued = Math.max(this.youngIssued, issuedSeconds);
    return true;
  }
}
