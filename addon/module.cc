// The one N-API module of netquic: sockets, timers, packet protection, files, TLS and X.509, each in a file of its own.
#include "addon.h"

// Raised with every change of what JavaScript passes in or out; src/runtime/native/addon.ts has the same number. A stale
// build would otherwise take calls that it half understands.
constexpr uint32_t ADDON_VERSION = 12;

static napi_value init(napi_env env, napi_value exports) {
  netquic::init_udp(env, exports);
  netquic::init_udp_member(env, exports);
  netquic::init_unix(env, exports);
  netquic::init_aead(env, exports);
  netquic::init_scatter(env, exports);
  netquic::init_file(env, exports);
  netquic::init_tls(env, exports);
  netquic::init_x509(env, exports);
  netquic::init_timer(env, exports);
  netquic::init_timing(env, exports);
  napi_value version;
  if (napi_create_uint32(env, ADDON_VERSION, &version) == napi_ok)
    napi_set_named_property(env, exports, "version", version);
  return exports;
}

NAPI_MODULE(NODE_GYP_MODULE_NAME, init)
