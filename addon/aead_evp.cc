// The engine on OpenSSL's EVP. One packet key, one header key: contexts are made once and get a new IV per packet. A new
// context per packet costs 2 to 2.5 times as much. Ciphers are fetched once per process; contexts then need no lookup by
// name.
#include <string.h>

#include <new>

#include "aead_keys.h"
#include "evp.h"

namespace netquic {

namespace {

struct EvpPacketKey : PacketKey {
  int aead;
  uint8_t key[KEY_BYTES_MAX];
  bool quick_nonce;
  // Made at first use: a key serves one direction, and idle connections are many.
  EvpCtx* sealer;
  EvpCtx* opener;
};

struct EvpHeaderKey : HeaderKey {
  bool chacha;
  EvpCtx* ctx;
};

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
EvpCtx* keyed(const EvpPacketKey* key, bool sealing) {
  const Evp& e = *evp();
  const EvpCipher* cipher = ciphers().aead[key->aead];
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

constexpr EvpParam END = {nullptr, 0, nullptr, 0, 0};
constexpr size_t WHOLE = size_t(-1);

EvpParam tag_param(uint8_t* tag) { return {"tag", EVP_PARAM_OCTETS, tag, TAG_BYTES, 0}; }

// The whole nonce of the next packet, as EVP_CTRL_GCM_SET_IV_FIXED with -1 sets it.
EvpParam nonce_param(const uint8_t* nonce) {
  return {"tlsivfixed", EVP_PARAM_OCTETS, const_cast<uint8_t*>(nonce), WHOLE, 0};
}

// Makes one piece of several: copies what is not in place yet.
Piece joined(const Piece* pieces, size_t count) {
  size_t size = 0;
  for (size_t i = 0; i < count; i++) {
    if (pieces[i].from != pieces[i].to) memmove(pieces[i].to, pieces[i].from, pieces[i].size);
    size += pieces[i].size;
  }
  return {pieces[0].to, pieces[0].to, size};
}

bool seal_pieces(EvpPacketKey* key, const uint8_t nonce[IV_BYTES], const uint8_t* aad, size_t aad_size,
                 const Piece* pieces, size_t count) {
  const Evp& e = *evp();
  if (key->sealer == nullptr) key->sealer = keyed(key, true);
  EvpCtx* ctx = key->sealer;
  if (ctx == nullptr) return false;
  Piece whole;
  int len;
  if (key->quick_nonce) {
    const EvpParam params[] = {nonce_param(nonce), END};
    if (e.set_params(ctx, params) != 1) return false;
  } else if (e.encrypt_init(ctx, nullptr, nullptr, nullptr, nonce) != 1) {
    return false;
  }
  if (key->aead == AEAD_AES_128_CCM) {  // wants its length first, and all of it at once
    whole = joined(pieces, count);
    pieces = &whole;
    count = 1;
    if (e.encrypt_update(ctx, nullptr, &len, nullptr, int(whole.size)) != 1) return false;
  }
  if (aad_size != 0 && e.encrypt_update(ctx, nullptr, &len, aad, int(aad_size)) != 1) return false;
  for (size_t i = 0; i < count; i++)
    if (e.encrypt_update(ctx, pieces[i].to, &len, pieces[i].from, int(pieces[i].size)) != 1) return false;
  uint8_t* tag = pieces[count - 1].to + pieces[count - 1].size;
  EvpParam params[] = {tag_param(tag), END};
  return e.encrypt_final(ctx, tag, &len) == 1 && e.get_params(ctx, params) == 1;
}

bool open_in_place(EvpPacketKey* key, const uint8_t nonce[IV_BYTES], const uint8_t* aad, size_t aad_size,
                   uint8_t* data, size_t size) {
  const Evp& e = *evp();
  if (key->opener == nullptr) key->opener = keyed(key, false);
  EvpCtx* ctx = key->opener;
  int len;
  uint8_t nothing[TAG_BYTES];
  if (ctx == nullptr) return false;
  if (key->quick_nonce) {
    const EvpParam params[] = {tag_param(data + size), nonce_param(nonce), END};
    if (e.set_params(ctx, params) != 1) return false;
  } else if (e.decrypt_init(ctx, nullptr, nullptr, nullptr, nonce) != 1 ||
             e.ctrl(ctx, EVP_CTRL_SET_TAG, int(TAG_BYTES), data + size) != 1) {
    return false;
  }
  if (key->aead == AEAD_AES_128_CCM) {
    // CCM needs the length first, and the update that decrypts is the one that verifies.
    return e.decrypt_update(ctx, nullptr, &len, nullptr, int(size)) == 1 &&
           (aad_size == 0 || e.decrypt_update(ctx, nullptr, &len, aad, int(aad_size)) == 1) &&
           e.decrypt_update(ctx, data, &len, data, int(size)) == 1;
  }
  return (aad_size == 0 || e.decrypt_update(ctx, nullptr, &len, aad, int(aad_size)) == 1) &&
         e.decrypt_update(ctx, data, &len, data, int(size)) == 1 && e.decrypt_final(ctx, nothing, &len) == 1;
}

// Whether GCM takes a nonce as a parameter and means by it what initialising with the nonce means. That costs 40 ns of
// a packet less, where initialising looks up lengths by name (OpenSSL 3.0). Found out by sealing and opening both ways.
bool try_quick_nonce() {
  constexpr size_t SIZE = 45;
  EvpPacketKey key = {};
  key.aead = AEAD_AES_128_GCM;
  uint8_t nonce[IV_BYTES] = {1, 2, 3};
  uint8_t slow[SIZE + TAG_BYTES] = {}, quick[SIZE + TAG_BYTES] = {};
  bool ok = true;
  for (uint8_t i = 0; i < 3 && ok; i++) {  // a nonce must also take the place of the one before
    nonce[IV_BYTES - 1] = i;
    key.quick_nonce = false;
    const Piece to_slow = {slow, slow, SIZE}, to_quick = {quick, quick, SIZE};
    ok = seal_pieces(&key, nonce, nonce, 5, &to_slow, 1);
    key.quick_nonce = true;
    ok = ok && seal_pieces(&key, nonce, nonce, 5, &to_quick, 1) && memcmp(slow, quick, sizeof slow) == 0;
    ok = ok && open_in_place(&key, nonce, nonce, 5, quick, SIZE) && !open_in_place(&key, nonce, nonce, 4, slow, SIZE);
    memset(slow, i, SIZE);
    memset(quick, i, SIZE);
  }
  if (key.sealer != nullptr) evp()->ctx_free(key.sealer);
  if (key.opener != nullptr) evp()->ctx_free(key.opener);
  evp()->clear_error();
  return ok;
}

bool has_quick_nonce(int aead) {
  static const bool works = try_quick_nonce();
  return works && (aead == AEAD_AES_128_GCM || aead == AEAD_AES_256_GCM);
}

bool make_masks(EvpHeaderKey* key, const uint8_t* samples, uint8_t* masks, size_t count) {
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

PacketKey* evp_packet_key_new(int aead, const uint8_t* key) {
  EvpPacketKey* made = new (std::nothrow) EvpPacketKey();
  if (made == nullptr) return nullptr;
  made->aead = aead;
  made->quick_nonce = has_quick_nonce(aead);
  memcpy(made->key, key, key_bytes(aead));
  return made;
}

void evp_packet_key_rest(PacketKey* packet_key) {
  const Evp& e = *evp();
  EvpPacketKey* key = static_cast<EvpPacketKey*>(packet_key);
  if (key->sealer != nullptr) e.ctx_free(key->sealer);
  if (key->opener != nullptr) e.ctx_free(key->opener);
  key->sealer = key->opener = nullptr;
}

void evp_packet_key_free(PacketKey* packet_key) {
  evp_packet_key_rest(packet_key);
  EvpPacketKey* key = static_cast<EvpPacketKey*>(packet_key);
  evp()->cleanse(key, sizeof *key);
  delete key;
}

HeaderKey* evp_header_key_new(int aead, const uint8_t* key) {
  const Evp& e = *evp();
  EvpCtx* ctx = e.ctx_new();
  EvpHeaderKey* made = new (std::nothrow) EvpHeaderKey();
  if (ctx != nullptr && made != nullptr && e.encrypt_init(ctx, header_cipher(aead), nullptr, key, nullptr) == 1) {
    made->ctx = ctx;
    made->chacha = aead == AEAD_CHACHA20_POLY1305;
    if (!made->chacha) e.set_padding(ctx, 0);
    return made;
  }
  if (ctx != nullptr) e.ctx_free(ctx);
  delete made;
  return nullptr;
}

void evp_header_key_free(HeaderKey* header_key) {
  EvpHeaderKey* key = static_cast<EvpHeaderKey*>(header_key);
  evp()->ctx_free(key->ctx);
  delete key;
}

bool evp_supports(int aead) { return evp() != nullptr && ciphers().aead[aead] != nullptr; }

// What a forged packet leaves on OpenSSL's error queue must not look like an error of whoever uses it next.
bool clean(bool ok) {
  if (!ok) evp()->clear_error();
  return ok;
}

bool evp_seal(PacketKey* key, const uint8_t nonce[IV_BYTES], const uint8_t* aad, size_t aad_size, const Piece* pieces,
              size_t count) {
  return clean(seal_pieces(static_cast<EvpPacketKey*>(key), nonce, aad, aad_size, pieces, count));
}

bool evp_open(PacketKey* key, const uint8_t nonce[IV_BYTES], const uint8_t* aad, size_t aad_size, uint8_t* data,
              size_t size) {
  return clean(open_in_place(static_cast<EvpPacketKey*>(key), nonce, aad, aad_size, data, size));
}

bool evp_masks(HeaderKey* key, const uint8_t* samples, uint8_t* masks, size_t count) {
  return clean(make_masks(static_cast<EvpHeaderKey*>(key), samples, masks, count));
}

}  // namespace

const AeadEngine EVP_ENGINE = {
    "openssl-evp",       TAG_BYTES,           SAMPLE_BYTES,        evp_supports, evp_packet_key_new, evp_header_key_new,
    evp_packet_key_rest, evp_packet_key_free, evp_header_key_free, evp_seal,     evp_open,           evp_masks,
};

}  // namespace netquic
