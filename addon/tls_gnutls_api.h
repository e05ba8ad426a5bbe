// GnuTLS 3.7.2 or later by dlopen: own prototypes of the calls and constants that the TLS provider uses. Nothing of
// GnuTLS is included or linked, so the addon loads on machines that lack it.
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <time.h>

namespace netquic {
namespace gtls {

struct SessionT;
struct CredentialsT;
struct PskClientT;
struct PskServerT;
struct PriorityT;
struct TrustListT;
struct CertT;
struct CrlT;
struct AntiReplayT;
struct BufferT;

struct Datum {
  unsigned char* data;
  unsigned size;
};
struct TypedData {
  int type;
  unsigned char* data;
  unsigned size;
};

// X(return type, symbol, arguments)
#define NETQUIC_GNUTLS_SYMBOLS(X)                                                                                      \
  X(const char*, gnutls_check_version, (const char*))                                                                  \
  X(const char*, gnutls_strerror, (int))                                                                               \
  X(int, gnutls_error_to_alert, (int, int*))                                                                           \
  X(int, gnutls_init, (SessionT**, unsigned))                                                                          \
  X(void, gnutls_deinit, (SessionT*))                                                                                  \
  X(void, gnutls_session_set_ptr, (SessionT*, void*))                                                                  \
  X(void*, gnutls_session_get_ptr, (SessionT*))                                                                        \
  X(int, gnutls_priority_init, (PriorityT**, const char*, const char**))                                               \
  X(void, gnutls_priority_deinit, (PriorityT*))                                                                        \
  X(int, gnutls_priority_set, (SessionT*, PriorityT*))                                                                 \
  X(int, gnutls_group_get_id, (const char*))                                                                           \
  X(int, gnutls_group_get, (SessionT*))                                                                                \
  X(const char*, gnutls_group_get_name, (int))                                                                         \
  X(int, gnutls_cipher_get, (SessionT*))                                                                               \
  X(int, gnutls_early_cipher_get, (SessionT*))                                                                         \
  X(int, gnutls_credentials_set, (SessionT*, int, void*))                                                              \
  X(int, gnutls_certificate_allocate_credentials, (CredentialsT**))                                                    \
  X(void, gnutls_certificate_free_credentials, (CredentialsT*))                                                        \
  X(int, gnutls_certificate_set_x509_key_mem2,                                                                         \
    (CredentialsT*, const Datum*, const Datum*, int, const char*, unsigned))                                           \
  X(int, gnutls_psk_allocate_client_credentials, (PskClientT**))                                                       \
  X(void, gnutls_psk_free_client_credentials, (PskClientT*))                                                           \
  X(int, gnutls_psk_set_client_credentials2, (PskClientT*, const Datum*, const Datum*, int))                           \
  X(int, gnutls_psk_allocate_server_credentials, (PskServerT**))                                                       \
  X(void, gnutls_psk_free_server_credentials, (PskServerT*))                                                           \
  X(void, gnutls_psk_set_server_credentials_function2,                                                                 \
    (PskServerT*, int (*)(SessionT*, const Datum*, Datum*)))                                                           \
  X(void, gnutls_certificate_server_set_request, (SessionT*, int))                                                     \
  X(const Datum*, gnutls_certificate_get_peers, (SessionT*, unsigned*))                                                \
  X(void, gnutls_session_set_verify_function, (SessionT*, int (*)(SessionT*)))                                         \
  X(int, gnutls_x509_trust_list_init, (TrustListT**, unsigned))                                                        \
  X(void, gnutls_x509_trust_list_deinit, (TrustListT*, unsigned))                                                      \
  X(int, gnutls_x509_trust_list_add_cas, (TrustListT*, CertT* const*, unsigned, unsigned))                             \
  X(int, gnutls_x509_trust_list_add_crls, (TrustListT*, CrlT* const*, unsigned, unsigned, unsigned))                   \
  X(int, gnutls_x509_crl_list_import2, (CrlT***, unsigned*, const Datum*, int, unsigned))                              \
  X(unsigned, gnutls_x509_crl_check_issuer, (CrlT*, CertT*))                                                           \
  X(int, gnutls_x509_crl_verify, (CrlT*, CertT* const*, unsigned, unsigned, unsigned*))                                \
  X(int, gnutls_x509_trust_list_verify_crt2,                                                                           \
    (TrustListT*, CertT**, unsigned, TypedData*, unsigned, unsigned, unsigned*,                                        \
     int (*)(CertT*, CertT*, CrlT*, unsigned)))                                                                        \
  X(int, gnutls_x509_crt_init, (CertT**))                                                                              \
  X(void, gnutls_x509_crt_deinit, (CertT*))                                                                            \
  X(int, gnutls_x509_crt_import, (CertT*, const Datum*, int))                                                          \
  X(int, gnutls_x509_crt_list_import2, (CertT***, unsigned*, const Datum*, int, unsigned))                             \
  X(unsigned, gnutls_x509_crt_check_issuer, (CertT*, CertT*))                                                          \
  X(int, gnutls_server_name_set, (SessionT*, int, const void*, size_t))                                                \
  X(int, gnutls_server_name_get, (SessionT*, void*, size_t*, unsigned*, unsigned))                                     \
  X(int, gnutls_alpn_set_protocols, (SessionT*, const Datum*, unsigned, unsigned))                                     \
  X(int, gnutls_alpn_get_selected_protocol, (SessionT*, Datum*))                                                       \
  X(void, gnutls_handshake_set_read_function, (SessionT*, int (*)(SessionT*, int, int, const void*, size_t)))          \
  X(void, gnutls_handshake_set_secret_function,                                                                        \
    (SessionT*, int (*)(SessionT*, int, const void*, const void*, size_t)))                                            \
  X(void, gnutls_alert_set_read_function, (SessionT*, int (*)(SessionT*, int, int, int)))                              \
  X(void, gnutls_handshake_set_post_client_hello_function, (SessionT*, int (*)(SessionT*)))                            \
  X(void, gnutls_handshake_set_hook_function,                                                                          \
    (SessionT*, unsigned, int, int (*)(SessionT*, unsigned, unsigned, unsigned, const Datum*)))                        \
  X(int, gnutls_session_ext_register,                                                                                  \
    (SessionT*, const char*, int, int, int (*)(SessionT*, const unsigned char*, size_t),                               \
     int (*)(SessionT*, BufferT*), void*, void*, void*, unsigned))                                                     \
  X(int, gnutls_buffer_append_data, (BufferT*, const void*, size_t))                                                   \
  X(int, gnutls_handshake, (SessionT*))                                                                                \
  X(int, gnutls_handshake_write, (SessionT*, int, const void*, size_t))                                                \
  X(void, gnutls_session_set_keylog_function, (SessionT*, int (*)(SessionT*, const char*, const Datum*)))              \
  X(void, gnutls_session_get_random, (SessionT*, Datum*, Datum*))                                                      \
  X(int, gnutls_session_ticket_enable_server, (SessionT*, const Datum*))                                               \
  X(int, gnutls_session_ticket_send, (SessionT*, unsigned, unsigned))                                                  \
  X(int, gnutls_session_get_data2, (SessionT*, Datum*))                                                                \
  X(int, gnutls_session_set_data, (SessionT*, const void*, size_t))                                                    \
  X(int, gnutls_session_is_resumed, (SessionT*))                                                                       \
  X(unsigned, gnutls_session_get_flags, (SessionT*))                                                                   \
  X(int, gnutls_record_set_max_early_data_size, (SessionT*, size_t))                                                   \
  X(int, gnutls_anti_replay_init, (AntiReplayT**))                                                                     \
  X(void, gnutls_anti_replay_deinit, (AntiReplayT*))                                                                   \
  X(void, gnutls_anti_replay_set_window, (AntiReplayT*, unsigned))                                                      \
  X(void, gnutls_anti_replay_set_ptr, (AntiReplayT*, void*))                                                           \
  X(void, gnutls_anti_replay_set_add_function, (AntiReplayT*, int (*)(void*, time_t, const Datum*, const Datum*)))     \
  X(void, gnutls_anti_replay_enable, (SessionT*, AntiReplayT*))

struct Api {
#define NETQUIC_DECLARE(ret, name, args) ret(*name) args;
  NETQUIC_GNUTLS_SYMBOLS(NETQUIC_DECLARE)
#undef NETQUIC_DECLARE
  void (*free)(void*);      // what GnuTLS allocates for its caller
  void* (*malloc)(size_t);  // what GnuTLS frees for its caller
  const char* missing = nullptr;  // the library, or the first symbol that it lacks
};

// Loaded at the first call.
const Api& api();

constexpr unsigned INIT_SERVER = 1;
constexpr unsigned INIT_CLIENT = 1 << 1;
constexpr unsigned INIT_NO_SIGNAL = 1 << 6;
constexpr unsigned INIT_ENABLE_EARLY_DATA = 1 << 20;
constexpr unsigned INIT_NO_AUTO_SEND_TICKET = 1 << 21;
constexpr unsigned INIT_NO_END_OF_EARLY_DATA = 1 << 22;  // RFC 9001 §8.3
constexpr int CRD_CERTIFICATE = 1;
constexpr int CRD_PSK = 4;
constexpr int PSK_KEY_RAW = 0;
constexpr int X509_FMT_DER = 0;
constexpr int X509_FMT_PEM = 1;
constexpr int NAME_DNS = 1;
constexpr unsigned ALPN_MANDATORY = 1;
constexpr unsigned ALPN_SERVER_PRECEDENCE = 2;
constexpr int HANDSHAKE_NEW_SESSION_TICKET = 4;
constexpr int HANDSHAKE_CHANGE_CIPHER_SPEC = 254;
constexpr int HOOK_POST = 1;
constexpr int EXT_QUIC_TRANSPORT_PARAMETERS = 57;
constexpr int EXT_PARSE_TLS = 2;
constexpr unsigned EXT_FLAG_CLIENT_HELLO = 1 << 1;
constexpr unsigned EXT_FLAG_EE = 1 << 4;
constexpr unsigned EXT_FLAG_TLS = 1 << 7;
constexpr unsigned SFLAGS_EARLY_DATA = 1 << 10;
constexpr int DT_DNS_HOSTNAME = 1;
constexpr int DT_KEY_PURPOSE_OID = 2;
constexpr int DT_IP_ADDRESS = 4;

constexpr int E_AGAIN = -28;
constexpr int E_DB_ENTRY_EXISTS = -428;
constexpr int E_INVALID_REQUEST = -50;
constexpr int E_INTERRUPTED = -52;
constexpr int E_RECEIVED_ILLEGAL_PARAMETER = -55;
constexpr int E_INTERNAL_ERROR = -59;
constexpr int E_UNRECOGNIZED_NAME = -294;
constexpr int E_PARSING_ERROR = -302;
constexpr int E_CERTIFICATE_TIME_ERROR = -416;
constexpr int E_ASN1_TIME_ERROR = -418;
constexpr int E_UNIMPLEMENTED_FEATURE = -1250;

constexpr unsigned CERT_INVALID = 1 << 1;
constexpr unsigned CERT_REVOKED = 1 << 5;
constexpr unsigned CERT_SIGNER_NOT_FOUND = 1 << 6;
constexpr unsigned CERT_SIGNER_NOT_CA = 1 << 7;
constexpr unsigned CERT_INSECURE_ALGORITHM = 1 << 8;
constexpr unsigned CERT_NOT_ACTIVATED = 1 << 9;
constexpr unsigned CERT_EXPIRED = 1 << 10;
constexpr unsigned CERT_SIGNATURE_FAILURE = 1 << 11;
constexpr unsigned CERT_REVOCATION_DATA_SUPERSEDED = 1 << 12;
constexpr unsigned CERT_UNEXPECTED_OWNER = 1 << 14;
constexpr unsigned CERT_REVOCATION_DATA_ISSUED_IN_FUTURE = 1 << 15;
constexpr unsigned CERT_SIGNER_CONSTRAINTS_FAILURE = 1 << 16;
constexpr unsigned CERT_PURPOSE_MISMATCH = 1 << 18;
constexpr unsigned CERT_UNKNOWN_CRIT_EXTENSIONS = 1 << 21;
constexpr unsigned VERIFY_ALLOW_SIGN_WITH_SHA1 = 1 << 15;

}  // namespace gtls
}  // namespace netquic
