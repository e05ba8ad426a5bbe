// Typed arrays as pointer and length. The pointers hold until the callback returns: no JavaScript runs meanwhile.
#pragma once
#include <node_api.h>
#include <stddef.h>
#include <stdint.h>

namespace netquic {

struct Bytes {
  uint8_t* data;
  size_t size;
};

struct Ints {
  int32_t* data;
  size_t size;  // in elements
};

inline bool get_bytes(napi_env env, napi_value value, Bytes* out) {
  napi_typedarray_type type;
  void* data;
  if (napi_get_typedarray_info(env, value, &type, &out->size, &data, nullptr, nullptr) != napi_ok) return false;
  // An empty array may have no address; a pointer that is never followed keeps libraries content.
  static uint8_t nothing;
  out->data = out->size != 0 ? static_cast<uint8_t*>(data) : &nothing;
  return type == napi_uint8_array;
}

inline bool get_ints(napi_env env, napi_value value, Ints* out) {
  napi_typedarray_type type;
  void* data;
  napi_value buffer;
  bool is_own = false;
  if (napi_get_typedarray_info(env, value, &type, &out->size, &data, &buffer, nullptr) != napi_ok) return false;
  // Not a SharedArrayBuffer: another thread could change a row between its check and its use.
  if (napi_is_arraybuffer(env, buffer, &is_own) != napi_ok || !is_own) return false;
  out->data = static_cast<int32_t*>(data);
  return type == napi_int32_array;
}

// A whole number of 32 bits. N-API's own reader takes 2^32 and NaN for 0, which is somebody's slot.
inline bool get_int(napi_env env, napi_value value, int32_t* out) {
  double number;
  if (napi_get_value_double(env, value, &number) != napi_ok) return false;
  if (!(number >= INT32_MIN && number <= INT32_MAX) || number != double(int32_t(number))) return false;
  *out = int32_t(number);
  return true;
}

inline napi_value make_int(napi_env env, int32_t value) {
  napi_value result = nullptr;
  napi_create_int32(env, value, &result);
  return result;
}

inline napi_value make_bool(napi_env env, bool value) {
  napi_value result = nullptr;
  napi_get_boolean(env, value, &result);
  return result;
}

}  // namespace netquic
