/* Numbers and times as people write them: 3, 500ms, 1.5s.
 *
 * A time becomes whole milliseconds.  A part of one is rounded up, so that no
 * time becomes 0, which may mean "no limit". */
#include "daemon.h"

#include <inttypes.h>
#include <string.h>

/* The smallest first. */
static const struct unit {
  const char *name;
  int64_t ms;
} units[] = {
    {"ms", MILLISECOND},
    {"s", SECOND},
    {"m", MINUTE},
    {"h", HOUR},
    {"d", DAY},
};

enum { UNITS = sizeof units / sizeof *units };

/* Before the point, and as many behind it. */
enum { DIGITS_MAX = 9 };

/* So many nines are less than 10^9; that many days fit 64 bits. */
typedef char digits_fit[INT64_MAX / DAY > 1000000000 ? 1 : -1];

/* Reads digits, DIGITS_MAX at most; returns what stands behind them.  *scale is
 * ten to the power of their number: 1 where there is none. */
static const char *scan_digits(
    const char *text, int64_t *number, int64_t *scale) {
  *number = 0;
  *scale = 1;
  for (int i = 0; i < DIGITS_MAX && *text >= '0' && *text <= '9'; i++) {
    *number = *number * 10 + (*text - '0');
    *scale *= 10;
    text++;
  }
  return text;
}

bool read_whole(const char *text, int64_t *number) {
  int64_t scale;
  const char *end = scan_digits(text, number, &scale);

  return end != text && *end == '\0';
}

/* The milliseconds of a unit; 0: there is no such unit. */
static int64_t unit_of(const char *name) {
  for (size_t i = 0; i < UNITS; i++)
    if (strcmp(name, units[i].name) == 0) return units[i].ms;
  return 0;
}

bool read_time(const char *text, int64_t unit_ms, int64_t *ms) {
  int64_t whole;
  int64_t wholes;
  int64_t part = 0;
  int64_t parts = 1; /* that make a whole */
  const char *end = scan_digits(text, &whole, &wholes);

  if (*end == '.') end = scan_digits(end + 1, &part, &parts);
  if (wholes == 1 && parts == 1) return false; /* no digit at all */
  if (*end != '\0') unit_ms = unit_of(end);
  if (unit_ms == 0) return false;
  *ms = whole * unit_ms + (part * unit_ms + parts - 1) / parts;
  return true;
}

const char *write_time(int64_t ms, char out[TIME_SIZE]) {
  size_t i = UNITS - 1;

  while (i > 0 && ms % units[i].ms != 0) i--;
  snprintf(out, TIME_SIZE, "%" PRId64 "%s", ms / units[i].ms, units[i].name);
  return out;
}
