/* How the state is written: into room that stays allocated for it.
 *
 * Beside STATE stands STATE.spare, which is as large.  The new state is written
 * over the spare and synced, and the two change places: the old state is the
 * next spare, and its blocks are never given away.  So on a full disk there is
 * room for the state before and after the hook that makes room, whoever else
 * waits for a free block.  This holds where a file that is written over stays
 * where it is (ext4, xfs, tmpfs, FAT) and two files can change places;
 * elsewhere (btrfs, an old kernel) the state is as safe, but a full disk may
 * have no room for it.
 *
 * At any moment STATE is the old state or the new one.  The spare is never
 * read, and only written over once the folder is synced: before that a power
 * cut could bring it back as the state. */
#include "daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { BLOCK_SIZE = 512 }; /* of st_blocks */

/* Whether a spare can be written over: it is a file of ours alone, that no
 * backup has linked to, and of no other size. */
static bool is_spare(int fd, size_t size) {
  struct stat s;

  if (fd < 0 || fstat(fd, &s) != 0 || !S_ISREG(s.st_mode)) return false;
  if ((s.st_mode & 0777) != 0600) fchmod(fd, 0600); /* if it has modes */
  return s.st_nlink == 1 && s.st_size <= (off_t)size;
}

/* Opens the spare, or a new one in its place; -1 with errno. */
static int open_spare(const char *path, size_t size) {
  const int flags = O_RDWR | O_CREAT | O_CLOEXEC;

  int fd = open(path, flags | O_NOFOLLOW | O_NONBLOCK, 0600);
  if (is_spare(fd, size)) return fd;
  if (fd >= 0) close(fd);
  if (unlink(path) != 0 && errno != ENOENT) return -1;
  return open(path, flags | O_EXCL, 0600);
}

/* The errors say that the two files are as they were: there is no state yet, or
 * this system cannot exchange.  After any other one they may have changed
 * places, and to rename then would bring back the old state. */
static bool swap_files(const char *spare, const char *path) {
#if defined(SYS_renameat2) && defined(RENAME_EXCHANGE)
  if (syscall(
          SYS_renameat2, AT_FDCWD, spare, AT_FDCWD, path, RENAME_EXCHANGE) == 0)
    return true;
  if (errno != ENOENT && errno != ENOSYS && errno != EINVAL && errno != EPERM)
    return false;
#endif
  return rename(spare, path) == 0;
}

/* The spare's room is its blocks: a file with a hole has none there. */
void keep_spare(const struct state *state, size_t size) {
  char spare[PATH_SIZE];
  struct stat s;

  snprintf(spare, sizeof spare, "%s.spare", state->place.path);
  int fd = open_spare(spare, size);
  if (fd < 0) return;
  if (fstat(fd, &s) == 0 && s.st_blocks * BLOCK_SIZE < (off_t)size)
    posix_fallocate(fd, 0, (off_t)size);
  close(fd);
}

bool write_spare(struct state *state, const void *bytes, size_t size) {
  const char *path = state->place.path;
  char spare[PATH_SIZE];
  struct stat s;

  snprintf(spare, sizeof spare, "%s.spare", path);
  if (!state->folder_is_synced) state->folder_is_synced = sync_folder_of(path);
  if (!state->folder_is_synced) return false;
  int fd = open_spare(spare, size);
  if (fd < 0) return false;
  bool swapped = write_and_sync(fd, bytes, size) && swap_files(spare, path);
  if (swapped) state->folder_is_synced = sync_folder_of(path);
  int error = errno;
  if (swapped && fstat(fd, &s) == 0) state->left_as = identity_of(&s);
  close(fd);
  errno = error;
  return swapped && state->folder_is_synced;
}
