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

/* May do all that it may to the anchors. */
/*@ assigns *a \from text; */
static hbeat_error add_anchor(hbeat_anchors *a, pem_label label, span text);

/* The BEGIN of a certificate, and what is behind it. */
void pem_words(void) {
  static hbeat_anchors a;
  span in = any_bytes(0);
  unsigned label = Frama_C_unsigned_int_interval(0, PEM_LABELS - 1);

  scan_begin(&in);
  in = any_bytes(0);
  //@ split label;
  add_certificate(&a, (pem_label)label, &in);
  END_OF_PROOF();
}
