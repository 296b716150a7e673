/*
 * Servers of every kind that send, or read, one byte a second for ever: what
 * ends a heartbeat is its deadline.  This time is real.
 */
#define _DEFAULT_SOURCE
#include "loopback.h"
#include "nameserver.h"
#include "relay.h"
#include "syscalls.h"

#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define LONG_TEXT                                                              \
  "a byte a second, for longer than anybody has the patience to wait for"

/* What the client talks to. */
enum slow_kind {
  SLOW_LINE,      /* the relay, as a line to the peer */
  SLOW_PROXY,     /* the relay */
  SLOW_HANDSHAKE, /* a server that drips from its ServerHello on */
  SLOW_NAMESERVER
};

struct slow_row {
  const char *name;
  enum slow_kind kind;
  struct relay_script relay;
  const char *first; /* what of the reply arrives at once; NULL: nothing */
  const char *rest;  /* what drips */
  bool big;          /* the request is of 400 KB */
  const char *says;  /* in the explanation; NULL: what it likes */
};

/* A line, slow to the client behind so many records of the reply. */
#define SLOW_BEHIND(records)                                                   \
  .relay = {.line = true, .slow = RELAY_TO_CLIENT, .fast_records = (records)}, \
  .says = "waiting for the reply"
#define OK_200 "HTTP/1.1 200 OK\r\n"
#define CHUNKED OK_200 "Transfer-Encoding: chunked\r\n\r\n"

static const struct relay_turn slow_reply = {
    .reply = "HTTP/1.1 100 Continue\r\n\r\n",
    .drip_ms = 1000,
    .then = RELAY_STAYS};

static const struct slow_row slow_rows[] = {
    {.name = "in the handshake",
        .kind = SLOW_HANDSHAKE,
        .says = "in the TLS handshake"},
    {.name = "from the reply's first record on",
        .first = OK_200,
        .rest = LONG_TEXT,
        SLOW_BEHIND(0)},
    {.name = "in the head",
        .first = OK_200 "X-Long: ",
        .rest = LONG_TEXT,
        SLOW_BEHIND(1)},
    {.name = "in a body of some length",
        .first = OK_200 "Content-Length: 1000\r\n\r\n{\"success\":",
        .rest = LONG_TEXT,
        SLOW_BEHIND(1)},
    {.name = "in a body up to the close",
        .first = OK_200 "\r\n{\"success\":true",
        .rest = LONG_TEXT,
        SLOW_BEHIND(1)},
    {.name = "in a chunk",
        .first = CHUNKED "100\r\n{\"success\":",
        .rest = LONG_TEXT,
        SLOW_BEHIND(1)},
    {.name = "in the extension of a chunk",
        .first = CHUNKED "10;name=",
        .rest = LONG_TEXT,
        SLOW_BEHIND(1)},
    {.name = "in the trailers",
        .first = CHUNKED "10\r\n" PEER_BODY "\r\n0\r\nX-Long: ",
        .rest = LONG_TEXT,
        SLOW_BEHIND(1)},
    {.name = "of the request, which the peer reads",
        .relay = {.line = true, .slow = RELAY_TO_SERVER},
        .big = true,
        .says = "while sending"},
    {.name = "in the answer of a nameserver", .kind = SLOW_NAMESERVER},
    {.name = "in the reply of a proxy",
        .kind = SLOW_PROXY,
        .relay = {.turns = &slow_reply, .turn_count = 1}},
};

/* Long enough for each to get as far as it is to, on a busy machine, too; and
 * short enough that what drips in the handshake is not seen to be none yet. */
enum { DEADLINE_MS = 8500, HANG_MS = 30000 };

/* What became of each, from the process that it was in. */
static struct outcome {
  bool ended;
  hbeat_error error;
  int64_t took_ms;
  unsigned slow_bytes; /* that the relay has let through */
  char text[HBEAT_EXPLAIN_SIZE];
} * outcomes;

/* ---- Servers ---------------------------------------------------------- */

/* A port that answers with a record of 16 KB, or so it seems. */
static uint16_t start_slow_handshake(pid_t *server) {
  uint16_t port;
  int listener = listen_on_loopback(&port);

  if (fork_server(server)) {
    drip(accept_client(listener), "\x16\x03\x03\x3f\xf0\x02");
    _exit(0);
  }
  close(listener);
  return port;
}

static uint16_t start_slow_line(const struct slow_row *row) {
  const struct peer_turn turn = {.reply = row->first, .stray = row->rest};
  const struct peer_script script = {.turns = &turn, .turn_count = 1};

  return relay_start(&row->relay, peer_start(&script));
}

static void use_slow_nameserver(struct player *p) {
  static const struct ns_server slow = {.a = {.wrong = NS_SHORT},
      .aaaa = {.wrong = NS_SHORT},
      .tcp_a = {R(1, A("\1"))},
      .tcp = NS_TCP_DRIBBLES};

  ns_start(&slow, 1);
  player_configure_name(
      p, NULL, ns_text("resolv.conf", "nameserver $0\noptions timeout:1\n"));
}

/* Starts what a row has, and leads the player there. */
static void lead_to(
    const struct slow_row *row, struct player *p, pid_t *server) {
  switch (row->kind) {
  case SLOW_LINE: player_configure(p, start_slow_line(row)); break;
  case SLOW_PROXY:
    player_configure_proxy(p, relay_start(&row->relay, 0));
    break;
  case SLOW_HANDSHAKE: player_configure(p, start_slow_handshake(server)); break;
  case SLOW_NAMESERVER: use_slow_nameserver(p); break;
  }
  p->cfg.timeout_ms = DEADLINE_MS;
}

/* ---- Heartbeats ------------------------------------------------------- */

/* Sockets of the client's take little at a time. */
static void narrow_sockets(struct call *c) {
  int little = 4096;

  make_call(c);
  if (c->name == CALL_SOCKET)
    setsockopt((int)c->result, SOL_SOCKET, SO_SNDBUF, &little, sizeof little);
}

/* One heartbeat, and how long it took. */
static void run_row(const struct slow_row *row, struct outcome *outcome) {
  static struct player p;
  hbeat_request beat = row->big ? player_big_beat(10, 40000) : player_beat;
  pid_t server = 0;
  int64_t since_ms;

  lead_to(row, &p, &server);
  assert_int_equal(hbeat_init(&p.client, &p.cfg), HBEAT_OK);
  if (row->big) syscalls_go_through(narrow_sockets);
  since_ms = now_ms();
  outcome->error = hbeat_send(&p.client, &beat, &p.reply);
  outcome->took_ms = now_ms() - since_ms;
  strcpy(outcome->text, hbeat_explain(&p.client));
  hbeat_close(&p.client);
  if (relay_log()) outcome->slow_bytes = relay_log()->slow_bytes;
  kill_server(&server);
  ns_stop(NULL);
  relay_stop(NULL);
  peer_stop(NULL);
  outcome->ended = true;
}

/* All of them at once, each in a process, as they do little but wait. */
static void run_rows(void) {
  pid_t ids[COUNT(slow_rows)];

  outcomes = share_memory(COUNT(slow_rows) * sizeof *outcomes);
  for (size_t i = 0; i < COUNT(slow_rows); i++) {
    if (!fork_server(&ids[i])) continue;
    alarm((DEADLINE_MS + HANG_MS) / 1000); /* for one that would never end */
    run_row(&slow_rows[i], &outcomes[i]);
    exit(0);
  }
  for (size_t i = 0; i < COUNT(slow_rows); i++) waitpid(ids[i], NULL, 0);
}

/* At its deadline, and not before. */
static void check_timeout(const struct outcome *outcome) {
  if (outcome->error != HBEAT_ERR_TIMEOUT || outcome->took_ms < DEADLINE_MS)
    fail_msg("wanted timeout after %d ms, got %s after %d: %s", DEADLINE_MS,
        hbeat_error_name(outcome->error), (int)outcome->took_ms, outcome->text);
}

/* How far it got until then. */
static void check_progress(
    const struct slow_row *row, const struct outcome *outcome) {
  bool has_relay = row->kind == SLOW_LINE || row->kind == SLOW_PROXY;

  if (row->says && !strstr(outcome->text, row->says))
    fail_msg("wanted \"%s\" in: %s", row->says, outcome->text);
  if (has_relay) assert_in_range(outcome->slow_bytes, 1, SIZE_MAX);
}

static void is_slow(void **state) {
  const struct slow_row *row = *state;
  const struct outcome *outcome = &outcomes[row - slow_rows];

  if (!outcome->ended) fail_msg("it went on, or its process died");
  /* A nameserver's share of the time is less than all. */
  if (row->kind == SLOW_NAMESERVER && outcome->error == HBEAT_ERR_RESOLVE)
    return;
  check_timeout(outcome);
  /* Under valgrind it is another matter. */
  if (peer_patience() < 10) check_progress(row, outcome);
}

int main(void) {
  struct CMUnitTest tests[COUNT(slow_rows)];

  run_rows();
  ROWS(tests, is_slow, slow_rows);
  return cmocka_run_group_tests(tests, NULL, NULL);
}
