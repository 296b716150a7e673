/* The memory.  Control bytes: what kind, and two that choose the calls; then
 * the bytes that were kept, as they are or record by record.  Where they are to
 * have a right checksum they get one.  Records are shorter than usual. */
#define HBEAT_MEMORY_TEXT 38
#include "fuzz.h"

enum { RIGHT = 1, RECORDS = 2, NONE_KEPT = 4, STEPS = 12 };

/* What has been handed out and is not yet forgotten. */
static struct {
  char lcuids[64][64];
  size_t count;
  bool known; /* no two records had the same lcuid to begin with */
} out;

static uint32_t state;
static hbeat_memory *m;

static bool same(const hbeat_memory *a, const hbeat_memory *b) {
  size_t skip = offsetof(hbeat_memory, seal);
  return memcmp((const byte *)a + skip, (const byte *)b + skip,
             sizeof *a - skip) == 0;
}

static hbeat_error load(const void *bytes, size_t size) {
  int64_t floor_s = 7;
  hbeat_error e = hbeat_memory_load(m, at_end(bytes, size), size, &floor_s);
  EXPECT(e == HBEAT_OK || e == HBEAT_ERR_MEMORY);
  EXPECT(floor_s >= 7 && (e == HBEAT_OK || floor_s == 7));
  EXPECT(e == HBEAT_OK || size != 0);
  EXPECT(m->next_report == 0);
  return e;
}

/* ---- What must hold ---- */

static const hbeat_record *record_of(const char *lcuid) {
  size_t i;
  for (i = 0; i < COUNT(m->records); i++)
    if (m->records[i].state != FREE && strcmp(m->records[i].lcuid, lcuid) == 0)
      return &m->records[i];
  return NULL;
}

static void check_record(const hbeat_record *r) {
  const char *nul = memchr(r->text, '\0', sizeof r->text);
  const char *end = r->text + sizeof r->text;
  hbeat_json value;
  EXPECT(r->state <= REPORTED);
  if (r->state == FREE) return;
  EXPECT(memchr(r->lcuid, '\0', sizeof r->lcuid));
  EXPECT(is_path_segment(r->lcuid));
  EXPECT(!out.known || record_of(r->lcuid) == r);
  EXPECT(nul && memchr(nul + 1, '\0', (size_t)(end - nul) - 1));
  if (r->state < ENDED) return;
  EXPECT(r->call == HBEAT_ACKNOWLEDGE || r->call == HBEAT_FAILED);
  if (nul[1] == '\0') return;
  EXPECT(hbeat_json_parse(nul + 1, strlen(nul + 1), &value) == HBEAT_OK);
  EXPECT(value.type == HBEAT_JSON_OBJECT);
}

/* What changed says so. */
static void check(const hbeat_memory *before) {
  size_t i, kept = 0;
  for (i = 0; i < COUNT(m->records); i++) check_record(&m->records[i]);
  EXPECT(m->changed <= 1);
  EXPECT(m->changed || same(m, before));
  for (i = 0; i < out.count; i++) {
    const hbeat_record *r = record_of(out.lcuids[i]);
    if (!r) continue;
    EXPECT(!out.known || r->state != WAITING);
    memmove(out.lcuids[kept++], out.lcuids[i], sizeof out.lcuids[i]);
  }
  out.count = kept;
}

static void check_loaded(hbeat_error e) {
  static hbeat_memory empty;
  size_t i, j;
  hbeat_memory_load(&empty, NULL, 0, NULL);
  out.count = 0;
  out.known = true;
  EXPECT(e == HBEAT_OK || memcmp(m, &empty, sizeof *m) == 0);
  for (i = 0; i < COUNT(m->records); i++) {
    EXPECT(m->records[i].state != TAKEN);
    for (j = 0; j < i; j++)
      if (m->records[i].state != FREE && m->records[j].state != FREE &&
          strcmp(m->records[i].lcuid, m->records[j].lcuid) == 0)
        out.known = false;
  }
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
  if (dice(2) == 0) room[0] = '{', room[size - 1] = '}';
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

static void learn(
    const hbeat_request *request, const hbeat_reply *reply, hbeat_error e) {
  hbeat_error outcome = hbeat_memory_learn(m, request, reply, e);
  size_t i;
  EXPECT(outcome == HBEAT_OK || outcome == HBEAT_ERR_JSON ||
      outcome == HBEAT_ERR_TOO_BIG);
  if (outcome != HBEAT_ERR_TOO_BIG) return;
  for (i = 0; i < COUNT(m->records); i++)
    EXPECT(m->records[i].state != FREE && m->records[i].state != REPORTED);
}

static void call_learn(void) {
  hbeat_request request = {.call = (hbeat_call)dice(HBEAT_LOGIN + 1)};
  char id[80], name[80], parameters[80];
  hbeat_error e;
  hbeat_reply reply = any_reply(&e);
  hbeat_instruction *i = &reply.instruction;
  request.instruction = lcuid(id);
  i->lcuid = dice(8) > 0 ? id : dice(2) == 0 ? NULL : text(name);
  i->name = dice(8) > 0 ? text(name) : NULL;
  i->parameters.text = text(parameters);
  i->parameters.size = strlen(i->parameters.text);
  i->run_at_s = any_time();
  i->run_at = dice(2) == 0 ? "then" : NULL;
  learn(&request, &reply, e);
}

static void call_due(void) {
  int64_t now_s = any_time(), age_s = any_time();
  hbeat_instruction i;
  const hbeat_record *r;
  size_t n;
  memset(&i, 0xA5, sizeof i);
  if (!hbeat_memory_due(m, now_s, age_s, &i)) {
    EXPECT(!i.name && !i.lcuid);
    EXPECT(i.run_at_s == HBEAT_NONE || i.run_at_s > now_s);
    return;
  }
  r = record_of(i.lcuid);
  EXPECT(m->changed && i.name && i.run_at_s <= now_s);
  EXPECT(!out.known || (r && r->state == TAKEN && i.name == r->text));
  EXPECT(i.parameters.size <= sizeof r->text);
  for (n = 0; n < out.count; n++)
    EXPECT(!out.known || strcmp(out.lcuids[n], i.lcuid) != 0);
  if (out.count < COUNT(out.lcuids)) strcpy(out.lcuids[out.count++], i.lcuid);
}

static void call_end(void) {
  char id[80], message[80], data[80];
  hbeat_call call = dice(2) == 0 ? HBEAT_ACKNOWLEDGE : HBEAT_FAILED;
  const char *about = lcuid(id);
  hbeat_memory_end(m, about, call, dice(4) > 0 ? text(message) : NULL,
      dice(4) > 0 ? text(data) : NULL);
  EXPECT(!record_of(about) || !out.known || record_of(about)->state == ENDED);
}

static void call_report(void) {
  static char room[1];
  static const hbeat_config cfg = {.device = "d",
      .app = "a",
      .token = "t",
      .reply_buffer = room,
      .reply_buffer_size = sizeof room};
  hbeat_request request;
  hbeat_exchange x;
  hbeat_reply none, reply;
  hbeat_error e;
  size_t i, ended = 0;
  for (i = 0; i < COUNT(m->records); i++) ended += m->records[i].state == ENDED;
  memset(&request, 0xA5, sizeof request);
  EXPECT(hbeat_memory_report(m, &request) == (ended > 0));
  if (ended == 0) return;
  EXPECT(!m->changed);
  EXPECT(hbeat_begin(&x, &cfg, &request, &none) == HBEAT_OK);
  reply = any_reply(&e);
  learn(&request, &reply, e);
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
  while (size-- > 0 && in->at < in->end)
    if ((*to++ = (char)*in->at++) == '\0') break;
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

static void set_checksum(hbeat_memory *kept) {
  const byte *at = kept->server_time_s, *end = (const byte *)(kept + 1);
  uint32_t crc = UINT32_MAX, bit, i;
  for (; at < end; at++)
    for (crc ^= *at, bit = 0; bit < 8; bit++)
      crc = crc & 1 ? crc >> 1 ^ 0xEDB88320 : crc >> 1;
  for (i = 0; i < 4; i++) kept->seal[6 + i] = (byte)(~crc >> (24 - 8 * i));
  memcpy(kept->seal, "hbeat\1", 6);
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
  if (kind & RIGHT) set_checksum(kept);
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
