/*
 * A TLS buffer of less than full size: the player asks for small records.  A
 * server may comply, or ignore it and yet send none that is too large, or send
 * one that is.
 */
#define _POSIX_C_SOURCE 200809L
#include "peer.h"

enum { FULL = HBEAT_TLS_BUFFER_SIZE, SMALL = HBEAT_TLS_BUFFER_SMALL };

/* A player whose TLS buffer has room behind it, to see what it writes there. */
static struct player p;
static unsigned char tls[FULL + 65536];

static hbeat_error open_with(uint16_t port, size_t tls_size) {
  assert_in_range(tls_size, 1, sizeof tls - 1);
  memset(tls, 0xA5, sizeof tls);
  player_configure(&p, port);
  p.cfg.tls_buffer = tls;
  p.cfg.tls_buffer_size = tls_size;
  return hbeat_init(&p.client, &p.cfg);
}

static void close_with(size_t tls_size) {
  hbeat_close(&p.client);
  for (size_t i = tls_size; i < sizeof tls; i++)
    if (tls[i] != 0xA5) fail_msg("byte %zu of %zu", i, tls_size);
}

/* ---- Sizes ------------------------------------------------------------ */

struct size_row {
  const char *name;
  size_t tls_size;
  hbeat_error init;
  unsigned record; /* what it asks for; 0: nothing */
};

static const struct size_row size_rows[] = {
    {"1", .tls_size = 1, .init = HBEAT_ERR_ARGUMENT},
    {"a byte less than small", .tls_size = SMALL - 1,
        .init = HBEAT_ERR_ARGUMENT},
    {"small", .tls_size = SMALL, .record = 4096},
    {"a byte more than small", .tls_size = SMALL + 1, .record = 4096},
    {"half", .tls_size = FULL / 2, .record = 4096},
    {"12 KiB", .tls_size = 12 * 1024, .record = 4096},
    {"a byte less than full", .tls_size = FULL - 1, .record = 4096},
    {"full", .tls_size = FULL},
    {"a byte more than full", .tls_size = FULL + 1},
    {"more than 64 KiB", .tls_size = FULL + 65535},
};

static void is_size(void **state) {
  static const struct peer_script good = {.memory = PEER_REMEMBERS};
  const struct size_row *row = *state;

  assert_int_equal(open_with(peer_start(&good), row->tls_size), row->init);
  if (row->init == HBEAT_OK) {
    for (int i = 0; i < 3; i++) player_expect(&p, &player_beat, HBEAT_OK);
    assert_int_equal(p.reply.connection, HBEAT_CONNECTION_KEPT);
    assert_int_equal(peer_log()->record, row->record);
  }
  close_with(row->tls_size);
}

/* ---- Replies ---------------------------------------------------------- */

/* A reply with about so many bytes of head, and 2,900 of parameters. */
static const char *reply_of(size_t head_size) {
  static char text[32768];
  char body[4096], *at = text;
  int body_size;

  at += sprintf(at, PEER_HEAD);
  for (size_t size = 0; size + 100 <= head_size; size += 100)
    at += sprintf(at, "X-Fill: %090d\r\n", 0);
  body_size = sprintf(body,
      "{\"success\":true,"
      "\"lightning_device_remote_instruction\":"
      "{\"instruction\":\"x\",\"parameters\":%d%02899d}}",
      1, 0);
  sprintf(at, "Content-Length: %d\r\n\r\n%s", body_size, body);
  return text;
}

struct reply_row {
  const char *name;
  size_t tls_size, head_size;
  hbeat_error error;
  struct peer_script script;
};

#define NEW HBEAT_CONNECTION_NEW
#define COMPLIES                                                               \
  { .chain = "server" }
#define IGNORES                                                                \
  { .large = true }

static const struct reply_row reply_rows[] = {
    {"3 KB", .tls_size = SMALL, .script = COMPLIES},
    {"3 KB in records of 512 bytes", .tls_size = SMALL,
        .script = {.small = true}},
    {"3 KB byte by byte", .tls_size = SMALL, .script = {.dribbles = true}},
    {"23 KB", .tls_size = SMALL, .head_size = 20000, .script = COMPLIES},
    {"23 KB behind seven certificates", .tls_size = SMALL, .head_size = 20000,
        .script = {.chain = "deep"}},

    {"3 KB in one record", .tls_size = SMALL, .script = IGNORES},
    {"5 KB in one record", .tls_size = SMALL, .head_size = 2000,
        .error = HBEAT_ERR_TOO_BIG, .script = IGNORES},
    {"23 KB in two records", .tls_size = SMALL, .head_size = 20000,
        .error = HBEAT_ERR_TOO_BIG, .script = IGNORES},
    /* What is not encrypted yet need not be in one piece. */
    {"a certificate of 7 KB in one record", .tls_size = SMALL,
        .script = {.chain = "name-crowd", .large = true}},
    {"8 KB in one record, into 12 KiB", .tls_size = 12 * 1024,
        .head_size = 5000, .script = IGNORES},
    {"23 KB in two records, into a full buffer", .tls_size = FULL,
        .head_size = 20000, .script = IGNORES},
};

static void is_reply(void **state) {
  const struct reply_row *row = *state;
  struct peer_turn turn = {.reply = reply_of(row->head_size)};
  struct peer_script script = row->script;
  uint16_t port;
  int before;

  script.turns = &turn;
  script.turn_count = 1;
  port = peer_start(&script);
  before = open_descriptors();
  assert_int_equal(open_with(port, row->tls_size), HBEAT_OK);
  player_expect(&p, &player_beat, row->error);
  assert_int_equal(p.reply.connection, NEW);
  assert_int_equal(open_descriptors(), before + (row->error == HBEAT_OK));
  if (row->error == HBEAT_OK)
    assert_int_equal(p.reply.instruction.parameters.size, 2900);
  else if (!strstr(hbeat_explain(&p.client), "tls_buffer"))
    fail_msg("no tls_buffer in: %s", hbeat_explain(&p.client));
  close_with(row->tls_size);
}

/* ---- Requests --------------------------------------------------------- */

static void a_request_may_be_as_large_as_ever(void **state) {
  static const struct peer_script good = {0};
  static const char *const parts[] = {
      "{\"lightning_version\":\"4.2.1\",\"device_info\":[\"", NULL, "\"]}"};
  hbeat_request beat = player_big_beat(1, 1 << 20);
  uint32_t sum = 0;

  (void)state;
  for (size_t i = 0; i < COUNT(parts); i++) {
    const char *part = parts[i] ? parts[i] : beat.device_info[0];
    sum = peer_sum(sum, part, strlen(part));
  }
  assert_int_equal(open_with(peer_start(&good), SMALL), HBEAT_OK);
  for (int i = 0; i < 2; i++) {
    player_expect(&p, &beat, HBEAT_OK);
    assert_int_equal(peer_log()->body_sum, sum);
  }
  assert_int_equal(peer_log()->accepted, 1);
  close_with(SMALL);
}

/* ---- Servers of another make ------------------------------------------ */

/* This one understands, and sends the request's lines back to front. */
static void openssl_complies(void **state) {
  (void)state;
  assert_int_equal(
      open_with(peer_start_openssl(NULL, "-tls1_2"), SMALL), HBEAT_OK);
  player_expect(&p, &player_beat, HBEAT_ERR_HTTP);
  assert_int_equal(p.reply.connection, NEW);
  close_with(SMALL);
}

/* Without being asked for less it would send its 23 KB in two records. */
static void nginx_complies(void **state) {
  static const hbeat_connection ways[] = {
      NEW, HBEAT_CONNECTION_KEPT, HBEAT_CONNECTION_RESUMED};
  static char text[32768];
  char *at = text;

  (void)state;
  at += sprintf(at,
      "ssl_buffer_size 16k; keepalive_requests 2;"
      "ssl_session_cache builtin;");
  for (int i = 0; i < 23; i++)
    at += sprintf(at, "add_header X-%d %0999d;", i, i);
  assert_int_equal(open_with(peer_start_nginx(text), SMALL), HBEAT_OK);
  for (size_t i = 0; i < COUNT(ways); i++) {
    player_expect(&p, &player_beat, HBEAT_OK);
    assert_int_equal(p.reply.connection, ways[i]);
  }
  close_with(SMALL);
}

int main(void) {
  static const struct CMUnitTest named[] = {
      TEST(a_request_may_be_as_large_as_ever),
      TEST(openssl_complies),
      TEST(nginx_complies),
  };
  struct CMUnitTest tests[COUNT(named) + COUNT(size_rows) + COUNT(reply_rows)];
  struct CMUnitTest *to = tests + COUNT(named);

  memcpy(tests, named, sizeof named);
  to = ROWS(to, is_size, size_rows);
  ROWS(to, is_reply, reply_rows);
  return cmocka_run_group_tests(tests, NULL, NULL);
}
