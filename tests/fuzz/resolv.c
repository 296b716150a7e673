/* The resolver's configuration.  A control byte: how much is read at once;
 * then the file. */
#include "fuzz.h"

static void check(const resolver *r) {
  EXPECT(r->count >= 1 && r->count <= COUNT(r->servers));
  EXPECT(r->timeout_s >= 1 && r->timeout_s <= 30);
  EXPECT(r->attempts >= 1 && r->attempts <= 5);
}

static void expect_same(const resolver *a, const resolver *b) {
  unsigned i;
  EXPECT(a->count == b->count && a->timeout_s == b->timeout_s);
  EXPECT(a->attempts == b->attempts && a->over_tcp == b->over_tcp);
  for (i = 0; i < a->count; i++) {
    EXPECT(memcmp(a->servers[i].ip, b->servers[i].ip, 16) == 0);
    EXPECT(a->servers[i].scope == b->servers[i].scope);
  }
}

static void read_memory(span in, resolver *r) {
  word_reader w = {.fd = -1, .size = length_of(in)};
  w.end = w.size;
  w.buffer = at_end(in.at, w.size);
  memset(r, 0xA5, sizeof *r);
  read_resolv(&w, r);
  check(r);
}

/* A line behind all others counts, and takes nothing from them. */
static void check_more(const resolver *whole, span in) {
  static const char more[] =
      "\nnameserver 2001:db8::77\noptions attempts:4\nsearch use-vc";
  static const byte ip[16] = {0x20, 1, 0xD, 0xB8, [15] = 0x77};
  static const byte local[16] = {[10] = 0xFF, 0xFF, 0x7F, 0, 0, 1};
  size_t size = length_of(in);
  byte *text = memory(size + sizeof more);
  resolver longer;
  memcpy(text, in.at, size);
  memcpy(text + size, more, sizeof more - 1);
  read_memory(span_of(text, size + sizeof more - 1), &longer);
  EXPECT(longer.timeout_s == whole->timeout_s && longer.attempts == 4);
  EXPECT(longer.over_tcp == whole->over_tcp);
  if (longer.count > whole->count)
    EXPECT(memcmp(longer.servers[whole->count].ip, ip, 16) == 0);
  else if (whole->count == 1) /* which was none, but the local one */
    EXPECT(memcmp(whole->servers[0].ip, local, 16) == 0 &&
        memcmp(longer.servers[0].ip, ip, 16) == 0);
  else EXPECT(whole->count == COUNT(whole->servers));
  free(text);
}

/* A byte order mark in front is nothing to a text that has none. */
static void check_mark(const resolver *whole, span in) {
  static const byte mark[] = {0xEF, 0xBB, 0xBF};
  size_t size = length_of(in);
  byte *text = memory(size + sizeof mark);
  resolver marked;
  memcpy(text, mark, sizeof mark);
  if (size > 0) memcpy(text + sizeof mark, in.at, size);
  read_memory(span_of(text, size + sizeof mark), &marked);
  if (!memchr(text + sizeof mark, mark[0], size)) expect_same(whole, &marked);
  free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  span in = span_of(data, size);
  byte choice = control(&in), chunk[256];
  resolver whole, pieces;
  word_reader w = file_of(in, chunk, choice);
  read_memory(in, &whole);
  memset(&pieces, 0x5A, sizeof pieces);
  read_resolv(&w, &pieces);
  EXPECT(w.fd == -1);
  expect_same(&whole, &pieces);
  check_more(&whole, in);
  check_mark(&whole, in);
  return 0;
}
