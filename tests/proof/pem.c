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

/* The two contracts that WP cannot show. */
void pem_tables(void) {
  byte values[256];
  size_t n = Frama_C_size_t_interval(0, PEM_LABELS - 1);

  //@ split n;
  nth_text(pem_labels, n);
  base64_values(values);
  END_OF_PROOF();
}
