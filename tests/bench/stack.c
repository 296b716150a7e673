/*
 * How many bytes of stack each call takes.
 *
 * A call runs on a stack of its own that was painted before: the lowest word
 * that has changed says how deep it went, and what an empty function takes is
 * subtracted.  The rest is the frames of the library, of BearSSL and of the C
 * library, and some 16 bytes of the function around the call.  It is not the
 * server's, which is a process of its own, nor a signal handler's, since no
 * signal is delivered.  What the deepest function sets aside and does not write
 * goes unseen.
 *
 * The program is linked with -z now, or else the dynamic linker's frames would
 * count, which are deeper than most calls, wherever a function is called for
 * the first time.  BearSSL's code depends on the processor, as on whether it
 * has instructions for AES, and so may the figures.
 *
 * A row passes if it takes no more than the header says.  Those with a
 * nameserver need root.
 */
#define _DEFAULT_SOURCE
#include "tests/network/nameserver.h"

#include <signal.h>
#include <ucontext.h>

/* What heartbeat.h says that the stack needs: more with newer snapshots of
 * BearSSL, which have another P-256 for 64 bits. */
#ifdef BR_FEATURE_X509_TIME_CALLBACK
enum { PROMISE = 9 * 1024 };
#else
enum { PROMISE = 8 * 1024 };
#endif

/* ---- Painting --------------------------------------------------------- */

enum { WORDS = 64 * 1024 / sizeof(uint64_t) };

static const uint64_t paint = 0x5AC3965AA53C69A5;
static uint64_t stack[WORDS];

static void (*painted)(void); /* the function that runs on the stack */
static size_t intact;

/* Looks before it returns: what ends a context takes stack, too, on some
 * machines more than the function did. */
static void run_and_look(void) {
  painted();
  intact = 0;
  while (intact < WORDS && stack[intact] == paint) intact++;
}

/* Runs a function on the stack; returns the bytes from its top that changed. */
static size_t touched(void (*function)(void)) {
  static ucontext_t here, there;

  painted = function;
  for (size_t i = 0; i < WORDS; i++) stack[i] = paint;
  assert_int_equal(getcontext(&there), 0);
  there.uc_link = &here;
  there.uc_stack.ss_sp = stack;
  there.uc_stack.ss_size = sizeof stack;
  sigfillset(&there.uc_sigmask);
  makecontext(&there, run_and_look, 0);
  assert_int_equal(swapcontext(&here, &there), 0);
  return sizeof stack - intact * sizeof *stack;
}

static void nothing(void) {
}

static void kilobyte(void) {
  volatile char bytes[1024];

  for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = 1;
}

/* What takes a kilobyte is seen to take one, and what it is called with. */
static void is_seen(void **state) {
  (void)state;
  assert_in_range(touched(kilobyte) - touched(nothing), 1024, 1024 + 256);
}

static struct {
  const char *name;
  size_t depth;
} deepest;

/* Notes how deep a call goes; fails the test if that is too deep. */
static void measure(const char *name, void (*call)(void)) {
  size_t depth = touched(call) - touched(nothing);

  printf("# note: %5zu  %s\n", depth, name);
  if (depth > deepest.depth) {
    deepest.name = name;
    deepest.depth = depth;
  }
  assert_in_range(depth, 0, PROMISE); /* 0: it is a leaf, in registers */
}

/* ---- What is called --------------------------------------------------- */

#define TEXT(literal) (literal), sizeof(literal) - 1
#define LCUID "LCUID-LDRI-00000000-0000-0000-0000-000000000003"
#define BODY                                                                   \
  "{\"success\":true,\"message\":\"caf\\u00e9 \\ud83d\\ude00\","               \
  "\"lightning_device_remote_instruction\":{\"instruction\":\"reload\","       \
  "\"parameters\":{\"volume\":\"a\\tb\",\"deep\":[[[{\"a\":[1.25]}]]]},"       \
  "\"status\":0,\"lcuid\":\"" LCUID "\",\"run_at\":null,"                      \
  "\"created_at\":\"2026-01-07T00:15:19.000000Z\","                            \
  "\"updated_at\":\"2026-01-07 00:15:19\"}}"
#define REPLY                                                                  \
  PEER_HEAD "Retry-After: Wed, 07 Jan 2026 00:20:19 GMT\r\n"                   \
            "Transfer-Encoding: chunked\r\n\r\n%zx\r\n%s\r\n0\r\n\r\n"

static struct player p;
/* What the last call returned, where it returns such a thing. */
static hbeat_error error;
static bool good;

static const char *const facts[] = {"caf\xc3\xa9", "\xff\x01\"\\"};
static const hbeat_request beat = {
    .lightning_version = "4.2.1",
    .device_info = facts,
    .device_info_count = COUNT(facts),
};

static char text[1 << 20]; /* JSON, a reply or PEM, for the next call */
static size_t text_size;
static char unescaped[64];
static hbeat_json value, key, element;
static int64_t number;
static hbeat_exchange exchange;
static hbeat_memory memory, kept;
static hbeat_instruction instruction;
static hbeat_request report;
static unsigned char arena[256 * 1024];
static hbeat_anchors anchors = {.arena = arena, .arena_size = sizeof arena};
static unsigned char session[HBEAT_SESSION_SIZE];

/* ---- Calls without a network ------------------------------------------ */

/* Arrays and objects in each other, as deep as may be. */
static void make_deep_json(void) {
  char *at = text;

  for (int i = 0; i < HBEAT_JSON_DEPTH / 2; i++) at += sprintf(at, "[{\"a\":");
  at += sprintf(at, "\"a\\tb\"");
  for (int i = 0; i < HBEAT_JSON_DEPTH / 2; i++) at += sprintf(at, "}]");
  text_size = (size_t)(at - text);
}

static void json_parse(void) {
  error = hbeat_json_parse(text, text_size, &value);
}

static void json_next(void) {
  good = hbeat_json_next(&value, &key, &element);
}

static void json_string(void) {
  static const hbeat_json string = {
      HBEAT_JSON_STRING, TEXT("\"caf\\u00e9 \\ud83d\\ude00\"")};

  good = hbeat_json_string(&string, unescaped, sizeof unescaped) > 0;
}

static void json_number(void) {
  static const hbeat_json figures = {HBEAT_JSON_NUMBER, TEXT("-12.50")};

  error = hbeat_json_number(&figures, 2, &number);
}

static void begin_and_pull(void) {
  static char bytes[64];

  error = hbeat_begin(&exchange, &p.cfg, &beat, &p.reply);
  while (hbeat_pull(&exchange, bytes, sizeof bytes) > 0) continue;
}

static void make_reply(void) {
  text_size = (size_t)sprintf(text, REPLY, strlen(BODY), BODY);
}

static void push(void) {
  size_t used;

  error = hbeat_push(&exchange, text, text_size, &used);
}

static void make_body(void) {
  text_size = (size_t)sprintf(text, BODY);
}

static void decode(void) {
  const char *what;

  error = hbeat_decode(&beat, &p.reply, text, text_size, &what);
}

static void memory_learn(void) {
  error = hbeat_memory_learn(&memory, &beat, &p.reply, HBEAT_OK);
}

static const hbeat_limits no_limits;

static void memory_due(void) {
  good = hbeat_memory_due(&memory, PEER_TIME_S, &no_limits, &instruction);
}

/* Brings one that is due at a time, and too late then. */
static void learn_timed(void) {
  hbeat_reply reply = p.reply;

  hbeat_memory_load(&memory, NULL, 0, NULL);
  reply.instruction.run_at = "then";
  reply.instruction.run_at_s = PEER_TIME_S;
  error = hbeat_memory_learn(&memory, &beat, &reply, HBEAT_OK);
}

static void memory_stale(void) {
  static const hbeat_limits limits = {.max_age_s = 1};

  hbeat_memory_due(&memory, PEER_TIME_S + 9, &limits, &instruction);
  good = hbeat_memory_report(&memory, &report);
}

/* Into one that is empty. */
static void memory_merge(void) {
  static hbeat_memory empty;

  hbeat_memory_merge(&empty, &memory);
  good = empty.changed;
}

/* One that is TAKEN, so that it is ended. */
static void keep_taken(void) {
  learn_timed();
  memory_due();
  kept = memory;
}

static void keep_memory(void) {
  kept = memory;
}

static void memory_load(void) {
  error = hbeat_memory_load(&memory, &kept, sizeof kept, &number);
}

/* Data as deep as may be: an object, and what make_deep_json() has inside. */
static void make_deep_data(void) {
  make_deep_json();
  text[text_size - 1] = '\0';
}

static void memory_end(void) {
  hbeat_memory_end(&memory, LCUID, HBEAT_FAILED, "no player", text + 1);
  good = hbeat_memory_report(&memory, &report) && report.response_data;
}

static void memory_report(void) {
  good = hbeat_memory_report(&memory, &report);
}

static void next_ms(void) {
  static const hbeat_policy policy;
  uint32_t failures = 3;

  good = hbeat_next_ms(
             &policy, &failures, HBEAT_ERR_STATUS, &p.reply, UINT32_MAX) > 0;
}

/* ---- Calls of the client ---------------------------------------------- */

static void read_root(void) {
  const char *root = certs_file("ca", "pem", &text_size);

  memcpy(text, root, text_size);
}

static void read_bundle(void) {
  FILE *f = fopen("/etc/ssl/certs/ca-certificates.crt", "rb");

  if (!f) skip();
  text_size = fread(text, 1, sizeof text, f);
  fclose(f);
}

static void anchors_pem(void) {
  error = hbeat_anchors_pem(&anchors, text, text_size);
}

static void init(void) {
  error = hbeat_init(&p.client, &p.cfg);
}

static void start(void) {
  error = hbeat_start(&p.client, &beat, &p.reply);
}

static void wants(void) {
  good = hbeat_wants(&p.client).timeout_ms >= 0;
}

static void send_beat(void) {
  error = hbeat_send(&p.client, &beat, &p.reply);
}

static void explain(void) {
  good = hbeat_explain(&p.client)[0] != '\0';
}

static void session_save(void) {
  good = hbeat_session_save(&p.client, session);
}

static void session_load(void) {
  good = hbeat_session_load(&p.client, session, sizeof session);
}

static void close_client(void) {
  hbeat_close(&p.client);
}

/* A client that has a connection and a session. */
static void open_and_send(void) {
  static const struct peer_script remembers = {.memory = PEER_REMEMBERS};

  player_open(&p, peer_start(&remembers));
  player_expect(&p, &beat, HBEAT_OK);
}

/* A client that knows of a certificate's dates. */
static void open_and_fail(void) {
  static const struct peer_script late = {.chain = "expired"};

  player_open(&p, peer_start(&late));
  player_expect(&p, &beat, HBEAT_ERR_CERT_TIME);
}

/* ---- The calls, one by one -------------------------------------------- */

/* Each finds what those above have left. */
struct call_row {
  const char *name;
  void (*call)(void);
  void (*prepare)(void); /* what is not measured; NULL: nothing */
};

static const struct call_row call_rows[] = {
    {"hbeat_json_parse, the deepest", .call = json_parse,
        .prepare = make_deep_json},
    {"hbeat_json_next", .call = json_next},
    {"hbeat_json_string", .call = json_string},
    {"hbeat_json_number", .call = json_number},
    {"hbeat_begin, hbeat_pull", .call = begin_and_pull},
    {"hbeat_push", .call = push, .prepare = make_reply},
    {"hbeat_decode", .call = decode, .prepare = make_body},
    {"hbeat_memory_learn", .call = memory_learn},
    {"hbeat_memory_due", .call = memory_due},
    {"hbeat_memory_due, one too late", .call = memory_stale,
        .prepare = learn_timed},
    {"hbeat_memory_load", .call = memory_load, .prepare = keep_memory},
    {"hbeat_memory_load, one interrupted", .call = memory_load,
        .prepare = keep_taken},
    {"hbeat_memory_merge", .call = memory_merge},
    {"hbeat_memory_end", .call = memory_end, .prepare = make_deep_data},
    {"hbeat_memory_report", .call = memory_report},
    {"hbeat_next_ms", .call = next_ms},
    {"hbeat_anchors_pem, a root", .call = anchors_pem, .prepare = read_root},
    {"hbeat_anchors_pem, the system's", .call = anchors_pem,
        .prepare = read_bundle},
    {"hbeat_init", .call = init},
    {"hbeat_start", .call = start},
    {"hbeat_wants", .call = wants},
    {"hbeat_session_save", .call = session_save, .prepare = open_and_send},
    {"hbeat_close", .call = close_client},
    {"hbeat_session_load", .call = session_load, .prepare = init},
    {"hbeat_explain", .call = explain, .prepare = open_and_fail},
};

static void is_call(void **state) {
  const struct call_row *row = *state;

  if (row->prepare) row->prepare();
  error = HBEAT_OK;
  good = true;
  measure(row->name, row->call);
  assert_int_equal(error, HBEAT_OK);
  assert_true(good);
}

/* ---- Heartbeats ------------------------------------------------------- */

/* One hbeat_send(); a session or a connection is that of one before it. */
struct beat_row {
  const char *name;
  hbeat_error want;
  hbeat_connection way;
  struct peer_script script;
  const char *anchor; /* NULL: ca */
};

#define FIRST .way = HBEAT_CONNECTION_NEW
#define RESUMED(s)                                                             \
  .way = HBEAT_CONNECTION_RESUMED,                                             \
  .script = {.suite = BR_TLS_ECDHE_ECDSA_WITH_##s,                             \
      .memory = PEER_REMEMBERS,                                                \
      .turns = closing,                                                        \
      .turn_count = COUNT(closing)}
#define KEPT(s)                                                                \
  .way = HBEAT_CONNECTION_KEPT, .script = {.suite = BR_TLS_ECDHE_ECDSA_WITH_##s}

static const struct peer_turn closing[] = {{.end = PEER_NOTIFIES}};

static const struct beat_row beat_rows[] = {
    {"first, P-256", FIRST},
    {"first, six intermediates", FIRST, .script = {.chain = "deep"}},
    {"first, a certificate of 7 KB", FIRST, .script = {.chain = "name-crowd"}},
    {"first, RSA-2048", FIRST,
        .script = {.chain = "server-rsa", .key = "server-rsa"}},
    {"first, under RSA-4096", FIRST, .script = {.chain = "by-rsa"},
        .anchor = "rsa4096-ca"},
    {"first, P-384", FIRST, .script = {.chain = "p384", .key = "p384"},
        .anchor = "p384-ca"},
    {"first, P-521", FIRST, .script = {.chain = "p521", .key = "p521"},
        .anchor = "p521-ca"},
    {"resumed, AES-128-GCM", RESUMED(AES_128_GCM_SHA256)},
    {"resumed, AES-256-GCM", RESUMED(AES_256_GCM_SHA384)},
    {"resumed, ChaCha20-Poly1305", RESUMED(CHACHA20_POLY1305_SHA256)},
    {"kept, AES-128-GCM", KEPT(AES_128_GCM_SHA256)},
    {"kept, AES-256-GCM", KEPT(AES_256_GCM_SHA384)},
    {"kept, ChaCha20-Poly1305", KEPT(CHACHA20_POLY1305_SHA256)},
    {"another's name", HBEAT_ERR_CERT_NAME, .script = {.chain = "name"}},
    {"no TLS", HBEAT_ERR_TLS, .script = {.raw = "HTTP/1.1", .raw_size = 8}},
};

static void is_beat(void **state) {
  const struct beat_row *row = *state;

  player_configure(&p, peer_start(&row->script));
  if (row->anchor) p.cfg.anchors = player_anchors(row->anchor)->list;
  assert_int_equal(hbeat_init(&p.client, &p.cfg), HBEAT_OK);
  if (row->way > HBEAT_CONNECTION_NEW) player_expect(&p, &beat, HBEAT_OK);
  measure(row->name, send_beat);
  assert_int_equal(error, row->want);
  assert_int_equal(p.reply.connection, row->way);
  hbeat_close(&p.client);
}

/* ---- What comes before a handshake ------------------------------------ */

/*
 * A heartbeat whose name is looked up, or that goes by a proxy.  None gets as
 * far as a certificate, whose check would hide what all this takes.
 */
struct path_row {
  const char *name;
  hbeat_error want;
  const char *hosts;       /* the file; NULL: none */
  struct ns_server server; /* asked for what is not in there */
  const char *proxy;       /* its reply; NULL: no proxy */
};

static const struct path_row path_rows[] = {
    {"a hosts file, then refused", HBEAT_ERR_CONNECT,
        .hosts = "127.0.0.1 api.lucit.app\n"},
    {"a nameserver, then refused", HBEAT_ERR_CONNECT,
        .server = {.a = {R(2, A("\1") A("\2"))}}},
    {"a nameserver over TCP, then refused", HBEAT_ERR_CONNECT,
        .server = {.a = {.wrong = NS_SHORT}, .tcp_a = {R(1, A("\1"))}}},
    {"a nameserver, no such name", HBEAT_ERR_RESOLVE,
        .server = {.a = {.rcode = NS_NXDOMAIN}}},
    {"a proxy that refuses", HBEAT_ERR_PROXY,
        .proxy = "HTTP/1.1 407 Proxy Authentication Required\r\n\r\n"},
    {"a proxy that hangs up", HBEAT_ERR_TLS,
        .proxy = "HTTP/1.1 200 Connection established\r\n\r\n"},
};

static void is_path(void **state) {
  const struct path_row *row = *state;
  struct peer_script script = {.raw = row->proxy};

  ns_start(&row->server, 1);
  player_configure_name(&p, row->hosts ? ns_text("hosts", row->hosts) : NULL,
      ns_text("resolv.conf", "nameserver $0\n"));
  if (row->proxy) {
    script.raw_size = strlen(row->proxy);
    p.cfg.proxy = "127.0.0.1";
    p.cfg.proxy_port = peer_start(&script);
    p.cfg.proxy_login = "kiosk:open sesame";
  }
  assert_int_equal(hbeat_init(&p.client, &p.cfg), HBEAT_OK);
  measure(row->name, send_beat);
  assert_int_equal(error, row->want);
  hbeat_close(&p.client);
  ns_stop(NULL);
}

int main(void) {
  struct CMUnitTest tests[1 + COUNT(call_rows) + COUNT(beat_rows) +
      COUNT(path_rows)] = {cmocka_unit_test(is_seen)};
  struct CMUnitTest *to = tests + 1;
  int failed;

  player_configure(&p, 1);
  to = ROWS(to, is_call, call_rows);
  to = ROWS(to, is_beat, beat_rows);
  ROWS(to, is_path, path_rows);
  failed = cmocka_run_group_tests(tests, NULL, NULL);
  printf("# note: %5zu  is the deepest: %s\n", deepest.depth, deepest.name);
  return failed;
}
