/* The proof of what WP does not know of PEM: that the words that are sought in
 * its text are strings. */
#include "proof.h"

/*@ requires valid_read_string(word); */
static scan_result scan_word(span *in, const char *word);

/* The BEGIN of a certificate. */
void pem_words(void) {
  span in = any_bytes(0);

  scan_begin(&in);
  END_OF_PROOF();
}
