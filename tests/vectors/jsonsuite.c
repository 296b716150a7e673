/*
 * Runs hbeat_json_parse() over all of JSONTestSuite, which is not part of
 * this project: DIR is a checkout of it.  Its y_ files are JSON, its n_ files
 * are not; about the i_ files RFC 8259 leaves the choice to the reader, and
 * ours is below.
 *
 * usage: jsonsuite DIR     reads DIR/test_parsing, prints TAP
 *
 * Ends with 0, with 1 where a file is not as expected or one is missing, and
 * with 77 where there is no suite.
 */
#define _DEFAULT_SOURCE
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "heartbeat.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

enum { ACCEPTED = 95, REJECTED = 188, NO_SUITE = 77 };

/* Why a choice was made. */
#define GRAMMAR "a number by the grammar; whether it fits is for who reads it"
#define SURROGATE "half a pair, as of a text that was cut, is U+FFFD"
#define NOT_UTF8 "section 8.1: the text is UTF-8"
#define BOM "section 8.1 lets a reader ignore it; no server of ours sends it"

/* Row: an i_ file, whether it is accepted, and why. */
static const struct choice {
  const char *file;
  bool accepted;
  const char *reason;
} CHOICES[] = {
    {"i_number_double_huge_neg_exp.json", true, GRAMMAR},
    {"i_number_huge_exp.json", true, GRAMMAR},
    {"i_number_neg_int_huge_exp.json", true, GRAMMAR},
    {"i_number_pos_double_huge_exp.json", true, GRAMMAR},
    {"i_number_real_neg_overflow.json", true, GRAMMAR},
    {"i_number_real_pos_overflow.json", true, GRAMMAR},
    {"i_number_real_underflow.json", true, GRAMMAR},
    {"i_number_too_big_neg_int.json", true, GRAMMAR},
    {"i_number_too_big_pos_int.json", true, GRAMMAR},
    {"i_number_very_big_negative_int.json", true, GRAMMAR},
    {"i_object_key_lone_2nd_surrogate.json", true, SURROGATE},
    {"i_string_1st_surrogate_but_2nd_missing.json", true, SURROGATE},
    {"i_string_1st_valid_surrogate_2nd_invalid.json", true, SURROGATE},
    {"i_string_UTF-16LE_with_BOM.json", false, NOT_UTF8},
    {"i_string_UTF-8_invalid_sequence.json", false, NOT_UTF8},
    {"i_string_UTF8_surrogate_U+D800.json", false, NOT_UTF8},
    {"i_string_incomplete_surrogate_and_escape_valid.json", true, SURROGATE},
    {"i_string_incomplete_surrogate_pair.json", true, SURROGATE},
    {"i_string_incomplete_surrogates_escape_valid.json", true, SURROGATE},
    {"i_string_invalid_lonely_surrogate.json", true, SURROGATE},
    {"i_string_invalid_surrogate.json", true, SURROGATE},
    {"i_string_invalid_utf-8.json", false, NOT_UTF8},
    {"i_string_inverted_surrogates_U+1D11E.json", true, SURROGATE},
    {"i_string_iso_latin_1.json", false, NOT_UTF8},
    {"i_string_lone_second_surrogate.json", true, SURROGATE},
    {"i_string_lone_utf8_continuation_byte.json", false, NOT_UTF8},
    {"i_string_not_in_unicode_range.json", false, NOT_UTF8},
    {"i_string_overlong_sequence_2_bytes.json", false, NOT_UTF8},
    {"i_string_overlong_sequence_6_bytes.json", false, NOT_UTF8},
    {"i_string_overlong_sequence_6_bytes_null.json", false, NOT_UTF8},
    {"i_string_truncated-utf-8.json", false, NOT_UTF8},
    {"i_string_utf16BE_no_BOM.json", false, NOT_UTF8},
    {"i_string_utf16LE_no_BOM.json", false, NOT_UTF8},
    {"i_structure_500_nested_arrays.json", false,
        "deeper than HBEAT_JSON_DEPTH"},
    {"i_structure_UTF-8_BOM_empty_object.json", false, BOM},
};

/* What the run has seen so far. */
static struct { int tests, failed, accepted, rejected, chosen; } seen;

static void report(bool ok, const char *name, const char *detail) {
  seen.tests++;
  seen.failed += !ok;
  printf("%s %d - %s%s%s\n", ok ? "ok" : "not ok", seen.tests, name,
      *detail ? ": " : "", detail);
}

static const struct choice *find_choice(const char *file) {
  for (size_t i = 0; i < COUNT(CHOICES); i++)
    if (strcmp(CHOICES[i].file, file) == 0) return &CHOICES[i];
  return NULL;
}

/* Parses a file's bytes in a block of just their size. */
static hbeat_error parse_file(const char *path) {
  static char room[1 << 20];
  FILE *f = fopen(path, "rb");
  size_t size;
  char *text;
  hbeat_json value;
  hbeat_error e;

  if (f == NULL) {
    perror(path);
    exit(1);
  }
  size = fread(room, 1, sizeof room, f);
  if (size == sizeof room) {
    fprintf(stderr, "%s: too big for this test\n", path);
    exit(1);
  }
  fclose(f);
  text = malloc(size + (size == 0));
  if (text == NULL) abort();
  memcpy(text, room, size);
  e = hbeat_json_parse(text, size, &value);
  free(text);
  return e;
}

static void run_file(const char *file, hbeat_error e) {
  const struct choice *choice;

  if (file[0] == 'y') {
    seen.accepted++;
    report(e == HBEAT_OK, file, hbeat_error_name(e));
  } else if (file[0] == 'n') {
    seen.rejected++;
    report(e == HBEAT_ERR_JSON || e == HBEAT_ERR_TRUNCATED ||
            e == HBEAT_ERR_TOO_BIG,
        file, hbeat_error_name(e));
  } else {
    choice = find_choice(file);
    seen.chosen += choice != NULL;
    report(choice != NULL && choice->accepted == (e == HBEAT_OK), file,
        choice != NULL ? choice->reason : "no choice was made");
  }
}

static int is_case(const struct dirent *entry) {
  const char *name = entry->d_name, *dot = strrchr(name, '.');

  return strchr("yni", name[0]) != NULL && name[1] == '_' && dot != NULL &&
      strcmp(dot, ".json") == 0;
}

static void report_count(const char *name, int got, int expected) {
  char detail[64];

  sprintf(detail, "%d of %d", got, expected);
  report(got == expected, name, detail);
}

int main(int argc, char **argv) {
  struct dirent **files = NULL;
  char path[1024];
  int count = -1;

  if (argc == 2) {
    snprintf(path, sizeof path, "%s/test_parsing", argv[1]);
    count = scandir(path, &files, is_case, alphasort);
  }
  if (count < 0) {
    printf("# note no JSONTestSuite here: not run\n");
    return NO_SUITE;
  }
  for (int i = 0; i < count; i++) {
    snprintf(
        path, sizeof path, "%s/test_parsing/%s", argv[1], files[i]->d_name);
    run_file(files[i]->d_name, parse_file(path));
    free(files[i]);
  }
  free(files);
  report_count("y_ files", seen.accepted, ACCEPTED);
  report_count("n_ files", seen.rejected, REJECTED);
  report_count("i_ files with a choice", seen.chosen, COUNT(CHOICES));
  printf("1..%d\n", seen.tests);
  return seen.failed > 0;
}
