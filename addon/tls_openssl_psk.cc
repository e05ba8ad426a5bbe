// Keys that both sides were given beforehand (RFC 8446 §4.2.11), which OpenSSL takes as sessions that never were. The
// hash of such a key is SHA-256, so it goes with cipher suites of that hash only.
#include "tls_openssl.h"

namespace netquic {
namespace ossl {
namespace {

constexpr uint8_t AES_128_GCM_SHA256[] = {0x13, 0x01};

// A session with this key; null when OpenSSL refuses.
SslSession* session_of(Ssl* ssl, const std::string& key) {
  const Api& a = api();
  Ptr<SslSession> session(a.SSL_SESSION_new());
  const SslCipher* cipher = a.SSL_CIPHER_find(ssl, AES_128_GCM_SHA256);
  if (!session || !cipher ||
      a.SSL_SESSION_set1_master_key(session.get(), reinterpret_cast<const uint8_t*>(key.data()), key.size()) != 1 ||
      a.SSL_SESSION_set_cipher(session.get(), cipher) != 1 ||
      a.SSL_SESSION_set_protocol_version(session.get(), TLS1_3_VERSION) != 1)
    return nullptr;
  return session.release();
}

// Client, for each ClientHello: OpenSSL offers one key.
int use_cb(Ssl* ssl, const void*, const uint8_t** identity, size_t* len, SslSession** session) {
  const tls::Psk& psk = config_of(ssl).psks.front();
  *identity = reinterpret_cast<const uint8_t*>(psk.identity.data());
  *len = psk.identity.size();
  *session = session_of(ssl, psk.key);
  return *session != nullptr;
}

// Server, for each identity that a client offers, tickets included.
int find_cb(Ssl* ssl, const uint8_t* identity, size_t len, SslSession** session) {
  const std::vector<tls::Psk>& psks = config_of(ssl).psks;
  int index = tls::find_psk(psks, identity, len);
  note_psk(ssl, index);
  *session = index < 0 ? nullptr : session_of(ssl, psks[size_t(index)].key);
  return index < 0 || *session;
}

}  // namespace

void set_psk_callbacks(OpensslContext* context) {
  const Api& a = api();
  if (context->config.psks.empty()) return;
  if (context->config.is_server) a.SSL_CTX_set_psk_find_session_callback(context->ctx.get(), find_cb);
  else a.SSL_CTX_set_psk_use_session_callback(context->ctx.get(), use_cb);
}

}  // namespace ossl
}  // namespace netquic
