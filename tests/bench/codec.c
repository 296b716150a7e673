/*
 * Does one thing of the library's so many times, without a network: what it
 * costs is the difference of two counts, as tests/bench/rows takes it.
 *
 * usage: codec ROW COUNT
 */
#include "heartbeat.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

enum { TOKEN_SIZE = 1050, JSON_SIZE = 100000 };

static void quit(const char *why) {
  fprintf(stderr, "codec: %s\n", why);
  exit(1);
}

static void expect(hbeat_error e, hbeat_error want) {
  if (e != want) quit(hbeat_error_name(e));
}

/* ---- What is sent, and comes back ------------------------------------- */

#define LCUID "LCUID-LDRI-262ca932-dda6-4233-8c4f-a497481388b3"

/* The reply of the API's reference, without white space, as PHP writes it. */
#define BODY                                                                   \
  "{\"success\":true,\"lightning_device_remote_instruction\":{"                \
  "\"instruction\":\"reload\",\"parameters\":[],\"run_at\":null,\"status\":1," \
  "\"lcuid\":\"" LCUID "\","                                                   \
  "\"created_at\":\"2026-01-07T00:15:19.000000Z\","                            \
  "\"updated_at\":\"2026-01-07T00:15:19.000000Z\"}}"

/* 700 bytes, as of a framework behind nginx. */
#define HEAD                                                                   \
  "HTTP/1.1 200 OK\r\n"                                                        \
  "Server: nginx/1.24.0\r\n"                                                   \
  "Content-Type: application/json\r\n"                                         \
  "Content-Length: 16\r\n"                                                     \
  "Connection: keep-alive\r\n"                                                 \
  "Vary: Accept-Encoding\r\n"                                                  \
  "Cache-Control: no-cache, private\r\n"                                       \
  "Date: Wed, 07 Jan 2026 00:15:19 GMT\r\n"                                    \
  "X-RateLimit-Limit: 600\r\n"                                                 \
  "X-RateLimit-Remaining: 599\r\n"                                             \
  "Access-Control-Allow-Origin: *\r\n"                                         \
  "X-Content-Type-Options: nosniff\r\n"                                        \
  "Referrer-Policy: no-referrer-when-downgrade\r\n"                            \
  "Content-Security-Policy: default-src 'self'; img-src 'self' data:; "        \
  "style-src 'self' 'unsafe-inline'; frame-ancestors 'none'; base-uri "        \
  "'self'\r\n"                                                                 \
  "Strict-Transport-Security: max-age=31536000; includeSubDomains; "           \
  "preload\r\n"                                                                \
  "Via: 1.1 abcdef0123456789.cloudfront.net (CloudFront)\r\n"                  \
  "X-Amz-Cf-Id: 0123456789abcdef0123456789abcdef01234567\r\n"                  \
  "\r\n"

#define PUSHED_BODY "{\"success\":true}"

static const char *const facts[] = {
    "player 4.2.1", "up 86400 s", "disk 71 % of 32 GB"};

static char token[TOKEN_SIZE + 1];
static char buffer[HBEAT_REPLY_BUFFER_SIZE];
static const hbeat_config cfg = {
    .device = "LCUID-LD-00000000-0000-0000-0000-000000000001",
    .app = "LCUID-LAP-00000000-0000-0000-0000-000000000002",
    .token = token,
    .reply_buffer = buffer,
    .reply_buffer_size = sizeof buffer,
};
static const hbeat_request beat = {
    .lightning_version = "4.2.1",
    .device_info = facts,
    .device_info_count = COUNT(facts),
};
static hbeat_exchange exchange;
static hbeat_reply reply;

/* ---- The rows --------------------------------------------------------- */

/* hbeat_begin(), and hbeat_pull() to the end. */
static void send_all(const hbeat_request *request) {
  static char out[16384];

  expect(hbeat_begin(&exchange, &cfg, request, &reply), HBEAT_OK);
  while (hbeat_pull(&exchange, out, sizeof out) > 0) continue;
}

static void requests(unsigned count) {
  while (count-- > 0) send_all(&beat);
}

/* One request, whose fact has so many KiB. */
static void fact(unsigned count) {
  size_t size = (size_t)count * 1024;
  char *text = malloc(size + 1);
  const char *const one[] = {text};
  hbeat_request request = beat;

  if (!text) quit("no memory");
  memset(text, 'a', size);
  text[size] = '\0';
  request.device_info = one;
  request.device_info_count = 1;
  send_all(&request);
  free(text);
}

static void push(unsigned count) {
  static const char text[] = HEAD PUSHED_BODY;
  static hbeat_exchange begun;
  size_t used;

  expect(hbeat_begin(&begun, &cfg, &beat, &reply), HBEAT_OK);
  while (count-- > 0) {
    exchange = begun;
    expect(hbeat_push(&exchange, text, sizeof text - 1, &used), HBEAT_OK);
  }
}

/* What push() does beside the head. */
static void push_body(unsigned count) {
  const char *what;

  send_all(&beat);
  while (count-- > 0) {
    memcpy(buffer, PUSHED_BODY, sizeof PUSHED_BODY);
    reply.http_status = 200;
    expect(hbeat_decode(&beat, &reply, buffer, sizeof PUSHED_BODY - 1, &what),
        HBEAT_OK);
  }
}

static void decode_once(void) {
  const char *what;

  memcpy(buffer, BODY, sizeof BODY);
  reply.http_status = 200;
  expect(hbeat_decode(&beat, &reply, buffer, sizeof BODY - 1, &what), HBEAT_OK);
}

static void decode(unsigned count) {
  while (count-- > 0) decode_once();
}

/* An array that consists of one element, again and again. */
static void parse(const char *element, unsigned count) {
  static char text[JSON_SIZE];
  size_t size = strlen(element);
  size_t end = 1;
  hbeat_json value;

  memset(text, ' ', sizeof text);
  text[0] = '[';
  for (; end + size < sizeof text; end += size)
    memcpy(text + end, element, size);
  text[end - 1] = ']'; /* in the place of the last comma */
  while (count-- > 0)
    expect(hbeat_json_parse(text, sizeof text, &value), HBEAT_OK);
}

static void strings(unsigned count) {
  parse("\"playlist-12\",", count);
}

static void objects(unsigned count) {
  parse("{\"id\":1207,\"name\":\"lobby left\",\"on\":true,"
        "\"at\":[1.5,-2,null]},",
      count);
}

/* Walks through an array, so many times 100 elements. */
static void walk(unsigned count) {
  static char text[JSON_SIZE];
  size_t size = 0;
  hbeat_json array, element;

  text[size++] = '[';
  for (unsigned i = 0; i < 100; i++)
    size += (size_t)sprintf(text + size, "{\"screen\":%u,\"on\":true},", i);
  text[size - 1] = ']';
  expect(hbeat_json_parse(text, size, &array), HBEAT_OK);
  while (count-- > 0) {
    hbeat_json left = array;
    while (hbeat_json_next(&left, NULL, &element)) continue;
  }
}

/* An instruction is learnt, taken, ended. */
static void memory(unsigned count) {
  static const hbeat_limits limits;
  static hbeat_memory m, empty;
  hbeat_instruction i;

  decode_once();
  reply.clock_offset_s = 0;
  reply.server_time_s = 1767744919;
  hbeat_memory_load(&empty, NULL, 0, NULL);
  while (count-- > 0) {
    memcpy(&m, &empty, sizeof m);
    expect(hbeat_memory_learn(&m, &beat, &reply, HBEAT_OK), HBEAT_OK);
    if (!hbeat_memory_due(&m, 1767744919, &limits, &i)) quit("nothing is due");
    hbeat_memory_end(&m, i.lcuid, HBEAT_ACKNOWLEDGE, NULL, NULL);
  }
}

static const struct {
  const char *name;
  void (*run)(unsigned count);
} rows[] = {
    {"request", requests},
    {"fact", fact},
    {"push", push},
    {"push_body", push_body},
    {"decode", decode},
    {"strings", strings},
    {"objects", objects},
    {"walk", walk},
    {"memory", memory},
};

int main(int argc, char **argv) {
  memset(token, 't', TOKEN_SIZE);
  for (size_t i = 0; argc == 3 && i < COUNT(rows); i++) {
    if (strcmp(argv[1], rows[i].name) != 0) continue;
    rows[i].run((unsigned)strtoul(argv[2], NULL, 10));
    return 0;
  }
  quit("usage: codec ROW COUNT");
}
