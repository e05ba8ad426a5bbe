// Timers that are late by tens of microseconds where the event loop's own are late by up to a millisecond: a timerfd each,
// watched by uv_poll. They never keep the event loop alive.
#include <errno.h>
#include <sys/timerfd.h>
#include <unistd.h>
#include <uv.h>

#include <new>

#include "addon.h"
#include "js_callback.h"
#include "slot_table.h"
#include "span.h"

namespace netquic {

namespace {

constexpr double MICROS_MAX = 1e12;  // 11 days

struct TimerHandle;

// One per JavaScript environment (main thread or worker).
struct TimerState {
  SlotTable<TimerHandle> handles;
  size_t open = 0;  // handles that libuv still knows, closing ones included
  napi_async_cleanup_hook_handle cleanup = nullptr;
  bool ending = false;
};

struct TimerHandle {
  int fd;
  uv_poll_t poll;
  napi_env env;
  TimerState* state;
  JsCallback callback;
};

void finish_if_done(TimerState* state) {
  if (!state->ending || state->open != 0) return;
  napi_remove_async_cleanup_hook(state->cleanup);
  delete state;
}

void on_closed(uv_handle_t* poll) {
  TimerHandle* handle = static_cast<TimerHandle*>(poll->data);
  TimerState* state = handle->state;
  napi_handle_scope scope;
  if (napi_open_handle_scope(handle->env, &scope) == napi_ok) {
    handle->callback.clear();
    napi_close_handle_scope(handle->env, scope);
  }
  delete handle;
  state->open--;
  finish_if_done(state);
}

void close_handle(TimerHandle* handle) {
  uv_poll_stop(&handle->poll);
  uv_close(reinterpret_cast<uv_handle_t*>(&handle->poll), on_closed);
  close(handle->fd);
}

void on_environment_end(napi_async_cleanup_hook_handle, void* data) {
  TimerState* state = static_cast<TimerState*>(data);
  state->ending = true;
  for (size_t i = 0; i < state->handles.size(); i++)
    if (TimerHandle* handle = state->handles.take(int64_t(i))) close_handle(handle);
  finish_if_done(state);
}

void on_poll(uv_poll_t* poll, int, int) {
  TimerHandle* handle = static_cast<TimerHandle*>(poll->data);
  uint64_t expirations;
  // Armed anew since it expired: not yet.
  if (read(handle->fd, &expirations, sizeof expirations) < 0) return;
  napi_handle_scope scope;
  if (handle->state->ending || napi_open_handle_scope(handle->env, &scope) != napi_ok) return;
  handle->callback.call(0);
  napi_close_handle_scope(handle->env, scope);
}

template <size_t N>
TimerState* get_args(napi_env env, napi_callback_info info, napi_value (&args)[N]) {
  size_t argc = N;
  void* data = nullptr;
  if (napi_get_cb_info(env, info, &argc, args, nullptr, &data) != napi_ok || argc < N) return nullptr;
  return static_cast<TimerState*>(data);
}

int start(napi_env env, TimerState* state, napi_value function) {
  TimerHandle* handle = new (std::nothrow) TimerHandle();
  if (handle == nullptr) return -ENOMEM;
  uv_loop_t* loop;
  handle->fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
  const int error = errno;
  if (handle->fd < 0 || napi_get_uv_event_loop(env, &loop) != napi_ok ||
      uv_poll_init(loop, &handle->poll, handle->fd) != 0) {
    const bool had_fd = handle->fd >= 0;
    if (had_fd) close(handle->fd);
    delete handle;
    return had_fd ? -ENOMEM : -error;
  }
  handle->poll.data = handle;
  handle->env = env;
  handle->state = state;
  state->open++;
  uv_unref(reinterpret_cast<uv_handle_t*>(&handle->poll));
  if (handle->callback.set(env, function, "NETQUIC_TIMER") && uv_poll_start(&handle->poll, UV_READABLE, on_poll) == 0)
    return state->handles.put(handle);
  close_handle(handle);
  return -ENOMEM;
}

// timerOpen(callback): a handle or a negative errno.
napi_value open_timer(napi_env env, napi_callback_info info) {
  napi_value args[1];
  TimerState* state = get_args(env, info, args);
  if (state == nullptr || state->ending || !is_function(env, args[0])) return make_int(env, -EINVAL);
  return make_int(env, start(env, state, args[0]));
}

// timerArm(handle, delayMicros): calls back once when so much time has passed, whatever was armed before; 0 is at once.
napi_value arm_timer(napi_env env, napi_callback_info info) {
  napi_value args[2];
  int32_t slot;
  double micros;
  TimerState* state = get_args(env, info, args);
  if (state == nullptr || !get_int(env, args[0], &slot) || napi_get_value_double(env, args[1], &micros) != napi_ok ||
      !(micros >= 0))
    return fail(env, "ERR_INVALID_ARG_TYPE", "timerArm(handle, delayMicros)");
  TimerHandle* handle = state->handles.at(slot);
  if (handle == nullptr) return nullptr;
  if (micros > MICROS_MAX) micros = MICROS_MAX;
  const double seconds = double(time_t(micros / 1e6));
  itimerspec when = {};
  when.it_value.tv_sec = time_t(seconds);
  when.it_value.tv_nsec = long((micros - seconds * 1e6) * 1000);
  // Zero would disarm it.
  if (when.it_value.tv_sec == 0 && when.it_value.tv_nsec == 0) when.it_value.tv_nsec = 1;
  timerfd_settime(handle->fd, 0, &when, nullptr);
  return nullptr;
}

napi_value close_timer(napi_env env, napi_callback_info info) {
  napi_value args[1];
  int32_t slot;
  TimerState* state = get_args(env, info, args);
  if (state == nullptr || !get_int(env, args[0], &slot)) return nullptr;
  if (TimerHandle* handle = state->handles.take(slot)) close_handle(handle);
  return nullptr;
}

}  // namespace

void init_timer(napi_env env, napi_value exports) {
  TimerState* state = new (std::nothrow) TimerState();
  if (state == nullptr) return;
  if (napi_add_async_cleanup_hook(env, on_environment_end, state, &state->cleanup) != napi_ok) {
    delete state;
    return;
  }
  export_function(env, exports, "timerOpen", open_timer, state);
  export_function(env, exports, "timerArm", arm_timer, state);
  export_function(env, exports, "timerClose", close_timer, state);
}

}  // namespace netquic
