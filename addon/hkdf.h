// HMAC and HKDF-Expand (RFC 5869) over the digests of the OpenSSL inside the running Node. OpenSSL's own HMAC() looks its
// algorithm up by name in every call, which takes three times as long as the four hashes of a short message.
#pragma once
#include <stddef.h>
#include <stdint.h>

namespace netquic {

constexpr size_t DIGEST_BYTES_MAX = 48;

// One key for several messages. Not copyable; wipes the key at its end.
class Hmac {
 public:
  Hmac(bool sha384, const uint8_t* key, size_t size);
  ~Hmac();
  Hmac(const Hmac&) = delete;
  Hmac& operator=(const Hmac&) = delete;

  size_t digest_bytes() const { return digest_bytes_; }
  // HMAC of the two pieces, one after the other. False when OpenSSL refuses.
  bool sum(const uint8_t* data, size_t size, const uint8_t* more, size_t more_size, uint8_t* out);

 private:
  bool pass(uint8_t pad, const uint8_t* data, size_t size, const uint8_t* more, size_t more_size, uint8_t* out);

  struct EvpMdCtx* ctx_;
  const struct EvpMd* md_;
  size_t digest_bytes_, block_bytes_;
  uint8_t key_[128] = {};  // padded to a block
  bool ok_;
};

}  // namespace netquic
