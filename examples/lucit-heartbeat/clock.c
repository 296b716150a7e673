/* The time: a monotonic one for the loop, and Unix seconds for run_at.
 *
 * A box may start with a dead clock.  Unix seconds are the system's, but never
 * before a floor that goes on with the monotonic clock; and once the server has
 * told the time, they are the server's, whatever the system says. */
#include "daemon.h"

#include <string.h>
#include <time.h>

int64_t now_ms(void) {
  struct timespec t;

  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int64_t now_s(const struct clock *c) {
  int64_t floor_s = c->floor_s + (now_ms() - c->floor_at_ms) / 1000;
  int64_t system_s = time(NULL);

  return c->is_the_servers || system_s < floor_s ? floor_s : system_s;
}

/* The compiler's date is of its own time zone, so that a day is taken off. */
int64_t build_time_s(void) {
  struct tm built; /* at midnight */

  memset(&built, 0, sizeof built);
  built.tm_mday = 1;
  strptime(__DATE__, "%b %d %Y", &built);
  return timegm(&built) - DAY / SECOND;
}

void set_clock(struct clock *c, int64_t server_time_s) {
  c->floor_s = server_time_s;
  c->floor_at_ms = now_ms();
  c->is_the_servers = true;
}

/* The earliest wins: the loop begins each turn with a late one. */
void wake_at(struct daemon *d, int64_t at_ms) {
  if (at_ms < d->wake_ms) d->wake_ms = at_ms;
}
