/*
 * A fleet on the Schedule of heartbeat.h: a million devices for a day, through
 * a power cut, outages, a deploy and storms of 429, beside a naive client that
 * beats at a fixed interval and tries again a second after a failure.
 *
 * usage: fleet [FILE]     prints TAP; draws both fleets as SVG to FILE
 *
 * Every heartbeat of every device is one call of hbeat_next_ms() with the
 * default policy; nothing is sampled.  All that a device remembers is how many
 * failures it had in a row, and whether a connection has died on it; so two in
 * the same region that remember the same and are due in the same millisecond
 * are told apart by nothing: the calendar counts them instead of listing them.
 * Whole numbers alone are used, and one seed: every run on every machine says
 * and draws the same.
 *
 * The server has one address, and is as quick as ever whatever arrives: what is
 * held against the mean is what the clients ask of it.  Ends with 1 where that
 * is too much, or where it heard nothing from a device for longer than the
 * policy promises.
 *
 * Silences of less than a minute, which TCP bridges, are in no policy's hands:
 * they have a fleet of their own each, and are not in the drawing.
 */
#include "heartbeat.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

enum {
  DEVICES = 1000000,
  DAY_S = 86400,
  QUIET_S = 7200,        /* from here to the first event is the quiet hour */
  ANSWER_MS = 100,       /* what an exchange takes that is answered */
  TIMEOUT_MS = 30000,    /* ... and one that is not: config.timeout_ms */
  INTERVAL_MS = 60000,   /* the default policy, spelt out ... */
  SPLAY_MS = 54000,      /* ... for what it promises ... */
  RETRY_LEAST_MS = 1000, /* ... behind each failure, ... */
  RETRY_MAX_MS = 601000, /* ... behind each event, that second included, ... */
  CALM_MS = INTERVAL_MS + ANSWER_MS, /* ... and while the server is there */
  ACK_MS = TIMEOUT_MS / 4, /* until a kept connection counts as dead */
  /* Peaks, in hundredths of the mean: what chance makes of it; the mean and
   * the retries; what a server must have room for; what TCP makes of a short
   * silence, and of the worst there is; and the naive client's highest, behind
   * these two and of all.  Then how many in a hundred requests come on a new
   * connection, hours behind the silences.  README.md tells of them. */
  LIMIT_BEFORE = 105,
  LIMIT_DURING = 200,
  LIMIT_AFTER = 150,
  LIMIT_BLIP = 840,
  LIMIT_SILENCE = 1020,
  NAIVE_BLIP = 550,
  NAIVE_SILENCE = 1140,
  NAIVE_AFTER = 5700,
  NEW_BLIP = 3,
  NEW_SILENCE = 5
};

/* ---- What happens ------------------------------------------------------- */

typedef enum trouble {
  /* Connections are refused for seconds.  Every kept one has ended, too, but
   * a client replaces it unseen: that is no request more. */
  DEPLOY,
  POWER_CUT, /* a fifth of the devices is off, and back in the same second */
  SILENT,    /* nothing comes back */
  REFUSING,  /* connections are refused at once */
  FORGETS,   /* the network drops, without a word, what comes on a connection
              * that was idle */
  STORM,     /* every request is answered 429, with Retry-After in seconds */
  STORM_DATE /* ... or as a date, the same for all: the end */
} trouble;

typedef struct event {
  const char *name;
  trouble trouble;
  uint32_t begin_s, length_s, retry_after_s;
  uint32_t again_ms; /* from its end until all are heard, by the policy */
} event;

/* The last request in it fails, and its wait begins.  The worst for the naive
 * fleet come last: once in step, it stays so. */
static const event EVENTS[] = {
    {"deploy", DEPLOY, 10800, 5, 0, ANSWER_MS + RETRY_MAX_MS},
    {"power cut", POWER_CUT, 21600, 1200, 0, SPLAY_MS},
    {"silent outage", SILENT, 32400, 600, 0, TIMEOUT_MS + RETRY_MAX_MS},
    {"refusals", REFUSING, 43200, 600, 0, ANSWER_MS + RETRY_MAX_MS},
    {"429, seconds", STORM, 54000, 300, 60, ANSWER_MS + 60000 + RETRY_MAX_MS},
    /* The date is up to a second late; and nobody fails twice. */
    {"429, a date", STORM_DATE, 64800, 300, 0,
        ANSWER_MS + 1000 + RETRY_LEAST_MS + 2 * INTERVAL_MS},
};

/* TCP and new connections bridge the first, so that no request fails.  The
 * other is the worst of all lengths; from 210 s on the peak is within 1.5
 * again. */
static const event BLIPS[] = {
    {"silent, 15 s", SILENT, 10800, 15, 0, CALM_MS},
    {"silent, 53 s", SILENT, 10800, 53, 0, TIMEOUT_MS + RETRY_MAX_MS},
};

/* A fleet behind routers that forget, for an hour. */
static const event FORGETFUL = {"forgetful", FORGETS, 10800, 3600, 0, CALM_MS};

typedef struct plan {
  const event *events;
  size_t count;
  uint32_t end_s;
} plan;

/* The number of the event that `now_s` is in or behind, from 1; or 0. */
static size_t find_event(const plan *p, uint32_t now_s) {
  size_t i = p->count;

  while (i > 0 && p->events[i - 1].begin_s > now_s) i--;
  return i;
}

static uint32_t end_of(const event *e) {
  return e->begin_s + e->length_s;
}

/* What a device remembers.  It has kept a connection unless the last heartbeat
 * failed; and where one of ours had died in silence, it uses none again that
 * was idle for so long, for a day: here that is for good. */
typedef struct device {
  bool is_in_region_0;
  bool has_learnt;
  uint32_t failures; /* in a row */
} device;

/* What becomes of a request, and when it gets to the server. */
typedef struct outcome {
  hbeat_error error;
  hbeat_reply reply;
  uint32_t arrives, ends; /* ms */
  bool is_new;            /* it arrives on a new connection */
  bool has_learnt;        /* the device has, by now */
} outcome;

/* When TCP gets through to a server that is there from `end` on, or `limit` if
 * it does not before.  It sends at `now`, again after `step`, and each time
 * after twice as long. */
static uint32_t get_through(
    uint32_t now, uint32_t step, uint32_t limit, uint32_t end) {
  while (now < limit && now < end) {
    now += step;
    step *= 2;
  }
  return now < limit ? now : limit;
}

/* Silence: up to `kept_end` on a kept connection, up to `new_end` on a new one.
 * TCP waits for 1 s at first (RFC 6298), or for 0.2 s as Linux does on a
 * connection that was kept.  The naive client waits for that in vain; ours
 * takes a new one after ACK_MS, and learns from it if that stands at once. */
static void ask_silence(outcome *o, uint32_t now, uint32_t kept_end,
    uint32_t new_end, bool is_naive) {
  uint32_t limit = now + TIMEOUT_MS;
  uint32_t dead = is_naive ? limit : now + ACK_MS;
  uint32_t arrives = now;
  bool died = false;

  if (!o->is_new) {
    arrives = get_through(now, 200, dead, kept_end);
    died = arrives == dead;
  }
  if (o->is_new || died) arrives = get_through(arrives, 1000, limit, new_end);
  if (arrives == limit) {
    o->error = HBEAT_ERR_TIMEOUT;
    o->ends = limit;
    return;
  }
  o->is_new |= died;
  o->has_learnt |= died && arrives == dead;
  o->arrives = arrives;
  o->ends = arrives + ANSWER_MS;
}

/* Whether the event has ended a connection that was used at `heard` last. */
static bool ends_connection(const event *e, device d, uint32_t heard) {
  bool cuts = e->trouble == POWER_CUT && d.is_in_region_0;

  return (e->trouble == DEPLOY || cuts) && heard < e->begin_s * 1000;
}

/* A device asks that was last heard at `heard`. */
static outcome ask(
    const plan *p, uint32_t now, device d, uint32_t heard, bool is_naive) {
  outcome o = {.error = HBEAT_OK, .arrives = now, .ends = now + ANSWER_MS};
  size_t i = find_event(p, now / 1000);
  const event *e = i > 0 ? &p->events[i - 1] : NULL;

  o.reply.http_status = 200;
  o.reply.retry_after_s = HBEAT_NONE;
  o.has_learnt = d.has_learnt;
  o.is_new = d.failures > 0 || d.has_learnt ||
      (e != NULL && ends_connection(e, d, heard));
  if (e == NULL || now >= end_of(e) * 1000) return o;
  switch (e->trouble) {
  case POWER_CUT: break;
  case FORGETS: ask_silence(&o, now, UINT32_MAX, now, is_naive); break;
  case SILENT:
    ask_silence(&o, now, end_of(e) * 1000, end_of(e) * 1000, is_naive);
    break;
  case DEPLOY:
  case REFUSING: o.error = HBEAT_ERR_CONNECT; break;
  case STORM:
  case STORM_DATE:
    o.error = HBEAT_ERR_STATUS;
    o.reply.http_status = 429;
    o.reply.retry_after_s =
        e->trouble == STORM ? e->retry_after_s : end_of(e) - now / 1000;
  }
  return o;
}

/* ---- The two clients ---------------------------------------------------- */

static uint32_t draw_lot(uint64_t *random) {
  *random ^= *random << 13; /* Marsaglia's xorshift64 */
  *random ^= *random >> 7;
  *random ^= *random << 17;
  return (uint32_t)(*random >> 32);
}

/* As hbeat_next_ms(). */
typedef uint32_t client(uint32_t *failures, hbeat_error e,
    const hbeat_reply *reply, uint64_t *random);

static uint32_t ours(uint32_t *failures, hbeat_error e,
    const hbeat_reply *reply, uint64_t *random) {
  static const hbeat_policy policy;

  return hbeat_next_ms(&policy, failures, e, reply, draw_lot(random));
}

static uint32_t naive(uint32_t *failures, hbeat_error e,
    const hbeat_reply *reply, uint64_t *random) {
  (void)reply;
  (void)random;
  if (e == HBEAT_AGAIN) return 0;
  *failures = e != HBEAT_OK;
  return e == HBEAT_OK ? INTERVAL_MS : 1000;
}

/* ---- A fleet ------------------------------------------------------------ */

enum {
  REGIONS = 5,  /* of as many devices; region 0 has the power cut */
  FAILURES = 8, /* more change nothing: the fourth reaches the maximum */
  KINDS = 4 * FAILURES, /* of devices */
  RING = 1 << 20        /* ms: longer than an exchange and the wait behind it */
};

/* Devices that are due in the same millisecond.  All count as heard when the
 * one was that is silent for the longest. */
typedef struct slot {
  uint32_t count, heard;
} slot;

typedef struct fleet {
  const plan *plan;
  client *next;
  uint64_t random;
  slot *due[KINDS];                                /* by ms */
  uint32_t population[KINDS];                      /* sums of these */
  uint32_t arrivals[DAY_S + TIMEOUT_MS / 1000];    /* by second */
  uint32_t connections[DAY_S + TIMEOUT_MS / 1000]; /* by second: new ones */
  uint32_t off_since; /* the earliest `heard` of region 0 at its power cut */
  /* Between two heartbeats that the server took, the longest ms ... */
  struct {
    uint32_t calm;    /* ... while it was there, and none was cut off */
    uint32_t silence; /* ... before or in the event, and in or behind it */
    uint32_t again;   /* ... the event's end, and the first behind it */
  } seen[COUNT(EVENTS) + 1]; /* before the first event, and from each */
} fleet;

static uint32_t draw_wait(
    fleet *f, uint32_t *failures, hbeat_error e, const hbeat_reply *reply) {
  uint32_t wait = f->next(failures, e, reply, &f->random);

  if (wait >= RING - TIMEOUT_MS) abort(); /* it would come too early */
  return wait;
}

static size_t kind_of(device d) {
  size_t n = d.failures < FAILURES ? d.failures : FAILURES - 1;

  if (d.is_in_region_0) n += FAILURES;
  if (d.has_learnt) n += FAILURES * 2;
  return n;
}

static device device_of(size_t kind) {
  return (device){.failures = kind % FAILURES,
      .is_in_region_0 = kind / FAILURES % 2 != 0,
      .has_learnt = kind / FAILURES / 2 != 0};
}

static void place(fleet *f, device d, uint32_t when, slot devices) {
  size_t kind = kind_of(d);
  slot *due = &f->due[kind][when % RING];

  if (due->count == 0 || devices.heard < due->heard) due->heard = devices.heard;
  due->count += devices.count;
  f->population[kind] += devices.count;
}

static void keep_longest(uint32_t *most, uint32_t ms) {
  if (ms > *most) *most = ms;
}

/* The server takes a heartbeat, and took the device's last one `before`. */
static void hear(fleet *f, uint32_t before, uint32_t now) {
  size_t i = find_event(f->plan, now / 1000);
  const event *e = i > 0 ? &f->plan->events[i - 1] : NULL;

  if (e == NULL || before >= end_of(e) * 1000) {
    keep_longest(&f->seen[i].calm, now - before);
    return;
  }
  keep_longest(&f->seen[i].silence, now - before);
  if (before < e->begin_s * 1000 && now >= end_of(e) * 1000)
    keep_longest(&f->seen[i].again, now - end_of(e) * 1000);
}

/* All of a kind that are due now.  The naive ones among them, which draw no
 * lots, go on together. */
static void beat(fleet *f, uint32_t now, size_t kind) {
  slot *due = &f->due[kind][now % RING], some = *due;
  device before = device_of(kind);
  uint32_t count = some.count;
  outcome o;

  if (count == 0) return;
  due->count = 0;
  f->population[kind] -= count;
  o = ask(f->plan, now, before, some.heard, f->next == naive);
  f->arrivals[o.arrives / 1000] += count;
  if (o.error == HBEAT_OK) {
    if (o.is_new) f->connections[o.arrives / 1000] += count;
    hear(f, some.heard, o.arrives);
    some.heard = o.arrives;
  }
  some.count = f->next == naive ? count : 1;
  for (uint32_t n = 0; n < count; n += some.count) {
    device after = before;
    uint32_t wait = draw_wait(f, &after.failures, o.error, &o.reply);
    after.has_learnt = o.has_learnt;
    place(f, after, o.ends + wait, some);
  }
}

static void switch_off(fleet *f) {
  f->off_since = UINT32_MAX;
  for (size_t kind = 0; kind < KINDS; kind++) {
    if (!device_of(kind).is_in_region_0) continue;
    for (uint32_t ms = 0; ms < RING; ms++) {
      const slot *due = &f->due[kind][ms];
      if (due->count > 0 && due->heard < f->off_since)
        f->off_since = due->heard;
    }
    memset(f->due[kind], 0, RING * sizeof *f->due[kind]);
    f->population[kind] = 0;
  }
}

static void switch_on(fleet *f, uint32_t now) {
  for (int i = 0; i < DEVICES / REGIONS; i++) {
    device d = {.is_in_region_0 = true};
    uint32_t wait = draw_wait(f, &d.failures, HBEAT_AGAIN, NULL);
    place(f, d, now + wait, (slot){1, f->off_since});
  }
}

/* A fleet that has been on for long: a beat is the likelier to be the one that
 * spans this moment the longer its wait is. */
static void settle(fleet *f) {
  for (int i = 0; i < DEVICES; i++) {
    device d = {.is_in_region_0 = i % REGIONS == 0};
    uint32_t due, wait;
    do {
      due = (uint32_t)((uint64_t)draw_lot(&f->random) * INTERVAL_MS >> 32);
      wait = draw_wait(f, &d.failures, HBEAT_OK, NULL);
    } while (due >= wait);
    place(f, d, due, (slot){1, 0});
  }
}

/* Switches a region's devices off or on, where this is the time. */
static void cut_power(fleet *f, uint32_t now) {
  size_t i = find_event(f->plan, now / 1000);
  const event *e;

  if (i == 0) return;
  e = &f->plan->events[i - 1];
  if (e->trouble != POWER_CUT) return;
  if (now == e->begin_s * 1000) switch_off(f);
  if (now == end_of(e) * 1000) switch_on(f, now);
}

static void live(fleet *f) {
  for (uint32_t now = 0; now < f->plan->end_s * 1000; now++) {
    cut_power(f, now);
    for (size_t kind = 0; kind < KINDS; kind++)
      if (f->population[kind] > 0) beat(f, now, kind);
  }
}

static void run(fleet *f, const plan *p, client *next) {
  memset(f, 0, sizeof *f);
  f->plan = p;
  f->next = next;
  f->random = 0x9E3779B97F4A7C15;
  for (size_t kind = 0; kind < KINDS; kind++) {
    f->due[kind] = calloc(RING, sizeof *f->due[kind]);
    if (f->due[kind] == NULL) abort();
  }
  settle(f);
  live(f);
  for (size_t kind = 0; kind < KINDS; kind++) free(f->due[kind]);
}

/* The highest of these seconds. */
static uint32_t highest(
    const uint32_t *by_second, uint32_t begin_s, uint32_t end_s) {
  uint32_t most = 0;

  for (uint32_t s = begin_s; s < end_s; s++)
    if (by_second[s] > most) most = by_second[s];
  return most;
}

static uint32_t peak(const fleet *f, uint32_t begin_s, uint32_t end_s) {
  return highest(f->arrivals, begin_s, end_s);
}

static uint32_t average(
    const uint32_t *by_second, uint32_t begin_s, uint32_t end_s) {
  uint32_t sum = 0;

  for (uint32_t s = begin_s; s < end_s; s++) sum += by_second[s];
  return sum / (end_s - begin_s);
}

/* Requests a second in the quiet hour. */
static uint32_t mean(const fleet *f) {
  return average(f->arrivals, QUIET_S, f->plan->events[0].begin_s);
}

/* The highest second, in hundredths of the mean, rounded up. */
static uint32_t share(const fleet *f, uint32_t begin_s, uint32_t end_s) {
  return (peak(f, begin_s, end_s) * 100 + mean(f) - 1) / mean(f);
}

static uint32_t devices(const fleet *f) {
  uint32_t sum = 0;

  for (size_t kind = 0; kind < KINDS; kind++) sum += f->population[kind];
  return sum;
}

/* ---- The drawing -------------------------------------------------------- */

enum {
  LEFT = 68, /* pixels: where the plot is */
  TOP = 26,
  WIDTH = 720,
  HEIGHT = 240,
  PIXEL_S = DAY_S / WIDTH, /* a pixel shows the highest second of so many */
  LEAST = 1000,            /* requests a second: at the bottom ... */
  MOST = 2000000           /* ... and at the top */
};

/* The binary logarithm, in 256ths, by squaring: whole numbers, so that all
 * machines draw the same. */
static int logarithm(uint64_t n) {
  int whole = 0, part = 0;

  while (n >> whole > 1) whole++;
  n = n << 31 >> whole;
  for (int bit = 0; bit < 8; bit++) {
    n = n * n >> 31;
    part = 2 * part + (n >> 32 != 0);
    n >>= n >> 32;
  }
  return 256 * whole + part;
}

/* Where so many requests a second are drawn. */
static int height_of(uint32_t requests) {
  int least = logarithm(LEAST), most = logarithm(MOST);

  if (requests < LEAST) requests = LEAST;
  return TOP + HEIGHT - (logarithm(requests) - least) * HEIGHT / (most - least);
}

static void draw_text(
    FILE *out, int x, int y, const char *style, const char *text) {
  fprintf(out, "<text x=\"%d\" y=\"%d\" class=\"%s\">%s</text>\n", x, y, style,
      text);
}

static void draw_scales(FILE *out) {
  static const struct scale {
    const char *name;
    uint32_t requests;
  } SCALES[] = {
      {"1,000", 1000},
      {"10,000", 10000},
      {"100,000", 100000},
      {"1,000,000", 1000000},
  };
  char hour[16];

  for (size_t i = 0; i < COUNT(SCALES); i++) {
    int y = height_of(SCALES[i].requests);
    fprintf(out, "<path d=\"M%d %dh%d\"/>\n", LEFT, y, WIDTH);
    draw_text(out, LEFT - 6, y + 4, "end", SCALES[i].name);
  }
  for (int h = 0; h <= 24; h += 3) {
    snprintf(hour, sizeof hour, "%d h", h);
    draw_text(out, LEFT + WIDTH * h / 24, TOP + HEIGHT + 16, "mid", hour);
  }
  for (size_t i = 0; i < COUNT(EVENTS); i++) {
    int x = LEFT + (int)EVENTS[i].begin_s / PIXEL_S;
    fprintf(out, "<path d=\"M%d %dv%d\"/>\n", x, TOP, HEIGHT);
    draw_text(out, x, TOP - 8, "mid", EVENTS[i].name);
  }
}

/* Only where it bends. */
static void draw_line(FILE *out, const fleet *f, const char *style) {
  int before = 0, y = 0, after = 0;

  fprintf(out, "<polyline class=\"%s\" points=\"", style);
  for (int x = 0; x <= WIDTH; x++, before = y, y = after) {
    uint32_t s = (uint32_t)(x * PIXEL_S);
    after = x < WIDTH ? height_of(peak(f, s, s + PIXEL_S)) : 0;
    if (x > 0 && (before != y || y != after))
      fprintf(out, "%d,%d ", LEFT + x - 1, y);
  }
  fprintf(out, "\"/>\n");
}

/* Has no ground of its own, and colours that a light or dark one suits. */
static void draw_fleets(FILE *out, const fleet *us, const fleet *them) {
  enum { LEGEND = TOP + HEIGHT + 40 };

  fprintf(out,
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" "
      "height=\"%d\" font-family=\"sans-serif\" font-size=\"12\">\n"
      "<title>A million devices for a day</title>\n"
      "<style>text{fill:#7d8590}.mid{text-anchor:middle}"
      ".end{text-anchor:end}path{stroke:#7d8590;stroke-opacity:.4}"
      "polyline{fill:none;stroke-width:1.5}.us{stroke:#2f81f7}"
      ".them{stroke:#e5534b}text.us{fill:#2f81f7;stroke:none}"
      "text.them{fill:#e5534b;stroke:none}</style>\n",
      LEFT + WIDTH + 20, LEGEND + 10);
  draw_scales(out);
  draw_line(out, them, "them");
  draw_line(out, us, "us");
  draw_text(out, LEFT, LEGEND, "all",
      "Requests a second, the highest of two minutes:");
  draw_text(out, LEFT + 290, LEGEND, "us", "hbeat_next_ms()");
  draw_text(
      out, LEFT + 410, LEGEND, "them", "every 60 s, and 1 s after a failure");
  fprintf(out, "</svg>\n");
}

/* ---- The report --------------------------------------------------------- */

static struct { int tests, failed; } seen;

static void report(bool ok, const char *when, const char *what) {
  seen.tests++;
  seen.failed += !ok;
  printf("%s %d - %s: %s\n", ok ? "ok" : "not ok", seen.tests, when, what);
}

/* What the server has to do besides: each new connection is a handshake. */
static void note_connections(const fleet *f, size_t i) {
  const event *e = &f->plan->events[i];
  bool last = i + 1 == f->plan->count;
  uint32_t next_s = last ? f->plan->end_s : e[1].begin_s;

  printf("# note %-13s new connections a second: %" PRIu32
         " before, at most %" PRIu32 ", %" PRIu32 " in the last half hour\n",
      e->name, average(f->connections, e->begin_s - 1800, e->begin_s),
      highest(f->connections, e->begin_s, next_s),
      average(f->connections, next_s - 1800, next_s));
}

/* What both fleets do from an event on, and what is promised of ours. */
static void report_event(size_t i, const fleet *us, const fleet *them,
    uint32_t *after, uint32_t *theirs) {
  const event *e = &us->plan->events[i];
  bool last = i + 1 == us->plan->count;
  uint32_t begin_s = e->begin_s, end_s = end_of(e);
  uint32_t next_s = last ? us->plan->end_s : e[1].begin_s;
  uint32_t during = share(us, begin_s, end_s);
  uint32_t calm = us->seen[i + 1].calm, silence = us->seen[i + 1].silence;
  uint32_t again = us->seen[i + 1].again;

  *after = share(us, end_s, next_s);
  *theirs = share(them, end_s, next_s);
  printf("# note %-13s peak %u.%02u after, %u.%02u during; naive %u.%02u; ",
      e->name, *after / 100, *after % 100, during / 100, during % 100,
      *theirs / 100, *theirs % 100);
  printf("all heard in %u s of %u, after %u at most; then every %u\n",
      (again + 999) / 1000, (e->again_ms + 999) / 1000, (silence + 999) / 1000,
      (calm + 999) / 1000);
  note_connections(us, i);
  report(during <= LIMIT_DURING, e->name, "the peak in it is within 2");
  report(calm > 0 && calm <= CALM_MS && silence >= e->length_s * 1000 &&
          silence <= CALM_MS + e->length_s * 1000 + e->again_ms,
      e->name, "no device is silent for longer than the policy says");
  report(again > 0 && again <= e->again_ms, e->name,
      "every device is heard again as soon as the policy says");
}

/* The naive fleet's part is to show that the events are bad enough. */
static void report_day(const fleet *us, const fleet *them) {
  uint32_t after, theirs, worst = 0;

  report(us->seen[0].calm <= CALM_MS &&
          share(us, 0, EVENTS[0].begin_s) <= LIMIT_BEFORE,
      "before", "the fleet is calm");
  for (size_t i = 0; i < COUNT(EVENTS); i++) {
    report_event(i, us, them, &after, &theirs);
    report(after <= LIMIT_AFTER, EVENTS[i].name,
        "the peak after it is within 1.5");
    report(theirs > LIMIT_AFTER, EVENTS[i].name, "the naive client's is not");
    if (theirs > worst) worst = theirs;
  }
  report((worst + 99) / 100 * 100 == NAIVE_AFTER, "after",
      "the naive client's highest peak is as the README says");
  report(devices(us) == DEVICES && devices(them) == DEVICES, "after",
      "no device is lost");
}

/* What is said of a short silence, in hundredths. */
typedef struct claim {
  uint32_t peak, naive_peak;
  uint32_t new_connections; /* of all requests in the last half hour */
} claim;

static void report_blip(const fleet *us, const fleet *them, claim c) {
  const char *name = us->plan->events->name;
  uint32_t end_s = us->plan->end_s;
  uint32_t after, theirs;
  uint32_t connections = average(us->connections, end_s - 1800, end_s);

  report_event(0, us, them, &after, &theirs);
  report((after + 9) / 10 * 10 == c.peak, name,
      "the peak after it is as the README says");
  report((theirs + 9) / 10 * 10 == c.naive_peak, name,
      "the naive client's is as the README says");
  report((connections * 100 + mean(us) / 2) / mean(us) == c.new_connections,
      name, "so many connect anew as the README says");
}

/* Every heartbeat of ours arrives; the naive client loses every second one. */
static void report_forgetful(const fleet *us, const fleet *them) {
  const event *e = us->plan->events;
  uint32_t silence = us->seen[1].silence;
  uint32_t theirs = them->seen[1].silence;
  uint32_t during = share(us, e->begin_s, end_of(e));

  printf("# note %-13s peak %u.%02u; all heard every %u s at least, naive %u\n",
      e->name, during / 100, during % 100, (silence + 999) / 1000,
      (theirs + 999) / 1000);
  note_connections(us, 0);
  report(silence > 0 && silence <= CALM_MS + ACK_MS, e->name,
      "no heartbeat is lost");
  report(during <= LIMIT_AFTER, e->name, "the peak in it is within 1.5");
  report(average(us->connections, e->begin_s + 1800, us->plan->end_s) >=
          mean(us) * 99 / 100,
      e->name, "each comes on a new connection");
  report(theirs >= CALM_MS + TIMEOUT_MS, e->name,
      "the naive client loses heartbeats");
}

static bool draw_to(const char *path, const fleet *us, const fleet *them) {
  FILE *out = fopen(path, "w");

  if (out == NULL) return false;
  draw_fleets(out, us, them);
  return fclose(out) == 0;
}

int main(int argc, char **argv) {
  static const plan day = {EVENTS, COUNT(EVENTS), DAY_S};
  static const plan blip = {&BLIPS[0], 1, 12600};
  static const plan silence = {&BLIPS[1], 1, 12600};
  static const plan forgetful = {&FORGETFUL, 1, 14400};
  static fleet us, them;

  run(&us, &day, ours);
  run(&them, &day, naive);
  printf("# note mean %" PRIu32 " requests a second, naive %" PRIu32
         "; peaks in shares of it\n",
      mean(&us), mean(&them));
  report_day(&us, &them);
  if (argc > 1)
    report(draw_to(argv[1], &us, &them), "drawing", "it is written");
  run(&us, &blip, ours);
  run(&them, &blip, naive);
  report_blip(&us, &them, (claim){LIMIT_BLIP, NAIVE_BLIP, NEW_BLIP});
  run(&us, &silence, ours);
  run(&them, &silence, naive);
  report_blip(&us, &them, (claim){LIMIT_SILENCE, NAIVE_SILENCE, NEW_SILENCE});
  run(&us, &forgetful, ours);
  run(&them, &forgetful, naive);
  report_forgetful(&us, &them);
  printf("1..%d\n", seen.tests);
  return seen.failed > 0;
}
