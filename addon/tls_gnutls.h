// The GnuTLS provider's context and certificate check, seen by its sessions.
#pragma once
#include "tls.h"
#include "tls_gnutls_api.h"

namespace netquic {
namespace gtls {

class GnutlsTrust : public tls::Trust {
 public:
  ~GnutlsTrust() override;

  TrustListT* list = nullptr;
  // Revocation lists of `list` that name no anchor: their issuers come in the chains of peers, and sign them or not.
  std::vector<CrlT*> unproven;
};

// Whether this certificate, which the list names as its issuer, signed the list. How old it is does not matter.
bool is_signed_by(CrlT* crl, CertT* issuer);

// The session whose ClientHello GnuTLS reads: it asks the context whether 0-RTT with a ticket is fresh.
class EarlyDataJudge {
 public:
  virtual ~EarlyDataJudge() = default;
  virtual bool on_early_data() = 0;
};

class GnutlsContext : public tls::Context {
 public:
  ~GnutlsContext() override;
  std::unique_ptr<tls::Session> new_session(const tls::SessionOptions& options, std::string* error) override;

  std::shared_ptr<GnutlsTrust> trust;
  PriorityT* priority = nullptr;
  AntiReplayT* anti_replay = nullptr;       // server with early data
  EarlyDataJudge* current = nullptr;        // in the handshake that runs now
  std::vector<CredentialsT*> credentials;   // server: parallel to config.identities; client: one, maybe empty
  PskClientT* psk_client = nullptr;         // these two where the configuration has keys
  PskServerT* psk_server = nullptr;
};

// Gives GnuTLS the keys of the configuration, tls_gnutls_psk.cc; false when it refuses.
bool add_psks(GnutlsContext* context);
bool set_psk_credentials(const GnutlsContext& context, SessionT* session);
// The configuration of a session; what a server found for an identity, -1 = nothing.
const tls::Config& config_of(SessionT* session);
void note_psk(SessionT* session, int index);

// Checks the peer's chain, leaf first, and its name. Returns an OpenSSL X509_V_ERR number, 0 when all is well.
int verify_chain(const GnutlsTrust& trust, const Datum* chain, unsigned count, bool peer_is_server,
                 const tls::SessionOptions& options);

inline Datum datum_of(const std::string& text) {
  return {reinterpret_cast<unsigned char*>(const_cast<char*>(text.data())), unsigned(text.size())};
}

}  // namespace gtls
}  // namespace netquic
