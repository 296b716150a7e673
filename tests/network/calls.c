/*
 * All calls over TLS: side by side on one connection, with the token that a
 * log-in brings; what no explanation tells; and what becomes of a call whose
 * connection dies.
 */
#define _DEFAULT_SOURCE
#include "peer.h"

#include <poll.h>

#define OLD_TOKEN "eyJvbGQiOjF9.of-the-last-year.c2ln-_~+/="
#define NEW_TOKEN "eyJuZXciOjF9.of-this-year"
#define LOGIN_TOKEN "dWJlci1zZWNyZXQ"
#define SECRET "s-e-c-r-e-t"
#define LCUID "LCUID-LDRI-262ca932-dda6-4233-8c4f-a497481388b3"

#define REPLY(length, body) PEER_HEAD "Content-Length: " length "\r\n\r\n" body
#define TOKEN_REPLY REPLY("47", "{\"ok\":true,\"token\":\"" NEW_TOKEN "\"}")

/* Any call's; a log-in's token, too. */
#define BOTH_REPLY                                                             \
  REPLY("62", "{\"success\":true,\"ok\":true,\"token\":\"" NEW_TOKEN "\"}")

static struct player p;
static char token[64]; /* where config.token is, and where a new one goes */

static const hbeat_request acknowledge = {.call = HBEAT_ACKNOWLEDGE,
    .instruction = LCUID,
    .response_data = "{\"a\":1}"};
static const hbeat_request failed = {
    .call = HBEAT_FAILED, .instruction = LCUID, .message = "no \"screen\""};
static const hbeat_request login = {.call = HBEAT_LOGIN,
    .login_token = LOGIN_TOKEN,
    .login_secret = SECRET,
    .token_buffer = token,
    .token_buffer_size = sizeof token};

/* A player whose token may be replaced. */
static void open_with(const char *first, const struct peer_script *script) {
  memset(token, 'x', sizeof token);
  strcpy(token, first);
  player_configure(&p, peer_start(script));
  p.cfg.token = token;
  assert_int_equal(hbeat_init(&p.client, &p.cfg), HBEAT_OK);
}

/* Whether memory holds a part of a text. */
static bool holds(const void *memory, size_t size, const char *text) {
  return holds_part(memory, size, text, strlen(text));
}

static void expect_no_secret(void) {
  static const char *const secrets[] = {
      OLD_TOKEN, NEW_TOKEN, LOGIN_TOKEN, SECRET};
  const char *text = hbeat_explain(&p.client);

  player_check_text(&p);
  for (size_t i = 0; i < COUNT(secrets); i++)
    if (holds(text, strlen(text), secrets[i]))
      fail_msg("\"%s\" tells of %s", text, secrets[i]);
}

static void expect_call(const hbeat_request *request, hbeat_error want) {
  player_expect(&p, request, want);
  expect_no_secret();
}

/* The peer's last request: its target, its token or NULL, and its body. */
static void expect_request(
    const char *target, const char *bearer, const char *body) {
  const char *head = (const char *)(uintptr_t)peer_log()->head;
  char line[256];

  snprintf(line, sizeof line, "POST /api/v3/%s HTTP/1.1\r\n", target);
  if (strncmp(head, line, strlen(line)) != 0)
    fail_msg("no \"%s\" in: %s", target, head);
  snprintf(line, sizeof line, "\r\nAuthorization:Bearer %s\r\n", bearer);
  if (bearer ? !strstr(head, line) : strstr(head, "Authorization") != NULL)
    fail_msg("wanted the token %s in: %s", bearer, head);
  assert_non_null(strstr(head, "\r\nAppIdV3:LCUID-LAP-"));
  assert_int_equal(peer_log()->body_size, strlen(body));
  assert_int_equal(peer_log()->body_sum, peer_sum(0, body, strlen(body)));
}

#define DEVICE "LCUID-LD-00000000-0000-0000-0000-000000000001"
#define BEAT_TARGET "analytics/lightning-devices/" DEVICE "/heartbeat"
#define REPORT_TARGET "lightning/devices/" DEVICE "/instructions/" LCUID
#define BEAT_BODY "{\"lightning_version\":\"4.2.1\"}"
#define LOGIN_BODY "{\"token\":\"" LOGIN_TOKEN "\",\"secret\":\"" SECRET "\"}"

/* ---- One connection --------------------------------------------------- */

/* As a player does: learns of an instruction, reports, renews its token. */
static void one_connection_serves_all_calls(void **state) {
  static const struct peer_turn turns[] = {
      {.reply = REPLY("137",
           "{\"success\":true,\"lightning_device_remote_instruction\":"
           "{\"instruction\":\"reload\",\"lcuid\":\"" LCUID "\"}}")},
      {0}, {0}, {.reply = TOKEN_REPLY}, {0}, {0}};
  static const struct peer_script script = {
      .turns = turns, .turn_count = COUNT(turns)};
  char expected[sizeof token] = NEW_TOKEN;

  (void)state;
  open_with(OLD_TOKEN, &script);
  expect_call(&player_beat, HBEAT_OK);
  assert_string_equal(p.reply.instruction.name, "reload");
  assert_string_equal(p.reply.instruction.lcuid, LCUID);
  expect_request(BEAT_TARGET, OLD_TOKEN, BEAT_BODY);

  expect_call(&acknowledge, HBEAT_OK);
  assert_null(p.reply.instruction.name);
  expect_request(
      REPORT_TARGET "/acknowledge", OLD_TOKEN, "{\"response_data\":{\"a\":1}}");

  expect_call(&failed, HBEAT_OK);
  expect_request(REPORT_TARGET "/failed", OLD_TOKEN,
      "{\"message\":\"no \\\"screen\\\"\"}");

  expect_call(&login, HBEAT_OK);
  expect_request("auth", NULL, LOGIN_BODY);
  assert_memory_equal(token, expected, sizeof token);
  assert_false(holds(p.body, sizeof p.body, NEW_TOKEN));

  expect_call(&player_beat, HBEAT_OK);
  expect_request(BEAT_TARGET, NEW_TOKEN, BEAT_BODY);
  expect_call(&acknowledge, HBEAT_OK);
  expect_request(
      REPORT_TARGET "/acknowledge", NEW_TOKEN, "{\"response_data\":{\"a\":1}}");
  assert_int_equal(p.reply.connection, HBEAT_CONNECTION_KEPT);
  assert_int_equal(peer_log()->accepted, 1);
  assert_int_equal(peer_log()->requests, COUNT(turns));

  hbeat_close(&p.client);
  assert_memory_equal(token, expected, sizeof token);
  assert_false(holds(&p.client, sizeof p.client, NEW_TOKEN));
  assert_false(holds(p.tls, sizeof p.tls, NEW_TOKEN));
  assert_false(holds(p.tls, sizeof p.tls, SECRET));
}

/* A device that has nothing but its log-in. */
static void the_first_token_comes_by_a_login(void **state) {
  static const struct peer_turn turns[] = {{.reply = TOKEN_REPLY}, {0}};
  static const struct peer_script script = {.turns = turns, .turn_count = 2};

  (void)state;
  open_with("", &script);
  expect_call(&player_beat, HBEAT_ERR_ARGUMENT);
  expect_call(&failed, HBEAT_ERR_ARGUMENT);
  assert_int_equal(peer_log()->accepted, 0);
  expect_call(&login, HBEAT_OK);
  expect_call(&player_beat, HBEAT_OK);
  expect_request(BEAT_TARGET, NEW_TOKEN, BEAT_BODY);
  assert_int_equal(p.reply.connection, HBEAT_CONNECTION_KEPT);
  hbeat_close(&p.client);
}

/* A token that is refused is no reason for a new connection. */
static void a_refused_token_is_renewed(void **state) {
  static const struct peer_turn turns[] = {
      {.reply = "HTTP/1.1 401 Unauthorized\r\nContent-Length: 30\r\n\r\n"
                "{\"message\":\"Unauthenticated.\"}"},
      {.reply = TOKEN_REPLY}, {0}};
  static const struct peer_script script = {.turns = turns, .turn_count = 3};

  (void)state;
  open_with(OLD_TOKEN, &script);
  expect_call(&player_beat, HBEAT_ERR_STATUS);
  assert_int_equal(p.reply.http_status, 401);
  expect_call(&login, HBEAT_OK);
  expect_call(&player_beat, HBEAT_OK);
  expect_request(BEAT_TARGET, NEW_TOKEN, BEAT_BODY);
  assert_int_equal(peer_log()->accepted, 1);
  hbeat_close(&p.client);
}

/* No buffer limits a report, and none of it is lost in between. */
static void a_report_may_be_of_any_size(void **state) {
  enum { MEGABYTE = 1 << 20 };
  static const struct peer_script script = {0};
  static char data[MEGABYTE], body[MEGABYTE + 32];
  hbeat_request report = acknowledge;

  (void)state;
  snprintf(data, sizeof data, "{\"a\":\"%0*d\"}", MEGABYTE - 16, 7);
  snprintf(body, sizeof body, "{\"response_data\":%s}", data);
  report.response_data = data;
  open_with(OLD_TOKEN, &script);
  for (int i = 0; i < 2; i++) {
    expect_call(&report, HBEAT_OK);
    expect_request(REPORT_TARGET "/acknowledge", OLD_TOKEN, body);
  }
  assert_int_equal(peer_log()->accepted, 1);
  hbeat_close(&p.client);
}

/* ---- What is not told, and not touched -------------------------------- */

/* A call that fails; the server repeats all that it has heard. */
struct failure_row {
  const char *name;
  const hbeat_request *request;
  hbeat_error error;
  const char *says; /* the explanation, among other things */
  struct peer_turn turn;
  const char *chain;
};

#define ECHO(status, body)                                                     \
  {                                                                            \
    .reply =                                                                   \
        "HTTP/1.1 " status " " SECRET "\r\nX: " OLD_TOKEN "\r\n\r\n" body,     \
    .end = PEER_NOTIFIES                                                       \
  }

static const struct failure_row failure_rows[] = {
    {"a log-in, 401", .request = &login, .error = HBEAT_ERR_STATUS,
        .says = "(HTTP 401)",
        .turn = ECHO("401", "{\"ok\":false,\"message\":\"" SECRET "\"}")},
    {"a log-in, 500 and a token", .request = &login, .error = HBEAT_ERR_STATUS,
        .says = "(HTTP 500)",
        .turn = ECHO("500", "{\"ok\":true,\"token\":\"" NEW_TOKEN "\"}")},
    {"a log-in, refused", .request = &login, .error = HBEAT_ERR_REFUSED,
        .says = "ok is not true",
        .turn = ECHO("200", "{\"ok\":false,\"message\":\"" SECRET "\"}")},
    {"a log-in, a page", .request = &login, .error = HBEAT_ERR_JSON,
        .says = "a web page", .turn = ECHO("200", "<html>" SECRET)},
    {"a log-in, a token that is none", .request = &login,
        .error = HBEAT_ERR_JSON, .says = "visible ASCII",
        .turn = ECHO("200", "{\"ok\":true,\"token\":\"" SECRET "\\r\\nX: \"}")},
    {"a log-in, a token too long", .request = &login,
        .error = HBEAT_ERR_TOO_BIG, .says = "token_buffer",
        .turn = ECHO("200",
            "{\"ok\":true,\"token\":\"" NEW_TOKEN NEW_TOKEN NEW_TOKEN "\"}")},
    {"a log-in, no HTTP", .request = &login, .error = HBEAT_ERR_HTTP,
        .says = "status line", .turn = {.reply = SECRET "\r\n"}},
    {"a log-in, cut", .request = &login, .error = HBEAT_ERR_TRUNCATED,
        .says = "not whole",
        .turn = {.reply =
                     REPLY("60", "{\"ok\":true,\"token\":\"" NEW_TOKEN "\"}"),
            .end = PEER_NOTIFIES}},
    {"a log-in, no answer", .request = &login, .error = HBEAT_ERR_TRUNCATED,
        .says = "not whole", .turn = {.reply = "", .end = PEER_FINISHES}},
    {"a log-in, a certificate for another", .request = &login,
        .error = HBEAT_ERR_CERT_NAME, .says = "certificate", .chain = "name"},
    {"a report, 404", .request = &failed, .error = HBEAT_ERR_STATUS,
        .says = "(HTTP 404)",
        .turn = ECHO("404", "{\"message\":\"" OLD_TOKEN "\"}")},
    {"a report, refused", .request = &acknowledge, .error = HBEAT_ERR_REFUSED,
        .says = "success is not true",
        .turn = ECHO("200", "{\"success\":false}")},
    {"a report, a log-in's reply", .request = &acknowledge,
        .error = HBEAT_ERR_REFUSED, .says = "success is not true",
        .turn = {.reply = TOKEN_REPLY}},
};

static void is_failure(void **state) {
  const struct failure_row *row = *state;
  struct peer_script script = {
      .chain = row->chain, .turns = &row->turn, .turn_count = 1};
  char before[sizeof token];

  open_with(OLD_TOKEN, &script);
  memcpy(before, token, sizeof token);
  expect_call(row->request, row->error);
  if (!strstr(hbeat_explain(&p.client), row->says))
    fail_msg("no \"%s\" in: %s", row->says, hbeat_explain(&p.client));
  assert_false(p.reply.success);
  assert_memory_equal(token, before, sizeof token);
  hbeat_close(&p.client);
}

/* ---- Calls that are cut short ----------------------------------------- */

/* Each is sent anew, whole, when the kept connection turns out to be dead. */
static void a_call_outlives_a_dead_connection(void **state) {
  static const struct peer_turn turns[] = {{0},
      {.reply = "", .end = PEER_FINISHES}, {0},
      {.reply = "", .end = PEER_RESETS}, {.reply = TOKEN_REPLY}};
  static const struct peer_script script = {
      .turns = turns, .turn_count = COUNT(turns)};

  (void)state;
  open_with(OLD_TOKEN, &script);
  expect_call(&player_beat, HBEAT_OK);
  expect_call(&failed, HBEAT_OK);
  expect_request(REPORT_TARGET "/failed", OLD_TOKEN,
      "{\"message\":\"no \\\"screen\\\"\"}");
  assert_int_equal(peer_log()->accepted, 2);
  expect_call(&login, HBEAT_OK);
  expect_request("auth", NULL, LOGIN_BODY);
  assert_string_equal(token, NEW_TOKEN);
  assert_int_equal(peer_log()->accepted, 3);
  assert_int_equal(peer_log()->requests, COUNT(turns));
  hbeat_close(&p.client);
}

/* After any number of steps: the token is the old one or the new one, whole,
 * and what follows is not mixed up with what was given up. */
static void a_login_may_be_given_up(void **state) {
  static const struct peer_turn turns[] = {{.reply = BOTH_REPLY}};
  static const struct peer_script script = {.turns = turns, .turn_count = 1};
  char fresh[sizeof token] = NEW_TOKEN, before[sizeof token];
  bool over = false;

  (void)state;
  for (int steps = 0; !over; steps++) {
    open_with(OLD_TOKEN, &script);
    memcpy(before, token, sizeof token);
    assert_int_equal(hbeat_start(&p.client, &login, &p.reply), HBEAT_OK);
    for (int i = 0; i < steps && !over; i++) {
      hbeat_wait wait = hbeat_wants(&p.client);
      struct pollfd poll_fd = {wait.fd, wait.events, 0};

      if (wait.fd >= 0) poll(&poll_fd, 1, wait.timeout_ms);
      over = hbeat_step(&p.client) != HBEAT_AGAIN;
    }
    assert_memory_equal(token, over ? fresh : before, sizeof token);
    expect_call(&failed, HBEAT_OK);
    expect_request(
        REPORT_TARGET "/failed", token, "{\"message\":\"no \\\"screen\\\"\"}");
    hbeat_close(&p.client);
    assert_true(steps < 100);
  }
}

static void wait_and_step(hbeat_error want) {
  hbeat_wait wait = hbeat_wants(&p.client);
  struct pollfd poll_fd = {wait.fd, wait.events, 0};

  if (wait.fd >= 0) poll(&poll_fd, 1, wait.timeout_ms);
  assert_int_equal(hbeat_step(&p.client), want);
}

static void close_it(void) {
  hbeat_close(&p.client);
}

static void start_another(void) {
  assert_int_equal(hbeat_start(&p.client, &failed, &p.reply), HBEAT_OK);
}

static void see_its_end(void) {
  peer_go();
  wait_and_step(HBEAT_ERR_TRUNCATED);
}

/* However an exchange ends whose reply has come as far as its token, that does
 * not stay. */
static void no_token_stays_of_half_a_reply(void **state) {
  static const struct peer_turn turns[] = {
      {.reply = REPLY("99", "{\"ok\":true,\"token\":\"" NEW_TOKEN "\""),
          .waits = true,
          .end = PEER_FINISHES}};
  static const struct peer_script script = {.turns = turns, .turn_count = 1};
  static void (*const ends[])(void) = {close_it, start_another, see_its_end};

  (void)state;
  for (size_t i = 0; i < COUNT(ends); i++) {
    memset(p.body, 0, sizeof p.body);
    open_with(OLD_TOKEN, &script);
    assert_int_equal(hbeat_start(&p.client, &login, &p.reply), HBEAT_OK);
    while (!holds(p.body, sizeof p.body, NEW_TOKEN)) wait_and_step(HBEAT_AGAIN);
    ends[i]();
    assert_false(holds(p.body, sizeof p.body, NEW_TOKEN));
    hbeat_close(&p.client);
  }
}

int main(void) {
  static const struct CMUnitTest named[] = {
      TEST(one_connection_serves_all_calls),
      TEST(the_first_token_comes_by_a_login),
      TEST(a_refused_token_is_renewed),
      TEST(a_report_may_be_of_any_size),
      TEST(a_call_outlives_a_dead_connection),
      TEST(no_token_stays_of_half_a_reply),
      TEST(a_login_may_be_given_up),
  };
  struct CMUnitTest tests[COUNT(named) + COUNT(failure_rows)];

  memcpy(tests, named, sizeof named);
  ROWS(tests + COUNT(named), is_failure, failure_rows);
  return cmocka_run_group_tests(tests, NULL, NULL);
}
