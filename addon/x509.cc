// Writes X.509 certificates with the OpenSSL inside the running Node (3.0 and later): self-signed ones for development,
// and small authorities with leaves for tests. Symbols come from the process itself, so nothing is linked or included.
#include <dlfcn.h>
#include <time.h>

#include <memory>

#include "js.h"

namespace netquic {
namespace {

struct X509;
struct EvpPkey;
struct EvpMd;
struct X509Name;
struct X509Extension;
struct Asn1Integer;
struct Asn1Time;
struct Bignum;
struct Bio;
struct BioMethod;
using PasswordCallback = int (*)(char*, int, int, void*);

// X(return type, symbol, arguments)
#define NETQUIC_X509_SYMBOLS(X)                                                                    \
  X(X509*, X509_new, ())                                                                           \
  X(void, X509_free, (X509*))                                                                      \
  X(int, X509_set_version, (X509*, long))                                                          \
  X(Asn1Integer*, X509_get_serialNumber, (X509*))                                                  \
  X(Bignum*, BN_bin2bn, (const uint8_t*, int, Bignum*))                                            \
  X(Asn1Integer*, BN_to_ASN1_INTEGER, (const Bignum*, Asn1Integer*))                               \
  X(void, BN_free, (Bignum*))                                                                      \
  X(Asn1Time*, X509_getm_notBefore, (const X509*))                                                 \
  X(Asn1Time*, X509_getm_notAfter, (const X509*))                                                  \
  X(Asn1Time*, ASN1_TIME_set, (Asn1Time*, time_t))                                                 \
  X(X509Name*, X509_get_subject_name, (const X509*))                                               \
  X(int, X509_NAME_add_entry_by_txt, (X509Name*, const char*, int, const uint8_t*, int, int, int)) \
  X(int, X509_set_issuer_name, (X509*, const X509Name*))                                           \
  X(int, X509_set_pubkey, (X509*, EvpPkey*))                                                       \
  X(void, X509V3_set_ctx, (void*, X509*, X509*, void*, void*, int))                                \
  X(X509Extension*, X509V3_EXT_nconf_nid, (void*, void*, int, const char*))                        \
  X(int, X509_add_ext, (X509*, X509Extension*, int))                                               \
  X(void, X509_EXTENSION_free, (X509Extension*))                                                   \
  X(int, X509_sign, (X509*, EvpPkey*, const EvpMd*))                                               \
  X(const EvpMd*, EVP_sha256, ())                                                                  \
  X(EvpPkey*, EVP_PKEY_Q_keygen, (void*, const char*, const char*, ...))                           \
  X(int, EVP_PKEY_is_a, (const EvpPkey*, const char*))                                             \
  X(void, EVP_PKEY_free, (EvpPkey*))                                                               \
  X(int, RAND_bytes, (uint8_t*, int))                                                              \
  X(int, PEM_write_bio_X509, (Bio*, X509*))                                                        \
  X(int, PEM_write_bio_PrivateKey, (Bio*, const EvpPkey*, void*, const uint8_t*, int, void*, void*)) \
  X(X509*, PEM_read_bio_X509, (Bio*, X509**, PasswordCallback, void*))                             \
  X(EvpPkey*, PEM_read_bio_PrivateKey, (Bio*, EvpPkey**, PasswordCallback, void*))                 \
  X(Bio*, BIO_new, (const BioMethod*))                                                             \
  X(const BioMethod*, BIO_s_mem, ())                                                               \
  X(Bio*, BIO_new_mem_buf, (const void*, int))                                                     \
  X(long, BIO_ctrl, (Bio*, int, long, void*))                                                      \
  X(int, BIO_free, (Bio*))                                                                         \
  X(unsigned long, ERR_get_error, ())                                                              \
  X(void, ERR_error_string_n, (unsigned long, char*, size_t))                                      \
  X(void, ERR_clear_error, ())

struct Api {
#define NETQUIC_DECLARE(ret, name, args) ret(*name) args;
  NETQUIC_X509_SYMBOLS(NETQUIC_DECLARE)
#undef NETQUIC_DECLARE
  const char* missing = nullptr;
};

const Api& api() {
  static const Api loaded = [] {
    Api a;
#define NETQUIC_LOAD(ret, name, args)                                      \
  *reinterpret_cast<void**>(&a.name) = dlsym(RTLD_DEFAULT, #name);         \
  if (!a.name && !a.missing) a.missing = #name;
    NETQUIC_X509_SYMBOLS(NETQUIC_LOAD)
#undef NETQUIC_LOAD
    return a;
  }();
  return loaded;
}

struct FreeX509 {
  void operator()(X509* p) const { api().X509_free(p); }
};
struct FreePkey {
  void operator()(EvpPkey* p) const { api().EVP_PKEY_free(p); }
};
struct FreeBio {
  void operator()(Bio* p) const { api().BIO_free(p); }
};
using X509Ptr = std::unique_ptr<X509, FreeX509>;
using PkeyPtr = std::unique_ptr<EvpPkey, FreePkey>;
using BioPtr = std::unique_ptr<Bio, FreeBio>;

constexpr long X509_VERSION_3 = 2;  // the field counts from zero
constexpr int MBSTRING_UTF8 = 0x1000;
constexpr int NID_SUBJECT_KEY_IDENTIFIER = 82;
constexpr int NID_KEY_USAGE = 83;
constexpr int NID_SUBJECT_ALT_NAME = 85;
constexpr int NID_BASIC_CONSTRAINTS = 87;
constexpr int NID_AUTHORITY_KEY_IDENTIFIER = 90;
constexpr int NID_EXT_KEY_USAGE = 126;
constexpr int BIO_CTRL_INFO = 3;
constexpr size_t SERIAL_BYTES = 16;
constexpr double LAST_SECOND = 253402300799;  // of the year 9999, the last that a certificate can name

// What the TypeScript side gives. Times are seconds since 1970.
struct Request {
  std::string subject, alt_names, key_usage, ext_key_usage, key_type, issuer_cert, issuer_key;
  double not_before = 0, not_after = 0;
  bool is_ca = false;
};

bool is_time(double seconds) { return seconds >= -LAST_SECOND && seconds <= LAST_SECOND; }

bool read_request(napi_env env, napi_value value, Request* out) {
  return js_is_object(env, value) && js_get_string(env, value, "subject", &out->subject) &&
         js_get_string(env, value, "altNames", &out->alt_names) &&
         js_get_string(env, value, "keyUsage", &out->key_usage) &&
         js_get_string(env, value, "extKeyUsage", &out->ext_key_usage) &&
         js_get_string(env, value, "keyType", &out->key_type) &&
         js_get_string(env, value, "issuerCert", &out->issuer_cert) &&
         js_get_string(env, value, "issuerKey", &out->issuer_key) &&
         js_get_number(env, value, "notBefore", &out->not_before) &&
         js_get_number(env, value, "notAfter", &out->not_after) && js_get_bool(env, value, "isCa", &out->is_ca) &&
         is_time(out->not_before) && is_time(out->not_after);
}

// `ctx` is OpenSSL's X509V3_CTX: a plain struct of eight words that only its setter fills.
struct ExtensionContext {
  alignas(16) uint8_t bytes[256] = {};
};

bool add_extension(X509* cert, X509* issuer, int nid, const std::string& value) {
  const Api& a = api();
  if (value.empty()) return true;
  ExtensionContext ctx;
  a.X509V3_set_ctx(ctx.bytes, issuer, cert, nullptr, nullptr, 0);
  X509Extension* ext = a.X509V3_EXT_nconf_nid(nullptr, ctx.bytes, nid, value.c_str());
  if (!ext) return false;
  bool ok = a.X509_add_ext(cert, ext, -1) == 1;
  a.X509_EXTENSION_free(ext);
  return ok;
}

bool set_serial(X509* cert) {
  const Api& a = api();
  uint8_t serial[SERIAL_BYTES];
  if (a.RAND_bytes(serial, sizeof serial) != 1) return false;
  serial[0] = (serial[0] & 0x7f) | 0x40;  // positive and of fixed length (RFC 5280 §4.1.2.2)
  Bignum* number = a.BN_bin2bn(serial, sizeof serial, nullptr);
  if (!number) return false;
  bool ok = a.BN_to_ASN1_INTEGER(number, a.X509_get_serialNumber(cert)) != nullptr;
  a.BN_free(number);
  return ok;
}

bool fill(X509* cert, EvpPkey* key, X509* issuer, const Request& req) {
  const Api& a = api();
  X509* signer = issuer ? issuer : cert;
  X509Name* subject = a.X509_get_subject_name(cert);
  const auto* name = reinterpret_cast<const uint8_t*>(req.subject.data());
  return a.X509_set_version(cert, X509_VERSION_3) == 1 && set_serial(cert) &&
         a.X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8, name, int(req.subject.size()), -1, 0) == 1 &&
         a.X509_set_issuer_name(cert, a.X509_get_subject_name(signer)) == 1 &&
         a.ASN1_TIME_set(a.X509_getm_notBefore(cert), time_t(req.not_before)) &&
         a.ASN1_TIME_set(a.X509_getm_notAfter(cert), time_t(req.not_after)) && a.X509_set_pubkey(cert, key) == 1 &&
         add_extension(cert, signer, NID_BASIC_CONSTRAINTS, req.is_ca ? "critical,CA:TRUE" : "critical,CA:FALSE") &&
         add_extension(cert, signer, NID_KEY_USAGE, req.key_usage) &&
         add_extension(cert, signer, NID_EXT_KEY_USAGE, req.ext_key_usage) &&
         add_extension(cert, signer, NID_SUBJECT_ALT_NAME, req.alt_names) &&
         add_extension(cert, signer, NID_SUBJECT_KEY_IDENTIFIER, "hash") &&
         add_extension(cert, signer, NID_AUTHORITY_KEY_IDENTIFIER, issuer ? "keyid" : "");
}

std::string bio_text(Bio* bio) {
  char* data = nullptr;
  long len = api().BIO_ctrl(bio, BIO_CTRL_INFO, 0, &data);
  return len > 0 && data ? std::string(data, size_t(len)) : std::string();
}

// An encrypted key must fail; OpenSSL's default would ask for the passphrase on the terminal.
int no_password(char*, int, int, void*) { return -1; }

BioPtr bio_of(const std::string& text) { return BioPtr(api().BIO_new_mem_buf(text.data(), int(text.size()))); }

// Returns an empty text on success, else which step failed.
const char* make(const Request& req, std::string* cert_pem, std::string* key_pem) {
  const Api& a = api();
  // The call reads further arguments for other kinds.
  bool is_plain = req.key_type == "ED25519" || req.key_type.compare(0, 7, "ML-DSA-") == 0;
  PkeyPtr key(is_plain ? a.EVP_PKEY_Q_keygen(nullptr, nullptr, req.key_type.c_str())
                       : a.EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "P-256"));
  X509Ptr cert(a.X509_new());
  if (!key || !cert) return "cannot make a key pair";

  X509Ptr issuer;
  PkeyPtr issuer_key;
  if (!req.issuer_cert.empty()) {
    BioPtr cert_bio = bio_of(req.issuer_cert), key_bio = bio_of(req.issuer_key);
    issuer.reset(a.PEM_read_bio_X509(cert_bio.get(), nullptr, no_password, nullptr));
    issuer_key.reset(a.PEM_read_bio_PrivateKey(key_bio.get(), nullptr, no_password, nullptr));
    if (!issuer || !issuer_key) return "the issuer's certificate or key is not PEM";
  }
  if (!fill(cert.get(), key.get(), issuer.get(), req)) return "cannot fill the certificate in";

  EvpPkey* signer = issuer_key ? issuer_key.get() : key.get();
  const EvpMd* digest = a.EVP_PKEY_is_a(signer, "EC") == 1 ? a.EVP_sha256() : nullptr;  // the others hash by themselves
  if (a.X509_sign(cert.get(), signer, digest) <= 0) return "cannot sign the certificate";

  BioPtr cert_out(a.BIO_new(a.BIO_s_mem())), key_out(a.BIO_new(a.BIO_s_mem()));
  if (!cert_out || !key_out || a.PEM_write_bio_X509(cert_out.get(), cert.get()) != 1 ||
      a.PEM_write_bio_PrivateKey(key_out.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr) != 1)
    return "cannot write PEM";
  *cert_pem = bio_text(cert_out.get());
  *key_pem = bio_text(key_out.get());
  return nullptr;
}

// x509Make(request) -> {cert, key}: PEM texts.
napi_value x509_make(napi_env env, napi_callback_info info) {
  size_t argc = 1;
  napi_value arg = nullptr;
  napi_get_cb_info(env, info, &argc, &arg, nullptr, nullptr);
  Request req;
  if (argc < 1 || !read_request(env, arg, &req)) return fail(env, "ERR_INVALID_ARG_TYPE", "x509Make: bad request");
  const Api& a = api();
  if (a.missing) {
    std::string message = std::string("certificates cannot be made: this Node's OpenSSL lacks ") + a.missing;
    return fail(env, "ERR_NETQUIC_X509", message.c_str());
  }
  std::string cert, key;
  a.ERR_clear_error();  // Node shares the queue
  const char* failed = make(req, &cert, &key);
  if (failed) {
    char detail[200] = "";
    if (unsigned long code = a.ERR_get_error()) a.ERR_error_string_n(code, detail, sizeof detail);
    a.ERR_clear_error();
    return fail(env, "ERR_NETQUIC_X509", (std::string(failed) + (*detail ? ": " : "") + detail).c_str());
  }
  napi_value result = js_object(env);
  js_set_string(env, result, "cert", cert);
  js_set_string(env, result, "key", key);
  return result;
}

}  // namespace

void init_x509(napi_env env, napi_value exports) { export_function(env, exports, "x509Make", x509_make); }

}  // namespace netquic
