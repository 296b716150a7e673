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
  static char words[40 + HBEAT_MEMORY_TEXT];
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

  return take_due(&copy, now_s, 0, &i);
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
  take_due(m, NOW, 0, &i);
  hbeat_memory_end(
      m, "LCUID-LDRI-1", HBEAT_ACKNOWLEDGE, NULL, "{\"exit_status\":0}");
  report("LCUID-LDRI-1");
  offer("LCUID-LDRI-2", "screenshot", NONE);
  take_due(m, NOW, 0, &i);
  hbeat_memory_end(
      m, "LCUID-LDRI-2", HBEAT_FAILED, "caf\xC3\xA9", "{\"a\":[]}");
  offer("LCUID-LDRI-3", "reboot", NONE);
  take_due(m, NOW, 0, &i);
  reply = good_reply();
  reply.instruction.lcuid = "LCUID-LDRI-4";
  reply.instruction.name = "reload";
  reply.instruction.run_at = "2026-01-07T00:15:20Z";
  reply.instruction.run_at_s = NOW + 1;
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
  expect_int("the checksum of nine digits",
      crc_of((const unsigned char *)"123456789", 9), 0xCBF43926);
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

static void test_whole(void **state) {
  static hbeat_memory expected;
  unsigned char bytes[SIZE];
  int64_t floor_s = 42;

  (void)state;
  in_hand("loaded whole", TEXT(""));
  memcpy(bytes, golden(), SIZE);
  bytes[0] = 1; /* the flags are of no concern */
  bytes[1] = 7;
  expect_error("the outcome", load(bytes, SIZE, &floor_s), HBEAT_OK);
  expect_int("the server's time", floor_s, NOW);
  expect_int("turn", m->next_report, 0);
  expect_int("changed, as one was interrupted", m->changed, 1);
  expect_int("reported", state_of("LCUID-LDRI-1"), REPORTED);
  expect_int("ended", state_of("LCUID-LDRI-2"), ENDED);
  expect_int("taken", state_of("LCUID-LDRI-3"), ENDED);
  expect_int("waiting", state_of("LCUID-LDRI-4"), WAITING);
  expect_text("its report", next_report(), "failed: caf\xC3\xA9 {\"a\":[]}");
  expected = *m;
  expect_error("again", load(&expected, SIZE, NULL), HBEAT_OK);
  expect_same_memory("again", &expected);
  expect_int("not changed", m->changed, 0);
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
static void test_flipped(void **state) {
  unsigned char bytes[SIZE];
  char what[40];

  (void)state;
  in_hand("a byte is another one", TEXT(""));
  memcpy(bytes, golden(), SIZE);
  for (size_t i = FORMAT; i < SIZE; i++) {
    if (i >= RECORDS && bytes[i] == 0 && i % 29 != 0) continue;
    snprintf(what, sizeof what, "byte %zu", i);
    bytes[i] ^= (unsigned char)(1 << i % 8);
    expect_refused(what, bytes, SIZE);
    bytes[i] = golden()[i];
  }
}

static void test_truncated(void **state) {
  static unsigned char bytes[2 * SIZE];
  char what[40];

  (void)state;
  in_hand("of another size", TEXT(""));
  memcpy(bytes, golden(), SIZE);
  memcpy(bytes + SIZE, golden(), SIZE);
  for (size_t size = 1; size <= 2 * SIZE; size++) {
    if (size == SIZE || (size > SIZE + 8 && size < 2 * SIZE)) continue;
    snprintf(what, sizeof what, "%zu bytes", size);
    expect_refused(what, bytes, size);
  }
}

enum { BAD, GOOD };

/* Row: the golden bytes with others in the place of some, or with one byte many
 * times; and whether that is a memory.  The checksum is right. */
#define PUT(name, offset, bytes, verdict)                                      \
  { name, offset, TEXT(bytes), 0, verdict }
#define FILL(name, offset, byte, count, verdict)                               \
  { name, offset, TEXT(byte), count, verdict }

static const struct crafted_row {
  const char *name;
  size_t offset;
  const char *bytes;
  size_t size;
  size_t fill; /* the first of them so many times; 0: all as they are */
  bool good;
} CRAFTED[] = {
    PUT("untouched", 0, "", GOOD),
    PUT("another version", FORMAT, "hbeat\2", BAD),
    PUT("no version", FORMAT, "hbeat\0", BAD),
    PUT("another format", FORMAT, "Hbeat\1", BAD),
    PUT("a time before 1970", TIME, "\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF", GOOD),
    PUT("the least time", TIME, AT_ONCE, GOOD),
    PUT("state 5", AT(15, STATE), "\5", BAD),
    PUT("state 255", AT(15, STATE), "\xFF", BAD),
    PUT("state 5 of one that ended", AT(13, STATE), "\5", BAD),
    PUT("state 5 in the first record", AT(0, STATE), "\5", BAD),
    PUT("waiting, without an lcuid", AT(0, STATE), "\1", BAD),
    PUT("ended as a heartbeat", AT(13, CALL), "\0", BAD),
    PUT("ended as a log-in", AT(13, CALL), "\3", BAD),
    PUT("ended as call 255", AT(13, CALL), "\xFF", BAD),
    PUT("waiting as a report", AT(15, CALL), "\1", BAD),
    PUT("taken as a report", AT(14, CALL), "\2", BAD),
    PUT("reported as a heartbeat", AT(12, CALL), "\0", BAD),
    PUT("failed where it was acknowledged", AT(12, CALL), "\2", GOOD),
    PUT("any time to run at", AT(15, RUN_AT),
        "\x7F\xFF\xFF\xFF\xFF\xFF\xFF\xFF", GOOD),

    /* lcuids */
    PUT("an lcuid of one letter", AT(15, 0), "x\0", GOOD),
    FILL("an lcuid of 63 letters", AT(15, 0), "x", 63, GOOD),
    FILL("an lcuid without a NUL", AT(15, 0), "x", 64, BAD),
    FILL("one without a NUL, reported", AT(12, 0), "x", 64, BAD),
    PUT("an empty lcuid", AT(15, 0), "\0", BAD),
    PUT("an lcuid of a dot", AT(15, 0), ".\0", BAD),
    PUT("an lcuid of two dots", AT(15, 0), "..\0", BAD),
    PUT("an lcuid with a slash", AT(15, 0), "../x", BAD),
    PUT("an lcuid with a space", AT(15, 0), "LC ID", BAD),
    PUT("an lcuid with a line end", AT(15, 0), "LC\r\nD", BAD),
    PUT("an lcuid with a percent sign", AT(15, 0), "%41", BAD),
    PUT("an lcuid with an accent", AT(15, 0), "\xC3\xA9", BAD),
    PUT("the same, reported", AT(12, 0), "\xC3\xA9", BAD),

    /* text */
    FILL("waiting, without a NUL", AT(15, STRINGS), "x", 438, BAD),
    FILL("waiting, with one NUL", AT(15, STRINGS), "x", 437, BAD),
    FILL("waiting, with two NULs at the end", AT(15, STRINGS), "x", 436, GOOD),
    FILL("waiting, parameters without a NUL", AT(15, STRINGS + 7), "x", 431,
        BAD),
    FILL("taken, without a NUL", AT(14, STRINGS), "x", 438, BAD),
    FILL("ended, without a NUL", AT(13, STRINGS), "x", 438, BAD),
    FILL("ended, with one NUL", AT(13, STRINGS), "x", 437, BAD),
    FILL("ended, data without a NUL", AT(13, STRINGS + 6), "x", 432, BAD),
    FILL("ended, with two NULs at the end", AT(13, STRINGS), "x", 436, GOOD),
    FILL("reported, without a NUL", AT(12, STRINGS), "x", 438, BAD),
    PUT("data that is an array", AT(13, STRINGS), "x\0[]\0", BAD),
    PUT("data that is null", AT(13, STRINGS), "x\0null\0", BAD),
    PUT("data that is a string", AT(13, STRINGS), "x\0\"{}\"\0", BAD),
    PUT("data that is cut", AT(13, STRINGS), "x\0{\"a\":\0", BAD),
    PUT("data with more behind it", AT(13, STRINGS), "x\0{}}\0", BAD),
    PUT("data that is not UTF-8", AT(13, STRINGS), "x\0{\"\xFF\":1}\0", BAD),
    PUT("data that is an object", AT(13, STRINGS), "x\0{}\0", GOOD),
    PUT("no data", AT(13, STRINGS), "x\0\0", GOOD),
    PUT("reported, data that is an array", AT(12, STRINGS), "\0[]\0", BAD),
};

static void test_crafted(void **state) {
  const struct crafted_row *row = *state;
  unsigned char bytes[SIZE];

  in_hand(row->name, row->bytes, row->size);
  memcpy(bytes, golden(), SIZE);
  memcpy(bytes + row->offset, row->bytes, row->size);
  if (row->fill > 0) memset(bytes + row->offset, *row->bytes, row->fill);
  repair(bytes);
  if (row->good) expect_error("the outcome", load(bytes, SIZE, NULL), HBEAT_OK);
  else expect_refused("the outcome", bytes, SIZE);
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
  case DUE: take_due(m, NOW, 0, &i); break;
  case DUE_LATER: take_due(m, LATER, 0, &i); break;
  case DONE:
    hbeat_memory_end(m, A, HBEAT_ACKNOWLEDGE, NULL, "{\"n\":1}");
    break;
  case FAILED: hbeat_memory_end(m, A, HBEAT_FAILED, "no", NULL); break;
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
    {"a name of 436 bytes", .lcuid = 1, .instruction = 436, .kept = true},
    {"a name of 437 bytes", .lcuid = 1, .instruction = 437},
    {"a name of 438 bytes", .lcuid = 1, .instruction = 438},
    {"a name of 439 bytes", .lcuid = 1, .instruction = 439},
    {"a name of 5000 bytes", .lcuid = 1, .instruction = 5000, .parameters = 2},
    {"436 bytes in all", .lcuid = 1, .instruction = 36, .parameters = 400,
        .kept = true},
    {"437 bytes in all", .lcuid = 1, .instruction = 36, .parameters = 401},
    {"438 bytes in all", .lcuid = 1, .instruction = 36, .parameters = 402},
    {"parameters of 435 bytes", .lcuid = 1, .instruction = 1, .parameters = 435,
        .kept = true},
    {"parameters of 436 bytes", .lcuid = 1, .instruction = 1,
        .parameters = 436},
    {"parameters of 436 bytes, no name", .lcuid = 1, .parameters = 436,
        .kept = true},
    {"parameters of 437 bytes, no name", .lcuid = 1, .parameters = 437},
    {"parameters of 5000 bytes", .lcuid = 1, .instruction = 6,
        .parameters = 5000},
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

static void test_length(void **state) {
  const struct length_row *row = *state;
  static char lcuid[5001], name[5001], parameters[5001];
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
      row->kept || row->error != HBEAT_OK ? NULL
                                          : "failed: too long to be kept");
  expect_int("to be run", take_due(m, NOW, 0, &i), row->kept);
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
  expect_true("due", take_due(m, NOW, 0, &i));
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
    run(A);
    report(A);
    m->changed = 0;
    before = *m;
    expect_error("again", learn(m, &BEAT, &reply, HBEAT_OK), HBEAT_OK);
    expect_int("to be reported", state_of(A), acknowledged ? REPORTED : ENDED);
    expect_int("changed", m->changed, !acknowledged);
    if (acknowledged) expect_same_memory("nothing changes", &before);
  }
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
      reply.instruction.name = "reload";
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
    hbeat_memory_end(m, "LCUID-LDRI-12", request.call, "x", "{}");
    hbeat_memory_end(m, "LCUID-LDRI-", request.call, "x", "{}");
    hbeat_memory_end(m, "", request.call, "x", "{}");
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
  int64_t now_s;
  int64_t max_age_s; /* 0: it never becomes stale */
  enum outcome outcome;
} DUE_TIMES[] = {
    {"now", .run_at_s = NONE, .now_s = NOW, .outcome = RUNS},
    {"now, and an age", .run_at_s = NONE, .now_s = NOW, .max_age_s = 1,
        .outcome = RUNS},
    {"now, in 1970", .run_at_s = NONE, .now_s = 0, .max_age_s = 60,
        .outcome = RUNS},
    {"now, before 1970", .run_at_s = NONE, .now_s = -1, .max_age_s = 60,
        .outcome = RUNS},
    {"now, at the least time", .run_at_s = NONE, .now_s = INT64_MIN,
        .max_age_s = 60, .outcome = RUNS},
    {"now, at the greatest time", .run_at_s = NONE, .now_s = INT64_MAX,
        .max_age_s = INT64_MAX, .outcome = RUNS},
    {"this second", .run_at_s = NOW, .now_s = NOW, .max_age_s = 60,
        .outcome = RUNS},
    {"the next second", .run_at_s = NOW, .now_s = NOW - 1, .max_age_s = 60,
        .outcome = WAITS},
    {"a second ago", .run_at_s = NOW, .now_s = NOW + 1, .max_age_s = 60,
        .outcome = RUNS},
    {"as late as can be", .run_at_s = NOW, .now_s = NOW + 60, .max_age_s = 60,
        .outcome = RUNS},
    {"a second later", .run_at_s = NOW, .now_s = NOW + 61, .max_age_s = 60,
        .outcome = STALE},
    {"years late", .run_at_s = NOW, .now_s = NOW + INT64_C(1000000000),
        .max_age_s = 3600, .outcome = STALE},
    {"years late, never stale", .run_at_s = NOW,
        .now_s = NOW + INT64_C(1000000000), .outcome = RUNS},
    {"far ahead", .run_at_s = INT64_C(253402300799), .now_s = NOW,
        .max_age_s = 60, .outcome = WAITS},
    {"the epoch, in time", .run_at_s = 0, .now_s = 30, .max_age_s = 60,
        .outcome = RUNS},
    {"the epoch, stale", .run_at_s = 0, .now_s = NOW, .max_age_s = 60,
        .outcome = STALE},
    {"before the epoch", .run_at_s = -100, .now_s = -50, .max_age_s = 60,
        .outcome = RUNS},
    {"before the epoch, early", .run_at_s = -100, .now_s = -101,
        .max_age_s = 60, .outcome = WAITS},
    {"before the epoch, stale", .run_at_s = -100, .now_s = 0, .max_age_s = 60,
        .outcome = STALE},
    {"the year 1, stale", .run_at_s = -62135596800, .now_s = NOW,
        .max_age_s = 60, .outcome = STALE},
    {"the year 1, never stale", .run_at_s = -62135596800, .now_s = NOW,
        .outcome = RUNS},
    {"the greatest time, early", .run_at_s = INT64_MAX, .now_s = NOW,
        .max_age_s = 60, .outcome = WAITS},
    {"the greatest time, very early", .run_at_s = INT64_MAX, .now_s = INT64_MIN,
        .max_age_s = 60, .outcome = WAITS},
    {"the greatest time", .run_at_s = INT64_MAX, .now_s = INT64_MAX,
        .max_age_s = 60, .outcome = RUNS},
    {"the least time but one, early", .run_at_s = INT64_MIN + 1,
        .now_s = INT64_MIN, .max_age_s = 60, .outcome = WAITS},
    {"the least time but one", .run_at_s = INT64_MIN + 1,
        .now_s = INT64_MIN + 1, .max_age_s = 60, .outcome = RUNS},
    {"as stale as can be", .run_at_s = INT64_MIN + 1, .now_s = INT64_MAX,
        .max_age_s = 60, .outcome = STALE},
    {"as stale as can be, but one", .run_at_s = INT64_MIN + 1,
        .now_s = INT64_MAX, .max_age_s = INT64_MAX, .outcome = STALE},
    {"as late as is allowed", .run_at_s = 0, .now_s = INT64_MAX,
        .max_age_s = INT64_MAX, .outcome = RUNS},
    {"a bit later", .run_at_s = -1, .now_s = INT64_MAX, .max_age_s = INT64_MAX,
        .outcome = STALE},
    {"as late as can be, never stale", .run_at_s = INT64_MIN + 1,
        .now_s = INT64_MAX, .outcome = RUNS},
};

static void test_due(void **state) {
  static const int states[] = {
      [RUNS] = TAKEN, [WAITS] = WAITING, [STALE] = ENDED};
  const struct due_row *row = *state;
  hbeat_instruction i;

  in_hand(row->name, TEXT(""));
  forget();
  expect_error("learnt", offer(A, "reload", row->run_at_s), HBEAT_OK);
  m->changed = 0;
  expect_int(
      "due", take_due(m, row->now_s, row->max_age_s, &i), row->outcome == RUNS);
  expect_int("changed", m->changed, row->outcome != WAITS);
  expect_int(
      "run_at_s", i.run_at_s, row->outcome == STALE ? NONE : row->run_at_s);
  expect_text("the name", i.name, row->outcome == RUNS ? "reload" : NULL);
  expect_text("lcuid", i.lcuid, row->outcome == RUNS ? A : NULL);
  expect_text("the report", next_report(),
      row->outcome == STALE ? "failed: stale" : NULL);
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
  hbeat_instruction i;

  (void)state;
  in_hand("a plan", TEXT(""));
  forget();
  for (size_t n = 0; n < COUNT(plan); n++)
    expect_error(plan[n].lcuid,
        offer(plan[n].lcuid, "reload", plan[n].run_at_s), HBEAT_OK);
  for (size_t n = 0; n < COUNT(steps); n++) {
    expect_int(
        "due", take_due(m, steps[n].now_s, 5, &i), steps[n].lcuid != NULL);
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
    {"a message that just fits", .unit = "x", .count = 436,
        .message_left = 436},
    {"one too long", .unit = "x", .count = 437, .message_left = 436},
    {"two too long", .unit = "x", .count = 438, .message_left = 436},
    {"much too long", .unit = "x", .count = 5000, .message_left = 436},
    {"two bytes each, fits", .unit = "\xC3\xA9", .count = 218,
        .message_left = 436},
    {"two bytes each", .unit = "\xC3\xA9", .count = 219, .message_left = 436},
    {"two bytes each, split", .front = "x", .unit = "\xC3\xA9", .count = 218,
        .message_left = 435},
    {"three bytes each, split", .unit = "\xE2\x82\xAC", .count = 200,
        .message_left = 435},
    {"three bytes each", .front = "x", .unit = "\xE2\x82\xAC", .count = 200,
        .message_left = 436},
    {"three bytes each, split behind one", .front = "xx",
        .unit = "\xE2\x82\xAC", .count = 200, .message_left = 434},
    {"four bytes each", .unit = "\xF0\x9F\x98\x80", .count = 200,
        .message_left = 436},
    {"four bytes each, split behind three", .front = "x",
        .unit = "\xF0\x9F\x98\x80", .count = 200, .message_left = 433},
    {"four bytes each, split behind two", .front = "xx",
        .unit = "\xF0\x9F\x98\x80", .count = 200, .message_left = 434},
    {"four bytes each, split behind one", .front = "xxx",
        .unit = "\xF0\x9F\x98\x80", .count = 200, .message_left = 435},
    {"data that just fits", .unit = "x", .data = 436, .data_left = 436},
    {"data that does not", .unit = "x", .data = 437},
    {"data of 5000 bytes", .unit = "x", .data = 5000},
    {"both just fit", .unit = "x", .count = 100, .data = 336,
        .message_left = 100, .data_left = 336},
    {"the data does not fit", .unit = "x", .count = 100, .data = 337,
        .message_left = 100},
    {"the least data fits", .unit = "x", .count = 434, .data = 2,
        .message_left = 434, .data_left = 2},
    {"the least data does not", .unit = "x", .count = 435, .data = 2,
        .message_left = 435},
    {"a message that is cut, and data", .unit = "x", .count = 600, .data = 2,
        .message_left = 436},
    {"a character cut off makes no room", .front = "x", .unit = "\xE2\x82\xAC",
        .count = 400, .data = 2, .message_left = 436},
};

/* An object of so many bytes: at least two. */
static const char *object_of(size_t size) {
  static char text[5001];

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
  char text[5100];
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
  hbeat_memory_end(m, A, HBEAT_FAILED, message, data);
  expect_int("changed", m->changed, 1);
  play(RESTART);
  expect_ending(
      HBEAT_FAILED, text, row->message_left, row->data_left > 0 ? data : NULL);
}

/* Bytes that are no UTF-8 are cut somewhere, and sent as U+FFFD. */
static void test_ended_in_junk(void **state) {
  static const char units[] = {'\x80', '\xBF', '\xC3', '\xF0', '\xFF'};
  hbeat_request request;
  char text[600];

  (void)state;
  for (size_t n = 0; n < COUNT(units); n++) {
    in_hand("a message of one byte again and again", &units[n], 1);
    for (size_t size = 430; size < 445; size++) {
      forget();
      play(NEW);
      play(DUE);
      hbeat_memory_end(
          m, A, HBEAT_FAILED, long_text(text, units[n], size), NULL);
      play(RESTART);
      expect_true("a report", make_report(m, &request));
      if (request.message == NULL) continue;
      expect_true("its length", strlen(request.message) <= 436);
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
    hbeat_memory_end(m, A, (hbeat_call)call, NULL, text);
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
    hbeat_memory_end(m, A, HBEAT_FAILED, NULL, text);
    expect_ending(HBEAT_FAILED, NULL, 0, depth == 64 ? text : NULL);
  }
}

/* ---- Many of them ------------------------------------------------------- */

static void test_full(void **state) {
  hbeat_memory full;

  (void)state;
  in_hand("more than can be kept", TEXT(""));
  forget();
  for (unsigned n = 1; n <= 16; n++)
    expect_error(numbered(n), offer(numbered(n), "reload", LATER), HBEAT_OK);
  m->changed = 0;
  full = *m;
  for (int busy = WAITING; busy <= ENDED; busy++) {
    expect_error("one more", offer("x", "reload", NONE), HBEAT_ERR_TOO_BIG);
    expect_error("one that is too long to be kept",
        offer("y", object_of(600), NONE), HBEAT_ERR_TOO_BIG);
    expect_error(
        "one that is known", offer(numbered(9), "reload", NONE), HBEAT_OK);
    expect_same_memory("nothing changes", &full);
    expect_int("changed", m->changed, 0);
    if (busy == WAITING) play(DUE_LATER); /* the first */
    if (busy == TAKEN)
      hbeat_memory_end(m, numbered(1), HBEAT_ACKNOWLEDGE, NULL, NULL);
    m->changed = 0;
    full = *m;
  }
  report(numbered(1));
  expect_error("one more, later", offer("x", "reload", NONE), HBEAT_OK);
  expect_int("it waits", state_of("x"), WAITING);
  expect_int("the first is forgotten", state_of(numbered(1)), FREE);
  expect_int("at the end", place_of("x"), 15);
  expect_int("the others as they were", place_of(numbered(2)), 0);
  expect_int("the others as they were", place_of(numbered(16)), 14);
}

static void test_forgotten(void **state) {
  static const unsigned reported[] = {11, 3, 5, 16};

  (void)state;
  in_hand("those that were reported first are forgotten first", TEXT(""));
  forget();
  for (unsigned n = 1; n <= 16; n++) run(numbered(n));
  for (size_t i = 0; i < COUNT(reported); i++) report(numbered(reported[i]));
  for (unsigned i = 0; i < COUNT(reported); i++) {
    expect_int("known", state_of(numbered(reported[i])), REPORTED);
    expect_error("new", offer(numbered(17 + i), "reload", LATER), HBEAT_OK);
    expect_int("forgotten", state_of(numbered(reported[i])), FREE);
    expect_int("at the end", place_of(numbered(17 + i)), 15);
    play(RESTART);
  }
  expect_error("one more", offer("x", "reload", NONE), HBEAT_ERR_TOO_BIG);
  for (unsigned n = 1; n <= 16; n++)
    if (n != 3 && n != 5 && n != 11 && n != 16)
      expect_int("the others", state_of(numbered(n)), ENDED);
}

static void test_last_ones(void **state) {
  (void)state;
  in_hand("the last 16 never run again", TEXT(""));
  forget();
  for (unsigned n = 1; n <= 24; n++) {
    run(numbered(n));
    report(numbered(n));
    for (unsigned old = n > 16 ? n - 15 : 1; old <= n; old++) {
      expect_error("repeated", offer(numbered(old), "reload", NONE), HBEAT_OK);
      expect_true("does not run", !anything_due(NOW));
      expect_int("is reported again", state_of(numbered(old)), ENDED);
      report(numbered(old));
    }
    if (n > 16) expect_int("older", state_of(numbered(n - 16)), FREE);
  }
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
  for (unsigned n = 1; n <= 15; n++) {
    run(numbered(n));
    report(numbered(n));
  }
  report("late");
  expect_error("one more", offer("x", "reload", LATER), HBEAT_OK);
  expect_int("known", state_of("late"), REPORTED);
  expect_int("forgotten", state_of(numbered(1)), FREE);
}

static void test_order(void **state) {
  hbeat_instruction i;

  (void)state;
  in_hand("run as they came", TEXT(""));
  forget();
  for (unsigned n = 1; n <= 16; n++) offer(numbered(n), "reload", NONE);
  for (unsigned n = 1; n <= 16; n++) {
    expect_true("due", take_due(m, NOW, 0, &i));
    expect_text("which", i.lcuid, numbered(n));
  }
  expect_true("no more", !take_due(m, NOW, 0, &i));
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
    {"a page", .error = HBEAT_ERR_JSON, .http_status = 200},
    {"too big", .error = HBEAT_ERR_TOO_BIG, .http_status = 200},
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
    if (call == HBEAT_FAILED) hbeat_memory_end(m, A, HBEAT_FAILED, "no", NULL);
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

int main(void) {
  prepare_device();
  cases_add("the bytes of a known life", test_golden, NULL);
  cases_add("loaded whole", test_whole, NULL);
  cases_add("nothing was kept", test_no_bytes, NULL);
  cases_add("a byte is another one", test_flipped, NULL);
  cases_add("of another size", test_truncated, NULL);
  cases_add_rows(test_crafted, CRAFTED);
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
  cases_add("more than can be kept", test_full, NULL);
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
  return cases_run("memory");
}
