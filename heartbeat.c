/* heartbeat - see heartbeat.h for the contract of every call.
 *
 * A request is a list of pieces: literals, the caller's strings, and strings to
 * be escaped into JSON.  hbeat_pull() walks it and remembers where it stopped,
 * so that a request of any size leaves through any window.  The reply runs byte
 * by byte through a state machine that keeps what it needs of the head; the
 * body lands in the caller's buffer, is checked whole, then decoded in place.
 *
 * The client drives BearSSL's engine itself:
 *
 *     IDLE -> LOOK ------------------> talk() <-> SENDING, RECEIVING
 *        \      |                       ^
 *         `-> LOOKUP -> OPEN -> CONNECTING [-> TUNNEL]
 *
 * LOOK sees whether a kept connection is still good; LOOKUP finds addresses;
 * OPEN tries them in turn, until one has said a word.  talk() lets the engine
 * work until it needs the socket.  Small records gather in the wire, the end of
 * the TLS buffer (all of it is scratch before TLS), to leave in one write.  One
 * read fills what the engine asks for, then the wire.  So a heartbeat on a kept
 * connection is one look, one write, one poll, one read.
 *
 * Sections use only those above; HBEAT_NO_NET omits text to error texts. */
#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L
#endif

#include "heartbeat.h"

#include <string.h>

#ifndef HBEAT_NO_NET
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>
#ifdef __has_include /* getrandom() is not POSIX, but nearly everywhere */
#if __has_include(<sys/random.h>)
#include <sys/random.h>
#endif
#endif
#endif

/* ==== Bytes ============================================================= */

#define COUNT(array) (sizeof(array) / sizeof(array)[0])
#define ALPHA "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
#define UNRESERVED ALPHA "0123456789-._~" /* RFC 3986 section 2.3 */
#define UNIT_MAX 6     /* the longest form of one character: \u001f */
#define DECIMAL_MAX 21 /* the digits of UINT64_MAX and a NUL */
#define ASSERT(name, condition) typedef char assert_##name[(condition) ? 1 : -1]

#ifndef HBEAT_NO_NET
ASSERT(sha2_in_a_row, br_sha256_ID + 2 == br_sha512_ID);
#endif

typedef unsigned char byte;

/* Input that is consumed from the front. */
typedef struct span {
  const byte *at, *end;
} span;

static size_t length_of(span s) {
  return (size_t)(s.end - s.at);
}

static bool is_digit(int c) {
  return c >= '0' && c <= '9';
}

/* ASCII only: the C library's would ask the locale. */
static int to_lower(int c) {
  return c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c;
}

static int hex_value(int c) {
  c = to_lower(c);
  return is_digit(c) ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Whether `size` bytes of text are `word`, in any case. */
static bool same_word(const char *text, size_t size, const char *word) {
  if (strlen(word) != size) return false;
  while (size > 0 && to_lower(text[size - 1]) == to_lower(word[size - 1]))
    size--;
  return size == 0;
}

/* A name in a table: no pointer, so that it needs no relocation. */
typedef char known[36];

/* Which of the names is this text; `count` where none is. */
static size_t find_name(const known *names, size_t count, const char *text) {
  size_t i = 0;
  while (i < count && strcmp(names[i], text) != 0) i++;
  return i;
}

/* Writes a number in decimal, as a string. */
static void write_decimal(char *text, uint64_t number) {
  char digits[DECIMAL_MAX], *at = digits + sizeof digits - 1;
  *at = '\0';
  do *--at = (char)('0' + number % 10);
  while ((number /= 10) != 0);
  memcpy(text, at, (size_t)(digits + sizeof digits - at));
}

/* The length of the UTF-8 sequence at `p` (RFC 3629), 1 to 4; 0 where the input
 * ends inside it.  Where invalid, minus its longest good beginning, or -1. */
static int utf8_length(const byte *p, size_t size) {
  /* The second byte's range: no long forms, surrogates, above U+10FFFF. */
  unsigned low = p[0] == 0xE0 ? 0xA0 : p[0] == 0xF0 ? 0x90 : 0x80;
  unsigned high = p[0] == 0xED ? 0x9F : p[0] == 0xF4 ? 0x8F : 0xBF;
  int length = p[0] < 0xE0 ? 2 : p[0] < 0xF0 ? 3 : 4;
  if (p[0] < 0x80) return 1;
  if (p[0] < 0xC2 || p[0] > 0xF4) return -1;
  for (int i = 1; i < length; i++) {
    if ((size_t)i == size) return 0;
    if (i == 1 ? p[i] < low || p[i] > high : p[i] >> 6 != 2) return -i;
  }
  return length;
}

/* Writes a code point in UTF-8; returns its length. */
static size_t utf8_write(uint32_t code, byte out[4]) {
  static const byte lead[] = {0, 0x00, 0xC0, 0xE0, 0xF0};
  size_t length = 1u + (code > 0x7F) + (code > 0x7FF) + (code > 0xFFFF);
  for (size_t i = length - 1; i > 0; i--) {
    out[i] = (byte)(0x80 | (code & 0x3F));
    code >>= 6;
  }
  out[0] = (byte)(lead[length] | code);
  return length;
}

/* ==== JSON out ========================================================== */

/* Writes a string's first character as it stands inside a JSON string; returns
 * its length, and in *taken that of before.  What is not UTF-8 becomes U+FFFD:
 * no heartbeat is lost over an odd name.  No sequence reads past the NUL. */
static size_t json_escape(
    const byte *text, byte unit[UNIT_MAX], size_t *taken) {
  static const char hex[] = "0123456789abcdef";
  int length = utf8_length(text, 4);
  *taken = (size_t)(length < 0 ? -length : length);
  if (length < 0) return utf8_write(0xFFFD, unit);
  if (*text < 0x20) {
    memcpy(unit, "\\u00", 4);
    unit[4] = (byte)hex[*text >> 4];
    unit[5] = (byte)hex[*text & 15];
    return UNIT_MAX;
  }
  size_t front = *text == '"' || *text == '\\'; /* a backslash */
  unit[0] = '\\';
  memcpy(unit + front, text, *taken);
  return front + *taken;
}

/* ==== JSON in =========================================================== */

/* Functions named scan_ move past one construct.  HBEAT_ERR_JSON: no text that
 * begins so can be right.  HBEAT_ERR_TRUNCATED: the input ends too early. */

static hbeat_error scan_word(span *in, const char *word) {
  for (; *word != '\0'; word++, in->at++) {
    if (in->at == in->end) return HBEAT_ERR_TRUNCATED;
    if (*in->at != (byte)*word) return HBEAT_ERR_JSON;
  }
  return HBEAT_OK;
}

static bool at_digit(span in) {
  return in.at < in.end && is_digit(*in.at);
}

static hbeat_error scan_digits(span *in) {
  if (in->at == in->end) return HBEAT_ERR_TRUNCATED;
  if (!is_digit(*in->at)) return HBEAT_ERR_JSON;
  while (at_digit(*in)) in->at++;
  return HBEAT_OK;
}

static bool scan_char(span *in, const char *any) {
  bool found = in->at < in->end && *in->at != '\0' && strchr(any, *in->at);
  if (found) in->at++;
  return found;
}

static void skip_space(span *in) {
  while (scan_char(in, " \t\n\r"))
    ;
}

/* A character behind white space. */
static bool scan_mark(span *in, const char *any) {
  skip_space(in);
  return scan_char(in, any);
}

/* RFC 8259 section 6. */
static hbeat_error scan_number(span *in) {
  scan_char(in, "-");
  hbeat_error e = scan_char(in, "0") ? HBEAT_OK : scan_digits(in);
  if (e == HBEAT_OK && scan_char(in, ".")) e = scan_digits(in);
  if (e != HBEAT_OK || !scan_char(in, "eE")) return e;
  scan_char(in, "+-");
  return scan_digits(in);
}

/* \uXXXX, which may be half of a character. */
static hbeat_error scan_utf16(span *in, uint32_t *code) {
  hbeat_error e = scan_word(in, "\\u");
  *code = 0;
  for (int i = 0; e == HBEAT_OK && i < 4; i++, in->at++) {
    if (in->at == in->end) return HBEAT_ERR_TRUNCATED;
    if (hex_value(*in->at) < 0) return HBEAT_ERR_JSON;
    *code = *code << 4 | (uint32_t)hex_value(*in->at);
  }
  return e;
}

/* An escape, from its backslash on; a surrogate pair is one. */
static hbeat_error scan_escape(span *in, uint32_t *code) {
  static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
  if (length_of(*in) < 2) return HBEAT_ERR_TRUNCATED;
  const char *found = memchr(from, in->at[1], sizeof from - 1);
  if (found) {
    *code = (byte)to[found - from];
    in->at += 2;
    return HBEAT_OK;
  }
  hbeat_error e = scan_utf16(in, code);
  if (e != HBEAT_OK || *code < 0xD800 || *code > 0xDFFF) return e;
  if (*code > 0xDBFF) return HBEAT_ERR_JSON; /* a low surrogate alone */
  uint32_t low;
  if ((e = scan_utf16(in, &low)) != HBEAT_OK) return e;
  if (low < 0xDC00 || low > 0xDFFF) return HBEAT_ERR_JSON;
  *code = 0x10000 + ((*code - 0xD800) << 10) + (low - 0xDC00);
  return HBEAT_OK;
}

/* RFC 8259 section 7, from the opening quote to past the closing one. */
static hbeat_error scan_string(span *in) {
  hbeat_error e = scan_word(in, "\"");
  while (e == HBEAT_OK && in->at < in->end && *in->at != '"') {
    uint32_t code;
    int length = utf8_length(in->at, length_of(*in));
    if (*in->at < 0x20 || length < 0) return HBEAT_ERR_JSON;
    if (length == 0) return HBEAT_ERR_TRUNCATED;
    if (*in->at == '\\') e = scan_escape(in, &code);
    else in->at += length;
  }
  return e == HBEAT_OK ? scan_word(in, "\"") : e;
}

static hbeat_json_type type_of(byte first) {
  static const char firsts[] = "nft0\"[{"; /* in the enum's order */
  const char *found = memchr(firsts, first, sizeof firsts - 1);
  return found ? (hbeat_json_type)(HBEAT_JSON_NULL + (found - firsts))
               : HBEAT_JSON_NUMBER;
}

/* Takes the value that must come next; NONE where it is bad.  No text exhausts
 * a stack: what is around are bits of `objects`, the innermost lowest. */
static hbeat_error take_value(span *in, hbeat_json *value) {
  static const char words[][6] = {"null", "false", "true"}; /* by type */
  hbeat_error e = HBEAT_OK;
  uint64_t objects = 0;
  int depth = 0;
  memset(value, 0, sizeof *value);
  skip_space(in);
  const byte *start = in->at;
  do {
    skip_space(in);
    if (in->at == in->end) return HBEAT_ERR_TRUNCATED;
    hbeat_json_type type = type_of(*in->at);
    bool comma = type < HBEAT_JSON_ARRAY; /* before the next one */
    if (type == HBEAT_JSON_STRING) e = scan_string(in);
    else if (type == HBEAT_JSON_NUMBER) e = scan_number(in);
    else if (comma) e = scan_word(in, words[type - HBEAT_JSON_NULL]);
    else if (++depth > HBEAT_JSON_DEPTH) e = HBEAT_ERR_TOO_BIG;
    else {
      objects = objects << 1 | (type == HBEAT_JSON_OBJECT);
      in->at++;
    }
    while (
        e == HBEAT_OK && depth > 0 && scan_mark(in, objects & 1 ? "}" : "]")) {
      objects >>= 1;
      depth--;
      comma = true;
    }
    if (e == HBEAT_OK && depth > 0 && comma) e = scan_word(in, ",");
    if (e == HBEAT_OK && (objects & 1)) {
      skip_space(in);
      e = scan_string(in);
      skip_space(in);
      if (e == HBEAT_OK) e = scan_word(in, ":");
    }
  } while (e == HBEAT_OK && depth > 0);
  if (e == HBEAT_OK)
    *value = (hbeat_json){
        type_of(*start), (const char *)start, (size_t)(in->at - start)};
  return e;
}

static span span_of(const void *text, size_t size) {
  span s = {text, text};
  if (size > 0) s.end += size; /* text may be NULL */
  return s;
}

hbeat_error hbeat_json_parse(const char *text, size_t size, hbeat_json *value) {
  span in = span_of(text, size);
  hbeat_error e = take_value(&in, value);
  skip_space(&in);
  if (e != HBEAT_OK || in.at == in.end) return e;
  value->type = HBEAT_JSON_NONE;
  return HBEAT_ERR_JSON;
}

/* What is left of a container begins with its bracket while nothing was taken,
 * then with a comma or the closing bracket.  A bad text leaves nothing. */
bool hbeat_json_next(
    hbeat_json *container, hbeat_json *key, hbeat_json *value) {
  bool object = container->type == HBEAT_JSON_OBJECT;
  span in = span_of(container->text, container->size);
  hbeat_json name = {HBEAT_JSON_NONE, NULL, 0};
  *value = name;
  if (key) *key = name;
  if (!object && container->type != HBEAT_JSON_ARRAY) return false;
  bool found = scan_mark(&in, object ? "{," : "[,");
  if (found && object)
    found = take_value(&in, &name) == HBEAT_OK &&
        name.type == HBEAT_JSON_STRING && scan_mark(&in, ":");
  found = found && take_value(&in, value) == HBEAT_OK;
  container->text = (const char *)in.at;
  container->size = found ? length_of(in) : 0;
  if (found && key) *key = name;
  return found;
}

size_t hbeat_json_string(const hbeat_json *value, char *out, size_t size) {
  span in = span_of(value->text, 0);
  size_t length = 0;
  if (value->type == HBEAT_JSON_STRING && value->size >= 2)
    in = span_of(value->text + 1, value->size - 2);
  while (in.at < in.end) {
    byte unit[4] = {*in.at};
    uint32_t code = 0;
    size_t n = 1;
    if (*in.at == '\\') {
      if (scan_escape(&in, &code) != HBEAT_OK) in.at = in.end;
      n = utf8_write(code ? code : 0xFFFD, unit);
    } else in.at++;
    if (length + n < size) memcpy(out + length, unit, n);
    length += n;
  }
  if (size > 0) out[length < size ? length : 0] = '\0';
  return length;
}

/* What comes in too far stays above the limit from there on. */
static uint64_t add_digit(uint64_t n, unsigned digit, uint64_t limit) {
  return n > (limit - digit) / 10 ? limit + 1 : n * 10 + digit;
}

hbeat_error hbeat_json_number(
    const hbeat_json *value, unsigned decimals, int64_t *number) {
  span in = span_of(value->text, value->size);
  bool negative = scan_char(&in, "-");
  uint64_t limit = (uint64_t)INT64_MAX + negative, n = 0;
  if (value->type != HBEAT_JSON_NUMBER) return HBEAT_ERR_JSON;
  while (at_digit(in)) n = add_digit(n, *in.at++ - '0', limit);
  if (decimals > 0) scan_char(&in, ".");
  for (; decimals > 0; decimals--)
    n = add_digit(n, at_digit(in) ? *in.at++ - '0' : 0, limit);
  while (at_digit(in)) in.at++;
  if (in.at < in.end) return HBEAT_ERR_JSON;
  if (n > limit) return HBEAT_ERR_TOO_BIG;
  *number = negative && n > 0 ? -(int64_t)(n - 1) - 1 : (int64_t)n;
  return HBEAT_OK;
}

/* ==== Times ============================================================= */

#define DAY_S 86400

typedef struct calendar {
  int year, month, day, hour, minute, second;
} calendar;

/* Days from 1970-01-01.  Years begin in March: the leap day is their last. */
static int64_t days_since_1970(int year, int month, int day) {
  int64_t months = year * 12 + month - 3, y = months / 12, m = months % 12;
  return y * 1461 / 4 - y / 100 + y / 400 + (m * 306 + 5) / 10 + day - 719469;
}

/* False for a date or time of day that does not exist; a leap second does. */
static bool to_unix(const calendar *t, int64_t *unix_s) {
  int64_t start = days_since_1970(t->year, t->month, 1);
  if (t->year < 1 || t->month < 1 || t->month > 12 || t->day < 1 ||
      t->day > days_since_1970(t->year, t->month + 1, 1) - start ||
      t->hour > 23 || t->minute > 59 || t->second > 60)
    return false;
  *unix_s =
      ((start + t->day - 1) * 24 + t->hour) * 3600 + t->minute * 60 + t->second;
  return true;
}

/* Exactly `count` digits. */
static bool read_digits(span *in, int count, int *number) {
  for (*number = 0; count > 0; count--, in->at++) {
    if (!at_digit(*in)) return false;
    *number = *number * 10 + (*in->at - '0');
  }
  return true;
}

/* Y in a pattern is the year, y its last two digits, b the month's name, m d h
 * i s two digits, e a day that may begin with a space; all else is itself. */
static bool read_pattern(span *in, const char *pattern, calendar *t) {
  static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
  static const char letters[] = "mdhisyY";
  int *const numbers[] = {
      &t->month, &t->day, &t->hour, &t->minute, &t->second, &t->year, &t->year};
  for (; *pattern != '\0'; pattern++) {
    const char *letter = strchr(letters, *pattern);
    bool ok = true;
    if (letter)
      ok = read_digits(in, *letter == 'Y' ? 4 : 2, numbers[letter - letters]);
    else if (*pattern == 'b') {
      t->month = 1;
      ok = length_of(*in) >= 3;
      while (ok && memcmp(in->at, months + 3 * t->month - 3, 3) != 0)
        ok = ++t->month <= 12;
      if (ok) in->at += 3;
    } else if (*pattern == 'e')
      ok = read_digits(in, scan_char(in, " ") ? 1 : 2, &t->day);
    else ok = in->at < in->end && *in->at++ == (byte)*pattern;
    if (*pattern == 'y') /* 50 years from now, and no clock needed */
      t->year += t->year < 70 ? 2000 : 1900;
    if (!ok) return false;
  }
  return true;
}

/* The three forms of a date in HTTP (RFC 9110 section 5.6.7). */
static int64_t read_http_date(const char *text) {
  static const char forms[][18] = {
      ", d b Y h:i:s GMT", ", d-b-y h:i:s GMT", " b e h:i:s Y"};
  text += strspn(text, ALPHA); /* the weekday */
  for (size_t i = 0; i < COUNT(forms); i++) {
    span in = span_of(text, strlen(text));
    calendar t = {0, 0, 0, 0, 0, 0};
    int64_t unix_s;
    if (read_pattern(&in, forms[i], &t) && in.at == in.end &&
        to_unix(&t, &unix_s))
      return unix_s;
  }
  return HBEAT_NONE;
}

/* RFC 3339 with any fraction, which is cut off.  Without T and offset: UTC. */
static int64_t read_api_time(const char *text) {
  span in = span_of(text, strlen(text));
  calendar t = {0, 0, 0, 0, 0, 0}, offset = t;
  int64_t unix_s;
  if (!read_pattern(&in, "Y-m-d", &t) || !scan_char(&in, "Tt ") ||
      !read_pattern(&in, "h:i:s", &t) || !to_unix(&t, &unix_s) ||
      (scan_char(&in, ".") && scan_digits(&in) != HBEAT_OK))
    return HBEAT_NONE;
  int sign = scan_char(&in, "-") ? 60 : scan_char(&in, "+") ? -60 : 0;
  if (sign == 0) scan_char(&in, "Zz");
  else if (!read_pattern(&in, "h:i", &offset) || offset.hour > 23 ||
      offset.minute > 59)
    return HBEAT_NONE;
  if (in.at < in.end) return HBEAT_NONE;
  return unix_s + sign * (offset.hour * 60 + offset.minute);
}

/* ==== Requests ========================================================== */

#define DEFAULT_HOST "api.lucit.app"
#define HTTPS_PORT 443

/* What cannot break out of a header field. */
static bool is_visible(int c) {
  return c > 0x20 && c < 0x7F;
}

static bool is_visible_text(const char *text) {
  if (!text || *text == '\0') return false;
  while (is_visible((byte)*text)) text++;
  return *text == '\0';
}

/* The length of a DNS name without its trailing dot (RFC 1035 section 2.3.4,
 * with underscores), or 0 where it is none.  A last label of digits alone is
 * an address, which BearSSL cannot hold against a certificate. */
static size_t host_length(const char *host) {
  size_t i, label = 0;
  bool numeric = true;
  for (i = 0; i < 254 && host[i] != '\0'; i++) {
    int c = (byte)host[i];
    if (c == '.' && host[i + 1] == '\0') break;
    if (!strchr(UNRESERVED, c) || c == '~' ||
        (label == 0 && (c == '-' || c == '.')) ||
        (c == '.' && host[i - 1] == '-'))
      return 0;
    label = c == '.' ? 0 : label + 1;
    numeric = c == '.' || (numeric && is_digit(c));
    if (label > 63) return 0;
  }
  return label > 0 && host[i - 1] != '-' && !numeric && i < 254 ? i : 0;
}

/* What can stand in a path and is no dot segment. */
static bool is_path_segment(const char *text) {
  return text && *text != '\0' && text[strspn(text, UNRESERVED)] == '\0' &&
      strcmp(text, ".") != 0 && strcmp(text, "..") != 0;
}

static bool is_object(const char *text) {
  hbeat_json value;
  return hbeat_json_parse(text, strlen(text), &value) == HBEAT_OK &&
      value.type == HBEAT_JSON_OBJECT;
}

/* NULL, or why the codec's part of a configuration is not fit for use. */
static const char *check_codec(const hbeat_config *cfg) {
  if (!is_path_segment(cfg->device))
    return "device: a letter, digit or one of -._~ each";
  if (!is_visible_text(cfg->app)) return "app: visible ASCII only";
  if (cfg->host && host_length(cfg->host) == 0)
    return "host: a DNS name of at most 253 bytes, no address";
  if (!cfg->reply_buffer || cfg->reply_buffer_size == 0)
    return "reply_buffer: missing";
  return NULL;
}

/* The same of a request, and of the token that most need. */
static const char *check_request(const hbeat_request *r, const char *token) {
  if (r->call != HBEAT_LOGIN && !is_visible_text(token))
    return "token: visible ASCII only";
  switch (r->call) {
  case HBEAT_BEAT:
    if (!r->lightning_version || r->lightning_version[0] == '\0')
      return "lightning_version: missing";
    for (size_t i = 0; i < r->device_info_count; i++)
      if (!r->device_info || !r->device_info[i])
        return "device_info: a string is missing";
    return NULL;
  case HBEAT_ACKNOWLEDGE:
  case HBEAT_FAILED:
    if (!is_path_segment(r->instruction))
      return "instruction: a letter, digit or one of -._~ each";
    if (r->response_data && !is_object(r->response_data))
      return "response_data: no JSON object";
    return NULL;
  case HBEAT_LOGIN:
    if (!r->login_token || r->login_token[0] == '\0')
      return "login_token: missing";
    if (!r->login_secret || r->login_secret[0] == '\0')
      return "login_secret: missing";
    return r->token_buffer && r->token_buffer_size > 0
        ? NULL
        : "token_buffer: missing";
  default: return "call: none of the API's";
  }
}

/* A part of a request: text up to a NUL, or `size` bytes of it. */
typedef struct piece {
  const char *text;
  size_t size;
  bool json; /* to be escaped */
} piece;

enum { HOST_PIECE = 7, HEAD_PIECES = 16 }; /* the body begins behind them */

static const char *head_text(const hbeat_exchange *x) {
  static const known fronts[] = {"analytics/lightning-devices/",
      "lightning/devices/", "lightning/devices/", "auth"};
  static const known ends[] = {"/heartbeat", "/acknowledge", "/failed", ""};
  hbeat_call call = x->request->call;
  bool login = call == HBEAT_LOGIN, report = call != HBEAT_BEAT && !login;
  const char *const texts[HEAD_PIECES] = {"POST /api/v3/", fronts[call],
      login ? "" : x->cfg->device, report ? "/instructions/" : "",
      report ? x->request->instruction : "", ends[call],
      " HTTP/1.1\r\nHost: ", x->host, x->port,
      login ? "" : "\r\nAuthorization: Bearer ", login ? "" : x->cfg->token,
      "\r\nAppIdV3: ", x->cfg->app,
      "\r\nUser-Agent: heartbeat/" HBEAT_VERSION "\r\nAccept: application/json"
      "\r\nContent-Type: application/json\r\nContent-Length: ",
      x->length, "\r\n\r\n"};
  return texts[x->piece];
}

/* The n-th text of the body; NULL: past the end.  Odd ones get escaped:
 * strings, and a few literals that have nothing to escape. */
static const char *body_text(const hbeat_request *r, size_t n) {
  const char *message = r->call == HBEAT_FAILED ? r->message : NULL;
  const char *data = r->response_data;
  const char *const texts[][7] = {{"{}"}, {"{\"message\":\"", message, "\"}"},
      {"{\"response_data\":", "", data, "}"},
      {"{\"message\":\"", message, "\",\"response_data\":", "", data, "}"},
      {"{\"token\":\"", r->login_token, "\",\"secret\":\"", r->login_secret,
          "\"}"}};
  int row = r->call == HBEAT_LOGIN ? 4 : (message ? 1 : 0) + (data ? 2 : 0);
  if (r->call != HBEAT_BEAT) return texts[row][n];
  if (n == 0) return "{\"lightning_version\":\"";
  if (n == 1) return r->lightning_version;
  if (n / 2 > r->device_info_count)
    return n != 2 * r->device_info_count + 2 ? NULL : n == 2 ? "\"}" : "\"]}";
  if (n % 2 == 1) return r->device_info[n / 2 - 1];
  return n == 2 ? "\",\"device_info\":[\"" : "\",\"";
}

/* The one in hand; without text: past the end. */
static piece request_piece(const hbeat_exchange *x) {
  piece p = {NULL, SIZE_MAX, x->piece > HEAD_PIECES && x->piece % 2 == 1};
  p.text = x->piece < HEAD_PIECES
      ? head_text(x)
      : body_text(x->request, x->piece - HEAD_PIECES);
  if (x->piece == HOST_PIECE) p.size = x->host_size;
  return p;
}

size_t hbeat_pull(hbeat_exchange *x, void *out, size_t size) {
  size_t done = 0;
  for (piece p = request_piece(x); p.text;) {
    const byte *from = (const byte *)p.text + x->offset;
    if (x->offset < p.size && *from != '\0') {
      byte unit[UNIT_MAX] = {*from};
      size_t taken = 1;
      size_t length = p.json ? json_escape(from, unit, &taken) : 1;
      if (length > size - done) break;
      if (out) memcpy((byte *)out + done, unit, length);
      done += length;
      x->offset += taken;
    } else {
      x->piece++;
      x->offset = 0;
      p = request_piece(x);
    }
  }
  return done;
}

static void reply_clear(hbeat_reply *r) {
  memset(r, 0, sizeof *r);
  r->retry_after_s = r->server_time_s = r->clock_offset_s = HBEAT_NONE;
  r->instruction.run_at_s = r->instruction.status = HBEAT_NONE;
  r->instruction.created_at_s = r->instruction.updated_at_s = HBEAT_NONE;
}

/* What a head leaves is nothing to the next one's. */
static void begin_head(hbeat_exchange *x) {
  reply_clear(x->reply);
  x->state = 0;
  x->left = x->line_size = 0;
  x->sized = x->chunked = x->closes = x->after_cr = false;
  x->retry_date_s = HBEAT_NONE;
}

hbeat_error hbeat_begin(hbeat_exchange *x, const hbeat_config *cfg,
    const hbeat_request *request, hbeat_reply *reply) {
  *x = (hbeat_exchange){.cfg = cfg,
      .request = request,
      .reply = reply,
      .host = cfg->host ? cfg->host : DEFAULT_HOST,
      .head_left = HBEAT_HEAD_MAX};
  begin_head(x);
  x->what = check_codec(cfg);
  if (!x->what) x->what = check_request(request, cfg->token);
  if (x->what) return HBEAT_ERR_ARGUMENT;
  x->host_size = host_length(x->host);
  if (cfg->port != 0 && cfg->port != HTTPS_PORT) {
    x->port[0] = ':';
    write_decimal(x->port + 1, cfg->port);
  }
  x->piece = HEAD_PIECES; /* once without writing: nothing secret stays */
  for (size_t n; (n = hbeat_pull(x, NULL, SIZE_MAX)) > 0;) x->body_size += n;
  x->piece = 0;
  write_decimal(x->length, x->body_size);
  return HBEAT_OK;
}

/* ==== Replies =========================================================== */

/* False where one of them comes twice: which of the two counts is a guess. */
static bool find_members(
    hbeat_json object, const known *names, hbeat_json *found, size_t count) {
  hbeat_json key, value;
  bool once = true;
  memset(found, 0, count * sizeof *found);
  while (hbeat_json_next(&object, &key, &value)) {
    known text; /* "" where the key is longer, and so none of them */
    hbeat_json_string(&key, text, sizeof text);
    size_t i = find_name(names, count, text);
    if (i == count) continue;
    once = once && found[i].type == HBEAT_JSON_NONE;
    found[i] = value;
  }
  return once;
}

/* Decodes a string in place, in the reply buffer, which is not const: it never
 * gets longer; its quotes leave room for a NUL.  Null and absent are fine. */
static bool take_text(const hbeat_json *value, const char **text) {
  if (value->type != HBEAT_JSON_STRING) return value->type <= HBEAT_JSON_NULL;
  *text = value->text + 1;
  hbeat_json_string(value, (char *)(uintptr_t)*text, value->size);
  return true;
}

static bool take_time(const hbeat_json *value, const char **text, int64_t *s) {
  bool ok = take_text(value, text);
  if (*text) *s = read_api_time(*text);
  return ok;
}

/* False where a member has a type that the API does not give it.  Where none
 * waits the value is missing, null, [] or {}. */
static bool decode_instruction(hbeat_json value, hbeat_instruction *i) {
  enum { NAME, PARAMETERS, RUN_AT, STATUS, LCUID, CREATED, UPDATED, MEMBERS };
  static const known names[MEMBERS] = {"instruction", "parameters", "run_at",
      "status", "lcuid", "created_at", "updated_at"};
  hbeat_json found[MEMBERS], item;
  if (value.type == HBEAT_JSON_ARRAY)
    return !hbeat_json_next(&value, NULL, &item);
  if (value.type != HBEAT_JSON_OBJECT) return value.type <= HBEAT_JSON_NULL;
  if (!find_members(value, names, found, MEMBERS)) return false;
  i->parameters = found[PARAMETERS];
  return take_text(&found[NAME], &i->name) &&
      take_time(&found[RUN_AT], &i->run_at, &i->run_at_s) &&
      (found[STATUS].type <= HBEAT_JSON_NULL ||
          hbeat_json_number(&found[STATUS], 0, &i->status) == HBEAT_OK) &&
      take_text(&found[LCUID], &i->lcuid) &&
      take_time(&found[CREATED], &i->created_at, &i->created_at_s) &&
      take_time(&found[UPDATED], &i->updated_at, &i->updated_at_s);
}

/* Moves a log-in's token to where it is wanted, and leaves no copy. */
static hbeat_error take_token(
    const hbeat_request *request, const hbeat_json *value, const char **what) {
  const char *token = NULL;
  hbeat_error e = HBEAT_OK;
  take_text(value, &token);
  if (!is_visible_text(token)) {
    *what = "the token is no visible ASCII";
    e = HBEAT_ERR_JSON;
  } else if (strlen(token) >= request->token_buffer_size) {
    *what = "the token does not fit token_buffer";
    e = HBEAT_ERR_TOO_BIG;
  } else {
    memset(request->token_buffer, 0, request->token_buffer_size);
    memcpy(request->token_buffer, token, strlen(token));
  }
  if (token) memset((char *)(uintptr_t)value->text, 0, value->size);
  return e;
}

static hbeat_error decode_success(const hbeat_request *request, hbeat_reply *r,
    hbeat_json root, const char **what) {
  enum { MESSAGE, SUCCESS, OUTCOME, MEMBERS };
  static const known names[2][MEMBERS] = {
      {"message", "success", "lightning_device_remote_instruction"},
      {"message", "ok", "token"}};
  bool login = request->call == HBEAT_LOGIN;
  hbeat_instruction none = r->instruction;
  hbeat_json found[MEMBERS];
  *what = "a member comes twice";
  if (!find_members(root, names[login], found, MEMBERS)) return HBEAT_ERR_JSON;
  *what = login ? "ok is not true" : "success is not true";
  if (found[SUCCESS].type != HBEAT_JSON_TRUE) {
    take_text(&found[MESSAGE], &r->message);
    return HBEAT_ERR_REFUSED;
  }
  hbeat_error e = login ? take_token(request, &found[OUTCOME], what) : HBEAT_OK;
  if (request->call == HBEAT_BEAT &&
      !decode_instruction(found[OUTCOME], &r->instruction)) {
    *what = "the instruction is not as the API has it";
    r->instruction = none;
    e = HBEAT_ERR_JSON;
  }
  r->success = e == HBEAT_OK;
  if (r->success) *what = NULL;
  return e;
}

static bool is_success(int http_status) {
  return http_status == 0 || (http_status >= 200 && http_status < 300);
}

hbeat_error hbeat_decode(const hbeat_request *request, hbeat_reply *reply,
    char *body, size_t body_size, const char **what) {
  static const known message = "message";
  hbeat_reply kept = *reply;
  hbeat_json root = {HBEAT_JSON_OBJECT, body, body_size}, found;
  reply_clear(reply);
  reply->http_status = kept.http_status;
  reply->retry_after_s = kept.retry_after_s;
  reply->server_time_s = kept.server_time_s;
  if (!is_success(reply->http_status)) {
    /* Taken even from a body that breaks off, if it is whole itself. */
    if (find_members(root, &message, &found, 1))
      take_text(&found, &reply->message);
    *what = reply->http_status / 100 == 3 || reply->http_status == 511
        ? "it leads elsewhere, as a captive portal does"
        : NULL;
    return HBEAT_ERR_STATUS;
  }
  hbeat_error e = hbeat_json_parse(body, body_size, &root);
  if (e == HBEAT_OK && root.type == HBEAT_JSON_OBJECT)
    return decode_success(request, reply, root, what);
  *what = body_size == 0         ? "the body is empty"
      : e == HBEAT_ERR_TOO_BIG   ? "the body nests too deep"
      : e == HBEAT_ERR_TRUNCATED ? "the body ends early"
      : memchr(body, '<', body_size)
      ? "the body is a web page, as a captive portal's"
      : "the body is no JSON object";
  return HBEAT_ERR_JSON;
}

/* ==== HTTP/1.1 responses (RFC 9112) ===================================== */

/* What the next byte is part of: of a line, or from BODY on of the body. */
enum {
  STATUS_LINE,
  FIELD_LINE, /* or the empty one behind them */
  CHUNK_LINE, /* a chunk's size, and extensions */
  CHUNK_END,  /* the empty line behind a chunk */
  BODY,       /* `left` bytes */
  OPEN_BODY,  /* all until the connection ends */
  CHUNK,      /* `left` bytes */
  OVER
};

static hbeat_error bad_http(hbeat_exchange *x, const char *what) {
  x->what = what;
  return HBEAT_ERR_HTTP;
}

/* HTTP/1.x, a space, three digits, and a space and a reason or nothing. */
static hbeat_error status_line(hbeat_exchange *x, span in) {
  int minor, status;
  if (scan_word(&in, "HTTP/1.") != HBEAT_OK || !read_digits(&in, 1, &minor) ||
      !scan_char(&in, " ") || !read_digits(&in, 3, &status) ||
      (in.at < in.end && *in.at != ' ') || status < 100 || status > 599)
    return bad_http(x, "no status line of HTTP/1.1");
  x->reply->http_status = status;
  x->keep_alive = minor > 0;
  x->http10 = minor == 0;
  x->state = FIELD_LINE;
  return HBEAT_AGAIN;
}

/* A number of digits alone; the grammar of both fields that have one. */
static bool read_count(const char *value, int64_t *number) {
  hbeat_json text = {HBEAT_JSON_NUMBER, value, strlen(value)};
  return is_digit((byte)*value) &&
      hbeat_json_number(&text, 0, number) == HBEAT_OK;
}

/* A name, a colon and a value.  A value that was cut must not frame the body,
 * and a Connection of that length may well hold a close. */
static hbeat_error field_line(hbeat_exchange *x, size_t size) {
  enum { CONNECTION, DATE, RETRY_AFTER, LENGTH, CODING, OTHER };
  static const known names[OTHER] = {"connection", "date", "retry-after",
      "content-length", "transfer-encoding"};
  char *line = x->line, *value;
  bool cut = size == sizeof x->line - 1;
  size_t i = strspn(line, "!#$%&'*+^`|" UNRESERVED);
  int64_t length;
  if (i == 0 || line[i] != ':') return bad_http(x, "a malformed field");
  line[i] = '\0';
  value = line + i + 1 + strspn(line + i + 1, " \t");
  while (i-- > 0) line[i] = (char)to_lower(line[i]); /* RFC 9110 5.1 */
  size_t field =
      x->trailers || x->tunnel ? OTHER : find_name(names, OTHER, line);
  if (cut && (field == LENGTH || field == CODING))
    return bad_http(x, "a field that frames the body is too long");
  if (cut && field != CONNECTION) field = OTHER;
  while (size > 0 && (line[size - 1] == ' ' || line[size - 1] == '\t'))
    line[--size] = '\0';
  switch (field) {
  case CONNECTION:
    if (cut) x->closes = true;
    for (; *value != '\0'; value += size) {
      value += strspn(value, ", \t");
      size = strcspn(value, ", \t");
      if (same_word(value, size, "close")) x->closes = true;
      if (same_word(value, size, "keep-alive")) x->keep_alive = true;
    }
    break;
  case DATE: x->reply->server_time_s = read_http_date(value); break;
  case RETRY_AFTER: /* RFC 9110 section 10.2.3: seconds or a date */
    if (!read_count(value, &x->reply->retry_after_s))
      x->retry_date_s = read_http_date(value);
    break;
  case LENGTH:
    if (!read_count(value, &length))
      return bad_http(x, "Content-Length is no number");
    if (x->sized && x->left != (uint64_t)length)
      return bad_http(x, "two values of Content-Length");
    x->sized = true;
    x->left = (uint64_t)length;
    break;
  case CODING:
    if (x->chunked || x->http10 || !same_word(value, strlen(value), "chunked"))
      return bad_http(x, "Transfer-Encoding other than chunked");
    x->chunked = true;
    break;
  }
  return HBEAT_AGAIN;
}

/* The exchange's end: whatever the body holds becomes the reply. */
static hbeat_error end_reply(hbeat_exchange *x) {
  if (x->state == OPEN_BODY) x->keep_alive = false;
  return hbeat_decode(
      x->request, x->reply, x->cfg->reply_buffer, x->received, &x->what);
}

/* More of the body is announced, or there.  If it does not fit, a success is
 * lost; an error's status and message survive a body that is cut short. */
static hbeat_error check_room(hbeat_exchange *x, uint64_t size) {
  if (size <= x->cfg->reply_buffer_size - x->received ||
      !is_success(x->reply->http_status))
    return HBEAT_AGAIN;
  x->what = "the reply does not fit reply_buffer";
  return HBEAT_ERR_TOO_BIG;
}

/* RFC 9112 section 6.3: what follows the head. */
static hbeat_error end_head(hbeat_exchange *x) {
  hbeat_reply *r = x->reply;
  if (x->trailers) return end_reply(x);
  if (r->http_status == 101) return bad_http(x, "101 without being asked");
  if (r->http_status < 200) {
    begin_head(x);
    return HBEAT_AGAIN;
  }
  if (x->tunnel) /* RFC 9110 section 9.3.6: a success has no body */
    return is_success(r->http_status) ? HBEAT_OK : HBEAT_ERR_PROXY;
  if (x->sized && x->chunked)
    return bad_http(x, "both Content-Length and Transfer-Encoding");
  if (x->retry_date_s != HBEAT_NONE && r->server_time_s != HBEAT_NONE)
    r->retry_after_s = x->retry_date_s > r->server_time_s
        ? x->retry_date_s - r->server_time_s
        : 0;
  if (x->closes) x->keep_alive = false;
  if (r->http_status == 204 || r->http_status == 304 ||
      (x->sized && x->left == 0))
    return end_reply(x);
  x->state = x->chunked ? CHUNK_LINE : x->sized ? BODY : OPEN_BODY;
  return check_room(x, x->left);
}

/* The size in hex digits, white space, and extensions behind a semicolon. */
static hbeat_error chunk_line(hbeat_exchange *x, span in) {
  const byte *start = in.at;
  for (; hex_value(*in.at) >= 0; in.at++) {
    if (x->left >> 60) return bad_http(x, "a chunk's size is out of range");
    x->left = x->left << 4 | (unsigned)hex_value(*in.at);
  }
  if (in.at == start || in.at - start == sizeof x->line - 1)
    return bad_http(x, "a chunk without size");
  in.at += strspn((const char *)in.at, " \t");
  if (in.at < in.end && *in.at != ';')
    return bad_http(x, "a malformed chunk size");
  x->trailers = x->left == 0;
  x->state = x->trailers ? FIELD_LINE : CHUNK;
  return check_room(x, x->left);
}

/* The line in hand is whole; it ends in a NUL. */
static hbeat_error end_line(hbeat_exchange *x) {
  size_t size = x->line_size;
  span line = span_of(x->line, size);
  x->line[size] = '\0';
  x->line_size = 0;
  switch (x->state) {
  case STATUS_LINE: return status_line(x, line);
  case FIELD_LINE: return size > 0 ? field_line(x, size) : end_head(x);
  case CHUNK_LINE: return chunk_line(x, line);
  default: x->state = CHUNK_LINE; return HBEAT_AGAIN;
  }
}

/* One byte of a line; of a long one only the beginning is kept. */
static hbeat_error line_byte(hbeat_exchange *x, byte c) {
  bool after_cr = x->after_cr;
  if (x->head_left-- == 0)
    return bad_http(x, "the lines exceed HBEAT_HEAD_MAX");
  x->after_cr = c == '\r';
  if (after_cr) return c == '\n' ? end_line(x) : bad_http(x, "a bare CR");
  if (c == '\r') return HBEAT_AGAIN;
  if (x->state == CHUNK_END) return bad_http(x, "a chunk longer than its size");
  if (c != '\t' && (c < 0x20 || c == 0x7F))
    return bad_http(x, "a control byte in a line");
  if (x->line_size < sizeof x->line - 1) x->line[x->line_size++] = (char)c;
  return HBEAT_AGAIN;
}

/* Takes bytes of the body; *used is how many. */
static hbeat_error body_bytes(
    hbeat_exchange *x, const byte *in, size_t size, size_t *used) {
  size_t room = x->cfg->reply_buffer_size - x->received;
  *used = x->state != OPEN_BODY && size > x->left ? (size_t)x->left : size;
  size_t n = *used < room ? *used : room;
  memcpy(x->cfg->reply_buffer + x->received, in, n);
  if (check_room(x, *used) != HBEAT_AGAIN) return HBEAT_ERR_TOO_BIG;
  x->received += n;
  if (n < *used) {
    x->keep_alive = false;
    return end_reply(x);
  }
  if (x->state != OPEN_BODY && (x->left -= n) == 0) {
    if (x->state == BODY) return end_reply(x);
    x->state = CHUNK_END;
  }
  return HBEAT_AGAIN;
}

hbeat_error hbeat_push(
    hbeat_exchange *x, const void *in, size_t size, size_t *used) {
  const byte *at = in;
  hbeat_error e = HBEAT_AGAIN;
  *used = 0;
  if (x->state == OVER) return HBEAT_ERR_ARGUMENT;
  if (size == 0) {
    x->what = "the server ended the connection";
    e = x->state == OPEN_BODY ? end_reply(x) : HBEAT_ERR_TRUNCATED;
  }
  while (e == HBEAT_AGAIN && *used < size) {
    size_t n = 1;
    e = x->state >= BODY ? body_bytes(x, at + *used, size - *used, &n)
                         : line_byte(x, at[*used]);
    *used += n;
  }
  if (e == HBEAT_AGAIN) return e;
  if (e != HBEAT_OK && e != HBEAT_ERR_STATUS && e != HBEAT_ERR_REFUSED)
    x->keep_alive = false;
  x->state = OVER;
  return e;
}

/* ==== Memory ============================================================ */

/* A record's state.  Its text is two strings: of a WAITING one the name and the
 * parameters, from ENDED on the report's message and response_data. */
enum { FREE, WAITING, TAKEN, ENDED, REPORTED };
typedef struct hbeat_record entry;

static int64_t read_64(const byte in[8]) {
  uint64_t n = 0;
  for (int i = 0; i < 8; i++) n = n << 8 | in[i];
  return (int64_t)n;
}

static void write_64(byte out[8], int64_t n) {
  for (int i = 0; i < 8; i++) out[i] = (byte)((uint64_t)n >> (56 - 8 * i));
}

/* Something has changed.  Behind a name and a version is CRC-32 (ISO-HDLC). */
static void seal(hbeat_memory *m) {
  const byte *bytes = (const byte *)m;
  uint32_t crc = UINT32_MAX;
  for (size_t i = offsetof(hbeat_memory, server_time_s); i < sizeof *m; i++) {
    crc ^= bytes[i];
    for (int bit = 0; bit < 8; bit++)
      crc = crc >> 1 ^ (crc & 1 ? 0xEDB88320 : 0);
  }
  memcpy(m->seal, "hbeat\1", 6);
  for (int i = 0; i < 4; i++) m->seal[6 + i] = (byte)(~crc >> (24 - 8 * i));
  m->changed = 1;
}

static const char *second_text(const entry *r) {
  return r->text + strlen(r->text) + 1;
}

static bool is_sound(const entry *r) {
  const char *nul = memchr(r->text, '\0', sizeof r->text - 1);
  if (r->state == FREE) return true;
  return nul && !r->text[sizeof r->text - 1] && r->state <= REPORTED &&
      memchr(r->lcuid, '\0', sizeof r->lcuid) && is_path_segment(r->lcuid) &&
      (r->state < ENDED) == (r->call == HBEAT_BEAT) &&
      r->call <= HBEAT_FAILED &&
      (r->state < ENDED || nul[1] == '\0' || is_object(nul + 1));
}

static void end_record(hbeat_memory *m, entry *r, hbeat_call call,
    const char *message, const char *data) {
  size_t room = sizeof r->text - 2, size = message ? strlen(message) : 0;
  if (size > room)
    for (size = room; size > 0 && (message[size] & 0xC0) == 0x80;) size--;
  if (size > 0) memmove(r->text, message, size); /* it may lie in there */
  memset(r->text + size, 0, sizeof r->text - size);
  if (data && strlen(data) <= room - size && is_object(data))
    memcpy(r->text + size + 1, data, strlen(data));
  r->state = ENDED;
  r->call = call == HBEAT_ACKNOWLEDGE ? HBEAT_ACKNOWLEDGE : HBEAT_FAILED;
  seal(m);
}

hbeat_error hbeat_memory_load(
    hbeat_memory *m, const void *bytes, size_t size, int64_t *clock_floor_s) {
  bool sound = size == sizeof *m;
  if (sound) {
    byte came[sizeof m->seal];
    memmove(m, bytes, size);
    memcpy(came, m->seal, sizeof came);
    seal(m);
    sound = memcmp(m->seal, came, sizeof came) == 0;
  }
  for (size_t i = 0; sound && i < COUNT(m->records); i++)
    sound = is_sound(&m->records[i]);
  if (!sound) memset(m, 0, sizeof *m);
  seal(m);
  m->changed = m->turn = 0;
  for (size_t i = 0; i < COUNT(m->records); i++)
    if (m->records[i].state == TAKEN)
      end_record(m, &m->records[i], HBEAT_FAILED, "interrupted", NULL);
  if (clock_floor_s && *clock_floor_s < read_64(m->server_time_s))
    *clock_floor_s = read_64(m->server_time_s);
  return sound || size == 0 ? HBEAT_OK : HBEAT_ERR_MEMORY;
}

static entry *find_record(hbeat_memory *m, const char *lcuid) {
  entry *r = m->records, *end = r + COUNT(m->records);
  while (r < end && (r->state == FREE || strcmp(r->lcuid, lcuid) != 0)) r++;
  return r < end ? r : NULL;
}

/* Writes down an instruction, over the one reported longest ago.  If it was
 * reported it is again to be, unless its status is acknowledged: 2. */
static hbeat_error learn_instruction(
    hbeat_memory *m, const hbeat_instruction *i) {
  entry *r = m->records, *last = r + COUNT(m->records) - 1;
  size_t name_size = strlen(i->name) + 1, size = i->parameters.size;
  if (!is_path_segment(i->lcuid) || strlen(i->lcuid) >= sizeof r->lcuid)
    return HBEAT_ERR_JSON;
  entry *old = find_record(m, i->lcuid);
  if (old && old->state == REPORTED && i->status != 2) {
    old->state = ENDED;
    seal(m);
  }
  if (old || i->status == 2) return HBEAT_OK;
  while (r < last && r->state != FREE && r->state != REPORTED) r++;
  if (r->state != FREE && r->state != REPORTED) return HBEAT_ERR_TOO_BIG;
  memmove(r, r + 1, (size_t)((byte *)last - (byte *)r));
  memset(last, 0, sizeof *last);
  memcpy(last->lcuid, i->lcuid, strlen(i->lcuid));
  last->state = WAITING;
  write_64(last->run_at_s, i->run_at_s);
  if (name_size + size >= sizeof r->text) {
    end_record(m, last, HBEAT_FAILED, "too long to be kept", NULL);
  } else if (i->run_at && i->run_at_s == HBEAT_NONE) {
    end_record(m, last, HBEAT_FAILED, "run_at cannot be read", NULL);
  } else {
    memcpy(last->text, i->name, name_size);
    if (size > 0) memcpy(last->text + name_size, i->parameters.text, size);
    seal(m);
  }
  return HBEAT_OK;
}

hbeat_error hbeat_memory_learn(hbeat_memory *m, const hbeat_request *request,
    const hbeat_reply *reply, hbeat_error e) {
  bool report = e != HBEAT_ERR_ARGUMENT &&
      (request->call == HBEAT_ACKNOWLEDGE || request->call == HBEAT_FAILED);
  entry *r = report ? find_record(m, request->instruction) : NULL;
  int status = e == HBEAT_ERR_STATUS ? reply->http_status : 0;
  bool refused = e == HBEAT_ERR_REFUSED ||
      (status / 100 == 4 && status != 401 && status != 403 && status != 408 &&
          status != 425 && status != 429);
  uint64_t ahead_s =
      (uint64_t)reply->server_time_s - (uint64_t)read_64(m->server_time_s);
  hbeat_error result = HBEAT_OK;
  if (request->call == HBEAT_BEAT && e == HBEAT_OK && reply->instruction.name)
    result = learn_instruction(m, &reply->instruction);
  if (r && (r->state == TAKEN || r->call == request->call) &&
      (e == HBEAT_OK || refused)) {
    if (r->state == TAKEN)
      end_record(m, r, refused ? HBEAT_FAILED : request->call, NULL, NULL);
    entry done = *r, *last = &m->records[COUNT(m->records) - 1];
    memmove(r, r + 1, (size_t)((byte *)last - (byte *)r));
    *last = done;
    last->state = REPORTED;
    seal(m);
  }
  /* The time alone once a day, for flash wears out, and never for a failure. */
  if (e == HBEAT_OK && reply->clock_offset_s != HBEAT_NONE &&
      (m->changed || ahead_s + DAY_S - 1 > 2 * (DAY_S - 1))) {
    write_64(m->server_time_s, reply->server_time_s);
    seal(m);
  }
  return result;
}

bool hbeat_memory_due(
    hbeat_memory *m, int64_t now_s, int64_t max_age_s, hbeat_instruction *i) {
  hbeat_reply none;
  reply_clear(&none);
  *i = none.instruction;
  for (entry *r = m->records; r < m->records + COUNT(m->records); r++) {
    int64_t run_at_s = read_64(r->run_at_s);
    uint64_t late_s = (uint64_t)now_s - (uint64_t)run_at_s;
    if (r->state != WAITING) continue;
    if (run_at_s > now_s) {
      if (i->run_at_s == HBEAT_NONE || run_at_s < i->run_at_s)
        i->run_at_s = run_at_s;
    } else if (run_at_s != HBEAT_NONE && max_age_s > 0 &&
        late_s > (uint64_t)max_age_s) {
      end_record(m, r, HBEAT_FAILED, "stale", NULL);
    } else {
      const char *parameters = second_text(r);
      hbeat_json_parse(parameters, strlen(parameters), &i->parameters);
      i->name = r->text;
      i->lcuid = r->lcuid;
      i->run_at_s = run_at_s;
      r->state = TAKEN;
      seal(m);
      return true;
    }
  }
  return false;
}

void hbeat_memory_end(hbeat_memory *m, const char *lcuid, hbeat_call call,
    const char *message, const char *response_data) {
  entry *r = find_record(m, lcuid);
  if (r) end_record(m, r, call, message, response_data);
}

bool hbeat_memory_report(hbeat_memory *m, hbeat_request *request) {
  for (size_t n = 0; n < COUNT(m->records); n++) {
    const entry *r = &m->records[m->turn++ % COUNT(m->records)];
    if (r->state != ENDED) continue;
    *request =
        (hbeat_request){.call = (hbeat_call)r->call, .instruction = r->lcuid};
    request->message = r->text[0] ? r->text : NULL;
    request->response_data = *second_text(r) ? second_text(r) : NULL;
    return true;
  }
  return false;
}

/* ==== Schedule ========================================================== */

/* A number below `range`, each as likely. */
static uint32_t share_of(uint64_t range, uint32_t random) {
  return (uint32_t)(range * random >> 32);
}

uint32_t hbeat_next_ms(const hbeat_policy *policy, uint32_t *failures,
    hbeat_error e, const hbeat_reply *reply, uint32_t random) {
  uint64_t interval = policy->interval_ms ? policy->interval_ms : 60000;
  uint64_t splay =
      policy->splay_ms ? policy->splay_ms : interval - interval / 10;
  uint64_t rare = policy->rare_max_ms;
  uint64_t most = policy->retry_max_ms ? policy->retry_max_ms : interval * 10;
  int64_t after_s = reply ? reply->retry_after_s : 0;
  int status = e == HBEAT_ERR_STATUS && reply ? reply->http_status : 0;
  bool person = e == HBEAT_ERR_ARGUMENT || e == HBEAT_ERR_CERT_NAME ||
      e == HBEAT_ERR_CERT_TRUST || status == 401 || status == 403 ||
      status == 404 || status == 422;
  if (rare == 0) rare = interval > 60000 ? interval * 60 : 3600000;
  if (e == HBEAT_AGAIN) return share_of(splay, random);
  if (e == HBEAT_OK) {
    *failures = 0;
    return (uint32_t)interval - share_of(interval / 10, random);
  }
  if (*failures < UINT32_MAX) ++*failures;
  if (person) most = rare;
  if (most > UINT32_MAX) most = UINT32_MAX;
  interval <<= *failures < 31 ? *failures : 31;
  uint64_t wait = share_of(interval < most ? interval : most, random);
  if (after_s > 0)
    wait += after_s <= (int64_t)rare / 1000 ? (uint64_t)after_s * 1000 : rare;
  return wait < UINT32_MAX ? (uint32_t)wait : UINT32_MAX;
}

#ifndef HBEAT_NO_NET
/* ==== Text ============================================================== */

/* Text under construction; what does not fit is left out. */
typedef struct sink {
  char *at, *end; /* the last byte is the NUL's */
} sink;

static void put(sink *s, const char *text, size_t size) {
  size_t room = (size_t)(s->end - s->at) - 1;
  if (size > room) size = room;
  memcpy(s->at, text, size);
  s->at += size;
  *s->at = '\0';
}

static void put_text(sink *s, const char *text) {
  put(s, text, strlen(text));
}

static void put_number(sink *s, uint64_t number) {
  char text[DECIMAL_MAX];
  write_decimal(text, number);
  put_text(s, text);
}

/* RFC 4648 section 4. */
static const char base64[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static void put_base64(sink *s, const char *text) {
  for (size_t n; *text != '\0'; text += n) {
    char four[] = "====";
    uint32_t bits = 0;
    for (n = 0; n < 3 && text[n] != '\0'; n++)
      bits |= (uint32_t)(byte)text[n] << (16 - 8 * n);
    for (size_t i = 0; i <= n; i++)
      four[i] = base64[bits >> (18 - 6 * i) & 0x3F];
    put_text(s, four);
  }
}

/* ==== Addresses ========================================================= */

/* All are IPv6; an IPv4 one is ::ffff:192.0.2.1 (RFC 4291 2.5.5.2). */
static const byte v4_prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF};

static bool is_v4(const byte ip[16]) {
  return memcmp(ip, v4_prefix, sizeof v4_prefix) == 0;
}

/* False where the text is no address in figures. */
static bool read_ip(const char *text, byte ip[16]) {
  memcpy(ip, v4_prefix, sizeof v4_prefix);
  return inet_pton(AF_INET, text, ip + 12) == 1 ||
      inet_pton(AF_INET6, text, ip) == 1;
}

/* The list is in the order of trying: IPv6 and IPv4 by turns. */
static void add_address(hbeat_addresses *a, const byte ip[16]) {
  unsigned place = is_v4(ip);
  for (unsigned i = 0; i < a->count; i++)
    if (is_v4(a->list[i]) == is_v4(ip)) place += 2;
  if (place > a->count) place = a->count;
  if (place == COUNT(a->list)) return;
  if (a->count < COUNT(a->list)) a->count++;
  memmove(a->list[place + 1], a->list[place], (a->count - place - 1) * 16u);
  memcpy(a->list[place], ip, 16);
}

/* But the preferred one goes before all others. */
static const byte *address_in_turn(const hbeat_addresses *a, unsigned turn) {
  unsigned n = 0;
  while (n < a->count && memcmp(a->list[n], a->preferred, 16) != 0) n++;
  if (n == a->count || turn > n) return a->list[turn];
  return a->list[turn == 0 ? n : turn - 1];
}

/* ==== Names (RFC 1035) ================================================== */

#define DNS_HEADER 12
#define DNS_QUERY_MAX (DNS_HEADER + 255 + 4)
#define DNS_JUMPS 127  /* in one name, which has no more labels */
#define DNS_ALIASES 16 /* the longest chain of CNAMEs that is followed */

enum { TYPE_A = 1, TYPE_CNAME = 5, TYPE_AAAA = 28, CLASS_IN = 1 };

/* A host's name as names are compared: lower case, without its last dot. */
static void plain_name(const char *host, char name[256]) {
  size_t size = host_length(host);
  memset(name, 0, 256);
  while (size-- > 0) name[size] = (char)to_lower(host[size]);
}

static unsigned read16(const byte *at) {
  return (unsigned)(at[0] << 8 | at[1]);
}

static byte *write16(byte *at, unsigned number) {
  at[0] = (byte)(number >> 8);
  at[1] = (byte)number;
  return at + 2;
}

/* Writes a query for a plain name; returns its size. */
static size_t dns_query(
    byte out[DNS_QUERY_MAX], unsigned id, const char *name, unsigned type) {
  static const byte one_question[] = {1, 0, 0, 1, 0, 0, 0, 0, 0, 0};
  byte *at = out + DNS_HEADER;
  memcpy(write16(out, id), one_question, sizeof one_question);
  do {
    size_t size = strcspn(name, ".");
    *at++ = (byte)size;
    for (; size > 0; size--) *at++ = (byte)*name++;
  } while (*name++ != '\0');
  *at++ = 0;
  return (size_t)(write16(write16(at, type), CLASS_IN) - out);
}

/* Takes a name off a message: as a query has it, in lower case and without
 * compression, and zeros behind it.  A pointer must lead to before the part it
 * ends, so that no chain is endless.  Returns its size, 0 where it is bad. */
static size_t dns_name(span message, const byte **in, byte name[255]) {
  const byte *at = *in, *part = at;
  size_t size = 0, n, jumps = 0;
  memset(name, 0, 255);
  do {
    size_t left = (size_t)(message.end - at);
    if (left < 2 && (left == 0 || *at != 0)) return 0;
    n = *at; /* the label's length */
    if (n >= 0xC0) {
      if (jumps++ == 0) *in = at + 2;
      at = message.at + (read16(at) & 0x3FFF);
      if (at >= part || jumps > DNS_JUMPS) return 0;
      part = at;
      continue;
    }
    if (n > 63 || n >= left || size + n >= 255) return 0;
    for (size_t i = 0; i <= n; i++) name[size++] = (byte)to_lower(*at++);
  } while (n != 0);
  if (jumps == 0) *in = at;
  return size;
}

typedef struct dns_rr {
  byte name[255], target[255]; /* the target is a CNAME's */
  unsigned type;               /* 0: of another class */
  uint32_t ttl_s;
  size_t size;
  const byte *data;
} dns_rr;

/* Takes a record off a message; false where it is malformed. */
static bool dns_record(span message, const byte **in, dns_rr *r) {
  if (!dns_name(message, in, r->name) || message.end - *in < 10) return false;
  const byte *at = *in, *alias = at + 10;
  r->type = read16(at + 2) == CLASS_IN ? read16(at) : 0;
  r->ttl_s = (uint32_t)read16(at + 4) << 16 | read16(at + 6);
  if (r->ttl_s > INT32_MAX) r->ttl_s = 0; /* RFC 2181 section 8 */
  r->size = read16(at + 8);
  r->data = alias;
  if (r->size > (size_t)(message.end - alias)) return false;
  *in = alias + r->size;
  if (r->type == TYPE_A) return r->size == 4;
  if (r->type == TYPE_AAAA) return r->size == 16;
  if (r->type != TYPE_CNAME) return true;
  return dns_name(message, &alias, r->target) && alias == *in;
}

/* What a message that came from a nameserver is. */
typedef enum dns_answer {
  DNS_STRAY,   /* no answer to this query */
  DNS_CUT,     /* too long for a datagram: TCP has it whole */
  DNS_USELESS, /* malformed, or the server failed */
  DNS_MISSING, /* the name does not exist */
  DNS_GOOD     /* the addresses, if there are any, are taken */
} dns_answer;

/* Takes the addresses from an answer to `query`, along the name's CNAMEs in
 * whatever order these stand; none where any record is malformed. */
static dns_answer dns_read(
    hbeat_addresses *a, span message, const byte *query, size_t query_size) {
  hbeat_addresses found = *a;
  unsigned type = read16(query + query_size - 4);
  byte name[255] = {0}, ip[16];
  dns_rr r;
  /* The same id, a response to a query, the same one question. */
  if (length_of(message) < query_size || memcmp(message.at, query, 2) != 0 ||
      (message.at[2] & 0xF8) != 0x80 || read16(message.at + 4) != 1)
    return DNS_STRAY;
  for (size_t i = DNS_HEADER; i < query_size; i++)
    if (to_lower(message.at[i]) != query[i]) return DNS_STRAY;
  if (message.at[2] & 2) return DNS_CUT;
  if ((message.at[3] & 15) == 3) return DNS_MISSING;
  if ((message.at[3] & 15) != 0) return DNS_USELESS;
  memcpy(name, query + DNS_HEADER, query_size - DNS_HEADER - 4);
  const byte *at = message.at + query_size;
  unsigned left = read16(message.at + 6), aliases = 0;
  while (left-- > 0) {
    if (!dns_record(message, &at, &r)) return DNS_USELESS;
    bool ours = memcmp(r.name, name, sizeof name) == 0;
    if (!ours || (r.type != type && r.type != TYPE_CNAME)) continue;
    if (r.ttl_s < found.ttl_s) found.ttl_s = r.ttl_s;
    if (r.type == TYPE_CNAME) {
      if (++aliases > DNS_ALIASES) return DNS_USELESS;
      memcpy(name, r.target, sizeof name);
      at = message.at + query_size;
      left = read16(message.at + 6);
    } else {
      memcpy(ip, v4_prefix, sizeof v4_prefix);
      memcpy(ip + sizeof ip - r.size, r.data, r.size);
      add_address(&found, ip);
    }
  }
  *a = found;
  return DNS_GOOD;
}

/* The words of a text file; those behind a # or ; in a line are none. */
typedef struct words {
  int fd;
  byte *chunk;          /* room for what is read of the file ... */
  size_t size, at, end; /* ... and what of it is still to come */
  unsigned number;      /* of the word in its line, from 1 on */
  size_t length;
  char text[256]; /* cut if longer: then it is no name and no address */
} words;

/* Whether any text is still to come.  The file is closed at its end. */
static bool more_text(words *w) {
  if (w->at < w->end || w->fd < 0) return w->at < w->end;
  ssize_t n = read(w->fd, w->chunk, w->size);
  w->at = 0;
  w->end = n > 0 ? (size_t)n : 0;
  if (n > 0) return true;
  close(w->fd);
  w->fd = -1;
  return false;
}

static bool next_word(words *w) {
  bool comment = false;
  for (w->length = 0; more_text(w); w->at++) {
    byte c = w->chunk[w->at];
    if (c == '#' || c == ';') comment = true;
    if (c == '\n' && w->length == 0) {
      w->number = 0;
      comment = false;
    } else if (c <= ' ' || comment) {
      if (w->length > 0) break;
    } else if (w->length < sizeof w->text - 1) w->text[w->length++] = (char)c;
  }
  w->text[w->length] = '\0';
  w->number++;
  return w->length > 0;
}

/* hosts(5): in each line an address and its names. */
static void read_hosts(words *w, const char *name, hbeat_addresses *a) {
  bool ok = false;
  byte ip[16];
  while (next_word(w)) {
    if (w->text[w->length - 1] == '.') w->length--;
    if (w->number == 1) ok = read_ip(w->text, ip);
    else if (ok && same_word(w->text, w->length, name)) add_address(a, ip);
  }
}

/* resolv.conf(5), as far as it matters to a full name. */
typedef struct resolver {
  struct {
    byte ip[16];
    uint32_t scope;
  } servers[3];
  unsigned count, timeout_s, attempts;
} resolver;

/* A nameserver's address, which may have a scope, as fe80::1%eth0. */
static void add_nameserver(resolver *r, char *text) {
  char *scope = strchr(text, '%');
  int64_t index = 0;
  unsigned n = r->count;
  if (scope) *scope++ = '\0';
  if (n == COUNT(r->servers) || !read_ip(text, r->servers[n].ip)) return;
  if (scope && !read_count(scope, &index)) index = if_nametoindex(scope);
  r->servers[r->count++].scope = (uint32_t)index;
}

/* Takes an option such as timeout:5, at least 1 and at most `most`. */
static void read_option(
    const char *text, const char *name, unsigned most, unsigned *value) {
  int64_t n;
  if (strncmp(text, name, strlen(name)) == 0 &&
      read_count(text + strlen(name), &n))
    *value = n < 1 ? 1 : n > most ? most : (unsigned)n;
}

static void read_resolv(words *w, resolver *r) {
  bool nameserver = false;
  *r = (resolver){.timeout_s = 5, .attempts = 2};
  while (next_word(w)) {
    if (w->number == 1) nameserver = strcmp(w->text, "nameserver") == 0;
    if (w->number == 2 && nameserver) add_nameserver(r, w->text);
    read_option(w->text, "timeout:", 30, &r->timeout_s);
    read_option(w->text, "attempts:", 5, &r->attempts);
  }
  if (r->count == 0) r->count = read_ip("127.0.0.1", r->servers[0].ip);
}

/* ==== Sockets =========================================================== */

static int64_t now_ms(void) {
  struct timespec t = {0, 0};
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static bool would_block(int error) {
  return error == EAGAIN || error == EWOULDBLOCK || error == EINTR;
}

/* A socket, connected or about to be, that neither blocks nor outlives an exec:
 * not even one in between, if socket() has flags.  Else -1, and errno. */
static int open_socket(
    const byte ip[16], uint32_t scope, unsigned port, int type) {
  struct sockaddr_in v4 = {.sin_family = AF_INET};
  struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_scope_id = scope};
  bool is_4 = is_v4(ip);
  v4.sin_port = v6.sin6_port = htons((uint16_t)port);
  memcpy(&v4.sin_addr, ip + 12, 4);
  memcpy(&v6.sin6_addr, ip, 16);
#if defined SOCK_CLOEXEC && defined SOCK_NONBLOCK
  type |= SOCK_CLOEXEC | SOCK_NONBLOCK;
#endif
  int fd = socket(is_4 ? AF_INET : AF_INET6, type, 0);
  if (fd < 0) return -1;
#if !defined SOCK_CLOEXEC || !defined SOCK_NONBLOCK
  fcntl(fd, F_SETFD, FD_CLOEXEC);
  fcntl(fd, F_SETFL, O_NONBLOCK);
#endif
  int result = is_4 ? connect(fd, (struct sockaddr *)&v4, sizeof v4)
                    : connect(fd, (struct sockaddr *)&v6, sizeof v6);
  if (result == 0 || errno == EINPROGRESS || errno == EINTR) return fd;
  int error = errno;
  close(fd);
  errno = error;
  return -1;
}

/* False where the kernel says that it has nothing yet, as just after a boot.
 * A system without getrandom() is left to what BearSSL finds. */
static bool random_bytes(byte *out, size_t size) {
  br_hmac_drbg_context rng;
  br_prng_seeder seeder = br_prng_seeder_system(NULL);
#ifdef GRND_NONBLOCK
  ssize_t n = getrandom(out, size, GRND_NONBLOCK);
  if (n == (ssize_t)size || (n < 0 && errno == EAGAIN)) return n > 0;
#endif
  br_hmac_drbg_init(&rng, &br_sha256_vtable, NULL, 0);
  if (!seeder || !seeder(&rng.vtable)) return false;
  br_hmac_drbg_generate(&rng, out, size);
  return true;
}

/* ==== Trust anchors ===================================================== */

#define RSA_MIN 256 /* bytes of a modulus that BearSSL is to trust ... */
#define RSA_MAX 512 /* ... and the most that it can compute with */

/* Takes an element off DER if it has this tag; its content may replace *in. */
static bool der_take(span *in, byte tag, span *content) {
  span rest = *in;
  if (length_of(rest) < 2 || *rest.at++ != tag) return false;
  size_t size = *rest.at++;
  if (size >= 0x80) {
    size_t extra = size & 0x7F;
    if (extra == 0 || extra > 3 || extra > length_of(rest)) return false;
    for (size = 0; extra > 0; extra--) size = size << 8 | *rest.at++;
  }
  if (size > length_of(rest)) return false;
  in->at = rest.at + size;
  *content = span_of(rest.at, size);
  return true;
}

static bool der_equal(span content, const void *bytes, size_t size) {
  return length_of(content) == size && memcmp(content.at, bytes, size) == 0;
}

/* An unsigned INTEGER without leading zeros. */
static bool der_unsigned(span *in, unsigned char **number, size_t *size) {
  span content;
  if (!der_take(in, 0x02, &content)) return false;
  while (content.at < content.end && *content.at == 0) content.at++;
  *number = (byte *)(uintptr_t)content.at;
  *size = length_of(content);
  return *size > 0;
}

/* SubjectPublicKeyInfo, RFC 5280 section 4.1.2.7: a key that BearSSL can use.
 * The bytes stay where they are: der_ functions fill pointers into the text. */
static bool der_key(span *in, br_x509_pkey *key) {
  static const byte sizes[] = {65, 97, 133}; /* of points, by curve */
  br_rsa_public_key *rsa = &key->key.rsa;
  br_ec_public_key *ec = &key->key.ec;
  span info, algorithm, oid, curve, bits;
  if (!der_take(in, 0x30, &info) || !der_take(&info, 0x30, &algorithm) ||
      !der_take(&algorithm, 0x06, &oid) || !der_take(&info, 0x03, &bits) ||
      bits.at == bits.end || *bits.at++ != 0)
    return false;
  if (der_equal(oid, "\x2A\x86\x48\x86\xF7\x0D\x01\x01\x01", 9)) {
    key->key_type = BR_KEYTYPE_RSA;
    return der_take(&bits, 0x30, &bits) &&
        der_unsigned(&bits, &rsa->n, &rsa->nlen) &&
        der_unsigned(&bits, &rsa->e, &rsa->elen) && rsa->nlen >= RSA_MIN &&
        rsa->nlen <= RSA_MAX && (rsa->nlen > RSA_MIN || rsa->n[0] >= 0x80);
  }
  if (!der_equal(oid, "\x2A\x86\x48\xCE\x3D\x02\x01", 7)) return false;
  if (!der_take(&algorithm, 0x06, &curve)) return false;
  key->key_type = BR_KEYTYPE_EC;
  ec->q = (byte *)(uintptr_t)bits.at;
  ec->qlen = length_of(bits);
  ec->curve = der_equal(curve, "\x2A\x86\x48\xCE\x3D\x03\x01\x07", 8)
      ? BR_EC_secp256r1
      : der_equal(curve, "\x2B\x81\x04\x00\x22", 5) ? BR_EC_secp384r1
      : der_equal(curve, "\x2B\x81\x04\x00\x23", 5) ? BR_EC_secp521r1
                                                    : 0;
  return ec->curve && ec->qlen == sizes[ec->curve - BR_EC_secp256r1];
}

/* Finds the CA flag of basicConstraints, RFC 5280 section 4.2.1.9. */
static bool der_is_ca(span in) {
  span ext, oid, ca;
  if (!der_take(&in, 0xA3, &in) || !der_take(&in, 0x30, &in)) return false;
  while (der_take(&in, 0x30, &ext))
    if (der_take(&ext, 0x06, &oid) && der_equal(oid, "\x55\x1D\x13", 3)) {
      der_take(&ext, 0x01, &ca); /* critical */
      return der_take(&ext, 0x04, &ext) && der_take(&ext, 0x30, &ext) &&
          der_take(&ext, 0x01, &ca) && ca.at < ca.end && *ca.at != 0;
    }
  return false;
}

/* The parts of a certificate that make an anchor, RFC 5280 section 4.1. */
static bool der_certificate(span in, br_x509_trust_anchor *ta) {
  span part, validity, subject;
  memset(ta, 0, sizeof *ta);
  if (!der_take(&in, 0x30, &in) || !der_take(&in, 0x30, &in)) return false;
  der_take(&in, 0xA0, &part);        /* version */
  if (!der_take(&in, 0x02, &part) || /* serial number */
      !der_take(&in, 0x30, &part) || /* signature algorithm */
      !der_take(&in, 0x30, &part) || /* issuer */
      !der_take(&in, 0x30, &validity) || !der_take(&in, 0x30, &subject) ||
      !der_key(&in, &ta->pkey))
    return false;
  ta->dn.data = (byte *)(uintptr_t)validity.end; /* the tag, too */
  ta->dn.len = (size_t)(subject.end - validity.end);
  der_take(&in, 0x81, &part); /* issuerUniqueID */
  der_take(&in, 0x82, &part); /* subjectUniqueID */
  if (der_is_ca(in)) ta->flags = BR_X509_TA_CA;
  return true;
}

/* RFC 4648, with white space anywhere.  Returns the number of bytes, 0 where
 * the text is no base64, or more than `room` where they do not fit. */
static size_t read_base64(span in, byte *out, size_t room) {
  byte values[256] = {0}; /* each one more; 0: no digit */
  size_t size = 0, digits = 0, padding = 0;
  uint32_t bits = 0;
  for (byte i = 0; i < 64; i++) values[(byte)base64[i]] = (byte)(i + 1);
  for (; in.at < in.end; in.at++) {
    if (values[*in.at] > 0 && padding == 0) {
      bits = bits << 6 | (values[*in.at] - 1u);
      if (digits++ % 4 == 0) continue;
      if (size == room) return room + 1;
      out[size++] = (byte)(bits >> (6 - 2 * ((digits + 3) % 4)));
    } else if (*in.at == '=') padding++;
    else if (!strchr(" \t\r\n", *in.at) || *in.at == '\0') return 0;
  }
  return padding <= 2 && (digits + padding) % 4 == 0 ? size : 0;
}

/* Moves bytes from the gap to the arena's end. */
static void keep_bytes(hbeat_anchors *a, unsigned char **data, size_t size) {
  a->used += size;
  *data = memcpy((byte *)a->arena + a->arena_size - a->used, *data, size);
}

/* Makes an anchor of a certificate's text.  The arena's list grows from the
 * front, the names and keys from the end; the gap between them, behind room
 * for one entry more, holds the certificate meanwhile. */
static hbeat_error add_anchor(hbeat_anchors *a, span text) {
  size_t front = (size_t)((byte *)(a->list + a->count) - (byte *)a->arena) +
      sizeof *a->list;
  size_t back = a->arena_size - a->used;
  size_t room = front < back ? back - front : 0;
  br_x509_trust_anchor ta;
  br_x509_pkey *key = &ta.pkey;
  byte *gap = (byte *)a->arena + (room > 0 ? front : 0);
  size_t size = read_base64(text, gap, room);
  if (size > room / 2) return HBEAT_ERR_TOO_BIG; /* what is kept is less */
  if (!der_certificate(span_of(gap, size), &ta)) {
    a->skipped++;
    return HBEAT_OK;
  }
  keep_bytes(a, &ta.dn.data, ta.dn.len);
  if (key->key_type == BR_KEYTYPE_EC) {
    keep_bytes(a, &key->key.ec.q, key->key.ec.qlen);
  } else {
    keep_bytes(a, &key->key.rsa.n, key->key.rsa.nlen);
    keep_bytes(a, &key->key.rsa.e, key->key.rsa.elen);
  }
  a->list[a->count++] = ta;
  return HBEAT_OK;
}

/* RFC 7468.  A certificate begins a line, and without its END is skipped. */
hbeat_error hbeat_anchors_pem(hbeat_anchors *a, const void *pem, size_t size) {
  size_t gap = -(uintptr_t)a->arena % sizeof(void *); /* to align the list */
  hbeat_error e = HBEAT_OK;
  if (!a->list) a->list = (void *)((byte *)a->arena + gap);
  for (span in = span_of(pem, size); e == HBEAT_OK && in.at < in.end; in.at++) {
    span text = in, end = in;
    if ((in.at != pem && in.at[-1] != '\n' && in.at[-1] != '\r') ||
        scan_word(&text, "-----BEGIN CERTIFICATE-----") != HBEAT_OK)
      continue;
    text.end = end.at = memchr(text.at, '-', length_of(text));
    if (!end.at) return HBEAT_ERR_TRUNCATED;
    e = scan_word(&end, "-----END CERTIFICATE-----");
    if (e == HBEAT_ERR_JSON) text.end = text.at; /* as if it were empty */
    if (e != HBEAT_ERR_TRUNCATED) e = add_anchor(a, text);
    in.at = text.end;
  }
  return e != HBEAT_OK || a->count > 0 ? e : HBEAT_ERR_CERT_TRUST;
}

/* ==== Certificates ====================================================== */

/* BearSSL validates the chain.  This looks at the certificates as they stream
 * by, through a window of their last bytes, for what BearSSL passes over: on
 * which side of its dates the clock is, and whether the server's may be used
 * by servers (RFC 5280 section 4.2.1.12).  It can only refuse more. */

static hbeat_client *client_of(const br_x509_class **x509) {
  return (void *)((byte *)(void *)x509 - offsetof(hbeat_client, x509));
}

/* UTCTime or GeneralizedTime, RFC 5280 section 4.1.2.5. */
static bool take_date(span *in, int64_t *unix_s) {
  calendar t = {0, 0, 0, 0, 0, 0};
  span date;
  bool utc = der_take(in, 0x17, &date);
  return (utc || der_take(in, 0x18, &date)) &&
      read_pattern(&date, utc ? "ymdhisZ" : "YmdhisZ", &t) &&
      to_unix(&t, unix_s);
}

/* The object identifiers are told by their bytes alone: one that stood in any
 * other place would have to be put there by the CA. */
static void see_byte(hbeat_client *c, byte b) {
  static const char usage[] = "\x06\x03\x55\x1D\x25";
  static const char server[] = "\x06\x08\x2B\x06\x01\x05\x05\x07\x03\x01";
  static const char any[] = "\x06\x04\x55\x1D\x25\x00";
  span in = span_of(c->window, sizeof c->window), dates;
  int64_t not_before_s, not_after_s;
  memmove(c->window, c->window + 1, sizeof c->window - 1);
  c->window[sizeof c->window - 1] = b;
  if (!c->dated && der_take(&in, 0x30, &dates) &&
      take_date(&dates, &not_before_s) && take_date(&dates, &not_after_s)) {
    c->dated = true;
    c->not_before_s = not_before_s;
    if (c->certificates == 1) c->leaf_until_s = not_after_s;
  }
  if (c->certificates != 1) return;
  if (memcmp(in.end - 5, usage, 5) == 0) c->for_others = true;
  if (memcmp(in.end - 10, server, 10) == 0 || memcmp(in.end - 6, any, 6) == 0)
    c->for_others = false;
}

static void look_start(const br_x509_class **x509, uint32_t size) {
  hbeat_client *c = client_of(x509);
  if (c->certificates < UINT8_MAX) c->certificates++;
  memset(c->window, 0, sizeof c->window);
  c->dated = c->x509.err != 0; /* the dates that count are those before */
  if (!c->dated) c->not_before_s = 0;
  if (c->certificates == 1) c->leaf_until_s = 0;
  br_x509_minimal_vtable.start_cert(x509, size);
}

static void look_append(const br_x509_class **x509, const byte *in, size_t n) {
  for (size_t i = 0; i < n; i++) see_byte(client_of(x509), in[i]);
  br_x509_minimal_vtable.append(x509, in, n);
}

/* A subject's common name is no host's name any more (RFC 9525). */
static unsigned look_end(const br_x509_class **x509) {
  hbeat_client *c = client_of(x509);
  unsigned error = br_x509_minimal_vtable.end_chain(x509);
  if (error == 0 && c->leaf.status == 0) return BR_ERR_X509_BAD_SERVER_NAME;
  return error == 0 && c->for_others ? BR_ERR_WRONG_KEY_USAGE : error;
}

/* ==== TLS =============================================================== */

#define DAYS_TO_1970 719528 /* from the year 0, where BearSSL counts from */

/* The profile, spelt out: TLS 1.2, ECDHE with AEAD, SHA-2, RSA of 2,048 bits
 * or more, no renegotiation.  The look-up of what the processor can do is
 * slow in a virtual machine, so this runs once a client. */
static void tls_profile(hbeat_client *c) {
#define PAIR(x) BR_TLS_ECDHE_ECDSA_WITH_##x, BR_TLS_ECDHE_RSA_WITH_##x
  static const uint16_t suites[] = {PAIR(AES_128_GCM_SHA256),
      PAIR(AES_256_GCM_SHA384), PAIR(CHACHA20_POLY1305_SHA256),
      PAIR(AES_128_GCM_SHA256), PAIR(AES_256_GCM_SHA384)};
  static const br_hash_class *const hashes[] = {
      &br_sha256_vtable, &br_sha384_vtable, &br_sha512_vtable};
  bool aes = br_aes_x86ni_ctr_get_vtable() && br_ghash_pclmul_get();
  br_ssl_engine_context *engine = &c->tls.eng;
  br_ssl_client_zero(&c->tls);
  br_ssl_engine_set_versions(engine, BR_TLS12, BR_TLS12);
  /* In software ChaCha20 is three times as fast as AES: it goes first. */
  br_ssl_engine_set_suites(engine, aes ? suites : suites + 4, 6);
  br_ssl_engine_add_flags(engine, BR_OPT_NO_RENEGOTIATION);
  br_ssl_engine_set_default_aes_gcm(engine);
  br_ssl_engine_set_default_chapol(engine);
  br_ssl_engine_set_prf_sha256(engine, &br_tls12_sha256_prf);
  br_ssl_engine_set_prf_sha384(engine, &br_tls12_sha384_prf);
  br_ssl_engine_set_ec(engine, &br_ec_all_m31);
  br_ssl_engine_set_ecdsa(engine, &br_ecdsa_i31_vrfy_asn1);
  br_ssl_engine_set_default_rsavrfy(engine);
  br_x509_minimal_init(
      &c->x509, &br_sha256_vtable, c->cfg.anchors, c->cfg.anchor_count);
  br_x509_minimal_set_ecdsa(&c->x509, &br_ec_all_m31, &br_ecdsa_i31_vrfy_asn1);
  br_x509_minimal_set_rsa(&c->x509, br_ssl_engine_get_rsavrfy(engine));
  br_x509_minimal_set_minrsa(&c->x509, RSA_MIN);
  for (int i = 0; i < 3; i++) {
    br_ssl_engine_set_hash(engine, br_sha256_ID + i, hashes[i]);
    br_x509_minimal_set_hash(&c->x509, br_sha256_ID + i, hashes[i]);
  }
  c->x509_class = br_x509_minimal_vtable;
  c->x509_class.start_cert = look_start;
  c->x509_class.append = look_append;
  c->x509_class.end_chain = look_end;
  c->x509.vtable = &c->x509_class;
  c->leaf.oid = (const byte *)"\0\2"; /* the first dNSName of its SAN */
  c->leaf.buf = c->x.line;            /* where no reply is yet */
  c->leaf.len = sizeof c->x.line;
  br_x509_minimal_set_name_elements(&c->x509, &c->leaf, 1);
  br_ssl_engine_set_x509(engine, &c->x509.vtable);
  br_ssl_engine_set_buffer(
      engine, c->cfg.tls_buffer, c->cfg.tls_buffer_size - HBEAT_WIRE_SIZE, 0);
}

static byte *wire(const hbeat_client *c) {
  return (byte *)c->cfg.tls_buffer + c->cfg.tls_buffer_size - HBEAT_WIRE_SIZE;
}

/* What an error of BearSSL's means to the operator. */
static hbeat_error tls_error(int code, const char **what) {
#define ROW(first, last, error) BR_ERR_##first, BR_ERR_##last, HBEAT_ERR_##error
#define ONE(name, error) ROW(name, name, error)
#define BAD(name) ONE(X509_##name, CERT_TRUST)
#define ALERTS(a, b, e) ROW(RECV_FATAL_ALERT + a, RECV_FATAL_ALERT + b, e)
  static const struct {
    short first, last;
    byte error;
    char what[51];
  } meanings[] = {{ROW(UNSUPPORTED_VERSION, BAD_VERSION, TLS_VERSION),
                      "the peer chose another version"},
      {ALERTS(70, 70, TLS_VERSION), "the peer refused the version"},
      {ALERTS(40, 40, TLS), "no cipher suite in common, or an older TLS"},
      {ALERTS(0, 255, TLS), "the peer sent an alert"},
      {ONE(TOO_LARGE, TOO_BIG), "a record does not fit tls_buffer"},
      {ONE(WRONG_KEY_USAGE, CERT_TRUST), "it is not for servers"},
      {BAD(BAD_SIGNATURE), "a signature is wrong"},
      {ONE(X509_EXPIRED, CERT_TIME), ""},
      {BAD(DN_MISMATCH), "its chain is out of order"},
      {ONE(X509_BAD_SERVER_NAME, CERT_NAME), ""},
      {BAD(CRITICAL_EXTENSION), "a critical extension is not known"},
      {ROW(X509_NOT_CA, X509_FORBIDDEN_KEY_USAGE, CERT_TRUST),
          "its issuer is no CA that may sign it"},
      {BAD(WEAK_PUBLIC_KEY), "a key is too short"},
      {BAD(NOT_TRUSTED), "no anchor vouches for it"},
      {ROW(X509_OK, X509_NOT_TRUSTED, CERT_TRUST),
          "it is malformed or of a kind that is not accepted"},
      {0, INT16_MAX, HBEAT_ERR_TLS, "the protocol was broken"}};
  size_t i = 0;
  while (code < meanings[i].first || code > meanings[i].last) i++;
  *what = meanings[i].what[0] ? meanings[i].what : NULL;
  return (hbeat_error)meanings[i].error;
}

/* ==== The client ======================================================== */

#define LONGEST_TIMEOUT_MS (DAY_S * 1000)
#define OTHER_FAMILY_MS 200 /* what the second answer of two may take longer */
#define LAST_S INT64_C(253402300799) /* 9999-12-31T23:59:59Z */
#define GATHER_MAX 208 /* bytes of small records that go out together */

enum { ALERT = 21, HANDSHAKE = 22 }; /* types of record, RFC 5246 6.2.1 */
enum { WANT_AAAA = 1, WANT_A = 2, WANT_BOTH = 3 }; /* from a nameserver */

typedef enum client_state {
  UNFIT,          /* hbeat_init() has not succeeded */
  IDLE,           /* no exchange; a connection may be kept */
  LOOK,           /* begins on a kept connection */
  LOOKUP,         /* begins with a name */
  LOOKUP_UDP,     /* queries are out */
  LOOKUP_TCP_OUT, /* an answer was cut: connects, and asks again */
  LOOKUP_TCP_IN,
  OPEN, /* begins a connection to the address in turn */
  CONNECTING,
  TUNNEL,   /* a proxy was asked for one */
  SENDING,  /* the socket took less than there is */
  RECEIVING /* the engine wants input */
} client_state;

static void fail(hbeat_client *c, hbeat_error e, const char *what, int code) {
  c->error = e;
  c->what = what;
  c->code = code;
}

static bool handshaking(const hbeat_client *c) {
  return c->x.piece == 0 && c->x.offset == 0;
}

/* Ends the connection, with a close_notify where that needs no waiting. */
static void hang_up(hbeat_client *c) {
  if (c->fd < 0) return;
  if (c->state == IDLE || c->state == RECEIVING) { /* all is sent */
    size_t size;
    br_ssl_engine_close(&c->tls.eng);
    byte *alert = br_ssl_engine_sendrec_buf(&c->tls.eng, &size);
    if (alert) (void)!send(c->fd, alert, size, MSG_NOSIGNAL);
  }
  close(c->fd);
  c->fd = -1;
}

/* The next exchange begins with the address of this turn. */
static void prefer(hbeat_client *c, unsigned turn) {
  hbeat_addresses *a = &c->addresses;
  memcpy(a->preferred, address_in_turn(a, turn % a->count), 16);
}

/* No word from the server at this address: on to the next, if there is one. */
static void fail_over(
    hbeat_client *c, hbeat_error e, const char *what, int code) {
  hang_up(c);
  c->until_ms = c->deadline_ms;
  c->state = OPEN;
  if (++c->turn < c->addresses.count) return;
  c->addresses.expires_ms = 0;
  fail(c, e, what, code);
}

/* The connection is gone.  A kept one may have died since the last reply:
 * unless this reply has begun, a new one takes its place. */
static void lost(hbeat_client *c, const char *what, int code) {
  if (c->kept && !c->answered) {
    hang_up(c);
    c->kept = false;
    c->connection = HBEAT_CONNECTION_NONE;
    c->state = LOOKUP;
    c->x.piece = c->x.offset = 0;
  } else if (c->heard == 0) fail_over(c, HBEAT_ERR_TRUNCATED, what, code);
  else fail(c, HBEAT_ERR_TRUNCATED, what, code);
}

/* Before TLS its buffer is the scratch, for files, nameservers and proxy.  Sent
 * once connected.  0: all is out; EAGAIN: not yet; else why never. */
static int send_scratch(hbeat_client *c) {
  struct pollfd p = {c->fd, POLLOUT, 0};
  const byte *out = c->cfg.tls_buffer;
  int error = 0;
  socklen_t size = sizeof error;
  ssize_t n = 0;
  if (poll(&p, 1, 0) <= 0) return EAGAIN;
  if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0) return errno;
  if (error != 0) return error;
  if (c->out_at < c->out_end)
    n = send(c->fd, out + c->out_at, c->out_end - c->out_at, MSG_NOSIGNAL);
  if (n < 0) return would_block(errno) ? EAGAIN : errno;
  c->out_at += (uint32_t)n;
  return c->out_at < c->out_end ? EAGAIN : 0;
}

/* ---- Names ---- */

/* What is connected to: a name, or an address in figures. */
static const char *target(const hbeat_client *c) {
  return c->cfg.proxy  ? c->cfg.proxy
      : c->cfg.address ? c->cfg.address
                       : c->cfg.host;
}

static words open_words(const hbeat_client *c, const char *path) {
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  return (words){
      .fd = fd, .chunk = c->cfg.tls_buffer, .size = c->cfg.tls_buffer_size};
}

static size_t make_query(
    const hbeat_client *c, unsigned want, byte out[DNS_QUERY_MAX]) {
  char name[256];
  plain_name(target(c), name);
  return dns_query(
      out, c->ids[want == WANT_A], name, want == WANT_A ? TYPE_A : TYPE_AAAA);
}

/* Asks a nameserver for what is still wanted.  The queries stand in the scratch
 * as TCP takes them, each behind its size; UDP takes them one by one. */
static bool ask_server(hbeat_client *c, const byte ip[16], uint32_t scope) {
  byte *start = c->cfg.tls_buffer, *at = start;
  if (!random_bytes((byte *)c->ids, sizeof c->ids)) return false;
  c->fd = open_socket(ip, scope, 53, c->over_tcp ? SOCK_STREAM : SOCK_DGRAM);
  for (unsigned want = WANT_AAAA; c->fd >= 0 && want <= WANT_A; want++) {
    size_t size = make_query(c, want, at + 2);
    if (!(c->wanted & want)) continue;
    at = write16(at, (unsigned)size) + size;
    if (!c->over_tcp && send(c->fd, at - size, size, MSG_NOSIGNAL) < 0)
      hang_up(c);
  }
  c->unheard = c->wanted;
  c->out_at = c->wire_end = 0;
  c->out_end = (uint32_t)(at - start);
  c->state = c->over_tcp ? LOOKUP_TCP_OUT : LOOKUP_UDP;
  return c->fd >= 0;
}

/* Asks the next nameserver that can be asked; all come in turn, and again. */
static void ask(hbeat_client *c) {
  words w = open_words(c, c->cfg.resolv_path);
  resolver r;
  read_resolv(&w, &r);
  int64_t now = now_ms();
  unsigned tries = r.count * r.attempts;
  for (; c->tries < tries; c->tries++, c->over_tcp = false) {
    unsigned i = c->tries % r.count;
    if (!ask_server(c, r.servers[i].ip, r.servers[i].scope)) continue;
    int64_t share_ms = (c->deadline_ms - now) / (tries - c->tries + 1);
    if (share_ms > r.timeout_s * 1000) share_ms = r.timeout_s * 1000;
    if (c->addresses.count > 0 && share_ms > OTHER_FAMILY_MS)
      share_ms = OTHER_FAMILY_MS;
    c->until_ms = now + share_ms;
    return;
  }
  c->state = OPEN;
  if (c->addresses.count == 0)
    fail(c, HBEAT_ERR_RESOLVE, "no nameserver gives an answer", 0);
}

/* Nothing more comes from this nameserver.  What it cut is asked of it again;
 * what it did not tell is asked of the next, unless there is an address. */
static void end_try(hbeat_client *c) {
  hbeat_addresses *a = &c->addresses;
  hang_up(c);
  c->until_ms = c->deadline_ms;
  c->over_tcp = c->cut;
  c->cut = false;
  if (!c->over_tcp) c->tries++;
  if (!c->over_tcp && a->count > 0) {
    a->expires_ms = now_ms() + (int64_t)a->ttl_s * 1000;
    c->state = OPEN;
  } else if (c->over_tcp || c->wanted > 0) ask(c);
  else if (c->missing) fail(c, HBEAT_ERR_RESOLVE, "the name does not exist", 0);
  else fail(c, HBEAT_ERR_RESOLVE, "the name has no address", 0);
}

/* Finds addresses: still known, in figures, in a file, or by asking. */
static void look_up(hbeat_client *c) {
  hbeat_addresses *a = &c->addresses;
  char name[256];
  byte ip[16];
  c->turn = c->tries = 0;
  c->wanted = WANT_BOTH;
  c->missing = c->over_tcp = c->cut = false;
  c->state = OPEN;
  if (a->count > 0 && now_ms() < a->expires_ms) return;
  a->count = 0;
  a->ttl_s = DAY_S;
  a->expires_ms = 0;
  if (read_ip(target(c), ip)) {
    add_address(a, ip);
    return;
  }
  plain_name(target(c), name);
  words w = open_words(c, c->cfg.hosts_path);
  read_hosts(&w, name, a);
  if (a->count == 0) ask(c);
}

/* Takes a nameserver's message.  Once there is an address, or a reason to ask
 * again, the other answer is not waited for much longer. */
static void take_answer(hbeat_client *c, span message) {
  int64_t soon = now_ms() + OTHER_FAMILY_MS;
  byte query[DNS_QUERY_MAX];
  dns_answer answer = DNS_STRAY;
  unsigned want;
  for (want = WANT_AAAA; want <= WANT_A; want++) {
    size_t size = make_query(c, want, query);
    if (!(c->unheard & want)) continue;
    answer = dns_read(&c->addresses, message, query, size);
    if (answer != DNS_STRAY) break;
  }
  if (answer == DNS_STRAY) return;
  c->unheard &= (uint8_t)~want;
  c->missing |= answer == DNS_MISSING;
  c->cut |= answer == DNS_CUT && !c->over_tcp;
  if (answer >= DNS_MISSING) c->wanted &= (uint8_t)~want;
  if (c->unheard == 0) end_try(c);
  else if ((c->cut || c->addresses.count > 0) && c->until_ms > soon)
    c->until_ms = soon;
}

static void hear_nameserver(hbeat_client *c) {
  bool tcp = c->state == LOOKUP_TCP_IN;
  byte *in = c->cfg.tls_buffer;
  size_t room = c->cfg.tls_buffer_size - c->wire_end, whole;
  ssize_t n = recv(c->fd, in + c->wire_end, room, 0);
  if (n < 0 && would_block(errno)) return;
  if (!tcp && n >= 0) {
    take_answer(c, span_of(in, (size_t)n));
    return;
  }
  if (n > 0) c->wire_end += (uint32_t)n;
  while (tcp && c->wire_end >= 2 && c->wire_end >= (whole = 2 + read16(in))) {
    take_answer(c, span_of(in + 2, whole - 2));
    if (c->state != LOOKUP_TCP_IN) return;
    c->wire_end -= (uint32_t)whole;
    memmove(in, in + whole, c->wire_end);
  }
  if (n <= 0 || c->wire_end == c->cfg.tls_buffer_size) end_try(c);
}

/* ---- TLS ---- */

/* The time that certificates are held against: the latest of the system's, the
 * floor, and what the server told; to the year 9999. */
static int64_t certificate_time(hbeat_client *c) {
  int64_t told_s = c->server_lead_s;
  if (told_s != HBEAT_NONE) told_s += now_ms() / 1000;
  int64_t s = time(NULL) > 0 ? (int64_t)time(NULL) : 0;
  bool floor = c->cfg.clock_floor_s > s;
  if (floor) s = c->cfg.clock_floor_s;
  c->clock = told_s > s ? 2 : floor;
  if (told_s > s) s = told_s;
  return s < LAST_S ? s : LAST_S;
}

/* The engine has ended: by the peer's close_notify, or by an error. */
static void tls_ended(hbeat_client *c) {
  int code = br_ssl_engine_last_error(&c->tls.eng);
  size_t used;
  if (code != BR_ERR_OK) {
    const char *what;
    hbeat_error e = tls_error(code, &what);
    fail(c, e, what, e == HBEAT_ERR_TOO_BIG ? 0 : code);
    if (handshaking(c)) prefer(c, c->turn + 1u);
    return;
  }
  hbeat_error e =
      c->answered ? hbeat_push(&c->x, NULL, 0, &used) : HBEAT_ERR_TRUNCATED;
  if (e == HBEAT_ERR_TRUNCATED) lost(c, "the server ended the connection", 0);
  else fail(c, e, c->x.what, c->x.reply->http_status);
}

static void take_reply(hbeat_client *c) {
  size_t size, used;
  byte *in = br_ssl_engine_recvapp_buf(&c->tls.eng, &size);
  hbeat_error e = hbeat_push(&c->x, in, size, &used);
  c->answered = true;
  br_ssl_engine_recvapp_ack(&c->tls.eng, used);
  if (e != HBEAT_AGAIN) fail(c, e, c->x.what, c->x.reply->http_status);
}

/* Fills a record with what comes next of the request, and closes it. */
static void give_request(hbeat_client *c) {
  br_ssl_engine_context *engine = &c->tls.eng;
  size_t room;
  byte *out = br_ssl_engine_sendapp_buf(engine, &room);
  if (handshaking(c)) {
    bool full = c->certificates > 0;
    c->resumable = true;
    if (full && !c->kept) c->session_s = certificate_time(c);
    c->connection = c->kept ? HBEAT_CONNECTION_KEPT
        : full              ? HBEAT_CONNECTION_NEW
                            : HBEAT_CONNECTION_RESUMED;
    if (!c->kept) prefer(c, c->turn);
  }
  br_ssl_engine_sendapp_ack(engine, hbeat_pull(&c->x, out, room));
  br_ssl_engine_flush(engine, 0);
}

/* Moves a small record out of the engine, which can then make the next, to the
 * wire, which has room as long as no input is there. */
static bool gather(hbeat_client *c) {
  size_t size;
  byte *record = br_ssl_engine_sendrec_buf(&c->tls.eng, &size);
  if (c->wire_at < c->wire_end || size > GATHER_MAX - c->out_end) return false;
  memcpy(wire(c) + c->out_end, record, size);
  c->out_end += (uint32_t)size;
  br_ssl_engine_sendrec_ack(&c->tls.eng, size);
  return true;
}

/* Lets the engine work until it needs the socket or the exchange is over. */
static void pump(hbeat_client *c) {
  br_ssl_engine_context *engine = &c->tls.eng;
  while (c->error == HBEAT_AGAIN && c->state >= SENDING) {
    unsigned can = br_ssl_engine_current_state(engine);
    size_t size, left = c->wire_end - c->wire_at;
    byte *in = br_ssl_engine_recvrec_buf(engine, &size);
    if (size > left) size = left;
    if (can & BR_SSL_CLOSED) tls_ended(c);
    else if (can & BR_SSL_RECVAPP) take_reply(c);
    else if ((can & BR_SSL_SENDAPP) && request_piece(&c->x).text)
      give_request(c);
    else if ((can & BR_SSL_SENDREC) && gather(c)) continue;
    else if (size == 0) return;
    else {
      memcpy(in, wire(c) + c->wire_at, size);
      c->wire_at += (uint32_t)size;
      br_ssl_engine_recvrec_ack(engine, size);
    }
  }
}

static bool has_output(const hbeat_client *c) {
  size_t size;
  return c->out_at < c->out_end ||
      br_ssl_engine_sendrec_buf(&c->tls.eng, &size);
}

/* One write of all there is: what was gathered, then the engine's record. */
static void write_out(hbeat_client *c) {
  size_t size, gathered = c->out_end - c->out_at;
  byte *record = br_ssl_engine_sendrec_buf(&c->tls.eng, &size);
  struct iovec parts[2] = {{wire(c) + c->out_at, gathered}, {record, size}};
  struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
  ssize_t n = sendmsg(c->fd, &message, MSG_NOSIGNAL);
  if (n < 0) {
    if (!would_block(errno)) lost(c, "the connection broke", errno);
  } else if ((size_t)n < gathered) {
    c->out_at += (uint32_t)n;
  } else {
    c->out_at = c->out_end = 0;
    br_ssl_engine_sendrec_ack(&c->tls.eng, (size_t)n - gathered);
  }
}

/* One read of all there is: the record in hand first, then the wire. */
static void read_in(hbeat_client *c) {
  size_t size;
  byte *record = br_ssl_engine_recvrec_buf(&c->tls.eng, &size);
  struct iovec parts[2] = {{record, size}, {wire(c), HBEAT_WIRE_SIZE}};
  ssize_t n = readv(c->fd, parts, 2);
  if (n < 0 && would_block(errno)) return;
  if (n < 0) lost(c, "the connection broke", errno);
  else if (n == 0) lost(c, "the connection ended without a close_notify", 0);
  else if (c->heard == 0 && record && *record != ALERT &&
      *record != HANDSHAKE) {
    fail(c, HBEAT_ERR_TLS, "what answers there does not speak TLS", 0);
    prefer(c, c->turn + 1u);
  } else {
    size_t first = (size_t)n < size ? (size_t)n : size;
    c->until_ms = c->deadline_ms;
    c->wire_at = 0;
    c->wire_end = (uint32_t)((size_t)n - first);
    br_ssl_engine_recvrec_ack(&c->tls.eng, first);
    if (handshaking(c)) c->heard += (uint32_t)n;
    if (c->heard > HBEAT_HANDSHAKE_MAX)
      fail(c, HBEAT_ERR_TLS, "the handshake exceeds HBEAT_HANDSHAKE_MAX", 0);
  }
}

/* Goes on with TLS and HTTP until the socket has to be waited for. */
static void talk(hbeat_client *c) {
  pump(c);
  if (c->error == HBEAT_AGAIN && c->state >= SENDING && has_output(c)) {
    write_out(c);
    pump(c);
  }
  if (c->state >= SENDING) c->state = has_output(c) ? SENDING : RECEIVING;
}

/* ---- Connections ---- */

/* A connection stands: TLS begins, always with a name to check. */
static void begin_tls(hbeat_client *c) {
  int64_t now_s = certificate_time(c);
  byte random[32];
  char name[256];
  c->wire_at = c->wire_end = c->out_at = c->out_end = c->heard = 0;
  c->certificates = 0;
  c->for_others = false;
  plain_name(c->cfg.host, name);
  br_x509_minimal_set_time(&c->x509, (uint32_t)(now_s / DAY_S + DAYS_TO_1970),
      (uint32_t)(now_s % DAY_S));
  if (!random_bytes(random, sizeof random)) {
    fail(c, HBEAT_ERR_TLS, "the kernel has no randomness yet", 0);
    return;
  }
  br_ssl_engine_inject_entropy(&c->tls.eng, random, sizeof random);
  br_ssl_client_reset(
      &c->tls, name, c->resumable && c->session_s >= now_s - DAY_S);
  c->resumable = false;
  c->state = SENDING; /* only now may the engine be asked anything */
  talk(c);
}

/* Writes the request for a tunnel (RFC 9110 section 9.3.6) to the scratch. */
static void ask_for_tunnel(hbeat_client *c) {
  char *start = c->cfg.tls_buffer;
  sink s = {start, start + c->cfg.tls_buffer_size};
  for (int i = 0; i < 2; i++) {
    put_text(&s, i == 0 ? "CONNECT " : " HTTP/1.1\r\nHost: ");
    put(&s, c->x.host, c->x.host_size);
    put_text(&s, ":");
    put_number(&s, c->cfg.port);
  }
  if (c->cfg.proxy_login) {
    put_text(&s, "\r\nProxy-Authorization: Basic ");
    put_base64(&s, c->cfg.proxy_login);
  }
  put_text(&s, "\r\n\r\n");
  begin_head(&c->x);
  c->x.tunnel = true;
  c->out_end = (uint32_t)(s.at - start);
}

static void open_connection(hbeat_client *c) {
  int64_t now = now_ms();
  int one = 1;
  c->until_ms = now + (c->deadline_ms - now) / (c->addresses.count - c->turn);
  c->out_at = c->out_end = 0;
  if (c->cfg.proxy) ask_for_tunnel(c);
  c->state = CONNECTING;
  c->fd = open_socket(address_in_turn(&c->addresses, c->turn), 0,
      c->cfg.proxy ? c->cfg.proxy_port : c->cfg.address_port, SOCK_STREAM);
  if (c->fd < 0) fail_over(c, HBEAT_ERR_CONNECT, NULL, errno);
  else /* records are whole when they are sent: Nagle's wait gains nothing */
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}

static void hear_proxy(hbeat_client *c) {
  byte *in = c->cfg.tls_buffer;
  ssize_t n = recv(c->fd, in, c->cfg.tls_buffer_size, 0);
  size_t used;
  if (n < 0 && would_block(errno)) return;
  if (n <= 0) {
    fail_over(c, HBEAT_ERR_PROXY, "it ended the connection", 0);
    return;
  }
  c->until_ms = c->deadline_ms;
  hbeat_error e = hbeat_push(&c->x, in, (size_t)n, &used);
  int status = c->x.reply->http_status;
  if (e == HBEAT_AGAIN) return;
  if (e != HBEAT_OK || used < (size_t)n) {
    fail(c, HBEAT_ERR_PROXY,
        status == 407 || status == 401 ? "it wants another user or password"
            : e == HBEAT_OK            ? "it sends more than its reply"
                                       : c->x.what,
        status);
    prefer(c, c->turn + 1u);
    return;
  }
  c->x.tunnel = false;
  begin_head(&c->x);
  begin_tls(c);
}

/* ---- Steps and calls ---- */

static const char *occupation(const hbeat_client *c) {
  return c->state < OPEN       ? "while looking up the name"
      : c->state <= CONNECTING ? "while connecting"
      : c->state == TUNNEL     ? "waiting for the proxy"
      : handshaking(c)         ? "in the TLS handshake"
      : c->state == SENDING    ? "while sending"
                               : "waiting for the reply";
}

static void advance(hbeat_client *c) {
  byte waiting;
  int error;
  switch ((client_state)c->state) {
  case LOOK:
    /* Whatever waits between two requests is a farewell, or a reply to
     * nobody's request, not to the next (RFC 9112 section 9.2). */
    if (recv(c->fd, &waiting, 1, MSG_PEEK) < 0 && would_block(errno)) {
      c->state = SENDING;
      talk(c);
      break;
    }
    hang_up(c);
    c->kept = false;
    /* fall through */
  case LOOKUP: look_up(c); break;
  case LOOKUP_TCP_OUT:
    error = send_scratch(c);
    if (error == 0) c->state = LOOKUP_TCP_IN;
    if (error != 0 && error != EAGAIN) end_try(c);
    break;
  case LOOKUP_UDP:
  case LOOKUP_TCP_IN: hear_nameserver(c); break;
  case OPEN: open_connection(c); break;
  case CONNECTING:
    error = send_scratch(c);
    if (error == EAGAIN) break;
    c->state = TUNNEL;
    if (error != 0) fail_over(c, HBEAT_ERR_CONNECT, NULL, error);
    else if (!c->cfg.proxy) begin_tls(c);
    break;
  case TUNNEL: hear_proxy(c); break;
  case RECEIVING:
    read_in(c);
    /* fall through */
  default: talk(c); break; /* SENDING */
  }
}

/* The exchange is over: with an open connection if it can be used again. */
static void finish(hbeat_client *c) {
  hbeat_reply *r = c->x.reply;
  size_t unread;
  if (c->x.tunnel) { /* nothing else that a proxy says is handed on */
    int status = c->error == HBEAT_ERR_PROXY ? r->http_status : 0;
    reply_clear(r);
    r->http_status = status;
    c->x.keep_alive = false;
  }
  r->connection = c->connection;
  /* Past the server's own certificate its clock cannot be right. */
  if (c->answered && r->server_time_s != HBEAT_NONE &&
      r->server_time_s <= c->leaf_until_s) {
    c->server_lead_s = r->server_time_s - now_ms() / 1000;
    r->clock_offset_s = r->server_time_s - (int64_t)time(NULL);
  }
  if (c->x.state != OVER || !c->x.keep_alive || c->wire_at < c->wire_end ||
      br_ssl_engine_recvapp_buf(&c->tls.eng, &unread))
    hang_up(c);
  c->state = IDLE;
}

hbeat_error hbeat_step(hbeat_client *c) {
  int64_t now = now_ms();
  if (c->error != HBEAT_AGAIN) return c->error;
  if (now >= c->deadline_ms) fail(c, HBEAT_ERR_TIMEOUT, occupation(c), 0);
  else if (now < c->until_ms) advance(c);
  else if (c->state < OPEN) end_try(c);
  else fail_over(c, HBEAT_ERR_TIMEOUT, occupation(c), 0);
  if (c->error != HBEAT_AGAIN) finish(c);
  return c->error;
}

hbeat_wait hbeat_wants(const hbeat_client *c) {
  static const char waits[] = "----ioi-oioi"; /* by state: in, out, or - */
  int64_t left_ms = c->until_ms - now_ms();
  hbeat_wait w = {-1, 0, 0};
  if (c->error != HBEAT_AGAIN || waits[c->state] == '-') return w;
  w.fd = c->fd;
  w.events = waits[c->state] == 'i' ? POLLIN : POLLOUT;
  w.timeout_ms = left_ms > 0 ? (int)left_ms : 0;
  return w;
}

/* NULL, or why the client's part of a configuration is not fit for use. */
static const char *check_client(const hbeat_config *cfg) {
  const char *login = cfg->proxy_login;
  byte ip[16];
  if (cfg->address && !read_ip(cfg->address, ip))
    return "address: no IPv4 or IPv6 address in figures";
  if (cfg->proxy && cfg->address) return "address: not with a proxy";
  if (cfg->proxy && host_length(cfg->proxy) == 0 && !read_ip(cfg->proxy, ip))
    return "proxy: neither a name nor an address in figures";
  if (login && (!cfg->proxy || !strchr(login, ':') || strlen(login) > 255))
    return "proxy_login: user:password, at most 255 bytes, for a proxy";
  if (cfg->timeout_ms > LONGEST_TIMEOUT_MS) return "timeout_ms: over a day";
  if (!cfg->anchors || cfg->anchor_count == 0) return "anchors: none";
  if (!cfg->tls_buffer || cfg->tls_buffer_size < HBEAT_TLS_BUFFER_SMALL)
    return "tls_buffer: less than HBEAT_TLS_BUFFER_SMALL";
  return NULL;
}

hbeat_error hbeat_init(hbeat_client *c, const hbeat_config *cfg) {
  const char *bad = check_codec(cfg), *what = bad ? bad : check_client(cfg);
  memset(c, 0, sizeof *c);
  c->fd = -1;
  c->cfg = *cfg;
  fail(c, what ? HBEAT_ERR_ARGUMENT : HBEAT_OK, what, 0);
  if (what) return c->error;
  if (!cfg->host) c->cfg.host = DEFAULT_HOST;
  if (cfg->timeout_ms == 0) c->cfg.timeout_ms = 30000;
  if (cfg->port == 0) c->cfg.port = HTTPS_PORT;
  if (cfg->address_port == 0) c->cfg.address_port = c->cfg.port;
  if (cfg->proxy_port == 0) c->cfg.proxy_port = 80;
  if (!cfg->hosts_path) c->cfg.hosts_path = "/etc/hosts";
  if (!cfg->resolv_path) c->cfg.resolv_path = "/etc/resolv.conf";
  c->server_lead_s = HBEAT_NONE;
  tls_profile(c);
  c->state = IDLE;
  return HBEAT_OK;
}

hbeat_error hbeat_start(
    hbeat_client *c, const hbeat_request *request, hbeat_reply *reply) {
  if (c->state == UNFIT) {
    reply_clear(reply);
    return c->error = HBEAT_ERR_ARGUMENT;
  }
  if (c->state != IDLE) hang_up(c);
  c->state = IDLE;
  c->until_ms = c->deadline_ms = now_ms() + c->cfg.timeout_ms;
  hbeat_error e = hbeat_begin(&c->x, &c->cfg, request, reply);
  fail(c, e == HBEAT_OK ? HBEAT_AGAIN : e, c->x.what, 0);
  if (e != HBEAT_OK) return e;
  c->kept = c->fd >= 0;
  c->answered = false;
  c->connection = HBEAT_CONNECTION_NONE;
  c->state = c->kept ? LOOK : LOOKUP;
  return HBEAT_OK;
}

hbeat_error hbeat_send(
    hbeat_client *c, const hbeat_request *request, hbeat_reply *reply) {
  hbeat_error e = hbeat_start(c, request, reply);
  if (e != HBEAT_OK) return e;
  while ((e = hbeat_step(c)) == HBEAT_AGAIN) {
    hbeat_wait w = hbeat_wants(c);
    struct pollfd p = {w.fd, w.events, 0};
    if (w.fd >= 0) poll(&p, 1, w.timeout_ms);
  }
  return e;
}

/* A session as bytes: when it was made, its certificate's end, the engine's
 * parameters, and a digest of these, the host and the anchors. */
enum {
  PARAMETERS = 16,
  ID_SIZE = offsetof(br_ssl_session_parameters, session_id_len),
  DIGEST = HBEAT_SESSION_SIZE - br_sha256_SIZE
};

static void session_digest(
    const hbeat_client *c, const byte *session, byte digest[br_sha256_SIZE]) {
  br_sha256_context sha;
  char host[256];
  plain_name(c->cfg.host, host);
  br_sha256_init(&sha);
  br_sha256_update(&sha, session, DIGEST);
  br_sha256_update(&sha, host, sizeof host);
  br_sha256_update(&sha, &c->cfg.port, sizeof c->cfg.port);
  for (size_t i = 0; i < c->cfg.anchor_count; i++) {
    const br_x509_trust_anchor *ta = &c->cfg.anchors[i];
    bool ec = ta->pkey.key_type == BR_KEYTYPE_EC;
    br_sha256_update(&sha, ta->dn.data, ta->dn.len);
    br_sha256_update(&sha, ec ? ta->pkey.key.ec.q : ta->pkey.key.rsa.n,
        ec ? ta->pkey.key.ec.qlen : ta->pkey.key.rsa.nlen);
  }
  br_sha256_out(&sha, digest);
}

bool hbeat_session_save(
    const hbeat_client *c, unsigned char out[HBEAT_SESSION_SIZE]) {
  if (!c->resumable || c->tls.eng.session.session_id_len == 0) return false;
  memcpy(out, &c->session_s, 8);
  memcpy(out + 8, &c->leaf_until_s, 8);
  memcpy(out + PARAMETERS, &c->tls.eng.session, DIGEST - PARAMETERS);
  session_digest(c, out, out + DIGEST);
  return true;
}

bool hbeat_session_load(hbeat_client *c, const void *in, size_t size) {
  const byte *session = in;
  byte digest[br_sha256_SIZE];
  int64_t session_s;
  if (c->state != IDLE || c->fd >= 0 || size != HBEAT_SESSION_SIZE)
    return false;
  memcpy(&session_s, session, 8);
  session_digest(c, session, digest);
  if (memcmp(session + DIGEST, digest, sizeof digest) != 0 ||
      session[PARAMETERS + ID_SIZE] == 0 ||
      session[PARAMETERS + ID_SIZE] > sizeof c->tls.eng.session.session_id ||
      session_s < certificate_time(c) - DAY_S)
    return false;
  memcpy(&c->tls.eng.session, session + PARAMETERS, DIGEST - PARAMETERS);
  memcpy(&c->leaf_until_s, session + 8, 8);
  c->session_s = session_s;
  c->resumable = true;
  return true;
}

static void wipe(void *secret, size_t size) {
  for (volatile byte *at = secret; size > 0; size--) *at++ = 0;
}

void hbeat_close(hbeat_client *c) {
  if (c->state == UNFIT) return;
  hang_up(c);
  wipe(c->cfg.tls_buffer, c->cfg.tls_buffer_size);
  wipe(c, sizeof *c);
  c->fd = -1;
}

#endif

/* ==== Error texts ======================================================= */

/* A name and a sentence each, in the enum's order; @ is the host. */
static const struct {
  char name[12], sentence[44];
} errors[] = {{"ok", "@ accepted the request"},
    {"again", "the exchange with @ is under way"},
    {"argument", "an argument is wrong"}, {"resolve", "no address for @"},
    {"connect", "no connection to @"},
    {"proxy", "the proxy lets nothing through to @"},
    {"timeout", "no reply from @ within the time"},
    {"tls-version", "@ does not offer TLS 1.2"},
    {"cert-name", "the certificate is not for @"},
    {"cert-trust", "the certificate of @ is not trusted"},
    {"cert-time", "the certificate of @"}, {"tls", "TLS with @ failed"},
    {"truncated", "the reply from @ is not whole"},
    {"http", "the reply from @ is not HTTP/1.1"},
    {"status", "@ answered with an error"},
    {"refused", "@ refused the request"},
    {"json", "the reply from @ is not the API's"},
    {"too-big", "a buffer is too small for the reply from @"},
    {"memory", "what was kept is no memory of this version"}};

const char *hbeat_error_name(hbeat_error e) {
  return (size_t)e < COUNT(errors) ? errors[e].name : "unknown";
}

#ifndef HBEAT_NO_NET
/* A name of any origin: its beginning, and nothing that moves a terminal. */
static void put_name(sink *s, const char *name) {
  for (int i = 0; i < 60 && name[i] != '\0'; i++)
    put(s, is_visible((byte)name[i]) ? name + i : "?", 1);
}

static const char *errno_text(int error) {
  switch (error) {
  case ECONNREFUSED: return ": connection refused";
  case ECONNRESET: return ": connection reset";
  case ETIMEDOUT: return ": timed out";
  case ENETUNREACH: return ": network unreachable";
  case EHOSTUNREACH: return ": host unreachable";
  case EMFILE: return ": no descriptor left";
  default: return ": system error";
  }
}

/* On which side of its dates a certificate was found, and by whose clock. */
static void put_dates(sink *s, const hbeat_client *c) {
  static const char clocks[][24] = {
      "the system's clock", "clock_floor_s", "the server's last Date"};
  int64_t days = (int64_t)c->x509.days - DAYS_TO_1970;
  int64_t now_s = days * DAY_S + c->x509.seconds;
  int year = 1970, month = 1;
  while (days_since_1970(year + 1, 1, 1) <= days) year++;
  while (month < 12 && days_since_1970(year, month + 1, 1) <= days) month++;
  days -= days_since_1970(year, month, 1) - 1;
  put_text(
      s, now_s < c->not_before_s ? " is not valid yet: " : " has expired: ");
  put_text(s, clocks[c->clock]);
  put_text(s, " says ");
  put_number(s, (uint64_t)year);
  put_text(s, month < 10 ? "-0" : "-");
  put_number(s, (uint64_t)month);
  put_text(s, days < 10 ? "-0" : "-");
  put_number(s, (uint64_t)days);
}

const char *hbeat_explain(hbeat_client *c) {
  sink s = {c->explain, c->explain + sizeof c->explain};
  hbeat_error e = c->error;
  bool path = e == HBEAT_ERR_RESOLVE || e == HBEAT_ERR_CONNECT;
  bool posix = e == HBEAT_ERR_CONNECT || e == HBEAT_ERR_TRUNCATED;
  bool tls = e >= HBEAT_ERR_TLS_VERSION && e <= HBEAT_ERR_TLS;
  const char *sentence = errors[e].sentence, *at = strchr(sentence, '@');
  put(&s, sentence, at ? (size_t)(at - sentence) : strlen(sentence));
  if (at) {
    put_name(&s,
        path && c->cfg.proxy ? c->cfg.proxy
            : c->cfg.host    ? c->cfg.host
                             : DEFAULT_HOST);
    put_text(&s, at + 1);
  }
  if (e == HBEAT_ERR_CERT_TIME) put_dates(&s, c);
  put_text(&s, c->what ? ": " : "");
  put_text(&s, c->what ? c->what : "");
  if (e != HBEAT_OK && c->code != 0) {
    if (posix) put_text(&s, errno_text(c->code));
    put_text(&s, posix ? " (errno " : tls ? " (BearSSL " : " (HTTP ");
    put_number(&s, (uint64_t)c->code);
    put_text(&s, ")");
  }
  if (c->leaf.status == 1 &&
      (e == HBEAT_ERR_CERT_NAME || e == HBEAT_ERR_CERT_TRUST)) {
    put_text(&s, ": it is for ");
    put_name(&s, c->leaf.buf);
  }
  return c->explain;
}
#endif
