/*
 * What the fuzzers share.  Each is a program of libFuzzer's that includes the
 * whole library, so that it reaches what is static, and says what must hold
 * of any input; the sanitizers say the rest.
 *
 * An input begins with a few control bytes, from which the fuzzer chooses
 * sizes and splits: in the seeds they are printable where the rest is.
 *
 * Included first, by one file a program.
 */
#ifndef FUZZ_H
#define FUZZ_H

#include "../../heartbeat.c"
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What must hold.  libFuzzer keeps the input where it does not. */
#define EXPECT(condition) expect_that(condition, #condition, __FILE__, __LINE__)

static inline void expect_that(
    bool holds, const char *condition, const char *file, int line) {
  if (holds) return;
  fprintf(stderr, "%s:%d: not so: %s\n", file, line, condition);
  abort();
}

/* Takes a control byte off the input: zero where there is none. */
static inline byte control(span *in) {
  return in->at < in->end ? *in->at++ : 0;
}

/* Copies bytes to where reading past them is found out; one copy at a time. */
static inline byte *at_end(const void *bytes, size_t size) {
  enum { ROOM = 1 << 16 };
  static byte *room;
  if (!room) room = malloc(ROOM);
  EXPECT(room && size <= ROOM);
  if (size > 0) memcpy(room + ROOM - size, bytes, size);
  return room + ROOM - size;
}

/* Memory that is zero, and of exactly this size. */
static inline void *memory(size_t size) {
  void *p = calloc(size, 1);
  EXPECT(p);
  return p;
}

static inline uint32_t next_random(uint32_t *state) {
  *state ^= *state << 13; /* Marsaglia's xorshift32; a seed is not zero */
  *state ^= *state >> 17;
  *state ^= *state << 5;
  return *state;
}

/* How many bytes the next piece of an input has that is fed in pieces: all
 * for `choice` 0, one for 1, else any number up to `choice`. */
static inline size_t next_piece(size_t left, byte choice, uint32_t *state) {
  size_t n = choice < 2 ? choice : 1 + next_random(state) % choice;
  return n == 0 || n > left ? left : n;
}

/* A file with these bytes, of which one read takes up to `choice` + 1. */
static inline word_reader file_of(span in, byte chunk[256], byte choice) {
  word_reader w = {.buffer = chunk, .size = choice + 1u};
  size_t size = length_of(in);
  int ends[2];
  EXPECT(pipe(ends) == 0); /* which has room for every input */
  EXPECT(write(ends[1], in.at, size) == (ssize_t)size);
  close(ends[1]);
  w.fd = ends[0];
  return w;
}

/* Not by the library's own table: by the code points that come out. */
static inline void expect_utf8(const char *text) {
  static const uint32_t least[] = {0, 0x80, 0x800, 0x10000};
  const byte *at = (const byte *)text;
  while (*at != 0) {
    unsigned more = (*at >= 0xC0) + (*at >= 0xE0) + (*at >= 0xF0), i;
    uint32_t code = more == 0 ? *at : *at & (0x3Fu >> more);
    EXPECT(*at < 0x80 || (*at >= 0xC0 && *at < 0xF8));
    for (at++, i = 0; i < more; i++, at++) {
      EXPECT((*at & 0xC0) == 0x80);
      code = code << 6 | (*at & 0x3F);
    }
    EXPECT(code >= least[more] && code <= 0x10FFFF);
    EXPECT(code < 0xD800 || code > 0xDFFF);
  }
}

#endif
