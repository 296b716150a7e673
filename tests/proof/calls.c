/* The proofs of the calls that read a JSON value of the caller's.  What they do
 * to the bytes is shown for spans, of any length up to BOUND, and the calls
 * themselves, which make a span of a text and its size, for each size up to
 * SHORT: EVA does not know that a text ends where its size says unless the size
 * is one number. */
#define HBEAT_NO_NET
#include "proof.h"

#include "copying.h"
#include "decoding.h"

enum { SHORT = 4 };

static hbeat_json value_of_size(size_t size) {
  hbeat_json value = {
      (hbeat_json_type)Frama_C_unsigned_int_interval(0, HBEAT_JSON_OBJECT),
      (const char *)any_memory + BOUND - size, size};

  Frama_C_make_unknown((char *)any_memory, BOUND);
  return value;
}

/* ---- hbeat_json_number() ---- */

void json_number(void) {
  size_t size = Frama_C_size_t_interval(0, SHORT);
  unsigned decimals = Frama_C_unsigned_int_interval(0, UINT_MAX);
  hbeat_json value;
  int64_t number;

  read_json_number(any_bytes(0), decimals, &number);
  //@ split size;
  value = value_of_size(size);
  hbeat_json_number(&value, decimals, &number);
  END_OF_PROOF();
}

/* ---- hbeat_json_string() ---- */

static byte out_memory[BOUND];

/* Memory of this size to write to, which ends where its array ends; there is
 * none of no byte. */
static char *out_of(size_t size) {
  return size > 0 ? (char *)out_memory + BOUND - size : NULL;
}

void json_string(void) {
  size_t size = Frama_C_size_t_interval(0, SHORT);
  size_t out_size = Frama_C_size_t_interval(0, SHORT);
  hbeat_json value;

  unescape(any_bytes(0), out_of(BOUND), BOUND);
  //@ split out_size;
  unescape(any_bytes(0), out_of(out_size), out_size);
  //@ split size;
  value = value_of_size(size);
  hbeat_json_string(&value, out_of(out_size), out_size);
  END_OF_PROOF();
}
