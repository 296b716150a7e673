/* What --check looks at, before a box leaves the bench: a table with a row a
 * thing, which says "ok", "wrong", or "told" of what works and somebody should
 * know.  What belongs to one file of the command is looked at there; here is
 * the order, and what belongs to none.
 *
 * Nothing is sent to the API, no hook runs, no file changes; a daemon may be
 * running meanwhile.  What this user may read and write is told, which is not
 * what another user may. */
#include "daemon.h"

#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

/* What the library would refuse ends the check: nothing else has a meaning
 * then. */
static void check_options(struct daemon *d) {
  const struct options *o = &d->options;
  hbeat_request beat = make_beat(d);
  char interval[TIME_SIZE];
  hbeat_exchange x;

  if (hbeat_begin(&x, &d->cfg, &beat, &d->reply) != HBEAT_OK)
    refuse_argument(d, x.what);
  write_time(o->interval.value, interval);
  if (goes_on_for_ever(o))
    tell_found(d, "--device %s: a heartbeat each %s", o->device, interval);
  else
    tell_found(d, "--device %s: %" PRId64 " in number, %s apart", o->device,
        o->count.value, interval);
}

/* ---- Files ------------------------------------------------------------- */

/* It has been read: who else can write it is what remains. */
static void check_config(struct daemon *d) {
  note_config(d);
  if (d->options.config) tell_found(d, "--config %s", d->options.config);
  else tell_found(d, "none");
}

/* It is not run: what it prints is another matter. */
static void check_info_command(struct daemon *d) {
  const char *path = d->options.info_command;

  if (!path) {
    tell_found(d, "none");
    return;
  }
  const char *why = why_not_executable(path);
  if (why) complain(d, "--info-command %s: %s", path, why);
  else tell_found(d, "--info-command %s", path);
}

/* Whether root looks into a folder of another user, such as the service's, that
 * is nobody else's: what root may do there is not what that user may. */
static bool is_another_users(const char *path, uid_t *owner) {
  char folder[PATH_SIZE];
  struct stat s;

  if (geteuid() != 0) return false;
  if (stat(folder_of(path, folder), &s) != 0) return false;
  *owner = s.st_uid;
  return s.st_uid != 0 && (s.st_mode & (S_IWGRP | S_IWOTH)) == 0;
}

/* A file that is damaged is no error: the next run writes another one. */
static void check_session(struct daemon *d) {
  const char *path = d->session.place.path;
  const char *what = "none to begin with";
  uid_t owner;

  if (d->options.session) find_session(d);
  else tell_found(d, "none: each run begins with a full handshake");
  if (!d->options.session) return;
  if (is_another_users(path, &owner)) {
    note(d,
        "--session %s: user %ld owns its folder, and may keep one there: root"
        " does not",
        path, (long)owner);
    return;
  }
  check_folder(d, "--session", path);
  load_session(d);
  if (d->session.offered) what = "one to begin with";
  tell_found(d, "--session %s: %s", path, what);
}

/* What the last run has left there is of no interest. */
static void check_status_file(struct daemon *d) {
  const char *path = d->options.status_file;
  struct place *place = &d->status_file.place;

  if (!path) tell_found(d, "none");
  if (!path || !find_file(d, "--status-file", path, place)) return;
  check_folder(d, "--status-file", place->path);
  tell_found(d, "--status-file %s", place->path);
}

/* ---- The network ------------------------------------------------------- */

/* Without roots a name can still be looked up. */
static void prepare_client(struct daemon *d) {
  static const br_x509_trust_anchor nobody;

  if (d->cfg.anchor_count == 0) {
    d->cfg.anchors = &nobody;
    d->cfg.anchor_count = 1;
  }
  if (hbeat_init(&d->client, &d->cfg) != HBEAT_OK)
    refuse_argument(d, hbeat_explain(&d->client));
}

/* The proxy's port is 80 where none is given; its login is not shown. */
static void check_route(struct daemon *d) {
  const hbeat_config *cfg = &d->cfg;
  const char *from = "https_proxy";
  const char *login = "";
  unsigned port = cfg->proxy_port;

  prepare_client(d);
  if (d->options.proxy) from = "--proxy";
  if (cfg->proxy_login) login = ", with a login";
  if (port == 0) port = 80;
  if (cfg->address) tell_found(d, "--connect %s", cfg->address);
  else if (!cfg->proxy) tell_found(d, "straight to %s", cfg->host);
  else tell_found(d, "%s: %s, port %u%s", from, cfg->proxy, port, login);
}

/* Steps as far as the look-up goes.  Behind it the client wants to be stepped
 * at once, and only then connects: here it never does. */
static hbeat_error look_up(struct daemon *d) {
  hbeat_error e = hbeat_step(&d->client);
  hbeat_wait w = hbeat_wants(&d->client);

  while (e == HBEAT_AGAIN && w.fd >= 0) {
    struct pollfd polled = {w.fd, w.events, 0};
    poll(&polled, 1, w.timeout_ms);
    e = hbeat_step(&d->client);
    w = hbeat_wants(&d->client);
  }
  return e;
}

/* By the library's own resolver, as a heartbeat would.  That there is an
 * address is all that it tells; nobody knows yet whether it answers. */
static void check_name(struct daemon *d) {
  const hbeat_config *cfg = &d->cfg;
  const char *name = cfg->host;
  hbeat_request beat = make_beat(d);
  int64_t begun_ms = now_ms();

  if (cfg->proxy) name = cfg->proxy;
  if (cfg->address) {
    tell_found(d, "%s is not looked up", name);
    return;
  }
  hbeat_error e = hbeat_start(&d->client, &beat, &d->reply);
  if (e == HBEAT_OK) e = look_up(d);
  if (e != HBEAT_AGAIN) complain(d, "%s", hbeat_explain(&d->client));
  else
    tell_found(d, "%s has an address, found in %" PRId64 " ms", name,
        now_ms() - begun_ms);
}

/* ---- Time and rights --------------------------------------------------- */

/* Only a state tells of a time after that of the compiler. */
static void check_clock(struct daemon *d) {
  const struct clock *c = &d->clock;
  int64_t system_s = time(NULL);
  bool is_behind = system_s + MINUTE / SECOND < now_s(c);
  char stamp[STAMP_SIZE];
  char floor[STAMP_SIZE];

  write_stamp(system_s, stamp);
  write_stamp(now_s(c), floor);
  if (system_clock_is_set(c)) tell_found(d, "%s, synchronized", stamp);
  else if (is_behind)
    note(d, "%s is past: until the server tells the time it counts as %s",
        stamp, floor);
  else
    note(d,
        "%s, not synchronized: what has a time to run at waits for the server's"
        " clock",
        stamp);
}

/* ---- All of it --------------------------------------------------------- */

/* In this order: the state knows a time for the clock, the client needs the
 * roots, and its session and name the client. */
static const struct row {
  const char *thing;
  void (*check)(struct daemon *d);
} rows[] = {
    {"options", check_options},
    {"config", check_config},
    {"token", check_token},
    {"secret", check_secret},
    {"info-command", check_info_command},
    {"hooks", check_each_hook},
    {"state", check_state_file},
    {"status-file", check_status_file},
    {"clock", check_clock},
    {"roots", check_roots},
    {"route", check_route},
    {"session", check_session},
    {"name", check_name},
};

/* The token that the client has is never sent, and no file's. */
int check(struct daemon *d) {
  d->cfg.token = "-";
  look_at(d, "user");
  tell_found(
      d, "number %ld: what follows is what this one may", (long)geteuid());
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    look_at(d, rows[i].thing);
    rows[i].check(d);
  }
  hbeat_close(&d->client);
  return d->log.something_is_wrong ? EXIT_USAGE : EXIT_SUCCESS;
}
