// Address rows of src/port/udp.ts (words in host order, IPv4 as ::ffff:a.b.c.d) to and from the kernel's structures.
#pragma once
#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "udp_socket.h"

namespace netquic {

inline bool is_mapped(const int32_t* words) { return words[0] == 0 && words[1] == 0 && words[2] == 0xffff; }

inline bool is_any(const int32_t* words) { return (words[0] | words[1] | words[2] | words[3]) == 0; }

inline void words_to_in6(const int32_t* words, in6_addr* out) {
  for (int i = 0; i < 4; i++) {
    const uint32_t word = htonl(uint32_t(words[i]));
    memcpy(out->s6_addr + 4 * i, &word, 4);
  }
}

inline void in6_to_words(const in6_addr& address, int32_t* words) {
  for (int i = 0; i < 4; i++) {
    uint32_t word;
    memcpy(&word, address.s6_addr + 4 * i, 4);
    words[i] = int32_t(ntohl(word));
  }
}

inline void in_to_words(const in_addr& address, int32_t* words) {
  words[0] = words[1] = 0;
  words[2] = 0xffff;
  words[3] = int32_t(ntohl(address.s_addr));
}

inline bool is_link_local(const int32_t* words) { return (uint32_t(words[0]) & 0xffc00000u) == 0xfe800000u; }

// The row's address and port for a socket of this family; 0 when the family cannot carry it.
inline socklen_t to_sockaddr(const int32_t* row, bool is_ipv6, sockaddr_storage* out) {
  const uint16_t port = htons(uint16_t(row[ADDR_PORT]));
  if (is_ipv6) {
    sockaddr_in6* six = reinterpret_cast<sockaddr_in6*>(out);
    *six = {};
    six->sin6_family = AF_INET6;
    six->sin6_port = port;
    words_to_in6(row, &six->sin6_addr);
    // An interface binds a route that the kernel should choose, so it is given where the address needs it only.
    if (is_link_local(row)) six->sin6_scope_id = uint32_t(row[ADDR_IFINDEX]);
    return sizeof *six;
  }
  if (!is_mapped(row)) return 0;
  sockaddr_in* four = reinterpret_cast<sockaddr_in*>(out);
  *four = {};
  four->sin_family = AF_INET;
  four->sin_port = port;
  four->sin_addr.s_addr = htonl(uint32_t(row[3]));
  return sizeof *four;
}

// Fills the row; the local address becomes unknown.
inline void from_sockaddr(const sockaddr_storage& address, int32_t* row) {
  memset(row, 0, ADDR_COLS * sizeof *row);
  if (address.ss_family == AF_INET6) {
    const sockaddr_in6& six = reinterpret_cast<const sockaddr_in6&>(address);
    in6_to_words(six.sin6_addr, row);
    row[ADDR_PORT] = ntohs(six.sin6_port);
    row[ADDR_IFINDEX] = int32_t(six.sin6_scope_id);
    return;
  }
  const sockaddr_in& four = reinterpret_cast<const sockaddr_in&>(address);
  in_to_words(four.sin_addr, row);
  row[ADDR_PORT] = ntohs(four.sin_port);
}

}  // namespace netquic
