// Reading options objects from JavaScript and building results, for the parts whose calls are cold (TLS, X.509).
// Every reader says whether the value was there with the right type; a wrong type never crashes.
#pragma once
#include <string>
#include <vector>

#include "addon.h"

namespace netquic {

// Each reads `object[name]`. Returns false when it is missing or has another type; `out` is then unchanged.
// A text with a NUL is refused: the libraries would read only what stands before it, of a host name for one.
bool js_get_string(napi_env env, napi_value object, const char* name, std::string* out);
bool js_get_bool(napi_env env, napi_value object, const char* name, bool* out);
bool js_get_number(napi_env env, napi_value object, const char* name, double* out);
bool js_get_strings(napi_env env, napi_value object, const char* name, std::vector<std::string>* out);
// A Uint8Array; the bytes are copied.
bool js_get_bytes(napi_env env, napi_value object, const char* name, std::string* out);

// The text of a string value, the bytes of a Uint8Array value.
bool js_to_string(napi_env env, napi_value value, std::string* out);
bool js_to_bytes(napi_env env, napi_value value, std::string* out);
bool js_is_object(napi_env env, napi_value value);

napi_value js_object(napi_env env);
napi_value js_bytes(napi_env env, const void* data, size_t len);
void js_set(napi_env env, napi_value object, const char* name, napi_value value);
void js_set_string(napi_env env, napi_value object, const char* name, const std::string& value);
void js_set_number(napi_env env, napi_value object, const char* name, double value);
void js_set_bool(napi_env env, napi_value object, const char* name, bool value);
void js_set_bytes(napi_env env, napi_value object, const char* name, const std::string& value);

}  // namespace netquic
