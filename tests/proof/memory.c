/* The proofs of the memory. */
#define HBEAT_NO_NET
#include "proof.h"

#include "copying.h"

/* What records.c has of these for WP: they write to nothing, and the number is
 * of two bytes. */

/*@ assigns \result;
  ensures 0 <= \result <= UINT16_MAX; */
static unsigned read_16(const byte *at);

/*@ assigns \result; */
static bool is_record(span in);

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
  unsigned size = read_16(m.records);

  //@ assert size <= UINT16_MAX;
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

/* Whether bytes are a record, of any size that it can say. */
void record(void) {
  is_record(any_bytes(0));
  END_OF_PROOF();
}

/* A text of any length that is cut to the longest there is, or to any of up to
 * SHORT bytes: EVA follows each by itself.  And bytes that are turned round,
 * from any place to any other. */
void memory_texts(void) {
  enum { SHORT = 512 };
  size_t room = Frama_C_size_t_interval(0, SHORT);
  span text = any_bytes(0);
  span other_text = text;

  cut_text(&text, HBEAT_INSTRUCTION_MAX);
  reverse(any_memory + Frama_C_size_t_interval(0, BOUND),
      any_memory + Frama_C_size_t_interval(0, BOUND));
  //@ split room;
  cut_text(&other_text, room);
  END_OF_PROOF();
}
