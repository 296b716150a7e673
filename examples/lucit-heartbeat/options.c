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
  const char *name;
  enum option_kind kind;
  const char *argument; /* for the help */
  const char *help;     /* "": it is not in there */
  size_t offset;        /* in struct options */
};

#define AT(member) offsetof(struct options, member)

static const struct option table[] = {
    {"--device", ONE, "LCUID", "the device that is alive", AT(device)},
    {"--app", ONE, "LCUID", "the app, for AppIdV3", AT(app)},
    {"--lightning-version", ONE, "V", "the version of the player",
        AT(lightning_version)},
    {"--info", MANY, "TEXT ...", "a line of device_info", AT(info)},
    {"--info-command", ONE, "PATH", "prints more, within 5 s",
        AT(info_command)},
    {"--token-file", ONE, "FILE", "holds the Bearer token", AT(token_file)},
    {"--secret-file", ONE, "FILE", "two lines, to log in for one",
        AT(secret_file)},
    {"--url", ONE, "https://HOST[:PORT]", "default: " API, AT(url)},
    {"--connect", ONE, "ADDRESS[:PORT]", "where HOST is, in figures",
        AT(connect)},
    {"--proxy", SECRET, "URL", "http://[USER:PASSWORD@]HOST[:PORT]", AT(proxy)},
    {"--ca", ONE, "FILE", "trusted roots in PEM; default: the system's",
        AT(ca)},
    {"--session", ONE, "FILE", "keeps the TLS session, a secret", AT(session)},
    {"--timeout", ONE, "MS", "for a whole heartbeat; default: 30000",
        AT(timeout)},
    {"--count", ONE, "N", "how many heartbeats", AT(count)},
    {"--interval", ONE, "SECONDS", "between two; default: 60", AT(interval)},
    {"--state", ONE, "FILE", "remembers instructions and reports", AT(state)},
    {"--hooks", ONE, "DIR", "instruction NAME runs DIR/NAME", AT(hooks)},
    {"--hook-timeout", ONE, "SECONDS", "per run; default: 300",
        AT(hook_timeout)},
    {"--max-age", ONE, "SECONDS", "later: not run; default: 3600", AT(max_age)},
    {"--ack-first", MANY, "NAME ...", "is reported before it runs",
        AT(ack_first)},
    {"--json", SWITCH, "", "a line of JSON for each heartbeat, and hook",
        AT(json)},
    {"--dry-run", SWITCH, "", "print the request, the token redacted",
        AT(dry_run)},
    {"--decode", ONE, "FILE", "decode a reply's body (-: stdin)", AT(decode)},
    {"--version", SWITCH, "", "", AT(version)},
    {"--help", SWITCH, "", "", AT(help)},
};

enum { OPTIONS = sizeof table / sizeof *table };

/* What --help prints; nothing else is to be done then. */
int print_help(void) {
  puts("usage: lucit-heartbeat [options]      (...: may be repeated)");
  for (size_t i = 0; i < OPTIONS; i++)
    printf("  %s %-*s %s\n", table[i].name, 24 - (int)strlen(table[i].name),
        table[i].argument, table[i].help);
  puts("One heartbeat, or --count; for ever with --interval or --hooks.  Else\n"
       "$LUCIT_TOKEN is the token; $https_proxy and $no_proxy count.  Exit\n"
       "status: 0 all went well, 1 a heartbeat failed, 2 wrong usage.");
  return EXIT_SUCCESS;
}

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
