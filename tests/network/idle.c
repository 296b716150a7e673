/*
 * Networks that forget idle connections: routers, firewalls and proxies that
 * drop what is sent on one, without a word.  The client finds out, takes a new
 * one within the same heartbeat, and learns.
 *
 * The kernel's own waits are real, and so some of these tests take seconds.
 */
#define _DEFAULT_SOURCE
#include "peer.h"
#include "relay.h"
#include "syscalls.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#define DAY_S 86400

/* Half of it is left when the kernel has given up the dead connection. */
#define TIMEOUT_MS (12000 * peer_patience())

static struct {
  int64_t skipped_ms;   /* what the clock was put forward by */
  int64_t connect_ms;   /* what connections take to stand, by that clock */
  bool has_no_ack_time; /* the kernel does not know TCP_USER_TIMEOUT */
  uint32_t ack_time_ms; /* what it was set to; 0: it was not */
} box;

static void see_to(struct call *c) {
  bool sets_ack_time = c->name == CALL_SETSOCKOPT &&
      c->in.option.level == IPPROTO_TCP &&
      c->in.option.option == TCP_USER_TIMEOUT;

  if (sets_ack_time && box.has_no_ack_time) {
    fail_call(c, ENOPROTOOPT);
    return;
  }
  make_call(c);
  if (c->name == CALL_CONNECT) box.skipped_ms += box.connect_ms;
  if (sets_ack_time) memcpy(&box.ack_time_ms, c->in.option.value, 4);
  if (c->name == CALL_CLOCK && c->in.clock.id == CLOCK_MONOTONIC)
    c->in.clock.now->tv_sec += (time_t)(box.skipped_ms / 1000);
}

static void begin(void) {
  memset(&box, 0, sizeof box);
  syscalls_go_through(see_to);
}

static void be_idle_s(int64_t seconds) {
  box.skipped_ms += seconds * 1000;
}

static struct player player;

static void open_player(uint16_t port) {
  player_configure(&player, port);
  player.cfg.timeout_ms = TIMEOUT_MS;
  assert_int_equal(hbeat_init(&player.client, &player.cfg), HBEAT_OK);
}

/* A heartbeat that succeeds, on this kind of connection. */
static void beat_on(hbeat_connection connection) {
  player_expect(&player, &player_beat, HBEAT_OK);
  assert_int_equal(player.reply.connection, connection);
}

/* ---- What is learnt ---------------------------------------------------- */

/* Each of the first two connections is forgotten behind its first reply. */
static const struct peer_turn forgets_twice[] = {
    {.waits = true, .is_forgotten = true},
    {.waits = true, .is_forgotten = true}, {.end = PEER_STAYS}};
static const struct peer_script forgetful = {
    .turns = forgets_twice, .turn_count = COUNT(forgets_twice)};

static void a_forgotten_connection_is_replaced_and_learnt_from(void **state) {
  (void)state;
  begin();
  open_player(peer_start(&forgetful));
  beat_on(HBEAT_CONNECTION_NEW);
  peer_go();
  be_idle_s(60);
  beat_on(HBEAT_CONNECTION_NEW);
  assert_int_equal(peer_log()->accepted, 2);

  /* Half of 60 s is the longest that is trusted now, for a day. */
  peer_go();
  be_idle_s(31);
  beat_on(HBEAT_CONNECTION_NEW);
  be_idle_s(29);
  beat_on(HBEAT_CONNECTION_KEPT);
  be_idle_s(31);
  beat_on(HBEAT_CONNECTION_NEW);
  assert_int_equal(peer_log()->accepted, 4);
  assert_int_equal(peer_log()->requests, 5);
  for (int64_t s = 0; s < DAY_S; s += 29) {
    be_idle_s(29);
    beat_on(HBEAT_CONNECTION_KEPT);
  }
  be_idle_s(119);
  beat_on(HBEAT_CONNECTION_KEPT);
  assert_int_equal(peer_log()->accepted, 4);
  hbeat_close(&player.client);
}

static void two_minutes_are_the_longest(void **state) {
  static const struct peer_script keeps = {0};

  (void)state;
  begin();
  open_player(peer_start(&keeps));
  beat_on(HBEAT_CONNECTION_NEW);
  be_idle_s(119);
  beat_on(HBEAT_CONNECTION_KEPT);
  be_idle_s(121);
  beat_on(HBEAT_CONNECTION_NEW);
  assert_int_equal(peer_log()->accepted, 2);
  assert_int_equal(peer_log()->notified, 1);
  hbeat_close(&player.client);
}

/* Nor is anything where the new one takes its time: a SYN was lost as well, and
 * so it was the way there, or the server, that was down. */
static void nothing_is_learnt_where_the_new_one_is_slow(void **state) {
  static const struct peer_turn turns[] = {
      {.waits = true, .is_forgotten = true}, {.end = PEER_STAYS}};
  static const struct peer_script forgets = {
      .turns = turns, .turn_count = COUNT(turns)};

  (void)state;
  begin();
  open_player(peer_start(&forgets));
  beat_on(HBEAT_CONNECTION_NEW);
  peer_go();
  be_idle_s(60);
  box.connect_ms = 1000;
  beat_on(HBEAT_CONNECTION_NEW);
  be_idle_s(60);
  beat_on(HBEAT_CONNECTION_KEPT);
  assert_int_equal(peer_log()->accepted, 2);
  hbeat_close(&player.client);
}

/* A cable that was pulled says nothing of how long a connection may idle. */
static void nothing_is_learnt_where_the_new_one_fails_as_well(void **state) {
  static const struct peer_turn turn = {.waits = true, .is_forgotten = true};
  static const struct peer_script forgets = {.turns = &turn, .turn_count = 1};
  static const struct peer_script keeps = {0};

  (void)state;
  begin();
  open_player(peer_start(&forgets));
  beat_on(HBEAT_CONNECTION_NEW);
  peer_go();
  be_idle_s(60);
  player.client.cfg.address = "127.0.0.1";
  player.client.cfg.address_port = 1; /* nobody listens there */
  player_expect(&player, &player_beat, HBEAT_ERR_CONNECT);
  player.client.cfg.address_port = peer_start(&keeps);
  beat_on(HBEAT_CONNECTION_NEW);
  be_idle_s(60);
  beat_on(HBEAT_CONNECTION_KEPT);
  hbeat_close(&player.client);
}

/* ---- How it is found out ------------------------------------------------ */

/* Row: the time that bytes may go without an acknowledgement. */
static const struct ack_row {
  const char *name;
  uint32_t timeout_ms;
  uint32_t ack_time_ms;
} ack_rows[] = {
    {"half of a short timeout", .timeout_ms = 4000, .ack_time_ms = 2000},
    {"half of ten seconds", .timeout_ms = 10000, .ack_time_ms = 5000},
    {"five seconds", .timeout_ms = 20000, .ack_time_ms = 5000},
    {"a quarter of the usual timeout", .timeout_ms = 30000,
        .ack_time_ms = 7500},
    {"a quarter of a day", .timeout_ms = 86400000, .ack_time_ms = 21600000},
};

static void is_ack_time(void **state) {
  const struct ack_row *row = *state;
  static const struct peer_script keeps = {0};

  begin();
  player_configure(&player, peer_start(&keeps));
  player.cfg.timeout_ms = row->timeout_ms;
  assert_int_equal(hbeat_init(&player.client, &player.cfg), HBEAT_OK);
  beat_on(HBEAT_CONNECTION_NEW);
  assert_int_equal(box.ack_time_ms, row->ack_time_ms);
  box.ack_time_ms = 0;
  beat_on(HBEAT_CONNECTION_KEPT); /* once a connection is enough */
  assert_int_equal(box.ack_time_ms, 0);
  hbeat_close(&player.client);
}

/* A third of the timeout in silence ends a connection that was idle for a
 * minute; half a minute is the longest that is trusted then. */
static void check_silence_counts(void) {
  int64_t took_ms;

  beat_on(HBEAT_CONNECTION_NEW);
  peer_go();
  be_idle_s(60);
  took_ms = now_ms();
  beat_on(HBEAT_CONNECTION_NEW);
  took_ms = now_ms() - took_ms;
  assert_true(took_ms >= TIMEOUT_MS / 3);
  peer_go();
  be_idle_s(31);
  beat_on(HBEAT_CONNECTION_NEW);
}

/* Where the kernel cannot tell, a third of the timeout in silence does. */
static void silence_counts_where_the_kernel_cannot_tell(void **state) {
  (void)state;
  begin();
  box.has_no_ack_time = true;
  open_player(peer_start(&forgetful));
  check_silence_counts();
  assert_int_equal(peer_log()->accepted, 3);
  hbeat_close(&player.client);
}

/* Nearly all of the timeout, of a day, passes before the reply comes; it is
 * waited for, on the connection that was kept. */
static void expect_a_late_reply(void) {
  hbeat_error e;

  be_idle_s(86000);
  assert_int_equal(hbeat_step(&player.client), HBEAT_AGAIN);
  peer_go();
  do {
    e = hbeat_step(&player.client);
  } while (e == HBEAT_AGAIN);
  assert_int_equal(e, HBEAT_OK);
  assert_int_equal(player.reply.connection, HBEAT_CONNECTION_KEPT);
  assert_int_equal(peer_log()->accepted, 1);
}

/* What was acknowledged belongs to a server that thinks. */
static void a_server_that_thinks_is_waited_for(void **state) {
  static const struct peer_turn turns[] = {
      {.end = PEER_STAYS}, {.reply = "", .waits = true, .stray = PEER_REPLY}};
  static const struct peer_script thinks = {.turns = turns, .turn_count = 2};

  (void)state;
  begin();
  player_configure(&player, peer_start(&thinks));
  player.cfg.timeout_ms = 86400000;
  assert_int_equal(hbeat_init(&player.client, &player.cfg), HBEAT_OK);
  beat_on(HBEAT_CONNECTION_NEW);
  hbeat_start(&player.client, &player_beat, &player.reply);
  while (peer_log()->requests < 2)
    assert_int_equal(hbeat_step(&player.client), HBEAT_AGAIN);
  expect_a_late_reply();
  hbeat_close(&player.client);
}

/* ---- Log-ins ------------------------------------------------------------ */

static char token[2048];
static const hbeat_request login = {.call = HBEAT_LOGIN,
    .login_token = "token",
    .login_secret = "secret",
    .token_buffer = token,
    .token_buffer_size = sizeof token};

/* A server that did not acknowledge a log-in may have it all the same. */
static void a_log_in_is_not_sent_twice(void **state) {
  (void)state;
  begin();
  open_player(peer_start(&forgetful));
  beat_on(HBEAT_CONNECTION_NEW);
  peer_go();
  player_expect(&player, &login, HBEAT_ERR_TRUNCATED);
  assert_int_equal(player.reply.connection, HBEAT_CONNECTION_KEPT);
  assert_int_equal(peer_log()->accepted, 1);
  beat_on(HBEAT_CONNECTION_NEW);
  hbeat_close(&player.client);
}

/* ---- Behind a proxy ---------------------------------------------------- */

/* The proxy acknowledges whatever comes: what is silent there is dead. */
static void behind_a_proxy_silence_counts(void **state) {
  static const struct relay_script tunnels = {0};

  (void)state;
  begin();
  player_configure_proxy(
      &player, relay_start(&tunnels, peer_start(&forgetful)));
  player.cfg.timeout_ms = TIMEOUT_MS;
  assert_int_equal(hbeat_init(&player.client, &player.cfg), HBEAT_OK);
  check_silence_counts();
  assert_int_equal(box.ack_time_ms, 0);
  hbeat_close(&player.client);
  relay_stop(NULL);
}

/* What has begun to answer is not dead, though the client has to write: it
 * declines to shake hands again. */
static void behind_a_proxy_half_a_reply_is_waited_for(void **state) {
  static const struct relay_script tunnels = {0};
  static const struct peer_turn turns[] = {{.end = PEER_STAYS},
      {.reply = PEER_HEAD "Content-Length: 16\r\n\r\n",
          .asks_anew = true,
          .waits = true,
          .stray = PEER_BODY}};
  static const struct peer_script halves = {.turns = turns, .turn_count = 2};

  (void)state;
  begin();
  player_configure_proxy(&player, relay_start(&tunnels, peer_start(&halves)));
  player.cfg.timeout_ms = 86400000;
  assert_int_equal(hbeat_init(&player.client, &player.cfg), HBEAT_OK);
  beat_on(HBEAT_CONNECTION_NEW);
  hbeat_start(&player.client, &player_beat, &player.reply);
  while (!player.client.tls.hello_was_requested)
    assert_int_equal(hbeat_step(&player.client), HBEAT_AGAIN);
  expect_a_late_reply();
  hbeat_close(&player.client);
  relay_stop(NULL);
}

static void behind_a_proxy_a_log_in_waits_to_the_end(void **state) {
  static const struct relay_script tunnels = {0};

  (void)state;
  begin();
  player_configure_proxy(
      &player, relay_start(&tunnels, peer_start(&forgetful)));
  player.cfg.timeout_ms = TIMEOUT_MS / 2;
  assert_int_equal(hbeat_init(&player.client, &player.cfg), HBEAT_OK);
  beat_on(HBEAT_CONNECTION_NEW);
  peer_go();
  player_expect(&player, &login, HBEAT_ERR_TIMEOUT);
  assert_int_equal(peer_log()->accepted, 1);
  hbeat_close(&player.client);
  relay_stop(NULL);
}

/* ---- A server that had enough ------------------------------------------ */

#define REPLY(status) "HTTP/1.1 " status "\r\nContent-Length: 2\r\n\r\n{}"

/* Row: what the second heartbeat is answered, on the kept connection, and
 * whether it is sent again. */
static const struct status_row {
  const char *name;
  const char *reply;
  hbeat_error error;
  unsigned connections; /* behind a third heartbeat */
  unsigned requests;
} status_rows[] = {
    {"408 is for the idle connection", .reply = REPLY("408 Request Timeout"),
        .error = HBEAT_OK, .connections = 2, .requests = 4},
    {"429 is an answer", .reply = REPLY("429 Too Many Requests"),
        .error = HBEAT_ERR_STATUS, .connections = 1, .requests = 3},
    {"499 is an answer", .reply = REPLY("499 Is None"),
        .error = HBEAT_ERR_STATUS, .connections = 1, .requests = 3},
    {"500 ends the connection", .reply = REPLY("500 Internal Server Error"),
        .error = HBEAT_ERR_STATUS, .connections = 2, .requests = 3},
    {"503 ends the connection", .reply = REPLY("503 Service Unavailable"),
        .error = HBEAT_ERR_STATUS, .connections = 2, .requests = 3},
};

static void is_status(void **state) {
  const struct status_row *row = *state;
  struct peer_turn turns[] = {
      {.end = PEER_STAYS}, {.reply = row->reply}, {.end = PEER_STAYS}};
  struct peer_script script = {.turns = turns, .turn_count = 3};

  begin();
  open_player(peer_start(&script));
  beat_on(HBEAT_CONNECTION_NEW);
  player_expect(&player, &player_beat, row->error);
  player_expect(&player, &player_beat, HBEAT_OK);
  assert_int_equal(peer_log()->accepted, row->connections);
  assert_int_equal(peer_log()->requests, row->requests);
  hbeat_close(&player.client);
}

static void a_new_connection_gets_its_408(void **state) {
  static const struct peer_turn turn = {.reply = REPLY("408 Request Timeout")};
  static const struct peer_script script = {.turns = &turn, .turn_count = 1};

  (void)state;
  begin();
  open_player(peer_start(&script));
  player_expect(&player, &player_beat, HBEAT_ERR_STATUS);
  assert_int_equal(player.reply.http_status, 408);
  player_expect(&player, &player_beat, HBEAT_ERR_STATUS);
  assert_int_equal(player.reply.http_status, 408);
  assert_int_equal(peer_log()->requests, 3);
  hbeat_close(&player.client);
}

int main(void) {
  static const struct CMUnitTest named[] = {
      TEST(a_forgotten_connection_is_replaced_and_learnt_from),
      TEST(two_minutes_are_the_longest),
      TEST(nothing_is_learnt_where_the_new_one_is_slow),
      TEST(nothing_is_learnt_where_the_new_one_fails_as_well),
      TEST(silence_counts_where_the_kernel_cannot_tell),
      TEST(a_server_that_thinks_is_waited_for),
      TEST(a_log_in_is_not_sent_twice),
      TEST(behind_a_proxy_silence_counts),
      TEST(behind_a_proxy_half_a_reply_is_waited_for),
      TEST(behind_a_proxy_a_log_in_waits_to_the_end),
      TEST(a_new_connection_gets_its_408),
  };
  struct CMUnitTest tests[COUNT(named) + COUNT(ack_rows) + COUNT(status_rows)];
  struct CMUnitTest *to = tests + COUNT(named);

  memcpy(tests, named, sizeof named);
  to = ROWS(to, is_ack_time, ack_rows);
  ROWS(to, is_status, status_rows);
  return cmocka_run_group_tests(tests, NULL, NULL);
}
