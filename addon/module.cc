// The one N-API module of netquic: sockets, packet protection, TLS and X.509, each in a file of its own.
#include "addon.h"

static napi_value init(napi_env env, napi_value exports) {
  netquic::init_udp(env, exports);
  netquic::init_aead(env, exports);
  netquic::init_tls(env, exports);
  netquic::init_x509(env, exports);
  netquic::init_timing(env, exports);
  return exports;
}

NAPI_MODULE(NODE_GYP_MODULE_NAME, init)
