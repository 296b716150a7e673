/*
 * Captive portals, and whatever else answers in the API's place: each is told
 * apart from the API, and the operator learns that it is not the API.
 */
#define _POSIX_C_SOURCE 200809L
#include "peer.h"

struct row {
  const char *name;
  struct peer_script script;
  hbeat_error error;
  int http_status;     /* what is known all the same */
  const char *says[2]; /* in the explanation */
};

#define RAW(bytes)                                                             \
  { .raw = (bytes), .raw_size = sizeof(bytes) - 1 }
#define REPLY(text)                                                            \
  { .turns = (const struct peer_turn[]){{.reply = (text)}}, .turn_count = 1 }

#define PAGE                                                                   \
  "Content-Type: text/html\r\n"                                                \
  "Content-Length: 50\r\n\r\n"                                                 \
  "<!doctype html><title>Log in</title><p>Room number"
#define TO_PORTAL                                                              \
  "Location: https://portal.example/login?to=api.lucit.app\r\n" PAGE

static const struct row rows[] = {
    /* One that ends TLS with a certificate that the player trusts. */
    {"a page with 200", .script = REPLY("HTTP/1.1 200 OK\r\n" PAGE),
        .error = HBEAT_ERR_JSON, .http_status = 200,
        .says = {"not the API's", "captive portal"}},
    {"an empty page with 200",
        .script = REPLY("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
        .error = HBEAT_ERR_JSON, .http_status = 200, .says = {"not the API's"}},
    {"204, as to a probe for portals",
        .script = REPLY("HTTP/1.1 204 No Content\r\n\r\n"),
        .error = HBEAT_ERR_JSON, .http_status = 204, .says = {"not the API's"}},
    {"JSON of another API (RFC 8908)",
        .script = REPLY(
            "HTTP/1.1 200 OK\r\nContent-Type: application/captive+json\r\n"
            "Content-Length: 16\r\n\r\n{\"captive\":true}"),
        .error = HBEAT_ERR_REFUSED, .http_status = 200, .says = {"refused"}},
    {"301 to the portal", .script = REPLY("HTTP/1.1 301 Moved\r\n" TO_PORTAL),
        .error = HBEAT_ERR_STATUS, .http_status = 301,
        .says = {"captive portal", "301"}},
    {"302 to the portal", .script = REPLY("HTTP/1.1 302 Found\r\n" TO_PORTAL),
        .error = HBEAT_ERR_STATUS, .http_status = 302,
        .says = {"captive portal", "302"}},
    {"303 to the portal",
        .script = REPLY("HTTP/1.1 303 See Other\r\n" TO_PORTAL),
        .error = HBEAT_ERR_STATUS, .http_status = 303,
        .says = {"captive portal", "303"}},
    {"307 to the portal",
        .script = REPLY("HTTP/1.1 307 Elsewhere\r\n" TO_PORTAL),
        .error = HBEAT_ERR_STATUS, .http_status = 307,
        .says = {"captive portal", "307"}},
    {"308 to the portal",
        .script = REPLY("HTTP/1.1 308 Elsewhere\r\n" TO_PORTAL),
        .error = HBEAT_ERR_STATUS, .http_status = 308,
        .says = {"captive portal", "308"}},
    {"511, which is for portals (RFC 6585)",
        .script =
            REPLY("HTTP/1.1 511 Network Authentication Required\r\n" PAGE),
        .error = HBEAT_ERR_STATUS, .http_status = 511,
        .says = {"captive portal", "511"}},
    /* What the API itself may say, and no portal. */
    {"404", .script = REPLY("HTTP/1.1 404 Not Found\r\n" PAGE),
        .error = HBEAT_ERR_STATUS, .http_status = 404, .says = {"404"}},
    {"503", .script = REPLY("HTTP/1.1 503 Service Unavailable\r\n" PAGE),
        .error = HBEAT_ERR_STATUS, .http_status = 503, .says = {"503"}},

    /* One that shows a certificate of its own. */
    {"a certificate of its own name, well trusted", .script = {.chain = "name"},
        .error = HBEAT_ERR_CERT_NAME,
        .says = {"not for api.lucit.app", "other.example"}},
    {"a certificate of its own name and making",
        .script = {.chain = "portal", .key = "portal"},
        .error = HBEAT_ERR_CERT_NAME,
        .says = {"not for api.lucit.app", "other.example"}},
    {"a certificate of its own making for the API's name",
        .script = {.chain = "self"}, .error = HBEAT_ERR_CERT_TRUST,
        .says = {"api.lucit.app is not trusted", "no anchor"}},

    /* One without TLS. */
    {"a page in plain HTTP", .script = RAW("HTTP/1.1 200 OK\r\n" PAGE),
        .error = HBEAT_ERR_TLS, .says = {"not speak TLS"}},
    {"302 in plain HTTP", .script = RAW("HTTP/1.1 302 Found\r\n" TO_PORTAL),
        .error = HBEAT_ERR_TLS, .says = {"not speak TLS"}},
    {"400 in plain HTTP, as to any ClientHello",
        .script = RAW("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n" PAGE),
        .error = HBEAT_ERR_TLS, .says = {"not speak TLS"}},
    {"a page without a head", .script = RAW("<html>Log in</html>"),
        .error = HBEAT_ERR_TLS, .says = {"not speak TLS"}},
    {"the alert unrecognized_name", .script = RAW("\x15\x03\x03\0\2\2\x70"),
        .error = HBEAT_ERR_TLS, .says = {"does not know the name"}},
    {"nothing", .script = RAW(""), .error = HBEAT_ERR_TLS,
        .says = {"ended in the TLS handshake"}},
};

static void is_row(void **state) {
  const struct row *row = *state;
  static struct player p;
  uint16_t port = peer_start(&row->script);
  int before = open_descriptors();

  player_open(&p, port);
  player_expect(&p, &player_beat, row->error);
  for (int i = 0; i < 2; i++)
    if (row->says[i] && !strstr(hbeat_explain(&p.client), row->says[i]))
      fail_msg("no \"%s\" in: %s", row->says[i], hbeat_explain(&p.client));
  if (row->http_status / 100 == 4 || row->http_status == 503)
    assert_null(strstr(hbeat_explain(&p.client), "portal"));
  assert_int_equal(p.reply.http_status, row->http_status);
  assert_false(p.reply.success);
  assert_null(p.reply.instruction.name);
  /* A connection may be kept for what was a whole reply, but no other. */
  if (row->http_status == 0) assert_int_equal(open_descriptors(), before);
  hbeat_close(&p.client);
  assert_int_equal(open_descriptors(), before);
}

int main(void) {
  struct CMUnitTest tests[COUNT(rows)];

  ROWS(tests, is_row, rows);
  return cmocka_run_group_tests(tests, NULL, NULL);
}
