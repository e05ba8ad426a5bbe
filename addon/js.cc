// See js.h.
#include "js.h"

#include <utility>

namespace netquic {

constexpr uint32_t MAX_STRINGS = 1 << 16;  // of one list; trust stores have hundreds

static bool get_property(napi_env env, napi_value object, const char* name, napi_value* out) {
  bool has = false;
  if (napi_has_named_property(env, object, name, &has) != napi_ok || !has) return false;
  return napi_get_named_property(env, object, name, out) == napi_ok;
}

bool js_to_string(napi_env env, napi_value value, std::string* out) {
  size_t len = 0;
  if (napi_get_value_string_utf8(env, value, nullptr, 0, &len) != napi_ok) return false;
  std::string text(len + 1, '\0');  // the call writes a terminating zero
  if (napi_get_value_string_utf8(env, value, &text[0], len + 1, &len) != napi_ok) return false;
  text.resize(len);
  out->swap(text);
  return true;
}

bool js_to_bytes(napi_env env, napi_value value, std::string* out) {
  bool is_typed = false;
  if (napi_is_typedarray(env, value, &is_typed) != napi_ok || !is_typed) return false;
  napi_typedarray_type type;
  size_t len = 0;
  void* data = nullptr;
  if (napi_get_typedarray_info(env, value, &type, &len, &data, nullptr, nullptr) != napi_ok) return false;
  if (type != napi_uint8_array) return false;
  out->assign(static_cast<const char*>(len ? data : ""), len);
  return true;
}

bool js_is_object(napi_env env, napi_value value) {
  napi_valuetype type;
  return napi_typeof(env, value, &type) == napi_ok && type == napi_object;
}

bool js_get_string(napi_env env, napi_value object, const char* name, std::string* out) {
  napi_value value;
  std::string text;
  if (!get_property(env, object, name, &value) || !js_to_string(env, value, &text)) return false;
  if (text.find('\0') != std::string::npos) return false;
  out->swap(text);
  return true;
}

bool js_get_bool(napi_env env, napi_value object, const char* name, bool* out) {
  napi_value value;
  return get_property(env, object, name, &value) && napi_get_value_bool(env, value, out) == napi_ok;
}

bool js_get_number(napi_env env, napi_value object, const char* name, double* out) {
  napi_value value;
  return get_property(env, object, name, &value) && napi_get_value_double(env, value, out) == napi_ok;
}

bool js_get_bytes(napi_env env, napi_value object, const char* name, std::string* out) {
  napi_value value;
  return get_property(env, object, name, &value) && js_to_bytes(env, value, out);
}

bool js_get_strings(napi_env env, napi_value object, const char* name, std::vector<std::string>* out) {
  napi_value list;
  bool is_array = false;
  if (!get_property(env, object, name, &list)) return false;
  if (napi_is_array(env, list, &is_array) != napi_ok || !is_array) return false;
  uint32_t count = 0;
  if (napi_get_array_length(env, list, &count) != napi_ok) return false;
  // `length` alone costs its writer nothing, so nothing is reserved for it.
  std::vector<std::string> texts;
  for (uint32_t i = 0; i < count; i++) {
    napi_value item;
    std::string text;
    if (i == MAX_STRINGS || napi_get_element(env, list, i, &item) != napi_ok || !js_to_string(env, item, &text))
      return false;
    texts.push_back(std::move(text));
  }
  out->swap(texts);
  return true;
}

napi_value js_object(napi_env env) {
  napi_value object = nullptr;
  napi_create_object(env, &object);
  return object;
}

napi_value js_bytes(napi_env env, const void* data, size_t len) {
  napi_value buffer = nullptr, view = nullptr;
  void* target = nullptr;
  if (napi_create_arraybuffer(env, len, &target, &buffer) != napi_ok) return nullptr;
  if (len) memcpy(target, data, len);
  napi_create_typedarray(env, napi_uint8_array, len, buffer, 0, &view);
  return view;
}

void js_set(napi_env env, napi_value object, const char* name, napi_value value) {
  if (value) napi_set_named_property(env, object, name, value);
}

void js_set_string(napi_env env, napi_value object, const char* name, const std::string& value) {
  napi_value text = nullptr;
  napi_create_string_utf8(env, value.data(), value.size(), &text);
  js_set(env, object, name, text);
}

void js_set_number(napi_env env, napi_value object, const char* name, double value) {
  napi_value number = nullptr;
  napi_create_double(env, value, &number);
  js_set(env, object, name, number);
}

void js_set_bool(napi_env env, napi_value object, const char* name, bool value) {
  napi_value flag = nullptr;
  napi_get_boolean(env, value, &flag);
  js_set(env, object, name, flag);
}

void js_set_bytes(napi_env env, napi_value object, const char* name, const std::string& value) {
  js_set(env, object, name, js_bytes(env, value.data(), value.size()));
}

}  // namespace netquic
