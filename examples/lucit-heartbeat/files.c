/* What is on the disk: roots, token, TLS session, state.
 *
 * Whatever is written replaces a file whole or not at all, by way of a file
 * beside it that is renamed, and is on the disk before anything else is done:
 * a power cut at any moment leaves the old file or the new one. */
#include "daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
  PEM_SIZE = 1 << 20, /* Debian's bundle has 220 KB */
  WHY_SIZE = 96       /* of a phrase that says what is wrong */
};

/* ---- Files in general -------------------------------------------------- */

/* A file may be larger than there is room: then the room is full. */
ssize_t read_file(const char *path, void *out, size_t size) {
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  char *to = out;
  size_t all = 0;
  ssize_t n = 1;

  if (fd < 0) return -1;
  while (n > 0 && all < size) {
    n = read(fd, to + all, size - all);
    if (n > 0) all += (size_t)n;
  }
  int error = errno;
  close(fd);
  errno = error;
  return n < 0 ? -1 : (ssize_t)all;
}

/* Reads a text without the line end that editors leave.  Returns NULL, or why
 * there is none. */
static const char *read_text(const char *path, char *out, size_t size) {
  ssize_t n = read_file(path, out, size);
  const char *why = NULL;

  if (n < 0) why = strerror(errno);
  else if ((size_t)n >= size) why = "the file is too long"; /* with its NUL */
  else if (memchr(out, '\0', (size_t)n)) why = "it is no text: it has a NUL";
  if (why) n = 0;
  while (n > 0 && strchr("\r\n\t ", out[n - 1])) n--;
  out[n] = '\0';
  return why;
}

/* Some file systems have nothing to sync, and say so. */
static bool sync_and_close(int fd) { /* -1 is no file */
  if (fd < 0) return false;
  bool synced = fsync(fd) == 0 || errno == EINVAL;
  return close(fd) == 0 && synced;
}

/* The name in a folder is on the disk, too.  `beside` is cut down to that. */
static bool sync_folder(char *beside) {
  return sync_and_close(open(dirname(beside), O_RDONLY | O_CLOEXEC));
}

/* Writes a file whole or not at all, on the disk when this returns, for its
 * owner alone, by way of a file beside it, which is in the same folder or else
 * could not be renamed.  False with errno. */
static bool write_file(
    const char *path, const char *beside, const void *bytes, size_t size) {
  char folder[PATH_SIZE];

  unlink(beside); /* what a kill left there */
  int fd = open(beside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0) return false;
  errno = ENOSPC; /* where only a part is written, that is why */
  bool whole = write(fd, bytes, size) == (ssize_t)size;
  if (!sync_and_close(fd)) whole = false;
  if (!whole || rename(beside, path) != 0) {
    unlink(beside);
    return false;
  }
  snprintf(folder, sizeof folder, "%s", beside);
  return sync_folder(folder);
}

/* The same where nobody else writes: beside it stands PATH.new. */
static bool replace_file(const char *path, const void *bytes, size_t size) {
  char beside[PATH_SIZE];

  snprintf(beside, sizeof beside, "%s.new", path);
  return write_file(path, beside, bytes, size);
}

/* What cannot be looked at is left to whoever writes there. */
bool is_replaceable(struct daemon *d, const char *option, const char *path) {
  struct stat s;

  if (!path || stat(path, &s) != 0 || S_ISREG(s.st_mode)) return true;
  complain(
      d, "%s %s: it is not a regular file, and is not replaced", option, path);
  return false;
}

/* ---- The TLS session --------------------------------------------------- */

/* The session is a secret, like the token: its file is its owner's alone.
 * Behind the library's bytes is one that counts how often in a row the server
 * has refused to resume.  Many servers never do: their sessions are not worth
 * two writes to the disk at each run. */

enum { REFUSALS_MAX = 2 };

/* No file is no session; a bad one is not used. */
void load_session(struct daemon *d) {
  const char *path = d->options.session;
  unsigned char bytes[HBEAT_SESSION_SIZE + 2];

  if (!path) return;
  ssize_t n = read_file(path, bytes, sizeof bytes);
  if (n == HBEAT_SESSION_SIZE + 1)
    d->session.offered =
        hbeat_session_load(&d->client, bytes, HBEAT_SESSION_SIZE);
  if (d->session.offered) d->session.refusals = bytes[HBEAT_SESSION_SIZE];
  if (n < 0 && errno != ENOENT)
    complain(d, "--session %s: %s: TLS begins without a session", path,
        strerror(errno));
}

/* Whether a file was written within the last day. */
static bool is_of_today(const char *path) {
  struct stat s;

  if (stat(path, &s) != 0) return false;
  time_t age_s = time(NULL) - s.st_mtime;
  return age_s >= 0 && age_s < DAY / SECOND;
}

/* A file may have several writers, each of which writes beside it under a name
 * of its own. */
static void write_session(
    struct daemon *d, unsigned char bytes[HBEAT_SESSION_SIZE + 1]) {
  const char *path = d->options.session;
  char beside[PATH_SIZE];

  bytes[HBEAT_SESSION_SIZE] = d->session.refusals;
  snprintf(beside, sizeof beside, "%s.%ld", path, (long)getpid());
  if (!write_file(path, beside, bytes, HBEAT_SESSION_SIZE + 1))
    complain(d, "--session %s: cannot be written: %s", path, strerror(errno));
}

/* What the exchange's connection says of the session:
 *
 *     none, and the session failed    the file is removed
 *     a new one, though one was       the server has refused it: the new one is
 *     offered                         written, after two refusals once a day
 *     another new one                 the session is written
 *     a resumed one                   no refusal counts any more
 *     a kept one                      nothing
 */
void keep_session(struct daemon *d, hbeat_connection connection) {
  const char *path = d->options.session;
  struct session *session = &d->session;
  unsigned char bytes[HBEAT_SESSION_SIZE + 1];

  if (!path) return;
  bool good = hbeat_session_save(&d->client, bytes);
  bool refused = connection == HBEAT_CONNECTION_NEW && session->offered;
  bool had_refusals = session->refusals > 0;
  if (connection == HBEAT_CONNECTION_NONE && !good) unlink(path);
  if (connection == HBEAT_CONNECTION_RESUMED) session->refusals = 0;
  if (refused && session->refusals < REFUSALS_MAX) session->refusals++;
  if (connection == HBEAT_CONNECTION_NEW) session->offered = good;
  if (!good) return;
  bool is_vain = session->refusals >= REFUSALS_MAX && is_of_today(path);
  if (connection == HBEAT_CONNECTION_NEW && !is_vain) write_session(d, bytes);
  if (connection == HBEAT_CONNECTION_RESUMED && had_refusals)
    write_session(d, bytes);
}

/* ---- Roots, token and secret ------------------------------------------- */

/* Roots and token may change while the daemon runs: SIGHUP has them read again,
 * and what is wrong then does not end it. */

/* Takes the roots, beside those that are in use; or says why it cannot. */
static const char *load_anchors(struct daemon *d) {
  static char pem[PEM_SIZE];
  hbeat_anchors a = {
      .arena = d->arenas[d->arena], .arena_size = sizeof *d->arenas};
  ssize_t size = read_file(d->options.ca, pem, sizeof pem);

  if (size < 0) return strerror(errno);
  if (size == sizeof pem) return "it is too long, less than 1 MiB is read";
  switch (hbeat_anchors_pem(&a, pem, (size_t)size)) {
  case HBEAT_OK: break;
  case HBEAT_ERR_TRUNCATED: return "it ends inside a certificate";
  case HBEAT_ERR_TOO_BIG: return "it has more certificates than fit, about 400";
  default: return "it has no certificate that can be used";
  }
  d->cfg.anchors = a.list;
  d->cfg.anchor_count = a.count;
  d->arena = !d->arena;
  return NULL;
}

/* Says why a text is no token, or returns NULL.  A token goes out in a line of
 * the request's head, so that a line end in it would begin another line. */
static const char *check_token(const char *text, char why[WHY_SIZE]) {
  size_t at = 0;

  while (text[at] > ' ' && text[at] <= '~') at++;
  if (at > 0 && text[at] == '\0') return NULL;
  if (at == 0 && *text == '\0') return "it is empty";
  snprintf(why, WHY_SIZE,
      "byte %zu, 0x%02X, cannot be in a token, which is visible ASCII on one"
      " line",
      at + 1, (unsigned)(unsigned char)text[at]);
  return why;
}

/* Reads the token, from its file or else the environment.  Returns NULL, or why
 * there is none that can be used. */
static const char *read_token(
    struct daemon *d, char token[TOKEN_SIZE], char why[WHY_SIZE]) {
  const char *path = d->options.token_file;
  const char *given = getenv("LUCIT_TOKEN");
  const char *unread = NULL;

  *token = '\0';
  if (path) unread = read_text(path, token, TOKEN_SIZE);
  else if (given && strlen(given) >= TOKEN_SIZE) unread = "it is too long";
  else if (given) memcpy(token, given, strlen(given) + 1);
  return unread ? unread : check_token(token, why);
}

/* What is no secret, but half of one, does not stay in memory. */
const char *read_secret(
    const char *path, char out[SECRET_SIZE], const char **secret) {
  const char *why = read_text(path, out, SECRET_SIZE);

  if (why) return why;
  char *end = out + strcspn(out, "\r\n");
  if (*end != '\0') *end++ = '\0';
  *secret = end + strspn(end, "\r\n");
  bool both = *out != '\0' && **secret != '\0';
  if (both && !strpbrk(*secret, "\r\n")) return NULL;
  memset(out, 0, SECRET_SIZE);
  return "it must be two lines, the API token and its secret";
}

/* A file that cannot be used ends the process at the start; later the one that
 * was read before stays in use. */
static void refuse_file(struct daemon *d, bool first, const char *option,
    const char *path, const char *why) {
  if (first) die(d, EXIT_FILE, "%s %s: %s", option, path, why);
  complain(
      d, "%s %s: %s: what was read before stays in use", option, path, why);
}

/* Without a token a log-in is needed at once; with one perhaps never. */
static void check_secret(struct daemon *d, bool is_needed) {
  const char *path = d->options.secret_file;
  const char *secret;
  const char *why = read_secret(path, d->beats.secret, &secret);

  memset(d->beats.secret, 0, sizeof d->beats.secret);
  if (!why) return;
  if (is_needed) die(d, EXIT_FILE, "--secret-file %s: %s", path, why);
  complain(d, "--secret-file %s: %s: log-ins will fail", path, why);
}

/* There is no token, and no way to one. */
static void refuse_token(struct daemon *d, const char *why) {
  const char *path = d->options.token_file;
  const char *given = getenv("LUCIT_TOKEN");

  if (path) die(d, EXIT_FILE, "--token-file %s: %s", path, why);
  if (given && *given != '\0') die(d, EXIT_USAGE, "LUCIT_TOKEN: %s", why);
  die(d, EXIT_USAGE,
      "no token: give --token-file FILE or --secret-file FILE, or set"
      " LUCIT_TOKEN");
}

/* A token from the environment cannot be another one later. */
static void load_token(struct daemon *d, bool first) {
  const struct options *o = &d->options;
  char token[TOKEN_SIZE];
  char phrase[WHY_SIZE];
  const char *why = read_token(d, token, phrase);

  if (first && o->secret_file) check_secret(d, why != NULL);
  else if (first && why) refuse_token(d, why);
  else if (why && o->token_file)
    refuse_file(d, first, "--token-file", o->token_file, why);
  if (why) return;
  if (first || o->token_file) memcpy(d->token, token, strlen(token) + 1);
}

/* The client is made anew: it knows the roots by their address. */
void load(struct daemon *d, bool first) {
  const char *why = load_anchors(d);

  if (why) refuse_file(d, first, "--ca", d->options.ca, why);
  hbeat_close(&d->client);
  d->cfg.clock_floor_s = d->clock.floor_s;
  if (hbeat_init(&d->client, &d->cfg) != HBEAT_OK)
    refuse_argument(d, hbeat_explain(&d->client));
  load_session(d);
  load_token(d, first);
  d->beats.next_ms = 0;
  d->beats.failures = 0;
}

bool read_newer_token(struct daemon *d) {
  char token[TOKEN_SIZE];
  char phrase[WHY_SIZE];

  if (!d->options.token_file || read_token(d, token, phrase)) return false;
  if (strcmp(token, d->token) == 0) return false;
  memcpy(d->token, token, strlen(token) + 1);
  return true;
}

/* Without a file the token lives as long as the daemon. */
void write_token(struct daemon *d) {
  const char *path = d->options.token_file;

  if (!path) return;
  if (!replace_file(path, d->token, strlen(d->token)))
    complain(
        d, "--token-file %s: cannot be written: %s", path, strerror(errno));
}

/* ---- The state --------------------------------------------------------- */

/* The state is the library's memory as it is, beside a lock of its own, which
 * stays while the file is replaced. */

/* Another process has the state, and sends the heartbeats: it may have a hook
 * that takes long.  Whoever was to send a number of them leaves that to it.
 * There is no second daemon on purpose. */
static void __attribute__((noreturn)) leave_to_another(struct daemon *d) {
  const char *path = d->options.state;
  const char *format = "skipped: %s\n";
  char line[MESSAGE_SIZE];
  char quoted[2 * MESSAGE_SIZE];

  if (d->log.forever)
    die(d, EXIT_FILE,
        "--state %s: another lucit-heartbeat uses it: each needs its own",
        path);
  snprintf(line, sizeof line,
      "--state %s: another lucit-heartbeat uses it, and sends the heartbeats",
      path);
  quote(line, quoted, sizeof quoted);
  if (d->log.json) format = "{\"skipped\":%s}\n";
  printf(format, quoted);
  exit(fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE);
}

/* Locks the state: two on one state would run all twice.  False where there is
 * no lock to be had; then nothing is written. */
static bool lock_state(struct daemon *d) {
  const char *path = d->options.state;
  struct flock whole;

  if (d->state_lock < 0) {
    char lock[PATH_SIZE];
    snprintf(lock, sizeof lock, "%s.lock", path);
    d->state_lock = open(lock, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  }
  if (d->state_lock < 0) return false;
  memset(&whole, 0, sizeof whole);
  whole.l_type = F_WRLCK;
  whole.l_whence = SEEK_SET;
  if (fcntl(d->state_lock, F_SETLK, &whole) == 0) return true;
  if (errno == EACCES || errno == EAGAIN) leave_to_another(d);
  die(d, EXIT_FILE, "--state %s: its file system has no locks: %s", path,
      strerror(errno));
}

static void complain_of_state(struct daemon *d) {
  complain(d,
      "--state %s: cannot be written: %s: until it can, no instruction"
      " runs",
      d->options.state, strerror(errno));
}

/* Without the lock nothing is written: another one may write there. */
void save_state(struct daemon *d) {
  const char *path = d->options.state;

  if (!d->memory.changed) return;
  d->memory.changed = 0;
  if (lock_state(d) && replace_file(path, &d->memory, sizeof d->memory)) return;
  d->memory.changed = 1;
  complain_of_state(d);
}

/* A state that cannot be read is left alone: what has run is not known. */
void load_state(struct daemon *d) {
  struct options *o = &d->options;
  unsigned char bytes[sizeof d->memory + 1];

  if (!lock_state(d)) complain_of_state(d);
  ssize_t n = read_file(o->state, bytes, sizeof bytes);
  if (n < 0 && errno != ENOENT) {
    complain(d, "--state %s: cannot be read: %s: no instruction runs", o->state,
        strerror(errno));
    o->state = NULL;
    o->hooks = NULL;
  }
  hbeat_error e = hbeat_memory_load(
      &d->memory, bytes, n > 0 ? (size_t)n : 0, &d->clock.floor_s);
  if (e != HBEAT_OK)
    complain(d,
        "--state %s: damaged, or of another version: it starts empty,"
        " and what ran may run again",
        o->state);
  save_state(d);
}
