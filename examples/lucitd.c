/*
 * lucitd - a stand-in for the Lucit API on loopback, for tests and the demo.
 *
 * It listens on 127.0.0.1 alone, speaks TLS 1.2 by BearSSL's server engine,
 * takes heartbeats, reports and log-ins, checked as the API's reference demands,
 * hands out a queue of instructions from its command line, fails on demand, and
 * prints a line for every request:
 *
 *     POST /path 200 | authorization: Bearer *** | content-type: ... |
 *     accept: ... | appidv3: ... | body: {...}
 *
 * in which the status is followed by "resumed" where the connection began with
 * a TLS session of an earlier one (by session ID; there are no tickets), and is
 * "drop" where it was to be closed without an answer.
 *
 * Each connection has a process of its own, so that the code from TLS up to
 * serve_client() is about one client, and may wait.  Two pipes tie it to the
 * first process: `done` takes a byte for every request answered, and `life` is
 * held open by the first process alone: its end is everyone's end.  What one
 * connection leaves for others is in `common`, which is memory of them all.
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
#define BODY_MAX ((size_t)2 << 20)
#define JSON_MAX ((size_t)256 << 10) /* twice what one argument can be */
#define PEM_MAX ((size_t)64 << 10)
#define CHAIN_MAX 8
#define QUEUE_MAX 1000
#define TURNS_MAX 8 /* are handed out by turns: a player remembers a few */
#define SESSIONS_MAX 1000 /* then the oldest is forgotten */
#define LOG_BODY_MAX 4096

/* ---- What the command line says --------------------------------------- */

static const char *port = "0", *count = "0", *cert_file, *key_file;
static const char *device, *app, *token_file;
static const char *again = "", *auth = "", *auth_token = "", *fail_file = "";
static const char *instructions[QUEUE_MAX];
static int instruction_count;
static int done[2], life[2];

static void fail(const char *what, const char *which) {
  fprintf(stderr, "lucitd: %s: %s\n", which, what);
  exit(2);
}

/* ---- PEM files -------------------------------------------------------- */

static br_x509_certificate chain[CHAIN_MAX];
static size_t chain_size;
static br_skey_decoder_context key;
static unsigned char der[PEM_MAX]; /* the chain stays in here */
static size_t der_size;

/* All of a file, NUL-terminated; `text` has room for two bytes more. */
static size_t read_file(const char *path, char *text, size_t capacity) {
  FILE *f = fopen(path, "rb");
  if (f == NULL) fail(strerror(errno), path);
  size_t size = fread(text, 1, capacity, f);
  if (ferror(f) || size > capacity - 2)
    fail("cannot be read, or is too long", path);
  text[size] = '\0';
  fclose(f);
  return size;
}

static void append_der(void *unused, const void *bytes, size_t size) {
  (void)unused;
  if (size > sizeof der - der_size) fail("is too long, in all", "PEM");
  memcpy(der + der_size, bytes, size);
  der_size += size;
}

/* Takes certificates and a key, whichever it holds. */
static void load_pem(const char *path) {
  static char text[PEM_MAX];
  br_pem_decoder_context pem;
  size_t at = 0, start = 0, size = read_file(path, text, sizeof text);

  text[size++] = '\n'; /* without it the last END line would never end */
  br_pem_decoder_init(&pem);
  br_pem_decoder_setdest(&pem, append_der, NULL);
  while (at < size) {
    at += br_pem_decoder_push(&pem, text + at, size - at);
    int event = br_pem_decoder_event(&pem);
    const char *name = br_pem_decoder_name(&pem);
    if (event == BR_PEM_ERROR) {
      fail("is not valid PEM", path);
    } else if (event == BR_PEM_BEGIN_OBJ) {
      start = der_size;
    } else if (event == BR_PEM_END_OBJ && strstr(name, "PRIVATE KEY")) {
      br_skey_decoder_init(&key);
      br_skey_decoder_push(&key, der + start, der_size - start);
    } else if (event == BR_PEM_END_OBJ && chain_size < CHAIN_MAX &&
        strcmp(name, "CERTIFICATE") == 0) {
      chain[chain_size].data = der + start;
      chain[chain_size++].data_len = der_size - start;
    }
  }
}

/* ---- What is common to all processes ---------------------------------- */

enum { WAITING, HANDED_OUT, REPORTED };

/* Mapped from a file, by whose lock one process at a time works on it. */
static FILE *common_file;
struct common {
  char token[HEAD_MAX];     /* the one that counts */
  char progress[QUEUE_MAX]; /* of each instruction */
  unsigned turn;            /* of those that are handed out again */
  br_ssl_session_parameters sessions[SESSIONS_MAX];
  size_t session_count; /* that were ever made */
};
static struct common *common;

static void set_lock(short to) {
  struct flock whole = {.l_type = to, .l_whence = SEEK_SET};
  while (fcntl(fileno(common_file), F_SETLKW, &whole) != 0)
    if (errno != EINTR) fail(strerror(errno), "lock");
}

static void load_token(const char *path) {
  read_file(path, common->token, sizeof common->token);
  common->token[strcspn(common->token, "\r\n")] = '\0';
}

static void begin_common(void) {
  if ((common_file = tmpfile()) == NULL ||
      ftruncate(fileno(common_file), sizeof *common) != 0)
    fail(strerror(errno), "tmpfile");
  common = mmap(NULL, sizeof *common, PROT_READ | PROT_WRITE, MAP_SHARED,
      fileno(common_file), 0);
  if (common == MAP_FAILED) fail(strerror(errno), "mmap");
  load_token(token_file);
}

/* ---- TLS sessions ----------------------------------------------------- */

/* Whoever asks for one has seen the end of the handshake that saved it. */
static bool resumed; /* this connection began with one of them */

static void save_session(const br_ssl_session_cache_class **cache,
    br_ssl_server_context *server, const br_ssl_session_parameters *session) {
  (void)cache, (void)server;
  resumed = false;
  set_lock(F_WRLCK);
  common->sessions[common->session_count++ % SESSIONS_MAX] = *session;
  set_lock(F_UNLCK);
}

static int load_session(const br_ssl_session_cache_class **cache,
    br_ssl_server_context *server, br_ssl_session_parameters *wanted) {
  (void)cache, (void)server;
  for (size_t i = 0; i < SESSIONS_MAX && i < common->session_count; i++) {
    const br_ssl_session_parameters *found = &common->sessions[i];
    if (memcmp(found->session_id, wanted->session_id, 32) != 0) continue;
    *wanted = *found;
    return resumed = true;
  }
  return false;
}

static const br_ssl_session_cache_class session_class = {
    sizeof(br_ssl_session_cache_class *), save_session, load_session};
static const br_ssl_session_cache_class *session_cache = &session_class;

/* ---- TLS -------------------------------------------------------------- */

static int client; /* the socket */
static br_ssl_server_context tls;
static unsigned char records[BR_SSL_BUFSIZE_BIDI];
static bool over, amid; /* no more bytes will come; a request was begun */

/* The library's own profile: forward secrecy and AEAD, no TLS but 1.2. */
static const uint16_t suites[] = {BR_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    BR_TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    BR_TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    BR_TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
    BR_TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    BR_TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384};

static void begin_tls(void) {
  br_ssl_engine_context *e = &tls.eng;

  if (br_skey_decoder_key_type(&key) == BR_KEYTYPE_RSA)
    br_ssl_server_init_full_rsa(
        &tls, chain, chain_size, br_skey_decoder_get_rsa(&key));
  else /* the issuer's key matters only to suites that are not in the list */
    br_ssl_server_init_full_ec(
        &tls, chain, chain_size, BR_KEYTYPE_EC, br_skey_decoder_get_ec(&key));
  br_ssl_engine_set_versions(e, BR_TLS12, BR_TLS12);
  br_ssl_engine_set_suites(e, suites, sizeof suites / sizeof *suites);
  for (int id = br_md5_ID; id <= br_sha224_ID; id++)
    br_ssl_engine_set_hash(e, id, NULL);
  br_ssl_engine_add_flags(e, BR_OPT_NO_RENEGOTIATION);
  br_ssl_engine_set_buffer(e, records, sizeof records, 1);
  br_ssl_server_set_cache(&tls, &session_cache);
  br_ssl_server_reset(&tls); /* if it fails, the engine is closed */
}

/* The connection has ended.  Always false, for the caller to return. */
static bool end(const char *why, int code) {
  if (why != NULL && !over) fprintf(stderr, "tls: %s (%d)\n", why, code);
  over = true;
  return false;
}

static bool end_of_engine(void) {
  int error = br_ssl_engine_last_error(&tls.eng);
  if (error >= BR_ERR_SEND_FATAL_ALERT)
    return end("sent a fatal alert", error - BR_ERR_SEND_FATAL_ALERT);
  if (error >= BR_ERR_RECV_FATAL_ALERT)
    return end("received a fatal alert", error - BR_ERR_RECV_FATAL_ALERT);
  if (error != BR_ERR_OK) return end("error of BearSSL", error);
  return end(amid ? "the client closed amid a request" : NULL, 0);
}

/* One read, which waits for the client, though not for ever. */
static bool receive(void) {
  size_t size;
  unsigned char *room = br_ssl_engine_recvrec_buf(&tls.eng, &size);
  struct pollfd fds[2] = {{client, POLLIN, 0}, {life[0], 0, 0}};

  if (poll(fds, 2, IDLE_MS) <= 0 || fds[1].revents != 0) return end(NULL, 0);
  ssize_t n = recv(client, room, size, 0);
  if (n <= 0)
    return end(amid ? "the client broke off" : NULL, n < 0 ? errno : 0);
  br_ssl_engine_recvrec_ack(&tls.eng, (size_t)n);
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
static bool reach(unsigned wanted) {
  for (;;) {
    unsigned state = br_ssl_engine_current_state(&tls.eng);
    if (state & BR_SSL_CLOSED) return end_of_engine();
    if (state & BR_SSL_SENDREC) {
      size_t size;
      void *record = br_ssl_engine_sendrec_buf(&tls.eng, &size);
      ssize_t n = send(client, record, size, MSG_NOSIGNAL);
      if (n <= 0) return end("the client does not listen", errno);
      br_ssl_engine_sendrec_ack(&tls.eng, (size_t)n);
    } else if (state & wanted) {
      return true;
    } else if (!(state & BR_SSL_RECVREC) || !receive()) {
      return false;
    }
  }
}

/* Reads up to `size` bytes and returns their number, 0 at the end. */
static size_t read_some(char *to, size_t size) {
  size_t n;
  if (!reach(BR_SSL_RECVAPP)) return 0;
  unsigned char *from = br_ssl_engine_recvapp_buf(&tls.eng, &n);
  if (n > size) n = size;
  memcpy(to, from, n);
  br_ssl_engine_recvapp_ack(&tls.eng, n);
  return n;
}

static void write_all(const char *from, size_t size) {
  while (size > 0 && reach(BR_SSL_SENDAPP)) {
    size_t n;
    unsigned char *to = br_ssl_engine_sendapp_buf(&tls.eng, &n);
    if (n > size) n = size;
    memcpy(to, from, n);
    br_ssl_engine_sendapp_ack(&tls.eng, n);
    from += n;
    size -= n;
  }
}

/* Sends what was written; all records are out when there is room again. */
static void flush(void) {
  br_ssl_engine_flush(&tls.eng, 0);
  reach(BR_SSL_SENDAPP);
}

/*
 * Sends close_notify and waits for the client's: a socket closed over unread
 * bytes is reset, which may take the reply with it.
 */
static void end_tls(void) {
  size_t size;
  alarm(LINGER_S); /* which ends this process */
  if (br_ssl_engine_recvapp_buf(&tls.eng, &size) != NULL)
    br_ssl_engine_recvapp_ack(&tls.eng, size);
  br_ssl_engine_close(&tls.eng);
  reach(0);
}

/* ---- JSON out, as PHP's json_encode() writes it ----------------------- */

static char json[JSON_MAX]; /* what goes in is bounded: HEAD_MAX, options */
static size_t json_size;

static void put(const char *text) {
  size_t size = strlen(text);
  memcpy(json + json_size, text, size);
  json_size += size;
}

static void put_string(const char *text) {
  char unit[8];

  put("\"");
  for (; *text != '\0'; text++) {
    bool plain = *text >= ' ' && *text <= '~';
    if (strchr("\"\\/", *text) != NULL) put("\\");
    snprintf(unit, sizeof unit, plain ? "%c" : "\\u%04x", *text & 0xff);
    put(unit);
  }
  put("\"");
}

/* ---- The request, the log, the reply ---------------------------------- */

/* The fields that mean something here.  The log prints the first four. */
enum { AUTHORIZATION, CONTENT_TYPE, ACCEPT, APP };
enum { HOST = APP + 1, LENGTH, CODING, CONNECTION, EXPECT, FIELDS };
#define LOGIN_PATH "/api/v3/auth"
static const char *const names[FIELDS] = {"authorization", "content-type",
    "accept", "appidv3", "host", "content-length", "transfer-encoding",
    "connection", "expect"};

static char head[HEAD_MAX], body[BODY_MAX];
static size_t head_size, body_size;
static const char *method, *target; /* in `head`; "-" before they are known */
static const char *fields[FIELDS];  /* in `head`; NULL where there is none */
static bool keep;
static char more[128]; /* for the reply: a header line, or "" */

static bool token_is_right(void) {
  const char *value = fields[AUTHORIZATION];
  return value != NULL && strncmp(value, "Bearer ", 7) == 0 &&
      strcmp(value + 7, common->token) == 0;
}

static void log_bytes(const char *text, size_t size) {
  for (size_t i = 0; i < size; i++)
    printf(text[i] >= ' ' && text[i] <= '~' ? "%c" : "\\x%02x", text[i] & 0xff);
}

/* A token or secret never goes into the log, be it right or wrong. */
static void log_request(const char *status) {
  log_bytes(method, strlen(method));
  putchar(' ');
  log_bytes(target, strlen(target));
  printf(
      " %.*s%s", (int)strcspn(status, " "), status, resumed ? " resumed" : "");
  for (size_t i = AUTHORIZATION; i <= APP; i++) {
    const char *value = fields[i] != NULL ? fields[i] : "(missing)";
    if (i == AUTHORIZATION && fields[i] != NULL)
      value = token_is_right() ? "Bearer ***" : "(wrong)";
    printf(" | %s: ", names[i]);
    log_bytes(value, strlen(value));
  }
  printf(" | body: ");
  if (strncmp(target, LOGIN_PATH, strlen(LOGIN_PATH)) == 0) printf("***");
  else log_bytes(body, body_size < LOG_BODY_MAX ? body_size : LOG_BODY_MAX);
  puts(body_size > LOG_BODY_MAX ? "..." : "");
  fflush(stdout);
}

/* Sends `json`, and ends the lock on the request and its line in the log.  Always
 * true, for the caller to return: there is an answer. */
static bool reply(const char *status) {
  char text[512], date[40];
  time_t now = time(NULL);
  struct tm utc;

  set_lock(F_WRLCK);
  log_request(status);
  set_lock(F_UNLCK);
  strftime(
      date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&now, &utc));
  int n = snprintf(text, sizeof text,
      "HTTP/1.1 %s\r\nDate: %s\r\nServer: lucitd\r\n"
      "Content-Type: application/json\r\n%s"
      "Content-Length: %zu\r\nConnection: %s\r\n\r\n",
      status, date, more, json_size, keep ? "keep-alive" : "close");
  write_all(text, (size_t)n);
  if (strcmp(method, "HEAD") != 0) write_all(json, json_size);
  flush();
  amid = false;
  if (write(done[1], "", 1) < 0) over = true; /* nobody counts any more */
  return true;
}

static bool reply_with(const char *status, const char *text) {
  put(text);
  return reply(status);
}

static bool reply_error(const char *status, const char *message) {
  put("{\"message\":");
  put_string(message);
  return reply_with(status, "}");
}

/* Where the request ends is not known, so nothing can come behind it.  Always
 * false, as the readers below say that there is nothing to answer. */
static bool refuse(const char *status, const char *message) {
  keep = false;
  if (!over) reply_error(status, message);
  return false;
}

/* ---- Reading a request (RFC 9112) ------------------------------------- */

/* What a server on the internet may forgive is refused here, so that a
 * client's slip is seen: a bare LF, a field sent twice, no Host. */

/* A line without its CRLF, in `head`.  NULL: it was refused, or all is over. */
static char *read_line(void) {
  char *line = head + head_size, *at = line;

  do {
    if (at == head + sizeof head) {
      refuse("431 Request Header Fields Too Large", "Too many bytes.");
      return NULL;
    }
    if (read_some(at, 1) == 0) return NULL;
    amid = true;
  } while (*at++ != '\n');
  size_t size = (size_t)(at - line);
  if (size < 2 || memchr(line, '\r', size) != at - 2 ||
      memchr(line, '\0', size) != NULL) {
    refuse("400 Bad Request", "A line is not text that ends in CRLF.");
    return NULL;
  }
  at[-2] = '\0';
  head_size += size;
  return line;
}

static bool read_request_line(void) {
  char *line = read_line(), *path, *version;

  if (line == NULL) return false;
  path = strchr(line, ' ');
  version = path != NULL ? strchr(path + 1, ' ') : NULL;
  if (version == NULL || path == line || path[1] != '/')
    return refuse("400 Bad Request", "The request line is malformed.");
  *path++ = *version++ = '\0';
  method = line;
  target = path;
  keep = strcmp(version, "HTTP/1.1") == 0;
  if (!keep && strcmp(version, "HTTP/1.0") != 0)
    return refuse("505 HTTP Version Not Supported", "HTTP/1.1 or 1.0.");
  return true;
}

static bool take_field(char *line) {
  size_t i = 0, name = strcspn(line, ": \t");
  char *value = line + name + 1, *last = line + strlen(line);

  if (name == 0 || line[name] != ':')
    return refuse("400 Bad Request", "A header field is malformed.");
  line[name] = '\0';
  value += strspn(value, " \t");
  while (last > value && (last[-1] == ' ' || last[-1] == '\t')) *--last = '\0';
  while (i < FIELDS && strcasecmp(line, names[i]) != 0) i++;
  if (i < FIELDS && fields[i] != NULL)
    return refuse("400 Bad Request", "A header field was sent twice.");
  if (i < FIELDS) fields[i] = value;
  return true;
}

/* Reads the size of what the body gets next: digits up to one of `ends`. */
static bool take_size(
    const char *text, const char *digits, const char *ends, size_t *size) {
  size_t n = strspn(text, digits);

  *size = strtoul(text, NULL, digits[10] == '\0' ? 10 : 16);
  if (n == 0 || strchr(ends, text[n]) == NULL)
    return refuse("400 Bad Request", "A size is malformed.");
  if (*size > BODY_MAX - body_size)
    return refuse("413 Content Too Large", "The body is too large.");
  return true;
}

static bool read_part(size_t size) {
  for (size_t n = 0; size > 0; size -= n, body_size += n)
    if ((n = read_some(body + body_size, size)) == 0) return false;
  return true;
}

/* Chunks, each a size line, its bytes and an empty line; trailers, unread. */
static bool read_chunks(void) {
  size_t size, start = head_size;
  char *line;

  do {
    head_size = start; /* so that there may be any number */
    if ((line = read_line()) == NULL ||
        !take_size(line, "0123456789abcdefABCDEF", "; \t", &size) ||
        !read_part(size) || (line = read_line()) == NULL)
      return false;
    if (size > 0 && *line != '\0')
      return refuse("400 Bad Request", "A chunk is too long.");
  } while (size > 0);
  while (line != NULL && *line != '\0') line = read_line();
  return line != NULL;
}

static bool read_body(void) {
  const char *expect = fields[EXPECT];
  size_t size = 0;

  if (fields[LENGTH] != NULL && fields[CODING] != NULL)
    return refuse("400 Bad Request", "A length, and chunked as well.");
  if (fields[CODING] != NULL && strcasecmp(fields[CODING], "chunked") != 0)
    return refuse("501 Not Implemented", "Unknown transfer coding.");
  if (fields[LENGTH] != NULL &&
      !take_size(fields[LENGTH], "0123456789", "", &size))
    return false;
  if (expect != NULL && strcasecmp(expect, "100-continue") == 0) {
    write_all("HTTP/1.1 100 Continue\r\n\r\n", 25);
    flush();
  }
  return fields[CODING] != NULL ? read_chunks() : read_part(size);
}

/* Says whether there is a request to answer. */
static bool read_request(void) {
  char *line;

  head_size = body_size = json_size = 0;
  method = target = "-";
  *more = '\0';
  memset(fields, 0, sizeof fields);
  amid = false;
  if (!read_request_line()) return false;
  while ((line = read_line()) != NULL && *line != '\0')
    if (!take_field(line)) return false;
  if (line == NULL) return false;
  if (keep && fields[HOST] == NULL)
    return refuse("400 Bad Request", "The Host field is missing.");
  if (fields[CONNECTION] != NULL)
    keep = strcasecmp(fields[CONNECTION], "keep-alive") == 0;
  return read_body();
}

/* ---- What the calls have in common ------------------------------------ */

static bool is_json(const char *value) {
  return value != NULL && strncasecmp(value, "application/json", 16) == 0 &&
      strchr(";, ", value[16]) != NULL;
}

/* The reference demands all four headers, but does not say what happens
 * without.  For Accept and Content-Type HTTP has a status each.  A log-in has
 * no token yet, nor a device, which Laravel looks up before the body. */
static bool stopped_by_head(const char *lcuid) {
  const char *id = fields[APP] != NULL ? fields[APP] : "";
  size_t size = strlen(device);

  if (lcuid != NULL && !token_is_right())
    return reply_error("401 Unauthorized", "Unauthenticated.");
  if (strcmp(id, app) != 0) /* the API's own affair, and its own form */
    return reply_with("403 Forbidden",
        "{\"ok\":false,\"message\":\"The app is not known.\","
        "\"code\":\"unknown_app\"}");
  if (!is_json(fields[ACCEPT]))
    return reply_error("406 Not Acceptable", "There is only JSON.");
  if (!is_json(fields[CONTENT_TYPE]))
    return reply_error("415 Unsupported Media Type", "The body must be JSON.");
  if (lcuid != NULL &&
      (strncmp(lcuid, device, size) != 0 || lcuid[size] != '/'))
    return reply_error("404 Not Found", "No query results for this device.");
  return false;
}

/* The validator's answer: the message, and the same under the field, which has
 * spaces for underscores unless it is an element. */
static bool reply_invalid(const char *field, const char *complaint) {
  char message[128], *at = message;

  snprintf(message, sizeof message, "The %s field %s.", field, complaint);
  while (strchr(field, '.') == NULL && (at = strchr(at, '_')) != NULL)
    *at = ' ';
  put("{\"message\":");
  put_string(message);
  put(",\"errors\":{");
  put_string(field);
  put(":[");
  put_string(message);
  return reply_with("422 Unprocessable Content", "]}}");
}

/* The member of this name, or no value.  As in PHP the last one counts. */
static hbeat_json member(hbeat_json object, const char *wanted) {
  hbeat_json name, value, found = {HBEAT_JSON_NONE, NULL, 0};
  char text[32];

  while (hbeat_json_next(&object, &name, &value)) {
    hbeat_json_string(&name, text, sizeof text);
    if (strcmp(text, wanted) == 0) found = value;
  }
  return found;
}

/* To Laravel a body that is no JSON is no input. */
static hbeat_json parsed(const char *text, size_t size) {
  hbeat_json value, none = {HBEAT_JSON_NONE, NULL, 0};
  return hbeat_json_parse(text, size, &value) == HBEAT_OK ? value : none;
}

/* A string that must be there; to Laravel "" is nothing. */
static bool stopped_by_string(hbeat_json input, const char *field) {
  hbeat_json value = member(input, field);

  if (value.type <= HBEAT_JSON_NULL ||
      (value.type == HBEAT_JSON_STRING && value.size == strlen("\"\"")))
    return reply_invalid(field, "is required");
  return value.type != HBEAT_JSON_STRING &&
      reply_invalid(field, "must be a string");
}

/* ---- Instructions ----------------------------------------------------- */

/* Those that are a mere name become whole.  Their lcuids are unlike any of an
 * earlier run, for a player takes each one only once. */
static void complete_instructions(void) {
  char now[40], rest[256];
  time_t t = time(NULL);
  struct tm utc;

  strftime(now, sizeof now, "%Y-%m-%dT%H:%M:%S.000000Z", gmtime_r(&t, &utc));
  for (int i = 0; i < instruction_count; i++) {
    if (*instructions[i] == '{') continue;
    snprintf(rest, sizeof rest,
        ",\"parameters\":[],\"run_at\":null,\"status\":1,"
        "\"lcuid\":\"LCUID-LDRI-%08x-%04x-4000-8000-%012x\","
        "\"created_at\":\"%s\",\"updated_at\":\"%s\"}",
        (unsigned)t, (unsigned)getpid() & 0xffff, (unsigned)i, now, now);
    json_size = 0;
    put("{\"instruction\":");
    put_string(instructions[i]);
    put(rest);
    if ((instructions[i] = strndup(json, json_size)) == NULL)
      fail(strerror(errno), "--instruction");
  }
}

/* The first that is still to be handed out; with --again the next of several,
 * by turns. */
static void put_instruction(void) {
  int waiting[TURNS_MAX], n = 0, most = *again != '\0' ? TURNS_MAX : 1;
  char last = *again != '\0' ? HANDED_OUT : WAITING;

  for (int i = 0; i < instruction_count && n < most; i++)
    if (common->progress[i] <= last) waiting[n++] = i;
  if (n > 0) {
    int next = waiting[common->turn++ % (unsigned)n];
    common->progress[next] = HANDED_OUT;
    put(instructions[next]);
  } else {
    put("null");
  }
}

/* Notes that those with this lcuid were reported, and says whether there are
 * any that were handed out. */
static bool take_report(const char *lcuid, size_t size) {
  char own[HEAD_MAX]; /* what does not fit is in no request, either */
  bool found = false;

  for (int i = 0; i < instruction_count; i++) {
    const char *text = instructions[i];
    hbeat_json id = member(parsed(text, strlen(text)), "lcuid");
    if (common->progress[i] == WAITING ||
        hbeat_json_string(&id, own, sizeof own) != size ||
        memcmp(own, lcuid, size) != 0)
      continue;
    common->progress[i] = REPORTED;
    found = true;
  }
  return found;
}

/* ---- The calls -------------------------------------------------------- */

static bool answer_heartbeat(const char *lcuid) {
  hbeat_json input = parsed(body, body_size), item;
  hbeat_json info = member(input, "device_info");
  char field[40];

  if (stopped_by_head(lcuid) || stopped_by_string(input, "lightning_version"))
    return true;
  if (info.type != HBEAT_JSON_NONE && info.type != HBEAT_JSON_ARRAY)
    return reply_invalid("device_info", "must be an array");
  for (size_t i = 0; hbeat_json_next(&info, NULL, &item); i++) {
    snprintf(field, sizeof field, "device_info.%zu", i);
    if (item.type != HBEAT_JSON_STRING)
      return reply_invalid(field, "must be a string");
  }
  put("{\"success\":true,\"lightning_device_remote_instruction\":");
  put_instruction();
  return reply_with("200 OK", "}");
}

/* Both kinds of report.  One that is sent again is taken again, as its sender
 * may have missed the answer.  Every field is optional, but a body that is no
 * object is a client's slip. */
static bool answer_report(const char *lcuid) {
  const char *of = strchr(lcuid, '/') + strlen("/instructions/");
  hbeat_json input = parsed(body, body_size);
  hbeat_json data = member(input, "response_data");
  hbeat_json message = member(input, "message");

  if (stopped_by_head(lcuid)) return true;
  if (input.type != HBEAT_JSON_OBJECT)
    return reply_invalid("body", "must be an object");
  if (data.type > HBEAT_JSON_NULL && data.type != HBEAT_JSON_OBJECT)
    return reply_invalid("response_data", "must be an object");
  if (message.type > HBEAT_JSON_NULL && message.type != HBEAT_JSON_STRING)
    return reply_invalid("message", "must be a string");
  if (!take_report(of, strcspn(of, "/")))
    return reply_error(
        "404 Not Found", "No query results for this instruction.");
  return reply_with("200 OK", "{\"success\":true}");
}

/* The file is read anew: only the token that was handed out last counts. */
static bool answer_login(const char *unused) {
  static char pair[BODY_MAX]; /* TOKEN:SECRET, shorter than the body */
  hbeat_json input = parsed(body, body_size);
  hbeat_json name = member(input, "token"), secret = member(input, "secret");

  (void)unused;
  if (stopped_by_head(NULL) || stopped_by_string(input, "token") ||
      stopped_by_string(input, "secret"))
    return true;
  size_t size = hbeat_json_string(&name, pair, sizeof pair);
  pair[size++] = ':';
  hbeat_json_string(&secret, pair + size, sizeof pair - size);
  if (size != strcspn(auth, ":") + 1 || strcmp(pair, auth) != 0)
    return reply_with("401 Unauthorized",
        "{\"ok\":false,\"message\":\"Token or secret is wrong.\","
        "\"code\":\"wrong_credentials\"}");
  load_token(auth_token);
  put("{\"ok\":true,\"token\":");
  put_string(common->token);
  put(",\"user_lcuid\":\"LCUID-LU-8d1f3c52-6a0e-4b7d-9c41-2e5f7a90b3d6\"}");
  return reply("200 OK");
}

/* ---- Routes, and failing on demand ------------------------------------ */

/* All calls of the API are POST.  A star stands for one segment; the answer
 * is handed where the first one begins in `target`. */
static const struct {
  const char *pattern;
  bool (*answer)(const char *lcuid);
} routes[] = {
    {"/api/v3/analytics/lightning-devices/*/heartbeat", answer_heartbeat},
    {"/api/v3/lightning/devices/*/instructions/*/acknowledge", answer_report},
    {"/api/v3/lightning/devices/*/instructions/*/failed", answer_report},
    {LOGIN_PATH, answer_login},
};

static bool matches(const char *at, const char *pattern) {
  for (; *pattern != '\0'; pattern++) {
    if (*pattern == '*' && *at != '/') at += strcspn(at, "/?");
    else if (*at++ != *pattern) return false;
  }
  return *at == '\0' || *at == '?';
}

/* Says whether the file is there, and for this request. */
static bool failed_on_demand(void) {
  char word[32] = "", wait[96] = "-", part[512] = "", status[48];
  FILE *f = fopen(fail_file, "r");

  if (f == NULL) return false;
  int words = fscanf(f, "%31s %95s %511s", word, wait, part);
  fclose(f);
  if (words < 1 || strstr(target, part) == NULL) return false;
  if (strcmp(word, "drop") == 0) {
    log_request(word);
    exit(0); /* as if the server had crashed: without a close_notify */
  }
  if (strcmp(wait, "-") != 0)
    snprintf(more, sizeof more, "Retry-After: %s\r\n", wait);
  snprintf(status, sizeof status, "%s On Demand", word);
  return reply_error(status, "This was demanded.");
}

static bool route(void) {
  char message[HEAD_MAX + 100];
  int path = (int)strcspn(target + 1, "?");

  set_lock(F_WRLCK); /* until the reply */
  if (failed_on_demand()) return true;
  for (size_t i = 0; i < sizeof routes / sizeof *routes; i++) {
    if (!matches(target, routes[i].pattern)) continue;
    if (strcmp(method, "POST") == 0)
      return routes[i].answer(target + strcspn(routes[i].pattern, "*"));
    snprintf(message, sizeof message,
        "The %s method is not supported for route %.*s. "
        "Supported methods: POST.",
        method, path, target + 1);
    strcpy(more, "Allow: POST\r\n");
    return reply_error("405 Method Not Allowed", message);
  }
  snprintf(message, sizeof message, "The route %.*s could not be found.", path,
      target + 1);
  return reply_error("404 Not Found", message);
}

/* ---- Processes -------------------------------------------------------- */

static volatile sig_atomic_t ending;

static void on_signal(int number) {
  (void)number;
  ending = 1;
}

static void serve_client(void) {
  struct timeval patience = {LINGER_S, 0}; /* or none of us could ever end */
  int on = 1;

  setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  setsockopt(client, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  begin_tls();
  amid = keep = true;
  reach(BR_SSL_SENDAPP);
  while (!over && keep)
    if (read_request()) route();
  end_tls();
}

static int listen_on_loopback(void) {
  struct sockaddr_in a = {.sin_family = AF_INET};
  socklen_t size = sizeof a;
  int on = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
  unsigned long number = strtoul(port, NULL, 10);

  if (port[strspn(port, "0123456789")] != '\0' || number > 65535)
    fail("is no port", port);
  a.sin_port = htons((uint16_t)number);
  a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof a) != 0 ||
      listen(fd, 64) != 0 || getsockname(fd, (struct sockaddr *)&a, &size) != 0)
    fail(strerror(errno), port);
  printf("listening on 127.0.0.1:%d\n", ntohs(a.sin_port));
  fflush(stdout);
  return fd;
}

static void accept_client(int listener) {
  client = accept(listener, NULL, NULL);
  if (client < 0) return;
  if (fork() == 0) {
    close(listener);
    close(life[1]);
    serve_client();
    exit(0);
  }
  close(client);
}

/* What the first process does, until told to end. */
static void serve(int listener) {
  long left = strtol(count, NULL, 10);
  struct pollfd fds[2] = {{listener, POLLIN, 0}, {done[0], POLLIN, 0}};
  char byte;

  while (!ending) {
    /* Once a second, for a signal that came just before. */
    if (poll(fds, 2, 1000) <= 0) continue;
    if (fds[1].revents != 0 && read(done[0], &byte, 1) == 1 && --left == 0)
      break;
    if (fds[0].revents != 0) accept_client(listener);
  }
  close(listener);
  close(life[1]);
  while (wait(NULL) > 0)
    ;
}

/* ---- The command ------------------------------------------------------ */

static const struct {
  const char *name, *argument, *help; /* an argument of "": a switch */
  const char **value; /* NULL: --instruction, which may be repeated */
} options[] = {
    {"--port", "N", "on 127.0.0.1; 0, or nothing: any that is free", &port},
    {"--cert", "FILE", "PEM: the server's chain, its own first", &cert_file},
    {"--key", "FILE", "PEM: its private key, RSA or EC", &key_file},
    {"--device", "LCUID", "the one device that exists", &device},
    {"--app", "LCUID", "the one app that exists", &app},
    {"--token-file", "FILE", "holds the Bearer token", &token_file},
    {"--instruction", "X", "a name in ASCII, or a JSON object; queued", NULL},
    {"--again", "", "hand out each one until it is reported, by turns", &again},
    {"--auth", "T:S", "the log-in token and secret that are right", &auth},
    {"--auth-token", "FILE", "the Bearer token from a log-in on", &auth_token},
    {"--fail-file", "FILE",
        "while it is there: what to answer, STATUS or drop, then\n"
        "                       Retry-After or -, then PART-OF-PATH, if not to "
        "all",
        &fail_file},
    {"--count", "N", "end after N requests; 0, or nothing: never", &count},
};
#define OPTIONS (sizeof options / sizeof *options)

static void print_help(void) {
  puts("usage: lucitd [options]\n"
       "A stand-in for the Lucit API on loopback.\n");
  for (size_t i = 0; i < OPTIONS; i++)
    printf("  %-14s%-6s %s\n", options[i].name, options[i].argument,
        options[i].help);
  exit(0);
}

static void read_options(int argc, char **argv) {
  size_t o;

  for (int i = 1; i < argc; i++) {
    const char *name = argv[i];
    if (strcmp(name, "--help") == 0) print_help();
    for (o = 0; o < OPTIONS && strcmp(name, options[o].name) != 0;) o++;
    if (o == OPTIONS || (*options[o].argument != '\0' && ++i == argc))
      fail("is unknown, or lacks its argument", name);
    if (options[o].value != NULL) *options[o].value = argv[i];
    else if (instruction_count == QUEUE_MAX || strlen(argv[i]) > JSON_MAX / 8)
      fail("there are too many, or one is too long", name);
    else instructions[instruction_count++] = argv[i];
  }
  for (o = 0; o < OPTIONS; o++)
    if (options[o].value != NULL && *options[o].value == NULL)
      fail("is missing", options[o].name);
  if (*auth != '\0' && (strchr(auth, ':') == NULL || *auth_token == '\0'))
    fail("is not TOKEN:SECRET, or there is no --auth-token", "--auth");
}

int main(int argc, char **argv) {
  static char line[HEAD_MAX * 8]; /* the log's, to go out in one write */
  struct sigaction quit = {.sa_handler = on_signal};
  struct sigaction ignore = {.sa_handler = SIG_IGN};

  read_options(argc, argv);
  load_pem(cert_file);
  load_pem(key_file);
  if (chain_size == 0) fail("holds no certificate", cert_file);
  if (br_skey_decoder_key_type(&key) == 0)
    fail("holds no private key that can be read", key_file);
  begin_common();
  complete_instructions();
  if (pipe(done) != 0 || pipe(life) != 0) fail(strerror(errno), "pipe");
  setvbuf(stdout, line, _IOFBF, sizeof line);
  sigaction(SIGTERM, &quit, NULL);
  sigaction(SIGINT, &quit, NULL);
  sigaction(SIGPIPE, &ignore, NULL);
  sigaction(SIGCHLD, &ignore, NULL); /* the kernel buries them */
  serve(listen_on_loopback());
  return 0;
}
