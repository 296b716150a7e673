/*
 * What must hold of a memory, whatever it is asked and whatever it was made of.
 * The unit tests and the fuzzer call the library through here; what each
 * expects beside that, it says itself.  The bytes are read here anew, by what
 * the header and the library's comments say of them.
 *
 * The includer has heartbeat.h, the names of a record's states, COUNT(array),
 * and EXPECT(condition), which ends the test where the condition is false.
 */
#ifndef MEMORY_RULES_H
#define MEMORY_RULES_H

enum {
  FRONT = 20,      /* bytes of a record before its texts */
  FAR_MAX = 6144,  /* what far instructions may take together */
  AN_HOUR_S = 3600 /* a run_at behind that is far */
};

/* ---- Records ------------------------------------------------------------ */

/* A record, as its bytes have it. */
typedef struct view {
  size_t at;   /* its offset among the records */
  size_t size; /* 0: there are no more */
  int state;
  int call;
  int64_t run_at_s;
  int64_t created_at_s;
  const char *lcuid;
  const char *first;  /* the name, or the message */
  const char *second; /* the parameters, or the data */
} view;

static inline int64_t number_at(const unsigned char *bytes, int size) {
  uint64_t n = 0;

  for (int i = 0; i < size; i++) n = n << 8 | bytes[i];
  return (int64_t)n;
}

/* The text behind another one, which must end before the record does. */
static inline const char *text_after(const char *text, const char *end) {
  const char *nul = memchr(text, '\0', (size_t)(end - text));

  EXPECT(nul != NULL);
  return nul + 1;
}

/* The record at an offset.  Its texts fill it; its size is checked, too. */
static inline view view_at(const hbeat_memory *m, size_t at) {
  const unsigned char *bytes = m->records + at;
  view r;

  memset(&r, 0, sizeof r);
  r.at = at;
  if (sizeof m->records - at < FRONT || bytes[2] == FREE) return r;
  r.size = (size_t)number_at(bytes, 2);
  EXPECT(r.size > FRONT && r.size <= sizeof m->records - at);
  const char *end = (const char *)bytes + r.size;
  r.state = bytes[2];
  r.call = bytes[3];
  r.run_at_s = number_at(bytes + 4, 8);
  r.created_at_s = number_at(bytes + 12, 8);
  r.lcuid = (const char *)bytes + FRONT;
  r.first = text_after(r.lcuid, end);
  r.second = text_after(r.first, end);
  EXPECT(text_after(r.second, end) == end);
  return r;
}

static inline view first_view(const hbeat_memory *m) {
  return view_at(m, 0);
}

static inline view next_view(const hbeat_memory *m, const view *r) {
  return view_at(m, r->at + r->size);
}

/* for (EACH_VIEW(r, m)) */
#define EACH_VIEW(r, m)                                                        \
  view r = first_view(m);                                                      \
  r.size > 0;                                                                  \
  r = next_view(m, &r)

/* The first record of an instruction; one of size 0 where there is none. */
static inline view view_of(const hbeat_memory *m, const char *lcuid) {
  view none;

  for (EACH_VIEW(r, m))
    if (strcmp(r.lcuid, lcuid) == 0) return r;
  memset(&none, 0, sizeof none);
  return none;
}

static inline size_t records_in_state(const hbeat_memory *m, int state) {
  size_t count = 0;

  for (EACH_VIEW(r, m)) count += r.state == state;
  return count;
}

/* Of records that wait to run or to be reported. */
static inline size_t busy_records(const hbeat_memory *m) {
  return records_in_state(m, WAITING) + records_in_state(m, TAKEN) +
      records_in_state(m, ENDED);
}

static inline size_t all_records(const hbeat_memory *m) {
  return busy_records(m) + records_in_state(m, REPORTED);
}

static inline size_t used_bytes(const hbeat_memory *m) {
  size_t used = 0;

  for (EACH_VIEW(r, m)) used += r.size;
  return used;
}

/* What an instruction or a report takes. */
static inline size_t record_size(
    size_t lcuid_size, size_t first_size, size_t second_size) {
  return FRONT + lcuid_size + first_size + second_size + 3;
}

/* The bytes that instructions take which wait for a time behind this one. */
static inline size_t far_bytes(const hbeat_memory *m, int64_t soon_s) {
  size_t size = 0;

  for (EACH_VIEW(r, m))
    if (r.state == WAITING && r.run_at_s > soon_s) size += r.size;
  return size;
}

/* The bytes that a new instruction can have: all that reported ones beyond the
 * youngest that are to stay take, and the texts of those. */
static inline size_t bytes_for_new(const hbeat_memory *m) {
  size_t room = sizeof m->records - used_bytes(m);
  size_t count = all_records(m);

  for (EACH_VIEW(r, m)) {
    bool is_spare = count > HBEAT_MEMORY_RECORDS;
    if (r.state != REPORTED) continue;
    room += r.size;
    if (!is_spare) room -= record_size(strlen(r.lcuid), 0, 0);
    count -= is_spare;
  }
  return room;
}

static inline void expect_lcuid(const char *lcuid) {
  static const char unreserved[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                   "abcdefghijklmnopqrstuvwxyz0123456789-._~";

  EXPECT(lcuid[0] != '\0' && strlen(lcuid) <= 63);
  EXPECT(strspn(lcuid, unreserved) == strlen(lcuid));
  EXPECT(strcmp(lcuid, ".") != 0);
  EXPECT(strcmp(lcuid, "..") != 0);
}

static inline void expect_sound_record(const view *r) {
  hbeat_json data;

  EXPECT(r->state >= WAITING && r->state <= REPORTED);
  expect_lcuid(r->lcuid);
  if (r->state < ENDED) {
    EXPECT(r->call == HBEAT_BEAT);
    return;
  }
  EXPECT(r->call == HBEAT_ACKNOWLEDGE || r->call == HBEAT_FAILED);
  if (*r->second == '\0') return;
  EXPECT(hbeat_json_parse(r->second, strlen(r->second), &data) == HBEAT_OK);
  EXPECT(data.type == HBEAT_JSON_OBJECT);
}

/* CRC-32, as zlib has it; a test holds it against a known one. */
static inline uint32_t crc_of(const void *memory, size_t size) {
  static uint32_t table[256];
  const unsigned char *bytes = memory;
  uint32_t crc = 0xFFFFFFFF;

  for (uint32_t n = 0; table[255] == 0; n++) {
    uint32_t c = n;
    for (int bit = 0; bit < 8; bit++) c = c & 1 ? c >> 1 ^ 0xEDB88320 : c >> 1;
    table[n] = c;
  }
  while (size-- > 0) crc = table[(crc ^ *bytes++) & 0xFF] ^ crc >> 8;
  return ~crc;
}

/* All but the two members in front, which are not kept for ever. */
static inline bool same_memory(const hbeat_memory *a, const hbeat_memory *b) {
  size_t front = offsetof(hbeat_memory, seal);

  return memcmp((const char *)a + front, (const char *)b + front,
             sizeof *a - front) == 0;
}

/* Records one behind the other, each of another instruction; zeros behind them;
 * and a seal, so that the bytes can be kept at any time. */
static inline void expect_sound_bytes(const hbeat_memory *m) {
  size_t sealed_at = offsetof(hbeat_memory, server_time_s);
  static const unsigned char zeros[sizeof m->records];
  size_t used = 0;

  for (EACH_VIEW(r, m)) {
    expect_sound_record(&r);
    EXPECT(view_of(m, r.lcuid).at == r.at);
    used += r.size;
  }
  EXPECT(memcmp(m->records + used, zeros, sizeof zeros - used) == 0);
  EXPECT(memcmp(m->seal, "hbeat\2", 6) == 0);
  EXPECT((uint32_t)number_at(m->seal + 6, 4) ==
      crc_of((const char *)m + sealed_at, sizeof *m - sealed_at));
}

/* `before` is what it was when `changed` was last cleared. */
static inline void expect_sound(
    const hbeat_memory *m, const hbeat_memory *before) {
  expect_sound_bytes(m);
  EXPECT(m->changed <= 1);
  EXPECT(m->changed == 1 || same_memory(m, before));
}

/* What `before` had is there, as it was if it lives; but for those that were
 * reported longest ago, and of those, too, as many as make up the number that
 * is always remembered.  Of the one that a call was about only that it is
 * there. */
static inline void expect_remembered(
    const hbeat_memory *m, const hbeat_memory *before, const char *about) {
  size_t missing = 0;

  for (EACH_VIEW(r, before)) {
    view now = view_of(m, r.lcuid);
    missing += now.size == 0;
    EXPECT(now.size > 0 || r.state == REPORTED);
    if (now.state != r.state || r.state == REPORTED) continue;
    if (about != NULL && strcmp(r.lcuid, about) == 0) continue;
    EXPECT(strcmp(now.first, r.first) == 0);
    EXPECT(strcmp(now.second, r.second) == 0);
  }
  EXPECT(missing == 0 || all_records(m) >= HBEAT_MEMORY_RECORDS);
  for (EACH_VIEW(r, before)) { /* the oldest go first */
    if (missing == 0) break;
    if (r.state != REPORTED) continue;
    EXPECT(view_of(m, r.lcuid).size == 0);
    missing--;
  }
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
  expect_sound_bytes(m);
  if (clock_floor_s != NULL) EXPECT(*clock_floor_s >= floor_before_s);
  if (e == HBEAT_OK) return e;
  EXPECT(all_records(m) == 0);
  if (clock_floor_s != NULL) EXPECT(*clock_floor_s == floor_before_s);
  return e;
}

/* What a heartbeat's instruction needs that is new, or 0. */
static inline size_t needed_bytes(
    const hbeat_memory *m, const hbeat_instruction *i) {
  size_t size = i->parameters.size;

  if (view_of(m, i->lcuid).size > 0) return 0;
  if (i->name != NULL) size += strlen(i->name);
  if (i->unreadable) size = strlen("it cannot be read");
  else if (i->run_at != NULL && i->run_at_s == HBEAT_NONE)
    size = strlen("run_at cannot be read");
  else if (size > HBEAT_INSTRUCTION_MAX)
    size = strlen("too long to be kept: 4000 bytes of name and parameters "
                  "at most");
  return record_size(strlen(i->lcuid), size, 0);
}

/* The time that is an hour from the server's, as a memory comes to know it. */
static inline int64_t soon_of(
    const hbeat_memory *m, const hbeat_reply *reply, hbeat_error e) {
  int64_t server_time_s = number_at(m->server_time_s, 8);

  if (e == HBEAT_OK && reply->clock_offset_s != HBEAT_NONE)
    server_time_s = reply->server_time_s;
  return server_time_s > INT64_MAX - AN_HOUR_S ? INT64_MAX
                                               : server_time_s + AN_HOUR_S;
}

/* What does not fit, and only that, is too big; then nothing is changed.  Far
 * instructions never come to take the last quarter. */
static inline hbeat_error learn(hbeat_memory *m, const hbeat_request *request,
    const hbeat_reply *reply, hbeat_error e) {
  static hbeat_memory before;
  const hbeat_instruction *i = &reply->instruction;
  int64_t soon_s = soon_of(m, reply, e);
  hbeat_error outcome;
  size_t far_before;

  before = *m;
  outcome = hbeat_memory_learn(m, request, reply, e);
  expect_sound_bytes(m);
  far_before = far_bytes(&before, soon_s);
  EXPECT(outcome == HBEAT_OK || outcome == HBEAT_ERR_JSON ||
      outcome == HBEAT_ERR_TOO_BIG);
  EXPECT(far_bytes(m, soon_s) <= FAR_MAX || far_bytes(m, soon_s) <= far_before);
  if (request->call != HBEAT_BEAT || e != HBEAT_OK) {
    EXPECT(outcome == HBEAT_OK);
    return outcome;
  }
  if (outcome == HBEAT_ERR_JSON || (i->name == NULL && !i->unreadable))
    return outcome;
  size_t size = needed_bytes(&before, i);
  bool is_far = i->run_at_s > soon_s;
  bool fits = size <= bytes_for_new(&before);
  bool fits_far = !is_far || far_before + size <= FAR_MAX;
  if (outcome == HBEAT_ERR_TOO_BIG) {
    EXPECT(!fits || !fits_far);
    EXPECT(memcmp(m->records, before.records, sizeof m->records) == 0);
  } else if (i->status != 2) {
    EXPECT(fits);
    EXPECT(view_of(m, i->lcuid).size > 0);
    expect_remembered(m, &before, NULL);
  }
  return outcome;
}

static inline bool take_due(hbeat_memory *m, int64_t now_s,
    const hbeat_limits *limits, hbeat_instruction *instruction) {
  static hbeat_memory before;
  bool is_due;

  before = *m;
  memset(instruction, 0xA5, sizeof *instruction);
  is_due = hbeat_memory_due(m, now_s, limits, instruction);
  expect_sound_bytes(m);
  expect_remembered(m, &before, NULL);
  EXPECT(!instruction->unreadable);
  if (is_due) {
    EXPECT(m->changed == 1);
    EXPECT(instruction->name != NULL);
    EXPECT(instruction->run_at_s <= now_s);
    EXPECT(instruction->parameters.size <= HBEAT_INSTRUCTION_MAX);
  } else {
    EXPECT(instruction->name == NULL);
    EXPECT(instruction->lcuid == NULL);
    EXPECT(
        instruction->run_at_s == HBEAT_NONE || instruction->run_at_s > now_s);
  }
  return is_due;
}

/* So much of a text as there is room for, without a part of a character. */
static inline size_t cut_size(const char *text, size_t room) {
  size_t size = strlen(text);

  if (size <= room) return size;
  while (room > 0 && ((unsigned char)text[room] & 0xC0) == 0x80) room--;
  return room;
}

static inline bool is_an_object(const char *text) {
  hbeat_json value;

  return hbeat_json_parse(text, strlen(text), &value) == HBEAT_OK &&
      value.type == HBEAT_JSON_OBJECT;
}

/* A text of the caller's, which may lie in the memory: as it is before that
 * changes. */
static inline const char *copy_of(const char *text, char *out, size_t size) {
  EXPECT(!text || strlen(text) < size);
  return strcpy(out, text ? text : "");
}

/* What is written down is the report that was given, as far as there is room
 * beside all that stays: a message is cut, data is left out. */
static inline void end_one(hbeat_memory *m, const char *lcuid, hbeat_call call,
    const char *message, const char *data) {
  static hbeat_memory before;
  static char id[9000], message_copy[9000], data_copy[9000];
  size_t room, size;
  view r;

  before = *m;
  copy_of(lcuid, id, sizeof id);
  copy_of(message, message_copy, sizeof message_copy);
  copy_of(data, data_copy, sizeof data_copy);
  r = view_of(m, id);
  hbeat_memory_end(m, lcuid, call, message, data);
  expect_sound_bytes(m);
  if (r.size == 0) {
    EXPECT(m->changed == before.changed && same_memory(m, &before));
    return;
  }
  before.records[r.at + 2] = ENDED; /* so that it is not to make room */
  expect_remembered(m, &before, id);
  room = r.size + bytes_for_new(&before) - record_size(strlen(id), 0, 0);
  r = view_of(m, id);
  EXPECT(m->changed == 1 && r.state == ENDED && r.call == (int)call);
  size = cut_size(message_copy, HBEAT_INSTRUCTION_MAX);
  message_copy[size] = '\0';
  if (!is_an_object(data_copy) ||
      strlen(data_copy) > HBEAT_INSTRUCTION_MAX - size)
    data_copy[0] = '\0';
  size = cut_size(message_copy, room);
  message_copy[size] = '\0';
  if (strlen(data_copy) > room - size) data_copy[0] = '\0';
  EXPECT(strcmp(r.first, message_copy) == 0);
  EXPECT(strcmp(r.second, data_copy) == 0);
}

/* What an instruction is in one of two memories after they were merged; what is
 * WAITING in both stays so, or gave way. */
static inline void expect_merged(const hbeat_memory *m,
    const hbeat_memory *before, const hbeat_memory *other, const char *lcuid) {
  view own = view_of(before, lcuid), its = view_of(other, lcuid);
  view now = view_of(m, lcuid), expected = own;

  if (own.size == 0 || (own.state == WAITING && its.state > WAITING))
    expected = its;
  bool is_own = now.state == own.state && now.call == own.call;
  if (own.state == REPORTED && !is_own) expected = its; /* it made room */
  if (now.size > 0) {
    EXPECT(now.state == expected.state && now.call == expected.call);
    if (now.state == REPORTED) return; /* its texts may be gone */
    if (own.state == WAITING && its.state == WAITING) return; /* either's */
    EXPECT(strcmp(now.first, expected.first) == 0);
    EXPECT(strcmp(now.second, expected.second) == 0);
    return;
  }
  if (expected.state == WAITING || expected.state == REPORTED) return;
  if (own.state == REPORTED) return;
  EXPECT(own.state == FREE || own.state == WAITING);
  if (records_in_state(other, WAITING) == 0)
    EXPECT(records_in_state(m, WAITING) == 0);
  EXPECT(bytes_for_new(m) < expected.size);
}

/* What ran in one of them ran, as far as there is room. */
static inline void merge(hbeat_memory *m, const hbeat_memory *other) {
  static hbeat_memory before;

  before = *m;
  hbeat_memory_merge(m, other);
  expect_sound_bytes(m);
  EXPECT(m->changed == 1);
  for (EACH_VIEW(r, &before)) expect_merged(m, &before, other, r.lcuid);
  for (EACH_VIEW(r, other)) expect_merged(m, &before, other, r.lcuid);
}

/* A report is fit to be sent, and making it changes nothing. */
static inline bool make_report(hbeat_memory *m, hbeat_request *request) {
  char room[1];
  const hbeat_config cfg = {.device = "d",
      .app = "a",
      .token = "t",
      .reply_buffer = room,
      .reply_buffer_size = sizeof room};
  static hbeat_memory before;
  hbeat_exchange exchange;
  hbeat_reply reply;
  bool is_made;

  before = *m;
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
