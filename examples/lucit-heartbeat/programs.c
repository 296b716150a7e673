/* A program that is run: its start, what it prints, its time, its end.
 *
 * It runs in a process group of its own, which ends with it, and without a
 * shell.  Its input is in the pipe before it starts; its output is taken line
 * by line and never waited for.  Its owner is told of lines and ends by
 * callbacks. */
#include "daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { KILL_AFTER_MS = 2000 }; /* the first signal */
enum { READS_AT_END = 64 };    /* of what is left in the pipe, 4 KiB each */

/* The parameters of an instruction go into the pipe at once. */
typedef char parameters_fit_a_pipe[HBEAT_INSTRUCTION_MAX <= 4096 ? 1 : -1];

/* The ends of two pipes: the program reads from the first one, and writes to
 * the second one. */
enum pipe_end { INPUT_OUT, INPUT_IN, OUTPUT_OUT, OUTPUT_IN, PIPE_ENDS };

/* In the new process: becomes the program.  exec() puts back the signals that
 * have a handler; until then ours would swallow an early SIGTERM. */
static void become(const struct daemon *d, const char *path,
    const int ends[PIPE_ENDS], const struct variable *variables, size_t count) {
  setpgid(0, 0);
  signal(SIGPIPE, SIG_DFL);
  signal(SIGXFSZ, SIG_DFL);
  signal(SIGTERM, SIG_DFL);
  sigprocmask(SIG_SETMASK, &d->usual_mask, NULL);
  unsetenv("NOTIFY_SOCKET");
  unsetenv("LUCIT_TOKEN");
  for (size_t i = 0; i < count; i++)
    setenv(variables[i].name, variables[i].value, 1);
  dup2(ends[INPUT_OUT], STDIN_FILENO);
  dup2(ends[OUTPUT_IN], STDOUT_FILENO);
  execl(path, path, (char *)NULL);
  dprintf(STDOUT_FILENO, "%s: %s\n", path, strerror(errno));
  _exit(127);
}

/* Makes both pipes, with the text already in the first one. */
static bool make_pipes(int ends[PIPE_ENDS], const char *input) {
  if (pipe2(ends, O_CLOEXEC) != 0) return false;
  if (pipe2(ends + OUTPUT_OUT, O_CLOEXEC) != 0) return false;
  return write(ends[INPUT_IN], input, strlen(input)) >= 0;
}

/* Closes a descriptor, if it is one. */
static void close_end(int *end) {
  if (*end >= 0) close(*end); /* which leaves errno alone */
  *end = -1;
}

/* The ends that are the program's are closed here; the one that it writes to is
 * read without waiting. */
bool start_program(struct daemon *d, struct program *p, const char *path,
    const char *input, const struct variable *variables, size_t count) {
  int ends[PIPE_ENDS] = {-1, -1, -1, -1};
  pid_t pid = -1;

  if (make_pipes(ends, input)) pid = fork();
  if (pid == 0) become(d, path, ends, variables, count);
  close_end(&ends[INPUT_OUT]);
  close_end(&ends[INPUT_IN]);
  close_end(&ends[OUTPUT_IN]);
  if (pid < 0) {
    close_end(&ends[OUTPUT_OUT]);
    return false;
  }
  setpgid(pid, pid); /* whoever of the two is first */
  fcntl(ends[OUTPUT_OUT], F_SETFL, O_NONBLOCK);
  p->state = PROGRAM_RUNS;
  p->pid = pid;
  p->out = ends[OUTPUT_OUT];
  p->end_ms = p->limit_ms == 0 ? INT64_MAX : now_ms() + p->limit_ms;
  p->too_long = false;
  p->size = 0;
  wake_at(d, p->end_ms);
  return true;
}

/* A line is whole.  Of one that fills the room the last character may be cut:
 * that is left out. */
static void end_line(struct daemon *d, struct program *p) {
  if (p->size == 0) return;
  if (p->size == LINE_SIZE - 1) {
    p->size--;
    while (p->size > 0 && (p->text[p->size] & 0xC0) == 0x80) p->size--;
  }
  p->text[p->size] = '\0';
  p->size = 0;
  if (!p->line(d, p->text)) p->too_long = true;
}

/* Of a long line only the beginning is kept; a NUL is nothing. */
static void take_byte(struct daemon *d, struct program *p, char c) {
  if (c == '\n' || c == '\r') end_line(d, p);
  else if (c != '\0' && p->size < LINE_SIZE - 1) p->text[p->size++] = c;
}

/* Reads what it printed; false: there is no more for now. */
static bool read_output(struct daemon *d, struct program *p) {
  char bytes[4096];

  if (p->out < 0) return false;
  ssize_t n = read(p->out, bytes, sizeof bytes);
  if (n == 0) close_end(&p->out);
  for (ssize_t i = 0; i < n; i++) take_byte(d, p, bytes[i]);
  return n > 0;
}

/* Takes its end, and what it printed last.  Its process group is killed while
 * no other one can have its number. */
static void end_program(
    struct daemon *d, struct program *p, const siginfo_t *info) {
  int reads = READS_AT_END;

  kill(-p->pid, SIGKILL);
  waitpid(p->pid, NULL, 0);
  while (reads > 0 && read_output(d, p)) reads--;
  end_line(d, p);
  close_end(&p->out);
  struct program_end end = {.killed = info->si_code != CLD_EXITED,
      .code = info->si_status,
      .late = p->state == PROGRAM_IS_ENDED,
      .too_long = p->too_long};
  p->state = PROGRAM_NONE;
  p->pid = 0;
  p->end(d, &end);
}

/* Its time is over: first it is asked, then killed. */
static void end_time(struct daemon *d, struct program *p) {
  if (p->state == PROGRAM_RUNS) {
    if (p->late) p->late(d);
    signal_program(p, p->first_signal);
  } else {
    signal_program(p, SIGKILL);
  }
  p->state = PROGRAM_IS_ENDED;
  p->end_ms = now_ms() + KILL_AFTER_MS;
}

/* One read a turn: a program that prints all the time must not hold the
 * loop. */
void mind_program(struct daemon *d, struct program *p) {
  siginfo_t info;

  if (p->state == PROGRAM_NONE) return;
  read_output(d, p);
  memset(&info, 0, sizeof info);
  waitid(P_PID, (id_t)p->pid, &info, WEXITED | WNOHANG | WNOWAIT);
  if (info.si_pid == p->pid) {
    end_program(d, p, &info);
    return;
  }
  bool had_enough = p->state == PROGRAM_RUNS && p->too_long;
  if (had_enough || now_ms() >= p->end_ms) end_time(d, p);
  wake_at(d, p->end_ms);
}

void signal_program(const struct program *p, int number) {
  if (p->state != PROGRAM_NONE) kill(-p->pid, number);
}
