#define _DEFAULT_SOURCE
#include "server.h"
#include "certs.h"

#include <bearssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

enum { INBOX = 1 << 16, FILE_MAX = 1 << 15, CHAIN_MAX = 4 };
enum { SESSIONS = 8, QUERIES = 8, QUERY_MAX = 288 };
enum { DNS_HEADER = 12, FLAGS_AND_COUNTS = DNS_HEADER - 2 }; /* behind the id */
enum { FLIPS = 4, RECORD_MAX = 16384 };

/* ---- Identities ---- */

/* The first ones are good. */
static struct identity {
  const char *chain, *key;
  br_x509_certificate certificates[CHAIN_MAX];
  size_t count;
  br_skey_decoder_context secret;
  unsigned char bytes[FILE_MAX];
  size_t size;
} identities[] = {
    {.chain = "server", .key = "server"},
    {.chain = "chain", .key = "server"},
    {.chain = "name-wild", .key = "server"},
    {.chain = "server-rsa", .key = "server-rsa"},
    {.chain = "name", .key = "server"},
    {.chain = "expired", .key = "server"},
    {.chain = "future", .key = "server"},
    {.chain = "use-client", .key = "server"},
    {.chain = "self", .key = "server"},
    {.chain = "name-escape", .key = "server"},
    {.chain = "name-cn", .key = "server"},
    {.chain = "server", .key = "between"},
    {.chain = "leaf-last", .key = "server"},
    {.chain = "stranger-expired", .key = "server"},
    {.chain = "use-broken", .key = "server"},
    {.chain = "portal", .key = "server"},
};

enum { GOOD_IDENTITIES = 4 };

static void give_up(const char *why, const char *about) {
  fprintf(stderr, "server.c: %s: %s\n", why, about);
  abort();
}

static void append(void *to, const void *bytes, size_t size) {
  struct identity *i = to;

  if (size > sizeof i->bytes - i->size) give_up("too big", i->chain);
  memcpy(i->bytes + i->size, bytes, size);
  i->size += size;
}

/* Decodes the objects of a PEM file behind what is there already. */
static void decode(struct identity *i, const char *name, const char *type) {
  static char text[FILE_MAX];
  size_t size = read_cert_file(name, type, text, sizeof text), at = 0,
         start = i->size;
  bool is_key = strcmp(type, "key") == 0;
  br_pem_decoder_context pem;

  br_pem_decoder_init(&pem);
  while (at < size) {
    at += br_pem_decoder_push(&pem, text + at, size - at);
    switch (br_pem_decoder_event(&pem)) {
    case BR_PEM_BEGIN_OBJ:
      start = i->size;
      br_pem_decoder_setdest(&pem, append, i);
      break;
    case BR_PEM_END_OBJ:
      if (is_key)
        br_skey_decoder_push(&i->secret, i->bytes + start, i->size - start);
      else if (i->count < CHAIN_MAX)
        i->certificates[i->count++] =
            (br_x509_certificate){i->bytes + start, i->size - start};
      break;
    case BR_PEM_ERROR: give_up("no PEM", name);
    }
  }
}

static void load_identities(void) {
  for (size_t n = 0; n < COUNT(identities); n++) {
    struct identity *i = &identities[n];
    if (i->count > 0) return;
    br_skey_decoder_init(&i->secret);
    decode(i, i->key, "key");
    decode(i, i->chain, "pem");
    if (br_skey_decoder_last_error(&i->secret) != 0) give_up("no key", i->key);
  }
}

/* ---- The state of all that serve ---- */

struct query {
  int fd;
  bool over_tcp;
  unsigned char bytes[QUERY_MAX];
  size_t size;
};

static struct {
  /* The connection in hand. */
  int fd; /* -1: none */
  bool tunnel_asked, tunnel_wanted, deaf, bad;
  size_t crlfs; /* of the CONNECT's last bytes, how many are \r\n\r\n's */
  br_ssl_server_context tls;
  unsigned char in[BR_SSL_BUFSIZE_INPUT], out[BR_SSL_BUFSIZE_OUTPUT];
  unsigned char inbox[INBOX];
  size_t inbox_at, inbox_end;
  struct {
    unsigned at;
    unsigned char bits;
  } flips[FLIPS];
  unsigned flip_count;
  bool half_request; /* one of an earlier exchange came in part */
  bool wants_reply;

  /* The requests. */
  const unsigned char *expected;
  size_t expected_size, expected_at;
  struct server_view view;

  /* What comes next. */
  unsigned identity, version;
  uint16_t suite;
  bool begins_deaf;

  /* Sessions. */
  const br_ssl_session_cache_class *cache;
  enum server_memory memory;
  br_ssl_session_parameters sessions[SESSIONS];
  unsigned session_count, held_sessions;

  /* Queries. */
  struct query queries[QUERIES];
  unsigned query_count;
} server;

int server_fd(void) {
  return server.fd;
}

void server_be(unsigned identity) {
  server.identity = identity % COUNT(identities);
}

void server_choose_suite(uint16_t suite) {
  server.suite = suite;
}

void server_choose_version(unsigned version) {
  server.version = version;
}

void server_remember(enum server_memory how) {
  server.memory = how;
}

const struct server_view *server_view(void) {
  return &server.view;
}

/* ---- Sessions ---- */

static void keep_session(const br_ssl_session_cache_class **self,
    br_ssl_server_context *tls, const br_ssl_session_parameters *session) {
  (void)self;
  (void)tls;
  if (server.session_count < SESSIONS)
    server.sessions[server.session_count++] = *session;
}

static bool find_session(br_ssl_session_parameters *session) {
  for (unsigned i = 0; i < server.session_count; i++) {
    const br_ssl_session_parameters *s = &server.sessions[i];
    if (memcmp(s->session_id, session->session_id, sizeof s->session_id) != 0)
      continue;
    *session = *s;
    return true;
  }
  return false;
}

void server_hold_session(void) {
  server.held_sessions = server.session_count > 0;
}

static int recall_session(const br_ssl_session_cache_class **self,
    br_ssl_server_context *tls, br_ssl_session_parameters *session) {
  bool found = find_session(session);

  (void)self;
  (void)tls;
  switch (server.memory) {
  case REMEMBERS:
  case MEMORIES: break;
  case FORGETS: return 0;
  case MISTAKES_SECRET: session->master_secret[0] ^= 1; break;
  case MISTAKES_SUITE:
    session->cipher_suite ^= BR_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 ^
        BR_TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384;
    break;
  case FORGES:
    memset(session->master_secret, 0, sizeof session->master_secret);
    session->version = BR_TLS12;
    session->cipher_suite = BR_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256;
    found = true;
    break;
  }
  server.view.resumed = found;
  return found;
}

static const br_ssl_session_cache_class cache_class = {
    sizeof(br_ssl_session_cache_class *), keep_session, recall_session};

/* ---- The wire ---- */

void server_flip(unsigned at, unsigned char bits) {
  if (server.flip_count == FLIPS) return;
  server.flips[server.flip_count].at = at;
  server.flips[server.flip_count++].bits = bits;
}

/* Flips what is to be flipped in these bytes, and counts the others down. */
static void apply_flips(unsigned char *bytes, size_t size) {
  unsigned left = 0;

  for (unsigned i = 0; i < server.flip_count; i++) {
    unsigned at = server.flips[i].at;
    if (at < size) {
      bytes[at] ^= server.flips[i].bits;
    } else {
      server.flips[left].at = at - (unsigned)size;
      server.flips[left++].bits = server.flips[i].bits;
    }
  }
  server.flip_count = left;
}

static void put(const void *bytes, size_t size) {
  static unsigned char copy[INBOX];

  if (server.fd < 0 || size > sizeof copy) return;
  memcpy(copy, bytes, size);
  apply_flips(copy, size);
  world_deliver(server.fd, copy, size);
}

void server_write(const void *bytes, size_t size) {
  put(bytes, size);
}

/* What comes behind a close_notify nobody hears. */
static void note_said(const void *bytes, size_t size) {
  struct server_said *s = &server.view.said;
  size_t end = s->count > 0 ? s->ends[s->count - 1] : 0;

  if (server.view.closed) return;
  if (size > sizeof s->bytes - end || s->count == COUNT(s->ends)) {
    server.view.overheard += (unsigned)size;
    return;
  }
  if (size > 0) memcpy(s->bytes + end, bytes, size);
  s->ends[s->count++] = end + size;
}

static void forget_said(void) {
  server.view.said.count = server.view.said.before = 0;
  server.view.overheard = 0;
}

static bool has_keys(void) {
  return server.tls.eng.out.vtable != &br_sslrec_out_clear_vtable;
}

void server_seal(unsigned type, const void *bytes, size_t size) {
  static unsigned char room[RECORD_MAX + 512];
  br_ssl_engine_context *e = &server.tls.eng;
  const br_sslrec_out_class **out = &e->out.vtable;
  size_t start = 5, end = sizeof room - 5;
  unsigned char *record;

  if (server.fd < 0 || server.bad) return;
  (*out)->max_plaintext(out, &start, &end);
  if (size > end - start) size = end - start;
  if (size > 0) memcpy(room + start, bytes, size);
  if (type == IS_DATA && has_keys()) note_said(bytes, size);
  if (type == IS_ALERT && size >= 2 && room[start + 1] == 0)
    server.view.closed = true;
  record = (*out)->encrypt(out, (int)type, BR_TLS12, room + start, &size);
  put(record, size);
}

/* ---- Requests ---- */

static void must(bool holds, const char *promise) {
  if (!holds) give_up("not so", promise);
}

/* Bytes of a request, which must be the one that is expected. */
static void take_request(const unsigned char *bytes, size_t size) {
  must(!server.half_request, "a request goes behind another one's part");
  must(size <= server.expected_size - server.expected_at, "no more than it");
  must(memcmp(server.expected + server.expected_at, bytes, size) == 0,
      "the request is what it ought to be");
  server.expected_at += size;
  if (server.expected_at < server.expected_size) return;
  server.view.whole_requests++;
  server.wants_reply = true;
}

/* Lets the engine work off what came, and sends what it says. */
static void pump(void) {
  br_ssl_engine_context *e = &server.tls.eng;
  unsigned char *bytes;
  size_t size;

  for (;;) {
    unsigned can = br_ssl_engine_current_state(e);
    if (can & BR_SSL_CLOSED) return;
    if (can & BR_SSL_SENDREC) {
      bytes = br_ssl_engine_sendrec_buf(e, &size);
      put(bytes, size);
      br_ssl_engine_sendrec_ack(e, size);
      continue;
    }
    if (can & BR_SSL_RECVAPP) {
      bytes = br_ssl_engine_recvapp_buf(e, &size);
      take_request(bytes, size);
      br_ssl_engine_recvapp_ack(e, size);
      continue;
    }
    if (!(can & BR_SSL_RECVREC) || server.inbox_at == server.inbox_end) return;
    bytes = br_ssl_engine_recvrec_buf(e, &size);
    if (size > server.inbox_end - server.inbox_at)
      size = server.inbox_end - server.inbox_at;
    memcpy(bytes, server.inbox + server.inbox_at, size);
    server.inbox_at += size;
    br_ssl_engine_recvrec_ack(e, size);
  }
}

/* The head of a CONNECT goes by; what is behind it is TLS. */
static void take_tunnel_request(void) {
  static const char end[] = "\r\n\r\n";

  while (server.tunnel_wanted && server.inbox_at < server.inbox_end) {
    unsigned char b = server.inbox[server.inbox_at++];
    if (b == (unsigned char)end[server.crlfs]) server.crlfs++;
    else server.crlfs = b == '\r';
    if (server.crlfs < sizeof end - 1) continue;
    server.tunnel_wanted = false;
    server.tunnel_asked = true;
  }
}

static void work(void) {
  if (server.fd < 0 || server.deaf) return;
  take_tunnel_request();
  if (!server.tunnel_wanted) pump();
}

void server_be_deaf(bool deaf) {
  server.deaf = server.begins_deaf = deaf;
  work();
}

void server_close(void) {
  static const unsigned char close_notify[] = {1, 0};

  /* BearSSL's engine would keep silent where it has failed before. */
  server_seal(IS_ALERT, close_notify, sizeof close_notify);
}

/* What came before this exchange belongs to the one before. */
void server_expect(const void *request, size_t size) {
  bool deaf = server.deaf;

  server.deaf = false;
  work();
  server.deaf = deaf;
  if (server.expected_at > 0 && server.expected_at < server.expected_size)
    server.half_request = true;
  server.expected = request;
  server.expected_size = size;
  server.expected_at = 0;
  server.wants_reply = false;
  server.view.whole_requests = 0;
  server.view.kept = server.fd >= 0;
  if (!world_holds(server.fd)) server.view.said.before = server.view.said.count;
}

/* ---- Replies ---- */

#define JSON "Content-Type: application/json\r\n"
#define DATE "Date: Wed, 07 Jan 2026 00:15:19 GMT\r\n"
#define SUCCESS "{\"success\":true}"
#define OF(size) "Content-Length: " #size "\r\n\r\n"
#define INSTRUCTION                                                            \
  "{\"success\":true,\"lightning_device_remote_instruction\":{"                \
  "\"instruction\":\"reload\",\"parameters\":{\"a\":[1,2]},\"status\":0,"      \
  "\"lcuid\":\"LCUID-1\",\"run_at\":\"2026-01-07T00:15:19.000Z\"}}"

static const char *const replies[] = {
    "HTTP/1.1 200 OK\r\n" JSON OF(16) SUCCESS,
    "HTTP/1.1 200 OK\r\n" DATE OF(16) SUCCESS,
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    "10\r\n" SUCCESS "\r\n0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" INSTRUCTION,
    "HTTP/1.1 201 Created\r\n" DATE "Connection: close\r\n" OF(16) SUCCESS,
    "HTTP/1.1 200 OK\r\n" OF(34) "{\"ok\":true,\"token\":\"fReSh-9fReSh-9\"}",
    "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n" OF(16) SUCCESS,
    "HTTP/1.1 401 Unauthorized\r\n" OF(
        33) "{\"success\":false,\"message\":\"token\"}",
    "HTTP/1.1 503 Busy\r\nRetry-After: 120\r\n" DATE OF(0),
    "HTTP/1.1 408 Late\r\n" OF(0),
    "HTTP/1.1 300 Choices\r\n" OF(16) SUCCESS,
    "HTTP/1.1 302 Found\r\nLocation: /\r\n" OF(0),
    "HTTP/1.1 204 None\r\n\r\n",
    "HTTP/1.1 200 OK\r\n" OF(17) "{\"success\":false}",
    "HTTP/1.1 200 OK\r\n" OF(17) "<html>wait</html>",
    "HTTP/1.0 200 OK\r\n\r\n" SUCCESS,
    "HTTP/1.1 200 OK\r\n" OF(4000) SUCCESS,
    "HTTP/1.1 200 OK\r\n" OF(99999999999999999999) SUCCESS,
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10\r\n" SUCCESS,
    "HTTP/1.1 200 OK\r\nContent-Length: 16\r\nContent-Length: "
    "17\r\n\r\n" SUCCESS,
    "HTTP/1.1 200 OK\r\n",
    "ICY 200 OK\r\n\r\n",
    "",
    "HTTP/1.1 200 OK\r\nConnection: keep-alive\r\n"
    "Date: Wed, 07 Jan 2099 00:15:19 GMT\r\n" OF(16) SUCCESS,
};

void server_reply(unsigned number) {
  const char *text = replies[number % COUNT(replies)];

  server.wants_reply = false;
  if (has_keys()) server_seal(IS_DATA, text, strlen(text));
}

static const char *const tunnel_replies[] = {
    "HTTP/1.1 200 Connection established\r\n\r\n",
    "HTTP/1.0 200 OK\r\nProxy-Agent: x\r\n\r\n",
    "HTTP/1.1 407 Login\r\nProxy-Authenticate: Basic realm=\"x\"\r\n" OF(0),
    "HTTP/1.1 407 Login\r\nProxy-Authenticate: NTLM\r\n" OF(0),
    "HTTP/1.1 502 Gone\r\nConnection: close\r\n\r\n",
    "HTTP/1.1 200 OK\r\n\r\n\026\003\003",
    "HTTP/1.1 200 OK\r\n" OF(16) SUCCESS,
    "SSH-2.0-x\r\n",
};

void server_say_of_tunnel(unsigned number) {
  const char *text = tunnel_replies[number % COUNT(tunnel_replies)];

  server.tunnel_asked = false;
  put(text, strlen(text));
}

/* ---- Names ---- */

int server_query_fd(void) {
  return server.query_count > 0 ? server.queries[0].fd : -1;
}

static void drop_query(unsigned n) {
  server.query_count--;
  memmove(&server.queries[n], &server.queries[n + 1],
      (server.query_count - n) * sizeof *server.queries);
}

static void take_query(int fd, const unsigned char *bytes, size_t size) {
  struct query *q = &server.queries[server.query_count];

  if (server.query_count == QUERIES || size > QUERY_MAX) return;
  q->fd = fd;
  q->over_tcp = false;
  q->size = size;
  memcpy(q->bytes, bytes, size);
  server.query_count++;
}

/* Queries over TCP come behind their sizes.  One that comes in pieces is not
 * answered. */
static void take_tcp_queries(int fd, const unsigned char *bytes, size_t size) {
  while (size > 2) {
    size_t n = (size_t)(bytes[0] << 8 | bytes[1]);
    if (n > size - 2) return;
    take_query(fd, bytes + 2, n);
    if (server.query_count > 0)
      server.queries[server.query_count - 1].over_tcp = true;
    bytes += 2 + n;
    size -= 2 + n;
  }
}

/* Sends an answer to the oldest query: what stands in its place is asked for
 * again, then comes what is given. */
static void answer_query(const unsigned char flags_and_counts[FLAGS_AND_COUNTS],
    const unsigned char *records, size_t size) {
  unsigned char out[2 + QUERY_MAX + 1024];
  struct query q = server.queries[0];
  size_t prefix = q.over_tcp ? 2 : 0, whole = q.size + size;

  drop_query(0);
  if (q.size < DNS_HEADER || whole > sizeof out - 2) return;
  out[0] = (unsigned char)(whole >> 8);
  out[1] = (unsigned char)whole;
  memcpy(out + prefix, q.bytes, q.size);
  memcpy(out + prefix + 2, flags_and_counts, FLAGS_AND_COUNTS);
  if (size > 0) memcpy(out + prefix + q.size, records, size);
  world_deliver(q.fd, out, prefix + whole);
}

void server_answer_raw(const unsigned char *bytes, size_t size) {
  if (server.query_count == 0 || size < FLAGS_AND_COUNTS) return;
  answer_query(bytes, bytes + FLAGS_AND_COUNTS, size - FLAGS_AND_COUNTS);
}

/* A record for the name of the question: a pointer, type, class, time, data. */
#define A(address) "\300\014\0\1\0\1\0\0\1\54\0\4" address
#define AAAA(address) "\300\014\0\34\0\1\0\0\1\54\0\20" address
#define ALIAS "\300\014\0\5\0\1\0\0\1\54\0\7\4next\300\020"
#define OF_ALIAS "\4next\300\020\0\1\0\1\0\0\0\0\0\4\300\0\2\5"
#define ANSWER(flags, count) flags "\0\1\0" count "\0\0\0\0"
#define WITH(flags, count, records)                                            \
  { ANSWER(flags, count) records, sizeof(ANSWER(flags, count) records) - 1 }

static const struct {
  const char *bytes;
  size_t size;
} answers[] = {
    WITH("\201\200", "\0", ""),
    WITH("\201\200", "\1", A("\300\0\2\1")),
    WITH("\201\200", "\1", AAAA("\40\1\15\270\0\0\0\0\0\0\0\0\0\0\0\1")),
    WITH("\201\203", "\0", ""),
    WITH("\201\202", "\0", ""),
    WITH("\203\200", "\0", ""),
    WITH("\203\200", "\1", A("\300\0\2\1")),
    WITH("\201\200", "\2", ALIAS OF_ALIAS),
    WITH("\201\200", "\4",
        A("\300\0\2\1") A("\300\0\2\2") A("\300\0\2\3") A("\300\0\2\4")),
    WITH("\201\200", "\3",
        AAAA("\40\1\15\270\0\0\0\0\0\0\0\0\0\0\0\1")
            AAAA("\40\1\15\270\0\0\0\0\0\0\0\0\0\0\0\2")
                AAAA("\40\1\15\270\0\0\0\0\0\0\0\0\0\0\0\3")),
    WITH("\201\200", "\2", A("\300\0\2\1")),
};

void server_answer_query(unsigned number) {
  size_t n = number % COUNT(answers);

  server_answer_raw((const unsigned char *)answers[n].bytes, answers[n].size);
}

/* The right answer: to a question for A, an address; else, none. */
static void answer_rightly(void) {
  const struct query *q = &server.queries[0];
  bool is_a = q->size > 3 && q->bytes[q->size - 3] == 1;

  server_answer_query(is_a);
}

/* ---- Connections ---- */

static void open_tls(void) {
  struct identity *i = &identities[server.identity];
  br_ssl_engine_context *e = &server.tls.eng;
  unsigned char seed[32];

  if (br_skey_decoder_key_type(&i->secret) == BR_KEYTYPE_RSA)
    br_ssl_server_init_full_rsa(&server.tls, i->certificates, i->count,
        br_skey_decoder_get_rsa(&i->secret));
  else
    br_ssl_server_init_full_ec(&server.tls, i->certificates, i->count,
        BR_KEYTYPE_EC, br_skey_decoder_get_ec(&i->secret));
  if (server.version != 0)
    br_ssl_engine_set_versions(e, server.version, server.version);
  if (server.suite != 0) br_ssl_engine_set_suites(e, &server.suite, 1);
  br_ssl_engine_set_buffers_bidi(
      e, server.in, sizeof server.in, server.out, sizeof server.out);
  world_random(seed, sizeof seed);
  br_ssl_engine_inject_entropy(e, seed, sizeof seed);
  br_ssl_server_set_cache(&server.tls, &server.cache);
  server.bad = br_ssl_server_reset(&server.tls) == 0;
}

static void meet_client(int fd, uint16_t port) {
  must(server.fd < 0, "one connection at a time");
  server.fd = fd;
  server.tunnel_wanted = port == SERVER_PROXY_PORT;
  server.tunnel_asked = false;
  server.crlfs = 0;
  server.deaf = server.begins_deaf;
  server.inbox_at = server.inbox_end = 0;
  server.half_request = false;
  server.wants_reply = false;
  server.expected_at = 0;
  server.view.kept = server.view.resumed = false;
  server.view.closed = false;
  server.view.good = server.identity < GOOD_IDENTITIES;
  forget_said();
  open_tls();
}

static void meet(int fd, int type, uint16_t port) {
  if (type == SOCK_STREAM && port != SERVER_DNS_PORT) meet_client(fd, port);
}

static void hear(int fd, int type, const void *bytes, size_t size) {
  if (fd != server.fd) { /* a nameserver's: the world has no others */
    if (type == SOCK_DGRAM) take_query(fd, bytes, size);
    else take_tcp_queries(fd, bytes, size);
    return;
  }
  if (server.inbox_at == server.inbox_end)
    server.inbox_at = server.inbox_end = 0;
  if (size > INBOX - server.inbox_end) give_up("too much", "for the inbox");
  memcpy(server.inbox + server.inbox_end, bytes, size);
  server.inbox_end += size;
  work();
}

static void leave(int fd) {
  if (fd == server.fd) server.fd = -1;
  for (unsigned n = server.query_count; n > 0; n--)
    if (server.queries[n - 1].fd == fd) drop_query(n - 1);
}

const struct other_side server_side = {
    .meets = meet, .hears = hear, .leaves = leave};

void server_begin(void) {
  load_identities();
  server.fd = -1;
  server.flip_count = 0;
  server.expected_size = server.expected_at = 0;
  server.view.whole_requests = 0;
  server.view.kept = false;
  forget_said();
  server.identity = 0;
  server.version = 0;
  server.suite = 0;
  server.begins_deaf = false;
  server.cache = &cache_class;
  server.memory = REMEMBERS;
  server.session_count = server.held_sessions;
  server.query_count = 0;
}

bool server_go_on(void) {
  if (server.query_count > 0) {
    answer_rightly();
    return true;
  }
  if (server.fd < 0 || server.deaf) return false;
  if (server.tunnel_asked) {
    server_say_of_tunnel(0);
    return true;
  }
  if (server.wants_reply) {
    server_reply(0);
    return true;
  }
  return false;
}
