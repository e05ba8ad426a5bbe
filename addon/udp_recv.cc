// Receiving: one recvmmsg (or recvmsg) into slots of the slab, super-datagrams (GRO) cut into rows, sources merged when
// neighbours are the same. A slot takes the largest datagram there is, so nothing is ever cut short.
#include <errno.h>
#include <netinet/udp.h>
#include <sys/socket.h>

#include "udp_address.h"
#include "udp_socket.h"

namespace netquic {

namespace {

constexpr size_t SLOT_BYTES = 68 * 1024 + 64;  // RX_SLOT_BYTES of src/proto/limits.ts
constexpr size_t SLOTS_MAX = 16;               // RX_BATCH_SLOTS
constexpr size_t SLOTS_JOINED = 4;
constexpr size_t SEGMENTS_MAX = 128;  // the kernel joins no more
constexpr size_t CONTROL_BYTES = 192;
constexpr int ANSWER_RETRIES = 16;

// What the control messages of one read say.
struct Ancillary {
  int32_t local[4] = {0, 0, 0, 0};
  int32_t ifindex = 0;
  int32_t ecn = 0;
  size_t segment = 0;  // 0 = a single datagram
  uint32_t drops = 0;
};

template <typename T>
T read_as(const cmsghdr* c) {
  T value;
  memcpy(&value, CMSG_DATA(c), sizeof value);
  return value;
}

Ancillary parse_control(msghdr* m) {
  Ancillary a;
  for (cmsghdr* c = CMSG_FIRSTHDR(m); c != nullptr; c = CMSG_NXTHDR(m, c)) {
    if (c->cmsg_level == IPPROTO_UDP && c->cmsg_type == UDP_GRO) {
      a.segment = size_t(read_as<int>(c));
    } else if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_TOS) {
      a.ecn = read_as<uint8_t>(c) & 3;  // one byte, also for IPv4 peers of an IPv6 socket
    } else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_TCLASS) {
      a.ecn = read_as<int>(c) & 3;
    } else if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
      const in_pktinfo info = read_as<in_pktinfo>(c);
      in_to_words(info.ipi_spec_dst, a.local);
      a.ifindex = info.ipi_ifindex;
    } else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
      const in6_pktinfo info = read_as<in6_pktinfo>(c);
      in6_to_words(info.ipi6_addr, a.local);
      a.ifindex = int32_t(info.ipi6_ifindex);
    } else if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SO_RXQ_OVFL) {
      a.drops = read_as<uint32_t>(c);
    }
  }
  return a;
}

// Reads into the slots in use; how many, or a negative errno.
int read_slots(UdpSock* sock, mmsghdr* messages, size_t slots) {
  if (sock->mmsg) {
    const int got = recvmmsg(sock->fd, messages, unsigned(slots), 0, nullptr);
    if (got >= 0 || errno != ENOSYS) return got >= 0 ? got : -errno;
    sock->mmsg = false;
    sock->stats[STAT_MMSG] = 0;
  }
  const ssize_t size = recvmsg(sock->fd, &messages[0].msg_hdr, 0);
  if (size < 0) return -errno;
  messages[0].msg_len = unsigned(size);
  return 1;
}

int read_some(UdpSock* sock, mmsghdr* messages, size_t slots) {
  for (int i = 0; i < ANSWER_RETRIES; i++) {
    const int got = read_slots(sock, messages, slots);
    if (got >= 0) return got;
    const int error = -got;
    if (error == EAGAIN || error == EWOULDBLOCK || error == ENOMEM || error == ENOBUFS) return 0;
    if (error != EINTR && !udp_is_answer(error)) return got;
  }
  return 0;
}

// Room for one recvmmsg.
struct Reads {
  mmsghdr messages[SLOTS_MAX];
  iovec vectors[SLOTS_MAX];
  sockaddr_storage names[SLOTS_MAX];
  alignas(cmsghdr) uint8_t controls[SLOTS_MAX][CONTROL_BYTES];
  size_t slot_bytes;
  size_t slots;
};

// Lays slots over the slab: no more than there are source rows and, with SEGMENTS_MAX each, datagram rows. A slab
// smaller than a slot is one slot.
void lay_out(const UdpSock* sock, const RxTable& rx, Reads* reads) {
  const size_t per_read = sock->gro ? SEGMENTS_MAX : 1;
  reads->slot_bytes = rx.buf.size < SLOT_BYTES ? rx.buf.size : SLOT_BYTES;
  size_t slots = sock->mmsg ? sock->slots : 1;
  if (slots > rx.buf.size / reads->slot_bytes) slots = rx.buf.size / reads->slot_bytes;
  if (slots > rx.source_capacity) slots = rx.source_capacity;
  if (slots > rx.row_capacity / per_read) slots = rx.row_capacity / per_read;
  reads->slots = slots != 0 ? slots : 1;
  for (size_t i = 0; i < reads->slots; i++) {
    reads->vectors[i] = {rx.buf.data + i * reads->slot_bytes, reads->slot_bytes};
    msghdr& m = reads->messages[i].msg_hdr;
    m = {};
    m.msg_name = &reads->names[i];
    m.msg_namelen = sizeof reads->names[i];
    m.msg_iov = &reads->vectors[i];
    m.msg_iovlen = 1;
    m.msg_control = reads->controls[i];
    m.msg_controllen = CONTROL_BYTES;
  }
}

// Writes the source of a read behind the others, unless it is the last one again; the number of sources.
size_t add_source(const RxTable& rx, size_t sources, const sockaddr_storage& name, const Ancillary& a) {
  int32_t source[ADDR_COLS];
  from_sockaddr(name, source);
  memcpy(source + ADDR_LOCAL_IP0, a.local, sizeof a.local);
  source[ADDR_IFINDEX] = a.ifindex;
  if (sources != 0 && memcmp(rx.sources + (sources - 1) * ADDR_COLS, source, sizeof source) == 0) return sources;
  memcpy(rx.sources + sources * ADDR_COLS, source, sizeof source);
  return sources + 1;
}

// Cuts one read into datagrams of `segment` bytes, the last one maybe shorter; the number of rows in use.
size_t add_rows(UdpSock* sock, const RxTable& rx, size_t count, size_t from, size_t size, size_t segment,
                int32_t source, int32_t ecn) {
  size_t at = 0;
  do {
    const size_t length = segment != 0 && segment < size - at ? segment : size - at;
    if (count == rx.row_capacity) {
      sock->stats[STAT_RECEIVE_OVERFLOWS]++;
    } else {
      int32_t* row = rx.rows + count++ * RX_COLS;
      row[RX_OFF] = int32_t(from + at);
      row[RX_LEN] = int32_t(length);
      row[RX_SOURCE] = source;
      row[RX_ECN] = ecn;
      sock->stats[STAT_BYTES_RECEIVED] += double(length);
    }
    at += length;
  } while (at < size);
  return count;
}

}  // namespace

int udp_recv(UdpSock* sock, const RxTable& rx) {
  double* stats = sock->stats;
  stats[STAT_SOURCES] = 0;
  if (rx.buf.size == 0 || rx.row_capacity == 0 || rx.source_capacity == 0) return 0;
  Reads reads;
  lay_out(sock, rx, &reads);
  const int got = read_some(sock, reads.messages, reads.slots);
  if (got <= 0) return got;

  size_t count = 0, sources = 0;
  bool joined = false;
  for (int i = 0; i < got; i++) {
    msghdr* m = &reads.messages[i].msg_hdr;
    const Ancillary a = parse_control(m);
    const size_t size = reads.messages[i].msg_len;
    if (a.drops != 0) {
      stats[STAT_RECEIVE_OVERFLOWS] += a.drops - sock->kernel_drops;  // both wrap at 2^32
      sock->kernel_drops = a.drops;
    }
    if ((m->msg_flags & MSG_TRUNC) != 0) {
      stats[STAT_RECEIVE_OVERFLOWS]++;  // only a slab smaller than a slot lets this happen
      continue;
    }
    sources = add_source(rx, sources, reads.names[i], a);
    joined = joined || (a.segment != 0 && size > a.segment);
    const size_t from = size_t(i) * reads.slot_bytes;
    count = add_rows(sock, rx, count, from, size, a.segment, int32_t(sources - 1), a.ecn);
  }
  // Full reads of single datagrams want more slots; super-datagrams want a slab that stays in the cache.
  if (joined) sock->slots = SLOTS_JOINED;
  else if (size_t(got) == reads.slots) sock->slots = SLOTS_MAX;
  stats[STAT_DATAGRAMS_RECEIVED] += double(count);
  stats[STAT_SOURCES] = double(sources);
  return int(count);
}

}  // namespace netquic
