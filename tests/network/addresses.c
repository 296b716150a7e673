/*
 * Addresses: which of them are tried, in what order, for how long, and what
 * is said where none is of use.
 */
#define _DEFAULT_SOURCE
#include "loopback.h"
#include "nameserver.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

/* What there is at an address. */
enum manner {
  GOOD,    /* the peer */
  LATE,    /* the peer, to which a connection takes LATE_MS */
  NOBODY,  /* refuses connections */
  HOLE,    /* swallows all that is sent to it */
  MUTE,    /* takes connections, and never says a word */
  SLAMS,   /* takes them, and sends RST at once */
  RESETS,  /* takes them, and answers with RST */
  ENDS,    /* takes them, and ends them in good order */
  STARTS,  /* says the first byte of TLS, and no more */
  STOPS,   /* says it, then RST */
  IS_PLAIN /* speaks HTTP without TLS */
};

struct place {
  const char *address;
  enum manner manner;
};

enum { PLACES = 8 };

/* The time of a beat; n shares of it, where there is one for each address. */
#define WHOLE_MS 12000
#define LATE_MS 3000
#define SHARES(n, of) (WHOLE_MS * (n) / (of))

static struct player player;
static pid_t stub_pid;
static struct black_hole holes[PLACES];
static size_t hole_count;
static int mutes[PLACES]; /* those that listen, and never accept */
static size_t mute_count;

/* ---- Places ----------------------------------------------------------- */

static int listen_at(const char *address, uint16_t port) {
  int fd = bind_socket(SOCK_STREAM, address, port, 8);

  if (fd < 0) fail_msg("cannot listen at %s: %s", address, strerror(errno));
  return fd;
}

/* Takes a connection, and does with it as the place's manner is. */
static void receive(int listener, enum manner manner) {
  static const char http[] = "HTTP/1.1 400 Bad Request\r\n\r\n";
  char hello[4096];
  int fd = accept_client(listener);

  if (manner == SLAMS) {
    reset_on_close(fd);
    close(fd);
    return;
  }
  while (recv(fd, hello, sizeof hello, 0) < 0 && errno == EINTR)
    ;
  if (manner == IS_PLAIN) send(fd, http, sizeof http - 1, MSG_NOSIGNAL);
  if (manner == STARTS || manner == STOPS) send(fd, "\x16", 1, MSG_NOSIGNAL);
  if (manner == STOPS) nap_ms(20);
  if (manner == STOPS || manner == RESETS) {
    reset_on_close(fd);
    close(fd);
  } else if (manner != STARTS) {
    shutdown(fd, SHUT_WR);
  }
}

static void serve_places(const struct place *places, const int *listeners) {
  struct pollfd polled[PLACES];

  for (;;) {
    for (int i = 0; i < PLACES; i++)
      polled[i] = (struct pollfd){listeners[i], POLLIN, 0};
    poll(polled, PLACES, -1);
    for (int i = 0; i < PLACES; i++)
      if (polled[i].revents & POLLIN) receive(listeners[i], places[i].manner);
  }
}

static int stop_places(void **state) {
  kill_server(&stub_pid);
  while (hole_count > 0) close_black_hole(&holes[--hole_count]);
  while (mute_count > 0) close(mutes[--mute_count]);
  ns_stop(NULL);
  return peer_stop(state);
}

/* Opens all places but the peer's, which has its own process. */
static void start_places(const struct place places[PLACES], uint16_t port) {
  int listeners[PLACES];

  for (int i = 0; i < PLACES; i++) {
    listeners[i] = -1;
    if (places[i].manner == HOLE)
      open_black_hole(&holes[hole_count++], places[i].address, port);
    else if (places[i].manner == MUTE)
      mutes[mute_count++] = listen_at(places[i].address, port);
    else if (places[i].manner > MUTE)
      listeners[i] = listen_at(places[i].address, port);
  }
  if (fork_server(&stub_pid)) serve_places(places, listeners);
  for (int i = 0; i < PLACES; i++)
    if (listeners[i] >= 0) close(listeners[i]);
}

/* ---- Beats ------------------------------------------------------------ */

/* The peer ends each connection behind its reply. */
static const struct peer_turn ends_turn = {.end = PEER_NOTIFIES};
static const struct peer_script ends = {.turns = &ends_turn, .turn_count = 1};
static const struct peer_script ends_v6 = {
    .turns = &ends_turn, .turn_count = 1, .ipv6 = true};

/* A player with these places in its hosts file; false: no IPv6 for them. */
static bool open_player(const struct place places[PLACES]) {
  char hosts[512] = "";
  bool peer_is_v6 = false;
  size_t size = 0;
  uint16_t port;

  stop_places(NULL);
  tried_takes_ms(NULL, 0);
  for (int i = 0; i < PLACES && places[i].address; i++) {
    size += (size_t)snprintf(hosts + size, sizeof hosts - size,
        "%s api.lucit.app\n", places[i].address);
    if (places[i].manner == LATE) tried_takes_ms(places[i].address, LATE_MS);
    if (places[i].manner == GOOD && strchr(places[i].address, ':'))
      peer_is_v6 = true;
  }
  if (strchr(hosts, ':') && !has_ipv6()) return false;
  port = peer_start(peer_is_v6 ? &ends_v6 : &ends);
  start_places(places, port);
  player_configure_name(&player, ns_text("hosts", hosts), NULL);
  player.cfg.address_port = port;
  player.cfg.timeout_ms = WHOLE_MS;
  assert_int_equal(hbeat_init(&player.client, &player.cfg), HBEAT_OK);
  return true;
}

/* One beat, and what is expected of it. */
struct beat {
  hbeat_error error;
  const char *tried; /* NULL: there is no such beat */
  const char *says;  /* where it is an error */
  uint32_t takes_ms; /* and for each poll() that finds something 1 ms more */
};

static void check_beat(const struct beat *want) {
  int64_t took = now_ms();
  const char *text;
  hbeat_error e;

  tried_watch();
  e = hbeat_send(&player.client, &player_beat, &player.reply);
  took = now_ms() - took;
  text = hbeat_explain(&player.client);
  if (e != want->error)
    fail_msg("wanted %s, got %s: %s", hbeat_error_name(want->error),
        hbeat_error_name(e), text);
  if (strcmp(tried(), want->tried) != 0)
    fail_msg("wanted the addresses \"%s\", got \"%s\": %s", want->tried,
        tried(), text);
  if (want->says && !strstr(text, want->says))
    fail_msg("wanted \"%s\" in \"%s\"", want->says, text);
  if (took < want->takes_ms || took > want->takes_ms + 20)
    fail_msg("wanted %u ms, got %d", want->takes_ms, (int)took);
  player_check_text(&player);
}

/* ---- One address is good ---------------------------------------------- */

struct place_row {
  const char *name;
  struct place places[PLACES];
  struct beat first, second;
};

#define STATUS(status) "HTTP/1.1 " status "\r\nContent-Length: 2\r\n\r\n{}"

#define OK_AFTER(addresses, ms)                                                \
  { .tried = addresses, .takes_ms = ms }
#define OK_WITH(addresses) OK_AFTER(addresses, 0)

static const struct place_row place_rows[] = {
    {"one that is good", .places = {{"127.0.0.1", GOOD}},
        .first = OK_WITH("127.0.0.1"), .second = OK_WITH("127.0.0.1")},
    {"the second is not needed",
        .places = {{"127.0.0.1", GOOD}, {"127.0.0.2", HOLE}},
        .first = OK_WITH("127.0.0.1"), .second = OK_WITH("127.0.0.1")},
    {"a black hole first", .places = {{"127.0.0.2", HOLE}, {"127.0.0.1", GOOD}},
        .first = OK_AFTER("127.0.0.2 127.0.0.1", 1000),
        .second = OK_WITH("127.0.0.1")},
    {"two black holes first",
        .places = {{"127.0.0.2", HOLE}, {"127.0.0.3", HOLE},
            {"127.0.0.1", GOOD}},
        .first = OK_AFTER("127.0.0.2 127.0.0.3 127.0.0.1", 2000),
        .second = OK_WITH("127.0.0.1")},
    {"a black hole of IPv6 first",
        .places = {{"127.0.0.1", GOOD}, {"::1", HOLE}},
        .first = OK_AFTER("::1 127.0.0.1", 1000),
        .second = OK_WITH("127.0.0.1")},
    {"IPv6 goes first", .places = {{"127.0.0.2", HOLE}, {"::1", GOOD}},
        .first = OK_WITH("::1"), .second = OK_WITH("::1")},
    {"IPv6 that is refused",
        .places = {{"127.0.0.2", NOBODY}, {"127.0.0.1", GOOD}, {"::1", NOBODY}},
        .first = OK_WITH("::1 127.0.0.2 127.0.0.1"),
        .second = OK_WITH("127.0.0.1")},
    {"refused first", .places = {{"127.0.0.2", NOBODY}, {"127.0.0.1", GOOD}},
        .first = OK_WITH("127.0.0.2 127.0.0.1"),
        .second = OK_WITH("127.0.0.1")},
    {"no way to the first",
        .places = {{"255.255.255.255", NOBODY}, {"127.0.0.1", GOOD}},
        .first = OK_WITH("255.255.255.255 127.0.0.1"),
        .second = OK_WITH("127.0.0.1")},
    {"refused by seven",
        .places = {{"127.0.0.2", NOBODY}, {"127.0.0.3", NOBODY},
            {"127.0.0.4", NOBODY}, {"127.0.0.5", NOBODY}, {"127.0.0.6", NOBODY},
            {"127.0.0.7", NOBODY}, {"127.0.0.8", NOBODY}, {"127.0.0.1", GOOD}},
        .first = OK_WITH(
            "127.0.0.2 127.0.0.3 127.0.0.4 127.0.0.5 127.0.0.6 127.0.0.7 "
            "127.0.0.8 127.0.0.1"),
        .second = OK_WITH("127.0.0.1")},
    {"a mute one first", .places = {{"127.0.0.2", MUTE}, {"127.0.0.1", GOOD}},
        .first = OK_AFTER("127.0.0.2 127.0.0.1", SHARES(1, 2)),
        .second = OK_WITH("127.0.0.1")},
    {"RST first", .places = {{"127.0.0.2", RESETS}, {"127.0.0.1", GOOD}},
        .first = OK_WITH("127.0.0.2 127.0.0.1"),
        .second = OK_WITH("127.0.0.1")},
    {"RST at once first", .places = {{"127.0.0.2", SLAMS}, {"127.0.0.1", GOOD}},
        .first = OK_WITH("127.0.0.2 127.0.0.1"),
        .second = OK_WITH("127.0.0.1")},
    {"FIN first", .places = {{"127.0.0.2", ENDS}, {"127.0.0.1", GOOD}},
        .first = OK_WITH("127.0.0.2 127.0.0.1"),
        .second = OK_WITH("127.0.0.1")},
    {"one that is late, alone", .places = {{"127.0.0.1", LATE}},
        .first = OK_AFTER("127.0.0.1", LATE_MS),
        .second = OK_AFTER("127.0.0.1", LATE_MS)},
    /* It has a second, then two; the four that it has then are enough. */
    {"one that is late, and a black hole",
        .places = {{"127.0.0.1", LATE}, {"127.0.0.2", HOLE}},
        .first =
            OK_AFTER("127.0.0.1 127.0.0.2 127.0.0.1 127.0.0.2 127.0.0.1", 9000),
        .second = OK_AFTER(
            "127.0.0.1 127.0.0.2 127.0.0.1 127.0.0.2 127.0.0.1", 9000)},
    {"one of each kind first",
        .places = {{"127.0.0.2", NOBODY}, {"127.0.0.3", RESETS},
            {"127.0.0.4", ENDS}, {"127.0.0.5", MUTE}, {"127.0.0.1", GOOD}},
        .first = OK_AFTER(
            "127.0.0.2 127.0.0.3 127.0.0.4 127.0.0.5 127.0.0.1", SHARES(1, 2)),
        .second = OK_WITH("127.0.0.1")},
    /* What has spoken is not left for another within one beat. */
    {"plain HTTP first",
        .places = {{"127.0.0.2", IS_PLAIN}, {"127.0.0.1", GOOD}},
        .first = {.error = HBEAT_ERR_TLS,
            .tried = "127.0.0.2",
            .says = "does not speak TLS"},
        .second = OK_WITH("127.0.0.1")},
    {"one that speaks, then RST, first",
        .places = {{"127.0.0.2", STOPS}, {"127.0.0.1", GOOD}},
        .first = {.error = HBEAT_ERR_TLS,
            .tried = "127.0.0.2",
            .says = "ended in the TLS handshake"},
        .second = OK_WITH("127.0.0.1")},
    {"one that speaks, then falls silent, first",
        .places = {{"127.0.0.2", STARTS}, {"127.0.0.1", GOOD}},
        .first = {.error = HBEAT_ERR_TIMEOUT,
            .tried = "127.0.0.2",
            .says = "in the TLS handshake",
            .takes_ms = WHOLE_MS},
        .second = OK_WITH("127.0.0.1")},
};

/* ---- None is good ----------------------------------------------------- */

#define ALL_THREE "127.0.0.2 127.0.0.3 127.0.0.4"

static const struct place_row none_rows[] = {
    {"all refuse",
        .places = {{"127.0.0.2", NOBODY}, {"127.0.0.3", NOBODY},
            {"127.0.0.4", NOBODY}},
        .first = {.error = HBEAT_ERR_CONNECT,
            .tried = ALL_THREE,
            .says = "connection refused"},
        .second = {.error = HBEAT_ERR_CONNECT,
            .tried = ALL_THREE,
            .says = "connection refused"}},
    {"all are black holes",
        .places = {{"127.0.0.2", HOLE}, {"127.0.0.3", HOLE},
            {"127.0.0.4", HOLE}},
        .first = {.error = HBEAT_ERR_TIMEOUT,
            .tried = ALL_THREE " " ALL_THREE " 127.0.0.2",
            .says = "while connecting",
            .takes_ms = WHOLE_MS}},
    {"all are mute",
        .places = {{"127.0.0.2", MUTE}, {"127.0.0.3", MUTE},
            {"127.0.0.4", MUTE}},
        .first = {.error = HBEAT_ERR_TIMEOUT,
            .tried = ALL_THREE,
            .says = "in the TLS handshake",
            .takes_ms = WHOLE_MS}},
    {"all reset",
        .places = {{"127.0.0.2", RESETS}, {"127.0.0.3", RESETS},
            {"127.0.0.4", RESETS}},
        .first = {.error = HBEAT_ERR_TLS,
            .tried = ALL_THREE,
            .says = "ended in the TLS handshake"}},
    {"the last refuses",
        .places = {{"127.0.0.2", MUTE}, {"127.0.0.3", RESETS},
            {"127.0.0.4", NOBODY}},
        .first = {.error = HBEAT_ERR_CONNECT,
            .tried = ALL_THREE,
            .says = "connection refused",
            .takes_ms = SHARES(1, 2)}},
    {"the last is a black hole",
        .places = {{"127.0.0.2", NOBODY}, {"127.0.0.3", ENDS},
            {"127.0.0.4", HOLE}},
        .first = {.error = HBEAT_ERR_TIMEOUT,
            .tried = ALL_THREE,
            .says = "while connecting",
            .takes_ms = WHOLE_MS}},
    {"no way to any", .places = {{"255.255.255.255", NOBODY}},
        .first = {.error = HBEAT_ERR_CONNECT,
            .tried = "255.255.255.255",
            .says = "unreachable"}},
};

static void is_place(void **state) {
  const struct place_row *row = *state;
  int before;

  if (!open_player(row->places)) return;
  before = open_descriptors();
  check_beat(&row->first);
  if (row->second.tried) check_beat(&row->second);
  hbeat_close(&player.client);
  assert_int_equal(open_descriptors(), before);
}

/* ---- One by one ------------------------------------------------------- */

/* Each has a second to connect, and twice as long in each round; one that has
 * connected has half of what is left to say a word. */
static void each_address_has_its_time(void **state) {
  static const struct place places[PLACES] = {{"127.0.0.2", HOLE},
      {"127.0.0.3", MUTE}, {"127.0.0.4", NOBODY}, {"127.0.0.5", HOLE}};
  const int64_t want[] = {0, 1000, 6500, 6500, 7500, 9500, 11500};
  int64_t start = now_ms();

  (void)state;
  assert_true(open_player(places));
  start = now_ms();
  check_beat(&(struct beat){.error = HBEAT_ERR_TIMEOUT,
      .tried = "127.0.0.2 127.0.0.3 127.0.0.4 127.0.0.5 127.0.0.2 127.0.0.5 "
               "127.0.0.2",
      .says = "while connecting",
      .takes_ms = WHOLE_MS});
  for (size_t i = 0; i < COUNT(want); i++) {
    int64_t at = tried_ms()[i] - start;

    if (at < want[i] || at > want[i] + 10)
      fail_msg(
          "address %d: wanted %d ms, got %d", (int)i, (int)want[i], (int)at);
  }
  hbeat_close(&player.client);
}

/* A certificate for another name is no reason to look elsewhere. */
static void a_wrong_certificate_is_the_outcome(void **state) {
  static const struct peer_script script = {.chain = "name"};
  static const struct place places[PLACES] = {
      {"127.0.0.1", GOOD}, {"127.0.0.2", MUTE}};
  uint16_t port;

  (void)state;
  stop_places(NULL);
  port = peer_start(&script);
  start_places(places, port);
  player_configure_name(&player,
      ns_text("hosts",
          "127.0.0.1 api.lucit.app\n"
          "127.0.0.2 api.lucit.app\n"),
      NULL);
  player.cfg.address_port = port;
  assert_int_equal(hbeat_init(&player.client, &player.cfg), HBEAT_OK);
  check_beat(&(struct beat){.error = HBEAT_ERR_CERT_NAME,
      .tried = "127.0.0.1",
      .says = "api.lucit.app"});
  hbeat_close(&player.client);
}

/* A connection that was kept dies with its server. */
static void all_are_tried_where_a_kept_connection_is_dead(void **state) {
  static const struct peer_script keeps = {0};
  static const struct place places[PLACES] = {
      {"127.0.0.1", GOOD}, {"127.0.0.2", NOBODY}};
  uint16_t port;

  (void)state;
  stop_places(NULL);
  port = peer_start(&keeps);
  start_places(places, port);
  player_configure_name(&player,
      ns_text("hosts",
          "127.0.0.2 api.lucit.app\n"
          "127.0.0.1 api.lucit.app\n"),
      NULL);
  player.cfg.address_port = port;
  assert_int_equal(hbeat_init(&player.client, &player.cfg), HBEAT_OK);
  check_beat(&(struct beat){.tried = "127.0.0.2 127.0.0.1"});
  check_beat(&(struct beat){.tried = ""});
  peer_stop(NULL);
  check_beat(&(struct beat){.error = HBEAT_ERR_CONNECT,
      .tried = "127.0.0.1 127.0.0.2",
      .says = "connection refused"});
  hbeat_close(&player.client);
}

/* ---- What the next exchange begins with --------------------------------- */

/* Row: what the peer says at 127.0.0.1, with 127.0.0.2 in front, where nobody
 * is; and where the next beat tries it. */
static const struct prefer_row {
  const char *name;
  const char *reply;
  hbeat_error error;
  const char *next_tried;
} prefer_rows[] = {
    {"a good reply", .reply = PEER_REPLY, .next_tried = "127.0.0.1"},
    {"a refusal", .reply = STATUS("403 Forbidden"), .error = HBEAT_ERR_STATUS,
        .next_tried = "127.0.0.1"},
    {"a page", .reply = STATUS("200 OK"), .error = HBEAT_ERR_REFUSED,
        .next_tried = "127.0.0.1"},
    {"a 5xx prefers nobody", .reply = STATUS("503 Service Unavailable"),
        .error = HBEAT_ERR_STATUS, .next_tried = "127.0.0.2 127.0.0.1"},
    {"silence behind the handshake", .reply = "", .error = HBEAT_ERR_TIMEOUT,
        .next_tried = "127.0.0.2 127.0.0.1"},
    {"half a reply", .reply = "HTTP/1.1 200 OK\r\n", .error = HBEAT_ERR_TIMEOUT,
        .next_tried = "127.0.0.2 127.0.0.1"},
};

static void is_preferred(void **state) {
  const struct prefer_row *row = *state;
  static const struct place places[PLACES] = {
      {"127.0.0.2", NOBODY}, {"127.0.0.1", GOOD}};
  struct peer_turn turn = {.reply = row->reply,
      .end = row->error == HBEAT_ERR_TIMEOUT ? PEER_STAYS : PEER_NOTIFIES};
  struct peer_script script = {.turns = &turn, .turn_count = 1};
  uint32_t takes_ms = row->error == HBEAT_ERR_TIMEOUT ? WHOLE_MS : 0;

  assert_true(open_player(places));
  player.client.cfg.address_port = peer_start(&script);
  check_beat(&(struct beat){.error = row->error,
      .tried = "127.0.0.2 127.0.0.1",
      .takes_ms = takes_ms});
  check_beat(&(struct beat){
      .error = row->error, .tried = row->next_tried, .takes_ms = takes_ms});
  hbeat_close(&player.client);
}

/* An address that shook hands and then said nothing is left, though it once
 * was good: the next beat begins with the one behind it. */
static void a_silent_address_is_left(void **state) {
  static const struct peer_turn turns[] = {
      {.end = PEER_NOTIFIES}, {.reply = "", .end = PEER_STAYS}};
  static const struct peer_script script = {.turns = turns, .turn_count = 2};
  static const struct place places[PLACES] = {
      {"127.0.0.1", GOOD}, {"127.0.0.2", NOBODY}};

  (void)state;
  assert_true(open_player(places));
  player.client.cfg.address_port = peer_start(&script);
  check_beat(&(struct beat){.tried = "127.0.0.1"});
  check_beat(&(struct beat){.error = HBEAT_ERR_TIMEOUT,
      .tried = "127.0.0.1",
      .says = "waiting for the reply",
      .takes_ms = WHOLE_MS});
  check_beat(&(struct beat){.error = HBEAT_ERR_TIMEOUT,
      .tried = "127.0.0.2 127.0.0.1",
      .takes_ms = WHOLE_MS});
  hbeat_close(&player.client);
}

/* A session that is saved tells the next process where to begin. */
static void the_address_goes_with_the_session(void **state) {
  static const struct peer_script remembers = {
      .turns = &ends_turn, .turn_count = 1, .memory = PEER_REMEMBERS};
  static const struct place places[PLACES] = {
      {"127.0.0.2", NOBODY}, {"127.0.0.1", GOOD}};
  unsigned char session[HBEAT_SESSION_SIZE];

  (void)state;
  assert_true(open_player(places));
  player.cfg.address_port = peer_start(&remembers);
  assert_int_equal(hbeat_init(&player.client, &player.cfg), HBEAT_OK);
  check_beat(&(struct beat){.tried = "127.0.0.2 127.0.0.1"});
  assert_true(hbeat_session_save(&player.client, session));
  hbeat_close(&player.client);
  assert_int_equal(hbeat_init(&player.client, &player.cfg), HBEAT_OK);
  check_beat(&(struct beat){.tried = "127.0.0.2 127.0.0.1"});
  hbeat_close(&player.client);
  assert_int_equal(hbeat_init(&player.client, &player.cfg), HBEAT_OK);
  assert_true(hbeat_session_load(&player.client, session, sizeof session));
  check_beat(&(struct beat){.tried = "127.0.0.1"});
  assert_int_equal(player.reply.connection, HBEAT_CONNECTION_RESUMED);
  hbeat_close(&player.client);
}

/* ---- With a nameserver ------------------------------------------------ */

/* A player for the peer and a nameserver that tells these addresses. */
static void open_player_with(const struct ns_server *servers, size_t count,
    const struct place places[PLACES], const char *resolv) {
  uint16_t port;

  stop_places(NULL);
  port = peer_start(&ends);
  start_places(places, port);
  ns_start(servers, count);
  player_configure_name(&player, NULL, ns_text("resolv.conf", resolv));
  player.cfg.address_port = port;
  player.cfg.timeout_ms = WHOLE_MS;
  assert_int_equal(hbeat_init(&player.client, &player.cfg), HBEAT_OK);
}

static void the_one_that_worked_goes_first_after_its_ttl(void **state) {
  static const struct ns_server server = {.a = {R(2, A("\2") A("\1"))}};
  static const struct place places[PLACES] = {{"127.0.0.2", HOLE}};

  (void)state;
  open_player_with(&server, 1, places, "nameserver $0\n");
  check_beat(&(struct beat){.tried = "127.0.0.2 127.0.0.1", .takes_ms = 1000});
  check_beat(&(struct beat){.tried = "127.0.0.1"});
  assert_string_equal(ns_asked(), "0");
  clock_skip_s(61);
  check_beat(&(struct beat){.tried = "127.0.0.1"});
  assert_string_equal(ns_asked(), "0 0");
  assert_int_equal(player.reply.http_status, 200);
  hbeat_close(&player.client);
}

/* One deadline: a silent nameserver, a black hole, and the beat itself. */
static void names_and_addresses_share_the_time(void **state) {
  static const struct ns_server servers[] = {
      {.a = {.silent = true}, .aaaa = {.silent = true}},
      {.a = {R(2, A("\2") A("\1"))}}};
  static const struct place places[PLACES] = {{"127.0.0.2", HOLE}};

  (void)state;
  open_player_with(
      servers, 2, places, "nameserver $0\nnameserver $1\noptions attempts:1\n");
  check_beat(&(struct beat){.tried = "127.0.0.2 127.0.0.1", .takes_ms = 5000});
  hbeat_close(&player.client);
}

/* TTL 0: for one connection, but that one is the same for many beats. */
static void a_kept_connection_needs_no_name(void **state) {
  static const struct ns_server server = {.a = {R(1, A_TTL("\0\0\0\0", "\1"))}};
  static const struct peer_script keeps = {0};
  static const struct place places[PLACES] = {{NULL, NOBODY}};

  (void)state;
  open_player_with(&server, 1, places, "nameserver $0\n");
  player.cfg.address_port = peer_start(&keeps);
  assert_int_equal(hbeat_init(&player.client, &player.cfg), HBEAT_OK);
  for (int i = 0; i < 3; i++)
    check_beat(&(struct beat){.tried = i == 0 ? "127.0.0.1" : ""});
  assert_string_equal(ns_asked(), "0");
  hbeat_close(&player.client);
}

/* ---- In an event loop of others --------------------------------------- */

static void the_wait_ends_with_the_attempt(void **state) {
  static const struct place places[PLACES] = {
      {"127.0.0.2", HOLE}, {"127.0.0.1", GOOD}};
  int64_t start;
  hbeat_wait w;

  (void)state;
  assert_true(open_player(places));
  tried_watch();
  start = now_ms();
  hbeat_start(&player.client, &player_beat, &player.reply);
  while ((w = hbeat_wants(&player.client)).fd < 0)
    assert_int_equal(hbeat_step(&player.client), HBEAT_AGAIN);
  assert_string_equal(tried(), "127.0.0.2");
  assert_true(fcntl(w.fd, F_GETFD) >= 0);
  assert_int_equal(w.events, POLLOUT);
  assert_in_range(w.timeout_ms, 1, 1000);
  assert_int_equal(
      poll(&(struct pollfd){w.fd, w.events, 0}, 1, w.timeout_ms), 0);
  assert_int_equal(now_ms() - start, 1000);
  assert_int_equal(hbeat_step(&player.client), HBEAT_AGAIN);
  while (hbeat_wants(&player.client).fd < 0)
    assert_int_equal(hbeat_step(&player.client), HBEAT_AGAIN);
  assert_string_equal(tried(), "127.0.0.2 127.0.0.1");
  hbeat_close(&player.client);
}

int main(void) {
  static const struct CMUnitTest named[] = {
      TEST(each_address_has_its_time),
      TEST(a_wrong_certificate_is_the_outcome),
      TEST(all_are_tried_where_a_kept_connection_is_dead),
      TEST(a_silent_address_is_left),
      TEST(the_address_goes_with_the_session),
      TEST(the_one_that_worked_goes_first_after_its_ttl),
      TEST(names_and_addresses_share_the_time),
      TEST(a_kept_connection_needs_no_name),
      TEST(the_wait_ends_with_the_attempt),
  };
  struct CMUnitTest tests[COUNT(named) + COUNT(place_rows) + COUNT(none_rows) +
      COUNT(prefer_rows)];
  struct CMUnitTest *to = tests + COUNT(named);
  int failed;

  clock_begin();
  memcpy(tests, named, sizeof named);
  to = ROWS(to, is_place, place_rows);
  to = ROWS(to, is_place, none_rows);
  ROWS(to, is_preferred, prefer_rows);
  failed = cmocka_run_group_tests(tests, NULL, NULL);
  stop_places(NULL);
  return failed;
}
