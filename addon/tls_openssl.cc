#include "addon.h"

namespace netquic {

void init_tls_openssl(napi_env, napi_value) {}

}  // namespace netquic
