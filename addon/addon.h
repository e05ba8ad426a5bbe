// Shared by the parts of the addon: how a part registers, and the few N-API helpers they all need.
#pragma once
#include <node_api.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

namespace netquic {

// Each part adds its functions to `exports`; none keeps protocol state.
void init_udp(napi_env env, napi_value exports);
void init_udp_member(napi_env env, napi_value exports);
void init_unix(napi_env env, napi_value exports);
void init_aead(napi_env env, napi_value exports);
void init_scatter(napi_env env, napi_value exports);
void init_file(napi_env env, napi_value exports);
void init_tls(napi_env env, napi_value exports);
void init_x509(napi_env env, napi_value exports);
void init_timer(napi_env env, napi_value exports);
void init_timing(napi_env env, napi_value exports);

// `data` reaches the callback through napi_get_cb_info: the part's state of this environment.
inline void export_function(napi_env env, napi_value exports, const char* name, napi_callback cb,
                            void* data = nullptr) {
  napi_value fn;
  if (napi_create_function(env, name, NAPI_AUTO_LENGTH, cb, data, &fn) == napi_ok)
    napi_set_named_property(env, exports, name, fn);
}

// Throws a TypeError with a stable code and returns null, so that `return fail(...)` ends a callback.
inline napi_value fail(napi_env env, const char* code, const char* message) {
  napi_throw_type_error(env, code, message);
  return nullptr;
}

}  // namespace netquic
