/* The whole client, in a world of its own (world.h), against a server that has
 * every key and no scruples (server.h).  The input is a script: a header, which
 * says how the client is configured, and a line for each exchange.  A line
 * begins with what the host program asks for.  Then come acts of everybody
 * else, a letter each and what belongs to it; one is done whenever the client
 * has to wait.  From the end of the line on, everybody does what is right.
 *
 * What must hold of any script: the secrets never go out in clear and are in no
 * text; texts are text; the deadline is kept; a request goes out once, or twice
 * where a kept connection died, and is the right one; a success is what a
 * trusted server has said, byte for byte; nobody goes round in circles; and
 * behind a close all is wiped, and no descriptor is left. */
#include "fuzz.h"
#include "server.h"

enum {
  EXCHANGES_MAX = 24,
  EXPECTED_MAX = 1 << 15,
  FACTS = 40,
  FACT_SIZE = 400
};

/* Bits of the header's bytes. */
enum { SMALL = 1, HAS_SESSION = 1, TWICE = 2, NO_CLOCK = 4, OTHER_HOST = 8 };

/* Bits of the byte that begins a line, beside the call's two. */
enum {
  BLOCKS = 4,   /* hbeat_send() in place of steps */
  BIG = 8,      /* with many facts, or a long message */
  RENEWS = 16,  /* by a client that is new ... */
  LOADS = 32,   /* ... to which the session is handed ... */
  DAMAGED = 64, /* ... with a bit flipped */
  SAVES = 128   /* saves the session in the end */
};

/* What the host program does with an exchange that is under way. */
enum wish { GOES_ON, STARTS_ANEW, CLOSES };

#define TOKEN "sEcReT-7sEcReT-7"
#define SECRET "hIdDeN-8hIdDeN-8"
#define NEW_TOKEN "fReSh-9"

static const char secrets[] = "sEcReT-7\0hIdDeN-8\0pRoXy-6\0";
static const size_t reply_sizes[] = {HBEAT_REPLY_BUFFER_SIZE, 300, 40, 1};
static const uint32_t timeouts_ms[] = {0, 1, 300, 5000, 86400000, 12345};

static const char one_host[] =
    "192.0.2.1 api.lucit.app localhost proxy.example\n";
static const char many_hosts[] = "2001:db8::1 api.lucit.app\n"
                                 "192.0.2.7 localhost api.lucit.app\n"
                                 "192.0.2.8 proxy.example\n";
static const char *const hosts_texts[] = {"", one_host, many_hosts};

static const char one_server[] = "nameserver 192.0.2.53\n";
static const char many_servers[] = "nameserver 192.0.2.53\n"
                                   "nameserver 2001:db8::35\n"
                                   "nameserver fe80::1%eth0\n"
                                   "options timeout:1 attempts:2\n";
static const char over_tcp[] = "options use-vc\nnameserver 192.0.2.53\n";
static const char *const resolv_texts[] = {
    one_server, many_servers, over_tcp, ""};

/* A client, and all that its host program holds. */
static struct {
  span script;
  hbeat_client *client;
  hbeat_config cfg;
  byte *tls_memory; /* which the TLS buffer is the end of */
  hbeat_request request;
  hbeat_reply reply;
  char token_buffer[24];
  byte session[HBEAT_SESSION_SIZE];
  bool has_session;
  int64_t deadline_ms; /* but for jumps of the clock */
  enum wish wish;
  bool gave_up_login; /* so that nothing of its reply may be left */
} host;

static hbeat_anchors anchors;
static byte first_session[HBEAT_SESSION_SIZE];
static byte expected[EXPECTED_MAX];

/* ---- Acts ---- */

static byte next_byte(void) {
  return control(&host.script);
}

/* Takes so many bytes as the next byte says, or what there is. */
static span next_bytes(void) {
  size_t size = next_byte();
  span s = host.script;

  if (size > length_of(s)) size = length_of(s);
  s.end = s.at + size;
  host.script.at = s.end;
  return s;
}

static void act_reply(void) {
  server_reply(next_byte());
}

static void act_say(void) {
  span s = next_bytes();
  server_seal(IS_DATA, s.at, length_of(s));
}

static void act_record(void) {
  unsigned type = next_byte();
  span s = next_bytes();
  server_seal(type, s.at, length_of(s));
}

static void act_say_nothing(void) {
  server_seal(IS_DATA, NULL, 0);
}

/* More than a record or a reply may hold: no HTTP, but much of it. */
static void act_say_much(void) {
  static const byte much[16384];
  server_seal(IS_DATA, much, 64u * next_byte());
}

static void act_hello(void) {
  server_seal(IS_HANDSHAKE, "\0\0\0", 4);
}

static void act_alert(void) {
  byte alert[2] = {next_byte() & 1 ? 2 : 1, 0};
  alert[1] = next_byte();
  server_seal(IS_ALERT, alert, sizeof alert);
}

static void act_close(void) {
  server_close();
}

static void act_write(void) {
  span s = next_bytes();
  server_write(s.at, length_of(s));
}

static void act_flip(void) {
  unsigned at = next_byte();
  at += 256u * (next_byte() & 7);
  server_flip(at, next_byte());
}

static void act_end(void) {
  world_end(server_fd());
}

static void act_break(void) {
  static const int errors[] = {
      ECONNRESET, ETIMEDOUT, EPIPE, EHOSTUNREACH, ECONNABORTED};
  world_break(server_fd(), errors[next_byte() % COUNT(errors)]);
}

static void act_limit_reads(void) {
  world_limit_reads(next_byte());
}

static void act_limit_writes(void) {
  world_limit_writes(next_byte());
}

static void act_set_room(void) {
  byte room = next_byte();
  world_set_room(server_fd(), room == 255 ? SIZE_MAX : 16u * room);
}

static void act_fail(void) {
  static const struct {
    enum call_name name;
    int error;
  } faults[] = {{CALL_SOCKET, EMFILE}, {CALL_SOCKET, ENOBUFS},
      {CALL_CONNECT, ENETUNREACH}, {CALL_CONNECT, EADDRNOTAVAIL},
      {CALL_POLL, EINTR}, {CALL_SEND, EAGAIN}, {CALL_SEND, EINTR},
      {CALL_SEND, EPIPE}, {CALL_SEND, ENOBUFS}, {CALL_SENDMSG, EAGAIN},
      {CALL_SENDMSG, EINTR}, {CALL_SENDMSG, EPIPE}, {CALL_SENDMSG, ECONNRESET},
      {CALL_SENDMSG, ENOBUFS}, {CALL_RECV, EAGAIN}, {CALL_RECV, ECONNRESET},
      {CALL_RECV, ECONNREFUSED}, {CALL_READV, EAGAIN}, {CALL_READV, EINTR},
      {CALL_READV, ECONNRESET}, {CALL_READV, ETIMEDOUT}, {CALL_OPEN, ENOENT},
      {CALL_OPEN, EMFILE}, {CALL_READ, EIO}, {CALL_READ, EINTR},
      {CALL_GETSOCKOPT, ENOBUFS}, {CALL_SETSOCKOPT, ENOPROTOOPT},
      {CALL_RANDOM, EAGAIN}, {CALL_RANDOM, ENOSYS}, {CALL_RANDOM, EINTR}};
  size_t n = next_byte() % COUNT(faults);
  world_fail(faults[n].name, faults[n].error, 1u + next_byte() % 8);
}

static void act_take_randomness(void) {
  world_take_randomness();
}

static void act_idle(void) {
  int64_t n = next_byte();
  world_idle_ms(n * n);
}

static void act_jump(void) {
  int64_t n = next_byte();
  world_jump_ms(n * n * 32);
}

static void act_set_clock(void) {
  static const int64_t clocks_s[] = {0, 1000000000, WORLD_BEGINS_S,
      WORLD_BEGINS_S + 2 * DAY_S, 4102444800, -1, INT64_C(1) << 40};
  world_set_clock_s(clocks_s[next_byte() % COUNT(clocks_s)]);
}

static void act_hold(void) {
  world_hold(server_fd());
}

static void act_release(void) {
  world_release(server_fd());
}

static void act_deaf(void) {
  server_be_deaf(next_byte() & 1);
}

static void act_answer(void) {
  server_answer_query(next_byte());
}

static void act_answer_raw(void) {
  span s = next_bytes();
  server_answer_raw(s.at, length_of(s));
}

static void act_nameserver(void) {
  byte how = next_byte();
  if (how & 1) world_end(server_query_fd());
  else world_break(server_query_fd(), ECONNREFUSED);
}

static void act_datagram(void) {
  span s = next_bytes();
  world_deliver(server_query_fd(), s.at, length_of(s));
}

static void act_tunnel(void) {
  server_say_of_tunnel(next_byte());
}

static void act_connecting(void) {
  world_next_connecting((enum connecting)(next_byte() % CONNECTINGS));
}

static void act_memory(void) {
  server_remember((enum server_memory)(next_byte() % MEMORIES));
}

static void act_identity(void) {
  server_be(next_byte());
}

static void act_suite(void) {
  static const uint16_t suites[] = {0,
      BR_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
      BR_TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
      BR_TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
      BR_TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
      BR_TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256,
      BR_TLS_RSA_WITH_AES_128_GCM_SHA256};
  static const unsigned versions[] = {0, BR_TLS10, BR_TLS11};
  byte n = next_byte();
  server_choose_suite(suites[n % COUNT(suites)]);
  server_choose_version(versions[n / 16 % COUNT(versions)]);
}

/* The host program has other plans. */
static void act_wish(void) {
  host.wish = next_byte() & 1 ? CLOSES : STARTS_ANEW;
  world_stop_waiting();
}

/* It is woken for nothing. */
static void act_wake(void) {
  world_stop_waiting();
}

static const struct {
  char letter;
  void (*act)(void);
} acts[] = {{'r', act_reply}, {'s', act_say}, {'t', act_record},
    {'e', act_say_nothing}, {'m', act_say_much}, {'h', act_hello},
    {'a', act_alert}, {'c', act_close}, {'w', act_write}, {'x', act_flip},
    {'z', act_end}, {'k', act_break}, {'p', act_limit_reads},
    {'q', act_limit_writes}, {'Q', act_set_room}, {'f', act_fail},
    {'n', act_take_randomness}, {'i', act_idle}, {'I', act_jump},
    {'B', act_set_clock}, {'u', act_hold}, {'U', act_release}, {'d', act_deaf},
    {'D', act_answer}, {'N', act_answer_raw}, {'E', act_nameserver},
    {'G', act_datagram}, {'P', act_tunnel}, {'C', act_connecting},
    {'S', act_memory}, {'V', act_identity}, {'L', act_suite}, {'X', act_wish},
    {'Y', act_wake}};

static bool line_is_over(void) {
  return host.script.at >= host.script.end || *host.script.at == '\n';
}

/* Does the next act of the line, whose letter is any byte's. */
static void act(void) {
  byte letter = next_byte();
  size_t n = 0;

  while (n < COUNT(acts) && acts[n].letter != letter) n++;
  acts[n < COUNT(acts) ? n : letter % COUNT(acts)].act();
}

static bool act_or_go_on(void) {
  if (line_is_over()) {
    world_free(server_fd());
    return server_go_on();
  }
  act();
  return true;
}

/* ---- What must hold ---- */

static void check_explanation(void) {
  const char *text = hbeat_explain(host.client);
  size_t size = strlen(text);

  EXPECT(size > 0 && size < HBEAT_EXPLAIN_SIZE);
  EXPECT(!world_is_secret(text, size));
  for (size_t i = 0; i < size; i++) EXPECT(text[i] >= ' ' && text[i] < 0x7F);
}

static void check_text(const char *text) {
  const char *buffer = host.cfg.reply_buffer;
  size_t size = host.cfg.reply_buffer_size;

  if (!text) return;
  EXPECT(text >= buffer && text < buffer + size);
  EXPECT(memchr(text, '\0', (size_t)(buffer + size - text)));
  expect_utf8(text);
}

static void check_reply(hbeat_error e) {
  const hbeat_reply *r = &host.reply;
  const hbeat_instruction *i = &r->instruction;

  EXPECT(r->success == (e == HBEAT_OK));
  EXPECT(e != HBEAT_OK || r->http_status / 100 == 2);
  EXPECT(e != HBEAT_ERR_STATUS || r->http_status / 100 != 2);
  EXPECT(r->http_status >= 0 && r->http_status < 600);
  EXPECT(r->retry_after_s == HBEAT_NONE || r->retry_after_s >= 0);
  EXPECT(r->success || (!i->name && i->parameters.type == HBEAT_JSON_NONE));
  check_text(r->message);
  check_text(i->name);
  check_text(i->run_at);
  check_text(i->lcuid);
  check_text(i->created_at);
  check_text(i->updated_at);
}

static bool same_text(const char *a, const char *b) {
  return a && b ? strcmp(a, b) == 0 : !a && !b;
}

static bool same_reply(const hbeat_reply *a, const hbeat_reply *b) {
  return a->server_time_s == b->server_time_s &&
      a->retry_after_s == b->retry_after_s &&
      same_text(a->message, b->message) &&
      same_text(a->instruction.name, b->instruction.name);
}

/* Whether the codec makes the same of what was said, from one byte on. */
static bool codec_agrees(hbeat_error e, size_t start, size_t end) {
  const struct server_view *view = server_view();
  static char buffer[HBEAT_REPLY_BUFFER_SIZE];
  char token[sizeof host.token_buffer];
  hbeat_config cfg = host.cfg;
  hbeat_request request = host.request;
  hbeat_reply r;
  hbeat_exchange x;
  size_t used;
  hbeat_error again;

  cfg.reply_buffer = buffer;
  request.token_buffer = token;
  EXPECT(hbeat_begin(&x, &cfg, &request, &r) == HBEAT_OK);
  again = HBEAT_AGAIN;
  if (end > start)
    again = hbeat_push(&x, view->said.bytes + start, end - start, &used);
  if (again == HBEAT_AGAIN && view->closed)
    again = hbeat_push(&x, NULL, 0, &used);
  if (again != e || r.http_status != host.reply.http_status) return false;
  return e != HBEAT_OK || same_reply(&r, &host.reply);
}

/* The outcome is what the server has said.  On a kept connection that may have
 * begun with any record that the client could not find there before it asked:
 * those before it belonged to others. */
static void check_source(hbeat_error e) {
  const struct server_view *view = server_view();
  const struct server_said *said = &view->said;
  unsigned first = view->kept ? said->before : 0;
  size_t end = said->count > 0 ? said->ends[said->count - 1] : 0;
  bool agrees = false;

  EXPECT(view->good || view->resumed);
  if (view->overheard > 0) return;
  for (unsigned i = first; i <= said->count && !agrees; i++) {
    agrees = codec_agrees(e, i > 0 ? said->ends[i - 1] : 0, end);
    if (!view->kept) break;
  }
  EXPECT(agrees);
}

static void check_connection(bool was_kept) {
  const struct server_view *view = server_view();

  switch (host.reply.connection) {
  case HBEAT_CONNECTION_NONE: EXPECT(view->whole_requests <= was_kept); break;
  case HBEAT_CONNECTION_NEW: EXPECT(view->good && !view->kept); break;
  case HBEAT_CONNECTION_RESUMED: EXPECT(view->resumed && !view->kept); break;
  case HBEAT_CONNECTION_KEPT: EXPECT(was_kept && view->kept); break;
  }
}

/* What came in reply to a log-in is nowhere but in the token's own memory. */
static void check_token(hbeat_error e) {
  bool is_login = host.request.call == HBEAT_LOGIN;
  const char *token = host.token_buffer;

  if (e != HBEAT_OK || !is_login) {
    EXPECT(token[0] == '\0');
    if (!is_login || host.reply.message) return;
  } else {
    EXPECT(is_visible_text(token));
  }
  for (size_t i = 0; i < host.cfg.reply_buffer_size; i++)
    EXPECT(host.reply.message || host.cfg.reply_buffer[i] == '\0');
}

/* An exchange has ended so. */
static void check_end(hbeat_error e, bool was_kept) {
  bool has_source =
      e == HBEAT_OK || e == HBEAT_ERR_STATUS || e == HBEAT_ERR_REFUSED;
  hbeat_wait w = hbeat_wants(host.client);

  EXPECT(e > HBEAT_AGAIN || e == HBEAT_OK);
  EXPECT(e <= HBEAT_ERR_TOO_BIG);
  EXPECT(w.fd == -1 && w.events == 0 && w.timeout_ms == 0);
  EXPECT(hbeat_step(host.client) == e);
  EXPECT(world_open_count() == (host.client->link.fd >= 0));
  EXPECT(world_now_ms() <= host.deadline_ms + world_jumped_ms());
  EXPECT(server_view()->whole_requests <= 1u + was_kept);
  check_explanation();
  check_reply(e);
  if (e == HBEAT_ERR_ARGUMENT) return;
  check_connection(was_kept);
  check_token(e);
  if (has_source) check_source(e);
}

/* ---- The host program ---- */

static void load_anchors(void) {
  static byte arena[2048], text[8192];
  const char *b = getenv("B");
  char path[512];
  size_t size;
  FILE *f;

  snprintf(path, sizeof path, "%s/certs/ca.pem", b ? b : "build");
  f = fopen(path, "rb");
  EXPECT(f); /* make's target for certs has it */
  size = fread(text, 1, sizeof text, f);
  fclose(f);
  anchors.arena = arena;
  anchors.arena_size = sizeof arena;
  EXPECT(hbeat_anchors_pem(&anchors, text, size) == HBEAT_OK);
}

/* Where the client finds its server. */
static void choose_route(byte route) {
  hbeat_config *cfg = &host.cfg;

  switch (route % 6) {
  case 0: cfg->address = "192.0.2.1"; break;
  case 1: cfg->address = "2001:db8::1"; break;
  case 2:
  case 3: break; /* hosts and resolv.conf */
  case 4:
    cfg->proxy = "192.0.2.9";
    cfg->proxy_port = SERVER_PROXY_PORT;
    break;
  case 5:
    cfg->proxy = "proxy.example";
    cfg->proxy_port = SERVER_PROXY_PORT;
    cfg->proxy_login = "pRoXy-6:pRoXy-6";
    break;
  }
}

static void choose_files(byte choice) {
  const char *hosts = hosts_texts[choice % COUNT(hosts_texts)];
  const char *resolv = resolv_texts[choice / 16 % COUNT(resolv_texts)];
  span text;

  host.cfg.hosts_path = "/hosts";
  host.cfg.resolv_path = "/resolv.conf";
  world_write_file("/hosts", hosts, strlen(hosts));
  world_write_file("/resolv.conf", resolv, strlen(resolv));
  if (choice < 0xF0) return;
  text = next_bytes();
  world_write_file("/resolv.conf", text.at, length_of(text));
  text = next_bytes();
  world_write_file("/hosts", text.at, length_of(text));
}

/* Memory of exactly the size that is told, at any alignment. */
static void choose_buffers(byte choice) {
  hbeat_config *cfg = &host.cfg;
  size_t align = choice / 2 % 8;

  cfg->tls_buffer_size =
      choice & SMALL ? HBEAT_TLS_BUFFER_SMALL : HBEAT_TLS_BUFFER_SIZE;
  host.tls_memory = memory(align + cfg->tls_buffer_size);
  cfg->tls_buffer = host.tls_memory + align;
  cfg->reply_buffer_size = reply_sizes[choice / 16 % COUNT(reply_sizes)];
  cfg->reply_buffer = memory(cfg->reply_buffer_size);
}

/* Takes the header, and makes a client that it describes. */
static void configure(void) {
  byte route = next_byte(), files = next_byte(), buffers = next_byte();
  byte timeout = next_byte(), flags = next_byte();
  hbeat_config *cfg = &host.cfg;

  *cfg = (hbeat_config){.device = "LCUID-LD-1",
      .app = "LCUID-LAP-2",
      .token = TOKEN,
      .timeout_ms = timeouts_ms[timeout % COUNT(timeouts_ms)],
      .anchors = anchors.list,
      .anchor_count = anchors.count};
  choose_route(route);
  choose_files(files);
  choose_buffers(buffers);
  if (flags & OTHER_HOST) {
    cfg->host = "localhost";
    cfg->port = 8443;
  }
  if (flags & NO_CLOCK) {
    world_set_clock_s(0);
    cfg->clock_floor_s = flags & 128 ? WORLD_BEGINS_S - DAY_S : 0;
  }
  host.has_session = flags & HAS_SESSION;
  memcpy(host.session, first_session, sizeof first_session);
}

static void open_client(byte how) {
  EXPECT(hbeat_init(host.client, &host.cfg) == HBEAT_OK);
  if (!(how & LOADS) || !host.has_session) return;
  if (how & DAMAGED) {
    byte damaged[HBEAT_SESSION_SIZE];
    memcpy(damaged, host.session, sizeof damaged);
    damaged[next_byte() % sizeof damaged] ^= 1;
    EXPECT(!hbeat_session_load(host.client, damaged, sizeof damaged));
  } else {
    hbeat_session_load(host.client, host.session, sizeof host.session);
  }
}

static bool is_zero(const void *bytes, size_t size) {
  const byte *at = bytes;

  return at[0] == 0 && memcmp(at, at + 1, size - 1) == 0;
}

/* A log-in that the host program gave up leaves nothing of its reply. */
static void check_given_up(void) {
  const hbeat_config *cfg = &host.cfg;

  if (host.gave_up_login)
    EXPECT(is_zero(cfg->reply_buffer, cfg->reply_buffer_size));
  host.gave_up_login = false;
}

/* Nothing is left of a client that is closed but that it has no descriptor. */
static void close_client(void) {
  hbeat_client *c = host.client;

  hbeat_close(c);
  check_given_up();
  EXPECT(world_open_count() == 0);
  EXPECT(c->link.fd == -1);
  c->link.fd = 0;
  EXPECT(is_zero(c, sizeof *c));
  EXPECT(is_zero(host.cfg.tls_buffer, host.cfg.tls_buffer_size));
}

static void choose_request(byte how) {
  static char fact[FACT_SIZE + 1];
  static const char *facts[FACTS];
  hbeat_request *r = &host.request;

  memset(fact, 'f', FACT_SIZE);
  for (int i = 0; i < FACTS; i++) facts[i] = fact;
  *r = (hbeat_request){.call = (hbeat_call)(how & 3),
      .lightning_version = "4.2.1",
      .instruction = "LCUID-1",
      .login_token = SECRET,
      .login_secret = SECRET,
      .token_buffer = host.token_buffer,
      .token_buffer_size = sizeof host.token_buffer};
  memset(host.token_buffer, 0, sizeof host.token_buffer);
  if (!(how & BIG)) return;
  r->device_info = facts;
  r->device_info_count = FACTS;
  r->message = fact;
}

/* Tells the server what ought to come. */
static void expect_request(void) {
  hbeat_exchange x;
  hbeat_reply r;
  size_t size = 0, n;

  /* Before the new one: the server may not have seen the last one whole. */
  server_expect(expected, 0);
  EXPECT(hbeat_begin(&x, &host.cfg, &host.request, &r) == HBEAT_OK);
  while ((n = hbeat_pull(&x, expected + size, sizeof expected - size)) > 0)
    size += n;
  server_expect(expected, size);
}

/* Takes steps until the exchange ends; HBEAT_AGAIN: the host gives it up. */
static hbeat_error take_steps(void) {
  hbeat_error e = hbeat_start(host.client, &host.request, &host.reply);

  EXPECT(e == HBEAT_OK);
  check_given_up();
  for (;;) {
    bool late = world_now_ms() >= host.deadline_ms + world_jumped_ms();
    hbeat_wait w;

    e = hbeat_step(host.client);
    if (e != HBEAT_AGAIN) return e;
    EXPECT(!late);
    check_explanation();
    w = hbeat_wants(host.client);
    if (w.fd < 0) continue;
    EXPECT(
        world_now_ms() + w.timeout_ms <= host.deadline_ms + world_jumped_ms());
    world_wait(w.fd, w.events, w.timeout_ms);
    if (host.wish != GOES_ON) return e;
  }
}

/* Takes a line of the script. */
static void exchange(void) {
  byte how = next_byte();
  bool was_kept;
  hbeat_error e;

  if (how & RENEWS) {
    close_client();
    open_client(how);
  }
  choose_request(how);
  expect_request();
  was_kept = server_view()->kept;
  host.wish = GOES_ON;
  if (!host.gave_up_login)
    memset(host.cfg.reply_buffer, 0, host.cfg.reply_buffer_size);
  host.deadline_ms = world_now_ms() - world_jumped_ms();
  host.deadline_ms += host.client->cfg.timeout_ms;
  if (how & BLOCKS) e = hbeat_send(host.client, &host.request, &host.reply);
  else e = take_steps();
  host.gave_up_login = e == HBEAT_AGAIN && host.request.call == HBEAT_LOGIN;
  if (e != HBEAT_AGAIN) check_end(e, was_kept);
  if (host.wish == CLOSES) {
    close_client();
    open_client(0);
  }
  if (e != HBEAT_AGAIN && (how & SAVES))
    host.has_session = hbeat_session_save(host.client, host.session);
  while (!line_is_over()) act();
  next_byte();
}

/* Runs a script; returns a sum of all that happened. */
static uint64_t run(span script) {
  static struct other_side other;

  memset(&host, 0, sizeof host);
  host.script = script;
  other = server_side;
  other.act = act_or_go_on;
  world_begin(&other, 1);
  server_begin();
  world_watch_for(secrets);
  host.client = memory(sizeof *host.client);
  configure();
  world_enter();
  open_client(LOADS);
  for (int i = 0; i < EXCHANGES_MAX && host.script.at < host.script.end; i++)
    exchange();
  close_client();
  world_leave();
  free(host.client);
  free(host.tls_memory);
  free(host.cfg.reply_buffer);
  return world_digest();
}

/* A session that is there from the start spares most runs a handshake. */
static void prepare(void) {
  static const byte script[] = {0, 0, 0, 0, 0, SAVES, '\n'};

  load_anchors();
  run(span_of(script, sizeof script));
  EXPECT(host.has_session);
  memcpy(first_session, host.session, sizeof first_session);
  server_hold_session();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  span in = span_of(data, size);
  uint64_t digest;

  if (anchors.count == 0) prepare();
  digest = run(in);
  if (size > 4 && (data[4] & TWICE)) EXPECT(run(in) == digest);
  return 0;
}
