/* What a heartbeat is sent with: roots, token and secret.
 *
 * Roots and token may change while the daemon runs: SIGHUP has them read again,
 * and what is wrong then does not end it.  A log-in replaces the token, in
 * memory and in its file.
 *
 * Who else can write the token or the secret is told at the start, and does not
 * keep them from being used: on FAT, or in a container, there may be no other
 * place.  Who can read them is told as well. */
#include "daemon.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
  PEM_SIZE = 1 << 20, /* Debian's bundle has 220 KB */
  WHY_SIZE = 96       /* of a phrase that says what is wrong */
};

/* ---- Roots ------------------------------------------------------------- */

/* Takes the roots, beside those that are in use; or says why it cannot. */
static const char *load_anchors(struct daemon *d) {
  static char pem[PEM_SIZE];
  hbeat_anchors a = {
      .arena = d->arenas[d->arena], .arena_size = sizeof *d->arenas};
  bool may_wait = d->cfg.anchor_count == 0; /* at the start */

  if (!may_wait && may_hold(d->options.ca)) return "it is no regular file";
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

/* ---- Token and secret -------------------------------------------------- */

/* Says why a text is no token, or returns NULL.  A token goes out in a line of
 * the request's head, so that a line end in it would begin another line. */
static const char *why_no_token(const char *text, char why[WHY_SIZE]) {
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

/* Finds the token's file; a link may be another one at each SIGHUP.  One that
 * leads nowhere is left to whoever reads there. */
static void find_token(struct daemon *d) {
  const char *path = d->options.token_file;
  struct place *place = &d->token_place;

  if (path && !follow_links(path, place))
    snprintf(place->path, sizeof place->path, "%s", path);
}

/* Says who else can write or read what is a secret. */
static void note_secret(
    struct daemon *d, const char *option, const char *path) {
  if (!path) return;
  note_writers(d, option, path);
  note_readers(d, option, path);
}

/* Without log-ins nothing is written there: any file will do, even a pipe. */
bool check_token_file(struct daemon *d) {
  const struct options *o = &d->options;

  if (!o->secret_file || !o->token_file) return true;
  return find_file(d, "--token-file", o->token_file, &d->token_place);
}

/* Reads the token, from its file or else the environment.  Returns NULL, or why
 * there is none that can be used. */
static const char *read_token(struct daemon *d, char token[TOKEN_SIZE],
    char why[WHY_SIZE], bool may_wait) {
  const char *path = d->token_place.path;
  const char *given = getenv("LUCIT_TOKEN");
  const char *unread = NULL;

  *token = '\0';
  if (d->options.token_file)
    unread = read_text(path, token, TOKEN_SIZE, may_wait);
  else if (given && strlen(given) >= TOKEN_SIZE) unread = "it is too long";
  else if (given) memcpy(token, given, strlen(given) + 1);
  return unread ? unread : why_no_token(token, why);
}

/* What is no secret, but half of one, does not stay in memory. */
const char *read_secret(const char *path, char out[SECRET_SIZE],
    const char **secret, bool may_wait) {
  const char *why = read_text(path, out, SECRET_SIZE, may_wait);

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
static void try_secret(struct daemon *d, bool is_needed) {
  const char *path = d->options.secret_file;
  const char *secret;
  const char *why = read_secret(path, d->beats.secret, &secret, true);

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

  find_token(d);
  if (first && o->token_file)
    note_secret(d, "--token-file", d->token_place.path);
  if (first) note_secret(d, "--secret-file", o->secret_file);
  const char *why = read_token(d, token, phrase, first);
  if (first && o->secret_file) try_secret(d, why != NULL);
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
  d->cfg.clock_is_set = system_clock_is_set(&d->clock);
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

  if (!d->options.token_file || read_token(d, token, phrase, false))
    return false;
  if (strcmp(token, d->token) == 0) return false;
  memcpy(d->token, token, strlen(token) + 1);
  return true;
}

/* Without a file the token lives as long as the daemon. */
void write_token(struct daemon *d) {
  const char *path = d->token_place.path;
  char beside[PATH_SIZE];

  if (!d->options.token_file) return;
  snprintf(beside, sizeof beside, "%s.new", path);
  if (!replace_file(path, beside, d->token, strlen(d->token)))
    complain(d, "--token-file %s: cannot be written: %s", d->options.token_file,
        strerror(errno));
}

/* ---- For --check ------------------------------------------------------- */

/* A pipe is left to the run that it is for, which may take what is in it, and
 * wait for it.  True: it is one. */
static bool leave_pipe(struct daemon *d, const char *option, const char *path) {
  if (!path || !is_pipe(path)) return false;
  note(d, "%s %s: it is no file, and is not read here", option, path);
  return true;
}

void check_roots(struct daemon *d) {
  const char *path = d->options.ca;

  if (leave_pipe(d, "--ca", path)) return;
  const char *why = load_anchors(d);

  if (why) complain(d, "--ca %s: %s", path, why);
  else tell_found(d, "--ca %s: %zu roots", path, d->cfg.anchor_count);
}

/* Where a log-in can mend it, it is not wrong.  The file that a log-in writes
 * is looked at as such, too. */
void check_token(struct daemon *d) {
  const struct options *o = &d->options;
  const char *path = d->token_place.path;
  char phrase[WHY_SIZE];

  if (leave_pipe(d, "--token-file", o->token_file)) return;
  find_token(d);
  if (o->token_file) note_secret(d, "--token-file", path);
  if (o->token_file && o->secret_file && check_token_file(d))
    check_folder(d, "--token-file", path);
  const char *why = read_token(d, d->token, phrase, true);
  const char *option = o->token_file ? "--token-file " : "LUCIT_TOKEN";
  if (!o->token_file) path = "";
  if (!why) tell_found(d, "%s%s: %zu bytes", option, path, strlen(d->token));
  else if (o->secret_file)
    note(d, "%s%s: %s: it begins with a log-in", option, path, why);
  else if (!o->token_file && !getenv("LUCIT_TOKEN"))
    complain(
        d, "none: neither a file, nor a secret for log-ins, nor LUCIT_TOKEN");
  else complain(d, "%s%s: %s", option, path, why);
}

/* It may be needed at the first refusal, years from now: so it is wrong at once
 * where it is wrong. */
void check_secret(struct daemon *d) {
  const char *path = d->options.secret_file;
  const char *secret;

  if (!path) {
    tell_found(d, "none: there are no log-ins");
    return;
  }
  if (leave_pipe(d, "--secret-file", path)) return;
  note_secret(d, "--secret-file", path);
  const char *why = read_secret(path, d->beats.secret, &secret, true);
  memset(d->beats.secret, 0, sizeof d->beats.secret);
  if (why) complain(d, "--secret-file %s: %s", path, why);
  else tell_found(d, "--secret-file %s: a token and its secret", path);
}
