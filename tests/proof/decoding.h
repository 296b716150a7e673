/* The contracts of what takes members that were found from a body.  By these
 * WP shows what is made of them, in decoding.c, for members of any size.  EVA
 * shows that those functions keep theirs: in replies.c what takes a text, a
 * time, a token, and what wipes; in calls.c and codec.c the header's own, and
 * what tells whether a value says yes. */

/*@ predicate is_none(hbeat_json v) =
      v.text == \null && v.type == HBEAT_JSON_NONE && v.size == 0;
    predicate is_readable(hbeat_json v) =
      v.size == 0 || \valid_read(v.text + (0 .. v.size - 1));
    // As it stands in a body that may end behind it.
    predicate is_text(hbeat_json v) =
      v.type == HBEAT_JSON_STRING ==>
          2 <= v.size && \valid((char *)v.text + (0 .. v.size - 1));
    // As it stands in an object that was closed.
    predicate is_value(hbeat_json v) =
      is_none(v) ||
          1 <= v.size && \valid((char *)v.text + (0 .. v.size)) && is_text(v);
    predicate are_values(hbeat_json *v, integer n) =
      \valid_read(v + (0 .. n - 1)) &&
          \forall integer i; 0 <= i < n ==> is_value(v[i]);
    predicate has_token_buffer(hbeat_request *r) =
      0 < r->token_buffer_size &&
          \valid(r->token_buffer + (0 .. r->token_buffer_size - 1));
    predicate is_outcome(integer e) =
      e == HBEAT_OK || HBEAT_ERR_STATUS <= e <= HBEAT_ERR_TOO_BIG; */

/* The bytes of a value; and the one behind it. */
#define BYTES_OF(v) ((char *)(v).text)[0..(v).size - 1]
#define BYTES_AND_NEXT(v) ((char *)(v).text)[0..(v).size]

/* What decode_members() may write to of an instruction's members. */
#define BYTES_OF_MEMBERS(found)                                                \
  BYTES_OF(found[NAME]), BYTES_OF(found[LCUID]),                               \
      BYTES_AND_NEXT(found[RUN_AT]), BYTES_AND_NEXT(found[CREATED]),           \
      BYTES_AND_NEXT(found[UPDATED])

/* ---- Shown by EVA ---- */

/*@ requires \valid_read(value) && is_text(*value);
  assigns BYTES_OF(*value), \result;
  exits \false;
  ensures \result == \null || \result == value->text + 1; */
static const char *take_text(const hbeat_json *value);

/*@ requires \valid_read(value) && is_value(*value);
  requires \valid(text) && \valid(unix_s) && \separated(text, unix_s, value);
  assigns BYTES_AND_NEXT(*value), *text, *unix_s;
  exits \false; */
static void take_time(
    const hbeat_json *value, const char **text, int64_t *unix_s);

/*@ requires \valid_read(value) && is_readable(*value) && is_text(*value);
  assigns \result;
  exits \false; */
static bool is_yes(const hbeat_json *value);

/*@ requires \valid_read(value) && is_value(*value);
  requires \valid_read(request) && has_token_buffer(request);
  requires \valid(reason);
  requires \separated((char *)value->text + (0 .. value->size), reason,
      request->token_buffer + (0 .. request->token_buffer_size - 1));
  assigns BYTES_OF(*value);
  assigns request->token_buffer[0 .. request->token_buffer_size - 1];
  assigns *reason, \result;
  exits \false;
  ensures is_outcome(\result); */
static hbeat_error take_token(
    const hbeat_request *request, const hbeat_json *value, const char **reason);

/*@ requires \valid_read(value) && is_readable(*value) && \valid(number);
  assigns *number, \result;
  exits \false; */
hbeat_error hbeat_json_number(
    const hbeat_json *value, unsigned decimals, int64_t *number);

/*@ requires \valid(container) && is_readable(*container);
  requires \valid(value) && \separated(value, container);
  requires key == \null ||
      (\valid(key) && \separated(key, value, container));
  assigns *container, *value, key[0 .. (key == \null ? -1 : 0)], \result;
  exits \false; */
bool hbeat_json_next(hbeat_json *container, hbeat_json *key, hbeat_json *value);

/*@ requires \valid_read(request) && \valid(reply);
  requires \valid(body + (0 .. body_size - 1));
  requires reply->message == \null ||
      \subset(reply->message, body + (0 .. body_size - 1));
  requires reply->message == \null || valid_read_string(reply->message);
  assigns reply->message, body[0 .. body_size - 1];
  exits \false; */
static void wipe_login(const hbeat_request *request, hbeat_reply *reply,
    char *body, size_t body_size);

/* ---- Shown by WP ---- */

/*@ requires \valid_read(member);
  assigns \result;
  exits \false;
  ensures \result <==>
      member->text != \null && member->type == HBEAT_JSON_NONE; */
static bool comes_twice(const hbeat_json *member);

/*@ requires \valid_read(member);
  assigns \result;
  exits \false;
  ensures \result <==>
      member->text != \null && member->type != HBEAT_JSON_NULL; */
static bool is_given(const hbeat_json *member);

/*@ requires are_values(found, OTHERS) && \valid(i);
  requires \separated(i, found + (0 .. OTHERS - 1));
  assigns *i;
  assigns BYTES_OF_MEMBERS(found);
  exits \false; */
static void decode_members(const hbeat_json *found, hbeat_instruction *i);

/*@ requires is_value(value);
  requires are_values(found, OTHERS) && \valid(i);
  requires \separated(i, found + (0 .. OTHERS - 1));
  assigns *i;
  assigns BYTES_OF_MEMBERS(found);
  exits \false; */
static void decode_instruction(
    hbeat_json value, const hbeat_json *found, hbeat_instruction *i);

/*@ requires are_values(body, BODY_OTHERS) && are_values(instruction, OTHERS);
  requires \valid_read(request) && \valid(r) && \valid(reason);
  requires \separated(r, reason, request, body + (0 .. BODY_OTHERS - 1),
      instruction + (0 .. OTHERS - 1));
  requires request->call == HBEAT_LOGIN ==> has_token_buffer(request) &&
      \separated((char *)body[OUTCOME].text + (0 .. body[OUTCOME].size),
          reason, r, request,
          request->token_buffer + (0 .. request->token_buffer_size - 1));
  assigns r->success, r->message, r->instruction, *reason, \result;
  assigns request->token_buffer[0 .. request->token_buffer_size - 1];
  assigns BYTES_OF(body[MESSAGE]);
  assigns BYTES_OF(body[OUTCOME]);
  assigns BYTES_OF_MEMBERS(instruction);
  exits \false;
  ensures is_outcome(\result);
  ensures r->message == \old(r->message) || r->message == \null ||
      r->message == body[MESSAGE].text + 1; */
static hbeat_error decode_success(const hbeat_request *request, hbeat_reply *r,
    const hbeat_json *body, const hbeat_json *instruction, const char **reason);

/*@ requires \valid(r) && \valid(reason);
  requires \valid_read(message) && is_text(*message);
  requires \separated(r, message, reason);
  assigns r->message, *reason, \result;
  assigns BYTES_OF(*message);
  exits \false;
  ensures \result == HBEAT_ERR_STATUS;
  ensures r->message == \null || r->message == message->text + 1; */
static hbeat_error decode_failure(
    hbeat_reply *r, const hbeat_json *message, const char **reason);
