// Bytes of open files for the send rings of streams (src/port/file.ts). What the page cache has is read at once into
// the ring; what a disk would have to bring is fetched on libuv's pool into memory of our own and copied from there, so
// that no thread ever writes into memory of JavaScript, which may be detached, collected or used for another stream.
// Descriptors are the caller's; one that a fetch works on is a duplicate, as its number may mean another file by then.
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <new>

#include "addon.h"
#include "slot_table.h"
#include "span.h"

namespace netquic {

namespace {

constexpr double POSITION_MAX = 9007199254740991;  // 2^53 - 1
constexpr int32_t FETCH_BYTES_MAX = 1 << 20;

// One read on the pool, and what it brought.
struct Fetch {
  napi_async_work work;
  napi_ref on_done;
  int fd;  // ours
  off_t position;
  uint8_t* bytes;
  size_t size;
  ssize_t result;  // of the read: bytes, or a negative errno
  size_t taken;
  bool running;
  bool dropped;  // while it ran: nobody waits for it
};

// One per JavaScript environment.
struct FileState {
  napi_env env;
  SlotTable<Fetch> fetches;
};

// A whole number from -1 (where the file stands) on.
bool get_position(napi_env env, napi_value value, off_t* out) {
  double number;
  if (napi_get_value_double(env, value, &number) != napi_ok) return false;
  if (!(number >= -1 && number <= POSITION_MAX) || number != double(int64_t(number))) return false;
  *out = off_t(number);
  return true;
}

// Part [start, end) of an array.
bool get_part(napi_env env, napi_value array, napi_value start, napi_value end, Bytes* out) {
  int32_t from, to;
  if (!get_bytes(env, array, out) || !get_int(env, start, &from) || !get_int(env, end, &to)) return false;
  if (from < 0 || to < from || size_t(to) > out->size) return false;
  out->data += from;
  out->size = size_t(to - from);
  return true;
}

// A regular file that has nothing at this position and after.
bool is_end(int fd, off_t position) {
  struct stat about;
  if (fstat(fd, &about) != 0 || !S_ISREG(about.st_mode)) return false;
  if (position < 0) position = lseek(fd, 0, SEEK_CUR);
  return position >= about.st_size;
}

// fileRead(fd, buf, start, end, position): bytes read, 0 = the end of the file, or a negative errno; -EAGAIN: fetch them.
napi_value file_read(napi_env env, napi_callback_info info) {
  napi_value args[5];
  size_t argc = 5;
  int32_t fd;
  Bytes part;
  off_t position;
  if (napi_get_cb_info(env, info, &argc, args, nullptr, nullptr) != napi_ok || argc < 5 ||
      !get_int(env, args[0], &fd) || !get_position(env, args[4], &position) ||
      !get_part(env, args[1], args[2], args[3], &part))
    return fail(env, "ERR_INVALID_ARG_TYPE", "fileRead(fd, buf, start, end, position)");
  const iovec to = {part.data, part.size};
  ssize_t got;
  do {
    got = preadv2(fd, &to, 1, position, RWF_NOWAIT);
  } while (got < 0 && errno == EINTR);
  if (got > 0) return make_int(env, int32_t(got));
  // Some kernels say 0 for what is not in the page cache, others cannot be asked.
  if (got == 0) return make_int(env, is_end(fd, position) ? 0 : -EAGAIN);
  return make_int(env, errno == EOPNOTSUPP || errno == ENOSYS ? -EAGAIN : -errno);
}

void fetch_free(napi_env env, Fetch* fetch) {
  if (fetch->on_done != nullptr) napi_delete_reference(env, fetch->on_done);
  if (fetch->work != nullptr) napi_delete_async_work(env, fetch->work);
  if (fetch->fd >= 0) close(fetch->fd);
  free(fetch->bytes);
  delete fetch;
}

// On a thread of the pool: no JavaScript here.
void fetch_run(napi_env, void* data) {
  Fetch* fetch = static_cast<Fetch*>(data);
  do {
    fetch->result = fetch->position < 0 ? read(fetch->fd, fetch->bytes, fetch->size)
                                        : pread(fetch->fd, fetch->bytes, fetch->size, fetch->position);
  } while (fetch->result < 0 && errno == EINTR);
  if (fetch->result < 0) fetch->result = -errno;
}

void fetch_done(napi_env env, napi_status status, void* data) {
  Fetch* fetch = static_cast<Fetch*>(data);
  fetch->running = false;
  if (fetch->dropped) return fetch_free(env, fetch);
  if (status != napi_ok) fetch->result = -ECANCELED;
  close(fetch->fd);
  fetch->fd = -1;
  napi_value callback, self, argument;
  if (napi_get_reference_value(env, fetch->on_done, &callback) != napi_ok || callback == nullptr) return;
  if (napi_get_undefined(env, &self) != napi_ok) return;
  if (napi_create_int32(env, int32_t(fetch->result), &argument) != napi_ok) return;
  napi_call_function(env, self, callback, 1, &argument, nullptr);  // may drop the fetch
}

// Makes and queues a read; 0 or a negative errno. What was made so far is freed by the caller.
int32_t fetch_start(napi_env env, Fetch* fetch, int fd, napi_value on_done) {
  napi_value name;
  fetch->bytes = static_cast<uint8_t*>(malloc(fetch->size));
  if (fetch->bytes == nullptr) return -ENOMEM;
  fetch->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
  if (fetch->fd < 0) return -errno;
  if (napi_create_reference(env, on_done, 1, &fetch->on_done) != napi_ok ||
      napi_create_string_utf8(env, "netquic:file", NAPI_AUTO_LENGTH, &name) != napi_ok ||
      napi_create_async_work(env, nullptr, name, fetch_run, fetch_done, fetch, &fetch->work) != napi_ok ||
      napi_queue_async_work(env, fetch->work) != napi_ok)
    return -ENOMEM;
  fetch->running = true;
  return 0;
}

// fileFetch(fd, length, position, onDone(result)): a slot for fileTake, to be given back with fileDrop, or a negative
// errno. `result` is what fileRead would have said.
napi_value file_fetch(napi_env env, napi_callback_info info) {
  napi_value args[4];
  size_t argc = 4;
  void* data;
  int32_t fd, length;
  off_t position;
  napi_valuetype type;
  if (napi_get_cb_info(env, info, &argc, args, nullptr, &data) != napi_ok || argc < 4 ||
      !get_int(env, args[0], &fd) || !get_int(env, args[1], &length) || length < 1 || length > FETCH_BYTES_MAX ||
      !get_position(env, args[2], &position) || napi_typeof(env, args[3], &type) != napi_ok || type != napi_function)
    return fail(env, "ERR_INVALID_ARG_TYPE", "fileFetch(fd, length, position, onDone)");
  Fetch* fetch = new (std::nothrow) Fetch();
  if (fetch == nullptr) return make_int(env, -ENOMEM);
  fetch->fd = -1;
  fetch->position = position;
  fetch->size = size_t(length);
  const int32_t failed = fetch_start(env, fetch, fd, args[3]);
  if (failed == 0) return make_int(env, static_cast<FileState*>(data)->fetches.put(fetch));
  fetch_free(env, fetch);
  return make_int(env, failed);
}

// fileTake(slot, buf, start, end): the next bytes of what a finished fetch brought; 0 when there are no more.
napi_value file_take(napi_env env, napi_callback_info info) {
  napi_value args[4];
  size_t argc = 4;
  void* data;
  int32_t slot;
  Bytes part;
  if (napi_get_cb_info(env, info, &argc, args, nullptr, &data) != napi_ok || argc < 4 ||
      !get_int(env, args[0], &slot) || !get_part(env, args[1], args[2], args[3], &part))
    return fail(env, "ERR_INVALID_ARG_TYPE", "fileTake(slot, buf, start, end)");
  Fetch* fetch = static_cast<FileState*>(data)->fetches.at(slot);
  if (fetch == nullptr || fetch->running || fetch->result <= 0) return make_int(env, 0);
  const size_t left = size_t(fetch->result) - fetch->taken;
  const size_t taken = left < part.size ? left : part.size;
  memcpy(part.data, fetch->bytes + fetch->taken, taken);
  fetch->taken += taken;
  return make_int(env, int32_t(taken));
}

// fileDrop(slot): its bytes are not wanted any more. A read that runs goes on and tells nobody.
napi_value file_drop(napi_env env, napi_callback_info info) {
  napi_value args[1];
  size_t argc = 1;
  void* data;
  int32_t slot;
  if (napi_get_cb_info(env, info, &argc, args, nullptr, &data) != napi_ok || argc < 1 || !get_int(env, args[0], &slot))
    return make_bool(env, false);
  Fetch* fetch = static_cast<FileState*>(data)->fetches.take(slot);
  if (fetch == nullptr) return make_bool(env, false);
  if (fetch->running) {
    fetch->dropped = true;
  } else {
    fetch_free(env, fetch);
  }
  return make_bool(env, true);
}

// The environment ends: Node has waited for reads that ran, so that what is left is what was not taken.
void destroy(void* data) {
  FileState* state = static_cast<FileState*>(data);
  for (size_t i = 0; i < state->fetches.size(); i++) {
    if (Fetch* fetch = state->fetches.take(int64_t(i))) fetch_free(state->env, fetch);
  }
  delete state;
}

}  // namespace

void init_file(napi_env env, napi_value exports) {
  FileState* state = new (std::nothrow) FileState();
  if (state == nullptr) return;
  state->env = env;
  napi_add_env_cleanup_hook(env, destroy, state);
  export_function(env, exports, "fileRead", file_read);
  export_function(env, exports, "fileFetch", file_fetch, state);
  export_function(env, exports, "fileTake", file_take, state);
  export_function(env, exports, "fileDrop", file_drop, state);
}

}  // namespace netquic
