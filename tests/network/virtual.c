#define _DEFAULT_SOURCE
#include "virtual.h"
#include "loopback.h"
#include "syscalls.h"

#include <semaphore.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/*
 * Servers that have slept for QUIET_MS wait for the test, as their own waits,
 * beside those by its clock, are shorter.  Where that is not so within HANG_MS
 * one of them runs for ever.
 */
enum { NAPS = 32, QUIET_MS = 60, HANG_MS = 60000 };

static struct clock {
  int64_t now_ms;
  unsigned waits;
  struct nap {
    int taken;
    volatile bool lasts; /* until ... */
    volatile int64_t until_ms;
    sem_t end;
  } naps[NAPS];
} * shared; /* NULL: time is real */
static pid_t owner;

/* The descriptor at which nothing is found until then. */
static struct {
  int fd;
  int64_t until_ms;
} held;

/* ---- Real time -------------------------------------------------------- */

static int64_t real_ms(void) {
  struct timespec t;
  struct call c = {
      .name = CALL_CLOCK, .in.clock = {.id = CLOCK_MONOTONIC, .now = &t}};

  make_call(&c);
  return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static int real_poll(struct pollfd *p, nfds_t count, int timeout_ms) {
  struct call c = {.name = CALL_POLL,
      .in.poll = {.list = p, .count = count, .timeout_ms = timeout_ms}};

  make_call(&c);
  return (int)c.result;
}

/* ---- Whether the servers sleep ---------------------------------------- */

/* What a look at them found: all sleep, and how often they went to sleep. */
struct look {
  bool asleep;
  unsigned long long processes, switches;
};

static void look_at(struct look *l, int id) {
  char path[64], line[128], state = 'X';
  unsigned long long n;
  FILE *f;

  snprintf(path, sizeof path, "/proc/%d/status", id);
  f = fopen(path, "r");
  if (!f) return; /* it has ended */
  while (fgets(line, sizeof line, f)) {
    sscanf(line, "State: %c", &state);
    if (sscanf(line, "voluntary_ctxt_switches: %llu", &n) == 1 ||
        sscanf(line, "nonvoluntary_ctxt_switches: %llu", &n) == 1)
      l->switches += n;
  }
  fclose(f);
  l->processes++;
  l->asleep &= state == 'S' || state == 'Z' || state == 'X';
}

static void look_at_children(struct look *l, int id) {
  char path[64];
  int child;
  FILE *f;

  snprintf(path, sizeof path, "/proc/%d/task/%d/children", id, id);
  f = fopen(path, "r");
  if (!f) return;
  while (fscanf(f, "%d", &child) == 1) {
    look_at(l, child);
    look_at_children(l, child);
  }
  fclose(f);
}

static struct look look(void) {
  struct look l = {true, 0, 0};

  look_at_children(&l, (int)getpid());
  return l;
}

/* Waits until all servers sleep; what poll() finds before that, or 0. */
static int poll_until_quiet(struct pollfd *p, nfds_t count) {
  int64_t until_ms = real_ms() + HANG_MS;

  do {
    struct look before = look(), after;
    int ready = real_poll(p, count, QUIET_MS);

    if (ready != 0) return ready;
    after = look();
    if (before.asleep && after.asleep && before.processes == after.processes &&
        before.switches == after.switches)
      return real_poll(p, count, 0);
  } while (real_ms() < until_ms);
  fputs("virtual.c: the servers do not come to rest\n", stderr);
  abort();
}

/* ---- Naps ------------------------------------------------------------- */

static struct nap *first_nap(void) {
  struct nap *first = NULL;

  for (int i = 0; i < NAPS; i++) {
    struct nap *n = &shared->naps[i];
    if (n->lasts && (!first || n->until_ms < first->until_ms)) first = n;
  }
  return first;
}

static void end_nap(struct nap *n) {
  if (n->until_ms > shared->now_ms) shared->now_ms = n->until_ms;
  n->lasts = false;
  sem_post(&n->end);
}

void clock_nap_ms(int64_t ms) {
  struct nap *n;
  int i = 0;

  if (!shared) {
    nap_ms(ms);
    return;
  }
  while (
      i < NAPS && !__sync_bool_compare_and_swap(&shared->naps[i].taken, 0, 1))
    i++;
  if (i == NAPS) abort();
  n = &shared->naps[i];
  n->until_ms = shared->now_ms + ms;
  n->lasts = true;
  while (sem_wait(&n->end) != 0)
    ;
  n->taken = 0;
}

void clock_hold_ms(int fd, int64_t ms) {
  held.fd = fd;
  held.until_ms = shared->now_ms + ms;
}

void clock_forget_naps(void) {
  if (!shared) return;
  for (int i = 0; i < NAPS; i++) {
    shared->naps[i].lasts = false;
    shared->naps[i].taken = 0;
    sem_init(&shared->naps[i].end, 1, 0);
  }
}

/* ---- The test's calls ------------------------------------------------- */

static bool is_virtual(void) {
  return getpid() == owner;
}

static void see_to_clock(struct call *c) {
  struct timespec *t = c->in.clock.now;

  if (c->in.clock.id != CLOCK_MONOTONIC || !is_virtual()) {
    make_call(c);
    return;
  }
  t->tv_sec = (time_t)(shared->now_ms / 1000);
  t->tv_nsec = (long)(shared->now_ms % 1000 * 1000000);
  c->result = 0;
}

static bool is_held(const struct pollfd *p, nfds_t count) {
  return count == 1 && p->fd == held.fd && shared->now_ms < held.until_ms;
}

/* Waits by the test's clock. */
static int virtual_poll(struct pollfd *p, nfds_t count, int timeout_ms) {
  int64_t until_ms = shared->now_ms + timeout_ms;

  shared->waits += timeout_ms > 0;
  if (is_held(p, count)) {
    p->revents = 0;
    shared->now_ms = until_ms < held.until_ms ? until_ms : held.until_ms;
    if (shared->now_ms < held.until_ms) return 0;
  }
  for (;;) {
    int ready =
        timeout_ms > 0 ? poll_until_quiet(p, count) : real_poll(p, count, 0);
    struct nap *next = first_nap();

    if (ready != 0) {
      if (ready > 0) shared->now_ms++;
      return ready;
    }
    if (timeout_ms == 0) return 0;
    if (!next || next->until_ms > until_ms) break;
    end_nap(next);
  }
  shared->now_ms = until_ms;
  return 0;
}

static void see_to_poll(struct call *c) {
  int timeout_ms = c->in.poll.timeout_ms;

  if (is_virtual() && timeout_ms >= 0)
    c->result = virtual_poll(c->in.poll.list, c->in.poll.count, timeout_ms);
  else make_call(c);
}

void clock_begin(void) {
  shared = share_memory(sizeof *shared);
  owner = getpid();
  shared->now_ms = real_ms();
  clock_forget_naps();
  call_goes_through(CALL_CLOCK, see_to_clock);
  call_goes_through(CALL_POLL, see_to_poll);
}

void clock_skip_s(int64_t seconds) {
  shared->now_ms += seconds * 1000;
}

unsigned clock_waits(void) {
  return shared->waits;
}
