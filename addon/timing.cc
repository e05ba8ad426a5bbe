// See timing.h.
#include "timing.h"

namespace netquic {

namespace {

constexpr int CLOCK_SAMPLES = 1000;

napi_value first_arg(napi_env env, napi_callback_info info) {
  napi_value arg = nullptr;
  size_t argc = 1;
  return napi_get_cb_info(env, info, &argc, &arg, nullptr, nullptr) == napi_ok && argc == 1 ? arg : nullptr;
}

// timingStart(on): counts from zero, or stops counting.
napi_value timing_start(napi_env env, napi_callback_info info) {
  napi_value arg = first_arg(env, info);
  bool on;
  if (arg == nullptr || napi_get_value_bool(env, arg, &on) != napi_ok)
    return fail(env, "ERR_INVALID_ARG_TYPE", "timingStart(on)");
  timing = Timing();
  timing.on = on;
  return nullptr;
}

// timingRead(box): the thread's CPU time, what one read of that clock costs, then calls and nanoseconds by kind of call.
napi_value timing_read(napi_env env, napi_callback_info info) {
  napi_value arg = first_arg(env, info);
  napi_typedarray_type type;
  size_t size;
  void* data;
  if (arg == nullptr || napi_get_typedarray_info(env, arg, &type, &size, &data, nullptr, nullptr) != napi_ok ||
      type != napi_float64_array || size < 2 + 2 * TIMED_COUNT)
    return fail(env, "ERR_INVALID_ARG_TYPE", "timingRead(box): a Float64Array of 14 cells");
  double* box = static_cast<double*>(data);
  box[0] = thread_cpu_nanos();
  for (int i = 0; i < CLOCK_SAMPLES; i++) thread_cpu_nanos();
  box[1] = (thread_cpu_nanos() - box[0]) / (CLOCK_SAMPLES + 1);
  for (int i = 0; i < TIMED_COUNT; i++) {
    box[2 + 2 * i] = timing.calls[i];
    box[3 + 2 * i] = timing.nanos[i];
  }
  return nullptr;
}

}  // namespace

void init_timing(napi_env env, napi_value exports) {
  export_function(env, exports, "timingStart", timing_start);
  export_function(env, exports, "timingRead", timing_read);
}

}  // namespace netquic
