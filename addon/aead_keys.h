// Packet keys and header protection keys behind slot numbers, and one AEAD operation under each (RFC 9001 §5).
#pragma once
#include <stddef.h>
#include <stdint.h>

#include "evp.h"

namespace netquic {

// As in src/port/aead.ts.
constexpr int AEAD_AES_128_GCM = 1;
constexpr int AEAD_AES_256_GCM = 2;
constexpr int AEAD_CHACHA20_POLY1305 = 3;
constexpr int AEAD_AES_128_CCM = 4;
constexpr size_t IV_BYTES = 12;
constexpr size_t TAG_BYTES = 16;
constexpr size_t SAMPLE_BYTES = 16;
constexpr size_t KEY_BYTES_MAX = 32;

// Key length by AEAD, 0 for none.
size_t key_bytes(int aead);
// Null when the library lacks it.
const EvpCipher* aead_cipher(int aead);

struct PacketKey {
  int aead;
  uint8_t key[KEY_BYTES_MAX];
  uint8_t iv[IV_BYTES];
  uint64_t next;  // the smallest packet number that may still be sealed
  bool quick_nonce;
  // Made at first use: a key serves one direction, and idle connections are many.
  EvpCtx* sealer;
  EvpCtx* opener;
};

struct HeaderKey {
  bool chacha;
  EvpCtx* ctx;
};

// Plaintext at `from` that is encrypted to `to`, which may be the same place.
struct Piece {
  const uint8_t* from;
  uint8_t* to;
  size_t size;
};

// Encrypts `count` pieces, 1 or more, each of which follows the one before at `to`, and writes the tag behind the last.
bool aead_seal_pieces(PacketKey* key, const uint8_t nonce[IV_BYTES], const uint8_t* aad, size_t aad_size,
                      const Piece* pieces, size_t count);
// Encrypts `size` bytes at `data` in place and writes the tag behind them.
bool aead_seal(PacketKey* key, const uint8_t nonce[IV_BYTES], const uint8_t* aad, size_t aad_size, uint8_t* data,
               size_t size);
// Decrypts `size` bytes at `data` in place; the tag stands behind them and stays. False leaves garbage in `data`.
bool aead_open(PacketKey* key, const uint8_t nonce[IV_BYTES], const uint8_t* aad, size_t aad_size, uint8_t* data,
               size_t size);
// Turns `count` samples into masks, 16 bytes each (RFC 9001 §5.4.3, §5.4.4).
bool header_masks(HeaderKey* key, const uint8_t* samples, uint8_t* masks, size_t count);

PacketKey* packet_key_new(int aead, const uint8_t* key, const uint8_t* iv);
// Gives back what the next use makes again: key schedules.
void packet_key_rest(PacketKey* key);
void packet_key_free(PacketKey* key);
HeaderKey* header_key_new(int aead, const uint8_t* key);
void header_key_free(HeaderKey* key);

}  // namespace netquic
