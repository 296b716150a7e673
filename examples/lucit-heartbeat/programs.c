/* A program that is run: its start, what it prints, its time, its end.
 *
 * It runs without a shell, in a process group of its own, under a keeper (see
 * keeper.c), which the daemon talks to.  Its input is in the pipe before it
 * starts; its output is taken line by line and never waited for.  Its owner is
 * told of lines and ends by callbacks. */
#include "daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { KILL_AFTER_MS = 2000 }; /* the first signal */
enum { READS_AT_END = 64 };    /* of what is left in the pipe, 4 KiB each */

/* The parameters of an instruction go into the pipe at once. */
typedef char parameters_fit_a_pipe[HBEAT_INSTRUCTION_MAX <= 4096 ? 1 : -1];

/* ---- Its start --------------------------------------------------------- */

/* The ends of three pipes and a socket: the program reads from the first pipe,
 * and writes to the others. */
enum end {
  INPUT_OUT,
  INPUT_IN,
  OUTPUT_OUT,
  OUTPUT_IN,
  ERRORS_OUT,
  ERRORS_IN,
  KEEPER_OURS,
  KEEPER_THEIRS,
  ENDS
};

/* Makes them all, with the text already in the first pipe. */
static bool open_ends(int ends[ENDS], const char *input) {
  const int kind = SOCK_STREAM | SOCK_CLOEXEC;

  if (pipe2(ends + INPUT_OUT, O_CLOEXEC) != 0) return false;
  if (pipe2(ends + OUTPUT_OUT, O_CLOEXEC) != 0) return false;
  if (pipe2(ends + ERRORS_OUT, O_CLOEXEC) != 0) return false;
  if (socketpair(AF_UNIX, kind, 0, ends + KEEPER_OURS) != 0) return false;
  return write(ends[INPUT_IN], input, strlen(input)) >= 0;
}

/* Closes a descriptor, if it is one. */
static void close_end(int *end) {
  if (*end >= 0) close(*end); /* which leaves errno alone */
  *end = -1;
}

void init_program(struct program *p) {
  p->out.fd = -1;
  p->err.fd = -1;
  p->keeper = -1;
}

/* An output is read without waiting. */
static void open_stream(struct stream *stream, int fd) {
  fcntl(fd, F_SETFL, O_NONBLOCK);
  stream->fd = fd;
  stream->size = 0;
}

/* The child becomes the keeper, and does not come back.  The ends that are the
 * program's and its keeper's are closed here: else nobody would ever see the
 * end of what the program prints, or of its keeper. */
bool start_program(struct daemon *d, struct program *p, const char *path,
    const char *input, const struct variable *variables, size_t count) {
  int ends[ENDS] = {-1, -1, -1, -1, -1, -1, -1, -1};
  pid_t pid = -1;

  if (open_ends(ends, input)) pid = fork();
  if (pid == 0)
    keep_program(d,
        &(struct charge){.path = path,
            .variables = variables,
            .variable_count = count,
            .is_hook = p->is_hook,
            .in = ends[INPUT_OUT],
            .out = ends[OUTPUT_IN],
            .err = ends[ERRORS_IN],
            .out_reader = ends[OUTPUT_OUT],
            .err_reader = ends[ERRORS_OUT],
            .daemon = ends[KEEPER_THEIRS]});
  close_end(&ends[INPUT_OUT]);
  close_end(&ends[INPUT_IN]);
  close_end(&ends[OUTPUT_IN]);
  close_end(&ends[ERRORS_IN]);
  close_end(&ends[KEEPER_THEIRS]);
  if (pid < 0) {
    close_end(&ends[OUTPUT_OUT]);
    close_end(&ends[ERRORS_OUT]);
    close_end(&ends[KEEPER_OURS]);
    return false;
  }
  open_stream(&p->out, ends[OUTPUT_OUT]);
  open_stream(&p->err, ends[ERRORS_OUT]);
  p->state = PROGRAM_RUNS;
  p->keeper = ends[KEEPER_OURS];
  p->end_ms = p->limit_ms == 0 ? INT64_MAX : now_ms() + p->limit_ms;
  p->too_long = false;
  p->printed.total = 0;
  wake_at(d, p->end_ms);
  return true;
}

/* ---- What it prints ---------------------------------------------------- */

/* A line is whole.  Of one that fills the room the last character may be cut:
 * that is left out. */
static void end_line(
    struct daemon *d, struct program *p, struct stream *stream) {
  if (stream->size == 0) return;
  if (stream->size == stream->line_size - 1) {
    stream->size--;
    while (stream->size > 0 && is_continuation(stream->text[stream->size]))
      stream->size--;
  }
  stream->text[stream->size] = '\0';
  stream->size = 0;
  if (!stream->line(d, stream->text)) p->too_long = true;
}

/* Of a long line only the beginning is kept; a NUL is nothing. */
static void take_byte(
    struct daemon *d, struct program *p, struct stream *stream, char c) {
  if (c == '\n' || c == '\r') end_line(d, p, stream);
  else if (c != '\0' && stream->size < stream->line_size - 1)
    stream->text[stream->size++] = c;
}

/* Room is too dear for empty lines, and for what a progress bar overwrites
 * itself with: any number of line ends is one. */
static void add_to_tail(struct tail *tail, char c) {
  if (c == '\r') c = '\n';
  if (c == '\0') return;
  if (c == '\n') {
    if (tail->total == 0) return;
    if (tail->bytes[(tail->total - 1) % TAIL_BYTES] == '\n') return;
  }
  tail->bytes[tail->total++ % TAIL_BYTES] = c;
}

void write_tail(const struct tail *tail, char out[TAIL_SIZE]) {
  static const char ellipsis[] = "\xe2\x80\xa6";
  size_t at = 0;
  size_t size = 0;

  if (tail->total > TAIL_BYTES) {
    at = tail->total - TAIL_BYTES;
    while (at < tail->total && is_continuation(tail->bytes[at % TAIL_BYTES]))
      at++;
    size = sizeof ellipsis - 1;
    memcpy(out, ellipsis, size);
  }
  for (; at < tail->total; at++) out[size++] = tail->bytes[at % TAIL_BYTES];
  if (size > 0 && out[size - 1] == '\n') size--;
  out[size] = '\0';
}

/* Reads what it printed; false: there is no more for now. */
static bool read_stream(
    struct daemon *d, struct program *p, struct stream *stream) {
  char bytes[4096];

  if (stream->fd < 0) return false;
  ssize_t n = read(stream->fd, bytes, sizeof bytes);
  if (n == 0) close_end(&stream->fd);
  for (ssize_t i = 0; i < n; i++) {
    add_to_tail(&p->printed, bytes[i]);
    if (stream->line) take_byte(d, p, stream, bytes[i]);
  }
  return n > 0;
}

/* ---- What is printed behind its end ------------------------------------ */

enum { LEFTOVERS_EVERY_MS = 1000 };

/* Keeps an output that somebody still writes to.  Of too many the oldest is
 * closed. */
static void leave_open(struct daemon *d, int fd) {
  size_t place = 0;

  while (place < LEFTOVERS && d->leftovers[place] >= 0) place++;
  if (place == LEFTOVERS) {
    close(d->leftovers[0]);
    place--;
    memmove(d->leftovers, d->leftovers + 1, place * sizeof *d->leftovers);
  }
  d->leftovers[place] = fd;
  wake_at(d, d->leftovers_ms);
}

/* Closes an output that nobody writes to any more; those behind it move up. */
static void drop_leftover(struct daemon *d, size_t place) {
  size_t behind = LEFTOVERS - 1 - place;

  close(d->leftovers[place]);
  memmove(d->leftovers + place, d->leftovers + place + 1,
      behind * sizeof *d->leftovers);
  d->leftovers[LEFTOVERS - 1] = -1;
}

/* A pipeful a second: one that prints without end has to wait, and does not
 * keep the daemon busy. */
void mind_leftovers(struct daemon *d) {
  static char bytes[65536];
  size_t place = 0;

  if (d->leftovers[0] < 0) return;
  bool is_time = now_ms() >= d->leftovers_ms;
  if (is_time) d->leftovers_ms = now_ms() + LEFTOVERS_EVERY_MS;
  while (is_time && place < LEFTOVERS && d->leftovers[place] >= 0) {
    if (read(d->leftovers[place], bytes, sizeof bytes) == 0)
      drop_leftover(d, place);
    else place++;
  }
  if (d->leftovers[0] >= 0) wake_at(d, d->leftovers_ms);
}

/* ---- Its time and its end ---------------------------------------------- */

/* Takes what was printed last.  Who still prints then is not waited for. */
static void end_stream(
    struct daemon *d, struct program *p, struct stream *stream) {
  int reads = READS_AT_END;

  while (reads > 0 && read_stream(d, p, stream)) reads--;
  if (stream->line) end_line(d, p, stream);
  if (stream->fd >= 0) leave_open(d, stream->fd);
  stream->fd = -1;
}

/* Hears how it ended.  A keeper that was killed has nothing to say: the program
 * itself was killed with it, where the system can do that.  False: it has not
 * ended. */
static bool hear_end(struct program *p, struct program_end *end) {
  ssize_t n = recv(p->keeper, end, sizeof *end, MSG_DONTWAIT);

  if (n == (ssize_t)sizeof *end) return true;
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return false;
  *end =
      (struct program_end){.kind = END_KILLED, .code = SIGKILL, .late = true};
  return true;
}

/* One that came to its end before it was told to was not late. */
static void end_program(
    struct daemon *d, struct program *p, struct program_end *end) {
  end_stream(d, p, &p->out);
  end_stream(d, p, &p->err);
  close_end(&p->keeper);
  end->late = end->late && p->state == PROGRAM_IS_ENDED;
  end->too_long = p->too_long;
  p->state = PROGRAM_NONE;
  p->end(d, end);
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
  struct program_end end;

  if (p->state == PROGRAM_NONE) return;
  read_stream(d, p, &p->out);
  read_stream(d, p, &p->err);
  if (hear_end(p, &end)) {
    end_program(d, p, &end);
    return;
  }
  bool had_enough = p->state == PROGRAM_RUNS && p->too_long;
  if (had_enough || now_ms() >= p->end_ms) end_time(d, p);
  wake_at(d, p->end_ms);
}

/* The keeper sends it: only who has not yet taken the program's end knows that
 * its number is still its own. */
void signal_program(const struct program *p, int number) {
  char byte = (char)number;

  if (p->state == PROGRAM_NONE) return;
  send(p->keeper, &byte, 1, MSG_DONTWAIT | MSG_NOSIGNAL);
}

void reap_children(void) {
  pid_t pid;

  do pid = waitpid(-1, NULL, WNOHANG);
  while (pid > 0);
}
