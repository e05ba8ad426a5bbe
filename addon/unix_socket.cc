// Calls of SOCK_SEQPACKET Unix sockets; every error is a negative errno.
#include "unix_socket.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

namespace netquic {

namespace {

socklen_t to_sockaddr(const char* path, sockaddr_un* out) {
  const size_t size = strlen(path);
  if (size == 0 || size >= sizeof out->sun_path) return 0;
  *out = {};
  out->sun_family = AF_UNIX;
  memcpy(out->sun_path, path, size + 1);
  return socklen_t(offsetof(sockaddr_un, sun_path) + size + 1);
}

int new_socket() { return socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0); }

int close_with(int fd, int error) {
  close(fd);
  return -error;
}

struct Control {
  alignas(cmsghdr) uint8_t bytes[CMSG_SPACE(FDS_MAX * sizeof(int))];
};

// Takes the descriptors out of a message; those without room are closed. Their number, and whether all had room.
bool take_fds(msghdr* message, int32_t* fds, size_t room, size_t* count) {
  bool fits = true;
  *count = 0;
  for (cmsghdr* one = CMSG_FIRSTHDR(message); one != nullptr; one = CMSG_NXTHDR(message, one)) {
    if (one->cmsg_level != SOL_SOCKET || one->cmsg_type != SCM_RIGHTS) continue;
    const size_t sent = (one->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < sent; i++) {
      int fd;
      memcpy(&fd, CMSG_DATA(one) + i * sizeof fd, sizeof fd);
      if (*count < room) {
        fds[(*count)++] = fd;
        continue;
      }
      close(fd);
      fits = false;
    }
  }
  return fits;
}

}  // namespace

int unix_listen(const char* path, int backlog) {
  sockaddr_un address;
  const socklen_t size = to_sockaddr(path, &address);
  if (size == 0) return -ENAMETOOLONG;
  const int fd = new_socket();
  if (fd < 0) return -errno;
  // The file is born with this mode: nobody else can connect in between.
  if (fchmod(fd, 0600) != 0 || bind(fd, reinterpret_cast<sockaddr*>(&address), size) != 0 || listen(fd, backlog) != 0)
    return close_with(fd, errno);
  return fd;
}

int unix_connect(const char* path) {
  sockaddr_un address;
  const socklen_t size = to_sockaddr(path, &address);
  if (size == 0) return -ENAMETOOLONG;
  const int fd = new_socket();
  if (fd < 0) return -errno;
  if (connect(fd, reinterpret_cast<sockaddr*>(&address), size) != 0) return close_with(fd, errno);
  return fd;
}

int unix_accept(int fd) {
  const int accepted = accept4(fd, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
  return accepted < 0 ? -errno : accepted;
}

int unix_peer(int fd, UnixPeer* peer) {
  ucred credentials;
  socklen_t size = sizeof credentials;
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0) return -errno;
  peer->pid = int32_t(credentials.pid);
  peer->uid = int32_t(credentials.uid);
  peer->gid = int32_t(credentials.gid);
  return 0;
}

int unix_send(int fd, const uint8_t* data, size_t size, const int32_t* fds, size_t fd_count) {
  if (size == 0 || fd_count > FDS_MAX) return -EINVAL;  // an empty message would read as the end
  iovec part = {const_cast<uint8_t*>(data), size};
  Control control;
  msghdr message = {};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (fd_count > 0) {
    message.msg_control = control.bytes;
    message.msg_controllen = CMSG_SPACE(fd_count * sizeof(int));
    memset(control.bytes, 0, message.msg_controllen);
    cmsghdr* rights = CMSG_FIRSTHDR(&message);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(fd_count * sizeof(int));
    memcpy(CMSG_DATA(rights), fds, fd_count * sizeof(int));
  }
  ssize_t sent;
  do sent = sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
  while (sent < 0 && errno == EINTR);
  return sent < 0 ? -errno : 0;
}

int unix_recv(int fd, uint8_t* data, size_t size, int32_t* fds, size_t fd_room, size_t* fd_count) {
  iovec part = {data, size};
  Control control;
  msghdr message = {};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.bytes;
  message.msg_controllen = sizeof control.bytes;
  *fd_count = 0;
  ssize_t received;
  do received = recvmsg(fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  while (received < 0 && errno == EINTR);
  if (received < 0) return -errno;
  const bool fits = take_fds(&message, fds, fd_room, fd_count);
  if (fits && (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) == 0) return int(received);
  for (size_t i = 0; i < *fd_count; i++) close(fds[i]);
  *fd_count = 0;
  return -EMSGSIZE;
}

}  // namespace netquic
