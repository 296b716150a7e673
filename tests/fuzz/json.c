/* JSON: hbeat_json_parse() of any text, and a walk over all that is in it.
 * No control bytes: the input is the text. */
#include "fuzz.h"
#include <errno.h>

/* What a walk has seen, to hold against the next one's (FNV-1a). */
static uint64_t digest;

static void saw(size_t number) {
  digest = (digest ^ number) * UINT64_C(0x100000001B3);
}

static void same_text(const hbeat_json *value, const char *text) {
  size_t length = hbeat_json_string(value, NULL, 0);
  char *out = memory(length + 1);
  EXPECT(hbeat_json_string(value, out, length + 1) == length);
  EXPECT(strcmp(out, text) == 0);
  free(out);
}

/* What is escaped again is the same string. */
static void check_escaping(const char *text) {
  size_t size = 1;
  char *json = memory(strlen(text) * UNIT_MAX + 2);
  span in = span_of_text(text);
  hbeat_json value;
  json[0] = '"';
  while (in.at < in.end) {
    const byte *itself = in.at;
    byte unit[UNIT_MAX];
    size_t n = json_escape(&in, unit);
    span piece = span_of(unit, n);
    if (n == 0) piece = span_of(itself, (size_t)(in.at - itself));
    memcpy(json + size, piece.at, length_of(piece));
    size += length_of(piece);
  }
  json[size++] = '"';
  EXPECT(hbeat_json_parse(json, size, &value) == HBEAT_OK);
  EXPECT(value.type == HBEAT_JSON_STRING && value.size == size);
  same_text(&value, text);
  free(json);
}

static uint32_t hex(const char *digits) {
  char text[5] = {digits[0], digits[1], digits[2], digits[3]};
  return (uint32_t)strtoul(text, NULL, 16);
}

/* The code point of an escape, by its digits alone; *size is how long it is:
 * half of a pair is U+FFFD, as U+0000 is. */
static uint32_t code_of(const char *escape, size_t *size) {
  static const char plain[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
  uint32_t code, low = 0;
  *size = escape[1] == 'u' ? 6 : 2;
  if (*size == 2) return (byte)meant[strchr(plain, escape[1]) - plain];
  code = hex(escape + 2);
  if (code == 0 || code / 0x400 == 0xDC00 / 0x400) return 0xFFFD;
  if (code / 0x400 != 0xD800 / 0x400) return code;
  if (escape[6] == '\\' && escape[7] == 'u') low = hex(escape + 8);
  if (low / 0x400 != 0xDC00 / 0x400) return 0xFFFD;
  *size = 12;
  return 0x10000 + code % 0x400 * 0x400 + low % 0x400;
}

static void expect_code(const char **at, uint32_t code) {
  byte bytes[4];
  size_t size = utf8_write(code, bytes);
  EXPECT(strncmp(*at, (const char *)bytes, size) == 0);
  *at += size;
}

/* What was unescaped says what the escapes say. */
static void check_escapes(const hbeat_json *value, const char *out) {
  const char *at = value->text + 1, *end = value->text + value->size - 1;
  while (at < end) {
    size_t size;
    if (*at != '\\') {
      EXPECT(*out++ == *at++);
      continue;
    }
    expect_code(&out, code_of(at, &size));
    at += size;
  }
  EXPECT(*out == '\0');
}

static void check_string(const hbeat_json *value) {
  size_t length = hbeat_json_string(value, NULL, 0);
  char *out = memory(length + 1), *small = memory(length);
  EXPECT(length <= value->size - 2);
  EXPECT(hbeat_json_string(value, out, length + 1) == length);
  EXPECT(strlen(out) == length);
  expect_utf8(out);
  check_escapes(value, out);
  check_escaping(out);
  EXPECT(hbeat_json_string(value, small, length) == length);
  EXPECT(length == 0 || small[0] == '\0');
  free(small);
  /* In place, as a reply is decoded. */
  small = memory(value->size);
  memcpy(small, value->text, value->size);
  {
    hbeat_json inner = {HBEAT_JSON_STRING, small, value->size};
    hbeat_json_string(&inner, small + 1, value->size);
  }
  EXPECT(strcmp(small + 1, out) == 0);
  free(small);
  free(out);
  saw(length);
}

/* The C library reads the digits that are left of the number. */
static void check_number(const hbeat_json *value, unsigned decimals) {
  int64_t got = 0;
  hbeat_error e = hbeat_json_number(value, decimals, &got);
  char *digits = memory(value->size + decimals + 1);
  const char *at = value->text, *end = at + value->size;
  size_t n = 0;
  long long expected;
  bool is_fixed = !memchr(value->text, 'e', value->size) &&
      !memchr(value->text, 'E', value->size);
  while (at < end && (*at == '-' || is_digit(*at))) digits[n++] = *at++;
  if (!is_fixed || (decimals == 0 && at < end)) {
    EXPECT(e == HBEAT_ERR_JSON);
  } else {
    if (at < end) at++;
    for (unsigned i = 0; i < decimals; i++)
      digits[n++] = at < end ? *at++ : '0';
    errno = 0;
    expected = strtoll(digits, NULL, 10);
    EXPECT(e == (errno == 0 ? HBEAT_OK : HBEAT_ERR_TOO_BIG));
    EXPECT(e != HBEAT_OK || got == expected);
  }
  free(digits);
  saw((size_t)got);
}

static void check_value(const hbeat_json *value) {
  unsigned decimals;
  char one[1] = {'x'};
  hbeat_json again;
  EXPECT(value->type != HBEAT_JSON_NONE && value->size > 0);
  EXPECT(hbeat_json_parse((char *)at_end(value->text, value->size), value->size,
             &again) == HBEAT_OK);
  EXPECT(again.type == value->type && again.size == value->size);
  if (value->type == HBEAT_JSON_STRING) check_string(value);
  else EXPECT(hbeat_json_string(value, one, 1) == 0 && one[0] == '\0');
  for (decimals = 0; decimals < 22; decimals++)
    if (value->type == HBEAT_JSON_NUMBER) check_number(value, decimals);
    else EXPECT(hbeat_json_number(value, decimals, NULL) == HBEAT_ERR_JSON);
  saw((size_t)value->type);
  saw(value->size);
}

/* Between one value and the next: white space and these. */
static const char *expect_between(
    const char *at, const char *to, const char *marks) {
  for (; at < to; at++)
    if (!strchr(" \t\r\n", *at) || *at == '\0') EXPECT(*at == *marks++);
  EXPECT(*marks == '\0');
  return to;
}

/* What is to come before a container's end, where `marks` was to come before
 * its next value. */
static const char *last_marks(const char *marks, bool object) {
  if (*marks == ',') return object ? "}" : "]";
  return object ? "{}" : "[]";
}

/* Checks a name or a value that is behind `marks`; returns where it ends. */
static const char *check_part(
    const char *at, const hbeat_json *part, const char *marks, bool good) {
  if (good) expect_between(at, part->text, marks);
  check_value(part);
  return part->text + part->size;
}

/* Walks what is in a container.  Of one that was not parsed before only the
 * beginning may be good. */
static void walk(hbeat_json container, bool good, int depth) {
  bool object = container.type == HBEAT_JSON_OBJECT;
  const char *at = container.text, *end = at + container.size;
  const char *marks = object ? "{" : "[";
  hbeat_json blind = container, key, value, same;
  EXPECT(depth <= HBEAT_JSON_DEPTH);
  while (hbeat_json_next(&container, &key, &value)) {
    EXPECT(hbeat_json_next(&blind, NULL, &same));
    EXPECT(same.text == value.text && same.size == value.size);
    EXPECT(container.text == value.text + value.size);
    EXPECT(container.size == (size_t)(end - container.text));
    EXPECT(key.type == (object ? HBEAT_JSON_STRING : HBEAT_JSON_NONE));
    if (object) {
      at = check_part(at, &key, marks, good);
      marks = ":";
    }
    at = check_part(at, &value, marks, good);
    marks = ",";
    if (value.type >= HBEAT_JSON_ARRAY) walk(value, true, depth + 1);
  }
  EXPECT(!hbeat_json_next(&blind, NULL, &same) && same.size == 0);
  EXPECT(!hbeat_json_next(&container, &key, &value) && value.size == 0);
  if (good) expect_between(at, end, last_marks(marks, object));
}

/* What is bad stays bad however the text goes on; what is good was not whole
 * before its end, unless it is a number. */
static void check_prefixes(
    const char *text, size_t size, hbeat_error whole, const hbeat_json *value) {
  size_t step = size / 48 + 1, n;
  for (n = size % step; n < size; n += step) {
    hbeat_json part;
    hbeat_error e = hbeat_json_parse((char *)at_end(text, n), n, &part);
    if (e == HBEAT_ERR_JSON || e == HBEAT_ERR_TOO_BIG) EXPECT(whole == e);
    if (whole != HBEAT_OK || value->type == HBEAT_JSON_NUMBER) continue;
    bool whole_value = text + n >= value->text + value->size;
    EXPECT(e == (whole_value ? HBEAT_OK : HBEAT_ERR_TRUNCATED));
  }
}

/* The report's body is JSON, a message and data where it is an object: unless
 * they are deeper now than may be. */
static void check_body(const char *body, size_t size, bool object) {
  hbeat_json root, key, value;
  hbeat_error e = hbeat_json_parse(body, size, &root);
  EXPECT(e == HBEAT_OK || (object && e == HBEAT_ERR_TOO_BIG));
  if (e != HBEAT_OK) return;
  EXPECT(hbeat_json_next(&root, &key, &value));
  same_text(&key, "message");
  EXPECT(hbeat_json_next(&root, &key, &value) == object);
  if (object) same_text(&key, "response_data");
  EXPECT(!hbeat_json_next(&root, &key, &value));
}

/* As a report's data a text goes out if it is one object, as it is; as a
 * message it always could. */
static void check_in_report(const char *text, bool object) {
  char buffer[1], *wire;
  hbeat_config cfg = {.device = "d",
      .app = "a",
      .token = "t",
      .reply_buffer = buffer,
      .reply_buffer_size = 1};
  hbeat_request report = {.call = HBEAT_FAILED,
      .instruction = "i",
      .message = text,
      .response_data = text};
  size_t n = 0, got, body_size;
  hbeat_exchange x;
  hbeat_reply reply;
  hbeat_error e = hbeat_begin(&x, &cfg, &report, &reply);
  EXPECT(e == (object ? HBEAT_OK : HBEAT_ERR_ARGUMENT));
  report.response_data = object ? text : NULL;
  EXPECT(hbeat_begin(&x, &cfg, &report, &reply) == HBEAT_OK);
  body_size = (size_t)x.body_size;
  wire = memory(body_size + 1000);
  while ((got = hbeat_pull(&x, wire + n, 16)) > 0) n += got;
  EXPECT(n > body_size);
  check_body(wire + n - body_size, body_size, object);
  free(wire);
}

/* The same twice gives the same. */
static void check_whole(const char *text, size_t size, hbeat_json *value) {
  uint64_t first = 0;
  EXPECT(value->text >= text && value->size <= size);
  expect_between(text, value->text, "");
  expect_between(value->text + value->size, text + size, "");
  for (int i = 0; i < 2; i++) {
    first = digest;
    digest = 0;
    check_value(value);
    if (value->type >= HBEAT_JSON_ARRAY) walk(*value, true, 1);
  }
  EXPECT(digest == first);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  const char *text = (const char *)data;
  char *copy = memory(size + 1); /* with a NUL behind it */
  hbeat_json value, raw = {HBEAT_JSON_OBJECT, text, size};
  hbeat_error e = hbeat_json_parse(text, size, &value);
  EXPECT(e == HBEAT_OK || e == HBEAT_ERR_JSON || e == HBEAT_ERR_TRUNCATED ||
      e == HBEAT_ERR_TOO_BIG);
  check_prefixes(text, size, e, &value);
  if (size > 0) memcpy(copy, text, size);
  if (strlen(copy) == size)
    check_in_report(copy, e == HBEAT_OK && value.type == HBEAT_JSON_OBJECT);
  free(copy);
  if (e == HBEAT_OK) check_whole(text, size, &value);
  walk(raw, false, 0); /* as a body that breaks off is searched */
  raw.type = HBEAT_JSON_ARRAY;
  walk(raw, false, 0);
  return 0;
}
