/*
 * Bodies decoded: every field of the instruction, the forms that the API's
 * times come in, and parameters of any shape; replies to reports and log-ins,
 * and where a token goes.  A body lies so that the byte before it or the byte
 * behind it faults.
 */
#include "cases.h"

#define NONE HBEAT_NONE
#define NAMED "\"instruction\":\"reload\""
#define WITH(members)                                                          \
  "{\"success\":true,\"lightning_device_remote_instruction\":{" members "}}"

static fenced bodies;

/* Decodes a copy at the end of its page, and one at the beginning. */
static hbeat_error decode_as(
    const hbeat_request *request, hbeat_reply *reply, const char *body) {
  hbeat_reply other;
  const char *what = "untouched", *other_what;
  size_t size = strlen(body);
  hbeat_error e, other_e;

  memset(&other, 0, sizeof other);
  memcpy(bodies.begin, body, size);
  other_e = hbeat_decode(request, &other, bodies.begin, size, &other_what);
  memset(reply, 0, sizeof *reply);
  e = hbeat_decode(request, reply, at_end(&bodies, body, size), size, &what);
  expect_error("the same anywhere", e, other_e);
  if (e != HBEAT_OK) expect_true("a reason", what != NULL && *what != '\0');
  else expect_text("no reason", what, NULL);
  expect_int("success is HBEAT_OK", reply->success, e == HBEAT_OK);
  return e;
}

static hbeat_error decode(hbeat_reply *reply, const char *body) {
  static const hbeat_request beat = {.call = HBEAT_BEAT};

  return decode_as(&beat, reply, body);
}

/* ---- The reference's reply ---------------------------------------------- */

static const char REFERENCE[] =
    "{\n"
    "  \"success\": true,\n"
    "  \"lightning_device_remote_instruction\": {\n"
    "    \"instruction\": \"reload\",\n"
    "    \"parameters\": [],\n"
    "    \"run_at\": null,\n"
    "    \"status\": 1,\n"
    "    \"lcuid\": \"LCUID-LDRI-262ca932-dda6-4233-8c4f-a497481388b3\",\n"
    "    \"created_at\": \"2026-01-07T00:15:19.000000Z\",\n"
    "    \"updated_at\": \"2026-01-07T00:15:20.000000Z\"\n"
    "  }\n"
    "}\n";

static void test_reference(void **state) {
  hbeat_reply reply;
  const hbeat_instruction *i = &reply.instruction;

  (void)state;
  in_hand("the reference's reply", TEXT(REFERENCE));
  expect_error("the outcome", decode(&reply, REFERENCE), HBEAT_OK);
  expect_text("message", reply.message, NULL);
  expect_text("instruction", i->name, "reload");
  expect_int("parameters", i->parameters.type, HBEAT_JSON_ARRAY);
  expect_bytes(
      "parameters", i->parameters.text, i->parameters.size, TEXT("[]"));
  expect_text("run_at", i->run_at, NULL);
  expect_int("run_at_s", i->run_at_s, NONE);
  expect_int("status", i->status, 1);
  expect_text(
      "lcuid", i->lcuid, "LCUID-LDRI-262ca932-dda6-4233-8c4f-a497481388b3");
  expect_text("created_at", i->created_at, "2026-01-07T00:15:19.000000Z");
  expect_int("created_at_s", i->created_at_s, 1767744919);
  expect_text("updated_at", i->updated_at, "2026-01-07T00:15:20.000000Z");
  expect_int("updated_at_s", i->updated_at_s, 1767744920);
}

/* Row: one member beside the name, and what becomes of the fields. */
static const struct member_row {
  const char *name;
  const char *member;
  const char *lcuid;
  int64_t status;
} MEMBERS[] = {
    {"only a name", "\"x\":0", .status = NONE},
    {"an lcuid", "\"lcuid\":\"LCUID-LDRI-1\"", .lcuid = "LCUID-LDRI-1",
        .status = NONE},
    {"an lcuid of null", "\"lcuid\":null", .status = NONE},
    {"an empty lcuid", "\"lcuid\":\"\"", .lcuid = "", .status = NONE},
    {"an lcuid in escapes", "\"lcuid\":\"\\u004cC\\/\\uD83D\\uDE00\"",
        .lcuid = "LC/\xF0\x9F\x98\x80", .status = NONE},
    {"an lcuid that holds U+0000", "\"lcuid\":\"a\\u0000b\"",
        .lcuid = "a\xEF\xBF\xBD"
                 "b",
        .status = NONE},
    {"status 0", "\"status\":0", .status = 0},
    {"status 2", "\"status\":2", .status = 2},
    {"a status that nobody knows", "\"status\":99", .status = 99},
    {"a negative status", "\"status\":-1", .status = -1},
    {"a status past int32", "\"status\":4294967296", .status = 4294967296},
    {"a status of null", "\"status\":null", .status = NONE},
};

static void test_member(void **state) {
  const struct member_row *row = *state;
  hbeat_reply reply;
  char body[300];

  in_hand(row->name, row->member, strlen(row->member));
  sprintf(body, WITH(NAMED ",%s"), row->member);
  expect_error("the outcome", decode(&reply, body), HBEAT_OK);
  expect_text("instruction", reply.instruction.name, "reload");
  expect_text("lcuid", reply.instruction.lcuid, row->lcuid);
  expect_int("status", reply.instruction.status, row->status);
  expect_int(
      "no parameters", reply.instruction.parameters.type, HBEAT_JSON_NONE);
  expect_text("run_at", reply.instruction.run_at, NULL);
  expect_int("run_at_s", reply.instruction.run_at_s, NONE);
  expect_int("created_at_s", reply.instruction.created_at_s, NONE);
}

/* All strings live in the body, one beside the other. */
static void test_neighbours(void **state) {
  static const char BODY[] =
      WITH("\"updated_at\":\"\\u0075\",\"created_at\":\"\\u0063\","
           "\"lcuid\":\"\\u006c\",\"run_at\":\"\\u0072\","
           "\"parameters\":[\"\\u0070\"],\"instruction\":\"\\u0069\"");
  hbeat_reply reply;

  (void)state;
  in_hand("strings that get shorter", TEXT(BODY));
  expect_error("the outcome", decode(&reply, BODY), HBEAT_OK);
  expect_text("instruction", reply.instruction.name, "i");
  expect_text("run_at", reply.instruction.run_at, "r");
  expect_text("lcuid", reply.instruction.lcuid, "l");
  expect_text("created_at", reply.instruction.created_at, "c");
  expect_text("updated_at", reply.instruction.updated_at, "u");
  expect_bytes("parameters, as they came", reply.instruction.parameters.text,
      reply.instruction.parameters.size, TEXT("[\"\\u0070\"]"));
}

/* ---- Every type in every field ------------------------------------------ */

enum field { NAME, PARAMS, RUN_AT, STATUS, LCUID, CREATED, UPDATED, FIELDS };

static const char *const FIELD_NAMES[FIELDS] = {
    [NAME] = "instruction",
    [PARAMS] = "parameters",
    [RUN_AT] = "run_at",
    [STATUS] = "status",
    [LCUID] = "lcuid",
    [CREATED] = "created_at",
    [UPDATED] = "updated_at",
};

static const char *const USUAL[FIELDS] = {
    [NAME] = "\"reload\"",
    [PARAMS] = "[7]",
    [RUN_AT] = "\"2026-01-07T00:15:21Z\"",
    [STATUS] = "1",
    [LCUID] = "\"LCUID-LDRI-1\"",
    [CREATED] = "\"2026-01-07T00:15:19Z\"",
    [UPDATED] = "\"2026-01-07T00:15:20Z\"",
};

/* What an instruction is to be. */
typedef struct wanted {
  const char *texts[FIELDS]; /* of the fields that have one */
  const char *parameters;    /* NULL: none */
  hbeat_json_type type;      /* theirs */
  int64_t status;
  int64_t run_at_s;
  int64_t created_at_s;
  int64_t updated_at_s;
  bool unreadable;
} wanted;

static const wanted USUALLY = {
    .texts = {[NAME] = "reload",
        [RUN_AT] = "2026-01-07T00:15:21Z",
        [LCUID] = "LCUID-LDRI-1",
        [CREATED] = "2026-01-07T00:15:19Z",
        [UPDATED] = "2026-01-07T00:15:20Z"},
    .parameters = "[7]",
    .type = HBEAT_JSON_ARRAY,
    .status = 1,
    .run_at_s = 1767744921,
    .created_at_s = 1767744919,
    .updated_at_s = 1767744920,
};

/* Writes a reply whose instruction has all fields, but for one that has other
 * members; fields go round, so that each is the first and the last once. */
static const char *reply_with(
    enum field other, const char *members, size_t first) {
  static char body[1000];
  const char *comma = "";
  char *at = body;

  at += sprintf(at,
      "{\"success\":true,\"lightning_device_remote_instruction"
      "\":{");
  for (size_t n = 0; n < FIELDS; n++) {
    size_t field = (first + n) % FIELDS;
    if (field == other && *members == '\0') continue;
    if (field == other) at += sprintf(at, "%s%s", comma, members);
    else
      at += sprintf(at, "%s\"%s\":%s", comma, FIELD_NAMES[field], USUAL[field]);
    comma = ",";
  }
  sprintf(at, "}}");
  return body;
}

static void expect_instruction(const hbeat_instruction *i, const wanted *w) {
  expect_text("instruction", i->name, w->texts[NAME]);
  expect_int("unreadable", i->unreadable, w->unreadable);
  expect_int("the type of parameters", i->parameters.type, w->type);
  expect_bytes("parameters", i->parameters.size > 0 ? i->parameters.text : "",
      i->parameters.size, w->parameters ? w->parameters : "",
      w->parameters ? strlen(w->parameters) : 0);
  expect_int("status", i->status, w->status);
  expect_text("lcuid", i->lcuid, w->texts[LCUID]);
  expect_text("run_at", i->run_at, w->texts[RUN_AT]);
  expect_int("run_at_s", i->run_at_s, w->run_at_s);
  expect_text("created_at", i->created_at, w->texts[CREATED]);
  expect_int("created_at_s", i->created_at_s, w->created_at_s);
  expect_text("updated_at", i->updated_at, w->texts[UPDATED]);
  expect_int("updated_at_s", i->updated_at_s, w->updated_at_s);
}

/* Decodes a reply with these members for a field, wherever that stands. */
static void expect_field(
    enum field field, const char *members, const wanted *w) {
  hbeat_reply reply;

  for (size_t first = 0; first < FIELDS; first++) {
    const char *body = reply_with(field, members, first);
    in_hand(FIELD_NAMES[field], body, strlen(body));
    expect_error("the outcome", decode(&reply, body), HBEAT_OK);
    expect_instruction(&reply.instruction, w);
  }
}

enum { NO_INSTRUCTION, AN_UNREADABLE_ONE };

/* Row: a value, and what is to come of it in each field.  NULL is a text that
 * is none, NONE a number or a time that cannot be read. */
static const struct value_row {
  const char *name;
  const char *json;     /* "": the field is missing */
  const char *text;     /* as instruction, lcuid, message */
  bool has_no_name;     /* as instruction: one waits that cannot be read */
  hbeat_json_type type; /* as parameters */
  int64_t status;
  const char *time_text; /* as a time */
  int64_t time_s;
  int instruction;     /* as the whole instruction */
  hbeat_error success; /* as success of a heartbeat with an instruction ... */
  hbeat_error report;  /* ... of a report, and as ok of a log-in */
} VALUES[] = {
    {"missing", "", .status = NONE, .time_s = NONE,
        .report = HBEAT_ERR_REFUSED},
    {"null", "null", .type = HBEAT_JSON_NULL, .status = NONE, .time_s = NONE,
        .success = HBEAT_ERR_REFUSED, .report = HBEAT_ERR_REFUSED},
    {"false", "false", .has_no_name = true, .type = HBEAT_JSON_FALSE,
        .status = NONE, .time_text = "false", .time_s = NONE,
        .instruction = AN_UNREADABLE_ONE, .success = HBEAT_ERR_REFUSED,
        .report = HBEAT_ERR_REFUSED},
    {"true", "true", .has_no_name = true, .type = HBEAT_JSON_TRUE,
        .status = NONE, .time_text = "true", .time_s = NONE,
        .instruction = AN_UNREADABLE_ONE},
    {"0", "0", .has_no_name = true, .type = HBEAT_JSON_NUMBER, .status = 0,
        .time_text = "0", .time_s = NONE, .instruction = AN_UNREADABLE_ONE,
        .success = HBEAT_ERR_REFUSED, .report = HBEAT_ERR_REFUSED},
    {"1", "1", .has_no_name = true, .type = HBEAT_JSON_NUMBER, .status = 1,
        .time_text = "1", .time_s = NONE, .instruction = AN_UNREADABLE_ONE},
    {"1.0", "1.0", .has_no_name = true, .type = HBEAT_JSON_NUMBER,
        .status = NONE, .time_text = "1.0", .time_s = NONE,
        .instruction = AN_UNREADABLE_ONE},
    {"2", "2", .has_no_name = true, .type = HBEAT_JSON_NUMBER, .status = 2,
        .time_text = "2", .time_s = NONE, .instruction = AN_UNREADABLE_ONE,
        .success = HBEAT_ERR_REFUSED, .report = HBEAT_ERR_REFUSED},
    {"-1", "-1", .has_no_name = true, .type = HBEAT_JSON_NUMBER, .status = -1,
        .time_text = "-1", .time_s = NONE, .instruction = AN_UNREADABLE_ONE,
        .success = HBEAT_ERR_REFUSED, .report = HBEAT_ERR_REFUSED},
    {"1.5", "1.5", .has_no_name = true, .type = HBEAT_JSON_NUMBER,
        .status = NONE, .time_text = "1.5", .time_s = NONE,
        .instruction = AN_UNREADABLE_ONE, .success = HBEAT_ERR_REFUSED,
        .report = HBEAT_ERR_REFUSED},
    {"Unix seconds", "1700000000", .has_no_name = true,
        .type = HBEAT_JSON_NUMBER, .status = 1700000000,
        .time_text = "1700000000", .time_s = NONE,
        .instruction = AN_UNREADABLE_ONE, .success = HBEAT_ERR_REFUSED,
        .report = HBEAT_ERR_REFUSED},
    {"a number beyond int64", "9223372036854775808", .has_no_name = true,
        .type = HBEAT_JSON_NUMBER, .status = NONE,
        .time_text = "9223372036854775808", .time_s = NONE,
        .instruction = AN_UNREADABLE_ONE, .success = HBEAT_ERR_REFUSED,
        .report = HBEAT_ERR_REFUSED},
    {"the least of int64", "-9223372036854775808", .has_no_name = true,
        .type = HBEAT_JSON_NUMBER, .status = NONE,
        .time_text = "-9223372036854775808", .time_s = NONE,
        .instruction = AN_UNREADABLE_ONE, .success = HBEAT_ERR_REFUSED,
        .report = HBEAT_ERR_REFUSED},
    {"an empty string", "\"\"", .text = "", .type = HBEAT_JSON_STRING,
        .status = NONE, .time_text = "", .time_s = NONE,
        .instruction = AN_UNREADABLE_ONE, .success = HBEAT_ERR_REFUSED,
        .report = HBEAT_ERR_REFUSED},
    {"\"1\"", "\"1\"", .text = "1", .type = HBEAT_JSON_STRING, .status = NONE,
        .time_text = "1", .time_s = NONE, .instruction = AN_UNREADABLE_ONE},
    {"\"true\"", "\"\\u0074rue\"", .text = "true", .type = HBEAT_JSON_STRING,
        .status = NONE, .time_text = "true", .time_s = NONE,
        .instruction = AN_UNREADABLE_ONE},
    {"\"false\"", "\"false\"", .text = "false", .type = HBEAT_JSON_STRING,
        .status = NONE, .time_text = "false", .time_s = NONE,
        .instruction = AN_UNREADABLE_ONE, .success = HBEAT_ERR_REFUSED,
        .report = HBEAT_ERR_REFUSED},
    {"\"truest\"", "\"truest\"", .text = "truest", .type = HBEAT_JSON_STRING,
        .status = NONE, .time_text = "truest", .time_s = NONE,
        .instruction = AN_UNREADABLE_ONE, .success = HBEAT_ERR_REFUSED,
        .report = HBEAT_ERR_REFUSED},
    {"a time", "\"1970-01-01T00:00:09Z\"", .text = "1970-01-01T00:00:09Z",
        .type = HBEAT_JSON_STRING, .status = NONE,
        .time_text = "1970-01-01T00:00:09Z", .time_s = 9,
        .instruction = AN_UNREADABLE_ONE, .success = HBEAT_ERR_REFUSED,
        .report = HBEAT_ERR_REFUSED},
    {"half of a surrogate pair", "\"\\ud83d\"", .text = "\xEF\xBF\xBD",
        .type = HBEAT_JSON_STRING, .status = NONE, .time_text = "\xEF\xBF\xBD",
        .time_s = NONE, .instruction = AN_UNREADABLE_ONE,
        .success = HBEAT_ERR_REFUSED, .report = HBEAT_ERR_REFUSED},
    {"an empty array", "[]", .has_no_name = true, .type = HBEAT_JSON_ARRAY,
        .status = NONE, .time_text = "[]", .time_s = NONE,
        .success = HBEAT_ERR_REFUSED, .report = HBEAT_ERR_REFUSED},
    {"an array", "[ {\"instruction\": 1} ]", .has_no_name = true,
        .type = HBEAT_JSON_ARRAY, .status = NONE,
        .time_text = "[ {\"instruction\": 1} ]", .time_s = NONE,
        .instruction = AN_UNREADABLE_ONE, .success = HBEAT_ERR_REFUSED,
        .report = HBEAT_ERR_REFUSED},
    {"an empty object", "{}", .has_no_name = true, .type = HBEAT_JSON_OBJECT,
        .status = NONE, .time_text = "{}", .time_s = NONE,
        .success = HBEAT_ERR_REFUSED, .report = HBEAT_ERR_REFUSED},
    {"a date in an object", "{\"date\": \"2026-01-07 00:15:19\"}",
        .has_no_name = true, .type = HBEAT_JSON_OBJECT, .status = NONE,
        .time_text = "{\"date\": \"2026-01-07 00:15:19\"}", .time_s = NONE,
        .success = HBEAT_ERR_REFUSED, .report = HBEAT_ERR_REFUSED},
};

/* What a field of this value makes of the usual instruction. */
static wanted wanted_with(enum field field, const struct value_row *row) {
  wanted w = USUALLY;

  w.texts[field] = row->time_text;
  switch (field) {
  case NAME:
    w.texts[NAME] = row->text;
    w.unreadable = row->has_no_name;
    break;
  case PARAMS:
    w.parameters = *row->json ? row->json : NULL;
    w.type = row->type;
    break;
  case LCUID: w.texts[LCUID] = row->text; break;
  case STATUS: w.status = row->status; break;
  case RUN_AT: w.run_at_s = row->time_s; break;
  case CREATED: w.created_at_s = row->time_s; break;
  case UPDATED: w.updated_at_s = row->time_s; break;
  case FIELDS: break;
  }
  return w;
}

static void test_value(void **state) {
  const struct value_row *row = *state;
  char members[200] = "";

  for (int field = 0; field < FIELDS; field++) {
    wanted w = wanted_with((enum field)field, row);
    if (*row->json)
      sprintf(members, "\"%s\":%s", FIELD_NAMES[field], row->json);
    expect_field((enum field)field, members, &w);
  }
}

/* The same values in the root. */
static void test_root_value(void **state) {
  static const wanted nothing = {.status = NONE,
      .run_at_s = NONE,
      .created_at_s = NONE,
      .updated_at_s = NONE};
  static const hbeat_request report = {.call = HBEAT_FAILED};
  const struct value_row *row = *state;
  wanted w = nothing;
  hbeat_reply reply;
  char success[200] = "\"x\":0", body[400];

  w.unreadable = row->instruction == AN_UNREADABLE_ONE;
  if (*row->json) sprintf(success, "\"success\":%s", row->json);
  sprintf(body, "{%s,\"lightning_device_remote_instruction\":null}", success);
  in_hand("success", body, strlen(body));
  expect_error("as success", decode(&reply, body), row->success);
  sprintf(body, "{%s}", success);
  expect_error(
      "as success of a report", decode_as(&report, &reply, body), row->report);
  expect_error("as success alone", decode(&reply, body), row->report);
  sprintf(body, "{\"success\":1%s%s}",
      *row->json ? ",\"lightning_device_remote_instruction\":" : "", row->json);
  in_hand("the whole instruction", body, strlen(body));
  expect_error("as the instruction", decode(&reply, body), HBEAT_OK);
  expect_instruction(&reply.instruction, &w);
  sprintf(body, "{\"success\":0%s%s}", *row->json ? ",\"message\":" : "",
      row->json);
  in_hand("message", body, strlen(body));
  expect_error("refused", decode(&reply, body), HBEAT_ERR_REFUSED);
  expect_text("as message", reply.message, row->text);
}

/* A field twice cannot be read, whichever of its values are null: a time is the
 * last of them, as it came, so that it is not now. */
static void test_twice(void **state) {
  static const bool nulls[][2] = {
      {false, false}, {true, false}, {false, true}, {true, true}};

  (void)state;
  for (int field = 0; field < FIELDS; field++) {
    for (size_t n = 0; n < COUNT(nulls); n++) {
      const char *first = nulls[n][0] ? "null" : USUAL[field];
      const char *last = nulls[n][1] ? "null" : USUAL[field];
      const struct value_row row = {.json = "",
          .has_no_name = true,
          .status = NONE,
          .time_text = last,
          .time_s = NONE};
      wanted w = wanted_with((enum field)field, &row);
      char members[200];
      w.unreadable = field == NAME || field == PARAMS;
      if (w.unreadable) w.texts[NAME] = NULL;
      sprintf(members, "\"%s\":%s,\"%s\":%s", FIELD_NAMES[field], first,
          FIELD_NAMES[field], last);
      expect_field((enum field)field, members, &w);
    }
  }
}

/* ---- Parameters --------------------------------------------------------- */

static const struct parameters_row {
  const char *name;
  const char *text;
  hbeat_json_type type;
  int count; /* of elements or members */
} PARAMETERS[] = {
    {"an empty array", "[]", HBEAT_JSON_ARRAY, .count = 0},
    {"an empty object", "{}", HBEAT_JSON_OBJECT, .count = 0},
    {"null", "null", HBEAT_JSON_NULL, .count = 0},
    {"an array", "[1, \"a\\/b\", null, true, [2], {\"c\": 3}]",
        HBEAT_JSON_ARRAY, .count = 6},
    {"a keyed array", "{\"0\": \"a\", \"1\": \"b\"}", HBEAT_JSON_OBJECT,
        .count = 2},
    {"an object", "{\"url\": \"https:\\/\\/lucit.app\\/\", \"delay\": 1.5}",
        HBEAT_JSON_OBJECT, .count = 2},
    {"a string", "\"now\"", HBEAT_JSON_STRING, .count = 0},
    {"a number", "-1.5e3", HBEAT_JSON_NUMBER, .count = 0},
    {"true", "true", HBEAT_JSON_TRUE, .count = 0},
    {"false", "false", HBEAT_JSON_FALSE, .count = 0},
};

static void test_parameters(void **state) {
  const struct parameters_row *row = *state;
  hbeat_reply reply;
  hbeat_json rest, item;
  char body[300];
  int count = 0;

  in_hand(row->name, row->text, strlen(row->text));
  sprintf(body, WITH("\"parameters\": %s ," NAMED), row->text);
  expect_error("the outcome", decode(&reply, body), HBEAT_OK);
  rest = reply.instruction.parameters;
  expect_int("the type", rest.type, row->type);
  expect_bytes("the span", rest.text, rest.size, row->text, strlen(row->text));
  while (hbeat_json_next(&rest, NULL, &item)) count++;
  expect_int("what is in it", count, row->count);
}

/* Reads parameters as a player does. */
static void test_parameters_read(void **state) {
  static const char BODY[] =
      WITH(NAMED ",\"parameters\":{\"url\":\"https:\\/\\/lucit.app\\/"
                 "caf\\u00e9\",\"delay\":1.5,\"times\":3,\"force\":true}");
  hbeat_reply reply;
  hbeat_json rest, key, item;
  char text[40];
  int64_t times = 0, delay_ms = 0;

  (void)state;
  in_hand("parameters of each type", TEXT(BODY));
  expect_error("the outcome", decode(&reply, BODY), HBEAT_OK);
  rest = reply.instruction.parameters;
  expect_true("the first", hbeat_json_next(&rest, &key, &item));
  hbeat_json_string(&key, text, sizeof text);
  expect_text("its name", text, "url");
  hbeat_json_string(&item, text, sizeof text);
  expect_text("its text", text, "https://lucit.app/caf\xC3\xA9");
  expect_true("the second", hbeat_json_next(&rest, &key, &item));
  expect_error("a fraction", hbeat_json_number(&item, 3, &delay_ms), HBEAT_OK);
  expect_int("its value", delay_ms, 1500);
  expect_true("the third", hbeat_json_next(&rest, &key, &item));
  expect_error("an integer", hbeat_json_number(&item, 0, &times), HBEAT_OK);
  expect_int("its value", times, 3);
  expect_true("the fourth", hbeat_json_next(&rest, &key, &item));
  expect_int("its type", item.type, HBEAT_JSON_TRUE);
  expect_true("the end", !hbeat_json_next(&rest, &key, &item));
}

/* ---- Times: RFC 3339 and the API's own ---------------------------------- */

static const struct time_row {
  const char *name;
  const char *text;
  int64_t seconds;
} TIMES[] = {
    /* forms */
    {"as the reference has it", "2026-01-07T00:15:19.000000Z", 1767744919},
    {"no fraction", "2026-01-07T00:15:19Z", 1767744919},
    {"one digit of fraction", "2026-01-07T00:15:19.9Z", 1767744919},
    {"nine digits of fraction", "2026-01-07T00:15:19.999999999Z", 1767744919},
    {"forty digits of fraction",
        "2026-01-07T00:15:19.9999999999999999999999999999999999999999Z",
        1767744919},
    {"a fraction and an offset", "2026-01-07T00:15:19.5+02:00", 1767737719},
    {"lower-case t and z", "2026-01-07t00:15:19z", 1767744919},
    {"a space, in UTC", "2026-01-07 00:15:19", 1767744919},
    {"an offset east", "2026-01-07T00:15:19+02:00", 1767737719},
    {"an offset west", "2026-01-07T00:15:19-11:30", 1767786319},
    {"an offset with minutes", "2026-01-07T00:15:19+05:45", 1767724219},
    {"+00:00", "2026-01-07T00:15:19+00:00", 1767744919},
    {"-00:00", "2026-01-07T00:15:19-00:00", 1767744919},
    {"+23:59", "2026-01-07T00:15:19+23:59", 1767658579},
    {"-23:59", "2026-01-07T00:15:19-23:59", 1767831259},

    /* the calendar */
    {"the epoch", "1970-01-01T00:00:00Z", 0},
    {"a second before it", "1969-12-31T23:59:59Z", -1},
    {"half a second before it", "1969-12-31T23:59:59.5Z", -1},
    {"past 2^31", "2038-01-19T03:14:08Z", 2147483648},
    {"the year 1", "0001-01-01T00:00:00Z", -62135596800},
    {"the year 1, an hour east", "0001-01-01T00:00:00+01:00", -62135600400},
    {"the last second of the year 1", "0001-12-31T23:59:59Z", -62104060801},
    {"the year 9999", "9999-12-31T23:59:59Z", 253402300799},
    {"a leap day", "2024-02-29T12:34:56Z", 1709210096},
    {"a leap day in 2000", "2000-02-29T00:00:00Z", 951782400},
    {"a leap day in 1600", "1600-02-29T00:00:00Z", -11670998400},
    {"a leap day in 2400", "2400-02-29T00:00:00Z", 13574563200},
    {"the first of March 2100", "2100-03-01T00:00:00Z", 4107542400},
    {"a leap second", "2016-12-31T23:59:60Z", 1483228800},
    {"a leap second with a fraction", "2016-12-31T23:59:60.7Z", 1483228800},
    {"a leap second, seen from the west", "2016-12-31T18:59:60-05:00",
        1483228800},

    /* what does not exist */
    {"the year 0", "0000-01-01T00:00:00Z", NONE},
    {"the year 0, as MySQL has it", "0000-00-00 00:00:00", NONE},
    {"the last second of the year 0", "0000-12-31T23:59:59Z", NONE},
    {"the year 0, in UTC the year 1", "0000-12-31T23:59:59-01:00", NONE},
    {"no leap day in 2023", "2023-02-29T00:00:00Z", NONE},
    {"no leap day in 1900", "1900-02-29T00:00:00Z", NONE},
    {"no leap day in 2100", "2100-02-29T00:00:00Z", NONE},
    {"the 30th of February", "2024-02-30T00:00:00Z", NONE},
    {"the 31st of April", "2026-04-31T00:00:00Z", NONE},
    {"the 32nd of January", "2026-01-32T00:00:00Z", NONE},
    {"day 0", "2026-01-00T00:00:00Z", NONE},
    {"month 0", "2026-00-07T00:00:00Z", NONE},
    {"month 13", "2026-13-07T00:00:00Z", NONE},
    {"month 99", "2026-99-07T00:00:00Z", NONE},
    {"hour 24", "2026-01-07T24:00:00Z", NONE},
    {"minute 60", "2026-01-07T00:60:00Z", NONE},
    {"second 61", "2026-01-07T23:59:61Z", NONE},
    {"an offset of 24 hours", "2026-01-07T00:15:19+24:00", NONE},
    {"an offset of 60 minutes", "2026-01-07T00:15:19+02:60", NONE},

    /* what is no time */
    {"empty", "", NONE},
    {"a space in front", " 2026-01-07T00:15:19Z", NONE},
    {"a space behind", "2026-01-07T00:15:19Z ", NONE},
    {"junk behind Z", "2026-01-07T00:15:19Zulu", NONE},
    {"junk behind an offset", "2026-01-07T00:15:19+02:00Z", NONE},
    {"junk behind the seconds", "2026-01-07 00:15:19 UTC", NONE},
    {"a name of a zone", "2026-01-07T00:15:19 CET", NONE},
    {"a point without digits", "2026-01-07T00:15:19.Z", NONE},
    {"a comma for the point", "2026-01-07T00:15:19,5Z", NONE},
    {"two fractions", "2026-01-07T00:15:19.5.5Z", NONE},
    {"an offset of hours only", "2026-01-07T00:15:19+02", NONE},
    {"an offset without a colon", "2026-01-07T00:15:19+0200", NONE},
    {"an offset of one digit", "2026-01-07T00:15:19+2:00", NONE},
    {"a date only", "2026-01-07", NONE},
    {"a date and a T", "2026-01-07T", NONE},
    {"no seconds", "2026-01-07T00:15Z", NONE},
    {"a year of two digits", "26-01-07T00:15:19Z", NONE},
    {"a year of five digits", "12026-01-07T00:15:19Z", NONE},
    {"a negative year", "-001-01-07T00:15:19Z", NONE},
    {"a month of one digit", "2026-1-07T00:15:19Z", NONE},
    {"an hour of one digit", "2026-01-07T0:15:19Z", NONE},
    {"an hour with a sign", "2026-01-07T+1:15:19Z", NONE},
    {"no separators", "20260107T001519Z", NONE},
    {"slashes", "2026/01/07 00:15:19", NONE},
    {"a week date", "2026-W02-3T00:15:19Z", NONE},
    {"two spaces", "2026-01-07  00:15:19", NONE},
    {"an underscore for T", "2026-01-07_00:15:19Z", NONE},
    {"an HTTP date", "Wed, 07 Jan 2026 00:15:19 GMT", NONE},
    {"Unix seconds", "1767744919", NONE},
    {"a word", "tomorrow", NONE},
};

/* In each of the three fields; the text is kept beside the number. */
static void test_time(void **state) {
  const struct time_row *row = *state;
  const hbeat_instruction *i;
  hbeat_reply reply;
  char body[600];

  in_hand(row->name, row->text, strlen(row->text));
  sprintf(body,
      WITH(NAMED ",\"run_at\":\"%s\",\"created_at\":\"%s\","
                 "\"updated_at\":\"%s\""),
      row->text, row->text, row->text);
  expect_error("the outcome", decode(&reply, body), HBEAT_OK);
  i = &reply.instruction;
  expect_text("run_at", i->run_at, row->text);
  expect_int("run_at_s", i->run_at_s, row->seconds);
  expect_text("created_at", i->created_at, row->text);
  expect_int("created_at_s", i->created_at_s, row->seconds);
  expect_text("updated_at", i->updated_at, row->text);
  expect_int("updated_at_s", i->updated_at_s, row->seconds);
}

/* ---- Reports ------------------------------------------------------------ */

/* Row: a reply to a report. */
static const struct report_row {
  const char *name;
  const char *body;
  hbeat_error error;
  const char *message;
} REPORTS[] = {
    {"success", "{\"success\":true}", .error = HBEAT_OK},
    {"success and fields that nobody knows",
        "{\"data\":{\"success\":false},\"success\":true,\"token\":1}",
        .error = HBEAT_OK},
    {"success and a message", "{\"success\":true,\"message\":\"Yes.\"}",
        .error = HBEAT_OK},
    {"an instruction is none of its business", WITH(NAMED), .error = HBEAT_OK},
    {"nor is a malformed one",
        "{\"success\":true,\"lightning_device_remote_instruction\":1}",
        .error = HBEAT_OK},
    {"refused", "{\"success\":false,\"message\":\"caf\\u00e9\"}",
        .error = HBEAT_ERR_REFUSED, .message = "caf\xC3\xA9"},
    {"refused without a word", "{\"success\":false}",
        .error = HBEAT_ERR_REFUSED},
    {"ok is not success", "{\"ok\":true,\"message\":\"No.\"}",
        .error = HBEAT_ERR_REFUSED, .message = "No."},
    {"an instruction says no success of a report",
        "{\"lightning_device_remote_instruction\":null}",
        .error = HBEAT_ERR_REFUSED},
    {"refused, and a message twice",
        "{\"success\":false,\"message\":\"a\",\"message\":\"b\"}",
        .error = HBEAT_ERR_REFUSED},
    {"nothing", "{}", .error = HBEAT_ERR_REFUSED},
    {"refused, and a message that is a number",
        "{\"success\":false,\"message\":1}", .error = HBEAT_ERR_REFUSED},
    {"success twice", "{\"success\":true,\"success\":true}",
        .error = HBEAT_ERR_JSON},
    {"success twice, once in escapes",
        "{\"success\":true,\"succes\\u0073\":true}", .error = HBEAT_ERR_JSON},
    {"the instruction twice",
        "{\"success\":true,\"lightning_device_remote_instruction\":null,"
        "\"lightning_device_remote_instruction\":null}",
        .error = HBEAT_ERR_JSON},
    {"a message twice", "{\"success\":true,\"message\":\"\",\"message\":\"\"}",
        .error = HBEAT_OK},
    {"an array", "[{\"success\":true}]", .error = HBEAT_ERR_JSON},
    {"true", "true", .error = HBEAT_ERR_JSON},
    {"an empty body", "", .error = HBEAT_ERR_JSON},
    {"a page", "<html>", .error = HBEAT_ERR_JSON},
    {"half an object", "{\"success\":true", .error = HBEAT_ERR_JSON},
};

static void test_report(void **state) {
  static const hbeat_call CALLS[] = {HBEAT_ACKNOWLEDGE, HBEAT_FAILED};
  const struct report_row *row = *state;
  hbeat_reply reply;

  in_hand(row->name, row->body, strlen(row->body));
  for (size_t i = 0; i < COUNT(CALLS); i++) {
    hbeat_request report = {.call = CALLS[i], .instruction = "a"};
    expect_error(
        "the outcome", decode_as(&report, &reply, row->body), row->error);
    expect_text("message", reply.message, row->message);
    expect_text("no instruction", reply.instruction.name, NULL);
    expect_int(
        "no parameters", reply.instruction.parameters.type, HBEAT_JSON_NONE);
    expect_int("no status", reply.instruction.status, NONE);
  }
}

/* ---- Log-ins ------------------------------------------------------------ */

enum { TOKEN_ROOM = 64, UNTOUCHED = 0x6E };

static fenced tokens;

/* A log-in whose token goes to the `room` bytes in front of a fault. */
static hbeat_request login_to(size_t room) {
  hbeat_request login = {.call = HBEAT_LOGIN,
      .token_buffer = tokens.end - room,
      .token_buffer_size = room};

  memset(tokens.begin, UNTOUCHED, (size_t)(tokens.end - tokens.begin));
  return login;
}

/* The token, and zeros behind it; or, for NULL, no change.  What lies in front
 * of the buffer never changes. */
static void expect_token(const hbeat_request *login, const char *token) {
  char expected[4096];
  size_t size = login->token_buffer_size;
  size_t front = (size_t)(login->token_buffer - tokens.begin);

  memset(expected, UNTOUCHED, sizeof expected);
  expect_bytes("in front of the buffer", tokens.begin, front, expected, front);
  if (token) {
    memset(expected, 0, size);
    memcpy(expected, token, strlen(token));
  }
  expect_bytes("the token buffer", login->token_buffer, size, expected, size);
}

/* No part of the token is left in what was the body. */
static void expect_no_copy(const char *token) {
  enum { PART = 4 };
  size_t size = strlen(token);

  for (const char *at = bodies.begin; at < bodies.end - PART; at++)
    for (size_t i = 0; i + PART <= size; i++)
      expect_true("no copy of the token", memcmp(at, token + i, PART));
}

#define JWT "eyJhbGciOiJSUzI1NiJ9.eyJpYXQiOjF9.c2ln-_~+/="

static const struct login_row {
  const char *name;
  const char *body;
  hbeat_error error;
  const char *token; /* NULL: the buffer stays as it is */
  const char *message;
} LOGINS[] = {
    {"as the reference has it",
        "{\"ok\":true,\"token\":\"" JWT "\",\"user_lcuid\":\"LCUID-LU-1\"}",
        .error = HBEAT_OK, .token = JWT},
    {"the other way round",
        "{ \"user_lcuid\" : null, \"token\" : \"" JWT "\" , \"ok\" : true }\n",
        .error = HBEAT_OK, .token = JWT},
    {"ok is \"true\"", "{\"ok\":\"true\",\"token\":\"" JWT "\"}",
        .error = HBEAT_OK, .token = JWT},
    {"ok is 1", "{\"ok\":1,\"token\":\"" JWT "\"}", .error = HBEAT_OK,
        .token = JWT},
    {"fields that nobody knows",
        "{\"a\":{\"token\":1,\"ok\":false},\"ok\":true,\"success\":false,"
        "\"token\":\"" JWT "\",\"message\":\"Hi.\"}",
        .error = HBEAT_OK, .token = JWT},
    {"a token of one character", "{\"ok\":true,\"token\":\"t\"}",
        .error = HBEAT_OK, .token = "t"},
    {"every visible character that needs no escape",
        "{\"ok\":true,\"token\":\"!#$%&'()*+,-./:;<=>?@[]^_`{|}~\"}",
        .error = HBEAT_OK, .token = "!#$%&'()*+,-./:;<=>?@[]^_`{|}~"},
    {"a token in escapes",
        "{\"\\u006fk\":true,\"t\\u006Fken\":\"\\u0065yJ0\\/ab\\\"c\\\\d\"}",
        .error = HBEAT_OK, .token = "eyJ0/ab\"c\\d"},
    {"a token of which each character is an escape",
        "{\"ok\":true,\"token\":\"\\u006a\\u0077\\u0074\\u002e\\u0031\"}",
        .error = HBEAT_OK, .token = "jwt.1"},

    {"refused", "{\"ok\":false,\"message\":\"No.\",\"code\":\"E\"}",
        .error = HBEAT_ERR_REFUSED, .message = "No."},
    {"refused with a token", "{\"ok\":false,\"token\":\"" JWT "\"}",
        .error = HBEAT_ERR_REFUSED},
    {"success is not ok", "{\"success\":true,\"token\":\"" JWT "\"}",
        .error = HBEAT_ERR_REFUSED},
    {"ok is missing", "{\"token\":\"" JWT "\"}", .error = HBEAT_ERR_REFUSED},
    {"ok is \"false\"", "{\"ok\":\"false\",\"token\":\"" JWT "\"}",
        .error = HBEAT_ERR_REFUSED},
    {"ok is 0", "{\"ok\":0,\"token\":\"" JWT "\"}", .error = HBEAT_ERR_REFUSED},
    {"refused with a message behind the token",
        "{\"token\":\"" JWT "\",\"ok\":false,\"message\":\"caf\\u00e9\"}",
        .error = HBEAT_ERR_REFUSED, .message = "caf\xC3\xA9"},
    {"refused with an empty message",
        "{\"token\":\"" JWT "\",\"ok\":false,\"message\":\"\"}",
        .error = HBEAT_ERR_REFUSED, .message = ""},
    {"ok is null", "{\"ok\":null,\"token\":\"" JWT "\"}",
        .error = HBEAT_ERR_REFUSED},
    {"nothing", "{}", .error = HBEAT_ERR_REFUSED},

    {"no token", "{\"ok\":true}", .error = HBEAT_ERR_JSON},
    {"a token of null", "{\"ok\":true,\"token\":null}",
        .error = HBEAT_ERR_JSON},
    {"an empty token", "{\"ok\":true,\"token\":\"\"}", .error = HBEAT_ERR_JSON},
    {"a token that is a number", "{\"ok\":true,\"token\":1}",
        .error = HBEAT_ERR_JSON},
    {"a token that is true", "{\"ok\":true,\"token\":true}",
        .error = HBEAT_ERR_JSON},
    {"a token in an array", "{\"ok\":true,\"token\":[\"" JWT "\"]}",
        .error = HBEAT_ERR_JSON},
    {"a token in an object", "{\"ok\":true,\"token\":{\"token\":\"t\"}}",
        .error = HBEAT_ERR_JSON},
    {"a token with a space", "{\"ok\":true,\"token\":\"a b\"}",
        .error = HBEAT_ERR_JSON},
    {"a token with a space behind", "{\"ok\":true,\"token\":\"ab \"}",
        .error = HBEAT_ERR_JSON},
    {"a token of a space", "{\"ok\":true,\"token\":\" \"}",
        .error = HBEAT_ERR_JSON},
    {"a token that would add a field",
        "{\"ok\":true,\"token\":\"a\\r\\nX: y\"}", .error = HBEAT_ERR_JSON},
    {"a token with a tab", "{\"ok\":true,\"token\":\"a\\tb\"}",
        .error = HBEAT_ERR_JSON},
    {"a token with DEL", "{\"ok\":true,\"token\":\"a\x7F\"}",
        .error = HBEAT_ERR_JSON},
    {"a token with U+0000", "{\"ok\":true,\"token\":\"ab\\u0000cd\"}",
        .error = HBEAT_ERR_JSON},
    {"a token in UTF-8", "{\"ok\":true,\"token\":\"caf\xC3\xA9\"}",
        .error = HBEAT_ERR_JSON},
    {"a token in UTF-8, in escapes", "{\"ok\":true,\"token\":\"caf\\u00e9\"}",
        .error = HBEAT_ERR_JSON},

    {"ok twice", "{\"ok\":true,\"token\":\"t\",\"ok\":true}",
        .error = HBEAT_ERR_JSON},
    {"a token twice", "{\"ok\":true,\"token\":\"t\",\"token\":\"t\"}",
        .error = HBEAT_ERR_JSON},
    {"a token twice, once in escapes",
        "{\"token\":\"t\",\"\\u0074oken\":\"u\",\"ok\":true}",
        .error = HBEAT_ERR_JSON},
    {"a token twice, once null", "{\"token\":null,\"ok\":true,\"token\":\"t\"}",
        .error = HBEAT_ERR_JSON},
    {"an array", "[{\"ok\":true,\"token\":\"t\"}]", .error = HBEAT_ERR_JSON},
    {"a string", "\"" JWT "\"", .error = HBEAT_ERR_JSON},
    {"an empty body", "", .error = HBEAT_ERR_JSON},
    {"a page", "<html>", .error = HBEAT_ERR_JSON},
    {"a body that breaks off", "{\"ok\":true,\"token\":\"" JWT "\"",
        .error = HBEAT_ERR_JSON},
    {"a warning before the object",
        "Warning: x\n{\"ok\":true,\"token\":\"" JWT "\"}",
        .error = HBEAT_ERR_JSON},
    {"a token under another name", "{\"ok\":true,\"access_token\":\"" JWT "\"}",
        .error = HBEAT_ERR_JSON},
};

static void test_login(void **state) {
  const struct login_row *row = *state;
  hbeat_request login = login_to(TOKEN_ROOM);
  hbeat_reply reply;

  in_hand(row->name, row->body, strlen(row->body));
  memset(bodies.begin, 0, (size_t)(bodies.end - bodies.begin));
  expect_error("the outcome", decode_as(&login, &reply, row->body), row->error);
  expect_token(&login, row->token);
  expect_text("message", reply.message, row->message);
  expect_text("no instruction", reply.instruction.name, NULL);
  expect_no_copy(JWT);
  if (row->token) expect_no_copy(row->token);
}

/* Tokens and buffers that just fit, or do not. */
static const struct room_row {
  const char *name;
  size_t size; /* of the token */
  size_t room; /* of the buffer */
  hbeat_error error;
} ROOMS[] = {
    {"a token that fits with its NUL", .size = 63, .room = 64,
        .error = HBEAT_OK},
    {"a token that leaves no room for a NUL", .size = 64, .room = 64,
        .error = HBEAT_ERR_TOO_BIG},
    {"a token one byte too long", .size = 65, .room = 64,
        .error = HBEAT_ERR_TOO_BIG},
    {"a token much too long", .size = 2000, .room = 64,
        .error = HBEAT_ERR_TOO_BIG},
    {"one character in two bytes", .size = 1, .room = 2, .error = HBEAT_OK},
    {"one character in one byte", .size = 1, .room = 1,
        .error = HBEAT_ERR_TOO_BIG},
    {"one character in no byte", .size = 1, .room = 0,
        .error = HBEAT_ERR_TOO_BIG},
    {"a usual token", .size = 1050, .room = 1100, .error = HBEAT_OK},
    {"a short token in a long buffer", .size = 5, .room = 4000,
        .error = HBEAT_OK},
};

static void test_room(void **state) {
  const struct room_row *row = *state;
  hbeat_request login = login_to(row->room);
  char token[2001], body[2100];
  hbeat_reply reply;

  for (size_t i = 0; i < row->size; i++)
    token[i] = (char)('a' + (i * i + i / 26) % 26);
  token[row->size] = '\0';
  sprintf(body, "{\"ok\":true,\"token\":\"%s\"}", token);
  in_hand(row->name, body, strlen(body));
  memset(bodies.begin, 0, (size_t)(bodies.end - bodies.begin));
  expect_error("the outcome", decode_as(&login, &reply, body), row->error);
  expect_token(&login, row->error == HBEAT_OK ? token : NULL);
  if (row->size < 100) expect_no_copy(token);
}

/* The next token is shorter; nothing of the last one stays behind it. */
static void test_replaced(void **state) {
  static const char LONG[] = "{\"ok\":true,\"token\":\"" JWT "\"}";
  static const char SHORT[] = "{\"ok\":true,\"token\":\"a.b.c\"}";
  hbeat_request login = login_to(TOKEN_ROOM);
  hbeat_reply reply;

  (void)state;
  in_hand("a shorter token", TEXT(SHORT));
  expect_error("the first", decode_as(&login, &reply, LONG), HBEAT_OK);
  expect_token(&login, JWT);
  expect_error("refused", decode_as(&login, &reply, "{\"ok\":false}"),
      HBEAT_ERR_REFUSED);
  expect_token(&login, JWT);
  expect_error("the next", decode_as(&login, &reply, SHORT), HBEAT_OK);
  expect_token(&login, "a.b.c");
}

/* ---- Statuses ----------------------------------------------------------- */

/* Row: a status that the host's own HTTP saw, and a body. */
static const struct status_row {
  const char *name;
  int http_status;
  const char *body;
  hbeat_error error;
  const char *message;
  hbeat_call call;
} STATUSES[] = {
    {"0 counts as 200", .http_status = 0, .body = "{\"success\":true}",
        .error = HBEAT_OK},
    {"200", .http_status = 200, .body = "{\"success\":true}",
        .error = HBEAT_OK},
    {"201", .http_status = 201, .body = "{\"success\":true}",
        .error = HBEAT_OK},
    {"299", .http_status = 299, .body = "{\"success\":true}",
        .error = HBEAT_OK},
    {"200, refused", .http_status = 200,
        .body = "{\"success\":false,\"message\":\"No.\"}",
        .error = HBEAT_ERR_REFUSED, .message = "No."},
    {"200 with an empty body", .http_status = 200, .body = "",
        .error = HBEAT_ERR_JSON},
    {"200 with a page", .http_status = 200, .body = "<html>",
        .error = HBEAT_ERR_JSON},
    {"199", .http_status = 199, .body = "{\"success\":true}",
        .error = HBEAT_ERR_STATUS},
    {"300", .http_status = 300, .body = "{\"success\":true}",
        .error = HBEAT_ERR_STATUS},
    {"302 with a page", .http_status = 302, .body = "<html>",
        .error = HBEAT_ERR_STATUS},
    {"401", .http_status = 401, .body = "{\"message\":\"Unauthenticated.\"}",
        .error = HBEAT_ERR_STATUS, .message = "Unauthenticated."},
    {"401 with an empty body", .http_status = 401, .body = "",
        .error = HBEAT_ERR_STATUS},
    {"500 with a body that is cut", .http_status = 500,
        .body = "{\"message\":\"Oh\",\"trace\":[{", .error = HBEAT_ERR_STATUS,
        .message = "Oh"},
    {"500 with a message twice", .http_status = 500,
        .body = "{\"message\":\"a\",\"message\":\"b\"}",
        .error = HBEAT_ERR_STATUS},
    {"500 with the same message twice", .http_status = 500,
        .body = "{\"message\":\"a\",\"message\":\"a\"}",
        .error = HBEAT_ERR_STATUS},
    {"500 with a message twice, once in escapes", .http_status = 500,
        .body = "{\"message\":\"a\",\"code\":1,\"\\u006dessage\":\"b\"}",
        .error = HBEAT_ERR_STATUS},
    {"500 with a message twice, once null", .http_status = 500,
        .body = "{\"message\":null,\"message\":\"b\"}",
        .error = HBEAT_ERR_STATUS},
    {"500 with a message and one more that is cut", .http_status = 500,
        .body = "{\"message\":\"a\",\"message\":\"b", .error = HBEAT_ERR_STATUS,
        .message = "a"},
    {"500 with a message and one more deeper down", .http_status = 500,
        .body = "{\"message\":\"a\",\"errors\":{\"message\":\"b\"}}",
        .error = HBEAT_ERR_STATUS, .message = "a"},
    {"a log-in with 422 and a message twice", .http_status = 422,
        .body = "{\"message\":\"a\",\"message\":\"b\"}",
        .error = HBEAT_ERR_STATUS, .call = HBEAT_LOGIN},
    {"500 with a message that is cut", .http_status = 500,
        .body = "{\"message\":\"Oh n", .error = HBEAT_ERR_STATUS},
    {"a report with 0", .http_status = 0, .body = "{\"success\":true}",
        .error = HBEAT_OK, .call = HBEAT_ACKNOWLEDGE},
    {"a report with 202", .http_status = 202, .body = "{\"success\":true}",
        .error = HBEAT_OK, .call = HBEAT_FAILED},
    {"a report with 404", .http_status = 404,
        .body = "{\"message\":\"Not found.\"}", .error = HBEAT_ERR_STATUS,
        .message = "Not found.", .call = HBEAT_FAILED},
    {"a report with 422 and success", .http_status = 422,
        .body = "{\"success\":true,\"message\":\"No.\",\"errors\":{}}",
        .error = HBEAT_ERR_STATUS, .message = "No.", .call = HBEAT_ACKNOWLEDGE},
    {"a report with 204", .http_status = 204, .body = "",
        .error = HBEAT_ERR_JSON, .call = HBEAT_ACKNOWLEDGE},
    {"a log-in with 401", .http_status = 401,
        .body = "{\"ok\":false,\"message\":\"Unknown.\",\"code\":\"E\"}",
        .error = HBEAT_ERR_STATUS, .message = "Unknown.", .call = HBEAT_LOGIN},
    {"a log-in with 500 and a token", .http_status = 500,
        .body = "{\"ok\":true,\"token\":\"" JWT "\"}",
        .error = HBEAT_ERR_STATUS, .call = HBEAT_LOGIN},
    {"a log-in with 422, a token and a message", .http_status = 422,
        .body = "{\"token\":\"" JWT "\",\"message\":\"No.\"}",
        .error = HBEAT_ERR_STATUS, .message = "No.", .call = HBEAT_LOGIN},
    {"a log-in with 500 and half a token", .http_status = 500,
        .body = "{\"ok\":true,\"token\":\"" JWT, .error = HBEAT_ERR_STATUS,
        .call = HBEAT_LOGIN},
    {"a log-in with 302 and a token", .http_status = 302,
        .body = "{\"ok\":true,\"token\":\"" JWT "\"}",
        .error = HBEAT_ERR_STATUS, .call = HBEAT_LOGIN},
};

/* Decodes a body that is a text, beside a status. */
static hbeat_error decode_text(const hbeat_request *request, hbeat_reply *reply,
    int http_status, const char *body, const char **what) {
  size_t size = strlen(body);

  memset(reply, 0, sizeof *reply);
  reply->http_status = http_status;
  return hbeat_decode(request, reply, at_end(&bodies, body, size), size, what);
}

static void test_status(void **state) {
  const struct status_row *row = *state;
  hbeat_request request = login_to(TOKEN_ROOM);
  hbeat_reply reply;
  const char *what;

  request.call = row->call;
  in_hand(row->name, row->body, strlen(row->body));
  expect_error("the outcome",
      decode_text(&request, &reply, row->http_status, row->body, &what),
      row->error);
  expect_int("http_status stays", reply.http_status, row->http_status);
  expect_text("message", reply.message, row->message);
  expect_token(&request, NULL);
  if (row->call == HBEAT_LOGIN) expect_no_copy(JWT);
}

/* ---- Reasons ------------------------------------------------------------ */

#define EIGHT(x) x x x x x x x x
#define SIXTY_FOUR(x) EIGHT(EIGHT(x))

static const struct reason_row {
  const char *name;
  const char *body;
  int http_status;
  hbeat_call call;
  hbeat_error error;
  const char *what;
} REASONS[] = {
    {"a success has no reason", .body = "{\"success\":true}"},
    {"an error has no reason but its status", .body = "{}", .http_status = 404,
        .error = HBEAT_ERR_STATUS},
    {"the reason of a redirection", .body = "<html>", .http_status = 302,
        .error = HBEAT_ERR_STATUS,
        .what = "a redirect, as of a captive portal"},
    {"the reason of 304", .body = "", .http_status = 304,
        .error = HBEAT_ERR_STATUS,
        .what = "a cache has answered, not the server"},
    {"the reason of 511", .body = "<html>", .http_status = 511,
        .error = HBEAT_ERR_STATUS,
        .what = "a redirect, as of a captive portal"},
    {"the reason of no body", .body = "", .error = HBEAT_ERR_JSON,
        .what = "the body is empty"},
    {"the reason of a page", .body = "<html>", .error = HBEAT_ERR_JSON,
        .what = "the body is a web page: a captive portal?"},
    {"the reason of a page behind white space", .body = " \r\n<html>\n",
        .error = HBEAT_ERR_JSON,
        .what = "the body is a web page: a captive portal?"},
    {"the reason of a warning",
        .body = "\nWarning: x in <b>a.php</b>\n{\"success\":true}\r\n",
        .error = HBEAT_ERR_JSON,
        .what = "text, such as a warning, precedes it"},
    {"the reason of a byte order mark",
        .body = "\xEF\xBB\xBF{\"success\":true}", .error = HBEAT_ERR_JSON,
        .what = "text, such as a warning, precedes it"},
    {"the reason of white space before half an object",
        .body = "\r\n{\"success\":true,\"a\":{}", .error = HBEAT_ERR_JSON,
        .what = "the body ends early"},
    {"the reason of white space before a broken object",
        .body = " {\"success\":true,}", .error = HBEAT_ERR_JSON,
        .what = "the body is no JSON object"},
    {"the reason of white space", .body = " \t\r\n", .error = HBEAT_ERR_JSON,
        .what = "the body ends early"},
    {"the reason of a brace alone", .body = "}", .error = HBEAT_ERR_JSON,
        .what = "the body is no JSON object"},
    {"the reason of a word", .body = "OK", .error = HBEAT_ERR_JSON,
        .what = "the body is no JSON object"},
    {"the reason of an array", .body = "[]", .error = HBEAT_ERR_JSON,
        .what = "the body is no JSON object"},
    {"the reason of half an object", .body = "{\"success\":true",
        .error = HBEAT_ERR_JSON, .what = "the body ends early"},
    {"the reason of objects and arrays that nest too deep",
        .body = "{\"success\":true,\"a\":" SIXTY_FOUR("[") SIXTY_FOUR("]") "}",
        .error = HBEAT_ERR_JSON, .what = "the body nests too deep"},
    {"the reason of parameters that nest too deep",
        .body = WITH(NAMED ",\"parameters\":" SIXTY_FOUR("[") SIXTY_FOUR("]")),
        .error = HBEAT_ERR_JSON, .what = "the body nests too deep"},
    {"the reason of an acknowledgement's reply that nests too deep",
        .body = SIXTY_FOUR("[") "[]" SIXTY_FOUR("]"), .call = HBEAT_ACKNOWLEDGE,
        .error = HBEAT_ERR_JSON, .what = "the body nests too deep"},
    {"the reason of a member twice",
        .body = "{\"success\":true,\"success\":true}", .error = HBEAT_ERR_JSON,
        .what = "a member comes twice"},
    {"the reason of a refusal", .body = "{\"success\":false}",
        .error = HBEAT_ERR_REFUSED, .what = "success is not true"},
    {"the reason of a log-in's refusal", .body = "{\"ok\":false}",
        .call = HBEAT_LOGIN, .error = HBEAT_ERR_REFUSED,
        .what = "ok is not true"},
    {"a bad instruction is no reason", .body = WITH("\"instruction\":1")},
    {"the reason of a bad token", .body = "{\"ok\":true,\"token\":\"a b\"}",
        .call = HBEAT_LOGIN, .error = HBEAT_ERR_JSON,
        .what = "the token is no visible ASCII"},
    {"the reason of a long token",
        .body = "{\"ok\":true,\"token\":\"" SIXTY_FOUR("t") "\"}",
        .call = HBEAT_LOGIN, .error = HBEAT_ERR_TOO_BIG,
        .what = "the token does not fit token_buffer"},
};

static void test_reason(void **state) {
  const struct reason_row *row = *state;
  hbeat_request request = login_to(TOKEN_ROOM);
  hbeat_reply reply;
  const char *what = "untouched";

  request.call = row->call;
  in_hand(row->name, row->body, strlen(row->body));
  expect_error("the outcome",
      decode_text(&request, &reply, row->http_status, row->body, &what),
      row->error);
  expect_text("the reason", what, row->what);
}

int main(void) {
  bodies = fence(4096);
  tokens = fence(4096);
  cases_add("the reference's reply", test_reference, NULL);
  cases_add_rows(test_member, MEMBERS);
  cases_add("strings side by side", test_neighbours, NULL);
  cases_add_rows(test_value, VALUES);
  cases_add_rows(test_root_value, VALUES);
  cases_add("a field twice", test_twice, NULL);
  cases_add_rows(test_parameters, PARAMETERS);
  cases_add("parameters read", test_parameters_read, NULL);
  cases_add_rows(test_time, TIMES);
  cases_add_rows(test_report, REPORTS);
  cases_add_rows(test_login, LOGINS);
  cases_add_rows(test_room, ROOMS);
  cases_add("a shorter token", test_replaced, NULL);
  cases_add_rows(test_status, STATUSES);
  cases_add_rows(test_reason, REASONS);
  return cases_run("reply");
}
