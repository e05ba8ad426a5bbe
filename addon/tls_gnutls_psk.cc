// Keys that both sides were given beforehand (RFC 8446 §4.2.11), as credentials of GnuTLS. Its hash for them is SHA-256.
#include <string.h>

#include "tls_gnutls.h"

namespace netquic {
namespace gtls {
namespace {

// Server, for an identity that is no ticket. What it writes to `out` GnuTLS frees.
int find_cb(SessionT* session, const Datum* identity, Datum* out) {
  const Api& a = api();
  const std::vector<tls::Psk>& psks = config_of(session).psks;
  int index = tls::find_psk(psks, identity->data, identity->size);
  note_psk(session, index);
  if (index < 0) return -1;
  const std::string& key = psks[size_t(index)].key;
  out->data = static_cast<unsigned char*>(a.malloc(key.size()));
  if (!out->data) return -1;
  memcpy(out->data, key.data(), key.size());
  out->size = unsigned(key.size());
  return 0;
}

}  // namespace

bool add_psks(GnutlsContext* context) {
  const Api& a = api();
  if (context->config.is_server) {
    if (a.gnutls_psk_allocate_server_credentials(&context->psk_server) < 0) return false;
    a.gnutls_psk_set_server_credentials_function2(context->psk_server, find_cb);
    return true;
  }
  if (a.gnutls_psk_allocate_client_credentials(&context->psk_client) < 0) return false;
  const tls::Psk& psk = context->config.psks.front();
  Datum identity = datum_of(psk.identity), key = datum_of(psk.key);
  return a.gnutls_psk_set_client_credentials2(context->psk_client, &identity, &key, PSK_KEY_RAW) >= 0;
}

bool set_psk_credentials(const GnutlsContext& context, SessionT* session) {
  void* keys = context.config.is_server ? static_cast<void*>(context.psk_server) : context.psk_client;
  return api().gnutls_credentials_set(session, CRD_PSK, keys) >= 0;
}

}  // namespace gtls
}  // namespace netquic
