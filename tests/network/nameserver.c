#define _DEFAULT_SOURCE
#include "nameserver.h"
#include "loopback.h"
#include "syscalls.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum { PORT = 53, SERVERS = 4, HEADER = 12, MESSAGE = 20000, BATCH = 4 };

typedef unsigned char byte;

struct message {
  byte bytes[MESSAGE];
  size_t size;
};

/* A question that came by UDP. */
struct datagram {
  struct message question;
  union socket_address from;
};

/* The questions of one try, for A and for AAAA: they come from one port. */
struct try {
  struct datagram questions[2];
  size_t count;
};

/* One server as its process has it. */
struct post {
  const struct ns_server *script;
  union socket_address address;
  unsigned number;
  int udp;                /* -1: nobody listens there */
  int tcp;                /* the same, or all that comes is swallowed */
  struct black_hole hole; /* of NS_TCP_HOLE */
  unsigned deaf;
  struct try kept; /* of a server that is late */
};

static pid_t ns_pid;
static struct ns_log *shared;
static struct post posts[SERVERS];
static size_t post_count;

/* ---- Addresses -------------------------------------------------------- */

const char *ns_address(unsigned server) {
  static char text[SERVERS + 1][INET6_ADDRSTRLEN];
  static pid_t owner;
  unsigned pid;

  if (owner == 0) owner = getpid();
  pid = (unsigned)owner;
  snprintf(text[server], sizeof text[server], "127.%u.%u.%u",
      64 + (pid >> 14 & 63), pid >> 6 & 255, (pid & 63) * 4 + server);
  return text[server];
}

/* ---- Messages --------------------------------------------------------- */

static uint16_t get_16(const byte *at) {
  return (uint16_t)(at[0] << 8 | at[1]);
}

static void put_16(byte *at, unsigned value) {
  at[0] = (byte)(value >> 8);
  at[1] = (byte)value;
}

static void append(struct message *m, const void *bytes, size_t size) {
  if (size > sizeof m->bytes - m->size) abort();
  if (size > 0) memcpy(m->bytes + m->size, bytes, size);
  m->size += size;
}

/* Where the question ends; 0: it has no form. */
static size_t question_end(const struct message *q) {
  size_t at = HEADER;

  while (at < q->size && q->bytes[at] != 0) at += q->bytes[at] + 1u;
  return at + 5 <= q->size ? at + 5 : 0;
}

static void note_name(struct ns_query *to, const byte *at) {
  size_t size = 0;

  for (; *at != 0; at += *at + 1) {
    if (size + *at + 2u > sizeof to->name) break;
    if (size > 0) to->name[size++] = '.';
    memcpy(to->name + size, at + 1, *at);
    size += *at;
  }
  to->name[size] = '\0';
}

/* Notes a question. */
static void note(const struct post *p, bool tcp, const struct message *q,
    const union socket_address *from) {
  unsigned number = __sync_fetch_and_add(&shared->count, 1);
  size_t end = question_end(q);
  struct ns_query *to;

  if (number >= NS_QUERIES) return;
  to = &shared->queries[number];
  to->server = p->number;
  to->tcp = tcp;
  to->port = address_port(from);
  if (end == 0) return;
  to->id = get_16(q->bytes);
  to->flags = get_16(q->bytes + 2);
  for (int i = 0; i < 4; i++) to->counts[i] = get_16(q->bytes + 4 + 2 * i);
  note_name(to, q->bytes + HEADER);
  to->type = get_16(q->bytes + end - 4);
  to->class = get_16(q->bytes + end - 2);
  to->behind = q->size - end;
}

static void append_question(
    struct message *m, const struct message *q, size_t end, unsigned wrong) {
  byte *at = m->bytes + m->size;

  append(m, q->bytes + HEADER, end - HEADER);
  if (wrong & NS_NAME) at[1] ^= 1;
  for (size_t i = 0; wrong & NS_CASE && i < end - HEADER - 4; i++)
    at[i] = (byte)toupper(at[i]);
  if (wrong & NS_TYPE) m->bytes[m->size - 3] ^= NS_A ^ NS_AAAA;
  if (wrong & NS_CLASS) m->bytes[m->size - 1] = 3;
}

static void make_answer(
    struct message *m, const struct message *q, const struct ns_answer *a) {
  size_t end = question_end(q);
  unsigned questions = 1;

  if (a->wrong & NS_TWICE) questions = 2;
  if (a->wrong & NS_NONE) questions = 0;
  m->size = HEADER;
  memcpy(m->bytes, q->bytes, HEADER);
  if (a->wrong & NS_ID) m->bytes[1] ^= 1;
  m->bytes[2] = a->wrong & NS_QUERY ? 0x01 : 0x81;
  if (a->wrong & NS_OPCODE) m->bytes[2] |= 2 << 3;
  if (a->wrong & NS_SHORT) m->bytes[2] |= 2;
  m->bytes[3] = (byte)(0x80 | a->rcode);
  put_16(m->bytes + 4, questions);
  put_16(m->bytes + 6, a->count);
  put_16(m->bytes + 10, a->additional);
  for (unsigned i = 0; i < questions; i++) append_question(m, q, end, a->wrong);
  append(m, a->records, a->size);
  if (a->wrong & NS_CUT && shared->at < m->size) m->size = shared->at;
  if (a->wrong & NS_SPOILT && shared->at < m->size)
    m->bytes[shared->at] = shared->value;
}

/* ---- UDP -------------------------------------------------------------- */

/* Sends from another port, or another address, than the client knows. */
static void send_from_elsewhere(const struct post *p, const struct message *m,
    const union socket_address *to, unsigned wrong) {
  union socket_address from = p->address;
  int fd = socket(from.any.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);

  if (wrong & NS_ADDRESS) read_address(&from, ns_address(SERVERS - 1), PORT);
  if (wrong & NS_PORT) from.v4.sin_port = 0;
  if (bind(fd, &from.any, address_size(&from)) != 0) abort();
  sendto(fd, m->bytes, m->size, 0, &to->any, address_size(to));
  close(fd);
}

static void send_answer(const struct post *p, const struct message *q,
    const union socket_address *to, const struct ns_answer *a) {
  struct message m;

  make_answer(&m, q, a);
  if (a->wrong & (NS_PORT | NS_ADDRESS)) {
    send_from_elsewhere(p, &m, to, a->wrong);
    return;
  }
  sendto(p->udp, m.bytes, m.size, 0, &to->any, address_size(to));
  for (unsigned i = 1; i < a->flood; i++) {
    nap_us(100);
    sendto(p->udp, m.bytes, m.size, 0, &to->any, address_size(to));
  }
}

/* What takes its time is done by a process of its own, so that nobody waits. */
static bool in_background(void) {
  pid_t id; /* nobody asks what becomes of it */

  return fork_server(&id);
}

static void send_answers(const struct post *p, const struct message *q,
    const union socket_address *to, const struct ns_answer *a) {
  for (; a; a = a->then) {
    if (a->silent) continue;
    if (a->delay_ms == 0 && a->flood == 0) {
      send_answer(p, q, to, a);
    } else if (in_background()) {
      clock_nap_ms(a->delay_ms);
      send_answer(p, q, to, a);
      _exit(0);
    }
  }
}

static const struct ns_answer *choose(
    const struct post *p, bool tcp, const struct message *q) {
  const struct ns_server *s = p->script;
  bool aaaa = get_16(q->bytes + question_end(q) - 4) == NS_AAAA;

  if (tcp) return aaaa ? &s->tcp_aaaa : &s->tcp_a;
  return aaaa ? &s->aaaa : &s->a;
}

static void answer_datagram(const struct post *p, const struct datagram *d) {
  send_answers(p, &d->question, &d->from, choose(p, false, &d->question));
}

static bool is_of_try(const struct try *t, const struct datagram *d) {
  return t->count < COUNT(t->questions) &&
      address_port(&t->questions[0].from) == address_port(&d->from);
}

/* Keeps the try that a question is of; answers the one before it. */
static void answer_late(struct post *p, const struct datagram *d) {
  struct try *kept = &p->kept;

  if (!is_of_try(kept, d)) {
    for (size_t i = 0; i < kept->count; i++)
      answer_datagram(p, &kept->questions[i]);
    kept->count = 0;
  }
  kept->questions[kept->count++] = *d;
}

static void serve_datagram(struct post *p) {
  struct datagram d;
  struct message *q = &d.question;
  socklen_t from_size = sizeof d.from;
  ssize_t n = recvfrom(
      p->udp, q->bytes, sizeof q->bytes, MSG_DONTWAIT, &d.from.any, &from_size);

  if (n < 0) return;
  q->size = (size_t)n;
  if (n == 1) { /* ns_log() asks whether all before has been read */
    sendto(p->udp, q->bytes, 1, 0, &d.from.any, from_size);
    return;
  }
  note(p, false, q, &d.from);
  if (question_end(q) == 0) return;
  if (p->deaf > 0) p->deaf--;
  else if (p->script->late) answer_late(p, &d);
  else answer_datagram(p, &d);
}

/* ---- TCP -------------------------------------------------------------- */

static bool read_all(int fd, byte *to, size_t size) {
  ssize_t n = recv(fd, to, size, MSG_WAITALL);

  return n > 0 && (size_t)n == size;
}

static bool read_question(struct message *q, int fd) {
  byte length[2];

  if (!read_all(fd, length, 2)) return false;
  q->size = get_16(length);
  return q->size <= sizeof q->bytes && read_all(fd, q->bytes, q->size);
}

/* Reads questions until there is a pause; returns how many. */
static size_t read_batch(
    const struct post *p, int fd, struct message q[BATCH]) {
  struct pollfd more = {fd, POLLIN, 0};
  union socket_address from;
  socklen_t size = sizeof from;
  size_t count = 0;

  if (getpeername(fd, &from.any, &size) != 0) return 0;
  do {
    if (!read_question(&q[count], fd) || question_end(&q[count]) == 0) break;
    note(p, true, &q[count], &from);
  } while (++count < BATCH && poll(&more, 1, 5) > 0);
  return count;
}

/* Adds an answer and its length, as the script would have it. */
static void append_answer(
    struct message *to, const struct post *p, const struct message *q) {
  struct message m;
  byte length[2];

  make_answer(&m, q, choose(p, true, q));
  if (p->script->tcp == NS_TCP_EMPTY) m.size = 0;
  put_16(length, (unsigned)m.size);
  if (p->script->tcp == NS_TCP_LONG) put_16(length, (unsigned)m.size + 400);
  if (p->script->tcp == NS_TCP_LESS) put_16(length, (unsigned)m.size - 2);
  append(to, length, 2);
  append(to, m.bytes, m.size);
}

static void send_stream(int fd, const struct message *m, enum ns_tcp how) {
  size_t piece = m->size;

  if (how == NS_TCP_BYTES || how == NS_TCP_DRIBBLES) piece = 1;
  if (how == NS_TCP_HALVES) piece = (m->size + 1) / 2;
  if (how == NS_TCP_LATE) piece = m->size - 1;
  for (size_t at = 0; at < m->size; at += piece) {
    size_t left = m->size - at, now = left < piece ? left : piece;

    if (send(fd, m->bytes + at, now, MSG_NOSIGNAL) <= 0) return;
    if (how == NS_TCP_BYTES) nap_us(200);
    if (how == NS_TCP_HALVES || how == NS_TCP_LATE) clock_nap_ms(20);
    if (how == NS_TCP_DRIBBLES) clock_nap_ms(1000);
  }
}

static void wait_for_end(int fd) {
  char rest[256];

  while (read(fd, rest, sizeof rest) > 0)
    ;
}

/* Answers a batch of questions; false: that was the end. */
static bool answer_batch(const struct post *p, int fd) {
  static struct message q[BATCH], out;
  enum ns_tcp how = p->script->tcp;
  size_t count = read_batch(p, fd, q);

  if (count == 0 || how == NS_TCP_RESETS) return false;
  if (how == NS_TCP_SILENT) wait_for_end(fd);
  out.size = 0;
  for (size_t i = 0; i < (how == NS_TCP_HALF ? 1 : count); i++)
    append_answer(&out, p, &q[how == NS_TCP_REVERSED ? count - 1 - i : i]);
  if (how == NS_TCP_CUT && shared->at < out.size) out.size = shared->at;
  send_stream(fd, &out, how);
  return how != NS_TCP_CUT && how != NS_TCP_HALF && how != NS_TCP_LONG;
}

static void serve_connection(const struct post *p) {
  int fd = accept_client(p->tcp);

  __sync_fetch_and_add(&shared->connections, 1);
  if (in_background()) {
    while (answer_batch(p, fd))
      ;
    if (p->script->tcp == NS_TCP_RESETS) reset_on_close(fd);
    close(fd);
    _exit(0);
  }
  close(fd);
}

/* ---- The servers' process --------------------------------------------- */

static void serve_all(void) {
  struct pollfd polled[2 * SERVERS];

  signal(SIGCHLD, SIG_IGN);
  for (size_t i = 0; i < post_count; i++) {
    polled[2 * i] = (struct pollfd){posts[i].udp, POLLIN, 0};
    polled[2 * i + 1] = (struct pollfd){posts[i].tcp, POLLIN, 0};
  }
  for (;;) {
    poll(polled, 2 * post_count, -1);
    for (size_t i = 0; i < post_count; i++) {
      if (polled[2 * i].revents) serve_datagram(&posts[i]);
      if (polled[2 * i + 1].revents) serve_connection(&posts[i]);
    }
  }
}

/* A socket on port 53; another run of these tests may have to end first. */
static int bind_port(int type, const char *address, int queue) {
  int fd = -1;

  for (int tries = 300; tries > 0; tries--) {
    fd = bind_socket(type, address, PORT, queue);
    if (fd >= 0 || errno != EADDRINUSE) break;
    nap_ms(100);
  }
  if (fd < 0)
    fail_msg("cannot bind port 53, which these tests need (as root): %s",
        strerror(errno));
  return fd;
}

static void open_post(struct post *p, const struct ns_server *script) {
  const char *address = script->address;

  if (!address) address = ns_address(p->number);
  read_address(&p->address, address, PORT);
  p->script = script;
  p->deaf = script->deaf;
  p->kept.count = 0;
  p->udp = p->tcp = -1;
  if (script->closed) return;
  p->udp = bind_port(SOCK_DGRAM, address, 0);
  if (script->tcp == NS_TCP_HOLE)
    make_black_hole(&p->hole, bind_port(SOCK_STREAM, address, 0));
  else if (script->tcp != NS_TCP_REFUSES)
    p->tcp = bind_port(SOCK_STREAM, address, 8);
}

static void close_post(struct post *p) {
  if (p->script->closed) return;
  close(p->udp);
  if (p->script->tcp == NS_TCP_HOLE) close_black_hole(&p->hole);
  if (p->tcp >= 0) close(p->tcp);
}

void ns_start(const struct ns_server *servers, size_t count) {
  ns_stop(NULL);
  assert_in_range(count, 1, SERVERS);
  shared = share_memory(sizeof *shared);
  post_count = count;
  for (unsigned i = 0; i < count; i++) {
    posts[i].number = i;
    open_post(&posts[i], &servers[i]);
  }
  if (fork_server(&ns_pid)) serve_all();
  for (size_t i = 0; i < count; i++) close_post(&posts[i]);
}

int ns_stop(void **state) {
  (void)state;
  if (ns_pid > 0) {
    kill_server(&ns_pid);
    clock_forget_naps();
  }
  if (shared) {
    munmap(shared, sizeof *shared);
    shared = NULL;
  }
  return 0;
}

/* Waits until a server has read all that was sent to it. */
static void settle(const struct post *p) {
  int fd = socket(p->address.any.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  struct pollfd answer = {fd, POLLIN, 0};

  sendto(fd, "?", 1, 0, &p->address.any, address_size(&p->address));
  if (poll(&answer, 1, 10000) != 1) fail_msg("a nameserver has died");
  close(fd);
}

volatile struct ns_log *ns_log(void) {
  for (size_t i = 0; i < post_count; i++)
    if (!posts[i].script->closed) settle(&posts[i]);
  return shared;
}

const char *ns_asked(void) {
  static char text[4 * NS_QUERIES];
  const volatile struct ns_log *log = ns_log();
  size_t size = 0;

  text[0] = '\0';
  for (unsigned i = 0; i < log->count && i < NS_QUERIES; i++) {
    if (log->queries[i].type != NS_A) continue;
    if (size > 0) text[size++] = ' ';
    text[size++] = (char)('0' + log->queries[i].server);
    if (log->queries[i].tcp) text[size++] = 't';
    text[size] = '\0';
  }
  return text;
}

/* ---- Files ------------------------------------------------------------ */

static char folder[256];
static pid_t folder_owner;

static const char *path_of(const char *name) {
  static char paths[4][sizeof folder + 16];
  static unsigned at;
  char *path = paths[at++ % COUNT(paths)];

  snprintf(path, sizeof paths[0], "%s/%s", folder, name);
  return path;
}

static void remove_folder(void) {
  if (getpid() != folder_owner) return;
  unlink(path_of("hosts"));
  unlink(path_of("resolv.conf"));
  unlink(path_of("missing"));
  rmdir(folder);
}

static void make_folder(void) {
  const char *parent = getenv("TMPDIR");

  if (folder[0]) return;
  snprintf(folder, sizeof folder, "%s/names-XXXXXX", parent ? parent : "/tmp");
  if (!mkdtemp(folder)) fail_msg("no temporary folder %s", folder);
  folder_owner = getpid();
  atexit(remove_folder);
}

const char *ns_no_file(void) {
  make_folder();
  return path_of("missing");
}

/* Writes what a character of a test's text stands for. */
static void expand(FILE *f, const char **at) {
  if (**at == '$') fputs(ns_address((unsigned)(*++*at - '0')), f);
  else if (**at == '@' || **at == '~')
    for (int i = 0; i < 5000; i++) fputs(**at == '@' ? "xx" : "x ", f);
  else fputc(**at, f);
  ++*at;
}

const char *ns_file(const char *name, const char *text, size_t size) {
  const char *path, *at = text;
  FILE *f;

  make_folder();
  path = path_of(name);
  f = fopen(path, "wb");
  if (!f) fail_msg("cannot write %s", path);
  while (at < text + size) expand(f, &at);
  fclose(f);
  return path;
}

const char *ns_text(const char *name, const char *text) {
  return ns_file(name, text, strlen(text));
}

/* ---- The client's calls ----------------------------------------------- */

enum { TRIES_MAX = 32 };

static struct {
  bool refuse;
  size_t count;
  char text[TRIES_MAX * (INET6_ADDRSTRLEN + 1)];
  int64_t at_ms[TRIES_MAX];
} tries;

/* Where a connection takes its time. */
static struct {
  const char *address;
  int64_t ms;
} late;

/* Returns the address as text. */
static const char *note_try(const union socket_address *a) {
  size_t size = strlen(tries.text);

  if (tries.count == TRIES_MAX) return "";
  tries.at_ms[tries.count] = now_ms();
  if (tries.count++ > 0) tries.text[size++] = ' ';
  inet_ntop(a->any.sa_family,
      a->any.sa_family == AF_INET ? (const void *)&a->v4.sin_addr
                                  : (const void *)&a->v6.sin6_addr,
      tries.text + size, INET6_ADDRSTRLEN);
  return tries.text + size;
}

static void hold_if_late(int fd, const char *address) {
  if (!late.address) return;
  clock_hold_ms(fd, strcmp(address, late.address) == 0 ? late.ms : 0);
}

static void see_to_connect(struct call *c) {
  union socket_address a;
  socklen_t size = c->in.connect.size;

  memset(&a, 0, sizeof a);
  memcpy(&a, c->in.connect.address, size < sizeof a ? size : sizeof a);
  if (address_port(&a) == PORT) {
    make_call(c);
    return;
  }
  hold_if_late(c->fd, note_try(&a));
  if (tries.refuse) fail_call(c, ECONNREFUSED);
  else make_call(c);
}

void tried_watch(void) {
  memset(&tries, 0, sizeof tries);
  call_goes_through(CALL_CONNECT, see_to_connect);
}

void tried_refuse(void) {
  tried_watch();
  tries.refuse = true;
}

void tried_takes_ms(const char *address, int64_t ms) {
  late.address = address;
  late.ms = ms;
}

const char *tried(void) {
  return tries.text;
}

const int64_t *tried_ms(void) {
  return tries.at_ms;
}

/* ---- The player ------------------------------------------------------- */

void player_configure_name(
    struct player *p, const char *hosts, const char *resolv) {
  player_configure(p, 1);
  p->cfg.address = NULL;
  p->cfg.hosts_path = hosts ? hosts : ns_no_file();
  p->cfg.resolv_path = resolv ? resolv : ns_no_file();
}

void player_look_up(struct player *p, const char *want, const char *says) {
  hbeat_error e, wanted = says ? HBEAT_ERR_RESOLVE : HBEAT_ERR_CONNECT;
  const char *text;

  tried_refuse();
  e = hbeat_send(&p->client, &player_beat, &p->reply);
  text = hbeat_explain(&p->client);
  if (strcmp(tried(), want) != 0)
    fail_msg(
        "wanted the addresses \"%s\", got \"%s\": %s", want, tried(), text);
  if (e != wanted)
    fail_msg("wanted %s, got %s: %s", hbeat_error_name(wanted),
        hbeat_error_name(e), text);
  if (says && !strstr(text, says))
    fail_msg("wanted \"%s\" in \"%s\"", says, text);
  player_check_text(p);
}
