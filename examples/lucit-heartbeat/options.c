/* The options, from the command line and from the file of --config.
 *
 * One table has all options: what kind each is, where its value is kept, which
 * numbers it takes, and what the help says of it.  Numbers and times are read
 * here; configure() in main.c makes a configuration of the rest.
 *
 * The file comes first, wherever --config stands, and the command line is taken
 * over it: so its values count, and its texts come behind the file's.  An
 * option that came from the file keeps its line, which an error names. */
#include "daemon.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define API "https://api.lucit.app"
#define ROOTS "/etc/ssl/certs/ca-certificates.crt" /* Debian's */

enum option_kind {
  ACTION,   /* takes no value, and says what to do: it is in no file */
  SOURCE,   /* takes a file that is read, and is in none itself */
  SWITCH,   /* takes no value */
  ONE,      /* takes a value; the last one counts */
  MANY,     /* takes a value, and may be repeated */
  SECRET,   /* takes a value that may hold a password */
  NUMBER,   /* takes a whole number; the last one counts */
  DURATION, /* takes a time, kept in milliseconds; the last one counts */
  LIMIT     /* the same, or 0, which means no limit */
};

/* The numbers that an option takes; those of a DURATION or LIMIT are in
 * milliseconds. */
struct range {
  int64_t unit;  /* of a time that is given without one */
  int64_t least; /* a LIMIT may be 0, too */
  int64_t most;
  int64_t usual; /* where the option is not given */
};

struct option {
  const char *group; /* a heading of the help, above it; NULL: none */
  const char *name;
  enum option_kind kind;
  size_t offset;        /* in struct options */
  const char *argument; /* for the help */
  const char *help;     /* lines of at most 51 characters; NULL: not shown */
  struct range range;   /* of a NUMBER, DURATION or LIMIT */
};

#define AT(member) offsetof(struct options, member)
#define NO_RANGE                                                               \
  { 0, 0, 0, 0 }

/* In the order of the help.  To the help of a DURATION or LIMIT the default is
 * added: "default: 30s".
 *
 * A time without a unit is in seconds, as everywhere, but for --timeout: that
 * was in milliseconds before there were units, and scripts rely on it. */

static const struct option table[] = {
    {"Configuration", "--config", SOURCE, AT(config), "FILE",
        "has options, one a line, without their dashes, and\n"
        "is read at the start only; those of the command\n"
        "line count before them",
        NO_RANGE},

    {"Identity", "--device", ONE, AT(device), "LCUID", "the device; required",
        NO_RANGE},
    {NULL, "--app", ONE, AT(app), "LCUID", "the app; required", NO_RANGE},
    {NULL, "--lightning-version", ONE, AT(lightning_version), "V",
        "the version of the player's software; required", NO_RANGE},
    {NULL, "--info", MANY, AT(info), "TEXT",
        "a line of device_info; may be repeated", NO_RANGE},
    {NULL, "--info-command", ONE, AT(info_command), "PATH",
        "a program that prints more such lines, within 5 s", NO_RANGE},

    {"Credentials", "--token-file", ONE, AT(token_file), "FILE",
        "holds the Bearer token; default: $LUCIT_TOKEN", NO_RANGE},
    {NULL, "--secret-file", ONE, AT(secret_file), "FILE",
        "two lines, an API token and its secret: logs in\n"
        "where the Bearer token is missing or refused",
        NO_RANGE},

    {"Network", "--url", ONE, AT(url), "https://HOST[:PORT]",
        "the server; default: " API, NO_RANGE},
    {NULL, "--connect", ONE, AT(connect), "ADDRESS[:PORT]",
        "a numeric address to connect to, instead of\n"
        "looking up HOST",
        NO_RANGE},
    {NULL, "--proxy", SECRET, AT(proxy), "URL",
        "http://[USER:PASSWORD@]HOST[:PORT]; default:\n"
        "$https_proxy, unless $no_proxy names the server",
        NO_RANGE},
    {NULL, "--ca", ONE, AT(ca), "FILE",
        "trusted roots in PEM; default: the system's,\n" ROOTS, NO_RANGE},
    {NULL, "--session", ONE, AT(session), "FILE",
        "keeps the TLS session, a secret, for the next run", NO_RANGE},
    {NULL, "--timeout", DURATION, AT(timeout), "TIME",
        "for a whole heartbeat; ",
        {.unit = MILLISECOND,
            .least = MILLISECOND,
            .most = DAY,
            .usual = 30 * SECOND}},

    {"Schedule", "--count", NUMBER, AT(count), "N",
        "how many heartbeats; default: 1, or no end with\n"
        "--interval or --hooks",
        {.unit = 1, .least = 1, .most = 999999999, .usual = 1}},
    {NULL, "--interval", DURATION, AT(interval), "TIME",
        "between two heartbeats, 100ms or more;\n",
        {.unit = SECOND,
            .least = 100 * MILLISECOND,
            .most = DAY,
            .usual = MINUTE}},

    {"Instructions", "--hooks", ONE, AT(hooks), "DIR",
        "instruction NAME runs the program DIR/NAME", NO_RANGE},
    {NULL, "--state", ONE, AT(state), "FILE",
        "remembers instructions and reports; required for\n--hooks", NO_RANGE},
    {NULL, "--hook-timeout", LIMIT, AT(hook_timeout), "TIME",
        "how long a hook may run; ",
        {.unit = SECOND,
            .least = MILLISECOND,
            .most = DAY,
            .usual = 5 * MINUTE}},
    {NULL, "--max-age", LIMIT, AT(max_age), "TIME",
        "an instruction that is more overdue does not run;\n",
        {.unit = SECOND,
            .least = MILLISECOND,
            .most = INT64_C(10000) * DAY,
            .usual = HOUR}},
    {NULL, "--max-wait", LIMIT, AT(max_wait), "TIME",
        "nor does one without a time to run at that was\n"
        "made longer ago; ",
        {.unit = SECOND,
            .least = MILLISECOND,
            .most = INT64_C(10000) * DAY,
            .usual = DAY}},
    {NULL, "--ack-first", MANY, AT(ack_first), "NAME",
        "acknowledges instruction NAME before it runs, as\n"
        "for a reboot; may be repeated",
        NO_RANGE},

    {"Output", "--json", SWITCH, AT(json), "",
        "a line of JSON for each heartbeat and each hook", NO_RANGE},
    {NULL, "--status-file", ONE, AT(status_file), "FILE",
        "how it goes, for whoever watches: a line of JSON,\n"
        "replaced at each change; best in /run",
        NO_RANGE},

    {"Instead of heartbeats", "--check", ACTION, AT(check), "",
        "looks at all that is needed, and says what is\n"
        "wrong; sends nothing",
        NO_RANGE},
    {NULL, "--dry-run", ACTION, AT(dry_run), "",
        "prints the request without the token; sends nothing", NO_RANGE},
    {NULL, "--decode", SOURCE, AT(decode), "FILE",
        "decodes a reply's body (-: standard input)", NO_RANGE},
    {NULL, "--version", ACTION, AT(version), "", "prints the version",
        NO_RANGE},
    {NULL, "--help", ACTION, AT(help), "", "prints this; also -h", NO_RANGE},
    {NULL, "-h", ACTION, AT(help), "", NULL, NO_RANGE},
};

enum { OPTIONS = sizeof table / sizeof *table };

typedef char each_has_a_line[(int)OPTIONS <= (int)OPTIONS_MAX ? 1 : -1];

/* The option of a name of this size, or NULL. */
static const struct option *find_option(const char *name, size_t size) {
  for (size_t i = 0; i < OPTIONS; i++) {
    const char *other = table[i].name;
    if (strlen(other) == size && memcmp(name, other, size) == 0)
      return &table[i];
  }
  return NULL;
}

/* The same of a name without its dashes, as it stands in a file. */
static const struct option *find_bare_option(const char *name) {
  for (size_t i = 0; i < OPTIONS; i++) {
    const char *other = table[i].name;
    if (strncmp(other, "--", 2) == 0 && strcmp(name, other + 2) == 0)
      return &table[i];
  }
  return NULL;
}

static bool takes_no_value(const struct option *option) {
  return option->kind == SWITCH || option->kind == ACTION;
}

/* Whether it may stand in a file. */
static bool is_lasting(const struct option *option) {
  return option->kind != ACTION && option->kind != SOURCE;
}

/* Whether its value is kept as a struct number. */
static bool is_numeric(const struct option *option) {
  return option->kind == NUMBER || option->kind == DURATION ||
      option->kind == LIMIT;
}

/* ---- Help -------------------------------------------------------------- */

/* The lines of an option's help, with the default where that is a time. */
static const char *write_help(
    const struct option *option, char *out, size_t size) {
  const char *no_limit = option->kind == LIMIT ? "; 0: no limit" : "";
  char usual[TIME_SIZE];

  if (option->kind != DURATION && option->kind != LIMIT) return option->help;
  snprintf(out, size, "%sdefault: %s%s", option->help,
      write_time(option->range.usual, usual), no_limit);
  return out;
}

/* A name and its argument in a column, and beside it the lines of the help. */
static void print_option(const struct option *option) {
  enum { COLUMN = 29, HELP_SIZE = 200 };
  char help[HELP_SIZE];
  const char *line = write_help(option, help, sizeof help);
  int width = printf("  %s %s", option->name, option->argument);

  if (width >= COLUMN) {
    putchar('\n');
    width = 0;
  }
  for (;;) {
    int size = (int)strcspn(line, "\n");
    printf("%*s%.*s\n", COLUMN - width, "", size, line);
    line += size;
    if (*line == '\0') return;
    line++;
    width = 0;
  }
}

/* What --help prints; nothing else is to be done then. */
int print_help(void) {
  puts("usage: lucit-heartbeat --device LCUID --app LCUID"
       " --lightning-version V ...");
  for (size_t i = 0; i < OPTIONS; i++) {
    if (table[i].group) printf("\n%s:\n", table[i].group);
    if (table[i].help) print_option(&table[i]);
  }
  puts("\nTIME is a number with ms, s, m, h or d: 500ms, 1.5s, 5m.  Without a"
       " unit it is\nin seconds, for --timeout in milliseconds.");
  puts("\nExit status: 0 all went well, 1 a heartbeat failed, 2 wrong options,"
       " 3 a file is\nmissing, cannot be used, or is locked by another process."
       "  Of --check: 0 or 2.");
  return EXIT_SUCCESS;
}

/* ---- Values that are refused ------------------------------------------- */

/* Where the value of a numeric option is kept. */
static struct number *number_of(
    struct options *o, const struct option *option) {
  return (struct number *)(void *)((char *)o + option->offset);
}

/* Where the value of any other option is kept, or the first of several. */
static const char **text_of(struct options *o, const struct option *option) {
  return (const char **)(void *)((char *)o + option->offset);
}

/* The line of the file that an option came from; 0: it did not. */
static size_t *line_of(struct options *o, const struct option *option) {
  return &o->config_lines[option - table];
}

/* An option as it is called where it came from. */
static const char *bare_name(struct options *o, const struct option *option) {
  return *line_of(o, option) == 0 ? option->name : option->name + 2;
}

enum { PLACE_SIZE = VALUE_SIZE + 64 };

/* Writes where an option came from, and its name there: "--count", or
 * "/etc/kiosk.conf:7: count"; returns `out`. */
static const char *write_place(
    struct options *o, const struct option *option, char out[PLACE_SIZE]) {
  const char *name = bare_name(o, option);
  size_t line = *line_of(o, option);

  if (line == 0) snprintf(out, PLACE_SIZE, "%s", name);
  else snprintf(out, PLACE_SIZE, "%s:%zu: %s", o->config, line, name);
  return out;
}

/* The value that was given for an option, as far as a log may show it: NULL
 * where there is none, or where it may hold a password. */
static const char *shown_value(struct options *o, const struct option *option) {
  bool is_text = option->kind == ONE || option->kind == SOURCE;
  const char *value = NULL;

  if (is_numeric(option)) value = number_of(o, option)->text;
  else if (is_text) value = *text_of(o, option);
  return value && !strchr(value, '@') ? value : NULL;
}

/* "--count 0: why"; without the value where that is not shown.  What is no
 * option is a variable. */
void refuse_value(struct daemon *d, const char *name, const char *why) {
  const struct option *option = find_option(name, strlen(name));
  char place[PLACE_SIZE];

  if (!option) die(d, EXIT_USAGE, "%s: %s", name, why);
  const char *value = shown_value(&d->options, option);
  write_place(&d->options, option, place);
  if (!value) die(d, EXIT_USAGE, "%s: %s", place, why);
  if (*value == '\0') value = "\"\"";
  die(d, EXIT_USAGE, "%s %s: %s", place, value, why);
}

/* What the library refuses: the member that it names, and the option that the
 * value came from. */
static const struct refusal {
  const char *member;
  const char *option;
  const char *why;
} refusals[] = {
    {"device: ", "--device", "it must consist of letters, digits and -._~"},
    {"app: ", "--app", "it must be visible ASCII, without a space"},
    {"host: ", "--url",
        "it must be https://HOST[:PORT], where HOST is a DNS name and nothing"
        " follows; a numeric address goes into --connect"},
    {"address: ", "--connect",
        "it must be a numeric address: 192.0.2.1, 192.0.2.1:443, 2001:db8::1"
        " or [2001:db8::1]:443"},
    {"proxy: ", "--proxy",
        "HOST must be a name or a numeric address, and nothing follows it"},
    {"proxy_login: ", "--proxy", "USER:PASSWORD must have 255 bytes at most"},
};

/* The proxy may come from the environment, too.  What is not in the table does
 * not come from the command line: then the library's own words have to do. */
void refuse_argument(struct daemon *d, const char *reason) {
  for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
    const char *option = refusals[i].option;
    if (!strstr(reason, refusals[i].member)) continue;
    if (strcmp(option, "--proxy") == 0 && !d->options.proxy)
      option = "https_proxy";
    refuse_value(d, option, refusals[i].why);
  }
  die(d, EXIT_USAGE, "%s", reason);
}

/* A number that cannot be read, or is out of the option's range. */
static void refuse_number(struct daemon *d, const struct option *option) {
  const struct range *range = &option->range;
  const char *no_limit = option->kind == LIMIT ? ", or 0 for no limit" : "";
  char why[160];

  if (option->kind == NUMBER) {
    snprintf(why, sizeof why,
        "it must be a whole number from %" PRId64 " to %" PRId64, range->least,
        range->most);
  } else {
    char least[TIME_SIZE];
    char most[TIME_SIZE];
    write_time(range->least, least);
    write_time(range->most, most);
    snprintf(why, sizeof why,
        "it must be a time from %s to %s%s; times are"
        " written as 500ms, 1.5s or 5m",
        least, most, no_limit);
  }
  refuse_value(d, option->name, why);
}

/* Whether a text looks like the name of an option, and may be shown: any other
 * may be a secret that stands in the wrong place. */
static bool is_name(const char *text, size_t size) {
  static const char letters[] = "-abcdefghijklmnopqrstuvwxyz";
  enum { SHOWN_MAX = 32 };

  return size <= SHOWN_MAX && strspn(text, letters) >= size;
}

/* A word that is no option.  `last` is the option before it, or NULL. */
static void refuse_word(
    struct daemon *d, const char *word, int place, const struct option *last) {
  size_t size = strcspn(word, "=");
  char hint[80] = "see --help";

  if (*word == '-' && is_name(word, size))
    die(d, EXIT_USAGE, "unknown option %.*s: see --help", (int)size, word);
  if (last && takes_no_value(last))
    snprintf(hint, sizeof hint, "%s takes no value", last->name);
  else if (last)
    snprintf(hint, sizeof hint, "%s takes one %s%s", last->name, last->argument,
        last->kind == MANY ? ", and may be repeated" : "");
  die(d, EXIT_USAGE, "word %d of the command line is not an option: %s", place,
      hint);
}

/* A line of a file that does not begin with an option. */
static void refuse_name(struct daemon *d, const char *name, size_t line) {
  const char *path = d->options.config;
  size_t size = strlen(name);

  if (find_option(name, size))
    die(d, EXIT_USAGE, "%s:%zu: %s stands without its dashes here", path, line,
        name);
  if (is_name(name, size))
    die(d, EXIT_USAGE, "%s:%zu: there is no option \"%s\"", path, line, name);
  die(d, EXIT_USAGE,
      "%s:%zu: its first word is no option: a line is NAME VALUE", path, line);
}

/* ---- Values that are taken --------------------------------------------- */

/* Keeps a number, or ends the process where it is out of the option's range. */
static void take_number(
    struct daemon *d, const struct option *option, const char *text) {
  struct number *number = number_of(&d->options, option);
  const struct range *range = &option->range;
  int64_t value = 0;
  bool good;

  number->text = text;
  if (option->kind == NUMBER) good = read_whole(text, &value);
  else good = read_time(text, range->unit, &value);
  if (!good) refuse_number(d, option);
  bool no_limit = option->kind == LIMIT && value == 0;
  bool in_range = value >= range->least && value <= range->most;
  if (!no_limit && !in_range) refuse_number(d, option);
  number->value = value;
}

/* Keeps one more text of an option that may be repeated. */
static void add_text(
    struct daemon *d, const struct option *option, const char *text) {
  const char **list = text_of(&d->options, option);
  size_t count = 0;

  while (list[count]) count++;
  if (count == LIST_SIZE - 1)
    die(d, EXIT_USAGE, "%s: it is given more than %d times", option->name,
        LIST_SIZE - 1);
  list[count] = text;
}

/* Keeps the proxy's URL, and takes the password in it out of the command line,
 * where all users of the machine can read it. */
static void hide_password(struct daemon *d, char *url) {
  memcpy(d->proxy_url, url, strlen(url) + 1);
  char *at = strrchr(url, '@');
  if (at) memset(url, '*', (size_t)(at - url));
}

/* Keeps the value of an option that takes one.  What may be repeated may be of
 * any length; all others are copied to places of VALUE_SIZE. */
static void take_value(
    struct daemon *d, const struct option *option, char *value) {
  bool fits = option->kind == MANY || strlen(value) < VALUE_SIZE;

  if (!fits) {
    char place[PLACE_SIZE];
    write_place(&d->options, option, place);
    die(d, EXIT_USAGE, "%s: its value is too long, %d bytes at most", place,
        VALUE_SIZE - 1);
  }
  if (option->kind == MANY) add_text(d, option, value);
  else if (is_numeric(option)) take_number(d, option, value);
  else *text_of(&d->options, option) = value;
  if (option->kind == SECRET) hide_password(d, value);
}

/* Takes an option with its value, or NULL, of the command line, or of a line of
 * the file if that is not 0. */
static void take_option(
    struct daemon *d, const struct option *option, char *value, size_t line) {
  struct options *o = &d->options;
  char place[PLACE_SIZE];

  *line_of(o, option) = line;
  write_place(o, option, place);
  if (takes_no_value(option)) {
    if (value) die(d, EXIT_USAGE, "%s takes no value", place);
    *text_of(o, option) = option->name;
    return;
  }
  if (!value)
    die(d, EXIT_USAGE, "%s: its value is missing: %s %s", place,
        bare_name(o, option), option->argument);
  bool has_password = option->kind == SECRET && strchr(value, '@');
  if (line != 0 && has_password) o->config_is_secret = true;
  take_value(d, option, value);
}

/* What counts where an option is not given. */
static void set_defaults(struct options *o) {
  o->url = API;
  o->ca = ROOTS;
  for (size_t i = 0; i < OPTIONS; i++)
    if (is_numeric(&table[i]))
      number_of(o, &table[i])->value = table[i].range.usual;
}

/* ---- Lines of the file ------------------------------------------------- */

/* What stands there twice is a mistake: which of the two is meant? */
void take_line(struct daemon *d, const char *name, char *value, size_t line) {
  const struct option *option = find_bare_option(name);
  const char *path = d->options.config;

  if (!option) {
    refuse_name(d, name, line);
    return;
  }
  size_t before = *line_of(&d->options, option);
  if (!is_lasting(option))
    die(d, EXIT_USAGE, "%s:%zu: %s belongs on the command line", path, line,
        name);
  if (before != 0 && option->kind != MANY)
    die(d, EXIT_USAGE, "%s:%zu: %s stands in line %zu already", path, line,
        name, before);
  take_option(d, option, value, line);
}

/* ---- Words of the command line ----------------------------------------- */

/* An option, as it stands on the command line. */
struct given {
  const struct option *option; /* NULL: there is none of this name */
  char *value;    /* behind an =, or the next word; NULL: there is none */
  int word_count; /* how many it takes */
};

/* Reads the option that the next words are. */
static struct given read_words(char **words) {
  size_t size = strcspn(words[0], "=");
  struct given given = {.word_count = 1};

  given.option = find_option(words[0], size);
  if (!given.option) return given;
  if (words[0][size] == '=') {
    given.value = words[0] + size + 1;
  } else if (!takes_no_value(given.option)) {
    given.value = words[1];
    given.word_count = 2;
  }
  return given;
}

/* Finds the file of --config, whatever else is wrong there; NULL: none. */
static const char *find_config(int argc, char **argv) {
  struct given given;
  const char *path = NULL;

  for (int i = 1; i < argc && argv[i]; i += given.word_count) {
    given = read_words(argv + i);
    if (given.option && given.option->offset == AT(config)) path = given.value;
  }
  return path;
}

void parse_options(struct daemon *d, int argc, char **argv) {
  const struct option *last = NULL;
  struct given given;

  set_defaults(&d->options);
  d->options.config = find_config(argc, argv);
  if (d->options.config) read_config(d);
  for (int i = 1; i < argc && argv[i]; i += given.word_count) {
    given = read_words(argv + i);
    if (!given.option) refuse_word(d, argv[i], i, last);
    else take_option(d, given.option, given.value, 0);
    last = given.option;
  }
}

bool goes_on_for_ever(const struct options *o) {
  return !o->count.text && (o->interval.text || o->hooks);
}

/* ---- Hosts and ports --------------------------------------------------- */

/* Takes the brackets off an IPv6 address; returns what is behind them. */
static char *unbracket(struct daemon *d, const char *option, char *name) {
  memmove(name, name + 1, strlen(name));
  char *end = strchr(name, ']');
  if (!end) refuse_value(d, option, "the [ in front of the address has no ]");
  *end = '\0';
  return end + 1;
}

/* IPv6 without brackets has more than one colon, and so no port. */
const char *split_port(struct daemon *d, const char *text, const char *option,
    char name[VALUE_SIZE], uint16_t *port) {
  size_t size = strlen(text);
  int64_t number = 0;
  char *end;

  memcpy(name, text, size + 1);
  if (size > 0 && name[size - 1] == '/') name[size - 1] = '\0';
  if (*name == '[') {
    end = unbracket(d, option, name);
  } else {
    end = name + strcspn(name, ":");
    if (strchr(end, ':') != strrchr(end, ':')) return name; /* IPv6 */
  }
  if (*end == '\0') return name;
  if (*end != ':') refuse_value(d, option, "behind the ] only :PORT may stand");
  *end = '\0';
  if (!read_whole(end + 1, &number) || number < 1 || number > UINT16_MAX)
    refuse_value(d, option, "the port must be a number from 1 to 65535");
  *port = (uint16_t)number;
  return name;
}
