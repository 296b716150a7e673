/*
 * JSON in: RFC 8259, by section; UTF-8 by RFC 3629.  Every text lies so that
 * the byte behind it faults.
 */
#include "cases.h"
#include <inttypes.h>

#define LIMIT HBEAT_JSON_DEPTH

static fenced texts, outs;

/* The four kinds of white space of RFC 8259 section 2. */
#define WS " \t\n\r"

/* ---- Texts that are JSON ------------------------------------------------ */

static const struct accept_row {
  const char *name;
  const char *text;
  size_t size;
  hbeat_json_type type;
} ACCEPTED[] = {
    /* section 3: literals, and any value as the whole text */
    {"null", TEXT("null"), HBEAT_JSON_NULL},
    {"true", TEXT("true"), HBEAT_JSON_TRUE},
    {"false", TEXT("false"), HBEAT_JSON_FALSE},

    /* section 2: white space */
    {"all white space around a value", TEXT(WS "1" WS), HBEAT_JSON_NUMBER},
    {"white space before a literal", TEXT(WS "null"), HBEAT_JSON_NULL},
    {"white space behind a string", TEXT("\"a\"" WS), HBEAT_JSON_STRING},
    {"white space in an empty array", TEXT("[" WS "]"), HBEAT_JSON_ARRAY},
    {"white space in an empty object", TEXT("{" WS "}"), HBEAT_JSON_OBJECT},
    {"white space around each token of an array",
        TEXT(WS "[" WS "1" WS "," WS "[" WS "]" WS "]" WS), HBEAT_JSON_ARRAY},
    {"white space around each token of an object",
        TEXT(WS "{" WS "\"a\"" WS ":" WS "1" WS "," WS "\"b\"" WS ":" WS
                "null" WS "}" WS),
        HBEAT_JSON_OBJECT},

    /* section 4: objects */
    {"an empty object", TEXT("{}"), HBEAT_JSON_OBJECT},
    {"one member", TEXT("{\"a\":1}"), HBEAT_JSON_OBJECT},
    {"members of each type",
        TEXT("{\"n\":null,\"f\":false,\"t\":true,\"1\":-1.5e+3,\"s\":\"\","
             "\"a\":[],\"o\":{}}"),
        HBEAT_JSON_OBJECT},
    {"an empty name", TEXT("{\"\":0}"), HBEAT_JSON_OBJECT},
    {"a name of digits", TEXT("{\"0\":\"a\"}"), HBEAT_JSON_OBJECT},
    {"a name twice", TEXT("{\"a\":1,\"a\":2}"), HBEAT_JSON_OBJECT},
    {"a name in escapes", TEXT("{\"\\u0061\\n\":1}"), HBEAT_JSON_OBJECT},
    {"objects in each other", TEXT("{\"a\":{\"b\":{}}}"), HBEAT_JSON_OBJECT},

    /* section 5: arrays */
    {"an empty array", TEXT("[]"), HBEAT_JSON_ARRAY},
    {"one element", TEXT("[0]"), HBEAT_JSON_ARRAY},
    {"elements of each type", TEXT("[null,false,true,-1.5e+3,\"\",[],{}]"),
        HBEAT_JSON_ARRAY},
    {"arrays in each other", TEXT("[[[]],[[],[]]]"), HBEAT_JSON_ARRAY},
    {"objects and arrays by turns", TEXT("[{\"a\":[{\"b\":[{}]}]}]"),
        HBEAT_JSON_ARRAY},

    /* section 6: numbers */
    {"zero", TEXT("0"), HBEAT_JSON_NUMBER},
    {"minus zero", TEXT("-0"), HBEAT_JSON_NUMBER},
    {"an integer", TEXT("1234567890"), HBEAT_JSON_NUMBER},
    {"a negative integer", TEXT("-1"), HBEAT_JSON_NUMBER},
    {"a zero inside", TEXT("101"), HBEAT_JSON_NUMBER},
    {"a fraction", TEXT("0.5"), HBEAT_JSON_NUMBER},
    {"a fraction of zeros", TEXT("-0.000"), HBEAT_JSON_NUMBER},
    {"an exponent", TEXT("1e1"), HBEAT_JSON_NUMBER},
    {"an exponent in upper case", TEXT("1E1"), HBEAT_JSON_NUMBER},
    {"an exponent with plus", TEXT("1e+1"), HBEAT_JSON_NUMBER},
    {"an exponent with minus", TEXT("1E-1"), HBEAT_JSON_NUMBER},
    {"an exponent with leading zeros", TEXT("1e-007"), HBEAT_JSON_NUMBER},
    {"zero with an exponent", TEXT("0e0"), HBEAT_JSON_NUMBER},
    {"sign, fraction and exponent", TEXT("-12.50e+10"), HBEAT_JSON_NUMBER},
    {"an integer beyond int64", TEXT("123456789012345678901234567890"),
        HBEAT_JSON_NUMBER},
    {"an exponent beyond double", TEXT("1e9999999999999999999999"),
        HBEAT_JSON_NUMBER},
    {"numbers in an array", TEXT("[0,-0,1.0,1e0]"), HBEAT_JSON_ARRAY},
    {"a number as a member's value", TEXT("{\"a\":0}"), HBEAT_JSON_OBJECT},

    /* section 7: strings */
    {"an empty string", TEXT("\"\""), HBEAT_JSON_STRING},
    {"letters", TEXT("\"abc XYZ\""), HBEAT_JSON_STRING},
    {"the two-character escapes", TEXT("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\""),
        HBEAT_JSON_STRING},
    {"a bare solidus", TEXT("\"/\""), HBEAT_JSON_STRING},
    {"\\u in lower and upper case", TEXT("\"\\u00e9\\u00E9\\uabCD\""),
        HBEAT_JSON_STRING},
    {"\\u0000", TEXT("\"a\\u0000b\""), HBEAT_JSON_STRING},
    {"\\u001F", TEXT("\"\\u001F\""), HBEAT_JSON_STRING},
    {"\\u behind an escaped backslash", TEXT("\"\\\\u12\""), HBEAT_JSON_STRING},
    {"an escaped quote at the end", TEXT("\"\\\\\\\"\""), HBEAT_JSON_STRING},
    {"the lowest surrogate pair", TEXT("\"\\uD800\\uDC00\""),
        HBEAT_JSON_STRING},
    {"the highest surrogate pair", TEXT("\"\\uDBFF\\uDFFF\""),
        HBEAT_JSON_STRING},
    {"a surrogate pair in lower case", TEXT("\"\\ud83d\\ude00\""),
        HBEAT_JSON_STRING},
    {"pairs in a row", TEXT("\"\\uD834\\uDD1E\\uD834\\uDD1E\""),
        HBEAT_JSON_STRING},
    {"escapes beside the surrogates", TEXT("\"\\uD7FF\\uE000\""),
        HBEAT_JSON_STRING},
    {"noncharacters in escapes", TEXT("\"\\uFFFE\\uFFFF\\uFDD0\""),
        HBEAT_JSON_STRING},
    {"bare DEL", TEXT("\"\x7F\""), HBEAT_JSON_STRING},
    {"bare C1 controls", TEXT("\"\xC2\x80\xC2\x9F\""), HBEAT_JSON_STRING},
    {"line and paragraph separators", TEXT("\"\xE2\x80\xA8\xE2\x80\xA9\""),
        HBEAT_JSON_STRING},
    {"a BOM inside a string", TEXT("\"\xEF\xBB\xBF\""), HBEAT_JSON_STRING},
    {"brackets inside a string", TEXT("\"[{]},:\""), HBEAT_JSON_STRING},

    /* section 8.2: escapes that make no character */
    {"a lone high surrogate", TEXT("\"\\uD800\""), HBEAT_JSON_STRING},
    {"a lone high surrogate and text", TEXT("\"\\uDBFFabcdef\""),
        HBEAT_JSON_STRING},
    {"a high surrogate and another escape", TEXT("\"\\uD800\\n\""),
        HBEAT_JSON_STRING},
    {"a high surrogate and no surrogate", TEXT("\"\\uD800\\u0041\""),
        HBEAT_JSON_STRING},
    {"two high surrogates", TEXT("\"\\uD800\\uD800\""), HBEAT_JSON_STRING},
    {"two high surrogates and a low one", TEXT("\"\\uD800\\uD800\\uDC00\""),
        HBEAT_JSON_STRING},
    {"a high surrogate and U+E000", TEXT("\"\\uD800\\uE000\""),
        HBEAT_JSON_STRING},
    {"a lone low surrogate", TEXT("\"\\uDC00\""), HBEAT_JSON_STRING},
    {"the last low surrogate", TEXT("\"\\uDFFF\""), HBEAT_JSON_STRING},
    {"the halves of a pair exchanged", TEXT("\"\\uDD1E\\uD834\""),
        HBEAT_JSON_STRING},
    {"a lone surrogate in a name", TEXT("{\"\\uD800\":1}"), HBEAT_JSON_OBJECT},

    /* RFC 3629 section 4: the edges of well-formed UTF-8 */
    {"U+0020 and U+007E", TEXT("\" ~\""), HBEAT_JSON_STRING},
    {"U+0080 and U+07FF", TEXT("\"\xC2\x80\xDF\xBF\""), HBEAT_JSON_STRING},
    {"U+0800 and U+0FFF", TEXT("\"\xE0\xA0\x80\xE0\xBF\xBF\""),
        HBEAT_JSON_STRING},
    {"U+1000 and U+CFFF", TEXT("\"\xE1\x80\x80\xEC\xBF\xBF\""),
        HBEAT_JSON_STRING},
    {"U+D000 and U+D7FF", TEXT("\"\xED\x80\x80\xED\x9F\xBF\""),
        HBEAT_JSON_STRING},
    {"U+E000 and U+FFFF", TEXT("\"\xEE\x80\x80\xEF\xBF\xBF\""),
        HBEAT_JSON_STRING},
    {"U+10000 and U+3FFFF", TEXT("\"\xF0\x90\x80\x80\xF0\xBF\xBF\xBF\""),
        HBEAT_JSON_STRING},
    {"U+40000 and U+FFFFF", TEXT("\"\xF1\x80\x80\x80\xF3\xBF\xBF\xBF\""),
        HBEAT_JSON_STRING},
    {"U+100000 and U+10FFFF", TEXT("\"\xF4\x80\x80\x80\xF4\x8F\xBF\xBF\""),
        HBEAT_JSON_STRING},
};

static bool is_space(char c) {
  return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static hbeat_error parse(const char *text, size_t size, hbeat_json *value) {
  memset(value, 0xA5, sizeof *value);
  return hbeat_json_parse(at_end(&texts, text, size), size, value);
}

/* The value is the text without the white space around it. */
static void test_accepted(void **state) {
  const struct accept_row *row = *state;
  const char *begin = row->text, *end = row->text + row->size;
  hbeat_json value;

  in_hand(row->name, row->text, row->size);
  expect_error("the text", parse(row->text, row->size, &value), HBEAT_OK);
  while (is_space(*begin)) begin++;
  while (is_space(end[-1])) end--;
  expect_int("its type", value.type, row->type);
  expect_bytes(
      "its span", value.text, value.size, begin, (size_t)(end - begin));
}

/* A number may end anywhere behind a digit; everything else says its end. */
static void test_prefixes_are_incomplete(void **state) {
  const struct accept_row *row = *state;
  size_t end = row->size;
  hbeat_json value;

  while (is_space(row->text[end - 1])) end--;
  if (row->type == HBEAT_JSON_NUMBER) return;
  for (size_t size = 0; size < end; size++) {
    in_hand(row->name, row->text, size);
    expect_error(
        "a prefix", parse(row->text, size, &value), HBEAT_ERR_TRUNCATED);
  }
}

/* ---- Texts that are not ------------------------------------------------- */

static const struct text_row {
  const char *name;
  const char *text;
  size_t size;
} REJECTED[] = {
    /* section 2: what is no white space, and what is behind the value */
    {"a vertical tab", TEXT("\v1")},
    {"a form feed", TEXT("[\f]")},
    {"a NUL before the value", TEXT("\0null")},
    {"a NUL behind the value", TEXT("[]\0")},
    {"a no-break space", TEXT("\xC2\xA0[]")},
    {"a line separator", TEXT("[\xE2\x80\xA8]")},
    {"an ideographic space", TEXT("[]\xE3\x80\x80")},
    {"two numbers", TEXT("1 2")},
    {"two strings", TEXT("\"a\" \"b\"")},
    {"two arrays", TEXT("[][]")},
    {"two objects", TEXT("{}\n{}")},
    {"a letter behind an object", TEXT("{}x")},
    {"a comma behind a value", TEXT("null,")},
    {"a bracket too many", TEXT("[]]")},
    {"a brace too many", TEXT("{}}")},
    {"a comment of C", TEXT("[/**/]")},
    {"a comment of C++", TEXT("[1] // one")},
    {"a comment of the shell", TEXT("# one\n[1]")},

    /* section 8.1: a byte order mark, and what is not UTF-8 */
    {"a byte order mark", TEXT("\xEF\xBB\xBF{}")},
    {"a byte order mark behind", TEXT("{}\xEF\xBB\xBF")},
    {"a byte order mark of UTF-16", TEXT("\xFE\xFF\0[\0]")},
    {"UTF-16, big-endian", TEXT("\0[\0]")},
    {"UTF-16, little-endian", TEXT("[\0]\0")},
    {"a stray byte between tokens", TEXT("[1\xE5]")},

    /* section 3: literals */
    {"True", TEXT("True")},
    {"TRUE", TEXT("TRUE")},
    {"tRue", TEXT("tRue")},
    {"FALSE", TEXT("[FALSE]")},
    {"Null", TEXT("Null")},
    {"nul and a space", TEXT("nul ")},
    {"nul in an array", TEXT("[nul]")},
    {"a letter behind null", TEXT("nulll")},
    {"two literals", TEXT("truefalse")},
    {"a digit behind true", TEXT("true1")},
    {"undefined", TEXT("undefined")},
    {"a bare word", TEXT("reload")},
    {"a lone t in an array", TEXT("[t]")},

    /* section 4: objects */
    {"a member without a value", TEXT("{\"a\"}")},
    {"a colon without a value", TEXT("{\"a\":}")},
    {"a comma behind the last member", TEXT("{\"a\":1,}")},
    {"two commas between members", TEXT("{\"a\":1,,\"b\":2}")},
    {"only a comma in an object", TEXT("{,}")},
    {"a comma before the first member", TEXT("{,\"a\":1}")},
    {"no comma between members", TEXT("{\"a\":1 \"b\":2}")},
    {"no colon", TEXT("{\"a\" 1}")},
    {"two colons", TEXT("{\"a\"::1}")},
    {"a colon behind the value", TEXT("{\"a\":1:2}")},
    {"a comma for a colon", TEXT("{\"a\",1}")},
    {"an equals sign for a colon", TEXT("{\"a\"=1}")},
    {"a number as a name", TEXT("{1:2}")},
    {"null as a name", TEXT("{null:1}")},
    {"an array as a name", TEXT("{[]:1}")},
    {"a name without quotes", TEXT("{a:1}")},
    {"a name in single quotes", TEXT("{'a':1}")},
    {"an object ended by a bracket", TEXT("{\"a\":1]")},
    {"an empty object ended by a bracket", TEXT("{]")},
    {"a value without a name", TEXT("{\"a\":1,2}")},

    /* section 5: arrays */
    {"a comma behind the last element", TEXT("[1,]")},
    {"a comma before the first element", TEXT("[,1]")},
    {"two commas between elements", TEXT("[1,,2]")},
    {"only a comma in an array", TEXT("[,]")},
    {"no comma between elements", TEXT("[1 2]")},
    {"a colon between elements", TEXT("[1:2]")},
    {"a semicolon between elements", TEXT("[1;2]")},
    {"a member in an array", TEXT("[\"a\":1]")},
    {"an array ended by a brace", TEXT("[1}")},
    {"an empty array ended by a brace", TEXT("[}")},
    {"brackets crossed", TEXT("[{]}")},
    {"an end without a beginning", TEXT("]")},
    {"a brace without a beginning", TEXT("}")},
    {"an array ended twice in an object", TEXT("{\"a\":[]]}")},
    {"a comma alone", TEXT(",")},
    {"a colon alone", TEXT(":")},

    /* section 6: numbers */
    {"a plus sign", TEXT("+1")},
    {"a leading zero", TEXT("01")},
    {"a leading zero behind minus", TEXT("-01")},
    {"two zeros", TEXT("00")},
    {"zeros before a fraction", TEXT("00.5")},
    {"no digit before the point", TEXT(".5")},
    {"minus and point", TEXT("-.5")},
    {"no digit behind the point", TEXT("[1.]")},
    {"no digit between point and e", TEXT("1.e5")},
    {"two points", TEXT("1.2.3")},
    {"a point in the exponent", TEXT("1e5.5")},
    {"no digit in the exponent", TEXT("[1e]")},
    {"no digit behind the exponent's sign", TEXT("[1e+]")},
    {"two signs in the exponent", TEXT("1e+-5")},
    {"two exponents", TEXT("1e5e5")},
    {"an exponent alone", TEXT("e5")},
    {"two minus signs", TEXT("--1")},
    {"a space behind minus", TEXT("- 1")},
    {"a minus sign alone", TEXT("[-]")},
    {"a space in the number", TEXT("1 000")},
    {"a comma in the number", TEXT("1,5")},
    {"hexadecimal", TEXT("0x10")},
    {"octal", TEXT("0o17")},
    {"an underscore", TEXT("1_000")},
    {"a suffix", TEXT("1.0f")},
    {"NaN", TEXT("NaN")},
    {"Infinity", TEXT("Infinity")},
    {"minus Infinity", TEXT("-Infinity")},
    {"inf", TEXT("[inf]")},
    {"fullwidth digits", TEXT("\xEF\xBC\x91")},
    {"a minus sign of U+2212",
        TEXT("\xE2\x88\x92"
             "1")},

    /* section 7: strings */
    {"single quotes", TEXT("'a'")},
    {"curly quotes",
        TEXT("\xE2\x80\x9C"
             "a\xE2\x80\x9D")},
    {"a bare line feed", TEXT("\"a\nb\"")},
    {"a bare tab", TEXT("\"\t\"")},
    {"a bare NUL", TEXT("\"\0\"")},
    {"a bare control in a name", TEXT("{\"\x01\":1}")},
    {"\\a", TEXT("\"\\a\"")},
    {"\\v", TEXT("\"\\v\"")},
    {"\\0", TEXT("\"\\0\"")},
    {"\\'", TEXT("\"\\'\"")},
    {"\\x", TEXT("\"\\x41\"")},
    {"\\N", TEXT("\"\\N\"")},
    {"\\U", TEXT("\"\\U0041\"")},
    {"an escaped line feed", TEXT("\"\\\n\"")},
    {"an escaped NUL", TEXT("\"\\\0\"")},
    {"an escaped byte above ASCII", TEXT("\"\\\xC3\xA9\"")},
    {"\\u with three digits", TEXT("\"\\u123\"")},
    {"\\u with a letter past F", TEXT("\"\\u00G0\"")},
    {"\\u with a sign", TEXT("\"\\u+041\"")},
    {"\\u with a space", TEXT("\"\\u 041\"")},
    {"\\u in braces", TEXT("\"\\u{41}\"")},
    {"\\u with :", TEXT("\"\\u004:\"")},
    {"\\u with @", TEXT("\"\\u004@\"")},
    {"\\u with `", TEXT("\"\\u004`\"")},
    {"a high surrogate and \\u with three digits", TEXT("\"\\uD800\\uDC0\"")},
    {"a high surrogate and \\u with a letter past F",
        TEXT("\"\\uD800\\uDC0G\"")},
    {"a high surrogate and a bad escape", TEXT("\"\\uD800\\x\"")},
    {"a high surrogate and a line feed", TEXT("\"\\uD800\n\"")},
    {"a high surrogate and invalid UTF-8", TEXT("\"\\uD800\xFF\"")},

    /* RFC 3629 section 3: what is not UTF-8 */
    {"a continuation byte alone", TEXT("\"\x80\"")},
    {"the last continuation byte alone", TEXT("\"\xBF\"")},
    {"one continuation byte too many", TEXT("\"\xC3\xA9\xA9\"")},
    {"C0: overlong NUL", TEXT("\"\xC0\x80\"")},
    {"C0: overlong solidus", TEXT("\"\xC0\xAF\"")},
    {"C1: overlong DEL", TEXT("\"\xC1\xBF\"")},
    {"E0: overlong U+07FF", TEXT("\"\xE0\x9F\xBF\"")},
    {"E0: overlong solidus", TEXT("\"\xE0\x80\xAF\"")},
    {"F0: overlong U+FFFF", TEXT("\"\xF0\x8F\xBF\xBF\"")},
    {"F0: overlong solidus", TEXT("\"\xF0\x80\x80\xAF\"")},
    {"the first surrogate in UTF-8", TEXT("\"\xED\xA0\x80\"")},
    {"the last surrogate in UTF-8", TEXT("\"\xED\xBF\xBF\"")},
    {"a surrogate pair in UTF-8 (CESU-8)",
        TEXT("\"\xED\xA0\xB4\xED\xB4\x9E\"")},
    {"U+110000", TEXT("\"\xF4\x90\x80\x80\"")},
    {"F5", TEXT("\"\xF5\x80\x80\x80\"")},
    {"F8: five bytes", TEXT("\"\xF8\x88\x80\x80\x80\"")},
    {"FC: six bytes", TEXT("\"\xFC\x84\x80\x80\x80\x80\"")},
    {"FE", TEXT("\"\xFE\"")},
    {"FF", TEXT("\"\xFF\"")},
    {"two bytes cut to one", TEXT("\"\xC3\"")},
    {"three bytes cut to one", TEXT("\"\xE2\"")},
    {"three bytes cut to two", TEXT("\"\xE2\x82\"")},
    {"four bytes cut to one", TEXT("\"\xF0\"")},
    {"four bytes cut to two", TEXT("\"\xF0\x9F\"")},
    {"four bytes cut to three", TEXT("\"\xF0\x9F\x98\"")},
    {"a letter for the second byte",
        TEXT("\"\xC3"
             "aa\"")},
    {"a letter for the third byte",
        TEXT("\"\xE2\x82"
             "aa\"")},
    {"a letter for the fourth byte",
        TEXT("\"\xF0\x9F\x98"
             "aa\"")},
    {"a lead for the second byte", TEXT("\"\xC3\xC3\xA9\"")},
    {"Latin-1", TEXT("\"caf\xE9\"")},
    {"invalid UTF-8 in a name", TEXT("{\"\xFF\":1}")},
};

static void test_rejected(void **state) {
  const struct text_row *row = *state;
  hbeat_json value;

  in_hand(row->name, row->text, row->size);
  expect_error("the text", parse(row->text, row->size, &value), HBEAT_ERR_JSON);
}

/* Each control character, bare in a string: section 7. */
static void test_bare_controls(void **state) {
  hbeat_json value;

  (void)state;
  for (unsigned c = 0; c < 0x20; c++) {
    char text[4] = {'"', (char)c, '"', '\0'};
    in_hand("a bare control", text, 3);
    expect_error("the string", parse(text, 3, &value), HBEAT_ERR_JSON);
  }
}

/* ---- Texts that end too early ------------------------------------------- */

/* More text could complete each of these; see also the prefixes above. */
static const struct text_row INCOMPLETE[] = {
    {"nothing", TEXT("")},
    {"white space", TEXT(WS)},
    {"a minus sign", TEXT("-")},
    {"a point", TEXT("0.")},
    {"an e", TEXT("1e")},
    {"an e behind a fraction", TEXT("-1.5E")},
    {"the exponent's sign", TEXT("1e+")},
    {"the exponent's minus", TEXT("0e-")},
    {"a number in an array", TEXT("[1")},
    {"an array behind white space", TEXT("[1 ")},
    {"a high surrogate", TEXT("\"\\uD800")},
    {"a high surrogate and a backslash", TEXT("\"\\uD800\\")},
    {"a high surrogate and \\u", TEXT("\"\\uD800\\uD")},
    {"a low surrogate", TEXT("\"\\uDC00")},
    {"a high surrogate and a letter", TEXT("\"\\uD800x")},
    {"half a character", TEXT("\"\xF0\x9F\x98")},
};

static void test_incomplete(void **state) {
  const struct text_row *row = *state;
  hbeat_json value;

  in_hand(row->name, row->text, row->size);
  expect_error(
      "the text", parse(row->text, row->size, &value), HBEAT_ERR_TRUNCATED);
}

/* No text could complete these, short as they are. */
static const struct text_row HOPELESS[] = {
    {"a literal gone wrong", TEXT("trux")},
    {"a leading zero", TEXT("[00")},
    {"an open string with a control", TEXT("\"a\n")},
    {"an open string with a high surrogate and a bad \\u",
        TEXT("\"\\uD800\\uG")},
    {"an open string with an overlong lead", TEXT("\"\xC0")},
    {"an open string with an overlong E0", TEXT("\"\xE0\x80")},
    {"an open string with a surrogate", TEXT("\"\xED\xA0")},
    {"an open string past U+10FFFF", TEXT("\"\xF4\x90")},
    {"a bad escape at the end", TEXT("\"\\x")},
    {"a bad digit of \\u at the end", TEXT("\"\\u00G")},
    {"a name that is none", TEXT("{1")},
    {"the wrong bracket", TEXT("[[}")},
    {"a comma before the end", TEXT("[[1,]")},
    {"half a byte order mark", TEXT("\xEF\xBB")},
};

/* ---- Depth: section 9 --------------------------------------------------- */

/* Writes `depth` times `open`, then `middle`, then `depth` times `close`. */
static size_t nest(char *out, size_t depth, const char *open,
    const char *middle, const char *close) {
  char *p = out;

  for (size_t i = 0; i < depth; i++) p = strcpy(p, open) + strlen(open);
  p = strcpy(p, middle) + strlen(middle);
  for (size_t i = 0; i < depth; i++) p = strcpy(p, close) + strlen(close);
  return (size_t)(p - out);
}

static const struct depth_row {
  const char *name;
  const char *open, *middle, *close;
  size_t depth;
  hbeat_error error;
} DEPTHS[] = {
    {"arrays at the limit", .open = "[", .middle = "", .close = "]",
        .depth = LIMIT, .error = HBEAT_OK},
    {"arrays past the limit", .open = "[", .middle = "", .close = "]",
        .depth = LIMIT + 1, .error = HBEAT_ERR_TOO_BIG},
    {"a number in arrays at the limit", .open = "[", .middle = "1",
        .close = "]", .depth = LIMIT, .error = HBEAT_OK},
    {"siblings at the limit", .open = "[[],", .middle = "[]", .close = ",[]]",
        .depth = LIMIT - 1, .error = HBEAT_OK},
    {"siblings past the limit", .open = "[[],", .middle = "[]", .close = ",[]]",
        .depth = LIMIT, .error = HBEAT_ERR_TOO_BIG},
    {"objects at the limit", .open = "{\"a\":", .middle = "{}", .close = "}",
        .depth = LIMIT - 1, .error = HBEAT_OK},
    {"objects past the limit", .open = "{\"a\":", .middle = "{}", .close = "}",
        .depth = LIMIT, .error = HBEAT_ERR_TOO_BIG},
    {"by turns at the limit", .open = "[{\"a\":", .middle = "0", .close = "}]",
        .depth = LIMIT / 2, .error = HBEAT_OK},
    {"by turns past the limit", .open = "[{\"a\":", .middle = "[]",
        .close = "}]", .depth = LIMIT / 2, .error = HBEAT_ERR_TOO_BIG},
    {"open arrays at the limit", .open = "[", .middle = "", .close = "",
        .depth = LIMIT, .error = HBEAT_ERR_TRUNCATED},
    {"open arrays past the limit", .open = "[", .middle = "", .close = "",
        .depth = LIMIT + 1, .error = HBEAT_ERR_TOO_BIG},
    {"100,000 open arrays", .open = "[", .middle = "", .close = "",
        .depth = 100000, .error = HBEAT_ERR_TOO_BIG},
    {"50,000 open objects", .open = "{\"a\":", .middle = "", .close = "",
        .depth = 50000, .error = HBEAT_ERR_TOO_BIG},
    {"crossed at the limit", .open = "[", .middle = "{]", .close = "]",
        .depth = LIMIT - 1, .error = HBEAT_ERR_JSON},
};

static void test_depth(void **state) {
  static char text[300000];
  const struct depth_row *row = *state;
  size_t size = nest(text, row->depth, row->open, row->middle, row->close);
  hbeat_json value;

  in_hand(row->name, text, size);
  expect_error("the text", parse(text, size, &value), row->error);
}

/* What was closed does not count. */
static void test_wide(void **state) {
  static char text[60000];
  char *p = text;
  hbeat_json value;

  (void)state;
  *p++ = '[';
  for (int i = 0; i < 10000; i++) p = strcpy(p, "[{}],") + 5;
  p = strcpy(p, "0]") + 2;
  in_hand("10,000 arrays side by side", text, (size_t)(p - text));
  expect_error("the text", parse(text, (size_t)(p - text), &value), HBEAT_OK);
}

/* ---- hbeat_json_next ---------------------------------------------------- */

/* Row: a text, and what it says when it is walked and written compactly. */
static const struct walk_row {
  const char *name;
  const char *text;
  const char *compact;
} WALKS[] = {
    {"an empty array", "[]", "[]"},
    {"an empty object", "{}", "{}"},
    {"an empty array with white space", "[" WS "]", "[]"},
    {"an empty object with white space", "{" WS "}", "{}"},
    {"one element", "[1]", "[1]"},
    {"elements of each type", "[null,false,true,-1.5e+3,\"a\",[],{}]",
        "[null,false,true,-1.5e+3,\"a\",[],{}]"},
    {"one member", "{\"a\":1}", "{\"a\":1}"},
    {"a keyed array", "{\"0\":\"a\",\"1\":\"b\"}", "{\"0\":\"a\",\"1\":\"b\"}"},
    {"a name twice", "{\"a\":1,\"a\":2}", "{\"a\":1,\"a\":2}"},
    {"an empty name", "{\"\":\"\"}", "{\"\":\"\"}"},
    {"arrays in arrays", "[[],[[]],[[1],2],3]", "[[],[[]],[[1],2],3]"},
    {"objects in objects", "{\"a\":{\"b\":{\"c\":0}},\"d\":{}}",
        "{\"a\":{\"b\":{\"c\":0}},\"d\":{}}"},
    {"arrays in objects in arrays", "[{\"a\":[{\"b\":[1,2]}]},3]",
        "[{\"a\":[{\"b\":[1,2]}]},3]"},
    {"brackets, commas and quotes in strings",
        "[\"],[\",\"\\\"],[\\\\\",{\"},:{\\\"\":\"}\"}]",
        "[\"],[\",\"\\\"],[\\\\\",{\"},:{\\\"\":\"}\"}]"},
    {"white space around each token of an array",
        "[" WS "1" WS "," WS "\"a b\"" WS "," WS "[" WS "]" WS "]",
        "[1,\"a b\",[]]"},
    {"white space around each token of an object",
        "{" WS "\"a\"" WS ":" WS "1" WS "," WS "\"b\"" WS ":" WS "{" WS "}" WS
        "}",
        "{\"a\":1,\"b\":{}}"},
    {"white space around the whole", WS "[1,2]" WS, "[1,2]"},
};

static hbeat_json_type type_of(char first) {
  switch (first) {
  case 'n': return HBEAT_JSON_NULL;
  case 'f': return HBEAT_JSON_FALSE;
  case 't': return HBEAT_JSON_TRUE;
  case '"': return HBEAT_JSON_STRING;
  case '[': return HBEAT_JSON_ARRAY;
  case '{': return HBEAT_JSON_OBJECT;
  default: return HBEAT_JSON_NUMBER;
  }
}

/* Writes a value compactly and returns the end of what it wrote. */
static char *write_compact(char *out, hbeat_json value) {
  hbeat_json key, item;
  char first = *value.text, *begin = out;

  expect_int("the type of a value", value.type, type_of(first));
  if (first != '[' && first != '{') {
    memcpy(out, value.text, value.size);
    return out + value.size;
  }
  *out++ = first;
  while (hbeat_json_next(&value, &key, &item)) {
    if (out != begin + 1) *out++ = ',';
    expect_int("the type of a name", key.type,
        first == '{' ? HBEAT_JSON_STRING : HBEAT_JSON_NONE);
    if (first == '{') {
      out = write_compact(out, key);
      *out++ = ':';
    }
    out = write_compact(out, item);
  }
  for (int again = 0; again < 3; again++)
    expect_true("at the end it stays", !hbeat_json_next(&value, &key, &item));
  *out++ = first == '[' ? ']' : '}';
  return out;
}

static void test_walk(void **state) {
  const struct walk_row *row = *state;
  size_t size = strlen(row->text);
  hbeat_json value;
  char out[200];

  in_hand(row->name, row->text, size);
  expect_error("the text", parse(row->text, size, &value), HBEAT_OK);
  *write_compact(out, value) = '\0';
  expect_text("walked", out, row->compact);
  *write_compact(out, value) = '\0';
  expect_text("walked again, by a copy", out, row->compact);
}

static void test_walk_without_key(void **state) {
  static const char TWO[] = "{\"a\":1,\"b\":22}";
  hbeat_json value, item;

  (void)state;
  in_hand("no place for the name", TEXT(TWO));
  expect_error("the text", parse(TEXT(TWO), &value), HBEAT_OK);
  expect_true("the first", hbeat_json_next(&value, NULL, &item));
  expect_bytes("the first", item.text, item.size, TEXT("1"));
  expect_true("the second", hbeat_json_next(&value, NULL, &item));
  expect_bytes("the second", item.text, item.size, TEXT("22"));
  expect_true("the end", !hbeat_json_next(&value, NULL, &item));
}

static const struct text_row NO_CONTAINERS[] = {
    {"null", TEXT("null")},
    {"true", TEXT("true")},
    {"a number", TEXT("12")},
    {"a string", TEXT("\"[1]\"")},
};

static void test_walk_no_container(void **state) {
  const struct text_row *row = *state;
  hbeat_json value, before, key, item, none = {HBEAT_JSON_NONE, NULL, 0};

  in_hand(row->name, row->text, row->size);
  expect_error("the text", parse(row->text, row->size, &value), HBEAT_OK);
  before = value;
  expect_true("nothing in it", !hbeat_json_next(&value, &key, &item));
  expect_true("it is still there",
      value.text == before.text && value.size == before.size);
  expect_true("nothing in nothing", !hbeat_json_next(&none, &key, &item));
}

/* A span that nobody checked ends in false, and never leaves the span. */
static const struct text_row UNCHECKED[] = {
    {"nothing", TEXT("")},
    {"an open array", TEXT("[")},
    {"an open object", TEXT("{")},
    {"a closing bracket", TEXT("]")},
    {"an open array behind an element", TEXT("[1")},
    {"an open array behind a comma", TEXT("[1,")},
    {"only commas", TEXT("[,,,,]")},
    {"an open string", TEXT("[\"abc")},
    {"an open escape", TEXT("[\"abc\\")},
    {"an open name", TEXT("{\"a")},
    {"a name alone", TEXT("{\"a\"")},
    {"a name and a colon", TEXT("{\"a\":")},
    {"a name and no colon", TEXT("{\"a\" 1}")},
    {"colons", TEXT("{::::}")},
    {"no name", TEXT("{1:2}")},
    {"brackets crossed", TEXT("[{]}")},
    {"open arrays", TEXT("[[[[[[[[")},
    {"half a literal", TEXT("[tru")},
    {"half a number", TEXT("[-")},
    {"bare words", TEXT("[a b c]")},
    {"NULs", TEXT("[\0\0\0]")},
    {"high bytes", TEXT("[\xFF\xFE\xC3]")},
    {"the wrong end", TEXT("[1}")},
    {"an array behind its end", TEXT("[1]2]")},
};

/* Walks to the end, and into what it finds, as far down as `depth`. */
static void walk_unchecked(hbeat_json value, int depth) {
  const char *begin = value.text, *end = value.text + value.size;
  hbeat_json key, item;
  char out[64];

  for (size_t limit = value.size + 1; hbeat_json_next(&value, &key, &item);
       limit--) {
    expect_true("an end", limit > 0);
    expect_true("inside the span",
        item.text >= begin && item.text <= end &&
            item.size <= (size_t)(end - item.text));
    if (key.type != HBEAT_JSON_NONE)
      expect_true("the name inside the span",
          key.text >= begin && key.text <= end &&
              key.size <= (size_t)(end - key.text));
    hbeat_json_string(&item, out, sizeof out);
    if (depth > 0) walk_unchecked(item, depth - 1);
  }
}

static void test_walk_unchecked(void **state) {
  const struct text_row *row = *state;
  hbeat_json value = {
      HBEAT_JSON_ARRAY, at_end(&texts, row->text, row->size), row->size};

  in_hand(row->name, row->text, row->size);
  walk_unchecked(value, 3);
  value.type = HBEAT_JSON_OBJECT;
  walk_unchecked(value, 3);
}

/* The same with a good text that has bytes changed and its end cut off. */
static void test_walk_mutations(void **state) {
  static const char GOOD[] = "{\"a\":[1,\"b\\u00e9\",{\"c\":null}],"
                             "\"d\":{\"e\":[[],true]},\"f\":-1.5e3}";
  static const char BYTES[] = "\"\\[]{},:0-et \x80";
  uint64_t seed = 1;

  (void)state;
  for (int i = 0; i < 20000; i++) {
    char text[sizeof GOOD];
    size_t size = sizeof GOOD - 1;
    memcpy(text, GOOD, sizeof GOOD);
    for (int k = 0; k < 3; k++)
      text[next_random(&seed) % size] =
          BYTES[next_random(&seed) % (sizeof BYTES - 1)];
    if (i % 4 == 0) size = (size_t)(next_random(&seed) % size);
    in_hand("a mutation", text, size);
    hbeat_json value = {HBEAT_JSON_OBJECT, at_end(&texts, text, size), size};
    walk_unchecked(value, 4);
  }
}

/* ---- hbeat_json_string -------------------------------------------------- */

static const struct string_row {
  const char *name;
  const char *text;
  const char *out;
  size_t out_size;
} STRINGS[] = {
    {"empty", "\"\"", TEXT("")},
    {"letters", "\"abc\"", TEXT("abc")},
    {"the two-character escapes", "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"",
        TEXT("\"\\/\b\f\n\r\t")},
    {"an escaped backslash before n", "\"\\\\n\"", TEXT("\\n")},
    {"an escaped backslash before u", "\"\\\\u0041\"", TEXT("\\u0041")},
    {"an escaped quote at the end", "\"a\\\"\"", TEXT("a\"")},
    {"\\u0041", "\"\\u0041\"", TEXT("A")},
    {"\\u007F", "\"\\u007F\"", TEXT("\x7F")},
    {"\\u0080", "\"\\u0080\"", TEXT("\xC2\x80")},
    {"\\u07FF", "\"\\u07ff\"", TEXT("\xDF\xBF")},
    {"\\u0800", "\"\\u0800\"", TEXT("\xE0\xA0\x80")},
    {"\\uD7FF", "\"\\uD7FF\"", TEXT("\xED\x9F\xBF")},
    {"\\uE000", "\"\\uE000\"", TEXT("\xEE\x80\x80")},
    {"\\uFFFF", "\"\\uFFFF\"", TEXT("\xEF\xBF\xBF")},
    {"the lowest pair", "\"\\uD800\\uDC00\"", TEXT("\xF0\x90\x80\x80")},
    {"the highest pair", "\"\\udbff\\udfff\"", TEXT("\xF4\x8F\xBF\xBF")},
    {"U+1D11E", "\"\\uD834\\uDD1E\"", TEXT("\xF0\x9D\x84\x9E")},
    {"two pairs", "\"\\uD83D\\uDE00\\uD83D\\uDE01\"",
        TEXT("\xF0\x9F\x98\x80\xF0\x9F\x98\x81")},
    {"a pair and its neighbours", "\"a\\uD83D\\uDE00b\"",
        TEXT("a\xF0\x9F\x98\x80"
             "b")},
    {"\\u0000 becomes U+FFFD", "\"a\\u0000b\"",
        TEXT("a\xEF\xBF\xBD"
             "b")},
    {"half a pair becomes U+FFFD", "\"\\ud83d\"", TEXT("\xEF\xBF\xBD")},
    {"the highest first half", "\"\\uDBFFx\"",
        TEXT("\xEF\xBF\xBD"
             "x")},
    {"a second half becomes U+FFFD", "\"x\\uDC00\"", TEXT("x\xEF\xBF\xBD")},
    {"the highest second half", "\"\\uDFFF\"", TEXT("\xEF\xBF\xBD")},
    {"half a pair and another escape", "\"\\ud83d\\n\"",
        TEXT("\xEF\xBF\xBD\n")},
    {"half a pair and a character", "\"\\ud83d\\u0041\"",
        TEXT("\xEF\xBF\xBD"
             "A")},
    {"half a pair and U+E000", "\"\\ud83d\\ue000\"",
        TEXT("\xEF\xBF\xBD\xEE\x80\x80")},
    {"half a pair and a whole one", "\"\\ud83d\\ud83d\\ude00\"",
        TEXT("\xEF\xBF\xBD\xF0\x9F\x98\x80")},
    {"a whole pair and half a one", "\"\\ud83d\\ude00\\ude00\"",
        TEXT("\xF0\x9F\x98\x80\xEF\xBF\xBD")},
    {"the halves exchanged", "\"\\ude00\\ud83d\"",
        TEXT("\xEF\xBF\xBD\xEF\xBF\xBD")},
    {"\\u0001 stays", "\"\\u0001\"", TEXT("\x01")},
    {"hexadecimal digits of both cases", "\"\\uaBcD\"", TEXT("\xEA\xAF\x8D")},
    {"bare UTF-8", "\"\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80\"",
        TEXT("\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80")},
    {"an address in the reference's escapes",
        "\"https:\\/\\/lucit.app\\/caf\\u00e9\"",
        TEXT("https://lucit.app/caf\xC3\xA9")},
    {"a number is no string", "12", TEXT("")},
    {"null is no string", "null", TEXT("")},
    {"an array is no string", "[\"a\"]", TEXT("")},
};

/* Writes into the last `room` bytes before the fence. */
static void check_string_room(
    const struct string_row *row, const hbeat_json *value, size_t room) {
  char *out = outs.end - room;

  memset(out, 0x5A, room);
  expect_int("the length", (int64_t)hbeat_json_string(value, out, room),
      (int64_t)row->out_size);
  if (room > row->out_size)
    expect_bytes(
        "the text", out, row->out_size + 1, row->out, row->out_size + 1);
  else if (room > 0) expect_bytes("too small", out, 1, "", 1);
}

static void test_string(void **state) {
  const struct string_row *row = *state;
  size_t size = strlen(row->text);
  hbeat_json value;

  in_hand(row->name, row->text, size);
  expect_error("the text", parse(row->text, size, &value), HBEAT_OK);
  expect_int("the length alone", (int64_t)hbeat_json_string(&value, NULL, 0),
      (int64_t)row->out_size);
  for (size_t room = 0; room <= row->out_size + 2; room++)
    check_string_room(row, &value, room);
}

static void test_string_in_place(void **state) {
  const struct string_row *row = *state;
  size_t size = strlen(row->text);
  char *text = at_end(&texts, row->text, size);
  hbeat_json value;

  in_hand(row->name, row->text, size);
  expect_error("the text", hbeat_json_parse(text, size, &value), HBEAT_OK);
  expect_int("the length", (int64_t)hbeat_json_string(&value, text, size),
      (int64_t)row->out_size);
  expect_bytes("the text", text, strlen(text), row->out, row->out_size);
}

static void test_string_of_nothing(void **state) {
  hbeat_json none = {HBEAT_JSON_NONE, NULL, 0};
  char out[2] = "x";

  (void)state;
  in_hand("HBEAT_JSON_NONE", TEXT(""));
  expect_int(
      "the length", (int64_t)hbeat_json_string(&none, out, sizeof out), 0);
  expect_text("the text", out, "");
}

static void test_string_of_name(void **state) {
  static const char OBJECT[] = "{ \"\\u0061\\\"\\uD83D\\uDE00\" : 1 }";
  hbeat_json value, key, item;
  char out[16];

  (void)state;
  in_hand("a name with escapes", TEXT(OBJECT));
  expect_error("the text", parse(TEXT(OBJECT), &value), HBEAT_OK);
  expect_true("a member", hbeat_json_next(&value, &key, &item));
  hbeat_json_string(&key, out, sizeof out);
  expect_text("its name", out, "a\"\xF0\x9F\x98\x80");
}

/* ---- hbeat_json_number -------------------------------------------------- */

/* Row: a value and decimals, and what the number times 10^decimals is. */
static const struct number_row {
  const char *name;
  const char *text;
  unsigned decimals;
  hbeat_error error;
  int64_t number;
} NUMBERS[] = {
    /* integers */
    {"zero", "0", .number = 0},
    {"minus zero", "-0", .number = 0},
    {"one", "1", .number = 1},
    {"minus one", "-1", .number = -1},
    {"past uint32", "4294967296", .number = 4294967296},
    {"INT64_MAX", "9223372036854775807", .number = INT64_MAX},
    {"INT64_MIN", "-9223372036854775808", .number = INT64_MIN},
    {"one above INT64_MIN", "-9223372036854775807", .number = -INT64_MAX},
    {"one past INT64_MAX", "9223372036854775808", .error = HBEAT_ERR_TOO_BIG},
    {"one past INT64_MIN", "-9223372036854775809", .error = HBEAT_ERR_TOO_BIG},
    {"ten past INT64_MAX", "9223372036854775817", .error = HBEAT_ERR_TOO_BIG},
    {"UINT64_MAX", "18446744073709551615", .error = HBEAT_ERR_TOO_BIG},
    {"2^64", "18446744073709551616", .error = HBEAT_ERR_TOO_BIG},
    {"2^64 + 1", "18446744073709551617", .error = HBEAT_ERR_TOO_BIG},
    {"minus 2^64 - 1", "-18446744073709551617", .error = HBEAT_ERR_TOO_BIG},
    {"20 nines", "99999999999999999999", .error = HBEAT_ERR_TOO_BIG},
    {"60 digits",
        "-123456789012345678901234567890123456789012345678901234567890",
        .error = HBEAT_ERR_TOO_BIG},

    /* integers get their decimals */
    {"zero, 1 decimal", "0", .decimals = 1, .number = 0},
    {"zero, 20 decimals", "0", .decimals = 20, .number = 0},
    {"zero, 100 decimals", "-0", .decimals = 100, .number = 0},
    {"an integer, 1 decimal", "12", .decimals = 1, .number = 120},
    {"an integer, 2 decimals", "-12", .decimals = 2, .number = -1200},
    {"nine, 18 decimals", "9", .decimals = 18, .number = 9000000000000000000},
    {"minus nine, 18 decimals", "-9", .decimals = 18,
        .number = -9000000000000000000},
    {"ten, 18 decimals", "10", .decimals = 18, .error = HBEAT_ERR_TOO_BIG},
    {"one, 19 decimals", "1", .decimals = 19, .error = HBEAT_ERR_TOO_BIG},
    {"minus one, 20 decimals", "-1", .decimals = 20,
        .error = HBEAT_ERR_TOO_BIG},
    {"one, 100 decimals", "1", .decimals = 100, .error = HBEAT_ERR_TOO_BIG},

    /* fractions: with no decimals none, not even of zeros */
    {"a fraction of zero", "1.0", .error = HBEAT_ERR_JSON},
    {"a fraction", "-0.5", .error = HBEAT_ERR_JSON},
    {"too big, with a fraction", "99999999999999999999.5",
        .error = HBEAT_ERR_JSON},

    /* digits behind the decimals are cut off, those missing are zeros */
    {"as many digits, 1", "12.5", .decimals = 1, .number = 125},
    {"as many digits, 2", "12.34", .decimals = 2, .number = 1234},
    {"a missing digit", "12.5", .decimals = 2, .number = 1250},
    {"zeros behind the point", "12.05", .decimals = 2, .number = 1205},
    {"a half, below zero", "-0.5", .decimals = 1, .number = -5},
    {"minus zero with a fraction", "-0.0", .decimals = 1, .number = 0},
    {"a cut five", "0.15", .decimals = 1, .number = 1},
    {"a cut nine", "0.19", .decimals = 1, .number = 1},
    {"a cut nine, below zero", "-0.19", .decimals = 1, .number = -1},
    {"nines are not rounded up", "9.9999999999", .decimals = 2, .number = 999},
    {"nor down below zero", "-9.9999999999", .decimals = 2, .number = -999},
    {"all is cut", "0.09", .decimals = 1, .number = 0},
    {"all is cut, below zero", "-0.09", .decimals = 1, .number = 0},
    {"18 digits, 18 decimals", "1.234567890123456789", .decimals = 18,
        .number = 1234567890123456789},
    {"one digit, 18 decimals", "-1.5", .decimals = 18,
        .number = -1500000000000000000},
    {"one more digit, 18 decimals", "1.2345678901234567899", .decimals = 18,
        .number = 1234567890123456789},
    {"19 digits, 19 decimals", "0.1234567890123456789", .decimals = 19,
        .number = 1234567890123456789},
    {"one digit, 19 decimals", "0.9", .decimals = 19,
        .number = 9000000000000000000},
    {"20 digits, 20 decimals", "-0.01234567890123456789", .decimals = 20,
        .number = -1234567890123456789},
    {"18 digits, 20 decimals", "0.012345678901234567", .decimals = 20,
        .number = 1234567890123456700},

    /* the edges of int64 */
    {"INT64_MAX, 1 decimal", "922337203685477580.7", .decimals = 1,
        .number = INT64_MAX},
    {"one past it", "922337203685477580.8", .decimals = 1,
        .error = HBEAT_ERR_TOO_BIG},
    {"INT64_MIN, 1 decimal", "-922337203685477580.8", .decimals = 1,
        .number = INT64_MIN},
    {"one past it, below zero", "-922337203685477580.9", .decimals = 1,
        .error = HBEAT_ERR_TOO_BIG},
    {"the digit that would not fit is cut", "922337203685477580.79",
        .decimals = 1, .number = INT64_MAX},
    {"one past it by its integer", "922337203685477581", .decimals = 1,
        .error = HBEAT_ERR_TOO_BIG},
    {"INT64_MAX without its last digit", "922337203685477580", .decimals = 1,
        .number = INT64_MAX - 7},
    {"INT64_MAX, 2 decimals", "92233720368547758.07", .decimals = 2,
        .number = INT64_MAX},
    {"one past it, 2 decimals", "92233720368547758.08", .decimals = 2,
        .error = HBEAT_ERR_TOO_BIG},
    {"INT64_MAX, 18 decimals", "9.223372036854775807", .decimals = 18,
        .number = INT64_MAX},
    {"one past it, 18 decimals", "9.223372036854775808", .decimals = 18,
        .error = HBEAT_ERR_TOO_BIG},
    {"INT64_MIN, 18 decimals", "-9.223372036854775808", .decimals = 18,
        .number = INT64_MIN},
    {"INT64_MAX, 19 decimals", "0.9223372036854775807", .decimals = 19,
        .number = INT64_MAX},
    {"one past it, 19 decimals", "0.9223372036854775808", .decimals = 19,
        .error = HBEAT_ERR_TOO_BIG},
    {"INT64_MIN, 19 decimals", "-0.9223372036854775808", .decimals = 19,
        .number = INT64_MIN},
    {"one past it, below zero, 19 decimals", "-0.9223372036854775809",
        .decimals = 19, .error = HBEAT_ERR_TOO_BIG},
    {"INT64_MAX, 20 decimals", "0.09223372036854775807", .decimals = 20,
        .number = INT64_MAX},
    {"one past it, 20 decimals", "0.09223372036854775808", .decimals = 20,
        .error = HBEAT_ERR_TOO_BIG},
    {"a tenth, 20 decimals", "0.1", .decimals = 20, .error = HBEAT_ERR_TOO_BIG},
    {"an integer past int64, 1 decimal", "9223372036854775808.0", .decimals = 1,
        .error = HBEAT_ERR_TOO_BIG},

    /* exponents: never, whatever they would make of the number */
    {"an exponent", "1e3", .error = HBEAT_ERR_JSON},
    {"an exponent in upper case", "1E3", .error = HBEAT_ERR_JSON},
    {"an exponent of zero", "5e0", .error = HBEAT_ERR_JSON},
    {"an exponent with plus", "5e+1", .error = HBEAT_ERR_JSON},
    {"an exponent with minus", "50e-1", .error = HBEAT_ERR_JSON},
    {"zero with an exponent", "0e1", .error = HBEAT_ERR_JSON},
    {"an exponent, 1 decimal", "1e3", .decimals = 1, .error = HBEAT_ERR_JSON},
    {"an exponent, 20 decimals", "0e3", .decimals = 20,
        .error = HBEAT_ERR_JSON},
    {"a fraction and an exponent", "1.5e1", .error = HBEAT_ERR_JSON},
    {"the same, as many digits as decimals", "1.5e1", .decimals = 1,
        .error = HBEAT_ERR_JSON},
    {"the same, fewer digits", "1.5E1", .decimals = 2, .error = HBEAT_ERR_JSON},
    {"the same, more digits", "1.555e-1", .decimals = 1,
        .error = HBEAT_ERR_JSON},
    {"too big, with an exponent", "99999999999999999999e-5",
        .error = HBEAT_ERR_JSON},
    {"the same, with decimals", "99999999999999999999.9e-5", .decimals = 2,
        .error = HBEAT_ERR_JSON},

    /* what is no number */
    {"a string of digits", "\"1\"", .error = HBEAT_ERR_JSON},
    {"a string of digits, 1 decimal", "\"1.5\"", .decimals = 1,
        .error = HBEAT_ERR_JSON},
    {"null", "null", .error = HBEAT_ERR_JSON},
    {"true", "true", .error = HBEAT_ERR_JSON},
    {"false, 2 decimals", "false", .decimals = 2, .error = HBEAT_ERR_JSON},
    {"an array", "[1]", .error = HBEAT_ERR_JSON},
    {"an object", "{}", .error = HBEAT_ERR_JSON},
};

/* Each text is all there is: no NUL and no other byte ends it. */
static void expect_number(
    const char *text, unsigned decimals, hbeat_error expected, int64_t number) {
  hbeat_json value;
  int64_t got = 42;

  expect_error("the text", parse(text, strlen(text), &value), HBEAT_OK);
  expect_error(
      "the outcome", hbeat_json_number(&value, decimals, &got), expected);
  if (expected == HBEAT_OK) expect_int("the number", got, number);
}

static void test_number(void **state) {
  const struct number_row *row = *state;

  in_hand(row->name, row->text, strlen(row->text));
  expect_number(row->text, row->decimals, row->error, row->number);
}

/* Numbers that are long: a head, one digit or more many times, a tail. */
static const struct long_row {
  const char *name;
  const char *head, *repeated, *tail;
  int times;
  unsigned decimals;
  hbeat_error error;
  int64_t number;
} LONG_NUMBERS[] = {
    {"800 ones", .head = "", .repeated = "1", .tail = "", .times = 800,
        .error = HBEAT_ERR_TOO_BIG},
    {"800 ones, 2 decimals", .head = "-", .repeated = "1", .tail = ".5",
        .times = 800, .decimals = 2, .error = HBEAT_ERR_TOO_BIG},
    {"20,000 digits", .head = "", .repeated = "1234567890", .tail = "",
        .times = 2000, .error = HBEAT_ERR_TOO_BIG},
    {"2,000 zeros behind a digit", .head = "1", .repeated = "0", .tail = "",
        .times = 2000, .error = HBEAT_ERR_TOO_BIG},
    {"20,000 digits behind the point", .head = "-1.", .repeated = "9876543210",
        .tail = "", .times = 2000, .decimals = 2, .number = -198},
    {"800 nines behind the point", .head = "0.", .repeated = "9", .tail = "",
        .times = 800, .decimals = 18, .number = 999999999999999999},
    {"800 nines, 0 decimals", .head = "0.", .repeated = "9", .tail = "",
        .times = 800, .error = HBEAT_ERR_JSON},
    {"800 nines and an exponent", .head = "0.", .repeated = "9", .tail = "e1",
        .times = 800, .decimals = 1, .error = HBEAT_ERR_JSON},
    {"2,000 zeros in front of a digit", .head = "-0.", .repeated = "0",
        .tail = "1", .times = 2000, .decimals = 20, .number = 0},
    {"all of them wanted", .head = "-0.", .repeated = "0", .tail = "12",
        .times = 2000, .decimals = 2001, .number = -1},
    {"and more of them", .head = "0.", .repeated = "0", .tail = "12",
        .times = 2000, .decimals = 2019, .number = 1200000000000000000},
    {"and too many", .head = "0.", .repeated = "0", .tail = "12", .times = 2000,
        .decimals = 2020, .error = HBEAT_ERR_TOO_BIG},
    {"an exponent of 500 digits", .head = "1e", .repeated = "9", .tail = "",
        .times = 500, .error = HBEAT_ERR_JSON},
};

static void test_long_number(void **state) {
  static char text[32768];
  const struct long_row *row = *state;
  char *p = strcpy(text, row->head) + strlen(row->head);

  for (int i = 0; i < row->times; i++)
    p = strcpy(p, row->repeated) + strlen(row->repeated);
  strcpy(p, row->tail);
  in_hand(row->name, text, strlen(text));
  expect_number(text, row->decimals, row->error, row->number);
}

/*
 * Writes n / 10^decimals as a number.  `extra` digits follow that must not
 * count; where it is below zero that many zeros are left away at the end.
 */
static void write_number(
    char *out, int64_t n, int decimals, int extra, uint64_t *seed) {
  uint64_t size = n < 0 ? 0 - (uint64_t)n : (uint64_t)n;
  char digits[64];
  int count = snprintf(digits, sizeof digits, "%0*" PRIu64, decimals + 1, size);
  char *p = out;

  p += sprintf(p, "%s%.*s", n < 0 ? "-" : "", count - decimals, digits);
  if (decimals == 0) return;
  p += sprintf(p, ".%s", digits + count - decimals);
  for (; extra > 0; extra--) *p++ = (char)('0' + next_random(seed) % 10);
  for (; extra < 0 && p[-1] == '0' && p[-2] != '.'; extra++) p--;
  *p = '\0';
}

static void test_random_numbers(void **state) {
  uint64_t seed = 8259;
  char text[128];

  (void)state;
  for (int i = 0; i < 20000; i++) {
    uint64_t bits = next_random(&seed) >> next_random(&seed) % 64;
    int64_t n = (int64_t)(bits & INT64_MAX);
    int decimals = (int)(next_random(&seed) % 21);
    if (i % 3 == 0) n = n / 1000000 * 1000000;
    if (i % 2 == 0) n = -n;
    write_number(text, n, decimals, (int)(next_random(&seed) % 13) - 6, &seed);
    in_hand("a random number", text, strlen(text));
    expect_number(text, (unsigned)decimals, HBEAT_OK, n);
  }
}

/* The numbers of an array end where their elements do. */
static void test_numbers_in_place(void **state) {
  static const char ARRAY[] = "[1,-2.55,30 ,4e1,{\"5\":6.0}]";
  static const struct number_row FOUND[] = {
      {"the first", "1", .decimals = 1, .number = 10},
      {"behind a comma", "-2.55", .decimals = 1, .number = -25},
      {"before a space", "30", .decimals = 1, .number = 300},
      {"an exponent", "4e1", .decimals = 1, .error = HBEAT_ERR_JSON},
      {"no number", "{}", .decimals = 1, .error = HBEAT_ERR_JSON},
  };
  hbeat_json rest, item;
  int64_t number;

  (void)state;
  in_hand("an array of numbers", TEXT(ARRAY));
  expect_error("the text", parse(TEXT(ARRAY), &rest), HBEAT_OK);
  for (size_t i = 0; i < COUNT(FOUND); i++) {
    expect_true(FOUND[i].name, hbeat_json_next(&rest, NULL, &item));
    expect_error(FOUND[i].name,
        hbeat_json_number(&item, FOUND[i].decimals, &number), FOUND[i].error);
    if (FOUND[i].error == HBEAT_OK)
      expect_int(FOUND[i].name, number, FOUND[i].number);
  }
}

static void test_number_of_nothing(void **state) {
  hbeat_json none = {HBEAT_JSON_NONE, NULL, 0};
  int64_t number;

  (void)state;
  in_hand("HBEAT_JSON_NONE", TEXT(""));
  for (unsigned decimals = 0; decimals < 3; decimals++)
    expect_error("the outcome", hbeat_json_number(&none, decimals, &number),
        HBEAT_ERR_JSON);
}

/* ---- Values made by hand ------------------------------------------------ */

/* Row: a value that nobody checked, and its text all the same. */
static const struct made_string_row {
  const char *name;
  const char *text;
  size_t size;
  const char *out;
  size_t out_size;
} MADE_STRINGS[] = {
    {"a string of no byte", TEXT(""), TEXT("")},
    {"a string of one quote", TEXT("\""), TEXT("")},
    {"a string of one letter", TEXT("a"), TEXT("")},
    {"a string of one backslash", TEXT("\\"), TEXT("")},
    {"a string of two quotes", TEXT("\"\""), TEXT("")},
    {"a string of two letters", TEXT("ab"), TEXT("")},
    {"a string of two backslashes", TEXT("\\\\"), TEXT("")},
    {"a string without quotes", TEXT("abc"), TEXT("b")},
    {"a string with a quote inside", TEXT("\"a\"b\""), TEXT("a\"b")},
    {"a string with bare controls", TEXT("\"\x01\n\x1F\x7F\""),
        TEXT("\x01\n\x1F\x7F")},
    {"a string that is not UTF-8", TEXT("\"\xFF\xC3\""), TEXT("\xFF\xC3")},
    {"a backslash for a text", TEXT("\"\\\""), TEXT("\xEF\xBF\xBD")},
    {"a backslash at the end", TEXT("\"ab\\\""), TEXT("ab\xEF\xBF\xBD")},
    {"an escape that nobody knows", TEXT("\"\\xab\""), TEXT("\xEF\xBF\xBD")},
    {"\\u and no digit", TEXT("\"\\u\""), TEXT("\xEF\xBF\xBD")},
    {"\\u and no hexadecimal digit", TEXT("\"a\\ug\""), TEXT("a\xEF\xBF\xBD")},
    {"\\u and two digits are no character", TEXT("\"\\u12\""),
        TEXT("\xEF\xBF\xBD")},
    {"half a pair is no character", TEXT("\"\\ud800\""), TEXT("\xEF\xBF\xBD")},
    {"the second half of a pair is none", TEXT("\"\\udc00\""),
        TEXT("\xEF\xBF\xBD")},
    {"a NUL as it is", TEXT("\"a\0b\""), TEXT("a\xEF\xBF\xBD")},
    {"half a pair and another escape", TEXT("\"\\ud800\\u0041\""),
        TEXT("\xEF\xBF\xBD"
             "A")},
};

static void test_made_string(void **state) {
  const struct made_string_row *row = *state;
  const struct string_row as_read = {
      row->name, row->text, row->out, row->out_size};
  hbeat_json value = {
      HBEAT_JSON_STRING, at_end(&texts, row->text, row->size), row->size};

  in_hand(row->name, row->text, row->size);
  expect_int("the length alone", (int64_t)hbeat_json_string(&value, NULL, 0),
      (int64_t)row->out_size);
  for (size_t room = 0; room <= row->out_size + 2; room++)
    check_string_room(&as_read, &value, room);
}

/* What is cut or broken in the midst of an escape has some text: one that
 * ends, is no longer than the value, and is the same in any buffer. */
static const struct text_row BROKEN_STRINGS[] = {
    {"\\u and one digit", TEXT("\"\\u1\"")},
    {"\\u and two digits", TEXT("\"\\u12\"")},
    {"\\u and three digits", TEXT("\"a\\u123\"")},
    {"\\u and another letter", TEXT("\"\\u00g0b\"")},
    {"half a pair", TEXT("\"\\ud800\"")},
    {"half a pair, and a letter", TEXT("\"\\ud800x\"")},
    {"half a pair, and a backslash", TEXT("\"\\ud800\\\"")},
    {"half a pair, and half an escape", TEXT("\"\\ud83d\\ude0\"")},
    {"half a pair, and no half", TEXT("\"\\ud800\\u0041\"")},
    {"the second half of a pair", TEXT("\"\\udc00\"")},
    {"a bare NUL", TEXT("\"a\0b\"")},
};

static void expect_some_text(const char *text, size_t size) {
  hbeat_json value = {HBEAT_JSON_STRING, at_end(&texts, text, size), size};
  size_t length = hbeat_json_string(&value, NULL, 0);
  char *whole = outs.end - length - 1, *other = outs.begin;

  expect_true("no longer than the value", length <= size);
  for (size_t room = 1; room <= length; room++) {
    memset(outs.end - room, 0x5A, room);
    expect_int("the length in a small buffer",
        (int64_t)hbeat_json_string(&value, outs.end - room, room),
        (int64_t)length);
    expect_int("no text in it", outs.end[-(ptrdiff_t)room], 0);
  }
  memset(whole, 0x5A, length + 1);
  expect_int("the length in one that fits",
      (int64_t)hbeat_json_string(&value, whole, length + 1), (int64_t)length);
  expect_int("its end", whole[length], 0);
  memset(other, 0xA5, length + 100);
  hbeat_json_string(&value, other, length + 100);
  expect_bytes("the same again", other, length + 1, whole, length + 1);
}

static void test_broken_string(void **state) {
  const struct text_row *row = *state;

  in_hand(row->name, row->text, row->size);
  expect_some_text(row->text, row->size);
}

static void test_random_strings(void **state) {
  static const char BYTES[] = "\\\\\\uuudD8cC0n\"\x01\xC3\xFF";
  uint64_t seed = 7159;

  (void)state;
  for (int i = 0; i < 20000; i++) {
    char text[20];
    size_t size = (size_t)(next_random(&seed) % sizeof text);
    for (size_t k = 0; k < size; k++)
      text[k] = BYTES[next_random(&seed) % sizeof BYTES];
    in_hand("a random string", text, size);
    expect_some_text(text, size);
  }
}

/* Row: a container that nobody checked, and how many values it gives. */
static const struct made_container_row {
  const char *name;
  const char *text;
  size_t size;
  hbeat_json_type type;
  int count;
} MADE_CONTAINERS[] = {
    {"an array of no byte", TEXT(""), HBEAT_JSON_ARRAY, .count = 0},
    {"an object of no byte", TEXT(""), HBEAT_JSON_OBJECT, .count = 0},
    {"an array of white space", TEXT(WS), HBEAT_JSON_ARRAY, .count = 0},
    {"an array without brackets", TEXT("1,2"), HBEAT_JSON_ARRAY, .count = 0},
    {"the rest of an array", TEXT(",1,2]"), HBEAT_JSON_ARRAY, .count = 2},
    {"the rest of an object", TEXT(",\"a\":1}"), HBEAT_JSON_OBJECT, .count = 1},
    {"an object as an array", TEXT("{\"a\":1}"), HBEAT_JSON_ARRAY, .count = 0},
    {"an array as an object", TEXT("[1]"), HBEAT_JSON_OBJECT, .count = 0},
    {"an array that goes on as an object", TEXT("[1,\"a\":2]"),
        HBEAT_JSON_ARRAY, .count = 2},
    {"an array without its end", TEXT("[1,2"), HBEAT_JSON_ARRAY, .count = 2},
    {"an object without its end", TEXT("{\"a\":1"), HBEAT_JSON_OBJECT,
        .count = 1},
    {"a comma behind the last element", TEXT("[1,]"), HBEAT_JSON_ARRAY,
        .count = 1},
    {"a comma before the first element", TEXT("[,1]"), HBEAT_JSON_ARRAY,
        .count = 0},
    {"two commas between elements", TEXT("[1,,2]"), HBEAT_JSON_ARRAY,
        .count = 1},
    {"no comma between elements", TEXT("[1 2]"), HBEAT_JSON_ARRAY, .count = 1},
    {"an element that is none", TEXT("[1,x,2]"), HBEAT_JSON_ARRAY, .count = 1},
    {"an element that is half an array", TEXT("[1,[2,3"), HBEAT_JSON_ARRAY,
        .count = 1},
    {"a comma behind the last member", TEXT("{\"a\":1,}"), HBEAT_JSON_OBJECT,
        .count = 1},
    {"two commas between members", TEXT("{\"a\":1,,\"b\":2}"),
        HBEAT_JSON_OBJECT, .count = 1},
    {"no comma between members", TEXT("{\"a\":1 \"b\":2}"), HBEAT_JSON_OBJECT,
        .count = 1},
    {"no colon", TEXT("{\"a\" 1,\"b\":2}"), HBEAT_JSON_OBJECT, .count = 0},
    {"two colons", TEXT("{\"a\"::1,\"b\":2}"), HBEAT_JSON_OBJECT, .count = 0},
    {"a number for a name", TEXT("{1:2,\"b\":2}"), HBEAT_JSON_OBJECT,
        .count = 0},
    {"a bad name", TEXT("{\"\\x\":1,\"b\":2}"), HBEAT_JSON_OBJECT, .count = 0},
    {"a member without a value", TEXT("{\"a\":,\"b\":2}"), HBEAT_JSON_OBJECT,
        .count = 0},
};

/* Where it ends it stays ended, and gives neither name nor value. */
static void test_made_container(void **state) {
  const struct made_container_row *row = *state;
  hbeat_json key, item,
      rest = {row->type, at_end(&texts, row->text, row->size), row->size};
  int count = 0;

  in_hand(row->name, row->text, row->size);
  while (count < row->count && hbeat_json_next(&rest, &key, &item)) count++;
  expect_int("the values", count, row->count);
  for (int again = 0; again < 4; again++) {
    memset(&key, 0xA5, sizeof key);
    memset(&item, 0xA5, sizeof item);
    expect_true("at the end it stays", !hbeat_json_next(&rest, &key, &item));
    expect_int("no name", key.type, HBEAT_JSON_NONE);
    expect_int("no value", item.type, HBEAT_JSON_NONE);
  }
}

static const struct text_row MADE_NUMBERS[] = {
    {"a number of no byte", TEXT("")},
    {"a minus alone", TEXT("-")},
    {"a point alone", TEXT(".")},
    {"a minus and a point", TEXT("-.")},
    {"a leading zero", TEXT("01")},
    {"a point in front", TEXT(".5")},
    {"a point behind", TEXT("1.")},
    {"a number with plus", TEXT("+1")},
    {"a number with two signs", TEXT("--1")},
    {"a number behind a space", TEXT(" 1")},
    {"a number before a space", TEXT("1 ")},
    {"a number with a space inside", TEXT("- 1")},
    {"a number with an exponent", TEXT("1e5")},
    {"an exponent alone", TEXT("e5")},
    {"a number with two points", TEXT("1.2.3")},
    {"a number with two points in a row", TEXT("1..2")},
    {"a number with a sign behind", TEXT("1-")},
    {"a number with a comma behind", TEXT("1,")},
    {"a number with a NUL behind", TEXT("1\0")},
    {"a number in hexadecimal", TEXT("0x1")},
    {"a number of letters", TEXT("abc")},
    {"a number in quotes", TEXT("\"1\"")},
    {"a number of high bytes", TEXT("\xEF\xBC\x91")},
};

static void test_made_number(void **state) {
  const struct text_row *row = *state;
  hbeat_json value = {
      HBEAT_JSON_NUMBER, at_end(&texts, row->text, row->size), row->size};
  int64_t number;

  in_hand(row->name, row->text, row->size);
  for (unsigned decimals = 0; decimals < 4; decimals++)
    expect_error("the outcome", hbeat_json_number(&value, decimals, &number),
        HBEAT_ERR_JSON);
}

/* Digits alone, or behind a minus, need nothing behind them. */
static void test_made_digits(void **state) {
  hbeat_json value = {HBEAT_JSON_NUMBER, at_end(&texts, "-12", 3), 3};
  int64_t number = 0;

  (void)state;
  in_hand("digits that end at a fault", TEXT("-12"));
  expect_error("the outcome", hbeat_json_number(&value, 0, &number), HBEAT_OK);
  expect_int("the number", number, -12);
  expect_error("two decimals", hbeat_json_number(&value, 2, &number), HBEAT_OK);
  expect_int("the number", number, -1200);
}

int main(void) {
  texts = fence(1 << 20);
  outs = fence(4096);
  cases_add_rows(test_accepted, ACCEPTED);
  cases_add_rows(test_prefixes_are_incomplete, ACCEPTED);
  cases_add_rows(test_rejected, REJECTED);
  cases_add("bare control characters", test_bare_controls, NULL);
  cases_add_rows(test_incomplete, INCOMPLETE);
  cases_add_rows(test_rejected, HOPELESS);
  cases_add_rows(test_depth, DEPTHS);
  cases_add("10,000 arrays side by side", test_wide, NULL);
  cases_add_rows(test_walk, WALKS);
  cases_add("no place for the name", test_walk_without_key, NULL);
  cases_add_rows(test_walk_no_container, NO_CONTAINERS);
  cases_add_rows(test_walk_unchecked, UNCHECKED);
  cases_add("20,000 mutations walked", test_walk_mutations, NULL);
  cases_add_rows(test_string, STRINGS);
  cases_add_rows(test_string_in_place, STRINGS);
  cases_add("the string of no value", test_string_of_nothing, NULL);
  cases_add("the string of a name", test_string_of_name, NULL);
  cases_add_rows(test_number, NUMBERS);
  cases_add_rows(test_long_number, LONG_NUMBERS);
  cases_add("20,000 random numbers", test_random_numbers, NULL);
  cases_add("numbers in an array", test_numbers_in_place, NULL);
  cases_add("the number of no value", test_number_of_nothing, NULL);
  cases_add_rows(test_made_string, MADE_STRINGS);
  cases_add_rows(test_broken_string, BROKEN_STRINGS);
  cases_add("20,000 random strings", test_random_strings, NULL);
  cases_add_rows(test_made_container, MADE_CONTAINERS);
  cases_add_rows(test_made_number, MADE_NUMBERS);
  cases_add("digits that end at a fault", test_made_digits, NULL);
  return cases_run("json");
}
