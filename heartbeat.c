/*
 * heartbeat - see heartbeat.h for the contract of every call.
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
 *     IDLE ---> LOOK ---> talk <---> SENDING
 *       \        |         | ^
 *        `----> OPEN       | `----> RECEIVING
 *                |         |
 *           CONNECTING ----'        (the end of an exchange: IDLE again)
 *
 * LOOK finds out whether a kept connection is still good, OPEN makes a new
 * one.  talk() lets the engine work until it needs the socket.  Small records
 * gather in client.out, so that a handshake's last flight is one write; the
 * request's record is written straight from the engine.  One read fills what
 * the engine asks for and, behind that, the wire: the tail of the caller's
 * TLS buffer, where later records wait.  So a heartbeat on a kept connection
 * is one look, one write, one poll and one read.
 *
 * What lives where.  Everything is in the caller's memory: the client, the
 * TLS buffer (one record, then the wire), the reply buffer, the arena of the
 * trust anchors.  There are no globals but constants.
 *
 * The sections, each using only those above it: bytes, JSON out, JSON in,
 * times, requests, replies, HTTP/1.1 responses, sockets, trust anchors, TLS,
 * the client, error texts.  From sockets to the client's error texts all is
 * left out by HBEAT_NO_NET.
 */
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

ASSERT(double_is_ieee_754, sizeof(double) == 8);
ASSERT(depth_fits_bits, HBEAT_JSON_DEPTH <= 64);
ASSERT(head_fits_count, HBEAT_HEAD_MAX <= UINT32_MAX);
#ifndef HBEAT_NO_NET
ASSERT(wire_fits_count, HBEAT_WIRE_SIZE > 0 && HBEAT_WIRE_SIZE <= UINT16_MAX);
ASSERT(handshake_fits_count, HBEAT_HANDSHAKE_MAX <= UINT32_MAX / 2);
ASSERT(sentence_fits, HBEAT_EXPLAIN_SIZE >= 128);
ASSERT(sha2_in_a_row, br_sha256_ID + 2 == br_sha512_ID);
#endif

typedef unsigned char byte;

/* Input that is consumed from the front. */
typedef struct span {
    const byte *at, *end;
} span;

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

/*
 * Names in a table hold no pointers, so that they need no relocation and stay
 * in ROM.  The longest is lightning_device_remote_instruction.
 */
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

/*
 * The length of the UTF-8 sequence at `p` (RFC 3629), 1 to 4.  Minus the
 * length of its longest good beginning, or -1, where it is invalid; 0 where
 * the input ends inside it.
 */
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
    size_t i, length = code < 0x80      ? 1
                       : code < 0x800   ? 2
                       : code < 0x10000 ? 3
                                        : 4;
    static const byte lead[] = {0, 0x00, 0xC0, 0xE0, 0xF0};
    for (i = length - 1; i > 0; i--) {
        out[i] = (byte)(0x80 | (code & 0x3F));
        code >>= 6;
    }
    out[0] = (byte)(lead[length] | code);
    return length;
}

/* ==== JSON out ========================================================== */

/*
 * Writes the first character of a NUL-terminated string as it stands inside
 * a JSON string, and returns its length; *taken is how many bytes it was.
 * What is not UTF-8 becomes U+FFFD: a heartbeat must not be lost over an odd
 * name.  No sequence reads past the NUL, which continues none.
 */
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

/*
 * A function named scan_ moves past one construct and returns HBEAT_OK,
 * HBEAT_ERR_JSON where no text that begins so can be right, or
 * HBEAT_ERR_TRUNCATED where the input ends too early.
 */

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

static hbeat_error scan_scalar(span *in) {
    switch (type_of(*in->at)) {
    case HBEAT_JSON_STRING: return scan_string(in);
    case HBEAT_JSON_NULL: return scan_word(in, "null");
    case HBEAT_JSON_TRUE: return scan_word(in, "true");
    case HBEAT_JSON_FALSE: return scan_word(in, "false");
    default: return scan_number(in);
    }
}

/* A member's name and the colon behind it. */
static hbeat_error scan_name(span *in) {
    hbeat_error e;
    if (*in->at != '"') return HBEAT_ERR_JSON;
    e = scan_string(in);
    skip_space(in);
    return e != HBEAT_OK ? e : scan_word(in, ":");
}

/*
 * Any value.  The arrays and objects around the place in hand are bits of
 * `objects`, the innermost lowest, so that no text can exhaust a stack.
 */
static hbeat_error scan_value(span *in) {
    enum { VALUE, FIRST_VALUE, NAME, FIRST_NAME, AFTER } expect = VALUE;
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
            e = scan_name(in);
            expect = VALUE;
        } else if (*in->at == '[' || *in->at == '{') {
            if (++depth > HBEAT_JSON_DEPTH) return HBEAT_ERR_TOO_BIG;
            objects = objects << 1 | (*in->at == '{');
            expect = *in->at == '{' ? FIRST_NAME : FIRST_VALUE;
            in->at++;
        } else {
            e = scan_scalar(in);
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

/*
 * What is left of a container begins with its bracket as long as nothing was
 * taken, and with a comma or the closing bracket afterwards: no further state
 * is needed.  A text that turns out bad leaves nothing.
 */
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

/* The next character of a string's text, as UTF-8. */
static size_t next_unit(span *in, byte unit[4]) {
    uint32_t code = 0;
    if (*in->at != '\\') {
        unit[0] = *in->at++;
        return 1;
    }
    if (scan_escape(in, &code) != HBEAT_OK)
        in->at = in->end; /* never so in a text that was checked */
    return utf8_write(code ? code : 0xFFFD, unit);
}

size_t hbeat_json_string(const hbeat_json *value, char *out, size_t size) {
    span in = span_of(value->text, 0);
    size_t length = 0;
    if (value->type == HBEAT_JSON_STRING && value->size >= 2)
        in = span_of(value->text + 1, value->size - 2);
    while (in.at < in.end) {
        byte unit[4];
        size_t n = next_unit(&in, unit);
        if (length + n < size) memcpy(out + length, unit, n);
        length += n;
    }
    if (size > 0) out[length < size ? length : 0] = '\0';
    return length;
}

hbeat_error hbeat_json_integer(const hbeat_json *value, int64_t *number) {
    span in = span_of(value->text, value->size);
    bool negative = value->type == HBEAT_JSON_NUMBER && scan_char(&in, "-");
    uint64_t limit = (uint64_t)INT64_MAX + (negative ? 1 : 0), n = 0;
    if (value->type != HBEAT_JSON_NUMBER) return HBEAT_ERR_JSON;
    for (; in.at < in.end && is_digit(*in.at); in.at++) {
        unsigned digit = (unsigned)(*in.at - '0');
        if (n > (limit - digit) / 10)
            n = limit + 1; /* stays above the limit from here on */
        else
            n = n * 10 + digit;
    }
    if (in.at < in.end) return HBEAT_ERR_JSON;
    if (n > limit) return HBEAT_ERR_TOO_BIG;
    *number = negative && n > 0 ? -(int64_t)(n - 1) - 1 : (int64_t)n;
    return HBEAT_OK;
}

/*
 * Numbers as doubles.  A decimal number is laid out in binary, exactly, in
 * fixed point: WORDS words before the point, which hold 10^309, and WORDS
 * behind it, which reach below the smallest double.  The digits before the
 * point go in first to last, times ten; those behind it last to first, over
 * ten.  What falls off the low end is remembered as `inexact`, all that
 * rounding to nearest needs.  So any number of digits is read right, by
 * integers alone: no locale, no rounding mode, no excess precision.
 */
#define WORDS 34
#define POINT (32 * WORDS)       /* the bit that has the value of one */
#define LOWEST (POINT - 1074)    /* the bit of the smallest double */
#define EXPONENT_LIMIT 100000000 /* more zeros than any text has digits */

typedef struct fixed {
    uint32_t word[2 * WORDS]; /* least significant first */
    bool inexact;
} fixed;

static void fixed_push_integer_digit(fixed *f, unsigned digit) {
    uint64_t carry = digit;
    int i;
    for (i = WORDS; i < 2 * WORDS; i++) {
        carry += (uint64_t)f->word[i] * 10;
        f->word[i] = (uint32_t)carry;
        carry >>= 32;
    }
}

static void fixed_push_fraction_digit(fixed *f, unsigned digit) {
    uint64_t rest = digit;
    int i;
    for (i = WORDS - 1; i >= 0; i--) {
        rest = rest << 32 | f->word[i];
        f->word[i] = (uint32_t)(rest / 10);
        rest %= 10;
    }
    f->inexact = f->inexact || rest != 0;
}

static uint64_t fixed_bit(const fixed *f, int i) {
    return f->word[i / 32] >> (i % 32) & 1;
}

/* The IEEE 754 form, rounded to nearest, ties to even. */
static uint64_t fixed_round(const fixed *f) {
    int top = 2 * POINT - 1, low, i;
    uint64_t mantissa = 0;
    bool below = f->inexact;
    while (top > LOWEST && !fixed_bit(f, top)) top--;
    low = top - 52 > LOWEST ? top - 52 : LOWEST;
    for (i = top; i >= low; i--) mantissa = mantissa << 1 | fixed_bit(f, i);
    for (i = 0; i < low - 1; i++) below = below || fixed_bit(f, i);
    if (fixed_bit(f, low - 1) && (below || mantissa & 1))
        mantissa++; /* carries into the exponent where it must */
    return ((uint64_t)(low - LOWEST) << 52) + mantissa;
}

/* A number's digits without its point, and where the point stands. */
typedef struct figures {
    const char *text;
    long count, point; /* digits in all; digits before the decimal point */
    long dot;          /* where the text has its '.', or count */
} figures;

static unsigned digit_at(const figures *d, long i) {
    return i < d->count ? (unsigned)(d->text[i + (i >= d->dot)] - '0') : 0;
}

static figures split_number(span in) {
    figures d = {(const char *)in.at, 0, 0, 0};
    for (; in.at < in.end && is_digit(*in.at); in.at++) d.count++;
    d.point = d.dot = d.count;
    if (scan_char(&in, "."))
        for (; in.at < in.end && is_digit(*in.at); in.at++) d.count++;
    if (scan_char(&in, "eE")) {
        long exponent = 0;
        bool negative = in.at < in.end && *in.at == '-';
        scan_char(&in, "+-");
        for (; in.at < in.end && is_digit(*in.at); in.at++)
            if (exponent < EXPONENT_LIMIT)
                exponent = exponent * 10 + (*in.at - '0');
        d.point += negative ? -exponent : exponent;
    }
    return d;
}

hbeat_error hbeat_json_double(const hbeat_json *value, double *number) {
    span in = span_of(value->text, value->size);
    bool negative = value->type == HBEAT_JSON_NUMBER && scan_char(&in, "-");
    fixed f = {{0}, false};
    uint64_t bits;
    long i, first = 0;
    figures d;
    if (value->type != HBEAT_JSON_NUMBER) return HBEAT_ERR_JSON;
    d = split_number(in);
    while (first < d.count && digit_at(&d, first) == 0) first++;
    if (first == d.count || d.point - first < -400)
        d.count = d.point = first = 0; /* zero, or nearer to it than any */
    if (d.point - first > 309) return HBEAT_ERR_TOO_BIG;
    for (i = first; i < d.point; i++)
        fixed_push_integer_digit(&f, digit_at(&d, i));
    for (i = d.count - 1; i >= d.point; i--)
        fixed_push_fraction_digit(&f, i >= first ? digit_at(&d, i) : 0);
    bits = fixed_round(&f);
    if (bits >= (uint64_t)0x7FF << 52) return HBEAT_ERR_TOO_BIG;
    bits |= (uint64_t)negative << 63;
    memcpy(number, &bits, sizeof bits);
    return HBEAT_OK;
}

/* ==== Times ============================================================= */

typedef struct calendar {
    int year, month, day, hour, minute, second;
} calendar;

static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";

/*
 * Days from 1970-01-01 in the Gregorian calendar.  The year is taken to
 * begin in March, so that the leap day is its last.
 */
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

static bool read_month(span *in, int *month) {
    for (*month = 1; *month <= 12; ++*month) {
        if (in->end - in->at >= 3 &&
            memcmp(in->at, months + (*month - 1) * 3, 3) == 0) {
            in->at += 3;
            return true;
        }
    }
    return false;
}

static bool read_weekday(span *in) {
    const byte *start = in->at;
    while (in->at < in->end && is_alpha(*in->at)) in->at++;
    return in->at > start;
}

/*
 * Reads a time after a pattern: Y the year, y its last two digits, b the name
 * of the month, m d h i s two digits, e a day that may begin with a space, a
 * the name of the weekday, t a T or space; all else stands for itself.
 */
static bool read_pattern(span *in, const char *pattern, calendar *t) {
    int *const twos[] = {&t->month, &t->day, &t->hour, &t->minute, &t->second};
    static const char letters[] = "mdhis";
    bool ok = true;
    for (; ok && *pattern != '\0'; pattern++) {
        const char *two = strchr(letters, *pattern);
        switch (*pattern) {
        case 'Y': ok = read_digits(in, 4, &t->year); break;
        case 'y': /* RFC 9110 speaks of 50 years from now: no clock needed */
            ok = read_digits(in, 2, &t->year);
            t->year += t->year < 70 ? 2000 : 1900;
            break;
        case 'b': ok = read_month(in, &t->month); break;
        case 'e':
            ok = read_digits(in, scan_char(in, " ") ? 1 : 2, &t->day);
            break;
        case 'a': ok = read_weekday(in); break;
        case 't': ok = scan_char(in, "Tt "); break;
        default:
            ok = two ? read_digits(in, 2, twos[two - letters])
                     : in->at < in->end && *in->at++ == (byte)*pattern;
        }
    }
    return ok;
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

/* RFC 3339's offset from UTC in seconds; none is UTC. */
static bool read_offset(span *in, int64_t *offset_s) {
    bool west = in->at < in->end && *in->at == '-';
    calendar t = {0, 0, 0, 0, 0, 0};
    *offset_s = 0;
    if (in->at == in->end || scan_char(in, "Zz")) return true;
    if (!scan_char(in, "+-") || !read_pattern(in, "h:i", &t) || t.hour > 23 ||
        t.minute > 59)
        return false;
    *offset_s = (west ? -1 : 1) * (t.hour * 3600 + t.minute * 60);
    return true;
}

/*
 * The API's times: RFC 3339 with any number of fraction digits, which are
 * cut off, and the same without T and offset, which is UTC.
 */
static int64_t read_api_time(const char *text) {
    span in = span_of(text, strlen(text));
    calendar t = {0, 0, 0, 0, 0, 0};
    int64_t unix_s, offset_s;
    if (!read_pattern(&in, "Y-m-dth:i:s", &t) ||
        (scan_char(&in, ".") && scan_digits(&in) != HBEAT_OK) ||
        !read_offset(&in, &offset_s) || in.at < in.end || !to_unix(&t, &unix_s))
        return HBEAT_NONE;
    return unix_s - offset_s;
}

/* ==== Requests ========================================================== */

#define DEFAULT_HOST "api.lucit.app"
#define HTTPS_PORT 443

/* RFC 3986 section 2.3: what stands for itself anywhere in a path. */
static bool is_unreserved(int c) {
    return is_alpha(c) || is_digit(c) || c == '-' || c == '.' || c == '_' ||
           c == '~';
}

/* What cannot break out of a header field. */
static bool is_visible(int c) {
    return c > 0x20 && c < 0x7F;
}

static bool is_made_of(const char *text, bool (*allowed)(int)) {
    if (!text || *text == '\0') return false;
    while (*text != '\0')
        if (!allowed((byte)*text++)) return false;
    return true;
}

/*
 * The length of a DNS name without its trailing dot (RFC 1035 section 2.3.4,
 * with underscores), or 0 where it is none.  A last label of digits alone is
 * an address, which BearSSL cannot hold against a certificate.
 */
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
    if (!is_made_of(cfg->device, is_unreserved) ||
        strcmp(cfg->device, ".") == 0 || strcmp(cfg->device, "..") == 0)
        return "device: a letter, digit or one of -._~ each";
    if (!is_made_of(cfg->app, is_visible)) return "app: visible ASCII only";
    if (!is_made_of(cfg->token, is_visible)) return "token: visible ASCII only";
    if (cfg->host && host_length(cfg->host) == 0)
        return "host: a DNS name of at most 253 bytes, no address";
    if (!cfg->reply_buffer || cfg->reply_buffer_size == 0)
        return "reply_buffer: missing";
    return NULL;
}

static const char *check_beat(const hbeat_beat *beat) {
    size_t i;
    if (!beat->lightning_version || beat->lightning_version[0] == '\0')
        return "lightning_version: missing";
    if (beat->device_info_count > 0 && !beat->device_info)
        return "device_info: missing";
    for (i = 0; i < beat->device_info_count; i++)
        if (!beat->device_info[i]) return "device_info: a string is NULL";
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
    if (n == 0)
        p.text = "{\"lightning_version\":\"";
    else if (n == 1)
        p.text = beat->lightning_version;
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

static void request_rewind(hbeat_exchange *x) {
    x->piece = x->offset = 0;
}

/* Writes what fits of a piece; true once all of it is out. */
static bool pull_piece(hbeat_exchange *x, const piece *p, byte **out,
                       const byte *end) {
    while (x->offset < p->size && p->text[x->offset] != '\0') {
        const byte *from = (const byte *)p->text + x->offset;
        byte unit[UNIT_MAX];
        size_t taken = 1, length = 1;

        if (p->json)
            length = json_escape(from, unit, &taken);
        else
            unit[0] = *from;
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

/* Finds the body's size by a run through a window that nobody looks at. */
static void measure_body(hbeat_exchange *x) {
    char window[256];
    size_t n;
    x->piece = HEAD_PIECES;
    while ((n = hbeat_pull(x, window, sizeof window)) > 0) x->body_size += n;
    request_rewind(x);
    write_decimal(x->length, x->body_size);
}

static void reply_clear(hbeat_reply *r) {
    memset(r, 0, sizeof *r);
    r->retry_after_s = r->server_time_s = HBEAT_NONE;
    r->instruction.run_at_s = r->instruction.status = HBEAT_NONE;
    r->instruction.created_at_s = r->instruction.updated_at_s = HBEAT_NONE;
}

hbeat_error hbeat_begin_beat(hbeat_exchange *x, const hbeat_config *cfg,
                             const hbeat_beat *beat, hbeat_reply *reply) {
    memset(x, 0, sizeof *x);
    reply_clear(reply);
    x->cfg = cfg;
    x->beat = beat;
    x->reply = reply;
    x->head_left = HBEAT_HEAD_MAX;
    x->retry_date_s = HBEAT_NONE;
    x->what = check_codec(cfg);
    if (!x->what) x->what = check_beat(beat);
    if (x->what) return HBEAT_ERR_ARGUMENT;
    x->host = cfg->host ? cfg->host : DEFAULT_HOST;
    x->host_size = host_length(x->host);
    if (cfg->port != 0 && cfg->port != HTTPS_PORT) {
        x->port[0] = ':';
        write_decimal(x->port + 1, cfg->port);
    }
    measure_body(x);
    return HBEAT_OK;
}

/* ==== Replies =========================================================== */

/*
 * Finds the members of an object that have one of `names`.  False where one
 * of them comes twice: which of the two counts is anybody's guess.
 */
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

/*
 * A string's text, decoded where it stands: it never gets longer, and its
 * closing quote leaves room for the NUL.  The value lies in the caller's
 * reply buffer, which is not const.
 */
static const char *decode_in_place(const hbeat_json *value) {
    char *text = (char *)(uintptr_t)value->text + 1;
    hbeat_json_string(value, text, value->size);
    return text;
}

/* Absent and null leave *text as it is; false for any other type. */
static bool take_text(const hbeat_json *value, const char **text) {
    if (value->type == HBEAT_JSON_STRING) *text = decode_in_place(value);
    return value->type <= HBEAT_JSON_NULL || value->type == HBEAT_JSON_STRING;
}

static bool take_time(const hbeat_json *value, const char **text, int64_t *s) {
    bool ok = take_text(value, text);
    if (*text) *s = read_api_time(*text);
    return ok;
}

static bool take_integer(const hbeat_json *value, int64_t *number) {
    return value->type <= HBEAT_JSON_NULL ||
           hbeat_json_integer(value, number) == HBEAT_OK;
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
           take_integer(&found[STATUS], &i->status) &&
           take_text(&found[LCUID], &i->lcuid) &&
           take_time(&found[CREATED], &i->created_at, &i->created_at_s) &&
           take_time(&found[UPDATED], &i->updated_at, &i->updated_at_s);
}

/* "No instruction" is a member that is missing, null, [] or {}. */
static bool is_empty(const hbeat_json *value) {
    hbeat_json rest = *value, item;
    return value->type <= HBEAT_JSON_NULL ||
           ((value->type == HBEAT_JSON_ARRAY ||
             value->type == HBEAT_JSON_OBJECT) &&
            !hbeat_json_next(&rest, NULL, &item));
}

static hbeat_error decode_success(hbeat_reply *r, hbeat_json root,
                                  const char **what) {
    enum { SUCCESS, INSTRUCTION, MESSAGE, MEMBERS };
    static const known names[MEMBERS] = {
        "success", "lightning_device_remote_instruction", "message"};
    hbeat_json found[MEMBERS];

    *what = "a member comes twice";
    if (!find_members(root, names, found, MEMBERS)) return HBEAT_ERR_JSON;
    if (found[SUCCESS].type != HBEAT_JSON_TRUE) {
        take_text(&found[MESSAGE], &r->message);
        *what = "success is not true";
        return HBEAT_ERR_REFUSED;
    }
    if (!is_empty(&found[INSTRUCTION])) {
        hbeat_instruction none = r->instruction;
        *what = "the instruction is not as the API has it";
        if (found[INSTRUCTION].type != HBEAT_JSON_OBJECT ||
            !decode_instruction(found[INSTRUCTION], &r->instruction)) {
            r->instruction = none;
            return HBEAT_ERR_JSON;
        }
    }
    *what = NULL;
    r->success = true;
    return HBEAT_OK;
}

/*
 * The message of an error's body.  It is taken even from a body that was cut
 * short or breaks off, as long as the message itself is whole.
 */
static void decode_message(hbeat_reply *r, const char *body, size_t size) {
    static const known message = "message";
    span in = span_of(body, size);
    hbeat_json root = {HBEAT_JSON_OBJECT, NULL, 0}, found;
    skip_space(&in);
    root.text = (const char *)in.at;
    root.size = (size_t)(in.end - in.at);
    if (find_members(root, &message, &found, 1)) take_text(&found, &r->message);
}

static bool is_success(int http_status) {
    return http_status == 0 || (http_status >= 200 && http_status < 300);
}

hbeat_error hbeat_decode(hbeat_reply *reply, char *body, size_t body_size,
                         const char **what) {
    hbeat_reply kept = *reply;
    hbeat_json root;
    hbeat_error e;

    reply_clear(reply);
    reply->http_status = kept.http_status;
    reply->retry_after_s = kept.retry_after_s;
    reply->server_time_s = kept.server_time_s;
    if (!is_success(reply->http_status)) {
        decode_message(reply, body, body_size);
        *what = NULL;
        return HBEAT_ERR_STATUS;
    }
    e = hbeat_json_parse(body, body_size, &root);
    if (e == HBEAT_OK && root.type == HBEAT_JSON_OBJECT)
        return decode_success(reply, root, what);
    *what = body_size == 0                 ? "the body is empty"
            : e == HBEAT_OK                ? "the body is no object"
            : e == HBEAT_ERR_TOO_BIG       ? "the body nests too deep"
            : e == HBEAT_ERR_TRUNCATED     ? "the body ends early"
            : memchr(body, '<', body_size) ? "the body looks like a web page"
                                           : "the body is not JSON";
    return HBEAT_ERR_JSON;
}

/* ==== HTTP/1.1 responses (RFC 9112) ===================================== */

/* What the next byte is part of: of a line, or from BODY on of the body. */
typedef enum http_state {
    STATUS_LINE,
    FIELD, /* the first byte of a field line, or of the empty line */
    NAME,
    VALUE,
    CHUNK_SIZE, /* hex digits */
    CHUNK_PAD,  /* white space between the size and its extensions */
    CHUNK_EXTENSION,
    CHUNK_END, /* the end of the line that a chunk's data is */
    BODY,      /* `left` bytes */
    OPEN_BODY, /* all until the connection ends */
    CHUNK,     /* `left` bytes */
    ENDED
} http_state;

static hbeat_error bad_http(hbeat_exchange *x, const char *what) {
    x->what = what;
    return HBEAT_ERR_HTTP;
}

/* RFC 9110 section 5.6.2. */
static bool is_token(byte c) {
    return is_alpha(c) || is_digit(c) ||
           (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

/* What may stand in a field's value, a reason or an extension. */
static bool is_text(byte c) {
    return c == '\t' || (c >= 0x20 && c != 0x7F);
}

/* Collects a byte of the line in hand; a full value is one too long. */
static void keep(hbeat_exchange *x, byte c) {
    if (x->value_size < sizeof x->value) x->value[x->value_size++] = (char)c;
}

/* HTTP/1.x, a space, three digits, and a space and a reason or nothing. */
static hbeat_error end_status_line(hbeat_exchange *x) {
    span in = span_of(x->value, x->value_size);
    int minor, status;
    if (scan_word(&in, "HTTP/1.") != HBEAT_OK || !read_digits(&in, 1, &minor) ||
        !scan_char(&in, " ") || !read_digits(&in, 3, &status) ||
        (in.at < in.end && *in.at != ' ') || status < 100 || status > 599)
        return bad_http(x, "no status line of HTTP/1.1");
    x->reply->http_status = status;
    x->keep_alive = minor > 0;
    x->http10 = minor == 0;
    x->state = FIELD;
    return HBEAT_AGAIN;
}

/* A number of digits alone; the grammar of both fields that have one. */
static bool read_count(const char *value, int64_t *number) {
    hbeat_json text = {HBEAT_JSON_NUMBER, value, strlen(value)};
    return is_digit((byte)*value) &&
           hbeat_json_integer(&text, number) == HBEAT_OK;
}

static hbeat_error field_length(hbeat_exchange *x, const char *value) {
    int64_t length;
    if (!read_count(value, &length))
        return bad_http(x, "Content-Length is no number");
    if (x->sized && x->left != (uint64_t)length)
        return bad_http(x, "two values of Content-Length");
    x->sized = true;
    x->left = (uint64_t)length;
    return HBEAT_AGAIN;
}

static hbeat_error field_coding(hbeat_exchange *x, const char *value) {
    if (x->chunked || x->http10 || !same_word(value, strlen(value), "chunked"))
        return bad_http(x, "Transfer-Encoding other than chunked");
    x->chunked = true;
    return HBEAT_AGAIN;
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

/* RFC 9110 section 10.2.3: seconds or a date. */
static void field_retry(hbeat_exchange *x, const char *value) {
    if (!read_count(value, &x->reply->retry_after_s))
        x->retry_date_s = read_http_date(value);
}

/*
 * A field line is whole.  A value too long to be kept must not frame the
 * body, and a Connection of that length may well hold a close.
 */
static hbeat_error end_field(hbeat_exchange *x) {
    enum { CONNECTION, DATE, RETRY_AFTER, LENGTH, CODING, OTHER };
    static const known names[OTHER] = {"connection", "date", "retry-after",
                                       "content-length", "transfer-encoding"};
    size_t size = x->value_size;
    size_t field =
        x->trailers ? OTHER : find_name(names, OTHER, x->name, x->name_size);
    x->state = FIELD;
    if (size == sizeof x->value) {
        if (field == CONNECTION) x->closes = true;
        return field == LENGTH || field == CODING
                   ? bad_http(x, "a field that frames the body is too long")
                   : HBEAT_AGAIN;
    }
    while (size > 0 &&
           (x->value[size - 1] == ' ' || x->value[size - 1] == '\t'))
        size--;
    x->value[size] = '\0';
    switch (field) {
    case CONNECTION: field_connection(x, x->value); break;
    case DATE: x->reply->server_time_s = read_http_date(x->value); break;
    case RETRY_AFTER: field_retry(x, x->value); break;
    case LENGTH: return field_length(x, x->value);
    case CODING: return field_coding(x, x->value);
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

/*
 * More of the body is announced, or there.  If it does not fit, a success is
 * lost; an error's status and message survive a body that is cut short.
 */
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
        reply_clear(r);
        x->sized = x->chunked = x->closes = false;
        x->value_size = 0;
        x->retry_date_s = HBEAT_NONE;
        x->state = STATUS_LINE;
        return HBEAT_AGAIN;
    }
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
    x->state = x->chunked ? CHUNK_SIZE : x->sized ? BODY : OPEN_BODY;
    return check_room(x, x->left);
}

/* The end of a chunk's size line. */
static hbeat_error end_chunk_size(hbeat_exchange *x) {
    if (!x->digits) return bad_http(x, "a chunk without size");
    x->digits = false;
    x->trailers = x->left == 0;
    x->state = x->trailers ? FIELD : CHUNK;
    return check_room(x, x->left);
}

static hbeat_error end_line(hbeat_exchange *x) {
    switch (x->state) {
    case STATUS_LINE: return end_status_line(x);
    case FIELD: return end_head(x);
    case NAME: return bad_http(x, "a field without a colon");
    case VALUE: return end_field(x);
    case CHUNK_END: x->state = CHUNK_SIZE; return HBEAT_AGAIN;
    default: return end_chunk_size(x);
    }
}

static hbeat_error name_byte(hbeat_exchange *x, byte c) {
    if (!is_token(c)) /* a colon first, or a folded line, among others */
        return bad_http(x, "a malformed field");
    if (x->name_size < sizeof x->name)
        x->name[x->name_size++] = (char)to_lower(c);
    return HBEAT_AGAIN;
}

static hbeat_error chunk_digit(hbeat_exchange *x, int value) {
    if (x->left >> 60) return bad_http(x, "a chunk's size is out of range");
    x->left = x->left << 4 | (unsigned)value;
    x->digits = true;
    return HBEAT_AGAIN;
}

/* One byte of a line: of the head, the trailers, or around a chunk. */
static hbeat_error line_byte(hbeat_exchange *x, byte c) {
    bool space = c == ' ' || c == '\t', after_cr = x->after_cr;
    if (x->head_left-- == 0)
        return bad_http(x, "the lines exceed HBEAT_HEAD_MAX");
    x->after_cr = c == '\r';
    if (after_cr) return c == '\n' ? end_line(x) : bad_http(x, "a bare CR");
    if (c == '\r') return HBEAT_AGAIN;
    switch (x->state) {
    case FIELD:
        x->name_size = x->value_size = 0;
        x->state = NAME;
        return name_byte(x, c);
    case NAME:
        if (c != ':') return name_byte(x, c);
        x->state = VALUE;
        break;
    case STATUS_LINE:
    case VALUE:
        if (x->state == STATUS_LINE || x->value_size > 0 || !space) keep(x, c);
        break;
    case CHUNK_SIZE:
        if (hex_value(c) >= 0) return chunk_digit(x, hex_value(c));
        /* fall through */
    case CHUNK_PAD:
        if (!x->digits || (!space && c != ';'))
            return bad_http(x, "a malformed chunk size");
        x->state = space ? CHUNK_PAD : CHUNK_EXTENSION;
        break;
    case CHUNK_END: return bad_http(x, "a chunk longer than its size");
    default: break; /* CHUNK_EXTENSION */
    }
    return is_text(c) ? HBEAT_AGAIN : bad_http(x, "a control byte in a line");
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
/* ==== Sockets =========================================================== */

typedef union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
} address;

static int64_t now_ms(void) {
    struct timespec t = {0, 0};
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* An address in figures; returns the size of its structure, or 0. */
static socklen_t read_address(const char *text, unsigned port, address *a) {
    memset(a, 0, sizeof *a);
    if (inet_pton(AF_INET, text, &a->v4.sin_addr) == 1) {
        a->v4.sin_family = AF_INET;
        a->v4.sin_port = htons((uint16_t)port);
        return sizeof a->v4;
    }
    if (inet_pton(AF_INET6, text, &a->v6.sin6_addr) == 1) {
        a->v6.sin6_family = AF_INET6;
        a->v6.sin6_port = htons((uint16_t)port);
        return sizeof a->v6;
    }
    return 0;
}

/*
 * A TCP socket that neither blocks nor outlives an exec.  Where the flags of
 * socket() exist no other thread can fork in between.
 */
static int tcp_socket(int family) {
    int fd, one = 1;
#if defined SOCK_CLOEXEC && defined SOCK_NONBLOCK
    fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
#else
    fd = socket(family, SOCK_STREAM, 0);
    if (fd >= 0 && (fcntl(fd, F_SETFD, FD_CLOEXEC) != 0 ||
                    fcntl(fd, F_SETFL, O_NONBLOCK) != 0)) {
        close(fd);
        fd = -1;
    }
#endif
    /* Records are whole when they are sent; Nagle's wait gains nothing. */
    if (fd >= 0) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return fd;
}

static bool would_block(int error) {
    return error == EAGAIN || error == EWOULDBLOCK || error == EINTR;
}

/* 0 once a connection stands, EINPROGRESS before, else why it never will. */
static int connect_result(int fd) {
    struct pollfd p = {fd, POLLOUT, 0};
    int error = 0;
    socklen_t size = sizeof error;
    if (poll(&p, 1, 0) <= 0) return EINPROGRESS;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0) return errno;
    return error;
}

/*
 * Whether an idle connection is still good.  A server has nothing to say
 * between two requests: whatever waits there is its farewell, or a reply to
 * nobody's request that must not be taken for the next one (RFC 9112 9.2).
 */
static bool still_idle(int fd) {
    byte waiting;
    return recv(fd, &waiting, 1, MSG_PEEK) < 0 && would_block(errno);
}

/* ==== Trust anchors ===================================================== */

/*
 * The arena: the list grows from the front, names and keys from the back.
 * The certificate in hand is decoded into the gap, behind room for its entry
 * in the list.
 */
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

static size_t length_of(span s) {
    return (size_t)(s.end - s.at);
}

static bool der_equal(span content, const void *bytes, size_t size) {
    return length_of(content) == size && memcmp(content.at, bytes, size) == 0;
}

/* An unsigned INTEGER without leading zeros. */
static bool der_unsigned(span *in, span *number) {
    if (!der_take(in, 0x02, number)) return false;
    while (number->at < number->end && *number->at == 0) number->at++;
    return number->at < number->end;
}

/* What a trust anchor is made of. */
typedef struct root {
    span name, n, e, q;
    int curve; /* 0: RSA */
    bool ca;
} root;

static bool der_rsa(span bits, root *r) {
    span pair;
    return der_take(&bits, 0x30, &pair) && der_unsigned(&pair, &r->n) &&
           der_unsigned(&pair, &r->e) && length_of(r->n) >= RSA_MIN &&
           length_of(r->n) <= RSA_MAX;
}

static bool der_ec(span oid, span bits, root *r) {
    static const struct {
        char oid[9];
        size_t oid_size, q_size;
        int curve;
    } curves[] = {
        {"\x2A\x86\x48\xCE\x3D\x03\x01\x07", 8, 65, BR_EC_secp256r1},
        {"\x2B\x81\x04\x00\x22", 5, 97, BR_EC_secp384r1},
        {"\x2B\x81\x04\x00\x23", 5, 133, BR_EC_secp521r1},
    };
    size_t i;
    for (i = 0; i < COUNT(curves); i++) {
        if (der_equal(oid, curves[i].oid, curves[i].oid_size) &&
            length_of(bits) == curves[i].q_size) {
            r->curve = curves[i].curve;
            r->q = bits;
            return true;
        }
    }
    return false;
}

/* SubjectPublicKeyInfo, RFC 5280 section 4.1.2.7. */
static bool der_key(span *in, root *r) {
    static const char rsa[] = "\x2A\x86\x48\x86\xF7\x0D\x01\x01\x01";
    static const char ec[] = "\x2A\x86\x48\xCE\x3D\x02\x01";
    span info, algorithm, oid, curve, bits;
    if (!der_take(in, 0x30, &info) || !der_take(&info, 0x30, &algorithm) ||
        !der_take(&algorithm, 0x06, &oid) || !der_take(&info, 0x03, &bits) ||
        bits.at == bits.end || *bits.at++ != 0)
        return false;
    if (der_equal(oid, rsa, sizeof rsa - 1)) return der_rsa(bits, r);
    return der_equal(oid, ec, sizeof ec - 1) &&
           der_take(&algorithm, 0x06, &curve) && der_ec(curve, bits, r);
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
static bool der_certificate(span in, root *r) {
    span certificate, tbs, part;
    memset(r, 0, sizeof *r);
    if (!der_take(&in, 0x30, &certificate) ||
        !der_take(&certificate, 0x30, &tbs))
        return false;
    der_take(&tbs, 0xA0, &part);        /* version */
    if (!der_take(&tbs, 0x02, &part) || /* serial number */
        !der_take(&tbs, 0x30, &part) || /* signature algorithm */
        !der_take(&tbs, 0x30, &part) || /* issuer */
        !der_take(&tbs, 0x30, &part))   /* validity */
        return false;
    r->name.at = tbs.at;
    if (!der_take(&tbs, 0x30, &part)) return false;
    r->name.end = tbs.at;
    if (!der_key(&tbs, r)) return false;
    der_take(&tbs, 0x81, &part); /* issuerUniqueID */
    der_take(&tbs, 0x82, &part); /* subjectUniqueID */
    r->ca = der_take(&tbs, 0xA3, &part) && der_is_ca(part);
    return true;
}

/* Where the certificate in hand begins. */
static byte *gap(const hbeat_anchors *a) {
    return (byte *)(a->list + a->count + 1);
}

static byte *keep_at_top(hbeat_anchors *a, span s) {
    a->top -= length_of(s);
    memcpy((byte *)a->arena + a->top, s.at, length_of(s));
    return (byte *)a->arena + a->top;
}

/* RFC 4648: makes bytes of the first `digits` digits of four. */
static void put_base64(hbeat_anchors *a, int digits) {
    int i;
    a->bits <<= 6 * (4 - digits);
    for (i = 16; i > 16 - 8 * (digits - 1); i -= 8) {
        byte *at = gap(a) + a->der_size;
        if (at == (byte *)a->arena + a->top) {
            a->error = HBEAT_ERR_TOO_BIG;
            return;
        }
        *at = (byte)(a->bits >> i);
        a->der_size++;
    }
    a->bits = 0;
    a->digits = 0;
}

static int base64_value(byte c) {
    return c >= 'A' && c <= 'Z'   ? c - 'A'
           : c >= 'a' && c <= 'z' ? c - 'a' + 26
           : is_digit(c)          ? c - '0' + 52
           : c == '+'             ? 62
           : c == '/'             ? 63
                                  : -1;
}

#define NOT_BASE64 3 /* more padding than there can be */

static void take_base64(hbeat_anchors *a, byte c) {
    int value = base64_value(c);
    if (c == '=' && a->padding < NOT_BASE64) {
        a->padding++;
    } else if (value >= 0 && a->padding == 0) {
        a->bits = a->bits << 6 | (unsigned)value;
        if (++a->digits == 4) put_base64(a, 4);
    } else if (c != ' ' && c != '\t' && c != '\r' && c != '\n') {
        a->padding = NOT_BASE64;
    }
}

/* The last bytes; false where the text was no base64. */
static bool end_base64(hbeat_anchors *a) {
    if (a->digits == 0) return a->padding == 0;
    if (a->digits == 1 || a->digits + a->padding != 4) return false;
    put_base64(a, a->digits);
    return true;
}

/* A whole certificate stands in the gap: makes it an anchor. */
static void commit(hbeat_anchors *a) {
    br_x509_trust_anchor *ta = a->list + a->count;
    root r;
    if (!end_base64(a) || !der_certificate(span_of(gap(a), a->der_size), &r)) {
        a->skipped++;
        return;
    }
    if (length_of(r.name) + length_of(r.n) + length_of(r.e) + length_of(r.q) >
        (size_t)((byte *)a->arena + a->top - gap(a)) - a->der_size) {
        a->error = HBEAT_ERR_TOO_BIG;
        return;
    }
    memset(ta, 0, sizeof *ta);
    ta->flags = r.ca ? BR_X509_TA_CA : 0;
    ta->dn.len = length_of(r.name);
    ta->dn.data = keep_at_top(a, r.name);
    if (r.curve != 0) {
        ta->pkey.key_type = BR_KEYTYPE_EC;
        ta->pkey.key.ec.curve = r.curve;
        ta->pkey.key.ec.qlen = length_of(r.q);
        ta->pkey.key.ec.q = keep_at_top(a, r.q);
    } else {
        ta->pkey.key_type = BR_KEYTYPE_RSA;
        ta->pkey.key.rsa.nlen = length_of(r.n);
        ta->pkey.key.rsa.n = keep_at_top(a, r.n);
        ta->pkey.key.rsa.elen = length_of(r.e);
        ta->pkey.key.rsa.e = keep_at_top(a, r.e);
    }
    a->count++;
}

/* Where the next byte of PEM text stands (RFC 7468). */
typedef enum pem_state {
    PEM_LINE,  /* at the start of a line: `matched` bytes of BEGIN seen */
    PEM_OTHER, /* in a line that does not matter */
    PEM_BASE64,
    PEM_END /* `matched` bytes of END seen */
} pem_state;

#define PEM_DASHES 5 /* which BEGIN and END have in common */
static const char pem_begin[] = "-----BEGIN CERTIFICATE-----";
static const char pem_end[] = "-----END CERTIFICATE-----";

static void begin_certificate(hbeat_anchors *a) {
    size_t front = (size_t)(gap(a) - (byte *)a->arena);
    if (front > a->top) a->error = HBEAT_ERR_TOO_BIG;
    a->der_size = 0;
    a->bits = 0;
    a->digits = a->padding = 0;
    a->state = PEM_BASE64;
}

static void pem_line(hbeat_anchors *a, byte c) {
    bool newline = c == '\r' || c == '\n';
    if (c == (byte)pem_begin[a->matched]) {
        if (pem_begin[++a->matched] == '\0') begin_certificate(a);
    } else if (a->matched > 0 || (c < 0x80 && c != ' ' && c != '\t')) {
        a->matched = 0; /* a byte order mark or indent would go on */
        a->state = newline ? PEM_LINE : PEM_OTHER;
    }
}

static void pem_byte(hbeat_anchors *a, byte c) {
    switch ((pem_state)a->state) {
    case PEM_LINE: pem_line(a, c); break;
    case PEM_OTHER:
        a->matched = 0;
        a->state = c == '\r' || c == '\n' ? PEM_LINE : PEM_OTHER;
        break;
    case PEM_BASE64:
        if (c != '-') {
            take_base64(a, c);
        } else {
            a->matched = 1;
            a->state = PEM_END;
        }
        break;
    case PEM_END:
        if (c != (byte)pem_end[a->matched]) {
            a->skipped++; /* its END is missing; this may be a BEGIN */
            if (a->matched > PEM_DASHES) a->matched = 0;
            a->state = PEM_LINE;
            pem_line(a, c);
        } else if (pem_end[++a->matched] == '\0') {
            commit(a);
            a->state = PEM_OTHER;
        }
        break;
    }
}

/* The list begins at the arena's first byte that suits it. */
static void arena_begin(hbeat_anchors *a) {
    size_t align = sizeof(void *), at = (size_t)((uintptr_t)a->arena % align);
    size_t front = at > 0 ? align - at : 0;
    a->top = a->arena_size;
    a->list = (br_x509_trust_anchor *)(void *)((byte *)a->arena + front);
}

hbeat_error hbeat_anchors_pem(hbeat_anchors *a, const void *pem, size_t size) {
    const byte *at = pem;
    bool end = size == 0;
    if (!a->list) arena_begin(a);
    for (; size > 0 && a->error == HBEAT_OK; size--) pem_byte(a, *at++);
    if (a->error != HBEAT_OK || !end) return a->error;
    if (a->state == PEM_BASE64 || a->state == PEM_END)
        return HBEAT_ERR_TRUNCATED;
    return a->count > 0 ? HBEAT_OK : HBEAT_ERR_CERT_TRUST;
}

/* ==== TLS =============================================================== */

#define DAY_S 86400
#define DAYS_TO_1970 719528 /* from the year 0, where BearSSL counts from */

/*
 * The profile, spelt out: TLS 1.2, ECDHE with AEAD, SHA-2, RSA of 2,048 bits
 * or more, no renegotiation.  The look-up of what the processor can do is
 * slow in a virtual machine, so this runs once a client.
 */
static void tls_profile(hbeat_client *c) {
    static const uint16_t suites[] = {
        BR_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        BR_TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
        BR_TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
        BR_TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
        BR_TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
        BR_TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
        BR_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        BR_TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
        BR_TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
        BR_TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
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
    br_ssl_engine_set_x509(engine, &c->x509.vtable);
    br_ssl_engine_set_buffer(engine, c->cfg.tls_buffer,
                             c->cfg.tls_buffer_size - HBEAT_WIRE_SIZE, 0);
}

static byte *wire(const hbeat_client *c) {
    return (byte *)c->cfg.tls_buffer + c->cfg.tls_buffer_size - HBEAT_WIRE_SIZE;
}

/*
 * Adds the kernel's randomness to what BearSSL finds by itself, which is the
 * processor's alone where it has any.  False where the kernel says that it
 * has none yet, as just after a boot: /dev/urandom would not say so.
 */
static bool seed(hbeat_client *c) {
#ifdef GRND_NONBLOCK
    byte random[32];
    ssize_t n = getrandom(random, sizeof random, GRND_NONBLOCK);
    if (n < 0 && errno == EAGAIN) return false;
    if (n == (ssize_t)sizeof random)
        br_ssl_engine_inject_entropy(&c->tls.eng, random, sizeof random);
#endif
    return true;
}

/* What an error of BearSSL's means to the operator. */
static hbeat_error tls_error(int code, const char **what) {
    static const struct {
        int first, last;
        hbeat_error error;
        char what[52];
    } meanings[] = {
        {BR_ERR_UNSUPPORTED_VERSION, BR_ERR_BAD_VERSION, HBEAT_ERR_TLS_VERSION,
         "the peer chose another version"},
        {BR_ERR_RECV_FATAL_ALERT + 70, BR_ERR_RECV_FATAL_ALERT + 70,
         HBEAT_ERR_TLS_VERSION, "the peer refused the version"},
        {BR_ERR_RECV_FATAL_ALERT + 40, BR_ERR_RECV_FATAL_ALERT + 40,
         HBEAT_ERR_TLS, "no cipher suite in common, or an older TLS"},
        {BR_ERR_RECV_FATAL_ALERT, BR_ERR_RECV_FATAL_ALERT + 255, HBEAT_ERR_TLS,
         "the peer sent an alert"},
        {BR_ERR_TOO_LARGE, BR_ERR_TOO_LARGE, HBEAT_ERR_TOO_BIG,
         "a record does not fit tls_buffer"},
        {BR_ERR_NO_RANDOM, BR_ERR_NO_RANDOM, HBEAT_ERR_TLS,
         "no source of randomness"},
        {BR_ERR_X509_TIME_UNKNOWN, BR_ERR_X509_EXPIRED, HBEAT_ERR_CERT_TIME,
         ""},
        {BR_ERR_X509_BAD_SERVER_NAME, BR_ERR_X509_BAD_SERVER_NAME,
         HBEAT_ERR_CERT_NAME, ""},
        {BR_ERR_X509_WEAK_PUBLIC_KEY, BR_ERR_X509_WEAK_PUBLIC_KEY,
         HBEAT_ERR_CERT_TRUST, "a key is too short"},
        {BR_ERR_X509_NOT_TRUSTED, BR_ERR_X509_NOT_TRUSTED, HBEAT_ERR_CERT_TRUST,
         "no anchor vouches for it"},
        {BR_ERR_X509_OK, BR_ERR_X509_NOT_TRUSTED, HBEAT_ERR_CERT_TRUST,
         "it is malformed or of a kind that is not accepted"},
    };
    size_t i;
    for (i = 0; i < COUNT(meanings); i++) {
        if (code >= meanings[i].first && code <= meanings[i].last) {
            *what = meanings[i].what[0] ? meanings[i].what : NULL;
            return meanings[i].error;
        }
    }
    *what = "the protocol was broken";
    return HBEAT_ERR_TLS;
}

/* ==== The client ======================================================== */

#define DEFAULT_TIMEOUT_MS 30000
#define LONGEST_TIMEOUT_MS (DAY_S * 1000)

/* The types of record that a handshake may begin with (RFC 5246 6.2.1). */
enum { ALERT = 21, HANDSHAKE = 22 };

typedef enum client_state {
    UNFIT, /* hbeat_init() has not succeeded */
    IDLE,  /* no exchange; a connection may be kept */
    LOOK,  /* begins on a kept connection */
    OPEN,  /* begins on a new one */
    CONNECTING,
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

/*
 * Ends the connection.  A close_notify goes out if the engine can make one
 * now and the socket takes it now; nobody waits for an answer.
 */
static void hang_up(hbeat_client *c) {
    br_ssl_engine_context *engine = &c->tls.eng;
    size_t size;
    if (c->fd < 0) return;
    if (c->state > CONNECTING || c->state == IDLE) {
        if (c->out_at == c->out_end &&
            !br_ssl_engine_sendrec_buf(engine, &size))
            br_ssl_engine_close(engine);
        byte *alert = br_ssl_engine_sendrec_buf(engine, &size);
        if (alert) (void)!send(c->fd, alert, size, MSG_NOSIGNAL);
    }
    close(c->fd);
    c->fd = -1;
}

/* The exchange is over: with an open connection if it can be used again. */
static void finish(hbeat_client *c) {
    size_t unread;
    if (c->x.state != ENDED || !c->x.keep_alive || c->wire_at < c->wire_end ||
        br_ssl_engine_recvapp_buf(&c->tls.eng, &unread))
        hang_up(c);
    c->state = IDLE;
}

/*
 * The connection is gone.  One that was kept may have died at any time since
 * the last reply: unless this reply has begun, a new one takes its place.
 */
static void lost(hbeat_client *c, const char *what, int code) {
    if (!c->kept || c->answered) {
        fail(c, HBEAT_ERR_TRUNCATED, what, code);
        return;
    }
    hang_up(c);
    c->kept = false;
    c->state = OPEN;
    request_rewind(&c->x);
}

/* A connection stands: TLS begins, always with a name to check. */
static void begin_tls(hbeat_client *c) {
    int64_t now_s = (int64_t)time(NULL);
    char name[256];
    c->wire_at = c->wire_end = c->out_at = c->out_end = 0;
    c->heard = 0;
    memcpy(name, c->x.host, c->x.host_size);
    name[c->x.host_size] = '\0';
    if (now_s < 0) now_s = 0;
    br_x509_minimal_set_time(&c->x509, (uint32_t)(now_s / DAY_S + DAYS_TO_1970),
                             (uint32_t)(now_s % DAY_S));
    if (!seed(c)) {
        fail(c, HBEAT_ERR_TLS, "the kernel has no randomness yet", 0);
        return;
    }
    br_ssl_client_reset(&c->tls, name, 0);
    c->state = RECEIVING; /* only now may the engine be asked anything */
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
        return;
    }
    e = c->answered ? hbeat_push(&c->x, NULL, 0, &used) : HBEAT_ERR_TRUNCATED;
    if (e == HBEAT_ERR_TRUNCATED)
        lost(c, "the server ended the connection", 0);
    else
        fail(c, e, c->x.what, c->x.reply->http_status);
}

static void take_reply(hbeat_client *c) {
    br_ssl_engine_context *engine = &c->tls.eng;
    size_t size, used;
    byte *in = br_ssl_engine_recvapp_buf(engine, &size);
    hbeat_error e = hbeat_push(&c->x, in, size, &used);
    c->answered = true;
    br_ssl_engine_recvapp_ack(engine, used);
    if (e != HBEAT_AGAIN) fail(c, e, c->x.what, c->x.reply->http_status);
}

/* Fills a record with what comes next of the request, and closes it. */
static void give_request(hbeat_client *c) {
    br_ssl_engine_context *engine = &c->tls.eng;
    size_t room;
    byte *out = br_ssl_engine_sendapp_buf(engine, &room);
    br_ssl_engine_sendapp_ack(engine, hbeat_pull(&c->x, out, room));
    br_ssl_engine_flush(engine, 0);
}

/* Moves a small record out of the engine, which can then make the next. */
static bool gather(hbeat_client *c) {
    size_t size;
    byte *record = br_ssl_engine_sendrec_buf(&c->tls.eng, &size);
    if (size > sizeof c->out - c->out_end) return false;
    memcpy(c->out + c->out_end, record, size);
    c->out_end = (uint16_t)(c->out_end + size);
    br_ssl_engine_sendrec_ack(&c->tls.eng, size);
    return true;
}

static void feed(hbeat_client *c) {
    size_t size, left = (size_t)(c->wire_end - c->wire_at);
    byte *in = br_ssl_engine_recvrec_buf(&c->tls.eng, &size);
    if (size > left) size = left;
    memcpy(in, wire(c) + c->wire_at, size);
    c->wire_at = (uint16_t)(c->wire_at + size);
    br_ssl_engine_recvrec_ack(&c->tls.eng, size);
}

/* Lets the engine work until it needs the socket or the exchange is over. */
static void pump(hbeat_client *c) {
    while (c->error == HBEAT_AGAIN && c->state != OPEN) {
        unsigned can = br_ssl_engine_current_state(&c->tls.eng);
        if (can & BR_SSL_CLOSED)
            tls_ended(c);
        else if (can & BR_SSL_RECVAPP)
            take_reply(c);
        else if ((can & BR_SSL_SENDAPP) && request_piece(&c->x).text)
            give_request(c);
        else if ((can & BR_SSL_SENDREC) && gather(c))
            continue;
        else if ((can & BR_SSL_RECVREC) && c->wire_at < c->wire_end)
            feed(c);
        else
            return;
    }
}

static bool has_output(const hbeat_client *c) {
    size_t size;
    return c->out_at < c->out_end ||
           br_ssl_engine_sendrec_buf(&c->tls.eng, &size);
}

/* One write of all there is: what was gathered, then the engine's record. */
static void write_out(hbeat_client *c) {
    size_t size, gathered = (size_t)(c->out_end - c->out_at);
    byte *record = br_ssl_engine_sendrec_buf(&c->tls.eng, &size);
    struct iovec parts[2] = {{c->out + c->out_at, gathered}, {record, size}};
    struct msghdr message;
    ssize_t n;
    memset(&message, 0, sizeof message);
    message.msg_iov = parts;
    message.msg_iovlen = 2;
    n = sendmsg(c->fd, &message, MSG_NOSIGNAL);
    if (n < 0) {
        if (!would_block(errno)) lost(c, "the connection broke", errno);
        return;
    }
    if ((size_t)n < gathered) {
        c->out_at = (uint16_t)(c->out_at + n);
        return;
    }
    c->out_at = c->out_end = 0;
    br_ssl_engine_sendrec_ack(&c->tls.eng, (size_t)n - gathered);
}

/* One read of all there is: the record in hand first, then the wire. */
static void read_in(hbeat_client *c) {
    size_t size, first;
    byte *record = br_ssl_engine_recvrec_buf(&c->tls.eng, &size);
    struct iovec parts[2] = {{record, size}, {wire(c), HBEAT_WIRE_SIZE}};
    ssize_t n = readv(c->fd, parts, 2);
    if (n < 0) {
        if (!would_block(errno)) lost(c, "the connection broke", errno);
        return;
    }
    if (n == 0) {
        lost(c, "the connection ended without a close_notify", 0);
        return;
    }
    if (c->heard == 0 && record && *record != ALERT && *record != HANDSHAKE) {
        fail(c, HBEAT_ERR_TLS, "what answers there does not speak TLS", 0);
        return;
    }
    first = (size_t)n < size ? (size_t)n : size;
    c->wire_at = 0;
    c->wire_end = (uint16_t)((size_t)n - first);
    br_ssl_engine_recvrec_ack(&c->tls.eng, first);
    if (handshaking(c)) c->heard += (uint32_t)n;
    if (c->heard > HBEAT_HANDSHAKE_MAX)
        fail(c, HBEAT_ERR_TLS, "the handshake exceeds HBEAT_HANDSHAKE_MAX", 0);
}

/* Goes on with TLS and HTTP until the socket has to be waited for. */
static void talk(hbeat_client *c) {
    pump(c);
    if (c->error == HBEAT_AGAIN && c->state != OPEN && has_output(c)) {
        write_out(c);
        pump(c);
    }
    if (c->state != OPEN) c->state = has_output(c) ? SENDING : RECEIVING;
}

static void open_connection(hbeat_client *c) {
    const hbeat_config *cfg = &c->cfg;
    address a;
    socklen_t size;
    if (!cfg->address) {
        fail(c, HBEAT_ERR_RESOLVE, "config.address is not set", 0);
        return;
    }
    size = read_address(cfg->address, cfg->address_port, &a);
    c->fd = tcp_socket(a.any.sa_family);
    if (c->fd < 0 || (connect(c->fd, &a.any, size) != 0 &&
                      errno != EINPROGRESS && errno != EINTR))
        fail(c, HBEAT_ERR_CONNECT, NULL, errno);
    c->state = CONNECTING;
}

static void await_connection(hbeat_client *c) {
    int error = connect_result(c->fd);
    if (error == EINPROGRESS) return;
    if (error != 0) {
        fail(c, HBEAT_ERR_CONNECT, NULL, error);
        return;
    }
    begin_tls(c);
    if (c->error == HBEAT_AGAIN) talk(c);
}

static void time_out(hbeat_client *c) {
    fail(c, HBEAT_ERR_TIMEOUT,
         c->state <= CONNECTING ? "while connecting"
         : handshaking(c)       ? "in the TLS handshake"
         : c->state == SENDING  ? "while sending"
                                : "waiting for the reply",
         0);
}

static void advance(hbeat_client *c) {
    switch ((client_state)c->state) {
    case UNFIT:
    case IDLE: break;
    case LOOK:
        if (still_idle(c->fd)) {
            talk(c);
            break;
        }
        hang_up(c);
        c->kept = false;
        c->state = OPEN;
        /* fall through */
    case OPEN: open_connection(c); break;
    case CONNECTING: await_connection(c); break;
    case RECEIVING:
        read_in(c);
        /* fall through */
    case SENDING:
        if (c->error == HBEAT_AGAIN && c->state != OPEN) talk(c);
        break;
    }
}

hbeat_error hbeat_step(hbeat_client *c) {
    if (c->error != HBEAT_AGAIN) return c->error;
    if (now_ms() >= c->deadline_ms)
        time_out(c);
    else
        advance(c);
    if (c->error != HBEAT_AGAIN) finish(c);
    return c->error;
}

hbeat_wait hbeat_wants(const hbeat_client *c) {
    hbeat_wait w = {-1, 0, 0};
    int64_t left = c->deadline_ms - now_ms();
    if (c->error != HBEAT_AGAIN || c->state == LOOK || c->state == OPEN)
        return w;
    w.fd = c->fd;
    w.events = c->state == RECEIVING ? POLLIN : POLLOUT;
    w.timeout_ms = left > 0 ? (int)left : 0;
    return w;
}

/* NULL, or why the client's part of a configuration is not fit for use. */
static const char *check_client(const hbeat_config *cfg) {
    address a;
    if (cfg->address && read_address(cfg->address, 0, &a) == 0)
        return "address: no IPv4 or IPv6 address in figures";
    if (cfg->timeout_ms > LONGEST_TIMEOUT_MS) return "timeout_ms: over a day";
    if (!cfg->anchors || cfg->anchor_count == 0) return "anchors: none";
    if (!cfg->tls_buffer || cfg->tls_buffer_size < HBEAT_TLS_BUFFER_SIZE)
        return "tls_buffer: less than HBEAT_TLS_BUFFER_SIZE";
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
    if (c->cfg.timeout_ms == 0) c->cfg.timeout_ms = DEFAULT_TIMEOUT_MS;
    if (c->cfg.port == 0) c->cfg.port = HTTPS_PORT;
    if (c->cfg.address_port == 0) c->cfg.address_port = c->cfg.port;
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
    e = hbeat_begin_beat(&c->x, &c->cfg, beat, reply);
    fail(c, e == HBEAT_OK ? HBEAT_AGAIN : e, c->x.what, 0);
    if (e != HBEAT_OK) return e;
    c->kept = c->fd >= 0;
    c->answered = false;
    c->state = c->kept ? LOOK : OPEN;
    c->deadline_ms = now_ms() + c->cfg.timeout_ms;
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

/* Days from 1970-01-01 as YYYY-MM-DD. */
static void put_date(sink *s, int64_t days) {
    int year = 1970, month = 1;
    while (days_since_1970(year + 1, 1, 1) <= days) year++;
    while (month < 12 && days_since_1970(year, month + 1, 1) <= days) month++;
    put_number(s, (uint64_t)year);
    put_text(s, month < 10 ? "-0" : "-");
    put_number(s, (uint64_t)month);
    days -= days_since_1970(year, month, 1) - 1;
    put_text(s, days < 10 ? "-0" : "-");
    put_number(s, (uint64_t)days);
}

static const char *errno_text(int error) {
    switch (error) {
    case ECONNREFUSED: return "connection refused";
    case ECONNRESET: return "connection reset";
    case EPIPE: return "connection closed";
    case ETIMEDOUT: return "timed out";
    case ENETUNREACH: return "network unreachable";
    case EHOSTUNREACH: return "host unreachable";
    case EMFILE:
    case ENFILE: return "no descriptor left";
    default: return "system error";
    }
}

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
    "the certificate of @ is not valid today",
    "TLS with @ failed",
    "the reply from @ is not whole",
    "the reply from @ is not HTTP/1.1",
    "@ answered with an error",
    "@ refused the heartbeat",
    "the reply from @ is not the API's",
    "a buffer is too small for the reply from @"};

static void put_sentence(sink *s, const char *sentence, const char *host) {
    size_t before = strcspn(sentence, "@");
    put(s, sentence, before);
    if (sentence[before] == '\0') return;
    put_text(s, host);
    put_text(s, sentence + before + 1);
}

/* The number behind an error, with its kind. */
static void put_code(sink *s, hbeat_error e, int code) {
    bool posix = e == HBEAT_ERR_CONNECT || e == HBEAT_ERR_TRUNCATED;
    if (posix) {
        put_text(s, ": ");
        put_text(s, errno_text(code));
    }
    put_text(s, posix ? " (errno "
                : e >= HBEAT_ERR_TLS_VERSION && e <= HBEAT_ERR_TLS
                    ? " (BearSSL "
                    : " (HTTP ");
    put_number(s, (uint64_t)code);
    put_text(s, ")");
}

const char *hbeat_explain(hbeat_client *c) {
    sink s = {c->explain, c->explain + sizeof c->explain};
    put_sentence(&s, sentences[c->error],
                 c->cfg.host ? c->cfg.host : DEFAULT_HOST);
    if (c->error == HBEAT_ERR_CERT_TIME) {
        put_text(&s, ": expired or not valid yet, while the clock says ");
        put_date(&s, (int64_t)c->x509.days - DAYS_TO_1970);
    }
    if (c->what) {
        put_text(&s, ": ");
        put_text(&s, c->what);
    }
    if (c->error != HBEAT_OK && c->code != 0) put_code(&s, c->error, c->code);
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
