/* The hosts file.  Control bytes: which name, and how much is read at once;
 * then the file. */
#include "fuzz.h"

static const char *const names[] = {"localhost", "api.lucit.app", "a"};

enum { WORD_MAX = 255 };

/* Takes the next line off a file, without its end. */
static span next_line(span *in) {
  const byte *feed = memchr(in->at, '\n', length_of(*in));
  span line = {in->at, feed ? feed : in->end};
  in->at = feed ? feed + 1 : in->end;
  return line;
}

/* Takes off what is behind a comment's sign. */
static void drop_comment(span *line) {
  for (const byte *at = line->at; at < line->end; at++)
    if (*at == '#' || *at == ';') line->end = at;
}

static bool is_gap(byte b) {
  return b <= ' ';
}

/* Takes the next word off a line, cut where it is too long; returns its size,
 * which is zero behind the last one. */
static size_t plain_word(span *line, char word[WORD_MAX + 1]) {
  span rest = *line, taken;
  size_t size;
  while (rest.at < rest.end && is_gap(*rest.at)) rest.at++;
  taken = rest;
  while (rest.at < rest.end && !is_gap(*rest.at)) rest.at++;
  taken.end = rest.at;
  *line = rest;
  size = length_of(taken) > WORD_MAX ? WORD_MAX : length_of(taken);
  memcpy(word, taken.at, size);
  word[size] = '\0';
  return size;
}

/* Takes a byte order mark off the first word of a file; returns what is left of
 * its size. */
static size_t drop_mark(char *word, size_t size) {
  if (strncmp(word, "\xEF\xBB\xBF", 3) != 0) return size;
  memmove(word, word + 3, size - 3 + 1);
  return size - 3;
}

/* What hosts(5) says, a line at a time.  A word of more than 255 bytes is no
 * name, and no address; a byte order mark is no part of the first. */
static void read_plainly(span in, const char *name, hbeat_addresses *a) {
  bool first = true;
  while (in.at < in.end) {
    span line = next_line(&in);
    char word[WORD_MAX + 1];
    byte ip[16];
    size_t size;
    drop_comment(&line);
    size = plain_word(&line, word);
    if (first && size > 0) {
      first = false;
      if (drop_mark(word, size) == 0) plain_word(&line, word);
    }
    if (!read_ip(word, ip)) continue;
    while ((size = plain_word(&line, word)) > 0) {
      if (size > 1 && word[size - 1] == '.') word[--size] = '\0';
      if (same_word(span_of(word, size), name)) add_address(a, ip);
    }
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  span in = span_of(data, size);
  const char *name = names[control(&in) % COUNT(names)];
  byte choice = control(&in), chunk[256];
  hbeat_addresses whole, pieces, plain;
  word_reader w = {.fd = -1, .size = length_of(in)};
  memset(&whole, 0, sizeof whole);
  plain = pieces = whole;
  w.end = w.size;
  w.buffer = at_end(in.at, w.size);
  read_hosts(&w, name, &whole);
  w = file_of(in, chunk, choice);
  read_hosts(&w, name, &pieces);
  EXPECT(w.fd == -1);
  read_plainly(in, name, &plain);
  EXPECT(whole.count <= COUNT(whole.list));
  EXPECT(memcmp(&whole, &pieces, sizeof whole) == 0);
  EXPECT(memcmp(&whole, &plain, sizeof whole) == 0);
  return 0;
}
