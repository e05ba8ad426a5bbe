/** Names, numbers and caps of the UDP ULP `quic-crypto`. */

import { AEAD_AES_128_CCM, AEAD_AES_128_GCM, AEAD_AES_256_GCM, AEAD_CHACHA20_POLY1305 } from "../../port/aead.js";
import type { AeadId } from "../../port/aead.js";

/** The one ULP there is, for `attach`. */
export const QUIC_CRYPTO = "quic-crypto";
/** Longest name of a ULP, bytes. */
export const MAX_ULP_NAME_BYTES = 16;

/** Flag of `send`: the batch is sent as it is. */
export const QUIC_BYPASS_ENCRYPTION = 0x01;

/** Cipher types by the numbers of Linux' TLS and QUIC interfaces. */
export const TLS_CIPHER_AES_GCM_128 = 51;
export const TLS_CIPHER_AES_GCM_256 = 52;
export const TLS_CIPHER_AES_CCM_128 = 53;
export const TLS_CIPHER_CHACHA20_POLY1305 = 54;

export type CipherName = "aes-128-gcm" | "aes-256-gcm" | "aes-128-ccm" | "chacha20-poly1305";

const AEAD_BY_CIPHER = new Map<unknown, AeadId>([
  ["aes-128-gcm", AEAD_AES_128_GCM],
  ["aes-256-gcm", AEAD_AES_256_GCM],
  ["aes-128-ccm", AEAD_AES_128_CCM],
  ["chacha20-poly1305", AEAD_CHACHA20_POLY1305],
  [TLS_CIPHER_AES_GCM_128, AEAD_AES_128_GCM],
  [TLS_CIPHER_AES_GCM_256, AEAD_AES_256_GCM],
  [TLS_CIPHER_AES_CCM_128, AEAD_AES_128_CCM],
  [TLS_CIPHER_CHACHA20_POLY1305, AEAD_CHACHA20_POLY1305],
]);

/** The AEAD of a cipher name or number; undefined for anything else. */
export function aeadOf(cipher: unknown): AeadId | undefined {
  return AEAD_BY_CIPHER.get(cipher);
}

/** RFC 9000 §17.2: connection ids of version 1 have up to 20 bytes. */
export const MAX_CID_BYTES = 20;

// Caps of one batch that is protected; beyond one of them `send` fails with ENOMEM. The cap of 32 scatter entries a packet
// cannot be reached under the others, and the header cap of 25 bytes is that of the connection id: 1 + 20 + 4.
export const MAX_GSO_SEGMENTS = 16;
export const MAX_IOVECS = 8;
const PAGE_BYTES = 4096;
export const MAX_PLAINTEXT_BYTES = 16 * PAGE_BYTES;
export const MAX_CIPHER_BYTES = 16 * PAGE_BYTES;

/** Segments of one UDP_SEGMENT send that is not protected; the kernel's own limit. */
export const UDP_MAX_SEGMENTS = 128;
/** Largest UDP payload over IPv4; over IPv6 the headers leave 20 bytes more. */
export const MAX_UDP_PAYLOAD_IPV4 = 65_507;
export const MAX_UDP_PAYLOAD_IPV6 = 65_527;
