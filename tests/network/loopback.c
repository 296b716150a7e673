#define _DEFAULT_SOURCE
#include "loopback.h"
#include "peer.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* ---- Processes -------------------------------------------------------- */

bool fork_server(pid_t *server) {
  pid_t child;

  fflush(stdout); /* or else both would write what is in there */
  child = fork();
  if (child < 0) fail_msg("cannot fork: %s", strerror(errno));
  if (child == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGPIPE, SIG_IGN);
    return true;
  }
  *server = child;
  return false;
}

void kill_server(pid_t *server) {
  if (*server > 0) {
    kill(*server, SIGKILL);
    waitpid(*server, NULL, 0);
  }
  *server = 0;
}

void *share_memory(size_t size) {
  void *memory = mmap(
      NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

  assert_true(memory != MAP_FAILED);
  return memory;
}

void nap_us(int64_t us) {
  struct timespec t = {
      (time_t)(us / 1000000), (long)(us % 1000000 * INT64_C(1000))};

  nanosleep(&t, NULL);
}

void nap_ms(int64_t ms) {
  nap_us(ms * 1000);
}

/* ---- Sockets ---------------------------------------------------------- */

socklen_t read_address(
    union socket_address *a, const char *numeric, uint16_t port) {
  memset(a, 0, sizeof *a);
  if (inet_pton(AF_INET, numeric, &a->v4.sin_addr) == 1) {
    a->v4.sin_family = AF_INET;
    a->v4.sin_port = htons(port);
    return sizeof a->v4;
  }
  assert_int_equal(inet_pton(AF_INET6, numeric, &a->v6.sin6_addr), 1);
  a->v6.sin6_family = AF_INET6;
  a->v6.sin6_port = htons(port);
  return sizeof a->v6;
}

socklen_t address_size(const union socket_address *a) {
  return a->any.sa_family == AF_INET ? sizeof a->v4 : sizeof a->v6;
}

uint16_t address_port(const union socket_address *a) {
  return ntohs(a->any.sa_family == AF_INET ? a->v4.sin_port : a->v6.sin6_port);
}

int bind_socket(int type, const char *numeric, uint16_t port, int queue) {
  union socket_address a;
  socklen_t size = read_address(&a, numeric, port);
  int fd = socket(a.any.sa_family, type | SOCK_CLOEXEC, 0), yes = 1, reason;

  if (fd < 0) return -1;
  if (type == SOCK_STREAM)
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  if (bind(fd, &a.any, size) == 0 &&
      (type != SOCK_STREAM || listen(fd, queue) == 0))
    return fd;
  reason = errno;
  close(fd);
  errno = reason;
  return -1;
}

int listen_on_loopback(uint16_t *port) {
  int fd = bind_socket(SOCK_STREAM, "127.0.0.1", 0, 8);

  if (fd < 0) fail_msg("cannot listen on loopback: %s", strerror(errno));
  *port = port_of(fd);
  return fd;
}

bool has_ipv6(void) {
  int fd = bind_socket(SOCK_DGRAM, "::1", 0, 0);

  if (fd >= 0) close(fd);
  else puts("# note: no IPv6 on this machine's loopback, so it was not tried");
  return fd >= 0;
}

uint16_t port_of(int fd) {
  union socket_address a;
  socklen_t size = sizeof a;

  assert_int_equal(getsockname(fd, &a.any, &size), 0);
  return address_port(&a);
}

static void send_at_once(int fd) {
  int yes = 1;

  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
}

int connect_to(uint16_t port) {
  union socket_address a;
  socklen_t size = read_address(&a, "127.0.0.1", port);
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

  if (connect(fd, &a.any, size) == 0) {
    send_at_once(fd);
    return fd;
  }
  close(fd);
  return -1;
}

int accept_client(int listener) {
  int fd;

  do fd = accept(listener, NULL, NULL);
  while (fd < 0);
  send_at_once(fd);
  return fd;
}

void reset_on_close(int fd) {
  struct linger at_once = {1, 0};

  setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
}

void drip(int fd, const char *text) {
  size_t at = 0;

  while (send(fd, text + at, 1, MSG_NOSIGNAL) == 1) {
    nap_ms(1000);
    at = (at + 1) % strlen(text);
  }
}

void open_black_hole(
    struct black_hole *hole, const char *numeric, uint16_t port) {
  int listener = bind_socket(SOCK_STREAM, numeric, port, 0);

  if (listener < 0)
    fail_msg("cannot listen at %s: %s", numeric, strerror(errno));
  make_black_hole(hole, listener);
}

/* Fills the queue of those to accept; who knocks then gets no answer. */
void make_black_hole(struct black_hole *hole, int listener) {
  union socket_address a;
  socklen_t size = sizeof a;
  struct pollfd last = {.events = POLLOUT};

  hole->listener = listener;
  assert_int_equal(getsockname(listener, &a.any, &size), 0);
  for (size_t i = 0; i < COUNT(hole->queue); i++) {
    hole->queue[i] =
        socket(a.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    connect(hole->queue[i], &a.any, size);
    last.fd = hole->queue[i];
  }
  if (poll(&last, 1, 20) != 0)
    fail_msg("port %u takes connections", address_port(&a));
}

void close_black_hole(struct black_hole *hole) {
  for (size_t i = 0; i < COUNT(hole->queue); i++) close(hole->queue[i]);
  close(hole->listener);
}
