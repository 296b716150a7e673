/*
 * A library to preload: another clock, and chance that is no chance.  It is for
 * one program alone, not for those that this one starts.
 *
 *     AHEAD=FILE   seconds, which the time of day is ahead while the file is
 *                  there
 *     SLEPT=FILE   seconds, which the system was suspended for: the monotonic
 *                  clock did not count them, the others did
 *     VOUCHED=FILE whether adjtimex() says that the clock is synchronized: it
 *                  is while the file is there.  Not set: it is what it is
 *     SLOWLY=N     a second of monotonic time takes N
 *     DICE=FILE    is read for /dev/urandom, and for getrandom()
 *     QUICKLY=N    N seconds of monotonic time pass in one, also while ppoll()
 *                  waits
 *
 * Each pretence is a part below: what is pretended, and a table or functions
 * of where a program asks for it.  Another clock is one more row of `clocks`,
 * another call one more function.
 */
#define _GNU_SOURCE

#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timex.h>
#include <time.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

__attribute__((constructor)) static void stay_alone(void) {
  unsetenv("LD_PRELOAD");
}

/* The system's own, which no pretence stands before. */
static int real_open(const char *path, int flags, int mode) {
  return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

/* ---- Clocks ----------------------------------------------------------- */

/* The seconds in the file that the environment names, or 0. */
static long seconds_in(const char *variable) {
  char text[32] = "";
  const char *path = getenv(variable);
  int fd = path ? real_open(path, O_RDONLY | O_CLOEXEC, 0) : -1;

  if (fd < 0) return 0;
  if (read(fd, text, sizeof text - 1) < 0) text[0] = '\0';
  close(fd);
  return strtol(text, NULL, 10);
}

static void put_ahead(struct timespec *t) {
  t->tv_sec += seconds_in("AHEAD");
}

static void add_sleep(struct timespec *t) {
  t->tv_sec += seconds_in("SLEPT");
}

/* SLOWLY: counted from the first look on. */
static void slow_down_from(struct timespec *t, long long *start) {
  const char *slowly = getenv("SLOWLY");
  long long ns = t->tv_sec * 1000000000LL + t->tv_nsec;

  if (!slowly) return;
  if (*start == 0) *start = ns;
  ns = *start + (ns - *start) / strtol(slowly, NULL, 10);
  t->tv_sec = (time_t)(ns / 1000000000);
  t->tv_nsec = (long)(ns % 1000000000);
}

static void slow_monotonic(struct timespec *t) {
  static long long start_ns;

  slow_down_from(t, &start_ns);
}

static void slow_boottime(struct timespec *t) {
  static long long start_ns;

  slow_down_from(t, &start_ns);
}

/* QUICKLY; 1 where it is not set. */
static long speed(void) {
  const char *quickly = getenv("QUICKLY");

  return quickly ? strtol(quickly, NULL, 10) : 1;
}

/* The difference of two times counts: no program is told when it began. */
static void speed_up(struct timespec *t) {
  long long ns = t->tv_nsec * (long long)speed();

  t->tv_sec = t->tv_sec * speed() + (time_t)(ns / 1000000000);
  t->tv_nsec = (long)(ns % 1000000000);
}

static const struct {
  clockid_t id;
  void (*change)(struct timespec *t);
} clocks[] = {
    {CLOCK_REALTIME, put_ahead},
    {CLOCK_REALTIME, add_sleep},
    {CLOCK_MONOTONIC, slow_monotonic},
    {CLOCK_MONOTONIC, speed_up},
    {CLOCK_BOOTTIME, slow_boottime},
    {CLOCK_BOOTTIME, speed_up},
    {CLOCK_BOOTTIME, add_sleep},
};

int clock_gettime(clockid_t id, struct timespec *out) {
  int result = (int)syscall(SYS_clock_gettime, id, out);

  for (size_t i = 0; result == 0 && i < COUNT(clocks); i++)
    if (clocks[i].id == id) clocks[i].change(out);
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

/* Nobody sets a clock with it in here. */
int adjtimex(struct timex *t) {
  const char *vouched = getenv("VOUCHED");

  if (!vouched) return (int)syscall(SYS_adjtimex, t);
  memset(t, 0, sizeof *t);
  if (access(vouched, F_OK) == 0) return TIME_OK;
  t->status = STA_UNSYNC;
  return TIME_ERROR;
}

/* ---- Waits ------------------------------------------------------------ */

/* The kernel writes what is left of the wait to its copy. */
int ppoll(struct pollfd *polled, nfds_t count, const struct timespec *wait,
    const sigset_t *mask) {
  struct timespec left;

  if (wait) {
    long long ns = (wait->tv_sec * 1000000000LL + wait->tv_nsec) / speed();
    left =
        (struct timespec){(time_t)(ns / 1000000000), (long)(ns % 1000000000)};
  }
  return (int)syscall(
      SYS_ppoll, polled, count, wait ? &left : NULL, mask, (size_t)8);
}

/* ---- Files ------------------------------------------------------------ */

/* Files that another one is opened for, if the environment names it. */
static const struct {
  const char *path, *variable;
} files[] = {
    {"/dev/urandom", "DICE"},
};

static int open_for(const char *path, int flags, va_list rest) {
  int mode = flags & O_CREAT ? va_arg(rest, int) : 0;

  for (size_t i = 0; i < COUNT(files); i++) {
    const char *other = getenv(files[i].variable);
    if (other && strcmp(path, files[i].path) == 0) path = other;
  }
  return real_open(path, flags, mode);
}

int open(const char *path, int flags, ...) {
  va_list rest;
  int fd;

  va_start(rest, flags);
  fd = open_for(path, flags, rest);
  va_end(rest);
  return fd;
}

int open64(const char *path, int flags, ...) {
  va_list rest;
  int fd;

  va_start(rest, flags);
  fd = open_for(path, flags, rest);
  va_end(rest);
  return fd;
}

/* ---- Chance ----------------------------------------------------------- */

ssize_t getrandom(void *out, size_t size, unsigned flags) {
  const char *dice = getenv("DICE");
  int fd = dice ? real_open(dice, O_RDONLY | O_CLOEXEC, 0) : -1;
  ssize_t n;

  if (!dice) return syscall(SYS_getrandom, out, size, flags);
  if (fd < 0) return -1;
  n = read(fd, out, size);
  close(fd);
  return n;
}
