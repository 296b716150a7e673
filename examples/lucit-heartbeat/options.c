/* The command line.
 *
 * One table has all options: what kind each is, where its value is kept, and
 * what the help says of it.  Values are kept as they were given; configure()
 * in main.c makes numbers and names of them. */
#include "daemon.h"

#include <stdlib.h>
#include <string.h>

#define API "https://api.lucit.app"
#define ROOTS "/etc/ssl/certs/ca-certificates.crt" /* Debian's */

enum option_kind {
  SWITCH, /* takes no value */
  ONE,    /* takes a value; the last one counts */
  MANY,   /* takes a value, and may be repeated */
  SECRET  /* takes a value that may hold a password */
};

struct option {
  const char *group; /* a heading of the help, above it; NULL: none */
  const char *name;
  enum option_kind kind;
  size_t offset;        /* in struct options */
  const char *argument; /* for the help */
  const char *help;     /* lines of at most 50 characters; NULL: not shown */
};

#define AT(member) offsetof(struct options, member)

/* In the order of the help, which says of each number its unit and its default:
 * nobody should have to look for them here. */

static const struct option table[] = {
    {"Who is alive", "--device", ONE, AT(device), "LCUID",
        "the device; required"},
    {NULL, "--app", ONE, AT(app), "LCUID", "the app; required"},
    {NULL, "--lightning-version", ONE, AT(lightning_version), "V",
        "the version of the player's software; required"},
    {NULL, "--info", MANY, AT(info), "TEXT",
        "a line of device_info; may be repeated"},
    {NULL, "--info-command", ONE, AT(info_command), "PATH",
        "a program that prints more such lines, within 5 s"},

    {"Credentials", "--token-file", ONE, AT(token_file), "FILE",
        "holds the Bearer token; default: $LUCIT_TOKEN is it"},
    {NULL, "--secret-file", ONE, AT(secret_file), "FILE",
        "two lines, an API token and its secret: logs in\n"
        "where the Bearer token is missing or refused"},

    {"Network", "--url", ONE, AT(url), "https://HOST[:PORT]",
        "the server; default: " API},
    {NULL, "--connect", ONE, AT(connect), "ADDRESS[:PORT]",
        "a numeric address to connect to, instead of\n"
        "looking up HOST"},
    {NULL, "--proxy", SECRET, AT(proxy), "URL",
        "http://[USER:PASSWORD@]HOST[:PORT]; default:\n"
        "$https_proxy, unless $no_proxy names the server"},
    {NULL, "--ca", ONE, AT(ca), "FILE",
        "trusted roots in PEM; default: the system's,\n" ROOTS},
    {NULL, "--session", ONE, AT(session), "FILE",
        "keeps the TLS session, a secret, for the next run"},
    {NULL, "--timeout", ONE, AT(timeout), "MILLISECONDS",
        "for a whole heartbeat; default: 30000"},

    {"Schedule", "--count", ONE, AT(count), "N",
        "how many heartbeats; default: 1, or no end with\n"
        "--interval or --hooks"},
    {NULL, "--interval", ONE, AT(interval), "SECONDS",
        "between two heartbeats; default: 60"},

    {"Instructions", "--hooks", ONE, AT(hooks), "DIR",
        "instruction NAME runs the program DIR/NAME"},
    {NULL, "--state", ONE, AT(state), "FILE",
        "remembers instructions and reports; required for\n--hooks"},
    {NULL, "--hook-timeout", ONE, AT(hook_timeout), "SECONDS",
        "how long a hook may run; default: 300"},
    {NULL, "--max-age", ONE, AT(max_age), "SECONDS",
        "an instruction that is more overdue does not run;\n"
        "default: 3600; 0: no limit"},
    {NULL, "--ack-first", MANY, AT(ack_first), "NAME",
        "acknowledges instruction NAME before it runs, as\n"
        "for a reboot; may be repeated"},

    {"Output", "--json", SWITCH, AT(json), "",
        "a line of JSON for each heartbeat and each hook"},
    {NULL, "--dry-run", SWITCH, AT(dry_run), "",
        "prints the request, without the token, and ends"},
    {NULL, "--decode", ONE, AT(decode), "FILE",
        "decodes a reply's body (-: standard input)"},
    {NULL, "--version", SWITCH, AT(version), "", "prints it, and ends"},
    {NULL, "--help", SWITCH, AT(help), "", "prints this, and ends; also -h"},
    {NULL, "-h", SWITCH, AT(help), "", NULL},
};

enum { OPTIONS = sizeof table / sizeof *table };

/* ---- Help -------------------------------------------------------------- */

/* A name and its argument in a column, and beside it the lines of the help. */
static void print_option(const struct option *option) {
  enum { COLUMN = 29 };
  const char *line = option->help;
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
  puts("\nExit status: 0 all went well, 1 a heartbeat failed, 2 wrong usage.");
  return EXIT_SUCCESS;
}

/* ---- The words of the command line ------------------------------------- */

/* The option of this name, or NULL. */
static const struct option *find_option(const char *name) {
  for (size_t i = 0; i < OPTIONS; i++)
    if (strcmp(name, table[i].name) == 0) return &table[i];
  return NULL;
}

/* The place for another value; NULL where a list is full. */
static const char **place_of(struct options *o, const struct option *option) {
  const char **value = (const char **)(void *)((char *)o + option->offset);

  if (option->kind != MANY) return value;
  for (size_t i = 0; i < LIST_SIZE - 1; i++)
    if (!value[i]) return &value[i];
  return NULL;
}

/* Keeps the proxy's URL, and takes the password in it out of the command line,
 * where all users of the machine can read it. */
static void hide_password(struct daemon *d, char *url) {
  memcpy(d->proxy_url, url, strlen(url) + 1);
  char *at = strrchr(url, '@');
  if (at) memset(url, '*', (size_t)(at - url));
}

/* Keeps a value: the last one, or all of an option that may be repeated. */
static void take_option(
    struct daemon *d, const struct option *option, char *given) {
  const char **value = place_of(&d->options, option);

  if (!value) die(d, "too long", option->name);
  if (option->kind != MANY && strlen(given) >= VALUE_SIZE)
    die(d, "too long", option->name);
  *value = given;
  if (option->kind == SECRET) hide_password(d, given);
}

/* Takes one option, from argv[0] on; returns how many words it takes.  The
 * value stands behind an = or in the word behind; a switch has none. */
static int parse_option(struct daemon *d, char **argv) {
  char *name = argv[0];
  char *value = strchr(name, '=');

  if (value) *value++ = '\0';
  const struct option *option = find_option(name);
  if (!option)
    die(d, "unknown option, see --help", *name == '-' ? name : "a word");
  if (option->kind == SWITCH) {
    if (value) die(d, "takes no value", name);
    take_option(d, option, name);
    return 1;
  }
  if (value) {
    take_option(d, option, value);
    return 1;
  }
  if (!argv[1]) die(d, "a value is missing", name);
  take_option(d, option, argv[1]);
  return 2;
}

void parse_options(struct daemon *d, int argc, char **argv) {
  int i = 1;

  d->options.url = API;
  d->options.ca = ROOTS;
  while (i < argc) i += parse_option(d, argv + i);
}

/* ---- What words mean --------------------------------------------------- */

/* strtod() takes more than a number: only digits, and a point, get there. */
double option_number(struct daemon *d, const char *text, const char *option,
    double usual, double least, double most) {
  const char *digits = least < 1 ? ".0123456789" : "0123456789";
  char *end;

  if (!text) return usual;
  double n = strtod(text, &end);
  if (*text == '\0' || text[strspn(text, digits)] != '\0' || *end != '\0')
    die(d, "not a number, or out of range", option);
  if (n < least || n > most) die(d, "not a number, or out of range", option);
  return n;
}

/* Takes the brackets off an IPv6 address; returns what is behind them. */
static char *unbracket(struct daemon *d, const char *option, char *name) {
  memmove(name, name + 1, strlen(name));
  char *end = strchr(name, ']');
  if (!end) die(d, "a bracket is not closed", option);
  *end = '\0';
  return end + 1;
}

/* IPv6 without brackets has more than one colon, and so no port. */
const char *split_port(struct daemon *d, const char *text, const char *option,
    char name[VALUE_SIZE], uint16_t *port) {
  size_t size = strlen(text);
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
  if (*end != ':') die(d, "not a host and a port", option);
  *end = '\0';
  *port = (uint16_t)option_number(d, end + 1, option, 0, 1, 65535);
  return name;
}
