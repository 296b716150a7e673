#define _DEFAULT_SOURCE
#include "syscalls.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <unistd.h>

const char *const call_names[CALLS] = {
    [CALL_SOCKET] = "socket",
    [CALL_CONNECT] = "connect",
    [CALL_POLL] = "poll",
    [CALL_GETSOCKOPT] = "getsockopt",
    [CALL_SETSOCKOPT] = "setsockopt",
    [CALL_GETPEERNAME] = "getpeername",
    [CALL_SEND] = "send",
    [CALL_SENDMSG] = "sendmsg",
    [CALL_RECV] = "recv",
    [CALL_READV] = "readv",
    [CALL_OPEN] = "open",
    [CALL_READ] = "read",
    [CALL_CLOSE] = "close",
    [CALL_CLOCK] = "clock_gettime",
    [CALL_TIME] = "time",
    [CALL_RANDOM] = "getrandom",
    [CALL_IFINDEX] = "if_nametoindex",
};

static void (*see_to[CALLS])(struct call *call);

void call_goes_through(enum call_name name, void (*function)(struct call *)) {
  see_to[name] = function;
}

void syscalls_go_through(void (*function)(struct call *call)) {
  for (int name = 0; name < CALLS; name++) see_to[name] = function;
}

/* A call that succeeds may leave any errno: here the one that would mislead a
 * caller most. */
static int64_t pass(struct call *c) {
  if (see_to[c->name]) see_to[c->name](c);
  else make_call(c);
  if (c->result >= 0) errno = EAGAIN;
  return c->result;
}

void fail_call(struct call *c, int reason) {
  errno = reason;
  c->result = c->name == CALL_IFINDEX ? 0 : -1;
}

/* ---- The system's own ------------------------------------------------- */

static int64_t make_poll(const struct call *c) {
  int timeout_ms = c->in.poll.timeout_ms;
  struct timespec t = {timeout_ms / 1000, timeout_ms % 1000 * 1000000L};

  return syscall(SYS_ppoll, c->in.poll.list, c->in.poll.count,
      timeout_ms < 0 ? NULL : &t, NULL, (size_t)0);
}

static int64_t make_time(void) {
  struct timespec t;

  syscall(SYS_clock_gettime, CLOCK_REALTIME, &t);
  return t.tv_sec;
}

static int64_t make_if_nametoindex(const char *name) {
  struct ifreq request;
  int fd = (int)syscall(SYS_socket, AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  int found;

  memset(&request, 0, sizeof request);
  snprintf(request.ifr_name, sizeof request.ifr_name, "%s", name);
  found = ioctl(fd, SIOCGIFINDEX, &request);
  syscall(SYS_close, fd);
  return found == 0 ? request.ifr_ifindex : 0;
}

void make_call(struct call *c) {
  int64_t n = -1;

  switch (c->name) {
  case CALL_SOCKET:
    n = syscall(SYS_socket, c->in.socket.family, c->in.socket.type,
        c->in.socket.protocol);
    break;
  case CALL_CONNECT:
    n = syscall(SYS_connect, c->fd, c->in.connect.address, c->in.connect.size);
    break;
  case CALL_POLL: n = make_poll(c); break;
  case CALL_GETSOCKOPT:
    n = syscall(SYS_getsockopt, c->fd, c->in.option.level, c->in.option.option,
        c->in.option.value, c->in.option.size);
    break;
  case CALL_SETSOCKOPT:
    n = syscall(SYS_setsockopt, c->fd, c->in.option.level, c->in.option.option,
        c->in.option.value, *c->in.option.size);
    break;
  case CALL_GETPEERNAME:
    n = syscall(SYS_getpeername, c->fd, c->in.getpeername.address,
        c->in.getpeername.size);
    break;
  case CALL_SEND:
  case CALL_SENDMSG:
    n = syscall(SYS_sendmsg, c->fd, &c->in.message.header, c->in.message.flags);
    break;
  case CALL_RECV:
  case CALL_READV:
    n = syscall(SYS_recvmsg, c->fd, &c->in.message.header, c->in.message.flags);
    break;
  case CALL_OPEN:
    n = syscall(SYS_openat, AT_FDCWD, c->in.open.path, c->in.open.flags,
        c->in.open.mode);
    break;
  case CALL_READ:
    n = syscall(SYS_read, c->fd, c->in.fill.bytes, c->in.fill.size);
    break;
  case CALL_CLOSE: n = syscall(SYS_close, c->fd); break;
  case CALL_CLOCK:
    n = syscall(SYS_clock_gettime, c->in.clock.id, c->in.clock.now);
    break;
  case CALL_TIME: n = make_time(); break;
  case CALL_RANDOM:
    n = syscall(
        SYS_getrandom, c->in.fill.bytes, c->in.fill.size, c->in.fill.flags);
    break;
  case CALL_IFINDEX: n = make_if_nametoindex(c->in.interface.name); break;
  case CALLS: break;
  }
  c->result = n;
}

/* ---- In the place of the C library's ---------------------------------- */

int socket(int family, int type, int protocol) {
  struct call c = {.name = CALL_SOCKET,
      .fd = -1,
      .in.socket = {.family = family, .type = type, .protocol = protocol}};

  return (int)pass(&c);
}

int connect(int fd, const struct sockaddr *address, socklen_t size) {
  struct call c = {.name = CALL_CONNECT,
      .fd = fd,
      .in.connect = {.address = address, .size = size}};

  return (int)pass(&c);
}

int poll(struct pollfd *list, nfds_t count, int timeout_ms) {
  struct call c = {.name = CALL_POLL,
      .fd = -1,
      .in.poll = {.list = list, .count = count, .timeout_ms = timeout_ms}};

  return (int)pass(&c);
}

int getsockopt(int fd, int level, int option, void *value, socklen_t *size) {
  struct call c = {.name = CALL_GETSOCKOPT,
      .fd = fd,
      .in.option = {
          .level = level, .option = option, .value = value, .size = size}};

  return (int)pass(&c);
}

int setsockopt(
    int fd, int level, int option, const void *value, socklen_t size) {
  struct call c = {.name = CALL_SETSOCKOPT,
      .fd = fd,
      .in.option = {.level = level,
          .option = option,
          .value = (void *)(uintptr_t)value,
          .size = &size}};

  return (int)pass(&c);
}

int getpeername(int fd, struct sockaddr *address, socklen_t *size) {
  struct call c = {.name = CALL_GETPEERNAME,
      .fd = fd,
      .in.getpeername = {.address = address, .size = size}};

  return (int)pass(&c);
}

static ssize_t pass_message(enum call_name name, int fd,
    const struct iovec *pieces, size_t count, int flags) {
  struct call c = {.name = name,
      .fd = fd,
      .in.message = {
          .header = {.msg_iov = (void *)(uintptr_t)pieces, .msg_iovlen = count},
          .flags = flags}};

  return (ssize_t)pass(&c);
}

ssize_t send(int fd, const void *bytes, size_t size, int flags) {
  struct iovec piece = {(void *)(uintptr_t)bytes, size};

  return pass_message(CALL_SEND, fd, &piece, 1, flags);
}

ssize_t sendmsg(int fd, const struct msghdr *header, int flags) {
  struct call c = {.name = CALL_SENDMSG,
      .fd = fd,
      .in.message = {.header = *header, .flags = flags}};

  return (ssize_t)pass(&c);
}

ssize_t recv(int fd, void *bytes, size_t size, int flags) {
  struct iovec piece = {bytes, size};

  return pass_message(CALL_RECV, fd, &piece, 1, flags);
}

ssize_t readv(int fd, const struct iovec *pieces, int count) {
  return pass_message(CALL_READV, fd, pieces, (size_t)count, 0);
}

int open(const char *path, int flags, ...) {
  struct call c = {.name = CALL_OPEN,
      .fd = -1,
      .in.open = {.path = path, .flags = flags, .mode = 0}};

  if (flags & O_CREAT) {
    va_list rest;
    va_start(rest, flags);
    c.in.open.mode = va_arg(rest, int);
    va_end(rest);
  }
  return (int)pass(&c);
}

ssize_t read(int fd, void *bytes, size_t size) {
  struct call c = {.name = CALL_READ,
      .fd = fd,
      .in.fill = {.bytes = bytes, .size = size, .flags = 0}};

  return (ssize_t)pass(&c);
}

int close(int fd) {
  struct call c = {.name = CALL_CLOSE, .fd = fd};

  return (int)pass(&c);
}

int clock_gettime(clockid_t id, struct timespec *now) {
  struct call c = {
      .name = CALL_CLOCK, .fd = -1, .in.clock = {.id = id, .now = now}};

  return (int)pass(&c);
}

time_t time(time_t *to) {
  struct call c = {.name = CALL_TIME, .fd = -1};
  time_t now = (time_t)pass(&c);

  if (to) *to = now;
  return now;
}

ssize_t getrandom(void *bytes, size_t size, unsigned flags) {
  struct call c = {.name = CALL_RANDOM,
      .fd = -1,
      .in.fill = {.bytes = bytes, .size = size, .flags = flags}};

  return (ssize_t)pass(&c);
}

unsigned if_nametoindex(const char *name) {
  struct call c = {
      .name = CALL_IFINDEX, .fd = -1, .in.interface = {.name = name}};

  return (unsigned)pass(&c);
}
