// See tls.h: the parts of a TLS session that do not depend on the library.
#include "tls.h"

namespace netquic {
namespace tls {

void Session::push(Result::Kind kind, int level, const void* data, size_t len) {
  results.emplace_back();
  Result& result = results.back();
  result.kind = kind;
  result.level = level;
  result.bytes.assign(static_cast<const char*>(len ? data : ""), len);
}

void Session::push_alert(int alert, const std::string& reason, int verify_code) {
  if (failed_) return;
  failed_ = true;
  push(Result::ALERT, LEVEL_INITIAL, reason.data(), reason.size());
  results.back().alert = alert;
  results.back().verify_code = verify_code;
}

std::string lower_case(std::string text) {
  for (char& c : text)
    if (c >= 'A' && c <= 'Z') c = char(c + ('a' - 'A'));
  return text;
}

int pick_identity(const std::vector<Identity>& identities, const std::string& server_name) {
  std::string host = lower_case(server_name);
  if (!host.empty() && host.back() == '.') host.pop_back();
  size_t dot = host.find('.');
  std::string wildcard = dot == std::string::npos || dot == 0 ? std::string() : "*" + host.substr(dot);
  int by_wildcard = -1, by_default = -1;
  for (size_t i = 0; i < identities.size(); i++) {
    const std::string& name = identities[i].name;
    if (!host.empty() && host[0] != '*' && name == host) return int(i);
    if (by_wildcard < 0 && !wildcard.empty() && name == wildcard) by_wildcard = int(i);
    if (by_default < 0 && name == "*") by_default = int(i);
  }
  return by_wildcard >= 0 ? by_wildcard : by_default;
}

int find_psk(const std::vector<Psk>& psks, const void* identity, size_t len) {
  for (size_t i = 0; i < psks.size(); i++)
    if (psks[i].identity.size() == len && !memcmp(psks[i].identity.data(), identity, len)) return int(i);
  return -1;
}

// As OpenSSL maps them, so that both libraries answer alike.
int alert_of_verify_code(int verify_code) {
  switch (verify_code) {
    case 2: case 18: case 19: case 20: case 21: case 79: return ALERT_UNKNOWN_CA;
    case 7: return ALERT_DECRYPT_ERROR;
    case 9: case 62: case 64: return ALERT_BAD_CERTIFICATE;
    case 10: return ALERT_CERTIFICATE_EXPIRED;
    case 23: return ALERT_CERTIFICATE_REVOKED;
    case 26: return ALERT_UNSUPPORTED_CERTIFICATE;
    default: return ALERT_CERTIFICATE_UNKNOWN;
  }
}

const char* cipher_suite_name(int aead) {
  switch (aead) {
    case 1: return "TLS_AES_128_GCM_SHA256";
    case 2: return "TLS_AES_256_GCM_SHA384";
    case 3: return "TLS_CHACHA20_POLY1305_SHA256";
    case 4: return "TLS_AES_128_CCM_SHA256";
    default: return "";
  }
}

bool is_hello_retry(const uint8_t* message, size_t len) {
  static const uint8_t random[] = {0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c,
                                   0x02, 0x1e, 0x65, 0xb8, 0x91, 0xc2, 0xa2, 0x11, 0x16, 0x7a, 0xbb,
                                   0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c};
  constexpr size_t RANDOM_AT = 4 + 2;
  return len >= RANDOM_AT + sizeof random && message[0] == 2 && !memcmp(message + RANDOM_AT, random, sizeof random);
}

}  // namespace tls
}  // namespace netquic
