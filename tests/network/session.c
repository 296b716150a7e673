/*
 * TLS sessions: when they are resumed, when they must not be, and what becomes
 * of them as bytes.
 *
 * Every connection is led to the port of the server that now runs, so that a
 * client finds the next one where the last one was; and what goes by is looked
 * at.
 */
#define _DEFAULT_SOURCE
#include "loopback.h"
#include "peer.h"
#include "syscalls.h"

#include <unistd.h>

enum { DAY_S = 86400, ID_SIZE = 32 };

/* In a ClientHello that is alone in its record: the session ID's length. */
enum { ID_SIZE_AT = 5 + 4 + 2 + 32 };

static uint16_t server_port;
static int64_t clock_s; /* what the system's clock says; 0: the time of day */

static struct wire {
  size_t sent, received;
  bool fresh;            /* nothing has been sent on this connection yet */
  unsigned offers;       /* ClientHellos that asked for a session */
  unsigned char id_size; /* of the last ClientHello's session ID */
  size_t cut;            /* so much of a write in two parts goes out, or all */
  bool was_cut;
  bool spoils; /* the next record that is received is of no known type */
} wire;

/* ---- The client's calls ----------------------------------------------- */

static void connect_to_server(struct call *c) {
  union socket_address a;

  c->in.connect.size = read_address(&a, "127.0.0.1", server_port);
  c->in.connect.address = &a.any;
  wire.fresh = true;
  make_call(c);
}

/* Of a write in two parts: leaves the beginning of the first one alone. */
static void cut_message(struct call *c, struct iovec *beginning) {
  struct msghdr *m = &c->in.message.header;
  const struct iovec *parts = m->msg_iov;

  if (wire.cut == 0 || m->msg_iovlen < 2) return;
  if (parts[0].iov_len <= wire.cut || parts[1].iov_len == 0) return;
  beginning->iov_base = parts[0].iov_base;
  beginning->iov_len = wire.cut;
  m->msg_iov = beginning;
  m->msg_iovlen = 1;
  wire.was_cut = true;
}

/* Looks at a ClientHello. */
static void note_hello(const struct iovec *part) {
  while (part->iov_len == 0) part++;
  if (part->iov_len <= ID_SIZE_AT) return;
  wire.id_size = ((const unsigned char *)part->iov_base)[ID_SIZE_AT];
  wire.offers += wire.id_size > 0;
}

static void send_message(struct call *c) {
  const struct iovec *parts = c->in.message.header.msg_iov;
  struct iovec beginning;

  cut_message(c, &beginning);
  make_call(c);
  if (c->result <= 0) return;
  wire.sent += (size_t)c->result;
  if (wire.fresh) note_hello(parts);
  wire.fresh = false;
}

static void receive_message(struct call *c) {
  make_call(c);
  if (c->result <= 0) return;
  wire.received += (size_t)c->result;
  if (!wire.spoils) return;
  unsigned char *type = c->in.message.header.msg_iov->iov_base;
  *type ^= 0x80;
  wire.spoils = false;
}

static void see_to(struct call *c) {
  switch (c->name) {
  case CALL_CONNECT: connect_to_server(c); break;
  case CALL_SEND:
  case CALL_SENDMSG: send_message(c); break;
  case CALL_RECV:
  case CALL_READV: receive_message(c); break;
  case CALL_TIME:
    make_call(c);
    if (clock_s) c->result = clock_s;
    break;
  default: make_call(c);
  }
}

/* ---- Players ---------------------------------------------------------- */

static void configure(struct player *p) {
  player_configure(p, 1);
}

static void open_configured(struct player *p) {
  assert_int_equal(hbeat_init(&p->client, &p->cfg), HBEAT_OK);
}

static void open_player(struct player *p) {
  configure(p);
  open_configured(p);
}

/* How the request of the last beat got to the server, as a letter. */
static char way(const struct player *p) {
  return "-nrk"[p->reply.connection];
}

/* One beat that ends in `error`, its request having gone the way given. */
static void beat(struct player *p, hbeat_error error, char want) {
  player_expect(p, &player_beat, error);
  if (way(p) != want)
    fail_msg("the request's way: wanted %c, got %c (of -, new, resumed, "
             "kept)",
        want, way(p));
}

static void good_beat(struct player *p, char want) {
  beat(p, HBEAT_OK, want);
}

/* One step, and the wait that it asks for; false once the beat is over. */
static bool step_on(hbeat_client *c) {
  hbeat_error e = hbeat_step(c);
  hbeat_wait wait = hbeat_wants(c);
  struct pollfd p = {wait.fd, wait.events, 0};

  if (e != HBEAT_AGAIN) assert_int_equal(e, HBEAT_OK);
  if (wait.fd >= 0) poll(&p, 1, wait.timeout_ms);
  return e == HBEAT_AGAIN;
}

/* ---- Who resumes ------------------------------------------------------ */

#define ENDS(how)                                                              \
  { .end = (how) }
#define CLOSES                                                                 \
  {                                                                            \
    .reply =                                                                   \
        PEER_HEAD "Connection: close\r\nContent-Length: 16\r\n\r\n" PEER_BODY, \
    .end = PEER_NOTIFIES                                                       \
  }

static const struct peer_turn closing[] = {CLOSES};
static const struct peer_turn notifying[] = {ENDS(PEER_STAYS),
    ENDS(PEER_NOTIFIES), ENDS(PEER_STAYS), ENDS(PEER_NOTIFIES),
    ENDS(PEER_STAYS)};
static const struct peer_turn finishing[] = {ENDS(PEER_FINISHES)};
static const struct peer_turn resetting[] = {ENDS(PEER_RESETS)};
static const struct peer_turn dying[] = {ENDS(PEER_STAYS),
    {.reply = "", .end = PEER_FINISHES}, ENDS(PEER_STAYS),
    {.reply = "", .end = PEER_RESETS}, ENDS(PEER_STAYS)};

#define TURNS(list) .turns = (list), .turn_count = COUNT(list)
#define REMEMBERS(list) .memory = PEER_REMEMBERS, TURNS(list)

/* What the requests of a few beats in a row come to, a letter each. */
struct server_row {
  const char *name;
  const char *ways;
  struct peer_script script;
  const char *openssl, *nginx; /* its option, its directives: that instead */
  bool no_id;                  /* of a session: there is nothing to save */
};

#define EC(s)                                                                  \
  .script = {.suite = BR_TLS_ECDHE_ECDSA_WITH_##s, REMEMBERS(closing)}
#define RSA(s)                                                                 \
  .script = {.chain = "server-rsa",                                            \
      .key = "server-rsa",                                                     \
      .suite = BR_TLS_ECDHE_RSA_WITH_##s,                                      \
      REMEMBERS(closing)}

/* nginx closes after every second request, so that both ways are gone. */
#define NGINX(cache, tickets)                                                  \
  .nginx = "keepalive_requests 2; ssl_session_cache " cache ";"                \
           "ssl_session_tickets " tickets ";"

static const struct server_row server_rows[] = {
    {"each reply says close", .ways = "nrrr", .script = {REMEMBERS(closing)}},
    {"close_notify", .ways = "nkrkr", .script = {REMEMBERS(notifying)}},
    {"FIN alone", .ways = "nrr", .script = {REMEMBERS(finishing)}},
    {"RST", .ways = "nrr", .script = {REMEMBERS(resetting)}},
    {"dies under each second request", .ways = "nrrk",
        .script = {REMEMBERS(dying)}},
    {"forgets all sessions", .ways = "nnn", .script = {TURNS(closing)}},
    {"records of 512 bytes", .ways = "nrr",
        .script = {.small = true, REMEMBERS(closing)}},
    {"byte by byte", .ways = "nrr",
        .script = {.dribbles = true, REMEMBERS(closing)}},

    {"ECDHE-ECDSA, ChaCha20-Poly1305", .ways = "nrr",
        EC(CHACHA20_POLY1305_SHA256)},
    {"ECDHE-ECDSA, AES-128-GCM", .ways = "nrr", EC(AES_128_GCM_SHA256)},
    {"ECDHE-ECDSA, AES-256-GCM", .ways = "nrr", EC(AES_256_GCM_SHA384)},
    {"ECDHE-RSA, ChaCha20-Poly1305", .ways = "nrr",
        RSA(CHACHA20_POLY1305_SHA256)},
    {"ECDHE-RSA, AES-128-GCM", .ways = "nrr", RSA(AES_128_GCM_SHA256)},
    {"ECDHE-RSA, AES-256-GCM", .ways = "nrr", RSA(AES_256_GCM_SHA384)},

    /* It sends the request's lines back to front, which is no reply. */
    {"openssl", .ways = "nrr", .openssl = "-tls1_2"},
    {"openssl without tickets", .ways = "nrr", .openssl = "-no_ticket"},
    {"openssl without a cache", .ways = "nnn", .openssl = "-no_cache",
        .no_id = true},

    {"nginx, shared cache, tickets", .ways = "nkrk",
        NGINX("shared:S:1m", "on")},
    {"nginx, shared cache", .ways = "nkrk", NGINX("shared:S:1m", "off")},
    {"nginx, builtin cache", .ways = "nkrk", NGINX("builtin", "off")},
    {"nginx, cache none, tickets", .ways = "nknk", NGINX("none", "on")},
    {"nginx, cache none", .ways = "nknk", NGINX("none", "off")},
    {"nginx, cache off, tickets", .ways = "nknk", NGINX("off", "on"),
        .no_id = true},
    {"nginx, cache off", .ways = "nknk", NGINX("off", "off"), .no_id = true},
};

static uint16_t start_server(const struct server_row *row) {
  if (row->openssl) return peer_start_openssl(NULL, row->openssl);
  if (row->nginx) return peer_start_nginx(row->nginx);
  return peer_start(&row->script);
}

static void is_server(void **state) {
  const struct server_row *row = *state;
  static struct player p;
  unsigned char saved[HBEAT_SESSION_SIZE];

  clock_s = 0; /* as nginx has it */
  server_port = start_server(row);
  open_player(&p);
  for (const char *w = row->ways; *w; w++)
    beat(&p, row->openssl ? HBEAT_ERR_HTTP : HBEAT_OK, *w);
  assert_int_equal(hbeat_session_save(&p.client, saved), !row->no_id);
  hbeat_close(&p.client);
}

/* A head before the head changes nothing in how the request got there. */
static void an_early_hint_hides_no_connection(void **state) {
  static const struct peer_turn turns[] = {
      {.reply = "HTTP/1.1 103 Early Hints\r\n\r\n" PEER_REPLY}};
  static const struct peer_script script = {TURNS(turns)};
  static struct player p;

  (void)state;
  clock_s = PEER_TIME_S;
  server_port = peer_start(&script);
  open_player(&p);
  good_beat(&p, 'n');
  good_beat(&p, 'k');
  hbeat_close(&p.client);
}

/* ---- Servers that change ---------------------------------------------- */

/* After a beat to one server stands another in its place, then the first. */
struct change_row {
  const char *name;
  char way;
  hbeat_error error;
  struct peer_script second;
  const char *anchor; /* NULL: ca */
};

static const struct change_row change_rows[] = {
    {"nothing but its memory", .way = 'n'},
    {"the certificate and its key", .way = 'n',
        .second = {.chain = "server-rsa", .key = "server-rsa"}},
    {"the suites", .way = 'n',
        .second = {.suite = BR_TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384}},
    {"the CA", .way = '-', .error = HBEAT_ERR_CERT_TRUST,
        .second = {.chain = "server-rsa", .key = "server-rsa"},
        .anchor = "server"},
    {"the name", .way = '-', .error = HBEAT_ERR_CERT_NAME,
        .second = {.chain = "name"}},
    {"the dates", .way = '-', .error = HBEAT_ERR_CERT_TIME,
        .second = {.chain = "expired"}},
    {"the version", .way = '-', .error = HBEAT_ERR_TLS,
        .second = {.version = BR_TLS11}},
    {"the protocol, which is TLS no more", .way = '-', .error = HBEAT_ERR_TLS,
        .second = {.raw = "HTTP/1.1", .raw_size = 8}},
};

static void is_change(void **state) {
  static const struct peer_script first = {REMEMBERS(closing)};
  const struct change_row *row = *state;
  static struct player p;

  clock_s = PEER_TIME_S;
  server_port = peer_start(&first);
  configure(&p);
  if (row->anchor) p.cfg.anchors = player_anchors(row->anchor)->list;
  open_configured(&p);
  good_beat(&p, 'n');
  server_port = peer_start(&row->second);
  beat(&p, row->error, row->way);
  server_port = peer_start(&first);
  good_beat(&p, 'n');
  good_beat(&p, 'r');
  hbeat_close(&p.client);
}

/* A server that has it all wrong costs one beat at most. */
struct confused_row {
  const char *name;
  struct peer_script script;
};

static const struct confused_row confused_rows[] = {
    {"another master secret", {.memory = PEER_MISTAKES_SECRET, TURNS(closing)}},
    {"another suite", {.memory = PEER_MISTAKES_SUITE, TURNS(closing)}},
    {"hangs up on a session", {.memory = PEER_BALKS, TURNS(closing)}},
};

static void is_confused(void **state) {
  const struct confused_row *row = *state;
  static struct player p;
  hbeat_error e;

  clock_s = PEER_TIME_S;
  server_port = peer_start(&row->script);
  open_player(&p);
  for (int i = 0; i < 2; i++) {
    good_beat(&p, 'n');
    e = hbeat_send(&p.client, &player_beat, &p.reply);
    if (e != HBEAT_OK && way(&p) != '-')
      fail_msg("%s, but the request's way is %c", hbeat_error_name(e), way(&p));
    if (e == HBEAT_OK) assert_int_equal(way(&p), 'n');
  }
  good_beat(&p, 'n');
  hbeat_close(&p.client);
}

/*
 * Whoever fails the check of his certificate has given the session its ID, but
 * its master secret was never agreed on.  That is what he may try to resume.
 */
struct forger_row {
  const char *name;
  const char *chain, *anchor;
  hbeat_error error;
};

static const struct forger_row forger_rows[] = {
    {"forged by an unknown CA's", .anchor = "other-ca",
        .error = HBEAT_ERR_CERT_TRUST},
    {"forged by another name's", .chain = "name", .anchor = "ca",
        .error = HBEAT_ERR_CERT_NAME},
    {"forged by one that has expired", .chain = "expired", .anchor = "ca",
        .error = HBEAT_ERR_CERT_TIME},
};

static void is_forger(void **state) {
  const struct forger_row *row = *state;
  static struct player p;
  unsigned char saved[HBEAT_SESSION_SIZE];
  struct peer_script script = {.chain = row->chain,
      .suite = BR_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
      .memory = PEER_FORGES};

  clock_s = PEER_TIME_S;
  server_port = peer_start(&script);
  configure(&p);
  p.cfg.anchors = player_anchors(row->anchor)->list;
  open_configured(&p);
  wire.offers = 0;
  for (int i = 0; i < 3; i++) {
    beat(&p, row->error, '-');
    assert_false(hbeat_session_save(&p.client, saved));
  }
  assert_int_equal(wire.offers, 0);
  hbeat_close(&p.client);
}

/* ---- Sessions as bytes ------------------------------------------------ */

static const struct peer_script good = {REMEMBERS(closing)};

/* Starts the good server, and saves the session of one beat to it. */
static void save_one(unsigned char saved[HBEAT_SESSION_SIZE]) {
  static struct player p;

  server_port = peer_start(&good);
  open_player(&p);
  good_beat(&p, 'n');
  assert_true(hbeat_session_save(&p.client, saved));
  hbeat_close(&p.client);
}

/* One of that second, whose server may be gone by now. */
static void save_any(unsigned char saved[HBEAT_SESSION_SIZE]) {
  static unsigned char last[HBEAT_SESSION_SIZE];
  static int64_t last_s;

  if (last_s != clock_s) save_one(last);
  last_s = clock_s;
  memcpy(saved, last, sizeof last);
}

static bool load(struct player *p, const unsigned char *saved) {
  return hbeat_session_load(&p->client, saved, HBEAT_SESSION_SIZE);
}

/* A fresh client that is offered the bytes; then it beats. */
static void check_load(const unsigned char *saved, bool fits) {
  static struct player p;

  open_player(&p);
  assert_int_equal(load(&p, saved), fits);
  good_beat(&p, fits ? 'r' : 'n');
  hbeat_close(&p.client);
}

static void a_loaded_session_is_resumed(void **state) {
  unsigned char saved[HBEAT_SESSION_SIZE], again[HBEAT_SESSION_SIZE];
  static struct player p;

  (void)state;
  clock_s = PEER_TIME_S;
  save_one(saved);
  for (int i = 0; i < 2; i++) check_load(saved, true);
  open_player(&p);
  for (int i = 0; i < 2; i++) assert_true(load(&p, saved));
  for (int i = 0; i < 2; i++) good_beat(&p, 'r');
  assert_true(hbeat_session_save(&p.client, again));
  check_load(again, true);
  hbeat_close(&p.client);
}

/* What is loaded, but was not used yet, can be saved again. */
static void a_loaded_session_can_be_saved(void **state) {
  unsigned char saved[HBEAT_SESSION_SIZE], again[HBEAT_SESSION_SIZE];
  static struct player p;

  (void)state;
  clock_s = PEER_TIME_S;
  save_one(saved);
  open_player(&p);
  assert_true(load(&p, saved));
  assert_true(hbeat_session_save(&p.client, again));
  hbeat_close(&p.client);
  check_load(again, true);
}

static void there_is_nothing_to_save(void **state) {
  static const struct peer_script portal = {.raw = "HTTP/1.1", .raw_size = 8};
  static struct player p;
  unsigned char saved[HBEAT_SESSION_SIZE];

  clock_s = PEER_TIME_S;
  configure(&p);
  p.cfg.device = NULL;
  assert_int_equal(hbeat_init(&p.client, &p.cfg), HBEAT_ERR_ARGUMENT);
  assert_false(hbeat_session_save(&p.client, saved));
  open_player(&p);
  assert_false(hbeat_session_save(&p.client, saved));
  server_port = peer_start(&portal);
  beat(&p, HBEAT_ERR_TLS, '-');
  assert_false(hbeat_session_save(&p.client, saved));
  peer_stop(state);
  beat(&p, HBEAT_ERR_CONNECT, '-');
  assert_false(hbeat_session_save(&p.client, saved));
  server_port = peer_start(&good);
  good_beat(&p, 'n');
  assert_true(hbeat_session_save(&p.client, saved));
  hbeat_close(&p.client);
  assert_false(hbeat_session_save(&p.client, saved));
  assert_false(load(&p, saved));
}

/* Until the server's Finished there is no session, whatever it has said. */
static void no_part_of_a_handshake_makes_a_session(void **state) {
  struct peer_script script = {.memory = PEER_REMEMBERS, .cut = PEER_FINISHES};
  static struct player p;
  unsigned char saved[HBEAT_SESSION_SIZE];
  hbeat_error e;

  (void)state;
  clock_s = PEER_TIME_S;
  do {
    script.cut_at += 31 * peer_patience();
    server_port = peer_start(&script);
    open_player(&p);
    e = hbeat_send(&p.client, &player_beat, &p.reply);
    if (way(&p) == '-' && hbeat_session_save(&p.client, saved))
      fail_msg("a session of %zu bytes of a handshake", script.cut_at);
    hbeat_close(&p.client);
  } while (e != HBEAT_OK);
  assert_true(script.cut_at > 700);
}

/* What is saved between two steps is a session or nothing, never a mixture. */
static void check_saved_between(const unsigned char *loaded) {
  static struct player p;
  unsigned char saved[HBEAT_SESSION_SIZE];
  bool over = false;

  for (int steps = 1; !over; steps++) {
    open_player(&p);
    if (loaded) assert_true(load(&p, loaded));
    assert_int_equal(hbeat_start(&p.client, &player_beat, &p.reply), HBEAT_OK);
    for (int i = 0; i < steps && !over; i++) over = !step_on(&p.client);
    if (hbeat_session_save(&p.client, saved)) {
      hbeat_close(&p.client);
      check_load(saved, true);
    }
    hbeat_close(&p.client);
  }
}

static void a_session_may_be_saved_at_any_time(void **state) {
  unsigned char saved[HBEAT_SESSION_SIZE];

  (void)state;
  clock_s = PEER_TIME_S;
  save_one(saved);
  check_saved_between(NULL);
  check_saved_between(saved);
}

static void every_bit_counts(void **state) {
  static struct player p;
  unsigned char saved[HBEAT_SESSION_SIZE];

  (void)state;
  clock_s = PEER_TIME_S;
  save_one(saved);
  open_player(&p);
  for (size_t i = 0; i < sizeof saved; i++) {
    for (unsigned bit = 1; bit < 256; bit <<= 1) {
      saved[i] ^= (unsigned char)bit;
      if (load(&p, saved)) fail_msg("byte %zu, bit %02x", i, bit);
      saved[i] ^= (unsigned char)bit;
    }
  }
  wire.offers = 0;
  good_beat(&p, 'n');
  assert_int_equal(wire.offers, 0);
  hbeat_close(&p.client);
  for (size_t i = 0; i < sizeof saved; i += 9 * peer_patience()) {
    saved[i] ^= 0x55;
    check_load(saved, false);
    saved[i] ^= 0x55;
  }
  check_load(saved, true);
}

static void every_size_but_one_is_wrong(void **state) {
  static struct player p;
  unsigned char saved[HBEAT_SESSION_SIZE + 64] = {0};

  (void)state;
  clock_s = PEER_TIME_S;
  save_one(saved);
  open_player(&p);
  assert_false(hbeat_session_load(&p.client, NULL, 0));
  assert_false(hbeat_session_load(&p.client, saved, SIZE_MAX));
  for (size_t size = 0; size <= sizeof saved; size++) {
    if (size == HBEAT_SESSION_SIZE) continue;
    if (hbeat_session_load(&p.client, saved, size)) fail_msg("%zu bytes", size);
  }
  assert_true(load(&p, saved));
  good_beat(&p, 'r');
  hbeat_close(&p.client);
}

static void nonsense_is_no_session(void **state) {
  static struct player p;
  unsigned char bytes[HBEAT_SESSION_SIZE];

  (void)state;
  clock_s = PEER_TIME_S;
  server_port = peer_start(&good);
  open_player(&p);
  for (int fill = 0; fill < 256; fill++) {
    memset(bytes, fill, sizeof bytes);
    assert_false(load(&p, bytes));
  }
  wire.offers = 0;
  good_beat(&p, 'n');
  assert_int_equal(wire.offers, 0);
  hbeat_close(&p.client);
}

/* A load that comes too late may do as it likes, but no harm. */
static void a_late_load_does_no_harm(void **state) {
  static struct player p;
  unsigned char saved[HBEAT_SESSION_SIZE];

  (void)state;
  clock_s = PEER_TIME_S;
  save_one(saved);
  for (int steps = 0; steps < 8; steps++) {
    open_player(&p);
    assert_int_equal(hbeat_start(&p.client, &player_beat, &p.reply), HBEAT_OK);
    for (int i = 0; i < steps; i++) hbeat_step(&p.client);
    load(&p, saved);
    while (hbeat_step(&p.client) == HBEAT_AGAIN)
      ;
    assert_int_equal(hbeat_step(&p.client), HBEAT_OK);
    load(&p, saved);
    good_beat(&p, 'r');
    hbeat_close(&p.client);
  }
}

/* A client whose connection is kept takes no session, neither its own nor
 * another client's, and goes on as before. */
static void a_kept_connection_takes_no_session(void **state) {
  static const struct peer_script keeping = {.memory = PEER_REMEMBERS};
  static struct player p, other;
  unsigned char own[HBEAT_SESSION_SIZE], foreign[HBEAT_SESSION_SIZE],
      again[HBEAT_SESSION_SIZE];

  (void)state;
  clock_s = PEER_TIME_S;
  server_port = peer_start(&keeping);
  open_player(&other);
  good_beat(&other, 'n');
  assert_true(hbeat_session_save(&other.client, foreign));
  hbeat_close(&other.client);
  open_player(&p);
  good_beat(&p, 'n');
  assert_true(hbeat_session_save(&p.client, own));
  for (int i = 0; i < 3; i++) {
    int before = open_descriptors();

    assert_false(load(&p, own));
    assert_false(load(&p, foreign));
    assert_int_equal(open_descriptors(), before);
    assert_true(hbeat_session_save(&p.client, again));
    assert_memory_equal(again, own, sizeof own);
    good_beat(&p, 'k');
  }
  assert_int_equal(peer_log()->accepted, 2);
  assert_int_equal(peer_log()->requests, 5);
  hbeat_close(&p.client);
}

/*
 * Of what goes out together, the end of a handshake and the request, the
 * socket takes a part, then the client closes: behind that part nothing may
 * follow but the rest.
 */
static void a_close_amid_a_flight_sends_no_nonsense(void **state) {
  static struct player p;
  unsigned char saved[HBEAT_SESSION_SIZE];

  (void)state;
  clock_s = PEER_TIME_S;
  save_one(saved);
  for (wire.cut = 1; wire.cut < 50; wire.cut += 12) {
    open_player(&p);
    assert_true(load(&p, saved));
    assert_int_equal(hbeat_start(&p.client, &player_beat, &p.reply), HBEAT_OK);
    for (wire.was_cut = false; !wire.was_cut;) assert_true(step_on(&p.client));
    hbeat_close(&p.client);
  }
  wire.cut = 0;
  check_load(saved, true);
  assert_int_equal(peer_log()->broken, 0);
}

/* ---- Bytes that someone made up --------------------------------------- */

/*
 * The digest is no secret: whoever can write the file can make it fit.  These
 * are bytes that the library wrote, with one member changed and the digest
 * made anew.
 */
struct craft_row {
  const char *name;
  bool loads;  /* it may; what it must not do is harm */
  int id_size; /* these take the place of what is there, if not 0 */
  uint16_t version, suite;
  int64_t saved_s, until_s; /* its certificate's end */
};

/* Where the parts of a saved session begin, and an ID of no bytes. */
enum {
  PARAMETERS = 32,
  DIGEST = HBEAT_SESSION_SIZE - br_sha256_SIZE,
  NO_ID = 256
};

static const struct craft_row craft_rows[] = {
    {"made up: nothing changed", .loads = true},
    {"made up: no ID", .id_size = NO_ID},
    {"made up: an ID of a byte", .loads = true, .id_size = 1},
    {"made up: an ID of 33 bytes", .id_size = 33},
    {"made up: an ID of 255 bytes", .id_size = 255},
    {"made up: TLS 1.0", .loads = true, .version = BR_TLS10},
    {"made up: TLS 1.3", .loads = true, .version = BR_TLS12 + 1},
    {"made up: another suite", .loads = true, .suite = 0xC02C},
    {"made up: a suite that is not offered", .loads = true, .suite = 0x002F},
    {"made up: the first second there is", .saved_s = INT64_MIN},
    {"made up: the last second there is", .loads = true, .saved_s = INT64_MAX},
    {"made up: a second before 1970", .saved_s = -1},
    {"made up: a certificate that ended long ago", .until_s = 1},
    {"made up: a certificate that ended a second ago",
        .until_s = PEER_TIME_S - 1},
    {"made up: a certificate that ends now", .loads = true,
        .until_s = PEER_TIME_S},
    {"made up: a certificate to the first second", .until_s = INT64_MIN},
    {"made up: a certificate to the last second", .loads = true,
        .until_s = INT64_MAX},
};

/* Sums of bytes, as the library makes them of anchors. */
static uint64_t mix(uint64_t sum, uint64_t number) {
  sum = (sum ^ number) * 0x9E3779B97F4A7C15;
  return sum ^ sum >> 32;
}

static uint64_t mix_bytes(
    uint64_t sum, const unsigned char *bytes, size_t size) {
  sum = mix(sum, size);
  for (size_t at = 0; at <= size; at += 8) {
    uint64_t word = 0;
    memcpy(&word, bytes + at, size - at < 8 ? size - at : 8);
    sum = mix(sum, word);
  }
  return sum;
}

static void seal(unsigned char saved[HBEAT_SESSION_SIZE]) {
  static const char host[256] = "api.lucit.app";
  const br_x509_trust_anchor *ca = player_anchors("ca")->list;
  const uint16_t port = 443;
  uint64_t anchors = mix_bytes(0, ca->dn.data, ca->dn.len);
  br_sha256_context sha;

  anchors = mix_bytes(anchors, ca->pkey.key.ec.q, ca->pkey.key.ec.qlen);
  br_sha256_init(&sha);
  br_sha256_update(&sha, saved, DIGEST);
  br_sha256_update(&sha, host, sizeof host);
  br_sha256_update(&sha, &port, sizeof port);
  br_sha256_update(&sha, &anchors, sizeof anchors);
  br_sha256_out(&sha, saved + DIGEST);
}

static void craft(
    unsigned char saved[HBEAT_SESSION_SIZE], const struct craft_row *row) {
  br_ssl_session_parameters session;

  memcpy(&session, saved + PARAMETERS, sizeof session);
  if (row->id_size) session.session_id_len = (unsigned char)row->id_size;
  if (row->version) session.version = row->version;
  if (row->suite) session.cipher_suite = row->suite;
  memcpy(saved + PARAMETERS, &session, sizeof session);
  if (row->saved_s) memcpy(saved, &row->saved_s, 8);
  if (row->until_s) memcpy(saved + 8, &row->until_s, 8);
  seal(saved);
}

static void is_craft(void **state) {
  const struct craft_row *row = *state;
  static struct player p;
  unsigned char saved[HBEAT_SESSION_SIZE];
  bool loaded, changed = row->id_size || row->version || row->suite;
  hbeat_error e;

  clock_s = PEER_TIME_S;
  save_one(saved);
  craft(saved, row);
  open_player(&p);
  loaded = load(&p, saved);
  if (!changed || !row->loads) assert_int_equal(loaded, row->loads);
  e = hbeat_send(&p.client, &player_beat, &p.reply);
  assert_in_range(wire.id_size, 0, ID_SIZE);
  if (e != HBEAT_OK && e != HBEAT_ERR_TLS)
    fail_msg("wanted ok or tls, got %s", hbeat_error_name(e));
  /* By now the server has vouched for the clock. */
  good_beat(&p, e == HBEAT_OK && row->saved_s <= clock_s ? 'r' : 'n');
  hbeat_close(&p.client);
}

/* ---- Whose session it is ---------------------------------------------- */

/* A client other than the one that saved. */
struct owner_row {
  const char *name;
  bool fits;
  hbeat_config cfg; /* its members that are not zero; NULL: api.lucit.app */
  const char *anchors[2];
};

static const struct owner_row owner_rows[] = {
    {"the same", .fits = true},
    {"the default host, spelt out", .fits = true,
        .cfg = {.host = "api.lucit.app"}},
    {"in other letters", .fits = true, .cfg = {.host = "API.Lucit.App"}},
    {"with a dot behind", .fits = true, .cfg = {.host = "api.lucit.app."}},
    {"the default port, spelt out", .fits = true, .cfg = {.port = 443}},
    {"another player's", .fits = true,
        .cfg = {.device = "LCUID-LD-2", .token = "other"}},
    {"found elsewhere", .fits = true,
        .cfg = {.address = "127.0.0.2", .address_port = 7}},

    {"another host", .cfg = {.host = "localhost"}},
    {"a longer host", .cfg = {.host = "api.lucit.app.localhost"}},
    {"a shorter host", .cfg = {.host = "api.lucit.ap"}},
    {"another port", .cfg = {.port = 8443}},
    {"a port that differs in its high byte", .cfg = {.port = 443 + 256}},
    {"another anchor", .anchors = {"other-ca"}},
    {"one anchor more", .anchors = {"ca", "other-ca"}},
    {"one anchor more, in front", .anchors = {"other-ca", "ca"}},
};

static void is_owner(void **state) {
  const struct owner_row *row = *state;
  static struct player p;
  br_x509_trust_anchor anchors[2];
  unsigned char saved[HBEAT_SESSION_SIZE];

  clock_s = PEER_TIME_S;
  if (row->fits) save_one(saved);
  else save_any(saved);
  configure(&p);
  p.cfg.host = row->cfg.host;
  p.cfg.port = row->cfg.port;
  if (row->cfg.device) p.cfg.device = row->cfg.device;
  if (row->cfg.token) p.cfg.token = row->cfg.token;
  if (row->cfg.address) p.cfg.address = row->cfg.address;
  if (row->cfg.address_port) p.cfg.address_port = row->cfg.address_port;
  for (size_t i = 0; i < 2 && row->anchors[i]; i++) {
    anchors[i] = player_anchors(row->anchors[i])->list[0];
    p.cfg.anchors = anchors;
    p.cfg.anchor_count = i + 1;
  }
  open_configured(&p);
  if (load(&p, saved) != row->fits)
    fail_msg("loaded: wanted %d, got %d", row->fits, !row->fits);
  if (row->fits) good_beat(&p, 'r');
  hbeat_close(&p.client);
}

/* Anchors in memory of their own: one of RSA's, then the good one. */
struct anchor_list {
  unsigned char name[300], n[256], e[3], ca_name[300], q[133];
  br_x509_trust_anchor list[2];
};

static void make_anchors(struct anchor_list *a) {
  const br_x509_trust_anchor *ca = player_anchors("ca")->list;
  br_x509_trust_anchor *rsa = &a->list[0], *ec = &a->list[1];

  memset(a, 0, sizeof *a);
  memset(a->n, 0xC5, sizeof a->n);
  memcpy(a->e, "\1\0\1", sizeof a->e);
  memcpy(a->name, "\x30\0", 2);
  rsa->flags = BR_X509_TA_CA;
  rsa->dn.data = a->name;
  rsa->dn.len = 2;
  rsa->pkey.key_type = BR_KEYTYPE_RSA;
  rsa->pkey.key.rsa.n = a->n;
  rsa->pkey.key.rsa.nlen = sizeof a->n;
  rsa->pkey.key.rsa.e = a->e;
  rsa->pkey.key.rsa.elen = sizeof a->e;
  *ec = *ca;
  assert_in_range(ca->dn.len, 1, sizeof a->ca_name);
  assert_in_range(ca->pkey.key.ec.qlen, 1, sizeof a->q);
  memcpy(a->ca_name, ca->dn.data, ca->dn.len);
  memcpy(a->q, ca->pkey.key.ec.q, ca->pkey.key.ec.qlen);
  ec->dn.data = a->ca_name;
  ec->pkey.key.ec.q = a->q;
}

static void use_anchors(struct player *p, const struct anchor_list *a) {
  configure(p);
  p->cfg.anchors = a->list;
  p->cfg.anchor_count = COUNT(a->list);
  open_configured(p);
}

/* The name and the key of each count, and where they lie does not. */
static void all_of_the_anchors_count(void **state) {
  static struct anchor_list a, b;
  static struct player p;
  unsigned char saved[HBEAT_SESSION_SIZE];
  unsigned char *const bytes[] = {
      &b.name[1], &b.n[0], &b.n[255], &b.q[1], &b.ca_name[9]};

  (void)state;
  clock_s = PEER_TIME_S;
  make_anchors(&a);
  make_anchors(&b);
  server_port = peer_start(&good);
  use_anchors(&p, &a);
  good_beat(&p, 'n');
  assert_true(hbeat_session_save(&p.client, saved));
  hbeat_close(&p.client);
  for (size_t i = 0; i < COUNT(bytes); i++) {
    *bytes[i] ^= 1;
    use_anchors(&p, &b);
    if (load(&p, saved)) fail_msg("part %zu does not count", i);
    hbeat_close(&p.client);
    *bytes[i] ^= 1;
  }
  use_anchors(&p, &b);
  assert_true(load(&p, saved));
  good_beat(&p, 'r');
  hbeat_close(&p.client);
}

/* ---- How old it is ---------------------------------------------------- */

struct age_row {
  const char *name;
  int64_t saved_s, loaded_s; /* what the clock says */
  bool is_set;               /* somebody vouches for it */
  bool fits;
};

static const struct age_row age_rows[] = {
    {"an hour old", .saved_s = PEER_TIME_S, .loaded_s = PEER_TIME_S + 3600,
        .fits = true},
    {"a minute less than a day", .saved_s = PEER_TIME_S,
        .loaded_s = PEER_TIME_S + DAY_S - 60, .fits = true},
    {"a minute more than a day", .saved_s = PEER_TIME_S,
        .loaded_s = PEER_TIME_S + DAY_S + 60},
    {"ten years old", .saved_s = PEER_TIME_S,
        .loaded_s = PEER_TIME_S + 3653 * DAY_S},
    /* A clock that goes back, or stands at its first day, is no reason. */
    {"of tomorrow", .saved_s = PEER_TIME_S + DAY_S + 60,
        .loaded_s = PEER_TIME_S, .fits = true},
    {"of the next year", .saved_s = PEER_TIME_S + 366 * DAY_S,
        .loaded_s = PEER_TIME_S, .fits = true},
    {"of tomorrow, by a clock that is right",
        .saved_s = PEER_TIME_S + DAY_S + 60, .loaded_s = PEER_TIME_S,
        .is_set = true},
    {"of 61 seconds on, by a clock that is right", .saved_s = PEER_TIME_S + 61,
        .loaded_s = PEER_TIME_S, .is_set = true},
    {"of a minute on, by a clock that is right", .saved_s = PEER_TIME_S + 60,
        .loaded_s = PEER_TIME_S, .is_set = true, .fits = true},
    {"loaded in 1970", .saved_s = PEER_TIME_S, .loaded_s = 1, .fits = true},
    {"loaded before 1970", .saved_s = PEER_TIME_S, .loaded_s = -1,
        .fits = true},
    {"loaded in 1902", .saved_s = PEER_TIME_S, .loaded_s = INT32_MIN,
        .fits = true},
};

static void is_age(void **state) {
  const struct age_row *row = *state;
  static struct player p;
  unsigned char saved[HBEAT_SESSION_SIZE];

  clock_s = row->saved_s;
  save_any(saved);
  clock_s = row->loaded_s;
  configure(&p);
  p.cfg.clock_is_set = row->is_set;
  open_configured(&p);
  if (load(&p, saved) != row->fits)
    fail_msg("loaded: wanted %d, got %d", row->fits, !row->fits);
  hbeat_close(&p.client);
}

/* Only a handshake in full looks at the certificates anew. */
static void a_session_in_use_gets_old(void **state) {
  static struct player p;

  (void)state;
  clock_s = PEER_TIME_S;
  server_port = peer_start(&good);
  open_player(&p);
  good_beat(&p, 'n');
  clock_s += DAY_S - 60;
  good_beat(&p, 'r');
  clock_s += 120;
  for (int i = 0; i < 2; i++) good_beat(&p, i == 0 ? 'n' : 'r');
  hbeat_close(&p.client);
}

/* The server's Date vouches for the clock, which was days fast before. */
static void a_session_of_the_future_is_not_offered_again(void **state) {
  unsigned char saved[HBEAT_SESSION_SIZE];
  static struct player p;

  (void)state;
  clock_s = PEER_TIME_S + 100 * DAY_S;
  save_one(saved);
  clock_s = PEER_TIME_S;
  open_player(&p);
  assert_true(load(&p, saved));
  good_beat(&p, 'r');
  good_beat(&p, 'n');
  good_beat(&p, 'r');
  hbeat_close(&p.client);
}

/* Nothing looks at the certificate of a session that is resumed. */
static void a_session_ends_with_its_certificate(void **state) {
  unsigned char saved[HBEAT_SESSION_SIZE];
  const struct craft_row ends = {.until_s = PEER_TIME_S + 60};
  static struct player p;

  (void)state;
  clock_s = PEER_TIME_S;
  save_one(saved);
  craft(saved, &ends);
  open_player(&p);
  assert_true(load(&p, saved));
  good_beat(&p, 'r');
  clock_s += 61;
  good_beat(&p, 'n');
  hbeat_close(&p.client);
}

/* Opens a player whose first beat has left it a connection and a session. */
static void open_to_keeper(struct player *p) {
  static const struct peer_script keeps = {.memory = PEER_REMEMBERS};

  clock_s = PEER_TIME_S;
  server_port = peer_start(&keeps);
  open_player(p);
  good_beat(p, 'n');
}

/* RFC 5246 section 7.2.2: what ended in a fatal alert is not resumed. */
static void a_session_that_failed_is_not_offered(void **state) {
  static struct player p;
  unsigned char saved[HBEAT_SESSION_SIZE];

  (void)state;
  open_to_keeper(&p);
  wire.spoils = true;
  beat(&p, HBEAT_ERR_TLS, 'k');
  assert_false(hbeat_session_save(&p.client, saved));
  good_beat(&p, 'n');
  hbeat_close(&p.client);
}

/* Its certificate was not seen on this connection, but version and suite are
 * agreed on all the same. */
static void an_alert_behind_a_resumed_handshake_wants_more(void **state) {
  static const struct peer_turn turns[] = {
      CLOSES, {.reply = "", .alert = 40 /* handshake_failure */}};
  static const struct peer_script script = {REMEMBERS(turns)};
  static struct player p;

  (void)state;
  clock_s = PEER_TIME_S;
  server_port = peer_start(&script);
  open_player(&p);
  good_beat(&p, 'n');
  beat(&p, HBEAT_ERR_TLS, 'r');
  assert_non_null(
      strstr(hbeat_explain(&p.client), "it wants a client certificate"));
  hbeat_close(&p.client);
}

static void a_kept_connection_makes_no_session_young(void **state) {
  static struct player p;
  unsigned char saved[HBEAT_SESSION_SIZE];

  (void)state;
  open_to_keeper(&p);
  clock_s += DAY_S + 60;
  good_beat(&p, 'k');
  assert_true(hbeat_session_save(&p.client, saved));
  hbeat_close(&p.client);
  open_player(&p);
  assert_false(load(&p, saved));
  hbeat_close(&p.client);
}

/*
 * The server's time is ahead of the system's: what is saved by the one and
 * loaded by the other is not of the future for that.
 */
static void a_slow_clock_loses_no_session(void **state) {
  unsigned char saved[HBEAT_SESSION_SIZE];

  (void)state;
  for (int64_t slow_s = 1; slow_s <= 3600; slow_s *= 60) {
    clock_s = PEER_TIME_S - slow_s;
    save_one(saved);
    check_load(saved, true);
  }
}

/* No certificate was seen, but one was when the session was made. */
static void a_resumed_beat_tells_the_time(void **state) {
  unsigned char saved[HBEAT_SESSION_SIZE];
  static struct player p;

  (void)state;
  clock_s = PEER_TIME_S;
  save_one(saved);
  clock_s = 1;
  open_player(&p);
  assert_true(load(&p, saved));
  good_beat(&p, 'r');
  assert_int_equal(p.reply.clock_offset_s, PEER_TIME_S - 1);
  server_port = peer_start(&good); /* which knows no session */
  good_beat(&p, 'n');
  hbeat_close(&p.client);
}

/* Its end is kept with the session, so that no Date past it counts. */
static void a_resumed_beat_knows_the_certificates_end(void **state) {
  static const struct peer_turn turns[] = {CLOSES,
      {.reply = "HTTP/1.1 200 OK\r\nDate: Thu, 01 Jan 2099 00:00:00 GMT\r\n"
                "Connection: close\r\nContent-Length: 16\r\n\r\n" PEER_BODY,
          .end = PEER_NOTIFIES}};
  static const struct peer_script script = {REMEMBERS(turns)};
  unsigned char saved[HBEAT_SESSION_SIZE];
  static struct player p;

  (void)state;
  clock_s = PEER_TIME_S;
  server_port = peer_start(&script);
  open_player(&p);
  good_beat(&p, 'n');
  assert_true(hbeat_session_save(&p.client, saved));
  hbeat_close(&p.client);
  open_player(&p);
  assert_true(load(&p, saved));
  for (int i = 0; i < 2; i++) {
    good_beat(&p, 'r');
    assert_int_equal(p.reply.server_time_s, 4070908800);
    assert_int_equal(p.reply.clock_offset_s, HBEAT_NONE);
  }
  assert_true(hbeat_session_save(&p.client, saved));
  hbeat_close(&p.client);
  open_player(&p);
  assert_true(load(&p, saved));
  good_beat(&p, 'r');
  assert_int_equal(p.reply.clock_offset_s, HBEAT_NONE);
  server_port = peer_start(&good); /* which knows no session */
  good_beat(&p, 'n');
  assert_int_equal(p.reply.clock_offset_s, 0);
  hbeat_close(&p.client);
}

/* ---- What it costs ---------------------------------------------------- */

/* The bytes of one beat, both ways. */
static struct wire measure(struct player *p, char want) {
  wire = (struct wire){0};
  good_beat(p, want);
  return wire;
}

/* What a beat's connection costs beyond the request and its reply. */
static void print_cost(const char *what, struct wire all, struct wire kept) {
  printf("# note: %s takes %zu bytes to the server and %zu from it\n", what,
      all.sent - kept.sent, all.received - kept.received);
}

static void what_it_costs(void **state) {
  static const struct peer_script knows = {.memory = PEER_REMEMBERS};
  static const struct peer_script forgets = {.memory = PEER_FORGETS};
  static struct player p;
  unsigned char saved[HBEAT_SESSION_SIZE];
  struct wire full, kept, resumed, refused;

  (void)state;
  clock_s = PEER_TIME_S;
  server_port = peer_start(&knows);
  open_player(&p);
  full = measure(&p, 'n');
  kept = measure(&p, 'k');
  assert_true(hbeat_session_save(&p.client, saved));
  hbeat_close(&p.client);
  open_player(&p);
  assert_true(load(&p, saved));
  resumed = measure(&p, 'r');
  print_cost("a full handshake", full, kept);
  print_cost("a resumed one", resumed, kept);
  assert_true(resumed.sent < full.sent);
  assert_true(resumed.received + 400 < full.received);

  hbeat_close(&p.client);
  server_port = peer_start(&forgets);
  open_player(&p);
  assert_true(load(&p, saved));
  refused = measure(&p, 'n');
  assert_int_equal(refused.offers, 1);
  assert_int_equal(peer_log()->accepted, 1);
  /* The ID that was offered; a signature in DER varies by a few bytes. */
  assert_in_range(refused.sent, 1, full.sent + ID_SIZE);
  assert_in_range(refused.received, 1, full.received + 64);
  hbeat_close(&p.client);
}

/* ---- What remains ----------------------------------------------------- */

static bool holds_secret(
    const void *memory, size_t size, const br_ssl_session_parameters *session) {
  return holds_part(
      memory, size, session->master_secret, sizeof session->master_secret);
}

/* Whether a session was used or only loaded: a close leaves nothing of it. */
static void a_close_leaves_no_master_secret(void **state) {
  static struct player p;
  unsigned char saved[HBEAT_SESSION_SIZE];
  br_ssl_session_parameters session;

  (void)state;
  clock_s = PEER_TIME_S;
  server_port = peer_start(&good);
  open_player(&p);
  good_beat(&p, 'n');
  br_ssl_engine_get_session_parameters(&p.client.tls.context.eng, &session);
  assert_true(hbeat_session_save(&p.client, saved));
  assert_true(holds_secret(&p, sizeof p, &session));
  assert_true(holds_secret(saved, sizeof saved, &session));
  hbeat_close(&p.client);
  assert_false(holds_secret(&p, sizeof p, &session));

  open_player(&p);
  assert_true(load(&p, saved));
  assert_true(holds_secret(&p, sizeof p, &session));
  hbeat_close(&p.client);
  assert_false(holds_secret(&p, sizeof p, &session));
}

int main(void) {
  static const struct CMUnitTest named[] = {
      TEST(a_loaded_session_is_resumed),
      TEST(a_loaded_session_can_be_saved),
      TEST(there_is_nothing_to_save),
      TEST(no_part_of_a_handshake_makes_a_session),
      TEST(a_session_may_be_saved_at_any_time),
      TEST(every_bit_counts),
      TEST(every_size_but_one_is_wrong),
      TEST(nonsense_is_no_session),
      TEST(an_early_hint_hides_no_connection),
      TEST(a_late_load_does_no_harm),
      TEST(a_kept_connection_takes_no_session),
      TEST(all_of_the_anchors_count),
      TEST(a_session_in_use_gets_old),
      TEST(a_kept_connection_makes_no_session_young),
      TEST(a_session_of_the_future_is_not_offered_again),
      TEST(a_session_ends_with_its_certificate),
      TEST(a_session_that_failed_is_not_offered),
      TEST(an_alert_behind_a_resumed_handshake_wants_more),
      TEST(a_slow_clock_loses_no_session),
      TEST(a_close_amid_a_flight_sends_no_nonsense),
      TEST(a_resumed_beat_tells_the_time),
      TEST(a_resumed_beat_knows_the_certificates_end),
      TEST(what_it_costs),
      TEST(a_close_leaves_no_master_secret),
  };
  struct CMUnitTest tests[COUNT(named) + COUNT(server_rows) +
      COUNT(change_rows) + COUNT(confused_rows) + COUNT(forger_rows) +
      COUNT(owner_rows) + COUNT(age_rows) + COUNT(craft_rows)];
  struct CMUnitTest *to = tests + COUNT(named);

  syscalls_go_through(see_to);
  memcpy(tests, named, sizeof named);
  to = ROWS(to, is_server, server_rows);
  to = ROWS(to, is_change, change_rows);
  to = ROWS(to, is_confused, confused_rows);
  to = ROWS(to, is_forger, forger_rows);
  to = ROWS(to, is_owner, owner_rows);
  to = ROWS(to, is_age, age_rows);
  ROWS(to, is_craft, craft_rows);
  return cmocka_run_group_tests(tests, NULL, NULL);
}
