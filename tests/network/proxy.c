/*
 * A proxy between the client and the server: what it is asked, what it may
 * answer, and that it sees nothing but TLS.  The relay is that proxy; behind it
 * stands the peer.
 */
#define _DEFAULT_SOURCE
#include "loopback.h"
#include "peer.h"
#include "relay.h"
#include "virtual.h"

#include <errno.h>
#include <poll.h>
#include <unistd.h>

#define ESTABLISHED RELAY_ESTABLISHED
#define CONNECT(where) "CONNECT " where " HTTP/1.1\r\nHost: " where "\r\n"
#define TO_API CONNECT("api.lucit.app:443")
#define BASIC "Proxy-Authorization: Basic "

/* A login, and the parts of it that no text may hold. */
#define PASSWORD "open sesame"
#define LOGIN "kiosk:" PASSWORD
#define LOGIN_BASE64 "a2lvc2s6b3BlbiBzZXNhbWU="

/* ---- What the proxy saw ------------------------------------------------ */

/* Waits until the proxy has seen the last of so many connections. */
static void await_end_of(unsigned count) {
  for (int i = 0; i < 30000 && relay_log()->ended < count; i++) nap_ms(1);
  assert_int_equal(relay_log()->ended, count);
  assert_int_equal(relay_log()->accepted, count);
}

static bool came(const char *text) {
  const struct relay_log *log = relay_log();
  size_t size = strlen(text), at = 0;

  while (at + size <= log->size && memcmp(log->came + at, text, size) != 0)
    at++;
  return at + size <= log->size;
}

/* How often the proxy was asked for a tunnel. */
static unsigned asked(void) {
  const struct relay_log *log = relay_log();
  unsigned count = 0;

  for (size_t at = 0; at + 8 <= log->size; at++)
    count += memcmp(log->came + at, "CONNECT ", 8) == 0;
  return count;
}

/* The first CONNECT is this, and TLS or, if `alone`, nothing follows it. */
static void check_connect(const char *lines, const char *fields, bool alone) {
  const struct relay_log *log = relay_log();
  char want[1024];
  size_t size = (size_t)snprintf(want, sizeof want, "%s%s\r\n", lines, fields);

  if (log->size < size || memcmp(log->came, want, size) != 0)
    fail_msg("the proxy was asked:\n%.600s\nand not:\n%s", log->came, want);
  if (alone) assert_int_equal(log->size, size);
  else assert_int_equal(log->came[size], 0x16); /* a handshake record */
}

/* Whatever happened, the proxy got the heads it should and TLS, no more. */
static void check_secrets(struct player *p) {
  const char *const secrets[] = {
      player_token, "Bearer", p->cfg.device, p->cfg.app, "lightning"};

  assert_int_equal(relay_log()->early, 0);
  for (size_t i = 0; i < COUNT(secrets); i++)
    if (came(secrets[i])) fail_msg("the proxy was told %s", secrets[i]);
  if (strstr(hbeat_explain(&p->client), PASSWORD) ||
      strstr(hbeat_explain(&p->client), LOGIN_BASE64))
    fail_msg("the login is told: %s", hbeat_explain(&p->client));
}

static void init(struct player *p) {
  hbeat_error e = hbeat_init(&p->client, &p->cfg);

  if (e != HBEAT_OK) fail_msg("%s", hbeat_explain(&p->client));
}

/* Of a reply, what a proxy may leave there: its status, and nothing else. */
static void check_empty(const struct player *p, int status) {
  const hbeat_reply *r = &p->reply;

  assert_int_equal(r->http_status, status);
  assert_false(r->success);
  assert_int_equal(r->connection, HBEAT_CONNECTION_NONE);
  assert_int_equal(r->retry_after_s, HBEAT_NONE);
  assert_int_equal(r->server_time_s, HBEAT_NONE);
  assert_int_equal(r->clock_offset_s, HBEAT_NONE);
  assert_null(r->message);
  assert_null(r->instruction.name);
}

static const struct peer_script good_server = {0};
static const struct relay_script good_proxy = {0};

/* ---- What the proxy is asked ------------------------------------------ */

struct host_row {
  const char *name;
  const char *host;
  uint16_t port;
  const char *lines;
};

static const struct host_row host_rows[] = {
    {"the API", .lines = TO_API},
    {"another host", .host = "localhost", .lines = CONNECT("localhost:443")},
    {"a dot behind the host", .host = "api.lucit.app.", .lines = TO_API},
    {"the usual port", .port = 443, .lines = TO_API},
    {"another port", .port = 8443, .lines = CONNECT("api.lucit.app:8443")},
    {"the last port", .port = 65535, .lines = CONNECT("api.lucit.app:65535")},
};

static void is_asked_for(void **state) {
  const struct host_row *row = *state;
  static struct player p;

  player_configure_proxy(
      &p, relay_start(&good_proxy, peer_start(&good_server)));
  p.cfg.host = row->host;
  p.cfg.port = row->port;
  init(&p);
  player_expect(&p, &player_beat, HBEAT_OK);
  assert_int_equal(p.reply.connection, HBEAT_CONNECTION_NEW);
  assert_int_equal(p.reply.http_status, 200);
  assert_int_equal(p.reply.server_time_s, PEER_TIME_S);
  hbeat_close(&p.client);
  await_end_of(1);
  assert_int_equal(peer_log()->requests, 1);
  assert_int_equal(asked(), 1);
  check_connect(row->lines, "", false);
  check_secrets(&p);
}

/* RFC 7617 has two of these. */
struct login_row {
  const char *name;
  const char *login, *base64;
  unsigned more;                  /* times "xxx" behind it, and so "eHh4" ... */
  const char *tail, *tail_base64; /* NULL: nothing more */
};

static const struct login_row login_rows[] = {
    {"3 bytes", .login = "a:b", .base64 = "YTpi"},
    {"4 bytes", .login = "ab:c", .base64 = "YWI6Yw=="},
    {"5 bytes", .login = "ab:cd", .base64 = "YWI6Y2Q="},
    {"a space", .login = "Aladdin:open sesame",
        .base64 = "QWxhZGRpbjpvcGVuIHNlc2FtZQ=="},
    {"UTF-8", .login = "test:123\xC2\xA3", .base64 = "dGVzdDoxMjPCow=="},
    {"all bits", .login = "\xFB\xEF:\xFF\xFF\xFF", .base64 = "++86////"},
    {"colons in the password", .login = "a:b:c", .base64 = "YTpiOmM="},
    {"no password", .login = "user:", .base64 = "dXNlcjo="},
    {"no user", .login = ":password", .base64 = "OnBhc3N3b3Jk"},
    {"253 bytes", .login = "a:b", .base64 = "YTpi", .more = 83, .tail = "x",
        .tail_base64 = "eA=="},
    {"254 bytes", .login = "a:b", .base64 = "YTpi", .more = 83, .tail = "xx",
        .tail_base64 = "eHg="},
    {"255 bytes", .login = "a:b", .base64 = "YTpi", .more = 84},
};

static void is_login(void **state) {
  static const struct relay_turn refuses = {
      .reply = "HTTP/1.1 407 No\r\n\r\n", .then = RELAY_STAYS};
  static const struct relay_script script = {
      .turns = &refuses, .turn_count = 1};
  const struct login_row *row = *state;
  static struct player p;
  char login[300], fields[512];
  size_t n, k;

  player_configure_proxy(&p, relay_start(&script, 0));
  n = (size_t)snprintf(login, sizeof login, "%s", row->login);
  k = (size_t)snprintf(fields, sizeof fields, BASIC "%s", row->base64);
  for (unsigned i = 0; i < row->more; i++, n += 3, k += 4) {
    memcpy(login + n, "xxx", 4);
    memcpy(fields + k, "eHh4", 5);
  }
  if (row->tail) strcat(login, row->tail);
  if (row->tail) strcat(fields, row->tail_base64);
  strcat(fields, "\r\n");
  p.cfg.proxy_login = login;
  init(&p);
  player_expect(&p, &player_beat, HBEAT_ERR_PROXY);
  await_end_of(1);
  check_connect(TO_API, fields, true);
  assert_null(strstr(hbeat_explain(&p.client), login));
  hbeat_close(&p.client);
}

/* ---- Replies that open the tunnel ------------------------------------- */

/* A field line of 100 bytes. */
#define X20 "xxxxxxxxxxxxxxxxxxxx"
#define FIELD_100 "X-Filler: 12345678" X20 X20 X20 X20 "\r\n"

struct reply_row {
  const char *name;
  struct relay_turn turn;
  int status; /* where it is no tunnel: what the player is told */
};

/* A head of these parts. */
#define HEAD(status, fields) "HTTP/1.1 " status "\r\n" fields "\r\n"
#define LENGTH(n) "Content-Length: " n "\r\n"
#define CHUNKED "Transfer-Encoding: chunked\r\n"
#define IN_2100 "Date: Fri, 01 Jan 2100 00:00:00 GMT\r\n"

#define OPENS(text) .turn = {.reply = text}

static const struct reply_row open_rows[] = {
    {"HTTP/1.1 200", OPENS("HTTP/1.1 200 Connection established\r\n\r\n")},
    {"HTTP/1.0 200", OPENS("HTTP/1.0 200 Connection established\r\n\r\n")},
    {"no reason", OPENS("HTTP/1.1 200 \r\n\r\n")},
    {"no space for a reason", OPENS("HTTP/1.1 200\r\n\r\n")},
    {"204", OPENS(HEAD("204 No Content", ""))},
    {"299", OPENS(HEAD("299 Why not", ""))},
    {"100 before it", OPENS(HEAD("100 Continue", "") ESTABLISHED)},
    {"103 and 100 before it",
        OPENS(
            HEAD("103 Hints", LENGTH("9")) HEAD("100 Go on", "") ESTABLISHED)},
    {"Content-Length", OPENS(HEAD("200 OK", LENGTH("5")))},
    {"Content-Length: 0", OPENS(HEAD("200 OK", LENGTH("0")))},
    {"Content-Length of letters", OPENS(HEAD("200 OK", LENGTH("all")))},
    {"two lengths", OPENS(HEAD("200 OK", LENGTH("1") LENGTH("2")))},
    {"chunked", OPENS(HEAD("200 OK", CHUNKED))},
    {"chunked in HTTP/1.0", OPENS("HTTP/1.0 200 OK\r\n" CHUNKED "\r\n")},
    {"chunked and a length", OPENS(HEAD("200 OK", CHUNKED LENGTH("5")))},
    {"another coding", OPENS(HEAD("200 OK", "Transfer-Encoding: x\r\n"))},
    {"Connection: close", OPENS(HEAD("200 OK", "Connection: close\r\n"))},
    {"a date", OPENS(HEAD("200 OK", IN_2100 "Retry-After: 99\r\n"))},
    {"a head of 30 KB",
        .turn = {.reply = "HTTP/1.1 200 OK\r\n",
            .again = FIELD_100,
            .times = 300,
            .tail = "\r\n"}},
    {"byte by byte", .turn = {.reply = ESTABLISHED, .drip_ms = 1}},
};

/*
 * What stands behind the tunnel is not TLS, which the player then sees: that
 * saves the handshake, where only the tunnel matters.
 */
static void is_open(void **state) {
  static const struct peer_script no_server = {.raw = "no", .raw_size = 2};
  const struct reply_row *row = *state;
  struct relay_script script = {.turns = &row->turn, .turn_count = 1};
  static struct player p;
  int before;

  player_configure_proxy(&p, relay_start(&script, peer_start(&no_server)));
  before = open_descriptors();
  init(&p);
  player_expect(&p, &player_beat, HBEAT_ERR_TLS);
  assert_int_equal(open_descriptors(), before);
  check_empty(&p, 0);
  await_end_of(1);
  check_connect(TO_API, "", false);
  check_secrets(&p);
  hbeat_close(&p.client);
}

/* ---- Replies that do not ---------------------------------------------- */

#define REFUSES(text)                                                          \
  { .reply = text, .then = RELAY_STAYS }
#define LEAVES(text)                                                           \
  { .reply = text, .then = RELAY_FINISHES }
#define BREAKS(text)                                                           \
  { .reply = text, .then = RELAY_RESETS }
#define REPEATS(first, piece, count, last)                                     \
  {                                                                            \
    .reply = first, .again = piece, .times = count, .tail = last,              \
    .then = RELAY_STAYS                                                        \
  }
#define NO "HTTP/1.1 407 No\r\n\r\n"

static const struct reply_row refusal_rows[] = {
    /* refusals */
    {"407", .turn = REFUSES(HEAD("407 No", "Proxy-Authenticate: Basic\r\n")),
        .status = 407},
    {"407 and half a page", .turn = REFUSES(HEAD("407 No", LENGTH("99")) "<p>"),
        .status = 407},
    {"407, chunked", .turn = REFUSES(HEAD("407 No", CHUNKED) "2\r\nNo\r\n"),
        .status = 407},
    {"407, and gone", .turn = LEAVES(NO), .status = 407},
    {"407, and broken off", .turn = BREAKS(NO), .status = 407},
    {"407 behind 199", .turn = REFUSES(HEAD("199 Well", "") NO), .status = 407},
    {"407 in 30 KB",
        .turn = REPEATS("HTTP/1.1 407 No\r\n", FIELD_100, 300, "\r\n"),
        .status = 407},
    {"407 byte by byte",
        .turn = {.reply = NO, .drip_ms = 1, .then = RELAY_STAYS},
        .status = 407},
    {"403 and a page",
        .turn = LEAVES(HEAD("403 Forbidden", "") "<!DOCTYPE html>"),
        .status = 403},
    {"403 of HTTP/1.0", .turn = LEAVES("HTTP/1.0 403 Forbidden\r\n\r\n"),
        .status = 403},
    {"403 and JSON like the API's",
        .turn = LEAVES(HEAD(
            "403 No", LENGTH("30")) "{\"success\":true,\"message\":\"x\"}"),
        .status = 403},
    {"400", .turn = LEAVES(HEAD("400 Bad Request", "")), .status = 400},
    {"401", .turn = REFUSES(HEAD("401 Unauthorized", "")), .status = 401},
    {"502", .turn = REFUSES(HEAD("502 Bad Gateway", "")), .status = 502},
    {"503 with Retry-After and Date",
        .turn = REFUSES(HEAD("503 Busy", "Retry-After: 120\r\n" IN_2100)),
        .status = 503},
    {"302 to a log-in",
        .turn = REFUSES(HEAD("302 Found", "Location: http://portal/\r\n")),
        .status = 302},
    {"304", .turn = REFUSES(HEAD("304 Not Modified", "")), .status = 304},

    /* bytes behind the head, before the player has said a word */
    {"a byte behind the head", .turn = REFUSES(ESTABLISHED "x"), .status = 200},
    {"a body behind the head",
        .turn = REFUSES(HEAD("200 OK", LENGTH("4")) "body"), .status = 200},
    {"an alert behind the head", .turn = REFUSES(ESTABLISHED "\x15\x03\x03"),
        .status = 200},
    {"a second head behind the head", .turn = REFUSES(ESTABLISHED ESTABLISHED),
        .status = 200},

    /* no HTTP */
    {"SSH", .turn = REFUSES("SSH-2.0-OpenSSH_9.2\r\n")},
    {"SMTP", .turn = REFUSES("220 mail.example ESMTP\r\n")},
    {"an alert of TLS", .turn = LEAVES("\x15\x03\x03\x01\x02\x02\x46\r\n")},
    {"a page without a head", .turn = LEAVES("<!DOCTYPE html>\r\n<html>\r\n")},
    {"HTTP/2", .turn = REFUSES("HTTP/2 200\r\n\r\n")},
    {"HTTP/0.9", .turn = REFUSES("HTTP/0.9 200 OK\r\n\r\n")},
    {"two digits", .turn = REFUSES(HEAD("20 OK", ""))},
    {"four digits", .turn = REFUSES(HEAD("2000 OK", ""))},
    {"a status of 600", .turn = REFUSES(HEAD("600 OK", ""))},
    {"a status of 000", .turn = REFUSES(HEAD("000 OK", ""))},
    {"a space first", .turn = REFUSES(" " ESTABLISHED)},
    {"an empty line first", .turn = REFUSES("\r\n" ESTABLISHED)},
    {"LF alone", .turn = REFUSES("HTTP/1.1 200 OK\n\n")},
    {"CR alone", .turn = REFUSES("HTTP/1.1 200 OK\rX: y\r\n\r\n")},
    {"a control byte", .turn = REFUSES(HEAD("200 \x01", ""))},
    {"101", .turn = REFUSES(HEAD("101 Switching Protocols", "")),
        .status = 101},
    {"a folded line", .turn = REFUSES(HEAD("200 OK", "X: a\r\n b\r\n")),
        .status = 200},
    {"a field without a colon", .turn = REFUSES(HEAD("200 OK", "X\r\n")),
        .status = 200},
    {"a space before the colon", .turn = REFUSES(HEAD("200 OK", "X : y\r\n")),
        .status = 200},

    /* too much of it */
    {"a head of 40 KB",
        .turn = REPEATS("HTTP/1.1 200 OK\r\n", FIELD_100, 400, "\r\n"),
        .status = 200},
    {"a reason of 40 KB",
        .turn = REPEATS("HTTP/1.1 200 ", X20, 2000, "\r\n\r\n")},
    {"2,000 times 100",
        .turn = REPEATS("", HEAD("100 Go on", ""), 2000, ESTABLISHED)},

    /* an early end */
    {"FIN at once", .turn = LEAVES("")},
    {"RST at once", .turn = BREAKS("")},
    {"FIN in the status line", .turn = LEAVES("HTTP/1.1 2")},
    {"RST in the status line", .turn = BREAKS("HTTP/1.1 2")},
    {"FIN within the head", .turn = LEAVES("HTTP/1.1 200 OK\r\nX: y\r\n"),
        .status = 200},
    {"RST within the head", .turn = BREAKS("HTTP/1.1 200 OK\r\nX: y\r\n"),
        .status = 200},
    {"FIN before the last LF", .turn = LEAVES("HTTP/1.1 200 OK\r\n\r"),
        .status = 200},
    {"FIN behind 100", .turn = LEAVES(HEAD("100 Continue", ""))},
};

static void is_refusal(void **state) {
  const struct reply_row *row = *state;
  struct relay_script script = {.turns = &row->turn, .turn_count = 1};
  static struct player p;
  int before;

  player_configure_proxy(&p, relay_start(&script, 0));
  p.cfg.proxy_login = LOGIN;
  before = open_descriptors();
  init(&p);
  player_expect(&p, &player_beat, HBEAT_ERR_PROXY);
  assert_int_equal(open_descriptors(), before);
  check_empty(&p, row->status);
  await_end_of(1);
  check_connect(TO_API, BASIC LOGIN_BASE64 "\r\n", true);
  check_secrets(&p);
  hbeat_close(&p.client);
}

/* Row: what the proxy says, and what the text makes of it. */
static const struct wants_row {
  const char *name;
  struct relay_turn turn;
  const char *says;
  const char *says_not;
} wants_rows[] = {
    {"wants: 407", .turn = REFUSES(NO),
        .says = "it wants another user or password (HTTP 407)"},
    {"wants: 407, Basic",
        .turn =
            REFUSES(HEAD("407 No", "Proxy-Authenticate: Basic realm=x\r\n")),
        .says = "it wants another user or password (HTTP 407)"},
    {"wants: 407, NTLM",
        .turn = REFUSES(HEAD("407 No",
            "Proxy-Authenticate: Negotiate\r\nProxy-Authenticate: NTLM\r\n")),
        .says = "it wants NTLM, Negotiate or Digest, not Basic (HTTP 407)"},
    {"wants: 407, Digest",
        .turn = REFUSES(HEAD("407 No",
            "Proxy-Authenticate: Digest realm=\"x\", nonce=\"y\"\r\n")),
        .says = "not Basic"},
    {"wants: 407, NTLM or Basic",
        .turn = REFUSES(HEAD("407 No",
            "Proxy-Authenticate: NTLM\r\nProxy-Authenticate: basic\r\n")),
        .says = "it wants another user or password"},
    {"wants: 403", .turn = REFUSES(HEAD("403 No", "")), .says = "(HTTP 403)",
        .says_not = "password"},
};

static void is_wanted(void **state) {
  const struct wants_row *row = *state;
  struct relay_script script = {.turns = &row->turn, .turn_count = 1};
  static struct player p;
  const char *text;

  player_configure_proxy(&p, relay_start(&script, 0));
  init(&p);
  player_expect(&p, &player_beat, HBEAT_ERR_PROXY);
  text = hbeat_explain(&p.client);
  if (!strstr(text, row->says)) fail_msg("no \"%s\" in: %s", row->says, text);
  if (row->says_not && strstr(text, row->says_not)) fail_msg("%s", text);
  hbeat_close(&p.client);
}

/* The reply comes in two pieces, of every size in turn. */
static void a_reply_may_be_split_anywhere(void **state) {
  static const char reply[] = HEAD("100", "") HEAD("407 No", "Date: x\r\n");
  static const struct relay_turn turn = {.reply = reply, .then = RELAY_STAYS};
  static const struct relay_script script = {
      .turns = &turn, .turn_count = 1, .splits = true};
  static struct player p;

  (void)state;
  player_configure_proxy(&p, relay_start(&script, 0));
  init(&p);
  for (size_t at = 1; at < sizeof reply - 1; at++) {
    player_expect(&p, &player_beat, HBEAT_ERR_PROXY);
    check_empty(&p, 407);
  }
  await_end_of(sizeof reply - 2);
  hbeat_close(&p.client);
}

/* ---- Time ------------------------------------------------------------- */

struct silent_row {
  const char *name;
  struct relay_turn turn;
  const char *during;
};

static const struct silent_row silent_rows[] = {
    {"no word", .turn = REFUSES(""), .during = "proxy"},
    {"half a status line", .turn = REFUSES("HTTP/1.1 2"), .during = "proxy"},
    {"half a head", .turn = REFUSES("HTTP/1.1 200 OK\r\nX"), .during = "proxy"},
    {"100 only", .turn = REFUSES("HTTP/1.1 100 Continue\r\n\r\n"),
        .during = "proxy"},
    {"a byte now and then",
        .turn = {.reply = ESTABLISHED, .drip_ms = 25, .nap_ms = clock_nap_ms},
        .during = "proxy"},
    {"no word behind the head", .turn = REFUSES(ESTABLISHED), .during = "TLS"},
};

static void is_silent(void **state) {
  const struct silent_row *row = *state;
  struct relay_script script = {.turns = &row->turn, .turn_count = 1};
  static struct player p;
  uint32_t timeout_ms = 150;
  int64_t took;
  int before;

  player_configure_proxy(&p, relay_start(&script, 0));
  p.cfg.timeout_ms = timeout_ms;
  before = open_descriptors();
  init(&p);
  took = -now_ms();
  player_expect(&p, &player_beat, HBEAT_ERR_TIMEOUT);
  took += now_ms();
  assert_int_equal(took, timeout_ms);
  if (!strstr(hbeat_explain(&p.client), row->during))
    fail_msg("no word of the %s: %s", row->during, hbeat_explain(&p.client));
  check_empty(&p, 0);
  assert_int_equal(open_descriptors(), before);
  check_secrets(&p);
  hbeat_close(&p.client);
}

/* ---- Inside the tunnel ------------------------------------------------ */

static void one_tunnel_serves_many_beats(void **state) {
  static struct player p;
  int before;

  (void)state;
  player_configure_proxy(
      &p, relay_start(&good_proxy, peer_start(&good_server)));
  p.cfg.proxy_login = LOGIN;
  before = open_descriptors();
  init(&p);
  for (int i = 0; i < 10; i++) {
    player_expect(&p, &player_beat, HBEAT_OK);
    assert_int_equal(p.reply.connection,
        i == 0 ? HBEAT_CONNECTION_NEW : HBEAT_CONNECTION_KEPT);
    assert_int_equal(open_descriptors(), before + 1);
  }
  assert_int_equal(peer_log()->requests, 10);
  hbeat_close(&p.client);
  await_end_of(1);
  assert_int_equal(asked(), 1);
  check_connect(TO_API, BASIC LOGIN_BASE64 "\r\n", false);
  check_secrets(&p);
  if (came(PASSWORD)) fail_msg("the password went out as it is");
}

/* A server, or a proxy, that ends the connection: there is a CONNECT a beat. */
static void a_new_connection_is_asked_for_anew(void **state) {
  static const struct peer_turn ends = {.end = PEER_FINISHES};
  static const struct peer_script server = {.turns = &ends, .turn_count = 1};
  static struct player p;

  (void)state;
  player_configure_proxy(&p, relay_start(&good_proxy, peer_start(&server)));
  p.cfg.proxy_login = LOGIN;
  init(&p);
  for (int i = 0; i < 3; i++) {
    player_expect(&p, &player_beat, HBEAT_OK);
    assert_int_not_equal(p.reply.connection, HBEAT_CONNECTION_KEPT);
  }
  assert_int_equal(peer_log()->requests, 3);
  hbeat_close(&p.client);
  await_end_of(3);
  assert_int_equal(asked(), 3);
  check_secrets(&p);
}

/* What proxies say about themselves is not about the tunnel. */
static void a_tunnel_is_kept_whatever_its_head_said(void **state) {
  static const struct relay_turn turn = {
      .reply = "HTTP/1.0 200 OK\r\nConnection: close\r\n"
               "Proxy-Connection: close\r\nContent-Length: 0\r\n\r\n"};
  static const struct relay_script script = {.turns = &turn, .turn_count = 1};
  static struct player p;

  (void)state;
  player_configure_proxy(&p, relay_start(&script, peer_start(&good_server)));
  init(&p);
  player_expect(&p, &player_beat, HBEAT_OK);
  player_expect(&p, &player_beat, HBEAT_OK);
  assert_int_equal(p.reply.connection, HBEAT_CONNECTION_KEPT);
  hbeat_close(&p.client);
  await_end_of(1);
}

/* Certificates would have expired by the date that this proxy gives. */
static void the_date_of_a_proxy_is_not_learnt(void **state) {
  static const struct relay_turn turns[] = {
      {.reply = HEAD("407 No", IN_2100), .then = RELAY_STAYS},
      {.reply = HEAD("200 OK", IN_2100)}};
  static const struct relay_script script = {.turns = turns, .turn_count = 2};
  static const struct peer_turn ends = {
      .reply = "HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\n" PEER_BODY,
      .end = PEER_FINISHES};
  static const struct peer_script server = {.turns = &ends, .turn_count = 1};
  static struct player p;

  (void)state;
  player_configure_proxy(&p, relay_start(&script, peer_start(&server)));
  init(&p);
  player_expect(&p, &player_beat, HBEAT_ERR_PROXY);
  for (int i = 0; i < 2; i++) {
    player_expect(&p, &player_beat, HBEAT_OK);
    assert_int_equal(p.reply.server_time_s, HBEAT_NONE);
    assert_int_equal(p.reply.clock_offset_s, HBEAT_NONE);
  }
  hbeat_close(&p.client);
}

struct cut_row {
  const char *name;
  enum relay_then cut;
  size_t cut_at;
};

/* The server's flight is of about 700 bytes, then 51, and its reply 140. */
static const struct cut_row cut_rows[] = {
    {"FIN behind the head", .cut = RELAY_FINISHES, .cut_at = 0},
    {"RST behind the head", .cut = RELAY_RESETS, .cut_at = 0},
    {"FIN behind a byte", .cut = RELAY_FINISHES, .cut_at = 1},
    {"FIN in the handshake", .cut = RELAY_FINISHES, .cut_at = 300},
    {"RST in the handshake", .cut = RELAY_RESETS, .cut_at = 300},
};

static void is_cut(void **state) {
  const struct cut_row *row = *state;
  struct relay_turn turns[] = {
      {.cut = row->cut, .cut_at = row->cut_at}, {.then = RELAY_TUNNELS}};
  struct relay_script script = {.turns = turns, .turn_count = 2};
  static struct player p;
  int before;

  player_configure_proxy(&p, relay_start(&script, peer_start(&good_server)));
  before = open_descriptors();
  init(&p);
  player_expect(&p, &player_beat, HBEAT_ERR_TLS);
  assert_int_equal(open_descriptors(), before);
  check_empty(&p, 0);
  await_end_of(1);
  hbeat_close(&p.client);
  check_secrets(&p);
}

/* ... and the next beat finds a way again. */
static void a_tunnel_that_died_is_replaced(void **state) {
  static const struct peer_turn turns[] = {
      {.waits = true, .end = PEER_FINISHES},
      {.waits = true, .end = PEER_RESETS}, {.reply = "", .end = PEER_FINISHES},
      {.end = PEER_STAYS}};
  static const struct peer_script server = {.turns = turns, .turn_count = 4};
  static struct player p;

  (void)state;
  player_configure_proxy(&p, relay_start(&good_proxy, peer_start(&server)));
  init(&p);
  player_expect(&p, &player_beat, HBEAT_OK);
  peer_go();
  player_expect(&p, &player_beat, HBEAT_OK);
  peer_go();
  player_expect(&p, &player_beat, HBEAT_ERR_TRUNCATED);
  player_expect(&p, &player_beat, HBEAT_OK);
  player_expect(&p, &player_beat, HBEAT_OK);
  assert_int_equal(p.reply.connection, HBEAT_CONNECTION_KEPT);
  hbeat_close(&p.client);
  await_end_of(4);
  assert_int_equal(asked(), 4);
}

/* A kept tunnel that breaks under a request is replaced within the beat. */
static void a_tunnel_that_dies_under_a_request_is_replaced(void **state) {
  static const struct peer_turn turns[] = {
      {.end = PEER_STAYS}, {.reply = "", .end = PEER_FINISHES}, {.end = 0}};
  static const struct peer_script server = {.turns = turns, .turn_count = 3};
  static struct player p;

  (void)state;
  player_configure_proxy(&p, relay_start(&good_proxy, peer_start(&server)));
  p.cfg.proxy_login = LOGIN;
  init(&p);
  player_expect(&p, &player_beat, HBEAT_OK);
  player_expect(&p, &player_beat, HBEAT_OK);
  assert_int_not_equal(p.reply.connection, HBEAT_CONNECTION_KEPT);
  assert_int_equal(peer_log()->requests, 3);
  hbeat_close(&p.client);
  await_end_of(2);
  assert_int_equal(asked(), 2);
  check_secrets(&p);
}

/* Its replacement may be refused, which the player must be told. */
static void a_replacement_may_be_refused(void **state) {
  static const struct peer_turn turns[] = {
      {.end = PEER_STAYS}, {.reply = "", .end = PEER_FINISHES}};
  static const struct peer_script server = {.turns = turns, .turn_count = 2};
  static const struct relay_turn proxies[] = {{.then = RELAY_TUNNELS},
      {.reply = "HTTP/1.1 503 Busy\r\nRetry-After: 9\r\n\r\n",
          .then = RELAY_STAYS}};
  static const struct relay_script script = {.turns = proxies, .turn_count = 2};
  static struct player p;

  (void)state;
  player_configure_proxy(&p, relay_start(&script, peer_start(&server)));
  init(&p);
  player_expect(&p, &player_beat, HBEAT_OK);
  player_expect(&p, &player_beat, HBEAT_ERR_PROXY);
  check_empty(&p, 503);
  hbeat_close(&p.client);
  await_end_of(2);
}

/* Who ends TLS at the proxy shows a certificate of his own. */
struct spy_row {
  const char *name;
  const char *chain, *anchors;
  hbeat_error error;
};

static const struct spy_row spy_rows[] = {
    {"another name", .chain = "name", .anchors = "ca",
        .error = HBEAT_ERR_CERT_NAME},
    {"another root", .chain = "server", .anchors = "other-ca",
        .error = HBEAT_ERR_CERT_TRUST},
    {"expired", .chain = "expired", .anchors = "ca",
        .error = HBEAT_ERR_CERT_TIME},
};

static void is_spy(void **state) {
  const struct spy_row *row = *state;
  struct peer_script server = {.chain = row->chain};
  const hbeat_anchors *anchors = player_anchors(row->anchors);
  static struct player p;

  player_configure_proxy(&p, relay_start(&good_proxy, peer_start(&server)));
  p.cfg.anchors = anchors->list;
  p.cfg.anchor_count = anchors->count;
  init(&p);
  player_expect(&p, &player_beat, row->error);
  assert_int_equal(peer_log()->requests, 0);
  check_empty(&p, 0);
  await_end_of(1);
  check_secrets(&p);
  hbeat_close(&p.client);
}

/* ---- Where the proxy is ----------------------------------------------- */

/* The first address of the name refuses connections. */
static void a_proxy_has_a_name_and_two_addresses(void **state) {
  static const struct relay_script script = {.address = "127.0.0.3"};
  static struct player p;
  uint16_t port = relay_start(&script, peer_start(&good_server));

  (void)state;
  player_configure_proxy(&p, port);
  p.cfg.proxy = "Proxy.test";
  p.cfg.hosts_path = text_file("127.0.0.1 api.lucit.app\n"
                               "127.0.0.2 proxy.test\n"
                               "127.0.0.3 other proxy.test # kept\n");
  init(&p);
  player_expect(&p, &player_beat, HBEAT_OK);
  player_expect(&p, &player_beat, HBEAT_OK);
  hbeat_close(&p.client);
  await_end_of(1);
  check_connect(TO_API, "", false);
}

static void a_proxy_has_an_ipv6_address(void **state) {
  static const struct relay_script script = {.address = "::1"};
  static struct player p;

  (void)state;
  if (!has_ipv6()) return;
  player_configure_proxy(&p, relay_start(&script, peer_start(&good_server)));
  p.cfg.proxy = "::1";
  init(&p);
  player_expect(&p, &player_beat, HBEAT_OK);
  hbeat_close(&p.client);
  await_end_of(1);
  check_connect(TO_API, "", false);
}

static void nobody_is_there(void **state) {
  static const struct relay_script script = {0};
  static struct player p;
  int before = open_descriptors();

  (void)state;
  player_configure_proxy(&p, relay_start(&script, 0));
  relay_stop(NULL);
  init(&p);
  player_expect(&p, &player_beat, HBEAT_ERR_CONNECT);
  check_empty(&p, 0);
  assert_int_equal(open_descriptors(), before);
  hbeat_close(&p.client);
}

/*
 * Behind a proxy the player may have no nameserver, or one that must not know:
 * here it is this test, at port 53, which is asked for the proxy at most.
 */
static void the_api_is_not_looked_up(void **state) {
  static struct player p;
  unsigned pid = (unsigned)getpid(); /* another run has another address */
  char nameserver[32], query[512];
  int dns;

  (void)state;
  snprintf(
      nameserver, sizeof nameserver, "127.99.%u.%u", pid >> 8 & 255, pid & 255);
  dns = bind_socket(SOCK_DGRAM, nameserver, 53, 0);
  if (dns < 0) fail_msg("cannot listen on port 53: %s", strerror(errno));
  player_configure_proxy(
      &p, relay_start(&good_proxy, peer_start(&good_server)));
  snprintf(query, sizeof query, "nameserver %s\n", nameserver);
  p.cfg.resolv_path = text_file(query);
  init(&p);
  player_expect(&p, &player_beat, HBEAT_OK);
  hbeat_close(&p.client);
  assert_true(recv(dns, query, sizeof query, MSG_DONTWAIT) < 0);

  /* Without the proxy it is, so that would have been seen. */
  p.cfg.proxy = NULL;
  init(&p);
  assert_int_equal(hbeat_start(&p.client, &player_beat, &p.reply), HBEAT_OK);
  for (int i = 0; i < 3; i++) hbeat_step(&p.client);
  assert_true(recv(dns, query, sizeof query, MSG_DONTWAIT) > 0);
  hbeat_close(&p.client);
  close(dns);
}

/* ---- Steps ------------------------------------------------------------ */

/* However far an exchange has come, the next one is as good as any. */
static void a_start_gives_up_what_was_under_way(void **state) {
  static const struct relay_turn slow = {.drip_ms = 1};
  static const struct relay_script script = {.turns = &slow, .turn_count = 1};
  static struct player p;
  int before;

  (void)state;
  player_configure_proxy(&p, relay_start(&script, peer_start(&good_server)));
  before = open_descriptors();
  for (int steps = 0; steps < 8; steps++) {
    init(&p);
    assert_int_equal(hbeat_start(&p.client, &player_beat, &p.reply), HBEAT_OK);
    for (int i = 0; i < steps; i++) {
      hbeat_wait w = hbeat_wants(&p.client);
      struct pollfd on = {w.fd, w.events, 0};

      if (w.fd >= 0) assert_int_equal(poll(&on, 1, w.timeout_ms), 1);
      assert_int_equal(hbeat_step(&p.client), HBEAT_AGAIN);
    }
    if (steps % 4 == 3) player_expect(&p, &player_beat, HBEAT_OK);
    hbeat_close(&p.client);
    assert_int_equal(open_descriptors(), before);
  }
}

/* A step never waits, also while the proxy does. */
static void steps_without_a_poll(void **state) {
  static const struct relay_turn slow = {.drip_ms = 1};
  static const struct relay_script script = {.turns = &slow, .turn_count = 1};
  static struct player p;
  hbeat_error e;

  (void)state;
  player_configure_proxy(&p, relay_start(&script, peer_start(&good_server)));
  init(&p);
  assert_int_equal(hbeat_start(&p.client, &player_beat, &p.reply), HBEAT_OK);
  while ((e = hbeat_step(&p.client)) == HBEAT_AGAIN) continue;
  assert_int_equal(e, HBEAT_OK);
  hbeat_close(&p.client);
  await_end_of(1);
}

/* ---- Arguments -------------------------------------------------------- */

struct argument_row {
  const char *name;
  const char *proxy, *login;
  size_t login_size; /* of a login that is a: and many x */
  const char *address;
  const char *word; /* of the explanation; NULL: all is well */
};

static const struct argument_row argument_rows[] = {
    {"a name", .proxy = "proxy"},
    {"a name with a dot behind", .proxy = "proxy.example."},
    {"IPv4", .proxy = "192.0.2.1"},
    {"IPv6", .proxy = "2001:db8::1"},
    {"a login", .proxy = "proxy", .login = "a:b"},
    {"a login of colons", .proxy = "proxy", .login = "::"},
    {"a login of 255 bytes", .proxy = "proxy", .login_size = 255},
    {"a login of 256 bytes", .proxy = "proxy", .login_size = 256,
        .word = "proxy_login"},
    {"a login of 400 bytes", .proxy = "proxy", .login_size = 400,
        .word = "proxy_login"},
    {"a login without a colon", .proxy = "proxy", .login = "ab",
        .word = "proxy_login"},
    {"an empty login", .proxy = "proxy", .login = "", .word = "proxy_login"},
    {"a login and no proxy", .login = "a:b", .word = "proxy_login"},
    {"an empty name", .proxy = "", .word = "proxy"},
    {"a URL", .proxy = "http://proxy", .word = "proxy"},
    {"a port", .proxy = "proxy:3128", .word = "proxy"},
    {"a user", .proxy = "me@proxy", .word = "proxy"},
    {"a space", .proxy = "pro xy", .word = "proxy"},
    {"a line end", .proxy = "proxy\r\nX: y", .word = "proxy"},
    {"figures out of range", .proxy = "192.0.2.256", .word = "proxy"},
    {"an address beside it", .proxy = "proxy", .address = "192.0.2.1",
        .word = "address"},
};

static void is_argument(void **state) {
  const struct argument_row *row = *state;
  static struct player p;
  char login[512];
  hbeat_error e;

  player_configure_proxy(&p, 3128);
  memset(login, 'x', sizeof login);
  login[1] = ':';
  login[row->login_size] = '\0';
  p.cfg.proxy = row->proxy;
  p.cfg.proxy_login = row->login_size ? login : row->login;
  p.cfg.address = row->address;
  e = hbeat_init(&p.client, &p.cfg);
  if (e != (row->word ? HBEAT_ERR_ARGUMENT : HBEAT_OK) ||
      (row->word && !strstr(hbeat_explain(&p.client), row->word)))
    fail_msg("%s: %s", hbeat_error_name(e), hbeat_explain(&p.client));
  hbeat_close(&p.client);
}

int main(void) {
  static const struct CMUnitTest named[] = {
      TEST(a_reply_may_be_split_anywhere),
      TEST(one_tunnel_serves_many_beats),
      TEST(a_new_connection_is_asked_for_anew),
      TEST(a_tunnel_is_kept_whatever_its_head_said),
      TEST(the_date_of_a_proxy_is_not_learnt),
      TEST(a_tunnel_that_died_is_replaced),
      TEST(a_tunnel_that_dies_under_a_request_is_replaced),
      TEST(a_replacement_may_be_refused),
      TEST(a_proxy_has_a_name_and_two_addresses),
      TEST(a_proxy_has_an_ipv6_address),
      TEST(nobody_is_there),
      TEST(the_api_is_not_looked_up),
      TEST(a_start_gives_up_what_was_under_way),
      TEST(steps_without_a_poll),
  };
  struct CMUnitTest tests[COUNT(named) + COUNT(host_rows) + COUNT(login_rows) +
      COUNT(open_rows) + COUNT(refusal_rows) + COUNT(wants_rows) +
      COUNT(silent_rows) + COUNT(cut_rows) + COUNT(spy_rows) +
      COUNT(argument_rows)];
  struct CMUnitTest *to = tests + COUNT(named);
  int failed;

  clock_begin();
  memcpy(tests, named, sizeof named);
  to = ROWS(to, is_asked_for, host_rows);
  to = ROWS(to, is_login, login_rows);
  to = ROWS(to, is_open, open_rows);
  to = ROWS(to, is_refusal, refusal_rows);
  to = ROWS(to, is_wanted, wants_rows);
  to = ROWS(to, is_silent, silent_rows);
  to = ROWS(to, is_cut, cut_rows);
  to = ROWS(to, is_spy, spy_rows);
  ROWS(to, is_argument, argument_rows);
  failed = cmocka_run_group_tests(tests, NULL, NULL);
  relay_stop(NULL);
  return failed;
}
