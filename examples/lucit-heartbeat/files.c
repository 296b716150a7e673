/* Files in general: how they are read and replaced, where a path leads, and who
 * else may write there.
 *
 * What is replaced is replaced whole or not at all, by way of a file beside it
 * that is renamed, and is on the disk before anything else is done: a power cut
 * at any moment leaves the old file or the new one.  Links are followed before:
 * the file that they lead to is replaced, never a link. */
#include "daemon.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <string.h>
#include <unistd.h>

enum { LINKS_MAX = 40 }; /* on the way to a file, as Linux has it */

/* ---- Reading ----------------------------------------------------------- */

bool may_hold(const char *path) {
  struct stat s;

  return stat(path, &s) == 0 && !S_ISREG(s.st_mode);
}

bool is_pipe(const char *path) {
  struct stat s;

  if (stat(path, &s) != 0) return false;
  return S_ISFIFO(s.st_mode) || S_ISCHR(s.st_mode) || S_ISSOCK(s.st_mode);
}

/* A file may be larger than there is room: then the room is full. */
ssize_t read_and_close(int fd, void *out, size_t size) {
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

ssize_t read_file(const char *path, void *out, size_t size) {
  return read_and_close(open(path, O_RDONLY | O_CLOEXEC), out, size);
}

/* Editors and echo end a text with a line end, which is none of a secret. */
const char *read_text(const char *path, char *out, size_t size, bool may_wait) {
  bool reads = may_wait || !may_hold(path);
  ssize_t n = reads ? read_file(path, out, size) : 0;
  const char *why = NULL;

  if (!reads) why = "it is no regular file";
  else if (n < 0) why = strerror(errno);
  else if ((size_t)n >= size) why = "the file is too long"; /* with its NUL */
  else if (memchr(out, '\0', (size_t)n)) why = "it is no text: it has a NUL";
  if (why) n = 0;
  while (n > 0 && strchr("\r\n\t ", out[n - 1])) n--;
  out[n] = '\0';
  return why;
}

/* ---- Writing ----------------------------------------------------------- */

/* Some file systems have nothing to sync, and say so. */
static bool sync_descriptor(int fd) {
  return fsync(fd) == 0 || errno == EINVAL;
}

/* A part may be written where there is no room for all: why, the next call
 * says. */
bool write_and_sync(int fd, const void *bytes, size_t size) {
  const char *from = bytes;
  size_t all = 0;

  while (all < size) {
    ssize_t n = write(fd, from + all, size - all);
    if (n <= 0) return false;
    all += (size_t)n;
  }
  return sync_descriptor(fd);
}

/* A name is in its folder, and on the disk when that is. */
bool sync_folder_of(const char *path) {
  char folder[PATH_SIZE];

  int fd = open(folder_of(path, folder), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return false;
  bool synced = sync_descriptor(fd);
  int error = errno;
  close(fd);
  errno = error;
  return synced;
}

/* The file beside is in the same folder, or else could not be renamed. */
bool replace_file(
    const char *path, const char *beside, const void *bytes, size_t size) {
  unlink(beside); /* what a kill left there */
  int fd = open(beside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0) return false;
  bool whole = write_and_sync(fd, bytes, size);
  int error = errno;
  if (close(fd) == 0) errno = error;
  else whole = false;
  if (whole && rename(beside, path) == 0) return sync_folder_of(path);
  error = errno;
  unlink(beside);
  errno = error;
  return false;
}

/* ---- Files beside ------------------------------------------------------ */

enum { PID_MAX = 1 << 22 }; /* Linux gives no process a higher number */

const char *path_beside(const char *path, char beside[PATH_SIZE]) {
  snprintf(beside, PATH_SIZE, "%s.%ld", path, (long)getpid());
  return beside;
}

/* Whether a name is that of a file, a dot and the number of a process that does
 * not live: a run that was killed has left it. */
static bool is_left_over(const char *name, const char *file) {
  size_t size = strlen(file);
  int64_t pid;

  if (strncmp(name, file, size) != 0 || name[size] != '.') return false;
  if (!read_whole(name + size + 1, &pid) || pid <= 0) return false;
  if (pid > PID_MAX) return false;
  return kill((pid_t)pid, 0) != 0 && errno == ESRCH;
}

void sweep_beside(const char *path, off_t size_max) {
  char folder[PATH_SIZE];
  const char *slash = strrchr(path, '/');
  const char *file = slash ? slash + 1 : path;
  struct stat s;

  DIR *files = opendir(folder_of(path, folder));
  if (!files) return;
  int fd = dirfd(files);
  for (struct dirent *e = readdir(files); e && fd >= 0; e = readdir(files)) {
    if (!is_left_over(e->d_name, file)) continue;
    if (fstatat(fd, e->d_name, &s, AT_SYMLINK_NOFOLLOW) != 0) continue;
    if (S_ISREG(s.st_mode) && s.st_size <= size_max) unlinkat(fd, e->d_name, 0);
  }
  closedir(files);
}

/* ---- Where a path leads ------------------------------------------------ */

/* dirname() may write to its argument, and may return what is not in it. */
const char *folder_of(const char *path, char folder[PATH_SIZE]) {
  snprintf(folder, PATH_SIZE, "%s", path);
  return dirname(folder);
}

/* Where a file has an access control list, its group's bits are the most that
 * the list allows anybody.  A sticky folder keeps others from a file that is
 * there, but not from a name that is free. */
const char *other_writer(const struct stat *s) {
  if (s->st_uid != 0 && s->st_uid != geteuid()) return "another user owns";
  if ((s->st_mode & S_IWOTH) != 0) return "everybody may write";
  if ((s->st_mode & S_IWGRP) != 0) return "its group may write";
  return NULL;
}

/* Who else may change a link: its owner, or whoever may write its folder. */
static const char *other_linker(const char *link) {
  char folder[PATH_SIZE];
  struct stat s;

  if (lstat(link, &s) != 0) return NULL;
  if (s.st_uid != 0 && s.st_uid != geteuid()) return "another user owns";
  if (stat(folder_of(link, folder), &s) != 0) return NULL;
  return other_writer(&s) ? "others may change" : NULL;
}

/* A path that is being walked: `size` bytes of `done` have no links in them,
 * `rest` is what follows. */
struct walk {
  char *done; /* of VALUE_SIZE */
  size_t size;
  char rest[VALUE_SIZE];
};

static bool is_too_long(void) {
  errno = ENAMETOOLONG;
  return false;
}

/* Moves the next name from the rest, with the slashes before it.  False: it
 * gets too long. */
static bool take_name(struct walk *w, size_t *name_size) {
  size_t slashes = strspn(w->rest, "/");
  size_t all = slashes + strcspn(w->rest + slashes, "/");

  if (w->size + all >= VALUE_SIZE) return is_too_long();
  memcpy(w->done + w->size, w->rest, all);
  w->done[w->size + all] = '\0';
  memmove(w->rest, w->rest + all, strlen(w->rest + all) + 1);
  w->size += all;
  *name_size = all - slashes;
  return true;
}

/* Puts the target of a link, the last name of what is done, in its place.
 * False: it gets too long. */
static bool take_target(
    struct walk *w, size_t name_size, const char *target, size_t size) {
  size_t rest_size = strlen(w->rest) + 1;

  if (size + rest_size > sizeof w->rest) return is_too_long();
  memmove(w->rest + size, w->rest, rest_size);
  memcpy(w->rest, target, size);
  w->size = *target == '/' ? 0 : w->size - name_size;
  w->done[w->size] = '\0';
  return true;
}

/* Whether two paths lead to one file, as far as the first leads anywhere. */
static bool is_same_file(const char *path, const char *other) {
  struct stat a;
  struct stat b;

  if (stat(path, &a) != 0) return true;
  if (stat(other, &b) != 0) return false;
  return a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

/* What cannot be looked at is no link.  A link of /proc/self/fd leads to an
 * open file, wherever its text leads: such a path stays as it is. */
bool follow_links(const char *path, struct place *place) {
  struct walk w = {.done = place->path};
  int links = 0;
  size_t name_size;
  char target[VALUE_SIZE];

  place->link_writer = NULL;
  snprintf(w.rest, sizeof w.rest, "%s", path);
  while (w.rest[0] != '\0') {
    if (!take_name(&w, &name_size)) return false;
    ssize_t size = readlink(place->path, target, sizeof target);
    if (size <= 0) continue;
    if (!place->link_writer) place->link_writer = other_linker(place->path);
    if (!take_target(&w, name_size, target, (size_t)size)) return false;
    links++;
    if (links > LINKS_MAX) {
      errno = ELOOP;
      return false;
    }
  }
  if (!is_same_file(path, place->path))
    snprintf(place->path, sizeof place->path, "%s", path);
  return true;
}

/* What cannot be looked at is left to whoever writes there. */
bool find_file(struct daemon *d, const char *option, const char *path,
    struct place *place) {
  struct stat s;

  if (!follow_links(path, place)) {
    complain(d, "%s %s: %s", option, path, strerror(errno));
    return false;
  }
  if (lstat(place->path, &s) != 0 || S_ISREG(s.st_mode)) return true;
  complain(
      d, "%s %s: it is not a regular file, and is not replaced", option, path);
  return false;
}

/* In which the file beside is made. */
void check_folder(struct daemon *d, const char *option, const char *path) {
  char folder[PATH_SIZE];

  if (access(folder_of(path, folder), W_OK | X_OK) != 0)
    complain(d, "%s %s: its folder cannot be written: %s", option, path,
        strerror(errno));
}

/* Whoever may write a folder may put another file in the place of each. */
void note_writers(struct daemon *d, const char *option, const char *path) {
  char folder[PATH_SIZE];
  const char *of_file = NULL;
  const char *of_folder = NULL;
  struct stat s;

  if (stat(path, &s) == 0 && S_ISREG(s.st_mode)) of_file = other_writer(&s);
  if (of_file) note(d, "%s %s: %s this file", option, path, of_file);
  if (stat(folder_of(path, folder), &s) == 0) of_folder = other_writer(&s);
  if (of_folder) note(d, "%s %s: %s its folder", option, path, of_folder);
}

/* A file that others may read is safe in a folder that they cannot enter. */
void note_readers(struct daemon *d, const char *option, const char *path) {
  char folder[PATH_SIZE];
  struct stat file;
  struct stat holder;

  if (stat(path, &file) != 0 || !S_ISREG(file.st_mode)) return;
  if (stat(folder_of(path, folder), &holder) != 0) return;
  bool readable = (file.st_mode & S_IROTH) != 0;
  if (readable && (holder.st_mode & S_IXOTH) != 0)
    note(d, "%s %s: everybody may read this file, a secret", option, path);
}
