// What ICMP says of datagrams that were sent (MSG_ERRQUEUE), and datagrams that the interface does not carry: hints for
// JavaScript. Anyone can forge them, so they are few a second, and an error that they leave on the socket, which the
// next call of any kind meets, never counts as that call's own.
#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <time.h>

#include <linux/errqueue.h>  // wants <time.h> before it

#include "udp_address.h"
#include "udp_socket.h"

namespace netquic {

namespace {

// Entries of the error queue read at one time; the queue shares the receive buffer, so it is emptied fast.
constexpr int ERRORS_AT_ONCE = 64;
constexpr double HINTS_PER_SECOND = 100;
constexpr size_t CONTROL_BYTES = 512;

bool take_credit(Hints* hints) {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  const double now = double(t.tv_sec) + double(t.tv_nsec) / 1e9;
  hints->credit += (now - hints->credit_at_seconds) * HINTS_PER_SECOND;
  if (hints->credit > double(Hints::ROOM)) hints->credit = double(Hints::ROOM);
  hints->credit_at_seconds = now;
  if (hints->credit < 1) return false;
  hints->credit--;
  return true;
}

// `address` as the first columns of an address row; `quote` has QUOTE_BYTES, of which `quoted` are meant.
void add_hint(UdpSock* sock, const int32_t* address, int32_t kind, int32_t bytes, const uint8_t* quote, size_t quoted) {
  Hints& hints = sock->hints;
  if (hints.count == Hints::ROOM || !take_credit(&hints)) return;
  int32_t* row = hints.rows + hints.count++ * HINT_COLS;
  memcpy(row, address, (ADDR_PORT + 1) * sizeof *row);
  row[HINT_KIND] = kind;
  row[HINT_BYTES] = bytes;
  row[HINT_QUOTED] = int32_t(quoted);
  memcpy(row + HINT_QUOTE, quote, QUOTE_BYTES);
  sock->stats[STAT_HINTS] = double(hints.count);
}

// The kind of hint that a router's or the peer's message is, or -1.
int32_t kind_of(const sock_extended_err& error) {
  if (error.ee_origin != SO_EE_ORIGIN_ICMP && error.ee_origin != SO_EE_ORIGIN_ICMP6) return -1;
  switch (error.ee_errno) {
    case EMSGSIZE:
      return HINT_TOO_BIG;
    case ECONNREFUSED:
      return HINT_PORT_UNREACHABLE;
    case EHOSTUNREACH:
    case ENETUNREACH:
    case EHOSTDOWN:
    case ENONET:
    case EACCES:
    case ENOPROTOOPT:
      return HINT_UNREACHABLE;
    default:
      return -1;
  }
}

// The extended error of a message from the error queue, if it has one.
bool find_error(msghdr* m, sock_extended_err* out) {
  for (cmsghdr* c = CMSG_FIRSTHDR(m); c != nullptr; c = CMSG_NXTHDR(m, c)) {
    const bool is_error = (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_RECVERR) ||
                          (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_RECVERR);
    if (!is_error || c->cmsg_len < CMSG_LEN(sizeof *out)) continue;
    memcpy(out, CMSG_DATA(c), sizeof *out);
    return true;
  }
  return false;
}

}  // namespace

bool udp_is_answer(int error) {
  return error == ECONNREFUSED || error == EHOSTUNREACH || error == ENETUNREACH || error == EHOSTDOWN ||
         error == ENETDOWN || error == ENOPROTOOPT || error == EPROTO || error == EMSGSIZE || error == EACCES ||
         error == ENONET || error == EOPNOTSUPP;
}

void udp_read_errors(UdpSock* sock) {
  for (int i = 0; i < ERRORS_AT_ONCE; i++) {
    sockaddr_storage name = {};
    alignas(cmsghdr) uint8_t control[CONTROL_BYTES];
    uint8_t quote[QUOTE_BYTES] = {};
    iovec iov = {quote, sizeof quote};
    msghdr m = {};
    m.msg_iov = &iov;
    m.msg_iovlen = 1;
    m.msg_name = &name;
    m.msg_namelen = sizeof name;
    m.msg_control = control;
    m.msg_controllen = sizeof control;
    const ssize_t quoted = recvmsg(sock->fd, &m, MSG_ERRQUEUE | MSG_DONTWAIT);
    if (quoted < 0) {
      if (errno == EINTR) continue;
      return;
    }
    sock_extended_err error;
    const int32_t kind = find_error(&m, &error) && m.msg_namelen != 0 ? kind_of(error) : -1;
    if (kind < 0) continue;
    int32_t dest[ADDR_COLS];
    from_sockaddr(name, dest);
    const uint32_t mtu = kind == HINT_TOO_BIG && error.ee_info <= UINT16_MAX ? error.ee_info : 0;
    add_hint(sock, dest, kind, int32_t(mtu), quote, size_t(quoted));
  }
}

void udp_note_too_big(UdpSock* sock, const int32_t* dest, int32_t bytes) {
  const uint8_t quote[QUOTE_BYTES] = {};
  add_hint(sock, dest, HINT_TOO_BIG_HERE, bytes, quote, 0);
}

}  // namespace netquic
