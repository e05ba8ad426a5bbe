// Session tickets of OpenSSL servers: which key protects a ticket, by its name (RFC 5077 §4). The keys come from
// outside, newest first, and change with time; a ticket of a key that is gone means a full handshake.
#include <string.h>

#include "tls_openssl.h"

namespace netquic {
namespace ossl {
namespace {

constexpr size_t NAME_BYTES = 16;
constexpr size_t KEY_BYTES = 32;
constexpr size_t ENTRY_BYTES = NAME_BYTES + 2 * KEY_BYTES;  // name, encryption key, MAC key
constexpr int IV_BYTES = 16;

// The entry with this name, or null.
const uint8_t* entry_of(const std::string& keys, const uint8_t* name) {
  for (size_t at = 0; at + ENTRY_BYTES <= keys.size(); at += ENTRY_BYTES)
    if (!memcmp(keys.data() + at, name, NAME_BYTES)) return reinterpret_cast<const uint8_t*>(keys.data()) + at;
  return nullptr;
}

bool set_mac_key(EvpMacCtx* mac, const uint8_t* key) {
  char digest[] = "SHA256";
  EvpParam params[] = {{"key", EVP_PARAM_OCTETS, const_cast<uint8_t*>(key), KEY_BYTES, SIZE_MAX},
                       {"digest", EVP_PARAM_UTF8, digest, strlen(digest), SIZE_MAX},
                       {nullptr, 0, nullptr, 0, 0}};
  return api().EVP_MAC_CTX_set_params(mac, params) == 1;
}

}  // namespace

// Returns what OpenSSL wants: 1 for a key that is set, 2 if a resumed session shall give tickets too, 0 for no key.
int ticket_key_cb(Ssl* ssl, uint8_t* name, uint8_t* iv, EvpCipherCtx* cipher, EvpMacCtx* mac, int enc) {
  const Api& a = api();
  const std::string& keys = ticket_keys_of(ssl);
  if (enc) {
    if (keys.size() < ENTRY_BYTES) return 0;
    memcpy(name, keys.data(), NAME_BYTES);
    if (a.RAND_bytes(iv, IV_BYTES) != 1) return -1;
  }
  const uint8_t* entry = entry_of(keys, name);
  if (!entry) return 0;
  const uint8_t* key = entry + NAME_BYTES;
  if (a.EVP_CipherInit_ex(cipher, a.EVP_aes_256_cbc(), nullptr, key, iv, enc) != 1) return -1;
  if (!set_mac_key(mac, key + KEY_BYTES)) return -1;
  return enc ? 1 : 2;
}

}  // namespace ossl
}  // namespace netquic
