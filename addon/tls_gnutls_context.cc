// The GnuTLS provider: finding the library, parsing PEM, and what the sessions of one configuration share.
#include <dlfcn.h>
#include <stdlib.h>

#include "tls_gnutls.h"

namespace netquic {
namespace gtls {

constexpr const char* SONAME = "libgnutls.so.30";
constexpr const char* OLDEST = "3.7.2";

const Api& api() {
  static const Api loaded = [] {
    Api a = {};
    void* library = dlopen(SONAME, RTLD_NOW | RTLD_LOCAL);
    if (!library) {
      a.missing = SONAME;
      return a;
    }
#define NETQUIC_LOAD(ret, name, args)                       \
  *reinterpret_cast<void**>(&a.name) = dlsym(library, #name); \
  if (!a.name && !a.missing) a.missing = #name;
    NETQUIC_GNUTLS_SYMBOLS(NETQUIC_LOAD)
#undef NETQUIC_LOAD
    // A variable that holds the function.
    auto* release = static_cast<void (**)(void*)>(dlsym(library, "gnutls_free"));
    a.free = release && *release ? *release : ::free;
    auto* allocate = static_cast<void* (**)(size_t)>(dlsym(library, "gnutls_malloc"));
    a.malloc = allocate && *allocate ? *allocate : ::malloc;
    if (!a.missing && !a.gnutls_check_version(OLDEST)) a.missing = OLDEST;
    return a;
  }();
  return loaded;
}

GnutlsTrust::~GnutlsTrust() {
  if (list) api().gnutls_x509_trust_list_deinit(list, 1);
}

GnutlsContext::~GnutlsContext() {
  const Api& a = api();
  if (priority) a.gnutls_priority_deinit(priority);
  if (anti_replay) a.gnutls_anti_replay_deinit(anti_replay);
  for (CredentialsT* each : credentials) a.gnutls_certificate_free_credentials(each);
  if (psk_client) a.gnutls_psk_free_client_credentials(psk_client);
  if (psk_server) a.gnutls_psk_free_server_credentials(psk_server);
}

namespace {

// Else tickets are refused that are older than some 20 s, whatever age their client claims. A ticket is taken once, so
// its age need not tell a replay from the first.
constexpr unsigned REPLAY_WINDOW_MILLIS = 7 * 24 * 3600 * 1000u;

// GnuTLS asks for each 0-RTT whose ticket is of the age that the client claims; its owner knows which are fresh.
int judge_early_data(void* context, time_t, const Datum*, const Datum*) {
  EarlyDataJudge* judge = static_cast<GnutlsContext*>(context)->current;
  return judge && judge->on_early_data() ? 0 : E_DB_ENTRY_EXISTS;
}

bool add_credentials(GnutlsContext* context, const tls::Identity* identity, std::string* error) {
  const Api& a = api();
  CredentialsT* made = nullptr;
  if (a.gnutls_certificate_allocate_credentials(&made) < 0) return false;
  context->credentials.push_back(made);
  if (!identity) return true;
  Datum cert = datum_of(identity->cert), key = datum_of(identity->key);
  int result = a.gnutls_certificate_set_x509_key_mem2(made, &cert, &key, X509_FMT_PEM, nullptr, 0);
  if (result >= 0) return true;
  *error = std::string("the certificate or its private key is bad or encrypted: ") + a.gnutls_strerror(result);
  return false;
}

// Null, or why a text of lists cannot be used: there is none in it, one of several is broken, or one bears an anchor's
// name and not its signature. It would be as if nobody were revoked.
const char* add_crls(GnutlsTrust* trust, const std::vector<CertT*>& anchors, const std::string& pem) {
  const Api& a = api();
  CrlT** crls = nullptr;
  unsigned count = 0;
  Datum text = datum_of(pem);
  if (a.gnutls_x509_crl_list_import2(&crls, &count, &text, X509_FMT_PEM, 0) < 0 || count == 0)
    return tls::BAD_REVOCATION_LIST;
  bool is_forged = false;
  for (unsigned i = 0; i < count; i++) {
    bool is_named = false, is_signed = false;  // one name may have several keys
    for (CertT* anchor : anchors) {
      if (!a.gnutls_x509_crl_check_issuer(crls[i], anchor)) continue;
      is_named = true;
      is_signed = is_signed || is_signed_by(crls[i], anchor);
    }
    is_forged = is_forged || (is_named && !is_signed);
    if (!is_named) trust->unproven.push_back(crls[i]);
  }
  bool added = a.gnutls_x509_trust_list_add_crls(trust->list, crls, count, 0, 0) >= 0;  // takes the lists, not the array
  a.free(crls);
  if (is_forged) return tls::FORGED_REVOCATION_LIST;
  return added ? nullptr : tls::BAD_REVOCATION_LIST;
}

class GnutlsLibrary : public tls::Library {
 public:
  std::shared_ptr<tls::Trust> new_trust(const tls::TrustOptions& options, std::string* error) override {
    const Api& a = api();
    auto trust = std::make_shared<GnutlsTrust>();
    if (a.gnutls_x509_trust_list_init(&trust->list, 0) < 0) {
      *error = "GnuTLS is out of memory";
      return nullptr;
    }
    std::vector<CertT*> anchors;
    for (const std::string& pem : options.pems) {
      CertT** certs = nullptr;
      unsigned count = 0;
      Datum text = datum_of(pem);
      if (a.gnutls_x509_crt_list_import2(&certs, &count, &text, X509_FMT_PEM, 0) < 0 || count == 0) {
        if (options.lenient) continue;
        *error = "a certificate of {ca} is not PEM";
        return nullptr;
      }
      anchors.insert(anchors.end(), certs, certs + count);
      a.gnutls_x509_trust_list_add_cas(trust->list, certs, count, 0);  // takes the certificates, not the array
      a.free(certs);
    }
    for (const std::string& crl : options.crls) {
      const char* why = add_crls(trust.get(), anchors, crl);
      if (!why) continue;
      *error = why;
      return nullptr;
    }
    return trust;
  }

  std::shared_ptr<tls::Context> new_context(tls::Config config, std::shared_ptr<tls::Trust> trust,
                                            std::string* error) override {
    const Api& a = api();
    auto context = std::make_shared<GnutlsContext>();
    context->config = std::move(config);
    context->trust = std::static_pointer_cast<GnutlsTrust>(trust);
    const tls::Config& c = context->config;
    const char* bad = nullptr;
    if (a.gnutls_priority_init(&context->priority, c.ciphers.c_str(), &bad) < 0) {
      context->priority = nullptr;
      *error = std::string("ciphers, groups: GnuTLS does not take ") + (bad ? bad : c.ciphers.c_str());
      return nullptr;
    }
    for (const tls::Identity& identity : c.identities)
      if (!add_credentials(context.get(), &identity, error)) return nullptr;
    if (context->credentials.empty() && !add_credentials(context.get(), nullptr, error)) return nullptr;
    if (!c.psks.empty() && !add_psks(context.get())) {
      *error = "psk: GnuTLS does not take the keys";
      return nullptr;
    }
    if (c.is_server && c.early_data) {
      a.gnutls_anti_replay_init(&context->anti_replay);
      a.gnutls_anti_replay_set_add_function(context->anti_replay, judge_early_data);
      a.gnutls_anti_replay_set_window(context->anti_replay, REPLAY_WINDOW_MILLIS);
      a.gnutls_anti_replay_set_ptr(context->anti_replay, context.get());
    }
    return context;
  }

  bool has_group(const std::string& name) override { return api().gnutls_group_get_id(name.c_str()) != 0; }
};

}  // namespace
}  // namespace gtls

tls::Library* tls::gnutls_library(std::string* why) {
  const gtls::Api& a = gtls::api();
  if (a.missing) {
    *why = std::string("GnuTLS ") + gtls::OLDEST + " or later is not there (looked for " + a.missing + ")";
    return nullptr;
  }
  static gtls::GnutlsLibrary* library = [&a] {
    auto* made = new gtls::GnutlsLibrary;  // lives as long as the process
    made->version = std::string("GnuTLS ") + a.gnutls_check_version(nullptr);
    return made;
  }();
  return library;
}

}  // namespace netquic
