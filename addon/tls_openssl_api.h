// The OpenSSL inside the running Node, 3.5 or later, by dlsym: own prototypes of the calls and constants that the TLS
// provider uses. Nothing of OpenSSL is included or linked, so one build of the addon serves every Node.
#pragma once
#include <stddef.h>
#include <stdint.h>

#include <memory>
#include <string>

#include "evp.h"

namespace netquic {
namespace ossl {

struct Ssl;
struct SslCtx;
struct SslMethod;
struct SslSession;
struct SslCipher;
struct X509;
struct X509Crl;
struct X509Name;
struct X509Store;
struct X509StoreCtx;
struct VerifyParam;
struct EvpPkey;
struct Stack;
struct Bio;
struct EvpCipherCtx;
struct EvpMacCtx;

struct Dispatch {
  int id;
  void (*fn)();
};
using VerifyCallback = int (*)(int, X509StoreCtx*);
using PskUseCallback = int (*)(Ssl*, const void*, const uint8_t**, size_t*, SslSession**);
using PskFindCallback = int (*)(Ssl*, const uint8_t*, size_t, SslSession**);
using TicketKeyCallback = int (*)(Ssl*, uint8_t*, uint8_t*, EvpCipherCtx*, EvpMacCtx*, int);
using PasswordCallback = int (*)(char*, int, int, void*);

// X(return type, symbol, arguments); first what tells 3.5 from its elders.
#define NETQUIC_OPENSSL_SYMBOLS(X)                                                                                   \
  X(int, SSL_set_quic_tls_cbs, (Ssl*, const Dispatch*, void*))                                                       \
  X(const char*, OpenSSL_version, (int))                                                                             \
  X(void, ERR_clear_error, ())                                                                                       \
  X(unsigned long, ERR_get_error, ())                                                                                \
  X(unsigned long, ERR_peek_last_error, ())                                                                          \
  X(const char*, ERR_reason_error_string, (unsigned long))                                                           \
  X(const SslMethod*, TLS_method, ())                                                                                \
  X(SslCtx*, SSL_CTX_new, (const SslMethod*))                                                                        \
  X(void, SSL_CTX_free, (SslCtx*))                                                                                   \
  X(long, SSL_CTX_ctrl, (SslCtx*, int, long, void*))                                                                 \
  X(long, SSL_CTX_callback_ctrl, (SslCtx*, int, void (*)()))                                                         \
  X(uint64_t, SSL_CTX_set_options, (SslCtx*, uint64_t))                                                              \
  X(uint64_t, SSL_CTX_clear_options, (SslCtx*, uint64_t))                                                            \
  X(int, SSL_CTX_set_ciphersuites, (SslCtx*, const char*))                                                           \
  X(int, SSL_CTX_use_cert_and_key, (SslCtx*, X509*, EvpPkey*, Stack*, int))                                          \
  X(int, SSL_use_cert_and_key, (Ssl*, X509*, EvpPkey*, Stack*, int))                                                 \
  X(void, SSL_CTX_set_cert_store, (SslCtx*, X509Store*))                                                             \
  X(void, SSL_CTX_set_alpn_select_cb,                                                                                \
    (SslCtx*, int (*)(Ssl*, const uint8_t**, uint8_t*, const uint8_t*, unsigned, void*), void*))                     \
  X(int, SSL_CTX_set_alpn_protos, (SslCtx*, const uint8_t*, unsigned))                                               \
  X(int, SSL_CTX_set_session_id_context, (SslCtx*, const uint8_t*, unsigned))                                        \
  X(int, SSL_CTX_set_num_tickets, (SslCtx*, size_t))                                                                 \
  X(int, SSL_CTX_set_max_early_data, (SslCtx*, uint32_t))                                                            \
  X(int, SSL_CTX_set_tlsext_ticket_key_evp_cb, (SslCtx*, TicketKeyCallback))                                         \
  X(void, SSL_set_msg_callback, (Ssl*, void (*)(int, int, int, const void*, size_t, Ssl*, void*)))                   \
  X(void, SSL_set_allow_early_data_cb, (Ssl*, int (*)(Ssl*, void*), void*))                                          \
  X(int, RAND_bytes, (uint8_t*, int))                                                                                \
  X(const EvpCipher*, EVP_aes_256_cbc, ())                                                                           \
  X(int, EVP_CipherInit_ex, (EvpCipherCtx*, const EvpCipher*, void*, const uint8_t*, const uint8_t*, int))           \
  X(int, EVP_MAC_CTX_set_params, (EvpMacCtx*, const EvpParam*))                                                      \
  X(void, SSL_CTX_sess_set_new_cb, (SslCtx*, int (*)(Ssl*, SslSession*)))                                            \
  X(void, SSL_CTX_set_keylog_callback, (SslCtx*, void (*)(const Ssl*, const char*)))                                 \
  X(Ssl*, SSL_new, (SslCtx*))                                                                                        \
  X(void, SSL_free, (Ssl*))                                                                                          \
  X(long, SSL_ctrl, (Ssl*, int, long, void*))                                                                        \
  X(int, SSL_set_ex_data, (Ssl*, int, void*))                                                                        \
  X(void*, SSL_get_ex_data, (const Ssl*, int))                                                                       \
  X(int, SSL_get_ex_data_X509_STORE_CTX_idx, ())                                                                     \
  X(void, SSL_set_connect_state, (Ssl*))                                                                             \
  X(void, SSL_set_accept_state, (Ssl*))                                                                              \
  X(void, SSL_set_shutdown, (Ssl*, int))                                                                             \
  X(int, SSL_do_handshake, (Ssl*))                                                                                   \
  X(int, SSL_is_init_finished, (const Ssl*))                                                                         \
  X(int, SSL_read, (Ssl*, void*, int))                                                                               \
  X(int, SSL_get_error, (const Ssl*, int))                                                                           \
  X(void, SSL_set_verify, (Ssl*, int, VerifyCallback))                                                               \
  X(VerifyParam*, SSL_get0_param, (Ssl*))                                                                            \
  X(int, X509_VERIFY_PARAM_set1_host, (VerifyParam*, const char*, size_t))                                           \
  X(int, X509_VERIFY_PARAM_set1_ip_asc, (VerifyParam*, const char*))                                                 \
  X(void, X509_VERIFY_PARAM_set_hostflags, (VerifyParam*, unsigned))                                                 \
  X(int, X509_VERIFY_PARAM_set_flags, (VerifyParam*, unsigned long))                                                 \
  X(const char*, SSL_get_servername, (const Ssl*, int))                                                              \
  X(void, SSL_get0_alpn_selected, (const Ssl*, const uint8_t**, unsigned*))                                          \
  X(const char*, SSL_get0_group_name, (Ssl*))                                                                        \
  X(int, SSL_session_reused, (const Ssl*))                                                                           \
  X(int, SSL_get_early_data_status, (const Ssl*))                                                                    \
  X(const SslCipher*, SSL_get_current_cipher, (const Ssl*))                                                          \
  X(uint32_t, SSL_CIPHER_get_id, (const SslCipher*))                                                                 \
  X(X509*, SSL_get0_peer_certificate, (const Ssl*))                                                                  \
  X(Stack*, SSL_get_peer_cert_chain, (const Ssl*))                                                                   \
  X(int, SSL_set_session, (Ssl*, SslSession*))                                                                       \
  X(void, SSL_SESSION_free, (SslSession*))                                                                           \
  X(SslSession*, SSL_get_session, (const Ssl*))                                                                      \
  X(int, SSL_SESSION_set_max_early_data, (SslSession*, uint32_t))                                                    \
  X(uint32_t, SSL_SESSION_get_max_early_data, (const SslSession*))                                                   \
  X(int, i2d_SSL_SESSION, (const SslSession*, uint8_t**))                                                            \
  X(SslSession*, d2i_SSL_SESSION, (SslSession**, const uint8_t**, long))                                             \
  X(int, SSL_set_quic_tls_transport_params, (Ssl*, const uint8_t*, size_t))                                          \
  X(int, SSL_set_quic_tls_early_data_enabled, (Ssl*, int))                                                           \
  X(void, SSL_CTX_set_psk_use_session_callback, (SslCtx*, PskUseCallback))                                           \
  X(void, SSL_CTX_set_psk_find_session_callback, (SslCtx*, PskFindCallback))                                         \
  X(const SslCipher*, SSL_CIPHER_find, (Ssl*, const uint8_t*))                                                       \
  X(SslSession*, SSL_SESSION_new, ())                                                                                \
  X(int, SSL_SESSION_set1_master_key, (SslSession*, const uint8_t*, size_t))                                         \
  X(int, SSL_SESSION_set_cipher, (SslSession*, const SslCipher*))                                                    \
  X(int, SSL_SESSION_set_protocol_version, (SslSession*, int))                                                       \
  X(int, SSL_SESSION_has_ticket, (const SslSession*))                                                                \
  X(X509Store*, X509_STORE_new, ())                                                                                  \
  X(void, X509_STORE_free, (X509Store*))                                                                             \
  X(int, X509_STORE_up_ref, (X509Store*))                                                                            \
  X(int, X509_STORE_add_cert, (X509Store*, X509*))                                                                   \
  X(int, X509_STORE_add_crl, (X509Store*, X509Crl*))                                                                 \
  X(void, X509_CRL_free, (X509Crl*))                                                                                 \
  X(const X509Name*, X509_CRL_get_issuer, (const X509Crl*))                                                          \
  X(int, X509_CRL_verify, (X509Crl*, EvpPkey*))                                                                      \
  X(const X509Name*, X509_get_subject_name, (const X509*))                                                           \
  X(int, X509_NAME_cmp, (const X509Name*, const X509Name*))                                                          \
  X(EvpPkey*, X509_get0_pubkey, (const X509*))                                                                       \
  X(uint32_t, X509_get_key_usage, (X509*))                                                                           \
  X(X509Crl*, PEM_read_bio_X509_CRL, (Bio*, X509Crl**, PasswordCallback, void*))                                     \
  X(void*, X509_STORE_CTX_get_ex_data, (const X509StoreCtx*, int))                                                   \
  X(int, X509_STORE_CTX_get_error, (const X509StoreCtx*))                                                            \
  X(int, X509_STORE_CTX_get_error_depth, (const X509StoreCtx*))                                                      \
  X(void, X509_free, (X509*))                                                                                        \
  X(int, i2d_X509, (const X509*, uint8_t**))                                                                         \
  X(int, X509_check_private_key, (const X509*, const EvpPkey*))                                                      \
  X(void, EVP_PKEY_free, (EvpPkey*))                                                                                 \
  X(X509*, PEM_read_bio_X509, (Bio*, X509**, PasswordCallback, void*))                                               \
  X(EvpPkey*, PEM_read_bio_PrivateKey, (Bio*, EvpPkey**, PasswordCallback, void*))                                   \
  X(Bio*, BIO_new_mem_buf, (const void*, int))                                                                       \
  X(int, BIO_free, (Bio*))                                                                                           \
  X(Stack*, OPENSSL_sk_new_null, ())                                                                                 \
  X(int, OPENSSL_sk_push, (Stack*, const void*))                                                                     \
  X(int, OPENSSL_sk_num, (const Stack*))                                                                             \
  X(void*, OPENSSL_sk_value, (const Stack*, int))                                                                    \
  X(void, OPENSSL_sk_pop_free, (Stack*, void (*)(void*)))

struct Api {
#define NETQUIC_DECLARE(ret, name, args) ret(*name) args;
  NETQUIC_OPENSSL_SYMBOLS(NETQUIC_DECLARE)
#undef NETQUIC_DECLARE
  const char* missing = nullptr;  // the first symbol that the process lacks
};

// Loaded at the first call.
const Api& api();

struct Free {
  void operator()(Ssl* p) const { api().SSL_free(p); }
  void operator()(SslCtx* p) const { api().SSL_CTX_free(p); }
  void operator()(SslSession* p) const { api().SSL_SESSION_free(p); }
  void operator()(X509* p) const { api().X509_free(p); }
  void operator()(X509Crl* p) const { api().X509_CRL_free(p); }
  void operator()(X509Store* p) const { api().X509_STORE_free(p); }
  void operator()(EvpPkey* p) const { api().EVP_PKEY_free(p); }
  void operator()(Bio* p) const { api().BIO_free(p); }
  void operator()(Stack* p) const {
    api().OPENSSL_sk_pop_free(p, [](void* cert) { api().X509_free(static_cast<X509*>(cert)); });
  }
};
template <class T>
using Ptr = std::unique_ptr<T, Free>;

// Node's own crypto shares the error queue, and SSL_get_error reads it: it is emptied before and after our calls.
struct CleanErrors {
  CleanErrors() { api().ERR_clear_error(); }
  ~CleanErrors() { api().ERR_clear_error(); }
};

// The reason of the newest error in the queue, or "".
std::string last_error();

constexpr int CTRL_SET_GROUPS_LIST = 92;
constexpr int CTRL_SET_MIN_PROTO_VERSION = 123;
constexpr int CTRL_SET_MAX_PROTO_VERSION = 124;
constexpr int CTRL_MODE = 33;
constexpr int CTRL_SET_SESS_CACHE_MODE = 44;
constexpr int CTRL_SET_SERVERNAME_CB = 53;
constexpr int CTRL_SET_HOSTNAME = 55;
constexpr long TLS1_3_VERSION = 0x304;
constexpr long SESS_CACHE_OFF = 0;
constexpr long SESS_CACHE_CLIENT_NO_INTERNAL = 1 | 0x300;
constexpr long MODE_NO_AUTO_CHAIN = 8;
constexpr uint64_t OP_ENABLE_MIDDLEBOX_COMPAT = 1u << 20;
constexpr uint64_t OP_NO_ANTI_REPLAY = 1u << 24;
constexpr uint64_t OP_NO_RX_CERTIFICATE_COMPRESSION = 1ull << 33;
constexpr int VERIFY_NONE = 0;
constexpr int VERIFY_PEER = 1;
constexpr int VERIFY_FAIL_IF_NO_PEER_CERT = 2;
constexpr unsigned long V_FLAG_CRL_CHECK = 0x4;
constexpr unsigned long V_FLAG_CRL_CHECK_ALL = 0x8;
constexpr unsigned long V_FLAG_PARTIAL_CHAIN = 0x80000;
constexpr unsigned CHECK_FLAG_NO_PARTIAL_WILDCARDS = 0x4;
constexpr unsigned CHECK_FLAG_NEVER_CHECK_SUBJECT = 0x20;
constexpr uint32_t KU_CRL_SIGN = 0x2;
constexpr int V_ERR_UNABLE_TO_GET_CRL = 3;
constexpr int V_ERR_CRL_SIGNATURE_FAILURE = 8;
constexpr int V_ERR_CRL_NOT_YET_VALID = 11;
constexpr int V_ERR_CRL_HAS_EXPIRED = 12;
constexpr int V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY = 20;
constexpr int V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE = 21;
constexpr int V_ERR_CERT_REVOKED = 23;
constexpr int V_ERR_HOSTNAME_MISMATCH = 62;
constexpr int V_ERR_IP_ADDRESS_MISMATCH = 64;
constexpr unsigned long ERR_REASON_MASK = 0x7fffff;
constexpr unsigned long PEM_NO_START_LINE = 108;
constexpr int ERROR_WANT_READ = 2;
constexpr int ERROR_WANT_WRITE = 3;
constexpr int TLSEXT_ERR_OK = 0;
constexpr int TLSEXT_ERR_ALERT_FATAL = 2;
constexpr int SENT_AND_RECEIVED_SHUTDOWN = 3;
constexpr int EARLY_DATA_ACCEPTED = 2;

}  // namespace ossl
}  // namespace netquic
