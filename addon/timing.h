// What the hot calls of the addon cost, for `npm run bench -- js`: CPU time of this thread inside them and how often they ran.
// Off until asked for: then a call costs two reads of the thread's clock, else one test of a flag.
#pragma once
#include <time.h>

#include "addon.h"

namespace netquic {

// In the order of the cells that timingRead fills.
enum TimedCall { TIMED_UDP_RECV, TIMED_UDP_SEND, TIMED_SEAL, TIMED_UNMASK, TIMED_OPEN, TIMED_SCATTER, TIMED_COUNT };

struct Timing {
  bool on = false;
  double calls[TIMED_COUNT] = {};
  double nanos[TIMED_COUNT] = {};
};

inline thread_local Timing timing;

inline double thread_cpu_nanos() {
  timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return double(t.tv_sec) * 1e9 + double(t.tv_nsec);
}

// `export_function(env, exports, "aeadSeal", timed<seal, TIMED_SEAL>, state)`.
template <napi_callback Call, TimedCall Which>
napi_value timed(napi_env env, napi_callback_info info) {
  Timing& t = timing;
  if (!t.on) return Call(env, info);
  const double start = thread_cpu_nanos();
  napi_value result = Call(env, info);
  t.nanos[Which] += thread_cpu_nanos() - start;
  t.calls[Which]++;
  return result;
}

}  // namespace netquic
