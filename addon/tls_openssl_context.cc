// The OpenSSL provider: finding the library, parsing PEM, and one SSL_CTX for each configuration.
#include <dlfcn.h>

#include "tls_openssl.h"

namespace netquic {
namespace ossl {

const Api& api() {
  static const Api loaded = [] {
    Api a;
#define NETQUIC_LOAD(ret, name, args)                              \
  *reinterpret_cast<void**>(&a.name) = dlsym(RTLD_DEFAULT, #name); \
  if (!a.name && !a.missing) a.missing = #name;
    NETQUIC_OPENSSL_SYMBOLS(NETQUIC_LOAD)
#undef NETQUIC_LOAD
    return a;
  }();
  return loaded;
}

std::string last_error() {
  unsigned long code = api().ERR_peek_last_error();
  const char* reason = code ? api().ERR_reason_error_string(code) : nullptr;
  return reason ? reason : "";
}

namespace {

// An encrypted key must fail; OpenSSL's default would ask for the passphrase on the terminal.
int no_password(char*, int, int, void*) { return -1; }

Ptr<Bio> bio_of(const std::string& text) { return Ptr<Bio>(api().BIO_new_mem_buf(text.data(), int(text.size()))); }

bool parse_pair(const tls::Identity& identity, KeyPair* out, std::string* error) {
  const Api& a = api();
  Ptr<Bio> certs = bio_of(identity.cert), key = bio_of(identity.key);
  out->leaf.reset(a.PEM_read_bio_X509(certs.get(), nullptr, no_password, nullptr));
  if (!out->leaf) {
    *error = "the certificate is not PEM";
    return false;
  }
  while (X509* next = a.PEM_read_bio_X509(certs.get(), nullptr, no_password, nullptr)) {
    if (!out->chain) out->chain.reset(a.OPENSSL_sk_new_null());
    a.OPENSSL_sk_push(out->chain.get(), next);
  }
  out->key.reset(a.PEM_read_bio_PrivateKey(key.get(), nullptr, no_password, nullptr));
  if (!out->key) {
    *error = "the private key is not PEM, or it is encrypted";
    return false;
  }
  if (a.X509_check_private_key(out->leaf.get(), out->key.get()) != 1) {
    *error = "the private key does not belong to the certificate";
    return false;
  }
  return true;
}

std::string alpn_wire(const std::vector<std::string>& protocols) {
  std::string wire;
  for (const std::string& protocol : protocols) {
    wire.push_back(char(protocol.size()));
    wire += protocol;
  }
  return wire;
}

bool configure_server(OpensslContext* context) {
  const Api& a = api();
  SslCtx* ctx = context->ctx.get();
  const tls::Config& config = context->config;
  a.SSL_CTX_ctrl(ctx, CTRL_SET_SESS_CACHE_MODE, SESS_CACHE_OFF, nullptr);
  a.SSL_CTX_set_session_id_context(ctx, reinterpret_cast<const uint8_t*>("netquic"), 7);
  if (a.SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, ticket_key_cb) != 1) return false;
  // A resumed session has no certificate to check, so it would keep what the client was once allowed.
  if (config.client_cert != tls::ClientCert::IGNORE) a.SSL_CTX_set_num_tickets(ctx, 0);
  if (config.early_data) {
    a.SSL_CTX_set_max_early_data(ctx, 0xffffffff);  // RFC 9001 §4.6.1
    // Else tickets become entries of a cache in this process; the owner of the session knows which are fresh.
    a.SSL_CTX_set_options(ctx, OP_NO_ANTI_REPLAY);
  }
  return true;
}

bool configure_client(OpensslContext* context) {
  const Api& a = api();
  SslCtx* ctx = context->ctx.get();
  a.SSL_CTX_ctrl(ctx, CTRL_SET_SESS_CACHE_MODE, SESS_CACHE_CLIENT_NO_INTERNAL, nullptr);
  std::string wire = alpn_wire(context->config.alpn);
  if (a.SSL_CTX_set_alpn_protos(ctx, reinterpret_cast<const uint8_t*>(wire.data()), unsigned(wire.size())) != 0)
    return false;
  for (const KeyPair& pair : context->pairs)
    if (a.SSL_CTX_use_cert_and_key(ctx, pair.leaf.get(), pair.key.get(), pair.chain.get(), 1) != 1) return false;
  return true;
}

// Whether no anchor has the name of this list's issuer, or one that has signed it (one name may have several keys). An
// issuer that is no anchor comes in the chains of peers: OpenSSL looks at its signature then.
bool may_be_true(X509Crl* crl, const std::vector<Ptr<X509>>& anchors) {
  const Api& a = api();
  bool is_named = false;
  for (const Ptr<X509>& anchor : anchors) {
    if (a.X509_NAME_cmp(a.X509_CRL_get_issuer(crl), a.X509_get_subject_name(anchor.get())) != 0) continue;
    is_named = true;
    EvpPkey* key = a.X509_get0_pubkey(anchor.get());  // without the extension its usage is all
    if (key && (a.X509_get_key_usage(anchor.get()) & KU_CRL_SIGN) && a.X509_CRL_verify(crl, key) == 1) return true;
  }
  return !is_named;
}

// Null, or why a text of lists cannot be used: there is none in it, one of several is broken, or one bears an anchor's
// name and not its signature. It would be as if nobody were revoked.
const char* add_crls(X509Store* store, const std::vector<Ptr<X509>>& anchors, const std::string& text) {
  const Api& a = api();
  Ptr<Bio> bio = bio_of(text);
  int count = 0;
  a.ERR_clear_error();
  while (X509Crl* raw = a.PEM_read_bio_X509_CRL(bio.get(), nullptr, no_password, nullptr)) {
    Ptr<X509Crl> crl(raw);
    if (!may_be_true(crl.get(), anchors)) return tls::FORGED_REVOCATION_LIST;
    if (a.X509_STORE_add_crl(store, crl.get()) != 1) return tls::BAD_REVOCATION_LIST;
    count++;
  }
  bool is_whole = count > 0 && (a.ERR_peek_last_error() & ERR_REASON_MASK) == PEM_NO_START_LINE;
  return is_whole ? nullptr : tls::BAD_REVOCATION_LIST;
}

class OpensslLibrary : public tls::Library {
 public:
  std::shared_ptr<tls::Trust> new_trust(const tls::TrustOptions& options, std::string* error) override {
    const Api& a = api();
    CleanErrors clean;
    auto trust = std::make_shared<OpensslTrust>();
    trust->store.reset(a.X509_STORE_new());
    std::vector<Ptr<X509>> anchors;
    for (const std::string& pem : options.pems) {
      Ptr<Bio> bio = bio_of(pem);
      int count = 0;
      while (X509* raw = a.PEM_read_bio_X509(bio.get(), nullptr, no_password, nullptr)) {
        Ptr<X509> cert(raw);
        a.X509_STORE_add_cert(trust->store.get(), cert.get());
        anchors.push_back(std::move(cert));
        count++;
      }
      if (count || options.lenient) continue;
      *error = "a certificate of {ca} is not PEM";
      return nullptr;
    }
    for (const std::string& crl : options.crls) {
      const char* why = add_crls(trust->store.get(), anchors, crl);
      if (!why) continue;
      *error = why;
      return nullptr;
    }
    trust->has_crls = !options.crls.empty();
    return trust;
  }

  std::shared_ptr<tls::Context> new_context(tls::Config config, std::shared_ptr<tls::Trust> trust,
                                            std::string* error) override {
    const Api& a = api();
    CleanErrors clean;
    auto context = std::make_shared<OpensslContext>();
    context->config = std::move(config);
    const tls::Config& c = context->config;
    context->ctx.reset(a.SSL_CTX_new(a.TLS_method()));
    SslCtx* ctx = context->ctx.get();
    for (const tls::Identity& identity : c.identities) {
      context->pairs.emplace_back();
      if (!parse_pair(identity, &context->pairs.back(), error)) return nullptr;
    }
    a.SSL_CTX_ctrl(ctx, CTRL_SET_MIN_PROTO_VERSION, TLS1_3_VERSION, nullptr);
    a.SSL_CTX_ctrl(ctx, CTRL_SET_MAX_PROTO_VERSION, TLS1_3_VERSION, nullptr);
    a.SSL_CTX_ctrl(ctx, CTRL_MODE, MODE_NO_AUTO_CHAIN, nullptr);  // send the given chain, not one from the trust store
    a.SSL_CTX_clear_options(ctx, OP_ENABLE_MIDDLEBOX_COMPAT);  // RFC 9001 §8.4
    // The engine's bound on a message would not hold for what is unpacked, so none is asked for (RFC 8879 §3).
    a.SSL_CTX_set_options(ctx, OP_NO_RX_CERTIFICATE_COMPRESSION);
    if (a.SSL_CTX_set_ciphersuites(ctx, c.ciphers.c_str()) != 1) {
      *error = "ciphers: OpenSSL does not take " + c.ciphers;
      return nullptr;
    }
    if (a.SSL_CTX_ctrl(ctx, CTRL_SET_GROUPS_LIST, 0, const_cast<char*>(c.groups.c_str())) != 1) {
      *error = "groups: OpenSSL does not take " + c.groups;
      return nullptr;
    }
    auto* anchors = static_cast<OpensslTrust*>(trust.get());
    context->has_crls = anchors->has_crls;
    X509Store* store = anchors->store.get();
    a.X509_STORE_up_ref(store);  // the context takes the reference
    a.SSL_CTX_set_cert_store(ctx, store);
    set_callbacks(context.get());
    if (c.is_server ? configure_server(context.get()) : configure_client(context.get())) return context;
    *error = "OpenSSL refuses the configuration: " + last_error();
    return nullptr;
  }

  bool has_group(const std::string& name) override {
    const Api& a = api();
    CleanErrors clean;
    Ptr<SslCtx> ctx(a.SSL_CTX_new(a.TLS_method()));
    return a.SSL_CTX_ctrl(ctx.get(), CTRL_SET_GROUPS_LIST, 0, const_cast<char*>(name.c_str())) == 1;
  }
};

}  // namespace
}  // namespace ossl

tls::Library* tls::openssl_library(std::string* why) {
  const ossl::Api& a = ossl::api();
  if (a.missing) {
    std::string version = a.OpenSSL_version ? a.OpenSSL_version(0) : "OpenSSL";
    *why = version.substr(0, version.find(' ', 8)) + " in this Node has no " + a.missing + " (3.5 or later has)";
    return nullptr;
  }
  static ossl::OpensslLibrary* library = [&a] {
    auto* made = new ossl::OpensslLibrary;  // lives as long as the process
    std::string text = a.OpenSSL_version(0);  // OpenSSL 3.5.8 9 Jun 2026
    made->version = text.substr(0, text.find(' ', 8));
    return made;
  }();
  return library;
}

}  // namespace netquic
