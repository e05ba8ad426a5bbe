/**
 * The key schedule of QUIC (RFC 9001 §5.1, §5.2, §6.1): from secrets to keys, with the labels of the version. Hashing is
 * the aead port's; nothing here keeps what it derived.
 */

import { concatBytes } from "../base/bytes.js";
import { aeadHash, aeadKeyBytes, expandSpec, HASH_SHA256, HASH_SHA384 } from "../port/aead.js";
import type { AeadId, AeadPort, HashId } from "../port/aead.js";
import { wireRow } from "../proto/version.js";

/** Length of an IV in bytes, the nonce length of every AEAD here (RFC 9001 §5.3). */
const IV_BYTES = 12;
const NO_CONTEXT = 0;
/** What is derived at once with the labels of a version. */
const PACKET_SPECS = 0;
const PHASE_SPECS = 1;
const HEADER_SPECS = 2;
const SPECS_PER_VERSION = 4;

export interface PacketKeys {
  key: Uint8Array;
  iv: Uint8Array;
  hp: Uint8Array;
}

/** Key and IV of one phase, and the secret of the phase after it. */
export interface PhaseKeys {
  key: Uint8Array;
  iv: Uint8Array;
  nextSecret: Uint8Array;
}

/** The secrets of Initial packets: both sides know them from the client's first Destination Connection ID. */
export function initialSecrets(
  version: number,
  dcid: Uint8Array,
  aead: AeadPort,
): { client: Uint8Array; server: Uint8Array } {
  const initial = aead.hkdfExtract(HASH_SHA256, wireRow(version).initialSalt, dcid);
  const both = aead.hkdfExpandAll(HASH_SHA256, initial, INITIAL_SPECS);
  return { client: both.subarray(0, 32), server: both.subarray(32) };
}

/** Key and IV of packets, and the header protection key, from a traffic secret: parts of one buffer, to be wiped. */
export function packetKeys(version: number, aeadId: AeadId, secret: Uint8Array, aead: AeadPort): PacketKeys {
  const { key: keyLabel, iv: ivLabel, hp: hpLabel } = wireRow(version);
  const keyBytes = aeadKeyBytes(aeadId);
  const specs = specsOf(
    version * SPECS_PER_VERSION + PACKET_SPECS,
    aeadId,
    [keyLabel, ivLabel, hpLabel],
    [keyBytes, IV_BYTES, keyBytes],
  );
  const all = aead.hkdfExpandAll(aeadHash(aeadId), secret, specs);
  const hpStart = keyBytes + IV_BYTES;
  return { key: all.subarray(0, keyBytes), iv: all.subarray(keyBytes, hpStart), hp: all.subarray(hpStart) };
}

/** The header protection key only. */
export function headerKey(version: number, aeadId: AeadId, secret: Uint8Array, aead: AeadPort): Uint8Array {
  const { hp } = wireRow(version);
  const specs = specsOf(version * SPECS_PER_VERSION + HEADER_SPECS, aeadId, [hp], [aeadKeyBytes(aeadId)]);
  return aead.hkdfExpandAll(aeadHash(aeadId), secret, specs);
}

/** What a key phase needs: a key update keeps the header protection key (RFC 9001 §6.1). Parts of one buffer. */
export function phaseKeys(version: number, aeadId: AeadId, secret: Uint8Array, aead: AeadPort): PhaseKeys {
  const { key: keyLabel, iv: ivLabel, ku } = wireRow(version);
  const hash = aeadHash(aeadId);
  const keyBytes = aeadKeyBytes(aeadId);
  const sizes = [keyBytes, IV_BYTES, hashBytes(hash)];
  const specs = specsOf(version * SPECS_PER_VERSION + PHASE_SPECS, aeadId, [keyLabel, ivLabel, ku], sizes);
  const all = aead.hkdfExpandAll(hash, secret, specs);
  const nextStart = keyBytes + IV_BYTES;
  return { key: all.subarray(0, keyBytes), iv: all.subarray(keyBytes, nextStart), nextSecret: all.subarray(nextStart) };
}

/** The traffic secret of the next key phase (RFC 9001 §6.1). */
export function nextSecret(version: number, aeadId: AeadId, secret: Uint8Array, aead: AeadPort): Uint8Array {
  const hash = aeadHash(aeadId);
  return expandLabel(hash, secret, wireRow(version).ku, hashBytes(hash), aead);
}

/** HKDF-Expand-Label of RFC 8446 §7.1 with an empty context; `label` without its `tls13 ` prefix. */
export function expandLabel(
  hash: HashId,
  secret: Uint8Array,
  label: string,
  lengthBytes: number,
  aead: AeadPort,
): Uint8Array {
  return aead.hkdfExpand(hash, secret, labelInfo(label, lengthBytes), lengthBytes);
}

/** HkdfLabel of RFC 8446 §7.1. */
function labelInfo(label: string, lengthBytes: number): Uint8Array {
  const full = `tls13 ${label}`;
  const info = new Uint8Array(4 + full.length);
  info[0] = lengthBytes >> 8;
  info[1] = lengthBytes;
  info[2] = full.length;
  for (let i = 0; i < full.length; i++) info[3 + i] = full.charCodeAt(i);
  info[3 + full.length] = NO_CONTEXT;
  return info;
}

const INITIAL_SPECS = joinSpecs(["client in", "server in"], [32, 32]);
/** By what is derived and by AEAD: the labels are the same for all connections. */
const specsCache = new Map<number, Uint8Array>();

function specsOf(what: number, aeadId: AeadId, labels: readonly string[], sizes: readonly number[]): Uint8Array {
  const id = what * 8 + aeadId;
  const known = specsCache.get(id);
  if (known !== undefined) return known;
  const made = joinSpecs(labels, sizes);
  specsCache.set(id, made);
  return made;
}

function joinSpecs(labels: readonly string[], sizes: readonly number[]): Uint8Array {
  return concatBytes(...labels.map((label, i) => expandSpec(labelInfo(label, sizes[i] as number), sizes[i] as number)));
}

function hashBytes(hash: HashId): number {
  return hash === HASH_SHA384 ? 48 : 32;
}
