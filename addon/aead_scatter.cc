// Copies of what was opened (`scatter` of src/port/aead.ts): stream data leaves the receive slab once, all pieces of a
// run in one call.
#include "addon.h"
#include "span.h"
#include "timing.h"

namespace netquic {

namespace {

enum { SCATTER_OFF, SCATTER_LEN, SCATTER_COLS };

// scatter(buf, rows, count, ring, to): pieces of opened packets end to end into a ring, as copyScattered in
// src/port/aead.ts. False when one points outside or they are longer than the ring; nothing after it is copied.
napi_value scatter(napi_env env, napi_callback_info info) {
  napi_value args[5];
  size_t argc = 5;
  Bytes buf, ring;
  Ints rows;
  int32_t count, start;
  if (napi_get_cb_info(env, info, &argc, args, nullptr, nullptr) != napi_ok || argc < 5 ||
      !get_bytes(env, args[0], &buf) || !get_ints(env, args[1], &rows) || !get_int(env, args[2], &count) ||
      !get_bytes(env, args[3], &ring) || !get_int(env, args[4], &start))
    return fail(env, "ERR_INVALID_ARG_TYPE", "aeadScatter(buf, rows, count, ring, to)");
  if (start < 0 || size_t(start) >= ring.size || (count > 0 && size_t(count) > rows.size / SCATTER_COLS))
    return make_bool(env, false);
  size_t to = size_t(start), room = ring.size;
  for (int32_t i = 0; i < count; i++) {
    int32_t row[SCATTER_COLS];
    memcpy(row, rows.data + size_t(i) * SCATTER_COLS, sizeof row);
    const int64_t off = row[SCATTER_OFF], len = row[SCATTER_LEN];
    if (off < 0 || len < 0 || off + len > int64_t(buf.size) || len > int64_t(room)) return make_bool(env, false);
    const size_t size = size_t(len), first = size < ring.size - to ? size : ring.size - to;
    memmove(ring.data + to, buf.data + off, first);
    memmove(ring.data, buf.data + off + first, size - first);
    to = size - first > 0 ? size - first : to + first;
    if (to == ring.size) to = 0;
    room -= size;
  }
  return make_bool(env, true);
}

}  // namespace

void init_scatter(napi_env env, napi_value exports) {
  export_function(env, exports, "aeadScatter", timed<scatter, TIMED_SCATTER>);
}

}  // namespace netquic
