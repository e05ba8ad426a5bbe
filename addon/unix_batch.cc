// Unix sockets for JavaScript (src/runtime/native/unix-socket.ts): handle numbers, and uv_poll for what happens meanwhile.
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#include <new>
#include <string>

#include "addon.h"
#include "js.h"
#include "js_callback.h"
#include "loop_handles.h"
#include "span.h"
#include "unix_socket.h"

namespace netquic {

namespace {

// What the callback of a socket is told.
constexpr int32_t EVENT_READABLE = 1;
constexpr int32_t EVENT_WRITABLE = 2;
constexpr int BACKLOG = 64;

struct UnixHandle;
using UnixState = LoopHandles<UnixHandle>;

struct UnixHandle {
  int fd = -1;
  uv_poll_t poll;
  napi_env env;
  UnixState* state;
  JsCallback callback;
  bool closing = false;

  void release() { callback.clear(); }
};

void on_closed(uv_handle_t* closed) { UnixState::forget(static_cast<UnixHandle*>(closed->data)); }

void close_handle(UnixHandle* handle) {
  handle->closing = true;
  uv_poll_stop(&handle->poll);
  uv_close(reinterpret_cast<uv_handle_t*>(&handle->poll), on_closed);
  close(handle->fd);
  handle->fd = -1;
}

void tell(UnixHandle* handle, int32_t event) {
  napi_handle_scope scope;
  if (handle->state->ending || napi_open_handle_scope(handle->env, &scope) != napi_ok) return;
  handle->callback.call(event);
  napi_close_handle_scope(handle->env, scope);
}

// A socket that broke is readable: reading it says why.
void on_poll(uv_poll_t* poll, int status, int events) {
  UnixHandle* handle = static_cast<UnixHandle*>(poll->data);
  if (status < 0) events = UV_READABLE;
  if ((events & UV_WRITABLE) != 0) tell(handle, EVENT_WRITABLE);
  if (!handle->closing && (events & UV_READABLE) != 0) tell(handle, EVENT_READABLE);
}

// Takes the descriptor, also when it fails; a handle number or a negative errno.
int start(napi_env env, UnixState* state, int fd, napi_value callback) {
  if (fd < 0) return fd;
  UnixHandle* handle = new (std::nothrow) UnixHandle();
  uv_loop_t* loop;
  if (handle == nullptr || napi_get_uv_event_loop(env, &loop) != napi_ok ||
      uv_poll_init(loop, &handle->poll, fd) != 0) {
    close(fd);
    delete handle;
    return -ENOMEM;
  }
  handle->fd = fd;
  handle->env = env;
  handle->state = state;
  handle->poll.data = handle;
  state->open++;
  if (handle->callback.set(env, callback, "NETQUIC_UNIX") && uv_poll_start(&handle->poll, UV_READABLE, on_poll) == 0)
    return state->handles.put(handle);
  close_handle(handle);
  return -ENOMEM;
}

// unixListen(path, callback), unixConnect(path, callback): a handle or a negative errno.
template <int (*open)(const char*)>
napi_value open_path(napi_env env, napi_callback_info info) {
  napi_value args[2];
  UnixState* state;
  std::string path;
  if (!get_args(env, info, args, &state) || !js_to_string(env, args[0], &path) || !is_function(env, args[1]))
    return make_int(env, -EINVAL);
  return make_int(env, start(env, state, open(path.c_str()), args[1]));
}

int listen_at(const char* path) { return unix_listen(path, BACKLOG); }

// unixAccept(handle, callback): the next client's handle, or a negative errno.
napi_value accept_next(napi_env env, napi_callback_info info) {
  napi_value args[2];
  UnixState* state;
  if (!get_args(env, info, args, &state) || !is_function(env, args[1])) return make_int(env, -EINVAL);
  UnixHandle* handle = get_handle(env, args[0], state);
  if (handle == nullptr) return make_int(env, -EBADF);
  return make_int(env, start(env, state, unix_accept(handle->fd), args[1]));
}

// unixPeer(handle, peer): fills process, user and group; 0 or a negative errno.
napi_value peer_of(napi_env env, napi_callback_info info) {
  napi_value args[2];
  UnixState* state;
  Ints out;
  if (!get_args(env, info, args, &state) || !get_ints(env, args[1], &out) || out.size < 3)
    return make_int(env, -EINVAL);
  UnixHandle* handle = get_handle(env, args[0], state);
  if (handle == nullptr) return make_int(env, -EBADF);
  UnixPeer peer;
  const int error = unix_peer(handle->fd, &peer);
  if (error != 0) return make_int(env, error);
  out.data[0] = peer.pid;
  out.data[1] = peer.uid;
  out.data[2] = peer.gid;
  return make_int(env, 0);
}

// unixSend(handle, bytes, fds): 0 or a negative errno.
napi_value send(napi_env env, napi_callback_info info) {
  napi_value args[3];
  UnixState* state;
  Bytes bytes;
  Ints fds;
  if (!get_args(env, info, args, &state) || !get_bytes(env, args[1], &bytes) || !get_ints(env, args[2], &fds))
    return make_int(env, -EINVAL);
  UnixHandle* handle = get_handle(env, args[0], state);
  if (handle == nullptr) return make_int(env, -EBADF);
  return make_int(env, unix_send(handle->fd, bytes.data, bytes.size, fds.data, fds.size));
}

// unixRecv(handle, bytes, fds): the size of one message, 0 at the end, or a negative errno; fds[0] = descriptors that follow.
napi_value recv(napi_env env, napi_callback_info info) {
  napi_value args[3];
  UnixState* state;
  Bytes bytes;
  Ints fds;
  if (!get_args(env, info, args, &state) || !get_bytes(env, args[1], &bytes) || !get_ints(env, args[2], &fds) ||
      fds.size == 0)
    return make_int(env, -EINVAL);
  UnixHandle* handle = get_handle(env, args[0], state);
  if (handle == nullptr) return make_int(env, -EBADF);
  size_t count;
  const int size = unix_recv(handle->fd, bytes.data, bytes.size, fds.data + 1, fds.size - 1, &count);
  fds.data[0] = int32_t(count);
  return make_int(env, size);
}

// unixWatch(handle, events): which EVENT_* are wanted from now on, 0 for none; 0 or a negative errno.
napi_value watch(napi_env env, napi_callback_info info) {
  napi_value args[2];
  UnixState* state;
  int32_t events;
  if (!get_args(env, info, args, &state) || !get_int(env, args[1], &events)) return make_int(env, -EINVAL);
  UnixHandle* handle = get_handle(env, args[0], state);
  if (handle == nullptr) return make_int(env, -EBADF);
  const int wanted = ((events & EVENT_READABLE) != 0 ? UV_READABLE : 0) |  //
                     ((events & EVENT_WRITABLE) != 0 ? UV_WRITABLE : 0);
  return make_int(env, uv_poll_start(&handle->poll, wanted, on_poll));
}

// unixKeepAlive(handle, keep): whether the socket keeps the event loop alive.
napi_value keep_alive(napi_env env, napi_callback_info info) {
  napi_value args[2];
  UnixState* state;
  bool keep;
  if (!get_args(env, info, args, &state) || napi_get_value_bool(env, args[1], &keep) != napi_ok) return nullptr;
  UnixHandle* handle = get_handle(env, args[0], state);
  if (handle == nullptr) return nullptr;
  uv_handle_t* poll = reinterpret_cast<uv_handle_t*>(&handle->poll);
  keep ? uv_ref(poll) : uv_unref(poll);
  return nullptr;
}

napi_value close_socket(napi_env env, napi_callback_info info) {
  napi_value args[1];
  UnixState* state;
  int32_t slot;
  if (!get_args(env, info, args, &state) || !get_int(env, args[0], &slot)) return nullptr;
  UnixHandle* handle = state->handles.take(slot);
  if (handle != nullptr) close_handle(handle);
  return nullptr;
}

}  // namespace

void init_unix(napi_env env, napi_value exports) {
  UnixState* state = UnixState::make(env);
  if (state == nullptr) return;
  export_function(env, exports, "unixListen", open_path<listen_at>, state);
  export_function(env, exports, "unixConnect", open_path<unix_connect>, state);
  export_function(env, exports, "unixAccept", accept_next, state);
  export_function(env, exports, "unixPeer", peer_of, state);
  export_function(env, exports, "unixSend", send, state);
  export_function(env, exports, "unixRecv", recv, state);
  export_function(env, exports, "unixWatch", watch, state);
  export_function(env, exports, "unixKeepAlive", keep_alive, state);
  export_function(env, exports, "unixClose", close_socket, state);
}

}  // namespace netquic
