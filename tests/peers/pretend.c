/* A library to preload: another clock, and chance that is no chance.
 *
 *     AHEAD=FILE   seconds, which the clock is ahead while the file is there
 *     DICE=FILE    is read for /dev/urandom
 *     SLOWLY=N     a second of time that passes takes N
 *
 * It is for one program alone, not for those that this one starts. */
#define _GNU_SOURCE

#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

__attribute__((constructor)) static void stay_alone(void) {
  unsetenv("LD_PRELOAD");
}

static int open_as(const char *path, int flags, int mode) {
  const char *dice = getenv("DICE");
  if (dice && strcmp(path, "/dev/urandom") == 0) path = dice;
  return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

int open(const char *path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  int mode = flags & O_CREAT ? va_arg(rest, int) : 0;
  va_end(rest);
  return open_as(path, flags, mode);
}

int open64(const char *path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  int mode = flags & O_CREAT ? va_arg(rest, int) : 0;
  va_end(rest);
  return open_as(path, flags, mode);
}

static long ahead_s(void) {
  char text[32] = "";
  const char *path = getenv("AHEAD");
  int fd = path ? open_as(path, O_RDONLY | O_CLOEXEC, 0) : -1;
  if (fd < 0 || read(fd, text, sizeof text - 1) < 0) text[0] = '\0';
  if (fd >= 0) close(fd);
  return strtol(text, NULL, 10);
}

static void slow_down(struct timespec *t) {
  static long long start;
  const char *slowly = getenv("SLOWLY");
  long long ns = t->tv_sec * 1000000000LL + t->tv_nsec;
  if (!slowly) return;
  if (start == 0) start = ns;
  ns = start + (ns - start) / strtol(slowly, NULL, 10);
  t->tv_sec = (time_t)(ns / 1000000000);
  t->tv_nsec = (long)(ns % 1000000000);
}

int clock_gettime(clockid_t clock, struct timespec *out) {
  int result = (int)syscall(SYS_clock_gettime, clock, out);
  if (result == 0 && clock == CLOCK_MONOTONIC) slow_down(out);
  if (result == 0 && clock == CLOCK_REALTIME) out->tv_sec += ahead_s();
  return result;
}

time_t time(time_t *out) {
  struct timespec t;
  clock_gettime(CLOCK_REALTIME, &t);
  if (out) *out = t.tv_sec;
  return t.tv_sec;
}

int gettimeofday(struct timeval *restrict out, void *restrict unused) {
  struct timespec t;
  (void)unused;
  clock_gettime(CLOCK_REALTIME, &t);
  *out = (struct timeval){t.tv_sec, t.tv_nsec / 1000};
  return 0;
}
