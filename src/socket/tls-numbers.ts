/** The numbers that Linux has for encryption levels and ciphers, and those of port/tls and port/aead for the same. */

import {
  AEAD_AES_128_CCM,
  AEAD_AES_128_GCM,
  AEAD_AES_256_GCM,
  AEAD_CHACHA20_POLY1305,
  type AeadId,
} from "../port/aead.js";
import { LEVEL_APP, LEVEL_EARLY, LEVEL_HANDSHAKE, LEVEL_INITIAL, type Level } from "../port/tls.js";
import {
  QUIC_CRYPTO_APP,
  QUIC_CRYPTO_EARLY,
  QUIC_CRYPTO_HANDSHAKE,
  QUIC_CRYPTO_INITIAL,
  TLS_CIPHER_AES_CCM_128,
  TLS_CIPHER_AES_GCM_128,
  TLS_CIPHER_AES_GCM_256,
  TLS_CIPHER_CHACHA20_POLY1305,
} from "./numbers.js";

const LEVELS: readonly (readonly [crypto: number, level: Level])[] = [
  [QUIC_CRYPTO_APP, LEVEL_APP],
  [QUIC_CRYPTO_INITIAL, LEVEL_INITIAL],
  [QUIC_CRYPTO_HANDSHAKE, LEVEL_HANDSHAKE],
  [QUIC_CRYPTO_EARLY, LEVEL_EARLY],
];

export interface Cipher {
  /** TLS_CIPHER_*. */
  type: number;
  aead: AeadId;
  secretBytes: number;
  /** As TLS names it. */
  suite: string;
}

/** What `payload_cipher_type` and CRYPTO_SECRET may name, in the order in which it is offered. */
export const CIPHERS: readonly Cipher[] = [
  { type: TLS_CIPHER_AES_GCM_128, aead: AEAD_AES_128_GCM, secretBytes: 32, suite: "TLS_AES_128_GCM_SHA256" },
  { type: TLS_CIPHER_AES_GCM_256, aead: AEAD_AES_256_GCM, secretBytes: 48, suite: "TLS_AES_256_GCM_SHA384" },
  {
    type: TLS_CIPHER_CHACHA20_POLY1305,
    aead: AEAD_CHACHA20_POLY1305,
    secretBytes: 32,
    suite: "TLS_CHACHA20_POLY1305_SHA256",
  },
  { type: TLS_CIPHER_AES_CCM_128, aead: AEAD_AES_128_CCM, secretBytes: 32, suite: "TLS_AES_128_CCM_SHA256" },
];

/** Of port/tls, for a QUIC_CRYPTO_* level; -1 for none. */
export function levelOfCrypto(crypto: number): Level | -1 {
  return LEVELS.find(([one]) => one === crypto)?.[1] ?? -1;
}

export function cryptoOfLevel(level: Level): number {
  return (LEVELS.find(([, one]) => one === level) as (typeof LEVELS)[number])[0];
}

export function cipherOfType(type: number): Cipher | undefined {
  return CIPHERS.find((cipher) => cipher.type === type);
}

export function cipherOfAead(aead: AeadId): Cipher {
  return CIPHERS.find((cipher) => cipher.aead === aead) as Cipher;
}
