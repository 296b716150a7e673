/*
 * What must hold of a memory, whatever it is asked and whatever it was made of.
 * The unit tests and the fuzzer call the library through here; what each
 * expects beside that, it says itself.
 *
 * The includer has heartbeat.h, the names of a record's states, COUNT(array),
 * and EXPECT(condition), which ends the test where the condition is false.
 */
#ifndef MEMORY_RULES_H
#define MEMORY_RULES_H

/* ---- Records ------------------------------------------------------------ */

/* The first record of an instruction, or NULL. */
static inline const hbeat_record *record_of(
    const hbeat_memory *m, const char *lcuid) {
  for (size_t i = 0; i < COUNT(m->records); i++) {
    const hbeat_record *r = &m->records[i];
    if (r->state != FREE && strcmp(r->lcuid, lcuid) == 0) return r;
  }
  return NULL;
}

static inline size_t records_in_state(const hbeat_memory *m, int state) {
  size_t count = 0;

  for (size_t i = 0; i < COUNT(m->records); i++)
    count += m->records[i].state == state;
  return count;
}

/* Of records that wait to run or to be reported. */
static inline size_t busy_records(const hbeat_memory *m) {
  return records_in_state(m, WAITING) + records_in_state(m, TAKEN) +
      records_in_state(m, ENDED);
}

static inline void expect_lcuid(const hbeat_record *r) {
  static const char unreserved[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                   "abcdefghijklmnopqrstuvwxyz0123456789-._~";

  EXPECT(memchr(r->lcuid, '\0', sizeof r->lcuid) != NULL);
  EXPECT(r->lcuid[0] != '\0');
  EXPECT(strspn(r->lcuid, unreserved) == strlen(r->lcuid));
  EXPECT(strcmp(r->lcuid, ".") != 0);
  EXPECT(strcmp(r->lcuid, "..") != 0);
}

static inline void expect_sound_record(const hbeat_record *r) {
  const char *end = r->text + sizeof r->text;
  const char *first_nul, *second;
  hbeat_json data;

  EXPECT(r->state <= REPORTED);
  if (r->state == FREE) return;
  expect_lcuid(r);
  first_nul = memchr(r->text, '\0', sizeof r->text);
  EXPECT(first_nul != NULL);
  second = first_nul + 1;
  EXPECT(memchr(second, '\0', (size_t)(end - second)) != NULL);
  if (r->state < ENDED) return;
  EXPECT(r->call == HBEAT_ACKNOWLEDGE || r->call == HBEAT_FAILED);
  if (*second == '\0') return;
  EXPECT(hbeat_json_parse(second, strlen(second), &data) == HBEAT_OK);
  EXPECT(data.type == HBEAT_JSON_OBJECT);
}

/* All but the two members in front, which are not kept for ever. */
static inline bool same_memory(const hbeat_memory *a, const hbeat_memory *b) {
  size_t front = offsetof(hbeat_memory, seal);

  return memcmp((const char *)a + front, (const char *)b + front,
             sizeof *a - front) == 0;
}

/* `before` is what it was when `changed` was last cleared. */
static inline void expect_sound(
    const hbeat_memory *m, const hbeat_memory *before) {
  for (size_t i = 0; i < COUNT(m->records); i++)
    expect_sound_record(&m->records[i]);
  EXPECT(m->changed <= 1);
  EXPECT(m->changed == 1 || same_memory(m, before));
}

/* ---- Calls -------------------------------------------------------------- */

static inline hbeat_error load_memory(
    hbeat_memory *m, const void *bytes, size_t size, int64_t *clock_floor_s) {
  const int64_t floor_before_s = clock_floor_s ? *clock_floor_s : 0;
  hbeat_error e = hbeat_memory_load(m, bytes, size, clock_floor_s);

  EXPECT(e == HBEAT_OK || e == HBEAT_ERR_MEMORY);
  EXPECT(e == HBEAT_OK || size > 0);
  EXPECT(m->next_report == 0);
  EXPECT(records_in_state(m, TAKEN) == 0);
  for (size_t i = 0; i < COUNT(m->records); i++)
    expect_sound_record(&m->records[i]);
  if (clock_floor_s != NULL) EXPECT(*clock_floor_s >= floor_before_s);
  if (e == HBEAT_OK) return e;
  EXPECT(records_in_state(m, FREE) == COUNT(m->records));
  if (clock_floor_s != NULL) EXPECT(*clock_floor_s == floor_before_s);
  return e;
}

static inline hbeat_error learn(hbeat_memory *m, const hbeat_request *request,
    const hbeat_reply *reply, hbeat_error e) {
  hbeat_error outcome = hbeat_memory_learn(m, request, reply, e);

  EXPECT(outcome == HBEAT_OK || outcome == HBEAT_ERR_JSON ||
      outcome == HBEAT_ERR_TOO_BIG);
  if (outcome == HBEAT_ERR_TOO_BIG)
    EXPECT(busy_records(m) == COUNT(m->records));
  return outcome;
}

static inline bool take_due(hbeat_memory *m, int64_t now_s, int64_t max_age_s,
    hbeat_instruction *instruction) {
  bool is_due;

  memset(instruction, 0xA5, sizeof *instruction);
  is_due = hbeat_memory_due(m, now_s, max_age_s, instruction);
  if (is_due) {
    EXPECT(m->changed == 1);
    EXPECT(instruction->name != NULL);
    EXPECT(instruction->run_at_s <= now_s);
    EXPECT(instruction->parameters.size <= sizeof m->records[0].text);
  } else {
    EXPECT(instruction->name == NULL);
    EXPECT(instruction->lcuid == NULL);
    EXPECT(
        instruction->run_at_s == HBEAT_NONE || instruction->run_at_s > now_s);
  }
  return is_due;
}

/* A report is fit to be sent, and making it changes nothing. */
static inline bool make_report(hbeat_memory *m, hbeat_request *request) {
  char room[1];
  const hbeat_config cfg = {.device = "d",
      .app = "a",
      .token = "t",
      .reply_buffer = room,
      .reply_buffer_size = sizeof room};
  const hbeat_memory before = *m;
  hbeat_exchange exchange;
  hbeat_reply reply;
  bool is_made;

  memset(request, 0xA5, sizeof *request);
  is_made = hbeat_memory_report(m, request);
  EXPECT(is_made == (records_in_state(m, ENDED) > 0));
  EXPECT(m->changed == before.changed);
  EXPECT(same_memory(m, &before));
  if (!is_made) return false;
  EXPECT(request->call == HBEAT_ACKNOWLEDGE || request->call == HBEAT_FAILED);
  EXPECT(hbeat_begin(&exchange, &cfg, request, &reply) == HBEAT_OK);
  return true;
}

#endif
