/* The instruction in hand, from being taken to its report, and its hook.
 *
 * The memory of the library hands instructions out, each once.  One is in hand
 * at a time; daemon.h draws its states.  Before anything runs, the memory that
 * says so is on the disk: while it cannot be written, nothing runs.
 *
 * --ack-first is for what ends the process, such as a reboot: its report is
 * accepted before it runs, and none is made behind it, unless it fails and the
 * daemon is still there to tell.
 *
 * What there is too little of, such as descriptors or processes, does not fail
 * an instruction: its hook is started later, while --max-age allows. */
#include "daemon.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

/* ---- Its end ----------------------------------------------------------- */

/* Writes its report down; not where that was made before it ran, unless it has
 * failed and the daemon goes on. */
static void end_job(
    struct daemon *d, bool well, const char *message, const char *data) {
  struct job *job = &d->job;
  bool failed_after_all = !well && d->stop_ms == 0;

  hbeat_call call = HBEAT_ACKNOWLEDGE;
  print_hook(d, well, message);
  if (!well) call = HBEAT_FAILED;
  else message = NULL; /* an acknowledgement has none */
  if (!job->acknowledged || failed_after_all)
    hbeat_memory_end(&d->memory, job->lcuid, call, message, data);
  save_state(d);
  forget_kept_end(d);
  if (d->beats.last_went_well && !job->timed) d->beats.may_report = true;
  job->state = JOB_NONE;
  d->jobs_ended++;
  wake_at(d, 0); /* for the next one */
}

void abandon_job(struct daemon *d) {
  struct job *job = &d->job;

  if (job->state != JOB_READY || !job->acknowledged) return;
  hbeat_memory_end(&d->memory, job->lcuid, HBEAT_FAILED, "interrupted", NULL);
}

/* A server that did not answer is asked again; one that refused for good is
 * not, and the memory has ended the instruction. */
void end_asking(struct daemon *d, bool accepted, bool settled) {
  struct job *job = &d->job;

  job->acknowledged = accepted;
  if (accepted) job->state = JOB_READY;
  else if (settled) job->state = JOB_NONE;
  else job->state = JOB_ASK_FIRST;
}

/* Writes the path of an instruction's hook; returns it. */
static const char *hook_path(
    const struct options *o, const char *name, char path[PATH_SIZE]) {
  snprintf(path, PATH_SIZE, "%s/%.*s", o->hooks, NAME_MAX_SIZE - 1, name);
  return path;
}

/* ---- How a hook ended -------------------------------------------------- */

enum { HOW_SIZE = 96 }; /* of words that say how a hook ended */

/* Makes what a hook printed UTF-8, as a report is. */
static void make_utf8(char *text) {
  char line[6 * TAIL_SIZE];
  hbeat_json json;

  quote(text, line, sizeof line);
  if (hbeat_json_parse(line, strlen(line), &json) == HBEAT_OK) return;
  for (; *text != '\0'; text++)
    if (*text & 0x80) *text = '?';
}

/* {"exit_status":1,"message":"..."}: how a hook ended, and what it printed
 * last, as far as that fits; NULL where it has no end. */
static const char *describe_end(const struct program_end *end,
    const char *printed, char data[REPORT_SIZE]) {
  const char *kind = end->kind == END_KILLED ? "signal" : "exit_status";
  char line[REPORT_SIZE - 32];

  if (end->kind == END_STUCK) return NULL;
  if (*printed == '\0') {
    snprintf(data, REPORT_SIZE, "{\"%s\":%d}", kind, end->code);
    return data;
  }
  quote(printed, line, sizeof line);
  snprintf(
      data, REPORT_SIZE, "{\"%s\":%d,\"message\":%s}", kind, end->code, line);
  return data;
}

/* The same in words. */
static const char *say_how(const struct program_end *end, char how[HOW_SIZE]) {
  switch (end->kind) {
  case END_EXITED: snprintf(how, HOW_SIZE, "exit status %d", end->code); break;
  case END_KILLED:
    snprintf(how, HOW_SIZE, "killed by signal %d", end->code);
    break;
  case END_STUCK:
    snprintf(how, HOW_SIZE, "cannot be ended: SIGKILL did not end it");
    break;
  case END_UNSTARTED: snprintf(how, HOW_SIZE, "it did not run"); break;
  }
  return how;
}

/* ---- Reports ----------------------------------------------------------- */

/* They are counted in a copy, for their order is to stay. */
size_t count_reports(const hbeat_memory *memory) {
  hbeat_memory copy = *memory;
  char first[LCUID_SIZE] = "";
  hbeat_request report;
  size_t count = 0;

  while (hbeat_memory_report(&copy, &report)) {
    if (strcmp(report.instruction, first) == 0) break;
    if (count == 0) snprintf(first, sizeof first, "%s", report.instruction);
    count++;
  }
  return count;
}

/* ---- A hook that ended without a daemon -------------------------------- */

/* Whether the memory has taken an instruction's hook for interrupted: there is
 * such a report to make.  It is looked for in a copy, for the order of the
 * reports is to stay. */
static bool seems_interrupted(const hbeat_memory *memory, const char *lcuid) {
  hbeat_memory copy = *memory;
  char first[LCUID_SIZE] = "";
  hbeat_request report;

  while (hbeat_memory_report(&copy, &report)) {
    if (strcmp(report.instruction, first) == 0) return false;
    if (first[0] == '\0')
      snprintf(first, sizeof first, "%s", report.instruction);
    if (strcmp(report.instruction, lcuid) != 0) continue;
    return report.message && !report.response_data &&
        strcmp(report.message, "interrupted") == 0;
  }
  return false;
}

/* What was acknowledged before it ran may have ended the whole system, with
 * signals to all: only its own word is a failure. */
static bool is_news(const struct daemon *d, const struct kept_end *kept) {
  if (!kept->acknowledged) return seems_interrupted(&d->memory, kept->lcuid);
  return kept->end.kind == END_EXITED && kept->end.code != 0;
}

/* The state that was read is of before the hook's end. */
void recall_end(struct daemon *d) {
  struct job *job = &d->job;
  struct kept_end kept;
  char data[REPORT_SIZE];
  char how[HOW_SIZE];

  if (!read_kept_end(d, &kept) || !is_news(d, &kept)) return;
  bool well = kept.end.kind == END_EXITED && kept.end.code == 0;
  hbeat_call call = well ? HBEAT_ACKNOWLEDGE : HBEAT_FAILED;
  const char *message = well ? NULL : say_how(&kept.end, how);
  memcpy(job->lcuid, kept.lcuid, sizeof kept.lcuid);
  memcpy(job->name, kept.name, sizeof kept.name);
  print_hook(d, well, message);
  hbeat_memory_end(
      &d->memory, kept.lcuid, call, message, describe_end(&kept.end, "", data));
}

/* ---- Its hook ---------------------------------------------------------- */

/* A line that a hook prints to standard error goes into the log. */
static bool log_line(struct daemon *d, const char *line) {
  note(d, "hook %s: %s", d->job.name, line);
  return true;
}

/* What the system may have again in a moment. */
static bool is_shortage(int error) {
  switch (error) {
  case EAGAIN:
  case EMFILE:
  case ENFILE:
  case ENOLCK:
  case ENOMEM: return true;
  default: return false;
  }
}

/* The hook is started again later, which the log says once. */
static void postpone_hook(struct daemon *d, int error) {
  struct job *job = &d->job;

  if (job->shortage == 0)
    complain(d, "hook %s cannot be started: %s: tried again each second",
        job->name, strerror(error));
  job->shortage = error;
  job->state = JOB_READY;
  job->retry_ms = now_ms() + SECOND;
  wake_at(d, job->retry_ms);
}

/* A script's first line, cut to what the system reads of it; "" where there is
 * none. */
static void read_first_line(const char *path, char line[256]) {
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  ssize_t n = fd >= 0 ? read(fd, line, 255) : -1;

  if (fd >= 0) close(fd);
  line[n > 0 ? n : 0] = '\0';
  line[strcspn(line, "\n")] = '\0';
  if (strncmp(line, "#!", 2) != 0) line[0] = '\0';
}

/* Why exec() did not run a file that is there and executable. */
static const char *why_not_run(struct daemon *d, int error) {
  char path[PATH_SIZE];
  char line[256];

  read_first_line(hook_path(&d->options, d->job.name, path), line);
  size_t size = strlen(line);
  bool has_cr = size > 0 && line[size - 1] == '\r';
  if (error == ENOENT && has_cr)
    return "its first line ends in CR LF, which must be LF alone";
  if (error == ENOENT && size > 0)
    return "the interpreter in its first line does not exist";
  if (error == ENOENT) return "its interpreter or loader does not exist";
  if (error == ENOEXEC)
    return "neither a program of this machine nor a script that begins with #!";
  return strerror(error);
}

/* There is nothing to run. */
static void refuse_job(struct daemon *d, const char *why) {
  char message[MESSAGE_SIZE];

  snprintf(message, sizeof message, "not supported: %s", why);
  end_job(d, false, message, NULL);
}

/* It never ran. */
static void end_unstarted(struct daemon *d, int error) {
  if (is_shortage(error)) postpone_hook(d, error);
  else refuse_job(d, why_not_run(d, error));
}

/* What the report says: what the hook itself printed last, or else how it
 * ended. */
static void end_hook(struct daemon *d, const struct program_end *end) {
  bool exited = end->kind == END_EXITED && !end->late;
  bool well = exited && end->code == 0;
  const char *interrupted = d->stop_ms != 0 ? "interrupted: " : "";
  char printed[TAIL_SIZE];
  char data[REPORT_SIZE];
  char message[HOW_SIZE + 64];
  char how[HOW_SIZE];

  if (end->kind == END_UNSTARTED) {
    end_unstarted(d, end->code);
    return;
  }
  d->end_is_kept = true;
  write_tail(&d->hook.printed, printed);
  make_utf8(printed);
  say_how(end, how);
  const char *described = describe_end(end, printed, data);
  if (end->late)
    snprintf(message, sizeof message, "timed out after %g s%s%s",
        (double)d->hook.limit_ms / 1000, end->kind == END_STUCK ? ", " : "",
        end->kind == END_STUCK ? how : "");
  else snprintf(message, sizeof message, "%s%s", interrupted, how);
  if (exited && printed[0] != '\0') end_job(d, well, printed, described);
  else end_job(d, well, well ? NULL : message, described);
}

/* A hook may tidy up: SIGTERM comes first. */
void init_jobs(struct daemon *d) {
  init_program(&d->hook);
  d->hook.first_signal = SIGTERM;
  d->hook.is_hook = true;
  d->hook.err.line = log_line;
  d->hook.err.line_size = LOG_LINE_SIZE;
  d->hook.end = end_hook;
}

/* ---- Its beginning ----------------------------------------------------- */

/* Whether it is to be acknowledged before it runs. */
static bool is_asked_first(const struct options *o, const char *name) {
  for (const char *const *first = o->ack_first; *first; first++)
    if (strcmp(*first, name) == 0) return true;
  return false;
}

/* The memory's texts do not live as long as the job.  All of them fit: together
 * they are a record's. */
static void copy_instruction(struct job *job, const hbeat_instruction *i) {
  memcpy(job->lcuid, i->lcuid, strlen(i->lcuid) + 1);
  memcpy(job->name, i->name, strlen(i->name) + 1);
  if (i->parameters.type == HBEAT_JSON_NONE ||
      i->parameters.type == HBEAT_JSON_NULL)
    memcpy(job->parameters, "[]", 3);
  else memcpy(job->parameters, i->parameters.text, i->parameters.size);
}

/* A time in seconds, rounded up. */
static int64_t seconds_of(const struct number *time) {
  return (time->value + SECOND - 1) / SECOND;
}

/* How old an instruction may be.  How long it has waited is only told by the
 * server's clock: it says when it was made. */
static hbeat_limits age_limits(const struct daemon *d) {
  const struct options *o = &d->options;
  hbeat_limits limits = {.max_age_s = seconds_of(&o->max_age)};

  if (d->clock.is_the_servers) limits.max_wait_s = seconds_of(&o->max_wait);
  return limits;
}

/* Takes the next instruction that is due.  False: there is none. */
static bool take_job(struct daemon *d) {
  struct job *job = &d->job;
  int64_t max_age_ms = d->options.max_age.value;
  int64_t now = vouched_now_s(&d->clock);
  hbeat_limits limits = age_limits(d);
  hbeat_instruction i;

  bool due = take_due(d, now, &limits, &i);
  if (!due && i.run_at_s != HBEAT_NONE) wake_for_run_at(d, i.run_at_s);
  if (!due) return false;
  memset(job, 0, sizeof *job);
  job->state = is_asked_first(&d->options, i.name) ? JOB_ASK_FIRST : JOB_READY;
  job->timed = i.run_at_s != HBEAT_NONE;
  job->until_ms = INT64_MAX;
  if (max_age_ms > 0) job->until_ms = now_ms() + max_age_ms;
  copy_instruction(job, &i);
  return true;
}

/* Whether a name may be that of a file in the hooks' folder. */
static bool is_file_name(const char *name) {
  static const char allowed[] = "abcdefghijklmnopqrstuvwxyz0123456789._-"
                                "ABCDEFGHIJKLMNOPQRSTUVWXYZ";

  if (*name == '\0' || *name == '.') return false;
  if (strlen(name) >= NAME_MAX_SIZE) return false;
  return name[strspn(name, allowed)] == '\0';
}

/* Whether the file system of a path runs no programs. */
static bool is_noexec(const char *path) {
  struct statvfs s;

  return statvfs(path, &s) == 0 && (s.f_flag & ST_NOEXEC) != 0;
}

const char *why_not_executable(const char *path) {
  struct stat s;

  if (stat(path, &s) != 0) {
    bool dangles = errno == ENOENT && lstat(path, &s) == 0;
    if (dangles) return "a link to a file that does not exist";
    return errno == ENOENT ? "no such file" : strerror(errno);
  }
  if (S_ISDIR(s.st_mode)) return "it is a folder";
  if (!S_ISREG(s.st_mode)) return "it is not a regular file";
  if (access(path, X_OK) == 0) return NULL;
  if (errno != EACCES) return strerror(errno);
  if ((s.st_mode & 0111) != 0 && is_noexec(path))
    return "its file system is mounted noexec";
  return "the file is not executable";
}

/* Writes the path of an instruction's hook.  Returns NULL, or why there is none
 * to run. */
static const char *find_hook(
    const struct options *o, const char *name, char path[PATH_SIZE]) {
  *path = '\0';
  if (!is_file_name(name)) return "its name cannot be that of a file";
  return why_not_executable(hook_path(o, name, path));
}

/* Notes that --ack-first names a hook that is not there. */
static void note_missing(struct daemon *d, const char *name) {
  char path[PATH_SIZE];
  const char *why = find_hook(&d->options, name, path);

  if (why)
    note(d, "--ack-first %s: %s: %s/%s: until this is fixed, it fails", name,
        why, d->options.hooks, name);
}

/* Complains of a folder in which no hook can be found. */
static void check_hooks_folder(struct daemon *d) {
  const char *hooks = d->options.hooks;
  char path[PATH_SIZE];

  snprintf(path, sizeof path, "%s/.", hooks);
  if (access(path, X_OK) != 0)
    complain(d, "--hooks %s: %s: until this is fixed, every instruction fails",
        hooks, strerror(errno));
}

/* Whether there are hooks; notes what has no meaning without them. */
static bool has_hooks(struct daemon *d) {
  const struct options *o = &d->options;

  if (o->ack_first[0] && !o->hooks)
    note(d, "--ack-first does nothing without --hooks");
  return o->hooks != NULL;
}

void check_hooks(struct daemon *d) {
  const struct options *o = &d->options;

  if (!has_hooks(d)) return;
  check_hooks_folder(d);
  for (const char *const *name = o->ack_first; *name; name++)
    note_missing(d, *name);
}

/* Runs the hook, or says why there is none to run. */
static void start_hook(struct daemon *d) {
  struct job *job = &d->job;
  const struct variable variables[] = {
      {"LUCIT_INSTRUCTION", job->lcuid},
      {"LUCIT_NAME", job->name},
  };
  char path[PATH_SIZE];
  const char *why = find_hook(&d->options, job->name, path);

  if (why) {
    refuse_job(d, why);
    return;
  }
  if (!start_program(d, &d->hook, path, job->parameters, variables, 2)) {
    end_unstarted(d, errno);
    return;
  }
  job->state = JOB_RUNNING;
}

/* It waited too long, for whatever. */
static void end_stale(struct daemon *d) {
  char message[HOW_SIZE];

  snprintf(message, sizeof message, "stale: it could not be started: %s",
      strerror(d->job.shortage));
  end_job(d, false, d->job.shortage != 0 ? message : "stale", NULL);
}

/* Nothing runs that is not written down, nor before the first heartbeat, nor
 * what another file, that came in between, may have seen run. */
void next_job(struct daemon *d) {
  struct job *job = &d->job;

  forget_kept_end(d);
  if (!d->options.hooks || !d->beats.first_beat_ended) return;
  if (job->state == JOB_RUNNING || job->state == JOB_ASKED) return;
  if (!check_state(d)) return;
  if (job->state == JOB_NONE && !take_job(d)) return;
  if (now_ms() >= job->until_ms) end_stale(d);
  else if (d->state.was_replaced)
    end_job(d, false, "the state was replaced: it may have run", NULL);
  else if (d->memory.changed || job->state == JOB_ASK_FIRST)
    wake_at(d, job->until_ms);
  else if (now_ms() < job->retry_ms) wake_at(d, job->retry_ms);
  else start_hook(d);
}

/* ---- For --check ------------------------------------------------------- */

/* Counts the programs in the folder; notes what no instruction can run, and
 * what others can replace. */
static size_t count_hooks(struct daemon *d) {
  const char *hooks = d->options.hooks;
  char path[PATH_SIZE];
  size_t count = 0;
  struct stat s;

  DIR *files = opendir(hooks);
  if (!files) {
    note(d, "--hooks %s: cannot be listed: %s", hooks, strerror(errno));
    return 0;
  }
  for (struct dirent *e = readdir(files); e; e = readdir(files)) {
    if (e->d_name[0] == '.') continue;
    const char *why = find_hook(&d->options, e->d_name, path);
    const char *who = NULL;
    if (!why && stat(path, &s) == 0) who = other_writer(&s);
    if (why) note(d, "%s/%s: %s: it is no hook", hooks, e->d_name, why);
    else count++;
    if (who) note(d, "%s: %s this file, which decides what runs", path, who);
  }
  closedir(files);
  return count;
}

/* A name that was given is meant: without its hook it is wrong, though the
 * daemon would begin. */
static void check_named_hook(struct daemon *d, const char *name) {
  char path[PATH_SIZE];
  const char *why = find_hook(&d->options, name, path);

  look_at(d, "ack-first");
  if (why) complain(d, "--ack-first %s: %s", name, why);
  else tell_found(d, "--ack-first %s: %s", name, path);
}

/* Whoever can write the folder, or a hook, can run what he likes: that is told,
 * and does not keep hooks from running. */
void check_each_hook(struct daemon *d) {
  const struct options *o = &d->options;
  const char *who = NULL;
  struct stat s;

  if (!has_hooks(d)) {
    tell_found(d, "none: no instruction runs");
    return;
  }
  check_hooks_folder(d);
  if (stat(o->hooks, &s) == 0) who = other_writer(&s);
  if (who) note(d, "--hooks %s: %s it, which decides what runs", o->hooks, who);
  tell_found(
      d, "--hooks %s: those that can run: %zu", o->hooks, count_hooks(d));
  for (const char *const *name = o->ack_first; *name; name++)
    check_named_hook(d, *name);
}
