/* The state: the library's memory as it is, in a file.
 *
 * The file may be another one at any time: its partition is mounted late, a
 * backup is restored, somebody empties it.  What was left there is remembered,
 * and compared before anything is written over it or run:
 *
 *     what is there           at the start            later
 *     the file as left        -                       nothing is done
 *     none                    noted                   noted, and written anew
 *     another one             read                    read and merged: what it
 *                                                     says ran, ran
 *     an empty, torn or       told, and kept as       the same, and written
 *     foreign one             STATE.bad               anew
 *     one that cannot be      told; nothing runs      the same
 *     read                    until it can
 *
 * Nothing runs either that is not written down as taken, or without the lock.
 * What is wrong is told once, until it is over. */
#include "daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/* ---- What is told ------------------------------------------------------ */

static void complain_of_reading(struct daemon *d) {
  if (errno == d->state.read_error) return;
  d->state.read_error = errno;
  complain(d,
      "--state %s: cannot be read: %s: until it can, no instruction"
      " runs",
      d->options.state, strerror(errno));
}

static void complain_of_writing(struct daemon *d, const char *suffix) {
  if (errno == d->state.write_error) return;
  d->state.write_error = errno;
  complain(d,
      "--state %s%s: cannot be written: %s: until it can, no"
      " instruction runs",
      d->options.state, suffix, strerror(errno));
}

/* What could not be done goes well again. */
static void end_trouble(struct daemon *d, int *error, const char *what) {
  if (*error == 0) return;
  *error = 0;
  note(d, "--state %s: can be %s again", d->options.state, what);
}

/* The loop ends the daemon, in good order. */
static void lose_state(struct daemon *d) {
  d->state.is_lost = true;
  complain(d,
      "--state %s: another lucit-heartbeat has locked it: this one writes and"
      " runs nothing any more, and ends",
      d->options.state);
  wake_at(d, 0);
}

/* ---- What is there ----------------------------------------------------- */

struct identity identity_of(const struct stat *s) {
  return (struct identity){.exists = true,
      .device = s->st_dev,
      .inode = s->st_ino,
      .size = s->st_size,
      .modified = s->st_mtim,
      .changed = s->st_ctim};
}

static bool is_same_time(struct timespec a, struct timespec b) {
  return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

/* Whether it is one file, which nobody has written in between. */
static bool is_same(const struct identity *a, const struct identity *b) {
  if (!a->exists || !b->exists) return a->exists == b->exists;
  return a->device == b->device && a->inode == b->inode && a->size == b->size &&
      is_same_time(a->modified, b->modified) &&
      is_same_time(a->changed, b->changed);
}

/* Finds out which file stands at a path, or that there is none; false with
 * errno. */
static bool identify(const char *path, struct identity *identity) {
  struct stat s;

  *identity = (struct identity){.exists = false};
  if (lstat(path, &s) == 0) *identity = identity_of(&s);
  return identity->exists || errno == ENOENT;
}

/* Takes what a file holds.  The bytes that were left there are no news, in
 * whatever file they are now.  False: it is no state. */
static bool take_state(struct daemon *d, const void *bytes, size_t size) {
  struct state *state = &d->state;
  hbeat_memory found;
  int64_t time_s = HBEAT_NONE;

  if (size == 0) return false;
  if (hbeat_memory_load(&found, bytes, size, &time_s) != HBEAT_OK) return false;
  if (state->is_loaded && memcmp(bytes, &state->left, size) == 0) return true;
  memcpy(&state->left, bytes, size);
  raise_clock(&d->clock, time_s);
  if (!state->is_loaded) {
    d->memory = found;
    return true;
  }
  hbeat_memory_merge(&d->memory, &found);
  d->memory.changed = 1; /* the file does not know what is known here */
  state->was_replaced = true;
  if (d->job.state == JOB_NONE) recall_end(d);
  note(d, "--state %s: another file is there now: what it says ran, ran",
      d->options.state);
  return true;
}

/* Keeps what is no state as STATE.bad.  Without the lock it is left alone. */
static bool set_aside(struct daemon *d, bool is_empty) {
  const char *what = is_empty ? "it is empty"
                              : "it is damaged, foreign, or of another version";
  char bad[PATH_SIZE];

  if (d->state_lock < 0) return false;
  snprintf(bad, sizeof bad, "%s.bad", d->state.place.path);
  if (rename(d->state.place.path, bad) != 0) {
    complain_of_writing(d, ".bad");
    return false;
  }
  complain(d,
      "--state %s: %s: it is kept as %s, and what only it knew may run again",
      d->options.state, what, bad);
  d->state.left_as = (struct identity){.exists = false};
  if (d->state.is_loaded) d->memory.changed = 1;
  return true;
}

/* Reads the file.  False: it cannot be read. */
static bool read_state(struct daemon *d) {
  const char *path = d->state.place.path;
  unsigned char bytes[sizeof d->memory + 1];
  ssize_t n = -1;
  struct stat s;

  int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  if (fd >= 0) {
    fstat(fd, &s); /* before: what is written meanwhile is read once more */
    n = read_and_close(fd, bytes, sizeof bytes);
  }
  if (n < 0) {
    complain_of_reading(d);
    return false;
  }
  end_trouble(d, &d->state.read_error, "read");
  if (!take_state(d, bytes, (size_t)n)) return set_aside(d, n == 0);
  d->state.left_as = identity_of(&s);
  return true;
}

/* Reads the file where it is not as it was left.  False: it cannot be read. */
static bool look(struct daemon *d) {
  struct identity now;

  if (!identify(d->state.place.path, &now)) {
    complain_of_reading(d);
    return false;
  }
  if (is_same(&now, &d->state.left_as)) {
    end_trouble(d, &d->state.read_error, "read");
    return true;
  }
  if (now.exists) return read_state(d);
  d->state.left_as = now;
  d->memory.changed = 1;
  note(d, "--state %s: it is gone, and is written anew", d->options.state);
  return true;
}

/* The state has just been locked: no hook of an earlier daemon lives on, and
 * what killed runs have left half written goes: version 0.3 the state, a keeper
 * how its hook ended. */
static void begin_with_lock(struct daemon *d) {
  static const char *const suffixes[] = {".new", ".end.new"};
  char path[PATH_SIZE];

  await_keepers(d);
  for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++) {
    snprintf(path, sizeof path, "%s%s", d->state.place.path, suffixes[i]);
    unlink(path);
  }
}

bool check_state(struct daemon *d) {
  bool had_lock = d->state_lock >= 0;

  if (d->state.is_lost) return false;
  switch (lock_state(d)) {
  case LOCK_HELD:
    if (had_lock) break;
    begin_with_lock(d); /* which could not be had at the start */
    recall_end(d);
    break;
  case LOCK_BY_ANOTHER: lose_state(d); return false;
  case LOCK_IMPOSSIBLE: complain_of_writing(d, ".lock"); return false;
  }
  return look(d);
}

/* ---- Writing ----------------------------------------------------------- */

void save_state(struct daemon *d) {
  struct state *state = &d->state;

  if (!d->memory.changed || !check_state(d)) return;
  d->memory.changed = 0;
  if (!write_spare(state, &d->memory, sizeof d->memory)) {
    d->memory.changed = 1;
    complain_of_writing(d, "");
    return;
  }
  state->left = d->memory;
  keep_spare(state, sizeof d->memory);
  end_trouble(d, &state->write_error, "written");
}

/* One that was taken, and cannot be written down, waits again: a file that says
 * it ran may yet appear.  One that has appeared meanwhile is merged anew then.
 * The texts are those of a copy, for a merge moves what is in the memory. */
bool take_due(struct daemon *d, int64_t time_s, const hbeat_limits *limits,
    hbeat_instruction *i) {
  struct state *state = &d->state;

  memset(i, 0, sizeof *i);
  i->run_at_s = HBEAT_NONE;
  if (state->write_error == 0) save_state(d);
  if (d->memory.changed) return false;
  hbeat_memory before = d->memory;
  state->handed = d->memory;
  state->was_replaced = false;
  bool due = hbeat_memory_due(&state->handed, time_s, limits, i);
  d->memory = state->handed;
  save_state(d);
  if (!due || !d->memory.changed) return due;
  d->memory = before;
  if (state->was_replaced) {
    state->left_as = (struct identity){.exists = false};
    memset(&state->left, 0, sizeof state->left);
  }
  i->run_at_s = HBEAT_NONE;
  return false;
}

/* ---- The start --------------------------------------------------------- */

bool find_state(struct daemon *d) {
  struct state *state = &d->state;
  const char *path = d->options.state;
  char lock[PATH_SIZE];
  struct stat s;

  if (!path) return true;
  if (!find_file(d, "--state", path, &state->place)) return false;
  note_writers(d, "--state", state->place.path);
  snprintf(lock, sizeof lock, "%s.lock", state->place.path);
  if (lstat(lock, &s) != 0 || S_ISREG(s.st_mode)) return true;
  complain(d, "--state %s: its lock file %s is not a regular file", path, lock);
  return false;
}

/* Without a lock the state is read all the same: it has the time. */
enum lock_result load_state(struct daemon *d) {
  struct state *state = &d->state;
  struct stat s;

  hbeat_memory_load(&d->memory, "", 0, NULL);
  enum lock_result lock = lock_state(d);
  if (lock == LOCK_BY_ANOTHER) return lock;
  if (lock == LOCK_IMPOSSIBLE) complain_of_writing(d, ".lock");
  else begin_with_lock(d);
  if (lstat(state->place.path, &s) != 0 && errno == ENOENT)
    note(d, "--state %s: there is no such file: it starts empty",
        d->options.state);
  look(d);
  state->is_loaded = true;
  recall_end(d);
  save_state(d);
  if (lock == LOCK_HELD) keep_spare(state, sizeof d->memory);
  return lock;
}

/* ---- For --check ------------------------------------------------------- */

/* Says what the file holds; it may be another one a moment later, if a daemon
 * is running. */
static void check_contents(struct daemon *d, const char *use) {
  const char *path = d->state.place.path;
  unsigned char bytes[sizeof d->memory + 1];
  ssize_t n = read_file(path, bytes, sizeof bytes);

  if (n < 0 && errno == ENOENT)
    tell_found(d, "--state %s: it is made at the start%s", path, use);
  else if (n < 0) complain(d, "--state %s: %s", path, strerror(errno));
  else if (n == 0) complain(d, "--state %s: it is empty%s", path, use);
  else if (!take_state(d, bytes, (size_t)n))
    complain(d, "--state %s: it is damaged, foreign, or of another version%s",
        path, use);
  else
    tell_found(d, "--state %s: reports that wait: %zu%s", path,
        count_reports(&d->memory), use);
}

void check_state_file(struct daemon *d) {
  const char *path = d->state.place.path;
  const char *use = "";

  if (!d->options.state) {
    tell_found(d, "none: instructions are not remembered");
    return;
  }
  if (!find_state(d)) return;
  check_folder(d, "--state", path);
  switch (foresee_lock(d)) {
  case LOCK_HELD: break;
  case LOCK_BY_ANOTHER: use = "; in use by a running daemon"; break;
  case LOCK_IMPOSSIBLE:
    complain(d, "--state %s.lock: cannot be locked: %s", path, strerror(errno));
    break;
  }
  check_contents(d, use);
}
