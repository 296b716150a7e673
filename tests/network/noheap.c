/*
 * No heap.  The allocator below stands in for the C library's, and aborts the
 * program while it is forbidden.  ASan and valgrind have allocators of their
 * own, which go first: under them this program tests less.
 */
#define _DEFAULT_SOURCE
#include "peer.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile bool forbidden;

#if !UNDER_ASAN
/* What cmocka and stdio ask for comes from here, and is never used again. */
static union {
  long double strictest;
  unsigned char bytes[1 << 22];
} heap;

/* In front of each block: its size. */
enum { BLOCK = 16 };

static void *allocate(size_t alignment, size_t size) {
  static size_t at;
  size_t start = (at + BLOCK + alignment - 1) / alignment * alignment;

  if (forbidden) abort();
  if (start > sizeof heap.bytes || size > sizeof heap.bytes - start)
    return NULL;
  memcpy(heap.bytes + start - BLOCK, &size, sizeof size);
  at = start + size;
  return heap.bytes + start;
}

void *malloc(size_t size) {
  return allocate(BLOCK, size);
}

void *calloc(size_t count, size_t size) {
  if (size != 0 && count > SIZE_MAX / size) return NULL;
  return allocate(BLOCK, count * size);
}

void *realloc(void *old, size_t size) {
  void *block = allocate(BLOCK, size);
  size_t old_size = 0;

  if (old) memcpy(&old_size, (unsigned char *)old - BLOCK, sizeof old_size);
  if (block && old_size > 0)
    memcpy(block, old, old_size < size ? old_size : size);
  return block;
}

void *reallocarray(void *old, size_t count, size_t size) {
  if (size != 0 && count > SIZE_MAX / size) return NULL;
  return realloc(old, count * size);
}

void *aligned_alloc(size_t alignment, size_t size) {
  return allocate(alignment < BLOCK ? BLOCK : alignment, size);
}

int posix_memalign(void **block, size_t alignment, size_t size) {
  *block = aligned_alloc(alignment, size);
  return *block ? 0 : ENOMEM;
}

void free(void *block) {
  if (forbidden && block) abort();
}

#endif

/* ---- That the allocator is the one in use ----------------------------- */

static bool aborts(void (*act)(void)) {
  int status;
  pid_t child;

  fflush(stdout);
  child = fork();
  if (child == 0) {
    forbidden = true;
    act();
    _exit(0);
  }
  assert_int_equal(waitpid(child, &status, 0), child);
  return WIFSIGNALED(status);
}

static void use_strdup(void) {
  char *volatile copy = strdup("heap"); /* or else the compiler drops it */

  free(copy);
}

static void use_stdio(void) {
  FILE *f = fopen("/dev/null", "r");

  if (f) fclose(f);
}

static void use_nothing(void) {
}

static void what_allocates_aborts(void **state) {
  (void)state;
  if (peer_patience() > 1) {
    puts("# note: another allocator goes first, so nothing can abort");
    return;
  }
  assert_true(aborts(use_strdup));
  assert_true(aborts(use_stdio));
  assert_false(aborts(use_nothing));
}

/* ---- Heartbeats ------------------------------------------------------- */

#define BODY                                                                   \
  "{\"success\":true,\"lightning_device_remote_instruction\":{"                \
  "\"instruction\":\"reload\",\"parameters\":[1,2.5e3,\"a\\u00e9\","           \
  "{\"deep\":[true,null]}],\"run_at\":null,\"status\":1,"                      \
  "\"lcuid\":\"LCUID-LDRI-1\",\"created_at\":"                                 \
  "\"2026-01-07T00:15:19.000000Z\"}}"

static const struct peer_turn turns[] = {
    {.reply = PEER_HEAD "Transfer-Encoding: chunked\r\n\r\n"
                        "e0\r\n" BODY "\r\n0\r\n\r\n"},
    {.reply = "", .end = PEER_FINISHES},
    {.reply = PEER_HEAD "Content-Length: 6\r\n\r\n<html>"},
    {.reply = PEER_REPLY},
    {.reply = PEER_REPLY},
    {.reply = PEER_HEAD "Content-Length: 23\r\n\r\n"
                        "{\"ok\":true,\"token\":\"t\"}"},
};

static const struct peer_script script = {.turns = turns, .turn_count = 6};

/* Reads every kind of value; returns how many there were. */
static int walk(hbeat_json value) {
  hbeat_json key, item;
  char text[32];
  int64_t number;
  int count = 0;

  while (hbeat_json_next(&value, &key, &item)) {
    hbeat_json_string(&key, text, sizeof text);
    hbeat_json_string(&item, text, sizeof text);
    hbeat_json_number(&item, 2, &number);
    count++;
  }
  return count;
}

/* What the calls of a client's whole life come to. */
static struct {
  hbeat_error loaded, begun, learnt, ended;
  hbeat_error sent[6];
  int parameters;
  bool due, reports;
  size_t explained; /* bytes of text */
  uint32_t next_ms;
} life;

/* Good beats, a dead connection, errors, a report and a log-in, the end. */
static void live(struct player *p, const char *pem, size_t pem_size,
    const hbeat_request *login) {
  static const hbeat_limits no_limits;
  static unsigned char arena[4096];
  static hbeat_memory memory;
  hbeat_anchors anchors = {.arena = arena, .arena_size = sizeof arena};
  hbeat_instruction instruction;
  hbeat_request report;
  uint32_t failures = 0;

  life.loaded = hbeat_anchors_pem(&anchors, pem, pem_size);
  p->cfg.anchors = anchors.list;
  life.begun = hbeat_init(&p->client, &p->cfg);
  life.sent[0] = hbeat_send(&p->client, &player_beat, &p->reply);
  life.parameters = walk(p->reply.instruction.parameters);
  life.learnt = hbeat_memory_load(&memory, NULL, 0, NULL);
  if (life.learnt == HBEAT_OK)
    life.learnt =
        hbeat_memory_learn(&memory, &player_beat, &p->reply, life.sent[0]);
  life.due = hbeat_memory_due(&memory, PEER_TIME_S, &no_limits, &instruction);
  hbeat_memory_end(
      &memory, "LCUID-LDRI-1", HBEAT_FAILED, "no \"screen\"", "{\"a\":[1]}");
  life.reports = hbeat_memory_report(&memory, &report);
  life.sent[1] = hbeat_send(&p->client, &player_beat, &p->reply);
  life.explained = strlen(hbeat_explain(&p->client));
  life.sent[2] = hbeat_send(&p->client, &player_beat, &p->reply);
  life.sent[3] = hbeat_send(&p->client, &report, &p->reply);
  life.next_ms =
      hbeat_next_ms(&(hbeat_policy){0}, &failures, life.sent[3], &p->reply, 0);
  life.sent[4] = hbeat_send(&p->client, login, &p->reply);
  life.sent[5] = hbeat_start(&p->client, &player_beat, &p->reply);
  while ((life.ended = hbeat_step(&p->client)) == HBEAT_AGAIN)
    ;
  hbeat_close(&p->client);
}

static void no_call_allocates(void **state) {
  static char token[16];
  static const hbeat_request login = {.call = HBEAT_LOGIN,
      .login_token = "t",
      .login_secret = "s",
      .token_buffer = token,
      .token_buffer_size = sizeof token};
  static struct player p;
  const char *pem;
  size_t pem_size;

  (void)state;
  player_configure(&p, peer_start(&script));
  pem = certs_file("ca", "pem", &pem_size);
  forbidden = true;
  live(&p, pem, pem_size, &login);
  forbidden = false;

  assert_int_equal(life.loaded, HBEAT_OK);
  assert_int_equal(life.begun, HBEAT_OK);
  assert_int_equal(life.sent[0], HBEAT_OK);
  assert_int_equal(life.parameters, 4);
  assert_int_equal(life.learnt, HBEAT_OK);
  assert_true(life.due && life.reports);
  assert_in_range(life.next_ms, 1, 60000);
  assert_int_equal(life.sent[1], HBEAT_ERR_JSON);
  assert_true(life.explained > 0);
  assert_int_equal(life.sent[2], HBEAT_OK);
  for (int i = 3; i < 6; i++) assert_int_equal(life.sent[i], HBEAT_OK);
  assert_int_equal(life.ended, HBEAT_ERR_REFUSED); /* a log-in's reply again */
  assert_string_equal(token, "t");
  assert_int_equal(peer_log()->accepted, 3);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(what_allocates_aborts),
      TEST(no_call_allocates),
  };

  return cmocka_run_group_tests(tests, NULL, NULL);
}
