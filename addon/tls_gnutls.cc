#include "addon.h"

namespace netquic {

void init_tls_gnutls(napi_env, napi_value) {}

}  // namespace netquic
