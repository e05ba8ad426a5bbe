#include "addon.h"

namespace netquic {

void init_x509(napi_env, napi_value) {}

}  // namespace netquic
