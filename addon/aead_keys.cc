// One packet key, one header key: contexts are made once and get a new IV per packet. A new context per packet costs
// 2 to 2.5 times as much. Ciphers are fetched once per process; contexts then need no lookup by name.
#include "aead_keys.h"

#include <string.h>

#include <new>

namespace netquic {

namespace {

struct Ciphers {
  const EvpCipher* aead[5];
  const EvpCipher* ecb128;
  const EvpCipher* ecb256;
  const EvpCipher* chacha20;
};

const Ciphers& ciphers() {
  static const Ciphers all = [] {
    const Evp& e = *evp();
    Ciphers c = {{nullptr, e.fetch(nullptr, "AES-128-GCM", nullptr), e.fetch(nullptr, "AES-256-GCM", nullptr),
                  e.fetch(nullptr, "ChaCha20-Poly1305", nullptr), e.fetch(nullptr, "AES-128-CCM", nullptr)},
                 e.fetch(nullptr, "AES-128-ECB", nullptr),
                 e.fetch(nullptr, "AES-256-ECB", nullptr),
                 e.fetch(nullptr, "ChaCha20", nullptr)};
    if (c.chacha20 == nullptr) c.aead[AEAD_CHACHA20_POLY1305] = nullptr;  // no packet without its header mask
    e.clear_error();
    return c;
  }();
  return all;
}

const EvpCipher* header_cipher(int aead) {
  if (aead == AEAD_CHACHA20_POLY1305) return ciphers().chacha20;
  return aead == AEAD_AES_256_GCM ? ciphers().ecb256 : ciphers().ecb128;
}

// A context with cipher and key, but no IV. CCM wants the lengths of tag and IV before the key.
EvpCtx* keyed(const PacketKey* key, bool sealing) {
  const Evp& e = *evp();
  const EvpCipher* cipher = aead_cipher(key->aead);
  EvpCtx* ctx = e.ctx_new();
  if (ctx == nullptr) return nullptr;
  auto init = sealing ? e.encrypt_init : e.decrypt_init;
  const bool ok = init(ctx, cipher, nullptr, nullptr, nullptr) == 1 &&
                  e.ctrl(ctx, EVP_CTRL_SET_IVLEN, int(IV_BYTES), nullptr) == 1 &&
                  (key->aead != AEAD_AES_128_CCM || e.ctrl(ctx, EVP_CTRL_SET_TAG, int(TAG_BYTES), nullptr) == 1) &&
                  init(ctx, nullptr, nullptr, key->key, nullptr) == 1;
  if (ok) return ctx;
  e.ctx_free(ctx);
  return nullptr;
}

}  // namespace

size_t key_bytes(int aead) {
  if (aead == AEAD_AES_128_GCM || aead == AEAD_AES_128_CCM) return 16;
  return aead == AEAD_AES_256_GCM || aead == AEAD_CHACHA20_POLY1305 ? 32 : 0;
}

const EvpCipher* aead_cipher(int aead) {
  return evp() != nullptr && key_bytes(aead) != 0 ? ciphers().aead[aead] : nullptr;
}

bool aead_seal(PacketKey* key, const uint8_t nonce[IV_BYTES], const uint8_t* aad, size_t aad_size, uint8_t* data,
               size_t size) {
  const Evp& e = *evp();
  if (key->sealer == nullptr) key->sealer = keyed(key, true);
  EvpCtx* ctx = key->sealer;
  int len;
  if (ctx == nullptr || e.encrypt_init(ctx, nullptr, nullptr, nullptr, nonce) != 1) return false;
  if (key->aead == AEAD_AES_128_CCM && e.encrypt_update(ctx, nullptr, &len, nullptr, int(size)) != 1) return false;
  return (aad_size == 0 || e.encrypt_update(ctx, nullptr, &len, aad, int(aad_size)) == 1) &&
         e.encrypt_update(ctx, data, &len, data, int(size)) == 1 &&
         e.encrypt_final(ctx, data + size, &len) == 1 &&
         e.ctrl(ctx, EVP_CTRL_GET_TAG, int(TAG_BYTES), data + size) == 1;
}

bool aead_open(PacketKey* key, const uint8_t nonce[IV_BYTES], const uint8_t* aad, size_t aad_size, uint8_t* data,
               size_t size) {
  const Evp& e = *evp();
  if (key->opener == nullptr) key->opener = keyed(key, false);
  EvpCtx* ctx = key->opener;
  int len;
  uint8_t nothing[TAG_BYTES];
  if (ctx == nullptr || e.decrypt_init(ctx, nullptr, nullptr, nullptr, nonce) != 1) return false;
  if (e.ctrl(ctx, EVP_CTRL_SET_TAG, int(TAG_BYTES), data + size) != 1) return false;
  if (key->aead == AEAD_AES_128_CCM) {
    // CCM needs the length first, and the update that decrypts is the one that verifies.
    return e.decrypt_update(ctx, nullptr, &len, nullptr, int(size)) == 1 &&
           (aad_size == 0 || e.decrypt_update(ctx, nullptr, &len, aad, int(aad_size)) == 1) &&
           e.decrypt_update(ctx, data, &len, data, int(size)) == 1;
  }
  return (aad_size == 0 || e.decrypt_update(ctx, nullptr, &len, aad, int(aad_size)) == 1) &&
         e.decrypt_update(ctx, data, &len, data, int(size)) == 1 && e.decrypt_final(ctx, nothing, &len) == 1;
}

bool header_masks(HeaderKey* key, const uint8_t* samples, uint8_t* masks, size_t count) {
  const Evp& e = *evp();
  int len;
  if (!key->chacha) return e.encrypt_update(key->ctx, masks, &len, samples, int(count * SAMPLE_BYTES)) == 1;
  static const uint8_t zeros[SAMPLE_BYTES] = {};
  for (size_t at = 0; at < count * SAMPLE_BYTES; at += SAMPLE_BYTES) {
    // The sample is counter and nonce, laid out as OpenSSL wants its 16-byte ChaCha20 IV.
    if (e.encrypt_init(key->ctx, nullptr, nullptr, nullptr, samples + at) != 1) return false;
    if (e.encrypt_update(key->ctx, masks + at, &len, zeros, int(SAMPLE_BYTES)) != 1) return false;
  }
  return true;
}

PacketKey* packet_key_new(int aead, const uint8_t* key, const uint8_t* iv) {
  PacketKey* made = new (std::nothrow) PacketKey();
  if (made == nullptr) return nullptr;
  made->aead = aead;
  memcpy(made->key, key, key_bytes(aead));
  memcpy(made->iv, iv, IV_BYTES);
  return made;
}

void packet_key_free(PacketKey* key) {
  const Evp& e = *evp();
  if (key->sealer != nullptr) e.ctx_free(key->sealer);
  if (key->opener != nullptr) e.ctx_free(key->opener);
  e.cleanse(key, sizeof *key);
  delete key;
}

HeaderKey* header_key_new(int aead, const uint8_t* key) {
  const Evp& e = *evp();
  EvpCtx* ctx = e.ctx_new();
  HeaderKey* made = new (std::nothrow) HeaderKey{aead == AEAD_CHACHA20_POLY1305, ctx};
  if (ctx != nullptr && made != nullptr && e.encrypt_init(ctx, header_cipher(aead), nullptr, key, nullptr) == 1) {
    if (!made->chacha) e.set_padding(ctx, 0);
    return made;
  }
  if (ctx != nullptr) e.ctx_free(ctx);
  delete made;
  return nullptr;
}

void header_key_free(HeaderKey* key) {
  evp()->ctx_free(key->ctx);
  delete key;
}

}  // namespace netquic
