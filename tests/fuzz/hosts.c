/* The hosts file.  Control bytes: which name, and how much is read at once;
 * then the file. */
#include "fuzz.h"

static const char *const names[] = {"localhost", "api.lucit.app", "a"};

/* What hosts(5) says, a line at a time.  A word of more than 255 bytes is no
 * name, and no address. */
static void read_plainly(span in, const char *name, hbeat_addresses *a) {
  while (in.at < in.end) {
    const byte *end = memchr(in.at, '\n', length_of(in));
    byte ip[16];
    unsigned number = 0;
    bool valid = false, comment = false;
    if (!end) end = in.end;
    while (in.at < end && !comment) {
      const byte *start = in.at;
      char word[256];
      size_t size;
      while (in.at<end && * in.at> ' ' && *in.at != '#' && *in.at != ';')
        in.at++;
      comment = in.at<end && * in.at> ' ';
      size = (size_t)(in.at - start);
      if (in.at < end) in.at++;
      if (size == 0) continue;
      number++;
      if (size > 255) size = 255;
      memcpy(word, start, size);
      word[size] = '\0';
      if (number == 1) valid = read_ip(word, ip);
      if (size > 1 && word[size - 1] == '.') word[--size] = '\0';
      if (number > 1 && valid && same_word(word, size, name))
        add_address(a, ip);
    }
    in.at = end < in.end ? end + 1 : end;
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
