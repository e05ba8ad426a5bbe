// Which engine a key gets: the first of the list that has its AEAD.
#include "aead_keys.h"

#include <string.h>

namespace netquic {

namespace {

constexpr const AeadEngine* ENGINES[] = {&EVP_ENGINE, &PLAIN_ENGINE};

const AeadEngine* engine_for(int aead) {
  if (aead < AEAD_NONE || aead > AEAD_AES_128_CCM) return nullptr;
  for (const AeadEngine* engine : ENGINES)
    if (engine->supports(aead)) return engine;
  return nullptr;
}

}  // namespace

size_t key_bytes(int aead) {
  if (aead == AEAD_AES_128_GCM || aead == AEAD_AES_128_CCM) return 16;
  return aead == AEAD_AES_256_GCM || aead == AEAD_CHACHA20_POLY1305 ? 32 : 0;
}

bool aead_supported(int aead) { return engine_for(aead) != nullptr; }

PacketKey* packet_key_new(int aead, const uint8_t* key, const uint8_t* iv) {
  const AeadEngine* engine = engine_for(aead);
  PacketKey* made = engine == nullptr ? nullptr : engine->packet_key_new(aead, key);
  if (made == nullptr) return nullptr;
  made->engine = engine;
  made->tag_bytes = engine->tag_bytes;
  made->next = 0;
  memcpy(made->iv, iv, IV_BYTES);
  return made;
}

void packet_key_rest(PacketKey* key) { key->engine->packet_key_rest(key); }

void packet_key_free(PacketKey* key) { key->engine->packet_key_free(key); }

HeaderKey* header_key_new(int aead, const uint8_t* key) {
  const AeadEngine* engine = engine_for(aead);
  HeaderKey* made = engine == nullptr ? nullptr : engine->header_key_new(aead, key);
  if (made == nullptr) return nullptr;
  made->engine = engine;
  made->sample_bytes = engine->sample_bytes;
  return made;
}

void header_key_free(HeaderKey* key) { key->engine->header_key_free(key); }

}  // namespace netquic
