/*
 * What the unit tests share.  A topic is a table, a case a row of it.  A row's
 * first member is its name, often followed by the input; the other members are
 * named, and those left out are zero.  Each row becomes a test of its own.  One
 * that fails prints the row's name, its input and both values.
 *
 * Included first, by one file a program.
 */
#ifndef CASES_H
#define CASES_H

#define _DEFAULT_SOURCE /* MAP_ANONYMOUS, mkdtemp */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>
#include "heartbeat.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define TEXT(literal) (literal), sizeof(literal) - 1 /* NULs and all */

/* ---- Rows to tests ------------------------------------------------------ */

/* cmocka passes over the entries that stay zero. */
static struct CMUnitTest cases_tests[1024];

static inline void cases_add(
    const char *name, CMUnitTestFunction test, const void *row) {
  static size_t count;

  if (count == COUNT(cases_tests)) {
    fputs("cases.h: more cases than room\n", stderr);
    abort();
  }
  cases_tests[count].name = name;
  cases_tests[count].test_func = test;
  cases_tests[count].initial_state = (void *)(uintptr_t)row;
  count++;
}

/* Adds every row of a table, whose rows begin with `const char *name`. */
static inline void cases_add_table(
    CMUnitTestFunction test, const void *table, size_t row_size, size_t count) {
  for (size_t i = 0; i < count; i++) {
    const void *row = (const char *)table + i * row_size;
    cases_add(*(const char *const *)row, test, row);
  }
}

#define cases_add_rows(test, table)                                            \
  cases_add_table(test, table, sizeof *(table), COUNT(table))

static inline int cases_run(const char *group) {
  return cmocka_run_group_tests_name(group, cases_tests, NULL, NULL);
}

/* ---- What a failing row prints ------------------------------------------ */

static struct {
  const char *name;
  const void *input;
  size_t size;
} cases_hand;

/* Says which case, with which input, the expectations after it are about. */
static inline void in_hand(const char *name, const void *input, size_t size) {
  cases_hand.name = name;
  cases_hand.input = input;
  cases_hand.size = size;
}

static inline void print_bytes(
    const char *label, const void *bytes, size_t size) {
  enum { SHOWN = 400 };
  const unsigned char *b = bytes;

  print_message("#   %s ", label);
  if (b == NULL) {
    print_message("NULL\n");
    return;
  }
  print_message("\"");
  for (size_t i = 0; i < size && i < SHOWN; i++) {
    if (b[i] >= 0x20 && b[i] < 0x7F && b[i] != '"' && b[i] != '\\')
      print_message("%c", b[i]);
    else print_message("\\x%02X", b[i]);
  }
  print_message("\"%s (%zu bytes)\n", size > SHOWN ? "..." : "", size);
}

static inline void print_case(const char *what) {
  print_message("# case: %s: %s\n", cases_hand.name, what);
  print_bytes("input   ", cases_hand.input, cases_hand.size);
}

static inline void expect_int(const char *what, int64_t got, int64_t expected) {
  if (got == expected) return;
  print_case(what);
  print_message("#   got      %lld\n", (long long)got);
  print_message("#   expected %lld\n", (long long)expected);
  fail();
}

static inline void expect_true(const char *what, bool got) {
  expect_int(what, got, true);
}

static inline void expect_error(
    const char *what, hbeat_error got, hbeat_error expected) {
  if (got == expected) return;
  print_case(what);
  print_message("#   got      %s\n", hbeat_error_name(got));
  print_message("#   expected %s\n", hbeat_error_name(expected));
  fail();
}

static inline void expect_bytes(const char *what, const void *got, size_t size,
    const void *expected, size_t expected_size) {
  if (size == expected_size && memcmp(got, expected, size) == 0) return;
  print_case(what);
  print_bytes("got     ", got, size);
  print_bytes("expected", expected, expected_size);
  fail();
}

/* Compares strings; either may be NULL. */
static inline void expect_text(
    const char *what, const char *got, const char *expected) {
  if (got != NULL && expected != NULL) {
    expect_bytes(what, got, strlen(got), expected, strlen(expected));
  } else if (got != expected) {
    print_case(what);
    print_bytes("got     ", got, got ? strlen(got) : 0);
    print_bytes("expected", expected, expected ? strlen(expected) : 0);
    fail();
  }
}

/* ---- Memory that faults ------------------------------------------------- */

/* Bytes between two pages that fault when they are touched. */
typedef struct fenced {
  char *begin, *end;
} fenced;

/* Gives `room` bytes or more, for as long as the program runs. */
static inline fenced fence(size_t room) {
  size_t page = (size_t)sysconf(_SC_PAGESIZE);
  size_t inner = (room + page - 1) / page * page;
  char *map = mmap(NULL, inner + 2 * page, PROT_READ | PROT_WRITE,
      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  fenced f;

  if (map == MAP_FAILED || mprotect(map, page, PROT_NONE) != 0 ||
      mprotect(map + page + inner, page, PROT_NONE) != 0) {
    perror("cases.h: fence");
    abort();
  }
  f.begin = map + page;
  f.end = f.begin + inner;
  return f;
}

/* Copies bytes to the place where the next one past them faults. */
static inline char *at_end(const fenced *f, const void *bytes, size_t size) {
  return memcpy(f->end - size, bytes, size);
}

/* ---- Numbers that are the same in every run ----------------------------- */

static inline uint64_t next_random(uint64_t *state) {
  *state ^= *state << 13; /* Marsaglia's xorshift64; a seed is not zero */
  *state ^= *state >> 7;
  *state ^= *state << 17;
  return *state;
}

#endif
