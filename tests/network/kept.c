/* Connections that are kept: used again, replaced when dead, never trusted. */
#define _DEFAULT_SOURCE
#include "peer.h"
#include "syscalls.h"

#include <fcntl.h>

/* ---- The client's calls ----------------------------------------------- */

static struct {
  unsigned polls;     /* so far */
  int64_t skipped_ms; /* what the clock was put forward by */
} calls;

static void see_to(struct call *c) {
  make_call(c);
  calls.polls += c->name == CALL_POLL;
  if (c->name == CALL_CLOCK && c->in.clock.id == CLOCK_MONOTONIC)
    c->in.clock.now->tv_sec += (time_t)(calls.skipped_ms / 1000);
}

/* ---- Requests --------------------------------------------------------- */

/* A request as it must arrive: its body's length and checksum. */
struct body {
  size_t size;
  uint32_t sum;
};

static void add(struct body *b, const char *text) {
  b->sum = peer_sum(b->sum, text, strlen(text));
  b->size += strlen(text);
}

/* The body of a beat whose strings need no escapes. */
static struct body body_of(const hbeat_request *beat) {
  struct body b = {0, 0};

  add(&b, "{\"lightning_version\":\"");
  add(&b, beat->lightning_version);
  for (size_t i = 0; i < beat->device_info_count; i++) {
    add(&b, i == 0 ? "\",\"device_info\":[\"" : "\",\"");
    add(&b, beat->device_info[i]);
  }
  add(&b, beat->device_info_count > 0 ? "\"]}" : "\"}");
  return b;
}

static void check_body(const hbeat_request *beat) {
  struct body want = body_of(beat);

  assert_int_equal(peer_log()->body_size, want.size);
  assert_int_equal(peer_log()->body_sum, want.sum);
}

static void one_connection_serves_100_beats(void **state) {
  static const struct peer_script script = {0};
  static struct player p;
  int before;

  (void)state;
  player_open(&p, peer_start(&script));
  before = open_descriptors();
  for (int i = 0; i < 100; i++) {
    player_expect(&p, &player_beat, HBEAT_OK);
    assert_int_equal(hbeat_wants(&p.client).fd, -1);
  }
  assert_int_equal(peer_log()->requests, 100);
  assert_int_equal(peer_log()->accepted, 1);
  check_body(&player_beat);
  assert_int_equal(open_descriptors(), before + 1);
  hbeat_close(&p.client);
  assert_int_equal(open_descriptors(), before);
}

/* ---- What happens between two beats ----------------------------------- */

/* A reply that nobody asked for, and that no beat may end with. */
#define STRAY "HTTP/1.1 200 OK\r\nContent-Length: 17\r\n\r\n{\"success\":false}"

#define REPLY(version, more)                                                   \
  "HTTP/" version " 200 OK\r\n" more "Content-Length: 16\r\n\r\n" PEER_BODY

/* After the first turn there is a second beat: on which connection? */
struct between_row {
  const char *name;
  struct peer_turn turn;
  unsigned connections;
};

static const struct between_row between_rows[] = {
    {"nothing", .turn = {.waits = true}, .connections = 1},
    {"close_notify", .turn = {.waits = true, .end = PEER_NOTIFIES},
        .connections = 2},
    {"FIN", .turn = {.waits = true, .end = PEER_FINISHES}, .connections = 2},
    {"RST", .turn = {.waits = true, .end = PEER_RESETS}, .connections = 2},
    {"a byte", .turn = {.waits = true, .stray = "x"}, .connections = 2},
    {"a reply to nothing", .turn = {.waits = true, .stray = STRAY},
        .connections = 2},
    {"a reply to nothing, then close_notify",
        .turn = {.waits = true, .stray = STRAY, .end = PEER_NOTIFIES},
        .connections = 2},
    {"a reply to nothing, then FIN",
        .turn = {.waits = true, .stray = STRAY, .end = PEER_FINISHES},
        .connections = 2},
    {"a byte behind the reply",
        .turn = {.reply = PEER_REPLY "x", .waits = true}, .connections = 2},
    {"a second reply behind the reply",
        .turn = {.reply = PEER_REPLY STRAY, .waits = true}, .connections = 2},
    {"a second reply in the same segment",
        .turn = {.stray = STRAY, .together = true}, .connections = 2},
    {"close_notify in the same segment",
        .turn = {.together = true, .end = PEER_NOTIFIES}, .connections = 2},
    {"an empty line behind the reply",
        .turn = {.reply = PEER_REPLY "\r\n", .waits = true}, .connections = 2},
    {"Connection: close",
        .turn = {.reply = REPLY("1.1", "Connection: close\r\n"), .waits = true},
        .connections = 2},
    {"Connection: Close among others",
        .turn = {.reply = REPLY("1.1", "Connection: foo, Close\r\n"),
            .waits = true},
        .connections = 2},
    {"HTTP/1.0", .turn = {.reply = REPLY("1.0", ""), .waits = true},
        .connections = 2},
    {"Connection: keep-alive",
        .turn = {.reply = REPLY("1.1", "Connection: keep-alive\r\n"),
            .waits = true},
        .connections = 1},
    {"a chunked reply",
        .turn = {.reply = PEER_HEAD "Transfer-Encoding: chunked\r\n\r\n"
                                    "10\r\n" PEER_BODY "\r\n0\r\n\r\n",
            .waits = true},
        .connections = 1},
};

static void is_between(void **state) {
  const struct between_row *row = *state;
  static struct player p;
  struct peer_turn turns[] = {row->turn, {.end = PEER_STAYS}};
  struct peer_script script = {.turns = turns, .turn_count = 2};
  uint16_t port = peer_start(&script);
  int before = open_descriptors();

  player_open(&p, port);
  player_expect(&p, &player_beat, HBEAT_OK);
  if (row->turn.waits) peer_go();
  player_expect(&p, &player_beat, HBEAT_OK);
  assert_int_equal(peer_log()->accepted, row->connections);
  assert_int_equal(peer_log()->requests, 2);
  assert_int_equal(open_descriptors(), before + 1);
  hbeat_close(&p.client);
  assert_int_equal(open_descriptors(), before);
}

/* ---- Connections that die under a request ----------------------------- */

struct death_row {
  const char *name;
  struct peer_turn turns[4];
  size_t good_beats;              /* of which the first turns are the replies */
  hbeat_error error;              /* of the beat after these */
  unsigned connections, requests; /* in all */
};

#define DIES(how)                                                              \
  { .reply = "", .end = (how) }
#define GOOD                                                                   \
  { .end = PEER_STAYS }

static const struct death_row death_rows[] = {
    {"kept, FIN", .turns = {GOOD, DIES(PEER_FINISHES), GOOD}, .good_beats = 1,
        .connections = 2, .requests = 3},
    {"kept, RST", .turns = {GOOD, DIES(PEER_RESETS), GOOD}, .good_beats = 1,
        .connections = 2, .requests = 3},
    {"kept, close_notify", .turns = {GOOD, DIES(PEER_NOTIFIES), GOOD},
        .good_beats = 1, .connections = 2, .requests = 3},
    {"kept, and its replacement, too",
        .turns = {GOOD, DIES(PEER_FINISHES), DIES(PEER_FINISHES), GOOD},
        .good_beats = 1, .error = HBEAT_ERR_TRUNCATED, .connections = 2,
        .requests = 3},
    {"kept, within the reply",
        .turns = {GOOD, {.reply = "HTTP/1.1 2", .end = PEER_FINISHES}, GOOD},
        .good_beats = 1, .error = HBEAT_ERR_TRUNCATED, .connections = 1,
        .requests = 2},
    {"fresh, FIN", .turns = {DIES(PEER_FINISHES), GOOD},
        .error = HBEAT_ERR_TRUNCATED, .connections = 1, .requests = 1},
    {"fresh, RST", .turns = {DIES(PEER_RESETS), GOOD},
        .error = HBEAT_ERR_TRUNCATED, .connections = 1, .requests = 1},
    {"fresh, close_notify", .turns = {DIES(PEER_NOTIFIES), GOOD},
        .error = HBEAT_ERR_TRUNCATED, .connections = 1, .requests = 1},
};

static void is_death(void **state) {
  const struct death_row *row = *state;
  static struct player p;
  struct peer_script script = {.turns = row->turns, .turn_count = 4};
  uint16_t port = peer_start(&script);
  int before = open_descriptors();

  player_open(&p, port);
  for (size_t i = 0; i < row->good_beats; i++)
    player_expect(&p, &player_beat, HBEAT_OK);
  player_expect(&p, &player_beat, row->error);
  assert_int_equal(peer_log()->accepted, row->connections);
  assert_int_equal(peer_log()->requests, row->requests);
  if (row->error) assert_int_equal(open_descriptors(), before);
  hbeat_close(&p.client);
  assert_int_equal(open_descriptors(), before);
}

/* The beat after one that failed starts afresh. */
static void after_a_failure_comes_success(void **state) {
  static const struct peer_turn turns[] = {DIES(PEER_FINISHES), GOOD};
  static const struct peer_script script = {.turns = turns, .turn_count = 2};
  static struct player p;

  (void)state;
  player_open(&p, peer_start(&script));
  player_expect(&p, &player_beat, HBEAT_ERR_TRUNCATED);
  player_expect(&p, &player_beat, HBEAT_OK);
  player_expect(&p, &player_beat, HBEAT_OK);
  assert_int_equal(peer_log()->accepted, 2);
  hbeat_close(&p.client);
}

/* An error that is a whole reply leaves the connection as good as it was. */
static void a_refusal_keeps_the_connection(void **state) {
  static const struct peer_turn turns[] = {
      {.reply = "HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\n{}"},
      {.reply = PEER_HEAD "Content-Length: 17\r\n\r\n{\"success\":false}"},
      GOOD};
  static const struct peer_script script = {.turns = turns, .turn_count = 3};
  static struct player p;

  (void)state;
  player_open(&p, peer_start(&script));
  player_expect(&p, &player_beat, HBEAT_ERR_STATUS);
  player_expect(&p, &player_beat, HBEAT_ERR_REFUSED);
  player_expect(&p, &player_beat, HBEAT_OK);
  assert_int_equal(peer_log()->accepted, 1);
  hbeat_close(&p.client);
}

/* ---- Big requests ----------------------------------------------------- */

enum { MANY = 10000, MEGABYTE = 1 << 20 };

struct big_row {
  const char *name;
  size_t count, size;
  struct peer_script script;
};

static const struct peer_turn early[] = {{.early = true}};

static const struct big_row big_rows[] = {
    {"a string of 16,384", .count = 1, .size = 16384},
    {"10,000 strings of 20", .count = MANY, .size = 20},
    {"10,000 strings of nothing", .count = MANY, .size = 0},
    {"a string of 1 MiB", .count = 1, .size = MEGABYTE},
    {"a string of 1 MiB, read slowly", .count = 1, .size = MEGABYTE,
        .script = {.slow = true}},
    {"a string of 1 MiB, answered before it was read", .count = 1,
        .size = MEGABYTE, .script = {.turns = early, .turn_count = 1}},
};

/* Twice, so that the second finds the connection as it was. */
static void is_big(void **state) {
  const struct big_row *row = *state;
  static struct player p;
  hbeat_request beat = player_big_beat(row->count, row->size);

  player_configure(&p, peer_start(&row->script));
  p.cfg.timeout_ms = 30000 * peer_patience();
  assert_int_equal(hbeat_init(&p.client, &p.cfg), HBEAT_OK);
  for (int i = 0; i < 2; i++) {
    player_expect(&p, &beat, HBEAT_OK);
    if (row->script.turns)
      continue; /* what is not read by now need not be sent */
    check_body(&beat);
    assert_int_equal(peer_log()->accepted, 1);
  }
  hbeat_close(&p.client);
}

/* The server has had enough after the head; its words arrive all the same. */
static void a_big_request_may_be_refused_early(void **state) {
  static const struct peer_turn turns[] = {
      {.early = true,
          .reply = "HTTP/1.1 413 Content Too Large\r\nConnection: close\r\n"
                   "Content-Length: 2\r\n\r\n{}",
          .end = PEER_NOTIFIES},
      GOOD};
  static const struct peer_script script = {.turns = turns, .turn_count = 2};
  static struct player p;
  hbeat_request beat = player_big_beat(1, MEGABYTE);

  (void)state;
  player_open(&p, peer_start(&script));
  player_expect(&p, &beat, HBEAT_ERR_STATUS);
  assert_int_equal(p.reply.http_status, 413);
  player_expect(&p, &player_beat, HBEAT_OK);
  assert_int_equal(peer_log()->accepted, 2);
  hbeat_close(&p.client);
}

/* ---- The steps, one by one -------------------------------------------- */

/* Steps to the end with a poll of our own; counts the waits to write. */
static hbeat_error step_to_end(hbeat_client *c, unsigned *write_waits) {
  hbeat_error e;

  while ((e = hbeat_step(c)) == HBEAT_AGAIN) {
    hbeat_wait wait = hbeat_wants(c);
    struct pollfd p = {wait.fd, wait.events, 0};

    assert_true(
        wait.fd == -1 || wait.events == POLLIN || wait.events == POLLOUT);
    assert_in_range(wait.timeout_ms, 0, 30000 * peer_patience());
    if (wait.fd == -1) continue;
    assert_true(fcntl(wait.fd, F_GETFD) & FD_CLOEXEC);
    assert_true(fcntl(wait.fd, F_GETFL) & O_NONBLOCK);
    *write_waits += wait.events == POLLOUT;
    assert_int_equal(poll(&p, 1, wait.timeout_ms), 1);
  }
  return e;
}

static void steps_and_a_poll_of_our_own(void **state) {
  static const struct peer_script script = {0};
  static struct player p;
  unsigned write_waits = 0;

  (void)state;
  player_open(&p, peer_start(&script));
  for (int i = 0; i < 3; i++) {
    assert_int_equal(hbeat_start(&p.client, &player_beat, &p.reply), HBEAT_OK);
    assert_int_equal(step_to_end(&p.client, &write_waits), HBEAT_OK);
    assert_int_equal(hbeat_step(&p.client), HBEAT_OK);
    assert_true(p.reply.success);
  }
  assert_int_equal(peer_log()->accepted, 1);
  hbeat_close(&p.client);
}

static void steps_wait_to_write_where_the_peer_is_slow(void **state) {
  static const struct peer_script script = {.slow = true};
  static struct player p;
  hbeat_request beat = player_big_beat(1, MEGABYTE);
  unsigned write_waits = 0;

  (void)state;
  player_configure(&p, peer_start(&script));
  p.cfg.timeout_ms = 30000 * peer_patience();
  assert_int_equal(hbeat_init(&p.client, &p.cfg), HBEAT_OK);
  assert_int_equal(hbeat_start(&p.client, &beat, &p.reply), HBEAT_OK);
  assert_int_equal(step_to_end(&p.client, &write_waits), HBEAT_OK);
  check_body(&beat);
  assert_true(write_waits >= 5);
  hbeat_close(&p.client);
}

static void steps_without_a_poll(void **state) {
  static const struct peer_script script = {.small = true};
  static struct player p;

  (void)state;
  player_open(&p, peer_start(&script));
  for (int i = 0; i < 3; i++) {
    hbeat_error e;

    assert_int_equal(hbeat_start(&p.client, &player_beat, &p.reply), HBEAT_OK);
    while ((e = hbeat_step(&p.client)) == HBEAT_AGAIN)
      ;
    assert_int_equal(e, HBEAT_OK);
  }
  assert_int_equal(peer_log()->accepted, 1);
  hbeat_close(&p.client);
}

/* The half-done exchange leaves no trace in the one that follows. */
static void a_start_gives_up_what_was_under_way(void **state) {
  static const struct peer_script script = {0};
  static struct player p;
  int before;

  player_open(&p, peer_start(&script));
  before = open_descriptors();
  for (int steps = 0; steps < 12; steps++) {
    assert_int_equal(hbeat_start(&p.client, &player_beat, &p.reply), HBEAT_OK);
    for (int i = 0; i < steps; i++) hbeat_step(&p.client);
    player_expect(&p, &player_beat, HBEAT_OK);
    assert_int_equal(open_descriptors(), before + 1);
  }
  hbeat_close(&p.client);
  assert_int_equal(open_descriptors(), before);
  peer_stop(state);
}

static void a_close_ends_what_was_under_way(void **state) {
  static const struct peer_script script = {0};
  static struct player p;
  uint16_t port = peer_start(&script);
  int before = open_descriptors();

  for (int steps = 0; steps < 12; steps++) {
    player_open(&p, port);
    assert_int_equal(hbeat_start(&p.client, &player_beat, &p.reply), HBEAT_OK);
    for (int i = 0; i < steps; i++) hbeat_step(&p.client);
    hbeat_close(&p.client);
    assert_int_equal(open_descriptors(), before);
  }
  peer_stop(state);
}

/* ---- The end of a connection ------------------------------------------ */

/* A close that waits for nobody, and leaves no descriptor. */
static void close_at_once(struct player *p, int before) {
  unsigned polls = calls.polls;

  assert_true(fcntl(p->client.link.fd, F_GETFL) & O_NONBLOCK);
  hbeat_close(&p->client);
  assert_int_equal(calls.polls, polls);
  assert_int_equal(open_descriptors(), before);
}

/* Waits until the peer has seen the end of so many connections. */
static void await_ends(unsigned notified) {
  for (int i = 0; i < 30000 && peer_log()->notified < notified; i++)
    poll(NULL, 0, 1);
  assert_int_equal(peer_log()->notified, notified);
  assert_int_equal(peer_log()->broken, 0);
}

/* Idle, in the handshake, amid a request: the peer is told wherever it is. */
static void a_close_tells_the_peer(void **state) {
  static const struct peer_turn turns[] = {
      GOOD, {.reply = PEER_HEAD, .waits = true}};
  static const struct peer_script script = {.turns = turns, .turn_count = 2};
  static struct player p;
  uint16_t port = peer_start(&script);
  int before = open_descriptors();

  (void)state;
  player_open(&p, port);
  player_expect(&p, &player_beat, HBEAT_OK);
  close_at_once(&p, before);
  await_ends(1);

  player_open(&p, port);
  assert_int_equal(hbeat_start(&p.client, &player_beat, &p.reply), HBEAT_OK);
  while (hbeat_step(&p.client) == HBEAT_AGAIN && p.reply.http_status == 0)
    poll(NULL, 0, 1);
  close_at_once(&p, before);
  peer_go();
  await_ends(2);
}

/* A deadline that has passed ends the connection in good order, too. */
static void an_error_tells_the_peer(void **state) {
  static const struct peer_turn turns[] = {
      {.reply = "HTTP/1.1 200 OK\r\n\r\n"}, GOOD};
  static const struct peer_script script = {.turns = turns, .turn_count = 2};
  static struct player p;

  (void)state;
  player_open(&p, peer_start(&script));
  assert_int_equal(hbeat_start(&p.client, &player_beat, &p.reply), HBEAT_OK);
  while (p.reply.http_status == 0) {
    assert_int_equal(hbeat_step(&p.client), HBEAT_AGAIN);
    poll(NULL, 0, 1);
  }
  calls.skipped_ms += p.cfg.timeout_ms;
  assert_int_equal(hbeat_step(&p.client), HBEAT_ERR_TIMEOUT);
  player_check_text(&p);
  await_ends(1);
  hbeat_close(&p.client);
}

/* How the peer is when the client closes an idle connection. */
struct gone_row {
  const char *name;
  struct peer_turn turn;
};

static const struct gone_row gone_rows[] = {
    {"closed behind a RST", {.waits = true, .end = PEER_RESETS}},
    {"closed behind a FIN", {.waits = true, .end = PEER_FINISHES}},
    {"closed behind a close_notify", {.waits = true, .end = PEER_NOTIFIES}},
};

static void is_gone(void **state) {
  const struct gone_row *row = *state;
  static struct player p;
  struct peer_script script = {.turns = &row->turn, .turn_count = 1};
  uint16_t port = peer_start(&script);
  int before = open_descriptors();

  player_open(&p, port);
  player_expect(&p, &player_beat, HBEAT_OK);
  peer_go();
  close_at_once(&p, before);
}

/* Whether the peer has closed its window, so that nothing more goes out. */
static bool is_full(int fd) {
  struct pollfd p = {fd, POLLOUT, 0};

  return poll(&p, 1, 20) == 0;
}

static void a_close_needs_no_room(void **state) {
  static const struct peer_turn turns[] = {{.waits = true}};
  static const struct peer_script script = {.turns = turns, .turn_count = 1};
  static struct player p;
  uint16_t port = peer_start(&script);
  int before = open_descriptors();
  static const char junk[65536];

  (void)state;
  player_open(&p, port);
  player_expect(&p, &player_beat, HBEAT_OK);
  while (!is_full(p.client.link.fd))
    (void)!send(p.client.link.fd, junk, sizeof junk, MSG_NOSIGNAL);
  close_at_once(&p, before);
}

/* Steps until the handshake is done and the socket takes no more for now. */
static void step_to_a_full_socket(hbeat_client *c) {
  bool heard = false;

  for (;;) {
    hbeat_error e = hbeat_step(c);
    hbeat_wait wait = hbeat_wants(c);
    struct pollfd p = {wait.fd, wait.events, 0};

    assert_int_equal(e, HBEAT_AGAIN);
    if (heard && wait.events == POLLOUT) break;
    if (wait.events == POLLIN) heard = true;
    if (wait.fd >= 0) poll(&p, 1, wait.timeout_ms);
  }
}

/* The cut is within a record, most likely: nothing else may follow it. */
static void a_close_amid_a_request_sends_no_nonsense(void **state) {
  static const struct peer_script script = {.slow = true};
  static struct player p;
  hbeat_request beat = player_big_beat(1, MEGABYTE);
  uint16_t port = peer_start(&script);
  int before = open_descriptors();

  (void)state;
  for (int i = 0; i < 3; i++) {
    player_open(&p, port);
    assert_int_equal(hbeat_start(&p.client, &beat, &p.reply), HBEAT_OK);
    step_to_a_full_socket(&p.client);
    close_at_once(&p, before);
  }
  /* They are served one after another: the others have ended by now. */
  player_open(&p, port);
  player_expect(&p, &player_beat, HBEAT_OK);
  assert_int_equal(peer_log()->accepted, 4);
  assert_int_equal(peer_log()->broken, 0);
  hbeat_close(&p.client);
}

static void a_close_waits_for_no_handshake(void **state) {
  static const struct peer_script scripts[] = {{.silent = true},
      {.silent = true, .raw = "\x16\x03\x03\x01", .raw_size = 4}};
  static struct player p;

  (void)state;
  for (size_t i = 0; i < COUNT(scripts); i++) {
    uint16_t port = peer_start(&scripts[i]);
    int before = open_descriptors();

    player_open(&p, port);
    assert_int_equal(hbeat_start(&p.client, &player_beat, &p.reply), HBEAT_OK);
    for (int k = 0; k < 20; k++) {
      assert_int_equal(hbeat_step(&p.client), HBEAT_AGAIN);
      poll(NULL, 0, 1);
    }
    close_at_once(&p, before);
  }
}

static bool is_zero(const void *memory, size_t size) {
  const unsigned char *at = memory;

  for (size_t i = 0; i < size; i++)
    if (at[i] != 0) return false;
  return true;
}

static void a_close_wipes_the_secrets(void **state) {
  static const struct peer_script script = {0};
  static struct player p;

  (void)state;
  player_open(&p, peer_start(&script));
  player_expect(&p, &player_beat, HBEAT_OK);
  assert_false(is_zero(p.tls, sizeof p.tls));
  assert_false(is_zero(&p.client.tls, sizeof p.client.tls));
  hbeat_close(&p.client);
  assert_true(is_zero(p.tls, sizeof p.tls));
  assert_true(is_zero(&p.client.tls, sizeof p.client.tls));
  assert_true(is_zero(&p.client.cfg, sizeof p.client.cfg));
}

int main(void) {
  static const struct CMUnitTest named[] = {
      TEST(one_connection_serves_100_beats),
      TEST(after_a_failure_comes_success),
      TEST(a_refusal_keeps_the_connection),
      TEST(a_big_request_may_be_refused_early),
      TEST(steps_and_a_poll_of_our_own),
      TEST(steps_wait_to_write_where_the_peer_is_slow),
      TEST(steps_without_a_poll),
      TEST(a_start_gives_up_what_was_under_way),
      TEST(a_close_ends_what_was_under_way),
      TEST(a_close_wipes_the_secrets),
      TEST(a_close_tells_the_peer),
      TEST(an_error_tells_the_peer),
      TEST(a_close_needs_no_room),
      TEST(a_close_amid_a_request_sends_no_nonsense),
      TEST(a_close_waits_for_no_handshake),
  };
  struct CMUnitTest tests[COUNT(named) + COUNT(between_rows) +
      COUNT(death_rows) + COUNT(big_rows) + COUNT(gone_rows)];
  struct CMUnitTest *to = tests + COUNT(named);

  syscalls_go_through(see_to);
  memcpy(tests, named, sizeof named);
  to = ROWS(to, is_between, between_rows);
  to = ROWS(to, is_death, death_rows);
  to = ROWS(to, is_big, big_rows);
  ROWS(to, is_gone, gone_rows);
  return cmocka_run_group_tests(tests, NULL, NULL);
}
