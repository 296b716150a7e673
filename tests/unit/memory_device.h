/*
 * A device that has a memory and a server: what the tests of the memory do with
 * it, and what they see.  The memory lies so that the byte behind it faults.
 *
 * Included first, by one file a program, which calls prepare_device().
 */
#ifndef MEMORY_DEVICE_H
#define MEMORY_DEVICE_H

#include "cases.h"

#define NONE HBEAT_NONE
#define NOW INT64_C(1767744919) /* 2026-01-07 00:15:19 UTC */

/* Of a record, as heartbeat.h has them. */
enum { FREE, WAITING, TAKEN, ENDED, REPORTED };

#define EXPECT(condition) expect_true(#condition, condition)
#include "memory_rules.h"

static hbeat_memory *m;
static fenced other_bytes; /* whatever else is handed over */

static const hbeat_request BEAT = {.lightning_version = "4.2.1"};
static const hbeat_limits NO_LIMITS = {0, 0};

static inline void prepare_device(void) {
  fenced memory = fence(sizeof *m);

  m = (hbeat_memory *)(memory.end - sizeof *m);
  other_bytes = fence(2 * sizeof *m);
}

/* ---- What a device does ------------------------------------------------- */

/* Loads bytes that lie so that the one behind them faults. */
static inline hbeat_error load(
    const void *bytes, size_t size, int64_t *floor_s) {
  memset(m, 0xA5, sizeof *m);
  return load_memory(m, at_end(&other_bytes, bytes, size), size, floor_s);
}

static inline void forget(void) {
  memset(m, 0xA5, sizeof *m);
  expect_error("an empty memory", load_memory(m, NULL, 0, NULL), HBEAT_OK);
}

/* A reply with nothing in it, but that it is good. */
static inline hbeat_reply good_reply(void) {
  hbeat_reply reply;

  memset(&reply, 0, sizeof reply);
  reply.http_status = 200;
  reply.success = true;
  reply.retry_after_s = NONE;
  reply.server_time_s = NONE;
  reply.clock_offset_s = NONE;
  reply.instruction.status = NONE;
  reply.instruction.run_at_s = NONE;
  reply.instruction.created_at_s = NONE;
  reply.instruction.updated_at_s = NONE;
  return reply;
}

/* A heartbeat brings an instruction; `run_at_s` NONE is now. */
static inline hbeat_error offer(
    const char *lcuid, const char *name, int64_t run_at_s) {
  hbeat_reply reply = good_reply();

  reply.instruction.lcuid = lcuid;
  reply.instruction.name = name;
  reply.instruction.run_at = run_at_s == NONE ? NULL : "then";
  reply.instruction.run_at_s = run_at_s;
  return learn(m, &BEAT, &reply, HBEAT_OK);
}

/* A call about an instruction ends. */
static inline void hear(
    const hbeat_request *request, hbeat_error e, int http_status) {
  hbeat_reply reply = good_reply();

  reply.success = e == HBEAT_OK;
  reply.http_status = http_status;
  expect_error("of a report", learn(m, request, &reply, e), HBEAT_OK);
}

/* One is taken that is to run now, and ends. */
static inline void run(const char *lcuid) {
  hbeat_instruction i;

  expect_error("learnt", offer(lcuid, "reload", NONE), HBEAT_OK);
  expect_true("due", take_due(m, NOW, &NO_LIMITS, &i));
  expect_text("the one", i.lcuid, lcuid);
  end_one(m, lcuid, HBEAT_ACKNOWLEDGE, NULL, NULL);
}

/* Its report is taken. */
static inline void report(const char *lcuid) {
  hbeat_request request;

  memset(&request, 0, sizeof request);
  request.call = HBEAT_ACKNOWLEDGE;
  request.instruction = lcuid;
  hear(&request, HBEAT_OK, 200);
}

/* ---- What is seen of it ------------------------------------------------- */

/* Which record is that of an instruction, from 0 on; -1: there is none. */
static inline int place_of(const char *lcuid) {
  int place = 0;

  for (EACH_VIEW(r, m)) {
    if (strcmp(r.lcuid, lcuid) == 0) return place;
    place++;
  }
  return -1;
}

static inline int state_of(const char *lcuid) {
  return view_of(m, lcuid).state;
}

/* ---- Many instructions -------------------------------------------------- */

/* The lcuid of one of many; four of them live at a time. */
static inline const char *numbered(unsigned n) {
  static char text[4][30];
  static unsigned turn;

  turn = (turn + 1) % COUNT(text);
  snprintf(text[turn], sizeof text[turn], "LCUID-LDRI-%u", n);
  return text[turn];
}

static inline unsigned number_of(const char *lcuid) {
  unsigned n = (unsigned)strtoul(strrchr(lcuid, '-') + 1, NULL, 10);

  expect_text("its whole lcuid", lcuid, numbered(n));
  return n;
}

#endif
