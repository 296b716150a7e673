/* The keeper of a program: a small process between the daemon and the program,
 * which ends the program when the daemon is gone, however that ended.
 *
 * The daemon forks the keeper, and the keeper the program, in a process group
 * of its own.  A socket joins daemon and keeper:
 *
 *     down, a byte           a signal for the program's group
 *     down, end of file      the daemon is gone: the program has a moment to
 *                            come to its end, then its group is killed
 *     up, a program_end      how the program ended; nothing follows
 *
 * Only the keeper sends signals to the group, and only before it takes the
 * program's end: until then no other process can have the group's number.
 *
 * The keeper of a hook writes the end into a file beside the state, STATE.end,
 * before it tells the daemon: a daemon that is killed at any moment does not
 * take what ended well for interrupted.  It holds a lock on the second byte of
 * STATE.lock, which the next daemon waits for: no hook runs beside one that an
 * earlier daemon has left. */
#include "daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifdef __linux__
#include <sys/prctl.h>
#endif

enum {
  GRACE_MS = 200,   /* for a program whose daemon is gone */
  STUCK_MS = 10000, /* behind SIGKILL: then it cannot be ended */
  GROUP_MS = 100,   /* for the rest of the group, behind SIGKILL */
  AWAIT_MS = 12000, /* for the keepers of an earlier daemon: all of these */
  DESCRIPTORS_MAX = 1024, /* the daemon's have the lowest numbers */
  EXEC_FAILED = 127       /* as of a shell; nobody is told */
};

typedef char
    a_keeper_is_awaited[GRACE_MS + STUCK_MS + GROUP_MS < AWAIT_MS ? 1 : -1];

static void sleep_ms(int64_t ms) {
  struct timespec time = {(time_t)(ms / 1000), (long)(ms % 1000 * 1000000)};

  nanosleep(&time, NULL);
}

/* ---- The lock ---------------------------------------------------------- */

/* Whether a keeper holds its lock. */
static bool keeper_lives(const struct daemon *d) {
  struct flock lock = lock_of(KEEPERS_BYTE, F_WRLCK);

  return fcntl(d->state_lock, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

void await_keepers(struct daemon *d) {
  int64_t until_ms = now_ms() + AWAIT_MS;

  while (keeper_lives(d) && now_ms() < until_ms) sleep_ms(5);
  if (keeper_lives(d))
    complain(d, "a hook of an earlier lucit-heartbeat cannot be ended");
}

/* ---- What is written down ---------------------------------------------- */

/* One line: LCUID NAME KIND CODE, and "acknowledged" if it was by --ack-first.
 * What never ran has no line. */
static const char *const kinds[] = {
    [END_EXITED] = "exited",
    [END_KILLED] = "killed",
    [END_STUCK] = "stuck",
};

enum { KINDS = sizeof kinds / sizeof *kinds };

static const char *end_path(const struct daemon *d, char path[PATH_SIZE]) {
  snprintf(path, PATH_SIZE, "%s.end", d->state.place.path);
  return path;
}

/* Where it cannot be written the daemon, if it lives, is still told. */
static void keep_end(const struct daemon *d, const struct program_end *end) {
  const struct job *job = &d->job;
  char path[PATH_SIZE];
  char beside[PATH_SIZE + 4];
  char line[MESSAGE_SIZE];

  int size = snprintf(line, sizeof line, "%s %s %s %d%s\n", job->lcuid,
      job->name, kinds[end->kind], end->code,
      job->acknowledged ? " acknowledged" : "");
  end_path(d, path);
  snprintf(beside, sizeof beside, "%s.new", path);
  replace_file(path, beside, line, (size_t)size);
}

/* Takes the words of the line.  False: it is none. */
static bool parse_kept_end(char *line, struct kept_end *kept) {
  char kind[16];
  char word[16] = "";

  memset(kept, 0, sizeof *kept);
  int words = sscanf(line, "%63s %255s %15s %d %15s", kept->lcuid, kept->name,
      kind, &kept->end.code, word);
  if (words < 4) return false;
  kept->acknowledged = strcmp(word, "acknowledged") == 0;
  for (size_t i = 0; i < KINDS; i++) {
    kept->end.kind = (enum end_kind)i;
    if (strcmp(kinds[i], kind) == 0) return true;
  }
  return false;
}

bool read_kept_end(struct daemon *d, struct kept_end *kept) {
  char path[PATH_SIZE];
  char line[MESSAGE_SIZE];

  if (!d->options.state || d->state_lock < 0) return false;
  ssize_t n = read_file(end_path(d, path), line, sizeof line - 1);
  if (n < 0) return false;
  line[n] = '\0';
  d->end_is_kept = true;
  if (parse_kept_end(line, kept)) return true;
  complain(d, "%s: damaged: how the last hook ended is not known", path);
  return false;
}

/* A later file goes by the same name. */
void forget_kept_end(struct daemon *d) {
  char path[PATH_SIZE];
  bool is_needed = d->memory.changed || d->state.read_error != 0;

  if (!d->end_is_kept || is_needed) return;
  unlink(end_path(d, path));
  d->end_is_kept = false;
}

/* ---- The program ------------------------------------------------------- */

/* Leaves out USER:PASSWORD@ of a proxy in the environment. */
static void hide_login(const char *name) {
  char *url = getenv(name);
  const char *at = url ? strrchr(url, '@') : NULL;

  if (!at) return;
  char *scheme_end = strstr(url, "://");
  char *login = scheme_end && scheme_end < at ? scheme_end + 3 : url;
  memmove(login, at + 1, strlen(at + 1) + 1);
}

/* The environment of the daemon, without secrets and without what is said to
 * the daemon alone, and with the program's own variables. */
static void make_environment(const struct charge *charge) {
  static const char *const own[] = {
      "LUCIT_TOKEN", "NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC"};
  static const char *const proxies[] = {"https_proxy", "HTTPS_PROXY",
      "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"};

  for (size_t i = 0; i < sizeof own / sizeof *own; i++) unsetenv(own[i]);
  for (size_t i = 0; i < sizeof proxies / sizeof *proxies; i++)
    hide_login(proxies[i]);
  for (size_t i = 0; i < charge->variable_count; i++)
    setenv(charge->variables[i].name, charge->variables[i].value, 1);
}

/* A keeper that is killed takes the program along, where the system can. */
static void end_with(pid_t keeper) {
#ifdef __linux__
  prctl(PR_SET_PDEATHSIG, SIGKILL);
#endif
  if (getppid() != keeper) _exit(EXEC_FAILED);
}

/* In a process of its own: becomes the program, or writes errno.  exec() puts
 * back the signals that have a handler; until then ours would swallow an early
 * SIGTERM. */
static void become(const struct daemon *d, const struct charge *charge,
    pid_t keeper, int failure) {
  setpgid(0, 0);
  end_with(keeper);
  signal(SIGPIPE, SIG_DFL);
  signal(SIGXFSZ, SIG_DFL);
  signal(SIGTERM, SIG_DFL);
  sigprocmask(SIG_SETMASK, &d->usual_mask, NULL);
  make_environment(charge);
  dup2(charge->in, STDIN_FILENO);
  dup2(charge->out, STDOUT_FILENO);
  dup2(charge->err, STDERR_FILENO);
  execl(charge->path, charge->path, (char *)NULL);
  int error = errno;
  if (write(failure, &error, sizeof error) < 0) _exit(EXEC_FAILED + 1);
  _exit(EXEC_FAILED);
}

/* ---- The keeper -------------------------------------------------------- */

enum keeper_state {
  KEEPER_LISTENS, /* to the daemon */
  KEEPER_IS_LEFT, /* the daemon is gone: waits for the program's own end */
  KEEPER_KILLS    /* has sent SIGKILL, and waits for the end */
};

struct keeper {
  enum keeper_state state;
  int64_t next_ms;    /* when the state's time is over */
  bool interrupts;    /* nobody but the keeper itself asked for SIGKILL */
  bool was_signalled; /* by the daemon */
  int daemon;         /* a socket; -1: it is gone */
  int failure;        /* has errno where exec() failed */
  pid_t pid;          /* of the program, and its process group */
  sigset_t waiting;   /* the signal mask while it waits */
};

/* One function changes the state; states only go on. */
static void change_state(
    struct keeper *k, enum keeper_state state, int64_t time_ms) {
  if (k->state >= state) return;
  k->state = state;
  k->next_ms = now_ms() + time_ms;
}

static void wake_up(int number) {
  (void)number;
}

/* A terminal's ^C, and what a service manager sends to all, is the daemon's to
 * act on: here nothing but SIGCHLD comes, while the keeper waits. */
static void shut_out_signals(struct keeper *k) {
  struct sigaction action;
  sigset_t all;

  sigfillset(&all);
  sigprocmask(SIG_SETMASK, &all, NULL);
  k->waiting = all;
  sigdelset(&k->waiting, SIGCHLD);
  memset(&action, 0, sizeof action);
  action.sa_handler = wake_up;
  sigemptyset(&action.sa_mask);
  sigaction(SIGCHLD, &action, NULL);
  setpgid(0, 0);
#ifdef __linux__
  prctl(PR_SET_NAME, "hook-keeper"); /* whoever ends all lucit-heartbeats */
#endif
}

/* The daemon's connection, and what an own parent left open, must not live as
 * long as a program.  The readers of its outputs do: where the daemon is gone
 * SIGPIPE must not end who has done his work and says so. */
static void close_others(
    const struct keeper *k, const struct charge *charge, int lock) {
  const int needed[] = {
      k->daemon, k->failure, lock, charge->out_reader, charge->err_reader};

  for (int fd = 0; fd < DESCRIPTORS_MAX; fd++) {
    bool is_needed = false;
    for (size_t i = 0; i < sizeof needed / sizeof *needed; i++)
      if (fd == needed[i]) is_needed = true;
    if (!is_needed) close(fd);
  }
}

/* Whether the daemon is gone, whatever it has sent before. */
static bool is_left(const struct keeper *k) {
  struct pollfd polled = {k->daemon, POLLIN, 0};

  return poll(&polled, 1, 0) > 0 && (polled.revents & POLLHUP) != 0;
}

/* Starts the program.  With the lock held it is asked once more whether the
 * daemon lives: the next one may have looked for the lock before.  Returns 0,
 * or errno. */
static int start(
    struct daemon *d, struct keeper *k, const struct charge *charge) {
  struct flock lock = lock_of(KEEPERS_BYTE, F_RDLCK);
  pid_t keeper = getpid();
  int failure[2];

  if (charge->is_hook && fcntl(d->state_lock, F_SETLK, &lock) != 0)
    return errno;
  if (is_left(k)) _exit(EXIT_SUCCESS);
  if (pipe2(failure, O_CLOEXEC) != 0) return errno;
  k->failure = failure[0];
  k->pid = fork();
  if (k->pid == 0) become(d, charge, keeper, failure[1]);
  if (k->pid < 0) return errno;
  setpgid(k->pid, k->pid); /* whoever of the two is first */
  close_others(k, charge, charge->is_hook ? d->state_lock : -1);
  return 0;
}

/* Hears what the daemon asks for. */
static void hear_daemon(struct keeper *k) {
  char number;

  if (k->daemon < 0) return;
  ssize_t n = recv(k->daemon, &number, 1, MSG_DONTWAIT);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (n <= 0) {
    close(k->daemon);
    k->daemon = -1;
    change_state(k, KEEPER_IS_LEFT, GRACE_MS);
    return;
  }
  k->was_signalled = kill(-k->pid, number) == 0;
  if (number == SIGKILL) change_state(k, KEEPER_KILLS, STUCK_MS);
}

/* Waits for the daemon, the program's end, or the end of the state's time. */
static void wait_for_more(const struct keeper *k) {
  struct pollfd polled = {k->daemon, POLLIN, 0};
  struct timespec left = time_until(k->next_ms);

  ppoll(&polled, 1, k->state == KEEPER_LISTENS ? NULL : &left, &k->waiting);
}

/* Whether the program has ended; its number stays its own. */
static bool has_ended(const struct keeper *k, struct program_end *end) {
  siginfo_t info;
  int error;

  memset(&info, 0, sizeof info);
  waitid(P_PID, (id_t)k->pid, &info, WEXITED | WNOHANG | WNOWAIT);
  if (info.si_pid != k->pid) return false;
  end->kind = info.si_code == CLD_EXITED ? END_EXITED : END_KILLED;
  end->code = info.si_status;
  if (read(k->failure, &error, sizeof error) == (ssize_t)sizeof error)
    *end = (struct program_end){.kind = END_UNSTARTED, .code = error};
  return true;
}

/* Kills what is left of the group, and takes the program's end.  The others
 * have a moment to be gone: they are not the keeper's to wait for, and one that
 * its parent does not wait for looks as if it lived. */
static void end_group(const struct keeper *k) {
  int64_t until_ms = now_ms() + GROUP_MS;

  kill(-k->pid, SIGKILL);
  waitpid(k->pid, NULL, 0);
  while (kill(-k->pid, 0) == 0 && now_ms() < until_ms) sleep_ms(1);
}

/* Keeps the program until it has ended, or cannot be ended. */
static void keep(struct keeper *k, struct program_end *end) {
  while (!has_ended(k, end)) {
    bool is_time = k->state != KEEPER_LISTENS && now_ms() >= k->next_ms;
    if (is_time && k->state == KEEPER_KILLS) {
      *end = (struct program_end){.kind = END_STUCK, .code = SIGKILL};
      return;
    }
    if (is_time) {
      kill(-k->pid, SIGKILL);
      k->interrupts = true;
      change_state(k, KEEPER_KILLS, STUCK_MS);
    }
    wait_for_more(k);
    hear_daemon(k);
  }
  end_group(k);
}

/* A hook that the keeper itself has killed was interrupted, as the next daemon
 * says of whatever has no end. */
void keep_program(struct daemon *d, const struct charge *charge) {
  struct program_end end = {.kind = END_UNSTARTED};
  struct keeper k = {.daemon = charge->daemon, .failure = -1};

  shut_out_signals(&k);
  end.code = start(d, &k, charge);
  if (end.code == 0) keep(&k, &end);
  end.late = k.was_signalled;
  bool interrupted = k.interrupts && end.kind == END_KILLED;
  bool has_run = end.kind != END_UNSTARTED;
  if (charge->is_hook && has_run && !interrupted) keep_end(d, &end);
  if (k.daemon >= 0) send(k.daemon, &end, sizeof end, MSG_NOSIGNAL);
  _exit(EXIT_SUCCESS);
}
