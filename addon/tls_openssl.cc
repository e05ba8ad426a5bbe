// One TLS 1.3 handshake over OpenSSL's callbacks for QUIC (RFC 9001 §4). OpenSSL pulls CRYPTO bytes record by record,
// pushes bytes to send, and yields secrets; it names no level for bytes, so the levels follow the secrets.
#include <string.h>

#include "tls_openssl.h"

namespace netquic {
namespace ossl {

using tls::Result;

namespace {

// Fields of OSSL_DISPATCH for SSL_set_quic_tls_cbs.
constexpr int FUNC_CRYPTO_SEND = 2001;
constexpr int FUNC_CRYPTO_RECV_RCD = 2002;
constexpr int FUNC_CRYPTO_RELEASE_RCD = 2003;
constexpr int FUNC_YIELD_SECRET = 2004;
constexpr int FUNC_GOT_TRANSPORT_PARAMS = 2005;
constexpr int FUNC_ALERT = 2006;
constexpr int LEVELS = 4;
constexpr int CONTENT_HANDSHAKE = 22;

class OpensslSession : public tls::Session {
 public:
  OpensslSession(std::shared_ptr<OpensslContext> context, const tls::SessionOptions& options)
      : context_(std::move(context)),
        transport_params_(options.transport_params),
        ticket_keys_(options.ticket_keys) {}

  ~OpensslSession() override {
    if (!ssl_) return;
    CleanErrors clean;
    api().SSL_set_shutdown(ssl_.get(), SENT_AND_RECEIVED_SHUTDOWN);  // else its ticket would not resume
    ssl_.reset();  // first of all members: it still calls on_release for a record that it was reading
  }

  bool start(const tls::SessionOptions& options);
  void put(int level, const uint8_t* data, size_t len) override;

  // From the callbacks.
  int on_send(const uint8_t* data, size_t len);
  int on_secret(uint32_t level, bool is_write, const uint8_t* secret, size_t len);
  int on_peek(const uint8_t** data, size_t* len);
  int on_release(size_t len);
  int on_server_name(int* alert);
  int on_alpn(const uint8_t** out, uint8_t* out_len, const uint8_t* in, unsigned in_len);
  int on_verify(int ok, X509StoreCtx* store);
  void on_ticket(SslSession* session);
  bool on_early_data() const;
  void on_message(const uint8_t* message, size_t len);
  const std::string& ticket_keys() const { return ticket_keys_; }
  const tls::Config& config() const { return context_->config; }
  void on_psk(int index) {
    psk_ = index;
    psk_unknown_ = index < 0;
  }
  void on_alert(int alert) {
    if (alert_ < 0) alert_ = alert;  // what follows the first is only its consequence
  }
  void on_params(const uint8_t* data, size_t len) { push(Result::PEER_PARAMS, 0, data, len); }
  void on_keylog(const char* line) { push(Result::KEYLOG, 0, line, strlen(line)); }

 private:
  bool set_verify(const tls::SessionOptions& options);
  void drive();
  bool drive_read();
  void finish();
  void fail_now(int fallback_alert);
  std::vector<std::string> peer_certs() const;
  int verify_code() const;
  std::string psk_identity() const;

  std::shared_ptr<OpensslContext> context_;
  Ptr<Ssl> ssl_;
  std::string transport_params_;  // OpenSSL reads it until the handshake is over
  std::string ticket_keys_;
  std::deque<std::string> input_[LEVELS];  // a deque: what OpenSSL peeked at stays in place
  size_t input_offset_ = 0;                // into the front of input_[read_level_]
  int read_level_ = tls::LEVEL_INITIAL;
  int write_level_ = tls::LEVEL_INITIAL;
  int alert_ = -1;
  int verify_error_ = tls::VERIFY_OK;
  bool done_ = false;
  int psk_ = -1;              // server: the key that the client named last
  bool psk_unknown_ = false;  // and whether there is none
  std::string server_name_;
};

OpensslSession* of(const Ssl* ssl) { return static_cast<OpensslSession*>(api().SSL_get_ex_data(ssl, 0)); }
OpensslSession* of(void* arg) { return static_cast<OpensslSession*>(arg); }

int send_cb(Ssl*, const uint8_t* data, size_t len, size_t* consumed, void* arg) {
  *consumed = len;
  return of(arg)->on_send(data, len);
}
int recv_cb(Ssl*, const uint8_t** data, size_t* len, void* arg) { return of(arg)->on_peek(data, len); }
int release_cb(Ssl*, size_t len, void* arg) { return of(arg)->on_release(len); }
int secret_cb(Ssl*, uint32_t level, int direction, const uint8_t* secret, size_t len, void* arg) {
  return of(arg)->on_secret(level, direction == 1, secret, len);
}
int params_cb(Ssl*, const uint8_t* data, size_t len, void* arg) {
  of(arg)->on_params(data, len);
  return 1;
}
int alert_cb(Ssl*, uint8_t alert, void* arg) {
  of(arg)->on_alert(alert);
  return 1;
}

template <class F>
void (*erase(F* fn))() {
  return reinterpret_cast<void (*)()>(fn);
}

const Dispatch* dispatch() {
  static const Dispatch table[] = {{FUNC_CRYPTO_SEND, erase(send_cb)},
                                   {FUNC_CRYPTO_RECV_RCD, erase(recv_cb)},
                                   {FUNC_CRYPTO_RELEASE_RCD, erase(release_cb)},
                                   {FUNC_YIELD_SECRET, erase(secret_cb)},
                                   {FUNC_GOT_TRANSPORT_PARAMS, erase(params_cb)},
                                   {FUNC_ALERT, erase(alert_cb)},
                                   {0, nullptr}};
  return table;
}

void message_cb(int is_write, int, int content_type, const void* message, size_t len, Ssl* ssl, void*) {
  if (!is_write && content_type == CONTENT_HANDSHAKE) of(ssl)->on_message(static_cast<const uint8_t*>(message), len);
}
int early_data_cb(Ssl*, void* arg) { return of(arg)->on_early_data(); }
int servername_cb(Ssl* ssl, int* alert, void*) { return of(ssl)->on_server_name(alert); }
int alpn_cb(Ssl* ssl, const uint8_t** out, uint8_t* out_len, const uint8_t* in, unsigned in_len, void*) {
  return of(ssl)->on_alpn(out, out_len, in, in_len);
}
int new_session_cb(Ssl* ssl, SslSession* session) {
  of(ssl)->on_ticket(session);
  return 0;  // the session stays OpenSSL's
}
void keylog_cb(const Ssl* ssl, const char* line) { of(ssl)->on_keylog(line); }
int verify_cb(int ok, X509StoreCtx* store) {
  const Api& a = api();
  auto* ssl = static_cast<Ssl*>(a.X509_STORE_CTX_get_ex_data(store, a.SSL_get_ex_data_X509_STORE_CTX_idx()));
  return of(ssl)->on_verify(ok, store);
}

bool OpensslSession::start(const tls::SessionOptions& options) {
  const Api& a = api();
  const tls::Config& config = context_->config;
  CleanErrors clean;
  ssl_.reset(a.SSL_new(context_->ctx.get()));
  if (!ssl_) return false;
  Ssl* ssl = ssl_.get();
  a.SSL_set_ex_data(ssl, 0, this);
  if (a.SSL_set_quic_tls_cbs(ssl, dispatch(), this) != 1) return false;
  const auto* params = reinterpret_cast<const uint8_t*>(transport_params_.data());
  if (a.SSL_set_quic_tls_transport_params(ssl, params, transport_params_.size()) != 1) return false;
  if (!set_verify(options)) return false;
  if (config.is_server) {
    a.SSL_set_accept_state(ssl);
    a.SSL_set_allow_early_data_cb(ssl, early_data_cb, this);
    return !config.early_data || a.SSL_set_quic_tls_early_data_enabled(ssl, 1) == 1;
  }
  a.SSL_set_connect_state(ssl);
  if (!options.sni.empty() && a.SSL_ctrl(ssl, CTRL_SET_HOSTNAME, 0, const_cast<char*>(options.sni.c_str())) != 1)
    return false;
  if (!options.ticket.empty()) {
    const auto* der = reinterpret_cast<const uint8_t*>(options.ticket.data());
    Ptr<SslSession> session(a.d2i_SSL_SESSION(nullptr, &der, long(options.ticket.size())));
    // The session is set before early data is allowed; the other order fails. A bad ticket means a full handshake.
    if (session && a.SSL_set_session(ssl, session.get()) == 1 && config.early_data && options.early_data &&
        a.SSL_SESSION_get_max_early_data(session.get()) > 0) {
      a.SSL_set_quic_tls_early_data_enabled(ssl, 1);
      a.SSL_set_msg_callback(ssl, message_cb);
    }
  }
  drive();
  return true;
}

// False for a name or address that OpenSSL cannot check: it would let every certificate pass.
bool OpensslSession::set_verify(const tls::SessionOptions& options) {
  const Api& a = api();
  const tls::Config& config = context_->config;
  int mode = VERIFY_PEER;
  if (config.is_server) {
    if (config.client_cert == tls::ClientCert::IGNORE) mode = VERIFY_NONE;
    if (config.client_cert == tls::ClientCert::REQUIRE) mode |= VERIFY_FAIL_IF_NO_PEER_CERT;
  }
  a.SSL_set_verify(ssl_.get(), mode, verify_cb);
  VerifyParam* param = a.SSL_get0_param(ssl_.get());
  // An anchor in {ca} need not be self-signed; names count only where RFC 9525 §2 puts them.
  unsigned long revocation = context_->has_crls ? V_FLAG_CRL_CHECK | V_FLAG_CRL_CHECK_ALL : 0;
  a.X509_VERIFY_PARAM_set_flags(param, V_FLAG_PARTIAL_CHAIN | revocation);
  a.X509_VERIFY_PARAM_set_hostflags(param, CHECK_FLAG_NO_PARTIAL_WILDCARDS | CHECK_FLAG_NEVER_CHECK_SUBJECT);
  const std::string &dns = options.verify_dns, &ip = options.verify_ip;
  return (dns.empty() || a.X509_VERIFY_PARAM_set1_host(param, dns.data(), dns.size()) == 1) &&
         (ip.empty() || a.X509_VERIFY_PARAM_set1_ip_asc(param, ip.c_str()) == 1);
}

void OpensslSession::put(int level, const uint8_t* data, size_t len) {
  if (failed() || len == 0) return;
  CleanErrors clean;
  // Nothing may follow at a level that is over, and a server gets nothing in 1-RTT (RFC 9001 §4.1.3, §8.3).
  if (level < read_level_ || level == tls::LEVEL_EARLY || (done_ && context_->config.is_server)) {
    push_alert(tls::ALERT_UNEXPECTED_MESSAGE, "handshake bytes at a level that is over", tls::VERIFY_OK);
    return;
  }
  input_[level].emplace_back(reinterpret_cast<const char*>(data), len);
  if (level != read_level_) return;
  if (done_) drive_read();
  else drive();
}

void OpensslSession::drive() {
  const Api& a = api();
  int result = a.SSL_do_handshake(ssl_.get());
  // With early data a server "succeeds" before the client's Finished, so that 0-RTT could be read; reading goes on.
  bool is_early = result == 1 && !a.SSL_is_init_finished(ssl_.get());
  if (is_early && !drive_read()) return;
  if (result == 1) {
    if (a.SSL_is_init_finished(ssl_.get())) finish();
    return;
  }
  int error = a.SSL_get_error(ssl_.get(), result);
  if (error != ERROR_WANT_READ && error != ERROR_WANT_WRITE) fail_now(tls::ALERT_INTERNAL_ERROR);
}

// OpenSSL takes messages in while it looks for application data, of which there is none in QUIC. False = failed.
bool OpensslSession::drive_read() {
  const Api& a = api();
  char none[8];
  int result = a.SSL_read(ssl_.get(), none, sizeof none);
  if (result <= 0 && a.SSL_get_error(ssl_.get(), result) == ERROR_WANT_READ) return true;
  fail_now(tls::ALERT_UNEXPECTED_MESSAGE);
  return false;
}

void OpensslSession::finish() {
  const Api& a = api();
  const uint8_t* alpn = nullptr;
  unsigned alpn_len = 0;
  a.SSL_get0_alpn_selected(ssl_.get(), &alpn, &alpn_len);
  if (alpn_len == 0) {
    push_alert(tls::ALERT_NO_APPLICATION_PROTOCOL, "the peer named no protocol", tls::VERIFY_OK);
    return;
  }
  done_ = true;
  auto info = std::make_unique<tls::Info>();
  info->alpn.assign(reinterpret_cast<const char*>(alpn), alpn_len);
  const char* sni = context_->config.is_server ? server_name_.c_str() : a.SSL_get_servername(ssl_.get(), 0);
  info->server_name = sni ? sni : "";
  const SslCipher* cipher = a.SSL_get_current_cipher(ssl_.get());
  if (cipher) info->cipher = tls::cipher_suite_name(int(a.SSL_CIPHER_get_id(cipher) & 0xff));
  const char* group = a.SSL_get0_group_name(ssl_.get());
  info->group = group ? group : "";
  info->psk_identity = psk_identity();
  info->resumed = info->psk_identity.empty() && a.SSL_session_reused(ssl_.get()) == 1;
  info->early_data_accepted = a.SSL_get_early_data_status(ssl_.get()) == EARLY_DATA_ACCEPTED;
  if (!info->resumed && info->psk_identity.empty()) info->peer_certs = peer_certs();
  info->verify_code = verify_code();
  push(Result::DONE, 0, nullptr, 0);
  results.back().info = std::move(info);
}

// To OpenSSL such a handshake is one that was resumed, but without a ticket.
std::string OpensslSession::psk_identity() const {
  const Api& a = api();
  const std::vector<tls::Psk>& psks = context_->config.psks;
  if (psks.empty() || a.SSL_session_reused(ssl_.get()) != 1) return "";
  if (context_->config.is_server) return psk_ < 0 ? "" : psks[size_t(psk_)].identity;
  return a.SSL_SESSION_has_ticket(a.SSL_get_session(ssl_.get())) ? "" : psks.front().identity;
}

int OpensslSession::verify_code() const {
  const tls::Config& config = context_->config;
  bool asked = config.is_server && config.client_cert != tls::ClientCert::IGNORE;
  if (asked && !api().SSL_get0_peer_certificate(ssl_.get())) return tls::VERIFY_NO_PEER_CERTIFICATE;
  return verify_error_;
}

std::vector<std::string> OpensslSession::peer_certs() const {
  const Api& a = api();
  std::vector<std::string> certs;
  auto add = [&a, &certs](const X509* cert) {
    int len = a.i2d_X509(cert, nullptr);
    if (len <= 0) return;
    certs.emplace_back(size_t(len), '\0');
    auto* out = reinterpret_cast<uint8_t*>(&certs.back()[0]);
    a.i2d_X509(cert, &out);
  };
  // Only a client's chain holds the leaf.
  const X509* leaf = a.SSL_get0_peer_certificate(ssl_.get());
  if (leaf && context_->config.is_server) add(leaf);
  const Stack* chain = a.SSL_get_peer_cert_chain(ssl_.get());
  for (int i = 0; chain && i < a.OPENSSL_sk_num(chain); i++) add(static_cast<X509*>(a.OPENSSL_sk_value(chain, i)));
  return certs;
}

void OpensslSession::fail_now(int fallback_alert) {
  if (psk_unknown_) push_alert(tls::ALERT_BAD_PSK, tls::UNKNOWN_PSK_IDENTITY, tls::VERIFY_OK);
  else push_alert(alert_ >= 0 ? alert_ : fallback_alert, last_error(), verify_error_);
}

int OpensslSession::on_send(const uint8_t* data, size_t len) {
  push(Result::SEND, write_level_, data, len);
  return 1;
}

int OpensslSession::on_secret(uint32_t level, bool is_write, const uint8_t* secret, size_t len) {
  const Api& a = api();
  if (level >= LEVELS) return 0;
  const SslCipher* cipher = a.SSL_get_current_cipher(ssl_.get());
  push(Result::SECRET, int(level), secret, len);
  results.back().is_write = is_write;
  results.back().aead = cipher ? int(a.SSL_CIPHER_get_id(cipher) & 0xff) : 0;
  if (level == tls::LEVEL_EARLY) return 1;  // no CRYPTO bytes travel in 0-RTT
  if (is_write) {
    write_level_ = int(level);
    return 1;
  }
  if (!input_[read_level_].empty()) {
    alert_ = tls::ALERT_UNEXPECTED_MESSAGE;  // RFC 8446 §5.1: no message spans a change of keys
    return 0;
  }
  read_level_ = int(level);
  return 1;
}

int OpensslSession::on_peek(const uint8_t** data, size_t* len) {
  std::deque<std::string>& queue = input_[read_level_];
  *data = nullptr;
  *len = 0;
  if (queue.empty()) return 1;
  *data = reinterpret_cast<const uint8_t*>(queue.front().data()) + input_offset_;
  *len = queue.front().size() - input_offset_;
  return 1;
}

int OpensslSession::on_release(size_t len) {
  std::deque<std::string>& queue = input_[read_level_];
  if (queue.empty() || len > queue.front().size() - input_offset_) return 0;
  input_offset_ += len;
  if (input_offset_ < queue.front().size()) return 1;
  queue.pop_front();
  input_offset_ = 0;
  return 1;
}

int OpensslSession::on_server_name(int* alert) {
  const Api& a = api();
  if (!context_->config.is_server) return TLSEXT_ERR_OK;
  const char* name = a.SSL_get_servername(ssl_.get(), 0);
  server_name_ = name ? name : "";
  if (!context_->config.psks.empty()) return TLSEXT_ERR_OK;
  int index = tls::pick_identity(context_->config.identities, server_name_);
  if (index < 0) {
    *alert = tls::ALERT_UNRECOGNIZED_NAME;
    return TLSEXT_ERR_ALERT_FATAL;
  }
  const std::vector<tls::Identity>& identities = context_->config.identities;
  for (size_t i = size_t(index); i < identities.size() && identities[i].name == identities[size_t(index)].name; i++) {
    const KeyPair& pair = context_->pairs[i];
    if (a.SSL_use_cert_and_key(ssl_.get(), pair.leaf.get(), pair.key.get(), pair.chain.get(), 1) == 1) continue;
    *alert = tls::ALERT_INTERNAL_ERROR;
    return TLSEXT_ERR_ALERT_FATAL;
  }
  return TLSEXT_ERR_OK;
}

int OpensslSession::on_alpn(const uint8_t** out, uint8_t* out_len, const uint8_t* in, unsigned in_len) {
  for (const std::string& wanted : context_->config.alpn)
    for (unsigned i = 0; i < in_len && i + 1u + in[i] <= in_len; i += in[i] + 1u)
      if (in[i] == wanted.size() && !memcmp(in + i + 1, wanted.data(), wanted.size())) {
        *out = in + i + 1;
        *out_len = in[i];
        return TLSEXT_ERR_OK;
      }
  return TLSEXT_ERR_ALERT_FATAL;
}

int OpensslSession::on_verify(int ok, X509StoreCtx* store) {
  if (!context_->config.psks.empty()) return 0;  // a peer that shows a certificate does not have the key
  if (ok) return 1;
  const Api& a = api();
  int error = a.X509_STORE_CTX_get_error(store);
  // As in GnuTLS, an issuer need not have a list, and one that is out of date still says who is revoked.
  if (error == V_ERR_UNABLE_TO_GET_CRL || error == V_ERR_CRL_HAS_EXPIRED || error == V_ERR_CRL_NOT_YET_VALID) return 1;
  // Without partial chains OpenSSL would go on to say this of a lone leaf, and Node's users know it by that name.
  if (error == V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY && a.X509_STORE_CTX_get_error_depth(store) == 0)
    error = V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE;
  bool is_name = error == V_ERR_HOSTNAME_MISMATCH || error == V_ERR_IP_ADDRESS_MISMATCH;
  bool is_hearsay = error == V_ERR_CERT_REVOKED && verify_error_ == V_ERR_CRL_SIGNATURE_FAILURE;
  // As in Node, a bad chain outranks a wrong name, and of several faults in the chain the last counts.
  if (!(is_name || is_hearsay) || verify_error_ == tls::VERIFY_OK) verify_error_ = error;
  const tls::Config& config = context_->config;
  return config.is_server ? config.client_cert == tls::ClientCert::REQUEST : config.report;
}

// OpenSSL has negotiated the protocol by now, and refuses by itself what is of another one or another server name.
bool OpensslSession::on_early_data() const {
  const uint8_t* alpn = nullptr;
  unsigned len = 0;
  api().SSL_get0_alpn_selected(ssl_.get(), &alpn, &len);
  return early_data_allowed(alpn, len);
}

// A client that offered 0-RTT, before OpenSSL acts on the message. In QUIC it would offer 0-RTT again after a
// HelloRetryRequest, which RFC 8446 §4.1.2 forbids, and cannot be told not to but by the session that it resumes.
void OpensslSession::on_message(const uint8_t* message, size_t len) {
  const Api& a = api();
  if (tls::is_hello_retry(message, len)) a.SSL_SESSION_set_max_early_data(a.SSL_get_session(ssl_.get()), 0);
}

void OpensslSession::on_ticket(SslSession* session) {
  const Api& a = api();
  int len = a.i2d_SSL_SESSION(session, nullptr);
  if (len <= 0) return;
  std::string der(size_t(len), '\0');
  auto* out = reinterpret_cast<uint8_t*>(&der[0]);
  a.i2d_SSL_SESSION(session, &out);
  push(Result::TICKET, 0, der.data(), der.size());
  results.back().verify_code = verify_error_;
}

}  // namespace

const std::string& ticket_keys_of(const Ssl* ssl) { return of(ssl)->ticket_keys(); }
const tls::Config& config_of(const Ssl* ssl) { return of(ssl)->config(); }
void note_psk(const Ssl* ssl, int index) { of(ssl)->on_psk(index); }

void set_callbacks(OpensslContext* context) {
  const Api& a = api();
  SslCtx* ctx = context->ctx.get();
  set_psk_callbacks(context);
  if (context->config.keylog) a.SSL_CTX_set_keylog_callback(ctx, keylog_cb);
  if (context->config.is_server) {
    a.SSL_CTX_callback_ctrl(ctx, CTRL_SET_SERVERNAME_CB, erase(servername_cb));
    a.SSL_CTX_set_alpn_select_cb(ctx, alpn_cb, nullptr);
    return;
  }
  a.SSL_CTX_sess_set_new_cb(ctx, new_session_cb);
}

std::unique_ptr<tls::Session> OpensslContext::new_session(const tls::SessionOptions& options, std::string* error) {
  auto self = std::static_pointer_cast<OpensslContext>(shared_from_this());
  auto session = std::make_unique<OpensslSession>(std::move(self), options);
  if (session->start(options)) return session;
  *error = "OpenSSL refuses the session";
  return nullptr;
}

}  // namespace ossl
}  // namespace netquic
