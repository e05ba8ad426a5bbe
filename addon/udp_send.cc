// Sending: neighbours of one destination, ECN mark and length become trains (UDP_SEGMENT), everything of a batch goes
// out in as few sendmmsg calls as there are errors. Order is never lost: what the kernel has no room for is kept and
// goes first. A train that the kernel does not like is tried again datagram by datagram; GSO is given up only when that
// went well several times in a row.
#include <errno.h>
#include <netinet/udp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "udp_address.h"
#include "udp_socket.h"

namespace netquic {

namespace {

constexpr size_t GROUP = 64;           // messages of one sendmmsg
constexpr size_t TRAIN_SEGMENTS = 64;  // older kernels take no more
// Beyond 65,473 bytes (IPv6) the kernel cuts the train in software before the device, silently.
constexpr size_t TRAIN_BYTES = 65400;
constexpr size_t CONTROL_BYTES = CMSG_SPACE(sizeof(int)) + CMSG_SPACE(sizeof(in6_pktinfo)) + CMSG_SPACE(2);
// Sends that may meet ENOBUFS one after the other; then each datagram that does counts as lost until one leaves.
constexpr uint32_t NO_BUFFER_TRIES = 8;
// Trains refused in a row whose datagrams then left one by one: the kernel or the route has no GSO.
constexpr uint32_t GSO_REFUSALS = 3;
// Calls that may in a row meet errors which ICMP answers left on the socket.
constexpr int ANSWER_RETRIES = 3;
// Rows may share their bytes, so a small table can ask for much to be kept; what is beyond counts as lost.
constexpr size_t KEPT_BYTES = 64 << 20;

struct Group {
  mmsghdr messages[GROUP];
  iovec vectors[GROUP];
  sockaddr_storage names[GROUP];
  alignas(cmsghdr) uint8_t controls[GROUP][CONTROL_BYTES];
  size_t first[GROUP];  // first row of each message
  size_t rows[GROUP];
  size_t count = 0;
  size_t vectors_used = 0;
};

bool row_is_valid(const UdpSock* sock, const TxTable& tx, size_t index) {
  const int32_t* row = tx.rows + index * TX_COLS;
  const int64_t off = row[TX_OFF], length = row[TX_LEN];
  if (off < 0 || length < 0 || length > UINT16_MAX || off + length > int64_t(tx.buf.size)) return false;
  if (row[TX_DEST] < 0 || size_t(row[TX_DEST]) >= tx.dest_count) return false;
  const int32_t* dest = tx.dests + size_t(row[TX_DEST]) * ADDR_COLS;
  if (dest[ADDR_PORT] < 1 || dest[ADDR_PORT] > 65535 || is_any(dest)) return false;
  return sock->is_ipv6 || is_mapped(dest);
}

// Rows that can leave as one train, starting at `index`, which is valid.
size_t train_rows(const UdpSock* sock, const TxTable& tx, size_t index) {
  const int32_t* head = tx.rows + index * TX_COLS;
  const int32_t size = head[TX_LEN];
  if (!sock->gso || size == 0 || (head[TX_FLAGS] & TX_FLAG_PROBE) != 0) return 1;
  size_t rows = 1, bytes = size_t(size);
  while (rows < TRAIN_SEGMENTS && index + rows < tx.count) {
    const int32_t* row = head + rows * TX_COLS;
    if (row[TX_DEST] != head[TX_DEST] || row[TX_ECN] != head[TX_ECN] || (row[TX_FLAGS] & TX_FLAG_PROBE) != 0) break;
    if (row[TX_LEN] > size || row[TX_LEN] <= 0 || !row_is_valid(sock, tx, index + rows)) break;
    if (bytes + size_t(row[TX_LEN]) > TRAIN_BYTES) break;
    bytes += size_t(row[TX_LEN]);
    rows++;
    if (row[TX_LEN] < size) break;  // only the last segment may be shorter
  }
  return rows;
}

template <typename T>
cmsghdr* put_control(msghdr* m, cmsghdr* at, int level, int type, const T& value) {
  at->cmsg_level = level;
  at->cmsg_type = type;
  at->cmsg_len = CMSG_LEN(sizeof value);
  memcpy(CMSG_DATA(at), &value, sizeof value);
  m->msg_controllen += CMSG_SPACE(sizeof value);
  return reinterpret_cast<cmsghdr*>(reinterpret_cast<uint8_t*>(at) + CMSG_SPACE(sizeof value));
}

// Where the route to a destination leaves this machine: false when there is none.
bool find_source(const UdpSock* sock, const int32_t* dest, int32_t source[ADDR_COLS]) {
  const int fd = socket(sock->is_ipv6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return false;
  sockaddr_storage address;
  socklen_t size = to_sockaddr(dest, sock->is_ipv6, &address);
  bool found = connect(fd, reinterpret_cast<sockaddr*>(&address), size) == 0;
  size = sizeof address;
  found = found && getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) == 0;
  close(fd);
  if (found) from_sockaddr(address, source);
  return found;
}

// The control messages: source address, ECN mark, segment size. An IPv4 peer of an IPv6 socket takes the IPv4 forms:
// IPV6_TCLASS would be accepted for it and ignored.
void put_controls(const UdpSock* sock, msghdr* m, uint8_t* room, const int32_t* dest, int ecn, uint16_t segment) {
  const bool is_ipv4 = is_mapped(dest);
  const int32_t* local = dest + ADDR_LOCAL_IP0;
  int32_t source[ADDR_COLS];
  // only the first packets to somebody who has never sent one do not know it
  if (sock->is_away && is_any(local) && find_source(sock, dest, source)) local = source;
  m->msg_control = room;
  m->msg_controllen = 0;
  cmsghdr* at = reinterpret_cast<cmsghdr*>(room);
  if (is_ipv4 && is_mapped(local)) {
    in_pktinfo info = {};
    info.ipi_spec_dst.s_addr = htonl(uint32_t(local[3]));
    at = put_control(m, at, IPPROTO_IP, IP_PKTINFO, info);
  } else if (!is_ipv4 && !is_mapped(local) && !is_any(local)) {
    in6_pktinfo info = {};
    words_to_in6(local, &info.ipi6_addr);
    if (is_link_local(local)) info.ipi6_ifindex = uint32_t(dest[ADDR_IFINDEX]);
    at = put_control(m, at, IPPROTO_IPV6, IPV6_PKTINFO, info);
  }
  if (ecn != 0 && is_ipv4) at = put_control(m, at, IPPROTO_IP, IP_TOS, ecn);
  else if (ecn != 0) at = put_control(m, at, IPPROTO_IPV6, IPV6_TCLASS, ecn);
  if (segment != 0) put_control(m, at, IPPROTO_UDP, UDP_SEGMENT, segment);
  if (m->msg_controllen == 0) m->msg_control = nullptr;
}

// Adds rows [first, first + rows) as one message; neighbours that touch share a vector.
void add_message(const UdpSock* sock, const TxTable& tx, size_t first, size_t rows, Group* group) {
  const size_t index = group->count++;
  const int32_t* head = tx.rows + first * TX_COLS;
  const int32_t* dest = tx.dests + size_t(head[TX_DEST]) * ADDR_COLS;
  msghdr* m = &group->messages[index].msg_hdr;
  *m = {};
  m->msg_name = &group->names[index];
  m->msg_namelen = to_sockaddr(dest, sock->is_ipv6, &group->names[index]);
  m->msg_iov = &group->vectors[group->vectors_used];
  for (size_t i = 0; i < rows; i++) {
    const int32_t* row = head + i * TX_COLS;
    uint8_t* start = tx.buf.data + row[TX_OFF];
    iovec* last = m->msg_iovlen != 0 ? &m->msg_iov[m->msg_iovlen - 1] : nullptr;
    if (last != nullptr && static_cast<uint8_t*>(last->iov_base) + last->iov_len == start) {
      last->iov_len += size_t(row[TX_LEN]);
    } else {
      m->msg_iov[m->msg_iovlen++] = {start, size_t(row[TX_LEN])};
    }
  }
  group->vectors_used += m->msg_iovlen;
  const uint16_t segment = rows > 1 ? uint16_t(head[TX_LEN]) : 0;
  put_controls(sock, m, group->controls[index], dest, head[TX_ECN] & 3, segment);
  group->first[index] = first;
  group->rows[index] = rows;
}

// Messages for the rows from `first` to the next invalid one, as many as a group holds. Rows below `single_until` are
// not joined.
void build(const UdpSock* sock, const TxTable& tx, size_t first, size_t single_until, Group* group) {
  size_t row = first;
  const size_t messages = sock->mmsg ? GROUP : 1;
  while (row < tx.count && group->count < messages && row_is_valid(sock, tx, row)) {
    const size_t rows = row < single_until ? 1 : train_rows(sock, tx, row);
    if (group->vectors_used + rows > GROUP) break;
    add_message(sock, tx, row, rows, group);
    row += rows;
  }
}

// Messages sent, or a negative errno for the first one.
int send_messages(UdpSock* sock, Group* group) {
  size_t count = group->count;
  if (sock->fault_count > 0) {
    sock->fault_count--;
    if (sock->fault_errno != 0) return -sock->fault_errno;
    count = 1;
  }
  if (!sock->mmsg) return sendmsg(sock->fd, &group->messages[0].msg_hdr, 0) >= 0 ? 1 : -errno;
  const int sent = sendmmsg(sock->fd, group->messages, unsigned(count), 0);
  return sent >= 0 ? sent : -errno;
}

void count_sent(UdpSock* sock, const TxTable& tx, const Group& group, size_t messages) {
  const size_t end = group.first[messages - 1] + group.rows[messages - 1];
  double bytes = 0;
  for (size_t row = group.first[0]; row < end; row++) bytes += tx.rows[row * TX_COLS + TX_LEN];
  sock->stats[STAT_DATAGRAMS_SENT] += double(end - group.first[0]);
  sock->stats[STAT_BYTES_SENT] += bytes;
}

// The kernel refused these rows for good: loss, for all that QUIC knows. A probe that is too large was the question.
void refuse(UdpSock* sock, const TxTable& tx, size_t first, size_t rows, int error) {
  const int32_t* row = tx.rows + first * TX_COLS;
  if (error == EMSGSIZE) udp_note_too_big(sock, tx.dests + size_t(row[TX_DEST]) * ADDR_COLS, row[TX_LEN]);
  if (error != EMSGSIZE || (row[TX_FLAGS] & TX_FLAG_PROBE) == 0) sock->stats[STAT_SEND_ERRORS] += double(rows);
}

// No room now, but perhaps later.
bool is_full(UdpSock* sock, int error) {
  if (error == EAGAIN || error == EWOULDBLOCK) return true;
  return error == ENOBUFS && ++sock->no_buffer_streak <= NO_BUFFER_TRIES;
}

// Whether datagrams may leave one by one that were refused as a train.
bool may_be_train(int error) {
  return error == EIO || error == EINVAL || error == EMSGSIZE || error == EOPNOTSUPP || error == ENOPROTOOPT;
}

void give_up_gso(UdpSock* sock, int error) {
  sock->gso = false;
  sock->stats[STAT_GSO] = 0;
  sock->stats[STAT_GSO_ERRNO] = error;
}

// One by one they go, so it was the train that was refused. EMSGSIZE has another cause: a smaller MTU.
void count_refusal(UdpSock* sock, int error) {
  if (error != 0 && error != EMSGSIZE && ++sock->gso_refusals == GSO_REFUSALS) give_up_gso(sock, error);
}

}  // namespace

size_t udp_send_rows(UdpSock* sock, const TxTable& tx, size_t first) {
  size_t row = first;
  size_t single_until = 0;  // rows of a train that failed, which now go out one by one
  int train_errno = 0;      // why it failed
  int answers = 0;
  while (row < tx.count) {
    Group group;
    build(sock, tx, row, single_until, &group);
    if (group.count == 0) {
      sock->stats[STAT_SEND_ERRORS]++;
      row++;
      continue;
    }
    const int sent = send_messages(sock, &group);
    if (sent > 0) {
      count_sent(sock, tx, group, size_t(sent));
      sock->no_buffer_streak = 0;
      answers = 0;
      if (row < single_until) count_refusal(sock, train_errno);
      else if (group.rows[0] > 1) sock->gso_refusals = 0;
      train_errno = 0;
      row = group.first[sent - 1] + group.rows[sent - 1];
      continue;
    }
    const int error = -sent;
    if (error == EINTR || (udp_is_answer(error) && ++answers <= ANSWER_RETRIES)) continue;
    answers = 0;
    if (error == ENOSYS && sock->mmsg) {
      sock->mmsg = false;
      sock->stats[STAT_MMSG] = 0;
      continue;
    }
    if (is_full(sock, error)) {
      sock->kept_errno = error;
      return row;
    }
    if (group.rows[0] > 1 && may_be_train(error)) {
      single_until = row + group.rows[0];
      train_errno = error;
      continue;
    }
    train_errno = 0;
    refuse(sock, tx, row, group.rows[0], error);
    row += group.rows[0];
  }
  return row;
}

void udp_keep(UdpSock* sock, const TxTable& tx, size_t first) {
  Kept& kept = sock->kept;
  kept.dests.assign(tx.dests, tx.dests + tx.dest_count * ADDR_COLS);
  for (size_t i = first; i < tx.count; i++) {
    if (!row_is_valid(sock, tx, i) || kept.bytes.size() > KEPT_BYTES) {
      sock->stats[STAT_SEND_ERRORS]++;
      continue;
    }
    const int32_t* row = tx.rows + i * TX_COLS;
    const uint8_t* start = tx.buf.data + row[TX_OFF];
    kept.rows.insert(kept.rows.end(), row, row + TX_COLS);
    kept.rows[kept.rows.size() - TX_COLS + TX_OFF] = int32_t(kept.bytes.size());
    kept.bytes.insert(kept.bytes.end(), start, start + row[TX_LEN]);
  }
}

bool udp_flush(UdpSock* sock) {
  Kept& kept = sock->kept;
  const TxTable tx = {{kept.bytes.data(), kept.bytes.size()},
                      kept.rows.data(),
                      kept.rows.size() / TX_COLS,
                      kept.dests.data(),
                      kept.dests.size() / ADDR_COLS};
  kept.next = udp_send_rows(sock, tx, kept.next);
  if (kept.next < tx.count) return false;
  kept = Kept();
  return true;
}

}  // namespace netquic
