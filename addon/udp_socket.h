// A UDP socket of the addon: its descriptor, what it can do, what it counts, and datagrams that the kernel would not
// take yet. Sending and receiving know nothing of JavaScript; udp_batch.cc does.
#pragma once
#include <stddef.h>
#include <stdint.h>

#include <vector>

namespace netquic {

// As in src/port/udp.ts.
enum { ADDR_IP0, ADDR_PORT = 4, ADDR_LOCAL_IP0 = 5, ADDR_IFINDEX = 9, ADDR_COLS = 10 };
enum { RX_OFF, RX_LEN, RX_SOURCE, RX_ECN, RX_COLS };
enum { TX_OFF, TX_LEN, TX_DEST, TX_ECN, TX_FLAGS, TX_COLS };
constexpr int32_t TX_FLAG_PROBE = 1;

// What became of a datagram on its way, told to JavaScript in rows: the destination's address and port, then these.
// An ICMP message quotes what it is about: HINT_QUOTED bytes of its UDP payload stand in the columns from HINT_QUOTE on.
constexpr size_t QUOTE_BYTES = 28;  // the start of a long header with a connection id of 20 bytes, and some
enum { HINT_KIND = 5, HINT_BYTES, HINT_QUOTED, HINT_QUOTE, HINT_COLS = HINT_QUOTE + int(QUOTE_BYTES / sizeof(int32_t)) };
// HINT_BYTES is the UDP payload of the datagram that the interface does not carry.
constexpr int32_t HINT_TOO_BIG_HERE = 0;
// ICMP_* of src/port/udp.ts. HINT_BYTES is the next hop's MTU or 0.
constexpr int32_t HINT_PORT_UNREACHABLE = 1;
constexpr int32_t HINT_UNREACHABLE = 2;
constexpr int32_t HINT_TOO_BIG = 3;

// Counters, copied to JavaScript as doubles (src/runtime/native/udp.ts has the same order).
enum {
  STAT_DATAGRAMS_RECEIVED,
  STAT_BYTES_RECEIVED,
  STAT_DATAGRAMS_SENT,
  STAT_BYTES_SENT,
  STAT_SEND_ERRORS,
  STAT_SEND_BLOCKED,
  STAT_RECEIVE_OVERFLOWS,
  STAT_SOURCES,    // sources of the last recv
  STAT_GSO,        // 1 while trains are sent with UDP_SEGMENT
  STAT_GRO,        // 1 when the kernel joins datagrams
  STAT_GSO_ERRNO,  // why GSO was given up, 0 while it was not
  STAT_MMSG,       // 1 while sendmmsg and recvmmsg are used, not sendmsg and recvmsg
  STAT_HINTS,      // hints that wait to be taken
  STAT_SPINS,      // times that the event loop was kept from sleeping
  STAT_COUNT = 16  // more than 64 bytes: V8 moves smaller typed arrays about
};

struct Slice {
  uint8_t* data;
  size_t size;
};

// Datagrams to send: tables as in TxBatch, with their sizes in elements.
struct TxTable {
  Slice buf;
  const int32_t* rows;
  size_t count;
  const int32_t* dests;
  size_t dest_count;
};

// Room for datagrams: tables as in RxBatch, with their sizes in rows.
struct RxTable {
  Slice buf;
  int32_t* rows;
  size_t row_capacity;
  int32_t* sources;
  size_t source_capacity;
};

// What a send had to leave, copied aside.
struct Kept {
  std::vector<uint8_t> bytes;
  std::vector<int32_t> rows;
  std::vector<int32_t> dests;
  size_t next = 0;  // first row that is not out yet
};

// Hints that JavaScript has not taken yet. Whoever can write to the host can make the kernel queue ICMP messages, so
// there is room for a few, and for so many a second.
struct Hints {
  static constexpr size_t ROOM = 16;
  int32_t rows[ROOM * HINT_COLS];
  size_t count = 0;
  double credit = ROOM;
  double credit_at_seconds = 0;
};

struct UdpSock {
  int fd = -1;
  bool is_ipv6 = false;
  bool is_away = false;  // bound to an address that is none of this machine's: each datagram says where it leaves from
  bool gso = false;
  bool gro = false;
  bool mmsg = true;
  uint32_t gso_refusals = 0;  // trains refused one after the other whose datagrams left one by one
  // 4 while super-datagrams come (a read fills a cache-sized slab), all slots while single datagrams do.
  size_t slots = 4;
  uint32_t kernel_drops = 0;  // SO_RXQ_OVFL, as last seen
  uint32_t no_buffer_streak = 0;  // sends that met ENOBUFS since the last that did not
  double stats[STAT_COUNT] = {};
  Kept kept;
  int kept_errno = 0;  // why: EAGAIN ends when the socket is writable, ENOBUFS with time
  Hints hints;
  // Tests only: the next `fault_count` sends fail with this error instead of reaching the kernel, or, when it is 0, are
  // cut down to their first message.
  int fault_errno = 0;
  int fault_count = 0;
};

struct UdpOpen {
  int32_t address[ADDR_COLS];
  bool is_ipv6;
  bool ipv6_only;
  bool reuse_port;
  bool send_only;  // nothing arrives at it, and that cannot be undone; the address need not be this machine's
  bool gso, gro, mmsg;  // what may be used
  int32_t receive_bytes;
  int32_t send_bytes;
};

// Opens and binds; 0 or a negative errno. `bound` gets the address row that the kernel chose.
int udp_open(UdpSock* sock, const UdpOpen& options, int32_t bound[ADDR_COLS]);
// Takes over a bound UDP socket of another process, with the options that it gave it; as `udp_open`. The descriptor stays
// the caller's when it fails.
int udp_adopt(UdpSock* sock, int fd, int32_t bound[ADDR_COLS]);

// Sends rows [first, count). Returns the index of the first row that the kernel had no room for, `count` when it took
// (or refused for good) all. Counts what it sends.
size_t udp_send_rows(UdpSock* sock, const TxTable& tx, size_t first);
// Copies rows [first, count) aside.
void udp_keep(UdpSock* sock, const TxTable& tx, size_t first);
// Sends what was kept; true when none of it is left.
bool udp_flush(UdpSock* sock);

// Fills the table; the number of datagrams, or a negative errno when the socket is broken.
int udp_recv(UdpSock* sock, const RxTable& rx);

// Whether an ICMP answer to something sent earlier may have left this error on the socket: the call that meets it did
// nothing, and the next one goes on behind it.
bool udp_is_answer(int error);
// Empties the error queue into the hints, within bounds.
void udp_read_errors(UdpSock* sock);
// Notes a datagram of so many bytes that was too big for the interface.
void udp_note_too_big(UdpSock* sock, const int32_t* dest, int32_t bytes);

}  // namespace netquic
