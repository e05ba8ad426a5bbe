// The OpenSSL provider's context, seen by its sessions.
#pragma once
#include "tls.h"
#include "tls_openssl_api.h"

namespace netquic {
namespace ossl {

// A certificate chain with its key, parsed.
struct KeyPair {
  Ptr<X509> leaf;
  Ptr<Stack> chain;  // the rest, leaf excluded; null when there is none
  Ptr<EvpPkey> key;
};

class OpensslTrust : public tls::Trust {
 public:
  Ptr<X509Store> store;
};

class OpensslContext : public tls::Context {
 public:
  std::unique_ptr<tls::Session> new_session(const tls::SessionOptions& options, std::string* error) override;

  Ptr<SslCtx> ctx;
  std::vector<KeyPair> pairs;  // parallel to config.identities
};

// Protects tickets with the keys of the session, tls_openssl_tickets.cc.
int ticket_key_cb(Ssl* ssl, uint8_t* name, uint8_t* iv, EvpCipherCtx* cipher, EvpMacCtx* mac, int enc);
// What a session was given for its tickets.
const std::string& ticket_keys_of(const Ssl* ssl);
// Callbacks of the SSL_CTX, in tls_openssl.cc.
void set_callbacks(OpensslContext* context);

}  // namespace ossl
}  // namespace netquic
