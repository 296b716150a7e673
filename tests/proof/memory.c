/* The proofs of the memory. */
#include "proof.h"

/* The bytes of a memory, sound or not: any that a file may hold. */
static hbeat_memory any_kept(void) {
  hbeat_memory m;

  Frama_C_make_unknown((char *)&m, sizeof m);
  return m;
}

/* The walk from record to record, the seal and the time, of any bytes. */
void memory_walk(void) {
  hbeat_memory m = any_kept();
  enum record_state state = (enum record_state)any_byte();
  int64_t time_s = Frama_C_long_long_interval(INT64_MIN, INT64_MAX);
  hbeat_limits limits;

  Frama_C_make_unknown((char *)&limits, sizeof limits);
  count_records(&m);
  free_size(&m);
  far_size(&m, time_s);
  memory_record *r = first_in(&m, state);
  if (r) stale_age_s(r, time_s, &limits);
  is_sealed(&m, any_byte());
  learn_time(&m, time_s);
  mend_seal(&m);
  END_OF_PROOF();
}
