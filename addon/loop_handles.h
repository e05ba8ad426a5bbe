// What the addon keeps on the event loop of one JavaScript environment (main thread or worker): its numbers, and an end of the
// environment that waits until libuv has forgotten all of it.
//
// A Handle has `env`, `state` (its LoopHandles) and `release()`, which drops its references in an open handle scope; beside it
// stands `close_handle(Handle*)`, which closes what libuv knows and calls `forget` from the last of these callbacks.
#pragma once
#include <stddef.h>

#include <new>

#include "addon.h"
#include "slot_table.h"
#include "span.h"

namespace netquic {

template <typename Handle>
struct LoopHandles {
  SlotTable<Handle> handles;
  size_t open = 0;  // that libuv still knows, closing ones included
  napi_async_cleanup_hook_handle cleanup = nullptr;
  bool ending = false;

  // Ends with the environment; null when that cannot be.
  static LoopHandles* make(napi_env env) {
    LoopHandles* state = new (std::nothrow) LoopHandles();
    if (state == nullptr) return nullptr;
    if (napi_add_async_cleanup_hook(env, on_environment_end, state, &state->cleanup) == napi_ok) return state;
    delete state;
    return nullptr;
  }

  // libuv has forgotten it.
  static void forget(Handle* handle) {
    LoopHandles* state = handle->state;
    napi_handle_scope scope;
    if (napi_open_handle_scope(handle->env, &scope) == napi_ok) {
      handle->release();
      napi_close_handle_scope(handle->env, scope);
    }
    delete handle;
    state->open--;
    state->finish_if_done();
  }

 private:
  static void on_environment_end(napi_async_cleanup_hook_handle, void* data) {
    LoopHandles* state = static_cast<LoopHandles*>(data);
    state->ending = true;
    for (size_t i = 0; i < state->handles.size(); i++)
      if (Handle* handle = state->handles.take(int64_t(i))) close_handle(handle);
    state->finish_if_done();
  }

  void finish_if_done() {
    if (!ending || open != 0) return;
    napi_remove_async_cleanup_hook(cleanup);
    delete this;
  }
};

// The arguments of a call and what its function was exported with; false when there are too few.
template <typename State, size_t N>
bool get_args(napi_env env, napi_callback_info info, napi_value (&args)[N], State** state) {
  size_t argc = N;
  void* data = nullptr;
  if (napi_get_cb_info(env, info, &argc, args, nullptr, &data) != napi_ok || argc < N) return false;
  *state = static_cast<State*>(data);
  return true;
}

// Null for what is no number of a handle.
template <typename Handle>
Handle* get_handle(napi_env env, napi_value value, const LoopHandles<Handle>* state) {
  int32_t slot;
  return get_int(env, value, &slot) ? state->handles.at(slot) : nullptr;
}

}  // namespace netquic
