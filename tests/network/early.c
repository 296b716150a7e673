/*
 * A server that has heard enough answers before it has read the request, and
 * ends the connection: what it said is the outcome, though the write breaks.
 */
#include "peer.h"

#define REPLY(status, more, body)                                              \
  "HTTP/1.1 " status "\r\nConnection: close\r\n" more body
#define LASTING_REPLY(status, more, body) "HTTP/1.1 " status "\r\n" more body

#define LENGTH(n) "Content-Length: " n "\r\n\r\n"

/* More than sockets hold: it cannot all be written. */
enum { TOO_MUCH = 8000000 };

/* Row: what the server says to the head of a request of so many bytes. */
static const struct early_row {
  const char *name;
  size_t body_size;
  const char *reply;
  enum peer_end end;
  hbeat_error error;
  int http_status;
  int64_t retry_after_s; /* 0: none */
  const char *message;
} rows[] = {
    {.name = "413, then RST",
        .body_size = 200000,
        .reply = REPLY("413 Content Too Large", LENGTH("24"),
            "{\"message\":\"too large\"}  "),
        .end = PEER_RESETS,
        .error = HBEAT_ERR_STATUS,
        .http_status = 413,
        .message = "too large"},
    {.name = "413 to eight megabytes, then RST",
        .body_size = TOO_MUCH,
        .reply = REPLY("413 Content Too Large", LENGTH("2"), "{}"),
        .end = PEER_RESETS,
        .error = HBEAT_ERR_STATUS,
        .http_status = 413},
    {.name = "413 on a connection that is to stay, then RST",
        .body_size = TOO_MUCH,
        .reply = LASTING_REPLY("413 Content Too Large", LENGTH("2"), "{}"),
        .end = PEER_RESETS,
        .error = HBEAT_ERR_STATUS,
        .http_status = 413},
    {.name = "413 up to close_notify, then RST",
        .body_size = TOO_MUCH,
        .reply = REPLY(
            "413 Content Too Large", "\r\n", "{\"message\":\"too large\"}"),
        .end = PEER_BREAKS,
        .error = HBEAT_ERR_STATUS,
        .http_status = 413,
        .message = "too large"},
    {.name = "401, then close_notify and FIN",
        .body_size = TOO_MUCH,
        .reply = REPLY("401 Unauthorized", LENGTH("33"),
            "{\"message\":\"Unauthenticated.\"}   "),
        .end = PEER_NOTIFIES,
        .error = HBEAT_ERR_STATUS,
        .http_status = 401,
        .message = "Unauthenticated."},
    {.name = "429 and Retry-After",
        .body_size = TOO_MUCH,
        .reply = REPLY(
            "429 Too Many Requests", "Retry-After: 120\r\n", LENGTH("2") "{}"),
        .end = PEER_RESETS,
        .error = HBEAT_ERR_STATUS,
        .http_status = 429,
        .retry_after_s = 120},
    {.name = "half of an answer, then RST",
        .body_size = TOO_MUCH,
        .reply = REPLY("413 Content Too Large", LENGTH("20"), "{}"),
        .end = PEER_RESETS,
        .error = HBEAT_ERR_TRUNCATED,
        .http_status = 413},
    {.name = "not a word, then RST",
        .body_size = TOO_MUCH,
        .reply = "",
        .end = PEER_RESETS,
        .error = HBEAT_ERR_TRUNCATED},
};

static char large[TOO_MUCH + 1];

static void is_early(void **state) {
  const struct early_row *row = *state;
  const char *info[] = {large};
  hbeat_request beat = {.lightning_version = "4.2.1",
      .device_info = info,
      .device_info_count = 1};
  struct peer_turn turn = {.reply = row->reply, .early = true, .end = row->end};
  struct peer_script script = {.turns = &turn, .turn_count = 1};
  static struct player p;
  int before;

  memset(large, 'x', row->body_size);
  large[row->body_size] = '\0';
  player_open(&p, peer_start(&script));
  before = open_descriptors();
  player_expect(&p, &beat, row->error);
  assert_int_equal(open_descriptors(), before);
  assert_int_equal(p.reply.http_status, row->http_status);
  assert_int_equal(p.reply.retry_after_s,
      row->retry_after_s == 0 ? HBEAT_NONE : row->retry_after_s);
  if (!row->message) assert_null(p.reply.message);
  else assert_string_equal(p.reply.message, row->message);
  assert_int_equal(peer_log()->accepted, 1);
  hbeat_close(&p.client);
}

int main(void) {
  struct CMUnitTest tests[COUNT(rows)];

  ROWS(tests, is_early, rows);
  return cmocka_run_group_tests(tests, NULL, NULL);
}
