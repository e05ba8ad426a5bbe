// Checks a peer's certificates with GnuTLS and says the verdict in OpenSSL's numbers, so that one table names both.
#include <arpa/inet.h>

#include "tls_gnutls.h"

namespace netquic {
namespace gtls {
namespace {

constexpr int V_ERR_UNSPECIFIED = 1;
constexpr int V_ERR_CERT_SIGNATURE_FAILURE = 7;
constexpr int V_ERR_CRL_SIGNATURE_FAILURE = 8;
constexpr int V_ERR_CERT_NOT_YET_VALID = 9;
constexpr int V_ERR_CERT_HAS_EXPIRED = 10;
constexpr int V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT = 18;
constexpr int V_ERR_SELF_SIGNED_CERT_IN_CHAIN = 19;
constexpr int V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY = 20;
constexpr int V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE = 21;
constexpr int V_ERR_CERT_REVOKED = 23;
constexpr int V_ERR_INVALID_PURPOSE = 26;
constexpr int V_ERR_UNHANDLED_CRITICAL_EXTENSION = 34;
constexpr int V_ERR_PERMITTED_VIOLATION = 47;
constexpr int V_ERR_HOSTNAME_MISMATCH = 62;
constexpr int V_ERR_EE_KEY_TOO_SMALL_OR_WEAK = 66;
constexpr int V_ERR_INVALID_CA = 79;

constexpr char SERVER_AUTH_OID[] = "1.3.6.1.5.5.7.3.1";
constexpr char CLIENT_AUTH_OID[] = "1.3.6.1.5.5.7.3.2";

// RFC 5280 chains are short; a longer one is an attack on the verifier.
constexpr unsigned MAX_CHAIN = 16;

struct Chain {
  ~Chain() {
    for (unsigned i = 0; i < count; i++) api().gnutls_x509_crt_deinit(certs[i]);
  }
  CertT* certs[MAX_CHAIN] = {};
  unsigned count = 0;
};

bool import_chain(const Datum* ders, unsigned count, Chain* out) {
  const Api& a = api();
  if (count > MAX_CHAIN) return false;
  for (unsigned i = 0; i < count; i++) {
    if (a.gnutls_x509_crt_init(&out->certs[i]) < 0) return false;
    out->count = i + 1;
    if (a.gnutls_x509_crt_import(out->certs[i], &ders[i], X509_FMT_DER) < 0) return false;
  }
  return count > 0;
}

// Which of OpenSSL's four ways to say that no trusted issuer was found.
int issuer_missing(const Chain& chain) {
  CertT* last = chain.certs[chain.count - 1];
  bool self_signed = api().gnutls_x509_crt_check_issuer(last, last) != 0;
  if (chain.count == 1) return self_signed ? V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT : V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE;
  return self_signed ? V_ERR_SELF_SIGNED_CERT_IN_CHAIN : V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY;
}

// One number for a set of status bits; a bad chain outranks a wrong name, as in Node.
int code_of(unsigned status, const Chain& chain) {
  if (status == 0) return tls::VERIFY_OK;
  if (status & CERT_REVOKED) return V_ERR_CERT_REVOKED;
  if (status & CERT_SIGNATURE_FAILURE) return V_ERR_CERT_SIGNATURE_FAILURE;
  if (status & CERT_EXPIRED) return V_ERR_CERT_HAS_EXPIRED;
  if (status & CERT_NOT_ACTIVATED) return V_ERR_CERT_NOT_YET_VALID;
  if (status & CERT_SIGNER_NOT_FOUND) return issuer_missing(chain);
  if (status & CERT_SIGNER_NOT_CA) return V_ERR_INVALID_CA;
  if (status & CERT_SIGNER_CONSTRAINTS_FAILURE) return V_ERR_PERMITTED_VIOLATION;
  if (status & CERT_INSECURE_ALGORITHM) return V_ERR_EE_KEY_TOO_SMALL_OR_WEAK;
  if (status & CERT_UNKNOWN_CRIT_EXTENSIONS) return V_ERR_UNHANDLED_CRITICAL_EXTENSION;
  if (status & CERT_PURPOSE_MISMATCH) return V_ERR_INVALID_PURPOSE;
  if (status & CERT_UNEXPECTED_OWNER) return V_ERR_HOSTNAME_MISMATCH;
  return V_ERR_UNSPECIFIED;
}

// What the callback of the check that runs on this thread compares and finds: GnuTLS hands it nothing of ours.
struct UnprovenLists {
  const std::vector<CrlT*>& crls;
  bool is_forged = false;
};
thread_local UnprovenLists* unproven_lists = nullptr;

// Each step of the chain: an issuer that is proven, but for the steps above it.
int on_step(CertT*, CertT* issuer, CrlT*, unsigned) {
  if (!issuer) return 0;
  for (CrlT* crl : unproven_lists->crls)
    if (api().gnutls_x509_crl_check_issuer(crl, issuer) && !is_signed_by(crl, issuer)) unproven_lists->is_forged = true;
  return 0;
}

}  // namespace

bool is_signed_by(CrlT* crl, CertT* issuer) {
  unsigned status = CERT_INVALID;
  if (api().gnutls_x509_crl_verify(crl, &issuer, 1, VERIFY_ALLOW_SIGN_WITH_SHA1, &status) < 0) return false;
  unsigned age = status & (CERT_REVOCATION_DATA_SUPERSEDED | CERT_REVOCATION_DATA_ISSUED_IN_FUTURE);
  return status == (age ? age | CERT_INVALID : 0);
}

int verify_chain(const GnutlsTrust& trust, const Datum* ders, unsigned count, bool peer_is_server,
                 const tls::SessionOptions& options) {
  const Api& a = api();
  Chain chain;
  if (!import_chain(ders, count, &chain)) return V_ERR_UNSPECIFIED;

  std::string purpose = peer_is_server ? SERVER_AUTH_OID : CLIENT_AUTH_OID;
  std::string name = options.verify_dns;
  unsigned char ip[sizeof(in6_addr)];
  TypedData wanted[2] = {{DT_KEY_PURPOSE_OID, datum_of(purpose).data, 0}, {0, nullptr, 0}};
  unsigned wanted_count = 1;
  if (!name.empty()) wanted[wanted_count++] = {DT_DNS_HOSTNAME, datum_of(name).data, 0};
  if (!options.verify_ip.empty()) {
    bool is_v6 = options.verify_ip.find(':') != std::string::npos;
    if (inet_pton(is_v6 ? AF_INET6 : AF_INET, options.verify_ip.c_str(), ip) != 1) return V_ERR_HOSTNAME_MISMATCH;
    wanted[wanted_count++] = {DT_IP_ADDRESS, ip, is_v6 ? 16u : 4u};
  }

  unsigned status = CERT_INVALID;
  CertT* order[MAX_CHAIN];  // the call sorts its list
  for (unsigned i = 0; i < chain.count; i++) order[i] = chain.certs[i];
  UnprovenLists lists = {trust.unproven};
  unproven_lists = &lists;
  int result = a.gnutls_x509_trust_list_verify_crt2(trust.list, order, chain.count, wanted, wanted_count, 0, &status,
                                                    trust.unproven.empty() ? nullptr : on_step);
  unproven_lists = nullptr;
  if (result < 0) return V_ERR_UNSPECIFIED;
  // A forged list says nothing, neither that somebody is revoked nor that nobody is.
  bool is_trusted = (status & ~(CERT_INVALID | CERT_REVOKED)) == 0;
  return is_trusted && lists.is_forged ? V_ERR_CRL_SIGNATURE_FAILURE : code_of(status, chain);
}

}  // namespace gtls
}  // namespace netquic
