/* The proofs of what is taken from the body of a reply.  Of the functions that
 * write to it EVA also shows that they keep their contracts in decoding.h. */
#define HBEAT_NO_NET

/* EVA takes what it reads from a volatile variable for anything, but nobody
 * changes the one in wipe(). */
#define volatile

#include <string.h>
#include <unistd.h>

/* strlen(), by a model: EVA's own does not know that it counts the same twice.
 */
static size_t model_strlen(const char *text);
#define strlen(text) model_strlen(text)
#include "proof.h"
#undef strlen

#include "copying.h"
#include "decoding.h"

static size_t model_strlen(const char *text) {
  size_t size = 0;

  while (text[size] != '\0') size++;
  return size;
}

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

/* A member's name: its number is one of the list's, which search_part() takes
 * for an index. */
void reply_names(void) {
  static const member_search searches[] = {
      {.names = body_names, .others = BODY_OTHERS},
      {.names = login_names, .others = BODY_OTHERS},
      {.names = member_names, .others = OTHERS}};
  size_t which = Frama_C_size_t_interval(0, COUNT(searches) - 1);
  size_t size = Frama_C_size_t_interval(2, BOUND);
  size_t found;
  hbeat_json name;

  //@ split which;
  //@ split size;
  name = any_value(size);
  name.type = HBEAT_JSON_STRING;
  found = find_member(&searches[which], &name);
  //@ assert found <= searches[which].others;
  END_OF_PROOF();
}

/* Texts and times, as they are taken in place. */
void reply_texts(void) {
  size_t size = Frama_C_size_t_interval(1, BOUND);
  hbeat_json value;
  const char *text;
  int64_t unix_s;

  //@ split size;
  value = any_value_or_none(size);
  if (value.text) value.text++; /* the body may end behind it */
  take_text(&value);
  value = any_value_or_none(size); /* the bytes are unknown again */
  take_time(&value, &text, &unix_s);
  END_OF_PROOF();
}

/* The token of a log-in, into memory of any size up to the longest value's. */
void reply_token(void) {
  static char buffer[BOUND];
  size_t size = Frama_C_size_t_interval(1, BOUND);
  size_t room = Frama_C_size_t_interval(1, BOUND);
  hbeat_request request = {.call = HBEAT_LOGIN};
  hbeat_json value;
  const char *reason;

  //@ split size;
  //@ split room;
  request.token_buffer = buffer + BOUND - room;
  request.token_buffer_size = room;
  value = any_value_or_none(size);
  take_token(&request, &value, &reason);
  END_OF_PROOF();
}

/* A body that is wiped.  The message in it, if there is one, stands anywhere:
 * it was a string, so that its NUL is in the body, too.  (The byte behind the
 * body is for Frama-C's memset(), which wants one even to set none.) */
void reply_wiped(void) {
  size_t size = Frama_C_size_t_interval(0, BOUND);
  size_t at = Frama_C_size_t_interval(0, BOUND);
  hbeat_request request = {.call = (hbeat_call)Frama_C_unsigned_int_interval(
                               HBEAT_BEAT, HBEAT_LOGIN)};
  hbeat_reply reply = {.message = NULL};
  char *body;

  //@ split size;
  //@ split at;
  body = (char *)any_body + BOUND - size;
  Frama_C_make_unknown((char *)any_body, sizeof any_body);
  if (at < size) {
    body[size - 1] = '\0';
    reply.message = body + at;
  }
  wipe_login(&request, &reply, body, size);
  END_OF_PROOF();
}

/* Why a body is no JSON. */
void reply_errors(void) {
  why_not_json(any_error(), any_bytes(0));
  END_OF_PROOF();
}
