/*
 * What the library does without a network.
 *
 * usage: codec ROW COUNT
 */
#include "heartbeat.h"
#include "rows.h"
#include "texts.h"

enum { TOKEN_SIZE = 1050 };

static void expect(hbeat_error e, hbeat_error want) {
  if (e != want) quit(hbeat_error_name(e));
}

/* ---- What is sent, and comes back ------------------------------------- */

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
  static const char text[] = HEAD HEAD_BODY;
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
    memcpy(buffer, HEAD_BODY, sizeof HEAD_BODY);
    reply.http_status = 200;
    expect(hbeat_decode(&beat, &reply, buffer, sizeof HEAD_BODY - 1, &what),
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

static void parse(const char *element, unsigned count) {
  const char *text = make_array(element);
  hbeat_json value;

  while (count-- > 0)
    expect(hbeat_json_parse(text, JSON_SIZE, &value), HBEAT_OK);
}

static void strings(unsigned count) {
  parse(STRING, count);
}

static void objects(unsigned count) {
  parse(OBJECT, count);
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

static const struct row rows[] = {
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
  if (argc != 3) quit("usage: codec ROW COUNT");
  memset(token, 't', TOKEN_SIZE);
  run_row(rows, COUNT(rows), argv[1], argv[2]);
  return 0;
}
