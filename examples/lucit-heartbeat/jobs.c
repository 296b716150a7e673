/* The instruction in hand, from being taken to its report, and its hook.
 *
 * The memory of the library hands instructions out, each once.  One is in hand
 * at a time; daemon.h draws its states.  Before anything runs, the memory that
 * says so is on the disk: while it cannot be written, nothing runs.
 *
 * --ack-first is for what ends the process, such as a reboot: its report is
 * accepted before it runs, and none is made behind it, unless it fails and the
 * daemon is still there to tell. */
#include "daemon.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
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
  if (d->beats.last_went_well && !job->timed) d->beats.may_report = true;
  job->state = JOB_NONE;
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

/* ---- Its hook ---------------------------------------------------------- */

/* The last line that a hook prints goes into its report. */
static bool take_line(struct daemon *d, const char *line) {
  memcpy(d->job.line, line, strlen(line) + 1);
  return true;
}

/* Makes the last line that the hook printed UTF-8, as a report is. */
static void make_utf8(char *text) {
  char line[6 * LINE_SIZE];
  hbeat_json json;

  quote(text, line, sizeof line);
  if (hbeat_json_parse(line, strlen(line), &json) == HBEAT_OK) return;
  for (; *text != '\0'; text++)
    if (*text & 0x80) *text = '?';
}

/* {"exit_status":1,"message":"..."}: how a hook ended, and its last line. */
static void describe_end(const struct daemon *d, const struct program_end *end,
    char *data, size_t size) {
  const char *kind = end->killed ? "signal" : "exit_status";
  char line[REPORT_SIZE - 32];

  if (d->job.line[0] == '\0') {
    snprintf(data, size, "{\"%s\":%d}", kind, end->code);
    return;
  }
  quote(d->job.line, line, sizeof line);
  snprintf(data, size, "{\"%s\":%d,\"message\":%s}", kind, end->code, line);
}

/* What the report says: the hook's own last line, or else how it ended. */
static void end_hook(struct daemon *d, const struct program_end *end) {
  bool well = end->code == 0 && !end->late;
  const char *interrupted = d->stop_ms != 0 ? "interrupted: " : "";
  char data[REPORT_SIZE];
  char how[64];

  make_utf8(d->job.line);
  describe_end(d, end, data, sizeof data);
  if (end->late)
    snprintf(how, sizeof how, "timed out after %g s",
        (double)d->hook.limit_ms / 1000);
  else if (end->killed)
    snprintf(how, sizeof how, "%skilled by signal %d", interrupted, end->code);
  else snprintf(how, sizeof how, "%sexit status %d", interrupted, end->code);
  bool has_message = d->job.line[0] != '\0' && !end->late && !end->killed;
  if (has_message) end_job(d, well, d->job.line, data);
  else if (well) end_job(d, true, NULL, data);
  else end_job(d, false, how, data);
}

/* A hook may tidy up: SIGTERM comes first. */
void init_jobs(struct daemon *d) {
  d->hook.out = -1;
  d->hook.first_signal = SIGTERM;
  d->hook.line = take_line;
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

/* A regular file that this user may run. */
static bool is_executable(const char *path) {
  struct stat s;

  return stat(path, &s) == 0 && S_ISREG(s.st_mode) && access(path, X_OK) == 0;
}

/* Writes the path of an instruction's hook; false: there is none. */
static bool find_hook(
    const struct options *o, const char *name, char path[PATH_SIZE]) {
  snprintf(path, PATH_SIZE, "%s/%s", o->hooks, name);
  return is_file_name(name) && is_executable(path);
}

void check_hooks(struct daemon *d) {
  const struct options *o = &d->options;
  char path[PATH_SIZE];

  if (o->ack_first[0] && !o->hooks)
    note(d, "--ack-first does nothing without --hooks");
  if (!o->hooks) return;
  snprintf(path, sizeof path, "%s/.", o->hooks);
  if (access(path, X_OK) != 0)
    complain(d, "--hooks %s: %s: until this is fixed, every instruction fails",
        o->hooks, strerror(errno));
  for (const char *const *name = o->ack_first; *name; name++)
    if (!find_hook(o, *name, path))
      note(d,
          "--ack-first %s: there is no executable file %s; until there is,"
          " this instruction fails",
          *name, path);
}

/* Runs the hook, or says why there is none to run. */
static void start_hook(struct daemon *d) {
  struct job *job = &d->job;
  const struct variable variables[] = {
      {"LUCIT_INSTRUCTION", job->lcuid},
      {"LUCIT_NAME", job->name},
  };
  char path[PATH_SIZE];

  if (!find_hook(&d->options, job->name, path)) {
    end_job(d, false, "not supported", NULL);
    return;
  }
  if (!start_program(d, &d->hook, path, job->parameters, variables, 2)) {
    end_job(d, false, strerror(errno), NULL);
    return;
  }
  job->state = JOB_RUNNING;
}

/* Nothing runs that is not written down, nor before the first heartbeat, nor
 * what another file, that came in between, may have seen run. */
void next_job(struct daemon *d) {
  struct job *job = &d->job;

  if (!d->options.hooks || !d->beats.first_beat_ended) return;
  if (job->state == JOB_RUNNING || job->state == JOB_ASKED) return;
  if (!check_state(d)) return;
  if (job->state == JOB_NONE && !take_job(d)) return;
  if (now_ms() >= job->until_ms) end_job(d, false, "stale", NULL);
  else if (d->state.was_replaced)
    end_job(d, false, "the state was replaced: it may have run", NULL);
  else if (d->memory.changed || job->state == JOB_ASK_FIRST)
    wake_at(d, job->until_ms);
  else start_hook(d);
}
