#define _DEFAULT_SOURCE
#include "peer.h"
#include "loopback.h"

#include <linux/filter.h>
#include <dirent.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define CHAIN_MAX 16
#define CROWD_MAX 1000
#define FILE_MAX 65536
#define HANG_MS 30000

/* One connection as the peer has it. */
struct line {
  const struct peer_script *script;
  int fd;
  size_t sent;
  br_ssl_server_context tls;
  unsigned char in[BR_SSL_BUFSIZE_INPUT];
  unsigned char out[BR_SSL_BUFSIZE_OUTPUT];
  char head[8192]; /* of the request in hand */
  size_t head_size;
  size_t body_left;
};

static pid_t peer_pid;
static volatile struct peer_log *shared_log;

static br_x509_certificate chain[CHAIN_MAX + CROWD_MAX];
static size_t chain_length;
static br_skey_decoder_context key;

/* ---- Files ------------------------------------------------------------ */

const char *certs_file(const char *name, const char *type, size_t *size) {
  static char text[FILE_MAX];
  char path[512];
  const char *b = getenv("B");
  FILE *f;

  snprintf(path, sizeof path, "%s/certs/%s.%s", b ? b : "build", name, type);
  f = fopen(path, "rb");
  if (!f) fail_msg("cannot open %s", path);
  *size = fread(text, 1, sizeof text, f);
  fclose(f);
  return text;
}

static struct {
  char paths[64][32];
  size_t count;
  pid_t owner; /* servers leave them alone */
} text_files;

static void remove_text_files(void) {
  if (getpid() != text_files.owner) return;
  while (text_files.count > 0) unlink(text_files.paths[--text_files.count]);
}

const char *text_file(const char *text) {
  char *path = text_files.paths[text_files.count];
  size_t size = strlen(text);
  int fd;

  assert_true(text_files.count < COUNT(text_files.paths));
  if (!text_files.owner) atexit(remove_text_files);
  text_files.owner = getpid();
  strcpy(path, "/tmp/heartbeat-test-XXXXXX");
  fd = mkstemp(path);
  assert_true(fd >= 0);
  text_files.count++;
  assert_int_equal(write(fd, text, size), size);
  close(fd);
  return path;
}

/* All that the PEM objects of a file decode to, one behind the other. */
struct der {
  unsigned char bytes[FILE_MAX];
  size_t size;
};

static void append_der(void *to, const void *bytes, size_t size) {
  struct der *der = to;

  assert_true(size <= sizeof der->bytes - der->size);
  memcpy(der->bytes + der->size, bytes, size);
  der->size += size;
}

/* Decodes a PEM file, and notes in `ends` where each of its objects ends. */
static size_t read_pem(const char *name, const char *type, struct der *der,
    size_t ends[CHAIN_MAX]) {
  br_pem_decoder_context pem;
  size_t count = 0, at = 0, size;
  const char *text = certs_file(name, type, &size);

  der->size = 0;
  br_pem_decoder_init(&pem);
  while (at < size) {
    at += br_pem_decoder_push(&pem, text + at, size - at);
    switch (br_pem_decoder_event(&pem)) {
    case BR_PEM_BEGIN_OBJ: br_pem_decoder_setdest(&pem, append_der, der); break;
    case BR_PEM_END_OBJ:
      assert_true(count < CHAIN_MAX);
      ends[count++] = der->size;
      break;
    case BR_PEM_ERROR: fail_msg("%s.%s is not PEM", name, type);
    }
  }
  return count;
}

static void load_identity(const struct peer_script *script) {
  static struct der certificates, secret;
  size_t ends[CHAIN_MAX], start = 0;

  chain_length = read_pem(
      script->chain ? script->chain : "server", "pem", &certificates, ends);
  for (size_t i = 0; i < chain_length; start = ends[i++]) {
    chain[i].data = certificates.bytes + start;
    chain[i].data_len = ends[i] - start;
  }
  assert_true(script->crowd.count <= CROWD_MAX);
  for (unsigned i = 0; i < script->crowd.count; i++) {
    br_x509_certificate *next = &chain[chain_length++];
    next->data = (unsigned char *)(uintptr_t)script->crowd.bytes;
    next->data_len = script->crowd.size;
  }
  read_pem(script->key ? script->key : "server", "key", &secret, ends);
  br_skey_decoder_init(&key);
  br_skey_decoder_push(&key, secret.bytes, secret.size);
  assert_int_equal(br_skey_decoder_last_error(&key), 0);
}

/* ---- The wire, in the peer's process ---------------------------------- */

/* Sends bytes as the script would have it; false when the line is cut. */
static bool put(struct line *l, const unsigned char *bytes, size_t size) {
  while (size > 0) {
    size_t piece = l->script->dribbles ? 1 : size;
    ssize_t n;

    if (l->script->cut && piece > l->script->cut_at - l->sent)
      piece = l->script->cut_at - l->sent;
    if (piece == 0) return false;
    n = write(l->fd, bytes, piece);
    if (n <= 0) return false;
    bytes += n;
    size -= (size_t)n;
    l->sent += (size_t)n;
  }
  return true;
}

static size_t take(struct line *l, unsigned char *bytes, size_t size) {
  ssize_t n;

  if (l->script->slow) {
    nap_us(100);
    size = size < 1024 ? size : 1024;
  }
  n = read(l->fd, bytes, size);
  return n > 0 ? (size_t)n : 0;
}

static void reset(struct line *l) {
  reset_on_close(l->fd);
  close(l->fd);
}

/* FIN, then close: but not before the other end has, lest it became RST. */
static void finish(struct line *l) {
  struct pollfd p = {l->fd, POLLIN, 0};
  char rest[1024];

  shutdown(l->fd, SHUT_WR);
  while (poll(&p, 1, 2000) > 0 && read(l->fd, rest, sizeof rest) > 0)
    ;
  close(l->fd);
}

/* ---- Sessions --------------------------------------------------------- */

static struct memory {
  const br_ssl_session_cache_class *vtable;
  const struct line *line;
  br_ssl_session_cache_lru all;
  unsigned char store[6400];
} memory;

static void remember(const br_ssl_session_cache_class **self,
    br_ssl_server_context *server, const br_ssl_session_parameters *session) {
  (void)self;
  memory.all.vtable->save(&memory.all.vtable, server, session);
}

static int recall(const br_ssl_session_cache_class **self,
    br_ssl_server_context *server, br_ssl_session_parameters *session) {
  const struct peer_script *s = memory.line->script;
  int found = memory.all.vtable->load(&memory.all.vtable, server, session);

  (void)self;
  switch (s->memory) {
  case PEER_MISTAKES_SECRET: session->master_secret[0] ^= 1; break;
  case PEER_MISTAKES_SUITE:
    session->cipher_suite =
        session->cipher_suite == BR_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
        ? BR_TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384
        : BR_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256;
    break;
  case PEER_FORGES:
    memset(session->master_secret, 0, sizeof session->master_secret);
    session->version = BR_TLS12;
    session->cipher_suite = s->suite;
    return 1;
  case PEER_BALKS: shutdown(memory.line->fd, SHUT_RDWR); break;
  case PEER_FORGETS: return 0;
  case PEER_REMEMBERS: break;
  }
  return found;
}

static void begin_memory(const struct line *l) {
  static const br_ssl_session_cache_class class = {
      sizeof memory, remember, recall};

  memory.vtable = &class;
  memory.line = l;
  br_ssl_session_cache_lru_init(&memory.all, memory.store, sizeof memory.store);
}

/* ---- TLS -------------------------------------------------------------- */

static void open_tls(struct line *l) {
  const struct peer_script *s = l->script;
  br_ssl_engine_context *e = &l->tls.eng;
  unsigned version = s->version ? s->version : BR_TLS12;

  if (br_skey_decoder_key_type(&key) == BR_KEYTYPE_RSA)
    br_ssl_server_init_full_rsa(
        &l->tls, chain, chain_length, br_skey_decoder_get_rsa(&key));
  else
    br_ssl_server_init_full_ec(&l->tls, chain, chain_length, BR_KEYTYPE_EC,
        br_skey_decoder_get_ec(&key));
  br_ssl_engine_set_versions(e, version, version);
  if (s->suite) br_ssl_engine_set_suites(e, &s->suite, 1);
  br_ssl_engine_set_buffers_bidi(
      e, l->in, sizeof l->in, l->out, s->small ? 512 + 85 : sizeof l->out);
  /* To ask this engine for no less than it would send is to ask in vain. */
  if (s->large) e->log_max_frag_len = 0;
  br_ssl_server_set_cache(&l->tls, &memory.vtable);
  br_ssl_server_reset(&l->tls);
}

/* Sends all records that wait; false: the line ended. */
static bool put_records(struct line *l) {
  br_ssl_engine_context *e = &l->tls.eng;
  unsigned char *bytes;
  size_t size;

  while (br_ssl_engine_current_state(e) & BR_SSL_SENDREC) {
    bytes = br_ssl_engine_sendrec_buf(e, &size);
    if (!put(l, bytes, size)) return false;
    br_ssl_engine_sendrec_ack(e, size);
  }
  return true;
}

/* Takes some of a record; false: the line ended, or none is wanted. */
static bool take_record(struct line *l) {
  br_ssl_engine_context *e = &l->tls.eng;
  size_t size;
  unsigned char *bytes = br_ssl_engine_recvrec_buf(e, &size);

  if (bytes) size = take(l, bytes, size);
  if (!bytes || size == 0) return false;
  br_ssl_engine_recvrec_ack(e, size);
  return true;
}

/* Moves records until the engine is in the state; false: the line ended. */
static bool reach(struct line *l, unsigned state) {
  while (put_records(l)) {
    if ((br_ssl_engine_current_state(&l->tls.eng) & state) == state)
      return true;
    if (!take_record(l)) return false;
  }
  return false;
}

/* Holds back what is sent / lets it go, all in one. */
static void cork(struct line *l, int on) {
  setsockopt(l->fd, IPPROTO_TCP, TCP_CORK, &on, sizeof on);
}

/* Answers the client's hello, with more behind it than its own. */
static void say_behind_hello(struct line *l) {
  br_ssl_engine_context *e = &l->tls.eng;
  bool open = true;

  while (open && !(br_ssl_engine_current_state(e) & BR_SSL_SENDREC))
    open = take_record(l);
  cork(l, 1);
  if (open && put_records(l))
    put(l, (const unsigned char *)l->script->behind, l->script->behind_size);
  cork(l, 0);
}

/* Sends bytes, and with them all that went before. */
static bool say_bytes(struct line *l, const char *bytes, size_t left) {
  br_ssl_engine_context *e = &l->tls.eng;

  while (left > 0) {
    unsigned char *to;
    size_t room;

    if (!reach(l, BR_SSL_SENDAPP)) return false;
    to = br_ssl_engine_sendapp_buf(e, &room);
    room = room < left ? room : left;
    memcpy(to, bytes, room);
    br_ssl_engine_sendapp_ack(e, room);
    br_ssl_engine_flush(e, 0);
    bytes += room;
    left -= room;
  }
  return reach(l, 0);
}

static bool say(struct line *l, const char *text) {
  return say_bytes(l, text, strlen(text));
}

enum { ALERT = 21, HANDSHAKE = 22, APPLICATION_DATA = 23 }; /* records */

/* The same in a record of another type, of which the engine knows nothing. */
static void say_as(
    struct line *l, unsigned char type, const char *bytes, size_t size) {
  l->tls.eng.record_type_out = type;
  say_bytes(l, bytes, size);
  l->tls.eng.record_type_out = APPLICATION_DATA;
}

static void say_hello_request(struct line *l) {
  static const char request[4]; /* type 0, and a length of 0 */

  say_as(l, HANDSHAKE, request, sizeof request);
}

static void say_alert(struct line *l, unsigned char description) {
  const char fatal[] = {2, (char)description};

  say_as(l, ALERT, fatal, sizeof fatal);
}

/* ---- Requests --------------------------------------------------------- */

static bool read_head(struct line *l) {
  const char *length;
  unsigned char *from;
  size_t size;

  if (!reach(l, BR_SSL_RECVAPP)) return false;
  shared_log->record = 1u << l->tls.eng.peer_log_max_frag_len & ~1u;
  l->head_size = 0;
  do {
    if (!reach(l, BR_SSL_RECVAPP) || l->head_size == sizeof l->head - 1)
      return false;
    from = br_ssl_engine_recvapp_buf(&l->tls.eng, &size);
    l->head[l->head_size++] = (char)*from;
    l->head[l->head_size] = 0;
    br_ssl_engine_recvapp_ack(&l->tls.eng, 1);
  } while (
      l->head_size < 4 || strcmp(l->head + l->head_size - 4, "\r\n\r\n") != 0);
  length = strstr(l->head, "Content-Length:");
  l->body_left = length ? strtoul(length + 15, NULL, 10) : 0;
  for (size = 0; size < sizeof shared_log->head; size++)
    shared_log->head[size] = l->head[size];
  shared_log->head[size - 1] = 0;
  shared_log->body_size = 0;
  shared_log->body_sum = 0;
  shared_log->requests++;
  return true;
}

static bool read_body(struct line *l) {
  while (l->body_left > 0) {
    unsigned char *from;
    size_t size;

    if (!reach(l, BR_SSL_RECVAPP)) return false;
    from = br_ssl_engine_recvapp_buf(&l->tls.eng, &size);
    size = size < l->body_left ? size : l->body_left;
    shared_log->body_sum = peer_sum(shared_log->body_sum, from, size);
    shared_log->body_size += size;
    l->body_left -= size;
    br_ssl_engine_recvapp_ack(&l->tls.eng, size);
  }
  return true;
}

static bool answer(struct line *l, const struct peer_turn *turn) {
  const char *reply = turn->reply ? turn->reply : PEER_REPLY;

  if (!read_head(l)) return false;
  if (turn->early) return say(l, reply) && (turn->end || read_body(l));
  return read_body(l) && say(l, reply);
}

/* Ends the connection in the turn's way. */
static void end(struct line *l, const struct peer_turn *turn, bool follows) {
  bool notifies = turn->end == PEER_NOTIFIES || turn->end == PEER_BREAKS;
  bool resets = turn->end == PEER_RESETS || turn->end == PEER_BREAKS;

  if (notifies) {
    br_ssl_engine_close(&l->tls.eng);
    reach(l, 0);
  }
  if (resets) reset(l);
  else shutdown(l->fd, SHUT_WR);
  if (follows) shared_log->gone++;
  if (!resets) finish(l);
}

/* The turn of this number; the last one is kept. */
static const struct peer_turn *turn_at(const struct peer_script *s, size_t at) {
  static const struct peer_turn good;

  if (s->turn_count == 0) return &good;
  return &s->turns[at < s->turn_count ? at : s->turn_count - 1];
}

/* The kernel drops all that arrives on the connection, and acknowledges none of
 * it: as if a router in between had forgotten it.  It stays open. */
static void forget(const struct line *l) {
  struct sock_filter drop_all = BPF_STMT(BPF_RET | BPF_K, 0);
  struct sock_fprog program = {1, &drop_all};

  if (setsockopt(
          l->fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) != 0)
    abort();
}

/* What has become of a connection behind a turn. */
enum turn_outcome { TURN_GOES_ON, TURN_ENDS, CLIENT_LEAVES };

static enum turn_outcome take_turn(
    struct line *l, const struct peer_turn *turn) {
  if (turn->together) cork(l, 1);
  if (!answer(l, turn)) return CLIENT_LEAVES;
  if (turn->asks_anew) say_hello_request(l);
  while (turn->waits && shared_log->go == shared_log->gone) nap_us(200);
  if (turn->stray) say(l, turn->stray);
  if (turn->alert) say_alert(l, turn->alert);
  if (turn->is_forgotten) {
    forget(l);
    if (turn->waits) shared_log->gone++;
    return TURN_ENDS;
  }
  if (turn->end) {
    end(l, turn, turn->waits);
    return TURN_ENDS;
  }
  if (turn->together) cork(l, 0);
  if (turn->waits) shared_log->gone++;
  return TURN_GOES_ON;
}

/* The client has left, or the script has cut the line. */
static void note_end(struct line *l) {
  const struct peer_script *s = l->script;

  shared_log->notified += l->tls.eng.shutdown_recv;
  shared_log->broken += br_ssl_engine_last_error(&l->tls.eng) != BR_ERR_OK;
  if (s->cut == PEER_RESETS && l->sent == s->cut_at) reset(l);
  else finish(l);
}

/* Takes turns on one connection, from the given one on; returns the next. */
static size_t serve(struct line *l, size_t at) {
  for (;;) {
    switch (take_turn(l, turn_at(l->script, at))) {
    case TURN_GOES_ON: at++; break;
    case TURN_ENDS: return at + 1;
    case CLIENT_LEAVES: note_end(l); return at;
    }
  }
}

static void serve_all(const struct peer_script *script, int listener) {
  static struct line l;
  size_t turn = 0;

  begin_memory(&l);
  for (;;) {
    l.fd = accept_client(listener);
    shared_log->accepted++;
    l.script = script;
    l.sent = 0;
    if (script->raw) {
      take(&l, l.in, sizeof l.in);
      put(&l, (const unsigned char *)script->raw, script->raw_size);
    }
    if (script->silent) continue;
    if (script->raw) {
      finish(&l);
      continue;
    }
    open_tls(&l);
    if (script->behind) say_behind_hello(&l);
    turn = serve(&l, turn);
  }
}

/* ---- The peer, seen from the test ------------------------------------- */

uint16_t peer_start(const struct peer_script *script) {
  const char *address = script->ipv6 ? "::1" : "127.0.0.1";
  int listener, window = 16384;
  uint16_t port;

  peer_stop(NULL);
  load_identity(script);
  listener = bind_socket(SOCK_STREAM, address, 0, 8);
  if (listener < 0) fail_msg("cannot listen on loopback: %s", strerror(errno));
  if (script->slow)
    setsockopt(listener, SOL_SOCKET, SO_RCVBUF, &window, sizeof window);
  port = port_of(listener);
  shared_log = share_memory(sizeof *shared_log);
  if (fork_server(&peer_pid)) serve_all(script, listener);
  close(listener);
  return port;
}

uint16_t peer_start_openssl(const char *leaf, const char *option) {
  static const char ready[] = "ACCEPT 127.0.0.1:";
  const char *b = getenv("B");
  char folder[512], certificate[64], key_file[64], line[128] = "";
  int out[2];
  FILE *said;

  peer_stop(NULL);
  snprintf(folder, sizeof folder, "%s/certs", b ? b : "build");
  snprintf(certificate, sizeof certificate, "%s.pem", leaf ? leaf : "server");
  snprintf(key_file, sizeof key_file, "%s.key", leaf ? leaf : "server");
  assert_int_equal(pipe(out), 0);
  if (fork_server(&peer_pid)) {
    if (chdir(folder) == 0 && dup2(out[1], 1) == 1 &&
        freopen("/dev/null", "w", stderr))
      execlp("openssl", "openssl", "s_server", "-rev", "-accept", "127.0.0.1:0",
          "-cert", certificate, "-key", key_file, "-cipher", "ALL:@SECLEVEL=0",
          option, (char *)NULL);
    _exit(127);
  }
  close(out[1]);
  said = fdopen(out[0], "r");
  while (strncmp(line, ready, sizeof ready - 1) != 0)
    if (!fgets(line, sizeof line, said))
      fail_msg("openssl s_server does not start");
  fclose(said);
  return (uint16_t)strtoul(line + sizeof ready - 1, NULL, 10);
}

/* The server's whole configuration; its folder is the one it stands in. */
static void configure_nginx(
    const char *folder, uint16_t port, const char *directives) {
  char path[512];
  FILE *f;

  mkdir(folder, 0700);
  snprintf(path, sizeof path, "%s/conf", folder);
  f = fopen(path, "w");
  if (!f) fail_msg("cannot write %s", path);
  fprintf(f,
      "daemon off; master_process off; pid pid; error_log log;\n"
      "events {}\n"
      "http {\n"
      "access_log off; default_type application/json;\n"
      "client_body_temp_path body; proxy_temp_path proxy;\n"
      "fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi;\n"
      "scgi_temp_path scgi; client_max_body_size 0;\n"
      "ssl_certificate ../certs/server.pem;\n"
      "ssl_certificate_key ../certs/server.key;\n"
      "server {\n"
      "listen 127.0.0.1:%u ssl reuseport;\n"
      "location / { return 200 '%s'; }\n"
      "%s\n}}\n",
      (unsigned)port, PEER_BODY, directives);
  fclose(f);
}

/* A socket at a free port, which nginx may have beside it. */
static int reserve_port(void) {
  union socket_address a;
  socklen_t size = read_address(&a, "127.0.0.1", 0);
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), yes = 1;

  setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &yes, sizeof yes);
  assert_int_equal(bind(fd, &a.any, size), 0);
  return fd;
}

uint16_t peer_start_nginx(const char *directives) {
  const char *b = getenv("B");
  char folder[256], pid_file[300];
  int holder = reserve_port();
  uint16_t port = port_of(holder);

  peer_stop(NULL);
  snprintf(folder, sizeof folder, "%s/nginx.%d", b ? b : "build",
      (int)getpid()); /* tests may run side by side */
  snprintf(pid_file, sizeof pid_file, "%s/pid", folder);
  configure_nginx(folder, port, directives);
  unlink(pid_file);
  if (fork_server(&peer_pid)) {
    if (chdir(folder) == 0 && freopen("said", "w", stderr))
      execl("/usr/sbin/nginx", "nginx", "-p", ".", "-e", "log", "-c", "conf",
          (char *)NULL);
    _exit(127);
  }
  /* It writes its number once it listens. */
  for (int i = 0; access(pid_file, F_OK) != 0; i++) {
    if (i == HANG_MS) fail_msg("nginx does not start, see %s", folder);
    nap_ms(1);
  }
  close(holder);
  return port;
}

const volatile struct peer_log *peer_log(void) {
  return shared_log;
}

void peer_go(void) {
  shared_log->go++;
  for (int i = 0; i < HANG_MS && shared_log->gone != shared_log->go; i++)
    nap_ms(1);
  assert_int_equal(shared_log->gone, shared_log->go);
}

int peer_stop(void **state) {
  (void)state;
  kill_server(&peer_pid);
  if (shared_log) {
    munmap((void *)(uintptr_t)shared_log, sizeof *shared_log);
    shared_log = NULL;
  }
  return 0;
}

uint32_t peer_sum(uint32_t sum, const void *data, size_t size) {
  const unsigned char *at = data;

  for (size_t i = 0; i < size; i++) sum = (sum ^ at[i]) * 16777619u + 1;
  return sum;
}

uint32_t peer_patience(void) {
  const char *wrap = getenv("WRAP");

  if (UNDER_ASAN) return 3;
  return wrap && *wrap ? 10 : 1;
}

/* ---- The player ------------------------------------------------------- */

const char player_token[] = "eyJ0eXAiOiJKV1QiLCJhbGciOiJSUzI1NiJ9.not-for-you";

const hbeat_request player_beat = {.lightning_version = "4.2.1"};

hbeat_request player_big_beat(size_t count, size_t size) {
  static const char *facts[10000];
  static char text[(1 << 20) + COUNT(facts)];
  hbeat_request beat = player_beat;
  char *at = text;

  assert_true(count <= COUNT(facts) && count * (size + 1) <= sizeof text);
  for (size_t i = 0; i < count; i++) {
    facts[i] = at;
    for (size_t k = 0; k < size; k++) *at++ = (char)('a' + (i + k * k) % 26);
    *at++ = 0;
  }
  beat.device_info = facts;
  beat.device_info_count = count;
  return beat;
}

const hbeat_anchors *player_anchors(const char *name) {
  static struct {
    char name[16];
    hbeat_anchors anchors;
    unsigned char arena[4096];
  } loaded[4];
  hbeat_anchors *a;
  const char *text;
  size_t i = 0, size;

  while (loaded[i].name[0] && strcmp(loaded[i].name, name) != 0) i++;
  a = &loaded[i].anchors;
  if (loaded[i].name[0]) return a;
  snprintf(loaded[i].name, sizeof loaded[i].name, "%s", name);
  text = certs_file(name, "pem", &size);
  a->arena = loaded[i].arena;
  a->arena_size = sizeof loaded[i].arena;
  assert_int_equal(hbeat_anchors_pem(a, text, size), HBEAT_OK);
  return a;
}

void player_configure(struct player *p, uint16_t port) {
  const hbeat_anchors *anchors = player_anchors("ca");

  p->cfg =
      (hbeat_config){.device = "LCUID-LD-00000000-0000-0000-0000-000000000001",
          .app = "LCUID-LAP-00000000-0000-0000-0000-000000000002",
          .token = player_token,
          .address = "127.0.0.1",
          .address_port = port,
          .timeout_ms = 30000 * peer_patience(),
          .anchors = anchors->list,
          .anchor_count = anchors->count,
          .tls_buffer = p->tls,
          .tls_buffer_size = sizeof p->tls,
          .reply_buffer = p->body,
          .reply_buffer_size = sizeof p->body};
}

void player_configure_proxy(struct player *p, uint16_t port) {
  player_configure(p, 0);
  p->cfg.address = NULL;
  p->cfg.proxy = "127.0.0.1";
  p->cfg.proxy_port = port;
  p->cfg.hosts_path = p->cfg.resolv_path = "/dev/null";
}

void player_open(struct player *p, uint16_t port) {
  player_configure(p, port);
  assert_int_equal(hbeat_init(&p->client, &p->cfg), HBEAT_OK);
}

void player_check_text(struct player *p) {
  const char *text = hbeat_explain(&p->client);

  if (!text[0]) fail_msg("the explanation is empty");
  if (strstr(text, player_token))
    fail_msg("the explanation tells the token: %s", text);
  for (const char *c = text; *c; c++)
    if ((unsigned char)*c < ' ' || *c == 127)
      fail_msg("byte %d of \"%s\" is no text", (int)(c - text), text);
}

void player_expect(
    struct player *p, const hbeat_request *beat, hbeat_error want) {
  hbeat_error e = hbeat_send(&p->client, beat, &p->reply);

  if (e != want)
    fail_msg("wanted %s, got %s: %s", hbeat_error_name(want),
        hbeat_error_name(e), hbeat_explain(&p->client));
  if (e != HBEAT_OK) player_check_text(p);
}

struct CMUnitTest *rows_to_tests(struct CMUnitTest *to,
    CMUnitTestFunction check, const void *rows, size_t row_size, size_t count) {
  for (size_t i = 0; i < count; i++) {
    const char *const *row = (const void *)((const char *)rows + i * row_size);

    *to++ = (struct CMUnitTest){
        *row, check, NULL, peer_stop, (void *)(uintptr_t)row};
  }
  return to;
}

bool holds_part(
    const void *bytes, size_t size, const void *secret, size_t secret_size) {
  const unsigned char *at = bytes, *part = secret;

  for (size_t i = 0; i + 8 <= size; i++)
    for (size_t k = 0; k + 8 <= secret_size; k++)
      if (memcmp(at + i, part + k, 8) == 0) return true;
  return false;
}

int open_descriptors(void) {
  DIR *d = opendir("/proc/self/fd");
  int count = -3; /* ".", ".." and the folder's own */

  assert_non_null(d);
  while (readdir(d)) count++;
  closedir(d);
  return count;
}

static int64_t read_ms(clockid_t clock) {
  struct timespec t;

  clock_gettime(clock, &t);
  return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int64_t now_ms(void) {
  return read_ms(CLOCK_MONOTONIC);
}

int64_t busy_ms(void) {
  return read_ms(CLOCK_PROCESS_CPUTIME_ID);
}
