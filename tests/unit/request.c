/*
 * Requests: what goes over the wire, byte for byte; that it is the same
 * through every window; that any string goes out as valid JSON; and what is
 * refused, because it could break out of its place.
 */
#include "cases.h"

#define DEVICE "LCUID-LD-262ca932-dda6-4233-8c4f-a497481388b3"
#define APP "LCUID-LAP-01234567-89ab-cdef-0123-456789abcdef"
#define TOKEN "eyJ0eXAiOiJKV1Qi.eyJzdWIiOiIxIn0.c2ln-_~+/="

#define LCUID "LCUID-LDRI-262ca932-dda6-4233-8c4f-a497481388b3"
#define SECRET "s-e-c-r-e-t"

#define BEARER "Authorization:Bearer " TOKEN "\r\n"

/* A whole request; `length` is its Content-Length. */
#define REQUEST(path, host, authorization, length, body)                       \
  "POST /api/v3/" path " HTTP/1.1\r\n"                                         \
  "Host:" host "\r\n" authorization "AppIdV3:" APP "\r\n"                      \
  "User-Agent:hbeat/" HBEAT_VERSION "\r\n"                                     \
  "Accept:application/json\r\n"                                                \
  "Content-Type:application/json\r\n"                                          \
  "Content-Length:" length "\r\n\r\n" body

/* A heartbeat, for a host and port; a report; a log-in. */
#define BEAT(host, length, body)                                               \
  REQUEST("analytics/lightning-devices/" DEVICE "/heartbeat", host, BEARER,    \
      length, body)
#define REPORT(outcome, length, body)                                          \
  REQUEST("lightning/devices/" DEVICE "/instructions/" LCUID "/" outcome,      \
      "api.lucit.app", BEARER, length, body)
#define LOGIN(length, body) REQUEST("auth", "api.lucit.app", "", length, body)

static char request[8 << 20]; /* the longest is a MiB of control characters */
static fenced windows;
static char reply_buffer[64];

static hbeat_config config(void) {
  hbeat_config cfg = {.device = DEVICE,
      .app = APP,
      .token = TOKEN,
      .reply_buffer = reply_buffer,
      .reply_buffer_size = sizeof reply_buffer};

  return cfg;
}

/* Pulls a whole request through a window; returns its size. */
static size_t pull_all(
    hbeat_exchange *x, char *out, size_t room, size_t window) {
  char *at = windows.end - window;
  size_t size = 0, n;

  while ((n = hbeat_pull(x, at, window)) > 0) {
    expect_true("no more than the window holds", n <= window);
    expect_true("an end", n <= room - size);
    memcpy(out + size, at, n);
    size += n;
  }
  expect_int("nothing behind the end", (int64_t)hbeat_pull(x, at, window), 0);
  return size;
}

/* ---- The bytes ---------------------------------------------------------- */

static const char *const TWO[] = {"a", "b"};
static const char *const AWKWARD[] = {"", "\"\\/", "caf\xC3\xA9",
    "\x01\x1F\x7F", "\xF0\x9F\x98\x80", "\xFF\xC3(",
    "a long one: ................................................"};

static const struct wire_row {
  const char *name;
  const char *host; /* NULL: the default */
  uint16_t port;    /* 0: the default */
  const char *const *info;
  size_t info_count;
  const char *expected;
} WIRES[] = {
    {"the reference's call", .info = TWO, .info_count = 2,
        .expected = BEAT("api.lucit.app", "53",
            "{\"lightning_version\":\"4.2.1\",\"device_info\":[\"a\",\"b\"]}")},
    {"one string", .info = TWO, .info_count = 1,
        .expected = BEAT("api.lucit.app", "49",
            "{\"lightning_version\":\"4.2.1\",\"device_info\":[\"a\"]}")},
    {"no device_info",
        .expected =
            BEAT("api.lucit.app", "29", "{\"lightning_version\":\"4.2.1\"}")},
    {"no device_info: a count of zero", .info = TWO,
        .expected =
            BEAT("api.lucit.app", "29", "{\"lightning_version\":\"4.2.1\"}")},
    {"the default host by name", .host = "api.lucit.app", .port = 443,
        .expected =
            BEAT("api.lucit.app", "29", "{\"lightning_version\":\"4.2.1\"}")},
    {"another host", .host = "stand-in.example",
        .expected = BEAT(
            "stand-in.example", "29", "{\"lightning_version\":\"4.2.1\"}")},
    {"a trailing dot", .host = "api.lucit.app.", .port = 443,
        .expected =
            BEAT("api.lucit.app", "29", "{\"lightning_version\":\"4.2.1\"}")},
    {"another port", .port = 8443,
        .expected = BEAT(
            "api.lucit.app:8443", "29", "{\"lightning_version\":\"4.2.1\"}")},
    {"a trailing dot and a port", .host = "api.lucit.app.", .port = 80,
        .expected = BEAT(
            "api.lucit.app:80", "29", "{\"lightning_version\":\"4.2.1\"}")},
    {"the highest port", .host = "localhost", .port = 65535,
        .expected =
            BEAT("localhost:65535", "29", "{\"lightning_version\":\"4.2.1\"}")},
};

static hbeat_request beat_of(const char *const *info, size_t count) {
  hbeat_request beat = {.lightning_version = "4.2.1",
      .device_info = info,
      .device_info_count = count};

  return beat;
}

static void test_wire(void **state) {
  const struct wire_row *row = *state;
  hbeat_config cfg = config();
  hbeat_request beat = beat_of(row->info, row->info_count);
  hbeat_exchange x;
  hbeat_reply reply;
  size_t size, expected = strlen(row->expected);

  cfg.host = row->host;
  cfg.port = row->port;
  memset(&x, 0xA5, sizeof x);
  in_hand(row->name, row->expected, expected);
  expect_error("the start", hbeat_begin(&x, &cfg, &beat, &reply), HBEAT_OK);
  expect_int("body_size", (int64_t)x.body_size,
      (int64_t)strlen(strstr(row->expected, "\r\n\r\n") + 4));
  size = pull_all(&x, request, sizeof request, 16384);
  expect_bytes("the request", request, size, row->expected, expected);
}

/* The other calls; each looks at its own members alone. */
static const struct call_row {
  const char *name;
  hbeat_request request;
  const char *expected;
} CALLS[] = {
    {"acknowledged", {.call = HBEAT_ACKNOWLEDGE, .instruction = LCUID},
        REPORT("acknowledge", "2", "{}")},
    {"acknowledged with data",
        {.call = HBEAT_ACKNOWLEDGE,
            .instruction = LCUID,
            .response_data = "{\"a\":1}"},
        REPORT("acknowledge", "25", "{\"response_data\":{\"a\":1}}")},
    {"acknowledged with data of nothing",
        {.call = HBEAT_ACKNOWLEDGE,
            .instruction = LCUID,
            .response_data = "{}"},
        REPORT("acknowledge", "20", "{\"response_data\":{}}")},
    {"data goes out as it is",
        {.call = HBEAT_ACKNOWLEDGE,
            .instruction = LCUID,
            .response_data =
                " {\"a\" : [\"\\u00e9\xC3\xA9\\/\\\"\"],\r\n\"a\":-0e1} "},
        REPORT("acknowledge", "55",
            "{\"response_data\": {\"a\" : "
            "[\"\\u00e9\xC3\xA9\\/\\\"\"],\r\n\"a\":-0e1} }")},
    {"acknowledged: a message is left out",
        {.call = HBEAT_ACKNOWLEDGE, .instruction = LCUID, .message = "m"},
        REPORT("acknowledge", "2", "{}")},
    {"acknowledged: what belongs to other calls is left out",
        {.call = HBEAT_ACKNOWLEDGE,
            .lightning_version = "4.2.1",
            .device_info_count = 1,
            .instruction = LCUID,
            .login_token = "t",
            .login_secret = SECRET},
        REPORT("acknowledge", "2", "{}")},

    {"failed", {.call = HBEAT_FAILED, .instruction = LCUID},
        REPORT("failed", "2", "{}")},
    {"failed with a message",
        {.call = HBEAT_FAILED, .instruction = LCUID, .message = "no screen"},
        REPORT("failed", "23", "{\"message\":\"no screen\"}")},
    {"failed with data",
        {.call = HBEAT_FAILED,
            .instruction = LCUID,
            .response_data = "{\"a\":1}"},
        REPORT("failed", "25", "{\"response_data\":{\"a\":1}}")},
    {"failed with both",
        {.call = HBEAT_FAILED,
            .instruction = LCUID,
            .message = "no screen",
            .response_data = "{\"exit_status\":1}"},
        REPORT("failed", "57",
            "{\"message\":\"no "
            "screen\",\"response_data\":{\"exit_status\":1}}")},
    {"failed with an empty message",
        {.call = HBEAT_FAILED, .instruction = LCUID, .message = ""},
        REPORT("failed", "14", "{\"message\":\"\"}")},
    {"failed with an awkward message",
        {.call = HBEAT_FAILED,
            .instruction = LCUID,
            .message =
                "\"}\\\r\n\x1F\x7F caf\xC3\xA9 \xE9\xF0\x9F\x98\x80\xC3"},
        REPORT("failed", "55",
            "{\"message\":\"\\\"}\\\\\\u000d\\u000a\\u001f\x7F caf\xC3\xA9 "
            "\xEF\xBF\xBD\xF0\x9F\x98\x80"
            "\xEF\xBF\xBD\"}")},

    {"a log-in",
        {.call = HBEAT_LOGIN,
            .login_token = "t",
            .login_secret = SECRET,
            .token_buffer = reply_buffer,
            .token_buffer_size = sizeof reply_buffer},
        LOGIN("36", "{\"token\":\"t\",\"secret\":\"" SECRET "\"}")},
    {"a log-in with awkward words",
        {.call = HBEAT_LOGIN,
            .login_token = "a\"b\\c\n",
            .login_secret = "\xFF, caf\xC3\xA9",
            .token_buffer = reply_buffer,
            .token_buffer_size = sizeof reply_buffer},
        LOGIN("47",
            "{\"token\":\"a\\\"b\\\\c\\u000a\",\"secret\":\"\xEF\xBF\xBD, "
            "caf\xC3\xA9\"}")},
    {"a log-in: what belongs to other calls is left out",
        {.call = HBEAT_LOGIN,
            .device_info_count = 1,
            .instruction = "a/b",
            .message = "m",
            .response_data = "[",
            .login_token = "t",
            .login_secret = SECRET,
            .token_buffer = reply_buffer,
            .token_buffer_size = sizeof reply_buffer},
        LOGIN("36", "{\"token\":\"t\",\"secret\":\"" SECRET "\"}")},
    {"a beat: what belongs to other calls is left out",
        {.lightning_version = "4.2.1",
            .instruction = "a/b",
            .message = "m",
            .response_data = "["},
        BEAT("api.lucit.app", "29", "{\"lightning_version\":\"4.2.1\"}")},
};

/* Through windows of all sizes, and of a size that changes each time. */
static void expect_same_through_windows(
    const hbeat_request *r, const char *expected, size_t expected_size) {
  static char other[4096];
  hbeat_config cfg = config();
  hbeat_exchange x;
  hbeat_reply reply;
  uint64_t seed = 16;
  size_t size;

  for (size_t window = 16; window <= 200; window++) {
    hbeat_begin(&x, &cfg, r, &reply);
    size = pull_all(&x, other, sizeof other, window);
    expect_bytes("another window", other, size, expected, expected_size);
  }
  for (int i = 0; i < 200; i++) {
    size_t total = 0, n, window;
    hbeat_begin(&x, &cfg, r, &reply);
    do {
      window = 16 + (size_t)(next_random(&seed) % 40);
      n = hbeat_pull(&x, windows.end - window, window);
      memcpy(other + total, windows.end - window, n);
      total += n;
    } while (n > 0);
    expect_bytes("changing windows", other, total, expected, expected_size);
  }
}

static void test_call(void **state) {
  const struct call_row *row = *state;
  hbeat_config cfg = config();
  hbeat_exchange x;
  hbeat_reply reply;
  size_t size, expected = strlen(row->expected);

  memset(&x, 0xA5, sizeof x);
  in_hand(row->name, row->expected, expected);
  expect_error(
      "the start", hbeat_begin(&x, &cfg, &row->request, &reply), HBEAT_OK);
  expect_int("body_size", (int64_t)x.body_size,
      (int64_t)strlen(strstr(row->expected, "\r\n\r\n") + 4));
  size = pull_all(&x, request, sizeof request, 16384);
  expect_bytes("the request", request, size, row->expected, expected);
  expect_same_through_windows(&row->request, row->expected, expected);
}

static void test_windows(void **state) {
  hbeat_config cfg = config();
  hbeat_request beat = beat_of(AWKWARD, COUNT(AWKWARD));
  hbeat_exchange x;
  hbeat_reply reply;

  (void)state;
  in_hand("the same through every window", "", 0);
  hbeat_begin(&x, &cfg, &beat, &reply);
  expect_same_through_windows(
      &beat, request, pull_all(&x, request, sizeof request, 16384));
}

/* ---- Strings as JSON ---------------------------------------------------- */

/* Parses the body of the request in hand, which has two members. */
static void parse_body(size_t size, hbeat_json *first, hbeat_json *second) {
  char *body;
  hbeat_json root = {HBEAT_JSON_NONE, NULL, 0}, rest, key;
  size_t body_size, length = 0;

  request[size] = '\0';
  body = strstr(request, "\r\n\r\n");
  expect_true("a head", body != NULL);
  body += 4;
  body_size = size - (size_t)(body - request);
  expect_int("one Content-Length",
      sscanf(strstr(request, "Content-Length:"), "Content-Length:%zu\r\n",
          &length),
      1);
  expect_int("Content-Length", (int64_t)length, (int64_t)body_size);
  expect_error("the body", hbeat_json_parse(body, body_size, &root), HBEAT_OK);
  rest = root;
  expect_true("a member", hbeat_json_next(&rest, &key, first));
  expect_true("another member", hbeat_json_next(&rest, &key, second));
  expect_true("no more", !hbeat_json_next(&rest, &key, &rest));
}

static void expect_decoded(
    const char *what, const hbeat_json *value, const char *expected) {
  char out[1024];

  hbeat_json_string(value, out, sizeof out);
  expect_text(what, out, expected);
}

/* Sends a request, and takes apart its body. */
static void send_and_parse(
    const hbeat_request *r, hbeat_json *first, hbeat_json *second) {
  hbeat_config cfg = config();
  hbeat_exchange x;
  hbeat_reply reply;

  expect_error("the start", hbeat_begin(&x, &cfg, r, &reply), HBEAT_OK);
  parse_body(pull_all(&x, request, sizeof request, 16), first, second);
}

/* Sends one string as version and as info, as a failure's message, and as
 * both words of a log-in; it comes back as `expected`. */
static void expect_sent(
    const char *name, const char *text, const char *expected) {
  hbeat_request beat = beat_of(&text, 1);
  hbeat_request failed = {.call = HBEAT_FAILED,
      .instruction = LCUID,
      .message = text,
      .response_data = "{}"};
  hbeat_request login = {.call = HBEAT_LOGIN,
      .login_token = text,
      .login_secret = text,
      .token_buffer = reply_buffer,
      .token_buffer_size = sizeof reply_buffer};
  hbeat_json first, second, item;

  in_hand(name, text, strlen(text));
  beat.lightning_version = text;
  send_and_parse(&beat, &first, &second);
  expect_decoded("lightning_version", &first, expected);
  expect_true("device_info", hbeat_json_next(&second, NULL, &item));
  expect_decoded("device_info", &item, expected);
  send_and_parse(&failed, &first, &second);
  expect_decoded("message", &first, expected);
  expect_bytes("response_data", second.text, second.size, TEXT("{}"));
  send_and_parse(&login, &first, &second);
  expect_decoded("token", &first, expected);
  expect_decoded("secret", &second, expected);
}

#define BAD "\xEF\xBF\xBD" /* U+FFFD */

/* RFC 3629; each longest beginning of a character becomes one U+FFFD. */
static const struct string_row {
  const char *name;
  const char *text;
  const char *expected;
} STRINGS[] = {
    {"letters", "4.2.1-beta+3", "4.2.1-beta+3"},
    {"quotes and backslashes", "\"\\\\\"", "\"\\\\\""},
    {"what would end the field", "\"],\"x\":[\"", "\"],\"x\":[\""},
    {"CR LF", "a\r\n\r\nGET / HTTP/1.1\r\n", "a\r\n\r\nGET / HTTP/1.1\r\n"},
    {"an escape is no escape", "\\u0041\\n", "\\u0041\\n"},
    {"DEL", "\x7F", "\x7F"},
    {"two bytes", "\xC2\x80\xDF\xBF", "\xC2\x80\xDF\xBF"},
    {"three bytes", "\xE0\xA0\x80\xED\x9F\xBF\xEE\x80\x80\xEF\xBF\xBF",
        "\xE0\xA0\x80\xED\x9F\xBF\xEE\x80\x80\xEF\xBF\xBF"},
    {"four bytes", "\xF0\x90\x80\x80\xF4\x8F\xBF\xBF",
        "\xF0\x90\x80\x80\xF4\x8F\xBF\xBF"},
    {"a continuation byte", "a\x80z", "a" BAD "z"},
    {"two continuation bytes", "\x80\xBF", BAD BAD},
    {"Latin-1", "caf\xE9 cr\xE8me", "caf" BAD " cr" BAD "me"},
    {"one of two bytes", "\xC3", BAD},
    {"one of two bytes and a letter", "\xC3z", BAD "z"},
    {"one of three bytes", "\xE2", BAD},
    {"two of three bytes", "\xE2\x82", BAD},
    {"two of three bytes and a letter", "\xE2\x82z", BAD "z"},
    {"one of four bytes", "\xF0", BAD},
    {"two of four bytes", "\xF0\x9F", BAD},
    {"three of four bytes", "\xF0\x9F\x98", BAD},
    {"three of four bytes and a letter", "\xF0\x9F\x98z", BAD "z"},
    {"a character cut by another", "\xE2\x82\xE2\x82\xAC", BAD "\xE2\x82\xAC"},
    {"a continuation byte too many", "\xE2\x82\xAC\xAC", "\xE2\x82\xAC" BAD},
    {"overlong in two bytes", "\xC0\xAF\xC1\xBF", BAD BAD BAD BAD},
    {"overlong in three bytes", "\xE0\x80\xAF", BAD BAD BAD},
    {"overlong in three bytes, at the edge", "\xE0\x9F\xBF", BAD BAD BAD},
    {"overlong in four bytes", "\xF0\x80\x80\xAF", BAD BAD BAD BAD},
    {"overlong in four bytes, at the edge", "\xF0\x8F\xBF\xBF",
        BAD BAD BAD BAD},
    {"a surrogate", "\xED\xA0\x80", BAD BAD BAD},
    {"the last surrogate", "\xED\xBF\xBF", BAD BAD BAD},
    {"past U+10FFFF", "\xF4\x90\x80\x80", BAD BAD BAD BAD},
    {"bytes that are never in UTF-8", "\xF5\xF8\xFC\xFE\xFF",
        BAD BAD BAD BAD BAD},
};

static void test_string(void **state) {
  const struct string_row *row = *state;

  expect_sent(row->name, row->text, row->expected);
}

/* Every byte there is, alone and between letters. */
static void test_every_byte(void **state) {
  (void)state;
  for (int c = 1; c < 256; c++) {
    char alone[2] = {(char)c, '\0'};
    char between[4] = {'a', (char)c, 'z', '\0'}, expected[8];
    sprintf(expected, "a%sz", c < 0x80 ? alone : BAD);
    expect_sent("a byte alone", alone, c < 0x80 ? alone : BAD);
    expect_sent("a byte between letters", between, expected);
  }
}

/* Any number and any size of strings, with no buffer for the request. */
static void test_many_strings(void **state) {
  enum { MANY = 10000 };
  static const char *info[MANY];
  hbeat_config cfg = config();
  hbeat_request beat = beat_of(info, MANY);
  hbeat_exchange x;
  hbeat_reply reply;
  hbeat_json version, rest, item;
  size_t count = 0;

  (void)state;
  in_hand("10,000 strings", "", 0);
  for (size_t i = 0; i < MANY; i++) info[i] = AWKWARD[i % COUNT(AWKWARD)];
  expect_error("the start", hbeat_begin(&x, &cfg, &beat, &reply), HBEAT_OK);
  parse_body(pull_all(&x, request, sizeof request, 333), &version, &rest);
  while (hbeat_json_next(&rest, NULL, &item)) count++;
  expect_int("the strings", (int64_t)count, MANY);
}

static const struct huge_row {
  const char *name;
  char character;
  size_t escaped; /* bytes of it in JSON at most */
} HUGES[] = {
    {"1 MiB of letters", 'a', .escaped = 1},
    {"1 MiB of quotes", '"', .escaped = 2},
    {"1 MiB of control characters", '\x02', .escaped = 6},
    {"1 MiB of what is not UTF-8", '\xFF', .escaped = 3},
};

static void test_huge_string(void **state) {
  enum { MIB = 1 << 20 };
  static char huge[MIB + 1];
  const char *info = huge;
  const struct huge_row *row = *state;
  hbeat_config cfg = config();
  hbeat_request beat = beat_of(&info, 1);
  hbeat_exchange x;
  hbeat_reply reply;
  hbeat_json version, rest, item;
  size_t length;

  memset(huge, row->character, MIB);
  in_hand(row->name, huge, MIB);
  expect_error("the start", hbeat_begin(&x, &cfg, &beat, &reply), HBEAT_OK);
  parse_body(pull_all(&x, request, sizeof request, 16384), &version, &rest);
  expect_true("the string", hbeat_json_next(&rest, NULL, &item));
  length = hbeat_json_string(&item, NULL, 0);
  expect_int(
      "its length", (int64_t)length, row->character == '\xFF' ? 3 * MIB : MIB);
  expect_true("its size in JSON", item.size <= row->escaped * MIB + 2);
}

/* A message and data of a MiB each: no buffer limits them. */
static void test_huge_report(void **state) {
  enum { MIB = 1 << 20 };
  static char message[MIB + 1], data[MIB + 9];
  hbeat_request r = {.call = HBEAT_FAILED,
      .instruction = LCUID,
      .message = message,
      .response_data = data};
  hbeat_json first, second;

  (void)state;
  in_hand("a report of 2 MiB", "", 0);
  memset(message, '\x02', MIB);
  sprintf(data, "{\"a\":\"%0*d\"}", MIB, 7);
  send_and_parse(&r, &first, &second);
  expect_int("message", (int64_t)hbeat_json_string(&first, NULL, 0), MIB);
  expect_bytes("response_data", second.text, second.size, data, strlen(data));
}

/* ---- Arguments ---------------------------------------------------------- */

#define LABEL63                                                                \
  "abcdefghijklmnopqrstuvwxyz-0123456789-ABCDEFGHIJKLMNOPQRSTUVWXY"
#define HOST253                                                                \
  LABEL63 "." LABEL63 "." LABEL63 "."                                          \
          "abcdefghijklmnopqrstuvwxyz-0123456789-ABCDEFGHIJKLMNOPQRSTUVW"

/* Row: one argument that is fit, or not; NULL is the pointer. */
static const struct argument_row {
  const char *name;
  const char *text;
  bool good;
} DEVICES[] = {
    {"an lcuid", DEVICE, .good = true},
    {"every unreserved character",
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._"
        "~",
        .good = true},
    {"three dots", "...", .good = true},
    {"a dot inside", "a.b", .good = true},
    {"no device", NULL, .good = false},
    {"an empty device", "", .good = false},
    {"this folder", ".", .good = false},
    {"the folder above", "..", .good = false},
    {"a space", "a b", .good = false},
    {"a space behind", "a ", .good = false},
    {"CR", "a\rb", .good = false},
    {"LF", "a\nb", .good = false},
    {"CR LF and a field", "a\r\nX: b", .good = false},
    {"a tab", "a\tb", .good = false},
    {"a slash", "a/b", .good = false},
    {"a backslash", "a\\b", .good = false},
    {"a question mark", "a?b", .good = false},
    {"a percent sign", "a%2Fb", .good = false},
    {"a number sign", "a#b", .good = false},
    {"a semicolon", "a;b", .good = false},
    {"a colon", "a:b", .good = false},
    {"an at sign", "a@b", .good = false},
    {"a plus sign", "a+b", .good = false},
    {"a quote", "a\"b", .good = false},
    {"a brace", "{lcuid}", .good = false},
    {"DEL", "a\x7F", .good = false},
    {"UTF-8", "caf\xC3\xA9", .good = false},
    {"Latin-1", "caf\xE9", .good = false},
};

static const struct argument_row VISIBLES[] = {
    {"a token", TOKEN, .good = true},
    {"every visible character",
        "!\"#$%&'()*+,-./"
        "0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`"
        "abcdefghijklmnopqrstuvwxyz{|}~",
        .good = true},
    {"nothing", NULL, .good = false},
    {"an empty string", "", .good = false},
    {"a space", "a b", .good = false},
    {"a space in front", " a", .good = false},
    {"a line's end, as editors leave it", "a\n", .good = false},
    {"CR", "a\r", .good = false},
    {"CR LF and a field", "a\r\nX: b", .good = false},
    {"a tab", "a\tb", .good = false},
    {"a control character", "a\x01", .good = false},
    {"DEL", "a\x7F", .good = false},
    {"UTF-8", "caf\xC3\xA9", .good = false},
    {"Latin-1", "\xFF", .good = false},
};

static const struct argument_row HOSTS[] = {
    {"the default", NULL, .good = true},
    {"a name", "api.lucit.app", .good = true},
    {"a name in upper case", "API.Lucit.App", .good = true},
    {"one label", "localhost", .good = true},
    {"a trailing dot", "localhost.", .good = true},
    {"underscores", "_a.b_c.example", .good = true},
    {"labels that begin with digits", "1.2a.3b.example", .good = true},
    {"a last label that begins with a digit", "a.1b", .good = true},
    {"a hyphen inside", "a--b.c-d", .good = true},
    {"one letter", "x", .good = true},
    {"labels of one letter", "a.b", .good = true},
    {"a last label of one letter", "kiosk.x", .good = true},
    {"a last label of one letter and a trailing dot", "kiosk.x.", .good = true},
    {"a last label of an underscore", "kiosk._", .good = true},
    {"a label of 63", LABEL63 ".example", .good = true},
    {"253 bytes", HOST253, .good = true},
    {"253 bytes and a trailing dot", HOST253 ".", .good = true},
    {"254 bytes", HOST253 "z", .good = false},
    {"254 bytes and a trailing dot", HOST253 "z.", .good = false},
    {"a label of 64", LABEL63 "z.example", .good = false},
    {"a last label of 64", "a." LABEL63 "z", .good = false},
    {"an empty name", "", .good = false},
    {"a dot alone", ".", .good = false},
    {"two dots alone", "..", .good = false},
    {"a dot in front", ".lucit.app", .good = false},
    {"an empty label", "api..app", .good = false},
    {"two trailing dots", "api.lucit.app..", .good = false},
    {"a hyphen in front", "-a.example", .good = false},
    {"a hyphen in front of a later label", "a.-b.example", .good = false},
    {"a hyphen behind", "a.example-", .good = false},
    {"a hyphen behind an earlier label", "a-.example", .good = false},
    {"a hyphen before the trailing dot", "a.example-.", .good = false},
    {"an IPv4 address", "192.0.2.1", .good = false},
    {"an IPv4 address with a trailing dot", "192.0.2.1.", .good = false},
    {"a short IPv4 address", "1.2", .good = false},
    {"an IPv4 address in one number", "3221225985", .good = false},
    {"a last label of digits", "api.lucit.1", .good = false},
    {"one digit", "1", .good = false},
    {"an IPv6 address", "2001:db8::1", .good = false},
    {"an IPv6 address in brackets", "[::1]", .good = false},
    {"a port", "api.lucit.app:443", .good = false},
    {"a path", "api.lucit.app/api", .good = false},
    {"a URL", "https://api.lucit.app", .good = false},
    {"a user", "me@api.lucit.app", .good = false},
    {"a wildcard", "*.lucit.app", .good = false},
    {"a space", "api lucit.app", .good = false},
    {"a space behind", "api.lucit.app ", .good = false},
    {"CR LF and a field", "api.lucit.app\r\nX: b", .good = false},
    {"a percent sign", "api%2Elucit.app", .good = false},
    {"a tilde", "api~1.lucit.app", .good = false},
    {"a tilde in front", "~api.lucit.app", .good = false},
    {"a tilde behind", "api.lucit.app~", .good = false},
    {"a tilde alone", "~", .good = false},
    {"UTF-8", "caf\xC3\xA9.example", .good = false},
};

static const struct argument_row WORDS[] = {
    {"a word", "4.2.1", .good = true},
    {"any text", "\"\r\n\xFF", .good = true},
    {"no word", NULL, .good = false},
    {"an empty word", "", .good = false},
};

static const struct argument_row DATAS[] = {
    {"no data", NULL, .good = true},
    {"an object of nothing", "{}", .good = true},
    {"an object", "{\"a\":[{},null,\"\\u00e9\",1.5e3],\"b\":false}",
        .good = true},
    {"an object with white space around", " \t\r\n{ } \n", .good = true},
    {"a name twice", "{\"a\":1,\"a\":2}", .good = true},
    {"half a surrogate pair", "{\"a\":\"\\ud800\"}", .good = true},
    {"an empty text", "", .good = false},
    {"white space", " ", .good = false},
    {"null", "null", .good = false},
    {"true", "true", .good = false},
    {"a number", "1", .good = false},
    {"a string", "\"{}\"", .good = false},
    {"an array", "[]", .good = false},
    {"an array of an object", "[{}]", .good = false},
    {"a word", "ok", .good = false},
    {"half an object", "{", .good = false},
    {"an object that breaks off", "{\"a\":1", .good = false},
    {"a string that breaks off", "{\"a\":\"", .good = false},
    {"two objects", "{}{}", .good = false},
    {"what would end the body", "{}}", .good = false},
    {"what would add a member", "{},\"message\":\"m\"", .good = false},
    {"a comma too many", "{\"a\":1,}", .good = false},
    {"a name without quotes", "{a:1}", .good = false},
    {"single quotes", "{'a':1}", .good = false},
    {"a comment", "{/**/}", .good = false},
    {"a byte order mark", "\xEF\xBB\xBF{}", .good = false},
    {"a line's end in a string", "{\"a\":\"\n\"}", .good = false},
    {"what is not UTF-8", "{\"a\":\"\xFF\"}", .good = false},
    {"infinity", "{\"a\":Infinity}", .good = false},
};

/* A refusal has a reason, and never tells the token. */
static void expect_start(
    const hbeat_config *cfg, const hbeat_request *beat, bool good) {
  hbeat_exchange x;
  hbeat_reply reply;
  hbeat_error e;

  memset(&x, 0xA5, sizeof x);
  e = hbeat_begin(&x, cfg, beat, &reply);
  expect_error("the outcome", e, good ? HBEAT_OK : HBEAT_ERR_ARGUMENT);
  if (good) {
    pull_all(&x, request, sizeof request, 64);
  } else {
    expect_true("a reason", x.what != NULL && *x.what != '\0');
    expect_true("no token in it", strstr(x.what, TOKEN) == NULL);
    expect_true("no secret in it", strstr(x.what, SECRET) == NULL);
  }
}

static void expect_argument(const struct argument_row *row, const char **member,
    const hbeat_config *cfg, const hbeat_request *beat) {
  in_hand(row->name, row->text, row->text ? strlen(row->text) : 0);
  *member = row->text;
  expect_start(cfg, beat, row->good);
}

static hbeat_request report_of(hbeat_call call) {
  hbeat_request r = {.call = call, .instruction = LCUID};

  return r;
}

static hbeat_request login_of(void) {
  static char token[64];
  hbeat_request r = {.call = HBEAT_LOGIN,
      .login_token = "t",
      .login_secret = SECRET,
      .token_buffer = token,
      .token_buffer_size = sizeof token};

  return r;
}

/* A member of the configuration, for each of the calls. */
static void expect_member(const struct argument_row *row, const char **member,
    const hbeat_config *cfg) {
  hbeat_request requests[] = {beat_of(NULL, 0), report_of(HBEAT_ACKNOWLEDGE),
      report_of(HBEAT_FAILED), login_of()};

  for (size_t i = 0; i < COUNT(requests); i++)
    expect_argument(row, member, cfg, &requests[i]);
}

static void test_device(void **state) {
  hbeat_config cfg = config();

  expect_member(*state, &cfg.device, &cfg);
}

static void test_app(void **state) {
  hbeat_config cfg = config();

  expect_member(*state, &cfg.app, &cfg);
}

static void test_host(void **state) {
  hbeat_config cfg = config();

  expect_member(*state, &cfg.host, &cfg);
}

/* A log-in sends none, whatever it is. */
static void test_token(void **state) {
  const struct argument_row *row = *state;
  hbeat_config cfg = config();
  hbeat_request requests[] = {
      beat_of(NULL, 0), report_of(HBEAT_ACKNOWLEDGE), report_of(HBEAT_FAILED)};
  hbeat_request login = login_of();

  for (size_t i = 0; i < COUNT(requests); i++)
    expect_argument(row, &cfg.token, &cfg, &requests[i]);
  expect_start(&cfg, &login, true);
}

static void test_version(void **state) {
  hbeat_config cfg = config();
  hbeat_request beat = beat_of(NULL, 0);

  expect_argument(*state, &beat.lightning_version, &cfg, &beat);
}

static void test_instruction(void **state) {
  hbeat_config cfg = config();
  hbeat_request done = report_of(HBEAT_ACKNOWLEDGE);
  hbeat_request failed = report_of(HBEAT_FAILED);

  expect_argument(*state, &done.instruction, &cfg, &done);
  expect_argument(*state, &failed.instruction, &cfg, &failed);
}

static void test_response_data(void **state) {
  hbeat_config cfg = config();
  hbeat_request done = report_of(HBEAT_ACKNOWLEDGE);
  hbeat_request failed = report_of(HBEAT_FAILED);

  expect_argument(*state, &done.response_data, &cfg, &done);
  expect_argument(*state, &failed.response_data, &cfg, &failed);
}

/* As deep as a JSON text may be, and one deeper. */
static void test_deep_data(void **state) {
  static char data[6 * HBEAT_JSON_DEPTH + 20];
  hbeat_config cfg = config();
  hbeat_request failed = report_of(HBEAT_FAILED);

  (void)state;
  failed.response_data = data;
  for (int depth = HBEAT_JSON_DEPTH; depth <= HBEAT_JSON_DEPTH + 1; depth++) {
    char *at = data;
    for (int i = 1; i < depth; i++) at += sprintf(at, "{\"a\":");
    at += sprintf(at, "{}");
    for (int i = 1; i < depth; i++) *at++ = '}';
    *at = '\0';
    in_hand("deep data", data, strlen(data));
    expect_start(&cfg, &failed, depth == HBEAT_JSON_DEPTH);
  }
}

static void test_login_token(void **state) {
  hbeat_config cfg = config();
  hbeat_request login = login_of();

  expect_argument(*state, &login.login_token, &cfg, &login);
}

static void test_login_secret(void **state) {
  hbeat_config cfg = config();
  hbeat_request login = login_of();

  expect_argument(*state, &login.login_secret, &cfg, &login);
}

static void test_token_buffer(void **state) {
  hbeat_config cfg = config();
  hbeat_request login = login_of();
  char *token = login.token_buffer;

  (void)state;
  in_hand("no token buffer", "", 0);
  login.token_buffer = NULL;
  expect_start(&cfg, &login, false);
  login.token_buffer_size = 0;
  expect_start(&cfg, &login, false);
  in_hand("a token buffer of nothing", "", 0);
  login.token_buffer = token;
  expect_start(&cfg, &login, false);
  in_hand("a token buffer of one byte", "", 0);
  login.token_buffer_size = 1;
  expect_start(&cfg, &login, true);
}

static void test_no_call(void **state) {
  static const unsigned char BEYOND[] = {HBEAT_LOGIN + 1, 31};
  hbeat_config cfg = config();
  hbeat_request none = login_of();

  (void)state;
  none.instruction = LCUID;
  none.lightning_version = "4.2.1";
  for (size_t i = 0; i < sizeof BEYOND; i++) {
    in_hand("a call beyond the last", &BEYOND[i], 1);
    none.call = (hbeat_call)BEYOND[i];
    expect_start(&cfg, &none, false);
  }
}

static void test_reply_buffer(void **state) {
  hbeat_config cfg = config();
  hbeat_request beat = beat_of(NULL, 0);

  (void)state;
  in_hand("no reply buffer", "", 0);
  cfg.reply_buffer = NULL;
  expect_start(&cfg, &beat, false);
  cfg.reply_buffer_size = 0;
  expect_start(&cfg, &beat, false);
  cfg.reply_buffer = reply_buffer;
  expect_start(&cfg, &beat, false);
  cfg.reply_buffer_size = 1;
  expect_start(&cfg, &beat, true);
}

static void test_device_info(void **state) {
  static const char *const FIRST[] = {NULL, "b"}, *const LAST[] = {"a", NULL};
  hbeat_config cfg = config();
  hbeat_request none = beat_of(NULL, 1);
  hbeat_request first = beat_of(FIRST, 2), last = beat_of(LAST, 2);
  hbeat_request before = beat_of(LAST, 1);

  (void)state;
  in_hand("a count without strings", "", 0);
  expect_start(&cfg, &none, false);
  in_hand("NULL as the first string", "", 0);
  expect_start(&cfg, &first, false);
  in_hand("NULL as the last string", "", 0);
  expect_start(&cfg, &last, false);
  in_hand("NULL behind the last string", "", 0);
  expect_start(&cfg, &before, true);
}

/* A token of 4 KiB, and one of 100 KB, go out whole. */
static void test_long_token(void **state) {
  static char token[100001], expected[100100];
  static const size_t SIZES[] = {1050, 4096, 100000};
  hbeat_config cfg = config();
  hbeat_request beat = beat_of(TWO, 2);
  hbeat_exchange x;
  hbeat_reply reply;

  (void)state;
  cfg.token = token;
  for (size_t i = 0; i < COUNT(SIZES); i++) {
    memset(token, 'x', SIZES[i]);
    token[SIZES[i]] = '\0';
    in_hand("a long token", token, SIZES[i]);
    expect_error("the start", hbeat_begin(&x, &cfg, &beat, &reply), HBEAT_OK);
    request[pull_all(&x, request, sizeof request, 100)] = '\0';
    sprintf(expected, "\r\nAuthorization:Bearer %s\r\nAppIdV3:", token);
    expect_true("it is there whole", strstr(request, expected) != NULL);
  }
}

int main(void) {
  windows = fence(16384);
  cases_add_rows(test_wire, WIRES);
  cases_add_rows(test_call, CALLS);
  cases_add("windows of every size", test_windows, NULL);
  cases_add_rows(test_string, STRINGS);
  cases_add("every byte", test_every_byte, NULL);
  cases_add("10,000 strings", test_many_strings, NULL);
  cases_add_rows(test_huge_string, HUGES);
  cases_add("a report of 2 MiB", test_huge_report, NULL);
  cases_add("long tokens", test_long_token, NULL);
  cases_add_rows(test_device, DEVICES);
  cases_add_rows(test_app, VISIBLES);
  cases_add_rows(test_token, VISIBLES);
  cases_add_rows(test_host, HOSTS);
  cases_add_rows(test_version, WORDS);
  cases_add_rows(test_instruction, DEVICES);
  cases_add_rows(test_response_data, DATAS);
  cases_add("deep data", test_deep_data, NULL);
  cases_add_rows(test_login_token, WORDS);
  cases_add_rows(test_login_secret, WORDS);
  cases_add("no token buffer", test_token_buffer, NULL);
  cases_add("no call of the API's", test_no_call, NULL);
  cases_add("the reply buffer", test_reply_buffer, NULL);
  cases_add("strings that are NULL", test_device_info, NULL);
  return cases_run("request");
}
