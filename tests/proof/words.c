/* The proof of what WP does not know of PEM: that the words that are sought in
 * its text are strings.  memchr() finds a byte anywhere here, or none; that
 * there is what it looks at is among what WP shows. */
#include <string.h>

static const void *any_place(void);

#define memchr(in, c, size) any_place()

#include "proof.h"

static const void *any_place(void) {
  return any_bool() ? any_memory + Frama_C_size_t_interval(0, BOUND - 1) : NULL;
}

/*@ requires valid_read_string(word); */
static scan_result scan_word(span *in, const char *word);

/* The BEGIN of a certificate. */
void pem_words(void) {
  span in = any_bytes(0);

  scan_begin(&in);
  END_OF_PROOF();
}
