/*
 * A walk over every system call that the client makes.  A scenario is run once
 * to see its calls; then again for each of them and each way in which it can
 * go wrong, once with that call alone going wrong, and once with it and all
 * later ones of its kind.  However that ends, it ends in good order: in time,
 * with an outcome that has a name, nothing left open, and a client that goes
 * on as if nothing had been.
 *
 * The functions below stand before the C library's own of the same names.
 * While the client is at work its clock stands still but for a millisecond a
 * look, and jumps over every wait in vain: so hours pass in no time, and no
 * outcome depends on how busy the machine is.
 *
 * Time that is real has tests at the end, in which servers of every kind send
 * one byte a second for ever.
 */
#define _DEFAULT_SOURCE
#include "peer.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* ---- What can go wrong ------------------------------------------------ */

enum call {
  SOCKET,
  CONNECT,
  POLL,
  GETSOCKOPT,
  SETSOCKOPT,
  GETPEERNAME,
  SEND,
  SENDMSG,
  RECV,
  READV,
  OPEN,
  READ,
  CLOSE,
  CLOCK,
  TIME,
  RANDOM,
  IFINDEX,
  CALLS
};

static const char *const call_names[CALLS] = {"socket", "connect", "poll",
    "getsockopt", "setsockopt", "getpeername", "send", "sendmsg", "recv",
    "readv", "open", "read", "close", "clock_gettime", "time", "getrandom",
    "if_nametoindex"};

enum way {
  FAILS,   /* with an errno */
  LATE,    /* is done, and fails all the same */
  BYTE,    /* one byte, of a stream */
  NOTHING, /* the end of a file, no event, nothing random */
  GIVES,   /* a pending error, the time */
  JUMPS    /* by so many seconds */
};

enum severity { HARMFUL, HARMLESS };

/*
 * A way in which a call goes wrong: all that POSIX and Linux have for it,
 * except what only a caller's own mistake brings about.  A harmless one, if
 * it happens once, must not change the outcome.
 */
static const struct effect {
  enum call call;
  enum way way;
  int64_t value;
  const char *name;
  enum severity severity;
} effects[] = {
#define E(call, number, severity)                                              \
  { call, FAILS, number, #number, severity }
    E(SOCKET, EMFILE, HARMFUL),
    E(SOCKET, ENFILE, HARMFUL),
    E(SOCKET, ENOBUFS, HARMFUL),
    E(SOCKET, ENOMEM, HARMFUL),
    E(SOCKET, EACCES, HARMFUL),
    E(SOCKET, EAFNOSUPPORT, HARMFUL),
    E(SOCKET, EPROTONOSUPPORT, HARMFUL),
    {CONNECT, LATE, EINTR, "EINTR", HARMLESS},
    {CONNECT, LATE, EINPROGRESS, "EINPROGRESS", HARMLESS},
    E(CONNECT, ECONNREFUSED, HARMFUL),
    E(CONNECT, ENETUNREACH, HARMFUL),
    E(CONNECT, EHOSTUNREACH, HARMFUL),
    E(CONNECT, ETIMEDOUT, HARMFUL),
    E(CONNECT, ECONNRESET, HARMFUL),
    E(CONNECT, EADDRNOTAVAIL, HARMFUL),
    E(CONNECT, EADDRINUSE, HARMFUL),
    E(CONNECT, EAFNOSUPPORT, HARMFUL),
    E(CONNECT, EAGAIN, HARMFUL),
    E(CONNECT, EALREADY, HARMFUL),
    E(CONNECT, EACCES, HARMFUL),
    E(CONNECT, EPERM, HARMFUL),
    E(CONNECT, ENETDOWN, HARMFUL),
    E(CONNECT, ENOBUFS, HARMFUL),
    E(POLL, EINTR, HARMLESS),
    E(POLL, EAGAIN, HARMLESS),
    E(POLL, ENOMEM, HARMLESS),
    {POLL, NOTHING, 0, "no event", HARMLESS},
    {GETSOCKOPT, GIVES, ECONNREFUSED, "ECONNREFUSED pending", HARMFUL},
    {GETSOCKOPT, GIVES, ETIMEDOUT, "ETIMEDOUT pending", HARMFUL},
    {GETSOCKOPT, GIVES, ECONNRESET, "ECONNRESET pending", HARMFUL},
    {GETSOCKOPT, GIVES, ENETUNREACH, "ENETUNREACH pending", HARMFUL},
    {GETSOCKOPT, GIVES, EHOSTUNREACH, "EHOSTUNREACH pending", HARMFUL},
    {GETSOCKOPT, GIVES, EIO, "EIO pending", HARMFUL},
    E(GETSOCKOPT, ENOBUFS, HARMFUL),
    E(GETSOCKOPT, ENOPROTOOPT, HARMFUL),
    E(GETSOCKOPT, EACCES, HARMFUL),
    E(SETSOCKOPT, ENOBUFS, HARMLESS),
    E(SETSOCKOPT, ENOMEM, HARMLESS),
    E(SETSOCKOPT, ENOPROTOOPT, HARMLESS),
    E(GETPEERNAME, ENOTCONN, HARMFUL),
    E(GETPEERNAME, ENOBUFS, HARMFUL),
#define OUTPUT(call)                                                           \
  E(call, EINTR, HARMLESS), E(call, EAGAIN, HARMLESS),                         \
      E(call, EPIPE, HARMFUL), E(call, ECONNRESET, HARMFUL),                   \
      E(call, ECONNREFUSED, HARMFUL), E(call, ENETUNREACH, HARMFUL),           \
      E(call, EHOSTUNREACH, HARMFUL), E(call, ENETDOWN, HARMFUL),              \
      E(call, ETIMEDOUT, HARMFUL), E(call, ENOTCONN, HARMFUL),                 \
      E(call, EMSGSIZE, HARMFUL), E(call, EACCES, HARMFUL),                    \
      E(call, EPERM, HARMFUL), E(call, EIO, HARMFUL),                          \
      E(call, ENOBUFS, HARMFUL), E(call, ENOMEM, HARMFUL), {                   \
    call, BYTE, 1, "one byte", HARMLESS                                        \
  }
    OUTPUT(SEND),
    OUTPUT(SENDMSG),
#define INPUT(call)                                                            \
  E(call, EINTR, HARMLESS), E(call, EAGAIN, HARMLESS),                         \
      E(call, ECONNRESET, HARMFUL), E(call, ECONNREFUSED, HARMFUL),            \
      E(call, ENETUNREACH, HARMFUL), E(call, EHOSTUNREACH, HARMFUL),           \
      E(call, ETIMEDOUT, HARMFUL), E(call, ENOTCONN, HARMFUL),                 \
      E(call, EIO, HARMFUL), E(call, ENOBUFS, HARMFUL),                        \
      E(call, ENOMEM, HARMFUL), {call, BYTE, 1, "one byte", HARMLESS}, {       \
    call, NOTHING, 0, "the end", HARMFUL                                       \
  }
    INPUT(RECV),
    INPUT(READV),
    E(OPEN, EINTR, HARMFUL),
    E(OPEN, EACCES, HARMFUL),
    E(OPEN, EMFILE, HARMFUL),
    E(OPEN, ENFILE, HARMFUL),
    E(OPEN, ENOENT, HARMFUL),
    E(OPEN, ENOTDIR, HARMFUL),
    E(OPEN, EISDIR, HARMFUL),
    E(OPEN, ELOOP, HARMFUL),
    E(OPEN, ENXIO, HARMFUL),
    E(OPEN, EIO, HARMFUL),
    E(OPEN, ENOMEM, HARMFUL),
    E(READ, EINTR, HARMFUL),
    E(READ, EIO, HARMFUL),
    E(READ, EISDIR, HARMFUL),
    E(READ, ENOBUFS, HARMFUL),
    E(READ, ENOMEM, HARMFUL),
    {READ, BYTE, 1, "one byte", HARMLESS},
    {READ, NOTHING, 0, "the end", HARMFUL},
    {CLOSE, LATE, EINTR, "EINTR", HARMLESS},
    {CLOSE, LATE, EIO, "EIO", HARMLESS},
    {CLOCK, JUMPS, 3600, "an hour on", HARMFUL},
    {TIME, GIVES, 0, "1970", HARMFUL},
    {TIME, GIVES, (int64_t)1 << 31, "2038", HARMFUL},
    {TIME, GIVES, 4070908800, "2099", HARMFUL},
    {TIME, GIVES, -1, "EOVERFLOW", HARMFUL},
    E(RANDOM, EAGAIN, HARMFUL),
    E(RANDOM, EINTR, HARMLESS),
    E(RANDOM, ENOSYS, HARMFUL),
    E(RANDOM, EPERM, HARMFUL),
    {RANDOM, BYTE, 1, "one byte", HARMLESS},
    E(IFINDEX, ENXIO, HARMFUL),
    E(IFINDEX, EMFILE, HARMFUL),
};

/* ---- The calls -------------------------------------------------------- */

#define DESCRIPTORS 256

static struct net {
  bool watched;        /* the client is at work; else nothing counts */
  int64_t clock_ms;    /* its own ... */
  int64_t skipped_ms;  /* ... and what was added to it by a jump */
  int patience_ms;     /* a wait longer than that, in truth, is in vain */
  size_t calls[CALLS]; /* of each kind, since the effect was set */
  const struct effect *effect; /* NULL: none */
  size_t at;                   /* which call goes wrong, from 0 on */
  bool for_good;               /* all later ones of its kind as well */
  bool struck;                 /* it has happened ... */
  bool excused;                /* ... to a datagram, which cannot be halved */
  bool narrow;                 /* its sockets take little at a time */
  bool ours[DESCRIPTORS];      /* that the client has open */
  const char *wrong;           /* a rule that it broke */
} net;

static void rule(bool kept, const char *broken) {
  if (!kept && !net.wrong) net.wrong = broken;
}

/* Counts a call; returns what goes wrong with it, or NULL. */
static const struct effect *due(enum call call) {
  size_t number;

  if (!net.watched) return NULL;
  number = net.calls[call]++;
  if (!net.effect || net.effect->call != call || number < net.at ||
      (number > net.at && !net.for_good))
    return NULL;
  net.struck = true;
  return net.effect;
}

static int failed(const struct effect *e) {
  errno = (int)e->value;
  return -1;
}

static int opened(int fd) {
  if (net.watched && fd >= 0) {
    rule(fd < DESCRIPTORS, "it has hundreds of descriptors");
    if (fd < DESCRIPTORS) net.ours[fd] = true;
  }
  return fd;
}

/* Leaves only the first byte of what a call moves, if that goes wrong. */
static void shorten(
    const struct effect *e, int fd, struct msghdr *m, struct iovec *byte) {
  int type = 0;
  socklen_t size = sizeof type;

  if (!e || e->way != BYTE) return;
  syscall(SYS_getsockopt, fd, SOL_SOCKET, SO_TYPE, &type, &size);
  if (type == SOCK_DGRAM) {
    net.excused = true;
    return;
  }
  while (m->msg_iovlen > 1 && m->msg_iov->iov_len == 0) {
    m->msg_iov++;
    m->msg_iovlen--;
  }
  *byte = *m->msg_iov;
  if (byte->iov_len > 1) byte->iov_len = 1;
  m->msg_iov = byte;
  m->msg_iovlen = 1;
}

static ssize_t receive(enum call call, int fd, const struct iovec *pieces,
    size_t count, int flags) {
  const struct effect *e = due(call);
  struct msghdr m = {.msg_iov = (void *)(uintptr_t)pieces, .msg_iovlen = count};
  struct iovec byte;

  if (e && e->way == FAILS) return failed(e);
  if (e && e->way == NOTHING) return 0;
  shorten(e, fd, &m, &byte);
  return syscall(SYS_recvmsg, fd, &m, flags);
}

static ssize_t transmit(enum call call, int fd, struct msghdr m, int flags) {
  const struct effect *e = due(call);
  struct iovec byte;

  if (net.watched) rule(flags & MSG_NOSIGNAL, "it writes without MSG_NOSIGNAL");
  if (e && e->way == FAILS) return failed(e);
  shorten(e, fd, &m, &byte);
  return syscall(SYS_sendmsg, fd, &m, flags);
}

ssize_t recv(int fd, void *bytes, size_t size, int flags) {
  struct iovec piece = {bytes, size};

  return receive(RECV, fd, &piece, 1, flags);
}

ssize_t readv(int fd, const struct iovec *pieces, int count) {
  return receive(READV, fd, pieces, (size_t)count, 0);
}

ssize_t send(int fd, const void *bytes, size_t size, int flags) {
  struct iovec piece = {(void *)(uintptr_t)bytes, size};

  return transmit(
      SEND, fd, (struct msghdr){.msg_iov = &piece, .msg_iovlen = 1}, flags);
}

ssize_t sendmsg(int fd, const struct msghdr *m, int flags) {
  return transmit(SENDMSG, fd, *m, flags);
}

int socket(int family, int type, int protocol) {
  const struct effect *e = due(SOCKET);
  int fd, little = 4096;

  if (e) return failed(e);
  fd = (int)syscall(SYS_socket, family, type, protocol);
  if (net.narrow)
    syscall(SYS_setsockopt, fd, SOL_SOCKET, SO_SNDBUF, &little, sizeof little);
  return opened(fd);
}

int connect(int fd, const struct sockaddr *address, socklen_t size) {
  const struct effect *e = due(CONNECT);
  int result = 0;

  if (!e || e->way == LATE)
    result = (int)syscall(SYS_connect, fd, address, size);
  return e ? failed(e) : result;
}

int poll(struct pollfd *p, nfds_t count, int timeout_ms) {
  const struct effect *e = due(POLL);
  int ready, wait_ms = timeout_ms;
  struct timespec t;

  if (e && e->way == FAILS) return failed(e);
  if (e) wait_ms = timeout_ms = 0;
  if (net.watched) {
    rule(timeout_ms >= 0, "it waits without an end");
    if (net.struck && wait_ms > net.patience_ms) wait_ms = net.patience_ms;
  }
  t.tv_sec = wait_ms / 1000;
  t.tv_nsec = wait_ms % 1000 * 1000000L;
  ready = (int)syscall(
      SYS_ppoll, p, count, wait_ms < 0 ? NULL : &t, NULL, (size_t)0);
  if (net.watched && ready == 0) net.clock_ms += timeout_ms;
  if (e)
    for (nfds_t i = 0; i < count; i++) p[i].revents = 0;
  return e ? 0 : ready;
}

int getsockopt(int fd, int level, int name, void *value, socklen_t *size) {
  const struct effect *e = due(GETSOCKOPT);
  int result, pending;

  if (e && e->way == FAILS) return failed(e);
  result = (int)syscall(SYS_getsockopt, fd, level, name, value, size);
  if (e && level == SOL_SOCKET && name == SO_ERROR) {
    pending = (int)e->value;
    memcpy(value, &pending, sizeof pending);
  }
  return result;
}

int setsockopt(int fd, int level, int name, const void *value, socklen_t size) {
  const struct effect *e = due(SETSOCKOPT);

  if (e) return failed(e);
  return (int)syscall(SYS_setsockopt, fd, level, name, value, size);
}

int getpeername(int fd, struct sockaddr *address, socklen_t *size) {
  const struct effect *e = due(GETPEERNAME);

  if (e) return failed(e);
  return (int)syscall(SYS_getpeername, fd, address, size);
}

int open(const char *path, int flags, ...) {
  const struct effect *e = due(OPEN);
  int mode = 0;

  if (flags & O_CREAT) {
    va_list rest;
    va_start(rest, flags);
    mode = va_arg(rest, int);
    va_end(rest);
  }
  if (e) return failed(e);
  return opened((int)syscall(SYS_openat, AT_FDCWD, path, flags, mode));
}

ssize_t read(int fd, void *bytes, size_t size) {
  const struct effect *e = due(READ);

  if (e && e->way == FAILS) return failed(e);
  if (e && e->way == NOTHING) return 0;
  if (e && size > 1) size = 1;
  return syscall(SYS_read, fd, bytes, size);
}

/* The descriptor is free again in any case, as on Linux. */
int close(int fd) {
  const struct effect *e = due(CLOSE);
  int result = (int)syscall(SYS_close, fd);

  if (net.watched) {
    bool own = fd >= 0 && fd < DESCRIPTORS && net.ours[fd];
    rule(own, "it closes a descriptor that is not its own");
    if (own) net.ours[fd] = false;
  }
  return e ? failed(e) : result;
}

int clock_gettime(clockid_t clock, struct timespec *t) {
  const struct effect *e;

  if (!net.watched || clock != CLOCK_MONOTONIC)
    return (int)syscall(SYS_clock_gettime, clock, t);
  e = due(CLOCK);
  if (e) net.skipped_ms = e->value * 1000;
  net.clock_ms++;
  t->tv_sec = (time_t)((net.clock_ms + net.skipped_ms) / 1000);
  t->tv_nsec = (long)((net.clock_ms + net.skipped_ms) % 1000 * 1000000);
  return 0;
}

time_t time(time_t *to) {
  const struct effect *e = due(TIME);
  struct timespec t;

  syscall(SYS_clock_gettime, CLOCK_REALTIME, &t);
  if (e) t.tv_sec = (time_t)e->value;
  if (to) *to = t.tv_sec;
  return t.tv_sec;
}

ssize_t getrandom(void *to, size_t size, unsigned flags) {
  const struct effect *e = due(RANDOM);

  if (e && e->way == FAILS) return failed(e);
  return syscall(SYS_getrandom, to, e && size > 1 ? 1 : size, flags);
}

unsigned if_nametoindex(const char *name) {
  const struct effect *e = due(IFINDEX);
  struct ifreq request;
  int fd, found;

  if (e) {
    failed(e);
    return 0;
  }
  memset(&request, 0, sizeof request);
  snprintf(request.ifr_name, sizeof request.ifr_name, "%s", name);
  fd = (int)syscall(SYS_socket, AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  found = ioctl(fd, SIOCGIFINDEX, &request);
  syscall(SYS_close, fd);
  return found == 0 ? (unsigned)request.ifr_ifindex : 0;
}

/* ---- Servers ---------------------------------------------------------- */

static pid_t children[8];
static size_t child_count;

/* True in a new process, which ends with this one if not before. */
static bool in_background(void) {
  pid_t child;

  fflush(stdout);
  child = fork();
  if (child == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    return true;
  }
  assert_true(child > 0 && child_count < COUNT(children));
  children[child_count++] = child;
  return false;
}

static void stop_servers(void) {
  while (child_count > 0) {
    kill(children[--child_count], SIGKILL);
    waitpid(children[child_count], NULL, 0);
  }
  peer_stop(NULL);
}

static struct sockaddr_in loopback(unsigned last, uint16_t port) {
  struct sockaddr_in a = {.sin_family = AF_INET};

  a.sin_port = htons(port);
  a.sin_addr.s_addr = htonl(0x7F000000 + last);
  return a;
}

/* A socket at a port of 127/8, which listens if it can; -1: it is taken. */
static int bind_to(int type, unsigned last, uint16_t port) {
  struct sockaddr_in a = loopback(last, port);
  int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0), yes = 1;

  if (type == SOCK_STREAM)
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  if (bind(fd, (struct sockaddr *)&a, sizeof a) == 0) {
    if (type == SOCK_STREAM) listen(fd, 8);
    return fd;
  }
  if (errno != EADDRINUSE)
    fail_msg(
        "cannot bind port %d, which takes root: %s", port, strerror(errno));
  close(fd);
  return -1;
}

static uint16_t port_of(int fd) {
  struct sockaddr_in a;
  socklen_t size = sizeof a;

  assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &size), 0);
  return ntohs(a.sin_port);
}

/* Nothing that is sent waits for more. */
static int at_once(int fd) {
  int yes = 1;

  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
  return fd;
}

static void nap_s(unsigned s) {
  nanosleep(&(struct timespec){(time_t)s, 0}, NULL);
}

/* One byte a second for ever, until the other end has had enough. */
static void drip(int fd, const char *bytes) {
  const char *at = bytes;

  while (send(fd, *at ? at : (at = bytes), 1, MSG_NOSIGNAL) == 1) {
    nap_s(1);
    at++;
  }
}

/* ---- DNS -------------------------------------------------------------- */

/* What a nameserver does with its answers. */
enum dns_way { DATAGRAMS, STREAMS, DRIPS };

enum { DNS_PORT = 53, DNS_HEADER = 12, DNS_MAX = 512 };

/* 127.0.0.1 for a minute, and no IPv6; `cut`: says that there is more. */
static size_t answer(
    const unsigned char *query, size_t size, unsigned char *to, bool cut) {
  static const unsigned char record[] = {
      0xC0, DNS_HEADER, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 127, 0, 0, 1};
  size_t end = DNS_HEADER;
  bool v4;

  while (end < size && query[end]) end += query[end] + 1u;
  end += 5;
  if (end > size) return 0;
  v4 = query[end - 3] == 1;
  memcpy(to, query, end);
  to[2] = cut ? 0x83 : 0x81;
  to[3] = 0x80;
  to[7] = v4 && !cut;
  memset(to + 8, 0, 4);
  if (v4 && !cut) memcpy(to + end, record, sizeof record);
  return end + (v4 && !cut ? sizeof record : 0);
}

static void answer_datagram(int fd, bool cut) {
  unsigned char query[DNS_MAX], reply[DNS_MAX + 16];
  struct sockaddr_in from;
  socklen_t from_size = sizeof from;
  ssize_t n = recvfrom(
      fd, query, sizeof query, 0, (struct sockaddr *)&from, &from_size);
  size_t size = n > 0 ? answer(query, (size_t)n, reply, cut) : 0;

  sendto(fd, reply, size, 0, (struct sockaddr *)&from, from_size);
}

static void answer_stream(int listener, bool drips) {
  unsigned char query[DNS_MAX], reply[2 + DNS_MAX + 16];
  int fd = at_once(accept(listener, NULL, NULL));

  while (recv(fd, query, 2, MSG_WAITALL) == 2) {
    size_t size = (size_t)query[0] << 8 | query[1];

    if (drips) drip(fd, "\x01\x01");
    if (size > sizeof query ||
        recv(fd, query, size, MSG_WAITALL) != (ssize_t)size)
      break;
    size = answer(query, size, reply + 2, false);
    reply[0] = (unsigned char)(size >> 8);
    reply[1] = (unsigned char)size;
    send(fd, reply, size + 2, MSG_NOSIGNAL);
  }
  close(fd);
}

/* A nameserver on port 53 of an address that nobody else has: 127.0.53.N. */
static unsigned start_dns(enum dns_way way) {
  struct pollfd p[2] = {{-1, POLLIN, 0}, {-1, POLLIN, 0}};
  unsigned last = 0x3500;

  while (p[0].fd < 0 || p[1].fd < 0) {
    if (p[0].fd >= 0) close(p[0].fd);
    if (++last > 0x35FE) fail_msg("port 53 is taken everywhere");
    p[0].fd = bind_to(SOCK_DGRAM, last, DNS_PORT);
    p[1].fd = p[0].fd < 0 ? -1 : bind_to(SOCK_STREAM, last, DNS_PORT);
  }
  if (in_background())
    for (;;) {
      poll(p, 2, -1);
      if (p[0].revents) answer_datagram(p[0].fd, way != DATAGRAMS);
      if (p[1].revents) answer_stream(p[1].fd, way == DRIPS);
    }
  close(p[0].fd);
  close(p[1].fd);
  return last;
}

/* ---- A relay ---------------------------------------------------------- */

/*
 * What stands between the client and the peer: a proxy for CONNECT, or a slow
 * line.  That one lets TLS pass until `records` of application data have gone
 * that way; of what follows, it moves one byte a second.
 */
struct relay {
  bool proxies;
  enum { NEVER, TO_CLIENT, TO_PEER } slow;
  unsigned records;
};

struct flow {
  int from, to;
  bool watched, slow;
  unsigned records;
  unsigned char head[5]; /* of a record */
  size_t head_size, left;
};

#define APPLICATION_DATA 23

/* Follows the records of a flow, byte by byte where one begins. */
static void follow(struct flow *f, const unsigned char *bytes, size_t size) {
  if (f->left > 0) {
    f->left -= size;
    return;
  }
  f->head[f->head_size++] = bytes[0];
  if (f->head_size < sizeof f->head) return;
  f->head_size = 0;
  f->left = (size_t)f->head[3] << 8 | f->head[4];
  if (f->head[0] != APPLICATION_DATA) return;
  if (f->records == 0) f->slow = true;
  if (f->records > 0) f->records--;
}

/* Moves some bytes; false: the flow has ended. */
static bool move(struct flow *f) {
  unsigned char bytes[4096];
  size_t most = sizeof bytes;
  ssize_t n;

  if (f->slow) nap_s(1);
  if (f->slow || (f->watched && f->left == 0)) most = 1;
  else if (f->watched && f->left < most) most = f->left;
  n = read(f->from, bytes, most);
  if (n <= 0 || send(f->to, bytes, (size_t)n, MSG_NOSIGNAL) != n) return false;
  if (f->watched && !f->slow) follow(f, bytes, (size_t)n);
  return true;
}

static void join(const struct relay *way, int client, int peer) {
  struct flow flows[2] = {
      {.from = client, .to = peer, .watched = way->slow == TO_PEER},
      {.from = peer, .to = client, .watched = way->slow == TO_CLIENT}};
  struct pollfd p[2] = {{client, POLLIN, 0}, {peer, POLLIN, 0}};

  flows[0].records = flows[1].records = way->records;
  for (;;) {
    poll(p, 2, -1);
    for (int i = 0; i < 2; i++)
      if (p[i].revents && !move(&flows[i])) return;
  }
}

/* Lets a CONNECT through, or drips. */
static bool accept_connect(int fd, bool drips) {
  static const char good[] = "HTTP/1.1 200 OK\r\n\r\n";
  char head[2048];
  size_t size = 0;
  ssize_t n;

  do {
    n = recv(fd, head + size, sizeof head - 1 - size, 0);
    if (n <= 0) return false;
    size += (size_t)n;
    head[size] = 0;
  } while (!strstr(head, "\r\n\r\n"));
  if (drips) drip(fd, "HTTP/1.1 100 Continue\r\n\r\n");
  return send(fd, good, sizeof good - 1, MSG_NOSIGNAL) > 0;
}

static void relay_one(const struct relay *way, int client, uint16_t port) {
  struct sockaddr_in a = loopback(1, port);
  int fd = at_once(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));

  if ((!way->proxies || accept_connect(client, way->slow == TO_CLIENT)) &&
      connect(fd, (struct sockaddr *)&a, sizeof a) == 0)
    join(way, client, fd);
  close(fd);
  close(client);
}

/* The port of a relay to a port of this machine. */
static uint16_t start_relay(const struct relay *way, uint16_t port) {
  int listener = bind_to(SOCK_STREAM, 1, 0);
  uint16_t own = port_of(listener);

  if (in_background())
    for (;;) relay_one(way, at_once(accept(listener, NULL, NULL)), port);
  close(listener);
  return own;
}

/* ---- Scenarios -------------------------------------------------------- */

/* What has happened before the calls that are walked. */
enum before { NOTHING_YET, A_BEAT, A_BEAT_AND_CLOSE };

struct scenario {
  const char *name;
  bool full;  /* a whole handshake; else a session is resumed */
  bool close; /* it is hbeat_close() that is walked, not a beat */
  bool big;   /* a request, and replies, of many records */
  bool login; /* a log-in in place of a heartbeat */
  enum before before;
  bool proxied;
  const char *hosts;  /* the file's text; NULL: no name is looked up */
  const char *resolv; /* what stands in front of the nameserver; or NULL */
  enum dns_way dns;
};

#define TIMEOUT_MS 5000
#define HANG_MS 30000 /* of real time */
#define NO_NAMES "127.0.0.1 localhost\n"

static const struct scenario scenarios[] = {
    {.name = "a first heartbeat", .full = true},
    {.name = "a resumed session"},
    {.name = "a kept connection", .before = A_BEAT},
    {.name = "a kept connection that the server has closed",
        .before = A_BEAT_AND_CLOSE},
    {.name = "a name of the hosts file",
        .hosts = "# A comment\n" NO_NAMES "127.0.0.1 web api.lucit.app # us\n"},
    {.name = "a name by UDP", .hosts = NO_NAMES, .resolv = ""},
    {.name = "a name by TCP, as UDP would cut it",
        .hosts = NO_NAMES,
        .resolv = "",
        .dns = STREAMS},
    {.name = "a name by the second nameserver, the first has a scope",
        .hosts = NO_NAMES,
        .resolv = "nameserver fe80::1%lo\n"},
    {.name = "two addresses, the first one refuses",
        .hosts = "127.0.54.1 api.lucit.app\n127.0.0.1 api.lucit.app\n"},
    {.name = "a proxy", .proxied = true},
    {.name = "a request of 40 KB", .big = true},
    {.name = "a log-in, and the server has closed",
        .login = true,
        .before = A_BEAT_AND_CLOSE},
    {.name = "the end of a client", .before = A_BEAT, .close = true},
};

/* What a scenario has got: its servers' ports, its files, its session. */
static struct stage {
  const struct scenario *scenario;
  struct player p;
  uint16_t port, proxy_port;
  char folder[32], hosts[64], resolv[64];
  unsigned char session[HBEAT_SESSION_SIZE];
  bool resumes;
  char token[16]; /* a log-in's */
} stage;

#define TOKEN_BODY "{\"success\":true,\"ok\":true,\"token\":\"new\"}"

static void write_file(const char *path, const char *text, unsigned dns) {
  FILE *f = fopen(path, "w");

  assert_non_null(f);
  fputs(text, f);
  if (dns > 0)
    fprintf(
        f, "nameserver 127.0.%u.%u\noptions timeout:1\n", dns >> 8, dns & 255);
  fclose(f);
}

static void remove_files(void) {
  unlink(stage.hosts);
  unlink(stage.resolv);
  rmdir(stage.folder);
}

static void make_files(const struct scenario *s) {
  strcpy(stage.folder, "/tmp/walk-XXXXXX");
  assert_non_null(mkdtemp(stage.folder));
  snprintf(stage.hosts, sizeof stage.hosts, "%s/hosts", stage.folder);
  snprintf(stage.resolv, sizeof stage.resolv, "%s/resolv", stage.folder);
  write_file(stage.hosts, s->hosts ? s->hosts : "", 0);
  write_file(stage.resolv, s->resolv ? s->resolv : "",
      s->resolv ? start_dns(s->dns) : 0);
}

static void configure(void) {
  const struct scenario *s = stage.scenario;
  hbeat_config *cfg = &stage.p.cfg;

  player_configure(&stage.p, stage.port);
  cfg->timeout_ms = TIMEOUT_MS;
  cfg->hosts_path = stage.hosts;
  cfg->resolv_path = stage.resolv;
  if (s->hosts || s->proxied) {
    cfg->address = NULL;
    cfg->port = stage.port;
  }
  if (s->proxied) {
    cfg->proxy = "127.0.0.1";
    cfg->proxy_port = stage.proxy_port;
  }
}

/* A beat of so many facts, each of them 40,000 bytes. */
static hbeat_request beat_of(size_t count) {
  static char text[40000 + 1];
  static const char *facts[10];
  hbeat_request beat = player_beat;

  memset(text, 'x', sizeof text - 1);
  for (size_t i = 0; i < COUNT(facts); i++) facts[i] = text;
  assert_true(count <= COUNT(facts));
  beat.device_info = facts;
  beat.device_info_count = count;
  return beat;
}

/* ---- The client at work ----------------------------------------------- */

static hbeat_error init(void) {
  hbeat_error e;

  net.watched = true;
  e = hbeat_init(&stage.p.client, &stage.p.cfg);
  if (e == HBEAT_OK && stage.resumes)
    hbeat_session_load(&stage.p.client, stage.session, sizeof stage.session);
  net.watched = false;
  return e;
}

/* A heartbeat, or what a scenario has in its place. */
static hbeat_error send_beat(void) {
  static const hbeat_request login = {.call = HBEAT_LOGIN,
      .login_token = "t",
      .login_secret = "s",
      .token_buffer = stage.token,
      .token_buffer_size = sizeof stage.token};
  hbeat_request beat = stage.scenario->big ? beat_of(1)
      : stage.scenario->login              ? login
                                           : player_beat;
  hbeat_error e;

  strcpy(stage.token, "old");

  net.watched = true;
  e = hbeat_send(&stage.p.client, &beat, &stage.p.reply);
  net.watched = false;
  return e;
}

static void end(void) {
  net.watched = true;
  hbeat_close(&stage.p.client);
  net.watched = false;
}

/* Waits until the server's farewell has arrived. */
static bool await_close(void) {
  struct pollfd p = {stage.p.client.link.fd, POLLIN, 0};

  return poll(&p, 1, 10000) == 1;
}

/* Up to where the walk begins. */
static hbeat_error begin(void) {
  hbeat_error e;

  net = (struct net){.clock_ms = 1000000};
  configure();
  e = init();
  if (e == HBEAT_OK && stage.scenario->before) e = send_beat();
  if (e == HBEAT_OK && stage.scenario->before == A_BEAT_AND_CLOSE)
    assert_true(await_close());
  memset(net.calls, 0, sizeof net.calls);
  return e;
}

/* ---- One run ---------------------------------------------------------- */

struct fault {
  const struct effect *effect;
  size_t at;
  bool for_good;
};

static size_t runs, left_out, missed;

/* What is under way, in case that it never ends. */
static char under_way[256];

static void on_alarm(int number) {
  (void)number;
  if (write(2, under_way, strlen(under_way)) < 0) _exit(3);
  _exit(2);
}

/* Complaints of one walk, of which the first are kept. */
static struct {
  size_t count, size;
  char text[4096];
} complaints;

static void complain(const char *what, const char *more) {
  size_t room = sizeof complaints.text - complaints.size;
  int n;

  complaints.count++;
  n = snprintf(complaints.text + complaints.size, room, "\n%s: %s%s%s",
      under_way, what, more ? ": " : "", more ? more : "");
  if (n > 0) complaints.size += (size_t)n < room ? (size_t)n : room - 1;
}

/* Whether an effect may lead to this error at all. */
static bool is_plausible(const struct effect *effect, hbeat_error e) {
  switch (e) {
  case HBEAT_ERR_RESOLVE:
  case HBEAT_ERR_CONNECT:
  case HBEAT_ERR_PROXY:
  case HBEAT_ERR_TIMEOUT:
  case HBEAT_ERR_TRUNCATED: return effect->call != TIME;
  case HBEAT_ERR_TLS: return effect->call == RANDOM;
  case HBEAT_ERR_CERT_TIME: return effect->call == TIME;
  default: return false;
  }
}

/* The outcome that a fault leads to must be one of those that it may. */
static void check_outcome(const struct fault *f, hbeat_error e) {
  struct player *p = &stage.p;
  bool harmless =
      !f->for_good && !net.excused && f->effect->severity == HARMLESS;
  const char *text = hbeat_explain(&p->client);

  if (e != HBEAT_OK && (harmless || !net.struck)) complain("wanted ok", text);
  else if (e != HBEAT_OK && !is_plausible(f->effect, e))
    complain("wanted another error", text);
  else if (e != HBEAT_OK && f->effect->way == JUMPS && e != HBEAT_ERR_TIMEOUT)
    complain("wanted timeout", text);
  if (p->reply.success != (e == HBEAT_OK))
    complain("reply.success is another", text);
  if (strcmp(stage.token,
          stage.scenario->login && e == HBEAT_OK ? "new" : "old") != 0)
    complain("the token is another", stage.token);
  player_check_text(p);
}

static void check_end(void) {
  for (int fd = 0; fd < DESCRIPTORS; fd++)
    if (net.ours[fd]) complain("a descriptor is left open", NULL);
  if (net.wrong) complain(net.wrong, NULL);
}

/* The client goes on, as if nothing had been. */
static void check_recovery(void) {
  net.effect = NULL;
  net.struck = false;
  if (stage.scenario->close) {
    configure();
    init();
  }
  if (send_beat() != HBEAT_OK)
    complain("the next heartbeat", hbeat_explain(&stage.p.client));
  end();
}

/* The walked part of a scenario, under a fault. */
static void run(const struct fault *f) {
  int64_t since, really_since = now_ms(), took_ms, most_ms = TIMEOUT_MS;
  hbeat_error e = begin();

  if (e != HBEAT_OK) {
    complain("the heartbeat before it", hbeat_explain(&stage.p.client));
    end();
    return;
  }
  net.effect = f->effect;
  net.at = f->at;
  net.for_good = f->for_good;
  /* Nobody waits in vain for what is harmless, nor for the time of day. */
  net.patience_ms = (int)(20 * peer_patience());
  if (f->effect->severity == HARMLESS && !f->for_good) net.patience_ms = 10000;
  if (f->effect->call == TIME) net.patience_ms = 10000;
  since = net.clock_ms;
  if (stage.scenario->close) {
    end();
    most_ms = 0;
  } else {
    e = send_beat();
    check_outcome(f, e);
  }
  missed += !net.struck;
  took_ms = net.clock_ms - since;
  if (took_ms > most_ms + 50) complain("the deadline has passed", NULL);
  if (now_ms() - really_since > HANG_MS) complain("it hangs, in truth", NULL);
  if (stage.scenario->close) check_end();
  check_recovery();
  check_end();
}

/* ---- The walk --------------------------------------------------------- */

static size_t walked[CALLS]; /* calls, over all scenarios */

/* Of all runs, one in so many. */
static unsigned stride(void) {
  uint32_t patience = peer_patience();

  return patience == 1 ? 1 : patience < 10 ? 5 : 37;
}

/* All that can go wrong with one call of a kind. */
static void walk_call(enum call call, size_t at) {
  for (size_t i = 0; i < 2 * COUNT(effects); i++) {
    struct fault f = {&effects[i / 2], at, i % 2 == 1};

    if (f.effect->call != call || (f.for_good && f.effect->way == JUMPS))
      continue;
    if ((runs + left_out) % stride() != 0) {
      left_out++;
      continue;
    }
    runs++;
    snprintf(under_way, sizeof under_way, "%s: %s number %zu: %s%s",
        stage.scenario->name, call_names[call], at + 1, f.effect->name,
        f.for_good ? " for good" : "");
    alarm(60 * peer_patience());
    run(&f);
  }
}

static void set_stage(const struct scenario *s) {
  static const struct peer_turn closing = {.end = PEER_FINISHES};
  static const struct peer_turn login = {
      .reply = PEER_HEAD "Content-Length: 40\r\n\r\n" TOKEN_BODY,
      .end = PEER_FINISHES};
  static const struct relay proxy = {.proxies = true};
  static struct peer_script script;

  stop_servers();
  remove_files();
  script = (struct peer_script){.memory = PEER_REMEMBERS, .small = s->big};
  if (s->before == A_BEAT_AND_CLOSE) {
    script.turns = s->login ? &login : &closing;
    script.turn_count = 1;
  }
  stage.scenario = s;
  stage.resumes = false;
  make_files(s);
  stage.port = peer_start(&script);
  if (s->proxied) stage.proxy_port = start_relay(&proxy, stage.port);
}

/* Without any fault: leaves a session for the runs, and counts the calls. */
static void rehearse(size_t calls[CALLS]) {
  for (int i = 0; i < 2; i++) {
    hbeat_error e = begin();

    if (e == HBEAT_OK && !stage.scenario->close) e = send_beat();
    if (e != HBEAT_OK)
      fail_msg("without any fault: %s", hbeat_explain(&stage.p.client));
    if (!stage.scenario->before)
      assert_int_equal(stage.p.reply.connection,
          stage.resumes ? HBEAT_CONNECTION_RESUMED : HBEAT_CONNECTION_NEW);
    assert_true(hbeat_session_save(&stage.p.client, stage.session));
    stage.resumes = !stage.scenario->full;
    if (stage.scenario->close) end();
    memcpy(calls, net.calls, sizeof net.calls);
    if (!stage.scenario->close) end();
  }
}

static void is_walked(void **state) {
  size_t calls[CALLS];

  memset(&complaints, 0, sizeof complaints);
  set_stage(*state);
  rehearse(calls);
  for (size_t call = 0; call < CALLS; call++) {
    walked[call] += calls[call];
    for (size_t at = 0; at < calls[call]; at++) walk_call((enum call)call, at);
  }
  alarm(0);
  stop_servers();
  remove_files();
  if (complaints.count > 0)
    fail_msg("%zu complaints, the first of them:%s", complaints.count,
        complaints.text);
}

/* ---- That no call was missed ------------------------------------------ */

/* Functions that make no system call, or none that can fail. */
static bool is_pure(const char *name) {
  static const char pure[] =
      " bcmp htons inet_pton memchr memcmp memcpy memmove memset strchr "
      "strcmp "
      "strcspn strlen strncmp strspn __errno_location __stack_chk_fail "
      "_GLOBAL_OFFSET_TABLE_ ";
  static const char *const prefixes[] = {
      "br_", "__asan_", "__ubsan_", "__sanitizer_", "__gcov_", "__llvm_"};
  size_t size = strlen(name);
  char word[128 + 3];

  snprintf(word, sizeof word, " %s ", name);
  if (strstr(pure, word)) return true;
  for (size_t i = 0; i < COUNT(prefixes); i++)
    if (strncmp(name, prefixes[i], strlen(prefixes[i])) == 0) return true;
  /* 64-bit division, where the machine has 32. */
  return size > 5 && strncmp(name, "__", 2) == 0 &&
      strncmp(name + size - 3, "di", 2) == 0;
}

/* What the library's object file asks of others is pure, or was walked. */
static void every_function_was_walked(void **state) {
  const char *b = getenv("B");
  char command[512], name[128];
  size_t count = 0;
  FILE *nm;

  (void)state;
  snprintf(command, sizeof command, "nm -u %s/heartbeat.o", b ? b : "build");
  nm = popen(command, "r");
  assert_non_null(nm);
  while (fscanf(nm, " U %127s", name) == 1) {
    size_t call = 0;

    while (call < CALLS && strcmp(name, call_names[call]) != 0) call++;
    if (call == CALLS && !is_pure(name))
      fail_msg("the library calls %s(), which can go wrong here in no "
               "way",
          name);
    if (call < CALLS && walked[call] == 0)
      fail_msg("the library calls %s(), but in no scenario", name);
    count += call < CALLS;
  }
  assert_int_equal(pclose(nm), 0);
  assert_in_range(count, 10, CALLS);
  printf("# note: %zu runs, in %zu of which the call did not come\n", runs,
      missed);
  if (left_out > 0)
    printf("# note: %zu more are left out, as this build is slow: one in "
           "%u is run\n",
        left_out, stride());
}

/* ---- One byte a second ------------------------------------------------ */

#define LONG_TEXT                                                              \
  "a byte a second, for longer than anybody has the patience to wait for"

struct trickle {
  const char *name;
  const char *first; /* what of the reply arrives at once; NULL: nothing */
  const char *rest;  /* what drips */
  struct relay relay;
  bool dns, raw, big;
  const char *says; /* in the explanation; NULL: what it likes */
};

#define SLOW(...)                                                              \
  .relay = {.slow = TO_CLIENT, __VA_ARGS__}, .says = "waiting for the reply"
#define OK_200 "HTTP/1.1 200 OK\r\n"
#define CHUNKED OK_200 "Transfer-Encoding: chunked\r\n\r\n"

static const struct trickle trickles[] = {
    {.name = "in the handshake", .raw = true, .says = "in the TLS handshake"},
    {.name = "from the reply's first record on",
        .first = OK_200,
        .rest = LONG_TEXT,
        SLOW(.records = 0)},
    {.name = "in the head",
        .first = OK_200 "X-Long: ",
        .rest = LONG_TEXT,
        SLOW(.records = 1)},
    {.name = "in a body of some length",
        .first = OK_200 "Content-Length: 1000\r\n\r\n{\"success\":",
        .rest = LONG_TEXT,
        SLOW(.records = 1)},
    {.name = "in a body up to the close",
        .first = OK_200 "\r\n{\"success\":true",
        .rest = LONG_TEXT,
        SLOW(.records = 1)},
    {.name = "in a chunk",
        .first = CHUNKED "100\r\n{\"success\":",
        .rest = LONG_TEXT,
        SLOW(.records = 1)},
    {.name = "in the extension of a chunk",
        .first = CHUNKED "10;name=",
        .rest = LONG_TEXT,
        SLOW(.records = 1)},
    {.name = "in the trailers",
        .first = CHUNKED "10\r\n" PEER_BODY "\r\n0\r\nX-Long: ",
        .rest = LONG_TEXT,
        SLOW(.records = 1)},
    {.name = "of the request, which the peer reads",
        .big = true,
        .relay = {.slow = TO_PEER},
        .says = "while sending"},
    {.name = "in the answer of a nameserver", .dns = true},
    {.name = "in the reply of a proxy",
        .relay = {.proxies = true, .slow = TO_CLIENT}},
};

/* Long enough for each to get as far as it is to, on a busy machine, too; and
 * short enough that what drips in the handshake is not seen to be none yet. */
#define DEADLINE_MS INT64_C(8500)

/* What became of each, from the process that it was in. */
static struct {
  bool ended;
  hbeat_error error;
  int64_t took_ms;
  char text[HBEAT_EXPLAIN_SIZE];
} * trickled;

static void drip_handshake(int listener) {
  int fd = at_once(accept(listener, NULL, NULL));

  drip(fd, "\x16\x03\x03\x3f\xf0\x02");
}

static uint16_t start_trickle(const struct trickle *t) {
  struct peer_turn turn = {.reply = t->first, .stray = t->rest};
  struct peer_script script = {.turns = &turn, .turn_count = 1};
  int listener;

  if (!t->raw) return start_relay(&t->relay, peer_start(&script));
  listener = bind_to(SOCK_STREAM, 1, 0);
  if (in_background()) drip_handshake(listener);
  return port_of(listener);
}

/* One heartbeat, and how long it took: in a process of its own. */
static void trickle(const struct trickle *t, size_t number) {
  hbeat_request beat = t->big ? beat_of(10) : player_beat;
  struct player *p = &stage.p;
  uint16_t port = t->dns ? 1 : start_trickle(t);
  int64_t since;

  player_configure(p, port);
  p->cfg.timeout_ms = (uint32_t)DEADLINE_MS;
  if (t->relay.proxies) {
    p->cfg.address = NULL;
    p->cfg.proxy = "127.0.0.1";
    p->cfg.proxy_port = port;
  }
  if (t->dns) {
    make_files(
        &(struct scenario){.hosts = NO_NAMES, .resolv = "", .dns = DRIPS});
    p->cfg.address = NULL;
    p->cfg.hosts_path = stage.hosts;
    p->cfg.resolv_path = stage.resolv;
  }
  assert_int_equal(hbeat_init(&p->client, &p->cfg), HBEAT_OK);
  net.narrow = t->big;
  since = now_ms();
  trickled[number].error = hbeat_send(&p->client, &beat, &p->reply);
  trickled[number].took_ms = now_ms() - since;
  strcpy(trickled[number].text, hbeat_explain(&p->client));
  hbeat_close(&p->client);
  stop_servers();
  remove_files();
  trickled[number].ended = true;
  _exit(0);
}

static pid_t start_one(size_t number) {
  pid_t id = fork();

  assert_true(id >= 0);
  if (id > 0) return id;
  signal(SIGALRM, SIG_DFL);
  alarm((unsigned)(DEADLINE_MS + HANG_MS) /
      1000); /* for one that would never end */
  trickle(&trickles[number], number);
  return 0;
}

/* All of them at once, as they do little but wait. */
static void run_trickles(void) {
  pid_t ids[COUNT(trickles)];

  trickled = mmap(NULL, COUNT(trickles) * sizeof *trickled,
      PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  assert_true(trickled != MAP_FAILED);
  for (size_t i = 0; i < COUNT(trickles); i++) ids[i] = start_one(i);
  for (size_t i = 0; i < COUNT(trickles); i++) waitpid(ids[i], NULL, 0);
}

static void is_trickle(void **state) {
  const struct trickle *row = *state;
  size_t number = (size_t)(row - trickles);
  int64_t took_ms = trickled[number].took_ms;
  const char *text = trickled[number].text;

  if (!trickled[number].ended) fail_msg("it went on, or its process died");
  /* A nameserver's share of the time is less than all. */
  if (row->dns && trickled[number].error == HBEAT_ERR_RESOLVE) return;
  if (trickled[number].error != HBEAT_ERR_TIMEOUT || took_ms < DEADLINE_MS)
    fail_msg("wanted timeout after %d ms, got %s after %d: %s",
        (int)DEADLINE_MS, hbeat_error_name(trickled[number].error),
        (int)took_ms, text);
  /* How far valgrind gets until then is another matter. */
  if (row->says && peer_patience() < 10 && !strstr(text, row->says))
    fail_msg("wanted \"%s\" in: %s", row->says, text);
}

int main(void) {
  struct CMUnitTest tests[COUNT(scenarios) + COUNT(trickles) + 1];
  struct CMUnitTest *to = tests;

  signal(SIGALRM, on_alarm);
  run_trickles();
  to = ROWS(to, is_walked, scenarios);
  *to++ = (struct CMUnitTest)TEST(every_function_was_walked);
  ROWS(to, is_trickle, trickles);
  return cmocka_run_group_tests(tests, NULL, NULL);
}
