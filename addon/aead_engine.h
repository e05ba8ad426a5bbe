// What a library of ciphers brings so that packets can be protected with it: one table of functions. Slots, tables, bounds,
// nonces and the order of packet numbers stay in aead_batch.cc, the same for all; an engine never sees them. To add one: a
// file that fills the table, and a place in the list of aead_keys.cc.
#pragma once
#include <stddef.h>
#include <stdint.h>

namespace netquic {

// As in src/port/aead.ts.
constexpr int AEAD_NONE = 0;  // packets in the clear, without tag and header mask
constexpr int AEAD_AES_128_GCM = 1;
constexpr int AEAD_AES_256_GCM = 2;
constexpr int AEAD_CHACHA20_POLY1305 = 3;
constexpr int AEAD_AES_128_CCM = 4;
constexpr size_t IV_BYTES = 12;
constexpr size_t TAG_BYTES = 16;
constexpr size_t SAMPLE_BYTES = 16;
constexpr size_t KEY_BYTES_MAX = 32;

struct AeadEngine;

// An engine's own keys begin with these.
struct PacketKey {
  const AeadEngine* engine;
  size_t tag_bytes;  // that its packets are longer than their plaintext
  uint8_t iv[IV_BYTES];
  uint64_t next;  // the smallest packet number that may still be sealed
};

struct HeaderKey {
  const AeadEngine* engine;
  size_t sample_bytes;  // of each packet that its masks are made from; 0: there is no header protection
};

// Plaintext at `from` that is encrypted to `to`, which may be the same place.
struct Piece {
  const uint8_t* from;
  uint8_t* to;
  size_t size;
};

// Results are false or null when the library refuses; it then leaves no error behind for whoever uses it next.
struct AeadEngine {
  const char* name;
  size_t tag_bytes, sample_bytes;  // as in its keys: TAG_BYTES and SAMPLE_BYTES, or none
  bool (*supports)(int aead);  // packets and their header masks
  // `key` has the length of the AEAD. The engine fills in what is its own.
  PacketKey* (*packet_key_new)(int aead, const uint8_t* key);
  HeaderKey* (*header_key_new)(int aead, const uint8_t* key);
  // Gives back what the next use makes again: key schedules.
  void (*packet_key_rest)(PacketKey* key);
  // Overwrite what they free.
  void (*packet_key_free)(PacketKey* key);
  void (*header_key_free)(HeaderKey* key);
  // Encrypts `count` pieces, 1 or more, each of which follows the one before at `to`, and writes the tag behind the last.
  bool (*seal)(PacketKey* key, const uint8_t nonce[IV_BYTES], const uint8_t* aad, size_t aad_size, const Piece* pieces,
               size_t count);
  // Decrypts `size` bytes at `data` in place; the tag stands behind them and stays. False leaves garbage in `data`.
  bool (*open)(PacketKey* key, const uint8_t nonce[IV_BYTES], const uint8_t* aad, size_t aad_size, uint8_t* data,
               size_t size);
  // Turns `count` samples into masks, 16 bytes each (RFC 9001 §5.4.3, §5.4.4).
  bool (*masks)(HeaderKey* key, const uint8_t* samples, uint8_t* masks, size_t count);
};

// OpenSSL's EVP inside the running Node (aead_evp.cc).
extern const AeadEngine EVP_ENGINE;
// No protection at all (aead_plain.cc).
extern const AeadEngine PLAIN_ENGINE;

}  // namespace netquic
