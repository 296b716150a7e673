/* SPDX-License-Identifier: MIT */

/* heartbeat - the library.  heartbeat.h has the contract of every call; this
 * is how it works inside.
 *
 * What goes over the wire.  A request is a list of pieces: literals, the
 * caller's strings, and strings that are escaped into JSON on their way out.
 * hbeat_pull() walks the list and remembers where it stopped, so that a
 * request of any size leaves through any window and is never held whole.  The
 * reply runs through a state machine that can stop at any byte, but takes runs
 * of bytes and whole lines where they are there, and keeps what it needs of the
 * head.  The body lands in the caller's buffer, and is parsed once: that checks
 * it, and finds the members that count on the way.  Their values are then
 * decoded in place: the texts of hbeat_reply point into the buffer.
 *
 * What the client does.  Its states, which are named after what they are about
 * to do or wait for, and those that may follow:
 *
 *     IDLE                 is started            LOOKUP; LOOK if a connection
 *                                                was kept
 *     LOOK                 is it still good?     SENDING; LOOKUP if it is not
 *     LOOKUP               finds addresses       OPEN; LOOKUP_UDP to ask, or
 *                                                LOOKUP_TCP_OUT (use-vc)
 *     LOOKUP_UDP           awaits answers        OPEN; LOOKUP_TCP_OUT if one
 *                                                was truncated; LOOKUP_UDP to
 *                                                ask the next nameserver;
 *                                                LOOKUP_LATE behind the last
 *     LOOKUP_TCP_OUT, _IN  the same over TCP     the same
 *     LOOKUP_LATE          awaits late answers   OPEN; LOOKUP_TCP_OUT
 *     OPEN                 takes an address      CONNECTING; OPEN for the next
 *     CONNECTING           gets connected        HANDSHAKE_OUT; TUNNEL if that
 *                                                is a proxy; OPEN if it failed
 *     TUNNEL               awaits the proxy      HANDSHAKE_OUT; OPEN
 *     HANDSHAKE_OUT, _IN   speaks TLS            SENDING; OPEN if the server
 *                                                said nothing; LAST_WORDS if a
 *                                                write fails
 *     SENDING, RECEIVING   request and reply     IDLE; LOOKUP, once, if a kept
 *                                                connection turns out dead;
 *                                                LAST_WORDS if a write fails
 *     LAST_WORDS           reads what had come   IDLE; LOOKUP; OPEN
 *                          before that
 *
 * From every state an error and the deadline lead to IDLE.  A client is UNFIT
 * before hbeat_init() and behind hbeat_close().
 *
 * Each try at a nameserver has a socket of its own.  One over UDP that is not
 * answered in its time stays open beside the next ones, three in all, and each
 * step reads them all: so a slow nameserver is heard, whenever it answers.
 *
 * The client drives BearSSL's engine itself.  talk() lets the engine work
 * until it needs the socket.  Small records gather, to leave in one write; one
 * read takes what the engine asks for and all that is behind it.  So a
 * heartbeat on a kept connection is one look, one write, one poll, one read.
 *
 * What lives where.  All memory is the caller's, and there are no globals but
 * constants:
 *
 *     hbeat_client   all that a client knows, BearSSL's contexts included
 *     reply_buffer   the body of the reply, and the texts decoded from it
 *     tls_buffer     before TLS begins, scratch: the text of hosts and
 *                    resolv.conf, queries and answers, CONNECT and its reply;
 *                    with TLS, two parts:
 *
 *         | one TLS record, coming in or going out | the wire: 960 bytes |
 *
 *                    The wire holds either small records on their way out, or
 *                    what a read brought beyond the record, never both.
 *     arena          anchors: a list at its front, names and keys at its end
 *
 * Sections stand in the order of their dependencies: each uses only those
 * above it.  HBEAT_NO_NET leaves out all from "Text" on. */
#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L
#endif

#include "heartbeat.h"

#if !defined HBEAT_VERSION_NUMBER || HBEAT_VERSION_NUMBER != 500
#error "heartbeat.h is of another version than heartbeat.c: copy both"
#endif

#include <limits.h>
#include <string.h>

#ifndef HBEAT_NO_NET
/* Where this file is included into another one, behind system headers that were
 * read as strict C99, glibc has hidden POSIX.  Its clocks are read again. */
#if defined __GLIBC__ && !defined __USE_XOPEN2K8
#undef _FEATURES_H
#undef _TIME_H
#undef _BITS_TIME_H
#endif
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
#ifndef CLOCK_MONOTONIC
#error "define _POSIX_C_SOURCE as 200809L before the first system header"
#endif
#endif

/* ==== Bytes ============================================================= */

#define COUNT(array) (sizeof(array) / sizeof(array)[0])
#define ASSERT(name, condition) typedef char assert_##name[(condition) ? 1 : -1]

/* Marks a function that its only caller is not to take in: for size, compilers
 * do that too often.  It was measured with gcc 12, for x86-64. */
#if defined __GNUC__
#define APART __attribute__((noinline))
#else
#define APART
#endif

#define DECIMAL_MAX 21 /* the digits of UINT64_MAX and a NUL */
#define DAY_S 86400

typedef unsigned char byte;

/* Bytes from `at` up to `end`; `at` moves as they are consumed. */
typedef struct span {
  const byte *at;
  const byte *end;
} span;

/* The bytes of memory of this size; NULL is fine for none. */
static span span_of(const void *bytes, size_t size) {
  span s = {bytes, bytes};

  if (size > 0) s.end += size; /* else bytes may be NULL */
  return s;
}

/* The bytes of a text, without its NUL. */
static span span_of_text(const char *text) {
  span s = {(const byte *)text, (const byte *)strchr(text, '\0')};

  return s;
}

static size_t length_of(span s) {
  return (size_t)(s.end - s.at);
}

/* The front of a span: so many bytes, or all if there are no more. */
static span front_of(span in, size_t size) {
  if (length_of(in) > size) in.end = in.at + size;
  return in;
}

/* Takes so many bytes off the front of a span, or all if there are no more, and
 * copies what fits of them to memory that ends at `end` and may overlap them;
 * returns where the copy ends. */
static byte *take_bytes(span *in, uint64_t size, byte *to, const byte *end) {
  const byte *from = in->at;
  size_t taken = length_of(*in);
  size_t copied = (size_t)(end - to);

  if (size < taken) taken = (size_t)size;
  if (taken < copied) copied = taken;
  in->at += taken;
  if (copied == 0) return to; /* there need be no memory at all */
  memmove(to, from, copied);
  return to + copied;
}

/* Memory that a const pointer leads to, but that is not const itself. */
static void *unconst(const void *memory) {
  return (void *)(uintptr_t)memory;
}

/* A compiler may leave out a memset() where nobody reads behind it, but not a
 * call of whatever function a volatile pointer leads to. */
static void wipe(void *secret, size_t size) {
  void *(*volatile set)(void *, int, size_t) = memset;

  set(secret, 0, size);
}

static bool is_digit(int c) {
  return c >= '0' && c <= '9';
}

static bool is_letter(int c) {
  byte letter = (byte)((c | 0x20) - 'a'); /* its place in the alphabet */

  return letter <= 'z' - 'a';
}

/* A set of ASCII: bit c % 32 of word c / 32 is 1 if it has c. */
typedef uint32_t ascii_set[4];

static bool is_in_set(byte c, const ascii_set set) {
  return c < 0x80 && (set[c / 32] >> c % 32 & 1);
}

/* Letters, digits and -._~: what may stand anywhere in a URL, RFC 3986 section
 * 2.3. */
static const ascii_set unreserved = {0, 0x03FF6000, 0x87FFFFFE, 0x47FFFFFE};

/* ASCII only: the C library's would ask the locale. */
static int to_lower(int c) {
  return c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c;
}

/* The value of a hexadecimal digit, or -1. */
static int hex_value(int c) {
  if (is_digit(c)) return c - '0';
  c = to_lower(c);
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Whether a text is `word`, in upper or lower case. */
static bool same_word(span text, const char *word) {
  for (; text.at < text.end; text.at++) {
    byte c = (byte)*word++;
    if (c == '\0') return false;
    if (*text.at != c && to_lower(*text.at) != to_lower(c)) return false;
  }
  return *word == '\0';
}

/* A list of texts is one string, in which each has its NUL.  It needs no
 * pointers, which would be relocated, and no padding. */

static const char *nth_text(const char *list, size_t n) {
  for (; n > 0; n--) list += strlen(list) + 1;
  return list;
}

/* Writes a number in decimal, as a string. */
static void write_decimal(char *text, uint64_t number) {
  char digits[DECIMAL_MAX];
  char *at = digits + sizeof digits - 1;

  *at = '\0';
  do {
    *--at = (char)('0' + number % 10);
    number /= 10;
  } while (number != 0);
  memcpy(text, at, (size_t)(digits + sizeof digits - at));
}

/* Text under construction, always NUL-terminated.  What does not fit is left
 * out. */
typedef struct sink {
  char *at;
  char *end; /* of the memory; the last byte is the NUL's */
} sink;

static sink sink_of(void *memory, size_t size) {
  sink s = {memory, memory};

  s.end += size;
  *s.at = '\0';
  return s;
}

/* Appends bytes of text. */
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

/* Appends a number in decimal. */
static void put_number(sink *s, uint64_t number) {
  char text[DECIMAL_MAX];

  write_decimal(text, number);
  put_text(s, text);
}

static unsigned read_16(const byte *at) {
  return (unsigned)(at[0] << 8 | at[1]);
}

static byte *write_16(byte *at, unsigned number) {
  at[0] = (byte)(number >> 8);
  at[1] = (byte)number;
  return at + 2;
}

/* Reads a big-endian number. */
static int64_t read_64(const byte in[8]) {
  uint64_t n = 0;

  for (int i = 0; i < 8; i++) n = n << 8 | in[i];
  return (int64_t)n;
}

/* Writes a big-endian number. */
static void write_64(byte out[8], int64_t number) {
  for (int i = 0; i < 8; i++) out[i] = (byte)((uint64_t)number >> (56 - 8 * i));
}

/* ==== Scanning ========================================================== */

/* Functions named scan_ move a span past one construct at its front.  They
 * return whether it is there, as a scan_result or a bool.  Where it is not,
 * scan_byte() leaves the span as it was; the others leave it at what stopped
 * them. */

/* The numbers are those of what a scan means where the input is JSON. */
typedef enum scan_result {
  SCAN_OK = HBEAT_OK,
  SCAN_OTHER = HBEAT_ERR_JSON,     /* no more input can change that */
  SCAN_SHORT = HBEAT_ERR_TRUNCATED /* the input ends before the construct */
} scan_result;

/* This byte. */
static bool scan_byte(span *in, char c) {
  if (in->at >= in->end || *in->at != (byte)c) return false;
  in->at++;
  return true;
}

/* This byte, or that one. */
static bool scan_either(span *in, char c, char d) {
  return scan_byte(in, c) || scan_byte(in, d);
}

/* Bytes of a set, as many as there are. */
static void scan_set(span *in, const ascii_set set) {
  const byte *at = in->at;

  while (at < in->end && is_in_set(*at, set)) at++;
  in->at = at;
}

/* A byte that must be there. */
static scan_result scan_mark(span *in, char c) {
  if (scan_byte(in, c)) return SCAN_OK;
  return in->at >= in->end ? SCAN_SHORT : SCAN_OTHER;
}

static bool at_digit(const span *in) {
  return in->at < in->end && is_digit(*in->at);
}

/* A word, to the letter. */
static scan_result scan_word(span *in, const char *word) {
  for (; *word != '\0'; word++) {
    if (in->at >= in->end) return SCAN_SHORT;
    if (*in->at != (byte)*word) return SCAN_OTHER;
    in->at++;
  }
  return SCAN_OK;
}

/* One digit or more. */
static scan_result scan_digits(span *in) {
  if (in->at >= in->end) return SCAN_SHORT;
  if (!is_digit(*in->at)) return SCAN_OTHER;
  while (at_digit(in)) in->at++;
  return SCAN_OK;
}

/* Exactly `count` digits. */
static bool scan_number(span *in, int count, int *number) {
  int n = 0;

  if (in->end - in->at < count) return false;
  for (; count > 0; count--) {
    if (!is_digit(*in->at)) return false;
    n = n * 10 + (*in->at++ - '0');
  }
  *number = n;
  return true;
}

/* Appends so many digits to a number; zeros where there are no more.  What
 * exceeds the limit stays above it from there on; 8 times that must fit. */
static uint64_t take_digits(
    span *in, size_t count, uint64_t n, uint64_t limit) {
  for (; count > 0; count--) {
    unsigned digit = 0;
    if (at_digit(in)) digit = *in->at++ - (unsigned)'0';
    n = n > limit / 8 ? limit + 1 : n * 10 + digit;
    if (n > limit) n = limit + 1;
  }
  return n;
}

/* Reads a text of digits alone.  False where it is none, or does not fit. */
static bool read_count(const char *text, int64_t *number) {
  span in = span_of_text(text);
  span rest = in;

  if (scan_digits(&rest) != SCAN_OK || rest.at < rest.end) return false;
  uint64_t n = take_digits(&in, length_of(in), 0, INT64_MAX);
  if (n > INT64_MAX) return false;
  *number = (int64_t)n;
  return true;
}

static bool is_missing(const char *text) {
  return !text || *text == '\0';
}

/* Every byte of a word is this one. */
#define BYTES(b) ((size_t)-1 / 0xFF * (b))

/* How many bytes of a word are 0 before the first that is not. */
static inline size_t zeros_before(size_t word) {
  byte bytes[sizeof word + 1];
  size_t n = 0;

  memcpy(bytes, &word, sizeof word);
  bytes[sizeof word] = 1; /* an end that even an analyser sees */
  while (bytes[n] == 0) n++;
  return n;
}

/* Where the bytes at the front end that are ASCII, not below `low`, and neither
 * of two others; on big-endian machines before that, at times.  A word at a
 * time: that is five times as fast as a byte at a time, and long texts are all
 * that a request is made of. */
static inline const byte *end_of_run(
    span in, byte low, byte other, byte another) {
  const byte *at = in.at;
  size_t word = 0;

  if (in.end - at >= (ptrdiff_t)sizeof word) {
    const byte *last = in.end - sizeof word; /* where a word can begin */
    do {
      memcpy(&word, at, sizeof word);
      /* In each difference a byte that stops the run sets its highest bit.
       * What it borrows of the bytes above it may set theirs, too. */
      word |= (word - BYTES(low)) | ((word ^ BYTES(other)) - BYTES(1)) |
          ((word ^ BYTES(another)) - BYTES(1));
      word &= BYTES(0x80);
      if (word != 0) return at + zeros_before(word);
      at += sizeof word;
    } while (at <= last);
  }
  while (
      at < in.end && *at >= low && *at < 0x80 && *at != other && *at != another)
    at++;
  return at;
}

/* Visible ASCII, one byte or more: no space and no control byte, so that it
 * cannot break out of a header field.  `text` may be NULL. */
static bool is_visible_text(const char *text) {
  if (is_missing(text)) return false;
  const span in = span_of_text(text);
  const byte *at = in.at;
  size_t word = 0;
  size_t others = 0; /* a byte that is not visible has set its highest bit */

  if (in.end - at >= (ptrdiff_t)sizeof word) {
    const byte *last = in.end - sizeof word; /* where a word can begin */
    do {
      memcpy(&word, at, sizeof word);
      others |= word | (word - BYTES(' ' + 1)) | (word + BYTES(1));
      at += sizeof word;
    } while (at <= last);
    at = last + 1; /* what is left, and some of it again */
  }
  for (; at < in.end; at++)
    if (*at <= ' ' || *at >= 0x7F) return false;
  return (others & BYTES(0x80)) == 0;
}

/* ==== UTF-8 (RFC 3629) ================================================== */

/* One character, of a span that is not empty.  Where it is SCAN_OTHER, what the
 * span moves past is one error, to be replaced by one U+FFFD. */
static scan_result scan_utf8(span *in) {
  byte first = *in->at++;
  int behind = 1;  /* bytes behind the first */
  byte low = 0x80; /* the range of the second byte ... */
  byte high = 0xBF;

  if (first < 0x80) return SCAN_OK;
  if (first < 0xC2 || first > 0xF4) return SCAN_OTHER;
  if (first >= 0xE0) behind = 2;
  if (first >= 0xF0) behind = 3;
  if (first == 0xE0) low = 0xA0;  /* below: a longer form than needed */
  if (first == 0xED) high = 0x9F; /* above: a surrogate */
  if (first == 0xF0) low = 0x90;  /* below: a longer form than needed */
  if (first == 0xF4) high = 0x8F; /* above: beyond U+10FFFF */
  for (; behind > 0; behind--) {
    if (in->at >= in->end) return SCAN_SHORT;
    if (*in->at < low || *in->at > high) return SCAN_OTHER;
    in->at++;
    low = 0x80; /* ... and of those behind it */
    high = 0xBF;
  }
  return SCAN_OK;
}

/* Writes a code point; returns its length. */
static size_t utf8_write(uint32_t code, byte out[4]) {
  static const byte lead[] = {0, 0x00, 0xC0, 0xE0, 0xF0}; /* by length */
  size_t length = 1;

  if (code > 0x7F) length = 2;
  if (code > 0x7FF) length = 3;
  if (code > 0xFFFF) length = 4;
  for (size_t i = length - 1; i > 0; i--) {
    out[i] = (byte)(0x80 | (code & 0x3F));
    code >>= 6;
  }
  out[0] = (byte)(lead[length] | code);
  return length;
}

/* ==== JSON out (RFC 8259) =============================================== */

#define REPLACEMENT 0xFFFD /* U+FFFD, for what cannot be written */
#define UNIT_MAX 6         /* the longest form of one character: \u001f */

ASSERT(a_character_fits_any_window, UNIT_MAX <= 16); /* of hbeat_pull() */

/* Where the bytes at the front end that stand inside a JSON string as they
 * are. */
static const byte *end_of_plain(span in) {
  return end_of_run(in, 0x20, '"', '\\');
}

/* Takes the first character off a string.  Where it cannot stand inside a JSON
 * string as it is, writes how it stands there, and returns the length of that;
 * else 0.  What is not UTF-8, or is cut short, becomes U+FFFD: no heartbeat is
 * lost over an odd name. */
static size_t json_escape(span *in, byte unit[UNIT_MAX]) {
  static const char hex[] = "0123456789abcdef";
  byte first = *in->at;

  if (scan_utf8(in) != SCAN_OK) return utf8_write(REPLACEMENT, unit);
  if (first < 0x20) {
    memcpy(unit, "\\u00", 4);
    unit[4] = (byte)hex[first >> 4];
    unit[5] = (byte)hex[first & 15];
    return UNIT_MAX;
  }
  if (first != '"' && first != '\\') return 0;
  unit[0] = '\\';
  unit[1] = first;
  return 2;
}

/* ==== JSON in (RFC 8259) ================================================ */

static const hbeat_json no_value = {HBEAT_JSON_NONE, NULL, 0};

/* Of the members that are looked for. */
#define LONGEST_NAME "lightning_device_remote_instruction"

static bool is_space(byte c) {
  return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

static inline void skip_space(span *in) {
  while (in->at < in->end && is_space(*in->at)) in->at++;
}

/* A number, section 6. */
static scan_result scan_json_number(span *in) {
  scan_result r = SCAN_OK;

  scan_byte(in, '-');
  if (!scan_byte(in, '0')) r = scan_digits(in);
  if (r == SCAN_OK && scan_byte(in, '.')) r = scan_digits(in);
  if (r != SCAN_OK || !scan_either(in, 'e', 'E')) return r;
  scan_either(in, '+', '-');
  return scan_digits(in);
}

/* \uXXXX, which may be half of a character. */
static scan_result scan_utf16(span *in, uint32_t *code) {
  scan_result r = scan_word(in, "\\u");

  *code = 0;
  for (int i = 0; r == SCAN_OK && i < 4; i++) {
    if (in->at >= in->end) return SCAN_SHORT;
    int digit = hex_value(*in->at);
    if (digit < 0) return SCAN_OTHER;
    *code = *code << 4 | (uint32_t)digit;
    in->at++;
  }
  return r;
}

/* \uXXXX, and if that is the first half of a surrogate pair the second one.
 * Half a pair alone, as of a text that somebody cut, is U+FFFD. */
static scan_result scan_code_point(span *in, uint32_t *code) {
  uint32_t low = 0;
  scan_result r = scan_utf16(in, code);
  span rest = *in;

  if (r != SCAN_OK || *code < 0xD800 || *code > 0xDFFF) return r;
  bool has_low = scan_utf16(&rest, &low) == SCAN_OK;
  if (has_low && *code <= 0xDBFF && low >= 0xDC00 && low <= 0xDFFF) {
    *code = 0x10000 + ((*code - 0xD800) << 10) + (low - 0xDC00);
    *in = rest;
  } else {
    *code = 0xFFFD;
  }
  return SCAN_OK;
}

/* An escape, from its backslash on. */
static scan_result scan_escape(span *in, uint32_t *code) {
  static const char letters[] = "\"\\/bfnrt";
  static const char meanings[] = "\"\\/\b\f\n\r\t";

  if (in->end - in->at < 2) return SCAN_SHORT;
  const char *letter = memchr(letters, in->at[1], sizeof letters - 1);
  if (!letter) return scan_code_point(in, code);
  *code = (byte)meanings[letter - letters];
  in->at += 2;
  return SCAN_OK;
}

/* A string, section 7, from its opening quote to past its closing one. */
static scan_result scan_string(span *in) {
  scan_result r = scan_mark(in, '"');
  uint32_t code;

  while (r == SCAN_OK) {
    in->at = end_of_plain(*in);
    if (in->at >= in->end) return SCAN_SHORT;
    if (scan_byte(in, '"')) return SCAN_OK;
    if (*in->at < 0x20) return SCAN_OTHER;
    if (*in->at == '\\') r = scan_escape(in, &code);
    else r = scan_utf8(in);
  }
  return r;
}

/* The type of a value that begins so, if it is one at all. */
static hbeat_json_type type_of(byte first) {
  switch (first) {
  case '{': return HBEAT_JSON_OBJECT;
  case '[': return HBEAT_JSON_ARRAY;
  case '"': return HBEAT_JSON_STRING;
  case 't': return HBEAT_JSON_TRUE;
  case 'f': return HBEAT_JSON_FALSE;
  case 'n': return HBEAT_JSON_NULL;
  default: return HBEAT_JSON_NUMBER;
  }
}

/* A value that was parsed: its text is there, its type in its first byte.  None
 * where there is no text. */
static hbeat_json value_between(const byte *start, const byte *end) {
  if (start >= end) return no_value;
  return (hbeat_json){
      type_of(*start), (const char *)start, (size_t)(end - start)};
}

/* Takes an escape off the inside of a string, and writes it as UTF-8; returns
 * its length.  U+0000 becomes U+FFFD.  So does what no parsed string has, a bad
 * escape or a NUL; nothing is left behind that. */
static size_t take_escape(span *in, byte unit[4]) {
  uint32_t code = 0;

  if (*in->at == '\0' || scan_escape(in, &code) != SCAN_OK) {
    in->at = in->end;
    code = 0;
  }
  return utf8_write(code == 0 ? REPLACEMENT : code, unit);
}

/* How many bytes at the front of the inside of a string are as they were. */
static size_t literal_length(span in) {
  span rest = in;

  rest.at = end_of_plain(rest);
  while (rest.at < rest.end && *rest.at != '\\' && *rest.at != '\0') rest.at++;
  return (size_t)(rest.at - in.at);
}

/* Unescapes the inside of a string, which may move to the front of itself: it
 * never gets longer. */
static size_t unescape(span in, char *out, size_t size) {
  byte unit[4];
  byte *to = size > 0 ? (byte *)out : unit; /* out may be NULL */
  const byte *end = to + size;
  size_t length = 0;

  while (in.at < in.end) {
    size_t n = literal_length(in);
    if (n > 0) {
      to = take_bytes(&in, n, to, end);
    } else {
      n = take_escape(&in, unit);
      span piece = span_of(unit, n);
      to = take_bytes(&piece, n, to, end);
    }
    length += n;
  }
  if (size > 0) out[length < size ? length : 0] = '\0';
  return length;
}

size_t hbeat_json_string(const hbeat_json *value, char *out, size_t size) {
  span in = {NULL, NULL};

  if (value->type == HBEAT_JSON_STRING && value->size >= 2) {
    in = span_of(value->text, value->size);
    in.at++; /* its quotes */
    in.end--;
  }
  return unescape(in, out, size);
}

/* In a list of names, which is to be searched, each stands behind its length,
 * as in a DNS message: so most are passed over without a look. */

/* The number of a name in a list, or how many the list has where it is none. */
static size_t find_name(const char *list, const char *name, size_t size) {
  size_t n = 0;

  for (; *list != '\0'; list += 1 + *list) {
    if ((size_t)*list == size && memcmp(list + 1, name, size) == 0) break;
    n++;
  }
  return n;
}

/* The arrays and objects around what is being parsed.  Their kinds are bits,
 * the innermost lowest, so that no text can exhaust the stack. */
typedef struct nesting {
  uint64_t objects; /* 1: an object; 0: an array */
  int depth;
  hbeat_json name; /* of the member that was begun last */
} nesting;

ASSERT(a_level_is_a_bit, HBEAT_JSON_DEPTH >= 1 && HBEAT_JSON_DEPTH <= 64);

/* The closing bracket of the innermost array or object. */
static bool scan_closing(span *in, nesting *around) {
  skip_space(in);
  if (!scan_byte(in, around->objects & 1 ? '}' : ']')) return false;
  around->objects >>= 1;
  around->depth--;
  return true;
}

/* What stands before a value in an object: its name, a colon, white space. */
static scan_result scan_name(span *in, hbeat_json *name) {
  skip_space(in);
  const byte *start = in->at;
  scan_result r = scan_string(in);
  if (r != SCAN_OK) return r;
  *name = value_between(start, in->at);
  skip_space(in);
  r = scan_mark(in, ':');
  skip_space(in);
  return r;
}

/* A value is parsed as a row of parts, of two kinds by turns: BEGINNING, which
 * is a whole value but for an array or object, and CONTINUATION, what may stand
 * behind a value inside one. */
typedef enum json_part { BEGINNING, CONTINUATION } json_part;

/* A value without others in it, or an opening bracket and what leads to the
 * first value behind it.  *next is set to the part that must follow. */
static hbeat_error scan_beginning(span *in, nesting *around, json_part *next) {
  bool object = false;

  *next = CONTINUATION;
  skip_space(in);
  if (in->at >= in->end) return HBEAT_ERR_TRUNCATED;
  switch (*in->at) {
  case '"': return (hbeat_error)scan_string(in);
  case 'n': return (hbeat_error)scan_word(in, "null");
  case 'f': return (hbeat_error)scan_word(in, "false");
  case 't': return (hbeat_error)scan_word(in, "true");
  case '{': object = true; break;
  case '[': break;
  default: return (hbeat_error)scan_json_number(in);
  }
  if (around->depth >= HBEAT_JSON_DEPTH) return HBEAT_ERR_TOO_BIG;
  around->objects = around->objects << 1 | object;
  around->depth++;
  in->at++;
  if (scan_closing(in, around)) return HBEAT_OK;
  *next = BEGINNING;
  return object ? (hbeat_error)scan_name(in, &around->name) : HBEAT_OK;
}

/* A closing bracket, or a comma and what leads to the value behind it. */
static hbeat_error scan_continuation(
    span *in, nesting *around, json_part *next) {
  if (scan_closing(in, around)) return HBEAT_OK;
  scan_result r = scan_mark(in, ',');
  if (r == SCAN_OK && (around->objects & 1)) r = scan_name(in, &around->name);
  *next = BEGINNING;
  return (hbeat_error)r;
}

/* Members of an object that are looked for while it is parsed, so that the text
 * is read once. */
typedef struct member_search {
  const char *names; /* a list */
  size_t others;     /* how many it has */
  hbeat_json *found; /* in its order; behind them one more, for all others */
  size_t inner;      /* the one in which the next search looks, if an object */
  size_t present;    /* the one whose value is parsed */
  const byte *start; /* of that value */
} member_search;

/* The number of a member by its name.  An escape may hide one. */
static size_t find_member(const member_search *s, const hbeat_json *name) {
  const char *inside = name->text + 1;
  size_t size = name->size - 2;
  char text[sizeof LONGEST_NAME]; /* a longer one is in no list */
  size_t n = find_name(s->names, inside, size);

  if (n < s->others || !memchr(inside, '\\', size)) return n;
  size = hbeat_json_string(name, text, sizeof text);
  return find_name(s->names, text, size);
}

/* Takes note of a member's name, or the end of its value: what a part has come
 * to, behind which `next` stands.  A member that comes twice is of no type,
 * since which of the two counts would be a guess. */
static void search_part(
    member_search *s, const nesting *around, json_part next, const byte *at) {
  if (!(around->objects & 1)) return;
  if (around->depth == 2 && s->present == s->inner) s++;
  else if (around->depth != 1) return;
  if (next == BEGINNING) {
    s->present = find_member(s, &around->name);
    s->start = at;
    return;
  }
  hbeat_json *found = &s->found[s->present];
  bool again = found->text != NULL;
  *found = value_between(s->start, at);
  if (again) found->type = HBEAT_JSON_NONE;
}

/* Takes the value that must come next; *value is HBEAT_JSON_NONE where it is
 * bad.  `search` is for members of the outermost object, or NULL; those before
 * what is bad are found all the same. */
static hbeat_error take_value(
    span *in, member_search *search, hbeat_json *value) {
  nesting around = {0, 0, no_value};
  json_part next = BEGINNING;
  hbeat_error e = HBEAT_OK;

  skip_space(in);
  const byte *start = in->at;
  const byte *end = start;
  while (e == HBEAT_OK && (next == BEGINNING || around.depth > 0)) {
    if (next == BEGINNING) e = scan_beginning(in, &around, &next);
    else e = scan_continuation(in, &around, &next);
    if (search && e == HBEAT_OK) search_part(search, &around, next, in->at);
  }
  if (e == HBEAT_OK) end = in->at;
  *value = value_between(start, end);
  return e;
}

/* Takes a value behind which nothing else stands. */
static hbeat_error take_document(
    span in, member_search *search, hbeat_json *value) {
  hbeat_error e = take_value(&in, search, value);

  skip_space(&in);
  if (e != HBEAT_OK || in.at >= in.end) return e;
  *value = no_value;
  return HBEAT_ERR_JSON;
}

hbeat_error hbeat_json_parse(const char *text, size_t size, hbeat_json *value) {
  return take_document(span_of(text, size), NULL, value);
}

/* What is left of a container begins with its bracket while nothing was taken,
 * then with a comma or the closing bracket.  A bad text leaves nothing. */
bool hbeat_json_next(
    hbeat_json *container, hbeat_json *key, hbeat_json *value) {
  bool object = container->type == HBEAT_JSON_OBJECT;
  span in = span_of(container->text, container->size);
  hbeat_json name = no_value;

  *value = no_value;
  if (key) *key = no_value;
  if (!object && container->type != HBEAT_JSON_ARRAY) return false;
  skip_space(&in);
  bool found = scan_either(&in, object ? '{' : '[', ',');
  if (found && object) found = scan_name(&in, &name) == SCAN_OK;
  if (found) found = take_value(&in, NULL, value) == HBEAT_OK;
  container->text = (const char *)in.at;
  container->size = found ? length_of(in) : 0;
  if (found && key) *key = name;
  return found;
}

/* Reads a text that is to be one number. */
static hbeat_error read_json_number(
    span in, unsigned decimals, int64_t *number) {
  span rest = in;

  if (scan_json_number(&rest) != SCAN_OK || rest.at < rest.end)
    return HBEAT_ERR_JSON;
  bool negative = scan_byte(&in, '-');
  uint64_t limit = (uint64_t)INT64_MAX + negative; /* -INT64_MIN is one more */
  rest = in;
  scan_digits(&rest);
  uint64_t n = take_digits(&in, (size_t)(rest.at - in.at), 0, limit);
  if (decimals > 0) scan_byte(&in, '.');
  n = take_digits(&in, decimals, n, limit);
  scan_digits(&in);                          /* further decimals */
  if (in.at < in.end) return HBEAT_ERR_JSON; /* a fraction, or an exponent */
  if (n > limit) return HBEAT_ERR_TOO_BIG;
  *number = (int64_t)n;
  if (negative && n > 0) *number = -(int64_t)(n - 1) - 1; /* INT64_MIN, too */
  return HBEAT_OK;
}

hbeat_error hbeat_json_number(
    const hbeat_json *value, unsigned decimals, int64_t *number) {
  if (value->type != HBEAT_JSON_NUMBER) return HBEAT_ERR_JSON;
  return read_json_number(span_of(value->text, value->size), decimals, number);
}

/* ==== Times ============================================================= */

/* A date and a time of day: a number for each of these. */
enum { YEAR, MONTH, DAY, HOUR, MINUTE, SECOND, CALENDAR };
typedef int calendar[CALENDAR];

/* Days from 1970-01-01.  Years begin in March here: the leap day is their last.
 * `month` may be 13, for the next January. */
static int days_since_1970(int year, int month, int day) {
  int months = year * 12 + month - 3;
  int y = months / 12;
  int m = months % 12;

  return y * 1461 / 4 - y / 100 + y / 400 + (m * 306 + 5) / 10 + day - 719469;
}

/* False for a date or time of day that does not exist.  A leap second does. */
static bool to_unix(const calendar t, int64_t *unix_s) {
  static const byte least[CALENDAR] = {1, 1, 1, 0, 0, 0};
  static const short most[CALENDAR] = {9999, 12, 31, 23, 59, 60};

  for (int i = 0; i < CALENDAR; i++)
    if (t[i] < least[i] || t[i] > most[i]) return false;
  int month_start = days_since_1970(t[YEAR], t[MONTH], 1);
  int next_month = days_since_1970(t[YEAR], t[MONTH] + 1, 1);
  if (t[DAY] > next_month - month_start) return false;
  int64_t days = month_start + t[DAY] - 1;
  *unix_s = days * DAY_S + (t[HOUR] * 60 + t[MINUTE]) * 60 + t[SECOND];
  return true;
}

/* The English name of a month, by its first three letters. */
static bool scan_month(span *in, int *month) {
  static const char names[] = "JanFebMarAprMayJunJulAugSepOctNovDec";

  if (in->end - in->at < 3) return false;
  for (*month = 1; *month <= 12; ++*month) {
    if (memcmp(in->at, names + 3 * (*month - 1), 3) != 0) continue;
    in->at += 3;
    return true;
  }
  return false;
}

/* The last two digits of a year, of the hundred from 1970 on. */
static bool scan_short_year(span *in, int *year) {
  if (!scan_number(in, 2, year)) return false;
  *year += *year < 70 ? 2000 : 1900;
  return true;
}

/* A day of the month that a space makes two characters wide. */
static bool scan_wide_day(span *in, int *day) {
  int digits = scan_byte(in, ' ') ? 1 : 2;

  return scan_number(in, digits, day);
}

/* What one byte of a pattern stands for. */
static bool scan_field(span *in, char c, calendar t) {
  if (c >= '0' + MONTH && c <= '0' + SECOND)
    return scan_number(in, 2, &t[c - '0']);
  switch (c) {
  case '0' + YEAR: return scan_number(in, 4, &t[YEAR]);
  case 'y': return scan_short_year(in, &t[YEAR]);
  case 'b': return scan_month(in, &t[MONTH]);
  case 'e': return scan_wide_day(in, &t[DAY]);
  default: return scan_byte(in, c); /* itself */
  }
}

/* All that a pattern stands for.  A digit in it is one of the numbers of a
 * calendar, so that "0-1-2" is 2026-01-07; y is a year's last two digits, b the
 * name of a month, e a day that may begin with a space.  All else is itself. */
static bool scan_pattern(span *in, const char *pattern, calendar t) {
  for (; *pattern != '\0'; pattern++)
    if (!scan_field(in, *pattern, t)) return false;
  return true;
}

/* A date of HTTP in any of its three forms (RFC 9110 section 5.6.7). */
static int64_t read_http_date(const char *text) {
  static const char forms[][18] = {
      ", 2 b 0 3:4:5 GMT", ", 2-b-y 3:4:5 GMT", " b e 3:4:5 0"};
  span in = span_of_text(text);

  while (in.at < in.end && is_letter(*in.at)) in.at++; /* the weekday */
  for (size_t i = 0; i < COUNT(forms); i++) {
    span rest = in;
    calendar t = {0};
    int64_t unix_s;
    if (!scan_pattern(&rest, forms[i], t) || rest.at < rest.end) continue;
    if (to_unix(t, &unix_s)) return unix_s;
  }
  return HBEAT_NONE;
}

/* The offset of a time from UTC, in seconds: Z, +hh:mm or -hh:mm, or nothing,
 * which is UTC. */
static bool scan_offset(span *in, int64_t *offset_s) {
  bool east = scan_byte(in, '+');
  bool west = !east && scan_byte(in, '-');
  calendar t = {0};

  *offset_s = 0;
  if (!east && !west) {
    scan_either(in, 'Z', 'z');
    return true;
  }
  if (!scan_pattern(in, "3:4", t) || t[HOUR] > 23 || t[MINUTE] > 59)
    return false;
  *offset_s = (t[HOUR] * 60 + t[MINUTE]) * 60;
  if (west) *offset_s = -*offset_s;
  return true;
}

/* A time of the API: RFC 3339 with any fraction, which is cut off; or without
 * T and offset. */
static int64_t read_api_time(const char *text) {
  span in = span_of_text(text);
  calendar t;
  int64_t unix_s;
  int64_t offset_s;

  if (!scan_pattern(&in, "0-1-2", t)) return HBEAT_NONE;
  if (!scan_either(&in, 'T', 't') && !scan_byte(&in, ' ')) return HBEAT_NONE;
  if (!scan_pattern(&in, "3:4:5", t) || !to_unix(t, &unix_s)) return HBEAT_NONE;
  if (scan_byte(&in, '.') && scan_digits(&in) != SCAN_OK) return HBEAT_NONE;
  if (!scan_offset(&in, &offset_s) || in.at < in.end) return HBEAT_NONE;
  return unix_s - offset_s;
}

/* ==== Requests ========================================================== */

#define DEFAULT_HOST "api.lucit.app"
#define HTTPS_PORT 443

enum { HOST_MAX = 253, LABEL_MAX = 63 }; /* RFC 1035 section 2.3.4 */
enum { NAME_SIZE = 256 };                /* room for a host, and zeros */

/* The bytes of a host's name, without its trailing dot. */
static span span_of_host(const char *host) {
  span s = span_of_text(host);

  if (s.at < s.end && s.end[-1] == '.') s.end--;
  return s;
}

/* The label at the front of a host's name: letters, digits, hyphens within, and
 * underscores. */
static bool scan_label(span *in) {
  static const ascii_set label = {0, 0x03FF2000, 0x87FFFFFE, 0x07FFFFFE};
  const byte *start = in->at;

  scan_set(in, label);
  if (in->at <= start || in->at - start > LABEL_MAX) return false;
  return *start != '-' && in->at[-1] != '-';
}

/* The length of a DNS name without its trailing dot, or 0 where it is none.  A
 * last label of digits alone makes it a numeric address, which BearSSL cannot
 * hold against a certificate. */
static size_t host_length(const char *host) {
  span rest = span_of_host(host);
  size_t length = length_of(rest);
  span label; /* and all that is behind it */

  if (length > HOST_MAX) return 0;
  do {
    label = rest;
    if (!scan_label(&rest)) return 0;
  } while (scan_byte(&rest, '.'));
  if (rest.at < rest.end) return 0;
  scan_digits(&label);
  return label.at < label.end ? length : 0;
}

/* What can stand in a path and is no dot segment. */
static bool is_segment(span in) {
  if (scan_byte(&in, '.')) scan_byte(&in, '.');
  if (in.at >= in.end) return false;
  scan_set(&in, unreserved);
  return in.at >= in.end;
}

/* The same of a text that may be NULL. */
static bool is_path_segment(const char *text) {
  return text && is_segment(span_of_text(text));
}

/* Whether a text is one JSON object. */
static bool is_object(span text) {
  hbeat_json value;

  return take_document(text, NULL, &value) == HBEAT_OK &&
      value.type == HBEAT_JSON_OBJECT;
}

/* The functions named check_ return NULL, or in a phrase what is wrong. */

/* The codec's part of a configuration. */
static const char *check_codec(const hbeat_config *cfg) {
  if (!is_path_segment(cfg->device))
    return "device: letters, digits and -._~ only";
  if (!is_visible_text(cfg->app)) return "app: visible ASCII only";
  if (cfg->host && host_length(cfg->host) == 0)
    return "host: no DNS name of at most 253 bytes";
  if (!cfg->reply_buffer || cfg->reply_buffer_size == 0)
    return "reply_buffer: missing";
  return NULL;
}

/* The members of a heartbeat. */
static const char *check_beat(const hbeat_request *r) {
  if (is_missing(r->lightning_version)) return "lightning_version: missing";
  for (size_t i = 0; i < r->device_info_count; i++)
    if (!r->device_info || !r->device_info[i])
      return "device_info: a string is missing";
  return NULL;
}

/* The members of a report. */
static const char *check_report(const hbeat_request *r) {
  if (!is_path_segment(r->instruction))
    return "instruction: letters, digits and -._~ only";
  if (r->response_data && !is_object(span_of_text(r->response_data)))
    return "response_data: no JSON object";
  return NULL;
}

/* The members of a log-in. */
static const char *check_login(const hbeat_request *r) {
  if (is_missing(r->login_token)) return "login_token: missing";
  if (is_missing(r->login_secret)) return "login_secret: missing";
  if (!r->token_buffer || r->token_buffer_size == 0)
    return "token_buffer: missing";
  return NULL;
}

/* A request, and the token that all but a log-in need. */
APART static const char *check_request(
    const hbeat_request *r, const char *token) {
  if (r->call != HBEAT_LOGIN && !is_visible_text(token))
    return "token: visible ASCII only";
  switch (r->call) {
  case HBEAT_BEAT: return check_beat(r);
  case HBEAT_ACKNOWLEDGE:
  case HBEAT_FAILED: return check_report(r);
  case HBEAT_LOGIN: return check_login(r);
  default: return "call: none of the API's";
  }
}

/* A request is made of forms, one behind the other.  In a form a letter behind
 * a percent sign stands for a value:
 *
 *     %h %p   the host; its port, if that is not the usual one
 *     %d %i   the device, the instruction
 *     %t %a   the token, the app
 *     %l      the length of the body
 *     %r      response_data
 *
 * and between quotes, where it is escaped:
 *
 *     %v %f   lightning_version; the next fact of device_info
 *     %m      the message
 *     %k %s   the token and the secret of a log-in
 */
enum request_part {
  METHOD_PART,
  PATH_PART, /* by the call */
  HOST_PART,
  TOKEN_PART,
  FIELDS_PART,
  BODY_PART,
  PARTS
};

/* The form of a body. */
static const char *body_form(const hbeat_request *r) {
  bool message = r->call == HBEAT_FAILED && r->message;

  switch (r->call) {
  case HBEAT_BEAT:
    if (r->device_info_count == 0) return "{\"lightning_version\":\"%v\"}";
    return "{\"lightning_version\":\"%v\",\"device_info\":[\"%f\"]}";
  case HBEAT_LOGIN: return "{\"token\":\"%k\",\"secret\":\"%s\"}";
  case HBEAT_ACKNOWLEDGE:
  case HBEAT_FAILED: break;
  }
  if (message && r->response_data)
    return "{\"message\":\"%m\",\"response_data\":%r}";
  if (message) return "{\"message\":\"%m\"}";
  return r->response_data ? "{\"response_data\":%r}" : "{}";
}

/* The form of a part.  Without the white space that a field may have before its
 * value (RFC 9112 section 5) more heartbeats fit one segment of TCP. */
static const char *form_of(const hbeat_request *r, enum request_part part) {
  static const char paths[] =
      "analytics/lightning-devices/%d/heartbeat\0"
      "lightning/devices/%d/instructions/%i/acknowledge\0"
      "lightning/devices/%d/instructions/%i/failed\0"
      "auth";

  switch (part) {
  case METHOD_PART: return "POST /api/v3/";
  case PATH_PART: return nth_text(paths, r->call);
  case HOST_PART: return " HTTP/1.1\r\nHost:%h%p";
  case TOKEN_PART:
    return r->call == HBEAT_LOGIN ? "" : "\r\nAuthorization:Bearer %t";
  case FIELDS_PART:
    return "\r\nAppIdV3:%a"
           "\r\nUser-Agent:hbeat/" HBEAT_VERSION "\r\nAccept:application/json"
           "\r\nContent-Type:application/json"
           "\r\nContent-Length:%l\r\n\r\n";
  case BODY_PART: return body_form(r);
  case PARTS: break;
  }
  return "";
}

/* The next fact.  If there are more the form goes on with them. */
static const char *next_fact(hbeat_exchange *x) {
  const hbeat_request *r = x->request;
  const char *fact = r->device_info[x->out.fact++];

  if (x->out.fact < r->device_info_count) x->out.form = "\",\"%f\"]}";
  return fact;
}

/* What a letter stands for. */
static const char *value_of(hbeat_exchange *x, char letter) {
  const hbeat_request *r = x->request;

  switch (letter) {
  case 'h': return x->out.host;
  case 'p': return x->out.port;
  case 'd': return x->cfg->device;
  case 'i': return r->instruction;
  case 't': return x->cfg->token;
  case 'a': return x->cfg->app;
  case 'l': return x->out.content_length;
  case 'r': return r->response_data;
  case 'v': return r->lightning_version;
  case 'f': return next_fact(x);
  case 'm': return r->message;
  case 'k': return r->login_token;
  default: return r->login_secret;
  }
}

/* Goes on to the next part, from its beginning. */
static void begin_part(hbeat_exchange *x, enum request_part part) {
  x->out.part = (uint8_t)part;
  x->out.form = form_of(x->request, part);
  x->out.fact = 0;
  x->out.next = part == PARTS ? NULL : x->out.form;
  x->out.end = x->out.next;
}

/* Goes on to the next piece of a part: a value, or the text up to there. */
static void take_piece(hbeat_exchange *x) {
  const char *form = x->out.form;

  x->out.escaped = false;
  if (*form == '\0') {
    begin_part(x, (enum request_part)(x->out.part + 1));
  } else if (*form == '%') {
    x->out.form += 2;
    x->out.escaped = form[-1] == '"';
    x->out.next = value_of(x, form[1]);
    x->out.end = form[1] == 'h' ? x->out.host_end : strchr(x->out.next, '\0');
  } else {
    const char *end = strchr(form, '%');
    if (!end) end = strchr(form, '\0');
    x->out.next = form;
    x->out.end = end;
    x->out.form = end;
  }
}

/* Makes hbeat_pull() begin anew. */
APART static void rewind_request(hbeat_exchange *x) {
  begin_part(x, METHOD_PART);
}

static bool request_is_out(const hbeat_exchange *x) {
  return !x->out.next;
}

/* Whether there is a piece, or what is left of one: goes on to it. */
static bool find_piece(hbeat_exchange *x) {
  while (x->out.next >= x->out.end && !request_is_out(x)) take_piece(x);
  return x->out.next < x->out.end;
}

/* Writes a run of the present piece to memory that ends at `end`, and returns
 * how much: as many bytes as fit and go out as they are, or else one character,
 * or nothing where that does not fit. */
static size_t pull_some(
    hbeat_exchange *x, byte **to, const byte *end, size_t room) {
  span piece = {(const byte *)x->out.next, (const byte *)x->out.end};
  span run = front_of(piece, room);
  span rest = piece;
  byte unit[UNIT_MAX];
  size_t escaped = 0;

  if (x->out.escaped) run.end = end_of_plain(run);
  if (run.at < run.end) rest.at = run.end;
  else escaped = json_escape(&rest, unit);
  size_t size = (size_t)(rest.at - piece.at);
  if (escaped > 0) {
    size = escaped;
    piece = span_of(unit, size);
  }
  if (size > room) return 0;
  *to = take_bytes(&piece, size, *to, end);
  x->out.next = (const char *)rest.at;
  return size;
}

/* Writes the next bytes of the request, at most so many, to memory that ends at
 * `end`, and returns how many.  Without memory, both NULL, they are only
 * counted. */
static size_t pull_bytes(
    hbeat_exchange *x, byte *to, const byte *end, size_t size) {
  size_t room = size;

  while (room > 0 && find_piece(x)) {
    size_t n = pull_some(x, &to, end, room);
    if (n == 0) break;
    room -= n;
  }
  return size - room;
}

size_t hbeat_pull(hbeat_exchange *x, void *out, size_t size) {
  return pull_bytes(x, out, span_of(out, size).end, size);
}

/* ==== HTTP/1.1 responses (RFC 9112) ===================================== */

/* What the next byte of a reply is part of.
 *
 *      .--- 1xx ---.
 *      v           |
 *   STATUS_LINE -> FIELD_LINE -+-> no body ------------------------.
 *                              +-> SIZED_BODY ---------------------|
 *                              +-> OPEN_BODY, to the connection's  |
 *                              |                             end --+-> OVER
 *                              +-> CHUNK_LINE -> CHUNK, CHUNK_END  |
 *                                    |   ^_____________|           |
 *                                    `- 0 --> TRAILER_LINE --------'
 *
 * An error, and an error's body that does not fit, lead to OVER from anywhere.
 */
enum reply_state {
  STATUS_LINE,
  FIELD_LINE,   /* or the empty line behind the fields */
  CHUNK_LINE,   /* a chunk's size, and extensions */
  CHUNK_END,    /* the empty line behind a chunk */
  TRAILER_LINE, /* a field behind the last chunk, or the last empty line */
  SIZED_BODY,   /* in.body_left bytes */
  OPEN_BODY,    /* all until the connection ends */
  CHUNK,        /* in.body_left bytes */
  OVER
};

/* The bytes of a line that are kept; a NUL stands behind them. */
#define KEPT_MAX (sizeof((hbeat_exchange *)0)->line - 1)

/* A field that counts fits a line: its name, a colon, and the longest date. */
ASSERT(a_line_holds_a_field,
    sizeof "proxy-authenticate: Wednesday, 06-Nov-94 08:49:37 GMT" <=
        sizeof((hbeat_exchange *)0)->line);
ASSERT(lines_are_counted_in_32_bits, HBEAT_HEAD_MAX <= UINT32_MAX);

/* Functions of this section that return an error say HBEAT_AGAIN while the
 * reply goes on, and HBEAT_OK where all of it is there. */

/* A 2xx.  0 is no status: a host that decodes a body without one has a 200. */
static bool is_success(int http_status) {
  return http_status == 0 || (http_status >= 200 && http_status < 300);
}

static const hbeat_instruction no_instruction = {
    .status = HBEAT_NONE,
    .run_at_s = HBEAT_NONE,
    .created_at_s = HBEAT_NONE,
    .updated_at_s = HBEAT_NONE,
};

static void clear_reply(hbeat_reply *r) {
  memset(r, 0, sizeof *r);
  r->retry_after_s = HBEAT_NONE;
  r->server_time_s = HBEAT_NONE;
  r->clock_offset_s = HBEAT_NONE;
  r->instruction = no_instruction;
}

/* Clears what the head before this one left, a 1xx's or a proxy's. */
static void begin_head(hbeat_exchange *x) {
  clear_reply(x->reply);
  x->in.state = STATUS_LINE;
  x->in.closes = false;
  x->in.chunked = false;
  x->in.encoded = false;
  x->in.after_cr = false;
  x->in.line_size = 0;
  x->in.content_length = HBEAT_NONE;
  x->in.retry_date_s = HBEAT_NONE;
  x->in.body_left = 0;
}

/* Refuses the reply, and says why. */
static hbeat_error bad_http(hbeat_exchange *x, const char *reason) {
  x->what = reason;
  return HBEAT_ERR_HTTP;
}

/* HTTP/1.x, a space, three digits, and a space and a reason or nothing. */
static bool scan_status(span *line, int *minor, int *status) {
  if (scan_word(line, "HTTP/1.") != SCAN_OK) return false;
  if (!scan_number(line, 1, minor) || !scan_byte(line, ' ')) return false;
  if (!scan_number(line, 3, status)) return false;
  return line->at >= line->end || *line->at == ' ';
}

static hbeat_error status_line(hbeat_exchange *x, span line) {
  int minor;
  int status;

  if (!scan_status(&line, &minor, &status) || status < 100 || status > 599)
    return bad_http(x, "no status line of HTTP/1.1");
  x->reply->http_status = status;
  x->in.http10 = minor == 0;
  x->keep_alive = minor > 0;
  x->in.state = FIELD_LINE;
  return HBEAT_AGAIN;
}

/* What stands between the words of a list. */
static bool is_list_mark(byte c) {
  return c == ',' || c == ' ' || c == '\t';
}

/* Whether a word is in a list (RFC 9110 section 5.6.1). */
static bool list_has(const char *list, const char *word) {
  span in = span_of_text(list);

  while (true) {
    span first = in;
    while (in.at < in.end && !is_list_mark(*in.at)) in.at++;
    first.end = in.at;
    if (same_word(first, word)) return true;
    if (in.at >= in.end) return false;
    in.at++;
  }
}

/* Connection (RFC 9110 section 7.6.1). */
static void connection_field(hbeat_exchange *x, const char *value) {
  if (list_has(value, "close")) x->in.closes = true;
  if (list_has(value, "keep-alive")) x->keep_alive = true;
}

/* Content-Length (RFC 9112 section 6.2); the same one twice is one. */
static hbeat_error length_field(hbeat_exchange *x, const char *value) {
  int64_t length;

  if (!read_count(value, &length))
    return bad_http(x, "Content-Length is no number");
  if (x->in.content_length != HBEAT_NONE && x->in.content_length != length)
    return bad_http(x, "two values of Content-Length");
  x->in.content_length = length;
  return HBEAT_AGAIN;
}

/* Transfer-Encoding (RFC 9112 section 6.1). */
static hbeat_error coding_field(hbeat_exchange *x, const char *value) {
  bool chunked = same_word(span_of_text(value), "chunked");

  if (!chunked || x->in.chunked || x->in.http10)
    return bad_http(x, "Transfer-Encoding other than chunked");
  x->in.chunked = true;
  return HBEAT_AGAIN;
}

/* Content-Encoding, which nothing asked for: the body is not what it seems (RFC
 * 9110 section 8.4). */
static void encoding_field(hbeat_exchange *x, const char *value) {
  x->in.encoded = *value != '\0' && !same_word(span_of_text(value), "identity");
}

/* Proxy-Authenticate: challenges, each of which begins with the name of its
 * scheme (RFC 9110 section 11.7.1). */
static void challenge_field(hbeat_exchange *x, const char *value) {
  x->in.challenged = true;
  if (list_has(value, "basic")) x->in.takes_basic = true;
}

/* Retry-After: seconds or a date (RFC 9110 section 10.2.3). */
static void retry_after_field(hbeat_exchange *x, const char *value) {
  if (!read_count(value, &x->reply->retry_after_s))
    x->in.retry_date_s = read_http_date(value);
}

/* The length of the name of a field (RFC 9110 section 5.1) in front of a NUL
 * or whatever else ends it.  Letters go first, since names are made of little
 * else. */
static size_t name_length(const char *text) {
  /* Letters, digits and !#$%&'*+-.^_`|~ (RFC 9110 section 5.6.2). */
  static const ascii_set token = {0, 0x03FF6CFA, 0xC7FFFFFE, 0x57FFFFFF};
  const byte *name = (const byte *)text;
  size_t size = 0;

  for (;; size++) {
    if (is_letter(name[size])) continue;
    if (!is_in_set(name[size], token)) return size;
  }
}

/* The value of the field in the line, which begins here, without white space
 * around it. */
static const char *trim_value(hbeat_exchange *x, char *value) {
  char *end = x->line + x->in.line_size;

  while (end > value && (end[-1] == ' ' || end[-1] == '\t')) end--;
  *end = '\0';
  while (*value == ' ' || *value == '\t') value++;
  return value;
}

/* Whether the line is full: then more of it may have come than is here. */
static bool line_is_full(const hbeat_exchange *x) {
  return x->in.line_size >= KEPT_MAX;
}

/* The fields that count. */
enum field_name {
  FIELD_OTHER,
  FIELD_DATE,
  FIELD_CONNECTION,
  FIELD_RETRY_AFTER,
  FIELD_LENGTH,
  FIELD_ENCODING,
  FIELD_CODING,
  FIELD_CHALLENGE
};

/* Which field a name belongs to.  No two of them are equally long, so that
 * there is one at most to compare it with. */
static enum field_name find_field(const char *name, size_t size) {
  static const char names[][sizeof "proxy-authenticate"] = {"date",
      "connection", "retry-after", "content-length", "content-encoding",
      "transfer-encoding", "proxy-authenticate"};
  static const byte by_size[] = {
      [sizeof "date" - 1] = FIELD_DATE,
      [sizeof "connection" - 1] = FIELD_CONNECTION,
      [sizeof "retry-after" - 1] = FIELD_RETRY_AFTER,
      [sizeof "content-length" - 1] = FIELD_LENGTH,
      [sizeof "content-encoding" - 1] = FIELD_ENCODING,
      [sizeof "transfer-encoding" - 1] = FIELD_CODING,
      [sizeof "proxy-authenticate" - 1] = FIELD_CHALLENGE,
  };
  enum field_name field = FIELD_OTHER;

  if (size < COUNT(by_size)) field = (enum field_name)by_size[size];
  if (field == FIELD_OTHER) return FIELD_OTHER;
  return same_word(span_of(name, size), names[field - 1]) ? field : FIELD_OTHER;
}

/* Takes a field that is whole. */
static hbeat_error whole_field(
    hbeat_exchange *x, enum field_name field, const char *value) {
  switch (field) {
  case FIELD_CONNECTION: connection_field(x, value); break;
  case FIELD_DATE: x->reply->server_time_s = read_http_date(value); break;
  case FIELD_RETRY_AFTER: retry_after_field(x, value); break;
  case FIELD_LENGTH: return length_field(x, value);
  case FIELD_CODING: return coding_field(x, value);
  case FIELD_ENCODING: encoding_field(x, value); break;
  case FIELD_CHALLENGE:
  case FIELD_OTHER: break;
  }
  return HBEAT_AGAIN;
}

/* Takes a field that may be cut.  Such a one says nothing, with two exceptions:
 * what frames the body must not be guessed; and a Connection of that length may
 * hold a close. */
static hbeat_error cut_field(
    hbeat_exchange *x, enum field_name field, const char *value) {
  if (field == FIELD_LENGTH || field == FIELD_CODING)
    return bad_http(x, "a field of framing is too long");
  if (field == FIELD_CONNECTION) {
    x->in.closes = true;
    connection_field(x, value);
  }
  return HBEAT_AGAIN;
}

/* Takes a field.  Of a proxy's reply the challenges count alone, of trailers
 * nothing. */
static hbeat_error field_line(hbeat_exchange *x) {
  bool may_be_cut = line_is_full(x);
  size_t name_size = name_length(x->line);

  if (name_size == 0 || x->line[name_size] != ':')
    return bad_http(x, "a malformed field");
  if (x->in.state == TRAILER_LINE) return HBEAT_AGAIN;
  enum field_name field = find_field(x->line, name_size);
  if (field == FIELD_OTHER) return HBEAT_AGAIN;
  const char *value = trim_value(x, x->line + name_size + 1);
  if (x->in.tunnel) {
    if (field == FIELD_CHALLENGE) challenge_field(x, value);
    return HBEAT_AGAIN;
  }
  if (may_be_cut) return cut_field(x, field, value);
  return whole_field(x, field, value);
}

/* More of the body is announced, or there.  If it does not fit a success is
 * lost; an error's status and message survive a body that is cut short. */
static hbeat_error check_room(hbeat_exchange *x, uint64_t size) {
  if (size <= x->cfg->reply_buffer_size - x->in.body_size) return HBEAT_AGAIN;
  if (!is_success(x->reply->http_status)) return HBEAT_AGAIN;
  x->what = "the reply does not fit reply_buffer";
  return HBEAT_ERR_TOO_BIG;
}

/* Retry-After as a date counts from the server's own time.  A date before 1970
 * counts as none. */
static void settle_retry_date(hbeat_exchange *x) {
  hbeat_reply *r = x->reply;

  if (x->in.retry_date_s < 0 || r->server_time_s < 0) return;
  r->retry_after_s = x->in.retry_date_s - r->server_time_s;
  if (r->retry_after_s < 0) r->retry_after_s = 0;
}

/* What the body is, by the head (RFC 9112 section 6.3). */
static hbeat_error begin_body(hbeat_exchange *x) {
  int status = x->reply->http_status;
  bool sized = x->in.content_length != HBEAT_NONE;

  if (sized && x->in.chunked)
    return bad_http(x, "both Content-Length and Transfer-Encoding");
  if (status == 204 || status == 304) return HBEAT_OK;
  if (x->in.chunked) {
    x->in.state = CHUNK_LINE;
    return HBEAT_AGAIN;
  }
  if (!sized) {
    x->in.state = OPEN_BODY;
    x->in.body_left = UINT64_MAX; /* more than there can be */
    return HBEAT_AGAIN;
  }
  if (x->in.content_length == 0) return HBEAT_OK;
  x->in.state = SIZED_BODY;
  x->in.body_left = (uint64_t)x->in.content_length;
  return check_room(x, x->in.body_left);
}

/* Takes the empty line behind the fields. */
static hbeat_error end_head(hbeat_exchange *x) {
  int status = x->reply->http_status;

  if (status == 101) return bad_http(x, "101 without being asked");
  if (status < 200) {
    begin_head(x);
    return HBEAT_AGAIN;
  }
  if (x->in.tunnel) return HBEAT_OK; /* its body, if any, is not read */
  settle_retry_date(x);
  if (x->in.closes) x->keep_alive = false;
  return begin_body(x);
}

/* The size in hexadecimal digits, white space, and extensions behind a
 * semicolon (RFC 9112 section 7.1). */
static hbeat_error chunk_line(hbeat_exchange *x, span line) {
  const byte *start = line.at;
  bool blank = true;

  for (; line.at < line.end && hex_value(*line.at) >= 0; line.at++) {
    if (x->in.body_left >> 60 != 0)
      return bad_http(x, "a chunk's size is too long");
    x->in.body_left = x->in.body_left << 4 | (unsigned)hex_value(*line.at);
  }
  bool malformed = line.at == start;
  while (blank) blank = scan_either(&line, ' ', '\t');
  if (line.at < line.end && *line.at != ';') malformed = true;
  if (malformed) return bad_http(x, "a malformed chunk size");
  if (line.at >= line.end && line_is_full(x)) /* who knows what follows */
    return bad_http(x, "a chunk's size is too long");
  if (x->in.body_left == 0) {
    x->in.state = TRAILER_LINE;
    return HBEAT_AGAIN;
  }
  x->in.state = CHUNK;
  return check_room(x, x->in.body_left);
}

/* Takes a line that is whole. */
static hbeat_error end_line(hbeat_exchange *x) {
  span line = span_of(x->line, x->in.line_size);
  hbeat_error e = HBEAT_AGAIN;

  x->line[x->in.line_size] = '\0';
  switch (x->in.state) {
  case STATUS_LINE: e = status_line(x, line); break;
  case FIELD_LINE: e = x->in.line_size > 0 ? field_line(x) : end_head(x); break;
  case CHUNK_LINE: e = chunk_line(x, line); break;
  case TRAILER_LINE: e = x->in.line_size > 0 ? field_line(x) : HBEAT_OK; break;
  default: x->in.state = CHUNK_LINE; break; /* the one behind CHUNK_END */
  }
  x->in.line_size = 0;
  return e;
}

/* Takes one byte of a line, which its limit allows; of a long line only the
 * beginning is kept. */
APART static hbeat_error line_byte(hbeat_exchange *x, byte c) {
  bool after_cr = x->in.after_cr;

  x->in.head_left--;
  x->in.after_cr = c == '\r';
  if (after_cr) return c == '\n' ? end_line(x) : bad_http(x, "a bare CR");
  if (c == '\r') return HBEAT_AGAIN;
  if (x->in.state == CHUNK_END)
    return bad_http(x, "a chunk longer than its size");
  if (c != '\t' && (c < 0x20 || c == 0x7F))
    return bad_http(x, "a control byte in a line");
  if (x->in.line_size < KEPT_MAX) x->line[x->in.line_size++] = (char)c;
  return HBEAT_AGAIN;
}

/* Takes the plain bytes of a line in one go, and its end where that is behind
 * them; else one byte. */
static hbeat_error line_bytes(hbeat_exchange *x, span *in) {
  byte *line = (byte *)x->line;
  const byte *start = in->at;
  size_t plain = 0;

  if (x->in.after_cr) return line_byte(x, *in->at++);
  if (x->in.state != CHUNK_END)
    plain = (size_t)(end_of_run(*in, 0x20, 0x7F, 0x7F) - start);
  if (plain + 2 > x->in.head_left) /* a CR and LF must follow */
    return bad_http(x, "over HBEAT_HEAD_MAX bytes of lines");
  const byte *end =
      take_bytes(in, plain, line + x->in.line_size, line + KEPT_MAX);
  x->in.line_size = (uint32_t)(end - line);
  x->in.head_left -= (uint32_t)plain;
  if (in->end - in->at >= 2 && in->at[0] == '\r' && in->at[1] == '\n') {
    x->in.head_left -= 2;
    in->at += 2;
    return end_line(x);
  }
  if (in->at == start) return line_byte(x, *in->at++);
  return HBEAT_AGAIN;
}

/* Takes bytes of the body. */
static hbeat_error body_bytes(hbeat_exchange *x, span *in) {
  byte *buffer = (byte *)x->cfg->reply_buffer;
  byte *to = buffer + x->in.body_size;
  const byte *start = in->at;
  const byte *end =
      take_bytes(in, x->in.body_left, to, buffer + x->cfg->reply_buffer_size);
  size_t taken = (size_t)(in->at - start);
  size_t lost = taken - (size_t)(end - to);

  x->in.body_size = (size_t)(end - buffer);
  x->in.body_left -= taken;
  if (lost > 0) {
    x->keep_alive = false;
    hbeat_error e = check_room(x, lost);
    return e == HBEAT_AGAIN ? HBEAT_OK : e; /* an error's beginning is enough */
  }
  if (x->in.body_left > 0) return HBEAT_AGAIN;
  if (x->in.state == SIZED_BODY) return HBEAT_OK;
  x->in.state = CHUNK_END;
  return HBEAT_AGAIN;
}

/* Takes some of the bytes that arrived, at least one. */
static hbeat_error reply_bytes(hbeat_exchange *x, span *in) {
  switch (x->in.state) {
  case SIZED_BODY:
  case OPEN_BODY:
  case CHUNK: return body_bytes(x, in);
  default: return line_bytes(x, in);
  }
}

/* Takes the end of the connection, which the peer ended in good order. */
static hbeat_error reply_end(hbeat_exchange *x) {
  x->keep_alive = false;
  if (x->in.state == OPEN_BODY) return HBEAT_OK;
  x->what = "the server ended the connection";
  return HBEAT_ERR_TRUNCATED;
}

/* ==== Replies =========================================================== */

static bool comes_twice(const hbeat_json *member) {
  return member->text && member->type == HBEAT_JSON_NONE;
}

/* Whether a member is there, once or twice, and not null. */
static bool is_given(const hbeat_json *member) {
  return member->text && member->type != HBEAT_JSON_NULL;
}

/* Decodes a string in place, in the reply buffer: an escape is longer than what
 * it stands for, and the quotes leave room for a NUL.  NULL for any other
 * value. */
static const char *take_text(const hbeat_json *value) {
  if (value->type != HBEAT_JSON_STRING) return NULL;
  char *text = unconst(value->text + 1);
  size_t size = value->size - 2;
  text[size] = '\0'; /* in the place of its closing quote */
  if (memchr(text, '\\', size)) hbeat_json_string(value, text, size);
  return text;
}

/* A value of another type, as it came.  The byte behind it, which only parts
 * the members of an object, becomes a NUL. */
static const char *take_raw(const hbeat_json *value) {
  char *text = unconst(value->text);

  text[value->size] = '\0';
  return text;
}

/* Takes a time; *unix_s becomes HBEAT_NONE where it cannot be read: then there
 * is a text in any case, without which it would be now. */
static void take_time(
    const hbeat_json *value, const char **text, int64_t *unix_s) {
  *text = take_text(value);
  *unix_s = *text ? read_api_time(*text) : HBEAT_NONE;
  if (!*text && is_given(value)) *text = take_raw(value);
}

/* The members of an instruction that matter. */
enum { NAME, PARAMETERS, RUN_AT, STATUS, LCUID, CREATED, UPDATED, OTHERS };
static const char member_names[] =
    "\013instruction\012parameters\006run_at\006status\005lcuid"
    "\012created_at\012updated_at";

/* Takes the members of an instruction.  Each counts by itself: one that comes
 * twice, or is of a type that the API does not give it, cannot be read. */
APART static void decode_members(
    const hbeat_json *found, hbeat_instruction *i) {
  hbeat_json_number(&found[STATUS], 0, &i->status);
  i->lcuid = take_text(&found[LCUID]);
  take_time(&found[RUN_AT], &i->run_at, &i->run_at_s);
  take_time(&found[CREATED], &i->created_at, &i->created_at_s);
  take_time(&found[UPDATED], &i->updated_at, &i->updated_at_s);
  if (!comes_twice(&found[PARAMETERS])) {
    i->parameters = found[PARAMETERS];
    i->name = take_text(&found[NAME]);
  }
  i->unreadable = is_given(&found[NAME]) && !i->name;
}

/* Where no instruction waits the value is missing, null, [] or {}. */
static void decode_instruction(
    hbeat_json value, const hbeat_json *found, hbeat_instruction *i) {
  hbeat_json element;

  if (value.type == HBEAT_JSON_OBJECT) decode_members(found, i);
  else if (value.type == HBEAT_JSON_ARRAY)
    i->unreadable = hbeat_json_next(&value, NULL, &element);
  else i->unreadable = is_given(&value);
}

/* Whether a value says yes: true, 1, or one of these as a text. */
static bool is_yes(const hbeat_json *value) {
  int64_t thousandths = 0;
  char text[sizeof "true"];

  if (value->type == HBEAT_JSON_TRUE) return true;
  if (value->type == HBEAT_JSON_NUMBER) {
    hbeat_json_number(value, 3, &thousandths);
    return thousandths == 1000;
  }
  hbeat_json_string(value, text, sizeof text); /* "" where it is no string */
  return strcmp(text, "true") == 0 || strcmp(text, "1") == 0;
}

/* Moves a log-in's token to where the caller wants it, and leaves no copy in
 * the reply buffer. */
static hbeat_error take_token(const hbeat_request *request,
    const hbeat_json *value, const char **reason) {
  const char *token = take_text(value);
  hbeat_error e = HBEAT_OK;

  if (!is_visible_text(token)) {
    *reason = "the token is no visible ASCII";
    e = HBEAT_ERR_JSON;
  } else if (strlen(token) >= request->token_buffer_size) {
    *reason = "the token does not fit token_buffer";
    e = HBEAT_ERR_TOO_BIG;
  } else {
    memset(request->token_buffer, 0, request->token_buffer_size);
    memcpy(request->token_buffer, token, strlen(token));
  }
  if (value->type == HBEAT_JSON_STRING) wipe(unconst(value->text), value->size);
  return e;
}

/* The members of a body that matter; OUTCOME is the instruction, or the token
 * of a log-in. */
enum { MESSAGE, SUCCESS, OUTCOME, BODY_OTHERS };
static const char body_names[] = "\007message\007success\043" LONGEST_NAME;
static const char login_names[] = "\007message\002ok\005token";

/* The body of a 2xx, an object.  A reply to a heartbeat that has an
 * instruction, or null for one, need not say that it is a success. */
static hbeat_error decode_success(const hbeat_request *request, hbeat_reply *r,
    const hbeat_json *body, const hbeat_json *instruction,
    const char **reason) {
  bool login = request->call == HBEAT_LOGIN;
  bool beat = request->call == HBEAT_BEAT;
  hbeat_error e = HBEAT_OK;

  if (comes_twice(&body[SUCCESS]) || comes_twice(&body[OUTCOME])) {
    *reason = "a member comes twice";
    return HBEAT_ERR_JSON;
  }
  bool goes_without_saying = beat && body[SUCCESS].type == HBEAT_JSON_NONE &&
      body[OUTCOME].type != HBEAT_JSON_NONE;
  if (!is_yes(&body[SUCCESS]) && !goes_without_saying) {
    r->message = take_text(&body[MESSAGE]);
    *reason = login ? "ok is not true" : "success is not true";
    return HBEAT_ERR_REFUSED;
  }
  if (login) e = take_token(request, &body[OUTCOME], reason);
  if (beat) decode_instruction(body[OUTCOME], instruction, &r->instruction);
  r->success = e == HBEAT_OK;
  return e;
}

/* The body of any other status.  Its message is taken even if the body breaks
 * off behind it. */
static hbeat_error decode_failure(
    hbeat_reply *r, const hbeat_json *message, const char **reason) {
  r->message = take_text(message);
  if (r->http_status == 304) *reason = "a cache has answered, not the server";
  else if (r->http_status / 100 == 3 || r->http_status == 511)
    *reason = "a redirect, as of a captive portal";
  return HBEAT_ERR_STATUS;
}

/* Whether a byte is among these. */
static bool has_byte(span in, char c) {
  while (in.at < in.end && *in.at != (byte)c) in.at++;
  return in.at < in.end;
}

/* Whether an object of JSON stands at the end of a body that begins otherwise,
 * as where PHP prints its warnings. */
static bool has_text_before_json(span body) {
  skip_space(&body);
  while (body.at < body.end && is_space(body.end[-1])) body.end--;
  if (body.at >= body.end || body.end[-1] != '}' || *body.at == '{')
    return false;
  return has_byte(body, '{');
}

/* Why a body is no JSON object; `e` is what the parser says. */
static const char *why_not_json(hbeat_error e, span body) {
  if (body.at >= body.end) return "the body is empty";
  if (has_text_before_json(body)) return "text, such as a warning, precedes it";
  if (e == HBEAT_ERR_TOO_BIG) return "the body nests too deep";
  if (e == HBEAT_ERR_TRUNCATED) return "the body ends early";
  if (has_byte(body, '<')) return "the body is a web page: a captive portal?";
  return "the body is no JSON object";
}

/* Wipes what came in reply to a log-in, whatever it was: there may be a token
 * in it.  The message stays, at the front. */
static void wipe_login(const hbeat_request *request, hbeat_reply *reply,
    char *body, size_t body_size) {
  size_t kept_size = 0;

  if (request->call != HBEAT_LOGIN) return;
  if (reply->message) {
    kept_size = strlen(reply->message) + 1;
    memmove(body, reply->message, kept_size);
    reply->message = body;
  }
  wipe(body + kept_size, body_size - kept_size);
}

/* Decodes a body as hbeat_decode() does, which see. */
static hbeat_error decode_body(const hbeat_request *request, hbeat_reply *reply,
    char *body, size_t body_size, const char **what) {
  bool login = request->call == HBEAT_LOGIN;
  hbeat_json found[BODY_OTHERS + 1] = {no_value};
  hbeat_json instruction[OTHERS + 1] = {no_value};
  member_search searches[] = {
      {.names = login ? login_names : body_names,
          .others = BODY_OTHERS,
          .found = found,
          .inner = login ? SIZE_MAX : OUTCOME},
      {.names = member_names, .others = OTHERS, .found = instruction},
  };
  hbeat_reply given = *reply;
  hbeat_json root;

  clear_reply(reply);
  reply->http_status = given.http_status;
  reply->retry_after_s = given.retry_after_s;
  reply->server_time_s = given.server_time_s;
  *what = NULL;
  hbeat_error e = take_document(span_of(body, body_size), searches, &root);
  if (!is_success(reply->http_status))
    return decode_failure(reply, &found[MESSAGE], what);
  if (e == HBEAT_OK && root.type == HBEAT_JSON_OBJECT)
    return decode_success(request, reply, found, instruction, what);
  *what = why_not_json(e, span_of(body, body_size));
  return HBEAT_ERR_JSON;
}

hbeat_error hbeat_decode(const hbeat_request *request, hbeat_reply *reply,
    char *body, size_t body_size, const char **what) {
  hbeat_error e = decode_body(request, reply, body, body_size, what);

  wipe_login(request, reply, body, body_size);
  return e;
}

/* ==== Exchanges ========================================================= */

/* Makes the exchange await a reply of which nothing has come. */
static void await_reply(hbeat_exchange *x) {
  memset(&x->in, 0, sizeof x->in);
  x->in.head_left = HBEAT_HEAD_MAX;
  begin_head(x);
}

/* Counts the body by walking it once, so that no copy of it is needed. */
static uint64_t count_body(hbeat_exchange *x) {
  uint64_t size = 0;
  size_t n;

  begin_part(x, BODY_PART);
  while ((n = pull_bytes(x, NULL, NULL, SIZE_MAX)) > 0) size += n;
  rewind_request(x);
  return size;
}

ASSERT(the_port_fits, sizeof ":65535" <= sizeof((hbeat_exchange *)0)->out.port);
ASSERT(the_length_fits,
    DECIMAL_MAX <= sizeof((hbeat_exchange *)0)->out.content_length);

/* Begins an exchange.  `wrong` is what is wrong with the configuration, or
 * NULL: the client has checked its own once and for all. */
static hbeat_error begin_exchange(hbeat_exchange *x, const hbeat_config *cfg,
    const hbeat_request *request, hbeat_reply *reply, const char *wrong) {
  memset(x, 0, sizeof *x);
  x->cfg = cfg;
  x->request = request;
  x->reply = reply;
  await_reply(x);
  x->what = wrong ? wrong : check_request(request, cfg->token);
  if (x->what) return HBEAT_ERR_ARGUMENT;
  x->out.host = cfg->host ? cfg->host : DEFAULT_HOST;
  x->out.host_end = (const char *)span_of_host(x->out.host).end;
  if (cfg->port != 0 && cfg->port != HTTPS_PORT) {
    x->out.port[0] = ':';
    write_decimal(x->out.port + 1, cfg->port);
  }
  x->body_size = count_body(x);
  write_decimal(x->out.content_length, x->body_size);
  return HBEAT_OK;
}

hbeat_error hbeat_begin(hbeat_exchange *x, const hbeat_config *cfg,
    const hbeat_request *request, hbeat_reply *reply) {
  return begin_exchange(x, cfg, request, reply, check_codec(cfg));
}

/* All of a reply is there: what its body says is the outcome.  The reply to
 * CONNECT has no body if it is a success (RFC 9110 section 9.3.6), and no other
 * is read. */
static hbeat_error end_reply(hbeat_exchange *x) {
  hbeat_reply *r = x->reply;

  if (x->in.tunnel)
    return is_success(r->http_status) ? HBEAT_OK : HBEAT_ERR_PROXY;
  hbeat_error e = hbeat_decode(
      x->request, r, x->cfg->reply_buffer, x->in.body_size, &x->what);
  if (e == HBEAT_ERR_JSON && x->in.encoded)
    x->what = "the body has a Content-Encoding";
  return e;
}

/* Nothing more is taken. */
APART static void end_exchange(hbeat_exchange *x) {
  x->in.state = OVER;
  wipe_login(x->request, x->reply, x->cfg->reply_buffer, x->in.body_size);
}

/* Takes bytes that arrived, as hbeat_push() does; those that are left belong to
 * no reply. */
APART static hbeat_error push_span(hbeat_exchange *x, span *in) {
  hbeat_error e = HBEAT_AGAIN;

  if (x->in.state == OVER) return HBEAT_ERR_ARGUMENT;
  if (in->at >= in->end) e = reply_end(x);
  while (e == HBEAT_AGAIN && in->at < in->end) e = reply_bytes(x, in);
  if (e == HBEAT_AGAIN) return e;
  if (e == HBEAT_OK) e = end_reply(x);
  if (e != HBEAT_OK && e != HBEAT_ERR_STATUS && e != HBEAT_ERR_REFUSED)
    x->keep_alive = false;
  end_exchange(x);
  return e;
}

hbeat_error hbeat_push(
    hbeat_exchange *x, const void *in, size_t size, size_t *used) {
  span rest = span_of(in, size);
  hbeat_error e = push_span(x, &rest);

  *used = size - length_of(rest);
  return e;
}

/* Whether the server has the request, though its reply cannot be used: its
 * status says that it was accepted. */
static bool is_accepted(hbeat_error e, const hbeat_reply *reply) {
  if (e == HBEAT_OK) return true;
  if (e != HBEAT_ERR_JSON && e != HBEAT_ERR_TOO_BIG) return false;
  return reply && reply->http_status / 100 == 2;
}

/* ==== Memory ============================================================ */

/* Records lie one behind the other, each as long as it needs to be, in the
 * order in which they came or were reported; behind the last one all is zero.
 *
 * What has been reported stays for as long as nothing else needs its place: it
 * is known if it is sent again.  But the youngest HBEAT_MEMORY_RECORDS of all
 * stay in any case, if need be without their texts. */
enum record_state {
  FREE,
  WAITING, /* for its run_at */
  TAKEN,   /* handed out, to be run */
  ENDED,   /* to be reported */
  REPORTED /* kept, so that it is known if it is sent again */
};

/* What a record begins with.  Three texts follow, each with its NUL: the lcuid;
 * then from WAITING on the name and parameters of the instruction, from ENDED
 * on the message and response_data of its report. */
typedef struct memory_record {
  byte size[2]; /* of the record, texts included; numbers are big-endian */
  byte state;
  byte call; /* from ENDED on, the hbeat_call of its report */
  byte run_at_s[8];
  byte created_at_s[8];
} memory_record;

enum { ACKNOWLEDGED = 2 }; /* an instruction's status */

enum { OLD_MEMORY_VERSION = 1, MEMORY_VERSION = 2 }; /* in the seal */

ASSERT(a_message_names_this_limit, HBEAT_INSTRUCTION_MAX == 4000);

#define LCUID_SIZE 64 /* with its NUL */
#define SOON_S 3600   /* a run_at behind that is far */

/* What instructions with a far run_at may take: an urgent one finds room. */
#define FAR_SIZE_MAX (HBEAT_MEMORY_SIZE / 4 * 3)

ASSERT(a_record_has_no_padding, sizeof(memory_record) == 20);
ASSERT(sizes_fit_16_bits, HBEAT_MEMORY_SIZE <= UINT16_MAX);
ASSERT(the_memory_has_no_padding,
    sizeof(hbeat_memory) == 1 + 1 + 10 + 8 + HBEAT_MEMORY_SIZE);
ASSERT(a_full_instruction_fits_beside_all_that_must_stay,
    HBEAT_MEMORY_RECORDS *(sizeof(memory_record) + LCUID_SIZE + 2) +
            sizeof(memory_record) + LCUID_SIZE + HBEAT_INSTRUCTION_MAX + 2 <=
        HBEAT_MEMORY_SIZE);

/* ---- Records ---- */

/* The record at an offset, or NULL where there are no more. */
APART static memory_record *record_at(const hbeat_memory *m, size_t offset) {
  if (offset > sizeof m->records - sizeof(memory_record)) return NULL;
  memory_record *r = unconst(m->records + offset);
  return r->state == FREE ? NULL : r;
}

static memory_record *first_record(const hbeat_memory *m) {
  return record_at(m, 0);
}

static memory_record *next_record(
    const hbeat_memory *m, const memory_record *r) {
  return record_at(
      m, (size_t)((const byte *)r - m->records) + read_16(r->size));
}

/* Whether a record can be of an instruction with this lcuid. */
static bool is_lcuid(span lcuid) {
  return length_of(lcuid) < LCUID_SIZE && is_segment(lcuid);
}

static char *lcuid_of(memory_record *r) {
  return (char *)(r + 1);
}

/* The text behind another one. */
static char *text_behind(char *text) {
  return text + strlen(text) + 1;
}

/* The name, or the message. */
static char *first_text(memory_record *r) {
  return text_behind(lcuid_of(r));
}

/* The parameters, or the response_data. */
static char *second_text(memory_record *r) {
  return text_behind(first_text(r));
}

/* The record of an instruction, or NULL. */
static memory_record *find_record(const hbeat_memory *m, const char *lcuid) {
  memory_record *r = first_record(m);

  while (r && strcmp(lcuid_of(r), lcuid) != 0) r = next_record(m, r);
  return r;
}

/* The first record in a state, or NULL. */
static memory_record *first_in(const hbeat_memory *m, enum record_state state) {
  memory_record *r = first_record(m);

  while (r && r->state != state) r = next_record(m, r);
  return r;
}

static unsigned count_records(const hbeat_memory *m) {
  unsigned count = 0;

  for (memory_record *r = first_record(m); r; r = next_record(m, r)) count++;
  return count;
}

/* The bytes behind the last record. */
static size_t free_size(const hbeat_memory *m) {
  size_t used = 0;

  for (memory_record *r = first_record(m); r; r = next_record(m, r))
    used += read_16(r->size);
  return sizeof m->records - used;
}

static byte *end_of_records(hbeat_memory *m) {
  return m->records + (sizeof m->records - free_size(m));
}

/* Gives a record another size, for which there is room.  What is behind it
 * moves; it loses its end, or gets zeros there. */
static void resize_record(hbeat_memory *m, memory_record *r, size_t size) {
  byte *end = m->records + sizeof m->records;
  byte *old_tail = (byte *)r + read_16(r->size);
  byte *new_tail = (byte *)r + size;
  byte *last = new_tail > old_tail ? new_tail : old_tail;
  size_t tail_size = (size_t)(end - last);

  memmove(new_tail, old_tail, tail_size);
  if (new_tail < old_tail)
    memset(new_tail + tail_size, 0, (size_t)(old_tail - new_tail));
  else memset(old_tail, 0, (size_t)(new_tail - old_tail));
  if (size > 0) write_16(r->size, (unsigned)size);
}

static void remove_record(hbeat_memory *m, memory_record *r) {
  resize_record(m, r, 0);
}

/* The size of a record whose two texts are empty: all three have a NUL. */
static size_t bare_size(const char *lcuid) {
  return sizeof(memory_record) + strlen(lcuid) + 3;
}

/* Takes both texts off a record. */
static void strip_record(hbeat_memory *m, memory_record *r) {
  memset(first_text(r), 0, 2);
  resize_record(m, r, bare_size(lcuid_of(r)));
}

/* Makes so many bytes free, or as many as can be: what was reported longest ago
 * goes first, then the texts of what stays in any case. */
static void make_room(hbeat_memory *m, size_t size) {
  memory_record *r = first_in(m, REPORTED);

  while (r && free_size(m) < size && count_records(m) > HBEAT_MEMORY_RECORDS) {
    remove_record(m, r);
    r = first_in(m, REPORTED);
  }
  for (; r && free_size(m) < size; r = next_record(m, r))
    if (r->state == REPORTED) strip_record(m, r);
}

/* The bytes that make_room() can come to. */
static size_t room_for_new(const hbeat_memory *m) {
  size_t room = free_size(m);
  unsigned count = count_records(m);

  for (memory_record *r = first_record(m); r; r = next_record(m, r)) {
    if (r->state != REPORTED) continue;
    room += read_16(r->size);
    if (count > HBEAT_MEMORY_RECORDS) count--;
    else room -= bare_size(lcuid_of(r));
  }
  return room;
}

static void reverse(byte *from, byte *to) {
  while (from < to) {
    byte swapped = *from;
    *from++ = *--to;
    *to = swapped;
  }
}

/* Moves a record behind all others, and returns where it is now. */
static memory_record *make_last(hbeat_memory *m, memory_record *r) {
  byte *start = (byte *)r;
  byte *middle = start + read_16(r->size);
  byte *end = end_of_records(m);
  size_t size = (size_t)(middle - start);

  reverse(start, middle);
  reverse(middle, end);
  reverse(start, end);
  return (void *)(end - size);
}

/* Adds a record without texts, for which there is room. */
static memory_record *add_record(hbeat_memory *m, const hbeat_instruction *i) {
  memory_record *r = (void *)end_of_records(m);

  write_16(r->size, (unsigned)bare_size(i->lcuid));
  r->state = WAITING;
  write_64(r->run_at_s, i->run_at_s);
  write_64(r->created_at_s, i->created_at_s);
  memcpy(lcuid_of(r), i->lcuid, strlen(i->lcuid) + 1);
  return r;
}

/* ---- The seal ---- */

/* CRC-32/ISO-HDLC, as of zlib and Ethernet. */
static uint32_t crc32(const byte *bytes, size_t size) {
  /* The remainders of four bits. */
  static const uint32_t remainders[] = {0x00000000, 0x1DB71064, 0x3B6E20C8,
      0x26D930AC, 0x76DC4190, 0x6B6B51F4, 0x4DB26158, 0x5005713C, 0xEDB88320,
      0xF00F9344, 0xD6D6A3E8, 0xCB61B38C, 0x9B64C2B0, 0x86D3D2D4, 0xA00AE278,
      0xBDBDF21C};
  uint32_t crc = UINT32_MAX;

  for (size_t i = 0; i < size; i++) {
    crc ^= bytes[i];
    crc = crc >> 4 ^ remainders[crc & 15];
    crc = crc >> 4 ^ remainders[crc & 15];
  }
  return ~crc;
}

#define SEALED_AT offsetof(hbeat_memory, server_time_s)

/* The seal: a name, a version, and a checksum of all that is behind it.  Every
 * version has it, and the server's time, at the same place. */
static void make_seal(const void *memory, byte version, byte seal[10]) {
  uint32_t crc =
      crc32((const byte *)memory + SEALED_AT, sizeof(hbeat_memory) - SEALED_AT);

  memcpy(seal, "hbeat", 5);
  seal[5] = version;
  for (int i = 0; i < 4; i++) seal[6 + i] = (byte)(crc >> (24 - 8 * i));
}

/* Whether bytes of a memory's size are a memory of a version. */
static bool is_sealed(const void *memory, byte version) {
  byte expected[10];

  make_seal(memory, version, expected);
  return memcmp(expected, (const byte *)memory + offsetof(hbeat_memory, seal),
             sizeof expected) == 0;
}

/* Something has changed, and is to be kept: the seal is broken. */
static void note_change(hbeat_memory *m) {
  m->seal[0] = 0;
  m->changed = 1;
}

/* Makes the seal anew where it is broken.  Each call ends with it, once for all
 * that has changed: the checksum is nearly all of what a call costs. */
static void mend_seal(hbeat_memory *m) {
  if (m->seal[0] == 0) make_seal(m, MEMORY_VERSION, m->seal);
}

/* ---- Reports ---- */

/* Cuts a text down to so many bytes at most, and to no part of a UTF-8
 * sequence. */
static void cut_text(span *text, size_t room) {
  if ((size_t)(text->end - text->at) <= room) return;
  while (room > 0 && (text->at[room] & 0xC0) == 0x80) room--;
  text->end = text->at + room;
}

/* Writes texts over those of a record, for which there is room. */
static void write_texts(
    hbeat_memory *m, memory_record *r, span first, span second) {
  size_t start = (size_t)(first_text(r) - (char *)r);

  resize_record(m, r, start + length_of(first) + length_of(second) + 2);
  char *at = first_text(r);
  memcpy(at, first.at, length_of(first));
  at += length_of(first);
  *at++ = '\0';
  if (second.at < second.end) memcpy(at, second.at, length_of(second));
  at[length_of(second)] = '\0';
}

/* Writes a report over a record's instruction.  The message is cut to the room
 * there is, data that does not fit beside it is left out.  Both may lie in the
 * memory: they are copied before anything moves there. */
static void end_record(hbeat_memory *m, memory_record *r, hbeat_call call,
    const char *message, const char *data) {
  char lcuid[LCUID_SIZE];
  char texts[HBEAT_INSTRUCTION_MAX];
  if (!message) message = "";
  if (!data) data = "";
  span first = span_of_text(message);
  span second = span_of_text(data);

  if (!is_object(second)) second.end = second.at;
  cut_text(&first, sizeof texts);
  size_t message_size = length_of(first);
  size_t data_size = length_of(second);
  if (data_size > sizeof texts - message_size) data_size = 0;
  memcpy(texts, first.at, message_size);
  memcpy(texts + message_size, second.at, data_size);
  memcpy(lcuid, lcuid_of(r), strlen(lcuid_of(r)) + 1);

  r->state = ENDED;
  r->call = call == HBEAT_ACKNOWLEDGE ? HBEAT_ACKNOWLEDGE : HBEAT_FAILED;
  strip_record(m, r);
  make_room(m, message_size + data_size);
  r = find_record(m, lcuid);
  if (!r) return; /* never: only what was reported goes */
  size_t room = free_size(m);
  first = span_of(texts, message_size);
  second = span_of(texts + message_size, data_size);
  cut_text(&first, room);
  if (data_size > room - length_of(first)) second.end = second.at;
  write_texts(m, r, first, second);
  note_change(m);
}

/* ---- What was kept ---- */

/* A text and its NUL. */
static bool scan_text(span *in) {
  const byte *nul = memchr(in->at, '\0', length_of(*in));

  if (!nul) return false;
  in->at = nul + 1;
  return true;
}

/* Whether bytes are a record that these functions could have made, whatever
 * size it says it has. */
static bool is_record(span in) {
  if ((size_t)(in.end - in.at) <= sizeof(memory_record)) return false;
  const memory_record *r = (const void *)in.at;
  if (r->state > REPORTED || r->call > HBEAT_FAILED) return false;
  if ((r->state < ENDED) != (r->call == HBEAT_BEAT)) return false;
  in.at += sizeof *r;
  span lcuid = in;
  if (!scan_text(&in)) return false;
  lcuid.end = in.at - 1;
  if (!is_lcuid(lcuid)) return false;
  if (!scan_text(&in)) return false;
  span data = {in.at, in.end - 1}; /* its NUL is the last byte */
  if (!scan_text(&in) || in.at < in.end) return false;
  return r->state < ENDED || data.at >= data.end || is_object(data);
}

/* Whether a record is sound, and ends in the memory. */
static bool is_sound(const hbeat_memory *m, const memory_record *r) {
  span in = {(const byte *)r, m->records + sizeof m->records};
  unsigned size = read_16(r->size);

  if (size > length_of(in)) return false;
  in.end = in.at + size;
  return is_record(in);
}

/* Takes bytes that were kept by this version. */
static bool take_memory(hbeat_memory *m, const void *bytes) {
  memmove(m, bytes, sizeof *m);
  if (!is_sealed(m, MEMORY_VERSION)) return false;
  for (memory_record *r = first_record(m); r; r = next_record(m, r))
    if (!is_sound(m, r) || find_record(m, lcuid_of(r)) != r) return false;
  for (size_t at = sizeof m->records - free_size(m); at < sizeof m->records;
       at++)
    if (m->records[at] != 0) return false;
  return true;
}

#define OLD_TEXTS_SIZE 438

/* A record of versions 0.2 and 0.3, of which there were sixteen. */
typedef struct old_record {
  char lcuid[LCUID_SIZE];
  byte state;
  byte call;
  byte run_at_s[8];
  char texts[OLD_TEXTS_SIZE];
} old_record;

ASSERT(
    the_old_records_took_as_much, 16 * sizeof(old_record) == HBEAT_MEMORY_SIZE);
ASSERT(all_old_records_but_one_fit,
    15 * (sizeof(memory_record) + LCUID_SIZE + OLD_TEXTS_SIZE) +
            sizeof(memory_record) + LCUID_SIZE + 2 <=
        HBEAT_MEMORY_SIZE);

/* Takes over an old record.  False where it is none.  Sixteen that are full to
 * the last byte do not fit: of the last one the texts are left out, or where it
 * waits all, since it is sent again. */
static bool take_old_record(hbeat_memory *m, const old_record *old) {
  const char *end = old->texts + sizeof old->texts;
  const char *first_nul = memchr(old->texts, '\0', sizeof old->texts - 1);
  hbeat_instruction i = no_instruction;

  if (old->state == FREE) return true;
  if (!memchr(old->lcuid, '\0', sizeof old->lcuid)) return false;
  if (find_record(m, old->lcuid)) return false;
  if (!first_nul || end[-1] != '\0') return false;
  span first = span_of(old->texts, (size_t)(first_nul - old->texts));
  span second = span_of_text(first_nul + 1);
  size_t size = bare_size(old->lcuid) + length_of(first) + length_of(second);
  if (size > free_size(m)) {
    if (old->state == WAITING) return true;
    first.end = first.at;
    second.end = second.at;
  }
  i.lcuid = old->lcuid;
  i.run_at_s = read_64(old->run_at_s);
  memory_record *r = add_record(m, &i);
  r->state = old->state;
  r->call = old->call;
  write_texts(m, r, first, second);
  return is_sound(m, r);
}

/* Takes bytes that versions 0.2 and 0.3 have kept. */
static bool take_old_memory(hbeat_memory *m, const void *bytes) {
  const byte *at = (const byte *)bytes + offsetof(hbeat_memory, records);

  memset(m, 0, sizeof *m);
  if (!is_sealed(bytes, OLD_MEMORY_VERSION)) return false;
  memcpy(m->server_time_s, (const byte *)bytes + SEALED_AT, 8);
  for (int n = 0; n < 16; n++, at += sizeof(old_record))
    if (!take_old_record(m, (const void *)at)) return false;
  return true;
}

hbeat_error hbeat_memory_load(
    hbeat_memory *m, const void *bytes, size_t size, int64_t *clock_floor_s) {
  bool taken =
      size == sizeof *m && (take_memory(m, bytes) || take_old_memory(m, bytes));

  if (!taken) memset(m, 0, sizeof *m);
  m->next_report = 0;
  m->seal[0] = 0;
  m->changed = 0;
  for (memory_record *r = first_in(m, TAKEN); r; r = first_in(m, TAKEN))
    end_record(m, r, HBEAT_FAILED, "interrupted", NULL);
  mend_seal(m);
  int64_t server_time_s = read_64(m->server_time_s);
  if (clock_floor_s && *clock_floor_s < server_time_s)
    *clock_floor_s = server_time_s;
  return taken || size == 0 ? HBEAT_OK : HBEAT_ERR_MEMORY;
}

/* Takes over a record of another memory, if there is room; what waits gives way
 * to what ran, since it is sent again. */
static void take_over(hbeat_memory *m, memory_record *r) {
  memory_record *own = find_record(m, lcuid_of(r));
  size_t size = read_16(r->size);
  bool ran = r->state != WAITING;

  if (own && (!ran || own->state != WAITING)) return;
  if (own) remove_record(m, own);
  own = first_in(m, WAITING);
  while (ran && own && size > room_for_new(m)) {
    remove_record(m, own);
    own = first_in(m, WAITING);
  }
  if (size > room_for_new(m)) return;
  make_room(m, size);
  memcpy(end_of_records(m), r, size);
}

void hbeat_memory_merge(hbeat_memory *m, const hbeat_memory *other) {
  for (memory_record *r = first_record(other); r; r = next_record(other, r))
    take_over(m, r);
  note_change(m);
  mend_seal(m);
}

/* ---- Instructions ---- */

/* What instructions take that wait for a time behind this one. */
static size_t far_size(const hbeat_memory *m, int64_t soon_s) {
  size_t size = 0;

  for (memory_record *r = first_in(m, WAITING); r; r = next_record(m, r))
    if (r->state == WAITING && read_64(r->run_at_s) > soon_s)
      size += read_16(r->size);
  return size;
}

/* NULL, or why an instruction never can be kept or run. */
static const char *why_failed(const hbeat_instruction *i, size_t texts_size) {
  if (i->unreadable) return "it cannot be read";
  if (i->run_at && i->run_at_s == HBEAT_NONE) return "run_at cannot be read";
  if (texts_size > HBEAT_INSTRUCTION_MAX)
    return "too long to be kept: over 4000 bytes";
  return NULL;
}

/* Adds an instruction: WAITING, or ENDED if it never can be kept or run.
 * False: it does not fit now. */
APART static bool add_instruction(
    hbeat_memory *m, const hbeat_instruction *i, int64_t server_time_s) {
  int64_t soon_s = server_time_s;
  span first = span_of_text(i->name ? i->name : "");
  span second = span_of(i->parameters.text, i->parameters.size);
  const char *failed = why_failed(i, length_of(first) + length_of(second));

  if (soon_s < INT64_MAX - SOON_S) soon_s += SOON_S;
  if (failed) {
    first = span_of_text(failed);
    second.end = second.at;
  }
  size_t size = bare_size(i->lcuid) + length_of(first) + length_of(second);
  bool is_far = !failed && i->run_at_s > soon_s;
  if (is_far && far_size(m, soon_s) + size > FAR_SIZE_MAX) return false;
  if (size > room_for_new(m)) return false;
  make_room(m, size);
  memory_record *r = add_record(m, i);
  write_texts(m, r, first, second);
  if (failed) {
    r->state = ENDED;
    r->call = HBEAT_FAILED;
  }
  note_change(m);
  return true;
}

/* Learns of an instruction:
 *
 *     its record is    it came as acknowledged    as anything else
 *     none             -                          a new one, WAITING
 *     WAITING          forgotten                  -
 *     TAKEN, ENDED     -                          -
 *     REPORTED         -                          ENDED: report it again
 */
static hbeat_error learn_instruction(
    hbeat_memory *m, const hbeat_instruction *i, int64_t server_time_s) {
  bool acknowledged = i->status == ACKNOWLEDGED;

  if (!i->lcuid || !is_lcuid(span_of_text(i->lcuid))) return HBEAT_ERR_JSON;
  memory_record *r = find_record(m, i->lcuid);
  if (!r) {
    if (acknowledged || add_instruction(m, i, server_time_s)) return HBEAT_OK;
    return HBEAT_ERR_TOO_BIG;
  }
  if (r->state == WAITING && acknowledged) {
    remove_record(m, r);
    note_change(m);
  } else if (r->state == REPORTED && !acknowledged) {
    r->state = ENDED;
    note_change(m);
  }
  return HBEAT_OK;
}

/* Whether the server will never take a report that it answered so: a refusal,
 * or a 4xx for which neither another token nor another time can help. */
static bool is_final(hbeat_error e, int http_status) {
  if (e == HBEAT_ERR_REFUSED) return true;
  if (e != HBEAT_ERR_STATUS || http_status / 100 != 4) return false;
  switch (http_status) {
  case 401:
  case 403:
  case 408:
  case 425:
  case 429: return false;
  default: return true;
  }
}

/* Learns that a report was accepted, or never will be.  If the record is still
 * TAKEN, for the report was sent before the instruction runs, the report ends
 * it as well.  A report of another outcome than the record has is ignored. */
static void learn_report(
    hbeat_memory *m, const hbeat_request *request, bool accepted) {
  memory_record *r = find_record(m, request->instruction);

  if (!r || (r->state != TAKEN && r->call != request->call)) return;
  if (r->state == TAKEN)
    end_record(m, r, accepted ? request->call : HBEAT_FAILED, NULL, NULL);
  r = make_last(m, r);
  r->state = REPORTED;
  note_change(m);
}

/* Learns the server's time.  Flash wears out: the time alone is a change once a
 * day. */
static void learn_time(hbeat_memory *m, int64_t server_time_s) {
  int64_t known_s = read_64(m->server_time_s);
  uint64_t apart_s = (uint64_t)server_time_s - (uint64_t)known_s;

  if (server_time_s < known_s) apart_s = 0 - apart_s;
  if (!m->changed && apart_s < DAY_S) return;
  write_64(m->server_time_s, server_time_s);
  note_change(m);
}

hbeat_error hbeat_memory_learn(hbeat_memory *m, const hbeat_request *request,
    const hbeat_reply *reply, hbeat_error e) {
  const hbeat_instruction *i = &reply->instruction;
  bool clock_is_known = e == HBEAT_OK && reply->clock_offset_s != HBEAT_NONE;
  bool accepted = is_accepted(e, reply);
  int64_t server_time_s = read_64(m->server_time_s);
  hbeat_error result = HBEAT_OK;

  if (clock_is_known) server_time_s = reply->server_time_s;
  bool beat = request->call == HBEAT_BEAT;
  bool report = !beat && request->call != HBEAT_LOGIN;
  if (beat && e == HBEAT_OK && (i->name || i->unreadable))
    result = learn_instruction(m, i, server_time_s);
  if (report && (accepted || is_final(e, reply->http_status)))
    learn_report(m, request, accepted);
  if (clock_is_known) learn_time(m, server_time_s);
  mend_seal(m);
  return result;
}

/* Hands a record's instruction out. */
static void take_record(
    hbeat_memory *m, memory_record *r, hbeat_instruction *i) {
  const char *parameters = second_text(r);

  hbeat_json_parse(parameters, strlen(parameters), &i->parameters);
  i->name = first_text(r);
  i->lcuid = lcuid_of(r);
  i->run_at_s = read_64(r->run_at_s);
  i->created_at_s = read_64(r->created_at_s);
  r->state = TAKEN;
  note_change(m);
}

/* The seconds that have passed since a time; 0 where it is not known, or is to
 * come, as all times are where there is no clock: HBEAT_NONE is the least. */
static uint64_t age_s(int64_t time_s, int64_t now_s) {
  if (time_s == HBEAT_NONE || time_s > now_s) return 0;
  return (uint64_t)now_s - (uint64_t)time_s;
}

/* The age of an instruction that is too old to run, else 0.  One with a run_at
 * is late from then on, any other one waits from when it was made. */
static uint64_t stale_age_s(
    const memory_record *r, int64_t now_s, const hbeat_limits *limits) {
  bool timed = read_64(r->run_at_s) != HBEAT_NONE;
  int64_t limit_s = timed ? limits->max_age_s : limits->max_wait_s;
  const byte *from = timed ? r->run_at_s : r->created_at_s;
  uint64_t age = age_s(read_64(from), now_s);

  return limit_s > 0 && age > (uint64_t)limit_s ? age : 0;
}

/* Ends the instructions that are too old to run. */
static void end_stale(
    hbeat_memory *m, int64_t now_s, const hbeat_limits *limits) {
  char message[sizeof "stale:  s old" + DECIMAL_MAX];
  memory_record *r = first_record(m);

  while (r) {
    uint64_t age = r->state == WAITING ? stale_age_s(r, now_s, limits) : 0;
    if (age == 0) {
      r = next_record(m, r);
      continue;
    }
    sink s = sink_of(message, sizeof message);
    put_text(&s, "stale: ");
    put_number(&s, age);
    put_text(&s, " s old");
    end_record(m, r, HBEAT_FAILED, message, NULL);
    r = first_record(m); /* all may have moved */
  }
}

bool hbeat_memory_due(hbeat_memory *m, int64_t now_s,
    const hbeat_limits *limits, hbeat_instruction *i) {
  memory_record *due = NULL;
  int64_t next_s = HBEAT_NONE;

  *i = no_instruction;
  end_stale(m, now_s, limits);
  for (memory_record *r = first_record(m); r && !due; r = next_record(m, r)) {
    int64_t run_at_s = read_64(r->run_at_s);
    if (r->state != WAITING) continue;
    if (run_at_s <= now_s) due = r; /* or HBEAT_NONE, the least of all */
    else if (next_s == HBEAT_NONE || run_at_s < next_s) next_s = run_at_s;
  }
  if (due) take_record(m, due, i);
  else i->run_at_s = next_s;
  mend_seal(m);
  return due != NULL;
}

void hbeat_memory_end(hbeat_memory *m, const char *lcuid, hbeat_call call,
    const char *message, const char *response_data) {
  memory_record *r = find_record(m, lcuid);

  if (r) end_record(m, r, call, message, response_data);
  mend_seal(m);
}

/* The first report behind the one that was made last, or else the first of
 * all. */
bool hbeat_memory_report(hbeat_memory *m, hbeat_request *request) {
  unsigned last = m->next_report;
  unsigned place = 0;
  unsigned found_at = 0;
  memory_record *found = NULL;

  for (memory_record *r = first_record(m); r; r = next_record(m, r)) {
    place++;
    if (r->state != ENDED) continue;
    if (found && (found_at > last || place <= last)) continue;
    found = r;
    found_at = place;
  }
  if (!found) return false;
  m->next_report = (byte)found_at;
  memset(request, 0, sizeof *request);
  request->call = (hbeat_call)found->call;
  request->instruction = lcuid_of(found);
  if (*first_text(found) != '\0') request->message = first_text(found);
  if (*second_text(found) != '\0') request->response_data = second_text(found);
  return true;
}

/* ==== Schedule ========================================================== */

#define MINUTE_MS 60000
#define HOUR_MS 3600000

/* A failure may come at once.  This is added to the wait behind it, rather than
 * a bound on it: a bound would gather many devices in one instant. */
#define RETRY_LEAST_MS 1000

/* A random number below `range`, or 0 if that is 0; `random` is 32 bits. */
static uint32_t random_below(uint64_t range, uint32_t random) {
  return (uint32_t)(range * random >> 32);
}

/* As many milliseconds as fit. */
static uint32_t clamp_ms(uint64_t ms) {
  return ms < UINT32_MAX ? (uint32_t)ms : UINT32_MAX;
}

/* Whether trying again is of no use until somebody has mended something. */
static bool needs_a_person(hbeat_error e, int http_status) {
  if (e == HBEAT_ERR_ARGUMENT || e == HBEAT_ERR_CERT_NAME) return true;
  if (e == HBEAT_ERR_CERT_TRUST) return true;
  if (e != HBEAT_ERR_STATUS) return false;
  return http_status == 401 || http_status == 403 || http_status == 404 ||
      http_status == 422;
}

/* A policy with its defaults filled in. */
typedef struct schedule {
  uint64_t interval_ms;
  uint64_t splay_ms;
  uint64_t retry_max_ms;
  uint64_t rare_max_ms;
} schedule;

/* Fills in what the policy leaves at 0. */
static schedule schedule_of(const hbeat_policy *p) {
  schedule s = {MINUTE_MS, p->splay_ms, p->retry_max_ms, p->rare_max_ms};

  if (p->interval_ms != 0) s.interval_ms = p->interval_ms;
  if (s.splay_ms == 0) s.splay_ms = s.interval_ms - s.interval_ms / 10;
  if (s.retry_max_ms == 0) s.retry_max_ms = s.interval_ms * 10;
  if (s.rare_max_ms == 0) s.rare_max_ms = s.interval_ms * 60;
  if (p->rare_max_ms == 0 && s.rare_max_ms < HOUR_MS) s.rare_max_ms = HOUR_MS;
  return s;
}

/* The back-off after so many failures in a row, the last of this kind. */
static uint32_t back_off_ms(
    const schedule *s, uint32_t failures, bool rare, uint32_t random) {
  uint64_t most_ms = clamp_ms(rare ? s->rare_max_ms : s->retry_max_ms);
  uint64_t range_ms = s->interval_ms << (failures < 31 ? failures : 31);

  return random_below(range_ms < most_ms ? range_ms : most_ms, random);
}

/* What the server asks for, as far as it is obeyed. */
static uint64_t asked_ms(const schedule *s, const hbeat_reply *reply) {
  int64_t most_s = (int64_t)(s->rare_max_ms / 1000);

  if (!reply || reply->retry_after_s <= 0) return 0;
  if (reply->retry_after_s > most_s) return s->rare_max_ms;
  return (uint64_t)reply->retry_after_s * 1000;
}

uint32_t hbeat_next_ms(const hbeat_policy *policy, uint32_t *failures,
    hbeat_error e, const hbeat_reply *reply, uint32_t random) {
  schedule s = schedule_of(policy);
  bool rare = needs_a_person(e, reply ? reply->http_status : 0);

  if (e == HBEAT_AGAIN) return random_below(s.splay_ms, random);
  if (is_accepted(e, reply)) {
    *failures = 0;
    return (uint32_t)s.interval_ms - random_below(s.interval_ms / 10, random);
  }
  if (*failures < UINT32_MAX) ++*failures;
  return clamp_ms(back_off_ms(&s, *failures, rare, random) +
      asked_ms(&s, reply) + RETRY_LEAST_MS);
}

/* ==== Error names ======================================================= */

const char *hbeat_error_name(hbeat_error e) {
  static const char names[] =
      "ok\0again\0argument\0resolve\0connect\0proxy\0timeout\0tls-version\0"
      "cert-name\0cert-trust\0cert-time\0tls\0truncated\0http\0status\0"
      "refused\0json\0too-big\0memory";

  if ((unsigned)e > HBEAT_ERR_MEMORY) return "unknown";
  return nth_text(names, e);
}

#ifndef HBEAT_NO_NET
/* ==== Text ============================================================== */

/* U+FEFF in UTF-8, which some editors put in front of a file. */
#define BYTE_ORDER_MARK "\xEF\xBB\xBF"

/* The alphabet of RFC 4648 section 4. */
static const char base64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                             "abcdefghijklmnopqrstuvwxyz0123456789+/";

/* Appends a text in base64 (RFC 4648 section 4), with padding. */
static void put_base64(sink *s, const char *text) {
  while (*text != '\0') {
    char four[] = "====";
    uint32_t bits = 0;
    size_t n = 0;
    for (; n < 3 && *text != '\0'; n++)
      bits |= (uint32_t)(byte)*text++ << (16 - 8 * n);
    for (size_t i = 0; i <= n; i++)
      four[i] = base64[bits >> (18 - 6 * i) & 0x3F];
    put_text(s, four);
  }
}

/* ==== Addresses ========================================================= */

/* All are IPv6; an IPv4 one is ::ffff:192.0.2.1 (RFC 4291 section 2.5.5.2). */
static const byte v4_prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF};

static bool is_v4(const byte ip[16]) {
  return memcmp(ip, v4_prefix, sizeof v4_prefix) == 0;
}

/* False where the text is no numeric address. */
static bool read_ip(const char *text, byte ip[16]) {
  memcpy(ip, v4_prefix, sizeof v4_prefix);
  if (inet_pton(AF_INET, text, ip + sizeof v4_prefix) == 1) return true;
  return inet_pton(AF_INET6, text, ip) == 1;
}

ASSERT(addresses_are_counted_in_a_byte,
    COUNT(((hbeat_addresses *)0)->list) <= UINT8_MAX);

/* Adds an address where it is to be tried: IPv6 and IPv4 by turns, as long as
 * there are both.  The last one drops out where the list is full. */
static void add_address(hbeat_addresses *a, const byte ip[16]) {
  unsigned place = is_v4(ip); /* even places are for IPv6, odd ones for IPv4 */

  for (unsigned i = 0; i < a->count; i++)
    if (is_v4(a->list[i]) == is_v4(ip)) place += 2;
  if (place > a->count) place = a->count;
  if (place >= COUNT(a->list)) return;
  if (a->count < COUNT(a->list)) a->count++;
  for (unsigned i = a->count - 1; i > place; i--)
    memmove(a->list[i], a->list[i - 1], 16);
  memcpy(a->list[place], ip, 16);
}

/* The n-th address in the order of trying: the preferred one goes first. */
static const byte *nth_address(const hbeat_addresses *a, unsigned n) {
  unsigned preferred = 0;

  while (
      preferred < a->count && memcmp(a->list[preferred], a->preferred, 16) != 0)
    preferred++;
  if (preferred >= a->count || n > preferred) return a->list[n];
  return a->list[n == 0 ? preferred : n - 1];
}

/* Puts the n-th one first from now on. */
static void prefer_address(hbeat_addresses *a, unsigned n) {
  memcpy(a->preferred, nth_address(a, n % a->count), 16);
}

/* ==== DNS messages (RFC 1035) =========================================== */

enum {
  DNS_HEADER = 12,
  DNS_NAME = 255, /* the longest name in a message */
  DNS_QUERY_MAX = DNS_HEADER + DNS_NAME + 4,
  DNS_POINTER = 0xC0, /* the bits that make a pointer of a label's length */
  DNS_JUMPS = 127,    /* in one name, which has no more labels */
  DNS_ALIASES = 16,   /* the longest chain of CNAMEs that is followed */
  DNS_PORT = 53
};

enum { TYPE_A = 1, TYPE_CNAME = 5, TYPE_AAAA = 28, CLASS_IN = 1 };

enum { RCODE_OK = 0, RCODE_NAME_ERROR = 3 };

/* A host's name as names are compared: lower case, without its last dot, and
 * zeros behind it. */
static void plain_name(const char *host, char name[NAME_SIZE]) {
  size_t size = host_length(host);

  memset(name, 0, NAME_SIZE);
  for (size_t i = 0; i < size; i++) name[i] = (char)to_lower(host[i]);
}

/* Writes a query for a plain name; returns its size. */
static size_t dns_query(
    byte out[DNS_QUERY_MAX], unsigned id, const char *name, unsigned type) {
  static const byte flags_and_counts[] = {1, 0, 0, 1, 0, 0, 0, 0, 0, 0};
  byte *at = write_16(out, id);

  memcpy(at, flags_and_counts, sizeof flags_and_counts);
  at = out + DNS_HEADER;
  while (*name != '\0') {
    size_t size = strcspn(name, ".");
    *at++ = (byte)size;
    memcpy(at, name, size);
    at += size;
    name += size;
    if (*name == '.') name++;
  }
  *at++ = 0;
  at = write_16(at, type);
  at = write_16(at, CLASS_IN);
  return (size_t)(at - out);
}

/* Appends labels to a name as queries have it: the length of each, which is
 * below any letter, and its bytes in lower case.  Returns what ends them, the
 * root's label or a pointer; NULL where they are malformed, or make the name
 * too long. */
static const byte *dns_labels(span in, byte name[DNS_NAME], size_t *size) {
  unsigned left = 0; /* of the present label */

  for (; in.at < in.end; in.at++) {
    byte c = *in.at;
    if (left == 0) {
      if (c == 0 || c >= DNS_POINTER) return in.at;
      if (c > LABEL_MAX) return NULL;
      left = c + 1u;
    }
    if (*size >= DNS_NAME - 1) return NULL; /* the root's, too */
    name[(*size)++] = (byte)to_lower(c);
    left--;
  }
  return NULL;
}

/* Where a pointer in a name leads; NULL where it is malformed.  It must lead to
 * before the part of the name that it ends, so that no chain is endless. */
static const byte *dns_pointer(span message, const byte *at, const byte *part) {
  size_t place = read_16(at) & 0x3FFF;

  return place < (size_t)(part - message.at) ? message.at + place : NULL;
}

/* Takes a name off a message, and moves *in behind it.  It comes as queries
 * have it, with zeros behind it.  Returns its size, or 0 where it is
 * malformed. */
static size_t dns_name(span message, const byte **in, byte name[DNS_NAME]) {
  const byte *part = *in;
  size_t size = 0;

  memset(name, 0, DNS_NAME);
  for (int jumps = 0; jumps <= DNS_JUMPS; jumps++) {
    const byte *at = dns_labels((span){part, message.end}, name, &size);
    if (!at) return 0;
    if (*at == 0) { /* the root */
      if (jumps == 0) *in = at + 1;
      return size + 1;
    }
    if (message.end - at < 2) return 0;
    if (jumps == 0) *in = at + 2;
    part = dns_pointer(message, at, part);
    if (!part) return 0;
  }
  return 0;
}

/* A resource record. */
typedef struct dns_record {
  byte name[DNS_NAME];
  byte target[DNS_NAME]; /* of a CNAME */
  byte ip[16];           /* of an A, in its first four bytes, or an AAAA */
  unsigned type;         /* 0: it is of another class */
  uint32_t ttl_s;
} dns_record;

/* Moves *in past the data of a record; its first bytes are an address, if it
 * has one.  False where it is cut short. */
static bool dns_data(span message, const byte **in, size_t size, byte ip[16]) {
  for (size_t i = 0; i < size; i++) {
    if (*in >= message.end) return false;
    if (i < 16) ip[i] = **in;
    ++*in;
  }
  return true;
}

/* Takes a record off a message, and moves *in behind it.  False where it is
 * malformed. */
static bool dns_take_record(span message, const byte **in, dns_record *r) {
  if (dns_name(message, in, r->name) == 0) return false;
  const byte *at = *in;
  if (message.end - at < 10) return false;
  r->type = read_16(at + 2) == CLASS_IN ? read_16(at) : 0;
  r->ttl_s = (uint32_t)read_16(at + 4) << 16 | read_16(at + 6);
  if (r->ttl_s > INT32_MAX) r->ttl_s = 0; /* RFC 2181 section 8 */
  size_t size = read_16(at + 8);
  at += 10;
  *in = at;
  if (!dns_data(message, in, size, r->ip)) return false;
  switch (r->type) {
  case TYPE_A: return size == 4;
  case TYPE_AAAA: return size == 16;
  case TYPE_CNAME: return dns_name(message, &at, r->target) > 0 && at == *in;
  default: return true;
  }
}

/* What a message that came from a nameserver is. */
typedef enum dns_answer {
  DNS_STRAY,      /* no answer to this query */
  DNS_TRUNCATED,  /* too long for a datagram: TCP has it whole */
  DNS_USELESS,    /* malformed, or the server failed */
  DNS_NAME_ERROR, /* the name does not exist */
  DNS_GOOD        /* the addresses, if there are any, are taken */
} dns_answer;

/* What an answer's header and question say.  Against forgery it must have the
 * query's id, be a response to a query, and ask the same one question. */
static dns_answer dns_header(
    span message, const byte *query, size_t query_size) {
  const byte *header = message.at;

  if (length_of(message) < query_size) return DNS_STRAY;
  if (memcmp(header, query, 2) != 0) return DNS_STRAY;
  if ((header[2] & 0xF8) != 0x80 || read_16(header + 4) != 1) return DNS_STRAY;
  for (size_t i = DNS_HEADER; i < query_size; i++)
    if (to_lower(header[i]) != query[i]) return DNS_STRAY;
  if (header[2] & 2) return DNS_TRUNCATED;
  switch (header[3] & 15) {
  case RCODE_OK: return DNS_GOOD;
  case RCODE_NAME_ERROR: return DNS_NAME_ERROR;
  default: return DNS_USELESS;
  }
}

/* A walk over an answer's records on behalf of one name. */
typedef struct dns_walk {
  span message;
  const byte *answers; /* where the records begin */
  unsigned answer_count;
  unsigned type;          /* of the addresses that are asked for */
  byte name[DNS_NAME];    /* whose records count */
  bool is_alias;          /* the name has a CNAME ... */
  byte target[DNS_NAME];  /* ... which leads here */
  hbeat_addresses *found; /* where addresses are added */
} dns_walk;

/* Takes what a record says of the name. */
static void see_record(dns_walk *w, const dns_record *r) {
  size_t size = r->type == TYPE_A ? 4 : 16;
  byte ip[16];

  if (memcmp(r->name, w->name, sizeof w->name) != 0) return;
  if (r->type != w->type && r->type != TYPE_CNAME) return;
  if (r->ttl_s < w->found->ttl_s) w->found->ttl_s = r->ttl_s;
  if (r->type == TYPE_CNAME) {
    if (!w->is_alias) memcpy(w->target, r->target, sizeof w->target);
    w->is_alias = true; /* of two, which must not be, the first counts */
    return;
  }
  memcpy(ip, v4_prefix, sizeof v4_prefix);
  memcpy(ip + sizeof ip - size, r->ip, size);
  add_address(w->found, ip);
}

/* Walks all records once.  False where one is malformed. */
APART static bool walk_records(dns_walk *w) {
  const byte *at = w->answers;

  w->is_alias = false;
  for (unsigned i = 0; i < w->answer_count; i++) {
    dns_record r = {.type = 0};
    if (!dns_take_record(w->message, &at, &r)) return false;
    see_record(w, &r);
  }
  return true;
}

/* Takes the addresses from an answer to `query`, along the name's CNAMEs, which
 * may stand in any order.  None is taken where any record is malformed. */
static dns_answer dns_read(
    hbeat_addresses *a, span message, const byte *query, size_t query_size) {
  hbeat_addresses found = *a;
  dns_answer answer = dns_header(message, query, query_size);
  dns_walk w;

  if (answer != DNS_GOOD) return answer;
  memset(&w, 0, sizeof w);
  w.message = message;
  w.answers = message.at + query_size;
  w.answer_count = read_16(message.at + 6);
  w.type = read_16(query + query_size - 4);
  w.found = &found;
  memcpy(w.name, query + DNS_HEADER, query_size - DNS_HEADER - 4);
  for (int aliases = 0; aliases <= DNS_ALIASES; aliases++) {
    if (!walk_records(&w)) return DNS_USELESS;
    if (!w.is_alias) {
      *a = found;
      return DNS_GOOD;
    }
    memcpy(w.name, w.target, sizeof w.name);
  }
  return DNS_USELESS;
}

/* ==== The files hosts and resolv.conf =================================== */

/* What is read of a file at most: a device, or a file with a hole, may have no
 * end. */
#define TEXT_FILE_MAX (1 << 20)

/* The words of a text file, one at a time; those behind a # or ; in a line are
 * none. */
typedef struct word_reader {
  int fd;          /* -1: all of the file was read, or as much as may be */
  size_t seen;     /* bytes of the file so far */
  bool begun;      /* the first word was taken */
  byte *buffer;    /* memory for what one read brings */
  size_t size;     /* of the buffer */
  size_t at;       /* where in the buffer the next byte is */
  size_t end;      /* where in the buffer the bytes end */
  unsigned number; /* of the word in its line, from 1 on */
  unsigned length; /* of the word */
  char text[256]; /* the word; a longer one is cut, and so no name or address */
} word_reader;

/* Opens a file to read, close-on-exec from the start where the system can do
 * that.  Returns its descriptor, or -1.  A pipe that nobody writes must not
 * block. */
static int open_file(const char *path) {
#ifdef O_CLOEXEC
  return open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
#else
  int fd = open(path, O_RDONLY | O_NONBLOCK);
  if (fd >= 0) fcntl(fd, F_SETFD, FD_CLOEXEC);
  return fd;
#endif
}

/* Begins to read a file, through memory of this size. */
APART static void open_words(
    word_reader *w, const char *path, void *buffer, size_t size) {
  memset(w, 0, sizeof *w);
  w->fd = open_file(path);
  w->buffer = buffer;
  w->size = size;
}

/* Whether any text is still to come.  The file is closed at its end. */
static bool more_text(word_reader *w) {
  size_t most = TEXT_FILE_MAX - w->seen;

  if (w->at < w->end) return true;
  if (w->fd < 0) return false;
  ssize_t n = read(w->fd, w->buffer, w->size < most ? w->size : most);
  if (n > 0) {
    w->at = 0;
    w->end = (size_t)n;
    w->seen += w->end;
    return true;
  }
  close(w->fd);
  w->fd = -1;
  return false;
}

static bool ends_word(byte c) {
  return c <= ' ' || c == '#' || c == ';';
}

/* Moves past white space and comments, to the beginning of a word. */
static bool find_word(word_reader *w) {
  bool comment = false;

  for (; more_text(w); w->at++) {
    byte c = w->buffer[w->at];
    if (c == '\n') {
      w->number = 0;
      comment = false;
    }
    if (c == '#' || c == ';') comment = true;
    if (c > ' ' && !comment) return true;
  }
  return false;
}

/* Takes the bytes of the next word; false at the end of the file.  A word that
 * was not read to its end is none. */
static bool take_word(word_reader *w) {
  if (!find_word(w)) return false;
  w->length = 0;
  do {
    if (w->length < sizeof w->text - 1)
      w->text[w->length++] = (char)w->buffer[w->at];
    w->at++;
  } while (more_text(w) && !ends_word(w->buffer[w->at]));
  w->text[w->length] = '\0';
  w->number++;
  return w->at < w->end || w->seen < TEXT_FILE_MAX;
}

/* Takes the next word; false at the end of the file.  A byte order mark in
 * front of the first one is not a part of it. */
static bool next_word(word_reader *w) {
  const unsigned mark = sizeof BYTE_ORDER_MARK - 1;
  bool first = !w->begun;

  w->begun = true;
  if (!take_word(w)) return false;
  if (!first || w->length < mark) return true;
  if (memcmp(w->text, BYTE_ORDER_MARK, mark) != 0) return true;
  if (w->length == mark) { /* white space or a comment is behind it */
    w->number = 0;
    return take_word(w);
  }
  w->length -= mark;
  memmove(w->text, w->text + mark, w->length + 1);
  return true;
}

/* hosts(5): in each line an address and its names. */
static void read_hosts(word_reader *w, const char *name, hbeat_addresses *a) {
  bool has_address = false;
  byte ip[16];

  while (next_word(w)) {
    if (w->number == 1) {
      has_address = read_ip(w->text, ip);
      continue;
    }
    if (w->text[w->length - 1] == '.') w->length--;
    if (has_address && same_word(span_of(w->text, w->length), name))
      add_address(a, ip);
  }
}

/* What resolv.conf(5) says, as far as it matters to a full name. */
typedef struct resolver {
  struct {
    byte ip[16];
    uint32_t scope; /* the interface of a link-local address; 0: none */
  } servers[3];
  unsigned count;
  unsigned timeout_s; /* of one try */
  unsigned attempts;  /* of each server */
  bool over_tcp;      /* at once, not only where an answer is truncated */
} resolver;

/* A nameserver's address, which may have a scope, as fe80::1%eth0. */
static void add_nameserver(resolver *r, char *text) {
  char *scope = strchr(text, '%');
  int64_t index = 0;
  unsigned n = r->count;

  if (scope) *scope++ = '\0';
  if (n >= COUNT(r->servers) || !read_ip(text, r->servers[n].ip)) return;
  if (scope && !read_count(scope, &index)) index = if_nametoindex(scope);
  r->servers[n].scope = (uint32_t)index;
  r->count++;
}

/* Takes an option such as timeout:5, at least 1 and at most `most`. */
static void read_option(
    const char *text, const char *name, unsigned most, unsigned *value) {
  size_t size = strlen(name);
  int64_t n;

  if (strncmp(text, name, size) != 0 || !read_count(text + size, &n)) return;
  if (n < 1) n = 1;
  if (n > most) n = most;
  *value = (unsigned)n;
}

/* Takes an option of resolv.conf's. */
static void read_options(const char *text, resolver *r) {
  read_option(text, "timeout:", 30, &r->timeout_s);
  read_option(text, "attempts:", 5, &r->attempts);
  if (strcmp(text, "use-vc") == 0) r->over_tcp = true;
}

/* resolv.conf(5): the nameservers, or else this machine; and three options. */
static void read_resolv(word_reader *w, resolver *r) {
  bool is_nameserver = false;
  bool is_options = false;

  memset(r, 0, sizeof *r);
  r->timeout_s = 5;
  r->attempts = 2;
  while (next_word(w)) {
    if (w->number == 1) {
      is_nameserver = strcmp(w->text, "nameserver") == 0;
      is_options = strcmp(w->text, "options") == 0;
    }
    if (w->number == 2 && is_nameserver) add_nameserver(r, w->text);
    if (is_options) read_options(w->text, r);
  }
  if (r->count == 0) r->count = read_ip("127.0.0.1", r->servers[0].ip);
}

/* ==== Sockets =========================================================== */

static int64_t now_ms(void) {
  struct timespec t = {0, 0};

  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Whether a call that failed is to be tried again later, by its errno. */
static bool would_block(void) {
  int error = errno;

#if EAGAIN != EWOULDBLOCK
  if (error == EWOULDBLOCK) return true;
#endif
  return error == EAGAIN || error == EINTR;
}

/* Makes a socket that does not block, close-on-exec from the start where the
 * system can do that.  Returns its descriptor, or -1 with errno. */
static int new_socket(int family, int type) {
#if defined SOCK_CLOEXEC && defined SOCK_NONBLOCK
  return socket(family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
#else
  int fd = socket(family, type, 0);
  if (fd < 0) return -1;
  fcntl(fd, F_SETFD, FD_CLOEXEC);
  fcntl(fd, F_SETFL, O_NONBLOCK);
  return fd;
#endif
}

/* Connects, or begins to.  Returns what connect() returns, with errno. */
static int connect_socket(
    int fd, const byte ip[16], uint32_t scope, in_port_t port) {
  union {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
  } to;
  socklen_t size = sizeof to.v6;

  memset(&to, 0, sizeof to);
  if (is_v4(ip)) {
    size = sizeof to.v4;
    to.v4.sin_family = AF_INET;
    to.v4.sin_port = port;
    memcpy(&to.v4.sin_addr, ip + sizeof v4_prefix, 4);
  } else {
    to.v6.sin6_family = AF_INET6;
    to.v6.sin6_port = port;
    to.v6.sin6_scope_id = scope;
    memcpy(&to.v6.sin6_addr, ip, 16);
  }
  return connect(fd, &to.any, size);
}

/* Makes a socket that is connected or about to be.  Returns its descriptor, or
 * -1 with errno. */
static int open_socket(
    const byte ip[16], uint32_t scope, uint16_t port, int type) {
  int fd = new_socket(is_v4(ip) ? AF_INET : AF_INET6, type);

  if (fd < 0) return -1;
  int result = connect_socket(fd, ip, scope, htons(port));
  int error = errno;
  if (result == 0 || error == EINPROGRESS || error == EINTR) return fd;
  close(fd);
  errno = error;
  return -1;
}

/* False where the kernel says that it has nothing yet, as just after a boot.  A
 * system without getrandom() is left to what BearSSL finds. */
static bool random_bytes(byte *out, size_t size) {
  br_hmac_drbg_context rng;
  br_prng_seeder seeder = br_prng_seeder_system(NULL);

#ifdef GRND_NONBLOCK
  ssize_t n = getrandom(out, size, GRND_NONBLOCK);
  if (n == (ssize_t)size) return true;
  if (n < 0 && errno == EAGAIN) return false;
#endif
  br_hmac_drbg_init(&rng, &br_sha256_vtable, NULL, 0);
  if (!seeder || !seeder(&rng.vtable)) return false;
  br_hmac_drbg_generate(&rng, out, size);
  wipe(&rng, sizeof rng);
  return true;
}

/* ==== Trust anchors ===================================================== */

enum {
  RSA_MIN = 256, /* bytes of a modulus that BearSSL is to trust ... */
  RSA_MAX = 512  /* ... and the most that it can compute with */
};

/* Tags of DER. */
enum {
  DER_BOOLEAN = 0x01,
  DER_INTEGER = 0x02,
  DER_BIT_STRING = 0x03,
  DER_OCTET_STRING = 0x04,
  DER_OID = 0x06,
  DER_UTF8_STRING = 0x0C,
  DER_UTC_TIME = 0x17,
  DER_GENERALIZED_TIME = 0x18,
  DER_SEQUENCE = 0x30,
  DER_CONTEXT_1 = 0x81,
  DER_CONTEXT_2 = 0x82,
  DER_CONSTRUCTED_0 = 0xA0,
  DER_CONSTRUCTED_1 = 0xA1,
  DER_CONSTRUCTED_3 = 0xA3
};

/* Takes an element off DER if it has this tag; its content may replace *in. */
static bool der_take(span *in, int tag, span *content) {
  span rest = *in;

  if (length_of(rest) < 2 || *rest.at != tag) return false;
  rest.at++;
  size_t size = *rest.at++;
  if (size >= 0x80) { /* the size of a size that follows */
    size_t digits = size & 0x7F;
    if (digits < 1 || digits > 3 || digits > length_of(rest)) return false;
    size = 0;
    for (; digits > 0; digits--) size = size << 8 | *rest.at++;
  }
  if (size > length_of(rest)) return false;
  in->at = rest.at + size;
  *content = span_of(rest.at, size);
  return true;
}

/* A step through DER takes the element with a tag off the front of one span,
 * and makes its content another one, or the same. */
typedef struct der_step {
  byte from;
  byte tag;
  byte to;
  bool optional; /* the element may be missing */
} der_step;

/* Takes steps, one after the other. */
static bool der_walk(span *spans, const der_step *steps, size_t count) {
  for (; count > 0; count--, steps++) {
    bool there = der_take(&spans[steps->from], steps->tag, &spans[steps->to]);
    if (!there && !steps->optional) return false;
  }
  return true;
}

/* An object identifier by its content. */
typedef struct der_oid {
  byte size;
  byte bytes[9];
} der_oid;

static const der_oid oid_rsa = {
    9, {0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x01, 0x01}};
static const der_oid oid_ec = {7, {0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x02, 0x01}};
static const der_oid oid_basic_constraints = {3, {0x55, 0x1D, 0x13}};
static const der_oid oid_server_auth = {
    8, {0x2B, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x01}};
static const der_oid oid_any_purpose = {4, {0x55, 0x1D, 0x25, 0x00}};

static bool der_is(span content, const der_oid *oid) {
  return length_of(content) == oid->size &&
      memcmp(content.at, oid->bytes, oid->size) == 0;
}

/* An unsigned INTEGER without leading zeros. */
static bool der_unsigned(span *in, byte **number, size_t *size) {
  span content;

  if (!der_take(in, DER_INTEGER, &content)) return false;
  while (content.at < content.end && *content.at == 0) content.at++;
  *number = unconst(content.at);
  *size = length_of(content);
  return *size > 0;
}

/* RSAPublicKey, RFC 8017 appendix A.1.1, of 2,048 to 4,096 bits. */
static bool der_rsa_key(span in, br_rsa_public_key *rsa) {
  if (!der_take(&in, DER_SEQUENCE, &in)) return false;
  if (!der_unsigned(&in, &rsa->n, &rsa->nlen)) return false;
  if (!der_unsigned(&in, &rsa->e, &rsa->elen)) return false;
  if (rsa->nlen < RSA_MIN || rsa->nlen > RSA_MAX) return false;
  return rsa->nlen > RSA_MIN || rsa->n[0] >= 0x80;
}

/* A point on a curve that BearSSL knows, RFC 5480 section 2. */
static bool der_ec_key(span in, span curve, br_ec_public_key *ec) {
  static const struct {
    der_oid oid;
    byte point_size;
    int curve;
  } curves[] = {
      {{8, {0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x03, 0x01, 0x07}}, 65,
          BR_EC_secp256r1},
      {{5, {0x2B, 0x81, 0x04, 0x00, 0x22}}, 97, BR_EC_secp384r1},
      {{5, {0x2B, 0x81, 0x04, 0x00, 0x23}}, 133, BR_EC_secp521r1},
  };

  ec->q = unconst(in.at);
  ec->qlen = length_of(in);
  for (size_t i = 0; i < COUNT(curves); i++) {
    if (!der_is(curve, &curves[i].oid)) continue;
    ec->curve = curves[i].curve;
    return ec->qlen == curves[i].point_size;
  }
  return false;
}

/* SubjectPublicKeyInfo, RFC 5280 section 4.1.2.7, from its content on: a key
 * that BearSSL can use.  Its bytes stay where they are. */
APART static bool der_key(span info, br_x509_pkey *key) {
  enum { INFO, ALGORITHM, OBJECT, BITS, SPANS };
  static const der_step steps[] = {
      {INFO, DER_SEQUENCE, ALGORITHM, false},
      {ALGORITHM, DER_OID, OBJECT, false},
      {INFO, DER_BIT_STRING, BITS, false},
  };
  span s[SPANS];

  s[INFO] = info;
  if (!der_walk(s, steps, COUNT(steps))) return false;
  if (!scan_byte(&s[BITS], 0)) return false; /* unused bits */
  if (der_is(s[OBJECT], &oid_rsa)) {
    key->key_type = BR_KEYTYPE_RSA;
    return der_rsa_key(s[BITS], &key->key.rsa);
  }
  if (!der_is(s[OBJECT], &oid_ec)) return false;
  if (!der_take(&s[ALGORITHM], DER_OID, &s[OBJECT])) return false;
  key->key_type = BR_KEYTYPE_EC;
  return der_ec_key(s[BITS], s[OBJECT], &key->key.ec);
}

/* The CA flag of basicConstraints, RFC 5280 section 4.2.1.9, from that
 * extension's content on. */
static bool der_ca_flag(span extension) {
  enum { REST, FLAG, SPANS };
  static const der_step steps[] = {
      {REST, DER_BOOLEAN, FLAG, true}, /* critical */
      {REST, DER_OCTET_STRING, REST, false},
      {REST, DER_SEQUENCE, REST, false},
      {REST, DER_BOOLEAN, FLAG, false},
  };
  span s[SPANS];

  s[REST] = extension;
  if (!der_walk(s, steps, COUNT(steps))) return false;
  return s[FLAG].at < s[FLAG].end && *s[FLAG].at != 0;
}

/* Whether a certificate is a CA's, from its extensions on. */
static bool der_is_ca(span in) {
  static const der_step steps[] = {
      {0, DER_CONSTRUCTED_3, 0, false},
      {0, DER_SEQUENCE, 0, false},
  };
  span extension;
  span oid;

  if (!der_walk(&in, steps, COUNT(steps))) return false;
  while (der_take(&in, DER_SEQUENCE, &extension)) {
    if (!der_take(&extension, DER_OID, &oid)) continue;
    if (der_is(oid, &oid_basic_constraints)) return der_ca_flag(extension);
  }
  return false;
}

/* Takes a certificate off DER: the parts that make an anchor, RFC 5280 section
 * 4.1. */
static bool der_certificate(span *certificate, br_x509_trust_anchor *ta) {
  enum { WHOLE, TBS, BEFORE, OWNER, KEY, BEHIND, SPANS };
  static const der_step steps[] = {
      {WHOLE, DER_SEQUENCE, TBS, false},      /* Certificate */
      {TBS, DER_SEQUENCE, TBS, false},        /* TBSCertificate */
      {TBS, DER_CONSTRUCTED_0, BEFORE, true}, /* version */
      {TBS, DER_INTEGER, BEFORE, false},      /* serial number */
      {TBS, DER_SEQUENCE, BEFORE, false},     /* signature */
      {TBS, DER_SEQUENCE, BEFORE, false},     /* issuer */
      {TBS, DER_SEQUENCE, BEFORE, false},     /* validity */
      {TBS, DER_SEQUENCE, OWNER, false},      /* subject */
      {TBS, DER_SEQUENCE, KEY, false},        /* subjectPublicKeyInfo */
      {TBS, DER_CONTEXT_1, BEHIND, true},     /* issuerUniqueID */
      {TBS, DER_CONTEXT_2, BEHIND, true},     /* subjectUniqueID */
  };
  span s[SPANS];

  memset(ta, 0, sizeof *ta);
  s[WHOLE] = *certificate;
  bool whole = der_walk(s, steps, COUNT(steps));
  *certificate = s[WHOLE];
  if (!whole || !der_key(s[KEY], &ta->pkey)) return false;
  ta->dn.data = unconst(s[BEFORE].end); /* with the tag and the length */
  ta->dn.len = (size_t)(s[OWNER].end - s[BEFORE].end);
  if (der_is_ca(s[TBS])) ta->flags = BR_X509_TA_CA;
  return true;
}

/* Whether a purpose is that of servers, or any (RFC 5280 section 4.2.1.12). */
static bool der_is_for_servers(span oid) {
  return der_is(oid, &oid_server_auth) || der_is(oid, &oid_any_purpose);
}

/* Whom a list of purposes is for. */
typedef enum der_purposes {
  PURPOSES_UNREADABLE,
  FOR_OTHERS,
  FOR_SERVERS /* among others, or for any purpose */
} der_purposes;

static der_purposes der_read_purposes(span list) {
  der_purposes purposes = FOR_OTHERS;
  span oid;

  while (list.at < list.end) {
    if (!der_take(&list, DER_OID, &oid)) return PURPOSES_UNREADABLE;
    if (der_is_for_servers(oid)) purposes = FOR_SERVERS;
  }
  return purposes;
}

/* Whether the owner of a root lets it vouch for servers, by what OpenSSL keeps
 * behind its certificate (CertAux).  All of it may be missing:
 *
 *     SEQUENCE
 *       SEQUENCE   the purposes that it is trusted for: for these alone
 *       [0]        the purposes that it is rejected for
 *       UTF8String, OCTET STRING, [1]: a name, a key's name, others
 *
 * What cannot be read might reject it: then it must not. */
static bool der_owner_allows(span in) {
  static const der_step ignored[] = {
      {0, DER_UTF8_STRING, 1, true},
      {0, DER_OCTET_STRING, 1, true},
      {0, DER_CONSTRUCTED_1, 1, true},
  };
  span members;
  span list;

  if (length_of(in) == 0) return true;
  if (!der_take(&in, DER_SEQUENCE, &members) || length_of(in) > 0) return false;
  if (der_take(&members, DER_SEQUENCE, &list) &&
      der_read_purposes(list) != FOR_SERVERS)
    return false;
  if (der_take(&members, DER_CONSTRUCTED_0, &list) &&
      der_read_purposes(list) != FOR_OTHERS)
    return false;
  span rest[] = {members, list};
  der_walk(rest, ignored, COUNT(ignored));
  return length_of(rest[0]) == 0;
}

enum { NO_DIGIT = 0x80 };

/* The value of each byte as a digit of base64, or NO_DIGIT. */
static void base64_values(byte values[256]) {
  memset(values, NO_DIGIT, 256);
  for (byte i = 0; i < 64; i++) values[(byte)base64[i]] = i;
}

/* Decodes four digits to three bytes; false where that is not what they are. */
static inline bool read_group(
    const byte *at, const byte values[256], byte *out) {
  uint32_t a = values[at[0]];
  uint32_t b = values[at[1]];
  uint32_t c = values[at[2]];
  uint32_t d = values[at[3]];
  uint32_t bits = a << 18 | b << 12 | c << 6 | d;

  if (((a | b | c | d) & NO_DIGIT) != 0) return false;
  out[0] = (byte)(bits >> 16);
  out[1] = (byte)(bits >> 8);
  out[2] = (byte)bits;
  return true;
}

/* Decodes groups of four digits, with white space between but not in them, as
 * long as there are such.  Returns the number of bytes.  A digit at a time
 * would take three times as long. */
APART static size_t read_groups(span *in, const byte values[256], byte *out) {
  span text = *in;
  size_t size = 0;

  while (length_of(text) >= 4) {
    if (read_group(text.at, values, out + size)) {
      text.at += 4;
      size += 3;
    } else if (is_space(*text.at)) {
      text.at++;
    } else {
      break;
    }
  }
  in->at = text.at;
  return size;
}

/* Decodes base64 with white space anywhere, to less than it is long.  Returns
 * the number of bytes; 0 where the text is none. */
static size_t read_base64(span in, byte *out) {
  /* Bits behind the last whole byte, by the digits that came, modulo 4. */
  static const byte unused_bits[4] = {0, 6, 4, 2};
  byte values[256];
  uint32_t bits = 0;
  size_t size = 0;
  unsigned digits = 0; /* modulo 4 */
  unsigned padding = 0;

  base64_values(values);
  for (skip_space(&in); in.at < in.end; skip_space(&in)) {
    byte c = *in.at++;
    if (c == '=') {
      padding++;
      continue;
    }
    if (values[c] == NO_DIGIT || padding > 0) return 0;
    bits = bits << 6 | values[c];
    digits = (digits + 1) % 4;
    if (digits == 1) continue; /* six bits make no byte yet */
    out[size++] = (byte)(bits >> unused_bits[digits]);
    if (digits == 0) size += read_groups(&in, values, out + size);
  }
  return padding <= 2 && (digits + padding) % 4 == 0 ? size : 0;
}

/* The arena while a certificate is added:
 *
 *     | list: count entries | room for one more |  gap  | names and keys |
 *     ^ list                                    ^ front ^ back           ^ size
 *
 * The list grows from the front, names and keys from the end.  The certificate
 * is decoded in the gap; what is kept of it moves from there to the end. */
typedef struct arena_gap {
  byte *at;
  size_t size;
} arena_gap;

/* The gap, behind room for one entry more; of size 0 where there is none. */
static arena_gap gap_of(const hbeat_anchors *a) {
  byte *arena = a->arena;

  if (!arena) return (arena_gap){NULL, 0};
  size_t front = (size_t)((byte *)(a->list + a->count + 1) - arena);
  size_t back = a->arena_size - a->used;

  if (front >= back) return (arena_gap){arena, 0};
  return (arena_gap){arena + front, back - front};
}

/* Moves bytes from the gap to the arena's end. */
static void keep_bytes(hbeat_anchors *a, byte **data, size_t size) {
  byte *arena = a->arena;

  a->used += size;
  *data = memcpy(arena + a->arena_size - a->used, *data, size);
}

/* What stands behind the BEGIN and the END of a certificate. */
typedef enum pem_label {
  NO_CERTIFICATE,
  PLAIN_CERTIFICATE,
  OLD_CERTIFICATE,
  OWNED_CERTIFICATE, /* its owner's word may stand behind it in DER */
  PEM_LABELS
} pem_label;

/* In that order. */
static const char pem_labels[] =
    "\0CERTIFICATE-----\0X509 CERTIFICATE-----\0TRUSTED CERTIFICATE-----";

/* Adds an anchor of a certificate's text, which may be as long as the gap: it
 * decodes to less.  The certificate may fill half of the gap: then what is kept
 * of it, which is less, cannot overlap it. */
static hbeat_error add_anchor(hbeat_anchors *a, pem_label label, span text) {
  arena_gap gap = gap_of(a);
  br_x509_trust_anchor ta;
  br_x509_pkey *key = &ta.pkey;

  if (!gap.at || length_of(text) > gap.size) return HBEAT_ERR_TOO_BIG;
  size_t size = read_base64(text, gap.at);
  if (size > gap.size / 2) return HBEAT_ERR_TOO_BIG;
  span der = span_of(gap.at, size);
  bool usable = der_certificate(&der, &ta);
  if (usable && label == OWNED_CERTIFICATE) usable = der_owner_allows(der);
  if (!usable) {
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

/* Adds the certificate whose BEGIN ends at in->at, and moves to its END.  A
 * certificate without its own END is skipped and counted: its text is made
 * empty. */
static hbeat_error add_certificate(
    hbeat_anchors *a, pem_label label, span *in) {
  span text = *in;
  span end = *in;

  text.end = memchr(in->at, '-', length_of(*in));
  if (!text.end) return HBEAT_ERR_TRUNCATED;
  in->at = text.end;
  end.at = text.end;
  scan_result r = scan_word(&end, "-----END ");
  if (r == SCAN_OK) r = scan_word(&end, nth_text(pem_labels, label));
  switch (r) {
  case SCAN_OK: break;
  case SCAN_OTHER: text.end = text.at; break;
  case SCAN_SHORT: return HBEAT_ERR_TRUNCATED;
  }
  return add_anchor(a, label, text);
}

/* Moves past the BEGIN of a certificate, and a byte order mark before it, where
 * its file began.  Returns its label, or NO_CERTIFICATE. */
static pem_label scan_begin(span *in) {
  span line = *in;

  if (scan_word(&line, BYTE_ORDER_MARK) != SCAN_OK) line = *in;
  if (scan_word(&line, "-----BEGIN ") != SCAN_OK) return NO_CERTIFICATE;
  for (pem_label i = PLAIN_CERTIFICATE; i < PEM_LABELS; i++) {
    span rest = line;
    if (scan_word(&rest, nth_text(pem_labels, i)) != SCAN_OK) continue;
    *in = rest;
    return i;
  }
  return NO_CERTIFICATE;
}

/* Moves past the next BEGIN of a certificate, at the beginning of a line.
 * Returns its label, or NO_CERTIFICATE.  Lines may end in CR, LF or both. */
static pem_label find_certificate(span *in, const byte *start) {
  for (; in->at < in->end; in->at++) {
    bool at_line = in->at == start || in->at[-1] == '\n' || in->at[-1] == '\r';
    if (!at_line) continue;
    pem_label label = scan_begin(in);
    if (label != NO_CERTIFICATE) return label;
  }
  return NO_CERTIFICATE;
}

hbeat_error hbeat_anchors_pem(hbeat_anchors *a, const void *pem, size_t size) {
  span in = span_of(pem, size);
  hbeat_error e = HBEAT_OK;

  if (!a->list && a->arena) { /* it begins where its entries are aligned */
    size_t unaligned = (uintptr_t)a->arena % sizeof(void *);
    size_t padding = (sizeof(void *) - unaligned) % sizeof(void *);
    a->list = (void *)((byte *)a->arena + padding);
  }
  while (e == HBEAT_OK) {
    pem_label label = find_certificate(&in, pem);
    if (label == NO_CERTIFICATE) break;
    e = add_certificate(a, label, &in);
  }
  if (e == HBEAT_OK && a->count == 0) return HBEAT_ERR_CERT_TRUST;
  return e;
}

/* ==== Certificates ====================================================== */

/* BearSSL validates the chain.  The callbacks below stand in front of it, and
 * look into the certificates as they stream by for what BearSSL passes over: on
 * which side of its dates the clock is, whether each may be used for servers
 * (RFC 5280 section 4.2.1.12), and whether the chain is in order.  They can
 * refuse what BearSSL accepts, and accept nothing that it refuses.
 *
 * The walk enters the elements of DER that lead to what counts, and passes over
 * all others.  How many it is in says what the next one is: */
enum walk_level {
  CERTIFICATE,
  SIGNED_PART, /* TBSCertificate; what stands behind it nobody has signed */
  TBS_FIELD,   /* issuer, validity, subject and others, and [3] */
  EXTENSIONS,
  EXTENSION,
  EXTENSION_FIELD, /* extnID, critical, extnValue */
  PURPOSES,        /* in the extnValue of extendedKeyUsage */
  PURPOSE,
  WALK_LEVELS = PURPOSE
};

/* The fields of a TBSCertificate, in their order. */
enum tbs_field { VERSION, SERIAL, SIGNATURE, ISSUER, VALIDITY, SUBJECT, OTHER };

#define FNV_PRIME 16777619 /* sums of names are made as FNV-1a does it */

/* What the next byte of a certificate is. */
enum walk_state {
  IN_HEADER, /* of an element: its tag or its length */
  IN_PASSED, /* of a content that does not matter */
  IN_VALUE,  /* of a content that is looked at when it is whole */
  IN_NAME,   /* of a name, of which a sum is kept */
  WALK_OVER  /* behind what counts, or of what is malformed */
};

ASSERT(
    the_walk_holds_its_levels, COUNT(((hbeat_walk *)0)->ends) == WALK_LEVELS);
ASSERT(the_walk_keeps_two_dates,
    sizeof((hbeat_walk *)0)->kept >= 2 * sizeof "17YYYYMMDDHHMMSSZ" - 2);
ASSERT(a_context_begins_with_its_class,
    offsetof(br_x509_minimal_context, vtable) == 0);

/* The client that BearSSL's pointer belongs to. */
static hbeat_client *client_of(const br_x509_class **x509) {
  return (void *)((byte *)(void *)x509 - offsetof(hbeat_client, certs.x509));
}

/* ---- What counts ---- */

static const der_oid oid_usage = {3, {0x55, 0x1D, 0x25}};

/* UTCTime or GeneralizedTime, RFC 5280 section 4.1.2.5.  Its hundred years of
 * UTCTime begin in 1950, ours in 1970, as no certificate is that old. */
static bool take_date(span *in, int64_t *unix_s) {
  const char *pattern = "y12345Z";
  calendar t = {0};
  span date;

  if (!der_take(in, DER_UTC_TIME, &date)) {
    if (!der_take(in, DER_GENERALIZED_TIME, &date)) return false;
    pattern = "012345Z";
  }
  return scan_pattern(&date, pattern, t) && to_unix(t, unix_s);
}

static void see_validity(hbeat_client *c, span in) {
  int64_t not_before_s;
  int64_t not_after_s;

  if (!take_date(&in, &not_before_s)) return;
  if (!take_date(&in, &not_after_s)) return;
  c->certs.not_before_s = not_before_s;
  if (c->certs.count == 1) c->tls.server_not_after_s = not_after_s;
}

/* A certificate's issuer is the subject of the next one.  The sums of their
 * names serve an explanation; BearSSL has compared the names themselves. */
static void see_subject(hbeat_client *c) {
  hbeat_walk *w = &c->certs.walk;

  if (c->certs.count > 1 && w->name_sum != c->certs.issuer_sum)
    c->certs.out_of_order = true;
  c->certs.issuer_sum = w->issuer_sum;
}

/* Looks at a content that is whole. */
static void see_content(hbeat_client *c) {
  hbeat_walk *w = &c->certs.walk;
  span kept = span_of(w->kept, w->kept_size);

  if (w->level == PURPOSE) {
    if (der_is_for_servers(kept)) w->for_servers = true;
  } else if (w->level == EXTENSION_FIELD) {
    if (w->state == IN_VALUE) w->is_usage = der_is(kept, &oid_usage);
  } else { /* a TBS_FIELD: all others are entered */
    if (w->field == ISSUER) w->issuer_sum = w->name_sum;
    if (w->field == VALIDITY) see_validity(c, kept);
    if (w->field == SUBJECT) see_subject(c);
  }
}

/* ---- The walk ---- */

/* Begins at the next element. */
static void await_header(hbeat_walk *w) {
  w->state = IN_HEADER;
  w->kept_size = 0;
}

/* Ends the elements that end here. */
static void leave_levels(hbeat_client *c) {
  hbeat_walk *w = &c->certs.walk;

  while (w->level > 0 && w->at >= w->ends[w->level - 1]) {
    w->level--;
    if (w->level == EXTENSION_FIELD && !w->for_servers)
      c->certs.not_for_servers = true;
    if (w->level == SIGNED_PART) w->state = WALK_OVER;
  }
}

/* The content of an element has come to its end. */
static void end_content(hbeat_client *c) {
  hbeat_walk *w = &c->certs.walk;

  see_content(c);
  if (w->level == TBS_FIELD && w->field < OTHER) w->field++;
  await_header(w);
  leave_levels(c);
}

/* What is to be done with a field of a TBSCertificate. */
static int state_of_field(hbeat_walk *w, byte tag) {
  if (w->field == VERSION && tag != DER_CONSTRUCTED_0) w->field = SERIAL;
  switch (w->field) {
  case ISSUER:
  case SUBJECT: return IN_NAME;
  case VALIDITY: return IN_VALUE;
  default: return tag == DER_CONSTRUCTED_3 ? IN_HEADER : IN_PASSED;
  }
}

/* What the first byte of an element's content is, by where the element stands
 * and its tag: IN_HEADER if the walk enters it, WALK_OVER if it must not be
 * there. */
static int state_of_content(hbeat_walk *w, byte tag) {
  switch (w->level) {
  case TBS_FIELD: return state_of_field(w, tag);
  case EXTENSION_FIELD:
    if (tag == DER_OID) return IN_VALUE;
    return tag == DER_OCTET_STRING && w->is_usage ? IN_HEADER : IN_PASSED;
  case PURPOSE: return tag == DER_OID ? IN_VALUE : WALK_OVER;
  default: return tag == DER_SEQUENCE ? IN_HEADER : WALK_OVER;
  }
}

/* The walk cannot go on.  Whoever could read such a certificate otherwise is
 * not to be followed. */
static void break_off(hbeat_client *c) {
  c->certs.malformed = true;
  c->certs.walk.state = WALK_OVER;
}

/* The header of an element is whole. */
static void end_header(hbeat_client *c, byte tag, uint32_t size) {
  hbeat_walk *w = &c->certs.walk;
  uint32_t room = w->level > 0 ? w->ends[w->level - 1] - w->at : UINT32_MAX / 2;
  int state = state_of_content(w, tag);

  if (state == WALK_OVER || size > room) {
    break_off(c);
    return;
  }
  w->state = (uint8_t)state;
  w->kept_size = 0;
  w->name_sum = 0;
  w->content_left = size;
  if (state != IN_HEADER) {
    if (size == 0) end_content(c);
    return;
  }
  w->ends[w->level] = w->at + size;
  w->level++;
  if (w->level == EXTENSION_FIELD) w->is_usage = false;
  if (w->level == PURPOSES) w->for_servers = false;
  leave_levels(c);
}

/* Looks at what has come of a header: a tag, and a length of up to four bytes
 * behind the one that counts them. */
static void see_header(hbeat_client *c) {
  hbeat_walk *w = &c->certs.walk;
  uint32_t size = 0;

  if (w->kept_size < 2) return;
  unsigned more = w->kept[1] < 0x80 ? 0 : w->kept[1] & 0x7Fu;
  if (w->kept[1] == 0x80 || more > sizeof size) {
    break_off(c);
    return;
  }
  if (w->kept_size < 2 + more) return;
  if (more == 0) size = w->kept[1];
  for (unsigned i = 0; i < more; i++) size = size << 8 | w->kept[2 + i];
  end_header(c, w->kept[0], size);
}

/* Takes a byte.  All bytes of a header are kept, and the first 34 of a content,
 * though few contents are looked at. */
static void take_byte(hbeat_client *c, byte b) {
  hbeat_walk *w = &c->certs.walk;

  w->at++;
  if (w->kept_size < sizeof w->kept) w->kept[w->kept_size++] = b;
  if (w->state == IN_HEADER) {
    see_header(c);
    return;
  }
  if (w->state == IN_NAME) w->name_sum = (w->name_sum ^ b) * FNV_PRIME;
  w->content_left--;
  if (w->content_left == 0) end_content(c);
}

static void walk_on(hbeat_client *c, span in) {
  while (in.at < in.end && c->certs.walk.state != WALK_OVER)
    take_byte(c, *in.at++);
}

/* ---- What BearSSL calls ---- */

/* A certificate begins.  It counts unless BearSSL has come to its verdict by
 * now: behind an error, or an anchor, nothing matters any more. */
static void cert_start(const br_x509_class **x509, uint32_t size) {
  hbeat_client *c = client_of(x509);

  if (c->certs.count < UINT8_MAX) c->certs.count++;
  memset(&c->certs.walk, 0, sizeof c->certs.walk);
  if (c->certs.x509.err != 0) c->certs.walk.state = WALK_OVER;
  else c->certs.not_before_s = 0;
  if (c->certs.count == 1) c->tls.server_not_after_s = 0;
  br_x509_minimal_vtable.start_cert(x509, size);
}

static void cert_append(
    const br_x509_class **x509, const byte *in, size_t size) {
  hbeat_client *c = client_of(x509);

  walk_on(c, span_of(in, size));
  br_x509_minimal_vtable.append(x509, in, size);
}

/* The chain has ended.  BearSSL is content with a host's name in the subject's
 * common name; RFC 9525 is not. */
static unsigned chain_end(const br_x509_class **x509) {
  hbeat_client *c = client_of(x509);
  unsigned error = br_x509_minimal_vtable.end_chain(x509);

  if (error != 0) return error;
  if (c->certs.dns_name.status == 0) return BR_ERR_X509_BAD_SERVER_NAME;
  if (c->certs.malformed) return BR_ERR_X509_INVALID_VALUE;
  return c->certs.not_for_servers ? BR_ERR_WRONG_KEY_USAGE : 0;
}

/* ==== TLS =============================================================== */

#define DAYS_TO_1970 719528 /* from the year 0, where BearSSL counts from */

static const br_hash_class *const sha2[] = {
    &br_sha256_vtable, &br_sha384_vtable, &br_sha512_vtable};

ASSERT(sha2_in_a_row, br_sha256_ID + 1 == br_sha384_ID);
ASSERT(sha2_to_its_end, br_sha256_ID + 2 == br_sha512_ID);

/* How certificates are checked: SHA-2, RSA of 2,048 bits or more, ECDSA.
 * False where the header of BearSSL is not the library's: then the library has
 * laid out the context otherwise, and the anchors are not where the header has
 * them.  This comes before anything else is done with BearSSL.  A library with
 * a larger context clears what stands behind it, which is the rest of the
 * client. */
static bool certs_profile(hbeat_client *c) {
  br_x509_minimal_context *x509 = &c->certs.x509;

  br_x509_minimal_init(
      x509, &br_sha256_vtable, c->cfg.anchors, c->cfg.anchor_count);
  if (x509->trust_anchors != c->cfg.anchors) return false;
  br_x509_minimal_set_ecdsa(x509, &br_ec_all_m31, &br_ecdsa_i31_vrfy_asn1);
  br_x509_minimal_set_rsa(x509, br_rsa_pkcs1_vrfy_get_default());
  br_x509_minimal_set_minrsa(x509, RSA_MIN);
  for (size_t i = 0; i < COUNT(sha2); i++)
    br_x509_minimal_set_hash(x509, br_sha256_ID + (int)i, sha2[i]);
  c->certs.x509_class = br_x509_minimal_vtable;
  c->certs.x509_class.start_cert = cert_start;
  c->certs.x509_class.append = cert_append;
  c->certs.x509_class.end_chain = chain_end;
  x509->vtable = &c->certs.x509_class;
  c->certs.dns_name.oid = (const byte *)"\0\2"; /* of subjectAltName */
  c->certs.dns_name.buf = c->certs.name;
  c->certs.dns_name.len = sizeof c->certs.name;
  br_x509_minimal_set_name_elements(x509, &c->certs.dns_name, 1);
  return true;
}

/* How TLS is spoken: TLS 1.2, ECDHE with AEAD, no renegotiation.  All of it is
 * spelt out: br_ssl_client_init_full() accepts much more.  To find out what the
 * processor can do is slow in a virtual machine, so this runs once a client. */
static void tls_profile(hbeat_client *c) {
  /* In software ChaCha20 is three times as fast as AES, and so goes first. */
  static const uint16_t suites[] = {
      BR_TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
      BR_TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
      BR_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
      BR_TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
      BR_TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
      BR_TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
      BR_TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
      BR_TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
  };
  enum { CHACHA_SUITES = 2, SUITES = 6 };
  static const char *const protocols[] = {"http/1.1"}; /* RFC 7301 */
  bool has_aes = br_aes_x86ni_ctr_get_vtable() && br_ghash_pclmul_get();
  br_ssl_engine_context *engine = &c->tls.context.eng;

  br_ssl_client_zero(&c->tls.context);
  br_ssl_engine_set_versions(engine, BR_TLS12, BR_TLS12);
  br_ssl_engine_set_suites(
      engine, has_aes ? suites + CHACHA_SUITES : suites, SUITES);
  br_ssl_engine_add_flags(engine, BR_OPT_NO_RENEGOTIATION);
  br_ssl_engine_set_protocol_names(
      engine, (const char **)(uintptr_t)protocols, COUNT(protocols));
  br_ssl_engine_set_default_aes_gcm(engine);
  br_ssl_engine_set_default_chapol(engine);
  br_ssl_engine_set_prf_sha256(engine, &br_tls12_sha256_prf);
  br_ssl_engine_set_prf_sha384(engine, &br_tls12_sha384_prf);
  br_ssl_engine_set_ec(engine, &br_ec_all_m31);
  br_ssl_engine_set_ecdsa(engine, &br_ecdsa_i31_vrfy_asn1);
  br_ssl_engine_set_default_rsavrfy(engine);
  for (size_t i = 0; i < COUNT(sha2); i++)
    br_ssl_engine_set_hash(engine, br_sha256_ID + (int)i, sha2[i]);
  br_ssl_engine_set_x509(engine, &c->certs.x509.vtable);
  br_ssl_engine_set_buffer(
      engine, c->cfg.tls_buffer, c->cfg.tls_buffer_size - HBEAT_WIRE_SIZE, 0);
}

/* What an error of BearSSL's means to the operator. */
typedef struct tls_meaning {
  short first; /* the errors of this row: from here ... */
  short last;  /* ... to here */
  byte error;
} tls_meaning;

#define ALERT(n) (BR_ERR_RECV_FATAL_ALERT + (n))

/* The first row that an error is of counts. */
static const tls_meaning tls_meanings[] = {
    {BR_ERR_UNSUPPORTED_VERSION, BR_ERR_BAD_VERSION, HBEAT_ERR_TLS_VERSION},
    {ALERT(70), ALERT(70), HBEAT_ERR_TLS_VERSION},
    {ALERT(40), ALERT(40), HBEAT_ERR_TLS},
    {ALERT(112), ALERT(112), HBEAT_ERR_TLS},
    {ALERT(120), ALERT(120), HBEAT_ERR_TLS},
    {ALERT(0), ALERT(255), HBEAT_ERR_TLS},
    {BR_ERR_TOO_LARGE, BR_ERR_TOO_LARGE, HBEAT_ERR_TOO_BIG},
    {BR_ERR_WRONG_KEY_USAGE, BR_ERR_WRONG_KEY_USAGE, HBEAT_ERR_CERT_TRUST},
    {BR_ERR_X509_BAD_SIGNATURE, BR_ERR_X509_BAD_SIGNATURE,
        HBEAT_ERR_CERT_TRUST},
    {BR_ERR_X509_EXPIRED, BR_ERR_X509_EXPIRED, HBEAT_ERR_CERT_TIME},
    {BR_ERR_X509_DN_MISMATCH, BR_ERR_X509_DN_MISMATCH, HBEAT_ERR_CERT_TRUST},
    {BR_ERR_X509_BAD_SERVER_NAME, BR_ERR_X509_BAD_SERVER_NAME,
        HBEAT_ERR_CERT_NAME},
    {BR_ERR_X509_CRITICAL_EXTENSION, BR_ERR_X509_CRITICAL_EXTENSION,
        HBEAT_ERR_CERT_TRUST},
    {BR_ERR_X509_NOT_CA, BR_ERR_X509_FORBIDDEN_KEY_USAGE, HBEAT_ERR_CERT_TRUST},
    {BR_ERR_X509_WEAK_PUBLIC_KEY, BR_ERR_X509_WEAK_PUBLIC_KEY,
        HBEAT_ERR_CERT_TRUST},
    {BR_ERR_X509_NOT_TRUSTED, BR_ERR_X509_NOT_TRUSTED, HBEAT_ERR_CERT_TRUST},
    {BR_ERR_X509_OK, BR_ERR_X509_NOT_TRUSTED, HBEAT_ERR_CERT_TRUST},
    {0, SHRT_MAX, HBEAT_ERR_TLS},
};

/* The reasons, a text for each row. */
static const char tls_reasons[] = "it chose another version\0"
                                  "it refused the version\0"
                                  "no suite in common: TLS 1.3? FIPS?\0"
                                  "the peer does not know the name\0"
                                  "the peer does not speak HTTP/1.1\0"
                                  "the peer sent an alert\0"
                                  "a record does not fit tls_buffer\0"
                                  "it is not for servers\0"
                                  "a signature is wrong\0"
                                  "\0"
                                  "its chain is out of order\0"
                                  "\0"
                                  "a critical extension is not known\0"
                                  "its issuer is no CA to sign it\0"
                                  "a key is too short\0"
                                  "no anchor vouches for it\0"
                                  "malformed, or of a kind not accepted\0"
                                  "the protocol was broken\0";

/* What most servers that are not content with TLS as it is here want. */
static const char wants_more[] =
    "it wants a client certificate, or to renegotiate";

/* The row that an error is of.  The last one is of every error. */
static size_t meaning_of(int code) {
  size_t row = 0;

  while (code < tls_meanings[row].first || code > tls_meanings[row].last) row++;
  return row;
}

/* NULL where the error itself says all. */
static const char *tls_reason(int code) {
  const char *reason = nth_text(tls_reasons, meaning_of(code));

  return *reason != '\0' ? reason : NULL;
}

/* ==== The client: state ================================================= */

#define TIMEOUT_MS 30000
#define LONGEST_TIMEOUT_MS (DAY_S * 1000)
#define PROXY_PORT 80
#define OTHER_FAMILY_MS 200 /* what the second answer of two may take longer */
#define LATE_LOOK_MS 250    /* from one look at older tries to the next ... */
#define DATAGRAMS_MAX 8     /* ... and what one look reads for each of them */
#define IDLE_MAX_MS 120000  /* the longest that an idle connection is trusted */
#define ACK_MIN_MS 5000     /* what acknowledgements of bytes may take */
#define SYN_AGAIN_MS 1000   /* until a lost SYN is sent again, RFC 6298 */

ASSERT(a_wait_fits_poll, LONGEST_TIMEOUT_MS <= INT_MAX);
ASSERT(addresses_are_bits_of_a_byte, COUNT(((hbeat_addresses *)0)->list) <= 8);

typedef enum client_state {
  UNFIT,          /* hbeat_init() has not succeeded */
  IDLE,           /* no exchange; a connection may be kept */
  LOOK,           /* about to see whether the kept connection is still good */
  LOOKUP,         /* about to find the addresses */
  LOOKUP_UDP,     /* a nameserver was asked */
  LOOKUP_TCP_OUT, /* a nameserver is to be asked over TCP: connects, sends */
  LOOKUP_TCP_IN,  /* a nameserver was asked over TCP */
  LOOKUP_LATE,    /* all nameservers were asked, and had their time */
  OPEN,           /* about to connect to the next address */
  CONNECTING,     /* connects; sends CONNECT, if there is a proxy */
  TUNNEL,         /* the proxy was asked for a tunnel */
  HANDSHAKE_OUT,  /* in the TLS handshake, with something to send */
  HANDSHAKE_IN,   /* in the TLS handshake, waiting for the server */
  SENDING,        /* the request is not all out */
  RECEIVING,      /* the request is out, the reply is not all there */
  LAST_WORDS      /* a write failed; reads what had come before that */
} client_state;

/* What a state is a part of. */
typedef enum phase {
  AT_REST,
  FINDING_ADDRESSES,
  GETTING_CONNECTED,
  SPEAKING_TLS
} phase;

/* What takes so long where the time is up. */
typedef enum activity {
  LOOKING_UP,
  CONNECTS,
  WAITS_FOR_PROXY,
  SHAKES_HANDS,
  SENDS,
  WAITS_FOR_REPLY
} activity;

/* In that order. */
static const char activities[] =
    "while looking up the name\0while connecting\0waiting for the proxy\0"
    "in the TLS handshake\0while sending\0waiting for the reply";

/* What is true of each state: what it is a part of; what it does; and what
 * poll(2) waits for, 0 where the next step need not wait. */
static const struct {
  byte phase;
  byte activity;
  short events;
} states[] = {
    [UNFIT] = {AT_REST, SENDS, 0},
    [IDLE] = {AT_REST, SENDS, 0},
    [LOOK] = {GETTING_CONNECTED, SENDS, 0},
    [LOOKUP] = {FINDING_ADDRESSES, LOOKING_UP, 0},
    [LOOKUP_UDP] = {FINDING_ADDRESSES, LOOKING_UP, POLLIN},
    [LOOKUP_TCP_OUT] = {FINDING_ADDRESSES, LOOKING_UP, POLLOUT},
    [LOOKUP_TCP_IN] = {FINDING_ADDRESSES, LOOKING_UP, POLLIN},
    [LOOKUP_LATE] = {FINDING_ADDRESSES, LOOKING_UP, POLLIN},
    [OPEN] = {GETTING_CONNECTED, CONNECTS, 0},
    [CONNECTING] = {GETTING_CONNECTED, CONNECTS, POLLOUT},
    [TUNNEL] = {GETTING_CONNECTED, WAITS_FOR_PROXY, POLLIN},
    [HANDSHAKE_OUT] = {SPEAKING_TLS, SHAKES_HANDS, POLLOUT},
    [HANDSHAKE_IN] = {SPEAKING_TLS, SHAKES_HANDS, POLLIN},
    [SENDING] = {SPEAKING_TLS, SENDS, POLLOUT},
    [RECEIVING] = {SPEAKING_TLS, WAITS_FOR_REPLY, POLLIN},
    [LAST_WORDS] = {SPEAKING_TLS, SENDS, 0},
};

static const char *doing(const hbeat_client *c) {
  return nth_text(activities, states[c->state].activity);
}

/* The only place where the state changes. */
static void enter(hbeat_client *c, client_state next) {
  c->state = (uint8_t)next;
}

static bool is_in(const hbeat_client *c, phase p) {
  return states[c->state].phase == p;
}

static bool is_under_way(const hbeat_client *c) {
  return c->outcome.error == HBEAT_AGAIN;
}

/* Asked while TLS is spoken: the request has a connection only once the
 * handshake is done. */
static bool is_in_handshake(const hbeat_client *c) {
  return c->connection == HBEAT_CONNECTION_NONE;
}

/* Sets how the exchange stands: HBEAT_AGAIN while it goes on, else how it
 * ended, with a reason in a phrase (or NULL) and a code of errno's, BearSSL's
 * or HTTP's (or 0). */
APART static void set_outcome(
    hbeat_client *c, hbeat_error error, const char *reason, int code) {
  c->outcome.error = (uint8_t)error;
  c->outcome.reason = reason;
  c->outcome.code = code;
}

/* A client that hbeat_init() has not seen, or hbeat_close() has, says so.  One
 * that hbeat_init() has refused knows why. */
static void note_unfit(hbeat_client *c) {
  if (c->state == UNFIT && !c->outcome.reason)
    set_outcome(c, HBEAT_ERR_ARGUMENT, "client: no hbeat_init()", 0);
}

/* Draws random bytes.  False, and the exchange has failed, where the kernel has
 * none. */
static bool draw_random(hbeat_client *c, byte *out, size_t size) {
  if (random_bytes(out, size)) return true;
  set_outcome(c, HBEAT_ERR_TLS, "the kernel has no randomness yet", 0);
  return false;
}

/* The try at a nameserver that is waited for. */
static hbeat_try *newest_try(hbeat_client *c) {
  return &c->lookup.tries[c->lookup.try_count - 1];
}

/* Closes the n-th of the open tries: what its nameserver still says is not
 * heard. */
static void close_try(hbeat_client *c, unsigned n) {
  hbeat_try *t = &c->lookup.tries[n];

  close(t->fd);
  c->lookup.try_count--;
  memmove(t, t + 1, (c->lookup.try_count - n) * sizeof *t);
}

static void close_tries(hbeat_client *c) {
  while (c->lookup.try_count > 0) close_try(c, 0);
}

/* Ends the lookup, or the connection, with a close_notify where that needs no
 * waiting, since all that goes before it is out. */
static void close_connection(hbeat_client *c) {
  br_ssl_engine_context *engine = &c->tls.context.eng;
  bool speaks =
      c->state == IDLE || c->state == HANDSHAKE_IN || c->state == RECEIVING;

  close_tries(c);
  if (c->link.fd < 0) return;
  if (speaks && c->link.out_next >= c->link.out_end) {
    size_t size;
    br_ssl_engine_close(engine);
    byte *alert = br_ssl_engine_sendrec_buf(engine, &size);
    if (alert) (void)!send(c->link.fd, alert, size, MSG_NOSIGNAL);
  }
  close(c->link.fd);
  c->link.fd = -1;
}

/* Gives up an exchange that is under way, and the connection: what has come of
 * a body may hold a token. */
static void abandon(hbeat_client *c) {
  if (is_under_way(c)) wipe(c->cfg.reply_buffer, c->x.in.body_size);
  close_connection(c);
}

/* Nothing is gathered, and nothing waits to be looked at. */
static void clear_link(hbeat_client *c) {
  c->link.out_next = 0;
  c->link.out_end = 0;
  c->link.in_next = 0;
  c->link.in_end = 0;
}

/* ---- Of several addresses, which one and for how long ---- */

/* The addresses in the order of trying are bits 0, 1, ...: those of this round
 * that have not been tried, the present one included. */
static unsigned addresses_to_try(const hbeat_client *c) {
  return ((1u << c->lookup.addresses.count) - 1) & ~(unsigned)c->lookup.tried;
}

/* Whether another address than the present one may still give a connection, in
 * this round or the next. */
static bool has_others(const hbeat_client *c) {
  unsigned bits = addresses_to_try(c) | c->lookup.slow;

  return (bits & ~(1u << c->lookup.address)) != 0;
}

/* Gives the present attempt so many milliseconds, or what is left. */
static void limit_attempt(hbeat_client *c, int64_t ms) {
  c->attempt_ms = now_ms() + ms;
  if (c->attempt_ms > c->deadline_ms) c->attempt_ms = c->deadline_ms;
}

/* A second to connect, in each round twice as long as in the one before: so a
 * dead address costs little, and a slow one is reached all the same.  A sole
 * address has all the time that is left. */
static void limit_connect(hbeat_client *c) {
  c->attempt_ms = c->deadline_ms;
  if (has_others(c)) limit_attempt(c, INT64_C(1000) << c->lookup.round);
}

/* Once connected, a server has half of the time that is left to say its first
 * word, or all of it if there is no other. */
static void limit_first_word(hbeat_client *c) {
  c->attempt_ms = c->deadline_ms;
  if (has_others(c)) limit_attempt(c, (c->deadline_ms - now_ms()) / 2);
}

/* This address gave no server to speak to: on to the next one.  Those that were
 * too slow to connect to come again in the next round.  Where there is none the
 * exchange has failed, and the next exchange looks the name up anew. */
static void fail_over(
    hbeat_client *c, hbeat_error error, const char *reason, int code) {
  uint8_t bit = (uint8_t)(1u << c->lookup.address);

  if (error == HBEAT_ERR_TIMEOUT && c->state == CONNECTING)
    c->lookup.slow |= bit;
  c->lookup.tried |= bit;
  close_connection(c);
  c->attempt_ms = c->deadline_ms;
  enter(c, OPEN);
  if (addresses_to_try(c) != 0) return;
  if (c->lookup.slow == 0) {
    c->lookup.addresses.expires_ms = 0;
    set_outcome(c, error, reason, code);
    return;
  }
  c->lookup.tried = (uint8_t)~c->lookup.slow;
  c->lookup.slow = 0;
  c->lookup.round++; /* to 15 at most: all of them take a day at most */
}

/* ---- Connections that are kept ---- */

/* Networks forget idle connections without a word: routers, firewalls and load
 * balancers drop what they do not know, and nobody answers.  So a kept one that
 * stays silent is not waited for to the end; and how long it had been idle is
 * learnt. */

/* Whether any byte of the reply has come, or of a proxy's before it: the first
 * one is a line's. */
static bool reply_has_begun(const hbeat_exchange *x) {
  return x->in.head_left < HBEAT_HEAD_MAX;
}

/* The longest that a connection may have been idle to be used again: half of
 * what has killed one in the last day. */
static int64_t longest_idle_ms(const hbeat_client *c, int64_t now) {
  bool learnt = c->idle.longest_ms > 0 &&
      now - c->idle.learnt_at_ms < INT64_C(1000) * DAY_S;

  return learnt ? c->idle.longest_ms : IDLE_MAX_MS;
}

/* Has the kernel end a connection whose bytes nobody acknowledges for 5 s or a
 * quarter of the timeout, but half of it at most (RFC 5482).  A proxy
 * acknowledges them whatever has become of the way behind it. */
static void time_acknowledgements(hbeat_client *c) {
#ifdef TCP_USER_TIMEOUT
  unsigned half_ms = c->cfg.timeout_ms / 2;
  unsigned ms = c->cfg.timeout_ms / 4;

  if (c->idle.acks_are_timed || c->cfg.proxy) return;
  if (ms < ACK_MIN_MS) ms = ACK_MIN_MS;
  if (ms > half_ms) ms = half_ms;
  c->idle.acks_are_timed = setsockopt(c->link.fd, IPPROTO_TCP, TCP_USER_TIMEOUT,
                               &ms, sizeof ms) == 0;
#else
  (void)c;
#endif
}

/* Where nobody watches the acknowledgements, a kept connection that has said
 * nothing for a third of the timeout since the last write counts as dead.  A
 * log-in waits: it must not be sent twice. */
static void limit_silence(hbeat_client *c) {
  bool kept = c->connection == HBEAT_CONNECTION_KEPT;
  bool login = c->x.request->call == HBEAT_LOGIN;

  if (!kept || login || c->idle.acks_are_timed) return;
  if (!reply_has_begun(&c->x)) limit_attempt(c, c->cfg.timeout_ms / 3);
}

/* The kept connection is dead.  It died before this request's reply began, so
 * the request goes out again, on a new one. */
static void reconnect(hbeat_client *c) {
  close_connection(c);
  rewind_request(&c->x);
  await_reply(&c->x);
  c->connection = HBEAT_CONNECTION_NONE;
  c->attempt_ms = c->deadline_ms;
  enter(c, LOOKUP);
}

/* The connection is gone:
 *
 *     it was            and                           then
 *     kept              the reply had not begun       reconnect, this once
 *     in its handshake  the server had said nothing   fail over
 *     in its handshake  it had                        TLS has failed
 *     any               otherwise                     the reply is truncated
 *
 * The code ETIMEDOUT says that it died in silence.  A log-in is not sent again
 * then: the server may have it. */
static void connection_lost(hbeat_client *c, const char *reason, int code) {
  bool kept = c->connection == HBEAT_CONNECTION_KEPT;
  bool silent = code == ETIMEDOUT;
  bool may_have_it = silent && c->x.request->call == HBEAT_LOGIN;
  bool by_peer = code == 0 || code == ECONNRESET || code == EPIPE;
  hbeat_error e = HBEAT_ERR_TRUNCATED;

  if (kept && !may_have_it && !reply_has_begun(&c->x)) {
    c->idle.killed = silent;
    reconnect(c);
    return;
  }
  if (c->tls.hello_was_requested) reason = wants_more;
  if (is_in_handshake(c) && by_peer) {
    e = HBEAT_ERR_TLS;
    reason = "the connection ended in the TLS handshake";
    code = 0;
  }
  if (is_in_handshake(c) && c->tls.handshake_size == 0)
    fail_over(c, e, reason, code);
  else set_outcome(c, e, reason, code);
}

/* Before TLS its buffer is scratch: what waits in it goes out once the socket
 * is connected.  0: all is out; EAGAIN: not yet; else an errno: it never will
 * be. */
static int send_scratch(hbeat_client *c, int fd) {
  struct pollfd p = {fd, POLLOUT, 0};
  const byte *out = c->cfg.tls_buffer;
  int error = 0;
  socklen_t error_size = sizeof error;

  if (poll(&p, 1, 0) <= 0) return EAGAIN;
  if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &error_size) != 0)
    return errno;
  if (error != 0) return error;
  if (c->link.out_next >= c->link.out_end) return 0;
  ssize_t n = send(fd, out + c->link.out_next,
      c->link.out_end - c->link.out_next, MSG_NOSIGNAL);
  if (n < 0) return would_block() ? EAGAIN : errno;
  c->link.out_next += (uint32_t)n;
  return c->link.out_next < c->link.out_end ? EAGAIN : 0;
}

/* ==== The client: lookup ================================================ */

enum { WANT_AAAA = 1, WANT_A = 2, WANT_BOTH = 3 }; /* families, as bits */

ASSERT(two_queries_fit_the_scratch,
    2 * (2 + DNS_QUERY_MAX) <= HBEAT_TLS_BUFFER_SMALL);

/* What is connected to: a name, or a numeric address. */
static const char *target(const hbeat_client *c) {
  if (c->cfg.proxy) return c->cfg.proxy;
  return c->cfg.address ? c->cfg.address : c->cfg.host;
}

/* Whether the newest try is over TCP. */
static bool is_over_tcp(const hbeat_client *c) {
  return c->state == LOOKUP_TCP_OUT || c->state == LOOKUP_TCP_IN;
}

/* Whether a try can still tell anything that is wanted. */
static bool is_awaited(const hbeat_client *c, const hbeat_try *t) {
  return (t->families_unanswered & c->lookup.families_wanted) != 0;
}

/* Writes a try's query for a family; returns its size. */
static size_t make_query(const hbeat_client *c, const hbeat_try *t,
    unsigned family, byte out[DNS_QUERY_MAX]) {
  bool v4 = family == WANT_A;
  char name[NAME_SIZE];

  plain_name(target(c), name);
  return dns_query(out, t->ids[v4], name, v4 ? TYPE_A : TYPE_AAAA);
}

/* Sends a query for each family that a try asks for, or over TCP leaves it in
 * the scratch, behind its size.  False where that fails. */
static bool send_queries(hbeat_client *c, const hbeat_try *t, bool tcp) {
  byte *start = c->cfg.tls_buffer;
  byte *at = start;

  for (unsigned family = WANT_AAAA; family <= WANT_A; family++) {
    if (!(t->families_unanswered & family)) continue;
    size_t size = make_query(c, t, family, at + 2);
    if (tcp) at = write_16(at, (unsigned)size) + size;
    else if (send(t->fd, at + 2, size, MSG_NOSIGNAL) < 0) return false;
  }
  c->link.out_end = (uint32_t)(at - start);
  return true;
}

/* How long a try is waited for before the next: its share of the time that is
 * left, and not long where there is an address already. */
static int64_t try_share_ms(const hbeat_client *c, const resolver *r) {
  unsigned tries = r->count * r->attempts;
  unsigned tries_left = 0;

  if (tries > c->lookup.tries_made) tries_left = tries - c->lookup.tries_made;
  int64_t ms = (c->deadline_ms - now_ms()) / (tries_left + 2);
  if (ms > r->timeout_s * 1000) ms = r->timeout_s * 1000;
  if (c->lookup.addresses.count > 0 && ms > OTHER_FAMILY_MS)
    ms = OTHER_FAMILY_MS;
  return ms;
}

/* Asks a nameserver for what is still wanted, from a socket and with ids that
 * nobody can guess.  The oldest try is closed where there are too many.  False
 * where it cannot be asked. */
static bool ask_server(
    hbeat_client *c, const resolver *r, unsigned server, bool tcp) {
  int type = tcp ? SOCK_STREAM : SOCK_DGRAM;
  hbeat_try t;

  t.server = (uint8_t)server;
  t.families_unanswered = c->lookup.families_wanted;
  if (!draw_random(c, (byte *)t.ids, sizeof t.ids)) return false;
  t.fd = open_socket(
      r->servers[server].ip, r->servers[server].scope, DNS_PORT, type);
  if (t.fd < 0) return false;
  if (!send_queries(c, &t, tcp)) {
    close(t.fd);
    return false;
  }
  if (c->lookup.try_count == COUNT(c->lookup.tries)) close_try(c, 0);
  c->lookup.tries[c->lookup.try_count++] = t;
  c->attempt_ms = now_ms() + try_share_ms(c, r);
  enter(c, tcp ? LOOKUP_TCP_OUT : LOOKUP_UDP);
  return true;
}

/* Reads resolv.conf, through the scratch. */
static void find_servers(hbeat_client *c, resolver *r) {
  word_reader w;

  open_words(&w, c->cfg.resolv_path, c->cfg.tls_buffer, c->cfg.tls_buffer_size);
  read_resolv(&w, r);
  clear_link(c);
}

/* Asks for a truncated answer again, over TCP.  False where that cannot be. */
static bool ask_for_the_whole(hbeat_client *c) {
  unsigned server = c->lookup.truncated_by;
  resolver r;

  c->lookup.truncated = false;
  find_servers(c, &r);
  return server < r.count && ask_server(c, &r, server, true);
}

/* The lookup is over.  Addresses are kept as long as the nameserver said. */
static void end_lookup(hbeat_client *c) {
  hbeat_addresses *a = &c->lookup.addresses;
  const char *reason = "the name has no address";

  close_tries(c);
  enter(c, OPEN);
  if (a->count > 0) {
    a->expires_ms = now_ms() + (int64_t)a->ttl_s * 1000;
    return;
  }
  if (c->lookup.families_wanted != 0) reason = "no nameserver gives an answer";
  if (c->lookup.no_such_name) reason = "the name does not exist";
  set_outcome(c, HBEAT_ERR_RESOLVE, reason, 0);
}

/* Asks the next nameserver that can be asked; each comes in turn, and again.
 * Behind the last one, answers are awaited for as long as there is time, where
 * any can come. */
static void ask_next(hbeat_client *c) {
  resolver r;
  bool asked = false;

  find_servers(c, &r);
  while (!asked && is_under_way(c) &&
      c->lookup.tries_made < r.count * r.attempts) {
    unsigned server = c->lookup.tries_made % r.count;
    c->lookup.tries_made++;
    asked = ask_server(c, &r, server, r.over_tcp);
  }
  if (asked || !is_under_way(c)) return;
  if (c->lookup.try_count > 0) enter(c, LOOKUP_LATE);
  else end_lookup(c);
}

/* The newest try is over.  What was truncated is asked for again; what was not
 * told is asked of the next nameserver, unless there is an address. */
static void end_try(hbeat_client *c) {
  bool wanted = c->lookup.families_wanted != 0;

  c->attempt_ms = c->deadline_ms;
  if (wanted && c->lookup.truncated && ask_for_the_whole(c)) return;
  if (wanted && c->lookup.addresses.count == 0) ask_next(c);
  else end_lookup(c);
}

/* The newest try has had its time.  Over UDP its answer may still come. */
static void leave_try(hbeat_client *c) {
  if (is_over_tcp(c)) close_try(c, c->lookup.try_count - 1u);
  end_try(c);
}

/* Finds addresses: known ones, a numeric one, those of the hosts file, or by
 * asking. */
static void look_up(hbeat_client *c) {
  hbeat_addresses *a = &c->lookup.addresses;
  word_reader w;
  char name[NAME_SIZE];
  byte ip[16];

  c->lookup.tried = 0;
  c->lookup.slow = 0;
  c->lookup.round = 0;
  c->lookup.tries_made = 0;
  c->lookup.families_wanted = WANT_BOTH;
  c->lookup.truncated = false;
  c->lookup.no_such_name = false;
  enter(c, OPEN);
  if (a->count > 0 && now_ms() < a->expires_ms) return;
  a->count = 0;
  a->ttl_s = DAY_S;
  a->expires_ms = 0;
  if (read_ip(target(c), ip)) {
    add_address(a, ip);
    return;
  }
  plain_name(target(c), name);
  open_words(&w, c->cfg.hosts_path, c->cfg.tls_buffer, c->cfg.tls_buffer_size);
  read_hosts(&w, name, a);
  if (a->count == 0) ask_next(c);
}

/* Notes what an answer to a try changes. */
static void learn_answer(
    hbeat_client *c, hbeat_try *t, unsigned family, dns_answer answer) {
  bool settled = answer == DNS_GOOD || answer == DNS_NAME_ERROR;

  t->families_unanswered &= (uint8_t)~family;
  if (settled) c->lookup.families_wanted &= (uint8_t)~family;
  if (answer == DNS_NAME_ERROR) c->lookup.no_such_name = true;
}

/* Takes a nameserver's message, if it answers a query of this try's. */
static dns_answer take_answer(hbeat_client *c, hbeat_try *t, span message) {
  byte query[DNS_QUERY_MAX];
  dns_answer answer = DNS_STRAY;
  unsigned family = 0;

  while (answer == DNS_STRAY && family < WANT_A) {
    family++;
    if (!(t->families_unanswered & c->lookup.families_wanted & family))
      continue;
    size_t size = make_query(c, t, family, query);
    answer = dns_read(&c->lookup.addresses, message, query, size);
  }
  if (answer != DNS_STRAY) learn_answer(c, t, family, answer);
  return answer;
}

/* Reads a datagram for a try, and returns whether there was one.  A try whose
 * socket fails is not answered. */
static bool read_datagram(hbeat_client *c, hbeat_try *t) {
  size_t used = c->link.out_end + c->link.in_end; /* by TCP, in one direction */
  byte *in = (byte *)c->cfg.tls_buffer + used;
  ssize_t n = recv(t->fd, in, c->cfg.tls_buffer_size - used, 0);

  if (n < 0) {
    if (!would_block()) t->families_unanswered = 0;
    return false;
  }
  if (take_answer(c, t, span_of(in, (size_t)n)) == DNS_TRUNCATED) {
    c->lookup.truncated = true;
    c->lookup.truncated_by = t->server;
  }
  return true;
}

/* Reads what came for a try over UDP: all, unless that is a flood. */
static void read_datagrams(hbeat_client *c, hbeat_try *t) {
  bool more = true;

  for (int i = 0; i < DATAGRAMS_MAX && more && is_awaited(c, t); i++)
    more = read_datagram(c, t);
}

/* Sends the queries of a try over TCP, once the nameserver is connected. */
static void send_over_tcp(hbeat_client *c, hbeat_try *t) {
  int error = send_scratch(c, t->fd);

  if (error == EAGAIN) return;
  if (error != 0) {
    t->families_unanswered = 0;
    return;
  }
  clear_link(c);
  enter(c, LOOKUP_TCP_IN);
}

/* Takes the messages that are whole off the scratch: each stands behind its
 * size. */
static void take_tcp_answers(hbeat_client *c, hbeat_try *t) {
  byte *in = c->cfg.tls_buffer;

  while (c->link.in_end >= 2) {
    uint32_t whole = 2 + read_16(in);
    if (c->link.in_end < whole) return;
    take_answer(c, t, span_of(in + 2, whole - 2));
    c->link.in_end -= whole;
    memmove(in, in + whole, c->link.in_end);
  }
}

/* Reads what a nameserver says over TCP.  One that ends the connection, or says
 * more than the scratch holds, says nothing more. */
static void read_over_tcp(hbeat_client *c, hbeat_try *t) {
  byte *in = c->cfg.tls_buffer;
  size_t room = c->cfg.tls_buffer_size - c->link.in_end;
  ssize_t n = recv(t->fd, in + c->link.in_end, room, 0);

  if (n < 0 && would_block()) return;
  if (n > 0) {
    c->link.in_end += (uint32_t)n;
    take_tcp_answers(c, t);
  }
  if (n <= 0 || c->link.in_end >= c->cfg.tls_buffer_size)
    t->families_unanswered = 0;
}

/* Closes the tries that can tell nothing more, and returns whether the newest
 * one is among them. */
static bool close_answered(hbeat_client *c) {
  bool newest_too = !is_awaited(c, newest_try(c));

  for (unsigned n = c->lookup.try_count; n > 0; n--)
    if (!is_awaited(c, &c->lookup.tries[n - 1])) close_try(c, n - 1);
  return newest_too;
}

/* Goes on as the answers so far allow.  Once there is an address, or a reason
 * to ask again over TCP, what is still awaited is not for much longer. */
static void weigh_answers(hbeat_client *c) {
  int64_t now = now_ms();
  int64_t soon_ms = now + OTHER_FAMILY_MS;
  bool again = c->lookup.truncated && !is_over_tcp(c);
  bool enough = c->lookup.addresses.count > 0 || again;

  if (close_answered(c)) end_try(c);
  else if (now >= c->attempt_ms) leave_try(c);
  else if (enough && c->attempt_ms > soon_ms) c->attempt_ms = soon_ms;
}

/* Goes on with the tries that are open: sends over TCP, and reads what came,
 * for the oldest first. */
static void work_on_tries(hbeat_client *c) {
  hbeat_try *newest = newest_try(c);

  for (hbeat_try *t = c->lookup.tries; t < newest; t++) read_datagrams(c, t);
  if (c->state == LOOKUP_TCP_OUT) send_over_tcp(c, newest);
  else if (c->state == LOOKUP_TCP_IN) read_over_tcp(c, newest);
  else read_datagrams(c, newest);
  weigh_answers(c);
}

/* ==== The client: TLS =================================================== */

#define LAST_S INT64_C(253402300799) /* 9999-12-31T23:59:59Z */

/* Small records go out together, up to so many bytes: ClientKeyExchange,
 * ChangeCipherSpec and Finished, and a request's first record behind them. */
#define GATHER_MAX 208

ASSERT(the_wire_holds_what_is_gathered, GATHER_MAX <= HBEAT_WIRE_SIZE);
ASSERT(the_small_buffer_holds_a_record,
    HBEAT_TLS_BUFFER_SMALL - HBEAT_WIRE_SIZE >= 4096 + 325);

enum { RECORD_ALERT = 21, RECORD_HANDSHAKE = 22 }; /* RFC 5246 6.2.1 */

enum { SYSTEM_CLOCK, CLOCK_FLOOR, SERVER_CLOCK };

/* The time that certificates are held against: the latest of the system's
 * clock, the floor, and the server's clock; up to the year 9999. */
static int64_t certificate_time(hbeat_client *c) {
  int64_t system_s = time(NULL);
  int64_t server_s = c->server_lead_s;
  int64_t latest_s = system_s > 0 ? system_s : 0;

  c->certs.clock = SYSTEM_CLOCK;
  if (c->cfg.clock_floor_s > latest_s) {
    latest_s = c->cfg.clock_floor_s;
    c->certs.clock = CLOCK_FLOOR;
  }
  if (server_s != HBEAT_NONE) server_s += now_ms() / 1000;
  if (server_s > latest_s) {
    latest_s = server_s;
    c->certs.clock = SERVER_CLOCK;
  }
  return latest_s < LAST_S ? latest_s : LAST_S;
}

/* How far a right clock may step back: by a second where two clocks are rounded
 * in different ways, by more where NTP steps it. */
#define CLOCK_STEP_S 60

/* Whether a session may be offered: it is not more than a day old, nor past the
 * end of its certificate, which is not looked at again; nor is it of the
 * future, if somebody vouches for the clock. */
static bool session_is_good(
    hbeat_client *c, int64_t made_s, int64_t not_after_s) {
  bool clock_is_right = c->cfg.clock_is_set || c->server_lead_s != HBEAT_NONE;
  int64_t now_s = certificate_time(c);

  if (made_s < now_s - DAY_S || now_s > not_after_s) return false;
  return made_s <= now_s + CLOCK_STEP_S || !clock_is_right;
}

/* The wire: the end of the TLS buffer, behind the engine's record. */
static byte *wire(const hbeat_client *c) {
  byte *buffer = c->cfg.tls_buffer;

  return buffer + c->cfg.tls_buffer_size - HBEAT_WIRE_SIZE;
}

/* The exchange has ended as the codec says, or the reply goes on.  A 408 on a
 * kept connection was meant for its idleness, not for this request (RFC 9110
 * section 15.5.9). */
APART static void take_codec_outcome(hbeat_client *c, hbeat_error e) {
  int status = c->x.reply->http_status;

  if (e == HBEAT_AGAIN) return;
  if (status == 408 && c->connection == HBEAT_CONNECTION_KEPT) reconnect(c);
  else set_outcome(c, e, c->x.what, status);
}

/* The peer has sent a close_notify. */
static void tls_closed(hbeat_client *c) {
  size_t used;
  hbeat_error e = HBEAT_ERR_TRUNCATED;

  if (reply_has_begun(&c->x)) e = hbeat_push(&c->x, NULL, 0, &used);
  if (e != HBEAT_ERR_TRUNCATED) take_codec_outcome(c, e);
  else connection_lost(c, "the server ended the connection", 0);
}

/* Whether an alert says that the server is not content with this client: it
 * comes when the server's certificates have been seen, and so its version and
 * suite are agreed on. */
static bool server_wants_more(const hbeat_client *c, int code) {
  bool agreed = c->certs.count > 0 || !is_in_handshake(c);

  return agreed &&
      (code == ALERT(40) || code == ALERT(42) || code == ALERT(46));
}

/* The engine has failed, with a code of BearSSL's.  A session whose connection
 * ended so is not resumed (RFC 5246 section 7.2.2). */
static void tls_failed(hbeat_client *c, int code) {
  hbeat_error e = (hbeat_error)tls_meanings[meaning_of(code)].error;
  const char *reason = tls_reason(code);

  if (server_wants_more(c, code)) reason = wants_more;
  if (code == BR_ERR_X509_EXPIRED && c->certs.out_of_order) {
    e = HBEAT_ERR_CERT_TRUST;
    reason = tls_reason(BR_ERR_X509_DN_MISMATCH);
  }
  if (e == HBEAT_ERR_TOO_BIG) code = 0; /* the reason says all */
  c->tls.resumable = false;
  set_outcome(c, e, reason, code);
}

/* The engine has ended: the peer wished so, or it failed. */
static void tls_ended(hbeat_client *c) {
  int code = br_ssl_engine_last_error(&c->tls.context.eng);

  if (code == BR_ERR_OK) tls_closed(c);
  else tls_failed(c, code);
}

/* Hands decrypted bytes to the codec. */
static void take_reply(hbeat_client *c) {
  size_t size;
  size_t used;
  byte *in = br_ssl_engine_recvapp_buf(&c->tls.context.eng, &size);
  hbeat_error e = hbeat_push(&c->x, in, size, &used);

  br_ssl_engine_recvapp_ack(&c->tls.context.eng, used);
  take_codec_outcome(c, e);
}

/* The handshake is done, and the session is good.  A resumed one shows no
 * certificate, and is as old as it was. */
static void handshake_done(hbeat_client *c) {
  bool full = c->certs.count > 0;

  c->connection = full ? HBEAT_CONNECTION_NEW : HBEAT_CONNECTION_RESUMED;
  if (full) c->tls.session_made_s = certificate_time(c);
  c->tls.resumable = true;
  enter(c, SENDING);
}

/* Fills a record with what comes next of the request, and closes it. */
static void give_request(hbeat_client *c) {
  br_ssl_engine_context *engine = &c->tls.context.eng;
  size_t room;

  if (is_in_handshake(c)) handshake_done(c);
  byte *out = br_ssl_engine_sendapp_buf(engine, &room);
  br_ssl_engine_sendapp_ack(engine, hbeat_pull(&c->x, out, room));
  br_ssl_engine_flush(engine, 0);
}

/* Moves a small record out of the engine, which can then make the next one, to
 * the wire.  False where it is not small, or the wire is full of input.  What
 * the engine says where it only listens declines a HelloRequest. */
static bool gather(hbeat_client *c) {
  size_t size;
  byte *record = br_ssl_engine_sendrec_buf(&c->tls.context.eng, &size);

  if (c->state == RECEIVING) c->tls.hello_was_requested = true;
  if (c->link.in_next < c->link.in_end) return false;
  if (size > GATHER_MAX - c->link.out_end) return false;
  memcpy(wire(c) + c->link.out_end, record, size);
  c->link.out_end += (uint32_t)size;
  br_ssl_engine_sendrec_ack(&c->tls.context.eng, size);
  return true;
}

/* Drops what the engine would send: nobody takes it. */
static void drop_output(hbeat_client *c) {
  size_t size;

  c->link.out_next = 0;
  c->link.out_end = 0;
  while (br_ssl_engine_sendrec_buf(&c->tls.context.eng, &size))
    br_ssl_engine_sendrec_ack(&c->tls.context.eng, size);
}

/* Hands input from the wire to the engine.  False where there is none, or the
 * engine takes none. */
static bool feed(hbeat_client *c) {
  size_t size;
  byte *record = br_ssl_engine_recvrec_buf(&c->tls.context.eng, &size);
  size_t waiting = c->link.in_end - c->link.in_next;

  if (size > waiting) size = waiting;
  if (size == 0) return false;
  memcpy(record, wire(c) + c->link.in_next, size);
  c->link.in_next += (uint32_t)size;
  br_ssl_engine_recvrec_ack(&c->tls.context.eng, size);
  return true;
}

/* Lets the engine work on one thing, the first of these:
 *
 *     the engine says   which means                         what is done
 *     CLOSED            a close_notify came, or an error    tls_ended()
 *     RECVAPP           bytes of the reply are there        take_reply()
 *     SENDAPP           it takes bytes of the request       give_request()
 *     SENDREC           a record is to go out               gather()
 *     RECVREC           it wants what the wire has          feed()
 *
 * False where none is possible: the socket is needed. */
static bool engine_works(hbeat_client *c) {
  unsigned can = br_ssl_engine_current_state(&c->tls.context.eng);
  bool sends = c->state != LAST_WORDS;

  if (can & BR_SSL_CLOSED) {
    tls_ended(c);
    return true;
  }
  if (can & BR_SSL_RECVAPP) {
    take_reply(c);
    return true;
  }
  if ((can & BR_SSL_SENDAPP) && sends && !request_is_out(&c->x)) {
    give_request(c);
    return true;
  }
  if ((can & BR_SSL_SENDREC) && sends && gather(c)) return true;
  return feed(c);
}

/* Lets the engine work until it needs the socket, the exchange is over, or the
 * connection is another one. */
static void pump(hbeat_client *c) {
  bool goes_on = true;

  while (goes_on && is_under_way(c) && is_in(c, SPEAKING_TLS))
    goes_on = engine_works(c);
}

/* Whether anything is to be sent, gathered or in the engine. */
static bool has_output(const hbeat_client *c) {
  size_t size;

  return c->link.out_next < c->link.out_end ||
      br_ssl_engine_sendrec_buf(&c->tls.context.eng, &size);
}

/* The connection takes nothing more.  What the server had said before is still
 * there, and may be an answer: that the request is too large, or its token
 * wrong. */
static void write_failed(hbeat_client *c, int code) {
  drop_output(c);
  c->outcome.code = code;
  enter(c, LAST_WORDS);
}

/* One write of all there is: what was gathered, then the engine's record. */
static void write_out(hbeat_client *c) {
  br_ssl_engine_context *engine = &c->tls.context.eng;
  size_t record_size;
  byte *record = br_ssl_engine_sendrec_buf(engine, &record_size);
  size_t gathered_size = c->link.out_end - c->link.out_next;
  struct iovec parts[2] = {
      {wire(c) + c->link.out_next, gathered_size}, {record, record_size}};
  struct msghdr message;

  memset(&message, 0, sizeof message);
  message.msg_iov = parts;
  message.msg_iovlen = COUNT(parts);
  ssize_t n = sendmsg(c->link.fd, &message, MSG_NOSIGNAL);
  if (n < 0) {
    if (!would_block()) write_failed(c, errno);
    return;
  }
  limit_silence(c);
  if ((size_t)n < gathered_size) {
    c->link.out_next += (uint32_t)n;
    return;
  }
  c->link.out_next = 0;
  c->link.out_end = 0;
  size_t sent = (size_t)n - gathered_size; /* of the engine's record */
  if (sent > 0) br_ssl_engine_sendrec_ack(engine, sent);
}

/* Counts the bytes of a handshake, which must not go on for ever.  None yet: a
 * new connection has not said a word. */
static void count_handshake(hbeat_client *c, size_t size) {
  c->tls.handshake_size += (uint32_t)size;
  if (c->tls.handshake_size > HBEAT_HANDSHAKE_MAX)
    set_outcome(c, HBEAT_ERR_TLS, "over HBEAT_HANDSHAKE_MAX bytes", 0);
}

static bool is_tls_record(byte type) {
  return type == RECORD_ALERT || type == RECORD_HANDSHAKE;
}

/* One read of all there is: into the record in hand first, then the wire.  The
 * state says that the engine wants input, so that there is such a record. */
static void read_in(hbeat_client *c) {
  br_ssl_engine_context *engine = &c->tls.context.eng;
  size_t room;
  byte *record = br_ssl_engine_recvrec_buf(engine, &room);
  struct iovec parts[2] = {{record, room}, {wire(c), HBEAT_WIRE_SIZE}};
  ssize_t n = readv(c->link.fd, parts, COUNT(parts));

  if (n <= 0 && c->state == LAST_WORDS) {
    connection_lost(c, "the connection broke", c->outcome.code);
    return;
  }
  if (n < 0) {
    if (!would_block()) connection_lost(c, "the connection broke", errno);
    return;
  }
  if (n == 0) {
    connection_lost(c, "it ended without a close_notify", 0);
    return;
  }
  if (c->tls.handshake_size == 0 && !is_tls_record(*record)) {
    set_outcome(c, HBEAT_ERR_TLS, "the peer does not speak TLS", 0);
    return;
  }
  size_t size = (size_t)n;
  size_t first = size < room ? size : room;
  c->attempt_ms = c->deadline_ms;
  c->link.in_next = 0;
  c->link.in_end = (uint32_t)(size - first);
  br_ssl_engine_recvrec_ack(engine, first);
  if (is_in_handshake(c)) count_handshake(c, size);
}

/* Goes on with TLS and HTTP until the socket has to be waited for. */
static void talk(hbeat_client *c) {
  pump(c);
  if (is_under_way(c) && is_in(c, SPEAKING_TLS) && has_output(c)) {
    if (c->state == LAST_WORDS) drop_output(c);
    else write_out(c);
    pump(c);
  }
  if (!is_in(c, SPEAKING_TLS) || c->state == LAST_WORDS) return;
  bool out = has_output(c);
  if (is_in_handshake(c)) enter(c, out ? HANDSHAKE_OUT : HANDSHAKE_IN);
  else enter(c, out ? SENDING : RECEIVING);
}

/* ==== The client: connections =========================================== */

enum { PROXY_LOGIN_MAX = 255 };

/* The longest CONNECT request: the host and port twice, the login in base64. */
#define CONNECT_MAX                                                            \
  (sizeof "CONNECT  HTTP/1.1\r\nHost: " + 2 * (HOST_MAX + sizeof ":65535") +   \
      sizeof "\r\nProxy-Authorization: Basic \r\n\r\n" +                       \
      4 * ((PROXY_LOGIN_MAX + 2) / 3))

ASSERT(connect_fits_the_scratch, CONNECT_MAX <= HBEAT_TLS_BUFFER_SMALL);

/* A connection stands: TLS begins, always with a name to check. */
static void begin_tls(hbeat_client *c) {
  br_ssl_client_context *context = &c->tls.context;
  int64_t now_s = certificate_time(c);
  byte random[32];
  char name[NAME_SIZE];

  clear_link(c);
  c->tls.handshake_size = 0;
  c->certs.count = 0;
  c->certs.not_for_servers = false;
  c->certs.out_of_order = false;
  c->certs.malformed = false;
  c->tls.hello_was_requested = false;
  if (!draw_random(c, random, sizeof random)) return;
  plain_name(c->cfg.host, name);
  br_x509_minimal_set_time(&c->certs.x509,
      (uint32_t)(now_s / DAY_S + DAYS_TO_1970), (uint32_t)(now_s % DAY_S));
  br_ssl_engine_inject_entropy(&context->eng, random, sizeof random);
  wipe(random, sizeof random);
  bool resume = c->tls.resumable &&
      session_is_good(c, c->tls.session_made_s, c->tls.server_not_after_s);
  c->tls.resumable = false;
  br_ssl_client_reset(context, name, resume);
  enter(c, HANDSHAKE_OUT); /* only now may the engine be asked anything */
  talk(c);
}

/* Writes the request for a tunnel (RFC 9110 section 9.3.6) to the scratch. */
static void ask_for_tunnel(hbeat_client *c) {
  sink s = sink_of(c->cfg.tls_buffer, c->cfg.tls_buffer_size);
  const char *start = s.at;

  for (int i = 0; i < 2; i++) {
    put_text(&s, i == 0 ? "CONNECT " : " HTTP/1.1\r\nHost: ");
    put(&s, c->x.out.host, (size_t)(c->x.out.host_end - c->x.out.host));
    put_text(&s, ":");
    put_number(&s, c->cfg.port);
  }
  if (c->cfg.proxy_login) {
    put_text(&s, "\r\nProxy-Authorization: Basic ");
    put_base64(&s, c->cfg.proxy_login);
  }
  put_text(&s, "\r\n\r\n");
  begin_head(&c->x);
  c->x.in.tunnel = true;
  c->link.out_end = (uint32_t)(s.at - start);
}

/* Begins a connection to the first address of this round that has not been
 * tried. */
static void open_connection(hbeat_client *c) {
  const hbeat_addresses *a = &c->lookup.addresses;
  uint16_t port = c->cfg.proxy ? c->cfg.proxy_port : c->cfg.address_port;
  int one = 1;

  c->lookup.address = 0;
  while (c->lookup.tried >> c->lookup.address & 1) c->lookup.address++;
  limit_connect(c);
  clear_link(c);
  if (c->cfg.proxy) ask_for_tunnel(c);
  enter(c, CONNECTING);
  c->link.begun_ms = now_ms();
  c->idle.acks_are_timed = false;
  c->link.fd =
      open_socket(nth_address(a, c->lookup.address), 0, port, SOCK_STREAM);
  if (c->link.fd < 0) {
    fail_over(c, HBEAT_ERR_CONNECT, NULL, errno);
    return;
  }
  /* Records are whole when they are sent: Nagle's wait gains nothing. */
  setsockopt(c->link.fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}

/* The proxy lets nothing through, as `e` says. */
static void tunnel_refused(hbeat_client *c, hbeat_error e) {
  int status = c->x.reply->http_status;
  const char *reason = c->x.what;

  if (e == HBEAT_OK) reason = "it sends more than its reply";
  if (status == 401 || status == 407) {
    reason = "it wants another user or password";
    if (c->x.in.challenged && !c->x.in.takes_basic)
      reason = "it wants NTLM, Negotiate or Digest, not Basic";
  }
  set_outcome(c, HBEAT_ERR_PROXY, reason, status);
}

/* Reads what the proxy says to CONNECT. */
static void read_proxy(hbeat_client *c) {
  byte *in = c->cfg.tls_buffer;
  ssize_t n = recv(c->link.fd, in, c->cfg.tls_buffer_size, 0);
  size_t used;

  if (n < 0 && would_block()) return;
  if (n <= 0) {
    fail_over(c, HBEAT_ERR_PROXY, "it ended the connection", 0);
    return;
  }
  c->attempt_ms = c->deadline_ms;
  hbeat_error e = hbeat_push(&c->x, in, (size_t)n, &used);
  if (e == HBEAT_AGAIN) return;
  if (e != HBEAT_OK || used < (size_t)n) {
    tunnel_refused(c, e);
    return;
  }
  c->x.in.tunnel = false;
  begin_head(&c->x);
  begin_tls(c);
}

/* Looks whether the kept connection is still good.  Between two requests
 * nothing is to be read: what waits there is a farewell, or a reply to
 * nobody's request, not to the next (RFC 9112 section 9.2). */
static void probe_kept(hbeat_client *c) {
  byte waiting;
  ssize_t n = recv(c->link.fd, &waiting, 1, MSG_PEEK);

  if (n >= 0 || !would_block()) {
    reconnect(c);
    return;
  }
  c->connection = HBEAT_CONNECTION_KEPT;
  limit_silence(c);
  enter(c, SENDING);
  talk(c);
}

/* Goes on once the server is connected, or the proxy, and asked for a
 * tunnel. */
static void finish_connecting(hbeat_client *c) {
  int error = send_scratch(c, c->link.fd);

  if (error == EAGAIN) return;
  if (error != 0) {
    fail_over(c, HBEAT_ERR_CONNECT, NULL, error);
    return;
  }
  if (now_ms() - c->link.begun_ms >= SYN_AGAIN_MS) c->idle.killed = false;
  limit_first_word(c);
  if (c->cfg.proxy) enter(c, TUNNEL);
  else begin_tls(c);
}

/* ==== The client: calls ================================================= */

/* Does what the state is about to do, or has waited for; not called at rest. */
static void advance(hbeat_client *c) {
  switch (c->state) {
  case LOOK: probe_kept(c); break;
  case LOOKUP: look_up(c); break;
  case LOOKUP_UDP:
  case LOOKUP_TCP_OUT:
  case LOOKUP_TCP_IN:
  case LOOKUP_LATE: work_on_tries(c); break;
  case OPEN: open_connection(c); break;
  case CONNECTING: finish_connecting(c); break;
  case TUNNEL: read_proxy(c); break;
  case HANDSHAKE_OUT:
  case SENDING: talk(c); break;
  default: /* HANDSHAKE_IN, RECEIVING, LAST_WORDS */
    read_in(c);
    talk(c);
    break;
  }
}

/* Nothing that a proxy says is handed on but the status of its refusal. */
static void forget_tunnel(hbeat_client *c) {
  hbeat_reply *r = c->x.reply;
  int status = r->http_status;

  clear_reply(r);
  if (c->outcome.error == HBEAT_ERR_PROXY) r->http_status = status;
  c->x.keep_alive = false;
}

/* The server's Date sets its clock.  Past the end of its own certificate it
 * cannot be right. */
static void learn_server_time(hbeat_client *c) {
  hbeat_reply *r = c->x.reply;

  if (r->server_time_s == HBEAT_NONE) return;
  if (r->server_time_s > c->tls.server_not_after_s) return;
  c->server_lead_s = r->server_time_s - now_ms() / 1000;
  r->clock_offset_s = r->server_time_s - (int64_t)time(NULL);
}

/* What the server of an exchange has shown itself to be. */
typedef enum server_health {
  IS_SILENT, /* no whole reply came from it */
  IS_ILL,    /* it answered with a 5xx */
  IS_WELL    /* it gave a whole reply, whatever that says */
} server_health;

static server_health health_of_server(const hbeat_client *c) {
  hbeat_error e = (hbeat_error)c->outcome.error;
  bool replied = e == HBEAT_OK || e == HBEAT_ERR_STATUS ||
      e == HBEAT_ERR_REFUSED || e == HBEAT_ERR_JSON;

  if (!replied) return IS_SILENT;
  return c->x.reply->http_status >= 500 ? IS_ILL : IS_WELL;
}

/* What an exchange teaches of the address that it took:
 *
 *     the server is              so the next connection
 *     well                       begins with this address
 *     ill                        prefers none: the name may have moved
 *     silent on a new one        begins with the address behind this one
 *     silent on a kept one       begins as it would have
 */
static void learn_address(hbeat_client *c, server_health health) {
  hbeat_addresses *a = &c->lookup.addresses;
  bool kept = c->connection == HBEAT_CONNECTION_KEPT || c->state == LOOK;

  if (health == IS_ILL) {
    memset(a->preferred, 0, sizeof a->preferred);
  } else if (health == IS_WELL) {
    prefer_address(a, c->lookup.address);
    c->lookup.address = 0; /* is what it goes by now */
  } else if (!kept && !is_in(c, FINDING_ADDRESSES) && a->count > 0) {
    prefer_address(a, c->lookup.address + 1u);
    if (is_in(c, GETTING_CONNECTED)) a->expires_ms = 0;
  }
}

/* Where a kept connection had died in silence, and another one stood at once
 * and got the reply, it was its idleness that killed it: no pulled cable, and
 * no server that was down, whose first SYN is lost as well. */
static void learn_idle(hbeat_client *c) {
  c->idle.longest_ms = c->idle.before_ms / 2;
  c->idle.learnt_at_ms = now_ms();
}

/* Whether the connection can take another exchange: the reply came to its end,
 * and nothing is behind it. */
static bool can_be_kept(const hbeat_client *c) {
  size_t unread;

  if (c->x.in.state != OVER || !c->x.keep_alive) return false;
  if (c->state == LAST_WORDS) return false;
  if (c->link.in_next < c->link.in_end) return false;
  return !br_ssl_engine_recvapp_buf(&c->tls.context.eng, &unread);
}

/* The connection is kept for the next exchange. */
static void keep_connection(hbeat_client *c) {
  c->idle.since_ms = now_ms();
  time_acknowledgements(c);
}

/* The exchange is over: its reply gets what the client knows, and the
 * connection is kept if it can be, and the server is not ill. */
static void conclude(hbeat_client *c) {
  server_health health = health_of_server(c);

  if (c->x.in.tunnel) forget_tunnel(c);
  else learn_server_time(c);
  c->x.reply->connection = (hbeat_connection)c->connection;
  learn_address(c, health);
  if (c->idle.killed && health != IS_SILENT) learn_idle(c);
  if (can_be_kept(c) && health != IS_ILL) keep_connection(c);
  else close_connection(c);
  if (c->x.in.state != OVER) end_exchange(&c->x);
  enter(c, IDLE);
}

/* The deadline is past.  Where all nameservers were asked the time was long
 * enough: it is they that fail. */
static void give_up(hbeat_client *c) {
  bool no_address = c->lookup.addresses.count == 0;

  if (c->state == LOOKUP_LATE && no_address) end_lookup(c);
  else set_outcome(c, HBEAT_ERR_TIMEOUT, doing(c), 0);
}

/* What a step does:
 *
 *     the exchange is over                  nothing
 *     the deadline is past                  give_up(): it has failed
 *     it looks up a name                    advance(), to the next nameserver
 *                                           where one has had its time
 *     the attempt still has time            advance()
 *     it has not, on a kept connection      connection_lost(): a new one
 *     it has not, and is another one        fail_over(): the next address
 */
hbeat_error hbeat_step(hbeat_client *c) {
  int64_t now = now_ms();

  note_unfit(c);
  if (!is_under_way(c)) return (hbeat_error)c->outcome.error;
  if (now >= c->deadline_ms) give_up(c);
  else if (is_in(c, FINDING_ADDRESSES) || now < c->attempt_ms) advance(c);
  else if (c->connection == HBEAT_CONNECTION_KEPT)
    connection_lost(c, doing(c), ETIMEDOUT);
  else fail_over(c, HBEAT_ERR_TIMEOUT, doing(c), 0);
  if (!is_under_way(c)) conclude(c);
  return (hbeat_error)c->outcome.error;
}

hbeat_wait hbeat_wants(const hbeat_client *c) {
  short events = states[c->state].events;
  hbeat_wait w = {-1, 0, 0};

  if (!is_under_way(c) || events == 0) return w;
  int64_t left_ms = c->attempt_ms - now_ms();
  unsigned tries = c->lookup.try_count;
  w.fd = tries > 0 ? c->lookup.tries[tries - 1].fd : c->link.fd;
  w.events = events;
  if (tries > 1 && left_ms > LATE_LOOK_MS) left_ms = LATE_LOOK_MS;
  w.timeout_ms = left_ms > 0 ? (int)left_ms : 0;
  return w;
}

/* NULL, or in a phrase what is wrong with where to connect to. */
static const char *check_route(const hbeat_config *cfg) {
  const char *login = cfg->proxy_login;
  byte ip[16];

  if (cfg->address && !read_ip(cfg->address, ip))
    return "address: no numeric IP address";
  if (cfg->address && cfg->proxy) return "address: not with a proxy";
  if (cfg->proxy && host_length(cfg->proxy) == 0 && !read_ip(cfg->proxy, ip))
    return "proxy: no name or numeric address";
  if (!login) return NULL;
  if (!cfg->proxy || !strchr(login, ':') || strlen(login) > PROXY_LOGIN_MAX)
    return "proxy_login: user:password of 255 bytes, for a proxy";
  return NULL;
}

/* NULL, or in a phrase what is wrong with a configuration. */
static const char *check_config(const hbeat_config *cfg) {
  const char *wrong = check_codec(cfg);

  if (!wrong) wrong = check_route(cfg);
  if (wrong) return wrong;
  if (cfg->timeout_ms > LONGEST_TIMEOUT_MS) return "timeout_ms: over a day";
  if (!cfg->anchors || cfg->anchor_count == 0) return "anchors: none";
  if (!cfg->tls_buffer || cfg->tls_buffer_size < HBEAT_TLS_BUFFER_SMALL)
    return "tls_buffer: less than HBEAT_TLS_BUFFER_SMALL";
  return NULL;
}

/* Where a member is left zero. */
APART static void fill_in_defaults(hbeat_config *cfg) {
  if (!cfg->host) cfg->host = DEFAULT_HOST;
  if (cfg->timeout_ms == 0) cfg->timeout_ms = TIMEOUT_MS;
  if (cfg->port == 0) cfg->port = HTTPS_PORT;
  if (cfg->address_port == 0) cfg->address_port = cfg->port;
  if (cfg->proxy_port == 0) cfg->proxy_port = PROXY_PORT;
  if (!cfg->hosts_path) cfg->hosts_path = "/etc/hosts";
  if (!cfg->resolv_path) cfg->resolv_path = "/etc/resolv.conf";
}

hbeat_error hbeat_init(hbeat_client *c, const hbeat_config *cfg) {
  const char *wrong = check_config(cfg);

  memset(c, 0, sizeof *c);
  enter(c, UNFIT);
  c->link.fd = -1;
  c->server_lead_s = HBEAT_NONE;
  c->cfg = *cfg;
  fill_in_defaults(&c->cfg);
  if (!wrong && !certs_profile(c))
    wrong = "bearssl.h: not the library's version";
  if (wrong) {
    set_outcome(c, HBEAT_ERR_ARGUMENT, wrong, 0);
    return HBEAT_ERR_ARGUMENT;
  }
  tls_profile(c);
  set_outcome(c, HBEAT_ERR_ARGUMENT, "client: nothing was started", 0);
  enter(c, IDLE);
  return HBEAT_OK;
}

hbeat_error hbeat_start(
    hbeat_client *c, const hbeat_request *request, hbeat_reply *reply) {
  if (c->state == UNFIT) {
    note_unfit(c);
    clear_reply(reply);
    return HBEAT_ERR_ARGUMENT;
  }
  int64_t now = now_ms();
  int64_t idle_ms = now - c->idle.since_ms;
  if (c->state != IDLE || idle_ms > longest_idle_ms(c, now)) abandon(c);
  enter(c, IDLE);
  c->idle.before_ms = (uint32_t)idle_ms; /* where kept, IDLE_MAX_MS at most */
  c->idle.killed = false;
  c->deadline_ms = now + c->cfg.timeout_ms;
  c->attempt_ms = c->deadline_ms;
  c->connection = HBEAT_CONNECTION_NONE;
  hbeat_error e = begin_exchange(&c->x, &c->cfg, request, reply, NULL);
  if (e != HBEAT_OK) {
    set_outcome(c, e, c->x.what, 0);
    return e;
  }
  set_outcome(c, HBEAT_AGAIN, NULL, 0);
  enter(c, c->link.fd >= 0 ? LOOK : LOOKUP);
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

void hbeat_close(hbeat_client *c) {
  if (c->state == UNFIT) return;
  abandon(c);
  wipe(c->cfg.tls_buffer, c->cfg.tls_buffer_size);
  wipe(c, sizeof *c);
  enter(c, UNFIT);
  c->link.fd = -1;
}

/* ==== Sessions ========================================================== */

/* A session as bytes, which only this machine has to read:
 *
 *     | made | server's notAfter | address | BearSSL's parameters | SHA-256 |
 *     0      8                   16        32                     DIGEST
 *
 * The address is the preferred one.  The digest is one of all before it, the
 * host, the port and the anchors. */
enum {
  MADE = 0,
  NOT_AFTER = 8,
  ADDRESS = 16,
  TLS_PARAMETERS = 32,
  DIGEST = HBEAT_SESSION_SIZE - br_sha256_SIZE
};

ASSERT(a_session_ends_with_its_digest,
    DIGEST == TLS_PARAMETERS + sizeof(br_ssl_session_parameters));

/* Mixes a number into a sum. */
static uint64_t mix(uint64_t sum, uint64_t number) {
  sum = (sum ^ number) * 0x9E3779B97F4A7C15;
  return sum ^ sum >> 32;
}

/* Mixes all bytes of a text into a sum, and its size. */
static uint64_t mix_bytes(uint64_t sum, const byte *bytes, size_t size) {
  uint64_t word;

  sum = mix(sum, size);
  for (; size >= sizeof word; size -= sizeof word) {
    memcpy(&word, bytes, sizeof word);
    sum = mix(sum, word);
    bytes += sizeof word;
  }
  word = 0;
  memcpy(&word, bytes, size);
  return mix(sum, word);
}

/* The sum of all names and keys of the anchors.  That tells one set from
 * another as well as SHA-256 would, of what nobody has forged, at a fortieth of
 * the cost: for the roots of a whole system that was most of a start. */
static uint64_t sum_of_anchors(const hbeat_client *c) {
  uint64_t sum = 0;

  for (size_t i = 0; i < c->cfg.anchor_count; i++) {
    const br_x509_trust_anchor *ta = &c->cfg.anchors[i];
    const br_x509_pkey *key = &ta->pkey;
    sum = mix_bytes(sum, ta->dn.data, ta->dn.len);
    if (key->key_type == BR_KEYTYPE_EC)
      sum = mix_bytes(sum, key->key.ec.q, key->key.ec.qlen);
    else sum = mix_bytes(sum, key->key.rsa.n, key->key.rsa.nlen);
  }
  return sum;
}

/* The digest of a session's bytes, and of what it must not be used without: the
 * same host, port and anchors. */
static void session_digest(
    const hbeat_client *c, const byte *session, byte digest[br_sha256_SIZE]) {
  uint64_t anchors = sum_of_anchors(c);
  br_sha256_context sha;
  char host[NAME_SIZE];

  plain_name(c->cfg.host, host);
  br_sha256_init(&sha);
  br_sha256_update(&sha, session, DIGEST);
  br_sha256_update(&sha, host, sizeof host);
  br_sha256_update(&sha, &c->cfg.port, sizeof c->cfg.port);
  br_sha256_update(&sha, &anchors, sizeof anchors);
  br_sha256_out(&sha, digest);
}

bool hbeat_session_save(
    const hbeat_client *c, unsigned char out[HBEAT_SESSION_SIZE]) {
  const br_ssl_session_parameters *parameters = &c->tls.context.eng.session;

  if (!c->tls.resumable || parameters->session_id_len == 0) return false;
  memcpy(out + MADE, &c->tls.session_made_s, 8);
  memcpy(out + NOT_AFTER, &c->tls.server_not_after_s, 8);
  memcpy(out + ADDRESS, c->lookup.addresses.preferred, 16);
  memcpy(out + TLS_PARAMETERS, parameters, sizeof *parameters);
  session_digest(c, out, out + DIGEST);
  return true;
}

bool hbeat_session_load(hbeat_client *c, const void *in, size_t size) {
  const byte *session = in;
  br_ssl_session_parameters *parameters = &c->tls.context.eng.session;
  size_t id_at =
      TLS_PARAMETERS + offsetof(br_ssl_session_parameters, session_id_len);
  byte digest[br_sha256_SIZE];
  int64_t made_s;
  int64_t not_after_s;

  if (c->state != IDLE || c->link.fd >= 0) return false;
  if (size != HBEAT_SESSION_SIZE) return false;
  session_digest(c, session, digest);
  if (memcmp(session + DIGEST, digest, sizeof digest) != 0) return false;
  memcpy(&made_s, session + MADE, sizeof made_s);
  memcpy(&not_after_s, session + NOT_AFTER, sizeof not_after_s);
  size_t id_size = session[id_at];
  if (id_size == 0 || id_size > sizeof parameters->session_id) return false;
  if (!session_is_good(c, made_s, not_after_s)) return false;
  memcpy(parameters, session + TLS_PARAMETERS, sizeof *parameters);
  c->tls.session_made_s = made_s;
  c->tls.server_not_after_s = not_after_s;
  memcpy(c->lookup.addresses.preferred, session + ADDRESS, 16);
  c->tls.resumable = true;
  return true;
}

/* ==== Explain =========================================================== */

enum { SENTENCE_MAX = 36, SHOWN_NAME_MAX = 60, REASON_MAX = 64 };

typedef enum code_kind { HTTP_CODE, ERRNO_CODE, BEARSSL_CODE } code_kind;

/* How each error is told, in the order of hbeat_error; @ is the name of the
 * host. */
static const char sentences[] = "@ accepted the request\0"
                                "@ has not answered yet\0"
                                "an argument is wrong\0"
                                "no address for @\0"
                                "no connection to @\0"
                                "the proxy gave no connection to @\0"
                                "no reply from @ after \0"
                                "@ does not offer TLS 1.2\0"
                                "the certificate is not for @\0"
                                "the certificate of @ is not trusted\0"
                                "the certificate of @\0"
                                "TLS with @ failed\0"
                                "the reply from @ is not whole\0"
                                "the reply from @ is not HTTP/1.1\0"
                                "@ answered with an error\0"
                                "@ refused the request\0"
                                "the reply from @ is not the API's\0"
                                "a buffer is too small for @'s reply\0"
                                "the memory is damaged or foreign\0";

/* What the code beside an error is. */
static code_kind kind_of_code(hbeat_error e) {
  if (e == HBEAT_ERR_CONNECT || e == HBEAT_ERR_TRUNCATED) return ERRNO_CODE;
  return e >= HBEAT_ERR_TLS_VERSION && e <= HBEAT_ERR_TLS ? BEARSSL_CODE
                                                          : HTTP_CODE;
}

/* The longest text is that of a certificate that is not trusted: a sentence
 * with a host in it, a reason, a code, and the name that the certificate is
 * for. */
ASSERT(the_longest_text_fits,
    SENTENCE_MAX + SHOWN_NAME_MAX + sizeof ": " + REASON_MAX +
            sizeof " (BearSSL 65535)" + sizeof ": it is for " +
            SHOWN_NAME_MAX <=
        HBEAT_EXPLAIN_SIZE);

/* A name of any origin: its beginning, and nothing that moves a terminal. */
static void put_name(sink *s, const char *name) {
  for (int i = 0; i < SHOWN_NAME_MAX && name[i] != '\0'; i++)
    put(s, name[i] > ' ' && name[i] < 0x7F ? name + i : "?", 1);
}

/* The name in the text: the proxy's where that was not found or reached, else
 * the host's. */
static const char *name_of_peer(const hbeat_client *c) {
  hbeat_error e = (hbeat_error)c->outcome.error;

  if (c->cfg.proxy && (e == HBEAT_ERR_RESOLVE || e == HBEAT_ERR_CONNECT))
    return c->cfg.proxy;
  return c->cfg.host;
}

/* Appends the sentence of an error, with the name in the place of its @. */
static void put_sentence(sink *s, const hbeat_client *c) {
  const char *sentence = nth_text(sentences, c->outcome.error);
  const char *at = strchr(sentence, '@');

  if (!at) {
    put_text(s, sentence);
    return;
  }
  put(s, sentence, (size_t)(at - sentence));
  put_name(s, name_of_peer(c));
  put_text(s, at + 1);
}

/* Appends the limit of an exchange: "30 s", "1500 ms". */
static void put_limit(sink *s, const hbeat_client *c) {
  uint32_t limit_ms = c->cfg.timeout_ms;
  bool seconds = limit_ms % 1000 == 0;

  put_number(s, seconds ? limit_ms / 1000 : limit_ms);
  put_text(s, seconds ? " s" : " ms");
}

/* Appends a month or a day of the month, in two digits. */
static void put_two_digits(sink *s, int number) {
  put_text(s, number < 10 ? "-0" : "-");
  put_number(s, (uint64_t)number);
}

/* Appends a day, as 1970-01-01, by its number from that one on. */
static void put_day(sink *s, int days) {
  int year = 1970;
  int month = 1;

  while (days_since_1970(year + 1, 1, 1) <= days) year++;
  while (days_since_1970(year, month + 1, 1) <= days) month++;
  put_number(s, (uint64_t)year);
  put_two_digits(s, month);
  put_two_digits(s, days - days_since_1970(year, month, 1) + 1);
}

/* On which side of its dates a certificate was found, and by whose clock. */
static void put_dates(sink *s, const hbeat_client *c) {
  static const char clocks[] =
      "the system's clock\0clock_floor_s\0the server's last Date";
  int days = (int)c->certs.x509.days - DAYS_TO_1970;
  int64_t now_s = (int64_t)days * DAY_S + c->certs.x509.seconds;
  bool early = now_s < c->certs.not_before_s;

  put_text(s, early ? " is not valid yet: " : " has expired: ");
  put_text(s, nth_text(clocks, c->certs.clock));
  put_text(s, " says ");
  put_day(s, days);
}

static const char *errno_text(int error) {
  static const int errors[] = {ECONNREFUSED, ECONNRESET, ETIMEDOUT, ENETUNREACH,
      EHOSTUNREACH, EMFILE, EPIPE};
  static const char texts[] = ": connection refused\0: connection reset\0"
                              ": timed out\0: unreachable\0: unreachable\0"
                              ": no descriptor left\0"
                              ": the peer had ended it\0: system error";
  size_t i = 0;

  while (i < COUNT(errors) && errors[i] != error) i++;
  return nth_text(texts, i);
}

/* Appends the raw code, for whoever looks it up. */
static void put_code(sink *s, code_kind kind, int code) {
  switch (kind) {
  case ERRNO_CODE:
    put_text(s, errno_text(code));
    put_text(s, " (errno ");
    break;
  case BEARSSL_CODE: put_text(s, " (BearSSL "); break;
  case HTTP_CODE: put_text(s, " (HTTP "); break;
  }
  put_number(s, (uint64_t)code);
  put_text(s, ")");
}

const char *hbeat_explain(hbeat_client *c) {
  sink s = sink_of(c->text, sizeof c->text);
  note_unfit(c);
  hbeat_error e = (hbeat_error)c->outcome.error;
  bool other_name = e == HBEAT_ERR_CERT_NAME || e == HBEAT_ERR_CERT_TRUST;
  put_sentence(&s, c);
  if (e == HBEAT_ERR_TIMEOUT) put_limit(&s, c);
  if (e == HBEAT_ERR_CERT_TIME) put_dates(&s, c);
  if (c->outcome.reason) {
    put_text(&s, ": ");
    put_text(&s, c->outcome.reason);
  }
  if (e != HBEAT_OK && c->outcome.code != 0)
    put_code(&s, kind_of_code(e), c->outcome.code);
  if (other_name && c->certs.dns_name.status == 1) {
    put_text(&s, ": it is for ");
    put_name(&s, c->certs.name);
  }
  return c->text;
}
#endif
