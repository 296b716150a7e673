/* The memory.  Control bytes: what kind, and two that choose the calls; then
 * the bytes that were kept, as they are or record by record.  Where they are to
 * have a right checksum they get one.  Records are shorter than usual. */
#define HBEAT_MEMORY_TEXT 38
#include "fuzz.h"
#include "../unit/memory_rules.h"

/* Bits of the first control byte. */
enum {
  RIGHT = 1,    /* the seal is made right */
  RECORDS = 2,  /* the bytes are records, one behind the other */
  NONE_KEPT = 4 /* there is nothing to load */
};

enum { STEPS = 12 };

/* What has been handed out and is not yet forgotten. */
static struct {
  char lcuids[64][64];
  size_t count;
  bool known; /* no two records had the same lcuid to begin with */
} out;

static uint32_t state;
static hbeat_memory *m;

static hbeat_error load(const void *bytes, size_t size) {
  int64_t floor_s = 7;
  return load_memory(m, at_end(bytes, size), size, &floor_s);
}

/* ---- What must hold of a memory that was loaded ---- */

static bool is_the_first(const hbeat_record *r) {
  return r->state == FREE || record_of(m, r->lcuid) == r;
}

static void check_loaded(hbeat_error e) {
  static hbeat_memory empty;
  hbeat_memory_load(&empty, NULL, 0, NULL);
  EXPECT(e == HBEAT_OK || memcmp(m, &empty, sizeof *m) == 0);
  out.count = 0;
  out.known = true;
  for (size_t i = 0; i < COUNT(m->records); i++)
    if (!is_the_first(&m->records[i])) out.known = false;
}

/* Nothing that was handed out waits again, until it is forgotten. */
static void check_handed_out(void) {
  size_t kept = 0;
  for (size_t i = 0; i < out.count; i++) {
    const hbeat_record *r = record_of(m, out.lcuids[i]);
    if (!r) continue;
    EXPECT(!out.known || r->state != WAITING);
    memmove(out.lcuids[kept++], out.lcuids[i], sizeof out.lcuids[i]);
  }
  out.count = kept;
}

static void check(const hbeat_memory *before) {
  expect_sound(m, before);
  for (size_t i = 0; i < COUNT(m->records); i++)
    EXPECT(!out.known || is_the_first(&m->records[i]));
  check_handed_out();
}

/* ---- Any values ---- */

static uint32_t dice(uint32_t sides) {
  return (next_random(&state) >> 8) % sides;
}

static const char *text(char room[80]) {
  static const char *const texts[] = {"", "reload", "caf\xC3\xA9", "{}",
      " {\"a\":[1]}", "{\"a\":", "[]", "null", "\x80\x80", ".", "..", "../x"};
  size_t size = 2 + dice(50);
  if (dice(3) > 0) return texts[dice(COUNT(texts))];
  memset(room, dice(2) == 0 ? ' ' : 0xA9, size);
  room[size] = '\0';
  if (dice(2) == 0) {
    room[0] = '{';
    room[size - 1] = '}';
  }
  return room;
}

static const char *lcuid(char room[80]) {
  const hbeat_record *r = &m->records[dice(COUNT(m->records))];
  strcpy(room, "a");
  room[0] = (char)('a' + dice(20));
  if (r->state != FREE && dice(3) > 0) strcpy(room, r->lcuid);
  return room;
}

static int64_t any_time(void) {
  static const int64_t times[] = {
      INT64_MIN, INT64_MIN + 1, -1, 0, DAY_S, INT64_MAX};
  return dice(2) == 0 ? times[dice(COUNT(times))] : dice(100);
}

static hbeat_reply any_reply(hbeat_error *e) {
  static const int statuses[] = {0, 200, 401, 404, 429, 500};
  hbeat_reply reply;
  memset(&reply, 0, sizeof reply);
  *e = dice(2) == 0 ? HBEAT_OK : (hbeat_error)dice(HBEAT_ERR_MEMORY + 1);
  reply.http_status = statuses[dice(COUNT(statuses))];
  reply.server_time_s = any_time();
  reply.clock_offset_s = dice(2) == 0 ? 0 : HBEAT_NONE;
  reply.instruction.run_at_s = HBEAT_NONE;
  return reply;
}

/* ---- Calls ---- */

static void call_learn(void) {
  hbeat_request request = {.call = (hbeat_call)dice(HBEAT_LOGIN + 1)};
  char id[80], name[80], parameters[80];
  hbeat_error e;
  hbeat_reply reply = any_reply(&e);
  hbeat_instruction *i = &reply.instruction;
  request.instruction = lcuid(id);
  i->lcuid = id;
  if (dice(8) == 0) i->lcuid = dice(2) == 0 ? NULL : text(name);
  i->name = dice(8) > 0 ? text(name) : NULL;
  i->parameters.text = text(parameters);
  i->parameters.size = strlen(i->parameters.text);
  i->run_at_s = any_time();
  i->run_at = dice(2) == 0 ? "then" : NULL;
  learn(m, &request, &reply, e);
}

static void call_due(void) {
  int64_t now_s = any_time(), age_s = any_time();
  hbeat_instruction i;
  const hbeat_record *r;
  if (!take_due(m, now_s, age_s, &i)) return;
  r = record_of(m, i.lcuid);
  EXPECT(!out.known || (r && r->state == TAKEN && i.name == r->text));
  for (size_t n = 0; n < out.count; n++)
    EXPECT(!out.known || strcmp(out.lcuids[n], i.lcuid) != 0);
  if (out.count < COUNT(out.lcuids)) strcpy(out.lcuids[out.count++], i.lcuid);
}

static void call_end(void) {
  char id[80], message[80], data[80];
  hbeat_call call = dice(2) == 0 ? HBEAT_ACKNOWLEDGE : HBEAT_FAILED;
  const char *about = lcuid(id);
  const hbeat_record *r;
  hbeat_memory_end(m, about, call, dice(4) > 0 ? text(message) : NULL,
      dice(4) > 0 ? text(data) : NULL);
  r = record_of(m, about);
  EXPECT(!out.known || !r || r->state == ENDED);
}

static void call_report(void) {
  hbeat_request request;
  hbeat_reply reply;
  hbeat_error e;
  if (!make_report(m, &request)) return;
  reply = any_reply(&e);
  learn(m, &request, &reply, e);
}

/* What was ever changed is fit to be kept. */
static void restart(void) {
  static hbeat_memory kept;
  kept = *m;
  EXPECT(memcmp(kept.seal, "hbeat\1", 6) == 0);
  EXPECT(load(&kept, sizeof kept) == HBEAT_OK);
}

static void walk(void) {
  static void (*const calls[])(void) = {
      call_learn, call_learn, call_due, call_end, call_report, restart};
  static hbeat_memory before;
  int step;
  for (step = 0; step < STEPS; step++) {
    m->changed = 0;
    before = *m;
    calls[dice(COUNT(calls))]();
    check(&before);
  }
  restart();
}

/* ---- What was kept ---- */

/* Copies text up to a NUL, or all that there is room for. */
static void take_string(span *in, char *to, size_t size) {
  while (size-- > 0 && in->at < in->end) {
    *to = (char)*in->at++;
    if (*to++ == '\0') break;
  }
}

static void craft(hbeat_memory *kept, span in) {
  size_t i;
  for (i = COUNT(kept->records); i-- > 0 && in.at < in.end;) {
    hbeat_record *r = &kept->records[i];
    byte kind = control(&in);
    char *second;
    r->state = kind % 8; /* some of which there are not */
    r->call = kind / 8 % 4;
    memset(r->run_at_s, 0, sizeof r->run_at_s);
    r->run_at_s[kind / 32 % 2 * 7] = kind & 64 ? 0x80 : 50;
    take_string(&in, r->lcuid, sizeof r->lcuid);
    take_string(&in, r->text, sizeof r->text);
    second = memchr(r->text, '\0', sizeof r->text);
    if (!second) continue;
    second++;
    take_string(&in, second, (size_t)(r->text + sizeof r->text - second));
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  span in = span_of(data, size);
  byte kind = control(&in);
  hbeat_memory *kept = memory(sizeof *kept);
  size_t kept_size = sizeof *kept;
  hbeat_error e;
  state = 1u + control(&in);
  state = state << 8 | control(&in);
  if (kind & RECORDS) {
    craft(kept, in);
  } else {
    kept_size = length_of(in);
    if (kept_size > sizeof *kept || (kind & RIGHT)) kept_size = sizeof *kept;
    memcpy(kept, in.at, length_of(in) < kept_size ? length_of(in) : kept_size);
  }
  if (kind & RIGHT) make_seal(kept, kept->seal);
  if (kind & NONE_KEPT) kept_size = 0;
  m = memory(sizeof *m);
  e = load(kept, kept_size);
  EXPECT(e == HBEAT_OK || !(kind & NONE_KEPT));
  check_loaded(e);
  walk();
  free(m);
  free(kept);
  return 0;
}
