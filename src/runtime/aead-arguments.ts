/** What both implementations of the aead port refuse before they touch a key. */

import {
  AEAD_AES_128_CCM,
  AEAD_AES_128_GCM,
  AEAD_NONE,
  type AeadId,
  aeadKeyBytes,
  type PacketAead,
} from "../port/aead.js";

/** Length of every AEAD's IV and nonce, bytes (RFC 9001 §5.3). */
export const IV_BYTES = 12;

/** @throws RangeError when the AEAD is unknown or the key has not its length. */
export function checkKey(aead: AeadId, key: Uint8Array): void {
  if (!(aead >= AEAD_AES_128_GCM && aead <= AEAD_AES_128_CCM)) throw new RangeError(`unknown AEAD ${aead}`);
  if (key.length !== aeadKeyBytes(aead)) throw new RangeError(`key of ${key.length} bytes for AEAD ${aead}`);
}

/** As `checkKey`, where a packet may be in the clear. */
export function checkPacketKey(aead: PacketAead, key: Uint8Array): void {
  if (aead !== AEAD_NONE) checkKey(aead, key);
  else if (key.length > 0) throw new RangeError(`key of ${key.length} bytes for no AEAD`);
}

/** @throws RangeError when it has not IV_BYTES bytes. */
export function checkIv(iv: Uint8Array): void {
  if (iv.length !== IV_BYTES) throw new RangeError(`IV of ${iv.length} bytes, not ${IV_BYTES}`);
}
