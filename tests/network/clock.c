/*
 * Clocks: by which one certificates are judged, what the operator is told of
 * it, and what the player learns from the server's.  The system's clock says
 * what a test wants it to, and time goes by when a test says so.
 */
#define _DEFAULT_SOURCE
#include "peer.h"
#include "relay.h"
#include "syscalls.h"

static int64_t system_s; /* what the system's clock says */
static time_t gone_by_s; /* beside what really has */

static void see_to(struct call *c) {
  make_call(c);
  if (c->name == CALL_TIME) c->result = system_s;
  if (c->name == CALL_CLOCK && c->in.clock.id == CLOCK_MONOTONIC)
    c->in.clock.now->tv_sec += gone_by_s;
}

#define Y2020_S 1577836800
#define Y2023_S 1672531200
#define Y2024_S 1704067200
#define Y2026_S 1767744919 /* PEER_TIME_S */
#define Y2027_S 1798761600
#define Y2035_S 2051222400
#define JAN_20_2038_S INT64_C(2147558400) /* a day past 31 bits */
#define Y2040_S INT64_C(2208988800)
#define Y2045_S INT64_C(2366841600)
#define Y2050_S INT64_C(2524608000)
#define Y2055_S INT64_C(2682374400)
#define Y2060_S INT64_C(2840140800)
#define Y2075_S INT64_C(3313526400)
#define Y2099_S INT64_C(4070908800)
#define FEB_8_2106_S INT64_C(4295030400) /* a day past 32 bits */
#define Y10000_S INT64_C(253402300800)

/* One beat with a new connection: the clocks, and what becomes of it. */
struct row {
  const char *name;
  const char *chain;
  int64_t system_s;
  int64_t floor_s;
  hbeat_error error;
  const char *says[3];
};

#define EARLY(...)                                                             \
  .error = HBEAT_ERR_CERT_TIME, .says = {"is not valid yet", __VA_ARGS__}
#define LATE(...)                                                              \
  .error = HBEAT_ERR_CERT_TIME, .says = {"has expired", __VA_ARGS__}

static const struct row system_rows[] = {
    {"1970", .chain = "server", EARLY("1970-01-01", "system")},
    {"a second before the certificate begins", .chain = "server",
        .system_s = Y2020_S - 1, EARLY("2019-12-31", "system")},
    {"as the certificate begins", .chain = "server", .system_s = Y2020_S},
    {"a second too early, within a day", .chain = "begins-then",
        .system_s = Y2026_S - 1, EARLY("2026-01-07", "system")},
    {"as it begins, within a day", .chain = "begins-then", .system_s = Y2026_S},
    {"as it ends, within a day", .chain = "ends-then", .system_s = Y2026_S},
    {"a second too late, within a day", .chain = "ends-then",
        .system_s = Y2026_S + 1, LATE("2026-01-07", "system")},
    {"a day before 1970", .chain = "server", .system_s = -86400,
        EARLY("system")},
    {"-1, which is time()'s word for an error", .chain = "server",
        .system_s = -1, EARLY("system")},

    {"2026, for a certificate of 1999", .chain = "to-2000", .system_s = Y2026_S,
        LATE("2026-01-07")},
    {"2026, for a certificate to 2075", .chain = "to-2075",
        .system_s = Y2026_S},
    {"2026, for a certificate from 2050", .chain = "from-2050",
        .system_s = Y2026_S, EARLY("2026-01-07")},
    {"2026, for a certificate to 9999", .chain = "to-9999",
        .system_s = Y2026_S},
    {"before both ends of one from 2040 to 2030", .chain = "backwards",
        .system_s = Y2026_S, EARLY("2026-01-07")},
    {"between the ends of one from 2040 to 2030", .chain = "backwards",
        .system_s = Y2035_S, .error = HBEAT_ERR_CERT_TIME,
        .says = {"2035-01-01"}},
    {"an intermediate has expired", .chain = "under-expired",
        .system_s = Y2026_S, LATE("2026-01-07")},
    {"an intermediate is not valid yet", .chain = "under-future",
        .system_s = Y2026_S, EARLY("2026-01-07")},
};

/* As far as a time_t of 64 bits goes. */
static const struct row late_rows[] = {
    {"a day past 31 bits", .chain = "server", .system_s = JAN_20_2038_S},
    {"the last second of UTCTime", .chain = "server", .system_s = Y2050_S - 1},
    {"the first second of GeneralizedTime", .chain = "server",
        .system_s = Y2050_S, LATE("2050-01-01", "system")},
    {"2099", .chain = "server", .system_s = Y2099_S, LATE("2099-01-01")},
    {"2055, for a certificate from 2050", .chain = "from-2050",
        .system_s = Y2055_S},
    {"2060, for a certificate to 2075", .chain = "to-2075",
        .system_s = Y2060_S},
    {"the last second of a certificate to 2075", .chain = "to-2075",
        .system_s = Y2075_S},
    {"2099, for a certificate to 2075", .chain = "to-2075", .system_s = Y2099_S,
        LATE("2099-01-01")},
    {"a day past 32 bits", .chain = "to-9999", .system_s = FEB_8_2106_S},
    {"the last second of 9999", .chain = "to-9999", .system_s = Y10000_S - 1},
    /* RFC 5280 section 4.1.2.5: 9999 is how a certificate says "for ever". */
    {"10000", .chain = "to-9999", .system_s = Y10000_S},
    {"10000, for a certificate to 2049", .chain = "server",
        .system_s = Y10000_S, LATE("9999-12-31")},
    {"the end of time", .chain = "server", .system_s = INT64_MAX,
        LATE("9999-12-31")},
    {"behind both ends of one from 2040 to 2030", .chain = "backwards",
        .system_s = Y2045_S, LATE("2045-01-01")},
};

static const struct row floor_rows[] = {
    {"a floor lifts 1970", .chain = "server", .floor_s = Y2026_S},
    {"a floor lifts -1", .chain = "server", .system_s = -1, .floor_s = Y2026_S},
    {"a floor to the second", .chain = "begins-then", .floor_s = Y2026_S},
    {"a floor one second too low", .chain = "begins-then",
        .floor_s = Y2026_S - 1, EARLY("2026-01-07", "clock_floor_s")},
    {"a floor below the clock", .chain = "begins-then", .system_s = Y2026_S,
        .floor_s = Y2020_S},
    {"a floor below a clock that is late", .chain = "ends-then",
        .system_s = Y2027_S, .floor_s = Y2020_S, LATE("2027-01-01", "system")},
    {"a floor past the certificate's end", .chain = "ends-then",
        .system_s = Y2024_S, .floor_s = Y2027_S,
        LATE("2027-01-01", "clock_floor_s")},
    {"a floor before 1970", .chain = "server", .system_s = Y2026_S,
        .floor_s = INT64_MIN},
    {"a floor in 2055", .chain = "from-2050", .floor_s = Y2055_S},
    {"a floor in 2099", .chain = "server", .system_s = Y2026_S,
        .floor_s = Y2099_S, LATE("2099-01-01", "clock_floor_s")},
    {"a floor in 9999", .chain = "to-9999", .floor_s = Y10000_S - 1},
    {"a floor at the end of time", .chain = "server", .system_s = Y2026_S,
        .floor_s = INT64_MAX, LATE("9999-12-31", "clock_floor_s")},
};

/* One line, of ASCII, that has the words and BearSSL's code. */
static void check_words(struct player *p, const char *const says[3]) {
  const char *text = hbeat_explain(&p->client);

  player_check_text(p);
  for (int i = 0; i < 3; i++)
    if (says[i] && !strstr(text, says[i]))
      fail_msg("no \"%s\" in: %s", says[i], text);
  if (!strstr(text, "(BearSSL 54)")) fail_msg("no code in: %s", text);
}

static void is_row(void **state) {
  const struct row *row = *state;
  struct peer_script script = {.chain = row->chain};
  static struct player p;
  uint16_t port = peer_start(&script);
  int before = open_descriptors();

  system_s = row->system_s;
  player_configure(&p, port);
  p.cfg.clock_floor_s = row->floor_s;
  assert_int_equal(hbeat_init(&p.client, &p.cfg), HBEAT_OK);
  player_expect(&p, &player_beat, row->error);
  if (row->error != HBEAT_OK) {
    assert_int_equal(open_descriptors(), before);
    check_words(&p, row->says);
  }
  hbeat_close(&p.client);
}

/* ---- The server's clock ----------------------------------------------- */

#define BEATS_MAX 3

/* Beats of one client, each with a connection of its own. */
struct learnt_row {
  const char *name;
  const char *chain;
  struct learnt_beat {
    int64_t system_s;
    const char *head; /* of the reply; NULL ends the row */
    hbeat_error error;
    const char *says[3];
    time_t wait_s; /* before this beat */
  } beats[BEATS_MAX];
  int64_t floor_s;
};

#define OK_HEAD "HTTP/1.1 200 OK\r\n"
#define DATE_2023 OK_HEAD "Date: Sun, 01 Jan 2023 00:00:00 GMT\r\n"
#define DATE_2026 PEER_HEAD
#define DATE_2027 OK_HEAD "Date: Fri, 01 Jan 2027 00:00:00 GMT\r\n"
#define DATE_2099 OK_HEAD "Date: Thu, 01 Jan 2099 00:00:00 GMT\r\n"

static const struct learnt_row learnt_rows[] = {
    {"the system falls back to 1970", .chain = "server",
        .beats = {{.system_s = Y2026_S, .head = DATE_2026},
            {.system_s = 0, .head = DATE_2026},
            {.system_s = 0, .head = DATE_2026}}},
    {"to the second", .chain = "begins-then",
        .beats = {{.system_s = Y2026_S, .head = DATE_2026},
            {.system_s = Y2026_S - 1, .head = DATE_2026}}},
    {"nothing is learnt without a Date", .chain = "server",
        .beats = {{.system_s = Y2026_S, .head = OK_HEAD},
            {.system_s = 0, .head = OK_HEAD, EARLY("1970-01-01", "system")}}},
    {"nothing is learnt of a Date that is none", .chain = "server",
        .beats = {{.system_s = Y2026_S, .head = OK_HEAD "Date: today\r\n"},
            {.system_s = 0, .head = OK_HEAD, EARLY("1970-01-01", "system")}}},
    {"an earlier Date does not hold the clock back", .chain = "begins-then",
        .beats = {{.system_s = Y2026_S, .head = DATE_2023},
            {.system_s = Y2026_S, .head = DATE_2023}}},
    {"an earlier Date is still later than 1970", .chain = "begins-then",
        .beats = {{.system_s = Y2026_S, .head = DATE_2023},
            {.system_s = 0, .head = DATE_2023, EARLY("2023-01-01", "server")}}},
    {"the last Date counts, not the latest", .chain = "begins-then",
        .beats = {{.system_s = Y2026_S, .head = DATE_2027},
            {.system_s = 0, .head = DATE_2023},
            {.system_s = 0, .head = DATE_2023, EARLY("2023-01-01", "server")}}},
    {"the server's clock goes on", .chain = "begins-then",
        .beats = {{.system_s = Y2026_S,
                      .head =
                          OK_HEAD "Date: Wed, 07 Jan 2026 00:15:09 GMT\r\n"},
            {.system_s = 0,
                .head = DATE_2026,
                EARLY("2026-01-07", "server"),
                .wait_s = 1},
            {.system_s = 0, .head = DATE_2026, .wait_s = 9}}},
    {"the server's clock goes past the end", .chain = "ends-then",
        .beats = {{.system_s = 0,
                      .head =
                          OK_HEAD "Date: Wed, 07 Jan 2026 00:00:00 GMT\r\n"},
            {.system_s = 0, .head = DATE_2026, .wait_s = 60},
            {.system_s = 0,
                .head = DATE_2026,
                LATE("2026-01-08", "server"),
                .wait_s = 86400}},
        .floor_s = Y2024_S},
    {"a Date past the server's certificate", .chain = "ends-then",
        .beats = {{.system_s = Y2026_S, .head = DATE_2027},
            {.system_s = Y2026_S, .head = DATE_2027},
            {.system_s = 0, .head = DATE_2027, EARLY("1970-01-01", "system")}}},
    {"the system's clock overtakes", .chain = "ends-then",
        .beats = {{.system_s = Y2024_S, .head = DATE_2026},
            {.system_s = Y2027_S,
                .head = DATE_2026,
                LATE("2027-01-01", "system")}}},
    {"the floor is higher than what was learnt", .chain = "begins-then",
        .beats = {{.system_s = 0, .head = DATE_2023},
            {.system_s = 0, .head = DATE_2023}},
        .floor_s = Y2026_S},
    {"a Date of 2099", .chain = "to-9999",
        .beats = {{.system_s = Y2026_S, .head = DATE_2099},
            {.system_s = 0, .head = DATE_2099}}},
    {"a Date of 2099, and a certificate to 2049", .chain = "server",
        .beats = {{.system_s = Y2026_S, .head = DATE_2099},
            {.system_s = 0, .head = DATE_2099, EARLY("1970-01-01", "system")}}},
    {"a Date beside an error", .chain = "server",
        .beats = {{.system_s = Y2026_S,
                      .head = "HTTP/1.1 503 Service Unavailable\r\n"
                              "Date: Wed, 07 Jan 2026 00:15:19 GMT\r\n",
                      .error = HBEAT_ERR_STATUS},
            {.system_s = 0, .head = DATE_2026}}},
};

/* The replies of a row, each the last on its connection. */
static size_t make_turns(
    const struct learnt_row *row, struct peer_turn turns[BEATS_MAX]) {
  static char replies[BEATS_MAX][512];
  size_t count = 0;

  for (int i = 0; i < BEATS_MAX && row->beats[i].head; i++) {
    if (row->beats[i].error == HBEAT_ERR_CERT_TIME) continue;
    snprintf(replies[count], sizeof replies[count],
        "%sContent-Length: 16\r\n\r\n" PEER_BODY, row->beats[i].head);
    turns[count] =
        (struct peer_turn){.reply = replies[count], .end = PEER_NOTIFIES};
    count++;
  }
  return count;
}

static void is_learnt(void **state) {
  const struct learnt_row *row = *state;
  struct peer_turn turns[BEATS_MAX];
  struct peer_script script = {.chain = row->chain, .turns = turns};
  static struct player p;

  script.turn_count = make_turns(row, turns);
  player_configure(&p, peer_start(&script));
  p.cfg.clock_floor_s = row->floor_s;
  assert_int_equal(hbeat_init(&p.client, &p.cfg), HBEAT_OK);
  for (int i = 0; i < BEATS_MAX && row->beats[i].head; i++) {
    const struct learnt_beat *beat = &row->beats[i];

    system_s = beat->system_s;
    gone_by_s += beat->wait_s;
    player_expect(&p, &player_beat, beat->error);
    assert_int_equal(peer_log()->accepted, i + 1);
    if (beat->error == HBEAT_ERR_CERT_TIME) check_words(&p, beat->says);
    else assert_int_equal(p.reply.connection, HBEAT_CONNECTION_NEW);
  }
  hbeat_close(&p.client);
}

/* A connection may be kept for months, and then end. */
static void a_kept_connection_tells_the_time(void **state) {
  static const struct peer_turn turns[] = {
      {.reply = OK_HEAD "Content-Length: 16\r\n\r\n" PEER_BODY},
      {.end = PEER_NOTIFIES},
      {0},
  };
  static const struct peer_script script = {
      .turns = turns, .turn_count = COUNT(turns)};
  static struct player p;

  (void)state;
  player_open(&p, peer_start(&script));
  system_s = Y2026_S;
  player_expect(&p, &player_beat, HBEAT_OK);
  player_expect(&p, &player_beat, HBEAT_OK);
  assert_int_equal(peer_log()->accepted, 1);
  system_s = 0;
  player_expect(&p, &player_beat, HBEAT_OK);
  assert_int_equal(peer_log()->accepted, 2);
  hbeat_close(&p.client);
}

/* What one client has learnt goes with it. */
static void a_new_client_has_learnt_nothing(void **state) {
  static const struct peer_script good = {0};
  static const char *const says[3] = {
      "is not valid yet", "1970-01-01", "system"};
  static struct player p;
  uint16_t port = peer_start(&good);

  (void)state;
  system_s = Y2026_S;
  player_open(&p, port);
  player_expect(&p, &player_beat, HBEAT_OK);
  hbeat_close(&p.client);
  system_s = 0;
  player_open(&p, port);
  player_expect(&p, &player_beat, HBEAT_ERR_CERT_TIME);
  check_words(&p, says);
  hbeat_close(&p.client);
}

/* ---- Not the server's clock ------------------------------------------- */

static int stop_both(void **state) {
  relay_stop(state);
  return peer_stop(state);
}

#define IN_2099 "Date: Thu, 01 Jan 2099 00:00:00 GMT\r\n"

/* A proxy that lives in 2099, and refuses the first who asks. */
static const struct relay_turn proxy_turns[] = {
    {.reply =
            "HTTP/1.1 502 Bad Gateway\r\n" IN_2099 "Content-Length: 0\r\n\r\n",
        .then = RELAY_FINISHES},
    {.reply = "HTTP/1.1 200 OK\r\n" IN_2099 "\r\n"},
};

/* Its words came without TLS: anybody's. */
static void a_proxy_does_not_tell_the_time(void **state) {
  static const struct peer_turn turns[] = {
      {.reply = OK_HEAD "Content-Length: 16\r\n\r\n" PEER_BODY,
          .end = PEER_NOTIFIES},
      {0},
  };
  static const struct peer_script script = {
      .turns = turns, .turn_count = COUNT(turns)};
  static const int64_t times_s[] = {HBEAT_NONE, HBEAT_NONE, PEER_TIME_S};
  static const int64_t offsets_s[] = {HBEAT_NONE, HBEAT_NONE, 0};
  static const struct relay_script proxy = {
      .turns = proxy_turns, .turn_count = COUNT(proxy_turns)};
  static struct player p;

  (void)state;
  player_configure_proxy(&p, relay_start(&proxy, peer_start(&script)));
  assert_int_equal(hbeat_init(&p.client, &p.cfg), HBEAT_OK);
  system_s = Y2026_S;
  for (int i = 0; i < 3; i++) {
    player_expect(&p, &player_beat, i == 0 ? HBEAT_ERR_PROXY : HBEAT_OK);
    assert_int_equal(p.reply.http_status, i == 0 ? 502 : 200);
    assert_int_equal(p.reply.server_time_s, times_s[i]);
    assert_int_equal(p.reply.clock_offset_s, offsets_s[i]);
  }
  assert_int_equal(peer_log()->accepted, 2);
  hbeat_close(&p.client);
}

/* ---- How far the system's clock is off -------------------------------- */

struct offset_row {
  const char *name;
  int64_t system_s;
  const char *head;
  hbeat_error error;
  int64_t offset_s;
  const char *chain; /* NULL: server, to 2049 */
};

static const struct offset_row offset_rows[] = {
    {"the clock is right", .system_s = Y2026_S, .head = DATE_2026,
        .offset_s = 0},
    {"the clock is an hour slow", .system_s = Y2026_S - 3600, .head = DATE_2026,
        .offset_s = 3600},
    {"the clock is an hour fast", .system_s = Y2026_S + 3600, .head = DATE_2026,
        .offset_s = -3600},
    {"the clock is in 1970", .system_s = 0, .head = DATE_2026,
        .offset_s = Y2026_S},
    {"the clock is in 2035", .system_s = Y2035_S, .head = DATE_2026,
        .offset_s = Y2026_S - Y2035_S},
    {"no Date", .system_s = Y2026_S, .head = OK_HEAD, .offset_s = HBEAT_NONE},
    {"no Date, and 1970", .system_s = 0, .head = OK_HEAD,
        .offset_s = HBEAT_NONE},
    {"a Date that is none", .system_s = Y2026_S,
        .head = OK_HEAD "Date: today\r\n", .offset_s = HBEAT_NONE},
    {"beside an error", .system_s = 0,
        .head = "HTTP/1.1 429 Too Many Requests\r\n"
                "Date: Wed, 07 Jan 2026 00:15:19 GMT\r\n",
        .error = HBEAT_ERR_STATUS, .offset_s = Y2026_S},
    /* Past the server's own certificate its clock cannot be right. */
    {"a Date past the certificate", .system_s = Y2026_S, .head = DATE_2099,
        .offset_s = HBEAT_NONE},
    {"a Date past the certificate, and 1970", .system_s = 0, .head = DATE_2099,
        .offset_s = HBEAT_NONE},
    {"a Date past the certificate, beside an error", .system_s = Y2026_S,
        .head = "HTTP/1.1 429 Too Many Requests\r\n"
                "Date: Thu, 01 Jan 2099 00:00:00 GMT\r\n",
        .error = HBEAT_ERR_STATUS, .offset_s = HBEAT_NONE},
    {"a Date just before the certificate's end", .system_s = Y2024_S,
        .head = OK_HEAD "Date: Wed, 07 Jan 2026 00:15:18 GMT\r\n",
        .offset_s = Y2026_S - 1 - Y2024_S, .chain = "ends-then"},
    {"a Date just past the certificate's end", .system_s = Y2024_S,
        .head = OK_HEAD "Date: Wed, 07 Jan 2026 00:15:20 GMT\r\n",
        .offset_s = HBEAT_NONE, .chain = "ends-then"},
    {"a Date of 2099, and a certificate to 9999", .system_s = Y2026_S,
        .head = DATE_2099, .offset_s = Y2099_S - Y2026_S, .chain = "to-9999"},
    {"a Date before the certificate begins", .system_s = Y2026_S,
        .head = DATE_2023, .offset_s = Y2023_S - Y2026_S,
        .chain = "begins-then"},
};

/* The floor lets it in; the offset is the system's all the same. */
static void is_offset(void **state) {
  const struct offset_row *row = *state;
  char reply[512];
  struct peer_turn turn = {.reply = reply};
  struct peer_script script = {
      .chain = row->chain, .turns = &turn, .turn_count = 1};
  static struct player p;

  snprintf(
      reply, sizeof reply, "%sContent-Length: 16\r\n\r\n" PEER_BODY, row->head);
  system_s = row->system_s;
  player_configure(&p, peer_start(&script));
  p.cfg.clock_floor_s = Y2024_S;
  assert_int_equal(hbeat_init(&p.client, &p.cfg), HBEAT_OK);
  player_expect(&p, &player_beat, row->error);
  for (int i = 0; i < 2; i++) { /* the second on the connection kept */
    if (p.reply.clock_offset_s != row->offset_s)
      fail_msg("wanted an offset of %lld, got %lld", (long long)row->offset_s,
          (long long)p.reply.clock_offset_s);
    if (i == 0) player_expect(&p, &player_beat, row->error);
  }
  assert_int_equal(peer_log()->accepted, 1);
  hbeat_close(&p.client);
}

/* What never began has no offset. */
static void no_server_no_offset(void **state) {
  static const struct peer_script script = {.chain = "expired"};
  static struct player p;

  (void)state;
  system_s = Y2026_S;
  player_open(&p, peer_start(&script));
  player_expect(&p, &player_beat, HBEAT_ERR_CERT_TIME);
  assert_int_equal(p.reply.server_time_s, HBEAT_NONE);
  assert_int_equal(p.reply.clock_offset_s, HBEAT_NONE);
  hbeat_close(&p.client);
}

int main(void) {
  static const struct CMUnitTest named[] = {
      TEST(a_kept_connection_tells_the_time),
      TEST(a_new_client_has_learnt_nothing),
      TEST(no_server_no_offset),
      {"a_proxy_does_not_tell_the_time", a_proxy_does_not_tell_the_time, NULL,
          stop_both, NULL},
  };
  static struct CMUnitTest tests[COUNT(named) + COUNT(system_rows) +
      COUNT(late_rows) + COUNT(floor_rows) + COUNT(learnt_rows) +
      COUNT(offset_rows)];
  struct CMUnitTest *to = tests + COUNT(named);

  syscalls_go_through(see_to);
  memcpy(tests, named, sizeof named);
  to = ROWS(to, is_row, system_rows);
  to = ROWS(to, is_row, floor_rows);
  to = ROWS(to, is_learnt, learnt_rows);
  to = ROWS(to, is_offset, offset_rows);
  if (sizeof(time_t) >= sizeof(int64_t)) ROWS(to, is_row, late_rows);
  else
    printf("# note: time_t has %zu bits: no system's clock past 2038\n",
        8 * sizeof(time_t));
  return cmocka_run_group_tests(tests, NULL, NULL);
}
