/* The file of --status-file: how it goes, in a line of JSON, for whoever
 * watches the device.
 *
 * It is replaced as a whole, like the other files, whenever an exchange or an
 * instruction has ended or begun.  It need not outlive a power cut: it is never
 * synced, and in /run no flash wears by it.  Its time of the last success, and
 * the failures since then, are read at the next start: runs from cron know what
 * became of those before.
 *
 * A daemon that is told to end leaves it with "running":false.  One that was
 * killed could not: its process is gone, and last_success_s grows old. */
#include "daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/* Everybody may read it: no secret is in it. */
enum { STATUS_MODE = 0644 };

/* ---- Writing ----------------------------------------------------------- */

/* Writes the file beside; false with errno. */
static bool write_beside(
    const struct daemon *d, const char *beside, bool runs) {
  unlink(beside);
  int fd = open(beside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, STATUS_MODE);
  if (fd < 0) return false;
  fchmod(fd, STATUS_MODE); /* whatever the umask; some file systems cannot */
  bool whole = print_status(d, fd, runs);
  int error = errno;
  if (close(fd) == 0) errno = error;
  else whole = false;
  return whole;
}

/* What cannot be written is told once, until it can be again. */
static void tell_error(struct daemon *d, int error) {
  struct status_file *file = &d->status_file;
  const char *path = d->options.status_file;

  if (error == file->write_error) return;
  file->write_error = error;
  if (error == 0) note(d, "--status-file %s: can be written again", path);
  else
    complain(d, "--status-file %s: cannot be written: %s: heartbeats go on",
        path, strerror(error));
}

static void replace_status(struct daemon *d, bool runs) {
  const char *path = d->status_file.place.path;
  char beside[PATH_SIZE];
  int error = 0;

  path_beside(path, beside);
  bool replaced = write_beside(d, beside, runs) && rename(beside, path) == 0;
  if (!replaced) {
    error = errno;
    unlink(beside);
  }
  tell_error(d, error);
}

void write_status_file(struct daemon *d) {
  struct status_file *file = &d->status_file;
  const struct beats *b = &d->beats;

  if (!d->options.status_file) return;
  bool is_same = file->is_written &&
      file->exchanges_ended == b->exchanges_ended &&
      file->jobs_ended == d->jobs_ended && file->job_state == d->job.state &&
      file->next_ms == b->next_ms;
  if (is_same) return;
  file->is_written = true;
  file->exchanges_ended = b->exchanges_ended;
  file->jobs_ended = d->jobs_ended;
  file->job_state = d->job.state;
  file->next_ms = b->next_ms;
  replace_status(d, true);
}

void end_status_file(struct daemon *d) {
  if (d->options.status_file) replace_status(d, false);
}

/* ---- The start --------------------------------------------------------- */

/* Takes a member of what the last run has left. */
static void take_member(
    struct daemon *d, const hbeat_json *key, const hbeat_json *value) {
  struct beats *b = &d->beats;
  char name[16];
  int64_t number;

  hbeat_json_string(key, name, sizeof name);
  if (hbeat_json_number(value, 0, &number) != HBEAT_OK) return;
  if (number <= 0) return;
  if (strcmp(name, "last_success_s") == 0) b->succeeded_s = number;
  if (strcmp(name, "failures") == 0 && number < UINT32_MAX)
    b->failed_in_a_row = (uint32_t)number;
}

/* What is no line of ours is written over. */
static void recall_status(struct daemon *d) {
  const char *path = d->status_file.place.path;
  hbeat_json line;
  hbeat_json key;
  hbeat_json value;

  if (may_hold(path)) return;
  ssize_t n = read_file(path, d->body, sizeof d->body);
  if (n < 0) return;
  if (hbeat_json_parse(d->body, (size_t)n, &line) != HBEAT_OK) return;
  while (hbeat_json_next(&line, &key, &value)) take_member(d, &key, &value);
}

void find_status_file(struct daemon *d) {
  struct options *o = &d->options;
  struct place *place = &d->status_file.place;

  if (!o->status_file) return;
  if (!find_file(d, "--status-file", o->status_file, place)) {
    o->status_file = NULL;
    return;
  }
  sweep_beside(place->path, sizeof d->body);
  recall_status(d);
}
