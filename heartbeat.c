/* heartbeat - see heartbeat.h for the contract of every call.
 *
 * What goes over the wire.  A request is a list of pieces: literals, the
 * caller's strings, and strings to be escaped into JSON.  hbeat_pull() walks
 * the list and remembers where it stopped, so a request of any size leaves
 * through any window and is never held whole.  The reply runs byte by byte
 * through a state machine that keeps what it needs of the head; the body
 * lands in the caller's buffer, is checked whole, and is then decoded in
 * place: the strings of hbeat_reply point into it.
 *
 * What the client does.  It drives BearSSL's engine itself:
 *
 *     IDLE -> LOOK ------------------> talk() <-> SENDING, RECEIVING
 *        \      |                       ^
 *         `-> LOOKUP -> OPEN -> CONNECTING [-> TUNNEL]
 *
 * LOOK finds out whether a kept connection is still good; LOOKUP finds
 * addresses; OPEN tries them in turn, until one has said a word.  talk() lets
 * the engine work until it needs the socket.  Small records gather in the
 * wire, so that a handshake's last flight is one write; the request's record
 * is written straight from the engine.  One read fills what the engine asks
 * for and, behind that, the wire, where later records wait.  So a heartbeat on
 * a kept connection is one look, one write, one poll, one read.
 *
 * What lives where.  Everything is in the caller's memory: the client, the
 * TLS buffer (one record, and the wire at its end; before TLS it is scratch),
 * the reply buffer, the arena of the anchors.
 *
 * Each section uses only those above it.  From text to error texts all is left
 * out by HBEAT_NO_NET. */
#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L
#endif

#include "heartbeat.h"

#include <limits.h>
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
#define UNIT_MAX 6 /* the longest form of one character: \u001f */

/* Fails to compile where `condition` is false. */
#define ASSERT(name, condition) typedef char assert_##name[(condition) ? 1 : -1]

ASSERT(depth_fits_bits, HBEAT_JSON_DEPTH <= 64);
#ifndef HBEAT_NO_NET
ASSERT(wire_fits, HBEAT_WIRE_SIZE >= 256 && HBEAT_WIRE_SIZE <= UINT16_MAX);
ASSERT(sentence_fits, HBEAT_EXPLAIN_SIZE >= 128);
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

static bool is_alpha(int c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
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
    size_t i;
    for (i = 0; i < size && word[i] != '\0'; i++)
        if (to_lower(text[i]) != to_lower(word[i])) return false;
    return i == size && word[i] == '\0';
}

/* A name in a table: no pointer, so that it needs no relocation. */
typedef char known[36];

/* Which of the names is this text; `count` where none is. */
static size_t find_name(const known *names, size_t count, const char *text,
                        size_t size) {
    size_t i;
    for (i = 0; i < count; i++)
        if (strlen(names[i]) == size && memcmp(names[i], text, size) == 0)
            break;
    return i;
}

#define DECIMAL_MAX 21 /* the digits of UINT64_MAX and a NUL */

/* Writes a number in decimal, as a string. */
static void write_decimal(char *text, uint64_t number) {
    char digits[DECIMAL_MAX], *at = digits + sizeof digits - 1;
    *at = '\0';
    do *--at = (char)('0' + number % 10);
    while ((number /= 10) != 0);
    memcpy(text, at, (size_t)(digits + sizeof digits - at));
}

/* The length of the UTF-8 sequence at `p` (RFC 3629), 1 to 4.  Minus the
 * length of its longest good beginning, or -1, where it is invalid; 0 where
 * the input ends inside it. */
static int utf8_length(const byte *p, size_t size) {
    unsigned low = 0x80, high = 0xBF; /* of the next byte */
    int i, length = p[0] < 0xE0 ? 2 : p[0] < 0xF0 ? 3 : 4;
    if (p[0] < 0x80) return 1;
    if (p[0] < 0xC2 || p[0] > 0xF4) return -1;
    if (p[0] == 0xE0) low = 0xA0; /* below: longer forms of shorter ones */
    if (p[0] == 0xF0) low = 0x90;
    if (p[0] == 0xED) high = 0x9F; /* above: surrogates */
    if (p[0] == 0xF4) high = 0x8F; /* above: more than U+10FFFF */
    for (i = 1; i < length; i++) {
        if ((size_t)i == size) return 0;
        if (p[i] < low || p[i] > high) return -i;
        low = 0x80;
        high = 0xBF;
    }
    return length;
}

/* Writes a code point in UTF-8; returns its length. */
static size_t utf8_write(uint32_t code, byte out[4]) {
    size_t i, length = 1u + (code > 0x7F) + (code > 0x7FF) + (code > 0xFFFF);
    static const byte lead[] = {0, 0x00, 0xC0, 0xE0, 0xF0};
    for (i = length - 1; i > 0; i--) {
        out[i] = (byte)(0x80 | (code & 0x3F));
        code >>= 6;
    }
    out[0] = (byte)(lead[length] | code);
    return length;
}

/* ==== JSON out ========================================================== */

/* Writes the first character of a NUL-terminated string as it stands inside
 * a JSON string, and returns its length; *taken is how many bytes it was.
 * What is not UTF-8 becomes U+FFFD: a heartbeat must not be lost over an odd
 * name.  No sequence reads past the NUL, which continues none. */
static size_t json_escape(const byte *text, byte unit[UNIT_MAX],
                          size_t *taken) {
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
    if (*text == '"' || *text == '\\') {
        unit[0] = '\\';
        unit[1] = *text;
        return 2;
    }
    memcpy(unit, text, *taken);
    return *taken;
}

/* ==== JSON in =========================================================== */

/* A function named scan_ moves past one construct and returns HBEAT_OK,
 * HBEAT_ERR_JSON where no text that begins so can be right, or
 * HBEAT_ERR_TRUNCATED where the input ends too early. */

static void skip_space(span *in) {
    while (in->at < in->end && (*in->at == ' ' || *in->at == '\t' ||
                                *in->at == '\n' || *in->at == '\r'))
        in->at++;
}

static hbeat_error scan_word(span *in, const char *word) {
    for (; *word != '\0'; word++, in->at++) {
        if (in->at == in->end) return HBEAT_ERR_TRUNCATED;
        if (*in->at != (byte)*word) return HBEAT_ERR_JSON;
    }
    return HBEAT_OK;
}

static hbeat_error scan_digits(span *in) {
    if (in->at == in->end) return HBEAT_ERR_TRUNCATED;
    if (!is_digit(*in->at)) return HBEAT_ERR_JSON;
    while (in->at < in->end && is_digit(*in->at)) in->at++;
    return HBEAT_OK;
}

static bool scan_char(span *in, const char *any) {
    if (in->at == in->end || *in->at == '\0' || !strchr(any, *in->at))
        return false;
    in->at++;
    return true;
}

/* RFC 8259 section 6. */
static hbeat_error scan_number(span *in) {
    hbeat_error e = HBEAT_OK;
    scan_char(in, "-");
    if (!scan_char(in, "0")) e = scan_digits(in);
    if (e == HBEAT_OK && scan_char(in, ".")) e = scan_digits(in);
    if (e == HBEAT_OK && scan_char(in, "eE")) {
        scan_char(in, "+-");
        e = scan_digits(in);
    }
    return e;
}

/* The four digits of \uXXXX. */
static hbeat_error scan_hex4(span *in, uint32_t *code) {
    int i;
    *code = 0;
    for (i = 0; i < 4; i++, in->at++) {
        if (in->at == in->end) return HBEAT_ERR_TRUNCATED;
        if (hex_value(*in->at) < 0) return HBEAT_ERR_JSON;
        *code = *code << 4 | (uint32_t)hex_value(*in->at);
    }
    return HBEAT_OK;
}

/* An escape, from its backslash on; a surrogate pair is one. */
static hbeat_error scan_escape(span *in, uint32_t *code) {
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    uint32_t low;
    hbeat_error e;
    if (++in->at == in->end) return HBEAT_ERR_TRUNCATED;
    if (*in->at != 'u') {
        const char *found = *in->at ? strchr(from, *in->at) : NULL;
        if (!found) return HBEAT_ERR_JSON;
        *code = (byte)to[found - from];
        in->at++;
        return HBEAT_OK;
    }
    in->at++;
    if ((e = scan_hex4(in, code)) != HBEAT_OK) return e;
    if (*code < 0xD800 || *code > 0xDFFF) return HBEAT_OK;
    if (*code > 0xDBFF) return HBEAT_ERR_JSON; /* a low surrogate alone */
    if ((e = scan_word(in, "\\u")) != HBEAT_OK ||
        (e = scan_hex4(in, &low)) != HBEAT_OK)
        return e;
    if (low < 0xDC00 || low > 0xDFFF) return HBEAT_ERR_JSON;
    *code = 0x10000 + ((*code - 0xD800) << 10) + (low - 0xDC00);
    return HBEAT_OK;
}

/* RFC 8259 section 7, from the opening quote to past the closing one. */
static hbeat_error scan_string(span *in) {
    in->at++;
    while (in->at < in->end) {
        if (*in->at == '"') {
            in->at++;
            return HBEAT_OK;
        }
        if (*in->at < 0x20) return HBEAT_ERR_JSON;
        if (*in->at == '\\') {
            uint32_t code;
            hbeat_error e = scan_escape(in, &code);
            if (e != HBEAT_OK) return e;
        } else {
            int length = utf8_length(in->at, (size_t)(in->end - in->at));
            if (length <= 0)
                return length < 0 ? HBEAT_ERR_JSON : HBEAT_ERR_TRUNCATED;
            in->at += length;
        }
    }
    return HBEAT_ERR_TRUNCATED;
}

static hbeat_json_type type_of(byte first) {
    static const char firsts[] = "nft0\"[{"; /* in the enum's order */
    const char *found = first ? strchr(firsts, first) : NULL;
    return found ? (hbeat_json_type)(HBEAT_JSON_NULL + (found - firsts))
                 : HBEAT_JSON_NUMBER;
}

/* Any value.  The arrays and objects around the place in hand are bits of
 * `objects`, the innermost lowest, so that no text can exhaust a stack. */
static hbeat_error scan_value(span *in) {
    enum { VALUE, FIRST_VALUE, NAME, FIRST_NAME, AFTER } expect = VALUE;
    static const char words[][6] = {"null", "false", "true"}; /* by type */
    uint64_t objects = 0;
    int depth = 0;
    do {
        hbeat_error e = HBEAT_OK;
        skip_space(in);
        if (in->at == in->end) return HBEAT_ERR_TRUNCATED;
        if (depth > 0 && expect != VALUE && expect != NAME &&
            *in->at == (objects & 1 ? '}' : ']')) {
            in->at++;
            objects >>= 1;
            depth--;
            expect = AFTER;
        } else if (expect == AFTER) {
            e = scan_word(in, ",");
            expect = objects & 1 ? NAME : VALUE;
        } else if (expect == NAME || expect == FIRST_NAME) {
            e = *in->at == '"' ? scan_string(in) : HBEAT_ERR_JSON;
            skip_space(in);
            if (e == HBEAT_OK) e = scan_word(in, ":");
            expect = VALUE;
        } else if (*in->at == '[' || *in->at == '{') {
            if (++depth > HBEAT_JSON_DEPTH) return HBEAT_ERR_TOO_BIG;
            objects = objects << 1 | (*in->at == '{');
            expect = *in->at == '{' ? FIRST_NAME : FIRST_VALUE;
            in->at++;
        } else {
            hbeat_json_type type = type_of(*in->at);
            e = type == HBEAT_JSON_STRING   ? scan_string(in)
                : type == HBEAT_JSON_NUMBER ? scan_number(in)
                                            : scan_word(in, words[type - 1]);
            expect = AFTER;
        }
        if (e != HBEAT_OK) return e;
    } while (depth > 0);
    return HBEAT_OK;
}

/* Takes the value at the front, which must be there; NONE where it is bad. */
static hbeat_error take_value(span *in, hbeat_json *value) {
    const byte *start = in->at;
    hbeat_error e = scan_value(in);
    memset(value, 0, sizeof *value);
    if (e == HBEAT_OK) {
        value->type = type_of(*start);
        value->text = (const char *)start;
        value->size = (size_t)(in->at - start);
    }
    return e;
}

static span span_of(const void *text, size_t size) {
    span s;
    s.at = text;
    s.end = size ? s.at + size : s.at; /* text may be NULL */
    return s;
}

hbeat_error hbeat_json_parse(const char *text, size_t size, hbeat_json *value) {
    span in = span_of(text, size);
    hbeat_error e;
    skip_space(&in);
    e = take_value(&in, value);
    skip_space(&in);
    if (e == HBEAT_OK && in.at < in.end) {
        value->type = HBEAT_JSON_NONE;
        e = HBEAT_ERR_JSON;
    }
    return e;
}

/* What is left of a container begins with its bracket as long as nothing was
 * taken, and with a comma or the closing bracket afterwards: no further state
 * is needed.  A text that turns out bad leaves nothing. */
bool hbeat_json_next(hbeat_json *container, hbeat_json *key,
                     hbeat_json *value) {
    bool object = container->type == HBEAT_JSON_OBJECT;
    span in = span_of(container->text, container->size);
    hbeat_json name = {HBEAT_JSON_NONE, NULL, 0};
    bool found;
    *value = name;
    if (key) *key = name;
    if (!object && container->type != HBEAT_JSON_ARRAY) return false;
    skip_space(&in);
    found = scan_char(&in, object ? "{," : "[,");
    skip_space(&in);
    found = found && in.at < in.end && *in.at != (object ? '}' : ']');
    if (found && object) {
        found = take_value(&in, &name) == HBEAT_OK &&
                name.type == HBEAT_JSON_STRING;
        skip_space(&in);
        found = found && scan_char(&in, ":");
        skip_space(&in);
    }
    found = found && take_value(&in, value) == HBEAT_OK;
    container->text = (const char *)in.at;
    container->size = found ? (size_t)(in.end - in.at) : 0;
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
        if (*in.at != '\\') {
            in.at++;
        } else {
            if (scan_escape(&in, &code) != HBEAT_OK) in.at = in.end;
            n = utf8_write(code ? code : 0xFFFD, unit);
        }
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

hbeat_error hbeat_json_number(const hbeat_json *value, unsigned decimals,
                              int64_t *number) {
    span in = span_of(value->text, value->size);
    bool negative = value->type == HBEAT_JSON_NUMBER && scan_char(&in, "-");
    uint64_t limit = (uint64_t)INT64_MAX + (negative ? 1 : 0), n = 0;
    bool fraction;
    if (value->type != HBEAT_JSON_NUMBER) return HBEAT_ERR_JSON;
    for (; in.at < in.end && is_digit(*in.at); in.at++)
        n = add_digit(n, *in.at - '0', limit);
    fraction = decimals > 0 && scan_char(&in, ".");
    for (; decimals > 0; decimals--) {
        bool more = fraction && in.at < in.end && is_digit(*in.at);
        n = add_digit(n, more ? *in.at++ - '0' : 0, limit);
    }
    while (fraction && in.at < in.end && is_digit(*in.at)) in.at++;
    if (in.at < in.end) return HBEAT_ERR_JSON;
    if (n > limit) return HBEAT_ERR_TOO_BIG;
    *number = negative && n > 0 ? -(int64_t)(n - 1) - 1 : (int64_t)n;
    return HBEAT_OK;
}

/* ==== Times ============================================================= */

typedef struct calendar {
    int year, month, day, hour, minute, second;
} calendar;

/* Days from 1970-01-01 in the Gregorian calendar.  The year is taken to
 * begin in March, so that the leap day is its last. */
static int64_t days_since_1970(int year, int month, int day) {
    int64_t m = (month + 9) % 12, y = year - m / 10;
    return y * 365 + y / 4 - y / 100 + y / 400 + (m * 306 + 5) / 10 + day -
           719469;
}

/* False for a date or time of day that does not exist; a leap second does. */
static bool to_unix(const calendar *t, int64_t *unix_s) {
    int64_t start = days_since_1970(t->year, t->month, 1);
    bool last = t->month == 12;
    int64_t next = days_since_1970(t->year + last, last ? 1 : t->month + 1, 1);
    if (t->year < 1 || t->month < 1 || t->month > 12 || t->day < 1 ||
        t->day > next - start || t->hour > 23 || t->minute > 59 ||
        t->second > 60)
        return false;
    *unix_s = ((start + t->day - 1) * 24 + t->hour) * 3600 + t->minute * 60 +
              t->second;
    return true;
}

/* Exactly `count` digits. */
static bool read_digits(span *in, int count, int *number) {
    for (*number = 0; count > 0; count--, in->at++) {
        if (in->at == in->end || !is_digit(*in->at)) return false;
        *number = *number * 10 + (*in->at - '0');
    }
    return true;
}

/* Reads a time after a pattern: Y the year, y its last two digits, b the name
 * of the month, m d h i s two digits, e a day that may begin with a space, a
 * any word, as of the weekday, t a T or space; all else stands for itself. */
static bool read_pattern(span *in, const char *pattern, calendar *t) {
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    static const char letters[] = "mdhisyY";
    int *const numbers[] = {&t->month,  &t->day,  &t->hour, &t->minute,
                            &t->second, &t->year, &t->year};
    for (; *pattern != '\0'; pattern++) {
        const char *letter = strchr(letters, *pattern);
        bool ok = true;
        if (letter) {
            ok = read_digits(in, *letter == 'Y' ? 4 : 2,
                             numbers[letter - letters]);
            if (*letter == 'y') /* 50 years from now, and no clock needed */
                t->year += t->year < 70 ? 2000 : 1900;
        } else if (*pattern == 'b') {
            t->month = 1;
            while (t->month <= 12 &&
                   (length_of(*in) < 3 ||
                    memcmp(in->at, months + 3 * t->month - 3, 3) != 0))
                t->month++;
            ok = t->month <= 12;
            if (ok) in->at += 3;
        } else if (*pattern == 'e') {
            ok = read_digits(in, scan_char(in, " ") ? 1 : 2, &t->day);
        } else if (*pattern == 'a') {
            while (in->at < in->end && is_alpha(*in->at)) in->at++;
        } else if (*pattern == 't') {
            ok = scan_char(in, "Tt ");
        } else {
            ok = in->at < in->end && *in->at++ == (byte)*pattern;
        }
        if (!ok) return false;
    }
    return true;
}

/* The three forms of a date in HTTP (RFC 9110 section 5.6.7). */
static int64_t read_http_date(const char *text) {
    static const char forms[][19] = {"a, d b Y h:i:s GMT", "a, d-b-y h:i:s GMT",
                                     "a b e h:i:s Y"};
    int64_t unix_s;
    size_t i;
    for (i = 0; i < COUNT(forms); i++) {
        span in = span_of(text, strlen(text));
        calendar t = {0, 0, 0, 0, 0, 0};
        if (read_pattern(&in, forms[i], &t) && in.at == in.end &&
            to_unix(&t, &unix_s))
            return unix_s;
    }
    return HBEAT_NONE;
}

/* The API's times: RFC 3339 with any number of fraction digits, which are cut
 * off, and the same without T and offset, which is UTC. */
static int64_t read_api_time(const char *text) {
    span in = span_of(text, strlen(text));
    calendar t = {0, 0, 0, 0, 0, 0}, offset = t;
    int64_t unix_s;
    bool west;
    if (!read_pattern(&in, "Y-m-dth:i:s", &t) || !to_unix(&t, &unix_s) ||
        (scan_char(&in, ".") && scan_digits(&in) != HBEAT_OK))
        return HBEAT_NONE;
    west = in.at < in.end && *in.at == '-';
    if (in.at < in.end && !scan_char(&in, "Zz") &&
        (!scan_char(&in, "+-") || !read_pattern(&in, "h:i", &offset) ||
         offset.hour > 23 || offset.minute > 59))
        return HBEAT_NONE;
    if (in.at < in.end) return HBEAT_NONE;
    return unix_s + (west ? 60 : -60) * (offset.hour * 60 + offset.minute);
}

/* ==== Requests ========================================================== */

#define DEFAULT_HOST "api.lucit.app"
#define HTTPS_PORT 443
#define HTTP_PORT 80

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
        if (c == '.' ? label == 0 || host[i - 1] == '-'
                     : !(is_alpha(c) || is_digit(c) || c == '_' ||
                         (c == '-' && label > 0)))
            return 0;
        label = c == '.' ? 0 : label + 1;
        numeric = c == '.' || (numeric && is_digit(c));
        if (label > 63) return 0;
    }
    return label > 0 && host[i - 1] != '-' && !numeric && i < 254 ? i : 0;
}

/* NULL, or why the codec's part of a configuration is not fit for use. */
static const char *check_codec(const hbeat_config *cfg) {
    static const char unreserved[] = /* in a path, RFC 3986 section 2.3 */
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
    if (!is_visible_text(cfg->device) || strcmp(cfg->device, ".") == 0 ||
        cfg->device[strspn(cfg->device, unreserved)] != '\0' ||
        strcmp(cfg->device, "..") == 0)
        return "device: a letter, digit or one of -._~ each";
    if (!is_visible_text(cfg->app)) return "app: visible ASCII only";
    if (!is_visible_text(cfg->token)) return "token: visible ASCII only";
    if (cfg->host && host_length(cfg->host) == 0)
        return "host: a DNS name of at most 253 bytes, no address";
    if (!cfg->reply_buffer || cfg->reply_buffer_size == 0)
        return "reply_buffer: missing";
    return NULL;
}

/* A part of a request: text up to a NUL, or `size` bytes of it. */
typedef struct piece {
    const char *text;
    size_t size;
    bool json; /* to be escaped */
} piece;

enum { HEAD_PIECES = 12 }; /* after which the body begins */

static piece head_piece(const hbeat_exchange *x, size_t n) {
    piece p = {NULL, SIZE_MAX, false};
    const char *const texts[HEAD_PIECES] = {
        "POST /api/v3/analytics/lightning-devices/",
        x->cfg->device,
        "/heartbeat HTTP/1.1\r\nHost: ",
        x->host,
        x->port,
        "\r\nAuthorization: Bearer ",
        x->cfg->token,
        "\r\nAppIdV3: ",
        x->cfg->app,
        "\r\nUser-Agent: heartbeat/" HBEAT_VERSION
        "\r\nAccept: application/json"
        "\r\nContent-Type: application/json"
        "\r\nContent-Length: ",
        x->length,
        "\r\n\r\n",
    };
    p.text = texts[n];
    if (p.text == x->host) p.size = x->host_size;
    return p;
}

/* Behind the version, what stands between strings and strings take turns. */
static piece body_piece(const hbeat_exchange *x, size_t n) {
    const hbeat_beat *beat = x->beat;
    piece p = {NULL, SIZE_MAX, n % 2 == 1};
    if (n == 0) p.text = "{\"lightning_version\":\"";
    else if (n == 1) p.text = beat->lightning_version;
    else if (n / 2 <= beat->device_info_count)
        p.text = p.json   ? beat->device_info[n / 2 - 1]
                 : n == 2 ? "\",\"device_info\":[\""
                          : "\",\"";
    else if (n == 2 * beat->device_info_count + 2)
        p.text = n == 2 ? "\"}" : "\"]}";
    return p; /* without text: past the end */
}

static piece request_piece(const hbeat_exchange *x) {
    return x->piece < HEAD_PIECES ? head_piece(x, x->piece)
                                  : body_piece(x, x->piece - HEAD_PIECES);
}

/* Writes what fits of a piece; true once all of it is out. */
static bool pull_piece(hbeat_exchange *x, const piece *p, byte **out,
                       const byte *end) {
    while (x->offset < p->size && p->text[x->offset] != '\0') {
        const byte *from = (const byte *)p->text + x->offset;
        byte unit[UNIT_MAX];
        size_t taken = 1, length = 1;
        if (p->json) length = json_escape(from, unit, &taken);
        else unit[0] = *from;
        if (length > (size_t)(end - *out)) return false;
        memcpy(*out, unit, length);
        *out += length;
        x->offset += taken;
    }
    return true;
}

size_t hbeat_pull(hbeat_exchange *x, void *out, size_t size) {
    byte *at = out, *end = at + size;
    piece p;
    while ((p = request_piece(x)).text && pull_piece(x, &p, &at, end)) {
        x->piece++;
        x->offset = 0;
    }
    return (size_t)(at - (byte *)out);
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
    x->state = x->line_size = 0;
    x->left = 0;
    x->sized = x->chunked = x->closes = x->after_cr = false;
    x->retry_date_s = HBEAT_NONE;
}

hbeat_error hbeat_begin_beat(hbeat_exchange *x, const hbeat_config *cfg,
                             const hbeat_beat *beat, hbeat_reply *reply) {
    char window[256];
    size_t i;
    memset(x, 0, sizeof *x);
    x->cfg = cfg;
    x->beat = beat;
    x->reply = reply;
    x->head_left = HBEAT_HEAD_MAX;
    begin_head(x);
    x->what = check_codec(cfg);
    if (!beat->lightning_version || beat->lightning_version[0] == '\0')
        x->what = "lightning_version: missing";
    for (i = 0; i < beat->device_info_count; i++)
        if (!beat->device_info || !beat->device_info[i])
            x->what = "device_info: a string is missing";
    if (x->what) return HBEAT_ERR_ARGUMENT;
    x->host = cfg->host ? cfg->host : DEFAULT_HOST;
    x->host_size = host_length(x->host);
    if (cfg->port != 0 && cfg->port != HTTPS_PORT) {
        x->port[0] = ':';
        write_decimal(x->port + 1, cfg->port);
    }
    x->piece = HEAD_PIECES; /* one run through a window that nobody reads */
    while ((i = hbeat_pull(x, window, sizeof window)) > 0) x->body_size += i;
    x->piece = 0;
    write_decimal(x->length, x->body_size);
    return HBEAT_OK;
}

/* ==== Replies =========================================================== */

/* Finds the members of an object that have one of `names`.  False where one
 * of them comes twice: which of the two counts is anybody's guess. */
static bool find_members(hbeat_json object, const known *names,
                         hbeat_json *found, size_t count) {
    hbeat_json key, value;
    bool once = true;
    memset(found, 0, count * sizeof *found);
    while (hbeat_json_next(&object, &key, &value)) {
        known text; /* "" where the key is longer, and so none of them */
        size_t size = hbeat_json_string(&key, text, sizeof text);
        size_t i =
            size < sizeof text ? find_name(names, count, text, size) : count;
        if (i == count) continue;
        once = once && found[i].type == HBEAT_JSON_NONE;
        found[i] = value;
    }
    return once;
}

/* Decodes a string where it stands: it never gets longer, and its closing quote
 * leaves room for the NUL.  The value lies in the caller's reply buffer, which
 * is not const.  Absent and null leave *text as it is; false for the rest. */
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

/* False where a member has a type that the API does not give it. */
static bool decode_instruction(hbeat_json object, hbeat_instruction *i) {
    enum { NAME, PARAMETERS, RUN_AT, STATUS, LCUID, CREATED, UPDATED, MEMBERS };
    static const known names[MEMBERS] = {
        "instruction", "parameters", "run_at",    "status",
        "lcuid",       "created_at", "updated_at"};
    hbeat_json found[MEMBERS];
    if (!find_members(object, names, found, MEMBERS)) return false;
    i->parameters = found[PARAMETERS];
    return take_text(&found[NAME], &i->name) &&
           take_time(&found[RUN_AT], &i->run_at, &i->run_at_s) &&
           (found[STATUS].type <= HBEAT_JSON_NULL ||
            hbeat_json_number(&found[STATUS], 0, &i->status) == HBEAT_OK) &&
           take_text(&found[LCUID], &i->lcuid) &&
           take_time(&found[CREATED], &i->created_at, &i->created_at_s) &&
           take_time(&found[UPDATED], &i->updated_at, &i->updated_at_s);
}

static hbeat_error decode_success(hbeat_reply *r, hbeat_json root,
                                  const char **what) {
    enum { SUCCESS, INSTRUCTION, MESSAGE, MEMBERS };
    static const known names[MEMBERS] = {
        "success", "lightning_device_remote_instruction", "message"};
    hbeat_instruction none = r->instruction;
    hbeat_json found[MEMBERS], rest, item;
    *what = "a member comes twice";
    if (!find_members(root, names, found, MEMBERS)) return HBEAT_ERR_JSON;
    *what = "success is not true";
    if (found[SUCCESS].type != HBEAT_JSON_TRUE) {
        take_text(&found[MESSAGE], &r->message);
        return HBEAT_ERR_REFUSED;
    }
    /* No instruction is a member that is missing, null, [] or {}. */
    rest = found[INSTRUCTION];
    if (rest.type >= HBEAT_JSON_ARRAY ? hbeat_json_next(&rest, NULL, &item)
                                      : rest.type > HBEAT_JSON_NULL) {
        *what = "the instruction is not as the API has it";
        if (rest.type != HBEAT_JSON_OBJECT ||
            !decode_instruction(found[INSTRUCTION], &r->instruction)) {
            r->instruction = none;
            return HBEAT_ERR_JSON;
        }
    }
    *what = NULL;
    r->success = true;
    return HBEAT_OK;
}

static bool is_success(int http_status) {
    return http_status == 0 || (http_status >= 200 && http_status < 300);
}

hbeat_error hbeat_decode(hbeat_reply *reply, char *body, size_t body_size,
                         const char **what) {
    static const known message = "message";
    hbeat_reply kept = *reply;
    hbeat_json root = {HBEAT_JSON_OBJECT, body, body_size}, found;
    span in = span_of(body, body_size);
    hbeat_error e;
    reply_clear(reply);
    reply->http_status = kept.http_status;
    reply->retry_after_s = kept.retry_after_s;
    reply->server_time_s = kept.server_time_s;
    if (!is_success(reply->http_status)) {
        /* Taken even from a body that breaks off, if it is whole itself. */
        skip_space(&in);
        root.size -= (size_t)((const char *)in.at - root.text);
        root.text = (const char *)in.at;
        if (find_members(root, &message, &found, 1))
            take_text(&found, &reply->message);
        *what = reply->http_status / 100 == 3 || reply->http_status == 511
                    ? "it leads elsewhere, as a captive portal does"
                    : NULL;
        return HBEAT_ERR_STATUS;
    }
    e = hbeat_json_parse(body, body_size, &root);
    if (e == HBEAT_OK && root.type == HBEAT_JSON_OBJECT)
        return decode_success(reply, root, what);
    *what = body_size == 0             ? "the body is empty"
            : e == HBEAT_ERR_TOO_BIG   ? "the body nests too deep"
            : e == HBEAT_ERR_TRUNCATED ? "the body ends early"
            : memchr(body, '<', body_size)
                ? "the body is a web page, as a captive portal's"
                : "the body is no JSON object";
    return HBEAT_ERR_JSON;
}

/* ==== HTTP/1.1 responses (RFC 9112) ===================================== */

/* What the next byte is part of: of a line, or from BODY on of the body. */
typedef enum http_state {
    STATUS_LINE,
    FIELD_LINE, /* or the empty one behind them */
    CHUNK_LINE, /* a chunk's size, and extensions */
    CHUNK_END,  /* the empty line behind a chunk */
    BODY,       /* `left` bytes */
    OPEN_BODY,  /* all until the connection ends */
    CHUNK,      /* `left` bytes */
    ENDED
} http_state;

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

static void field_connection(hbeat_exchange *x, const char *value) {
    size_t size;
    for (; *value != '\0'; value += size) {
        value += strspn(value, ", \t");
        size = strcspn(value, ", \t");
        if (same_word(value, size, "close")) x->closes = true;
        if (same_word(value, size, "keep-alive")) x->keep_alive = true;
    }
}

/* A name, a colon and a value.  A value that was cut must not frame the body,
 * and a Connection of that length may well hold a close. */
static hbeat_error field_line(hbeat_exchange *x, size_t size) {
    enum { CONNECTION, DATE, RETRY_AFTER, LENGTH, CODING, OTHER };
    static const known names[OTHER] = {"connection", "date", "retry-after",
                                       "content-length", "transfer-encoding"};
    char *line = x->line, *value;
    bool cut = size == sizeof x->line - 1;
    size_t field, i = 0;
    int64_t length;
    for (; is_alpha(line[i]) || is_digit(line[i]) ||
           (line[i] != '\0' && strchr("!#$%&'*+-.^_`|~", line[i]));
         i++)
        line[i] = (char)to_lower(line[i]); /* RFC 9110 section 5.6.2 */
    if (i == 0 || line[i] != ':') return bad_http(x, "a malformed field");
    field = x->trailers || x->tunnel ? OTHER : find_name(names, OTHER, line, i);
    if (cut && (field == LENGTH || field == CODING))
        return bad_http(x, "a field that frames the body is too long");
    if (cut && field != CONNECTION) field = OTHER;
    value = line + i + 1 + strspn(line + i + 1, " \t");
    while (size > 0 && (line[size - 1] == ' ' || line[size - 1] == '\t'))
        line[--size] = '\0';
    switch (field) {
    case CONNECTION:
        if (cut) x->closes = true;
        field_connection(x, value);
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
        if (x->chunked || x->http10 ||
            !same_word(value, strlen(value), "chunked"))
            return bad_http(x, "Transfer-Encoding other than chunked");
        x->chunked = true;
        break;
    default: break;
    }
    return HBEAT_AGAIN;
}

/* The exchange's end: whatever the body holds becomes the reply. */
static hbeat_error end_reply(hbeat_exchange *x) {
    hbeat_error e =
        hbeat_decode(x->reply, x->cfg->reply_buffer, x->received, &x->what);
    if (x->state == OPEN_BODY) x->keep_alive = false;
    return e;
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
    if (x->state == CHUNK_END)
        return bad_http(x, "a chunk longer than its size");
    if (c != '\t' && (c < 0x20 || c == 0x7F))
        return bad_http(x, "a control byte in a line");
    if (x->line_size < sizeof x->line - 1) x->line[x->line_size++] = (char)c;
    return HBEAT_AGAIN;
}

/* Takes bytes of the body; *used is how many. */
static hbeat_error body_bytes(hbeat_exchange *x, const byte *in, size_t size,
                              size_t *used) {
    size_t room = x->cfg->reply_buffer_size - x->received, n = size;
    if (x->state != OPEN_BODY && n > x->left) n = (size_t)x->left;
    *used = n;
    memcpy(x->cfg->reply_buffer + x->received, in, n < room ? n : room);
    if (check_room(x, n) != HBEAT_AGAIN) return HBEAT_ERR_TOO_BIG;
    x->received += n < room ? n : room;
    if (n > room) {
        x->keep_alive = false;
        return end_reply(x);
    }
    if (x->state != OPEN_BODY && (x->left -= n) == 0) {
        if (x->state == BODY) return end_reply(x);
        x->state = CHUNK_END;
    }
    return HBEAT_AGAIN;
}

hbeat_error hbeat_push(hbeat_exchange *x, const void *in, size_t size,
                       size_t *used) {
    const byte *at = in;
    hbeat_error e = HBEAT_AGAIN;
    *used = 0;
    if (x->state == ENDED) return HBEAT_ERR_ARGUMENT;
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
    x->state = ENDED;
    return e;
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
static void put_base64(sink *s, const char *text) {
    static const char digits[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    while (*text != '\0') {
        char four[4] = {'=', '=', '=', '='};
        uint32_t bits = 0;
        int i, n = 0;
        for (i = 0; i < 3; i++) {
            bits = bits << 8 | (byte)text[n];
            if (text[n] != '\0') n++;
        }
        for (i = 0; i <= n; i++) four[i] = digits[bits >> (18 - 6 * i) & 0x3F];
        put(s, four, sizeof four);
        text += n;
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

static unsigned count_of(const hbeat_addresses *a) {
    return (unsigned)a->v6_count + a->v4_count;
}

/* IPv6 fills the list from the front, IPv4 from the back; where they meet,
 * each may have half. */
static void add_address(hbeat_addresses *a, const byte ip[16]) {
    const unsigned room = COUNT(a->list);
    bool v4 = is_v4(ip);
    uint8_t *mine = v4 ? &a->v4_count : &a->v6_count;
    if (count_of(a) == room) {
        if (*mine >= room / 2) return;
        --*(v4 ? &a->v6_count : &a->v4_count);
    }
    memcpy(a->list[v4 ? room - 1 - *mine : *mine], ip, 16);
    ++*mine;
}

/* The n-th in the order of trying: IPv6 and IPv4 by turns. */
static const byte *nth_address(const hbeat_addresses *a, unsigned n) {
    unsigned pairs = a->v6_count < a->v4_count ? a->v6_count : a->v4_count;
    bool v6 = n < 2 * pairs ? n % 2 == 0 : a->v6_count > a->v4_count;
    unsigned i = n < 2 * pairs ? n / 2 : n - pairs;
    return a->list[v6 ? i : COUNT(a->list) - 1 - i];
}

/* The same, but the preferred one goes before all others. */
static const byte *address_in_turn(const hbeat_addresses *a, unsigned turn) {
    unsigned n = 0;
    while (n < count_of(a) && memcmp(nth_address(a, n), a->preferred, 16) != 0)
        n++;
    if (n == count_of(a) || turn > n) return nth_address(a, turn);
    return nth_address(a, turn == 0 ? n : turn - 1);
}

/* ==== Names (RFC 1035) ================================================== */

#define DNS_HEADER 12
#define DNS_QUERY_MAX (DNS_HEADER + 255 + 4)
#define DNS_JUMPS 127  /* in one name, which has no more labels */
#define DNS_ALIASES 16 /* the longest chain of CNAMEs that is followed */

enum { TYPE_A = 1, TYPE_CNAME = 5, TYPE_AAAA = 28, CLASS_IN = 1 };

/* A host's name as names are compared: lower case, without its last dot. */
static void plain_name(const char *host, char name[256]) {
    size_t i, size = host_length(host);
    memset(name, 0, 256);
    for (i = 0; i < size; i++) name[i] = (char)to_lower(host[i]);
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
static size_t dns_query(byte out[DNS_QUERY_MAX], unsigned id, const char *name,
                        unsigned type) {
    static const byte one_question[] = {1, 0, 0, 1, 0, 0, 0, 0, 0, 0};
    byte *label = out + DNS_HEADER, *at = label + 1;
    memcpy(write16(out, id), one_question, sizeof one_question);
    do {
        if (*name != '.' && *name != '\0') {
            *at++ = (byte)*name;
        } else {
            *label = (byte)(at - label - 1);
            label = at++;
        }
    } while (*name++ != '\0');
    *label = 0;
    return (size_t)(write16(write16(at, type), CLASS_IN) - out);
}

/* Takes a name off a message: as a query has it, in lower case and without
 * compression.  A pointer must lead to before the part that it ends, so that
 * no chain of them is endless.  Returns the name's size, 0 where it is bad. */
static size_t dns_name(span message, const byte **in, byte name[255]) {
    const byte *at = *in, *part = at;
    size_t i, size = 0, length, jumps = 0;
    do {
        if (at == message.end) return 0;
        length = *at;
        if (length >= 0xC0) {
            if (message.end - at < 2) return 0;
            if (jumps++ == 0) *in = at + 2;
            at = message.at + (read16(at) & 0x3FFF);
            if (at >= part || jumps > DNS_JUMPS) return 0;
            part = at;
            continue;
        }
        if (length > 63 || length >= (size_t)(message.end - at) ||
            size + length + 1 > 255)
            return 0;
        for (i = 0; i <= length; i++) name[size++] = (byte)to_lower(*at++);
    } while (length != 0);
    if (jumps == 0) *in = at;
    return size;
}

typedef struct dns_rr {
    byte name[255], target[255]; /* the target is a CNAME's */
    size_t name_size, target_size;
    unsigned type; /* 0: of another class */
    uint32_t ttl_s;
    const byte *data;
} dns_rr;

/* Takes a record off a message; false where it is malformed. */
static bool dns_record(span message, const byte **in, dns_rr *r) {
    const byte *at, *alias;
    size_t size;
    r->name_size = dns_name(message, in, r->name);
    at = *in;
    if (r->name_size == 0 || message.end - at < 10) return false;
    r->type = read16(at + 2) == CLASS_IN ? read16(at) : 0;
    r->ttl_s = (uint32_t)read16(at + 4) << 16 | read16(at + 6);
    if (r->ttl_s > INT32_MAX) r->ttl_s = 0; /* RFC 2181 section 8 */
    size = read16(at + 8);
    r->data = alias = at + 10;
    if (size > (size_t)(message.end - r->data)) return false;
    *in = r->data + size;
    if (r->type == TYPE_A) return size == 4;
    if (r->type == TYPE_AAAA) return size == 16;
    if (r->type != TYPE_CNAME) return true;
    r->target_size = dns_name(message, &alias, r->target);
    return r->target_size > 0 && alias == *in;
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
static dns_answer dns_read(hbeat_addresses *a, span message, unsigned type,
                           const byte *query, size_t query_size) {
    hbeat_addresses found = *a;
    const byte *answers, *at = message.at + DNS_HEADER;
    unsigned i, count, left, aliases = 0;
    byte name[255], ip[16];
    size_t size;
    dns_rr r;
    /* The same id, a response to a query, the same one question. */
    if (length_of(message) < query_size || memcmp(message.at, query, 2) != 0 ||
        (message.at[2] & 0xF8) != 0x80 ||
        memcmp(message.at + 4, query + 4, 2) != 0)
        return DNS_STRAY;
    for (i = DNS_HEADER; i < query_size; i++)
        if (to_lower(message.at[i]) != query[i]) return DNS_STRAY;
    if (message.at[2] & 2) return DNS_CUT;
    if ((message.at[3] & 15) == 3) return DNS_MISSING;
    if ((message.at[3] & 15) != 0) return DNS_USELESS;
    size = dns_name(message, &at, name);
    answers = at += 4;
    count = read16(message.at + 6);
    for (left = count; left > 0; left--) {
        if (!dns_record(message, &at, &r)) return DNS_USELESS;
        if (r.name_size != size || memcmp(r.name, name, size) != 0 ||
            (r.type != type && r.type != TYPE_CNAME))
            continue;
        if (r.ttl_s < found.ttl_s) found.ttl_s = r.ttl_s;
        if (r.type == TYPE_CNAME) {
            if (++aliases > DNS_ALIASES) return DNS_USELESS;
            size = r.target_size;
            memcpy(name, r.target, size);
            at = answers;
            left = count + 1;
        } else {
            memcpy(ip, v4_prefix, sizeof v4_prefix);
            if (type == TYPE_A) memcpy(ip + 12, r.data, 4);
            if (type == TYPE_AAAA) memcpy(ip, r.data, 16);
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
    bool comment;
    unsigned number; /* of the word in its line, from 1 on */
    size_t length;
    char text[256]; /* cut if longer: then it is no name and no address */
} words;

/* The file is closed at its end. */
static bool next_word(words *w) {
    for (w->length = 0;; w->at++) {
        bool space, end;
        byte c = ' ';
        if (w->at == w->end && w->fd >= 0) {
            ssize_t n = read(w->fd, w->chunk, w->size);
            w->at = 0;
            w->end = n > 0 ? (size_t)n : 0;
            if (n <= 0) {
                close(w->fd);
                w->fd = -1;
            }
        }
        end = w->at == w->end;
        if (!end) c = w->chunk[w->at];
        space = c <= ' ';
        if (c == '#' || c == ';') w->comment = true;
        if (w->length > 0 && (space || w->comment)) {
            w->text[w->length] = '\0';
            w->number++;
            return true;
        }
        if (end) return false;
        if (c == '\n') {
            w->number = 0;
            w->comment = false;
        } else if (!space && !w->comment && w->length < sizeof w->text - 1) {
            w->text[w->length++] = (char)c;
        }
    }
}

/* hosts(5): in each line an address and its names. */
static void read_hosts(words *w, const char *name, hbeat_addresses *a) {
    bool valid = false;
    byte ip[16];
    while (next_word(w)) {
        size_t size = w->length;
        if (w->text[size - 1] == '.') size--;
        if (w->number == 1) valid = read_ip(w->text, ip);
        else if (valid && same_word(w->text, size, name)) add_address(a, ip);
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
    if (scope) *scope++ = '\0';
    if (r->count == COUNT(r->servers) ||
        !read_ip(text, r->servers[r->count].ip))
        return;
    if (scope && !read_count(scope, &index)) index = if_nametoindex(scope);
    r->servers[r->count++].scope = (uint32_t)index;
}

/* Takes an option such as timeout:5, at least 1 and at most `most`. */
static void read_option(const char *text, const char *name, unsigned most,
                        unsigned *value) {
    int64_t n;
    if (strncmp(text, name, strlen(name)) == 0 &&
        read_count(text + strlen(name), &n))
        *value = n < 1 ? 1 : n > most ? most : (unsigned)n;
}

static void read_resolv(words *w, resolver *r) {
    bool nameserver = false;
    r->count = 0;
    r->timeout_s = 5;
    r->attempts = 2;
    while (next_word(w)) {
        if (w->number == 1) nameserver = strcmp(w->text, "nameserver") == 0;
        if (w->number == 2 && nameserver) add_nameserver(r, w->text);
        read_option(w->text, "timeout:", 30, &r->timeout_s);
        read_option(w->text, "attempts:", 5, &r->attempts);
    }
    if (r->count == 0) add_nameserver(r, memcpy(w->text, "127.0.0.1", 10));
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

/* A socket that neither blocks nor outlives an exec, connected or about to
 * be.  Where the flags of socket() exist no other thread can fork in between.
 * Returns -1 and errno where it cannot be. */
static int open_socket(const byte ip[16], uint32_t scope, unsigned port,
                       int type) {
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    bool is_4 = is_v4(ip);
    int fd, error, result;
    v4.sin_port = v6.sin6_port = htons((uint16_t)port);
    v6.sin6_scope_id = scope;
    memcpy(&v4.sin_addr, ip + 12, 4);
    memcpy(&v6.sin6_addr, ip, 16);
#if defined SOCK_CLOEXEC && defined SOCK_NONBLOCK
    type |= SOCK_CLOEXEC | SOCK_NONBLOCK;
#endif
    fd = socket(is_4 ? AF_INET : AF_INET6, type, 0);
    if (fd < 0) return -1;
#if !defined SOCK_CLOEXEC || !defined SOCK_NONBLOCK
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    fcntl(fd, F_SETFL, O_NONBLOCK);
#endif
    result = is_4 ? connect(fd, (struct sockaddr *)&v4, sizeof v4)
                  : connect(fd, (struct sockaddr *)&v6, sizeof v6);
    if (result == 0 || errno == EINPROGRESS || errno == EINTR) return fd;
    error = errno;
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
    if (n == (ssize_t)size) return true;
    if (n < 0 && errno == EAGAIN) return false;
#endif
    br_hmac_drbg_init(&rng, &br_sha256_vtable, NULL, 0);
    if (!seeder || !seeder(&rng.vtable)) return false;
    br_hmac_drbg_generate(&rng, out, size);
    return true;
}

/* ==== Trust anchors ===================================================== */

#define RSA_MIN 256 /* bytes of a modulus that BearSSL is to trust ... */
#define RSA_MAX 512 /* ... and the most that it can compute with */

/* Takes an element off DER, if it has this tag; *content is what it holds. */
static bool der_take(span *in, byte tag, span *content) {
    const byte *at = in->at;
    size_t size, left = (size_t)(in->end - at);
    if (left < 2 || at[0] != tag) return false;
    size = at[1];
    at += 2;
    left -= 2;
    if (size >= 0x80) {
        size_t extra = size & 0x7F;
        if (extra == 0 || extra > 3 || extra > left) return false;
        left -= extra;
        for (size = 0; extra > 0; extra--) size = size << 8 | *at++;
    }
    if (size > left) return false;
    content->at = at;
    content->end = in->at = at + size;
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
    span info, algorithm, oid, curve, bits, pair;
    if (!der_take(in, 0x30, &info) || !der_take(&info, 0x30, &algorithm) ||
        !der_take(&algorithm, 0x06, &oid) || !der_take(&info, 0x03, &bits) ||
        bits.at == bits.end || *bits.at++ != 0)
        return false;
    if (der_equal(oid, "\x2A\x86\x48\x86\xF7\x0D\x01\x01\x01", 9)) {
        key->key_type = BR_KEYTYPE_RSA;
        return der_take(&bits, 0x30, &pair) &&
               der_unsigned(&pair, &rsa->n, &rsa->nlen) &&
               der_unsigned(&pair, &rsa->e, &rsa->elen) &&
               (rsa->nlen > RSA_MIN ||
                (rsa->nlen == RSA_MIN && rsa->n[0] >= 0x80)) &&
               rsa->nlen <= RSA_MAX;
    }
    if (!der_equal(oid, "\x2A\x86\x48\xCE\x3D\x02\x01", 7) ||
        !der_take(&algorithm, 0x06, &curve))
        return false;
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
static bool der_is_ca(span extensions) {
    span list, extension, oid, value, constraints, flag;
    if (!der_take(&extensions, 0x30, &list)) return false;
    while (der_take(&list, 0x30, &extension)) {
        if (!der_take(&extension, 0x06, &oid) ||
            !der_equal(oid, "\x55\x1D\x13", 3))
            continue;
        der_take(&extension, 0x01, &flag); /* critical */
        return der_take(&extension, 0x04, &value) &&
               der_take(&value, 0x30, &constraints) &&
               der_take(&constraints, 0x01, &flag) && flag.at < flag.end &&
               *flag.at != 0;
    }
    return false;
}

/* The parts of a certificate that make an anchor, RFC 5280 section 4.1. */
static bool der_certificate(span in, br_x509_trust_anchor *ta) {
    span certificate, tbs, part;
    memset(ta, 0, sizeof *ta);
    if (!der_take(&in, 0x30, &certificate) ||
        !der_take(&certificate, 0x30, &tbs))
        return false;
    der_take(&tbs, 0xA0, &part);        /* version */
    if (!der_take(&tbs, 0x02, &part) || /* serial number */
        !der_take(&tbs, 0x30, &part) || /* signature algorithm */
        !der_take(&tbs, 0x30, &part) || /* issuer */
        !der_take(&tbs, 0x30, &part))   /* validity */
        return false;
    ta->dn.data = (byte *)(uintptr_t)tbs.at;
    if (!der_take(&tbs, 0x30, &part)) return false;
    ta->dn.len = (size_t)(tbs.at - ta->dn.data);
    if (!der_key(&tbs, &ta->pkey)) return false;
    der_take(&tbs, 0x81, &part); /* issuerUniqueID */
    der_take(&tbs, 0x82, &part); /* subjectUniqueID */
    if (der_take(&tbs, 0xA3, &part) && der_is_ca(part))
        ta->flags = BR_X509_TA_CA;
    return true;
}

static int base64_value(byte c) {
    return c >= 'A' && c <= 'Z'   ? c - 'A'
           : c >= 'a' && c <= 'z' ? c - 'a' + 26
           : is_digit(c)          ? c - '0' + 52
           : c == '+'             ? 62
           : c == '/'             ? 63
                                  : -1;
}

/* RFC 4648, with white space anywhere.  Returns the number of bytes, 0 where
 * the text is no base64, or more than `room` where they do not fit. */
static size_t read_base64(span in, byte *out, size_t room) {
    size_t size = 0, digits = 0, padding = 0;
    uint32_t bits = 0;
    for (; in.at < in.end; in.at++) {
        int value = base64_value(*in.at);
        if (value >= 0 && padding == 0) {
            bits = bits << 6 | (unsigned)value;
            if (digits++ % 4 == 0) continue;
            if (size == room) return room + 1;
            out[size++] = (byte)(bits >> (6 - 2 * ((digits + 3) % 4)));
        } else if (*in.at == '=') {
            padding++;
        } else if (!strchr(" \t\r\n", *in.at) || *in.at == '\0') {
            return 0;
        }
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
    size_t size, back = a->arena_size - a->used;
    size_t room = front < back ? back - front : 0;
    br_x509_trust_anchor ta;
    br_x509_pkey *key = &ta.pkey;
    byte *gap = (byte *)a->arena + (room > 0 ? front : 0);
    size = read_base64(text, gap, room);
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
    static const char begin[] = "-----BEGIN CERTIFICATE-----";
    size_t align = sizeof(void *), past = (uintptr_t)a->arena % align;
    span in = span_of(pem, size), text;
    hbeat_error e = HBEAT_OK;
    if (!a->list) /* at the arena's first byte that suits it */
        a->list = (void *)((byte *)a->arena + (past > 0 ? align - past : 0));
    for (; e == HBEAT_OK && length_of(in) >= sizeof begin - 1; in.at++) {
        if (memcmp(in.at, begin, sizeof begin - 1) != 0 ||
            (in.at != pem && in.at[-1] != '\n' && in.at[-1] != '\r'))
            continue;
        text.at = in.at += sizeof begin - 1;
        text.end = memchr(in.at, '-', length_of(in));
        if (!text.end) return HBEAT_ERR_TRUNCATED;
        in.at = text.end;
        e = scan_word(&in, "-----END CERTIFICATE-----");
        if (e == HBEAT_OK) {
            e = add_anchor(a, text);
        } else if (e == HBEAT_ERR_JSON) { /* no END; this may be a BEGIN */
            a->skipped++;
            e = HBEAT_OK;
            in.at = text.end;
        }
        in.at--;
    }
    return e != HBEAT_OK || a->count > 0 ? e : HBEAT_ERR_CERT_TRUST;
}

/* ==== Certificates ====================================================== */

/* BearSSL validates the chain.  This looks at the certificates as they stream
 * by, through a window of their last bytes, for what BearSSL passes over: on
 * which side of its dates the clock is, and whether the server's may be used
 * by servers (RFC 5280 section 4.2.1.12).  It refuses more than BearSSL does,
 * and accepts nothing that BearSSL refuses. */

static hbeat_client *client_of(const br_x509_class **x509) {
    return (hbeat_client *)(void *)((byte *)(void *)x509 -
                                    offsetof(hbeat_client, x509));
}

/* UTCTime or GeneralizedTime, RFC 5280 section 4.1.2.5. */
static bool take_date(span *in, int64_t *unix_s) {
    calendar t = {0, 0, 0, 0, 0, 0};
    span date;
    if (der_take(in, 0x17, &date)
            ? !read_pattern(&date, "ymdhisZ", &t)
            : !der_take(in, 0x18, &date) || !read_pattern(&date, "YmdhisZ", &t))
        return false;
    return to_unix(&t, unix_s);
}

/* The object identifiers are told by their bytes alone: one that stood in any
 * other place would have to be put there by the CA. */
static void see_byte(hbeat_look *l, byte b) {
    enum { SIZE = sizeof l->window };
    static const char usage[] = "\x06\x03\x55\x1D\x25";
    static const char server[] = "\x06\x08\x2B\x06\x01\x05\x05\x07\x03\x01";
    static const char any[] = "\x06\x04\x55\x1D\x25\x00";
    span in = span_of(l->window, SIZE), dates;
    const byte *end = l->window + SIZE;
    int64_t not_before_s, not_after_s;
    memmove(l->window, l->window + 1, SIZE - 1);
    l->window[SIZE - 1] = b;
    if (!l->dated && der_take(&in, 0x30, &dates) &&
        take_date(&dates, &not_before_s) && take_date(&dates, &not_after_s)) {
        l->dated = true;
        l->not_before_s = not_before_s;
        if (l->certificates == 1) l->leaf_until_s = not_after_s;
    }
    if (l->certificates != 1) return;
    if (memcmp(end - 5, usage, 5) == 0) l->for_others = true;
    if (memcmp(end - 10, server, 10) == 0 || memcmp(end - 6, any, 6) == 0)
        l->for_others = false;
}

static void look_start(const br_x509_class **x509, uint32_t size) {
    hbeat_client *c = client_of(x509);
    hbeat_look *l = &c->look;
    if (l->certificates < UINT8_MAX) l->certificates++;
    memset(l->window, 0, sizeof l->window);
    l->dated = c->x509.err != 0; /* the dates that count are those before */
    if (!l->dated) l->not_before_s = 0;
    if (l->certificates == 1) l->leaf_until_s = 0;
    br_x509_minimal_vtable.start_cert(x509, size);
}

static void look_append(const br_x509_class **x509, const byte *in,
                        size_t size) {
    size_t i;
    for (i = 0; i < size; i++) see_byte(&client_of(x509)->look, in[i]);
    br_x509_minimal_vtable.append(x509, in, size);
}

/* A subject's common name is no host's name any more (RFC 9525). */
static unsigned look_end(const br_x509_class **x509) {
    hbeat_client *c = client_of(x509);
    unsigned error = br_x509_minimal_vtable.end_chain(x509);
    if (error != 0) return error;
    return c->leaf.status == 0  ? BR_ERR_X509_BAD_SERVER_NAME
           : c->look.for_others ? BR_ERR_WRONG_KEY_USAGE
                                : 0;
}

/* ==== TLS =============================================================== */

#define DAY_S 86400
#define DAYS_TO_1970 719528 /* from the year 0, where BearSSL counts from */

/* The profile, spelt out: TLS 1.2, ECDHE with AEAD, SHA-2, RSA of 2,048 bits
 * or more, no renegotiation.  The look-up of what the processor can do is
 * slow in a virtual machine, so this runs once a client. */
static void tls_profile(hbeat_client *c) {
#define SUITE(name) BR_TLS_ECDHE_##name
    static const uint16_t suites[] = {
        SUITE(ECDSA_WITH_AES_128_GCM_SHA256),
        SUITE(RSA_WITH_AES_128_GCM_SHA256),
        SUITE(ECDSA_WITH_AES_256_GCM_SHA384),
        SUITE(RSA_WITH_AES_256_GCM_SHA384),
        SUITE(ECDSA_WITH_CHACHA20_POLY1305_SHA256),
        SUITE(RSA_WITH_CHACHA20_POLY1305_SHA256),
        SUITE(ECDSA_WITH_AES_128_GCM_SHA256),
        SUITE(RSA_WITH_AES_128_GCM_SHA256),
        SUITE(ECDSA_WITH_AES_256_GCM_SHA384),
        SUITE(RSA_WITH_AES_256_GCM_SHA384),
    };
    static const br_hash_class *const hashes[] = {
        &br_sha256_vtable, &br_sha384_vtable, &br_sha512_vtable};
    bool aes = br_aes_x86ni_ctr_get_vtable() && br_ghash_pclmul_get();
    br_ssl_engine_context *engine = &c->tls.eng;
    br_rsa_pkcs1_vrfy rsa = br_rsa_pkcs1_vrfy_get_default();
    int i;
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
    br_ssl_engine_set_rsavrfy(engine, rsa);
    br_x509_minimal_init(&c->x509, &br_sha256_vtable, c->cfg.anchors,
                         c->cfg.anchor_count);
    br_x509_minimal_set_ecdsa(&c->x509, &br_ec_all_m31,
                              &br_ecdsa_i31_vrfy_asn1);
    br_x509_minimal_set_rsa(&c->x509, rsa);
    br_x509_minimal_set_minrsa(&c->x509, RSA_MIN);
    for (i = 0; i < 3; i++) {
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
    br_ssl_engine_set_buffer(engine, c->cfg.tls_buffer,
                             c->cfg.tls_buffer_size - HBEAT_WIRE_SIZE, 0);
}

static byte *wire(const hbeat_client *c) {
    return (byte *)c->cfg.tls_buffer + c->cfg.tls_buffer_size - HBEAT_WIRE_SIZE;
}

/* What an error of BearSSL's means to the operator. */
static hbeat_error tls_error(int code, const char **what) {
#define ONE(name) BR_ERR_##name, BR_ERR_##name
#define SENT_ALERT(n) BR_ERR_RECV_FATAL_ALERT + n
    static const struct {
        short first, last;
        byte error;
        char what[51];
    } meanings[] = {
        {BR_ERR_UNSUPPORTED_VERSION, BR_ERR_BAD_VERSION, HBEAT_ERR_TLS_VERSION,
         "the peer chose another version"},
        {SENT_ALERT(70), SENT_ALERT(70), HBEAT_ERR_TLS_VERSION,
         "the peer refused the version"},
        {SENT_ALERT(40), SENT_ALERT(40), HBEAT_ERR_TLS,
         "no cipher suite in common, or an older TLS"},
        {SENT_ALERT(0), SENT_ALERT(255), HBEAT_ERR_TLS,
         "the peer sent an alert"},
        {ONE(TOO_LARGE), HBEAT_ERR_TOO_BIG, "a record does not fit tls_buffer"},
        {ONE(WRONG_KEY_USAGE), HBEAT_ERR_CERT_TRUST, "it is not for servers"},
        {ONE(X509_BAD_SIGNATURE), HBEAT_ERR_CERT_TRUST, "a signature is wrong"},
        {ONE(X509_EXPIRED), HBEAT_ERR_CERT_TIME, ""},
        {ONE(X509_DN_MISMATCH), HBEAT_ERR_CERT_TRUST,
         "its chain is out of order"},
        {ONE(X509_BAD_SERVER_NAME), HBEAT_ERR_CERT_NAME, ""},
        {ONE(X509_CRITICAL_EXTENSION), HBEAT_ERR_CERT_TRUST,
         "a critical extension is not known"},
        {BR_ERR_X509_NOT_CA, BR_ERR_X509_FORBIDDEN_KEY_USAGE,
         HBEAT_ERR_CERT_TRUST, "its issuer is no CA that may sign it"},
        {ONE(X509_WEAK_PUBLIC_KEY), HBEAT_ERR_CERT_TRUST, "a key is too short"},
        {ONE(X509_NOT_TRUSTED), HBEAT_ERR_CERT_TRUST,
         "no anchor vouches for it"},
        {BR_ERR_X509_OK, BR_ERR_X509_NOT_TRUSTED, HBEAT_ERR_CERT_TRUST,
         "it is malformed or of a kind that is not accepted"},
        {0, INT16_MAX, HBEAT_ERR_TLS, "the protocol was broken"},
    };
    size_t i = 0;
    while (code < meanings[i].first || code > meanings[i].last) i++;
    *what = meanings[i].what[0] ? meanings[i].what : NULL;
    return (hbeat_error)meanings[i].error;
}

/* ==== The client ======================================================== */

#define DEFAULT_TIMEOUT_MS 30000
#define LONGEST_TIMEOUT_MS (DAY_S * 1000)
#define OTHER_FAMILY_MS 200 /* what the second answer of two may take longer */
#define LAST_S INT64_C(253402300799) /* 9999-12-31T23:59:59Z */
#define GATHER_MAX 208 /* bytes of small records that go out together */

/* The types of record that a handshake may begin with (RFC 5246 6.2.1). */
enum { ALERT = 21, HANDSHAKE = 22 };

/* The families that a nameserver is asked for. */
enum { WANT_AAAA = 1, WANT_A = 2, WANT_BOTH = 3 };

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

/* Ends the connection.  A close_notify goes out if the engine can make one
 * now and the socket takes it now; nobody waits for an answer. */
static void hang_up(hbeat_client *c) {
    size_t size;
    if (c->fd < 0) return;
    if (c->state == IDLE || c->state == RECEIVING) { /* all is sent */
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
    memcpy(a->preferred, address_in_turn(a, turn % count_of(a)), 16);
}

/* An address came to nothing before the server had said a word: the next one
 * is tried.  The last one's error is the exchange's. */
static void fail_over(hbeat_client *c, hbeat_error e, const char *what,
                      int code) {
    hang_up(c);
    c->until_ms = c->deadline_ms;
    c->state = OPEN;
    if (++c->turn < count_of(&c->addresses)) return;
    c->addresses.expires_ms = 0;
    fail(c, e, what, code);
}

/* The connection is gone.  One that was kept may have died at any time since
 * the last reply: unless this reply has begun, a new one takes its place. */
static void lost(hbeat_client *c, const char *what, int code) {
    if (c->kept && !c->answered) {
        hang_up(c);
        c->kept = false;
        c->connection = HBEAT_CONNECTION_NONE;
        c->state = LOOKUP;
        c->x.piece = c->x.offset = 0;
    } else if (c->heard == 0) {
        fail_over(c, HBEAT_ERR_TRUNCATED, what, code);
    } else {
        fail(c, HBEAT_ERR_TRUNCATED, what, code);
    }
}

/* As long as there is no TLS its buffer is the scratch: for files, messages
 * from and to nameservers, and the talk with a proxy.  This sends what is in
 * it once the connection stands.  0: all is out; EAGAIN: not yet; else why it
 * never will be. */
static int send_scratch(hbeat_client *c) {
    struct pollfd p = {c->fd, POLLOUT, 0};
    const byte *out = c->cfg.tls_buffer;
    int error = 0;
    socklen_t size = sizeof error;
    ssize_t n = 0;
    if (poll(&p, 1, 0) <= 0) return EAGAIN;
    if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0)
        return errno;
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
    return c->cfg.proxy     ? c->cfg.proxy
           : c->cfg.address ? c->cfg.address
                            : c->cfg.host;
}

static words open_words(const hbeat_client *c, const char *path) {
    words w = {.chunk = c->cfg.tls_buffer, .size = c->cfg.tls_buffer_size};
    w.fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    return w;
}

/* The query for one family. */
static size_t make_query(const hbeat_client *c, unsigned want,
                         byte out[DNS_QUERY_MAX]) {
    char name[256];
    plain_name(target(c), name);
    return dns_query(out, c->ids[want == WANT_A], name,
                     want == WANT_A ? TYPE_A : TYPE_AAAA);
}

/* Asks a nameserver for what is still wanted.  The queries stand in the scratch
 * as TCP takes them, each behind its size; UDP takes them one by one. */
static bool ask_server(hbeat_client *c, const byte ip[16], uint32_t scope) {
    byte *start = c->cfg.tls_buffer, *at = start;
    unsigned want;
    if (!random_bytes((byte *)c->ids, sizeof c->ids)) return false;
    c->fd = open_socket(ip, scope, 53, c->over_tcp ? SOCK_STREAM : SOCK_DGRAM);
    for (want = WANT_AAAA; c->fd >= 0 && want <= WANT_A; want++) {
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
    int64_t now = now_ms(), share_ms;
    unsigned tries;
    resolver r;
    read_resolv(&w, &r);
    tries = r.count * r.attempts;
    for (; c->tries < tries; c->tries++, c->over_tcp = false) {
        unsigned i = c->tries % r.count;
        if (!ask_server(c, r.servers[i].ip, r.servers[i].scope)) continue;
        share_ms = (c->deadline_ms - now) / (tries - c->tries + 1);
        if (share_ms > r.timeout_s * 1000) share_ms = r.timeout_s * 1000;
        if (count_of(&c->addresses) > 0 && share_ms > OTHER_FAMILY_MS)
            share_ms = OTHER_FAMILY_MS;
        c->until_ms = now + share_ms;
        return;
    }
    c->state = OPEN;
    if (count_of(&c->addresses) == 0)
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
    if (c->over_tcp) {
        ask(c);
    } else if (count_of(a) > 0) {
        a->expires_ms = now_ms() + (int64_t)a->ttl_s * 1000;
        c->state = OPEN;
    } else if (c->wanted > 0) {
        ask(c);
    } else {
        fail(c, HBEAT_ERR_RESOLVE,
             c->missing ? "the name does not exist" : "the name has no address",
             0);
    }
}

/* Finds addresses: still known, in figures, in a file, or by asking. */
static void look_up(hbeat_client *c) {
    hbeat_addresses *a = &c->addresses;
    char name[256];
    byte ip[16];
    words w;
    c->turn = c->tries = 0;
    c->wanted = WANT_BOTH;
    c->missing = c->over_tcp = c->cut = false;
    c->state = OPEN;
    if (count_of(a) > 0 && now_ms() < a->expires_ms) return;
    a->v6_count = a->v4_count = 0;
    a->ttl_s = DAY_S;
    a->expires_ms = 0;
    if (read_ip(target(c), ip)) {
        add_address(a, ip);
        return;
    }
    plain_name(target(c), name);
    w = open_words(c, c->cfg.hosts_path);
    read_hosts(&w, name, a);
    if (count_of(a) == 0) ask(c);
}

/* Takes a message from a nameserver.  Once there is an address, or a reason to
 * ask again, the other answer is not waited for much longer. */
static void take_answer(hbeat_client *c, span message) {
    int64_t soon = now_ms() + OTHER_FAMILY_MS;
    byte query[DNS_QUERY_MAX];
    dns_answer answer = DNS_STRAY;
    unsigned want;
    for (want = WANT_AAAA; want <= WANT_A; want++) {
        size_t size = make_query(c, want, query);
        if (c->unheard & want)
            answer = dns_read(&c->addresses, message,
                              want == WANT_A ? TYPE_A : TYPE_AAAA, query, size);
        if (answer != DNS_STRAY) break;
    }
    if (answer == DNS_STRAY) return;
    c->unheard &= (uint8_t)~want;
    c->missing |= answer == DNS_MISSING;
    c->cut |= answer == DNS_CUT && !c->over_tcp;
    if (answer >= DNS_MISSING) c->wanted &= (uint8_t)~want;
    if (c->unheard == 0) end_try(c);
    else if ((c->cut || count_of(&c->addresses) > 0) && c->until_ms > soon)
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

/* The time that certificates are held against, in Unix seconds: the latest of
 * the system's, the floor, and what the server told; to the year 9999. */
static int64_t certificate_time(hbeat_client *c) {
    bool told = c->server_lead_s != HBEAT_NONE;
    const int64_t clocks[] = {(int64_t)time(NULL), c->cfg.clock_floor_s,
                              told ? c->server_lead_s + now_ms() / 1000 : 0};
    int64_t s = 0;
    uint8_t i;
    c->clock = 0;
    for (i = 0; i < COUNT(clocks); i++) {
        if (clocks[i] <= s) continue;
        s = clocks[i];
        c->clock = i;
    }
    return s < LAST_S ? s : LAST_S;
}

/* The engine has ended: by the peer's close_notify, or by an error. */
static void tls_ended(hbeat_client *c) {
    int code = br_ssl_engine_last_error(&c->tls.eng);
    const char *what;
    size_t used;
    hbeat_error e;
    if (code != BR_ERR_OK) {
        e = tls_error(code, &what);
        fail(c, e, what, e == HBEAT_ERR_TOO_BIG ? 0 : code);
        if (handshaking(c)) prefer(c, c->turn + 1u);
        return;
    }
    e = c->answered ? hbeat_push(&c->x, NULL, 0, &used) : HBEAT_ERR_TRUNCATED;
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
        c->resumable = true;
        if (c->look.certificates > 0) c->session_s = certificate_time(c);
        c->connection = c->kept                    ? HBEAT_CONNECTION_KEPT
                        : c->look.certificates > 0 ? HBEAT_CONNECTION_NEW
                                                   : HBEAT_CONNECTION_RESUMED;
        if (!c->kept) prefer(c, c->turn);
    }
    br_ssl_engine_sendapp_ack(engine, hbeat_pull(&c->x, out, room));
    br_ssl_engine_flush(engine, 0);
}

/* Moves a small record out of the engine, which can then make the next.  The
 * wire has room for it as long as no input is there. */
static bool gather(hbeat_client *c) {
    size_t size;
    byte *record = br_ssl_engine_sendrec_buf(&c->tls.eng, &size);
    if (c->wire_at < c->wire_end || size > GATHER_MAX - c->out_end)
        return false;
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
    struct msghdr message;
    ssize_t n;
    memset(&message, 0, sizeof message);
    message.msg_iov = parts;
    message.msg_iovlen = 2;
    n = sendmsg(c->fd, &message, MSG_NOSIGNAL);
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
    size_t size, first;
    byte *record = br_ssl_engine_recvrec_buf(&c->tls.eng, &size);
    struct iovec parts[2] = {{record, size}, {wire(c), HBEAT_WIRE_SIZE}};
    ssize_t n = readv(c->fd, parts, 2);
    if (n < 0 && would_block(errno)) return;
    if (n <= 0) {
        lost(c,
             n < 0 ? "the connection broke"
                   : "the connection ended without a close_notify",
             n < 0 ? errno : 0);
        return;
    }
    if (c->heard == 0 && record && *record != ALERT && *record != HANDSHAKE) {
        fail(c, HBEAT_ERR_TLS, "what answers there does not speak TLS", 0);
        prefer(c, c->turn + 1u);
        return;
    }
    c->until_ms = c->deadline_ms;
    first = (size_t)n < size ? (size_t)n : size;
    c->wire_at = 0;
    c->wire_end = (uint32_t)((size_t)n - first);
    br_ssl_engine_recvrec_ack(&c->tls.eng, first);
    if (handshaking(c)) c->heard += (uint32_t)n;
    if (c->heard > HBEAT_HANDSHAKE_MAX)
        fail(c, HBEAT_ERR_TLS, "the handshake exceeds HBEAT_HANDSHAKE_MAX", 0);
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
    c->wire_at = c->wire_end = c->out_at = c->out_end = 0;
    c->heard = 0;
    c->look.certificates = 0;
    c->look.for_others = false;
    plain_name(c->cfg.host, name);
    br_x509_minimal_set_time(&c->x509, (uint32_t)(now_s / DAY_S + DAYS_TO_1970),
                             (uint32_t)(now_s % DAY_S));
    if (!random_bytes(random, sizeof random)) {
        fail(c, HBEAT_ERR_TLS, "the kernel has no randomness yet", 0);
        return;
    }
    br_ssl_engine_inject_entropy(&c->tls.eng, random, sizeof random);
    br_ssl_client_reset(&c->tls, name, c->resumable);
    c->resumable = false;
    c->state = SENDING; /* only now may the engine be asked anything */
    talk(c);
}

/* Writes the request for a tunnel (RFC 9110 section 9.3.6) to the scratch. */
static void ask_for_tunnel(hbeat_client *c) {
    char *start = c->cfg.tls_buffer;
    sink s = {start, start + c->cfg.tls_buffer_size};
    int i;
    for (i = 0; i < 2; i++) {
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
    unsigned left = count_of(&c->addresses) - c->turn;
    int64_t now = now_ms();
    int one = 1;
    c->until_ms = now + (c->deadline_ms - now) / left;
    c->out_at = c->out_end = 0;
    if (c->cfg.proxy) ask_for_tunnel(c);
    c->state = CONNECTING;
    c->fd = open_socket(address_in_turn(&c->addresses, c->turn), 0,
                        c->cfg.proxy ? c->cfg.proxy_port : c->cfg.address_port,
                        SOCK_STREAM);
    if (c->fd < 0) fail_over(c, HBEAT_ERR_CONNECT, NULL, errno);
    else /* records are whole when they are sent: Nagle's wait gains nothing */
        setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}

static void hear_proxy(hbeat_client *c) {
    byte *in = c->cfg.tls_buffer;
    ssize_t n = recv(c->fd, in, c->cfg.tls_buffer_size, 0);
    size_t used;
    int status;
    hbeat_error e;
    if (n < 0 && would_block(errno)) return;
    if (n <= 0) {
        fail_over(c, HBEAT_ERR_PROXY, "it ended the connection", 0);
        return;
    }
    c->until_ms = c->deadline_ms;
    e = hbeat_push(&c->x, in, (size_t)n, &used);
    status = c->x.reply->http_status;
    if (e == HBEAT_AGAIN) return;
    if (e != HBEAT_OK || used < (size_t)n) {
        const char *what =
            e == HBEAT_OK ? "it sends more than its reply" : c->x.what;
        if (status == 407 || status == 401)
            what = "it wants another user or password";
        fail(c, HBEAT_ERR_PROXY, what, status);
        prefer(c, c->turn + 1u);
        return;
    }
    c->x.tunnel = false;
    begin_head(&c->x);
    begin_tls(c);
}

/* ---- Steps and calls ---- */

static const char *occupation(const hbeat_client *c) {
    return c->state < OPEN          ? "while looking up the name"
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
        /* A server has nothing to say between two requests: whatever waits
         * there is its farewell, or a reply to nobody's request that must not
         * be taken for the next one (RFC 9112 section 9.2). */
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
    int status = c->error == HBEAT_ERR_PROXY ? r->http_status : 0;
    size_t unread;
    if (c->x.tunnel) { /* nothing else that a proxy says is handed on */
        reply_clear(r);
        r->http_status = status;
        c->x.keep_alive = false;
    }
    r->connection = c->connection;
    if (c->answered && r->server_time_s != HBEAT_NONE) {
        /* Past the server's own certificate its clock cannot be right. */
        if (c->look.leaf_until_s == 0 || /* not seen: resumed from a file */
            r->server_time_s < c->look.leaf_until_s)
            c->server_lead_s = r->server_time_s - now_ms() / 1000;
        r->clock_offset_s = r->server_time_s - (int64_t)time(NULL);
    }
    if (c->x.state != ENDED || !c->x.keep_alive || c->wire_at < c->wire_end ||
        br_ssl_engine_recvapp_buf(&c->tls.eng, &unread))
        hang_up(c);
    c->state = IDLE;
}

hbeat_error hbeat_step(hbeat_client *c) {
    int64_t now;
    if (c->error != HBEAT_AGAIN) return c->error;
    now = now_ms();
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
    const char *what = check_codec(cfg);
    memset(c, 0, sizeof *c);
    c->fd = -1;
    c->cfg = *cfg;
    if (!what) what = check_client(cfg);
    if (what) {
        fail(c, HBEAT_ERR_ARGUMENT, what, 0);
        return c->error;
    }
    if (!cfg->host) c->cfg.host = DEFAULT_HOST;
    if (cfg->timeout_ms == 0) c->cfg.timeout_ms = DEFAULT_TIMEOUT_MS;
    if (cfg->port == 0) c->cfg.port = HTTPS_PORT;
    if (cfg->address_port == 0) c->cfg.address_port = c->cfg.port;
    if (cfg->proxy_port == 0) c->cfg.proxy_port = HTTP_PORT;
    if (!cfg->hosts_path) c->cfg.hosts_path = "/etc/hosts";
    if (!cfg->resolv_path) c->cfg.resolv_path = "/etc/resolv.conf";
    c->server_lead_s = HBEAT_NONE;
    tls_profile(c);
    c->state = IDLE;
    return HBEAT_OK;
}

hbeat_error hbeat_start_beat(hbeat_client *c, const hbeat_beat *beat,
                             hbeat_reply *reply) {
    hbeat_error e;
    if (c->state == UNFIT) {
        reply_clear(reply);
        return HBEAT_ERR_ARGUMENT;
    }
    if (c->state != IDLE) hang_up(c);
    c->state = IDLE;
    c->until_ms = c->deadline_ms = now_ms() + c->cfg.timeout_ms;
    e = hbeat_begin_beat(&c->x, &c->cfg, beat, reply);
    fail(c, e == HBEAT_OK ? HBEAT_AGAIN : e, c->x.what, 0);
    if (e != HBEAT_OK) return e;
    c->kept = c->fd >= 0;
    c->answered = false;
    c->connection = HBEAT_CONNECTION_NONE;
    c->state = c->kept ? LOOK : LOOKUP;
    return HBEAT_OK;
}

hbeat_error hbeat_send(hbeat_client *c, const hbeat_beat *beat,
                       hbeat_reply *reply) {
    hbeat_error e = hbeat_start_beat(c, beat, reply);
    if (e != HBEAT_OK) return e;
    while ((e = hbeat_step(c)) == HBEAT_AGAIN) {
        hbeat_wait w = hbeat_wants(c);
        struct pollfd p = {w.fd, w.events, 0};
        if (w.fd >= 0) poll(&p, 1, w.timeout_ms);
    }
    return e;
}

/* A session as bytes: when it was made, the engine's parameters, and a digest
 * of these, the host and the anchors: it serves only where its certificate
 * was verified. */
enum {
    PARAMETERS = 8,
    ID_SIZE = offsetof(br_ssl_session_parameters, session_id_len),
    DIGEST = HBEAT_SESSION_SIZE - br_sha256_SIZE
};

static void session_digest(const hbeat_client *c, const byte *session,
                           byte digest[br_sha256_SIZE]) {
    br_sha256_context sha;
    char host[256];
    size_t i;
    plain_name(c->cfg.host, host);
    br_sha256_init(&sha);
    br_sha256_update(&sha, session, DIGEST);
    br_sha256_update(&sha, host, sizeof host);
    br_sha256_update(&sha, &c->cfg.port, sizeof c->cfg.port);
    for (i = 0; i < c->cfg.anchor_count; i++) {
        const br_x509_trust_anchor *ta = &c->cfg.anchors[i];
        bool ec = ta->pkey.key_type == BR_KEYTYPE_EC;
        br_sha256_update(&sha, ta->dn.data, ta->dn.len);
        br_sha256_update(&sha, ec ? ta->pkey.key.ec.q : ta->pkey.key.rsa.n,
                         ec ? ta->pkey.key.ec.qlen : ta->pkey.key.rsa.nlen);
    }
    br_sha256_out(&sha, digest);
}

bool hbeat_session_save(const hbeat_client *c,
                        unsigned char out[HBEAT_SESSION_SIZE]) {
    if (!c->resumable || c->tls.eng.session.session_id_len == 0) return false;
    memcpy(out, &c->session_s, PARAMETERS);
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
    memcpy(&session_s, session, PARAMETERS);
    session_digest(c, session, digest);
    if (memcmp(session + DIGEST, digest, sizeof digest) != 0 ||
        session[PARAMETERS + ID_SIZE] == 0 ||
        session[PARAMETERS + ID_SIZE] > sizeof c->tls.eng.session.session_id ||
        session_s < certificate_time(c) - DAY_S)
        return false;
    memcpy(&c->tls.eng.session, session + PARAMETERS, DIGEST - PARAMETERS);
    c->session_s = session_s;
    c->resumable = true;
    return true;
}

void hbeat_close(hbeat_client *c) {
    volatile byte *secret = c->cfg.tls_buffer;
    size_t i;
    if (c->state == UNFIT) return;
    hang_up(c);
    for (i = 0; i < c->cfg.tls_buffer_size; i++) secret[i] = 0;
    secret = (volatile byte *)c;
    for (i = 0; i < sizeof *c; i++) secret[i] = 0;
    c->fd = -1;
}

/* ==== Error texts ======================================================= */

/* A sentence an error, in the enum's order; @ is the host. */
static const char sentences[][44] = {
    "the heartbeat reached @",
    "the heartbeat to @ is under way",
    "an argument is wrong",
    "no address for @",
    "no connection to @",
    "the proxy lets nothing through to @",
    "no reply from @ within the time",
    "@ does not offer TLS 1.2",
    "the certificate is not for @",
    "the certificate of @ is not trusted",
    "the certificate of @",
    "TLS with @ failed",
    "the reply from @ is not whole",
    "the reply from @ is not HTTP/1.1",
    "@ answered with an error",
    "@ refused the heartbeat",
    "the reply from @ is not the API's",
    "a buffer is too small for the reply from @"};

/* A name of any origin: its beginning, and nothing that moves a terminal. */
static void put_name(sink *s, const char *name) {
    int i;
    for (i = 0; i < 60 && name[i] != '\0'; i++)
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
    static const char clocks[][24] = {"the system's clock", "clock_floor_s",
                                      "the server's last Date"};
    int64_t days = (int64_t)c->x509.days - DAYS_TO_1970;
    int64_t now_s = days * DAY_S + c->x509.seconds;
    int year = 1970, month = 1;
    while (days_since_1970(year + 1, 1, 1) <= days) year++;
    while (month < 12 && days_since_1970(year, month + 1, 1) <= days) month++;
    days -= days_since_1970(year, month, 1) - 1;
    put_text(s, now_s < c->look.not_before_s ? " is not valid yet: "
                                             : " has expired: ");
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
    const char *sentence = sentences[c->error];
    size_t before = strcspn(sentence, "@");
    const char *host = c->cfg.host ? c->cfg.host : DEFAULT_HOST;
    bool posix =
        c->error == HBEAT_ERR_CONNECT || c->error == HBEAT_ERR_TRUNCATED;
    bool tls = c->error >= HBEAT_ERR_TLS_VERSION && c->error <= HBEAT_ERR_TLS;
    if (c->error == HBEAT_ERR_RESOLVE || c->error == HBEAT_ERR_CONNECT)
        host = c->cfg.proxy ? c->cfg.proxy : host;
    put(&s, sentence, before);
    if (sentence[before] == '@') {
        put_name(&s, host);
        put_text(&s, sentence + before + 1);
    }
    if (c->error == HBEAT_ERR_CERT_TIME) put_dates(&s, c);
    if (c->what) {
        put_text(&s, ": ");
        put_text(&s, c->what);
    }
    if (c->error != HBEAT_OK && c->code != 0) {
        if (posix) put_text(&s, errno_text(c->code));
        put_text(&s, posix ? " (errno " : tls ? " (BearSSL " : " (HTTP ");
        put_number(&s, (uint64_t)c->code);
        put_text(&s, ")");
    }
    if (c->leaf.status == 1 &&
        (c->error == HBEAT_ERR_CERT_NAME || c->error == HBEAT_ERR_CERT_TRUST)) {
        put_text(&s, ": it is for ");
        put_name(&s, c->leaf.buf);
    }
    return c->explain;
}
#endif

const char *hbeat_error_name(hbeat_error e) {
    static const char names[][12] = {
        "ok",        "again",   "argument",    "resolve",   "connect",
        "proxy",     "timeout", "tls-version", "cert-name", "cert-trust",
        "cert-time", "tls",     "truncated",   "http",      "status",
        "refused",   "json",    "too-big"};
    return (size_t)e < COUNT(names) ? names[e] : "unknown";
}

const char *hbeat_version(void) {
    return HBEAT_VERSION;
}
