/* lucit-heartbeat - what a kiosk ships: heartbeats from cron or a script, or
 * by a daemon that carries out instructions.  daemon.h says what is where.
 *
 * run() is the loop.  Each turn minds the programs that run, begins what is
 * next, and moves the exchange on by a step; where that leaves nothing to do
 * it waits.  Signals are blocked but for that wait, so that none is missed. */
#include "daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { STOP_MS = 1000 }; /* what a stop gives a hook, and an exchange */

/* ---- Signals ----------------------------------------------------------- */

static volatile sig_atomic_t reload_is_asked;
static volatile sig_atomic_t beat_is_asked;
static volatile sig_atomic_t stop_is_asked;
static volatile sig_atomic_t child_has_ended = 1; /* before, perhaps */

/* A handler only notes what is asked for, and the loop does it between two
 * steps:
 *
 *     SIGCHLD            takes the end of a child
 *     SIGHUP             reads roots and token again
 *     SIGUSR1            sends a heartbeat now
 *     SIGTERM, SIGINT    ends the daemon
 */
static void handle(int number) {
  switch (number) {
  case SIGCHLD: child_has_ended = 1; break;
  case SIGHUP: reload_is_asked = 1; break;
  case SIGUSR1: beat_is_asked = 1; break;
  default: stop_is_asked = 1; break;
  }
}

/* They come while the loop waits, and at no other time. */
static void catch_signals(struct daemon *d) {
  static const int caught[] = {SIGHUP, SIGUSR1, SIGINT, SIGTERM, SIGCHLD};
  struct sigaction action;

  memset(&action, 0, sizeof action);
  action.sa_handler = handle;
  sigemptyset(&action.sa_mask);
  sigprocmask(SIG_BLOCK, NULL, &d->usual_mask);
  for (size_t i = 0; i < sizeof caught / sizeof *caught; i++) {
    sigaddset(&action.sa_mask, caught[i]);
    sigdelset(&d->usual_mask, caught[i]); /* a parent may have blocked them */
    sigaction(caught[i], &action, NULL);
  }
  sigprocmask(SIG_BLOCK, &action.sa_mask, NULL);
}

/* A log that is closed, or a file at its limit, costs lines and not the
 * process. */
static void outlive_log(void) {
  signal(SIGPIPE, SIG_IGN);
  signal(SIGXFSZ, SIG_IGN);
}

/* ---- The loop ---------------------------------------------------------- */

/* Whether an exchange is under way. */
static bool is_busy(const struct daemon *d) {
  return d->exchange.kind != EXCHANGE_NONE;
}

/* Waits for a signal, the time that was asked for, the client's descriptor, or
 * what a program prints. */
static void wait_for_more(struct daemon *d) {
  hbeat_wait w = hbeat_wants(&d->client);
  const struct program *hook = &d->hook;
  const struct program *info = &d->info_program;
  struct pollfd polled[] = {{hook->out.fd, POLLIN, 0},
      {hook->err.fd, POLLIN, 0}, {hook->keeper, POLLIN, 0},
      {info->out.fd, POLLIN, 0}, {info->err.fd, POLLIN, 0},
      {info->keeper, POLLIN, 0}, {w.fd, w.events, 0}};

  if (is_busy(d)) wake_at(d, w.fd < 0 ? 0 : now_ms() + w.timeout_ms);
  if (d->stop_ms != 0) wake_at(d, d->stop_ms);
  struct timespec left = time_until(d->wake_ms);
  ppoll(polled, sizeof polled / sizeof *polled, &left, &d->usual_mask);
}

/* A signal asks for the end: what runs is told, and has a second. */
static void begin_to_stop(struct daemon *d) {
  d->stop_ms = now_ms() + STOP_MS;
  notify_systemd("STOPPING=1");
  signal_program(&d->hook, SIGTERM);
  signal_program(&d->info_program, SIGKILL);
}

/* Noted before it is done: one that ends meanwhile is noted anew. */
static void reap_if_asked(void) {
  if (!child_has_ended) return;
  child_has_ended = 0;
  reap_children();
}

/* Roots, client and token are loaded anew between two exchanges. */
static void reload_if_asked(struct daemon *d) {
  if (!reload_is_asked || is_busy(d)) return;
  load(d, false);
  reload_is_asked = 0;
}

/* What comes while a heartbeat is under way asks for another one. */
static void hasten_beat_if_asked(struct daemon *d) {
  if (!beat_is_asked || is_busy(d)) return;
  hasten_beat(d);
  beat_is_asked = 0;
}

/* Whether there is nothing more to do, or no more time for it. */
static bool is_over(const struct daemon *d) {
  bool stops = d->stop_ms != 0;

  if (stops && now_ms() >= d->stop_ms) return true;
  if (is_busy(d) || d->hook.state != PROGRAM_NONE) return false;
  return stops || !beats_go_on(d);
}

/* A daemon that stops begins nothing. */
static void begin_what_is_next(struct daemon *d) {
  if (d->stop_ms != 0) return;
  next_job(d);
  if (!is_busy(d)) next_exchange(d);
}

/* What a second did not end is ended by its keeper. */
static void end_run(struct daemon *d) {
  abandon_job(d);
  save_state(d);
  end_status_file(d);
  hbeat_close(&d->client);
}

/* Returns the exit status: a daemon that was stopped has done its work; a
 * number of heartbeats has gone well if each of them has. */
static int run(struct daemon *d) {
  bool over = false;

  catch_signals(d);
  notify_systemd("READY=1");
  if (d->log.forever) schedule_beat(d, HBEAT_AGAIN);
  while (!over) {
    hbeat_error e = HBEAT_AGAIN;
    d->wake_ms = now_ms() + HOUR; /* if nothing happens before */
    bool stops = stop_is_asked || d->state.is_lost;
    if (stops && d->stop_ms == 0) begin_to_stop(d);
    feed_watchdog(d);
    reap_if_asked();
    mind_program(d, &d->hook);
    mind_program(d, &d->info_program);
    mind_leftovers(d);
    reload_if_asked(d);
    hasten_beat_if_asked(d);
    begin_what_is_next(d);
    tell_status(d);
    write_status_file(d);
    if (is_busy(d)) e = hbeat_step(&d->client);
    if (e != HBEAT_AGAIN) end_exchange(d, e);
    else if (is_over(d)) over = true;
    else wait_for_more(d);
  }
  end_run(d);
  if (d->state.is_lost) return EXIT_FILE;
  if (d->log.forever) return EXIT_SUCCESS;
  return d->beats.beats_left > 0 ? EXIT_FAILURE : d->beats.exit_status;
}

/* ---- What else there is to do ------------------------------------------ */

/* Where the heartbeats go, and on which way. */
static void configure_server(struct daemon *d) {
  const struct options *o = &d->options;
  hbeat_config *cfg = &d->cfg;

  if (strncmp(o->url, "https://", 8) != 0)
    refuse_value(d, "--url", "it must be https://HOST[:PORT]");
  if (o->connect && o->proxy)
    die(d, EXIT_USAGE, "--connect and --proxy exclude each other: give one");
  cfg->port = 443;
  cfg->host = split_port(d, o->url + 8, "--url", d->site, &cfg->port);
  if (o->connect)
    cfg->address =
        split_port(d, o->connect, "--connect", d->address, &cfg->address_port);
  find_proxy(d);
  cfg->timeout_ms = (uint32_t)o->timeout.value;
}

/* How many heartbeats there are, how far apart, and what hooks may do. */
static void configure_daemon(struct daemon *d) {
  const struct options *o = &d->options;

  if (goes_on_for_ever(o) && !o->check) begin_daemon_log(&d->log);
  if (d->log.forever || o->state) outlive_log();
  d->beats.beats_left = o->count.value;
  d->beats.policy.interval_ms = (uint32_t)o->interval.value;
  d->hook.limit_ms = o->hook_timeout.value;
}

/* Makes a configuration of the options, or ends the process.  The clock comes
 * first: what is logged from here on may need it. */
static void configure(struct daemon *d) {
  const struct options *o = &d->options;

  init_clock(&d->clock);
  d->cfg.device = o->device;
  d->cfg.app = o->app;
  if (!o->device) die(d, EXIT_USAGE, "--device is required: see --help");
  if (!o->app) die(d, EXIT_USAGE, "--app is required: see --help");
  if (!o->lightning_version)
    die(d, EXIT_USAGE, "--lightning-version is required: see --help");
  if (*o->lightning_version == '\0')
    refuse_value(d, "--lightning-version", "it must not be empty");
  if (o->hooks && !o->state)
    die(d, EXIT_USAGE, "--hooks needs --state FILE, to remember what ran");
  configure_server(d);
  configure_daemon(d);
}

/* The request that would be sent, with another token in its place. */
static int dry_run(struct daemon *d) {
  hbeat_request beat = make_beat(d);
  hbeat_exchange x;
  size_t n;

  d->cfg.token = "[redacted]";
  if (hbeat_begin(&x, &d->cfg, &beat, &d->reply) != HBEAT_OK)
    refuse_argument(d, x.what);
  while ((n = hbeat_pull(&x, d->body, sizeof d->body)) > 0)
    fwrite(d->body, 1, n, stdout);
  return putchar('\n') == EOF;
}

/* Decodes the body of a reply that somebody kept, as that of a heartbeat: it
 * came without its status and its head. */
static int decode(struct daemon *d) {
  const char *path = d->options.decode;
  hbeat_request beat = {.call = HBEAT_BEAT};
  const char *what;

  if (strcmp(path, "-") == 0) path = "/dev/stdin";
  ssize_t n = read_file(path, d->body, sizeof d->body);
  if (n < 0) die(d, EXIT_FILE, "--decode %s: %s", path, strerror(errno));
  if (n == sizeof d->body)
    die(d, EXIT_FILE,
        "--decode %s: it has 256 KiB or more, too much for a reply", path);
  d->reply.retry_after_s = HBEAT_NONE;
  d->reply.server_time_s = HBEAT_NONE;
  hbeat_error e = hbeat_decode(&beat, &d->reply, d->body, (size_t)n, &what);
  mend_parameters(d);
  print_outcome(d, e, what ? what : "the reply is the API's");
  return e == HBEAT_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* Another process has the state, and sends the heartbeats: it may have a hook
 * that takes long.  Whoever was to send a number of them leaves that to it.
 * There is no second daemon on purpose.  Returns the exit status. */
static int leave_to_another(struct daemon *d) {
  const char *path = d->options.state;
  const char *format = "skipped: %s\n";
  char line[MESSAGE_SIZE];
  char quoted[2 * MESSAGE_SIZE];

  if (d->log.forever) {
    complain(d,
        "--state %s: another lucit-heartbeat uses it: each needs its own",
        path);
    return EXIT_FILE;
  }
  snprintf(line, sizeof line,
      "--state %s: another lucit-heartbeat uses it, and sends the heartbeats",
      path);
  quote(line, quoted, sizeof quoted);
  if (d->log.json) format = "{\"skipped\":%s}\n";
  printf(format, quoted);
  return EXIT_SUCCESS;
}

/* What the command is for. */
static int heartbeats(struct daemon *d) {
  const struct options *o = &d->options;

  if (o->check) look_at(d, "options");
  configure(d);
  if (o->dry_run) return dry_run(d);
  if (o->check) return check(d);
  note_config(d);
  check_hooks(d);
  find_session(d);
  if (!find_state(d) || !check_token_file(d)) return EXIT_FILE;
  if (o->state && load_state(d) == LOCK_BY_ANOTHER) return leave_to_another(d);
  sweep_session(d);
  find_status_file(d);
  load(d, true);
  return run(d);
}

/* A standard descriptor that came closed must not become the connection. */
static void open_standard_descriptors(void) {
  int fd = 0;

  while (fd >= 0 && fd <= STDERR_FILENO)
    fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
  if (fd >= 0) close(fd);
}

/* What is not zero at first. */
static void init(struct daemon *d) {
  init_log(&d->log);
  d->state_lock = -1;
  d->cfg.token = d->token;
  d->cfg.tls_buffer = d->tls;
  d->cfg.tls_buffer_size = sizeof d->tls;
  d->cfg.reply_buffer = d->body;
  d->cfg.reply_buffer_size = sizeof d->body;
  for (size_t i = 0; i < LEFTOVERS; i++) d->leftovers[i] = -1;
  init_jobs(d);
  init_beats(d);
}

/* Returns the exit status. */
static int do_what_is_asked(struct daemon *d) {
  const struct options *o = &d->options;

  if (o->help) return print_help();
  if (o->version) return puts("lucit-heartbeat " HBEAT_VERSION) < 0;
  if (o->decode) return decode(d);
  return heartbeats(d);
}

int main(int argc, char **argv) {
  static struct daemon d;

  open_standard_descriptors();
  init(&d);
  parse_options(&d, argc, argv);
  d.log.json = d.options.json != NULL;
  int status = do_what_is_asked(&d);
  if (d.log.forever) return status;
  bool failed = fflush(stdout) != 0 || ferror(stdout) || d.log.out->has_failed;
  return failed ? EXIT_FAILURE : status;
}
