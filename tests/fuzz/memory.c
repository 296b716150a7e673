/* The memory.  Control bytes: what kind, and two that choose the calls; then
 * the bytes that were kept, as they are or record by record.  Where they are to
 * have a right checksum they get one.
 *
 * A server, a device and its disk: any call, in any order; the device is killed
 * between any two, and its disk fails.  Texts have odd sizes. */
#include "fuzz.h"

/* The library's names of what memory_rules.h reads by itself. */
#include "../unit/memory_rules.h"

/* Bits of the first control byte. */
enum {
  RIGHT = 1,     /* the seal is made right */
  RECORDS = 2,   /* the bytes are records, one behind the other */
  NONE_KEPT = 4, /* there is nothing to load */
  OLD = 8,       /* the bytes are those of versions 0.2 and 0.3 */
  FULL = 16      /* they are good records of any kind, with little room left */
};

enum { STEPS = 24, NAMES = 60 };

static uint32_t state;
static hbeat_memory *m;

/* What the server and the device know of each instruction. */
static struct {
  bool was_run;     /* it was handed out, and that was kept */
  bool was_dropped; /* it was forgotten after its report */
} known[NAMES];

/* What is kept for a restart. */
static struct {
  hbeat_memory bytes;
  bool is_used;
} disk;

static hbeat_error load(const void *bytes, size_t size) {
  int64_t floor_s = 7;
  return load_memory(m, at_end(bytes, size), size, &floor_s);
}

/* ---- Any values ---- */

static uint32_t dice(uint32_t sides) {
  return (next_random(&state) >> 8) % sides;
}

enum { ROOM = 5000 };

/* A text of any size, whose bytes are no UTF-8 now and then. */
static const char *long_text(char room[ROOM]) {
  static const uint32_t most[] = {40, 40, 400, 800, 4000, 4100};
  size_t size = 2 + dice(most[dice(COUNT(most))]);
  memset(room, dice(2) == 0 ? ' ' : 0xA9, size);
  room[size] = '\0';
  if (dice(4) > 0) {
    memset(room, ' ', size);
    room[0] = '{';
    room[size - 1] = '}';
  }
  return room;
}

static const char *text(char room[ROOM]) {
  static const char *const texts[] = {"", "reload", "caf\xC3\xA9", "{}",
      " {\"a\":[1]}", "{\"a\":", "[]", "null", "\x80\x80", ".", "..", "../x"};
  if (dice(3) > 0) return texts[dice(COUNT(texts))];
  return long_text(room);
}

/* A text that lies in the memory itself, where there is one. */
static const char *text_inside(char room[ROOM]) {
  uint32_t turn = dice(20);
  for (EACH_VIEW(r, m))
    if (turn-- == 0) return dice(2) == 0 ? r.first : r.second;
  return text(room);
}

/* One of the names that the server has, some of which are long. */
static const char *name_of(uint32_t n, char room[80]) {
  snprintf(room, 80, "%u%.*s", (unsigned)n, n % 3 == 0 ? 61 : 0,
      "-lllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllll");
  return room;
}

/* Which of them a name is; NAMES: none. */
static uint32_t number_of(const char *lcuid) {
  char room[80];
  for (uint32_t n = 0; n < NAMES; n++)
    if (strcmp(name_of(n, room), lcuid) == 0) return n;
  return NAMES;
}

/* The name of a record, or any. */
static const char *lcuid(char room[80]) {
  uint32_t turn = dice(20);
  for (EACH_VIEW(r, m))
    if (turn-- == 0) return strcpy(room, r.lcuid);
  return name_of(dice(NAMES), room);
}

static int64_t any_time(void) {
  static const int64_t times[] = {
      INT64_MIN, INT64_MIN + 1, -1, 0, 100, 3700, DAY_S, INT64_MAX};
  return dice(2) == 0 ? times[dice(COUNT(times))] : dice(8000);
}

static hbeat_reply any_reply(hbeat_error *e) {
  static const int statuses[] = {0, 200, 204, 401, 404, 429, 500};
  hbeat_reply reply;
  memset(&reply, 0, sizeof reply);
  *e = dice(2) == 0 ? HBEAT_OK : (hbeat_error)dice(HBEAT_ERR_MEMORY + 1);
  reply.http_status = statuses[dice(COUNT(statuses))];
  reply.server_time_s = any_time();
  reply.clock_offset_s = dice(2) == 0 ? 0 : HBEAT_NONE;
  reply.instruction.run_at_s = HBEAT_NONE;
  return reply;
}

/* ---- What must hold ---- */

/* What was kept has run for good: it waits no more, unless it was forgotten
 * after its report.  What has run is known until its report was taken. */
static void check_known(const hbeat_memory *before) {
  char room[80];
  for (uint32_t n = 0; n < NAMES; n++) {
    view now = view_of(m, name_of(n, room)), then = view_of(before, room);
    if (then.size > 0 && now.size == 0) {
      EXPECT(then.state == REPORTED || then.state == WAITING);
      known[n].was_dropped = then.state == REPORTED;
    }
    if (known[n].was_run && !known[n].was_dropped) EXPECT(now.size > 0);
    if (now.state != WAITING || !known[n].was_run) continue;
    EXPECT(known[n].was_dropped);
    known[n].was_run = false;
    known[n].was_dropped = false;
  }
}

/* ---- The disk ---- */

/* Begins again with what was kept. */
static void restart(void) {
  if (!disk.is_used) return;
  EXPECT(load(&disk.bytes, sizeof disk.bytes) == HBEAT_OK);
}

/* Keeps what has changed; false: it could not be. */
static bool keep(void) {
  if (!m->changed) return true;
  if (dice(9) == 0) return false; /* `changed` stays set */
  m->changed = 0;
  disk.bytes = *m;
  disk.is_used = true;
  return true;
}

/* ---- Records that are good ---- */

/* What a record is to be that is made: its texts are within `most` bytes. */
static size_t make_texts(byte *out, size_t most, int record_state) {
  size_t first = dice(3) == 0 ? 0 : dice((uint32_t)most / 2);
  size_t second = dice(3) == 0 ? 0 : 2 + dice((uint32_t)most / 2);
  if (record_state >= ENDED && dice(3) == 0) first = second = 0;
  memset(out, 'x', first);
  out[first] = '\0';
  memset(out + first + 1, ' ', second);
  if (second > 0) {
    out[first + 1] = '{';
    out[first + second] = '}';
  }
  out[first + 1 + second] = '\0';
  return first + second + 2;
}

static int any_state(void) {
  static const int states[] = {
      REPORTED, REPORTED, REPORTED, REPORTED, ENDED, WAITING, WAITING, TAKEN};
  return states[dice(COUNT(states))];
}

static byte call_in(int record_state) {
  if (record_state < ENDED) return HBEAT_BEAT;
  return dice(2) == 0 ? HBEAT_ACKNOWLEDGE : HBEAT_FAILED;
}

/* Good records, until there is little room or none. */
static void fill(hbeat_memory *kept) {
  static const uint32_t most[] = {20, 100, 300, 900};
  uint32_t size_class = dice(COUNT(most));
  size_t at = 0, end = sizeof kept->records;
  for (uint32_t n = 0; n < NAMES; n++) {
    byte *r = kept->records + at;
    size_t size = sizeof(memory_record);
    if (at + size + 64 + most[size_class] + 4 > end) return;
    r[2] = (byte)any_state();
    r[3] = call_in(r[2]);
    write_64(r + 4, dice(2) == 0 ? HBEAT_NONE : any_time());
    write_64(r + 12, any_time());
    name_of(n, (char *)r + size);
    size += strlen((char *)r + size) + 1;
    size += make_texts(r + size, most[size_class], r[2]);
    write_16(r, (unsigned)size);
    at += size;
  }
}

/* ---- Calls ---- */

static void call_learn(void) {
  hbeat_request request = {.call = (hbeat_call)dice(HBEAT_LOGIN + 1)};
  static char name[ROOM], parameters[ROOM];
  char id[80];
  hbeat_error e;
  hbeat_reply reply = any_reply(&e);
  hbeat_instruction *i = &reply.instruction;
  if (dice(2) == 0) request.call = HBEAT_BEAT;
  request.instruction = lcuid(id);
  i->lcuid = id;
  if (dice(8) == 0) i->lcuid = dice(2) == 0 ? NULL : text(name);
  i->name = dice(8) > 0 ? text(name) : NULL;
  i->unreadable = !i->name && dice(2) == 0;
  i->parameters.text = text(parameters);
  i->parameters.size = strlen(i->parameters.text);
  if (dice(4) == 0) memset(&i->parameters, 0, sizeof i->parameters);
  i->status = dice(3);
  i->created_at_s = any_time();
  if (dice(2) == 0) i->run_at_s = any_time();
  i->run_at = dice(4) == 0 ? "then" : NULL;
  learn(m, &request, &reply, e);
}

static void call_due(void) {
  hbeat_limits limits = {
      dice(2) == 0 ? 0 : any_time(), dice(2) == 0 ? 0 : any_time()};
  hbeat_instruction i;
  uint32_t n;
  view r;
  if (!take_due(m, any_time(), &limits, &i)) return;
  r = view_of(m, i.lcuid);
  EXPECT(r.state == TAKEN && i.name == r.first && i.lcuid == r.lcuid);
  EXPECT(i.run_at_s == r.run_at_s && i.created_at_s == r.created_at_s);
  if (i.parameters.type != HBEAT_JSON_NONE)
    EXPECT(i.parameters.text >= r.second);
  n = number_of(i.lcuid);
  if (!keep() || n == NAMES) return; /* it does not run yet */
  EXPECT(!known[n].was_run);
  known[n].was_run = true;
  known[n].was_dropped = false;
}

static void call_end(void) {
  static char message[ROOM], data[ROOM];
  char id[80];
  hbeat_call call = dice(2) == 0 ? HBEAT_ACKNOWLEDGE : HBEAT_FAILED;
  const char *about = lcuid(id);
  if (dice(3) == 0) end_one(m, about, call, NULL, NULL);
  else if (dice(3) == 0)
    end_one(m, about, call, text_inside(message), text_inside(data));
  else end_one(m, about, call, text(message), text(data));
}

static void call_report(void) {
  hbeat_request request;
  hbeat_reply reply;
  hbeat_error e;
  if (!make_report(m, &request)) return;
  reply = any_reply(&e);
  if (dice(2) == 0) e = HBEAT_OK;
  learn(m, &request, &reply, e);
}

static void call_keep(void) {
  keep();
}

/* Another store turns up, with what an earlier life or another device left.  It
 * takes long to look at what came of that: so it is rare. */
static void call_merge(void) {
  if (dice(6) > 0) return;
  hbeat_memory *found = memory(sizeof *found);
  hbeat_memory *kept = memory(sizeof *kept);
  if (disk.is_used && dice(2) == 0) *kept = disk.bytes;
  else fill(kept);
  make_seal(kept, MEMORY_VERSION, kept->seal);
  EXPECT(load_memory(found, kept, sizeof *kept, NULL) == HBEAT_OK);
  merge(m, found);
  free(kept);
  free(found);
}

/* What was taken and not kept has not run, and is so again. */
static void walk(void) {
  static void (*const calls[])(void) = {call_learn, call_learn, call_learn,
      call_due, call_due, call_end, call_report, call_report, call_keep,
      call_merge, restart};
  static hbeat_memory before;
  for (int step = 0; step < STEPS; step++) {
    bool was_changed = m->changed;
    before = *m;
    void (*call)(void) = calls[dice(COUNT(calls))];
    call();
    expect_sound_bytes(m);
    if (call == restart && disk.is_used) continue;
    EXPECT(m->changed || was_changed || call == call_keep || call == call_due ||
        same_memory(m, &before));
    check_known(&before);
  }
  keep();
  restart();
}

/* ---- What was kept ---- */

/* Copies text up to a NUL, or all that there is room for; returns its size. */
static size_t take_string(span *in, byte *to, size_t size) {
  size_t n = 0;
  while (n < size && in->at < in->end) {
    to[n] = *in->at++;
    if (to[n++] == '\0') break;
  }
  return n;
}

static void craft_times(byte *run_at_s, byte kind) {
  run_at_s[kind / 32 % 2 * 7] = kind & 64 ? 0x80 : 50;
}

/* Records behind one another: the last bits of their kinds spoil sizes. */
static void craft(hbeat_memory *kept, span in) {
  size_t at = 0;
  while (in.at < in.end && at + 300 < sizeof kept->records) {
    byte kind = control(&in), *r = kept->records + at;
    size_t size = sizeof(memory_record);
    r[2] = kind % 8; /* some of which there are not */
    r[3] = kind / 8 % 4;
    craft_times(r + 4, kind);
    for (int i = 0; i < 3; i++) size += take_string(&in, r + size, 80);
    if (kind & 128) size += control(&in) % 4; /* a wrong one, mostly */
    r[0] = (byte)(size >> 8);
    r[1] = (byte)size;
    at += size;
  }
}

static void craft_old(hbeat_memory *kept, span in) {
  for (size_t i = 16; i-- > 0 && in.at < in.end;) {
    old_record *r = (void *)(kept->records + i * sizeof *r);
    byte kind = control(&in), *second;
    r->state = kind % 8; /* some of which there are not */
    r->call = kind / 8 % 4;
    craft_times(r->run_at_s, kind);
    take_string(&in, (byte *)r->lcuid, sizeof r->lcuid);
    if (kind & 128) memset(r->texts, 'x', sizeof r->texts - 2);
    if (kind & 128) continue; /* full to the last byte */
    take_string(&in, (byte *)r->texts, sizeof r->texts);
    second = memchr(r->texts, '\0', sizeof r->texts);
    if (!second) continue;
    second++;
    take_string(
        &in, second, (size_t)((byte *)r->texts + sizeof r->texts - second));
  }
}

static void fill_old(hbeat_memory *kept) {
  for (uint32_t n = 0; n < 16; n++) {
    old_record *r = (void *)(kept->records + n * sizeof *r);
    bool is_full = dice(8) > 0;
    r->state = (byte)any_state();
    r->call = call_in(r->state);
    write_64(r->run_at_s, dice(2) == 0 ? HBEAT_NONE : any_time());
    name_of(is_full ? 3 * n : 3 * n + 1, r->lcuid);
    if (is_full) memset(r->texts, 'x', sizeof r->texts - 2);
    else make_texts((byte *)r->texts, sizeof r->texts - 4, r->state);
  }
}

/* Makes what is to be loaded; returns its size. */
static size_t make_kept(hbeat_memory *kept, byte kind, span in) {
  byte version = kind & OLD ? OLD_MEMORY_VERSION : MEMORY_VERSION;
  size_t size = length_of(in);
  if (kind & NONE_KEPT) return 0;
  if (kind & FULL) {
    if (kind & OLD) fill_old(kept);
    else fill(kept);
    size = sizeof *kept;
  } else if (kind & RECORDS) {
    if (kind & OLD) craft_old(kept, in);
    else craft(kept, in);
    size = sizeof *kept;
  } else {
    if (size > sizeof *kept) size = sizeof *kept;
    memcpy(kept, in.at, size);
    if (kind & RIGHT) size = sizeof *kept;
  }
  if (kind & RIGHT) make_seal(kept, version, kept->seal);
  return size;
}

/* What versions 0.2 and 0.3 remembered is remembered, but for one that waited
 * and does not fit. */
static void check_taken_over(const hbeat_memory *kept) {
  size_t needed = 0;
  for (size_t i = 0; i < 16; i++) {
    const old_record *old =
        (const void *)(kept->records + i * sizeof(old_record));
    view r;
    if (old->state == FREE) continue;
    r = view_of(m, old->lcuid);
    needed += record_size(strlen(old->lcuid), strlen(old->texts),
        strlen(old->texts + strlen(old->texts) + 1));
    if (r.size == 0) {
      EXPECT(i == 15 && old->state == WAITING);
      EXPECT(needed > sizeof m->records);
      continue;
    }
    EXPECT(r.state == (old->state == TAKEN ? ENDED : old->state));
    if (r.state == WAITING) EXPECT(strcmp(r.first, old->texts) == 0);
    EXPECT(r.run_at_s == read_64(old->run_at_s));
    EXPECT(r.created_at_s == HBEAT_NONE);
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  span in = span_of(data, size);
  byte kind = control(&in);
  hbeat_memory *kept = memory(sizeof *kept);
  size_t kept_size;
  hbeat_error e;
  state = 1u + control(&in);
  state = state << 8 | control(&in);
  kept_size = make_kept(kept, kind, in);
  m = memory(sizeof *m);
  memset(known, 0, sizeof known);
  disk.is_used = false;
  e = load(kept, kept_size);
  EXPECT(e == HBEAT_OK || !(kind & NONE_KEPT));
  EXPECT(e == HBEAT_OK || !(kind & FULL) || !(kind & RIGHT));
  if (e == HBEAT_OK && (kind & RIGHT) && (kind & OLD) && !(kind & NONE_KEPT))
    check_taken_over(kept);
  walk();
  free(m);
  free(kept);
  return 0;
}
