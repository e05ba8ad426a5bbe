// Sockets of one UDP port that several processes share (src/runtime/native/udp-member.ts): members of a SO_REUSEPORT group
// as plain descriptors, which one of them gets a datagram, and members that can only send.
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <sys/socket.h>
#include <unistd.h>

#include <vector>

#include "addon.h"
#include "span.h"
#include "udp_socket.h"

namespace netquic {

namespace {

constexpr int32_t FLAG_IPV6 = 1;
constexpr int32_t FLAG_IPV6_ONLY = 2;
constexpr int32_t FLAG_SEND_ONLY = 4;

constexpr uint32_t LONG_HEADER = 0x80;  // RFC 8999 §5.1
constexpr size_t INDEX_MAX = 255;

template <size_t N>
bool get_args(napi_env env, napi_callback_info info, napi_value (&args)[N]) {
  size_t argc = N;
  return napi_get_cb_info(env, info, &argc, args, nullptr, nullptr) == napi_ok && argc == N;
}

// udpMember(address, bound, flags, receiveBytes, sendBytes): a descriptor, bound with SO_REUSEPORT, or a negative errno. With
// FLAG_SEND_ONLY nothing ever arrives at it, and who gets it cannot change that.
napi_value member(napi_env env, napi_callback_info info) {
  napi_value args[5];
  Ints address, bound;
  int32_t flags, receive_bytes, send_bytes;
  if (!get_args(env, info, args) || !get_ints(env, args[0], &address) || address.size < ADDR_COLS ||
      !get_ints(env, args[1], &bound) || bound.size < ADDR_COLS || !get_int(env, args[2], &flags) ||
      !get_int(env, args[3], &receive_bytes) || !get_int(env, args[4], &send_bytes))
    return make_int(env, -EINVAL);
  UdpOpen options = {};
  options.is_ipv6 = (flags & FLAG_IPV6) != 0;
  options.ipv6_only = (flags & FLAG_IPV6_ONLY) != 0;
  options.reuse_port = true;
  options.send_only = (flags & FLAG_SEND_ONLY) != 0;
  options.gso = options.gro = options.mmsg = true;
  options.receive_bytes = receive_bytes;
  options.send_bytes = send_bytes;
  memcpy(options.address, address.data, sizeof options.address);
  UdpSock sock;
  const int error = udp_open(&sock, options, bound.data);
  return make_int(env, error < 0 ? error : sock.fd);
}

// udpSteer(fd, routes): short headers whose connection id begins with byte routes[2 * i] go to member routes[2 * i + 1] of
// the group, in the order in which they were bound; everything else to member 0. 0 or a negative errno.
napi_value steer(napi_env env, napi_callback_info info) {
  napi_value args[2];
  int32_t fd;
  Ints routes;
  if (!get_args(env, info, args) || !get_int(env, args[0], &fd) || !get_ints(env, args[1], &routes) ||
      routes.size % 2 != 0 || routes.size > 2 * INDEX_MAX)
    return make_int(env, -EINVAL);
  // What cannot be loaded (a shorter datagram) ends the filter with 0: member 0.
  std::vector<sock_filter> code = {
      BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 0),
      BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, LONG_HEADER, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, 0),
      BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 1),
  };
  for (size_t i = 0; i < routes.size; i += 2) {
    if (routes.data[i] < 0 || routes.data[i] > 255 || routes.data[i + 1] < 0) return make_int(env, -EINVAL);
    code.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, uint32_t(routes.data[i]), 0, 1));
    code.push_back(BPF_STMT(BPF_RET | BPF_K, uint32_t(routes.data[i + 1])));
  }
  code.push_back(BPF_STMT(BPF_RET | BPF_K, 0));
  const sock_fprog program = {static_cast<unsigned short>(code.size()), code.data()};
  const int error = setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &program, sizeof program);
  return make_int(env, error != 0 ? -errno : 0);
}

// udpDrain(fd): throws away what waits there; how many datagrams, or a negative errno.
napi_value drain(napi_env env, napi_callback_info info) {
  napi_value args[1];
  int32_t fd;
  if (!get_args(env, info, args) || !get_int(env, args[0], &fd)) return make_int(env, -EINVAL);
  uint8_t byte;
  int32_t count = 0;
  while (recv(fd, &byte, 1, MSG_DONTWAIT | MSG_TRUNC) >= 0) count++;
  return make_int(env, errno == EAGAIN ? count : -errno);
}

// fdDup(fd): another number of the same, closed on exec, or a negative errno.
napi_value dup_fd(napi_env env, napi_callback_info info) {
  napi_value args[1];
  int32_t fd;
  if (!get_args(env, info, args) || !get_int(env, args[0], &fd)) return make_int(env, -EINVAL);
  const int copy = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
  return make_int(env, copy < 0 ? -errno : copy);
}

// fdClose(fd): closes a descriptor that came by a message, from udpMember or fdDup.
napi_value close_fd(napi_env env, napi_callback_info info) {
  napi_value args[1];
  int32_t fd;
  if (get_args(env, info, args) && get_int(env, args[0], &fd) && fd > STDERR_FILENO) close(fd);
  return nullptr;
}

}  // namespace

void init_udp_member(napi_env env, napi_value exports) {
  export_function(env, exports, "udpMember", member);
  export_function(env, exports, "udpSteer", steer);
  export_function(env, exports, "udpDrain", drain);
  export_function(env, exports, "fdDup", dup_fd);
  export_function(env, exports, "fdClose", close_fd);
}

}  // namespace netquic
