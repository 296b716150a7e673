/*
 * A program that does one thing so many times, by the name of the thing: what
 * that costs is the difference of two counts, as tests/bench/run takes it.
 */
#ifndef ROWS_H
#define ROWS_H

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

struct row {
  const char *name;
  void (*run)(unsigned count);
};

static inline void quit(const char *why) {
  fprintf(stderr, "bench: %s\n", why);
  exit(1);
}

static inline void run_row(const struct row *rows, size_t row_count,
    const char *name, const char *count) {
  for (size_t i = 0; i < row_count; i++) {
    if (strcmp(name, rows[i].name) != 0) continue;
    rows[i].run((unsigned)strtoul(count, NULL, 10));
    return;
  }
  quit("there is no such row");
}

#endif
