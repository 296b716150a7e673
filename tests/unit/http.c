/*
 * Responses: RFC 9112 as a client sees it, RFC 9110 for the fields, and what
 * the API's servers and those in front of them are known to send.  Every
 * case is fed whole, split in two at every byte, and one byte at a time,
 * each piece so that the byte behind it faults; all must end alike.
 */
#include "cases.h"

#define GOOD "{\"success\":true}"
#define SIXTEEN "Content-Length: 16\r\n"
#define OK_LINE "HTTP/1.1 200 OK\r\n"
#define CHUNKED OK_LINE "Transfer-Encoding: chunked\r\n\r\n"
#define SIZED OK_LINE SIXTEEN "\r\n" GOOD
#define DATE "Date: Wed, 07 Jan 2026 00:15:19 GMT\r\n"
#define DATE_S 1767744919
#define NONE HBEAT_NONE

/* Of a line 94 bytes are always kept; these make lines of that length. */
#define TEN(x) x x x x x x x x x x
#define SIXTY(x) TEN(x) TEN(x) TEN(x) TEN(x) TEN(x) TEN(x)
#define NINETY(x) SIXTY(x) TEN(x) TEN(x) TEN(x)

enum { BUFFER = HBEAT_REPLY_BUFFER_SIZE };

static fenced wires, bodies, tokens;

enum { TOKEN_ROOM = 48, UNTOUCHED = 0x6E };

/* What all of them answer, unless a topic says otherwise: a heartbeat. */
static hbeat_request asked = {.lightning_version = "4.2.1"};

/* ---- Feeding ------------------------------------------------------------ */

typedef struct outcome {
  hbeat_error error;
  int http_status;
  bool keep_alive, success;
  int64_t retry_after_s, server_time_s;
  size_t used;
  bool has_message, has_name;
  const char *what;
  char message[256], name[64];
  char token[TOKEN_ROOM]; /* a log-in's */
} outcome;

/* How the connection is after the last byte: in use, or ended by the peer. */
typedef enum ending { OPEN, CLOSED } ending;

/* A reply buffer of `room` bytes. */
static hbeat_config config(size_t room) {
  hbeat_config cfg = {.device = "LCUID-LD-1",
      .app = "LCUID-LAP-1",
      .token = "t",
      .reply_buffer = bodies.end - room,
      .reply_buffer_size = room};

  return cfg;
}

static void copy_text(char *out, size_t size, bool *has, const char *text) {
  *has = text != NULL;
  memset(out, 0, size);
  if (text != NULL) strncpy(out, text, size - 1);
}

/* Pushes the bytes up to `end`; *at is how many were taken so far. */
static hbeat_error push_up_to(
    hbeat_exchange *x, const char *wire, size_t *at, size_t end) {
  size_t size = end - *at, used = SIZE_MAX;
  hbeat_error e = hbeat_push(x, at_end(&wires, wire + *at, size), size, &used);

  expect_true("no more is used than there is", used <= size);
  if (e == HBEAT_AGAIN)
    expect_int(
        "all is used while more is to come", (int64_t)used, (int64_t)size);
  *at += used;
  return e;
}

/* Feeds in pieces: the first `first` bytes, then pieces of `step` bytes. */
static outcome feed(const char *wire, size_t size, ending how, size_t room,
    size_t first, size_t step) {
  hbeat_config cfg = config(room);
  hbeat_exchange x;
  hbeat_reply reply;
  hbeat_error e = HBEAT_AGAIN;
  outcome o;
  size_t used;

  memset(&x, 0xA5, sizeof x);
  memset(&reply, 0xA5, sizeof reply);
  memset(&o, 0, sizeof o);
  memset(cfg.reply_buffer, 0xEE, room);
  memset(tokens.end - TOKEN_ROOM, UNTOUCHED, TOKEN_ROOM);
  expect_error("the start", hbeat_begin(&x, &cfg, &asked, &reply), HBEAT_OK);
  for (size_t end = first; o.used < size && e == HBEAT_AGAIN; end += step)
    e = push_up_to(&x, wire, &o.used, end < size ? end : size);
  if (e == HBEAT_AGAIN && how == CLOSED) {
    e = hbeat_push(&x, "", 0, &used);
    expect_int("no byte, none used", (int64_t)used, 0);
  }
  o.error = e;
  o.what = x.what;
  o.http_status = reply.http_status;
  o.keep_alive = x.keep_alive;
  o.success = reply.success;
  o.retry_after_s = reply.retry_after_s;
  o.server_time_s = reply.server_time_s;
  copy_text(o.message, sizeof o.message, &o.has_message, reply.message);
  copy_text(o.name, sizeof o.name, &o.has_name, reply.instruction.name);
  memcpy(o.token, tokens.end - TOKEN_ROOM, TOKEN_ROOM);
  return o;
}

/* How far it read where it gave the connection up is not promised. */
static void expect_outcome(
    const char *what, const outcome *got, const outcome *expected) {
  expect_error(what, got->error, expected->error);
  expect_text(what, got->what, expected->what);
  expect_int(what, got->http_status, expected->http_status);
  expect_int(what, got->keep_alive, expected->keep_alive);
  expect_int(what, got->success, expected->success);
  expect_int(what, got->retry_after_s, expected->retry_after_s);
  expect_int(what, got->server_time_s, expected->server_time_s);
  if (expected->error == HBEAT_OK || expected->keep_alive)
    expect_int(what, (int64_t)got->used, (int64_t)expected->used);
  expect_int(what, got->has_message, expected->has_message);
  expect_int(what, got->has_name, expected->has_name);
  expect_text(what, got->message, expected->message);
  expect_text(what, got->name, expected->name);
  expect_bytes(what, got->token, TOKEN_ROOM, expected->token, TOKEN_ROOM);
}

/*
 * Feeds in every manner.  A long input is split at some 200 places, or with
 * EVERY_SPLIT in the environment at all of them, which takes minutes.
 */
static outcome replay(
    const char *name, const char *wire, size_t size, ending how, size_t room) {
  bool every = size < 2000 || getenv("EVERY_SPLIT");
  size_t stride = every ? 1 : size / 200;
  outcome whole, other;

  in_hand(name, wire, size);
  whole = feed(wire, size, how, room, size, 1);
  for (size_t first = 1; first < size; first += stride) {
    other = feed(wire, size, how, room, first, size);
    expect_outcome("split in two", &other, &whole);
  }
  other = feed(wire, size, how, room, 1, 1);
  expect_outcome("byte by byte", &other, &whole);
  expect_int("success is HBEAT_OK", whole.success, whole.error == HBEAT_OK);
  if (whole.error != HBEAT_OK && whole.error != HBEAT_ERR_STATUS &&
      whole.error != HBEAT_ERR_REFUSED && whole.error != HBEAT_AGAIN)
    expect_true("the connection is not for use", !whole.keep_alive);
  return whole;
}

/* ---- Framing: where a reply ends ---------------------------------------- */

static const struct frame_row {
  const char *name;
  const char *wire;
  size_t size;
  ending how;
  hbeat_error error;
  bool keep_alive;
  size_t rest; /* bytes at the end that belong to the next reply */
} FRAMES[] = {
    /* RFC 9112 section 6.2, RFC 9110 section 8.6: Content-Length */
    {"a sized body", TEXT(SIZED), .error = HBEAT_OK, .keep_alive = true},
    {"a sized body, then the end", TEXT(SIZED), .how = CLOSED,
        .error = HBEAT_OK, .keep_alive = true},
    {"a sized body and the next reply", TEXT(SIZED SIZED), .error = HBEAT_OK,
        .keep_alive = true, .rest = sizeof SIZED - 1},
    {"a sized body and a stray CR LF", TEXT(SIZED "\r\n"), .error = HBEAT_OK,
        .keep_alive = true, .rest = 2},
    {"a sized body that is not all there",
        TEXT(OK_LINE "Content-Length: 17\r\n\r\n" GOOD), .error = HBEAT_AGAIN,
        .keep_alive = true},
    {"a sized body that is cut",
        TEXT(OK_LINE "Content-Length: 17\r\n\r\n" GOOD), .how = CLOSED,
        .error = HBEAT_ERR_TRUNCATED},
    {"a field name in any case",
        TEXT(OK_LINE "cONTENT-lENGTH: 16\r\n\r\n" GOOD), .error = HBEAT_OK,
        .keep_alive = true},
    {"no space before a value", TEXT(OK_LINE "Content-Length:16\r\n\r\n" GOOD),
        .error = HBEAT_OK, .keep_alive = true},
    {"white space around a value",
        TEXT(OK_LINE "Content-Length: \t 16 \t\r\n\r\n" GOOD),
        .error = HBEAT_OK, .keep_alive = true},
    {"leading zeros",
        TEXT(OK_LINE
            "Content-Length: 00000000000000000000000000000016\r\n\r\n" GOOD),
        .error = HBEAT_OK, .keep_alive = true},
    {"the same length twice", TEXT(OK_LINE SIXTEEN SIXTEEN "\r\n" GOOD),
        .error = HBEAT_OK, .keep_alive = true},
    {"a length of 2^32 + 16",
        TEXT(OK_LINE "Content-Length: 4294967312\r\n\r\n" GOOD),
        .error = HBEAT_ERR_TOO_BIG},
    {"a length of 2^63 - 1",
        TEXT(OK_LINE "Content-Length: 9223372036854775807\r\n\r\n" GOOD),
        .error = HBEAT_ERR_TOO_BIG},
    {"an error whose length does not fit",
        TEXT("HTTP/1.1 500 Odd\r\n"
             "Content-Length: 4294967312\r\n\r\n" GOOD),
        .error = HBEAT_AGAIN, .keep_alive = true},
    {"an error whose length does not fit, cut",
        TEXT("HTTP/1.1 500 Odd\r\n"
             "Content-Length: 4294967312\r\n\r\n" GOOD),
        .how = CLOSED, .error = HBEAT_ERR_TRUNCATED},
    {"an empty body", TEXT(OK_LINE "Content-Length: 0\r\n\r\n"),
        .error = HBEAT_ERR_JSON},

    /* RFC 9112 section 7.1: chunks */
    {"one chunk", TEXT(CHUNKED "10\r\n" GOOD "\r\n0\r\n\r\n"),
        .error = HBEAT_OK, .keep_alive = true},
    {"chunks of one byte and more",
        TEXT(CHUNKED "1\r\n{\r\n9\r\n\"success\"\r\n6\r\n:true}\r\n0\r\n\r\n"),
        .error = HBEAT_OK, .keep_alive = true},
    {"a chunk and the next reply",
        TEXT(CHUNKED "10\r\n" GOOD "\r\n0\r\n\r\n" SIZED), .error = HBEAT_OK,
        .keep_alive = true, .rest = sizeof SIZED - 1},
    {"CR LF inside a chunk",
        TEXT(CHUNKED "12\r\n{\"success\":true\r\n}\r\n0\r\n\r\n"),
        .error = HBEAT_OK, .keep_alive = true},
    {"a size in lower case",
        TEXT(CHUNKED "1a\r\n          " GOOD "\r\n0\r\n\r\n"),
        .error = HBEAT_OK, .keep_alive = true},
    {"a size in upper case",
        TEXT(CHUNKED "1A\r\n          " GOOD "\r\n0\r\n\r\n"),
        .error = HBEAT_OK, .keep_alive = true},
    {"sizes with leading zeros",
        TEXT(CHUNKED "00000000000000000000000000000010\r\n" GOOD
                     "\r\n0000\r\n\r\n"),
        .error = HBEAT_OK, .keep_alive = true},
    {"an extension", TEXT(CHUNKED "10;a=b\r\n" GOOD "\r\n0;c\r\n\r\n"),
        .error = HBEAT_OK, .keep_alive = true},
    {"extensions with white space",
        TEXT(CHUNKED "10 ; a = b\t;c\r\n" GOOD "\r\n0\r\n\r\n"),
        .error = HBEAT_OK, .keep_alive = true},
    {"a quoted extension",
        TEXT(CHUNKED "10;a=\"b;c\\\"d\"\r\n" GOOD "\r\n0\r\n\r\n"),
        .error = HBEAT_OK, .keep_alive = true},
    {"a trailer", TEXT(CHUNKED "10\r\n" GOOD "\r\n0\r\nExpires: never\r\n\r\n"),
        .error = HBEAT_OK, .keep_alive = true},
    {"trailers that would frame a body",
        TEXT(CHUNKED
            "10\r\n" GOOD
            "\r\n0\r\nContent-Length: 5\r\nTransfer-Encoding: x\r\n\r\n" SIZED),
        .error = HBEAT_OK, .keep_alive = true, .rest = sizeof SIZED - 1},
    {"a size of 94 digits",
        TEXT(CHUNKED NINETY("0") "0010\r\n" GOOD "\r\n0\r\n\r\n"),
        .error = HBEAT_OK, .keep_alive = true},
    {"a last size of 94 zeros",
        TEXT(CHUNKED "10\r\n" GOOD "\r\n" NINETY("0") "0000\r\n\r\n"),
        .error = HBEAT_OK, .keep_alive = true},
    {"a size of 94 digits and an extension",
        TEXT(CHUNKED NINETY("0") "0010;a\r\n" GOOD "\r\n0\r\n\r\n"),
        .error = HBEAT_OK, .keep_alive = true},
    {"only the last chunk", TEXT(CHUNKED "0\r\n\r\n"), .error = HBEAT_ERR_JSON},
    {"chunks that are not all there", TEXT(CHUNKED "10\r\n" GOOD "\r\n"),
        .error = HBEAT_AGAIN, .keep_alive = true},
    {"chunks without the last one", TEXT(CHUNKED "10\r\n" GOOD "\r\n"),
        .how = CLOSED, .error = HBEAT_ERR_TRUNCATED},
    {"chunks without the last line", TEXT(CHUNKED "10\r\n" GOOD "\r\n0\r\n"),
        .how = CLOSED, .error = HBEAT_ERR_TRUNCATED},
    {"trailers that are cut", TEXT(CHUNKED "10\r\n" GOOD "\r\n0\r\nA: b\r\n"),
        .how = CLOSED, .error = HBEAT_ERR_TRUNCATED},
    {"a chunk that is cut", TEXT(CHUNKED "20\r\n" GOOD), .how = CLOSED,
        .error = HBEAT_ERR_TRUNCATED},
    {"a size of 2^32 + 16", TEXT(CHUNKED "100000010\r\n" GOOD),
        .error = HBEAT_ERR_TOO_BIG},
    {"a size of 2^64 - 1", TEXT(CHUNKED "ffffffffffffffff\r\n" GOOD),
        .error = HBEAT_ERR_TOO_BIG},

    /* RFC 9112 section 6.1: Transfer-Encoding */
    {"chunked in any case",
        TEXT(OK_LINE "transfer-encoding:CHUNKED \r\n\r\n10\r\n" GOOD
                     "\r\n0\r\n\r\n"),
        .error = HBEAT_OK, .keep_alive = true},

    {"chunked and white space, in a line of 94",
        TEXT(OK_LINE "Transfer-Encoding: chunked" SIXTY(
            " ") "        \r\n\r\n10\r\n" GOOD "\r\n0\r\n\r\n"),
        .error = HBEAT_OK, .keep_alive = true},
    {"a length and white space, in a line of 94",
        TEXT(OK_LINE "Content-Length: 16" SIXTY(" ")
                TEN(" ") "      \r\n\r\n" GOOD),
        .error = HBEAT_OK, .keep_alive = true},
    {"tabs behind what is kept of a line",
        TEXT(OK_LINE "X: " NINETY("x") SIXTY("\t") "\r\n" SIXTEEN "\r\n" GOOD),
        .error = HBEAT_OK, .keep_alive = true},
    {"letters above ASCII behind what is kept of a line",
        TEXT(OK_LINE "X: " NINETY("x") SIXTY("\xC3\xA9") "\r\n" SIXTEEN
                                                         "\r\n" GOOD),
        .error = HBEAT_OK, .keep_alive = true},

    /* RFC 9112 section 6.3: bodies that end with the connection */
    {"a body to the end", TEXT(OK_LINE "\r\n" GOOD), .how = CLOSED,
        .error = HBEAT_OK},
    {"a body to the end that is not reached", TEXT(OK_LINE "\r\n" GOOD),
        .error = HBEAT_AGAIN, .keep_alive = true},
    {"a body to the end that is cut", TEXT(OK_LINE "\r\n{\"success\":tr"),
        .how = CLOSED, .error = HBEAT_ERR_JSON},
    {"no body to the end", TEXT(OK_LINE "\r\n"), .how = CLOSED,
        .error = HBEAT_ERR_JSON},
    {"keep-alive does not help",
        TEXT(OK_LINE "Connection: keep-alive\r\n\r\n" GOOD), .how = CLOSED,
        .error = HBEAT_OK},
    {"a body to the end in HTTP/1.0", TEXT("HTTP/1.0 200 OK\r\n\r\n" GOOD),
        .how = CLOSED, .error = HBEAT_OK},

    /* RFC 9112 section 9.3: Connection */
    {"close", TEXT(OK_LINE "Connection: close\r\n" SIXTEEN "\r\n" GOOD),
        .error = HBEAT_OK},
    {"close in any case",
        TEXT(OK_LINE "connection:CLOSE\r\n" SIXTEEN "\r\n" GOOD),
        .error = HBEAT_OK},
    {"close in a list",
        TEXT(OK_LINE "Connection: a, close ,b\r\n" SIXTEEN "\r\n" GOOD),
        .error = HBEAT_OK},
    {"close behind empty elements",
        TEXT(OK_LINE "Connection: ,,\t,close,\r\n" SIXTEEN "\r\n" GOOD),
        .error = HBEAT_OK},
    {"close and keep-alive",
        TEXT(OK_LINE "Connection: close, keep-alive\r\n" SIXTEEN "\r\n" GOOD),
        .error = HBEAT_OK},
    {"keep-alive and close in two fields",
        TEXT(OK_LINE "Connection: keep-alive\r\nConnection: close\r\n" SIXTEEN
                     "\r\n" GOOD),
        .error = HBEAT_OK},
    {"close and keep-alive in two fields",
        TEXT(OK_LINE "Connection: close\r\nConnection: keep-alive\r\n" SIXTEEN
                     "\r\n" GOOD),
        .error = HBEAT_OK},
    {"close at the end of a long list",
        TEXT(OK_LINE "Connection: aaaaaaaaaaaaaaaaaaaaaaaaa, "
                     "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbb,"
                     " cccccccccccccccccccccccccc, close\r\n" SIXTEEN
                     "\r\n" GOOD),
        .error = HBEAT_OK},
    {"no close: another word",
        TEXT(OK_LINE "Connection: closed, not-close, x-close\r\n" SIXTEEN
                     "\r\n" GOOD),
        .error = HBEAT_OK, .keep_alive = true},
    {"keep-alive in HTTP/1.1",
        TEXT(OK_LINE
            "Connection: keep-alive\r\nKeep-Alive: timeout=5\r\n" SIXTEEN
            "\r\n" GOOD),
        .error = HBEAT_OK, .keep_alive = true},
    {"HTTP/1.2 counts as HTTP/1.1",
        TEXT("HTTP/1.2 200 OK\r\n" SIXTEEN "\r\n" GOOD), .error = HBEAT_OK,
        .keep_alive = true},
    {"no keep-alive in HTTP/1.0",
        TEXT("HTTP/1.0 200 OK\r\n" SIXTEEN "\r\n" GOOD), .error = HBEAT_OK},
    {"keep-alive in HTTP/1.0",
        TEXT("HTTP/1.0 200 OK\r\n"
             "Connection: Keep-Alive\r\n" SIXTEEN "\r\n" GOOD),
        .error = HBEAT_OK, .keep_alive = true},
    {"close in another field",
        TEXT(OK_LINE "Proxy-Connection: close\r\n" SIXTEEN "\r\n" GOOD),
        .error = HBEAT_OK, .keep_alive = true},

    /* RFC 9110 section 15.2: interim responses */
    {"100", TEXT("HTTP/1.1 100 Continue\r\n\r\n" SIZED), .error = HBEAT_OK,
        .keep_alive = true},
    {"100 without a reason", TEXT("HTTP/1.1 100 \r\n\r\n" SIZED),
        .error = HBEAT_OK, .keep_alive = true},
    {"103 with fields, several times",
        TEXT("HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n"
             "HTTP/1.1 103 Early Hints\r\nLink: </b>; rel=preload\r\n\r\n"
             "HTTP/1.1 100 Continue\r\n\r\n" SIZED),
        .error = HBEAT_OK, .keep_alive = true},
    {"an interim status that nobody knows",
        TEXT("HTTP/1.1 199 Odd\r\n\r\n" SIZED), .error = HBEAT_OK,
        .keep_alive = true},
    {"fields of an interim response do not count",
        TEXT("HTTP/1.1 103 Early\r\nContent-Length: 5\r\nConnection: "
             "close\r\n\r\n" SIZED),
        .error = HBEAT_OK, .keep_alive = true},
    {"only interim responses", TEXT("HTTP/1.1 100 Continue\r\n\r\n"),
        .error = HBEAT_AGAIN, .keep_alive = true},
    {"only interim responses, then the end",
        TEXT("HTTP/1.1 100 Continue\r\n\r\n"), .how = CLOSED,
        .error = HBEAT_ERR_TRUNCATED},

    /* RFC 9112 section 6.3: no body, whatever the fields say */
    {"204", TEXT("HTTP/1.1 204 No Content\r\n\r\n"), .error = HBEAT_ERR_JSON},
    {"304", TEXT("HTTP/1.1 304 Not Modified\r\n\r\n" SIZED),
        .error = HBEAT_ERR_STATUS, .keep_alive = true,
        .rest = sizeof SIZED - 1},
    {"304 with the length of what it does not send",
        TEXT("HTTP/1.1 304 Not Modified\r\n" SIXTEEN "\r\n" SIZED),
        .error = HBEAT_ERR_STATUS, .keep_alive = true,
        .rest = sizeof SIZED - 1},
    {"304 that would be chunked",
        TEXT("HTTP/1.1 304 Not Modified\r\n"
             "Transfer-Encoding: chunked\r\n\r\n" SIZED),
        .error = HBEAT_ERR_STATUS, .keep_alive = true,
        .rest = sizeof SIZED - 1},

    /* RFC 9112 section 5: field lines */
    {"fields that nobody knows",
        TEXT(OK_LINE "Server: nginx\r\nX-!#$%&'*+-.^_`|~09: 1\r\n" SIXTEEN
                     "\r\n" GOOD),
        .error = HBEAT_OK, .keep_alive = true},
    {"an empty value", TEXT(OK_LINE "X-Empty:\r\n" SIXTEEN "\r\n" GOOD),
        .error = HBEAT_OK, .keep_alive = true},
    {"colons, tabs and quotes in a value",
        TEXT(OK_LINE "X: a:b\tc \"d\" (e)\r\n" SIXTEEN "\r\n" GOOD),
        .error = HBEAT_OK, .keep_alive = true},
    {"bytes above ASCII in a value",
        TEXT(OK_LINE "X: caf\xE9 \xC3\xA9 \x80\xFF\r\n" SIXTEEN "\r\n" GOOD),
        .error = HBEAT_OK, .keep_alive = true},
    {"a name that begins like a known one",
        TEXT(OK_LINE "Content-Lengthy: 5\r\nContent-Len: 5\r\n" SIXTEEN
                     "\r\n" GOOD),
        .error = HBEAT_OK, .keep_alive = true},
    {"a long name that begins like a known one",
        TEXT(
            OK_LINE "Transfer-Encoding-And-More: gzip\r\n" SIXTEEN "\r\n" GOOD),
        .error = HBEAT_OK, .keep_alive = true},

    /* RFC 9112 section 4: the status line */
    {"no reason", TEXT("HTTP/1.1 200 \r\n" SIXTEEN "\r\n" GOOD),
        .error = HBEAT_OK, .keep_alive = true},
    {"no reason and no space", TEXT("HTTP/1.1 200\r\n" SIXTEEN "\r\n" GOOD),
        .error = HBEAT_OK, .keep_alive = true},
    {"a reason of tabs and bytes above ASCII",
        TEXT("HTTP/1.1 200 \tC'est \xC3\xA7"
             "a\r\n" SIXTEEN "\r\n" GOOD),
        .error = HBEAT_OK, .keep_alive = true},
    {"a reason longer than most",
        TEXT("HTTP/1.1 200 "
             "All is as well as it can be in the best of all worlds that there "
             "are"
             " or that anybody could think of\r\n" SIXTEEN "\r\n" GOOD),
        .error = HBEAT_OK, .keep_alive = true},
    {"201", TEXT("HTTP/1.1 201 Created\r\n" SIXTEEN "\r\n" GOOD),
        .error = HBEAT_OK, .keep_alive = true},
    {"299", TEXT("HTTP/1.1 299 Odd\r\n" SIXTEEN "\r\n" GOOD), .error = HBEAT_OK,
        .keep_alive = true},
    {"599", TEXT("HTTP/1.1 599 Odd\r\n" SIXTEEN "\r\n" GOOD),
        .error = HBEAT_ERR_STATUS, .keep_alive = true},
    {"nothing", TEXT(""), .how = CLOSED, .error = HBEAT_ERR_TRUNCATED},
    {"nothing yet", TEXT(""), .error = HBEAT_AGAIN},
};

/* What was told apart as a reply's end shows in `used` and `keep_alive`. */
static void test_frame(void **state) {
  const struct frame_row *row = *state;
  outcome o = replay(row->name, row->wire, row->size, row->how, BUFFER);

  expect_error("the outcome", o.error, row->error);
  if (o.error == HBEAT_OK || o.error == HBEAT_ERR_STATUS) {
    expect_int("keep_alive", o.keep_alive, row->keep_alive);
    expect_int(
        "the bytes used", (int64_t)o.used, (int64_t)(row->size - row->rest));
  }
}

/* What breaks the rules, wherever the connection stands: HBEAT_ERR_HTTP. */
static const struct wire_row {
  const char *name;
  const char *wire;
  size_t size;
} BROKEN[] = {
    /* RFC 9112 section 6.2, RFC 9110 section 8.6: Content-Length */
    {"two lengths", TEXT(OK_LINE SIXTEEN "Content-Length: 17\r\n\r\n" GOOD)},
    {"two lengths, the first of them zero",
        TEXT(OK_LINE "Content-Length: 0\r\n" SIXTEEN "\r\n" GOOD)},
    {"a list of lengths", TEXT(OK_LINE "Content-Length: 16, 16\r\n\r\n" GOOD)},
    {"a list of two lengths",
        TEXT(OK_LINE "Content-Length: 16, 17\r\n\r\n" GOOD)},
    {"no length", TEXT(OK_LINE "Content-Length:\r\n\r\n" GOOD)},
    {"white space for a length",
        TEXT(OK_LINE "Content-Length: \t \r\n\r\n" GOOD)},
    {"a length with plus", TEXT(OK_LINE "Content-Length: +16\r\n\r\n" GOOD)},
    {"a negative length", TEXT(OK_LINE "Content-Length: -16\r\n\r\n" GOOD)},
    {"minus zero", TEXT(OK_LINE "Content-Length: -0\r\n\r\n" GOOD)},
    {"a hexadecimal length", TEXT(OK_LINE "Content-Length: 0x10\r\n\r\n" GOOD)},
    {"a length with a fraction",
        TEXT(OK_LINE "Content-Length: 16.0\r\n\r\n" GOOD)},
    {"a length with an exponent",
        TEXT(OK_LINE "Content-Length: 16e0\r\n\r\n" GOOD)},
    {"a length with a space inside",
        TEXT(OK_LINE "Content-Length: 1 6\r\n\r\n" GOOD)},
    {"a length in quotes", TEXT(OK_LINE "Content-Length: \"16\"\r\n\r\n" GOOD)},
    {"a length of letters", TEXT(OK_LINE "Content-Length: all\r\n\r\n" GOOD)},
    {"a length of 2^64 + 16",
        TEXT(OK_LINE "Content-Length: 18446744073709551632\r\n\r\n" GOOD)},
    {"a length of 30 digits",
        TEXT(OK_LINE
            "Content-Length: 999999999999999999999999999999\r\n\r\n" GOOD)},

    /* RFC 9112 section 7.1: chunks */
    {"no size", TEXT(CHUNKED "\r\n" GOOD "\r\n0\r\n\r\n")},
    {"no size for the last chunk", TEXT(CHUNKED "10\r\n" GOOD "\r\n\r\n\r\n")},
    {"only an extension for the last chunk",
        TEXT(CHUNKED "10\r\n" GOOD "\r\n;a\r\n\r\n")},
    {"only an extension", TEXT(CHUNKED ";a\r\n" GOOD "\r\n0\r\n\r\n")},
    {"a size that is none", TEXT(CHUNKED "xyz\r\n" GOOD "\r\n0\r\n\r\n")},
    {"a size with 0x", TEXT(CHUNKED "0x10\r\n" GOOD "\r\n0\r\n\r\n")},
    {"a size with plus", TEXT(CHUNKED "+10\r\n" GOOD "\r\n0\r\n\r\n")},
    {"a negative size", TEXT(CHUNKED "-10\r\n" GOOD "\r\n0\r\n\r\n")},
    {"a space before the size", TEXT(CHUNKED " 10\r\n" GOOD "\r\n0\r\n\r\n")},
    {"a space inside the size", TEXT(CHUNKED "1 0\r\n" GOOD "\r\n0\r\n\r\n")},
    {"a size of 2^64 + 16",
        TEXT(CHUNKED "10000000000000010\r\n" GOOD "\r\n0\r\n\r\n")},
    {"a word behind a size and 92 blanks",
        TEXT(CHUNKED "10" NINETY(" ") "  x\r\n" GOOD "\r\n0\r\n\r\n")},
    {"a word behind a size and 93 blanks",
        TEXT(CHUNKED "10" NINETY(" ") "   x\r\n" GOOD "\r\n0\r\n\r\n")},
    {"a word behind a size and 300 blanks",
        TEXT(CHUNKED "10" NINETY(" ") NINETY(" ") NINETY(" ") TEN(" ") TEN(" ")
                TEN(" ") "x\r\n" GOOD "\r\n0\r\n\r\n")},
    {"another size behind a size and 93 blanks",
        TEXT(CHUNKED "10" NINETY(" ") "   5\r\n" GOOD "\r\n0\r\n\r\n")},
    {"no CR LF behind a chunk", TEXT(CHUNKED "10\r\n" GOOD "0\r\n\r\n")},
    {"a bare LF behind a chunk", TEXT(CHUNKED "10\r\n" GOOD "\n0\r\n\r\n")},
    {"a bare CR behind a chunk", TEXT(CHUNKED "10\r\n" GOOD "\r0\r\n\r\n")},
    {"a letter and LF behind a chunk",
        TEXT(CHUNKED "10\r\n" GOOD "x\n0\r\n\r\n")},
    {"CR and a letter behind a chunk",
        TEXT(CHUNKED "10\r\n" GOOD "\rx0\r\n\r\n")},
    {"a chunk longer than its size",
        TEXT(CHUNKED "0f\r\n" GOOD "\r\n0\r\n\r\n")},
    {"a bare LF behind the size", TEXT(CHUNKED "10\n" GOOD "\r\n0\r\n\r\n")},
    {"a bare CR behind the size", TEXT(CHUNKED "10\r" GOOD "\r\n0\r\n\r\n")},
    {"a bare LF in an extension", TEXT(CHUNKED "10;a\n" GOOD "\r\n0\r\n\r\n")},
    {"a bare CR in an extension",
        TEXT(CHUNKED "10;a\rb\r\n" GOOD "\r\n0\r\n\r\n")},
    {"a NUL in an extension", TEXT(CHUNKED "10;a\0\r\n" GOOD "\r\n0\r\n\r\n")},
    {"a bare LF behind the last chunk",
        TEXT(CHUNKED "10\r\n" GOOD "\r\n0\r\n\n")},
    {"two CR behind a size", TEXT(CHUNKED "10\r\r\n" GOOD "\r\n0\r\n\r\n")},
    {"two CR behind an extension",
        TEXT(CHUNKED "10;a\r\r\n" GOOD "\r\n0\r\n\r\n")},
    {"two CR behind a chunk", TEXT(CHUNKED "10\r\n" GOOD "\r\r\n0\r\n\r\n")},
    {"two CR behind the last size",
        TEXT(CHUNKED "10\r\n" GOOD "\r\n0\r\r\n\r\n")},
    {"two CR behind the last chunk",
        TEXT(CHUNKED "10\r\n" GOOD "\r\n0\r\n\r\r\n")},
    {"two CR behind a trailer",
        TEXT(CHUNKED "10\r\n" GOOD "\r\n0\r\nA: b\r\r\n\r\n")},
    {"two CR behind all trailers",
        TEXT(CHUNKED "10\r\n" GOOD "\r\n0\r\nA: b\r\n\r\r\n")},
    {"0x1F in an extension", TEXT(CHUNKED "10;a\x1F\r\n" GOOD "\r\n0\r\n\r\n")},
    {"DEL in an extension", TEXT(CHUNKED "10;a\x7F\r\n" GOOD "\r\n0\r\n\r\n")},
    {"0x1F in a trailer",
        TEXT(CHUNKED "10\r\n" GOOD "\r\n0\r\nA: b\x1F\r\n\r\n")},
    {"DEL in a trailer",
        TEXT(CHUNKED "10\r\n" GOOD "\r\n0\r\nA: b\x7F\r\n\r\n")},
    {"a size of 94 zeros and a digit",
        TEXT(CHUNKED NINETY("0") "00001\r\n{\r\n0\r\n\r\n")},
    {"a size of 95 zeros and a digit, which would be the last",
        TEXT(CHUNKED "10\r\n" GOOD "\r\n" NINETY("0") "000001\r\n\r\n")},
    {"a last size of 95 zeros",
        TEXT(CHUNKED "10\r\n" GOOD "\r\n" NINETY("0") "00000\r\n\r\n")},
    {"a malformed trailer",
        TEXT(CHUNKED "10\r\n" GOOD "\r\n0\r\nno colon\r\n\r\n")},
    {"a folded trailer",
        TEXT(CHUNKED "10\r\n" GOOD "\r\n0\r\nA: b\r\n c\r\n\r\n")},

    /* RFC 9112 section 6.1: Transfer-Encoding */
    {"chunked and Content-Length",
        TEXT(OK_LINE SIXTEEN "Transfer-Encoding: chunked\r\n\r\n10\r\n" GOOD
                             "\r\n0\r\n\r\n")},
    {"chunked and Content-Length behind it",
        TEXT(OK_LINE "Transfer-Encoding: chunked\r\n" SIXTEEN "\r\n" GOOD)},
    {"chunked and a length of zero",
        TEXT(OK_LINE "Transfer-Encoding: chunked\r\nContent-Length: "
                     "0\r\n\r\n0\r\n\r\n")},
    {"gzip", TEXT(OK_LINE "Transfer-Encoding: gzip\r\n\r\n" GOOD)},
    {"a coding too long to be kept",
        TEXT(OK_LINE "Transfer-Encoding: "
                     "chunked-chunked-chunked-chunked-chunked-chunked-chunked-"
                     "chunked-chunked\r\n\r\n0\r\n\r\n")},
    {"a length too long to be kept",
        TEXT(
            OK_LINE "Content-Length: 0000000000000000000000000000000000000000"
                    "000000000000000000000000000000000000000016\r\n\r\n" GOOD)},
    {"another coding where the line is cut",
        TEXT(OK_LINE "Transfer-Encoding: chunked" NINETY(
            " ") ", gzip\r\n\r\n10\r\n" GOOD "\r\n0\r\n\r\n")},
    {"chunked and white space, in a line of 95",
        TEXT(OK_LINE "Transfer-Encoding: chunked" SIXTY(
            " ") "         \r\n\r\n10\r\n" GOOD "\r\n0\r\n\r\n")},
    {"another length where the line is cut",
        TEXT(OK_LINE "Content-Length: 16" NINETY(" ") ", 17\r\n\r\n" GOOD)},
    {"a length and white space, in a line of 95",
        TEXT(OK_LINE "Content-Length: 16" SIXTY(" ")
                TEN(" ") "       \r\n\r\n" GOOD)},
    {"gzip, chunked",
        TEXT(OK_LINE "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n")},
    {"gzip and chunked in two fields",
        TEXT(OK_LINE
            "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n"
            "0\r\n\r\n")},
    {"chunked twice",
        TEXT(OK_LINE "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n")},
    {"chunked in two fields",
        TEXT(OK_LINE
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"
            "0\r\n\r\n")},
    {"chunked before another coding",
        TEXT(OK_LINE "Transfer-Encoding: chunked, gzip\r\n\r\n" GOOD)},
    {"chunked with a parameter",
        TEXT(OK_LINE "Transfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n")},
    {"chunked misspelt",
        TEXT(OK_LINE "Transfer-Encoding: xchunked\r\n\r\n" GOOD)},
    {"identity",
        TEXT(OK_LINE "Transfer-Encoding: identity\r\n" SIXTEEN "\r\n" GOOD)},
    {"no coding", TEXT(OK_LINE "Transfer-Encoding:\r\n\r\n" GOOD)},
    {"chunked in HTTP/1.0",
        TEXT("HTTP/1.0 200 OK\r\n"
             "Transfer-Encoding: chunked\r\n\r\n10\r\n" GOOD "\r\n0\r\n\r\n")},

    /* RFC 9110 section 15.2: interim responses */
    {"101, which nobody asked for",
        TEXT("HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n" SIZED)},

    /* RFC 9112 section 5: field lines */
    {"a folded line", TEXT(OK_LINE "X: a\r\n b\r\n" SIXTEEN "\r\n" GOOD)},
    {"a line folded with a tab",
        TEXT(OK_LINE "X: a\r\n\tb\r\n" SIXTEEN "\r\n" GOOD)},
    {"white space before the first field",
        TEXT(OK_LINE " X: a\r\n" SIXTEEN "\r\n" GOOD)},
    {"a space before the colon",
        TEXT(OK_LINE "Content-Length : 16\r\n\r\n" GOOD)},
    {"a tab before the colon",
        TEXT(OK_LINE "Content-Length\t: 16\r\n\r\n" GOOD)},
    {"a space in a name", TEXT(OK_LINE "X Y: 1\r\n" SIXTEEN "\r\n" GOOD)},
    {"no name", TEXT(OK_LINE ": 1\r\n" SIXTEEN "\r\n" GOOD)},
    {"no colon", TEXT(OK_LINE "X\r\n" SIXTEEN "\r\n" GOOD)},
    {"a name with a bracket", TEXT(OK_LINE "X(1): a\r\n" SIXTEEN "\r\n" GOOD)},
    {"a name with a byte above ASCII",
        TEXT(OK_LINE "X\xC3\xA9: a\r\n" SIXTEEN "\r\n" GOOD)},
    {"a NUL in a name", TEXT(OK_LINE "X\0: a\r\n" SIXTEEN "\r\n" GOOD)},
    {"a NUL in a value", TEXT(OK_LINE "X: a\0b\r\n" SIXTEEN "\r\n" GOOD)},
    {"a bare CR in a value", TEXT(OK_LINE "X: a\rb\r\n" SIXTEEN "\r\n" GOOD)},
    {"two CR", TEXT(OK_LINE "X: a\r\r\n" SIXTEEN "\r\n" GOOD)},
    {"two CR behind the head", TEXT(OK_LINE SIXTEEN "\r\r\n" GOOD)},
    {"a bare LF behind a value", TEXT(OK_LINE "X: a\n" SIXTEEN "\r\n" GOOD)},
    {"a bare LF behind the head", TEXT(OK_LINE SIXTEEN "\n" GOOD)},
    {"a bare CR behind the head", TEXT(OK_LINE SIXTEEN "\r" GOOD)},

    /* RFC 9112 section 4: the status line */
    {"HTTP/2", TEXT("HTTP/2 200 OK\r\n" SIXTEEN "\r\n" GOOD)},
    {"HTTP/2.0", TEXT("HTTP/2.0 200 OK\r\n" SIXTEEN "\r\n" GOOD)},
    {"HTTP/0.9", TEXT("HTTP/0.9 200 OK\r\n" SIXTEEN "\r\n" GOOD)},
    {"HTTP/1.11", TEXT("HTTP/1.11 200 OK\r\n" SIXTEEN "\r\n" GOOD)},
    {"HTTP/11", TEXT("HTTP/11 200 OK\r\n" SIXTEEN "\r\n" GOOD)},
    {"HTTP/1.", TEXT("HTTP/1. 200 OK\r\n" SIXTEEN "\r\n" GOOD)},
    {"http in lower case", TEXT("http/1.1 200 OK\r\n" SIXTEEN "\r\n" GOOD)},
    {"another protocol", TEXT("ICY 200 OK\r\n" SIXTEEN "\r\n" GOOD)},
    {"no version", TEXT("200 OK\r\n" SIXTEEN "\r\n" GOOD)},
    {"a status of two digits", TEXT("HTTP/1.1 20 OK\r\n" SIXTEEN "\r\n" GOOD)},
    {"a status of four digits",
        TEXT("HTTP/1.1 2000 OK\r\n" SIXTEEN "\r\n" GOOD)},
    {"a status with a letter", TEXT("HTTP/1.1 20O OK\r\n" SIXTEEN "\r\n" GOOD)},
    {"a status with a sign", TEXT("HTTP/1.1 +200 OK\r\n" SIXTEEN "\r\n" GOOD)},
    {"a reason that touches the status",
        TEXT("HTTP/1.1 200OK\r\n" SIXTEEN "\r\n" GOOD)},
    {"no status", TEXT("HTTP/1.1\r\n" SIXTEEN "\r\n" GOOD)},
    {"two spaces before the status",
        TEXT("HTTP/1.1  200 OK\r\n" SIXTEEN "\r\n" GOOD)},
    {"a tab before the status",
        TEXT("HTTP/1.1\t200 OK\r\n" SIXTEEN "\r\n" GOOD)},
    {"status 000", TEXT("HTTP/1.1 000 Odd\r\n" SIXTEEN "\r\n" GOOD)},
    {"status 099", TEXT("HTTP/1.1 099 Odd\r\n" SIXTEEN "\r\n" GOOD)},
    {"status 600", TEXT("HTTP/1.1 600 Odd\r\n" SIXTEEN "\r\n" GOOD)},
    {"status 999", TEXT("HTTP/1.1 999 Odd\r\n" SIXTEEN "\r\n" GOOD)},
    {"a blank line before the status line", TEXT("\r\n" SIZED)},
    {"white space before the status line", TEXT(" " SIZED)},
    {"a NUL in the reason", TEXT("HTTP/1.1 200 O\0K\r\n" SIXTEEN "\r\n" GOOD)},
    {"0x1F in the reason", TEXT("HTTP/1.1 200 O\x1FK\r\n" SIXTEEN "\r\n" GOOD)},
    {"DEL in the reason", TEXT("HTTP/1.1 200 O\x7FK\r\n" SIXTEEN "\r\n" GOOD)},
    {"two CR behind the status line",
        TEXT("HTTP/1.1 200 OK\r\r\n" SIXTEEN "\r\n" GOOD)},
    {"a bare LF behind the status line",
        TEXT("HTTP/1.1 200 OK\n" SIXTEEN "\r\n" GOOD)},
    {"a bare CR in the status line",
        TEXT("HTTP/1.1 200\rOK\r\n" SIXTEEN "\r\n" GOOD)},
    {"TLS's alert for a plain client", TEXT("\x15\x03\x01\x00\x02\x02\x28")},
    {"a mail server", TEXT("220 mail.example ESMTP\r\n")},
    {"a bare page, as HTTP/0.9 had it", TEXT("<html></html>\r\n")},
};

static void test_broken(void **state) {
  const struct wire_row *row = *state;

  expect_error("the outcome",
      replay(row->name, row->wire, row->size, OPEN, BUFFER).error,
      HBEAT_ERR_HTTP);
}

/* A field line with this byte between two texts. */
static void expect_byte(
    const char *before, int c, const char *behind, bool good) {
  char wire[100], name[20];
  int size = sprintf(
      wire, OK_LINE "%s%c%s\r\n" SIXTEEN "\r\n" GOOD, before, (char)c, behind);

  sprintf(name, "byte 0x%02X", (unsigned)c);
  expect_error("the outcome",
      replay(name, wire, (size_t)size, OPEN, BUFFER).error,
      good ? HBEAT_OK : HBEAT_ERR_HTTP);
}

/* RFC 9110 section 5.6.2: each byte in the midst of a field's name. */
static void test_name_bytes(void **state) {
  (void)state;
  for (int c = 0; c < 256; c++) {
    bool letter = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
    bool digit = c >= '0' && c <= '9';
    bool mark = c != 0 && strchr("!#$%&'*+-.^_`|~", c);

    expect_byte("X", c, "Y: a", letter || digit || mark || c == ':');
  }
}

/* RFC 9110 section 5.5: each byte in the midst of a field's value. */
static void test_value_bytes(void **state) {
  (void)state;
  for (int c = 0; c < 256; c++)
    expect_byte("X: a", c, "b", c == '\t' || (c >= ' ' && c != 0x7F));
}

/* No reply is whole before its last byte, and a close does not make it so. */
static const struct wire_row WHOLE[] = {
    {"prefixes of a sized reply", TEXT(SIZED)},
    {"prefixes of a chunked reply",
        TEXT(CHUNKED
            "8;a=b\r\n{\"succes\r\n8\r\ns\":true}\r\n0\r\nA: b\r\n\r\n")},
    {"prefixes of an interim and a final reply",
        TEXT("HTTP/1.1 103 Early\r\nLink: </a>\r\n\r\n" SIZED)},
};

static void test_prefixes(void **state) {
  const struct wire_row *row = *state;

  for (size_t size = 0; size < row->size; size++) {
    in_hand(row->name, row->wire, size);
    expect_error("left open",
        feed(row->wire, size, OPEN, BUFFER, size, 1).error, HBEAT_AGAIN);
    expect_error("closed", feed(row->wire, size, CLOSED, BUFFER, size, 1).error,
        HBEAT_ERR_TRUNCATED);
  }
}

/* ---- Sizes -------------------------------------------------------------- */

static char big[200000];

/* Fills up a field so that the head is `size` bytes long, and adds a body. */
static size_t write_head(char *out, size_t size) {
  static const char END[] = "\r\n" SIXTEEN "\r\n";
  size_t fill = size - (sizeof OK_LINE - 1) - 3 - (sizeof END - 1);
  char *p = out;

  p = strcpy(p, OK_LINE) + sizeof OK_LINE - 1;
  p = strcpy(p, "X: ") + 3;
  memset(p, 'a', fill);
  strcpy(p + fill, END);
  strcpy(out + size, GOOD);
  return size + sizeof GOOD - 1;
}

static void test_head_at_limit(void **state) {
  size_t size = write_head(big, HBEAT_HEAD_MAX);

  (void)state;
  expect_error("the outcome",
      replay("a head of HBEAT_HEAD_MAX", big, size, OPEN, BUFFER).error,
      HBEAT_OK);
}

static void test_head_past_limit(void **state) {
  size_t size = write_head(big, HBEAT_HEAD_MAX + 1);

  (void)state;
  expect_error("the outcome",
      replay("a head one byte longer", big, size, OPEN, BUFFER).error,
      HBEAT_ERR_HTTP);
}

/* Row: what never ends, and what it begins with. */
static const struct endless_row {
  const char *name;
  const char *head;
  const char *repeated;
} ENDLESS[] = {
    {"a status line without end", "HTTP/1.1 200 ", "a"},
    {"a name without end", OK_LINE, "a"},
    {"a value without end", OK_LINE "X: ", "a"},
    {"white space without end", OK_LINE "X:", " "},
    {"a known field without end", OK_LINE "Date: ", "a"},
    {"a length without end", OK_LINE "Content-Length: ", "0"},
    {"fields without end", OK_LINE, "X: a\r\n"},
    {"interim responses without end", "", "HTTP/1.1 100 Continue\r\n\r\n"},
    {"a chunk's size without end", CHUNKED, "0"},
    {"an extension without end", CHUNKED "10;", "a"},
    {"white space behind a size without end", CHUNKED "10", " "},
    {"trailers without end", CHUNKED "10\r\n" GOOD "\r\n0\r\n", "X: a\r\n"},
};

static void test_endless(void **state) {
  const struct endless_row *row = *state;
  char *p = strcpy(big, row->head) + strlen(row->head);
  size_t step = strlen(row->repeated);

  while (p - big <= 2 * HBEAT_HEAD_MAX) p = strcpy(p, row->repeated) + step;
  expect_error("the outcome",
      replay(row->name, big, (size_t)(p - big), OPEN, BUFFER).error,
      HBEAT_ERR_HTTP);
}

/* What says where a body ends. */
typedef enum delimiter { BY_LENGTH, BY_CHUNKS, BY_CLOSE } delimiter;

/* Writes a head with a Date, and a body that begins with some JSON and goes on
 * to `size` bytes with spaces. */
static size_t write_body(char *out, const char *status_line, delimiter how,
    const char *json, size_t size) {
  char *p = out;

  p += sprintf(p, "%s" DATE "Retry-After: 7\r\n", status_line);
  if (how == BY_LENGTH) p += sprintf(p, "Content-Length: %zu\r\n\r\n", size);
  if (how == BY_CHUNKS)
    p += sprintf(p, "Transfer-Encoding: chunked\r\n\r\n%zX\r\n", size);
  if (how == BY_CLOSE) p += sprintf(p, "\r\n");
  memset(p, ' ', size);
  memcpy(p, json, strlen(json));
  p += size;
  if (how == BY_CHUNKS) p = strcpy(p, "\r\n0\r\n\r\n") + 7;
  return (size_t)(p - out);
}

static const struct body_size_row {
  const char *name;
  size_t size;
  delimiter how;
  hbeat_error error;
} BODY_SIZES[] = {
    {"a sized body that just fits", .size = BUFFER, .how = BY_LENGTH,
        .error = HBEAT_OK},
    {"a chunked body that just fits", .size = BUFFER, .how = BY_CHUNKS,
        .error = HBEAT_OK},
    {"an open body that just fits", .size = BUFFER, .how = BY_CLOSE,
        .error = HBEAT_OK},
    {"a sized body one byte too big", .size = BUFFER + 1, .how = BY_LENGTH,
        .error = HBEAT_ERR_TOO_BIG},
    {"a chunked body one byte too big", .size = BUFFER + 1, .how = BY_CHUNKS,
        .error = HBEAT_ERR_TOO_BIG},
    {"an open body one byte too big", .size = BUFFER + 1, .how = BY_CLOSE,
        .error = HBEAT_ERR_TOO_BIG},
    {"a sized body far too big", .size = 100000, .how = BY_LENGTH,
        .error = HBEAT_ERR_TOO_BIG},
    {"a chunked body far too big", .size = 100000, .how = BY_CHUNKS,
        .error = HBEAT_ERR_TOO_BIG},
    {"an open body far too big", .size = 100000, .how = BY_CLOSE,
        .error = HBEAT_ERR_TOO_BIG},
};

/* What arrived before the body survives it. */
static void test_body_size(void **state) {
  const struct body_size_row *row = *state;
  size_t size = write_body(big, OK_LINE, row->how, GOOD, row->size);
  ending end = row->how == BY_CLOSE ? CLOSED : OPEN;
  outcome o = replay(row->name, big, size, end, BUFFER);

  expect_error("the outcome", o.error, row->error);
  expect_int("http_status", o.http_status, 200);
  expect_int("server_time_s", o.server_time_s, DATE_S);
  expect_int("retry_after_s", o.retry_after_s, 7);
}

/* An error stays one, however much of its body there is room for. */
static void test_error_body_size(void **state) {
  const struct body_size_row *row = *state;
  size_t size = write_body(big, "HTTP/1.1 503 Odd\r\n", row->how,
      "{\"message\":\"Later.\"}", row->size);
  outcome o = replay(row->name, big, size, CLOSED, BUFFER);

  expect_error("the outcome", o.error, HBEAT_ERR_STATUS);
  expect_int("http_status", o.http_status, 503);
  expect_int("server_time_s", o.server_time_s, DATE_S);
  expect_int("retry_after_s", o.retry_after_s, 7);
  expect_text("message", o.has_message ? o.message : NULL, "Later.");
  expect_int("the connection is for use", o.keep_alive,
      row->error == HBEAT_OK && row->how != BY_CLOSE);
}

/* ---- Status, Retry-After, Date, message --------------------------------- */

#define JSON_TYPE "Content-Type: application/json\r\n"
#define PAGE "<html><h1>Hi</h1>" /* 17 bytes */
#define PAGE_LENGTH "Content-Type: text/html\r\nContent-Length: 17\r\n"

/* What the API, its framework, and those in front of it answer. */
static const struct answer_row {
  const char *name;
  const char *wire;
  size_t size;
  ending how;
  hbeat_error error;
  int http_status;
  bool keep_alive;
  int64_t retry_after_s; /* 0: none was sent that can be read */
  int64_t server_time_s; /* 0: so for this */
  const char *message;
} ANSWERS[] = {
    {"200 with Date", TEXT(OK_LINE DATE SIXTEEN "\r\n" GOOD), .error = HBEAT_OK,
        .http_status = 200, .keep_alive = true, .server_time_s = DATE_S},
    {"401 with a message",
        TEXT("HTTP/1.1 401 Unauthorized\r\n" DATE JSON_TYPE
             "Content-Length: 30\r\n\r\n"
             "{\"message\":\"Unauthenticated.\"}"),
        .error = HBEAT_ERR_STATUS, .http_status = 401, .keep_alive = true,
        .server_time_s = DATE_S, .message = "Unauthenticated."},
    {"401 with a message in chunks",
        TEXT("HTTP/1.1 401 Unauthorized\r\n"
             "Transfer-Encoding: chunked\r\n\r\n5\r\n{\"mes\r\n19\r\n"
             "sage\":\"Unauthenticated.\"}\r\n0\r\n\r\n"),
        .error = HBEAT_ERR_STATUS, .http_status = 401, .keep_alive = true,
        .message = "Unauthenticated."},
    {"401 that would have a proxy's log-in",
        TEXT(
            "HTTP/1.1 401 Unauthorized\r\nProxy-Authenticate: Basic\r\n" SIXTEEN
            "\r\n" GOOD),
        .error = HBEAT_ERR_STATUS, .http_status = 401, .keep_alive = true},
    {"401, empty",
        TEXT("HTTP/1.1 401 Unauthorized\r\n"
             "Content-Length: 0\r\n\r\n"),
        .error = HBEAT_ERR_STATUS, .http_status = 401, .keep_alive = true},
    {"401, empty, ended by a close",
        TEXT("HTTP/1.1 401 Unauthorized\r\n"
             "Connection: close\r\n\r\n"),
        .how = CLOSED, .error = HBEAT_ERR_STATUS, .http_status = 401},
    {"302 to a log-in page",
        TEXT("HTTP/1.1 302 Found\r\n"
             "Location: https://api.lucit.app/login\r\n" PAGE_LENGTH
             "\r\n" PAGE),
        .error = HBEAT_ERR_STATUS, .http_status = 302, .keep_alive = true},
    {"403",
        TEXT("HTTP/1.1 403 Forbidden\r\nContent-Length: 40\r\n\r\n"
             "{\"message\":\"This action is forbidden. \"}"),
        .error = HBEAT_ERR_STATUS, .http_status = 403, .keep_alive = true,
        .message = "This action is forbidden. "},
    {"404 with escapes",
        TEXT("HTTP/1.1 404 Not Found\r\n"
             "Content-Length: 39\r\n\r\n{\"message\":\"caf\\u00e9 \\/ "
             "\\uD83D\\uDE00"
             "\"}"),
        .error = HBEAT_ERR_STATUS, .http_status = 404, .keep_alive = true,
        .message = "caf\xC3\xA9 / \xF0\x9F\x98\x80"},
    {"405",
        TEXT("HTTP/1.1 405 Method Not Allowed\r\nAllow: POST\r\n"
             "Content-Length: 29\r\n\r\n{\"message\":\"Use POST instead\"}"),
        .error = HBEAT_ERR_STATUS, .http_status = 405, .keep_alive = true,
        .message = "Use POST instead"},
    {"422 with errors",
        TEXT("HTTP/1.1 422 Unprocessable Content\r\n"
             "Content-Length: 88\r\n\r\n{\"message\":\"The given data was "
             "invalid.\","
             "\"errors\":{\"lightning_version\":[\"is required\"]}}"),
        .error = HBEAT_ERR_STATUS, .http_status = 422, .keep_alive = true,
        .message = "The given data was invalid."},
    {"the API's own error",
        TEXT("HTTP/1.1 400 Bad Request\r\n"
             "Content-Length: 48\r\n\r\n"
             "{\"ok\":false,\"message\":\"No such app\",\"code\":\"E12\"}"),
        .error = HBEAT_ERR_STATUS, .http_status = 400, .keep_alive = true,
        .message = "No such app"},
    {"a message that is not first",
        TEXT("HTTP/1.1 400 Bad Request\r\n"
             "Content-Length: 47\r\n\r\n"
             "{\"errors\":{\"message\":\"inner\"},\"message\":\"outer\"}"),
        .error = HBEAT_ERR_STATUS, .http_status = 400, .keep_alive = true,
        .message = "outer"},
    {"a message that is no string",
        TEXT("HTTP/1.1 400 Bad Request\r\n"
             "Content-Length: 15\r\n\r\n{\"message\":404}"),
        .error = HBEAT_ERR_STATUS, .http_status = 400, .keep_alive = true},
    {"a message of null",
        TEXT("HTTP/1.1 400 Bad Request\r\n"
             "Content-Length: 16\r\n\r\n{\"message\":null}"),
        .error = HBEAT_ERR_STATUS, .http_status = 400, .keep_alive = true},
    {"an error whose body is an array",
        TEXT("HTTP/1.1 400 Bad Request\r\n"
             "Content-Length: 19\r\n\r\n[{\"message\":\"no\"},1]"),
        .error = HBEAT_ERR_STATUS, .http_status = 400, .keep_alive = true},
    {"429 with Retry-After",
        TEXT("HTTP/1.1 429 Too Many Requests\r\n"
             "X-RateLimit-Limit: 60\r\nX-RateLimit-Remaining: 0\r\n"
             "Retry-After: 42\r\nContent-Length: 31\r\n\r\n"
             "{\"message\":\"Too Many Attempts.\"}"),
        .error = HBEAT_ERR_STATUS, .http_status = 429, .keep_alive = true,
        .retry_after_s = 42, .message = "Too Many Attempts."},
    {"429 of a CDN",
        TEXT("HTTP/1.1 429 Too Many Requests\r\n"
             "Retry-After: 10\r\nContent-Length: 16\r\n\r\nerror code: 1015"),
        .error = HBEAT_ERR_STATUS, .http_status = 429, .keep_alive = true,
        .retry_after_s = 10},
    {"500",
        TEXT("HTTP/1.1 500 Internal Server Error\r\n"
             "Content-Length: 26\r\n\r\n{\"message\":\"Server Error\"}"),
        .error = HBEAT_ERR_STATUS, .http_status = 500, .keep_alive = true,
        .message = "Server Error"},
    {"503 with a page and seconds",
        TEXT("HTTP/1.1 503 Unavailable\r\n" DATE
             "Retry-After: 120\r\n" PAGE_LENGTH "\r\n" PAGE),
        .error = HBEAT_ERR_STATUS, .http_status = 503, .keep_alive = true,
        .retry_after_s = 120, .server_time_s = DATE_S},
    {"503 with JSON and a date",
        TEXT("HTTP/1.1 503 Unavailable\r\n" DATE
             "Retry-After: Wed, 07 Jan 2026 00:17:19 GMT\r\n"
             "Content-Length: 33\r\n\r\n{\"message\":\"Service Unavailable\"}"),
        .error = HBEAT_ERR_STATUS, .http_status = 503, .keep_alive = true,
        .retry_after_s = 120, .server_time_s = DATE_S,
        .message = "Service Unavailable"},
    {"520 of a CDN", TEXT("HTTP/1.1 520 Odd\r\n" PAGE_LENGTH "\r\n" PAGE),
        .error = HBEAT_ERR_STATUS, .http_status = 520, .keep_alive = true},
    {"521 of a CDN", TEXT("HTTP/1.1 521 Odd\r\n" PAGE_LENGTH "\r\n" PAGE),
        .error = HBEAT_ERR_STATUS, .http_status = 521, .keep_alive = true},
    {"522 of a CDN", TEXT("HTTP/1.1 522 \r\n" PAGE_LENGTH "\r\n" PAGE),
        .error = HBEAT_ERR_STATUS, .http_status = 522, .keep_alive = true},
    {"523 of a CDN", TEXT("HTTP/1.1 523 Odd\r\n" PAGE_LENGTH "\r\n" PAGE),
        .error = HBEAT_ERR_STATUS, .http_status = 523, .keep_alive = true},
    {"524 of a CDN", TEXT("HTTP/1.1 524 Odd\r\n" PAGE_LENGTH "\r\n" PAGE),
        .error = HBEAT_ERR_STATUS, .http_status = 524, .keep_alive = true},
    {"525 of a CDN", TEXT("HTTP/1.1 525 Odd\r\n" PAGE_LENGTH "\r\n" PAGE),
        .error = HBEAT_ERR_STATUS, .http_status = 525, .keep_alive = true},
    {"526 of a CDN", TEXT("HTTP/1.1 526 Odd\r\n" PAGE_LENGTH "\r\n" PAGE),
        .error = HBEAT_ERR_STATUS, .http_status = 526, .keep_alive = true},
    {"527 of a CDN with Retry-After",
        TEXT("HTTP/1.1 527 Odd\r\n"
             "Retry-After: 5\r\n\r\n" PAGE),
        .how = CLOSED, .error = HBEAT_ERR_STATUS, .http_status = 527,
        .retry_after_s = 5},
    {"200 with a page", TEXT(OK_LINE DATE PAGE_LENGTH "\r\n" PAGE),
        .error = HBEAT_ERR_JSON, .http_status = 200, .server_time_s = DATE_S},
    {"200 with a page to the end", TEXT(OK_LINE "\r\n" PAGE), .how = CLOSED,
        .error = HBEAT_ERR_JSON, .http_status = 200},
    {"200 with a page and Retry-After",
        TEXT(OK_LINE DATE "Retry-After: 9\r\n" PAGE_LENGTH "\r\n" PAGE),
        .error = HBEAT_ERR_JSON, .http_status = 200, .retry_after_s = 9,
        .server_time_s = DATE_S},
    {"an error that is cut",
        TEXT("HTTP/1.1 503 Unavailable\r\n" DATE
             "Retry-After: 120\r\n" PAGE_LENGTH "\r\n<ht"),
        .how = CLOSED, .error = HBEAT_ERR_TRUNCATED, .http_status = 503,
        .retry_after_s = 120, .server_time_s = DATE_S},
    {"a broken chunk keeps the head",
        TEXT("HTTP/1.1 503 Unavailable\r\n" DATE
             "Retry-After: 120\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n"),
        .error = HBEAT_ERR_HTTP, .http_status = 503, .retry_after_s = 120,
        .server_time_s = DATE_S},
    {"a trailer is no field",
        TEXT(CHUNKED "10\r\n" GOOD "\r\n0\r\n" DATE
                     "Retry-After: 5\r\nConnection: close\r\n\r\n"),
        .error = HBEAT_OK, .http_status = 200, .keep_alive = true},
    {"an interim response's fields are not the reply's",
        TEXT("HTTP/1.1 103 Early\r\n" DATE "Retry-After: 5\r\n\r\n" SIZED),
        .error = HBEAT_OK, .http_status = 200, .keep_alive = true},
    {"an interim response's date of Retry-After neither",
        TEXT("HTTP/1.1 103 Early\r\nRetry-After: Wed, 07 Jan 2026 00:17:19 "
             "GMT\r\n"
             "\r\n" OK_LINE DATE SIXTEEN "\r\n" GOOD),
        .error = HBEAT_OK, .http_status = 200, .keep_alive = true,
        .server_time_s = DATE_S},
};

static int64_t or_none(int64_t value) {
  return value == 0 ? NONE : value;
}

static void test_answer(void **state) {
  const struct answer_row *row = *state;
  outcome o = replay(row->name, row->wire, row->size, row->how, BUFFER);

  expect_error("the outcome", o.error, row->error);
  expect_int("http_status", o.http_status, row->http_status);
  expect_int("keep_alive", o.keep_alive, row->keep_alive);
  expect_int("retry_after_s", o.retry_after_s, or_none(row->retry_after_s));
  expect_int("server_time_s", o.server_time_s, or_none(row->server_time_s));
  expect_text("message", o.has_message ? o.message : NULL, row->message);
}

/* Writes a 500 in debug mode: a message, then a stack trace of 40 KB. */
static size_t write_trace(char *out, const char *framing) {
  char *p = out + sprintf(out, "HTTP/1.1 500 Internal Server Error\r\n");
  char *length;

  p += sprintf(p, "%sRetry-After: 30\r\n" DATE "\r\n", framing);
  length = p;
  if (strstr(framing, "chunked") != NULL) p += sprintf(p, "A000\r\n");
  p += sprintf(p, "{\"message\":\"Server Error \\u2014 debug\",\"trace\":[");
  while (p - length < 0xA000)
    p += sprintf(p, "{\"file\":\"\\/var\\/www\\/a.php\",\"line\":1},");
  return (size_t)(p - out);
}

static const struct trace_row {
  const char *name;
  const char *framing;
} TRACES[] = {
    {"a sized trace of 40 KB", "Content-Length: 41000\r\n"},
    {"a chunked trace of 40 KB", "Transfer-Encoding: chunked\r\n"},
    {"a trace of 40 KB to the end", ""},
};

static void test_trace(void **state) {
  const struct trace_row *row = *state;
  size_t size = write_trace(big, row->framing);
  outcome o = replay(row->name, big, size, CLOSED, BUFFER);

  expect_error("the outcome", o.error, HBEAT_ERR_STATUS);
  expect_int("http_status", o.http_status, 500);
  expect_int("retry_after_s", o.retry_after_s, 30);
  expect_int("server_time_s", o.server_time_s, DATE_S);
  expect_text("message", o.has_message ? o.message : NULL,
      "Server Error \xE2\x80\x94 debug");
  expect_true("the connection is not for use", !o.keep_alive);
}

/* In a buffer of any size the message is there whole, or not at all. */
static void test_small_buffers(void **state) {
  static const char WIRE[] = "HTTP/1.1 500 Odd\r\nContent-Length: 55\r\n\r\n"
                             "{\"code\":\"E1\",\"message\":\"caf\\u00e9\","
                             "\"trace\":[1,2,3,4,5,6]}";
  outcome o;

  (void)state;
  for (size_t room = 1; room < 70; room++) {
    o = replay("a small reply buffer", TEXT(WIRE), OPEN, room);
    expect_error("the outcome", o.error, HBEAT_ERR_STATUS);
    expect_int("http_status", o.http_status, 500);
    expect_int("the message is there", o.has_message, room >= 34);
    if (o.has_message) expect_text("the message", o.message, "caf\xC3\xA9");
  }
}

/* ---- Dates: RFC 9110 section 5.6.7 -------------------------------------- */

static const struct date_row {
  const char *name;
  const char *text;
  int64_t seconds;
} DATES[] = {
    {"IMF-fixdate", "Sun, 06 Nov 1994 08:49:37 GMT", 784111777},
    {"RFC 850", "Sunday, 06-Nov-94 08:49:37 GMT", 784111777},
    {"asctime", "Sun Nov  6 08:49:37 1994", 784111777},
    {"asctime with a day of two digits", "Wed Jan 07 00:15:19 2026", DATE_S},
    {"RFC 850 in this century", "Wednesday, 07-Jan-26 00:15:19 GMT", DATE_S},
    {"RFC 850 at the end of the last", "Friday, 31-Dec-99 23:59:59 GMT",
        946684799},
    {"the epoch", "Thu, 01 Jan 1970 00:00:00 GMT", 0},
    {"past 2^31", "Tue, 19 Jan 2038 03:14:08 GMT", 2147483648},
    {"a leap day", "Thu, 29 Feb 2024 12:00:00 GMT", 1709208000},
    {"a leap day of a century", "Tue, 29 Feb 2000 00:00:00 GMT", 951782400},
    {"a leap second", "Sat, 31 Dec 2016 23:59:60 GMT", 1483228800},
    {"white space around it", " \t Sun, 06 Nov 1994 08:49:37 GMT \t ",
        784111777},
    {"no leap day", "Wed, 29 Feb 2023 12:00:00 GMT", NONE},
    {"no leap day in 1900", "Thu, 29 Feb 1900 12:00:00 GMT", NONE},
    {"the 31st of November", "Sun, 31 Nov 1994 08:49:37 GMT", NONE},
    {"day 0", "Sun, 00 Nov 1994 08:49:37 GMT", NONE},
    {"half a month", "Sun, 06 No", NONE},
    {"hour 24", "Sun, 06 Nov 1994 24:00:00 GMT", NONE},
    {"minute 60", "Sun, 06 Nov 1994 08:60:37 GMT", NONE},
    {"second 61", "Sun, 06 Nov 1994 08:49:61 GMT", NONE},
    {"a month that is none", "Sun, 06 Nob 1994 08:49:37 GMT", NONE},
    {"a month in lower case", "Sun, 06 nov 1994 08:49:37 GMT", NONE},
    {"a day of one digit", "Sun, 6 Nov 1994 08:49:37 GMT", NONE},
    {"an hour of one digit", "Sun, 06 Nov 1994 8:49:37 GMT", NONE},
    {"a year of two digits", "Sun, 06 Nov 94 08:49:37 GMT", NONE},
    {"the year 1", "Mon, 01 Jan 0001 00:00:00 GMT", -62135596800},
    {"the year 0", "Sat, 01 Jan 0000 00:00:00 GMT", NONE},
    {"the last second of the year 0", "Sun, 31 Dec 0000 23:59:59 GMT", NONE},
    {"the year 0 of asctime", "Sat Jan  1 00:00:00 0000", NONE},
    {"a year of five digits", "Sun, 06 Nov 11994 08:49:37 GMT", NONE},
    {"another zone", "Sun, 06 Nov 1994 08:49:37 CET", NONE},
    {"an offset", "Sun, 06 Nov 1994 08:49:37 +0000", NONE},
    {"no zone", "Sun, 06 Nov 1994 08:49:37", NONE},
    {"no seconds", "Sun, 06 Nov 1994 08:49 GMT", NONE},
    {"no weekday", "06 Nov 1994 08:49:37 GMT", NONE},
    {"two spaces", "Sun, 06 Nov  1994 08:49:37 GMT", NONE},
    {"text behind it", "Sun, 06 Nov 1994 08:49:37 GMT;", NONE},
    {"text behind asctime", "Sun Nov  6 08:49:37 1994 GMT", NONE},
    {"asctime without its space", "Sun Nov 6 08:49:37 1994", NONE},
    {"RFC 850 with a year of four digits", "Sunday, 06-Nov-1994 08:49:37 GMT",
        NONE},
    {"RFC 3339", "1994-11-06T08:49:37Z", NONE},
    {"Unix seconds", "784111777", NONE},
    {"an empty value", "", NONE},
    {"a long value",
        "Sun, 06 Nov 1994 08:49:37 GMT, or about that time, give or take a bit "
        "or two, as far as this server's clock can be trusted",
        NONE},
};

/* A malformed Date is no reason to lose a heartbeat. */
static void test_date(void **state) {
  const struct date_row *row = *state;
  char wire[300];
  int size =
      sprintf(wire, OK_LINE "Date:%s\r\n" SIXTEEN "\r\n" GOOD, row->text);
  outcome o = replay(row->name, wire, (size_t)size, OPEN, BUFFER);

  expect_error("the outcome", o.error, HBEAT_OK);
  expect_int("server_time_s", o.server_time_s, row->seconds);
}

/* ---- Retry-After: RFC 9110 section 10.2.3 ------------------------------- */

#define NOW "Wed, 07 Jan 2026 00:15:19 GMT"

/* Row: Date, or NULL for none; Retry-After; seconds from now. */
static const struct retry_row {
  const char *name;
  const char *date;
  const char *text;
  int64_t seconds;
} RETRIES[] = {
    {"seconds", .date = NOW, .text = "120", .seconds = 120},
    {"seconds without Date", .text = "120", .seconds = 120},
    {"seconds with white space", .text = " \t120\t ", .seconds = 120},
    {"zero", .text = "0", .seconds = 0},
    {"leading zeros", .text = "0007", .seconds = 7},
    {"a day", .text = "86400", .seconds = 86400},
    {"past 2^32", .text = "4294967296", .seconds = 4294967296},
    {"a date", .date = NOW, .text = "Wed, 07 Jan 2026 00:16:19 GMT",
        .seconds = 60},
    {"a date of RFC 850", .date = NOW,
        .text = "Wednesday, 07-Jan-26 01:15:19 GMT", .seconds = 3600},
    {"a date of asctime", .date = NOW, .text = "Thu Jan  8 00:15:19 2026",
        .seconds = 86400},
    {"a date that is now", .date = NOW, .text = NOW, .seconds = 0},
    {"a date in the past", .date = NOW, .text = "Wed, 07 Jan 2026 00:15:18 GMT",
        .seconds = 0},
    {"a date long past", .date = NOW, .text = "Thu, 01 Jan 1970 00:00:00 GMT",
        .seconds = 0},
    {"a date before 1970", .date = NOW, .text = "Wed, 31 Dec 1969 23:59:59 GMT",
        .seconds = NONE},
    {"a date beside a Date before 1970",
        .date = "Wed, 31 Dec 1969 23:59:59 GMT",
        .text = "Thu, 01 Jan 1970 00:00:01 GMT", .seconds = NONE},
    {"a date beside Date of another form", .date = "Wed Jan  7 00:15:19 2026",
        .text = "Wed, 07 Jan 2026 00:16:19 GMT", .seconds = 60},
    {"a date without Date", .text = "Wed, 07 Jan 2026 00:16:19 GMT",
        .seconds = NONE},
    {"a date with a bad Date", .date = "yesterday",
        .text = "Wed, 07 Jan 2026 00:16:19 GMT", .seconds = NONE},
    {"a bad date", .date = NOW, .text = "Wed, 32 Jan 2026 00:16:19 GMT",
        .seconds = NONE},
    {"a word", .date = NOW, .text = "soon", .seconds = NONE},
    {"an empty value", .date = NOW, .text = "", .seconds = NONE},
    {"a negative number", .date = NOW, .text = "-5", .seconds = NONE},
    {"a number with plus", .date = NOW, .text = "+5", .seconds = NONE},
    {"a fraction", .date = NOW, .text = "1.5", .seconds = NONE},
    {"an exponent", .date = NOW, .text = "1e3", .seconds = NONE},
    {"hexadecimal", .date = NOW, .text = "0x10", .seconds = NONE},
    {"a number and a unit", .date = NOW, .text = "120s", .seconds = NONE},
    {"two numbers", .date = NOW, .text = "120, 60", .seconds = NONE},
    {"a number past int64", .date = NOW, .text = "99999999999999999999",
        .seconds = NONE},
    {"a number of more digits than are kept", .date = NOW,
        .text = "00000000000000000000000000000000000000000000"
                "00000000000000000000000000000000000000000005",
        .seconds = NONE},
};

/* The order of the two fields does not matter. */
static void test_retry(void **state) {
  const struct retry_row *row = *state;
  char date[80] = "", wire[400];
  outcome o;
  int size;

  if (row->date != NULL) sprintf(date, "Date: %s\r\n", row->date);
  size = sprintf(wire,
      "HTTP/1.1 503 Odd\r\n%sRetry-After:%s\r\n" SIXTEEN "\r\n" GOOD, date,
      row->text);
  o = replay(row->name, wire, (size_t)size, OPEN, BUFFER);
  expect_error("the outcome", o.error, HBEAT_ERR_STATUS);
  expect_int("retry_after_s", o.retry_after_s, row->seconds);
  size = sprintf(wire,
      "HTTP/1.1 503 Odd\r\nRetry-After:%s\r\n%s" SIXTEEN "\r\n" GOOD, row->text,
      date);
  o = replay(row->name, wire, (size_t)size, OPEN, BUFFER);
  expect_int("retry_after_s before Date", o.retry_after_s, row->seconds);
}

/* ---- What a proxy asks for ----------------------------------------------- */

/* Row: a proxy's fields; whether it says how to log in, and takes Basic. */
static const struct challenge_row {
  const char *name;
  const char *fields;
  bool challenged;
  bool takes_basic;
} CHALLENGES[] = {
    {"no challenge", "", .challenged = false},
    {"another field", "WWW-Authenticate: Basic\r\n", .challenged = false},
    {"Basic", "Proxy-Authenticate: Basic realm=\"x\"\r\n", .challenged = true,
        .takes_basic = true},
    {"basic", "proxy-authenticate:basic\r\n", .challenged = true,
        .takes_basic = true},
    {"Negotiate", "Proxy-Authenticate: Negotiate\r\n", .challenged = true},
    {"Digest", "Proxy-Authenticate: Digest realm=\"x\", qop=\"auth\"\r\n",
        .challenged = true},
    {"Basicest", "Proxy-Authenticate: Basicest\r\n", .challenged = true},
    {"several fields",
        "Proxy-Authenticate: Negotiate\r\nProxy-Authenticate: NTLM\r\n"
        "Proxy-Authenticate: Basic realm=\"x\"\r\n",
        .challenged = true, .takes_basic = true},
    {"several in a field", "Proxy-Authenticate: NTLM, Basic realm=\"x\"\r\n",
        .challenged = true, .takes_basic = true},
    {"a long field",
        "Proxy-Authenticate: Negotiate "
        "oRQwEqADCgEBoQsGCSqGSIb3EgECAqKCARAEggEMY"
        "IIBCAYJKoZIhvcSAQICAgBvgfgwgfWgAwIBBaEDAgEPooHo\r\n",
        .challenged = true},
};

static void test_challenge(void **state) {
  const struct challenge_row *row = *state;
  hbeat_config cfg = config(BUFFER);
  hbeat_exchange x;
  hbeat_reply reply;
  char wire[400];
  size_t size, used;

  in_hand(row->name, row->fields, strlen(row->fields));
  size = (size_t)sprintf(wire, "HTTP/1.1 407 Odd\r\n%s\r\n", row->fields);
  expect_error("the start", hbeat_begin(&x, &cfg, &asked, &reply), HBEAT_OK);
  x.in.tunnel = true; /* as the client has it */
  expect_error(
      "the outcome", hbeat_push(&x, wire, size, &used), HBEAT_ERR_PROXY);
  expect_int("it says how", x.in.challenged, row->challenged);
  expect_int("Basic is a way", x.in.takes_basic, row->takes_basic);
}

/* ---- Bodies of a 200 ---------------------------------------------------- */

#define WITH(value)                                                            \
  "{\"success\":true,\"lightning_device_remote_instruction\":" value "}"

/* Row: a body; the outcome; the message and the instruction's name. */
static const struct body_row {
  const char *name;
  const char *body;
  hbeat_error error;
  const char *message;
  const char *instruction;
} BODIES[] = {
    /* no instruction */
    {"the field is missing", GOOD, .error = HBEAT_OK},
    {"the field is null", WITH("null"), .error = HBEAT_OK},
    {"the field is []", WITH("[]"), .error = HBEAT_OK},
    {"the field is {}", WITH("{}"), .error = HBEAT_OK},
    {"the field is [ ]", WITH("[ \n]"), .error = HBEAT_OK},
    {"the field is { }", WITH("{ \n}"), .error = HBEAT_OK},
    {"the instruction in it is null", WITH("{\"instruction\":null}"),
        .error = HBEAT_OK},
    {"the instruction in it is missing", WITH("{\"status\":1}"),
        .error = HBEAT_OK},

    /* an instruction */
    {"reload", WITH("{\"instruction\":\"reload\"}"), .error = HBEAT_OK,
        .instruction = "reload"},
    {"a name that nobody knows", WITH("{\"instruction\":\"dance\"}"),
        .error = HBEAT_OK, .instruction = "dance"},
    {"a name in escapes",
        WITH("{\"instruction\":\"r\\u0065load \\/ \\ud83d\\ude00\"}"),
        .error = HBEAT_OK, .instruction = "reload / \xF0\x9F\x98\x80"},
    {"a status that nobody knows",
        WITH("{\"instruction\":\"reload\",\"status\":99}"), .error = HBEAT_OK,
        .instruction = "reload"},
    {"fields that nobody knows",
        "{\"a\":[{}],\"success\":true,\"b\":{\"success\":false},"
        "\"lightning_device_remote_instruction\":{\"x\":{\"lcuid\":[]},"
        "\"instruction\":\"reload\",\"y\":1.5},\"c\":null}",
        .error = HBEAT_OK, .instruction = "reload"},
    {"known names in escapes",
        "{\"\\u0073uccess\":true,\"lightning_device_remote_\\u0069nstruction\":"
        "{\"instructio\\u006e\":\"reload\"}}",
        .error = HBEAT_OK, .instruction = "reload"},
    {"an unknown field twice", "{\"success\":true,\"a\":1,\"a\":2}",
        .error = HBEAT_OK},
    {"white space around everything",
        " \t\r\n{ \"success\" : true , "
        "\"lightning_device_remote_instruction\" : "
        "{ \"instruction\" : \"reload\" } } \n",
        .error = HBEAT_OK, .instruction = "reload"},
    {"a name that holds U+0000 is another name",
        "{\"success\":true,\"success\\u0000\":false}", .error = HBEAT_OK},
    {"a name in upper case is another name",
        "{\"success\":true,\"Success\":false}", .error = HBEAT_OK},

    /* a success in other words */
    {"success is \"true\"", "{\"success\":\"true\",\"message\":\"Yes.\"}",
        .error = HBEAT_OK},
    {"success is 1", "{\"success\":1,\"message\":\"Yes.\"}", .error = HBEAT_OK},
    {"success goes without saying",
        "{\"lightning_device_remote_instruction\":{\"instruction\":\"a\"}}",
        .error = HBEAT_OK, .instruction = "a"},
    {"half of a surrogate pair",
        WITH("{\"instruction\":\"\\ud83d\",\"\\ude00\":0}"), .error = HBEAT_OK,
        .instruction = "\xEF\xBF\xBD"},

    /* refused */
    {"success is false", "{\"success\":false,\"message\":\"No.\"}",
        .error = HBEAT_ERR_REFUSED, .message = "No."},
    {"success is missing", "{\"message\":\"No.\"}", .error = HBEAT_ERR_REFUSED,
        .message = "No."},
    {"success is \"false\"", "{\"success\":\"false\",\"message\":\"No.\"}",
        .error = HBEAT_ERR_REFUSED, .message = "No."},
    {"success is 0", "{\"success\":0,\"message\":\"No.\"}",
        .error = HBEAT_ERR_REFUSED, .message = "No."},
    {"success is null", "{\"success\":null}", .error = HBEAT_ERR_REFUSED},
    {"success is {}", "{\"success\":{}}", .error = HBEAT_ERR_REFUSED},
    {"an empty object", "{}", .error = HBEAT_ERR_REFUSED},
    {"ok is not success", "{\"ok\":true}", .error = HBEAT_ERR_REFUSED},
    {"the API's own error with 200",
        "{\"ok\":false,\"message\":\"caf\\u00e9\",\"code\":\"E\"}",
        .error = HBEAT_ERR_REFUSED, .message = "caf\xC3\xA9"},
    {"refused with an instruction",
        "{\"success\":false,\"lightning_device_remote_instruction\":"
        "{\"instruction\":\"reload\"}}",
        .error = HBEAT_ERR_REFUSED},

    /* not JSON, or not the API's */
    {"an array", "[{\"success\":true}]", .error = HBEAT_ERR_JSON},
    {"a string", "\"success\"", .error = HBEAT_ERR_JSON},
    {"true", "true", .error = HBEAT_ERR_JSON},
    {"null", "null", .error = HBEAT_ERR_JSON},
    {"a number", "200", .error = HBEAT_ERR_JSON},
    {"white space", " \r\n", .error = HBEAT_ERR_JSON},
    {"a page", "<!DOCTYPE html>", .error = HBEAT_ERR_JSON},
    {"words", "OK", .error = HBEAT_ERR_JSON},
    {"half an object", "{\"success\":true", .error = HBEAT_ERR_JSON},
    {"an object and more", GOOD "{}", .error = HBEAT_ERR_JSON},
    {"a warning before the object", "Warning: x\n" GOOD,
        .error = HBEAT_ERR_JSON},
    {"a byte order mark", "\xEF\xBB\xBF" GOOD, .error = HBEAT_ERR_JSON},
    {"invalid UTF-8", "{\"success\":true,\"a\":\"\xFF\"}",
        .error = HBEAT_ERR_JSON},
    {"a field that nobody knows is broken", "{\"success\":true,\"a\":[1,]}",
        .error = HBEAT_ERR_JSON},

    /* a known field twice */
    {"success twice", "{\"success\":true,\"success\":true}",
        .error = HBEAT_ERR_JSON},
    {"success twice, once in escapes",
        "{\"success\":true,\"\\u0073uccess\":true}", .error = HBEAT_ERR_JSON},
    {"the instruction twice",
        "{\"success\":true,\"lightning_device_remote_instruction\":null,"
        "\"lightning_device_remote_instruction\":null}",
        .error = HBEAT_ERR_JSON},

    /* a field of the instruction that cannot be read voids nothing else */
    {"its name twice", WITH("{\"instruction\":\"a\",\"instruction\":\"b\"}"),
        .error = HBEAT_OK},
    {"its lcuid twice, once in escapes",
        WITH("{\"lcuid\":\"a\",\"instruction\":\"a\",\"lcu\\u0069d\":\"b\"}"),
        .error = HBEAT_OK, .instruction = "a"},
    {"its run_at twice",
        WITH("{\"run_at\":null,\"instruction\":\"a\",\"run_at\":null}"),
        .error = HBEAT_OK, .instruction = "a"},
    {"the field is a string", WITH("\"reload\""), .error = HBEAT_OK},
    {"the field is false", WITH("false"), .error = HBEAT_OK},
    {"the field is a full array", WITH("[{\"instruction\":\"reload\"}]"),
        .error = HBEAT_OK},
    {"the name is a number", WITH("{\"instruction\":5}"), .error = HBEAT_OK},
    {"lcuid is a number", WITH("{\"lcuid\":1,\"instruction\":\"a\"}"),
        .error = HBEAT_OK, .instruction = "a"},
    {"run_at is a number and last",
        WITH("{\"instruction\":\"a\",\"run_at\":0}"), .error = HBEAT_OK,
        .instruction = "a"},
    {"created_at is an object and first",
        WITH("{\"created_at\":{\"instruction\":1},\"instruction\":\"a\"}"),
        .error = HBEAT_OK, .instruction = "a"},
};

/* The same body, sized and in chunks, has the same outcome. */
static void test_body(void **state) {
  const struct body_row *row = *state;
  char wire[1000];
  int size = sprintf(wire, OK_LINE "Content-Length: %zu\r\n\r\n%s",
      strlen(row->body), row->body);
  outcome o = replay(row->name, wire, (size_t)size, OPEN, BUFFER);
  outcome chunked;

  expect_error("the outcome", o.error, row->error);
  expect_text("message", o.has_message ? o.message : NULL, row->message);
  expect_text(
      "the instruction's name", o.has_name ? o.name : NULL, row->instruction);
  if (row->error == HBEAT_ERR_REFUSED)
    expect_true("the connection is for use", o.keep_alive);
  size = sprintf(wire, CHUNKED "2\r\n%.2s\r\n%zx\r\n%s\r\n0\r\n\r\n", row->body,
      strlen(row->body) - 2, row->body + 2);
  chunked = replay(row->name, wire, (size_t)size, OPEN, BUFFER);
  chunked.used = o.used;
  expect_outcome("the same in chunks", &chunked, &o);
}

/* ---- Past the end -------------------------------------------------------- */

static const struct over_row {
  const char *name;
  const char *wire;
  size_t size;
  ending how;
  hbeat_error error;
} OVERS[] = {
    {"a push past a success", TEXT(SIZED), .error = HBEAT_OK},
    {"a push past a success in chunks",
        TEXT(CHUNKED "10\r\n" GOOD "\r\n0\r\n\r\n"), .error = HBEAT_OK},
    {"a push past a success and the connection's end",
        TEXT(OK_LINE "\r\n" GOOD), .how = CLOSED, .error = HBEAT_OK},
    {"a push past an error status",
        TEXT("HTTP/1.1 401 Unauthorized\r\n" SIXTEEN "\r\n" GOOD),
        .error = HBEAT_ERR_STATUS},
    {"a push past a refusal", TEXT(OK_LINE "Content-Length: 2\r\n\r\n{}"),
        .error = HBEAT_ERR_REFUSED},
    {"a push past a page", TEXT(OK_LINE "Content-Length: 6\r\n\r\n<html>"),
        .error = HBEAT_ERR_JSON},
    {"a push past what is not HTTP", TEXT("SSH-2.0-OpenSSH_9.2\r\n"),
        .error = HBEAT_ERR_HTTP},
    {"a push past a body that is too big",
        TEXT(OK_LINE "Content-Length: 4000\r\n\r\n"),
        .error = HBEAT_ERR_TOO_BIG},
    {"a push past the end of half a head", TEXT(OK_LINE), .how = CLOSED,
        .error = HBEAT_ERR_TRUNCATED},
};

/* Whatever is pushed then, none of it is used, and the reply stays. */
static void test_over(void **state) {
  const struct over_row *row = *state;
  hbeat_config cfg = config(BUFFER);
  hbeat_exchange x;
  hbeat_reply reply, before;
  hbeat_error e;
  size_t used;
  bool keep_alive;

  in_hand(row->name, row->wire, row->size);
  memset(&reply, 0, sizeof reply);
  expect_error("the start", hbeat_begin(&x, &cfg, &asked, &reply), HBEAT_OK);
  e = hbeat_push(&x, row->wire, row->size, &used);
  if (row->how == CLOSED) e = hbeat_push(&x, NULL, 0, &used);
  expect_error("the outcome", e, row->error);
  memcpy(&before, &reply, sizeof reply);
  keep_alive = x.keep_alive;
  for (size_t size = 0; size <= sizeof SIZED - 1; size++) {
    used = SIZE_MAX;
    expect_error(
        "a push more", hbeat_push(&x, SIZED, size, &used), HBEAT_ERR_ARGUMENT);
    expect_int("no byte is used", (int64_t)used, 0);
    expect_true("the reply stays", memcmp(&reply, &before, sizeof reply) == 0);
    expect_int("keep_alive stays", x.keep_alive, keep_alive);
  }
}

/* ---- Reasons ------------------------------------------------------------- */

static const struct reason_row {
  const char *name;
  const char *wire;
  size_t size;
  ending how;
  hbeat_error error;
  const char *what;
} REASONS[] = {
    {"the reason of a success", TEXT(SIZED), .error = HBEAT_OK},
    {"the reason of what is to come", TEXT(OK_LINE), .error = HBEAT_AGAIN},
    {"the reason of an error", TEXT("HTTP/1.1 500 Odd\r\n" SIXTEEN "\r\n" GOOD),
        .error = HBEAT_ERR_STATUS},
    {"the reason of a refusal", TEXT(OK_LINE "Content-Length: 2\r\n\r\n{}"),
        .error = HBEAT_ERR_REFUSED, .what = "success is not true"},
    {"the reason of half a head", TEXT(OK_LINE), .how = CLOSED,
        .error = HBEAT_ERR_TRUNCATED,
        .what = "the server ended the connection"},
    {"the reason of a body that is too big",
        TEXT(OK_LINE "Content-Length: 4000\r\n\r\n"),
        .error = HBEAT_ERR_TOO_BIG,
        .what = "the reply does not fit reply_buffer"},
    {"the reason of an empty body", TEXT(OK_LINE "Content-Length: 0\r\n\r\n"),
        .error = HBEAT_ERR_JSON, .what = "the body is empty"},
    {"the reason of a body that is compressed",
        TEXT(OK_LINE
            "Content-Encoding: gzip\r\nContent-Length: 4\r\n\r\n\x1F\x8B\b\0"),
        .error = HBEAT_ERR_JSON, .what = "the body has a Content-Encoding"},
    {"the reason of one that is encoded as it is",
        TEXT(OK_LINE
            "Content-Encoding: identity\r\nContent-Length: 2\r\n\r\nOK"),
        .error = HBEAT_ERR_JSON, .what = "the body is no JSON object"},
    {"the reason of one whose encoding has no name",
        TEXT(OK_LINE "Content-Encoding:\r\nContent-Length: 2\r\n\r\nOK"),
        .error = HBEAT_ERR_JSON, .what = "the body is no JSON object"},
    {"the reason of one that says so for nothing",
        TEXT(OK_LINE "Content-Encoding: br\r\n" SIXTEEN "\r\n" GOOD),
        .error = HBEAT_OK},
    {"the reason of one behind a 100 that says so",
        TEXT("HTTP/1.1 100 Odd\r\nContent-Encoding: gzip\r\n\r\n" OK_LINE
             "Content-Length: 2\r\n\r\nOK"),
        .error = HBEAT_ERR_JSON, .what = "the body is no JSON object"},
    {"the reason of a warning before the object",
        TEXT(OK_LINE "\r\nWarning: x {y}\n" GOOD), .how = CLOSED,
        .error = HBEAT_ERR_JSON,
        .what = "text, such as a warning, precedes it"},
    {"the reason of 304", TEXT("HTTP/1.1 304 Odd\r\n\r\n"),
        .error = HBEAT_ERR_STATUS,
        .what = "a cache has answered, not the server"},
    {"the reason of a body that nests too deep",
        TEXT(OK_LINE "\r\n{\"success\":true,\"a\":" SIXTY("[") "[[[[" SIXTY(
            "]") "]]]]}"),
        .how = CLOSED, .error = HBEAT_ERR_JSON,
        .what = "the body nests too deep"},
    {"the reason of one that nests as deep as may be",
        TEXT(OK_LINE
            "\r\n{\"success\":true,\"a\":" SIXTY("[") "[[[" SIXTY("]") "]]]}"),
        .how = CLOSED, .error = HBEAT_OK},
};

static void test_reason(void **state) {
  const struct reason_row *row = *state;
  outcome o = replay(row->name, row->wire, row->size, row->how, BUFFER);

  expect_error("the outcome", o.error, row->error);
  expect_text("the reason", o.what, row->what);
}

/* ---- Replies to the other calls ----------------------------------------- */

#define JWT "eyJhbGciOiJSUzI1NiJ9.e30.c2ln-_~+/="

/* Row: a call, a status and a body; what becomes of them. */
static const struct call_row {
  const char *name;
  hbeat_call call;
  int status;
  const char *body;
  hbeat_error error;
  const char *message;
  const char *token; /* NULL: the buffer stays as it is */
} CALLS[] = {
    {"acknowledged", .call = HBEAT_ACKNOWLEDGE, .status = 200, .body = GOOD,
        .error = HBEAT_OK},
    {"acknowledged, and an instruction", .call = HBEAT_ACKNOWLEDGE,
        .status = 200, .body = WITH("{\"instruction\":\"reload\"}"),
        .error = HBEAT_OK},
    {"acknowledged: refused", .call = HBEAT_ACKNOWLEDGE, .status = 200,
        .body = "{\"success\":false,\"message\":\"No.\"}",
        .error = HBEAT_ERR_REFUSED, .message = "No."},
    {"acknowledged: no JSON", .call = HBEAT_ACKNOWLEDGE, .status = 200,
        .body = "OK", .error = HBEAT_ERR_JSON},
    {"failed", .call = HBEAT_FAILED, .status = 201, .body = GOOD,
        .error = HBEAT_OK},
    {"failed: unknown", .call = HBEAT_FAILED, .status = 404,
        .body = "{\"message\":\"Not found.\"}", .error = HBEAT_ERR_STATUS,
        .message = "Not found."},
    {"failed: ok is not success", .call = HBEAT_FAILED, .status = 200,
        .body = "{\"ok\":true}", .error = HBEAT_ERR_REFUSED},

    {"a log-in", .call = HBEAT_LOGIN, .status = 200,
        .body =
            "{\"ok\":true,\"token\":\"" JWT "\",\"user_lcuid\":\"LCUID-LU-1\"}",
        .error = HBEAT_OK, .token = JWT},
    {"a log-in, the token in escapes", .call = HBEAT_LOGIN, .status = 200,
        .body = "{\"ok\":true,\"token\":\"a\\/b\\u002Ec\"}", .error = HBEAT_OK,
        .token = "a/b.c"},
    {"a log-in, the token last", .call = HBEAT_LOGIN, .status = 201,
        .body = "{\"user_lcuid\":null,\"ok\":true,\"token\":\"" JWT "\"}",
        .error = HBEAT_OK, .token = JWT},
    {"a log-in, as long as there is room", .call = HBEAT_LOGIN, .status = 200,
        .body = "{\"ok\":true,\"token\":\"" JWT "123456789012\"}",
        .error = HBEAT_OK, .token = JWT "123456789012"},
    {"a log-in, a byte longer", .call = HBEAT_LOGIN, .status = 200,
        .body = "{\"ok\":true,\"token\":\"" JWT "1234567890123\"}",
        .error = HBEAT_ERR_TOO_BIG},
    {"a log-in: refused", .call = HBEAT_LOGIN, .status = 200,
        .body = "{\"ok\":false,\"message\":\"No.\",\"token\":\"" JWT "\"}",
        .error = HBEAT_ERR_REFUSED, .message = "No."},
    {"a log-in: success is not ok", .call = HBEAT_LOGIN, .status = 200,
        .body = "{\"success\":true,\"token\":\"" JWT "\"}",
        .error = HBEAT_ERR_REFUSED},
    {"a log-in: 401", .call = HBEAT_LOGIN, .status = 401,
        .body = "{\"ok\":false,\"message\":\"Unknown.\",\"token\":\"" JWT "\"}",
        .error = HBEAT_ERR_STATUS, .message = "Unknown."},
    {"a log-in: no token", .call = HBEAT_LOGIN, .status = 200,
        .body = "{\"ok\":true}", .error = HBEAT_ERR_JSON},
    {"a log-in: a token with a line's end", .call = HBEAT_LOGIN, .status = 200,
        .body = "{\"ok\":true,\"token\":\"a\\nb\"}", .error = HBEAT_ERR_JSON},
    {"a log-in: a token twice", .call = HBEAT_LOGIN, .status = 200,
        .body = "{\"ok\":true,\"token\":\"a\",\"token\":\"b\"}",
        .error = HBEAT_ERR_JSON},
    {"a log-in: a body that breaks off", .call = HBEAT_LOGIN, .status = 200,
        .body = "{\"ok\":true,\"token\":\"" JWT "\"", .error = HBEAT_ERR_JSON},
};

static void ask(hbeat_call call) {
  static const hbeat_request beat = {.lightning_version = "4.2.1"};

  asked = beat;
  if (call == HBEAT_BEAT) return;
  asked.call = call;
  asked.instruction = "LCUID-LDRI-1";
  asked.login_token = "t";
  asked.login_secret = "s";
  asked.token_buffer = tokens.end - TOKEN_ROOM;
  asked.token_buffer_size = TOKEN_ROOM;
}

/* No part of the token is left in the reply buffer. */
static void expect_no_copy(void) {
  enum { PART = 4 };

  for (const char *at = bodies.begin; at <= bodies.end - PART; at++)
    for (size_t i = 0; i + PART < sizeof JWT; i++)
      expect_true("no copy of the token", memcmp(at, &JWT[i], PART) != 0);
}

static void expect_call(const struct call_row *row, const outcome *o) {
  char expected[TOKEN_ROOM];

  memset(expected, row->token ? 0 : UNTOUCHED, sizeof expected);
  if (row->token) memcpy(expected, row->token, strlen(row->token));
  expect_error("the outcome", o->error, row->error);
  expect_text("message", o->has_message ? o->message : NULL, row->message);
  expect_text("no instruction", o->has_name ? o->name : NULL, NULL);
  expect_bytes("token_buffer", o->token, TOKEN_ROOM, expected, TOKEN_ROOM);
  if (row->call == HBEAT_LOGIN) expect_no_copy();
}

/* Sized, in chunks of which one ends within the token, to the end. */
static void test_call(void **state) {
  const struct call_row *row = *state;
  size_t length = strlen(row->body), half = length / 2;
  char wire[1000];
  outcome o;
  int size;

  ask(row->call);
  memset(bodies.begin, 0, (size_t)(bodies.end - bodies.begin));
  size = sprintf(wire, "HTTP/1.1 %d Odd\r\nContent-Length: %zu\r\n\r\n%s",
      row->status, length, row->body);
  o = replay(row->name, wire, (size_t)size, OPEN, BUFFER);
  expect_call(row, &o);
  expect_int("the connection", o.keep_alive,
      row->error != HBEAT_ERR_JSON && row->error != HBEAT_ERR_TOO_BIG);
  size = sprintf(wire,
      "HTTP/1.1 %d Odd\r\nTransfer-Encoding: chunked\r\n\r\n"
      "%zx\r\n%.*s\r\n%zx\r\n%s\r\n0\r\n\r\n",
      row->status, half, (int)half, row->body, length - half, row->body + half);
  o = replay(row->name, wire, (size_t)size, OPEN, BUFFER);
  expect_call(row, &o);
  size = sprintf(wire, "HTTP/1.1 %d Odd\r\n\r\n%s", row->status, row->body);
  o = replay(row->name, wire, (size_t)size, CLOSED, BUFFER);
  expect_call(row, &o);
  ask(HBEAT_BEAT);
}

/* A log-in's reply that is not whole, wherever it ends, changes no token. */
static void test_login_prefixes(void **state) {
  static const char WIRE[] = OK_LINE "Content-Length: 57\r\n\r\n"
                                     "{\"ok\":true,\"token\":\"" JWT "\"}";

  (void)state;
  ask(HBEAT_LOGIN);
  for (size_t size = 0; size < sizeof WIRE - 1; size++) {
    outcome o;
    in_hand("a log-in that breaks off", WIRE, size);
    o = feed(WIRE, size, CLOSED, BUFFER, size, 1);
    expect_error("the outcome", o.error, HBEAT_ERR_TRUNCATED);
    expect_no_copy();
    for (size_t i = 0; i < TOKEN_ROOM; i++)
      expect_int("token_buffer", o.token[i], UNTOUCHED);
  }
  ask(HBEAT_BEAT);
}

/* Row: a log-in's reply that ends badly, in a reply buffer of `room` bytes. */
static const struct bad_login_row {
  const char *name;
  const char *wire;
  size_t size;
  ending how;
  size_t room;
  hbeat_error error;
} BAD_LOGINS[] = {
    {"a log-in that is too big, to the connection's end",
        TEXT(OK_LINE "\r\n{\"token\":\"" JWT "\",\"ok\":true}"), .room = 48,
        .error = HBEAT_ERR_TOO_BIG},
    {"a log-in that is too big, in a second chunk",
        TEXT(CHUNKED "2E\r\n{\"token\":\"" JWT "\"\r\n9\r\n,\"ok\":1}\r\n"),
        .room = 48, .error = HBEAT_ERR_TOO_BIG},
    {"a log-in that is too big, by its length",
        TEXT(OK_LINE "Content-Length: 57\r\n\r\n{\"token\":\"" JWT
                     "\",\"ok\":true}"),
        .room = 48, .error = HBEAT_ERR_TOO_BIG},
    {"a log-in whose second chunk is none",
        TEXT(CHUNKED "2E\r\n{\"token\":\"" JWT "\"\r\nx\r\n"), .room = BUFFER,
        .error = HBEAT_ERR_HTTP},
    {"a log-in with an error's body that does not fit",
        TEXT("HTTP/1.1 500 Odd\r\n\r\n{\"token\":\"" JWT "\",\"ok\":true}"),
        .room = 48, .error = HBEAT_ERR_STATUS},
    {"a log-in in words", TEXT(OK_LINE "\r\nThe token is " JWT "."),
        .how = CLOSED, .room = BUFFER, .error = HBEAT_ERR_JSON},
    {"a log-in as a log-in to another API",
        TEXT(OK_LINE "\r\n{\"ok\":true,\"access_token\":\"" JWT "\"}"),
        .how = CLOSED, .room = BUFFER, .error = HBEAT_ERR_JSON},
};

/* In one piece, and byte by byte. */
static void test_bad_login(void **state) {
  const struct bad_login_row *row = *state;

  for (size_t step = 1; step <= row->size; step += row->size - 1) {
    ask(HBEAT_LOGIN);
    in_hand(row->name, row->wire, row->size);
    memset(bodies.begin, 0, (size_t)(bodies.end - bodies.begin));
    expect_error("the outcome",
        feed(row->wire, row->size, row->how, row->room, step, step).error,
        row->error);
    expect_no_copy();
  }
  ask(HBEAT_BEAT);
}

/* Begins with no token at all; the configuration is never touched again. */
static void test_token_in_use(void **state) {
  static const char *const TOKENS[] = {JWT, "a.b", JWT "x"};
  char token[TOKEN_ROOM] = "";
  hbeat_config cfg = config(BUFFER);
  hbeat_request beat = {.lightning_version = "4.2.1"};
  hbeat_request login = {.call = HBEAT_LOGIN,
      .login_token = "t",
      .login_secret = "s",
      .token_buffer = token,
      .token_buffer_size = sizeof token};
  hbeat_exchange x;
  hbeat_reply reply;

  (void)state;
  cfg.token = token;
  in_hand("no token yet", "", 0);
  expect_error(
      "a beat", hbeat_begin(&x, &cfg, &beat, &reply), HBEAT_ERR_ARGUMENT);
  for (size_t i = 0; i < COUNT(TOKENS); i++) {
    char wire[300], field[100], request[1000] = "";
    size_t size, used, n;
    in_hand("a token in use", TOKENS[i], strlen(TOKENS[i]));
    size = (size_t)sprintf(wire,
        OK_LINE "Content-Length: %zu\r\n\r\n{\"ok\":true,\"token\":\"%s\"}",
        strlen(TOKENS[i]) + 22, TOKENS[i]);
    expect_error("a log-in", hbeat_begin(&x, &cfg, &login, &reply), HBEAT_OK);
    expect_error("its reply", hbeat_push(&x, wire, size, &used), HBEAT_OK);
    expect_error("a beat", hbeat_begin(&x, &cfg, &beat, &reply), HBEAT_OK);
    for (size = 0; (n = hbeat_pull(&x, request + size, 16)) > 0;) size += n;
    sprintf(field, "\r\nAuthorization:Bearer %s\r\n", TOKENS[i]);
    expect_true("the new token is sent", strstr(request, field) != NULL);
  }
}

/* ---- The start ---------------------------------------------------------- */

static void test_reply_at_start(void **state) {
  hbeat_config cfg = config(BUFFER);
  hbeat_request beat = {.lightning_version = "4.2.1"};
  hbeat_exchange x;
  hbeat_reply reply;

  (void)state;
  in_hand("a reply before a byte of it came", "", 0);
  memset(&reply, 0xA5, sizeof reply);
  expect_error("the start", hbeat_begin(&x, &cfg, &beat, &reply), HBEAT_OK);
  expect_int("http_status", reply.http_status, 0);
  expect_int("success", reply.success, false);
  expect_int("retry_after_s", reply.retry_after_s, HBEAT_NONE);
  expect_int("server_time_s", reply.server_time_s, HBEAT_NONE);
  expect_text("message", reply.message, NULL);
  expect_text("the instruction's name", reply.instruction.name, NULL);
  expect_int(
      "its parameters", reply.instruction.parameters.type, HBEAT_JSON_NONE);
  expect_int("its status", reply.instruction.status, HBEAT_NONE);
  expect_int("its run_at_s", reply.instruction.run_at_s, HBEAT_NONE);
}

int main(void) {
  wires = fence(sizeof big);
  bodies = fence(BUFFER);
  tokens = fence(TOKEN_ROOM);
  cases_add("the reply at the start", test_reply_at_start, NULL);
  cases_add_rows(test_frame, FRAMES);
  cases_add_rows(test_broken, BROKEN);
  cases_add("each byte in a name", test_name_bytes, NULL);
  cases_add("each byte in a value", test_value_bytes, NULL);
  cases_add_rows(test_prefixes, WHOLE);
  cases_add("a head at the limit", test_head_at_limit, NULL);
  cases_add("a head past the limit", test_head_past_limit, NULL);
  cases_add_rows(test_endless, ENDLESS);
  cases_add_rows(test_body_size, BODY_SIZES);
  cases_add_rows(test_error_body_size, BODY_SIZES);
  cases_add_rows(test_answer, ANSWERS);
  cases_add_rows(test_trace, TRACES);
  cases_add("small reply buffers", test_small_buffers, NULL);
  cases_add_rows(test_date, DATES);
  cases_add_rows(test_retry, RETRIES);
  cases_add_rows(test_challenge, CHALLENGES);
  cases_add_rows(test_body, BODIES);
  cases_add_rows(test_over, OVERS);
  cases_add_rows(test_reason, REASONS);
  cases_add_rows(test_call, CALLS);
  cases_add("a log-in that breaks off", test_login_prefixes, NULL);
  cases_add_rows(test_bad_login, BAD_LOGINS);
  cases_add("a token in use", test_token_in_use, NULL);
  return cases_run("http");
}
