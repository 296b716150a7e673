/* TLS: which servers a player talks to, and what it says of the others. */
#define _POSIX_C_SOURCE 200809L
#include "loopback.h"
#include "peer.h"
#include "virtual.h"

#include <errno.h>

/* A server that a player gets its reply from. */
struct good_row {
  const char *name;
  struct peer_script script;
};

#define EC(s)                                                                  \
  { .suite = BR_TLS_ECDHE_ECDSA_WITH_##s }
#define RSA(s)                                                                 \
  {                                                                            \
    .chain = "server-rsa", .key = "server-rsa",                                \
    .suite = BR_TLS_ECDHE_RSA_WITH_##s                                         \
  }

#define TURN(...)                                                              \
  .turns = (const struct peer_turn[]){{__VA_ARGS__}}, .turn_count = 1

/* Bytes behind a ServerHelloDone.  A chain of 3 KB in one record takes more
 * than one read, so that they come with the last of it and wait in the wire
 * while the client has records of its own to send. */
#define BEHIND(bytes) .behind = (bytes), .behind_size = sizeof(bytes) - 1
#define WARNING "\x15\x03\x03\0\2\1\x5a" /* user_canceled, RFC 5246 7.2 */
#define WARNINGS_5 WARNING WARNING WARNING WARNING WARNING
#define WARNINGS_20 WARNINGS_5 WARNINGS_5 WARNINGS_5 WARNINGS_5

static const struct good_row good_rows[] = {
    {"an EC certificate", {.chain = "server"}},
    {"an RSA certificate", {.chain = "server-rsa", .key = "server-rsa"}},
    {"a chain of two", {.chain = "chain"}},
    {"a chain of seven", {.chain = "deep"}},

    {"ECDHE-ECDSA, ChaCha20-Poly1305", EC(CHACHA20_POLY1305_SHA256)},
    {"ECDHE-ECDSA, AES-128-GCM", EC(AES_128_GCM_SHA256)},
    {"ECDHE-ECDSA, AES-256-GCM", EC(AES_256_GCM_SHA384)},
    {"ECDHE-RSA, ChaCha20-Poly1305", RSA(CHACHA20_POLY1305_SHA256)},
    {"ECDHE-RSA, AES-128-GCM", RSA(AES_128_GCM_SHA256)},
    {"ECDHE-RSA, AES-256-GCM", RSA(AES_256_GCM_SHA384)},

    {"a warning behind its hello", {.chain = "deep", BEHIND(WARNING)}},
    {"twenty warnings behind its hello",
        {.chain = "deep", BEHIND(WARNINGS_20)}},

    {"records of 512 bytes", {.chain = "deep", .small = true}},
    {"byte by byte", {.dribbles = true}},
    {"a body up to close_notify",
        {TURN(.reply = PEER_HEAD "\r\n" PEER_BODY, .end = PEER_NOTIFIES)}},
    {"a whole body, then close_notify", {TURN(.end = PEER_NOTIFIES)}},
    {"a whole body, then FIN without one", {TURN(.end = PEER_FINISHES)}},
    {"a whole body, then RST", {TURN(.end = PEER_RESETS)}},
};

static void is_good(void **state) {
  const struct good_row *row = *state;
  static struct player p;
  uint16_t port = peer_start(&row->script);
  int before = open_descriptors();

  player_open(&p, port);
  player_expect(&p, &player_beat, HBEAT_OK);
  assert_int_equal(p.reply.http_status, 200);
  assert_true(p.reply.success);
  assert_int_equal(p.reply.server_time_s, PEER_TIME_S);
  hbeat_close(&p.client);
  assert_int_equal(open_descriptors(), before);
}

/* A server that a player turns away, or that does not reply. */
struct bad_row {
  const char *name;
  struct peer_script script;
  hbeat_error error;
  int http_status;    /* what is known all the same */
  int connections;    /* what stays open behind a reply that was whole */
  const char *says;   /* a word of the explanation; NULL: any will do */
  const char *ends;   /* its last words; NULL: any will do */
  const char *anchor; /* NULL: ca */
  const char *host;   /* NULL: the default */
};

#define RAW(bytes)                                                             \
  { .raw = (bytes), .raw_size = sizeof(bytes) - 1 }
#define ALERT(description) RAW("\x15\x03\x03\0\2\2" description)

/* A ServerHello: ECDHE-ECDSA with AES-128-GCM, and the version given. */
#define SERVER_HELLO(version)                                                  \
  RAW("\x16" version "\0\x2a\x02\0\0\x26" version                              \
      "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"       \
      "\0\xc0\x2b\0")

#define ENDED_EARLY                                                            \
  .error = HBEAT_ERR_TLS, .ends = "the connection ended in the TLS handshake"

static const struct bad_row bad_rows[] = {
    {"the certificate is for another name", .script = {.chain = "name"},
        .error = HBEAT_ERR_CERT_NAME, .says = "api.lucit.app"},
    {"the certificate is for other names", .error = HBEAT_ERR_CERT_NAME,
        .says = "app.example", .host = "app.example"},
    {"the name is longer than the certificate's", .error = HBEAT_ERR_CERT_NAME,
        .host = "www.api.lucit.app"},
    {"the certificate has expired", .script = {.chain = "expired"},
        .error = HBEAT_ERR_CERT_TIME, .says = "clock"},
    {"the certificate is not valid yet", .script = {.chain = "future"},
        .error = HBEAT_ERR_CERT_TIME, .says = "clock"},
    {"no anchor vouches for it", .error = HBEAT_ERR_CERT_TRUST,
        .anchor = "other-ca"},
    {"no anchor vouches for the chain", .script = {.chain = "deep"},
        .error = HBEAT_ERR_CERT_TRUST, .anchor = "other-ca"},
    {"RSA of 1,024 bits", .script = {.chain = "weak", .key = "weak"},
        .error = HBEAT_ERR_CERT_TRUST},
    {"a signature over SHA-1", .script = {.chain = "sha1"},
        .error = HBEAT_ERR_CERT_TRUST},
    {"a key that is not the certificate's", .script = {.key = "ca"},
        .error = HBEAT_ERR_TLS},
    {"certificates beyond HBEAT_HANDSHAKE_MAX", .script = {.chain = "long"},
        .error = HBEAT_ERR_TLS},

    {"the alert handshake_failure", .script = ALERT("\x28"),
        .error = HBEAT_ERR_TLS},
    {"the alert internal_error", .script = ALERT("\x50"),
        .error = HBEAT_ERR_TLS},
    {"the alert protocol_version", .script = ALERT("\x46"),
        .error = HBEAT_ERR_TLS_VERSION},
    {"a ServerHello of SSL 3", .script = SERVER_HELLO("\x03\x00"),
        .error = HBEAT_ERR_TLS_VERSION},
    {"a ServerHello of TLS 1.0", .script = SERVER_HELLO("\x03\x01"),
        .error = HBEAT_ERR_TLS_VERSION},
    {"a ServerHello of TLS 1.1", .script = SERVER_HELLO("\x03\x02"),
        .error = HBEAT_ERR_TLS_VERSION},
    /* They find no suite of theirs in our list, and say no more than that. */
    {"a server of TLS 1.0 only", .script = {.version = BR_TLS10},
        .error = HBEAT_ERR_TLS},
    {"a server of TLS 1.1 only", .script = {.version = BR_TLS11},
        .error = HBEAT_ERR_TLS},
    {"a server of RSA key exchange only",
        .script = {.chain = "server-rsa",
            .key = "server-rsa",
            .suite = BR_TLS_RSA_WITH_AES_128_GCM_SHA256},
        .error = HBEAT_ERR_TLS},
    {"a server of CBC only",
        .script = {.suite = BR_TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256},
        .error = HBEAT_ERR_TLS},
    {"a server of CCM only",
        .script = {.suite = BR_TLS_ECDHE_ECDSA_WITH_AES_128_CCM},
        .error = HBEAT_ERR_TLS},

    {"plain HTTP on the port",
        .script = RAW("HTTP/1.1 400 Bad Request\r\n\r\n"),
        .error = HBEAT_ERR_TLS, .says = "not speak TLS"},
    {"a mail server on the port", .script = RAW("220 mx.example ESMTP\r\n"),
        .error = HBEAT_ERR_TLS, .says = "not speak TLS"},
    {"nothing but zeros on the port", .script = RAW("\0\0\0\0\0\0\0\0\0\0\0\0"),
        .error = HBEAT_ERR_TLS},
    {"FIN for a greeting", .script = RAW(""), ENDED_EARLY},
    {"RST for a greeting", .script = {.cut = PEER_RESETS}, ENDED_EARLY},
    {"FIN within the ServerHello",
        .script = {.cut = PEER_FINISHES, .cut_at = 40}, ENDED_EARLY},
    {"FIN within the certificate",
        .script = {.cut = PEER_FINISHES, .cut_at = 500}, ENDED_EARLY},
    {"close_notify within the handshake", .script = RAW("\x15\x03\x03\0\2\1\0"),
        ENDED_EARLY},

    {"handshake_failure behind its hello",
        .script = {.chain = "deep", BEHIND("\x15\x03\x03\0\2\2\x28")},
        .error = HBEAT_ERR_TLS, .says = "wants a client certificate"},
    {"bad_certificate behind its hello",
        .script = {.chain = "deep", BEHIND("\x15\x03\x03\0\2\2\x2a")},
        .error = HBEAT_ERR_TLS, .says = "wants a client certificate"},
    {"certificate_unknown behind its hello",
        .script = {.chain = "deep", BEHIND("\x15\x03\x03\0\2\2\x2e")},
        .error = HBEAT_ERR_TLS, .says = "wants a client certificate"},
    {"handshake_failure for a greeting",
        .script = RAW("\x15\x03\x03\0\2\2\x28"), .error = HBEAT_ERR_TLS,
        .says = "no suite in common: TLS 1.3?"},
    {"no_application_protocol for a greeting",
        .script = RAW("\x15\x03\x03\0\2\2\x78"), .error = HBEAT_ERR_TLS,
        .says = "does not speak HTTP/1.1"},
    {"protocol_version behind its hello",
        .script = {.chain = "deep", BEHIND("\x15\x03\x03\0\2\2\x46")},
        .error = HBEAT_ERR_TLS_VERSION},
    {"close_notify behind its hello",
        .script = {.chain = "deep", BEHIND("\x15\x03\x03\0\2\1\0")},
        ENDED_EARLY},
    {"application data behind its hello",
        .script = {.chain = "deep", BEHIND("\x17\x03\x03\0\5hello")},
        .error = HBEAT_ERR_TLS, .says = "protocol was broken"},
    {"a change of ciphers behind its hello",
        .script = {.chain = "deep", BEHIND("\x14\x03\x03\0\1\1")},
        .error = HBEAT_ERR_TLS, .says = "protocol was broken"},
    {"HelloRequest behind its hello",
        .script = {.chain = "deep", BEHIND("\x16\x03\x03\0\4\0\0\0\0")},
        .error = HBEAT_ERR_TLS, .says = "protocol was broken"},
    {"a record of 65,535 bytes behind its hello",
        .script = {.chain = "deep", BEHIND("\x16\x03\x03\xff\xff")},
        .error = HBEAT_ERR_TLS, .says = "protocol was broken"},

    {"HelloRequest, then FIN, for a reply",
        .script = {TURN(.reply = "", .asks_anew = true, .end = PEER_FINISHES)},
        .error = HBEAT_ERR_TRUNCATED,
        .says = "it wants a client certificate, or to renegotiate"},
    {"FIN for a reply", .script = {TURN(.reply = "", .end = PEER_FINISHES)},
        .error = HBEAT_ERR_TRUNCATED,
        .ends = "is not whole: it ended without a close_notify"},
    {"RST for a reply", .script = {TURN(.reply = "", .end = PEER_RESETS)},
        .error = HBEAT_ERR_TRUNCATED},
    {"close_notify for a reply",
        .script = {TURN(.reply = "", .end = PEER_NOTIFIES)},
        .error = HBEAT_ERR_TRUNCATED},
    {"FIN within the head",
        .script = {TURN(.reply = PEER_HEAD, .end = PEER_FINISHES)},
        .error = HBEAT_ERR_TRUNCATED, .http_status = 200},
    {"FIN within a body of known length",
        .script = {TURN(.reply =
                            PEER_HEAD "Content-Length: 17\r\n\r\n" PEER_BODY,
            .end = PEER_FINISHES)},
        .error = HBEAT_ERR_TRUNCATED, .http_status = 200},
    {"close_notify within a body of known length",
        .script = {TURN(.reply =
                            PEER_HEAD "Content-Length: 17\r\n\r\n" PEER_BODY,
            .end = PEER_NOTIFIES)},
        .error = HBEAT_ERR_TRUNCATED, .http_status = 200},
    {"FIN, not close_notify, behind a body without length",
        .script = {TURN(.reply = PEER_HEAD "\r\n" PEER_BODY,
            .end = PEER_FINISHES)},
        .error = HBEAT_ERR_TRUNCATED, .http_status = 200},
    {"RST, not close_notify, behind a body without length",
        .script = {TURN(.reply = PEER_HEAD "\r\n" PEER_BODY,
            .end = PEER_RESETS)},
        .error = HBEAT_ERR_TRUNCATED, .http_status = 200},

    {"a page that is no JSON",
        .script = {TURN(.reply = PEER_HEAD "Content-Length: 6\r\n\r\n<html>")},
        .error = HBEAT_ERR_JSON, .http_status = 200},
    {"another protocol inside TLS",
        .script = {TURN(.reply = "SSH-2.0-OpenSSH_9.2\r\n")},
        .error = HBEAT_ERR_HTTP},
    {"maintenance",
        .script = {TURN(.reply = "HTTP/1.1 503 Service Unavailable\r\n"
                                 "Content-Length: 0\r\n\r\n")},
        .error = HBEAT_ERR_STATUS, .http_status = 503, .says = "503"},
    {"a request that is refused",
        .script = {TURN(.reply = "HTTP/1.1 422 Unprocessable Content\r\n"
                                 "Content-Length: 0\r\n\r\n")},
        .error = HBEAT_ERR_STATUS, .http_status = 422, .connections = 1,
        .says = "422"},
};

/* The beat has failed for good, and has left nothing behind. */
static void check_failure(struct player *p, hbeat_error error, int open) {
  hbeat_wait wait = hbeat_wants(&p->client);

  assert_int_equal(hbeat_step(&p->client), error);
  assert_int_equal(wait.fd, -1);
  assert_int_equal(open_descriptors(), open);
  assert_false(p->reply.success);
  assert_null(p->reply.instruction.name);
}

static void check_end(const char *text, const char *end) {
  const char *found = strstr(text, end);

  if (!found || strcmp(found, end) != 0) fail_msg("no \"%s\": %s", end, text);
}

static void is_bad(void **state) {
  const struct bad_row *row = *state;
  static struct player p;
  uint16_t port = peer_start(&row->script);
  int before = open_descriptors();

  player_configure(&p, port);
  p.cfg.host = row->host;
  if (row->anchor) p.cfg.anchors = player_anchors(row->anchor)->list;
  assert_int_equal(hbeat_init(&p.client, &p.cfg), HBEAT_OK);
  player_expect(&p, &player_beat, row->error);
  check_failure(&p, row->error, before + row->connections);
  assert_int_equal(p.reply.http_status, row->http_status);
  assert_int_equal(p.reply.server_time_s,
      row->http_status == 200 ? PEER_TIME_S : HBEAT_NONE);
  if (row->says && !strstr(hbeat_explain(&p.client), row->says))
    fail_msg("no \"%s\" in: %s", row->says, hbeat_explain(&p.client));
  if (row->ends) check_end(hbeat_explain(&p.client), row->ends);
  hbeat_close(&p.client);
  assert_int_equal(open_descriptors(), before);
}

/* ---- Servers of another make ------------------------------------------ */

struct openssl_row {
  const char *name;
  const char *option;
  hbeat_error error;
};

static const struct openssl_row openssl_rows[] = {
    {"openssl, TLS 1.3 only", .option = "-tls1_3",
        .error = HBEAT_ERR_TLS_VERSION},
    {"openssl, TLS 1.1 only", .option = "-tls1_1", .error = HBEAT_ERR_TLS},
    {"openssl, TLS 1.0 only", .option = "-tls1", .error = HBEAT_ERR_TLS},
    /* This one understands, and sends the request's lines back to front. */
    {"openssl, TLS 1.2 only", .option = "-tls1_2", .error = HBEAT_ERR_HTTP},
};

static void is_openssl(void **state) {
  const struct openssl_row *row = *state;
  static struct player p;
  uint16_t port = peer_start_openssl(NULL, row->option);
  int before = open_descriptors();

  player_open(&p, port);
  player_expect(&p, &player_beat, row->error);
  check_failure(&p, row->error, before);
}

/* ---- No server, or none that speaks ----------------------------------- */

static void nobody_listens(void **state) {
  static const struct peer_script good = {0};
  static struct player p;
  uint16_t port = peer_start(&good);
  int before = open_descriptors();
  char end[64];

  peer_stop(state);
  player_open(&p, port);
  player_expect(&p, &player_beat, HBEAT_ERR_CONNECT);
  snprintf(end, sizeof end, ": connection refused (errno %d)", ECONNREFUSED);
  check_end(hbeat_explain(&p.client), end);
  check_failure(&p, HBEAT_ERR_CONNECT, before);
}

static void a_name_has_no_address(void **state) {
  static struct player p;

  (void)state;
  player_configure(&p, 1);
  p.cfg.address = NULL;
  assert_int_equal(hbeat_init(&p.client, &p.cfg), HBEAT_OK);
  player_expect(&p, &player_beat, HBEAT_ERR_RESOLVE);
  assert_non_null(
      strstr(hbeat_explain(&p.client), "no address for api.lucit.app"));
}

/* The text names what was not found: the proxy. */
static void a_proxy_s_name_has_no_address(void **state) {
  static struct player p;

  (void)state;
  player_configure(&p, 1);
  p.cfg.address = NULL;
  p.cfg.proxy = "proxy.invalid";
  assert_int_equal(hbeat_init(&p.client, &p.cfg), HBEAT_OK);
  player_expect(&p, &player_beat, HBEAT_ERR_RESOLVE);
  assert_non_null(
      strstr(hbeat_explain(&p.client), "no address for proxy.invalid"));
}

static void ipv6_serves_as_well(void **state) {
  static const struct peer_script script = {.ipv6 = true};
  static struct player p;

  (void)state;
  if (!has_ipv6()) return;
  player_configure(&p, peer_start(&script));
  p.cfg.address = "::1";
  assert_int_equal(hbeat_init(&p.client, &p.cfg), HBEAT_OK);
  player_expect(&p, &player_beat, HBEAT_OK);
  hbeat_close(&p.client);
}

/* A beat that must end by its deadline, and say what that was. */
static void expect_timeout(struct player *p, uint16_t port, uint32_t timeout_ms,
    int64_t limit_ms, const char *says) {
  int before = open_descriptors();
  int64_t start, took;

  player_configure(p, port);
  p->cfg.timeout_ms = timeout_ms;
  assert_int_equal(hbeat_init(&p->client, &p->cfg), HBEAT_OK);
  start = now_ms();
  player_expect(p, &player_beat, HBEAT_ERR_TIMEOUT);
  took = now_ms() - start;
  assert_int_equal(took, limit_ms);
  if (!strstr(hbeat_explain(&p->client), says))
    fail_msg("no \"%s\" in: %s", says, hbeat_explain(&p->client));
  check_failure(p, HBEAT_ERR_TIMEOUT, before);
  hbeat_close(&p->client);
}

/* The queue of a listener is full: what knocks now gets no answer at all. */
static void nobody_accepts(void **state) {
  static struct player p;
  struct black_hole hole;

  (void)state;
  open_black_hole(&hole, "127.0.0.1", 0);
  expect_timeout(
      &p, port_of(hole.listener), 300, 300, "after 300 ms: while connecting");
  close_black_hole(&hole);
}

struct silent_row {
  const char *name;
  struct peer_script script;
};

static const struct silent_row silent_rows[] = {
    {"silent from the start", {.silent = true}},
    {"silent after half of a record's head",
        {.silent = true, .raw = "\x16\x03", .raw_size = 2}},
    {"silent after the request", {TURN(.reply = "")}},
    {"silent within the reply", {TURN(.reply = PEER_HEAD)}},
};

static void is_silent(void **state) {
  const struct silent_row *row = *state;
  static struct player p;

  expect_timeout(&p, peer_start(&row->script), 300, 300, "after 300 ms: ");
}

struct limit_row {
  const char *name;
  uint32_t timeout_ms;
  int64_t limit_ms;
  const char *says;
};

static const struct limit_row limit_rows[] = {
    {"the limit is told: a millisecond", 1, 1, "after 1 ms: "},
    {"the limit is told: less than a second", 999, 999, "after 999 ms: "},
    {"the limit is told: a second", 1000, 1000, "after 1 s: "},
    {"the limit is told: a second and a half", 1500, 1500, "after 1500 ms: "},
    {"the limit is told: the default", 0, 30000, "after 30 s: "},
    {"the limit is told: a day", 86400000, 86400000, "after 86400 s: "},
};

static void is_limit(void **state) {
  static const struct peer_script script = {.silent = true};
  const struct limit_row *row = *state;
  static struct player p;

  expect_timeout(
      &p, peer_start(&script), row->timeout_ms, row->limit_ms, row->says);
}

int main(void) {
  static const struct CMUnitTest named[] = {
      TEST(nobody_listens),
      TEST(nobody_accepts),
      TEST(a_name_has_no_address),
      TEST(a_proxy_s_name_has_no_address),
      TEST(ipv6_serves_as_well),
  };
  struct CMUnitTest tests[COUNT(named) + COUNT(good_rows) + COUNT(bad_rows) +
      COUNT(openssl_rows) + COUNT(silent_rows) + COUNT(limit_rows)];
  struct CMUnitTest *to = tests + COUNT(named);

  clock_begin();
  memcpy(tests, named, sizeof named);
  to = ROWS(to, is_good, good_rows);
  to = ROWS(to, is_bad, bad_rows);
  to = ROWS(to, is_openssl, openssl_rows);
  to = ROWS(to, is_silent, silent_rows);
  ROWS(to, is_limit, limit_rows);
  return cmocka_run_group_tests(tests, NULL, NULL);
}
