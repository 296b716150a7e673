/* The proofs of what needs neither sockets nor BearSSL. */
#define HBEAT_NO_NET
#include "proof.h"

#include "decoding.h"

/* ---- Scanning ---- */

void scanning(void) {
  const span in = any_bytes(0);
  span rest = in;
  int number;

  scan_byte(&rest, (char)any_byte());
  rest = in;
  scan_either(&rest, (char)any_byte(), (char)any_byte());
  rest = in;
  scan_mark(&rest, (char)any_byte());
  rest = in;
  scan_word(&rest, "HTTP/1.");
  rest = in;
  scan_digits(&rest);
  rest = in;
  scan_number(&rest, 4, &number);
  rest = in;
  take_digits(&rest, Frama_C_size_t_interval(0, SIZE_MAX), 0,
      (uint64_t)INT64_MAX + any_bool());
  end_of_run(in, any_byte(), any_byte(), any_byte());
  END_OF_PROOF();
}

/* ---- UTF-8 ---- */

void utf8(void) {
  span in = any_bytes(1);
  byte out[4];

  scan_utf8(&in);
  utf8_write(Frama_C_unsigned_int_interval(0, 0x10FFFF), out);
  END_OF_PROOF();
}

/* ---- JSON ---- */

void json_out(void) {
  span in = any_bytes(1);
  byte unit[UNIT_MAX];

  json_escape(&in, unit);
  END_OF_PROOF();
}

void json_in(void) {
  hbeat_json value;

  take_document(any_bytes(0), NULL, &value);
  END_OF_PROOF();
}

static hbeat_json_type any_json_type(void) {
  return (hbeat_json_type)Frama_C_unsigned_int_interval(0, HBEAT_JSON_OBJECT);
}

/* Two calls of the header.  EVA does not know that the text ends where its size
 * says unless the size is one number: all texts of this one length. */
void json_calls(void) {
  hbeat_json container = {
      any_json_type(), (const char *)any_bytes(BOUND).at, BOUND};
  hbeat_json key;
  hbeat_json value;

  hbeat_json_parse(container.text, BOUND, &value);
  hbeat_json_next(&container, any_bool() ? &key : NULL, &value);
  END_OF_PROOF();
}

/* Whether a value of a reply says yes. */
void json_yes(void) {
  size_t size = Frama_C_size_t_interval(0, BOUND);
  hbeat_json value = {.type = any_json_type()};

  //@ split size;
  value.text = (const char *)any_bytes(BOUND).at + BOUND - size;
  value.size = size;
  if (size < 2 && value.type == HBEAT_JSON_STRING) return;
  is_yes(&value);
  END_OF_PROOF();
}

/* ---- Times ---- */

void times(void) {
  const char *text = any_text();

  read_http_date(text);
  read_api_time(text);
  END_OF_PROOF();
}

/* ---- Schedule ---- */

void scheduling(void) {
  hbeat_policy policy;
  hbeat_reply reply;
  uint32_t failures = Frama_C_unsigned_int_interval(0, UINT32_MAX);

  Frama_C_make_unknown((char *)&policy, sizeof policy);
  Frama_C_make_unknown((char *)&reply, sizeof reply);
  hbeat_next_ms(&policy, &failures, any_error(), any_bool() ? &reply : NULL,
      Frama_C_unsigned_int_interval(0, UINT32_MAX));
  END_OF_PROOF();
}
