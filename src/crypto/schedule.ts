/**
 * The key schedule of QUIC (RFC 9001 §5.1, §5.2, §6.1): from secrets to keys, a row of labels per version. Hashing is
 * the aead port's; nothing here keeps what it derived.
 */

import { fromHex } from "../base/bytes.js";
import { unreachable } from "../base/unreachable.js";
import { aeadHash, aeadKeyBytes, HASH_SHA256, HASH_SHA384 } from "../port/aead.js";
import type { AeadId, AeadPort, HashId } from "../port/aead.js";
import { VERSION_1 } from "../proto/version.js";

/** What differs from version to version (RFC 9001 §5.2, RFC 9369 §3.3). */
interface VersionLabels {
  readonly initialSalt: Uint8Array;
  readonly key: string;
  readonly iv: string;
  readonly hp: string;
  readonly ku: string;
}

const LABELS = new Map<number, VersionLabels>([
  [
    VERSION_1,
    {
      initialSalt: fromHex("38762cf7f55934b34d179ae6a4c80cadccbb7f0a"),
      key: "quic key",
      iv: "quic iv",
      hp: "quic hp",
      ku: "quic ku",
    },
  ],
]);

/** Length of an IV in bytes, the nonce length of every AEAD here (RFC 9001 §5.3). */
const IV_BYTES = 12;
const NO_CONTEXT = 0;

export interface PacketKeys {
  key: Uint8Array;
  iv: Uint8Array;
  hp: Uint8Array;
}

/** The secrets of Initial packets: both sides know them from the client's first Destination Connection ID. */
export function initialSecrets(
  version: number,
  dcid: Uint8Array,
  aead: AeadPort,
): { client: Uint8Array; server: Uint8Array } {
  const initial = aead.hkdfExtract(HASH_SHA256, labelsOf(version).initialSalt, dcid);
  return {
    client: expandLabel(HASH_SHA256, initial, "client in", 32, aead),
    server: expandLabel(HASH_SHA256, initial, "server in", 32, aead),
  };
}

/** Key and IV of packets, and the header protection key, from a traffic secret. */
export function packetKeys(version: number, aeadId: AeadId, secret: Uint8Array, aead: AeadPort): PacketKeys {
  const { key, iv } = phaseKeys(version, aeadId, secret, aead);
  return { key, iv, hp: headerKey(version, aeadId, secret, aead) };
}

/** The header protection key only. */
export function headerKey(version: number, aeadId: AeadId, secret: Uint8Array, aead: AeadPort): Uint8Array {
  return expandLabel(aeadHash(aeadId), secret, labelsOf(version).hp, aeadKeyBytes(aeadId), aead);
}

/** Key and IV only: a key update keeps the header protection key (RFC 9001 §6.1). */
export function phaseKeys(
  version: number,
  aeadId: AeadId,
  secret: Uint8Array,
  aead: AeadPort,
): { key: Uint8Array; iv: Uint8Array } {
  const labels = labelsOf(version);
  const hash = aeadHash(aeadId);
  return {
    key: expandLabel(hash, secret, labels.key, aeadKeyBytes(aeadId), aead),
    iv: expandLabel(hash, secret, labels.iv, IV_BYTES, aead),
  };
}

/** The traffic secret of the next key phase (RFC 9001 §6.1). */
export function nextSecret(version: number, aeadId: AeadId, secret: Uint8Array, aead: AeadPort): Uint8Array {
  const hash = aeadHash(aeadId);
  return expandLabel(hash, secret, labelsOf(version).ku, hash === HASH_SHA384 ? 48 : 32, aead);
}

/** HKDF-Expand-Label of RFC 8446 §7.1 with an empty context; `label` without its `tls13 ` prefix. */
export function expandLabel(
  hash: HashId,
  secret: Uint8Array,
  label: string,
  lengthBytes: number,
  aead: AeadPort,
): Uint8Array {
  const full = `tls13 ${label}`;
  const info = new Uint8Array(4 + full.length);
  info[0] = lengthBytes >> 8;
  info[1] = lengthBytes;
  info[2] = full.length;
  for (let i = 0; i < full.length; i++) info[3 + i] = full.charCodeAt(i);
  info[3 + full.length] = NO_CONTEXT;
  return aead.hkdfExpand(hash, secret, info, lengthBytes);
}

function labelsOf(version: number): VersionLabels {
  return LABELS.get(version) ?? unreachable(`no key schedule for version ${version}`);
}
