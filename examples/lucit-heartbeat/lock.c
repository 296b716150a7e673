/* The lock on the state: two daemons on one state would run all twice.
 *
 * It is an fcntl() lock on the first byte of STATE.lock, a file of its own,
 * which stays while the state is replaced.  The lock is worth what the file is:
 * where that is deleted, or another one is mounted over it, somebody else may
 * lock the new one.  So each look at the lock is one at the file, too. */
#include "daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/* Whether a descriptor is that of the file which now stands at a path. */
static bool is_in_place(int fd, const char *path) {
  struct stat own;
  struct stat there;

  if (fd < 0 || fstat(fd, &own) != 0 || lstat(path, &there) != 0) return false;
  return own.st_dev == there.st_dev && own.st_ino == there.st_ino;
}

struct flock lock_of(enum lock_byte byte, short type) {
  struct flock lock;

  memset(&lock, 0, sizeof lock);
  lock.l_type = type;
  lock.l_whence = SEEK_SET;
  lock.l_start = byte;
  lock.l_len = 1;
  return lock;
}

/* What already is locked stays so. */
static enum lock_result lock_descriptor(int fd) {
  struct flock daemons = lock_of(DAEMONS_BYTE, F_WRLCK);

  if (fcntl(fd, F_SETLK, &daemons) == 0) return LOCK_HELD;
  if (errno == EACCES || errno == EAGAIN) return LOCK_BY_ANOTHER;
  return LOCK_IMPOSSIBLE;
}

/* Opens a lock file, a regular one and no link; -1 with errno. */
static int open_lock(const char *path) {
  struct stat s;

  int fd = open(path,
      O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0600);
  if (fd < 0) return -1;
  if (fstat(fd, &s) == 0 && S_ISREG(s.st_mode)) return fd;
  close(fd);
  errno = ENOTSUP;
  return -1;
}

/* A file that is not there can be made.  For a process that has locked it this
 * is not: to close the file would unlock it. */
enum lock_result foresee_lock(const struct daemon *d) {
  struct flock lock = lock_of(DAEMONS_BYTE, F_WRLCK);
  char path[PATH_SIZE];

  snprintf(path, sizeof path, "%s.lock", d->state.place.path);
  int fd = open(path, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
  if (fd < 0) return errno == ENOENT ? LOCK_HELD : LOCK_IMPOSSIBLE;
  bool known = fcntl(fd, F_GETLK, &lock) == 0;
  int error = errno;
  close(fd);
  errno = error;
  if (!known) return LOCK_IMPOSSIBLE;
  return lock.l_type == F_UNLCK ? LOCK_HELD : LOCK_BY_ANOTHER;
}

/* The old file is closed when the new one is locked: what was ours is ours up
 * to there.  Closing any descriptor of a file unlocks it: should both be of one
 * file, it is locked once more. */
enum lock_result lock_state(struct daemon *d) {
  char path[PATH_SIZE];

  snprintf(path, sizeof path, "%s.lock", d->state.place.path);
  if (is_in_place(d->state_lock, path)) return lock_descriptor(d->state_lock);
  int fd = open_lock(path);
  if (fd < 0) return LOCK_IMPOSSIBLE;
  enum lock_result result = lock_descriptor(fd);
  if (result != LOCK_HELD) {
    int error = errno;
    close(fd);
    errno = error;
    return result;
  }
  if (d->state_lock >= 0) close(d->state_lock);
  d->state_lock = fd;
  return lock_descriptor(fd);
}
