/* The keys and certificates that tests/certs has made, for the fuzzers that
 * sign or serve with them. */
#ifndef FUZZ_CERTS_H
#define FUZZ_CERTS_H

#include <stdio.h>
#include <stdlib.h>

/* Reads NAME.TYPE of $B/certs, as far as there is room; returns its size. */
static inline size_t read_cert_file(
    const char *name, const char *type, void *out, size_t room) {
  const char *b = getenv("B");
  char path[512];
  size_t size;
  FILE *f;

  snprintf(path, sizeof path, "%s/certs/%s.%s", b ? b : "build", name, type);
  f = fopen(path, "rb");
  if (!f) {
    fprintf(stderr, "%s: run make's target for certs: cannot open\n", path);
    abort();
  }
  size = fread(out, 1, room, f);
  fclose(f);
  return size;
}

#endif
