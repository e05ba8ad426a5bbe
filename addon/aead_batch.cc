#include "addon.h"

namespace netquic {

void init_aead(napi_env, napi_value) {}

}  // namespace netquic
