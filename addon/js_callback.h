// A JavaScript function that native code calls from the event loop the way Node wants it: in an async context, errors go to
// 'uncaughtException', microtasks run after it.
#pragma once
#include "addon.h"

namespace netquic {

class JsCallback {
 public:
  // `name` is what async hooks see.
  bool set(napi_env env, napi_value function, const char* name) {
    env_ = env;
    napi_value text;
    return napi_create_reference(env, function, 1, &function_) == napi_ok &&
           napi_create_string_utf8(env, name, NAPI_AUTO_LENGTH, &text) == napi_ok &&
           napi_async_init(env, nullptr, text, &context_) == napi_ok;
  }

  // Also after a `set` that failed midway. A handle scope is open.
  void clear() {
    if (context_ != nullptr) napi_async_destroy(env_, context_);
    if (function_ != nullptr) napi_delete_reference(env_, function_);
    context_ = nullptr;
    function_ = nullptr;
  }

  // A handle scope is open.
  void call(int32_t value) {
    napi_value function, receiver, argument, error;
    if (napi_get_reference_value(env_, function_, &function) == napi_ok &&
        napi_get_global(env_, &receiver) == napi_ok && napi_create_int32(env_, value, &argument) == napi_ok &&
        napi_make_callback(env_, context_, receiver, function, 1, &argument, nullptr) == napi_pending_exception &&
        napi_get_and_clear_last_exception(env_, &error) == napi_ok)
      napi_fatal_exception(env_, error);
  }

 private:
  napi_env env_ = nullptr;
  napi_ref function_ = nullptr;
  napi_async_context context_ = nullptr;
};

inline bool is_function(napi_env env, napi_value value) {
  napi_valuetype type;
  return napi_typeof(env, value, &type) == napi_ok && type == napi_function;
}

}  // namespace netquic
