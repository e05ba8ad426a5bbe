// A SOCK_SEQPACKET Unix socket: whole messages, in order, with descriptors beside them (SCM_RIGHTS), and the kernel's word
// for who is at the other end (SO_PEERCRED). Knows nothing of JavaScript; unix_batch.cc does.
#pragma once
#include <stddef.h>
#include <stdint.h>

namespace netquic {

// What one message may carry beside its bytes: the kernel's own limit.
constexpr size_t FDS_MAX = 253;

struct UnixPeer {
  int32_t pid;
  int32_t uid;
  int32_t gid;
};

// Each gives a descriptor (close-on-exec, non-blocking) or a negative errno. The socket file of `unix_listen` is its
// owner's alone (0600); a path of more than 107 bytes is -ENAMETOOLONG.
int unix_listen(const char* path, int backlog);
int unix_connect(const char* path);
int unix_accept(int fd);

int unix_peer(int fd, UnixPeer* peer);

// One message; 0 or a negative errno, -EAGAIN when the queue is full. The descriptors stay the caller's, too.
int unix_send(int fd, const uint8_t* data, size_t size, const int32_t* fds, size_t fd_count);

// One message: its bytes, 0 at the end, or a negative errno. `fds` gets up to `fd_room` descriptors, now the caller's. What
// is larger than the room for it is -EMSGSIZE, and its descriptors are closed.
int unix_recv(int fd, uint8_t* data, size_t size, int32_t* fds, size_t fd_room, size_t* fd_count);

}  // namespace netquic
