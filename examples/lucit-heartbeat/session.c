/* The TLS session: a file that the next run begins with.
 *
 * The session is a secret, like the token: its file is its owner's alone.  And
 * whoever can write it can be the server: a file counts only where nobody else
 * can write it, its folder, or a link that leads to it.
 *
 * Behind the library's bytes is one that counts how often in a row the server
 * has refused to resume.  Many servers never do: their sessions are not worth
 * two writes to the disk at each run. */
#include "daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { REFUSALS_MAX = 2, FILE_SIZE = HBEAT_SESSION_SIZE + 1 };

/* ---- Where it is ------------------------------------------------------- */

/* Where others have a hand in, none is kept: what they left is not read, and
 * what was written there they could replace. */
static void turn_off(struct daemon *d, const char *who, const char *what) {
  complain(d, "--session %s: %s %s: no session is used or kept",
      d->options.session, who, what);
  d->options.session = NULL;
}

void find_session(struct daemon *d) {
  struct place *place = &d->session.place;
  struct options *o = &d->options;

  if (!o->session) return;
  if (!find_file(d, "--session", o->session, place)) o->session = NULL;
  else if (place->link_writer)
    turn_off(d, place->link_writer, "a link that leads to it");
}

void sweep_session(const struct daemon *d) {
  if (d->options.session) sweep_beside(d->session.place.path, FILE_SIZE);
}

/* ---- Loading ----------------------------------------------------------- */

/* Reads the session, if nobody else can have written it; -1 with errno, or with
 * *who that can. */
static ssize_t read_session(
    const char *path, unsigned char bytes[FILE_SIZE + 1], const char **who) {
  struct stat s;

  int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) return -1;
  if (fstat(fd, &s) == 0) *who = other_writer(&s);
  else *who = "somebody may write";
  if (!*who) return read_and_close(fd, bytes, FILE_SIZE + 1);
  close(fd);
  return -1;
}

/* No file is no session; a bad one is not used. */
void load_session(struct daemon *d) {
  const char *path = d->session.place.path;
  unsigned char bytes[FILE_SIZE + 1];
  char folder[PATH_SIZE];
  const char *who = NULL;
  struct stat s;

  d->session.offered = false;
  if (!d->options.session) return;
  if (stat(folder_of(path, folder), &s) == 0) who = other_writer(&s);
  if (who) {
    turn_off(d, who, "its folder");
    return;
  }
  ssize_t n = read_session(path, bytes, &who);
  if (n == FILE_SIZE) {
    d->session.offered =
        hbeat_session_load(&d->client, bytes, HBEAT_SESSION_SIZE);
    if (d->session.offered) d->session.refusals = bytes[HBEAT_SESSION_SIZE];
  }
  if (who)
    complain(d, "--session %s: %s the file: TLS begins without it",
        d->options.session, who);
  else if (n < 0 && errno != ENOENT)
    complain(d, "--session %s: %s: TLS begins without a session",
        d->options.session, strerror(errno));
}

/* ---- Keeping ----------------------------------------------------------- */

/* Whether a file was written within the last day. */
static bool is_of_today(const char *path) {
  struct stat s;

  if (stat(path, &s) != 0) return false;
  time_t age_s = time(NULL) - s.st_mtime;
  return age_s >= 0 && age_s < DAY / SECOND;
}

static void write_session(struct daemon *d, unsigned char bytes[FILE_SIZE]) {
  const char *path = d->session.place.path;
  char beside[PATH_SIZE];

  bytes[HBEAT_SESSION_SIZE] = d->session.refusals;
  if (!replace_file(path, path_beside(path, beside), bytes, FILE_SIZE))
    complain(d, "--session %s: cannot be written: %s", d->options.session,
        strerror(errno));
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
  const char *path = d->session.place.path;
  struct session *session = &d->session;
  unsigned char bytes[FILE_SIZE];

  if (!d->options.session) return;
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
