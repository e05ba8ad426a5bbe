// What the two TLS libraries share: a configuration, a session that is fed bytes and queues results, and the queue's
// form. The libraries know nothing of JavaScript; tls_js.cc turns results into the objects of port/tls.
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <deque>
#include <memory>
#include <string>
#include <vector>

namespace netquic {
namespace tls {

enum Level : int { LEVEL_INITIAL = 0, LEVEL_EARLY = 1, LEVEL_HANDSHAKE = 2, LEVEL_APP = 3 };

// Alerts that this side raises by itself (RFC 8446 §6).
constexpr int ALERT_UNEXPECTED_MESSAGE = 10;
constexpr int ALERT_BAD_CERTIFICATE = 42;
constexpr int ALERT_UNSUPPORTED_CERTIFICATE = 43;
constexpr int ALERT_CERTIFICATE_REVOKED = 44;
constexpr int ALERT_CERTIFICATE_EXPIRED = 45;
constexpr int ALERT_CERTIFICATE_UNKNOWN = 46;
constexpr int ALERT_UNKNOWN_CA = 48;
constexpr int ALERT_DECRYPT_ERROR = 51;
constexpr int ALERT_INTERNAL_ERROR = 80;
constexpr int ALERT_UNRECOGNIZED_NAME = 112;
constexpr int ALERT_NO_APPLICATION_PROTOCOL = 120;

// Certificate verification results: OpenSSL's X509_V_ERR numbers, which GnuTLS's status bits are mapped to.
constexpr int VERIFY_OK = 0;
constexpr int VERIFY_NO_PEER_CERTIFICATE = 2;  // Node says UNABLE_TO_GET_ISSUER_CERT for a peer that sent none

struct Identity {
  // Lower-case host, `*.host` or `*`; unused at a client. Those of one name stand together and differ in their kinds of
  // key: the peer takes what it can verify.
  std::string name;
  std::string cert, key;
};

// A key that both sides were given beforehand (RFC 8446 §4.2.11). Its hash is SHA-256.
struct Psk {
  std::string identity, key;
};

enum class ClientCert { IGNORE, REQUEST, REQUIRE };

struct Config {
  bool is_server = false;
  bool report = false;  // client: the handshake goes on when verification fails
  bool keylog = false;
  bool early_data = false;
  ClientCert client_cert = ClientCert::IGNORE;
  std::vector<std::string> alpn;
  std::string ciphers;  // OpenSSL: cipher suites; GnuTLS: the whole priority string
  std::string groups;   // OpenSSL only
  std::vector<Identity> identities;
  std::vector<Psk> psks;  // any = certificates are neither shown nor taken; a client offers the first
};

struct SessionOptions {
  std::string transport_params;
  std::string sni;         // client: host name to send, "" for none
  std::string verify_dns;  // client: one of these two is what the certificate must be valid for
  std::string verify_ip;   // text form
  std::string ticket;      // client: library's own bytes, "" for none
  // Server: OpenSSL 80 bytes for each key, the newest first; GnuTLS one of 64. None = no tickets.
  std::string ticket_keys;
  bool early_data = false;  // client: offer 0-RTT when the ticket allows it
};

struct Info {
  std::string alpn, server_name, cipher, group, psk_identity;
  bool resumed = false, early_data_accepted = false;
  std::vector<std::string> peer_certs;  // DER, leaf first
  int verify_code = VERIFY_OK;
};

struct Result {
  enum Kind { SEND, SECRET, PEER_PARAMS, DONE, TICKET, KEYLOG, ALERT } kind = SEND;
  int level = LEVEL_INITIAL;
  bool is_write = false;    // SECRET
  int aead = 0;             // SECRET: AeadId
  int alert = 0;            // ALERT
  int verify_code = 0;      // ALERT, TICKET: result of the certificate check
  std::string bytes;        // all but DONE; KEYLOG: the line; ALERT: the library's reason
  std::unique_ptr<Info> info;  // DONE
};

// One handshake. put never throws and never calls out; after an ALERT result it does nothing.
class Session {
 public:
  virtual ~Session() = default;
  virtual void put(int level, const uint8_t* data, size_t len) = 0;

  // Server: 0-RTT may be accepted if this protocol is negotiated. Before the ClientHello is complete.
  void allow_early_data(std::string alpn) { early_alpn_ = std::move(alpn); }

  std::deque<Result> results;

 protected:
  void push(Result::Kind kind, int level, const void* data, size_t len);
  // Reports the one alert of this session; later ones are dropped.
  void push_alert(int alert, const std::string& reason, int verify_code);
  bool failed() const { return failed_; }
  // Whether 0-RTT may be accepted with the protocol that was negotiated.
  bool early_data_allowed(const void* alpn, size_t len) const {
    return !early_alpn_.empty() && early_alpn_.size() == len && !memcmp(early_alpn_.data(), alpn, len);
  }

 private:
  std::string early_alpn_;
  bool failed_ = false;
};

// What a trust is made of, all PEM. Lenient leaves bad anchors out: for the machine's own store, of which the caller
// knows nothing.
struct TrustOptions {
  std::vector<std::string> pems;  // anchors
  bool lenient = false;
  std::vector<std::string> crls;  // each one list or several (RFC 5280 §5)
};

// Trust anchors and revocation lists, parsed once and shared by contexts.
class Trust {
 public:
  virtual ~Trust() = default;
};

class Context : public std::enable_shared_from_this<Context> {
 public:
  virtual ~Context() = default;
  // A session keeps its context alive. Returns null and sets `error` when the library refuses.
  virtual std::unique_ptr<Session> new_session(const SessionOptions& options, std::string* error) = 0;

  Config config;
};

class Library {
 public:
  virtual ~Library() = default;
  // Each returns null and sets `error` to one sentence when a PEM or a list is bad.
  virtual std::shared_ptr<Trust> new_trust(const TrustOptions& options, std::string* error) = 0;
  virtual std::shared_ptr<Context> new_context(Config config, std::shared_ptr<Trust> trust, std::string* error) = 0;
  virtual bool has_group(const std::string& name) = 0;

  std::string version;
};

// What `new_trust` says of a bad list.
constexpr const char* BAD_REVOCATION_LIST = "a list of {crl} is not PEM";
constexpr const char* FORGED_REVOCATION_LIST = "a list of {crl} is not signed by the authority of {ca} that it names";

// Null when the running process lacks the library; `why` then says what was looked for.
Library* openssl_library(std::string* why);
Library* gnutls_library(std::string* why);

// The first identity for the server name that a client sent ("" for none): exact, then one-label wildcard, then `*`.
// -1 = none.
int pick_identity(const std::vector<Identity>& identities, const std::string& server_name);
// What a server says of a wrong key it also says of an unknown identity, so that nobody learns which ones there are
// (RFC 8446 §6.2, unknown_psk_identity).
constexpr int ALERT_BAD_PSK = ALERT_DECRYPT_ERROR;
constexpr const char* UNKNOWN_PSK_IDENTITY = "unknown PSK identity";
// The alert that a failed certificate check is answered with.
int alert_of_verify_code(int verify_code);
// Index of the key with this identity, -1 = none.
int find_psk(const std::vector<Psk>& psks, const void* identity, size_t len);
// `TLS_...` by AeadId 1..4.
const char* cipher_suite_name(int aead);
// Whether this handshake message, header included, is a HelloRetryRequest (RFC 8446 §4.1.3).
bool is_hello_retry(const uint8_t* message, size_t len);
std::string lower_case(std::string text);

}  // namespace tls
}  // namespace netquic
