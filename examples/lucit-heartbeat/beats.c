/* Heartbeats, the log-ins that they need, and the reports of what was run.
 *
 * One exchange is under way at a time.  What comes next, in this order:
 *
 *     an acknowledgement that the job in hand waits for    EXCHANGE_ASK
 *     a report, while the heartbeat has time               EXCHANGE_REPORT
 *     the info command, where the heartbeat needs it
 *     a heartbeat, when it is due                          EXCHANGE_BEAT
 *     the same with the token's file read again, where     EXCHANGE_BEAT
 *     that heartbeat's token was refused
 *     a log-in, where that is no help                      EXCHANGE_LOGIN
 *
 * A report that fails stops the reports until a heartbeat has gone well: a
 * server that takes none is not asked all the time. */
#include "daemon.h"

#include <errno.h>
#include <string.h>

enum { INFO_LIMIT_S = 5 }; /* what --info-command has */
enum { ACKNOWLEDGED = 2 }; /* the status of an instruction that was reported */

/* ---- What --info-command prints ---------------------------------------- */

/* A line is a fact of the next heartbeat's device_info. */
static bool take_fact(struct daemon *d, const char *line) {
  struct info *info = &d->info;

  if (info->line_count == INFO_LINES) return false;
  memcpy(info->lines[info->line_count++], line, strlen(line) + 1);
  return true;
}

/* The heartbeat does not wait any longer: it goes with what there is. */
static void facts_are_late(struct daemon *d) {
  const char *path = d->options.info_command;

  if (d->info_program.too_long)
    complain(
        d, "--info-command %s: it prints more than %d lines", path, INFO_LINES);
  else
    complain(d, "--info-command %s: timed out after %d s", path, INFO_LIMIT_S);
}

/* What an info command printed counts, however it ended. */
static void end_facts(struct daemon *d, const struct program_end *end) {
  const char *path = d->options.info_command;
  const char *how =
      end->kind == END_KILLED ? "killed by signal" : "exit status";

  if (end->kind == END_STUCK)
    complain(
        d, "--info-command %s: cannot be ended: SIGKILL did not end it", path);
  if (end->late) return; /* which was told */
  d->info.complete = true;
  if (end->kind == END_UNSTARTED)
    complain(d, "--info-command %s: %s", path, strerror(end->code));
  else if (end->too_long) facts_are_late(d);
  else if (end->code != 0)
    complain(d, "--info-command %s: %s %d", path, how, end->code);
}

/* A line that it prints to standard error goes into the log. */
static bool log_line(struct daemon *d, const char *line) {
  note(d, "--info-command %s: %s", d->options.info_command, line);
  return true;
}

/* The info command gets no time to say farewell: its work is to print. */
void init_beats(struct daemon *d) {
  d->beats.last_clock_offset_s = HBEAT_NONE;
  init_program(&d->info_program);
  d->info_program.limit_ms = INFO_LIMIT_S * 1000;
  d->info_program.first_signal = SIGKILL;
  d->info_program.out.line = take_fact;
  d->info_program.out.line_size = LINE_SIZE;
  d->info_program.err.line = log_line;
  d->info_program.err.line_size = LOG_LINE_SIZE;
  d->info_program.late = facts_are_late;
  d->info_program.end = end_facts;
}

/* Starts the info command, where the next heartbeat needs it.  False: that goes
 * without. */
static bool start_info_command(struct daemon *d) {
  const char *path = d->options.info_command;

  if (!path || d->info.complete) return false;
  if (d->info_program.state != PROGRAM_NONE) return false;
  if (start_program(d, &d->info_program, path, "", NULL, 0)) return true;
  complain(d, "--info-command %s: %s", path, strerror(errno));
  return false;
}

/* ---- Beginnings -------------------------------------------------------- */

/* An error comes out at the first step. */
static void begin(
    struct daemon *d, enum exchange_kind kind, hbeat_request request) {
  struct exchange *x = &d->exchange;

  x->kind = kind;
  x->request = request;
  x->begun_ms = now_ms();
  hbeat_start(&d->client, &x->request, &d->reply);
}

/* The last error is told once. */
hbeat_request make_beat(struct daemon *d) {
  const struct options *o = &d->options;
  struct log *log = &d->log;
  size_t n = 0;

  for (size_t i = 0; o->info[i]; i++) d->facts[n++] = o->info[i];
  for (size_t i = 0; i < d->info.line_count; i++)
    d->facts[n++] = d->info.lines[i];
  if (log->last_error_is_new) {
    snprintf(d->facts_error, sizeof d->facts_error, "last error: %s",
        log->last_error);
    d->facts[n++] = d->facts_error;
  }
  log->last_error_is_new = false;
  return (hbeat_request){.lightning_version = o->lightning_version,
      .device_info = d->facts,
      .device_info_count = n};
}

/* Begins a log-in.  False: there is none. */
static bool log_in(struct daemon *d) {
  struct beats *b = &d->beats;
  const char *path = d->options.secret_file;
  hbeat_request login = {.call = HBEAT_LOGIN};

  if (!path) return false;
  const char *why = read_secret(path, b->secret, &login.login_secret, false);
  if (why) {
    complain(d, "--secret-file %s: %s: no log-in", path, why);
    return false;
  }
  login.login_token = b->secret;
  login.token_buffer = d->token;
  login.token_buffer_size = sizeof d->token;
  begin(d, EXCHANGE_LOGIN, login);
  return true;
}

/* Takes the token that its file has now.  False: it is the same. */
static bool use_newer_token(struct daemon *d) {
  if (!read_newer_token(d)) return false;
  note(d, "the token was refused: its file has another one");
  return true;
}

/* Does something about a token that was refused, each remedy once a heartbeat;
 * what its info command printed is for the heartbeat behind it.  False: there
 * is nothing left to do. */
static bool mend_token(struct daemon *d) {
  struct beats *b = &d->beats;

  if (d->stop_ms != 0) return false;
  d->info.complete = true;
  if (b->remedy == REMEDY_NONE) {
    b->remedy = REMEDY_FILE;
    if (use_newer_token(d)) return true;
  }
  if (b->remedy == REMEDY_LOGIN) return false;
  b->remedy = REMEDY_LOGIN;
  return log_in(d);
}

bool beats_go_on(const struct daemon *d) {
  const struct beats *b = &d->beats;
  bool hook_runs = d->hook.state != PROGRAM_NONE;
  bool hook_waits = d->job.state == JOB_READY && d->job.shortage != 0;

  if (hook_runs || hook_waits) return true;
  return b->beats_left > 0 || b->remedy != REMEDY_NONE;
}

void schedule_beat(struct daemon *d, hbeat_error e) {
  struct beats *b = &d->beats;
  uint32_t random = draw_random(d);

  b->next_ms =
      now_ms() + hbeat_next_ms(&b->policy, &b->failures, e, &d->reply, random);
}

void hasten_beat(struct daemon *d) {
  struct beats *b = &d->beats;
  int64_t at_ms = b->begun_ms + SECOND;

  if (at_ms < now_ms()) at_ms = now_ms();
  if (at_ms < b->next_ms) b->next_ms = at_ms;
}

/* Asks whether the job in hand may run.  One with a run_at has waited already,
 * and waits for reports to be possible; any other came with the last exchange.
 * False: not now. */
static bool ask_first(struct daemon *d) {
  struct job *job = &d->job;
  bool may_ask = job->timed ? d->beats.may_report : d->beats.last_went_well;

  if (job->state != JOB_ASK_FIRST || d->memory.changed || !may_ask)
    return false;
  job->state = JOB_ASKED;
  begin(d, EXCHANGE_ASK,
      (hbeat_request){.call = HBEAT_ACKNOWLEDGE, .instruction = job->lcuid});
  return true;
}

/* Makes a report's texts the exchange's own. */
static void copy_texts(struct exchange *x, hbeat_request *request) {
  snprintf(x->lcuid, sizeof x->lcuid, "%s", request->instruction);
  request->instruction = x->lcuid;
  if (request->message) {
    snprintf(x->message, sizeof x->message, "%s", request->message);
    request->message = x->message;
  }
  if (request->response_data) {
    snprintf(x->data, sizeof x->data, "%s", request->response_data);
    request->response_data = x->data;
  }
}

/* Begins the next report, while the heartbeat has time.  False: there is
 * none. */
static bool report(struct daemon *d) {
  struct beats *b = &d->beats;
  bool beat_is_due = beats_go_on(d) && now_ms() >= b->next_ms;
  hbeat_request request;

  if (!b->may_report || beat_is_due || d->memory.changed) return false;
  b->may_report = hbeat_memory_report(&d->memory, &request);
  if (!b->may_report) return false;
  copy_texts(&d->exchange, &request);
  begin(d, EXCHANGE_REPORT, request);
  return true;
}

/* An info command that is late is not waited for. */
void next_exchange(struct daemon *d) {
  struct beats *b = &d->beats;

  if (ask_first(d) || report(d)) return;
  if (!beats_go_on(d)) return;
  if (now_ms() < b->next_ms) {
    wake_at(d, b->next_ms);
    return;
  }
  if (d->info_program.state == PROGRAM_RUNS) return;
  if (start_info_command(d)) return;
  b->begun_ms = now_ms();
  begin(d, EXCHANGE_BEAT, make_beat(d));
}

/* ---- Ends -------------------------------------------------------------- */

/* Whether the server has what was sent: a 2xx says so, even where the rest of
 * its reply is of no use. */
static bool was_accepted(const struct daemon *d, hbeat_error e) {
  if (e == HBEAT_OK) return true;
  if (e != HBEAT_ERR_JSON && e != HBEAT_ERR_TOO_BIG) return false;
  return d->reply.http_status / 100 == 2;
}

static bool none_waits(const hbeat_instruction *i) {
  return !i->name && !i->unreadable;
}

/* A heartbeat, or the log-in that it needed, has ended. */
static void end_beat(struct daemon *d, hbeat_error e) {
  struct beats *b = &d->beats;
  const char *detail = hbeat_explain(&d->client);

  bool same_again = was_accepted(d, e) && e != HBEAT_OK && e == b->last_error;
  if (!same_again || d->log.json || !d->log.forever)
    print_outcome(d, e, detail);
  b->ended_s = now_s(&d->clock);
  b->last_error = e;
  b->last_http_status = d->reply.http_status;
  b->last_connection = d->reply.connection;
  b->last_clock_offset_s = d->reply.clock_offset_s;
  if (e == HBEAT_OK && none_waits(&d->reply.instruction))
    b->last_unlearnt = HBEAT_OK;
  if (e == HBEAT_OK) {
    b->succeeded_s = b->ended_s;
    b->failed_in_a_row = 0;
  } else {
    char error[HBEAT_EXPLAIN_SIZE + 32];
    snprintf(error, sizeof error, "%s: %s", hbeat_error_name(e), detail);
    remember_error(d, error);
    b->failed_in_a_row++;
    b->exit_status = 1;
  }
  b->first_beat_ended = true;
  b->remedy = REMEDY_NONE;
  b->may_report = was_accepted(d, e);
  d->info.complete = false;
  d->info.line_count = 0;
  if (!d->log.forever && b->beats_left > 0) b->beats_left--;
  if (b->beats_left > 0 || d->options.hooks) schedule_beat(d, e);
}

/* A log-in has ended.  The next heartbeat has its token; or there is none, and
 * the heartbeat that needed it has failed, too. */
static void end_login(struct daemon *d, hbeat_error e) {
  if (e != HBEAT_OK) {
    note(d, "the log-in with --secret-file failed");
    end_beat(d, e);
    return;
  }
  note(d, "logged in: the token was missing, or refused");
  write_token(d);
}

/* Whether the token is at fault: the server's word, or its form. */
static bool token_is_refused(const struct daemon *d, hbeat_error e) {
  if (e == HBEAT_ERR_ARGUMENT) return true;
  return e == HBEAT_ERR_STATUS && d->reply.http_status == 401;
}

/* A report has ended; the memory has learnt from it.  `settled`: it is not sent
 * again. */
static void end_report(struct daemon *d, hbeat_error e, bool settled) {
  const hbeat_request *sent = &d->exchange.request;
  const char *then = settled ? "dropped" : "sent again later";
  char says[256] = "acknowledged";

  if (was_accepted(d, e)) {
    print_report(d, sent);
    return;
  }
  d->beats.may_report = false;
  if (sent->call == HBEAT_FAILED) {
    char why[sizeof says - sizeof "failed "];
    quote(sent->message ? sent->message : "", why, sizeof why);
    snprintf(says, sizeof says, "failed %s", why);
  }
  complain(d, "a report failed and is %s: %s %s: %s", then, sent->instruction,
      says, hbeat_explain(&d->client));
}

/* An instruction that was not learnt does not run.  It is sent again, by turns
 * with others perhaps: the reason is said once, until none waits. */
static void complain_of_instruction(struct daemon *d, hbeat_error learnt) {
  if (learnt == HBEAT_OK || learnt == d->beats.last_unlearnt) return;
  d->beats.last_unlearnt = learnt;
  if (learnt == HBEAT_ERR_TOO_BIG)
    complain(d,
        "an instruction does not run yet: there is no room for it beside those"
        " that wait to run or to be reported");
  else
    complain(
        d, "an instruction does not run: its lcuid is missing or malformed");
}

/* What becomes of an instruction that no hook will tell of.  It is said once:
 * sent again, the instruction changes nothing. */
static void note_instruction(struct daemon *d) {
  const hbeat_instruction *i = &d->reply.instruction;

  if (d->exchange.request.call != HBEAT_BEAT || !i->lcuid) return;
  if (i->status == ACKNOWLEDGED)
    note(d, "instruction %s does not run: it came as acknowledged", i->lcuid);
  else if (!d->options.hooks)
    note(d, "instruction %s is kept and does not run: there is no --hooks",
        i->lcuid);
}

/* Lets the memory learn from the exchange, and writes it down.  Returns whether
 * there was anything to learn: a report, for one, is settled. */
static bool learn(struct daemon *d, hbeat_error e) {
  hbeat_error learnt = HBEAT_OK;

  if (d->options.state)
    learnt = hbeat_memory_learn(&d->memory, &d->exchange.request, &d->reply, e);
  bool changed = d->memory.changed;
  save_state(d);
  complain_of_instruction(d, learnt);
  bool is_kept = learnt == HBEAT_OK && changed && !d->memory.changed;
  if (is_kept) note_instruction(d);
  return changed;
}

/* What holds for every exchange comes first: clock, session, memory. */
void end_exchange(struct daemon *d, hbeat_error e) {
  struct beats *b = &d->beats;
  enum exchange_kind kind = d->exchange.kind;

  d->exchange.kind = EXCHANGE_NONE;
  b->exchanges_ended++;
  b->last_went_well = was_accepted(d, e);
  if (e == HBEAT_OK && d->reply.clock_offset_s != HBEAT_NONE)
    set_clock(&d->clock, d->reply.server_time_s);
  keep_session(d, d->reply.connection);
  mend_parameters(d);
  bool settled = learn(d, e);
  memset(b->secret, 0, sizeof b->secret);
  switch (kind) {
  case EXCHANGE_NONE: break;
  case EXCHANGE_BEAT:
    if (!token_is_refused(d, e) || !mend_token(d)) end_beat(d, e);
    break;
  case EXCHANGE_LOGIN: end_login(d, e); break;
  case EXCHANGE_ASK:
    end_report(d, e, settled);
    end_asking(d, was_accepted(d, e), settled);
    break;
  case EXCHANGE_REPORT: end_report(d, e, settled); break;
  }
}
