// One TLS 1.3 handshake over GnuTLS's hooks for QUIC (RFC 9001 §4): CRYPTO bytes are written in by level, bytes to
// send and secrets come out of callbacks during gnutls_handshake.
#include "tls_gnutls.h"

namespace netquic {
namespace gtls {

using tls::Result;

namespace {

// GnuTLS's cipher numbers as AeadId.
int aead_of(int cipher) {
  switch (cipher) {
    case 10: return 1;  // AES-128-GCM
    case 11: return 2;  // AES-256-GCM
    case 23: return 3;  // CHACHA20-POLY1305
    case 19: return 4;  // AES-128-CCM
    default: return 0;
  }
}

// GnuTLS calls what it cannot say otherwise an internal error.
int alert_of_error(int error) {
  switch (error) {
    case E_INVALID_REQUEST: return tls::ALERT_UNEXPECTED_MESSAGE;
    case E_PARSING_ERROR:  // of the peer's certificate, these four
    case E_CERTIFICATE_TIME_ERROR:
    case E_ASN1_TIME_ERROR:
    case E_UNIMPLEMENTED_FEATURE: return tls::ALERT_BAD_CERTIFICATE;
  }
  int severity = 0;
  int alert = api().gnutls_error_to_alert(error, &severity);
  return alert < 0 ? tls::ALERT_INTERNAL_ERROR : alert;
}

class GnutlsSession : public tls::Session, public EarlyDataJudge {
 public:
  GnutlsSession(std::shared_ptr<GnutlsContext> context, const tls::SessionOptions& options)
      : context_(std::move(context)), options_(options) {}
  ~GnutlsSession() override {
    if (session_) api().gnutls_deinit(session_);
  }

  bool start();
  void put(int level, const uint8_t* data, size_t len) override;

  // From the callbacks; each returns what GnuTLS wants, 0 for success.
  int on_send(int level, int type, const void* data, size_t len);
  int on_secret(int level, const void* read, const void* write, size_t len);
  int on_params(const unsigned char* data, size_t len);
  int on_write_params(BufferT* buffer);
  int on_client_hello();
  bool on_early_data() override;
  int on_verify();
  int on_ticket();
  int on_keylog(const char* label, const Datum* secret);
  void on_alert(int alert) { alert_ = alert; }
  const tls::Config& config() const { return context_->config; }
  void on_psk(int index) {
    psk_ = index;
    psk_unknown_ = index < 0;
  }

 private:
  unsigned flags() const;
  void set_callbacks();
  bool set_role();
  void drive();
  void finish();
  void fail_now(int error);

  std::shared_ptr<GnutlsContext> context_;
  tls::SessionOptions options_;
  SessionT* session_ = nullptr;
  int read_level_ = tls::LEVEL_INITIAL;
  int alert_ = -1;
  int verify_code_ = tls::VERIFY_OK;
  bool verify_failed_ = false;
  bool done_ = false;
  int psk_ = -1;              // server: the key that the client named
  bool psk_unknown_ = false;  // and whether there is none
  std::string server_name_;
};

GnutlsSession* of(SessionT* session) { return static_cast<GnutlsSession*>(api().gnutls_session_get_ptr(session)); }

int read_cb(SessionT* s, int level, int type, const void* data, size_t len) {
  return of(s)->on_send(level, type, data, len);
}
int secret_cb(SessionT* s, int level, const void* read, const void* write, size_t len) {
  return of(s)->on_secret(level, read, write, len);
}
int alert_cb(SessionT* s, int, int, int alert) {
  of(s)->on_alert(alert);
  return 0;
}
int params_cb(SessionT* s, const unsigned char* data, size_t len) { return of(s)->on_params(data, len); }
int write_params_cb(SessionT* s, BufferT* buffer) { return of(s)->on_write_params(buffer); }
int client_hello_cb(SessionT* s) { return of(s)->on_client_hello(); }
int verify_cb(SessionT* s) { return of(s)->on_verify(); }
int ticket_cb(SessionT* s, unsigned, unsigned, unsigned incoming, const Datum*) {
  return incoming ? of(s)->on_ticket() : 0;
}
int keylog_cb(SessionT* s, const char* label, const Datum* secret) { return of(s)->on_keylog(label, secret); }

unsigned GnutlsSession::flags() const {
  const tls::Config& config = context_->config;
  bool early = config.early_data && (config.is_server || options_.early_data);
  unsigned common = INIT_NO_SIGNAL | INIT_NO_END_OF_EARLY_DATA | (early ? INIT_ENABLE_EARLY_DATA : 0);
  return common | (config.is_server ? INIT_SERVER | INIT_NO_AUTO_SEND_TICKET : INIT_CLIENT);
}

bool GnutlsSession::start() {
  const Api& a = api();
  const tls::Config& config = context_->config;
  if (a.gnutls_init(&session_, flags()) < 0) {
    session_ = nullptr;
    return false;
  }
  a.gnutls_session_set_ptr(session_, this);
  if (a.gnutls_priority_set(session_, context_->priority) < 0) return false;
  set_callbacks();
  if (a.gnutls_session_ext_register(session_, "QUIC Transport Parameters", EXT_QUIC_TRANSPORT_PARAMETERS,
                                    EXT_PARSE_TLS, params_cb, write_params_cb, nullptr, nullptr, nullptr,
                                    EXT_FLAG_TLS | EXT_FLAG_CLIENT_HELLO | EXT_FLAG_EE) < 0)
    return false;
  std::vector<Datum> protocols;
  for (const std::string& protocol : config.alpn) protocols.push_back(datum_of(protocol));
  unsigned alpn_flags = ALPN_MANDATORY | (config.is_server ? ALPN_SERVER_PRECEDENCE : 0);
  if (a.gnutls_alpn_set_protocols(session_, protocols.data(), unsigned(protocols.size()), alpn_flags) < 0) return false;
  if (!set_role()) return false;
  if (!config.is_server) drive();
  return true;
}

void GnutlsSession::set_callbacks() {
  const Api& a = api();
  a.gnutls_handshake_set_read_function(session_, read_cb);
  a.gnutls_handshake_set_secret_function(session_, secret_cb);
  a.gnutls_alert_set_read_function(session_, alert_cb);
  a.gnutls_session_set_verify_function(session_, verify_cb);
  // Always ours: the library's own would write to the file that SSLKEYLOGFILE names.
  a.gnutls_session_set_keylog_function(session_, keylog_cb);
}

bool GnutlsSession::set_role() {
  const Api& a = api();
  const tls::Config& config = context_->config;
  if (!config.psks.empty() && !set_psk_credentials(*context_, session_)) return false;
  if (!config.is_server) {
    a.gnutls_handshake_set_hook_function(session_, HANDSHAKE_NEW_SESSION_TICKET, HOOK_POST, ticket_cb);
    // A bad ticket means a full handshake.
    if (!options_.ticket.empty()) a.gnutls_session_set_data(session_, options_.ticket.data(), options_.ticket.size());
    if (a.gnutls_credentials_set(session_, CRD_CERTIFICATE, context_->credentials[0]) < 0) return false;
    if (options_.sni.empty()) return true;
    return a.gnutls_server_name_set(session_, NAME_DNS, options_.sni.data(), options_.sni.size()) >= 0;
  }
  a.gnutls_handshake_set_post_client_hello_function(session_, client_hello_cb);
  a.gnutls_certificate_server_set_request(session_, int(config.client_cert));
  Datum key = datum_of(options_.ticket_keys);
  if (key.size && a.gnutls_session_ticket_enable_server(session_, &key) < 0) return false;
  if (!context_->anti_replay) return true;
  a.gnutls_anti_replay_enable(session_, context_->anti_replay);
  a.gnutls_record_set_max_early_data_size(session_, 0xffffffffu);  // RFC 9001 §4.6.1
  return true;
}

void GnutlsSession::put(int level, const uint8_t* data, size_t len) {
  if (failed() || len == 0) return;
  // Nothing may follow at a level that is over, and a server gets nothing in 1-RTT (RFC 9001 §4.1.3, §8.3).
  if (level != read_level_ || (done_ && context_->config.is_server)) {
    push_alert(tls::ALERT_UNEXPECTED_MESSAGE, "handshake bytes at a level that is not open", tls::VERIFY_OK);
    return;
  }
  int result = api().gnutls_handshake_write(session_, level, data, len);
  if (result < 0 && result != E_AGAIN && result != E_INTERRUPTED) {
    fail_now(result);
    return;
  }
  if (!done_) drive();
}

void GnutlsSession::drive() {
  context_->current = this;
  int result = api().gnutls_handshake(session_);
  context_->current = nullptr;
  if (result == 0) finish();
  else if (result != E_AGAIN && result != E_INTERRUPTED) fail_now(result);
}

void GnutlsSession::finish() {
  const Api& a = api();
  const tls::Config& config = context_->config;
  Datum alpn = {nullptr, 0};
  if (a.gnutls_alpn_get_selected_protocol(session_, &alpn) < 0 || alpn.size == 0) {
    push_alert(tls::ALERT_NO_APPLICATION_PROTOCOL, "the peer named no protocol", tls::VERIFY_OK);
    return;
  }
  done_ = true;
  auto info = std::make_unique<tls::Info>();
  info->alpn.assign(reinterpret_cast<const char*>(alpn.data), alpn.size);
  info->server_name = config.is_server ? server_name_ : options_.sni;
  info->cipher = tls::cipher_suite_name(aead_of(a.gnutls_cipher_get(session_)));
  const char* group = a.gnutls_group_get_name(a.gnutls_group_get(session_));
  info->group = group ? group : "";
  info->resumed = a.gnutls_session_is_resumed(session_) != 0;
  int psk = config.is_server ? psk_ : 0;
  if (psk >= 0 && size_t(psk) < config.psks.size() && !info->resumed)
    info->psk_identity = config.psks[size_t(psk)].identity;
  info->early_data_accepted = (a.gnutls_session_get_flags(session_) & SFLAGS_EARLY_DATA) != 0;
  unsigned count = 0;
  const Datum* chain = info->resumed ? nullptr : a.gnutls_certificate_get_peers(session_, &count);
  for (unsigned i = 0; chain && i < count; i++)
    info->peer_certs.emplace_back(reinterpret_cast<const char*>(chain[i].data), chain[i].size);
  bool asked = config.is_server && config.client_cert != tls::ClientCert::IGNORE;
  info->verify_code = asked && info->peer_certs.empty() ? tls::VERIFY_NO_PEER_CERTIFICATE : verify_code_;
  // A resumed session has no certificate to check, so it would keep what the client was once allowed.
  if (config.is_server && !asked && !options_.ticket_keys.empty()) a.gnutls_session_ticket_send(session_, 1, 0);
  push(Result::DONE, 0, nullptr, 0);
  results.back().info = std::move(info);
}

void GnutlsSession::fail_now(int error) {
  if (psk_unknown_) {
    push_alert(tls::ALERT_BAD_PSK, tls::UNKNOWN_PSK_IDENTITY, tls::VERIFY_OK);
    return;
  }
  if (psk_ >= 0 && read_level_ == tls::LEVEL_INITIAL && error == E_RECEIVED_ILLEGAL_PARAMETER)
    alert_ = tls::ALERT_BAD_PSK;  // its binder was made with another key (RFC 8446 §4.2.11.2)
  int alert = verify_failed_ ? tls::alert_of_verify_code(verify_code_) : alert_;
  push_alert(alert >= 0 ? alert : alert_of_error(error), api().gnutls_strerror(error), verify_code_);
}

int GnutlsSession::on_send(int level, int type, const void* data, size_t len) {
  if (type != HANDSHAKE_CHANGE_CIPHER_SPEC) push(Result::SEND, level, data, len);
  return 0;
}

int GnutlsSession::on_secret(int level, const void* read, const void* write, size_t len) {
  const Api& a = api();
  int aead = aead_of(level == tls::LEVEL_EARLY ? a.gnutls_early_cipher_get(session_) : a.gnutls_cipher_get(session_));
  for (const void* secret : {write, read}) {
    if (!secret) continue;
    push(Result::SECRET, level, secret, len);
    results.back().is_write = secret == write;
    results.back().aead = aead;
  }
  if (read && level != tls::LEVEL_EARLY) read_level_ = level;
  return 0;
}

int GnutlsSession::on_params(const unsigned char* data, size_t len) {
  push(Result::PEER_PARAMS, 0, data, len);
  return 0;
}

int GnutlsSession::on_write_params(BufferT* buffer) {
  const std::string& params = options_.transport_params;
  return api().gnutls_buffer_append_data(buffer, params.data(), params.size()) < 0 ? E_INTERNAL_ERROR : 0;
}

int GnutlsSession::on_client_hello() {
  const Api& a = api();
  char name[256];
  size_t len = sizeof name;
  unsigned type = 0;
  if (a.gnutls_server_name_get(session_, name, &len, &type, 0) == 0 && type == NAME_DNS) server_name_.assign(name, len);
  while (!server_name_.empty() && server_name_.back() == '\0') server_name_.pop_back();
  if (!context_->config.psks.empty()) return 0;
  int index = tls::pick_identity(context_->config.identities, server_name_);
  if (index < 0) return E_UNRECOGNIZED_NAME;
  return a.gnutls_credentials_set(session_, CRD_CERTIFICATE, context_->credentials[size_t(index)]);
}

// GnuTLS has negotiated the protocol when it comes to the ticket, which is the last of the extensions.
bool GnutlsSession::on_early_data() {
  Datum alpn = {nullptr, 0};
  if (api().gnutls_alpn_get_selected_protocol(session_, &alpn) < 0) return false;
  return early_data_allowed(alpn.data, alpn.size);
}

int GnutlsSession::on_verify() {
  const tls::Config& config = context_->config;
  unsigned count = 0;
  const Datum* chain = api().gnutls_certificate_get_peers(session_, &count);
  if (!chain || count == 0) return 0;  // a server that requires one fails elsewhere
  verify_code_ = verify_chain(*context_->trust, chain, count, !config.is_server, options_);
  bool goes_on = config.is_server ? config.client_cert == tls::ClientCert::REQUEST : config.report;
  verify_failed_ = verify_code_ != tls::VERIFY_OK && !goes_on;
  return verify_failed_ ? -1 : 0;
}

int GnutlsSession::on_ticket() {
  const Api& a = api();
  Datum data = {nullptr, 0};
  if (a.gnutls_session_get_data2(session_, &data) != 0) return 0;
  push(Result::TICKET, 0, data.data, data.size);
  results.back().verify_code = verify_code_;
  a.free(data.data);
  return 0;
}

void append_hex(std::string* out, const Datum& bytes) {
  static const char digits[] = "0123456789abcdef";
  for (unsigned i = 0; i < bytes.size; i++) {
    out->push_back(digits[bytes.data[i] >> 4]);
    out->push_back(digits[bytes.data[i] & 15]);
  }
}

int GnutlsSession::on_keylog(const char* label, const Datum* secret) {
  if (!context_->config.keylog) return 0;
  Datum client_random = {nullptr, 0};
  api().gnutls_session_get_random(session_, &client_random, nullptr);
  std::string line = std::string(label) + " ";
  append_hex(&line, client_random);
  line += " ";
  append_hex(&line, *secret);
  push(Result::KEYLOG, 0, line.data(), line.size());
  return 0;
}

}  // namespace

const tls::Config& config_of(SessionT* session) { return of(session)->config(); }
void note_psk(SessionT* session, int index) { of(session)->on_psk(index); }

std::unique_ptr<tls::Session> GnutlsContext::new_session(const tls::SessionOptions& options, std::string* error) {
  auto self = std::static_pointer_cast<GnutlsContext>(shared_from_this());
  auto session = std::make_unique<GnutlsSession>(std::move(self), options);
  if (session->start()) return session;
  *error = "GnuTLS refuses the session";
  return nullptr;
}

}  // namespace gtls
}  // namespace netquic
