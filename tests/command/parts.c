/*
 * The parts of lucit-heartbeat that are no program yet: its options, how it
 * quotes, what comes next, and the job in hand.  All but main.c is linked; no
 * heartbeat is sent, since the client is never prepared.
 */
#include "tests/unit/cases.h"

#include "examples/lucit-heartbeat/daemon.h"

#include <errno.h>
#include <sys/stat.h>
#include <sys/wait.h>

static struct daemon d;

/* A daemon that has been set up, and knows nothing. */
static void fresh(void) {
  memset(&d, 0, sizeof d);
  d.state_lock = -1;
  init_jobs(&d);
  init_beats(&d);
  d.wake_ms = INT64_MAX;
}

/* ---- What ends the process ---------------------------------------------- */

/* What a function says before it ends the process, in a process of its own; ""
 * where it returns. */
static const char *last_words(void (*run)(const void *row), const void *row) {
  static char said[512];
  int ends[2];
  int status = 0;
  ssize_t n;

  if (pipe(ends) != 0) abort();
  pid_t pid = fork();
  if (pid == 0) {
    dup2(ends[1], STDERR_FILENO);
    close(ends[0]);
    run(row);
    _exit(0);
  }
  close(ends[1]);
  n = read(ends[0], said, sizeof said - 1);
  said[n > 0 ? n : 0] = '\0';
  close(ends[0]);
  if (waitpid(pid, &status, 0) != pid) abort();
  expect_true("it exits", WIFEXITED(status));
  expect_int("its status", WEXITSTATUS(status), *said ? EXIT_USAGE : 0);
  return said;
}

static void expect_words(
    void (*run)(const void *row), const void *row, const char *words) {
  const char *said = last_words(run, row);

  if (!words) expect_text("what it says", said, "");
  else expect_true(said, strstr(said, words) != NULL);
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
    {.name = "a value behind an =",
        .words = {"--device=a"},
        .device = "a",
        .shown = "--device"},
    {.name = "a value in the next word",
        .words = {"--device", "a"},
        .device = "a"},
    {.name = "a value with an = in it",
        .words = {"--device=a=b"},
        .device = "a=b",
        .shown = "--device"},
    {.name = "a value that looks like an option",
        .words = {"--device", "--app"},
        .device = "--app"},
    {.name = "an empty value",
        .words = {"--device="},
        .device = "",
        .shown = "--device"},
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
        .shown = "--proxy"},
    {.name = "an unknown option",
        .words = {"--devise", "a"},
        .error = "--devise\n"},
    {.name = "a word that is no option, which may be a secret",
        .words = {"secret"},
        .error = "a word\n"},
    {.name = "no value",
        .words = {"--device"},
        .error = "a value is missing: --device"},
    {.name = "a value for a switch",
        .words = {"--json=yes"},
        .error = "takes no value: --json"},
    {.name = "a value of a kilobyte",
        .words = {"--device", A_KILOBYTE},
        .error = "too long: --device"},
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
  if (row->error) return;
  parse_line(row);
  expect_text("the device", d.options.device, row->device);
  expect_true("the switch", (d.options.json != NULL) == row->json);
  expect_text("the proxy", d.proxy_url, proxy_url);
  for (size_t i = 0; i < COUNT(row->info); i++)
    expect_text("a fact", d.options.info[i], row->info[i]);
  if (shown) expect_text("the word", line_argv[1], shown);
  for (int i = 1; line_argv[i]; i++) {
    const char *word = line_argv[i];
    const char *behind = word + strlen(word) + 1; /* the = */
    expect_true("no password", !strstr(word, "password"));
    if (row->proxy_url) expect_true("none behind", !strstr(behind, "password"));
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
  expect_words(repeat_info, &too_many, "too long: --info");
}

/* ---- Numbers ------------------------------------------------------------ */

static const struct number_row {
  const char *name;
  const char *text;
  double least;
  double most;
  double number; /* -1: it ends the process */
} NUMBERS[] = {
    {"a number", "12", 0, 100, 12},
    {"none: the usual", NULL, 0, 100, 7},
    {"a fraction", "0.5", 0, 100, 0.5},
    {"the least", "1", 1, 100, 1},
    {"the most", "100", 0, 100, 100},
    {"a fraction of what is whole", "1.5", 1, 100, -1},
    {"less than the least", "0", 1, 100, -1},
    {"more than the most", "101", 0, 100, -1},
    {"nothing", "", 0, 100, -1},
    {"a word", "ten", 0, 100, -1},
    {"a unit", "5s", 0, 100, -1},
    {"a sign", "+5", 0, 100, -1},
    {"a negative number", "-5", 0, 100, -1},
    {"a space in front", " 5", 0, 100, -1},
    {"an exponent", "1e1", 0, 100, -1},
    {"hexadecimal", "0x10", 0, 100, -1},
    {"no number", "nan", 0, 100, -1},
    {"no end", "inf", 0, 100, -1},
    {"two points", "1.2.3", 0, 100, -1},
    {"a point alone", ".", 0, 100, -1},
};

static void read_number(const void *from) {
  const struct number_row *row = from;

  fresh();
  option_number(&d, row->text, "--n", 7, row->least, row->most);
}

static void test_number(void **state) {
  const struct number_row *row = *state;
  const char *error = row->number < 0 ? "out of range: --n" : NULL;

  in_hand(row->name, row->text, row->text ? strlen(row->text) : 0);
  expect_words(read_number, row, error);
  if (error) return;
  fresh();
  double n = option_number(&d, row->text, "--n", 7, row->least, row->most);
  expect_int("its thousandth part", (int64_t)(n * 1000),
      (int64_t)(row->number * 1000));
}

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
  bool over;         /* no heartbeat is left */
  bool later;        /* the next heartbeat is not due */
  bool info_command; /* there is one, which does not start */
  enum program_state info;
  enum exchange_kind kind; /* of the exchange that begins */
  enum job_state job_after;
} NEXT[] = {
    {.name = "a heartbeat that is due", .kind = EXCHANGE_BEAT},
    {.name = "a heartbeat that is not due", .later = true},
    {.name = "no heartbeat left", .over = true},
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

/* Has an empty memory learn of an instruction, LCUID-LDRI-1. */
static void learn_instruction(const char *name) {
  hbeat_request beat = {.call = HBEAT_BEAT};
  hbeat_reply reply = {.clock_offset_s = HBEAT_NONE};

  reply.instruction.name = name;
  reply.instruction.lcuid = "LCUID-LDRI-1";
  reply.instruction.run_at_s = HBEAT_NONE;
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
    hbeat_memory_due(&d.memory, 0, 0, &i);
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
  if (row->later && row->kind == EXCHANGE_NONE && !row->over)
    expect_int("it wakes", d.wake_ms, d.beats.next_ms);
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
  strcpy(d.log.last_error, "timeout: none");
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

/* A folder of hooks, with one that nobody is to run: .hidden. */
static char hooks[] = "/tmp/lucit-heartbeat-XXXXXX";
static char hidden[sizeof hooks + 8];

static int make_hooks(void **state) {
  (void)state;
  if (!mkdtemp(hooks)) return -1;
  snprintf(hidden, sizeof hidden, "%s/.hidden", hooks);
  FILE *f = fopen(hidden, "w");
  if (!f || fputs("#!/bin/sh\n", f) < 0 || fclose(f) != 0) return -1;
  return chmod(hidden, 0700);
}

static int remove_hooks(void **state) {
  (void)state;
  return unlink(hidden) != 0 || rmdir(hooks) != 0;
}

/* What an instruction becomes; no state is written, since there is no such
 * path. */
static const struct job_row {
  const char *name;
  bool no_hooks;
  bool before_first_beat;
  bool unsaved;
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
  bool taken = !row->no_hooks && !row->before_first_beat;
  hbeat_instruction i;

  in_hand(row->name, row->name, strlen(row->name));
  fresh();
  d.options.hooks = row->no_hooks ? NULL : hooks;
  d.options.ack_first[0] = row->ack_first ? "reload" : NULL;
  d.options.state = "/nowhere/at/all";
  d.beats.first_beat_ended = !row->before_first_beat;
  hbeat_memory_load(&d.memory, NULL, 0, NULL);
  if (row->before == JOB_NONE) learn_instruction(row->instruction);
  d.job.state = row->before;
  d.job.until_ms = INT64_MAX;
  d.memory.changed = row->unsaved;
  if (row->before == JOB_NONE && taken && !row->ack_first) {
    /* The state cannot be written there, so that nothing runs: */
    next_job(&d);
    expect_int("it is in hand", d.job.state, JOB_READY);
    expect_int("nothing is written", d.memory.changed, 1);
    d.memory.changed = 0; /* as if it were */
  }
  next_job(&d);
  expect_int("its state", d.job.state, row->after);
  if (row->before != JOB_NONE) return;
  bool waits = hbeat_memory_due(&d.memory, 0, 0, &i);
  expect_int("it still waits in the memory", waits, !taken);
}

int main(void) {
  cases_add_rows(test_line, LINES);
  cases_add("a list has an end", test_full_list, NULL);
  cases_add_rows(test_number, NUMBERS);
  cases_add_rows(test_port, PORTS);
  cases_add_rows(test_quote, QUOTES);
  cases_add_rows(test_next, NEXT);
  cases_add("the facts of a heartbeat", test_facts, NULL);
  cases_add_rows(test_asked, ASKED);
  cases_add_rows(test_job, JOBS);
  return cmocka_run_group_tests_name(
      "command", cases_tests, make_hooks, remove_hooks);
}
