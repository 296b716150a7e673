/* What is printed: an outcome as text or as a line of JSON, a line for each
 * hook, and notes and complaints.
 *
 * What a server, a hook or a proxy sent is printed as strings of JSON, in which
 * control characters are escaped, so that it cannot move a terminal.  In the
 * text log of a daemon each line begins with the time, unless it goes to the
 * journal, which has its own.  A daemon does not wait for the reader of its
 * log. */
#include "daemon.h"

#include <poll.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* ---- Lines of text ----------------------------------------------------- */

/* Whether a line is to be written: a log that nobody reads any more does not
 * stop a daemon. */
static bool takes_line(const struct log *log, FILE *out) {
  struct pollfd polled = {fileno(out), POLLOUT, 0};

  return !log->forever || poll(&polled, 1, 0) > 0;
}

/* Whether a character of two bytes is one of the control characters C1. */
static bool is_c1(const char *text) {
  return (unsigned char)text[0] == 0xC2 &&
      ((unsigned char)text[1] & 0xE0) == 0x80;
}

/* Begins a line of text with the time that the daemon goes by, in UTC as in RFC
 * 3339.  A single run is watched as it goes, and has none. */
static void begin_line(const struct daemon *d, FILE *out) {
  time_t now = (time_t)now_s(&d->clock);
  char stamp[32];
  struct tm utc;

  if (!d->log.forever || is_journal(out)) return;
  gmtime_r(&now, &utc);
  strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%SZ", &utc);
  fprintf(out, "%s ", stamp);
}

/* Puts ? for what would end the line or move a terminal: a path may have any
 * byte. */
static void tame(char *line) {
  for (; *line != '\0'; line++) {
    bool c1 = is_c1(line);
    if (c1) line[1] = '?';
    if (c1 || (unsigned char)*line < 0x20 || *line == 0x7F) *line = '?';
  }
}

/* Makes a line of a format, and writes it to standard error. */
static void __attribute__((format(printf, 3, 0))) write_line(struct daemon *d,
    char line[MESSAGE_SIZE], const char *format, va_list values) {
  vsnprintf(line, MESSAGE_SIZE, format, values);
  tame(line);
  if (!takes_line(&d->log, stderr)) return;
  begin_line(d, stderr);
  fprintf(stderr, "lucit-heartbeat: %s\n", line);
}

void note(struct daemon *d, const char *format, ...) {
  char line[MESSAGE_SIZE];
  va_list values;

  va_start(values, format);
  write_line(d, line, format, values);
  va_end(values);
}

/* The error is remembered even where nobody reads the log. */
void complain(struct daemon *d, const char *format, ...) {
  va_list values;

  va_start(values, format);
  write_line(d, d->log.last_error, format, values);
  va_end(values);
}

/* Nothing was begun that would have to be ended. */
void die(struct daemon *d, int status, const char *format, ...) {
  char line[MESSAGE_SIZE];
  va_list values;

  va_start(values, format);
  write_line(d, line, format, values);
  va_end(values);
  exit(status);
}

/* ---- JSON that is harmless to terminals -------------------------------- */

enum { ESCAPED_SIZE = 8 };

/* Whether a byte continues a character of UTF-8. */
static bool is_continuation(char c) {
  return ((unsigned char)c & 0xC0) == 0x80;
}

/* Writes the first character of a text as it stands in a string of JSON,
 * control characters escaped; returns what is behind it. */
static const char *escape(const char *text, char out[ESCAPED_SIZE]) {
  size_t size = 0;

  if (is_c1(text)) {
    snprintf(out, ESCAPED_SIZE, "\\u%04x", (unsigned char)text[1]);
    return text + 2;
  }
  unsigned char c = (unsigned char)*text++;
  if (c < 0x20 || c == 0x7F) {
    snprintf(out, ESCAPED_SIZE, "\\u%04x", c);
    return text;
  }
  if (c == '"' || c == '\\') out[size++] = '\\';
  out[size++] = (char)c;
  while (c >= 0xC0 && size < 4 && is_continuation(*text)) out[size++] = *text++;
  out[size] = '\0';
  return text;
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

/* NULL is null. */
static void print_string(FILE *out, const char *text) {
  if (!text) {
    fputs("null", out);
    return;
  }
  putc('"', out);
  while (*text != '\0') {
    char piece[ESCAPED_SIZE];
    text = escape(text, piece);
    fputs(piece, out);
  }
  putc('"', out);
}

/* On one line.  What a terminal obeys can only stand in strings, and is escaped
 * there; quotes and backslashes are as they came. */
static void print_value(FILE *out, hbeat_json value) {
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
      putc(' ', out);
      at++;
    } else if (*at == '"' || *at == '\\') {
      putc(*at++, out);
    } else {
      at = escape(at, piece);
      fputs(piece, out);
    }
  }
}

/* HBEAT_NONE is null. */
static void print_number(FILE *out, int64_t n) {
  if (n == HBEAT_NONE) fputs("null", out);
  else fprintf(out, "%lld", (long long)n);
}

/* Prints a format in which ' is a double quote, and
 *
 *     %s  is a const char *, as it is
 *     %q  a const char *, as a string of JSON; NULL is null
 *     %n  an int64_t; HBEAT_NONE is null
 *     %v  an hbeat_json
 */
static void say(FILE *out, const char *format, ...) {
  va_list values;

  va_start(values, format);
  for (; *format != '\0'; format++) {
    if (*format != '%') {
      putc(*format == '\'' ? '"' : *format, out);
      continue;
    }
    format++;
    switch (*format) {
    case 's': fputs(va_arg(values, const char *), out); break;
    case 'q': print_string(out, va_arg(values, const char *)); break;
    case 'n': print_number(out, va_arg(values, int64_t)); break;
    default: print_value(out, va_arg(values, hbeat_json)); break;
    }
  }
  va_end(values);
}

/* ---- Outcomes ---------------------------------------------------------- */

static const char *const connections[] = {
    [HBEAT_CONNECTION_NONE] = NULL,
    [HBEAT_CONNECTION_NEW] = "new",
    [HBEAT_CONNECTION_RESUMED] = "resumed",
    [HBEAT_CONNECTION_KEPT] = "kept",
};

/* null where none waits. */
static void print_json_instruction(FILE *out, const hbeat_instruction *i) {
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
    FILE *out, const hbeat_reply *r, hbeat_error e, const char *detail) {
  int64_t status = r->http_status != 0 ? r->http_status : HBEAT_NONE;

  say(out, "{'result':%q,'http_status':%n,'success':%s,'instruction':",
      hbeat_error_name(e), status, r->success ? "true" : "false");
  print_json_instruction(out, &r->instruction);
  say(out,
      ",'retry_after_s':%n,'server_time_s':%n,'message':%q,'detail':%q,"
      "'connection':%q,'clock_offset_s':%n}\n",
      r->retry_after_s, r->server_time_s, r->message, detail,
      connections[r->connection], r->clock_offset_s);
}

/* A label for what follows: on a line of its own, or behind a comma on the one
 * line of a daemon. */
static void print_label(const struct daemon *d, FILE *out, const char *label) {
  fprintf(out, d->log.forever ? ", %s " : "\n  %-12s ", label);
}

/* Nothing where none waits. */
static void print_text_instruction(
    const struct daemon *d, FILE *out, const hbeat_instruction *i) {
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
    const struct daemon *d, FILE *out, int64_t offset_s) {
  if (offset_s == HBEAT_NONE || (offset_s < 60 && offset_s > -60)) return;
  print_label(d, out, "clock");
  if (offset_s > 0) say(out, "%n s slow", offset_s);
  else say(out, "%n s fast", -offset_s);
}

/* For people: what is not known is left out. */
static void print_text(
    const struct daemon *d, FILE *out, hbeat_error e, const char *detail) {
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
  putc('\n', out);
}

/* Text of a failure goes to standard error; JSON is all in one place. */
void print_outcome(struct daemon *d, hbeat_error e, const char *detail) {
  FILE *out = d->log.json || e == HBEAT_OK ? stdout : stderr;

  if (!takes_line(&d->log, out)) return;
  if (d->log.json) {
    print_json(out, &d->reply, e, detail);
  } else {
    begin_line(d, out);
    print_text(d, out, e, detail);
  }
  fflush(out);
}

/* One line, for people and programs alike, and where theirs are. */
void print_hook(struct daemon *d, bool well, const char *message) {
  FILE *out = well || d->log.json ? stdout : stderr;
  const char *result = well ? "acknowledged" : "failed";
  const struct job *job = &d->job;

  if (!takes_line(&d->log, out)) return;
  const char *format = "hook: %q %q %q %q\n";
  if (d->log.json) format = "{'hook':%q,'lcuid':%q,'result':%q,'message':%q}\n";
  else begin_line(d, out);
  say(out, format, job->name, job->lcuid, result, message);
  fflush(out);
}
