/*
 * Draws the life of an instruction in the memory: its states, and which calls
 * lead from one to another.  They are found by trying: from an empty memory on,
 * each call is made in each state that was found, until nothing new comes.
 *
 * usage: memory FOLDER     prints TAP; draws memory.svg there
 */
#define HBEAT_NO_NET
#include "../../heartbeat.c"
#include "draw.h"

#include <stdlib.h>

#define THE_LCUID "LCUID-LDRI-1"
#define NOW INT64_C(1767744919) /* 2026-01-07T00:15:19Z */

enum {
  STATES = REPORTED + 1,
  FOUND_MAX = 200,
  ARROWS_MAX = 60,
  OTHER_COUNT = 250 /* instructions: what more than fills a memory */
};

static const hbeat_limits no_limits = {0, 0};
static const hbeat_request beat = {.lightning_version = "4.2.1"};

/* ---- The calls ----------------------------------------------------------- */

static hbeat_reply empty_reply(void) {
  hbeat_reply reply;

  clear_reply(&reply);
  reply.http_status = 200;
  return reply;
}

static hbeat_reply instruction(const char *lcuid) {
  hbeat_reply reply = empty_reply();

  reply.instruction.lcuid = lcuid;
  reply.instruction.name = "reload";
  reply.instruction.status = 1;
  reply.instruction.created_at_s = NOW;
  return reply;
}

static void learn(hbeat_memory *m, const hbeat_reply *reply) {
  hbeat_memory_learn(m, &beat, reply, HBEAT_OK);
}

static void send_it(hbeat_memory *m) {
  hbeat_reply reply = instruction(THE_LCUID);
  learn(m, &reply);
}

static void send_for_later(hbeat_memory *m) {
  hbeat_reply reply = instruction(THE_LCUID);

  reply.instruction.run_at = "then";
  reply.instruction.run_at_s = NOW + 600;
  learn(m, &reply);
}

static void send_unreadable(hbeat_memory *m) {
  hbeat_reply reply = instruction(THE_LCUID);

  reply.instruction.unreadable = true;
  learn(m, &reply);
}

static void send_acknowledged(hbeat_memory *m) {
  hbeat_reply reply = instruction(THE_LCUID);

  reply.instruction.status = ACKNOWLEDGED;
  learn(m, &reply);
}

static void ask_at(hbeat_memory *m, int64_t now_s, const hbeat_limits *limits) {
  hbeat_instruction i;
  hbeat_memory_due(m, now_s, limits, &i);
}

static void ask_now(hbeat_memory *m) {
  ask_at(m, NOW, &no_limits);
}

static void ask_later(hbeat_memory *m) {
  ask_at(m, NOW + 600, &no_limits);
}

static void ask_too_late(hbeat_memory *m) {
  const hbeat_limits limits = {1, 1};
  ask_at(m, NOW + DAY_S, &limits);
}

static void end_well(hbeat_memory *m) {
  hbeat_memory_end(m, THE_LCUID, HBEAT_ACKNOWLEDGE, NULL, NULL);
}

static void end_badly(hbeat_memory *m) {
  hbeat_memory_end(m, THE_LCUID, HBEAT_FAILED, "why", NULL);
}

/* A report of this instruction is answered so. */
static void answer(
    hbeat_memory *m, hbeat_call call, hbeat_error e, int http_status) {
  const hbeat_request report = {.call = call, .instruction = THE_LCUID};
  hbeat_reply reply = empty_reply();

  reply.http_status = http_status;
  hbeat_memory_learn(m, &report, &reply, e);
}

static void accept_success(hbeat_memory *m) {
  answer(m, HBEAT_ACKNOWLEDGE, HBEAT_OK, 200);
}

static void accept_failure(hbeat_memory *m) {
  answer(m, HBEAT_FAILED, HBEAT_OK, 200);
}

static void refuse_success(hbeat_memory *m) {
  answer(m, HBEAT_ACKNOWLEDGE, HBEAT_ERR_STATUS, 404);
}

static void refuse_failure(hbeat_memory *m) {
  answer(m, HBEAT_FAILED, HBEAT_ERR_STATUS, 404);
}

static void answer_nothing(hbeat_memory *m) {
  answer(m, HBEAT_ACKNOWLEDGE, HBEAT_ERR_TIMEOUT, 0);
  answer(m, HBEAT_FAILED, HBEAT_ERR_STATUS, 503);
}

static void restart(hbeat_memory *m) {
  const hbeat_memory kept = *m;
  hbeat_memory_load(m, &kept, sizeof kept, NULL);
}

/* Many others come, cannot be read, and are reported. */
static void crowd(hbeat_memory *m) {
  char lcuid[32];

  for (int n = 0; n < OTHER_COUNT; n++) {
    snprintf(lcuid, sizeof lcuid, "LCUID-OTHER-%d", n);
    const hbeat_request report = {.call = HBEAT_FAILED, .instruction = lcuid};
    hbeat_reply reply = instruction(lcuid);
    reply.instruction.unreadable = true;
    learn(m, &reply);
    reply = empty_reply();
    hbeat_memory_learn(m, &report, &reply, HBEAT_OK);
  }
}

static const struct {
  void (*make)(hbeat_memory *m);
  const char *words;
} calls[] = {
    {send_it, "learn: it is sent"},
    {send_for_later, "learn: it is sent"},
    {send_unreadable, "learn: it cannot be run"},
    {send_acknowledged, "learn: it is acknowledged"},
    {ask_now, "due"},
    {ask_later, "due"},
    {ask_too_late, "due: it is too old"},
    {end_well, "end"},
    {end_badly, "end"},
    {accept_success, "learn: its report is taken"},
    {accept_failure, "learn: its report is taken"},
    {refuse_success, "learn: its report is refused"},
    {refuse_failure, "learn: its report is refused"},
    {answer_nothing, "learn: no answer"},
    {restart, "load: a restart"},
    {crowd, "learn: others take its room"},
};

/* ---- What they lead to --------------------------------------------------- */

/* A memory in which the instruction's record is like in no other one here. */
typedef struct finding {
  hbeat_memory memory;
  bool is_crowded;
} finding;

static finding found[FOUND_MAX];
static int found_count;
static arrow arrows[ARROWS_MAX];
static int arrow_count;

/* FREE: there is no record. */
static int state_in(const hbeat_memory *m) {
  const memory_record *r = find_record(m, THE_LCUID);
  return r ? r->state : FREE;
}

static bool is_like(const hbeat_memory *a, const hbeat_memory *b) {
  const memory_record *r = find_record(a, THE_LCUID);
  const memory_record *other = find_record(b, THE_LCUID);

  if (!r || !other) return r == other;
  return memcmp(r->size, other->size, sizeof r->size) == 0 &&
      memcmp(r, other, read_16(r->size)) == 0;
}

static void keep_finding(const hbeat_memory *m, bool is_crowded) {
  for (int i = 0; i < found_count; i++)
    if (is_like(&found[i].memory, m)) return;
  if (found_count == FOUND_MAX) abort();
  found[found_count++] = (finding){*m, is_crowded};
}

static void keep_arrow(int from, int to, const char *words) {
  for (int i = 0; i < arrow_count; i++) {
    const arrow *a = &arrows[i];
    if (a->from == from && a->to == to && strcmp(a->words, words) == 0) return;
  }
  if (arrow_count == ARROWS_MAX) abort();
  arrows[arrow_count++] = (arrow){from, to, words};
}

static void try_calls(const finding *f) {
  for (size_t i = 0; i < COUNT(calls); i++) {
    hbeat_memory m = f->memory;
    calls[i].make(&m);
    int from = state_in(&f->memory);
    int to = state_in(&m);
    if (from != to) keep_arrow(from, to, calls[i].words);
    keep_finding(&m, f->is_crowded || calls[i].make == crowd);
  }
}

/* What the note below the drawing says of a merge. */
static bool merges_so(const hbeat_memory *mine, const hbeat_memory *other) {
  hbeat_memory m = *mine;
  int own = state_in(mine);
  int theirs = state_in(other);
  bool takes = own == FREE || (own == WAITING && theirs != FREE);

  hbeat_memory_merge(&m, other);
  return state_in(&m) == (takes ? theirs : own);
}

static bool all_merge_so(void) {
  for (int i = 0; i < found_count; i++)
    for (int j = 0; j < found_count; j++) {
      if (found[i].is_crowded || found[j].is_crowded) continue;
      if (!merges_so(&found[i].memory, &found[j].memory)) return false;
    }
  return true;
}

static bool all_are_reached(void) {
  bool reached[STATES] = {false};

  for (int i = 0; i < arrow_count; i++) reached[arrows[i].to] = true;
  for (int i = 0; i < STATES; i++)
    if (!reached[i]) return false;
  return true;
}

/* ---- The drawing --------------------------------------------------------- */

static bool draw_to(const char *folder) {
  static const box boxes[STATES] = {
      [FREE] = {"not known", ""},
      [WAITING] = {"WAITING", "for its run_at"},
      [TAKEN] = {"TAKEN", "handed out, to be run"},
      [ENDED] = {"ENDED", "to be reported"},
      [REPORTED] = {"REPORTED", "known if it is sent again"},
  };
  const picture p = {.title = "The life of an instruction",
      .note = "hbeat_memory_merge() makes of one that is not known, or"
              " WAITING, what it is in the other memory.\n",
      .box_width = 260,
      .words_width = 170,
      .boxes = boxes,
      .box_count = STATES,
      .arrows = arrows,
      .arrow_count = arrow_count};
  char path[512];

  snprintf(path, sizeof path, "%s/memory.svg", folder);
  FILE *out = fopen(path, "w");
  if (!out) return false;
  draw_picture(&p, out);
  return fclose(out) == 0;
}

int main(int argc, char **argv) {
  static hbeat_memory empty;

  if (argc != 2) return 2;
  hbeat_memory_load(&empty, NULL, 0, NULL);
  keep_finding(&empty, false);
  for (int i = 0; i < found_count; i++) try_calls(&found[i]);
  printf("# note %d records, %d arrows\n", found_count, arrow_count);
  report(all_are_reached(), "every state is reached");
  report(all_merge_so(), "a merge does as the drawing says");
  report(draw_to(argv[1]), "the life of an instruction is drawn");
  return end_reports();
}
