/* The service manager: sd_notify(3), sd_watchdog_enabled(3) and the journal,
 * without its library.  A unit of Type=notify waits for READY=1; one with
 * WatchdogSec= starts the daemon again where it does not show that it lives. */
#include "daemon.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* One datagram to the socket that the environment names; where it cannot be
 * sent, nobody misses it but the manager. */
void notify_systemd(const char *state) {
  const char *path = getenv("NOTIFY_SOCKET");
  struct sockaddr_un to;

  memset(&to, 0, sizeof to);
  to.sun_family = AF_UNIX;
  if (!path || strlen(path) >= sizeof to.sun_path) return;
  int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return;
  size_t size = offsetof(struct sockaddr_un, sun_path) + strlen(path);
  memcpy(to.sun_path, path, strlen(path));
  if (*path == '@') to.sun_path[0] = '\0'; /* an abstract name */
  sendto(fd, state, strlen(state), MSG_NOSIGNAL | MSG_DONTWAIT,
      (struct sockaddr *)&to, (socklen_t)size);
  close(fd);
}

/* WATCHDOG_PID names the process that is meant, if there is such a variable. */
void feed_watchdog(struct daemon *d) {
  const char *period = getenv("WATCHDOG_USEC");
  const char *pid = getenv("WATCHDOG_PID");
  int64_t half_ms = period ? strtoll(period, NULL, 10) / 2000 : 0;

  if (half_ms <= 0) return;
  if (pid && strtoll(pid, NULL, 10) != getpid()) return;
  if (now_ms() >= d->watchdog_ms) {
    notify_systemd("WATCHDOG=1");
    d->watchdog_ms = now_ms() + half_ms;
  }
  wake_at(d, d->watchdog_ms);
}

/* JOURNAL_STREAM has the device and the inode of the journal's stream: see
 * systemd.exec(5).  What was started from a service may have another one. */
bool is_journal(int fd) {
  const char *journal = getenv("JOURNAL_STREAM");
  char own[48];
  struct stat s;

  if (!journal || fstat(fd, &s) != 0) return false;
  snprintf(
      own, sizeof own, "%ju:%ju", (uintmax_t)s.st_dev, (uintmax_t)s.st_ino);
  return strcmp(own, journal) == 0;
}
