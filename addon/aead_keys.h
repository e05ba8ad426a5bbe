// Packet keys and header protection keys, and one AEAD operation under each (RFC 9001 §5), by the engine that a key was
// made with.
#pragma once
#include "aead_engine.h"

namespace netquic {

// Key length by AEAD, 0 for AEAD_NONE and for what is none.
size_t key_bytes(int aead);
// Whether an engine here has it.
bool aead_supported(int aead);

// Null when there is no engine for it, or it refuses.
PacketKey* packet_key_new(int aead, const uint8_t* key, const uint8_t* iv);
// Gives back what the next use makes again: key schedules.
void packet_key_rest(PacketKey* key);
void packet_key_free(PacketKey* key);
HeaderKey* header_key_new(int aead, const uint8_t* key);
void header_key_free(HeaderKey* key);

// As in AeadEngine.
inline bool aead_seal_pieces(PacketKey* key, const uint8_t nonce[IV_BYTES], const uint8_t* aad, size_t aad_size,
                             const Piece* pieces, size_t count) {
  return key->engine->seal(key, nonce, aad, aad_size, pieces, count);
}

// Encrypts `size` bytes at `data` in place and writes the tag behind them.
inline bool aead_seal(PacketKey* key, const uint8_t nonce[IV_BYTES], const uint8_t* aad, size_t aad_size,
                      uint8_t* data, size_t size) {
  const Piece piece = {data, data, size};
  return key->engine->seal(key, nonce, aad, aad_size, &piece, 1);
}

inline bool aead_open(PacketKey* key, const uint8_t nonce[IV_BYTES], const uint8_t* aad, size_t aad_size,
                      uint8_t* data, size_t size) {
  return key->engine->open(key, nonce, aad, aad_size, data, size);
}

inline bool header_masks(HeaderKey* key, const uint8_t* samples, uint8_t* masks, size_t count) {
  return key->engine->masks(key, samples, masks, count);
}

}  // namespace netquic
