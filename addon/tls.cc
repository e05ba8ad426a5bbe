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
    if (!wildcard.empty() && name == wildcard) by_wildcard = int(i);
    if (name == "*") by_default = int(i);
  }
  return by_wildcard >= 0 ? by_wildcard : by_default;
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

}  // namespace tls
}  // namespace netquic
