// Opening a UDP socket with everything that a QUIC endpoint wants of the kernel. What is missing there (old kernels,
// no privilege) lowers the rung and is no error; only socket, bind and a bad address are.
#include "udp_socket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "udp_address.h"

namespace netquic {

namespace {

bool set(int fd, int level, int name, int value) { return setsockopt(fd, level, name, &value, sizeof value) == 0; }

void set_buffer(int fd, int force_name, int name, int bytes) {
  // The forced form goes past the system's limit but needs CAP_NET_ADMIN.
  if (!set(fd, SOL_SOCKET, force_name, bytes)) set(fd, SOL_SOCKET, name, bytes);
}

void set_options(UdpSock* sock, const UdpOpen& options) {
  const int fd = sock->fd;
  set_buffer(fd, SO_RCVBUFFORCE, SO_RCVBUF, options.receive_bytes);
  set_buffer(fd, SO_SNDBUFFORCE, SO_SNDBUF, options.send_bytes);
  set(fd, SOL_SOCKET, SO_RXQ_OVFL, 1);
  // IPv4 options hold for IPv4 peers of a dual-stack socket too.
  set(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_PROBE);
  set(fd, IPPROTO_IP, IP_RECVTOS, 1);
  set(fd, IPPROTO_IP, IP_PKTINFO, 1);
  // ICMP answers wait in a queue of their own. They still leave an error for the next call (udp_is_answer).
  set(fd, IPPROTO_IP, IP_RECVERR, 1);
  if (sock->is_ipv6) {
    set(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_PROBE);
    set(fd, IPPROTO_IPV6, IPV6_DONTFRAG, 1);
    set(fd, IPPROTO_IPV6, IPV6_RECVTCLASS, 1);
    set(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1);
    set(fd, IPPROTO_IPV6, IPV6_RECVERR, 1);
  }
  set(fd, SOL_SOCKET, SO_SELECT_ERR_QUEUE, 1);  // epoll then says EPOLLPRI, which libuv passes on
  sock->gso = options.gso && set(fd, IPPROTO_UDP, UDP_SEGMENT, 0);
  sock->gro = options.gro && set(fd, IPPROTO_UDP, UDP_GRO, 1);
  sock->mmsg = options.mmsg;
  sock->stats[STAT_GSO] = sock->gso ? 1 : 0;
  sock->stats[STAT_GRO] = sock->gro ? 1 : 0;
  sock->stats[STAT_MMSG] = sock->mmsg ? 1 : 0;
}

// A filter that takes nothing, and the lock that keeps it there for whoever holds the descriptor.
bool forbid_receiving(int fd) {
  sock_filter nothing = BPF_STMT(BPF_RET | BPF_K, 0);
  const sock_fprog program = {1, &nothing};
  return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) == 0 &&
         set(fd, SOL_SOCKET, SO_LOCK_FILTER, 1);
}

bool set_away(UdpSock* sock) {
  sock->is_away = sock->is_ipv6 ? set(sock->fd, IPPROTO_IPV6, IPV6_FREEBIND, 1) : set(sock->fd, IPPROTO_IP, IP_FREEBIND, 1);
  return sock->is_away;
}

int bound_address(int fd, int32_t bound[ADDR_COLS]) {
  sockaddr_storage address;
  socklen_t size = sizeof address;
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) return -errno;
  from_sockaddr(address, bound);
  return 0;
}

int get(int fd, int level, int name) {
  int value;
  socklen_t size = sizeof value;
  return getsockopt(fd, level, name, &value, &size) == 0 ? value : -1;
}

int open_bound(UdpSock* sock, const UdpOpen& options, int32_t bound[ADDR_COLS]) {
  const int fd = sock->fd;
  if (sock->is_ipv6 && !set(fd, IPPROTO_IPV6, IPV6_V6ONLY, options.ipv6_only ? 1 : 0)) return -errno;
  if (options.reuse_port && !set(fd, SOL_SOCKET, SO_REUSEPORT, 1)) return -errno;
  if (options.send_only && (!forbid_receiving(fd) || !set_away(sock))) return -errno;
  set_options(sock, options);

  sockaddr_storage address;
  const socklen_t size = to_sockaddr(options.address, sock->is_ipv6, &address);
  if (size == 0) return -EAFNOSUPPORT;
  if (bind(fd, reinterpret_cast<sockaddr*>(&address), size) != 0) return -errno;
  return bound_address(fd, bound);
}

}  // namespace

int udp_open(UdpSock* sock, const UdpOpen& options, int32_t bound[ADDR_COLS]) {
  sock->is_ipv6 = options.is_ipv6;
  sock->fd = socket(options.is_ipv6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (sock->fd < 0) return -errno;
  const int result = open_bound(sock, options, bound);
  if (result < 0) {
    close(sock->fd);
    sock->fd = -1;
  }
  return result;
}

int udp_adopt(UdpSock* sock, int fd, int32_t bound[ADDR_COLS]) {
  const int domain = get(fd, SOL_SOCKET, SO_DOMAIN);
  if (get(fd, SOL_SOCKET, SO_PROTOCOL) != IPPROTO_UDP || (domain != AF_INET && domain != AF_INET6)) return -EINVAL;
  if (fcntl(fd, F_SETFL, O_NONBLOCK) != 0) return -errno;
  sock->fd = fd;
  sock->is_ipv6 = domain == AF_INET6;
  sock->is_away = (sock->is_ipv6 ? get(fd, IPPROTO_IPV6, IPV6_FREEBIND) : get(fd, IPPROTO_IP, IP_FREEBIND)) > 0;
  sock->gso = get(fd, IPPROTO_UDP, UDP_SEGMENT) >= 0;
  sock->gro = get(fd, IPPROTO_UDP, UDP_GRO) > 0;
  sock->stats[STAT_GSO] = sock->gso ? 1 : 0;
  sock->stats[STAT_GRO] = sock->gro ? 1 : 0;
  sock->stats[STAT_MMSG] = 1;
  const int result = bound_address(fd, bound);
  if (result < 0) sock->fd = -1;
  return result;
}

}  // namespace netquic
