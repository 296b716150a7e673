/* The time: a monotonic one for the loop, and Unix seconds for run_at.
 *
 * A box may start with a dead clock.  Unix seconds are the system's, but never
 * before a floor; and once the server has told the time, they are the server's,
 * whatever the system says.  The floor goes on while the box is suspended, as
 * CLOCK_BOOTTIME does; the loop's own clock stands still then.
 *
 * Such a time is good enough for a log.  What is to run at a time is held
 * against it only where somebody vouches for it: a clock that was set from a
 * battery's may be hours fast, and what runs early has run. */
#include "daemon.h"

#include <string.h>
#include <time.h>
#ifdef __linux__
#include <sys/timex.h>
#endif

/* 9999-12-31T23:59:59Z: what is written has four digits for the year. */
#define LATEST_S INT64_C(253402300799)

/* How long the loop waits at most while an instruction waits for its time.  A
 * wait stands still while the box is suspended, and nobody tells when it goes
 * on, or when the kernel's clock comes to be synchronized. */
enum { LOOK_AGAIN_S = 60 };

/* ---- Clocks that only count -------------------------------------------- */

static int64_t ms_of(const struct timespec *t) {
  return (int64_t)t->tv_sec * 1000 + t->tv_nsec / 1000000;
}

int64_t now_ms(void) {
  struct timespec t;

  clock_gettime(CLOCK_MONOTONIC, &t);
  return ms_of(&t);
}

struct timespec time_until(int64_t at_ms) {
  int64_t left_ms = at_ms - now_ms();

  if (left_ms < 0) left_ms = 0;
  return (struct timespec){.tv_sec = (time_t)(left_ms / 1000),
      .tv_nsec = (long)(left_ms % 1000 * 1000000)};
}

/* The monotonic clock, but it counts while the box is suspended, too; where
 * there is no such clock it is the same. */
static int64_t boot_ms(void) {
#ifdef CLOCK_BOOTTIME
  struct timespec t;

  if (clock_gettime(CLOCK_BOOTTIME, &t) == 0) return ms_of(&t);
#endif
  return now_ms();
}

/* ---- Unix seconds ------------------------------------------------------ */

/* The compiler's date is of its own time zone, so that a day is taken off. */
static int64_t build_time_s(void) {
  struct tm built; /* at midnight */

  memset(&built, 0, sizeof built);
  built.tm_mday = 1;
  strptime(__DATE__, "%b %d %Y", &built);
  return timegm(&built) - DAY / SECOND;
}

void init_clock(struct clock *c) {
  memset(c, 0, sizeof *c);
  c->floor_s = build_time_s();
  c->floor_at_ms = boot_ms();
}

void set_clock(struct clock *c, int64_t server_time_s) {
  c->floor_s = server_time_s;
  c->floor_at_ms = boot_ms();
  c->is_the_servers = true;
}

/* The floor, as far as it has come; it gets no further than LATEST_S. */
static int64_t floor_now_s(const struct clock *c) {
  int64_t passed_s = (boot_ms() - c->floor_at_ms) / 1000;

  return c->floor_s < LATEST_S - passed_s ? c->floor_s + passed_s : LATEST_S;
}

int64_t now_s(const struct clock *c) {
  int64_t floor_s = floor_now_s(c);
  int64_t system_s = time(NULL);

  if (c->is_the_servers || system_s < floor_s) return floor_s;
  return system_s < LATEST_S ? system_s : LATEST_S;
}

void raise_clock(struct clock *c, int64_t time_s) {
  bool is_later = time_s > floor_now_s(c) && time_s <= LATEST_S;

  if (c->is_the_servers || !is_later) return;
  c->floor_s = time_s;
  c->floor_at_ms = boot_ms();
}

/* Whether a time daemon has told the kernel that its clock is right.  A kernel
 * that does not say so, or may not be asked, says no. */
static bool kernel_vouches(void) {
  bool vouches = false;

#ifdef __linux__
  struct timex t;
  memset(&t, 0, sizeof t); /* nothing is to be changed */
  if (adjtimex(&t) >= 0) vouches = !(t.status & STA_UNSYNC);
#endif
  return vouches;
}

/* Where the kernel's clock is before the floor, one of them is wrong. */
bool system_clock_is_set(const struct clock *c) {
  return time(NULL) >= floor_now_s(c) && kernel_vouches();
}

int64_t vouched_now_s(const struct clock *c) {
  bool somebody_vouches = c->is_the_servers || system_clock_is_set(c);

  return somebody_vouches ? now_s(c) : HBEAT_NONE;
}

const char *write_stamp(int64_t unix_s, char out[STAMP_SIZE]) {
  time_t time = (time_t)unix_s;
  struct tm utc;

  gmtime_r(&time, &utc);
  strftime(out, STAMP_SIZE, "%Y-%m-%dT%H:%M:%SZ", &utc);
  return out;
}

/* ---- When the loop goes on --------------------------------------------- */

/* The earliest wins: the loop begins each turn with a late one. */
void wake_at(struct daemon *d, int64_t at_ms) {
  if (at_ms < d->wake_ms) d->wake_ms = at_ms;
}

void wake_for_run_at(struct daemon *d, int64_t run_at_s) {
  struct clock *c = &d->clock;
  int64_t now = vouched_now_s(c);
  int64_t wait_s = LOOK_AGAIN_S;

  if (now == HBEAT_NONE && !c->doubts_are_told) {
    note(d,
        "what has a time to run at waits: nobody vouches for the clock, neither"
        " the server nor a time daemon");
    c->doubts_are_told = true;
  }
  if (now != HBEAT_NONE && run_at_s < now + wait_s) wait_s = run_at_s - now;
  wake_at(d, now_ms() + wait_s * SECOND);
}
