/* lucit-heartbeat - what a kiosk ships: heartbeats from cron or a script, or by
 * a daemon that carries out instructions.  It reads in the order of a run.  One
 * loop drives all; it waits in wait_for_more() alone, until wake_at()'s time.
 * An instruction is on the disk as taken before its hook starts: killed at any
 * moment, nothing runs twice. */
#define _GNU_SOURCE /* pipe2(), ppoll(): POSIX has them since 2024; timegm() */

#include "heartbeat.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define API "https://api.lucit.app"
#define EXIT_USAGE 2
#define VALUE_SIZE 1024 /* of an option, and of a path made with it */
#define PATH_SIZE (VALUE_SIZE + HBEAT_MEMORY_TEXT + 8)
#define LIST_SIZE 16384 /* of an option that may be repeated, and a NULL */
#define LINE_SIZE 202   /* what is kept of a line that a program prints */
#define INFO_LINES 64   /* what --info-command may print */

/* ---- Options ---------------------------------------------------------- */

static unsigned char tls[HBEAT_TLS_BUFFER_SIZE];
static char token[16384], body[262144], site[VALUE_SIZE], ip[VALUE_SIZE];
static hbeat_config cfg = {.token = token,
    .tls_buffer = tls,
    .tls_buffer_size = sizeof tls,
    .reply_buffer = body,
    .reply_buffer_size = sizeof body};
static struct options {
  const char *player, *info[LIST_SIZE], *info_command, *token_file;
  const char *secret_file, *url, *connect, *proxy, *ca, *session, *timeout;
  const char *count, *interval, *state, *hooks, *hook_timeout, *max_age;
  const char *ack_first[LIST_SIZE], *json, *dry_run, *decode, *version, *help;
} opt = {.url = API, .ca = "/etc/ssl/certs/ca-certificates.crt"};

/* One without an argument is a switch, one with dots may be repeated. */
static const struct option {
  const char *name, *argument, *help, **value;
} table[] = {{"--device", "LCUID", "the device that is alive", &cfg.device},
    {"--app", "LCUID", "the app, for AppIdV3", &cfg.app},
    {"--lightning-version", "V", "the version of the player", &opt.player},
    {"--info", "TEXT ...", "a line of device_info", opt.info},
    {"--info-command", "PATH", "prints more, within 5 s", &opt.info_command},
    {"--token-file", "FILE", "holds the Bearer token", &opt.token_file},
    {"--secret-file", "FILE", "two lines, to log in for one", &opt.secret_file},
    {"--url", "https://HOST[:PORT]", "default: " API, &opt.url},
    {"--connect", "ADDRESS[:PORT]", "where HOST is, in figures", &opt.connect},
    {"--proxy", "URL", "http://[USER:PASSWORD@]HOST[:PORT]", &opt.proxy},
    {"--ca", "FILE", "trusted roots in PEM; default: the system's", &opt.ca},
    {"--session", "FILE", "keeps the TLS session, a secret", &opt.session},
    {"--timeout", "MS", "for a whole heartbeat; default: 30000", &opt.timeout},
    {"--count", "N", "how many heartbeats", &opt.count},
    {"--interval", "SECONDS", "between two; default: 60", &opt.interval},
    {"--state", "FILE", "remembers instructions and reports", &opt.state},
    {"--hooks", "DIR", "instruction NAME runs DIR/NAME", &opt.hooks},
    {"--hook-timeout", "SECONDS", "per run; default: 300", &opt.hook_timeout},
    {"--max-age", "SECONDS", "later: not run; default: 3600", &opt.max_age},
    {"--ack-first", "NAME ...", "is reported before it runs", opt.ack_first},
    {"--json", "", "a line of JSON for each heartbeat, and hook", &opt.json},
    {"--dry-run", "", "print the request, the token redacted", &opt.dry_run},
    {"--decode", "FILE", "decode a reply's body (-: stdin)", &opt.decode},
    {"--version", "", "", &opt.version}, {"--help", "", "", &opt.help},
    {NULL, NULL, NULL, NULL}};

static char *copy(char *to, const char *from) {
  return memcpy(to, from, strlen(from) + 1);
}

static int print_help(void) {
  puts("usage: lucit-heartbeat [options]      (...: may be repeated)");
  for (const struct option *known = table; known->name; known++)
    printf("  %s %-*s %s\n", known->name, 24 - (int)strlen(known->name),
        known->argument, known->help);
  puts("One heartbeat, or --count; for ever with --interval or --hooks.  Else\n"
       "$LUCIT_TOKEN is the token; $https_proxy and $no_proxy count.  Exit\n"
       "status: 0 all went well, 1 a heartbeat failed, 2 wrong usage.");
  return EXIT_SUCCESS;
}

static bool forever; /* a daemon, which prints a line a heartbeat */

/* A log that nobody reads any more does not stop a daemon. */
static bool takes_line(FILE *out) {
  struct pollfd polled = {fileno(out), POLLOUT, 0};
  return !forever || poll(&polled, 1, 0) > 0;
}

/* The last one is told in the next heartbeat's device_info, too. */
static char last_error[PATH_SIZE];
static void complain(const char *what, const char *which) {
  snprintf(last_error, PATH_SIZE, "%s: %s", what, which);
  if (takes_line(stderr)) fprintf(stderr, "lucit-heartbeat: %s\n", last_error);
}

static void die(const char *what, const char *which) {
  complain(what, which);
  exit(EXIT_USAGE);
}

static char proxy[VALUE_SIZE]; /* its URL, then the parts of that */

/* A password goes out of argv, where all users of the machine can read it. */
static void parse_options(int argc, char **argv) {
  for (int i = 1; i < argc; i++) {
    const struct option *known = table;
    char *name = argv[i], *given = strchr(name, '=');
    if (given) *given++ = '\0';
    while (known->name && strcmp(name, known->name) != 0) known++;
    if (!known->name)
      die("unknown option, see --help", *name == '-' ? name : "a word");
    if (given && *known->argument == '\0') die("takes no value", name);
    if (!given) given = *known->argument ? argv[++i] : name;
    if (!given) die("a value is missing", name);
    bool list = strchr(known->argument, '.');
    const char **value = known->value;
    while (list && *value) value++;
    if (list ? value == known->value + LIST_SIZE - 1
             : strlen(given) >= VALUE_SIZE)
      die("too long", name);
    *value = given;
    char *at = value == &opt.proxy ? strrchr(given, '@') : NULL;
    if (value == &opt.proxy) copy(proxy, given);
    if (at) memset(given, '*', (size_t)(at - given));
  }
}

/* Where the least is 1, a whole one. */
static double number(const char *text, const char *option, double usual,
    double least, double most) {
  char *end;
  double n = text ? strtod(text, &end) : usual;
  if (text &&
      (*text == '\0' || *end != '\0' || n < least || n > most ||
          text[strspn(text, least < 1 ? ".0123456789" : "0123456789")] != '\0'))
    die("not a number, or out of range", option);
  return n;
}

/* Splits NAME[:PORT][/] or [V6][:PORT][/] into `name` and *port. */
static const char *split_port(
    const char *text, const char *option, char *name, uint16_t *port) {
  char *end = name + strlen(copy(name, text));
  if (end > name && end[-1] == '/') *--end = '\0';
  if (*name == '[') {
    end = strchr(memmove(name, name + 1, strlen(name)), ']');
    if (!end) die("a bracket is not closed", option);
    *end++ = '\0';
  } else {
    end = name + strcspn(name, ":");
    if (strchr(end, ':') != strrchr(end, ':')) return name; /* IPv6 */
  }
  if (*end == '\0') return name;
  if (*end != ':') die("not a host and a port", option);
  *end = '\0';
  *port = (uint16_t)number(end + 1, option, 0, 1, 65535);
  return name;
}

/* ---- The proxy -------------------------------------------------------- */

static void decode_percent(char *text, const char *source) {
  char *to = text;
  for (; *text; text++, to++) {
    char code[3] = "";
    *to = *text;
    if (*text != '%') continue;
    sscanf(text + 1, "%2[0-9A-Fa-f]", code);
    *to = (char)strtol(code, NULL, 16);
    if (*to == '\0' || !code[1]) die("a malformed percent code", source);
    text += 2;
  }
  *to = '\0';
}

/* Takes [http://][USER[:PASSWORD]@]HOST[:PORT] apart. */
static void use_proxy(const char *source) {
  static char host[VALUE_SIZE];
  char *url = proxy + (strncasecmp(proxy, "http://", 7) == 0 ? 7 : 0);
  char *at = strrchr(url, '@');
  if (strstr(url, "://")) die("not http://HOST[:PORT]", source);
  cfg.proxy = split_port(at ? at + 1 : url, source, host, &cfg.proxy_port);
  if (!at) return;
  if (!memchr(url, ':', (size_t)(at - url))) *at++ = ':';
  *at = '\0';
  decode_percent(url, source);
  cfg.proxy_login = url;
}

/* A name in the list stands for all below it, too, and `*` for every one. */
static bool is_exempt(const char *list, const char *host, unsigned port) {
  size_t host_size = strlen(host);
  if (host_size > 0 && host[host_size - 1] == '.') host_size--;
  for (; *list; list += strcspn(list, ", \t")) {
    size_t size = strcspn(list += strspn(list, ", \t.:"), ":, \t");
    const char *end = list + size;
    const char *tail = host_size > size ? host + host_size - size : host;
    bool below =
        (tail == host || tail[-1] == '.') && strncasecmp(tail, list, size) == 0;
    if ((below || (size == 1 && *list == '*')) &&
        (*end != ':' || strtoul(end + 1, NULL, 10) == port))
      return true;
  }
  return false;
}

static void find_proxy(void) {
  const char *url = getenv("https_proxy"), *list = getenv("no_proxy");
  if (!url || !*url) url = getenv("HTTPS_PROXY");
  if (!list || !*list) list = getenv("NO_PROXY");
  if (*proxy) use_proxy("--proxy");
  if (opt.proxy || opt.connect || !url || !*url) return;
  if (list && is_exempt(list, cfg.host, cfg.port)) return;
  if (strlen(url) >= VALUE_SIZE) die("too long", "https_proxy");
  copy(proxy, url);
  use_proxy("https_proxy");
}

/* ---- Files ------------------------------------------------------------ */

static hbeat_client client;
static hbeat_reply reply;

/* The number of bytes read, `size` at most, or -1. */
static ssize_t read_file(const char *path, void *out, size_t size) {
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  ssize_t n = fd, all = 0;
  for (; n > 0 && (size_t)all < size; all += n < 0 ? 0 : n)
    n = read(fd, (char *)out + all, size - (size_t)all);
  if (fd >= 0) close(fd); /* which leaves errno alone */
  return n < 0 ? n : all;
}

/* A text without the line end that editors leave; or why there is none. */
static const char *read_text(const char *path, char *out, size_t size) {
  ssize_t n = read_file(path, out, size);
  const char *why = n < 0 ? strerror(errno) : "too long";
  bool fits = n >= 0 && (size_t)n < size;
  if (!fits) n = 0;
  while (n > 0 && strchr("\r\n\t ", out[n - 1])) n--;
  out[n] = '\0';
  return fits ? NULL : why;
}

static bool sync_and_close(int fd) {
  bool synced = fd >= 0 && (fsync(fd) == 0 || errno == EINVAL /* none */);
  return fd >= 0 && close(fd) == 0 && synced;
}

/* Whole or not at all, on the disk when this returns, for its owner alone.  A
 * session may have several writers. */
static bool write_file(const char *path, const void *bytes, size_t size) {
  char beside[PATH_SIZE];
  if (path != opt.session) snprintf(beside, sizeof beside, "%s.new", path);
  else snprintf(beside, sizeof beside, "%s.%ld", path, (long)getpid());
  unlink(beside); /* what a kill left */
  int fd = open(beside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0) return false;
  errno = ENOSPC; /* where a part is written, that is why */
  bool whole = write(fd, bytes, size) == (ssize_t)size;
  whole = sync_and_close(fd) && whole && rename(beside, path) == 0;
  if (!whole) unlink(beside);
  return whole && sync_and_close(open(dirname(beside), O_RDONLY | O_CLOEXEC));
}

/* A device is not to be replaced by a file. */
static bool is_replaceable(const char *path) {
  struct stat s;
  bool is = !path || stat(path, &s) != 0 || S_ISREG(s.st_mode);
  if (!is) complain(path, "not a regular file");
  return is;
}

static void load_session(void) {
  unsigned char bytes[HBEAT_SESSION_SIZE + 1];
  ssize_t n = opt.session ? read_file(opt.session, bytes, sizeof bytes) : 0;
  if (n >= 0) hbeat_session_load(&client, bytes, (size_t)n);
  else if (errno != ENOENT) complain(opt.session, strerror(errno));
}

/* That of a kept connection is what it was; one that failed must not stay. */
static void keep_session(hbeat_connection connection) {
  unsigned char bytes[HBEAT_SESSION_SIZE];
  if (!opt.session) return;
  bool good = hbeat_session_save(&client, bytes);
  if (connection == HBEAT_CONNECTION_NONE && !good) unlink(opt.session);
  if (good && connection == HBEAT_CONNECTION_NEW &&
      !write_file(opt.session, bytes, sizeof bytes))
    complain(opt.session, strerror(errno));
}

/* Takes the roots, beside those that are in use; or says why it cannot. */
static const char *load_anchors(void) {
  static unsigned char arenas[2][262144]; /* room for four hundred roots */
  static char pem[1 << 20];
  static int turn;
  hbeat_anchors a = {.arena = arenas[turn], .arena_size = sizeof *arenas};
  ssize_t size = read_file(opt.ca, pem, sizeof pem);
  if (size < 0) return strerror(errno);
  if (size == sizeof pem) return "too long";
  hbeat_error e = hbeat_anchors_pem(&a, pem, (size_t)size);
  if (e == HBEAT_ERR_TRUNCATED) return "ends inside a certificate";
  if (e == HBEAT_ERR_TOO_BIG) return "more certificates than fit";
  if (e != HBEAT_OK) return "no certificate that can be used";
  cfg.anchors = a.list;
  cfg.anchor_count = a.count;
  turn = !turn;
  return NULL;
}

static int64_t next_ms; /* when the next heartbeat is due */
static uint32_t failures;
static volatile sig_atomic_t reread, ended; /* as signals ask */

/* Roots, client, token.  At first what is wrong ends it, unless a log-in can
 * mend it; later the old stay, and a heartbeat tells what is mended. */
static void load(void) {
  static char fresh[sizeof token];
  static void (*wrong)(const char *, const char *) = die;
  const char *path = opt.token_file, *given = getenv("LUCIT_TOKEN");
  const char *why = load_anchors();
  hbeat_request beat = {.lightning_version = opt.player};
  hbeat_config probe = cfg;
  hbeat_exchange x;
  bool first = wrong == die;
  if (why) wrong(why, opt.ca);
  hbeat_close(&client);
  if (hbeat_init(&client, &cfg) != HBEAT_OK)
    die(hbeat_explain(&client), "see --help");
  load_session();
  why = path ? read_text(path, fresh, sizeof fresh) : NULL;
  if (!path && given && strlen(given) < sizeof fresh) copy(fresh, given);
  probe.token = fresh;
  if (!why && hbeat_begin(&x, &probe, &beat, &reply) != HBEAT_OK) why = x.what;
  if (!why && (first || path)) copy(token, fresh);
  else if (why && (first ? !opt.secret_file : path != NULL))
    wrong(why, path ? path : "--token-file or LUCIT_TOKEN");
  wrong = complain;
  next_ms = failures = 0;
  reread = 0;
}

static int64_t now_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* ---- What is printed -------------------------------------------------- */

static const char *const connections[] = {NULL, "new", "resumed", "kept"};
static int64_t begun_ms; /* the exchange that `reply` is of */

/* A character for a string of JSON, harmless to terminals; *text goes on. */
static const char *escaped(const char **text) {
  static char out[8];
  unsigned char c = (unsigned char)*(*text)++;
  bool c1 = c == 0xC2 && ((unsigned char)**text & 0xE0) == 0x80;
  size_t n = 0;
  if (c1) c = (unsigned char)*(*text)++;
  if (c == '"' || c == '\\') out[n++] = '\\';
  out[n++] = (char)c;
  while (c >= 0xC0 && n < 4 && ((unsigned char)**text & 0xC0) == 0x80)
    out[n++] = *(*text)++;
  out[n] = '\0';
  if (c1 || c < 0x20 || c == 0x7F) snprintf(out, sizeof out, "\\u%04x", c);
  return out;
}

static void print_string(FILE *out, const char *text) {
  fputs(text ? "\"" : "null", out);
  while (text && *text) fputs(escaped(&text), out);
  if (text) putc('"', out);
}

/* On one line; what a terminal obeys stands in strings only, and is escaped. */
static void print_value(FILE *out, hbeat_json value) {
  const char *at = value.text ? value.text : "null";
  const char *end = at + (value.text ? value.size : 4);
  while (at < end)
    if ((unsigned char)*at < 0x20) putc(' ', out), at++;
    else if (*at == '"' || *at == '\\') putc(*at++, out);
    else fputs(escaped(&at), out);
}

/* %q: a string in quotes, %n: an int64_t, %v: JSON, %f: a label; ' is ". */
static void say(FILE *out, const char *format, ...) {
  va_list values;
  int64_t n;
  va_start(values, format);
  for (; *format; format++)
    if (*format != '%') putc(*format == '\'' ? '"' : *format, out);
    else if (*++format == 'q') print_string(out, va_arg(values, char *));
    else if (*format == 's') fputs(va_arg(values, char *), out);
    else if (*format == 'f')
      fprintf(out, forever ? ", %s " : "\n  %-12s ", va_arg(values, char *));
    else if (*format == 'v') print_value(out, va_arg(values, hbeat_json));
    else if ((n = va_arg(values, int64_t)) == HBEAT_NONE) fputs("null", out);
    else fprintf(out, "%lld", (long long)n);
  va_end(values);
}

static void print_outcome(hbeat_error e, const char *detail) {
  const hbeat_reply *r = &reply;
  const hbeat_instruction *i = &r->instruction;
  int64_t status = r->http_status ? r->http_status : HBEAT_NONE;
  int64_t late_s = r->clock_offset_s == HBEAT_NONE ? 0 : r->clock_offset_s;
  FILE *out = opt.json || e == HBEAT_OK ? stdout : stderr;
  if (!takes_line(out)) return;
  if (opt.json) {
    say(out, "{'result':%q,'http_status':%n,'success':%s,'instruction':",
        hbeat_error_name(e), status, r->success ? "true" : "false");
    say(out,
        i->name ? "{'instruction':%q,'parameters':%v,'run_at':%q,'run_at_s':%n,"
                  "'status':%n,'lcuid':%q,'created_at':%q,'updated_at':%q}"
                : "%q",
        i->name, i->parameters, i->run_at, i->run_at_s, i->status, i->lcuid,
        i->created_at, i->updated_at);
    say(out,
        ",'retry_after_s':%n,'server_time_s':%n,'message':%q,'detail':%q,"
        "'connection':%q,'clock_offset_s':%n}",
        r->retry_after_s, r->server_time_s, r->message, detail,
        connections[r->connection], r->clock_offset_s);
  } else {
    say(out, "%s: %s", hbeat_error_name(e), detail);
    if (r->message) say(out, "%f%q", "message", r->message);
    if (r->retry_after_s != HBEAT_NONE)
      say(out, "%f%n s", "retry after", r->retry_after_s);
    if (r->connection != HBEAT_CONNECTION_NONE)
      say(out, "%f%s", "connection", connections[r->connection]);
    if (late_s >= 60) say(out, "%f%n s slow", "clock", late_s);
    if (late_s <= -60) say(out, "%f%n s fast", "clock", -late_s);
    if (forever) say(out, "%f%n ms", "took", now_ms() - begun_ms);
  }
  if (i->name && !opt.json)
    say(out, "%f%q%f%v%f%q%f%q", "instruction", i->name, "parameters",
        i->parameters, "run at", i->run_at ? i->run_at : "now", "lcuid",
        i->lcuid);
  putc('\n', out);
  fflush(out);
}

/* ---- Clock, systemd, and the state ---------------------------------- */

static hbeat_policy policy;
static hbeat_memory memory;
static int64_t wake_ms;     /* when the loop is to go on */
static int64_t floor_at_ms; /* when cfg.clock_floor_s was the time, at least */
static bool told;           /* by the server, exactly */

static void wake_at(int64_t at_ms) {
  if (at_ms < wake_ms) wake_ms = at_ms;
}

/* Unix seconds, by the server's clock if it is known. */
static int64_t now_s(void) {
  int64_t floor_s = cfg.clock_floor_s + (now_ms() - floor_at_ms) / 1000;
  return told || time(NULL) < floor_s ? floor_s : time(NULL);
}

static void notify(const char *what) {
  const char *path = getenv("NOTIFY_SOCKET");
  struct sockaddr_un to = {.sun_family = AF_UNIX};
  int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
  if (path && fd >= 0 && strlen(path) < sizeof to.sun_path) {
    size_t size = sizeof to - sizeof to.sun_path + strlen(path);
    copy(to.sun_path, path);
    if (*path == '@') to.sun_path[0] = '\0';
    sendto(fd, what, strlen(what), MSG_NOSIGNAL | MSG_DONTWAIT,
        (struct sockaddr *)&to, (socklen_t)size);
  }
  if (fd >= 0) close(fd);
}

/* Twice in the time that the watchdog allows. */
static void show_life(void) {
  static int64_t sign_ms;
  const char *period = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
  int64_t half_ms = period ? strtoll(period, NULL, 10) / 2000 : 0;
  if (half_ms <= 0 || (pid && strtoll(pid, NULL, 10) != getpid())) return;
  bool due = now_ms() >= sign_ms;
  if (due) notify("WATCHDOG=1");
  sign_ms = due ? now_ms() + half_ms : sign_ms;
  wake_at(sign_ms);
}

/* Two on one state would run all twice.  Without a lock nothing is written. */
static bool lock_state(void) {
  static int fd = -1;
  struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
  char path[PATH_SIZE];
  snprintf(path, sizeof path, "%s.lock", opt.state);
  if (fd < 0) fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd >= 0 && fcntl(fd, F_SETLK, &whole) != 0)
    die("another lucit-heartbeat uses it, or it has no locks", opt.state);
  return fd >= 0;
}

/* What is not written down does not run: see next_job(). */
static void save_state(void) {
  if (!memory.changed) return;
  memory.changed = 0;
  if (lock_state() && write_file(opt.state, &memory, sizeof memory)) return;
  memory.changed = 1;
  complain("no state is written, and nothing runs", strerror(errno));
}

static void load_state(void) {
  static unsigned char bytes[sizeof memory + 1];
  lock_state();
  ssize_t n = read_file(opt.state, bytes, sizeof bytes);
  if (n < 0 && errno != ENOENT) /* what has run is not known */
    complain(opt.state, strerror(errno)), opt.state = opt.hooks = NULL;
  if (hbeat_memory_load(&memory, bytes, n > 0 ? (size_t)n : 0,
          &cfg.clock_floor_s) != HBEAT_OK)
    complain("not mine, or torn: it is begun anew", opt.state);
  save_state();
}

/* ---- Hooks, and other programs -------------------------------------- */

static struct program {
  pid_t pid;      /* and process group; 0: it does not run */
  int out;        /* its standard output, or -1 */
  int64_t end_ms; /* when its time is over ... */
  double limit_s; /* ... of so many seconds */
  bool late;      /* it was, or it printed too much */
  size_t size;
  char line[LINE_SIZE];
} hook = {.out = -1}, info = {.out = -1, .limit_s = 5};

/* The instruction in hand, from being taken to its report. */
static struct job {
  bool taken, timed;          /* `timed`: it had a run_at */
  bool cleared, acknowledged; /* to run; to be so by --ack-first */
  int64_t until_ms;           /* when it is too late to start it */
  char lcuid[64], name[HBEAT_MEMORY_TEXT], parameters[HBEAT_MEMORY_TEXT];
  char line[LINE_SIZE]; /* the last that its hook printed */
} job;
typedef char fits[sizeof job.parameters <= 4096 ? 1 : -1]; /* into a pipe */
static char info_lines[INFO_LINES][LINE_SIZE];
static size_t info_count;
static bool info_ready;

static sigset_t usual; /* the signal mask that we were started with */
/* In the new process; exec() puts the signals back that have a handler. */
static void become(
    const struct program *p, const char *path, const int ends[4]) {
  setpgid(0, 0);
  signal(SIGPIPE, SIG_DFL);
  signal(SIGTERM, SIG_DFL); /* the handler would swallow an early one */
  sigprocmask(SIG_SETMASK, &usual, NULL);
  unsetenv("NOTIFY_SOCKET");
  unsetenv("LUCIT_TOKEN");
  if (p == &hook) setenv("LUCIT_INSTRUCTION", job.lcuid, 1);
  if (p == &hook) setenv("LUCIT_NAME", job.name, 1);
  dup2(ends[0], STDIN_FILENO);
  dup2(ends[3], STDOUT_FILENO);
  execl(path, path, (char *)NULL);
  dprintf(STDOUT_FILENO, "%s: %s\n", path, strerror(errno));
  _exit(127);
}

static bool start(struct program *p, const char *path, const char *input) {
  int ends[4] = {-1, -1, -1, -1};
  pid_t pid = -1;
  if (pipe2(ends, O_CLOEXEC) == 0 && pipe2(ends + 2, O_CLOEXEC) == 0 &&
      write(ends[1], input, strlen(input)) >= 0)
    pid = fork();
  if (pid == 0) become(p, path, ends);
  for (int i = 0; i < 4; i++)
    if (ends[i] >= 0 && (i != 2 || pid < 0)) close(ends[i]);
  if (pid < 0) return false;
  setpgid(pid, pid); /* whoever of the two is first */
  fcntl(ends[2], F_SETFL, O_NONBLOCK);
  *p = (struct program){.pid = pid, .out = ends[2], .limit_s = p->limit_s};
  p->end_ms = now_ms() + (int64_t)(p->limit_s * 1000);
  wake_at(p->end_ms);
  return true;
}

static void end_line(struct program *p) {
  bool any = p->size > 0;
  if (p->size == LINE_SIZE - 1) /* the last character may have been cut */
    while (p->size > 0 && (p->line[--p->size] & 0xC0) == 0x80)
      ;
  p->line[p->size] = '\0';
  p->size = 0;
  if (any && p == &hook) copy(job.line, p->line);
  else if (any && info_count == INFO_LINES) p->end_ms = 0;
  else if (any) copy(info_lines[info_count++], p->line);
}

/* Reads what it prints; false: there is no more for now. */
static bool hear(struct program *p) {
  char bytes[4096];
  ssize_t n = p->out < 0 ? -1 : read(p->out, bytes, sizeof bytes);
  if (n == 0 && close(p->out) == 0) p->out = -1;
  for (ssize_t i = 0; i < n; i++)
    if (bytes[i] == '\n' || bytes[i] == '\r') end_line(p);
    else if (bytes[i] != '\0' && p->size < LINE_SIZE - 1)
      p->line[p->size++] = bytes[i];
  return n > 0;
}

static int64_t max_age_s, left = 1, stop_ms; /* beats; the end, if it is near */
static bool flowing, may_report; /* the last exchange went well; so may these */
static hbeat_request request;    /* of the exchange under way, if `busy` */
static bool busy, ready, logged_in; /* `ready`: a first heartbeat has ended */

/* Its report is written down; not where one was made, and we end with it. */
static void end_job(bool well, const char *message, const char *data) {
  FILE *out = well || opt.json ? stdout : stderr;
  if (takes_line(out))
    say(out,
        opt.json ? "{'hook':%q,'lcuid':%q,'result':%q,'message':%q}\n"
                 : "hook: %q %q %q %q\n",
        job.name, job.lcuid, well ? "acknowledged" : "failed", message);
  fflush(stdout);
  if (!job.acknowledged || (!well && !stop_ms))
    hbeat_memory_end(&memory, job.lcuid,
        well ? HBEAT_ACKNOWLEDGE : HBEAT_FAILED, well ? NULL : message, data);
  save_state();
  if (flowing && !job.timed) may_report = true;
  job.taken = false;
  wake_at(0); /* for the next one */
}

/* A string of JSON, or as much of it as fits. */
static const char *quoted(const char *text, char *out, size_t size) {
  char *at = out, *end = out + size - 2;
  *at++ = '"';
  while (*text) {
    const char *piece = escaped(&text);
    if (strlen(piece) > (size_t)(end - at)) break;
    at += strlen(copy(at, piece));
  }
  copy(at, "\"");
  return out;
}

/* The last line that a hook printed goes into its report, which is UTF-8. */
static void end_program(struct program *p, const siginfo_t *end) {
  bool killed = end->si_code != CLD_EXITED;
  int code = end->si_status;
  bool well = code == 0 && !p->late;
  char how[64], line[6 * LINE_SIZE], data[sizeof line + 32];
  hbeat_json json;
  const char *form = killed ? "%skilled by signal %d" : "%sexit status %d";
  snprintf(how, sizeof how, form, stop_ms ? "interrupted: " : "", code);
  if (p->late) snprintf(how, sizeof how, "timed out after %g s", p->limit_s);
  if (p == &info) {
    info_ready |= !p->late;
    if (!p->late && (!well || p->end_ms == 0))
      complain("info command", p->end_ms == 0 ? "too long" : how);
    return;
  }
  quoted(job.line, line, sizeof line);
  if (hbeat_json_parse(line, strlen(line), &json) != HBEAT_OK)
    for (char *at = job.line; *at; at++) *at = *at & 0x80 ? '?' : *at;
  quoted(job.line, line, HBEAT_MEMORY_TEXT / 2 - 32);
  snprintf(data, sizeof data, "{\"%s\":%d%s%s}",
      killed ? "signal" : "exit_status", code, *job.line ? ",\"message\":" : "",
      *job.line ? line : "");
  if (*job.line && !p->late && !killed) end_job(well, job.line, data);
  else end_job(well, well ? NULL : how, data);
}

/* Its output, its time, and its end, with which all of its group ends. */
static void mind(struct program *p) {
  siginfo_t end = {.si_pid = 0};
  if (p->pid == 0) return;
  hear(p);
  waitid(P_PID, (id_t)p->pid, &end, WEXITED | WNOHANG | WNOWAIT);
  if (end.si_pid == p->pid) {
    kill(-p->pid, SIGKILL); /* while no other can have its number */
    waitpid(p->pid, NULL, 0);
    for (int n = 64; n > 0 && hear(p);) n--;
    end_line(p);
    if (p->out >= 0 && close(p->out) == 0) p->out = -1;
    p->pid = 0;
    end_program(p, &end);
  } else if (now_ms() >= p->end_ms) {
    if (p == &info && !p->late)
      complain("info command", "too slow or too long");
    kill(-p->pid, p->late || p == &info ? SIGKILL : SIGTERM);
    p->late = true;
    p->end_ms = now_ms() + 2000; /* then SIGKILL */
  }
  if (p->pid != 0) wake_at(p->end_ms);
}

static bool take_job(void) {
  hbeat_instruction i;
  const char *const *first = opt.ack_first;
  bool unsaved = memory.changed;
  job.taken = hbeat_memory_due(&memory, now_s(), max_age_s, &i);
  if (i.run_at_s > now_s() && i.run_at_s - now_s() < 86400)
    wake_at(now_ms() + (i.run_at_s - now_s()) * 1000);
  if (job.taken || !unsaved) save_state();
  if (!job.taken) return false;
  while (*first && strcmp(*first, i.name) != 0) first++;
  job = (struct job){.taken = true, .cleared = *first == NULL};
  job.timed = i.run_at_s != HBEAT_NONE;
  job.until_ms = max_age_s ? now_ms() + max_age_s * 1000 : INT64_MAX;
  copy(job.lcuid, i.lcuid);
  copy(job.name, i.name);
  if (i.parameters.type <= HBEAT_JSON_NULL) copy(job.parameters, "[]");
  else memcpy(job.parameters, i.parameters.text, i.parameters.size);
  return true;
}

/* Nothing runs that is not written down, nor before its --ack-first. */
static void next_job(void) {
  static const char allowed[] = "abcdefghijklmnopqrstuvwxyz0123456789._-"
                                "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
  char path[PATH_SIZE];
  struct stat s;
  bool asked = busy && request.instruction == job.lcuid;
  if (!opt.hooks || !ready || hook.pid != 0 || asked) return;
  if (!job.taken && !take_job()) return;
  snprintf(path, sizeof path, "%s/%s", opt.hooks, job.name);
  if (now_ms() >= job.until_ms) end_job(false, "stale", NULL);
  else if (memory.changed || !job.cleared) wake_at(job.until_ms);
  else if (strchr(".", *job.name) || job.name[strspn(job.name, allowed)] ||
      stat(path, &s) != 0 || !S_ISREG(s.st_mode) || access(path, X_OK) != 0)
    end_job(false, "not supported", NULL);
  else if (!start(&hook, path, job.parameters))
    end_job(false, strerror(errno), NULL);
}

/* ---- Heartbeats ------------------------------------------------------- */

static int exit_status = EXIT_SUCCESS;
static char secret[2048]; /* two lines, while a log-in is under way */

/* An error comes out at the first step. */
static bool begin(hbeat_request with) {
  request = with;
  begun_ms = now_ms();
  hbeat_start(&client, &request, &reply);
  return busy = true;
}

/* Once for each heartbeat that fails. */
static bool log_in(void) {
  if (!opt.secret_file || logged_in || stop_ms) return false;
  logged_in = info_ready = true;
  const char *why = read_text(opt.secret_file, secret, sizeof secret);
  if (why) complain(opt.secret_file, why);
  char *end = secret + strcspn(secret, "\r\n");
  if (*end != '\0') *end++ = '\0';
  hbeat_request login = {.call = HBEAT_LOGIN, .login_token = secret};
  login.login_secret = end + strspn(end, "\r\n");
  login.token_buffer = token;
  login.token_buffer_size = sizeof token;
  return begin(login);
}

static hbeat_request a_beat(void) {
  static const char *facts[LIST_SIZE + INFO_LINES + 1];
  static char error[PATH_SIZE + 16];
  size_t n = 0;
  for (; opt.info[n]; n++) facts[n] = opt.info[n];
  for (size_t i = 0; i < info_count; i++) facts[n++] = info_lines[i];
  snprintf(error, sizeof error, "last error: %s", last_error);
  if (*last_error) facts[n++] = error;
  *last_error = '\0';
  return (hbeat_request){.lightning_version = opt.player,
      .device_info = facts,
      .device_info_count = n};
}

static void schedule(hbeat_error e) {
  uint32_t random = (uint32_t)now_ms();
  read_file("/dev/urandom", &random, sizeof random);
  next_ms = now_ms() + hbeat_next_ms(&policy, &failures, e, &reply, random);
}

/* A heartbeat, or the log-in that it needed, has ended. */
static void end_beat(hbeat_error e) {
  const char *detail = hbeat_explain(&client);
  print_outcome(e, detail);
  exit_status = e == HBEAT_OK ? exit_status : EXIT_FAILURE;
  if (e != HBEAT_OK)
    snprintf(last_error, PATH_SIZE, "%s: %s", hbeat_error_name(e), detail);
  ready = true;
  logged_in = info_ready = false;
  info_count = 0;
  may_report = e == HBEAT_OK;
  if (forever || --left > 0) schedule(e);
}

/* `settled`: accepted, or never to be. */
static void end_report(hbeat_error e, bool settled) {
  bool well = e == HBEAT_OK, asked = request.instruction == job.lcuid;
  may_report = may_report && well;
  if (!well) complain("a report", hbeat_explain(&client));
  if (asked) job.acknowledged = job.cleared = well;
  if (asked && settled && !well) job.taken = false;
}

static void end_exchange(hbeat_error e) {
  hbeat_error learnt = HBEAT_OK;
  bool refused = e == HBEAT_ERR_ARGUMENT || /* the token, by its form */
      (e == HBEAT_ERR_STATUS && reply.http_status == 401);
  busy = false;
  flowing = e == HBEAT_OK;
  if (e == HBEAT_OK && reply.clock_offset_s != HBEAT_NONE) {
    cfg.clock_floor_s = reply.server_time_s;
    floor_at_ms = now_ms();
    told = true;
  }
  keep_session(reply.connection);
  if (opt.state) learnt = hbeat_memory_learn(&memory, &request, &reply, e);
  bool settled = memory.changed;
  save_state();
  if (learnt != HBEAT_OK && opt.hooks)
    complain("not run: 17th, or without lcuid", hbeat_error_name(learnt));
  memset(secret, 0, sizeof secret);
  if (request.instruction) end_report(e, settled);
  else if (request.call == HBEAT_BEAT && refused && log_in()) return;
  else if (request.call == HBEAT_BEAT || e != HBEAT_OK) end_beat(e);
  else {
    complain("logged in", "the token was missing, or refused");
    if (opt.token_file && !write_file(opt.token_file, token, strlen(token)))
      complain(opt.token_file, strerror(errno));
  }
}

/* Begins what comes next: reports, or when it is time a heartbeat. */
static void next_exchange(void) {
  hbeat_request report = {.call = HBEAT_ACKNOWLEDGE, .instruction = job.lcuid};
  if (job.taken && !job.cleared && !memory.changed &&
      (job.timed ? may_report : flowing))
    begin(report);
  else if (may_report && (left == 0 || now_ms() < next_ms) && !memory.changed &&
      (may_report = hbeat_memory_report(&memory, &report)))
    begin(report);
  else if (left > 0 && now_ms() < next_ms) wake_at(next_ms);
  else if (left > 0 && (info.pid == 0 || info.late)) {
    bool asks = opt.info_command && !info_ready && info.pid == 0;
    if (asks && start(&info, opt.info_command, "")) return;
    if (asks) complain("info command", strerror(errno));
    begin(a_beat());
  }
}

static void handler(int number) {
  if (number == SIGHUP) reread = 1;
  else if (number != SIGCHLD) ended = 1;
}

/* They come while we wait, and at no other time. */
static void catch_signals(void) {
  static const int caught[] = {SIGHUP, SIGINT, SIGTERM, SIGCHLD};
  struct sigaction action = {.sa_handler = handler};
  sigprocmask(SIG_BLOCK, NULL, &usual);
  for (size_t i = 0; i < sizeof caught / sizeof *caught; i++) {
    sigaddset(&action.sa_mask, caught[i]);
    sigdelset(&usual, caught[i]); /* a parent may have blocked them */
    sigaction(caught[i], &action, NULL);
  }
  sigprocmask(SIG_BLOCK, &action.sa_mask, NULL);
  if (forever || opt.state) signal(SIGPIPE, SIG_IGN); /* a lost log is none */
}

static void wait_for_more(void) {
  hbeat_wait w = hbeat_wants(&client);
  struct pollfd polled[] = {
      {hook.out, POLLIN, 0}, {info.out, POLLIN, 0}, {w.fd, w.events, 0}};
  if (busy) wake_at(w.fd < 0 ? 0 : now_ms() + w.timeout_ms);
  if (stop_ms) wake_at(stop_ms);
  int64_t left_ms = wake_ms > now_ms() ? wake_ms - now_ms() : 0;
  struct timespec t = {
      (time_t)(left_ms / 1000), (long)(left_ms % 1000 * 1000000)};
  ppoll(polled, 3, &t, &usual);
}

static int run(void) {
  catch_signals();
  notify("READY=1");
  floor_at_ms = now_ms();
  if (forever) schedule(HBEAT_AGAIN);
  for (;;) {
    hbeat_error e = HBEAT_AGAIN;
    wake_ms = now_ms() + 3600000;
    if (ended && !stop_ms) {
      stop_ms = now_ms() + 1000;
      notify("STOPPING=1");
      if (hook.pid != 0) kill(-hook.pid, SIGTERM);
      if (info.pid != 0) kill(-info.pid, SIGKILL);
    }
    show_life();
    mind(&hook);
    mind(&info);
    if (reread && !busy) load();
    if (!stop_ms) next_job();
    if (!stop_ms && !busy) next_exchange();
    if (busy) e = hbeat_step(&client);
    if (e != HBEAT_AGAIN) end_exchange(e);
    else if (stop_ms && now_ms() >= stop_ms) break;
    else if (!busy && hook.pid == 0 && (stop_ms || left == 0)) break;
    else wait_for_more();
  }
  if (hook.pid != 0) kill(-hook.pid, SIGKILL);
  else if (job.taken && job.acknowledged)
    hbeat_memory_end(&memory, job.lcuid, HBEAT_FAILED, "interrupted", NULL);
  save_state();
  hbeat_close(&client);
  return forever ? EXIT_SUCCESS : left > 0 ? EXIT_FAILURE : exit_status;
}

/* ---- What else there is to do --------------------------------------- */

static void configure(void) {
  const char *to = opt.connect;
  double s = number(opt.interval, "--interval", 60, 0, 86400);
  struct tm built = {.tm_mday = 1};
  strptime(__DATE__, "%b %d %Y", &built);
  cfg.clock_floor_s = timegm(&built) - 86400; /* wherever that was */
  if (!cfg.device || !cfg.app) die("missing, see --help", "--device or --app");
  if (!opt.player || !*opt.player) die("missing", "--lightning-version");
  if (opt.hooks && !opt.state) die("missing, for --hooks", "--state");
  if (strncmp(opt.url, "https://", 8) != 0)
    die("not https://HOST[:PORT]", "--url");
  cfg.port = 443;
  cfg.host = split_port(opt.url + 8, "--url", site, &cfg.port);
  if (to) cfg.address = split_port(to, "--connect", ip, &cfg.address_port);
  find_proxy();
  cfg.timeout_ms = (uint32_t)number(opt.timeout, "--timeout", 3e4, 1, 864e5);
  forever = !opt.count && (opt.interval || opt.hooks);
  left = (int64_t)number(opt.count, "--count", 1, 1, 1e15);
  policy.interval_ms = s < 0.001 ? 1 : (uint32_t)(s * 1000);
  hook.limit_s = number(opt.hook_timeout, "--hook-timeout", 300, 0, 86400);
  max_age_s = (int64_t)(number(opt.max_age, "--max-age", 3600, 0, 1e9) + .999);
  if (opt.hooks && access(opt.hooks, X_OK) != 0)
    complain(opt.hooks, strerror(errno));
}

/* The request that would be sent, with another token in its place. */
static int dry_run(void) {
  hbeat_request beat = a_beat();
  hbeat_exchange x;
  cfg.token = "[redacted]";
  if (hbeat_begin(&x, &cfg, &beat, &reply) != HBEAT_OK)
    die(x.what, "see --help");
  for (size_t n; (n = hbeat_pull(&x, body, sizeof body)) > 0;)
    fwrite(body, 1, n, stdout);
  return putchar('\n') == EOF;
}

static int decode(void) {
  const char *path = strcmp(opt.decode, "-") == 0 ? "/dev/stdin" : opt.decode;
  const char *what;
  ssize_t n = read_file(path, body, sizeof body);
  if (n < 0) die(strerror(errno), opt.decode);
  if (n == sizeof body) die("256 KiB or more", opt.decode);
  reply.retry_after_s = reply.server_time_s = HBEAT_NONE;
  hbeat_error e = hbeat_decode(&request, &reply, body, (size_t)n, &what);
  print_outcome(e, what ? what : "the reply is the API's");
  return e == HBEAT_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int heartbeats(void) {
  const char *new = opt.secret_file ? opt.token_file : NULL;
  configure();
  if (opt.dry_run) return dry_run();
  if (!is_replaceable(opt.session)) opt.session = NULL;
  if (!is_replaceable(opt.state) || !is_replaceable(new)) return EXIT_USAGE;
  if (opt.state) load_state();
  load();
  return run();
}

int main(int argc, char **argv) {
  /* One that came closed must not become the connection; hooks have the last. */
  for (int fd = 0; fd >= 0 && fd <= 2; fcntl(STDERR_FILENO, F_SETFD, 0))
    fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
  setvbuf(stderr, NULL, _IOLBF, BUFSIZ); /* a line is one write */
  parse_options(argc, argv);
  int status = opt.help ? print_help()
      : opt.version     ? puts("lucit-heartbeat " HBEAT_VERSION) < 0
      : opt.decode      ? decode()
                        : heartbeats();
  return !forever && (fflush(stdout) || ferror(stdout)) ? EXIT_FAILURE : status;
}
