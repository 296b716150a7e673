/* The proofs of dates in DER. */
#include "proof.h"

#include "dates.h"

/* A date of a certificate, which is read from what the walk keeps of it: the
 * contract is kept. */
void dates(void) {
  span in = any_bytes(0);
  int64_t unix_s;

  //@ split in.at - any_memory;
  take_date(&in, &unix_s);
  END_OF_PROOF();
}
