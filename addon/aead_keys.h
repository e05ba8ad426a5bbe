// Packet keys and header protection keys behind slot numbers, and one AEAD operation under each (RFC 9001 §5).
#pragma once
#include <stddef.h>
#include <stdint.h>

#include <vector>

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
  // Made at first use: a key serves one direction, and idle connections are many.
  EvpCtx* sealer;
  EvpCtx* opener;
};

struct HeaderKey {
  bool chacha;
  EvpCtx* ctx;
};

// Encrypts `size` bytes at `data` in place and writes the tag behind them.
bool aead_seal(PacketKey* key, const uint8_t nonce[IV_BYTES], const uint8_t* aad, size_t aad_size, uint8_t* data,
               size_t size);
// Decrypts `size` bytes at `data` in place; the tag stands behind them and stays. False leaves garbage in `data`.
bool aead_open(PacketKey* key, const uint8_t nonce[IV_BYTES], const uint8_t* aad, size_t aad_size, uint8_t* data,
               size_t size);
// Turns `count` samples into masks, 16 bytes each (RFC 9001 §5.4.3, §5.4.4).
bool header_masks(HeaderKey* key, const uint8_t* samples, uint8_t* masks, size_t count);

PacketKey* packet_key_new(int aead, const uint8_t* key, const uint8_t* iv);
void packet_key_free(PacketKey* key);
HeaderKey* header_key_new(int aead, const uint8_t* key);
void header_key_free(HeaderKey* key);

// Small integers for pointers; the lowest free one is taken first.
template <typename T>
class SlotTable {
 public:
  T* at(int64_t slot) const { return slot >= 0 && slot < int64_t(slots_.size()) ? slots_[size_t(slot)] : nullptr; }

  int32_t put(T* value) {
    while (first_free_ < slots_.size() && slots_[first_free_] != nullptr) first_free_++;
    if (first_free_ == slots_.size()) slots_.push_back(nullptr);
    slots_[first_free_] = value;
    return int32_t(first_free_++);
  }

  T* take(int64_t slot) {
    T* value = at(slot);
    if (value == nullptr) return nullptr;
    slots_[size_t(slot)] = nullptr;
    if (size_t(slot) < first_free_) first_free_ = size_t(slot);
    return value;
  }

  size_t size() const { return slots_.size(); }

 private:
  std::vector<T*> slots_;
  size_t first_free_ = 0;  // nothing below it is free
};

}  // namespace netquic
