/**
 * Packet protection and key derivation, as the engine sees them (RFC 9001 §5). The implementations are libraries
 * (OpenSSL in the addon, node:crypto in the portable twin); keys live behind slot numbers and never come back.
 *
 * Invariant that every implementation owns: under one key slot, packet numbers given to `seal` strictly increase.
 * A row that would break this, or that points outside its buffer, is refused and nothing of it is written.
 */

export const AEAD_AES_128_GCM = 1;
export const AEAD_AES_256_GCM = 2;
export const AEAD_CHACHA20_POLY1305 = 3;
export const AEAD_AES_128_CCM = 4;
export type AeadId =
  | typeof AEAD_AES_128_GCM
  | typeof AEAD_AES_256_GCM
  | typeof AEAD_CHACHA20_POLY1305
  | typeof AEAD_AES_128_CCM;

/**
 * For packet keys alone: packets in the clear, neither encrypted nor authenticated, without a tag and without a header mask.
 * Its key is empty; the rule of packet numbers holds all the same. For `disable_1rtt_encryption` (`proto/params`).
 */
export const AEAD_NONE = 0;
export type PacketAead = AeadId | typeof AEAD_NONE;

export const HASH_SHA256 = 1;
export const HASH_SHA384 = 2;
export type HashId = typeof HASH_SHA256 | typeof HASH_SHA384;

/** Length of the authentication tag of every AEAD but AEAD_NONE, in bytes. */
export const TAG_BYTES = 16;
/** Length of the sample that header protection reads, in bytes (RFC 9001 §5.4.2). */
export const SAMPLE_BYTES = 16;

/** What packets under this AEAD are longer than their plaintext, in bytes. */
export function aeadTagBytes(aead: PacketAead): number {
  return aead === AEAD_NONE ? 0 : TAG_BYTES;
}

/** Key length in bytes by AEAD. */
export function aeadKeyBytes(aead: PacketAead): number {
  if (aead === AEAD_NONE) return 0;
  return aead === AEAD_AES_128_GCM || aead === AEAD_AES_128_CCM ? 16 : 32;
}

/** The hash that the cipher suite of this AEAD uses for HKDF. */
export function aeadHash(aead: AeadId): HashId {
  return aead === AEAD_AES_256_GCM ? HASH_SHA384 : HASH_SHA256;
}

/** Columns of one row of a {@link SealBatch}. Offsets are into `buf`. */
export const SEAL_OFF = 0; // first byte of the packet
export const SEAL_PN_OFF = 1; // first byte of the packet number
export const SEAL_PN_LEN = 2; // 1..4; the plaintext starts at SEAL_PN_OFF + SEAL_PN_LEN
export const SEAL_END = 3; // end of the plaintext; the tag, if there is one, is written to [SEAL_END, SEAL_END + 16)
export const SEAL_KEY = 4; // slot from newKey
export const SEAL_HP = 5; // slot from newHeaderKey
export const SEAL_PN_LO = 6; // full packet number, low 32 bits (as int32)
export const SEAL_PN_HI = 7; // and high 32 bits
export const SEAL_COLS = 8;

export interface SealBatch {
  readonly buf: Uint8Array;
  readonly rows: Int32Array;
  /** Rows in use. */
  count: number;
  /** Plaintext that still lies elsewhere; absent or empty = all of it is in `buf`. */
  readonly gather?: GatherTable;
}

/** Columns of one row of a {@link GatherTable}. */
export const GATHER_SOURCE = 0; // index in `sources`
export const GATHER_OFF = 1; // first byte there
export const GATHER_LEN = 2;
export const GATHER_TO = 3; // where it goes in the batch's `buf`
export const GATHER_COLS = 4;
/** Entries of `sources` in one batch at most. */
export const GATHER_MAX_SOURCES = 256;

/**
 * Plaintext that `seal` takes from where it lies, so that stream data moves once, from its send ring into the packet, by
 * being encrypted. Rows stand in ascending order of GATHER_TO and each lies inside the plaintext of one packet.
 */
export interface GatherTable {
  readonly rows: Int32Array;
  count: number;
  readonly sources: readonly Uint8Array[];
}

/**
 * The copies of `batch.gather` in JavaScript, for implementations that have no pass of their own. Returns false when a
 * row points outside its source or the buffer; nothing after it is copied.
 */
export function copyGathered(batch: SealBatch): boolean {
  const { gather, buf } = batch;
  if (gather === undefined) return true;
  for (let row = 0; row < gather.count * GATHER_COLS; row += GATHER_COLS) {
    const source = gather.sources[gather.rows[row + GATHER_SOURCE]];
    const off = gather.rows[row + GATHER_OFF];
    const length = gather.rows[row + GATHER_LEN];
    const to = gather.rows[row + GATHER_TO];
    if (source === undefined || off < 0 || length < 0 || to < 0) return false;
    if (off + length > source.length || to + length > buf.length) return false;
    buf.set(source.subarray(off, off + length), to);
  }
  return true;
}

/** Columns of one row of an {@link OpenBatch}. */
export const OPEN_OFF = 0; // first byte of the packet
export const OPEN_PN_OFF = 1; // first byte of the packet number field
export const OPEN_END = 2; // end of the packet, tag included
export const OPEN_KEY = 3; // slot from newKey; set before `open`
export const OPEN_HP = 4; // slot from newHeaderKey; set before `unmask`
export const OPEN_PN_LEN = 5; // written by `unmask`: 1..4
export const OPEN_PN_LO = 6; // `unmask` writes the truncated packet number; before `open`: the full one, low 32 bits
export const OPEN_PN_HI = 7; // before `open`: high 32 bits
export const OPEN_STATUS = 8; // written by `open` (and by `unmask` for a row it refuses)
export const OPEN_COLS = 10;

export const OPEN_OK = 1;
/** The tag does not match. */
export const OPEN_FORGED = 0;
/** The row points outside the buffer or at a free slot, or is too short to hold a sample. */
export const OPEN_INVALID = -1;

export interface OpenBatch {
  readonly buf: Uint8Array;
  readonly rows: Int32Array;
  count: number;
}

/** One row of the `specs` of `hkdfExpandAll`: the length of an output, the length of its info, the info. */
export function expandSpec(info: Uint8Array, lengthBytes: number): Uint8Array {
  const spec = new Uint8Array(2 + info.length);
  spec[0] = lengthBytes;
  spec[1] = info.length;
  spec.set(info, 2);
  return spec;
}

/** Bytes that `hkdfExpandAll` returns for `specs`. */
export function expandedBytes(specs: Uint8Array): number {
  let total = 0;
  for (let at = 0; at + 1 < specs.length; at += 2 + specs[at + 1]) total += specs[at];
  return total;
}

/** `hkdfExpandAll` for implementations that have no better way. */
export function expandOneByOne(port: AeadPort, hash: HashId, prk: Uint8Array, specs: Uint8Array): Uint8Array {
  const out = new Uint8Array(expandedBytes(specs));
  let to = 0;
  for (let at = 0; at + 1 < specs.length; at += 2 + specs[at + 1]) {
    const info = specs.subarray(at + 2, at + 2 + specs[at + 1]);
    const one = port.hkdfExpand(hash, prk, info, specs[at]);
    out.set(one, to);
    to += one.length;
    one.fill(0);
  }
  return out;
}

/** Columns of one row of a {@link ScatterBatch}. */
export const SCATTER_OFF = 0; // first byte in `buf`
export const SCATTER_LEN = 1;
export const SCATTER_COLS = 2;

/** Pieces of opened packets, to be laid end to end into a ring: what GatherTable is to packets that are sealed. */
export interface ScatterBatch {
  readonly buf: Uint8Array;
  readonly rows: Int32Array;
  /** Rows in use. */
  count: number;
  /** Where they go: from `to` on, and on from its start when its end is reached. */
  readonly ring: Uint8Array;
  readonly to: number;
}

/**
 * `scatter` in JavaScript, for implementations that have no copy of their own. Returns false when a row points outside
 * `buf`, or all together are longer than the ring; nothing after that row is copied.
 */
export function copyScattered(batch: ScatterBatch): boolean {
  const { buf, rows, count, ring } = batch;
  let { to } = batch;
  let room = ring.length;
  if (to < 0 || to >= room || count * SCATTER_COLS > rows.length) return false;
  for (let row = 0; row < count * SCATTER_COLS; row += SCATTER_COLS) {
    const off = rows[row + SCATTER_OFF];
    const length = rows[row + SCATTER_LEN];
    room -= length;
    if (off < 0 || length < 0 || off + length > buf.length || room < 0) return false;
    const first = Math.min(length, ring.length - to);
    ring.set(buf.subarray(off, off + first), to);
    if (first < length) ring.set(buf.subarray(off + first, off + length), 0);
    to = first < length ? length - first : to + length;
    if (to === ring.length) to = 0;
  }
  return true;
}

export interface AeadPort {
  /** For people: `openssl-evp`, `node:crypto`. */
  readonly name: string;
  /** Whether packets can be protected with this AEAD here. */
  supports(aead: AeadId): boolean;

  /** RFC 5869 §2.2. */
  hkdfExtract(hash: HashId, salt: Uint8Array, ikm: Uint8Array): Uint8Array;
  /** RFC 5869 §2.3; `lengthBytes` <= 255 times the hash length. */
  hkdfExpand(hash: HashId, prk: Uint8Array, info: Uint8Array, lengthBytes: number): Uint8Array;
  /** The same for several outputs of one block of the hash at most, see {@link expandSpec}: all of them, joined. */
  hkdfExpandAll(hash: HashId, prk: Uint8Array, specs: Uint8Array): Uint8Array;

  /** Installs a packet key with its IV and returns the slot; slots are small integers, reused after `freeKey`. */
  newKey(aead: PacketAead, key: Uint8Array, iv: Uint8Array): number;
  /** Forgets the key and overwrites it. Freeing a free slot is an error of ours and throws. */
  freeKey(slot: number): void;
  /** The key will not be used for a while: gives back what its next use can make again. Its sequence of packet numbers
   *  goes on. A free slot throws. */
  restKey(slot: number): void;
  /** Installs a header protection key; its own slot space, because it outlives key updates (RFC 9001 §6.1). */
  newHeaderKey(aead: PacketAead, key: Uint8Array): number;
  freeHeaderKey(slot: number): void;

  /** Protects rows [0, count) in place, header masks included, after the copies of `gather`. Returns how many were
   *  sealed: less than `count` means that the row at that index was refused, and the batch stops there. */
  seal(batch: SealBatch): number;
  /** Removes header protection of rows [0, count) in place; fills OPEN_PN_LEN and OPEN_PN_LO. */
  unmask(batch: OpenBatch): void;
  /** Decrypts rows [0, count) in place, each from the end of its packet number to its tag; fills OPEN_STATUS.
   *  A row whose status `unmask` already set to OPEN_INVALID is skipped. The tag bytes stay as received. Returns how many
   *  rows are OPEN_OK. */
  open(batch: OpenBatch): number;
  /** Copies the pieces of `batch` to its ring, in order. False, as {@link copyScattered}. */
  scatter(batch: ScatterBatch): boolean;

  /** One AEAD operation with a raw key, for Retry integrity tags and tokens: returns ciphertext and tag. */
  sealOnce(aead: AeadId, key: Uint8Array, nonce: Uint8Array, aad: Uint8Array, plaintext: Uint8Array): Uint8Array;
  /** The plaintext, or null when the tag does not match. */
  openOnce(aead: AeadId, key: Uint8Array, nonce: Uint8Array, aad: Uint8Array, sealed: Uint8Array): Uint8Array | null;
}
