/* The proofs of what reads the text of certificates.  WP does not follow a
 * byte through a pointer to void, as memchr()'s are: so it stands here with
 * pointers to bytes, and does what C says of it. */
#include <stddef.h>
#include <string.h>

/*@ requires \valid_read(in + (0 .. size - 1));
  assigns \result \from in;
  ensures \result == \null || \subset(\result, in + (0 .. size - 1)); */
static unsigned char *find_byte(const unsigned char *in, int c, size_t size);

#define memchr(in, c, size) find_byte((const unsigned char *)(in), c, size)

#include "proof.h"

#include "pem.h"

/* A text of BOUND bytes, by the contracts. */
void pem_call(void) {
  static hbeat_anchors a;

  Frama_C_make_unknown((char *)any_memory, BOUND);
  a.arena = any_bool() ? any_text_memory : NULL;
  hbeat_anchors_pem(&a, any_memory, BOUND);
  END_OF_PROOF();
}

/* The two contracts that WP cannot show. */
void pem_tables(void) {
  byte values[256];
  size_t n = Frama_C_size_t_interval(0, PEM_LABELS - 1);

  //@ split n;
  nth_text(pem_labels, n);
  base64_values(values);
  END_OF_PROOF();
}
