#define _DEFAULT_SOURCE
#include "failures.h"

#include <errno.h>
#include <string.h>

/* ---- The ways --------------------------------------------------------- */

/* Fails with this errno. */
#define E(kind, number, harm)                                                  \
  {                                                                            \
    .call = CALL_##kind, .way = FAILS, .value = number, .name = #number,       \
    .severity = harm                                                           \
  }
/* Goes wrong in a way of its own. */
#define W(kind, how, number, what, harm)                                       \
  {                                                                            \
    .call = CALL_##kind, .way = how, .value = number, .name = what,            \
    .severity = harm                                                           \
  }

/* Of bytes that go out, and of those that come in. */
#define OUTPUT(call)                                                           \
  E(call, EINTR, HARMLESS), E(call, EAGAIN, HARMLESS),                         \
      E(call, EPIPE, HARMFUL), E(call, ECONNRESET, HARMFUL),                   \
      E(call, ECONNREFUSED, HARMFUL), E(call, ENETUNREACH, HARMFUL),           \
      E(call, EHOSTUNREACH, HARMFUL), E(call, ENETDOWN, HARMFUL),              \
      E(call, ETIMEDOUT, HARMFUL), E(call, ENOTCONN, HARMFUL),                 \
      E(call, EMSGSIZE, HARMFUL), E(call, EACCES, HARMFUL),                    \
      E(call, EPERM, HARMFUL), E(call, EIO, HARMFUL),                          \
      E(call, ENOBUFS, HARMFUL), E(call, ENOMEM, HARMFUL),                     \
      W(call, BYTE, 1, "one byte", HARMLESS)

#define INPUT(call)                                                            \
  E(call, EINTR, HARMLESS), E(call, EAGAIN, HARMLESS),                         \
      E(call, ECONNRESET, HARMFUL), E(call, ECONNREFUSED, HARMFUL),            \
      E(call, ENETUNREACH, HARMFUL), E(call, EHOSTUNREACH, HARMFUL),           \
      E(call, ETIMEDOUT, HARMFUL), E(call, ENOTCONN, HARMFUL),                 \
      E(call, EIO, HARMFUL), E(call, ENOBUFS, HARMFUL),                        \
      E(call, ENOMEM, HARMFUL), W(call, BYTE, 1, "one byte", HARMLESS),        \
      W(call, NOTHING, 0, "the end", HARMFUL)

const struct effect effects[] = {
    E(SOCKET, EMFILE, HARMFUL),
    E(SOCKET, ENFILE, HARMFUL),
    E(SOCKET, ENOBUFS, HARMFUL),
    E(SOCKET, ENOMEM, HARMFUL),
    E(SOCKET, EACCES, HARMFUL),
    E(SOCKET, EAFNOSUPPORT, HARMFUL),
    E(SOCKET, EPROTONOSUPPORT, HARMFUL),
    W(CONNECT, LATE, EINTR, "EINTR", HARMLESS),
    W(CONNECT, LATE, EINPROGRESS, "EINPROGRESS", HARMLESS),
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
    W(POLL, NOTHING, 0, "no event", HARMLESS),
    W(GETSOCKOPT, GIVES, ECONNREFUSED, "ECONNREFUSED pending", HARMFUL),
    W(GETSOCKOPT, GIVES, ETIMEDOUT, "ETIMEDOUT pending", HARMFUL),
    W(GETSOCKOPT, GIVES, ECONNRESET, "ECONNRESET pending", HARMFUL),
    W(GETSOCKOPT, GIVES, ENETUNREACH, "ENETUNREACH pending", HARMFUL),
    W(GETSOCKOPT, GIVES, EHOSTUNREACH, "EHOSTUNREACH pending", HARMFUL),
    W(GETSOCKOPT, GIVES, EIO, "EIO pending", HARMFUL),
    E(GETSOCKOPT, ENOBUFS, HARMFUL),
    E(GETSOCKOPT, ENOPROTOOPT, HARMFUL),
    E(GETSOCKOPT, EACCES, HARMFUL),
    E(SETSOCKOPT, ENOBUFS, HARMLESS),
    E(SETSOCKOPT, ENOMEM, HARMLESS),
    E(SETSOCKOPT, ENOPROTOOPT, HARMLESS),
    E(GETPEERNAME, ENOTCONN, HARMFUL),
    E(GETPEERNAME, ENOBUFS, HARMFUL),
    OUTPUT(SEND),
    OUTPUT(SENDMSG),
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
    W(READ, BYTE, 1, "one byte", HARMLESS),
    W(READ, NOTHING, 0, "the end", HARMFUL),
    W(CLOSE, LATE, EINTR, "EINTR", HARMLESS),
    W(CLOSE, LATE, EIO, "EIO", HARMLESS),
    W(CLOCK, JUMPS, 3600, "an hour on", HARMFUL),
    W(TIME, GIVES, 0, "1970", HARMFUL),
    W(TIME, GIVES, (int64_t)1 << 31, "2038", HARMFUL),
    W(TIME, GIVES, 4070908800, "2099", HARMFUL),
    W(TIME, GIVES, -1, "EOVERFLOW", HARMFUL),
    E(RANDOM, EAGAIN, HARMFUL),
    E(RANDOM, EINTR, HARMLESS),
    E(RANDOM, ENOSYS, HARMFUL),
    E(RANDOM, EPERM, HARMFUL),
    W(RANDOM, BYTE, 1, "one byte", HARMLESS),
    E(IFINDEX, ENXIO, HARMFUL),
    E(IFINDEX, EMFILE, HARMFUL),
};

const size_t effect_count = sizeof effects / sizeof *effects;

/* ---- The plan --------------------------------------------------------- */

enum { DESCRIPTORS = 256 };

static struct failures now;
static struct plan planned;
static int64_t skipped_ms; /* what a jump has added to the client's clock */
static bool is_open[DESCRIPTORS];
static bool answers_are_late; /* a nameserver's */

/* Counts a call; returns what goes wrong with it, or NULL. */
static const struct effect *due(enum call_name call) {
  size_t number = now.calls[call]++;

  if (!planned.effect || planned.effect->call != call) return NULL;
  if (number < planned.at) return NULL;
  if (number > planned.at && !planned.for_good) return NULL;
  now.struck = true;
  return planned.effect;
}

/* ---- One call --------------------------------------------------------- */

static void rule(bool kept, const char *broken) {
  if (!kept && !now.broken_rule) now.broken_rule = broken;
}

/* What a client may not do in any call, whether that goes wrong or not. */
static void check_manners(const struct call *c) {
  switch (c->name) {
  case CALL_SEND:
  case CALL_SENDMSG:
    rule(c->in.message.flags & MSG_NOSIGNAL, "it writes without MSG_NOSIGNAL");
    break;
  case CALL_POLL:
    rule(c->in.poll.timeout_ms >= 0, "it waits without an end");
    break;
  case CALL_CLOSE:
    rule(c->fd >= 0 && c->fd < DESCRIPTORS && is_open[c->fd],
        "it closes a descriptor that is not its own");
    break;
  default: break;
  }
}

/* A descriptor is free again behind any close(), as on Linux. */
static void note_descriptor(const struct call *c) {
  if (c->name == CALL_CLOSE && c->fd >= 0 && c->fd < DESCRIPTORS)
    is_open[c->fd] = false;
  if ((c->name != CALL_SOCKET && c->name != CALL_OPEN) || c->result < 0) return;
  rule(c->result < DESCRIPTORS, "it has hundreds of descriptors");
  if (c->result < DESCRIPTORS) is_open[c->result] = true;
}

static void read_clock(struct call *c) {
  int64_t ms = ++now.clock_ms + skipped_ms;

  c->in.clock.now->tv_sec = (time_t)(ms / 1000);
  c->in.clock.now->tv_nsec = (long)(ms % 1000 * 1000000);
  c->result = 0;
}

static bool is_datagram(int fd) {
  int type = 0;
  socklen_t size = sizeof type;
  struct call query = {.name = CALL_GETSOCKOPT,
      .fd = fd,
      .in.option = {.level = SOL_SOCKET,
          .option = SO_TYPE,
          .value = &type,
          .size = &size}};

  make_call(&query);
  return type == SOCK_DGRAM;
}

/*
 * Lists the client's tries at a nameserver, which are its sockets; returns how
 * many.  0: it is not at that, as it has other descriptors, or none.
 */
static nfds_t list_tries(struct pollfd list[DESCRIPTORS]) {
  nfds_t count = 0;

  for (int fd = 0; fd < DESCRIPTORS; fd++) {
    if (!is_open[fd]) continue;
    if (!is_datagram(fd)) return 0;
    list[count++] = (struct pollfd){fd, POLLIN, 0};
  }
  return count;
}

/* Waits in place of the client, which asks for the newest try alone. */
static void await_late_answer(struct call *c) {
  struct pollfd tries[DESCRIPTORS];
  nfds_t count = list_tries(tries);
  struct call any = {.name = CALL_POLL,
      .fd = -1,
      .in.poll = {
          .list = tries, .count = count, .timeout_ms = c->in.poll.timeout_ms}};

  if (count == 0) return;
  if (count > 1) make_call(&any);
  c->in.poll.timeout_ms = 0;
}

/* A wait that finds nothing puts the clock forward by all of it. */
static void wait_in_vain(struct call *c) {
  int timeout_ms = c->in.poll.timeout_ms;

  if (now.struck && timeout_ms > planned.patience_ms)
    c->in.poll.timeout_ms = planned.patience_ms;
  if (answers_are_late) await_late_answer(c);
  make_call(c);
  if (c->result == 0) now.clock_ms += timeout_ms;
}

static void go_well(struct call *c) {
  if (c->name == CALL_CLOCK) read_clock(c);
  else if (c->name == CALL_POLL) wait_in_vain(c);
  else make_call(c);
}

/* Moves the first byte of a message; a datagram, which is one, as it is. */
static void move_a_byte(struct call *c) {
  struct msghdr *m = &c->in.message.header;
  struct iovec byte;

  if (is_datagram(c->fd)) {
    now.excused = true;
    make_call(c);
    return;
  }
  while (m->msg_iovlen > 1 && m->msg_iov->iov_len == 0) {
    m->msg_iov++;
    m->msg_iovlen--;
  }
  byte = *m->msg_iov;
  if (byte.iov_len > 1) byte.iov_len = 1;
  m->msg_iov = &byte;
  m->msg_iovlen = 1;
  make_call(c);
}

static void make_for_a_byte(struct call *c) {
  if (c->name != CALL_READ && c->name != CALL_RANDOM) {
    move_a_byte(c);
    return;
  }
  if (c->in.fill.size > 1) c->in.fill.size = 1;
  make_call(c);
}

static void find_nothing(struct call *c) {
  if (c->name == CALL_POLL)
    for (nfds_t i = 0; i < c->in.poll.count; i++)
      c->in.poll.list[i].revents = 0;
  c->result = 0;
}

/* The time of day, or an error that is pending on a socket. */
static void give(struct call *c, int64_t value) {
  int pending = (int)value;

  make_call(c);
  if (c->name == CALL_TIME) c->result = value;
  if (c->name == CALL_GETSOCKOPT && c->in.option.level == SOL_SOCKET &&
      c->in.option.option == SO_ERROR)
    memcpy(c->in.option.value, &pending, sizeof pending);
}

static void go_wrong(struct call *c, const struct effect *e) {
  switch (e->way) {
  case FAILS: fail_call(c, (int)e->value); break;
  case LATE:
    make_call(c);
    fail_call(c, (int)e->value);
    break;
  case BYTE: make_for_a_byte(c); break;
  case NOTHING: find_nothing(c); break;
  case GIVES: give(c, e->value); break;
  case JUMPS:
    skipped_ms = e->value * 1000;
    read_clock(c);
    break;
  }
}

static void see_to(struct call *c) {
  const struct effect *e;

  if (!now.watched ||
      (c->name == CALL_CLOCK && c->in.clock.id != CLOCK_MONOTONIC)) {
    make_call(c);
    return;
  }
  check_manners(c);
  e = due(c->name);
  if (e) go_wrong(c, e);
  else go_well(c);
  note_descriptor(c);
}

/* ---- What a test sees of it ------------------------------------------- */

void failures_begin(void) {
  now = (struct failures){.clock_ms = 1000000};
  planned = (struct plan){.effect = NULL};
  skipped_ms = 0;
  memset(is_open, 0, sizeof is_open);
  answers_are_late = false;
  syscalls_go_through(see_to);
}

void failures_answers_are_late(void) {
  answers_are_late = true;
}

void failures_watch(bool watched) {
  now.watched = watched;
}

void failures_plan(const struct plan *plan) {
  planned = *plan;
  now.struck = now.excused = false;
  memset(now.calls, 0, sizeof now.calls);
}

const struct failures *failures(void) {
  return &now;
}

size_t failures_open_descriptors(void) {
  size_t count = 0;

  for (int fd = 0; fd < DESCRIPTORS; fd++) count += is_open[fd];
  return count;
}
