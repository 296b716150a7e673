/* When to send: heartbeat.h, "Schedule". */
#include "cases.h"

#include <inttypes.h>

enum {
  NEVER = -1, /* a status: there is no reply */
  MINUTE = 60000,
  HOUR = 3600000
};
static const uint32_t MOST = UINT32_MAX;

/* One call, but for its random number. */
typedef struct question {
  hbeat_policy policy;
  uint32_t failures;
  hbeat_error error;
  int status;
  int64_t retry_after_s;
} question;

/* Sets the counter of failures to what the call left in it. */
static uint32_t ask(const question *q, uint32_t random, uint32_t *failures) {
  hbeat_reply reply;

  memset(&reply, 0, sizeof reply);
  reply.http_status = q->status;
  reply.retry_after_s = q->retry_after_s;
  *failures = q->failures;
  return hbeat_next_ms(&q->policy, failures, q->error,
      q->status == NEVER ? NULL : &reply, random);
}

/* ---- From the least to the most ----------------------------------------- */

/* The random number is a share of a range and never all of it. */
static const struct bound_row {
  const char *name;
  question q;
  uint32_t least, most, failures;
} BOUNDS[] = {
    {"success", {{0}, 0, HBEAT_OK, 200, HBEAT_NONE}, 54001, MINUTE, 0},
    {"success without a reply", {{0}, 0, HBEAT_OK, NEVER, 0}, 54001, MINUTE, 0},
    {"success after a failure", {{0}, 1, HBEAT_OK, 200, 0}, 54001, MINUTE, 0},
    {"success after many", {{0}, UINT32_MAX, HBEAT_OK, 200, 0}, 54001, MINUTE,
        0},
    {"success has no Retry-After", {{0}, 2, HBEAT_OK, 200, 30}, 54001, MINUTE,
        0},
    {"success, only the interval counts",
        {{1000, 7, 8, 9}, 0, HBEAT_OK, 200, 0}, 901, 1000, 0},
    {"success, 1 ms", {{1, 0, 0, 0}, 0, HBEAT_OK, 200, 0}, 1, 1, 0},
    {"success, a tenth is below 1 ms", {{9, 0, 0, 0}, 0, HBEAT_OK, 200, 0}, 9,
        9, 0},
    {"success, 20 ms", {{20, 0, 0, 0}, 0, HBEAT_OK, 200, 0}, 19, 20, 0},
    {"success, the longest interval",
        {{UINT32_MAX, 0, 0, 0}, 0, HBEAT_OK, 200, 0}, UINT32_MAX - 429496728,
        UINT32_MAX, 0},

    {"the first one", {{0}, 0, HBEAT_AGAIN, NEVER, 0}, 0, 53999, 0},
    {"the first one, of another interval",
        {{5000, 0, 0, 0}, 0, HBEAT_AGAIN, NEVER, 0}, 0, 4499, 0},
    {"the first one, splayed", {{0, 300000, 1, 1}, 0, HBEAT_AGAIN, NEVER, 0}, 0,
        299999, 0},
    {"the first one, at once", {{0, 1, 0, 0}, 0, HBEAT_AGAIN, NEVER, 0}, 0, 0,
        0},
    {"the first one, the longest splay",
        {{0, UINT32_MAX, 0, 0}, 0, HBEAT_AGAIN, NEVER, 0}, 0, UINT32_MAX - 1,
        0},
    {"the first one is no failure", {{0}, 3, HBEAT_AGAIN, NEVER, 0}, 0, 53999,
        3},
    {"the first one has no Retry-After", {{0}, 0, HBEAT_AGAIN, 429, 30}, 0,
        53999, 0},

    {"1st failure", {{0}, 0, HBEAT_ERR_CONNECT, 0, HBEAT_NONE}, 0, 119999, 1},
    {"2nd failure", {{0}, 1, HBEAT_ERR_CONNECT, 0, HBEAT_NONE}, 0, 239999, 2},
    {"3rd failure", {{0}, 2, HBEAT_ERR_CONNECT, 0, HBEAT_NONE}, 0, 479999, 3},
    {"4th failure", {{0}, 3, HBEAT_ERR_CONNECT, 0, HBEAT_NONE}, 0, 599999, 4},
    {"5th failure", {{0}, 4, HBEAT_ERR_CONNECT, NEVER, 0}, 0, 599999, 5},
    {"31st failure", {{0}, 30, HBEAT_ERR_CONNECT, NEVER, 0}, 0, 599999, 31},
    {"32nd failure", {{0}, 31, HBEAT_ERR_CONNECT, NEVER, 0}, 0, 599999, 32},
    {"33rd failure", {{0}, 32, HBEAT_ERR_CONNECT, NEVER, 0}, 0, 599999, 33},
    {"64th failure", {{0}, 63, HBEAT_ERR_CONNECT, NEVER, 0}, 0, 599999, 64},
    {"65th failure", {{0}, 64, HBEAT_ERR_CONNECT, NEVER, 0}, 0, 599999, 65},
    {"the last failure that is counted",
        {{0}, UINT32_MAX - 1, HBEAT_ERR_CONNECT, NEVER, 0}, 0, 599999,
        UINT32_MAX},
    {"and the one after it", {{0}, UINT32_MAX, HBEAT_ERR_CONNECT, NEVER, 0}, 0,
        599999, UINT32_MAX},
    {"failure, another interval",
        {{1000, 0, 0, 0}, 0, HBEAT_ERR_TIMEOUT, NEVER, 0}, 0, 1999, 1},
    {"failure, ten of another interval",
        {{1000, 0, 0, 0}, 9, HBEAT_ERR_TIMEOUT, NEVER, 0}, 0, 9999, 10},
    {"failure, the most is below the interval",
        {{0, 0, 500, 0}, 0, HBEAT_ERR_TIMEOUT, NEVER, 0}, 0, 499, 1},
    {"failure, ten intervals are over 32 bits",
        {{UINT32_MAX, 0, 0, 0}, 0, HBEAT_ERR_TIMEOUT, NEVER, 0}, 0,
        UINT32_MAX - 1, 1},
    {"failure, 1 ms, for long",
        {{1, 0, UINT32_MAX, 0}, 30, HBEAT_ERR_TLS, 0, 0}, 0,
        (UINT32_C(1) << 31) - 1, 31},
    {"failure, 1 ms, for ever",
        {{1, 0, UINT32_MAX, 0}, UINT32_MAX, HBEAT_ERR_TLS, 0, 0}, 0,
        (UINT32_C(1) << 31) - 1, UINT32_MAX},

    {"a person, 1st", {{0}, 0, HBEAT_ERR_CERT_TRUST, NEVER, 0}, 0, 119999, 1},
    {"a person, 4th", {{0}, 3, HBEAT_ERR_CERT_TRUST, NEVER, 0}, 0, 959999, 4},
    {"a person, 5th", {{0}, 4, HBEAT_ERR_CERT_TRUST, NEVER, 0}, 0, 1919999, 5},
    {"a person, 6th", {{0}, 5, HBEAT_ERR_CERT_TRUST, NEVER, 0}, 0, 3599999, 6},
    {"a person, for ever", {{0}, UINT32_MAX, HBEAT_ERR_CERT_TRUST, NEVER, 0}, 0,
        3599999, UINT32_MAX},
    {"a person, retry_max_ms is for others",
        {{0, 0, 1, 0}, 9, HBEAT_ERR_CERT_TRUST, NEVER, 0}, 0, 3599999, 10},
    {"a person, another maximum",
        {{0, 0, 0, 7200000}, 9, HBEAT_ERR_CERT_TRUST, NEVER, 0}, 0, 7199999,
        10},
    {"rare_max_ms is for a person",
        {{0, 0, 0, 7200000}, 9, HBEAT_ERR_CONNECT, NEVER, 0}, 0, 599999, 10},

    {"a proxy's 403 is not the server's", {{0}, 8, HBEAT_ERR_PROXY, 403, 0}, 0,
        599999, 9},
    {"a reply that broke off has no say", {{0}, 8, HBEAT_ERR_TRUNCATED, 401, 0},
        0, 599999, 9},

    {"Retry-After: 0", {{0}, 0, HBEAT_ERR_STATUS, 429, 0}, 0, 119999, 1},
    {"Retry-After: 1", {{0}, 0, HBEAT_ERR_STATUS, 429, 1}, 1000, 120999, 1},
    {"Retry-After, later", {{0}, 8, HBEAT_ERR_STATUS, 503, 120}, 120000, 719999,
        9},
    {"Retry-After, below the maximum", {{0}, 0, HBEAT_ERR_STATUS, 429, 3599},
        3599000, 3718999, 1},
    {"Retry-After, the maximum", {{0}, 0, HBEAT_ERR_STATUS, 429, 3600}, HOUR,
        3719999, 1},
    {"Retry-After, above the maximum", {{0}, 0, HBEAT_ERR_STATUS, 429, 3601},
        HOUR, 3719999, 1},
    {"Retry-After, the highest", {{0}, 0, HBEAT_ERR_STATUS, 429, INT64_MAX},
        HOUR, 3719999, 1},
    {"Retry-After, past", {{0}, 0, HBEAT_ERR_STATUS, 429, -1}, 0, 119999, 1},
    {"Retry-After, long past", {{0}, 0, HBEAT_ERR_STATUS, 429, INT64_MIN + 1},
        0, 119999, 1},
    {"no Retry-After", {{0}, 0, HBEAT_ERR_STATUS, 429, HBEAT_NONE}, 0, 119999,
        1},
    {"Retry-After, and a person", {{0}, 8, HBEAT_ERR_STATUS, 403, 60}, MINUTE,
        3659999, 9},
    {"Retry-After, a broken body", {{0}, 0, HBEAT_ERR_JSON, 200, 10}, 10000,
        129999, 1},
    {"Retry-After, within a maximum of odd ms",
        {{0, 0, 0, 1500}, 0, HBEAT_ERR_STATUS, 429, 1}, 1000, 120999, 1},
    {"Retry-After, beyond a maximum of odd ms",
        {{0, 0, 0, 1500}, 0, HBEAT_ERR_STATUS, 429, 2}, 1500, 121499, 1},
    {"Retry-After, a maximum below 1 s",
        {{0, 0, 0, 1}, 0, HBEAT_ERR_STATUS, 429, 1}, 1, 120000, 1},
    {"Retry-After, the sum is over 32 bits",
        {{UINT32_MAX, 0, 0, UINT32_MAX}, 0, HBEAT_ERR_STATUS, 429, INT64_MAX},
        UINT32_MAX, UINT32_MAX, 1},
};

static void test_bounds(void **state) {
  const struct bound_row *row = *state;
  uint32_t failures, none = ask(&row->q, 0, &failures);
  uint32_t half, all = ask(&row->q, UINT32_MAX, &failures);

  in_hand(row->name, NULL, 0);
  expect_int("failures", failures, row->failures);
  expect_int("the least", none < all ? none : all, row->least);
  expect_int("the most", none < all ? all : none, row->most);
  half = ask(&row->q, UINT32_C(1) << 31, &failures);
  expect_true("half a way is between", half >= row->least && half <= row->most);
}

/* ---- Outcomes ----------------------------------------------------------- */

/* Of every value, whether it is a failure that needs a person. */
static const struct outcome_row {
  const char *name;
  int error;
  bool person;
} OUTCOMES[] = {
    {"argument", HBEAT_ERR_ARGUMENT, true},
    {"resolve", HBEAT_ERR_RESOLVE, false},
    {"connect", HBEAT_ERR_CONNECT, false},
    {"proxy", HBEAT_ERR_PROXY, false},
    {"timeout", HBEAT_ERR_TIMEOUT, false},
    {"tls-version", HBEAT_ERR_TLS_VERSION, false},
    {"cert-name", HBEAT_ERR_CERT_NAME, true},
    {"cert-trust", HBEAT_ERR_CERT_TRUST, true},
    {"cert-time", HBEAT_ERR_CERT_TIME, false},
    {"tls", HBEAT_ERR_TLS, false},
    {"truncated", HBEAT_ERR_TRUNCATED, false},
    {"http", HBEAT_ERR_HTTP, false},
    {"status", HBEAT_ERR_STATUS, false},
    {"refused", HBEAT_ERR_REFUSED, false},
    {"json", HBEAT_ERR_JSON, false},
    {"too-big", HBEAT_ERR_TOO_BIG, false},
    {"memory", HBEAT_ERR_MEMORY, false},
    {"a value past the last", HBEAT_ERR_MEMORY + 1, false},
    {"a value that is none", 1000000, false},
};

static void test_every_outcome(void **state) {
  (void)state;
  in_hand("every outcome is in the table", NULL, 0);
  expect_int("rows", COUNT(OUTCOMES), HBEAT_ERR_MEMORY - HBEAT_AGAIN + 2);
}

static void test_outcome(void **state) {
  static const int64_t AFTER[] = {
      HBEAT_NONE, INT64_MIN + 1, -1, 0, 1, 90, INT64_MAX};
  static const int64_t ADDED[] = {0, 0, 0, 0, 1000, 90000, HOUR};
  const struct outcome_row *row = *state;
  question q = {{0}, 9, (hbeat_error)row->error, 0, HBEAT_NONE};
  int64_t most = row->person ? HOUR - 1 : 10 * MINUTE - 1;
  uint32_t failures;

  in_hand(row->name, NULL, 0);
  for (size_t i = 0; i < COUNT(AFTER); i++) {
    q.status = 0;
    q.retry_after_s = AFTER[i];
    expect_int("the least", ask(&q, 0, &failures), ADDED[i]);
    expect_int("the most", ask(&q, MOST, &failures), ADDED[i] + most);
    expect_int("failures", failures, 10);
    q.status = NEVER;
    expect_int("no reply, the least", ask(&q, 0, &failures), 0);
    expect_int("no reply, the most", ask(&q, MOST, &failures), most);
    expect_int("no reply, failures", failures, 10);
  }
}

static void test_statuses(void **state) {
  question q = {{0}, 9, HBEAT_ERR_STATUS, 0, HBEAT_NONE};
  char text[32];
  uint32_t failures;

  (void)state;
  for (q.status = 0; q.status < 1000; q.status++) {
    bool person = q.status == 401 || q.status == 403 || q.status == 404 ||
        q.status == 422;
    snprintf(text, sizeof text, "status %d", q.status);
    in_hand(text, NULL, 0);
    expect_int("the most", ask(&q, MOST, &failures),
        person ? HOUR - 1 : 10 * MINUTE - 1);
  }
}

/* ---- Every extreme ------------------------------------------------------ */

static uint64_t lower(uint64_t a, uint64_t b) {
  return a < b ? a : b;
}

/* What the header says, in 64 bits: from *least to *most. */
static void model(const question *q, uint64_t *least, uint64_t *most) {
  const hbeat_policy *p = &q->policy;
  uint64_t interval = p->interval_ms ? p->interval_ms : MINUTE;
  uint64_t rare = p->rare_max_ms ? p->rare_max_ms
      : interval > MINUTE        ? 60 * interval
                                 : HOUR;
  uint64_t retry = p->retry_max_ms ? p->retry_max_ms : 10 * interval;
  uint64_t window = interval, added = 0;

  if (q->error == HBEAT_OK || q->error == HBEAT_AGAIN) {
    *least = q->error == HBEAT_OK ? interval - interval / 10 : 0;
    *most = q->error == HBEAT_OK ? interval
        : p->splay_ms            ? p->splay_ms
                                 : interval - interval / 10;
    return;
  }
  for (uint32_t n = 0; n <= q->failures && window <= MOST; n++) window *= 2;
  if (q->error == HBEAT_ERR_CERT_NAME) retry = rare;
  if (q->status != NEVER && q->retry_after_s > 0)
    added = lower((uint64_t)q->retry_after_s, rare / 1000 + 1) * 1000;
  added = lower(added, rare);
  *least = lower(added, MOST);
  *most = lower(added + lower(window, retry), MOST);
}

static void expect_modelled(const question *q, uint32_t random) {
  uint64_t least, most, counted = lower((uint64_t)q->failures + 1, MOST);
  uint32_t failures, wait = ask(q, random, &failures);
  char text[200];

  if (q->error == HBEAT_AGAIN) counted = q->failures;
  if (q->error == HBEAT_OK) counted = 0;
  model(q, &least, &most);
  if (wait >= least && wait <= most && failures == counted) return;
  snprintf(text, sizeof text,
      "%" PRIu32 " %" PRIu32 " %" PRIu32 " %" PRIu32 ", %" PRIu32
      " failures, %s, status %d, after %" PRId64 ", random %" PRIu32,
      q->policy.interval_ms, q->policy.splay_ms, q->policy.retry_max_ms,
      q->policy.rare_max_ms, q->failures, hbeat_error_name(q->error), q->status,
      q->retry_after_s, random);
  in_hand("extremes", text, strlen(text));
  expect_int("failures", failures, (int64_t)counted);
  expect_int(
      "not below the least", wait, (int64_t)(wait < least ? least : most));
}

/* All calls with one policy. */
static void expect_policy_modelled(const hbeat_policy *policy) {
  static const uint32_t FAILURES[] = {
      0, 1, 3, 30, 31, 32, UINT32_MAX - 1, UINT32_MAX};
  static const hbeat_error ERRORS[] = {
      HBEAT_OK, HBEAT_AGAIN, HBEAT_ERR_CONNECT, HBEAT_ERR_CERT_NAME};
  static const int64_t AFTER[] = {
      HBEAT_NONE, -1, 0, 1, 3600, 4294967, 4294968, INT64_MAX};
  static const uint32_t RANDOMS[] = {0, 1, UINT32_MAX / 2, UINT32_MAX};
  question q = {*policy, 0, HBEAT_OK, 0, 0};

  for (size_t n = 0;
       n < COUNT(FAILURES) * COUNT(ERRORS) * COUNT(AFTER) * COUNT(RANDOMS);
       n++) {
    size_t i = n;
    uint32_t random = RANDOMS[i % COUNT(RANDOMS)];
    q.retry_after_s = AFTER[(i /= COUNT(RANDOMS)) % COUNT(AFTER)];
    q.error = ERRORS[(i /= COUNT(AFTER)) % COUNT(ERRORS)];
    q.failures = FAILURES[i / COUNT(ERRORS)];
    expect_modelled(&q, random);
  }
}

static void test_extremes(void **state) {
  static const uint32_t VALUES[] = {0, 1, 1999, UINT32_MAX};
  hbeat_policy policy;

  (void)state;
  for (size_t i = 0; i < 256; i++) {
    policy.interval_ms = VALUES[i % 4];
    policy.splay_ms = VALUES[i / 4 % 4];
    policy.retry_max_ms = VALUES[i / 16 % 4];
    policy.rare_max_ms = VALUES[i / 64];
    expect_policy_modelled(&policy);
  }
}

static void test_early_only(void **state) {
  question q = {{0}, 0, HBEAT_OK, 200, HBEAT_NONE};
  uint64_t seed = 1;

  (void)state;
  for (q.policy.interval_ms = 1; q.policy.interval_ms <= 100000;
       q.policy.interval_ms += 7)
    expect_modelled(&q, (uint32_t)(next_random(&seed) >> 32));
}

/* ---- No two keep step --------------------------------------------------- */

enum { DRAWS = 100000, BINS = 20 };

static const struct spread_row {
  const char *name;
  question q;
  uint32_t from, range; /* of 20 equal parts each gets as many draws */
} SPREADS[] = {
    {"after a success", {{0}, 0, HBEAT_OK, 200, 0}, 54001, 6000},
    {"the first one", {{0}, 0, HBEAT_AGAIN, NEVER, 0}, 0, 54000},
    {"after a failure", {{0}, 0, HBEAT_ERR_CONNECT, NEVER, 0}, 0, 2 * MINUTE},
    {"after many", {{0}, 20, HBEAT_ERR_CONNECT, NEVER, 0}, 0, 10 * MINUTE},
    {"for a person", {{0}, 20, HBEAT_ERR_ARGUMENT, NEVER, 0}, 0, HOUR},
    {"behind a Retry-After", {{0}, 0, HBEAT_ERR_STATUS, 429, 100}, 100000,
        2 * MINUTE},
};

static void test_spread(void **state) {
  const struct spread_row *row = *state;
  uint32_t bins[BINS] = {0}, failures;
  uint64_t seed = 1;

  in_hand(row->name, NULL, 0);
  for (int i = 0; i < DRAWS; i++) {
    uint32_t random = (uint32_t)(next_random(&seed) >> 32);
    uint32_t at = ask(&row->q, random, &failures) - row->from;
    expect_true("within its range", at < row->range);
    bins[(uint64_t)at * BINS / row->range]++;
  }
  for (int i = 0; i < BINS; i++)
    if (bins[i] < DRAWS / BINS * 95 / 100 || bins[i] > DRAWS / BINS * 105 / 100)
      expect_int("draws in a part", bins[i], DRAWS / BINS);
}

/* ---- None is silent for ever -------------------------------------------- */

/* Thirty days of nothing but failures. */
static const struct silence_row {
  const char *name;
  hbeat_policy policy;
  hbeat_error error;
  int status;
  int64_t retry_after_s;
  uint32_t longest; /* ms, that no wait reaches */
} SILENCES[] = {
    {"no network", {0}, HBEAT_ERR_CONNECT, 0, HBEAT_NONE, 10 * MINUTE},
    {"500", {0}, HBEAT_ERR_STATUS, 500, HBEAT_NONE, 10 * MINUTE},
    {"429", {0}, HBEAT_ERR_STATUS, 429, 60, 11 * MINUTE},
    {"503, and for a year", {0}, HBEAT_ERR_STATUS, 503, 31536000,
        HOUR + 10 * MINUTE},
    {"a proxy that refuses", {0}, HBEAT_ERR_PROXY, 407, HBEAT_NONE,
        10 * MINUTE},
    {"a captive portal", {0}, HBEAT_ERR_CERT_NAME, 0, HBEAT_NONE, HOUR},
    {"401", {0}, HBEAT_ERR_STATUS, 401, HBEAT_NONE, HOUR},
    {"404, and for a year", {0}, HBEAT_ERR_STATUS, 404, 31536000, 2 * HOUR},
    {"an argument", {0}, HBEAT_ERR_ARGUMENT, 0, HBEAT_NONE, HOUR},
    {"another policy", {5000, 0, 20000, 0}, HBEAT_ERR_TIMEOUT, 0, HBEAT_NONE,
        20000},
    {"another policy, a person", {5000, 0, 0, 60000}, HBEAT_ERR_CERT_TRUST, 0,
        HBEAT_NONE, 60000},
};

static void test_silence(void **state) {
  const struct silence_row *row = *state;
  question q = {row->policy, 0, row->error, row->status, row->retry_after_s};
  const int64_t month = INT64_C(30) * 24 * HOUR;
  uint64_t seed = 1;
  int64_t now = 0, tries = 0;

  in_hand(row->name, NULL, 0);
  for (; now < month; tries++) {
    uint32_t random = (uint32_t)(next_random(&seed) >> 32);
    uint32_t wait = ask(&q, random, &q.failures);
    expect_true("below the longest", wait < row->longest);
    now += wait;
  }
  expect_true("as many tries as that takes", tries > month / row->longest);
  expect_int("failures", q.failures, tries);
  q.error = HBEAT_OK;
  expect_true(
      "a success ends it", ask(&q, 0, &q.failures) <= 60000 && q.failures == 0);
}

int main(void) {
  cases_add_rows(test_bounds, BOUNDS);
  cases_add("every outcome", test_every_outcome, NULL);
  cases_add_rows(test_outcome, OUTCOMES);
  cases_add("statuses", test_statuses, NULL);
  cases_add("extremes", test_extremes, NULL);
  cases_add("early only", test_early_only, NULL);
  cases_add_rows(test_spread, SPREADS);
  cases_add_rows(test_silence, SILENCES);
  return cases_run("schedule");
}
