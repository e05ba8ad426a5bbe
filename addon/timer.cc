// Timers that are late by tens of microseconds where the event loop's own are late by up to a millisecond: a timerfd each,
// watched by uv_poll. They never keep the event loop alive.
#include <errno.h>
#include <sys/timerfd.h>
#include <unistd.h>
#include <uv.h>

#include <new>

#include "addon.h"
#include "js_callback.h"
#include "loop_handles.h"
#include "span.h"

namespace netquic {

namespace {

constexpr double MICROS_MAX = 1e12;  // 11 days

struct TimerHandle;
using TimerState = LoopHandles<TimerHandle>;

struct TimerHandle {
  int fd;
  uv_poll_t poll;
  napi_env env;
  TimerState* state;
  JsCallback callback;

  void release() { callback.clear(); }
};

void on_closed(uv_handle_t* poll) { TimerState::forget(static_cast<TimerHandle*>(poll->data)); }

void close_handle(TimerHandle* handle) {
  uv_poll_stop(&handle->poll);
  uv_close(reinterpret_cast<uv_handle_t*>(&handle->poll), on_closed);
  close(handle->fd);
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
  TimerState* state;
  if (!get_args(env, info, args, &state) || state->ending || !is_function(env, args[0])) return make_int(env, -EINVAL);
  return make_int(env, start(env, state, args[0]));
}

// timerArm(handle, delayMicros): calls back once when so much time has passed, whatever was armed before; 0 is at once.
napi_value arm_timer(napi_env env, napi_callback_info info) {
  napi_value args[2];
  int32_t slot;
  double micros;
  TimerState* state;
  if (!get_args(env, info, args, &state) || !get_int(env, args[0], &slot) ||
      napi_get_value_double(env, args[1], &micros) != napi_ok || !(micros >= 0))
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
  TimerState* state;
  if (!get_args(env, info, args, &state) || !get_int(env, args[0], &slot)) return nullptr;
  if (TimerHandle* handle = state->handles.take(slot)) close_handle(handle);
  return nullptr;
}

}  // namespace

void init_timer(napi_env env, napi_value exports) {
  TimerState* state = TimerState::make(env);
  if (state == nullptr) return;
  export_function(env, exports, "timerOpen", open_timer, state);
  export_function(env, exports, "timerArm", arm_timer, state);
  export_function(env, exports, "timerClose", close_timer, state);
}

}  // namespace netquic
