/* Replies to each call: whole and in pieces they must come to the same.
 * Control bytes: what kind, and how to split; then the connection's bytes. */
#include "fuzz.h"

/* The bits of what kind it is; ROOM, CALL and TOKEN_ROOM have two each. */
enum { ENDS = 1, TUNNEL_BIT = 2, ROOM = 4, CALL = 16, TOKEN_ROOM = 64 };

enum { UNTOUCHED = 0x6E };

static const size_t rooms[] = {1, 40, 300, HBEAT_REPLY_BUFFER_SIZE};
static const size_t token_rooms[] = {2, 40, 1, 5};

typedef struct outcome {
  hbeat_error e;
  size_t used, room;
  const char *what;
  bool keep_alive;
  hbeat_reply reply;
  hbeat_request request;
  char *buffer;
} outcome;

static outcome feed_reply(span wire, byte kind, byte choice) {
  static const hbeat_request all = {.lightning_version = "4.2.1",
      .instruction = "i",
      .login_token = "t",
      .login_secret = "s"};
  hbeat_config cfg = {.device = "d", .app = "a", .token = "t"};
  uint32_t random = choice + 1u;
  hbeat_exchange x;
  outcome o;
  size_t used;
  memset(&o, 0, sizeof o);
  o.room = cfg.reply_buffer_size = rooms[kind / ROOM % COUNT(rooms)];
  o.buffer = cfg.reply_buffer = memory(o.room);
  memset(&o.reply, 0xA5, sizeof o.reply);
  o.request = all;
  o.request.call = (hbeat_call)(kind / CALL % 4);
  o.request.token_buffer_size = token_rooms[kind / TOKEN_ROOM];
  o.request.token_buffer = memory(o.request.token_buffer_size);
  memset(o.request.token_buffer, UNTOUCHED, o.request.token_buffer_size);
  EXPECT(hbeat_begin(&x, &cfg, &o.request, &o.reply) == HBEAT_OK);
  x.in.tunnel = kind & TUNNEL_BIT;
  o.e = HBEAT_AGAIN;
  while (o.e == HBEAT_AGAIN && wire.at < wire.end) {
    size_t n = next_piece(length_of(wire), choice, &random);
    o.e = hbeat_push(&x, at_end(wire.at, n), n, &used);
    EXPECT(o.e == HBEAT_AGAIN ? used == n : used <= n);
    o.used += used;
    wire.at += n;
  }
  if (o.e == HBEAT_AGAIN && (kind & ENDS)) {
    o.e = hbeat_push(&x, NULL, 0, &used);
    EXPECT(used == 0 && o.e != HBEAT_AGAIN);
  }
  if (o.e != HBEAT_AGAIN) {
    o.what = x.what;
    o.keep_alive = x.keep_alive;
    EXPECT(hbeat_push(&x, "x", 1, &used) == HBEAT_ERR_ARGUMENT);
    EXPECT(used == 0);
  }
  return o;
}

static size_t place(const outcome *o, const char *text) {
  if (!text) return SIZE_MAX;
  EXPECT(text >= o->buffer && text < o->buffer + o->room);
  return (size_t)(text - o->buffer);
}

static void check_text(const outcome *o, const char *text) {
  size_t at = place(o, text);
  if (at == SIZE_MAX) return;
  EXPECT(memchr(text, '\0', o->room - at));
  expect_utf8(text);
}

/* A token that can be sent, and zeros; or what was there before. */
static void check_token(const outcome *o, bool tunnel) {
  const char *token = o->request.token_buffer;
  size_t size = o->request.token_buffer_size, length = 0, i;
  bool taken = o->request.call == HBEAT_LOGIN && o->e == HBEAT_OK && !tunnel;
  if (taken) {
    while (length < size && token[length] > ' ' && token[length] < 0x7F)
      length++;
    EXPECT(length > 0 && length < size);
  }
  for (i = length; i < size; i++)
    EXPECT(token[i] == (taken ? '\0' : UNTOUCHED));
}

/* Nothing that came in reply to a log-in is left but the message. */
static void check_wiped(const outcome *o, bool tunnel) {
  size_t kept = o->reply.message ? strlen(o->reply.message) + 1 : 0;
  if (o->request.call != HBEAT_LOGIN || o->e == HBEAT_AGAIN || tunnel) return;
  EXPECT(kept == 0 || place(o, o->reply.message) == 0);
  for (size_t i = kept; i < o->room; i++) EXPECT(o->buffer[i] == '\0');
}

/* Where no instruction waits, or it cannot be read, it has no name; an
 * unreadable time has a text. */
static void check_instruction(const hbeat_instruction *i) {
  EXPECT(!i->name || !i->unreadable);
  EXPECT(i->run_at || i->run_at_s == HBEAT_NONE);
  EXPECT(i->created_at || i->created_at_s == HBEAT_NONE);
  EXPECT(i->updated_at || i->updated_at_s == HBEAT_NONE);
}

static void check_outcome(const outcome *o, bool tunnel) {
  const hbeat_reply *r = &o->reply;
  const hbeat_instruction *i = &r->instruction;
  hbeat_json value;
  EXPECT(o->e <= HBEAT_ERR_TOO_BIG);
  EXPECT(
      r->http_status == 0 || (r->http_status >= 100 && r->http_status < 600));
  EXPECT(r->retry_after_s == HBEAT_NONE || r->retry_after_s >= 0);
  EXPECT(r->success == (o->e == HBEAT_OK && !tunnel));
  EXPECT(o->e != HBEAT_OK || r->http_status / 100 == 2);
  EXPECT(o->e != HBEAT_ERR_STATUS || r->http_status / 100 != 2);
  EXPECT(o->e != HBEAT_ERR_PROXY || tunnel);
  if (tunnel)
    EXPECT(o->e != HBEAT_ERR_STATUS && o->e != HBEAT_ERR_REFUSED &&
        o->e != HBEAT_ERR_JSON && o->e != HBEAT_ERR_TOO_BIG);
  EXPECT(o->e == HBEAT_OK || o->e == HBEAT_AGAIN || o->what ||
      o->e == HBEAT_ERR_STATUS || o->e == HBEAT_ERR_PROXY);
  EXPECT(!o->keep_alive || o->e == HBEAT_OK || o->e == HBEAT_ERR_STATUS ||
      o->e == HBEAT_ERR_REFUSED);
  EXPECT(o->request.call == HBEAT_BEAT || (!i->name && !i->unreadable));
  check_token(o, tunnel);
  check_wiped(o, tunnel);
  check_instruction(i);
  check_text(o, r->message);
  check_text(o, i->name);
  check_text(o, i->run_at);
  check_text(o, i->lcuid);
  check_text(o, i->created_at);
  check_text(o, i->updated_at);
  EXPECT(r->success || (!i->name && i->parameters.type == HBEAT_JSON_NONE));
  if (i->parameters.type == HBEAT_JSON_NONE) return;
  EXPECT(place(o, i->parameters.text) + i->parameters.size <= o->room);
  EXPECT(hbeat_json_parse(i->parameters.text, i->parameters.size, &value) ==
      HBEAT_OK);
  EXPECT(value.type == i->parameters.type && value.size == i->parameters.size);
}

static void expect_same(const outcome *a, const outcome *b) {
  const hbeat_reply *r = &a->reply, *s = &b->reply;
  const hbeat_instruction *i = &r->instruction, *j = &s->instruction;
  bool cut =
      a->e == HBEAT_ERR_TOO_BIG || (a->e == HBEAT_ERR_STATUS && !a->keep_alive);
  EXPECT(a->e == b->e);
  EXPECT(cut || a->used == b->used);
  EXPECT(a->what == b->what || strcmp(a->what, b->what) == 0);
  EXPECT(a->keep_alive == b->keep_alive);
  if (a->e != HBEAT_ERR_TOO_BIG) /* of which only pieces before were taken */
    EXPECT(memcmp(a->buffer, b->buffer, a->room) == 0);
  EXPECT(memcmp(a->request.token_buffer, b->request.token_buffer,
             a->request.token_buffer_size) == 0);
  EXPECT(r->http_status == s->http_status && r->success == s->success);
  EXPECT(r->connection == s->connection);
  EXPECT(r->retry_after_s == s->retry_after_s);
  EXPECT(r->server_time_s == s->server_time_s);
  EXPECT(r->clock_offset_s == s->clock_offset_s);
  EXPECT(place(a, r->message) == place(b, s->message));
  EXPECT(place(a, i->name) == place(b, j->name));
  EXPECT(place(a, i->run_at) == place(b, j->run_at));
  EXPECT(place(a, i->lcuid) == place(b, j->lcuid));
  EXPECT(place(a, i->created_at) == place(b, j->created_at));
  EXPECT(place(a, i->updated_at) == place(b, j->updated_at));
  EXPECT(place(a, i->parameters.text) == place(b, j->parameters.text));
  EXPECT(i->parameters.size == j->parameters.size);
  EXPECT(i->parameters.type == j->parameters.type);
  EXPECT(i->run_at_s == j->run_at_s && i->status == j->status);
  EXPECT(i->unreadable == j->unreadable);
  EXPECT(i->created_at_s == j->created_at_s);
  EXPECT(i->updated_at_s == j->updated_at_s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  span in = span_of(data, size);
  byte kind = control(&in), choice = control(&in);
  outcome whole = feed_reply(in, kind, 0),
          pieces = feed_reply(in, kind, choice);
  check_outcome(&whole, kind & TUNNEL_BIT);
  expect_same(&whole, &pieces);
  free(whole.buffer);
  free(whole.request.token_buffer);
  free(pieces.buffer);
  free(pieces.request.token_buffer);
  return 0;
}
