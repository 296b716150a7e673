/*
 * The life of a memory: a server with many orders, a network that fails on the
 * way there and on the way back, a disk that fails, and a device that is killed
 * again and again.  In the end every order was reported, none has run twice.
 *
 * The server sends what it has had no report of, or only what the device has
 * not kept; now and then it loses a report.  The device does as the header
 * says: whenever `changed` is set, the bytes are kept before anything else.
 */
#include "memory_device.h"

/* ---- Luck and time ------------------------------------------------------ */

static struct {
  uint64_t random;
  unsigned one_in; /* chances are bad luck; 0: there is none */
  int64_t now_s;
} fate;

static unsigned dice(unsigned sides) {
  return (unsigned)(next_random(&fate.random) >> 20) % sides;
}

static bool bad_luck(void) {
  return fate.one_in > 0 && dice(fate.one_in) == 0;
}

/* ---- The server --------------------------------------------------------- */

enum {
  ORDERS = 60,
  SOON = 40,  /* seconds: most are planned no further ahead ... */
  FAR = 7200, /* ... and the others no further than this */
  LONG = 4000 /* bytes of name and parameters: what is longer never runs */
};

struct order {
  int64_t run_at_s;     /* NONE: at once */
  int64_t created_at_s; /* when it was made */
  size_t size;          /* of its parameters, an array of its number */
  bool is_unreadable;   /* its name is no string */
  bool is_open;         /* the server waits for a report */
  bool was_kept;        /* by the device, before or now */
  unsigned runs;        /* that the device has begun */
  unsigned reports;     /* that the server took */
};

static struct {
  struct order orders[ORDERS];
  unsigned sent;   /* so many of them, so far */
  bool sends_once; /* not again what the device has kept */
  bool is_odd;     /* its orders have any size, any time, and odd names */
} server;

static struct order *order_of(const char *lcuid) {
  unsigned n = number_of(lcuid);

  expect_true("one of the orders", n < ORDERS);
  return &server.orders[n];
}

/* The parameters of an order: its number in an array, with white space. */
static const char *parameters_of(unsigned n) {
  static char text[LONG + 100];
  size_t size = server.orders[n].size;
  int digits;

  memset(text, ' ', size);
  text[0] = '[';
  digits = snprintf(text + 1, 12, "%u", n);
  text[1 + digits] = ' ';
  text[size - 1] = ']';
  text[size] = '\0';
  return text;
}

/* Makes an order an odd one: long or too long, for a far time, unreadable. */
static void make_odd(struct order *order) {
  static const size_t longest[] = {20, 20, 100, 600, LONG - 7, LONG + 10};

  order->size = 20 + dice((unsigned)longest[dice(COUNT(longest))]);
  if (order->run_at_s != NONE && dice(3) == 0)
    order->run_at_s = fate.now_s + (int)dice(FAR);
  order->is_unreadable = dice(12) == 0;
}

/* Opens the next order: for now, or for some time around now. */
static int open_order(void) {
  unsigned n = server.sent++;
  struct order *order = &server.orders[n];

  order->is_open = true;
  order->run_at_s = NONE;
  if (dice(3) > 0) order->run_at_s = fate.now_s + (int)dice(SOON) - SOON / 4;
  order->created_at_s = fate.now_s;
  order->size = 10;
  if (server.is_odd) make_odd(order);
  return (int)n;
}

/* Which order goes out with the reply to a heartbeat; -1: none. */
static int choose_order(void) {
  unsigned n = dice(ORDERS);

  if (server.sent < ORDERS && dice(2) == 0) return open_order();
  for (unsigned i = 0; i < ORDERS; i++, n = (n + 1) % ORDERS) {
    const struct order *order = &server.orders[n];
    bool may_go_again = !server.sends_once || !order->was_kept;
    if (order->is_open && may_go_again) return (int)n;
    /* A report is lost only of what the device still knows. */
    if (fate.one_in == 0 || state_of(numbered(n)) != REPORTED) continue;
    if (dice(9) == 0) return (int)n;
  }
  return -1;
}

/* ---- The device --------------------------------------------------------- */

static struct {
  hbeat_limits limits; /* for hbeat_memory_due() */
  int running;         /* the order that it is at; -1: none */
  bool has_begun;      /* it runs: that it was taken is kept */
  hbeat_memory disk;   /* what was kept */
  bool disk_is_used;   /* something was */
} device;

/* What has happened, so that a test can say that it did. */
static struct {
  unsigned kills;
  unsigned acknowledged; /* reports of what ran */
  unsigned refusals;     /* of reports, by the server */
  unsigned again;        /* orders whose report the server lost */
  unsigned stale;        /* reports of what was too late to run */
  unsigned interrupted;  /* reports of what was killed */
  unsigned unfit;        /* reports of what is too long, or unreadable */
  unsigned full;         /* orders that found no room */
  unsigned unkept;       /* times that the disk failed */
} seen;

static void die(void) {
  size_t size = device.disk_is_used ? sizeof device.disk : 0;

  seen.kills++;
  device.running = -1;
  device.has_begun = false;
  expect_error("after a kill", load(&device.disk, size, NULL), HBEAT_OK);
}

/* False where the disk fails. */
static bool write_disk(void) {
  m->changed = 0;
  if (bad_luck()) {
    m->changed = 1;
    seen.unkept++;
    return false;
  }
  device.disk = *m;
  device.disk_is_used = true;
  return true;
}

/* Keeps the bytes if they changed; false where that failed, or where the device
 * was killed, before or after that, and has started again. */
static bool keep(void) {
  unsigned kills_before = seen.kills;
  bool is_killed = bad_luck();

  while (m->changed || is_killed) {
    if (is_killed) die();
    else if (!write_disk()) return false;
    is_killed = bad_luck();
  }
  return seen.kills == kills_before;
}

/* ---- What the device does ----------------------------------------------- */

static hbeat_reply reply_with(int n) {
  hbeat_reply reply = good_reply();
  hbeat_instruction *i = &reply.instruction;

  reply.server_time_s = fate.now_s;
  reply.clock_offset_s = 0;
  if (n < 0) return reply;
  i->name = server.orders[n].is_unreadable ? NULL : "reload";
  i->unreadable = server.orders[n].is_unreadable;
  i->created_at_s = server.orders[n].created_at_s;
  i->lcuid = numbered((unsigned)n);
  i->run_at_s = server.orders[n].run_at_s;
  i->run_at = i->run_at_s == NONE ? NULL : "in plain words";
  i->parameters.text = parameters_of((unsigned)n);
  i->parameters.size = strlen(i->parameters.text);
  i->parameters.type = HBEAT_JSON_ARRAY;
  return reply;
}

static void beat(void) {
  int n = choose_order();
  hbeat_reply reply = reply_with(n);
  hbeat_error e = bad_luck() ? HBEAT_ERR_TIMEOUT : HBEAT_OK;
  hbeat_error outcome = learn(m, &BEAT, &reply, e);
  int state;

  if (outcome == HBEAT_ERR_TOO_BIG) seen.full++;
  else expect_error("learnt", outcome, HBEAT_OK);
  keep();

  if (n < 0) return;
  state = state_of(numbered((unsigned)n));
  if (state == FREE || m->changed) return; /* it is not known, or not kept */
  server.orders[n].was_kept = true;
  if (server.orders[n].is_open || state != ENDED) return;
  server.orders[n].is_open = true;
  seen.again++;
}

/* Begins what was taken, once that is kept. */
static void begin_running(void) {
  struct order *order = &server.orders[device.running];

  if (!keep()) return;
  expect_int("runs", order->runs++, 0);
  expect_true("can be read", !order->is_unreadable);
  device.has_begun = true;
}

static void run_next(void) {
  hbeat_instruction i;
  const struct order *order;
  unsigned n;

  if (m->changed && !keep()) return;
  if (device.running >= 0 && !device.has_begun) begin_running();
  if (device.running >= 0) return;
  if (!take_due(m, fate.now_s, &device.limits, &i)) {
    keep(); /* one may have become stale */
    return;
  }
  n = number_of(i.lcuid);
  order = order_of(i.lcuid);
  expect_bytes("its parameters", i.parameters.text, i.parameters.size,
      parameters_of(n), order->size);
  expect_int("its time", i.run_at_s, order->run_at_s);
  expect_int("its age", i.created_at_s, order->created_at_s);
  if (i.run_at_s != NONE && device.limits.max_age_s > 0)
    expect_true(
        "not stale", fate.now_s - i.run_at_s <= device.limits.max_age_s);
  if (i.run_at_s == NONE && device.limits.max_wait_s > 0)
    expect_true(
        "not old", fate.now_s - i.created_at_s <= device.limits.max_wait_s);
  device.running = (int)n;
  begin_running();
}

/* A message and data of any length, if orders are odd; as a report is read. */
static const char *long_message(void) {
  static char text[LONG + 100];
  size_t size = server.is_odd ? dice(LONG + 50) : 0;

  if (dice(4) > 0) size %= 300;
  memset(text, '.', size);
  strcpy(text + size, "exit status 1");
  return text;
}

static void end_running(void) {
  const char *lcuid;

  if (device.running < 0 || !device.has_begun) return;
  lcuid = numbered((unsigned)device.running);
  device.running = -1;
  device.has_begun = false;
  if (dice(2) == 0) end_one(m, lcuid, HBEAT_ACKNOWLEDGE, NULL, "{\"n\":0}");
  else end_one(m, lcuid, HBEAT_FAILED, long_message(), NULL);
  keep();
}

static bool begins(const char *text, const char *start) {
  return text != NULL && strncmp(text, start, strlen(start)) == 0;
}

/* Why an order that has not run was reported. */
static void expect_unfit(
    const hbeat_request *request, const struct order *order) {
  bool is_long = strlen("reload") + order->size > LONG;

  expect_int("what is unfit has not run", order->runs, 0);
  if (begins(request->message, "it cannot be read"))
    expect_true("unreadable", order->is_unreadable);
  else if (begins(request->message, "too long")) expect_true("long", is_long);
  seen.unfit++;
}

/* A report says what was so.  Of one that was reported before the texts may
 * have been dropped. */
static void expect_truth(
    const hbeat_request *request, const struct order *order) {
  const char *message = request->message;

  if (request->call == HBEAT_ACKNOWLEDGE) {
    expect_int("what is acknowledged has run", order->runs, 1);
    if (order->reports == 0)
      expect_text("its data", request->response_data, "{\"n\":0}");
    seen.acknowledged++;
  } else if (begins(message, "stale: ")) {
    expect_int("what is stale has not run", order->runs, 0);
    seen.stale++;
  } else if (begins(message, "interrupted")) {
    seen.interrupted++;
  } else if (begins(message, "it cannot") || begins(message, "too long")) {
    expect_unfit(request, order);
  } else {
    expect_true("a message, or none left",
        begins(message, ".") || begins(message, "e") || server.is_odd);
  }
}

/* The report reaches the server, or not; the reply comes back, or not. */
static void send_report(void) {
  hbeat_request request;
  hbeat_error e = HBEAT_OK;
  int http_status = 200;
  struct order *order;

  if (!make_report(m, &request)) return;
  order = order_of(request.instruction);
  expect_truth(&request, order);
  if (bad_luck()) {
    e = HBEAT_ERR_STATUS;
    http_status = dice(2) == 0 ? 404 : 500;
    seen.refusals++;
  } else if (bad_luck()) {
    e = HBEAT_ERR_CONNECT;
  }
  if (e == HBEAT_OK || http_status == 404) {
    order->is_open = false;
    order->reports++;
  }
  if (e == HBEAT_OK && bad_luck()) e = HBEAT_ERR_TRUNCATED;
  if (e == HBEAT_ERR_CONNECT || e == HBEAT_ERR_TRUNCATED) http_status = 0;
  hear(&request, e, http_status);
  keep();
}

static void live(unsigned steps) {
  static void (*const doings[])(void) = {
      beat, run_next, end_running, send_report};

  while (steps-- > 0) {
    doings[dice(COUNT(doings))]();
    fate.now_s += dice(4) == 0;
  }
}

/* ---- Lives -------------------------------------------------------------- */

static const struct life_row {
  const char *name;
  uint64_t seed;
  unsigned one_in;     /* chances are bad luck */
  hbeat_limits limits; /* of what is still run; 0: any */
  bool sends_once;     /* the server, what the device has kept */
  bool is_odd;         /* its orders are; and there is no room at times */
} LIVES[] = {
    {.name = "a life without trouble", .seed = 1},
    {.name = "a life with odd orders", .seed = 7, .is_odd = true},
    {.name = "a life with some trouble",
        .seed = 2,
        .one_in = 20,
        .limits.max_age_s = 30,
        .is_odd = true},
    {.name = "some trouble, and no order sent again",
        .seed = 3,
        .one_in = 20,
        .limits = {10, 20},
        .sends_once = true},
    {.name = "a life with much trouble",
        .seed = 4,
        .one_in = 6,
        .limits = {10, 10}},
    {.name = "much trouble, and no order sent again",
        .seed = 5,
        .one_in = 6,
        .sends_once = true,
        .is_odd = true},
    {.name = "a life with more of it", .seed = 6, .one_in = 3, .is_odd = true},
};

static void be_born(const struct life_row *row) {
  forget();
  memset(&fate, 0, sizeof fate);
  memset(&server, 0, sizeof server);
  memset(&device, 0, sizeof device);
  memset(&seen, 0, sizeof seen);
  fate.random = row->seed * UINT64_C(0x9E3779B97F4A7C15);
  fate.one_in = row->one_in;
  fate.now_s = NOW;
  server.sends_once = row->sends_once;
  server.is_odd = row->is_odd;
  device.limits = row->limits;
  device.running = -1;
}

static bool any_order_is_open(void) {
  for (unsigned n = 0; n < server.sent; n++)
    if (server.orders[n].is_open) return true;
  return false;
}

/* Lives on without trouble until all is run and reported. */
static void live_out(void) {
  unsigned steps_left = 20000;

  fate.one_in = 0;
  live(300);
  fate.now_s += FAR;
  while (server.sent < ORDERS || busy_records(m) > 0 || any_order_is_open()) {
    expect_true("an end", steps_left-- > 0);
    live(1);
  }
}

/* Returns how many have run. */
static unsigned expect_all_reported(const char *name) {
  unsigned runs = 0;

  for (unsigned n = 0; n < ORDERS; n++) {
    const struct order *order = &server.orders[n];
    in_hand(name, numbered(n), strlen(numbered(n)));
    expect_true("was reported", order->reports > 0);
    expect_true("is done with", !order->is_open);
    expect_true("ran once at most", order->runs <= 1);
    runs += order->runs;
  }
  return runs;
}

static void test_life(void **state) {
  const struct life_row *row = *state;
  bool trouble = row->one_in > 0;
  unsigned runs;

  in_hand(row->name, TEXT(""));
  be_born(row);
  live(600);
  live_out();
  runs = expect_all_reported(row->name);
  print_message("# %s: %u runs, %u acknowledged, %u stale, %u unfit, "
                "%u interrupted, %u kills, %u unkept, %u refusals, "
                "%u sent again, %u times full\n",
      row->name, runs, seen.acknowledged, seen.stale, seen.unfit,
      seen.interrupted, seen.kills, seen.unkept, seen.refusals, seen.again,
      seen.full);
  expect_int("killed", seen.kills > 0, trouble);
  expect_int("interrupted", seen.interrupted > 0, trouble);
  expect_int("refused", seen.refusals > 0, trouble);
  expect_int("sent again", seen.again > 0, trouble);
  expect_int("unkept", seen.unkept > 0, trouble);
  expect_int("stale", seen.stale > 0, row->limits.max_age_s > 0);
  expect_int("unfit", seen.unfit > 0, row->is_odd);
  expect_int("full", seen.full > 0, row->is_odd);
  expect_true("acknowledged", seen.acknowledged > 0);
  if (!trouble && !row->is_odd) expect_int("all ran", runs, ORDERS);
}

int main(void) {
  prepare_device();
  cases_add_rows(test_life, LIVES);
  return cases_run("memory_life");
}
