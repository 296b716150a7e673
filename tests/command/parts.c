/*
 * The parts of lucit-heartbeat that are no program yet: its options, numbers
 * and times, what it logs and how it quotes, what is on the disk, what comes
 * next, and the job in hand.  All but main.c is linked; no heartbeat is sent,
 * since the client is never prepared.
 */
#define _GNU_SOURCE /* F_SETPIPE_SZ */
#include "tests/unit/cases.h"

#include "examples/lucit-heartbeat/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

static struct daemon d;

/* A daemon that has been set up, and knows nothing. */
static void fresh(void) {
  memset(&d, 0, sizeof d);
  init_log(&d.log);
  d.state_lock = -1;
  for (size_t i = 0; i < LEFTOVERS; i++) d.leftovers[i] = -1;
  init_jobs(&d);
  init_beats(&d);
  d.wake_ms = INT64_MAX;
}

/* ---- What is printed, and what ends the process ------------------------- */

/* How a function ended, in a process of its own, and what it had printed. */
struct end {
  int status; /* 0: it returned */
  char said[2048];
};

static struct end end_of(void (*run)(const void *row), const void *row) {
  struct end end = {0};
  size_t size = 0;
  ssize_t n = 1;
  int ends[2];
  int status = 0;

  if (pipe(ends) != 0) abort();
  pid_t pid = fork();
  if (pid == 0) {
    dup2(ends[1], STDOUT_FILENO);
    dup2(ends[1], STDERR_FILENO);
    close(ends[0]);
    close(ends[1]);
    run(row);
    fflush(stdout);
    _exit(0);
  }
  close(ends[1]);
  while (n > 0) {
    n = read(ends[0], end.said + size, sizeof end.said - 1 - size);
    if (n > 0) size += (size_t)n;
  }
  close(ends[0]);
  if (waitpid(pid, &status, 0) != pid) abort();
  expect_true("it exits", WIFEXITED(status));
  end.status = WEXITSTATUS(status);
  return end;
}

/* Wrong usage, and one line that has these words; all is well without words. */
static void expect_words(
    void (*run)(const void *row), const void *row, const char *words) {
  struct end end = end_of(run, row);
  const char *line_end = strchr(end.said, '\n');

  expect_int("its status", end.status, words ? EXIT_USAGE : 0);
  if (!words) expect_text("what it says", end.said, "");
  else expect_true(end.said, strstr(end.said, words) != NULL);
  if (words) expect_true("one line", line_end && line_end[1] == '\0');
}

/* ---- Options ------------------------------------------------------------ */

#define A_KILOBYTE                                                             \
  "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"           \
  "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"           \
  "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"           \
  "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"           \
  "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"           \
  "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"           \
  "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"           \
  "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"           \
  "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"           \
  "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"           \
  "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"           \
  "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"           \
  "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"           \
  "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"           \
  "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"           \
  "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

enum { WORDS = 8 };

/* A command line, and what is kept of it. */
static const struct line_row {
  const char *name;
  const char *words[WORDS]; /* behind the command's name */
  const char *device;
  const char *info[3];
  bool json;
  const char *proxy_url; /* NULL: "" */
  const char *shown; /* what the first word shows afterwards; NULL: itself */
  const char *error; /* part of what it says; NULL: all is well */
} LINES[] = {
    {.name = "no option"},
    {.name = "a value behind an =", .words = {"--device=a"}, .device = "a"},
    {.name = "a value in the next word",
        .words = {"--device", "a"},
        .device = "a"},
    {.name = "a value with an = in it",
        .words = {"--device=a=b"},
        .device = "a=b"},
    {.name = "a value that looks like an option",
        .words = {"--device", "--app"},
        .device = "--app"},
    {.name = "an empty value", .words = {"--device="}, .device = ""},
    {.name = "the last of two counts",
        .words = {"--device", "a", "--device", "b"},
        .device = "b"},
    {.name = "one that may be repeated",
        .words = {"--info", "a", "--info", "b"},
        .info = {"a", "b"}},
    {.name = "a fact of a kilobyte",
        .words = {"--info", A_KILOBYTE},
        .info = {A_KILOBYTE}},
    {.name = "a switch", .words = {"--json"}, .json = true},
    {.name = "a switch before a value",
        .words = {"--json", "--device", "a"},
        .json = true,
        .device = "a"},
    {.name = "a password is kept, and goes out of sight",
        .words = {"--proxy=http://user:password@proxy:1"},
        .proxy_url = "http://user:password@proxy:1",
        .shown = "--proxy=********************@proxy:1"},
    {.name = "an unknown option",
        .words = {"--devise", "a"},
        .error = "unknown option --devise: see --help\n"},
    {.name = "an unknown option with a value",
        .words = {"--token=secret"},
        .error = "unknown option --token: see --help\n"},
    {.name = "a word that is no option, which may be a secret",
        .words = {"secret"},
        .error = "word 1 of the command line is not an option: see --help\n"},
    {.name = "a word like an option, which may be a secret",
        .words = {"-secret7"},
        .error = "word 1 of the command line is not an option: see --help\n"},
    {.name = "a long word like an option, too",
        .words = {"--secretsecretsecretsecretsecrets"},
        .error = "word 1 of the command line is not an option: see --help\n"},
    {.name = "a word behind a switch",
        .words = {"--json", "secret"},
        .error = "word 2 of the command line is not an option: --json takes"
                 " no value\n"},
    {.name = "a second value",
        .words = {"--device", "a", "secret"},
        .error = "word 3 of the command line is not an option: --device takes"
                 " one LCUID\n"},
    {.name = "a second value behind an =",
        .words = {"--device=a", "secret"},
        .error = "word 2 of the command line is not an option: --device takes"
                 " one LCUID\n"},
    {.name = "a second value of what may be repeated",
        .words = {"--ack-first", "a", "b"},
        .error = "word 3 of the command line is not an option: --ack-first"
                 " takes one NAME, and may be repeated\n"},
    {.name = "no value",
        .words = {"--device"},
        .error = "--device: its value is missing: --device LCUID\n"},
    {.name = "a value for a switch",
        .words = {"--json=yes"},
        .error = "--json takes no value\n"},
    {.name = "a value of a kilobyte",
        .words = {"--device", A_KILOBYTE},
        .error = "--device: its value is too long, 1023 bytes at most\n"},
};

static char line_words[WORDS][2048];
static char *line_argv[WORDS + 2];

static void parse_line(const void *from) {
  const struct line_row *row = from;
  int argc = 1;

  line_argv[0] = line_words[0];
  for (; row->words[argc - 1]; argc++) {
    line_argv[argc] = line_words[argc];
    strcpy(line_words[argc], row->words[argc - 1]);
  }
  line_argv[argc] = NULL;
  fresh();
  parse_options(&d, argc, line_argv);
}

static void test_line(void **state) {
  const struct line_row *row = *state;
  const char *proxy_url = row->proxy_url ? row->proxy_url : "";
  const char *shown = row->shown ? row->shown : row->words[0];

  in_hand(row->name, row->name, strlen(row->name));
  expect_words(parse_line, row, row->error);
  if (row->error) {
    expect_true("no secret", !strstr(row->error, "secret"));
    return;
  }
  parse_line(row);
  expect_text("the device", d.options.device, row->device);
  expect_true("the switch", (d.options.json != NULL) == row->json);
  expect_text("the proxy", d.proxy_url, proxy_url);
  for (size_t i = 0; i < COUNT(row->info); i++)
    expect_text("a fact", d.options.info[i], row->info[i]);
  if (shown) expect_text("the word", line_argv[1], shown);
  for (int i = 1; line_argv[i]; i++) {
    expect_true("no password", !strstr(line_argv[i], "password"));
  }
}

/* A list has an end. */
static void repeat_info(const void *count) {
  static char name[] = "--info";
  static char value[] = "a";
  static char *words[2 * LIST_SIZE + 2];
  int argc = 1;

  for (int i = 0; i < *(const int *)count; i++) {
    words[argc++] = name;
    words[argc++] = value;
  }
  fresh();
  parse_options(&d, argc, words);
}

static void test_full_list(void **state) {
  static const int fits = LIST_SIZE - 1;
  static const int too_many = LIST_SIZE;

  (void)state;
  in_hand("a full list", &fits, sizeof fits);
  expect_words(repeat_info, &fits, NULL);
  expect_words(
      repeat_info, &too_many, "--info: it is given more than 16383 times\n");
}

/* ---- The file of --config ----------------------------------------------- */

/* A file, the command line beside it, and what is kept of both. */
static const struct config_row {
  const char *name;
  const char *text;
  size_t size;
  size_t filled_to;             /* with more of its last value; 0: as it is */
  const char *words[WORDS - 2]; /* before --config FILE, or ... */
  bool config_first;            /* ... behind it */
  const char *device;
  const char *info[4];
  bool json;
  int64_t interval_ms; /* 0: the default */
  const char *proxy_url;
  bool is_secret;
  const char *error; /* behind the file's path; NULL: all is well */
} CONFIGS[] = {
    {.name = "an empty file", TEXT("")},
    {.name = "an option", TEXT("device a\n"), .device = "a"},
    {.name = "no line end behind the last", TEXT("device a"), .device = "a"},
    {.name = "line ends of Windows",
        TEXT("device a\r\njson\r\n"),
        .device = "a",
        .json = true},
    {.name = "a CR behind the last", TEXT("device a\r"), .device = "a"},
    {.name = "a byte order mark",
        TEXT("\xef\xbb\xbf"
             "device a\n"),
        .device = "a"},
    {.name = "a byte order mark alone", TEXT("\xef\xbb\xbf")},
    {.name = "half of one",
        TEXT("\xef\xbb"
             "device a\n"),
        .error = ":1: its first word is no option: a line is NAME VALUE\n"},
    {.name = "blanks everywhere",
        TEXT(" \tdevice \t a \t\n \t json\t \n"),
        .device = "a",
        .json = true},
    {.name = "blanks, quotes and a # in a value",
        TEXT("info  a \t b # c 'd' \"e\" \\n \n"),
        .info = {"a \t b # c 'd' \"e\" \\n"}},
    {.name = "comments, and lines with nothing",
        TEXT("# device b\n\n \t \n  # json\n#\ndevice a\n\r\n"),
        .device = "a"},
    {.name = "a time", TEXT("interval 5m\n"), .interval_ms = 300000},
    {.name = "one that may be repeated",
        TEXT("info a\ninfo b\ninfo a\n"),
        .info = {"a", "b", "a"}},
    {.name = "a value that looks like an option",
        TEXT("device --app\n"),
        .device = "--app"},
    {.name = "a value with an = in it", TEXT("device a=b\n"), .device = "a=b"},
    {.name = "a fact of a kilobyte",
        TEXT("info " A_KILOBYTE "\n"),
        .info = {A_KILOBYTE}},
    {.name = "a password is kept, and makes the file a secret",
        TEXT("proxy http://user:password@proxy:1\n"),
        .proxy_url = "http://user:password@proxy:1",
        .is_secret = true},
    {.name = "a proxy without one does not",
        TEXT("proxy http://proxy:1\n"),
        .proxy_url = "http://proxy:1"},

    {.name = "the command line counts",
        TEXT("device a\ninterval 5m\n"),
        .words = {"--device", "b", "--interval=2m"},
        .device = "b",
        .interval_ms = 120000},
    {.name = "the command line counts, behind --config, too",
        TEXT("device a\ninterval 5m\n"),
        .words = {"--device", "b", "--interval=2m"},
        .config_first = true,
        .device = "b",
        .interval_ms = 120000},
    {.name = "its texts come behind the file's",
        TEXT("info a\ninfo b\n"),
        .words = {"--info", "c"},
        .info = {"a", "b", "c"}},
    {.name = "a proxy of the command line: the file's password stays one",
        TEXT("proxy http://user:password@proxy:1\n"),
        .words = {"--proxy", "other"},
        .proxy_url = "other",
        .is_secret = true},
    {.name = "--config as a value names no file",
        TEXT("device a\n"),
        .words = {"--info", "--config", "--info=none"},
        .device = "a",
        .info = {"--config", "none"}},

    {.name = "an unknown option",
        TEXT("device a\n\ndevcie b\n"),
        .error = ":3: there is no option \"devcie\"\n"},
    {.name = "an unknown option of the letter h",
        TEXT("h\n"),
        .error = ":1: there is no option \"h\"\n"},
    {.name = "dashes",
        TEXT("--device a\n"),
        .error = ":1: --device stands without its dashes here\n"},
    {.name = "an = for white space",
        TEXT("device=a\n"),
        .error = ":1: its first word is no option: a line is NAME VALUE\n"},
    {.name = "a word that is no option, which may be a secret",
        TEXT("secret7 a\n"),
        .error = ":1: its first word is no option: a line is NAME VALUE\n"},
    {.name = "a long word, too",
        TEXT("secretsecretsecretsecretsecretsecre\n"),
        .error = ":1: its first word is no option: a line is NAME VALUE\n"},
    {.name = "no value",
        TEXT("json\ndevice \t\n"),
        .error = ":2: device: its value is missing: device LCUID\n"},
    {.name = "a value where none belongs",
        TEXT("json yes\n"),
        .error = ":1: json takes no value\n"},
    {.name = "a number that is none",
        TEXT("\ncount many\n"),
        .error = ":2: count many: it must be a whole number from 1 to"
                 " 999999999\n"},
    {.name = "a number that the command line overrides is still wrong",
        TEXT("count 0\n"),
        .words = {"--count", "1"},
        .error = ":1: count 0: it must be"},
    {.name = "a time with a comment behind it",
        TEXT("interval 1m # often\n"),
        .error = ":1: interval 1m # often: it must be a time"},
    {.name = "one option twice",
        TEXT("device a\njson\ndevice a\n"),
        .error = ":3: device stands in line 1 already\n"},
    {.name = "a switch twice",
        TEXT("json\njson\n"),
        .error = ":2: json stands in line 1 already\n"},
    {.name = "another file",
        TEXT("config /etc/other\n"),
        .error = ":1: config belongs on the command line\n"},
    {.name = "help", TEXT("help\n"), .error = ":1: help belongs on the"},
    {.name = "version",
        TEXT("version\n"),
        .error = ":1: version belongs on the"},
    {.name = "check", TEXT("check\n"), .error = ":1: check belongs on the"},
    {.name = "decode",
        TEXT("decode -\n"),
        .error = ":1: decode belongs on the"},
    {.name = "dry-run",
        TEXT("dry-run\n"),
        .error = ":1: dry-run belongs on the"},
    {.name = "a value of a kilobyte",
        TEXT("device " A_KILOBYTE "\n"),
        .error = ":1: device: its value is too long, 1023 bytes at most\n"},
    {.name = "a NUL in a value",
        TEXT("json\ndevice a\0b\n"),
        .error = ":2: it is no text: it has a NUL\n"},
    {.name = "a NUL behind all",
        TEXT("device a\n\0"),
        .error = ":2: it is no text: it has a NUL\n"},
    {.name = "a NUL in a comment",
        TEXT("#\0\n"),
        .error = ":1: it is no text: it has a NUL\n"},
    {.name = "UTF-16",
        TEXT("\xff\xfe"
             "d\0e\0v\0i\0c\0e\0 \0a\0\n\0"),
        .error = ":1: it is no text: it has a NUL\n"},
    {.name = "line ends of an old Macintosh",
        TEXT("info a\rdevice b\r"),
        .error = ":1: it has a CR that no LF follows\n"},
    {.name = "two CRs",
        TEXT("device a\r\r\n"),
        .error = ":1: it has a CR that no LF follows\n"},
    {.name = "as long as it may be, and one line",
        TEXT("info "),
        .filled_to = CONFIG_SIZE - 1},
    {.name = "a byte more",
        TEXT("info "),
        .filled_to = CONFIG_SIZE,
        .error = ": it is too long, 65535 bytes at most\n"},
    {.name = "a mebibyte on one line",
        TEXT("info "),
        .filled_to = 1 << 20,
        .error = ": it is too long, 65535 bytes at most\n"},
};

static char config_path[] = "/tmp/lucit-config-XXXXXX";

/* Parses "--config FILE" with the other words before it, or behind it. */
static void parse_config(const void *from) {
  const struct config_row *row = from;
  static char option[] = "--config";
  int argc = 1;

  line_argv[0] = line_words[0];
  if (row->config_first) {
    line_argv[argc++] = option;
    line_argv[argc++] = config_path;
  }
  for (size_t i = 0; i < COUNT(row->words) && row->words[i]; i++) {
    strcpy(line_words[argc], row->words[i]);
    line_argv[argc] = line_words[argc];
    argc++;
  }
  if (!row->config_first) {
    line_argv[argc++] = option;
    line_argv[argc++] = config_path;
  }
  line_argv[argc] = NULL;
  fresh();
  parse_options(&d, argc, line_argv);
}

/* Writes the file. */
static void make_config(const struct config_row *row) {
  strcpy(strrchr(config_path, '-'), "-XXXXXX");
  FILE *file = fdopen(mkstemp(config_path), "w");
  if (!file) abort();
  fwrite(row->text, 1, row->size, file);
  for (size_t i = row->size; i < row->filled_to; i++) putc('x', file);
  if (fclose(file) != 0) abort();
}

static void test_config(void **state) {
  const struct config_row *row = *state;
  const char *proxy_url = row->proxy_url ? row->proxy_url : "";
  int64_t interval_ms = row->interval_ms != 0 ? row->interval_ms : MINUTE;

  in_hand(row->name, row->text, row->size);
  make_config(row);
  expect_words(parse_config, row, row->error);
  if (!row->error) parse_config(row);
  unlink(config_path);
  if (row->error) {
    expect_true("no secret", !strstr(row->error, "secret"));
    return;
  }
  expect_text("the device", d.options.device, row->device);
  expect_true("the switch", (d.options.json != NULL) == row->json);
  expect_int("the interval", d.options.interval.value, interval_ms);
  expect_text("the proxy", d.proxy_url, proxy_url);
  expect_true("a secret", d.options.config_is_secret == row->is_secret);
  if (row->filled_to != 0) {
    size_t filling = strspn(d.options.info[0], "x");
    expect_int(
        "a long fact", (int64_t)filling, (int64_t)(row->filled_to - row->size));
    return;
  }
  for (size_t i = 0; i < COUNT(row->info); i++)
    expect_text("a fact", d.options.info[i], row->info[i]);
}

/* ---- Numbers and times -------------------------------------------------- */

/* A time as text, where a number alone is one of seconds. */
static const struct time_row {
  const char *name;
  const char *text;
  int64_t ms; /* -1: it is none */
} TIMES[] = {
    {"a number", "12", 12000},
    {"nothing at all", "0", 0},
    {"nothing at all, with a unit", "0ms", 0},
    {"milliseconds", "500ms", 500},
    {"seconds", "30s", 30000},
    {"minutes", "5m", 300000},
    {"hours", "2h", 7200000},
    {"days", "3d", 259200000},
    {"a part of a second", "0.5s", 500},
    {"a part of a minute", "1.5m", 90000},
    {"a part of a number alone", "0.25", 250},
    {"a part to the digit, which no binary fraction is", "1.1m", 66000},
    {"no digit before the point", ".5", 500},
    {"no digit behind the point", "5.", 5000},
    {"zeros in front", "0005s", 5000},
    {"less than a millisecond", "0.0001s", 1},
    {"as little as can be written", "0.000000001", 1},
    {"more than a millisecond", "1.1ms", 2},
    {"nine digits", "999999999", 999999999000},
    {"nine digits on both sides, of days", "999999999.999999999d",
        86400000000000000},
    {"ten digits", "1000000000", -1},
    {"ten digits behind the point", "0.0000000001", -1},
    {"nothing", "", -1},
    {"a word", "ten", -1},
    {"a unit alone", "ms", -1},
    {"a point alone", ".", -1},
    {"a point and a unit", ".s", -1},
    {"two points", "1.2.3", -1},
    {"an unknown unit", "5w", -1},
    {"a unit in capitals", "5S", -1},
    {"two units", "5ss", -1},
    {"two times", "1m30s", -1},
    {"a space before the unit", "5 s", -1},
    {"a space in front", " 5", -1},
    {"a space behind", "5s ", -1},
    {"a sign", "+5", -1},
    {"a negative number", "-5", -1},
    {"an exponent", "1e1", -1},
    {"hexadecimal", "0x10", -1},
    {"no number", "nan", -1},
    {"no end", "inf", -1},
    {"a comma", "1,5", -1},
};

static void test_time(void **state) {
  const struct time_row *row = *state;
  int64_t ms = -1;

  in_hand(row->name, row->text, strlen(row->text));
  bool good = read_time(row->text, SECOND, &ms);
  expect_int("whether it is one", good, row->ms >= 0);
  if (good) expect_int("milliseconds", ms, row->ms);
}

static const struct whole_row {
  const char *name;
  const char *text;
  int64_t number; /* -1: it is none */
} WHOLES[] = {
    {"a whole number", "12", 12},
    {"a whole 0", "0", 0},
    {"nine digits, whole", "999999999", 999999999},
    {"ten digits, whole", "1000000000", -1},
    {"half a number", "1.5", -1},
    {"a whole number with a unit", "5s", -1},
    {"a negative whole number", "-1", -1},
    {"no whole number", "", -1},
};

static void test_whole(void **state) {
  const struct whole_row *row = *state;
  int64_t number = -1;

  in_hand(row->name, row->text, strlen(row->text));
  bool good = read_whole(row->text, &number);
  expect_int("whether it is one", good, row->number >= 0);
  if (good) expect_int("the number", number, row->number);
}

static const struct written_row {
  const char *name;
  int64_t ms;
  const char *text;
} WRITTEN[] = {
    {"written: milliseconds", 100, "100ms"},
    {"written: no whole second", 1500, "1500ms"},
    {"written: seconds", 30000, "30s"},
    {"written: minutes", 300000, "5m"},
    {"written: an hour", 3600000, "1h"},
    {"written: a day", 86400000, "1d"},
    {"written: ten thousand days", INT64_C(864000000000), "10000d"},
};

static void test_written(void **state) {
  const struct written_row *row = *state;
  char text[TIME_SIZE];

  in_hand(row->name, row->text, strlen(row->text));
  expect_text("the text", write_time(row->ms, text), row->text);
}

/* What an option of the command line makes of a number.  A row without a text
 * has the default. */
#define NUMBER_AT(member) offsetof(struct options, member)

static const struct number_row {
  const char *name;
  const char *option;
  size_t offset;
  const char *text;
  int64_t value;
  const char *error; /* the line that it says; NULL: all is well */
} NUMBERS[] = {
    {"--timeout, by default", "--timeout", NUMBER_AT(timeout), NULL, 30000,
        NULL},
    {"--timeout, in milliseconds", "--timeout", NUMBER_AT(timeout), "400", 400,
        NULL},
    {"--timeout, with a unit", "--timeout", NUMBER_AT(timeout), "2s", 2000,
        NULL},
    {"--timeout, less than a millisecond", "--timeout", NUMBER_AT(timeout),
        "0.0001s", 1, NULL},
    {"--timeout, the most", "--timeout", NUMBER_AT(timeout), "86400000",
        86400000, NULL},
    {"--timeout, too much", "--timeout", NUMBER_AT(timeout), "86400001", 0,
        "--timeout 86400001: it must be a time from 1ms to 1d; times are"
        " written as 500ms, 1.5s or 5m\n"},
    {"--timeout of 0", "--timeout", NUMBER_AT(timeout), "0", 0,
        "--timeout 0: it must be a time from 1ms to 1d;"},
    {"--timeout of nothing", "--timeout", NUMBER_AT(timeout), "", 0,
        "--timeout \"\": it must be a time"},
    {"--timeout in words", "--timeout", NUMBER_AT(timeout), "soon", 0,
        "--timeout soon: it must be a time"},
    {"--interval, by default", "--interval", NUMBER_AT(interval), NULL, 60000,
        NULL},
    {"--interval, in seconds", "--interval", NUMBER_AT(interval), "5", 5000,
        NULL},
    {"--interval, the least", "--interval", NUMBER_AT(interval), "0.1", 100,
        NULL},
    {"--interval, less", "--interval", NUMBER_AT(interval), "99ms", 0,
        "--interval 99ms: it must be a time from 100ms to 1d;"},
    {"--interval of 0", "--interval", NUMBER_AT(interval), "0", 0,
        "--interval 0: it must be a time from 100ms to 1d;"},
    {"--interval, the most", "--interval", NUMBER_AT(interval), "24h", 86400000,
        NULL},
    {"--hook-timeout, by default", "--hook-timeout", NUMBER_AT(hook_timeout),
        NULL, 300000, NULL},
    {"--hook-timeout, in seconds", "--hook-timeout", NUMBER_AT(hook_timeout),
        "2", 2000, NULL},
    {"--hook-timeout without limit", "--hook-timeout", NUMBER_AT(hook_timeout),
        "0", 0, NULL},
    {"--hook-timeout, as little as can be", "--hook-timeout",
        NUMBER_AT(hook_timeout), "0.0001", 1, NULL},
    {"--hook-timeout, too much", "--hook-timeout", NUMBER_AT(hook_timeout),
        "25h", 0,
        "--hook-timeout 25h: it must be a time from 1ms to 1d, or 0 for no"
        " limit; times are"},
    {"--max-age, by default", "--max-age", NUMBER_AT(max_age), NULL, 3600000,
        NULL},
    {"--max-age, in days", "--max-age", NUMBER_AT(max_age), "2d", 172800000,
        NULL},
    {"--max-age without limit", "--max-age", NUMBER_AT(max_age), "0s", 0, NULL},
    {"--max-age, too much", "--max-age", NUMBER_AT(max_age), "10001d", 0,
        "--max-age 10001d: it must be a time from 1ms to 10000d, or 0 for no"
        " limit;"},
    {"--count, by default", "--count", NUMBER_AT(count), NULL, 1, NULL},
    {"--count", "--count", NUMBER_AT(count), "12", 12, NULL},
    {"--count of 0", "--count", NUMBER_AT(count), "0", 0,
        "--count 0: it must be a whole number from 1 to 999999999\n"},
    {"--count of a half", "--count", NUMBER_AT(count), "1.5", 0,
        "--count 1.5: it must be a whole number from 1 to 999999999\n"},
    {"--count with a unit", "--count", NUMBER_AT(count), "1s", 0,
        "--count 1s: it must be a whole number from 1 to 999999999\n"},
};

static void parse_number(const void *from) {
  static char words[2][64];
  char *argv[] = {words[0], words[0], words[1], NULL};
  const struct number_row *row = from;

  strcpy(words[0], row->option);
  if (row->text) strcpy(words[1], row->text);
  fresh();
  parse_options(&d, row->text ? 3 : 1, argv);
}

static void test_number(void **state) {
  const struct number_row *row = *state;
  const char *text = row->text ? row->text : "";

  in_hand(row->name, text, strlen(text));
  expect_words(parse_number, row, row->error);
  if (row->error) return;
  parse_number(row);
  const struct number *number =
      (const void *)((const char *)&d.options + row->offset);
  expect_int("its value", number->value, row->value);
  expect_text("its text", number->text, row->text);
}

/* ---- Hosts and ports ---------------------------------------------------- */

static const struct port_row {
  const char *name;
  const char *text;
  const char *host; /* NULL: it ends the process */
  uint16_t port;
} PORTS[] = {
    {"a host", "api.lucit.app", "api.lucit.app", 443},
    {"a host and a port", "api.lucit.app:8443", "api.lucit.app", 8443},
    {"a slash behind it", "api.lucit.app/", "api.lucit.app", 443},
    {"a slash behind the port", "api.lucit.app:1/", "api.lucit.app", 1},
    {"IPv4", "192.0.2.1:65535", "192.0.2.1", 65535},
    {"IPv6", "2001:db8::1", "2001:db8::1", 443},
    {"IPv6 in brackets", "[2001:db8::1]", "2001:db8::1", 443},
    {"IPv6 and a port", "[2001:db8::1]:8443", "2001:db8::1", 8443},
    {"nothing", "", "", 443},
    {"a port of 0", "a:0", NULL, 0},
    {"a port of 65536", "a:65536", NULL, 0},
    {"a port of nothing", "a:", NULL, 0},
    {"a port of letters", "a:https", NULL, 0},
    {"an open bracket", "[2001:db8::1", NULL, 0},
    {"a word behind a bracket", "[2001:db8::1]a", NULL, 0},
};

static void split(const void *from) {
  const struct port_row *row = from;
  char host[VALUE_SIZE];
  uint16_t port;

  fresh();
  split_port(&d, row->text, "--url", host, &port);
}

static void test_port(void **state) {
  const struct port_row *row = *state;
  char host[VALUE_SIZE];
  uint16_t port = 443;

  in_hand(row->name, row->text, strlen(row->text));
  expect_words(split, row, row->host ? NULL : "--url");
  if (!row->host) return;
  fresh();
  expect_text(
      "the host", split_port(&d, row->text, "--url", host, &port), row->host);
  expect_int("the port", port, row->port);
}

/* ---- Quotes ------------------------------------------------------------- */

static const struct quote_row {
  const char *name;
  const char *text;
  size_t size; /* of the memory; 0: enough */
  const char *json;
} QUOTES[] = {
    {"nothing", "", 0, "\"\""},
    {"plain text", "screen: on", 0, "\"screen: on\""},
    {"a quote and a backslash", "\"\\", 0, "\"\\\"\\\\\""},
    {"control characters", "\t\x1b[2J\x7f", 0, "\"\\u0009\\u001b[2J\\u007f\""},
    {"C1, which moves terminals, too",
        "\xc2\x9b"
        "2J",
        0, "\"\\u009b2J\""},
    {"what is no C1", "\xc2\xa0", 0, "\"\xc2\xa0\""},
    {"three and four bytes", "\xe2\x82\xac\xf0\x9f\x99\x82", 0,
        "\"\xe2\x82\xac\xf0\x9f\x99\x82\""},
    {"room for all", "abc", 6, "\"abc\""},
    {"room for less", "abc", 5, "\"ab\""},
    {"an escape is whole or not there", "a\n", 9, "\"a\""},
    {"and whole", "a\n", 10, "\"a\\u000a\""},
    {"a character is whole or not there", "a\xe2\x82\xac", 6, "\"a\""},
    {"room for the quotes", "a", 3, "\"\""},
};

static void test_quote(void **state) {
  const struct quote_row *row = *state;
  static char room[256];
  size_t size = row->size ? row->size : sizeof room;

  in_hand(row->name, row->text, strlen(row->text));
  memset(room, 'x', sizeof room);
  expect_text("the string", quote(row->text, room, size), row->json);
  if (size < sizeof room) expect_int("the byte behind", room[size], 'x');
}

/* ---- The log ------------------------------------------------------------ */

enum { A_SUNDAY_S = 1795910400 }; /* 2026-11-29T00:00:00Z */

#define STAMP "2026-11-29T00:MM:SSZ " /* M and S are digits */

static void write_note(void) {
  note(&d, "a %s", "note");
}
static void write_complaint(void) {
  complain(&d, "a %s", "complaint");
}
static void write_success(void) {
  print_outcome(&d, HBEAT_OK, "all is well");
}
static void write_failure(void) {
  print_outcome(&d, HBEAT_ERR_TIMEOUT, "no reply");
}
static void write_hook(void) {
  print_hook(&d, true, "done");
}
static void write_acknowledged(void) {
  hbeat_request report = {.call = HBEAT_ACKNOWLEDGE, .instruction = "I1"};
  print_report(&d, &report);
}
static void write_failed(void) {
  hbeat_request report = {.call = HBEAT_FAILED,
      .instruction = "I1",
      .message = "stale: 9000 s old"};
  print_report(&d, &report);
}
static void write_hidden(void) {
  note(&d, "%s", "a\nb\033[2J\302\233c\177");
}
static void write_foreign(void) {
  print_hook(&d, true, "a\233\"\355\240\200");
}

/* A line of the log, and how it begins. */
static const struct log_row {
  const char *name;
  void (*write)(void);
  bool forever;
  bool json;
  bool journal;       /* the log is the journal's stream */
  bool other_journal; /* the journal has another stream */
  const char *line;
} LOGS[] = {
    {.name = "a note of a single run",
        .write = write_note,
        .line = "lucit-heartbeat: a note\n"},
    {.name = "a success of a single run",
        .write = write_success,
        .line = "ok: all is well\n"},
    {.name = "a note",
        .write = write_note,
        .forever = true,
        .line = STAMP "lucit-heartbeat: a note\n"},
    {.name = "a complaint",
        .write = write_complaint,
        .forever = true,
        .line = STAMP "lucit-heartbeat: a complaint\n"},
    {.name = "a success",
        .write = write_success,
        .forever = true,
        .line = STAMP "ok: all is well, took "},
    {.name = "a failure",
        .write = write_failure,
        .forever = true,
        .line = STAMP "timeout: no reply, took "},
    {.name = "a hook",
        .write = write_hook,
        .forever = true,
        .line = STAMP "hook: \"play\" \"I1\" \"acknowledged\" \"done\"\n"},
    {.name = "a report",
        .write = write_acknowledged,
        .forever = true,
        .line = STAMP "report: \"I1\" acknowledged\n"},
    {.name = "a report of a failure",
        .write = write_failed,
        .forever = true,
        .line = STAMP "report: \"I1\" failed \"stale: 9000 s old\"\n"},
    {.name = "a report as JSON",
        .write = write_acknowledged,
        .forever = true,
        .json = true,
        .line = "{\"report\":\"I1\",\"result\":\"acknowledged\","
                "\"message\":null}\n"},
    {.name = "a report of a failure as JSON",
        .write = write_failed,
        .forever = true,
        .json = true,
        .line = "{\"report\":\"I1\",\"result\":\"failed\","
                "\"message\":\"stale: 9000 s old\"}\n"},
    {.name = "a note in the journal",
        .write = write_note,
        .forever = true,
        .journal = true,
        .line = "lucit-heartbeat: a note\n"},
    {.name = "a success in the journal",
        .write = write_success,
        .forever = true,
        .journal = true,
        .line = "ok: all is well, took "},
    {.name = "a hook in the journal",
        .write = write_hook,
        .forever = true,
        .journal = true,
        .line = "hook: \"play\" "},
    {.name = "a note beside the journal",
        .write = write_note,
        .forever = true,
        .other_journal = true,
        .line = STAMP "lucit-heartbeat: a note\n"},
    {.name = "a success as JSON",
        .write = write_success,
        .forever = true,
        .json = true,
        .line = "{\"result\":\"ok\","},
    {.name = "a failure as JSON",
        .write = write_failure,
        .forever = true,
        .json = true,
        .line = "{\"result\":\"timeout\","},
    {.name = "a hook as JSON",
        .write = write_hook,
        .forever = true,
        .json = true,
        .line = "{\"hook\":\"play\","},
    {.name = "a complaint beside JSON",
        .write = write_complaint,
        .forever = true,
        .json = true,
        .line = STAMP "lucit-heartbeat: a complaint\n"},
    {.name = "what a terminal would obey",
        .write = write_hidden,
        .line = "lucit-heartbeat: a?b?[2J??c?\n"},
    {.name = "what is no UTF-8, as JSON",
        .write = write_foreign,
        .json = true,
        .line = "{\"hook\":\"play\",\"lcuid\":\"I1\",\"result\":"
                "\"acknowledged\",\"message\":"
                "\"a\\ufffd\\\"\\ufffd\\ufffd\\ufffd\"}\n"},
};

static void write_log(const void *from) {
  const struct log_row *row = from;
  char stream[64];
  struct stat s;

  fresh();
  if (fstat(STDERR_FILENO, &s) != 0) abort();
  snprintf(stream, sizeof stream, "%ju:%ju", (uintmax_t)s.st_dev,
      (uintmax_t)s.st_ino + row->other_journal);
  unsetenv("JOURNAL_STREAM");
  if (row->journal || row->other_journal) setenv("JOURNAL_STREAM", stream, 1);
  set_clock(&d.clock, A_SUNDAY_S);
  if (row->forever) begin_daemon_log(&d.log);
  d.log.json = row->json;
  d.reply.retry_after_s = HBEAT_NONE;
  d.reply.clock_offset_s = HBEAT_NONE;
  strcpy(d.job.name, "play");
  strcpy(d.job.lcuid, "I1");
  row->write();
}

/* Whether a line begins so, where M and S stand for digits of a time. */
static bool begins(const char *line, const char *with) {
  bool stamp = strncmp(with, STAMP, sizeof STAMP - 1) == 0;

  for (size_t i = 0; with[i] != '\0'; i++) {
    bool any = stamp && i < sizeof STAMP - 1 && strchr("MS", with[i]);
    if (any && !(line[i] >= '0' && line[i] <= '9')) return false;
    if (!any && line[i] != with[i]) return false;
  }
  return true;
}

static void test_log(void **state) {
  const struct log_row *row = *state;
  struct end end = end_of(write_log, row);
  const char *line_end = strchr(end.said, '\n');

  in_hand(row->name, row->line, strlen(row->line));
  expect_int("its status", end.status, 0);
  expect_true(end.said, begins(end.said, row->line));
  expect_true("one line", line_end && line_end[1] == '\0');
}

/* Characters that no terminal is to see, or that it may, in a string of JSON
 * and in a line of text. */
static const struct hidden_row {
  const char *name;
  const char *text;
  const char *json;
  const char *line;
} HIDDEN[] = {
    {"U+00A0", "\302\240", "\302\240", "\302\240"},
    {"U+061B", "\330\233", "\330\233", "\330\233"},
    {"U+061C", "\330\234", "\\u061c", "??"},
    {"U+200A", "\342\200\212", "\342\200\212", "\342\200\212"},
    {"U+200B", "\342\200\213", "\\u200b", "???"},
    {"U+200F", "\342\200\217", "\\u200f", "???"},
    {"U+2010", "\342\200\220", "\342\200\220", "\342\200\220"},
    {"U+2027", "\342\200\247", "\342\200\247", "\342\200\247"},
    {"U+2028", "\342\200\250", "\\u2028", "???"},
    {"U+2029", "\342\200\251", "\\u2029", "???"},
    {"U+202A", "\342\200\252", "\\u202a", "???"},
    {"U+202E", "\342\200\256", "\\u202e", "???"},
    {"U+202F", "\342\200\257", "\342\200\257", "\342\200\257"},
    {"U+205F", "\342\201\237", "\342\201\237", "\342\201\237"},
    {"U+2066", "\342\201\246", "\\u2066", "???"},
    {"U+2069", "\342\201\251", "\\u2069", "???"},
    {"U+2070", "\342\201\260", "\342\201\260", "\342\201\260"},
    {"U+FEFE", "\357\273\276", "\357\273\276", "\357\273\276"},
    {"U+FEFF", "\357\273\277", "\\ufeff", "???"},
    {"U+FF00", "\357\274\200", "\357\274\200", "\357\274\200"},
    {"U+1F642", "\360\237\231\202", "\360\237\231\202", "\360\237\231\202"},
    {"U+10FFFF", "\364\217\277\277", "\364\217\277\277", "\364\217\277\277"},
    {"two around a word", "\342\200\256gpj\342\200\254.exe",
        "\\u202egpj\\u202c.exe", "???gpj???.exe"},
    /* A string keeps what is no UTF-8: its caller sees to that. */
    {"no UTF-8: a continuation", "\233", "\233", "?"},
    {"no UTF-8: the end is missing", "\342\200", "\342\200", "??"},
    {"no UTF-8: a quote inside", "\342\"a", "\342\\\"a", "?\"a"},
    {"no UTF-8: too long a form", "\340\202\233", "\340\202\233", "???"},
    {"no UTF-8: half a pair", "\355\240\200", "\355\240\200", "???"},
    {"no UTF-8: beyond the last", "\364\220\200\200", "\364\220\200\200",
        "????"},
    {"no UTF-8: five bytes", "\370\210\200\200\200", "\370\210\200\200\200",
        "?????"},
};

static void note_text(const void *from) {
  const struct hidden_row *row = from;

  fresh();
  note(&d, "%s.", row->text);
}

static void test_hidden(void **state) {
  const struct hidden_row *row = *state;
  char json[64];
  char wanted[64];

  in_hand(row->name, row->text, strlen(row->text));
  snprintf(wanted, sizeof wanted, "\"%s\"", row->json);
  expect_text("as JSON", quote(row->text, json, sizeof json), wanted);
  snprintf(wanted, sizeof wanted, "lucit-heartbeat: %s.\n", row->line);
  expect_text("as a line", end_of(note_text, row).said, wanted);
}

/* ---- A log that nobody reads -------------------------------------------- */

enum { ROOM = 4096 }; /* of a pipe of one page */

/* What a daemon's log is. */
enum log_kind { A_PIPE, A_SOCKET };

/* Two lines of a daemon whose log may have no room for the first one.  Then the
 * log is read, and a third line comes. */
static const struct full_row {
  const char *name;
  enum log_kind kind;
  bool json;
  bool full;        /* before the first line */
  bool both;        /* standard error is the same */
  int lines;        /* before the log is read */
  size_t line_size; /* of each of them */
  size_t written;   /* of all */
} FULL[] = {
    {.name = "room for a line",
        .json = true,
        .lines = 1,
        .line_size = 300,
        .written = 300},
    {.name = "room for as much as fits",
        .json = true,
        .lines = 1,
        .line_size = ROOM,
        .written = ROOM},
    {.name = "a byte too much",
        .json = true,
        .lines = 1,
        .line_size = ROOM + 1,
        .written = ROOM},
    {.name = "half of a line fits",
        .json = true,
        .lines = 1,
        .line_size = 6000,
        .written = ROOM},
    {.name = "half of a line fits, as text",
        .lines = 1,
        .line_size = 6000,
        .written = ROOM},
    {.name = "half of a line fits, and none of the next",
        .json = true,
        .lines = 2,
        .line_size = 6000,
        .written = ROOM},
    {.name = "both streams are one",
        .json = true,
        .both = true,
        .lines = 2,
        .line_size = 6000,
        .written = ROOM},
    {.name = "a line of a hundred pieces",
        .json = true,
        .lines = 1,
        .line_size = 400000,
        .written = ROOM},
    {.name = "no room",
        .json = true,
        .full = true,
        .lines = 1,
        .line_size = 300},
    {.name = "no room, as text", .full = true, .lines = 1, .line_size = 300},
    {.name = "no room for many lines",
        .json = true,
        .full = true,
        .lines = 100,
        .line_size = 300},
    {.name = "no room in a socket",
        .kind = A_SOCKET,
        .json = true,
        .full = true,
        .lines = 3,
        .line_size = 300},
    {.name = "no room in a socket, as text",
        .kind = A_SOCKET,
        .full = true,
        .lines = 3,
        .line_size = 6000},
};

/* Makes both ends of a log; the first one is read from, without waiting. */
static void make_ends(enum log_kind kind, int ends[2]) {
  int failed = 0;

  if (kind == A_PIPE) failed = pipe(ends);
  else failed = socketpair(AF_UNIX, SOCK_STREAM, 0, ends);
  if (failed) abort();
  if (kind == A_PIPE)
    expect_int("a page", fcntl(ends[1], F_SETPIPE_SZ, ROOM), ROOM);
  fcntl(ends[0], F_SETFL, O_NONBLOCK);
}

static void fill(int fd) {
  int flags = fcntl(fd, F_GETFL);

  fcntl(fd, F_SETFL, flags | O_NONBLOCK);
  while (write(fd, "\n", 1) == 1) continue;
  fcntl(fd, F_SETFL, flags);
}

static char all_read[65536];

/* Reads all that is there. */
static const char *drain(int fd) {
  ssize_t size = read(fd, all_read, sizeof all_read - 1);

  all_read[size > 0 ? size : 0] = '\0';
  return all_read;
}

/* Prints a line of this size, its end included: that of a hook. */
static void print_line_of(size_t size) {
  static const char json[] = "{'hook':'play','lcuid':'I1',"
                             "'result':'acknowledged','message':''}\n";
  static const char text[] = "hook: 'play' 'I1' 'acknowledged' ''\n";
  static char message[500000];

  size -= d.log.json ? sizeof json - 1 : sizeof text - 1;
  memset(message, 'x', size);
  message[size] = '\0';
  print_hook(&d, true, message);
}

/* A daemon whose log this is.  It is also the journal's stream, so that no line
 * has a time. */
static void begin_log_at(const struct full_row *row, int fd) {
  char stream[64];
  struct stat s;

  if (fstat(fd, &s) != 0) abort();
  snprintf(stream, sizeof stream, "%ju:%ju", (uintmax_t)s.st_dev,
      (uintmax_t)s.st_ino);
  setenv("JOURNAL_STREAM", stream, 1);
  fresh();
  strcpy(d.job.name, "play");
  strcpy(d.job.lcuid, "I1");
  d.log.json = row->json;
  d.log.out->fd = fd;
  if (row->both) d.log.err->fd = fd;
  begin_daemon_log(&d.log);
}

/* The next line comes behind one that says how much was dropped, if any was. */
static void expect_next_line(
    const struct full_row *row, const char *said, size_t dropped) {
  static const char line[] = "lucit-heartbeat: the next line\n";
  bool as_json = row->json && !row->both;
  bool is_torn = dropped > 0 && row->written > 0;
  char told[256];

  if (as_json)
    snprintf(told, sizeof told, "{\"dropped_bytes\":%zu}\n", dropped);
  else
    snprintf(told, sizeof told,
        "lucit-heartbeat: [%zu bytes of the log were dropped]\n", dropped);
  if (dropped == 0) *told = '\0';
  if (is_torn) expect_int("the torn line ends", *said++, '\n');
  expect_int("how much is said", strncmp(said, told, strlen(told)), 0);
  said += strlen(told);
  if (row->both) expect_text("the next line", said, line);
  else expect_int("the next line", (int64_t)strlen(said), 200);
}

static void test_full(void **state) {
  const struct full_row *row = *state;
  size_t dropped = (size_t)row->lines * row->line_size - row->written;
  int ends[2];

  in_hand(row->name, row->name, strlen(row->name));
  make_ends(row->kind, ends);
  if (row->full) fill(ends[1]);
  begin_log_at(row, ends[1]);
  expect_int("the log's flags stay", fcntl(ends[1], F_GETFL) & O_NONBLOCK, 0);

  for (int i = 0; i < row->lines; i++) print_line_of(row->line_size);
  const char *said = drain(ends[0]);
  said += row->full ? strspn(said, "\n") : 0;
  expect_int("what went out", (int64_t)strlen(said), (int64_t)row->written);

  if (row->both) note(&d, "the next line");
  else print_line_of(200);
  expect_next_line(row, drain(ends[0]), dropped);
  unsetenv("JOURNAL_STREAM");
  if (d.log.out->fd != ends[1]) close(d.log.out->fd);
  close(ends[0]);
  close(ends[1]);
}

static void die_of(const void *status) {
  fresh();
  die(&d, *(const int *)status, "an %s", "end");
}

static void test_die(void **state) {
  static const int statuses[] = {EXIT_USAGE, EXIT_FILE};

  (void)state;
  in_hand("an end", "", 0);
  for (size_t i = 0; i < COUNT(statuses); i++) {
    struct end end = end_of(die_of, &statuses[i]);
    expect_text("what it says", end.said, "lucit-heartbeat: an end\n");
    expect_int("its status", end.status, statuses[i]);
  }
}

/* What counts as the last error behind a note, a complaint and a note: exits
 * with the number of the first one after which that is wrong. */
static void make_errors(const void *unused) {
  (void)unused;
  fresh();
  note(&d, "logged in");
  if (d.log.last_error[0] != '\0') _exit(1);
  complain(&d, "%s: %d", "a complaint", 1);
  if (strcmp(d.log.last_error, "a complaint: 1") != 0) _exit(2);
  note(&d, "logged in");
  if (strcmp(d.log.last_error, "a complaint: 1") != 0) _exit(3);
}

static void test_last_error(void **state) {
  (void)state;
  in_hand("the last error", "", 0);
  expect_int("the first wrong", end_of(make_errors, NULL).status, 0);
}

/* ---- The secret for log-ins --------------------------------------------- */

static const struct secret_row {
  const char *name;
  const char *text; /* of its file; NULL: there is none */
  const char *token;
  const char *secret;
  const char *why; /* part of it; NULL: all is well */
} SECRETS[] = {
    {"a token and a secret", "a\nb\n", "a", "b", NULL},
    {"no last line end", "a\nb", "a", "b", NULL},
    {"line ends of Windows", "a\r\nb\r\n", "a", "b", NULL},
    {"empty lines", "a\n\nb\n\n", "a", "b", NULL},
    {"no secret", "a\n", NULL, NULL, "two lines"},
    {"no line", "", NULL, NULL, "two lines"},
    {"no token", "\nb\n", NULL, NULL, "two lines"},
    {"three lines", "a\nb\nc\n", NULL, NULL, "two lines"},
    {"no file with a secret", NULL, NULL, NULL, "No such file"},
};

static void test_secret(void **state) {
  const struct secret_row *row = *state;
  static char path[] = "/tmp/lucit-secret-XXXXXX";
  char room[SECRET_SIZE];
  const char *secret = NULL;

  in_hand(row->name, row->text, row->text ? strlen(row->text) : 0);
  strcpy(strrchr(path, '-'), "-XXXXXX");
  int fd = mkstemp(path);
  size_t size = row->text ? strlen(row->text) : 0;
  expect_true("a file", fd >= 0);
  if (size > 0) expect_int("written", write(fd, row->text, size), (int)size);
  close(fd);
  if (!row->text) unlink(path);
  const char *why = read_secret(path, room, &secret, true);
  if (row->text) unlink(path);
  if (!row->why) {
    expect_text("why not", why, NULL);
    expect_text("the token", room, row->token);
    expect_text("the secret", secret, row->secret);
  } else {
    expect_true("why not", why && strstr(why, row->why));
  }
}

/* ---- Files --------------------------------------------------------------- */

static char folder[] = "/tmp/lucit-heartbeat-files-XXXXXX";

static void in_folder(const char *name, char path[VALUE_SIZE]) {
  snprintf(path, VALUE_SIZE, "%s/%s", folder, name);
}

/* What the tests below make there. */
static void empty_folder(void) {
  static const char *const names[] = {"memory", "memory.lock", "memory.spare",
      "memory.bad", "there/file", "relative", "absolute", "chain", "dangling",
      "loop", "other", "deep", "there"};

  for (size_t i = 0; i < COUNT(names); i++) {
    char path[VALUE_SIZE];
    in_folder(names[i], path);
    remove(path);
  }
}

static void make_link(const char *name, const char *target) {
  char path[VALUE_SIZE];

  in_folder(name, path);
  if (symlink(target, path) != 0) abort();
}

/* A folder, a file in it, and links. */
static void make_links(void) {
  char path[VALUE_SIZE];

  empty_folder();
  in_folder("there", path);
  if (mkdir(path, 0755) != 0) abort();
  make_link("absolute", path);
  in_folder("there/file", path);
  int fd = open(path, O_WRONLY | O_CREAT, 0600);
  if (fd < 0 || close(fd) != 0) abort();
  make_link("relative", "there/file");
  make_link("chain", "relative");
  make_link("dangling", "there/none");
  make_link("loop", "other");
  make_link("other", "loop");
  make_link("deep", "absolute/../there/file");
}

static const struct place_row {
  const char *name;
  const char *path; /* in the folder; one with a / in front as it is */
  const char *leads_to;
  int error;
} PLACES[] = {
    {"a file", "there/file", "there/file", 0},
    {"a file that is not there", "there/none", "there/none", 0},
    {"a folder that is not there", "none/file", "none/file", 0},
    {"a link", "relative", "there/file", 0},
    {"a link to a link", "chain", "there/file", 0},
    {"a link that leads nowhere", "dangling", "there/none", 0},
    {"a folder's link", "absolute/file", "there/file", 0},
    {"a folder's link, and nothing there", "absolute/none", "there/none", 0},
    {"the folder above a link's target", "deep", "there/../there/file", 0},
    {"two slashes", "there//file", "there//file", 0},
    {"a loop", "loop", NULL, ELOOP},
    {"a device", "/dev/null", "/dev/null", 0},
    {"an open file", "/proc/self/fd/0", "/proc/self/fd/0", 0},
    {"no name", "", "", 0},
};

static void test_place(void **state) {
  const struct place_row *row = *state;
  struct place place;
  char path[VALUE_SIZE];
  char wanted[VALUE_SIZE];
  int ends[2];

  in_hand(row->name, row->path, strlen(row->path));
  make_links();
  if (pipe(ends) != 0 || dup2(ends[0], STDIN_FILENO) < 0) abort();
  in_folder(row->path, path);
  in_folder(row->leads_to ? row->leads_to : "", wanted);
  if (*row->path == '/') {
    strcpy(path, row->path);
    strcpy(wanted, row->leads_to);
  }
  errno = 0;
  bool found = follow_links(path, &place);
  expect_int("its error", found ? 0 : errno, row->error);
  if (found) {
    expect_text("where it leads", place.path, wanted);
    expect_text("nobody else", place.link_writer, NULL);
  }
  close(ends[0]);
  close(ends[1]);
  empty_folder();
}

/* A link of as many bytes as fit, and a byte more. */
static void test_long_place(void **state) {
  static char longest[VALUE_SIZE];
  struct place place;
  char path[VALUE_SIZE];

  (void)state;
  in_hand("a long link", "", 0);
  memset(longest, 'a', sizeof longest - 1);
  for (size_t i = 0; i < sizeof longest - 1; i += 100) longest[i] = '/';
  empty_folder();
  make_link("relative", longest);
  in_folder("relative", path);
  expect_true("it fits", follow_links(path, &place));
  expect_text("where it leads", place.path, longest);
  in_folder("relative/a", path);
  errno = 0;
  expect_true("it does not fit", !follow_links(path, &place));
  expect_int("its error", errno, ENAMETOOLONG);
  empty_folder();
}

static const struct writer_row {
  const char *name;
  uid_t owner; /* 0: root; 1: us; else another user */
  mode_t mode;
  const char *who; /* NULL: nobody else */
} WRITERS[] = {
    {"our own file", 1, 0600, NULL},
    {"root's file", 0, 0600, NULL},
    {"a file that all may read", 1, 0644, NULL},
    {"another user's file", 2, 0600, "another user owns"},
    {"a file for a group", 1, 0620, "its group may write"},
    {"root's file for a group", 0, 0620, "its group may write"},
    {"a file for all", 1, 0602, "everybody may write"},
    {"a sticky folder for all", 0, 01777, "everybody may write"},
};

static void test_writer(void **state) {
  const struct writer_row *row = *state;
  struct stat s = {.st_mode = row->mode};

  in_hand(row->name, &row->mode, sizeof row->mode);
  if (row->owner == 1) s.st_uid = geteuid();
  if (row->owner == 2) s.st_uid = geteuid() + 1;
  expect_text("who else", other_writer(&s), row->who);
}

/* ---- The state ----------------------------------------------------------- */

/* A state with the time of a server, in a file: what the clock says then. */
static const struct state_time_row {
  const char *name;
  int64_t time_s;
  bool counts; /* else the clock is the system's, or that of the build */
} STATE_TIMES[] = {
    {"a time to come", INT64_C(7258118400), true},
    {"the last second that counts", INT64_C(253402300799), true},
    {"the year 10000", INT64_C(253402300800), false},
    {"the last second of all", INT64_MAX, false},
    {"the first second of all but one", INT64_MIN + 1, false},
    {"long ago", 1, false},
};

static void use_state(const char *path) {
  d.options.state = path;
  snprintf(d.state.place.path, VALUE_SIZE, "%s", path);
}

/* Quiet: what it says at the start goes nowhere. */
static enum lock_result load_quietly(void) {
  int saved = dup(STDERR_FILENO);
  int null = open("/dev/null", O_WRONLY);

  if (saved < 0 || dup2(null, STDERR_FILENO) < 0) abort();
  enum lock_result result = load_state(&d);
  dup2(saved, STDERR_FILENO);
  close(saved);
  close(null);
  return result;
}

static void close_state(void) {
  if (d.state_lock >= 0) close(d.state_lock);
  d.state_lock = -1;
  empty_folder();
}

static void write_state_with(int64_t time_s, const char *path) {
  hbeat_memory memory;
  hbeat_request beat = {.call = HBEAT_BEAT};
  hbeat_reply reply = {.clock_offset_s = 0, .server_time_s = time_s};

  hbeat_memory_load(&memory, NULL, 0, NULL);
  memory.changed = 1;
  hbeat_memory_learn(&memory, &beat, &reply, HBEAT_OK);
  memory.changed = 0;
  int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
  if (write(fd, &memory, sizeof memory) != sizeof memory) abort();
  close(fd);
}

static void test_state_time(void **state) {
  const struct state_time_row *row = *state;
  char path[VALUE_SIZE];

  in_hand(row->name, &row->time_s, sizeof row->time_s);
  fresh();
  init_clock(&d.clock);
  d.clock.floor_at_ms -= 1500; /* what has passed is added */
  in_folder("memory", path);
  write_state_with(row->time_s, path);
  use_state(path);
  expect_int("the lock", load_quietly(), LOCK_HELD);
  d.clock.floor_at_ms -= 2000; /* two seconds pass */
  int64_t now = now_s(&d.clock);
  int64_t off_s = row->counts ? now - row->time_s : now - time(NULL);
  expect_true("the clock", off_s >= -1 && off_s <= 60);
  close_state();
}

/* ---- Programs ----------------------------------------------------------- */

/* How the program in hand ended. */
static struct program_end ended;
static bool has_ended;

static void take_end(struct daemon *daemon, const struct program_end *end) {
  (void)daemon;
  ended = *end;
  has_ended = true;
}

/* Runs a program to its end, with a text to read. */
static void run_program(struct program *p, const char *path, const char *text) {
  const int64_t until_ms = now_ms() + 60000;

  init_program(p);
  p->end = take_end;
  has_ended = false;
  expect_true("it starts", start_program(&d, p, path, text, NULL, 0));
  while (!has_ended && now_ms() < until_ms) {
    poll(&(struct pollfd){p->keeper, POLLIN, 0}, 1, 10);
    mind_program(&d, p);
    reap_children();
  }
  expect_true("it ends", has_ended);
}

/* A limit of 0 is none. */
static void test_limit(void **state) {
  struct program p = {.limit_ms = 0};

  (void)state;
  in_hand("the limit of a program", "", 0);
  fresh();
  run_program(&p, "/bin/true", "");
  expect_true("it has no end", p.end_ms == INT64_MAX && d.wake_ms == INT64_MAX);
  p.limit_ms = 86400000;
  run_program(&p, "/bin/true", "");
  expect_true("a day: it has one", p.end_ms < now_ms() + 86400001);
  expect_true("when the loop wakes", d.wake_ms == p.end_ms);
}

/* What a shell reads, and how it ends. */
static const struct program_row {
  const char *name;
  const char *words; /* NULL: the path is that of a folder */
  enum end_kind kind;
  int code;
  const char *printed;
} ENDS[] = {
    {"a good end", "exit 0", END_EXITED, 0, ""},
    {"a bad end", "exit 3", END_EXITED, 3, ""},
    {"a status as if nothing had run", "exit 127", END_EXITED, 127, ""},
    {"a signal", "kill -KILL $$", END_KILLED, SIGKILL, ""},
    {"both outputs", "echo out; echo err >&2", END_EXITED, 0, "out\nerr"},
    {"what cannot be run", NULL, END_UNSTARTED, EACCES, ""},
};

static void test_end(void **state) {
  const struct program_row *row = *state;
  struct program p = {.limit_ms = 0};
  char printed[TAIL_SIZE];

  in_hand(row->name, row->words, row->words ? strlen(row->words) : 0);
  fresh();
  run_program(&p, row->words ? "/bin/sh" : "/", row->words ? row->words : "");
  write_tail(&p.printed, printed);
  expect_int("its kind", ended.kind, row->kind);
  expect_int("its code", ended.code, row->code);
  expect_text("what it printed", printed, row->printed);
}

#define TEN "0123456789"
#define HUNDRED TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN
#define MOST HUNDRED HUNDRED HUNDRED HUNDRED
#define UMLAUT "\xc3\xbc"
#define ELLIPSIS "\xe2\x80\xa6"

/* What is kept of what a program prints. */
static const struct tail_row {
  const char *name;
  const char *text;
  const char *kept;
} TAILS[] = {
    {"nothing printed", "", ""},
    {"a line end alone", "\n\n", ""},
    {"two lines", "a\nb\n", "a\nb"},
    {"empty lines", "\n\na\n\n\nb\n\n", "a\nb"},
    {"lines of Windows", "a\r\nb\r\n", "a\nb"},
    {"a progress bar", "10%\r20%\r", "10%\n20%"},
    {"all that fits", MOST, MOST},
    {"a byte more", "a" MOST, ELLIPSIS MOST},
    {"a character that is cut",
        UMLAUT HUNDRED HUNDRED HUNDRED TEN TEN TEN TEN TEN TEN TEN TEN TEN
        "123456789",
        ELLIPSIS HUNDRED HUNDRED HUNDRED TEN TEN TEN TEN TEN TEN TEN TEN TEN
        "123456789"},
};

static void test_tail(void **state) {
  const struct tail_row *row = *state;
  struct program p = {.limit_ms = 0};
  char printed[TAIL_SIZE];

  in_hand(row->name, row->text, strlen(row->text));
  fresh();
  run_program(&p, "/bin/cat", row->text);
  write_tail(&p.printed, printed);
  expect_text("what is kept", printed, row->kept);
}

/* A child that somebody else has left here leaves no zombie. */
static void test_reaped(void **state) {
  const int64_t until_ms = now_ms() + 60000;

  (void)state;
  in_hand("a child that was left", "", 0);
  pid_t pid = fork();
  if (pid == 0) _exit(0);
  while (kill(pid, 0) == 0 && now_ms() < until_ms) reap_children();
  expect_true("it is gone", kill(pid, 0) != 0);
}

/* ---- Chance ------------------------------------------------------------- */

enum { SEEDS = 4096, PARTS = 16 };

/* Seeds as they are where many devices start at once: each of them is likely to
 * differ from the next one in this alone. */
static const struct seeds_row {
  const char *name;
  int pid;
  uint64_t monotonic_ns;
  uint64_t system_ns;
  bool devices; /* each has another number at its end */
} SEED_STEPS[] = {
    {"processes, one behind the other", .pid = 1},
    {"starts a nanosecond apart", .monotonic_ns = 1},
    {"starts a millisecond apart", .monotonic_ns = 1000000},
    {"starts a second apart", .monotonic_ns = 1000000000},
    {"clocks a second apart", .system_ns = 1000000000},
    {"both clocks a millisecond on", .monotonic_ns = 1000000,
        .system_ns = 1000000},
    {"devices", .devices = true},
};

/* The seed of this number: half a minute after a boot, with a dead clock. */
static uint32_t mix_of(const struct seeds_row *step, unsigned n) {
  char device[LCUID_SIZE] = "LCUID-LD-3f2b8a52-93d0-4a5e-8a53-0d6a4e4a7b10";
  struct seed seed = {.device = device,
      .pid = (pid_t)(300 + n * (unsigned)step->pid),
      .monotonic_ns = UINT64_C(30000000000) + n * step->monotonic_ns,
      .system_ns = UINT64_C(30000000000) + n * step->system_ns};

  if (step->devices)
    snprintf(device + strlen(device) - 4, 5, "%04x", n & 0xFFFF);
  return mix_seed(&seed);
}

/* Each bit is set in half of them, and changes from one to the next in half of
 * them; a sixteenth of them is in each sixteenth of what there is, as the wait
 * behind a failure needs it.  Five times the standard deviation is allowed. */
static void test_seeds(void **state) {
  const struct seeds_row *step = *state;
  int set[32] = {0};
  int changed[32] = {0};
  int parts[PARTS] = {0};
  uint32_t before = mix_of(step, SEEDS);

  in_hand(step->name, step->name, strlen(step->name));
  for (unsigned n = 0; n < SEEDS; n++) {
    uint32_t mix = mix_of(step, n);
    parts[mix >> 28]++;
    for (int bit = 0; bit < 32; bit++) {
      set[bit] += (int)(mix >> bit & 1);
      changed[bit] += (int)((mix ^ before) >> bit & 1);
    }
    before = mix;
  }
  for (int bit = 0; bit < 32; bit++) {
    expect_true("a bit is set in half", abs(set[bit] - SEEDS / 2) < 160);
    expect_true("and changes in half", abs(changed[bit] - SEEDS / 2) < 160);
  }
  for (int i = 0; i < PARTS; i++)
    expect_true("a sixteenth", abs(parts[i] - SEEDS / PARTS) < 78);
}

/* ---- The clock ---------------------------------------------------------- */

#define Y2026_S INT64_C(1767225600)
#define LAST_S INT64_C(253402300799) /* of the year 9999 */

static const struct clock_row {
  const char *name;
  int64_t floor_s;
  bool is_the_servers;
  int64_t least_s;
  int64_t most_s;
  bool is_vouched; /* whatever the kernel says: the floor is to come */
} CLOCKS[] = {
    {"the server's time", Y2026_S, true, Y2026_S, Y2026_S + 3600, true},
    {"the server's, before 1970", -1000, true, -1000, 2600, true},
    {"the server's, of the year 9999", LAST_S - 1, true, LAST_S - 1, LAST_S,
        true},
    {"the server's, and no time at all", INT64_MAX, true, LAST_S, LAST_S, true},
    {"a floor that is far to come", LAST_S - 7200, false, LAST_S - 7200,
        LAST_S - 3600, false},
    {"a floor that is no time", INT64_MAX, false, LAST_S, LAST_S, false},
    {"a floor just below", INT64_MAX - 5, false, LAST_S, LAST_S, false},
};

static void test_clock(void **state) {
  const struct clock_row *row = *state;
  struct clock c;

  in_hand(row->name, row->name, strlen(row->name));
  init_clock(&c);
  expect_true("nothing is the server's yet", !c.is_the_servers);
  if (row->is_the_servers) set_clock(&c, row->floor_s);
  else c.floor_s = row->floor_s;
  int64_t now = now_s(&c);
  expect_true("not before", now >= row->least_s);
  expect_true("nor behind", now <= row->most_s);
  int64_t vouched = vouched_now_s(&c);
  expect_int("vouched for", vouched != HBEAT_NONE, row->is_vouched);
  if (row->is_vouched) expect_true("that is now", vouched >= now);
  c.floor_at_ms -= INT64_C(5000000);
  int64_t later = now_s(&c);
  expect_true("5,000 s later", later >= now + 5000 || later == LAST_S);
  c.floor_s = INT64_MIN;
  expect_true("no floor", now_s(&c) <= LAST_S);
}

/* When the loop looks again at what has a time to run at. */
static const struct wait_row {
  const char *name;
  bool is_vouched;
  int64_t from_now_s; /* of the run_at */
  int64_t most_ms;
} WAITS[] = {
    {"in a second", true, 1, 1000},
    {"in half a minute", true, 30, 30000},
    {"in a minute", true, 60, 60000},
    {"in a year: within a minute, for it may be suspended", true, 31536000,
        60000},
    {"at the end of all time", true, INT64_MAX - Y2026_S - 7200, 60000},
    {"in a second, by nobody's clock", false, 1, 60000},
    {"in a year, by nobody's clock", false, 31536000, 60000},
};

static void test_wait(void **state) {
  const struct wait_row *row = *state;

  in_hand(row->name, row->name, strlen(row->name));
  fresh();
  int64_t before_ms = now_ms();
  set_clock(&d.clock, Y2026_S);
  if (!row->is_vouched) d.clock.is_the_servers = false;
  if (!row->is_vouched) d.clock.floor_s = LAST_S; /* whatever the kernel says */
  d.clock.doubts_are_told = true;
  wake_for_run_at(&d, Y2026_S + row->from_now_s);
  int64_t behind_ms = now_ms();
  expect_true("not later", d.wake_ms <= behind_ms + row->most_ms);
  int64_t passed_ms = behind_ms - before_ms + 1000;
  expect_true("nor at once", d.wake_ms >= before_ms + row->most_ms - passed_ms);
}

/* ---- What comes next ---------------------------------------------------- */

enum { LATER_MS = 60000 };

static const struct next_row {
  const char *name;
  enum job_state job;
  bool timed;
  bool last_went_well;
  bool may_report;
  bool report_waits;
  bool unsaved;
  bool over;  /* no heartbeat is left */
  bool later; /* the next heartbeat is not due */
  bool hook_runs;
  enum remedy remedy;
  bool info_command; /* there is one, which does not start */
  enum program_state info;
  enum exchange_kind kind; /* of the exchange that begins */
  enum job_state job_after;
} NEXT[] = {
    {.name = "a heartbeat that is due", .kind = EXCHANGE_BEAT},
    {.name = "a heartbeat that is not due", .later = true},
    {.name = "no heartbeat left", .over = true},
    {.name = "none left, but a hook runs",
        .over = true,
        .hook_runs = true,
        .kind = EXCHANGE_BEAT},
    {.name = "a hook runs, and it is not due",
        .over = true,
        .hook_runs = true,
        .later = true},
    {.name = "none left, but the last one's token is another one now",
        .over = true,
        .remedy = REMEDY_FILE,
        .kind = EXCHANGE_BEAT},
    {.name = "an info command that cannot start does not stop it",
        .info_command = true,
        .kind = EXCHANGE_BEAT},
    {.name = "an info command that runs is waited for", .info = PROGRAM_RUNS},
    {.name = "one whose time is over is not",
        .info = PROGRAM_IS_ENDED,
        .kind = EXCHANGE_BEAT},

    {.name = "a report, before the heartbeat is due",
        .may_report = true,
        .report_waits = true,
        .later = true,
        .kind = EXCHANGE_REPORT},
    {.name = "a report, behind the last heartbeat",
        .may_report = true,
        .report_waits = true,
        .over = true,
        .kind = EXCHANGE_REPORT},
    {.name = "a heartbeat that is due goes before a report",
        .may_report = true,
        .report_waits = true,
        .kind = EXCHANGE_BEAT},
    {.name = "no report, once one has failed",
        .report_waits = true,
        .later = true},
    {.name = "no report of what is not written down",
        .may_report = true,
        .report_waits = true,
        .unsaved = true,
        .later = true},
    {.name = "no report waits", .may_report = true, .later = true},

    {.name = "a job asks first",
        .job = JOB_ASK_FIRST,
        .last_went_well = true,
        .kind = EXCHANGE_ASK,
        .job_after = JOB_ASKED},
    {.name = "a job asks before a report",
        .job = JOB_ASK_FIRST,
        .last_went_well = true,
        .may_report = true,
        .report_waits = true,
        .later = true,
        .kind = EXCHANGE_ASK,
        .job_after = JOB_ASKED},
    {.name = "a job does not ask behind what failed",
        .job = JOB_ASK_FIRST,
        .later = true,
        .job_after = JOB_ASK_FIRST},
    {.name = "nor while it is not written down",
        .job = JOB_ASK_FIRST,
        .last_went_well = true,
        .unsaved = true,
        .later = true,
        .job_after = JOB_ASK_FIRST},
    {.name = "one with a run_at asks when reports are possible",
        .job = JOB_ASK_FIRST,
        .timed = true,
        .may_report = true,
        .later = true,
        .kind = EXCHANGE_ASK,
        .job_after = JOB_ASKED},
    {.name = "and not before",
        .job = JOB_ASK_FIRST,
        .timed = true,
        .last_went_well = true,
        .later = true,
        .job_after = JOB_ASK_FIRST},
    {.name = "a job that may run asks nothing",
        .job = JOB_READY,
        .last_went_well = true,
        .later = true,
        .job_after = JOB_READY},
    {.name = "nor one that runs",
        .job = JOB_RUNNING,
        .last_went_well = true,
        .later = true,
        .job_after = JOB_RUNNING},
};

static const hbeat_limits no_limits = {.max_age_s = 0, .max_wait_s = 0};

/* Has an empty memory learn of an instruction, LCUID-LDRI-1. */
static void learn_instruction(const char *name) {
  hbeat_request beat = {.call = HBEAT_BEAT};
  hbeat_reply reply = {.clock_offset_s = HBEAT_NONE};

  reply.instruction.name = name;
  reply.instruction.lcuid = "LCUID-LDRI-1";
  reply.instruction.run_at_s = HBEAT_NONE;
  reply.instruction.created_at_s = HBEAT_NONE;
  hbeat_memory_learn(&d.memory, &beat, &reply, HBEAT_OK);
}

static void test_next(void **state) {
  const struct next_row *row = *state;
  hbeat_instruction i;

  in_hand(row->name, row->name, strlen(row->name));
  fresh();
  hbeat_memory_load(&d.memory, NULL, 0, NULL);
  if (row->report_waits) {
    learn_instruction("reload");
    hbeat_memory_due(&d.memory, 0, &no_limits, &i);
    hbeat_memory_end(&d.memory, "LCUID-LDRI-1", HBEAT_ACKNOWLEDGE, NULL, NULL);
  }
  d.memory.changed = row->unsaved;
  d.job.state = row->job;
  d.job.timed = row->timed;
  strcpy(d.job.lcuid, "LCUID-LDRI-2");
  d.beats.last_went_well = row->last_went_well;
  d.beats.may_report = row->may_report;
  d.beats.beats_left = !row->over;
  d.beats.next_ms = row->later ? now_ms() + LATER_MS : 0;
  d.options.info_command = row->info_command ? "/nowhere/to/be/found" : NULL;
  d.hook.state = row->hook_runs ? PROGRAM_RUNS : PROGRAM_NONE;
  d.beats.remedy = row->remedy;
  d.info_program.state = row->info;
  d.info.complete = !row->info_command;
  if (row->info_command) d.info_program.state = PROGRAM_IS_ENDED;
  next_exchange(&d);
  expect_int("the exchange", d.exchange.kind, row->kind);
  expect_int("the job", d.job.state, row->job_after);
  if (row->kind == EXCHANGE_ASK)
    expect_text("asks for", d.exchange.request.instruction, "LCUID-LDRI-2");
  if (row->kind == EXCHANGE_REPORT)
    expect_text("reports", d.exchange.request.instruction, "LCUID-LDRI-1");
  bool goes_on = !row->over || row->hook_runs;
  if (row->later && row->kind == EXCHANGE_NONE && goes_on)
    expect_int("it wakes", d.wake_ms, d.beats.next_ms);
}

/* SIGUSR1. */
static const struct hasten_row {
  const char *name;
  int64_t begun_ms; /* from now, as the others */
  int64_t next_ms;
  int64_t due_ms;
} HASTENS[] = {
    {"long ago: now", -60000, 60000, 0},
    {"a second ago: now", -1000, 60000, 0},
    {"just now: a second from then", 0, 60000, 1000},
    {"half a second ago", -500, 60000, 500},
    {"due already", -60000, -5, -5},
    {"due sooner than a second from the last", 0, 300, 300},
};

static void test_hasten(void **state) {
  const struct hasten_row *row = *state;

  in_hand(row->name, row->name, strlen(row->name));
  fresh();
  int64_t before_ms = now_ms();
  d.beats.begun_ms = before_ms + row->begun_ms;
  d.beats.next_ms = before_ms + row->next_ms;
  hasten_beat(&d);
  int64_t passed_ms = now_ms() - before_ms;
  int64_t due_ms = d.beats.next_ms - before_ms;
  expect_true("not before", due_ms >= row->due_ms);
  expect_true("nor later", due_ms <= row->due_ms + passed_ms);
}

/* ---- The facts of a heartbeat ------------------------------------------- */

static void test_facts(void **state) {
  (void)state;
  in_hand("facts", "", 0);
  fresh();
  d.options.lightning_version = "4.2.1";
  d.options.info[0] = "first";
  d.info.line_count = 1;
  strcpy(d.info.lines[0], "printed");
  remember_error(&d, "timeout: none");
  hbeat_request beat = make_beat(&d);
  expect_int("three facts", (int64_t)beat.device_info_count, 3);
  expect_text("of the command line", beat.device_info[0], "first");
  expect_text("of the info command", beat.device_info[1], "printed");
  expect_text("an error", beat.device_info[2], "last error: timeout: none");
  beat = make_beat(&d);
  expect_int("an error is told once", (int64_t)beat.device_info_count, 2);
}

/* ---- The job in hand ---------------------------------------------------- */

static const struct asked_row {
  const char *name;
  bool accepted;
  bool settled;
  enum job_state after;
} ASKED[] = {
    {"accepted: it may run", true, true, JOB_READY},
    {"refused for good: it is over", false, true, JOB_NONE},
    {"no answer: it is asked again", false, false, JOB_ASK_FIRST},
};

static void test_asked(void **state) {
  const struct asked_row *row = *state;

  in_hand(row->name, row->name, strlen(row->name));
  fresh();
  d.job.state = JOB_ASKED;
  end_asking(&d, row->accepted, row->settled);
  expect_int("its state", d.job.state, row->after);
  expect_int("acknowledged", d.job.acknowledged, row->accepted);
}

/* A folder of hooks: play, and one that nobody is to run, .hidden. */
static char hooks[] = "/tmp/lucit-heartbeat-XXXXXX";
static char hidden[sizeof hooks + 8];
static char play[sizeof hooks + 8];

static int make_hook(const char *path) {
  FILE *f = fopen(path, "w");
  if (!f || fputs("#!/bin/sh\n", f) < 0 || fclose(f) != 0) return -1;
  return chmod(path, 0700);
}

static int make_hooks(void **state) {
  (void)state;
  if (!mkdtemp(hooks) || !mkdtemp(folder)) return -1;
  snprintf(hidden, sizeof hidden, "%s/.hidden", hooks);
  snprintf(play, sizeof play, "%s/play", hooks);
  return make_hook(hidden) != 0 || make_hook(play) != 0;
}

static int remove_hooks(void **state) {
  (void)state;
  return unlink(hidden) != 0 || unlink(play) != 0 || rmdir(hooks) != 0 ||
      rmdir(folder) != 0;
}

/* What is told of the hooks at the start. */
static const struct hooks_row {
  const char *name;
  const char *hooks; /* "": the folder above */
  const char *ack_first;
  const char *says; /* NULL: nothing */
  bool is_error;
} HOOKS[] = {
    {.name = "no hooks"},
    {.name = "a folder of hooks", .hooks = ""},
    {.name = "--ack-first with its hook", .hooks = "", .ack_first = "play"},
    {.name = "--ack-first without its hook",
        .hooks = "",
        .ack_first = "reboot",
        .says = "--ack-first reboot: no such file: /tmp/"},
    {.name = "--ack-first of a name that is none",
        .hooks = "",
        .ack_first = ".hidden",
        .says = "--ack-first .hidden: its name cannot be that of a file: /"},
    {.name = "--ack-first without hooks",
        .ack_first = "play",
        .says = "--ack-first does nothing without --hooks\n"},
    {.name = "a folder that is not there",
        .hooks = "/nowhere/at/all",
        .says = "--hooks /nowhere/at/all: No such file or directory: ",
        .is_error = true},
    {.name = "a folder that is none",
        .hooks = "/bin/sh",
        .says = "--hooks /bin/sh: Not a directory: ",
        .is_error = true},
};

static void look_at_hooks(const void *from) {
  const struct hooks_row *row = from;

  fresh();
  if (row->hooks) d.options.hooks = *row->hooks == '\0' ? hooks : row->hooks;
  d.options.ack_first[0] = row->ack_first;
  check_hooks(&d);
  if ((d.log.last_error[0] != '\0') != row->is_error) _exit(1);
}

static void test_hooks(void **state) {
  const struct hooks_row *row = *state;
  struct end end = end_of(look_at_hooks, row);

  in_hand(row->name, end.said, strlen(end.said));
  expect_int("whether it is an error", end.status, 0);
  if (row->says) expect_true("what it says", strstr(end.said, row->says));
  else expect_text("what it says", end.said, "");
}

/* What an instruction becomes. */
static const struct job_row {
  const char *name;
  bool no_hooks;
  bool before_first_beat;
  bool unsaved;
  bool unwritable; /* the state */
  bool ack_first;
  const char *instruction;
  enum job_state before; /* JOB_NONE: an instruction waits in the memory */
  enum job_state after;
} JOBS[] = {
    {.name = "an instruction without a hook ends", .instruction = "reload"},
    {.name = "a name that is no file's ends", .instruction = "../reload"},
    {.name = "a hidden file's, though it may be run", .instruction = ".hidden"},
    {.name = "one that asks first waits",
        .instruction = "reload",
        .ack_first = true,
        .after = JOB_ASK_FIRST},
    {.name = "without hooks nothing is taken",
        .instruction = "reload",
        .no_hooks = true},
    {.name = "nor before the first heartbeat",
        .instruction = "reload",
        .before_first_beat = true},
    {.name = "nor what cannot be written down",
        .instruction = "reload",
        .unwritable = true},
    {.name = "nor what asks first and cannot be written down",
        .instruction = "reload",
        .unwritable = true,
        .ack_first = true},
    {.name = "what was asked for waits",
        .before = JOB_ASKED,
        .after = JOB_ASKED},
    {.name = "what runs goes on", .before = JOB_RUNNING, .after = JOB_RUNNING},
    {.name = "what is not written down does not run",
        .before = JOB_READY,
        .unsaved = true,
        .after = JOB_READY},
};

static void test_job(void **state) {
  const struct job_row *row = *state;
  bool taken = !row->no_hooks && !row->before_first_beat && !row->unwritable;
  hbeat_instruction i;
  char path[VALUE_SIZE];

  in_hand(row->name, row->name, strlen(row->name));
  fresh();
  d.options.hooks = row->no_hooks ? NULL : hooks;
  d.options.ack_first[0] = row->ack_first ? "reload" : NULL;
  in_folder("memory", path);
  use_state(row->unwritable ? "/nowhere/at/all" : path);
  d.beats.first_beat_ended = !row->before_first_beat;
  hbeat_memory_load(&d.memory, NULL, 0, NULL);
  if (row->before == JOB_NONE) learn_instruction(row->instruction);
  d.job.state = row->before;
  d.job.until_ms = INT64_MAX;
  d.memory.changed = row->unsaved;
  next_job(&d);
  expect_int("its state", d.job.state, row->after);
  close_state();
  if (row->before != JOB_NONE) return;
  bool waits = hbeat_memory_due(&d.memory, 0, &no_limits, &i);
  expect_int("it still waits in the memory", waits, !taken);
}

int main(void) {
  cases_add_rows(test_line, LINES);
  cases_add("a list has an end", test_full_list, NULL);
  cases_add_rows(test_config, CONFIGS);
  cases_add_rows(test_time, TIMES);
  cases_add_rows(test_whole, WHOLES);
  cases_add_rows(test_written, WRITTEN);
  cases_add_rows(test_number, NUMBERS);
  cases_add_rows(test_port, PORTS);
  cases_add_rows(test_quote, QUOTES);
  cases_add_rows(test_log, LOGS);
  cases_add_rows(test_hidden, HIDDEN);
  cases_add_rows(test_full, FULL);
  cases_add("an end", test_die, NULL);
  cases_add("the last error", test_last_error, NULL);
  cases_add_rows(test_secret, SECRETS);
  cases_add_rows(test_place, PLACES);
  cases_add("a long link", test_long_place, NULL);
  cases_add_rows(test_writer, WRITERS);
  cases_add_rows(test_state_time, STATE_TIMES);
  cases_add("the limit of a program", test_limit, NULL);
  cases_add_rows(test_seeds, SEED_STEPS);
  cases_add_rows(test_clock, CLOCKS);
  cases_add_rows(test_wait, WAITS);
  cases_add_rows(test_end, ENDS);
  cases_add_rows(test_tail, TAILS);
  cases_add("a child that was left", test_reaped, NULL);
  cases_add_rows(test_next, NEXT);
  cases_add_rows(test_hasten, HASTENS);
  cases_add("the facts of a heartbeat", test_facts, NULL);
  cases_add_rows(test_asked, ASKED);
  cases_add_rows(test_hooks, HOOKS);
  cases_add_rows(test_job, JOBS);
  return cmocka_run_group_tests_name(
      "command", cases_tests, make_hooks, remove_hooks);
}
