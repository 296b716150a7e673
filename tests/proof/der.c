/* The proofs of DER. */
#include "proof.h"

#include "dates.h"

/* An element of any bytes: what is taken, and what is left, lie inside. */
void der(void) {
  span in = any_bytes(0);
  span content;

  //@ split in.at - any_memory;
  if (der_take(&in, any_byte(), &content)) {
    //@ assert content.at <= content.end && content.end <= in.end;
    //@ assert in.at <= in.end;
  }
  END_OF_PROOF();
}

/* A date of a certificate, which is read from what the walk keeps of it: the
 * contract is kept. */
void dates(void) {
  span in = any_bytes(0);
  int64_t unix_s;

  //@ split in.at - any_memory;
  take_date(&in, &unix_s);
  END_OF_PROOF();
}
