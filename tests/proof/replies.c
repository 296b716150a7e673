/* The proofs of what is taken from the body of a reply. */
#include "proof.h"

#include "copying.h"

/* A value that the parser has found, of this size: it stands inside an object,
 * so that there is a byte behind it. */
static byte any_body[BOUND + 1];

static hbeat_json any_value(size_t size) {
  hbeat_json value = {
      (hbeat_json_type)Frama_C_unsigned_int_interval(0, HBEAT_JSON_OBJECT),
      (const char *)any_body + BOUND - size, size};

  Frama_C_make_unknown((char *)any_body, sizeof any_body);
  if (size < 2 && value.type == HBEAT_JSON_STRING) return no_value;
  return value;
}

static hbeat_json any_value_or_none(size_t size) {
  return any_bool() ? any_value(size) : no_value;
}

/* Texts and times, as they are taken in place. */
void reply_texts(void) {
  size_t size = Frama_C_size_t_interval(1, BOUND);
  hbeat_json value;
  const char *text;
  int64_t unix_s;

  //@ split size;
  value = any_value_or_none(size);
  take_text(&value);
  value = any_value_or_none(size); /* the bytes are unknown again */
  take_time(&value, &text, &unix_s);
  END_OF_PROOF();
}

/* Why a body is no JSON. */
void reply_errors(void) {
  why_not_json(any_error(), any_bytes(0));
  END_OF_PROOF();
}
