/* lucit-heartbeat - what its files share: the one structure that is handed on,
 * and the functions of each file.
 *
 * The command sends heartbeats from cron or a script, or is a daemon that also
 * carries out instructions.  main.c has the loop: it waits in one place, until
 * the time that wake_at() was told last, a signal, or something to read.
 *
 *     options.c    the options, on the command line and in a file
 *     config.c     that file
 *     numbers.c    its numbers and times
 *     proxy.c      the proxy, from there or the environment
 *     files.c      files in general: reading, replacing, where a path leads
 *     credentials.c  roots, token and secret
 *     session.c    the TLS session, for the next run
 *     state.c      what has run and is to be reported, in a file
 *     lock.c       its lock
 *     spare.c      how it is written, on a full disk, too
 *     log.c        what is printed
 *     clock.c      the time, and who vouches for it
 *     random.c     random bits, so that no two devices keep step
 *     status.c     the file of --status-file
 *     check.c      what --check looks at
 *     systemd.c    readiness, status and the watchdog
 *     programs.c   a program that is run, and what it prints
 *     keeper.c     the process between the daemon and a program
 *     jobs.c       the instruction in hand, and its hook
 *     beats.c      heartbeats, log-ins and reports
 *     main.c       the loop, and what else there is to do
 *
 * An instruction is on the disk as taken before its hook starts: killed at any
 * moment, nothing runs twice.  A hook ends with the daemon, and how it ended is
 * on the disk before the daemon hears of it. */
#ifndef DAEMON_H
#define DAEMON_H

#define _GNU_SOURCE /* pipe2(), ppoll(): POSIX has them since 2024; timegm() */

#include "heartbeat.h"

#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <time.h>

enum {
  EXIT_USAGE = 2,      /* wrong options; the same ones will be wrong again */
  EXIT_FILE = 3,       /* a file is missing, cannot be used, or is locked */
  VALUE_SIZE = 1024,   /* of an option's value, and of a path made with it */
  NAME_MAX_SIZE = 256, /* of a file's name, with its NUL */
  PATH_SIZE = VALUE_SIZE + NAME_MAX_SIZE + 8, /* a folder, a name, a suffix */
  MESSAGE_SIZE = PATH_SIZE + 256,             /* of a line that names a path */
  LCUID_SIZE = 64,    /* of an instruction that the memory holds */
  REPORT_SIZE = 1024, /* of a hook's response_data */
  LIST_SIZE = 16384,  /* values of an option that may be repeated, and a NULL */
  LINE_SIZE = 202,    /* what is kept of a line of --info-command */
  LOG_LINE_SIZE = 1002, /* the same of a line for the log */
  TAIL_BYTES = 400,     /* what is kept of all that a hook prints: its end */
  TAIL_SIZE = TAIL_BYTES + 4, /* the same as text: an ellipsis, and a NUL */
  LEFTOVERS = 8,              /* outputs that are read behind a program's end */
  INFO_LINES = 64,            /* lines that --info-command may print */
  TOKEN_SIZE = 16384,         /* today's have 1,100 bytes */
  SECRET_SIZE = 2048,         /* of a token and a secret for log-ins */
  BODY_SIZE = 262144,         /* the largest reply */
  CONFIG_SIZE = 65536,        /* of the file of --config, and a NUL */
  ARENA_SIZE = 262144         /* room for four hundred roots */
};

struct daemon;

/* ---- options.c --------------------------------------------------------- */

/* A whole number, or a time in milliseconds. */
struct number {
  const char *text; /* as it was given; NULL where it was not */
  int64_t value;    /* the default where it was not given */
};

enum { OPTIONS_MAX = 48 };

/* The options, as they were given; NULL where they were not. */
struct options {
  const char *config;
  size_t config_lines[OPTIONS_MAX]; /* of the file, that each came from; 0: the
                                       command line's, or not given */
  bool config_is_secret;            /* a proxy's password is in it */
  const char *device;
  const char *app;
  const char *lightning_version;
  const char *info[LIST_SIZE]; /* up to a NULL */
  const char *info_command;
  const char *token_file;
  const char *secret_file;
  const char *url;
  const char *connect;
  const char *proxy;
  const char *ca;
  const char *session;
  struct number timeout; /* in milliseconds */
  struct number count;
  struct number interval; /* in milliseconds */
  const char *state;
  const char *hooks;
  struct number hook_timeout;       /* in milliseconds; 0: no limit */
  struct number max_age;            /* in milliseconds; 0: no limit */
  struct number max_wait;           /* in milliseconds; 0: no limit */
  const char *ack_first[LIST_SIZE]; /* up to a NULL */
  const char *json;
  const char *status_file;
  const char *check;
  const char *dry_run;
  const char *decode;
  const char *version;
  const char *help;
};

/* Takes the command line, and the file that it names, or ends the process. */
void parse_options(struct daemon *d, int argc, char **argv);

/* Takes an option of the file, from this line, or ends the process.  A `value`
 * of NULL: there is none. */
void take_line(struct daemon *d, const char *name, char *value, size_t line);

int print_help(void);

/* Whether heartbeats have no end: a daemon. */
bool goes_on_for_ever(const struct options *o);

/* Says why the value of an option, or a variable of the environment, cannot be
 * used, and ends the process.  The value is shown unless it may be a secret. */
void refuse_value(struct daemon *d, const char *name, const char *why)
    __attribute__((noreturn));

/* The same for what the library refused, in its words: they name a member. */
void refuse_argument(struct daemon *d, const char *reason)
    __attribute__((noreturn));

/* Splits NAME[:PORT][/] or [V6][:PORT][/]: returns NAME, which is written to
 * `name`, and sets *port if there is one; or ends the process. */
const char *split_port(struct daemon *d, const char *text, const char *option,
    char name[VALUE_SIZE], uint16_t *port);

/* ---- config.c ---------------------------------------------------------- */

/* Takes the options of the file of --config, or ends the process. */
void read_config(struct daemon *d);

/* Notes who else may write that file, which decides what runs, and who may read
 * it if it has a password. */
void note_config(struct daemon *d);

/* ---- numbers.c --------------------------------------------------------- */

/* Times, in milliseconds. */
enum {
  MILLISECOND = 1,
  SECOND = 1000,
  MINUTE = 60 * SECOND,
  HOUR = 60 * MINUTE,
  DAY = 24 * HOUR
};

enum { TIME_SIZE = 24 }; /* of a time as text */

/* Reads a whole number of 9 digits at most.  False: it is none. */
bool read_whole(const char *text, int64_t *number);

/* Reads "500ms", "1.5s" or "5m" as milliseconds, rounded up; a number without a
 * unit is one of `unit_ms`.  False: it is none of these. */
bool read_time(const char *text, int64_t unit_ms, int64_t *ms);

/* Writes a time in the largest unit that makes it a whole number: "100ms",
 * "5m"; returns `out`. */
const char *write_time(int64_t ms, char out[TIME_SIZE]);

/* ---- proxy.c ----------------------------------------------------------- */

/* Finds the proxy of this run, and puts it into the configuration. */
void find_proxy(struct daemon *d);

/* ---- files.c ----------------------------------------------------------- */

/* Whether a path is that of a pipe or the like, which is not read while the
 * loop runs: without a writer it would hold it. */
bool may_hold(const char *path);

/* Whether it is that of a pipe or the like, and not of a folder: what is read
 * there is gone. */
bool is_pipe(const char *path);

/* Reads at most `size` bytes; returns their number, or -1 with errno. */
ssize_t read_file(const char *path, void *out, size_t size);

/* The same of a descriptor, which is closed; -1 is none, with errno. */
ssize_t read_and_close(int fd, void *out, size_t size);

/* Reads a text without the line end that editors leave; out of a pipe only if
 * it may wait, which the loop never may.  Returns NULL, or why there is
 * none. */
const char *read_text(const char *path, char *out, size_t size, bool may_wait);

/* Writes all of it to the disk; false with errno. */
bool write_and_sync(int fd, const void *bytes, size_t size);

/* Has the names in a file's folder on the disk; false with errno. */
bool sync_folder_of(const char *path);

/* Writes a file whole or not at all, on the disk when this returns, for its
 * owner alone, by way of a file beside it; false with errno. */
bool replace_file(
    const char *path, const char *beside, const void *bytes, size_t size);

/* Writes the path of a file beside, which is this process's alone: several may
 * replace one file.  Returns it. */
const char *path_beside(const char *path, char beside[PATH_SIZE]);

/* Removes such files of processes that were killed, of `size_max` bytes. */
void sweep_beside(const char *path, off_t size_max);

/* Where a path leads. */
struct place {
  char path[VALUE_SIZE];   /* its links followed */
  const char *link_writer; /* who else may change one, with a verb, or NULL */
};

/* Complains where no file can be made beside one, to replace it. */
void check_folder(struct daemon *d, const char *option, const char *path);

/* Follows the links of a path; what it leads to need not exist.  False with
 * errno: there are too many. */
bool follow_links(const char *path, struct place *place);

/* The same for an option's file that is to be written: where it leads there is
 * nothing, or a regular file.  Complains where not: a device is not to be
 * replaced by a file. */
bool find_file(struct daemon *d, const char *option, const char *path,
    struct place *place);

/* The folder in which a path's file stands; it may be written to `folder`. */
const char *folder_of(const char *path, char folder[PATH_SIZE]);

/* Who else than root and this user may write a file or a folder, with a verb:
 * "everybody may write"; NULL: nobody. */
const char *other_writer(const struct stat *s);

/* Notes who else may write a file, or its folder. */
void note_writers(struct daemon *d, const char *option, const char *path);

/* Notes that everybody may read a file. */
void note_readers(struct daemon *d, const char *option, const char *path);

/* ---- credentials.c ----------------------------------------------------- */

/* Reads what a log-in needs, two lines, into `out`: the API token, which stands
 * there, and *secret; `may_wait` as for read_text().  Returns NULL, or why it
 * cannot. */
const char *read_secret(const char *path, char out[SECRET_SIZE],
    const char **secret, bool may_wait);

/* Whether log-ins can replace the token's file, if there are any; complains
 * where not. */
bool check_token_file(struct daemon *d);

/* Reads the token's file again, where another process may have written a newer
 * token.  False: there is no other one than before. */
bool read_newer_token(struct daemon *d);

/* Look at the roots, the token and the secret, for --check. */
void check_roots(struct daemon *d);
void check_token(struct daemon *d);
void check_secret(struct daemon *d);

/* Replaces the token's file by the token of a log-in. */
void write_token(struct daemon *d);

/* Loads roots, client and token.  At first what is wrong ends the process,
 * unless a log-in can mend it; on a reload the old ones stay. */
void load(struct daemon *d, bool first);

/* ---- session.c --------------------------------------------------------- */

struct session {
  struct place place;     /* of its file */
  bool offered;           /* the next handshake offers one */
  unsigned char refusals; /* by servers, in a row */
};

/* Finds the session's file; complains where it cannot be kept, and takes the
 * option back. */
void find_session(struct daemon *d);

/* Removes what killed runs have left beside it. */
void sweep_session(const struct daemon *d);

void load_session(struct daemon *d);

/* Keeps the session of an exchange that ended; removes one that failed. */
void keep_session(struct daemon *d, hbeat_connection connection);

/* ---- lock.c ------------------------------------------------------------ */

enum lock_result {
  LOCK_HELD,       /* the state is this process's alone */
  LOCK_BY_ANOTHER, /* another process has it: write and run nothing, and take no
                      reply that may hold an instruction */
  LOCK_IMPOSSIBLE  /* nobody has it, and it cannot be had now; errno says why:
                      write and run nothing until it can */
};

/* The bytes of STATE.lock that are locked.  Locks are a process's own: a keeper
 * has none of its daemon's. */
enum lock_byte {
  DAEMONS_BYTE, /* by the daemon, alone */
  KEEPERS_BYTE  /* by all keepers together, as readers */
};

/* A lock of such a byte, for fcntl(). */
struct flock lock_of(enum lock_byte byte, short type);

/* Locks the state, or makes sure that it still is locked. */
enum lock_result lock_state(struct daemon *d);

/* What lock_state() would say now; nothing is locked or made. */
enum lock_result foresee_lock(const struct daemon *d);

/* ---- state.c ----------------------------------------------------------- */

/* Which file stands at a path, and when it was written. */
struct identity {
  bool exists; /* else there is none, and the rest is zero */
  dev_t device;
  ino_t inode;
  off_t size;
  struct timespec modified;
  struct timespec changed; /* its contents, its name or its rights */
};

struct state {
  struct place place;      /* of its file */
  struct identity left_as; /* what was read or written there last */
  hbeat_memory left;       /* what that holds */
  hbeat_memory handed;     /* what the texts of the last instruction are in */
  bool is_loaded;          /* the start is over: what is read now is merged */
  bool is_lost;            /* another process has the lock: the end */
  bool was_replaced;       /* another file was read since a job was taken */
  bool folder_is_synced;   /* the spare is on the disk as the spare */
  int read_error;          /* the errno that was told last; 0: all is well */
  int write_error;         /* the same */
};

struct identity identity_of(const struct stat *s);

/* Finds the state's file; complains where it cannot be used. */
bool find_state(struct daemon *d);

/* Reads the state at the start, and keeps the lock.  LOCK_BY_ANOTHER: it is not
 * read.  LOCK_IMPOSSIBLE, which is told: heartbeats go on. */
enum lock_result load_state(struct daemon *d);

/* Whether instructions may run, as far as the state goes: it is this process's,
 * and what it holds is known.  Another file that is found is read. */
bool check_state(struct daemon *d);

/* Takes the next instruction that is due, as hbeat_memory_due(), once that is
 * written down.  Its texts live until the next one is taken. */
bool take_due(struct daemon *d, int64_t time_s, const hbeat_limits *limits,
    hbeat_instruction *i);

/* Writes the memory down if it has changed.  While that fails memory.changed
 * stays set, and nothing runs. */
void save_state(struct daemon *d);

/* Looks at the state, for --check. */
void check_state_file(struct daemon *d);

/* ---- spare.c ----------------------------------------------------------- */

/* Replaces the state; false with errno. */
bool write_spare(struct state *state, const void *bytes, size_t size);

/* Allocates the room for the next one, if that can be done. */
void keep_spare(const struct state *state, size_t size);

/* ---- log.c ------------------------------------------------------------- */

enum { PIECE_SIZE = PIPE_BUF }; /* goes into a pipe as a whole */

/* How a sink is written to. */
enum sink_kind {
  SINK_WAITS,  /* as it comes: the process is no daemon, and may wait */
  SINK_POLLED, /* what POLLOUT promises to take at once */
  SINK_OWN,    /* by a descriptor of the daemon's own, with O_NONBLOCK */
  SINK_SOCKET  /* with MSG_DONTWAIT */
};

/* Where lines go: standard output or standard error. */
struct sink {
  int fd;
  enum sink_kind kind;
  size_t promised_size;   /* of a write, if it is polled */
  bool has_failed;        /* not all could be written, ever */
  bool is_inside_line;    /* what was written last does not end a line */
  bool is_torn;           /* the rest of the line under way is dropped */
  uint64_t dropped_bytes; /* of the log, and not told yet */
  size_t size;            /* of the piece under way */
  char piece[PIECE_SIZE];
};

struct log {
  bool json;    /* a line of JSON for each heartbeat, hook and report */
  bool forever; /* a daemon: a line of text for each heartbeat, with the time */
  struct sink sinks[2];
  struct sink *out;
  struct sink *err;              /* may be the same */
  char last_error[MESSAGE_SIZE]; /* "": there was none */
  int64_t last_error_s;          /* when that was */
  bool last_error_is_new;        /* the next heartbeat tells it */
  const char *thing;             /* that --check looks at; NULL: it does not */
  bool thing_is_wrong;
  bool something_is_wrong;
};

void init_log(struct log *log);

/* The process is a daemon, which from here on never waits for its log. */
void begin_daemon_log(struct log *log);

/* Writes a line to standard error. */
void note(struct daemon *d, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* The same for an error: it is remembered as the last one. */
void complain(struct daemon *d, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Remembers an error as the last one. */
void remember_error(struct daemon *d, const char *text);

/* Writes a line to standard error, and ends the process with this status. */
void die(struct daemon *d, int status, const char *format, ...)
    __attribute__((noreturn, format(printf, 3, 4)));

/* Begins to look at a thing, for --check.  What is noted of it, and what is
 * complained of, are rows of a table from here on. */
void look_at(struct daemon *d, const char *thing);

/* Prints a row that says what was found, unless the thing is wrong. */
void tell_found(struct daemon *d, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Prints how an exchange ended. */
void print_outcome(struct daemon *d, hbeat_error e, const char *detail);

/* Prints how a hook ended. */
void print_hook(struct daemon *d, bool well, const char *message);

/* Prints a report that was accepted. */
void print_report(struct daemon *d, const hbeat_request *report);

/* Prints how it goes, as the line of --status-file; false with errno. */
bool print_status(const struct daemon *d, int fd, bool runs);

/* Makes lone halves of surrogate pairs in a text of JSON U+FFFD: the grammar of
 * JSON lets them through, but many a parser does not. */
void mend_surrogates(char *json, size_t size);

/* The same for the parameters of a reply, where they lie in d->body. */
void mend_parameters(struct daemon *d);

/* Whether a byte continues a character of UTF-8. */
bool is_continuation(char c);

/* Writes a string of JSON, or as much of it as fits; returns it. */
const char *quote(const char *text, char *out, size_t size);

/* ---- clock.c ----------------------------------------------------------- */

enum { STAMP_SIZE = 32 }; /* of a date and time as text */

struct clock {
  int64_t floor_s;      /* Unix seconds that have passed, at least ... */
  int64_t floor_at_ms;  /* ... at this time of CLOCK_BOOTTIME */
  bool is_the_servers;  /* the floor is exact: the server told it */
  bool doubts_are_told; /* the log says that nobody vouches for the clock */
};

/* CLOCK_MONOTONIC. */
int64_t now_ms(void);

/* How long it is until a time of that clock; nothing where that has come. */
struct timespec time_until(int64_t at_ms);

/* The floor before the server tells the time: when this file was compiled, a
 * day less, wherever that was. */
void init_clock(struct clock *c);

/* Takes the server's time. */
void set_clock(struct clock *c, int64_t server_time_s);

/* Takes the time that a state has, as a floor: the clock is not before that.  A
 * time beyond the year 9999 is none. */
void raise_clock(struct clock *c, int64_t time_s);

/* Unix seconds, by the server's clock if it is known.  They are never beyond
 * the year 9999. */
int64_t now_s(const struct clock *c);

/* Whether the kernel vouches for the system's clock: it is synchronized. */
bool system_clock_is_set(const struct clock *c);

/* Unix seconds that somebody vouches for: the server, which has told the time
 * to this process, or the kernel, whose clock is synchronized.  HBEAT_NONE:
 * nobody does. */
int64_t vouched_now_s(const struct clock *c);

/* Writes "2026-11-30T01:03:19Z", as in RFC 3339; returns `out`. */
const char *write_stamp(int64_t unix_s, char out[STAMP_SIZE]);

/* Makes the loop go on at this time, if not before. */
void wake_at(struct daemon *d, int64_t at_ms);

/* The same for an instruction whose run_at is to come, or for which there is no
 * clock that somebody vouches for. */
void wake_for_run_at(struct daemon *d, int64_t run_at_s);

/* ---- random.c ---------------------------------------------------------- */

/* Returns 32 random bits: the kernel's, or where it has none those of a
 * seed. */
uint32_t draw_random(const struct daemon *d);

/* What differs from device to device, from start to start, and from one moment
 * to the next. */
struct seed {
  const char *device;
  pid_t pid;
  uint64_t monotonic_ns;
  uint64_t system_ns;
};

/* Makes 32 bits of a seed; each of them depends on all of it. */
uint32_t mix_seed(const struct seed *seed);

/* ---- systemd.c --------------------------------------------------------- */

/* Tells the service manager, if there is one: sd_notify(3). */
void notify_systemd(const char *state);

/* What STATUS= told last. */
struct status {
  int64_t beat_ended_s;
  int64_t next_ms;
  char hook[LCUID_SIZE]; /* the instruction whose hook runs, or "" */
};

/* Tells the service manager how the last heartbeat went, when the next one is
 * due, and which hook runs, where any of that has changed. */
void tell_status(struct daemon *d);

/* Whether a descriptor is the journal's, which puts the time to each line. */
bool is_journal(int fd);

/* Shows the watchdog that the loop lives, twice in the time that it allows. */
void feed_watchdog(struct daemon *d);

/* ---- programs.c -------------------------------------------------------- */

enum program_state {
  PROGRAM_NONE, /* it does not run */
  PROGRAM_RUNS,
  PROGRAM_IS_ENDED /* its time is over, or it printed too much: it was told */
};

enum end_kind {
  END_EXITED,   /* with status `code` */
  END_KILLED,   /* by signal `code` */
  END_STUCK,    /* not at all: not even SIGKILL ends it */
  END_UNSTARTED /* it never ran: errno was `code` */
};

/* How a program ended. */
struct program_end {
  enum end_kind kind;
  int code;
  bool late;     /* it was told to end: its time was over, or it printed too
                    much.  (A keeper says so of any signal.) */
  bool too_long; /* it printed more than was taken, and then ended by itself */
};

/* One of a program's two outputs, taken line by line. */
struct stream {
  /* A line, without its end.  False: no more are taken.  NULL: nobody asks for
   * lines. */
  bool (*line)(struct daemon *d, const char *line);
  size_t line_size; /* what is kept of a line, with its NUL */

  int fd;                   /* -1: none */
  size_t size;              /* of the line under way */
  char text[LOG_LINE_SIZE]; /* the line under way */
};

/* The end of all that a program printed, to both outputs. */
struct tail {
  size_t total;           /* how many bytes there were */
  char bytes[TAIL_BYTES]; /* the last ones: byte N is at N % TAIL_BYTES */
};

/* A program that is run, one at a time.  The owner sets the first members. */
struct program {
  int64_t limit_ms; /* how long it may run; 0: for ever */
  int first_signal; /* ends it when its time is over; 2 s later SIGKILL does */
  bool is_hook;     /* its end is written down, and the next daemon waits */

  struct stream out; /* standard output */
  struct stream err; /* standard error */

  /* Its time is over, or it printed too much; NULL: nothing is to be done. */
  void (*late)(struct daemon *d);

  /* It has ended, and all of its process group with it (but for a keeper that
   * was killed); or it cannot be ended, or was not even started. */
  void (*end)(struct daemon *d, const struct program_end *end);

  enum program_state state;
  int keeper;     /* a socket to its keeper; -1: none */
  int64_t end_ms; /* when its time is over */
  bool too_long;  /* it printed more than was taken */
  struct tail printed;
};

/* A variable of a program's environment. */
struct variable {
  const char *name;
  const char *value;
};

/* A program before its first start: it has no descriptors. */
void init_program(struct program *p);

/* Starts a program with a text on its standard input; false with errno.  What
 * only its keeper can find out comes as END_UNSTARTED. */
bool start_program(struct daemon *d, struct program *p, const char *path,
    const char *input, const struct variable *variables, size_t count);

/* Takes its output, its time and its end. */
void mind_program(struct daemon *d, struct program *p);

/* Sends a signal to the program and all that it started, if it runs. */
void signal_program(const struct program *p, int number);

/* Writes the end of what a program printed, with an ellipsis in front where
 * something is left out. */
void write_tail(const struct tail *tail, char out[TAIL_SIZE]);

/* Reads, and forgets, what the children of programs print that have ended: else
 * SIGPIPE would end those. */
void mind_leftovers(struct daemon *d);

/* Takes the end of each child: keepers, and those that a parent left here. */
void reap_children(void);

/* ---- keeper.c ---------------------------------------------------------- */

/* What a keeper is to start, and with what. */
struct charge {
  const char *path;
  const struct variable *variables;
  size_t variable_count;
  bool is_hook;
  int in; /* the program's standard descriptors */
  int out;
  int err;
  int out_reader; /* the daemon's ends of its outputs */
  int err_reader;
  int daemon; /* a socket to the daemon */
};

/* Becomes the keeper of a program. */
void keep_program(struct daemon *d, const struct charge *charge)
    __attribute__((noreturn));

/* How a hook ended, as its keeper wrote it down. */
struct kept_end {
  char lcuid[LCUID_SIZE];
  char name[NAME_MAX_SIZE];
  bool acknowledged; /* by --ack-first */
  struct program_end end;
};

/* Reads what a keeper wrote down.  False: there is nothing. */
bool read_kept_end(struct daemon *d, struct kept_end *kept);

/* Removes it, once the state says how the hook ended. */
void forget_kept_end(struct daemon *d);

/* Waits until no hook of an earlier daemon lives; with the state locked. */
void await_keepers(struct daemon *d);

/* ---- jobs.c ------------------------------------------------------------ */

/* Where the instruction in hand is, between being taken and its end.
 *
 *     NONE -> READY -> RUNNING -> NONE
 *       |       ^ accepted
 *       `-> ASK_FIRST -> ASKED -> NONE, if it never will be accepted
 *                ^-- failed --'
 */
enum job_state {
  JOB_NONE,      /* there is none */
  JOB_ASK_FIRST, /* is to be acknowledged before it runs: --ack-first */
  JOB_ASKED,     /* that acknowledgement is under way */
  JOB_READY,     /* may run */
  JOB_RUNNING    /* its hook runs */
};

struct job {
  enum job_state state;
  bool timed;        /* it had a run_at */
  bool acknowledged; /* by --ack-first: its report is made already */
  int64_t until_ms;  /* when it is too late to start it */
  int64_t retry_ms;  /* when it is started again, after a shortage ... */
  int shortage;      /* ... for this errno; 0: there was none */
  char lcuid[LCUID_SIZE];
  char name[HBEAT_INSTRUCTION_MAX + 1];
  char parameters[HBEAT_INSTRUCTION_MAX + 1];
};

void init_jobs(struct daemon *d);

/* Complains of a folder of hooks that is not there, and notes --ack-first
 * without a hook: either may be installed later. */
void check_hooks(struct daemon *d);

/* NULL, or why this user cannot run what a path names. */
const char *why_not_executable(const char *path);

/* Looks at all hooks, and at those of --ack-first, for --check. */
void check_each_hook(struct daemon *d);

/* Takes the next instruction, or goes on with the one in hand. */
void next_job(struct daemon *d);

/* The acknowledgement before the run has ended; `settled`: it was accepted, or
 * never will be. */
void end_asking(struct daemon *d, bool accepted, bool settled);

/* How many reports wait to be sent. */
size_t count_reports(const hbeat_memory *memory);

/* The daemon ends: what was acknowledged and has not run has failed. */
void abandon_job(struct daemon *d);

/* The daemon begins: a hook that came to its end without it was not
 * interrupted. */
void recall_end(struct daemon *d);

/* ---- beats.c ----------------------------------------------------------- */

enum exchange_kind {
  EXCHANGE_NONE,
  EXCHANGE_BEAT,
  EXCHANGE_LOGIN,
  EXCHANGE_ASK,   /* the acknowledgement of the job in hand, before it runs */
  EXCHANGE_REPORT /* of a job that has ended */
};

/* The exchange under way. */
struct exchange {
  enum exchange_kind kind;
  hbeat_request request;
  int64_t begun_ms;

  /* The texts of a report, which the memory may move while it is sent. */
  char lcuid[LCUID_SIZE];
  char message[HBEAT_INSTRUCTION_MAX + 1];
  char data[HBEAT_INSTRUCTION_MAX + 1];
};

/* What was done last about the token of the heartbeat under way, which the
 * server has refused. */
enum remedy {
  REMEDY_NONE,
  REMEDY_FILE, /* the token's file was read again */
  REMEDY_LOGIN
};

struct beats {
  hbeat_policy policy;
  int64_t beats_left;       /* where it does not go on for ever */
  int64_t next_ms;          /* when the next heartbeat is due */
  int64_t begun_ms;         /* when the last one began, or else 0 */
  int64_t ended_s;          /* when the last one ended, or else 0 */
  int64_t succeeded_s;      /* when the last one that went well ended, or 0 */
  uint32_t failures;        /* in a row, for the schedule: SIGHUP forgives */
  uint32_t failed_in_a_row; /* since succeeded_s */
  uint32_t exchanges_ended; /* of any kind */
  bool first_beat_ended;    /* no hook runs before: its Date sets the clock */
  enum remedy remedy;       /* for the heartbeat under way */
  bool last_went_well;      /* the last exchange, of whatever kind */
  bool may_report;          /* since the last heartbeat nothing has failed */
  hbeat_error last_error;   /* of the last heartbeat ... */
  int last_http_status;     /* ... or 0 */
  hbeat_connection last_connection;
  int64_t last_clock_offset_s; /* or HBEAT_NONE */
  hbeat_error last_unlearnt;   /* why an instruction was not; OK: each was */
  int exit_status;
  char secret[SECRET_SIZE]; /* two lines, while a log-in is under way */
};

/* What --info-command printed for the next heartbeat. */
struct info {
  bool complete; /* it has ended, and need not run again */
  size_t line_count;
  char lines[INFO_LINES][LINE_SIZE];
};

void init_beats(struct daemon *d);

/* The heartbeat of now, with the facts that are known. */
hbeat_request make_beat(struct daemon *d);

/* Sets when the next heartbeat is due. */
void schedule_beat(struct daemon *d, hbeat_error e);

/* Makes the next heartbeat due now, or a second after the last one began. */
void hasten_beat(struct daemon *d);

/* Whether there is a heartbeat to come: one of those that were asked for, or
 * any while a hook runs, which may take long, or the one whose token was
 * refused. */
bool beats_go_on(const struct daemon *d);

/* Begins what comes next: a report, or when it is time a heartbeat. */
void next_exchange(struct daemon *d);

/* Takes the outcome of the exchange under way. */
void end_exchange(struct daemon *d, hbeat_error e);

/* ---- status.c ---------------------------------------------------------- */

struct status_file {
  struct place place;
  int write_error; /* the errno that was told last; 0: all is well */

  /* What it was written for last. */
  bool is_written;
  uint32_t exchanges_ended;
  uint32_t jobs_ended;
  enum job_state job_state;
  int64_t next_ms;
};

/* Finds the file of --status-file, and what the last run has left in it;
 * complains where it cannot be kept, and takes the option back. */
void find_status_file(struct daemon *d);

/* Replaces it where something has changed. */
void write_status_file(struct daemon *d);

/* Replaces it once more: the process ends. */
void end_status_file(struct daemon *d);

/* ---- check.c ----------------------------------------------------------- */

/* Looks at all that heartbeats and instructions need; sends and changes
 * nothing.  Returns the exit status. */
int check(struct daemon *d);

/* ---- The daemon -------------------------------------------------------- */

struct daemon {
  struct options options;
  struct log log;
  struct clock clock;

  hbeat_config cfg;
  hbeat_client client;
  hbeat_reply reply;
  hbeat_memory memory;

  struct place token_place; /* of the token's file */
  struct session session;
  struct state state;
  struct beats beats;
  struct exchange exchange;
  struct info info;
  struct program info_program;
  struct job job;
  uint32_t jobs_ended;
  struct program hook;
  bool end_is_kept;         /* a hook's end is beside the state, too */
  int leftovers[LEFTOVERS]; /* outputs of programs that have ended; -1: none */
  int64_t leftovers_ms;     /* when these are read again */

  int64_t wake_ms;     /* when the loop is to go on */
  int64_t stop_ms;     /* when it ends at the latest; 0: no signal came */
  int64_t watchdog_ms; /* when the watchdog is to be fed */
  struct status told;
  struct status_file status_file;
  sigset_t usual_mask; /* the signal mask that the process was started with */
  int state_lock;      /* descriptor of STATE.lock; -1: none */

  /* Memory that others point into. */
  unsigned char tls[HBEAT_TLS_BUFFER_SIZE];
  unsigned char arenas[2][ARENA_SIZE]; /* one is in use, the other is loaded */
  int arena;                           /* the one to load next */
  char token[TOKEN_SIZE];
  char body[BODY_SIZE];
  char facts_error[MESSAGE_SIZE + 16];
  const char *facts[LIST_SIZE + INFO_LINES + 1];
  char config[CONFIG_SIZE];    /* the file of --config, which options are in */
  char site[VALUE_SIZE];       /* the host */
  char address[VALUE_SIZE];    /* --connect */
  char proxy_url[VALUE_SIZE];  /* the proxy's URL, then the login in it */
  char proxy_host[VALUE_SIZE]; /* the proxy's name */
};

#endif
