#define _GNU_SOURCE /* memmem() */
#include "world.h"

#include <bearssl.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What a socket has room for; so many calls lead to nothing at most. */
enum { QUEUE_SIZE = 1 << 16, FILES = 2, NEXT_CONNECTINGS = 16 };
enum { CALLS_IN_VAIN = 400, SECRET_MAX = 64, SLOW_MS = 1500 };

enum stage { CLOSED, READS_FILE, UNCONNECTED, CONNECTS, CONNECTED, BROKEN };

struct descriptor {
  enum stage stage;
  int type; /* of a socket */
  uint16_t port;
  int64_t connected_ms; /* when it will be; INT64_MAX: never */
  int error;            /* which it was broken with */
  bool ended;           /* by the other side */
  bool held;
  size_t room;
  char last_words[SECRET_MAX]; /* the end of what went out */
  size_t last_size;
  /* What comes in.  A datagram stands behind its size. */
  size_t at, seen_end, end;
  unsigned char bytes[QUEUE_SIZE];
};

static struct {
  const struct other_side *other;
  struct descriptor all[DESCRIPTORS];
  int64_t now_ms, jumped_ms, clock_lead_s, idle_ms;
  uint64_t digest;
  uint32_t random;
  bool has_randomness, stops;
  const char *secrets;
  unsigned calls_in_vain;
  size_t read_most, write_most;
  struct {
    int error;
    unsigned count;
  } failing[CALLS];
  enum connecting next[NEXT_CONNECTINGS];
  unsigned next_count;
  struct {
    const char *path, *text;
    size_t size;
  } files[FILES];
} world;

/* ---- What must hold ---- */

static void fail_because(const char *why) {
  fprintf(stderr, "world.c: %s\n", why);
  abort();
}

static void must(bool holds, const char *promise) {
  if (!holds) fail_because(promise);
}

void world_note_progress(void) {
  world.calls_in_vain = 0;
}

static void note(uint64_t fact) {
  world.digest = (world.digest ^ fact) * UINT64_C(0x100000001B3);
}

/* A word at a time. */
static void note_bytes(const void *bytes, size_t size) {
  const unsigned char *at = bytes;

  while (size > 0) {
    uint64_t word = 0;
    size_t n = size < sizeof word ? size : sizeof word;
    memcpy(&word, at, n);
    note(word);
    at += n;
    size -= n;
  }
}

uint64_t world_digest(void) {
  return world.digest;
}

void world_watch_for(const char *secrets) {
  world.secrets = secrets;
}

bool world_is_secret(const void *bytes, size_t size) {
  for (const char *s = world.secrets; s && *s != '\0'; s += strlen(s) + 1)
    if (memmem(bytes, size, s, strlen(s))) return true;
  return false;
}

/* Looks at what goes out, and at the end of what went before. */
static void watch(struct descriptor *d, const void *bytes, size_t size) {
  char joint[2 * SECRET_MAX];
  size_t first = size < SECRET_MAX ? size : SECRET_MAX;
  size_t kept;

  memcpy(joint, d->last_words, d->last_size);
  memcpy(joint + d->last_size, bytes, first);
  must(!world_is_secret(joint, d->last_size + first) &&
          !world_is_secret(bytes, size),
      "a secret goes out in clear");
  if (size >= SECRET_MAX) {
    memcpy(d->last_words, (const char *)bytes + size - SECRET_MAX, SECRET_MAX);
    d->last_size = SECRET_MAX;
    return;
  }
  kept = d->last_size + size < SECRET_MAX ? d->last_size : SECRET_MAX - size;
  memmove(d->last_words, d->last_words + d->last_size - kept, kept);
  memcpy(d->last_words + kept, bytes, size);
  d->last_size = kept + size;
}

/* ---- Randomness ---- */

void world_random(void *bytes, size_t size) {
  unsigned char *at = bytes;

  for (size_t i = 0; i < size; i++) {
    world.random ^= world.random << 13; /* Marsaglia's xorshift32 */
    world.random ^= world.random >> 17;
    world.random ^= world.random << 5;
    at[i] = (unsigned char)(world.random >> 8);
  }
}

void world_take_randomness(void) {
  world.has_randomness = false;
}

static int seed_prng(const br_prng_class **prng) {
  unsigned char seed[32];

  world_random(seed, sizeof seed);
  (*prng)->update(prng, seed, sizeof seed);
  return 1;
}

/* In the place of BearSSL's, which would ask the processor. */
br_prng_seeder br_prng_seeder_system(const char **name) {
  if (name) *name = "world";
  return world.has_randomness ? seed_prng : NULL;
}

/* ---- Descriptors ---- */

static struct descriptor *find(int fd) {
  int n = fd - FIRST_DESCRIPTOR;

  if (n < 0 || n >= DESCRIPTORS || world.all[n].stage == CLOSED) return NULL;
  return &world.all[n];
}

static struct descriptor *known(int fd) {
  struct descriptor *d = find(fd);

  must(d != NULL, "a call for a descriptor that is not open");
  return d;
}

static int number_of(const struct descriptor *d) {
  return FIRST_DESCRIPTOR + (int)(d - world.all);
}

unsigned world_open_count(void) {
  unsigned count = 0;

  for (int i = 0; i < DESCRIPTORS; i++) count += world.all[i].stage != CLOSED;
  return count;
}

static struct descriptor *open_one(enum stage stage) {
  struct descriptor *d = world.all;

  while (d < world.all + DESCRIPTORS && d->stage != CLOSED) d++;
  must(d < world.all + DESCRIPTORS, "too many descriptors are open");
  memset(d, 0, offsetof(struct descriptor, bytes));
  d->stage = stage;
  d->room = SIZE_MAX;
  return d;
}

/* What was to be connected by now is. */
static void settle(struct descriptor *d) {
  if (d->stage != CONNECTS || world.now_ms < d->connected_ms) return;
  world_note_progress();
  if (d->error != 0) {
    d->stage = BROKEN;
    return;
  }
  d->stage = CONNECTED;
  world.other->meets(number_of(d), d->type, d->port);
}

static bool is_readable(const struct descriptor *d) {
  return d->at < d->seen_end || (d->ended && d->seen_end == d->end);
}

/* What poll(2) says of it. */
static short ready_events(struct descriptor *d, short wanted) {
  short ready = 0;

  settle(d);
  if (d->stage == UNCONNECTED) ready = POLLOUT | POLLHUP;
  if (d->stage == BROKEN) ready = POLLIN | POLLOUT | POLLERR | POLLHUP;
  if (d->stage == CONNECTED) {
    if (is_readable(d)) ready |= POLLIN;
    if (d->room > 0) ready |= POLLOUT;
    if (d->error != 0) ready |= POLLERR;
  }
  return ready & (wanted | POLLERR | POLLHUP);
}

void world_deliver(int fd, const void *bytes, size_t size) {
  struct descriptor *d = find(fd);
  unsigned char prefix[2] = {(unsigned char)(size >> 8), (unsigned char)size};
  size_t prefix_size;

  if (!d || d->stage != CONNECTED || d->ended) return;
  if (d->at == d->end) d->at = d->seen_end = d->end = 0;
  prefix_size = d->type == SOCK_DGRAM ? sizeof prefix : 0;
  if (size > 0xFFFF || prefix_size + size > QUEUE_SIZE - d->end) return;
  memcpy(d->bytes + d->end, prefix, prefix_size);
  memcpy(d->bytes + d->end + prefix_size, bytes, size);
  d->end += prefix_size + size;
  if (!d->held) d->seen_end = d->end;
  world_note_progress();
}

void world_hold(int fd) {
  if (find(fd)) find(fd)->held = true;
}

bool world_holds(int fd) {
  return find(fd) && find(fd)->held;
}

void world_release(int fd) {
  struct descriptor *d = find(fd);

  if (!d) return;
  if (d->seen_end < d->end) world_note_progress();
  d->held = false;
  d->seen_end = d->end;
}

void world_end(int fd) {
  struct descriptor *d = find(fd);

  if (!d || d->type != SOCK_STREAM) return;
  world_release(fd);
  d->ended = true;
  world_note_progress();
}

void world_break(int fd, int error) {
  struct descriptor *d = find(fd);

  if (!d || d->stage == BROKEN) return;
  d->error = error;
  d->at = d->seen_end = d->end = 0;
  if (d->type == SOCK_STREAM) d->stage = BROKEN;
  world_note_progress();
}

void world_set_room(int fd, size_t room) {
  struct descriptor *d = find(fd);

  if (!d) return;
  if (d->room == 0 && room > 0) world_note_progress();
  d->room = room;
}

void world_free(int fd) {
  world_release(fd);
  world_set_room(fd, SIZE_MAX);
}

void world_limit_reads(size_t most) {
  world.read_most = most;
}

void world_limit_writes(size_t most) {
  world.write_most = most;
}

void world_fail(enum call_name name, int error, unsigned count) {
  world.failing[name].error = error;
  world.failing[name].count = count;
}

void world_next_connecting(enum connecting next) {
  if (world.next_count < NEXT_CONNECTINGS)
    world.next[world.next_count++] = next;
}

/* ---- Time ---- */

int64_t world_now_ms(void) {
  return world.now_ms;
}

void world_jump_ms(int64_t ms) {
  world.now_ms += ms;
  world.jumped_ms += ms;
  world_note_progress();
}

int64_t world_jumped_ms(void) {
  return world.jumped_ms;
}

void world_set_clock_s(int64_t unix_s) {
  world.clock_lead_s = unix_s - world.now_ms / 1000;
}

void world_idle_ms(int64_t ms) {
  world.idle_ms = ms;
}

void world_stop_waiting(void) {
  world.stops = true;
  world_note_progress();
}

/* The time until this one is over passes, or the time until the descriptor is
 * connected. */
static void pass_time(const struct descriptor *d, int64_t until_ms) {
  int64_t end_ms = until_ms;

  if (d->stage == CONNECTS && d->connected_ms < end_ms)
    end_ms = d->connected_ms;
  if (end_ms > world.now_ms) world_note_progress();
  if (end_ms > world.now_ms) world.now_ms = end_ms;
}

/* The part of a wait that somebody has asked for. */
static void pass_idle_time(const struct descriptor *d, int64_t until_ms) {
  int64_t end_ms = world.now_ms + world.idle_ms;

  world.idle_ms = 0;
  pass_time(d, end_ms < until_ms ? end_ms : until_ms);
}

int world_wait(int fd, short events, int timeout_ms) {
  struct descriptor *d = known(fd);
  int64_t until_ms = world.now_ms + timeout_ms;

  must(timeout_ms >= 0, "a wait without end");
  for (;;) {
    short ready = ready_events(d, events);
    if (ready != 0) return ready;
    if (world.now_ms >= until_ms) return 0;
    if (!world.other->act() && ready_events(d, events) == 0)
      pass_time(d, until_ms);
    if (world.stops) {
      world.stops = false;
      return -1;
    }
    if (world.idle_ms > 0) pass_idle_time(d, until_ms);
  }
}

/* ---- System calls ---- */

static void see_socket(struct call *c) {
  struct descriptor *d;

  must(c->in.socket.type & SOCK_CLOEXEC, "a socket that a child inherits");
  must(c->in.socket.type & SOCK_NONBLOCK, "a socket that blocks");
  d = open_one(UNCONNECTED);
  d->type = c->in.socket.type & ~(SOCK_CLOEXEC | SOCK_NONBLOCK);
  c->result = number_of(d);
  world_note_progress();
}

static uint16_t port_of(const struct sockaddr *address) {
  if (address->sa_family == AF_INET)
    return ntohs(((const struct sockaddr_in *)(const void *)address)->sin_port);
  return ntohs(((const struct sockaddr_in6 *)(const void *)address)->sin6_port);
}

static enum connecting take_connecting(void) {
  enum connecting next = CONNECTS_SOON;

  if (world.next_count == 0) return next;
  next = world.next[0];
  world.next_count--;
  memmove(world.next, world.next + 1, world.next_count * sizeof *world.next);
  return next;
}

static void see_connect(struct call *c) {
  struct descriptor *d = known(c->fd);
  enum connecting how = CONNECTS_AT_ONCE;

  if (d->type == SOCK_STREAM) how = take_connecting();
  d->port = port_of(c->in.connect.address);
  d->stage = CONNECTS;
  d->connected_ms = world.now_ms;
  c->result = 0;
  switch (how) {
  case CONNECTS_AT_ONCE: settle(d); return;
  case IS_UNREACHABLE:
    d->stage = UNCONNECTED;
    fail_call(c, ENETUNREACH);
    return;
  case CONNECTS_SLOWLY: d->connected_ms += SLOW_MS; break;
  case NEVER_CONNECTS: d->connected_ms = INT64_MAX; break;
  case IS_REFUSED: d->error = ECONNREFUSED; break;
  case CONNECTS_SOON:
  case IS_INTERRUPTED:
  case CONNECTINGS: break;
  }
  fail_call(c, how == IS_INTERRUPTED ? EINTR : EINPROGRESS);
}

static void see_poll(struct call *c) {
  struct pollfd *p = c->in.poll.list;
  int ready;

  must(c->in.poll.count == 1, "a poll of other than one descriptor");
  ready = world_wait(p->fd, p->events, c->in.poll.timeout_ms);
  p->revents = (short)(ready > 0 ? ready : 0);
  if (ready < 0) fail_call(c, EINTR);
  else c->result = ready > 0;
}

static void see_getsockopt(struct call *c) {
  struct descriptor *d = known(c->fd);

  must(c->in.option.option == SO_ERROR, "an option that nobody has seen yet");
  settle(d);
  memcpy(c->in.option.value, &d->error, sizeof d->error);
  if (d->error != 0) world_note_progress();
  d->error = 0; /* it is told once */
  c->result = 0;
}

/* Takes the error that waits at a socket: it is told once, and what is broken
 * stays so. */
static int take_error(struct descriptor *d, int usual) {
  int error = d->error != 0 ? d->error : usual;

  d->error = 0;
  return error;
}

/* Bytes go out; returns how many. */
static size_t move_out(struct descriptor *d, const struct msghdr *m) {
  bool is_stream = d->type == SOCK_STREAM;
  size_t most = d->room, moved = 0;

  if (is_stream && world.write_most > 0 && world.write_most < most)
    most = world.write_most;
  for (size_t i = 0; i < m->msg_iovlen && moved < most; i++) {
    const struct iovec *piece = &m->msg_iov[i];
    size_t size = piece->iov_len;
    if (size > most - moved) size = most - moved;
    if (size == 0) continue;
    watch(d, piece->iov_base, size);
    note_bytes(piece->iov_base, size);
    world.other->hears(number_of(d), d->type, piece->iov_base, size);
    moved += size;
  }
  if (d->room != SIZE_MAX) d->room -= moved;
  return moved;
}

static void see_send(struct call *c) {
  struct descriptor *d = known(c->fd);

  must(c->in.message.flags & MSG_NOSIGNAL, "a write that raises SIGPIPE");
  settle(d);
  if (d->stage == BROKEN) fail_call(c, take_error(d, EPIPE));
  else if (d->error != 0) fail_call(c, take_error(d, 0));
  else if (d->stage != CONNECTED || d->room == 0) fail_call(c, EAGAIN);
  else c->result = (int64_t)move_out(d, &c->in.message.header);
  if (c->result > 0) world_note_progress();
}

/* How many bytes one read may take: of a datagram, all there are. */
static size_t readable_bytes(struct descriptor *d) {
  size_t size = d->seen_end - d->at;

  if (d->type == SOCK_DGRAM) {
    size = (size_t)(d->bytes[d->at] << 8 | d->bytes[d->at + 1]);
    d->at += 2;
    return size;
  }
  if (world.read_most > 0 && world.read_most < size) size = world.read_most;
  return size;
}

/* Bytes come in; returns how many. */
static size_t move_in(struct descriptor *d, const struct msghdr *m, bool peek) {
  size_t size = readable_bytes(d), moved = 0;

  for (size_t i = 0; i < m->msg_iovlen && moved < size; i++) {
    size_t n = m->msg_iov[i].iov_len;
    if (n > size - moved) n = size - moved;
    if (n > 0) memcpy(m->msg_iov[i].iov_base, d->bytes + d->at + moved, n);
    moved += n;
  }
  if (d->type == SOCK_DGRAM) d->at += size; /* what did not fit is lost */
  else if (!peek) d->at += moved;
  return moved;
}

static void see_recv(struct call *c) {
  struct descriptor *d = known(c->fd);
  bool peek = c->in.message.flags & MSG_PEEK;

  settle(d);
  c->result = 0;
  if (d->error != 0) fail_call(c, take_error(d, 0));
  else if (d->at < d->seen_end)
    c->result = (int64_t)move_in(d, &c->in.message.header, peek);
  else if (d->stage != BROKEN && !is_readable(d)) fail_call(c, EAGAIN);
  if (c->result > 0) world_note_progress();
}

void world_write_file(const char *path, const void *text, size_t size) {
  int n = 0;

  while (world.files[n].path && strcmp(world.files[n].path, path) != 0) n++;
  world.files[n].path = path;
  world.files[n].text = text;
  world.files[n].size = size;
}

static void see_open(struct call *c) {
  struct descriptor *d;
  int n = 0;

  while (n < FILES && world.files[n].path &&
      strcmp(world.files[n].path, c->in.open.path) != 0)
    n++;
  if (n == FILES || !world.files[n].path || !world.files[n].text) {
    fail_call(c, ENOENT);
    return;
  }
  d = open_one(READS_FILE);
  memcpy(d->bytes, world.files[n].text, world.files[n].size);
  d->end = world.files[n].size;
  c->result = number_of(d);
  world_note_progress();
}

static void see_read(struct call *c) {
  struct descriptor *d = known(c->fd);
  size_t size = d->end - d->at;

  must(d->stage == READS_FILE, "a read() of what is no file");
  if (size > c->in.fill.size) size = c->in.fill.size;
  if (world.read_most > 0 && world.read_most < size) size = world.read_most;
  memcpy(c->in.fill.bytes, d->bytes + d->at, size);
  d->at += size;
  c->result = (int64_t)size;
  world_note_progress();
}

/* It is closed even where that fails. */
static void see_close(struct call *c) {
  struct descriptor *d = known(c->fd);
  bool was_met = d->stage == CONNECTED || d->stage == BROKEN;

  if (was_met) world.other->leaves(c->fd);
  d->stage = CLOSED;
  world_note_progress();
}

/* The process's other clocks are not the client's. */
static void see_clock(struct call *c) {
  if (c->in.clock.id != CLOCK_MONOTONIC) {
    make_call(c);
    return;
  }
  c->in.clock.now->tv_sec = (time_t)(world.now_ms / 1000);
  c->in.clock.now->tv_nsec = (long)(world.now_ms % 1000 * 1000000);
  c->result = 0;
}

static void see_random(struct call *c) {
  if (!world.has_randomness) {
    fail_call(c, ENOSYS);
    return;
  }
  world_random(c->in.fill.bytes, c->in.fill.size);
  c->result = (int64_t)c->in.fill.size;
}

/* Whether the call was chosen to fail. */
static bool is_failing(struct call *c) {
  bool looks = c->name == CALL_RECV && (c->in.message.flags & MSG_PEEK);

  if (looks && world.failing[c->name].error == EAGAIN) return false;
  if (world.failing[c->name].count == 0) return false;
  world.failing[c->name].count--;
  world_note_progress();
  fail_call(c, world.failing[c->name].error);
  return true;
}

static void answer(struct call *c) {
  switch (c->name) {
  case CALL_SOCKET: see_socket(c); break;
  case CALL_CONNECT: see_connect(c); break;
  case CALL_POLL: see_poll(c); break;
  case CALL_GETSOCKOPT: see_getsockopt(c); break;
  case CALL_SETSOCKOPT: c->result = 0; break;
  case CALL_SEND:
  case CALL_SENDMSG: see_send(c); break;
  case CALL_RECV:
  case CALL_READV: see_recv(c); break;
  case CALL_OPEN: see_open(c); break;
  case CALL_READ: see_read(c); break;
  case CALL_CLOSE: see_close(c); break;
  case CALL_CLOCK: see_clock(c); break;
  case CALL_TIME: c->result = world.now_ms / 1000 + world.clock_lead_s; break;
  case CALL_RANDOM: see_random(c); break;
  case CALL_IFINDEX: c->result = c->in.interface.name[0] == 'e'; break;
  case CALL_GETPEERNAME:
  case CALLS: fail_because("a call that nobody has seen yet");
  }
}

static void see_call(struct call *c) {
  must(world.calls_in_vain++ < CALLS_IN_VAIN, "it goes round in circles");
  if (c->name == CALL_CLOSE || !is_failing(c)) answer(c);
  if (c->name == CALL_CLOCK) return; /* libFuzzer looks at one, too */
  note(c->name);
  note((uint64_t)c->result);
}

void world_enter(void) {
  syscalls_go_through(see_call);
}

void world_leave(void) {
  syscalls_go_through(NULL);
}

void world_begin(const struct other_side *other, uint32_t seed) {
  for (int i = 0; i < DESCRIPTORS; i++) world.all[i].stage = CLOSED;
  world.other = other;
  world.now_ms = WORLD_BEGINS_MS;
  world.jumped_ms = world.idle_ms = 0;
  world_set_clock_s(WORLD_BEGINS_S);
  world.digest = UINT64_C(0xCBF29CE484222325);
  world.random = seed | 1;
  world.has_randomness = true;
  world.stops = false;
  world.secrets = NULL;
  world.calls_in_vain = 0;
  world.read_most = world.write_most = 0;
  memset(world.failing, 0, sizeof world.failing);
  world.next_count = 0;
  memset(world.files, 0, sizeof world.files);
}
