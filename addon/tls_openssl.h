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
  bool has_crls = false;
};

class OpensslContext : public tls::Context {
 public:
  std::unique_ptr<tls::Session> new_session(const tls::SessionOptions& options, std::string* error) override;

  Ptr<SslCtx> ctx;
  bool has_crls = false;
  std::vector<KeyPair> pairs;  // parallel to config.identities
};

// Protects tickets with the keys of the session, tls_openssl_tickets.cc.
int ticket_key_cb(Ssl* ssl, uint8_t* name, uint8_t* iv, EvpCipherCtx* cipher, EvpMacCtx* mac, int enc);
// What a session was given for its tickets.
const std::string& ticket_keys_of(const Ssl* ssl);
// Gives OpenSSL the keys of the configuration, tls_openssl_psk.cc.
void set_psk_callbacks(OpensslContext* context);
// The configuration of a session; what a server found for an identity, -1 = nothing.
const tls::Config& config_of(const Ssl* ssl);
void note_psk(const Ssl* ssl, int index);
// Callbacks of the SSL_CTX, in tls_openssl.cc.
void set_callbacks(OpensslContext* context);

}  // namespace ossl
}  // namespace netquic
