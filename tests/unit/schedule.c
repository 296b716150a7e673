/* When to send: heartbeat.h, "Schedule". */
#include "cases.h"

#include <inttypes.h>

enum {
  NEVER = -1,    /* a status: there is no reply */
  SECOND = 1000, /* which is added to each wait behind a failure */
  MINUTE = 60000,
  HOUR = 3600000
};
static const uint32_t MOST = UINT32_MAX;

/* One call, but for its random number. */
typedef struct question {
  hbeat_policy policy;
  uint32_t failures; /* in a row, so far */
  hbeat_error error;
  int status; /* of the reply; NEVER: there is none */
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
  uint32_t least;    /* ms, whatever the random number */
  uint32_t most;     /* ms */
  uint32_t failures; /* that the call leaves */
} BOUNDS[] = {
    {"success", .q.error = HBEAT_OK, .q.status = 200,
        .q.retry_after_s = HBEAT_NONE, .least = 54001, .most = MINUTE},
    {"success without a reply", .q.error = HBEAT_OK, .q.status = NEVER,
        .least = 54001, .most = MINUTE},
    {"success after a failure", .q.failures = 1, .q.error = HBEAT_OK,
        .q.status = 200, .least = 54001, .most = MINUTE},
    {"success after many", .q.failures = UINT32_MAX, .q.error = HBEAT_OK,
        .q.status = 200, .least = 54001, .most = MINUTE},
    {"success has no Retry-After", .q.failures = 2, .q.error = HBEAT_OK,
        .q.status = 200, .q.retry_after_s = 30, .least = 54001, .most = MINUTE},
    {"success, only the interval counts", .q.policy.interval_ms = 1000,
        .q.policy.splay_ms = 7, .q.policy.retry_max_ms = 8,
        .q.policy.rare_max_ms = 9, .q.error = HBEAT_OK, .q.status = 200,
        .least = 901, .most = 1000},
    {"success, 1 ms", .q.policy.interval_ms = 1, .q.error = HBEAT_OK,
        .q.status = 200, .least = 1, .most = 1},
    {"success, a tenth is below 1 ms", .q.policy.interval_ms = 9,
        .q.error = HBEAT_OK, .q.status = 200, .least = 9, .most = 9},
    {"success, 20 ms", .q.policy.interval_ms = 20, .q.error = HBEAT_OK,
        .q.status = 200, .least = 19, .most = 20},
    {"success, the longest interval", .q.policy.interval_ms = UINT32_MAX,
        .q.error = HBEAT_OK, .q.status = 200, .least = UINT32_MAX - 429496728,
        .most = UINT32_MAX},

    {"accepted, no JSON", .q.failures = 5, .q.error = HBEAT_ERR_JSON,
        .q.status = 200, .q.retry_after_s = 10, .least = 54001, .most = MINUTE},
    {"accepted, no body", .q.failures = 5, .q.error = HBEAT_ERR_JSON,
        .q.status = 204, .q.retry_after_s = HBEAT_NONE, .least = 54001,
        .most = MINUTE},
    {"accepted, the last 2xx", .q.failures = 5, .q.error = HBEAT_ERR_JSON,
        .q.status = 299, .q.retry_after_s = HBEAT_NONE, .least = 54001,
        .most = MINUTE},
    {"accepted, too big", .q.failures = 5, .q.error = HBEAT_ERR_TOO_BIG,
        .q.status = 200, .q.retry_after_s = HBEAT_NONE, .least = 54001,
        .most = MINUTE},
    {"no JSON, no status", .q.error = HBEAT_ERR_JSON,
        .q.retry_after_s = HBEAT_NONE, .least = SECOND, .most = SECOND + 119999,
        .failures = 1},
    {"no JSON, no reply", .q.error = HBEAT_ERR_JSON, .q.status = NEVER,
        .least = SECOND, .most = SECOND + 119999, .failures = 1},
    {"too big, no status: a record of TLS", .q.error = HBEAT_ERR_TOO_BIG,
        .q.retry_after_s = HBEAT_NONE, .least = SECOND, .most = SECOND + 119999,
        .failures = 1},
    {"too big, an error's status", .q.error = HBEAT_ERR_TOO_BIG,
        .q.status = 300, .q.retry_after_s = HBEAT_NONE, .least = SECOND,
        .most = SECOND + 119999, .failures = 1},
    {"refused", .q.error = HBEAT_ERR_REFUSED, .q.status = 200,
        .q.retry_after_s = HBEAT_NONE, .least = SECOND, .most = SECOND + 119999,
        .failures = 1},
    {"cut off", .q.error = HBEAT_ERR_TRUNCATED, .q.status = 200,
        .q.retry_after_s = HBEAT_NONE, .least = SECOND, .most = SECOND + 119999,
        .failures = 1},

    {"the first one", .q.error = HBEAT_AGAIN, .q.status = NEVER, .most = 53999},
    {"the first one, of another interval", .q.policy.interval_ms = 5000,
        .q.error = HBEAT_AGAIN, .q.status = NEVER, .most = 4499},
    {"the first one, splayed", .q.policy.splay_ms = 300000,
        .q.policy.retry_max_ms = 1, .q.policy.rare_max_ms = 1,
        .q.error = HBEAT_AGAIN, .q.status = NEVER, .most = 299999},
    {"the first one, at once", .q.policy.splay_ms = 1, .q.error = HBEAT_AGAIN,
        .q.status = NEVER, .most = 0},
    {"the first one, the longest splay", .q.policy.splay_ms = UINT32_MAX,
        .q.error = HBEAT_AGAIN, .q.status = NEVER, .most = UINT32_MAX - 1},
    {"the first one is no failure", .q.failures = 3, .q.error = HBEAT_AGAIN,
        .q.status = NEVER, .most = 53999, .failures = 3},
    {"the first one has no Retry-After", .q.error = HBEAT_AGAIN,
        .q.status = 429, .q.retry_after_s = 30, .most = 53999},

    {"1st failure", .q.error = HBEAT_ERR_CONNECT, .q.retry_after_s = HBEAT_NONE,
        .least = SECOND, .most = SECOND + 119999, .failures = 1},
    {"2nd failure", .q.failures = 1, .q.error = HBEAT_ERR_CONNECT,
        .q.retry_after_s = HBEAT_NONE, .least = SECOND, .most = SECOND + 239999,
        .failures = 2},
    {"3rd failure", .q.failures = 2, .q.error = HBEAT_ERR_CONNECT,
        .q.retry_after_s = HBEAT_NONE, .least = SECOND, .most = SECOND + 479999,
        .failures = 3},
    {"4th failure", .q.failures = 3, .q.error = HBEAT_ERR_CONNECT,
        .q.retry_after_s = HBEAT_NONE, .least = SECOND, .most = SECOND + 599999,
        .failures = 4},
    {"5th failure", .q.failures = 4, .q.error = HBEAT_ERR_CONNECT,
        .q.status = NEVER, .least = SECOND, .most = SECOND + 599999,
        .failures = 5},
    {"31st failure", .q.failures = 30, .q.error = HBEAT_ERR_CONNECT,
        .q.status = NEVER, .least = SECOND, .most = SECOND + 599999,
        .failures = 31},
    {"32nd failure", .q.failures = 31, .q.error = HBEAT_ERR_CONNECT,
        .q.status = NEVER, .least = SECOND, .most = SECOND + 599999,
        .failures = 32},
    {"33rd failure", .q.failures = 32, .q.error = HBEAT_ERR_CONNECT,
        .q.status = NEVER, .least = SECOND, .most = SECOND + 599999,
        .failures = 33},
    {"64th failure", .q.failures = 63, .q.error = HBEAT_ERR_CONNECT,
        .q.status = NEVER, .least = SECOND, .most = SECOND + 599999,
        .failures = 64},
    {"65th failure", .q.failures = 64, .q.error = HBEAT_ERR_CONNECT,
        .q.status = NEVER, .least = SECOND, .most = SECOND + 599999,
        .failures = 65},
    {"the last failure that is counted", .q.failures = UINT32_MAX - 1,
        .q.error = HBEAT_ERR_CONNECT, .q.status = NEVER, .least = SECOND,
        .most = SECOND + 599999, .failures = UINT32_MAX},
    {"and the one after it", .q.failures = UINT32_MAX,
        .q.error = HBEAT_ERR_CONNECT, .q.status = NEVER, .least = SECOND,
        .most = SECOND + 599999, .failures = UINT32_MAX},
    {"failure, another interval", .q.policy.interval_ms = 1000,
        .q.error = HBEAT_ERR_TIMEOUT, .q.status = NEVER, .least = SECOND,
        .most = SECOND + 1999, .failures = 1},
    {"failure, ten of another interval", .q.policy.interval_ms = 1000,
        .q.failures = 9, .q.error = HBEAT_ERR_TIMEOUT, .q.status = NEVER,
        .least = SECOND, .most = SECOND + 9999, .failures = 10},
    {"failure, the most is below the interval", .q.policy.retry_max_ms = 500,
        .q.error = HBEAT_ERR_TIMEOUT, .q.status = NEVER, .least = SECOND,
        .most = SECOND + 499, .failures = 1},
    {"failure, ten intervals are over 32 bits",
        .q.policy.interval_ms = UINT32_MAX, .q.error = HBEAT_ERR_TIMEOUT,
        .q.status = NEVER, .least = SECOND, .most = UINT32_MAX, .failures = 1},
    {"failure, 1 ms, for long", .q.policy.interval_ms = 1,
        .q.policy.retry_max_ms = UINT32_MAX, .q.failures = 30,
        .q.error = HBEAT_ERR_TLS, .least = SECOND,
        .most = SECOND + (UINT32_C(1) << 31) - 1, .failures = 31},
    {"failure, 1 ms, for ever", .q.policy.interval_ms = 1,
        .q.policy.retry_max_ms = UINT32_MAX, .q.failures = UINT32_MAX,
        .q.error = HBEAT_ERR_TLS, .least = SECOND,
        .most = SECOND + (UINT32_C(1) << 31) - 1, .failures = UINT32_MAX},

    {"a person, 1st", .q.error = HBEAT_ERR_CERT_TRUST, .q.status = NEVER,
        .least = SECOND, .most = SECOND + 119999, .failures = 1},
    {"a person, 4th", .q.failures = 3, .q.error = HBEAT_ERR_CERT_TRUST,
        .q.status = NEVER, .least = SECOND, .most = SECOND + 959999,
        .failures = 4},
    {"a person, 5th", .q.failures = 4, .q.error = HBEAT_ERR_CERT_TRUST,
        .q.status = NEVER, .least = SECOND, .most = SECOND + 1919999,
        .failures = 5},
    {"a person, 6th", .q.failures = 5, .q.error = HBEAT_ERR_CERT_TRUST,
        .q.status = NEVER, .least = SECOND, .most = SECOND + 3599999,
        .failures = 6},
    {"a person, for ever", .q.failures = UINT32_MAX,
        .q.error = HBEAT_ERR_CERT_TRUST, .q.status = NEVER, .least = SECOND,
        .most = SECOND + 3599999, .failures = UINT32_MAX},
    {"a person, retry_max_ms is for others", .q.policy.retry_max_ms = 1,
        .q.failures = 9, .q.error = HBEAT_ERR_CERT_TRUST, .q.status = NEVER,
        .least = SECOND, .most = SECOND + 3599999, .failures = 10},
    {"a person, another maximum", .q.policy.rare_max_ms = 7200000,
        .q.failures = 9, .q.error = HBEAT_ERR_CERT_TRUST, .q.status = NEVER,
        .least = SECOND, .most = SECOND + 7199999, .failures = 10},
    {"rare_max_ms is for a person", .q.policy.rare_max_ms = 7200000,
        .q.failures = 9, .q.error = HBEAT_ERR_CONNECT, .q.status = NEVER,
        .least = SECOND, .most = SECOND + 599999, .failures = 10},

    {"a proxy's 403 is not the server's", .q.failures = 8,
        .q.error = HBEAT_ERR_PROXY, .q.status = 403, .least = SECOND,
        .most = SECOND + 599999, .failures = 9},
    {"a reply that broke off has no say", .q.failures = 8,
        .q.error = HBEAT_ERR_TRUNCATED, .q.status = 401, .least = SECOND,
        .most = SECOND + 599999, .failures = 9},

    {"Retry-After: 0", .q.error = HBEAT_ERR_STATUS, .q.status = 429,
        .least = SECOND, .most = SECOND + 119999, .failures = 1},
    {"Retry-After: 1", .q.error = HBEAT_ERR_STATUS, .q.status = 429,
        .q.retry_after_s = 1, .least = SECOND + 1000, .most = SECOND + 120999,
        .failures = 1},
    {"Retry-After, later", .q.failures = 8, .q.error = HBEAT_ERR_STATUS,
        .q.status = 503, .q.retry_after_s = 120, .least = SECOND + 120000,
        .most = SECOND + 719999, .failures = 9},
    {"Retry-After, below the maximum", .q.error = HBEAT_ERR_STATUS,
        .q.status = 429, .q.retry_after_s = 3599, .least = SECOND + 3599000,
        .most = SECOND + 3718999, .failures = 1},
    {"Retry-After, the maximum", .q.error = HBEAT_ERR_STATUS, .q.status = 429,
        .q.retry_after_s = 3600, .least = SECOND + HOUR,
        .most = SECOND + 3719999, .failures = 1},
    {"Retry-After, above the maximum", .q.error = HBEAT_ERR_STATUS,
        .q.status = 429, .q.retry_after_s = 3601, .least = SECOND + HOUR,
        .most = SECOND + 3719999, .failures = 1},
    {"Retry-After, the highest", .q.error = HBEAT_ERR_STATUS, .q.status = 429,
        .q.retry_after_s = INT64_MAX, .least = SECOND + HOUR,
        .most = SECOND + 3719999, .failures = 1},
    {"Retry-After, past", .q.error = HBEAT_ERR_STATUS, .q.status = 429,
        .q.retry_after_s = -1, .least = SECOND, .most = SECOND + 119999,
        .failures = 1},
    {"Retry-After, long past", .q.error = HBEAT_ERR_STATUS, .q.status = 429,
        .q.retry_after_s = INT64_MIN + 1, .least = SECOND,
        .most = SECOND + 119999, .failures = 1},
    {"no Retry-After", .q.error = HBEAT_ERR_STATUS, .q.status = 429,
        .q.retry_after_s = HBEAT_NONE, .least = SECOND, .most = SECOND + 119999,
        .failures = 1},
    {"Retry-After, and a person", .q.failures = 8, .q.error = HBEAT_ERR_STATUS,
        .q.status = 403, .q.retry_after_s = 60, .least = SECOND + MINUTE,
        .most = SECOND + 3659999, .failures = 9},
    {"Retry-After, a proxy's broken body", .q.error = HBEAT_ERR_PROXY,
        .q.status = 200, .q.retry_after_s = 10, .least = SECOND + 10000,
        .most = SECOND + 129999, .failures = 1},
    {"Retry-After, within a maximum of odd ms", .q.policy.rare_max_ms = 1500,
        .q.error = HBEAT_ERR_STATUS, .q.status = 429, .q.retry_after_s = 1,
        .least = SECOND + 1000, .most = SECOND + 120999, .failures = 1},
    {"Retry-After, beyond a maximum of odd ms", .q.policy.rare_max_ms = 1500,
        .q.error = HBEAT_ERR_STATUS, .q.status = 429, .q.retry_after_s = 2,
        .least = SECOND + 1500, .most = SECOND + 121499, .failures = 1},
    {"Retry-After, a maximum below 1 s", .q.policy.rare_max_ms = 1,
        .q.error = HBEAT_ERR_STATUS, .q.status = 429, .q.retry_after_s = 1,
        .least = SECOND + 1, .most = SECOND + 120000, .failures = 1},
    {"Retry-After, the sum is over 32 bits", .q.policy.interval_ms = UINT32_MAX,
        .q.policy.rare_max_ms = UINT32_MAX, .q.error = HBEAT_ERR_STATUS,
        .q.status = 429, .q.retry_after_s = INT64_MAX, .least = UINT32_MAX,
        .most = UINT32_MAX, .failures = 1},
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
    {"argument", HBEAT_ERR_ARGUMENT, .person = true},
    {"resolve", HBEAT_ERR_RESOLVE, .person = false},
    {"connect", HBEAT_ERR_CONNECT, .person = false},
    {"proxy", HBEAT_ERR_PROXY, .person = false},
    {"timeout", HBEAT_ERR_TIMEOUT, .person = false},
    {"tls-version", HBEAT_ERR_TLS_VERSION, .person = false},
    {"cert-name", HBEAT_ERR_CERT_NAME, .person = true},
    {"cert-trust", HBEAT_ERR_CERT_TRUST, .person = true},
    {"cert-time", HBEAT_ERR_CERT_TIME, .person = false},
    {"tls", HBEAT_ERR_TLS, .person = false},
    {"truncated", HBEAT_ERR_TRUNCATED, .person = false},
    {"http", HBEAT_ERR_HTTP, .person = false},
    {"status", HBEAT_ERR_STATUS, .person = false},
    {"refused", HBEAT_ERR_REFUSED, .person = false},
    {"json", HBEAT_ERR_JSON, .person = false},
    {"too-big", HBEAT_ERR_TOO_BIG, .person = false},
    {"memory", HBEAT_ERR_MEMORY, .person = false},
    {"a value past the last", HBEAT_ERR_MEMORY + 1, .person = false},
    {"a value that is none", 1000000, .person = false},
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
  question q = {.failures = 9, .error = (hbeat_error)row->error};
  int64_t most = SECOND + (row->person ? HOUR : 10 * MINUTE) - 1;
  uint32_t failures;

  in_hand(row->name, NULL, 0);
  for (size_t i = 0; i < COUNT(AFTER); i++) {
    q.status = 0;
    q.retry_after_s = AFTER[i];
    expect_int("the least", ask(&q, 0, &failures), SECOND + ADDED[i]);
    expect_int("the most", ask(&q, MOST, &failures), ADDED[i] + most);
    expect_int("failures", failures, 10);
    q.status = NEVER;
    expect_int("no reply, the least", ask(&q, 0, &failures), SECOND);
    expect_int("no reply, the most", ask(&q, MOST, &failures), most);
    expect_int("no reply, failures", failures, 10);
  }
}

static void test_statuses(void **state) {
  question q = {
      .failures = 9, .error = HBEAT_ERR_STATUS, .retry_after_s = HBEAT_NONE};
  char text[32];
  uint32_t failures;

  (void)state;
  for (q.status = 0; q.status < 1000; q.status++) {
    bool person = q.status == 401 || q.status == 403 || q.status == 404 ||
        q.status == 422;
    snprintf(text, sizeof text, "status %d", q.status);
    in_hand(text, NULL, 0);
    expect_int("the most", ask(&q, MOST, &failures),
        SECOND + (person ? HOUR : 10 * MINUTE) - 1);
  }
}

/* ---- Every extreme ------------------------------------------------------ */

static uint64_t lower(uint64_t a, uint64_t b) {
  return a < b ? a : b;
}

static uint64_t value_or(uint64_t value, uint64_t otherwise) {
  return value != 0 ? value : otherwise;
}

/* What the header says of a failure, in 64 bits: from *least to *most. */
static void model_failure(
    const question *q, uint64_t interval, uint64_t *least, uint64_t *most) {
  const hbeat_policy *p = &q->policy;
  uint64_t hour_or_more = interval > MINUTE ? 60 * interval : HOUR;
  uint64_t rare = value_or(p->rare_max_ms, hour_or_more);
  uint64_t longest = value_or(p->retry_max_ms, 10 * interval);
  uint64_t window = interval, added = 0;

  for (uint32_t n = 0; n <= q->failures && window <= MOST; n++) window *= 2;
  if (q->error == HBEAT_ERR_CERT_NAME) longest = rare;
  if (q->status != NEVER && q->retry_after_s > 0)
    added = lower((uint64_t)q->retry_after_s, rare / 1000 + 1) * 1000;
  added = lower(added, rare);
  *least = lower(SECOND + added, MOST);
  *most = lower(SECOND + added + lower(window, longest), MOST);
}

/* The same of any outcome. */
static void model(const question *q, uint64_t *least, uint64_t *most) {
  uint64_t interval = value_or(q->policy.interval_ms, MINUTE);
  uint64_t nine_tenths = interval - interval / 10;

  if (q->error == HBEAT_OK) {
    *least = nine_tenths;
    *most = interval;
  } else if (q->error == HBEAT_AGAIN) {
    *least = 0;
    *most = value_or(q->policy.splay_ms, nine_tenths);
  } else {
    model_failure(q, interval, least, most);
  }
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
  question q = {.policy = *policy};

  for (size_t n = 0;
       n < COUNT(FAILURES) * COUNT(ERRORS) * COUNT(AFTER) * COUNT(RANDOMS);
       n++) {
    size_t i = n;
    uint32_t random = RANDOMS[i % COUNT(RANDOMS)];
    i /= COUNT(RANDOMS);
    q.retry_after_s = AFTER[i % COUNT(AFTER)];
    i /= COUNT(AFTER);
    q.error = ERRORS[i % COUNT(ERRORS)];
    i /= COUNT(ERRORS);
    q.failures = FAILURES[i];
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
  question q = {.error = HBEAT_OK, .status = 200, .retry_after_s = HBEAT_NONE};
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
  uint32_t from;  /* ms, the least */
  uint32_t range; /* ms; of 20 equal parts of it each gets as many draws */
} SPREADS[] = {
    {"after a success", .q.error = HBEAT_OK, .q.status = 200, .from = 54001,
        .range = 6000},
    {"the first one", .q.error = HBEAT_AGAIN, .q.status = NEVER, .from = 0,
        .range = 54000},
    {"after a failure", .q.error = HBEAT_ERR_CONNECT, .q.status = NEVER,
        .from = SECOND, .range = 2 * MINUTE},
    {"after many", .q.failures = 20, .q.error = HBEAT_ERR_CONNECT,
        .q.status = NEVER, .from = SECOND, .range = 10 * MINUTE},
    {"for a person", .q.failures = 20, .q.error = HBEAT_ERR_ARGUMENT,
        .q.status = NEVER, .from = SECOND, .range = HOUR},
    {"behind a Retry-After", .q.error = HBEAT_ERR_STATUS, .q.status = 429,
        .q.retry_after_s = 100, .from = SECOND + 100000, .range = 2 * MINUTE},
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
    {"no network", .error = HBEAT_ERR_CONNECT, .retry_after_s = HBEAT_NONE,
        .longest = SECOND + 10 * MINUTE},
    {"500", .error = HBEAT_ERR_STATUS, .status = 500,
        .retry_after_s = HBEAT_NONE, .longest = SECOND + 10 * MINUTE},
    {"429", .error = HBEAT_ERR_STATUS, .status = 429, .retry_after_s = 60,
        .longest = SECOND + 11 * MINUTE},
    {"503, and for a year", .error = HBEAT_ERR_STATUS, .status = 503,
        .retry_after_s = 31536000, .longest = SECOND + HOUR + 10 * MINUTE},
    {"a proxy that refuses", .error = HBEAT_ERR_PROXY, .status = 407,
        .retry_after_s = HBEAT_NONE, .longest = SECOND + 10 * MINUTE},
    {"a captive portal", .error = HBEAT_ERR_CERT_NAME,
        .retry_after_s = HBEAT_NONE, .longest = SECOND + HOUR},
    {"401", .error = HBEAT_ERR_STATUS, .status = 401,
        .retry_after_s = HBEAT_NONE, .longest = SECOND + HOUR},
    {"404, and for a year", .error = HBEAT_ERR_STATUS, .status = 404,
        .retry_after_s = 31536000, .longest = SECOND + 2 * HOUR},
    {"an argument", .error = HBEAT_ERR_ARGUMENT, .retry_after_s = HBEAT_NONE,
        .longest = SECOND + HOUR},
    {"another policy", .policy.interval_ms = 5000, .policy.retry_max_ms = 20000,
        .error = HBEAT_ERR_TIMEOUT, .retry_after_s = HBEAT_NONE,
        .longest = SECOND + 20000},
    {"another policy, a person", .policy.interval_ms = 5000,
        .policy.rare_max_ms = 60000, .error = HBEAT_ERR_CERT_TRUST,
        .retry_after_s = HBEAT_NONE, .longest = SECOND + 60000},
};

static void test_silence(void **state) {
  const struct silence_row *row = *state;
  question q = {.policy = row->policy,
      .error = row->error,
      .status = row->status,
      .retry_after_s = row->retry_after_s};
  const int64_t month = INT64_C(30) * 24 * HOUR;
  uint64_t seed = 1;
  int64_t now = 0, tries = 0;

  in_hand(row->name, NULL, 0);
  for (; now < month; tries++) {
    uint32_t random = (uint32_t)(next_random(&seed) >> 32);
    uint32_t wait = ask(&q, random, &q.failures);
    expect_true("a second or more", wait >= SECOND);
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
