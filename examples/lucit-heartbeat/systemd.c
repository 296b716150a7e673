/* The service manager: sd_notify(3), sd_watchdog_enabled(3) and the journal,
 * without its library.  A unit of Type=notify waits for READY=1; one with
 * WatchdogSec= starts the daemon again where it does not show that it lives;
 * and "systemctl status" shows what STATUS= says. */
#include "daemon.h"

#include <inttypes.h>
#include <stdarg.h>
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

/* Appends to a text what fits.  sd_notify(3) has no limit, but a status is one
 * line. */
static void __attribute__((format(printf, 3, 4)))
append(char *text, size_t size, const char *format, ...) {
  size_t length = strlen(text);
  va_list values;

  va_start(values, format);
  vsnprintf(text + length, size - length, format, values);
  va_end(values);
}

/* "ok (HTTP 200) at 2026-11-30T01:03:19Z".  The words of a server have no place
 * here: a line end in them would begin another message. */
static void append_last_beat(const struct daemon *d, char *text, size_t size) {
  const struct beats *b = &d->beats;
  char stamp[STAMP_SIZE];

  if (b->ended_s == 0) {
    append(text, size, "no heartbeat yet");
    return;
  }
  append(text, size, "last heartbeat: %s", hbeat_error_name(b->last_error));
  if (b->last_http_status != 0)
    append(text, size, " (HTTP %d)", b->last_http_status);
  append(text, size, " at %s", write_stamp(b->ended_s, stamp));
}

/* The times are absolute: what is told stays true until something changes. */
static void append_what_is_next(
    const struct daemon *d, char *text, size_t size) {
  int64_t wait_ms = d->beats.next_ms - now_ms();

  if (wait_ms < 0) wait_ms = 0;
  if (beats_go_on(d)) {
    char stamp[STAMP_SIZE];
    write_stamp(now_s(&d->clock) + wait_ms / SECOND, stamp);
    append(text, size, "; the next one at %s", stamp);
  }
  if (d->hook.state != PROGRAM_NONE)
    append(text, size, "; hook %s runs", d->job.name);
}

/* A heartbeat that ends sets when the next one is due, and so do SIGHUP and
 * SIGUSR1; two hooks, one behind the other, are of two
 * instructions. */
static bool is_told(const struct status *told, const struct status *now) {
  return told->beat_ended_s == now->beat_ended_s &&
      told->next_ms == now->next_ms && strcmp(told->hook, now->hook) == 0;
}

/* At the end there is nothing to come, and STOPPING=1 says so. */
void tell_status(struct daemon *d) {
  const struct beats *b = &d->beats;
  struct status now = {.beat_ended_s = b->ended_s, .next_ms = b->next_ms};
  char text[NAME_MAX_SIZE + 200] = "STATUS=";

  if (d->hook.state != PROGRAM_NONE)
    snprintf(now.hook, sizeof now.hook, "%s", d->job.lcuid);
  if (d->stop_ms != 0 || is_told(&d->told, &now)) return;
  d->told = now;
  append_last_beat(d, text, sizeof text);
  append_what_is_next(d, text, sizeof text);
  notify_systemd(text);
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
