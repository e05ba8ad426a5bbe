// The C limit: what this machine does with the same GSO and GRO calls and the same EVP as the addon, inside the same Node
// binary, and with no protocol at all. One thread seals and sends, one receives and opens; each has a core of its own. A
// window of bytes between the two stands for acknowledgements, so that the receive queue never overflows.
#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <node_api.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/socket.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <new>

#include "aead_keys.h"
#include "evp.h"

using namespace netquic;

namespace {

constexpr int UDP_SEGMENT_OPT = 103;
constexpr int UDP_GRO_OPT = 104;
constexpr size_t MAX_TRAIN_BYTES = 65400;
constexpr size_t MAX_TRAIN_SEGMENTS = 64;
constexpr size_t HEADER_BYTES = 13;  // first byte, 8-byte id, 4-byte packet number
constexpr size_t SOURCE_BYTES = 8 << 20;
constexpr long WINDOW_BYTES = 3 << 20;
constexpr int SOCKET_BUFFER_BYTES = 16 << 20;

struct Run {
  size_t datagram_bytes;
  int sender, receiver;
  int32_t sender_core = -1, receiver_core = -1;  // negative: any
  sockaddr_in to;
  uint8_t* source;
  std::atomic<long> sent_bytes{0}, received_bytes{0};
  std::atomic<bool> stop{false};
  long sent_packets = 0, received_packets = 0, forged_packets = 0;
  double sender_cpu_ns = 0, receiver_cpu_ns = 0;
};

double thread_cpu_ns() {
  timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return t.tv_sec * 1e9 + t.tv_nsec;
}

double now_ns() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1e9 + t.tv_nsec;
}

void pin(int core) {
  if (core < 0) return;
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(core, &set);
  sched_setaffinity(0, sizeof set, &set);  // best effort: a machine with one core still gets a figure
}

void make_nonce(const PacketKey* key, uint64_t pn, uint8_t nonce[IV_BYTES]) {
  memcpy(nonce, key->iv, IV_BYTES);
  for (int i = 0; i < 8; i++) nonce[IV_BYTES - 1 - i] ^= static_cast<uint8_t>(pn >> (8 * i));
}

struct Keys {
  PacketKey* packet;
  HeaderKey* header;
  Keys() {
    const uint8_t key[16] = {1, 2, 3, 4}, iv[IV_BYTES] = {5, 6};
    packet = packet_key_new(AEAD_AES_128_GCM, key, iv);
    header = header_key_new(AEAD_AES_128_GCM, key);
  }
  ~Keys() {
    packet_key_free(packet);
    header_key_free(header);
  }
};

void mask_packet(uint8_t* packet, const uint8_t* mask) {
  packet[0] ^= mask[0] & 0x1f;
  for (int i = 0; i < 4; i++) packet[HEADER_BYTES - 4 + i] ^= mask[1 + i];
}

void seal_train(Run* run, Keys* keys, uint8_t* train, size_t packets, uint64_t* pn, size_t* at) {
  uint8_t samples[MAX_TRAIN_SEGMENTS * SAMPLE_BYTES] = {}, masks[MAX_TRAIN_SEGMENTS * SAMPLE_BYTES];
  const size_t plain_bytes = run->datagram_bytes - HEADER_BYTES - TAG_BYTES;
  for (size_t i = 0; i < packets; i++) {
    uint8_t* packet = train + i * run->datagram_bytes;
    packet[0] = 0x43;
    memset(packet + 1, 7, 8);
    const uint32_t wire = __builtin_bswap32(static_cast<uint32_t>(*pn));
    memcpy(packet + 9, &wire, 4);
    if (*at + plain_bytes > SOURCE_BYTES) *at = 0;
    memcpy(packet + HEADER_BYTES, run->source + *at, plain_bytes);
    *at += plain_bytes;
    uint8_t nonce[IV_BYTES];
    make_nonce(keys->packet, (*pn)++, nonce);
    aead_seal(keys->packet, nonce, packet, HEADER_BYTES, packet + HEADER_BYTES, plain_bytes);
    memcpy(samples + i * SAMPLE_BYTES, packet + HEADER_BYTES, SAMPLE_BYTES);
  }
  header_masks(keys->header, samples, masks, packets);
  for (size_t i = 0; i < packets; i++) mask_packet(train + i * run->datagram_bytes, masks + i * SAMPLE_BYTES);
}

bool send_train(Run* run, uint8_t* train, size_t packets) {
  iovec vec = {train, packets * run->datagram_bytes};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(uint16_t))] = {};
  msghdr message = {};
  message.msg_name = &run->to;
  message.msg_namelen = sizeof run->to;
  message.msg_iov = &vec;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_UDP;
  header->cmsg_type = UDP_SEGMENT_OPT;
  header->cmsg_len = CMSG_LEN(sizeof(uint16_t));
  const uint16_t segment = static_cast<uint16_t>(run->datagram_bytes);
  memcpy(CMSG_DATA(header), &segment, sizeof segment);
  return sendmsg(run->sender, &message, 0) > 0;
}

void* send_loop(void* data) {
  Run* run = static_cast<Run*>(data);
  pin(run->sender_core);
  Keys keys;
  static uint8_t train[MAX_TRAIN_BYTES];
  size_t packets = MAX_TRAIN_BYTES / run->datagram_bytes;
  if (packets > MAX_TRAIN_SEGMENTS) packets = MAX_TRAIN_SEGMENTS;
  const long train_bytes = static_cast<long>(packets * run->datagram_bytes);
  uint64_t pn = 0;
  size_t at = 0;
  double waited_ns = 0;
  const double started = thread_cpu_ns();
  while (!run->stop) {
    if (run->sent_bytes - run->received_bytes > WINDOW_BYTES) {
      const double from = now_ns(), cpu_from = thread_cpu_ns();
      while (!run->stop && run->sent_bytes - run->received_bytes > WINDOW_BYTES / 2) {
        if (now_ns() - from > 20e6) run->sent_bytes = run->received_bytes.load();  // lost: go on
      }
      waited_ns += thread_cpu_ns() - cpu_from;
      continue;
    }
    seal_train(run, &keys, train, packets, &pn, &at);
    if (send_train(run, train, packets)) run->sent_packets += static_cast<long>(packets);
    run->sent_bytes += train_bytes;
  }
  run->sender_cpu_ns = thread_cpu_ns() - started - waited_ns;
  return nullptr;
}

size_t segment_of(msghdr* message, size_t length) {
  for (cmsghdr* c = CMSG_FIRSTHDR(message); c != nullptr; c = CMSG_NXTHDR(message, c)) {
    int segment;
    if (c->cmsg_level != SOL_UDP || c->cmsg_type != UDP_GRO_OPT) continue;
    memcpy(&segment, CMSG_DATA(c), sizeof segment);
    return static_cast<size_t>(segment);
  }
  return length;
}

void open_train(Run* run, Keys* keys, uint8_t* train, size_t length, size_t segment) {
  uint8_t samples[2 * MAX_TRAIN_SEGMENTS * SAMPLE_BYTES] = {}, masks[2 * MAX_TRAIN_SEGMENTS * SAMPLE_BYTES];
  const size_t packets = (length + segment - 1) / segment;
  for (size_t i = 0; i < packets; i++) {
    memcpy(samples + i * SAMPLE_BYTES, train + i * segment + HEADER_BYTES, SAMPLE_BYTES);
  }
  header_masks(keys->header, samples, masks, packets);
  for (size_t i = 0; i < packets; i++) {
    uint8_t* packet = train + i * segment;
    mask_packet(packet, masks + i * SAMPLE_BYTES);
    uint32_t wire;
    memcpy(&wire, packet + 9, 4);
    uint8_t nonce[IV_BYTES];
    make_nonce(keys->packet, __builtin_bswap32(wire), nonce);
    const size_t plain_bytes = segment - HEADER_BYTES - TAG_BYTES;
    if (!aead_open(keys->packet, nonce, packet, HEADER_BYTES, packet + HEADER_BYTES, plain_bytes)) run->forged_packets++;
  }
  run->received_packets += static_cast<long>(packets);
}

void* receive_loop(void* data) {
  Run* run = static_cast<Run*>(data);
  pin(run->receiver_core);
  Keys keys;
  static uint8_t train[1 << 16];
  const double started = thread_cpu_ns();
  while (!run->stop) {
    iovec vec = {train, sizeof train};
    alignas(cmsghdr) char control[64];
    msghdr message = {};
    message.msg_iov = &vec;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    const ssize_t got = recvmsg(run->receiver, &message, 0);
    if (got <= 0) continue;  // the receive timeout looks at `stop`
    const size_t length = static_cast<size_t>(got);
    open_train(run, &keys, train, length, segment_of(&message, length));
    run->received_bytes += got;
  }
  run->receiver_cpu_ns = thread_cpu_ns() - started;
  return nullptr;
}

bool open_sockets(Run* run) {
  run->sender = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  run->receiver = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  const int one = 1, bytes = SOCKET_BUFFER_BYTES;
  const timeval timeout = {0, 50000};
  setsockopt(run->receiver, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes);
  setsockopt(run->receiver, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
  setsockopt(run->sender, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
  setsockopt(run->receiver, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
  setsockopt(run->receiver, SOL_UDP, UDP_GRO_OPT, &one, sizeof one);
  memset(&run->to, 0, sizeof run->to);
  run->to.sin_family = AF_INET;
  run->to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof run->to;
  return bind(run->receiver, reinterpret_cast<sockaddr*>(&run->to), length) == 0 &&
         getsockname(run->receiver, reinterpret_cast<sockaddr*>(&run->to), &length) == 0;
}

void set(napi_env env, napi_value object, const char* name, double value) {
  napi_value number;
  napi_create_double(env, value, &number);
  napi_set_named_property(env, object, name, number);
}

// run(datagramBytes, millis, senderCore?, receiverCore?): blocks for that long.
napi_value run_limit(napi_env env, napi_callback_info info) {
  size_t argc = 4;
  napi_value argv[4];
  napi_get_cb_info(env, info, &argc, argv, nullptr, nullptr);
  int32_t datagram_bytes = 0, millis = 0;
  napi_get_value_int32(env, argv[0], &datagram_bytes);
  napi_get_value_int32(env, argv[1], &millis);
  if (datagram_bytes < 64 || datagram_bytes > 65000 || millis < 1 || evp() == nullptr) {
    napi_throw_range_error(env, nullptr, "run(datagramBytes 64..65000, millis)");
    return nullptr;
  }
  static Run run;
  new (&run) Run();
  napi_get_value_int32(env, argv[2], &run.sender_core);
  napi_get_value_int32(env, argv[3], &run.receiver_core);
  run.datagram_bytes = static_cast<size_t>(datagram_bytes);
  run.source = static_cast<uint8_t*>(aligned_alloc(4096, SOURCE_BYTES));
  memset(run.source, 3, SOURCE_BYTES);
  napi_value out = nullptr;
  if (open_sockets(&run)) {
    pthread_t sender, receiver;
    pthread_create(&receiver, nullptr, receive_loop, &run);
    const double started = now_ns();
    pthread_create(&sender, nullptr, send_loop, &run);
    usleep(static_cast<useconds_t>(millis) * 1000);
    const double took = now_ns() - started;
    const double received = static_cast<double>(run.received_bytes);
    run.stop = true;
    pthread_join(sender, nullptr);
    pthread_join(receiver, nullptr);
    napi_create_object(env, &out);
    set(env, out, "gbitPerSec", received * 8 / took);
    set(env, out, "nsPerPacketSent", run.sender_cpu_ns / static_cast<double>(run.sent_packets));
    set(env, out, "nsPerPacketReceived", run.receiver_cpu_ns / static_cast<double>(run.received_packets));
    set(env, out, "sentPackets", static_cast<double>(run.sent_packets));
    set(env, out, "receivedPackets", static_cast<double>(run.received_packets));
    set(env, out, "forgedPackets", static_cast<double>(run.forged_packets));
  } else {
    napi_throw_error(env, nullptr, strerror(errno));
  }
  close(run.sender);
  close(run.receiver);
  free(run.source);
  return out;
}

napi_value init(napi_env env, napi_value exports) {
  napi_value fn;
  napi_create_function(env, "run", NAPI_AUTO_LENGTH, run_limit, nullptr, &fn);
  napi_set_named_property(env, exports, "run", fn);
  return exports;
}

}  // namespace

NAPI_MODULE(NODE_GYP_MODULE_NAME, init)
