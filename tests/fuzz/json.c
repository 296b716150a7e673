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
  size_t size = 1, taken;
  char *json = memory(strlen(text) * UNIT_MAX + 2);
  const char *at = text;
  hbeat_json value;
  json[0] = '"';
  for (; *at != '\0'; at += taken)
    size += json_escape((const byte *)at, (byte *)json + size, &taken);
  json[size++] = '"';
  EXPECT(hbeat_json_parse(json, size, &value) == HBEAT_OK);
  EXPECT(value.type == HBEAT_JSON_STRING && value.size == size);
  same_text(&value, text);
  free(json);
}

static void check_string(const hbeat_json *value) {
  size_t length = hbeat_json_string(value, NULL, 0);
  char *out = memory(length + 1), *small = memory(length);
  EXPECT(length <= value->size - 2);
  EXPECT(hbeat_json_string(value, out, length + 1) == length);
  EXPECT(strlen(out) == length);
  expect_utf8(out);
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
  unsigned i;
  long long expected;
  while (at < end && (*at == '-' || is_digit(*at))) digits[n++] = *at++;
  if (memchr(value->text, 'e', value->size) ||
      memchr(value->text, 'E', value->size) || (decimals == 0 && at < end)) {
    EXPECT(e == HBEAT_ERR_JSON);
  } else {
    if (at < end) at++;
    for (i = 0; i < decimals; i++) digits[n++] = at < end ? *at++ : '0';
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
      if (good) expect_between(at, key.text, marks);
      check_value(&key);
      at = key.text + key.size;
      marks = ":";
    }
    if (good) expect_between(at, value.text, marks);
    check_value(&value);
    if (value.type >= HBEAT_JSON_ARRAY) walk(value, true, depth + 1);
    at = value.text + value.size;
    marks = ",";
  }
  EXPECT(!hbeat_json_next(&blind, NULL, &same) && same.size == 0);
  EXPECT(!hbeat_json_next(&container, &key, &value) && value.size == 0);
  if (!good) return;
  if (*marks == ',') marks = "";
  expect_between(at, end,
      *marks == '{'       ? "{}"
          : *marks == '[' ? "[]"
          : object        ? "}"
                          : "]");
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
    EXPECT(e ==
        (text + n < value->text + value->size ? HBEAT_ERR_TRUNCATED
                                              : HBEAT_OK));
  }
}

/* As a report's data it goes out if it is one object, as it is; as a message
 * it always could. */
static void check_in_report(const char *text, size_t size, bool object) {
  char *copy = memory(size + 1), buffer[1], *body;
  hbeat_config cfg = {.device = "d",
      .app = "a",
      .token = "t",
      .reply_buffer = buffer,
      .reply_buffer_size = 1};
  hbeat_request report = {.call = HBEAT_FAILED,
      .instruction = "i",
      .message = copy,
      .response_data = copy};
  size_t n = 0, got;
  hbeat_exchange x;
  hbeat_reply reply;
  hbeat_json root = {HBEAT_JSON_NONE, NULL, 0}, key, value;
  hbeat_error e;
  if (size > 0) memcpy(copy, text, size);
  if (strlen(copy) == size) {
    e = hbeat_begin(&x, &cfg, &report, &reply);
    EXPECT(e == (object ? HBEAT_OK : HBEAT_ERR_ARGUMENT));
    report.response_data = object ? copy : NULL;
    EXPECT(hbeat_begin(&x, &cfg, &report, &reply) == HBEAT_OK);
    body = memory((size_t)x.body_size + 1000);
    while ((got = hbeat_pull(&x, body + n, 16)) > 0) n += got;
    EXPECT(n > x.body_size);
    e = hbeat_json_parse(body + n - x.body_size, (size_t)x.body_size, &root);
    EXPECT(e == HBEAT_OK || (object && e == HBEAT_ERR_TOO_BIG));
    if (e == HBEAT_OK) {
      EXPECT(hbeat_json_next(&root, &key, &value));
      same_text(&key, "message");
      EXPECT(hbeat_json_next(&root, &key, &value) == object);
      if (object) same_text(&key, "response_data");
      EXPECT(!hbeat_json_next(&root, &key, &value));
    }
    free(body);
  }
  free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  const char *text = (const char *)data;
  hbeat_json value, raw = {HBEAT_JSON_OBJECT, text, size};
  hbeat_error e = hbeat_json_parse(text, size, &value);
  uint64_t first;
  int i;
  EXPECT(e == HBEAT_OK || e == HBEAT_ERR_JSON || e == HBEAT_ERR_TRUNCATED ||
      e == HBEAT_ERR_TOO_BIG);
  check_prefixes(text, size, e, &value);
  check_in_report(text, size, e == HBEAT_OK && value.type == HBEAT_JSON_OBJECT);
  if (e == HBEAT_OK) {
    EXPECT(value.text >= text && value.size <= size);
    expect_between(text, value.text, "");
    expect_between(value.text + value.size, text + size, "");
    for (i = 0; i < 2; i++) {
      first = digest;
      digest = 0;
      check_value(&value);
      if (value.type >= HBEAT_JSON_ARRAY) walk(value, true, 1);
    }
    EXPECT(digest == first);
  }
  walk(raw, false, 0); /* as a body that breaks off is searched */
  raw.type = HBEAT_JSON_ARRAY;
  walk(raw, false, 0);
  return 0;
}
