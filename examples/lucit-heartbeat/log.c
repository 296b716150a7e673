/* What is printed: an outcome as text or as a line of JSON, a line for each
 * hook and each report, the line of --status-file, and notes and complaints,
 * which are rows of a table where --check looks at things.
 *
 * What a server, a hook or a proxy sent is printed as strings of JSON, in which
 * control characters are escaped, so that it cannot move a terminal.  In the
 * text log of a daemon each line begins with the time, unless it goes to the
 * journal, which has its own.
 *
 * A daemon does not wait for the reader of its log.  A line goes into a sink,
 * and out of it in pieces; what cannot go out at once is dropped and counted,
 * and the next line that can says how much that was:
 *
 *     append()      into the sink; a full piece goes out
 *     end_line()    the rest goes out
 *     begin_line()  ends a line that was torn, and says what was dropped */
#include "daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- Sinks ------------------------------------------------------------- */

/* What POLLOUT promises of a terminal: Linux sets it while a pseudo-terminal
 * has room for 256 bytes, and a line feed may take two. */
enum { TERMINAL_PIECE_SIZE = 128 };

void init_log(struct log *log) {
  log->sinks[0].fd = STDOUT_FILENO;
  log->sinks[1].fd = STDERR_FILENO;
  log->out = &log->sinks[0];
  log->err = &log->sinks[1];
}

/* Opens a pipe or a terminal once more, so that its flags are the daemon's own:
 * who else writes there may well wait.  -1: it is not to be had, as where it
 * belongs to another user, or there is no /proc. */
static int open_again(int fd) {
  char path[32];

  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  return open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
}

/* Finds how to write to a sink without waiting. */
static void stop_waiting(struct sink *sink, const struct stat *s) {
  bool is_terminal = isatty(sink->fd) == 1;
  int own = -1;

  if (S_ISSOCK(s->st_mode)) {
    sink->kind = SINK_SOCKET;
    return;
  }
  if (is_terminal || S_ISFIFO(s->st_mode)) own = open_again(sink->fd);
  sink->kind = own >= 0 ? SINK_OWN : SINK_POLLED;
  sink->promised_size = is_terminal ? TERMINAL_PIECE_SIZE : PIECE_SIZE;
  if (own >= 0) sink->fd = own;
}

/* Where both streams are one, a line must not go on behind half of one of the
 * other stream: then they share a sink. */
void begin_daemon_log(struct log *log) {
  struct stat out;
  struct stat err;

  log->forever = true;
  bool known = fstat(log->out->fd, &out) == 0 && fstat(log->err->fd, &err) == 0;
  if (!known) return; /* main() has opened both */
  stop_waiting(log->out, &out);
  if (out.st_dev == err.st_dev && out.st_ino == err.st_ino) log->err = log->out;
  else stop_waiting(log->err, &err);
}

/* Whether a sink has room, or comes to have it in this time; -1: whenever. */
static bool has_room(const struct sink *sink, int timeout_ms) {
  struct pollfd polled = {sink->fd, POLLOUT, 0};

  return poll(&polled, 1, timeout_ms) > 0;
}

/* Writes some bytes; -1 with errno: none.  A daemon never waits here. */
static ssize_t write_some(
    const struct sink *sink, const char *bytes, size_t size) {
  if (sink->kind == SINK_SOCKET)
    return send(sink->fd, bytes, size, MSG_DONTWAIT | MSG_NOSIGNAL);
  if (sink->kind == SINK_POLLED) {
    errno = EAGAIN; /* if there is no room */
    if (!has_room(sink, 0)) return -1;
    if (size > sink->promised_size) size = sink->promised_size;
  }
  return write(sink->fd, bytes, size);
}

/* Whether it is worth trying again at once.  A sink that waits may have been
 * handed over with O_NONBLOCK. */
static bool may_go_on(const struct sink *sink) {
  if (errno == EINTR) return true;
  if (errno != EAGAIN || sink->kind != SINK_WAITS) return false;
  return has_room(sink, -1);
}

/* Writes what can be written, and returns how much that was. */
static size_t write_bytes(struct sink *sink, const char *bytes, size_t size) {
  size_t written = 0;
  bool goes_on = true;

  while (written < size && goes_on) {
    ssize_t n = write_some(sink, bytes + written, size - written);
    if (n > 0) written += (size_t)n;
    else goes_on = n < 0 && may_go_on(sink);
  }
  if (written > 0) sink->is_inside_line = bytes[written - 1] != '\n';
  if (written < size) sink->has_failed = true;
  return written;
}

/* Writes the piece under way.  Where a piece is missing the rest of its line is
 * missing, too. */
static void write_piece(struct sink *sink) {
  size_t written = 0;

  if (!sink->is_torn) written = write_bytes(sink, sink->piece, sink->size);
  if (written < sink->size) sink->is_torn = true;
  sink->dropped_bytes += sink->size - written;
  sink->size = 0;
}

static void append_bytes(struct sink *sink, const char *bytes, size_t size) {
  while (size > 0) {
    size_t room = sizeof sink->piece - sink->size;
    size_t taken = size < room ? size : room;
    memcpy(sink->piece + sink->size, bytes, taken);
    sink->size += taken;
    if (taken == room) write_piece(sink);
    bytes += taken;
    size -= taken;
  }
}

static void append_byte(struct sink *sink, char c) {
  append_bytes(sink, &c, 1);
}

static void append(struct sink *sink, const char *text) {
  append_bytes(sink, text, strlen(text));
}

/* ---- Lines ------------------------------------------------------------- */

enum { PREFIX_SIZE = STAMP_SIZE + 1 };

/* What a line begins with: the time that the daemon goes by, in UTC, and a
 * space; "" where a line has none, since a single run is watched as it goes. */
static const char *write_prefix(const struct daemon *d, const struct sink *sink,
    bool is_json, char out[PREFIX_SIZE]) {
  char stamp[STAMP_SIZE];

  *out = '\0';
  if (is_json || !d->log.forever || is_journal(sink->fd)) return out;
  snprintf(out, PREFIX_SIZE, "%s ", write_stamp(now_s(&d->clock), stamp));
  return out;
}

/* Says in a line of its own how much was dropped before it.  Where that cannot
 * be said, the line behind it is dropped, too. */
static void tell_dropped(struct sink *sink, const char *prefix, bool is_json) {
  const char *line_end = sink->is_inside_line ? "\n" : "";
  char line[128];

  if (sink->dropped_bytes == 0) return;
  snprintf(line, sizeof line,
      is_json ? "%s%s{\"dropped_bytes\":%" PRIu64 "}\n"
              : "%s%slucit-heartbeat: [%" PRIu64
                " bytes of the log were dropped]\n",
      line_end, prefix, sink->dropped_bytes);
  size_t size = strlen(line);
  if (write_bytes(sink, line, size) == size) sink->dropped_bytes = 0;
  else sink->is_torn = true;
}

/* Begins a line of text or of JSON; returns its sink. */
static struct sink *begin_line(
    const struct daemon *d, struct sink *sink, bool is_json) {
  char room[PREFIX_SIZE];
  const char *prefix = write_prefix(d, sink, is_json, room);

  sink->is_torn = false;
  tell_dropped(sink, prefix, is_json);
  append(sink, prefix);
  return sink;
}

static void end_line(struct sink *sink) {
  append_byte(sink, '\n');
  write_piece(sink);
}

/* ---- Characters -------------------------------------------------------- */

bool is_continuation(char c) {
  return ((unsigned char)c & 0xC0) == 0x80;
}

enum { NOT_UTF8 = -1 };

/* Reads the first character of a text (RFC 3629); *size is that of what was
 * read, one byte where it is NOT_UTF8. */
static long read_character(const char *text, size_t *size) {
  static const long least[] = {0x80, 0x800, 0x10000}; /* of 2, 3 and 4 bytes */
  unsigned char first = (unsigned char)*text;
  size_t more = 1;

  *size = 1;
  if (first < 0x80) return first;
  if (first < 0xC2 || first > 0xF4) return NOT_UTF8;
  if (first >= 0xE0) more++;
  if (first >= 0xF0) more++;
  long code = first & (0x3F >> more);
  for (size_t i = 1; i <= more; i++) {
    if (!is_continuation(text[i])) return NOT_UTF8;
    code = code * 64 + (text[i] & 0x3F);
  }
  bool is_surrogate = code >= 0xD800 && code <= 0xDFFF;
  if (code < least[more - 1] || code > 0x10FFFF || is_surrogate)
    return NOT_UTF8;
  *size = more + 1;
  return code;
}

/* Whether a character moves a terminal, ends a line, or makes a text look like
 * another one: control characters, and what turns the direction of a line
 * (UAX #9) or takes no room in it. */
static bool is_hidden(long code) {
  static const struct {
    long first;
    long last;
  } hidden[] = {
      {0x00, 0x1F},     /* C0 */
      {0x7F, 0x9F},     /* DEL, C1 */
      {0x061C, 0x061C}, /* Arabic letter mark */
      {0x200B, 0x200F}, /* of no width, and marks of direction */
      {0x2028, 0x202E}, /* ends of lines and paragraphs, embeddings */
      {0x2060, 0x206F}, /* of no width, isolates */
      {0xFEFF, 0xFEFF}, /* byte order mark */
  };

  for (size_t i = 0; i < sizeof hidden / sizeof *hidden; i++)
    if (code >= hidden[i].first && code <= hidden[i].last) return true;
  return false;
}

/* Puts ? for each byte of a character that is hidden, and for what is no UTF-8:
 * a path may have any byte. */
static void tame(char *line) {
  while (*line != '\0') {
    size_t size;
    long code = read_character(line, &size);
    if (code == NOT_UTF8 || is_hidden(code)) memset(line, '?', size);
    line += size;
  }
}

/* ---- JSON that is harmless to terminals -------------------------------- */

enum { ESCAPED_SIZE = 8 };

/* Writes the first character of a text as it stands in a string of JSON, hidden
 * ones escaped; returns what is behind it.  A byte that is no UTF-8 stays. */
static const char *escape(const char *text, char out[ESCAPED_SIZE]) {
  size_t size;
  long code = read_character(text, &size);

  if (code != NOT_UTF8 && is_hidden(code)) {
    snprintf(out, ESCAPED_SIZE, "\\u%04x", (unsigned)code & 0xFFFF);
    return text + size;
  }
  char *end = out;
  if (code == '"' || code == '\\') *end++ = '\\';
  memcpy(end, text, size);
  end[size] = '\0';
  return text + size;
}

/* The code of an escape \\uXXXX of JSON; -1: there is none. */
static long code_of_escape(const char *text, const char *end) {
  char digits[5] = "";
  char *behind;

  if (end - text < 6 || text[0] != '\\' || text[1] != 'u') return -1;
  memcpy(digits, text + 2, 4);
  long code = strtol(digits, &behind, 16);
  return *behind == '\0' ? code : -1;
}

/* The two halves of a surrogate pair (RFC 8259 section 7), which together are a
 * character beyond U+FFFF. */
static bool is_first_half(long code) {
  return code >= 0xD800 && code <= 0xDBFF;
}

static bool is_second_half(long code) {
  return code >= 0xDC00 && code <= 0xDFFF;
}

/* Both escapes have six bytes, so that the text keeps its length.  Behind any
 * other backslash the next byte is no escape of its own. */
void mend_surrogates(char *json, size_t size) {
  char *end = json + size;

  while (json < end) {
    long code = code_of_escape(json, end);
    bool first = is_first_half(code);
    if (first && is_second_half(code_of_escape(json + 6, end))) {
      json += 12;
      continue;
    }
    if (first || is_second_half(code)) memcpy(json + 2, "fffd", 4);
    json += *json == '\\' ? 2 : 1;
  }
}

/* The reply leads to them by a const pointer; the body that they lie in is the
 * daemon's own. */
void mend_parameters(struct daemon *d) {
  hbeat_json parameters = d->reply.instruction.parameters;

  if (parameters.text)
    mend_surrogates(d->body + (parameters.text - d->body), parameters.size);
}

/* A character that does not fit whole ends it. */
const char *quote(const char *text, char *out, size_t size) {
  char *at = out;
  const char *end = out + size - 2;

  *at++ = '"';
  while (*text != '\0') {
    char piece[ESCAPED_SIZE];
    text = escape(text, piece);
    size_t length = strlen(piece);
    if (length > (size_t)(end - at)) break;
    memcpy(at, piece, length);
    at += length;
  }
  memcpy(at, "\"", 2);
  return out;
}

/* NULL is null; a byte that is no UTF-8 is U+FFFD. */
static void print_string(struct sink *out, const char *text) {
  if (!text) {
    append(out, "null");
    return;
  }
  append_byte(out, '"');
  while (*text != '\0') {
    char piece[ESCAPED_SIZE];
    text = escape(text, piece);
    bool is_utf8 = (piece[0] & 0x80) == 0 || piece[1] != '\0';
    append(out, is_utf8 ? piece : "\\ufffd");
  }
  append_byte(out, '"');
}

/* On one line.  What a terminal obeys can only stand in strings, and is escaped
 * there; quotes and backslashes are as they came. */
static void print_value(struct sink *out, hbeat_json value) {
  static const char null[] = "null";
  const char *at = null;
  const char *end = null + sizeof null - 1;

  if (value.text) {
    at = value.text;
    end = value.text + value.size;
  }
  while (at < end) {
    char piece[ESCAPED_SIZE];
    if ((unsigned char)*at < 0x20) {
      append_byte(out, ' ');
      at++;
    } else if (*at == '"' || *at == '\\') {
      append_byte(out, *at++);
    } else {
      at = escape(at, piece);
      append(out, piece);
    }
  }
}

/* HBEAT_NONE is null. */
static void print_number(struct sink *out, int64_t n) {
  char text[24] = "null";

  if (n != HBEAT_NONE) snprintf(text, sizeof text, "%" PRId64, n);
  append(out, text);
}

/* Prints a format in which ' is a double quote, and
 *
 *     %s  is a const char *, as it is
 *     %q  a const char *, as a string of JSON; NULL is null
 *     %n  an int64_t; HBEAT_NONE is null
 *     %v  an hbeat_json
 */
static void say(struct sink *out, const char *format, ...) {
  va_list values;

  va_start(values, format);
  for (; *format != '\0'; format++) {
    if (*format != '%') {
      char c = *format;
      if (c == '\'') c = '"';
      append_byte(out, c);
      continue;
    }
    format++;
    switch (*format) {
    case 's': append(out, va_arg(values, const char *)); break;
    case 'q': print_string(out, va_arg(values, const char *)); break;
    case 'n': print_number(out, va_arg(values, int64_t)); break;
    default: print_value(out, va_arg(values, hbeat_json)); break;
    }
  }
  va_end(values);
}

/* ---- Notes and complaints ---------------------------------------------- */

enum verdict { IS_WELL, IS_TOLD, IS_WRONG };

/* Prints a row of the table of --check. */
static void print_row(
    struct daemon *d, enum verdict verdict, const char *detail) {
  static const char *const verdicts[] = {
      [IS_WELL] = "ok", [IS_TOLD] = "told", [IS_WRONG] = "wrong"};
  struct log *log = &d->log;

  if (verdict == IS_WRONG) {
    log->thing_is_wrong = true;
    log->something_is_wrong = true;
  }
  struct sink *out = begin_line(d, log->out, log->json);
  if (log->json) {
    say(out, "{'check':%q,'verdict':%q,'detail':%q}", log->thing,
        verdicts[verdict], detail);
  } else {
    char columns[32];
    snprintf(
        columns, sizeof columns, "%-6s %-13s ", verdicts[verdict], log->thing);
    append(out, columns);
    append(out, detail);
  }
  end_line(out);
}

void look_at(struct daemon *d, const char *thing) {
  d->log.thing = thing;
  d->log.thing_is_wrong = false;
}

void tell_found(struct daemon *d, const char *format, ...) {
  char line[MESSAGE_SIZE];
  va_list values;

  va_start(values, format);
  vsnprintf(line, sizeof line, format, values);
  va_end(values);
  tame(line);
  if (!d->log.thing_is_wrong) print_row(d, IS_WELL, line);
}

/* Makes a line of a format, and writes it to standard error, or to the table of
 * --check. */
static void __attribute__((format(printf, 4, 0)))
write_line(struct daemon *d, enum verdict verdict, char line[MESSAGE_SIZE],
    const char *format, va_list values) {
  vsnprintf(line, MESSAGE_SIZE, format, values);
  tame(line);
  if (d->log.thing) {
    print_row(d, verdict, line);
    return;
  }
  struct sink *err = begin_line(d, d->log.err, false);
  append(err, "lucit-heartbeat: ");
  append(err, line);
  end_line(err);
}

void note(struct daemon *d, const char *format, ...) {
  char line[MESSAGE_SIZE];
  va_list values;

  va_start(values, format);
  write_line(d, IS_TOLD, line, format, values);
  va_end(values);
}

void remember_error(struct daemon *d, const char *text) {
  struct log *log = &d->log;

  snprintf(log->last_error, sizeof log->last_error, "%s", text);
  log->last_error_s = now_s(&d->clock);
  log->last_error_is_new = true;
}

/* The error is remembered even where nobody reads the log. */
void complain(struct daemon *d, const char *format, ...) {
  char line[MESSAGE_SIZE];
  va_list values;

  va_start(values, format);
  write_line(d, IS_WRONG, line, format, values);
  va_end(values);
  remember_error(d, line);
}

/* Nothing was begun that would have to be ended.  A check has one status for
 * all that is wrong. */
void die(struct daemon *d, int status, const char *format, ...) {
  char line[MESSAGE_SIZE];
  va_list values;

  va_start(values, format);
  write_line(d, IS_WRONG, line, format, values);
  va_end(values);
  exit(d->log.thing ? EXIT_USAGE : status);
}

/* ---- Outcomes ---------------------------------------------------------- */

static const char *const connections[] = {
    [HBEAT_CONNECTION_NONE] = NULL,
    [HBEAT_CONNECTION_NEW] = "new",
    [HBEAT_CONNECTION_RESUMED] = "resumed",
    [HBEAT_CONNECTION_KEPT] = "kept",
};

/* null where none waits. */
static void print_json_instruction(
    struct sink *out, const hbeat_instruction *i) {
  if (!i->name) {
    say(out, "null");
    return;
  }
  say(out,
      "{'instruction':%q,'parameters':%v,'run_at':%q,'run_at_s':%n,"
      "'status':%n,'lcuid':%q,'created_at':%q,'updated_at':%q}",
      i->name, i->parameters, i->run_at, i->run_at_s, i->status, i->lcuid,
      i->created_at, i->updated_at);
}

/* One line, with all members at all times: for programs. */
static void print_json(
    struct sink *out, const hbeat_reply *r, hbeat_error e, const char *detail) {
  int64_t status = r->http_status != 0 ? r->http_status : HBEAT_NONE;

  say(out, "{'result':%q,'http_status':%n,'success':%s,'instruction':",
      hbeat_error_name(e), status, r->success ? "true" : "false");
  print_json_instruction(out, &r->instruction);
  say(out,
      ",'retry_after_s':%n,'server_time_s':%n,'message':%q,'detail':%q,"
      "'connection':%q,'clock_offset_s':%n}",
      r->retry_after_s, r->server_time_s, r->message, detail,
      connections[r->connection], r->clock_offset_s);
}

/* A label for what follows: on a line of its own, or behind a comma on the one
 * line of a daemon. */
static void print_label(
    const struct daemon *d, struct sink *out, const char *label) {
  char text[32];

  snprintf(text, sizeof text, d->log.forever ? ", %s " : "\n  %-12s ", label);
  append(out, text);
}

/* Nothing where none waits. */
static void print_text_instruction(
    const struct daemon *d, struct sink *out, const hbeat_instruction *i) {
  if (i->unreadable) {
    print_label(d, out, "instruction");
    say(out, "cannot be read");
  }
  if (!i->name) return;
  print_label(d, out, "instruction");
  say(out, "%q", i->name);
  print_label(d, out, "parameters");
  say(out, "%v", i->parameters);
  print_label(d, out, "run at");
  if (i->run_at) say(out, "%q", i->run_at);
  else say(out, "'now'");
  print_label(d, out, "lcuid");
  say(out, "%q", i->lcuid);
}

/* How far the clock is off, where that is a minute or more. */
static void print_text_clock(
    const struct daemon *d, struct sink *out, int64_t offset_s) {
  if (offset_s == HBEAT_NONE || (offset_s < 60 && offset_s > -60)) return;
  print_label(d, out, "clock");
  if (offset_s > 0) say(out, "%n s slow", offset_s);
  else say(out, "%n s fast", -offset_s);
}

/* For people: what is not known is left out. */
static void print_text(const struct daemon *d, struct sink *out, hbeat_error e,
    const char *detail) {
  const hbeat_reply *r = &d->reply;

  say(out, "%s: %s", hbeat_error_name(e), detail);
  if (r->message) {
    print_label(d, out, "message");
    say(out, "%q", r->message);
  }
  if (r->retry_after_s != HBEAT_NONE) {
    print_label(d, out, "retry after");
    say(out, "%n s", r->retry_after_s);
  }
  if (r->connection != HBEAT_CONNECTION_NONE) {
    print_label(d, out, "connection");
    say(out, "%s", connections[r->connection]);
  }
  print_text_clock(d, out, r->clock_offset_s);
  if (d->log.forever) {
    print_label(d, out, "took");
    say(out, "%n ms", now_ms() - d->exchange.begun_ms);
  }
  print_text_instruction(d, out, &r->instruction);
}

/* Text of a failure goes to standard error; JSON is all in one place. */
static struct sink *begin_result(const struct daemon *d, bool well) {
  const struct log *log = &d->log;

  return begin_line(d, well || log->json ? log->out : log->err, log->json);
}

void print_outcome(struct daemon *d, hbeat_error e, const char *detail) {
  struct sink *out = begin_result(d, e == HBEAT_OK);

  if (d->log.json) print_json(out, &d->reply, e, detail);
  else print_text(d, out, e, detail);
  end_line(out);
}

/* One line, for people and programs alike. */
void print_hook(struct daemon *d, bool well, const char *message) {
  struct sink *out = begin_result(d, well);
  const char *result = well ? "acknowledged" : "failed";
  const struct job *job = &d->job;

  const char *format = "hook: %q %q %q %q";
  if (d->log.json) format = "{'hook':%q,'lcuid':%q,'result':%q,'message':%q}";
  say(out, format, job->name, job->lcuid, result, message);
  end_line(out);
}

/* An acknowledgement has no message: in text it is left out. */
void print_report(struct daemon *d, const hbeat_request *report) {
  bool well = report->call == HBEAT_ACKNOWLEDGE;
  const char *result = well ? "acknowledged" : "failed";
  const char *why = report->message;

  struct sink *out = begin_result(d, well);
  if (d->log.json) {
    say(out, "{'report':%q,'result':%q,'message':%q}", report->instruction,
        result, why);
  } else {
    say(out, "report: %q %s", report->instruction, result);
    if (why) say(out, " %q", why);
  }
  end_line(out);
}

/* ---- The line of --status-file ----------------------------------------- */

/* A time, or a number of HTTP, which is not 0 where there is one. */
static int64_t if_any(int64_t number) {
  return number != 0 ? number : HBEAT_NONE;
}

/* When the next heartbeat is due. */
static int64_t next_beat_s(const struct daemon *d, bool runs) {
  int64_t wait_ms = d->beats.next_ms - now_ms();

  if (!runs || !beats_go_on(d)) return HBEAT_NONE;
  return now_s(&d->clock) + (wait_ms > 0 ? wait_ms / SECOND : 0);
}

static void print_last_beat(const struct daemon *d, struct sink *out) {
  const struct beats *b = &d->beats;
  const char *result = NULL;

  if (b->ended_s != 0) result = hbeat_error_name(b->last_error);
  say(out,
      ",'last_success_s':%n,'failures':%n,'last_beat_s':%n,'result':%q,"
      "'http_status':%n,'connection':%q,'clock_offset_s':%n",
      if_any(b->succeeded_s), (int64_t)b->failed_in_a_row, if_any(b->ended_s),
      result, if_any(b->last_http_status), connections[b->last_connection],
      b->last_clock_offset_s);
}

static void print_last_error(const struct log *log, struct sink *out) {
  const char *error = *log->last_error != '\0' ? log->last_error : NULL;

  say(out, ",'last_error':%q,'last_error_s':%n", error,
      if_any(log->last_error_s));
}

/* The instruction in hand; null where there is none. */
static void print_job(const struct daemon *d, struct sink *out, bool runs) {
  const struct job *job = &d->job;
  const char *state = job->state == JOB_RUNNING ? "running" : "waiting";

  if (!runs || job->state == JOB_NONE) say(out, ",'instruction':null");
  else
    say(out, ",'instruction':{'name':%q,'lcuid':%q,'state':%q}", job->name,
        job->lcuid, state);
}

bool print_status(const struct daemon *d, int fd, bool runs) {
  struct sink out = {.fd = fd};

  say(&out, "{'running':%s,'pid':%n,'version':%q", runs ? "true" : "false",
      (int64_t)getpid(), HBEAT_VERSION);
  print_last_beat(d, &out);
  print_last_error(&d->log, &out);
  print_job(d, &out, runs);
  say(&out, ",'reports':%n,'next_beat_s':%n}",
      (int64_t)count_reports(&d->memory), next_beat_s(d, runs));
  end_line(&out);
  return !out.has_failed;
}
