// The udp port in native code (src/port/udp.ts): sockets behind handle numbers, a batch a call, and uv_poll for what
// happens meanwhile. The tables belong to JavaScript and are checked row by row.
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#include <new>

#include "addon.h"
#include "js_callback.h"
#include "loop_handles.h"
#include "span.h"
#include "spin.h"
#include "timing.h"
#include "udp_socket.h"

namespace netquic {

namespace {

// What the callback of a socket is told; a negative number is the errno of a socket that broke.
constexpr int32_t EVENT_READABLE = 1;
constexpr int32_t EVENT_WRITABLE = 2;
constexpr int32_t EVENT_HINTS = 3;

constexpr int32_t FLAG_IPV6 = 1;
constexpr int32_t FLAG_IPV6_ONLY = 2;
constexpr int32_t FLAG_REUSE_PORT = 4;
constexpr int32_t FLAG_NO_GSO = 8;
constexpr int32_t FLAG_NO_GRO = 16;
constexpr int32_t FLAG_NO_MMSG = 32;

constexpr int32_t FAULTS_MAX = 4096;
// Without buffers the kernel says that a socket is writable all the same, so this long passes before the next try.
constexpr uint64_t NO_BUFFER_MILLIS = 1;

struct UdpHandle;
using UdpState = LoopHandles<UdpHandle>;

struct UdpHandle {
  UdpSock sock;
  uv_poll_t poll;
  uv_timer_t retry;  // of what met ENOBUFS
  Spin spin;
  int uv_handles = 3;  // of these that are not closed yet
  napi_env env;
  UdpState* state;
  JsCallback callback;
  napi_ref stats = nullptr;
  bool closing = false;

  void release() {
    callback.clear();
    if (stats != nullptr) napi_delete_reference(env, stats);
  }
};

void on_closed(uv_handle_t* closed) {
  UdpHandle* handle = static_cast<UdpHandle*>(closed->data);
  if (--handle->uv_handles == 0) UdpState::forget(handle);
}

// The descriptor closes now, the memory when libuv has forgotten the handle.
void close_handle(UdpHandle* handle) {
  handle->closing = true;
  uv_poll_stop(&handle->poll);
  uv_close(reinterpret_cast<uv_handle_t*>(&handle->poll), on_closed);
  uv_close(reinterpret_cast<uv_handle_t*>(&handle->retry), on_closed);
  uv_close(handle->spin.handle(), on_closed);
  close(handle->sock.fd);
  handle->sock.fd = -1;
}

// The stats box, if it still has room: its owner may have detached, transferred or shrunk the memory since.
bool get_stats(napi_env env, napi_value value, double** out) {
  napi_typedarray_type type;
  size_t size;
  void* data;
  if (napi_get_typedarray_info(env, value, &type, &size, &data, nullptr, nullptr) != napi_ok) return false;
  *out = static_cast<double*>(data);
  return type == napi_float64_array && size >= STAT_COUNT;
}

// Copies the counters to JavaScript. A handle scope is open.
void publish(UdpHandle* handle) {
  napi_value box;
  double* out;
  if (napi_get_reference_value(handle->env, handle->stats, &box) == napi_ok && box != nullptr &&
      get_stats(handle->env, box, &out))
    memcpy(out, handle->sock.stats, sizeof handle->sock.stats);
}

void tell(UdpHandle* handle, int32_t event) {
  napi_env env = handle->env;
  napi_handle_scope scope;
  if (handle->state->ending || napi_open_handle_scope(env, &scope) != napi_ok) return;
  publish(handle);
  handle->callback.call(event);
  napi_close_handle_scope(env, scope);
}

void on_poll(uv_poll_t* poll, int status, int events);
void on_retry(uv_timer_t* retry);

// Readability and the error queue always; while something is kept, writability or the time of the next try.
int arm(UdpHandle* handle) {
  int events = UV_READABLE | UV_PRIORITIZED;
  if (!handle->sock.kept.rows.empty()) {
    if (handle->sock.kept_errno == ENOBUFS) uv_timer_start(&handle->retry, on_retry, NO_BUFFER_MILLIS, 0);
    else events |= UV_WRITABLE;
  }
  return uv_poll_start(&handle->poll, events, on_poll);
}

// Tries to send what was kept.
void flush(UdpHandle* handle) {
  if (handle->sock.kept.rows.empty()) return;
  const bool is_done = udp_flush(&handle->sock);
  arm(handle);
  if (is_done) tell(handle, EVENT_WRITABLE);
}

void on_retry(uv_timer_t* retry) { flush(static_cast<UdpHandle*>(retry->data)); }

// Takes ICMP answers off the socket; false when the socket is broken or was closed meanwhile.
bool read_errors(UdpHandle* handle, int status) {
  udp_read_errors(&handle->sock);
  int error = 0;
  socklen_t size = sizeof error;
  // Reading SO_ERROR takes it off the socket. libuv stops a poll that it takes for broken.
  const bool broken = getsockopt(handle->sock.fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0 ||
                      (status < 0 && arm(handle) != 0);
  if (broken) tell(handle, -(errno != 0 ? errno : EBADF));
  else if (handle->sock.hints.count != 0) tell(handle, EVENT_HINTS);
  return !broken && !handle->closing;
}

void on_poll(uv_poll_t* poll, int status, int events) {
  UdpHandle* handle = static_cast<UdpHandle*>(poll->data);
  if (status < 0) events = UV_PRIORITIZED | UV_READABLE;
  if ((events & UV_PRIORITIZED) != 0 && !read_errors(handle, status)) return;
  if ((events & UV_WRITABLE) != 0) flush(handle);
  if (handle->closing || (events & UV_READABLE) == 0) return;
  tell(handle, EVENT_READABLE);
  if (!handle->closing && handle->spin.on_arrival()) handle->sock.stats[STAT_SPINS]++;
}

int start(napi_env env, UdpHandle* handle, napi_value stats, napi_value callback) {
  uv_loop_t* loop;
  if (napi_get_uv_event_loop(env, &loop) != napi_ok || uv_poll_init(loop, &handle->poll, handle->sock.fd) != 0) {
    close(handle->sock.fd);
    delete handle;
    return -ENOMEM;
  }
  uv_timer_init(loop, &handle->retry);
  uv_unref(reinterpret_cast<uv_handle_t*>(&handle->retry));
  handle->spin.init(loop, handle);
  handle->poll.data = handle->retry.data = handle;
  handle->state->open++;
  if (napi_create_reference(env, stats, 1, &handle->stats) == napi_ok &&
      handle->callback.set(env, callback, "NETQUIC_UDP") && arm(handle) == 0)
    return handle->state->handles.put(handle);
  close_handle(handle);
  return -ENOMEM;
}

// udpOpen(address, bound, flags, receiveBytes, sendBytes, stats, callback): a handle or a negative errno.
napi_value open(napi_env env, napi_callback_info info) {
  napi_value args[7];
  UdpState* state;
  Ints address, bound;
  int32_t flags, receive_bytes, send_bytes;
  double* stats;
  if (!get_args(env, info, args, &state) || !get_ints(env, args[0], &address) || address.size < ADDR_COLS ||
      !get_ints(env, args[1], &bound) || bound.size < ADDR_COLS || !get_int(env, args[2], &flags) ||
      !get_int(env, args[3], &receive_bytes) || !get_int(env, args[4], &send_bytes) ||
      !get_stats(env, args[5], &stats) || !is_function(env, args[6]))
    return make_int(env, -EINVAL);
  UdpHandle* handle = new (std::nothrow) UdpHandle();
  if (handle == nullptr) return make_int(env, -ENOMEM);
  handle->env = env;
  handle->state = state;
  UdpOpen options = {};
  options.is_ipv6 = (flags & FLAG_IPV6) != 0;
  options.ipv6_only = (flags & FLAG_IPV6_ONLY) != 0;
  options.reuse_port = (flags & FLAG_REUSE_PORT) != 0;
  options.gso = (flags & FLAG_NO_GSO) == 0;
  options.gro = (flags & FLAG_NO_GRO) == 0;
  options.mmsg = (flags & FLAG_NO_MMSG) == 0;
  options.receive_bytes = receive_bytes;
  options.send_bytes = send_bytes;
  memcpy(options.address, address.data, sizeof options.address);
  const int error = udp_open(&handle->sock, options, bound.data);
  if (error < 0) {
    delete handle;
    return make_int(env, error);
  }
  memcpy(stats, handle->sock.stats, sizeof handle->sock.stats);
  const int result = start(env, handle, args[5], args[6]);
  return make_int(env, result);
}

// udpAdopt(fd, bound, stats, callback): a handle or a negative errno, for a socket that another process opened. Takes the
// descriptor when it goes well.
napi_value adopt(napi_env env, napi_callback_info info) {
  napi_value args[4];
  UdpState* state;
  int32_t fd;
  Ints bound;
  double* stats;
  if (!get_args(env, info, args, &state) || !get_int(env, args[0], &fd) || !get_ints(env, args[1], &bound) ||
      bound.size < ADDR_COLS || !get_stats(env, args[2], &stats) || !is_function(env, args[3]))
    return make_int(env, -EINVAL);
  UdpHandle* handle = new (std::nothrow) UdpHandle();
  if (handle == nullptr) return make_int(env, -ENOMEM);
  handle->env = env;
  handle->state = state;
  const int error = udp_adopt(&handle->sock, fd, bound.data);
  if (error < 0) {
    delete handle;
    return make_int(env, error);
  }
  memcpy(stats, handle->sock.stats, sizeof handle->sock.stats);
  return make_int(env, start(env, handle, args[2], args[3]));
}

// udpFd(handle): its descriptor, which stays the socket's; or a negative errno.
napi_value descriptor(napi_env env, napi_callback_info info) {
  napi_value args[1];
  UdpState* state;
  if (!get_args(env, info, args, &state)) return make_int(env, -EINVAL);
  const UdpHandle* handle = get_handle(env, args[0], state);
  return make_int(env, handle == nullptr ? -EBADF : handle->sock.fd);
}

// udpRecv(handle, buf, rows, sources): datagrams, or a negative errno; the number of sources is in the stats box.
napi_value recv(napi_env env, napi_callback_info info) {
  napi_value args[4];
  UdpState* state;
  Bytes buf;
  Ints rows, sources;
  if (!get_args(env, info, args, &state) || !get_bytes(env, args[1], &buf) || !get_ints(env, args[2], &rows) ||
      !get_ints(env, args[3], &sources))
    return make_int(env, -EINVAL);
  UdpHandle* handle = get_handle(env, args[0], state);
  if (handle == nullptr) return make_int(env, -EBADF);
  const RxTable rx = {{buf.data, buf.size}, rows.data, rows.size / RX_COLS, sources.data, sources.size / ADDR_COLS};
  const int count = udp_recv(&handle->sock, rx);
  publish(handle);
  return make_int(env, count);
}

// udpSend(handle, buf, rows, count, dests, destCount): true when the kernel took all, false when the rest was kept.
napi_value send(napi_env env, napi_callback_info info) {
  napi_value args[6];
  UdpState* state;
  Bytes buf;
  Ints rows, dests;
  int32_t count, dest_count;
  if (!get_args(env, info, args, &state) || !get_bytes(env, args[1], &buf) || !get_ints(env, args[2], &rows) ||
      !get_int(env, args[3], &count) || !get_ints(env, args[4], &dests) || !get_int(env, args[5], &dest_count))
    return fail(env, "ERR_INVALID_ARG_TYPE", "udpSend(handle, buf, rows, count, dests, destCount)");
  UdpHandle* handle = get_handle(env, args[0], state);
  if (handle == nullptr || !handle->sock.kept.rows.empty())
    return fail(env, "ERR_INVALID_STATE", "udpSend on a closed or blocked socket");
  TxTable tx = {{buf.data, buf.size}, rows.data, rows.size / TX_COLS, dests.data, dests.size / ADDR_COLS};
  if (count < 0 || dest_count < 0) return make_bool(env, true);
  if (size_t(count) < tx.count) tx.count = size_t(count);
  if (size_t(dest_count) < tx.dest_count) tx.dest_count = size_t(dest_count);
  const size_t sent = udp_send_rows(&handle->sock, tx, 0);
  const bool is_done = sent == tx.count;
  if (!is_done) {
    udp_keep(&handle->sock, tx, sent);
    handle->sock.stats[STAT_SEND_BLOCKED]++;
    arm(handle);
  }
  publish(handle);
  return make_bool(env, is_done);
}

napi_value close_socket(napi_env env, napi_callback_info info) {
  napi_value args[1];
  UdpState* state;
  int32_t slot;
  if (!get_args(env, info, args, &state) || !get_int(env, args[0], &slot)) return nullptr;
  UdpHandle* handle = state->handles.take(slot);
  if (handle != nullptr) close_handle(handle);
  return nullptr;
}

// udpKeepAlive(handle, keep): whether the socket keeps the event loop alive.
napi_value keep_alive(napi_env env, napi_callback_info info) {
  napi_value args[2];
  UdpState* state;
  bool keep;
  if (!get_args(env, info, args, &state) || napi_get_value_bool(env, args[1], &keep) != napi_ok) return nullptr;
  UdpHandle* handle = get_handle(env, args[0], state);
  if (handle == nullptr) return nullptr;
  uv_handle_t* poll = reinterpret_cast<uv_handle_t*>(&handle->poll);
  keep ? uv_ref(poll) : uv_unref(poll);
  return nullptr;
}

// udpHints(handle, rows): moves the hints into the table, what has no room is forgotten; how many.
napi_value hints(napi_env env, napi_callback_info info) {
  napi_value args[2];
  UdpState* state;
  Ints rows;
  if (!get_args(env, info, args, &state) || !get_ints(env, args[1], &rows)) return make_int(env, 0);
  UdpHandle* handle = get_handle(env, args[0], state);
  if (handle == nullptr) return make_int(env, 0);
  Hints& hints = handle->sock.hints;
  const size_t count = hints.count < rows.size / HINT_COLS ? hints.count : rows.size / HINT_COLS;
  if (count != 0) memcpy(rows.data, hints.rows, count * HINT_COLS * sizeof *rows.data);
  hints.count = 0;
  handle->sock.stats[STAT_HINTS] = 0;
  publish(handle);
  return make_int(env, int32_t(count));
}

// udpFault(handle, errno, count): for tests, which cannot fill a loopback socket: the next `count` sends fail so, or
// with 0 send only their first message.
napi_value fault(napi_env env, napi_callback_info info) {
  napi_value args[3];
  UdpState* state;
  int32_t error, count;
  if (!get_args(env, info, args, &state) || !get_int(env, args[1], &error) || !get_int(env, args[2], &count))
    return nullptr;
  UdpHandle* handle = get_handle(env, args[0], state);
  if (handle == nullptr || error < 0) return nullptr;
  handle->sock.fault_errno = error;
  handle->sock.fault_count = count < FAULTS_MAX ? count : FAULTS_MAX;
  return nullptr;
}

}  // namespace

void init_udp(napi_env env, napi_value exports) {
  UdpState* state = UdpState::make(env);
  if (state == nullptr) return;
  export_function(env, exports, "udpOpen", open, state);
  export_function(env, exports, "udpAdopt", adopt, state);
  export_function(env, exports, "udpFd", descriptor, state);
  export_function(env, exports, "udpRecv", timed<recv, TIMED_UDP_RECV>, state);
  export_function(env, exports, "udpSend", timed<send, TIMED_UDP_SEND>, state);
  export_function(env, exports, "udpClose", close_socket, state);
  export_function(env, exports, "udpKeepAlive", keep_alive, state);
  export_function(env, exports, "udpHints", hints, state);
  export_function(env, exports, "udpFault", fault, state);
}

}  // namespace netquic
