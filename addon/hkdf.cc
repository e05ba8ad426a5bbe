// See hkdf.h.
#include "hkdf.h"

#include <string.h>

#include "evp.h"

namespace netquic {

// Fetched once: the implicit fetch of EVP_sha256() is what is slow. They live as long as the process.
static const EvpMd* digest(bool sha384) {
  static const EvpMd* const md256 = evp()->md_fetch(nullptr, "SHA2-256", nullptr);
  static const EvpMd* const md384 = evp()->md_fetch(nullptr, "SHA2-384", nullptr);
  return sha384 ? md384 : md256;
}

Hmac::Hmac(bool sha384, const uint8_t* key, size_t size)
    : ctx_(evp()->md_ctx_new()),
      md_(digest(sha384)),
      digest_bytes_(sha384 ? 48 : 32),
      block_bytes_(sha384 ? 128 : 64),
      ok_(ctx_ != nullptr && md_ != nullptr) {
  if (size <= block_bytes_) {
    memcpy(key_, key, size);
    return;
  }
  const Evp& e = *evp();
  ok_ = ok_ && e.digest_init(ctx_, md_, nullptr) == 1 && e.digest_update(ctx_, key, size) == 1 &&
        e.digest_final(ctx_, key_, nullptr) == 1;
}

Hmac::~Hmac() {
  evp()->cleanse(key_, sizeof key_);
  if (ctx_ != nullptr) evp()->md_ctx_free(ctx_);
}

bool Hmac::sum(const uint8_t* data, size_t size, const uint8_t* more, size_t more_size, uint8_t* out) {
  uint8_t inner[DIGEST_BYTES_MAX];
  return ok_ && pass(0x36, data, size, more, more_size, inner) &&
         pass(0x5c, inner, digest_bytes_, nullptr, 0, out);
}

bool Hmac::pass(uint8_t pad, const uint8_t* data, size_t size, const uint8_t* more, size_t more_size, uint8_t* out) {
  const Evp& e = *evp();
  uint8_t block[sizeof key_];
  for (size_t i = 0; i < block_bytes_; i++) block[i] = uint8_t(key_[i] ^ pad);
  bool done = e.digest_init(ctx_, md_, nullptr) == 1 && e.digest_update(ctx_, block, block_bytes_) == 1 &&
              (size == 0 || e.digest_update(ctx_, data, size) == 1) &&
              (more_size == 0 || e.digest_update(ctx_, more, more_size) == 1) && e.digest_final(ctx_, out, nullptr) == 1;
  e.cleanse(block, block_bytes_);
  return done;
}

}  // namespace netquic
