/*
 * lucitd - a stand-in for the Lucit API on loopback, for tests and the demo.
 *
 * It listens on 127.0.0.1 alone, speaks TLS 1.2 by BearSSL's server engine,
 * takes heartbeats, reports and log-ins, checked as the API's reference
 * demands, hands out a queue of instructions from its command line, fails on
 * demand, and prints a line for every request:
 *
 *     POST /path 200 | authorization: Bearer *** | content-type: ... |
 *     accept: ... | appidv3: ... | body: {...}
 *
 * in which the status is followed by "resumed" where the connection began with
 * a TLS session of an earlier one (by session ID; there are no tickets), and is
 * "drop" where it was to be closed without an answer.
 *
 * The processes: the first one accepts connections (`struct server`) and makes
 * a process for each (`struct connection`), so that the code from TLS up to
 * serve_connection() is about one client, and may wait.  Two pipes tie these to
 * the first process: `answered` takes a byte for every request answered; `life`
 * is held open by the first process alone, so that its end is everyone's end.
 * What one connection leaves for others is in `struct shared`, whose contents
 * are memory of them all.
 *
 * A request, from the bytes to the reply: read_request() takes it apart into
 * `struct request`, route() finds its call, answer_...() checks it as the API
 * would and puts the JSON together, reply() logs and sends.  A request that is
 * no HTTP is answered by refuse(), and nothing is read behind it.
 *
 * Where the reference is silent, the answers are those of Laravel, the PHP
 * framework behind the API: their order, their words, `\/` for a slash.
 */
#define _POSIX_C_SOURCE 200809L

#include "heartbeat.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define IDLE_MS 75000  /* a quiet connection is closed: nginx's own default */
#define LINGER_S 2     /* a client may take this long to close its own end */
#define HEAD_MAX 16384 /* twice what common servers take; a token of 4 KiB */
#define BODY_MAX ((size_t)2 << 20)     /* far more than a player should send */
#define JSON_MAX ((size_t)256 << 10)   /* twice what one argument can be */
#define INSTRUCTION_MAX (JSON_MAX / 8) /* a byte may become six in JSON */
#define PEM_MAX ((size_t)64 << 10)     /* a file; and the DER of both, in all */
#define CHAIN_MAX 8       /* certificates; what is behind them is not sent */
#define QUEUE_MAX 1000    /* instructions */
#define TURNS_MAX 8       /* instructions that take turns: players know a few */
#define SESSIONS_MAX 1000 /* one more takes the place of the oldest */
#define LOG_BODY_MAX 4096 /* bytes of a body that the log shows */

#define MESSAGE_MAX (HEAD_MAX + 100) /* names what came in the request's head */

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define ASSERT(name, condition) typedef char assert_##name[(condition) ? 1 : -1]

enum { READ_END, WRITE_END }; /* of a pipe */

/* Ends this process, be it the first one or that of a connection. */
static void fail(const char *what, const char *which) {
  fprintf(stderr, "lucitd: %s: %s\n", which, what);
  exit(2);
}

/* ---- The command line ------------------------------------------------- */

/* What the command line says, as it says it. */
struct options {
  const char *port;       /* on 127.0.0.1; "0": any that is free */
  const char *cert_file;  /* PEM: the server's chain, its own first */
  const char *key_file;   /* PEM: its private key */
  const char *device;     /* the lcuid of the one device that exists */
  const char *app;        /* the lcuid of the one app that exists */
  const char *token_file; /* holds the Bearer token */
  const char *again;      /* "": an instruction is handed out only once */
  const char *auth;       /* the TOKEN:SECRET that may log in; "": nobody may */
  const char *auth_token; /* a file: the Bearer token from a log-in on */
  const char *fail_file;  /* demands failures while it is there; "": never */
  const char *count;      /* requests to answer; "0": without an end */
  const char *instructions[QUEUE_MAX]; /* names and JSON objects, in order */
  int instruction_count;
};

static const struct options default_options = {
    .port = "0",
    .again = "",
    .auth = "",
    .auth_token = "",
    .fail_file = "",
    .count = "0",
};

enum option_kind {
  REQUIRED, /* must be given, with an argument */
  OPTIONAL, /* has an argument, and a default */
  SWITCH,   /* has no argument */
  REPEATED, /* --instruction: each argument joins the queue */
};

struct known_option {
  const char *name;
  enum option_kind kind;
  size_t member;        /* the offset of its text in struct options */
  const char *argument; /* its name in the help */
  const char *help;
};

#define MEMBER(name) offsetof(struct options, name)

static const struct known_option known_options[] = {
    {"--port", OPTIONAL, MEMBER(port), "N",
        "on 127.0.0.1; 0, or nothing: any that is free"},
    {"--cert", REQUIRED, MEMBER(cert_file), "FILE",
        "PEM: the server's chain, its own first"},
    {"--key", REQUIRED, MEMBER(key_file), "FILE",
        "PEM: its private key, RSA or EC"},
    {"--device", REQUIRED, MEMBER(device), "LCUID",
        "the one device that exists"},
    {"--app", REQUIRED, MEMBER(app), "LCUID", "the one app that exists"},
    {"--token-file", REQUIRED, MEMBER(token_file), "FILE",
        "holds the Bearer token"},
    {"--instruction", REPEATED, MEMBER(instructions), "X",
        "a name in ASCII, or a JSON object; queued"},
    {"--again", SWITCH, MEMBER(again), "",
        "hand out each one until it is reported, by turns"},
    {"--auth", OPTIONAL, MEMBER(auth), "T:S",
        "the log-in token and secret that are right"},
    {"--auth-token", OPTIONAL, MEMBER(auth_token), "FILE",
        "the Bearer token from a log-in on"},
    {"--fail-file", OPTIONAL, MEMBER(fail_file), "FILE",
        "while it is there: what to answer, STATUS or drop, then\n"
        "                       Retry-After or -, then PART-OF-PATH, if not to "
        "all"},
    {"--count", OPTIONAL, MEMBER(count), "N",
        "end after N requests; 0, or nothing: never"},
};

static void print_help(void) {
  puts("usage: lucitd [options]\n"
       "A stand-in for the Lucit API on loopback.\n");
  for (size_t i = 0; i < COUNT(known_options); i++)
    printf("  %-14s%-6s %s\n", known_options[i].name, known_options[i].argument,
        known_options[i].help);
  exit(0);
}

/* The option of this name, or NULL. */
static const struct known_option *find_option(const char *name) {
  for (size_t i = 0; i < COUNT(known_options); i++)
    if (strcmp(name, known_options[i].name) == 0) return &known_options[i];
  return NULL;
}

/* The member that holds an option's text. */
static const char **text_of(
    struct options *options, const struct known_option *known) {
  return (const char **)(void *)((char *)options + known->member);
}

static void add_instruction(struct options *options, const char *text) {
  if (options->instruction_count == QUEUE_MAX || strlen(text) > INSTRUCTION_MAX)
    fail("there are too many, or one is too long", "--instruction");
  options->instructions[options->instruction_count++] = text;
}

static void check_options(struct options *options) {
  for (size_t i = 0; i < COUNT(known_options); i++)
    if (known_options[i].kind == REQUIRED &&
        *text_of(options, &known_options[i]) == NULL)
      fail("is missing", known_options[i].name);
  if (*options->auth == '\0') return;
  if (strchr(options->auth, ':') == NULL || *options->auth_token == '\0')
    fail("is not TOKEN:SECRET, or there is no --auth-token", "--auth");
}

static void read_options(struct options *options, int argc, char **argv) {
  static const char not_taken[] = "is unknown, or lacks its argument";

  *options = default_options;
  for (int i = 1; i < argc; i++) {
    const char *name = argv[i];
    const struct known_option *known = find_option(name);

    if (strcmp(name, "--help") == 0) print_help();
    if (known == NULL) fail(not_taken, name);
    if (known->kind != SWITCH) i++;
    if (i == argc) fail(not_taken, name);
    if (known->kind == REPEATED) add_instruction(options, argv[i]);
    else *text_of(options, known) = argv[i];
  }
  check_options(options);
}

/* ---- The server's certificates and key -------------------------------- */

struct identity {
  br_x509_certificate chain[CHAIN_MAX]; /* in `der`, the server's own first */
  size_t chain_size;
  br_skey_decoder_context key;
  unsigned char der[PEM_MAX]; /* all objects of the files, one after another */
  size_t der_size;
};

/* Reads a whole file as a text that ends in NUL, and returns its size, which is
 * two bytes less than the capacity at most. */
static size_t read_file(const char *path, char *text, size_t capacity) {
  FILE *file = fopen(path, "rb");

  if (file == NULL) fail(strerror(errno), path);
  size_t size = fread(text, 1, capacity, file);
  if (ferror(file) || size > capacity - 2)
    fail("cannot be read, or is too long", path);
  text[size] = '\0';
  fclose(file);
  return size;
}

static void append_der(void *context, const void *bytes, size_t size) {
  struct identity *identity = context;

  if (size > sizeof identity->der - identity->der_size)
    fail("is too long, in all", "PEM");
  memcpy(identity->der + identity->der_size, bytes, size);
  identity->der_size += size;
}

/* Takes the object that has just been decoded, from `start` on, if it is a
 * certificate or a private key. */
static void take_object(
    struct identity *identity, const char *name, size_t start) {
  unsigned char *object = identity->der + start;
  size_t size = identity->der_size - start;

  if (strstr(name, "PRIVATE KEY") != NULL) {
    br_skey_decoder_init(&identity->key);
    br_skey_decoder_push(&identity->key, object, size);
  } else if (strcmp(name, "CERTIFICATE") == 0 &&
      identity->chain_size < CHAIN_MAX) {
    identity->chain[identity->chain_size].data = object;
    identity->chain[identity->chain_size].data_len = size;
    identity->chain_size++;
  }
}

/* Loads the certificates and the key of a file, whichever it holds. */
static void load_pem(struct identity *identity, const char *path) {
  char text[PEM_MAX];
  br_pem_decoder_context pem;
  size_t at = 0, start = 0, size = read_file(path, text, sizeof text);

  text[size++] = '\n'; /* without it the last END line would never end */
  br_pem_decoder_init(&pem);
  br_pem_decoder_setdest(&pem, append_der, identity);
  while (at < size) {
    at += br_pem_decoder_push(&pem, text + at, size - at);
    switch (br_pem_decoder_event(&pem)) {
    case BR_PEM_BEGIN_OBJ: start = identity->der_size; break;
    case BR_PEM_END_OBJ:
      take_object(identity, br_pem_decoder_name(&pem), start);
      break;
    case BR_PEM_ERROR: fail("is not valid PEM", path); break;
    default: break; /* the text goes on */
    }
  }
}

static void load_identity(
    struct identity *identity, const struct options *options) {
  load_pem(identity, options->cert_file);
  load_pem(identity, options->key_file);
  if (identity->chain_size == 0)
    fail("holds no certificate", options->cert_file);
  if (br_skey_decoder_key_type(&identity->key) == 0)
    fail("holds no private key that can be read", options->key_file);
}

/* ---- What all processes share ----------------------------------------- */

enum progress { WAITING, HANDED_OUT, REPORTED }; /* of an instruction */

struct shared_contents {
  char token[HEAD_MAX]; /* the Bearer token that counts */
  enum progress progress[QUEUE_MAX];
  unsigned turn; /* counts what --again has handed out */
  br_ssl_session_parameters sessions[SESSIONS_MAX]; /* TLS; a ring */
  size_t session_count; /* those that were ever saved */
};

/* The contents, mapped from a file, by whose lock one process at a time works
 * on them. */
struct shared {
  FILE *file;
  struct shared_contents *contents;
};

static void set_lock(const struct shared *shared, short type) {
  struct flock whole = {.l_type = type, .l_whence = SEEK_SET};

  while (fcntl(fileno(shared->file), F_SETLKW, &whole) != 0)
    if (errno != EINTR) fail(strerror(errno), "lock");
}

/* Waits for the lock.  A process that has it already keeps it. */
static void lock(const struct shared *shared) {
  set_lock(shared, F_WRLCK);
}

static void unlock(const struct shared *shared) {
  set_lock(shared, F_UNLCK);
}

/* The first line of the file is the token from now on. */
static void load_token(const struct shared *shared, const char *path) {
  char *token = shared->contents->token;

  read_file(path, token, sizeof shared->contents->token);
  token[strcspn(token, "\r\n")] = '\0';
}

static void begin_shared(struct shared *shared) {
  size_t size = sizeof *shared->contents;

  shared->file = tmpfile();
  if (shared->file == NULL || ftruncate(fileno(shared->file), (off_t)size) != 0)
    fail(strerror(errno), "tmpfile");
  void *mapped = mmap(
      NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fileno(shared->file), 0);
  if (mapped == MAP_FAILED) fail(strerror(errno), "mmap");
  shared->contents = mapped;
}

/* ---- TLS sessions ----------------------------------------------------- */

/* The calls below get a pointer to the first member from BearSSL; it is a
 * pointer to the whole struct, too. */
struct session_cache {
  const br_ssl_session_cache_class *calls;
  const struct shared *shared;
  bool resumed; /* this connection began with a session of an earlier one */
};

static void save_session(const br_ssl_session_cache_class **context,
    br_ssl_server_context *engine, const br_ssl_session_parameters *session) {
  struct session_cache *cache = (struct session_cache *)(void *)context;
  struct shared_contents *contents = cache->shared->contents;

  (void)engine;
  cache->resumed = false; /* be it that the engine did not like the one found */
  lock(cache->shared);
  contents->sessions[contents->session_count % SESSIONS_MAX] = *session;
  contents->session_count++;
  unlock(cache->shared);
}

/* Finds the session of the ID in *wanted, sets *wanted to it, and returns
 * whether there was one.  No lock is needed: a client that asks for a session
 * has seen the end of the handshake that saved it. */
static int load_session(const br_ssl_session_cache_class **context,
    br_ssl_server_context *engine, br_ssl_session_parameters *wanted) {
  struct session_cache *cache = (struct session_cache *)(void *)context;
  const struct shared_contents *contents = cache->shared->contents;

  (void)engine;
  for (size_t i = 0; i < SESSIONS_MAX && i < contents->session_count; i++) {
    const br_ssl_session_parameters *found = &contents->sessions[i];
    if (memcmp(found->session_id, wanted->session_id, 32) != 0) continue;
    *wanted = *found;
    cache->resumed = true;
    return 1;
  }
  return 0;
}

static const br_ssl_session_cache_class session_calls = {
    .context_size = sizeof(struct session_cache),
    .save = save_session,
    .load = load_session,
};

/* ---- TLS -------------------------------------------------------------- */

struct tls {
  int socket;
  int life; /* a pipe that hangs up once the first process has ended */
  br_ssl_server_context context; /* BearSSL's own */
  unsigned char records[BR_SSL_BUFSIZE_BIDI];
  struct session_cache cache;
  bool over;        /* no more bytes will come or go */
  bool mid_request; /* a handshake or a request has begun, and has no answer:
                     * that the client ends it is worth a line */
};

/* The library's own profile: forward secrecy and AEAD, no TLS but 1.2. */
static const uint16_t suites[] = {
    BR_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    BR_TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    BR_TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    BR_TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
    BR_TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    BR_TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
};

static void use_identity(
    br_ssl_server_context *context, const struct identity *identity) {
  const br_skey_decoder_context *key = &identity->key;

  if (br_skey_decoder_key_type(key) == BR_KEYTYPE_RSA)
    br_ssl_server_init_full_rsa(context, identity->chain, identity->chain_size,
        br_skey_decoder_get_rsa(key));
  else /* the issuer's key matters only to suites that are not in the list */
    br_ssl_server_init_full_ec(context, identity->chain, identity->chain_size,
        BR_KEYTYPE_EC, br_skey_decoder_get_ec(key));
}

/* Makes the engine ready for a handshake.  Where that fails the engine is
 * closed, as reach() will find. */
static void begin_tls(struct tls *tls, const struct identity *identity) {
  br_ssl_engine_context *engine = &tls->context.eng;

  use_identity(&tls->context, identity);
  br_ssl_engine_set_versions(engine, BR_TLS12, BR_TLS12);
  br_ssl_engine_set_suites(engine, suites, COUNT(suites));
  for (int id = br_md5_ID; id <= br_sha224_ID; id++)
    br_ssl_engine_set_hash(engine, id, NULL);
  br_ssl_engine_add_flags(engine, BR_OPT_NO_RENEGOTIATION);
  br_ssl_engine_set_buffer(engine, tls->records, sizeof tls->records, 1);
  br_ssl_server_set_cache(&tls->context, &tls->cache.calls);
  br_ssl_server_reset(&tls->context);
}

/* Ends the connection, and says why in a line, unless `why` is NULL or the
 * connection has ended before.  Always false, for the caller to return. */
static bool end(struct tls *tls, const char *why, int code) {
  if (why != NULL && !tls->over) fprintf(stderr, "tls: %s (%d)\n", why, code);
  tls->over = true;
  return false;
}

/* Ends a connection that the client has closed, which needs no line between two
 * requests.  Always false. */
static bool end_by_client(struct tls *tls, const char *why, int code) {
  return end(tls, tls->mid_request ? why : NULL, code);
}

/* Ends a connection whose engine is closed, for the engine's own reason.
 * Always false. */
static bool end_by_engine(struct tls *tls) {
  int error = br_ssl_engine_last_error(&tls->context.eng);

  if (error >= BR_ERR_SEND_FATAL_ALERT)
    return end(tls, "sent a fatal alert", error - BR_ERR_SEND_FATAL_ALERT);
  if (error >= BR_ERR_RECV_FATAL_ALERT)
    return end(tls, "received a fatal alert", error - BR_ERR_RECV_FATAL_ALERT);
  if (error != BR_ERR_OK) return end(tls, "error of BearSSL", error);
  return end_by_client(tls, "the client closed amid a request", 0);
}

/* Hands the engine the bytes of one read, which waits for the client, though
 * not for ever.  False: the connection is over. */
static bool receive(struct tls *tls) {
  size_t size;
  unsigned char *room = br_ssl_engine_recvrec_buf(&tls->context.eng, &size);
  struct pollfd fds[2] = {{tls->socket, POLLIN, 0}, {tls->life, 0, 0}};

  if (poll(fds, 2, IDLE_MS) <= 0 || fds[1].revents != 0)
    return end(tls, NULL, 0);
  ssize_t n = recv(tls->socket, room, size, 0);
  if (n < 0) return end_by_client(tls, "the client broke off", errno);
  if (n == 0) return end_by_client(tls, "the client broke off", 0);
  br_ssl_engine_recvrec_ack(&tls->context.eng, (size_t)n);
  return true;
}

/* Sends as much of a record as the socket takes.  False: the connection is
 * over. */
static bool send_record(struct tls *tls) {
  size_t size;
  const void *record = br_ssl_engine_sendrec_buf(&tls->context.eng, &size);
  ssize_t n = send(tls->socket, record, size, MSG_NOSIGNAL);

  if (n <= 0) return end(tls, "the client does not listen", errno);
  br_ssl_engine_sendrec_ack(&tls->context.eng, (size_t)n);
  return true;
}

/*
 * Drives the engine until it is ready for `wanted`, or the connection over:
 *
 *     CLOSED     the end, in good order or not     false
 *     SENDREC    a record is ready                 it goes out before all else
 *     wanted     the caller's turn                 true
 *     RECVREC    nothing else is left to do        one read
 */
static bool reach(struct tls *tls, unsigned wanted) {
  for (;;) {
    unsigned state = br_ssl_engine_current_state(&tls->context.eng);

    if (state & BR_SSL_CLOSED) return end_by_engine(tls);
    if (state & BR_SSL_SENDREC) {
      if (!send_record(tls)) return false;
    } else if (state & wanted) {
      return true;
    } else if (!(state & BR_SSL_RECVREC) || !receive(tls)) {
      return false;
    }
  }
}

/* Reads up to `size` bytes and returns their number, 0 at the end. */
static size_t read_some(struct tls *tls, char *to, size_t size) {
  size_t n;

  if (!reach(tls, BR_SSL_RECVAPP)) return 0;
  const unsigned char *from = br_ssl_engine_recvapp_buf(&tls->context.eng, &n);
  if (n > size) n = size;
  memcpy(to, from, n);
  br_ssl_engine_recvapp_ack(&tls->context.eng, n);
  return n;
}

/* Writes all bytes, unless the connection ends. */
static void write_all(struct tls *tls, const char *from, size_t size) {
  while (size > 0 && reach(tls, BR_SSL_SENDAPP)) {
    size_t n;
    unsigned char *to = br_ssl_engine_sendapp_buf(&tls->context.eng, &n);

    if (n > size) n = size;
    memcpy(to, from, n);
    br_ssl_engine_sendapp_ack(&tls->context.eng, n);
    from += n;
    size -= n;
  }
}

/* Sends what was written; all records are out when there is room again. */
static void flush(struct tls *tls) {
  br_ssl_engine_flush(&tls->context.eng, 0);
  reach(tls, BR_SSL_SENDAPP);
}

/*
 * Sends close_notify and waits for the client's: a socket closed over unread
 * bytes is reset, which may take the reply with it.  The alarm ends a process
 * that waits for too long.
 */
static void end_tls(struct tls *tls) {
  size_t size;

  alarm(LINGER_S);
  if (br_ssl_engine_recvapp_buf(&tls->context.eng, &size) != NULL)
    br_ssl_engine_recvapp_ack(&tls->context.eng, size);
  br_ssl_engine_close(&tls->context.eng);
  reach(tls, 0);
}

/* ---- JSON out, as PHP's json_encode() writes it ----------------------- */

struct json {
  char text[JSON_MAX]; /* without a NUL */
  size_t size;
};

enum { ESCAPED = 6 }; /* the most bytes that one becomes, as in \u001f */

ASSERT(a_message_fits, ESCAPED *MESSAGE_MAX + 100 <= JSON_MAX);
ASSERT(an_instruction_fits, ESCAPED *INSTRUCTION_MAX + 400 <= JSON_MAX);
ASSERT(a_token_fits, ESCAPED *HEAD_MAX + 200 <= JSON_MAX);

static void put(struct json *json, const char *text) {
  size_t size = strlen(text);

  if (size > sizeof json->text - json->size) fail("is too long", "JSON");
  memcpy(json->text + json->size, text, size);
  json->size += size;
}

static void put_string(struct json *json, const char *text) {
  char unit[8];

  put(json, "\"");
  for (; *text != '\0'; text++) {
    bool plain = *text >= ' ' && *text <= '~';

    if (strchr("\"\\/", *text) != NULL) put(json, "\\");
    snprintf(unit, sizeof unit, plain ? "%c" : "\\u%04x", *text & 0xff);
    put(json, unit);
  }
  put(json, "\"");
}

/* ---- The server, a connection, a request ------------------------------ */

/* The first process.  Others have a copy of it, as it was at their start. */
struct server {
  struct options options;
  struct identity identity;
  struct shared shared;
  const char *instructions[QUEUE_MAX]; /* those of the options, all as JSON */
  int answered[2];                     /* a pipe: a byte for each request */
  int life[2];                         /* a pipe: its end is everyone's end */
  int listener;
  long requests_left;          /* until the end; 0 or less: there is none */
  char log_line[HEAD_MAX * 8]; /* of standard output: one write for a line */
};

/* The header fields that mean something here. */
enum field {
  AUTHORIZATION,
  CONTENT_TYPE,
  ACCEPT,
  APP,
  HOST,
  LENGTH,
  CODING,
  CONNECTION,
  EXPECT,
  FIELDS
};

static const struct {
  const char *name;
  bool logged;
} known_fields[FIELDS] = {
    [AUTHORIZATION] = {"authorization", true},
    [CONTENT_TYPE] = {"content-type", true},
    [ACCEPT] = {"accept", true},
    [APP] = {"appidv3", true},
    [HOST] = {"host", false},
    [LENGTH] = {"content-length", false},
    [CODING] = {"transfer-encoding", false},
    [CONNECTION] = {"connection", false},
    [EXPECT] = {"expect", false},
};

struct request {
  char head[HEAD_MAX]; /* its lines, each with NUL in place of CRLF */
  size_t head_size;
  char body[BODY_MAX];
  size_t body_size;
  const char *method;         /* in `head`; "-" before it is known */
  const char *target;         /* in `head`, from its slash on; "-" likewise */
  const char *fields[FIELDS]; /* in `head`; NULL where there is none */
};

/* A client, in the process that serves it. */
struct connection {
  struct server *server;
  struct tls tls;
  bool keep; /* another request may follow */
  struct request request;
  struct json json;       /* the body of the reply */
  char extra_field[128];  /* of the reply: a header line with its CRLF, or "" */
  char scratch[BODY_MAX]; /* room for a string of any JSON that comes up */
};

static bool token_is_right(const struct connection *c) {
  const char *value = c->request.fields[AUTHORIZATION];

  return value != NULL && strncmp(value, "Bearer ", 7) == 0 &&
      strcmp(value + 7, c->server->shared.contents->token) == 0;
}

/* ---- The log and the reply -------------------------------------------- */

#define LOGIN_PATH "/api/v3/auth"

static void log_bytes(const char *text, size_t size) {
  for (size_t i = 0; i < size; i++)
    printf(text[i] >= ' ' && text[i] <= '~' ? "%c" : "\\x%02x", text[i] & 0xff);
}

static void log_text(const char *text) {
  log_bytes(text, strlen(text));
}

/* The Bearer token never goes into the log, be it right or wrong. */
static void log_field(const struct connection *c, enum field field) {
  const char *value = c->request.fields[field];

  if (value == NULL) value = "(missing)";
  else if (field == AUTHORIZATION)
    value = token_is_right(c) ? "Bearer ***" : "(wrong)";
  printf(" | %s: ", known_fields[field].name);
  log_text(value);
}

/* The body of a log-in is a secret. */
static void log_body(const struct request *request) {
  size_t size = request->body_size;

  printf(" | body: ");
  if (size > LOG_BODY_MAX) size = LOG_BODY_MAX;
  if (strncmp(request->target, LOGIN_PATH, strlen(LOGIN_PATH)) == 0)
    printf("***");
  else log_bytes(request->body, size);
  puts(size < request->body_size ? "..." : "");
}

/* Logs the number at the beginning of the status, or "drop". */
static void log_request(const struct connection *c, const char *status) {
  log_text(c->request.method);
  putchar(' ');
  log_text(c->request.target);
  printf(" %.*s", (int)strcspn(status, " "), status);
  if (c->tls.cache.resumed) printf(" resumed");
  for (enum field i = 0; i < FIELDS; i++)
    if (known_fields[i].logged) log_field(c, i);
  log_body(&c->request);
  fflush(stdout);
}

static void send_reply(struct connection *c, const char *status) {
  char head[512], date[40];
  time_t now = time(NULL);
  struct tm utc;

  strftime(
      date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&now, &utc));
  snprintf(head, sizeof head,
      "HTTP/1.1 %s\r\nDate: %s\r\nServer: lucitd\r\n"
      "Content-Type: application/json\r\n%s"
      "Content-Length: %zu\r\nConnection: %s\r\n\r\n",
      status, date, c->extra_field, c->json.size,
      c->keep ? "keep-alive" : "close");
  write_all(&c->tls, head, strlen(head));
  if (strcmp(c->request.method, "HEAD") != 0)
    write_all(&c->tls, c->json.text, c->json.size);
  flush(&c->tls);
}

/* Logs the request and ends the lock on it, then sends the JSON that was put
 * together.  Always true, for the caller to return: there is an answer. */
static bool reply(struct connection *c, const char *status) {
  const struct server *server = c->server;

  lock(&server->shared);
  log_request(c, status);
  unlock(&server->shared);
  send_reply(c, status);
  c->tls.mid_request = false;
  if (write(server->answered[WRITE_END], "", 1) < 0)
    c->tls.over = true; /* nobody counts any more */
  return true;
}

/* Puts the last of the JSON, and replies.  Always true. */
static bool reply_with(
    struct connection *c, const char *status, const char *json) {
  put(&c->json, json);
  return reply(c, status);
}

/* Replies with a message of Laravel's form.  Always true. */
static bool reply_error(
    struct connection *c, const char *status, const char *message) {
  put(&c->json, "{\"message\":");
  put_string(&c->json, message);
  return reply_with(c, status, "}");
}

/* Answers a request whose end is not known, so that none can come behind it.
 * Always false, as the readers below say that there is nothing to answer. */
static bool refuse(
    struct connection *c, const char *status, const char *message) {
  c->keep = false;
  if (!c->tls.over) reply_error(c, status, message);
  return false;
}

/* ---- Reading a request (RFC 9112) ------------------------------------- */

/* What a server on the internet may forgive is refused here, so that a
 * client's slip is seen: a bare LF, a field sent twice, no Host. */

/* Reads up to an LF, to `line`, which lies in the head, and returns the size;
 * 0: it was refused, or all is over. */
static size_t read_to_lf(struct connection *c, char *line) {
  const char *head_end = c->request.head + sizeof c->request.head;
  char *at = line;

  do {
    if (at == head_end) {
      refuse(c, "431 Request Header Fields Too Large", "Too many bytes.");
      return 0;
    }
    if (read_some(&c->tls, at, 1) == 0) return 0;
    c->tls.mid_request = true;
  } while (*at++ != '\n');
  return (size_t)(at - line);
}

/* Reads a line to the head's end, and returns it without its CRLF.  NULL: it
 * was refused, or all is over. */
static char *read_line(struct connection *c) {
  char *line = c->request.head + c->request.head_size;
  size_t size = read_to_lf(c, line);

  if (size == 0) return NULL;
  if (size < 2 || memchr(line, '\r', size) != line + size - 2 ||
      memchr(line, '\0', size) != NULL) {
    refuse(c, "400 Bad Request", "A line is not text that ends in CRLF.");
    return NULL;
  }
  line[size - 2] = '\0';
  c->request.head_size += size;
  return line;
}

/* Reads method, target and version.  From here on a reader's false means that
 * the request was refused, or all is over. */
static bool read_request_line(struct connection *c) {
  char *line = read_line(c), *path, *version = NULL;

  if (line == NULL) return false;
  path = strchr(line, ' ');
  if (path != NULL) version = strchr(path + 1, ' ');
  if (version == NULL || path == line || path[1] != '/')
    return refuse(c, "400 Bad Request", "The request line is malformed.");
  *path++ = '\0';
  *version++ = '\0';
  c->request.method = line;
  c->request.target = path;
  c->keep = strcmp(version, "HTTP/1.1") == 0;
  if (!c->keep && strcmp(version, "HTTP/1.0") != 0)
    return refuse(c, "505 HTTP Version Not Supported", "HTTP/1.1 or 1.0.");
  return true;
}

/* The number of the field of this name, or FIELDS. */
static size_t find_field(const char *name) {
  size_t i = 0;

  while (i < FIELDS && strcasecmp(name, known_fields[i].name) != 0) i++;
  return i;
}

static bool take_field(struct connection *c, char *line) {
  size_t name_size = strcspn(line, ": \t");
  char *value = line + name_size + 1, *last = line + strlen(line);

  if (name_size == 0 || line[name_size] != ':')
    return refuse(c, "400 Bad Request", "A header field is malformed.");
  line[name_size] = '\0';
  value += strspn(value, " \t");
  while (last > value && (last[-1] == ' ' || last[-1] == '\t')) last--;
  *last = '\0';
  size_t i = find_field(line);
  if (i == FIELDS) return true;
  if (c->request.fields[i] != NULL)
    return refuse(c, "400 Bad Request", "A header field was sent twice.");
  c->request.fields[i] = value;
  return true;
}

/* Reads all fields, and the empty line behind them. */
static bool read_fields(struct connection *c) {
  for (;;) {
    char *line = read_line(c);

    if (line == NULL) return false;
    if (*line == '\0') return true;
    if (!take_field(c, line)) return false;
  }
}

/* Parses the size of what the body gets next, up to one of `ends` or NUL. */
static bool take_size(struct connection *c, const char *text, int base,
    const char *ends, size_t *size) {
  static const char digits[] = "0123456789", more[] = "0123456789abcdefABCDEF";
  size_t n = strspn(text, base == 16 ? more : digits);

  *size = strtoul(text, NULL, base);
  if (n == 0 || strchr(ends, text[n]) == NULL)
    return refuse(c, "400 Bad Request", "A size is malformed.");
  if (*size > BODY_MAX - c->request.body_size)
    return refuse(c, "413 Content Too Large", "The body is too large.");
  return true;
}

/* Reads `size` bytes of the body, for which take_size() has found room. */
static bool read_part(struct connection *c, size_t size) {
  struct request *request = &c->request;

  while (size > 0) {
    size_t n = read_some(&c->tls, request->body + request->body_size, size);

    if (n == 0) return false;
    request->body_size += n;
    size -= n;
  }
  return true;
}

/* A chunk is a size line, its bytes and an empty line; *size is 0 for the last,
 * which is a size line alone. */
static bool read_chunk(struct connection *c, size_t *size) {
  const char *line = read_line(c);

  if (line == NULL || !take_size(c, line, 16, "; \t", size)) return false;
  if (*size == 0) return true;
  if (!read_part(c, *size)) return false;
  line = read_line(c);
  if (line == NULL) return false;
  if (*line != '\0')
    return refuse(c, "400 Bad Request", "A chunk is too long.");
  return true;
}

/* Trailers go unread, up to the empty line behind them. */
static bool read_trailers(struct connection *c) {
  const char *line;

  do line = read_line(c);
  while (line != NULL && *line != '\0');
  return line != NULL;
}

/* Each chunk's lines take the place of the last one's, so that there may be any
 * number of chunks. */
static bool read_chunks(struct connection *c) {
  size_t size, start = c->request.head_size;

  do {
    c->request.head_size = start;
    if (!read_chunk(c, &size)) return false;
  } while (size > 0);
  return read_trailers(c);
}

static bool read_body(struct connection *c) {
  static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
  const char *length = c->request.fields[LENGTH];
  const char *coding = c->request.fields[CODING];
  const char *expect = c->request.fields[EXPECT];
  size_t size = 0;

  if (length != NULL && coding != NULL)
    return refuse(c, "400 Bad Request", "A length, and chunked as well.");
  if (coding != NULL && strcasecmp(coding, "chunked") != 0)
    return refuse(c, "501 Not Implemented", "Unknown transfer coding.");
  if (length != NULL && !take_size(c, length, 10, "", &size)) return false;
  if (expect != NULL && strcasecmp(expect, "100-continue") == 0) {
    write_all(&c->tls, go_on, strlen(go_on));
    flush(&c->tls);
  }
  return coding != NULL ? read_chunks(c) : read_part(c, size);
}

static void forget_request(struct connection *c) {
  c->request.head_size = 0;
  c->request.body_size = 0;
  c->request.method = "-";
  c->request.target = "-";
  memset(c->request.fields, 0, sizeof c->request.fields);
  c->json.size = 0;
  c->extra_field[0] = '\0';
  c->tls.mid_request = false;
}

/* Returns whether there is a request to answer. */
static bool read_request(struct connection *c) {
  const char *const *fields = c->request.fields;

  forget_request(c);
  if (!read_request_line(c) || !read_fields(c)) return false;
  if (c->keep && fields[HOST] == NULL) /* only HTTP/1.0 may be without */
    return refuse(c, "400 Bad Request", "The Host field is missing.");
  if (fields[CONNECTION] != NULL)
    c->keep = strcasecmp(fields[CONNECTION], "keep-alive") == 0;
  return read_body(c);
}

/* ---- JSON in ---------------------------------------------------------- */

/* A text as JSON; what is none has no value, as a body has none for Laravel. */
static hbeat_json parsed(const char *text, size_t size) {
  hbeat_json value, none = {HBEAT_JSON_NONE, NULL, 0};

  return hbeat_json_parse(text, size, &value) == HBEAT_OK ? value : none;
}

/* The member of this name, or no value.  As in PHP the last one counts. */
static hbeat_json member(hbeat_json object, const char *wanted) {
  hbeat_json name, value, found = {HBEAT_JSON_NONE, NULL, 0};
  char text[32]; /* "" for a name that is longer than any wanted one */

  while (hbeat_json_next(&object, &name, &value)) {
    hbeat_json_string(&name, text, sizeof text);
    if (strcmp(text, wanted) == 0) found = value;
  }
  return found;
}

ASSERT(any_string_fits, JSON_MAX <= BODY_MAX); /* into connection.scratch */

/* Returns whether a string's text is these bytes. */
static bool string_is(
    struct connection *c, hbeat_json string, const char *wanted, size_t size) {
  size_t found = hbeat_json_string(&string, c->scratch, sizeof c->scratch);

  if (found != size || found >= sizeof c->scratch) return false;
  return memcmp(c->scratch, wanted, size) == 0;
}

/* ---- What the calls have in common ------------------------------------ */

static bool is_json(const char *value) {
  return value != NULL && strncasecmp(value, "application/json", 16) == 0 &&
      strchr(";, ", value[16]) != NULL;
}

/* The reference demands all four headers, but does not say what happens
 * without.  For Accept and Content-Type HTTP has a status each.  A log-in has
 * no token yet, nor a device, which Laravel looks up before the body.  True:
 * something is wrong with the head, and there is an answer. */
static bool stopped_by_head(struct connection *c, const char *lcuid) {
  const struct options *options = &c->server->options;
  const char *const *fields = c->request.fields;
  const char *app = fields[APP] != NULL ? fields[APP] : "";
  size_t size = strlen(options->device);

  if (lcuid != NULL && !token_is_right(c))
    return reply_error(c, "401 Unauthorized", "Unauthenticated.");
  if (strcmp(app, options->app) != 0) /* the API's own check, and own form */
    return reply_with(c, "403 Forbidden",
        "{\"ok\":false,\"message\":\"The app is not known.\","
        "\"code\":\"unknown_app\"}");
  if (!is_json(fields[ACCEPT]))
    return reply_error(c, "406 Not Acceptable", "There is only JSON.");
  if (!is_json(fields[CONTENT_TYPE]))
    return reply_error(
        c, "415 Unsupported Media Type", "The body must be JSON.");
  if (lcuid == NULL) return false;
  if (strncmp(lcuid, options->device, size) != 0 || lcuid[size] != '/')
    return reply_error(c, "404 Not Found", "No query results for this device.");
  return false;
}

/* The validator's answer: the message, and once more under the field's name, in
 * which the message has spaces for underscores unless it is an element. */
static bool reply_invalid(
    struct connection *c, const char *field, const char *complaint) {
  bool is_element = strchr(field, '.') != NULL;
  char message[128];

  snprintf(message, sizeof message, "The %s field %s.", field, complaint);
  for (char *at = message; *at != '\0' && !is_element; at++)
    if (*at == '_') *at = ' ';
  put(&c->json, "{\"message\":");
  put_string(&c->json, message);
  put(&c->json, ",\"errors\":{");
  put_string(&c->json, field);
  put(&c->json, ":[");
  put_string(&c->json, message);
  return reply_with(c, "422 Unprocessable Content", "]}}");
}

/* Demands a string; to Laravel "" is nothing.  True: it is missing or no
 * string, and there is an answer. */
static bool stopped_by_string(
    struct connection *c, hbeat_json input, const char *field) {
  hbeat_json value = member(input, field);
  bool is_string = value.type == HBEAT_JSON_STRING;
  bool is_empty = is_string && value.size == strlen("\"\"");

  if (value.type <= HBEAT_JSON_NULL || is_empty)
    return reply_invalid(c, field, "is required");
  return !is_string && reply_invalid(c, field, "must be a string");
}

/* ---- Instructions ----------------------------------------------------- */

/* The JSON of the n-th instruction, which was given as a mere name.  The lcuid
 * is unlike any of an earlier run, for a player takes each one only once. */
static const char *complete_instruction(const char *name, int n) {
  char now[40], rest[256];
  time_t t = time(NULL);
  struct tm utc;
  struct json *json = calloc(1, sizeof *json);

  if (json == NULL) fail(strerror(errno), "--instruction");
  strftime(now, sizeof now, "%Y-%m-%dT%H:%M:%S.000000Z", gmtime_r(&t, &utc));
  snprintf(rest, sizeof rest,
      ",\"parameters\":[],\"run_at\":null,\"status\":1,"
      "\"lcuid\":\"LCUID-LDRI-%08x-%04x-4000-8000-%012x\","
      "\"created_at\":\"%s\",\"updated_at\":\"%s\"}",
      (unsigned)t, (unsigned)getpid() & 0xffff, (unsigned)n, now, now);
  put(json, "{\"instruction\":");
  put_string(json, name);
  put(json, rest);
  const char *text = strndup(json->text, json->size);
  if (text == NULL) fail(strerror(errno), "--instruction");
  free(json);
  return text;
}

static void complete_instructions(struct server *server) {
  for (int i = 0; i < server->options.instruction_count; i++) {
    const char *text = server->options.instructions[i];

    if (*text != '{') text = complete_instruction(text, i);
    server->instructions[i] = text;
  }
}

static bool is_to_be_handed_out(const struct server *server, int i) {
  switch (server->shared.contents->progress[i]) {
  case WAITING: return true;
  case HANDED_OUT: return *server->options.again != '\0';
  case REPORTED: break;
  }
  return false;
}

/* Puts the first instruction that is still to be handed out, or null; with
 * --again the next of the first few, by turns. */
static void put_instruction(struct connection *c) {
  const struct server *server = c->server;
  struct shared_contents *contents = server->shared.contents;
  int ready[TURNS_MAX], n = 0;
  int most = *server->options.again != '\0' ? TURNS_MAX : 1;

  for (int i = 0; i < server->options.instruction_count && n < most; i++)
    if (is_to_be_handed_out(server, i)) ready[n++] = i;
  if (n == 0) {
    put(&c->json, "null");
    return;
  }
  int next = ready[contents->turn++ % (unsigned)n];
  contents->progress[next] = HANDED_OUT;
  put(&c->json, server->instructions[next]);
}

/* Notes that the instructions of this lcuid were reported, and returns whether
 * there is one that had been handed out. */
static bool take_report(struct connection *c, const char *lcuid, size_t size) {
  const struct server *server = c->server;
  enum progress *progress = server->shared.contents->progress;
  bool found = false;

  for (int i = 0; i < server->options.instruction_count; i++) {
    const char *text = server->instructions[i];
    hbeat_json own = member(parsed(text, strlen(text)), "lcuid");

    if (progress[i] == WAITING || !string_is(c, own, lcuid, size)) continue;
    progress[i] = REPORTED;
    found = true;
  }
  return found;
}

/* ---- The calls -------------------------------------------------------- */

/* An answer_...() is always true: there is an answer.  It gets the target from
 * the first star of its route on, which is the device's lcuid and more. */

/* Checks the facts about the device, if there are any.  True: one is no string,
 * and there is an answer. */
static bool stopped_by_info(struct connection *c, hbeat_json input) {
  hbeat_json item, info = member(input, "device_info");
  char field[40];

  if (info.type != HBEAT_JSON_NONE && info.type != HBEAT_JSON_ARRAY)
    return reply_invalid(c, "device_info", "must be an array");
  for (size_t i = 0; hbeat_json_next(&info, NULL, &item); i++) {
    if (item.type == HBEAT_JSON_STRING) continue;
    snprintf(field, sizeof field, "device_info.%zu", i);
    return reply_invalid(c, field, "must be a string");
  }
  return false;
}

static bool answer_heartbeat(struct connection *c, const char *lcuid) {
  hbeat_json input = parsed(c->request.body, c->request.body_size);

  if (stopped_by_head(c, lcuid)) return true;
  if (stopped_by_string(c, input, "lightning_version")) return true;
  if (stopped_by_info(c, input)) return true;
  put(&c->json, "{\"success\":true,\"lightning_device_remote_instruction\":");
  put_instruction(c);
  return reply_with(c, "200 OK", "}");
}

/* Answers a report of either kind.  A report that is sent again is taken again,
 * as its sender may have missed the answer.  Every field is optional, but a
 * body that is no object is a client's slip. */
static bool answer_report(struct connection *c, const char *lcuid) {
  const char *of = strchr(lcuid, '/') + strlen("/instructions/");
  hbeat_json input = parsed(c->request.body, c->request.body_size);
  hbeat_json data = member(input, "response_data");
  hbeat_json message = member(input, "message");

  if (stopped_by_head(c, lcuid)) return true;
  if (input.type != HBEAT_JSON_OBJECT)
    return reply_invalid(c, "body", "must be an object");
  if (data.type > HBEAT_JSON_NULL && data.type != HBEAT_JSON_OBJECT)
    return reply_invalid(c, "response_data", "must be an object");
  if (message.type > HBEAT_JSON_NULL && message.type != HBEAT_JSON_STRING)
    return reply_invalid(c, "message", "must be a string");
  if (!take_report(c, of, strcspn(of, "/")))
    return reply_error(
        c, "404 Not Found", "No query results for this instruction.");
  return reply_with(c, "200 OK", "{\"success\":true}");
}

/* Returns whether token and secret are those of --auth. */
static bool may_log_in(struct connection *c, hbeat_json input) {
  const char *auth = c->server->options.auth;
  size_t size = strcspn(auth, ":");
  const char *secret = auth + size + 1;

  if (auth[size] == '\0') return false;
  return string_is(c, member(input, "token"), auth, size) &&
      string_is(c, member(input, "secret"), secret, strlen(secret));
}

/* Answers a log-in with the token of --auth-token, which is read anew, and the
 * only one that counts from then on. */
static bool answer_login(struct connection *c, const char *unused) {
  hbeat_json input = parsed(c->request.body, c->request.body_size);

  (void)unused;
  if (stopped_by_head(c, NULL)) return true;
  if (stopped_by_string(c, input, "token")) return true;
  if (stopped_by_string(c, input, "secret")) return true;
  if (!may_log_in(c, input))
    return reply_with(c, "401 Unauthorized",
        "{\"ok\":false,\"message\":\"Token or secret is wrong.\","
        "\"code\":\"wrong_credentials\"}");
  load_token(&c->server->shared, c->server->options.auth_token);
  put(&c->json, "{\"ok\":true,\"token\":");
  put_string(&c->json, c->server->shared.contents->token);
  return reply_with(c, "200 OK",
      ",\"user_lcuid\":\"LCUID-LU-8d1f3c52-6a0e-4b7d-9c41-2e5f7a90b3d6\"}");
}

/* ---- Routes, and failing on demand ------------------------------------ */

/* All calls of the API are POST.  A star stands for one segment. */
static const struct route {
  const char *pattern;
  bool (*answer)(struct connection *c, const char *lcuid);
} routes[] = {
    {"/api/v3/analytics/lightning-devices/*/heartbeat", answer_heartbeat},
    {"/api/v3/lightning/devices/*/instructions/*/acknowledge", answer_report},
    {"/api/v3/lightning/devices/*/instructions/*/failed", answer_report},
    {LOGIN_PATH, answer_login},
};

static bool matches(const char *target, const char *pattern) {
  for (; *pattern != '\0'; pattern++) {
    if (*pattern == '*' && *target != '/') target += strcspn(target, "/?");
    else if (*target++ != *pattern) return false;
  }
  return *target == '\0' || *target == '?';
}

/* The route of a target, or NULL. */
static const struct route *find_route(const char *target) {
  for (size_t i = 0; i < COUNT(routes); i++)
    if (matches(target, routes[i].pattern)) return &routes[i];
  return NULL;
}

/* Answers as --fail-file demands, if the file is there, and for this request.
 * False: it demands nothing. */
static bool failed_on_demand(struct connection *c) {
  char word[32] = "", wait[96] = "-", part[512] = "", status[48];
  FILE *file = fopen(c->server->options.fail_file, "r");

  if (file == NULL) return false;
  int words = fscanf(file, "%31s %95s %511s", word, wait, part);
  fclose(file);
  if (words < 1 || strstr(c->request.target, part) == NULL) return false;
  if (strcmp(word, "drop") == 0) {
    log_request(c, word);
    exit(0); /* as if the server had crashed: without a close_notify */
  }
  if (strcmp(wait, "-") != 0)
    snprintf(
        c->extra_field, sizeof c->extra_field, "Retry-After: %s\r\n", wait);
  snprintf(status, sizeof status, "%s On Demand", word);
  return reply_error(c, status, "This was demanded.");
}

/* Answers the request.  The lock is held from here until the reply. */
static void route(struct connection *c) {
  char message[MESSAGE_MAX];
  const char *target = c->request.target, *method = c->request.method;
  int path_size = (int)strcspn(target + 1, "?");
  const struct route *found = find_route(target);

  lock(&c->server->shared);
  if (failed_on_demand(c)) return;
  if (found == NULL) {
    snprintf(message, sizeof message, "The route %.*s could not be found.",
        path_size, target + 1);
    reply_error(c, "404 Not Found", message);
  } else if (strcmp(method, "POST") != 0) {
    snprintf(message, sizeof message,
        "The %s method is not supported for route %.*s. "
        "Supported methods: POST.",
        method, path_size, target + 1);
    strcpy(c->extra_field, "Allow: POST\r\n");
    reply_error(c, "405 Method Not Allowed", message);
  } else {
    found->answer(c, target + strcspn(found->pattern, "*"));
  }
}

/* ---- Processes -------------------------------------------------------- */

static volatile sig_atomic_t ending;

static void on_signal(int number) {
  (void)number;
  ending = 1;
}

static void serve_connection(struct connection *c) {
  struct timeval patience = {LINGER_S, 0}; /* or lucitd might never end */
  int on = 1;

  setsockopt(c->tls.socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  setsockopt(
      c->tls.socket, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  begin_tls(&c->tls, &c->server->identity);
  c->tls.mid_request = true;
  c->keep = true;
  reach(&c->tls, BR_SSL_SENDAPP);
  while (!c->tls.over && c->keep)
    if (read_request(c)) route(c);
  end_tls(&c->tls);
}

/* All that a process of a connection does. */
static void run_connection(struct server *server, int socket_of_client) {
  struct connection *c = calloc(1, sizeof *c);

  if (c == NULL) fail(strerror(errno), "connection");
  close(server->listener);
  close(server->life[WRITE_END]);
  c->server = server;
  c->tls.socket = socket_of_client;
  c->tls.life = server->life[READ_END];
  c->tls.cache.calls = &session_calls;
  c->tls.cache.shared = &server->shared;
  serve_connection(c);
  exit(0);
}

static void accept_connection(struct server *server) {
  int accepted = accept(server->listener, NULL, NULL);

  if (accepted < 0) return;
  if (fork() == 0) run_connection(server, accepted);
  close(accepted);
}

/* Opens the listening socket on loopback, and prints its port. */
static int listen_on(const char *port) {
  struct sockaddr_in address = {.sin_family = AF_INET};
  struct sockaddr *a = (struct sockaddr *)&address;
  socklen_t size = sizeof address;
  int on = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
  unsigned long number = strtoul(port, NULL, 10);

  if (port[strspn(port, "0123456789")] != '\0' || number > 65535)
    fail("is no port", port);
  address.sin_port = htons((uint16_t)number);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (fd < 0 || bind(fd, a, size) != 0 || listen(fd, 64) != 0 ||
      getsockname(fd, a, &size) != 0)
    fail(strerror(errno), port);
  printf("listening on 127.0.0.1:%d\n", ntohs(address.sin_port));
  fflush(stdout);
  return fd;
}

/* Counts one request that was answered, and returns whether it was the last of
 * --count. */
static bool count_request(struct server *server) {
  char byte;

  if (read(server->answered[READ_END], &byte, 1) != 1) return false;
  server->requests_left--;
  return server->requests_left == 0;
}

/* What the first process does, until a signal ends it, or --count is reached.
 * The wait ends once a second, for a signal that came just before it. */
static void serve(struct server *server) {
  struct pollfd fds[2] = {
      {server->listener, POLLIN, 0}, {server->answered[READ_END], POLLIN, 0}};

  while (!ending) {
    if (poll(fds, COUNT(fds), 1000) <= 0) continue;
    if (fds[1].revents != 0 && count_request(server)) break;
    if (fds[0].revents != 0) accept_connection(server);
  }
  close(server->listener);
  close(server->life[WRITE_END]);
  while (wait(NULL) > 0)
    ;
}

/* Sets the signals' actions.  With SIGCHLD ignored the kernel reaps the
 * processes of connections. */
static void set_signals(void) {
  struct sigaction quit = {.sa_handler = on_signal};
  struct sigaction ignore = {.sa_handler = SIG_IGN};

  sigaction(SIGTERM, &quit, NULL);
  sigaction(SIGINT, &quit, NULL);
  sigaction(SIGPIPE, &ignore, NULL);
  sigaction(SIGCHLD, &ignore, NULL);
}

int main(int argc, char **argv) {
  static struct server server;

  read_options(&server.options, argc, argv);
  load_identity(&server.identity, &server.options);
  begin_shared(&server.shared);
  load_token(&server.shared, server.options.token_file);
  complete_instructions(&server);
  if (pipe(server.answered) != 0 || pipe(server.life) != 0)
    fail(strerror(errno), "pipe");
  setvbuf(stdout, server.log_line, _IOFBF, sizeof server.log_line);
  set_signals();
  server.listener = listen_on(server.options.port);
  server.requests_left = strtol(server.options.count, NULL, 10);
  serve(&server);
  return 0;
}
