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
#include <unistd.h>

enum { PEM_SIZE = 1 << 20 }; /* Debian's bundle has 220 KB */

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

/* The text has a NUL behind it, so that `size` bytes are too many. */
const char *read_text(const char *path, char *out, size_t size) {
  ssize_t n = read_file(path, out, size);
  const char *why = NULL;

  if (n < 0) why = strerror(errno);
  else if ((size_t)n >= size) why = "too long";
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
bool is_replaceable(struct daemon *d, const char *path) {
  struct stat s;

  if (!path || stat(path, &s) != 0 || S_ISREG(s.st_mode)) return true;
  complain(d, path, "not a regular file");
  return false;
}

/* ---- The TLS session --------------------------------------------------- */

/* The session is a secret, like the token: its file is its owner's alone. */

/* No file is no session; a bad one is not used. */
void load_session(struct daemon *d) {
  const char *path = d->options.session;
  unsigned char bytes[HBEAT_SESSION_SIZE + 1];

  if (!path) return;
  ssize_t n = read_file(path, bytes, sizeof bytes);
  if (n >= 0) hbeat_session_load(&d->client, bytes, (size_t)n);
  else if (errno != ENOENT) complain(d, path, strerror(errno));
}

/* The session of a kept connection is what it was.  A file may have several
 * writers, each of which writes beside it under a name of its own. */
void keep_session(struct daemon *d, hbeat_connection connection) {
  const char *path = d->options.session;
  unsigned char bytes[HBEAT_SESSION_SIZE];
  char beside[PATH_SIZE];

  if (!path) return;
  bool good = hbeat_session_save(&d->client, bytes);
  if (connection == HBEAT_CONNECTION_NONE && !good) unlink(path);
  if (connection != HBEAT_CONNECTION_NEW || !good) return;
  snprintf(beside, sizeof beside, "%s.%ld", path, (long)getpid());
  if (!write_file(path, beside, bytes, sizeof bytes))
    complain(d, path, strerror(errno));
}

/* ---- Roots and token --------------------------------------------------- */

/* Both may change while the daemon runs: SIGHUP has them read again, and what is
 * wrong then does not end it. */

/* Takes the roots, beside those that are in use; or says why it cannot. */
static const char *load_anchors(struct daemon *d) {
  static char pem[PEM_SIZE];
  hbeat_anchors a = {
      .arena = d->arenas[d->arena], .arena_size = sizeof *d->arenas};
  ssize_t size = read_file(d->options.ca, pem, sizeof pem);

  if (size < 0) return strerror(errno);
  if (size == sizeof pem) return "too long";
  switch (hbeat_anchors_pem(&a, pem, (size_t)size)) {
  case HBEAT_OK: break;
  case HBEAT_ERR_TRUNCATED: return "ends inside a certificate";
  case HBEAT_ERR_TOO_BIG: return "more certificates than fit";
  default: return "no certificate that can be used";
  }
  d->cfg.anchors = a.list;
  d->cfg.anchor_count = a.count;
  d->arena = !d->arena;
  return NULL;
}

/* Reads a token, from its file or else the environment; "" where there is none.
 * Returns NULL, or why it is not fit for a heartbeat. */
static const char *read_token(struct daemon *d, char token[TOKEN_SIZE]) {
  const char *path = d->options.token_file;
  const char *given = getenv("LUCIT_TOKEN");
  hbeat_request beat = {.lightning_version = d->options.lightning_version};
  hbeat_config probe = d->cfg;
  const char *why = NULL;
  hbeat_exchange x;

  *token = '\0';
  if (path) why = read_text(path, token, TOKEN_SIZE);
  else if (given && strlen(given) < TOKEN_SIZE)
    memcpy(token, given, strlen(given) + 1);
  if (why) return why;
  probe.token = token;
  if (hbeat_begin(&x, &probe, &beat, &d->reply) == HBEAT_OK) return NULL;
  return x.what;
}

/* What is wrong at the start ends the process; later it is told. */
static void wrong(
    struct daemon *d, bool first, const char *why, const char *which) {
  if (first) die(d, why, which);
  else complain(d, why, which);
}

/* A token from the environment cannot be another one later. */
static void load_token(struct daemon *d, bool first) {
  const struct options *o = &d->options;
  char token[TOKEN_SIZE];
  const char *why = read_token(d, token);

  if (!why) {
    if (first || o->token_file) memcpy(d->token, token, strlen(token) + 1);
    return;
  }
  if (first && o->secret_file) return; /* a log-in mends it */
  if (!first && !o->token_file) return;
  const char *which = o->token_file;
  if (!which) which = "--token-file or LUCIT_TOKEN";
  wrong(d, first, why, which);
}

/* The client is made anew: it knows the roots by their address. */
void load(struct daemon *d, bool first) {
  const char *why = load_anchors(d);

  if (why) wrong(d, first, why, d->options.ca);
  hbeat_close(&d->client);
  d->cfg.clock_floor_s = d->clock.floor_s;
  if (hbeat_init(&d->client, &d->cfg) != HBEAT_OK)
    die(d, hbeat_explain(&d->client), "see --help");
  load_session(d);
  load_token(d, first);
  d->beats.next_ms = 0;
  d->beats.failures = 0;
}

/* Without a file the token lives as long as the daemon. */
void write_token(struct daemon *d) {
  const char *path = d->options.token_file;

  if (!path) return;
  if (!replace_file(path, d->token, strlen(d->token)))
    complain(d, path, strerror(errno));
}

/* ---- The state --------------------------------------------------------- */

/* The state is the library's memory as it is, beside a lock of its own, which
 * stays while the file is replaced. */

/* Locks the state: two on one state would run all twice.  False where there is
 * no lock to be had; then nothing is written. */
static bool lock_state(struct daemon *d) {
  struct flock whole;

  if (d->state_lock < 0) {
    char path[PATH_SIZE];
    snprintf(path, sizeof path, "%s.lock", d->options.state);
    d->state_lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  }
  if (d->state_lock < 0) return false;
  memset(&whole, 0, sizeof whole);
  whole.l_type = F_WRLCK;
  whole.l_whence = SEEK_SET;
  if (fcntl(d->state_lock, F_SETLK, &whole) != 0)
    die(d, "another lucit-heartbeat uses it, or it has no locks",
        d->options.state);
  return true;
}

/* Without the lock nothing is written: another one may write there. */
void save_state(struct daemon *d) {
  const char *path = d->options.state;

  if (!d->memory.changed) return;
  d->memory.changed = 0;
  if (lock_state(d) && replace_file(path, &d->memory, sizeof d->memory)) return;
  d->memory.changed = 1;
  complain(d, "no state is written, and nothing runs", strerror(errno));
}

/* A state that cannot be read is left alone: what has run is not known. */
void load_state(struct daemon *d) {
  struct options *o = &d->options;
  unsigned char bytes[sizeof d->memory + 1];

  lock_state(d);
  ssize_t n = read_file(o->state, bytes, sizeof bytes);
  if (n < 0 && errno != ENOENT) {
    complain(d, o->state, strerror(errno));
    o->state = NULL;
    o->hooks = NULL;
  }
  hbeat_error e = hbeat_memory_load(
      &d->memory, bytes, n > 0 ? (size_t)n : 0, &d->clock.floor_s);
  if (e != HBEAT_OK)
    complain(d, "not mine, or torn: it is begun anew", o->state);
  save_state(d);
}
