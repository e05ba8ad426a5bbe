#include "addon.h"

namespace netquic {

void init_udp(napi_env, napi_value) {}

}  // namespace netquic
