/*
 * The memory: its bytes, the states that an instruction goes through, what is
 * cut or forgotten, and what restarts leave of it.  It lies so that the byte
 * behind it faults.
 */
#include "memory_device.h"
#include "memory_bytes.h"

#define DAY 86400

/* ---- What the tests see ------------------------------------------------- */

/* The report that is next, in words; NULL: there is none.  Its turn stays. */
static const char *next_report(void) {
  static char words[40 + HBEAT_INSTRUCTION_MAX];
  hbeat_memory copy = *m;
  hbeat_request request;

  if (!make_report(&copy, &request)) return NULL;
  expect_text("lightning_version", request.lightning_version, NULL);
  expect_int("device_info_count", (int64_t)request.device_info_count, 0);
  expect_true("no token_buffer", request.token_buffer == NULL);
  strcpy(words, request.call == HBEAT_FAILED ? "failed" : "acknowledge");
  if (request.message != NULL) {
    strcat(words, ": ");
    strcat(words, request.message);
  }
  if (request.response_data != NULL) {
    strcat(words, " ");
    strcat(words, request.response_data);
  }
  return words;
}

static bool anything_due(int64_t now_s) {
  hbeat_memory copy = *m;
  hbeat_instruction i;

  return take_due(&copy, now_s, &NO_LIMITS, &i);
}

/* Everything but the two flags in front. */
static void expect_same_memory(const char *what, const hbeat_memory *expected) {
  const unsigned char *got = (const unsigned char *)m;
  char where[100];

  for (size_t i = FORMAT; i < SIZE; i++) {
    snprintf(where, sizeof where, "%s: byte %zu", what, i);
    expect_int(where, got[i], ((const unsigned char *)expected)[i]);
  }
}

/* ---- The bytes ---------------------------------------------------------- */

/* One instruction in each state, and a server's time. */
static void fill(void) {
  hbeat_reply reply = good_reply();
  hbeat_instruction i;

  forget();
  reply.server_time_s = NOW;
  reply.clock_offset_s = -3;
  reply.instruction.lcuid = "LCUID-LDRI-1";
  reply.instruction.name = "reload";
  expect_error("the first", learn(m, &BEAT, &reply, HBEAT_OK), HBEAT_OK);
  take_due(m, NOW, &NO_LIMITS, &i);
  end_one(m, "LCUID-LDRI-1", HBEAT_ACKNOWLEDGE, NULL, "{\"exit_status\":0}");
  report("LCUID-LDRI-1");
  offer("LCUID-LDRI-2", "screenshot", NONE);
  take_due(m, NOW, &NO_LIMITS, &i);
  end_one(m, "LCUID-LDRI-2", HBEAT_FAILED, "caf\xC3\xA9", "{\"a\":[]}");
  offer("LCUID-LDRI-3", "reboot", NONE);
  take_due(m, NOW, &NO_LIMITS, &i);
  reply = good_reply();
  reply.instruction.lcuid = "LCUID-LDRI-4";
  reply.instruction.name = "reload";
  reply.instruction.run_at = "2026-01-07T00:15:20Z";
  reply.instruction.run_at_s = NOW + 1;
  reply.instruction.created_at = "2026-01-07T00:15:14Z";
  reply.instruction.created_at_s = NOW - 5;
  reply.instruction.parameters.type = HBEAT_JSON_ARRAY;
  reply.instruction.parameters.text = "[1, \"\\u00e9\"]]}";
  reply.instruction.parameters.size = 13;
  expect_error("the last", learn(m, &BEAT, &reply, HBEAT_OK), HBEAT_OK);
}

static void test_golden(void **state) {
  static hbeat_memory expected;

  (void)state;
  in_hand("the bytes of a known life", TEXT(""));
  memcpy(&expected, golden(), SIZE);
  expect_int("the checksum of nine digits", crc_of("123456789", 9), 0xCBF43926);
  fill();
  expect_same_memory("the bytes", &expected);
  expect_int("changed", m->changed, 1);
}

/* It is refused, and nothing of it is left. */
static void expect_refused(const char *what, const void *bytes, size_t size) {
  static hbeat_memory empty;
  int64_t floor_s = 42;

  hbeat_memory_load(&empty, NULL, 0, NULL);
  expect_error(what, load(bytes, size, &floor_s), HBEAT_ERR_MEMORY);
  expect_int(what, floor_s, 42);
  expect_bytes(what, m, SIZE, &empty, SIZE);
}

/* A known life goes on, whichever version has kept it. */
static void expect_known_life(const unsigned char *kept) {
  static hbeat_memory expected;
  unsigned char bytes[SIZE];
  int64_t floor_s = 42;
  hbeat_instruction i;

  memcpy(bytes, kept, SIZE);
  bytes[0] = 1; /* the flags are of no concern */
  bytes[1] = 7;
  expect_error("the outcome", load(bytes, SIZE, &floor_s), HBEAT_OK);
  expect_int("the server's time", floor_s, NOW);
  expect_int("turn", m->next_report, 0);
  expect_int("changed, as one was interrupted", m->changed, 1);
  expect_int("records", (int64_t)all_records(m), 4);
  expect_int("reported", state_of("LCUID-LDRI-1"), REPORTED);
  expect_int("ended", state_of("LCUID-LDRI-2"), ENDED);
  expect_int("taken", state_of("LCUID-LDRI-3"), ENDED);
  expect_int("waiting", state_of("LCUID-LDRI-4"), WAITING);
  expect_text("its report", next_report(), "failed: caf\xC3\xA9 {\"a\":[]}");
  expected = *m;
  expect_error("again", load(&expected, SIZE, NULL), HBEAT_OK);
  expect_same_memory("again", &expected);
  expect_int("not changed", m->changed, 0);
  expect_error("sent again", offer("LCUID-LDRI-1", "reload", NONE), HBEAT_OK);
  expect_int("reported again", state_of("LCUID-LDRI-1"), ENDED);
  expect_text(
      "its old report", next_report(), "acknowledge {\"exit_status\":0}");
  report("LCUID-LDRI-1");
  expect_true("due", take_due(m, NOW + 1, &NO_LIMITS, &i));
  expect_text("the one that waited", i.lcuid, "LCUID-LDRI-4");
  expect_text("its name", i.name, "reload");
  expect_int("its time", i.run_at_s, NOW + 1);
  expect_int("its parameters", i.parameters.type, HBEAT_JSON_ARRAY);
  expect_bytes("its parameters", i.parameters.text, i.parameters.size,
      TEXT("[1, \"\\u00e9\"]"));
}

static void test_whole(void **state) {
  (void)state;
  in_hand("loaded whole", TEXT(""));
  expect_known_life(golden());
  in_hand("taken over from versions 0.2 and 0.3", TEXT(""));
  expect_known_life(old_golden());
}

/* What was kept by this version may lie in the memory itself. */
static void test_in_place(void **state) {
  int64_t floor_s = 0;

  (void)state;
  in_hand("loaded where it lies", TEXT(""));
  memcpy(m, golden(), SIZE);
  expect_error("the outcome", load_memory(m, m, SIZE, &floor_s), HBEAT_OK);
  expect_int("the server's time", floor_s, NOW);
  expect_int("reported", state_of("LCUID-LDRI-1"), REPORTED);
  expect_int("waiting", state_of("LCUID-LDRI-4"), WAITING);
}

static void test_no_bytes(void **state) {
  int64_t floor_s = -5;

  (void)state;
  in_hand("nothing was kept", TEXT(""));
  memset(m, 0xA5, sizeof *m);
  expect_error(
      "the outcome", hbeat_memory_load(m, NULL, 0, &floor_s), HBEAT_OK);
  expect_true("no time before 1970", floor_s == -5 || floor_s == 0);
  expect_int("changed", m->changed, 0);
  expect_true("nothing to run", !anything_due(INT64_MAX));
  expect_text("nothing to report", next_report(), NULL);
}

/* All bytes that say something, and every 29th of the empty ones: each takes a
 * checksum of all. */
static void expect_flips_refused(const unsigned char *kept) {
  unsigned char bytes[SIZE];
  char what[40];

  memcpy(bytes, kept, SIZE);
  for (size_t i = FORMAT; i < SIZE; i++) {
    if (i >= RECORDS && bytes[i] == 0 && i % 29 != 0) continue;
    snprintf(what, sizeof what, "byte %zu", i);
    bytes[i] ^= (unsigned char)(1 << i % 8);
    expect_refused(what, bytes, SIZE);
    bytes[i] = kept[i];
  }
}

static void test_flipped(void **state) {
  (void)state;
  in_hand("a byte is another one", TEXT(""));
  expect_flips_refused(golden());
  in_hand("a byte of an old one is another one", TEXT(""));
  expect_flips_refused(old_golden());
}

static void test_truncated(void **state) {
  static unsigned char bytes[2 * SIZE];
  char what[40];

  (void)state;
  in_hand("of another size", TEXT(""));
  memcpy(bytes, golden(), SIZE);
  memcpy(bytes + SIZE, golden(), SIZE);
  for (size_t size = 1; size <= 2 * SIZE; size++) {
    bool is_near = size < 40 || (size > SIZE - 40 && size < SIZE + 8);
    bool is_one_of_many = size < SIZE && size % 29 == 0;
    if (size == SIZE) continue;
    if (!is_near && !is_one_of_many && size < 2 * SIZE) continue;
    snprintf(what, sizeof what, "%zu bytes", size);
    expect_refused(what, bytes, size);
  }
}

enum { BAD, GOOD };

#define LETTERS_9 "lcuidlcui"
#define LETTERS_63                                                             \
  LETTERS_9 LETTERS_9 LETTERS_9 LETTERS_9 LETTERS_9 LETTERS_9 LETTERS_9

/* Row: the golden bytes with others in the place of some, or with one byte many
 * times; and whether that is a memory.  The checksum is right. */
#define PUT(name, offset, bytes, verdict)                                      \
  { name, offset, TEXT(bytes), 0, verdict }
#define FILL(name, offset, byte, count, verdict)                               \
  { name, offset, TEXT(byte), count, verdict }

struct crafted_row {
  const char *name;
  size_t offset;
  const char *bytes;
  size_t size;
  size_t fill; /* the first of them so many times; 0: all as they are */
  bool good;
};

static const struct crafted_row CRAFTED[] = {
    PUT("untouched", 0, "", GOOD),
    PUT("another version", FORMAT, "hbeat\3", BAD),
    PUT("the version before", FORMAT, "hbeat\1", BAD),
    PUT("no version", FORMAT, "hbeat\0", BAD),
    PUT("another format", FORMAT, "Hbeat\2", BAD),
    PUT("a time before 1970", TIME, "\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF", GOOD),
    PUT("the least time", TIME, AT_ONCE, GOOD),
    PUT("state 0: none behind it", WAITING_AT + STATE, "\0", BAD),
    PUT("state 5", WAITING_AT + STATE, "\5", BAD),
    PUT("state 255", WAITING_AT + STATE, "\xFF", BAD),
    PUT("state 5 of one that ended", ENDED_AT + STATE, "\5", BAD),
    PUT("state 5 in the first record", REPORTED_AT + STATE, "\5", BAD),
    PUT("ended as a heartbeat", ENDED_AT + CALL, "\0", BAD),
    PUT("ended as a log-in", ENDED_AT + CALL, "\3", BAD),
    PUT("ended as call 255", ENDED_AT + CALL, "\xFF", BAD),
    PUT("waiting as a report", WAITING_AT + CALL, "\1", BAD),
    PUT("taken as a report", TAKEN_AT + CALL, "\2", BAD),
    PUT("reported as a heartbeat", REPORTED_AT + CALL, "\0", BAD),
    PUT("failed where it was acknowledged", REPORTED_AT + CALL, "\2", GOOD),
    PUT("any time to run at", WAITING_AT + RUN_AT,
        "\x7F\xFF\xFF\xFF\xFF\xFF\xFF\xFF", GOOD),
    PUT("any time of making", WAITING_AT + CREATED_AT,
        "\x7F\xFF\xFF\xFF\xFF\xFF\xFF\xFF", GOOD),

    /* sizes */
    PUT("of no size", WAITING_AT, "\0\0", BAD),
    PUT("of the size of what is in front", WAITING_AT, "\0\x14", BAD),
    PUT("a byte longer than that", WAITING_AT, "\0\x15", BAD),
    PUT("a byte short", WAITING_AT, "\0\x35", BAD),
    PUT("a byte long", WAITING_AT, "\0\x37", BAD),
    PUT("a byte short, and another record behind", TAKEN_AT, "\0\x28", BAD),
    PUT("a byte long, and another record behind", TAKEN_AT, "\0\x2A", BAD),
    PUT("as long as the rest", WAITING_AT, "\x1F\x73", BAD),
    PUT("a byte longer than the rest", WAITING_AT, "\x1F\x74", BAD),
    PUT("of the greatest size", WAITING_AT, "\xFF\xFF", BAD),
    PUT("over the next record", TAKEN_AT, "\0\x5F", BAD),
    PUT("bytes behind the last record", FREE_AT, "\1", BAD),
    PUT("the last byte", SIZE - 1, "\1", BAD),
    PUT("a record without texts behind", FREE_AT, "\0\x14\1", BAD),
    PUT("one of an empty lcuid behind", FREE_AT, "\0\x17\1", BAD),
    PUT("one of a letter behind", FREE_AT,
        "\0\x18\1\0" AT_ONCE AT_ONCE "x\0\0\0", GOOD),
    PUT("one of a letter behind that has no size", FREE_AT,
        "\0\0\1\0" AT_ONCE AT_ONCE "x\0\0\0", BAD),
    PUT("a state in the last bytes", SIZE - 18, "\1", BAD),

    /* lcuids */
    PUT("an lcuid with a NUL inside", WAITING_AT + STRINGS, "x\0", BAD),
    PUT("an empty lcuid", WAITING_AT + STRINGS, "\0", BAD),
    PUT("an lcuid of dots", WAITING_AT + STRINGS, "............", GOOD),
    PUT("an lcuid of a dot", FREE_AT, "\0\x18\1\0" AT_ONCE AT_ONCE ".\0\0\0",
        BAD),
    PUT("an lcuid of two dots", FREE_AT,
        "\0\x19\1\0" AT_ONCE AT_ONCE "..\0\0\0", BAD),
    PUT("an lcuid with a slash", WAITING_AT + STRINGS, "../x", BAD),
    PUT("an lcuid with a space", WAITING_AT + STRINGS, "LC ID", BAD),
    PUT("an lcuid with a line end", WAITING_AT + STRINGS, "LC\r\nD", BAD),
    PUT("an lcuid with a percent sign", WAITING_AT + STRINGS, "%41", BAD),
    PUT("an lcuid with an accent", WAITING_AT + STRINGS, "\xC3\xA9", BAD),
    PUT("the same, reported", REPORTED_AT + STRINGS, "\xC3\xA9", BAD),
    PUT("two records of an lcuid", WAITING_AT + STRINGS, "LCUID-LDRI-2", BAD),
    PUT("two records of the first's", WAITING_AT + STRINGS, "LCUID-LDRI-1",
        BAD),
    PUT("an lcuid of 63 letters", FREE_AT,
        "\0\x56\1\0" AT_ONCE AT_ONCE LETTERS_63 "\0\0\0", GOOD),
    PUT("an lcuid of 64 letters", FREE_AT,
        "\0\x57\1\0" AT_ONCE AT_ONCE LETTERS_63 "x\0\0\0", BAD),

    /* texts: of the last record 13 bytes are its lcuid, and 21 the others */
    FILL("waiting, without a NUL", WAITING_AT + STRINGS + 13, "x", 21, BAD),
    FILL("waiting, with one NUL", WAITING_AT + STRINGS + 13, "x", 20, BAD),
    FILL("waiting, no parameters", WAITING_AT + STRINGS + 19, "\0", 15, BAD),
    PUT("waiting, a NUL in the parameters", WAITING_AT + STRINGS + 22, "\0",
        BAD),
    PUT("waiting, a text behind the last", WAITING_AT + STRINGS + 33, "x", BAD),
    PUT("waiting, parameters that are no JSON", WAITING_AT + STRINGS + 20, "]",
        GOOD),
    FILL("taken, without a NUL", TAKEN_AT + STRINGS + 13, "x", 8, BAD),
    FILL("ended, without a NUL", ENDED_AT + STRINGS + 13, "x", 15, BAD),
    FILL("ended, with one NUL", ENDED_AT + STRINGS + 13, "x", 14, BAD),
    FILL("reported, without a NUL", REPORTED_AT + STRINGS + 13, "x", 19, BAD),
    PUT("data that is an array", ENDED_AT + STRINGS + 19, "[      ]", BAD),
    PUT("data that is a string", ENDED_AT + STRINGS + 19, "\"{\\n\\n}\"", BAD),
    PUT("data that is cut", ENDED_AT + STRINGS + 19, "{\"a\":[]{", BAD),
    PUT("data that is not UTF-8", ENDED_AT + STRINGS + 19, "{\"\xFF\":[]}",
        BAD),
    PUT("data that is another object", ENDED_AT + STRINGS + 19, "{\"b\":{}}",
        GOOD),
    PUT("a message that is not UTF-8", ENDED_AT + STRINGS + 13,
        "\xFF\xFF\xFF\xFF\xFF", GOOD),
    PUT("reported, data that is an array", REPORTED_AT + STRINGS + 14, "[",
        BAD),
};

/* The same of versions 0.2 and 0.3. */
static const struct crafted_row OLD_CRAFTED[] = {
    PUT("old: untouched", 0, "", GOOD),
    PUT("old: the next version", FORMAT, "hbeat\2", BAD),
    PUT("old: no version", FORMAT, "hbeat\0", BAD),
    PUT("old: another format", FORMAT, "Hbeat\1", BAD),
    PUT("old: a time before 1970", TIME, "\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF",
        GOOD),
    PUT("old: the least time", TIME, AT_ONCE, GOOD),
    PUT("old: state 5", OLD_AT(15, OLD_STATE), "\5", BAD),
    PUT("old: state 255", OLD_AT(15, OLD_STATE), "\xFF", BAD),
    PUT("old: state 5 of one that ended", OLD_AT(13, OLD_STATE), "\5", BAD),
    PUT("old: state 5 in the first record", OLD_AT(0, OLD_STATE), "\5", BAD),
    PUT("old: waiting, without an lcuid", OLD_AT(0, OLD_STATE), "\1", BAD),
    PUT("old: ended as a heartbeat", OLD_AT(13, OLD_CALL), "\0", BAD),
    PUT("old: ended as a log-in", OLD_AT(13, OLD_CALL), "\3", BAD),
    PUT("old: ended as call 255", OLD_AT(13, OLD_CALL), "\xFF", BAD),
    PUT("old: waiting as a report", OLD_AT(15, OLD_CALL), "\1", BAD),
    PUT("old: taken as a report", OLD_AT(14, OLD_CALL), "\2", BAD),
    PUT("old: reported as a heartbeat", OLD_AT(12, OLD_CALL), "\0", BAD),
    PUT("old: failed where it was acknowledged", OLD_AT(12, OLD_CALL), "\2",
        GOOD),
    PUT("old: any time to run at", OLD_AT(15, OLD_RUN_AT),
        "\x7F\xFF\xFF\xFF\xFF\xFF\xFF\xFF", GOOD),

    /* lcuids */
    PUT("old: an lcuid of one letter", OLD_AT(15, 0), "x\0", GOOD),
    FILL("old: an lcuid of 63 letters", OLD_AT(15, 0), "x", 63, GOOD),
    FILL("old: an lcuid without a NUL", OLD_AT(15, 0), "x", 64, BAD),
    FILL("old: one without a NUL, reported", OLD_AT(12, 0), "x", 64, BAD),
    PUT("old: an empty lcuid", OLD_AT(15, 0), "\0", BAD),
    PUT("old: an lcuid of a dot", OLD_AT(15, 0), ".\0", BAD),
    PUT("old: an lcuid of two dots", OLD_AT(15, 0), "..\0", BAD),
    PUT("old: an lcuid with a slash", OLD_AT(15, 0), "../x", BAD),
    PUT("old: an lcuid with a space", OLD_AT(15, 0), "LC ID", BAD),
    PUT("old: an lcuid with a line end", OLD_AT(15, 0), "LC\r\nD", BAD),
    PUT("old: an lcuid with a percent sign", OLD_AT(15, 0), "%41", BAD),
    PUT("old: an lcuid with an accent", OLD_AT(15, 0), "\xC3\xA9", BAD),
    PUT("old: the same, reported", OLD_AT(12, 0), "\xC3\xA9", BAD),

    /* text */
    FILL("old: waiting, without a NUL", OLD_AT(15, OLD_STRINGS), "x", 438, BAD),
    FILL("old: waiting, with one NUL", OLD_AT(15, OLD_STRINGS), "x", 437, BAD),
    FILL("old: waiting, with two NULs at the end", OLD_AT(15, OLD_STRINGS), "x",
        436, GOOD),
    FILL("old: waiting, parameters without a NUL", OLD_AT(15, OLD_STRINGS + 7),
        "x", 431, BAD),
    FILL("old: taken, without a NUL", OLD_AT(14, OLD_STRINGS), "x", 438, BAD),
    FILL("old: ended, without a NUL", OLD_AT(13, OLD_STRINGS), "x", 438, BAD),
    FILL("old: ended, with one NUL", OLD_AT(13, OLD_STRINGS), "x", 437, BAD),
    FILL("old: ended, data without a NUL", OLD_AT(13, OLD_STRINGS + 6), "x",
        432, BAD),
    FILL("old: ended, with two NULs at the end", OLD_AT(13, OLD_STRINGS), "x",
        436, GOOD),
    FILL(
        "old: reported, without a NUL", OLD_AT(12, OLD_STRINGS), "x", 438, BAD),
    PUT("old: data that is an array", OLD_AT(13, OLD_STRINGS), "x\0[]\0", BAD),
    PUT("old: data that is null", OLD_AT(13, OLD_STRINGS), "x\0null\0", BAD),
    PUT("old: data that is a string", OLD_AT(13, OLD_STRINGS), "x\0\"{}\"\0",
        BAD),
    PUT("old: data that is cut", OLD_AT(13, OLD_STRINGS), "x\0{\"a\":\0", BAD),
    PUT("old: data with more behind it", OLD_AT(13, OLD_STRINGS), "x\0{}}\0",
        BAD),
    PUT("old: data that is not UTF-8", OLD_AT(13, OLD_STRINGS),
        "x\0{\"\xFF\":1}\0", BAD),
    PUT("old: data that is an object", OLD_AT(13, OLD_STRINGS), "x\0{}\0",
        GOOD),
    PUT("old: no data", OLD_AT(13, OLD_STRINGS), "x\0\0", GOOD),
    PUT("old: reported, data that is an array", OLD_AT(12, OLD_STRINGS),
        "\0[]\0", BAD),
    PUT("old: two records of an lcuid", OLD_AT(15, 0), "LCUID-LDRI-2", BAD),
    PUT("old: one that is free, with bytes left", OLD_AT(3, OLD_STRINGS), "x",
        GOOD),
};

static void expect_crafted(
    const struct crafted_row *row, const unsigned char *kept) {
  unsigned char bytes[SIZE];

  in_hand(row->name, row->bytes, row->size);
  memcpy(bytes, kept, SIZE);
  memcpy(bytes + row->offset, row->bytes, row->size);
  if (row->fill > 0) memset(bytes + row->offset, *row->bytes, row->fill);
  repair(bytes);
  if (row->good) expect_error("the outcome", load(bytes, SIZE, NULL), HBEAT_OK);
  else expect_refused("the outcome", bytes, SIZE);
}

static void test_crafted(void **state) {
  expect_crafted(*state, golden());
}

static void test_old_crafted(void **state) {
  expect_crafted(*state, old_golden());
}

/* ---- The states --------------------------------------------------------- */

#define A "LCUID-LDRI-a"
#define LATER (NOW + 3600)

typedef enum event {
  END_OF_EVENTS,
  NEW,        /* a heartbeat brings it, to be run now */
  PLANNED,    /* the same, to be run in an hour */
  NO_NEWS,    /* a heartbeat brings nothing */
  DUE,        /* the next is taken, now */
  DUE_LATER,  /* the next is taken, in an hour */
  DONE,       /* it was carried out */
  FAILED,     /* it was not */
  SENT,       /* the next report is made, */
  LOST,       /* times out, */
  REFUSED,    /* or is refused for good */
  FIRST,      /* an acknowledgement is made before it ends, */
  FIRST_LOST, /* or is lost, */
  FIRST_NONE, /* or refused for good */
  RESTART
} event;

static void end_report(event what) {
  hbeat_request request;

  if (!make_report(m, &request)) return;
  expect_text("reported", request.instruction, A);
  if (what == SENT) hear(&request, HBEAT_OK, 200);
  if (what == LOST) hear(&request, HBEAT_ERR_TIMEOUT, 0);
  if (what == REFUSED) hear(&request, HBEAT_ERR_STATUS, 404);
}

static void play(event what) {
  hbeat_request early = {.call = HBEAT_ACKNOWLEDGE, .instruction = A};
  hbeat_reply reply = good_reply();
  hbeat_instruction i;
  hbeat_memory kept;

  m->changed = 0;
  switch (what) {
  case NEW: expect_error("new", offer(A, "reload", NONE), HBEAT_OK); break;
  case PLANNED:
    expect_error("planned", offer(A, "reload", LATER), HBEAT_OK);
    break;
  case NO_NEWS:
    expect_error("no news", learn(m, &BEAT, &reply, HBEAT_OK), HBEAT_OK);
    break;
  case DUE: take_due(m, NOW, &NO_LIMITS, &i); break;
  case DUE_LATER: take_due(m, LATER, &NO_LIMITS, &i); break;
  case DONE: end_one(m, A, HBEAT_ACKNOWLEDGE, NULL, "{\"n\":1}"); break;
  case FAILED: end_one(m, A, HBEAT_FAILED, "no", NULL); break;
  case SENT:
  case LOST:
  case REFUSED: end_report(what); break;
  case FIRST: hear(&early, HBEAT_OK, 200); break;
  case FIRST_LOST: hear(&early, HBEAT_ERR_TRUNCATED, 0); break;
  case FIRST_NONE: hear(&early, HBEAT_ERR_STATUS, 404); break;
  case RESTART:
    kept = *m;
    expect_error("restart", load(&kept, SIZE, NULL), HBEAT_OK);
    break;
  case END_OF_EVENTS: break;
  }
}

/* What would be reported. */
#define DID "acknowledge {\"n\":1}"
#define DID_NOT "failed: no"
#define CUT "failed: interrupted"

/* Row: what happens to an instruction, and how it is then. */
static const struct state_row {
  const char *name;
  event events[8];
  int state;
  bool changed;       /* by the last event */
  const char *report; /* that would be sent; NULL: none */
} STATES[] = {
    {"nothing known, no news", {NO_NEWS}, .state = FREE},
    {"nothing known, due", {DUE}, .state = FREE},
    {"nothing known, done", {DONE}, .state = FREE},
    {"nothing known, failed", {FAILED}, .state = FREE},
    {"nothing known, sent", {SENT}, .state = FREE},
    {"nothing known, acknowledged", {FIRST}, .state = FREE},

    {"new", {NEW}, .state = WAITING, .changed = true},
    {"new, repeated", {NEW, NEW}, .state = WAITING},
    {"new, no news", {NEW, NO_NEWS}, .state = WAITING},
    {"new, nothing to send", {NEW, SENT}, .state = WAITING},
    {"new, acknowledged", {NEW, FIRST}, .state = WAITING},
    {"new, restart", {NEW, RESTART}, .state = WAITING},
    {"planned", {PLANNED}, .state = WAITING, .changed = true},
    {"planned, repeated", {PLANNED, PLANNED}, .state = WAITING},
    {"planned, too early", {PLANNED, DUE}, .state = WAITING},
    {"planned, restart", {PLANNED, RESTART}, .state = WAITING},
    {"planned, in time", {PLANNED, DUE_LATER}, .state = TAKEN, .changed = true},
    {"planned, later", {PLANNED, RESTART, DUE_LATER}, .state = TAKEN,
        .changed = true},

    {"taken", {NEW, DUE}, .state = TAKEN, .changed = true},
    {"taken, repeated", {NEW, DUE, NEW}, .state = TAKEN},
    {"taken, due", {NEW, DUE, DUE}, .state = TAKEN},
    {"taken, no news", {NEW, DUE, NO_NEWS}, .state = TAKEN},
    {"taken, nothing to send", {NEW, DUE, SENT}, .state = TAKEN},
    {"taken, restart", {NEW, DUE, RESTART}, .state = ENDED, .changed = true,
        .report = CUT},
    {"repeated, restart", {NEW, DUE, NEW, RESTART}, .state = ENDED,
        .changed = true, .report = CUT},
    {"interrupted, repeated", {NEW, DUE, RESTART, NEW}, .state = ENDED,
        .report = CUT},
    {"interrupted, due", {NEW, DUE, RESTART, DUE}, .state = ENDED,
        .report = CUT},
    {"interrupted, restart", {NEW, DUE, RESTART, RESTART}, .state = ENDED,
        .report = CUT},
    {"interrupted, sent", {NEW, DUE, RESTART, SENT}, .state = REPORTED,
        .changed = true},

    {"done", {NEW, DUE, DONE}, .state = ENDED, .changed = true, .report = DID},
    {"failed", {NEW, DUE, FAILED}, .state = ENDED, .changed = true,
        .report = DID_NOT},
    {"done, repeated", {NEW, DUE, DONE, NEW}, .state = ENDED, .report = DID},
    {"done, due", {NEW, DUE, DONE, DUE}, .state = ENDED, .report = DID},
    {"done, no news", {NEW, DUE, DONE, NO_NEWS}, .state = ENDED, .report = DID},
    {"done, restart", {NEW, DUE, DONE, RESTART}, .state = ENDED, .report = DID},
    {"failed, restart", {NEW, DUE, FAILED, RESTART}, .state = ENDED,
        .report = DID_NOT},
    {"done, lost", {NEW, DUE, DONE, LOST}, .state = ENDED, .report = DID},
    {"lost, restart", {NEW, DUE, DONE, LOST, RESTART}, .state = ENDED,
        .report = DID},
    {"lost, sent", {NEW, DUE, DONE, LOST, SENT}, .state = REPORTED,
        .changed = true},
    {"done, refused", {NEW, DUE, DONE, REFUSED}, .state = REPORTED,
        .changed = true},

    {"reported", {NEW, DUE, DONE, SENT}, .state = REPORTED, .changed = true},
    {"failure reported", {NEW, DUE, FAILED, SENT}, .state = REPORTED,
        .changed = true},
    {"reported, repeated", {NEW, DUE, DONE, SENT, NEW}, .state = ENDED,
        .changed = true, .report = DID},
    {"failed, repeated", {NEW, DUE, FAILED, SENT, NEW}, .state = ENDED,
        .changed = true, .report = DID_NOT},
    {"refused, repeated", {NEW, DUE, DONE, REFUSED, NEW}, .state = ENDED,
        .changed = true, .report = DID},
    {"again, repeated", {NEW, DUE, DONE, SENT, NEW, NEW}, .state = ENDED,
        .report = DID},
    {"again, restart", {NEW, DUE, DONE, SENT, NEW, RESTART}, .state = ENDED,
        .report = DID},
    {"again, due", {NEW, DUE, DONE, SENT, NEW, DUE}, .state = ENDED,
        .report = DID},
    {"again, sent", {NEW, DUE, DONE, SENT, NEW, SENT}, .state = REPORTED,
        .changed = true},
    {"reported, due", {NEW, DUE, DONE, SENT, DUE}, .state = REPORTED},
    {"reported, no news", {NEW, DUE, DONE, SENT, NO_NEWS}, .state = REPORTED},
    {"reported, no more", {NEW, DUE, DONE, SENT, SENT}, .state = REPORTED},
    {"reported, restart", {NEW, DUE, DONE, SENT, RESTART}, .state = REPORTED},

    {"first", {NEW, DUE, FIRST}, .state = REPORTED, .changed = true},
    {"first lost", {NEW, DUE, FIRST_LOST}, .state = TAKEN},
    {"first lost, restart", {NEW, DUE, FIRST_LOST, RESTART}, .state = ENDED,
        .changed = true, .report = CUT},
    {"first refused", {NEW, DUE, FIRST_NONE}, .state = REPORTED,
        .changed = true},
    {"first refused, repeated: it never ran", {NEW, DUE, FIRST_NONE, NEW},
        .state = ENDED, .changed = true, .report = "failed"},
    {"first, restart", {NEW, DUE, FIRST, RESTART}, .state = REPORTED},
    {"first, due", {NEW, DUE, FIRST, DUE}, .state = REPORTED},
    {"first, repeated", {NEW, DUE, FIRST, NEW}, .state = ENDED, .changed = true,
        .report = "acknowledge"},
    {"first, failed", {NEW, DUE, FIRST, FAILED}, .state = ENDED,
        .changed = true, .report = DID_NOT},
    {"first, repeated, failed, and the acknowledgement of before ends",
        {NEW, DUE, FIRST, NEW, FAILED, FIRST}, .state = ENDED,
        .report = DID_NOT},
    {"first, failed, sent", {NEW, DUE, FIRST, FAILED, SENT}, .state = REPORTED,
        .changed = true},
};

static void test_state(void **state) {
  const struct state_row *row = *state;

  in_hand(row->name, TEXT(""));
  forget();
  for (const event *e = row->events; *e != END_OF_EVENTS; e++) play(*e);
  expect_int("the state", state_of(A), row->state);
  expect_int("changed", m->changed, row->changed);
  expect_int("to be run", anything_due(LATER), row->state == WAITING);
  expect_text("the report", next_report(), row->report);
}

/* ---- Learning ----------------------------------------------------------- */

/* Row: an instruction, and what comes of it. */
static const struct learn_row {
  const char *name;
  const char *lcuid;
  const char *instruction;
  const char *run_at;
  int64_t run_at_s; /* 0: it is none, or cannot be read */
  bool unreadable;
  hbeat_error error;
  int state;
  const char *report; /* that would be sent; NULL: none */
} LEARN[] = {
    {"now", .lcuid = A, .instruction = "reload", .state = WAITING},
    {"at a time", .lcuid = A, .instruction = "reload", .run_at = "then",
        .run_at_s = LATER, .state = WAITING},
    {"no name: none waits", .lcuid = A},
    {"no name and no lcuid", .lcuid = NULL},
    {"an empty name", .lcuid = A, .instruction = "", .state = WAITING},
    {"any name", .lcuid = A, .instruction = "\xE2\x82\xAC / ..\n",
        .state = WAITING},

    {"no lcuid", .instruction = "reload", .error = HBEAT_ERR_JSON},
    {"an empty lcuid", .lcuid = "", .instruction = "reload",
        .error = HBEAT_ERR_JSON},
    {"an lcuid of one letter", .lcuid = "x", .instruction = "reload",
        .state = WAITING},
    {"an lcuid of all that may be in it", .lcuid = "azAZ09-._~",
        .instruction = "reload", .state = WAITING},
    {"an lcuid of three dots", .lcuid = "...", .instruction = "reload",
        .state = WAITING},
    {"a dot", .lcuid = ".", .instruction = "reload", .error = HBEAT_ERR_JSON},
    {"two dots", .lcuid = "..", .instruction = "reload",
        .error = HBEAT_ERR_JSON},
    {"a slash", .lcuid = "a/b", .instruction = "reload",
        .error = HBEAT_ERR_JSON},
    {"a question mark", .lcuid = "a?b", .instruction = "reload",
        .error = HBEAT_ERR_JSON},
    {"a percent sign", .lcuid = "a%2Fb", .instruction = "reload",
        .error = HBEAT_ERR_JSON},
    {"a space", .lcuid = "a b", .instruction = "reload",
        .error = HBEAT_ERR_JSON},
    {"a line end", .lcuid = "a\r\nb", .instruction = "reload",
        .error = HBEAT_ERR_JSON},
    {"an accent", .lcuid = "\xC3\xA9", .instruction = "reload",
        .error = HBEAT_ERR_JSON},

    {"a time that cannot be read", .lcuid = A, .instruction = "reload",
        .run_at = "tomorrow", .state = ENDED,
        .report = "failed: run_at cannot be read"},
    {"an empty time", .lcuid = A, .instruction = "reload", .run_at = "",
        .state = ENDED, .report = "failed: run_at cannot be read"},

    {"one that cannot be read", .lcuid = A, .unreadable = true, .state = ENDED,
        .report = "failed: it cannot be read"},
    {"one that cannot be read, at a time", .lcuid = A, .run_at = "then",
        .run_at_s = LATER, .unreadable = true, .state = ENDED,
        .report = "failed: it cannot be read"},
    {"neither it nor its time can be read", .lcuid = A, .run_at = "tomorrow",
        .unreadable = true, .state = ENDED,
        .report = "failed: it cannot be read"},
    {"neither it nor its lcuid can be read", .unreadable = true,
        .error = HBEAT_ERR_JSON},
    {"one that cannot be read, of a bad lcuid", .lcuid = "a/b",
        .unreadable = true, .error = HBEAT_ERR_JSON},
};

static void test_learn(void **state) {
  const struct learn_row *row = *state;
  const char *lcuid = row->lcuid ? row->lcuid : "";
  hbeat_reply reply = good_reply();
  hbeat_memory before;

  in_hand(row->name, lcuid, strlen(lcuid));
  forget();
  before = *m;
  reply.instruction.lcuid = row->lcuid;
  reply.instruction.name = row->instruction;
  reply.instruction.run_at = row->run_at;
  reply.instruction.run_at_s = row->run_at_s == 0 ? NONE : row->run_at_s;
  reply.instruction.unreadable = row->unreadable;
  expect_error("the outcome", learn(m, &BEAT, &reply, HBEAT_OK), row->error);
  expect_int("the state", state_of(lcuid), row->state);
  expect_int("changed", m->changed, row->state != FREE);
  expect_text("the report", next_report(), row->report);
  if (row->state == FREE) expect_same_memory("nothing learnt", &before);
}

/* Row: how many bytes the lcuid, the name and the parameters have. */
static const struct length_row {
  const char *name;
  size_t lcuid;
  size_t instruction;
  size_t parameters;
  hbeat_error error;
  bool kept; /* to be run; else it is reported as too long, or refused */
} LENGTHS[] = {
    {"an lcuid of 62 letters", .lcuid = 62, .instruction = 6, .parameters = 2,
        .kept = true},
    {"an lcuid of 63 letters", .lcuid = 63, .instruction = 6, .parameters = 2,
        .kept = true},
    {"an lcuid of 64 letters", .lcuid = 64, .instruction = 6, .parameters = 2,
        .error = HBEAT_ERR_JSON},
    {"an lcuid of 65 letters", .lcuid = 65, .instruction = 6, .parameters = 2,
        .error = HBEAT_ERR_JSON},
    {"an lcuid of 5000 letters", .lcuid = 5000, .instruction = 6,
        .parameters = 2, .error = HBEAT_ERR_JSON},
    {"a name of 3999 bytes", .lcuid = 1, .instruction = 3999, .kept = true},
    {"a name of 4000 bytes", .lcuid = 1, .instruction = 4000, .kept = true},
    {"a name of 4001 bytes", .lcuid = 1, .instruction = 4001},
    {"a name of 5000 bytes", .lcuid = 1, .instruction = 5000, .parameters = 2},
    {"4000 bytes in all", .lcuid = 1, .instruction = 36, .parameters = 3964,
        .kept = true},
    {"4000 bytes in all, and the longest lcuid", .lcuid = 63, .instruction = 36,
        .parameters = 3964, .kept = true},
    {"4001 bytes in all", .lcuid = 1, .instruction = 36, .parameters = 3965},
    {"4001 bytes in all, and the longest lcuid", .lcuid = 63, .instruction = 36,
        .parameters = 3965},
    {"parameters of 4000 bytes, no name", .lcuid = 1, .parameters = 4000,
        .kept = true},
    {"parameters of 4001 bytes, no name", .lcuid = 1, .parameters = 4001},
    {"parameters of 9000 bytes", .lcuid = 1, .instruction = 6,
        .parameters = 9000},
};

/* A string of one letter, or an array of so many bytes. */
static const char *long_text(char *out, char letter, size_t size) {
  memset(out, letter, size);
  out[size] = '\0';
  if (letter == '[' && size > 0) {
    memset(out, ' ', size);
    out[0] = '[';
    out[size - 1] = ']';
  }
  return out;
}

#define TOO_LONG "too long to be kept: over 4000 bytes"

static void test_length(void **state) {
  const struct length_row *row = *state;
  static char lcuid[9001], name[9001], parameters[9001];
  hbeat_reply reply = good_reply();
  hbeat_instruction i;

  in_hand(row->name, TEXT(""));
  forget();
  reply.instruction.lcuid = long_text(lcuid, 'l', row->lcuid);
  reply.instruction.name = long_text(name, 'n', row->instruction);
  reply.instruction.parameters.text =
      long_text(parameters, '[', row->parameters);
  reply.instruction.parameters.size = row->parameters;
  reply.instruction.parameters.type = HBEAT_JSON_ARRAY;
  if (row->parameters == 0) reply.instruction.parameters.type = HBEAT_JSON_NONE;
  expect_error("the outcome", learn(m, &BEAT, &reply, HBEAT_OK), row->error);
  expect_text("the report", next_report(),
      row->kept || row->error != HBEAT_OK ? NULL : "failed: " TOO_LONG);
  expect_int("to be run", take_due(m, NOW, &NO_LIMITS, &i), row->kept);
  if (!row->kept) return;
  expect_text("lcuid", i.lcuid, lcuid);
  expect_text("the name", i.name, name);
  expect_bytes("the parameters", row->parameters ? i.parameters.text : "",
      i.parameters.size, parameters, row->parameters);
}

/* Row: parameters as the server sends them, and their type. */
static const struct parameters_row {
  const char *name;
  const char *text;
  hbeat_json_type type;
} PARAMETERS[] = {
    {"an empty array", "[]", HBEAT_JSON_ARRAY},
    {"an empty object", "{}", HBEAT_JSON_OBJECT},
    {"null", "null", HBEAT_JSON_NULL},
    {"an array", "[1, \"a\\/b\", null, true, [2], {\"c\": 3}]",
        HBEAT_JSON_ARRAY},
    {"a keyed array", "{\"0\": \"a\", \"1\": \"b\"}", HBEAT_JSON_OBJECT},
    {"space and line ends inside", "[ 1 ,\r\n\t2 ]", HBEAT_JSON_ARRAY},
    {"escapes", "[\"\\u0000\\ud83d\\ude00\\n\"]", HBEAT_JSON_ARRAY},
    {"beyond ASCII", "[\"\xF0\x9F\x98\x80\"]", HBEAT_JSON_ARRAY},
    {"a string", "\"now\"", HBEAT_JSON_STRING},
    {"an empty string", "\"\"", HBEAT_JSON_STRING},
    {"a number", "-1.5e3", HBEAT_JSON_NUMBER},
    {"true", "true", HBEAT_JSON_TRUE},
    {"false", "false", HBEAT_JSON_FALSE},
    {"none", "", HBEAT_JSON_NONE},
};

/* From a reply, which is overwritten, over a restart. */
static void test_parameters(void **state) {
  const struct parameters_row *row = *state;
  hbeat_reply reply = good_reply();
  hbeat_instruction i;
  const char *what;
  char body[300];

  in_hand(row->name, row->text, strlen(row->text));
  forget();
  sprintf(body,
      "{\"success\":true,\"lightning_device_remote_instruction\":{"
      "\"instruction\":\"re\\u006coad\",\"lcuid\":\"" A "\"%s%s}}",
      *row->text ? ",\"parameters\": " : "", row->text);
  expect_error("decoded",
      hbeat_decode(&BEAT, &reply, body, strlen(body), &what), HBEAT_OK);
  expect_error("learnt", learn(m, &BEAT, &reply, HBEAT_OK), HBEAT_OK);
  memset(body, 0xA5, sizeof body);
  memset(&reply, 0xA5, sizeof reply);
  play(RESTART);
  expect_true("due", take_due(m, NOW, &NO_LIMITS, &i));
  expect_text("lcuid", i.lcuid, A);
  expect_text("the name", i.name, "reload");
  expect_int("run_at_s", i.run_at_s, NONE);
  expect_int("the type", i.parameters.type, row->type);
  expect_bytes("the parameters", row->type ? i.parameters.text : "",
      i.parameters.size, row->text, strlen(row->text));
  expect_int("status", i.status, NONE);
  expect_int("created_at_s", i.created_at_s, NONE);
  expect_int("updated_at_s", i.updated_at_s, NONE);
  expect_text("created_at", i.created_at, NULL);
  expect_text("updated_at", i.updated_at, NULL);
}

/* What the server has as acknowledged neither runs nor is reported again. */
static void test_status(void **state) {
  static const int64_t other[] = {NONE, INT64_MIN + 1, -1, 0, 1, 3, INT64_MAX};
  hbeat_reply reply = good_reply();
  hbeat_memory before;

  (void)state;
  in_hand("status", TEXT(""));
  reply.instruction.lcuid = A;
  reply.instruction.name = "reload";
  for (size_t i = 0; i <= COUNT(other); i++) {
    bool acknowledged = i == COUNT(other);
    reply.instruction.status = acknowledged ? 2 : other[i];
    forget();
    before = *m;
    expect_error("new", learn(m, &BEAT, &reply, HBEAT_OK), HBEAT_OK);
    expect_int("waits", state_of(A), acknowledged ? FREE : WAITING);
    if (acknowledged) expect_same_memory("not learnt", &before);
    expect_error("again", learn(m, &BEAT, &reply, HBEAT_OK), HBEAT_OK);
    expect_int("waits still", state_of(A), acknowledged ? FREE : WAITING);
    run(A);
    before = *m;
    expect_error("ended", learn(m, &BEAT, &reply, HBEAT_OK), HBEAT_OK);
    expect_same_memory("its report is still to be made", &before);
    report(A);
    m->changed = 0;
    before = *m;
    expect_error("again", learn(m, &BEAT, &reply, HBEAT_OK), HBEAT_OK);
    expect_int("to be reported", state_of(A), acknowledged ? REPORTED : ENDED);
    expect_int("changed", m->changed, !acknowledged);
    if (acknowledged) expect_same_memory("nothing changes", &before);
  }
}

/* One that waits, and that the server comes to have as acknowledged, is
 * forgotten: somebody has taken it back. */
static void test_taken_back(void **state) {
  hbeat_reply reply = good_reply();
  hbeat_memory empty;
  hbeat_instruction i;

  (void)state;
  in_hand("taken back", TEXT(""));
  forget();
  empty = *m;
  for (int planned = 0; planned < 2; planned++) {
    int64_t run_at_s = planned ? LATER : NONE;
    reply.instruction.lcuid = A;
    reply.instruction.name = "reload";
    reply.instruction.status = 2;
    expect_error("new", offer(A, "reload", run_at_s), HBEAT_OK);
    m->changed = 0;
    expect_error("taken back", learn(m, &BEAT, &reply, HBEAT_OK), HBEAT_OK);
    expect_int("changed", m->changed, 1);
    expect_same_memory("forgotten", &empty);
    expect_true("does not run", !anything_due(LATER));
    expect_error("new again", offer(A, "reload", run_at_s), HBEAT_OK);
    expect_true("due", take_due(m, LATER, &NO_LIMITS, &i));
    m->changed = 0;
    expect_error("too late", learn(m, &BEAT, &reply, HBEAT_OK), HBEAT_OK);
    expect_int("taken", state_of(A), TAKEN);
    expect_int("not changed", m->changed, 0);
    forget();
  }
  reply.instruction.unreadable = true;
  reply.instruction.name = NULL;
  expect_error("unreadable", learn(m, &BEAT, &reply, HBEAT_OK), HBEAT_OK);
  expect_same_memory("done with", &empty);
}

/* Only a good reply to a heartbeat counts, whatever another one holds. */
static void test_learn_errors(void **state) {
  hbeat_request request = BEAT;
  hbeat_reply reply = good_reply();
  hbeat_memory empty;

  (void)state;
  in_hand("learning from errors", TEXT(""));
  forget();
  empty = *m;
  for (int e = HBEAT_OK; e <= HBEAT_ERR_MEMORY; e++) {
    for (int call = HBEAT_BEAT; call <= HBEAT_LOGIN; call++) {
      if (e == HBEAT_OK && call == HBEAT_BEAT) continue;
      request.call = (hbeat_call)call;
      request.instruction = A;
      reply.http_status = e == HBEAT_OK ? 200 : 404;
      reply.instruction.lcuid = A;
      reply.instruction.name = call == HBEAT_BEAT ? "reload" : NULL;
      reply.instruction.unreadable = call != HBEAT_BEAT;
      expect_error(hbeat_error_name((hbeat_error)e),
          learn(m, &request, &reply, (hbeat_error)e), HBEAT_OK);
      expect_same_memory(hbeat_error_name((hbeat_error)e), &empty);
      expect_int("changed", m->changed, 0);
    }
  }
  memset(&reply, 0, sizeof reply);
  reply.clock_offset_s = NONE;
  expect_error(
      "all zero", learn(m, &BEAT, &reply, HBEAT_ERR_CONNECT), HBEAT_OK);
  expect_same_memory("all zero", &empty);
}

static void test_unknown(void **state) {
  hbeat_request request;
  hbeat_memory before;

  (void)state;
  in_hand("an lcuid that nobody knows", TEXT(""));
  fill();
  m->changed = 0;
  before = *m;
  memset(&request, 0, sizeof request);
  request.instruction = "LCUID-LDRI-12";
  for (int call = HBEAT_ACKNOWLEDGE; call <= HBEAT_FAILED; call++) {
    request.call = (hbeat_call)call;
    hear(&request, HBEAT_OK, 200);
    hear(&request, HBEAT_ERR_STATUS, 404);
    end_one(m, "LCUID-LDRI-12", request.call, "x", "{}");
    end_one(m, "LCUID-LDRI-", request.call, "x", "{}");
    end_one(m, "", request.call, "x", "{}");
    request.instruction = NULL; /* which no exchange was begun with */
    hear(&request, HBEAT_ERR_ARGUMENT, 0);
    request.instruction = "LCUID-LDRI-12";
  }
  expect_same_memory("nothing happened", &before);
  expect_int("changed", m->changed, 0);
}

/* ---- Time to run -------------------------------------------------------- */

enum outcome { RUNS, WAITS, STALE };

static const struct due_row {
  const char *name;
  int64_t run_at_s; /* NONE: at once */
  int64_t created_at_s;
  int64_t now_s;
  hbeat_limits limits; /* 0: it never becomes stale */
  enum outcome outcome;
  const char *report; /* of one that is stale */
} DUE_TIMES[] = {
    {"now", .run_at_s = NONE, .now_s = NOW, .outcome = RUNS},
    {"now, and an age", .run_at_s = NONE, .now_s = NOW, .limits.max_age_s = 1,
        .outcome = RUNS},
    {"now, in 1970", .run_at_s = NONE, .now_s = 0, .limits.max_age_s = 60,
        .outcome = RUNS},
    {"now, before 1970", .run_at_s = NONE, .now_s = -1, .limits.max_age_s = 60,
        .outcome = RUNS},
    {"now, at the least time", .run_at_s = NONE, .now_s = INT64_MIN,
        .limits.max_age_s = 60, .outcome = RUNS},
    {"now, at the greatest time", .run_at_s = NONE, .now_s = INT64_MAX,
        .limits.max_age_s = INT64_MAX, .outcome = RUNS},
    {"this second", .run_at_s = NOW, .now_s = NOW, .limits.max_age_s = 60,
        .outcome = RUNS},
    {"the next second", .run_at_s = NOW, .now_s = NOW - 1,
        .limits.max_age_s = 60, .outcome = WAITS},
    {"a second ago", .run_at_s = NOW, .now_s = NOW + 1, .limits.max_age_s = 60,
        .outcome = RUNS},
    {"as late as can be", .run_at_s = NOW, .now_s = NOW + 60,
        .limits.max_age_s = 60, .outcome = RUNS},
    {"a second later", .run_at_s = NOW, .now_s = NOW + 61,
        .limits.max_age_s = 60, .outcome = STALE,
        .report = "failed: stale: 61 s old"},
    {"years late", .run_at_s = NOW, .now_s = NOW + INT64_C(1000000000),
        .limits.max_age_s = 3600, .outcome = STALE,
        .report = "failed: stale: 1000000000 s old"},
    {"years late, never stale", .run_at_s = NOW,
        .now_s = NOW + INT64_C(1000000000), .outcome = RUNS},
    {"far ahead", .run_at_s = INT64_C(253402300799), .now_s = NOW,
        .limits.max_age_s = 60, .outcome = WAITS},
    {"the epoch, in time", .run_at_s = 0, .now_s = 30, .limits.max_age_s = 60,
        .outcome = RUNS},
    {"the epoch, stale", .run_at_s = 0, .now_s = NOW, .limits.max_age_s = 60,
        .outcome = STALE, .report = "failed: stale: 1767744919 s old"},
    {"before the epoch", .run_at_s = -100, .now_s = -50, .limits.max_age_s = 60,
        .outcome = RUNS},
    {"before the epoch, early", .run_at_s = -100, .now_s = -101,
        .limits.max_age_s = 60, .outcome = WAITS},
    {"before the epoch, stale", .run_at_s = -100, .now_s = 0,
        .limits.max_age_s = 60, .outcome = STALE,
        .report = "failed: stale: 100 s old"},
    {"the year 1, stale", .run_at_s = -62135596800, .now_s = NOW,
        .limits.max_age_s = 60, .outcome = STALE,
        .report = "failed: stale: 63903341719 s old"},
    {"the year 1, never stale", .run_at_s = -62135596800, .now_s = NOW,
        .outcome = RUNS},
    {"the greatest time, early", .run_at_s = INT64_MAX, .now_s = NOW,
        .limits.max_age_s = 60, .outcome = WAITS},
    {"the greatest time, very early", .run_at_s = INT64_MAX, .now_s = INT64_MIN,
        .limits.max_age_s = 60, .outcome = WAITS},
    {"the greatest time", .run_at_s = INT64_MAX, .now_s = INT64_MAX,
        .limits.max_age_s = 60, .outcome = RUNS},
    {"the least time but one, early", .run_at_s = INT64_MIN + 1,
        .now_s = INT64_MIN, .limits.max_age_s = 60, .outcome = WAITS},
    {"the least time but one", .run_at_s = INT64_MIN + 1,
        .now_s = INT64_MIN + 1, .limits.max_age_s = 60, .outcome = RUNS},
    {"as stale as can be", .run_at_s = INT64_MIN + 1, .now_s = INT64_MAX,
        .limits.max_age_s = 60, .outcome = STALE,
        .report = "failed: stale: 18446744073709551614 s old"},
    {"as stale as can be, but one", .run_at_s = INT64_MIN + 1,
        .now_s = INT64_MAX, .limits.max_age_s = INT64_MAX, .outcome = STALE,
        .report = "failed: stale: 18446744073709551614 s old"},
    {"as late as is allowed", .run_at_s = 0, .now_s = INT64_MAX,
        .limits.max_age_s = INT64_MAX, .outcome = RUNS},
    {"a bit later", .run_at_s = -1, .now_s = INT64_MAX,
        .limits.max_age_s = INT64_MAX, .outcome = STALE,
        .report = "failed: stale: 9223372036854775808 s old"},
    {"as late as can be, never stale", .run_at_s = INT64_MIN + 1,
        .now_s = INT64_MAX, .outcome = RUNS},

    /* by the time that it was made */
    {"made a second ago", .run_at_s = NONE, .created_at_s = NOW - 1,
        .now_s = NOW, .limits.max_wait_s = 60, .outcome = RUNS},
    {"made as long ago as may be", .run_at_s = NONE, .created_at_s = NOW - 60,
        .now_s = NOW, .limits.max_wait_s = 60, .outcome = RUNS},
    {"made a second longer ago", .run_at_s = NONE, .created_at_s = NOW - 61,
        .now_s = NOW, .limits.max_wait_s = 60, .outcome = STALE,
        .report = "failed: stale: 61 s old"},
    {"made long ago, no limit", .run_at_s = NONE, .created_at_s = 0,
        .now_s = NOW, .limits.max_age_s = 60, .outcome = RUNS},
    {"made in the future", .run_at_s = NONE, .created_at_s = NOW + 99,
        .now_s = NOW, .limits.max_wait_s = 60, .outcome = RUNS},
    {"made at some time", .run_at_s = NONE, .created_at_s = NONE, .now_s = NOW,
        .limits.max_wait_s = 60, .outcome = RUNS},
    {"made long ago, for this second", .run_at_s = NOW, .created_at_s = 0,
        .now_s = NOW, .limits.max_age_s = 60, .limits.max_wait_s = 60,
        .outcome = RUNS},
    {"made long ago, for a minute ago", .run_at_s = NOW - 61,
        .created_at_s = NOW - 9, .now_s = NOW, .limits.max_age_s = 60,
        .limits.max_wait_s = 999, .outcome = STALE,
        .report = "failed: stale: 61 s old"},
    {"made long ago, for the next second", .run_at_s = NOW + 1,
        .created_at_s = 0, .now_s = NOW, .limits.max_age_s = 60,
        .limits.max_wait_s = 60, .outcome = WAITS},
    {"made at the least time", .run_at_s = NONE, .created_at_s = INT64_MIN + 1,
        .now_s = INT64_MAX, .limits.max_wait_s = INT64_MAX, .outcome = STALE,
        .report = "failed: stale: 18446744073709551614 s old"},
    {"negative limits are none", .run_at_s = NONE, .created_at_s = 0,
        .now_s = NOW, .limits.max_age_s = -1, .limits.max_wait_s = INT64_MIN,
        .outcome = RUNS},

    /* no clock */
    {"now, without a clock", .run_at_s = NONE, .created_at_s = 0, .now_s = NONE,
        .limits.max_age_s = 1, .limits.max_wait_s = 1, .outcome = RUNS},
    {"the least time but one, without a clock", .run_at_s = INT64_MIN + 1,
        .now_s = NONE, .limits.max_age_s = 1, .limits.max_wait_s = 1,
        .outcome = WAITS},
    {"the epoch, without a clock", .run_at_s = 0, .now_s = NONE,
        .limits.max_age_s = 1, .outcome = WAITS},
};

static void test_due(void **state) {
  static const int states[] = {
      [RUNS] = TAKEN, [WAITS] = WAITING, [STALE] = ENDED};
  const struct due_row *row = *state;
  hbeat_reply reply = good_reply();
  hbeat_instruction i;

  in_hand(row->name, TEXT(""));
  forget();
  reply.instruction.lcuid = A;
  reply.instruction.name = "reload";
  reply.instruction.run_at = row->run_at_s == NONE ? NULL : "then";
  reply.instruction.run_at_s = row->run_at_s;
  reply.instruction.created_at_s = row->created_at_s;
  expect_error("learnt", learn(m, &BEAT, &reply, HBEAT_OK), HBEAT_OK);
  m->changed = 0;
  expect_int(
      "due", take_due(m, row->now_s, &row->limits, &i), row->outcome == RUNS);
  expect_int("changed", m->changed, row->outcome != WAITS);
  expect_int(
      "run_at_s", i.run_at_s, row->outcome == STALE ? NONE : row->run_at_s);
  expect_int("created_at_s", i.created_at_s,
      row->outcome == RUNS ? row->created_at_s : NONE);
  expect_text("the name", i.name, row->outcome == RUNS ? "reload" : NULL);
  expect_text("lcuid", i.lcuid, row->outcome == RUNS ? A : NULL);
  expect_text("the report", next_report(), row->report);
  expect_int("the state", state_of(A), states[row->outcome]);
}

/* The times of several, at which they are asked for. */
static void test_plan(void **state) {
  static const struct {
    const char *lcuid;
    int64_t run_at_s;
  } plan[] = {{"e", NOW + 50}, {"b", NOW + 20}, {"d", NOW + 40}, {"a", NONE},
      {"c", NOW + 20}, {"f", NOW + 60}, {"stale", NOW - 9}};
  static const struct {
    int64_t now_s;
    const char *lcuid;
    int64_t run_at_s;
  } steps[] = {{.now_s = NOW, .lcuid = "a", .run_at_s = NONE},
      {.now_s = NOW, .run_at_s = NOW + 20},
      {.now_s = NOW + 19, .run_at_s = NOW + 20},
      {.now_s = NOW + 20, .lcuid = "b", .run_at_s = NOW + 20},
      {.now_s = NOW + 20, .lcuid = "c", .run_at_s = NOW + 20},
      {.now_s = NOW + 20, .run_at_s = NOW + 40},
      {.now_s = NOW - 99, .run_at_s = NOW + 40},
      {.now_s = NOW + 43, .lcuid = "d", .run_at_s = NOW + 40},
      {.now_s = NOW + 44, .run_at_s = NOW + 50},
      {.now_s = NOW + 50, .lcuid = "e", .run_at_s = NOW + 50},
      {.now_s = NOW + 50, .run_at_s = NOW + 60},
      {.now_s = NOW + 60, .lcuid = "f", .run_at_s = NOW + 60},
      {.now_s = INT64_MAX, .run_at_s = NONE}};
  static const hbeat_limits limits = {.max_age_s = 5};
  hbeat_instruction i;

  (void)state;
  in_hand("a plan", TEXT(""));
  forget();
  for (size_t n = 0; n < COUNT(plan); n++)
    expect_error(plan[n].lcuid,
        offer(plan[n].lcuid, "reload", plan[n].run_at_s), HBEAT_OK);
  for (size_t n = 0; n < COUNT(steps); n++) {
    expect_int("due", take_due(m, steps[n].now_s, &limits, &i),
        steps[n].lcuid != NULL);
    expect_text("which", i.lcuid, steps[n].lcuid);
    expect_int("run_at_s", i.run_at_s, steps[n].run_at_s);
    play(n % 2 == 0 ? RESTART : NO_NEWS);
  }
  expect_int("the stale one", state_of("stale"), ENDED);
}

/* ---- How it ended ------------------------------------------------------- */

/* Row: a message, `front` and `count` times `unit`, and data; how many bytes of
 * both are left. */
static const struct ended_row {
  const char *name;
  const char *front; /* NULL: there is nothing in front */
  const char *unit;
  size_t count;
  size_t data; /* bytes of it; 0: there is none */
  size_t message_left;
  size_t data_left;
} ENDINGS[] = {
    {"nothing", .unit = "x"},
    {"short", .unit = "x", .count = 10, .data = 20, .message_left = 10,
        .data_left = 20},
    {"a message only", .unit = "x", .count = 10, .message_left = 10},
    {"data only", .unit = "x", .data = 20, .data_left = 20},
    {"a message that just fits", .unit = "x", .count = 4000,
        .message_left = 4000},
    {"one too long", .unit = "x", .count = 4001, .message_left = 4000},
    {"two too long", .unit = "x", .count = 4002, .message_left = 4000},
    {"much too long", .unit = "x", .count = 5000, .message_left = 4000},
    {"two bytes each, fits", .unit = "\xC3\xA9", .count = 2000,
        .message_left = 4000},
    {"two bytes each", .unit = "\xC3\xA9", .count = 2001, .message_left = 4000},
    {"two bytes each, split", .front = "x", .unit = "\xC3\xA9", .count = 2000,
        .message_left = 3999},
    {"three bytes each, split", .unit = "\xE2\x82\xAC", .count = 2000,
        .message_left = 3999},
    {"three bytes each", .front = "x", .unit = "\xE2\x82\xAC", .count = 2000,
        .message_left = 4000},
    {"three bytes each, split behind one", .front = "xx",
        .unit = "\xE2\x82\xAC", .count = 2000, .message_left = 3998},
    {"four bytes each", .unit = "\xF0\x9F\x98\x80", .count = 2000,
        .message_left = 4000},
    {"four bytes each, split behind three", .front = "x",
        .unit = "\xF0\x9F\x98\x80", .count = 2000, .message_left = 3997},
    {"four bytes each, split behind two", .front = "xx",
        .unit = "\xF0\x9F\x98\x80", .count = 2000, .message_left = 3998},
    {"four bytes each, split behind one", .front = "xxx",
        .unit = "\xF0\x9F\x98\x80", .count = 2000, .message_left = 3999},
    {"data that just fits", .unit = "x", .data = 4000, .data_left = 4000},
    {"data that does not", .unit = "x", .data = 4001},
    {"data of 5000 bytes", .unit = "x", .data = 5000},
    {"both just fit", .unit = "x", .count = 100, .data = 3900,
        .message_left = 100, .data_left = 3900},
    {"the data does not fit", .unit = "x", .count = 100, .data = 3901,
        .message_left = 100},
    {"the least data fits", .unit = "x", .count = 3998, .data = 2,
        .message_left = 3998, .data_left = 2},
    {"the least data does not", .unit = "x", .count = 3999, .data = 2,
        .message_left = 3999},
    {"a message that is cut, and data", .unit = "x", .count = 4200, .data = 2,
        .message_left = 4000},
    {"a character cut off makes no room", .front = "x", .unit = "\xE2\x82\xAC",
        .count = 2000, .data = 2, .message_left = 4000},
};

/* An object of so many bytes: at least two. */
static const char *object_of(size_t size) {
  static char text[9001];

  memset(text, ' ', size);
  text[0] = '{';
  text[size - 1] = '}';
  text[size] = '\0';
  return text;
}

static void expect_ending(
    hbeat_call call, const char *message, size_t left, const char *data) {
  hbeat_request request;

  expect_true("a report", make_report(m, &request));
  expect_int("the call", request.call, call);
  expect_text("response_data", request.response_data, data);
  if (left == 0) expect_text("no message", request.message, NULL);
  else
    expect_bytes(
        "the message", request.message, strlen(request.message), message, left);
}

static void test_ended(void **state) {
  const struct ended_row *row = *state;
  const char *data = row->data > 0 ? object_of(row->data) : NULL;
  const char *message;
  static char text[9100];
  const char *front = row->front ? row->front : "";
  size_t size = strlen(front), unit = strlen(row->unit);

  in_hand(row->name, TEXT(""));
  forget();
  strcpy(text, front);
  for (size_t i = 0; i < row->count; i++, size += unit)
    strcpy(text + size, row->unit);
  message = at_end(&other_bytes, text, size + 1);
  play(NEW);
  play(DUE);
  m->changed = 0;
  end_one(m, A, HBEAT_FAILED, message, data);
  expect_int("changed", m->changed, 1);
  play(RESTART);
  expect_ending(
      HBEAT_FAILED, text, row->message_left, row->data_left > 0 ? data : NULL);
}

/* Bytes that are no UTF-8 are cut somewhere, and sent as U+FFFD. */
static void test_ended_in_junk(void **state) {
  static const char units[] = {'\x80', '\xBF', '\xC3', '\xF0', '\xFF'};
  hbeat_request request;
  static char text[5000];

  (void)state;
  for (size_t n = 0; n < COUNT(units); n++) {
    in_hand("a message of one byte again and again", &units[n], 1);
    for (size_t size = 3994; size < 4009; size++) {
      forget();
      play(NEW);
      play(DUE);
      end_one(m, A, HBEAT_FAILED, long_text(text, units[n], size), NULL);
      play(RESTART);
      expect_true("a report", make_report(m, &request));
      if (request.message == NULL) continue;
      expect_true("its length", strlen(request.message) <= 4000);
      expect_bytes("its bytes", request.message, strlen(request.message), text,
          strlen(request.message));
    }
  }
}

/* Row: what is to be response_data, and whether it is kept. */
static const struct data_row {
  const char *name;
  const char *text;
  bool kept;
} DATA[] = {
    {"none", NULL, .kept = false},
    {"an empty object", "{}", .kept = true},
    {"an object", "{\"exit_status\":0,\"message\":\"caf\\u00e9\"}",
        .kept = true},
    {"an object, beyond ASCII", "{\"a\":\"caf\xC3\xA9\"}", .kept = true},
    {"an object of objects", "{\"a\":{\"b\":[{}]}}", .kept = true},
    {"empty", "", .kept = false},
    {"an array", "[]", .kept = false},
    {"null", "null", .kept = false},
    {"a string", "\"{}\"", .kept = false},
    {"a number", "1", .kept = false},
    {"cut off", "{\"a\":1", .kept = false},
    {"two objects", "{}{}", .kept = false},
    {"a comma too many", "{\"a\":1,}", .kept = false},
    {"no UTF-8", "{\"a\":\"\xFF\"}", .kept = false},
    {"a line end in a string", "{\"a\":\"\n\"}", .kept = false},
};

static void test_data(void **state) {
  const struct data_row *row = *state;
  const char *text = NULL;

  in_hand(row->name, row->text, row->text ? strlen(row->text) : 0);
  for (int call = HBEAT_ACKNOWLEDGE; call <= HBEAT_FAILED; call++) {
    forget();
    play(NEW);
    play(DUE);
    if (row->text)
      text = at_end(&other_bytes, row->text, strlen(row->text) + 1);
    end_one(m, A, (hbeat_call)call, NULL, text);
    play(RESTART);
    expect_ending((hbeat_call)call, NULL, 0, row->kept ? row->text : NULL);
  }
}

static void test_deep(void **state) {
  char text[200];

  (void)state;
  for (size_t depth = 64; depth <= 65; depth++) {
    in_hand("an object of many levels", text, 0);
    strcpy(text, "{\"a\":");
    memset(text + 5, '[', depth - 1);
    memset(text + 5 + depth - 1, ']', depth - 1);
    strcpy(text + 5 + 2 * (depth - 1), "}");
    forget();
    play(NEW);
    play(DUE);
    end_one(m, A, HBEAT_FAILED, NULL, text);
    expect_ending(HBEAT_FAILED, NULL, 0, depth == 64 ? text : NULL);
  }
}

/* ---- Many of them ------------------------------------------------------- */

/* An lcuid of 63 letters; four of them live at a time. */
static const char *long_lcuid(unsigned n) {
  static char text[4][64];
  static unsigned turn;

  turn = (turn + 1) % COUNT(text);
  memset(text[turn], 'l', 63);
  snprintf(text[turn], 10, "%u", n);
  text[turn][strlen(text[turn])] = '-';
  return text[turn];
}

/* One of two letters. */
static const char *short_lcuid(unsigned n) {
  static char text[4][3];
  static unsigned turn;

  turn = (turn + 1) % COUNT(text);
  text[turn][0] = (char)('a' + n / 26);
  text[turn][1] = (char)('a' + n % 26);
  return text[turn];
}

/* A heartbeat brings an instruction of so many bytes, of which six are its
 * name's. */
static hbeat_error offer_size(
    const char *lcuid, size_t size, int64_t run_at_s) {
  hbeat_reply reply = good_reply();

  reply.server_time_s = NOW;
  reply.clock_offset_s = 0;
  reply.instruction.lcuid = lcuid;
  reply.instruction.name = "reload";
  reply.instruction.parameters.text = object_of(size - 6);
  reply.instruction.parameters.size = size - 6;
  reply.instruction.parameters.type = HBEAT_JSON_OBJECT;
  reply.instruction.run_at = run_at_s == NONE ? NULL : "then";
  reply.instruction.run_at_s = run_at_s;
  return learn(m, &BEAT, &reply, HBEAT_OK);
}

/* One of so many bytes runs, and is reported. */
static void run_and_report(const char *lcuid, size_t size) {
  hbeat_instruction i;

  expect_error("learnt", offer_size(lcuid, size, NONE), HBEAT_OK);
  expect_true("due", take_due(m, NOW, &NO_LIMITS, &i));
  expect_text("the one", i.lcuid, lcuid);
  end_one(m, lcuid, HBEAT_ACKNOWLEDGE, NULL, object_of(size));
  report(lcuid);
}

/* Sixteen live, whatever was before. */
static void test_sixteen(void **state) {
  hbeat_instruction i;

  (void)state;
  in_hand("sixteen of 400 bytes", TEXT(""));
  for (unsigned before = 0; before <= 20; before += 20) {
    forget();
    for (unsigned n = 1; n <= before; n++)
      run_and_report(long_lcuid(100 + n), 400);
    for (unsigned n = 1; n <= 16; n++)
      expect_error("learnt", offer_size(long_lcuid(n), 400, NONE), HBEAT_OK);
    play(RESTART);
    for (unsigned n = 1; n <= 16; n++) {
      expect_true("due", take_due(m, NOW, &NO_LIMITS, &i));
      expect_text("which", i.lcuid, long_lcuid(n));
      expect_int("its parameters", (int64_t)i.parameters.size, 394);
    }
    for (unsigned n = 1; n <= 16; n++)
      end_one(m, long_lcuid(n), HBEAT_FAILED, "no", object_of(398));
    play(RESTART);
    for (unsigned n = 1; n <= 16; n++) {
      view r = view_of(m, long_lcuid(n));
      expect_int("ended", r.state, ENDED);
      expect_int("its data", (int64_t)strlen(r.second), 398);
    }
  }
}

/* The youngest stay, whatever comes, and lose no more than their texts. */
static void test_largest(void **state) {
  hbeat_instruction i;

  (void)state;
  in_hand("one of 4000 bytes", TEXT(""));
  forget();
  for (unsigned n = 1; n <= 20; n++) run_and_report(long_lcuid(n), 400);
  expect_error("learnt", offer_size(long_lcuid(21), 4000, NONE), HBEAT_OK);
  play(RESTART);
  for (unsigned n = 6; n <= 20; n++)
    expect_int("known", state_of(long_lcuid(n)), REPORTED);
  expect_true("due", take_due(m, NOW, &NO_LIMITS, &i));
  expect_int("its parameters", (int64_t)i.parameters.size, 3994);
  end_one(m, long_lcuid(21), HBEAT_FAILED, object_of(4000), NULL);
  for (unsigned n = 7; n <= 20; n++)
    expect_int("known", state_of(long_lcuid(n)), REPORTED);
  expect_int(
      "its message", (int64_t)strlen(view_of(m, long_lcuid(21)).first), 4000);
  expect_error(
      "one more", offer_size(long_lcuid(22), 4000, NONE), HBEAT_ERR_TOO_BIG);
  report(long_lcuid(20));
  hbeat_request request = {.call = HBEAT_FAILED, .instruction = long_lcuid(21)};
  hear(&request, HBEAT_OK, 200);
  expect_error("one more", offer_size(long_lcuid(22), 4000, NONE), HBEAT_OK);
  for (unsigned n = 8; n <= 21; n++)
    expect_int("known", state_of(long_lcuid(n)), REPORTED);
}

/* Whatever does not fit changes nothing, and fits once there is room. */
static void test_full(void **state) {
  hbeat_memory full;
  hbeat_instruction i;
  unsigned count = 0;

  (void)state;
  in_hand("more than can be kept", TEXT(""));
  forget();
  while (offer_size(numbered(count + 1), 400, NONE) == HBEAT_OK) count++;
  expect_true("sixteen and more", count >= 16);
  for (int busy = WAITING; busy <= ENDED; busy++) {
    m->changed = 0;
    full = *m;
    expect_error("one more", offer_size("x", 400, NONE), HBEAT_ERR_TOO_BIG);
    expect_error("one that is too long to be kept",
        offer("y", object_of(4001), NONE), HBEAT_OK);
    expect_text("which is reported", view_of(m, "y").first, TOO_LONG);
    *m = full;
    expect_error(
        "one that is known", offer(numbered(9), "reload", NONE), HBEAT_OK);
    expect_same_memory("nothing changes", &full);
    expect_int("changed", m->changed, 0);
    if (busy == WAITING) take_due(m, NOW, &NO_LIMITS, &i);
    if (busy == TAKEN)
      end_one(m, numbered(1), HBEAT_ACKNOWLEDGE, NULL, object_of(400));
  }
  report(numbered(1));
  expect_error("one more, later", offer_size("x", 400, NONE), HBEAT_OK);
  expect_int("it waits", state_of("x"), WAITING);
  expect_int("the first is forgotten", state_of(numbered(1)), FREE);
  expect_int("the others as they were", place_of(numbered(2)), 0);
  expect_int("at the end", place_of("x"), (int)count - 1);
}

/* What does not fit even then takes nothing from those that were reported. */
static void test_in_vain(void **state) {
  hbeat_memory before;

  (void)state;
  in_hand("too big, and for nothing", TEXT(""));
  forget();
  for (unsigned n = 1; n <= 6; n++)
    expect_error("live", offer_size(numbered(n), 1000, NONE), HBEAT_OK);
  for (unsigned n = 7; n <= 30; n++) {
    expect_error("one that is too long to be kept",
        offer(numbered(n), object_of(4001), NONE), HBEAT_OK);
    hbeat_request request = {.call = HBEAT_FAILED, .instruction = numbered(n)};
    hear(&request, HBEAT_OK, 200);
  }
  m->changed = 0;
  before = *m;
  expect_true("some are reported", records_in_state(m, REPORTED) >= 10);
  expect_error("too big", offer_size("x", 3000, NONE), HBEAT_ERR_TOO_BIG);
  expect_int("changed", m->changed, 0);
  expect_same_memory("nothing changes", &before);
}

/* As short as they can be, they are more than a byte counts.  Rules are looked
 * at now and then: they take long for so many. */
static void test_count(void **state) {
  hbeat_reply reply = good_reply();
  hbeat_error e = HBEAT_OK;
  hbeat_request request;
  hbeat_instruction i;
  unsigned count = 0;

  (void)state;
  in_hand("as many as there can be", TEXT(""));
  forget();
  reply.instruction.name = "";
  for (; e == HBEAT_OK; count++) {
    reply.instruction.lcuid = short_lcuid(count);
    e = hbeat_memory_learn(m, &BEAT, &reply, HBEAT_OK);
  }
  expect_error("there is an end", e, HBEAT_ERR_TOO_BIG);
  count--;
  expect_true("more than a byte counts", count > 260);
  play(RESTART);
  expect_int("kept", (int64_t)all_records(m), count);
  for (unsigned n = 0; n < count; n++) {
    expect_true("due", hbeat_memory_due(m, NOW, &NO_LIMITS, &i));
    expect_text("which", i.lcuid, short_lcuid(n));
    hbeat_memory_end(m, i.lcuid, HBEAT_ACKNOWLEDGE, NULL, NULL);
  }
  play(RESTART);
  for (unsigned n = 0; n < count; n++) {
    expect_true("a report", hbeat_memory_report(m, &request));
    hbeat_memory_learn(m, &request, &reply, HBEAT_OK);
  }
  expect_text("no more", next_report(), NULL);
  expect_error("a large one", offer_size("x", 4000, NONE), HBEAT_OK);
  expect_true("others are forgotten", all_records(m) < count);
}

/* Those for a far time leave the last quarter; an hour is not far. */
static void test_far(void **state) {
  static const int64_t far_s = NOW + 3601, soon_s = NOW + 3600;
  unsigned count = 0;

  (void)state;
  in_hand("those that wait for a far time", TEXT(""));
  forget();
  while (offer_size(long_lcuid(count + 1), 400, far_s) == HBEAT_OK) count++;
  expect_int("three quarters", count, 6144 / 486);
  expect_error("a byte too many",
      offer_size(long_lcuid(50), 6145 - 12 * 486 - 86, far_s),
      HBEAT_ERR_TOO_BIG);
  expect_error("one that just fits",
      offer_size(long_lcuid(50), 6144 - 12 * 486 - 86, far_s), HBEAT_OK);
  expect_int("all of three quarters", (int64_t)used_bytes(m), 6144);
  expect_error("the least one", offer("f", "", far_s), HBEAT_ERR_TOO_BIG);
  expect_error(
      "much later", offer_size("f", 400, INT64_MAX), HBEAT_ERR_TOO_BIG);
  expect_error(
      "one of before, again", offer_size(long_lcuid(1), 400, far_s), HBEAT_OK);
  expect_error("the least one to be reported",
      offer("g", object_of(5000), far_s), HBEAT_OK);
  for (unsigned n = 60; n < 63; n++)
    expect_error("soon", offer_size(long_lcuid(n), 400, soon_s), HBEAT_OK);
  expect_error("now", offer_size("now", 300, NONE), HBEAT_OK);
  expect_error("no more", offer_size("no", 400, NONE), HBEAT_ERR_TOO_BIG);
}

/* Without a time of the server's all times are far. */
static void test_far_from_nothing(void **state) {
  unsigned count = 0;

  (void)state;
  in_hand("a time, and no server's time", TEXT(""));
  forget();
  while (count < 400 && offer(numbered(count + 1), "reload", NOW) == HBEAT_OK)
    count++;
  expect_int("three quarters", (int64_t)used_bytes(m) / 100, 6144 / 100);
  expect_error("now", offer("now", "reload", NONE), HBEAT_OK);
}

/* At the last second that a clock can show no time is far. */
static void test_none_far(void **state) {
  hbeat_reply reply = good_reply();
  unsigned count = 0;

  (void)state;
  in_hand("the end of all time", TEXT(""));
  forget();
  reply.server_time_s = INT64_MAX;
  reply.clock_offset_s = 0;
  expect_error("the time", learn(m, &BEAT, &reply, HBEAT_OK), HBEAT_OK);
  while (count < 400 &&
      offer(numbered(count + 1), "reload", INT64_MAX) == HBEAT_OK)
    count++;
  expect_true("more than three quarters", used_bytes(m) > 8000);
}

static void test_forgotten(void **state) {
  static const unsigned reported[] = {11, 3, 5, 16};

  (void)state;
  in_hand("those that were reported first are forgotten first", TEXT(""));
  forget();
  for (unsigned n = 1; n <= 17; n++) {
    hbeat_instruction i;
    expect_error("new", offer_size(numbered(n), 420, NONE), HBEAT_OK);
    expect_true("due", take_due(m, NOW, &NO_LIMITS, &i));
    end_one(m, numbered(n), HBEAT_ACKNOWLEDGE, NULL, object_of(420));
  }
  for (size_t i = 0; i < COUNT(reported); i++) report(numbered(reported[i]));
  for (unsigned i = 0; i < COUNT(reported); i++) {
    expect_int("known", state_of(numbered(reported[i])), REPORTED);
    expect_error("new", offer_size(numbered(30 + i), 440, NONE), HBEAT_OK);
    expect_int("forgotten", state_of(numbered(reported[i])), FREE);
    expect_int("at the end", place_of(numbered(30 + i)), 16);
    play(RESTART);
  }
  expect_error("one more", offer_size("x", 440, NONE), HBEAT_ERR_TOO_BIG);
  for (unsigned n = 1; n <= 17; n++)
    if (n != 3 && n != 5 && n != 11 && n != 16)
      expect_int("the others", state_of(numbered(n)), ENDED);
}

static void test_last_ones(void **state) {
  static const size_t sizes[] = {10, 700, 4000};

  (void)state;
  in_hand("the last 16 never run again", TEXT(""));
  for (size_t i = 0; i < COUNT(sizes); i++) {
    forget();
    for (unsigned n = 1; n <= 24; n++) {
      run_and_report(long_lcuid(n), sizes[i]);
      for (unsigned old = n > 16 ? n - 15 : 1; old <= n; old++) {
        expect_error(
            "repeated", offer(long_lcuid(old), "reload", NONE), HBEAT_OK);
        expect_true("does not run", !anything_due(NOW));
        expect_int("is reported again", state_of(long_lcuid(old)), ENDED);
        report(long_lcuid(old));
      }
      play(RESTART);
    }
  }
}

/* A report's texts may lie in the memory: in the record itself, and in one that
 * loses its texts or its place to it. */
static void test_texts_of_its_own(void **state) {
  hbeat_instruction i;
  const char *name;

  (void)state;
  in_hand("texts that lie in the memory", TEXT(""));
  forget();
  for (unsigned n = 1; n <= 20; n++) run_and_report(numbered(n), 390);
  expect_error("new", offer(A, "reload", NONE), HBEAT_OK);
  expect_true("due", take_due(m, NOW, &NO_LIMITS, &i));
  end_one(m, i.lcuid, HBEAT_FAILED, i.name, view_of(m, numbered(5)).second);
  expect_text("the message", view_of(m, A).first, "reload");
  expect_int("the data", (int64_t)strlen(view_of(m, A).second), 390);
  end_one(m, A, HBEAT_FAILED, view_of(m, A).second, view_of(m, A).first);
  expect_int("the message", (int64_t)strlen(view_of(m, A).first), 390);
  expect_text("the data is none", view_of(m, A).second, "");
  report(numbered(20));
  for (unsigned n = 1; n <= 4; n++) {
    name = view_of(m, A).first;
    end_one(m, A, HBEAT_FAILED, name, view_of(m, numbered(8 + n)).second);
    expect_int("the message", (int64_t)strlen(view_of(m, A).first), 390);
    expect_int("the data", (int64_t)strlen(view_of(m, A).second), 390);
  }
  expect_error("another", offer_size("b", 3000, NONE), HBEAT_OK);
  expect_true("due", take_due(m, NOW, &NO_LIMITS, &i));
  end_one(m, "b", HBEAT_FAILED, i.name, i.parameters.text);
  expect_int(
      "its own parameters", (int64_t)strlen(view_of(m, "b").second), 2994);
}

/* Row: a report of an instruction of 400 bytes that has no more room than that:
 * what is left of its message and its data. */
static const struct crowded_row {
  const char *name;
  size_t message;
  size_t data; /* 0: there is none */
  size_t message_left;
  size_t data_left;
} CROWDED[] = {
    {"a report that fits", .message = 100, .data = 300, .message_left = 100,
        .data_left = 300},
    {"data a byte too long", .message = 100, .data = 301, .message_left = 100},
    {"data much too long", .message = 100, .data = 3900, .message_left = 100},
    {"data alone", .data = 400, .data_left = 400},
    {"data alone, too long", .data = 401},
    {"a message that fits", .message = 400, .message_left = 400},
    {"a message a byte too long", .message = 401, .message_left = 400},
    {"a message much too long", .message = 5000, .message_left = 400},
    {"a message too long, and data", .message = 401, .data = 2,
        .message_left = 400},
    {"the least data beside it", .message = 398, .data = 2, .message_left = 398,
        .data_left = 2},
};

static void test_crowded(void **state) {
  const struct crowded_row *row = *state;
  static char message[5001];
  hbeat_instruction i;
  unsigned n = 2;

  in_hand(row->name, TEXT(""));
  forget();
  expect_error("learnt", offer_size(A, 400, NONE), HBEAT_OK);
  expect_true("due", take_due(m, NOW, &NO_LIMITS, &i));
  while (offer_size(long_lcuid(n), 400, NONE) == HBEAT_OK) n++;
  size_t rest = sizeof m->records - used_bytes(m) - record_size(63, 0, 0);
  expect_error("the rest", offer_size(long_lcuid(n), rest, NONE), HBEAT_OK);
  expect_int("full", (int64_t)used_bytes(m), sizeof m->records);
  long_text(message, 'x', row->message);
  end_one(
      m, A, HBEAT_FAILED, message, row->data > 0 ? object_of(row->data) : NULL);
  play(RESTART);
  expect_int("its message", (int64_t)strlen(view_of(m, A).first),
      (int64_t)row->message_left);
  expect_int("its data", (int64_t)strlen(view_of(m, A).second),
      (int64_t)row->data_left);
  while (take_due(m, NOW, &NO_LIMITS, &i)) n--;
  expect_int("the others", n, 1);
}

/* The oldest are taken over full to the last byte, and what does not fit of the
 * last of them is left out. */
static const struct full_row {
  const char *name;
  int state; /* of the last one */
  int then;
  const char *report; /* of it; NULL: it is there no more, or has none */
} FULL_ROWS[] = {
    {"sixteen old ones that wait", .state = WAITING, .then = FREE},
    {"fifteen, and one that was taken", .state = TAKEN, .then = ENDED,
        .report = "interrupted"},
    {"fifteen, and one that ended", .state = ENDED, .then = ENDED,
        .report = ""},
    {"fifteen, and one that was reported", .state = REPORTED, .then = REPORTED,
        .report = ""},
};

static void test_old_and_full(void **state) {
  const struct full_row *row = *state;
  static unsigned char bytes[SIZE];

  in_hand(row->name, TEXT(""));
  memset(bytes, 0, sizeof bytes);
  memcpy(bytes + FORMAT, "hbeat\1", 6);
  for (unsigned n = 0; n < 16; n++) {
    unsigned char *old = bytes + OLD_AT(n, 0);
    int old_state = n < 15 ? WAITING : row->state;
    memset(old, 'x', OLD_RECORD);
    snprintf((char *)old, 4, "%02u-", n);
    old[3] = '-';
    old[63] = '\0';
    old[OLD_STATE] = (unsigned char)old_state;
    old[OLD_CALL] = old_state >= ENDED ? HBEAT_FAILED : HBEAT_BEAT;
    memcpy(old + OLD_RUN_AT, AT_ONCE, 8);
    memcpy(old + OLD_STRINGS + 435, "\0\0", 3);
  }
  repair(bytes);
  expect_error("the outcome", load(bytes, SIZE, NULL), HBEAT_OK);
  expect_int("records", (int64_t)all_records(m), row->then == FREE ? 15 : 16);
  for (unsigned n = 0; n < 15; n++) {
    view r = view_of(m, (const char *)bytes + OLD_AT(n, 0));
    expect_int("as it was", r.state, WAITING);
    expect_int("its name", (int64_t)strlen(r.first), 435);
  }
  view last = view_of(m, (const char *)bytes + OLD_AT(15, 0));
  expect_int("the last one", last.state, row->then);
  if (row->then == FREE) return;
  expect_text("its message", last.first, row->report);
  expect_text("its data", last.second, "");
}

/* A server that never hears of one sends it for ever, between all others:
 * whether its report is taken each time, or for long not at all. */
static void test_stuck(void **state) {
  (void)state;
  in_hand("sent again for ever", TEXT(""));
  for (unsigned every = 1; every <= 30; every += 29) {
    forget();
    run("stuck");
    for (unsigned n = 1; n <= 60; n++) {
      if (n % every == 0) report("stuck");
      run(numbered(n));
      report(numbered(n));
      expect_error("repeated", offer("stuck", "reload", NONE), HBEAT_OK);
      expect_true("does not run", !anything_due(NOW));
      expect_int("is reported again", state_of("stuck"), ENDED);
      play(RESTART);
    }
  }
}

/* The place of one that had to wait is not what counts. */
static void test_waited(void **state) {
  (void)state;
  in_hand("the last one reported is not the next forgotten", TEXT(""));
  forget();
  run("late");
  for (unsigned n = 1; n <= 16; n++) run_and_report(numbered(n), 400);
  report("late");
  expect_error("one more", offer_size("x", 2000, NONE), HBEAT_OK);
  expect_int("known", state_of("late"), REPORTED);
  expect_int("forgotten", state_of(numbered(1)), FREE);
  expect_int("known", state_of(numbered(2)), REPORTED);
}

static void test_order(void **state) {
  hbeat_instruction i;

  (void)state;
  in_hand("run as they came", TEXT(""));
  forget();
  for (unsigned n = 1; n <= 16; n++) offer(numbered(n), "reload", NONE);
  for (unsigned n = 1; n <= 16; n++) {
    expect_true("due", take_due(m, NOW, &NO_LIMITS, &i));
    expect_text("which", i.lcuid, numbered(n));
  }
  expect_true("no more", !take_due(m, NOW, &NO_LIMITS, &i));
}

/* ---- Reports ------------------------------------------------------------ */

/* Takes so many reports, all of which are lost; each comes as often. */
static void expect_turns(unsigned count, unsigned rounds) {
  unsigned seen[17] = {0};
  hbeat_request request;

  for (unsigned n = 0; n < count * rounds; n++) {
    unsigned which;
    expect_true("a report", make_report(m, &request));
    which = number_of(request.instruction);
    expect_true("one of them", which >= 1 && which <= 16);
    expect_int("its turn", seen[which]++, n / count);
    hear(&request, HBEAT_ERR_CONNECT, 0);
  }
}

static void test_turns(void **state) {
  (void)state;
  in_hand("reports by turns", TEXT(""));
  forget();
  for (unsigned n = 1; n <= 16; n++) run(numbered(n));
  offer("x", "reload", LATER);
  m->changed = 0;
  expect_turns(16, 3);
  expect_int("which are no change", m->changed, 0);
  for (unsigned n = 1; n <= 16; n++) {
    if (n == 2 || n == 9 || n == 15) continue;
    report(numbered(n));
  }
  expect_turns(3, 4);
  report(numbered(9));
  expect_turns(2, 4);
  report(numbered(2));
  report(numbered(15));
  expect_text("none", next_report(), NULL);
}

/* Row: how a report went, and whether it is done with. */
static const struct refusal_row {
  const char *name;
  hbeat_error error;
  int http_status; /* 0: there was no answer */
  bool done;
} REFUSALS[] = {
    {"taken", .error = HBEAT_OK, .http_status = 200, .done = true},
    {"201", .error = HBEAT_OK, .http_status = 201, .done = true},
    {"400", .error = HBEAT_ERR_STATUS, .http_status = 400, .done = true},
    {"401", .error = HBEAT_ERR_STATUS, .http_status = 401},
    {"402", .error = HBEAT_ERR_STATUS, .http_status = 402, .done = true},
    {"403", .error = HBEAT_ERR_STATUS, .http_status = 403},
    {"404", .error = HBEAT_ERR_STATUS, .http_status = 404, .done = true},
    {"405", .error = HBEAT_ERR_STATUS, .http_status = 405, .done = true},
    {"407", .error = HBEAT_ERR_STATUS, .http_status = 407, .done = true},
    {"408", .error = HBEAT_ERR_STATUS, .http_status = 408},
    {"409", .error = HBEAT_ERR_STATUS, .http_status = 409, .done = true},
    {"410", .error = HBEAT_ERR_STATUS, .http_status = 410, .done = true},
    {"413", .error = HBEAT_ERR_STATUS, .http_status = 413, .done = true},
    {"422", .error = HBEAT_ERR_STATUS, .http_status = 422, .done = true},
    {"424", .error = HBEAT_ERR_STATUS, .http_status = 424, .done = true},
    {"425", .error = HBEAT_ERR_STATUS, .http_status = 425},
    {"426", .error = HBEAT_ERR_STATUS, .http_status = 426, .done = true},
    {"429", .error = HBEAT_ERR_STATUS, .http_status = 429},
    {"499", .error = HBEAT_ERR_STATUS, .http_status = 499, .done = true},
    {"302", .error = HBEAT_ERR_STATUS, .http_status = 302},
    {"399", .error = HBEAT_ERR_STATUS, .http_status = 399},
    {"500", .error = HBEAT_ERR_STATUS, .http_status = 500},
    {"503", .error = HBEAT_ERR_STATUS, .http_status = 503},
    {"522", .error = HBEAT_ERR_STATUS, .http_status = 522},
    {"a proxy's 404", .error = HBEAT_ERR_PROXY, .http_status = 404},
    {"404, cut off", .error = HBEAT_ERR_TRUNCATED, .http_status = 404},
    {"404, too late", .error = HBEAT_ERR_TIMEOUT, .http_status = 404},
    {"404, broken", .error = HBEAT_ERR_HTTP, .http_status = 404},
    {"refused", .error = HBEAT_ERR_REFUSED, .http_status = 200, .done = true},
    {"a page", .error = HBEAT_ERR_JSON, .http_status = 200, .done = true},
    {"no body", .error = HBEAT_ERR_JSON, .http_status = 204, .done = true},
    {"too big", .error = HBEAT_ERR_TOO_BIG, .http_status = 200, .done = true},
    {"no JSON, no status", .error = HBEAT_ERR_JSON},
    {"a record of TLS too big", .error = HBEAT_ERR_TOO_BIG},
    {"too big, but no success", .error = HBEAT_ERR_TOO_BIG, .http_status = 302},
    {"a proxy's 200", .error = HBEAT_ERR_PROXY, .http_status = 200},
    {"200, cut off", .error = HBEAT_ERR_TRUNCATED, .http_status = 200},
    {"no connection", .error = HBEAT_ERR_CONNECT},
    {"no name", .error = HBEAT_ERR_RESOLVE},
    {"a captive portal", .error = HBEAT_ERR_CERT_NAME},
    {"no trust", .error = HBEAT_ERR_CERT_TRUST},
    {"no time", .error = HBEAT_ERR_CERT_TIME},
    {"no TLS", .error = HBEAT_ERR_TLS},
    {"no token", .error = HBEAT_ERR_ARGUMENT},
};

static void test_refusal(void **state) {
  const struct refusal_row *row = *state;
  hbeat_request request;

  in_hand(row->name, TEXT(""));
  for (int call = HBEAT_ACKNOWLEDGE; call <= HBEAT_FAILED; call++) {
    forget();
    run("other");
    run(A);
    if (call == HBEAT_FAILED) end_one(m, A, HBEAT_FAILED, "no", NULL);
    m->changed = 0;
    for (int turn = 0; turn <= HBEAT_MEMORY_RECORDS; turn++) {
      expect_true("a report", make_report(m, &request));
      if (strcmp(request.instruction, A) == 0) break;
    }
    expect_text("its turn comes", request.instruction, A);
    expect_int("the call", request.call, call);
    hear(&request, row->error, row->http_status);
    expect_int("the state", state_of(A), row->done ? REPORTED : ENDED);
    expect_int("the other", state_of("other"), ENDED);
    expect_int("changed", m->changed, row->done);
  }
}

/* ---- The server's time -------------------------------------------------- */

/* Row: what is known of the server's time, what a reply says, and what is known
 * then. */
static const struct time_row {
  const char *name;
  int64_t known_s;
  int64_t time_s;   /* of the reply */
  int64_t offset_s; /* NONE: no certificate vouches for it */
  bool news;        /* it brings an instruction */
  int64_t then_s;
} TIMES[] = {
    {"the first", .time_s = NOW, .then_s = NOW},
    {"the first, the clock being wrong", .time_s = NOW, .offset_s = NOW - 5,
        .then_s = NOW},
    {"no date", .known_s = NOW, .time_s = NONE, .offset_s = NONE,
        .then_s = NOW},
    {"no date, but news", .known_s = NOW, .time_s = NONE, .offset_s = NONE,
        .news = true, .then_s = NOW},
    {"one that no certificate vouches for", .known_s = NOW,
        .time_s = NOW + 9 * DAY, .offset_s = NONE, .then_s = NOW},
    {"the same, and news", .known_s = NOW, .time_s = NOW + 9 * DAY,
        .offset_s = NONE, .news = true, .then_s = NOW},
    {"the same time", .known_s = NOW, .time_s = NOW, .then_s = NOW},
    {"a second on", .known_s = NOW, .time_s = NOW + 1, .then_s = NOW},
    {"a second on, and news", .known_s = NOW, .time_s = NOW + 1, .news = true,
        .then_s = NOW + 1},
    {"nearly a day on", .known_s = NOW, .time_s = NOW + DAY - 1, .then_s = NOW},
    {"a day on", .known_s = NOW, .time_s = NOW + DAY, .then_s = NOW + DAY},
    {"more than a day on", .known_s = NOW, .time_s = NOW + DAY + 1,
        .then_s = NOW + DAY + 1},
    {"nearly a day back", .known_s = NOW, .time_s = NOW - DAY + 1,
        .then_s = NOW},
    {"nearly a day back, and news", .known_s = NOW, .time_s = NOW - DAY + 1,
        .news = true, .then_s = NOW - DAY + 1},
    {"a day back", .known_s = NOW, .time_s = NOW - DAY, .then_s = NOW - DAY},
    {"more than a day back", .known_s = NOW, .time_s = NOW - DAY - 1,
        .then_s = NOW - DAY - 1},
    {"1970", .known_s = NOW, .time_s = 0, .then_s = 0},
    {"the year 9999", .known_s = NOW, .time_s = INT64_C(253402300799),
        .then_s = INT64_C(253402300799)},
    {"from far away", .known_s = -(INT64_C(1) << 61),
        .time_s = INT64_C(1) << 61, .then_s = INT64_C(1) << 61},
    {"and back", .known_s = INT64_C(1) << 61, .time_s = -(INT64_C(1) << 61),
        .then_s = -(INT64_C(1) << 61)},
};

static int64_t stored_time(void) {
  uint64_t s = 0;

  for (int i = 0; i < 8; i++) s = s << 8 | m->server_time_s[i];
  return (int64_t)s;
}

/* As any call tells it that succeeds: a failure changes nothing. */
static void test_server_time(void **state) {
  static const hbeat_error errors[] = {
      HBEAT_OK, HBEAT_OK, HBEAT_ERR_STATUS, HBEAT_ERR_JSON, HBEAT_ERR_TOO_BIG};
  const struct time_row *row = *state;
  hbeat_request request = BEAT;
  hbeat_reply reply = good_reply();

  in_hand(row->name, TEXT(""));
  for (size_t n = 0; n < COUNT(errors); n++) {
    bool good = row->news || errors[n] == HBEAT_OK;
    int64_t then_s = good ? row->then_s : row->known_s;
    forget();
    reply = good_reply();
    reply.server_time_s = row->known_s;
    reply.clock_offset_s = 0;
    learn(m, &BEAT, &reply, HBEAT_OK);
    expect_int("known", stored_time(), row->known_s);
    m->changed = 0;
    reply.server_time_s = row->time_s;
    reply.clock_offset_s = row->offset_s;
    if (row->news) {
      reply.instruction.lcuid = A;
      reply.instruction.name = "reload";
    } else {
      request.call = n % 2 == 0 ? HBEAT_BEAT : HBEAT_LOGIN;
    }
    learn(m, &request, &reply, row->news ? HBEAT_OK : errors[n]);
    expect_int("known then", stored_time(), then_s);
    expect_int("changed", m->changed, row->news || then_s != row->known_s);
    play(RESTART);
    expect_int("kept", stored_time(), then_s);
  }
}

/* Row: the server's time as it was kept, and a floor before and after. */
static const struct floor_row {
  const char *name;
  int64_t time_s;
  int64_t floor_s;
  int64_t raised_s;
} FLOORS[] = {
    {"raised", .time_s = NOW, .floor_s = NOW - 1, .raised_s = NOW},
    {"raised from nothing", .time_s = NOW, .floor_s = 0, .raised_s = NOW},
    {"raised from below", .time_s = NOW, .floor_s = INT64_MIN, .raised_s = NOW},
    {"as it is", .time_s = NOW, .floor_s = NOW, .raised_s = NOW},
    {"never lowered", .time_s = NOW, .floor_s = NOW + 1, .raised_s = NOW + 1},
    {"never lowered by a strange time", .time_s = -NOW, .floor_s = 5,
        .raised_s = 5},
    {"the greatest", .time_s = INT64_MAX, .floor_s = NOW,
        .raised_s = INT64_MAX},
    {"the least", .time_s = INT64_MIN + 1, .floor_s = NOW, .raised_s = NOW},
};

static void test_floor(void **state) {
  const struct floor_row *row = *state;
  hbeat_reply reply = good_reply();
  hbeat_memory kept;
  int64_t floor_s = row->floor_s;

  in_hand(row->name, TEXT(""));
  forget();
  reply.server_time_s = row->time_s;
  reply.clock_offset_s = 0;
  learn(m, &BEAT, &reply, HBEAT_OK);
  expect_int("changed", m->changed, 1);
  kept = *m;
  expect_error("loaded", load(&kept, SIZE, &floor_s), HBEAT_OK);
  expect_int("the floor", floor_s, row->raised_s);
  expect_int("not changed", m->changed, 0);
}

/* ---- Two memories ------------------------------------------------------- */

/* Makes the other one, of what *m is. */
static hbeat_memory *keep_as_other(void) {
  static hbeat_memory other;

  expect_error("kept", load_memory(&other, m, sizeof *m, NULL), HBEAT_OK);
  return &other;
}

/* Row: what happened in the memory that is found, and in the one that finds it;
 * and how the instruction is then. */
static const struct merge_row {
  const char *name;
  event found[4];
  event own[4];
  int state;
  const char *report; /* that would be sent; NULL: none */
} MERGES[] = {
    {"known to nobody", .state = FREE},
    {"waits there", .found = {NEW}, .state = WAITING},
    {"waits here", .own = {NEW}, .state = WAITING},
    {"waits in both", .found = {NEW}, .own = {NEW}, .state = WAITING},
    {"was taken there", .found = {NEW, DUE}, .state = ENDED, .report = CUT},
    {"was taken there, waits here", .found = {NEW, DUE}, .own = {NEW},
        .state = ENDED, .report = CUT},
    {"was taken there, is taken here", .found = {NEW, DUE}, .own = {NEW, DUE},
        .state = TAKEN},
    {"was taken there, ended here", .found = {NEW, DUE},
        .own = {NEW, DUE, DONE}, .state = ENDED, .report = DID},
    {"ended there", .found = {NEW, DUE, DONE}, .state = ENDED, .report = DID},
    {"ended there, waits here", .found = {NEW, DUE, DONE}, .own = {NEW},
        .state = ENDED, .report = DID},
    {"ended there otherwise than here", .found = {NEW, DUE, FAILED},
        .own = {NEW, DUE, DONE}, .state = ENDED, .report = DID},
    {"was reported there", .found = {NEW, DUE, DONE, SENT}, .state = REPORTED},
    {"was reported there, waits here", .found = {NEW, DUE, DONE, SENT},
        .own = {NEW}, .state = REPORTED},
    {"was reported here, waits there", .found = {NEW},
        .own = {NEW, DUE, DONE, SENT}, .state = REPORTED},
};

static void test_merge(void **state) {
  const struct merge_row *row = *state;
  hbeat_memory *found;

  in_hand(row->name, TEXT(""));
  forget();
  for (size_t i = 0; i < COUNT(row->found) && row->found[i]; i++)
    play(row->found[i]);
  found = keep_as_other();
  forget();
  for (size_t i = 0; i < COUNT(row->own) && row->own[i]; i++) play(row->own[i]);
  merge(m, found);
  expect_int("state", state_of(A), row->state);
  expect_text("the report", next_report(), row->report);
}

/* What ran there is remembered, though all the room is taken by what waits. */
static void test_merge_into_full(void **state) {
  hbeat_memory *found;
  unsigned count = 0;

  (void)state;
  in_hand("what ran there, and no room", TEXT(""));
  forget();
  run_and_report("there", 300);
  found = keep_as_other();
  forget();
  run("here");
  while (offer_size(long_lcuid(count), 600, NONE) == HBEAT_OK) count++;
  while (offer(short_lcuid(count), "", NONE) == HBEAT_OK) count++;
  expect_true("there is none", bytes_for_new(m) < 300);
  merge(m, found);
  expect_int("what ran there", state_of("there"), REPORTED);
  expect_int("what ran here", state_of("here"), ENDED);
  expect_int("the first that waits gave way", state_of(long_lcuid(0)), FREE);
  expect_int("the second did not", state_of(long_lcuid(1)), WAITING);
}

/* Nothing gives way to what only waits, and nothing that ran here does. */
static void test_merge_without_room(void **state) {
  hbeat_memory before;
  hbeat_memory *found;
  unsigned count = 0;

  (void)state;
  in_hand("what waits there, and no room", TEXT(""));
  forget();
  expect_error("there", offer_size("there", 4000, NONE), HBEAT_OK);
  found = keep_as_other();
  forget();
  while (offer_size(long_lcuid(count), 600, NONE) == HBEAT_OK) count++;
  before = *m;
  merge(m, found);
  expect_true(
      "as before", memcmp(m->records, before.records, sizeof m->records) == 0);

  in_hand("what ran there, and only reports here", TEXT(""));
  for (hbeat_instruction i; take_due(m, NOW, &NO_LIMITS, &i);)
    end_one(m, i.lcuid, HBEAT_FAILED, NULL, object_of(600));
  before = *m;
  hbeat_instruction i;
  expect_true("it runs there", hbeat_memory_due(found, NOW, &NO_LIMITS, &i));
  merge(m, found);
  expect_true(
      "as before", memcmp(m->records, before.records, sizeof m->records) == 0);
}

int main(void) {
  prepare_device();
  cases_add("the bytes of a known life", test_golden, NULL);
  cases_add("loaded whole", test_whole, NULL);
  cases_add("nothing was kept", test_no_bytes, NULL);
  cases_add("a byte is another one", test_flipped, NULL);
  cases_add("of another size", test_truncated, NULL);
  cases_add("loaded where it lies", test_in_place, NULL);
  cases_add_rows(test_crafted, CRAFTED);
  cases_add_rows(test_old_crafted, OLD_CRAFTED);
  cases_add_rows(test_state, STATES);
  cases_add_rows(test_learn, LEARN);
  cases_add_rows(test_length, LENGTHS);
  cases_add_rows(test_parameters, PARAMETERS);
  cases_add("learning from errors", test_learn_errors, NULL);
  cases_add("an lcuid that nobody knows", test_unknown, NULL);
  cases_add_rows(test_due, DUE_TIMES);
  cases_add("a plan", test_plan, NULL);
  cases_add_rows(test_ended, ENDINGS);
  cases_add("a message of one byte again and again", test_ended_in_junk, NULL);
  cases_add_rows(test_data, DATA);
  cases_add("data of 64 levels, and of 65", test_deep, NULL);
  cases_add("status", test_status, NULL);
  cases_add("taken back", test_taken_back, NULL);
  cases_add("sixteen of 400 bytes", test_sixteen, NULL);
  cases_add("one of 4000 bytes", test_largest, NULL);
  cases_add("more than can be kept", test_full, NULL);
  cases_add("too big, and for nothing", test_in_vain, NULL);
  cases_add("as many as are counted", test_count, NULL);
  cases_add("those that wait for a far time", test_far, NULL);
  cases_add("a time, and no server's time", test_far_from_nothing, NULL);
  cases_add("a time at the end of all time", test_none_far, NULL);
  cases_add("texts that lie in the memory", test_texts_of_its_own, NULL);
  cases_add_rows(test_crowded, CROWDED);
  cases_add_rows(test_old_and_full, FULL_ROWS);
  cases_add("those that were reported first are forgotten first",
      test_forgotten, NULL);
  cases_add("the last 16 never run again", test_last_ones, NULL);
  cases_add("sent again for ever", test_stuck, NULL);
  cases_add("the last one reported", test_waited, NULL);
  cases_add("run as they came", test_order, NULL);
  cases_add("reports by turns", test_turns, NULL);
  cases_add_rows(test_refusal, REFUSALS);
  cases_add_rows(test_server_time, TIMES);
  cases_add_rows(test_floor, FLOORS);
  cases_add_rows(test_merge, MERGES);
  cases_add("what ran there, and no room", test_merge_into_full, NULL);
  cases_add("what waits there, and no room", test_merge_without_room, NULL);
  return cases_run("memory");
}
