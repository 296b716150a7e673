/* The proofs of what the client reads from the network, TLS aside. */
#include "proof.h"

/* ---- DNS ---- */

/* Any answer to either question for a name. */
static void read_answer(span message) {
  byte query[DNS_QUERY_MAX];
  hbeat_addresses addresses;
  unsigned type = any_bool() ? TYPE_A : TYPE_AAAA;
  unsigned id = Frama_C_unsigned_int_interval(0, UINT16_MAX);
  size_t size = dns_query(query, id, "api.lucit.app", type);

  memset(&addresses, 0, sizeof addresses);
  dns_read(&addresses, message, query, size);
  END_OF_PROOF();
}

/* Places in a message count from its beginning, so it is the end that can be
 * anywhere: what is read between it and the array's end is no alarm here ... */
void dns(void) {
  span message = {any_memory, any_memory};

  Frama_C_make_unknown((char *)any_memory, BOUND);
  message.end += Frama_C_size_t_interval(0, BOUND);
  read_answer(message);
}

/* ... but here, where each length is followed by itself: that of the question
 * and a little more. */
void dns_short(void) {
  size_t size = Frama_C_size_t_interval(0, BOUND);

  Frama_C_make_unknown((char *)any_memory, BOUND);
  //@ split size;
  read_answer(span_of(any_memory + BOUND - size, size));
}
