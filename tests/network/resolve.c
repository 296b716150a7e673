/*
 * Names: how the client asks for them, whom, and for how long it believes what
 * it was told.  Where it learns whom to ask is in files.c, what the answers may
 * hold in answers.c.
 */
#define _DEFAULT_SOURCE
#include "nameserver.h"
#include "syscalls.h"

#include <fcntl.h>
#include <poll.h>
#include <strings.h>
#include <unistd.h>

static struct player player;

static void open_player(const char *hosts, const char *resolv) {
  player_configure_name(&player, hosts, resolv);
  assert_int_equal(hbeat_init(&player.client, &player.cfg), HBEAT_OK);
}

static const struct ns_server good_server = {.a = {R(1, A("\1"))}};

/* ---- The questions ---------------------------------------------------- */

struct name_row {
  const char *name;
  const char *host;
  const char *says;
};

#define L63 "x23456789-123456789-123456789-123456789-123456789-123456789-123"
#define L61 "x23456789-123456789-123456789-123456789-123456789-123456789-1"
#define L253 L63 "." L63 "." L63 "." L61

static const struct name_row name_rows[] = {
    {"a name", .host = "api.lucit.app", .says = NO_NAME},
    {"a name with a dot at its end", .host = "api.lucit.app.", .says = NO_NAME},
    {"a name without a dot", .host = "kiosk", .says = NO_NAME},
    {"one letter", .host = "a", .says = NO_NAME},
    {"upper case", .host = "Api.LUCIT.app", .says = NO_NAME},
    {"labels of 63 bytes", .host = L63 ".app", .says = NO_NAME},
    /* The explanation has room for no more than the name. */
    {"253 bytes", .host = L253, .says = "no address for x"},
};

/* Asks only for the name as it is: neither search nor domain add to it. */
static void is_name(void **state) {
  static const struct ns_server server = {
      .a = {.rcode = NS_NXDOMAIN}, .aaaa = {.rcode = NS_NXDOMAIN}};
  const struct name_row *row = *state;
  const volatile struct ns_log *log;
  size_t size = strlen(row->host);

  ns_start(&server, 1);
  player_configure_name(&player, NULL,
      ns_text("resolv.conf",
          "domain lucit.app\nsearch lucit.app example\n"
          "options ndots:9\nnameserver $0\n"));
  player.cfg.host = row->host;
  assert_int_equal(hbeat_init(&player.client, &player.cfg), HBEAT_OK);
  player_look_up(&player, "", row->says);
  if (row->host[size - 1] == '.') size--;
  log = ns_log();
  assert_int_equal(log->count, 2);
  for (unsigned i = 0; i < 2; i++) {
    const char *name = (const char *)(uintptr_t)log->queries[i].name;

    if (strlen(name) != size || strncasecmp(name, row->host, size) != 0)
      fail_msg("wanted the name \"%s\", got \"%s\"", row->host, name);
  }
  hbeat_close(&player.client);
}

enum { EXCHANGES = 40 };

/* One standard question with RD, of class IN, and nothing behind it. */
static void check_form(const volatile struct ns_query *q) {
  assert_int_equal(q->flags, 0x0100);
  assert_int_equal(q->counts[0], 1);
  assert_int_equal(q->counts[1], 0);
  assert_int_equal(q->counts[2], 0);
  assert_int_equal(q->counts[3], 0);
  assert_int_equal(q->class, 1);
  assert_int_equal(q->behind, 0);
}

/* Both of 40 exchanges: what is guessed must be the port and the id. */
static void questions_are_well_formed_and_random(void **state) {
  static const struct ns_server server = {.a = {R(1, A_TTL("\0\0\0\0", "\1"))}};
  const volatile struct ns_query *q;
  unsigned ids = 0, ports = 0, steps = 0;

  (void)state;
  ns_start(&server, 1);
  open_player(NULL, ns_text("resolv.conf", "nameserver $0\n"));
  for (int i = 0; i < EXCHANGES; i++)
    player_look_up(&player, "127.0.0.1", NULL);
  assert_int_equal(ns_log()->count, 2 * EXCHANGES);
  q = ns_log()->queries;
  for (unsigned i = 0; i < 2 * EXCHANGES; i++) {
    unsigned same_id = 0, same_port = 0;

    check_form(&q[i]);
    for (unsigned j = 0; j < i; j++) {
      same_id += q[j].id == q[i].id;
      same_port += q[j].port == q[i].port;
    }
    ids += same_id == 0;
    ports += same_port == 0;
    if (i % 2 == 0) continue;
    assert_int_equal(q[i].port, q[i - 1].port);
    assert_int_equal(q[i].type + q[i - 1].type, NS_A + NS_AAAA);
    assert_int_not_equal(q[i].id, q[i - 1].id);
    steps += (uint16_t)(q[i].id - q[i - 1].id) < 16;
  }
  if (ids < 2 * EXCHANGES - 3 || ports < EXCHANGES - 5 || steps > 3)
    fail_msg("of 80 ids %u differ, of 40 ports %u; %u ids follow close", ids,
        ports, steps);
  hbeat_close(&player.client);
}

/* ---- Servers ---------------------------------------------------------- */

#define SILENT                                                                 \
  {                                                                            \
    .a = {.silent = true}, .aaaa = {.silent = true }                           \
  }
#define NOBODY                                                                 \
  { .closed = true }
#define GOOD(last)                                                             \
  {                                                                            \
    .a = { R(1, A(last)) }                                                     \
  }

/* Its ids are wrong, and they come for a second; the address is wrong, too. */
#define FLOOD                                                                  \
  {                                                                            \
    .a = { R(1, A("\x66")), .wrong = NS_ID, .flood = 5000 }                    \
  }

/* Another address over UDP, which nobody should have asked. */
#define VC(last)                                                               \
  {                                                                            \
    .a = {R(1, A("\x66"))}, .tcp_a = { R(1, A(last)) }                         \
  }

struct server_row {
  const char *name;
  struct ns_server servers[3];
  const char *resolv;
  uint32_t timeout_ms;
  const char *tried; /* the addresses */
  const char *asked; /* which servers; NULL: any */
  const char *says;  /* where there is no address */
  uint32_t takes_ms; /* and for each poll() that finds something 1 ms more */
};

#define ALL "nameserver $0\nnameserver $1\nnameserver $2\noptions attempts:1\n"
#define TWO "nameserver $0\nnameserver $1\noptions attempts:1\n"
#define ONE "nameserver $0\noptions attempts:1\n"

/*
 * A try lasts for the time left, divided by the tries left and one: that one
 * is for what comes behind the names, and for what comes late.
 */
static const struct server_row server_rows[] = {
    {"the first is silent", .servers = {SILENT, GOOD("\2")}, .resolv = TWO,
        .timeout_ms = 900, .tried = "127.0.0.2", .asked = "0 1",
        .takes_ms = 300},
    {"two are silent", .servers = {SILENT, SILENT, GOOD("\3")}, .resolv = ALL,
        .timeout_ms = 900, .tried = "127.0.0.3", .asked = "0 1 2",
        .takes_ms = 450},
    {"all are silent", .servers = {SILENT, SILENT}, .resolv = TWO,
        .timeout_ms = 900, .tried = "", .asked = "0 1", .says = NO_ANSWER,
        .takes_ms = 900},
    {"the timeout of resolv.conf counts", .servers = {SILENT, GOOD("\2")},
        .resolv = TWO "options timeout:1\n", .timeout_ms = 60000,
        .tried = "127.0.0.2", .asked = "0 1", .takes_ms = 1000},
    {"there is no first", .servers = {NOBODY, GOOD("\2")}, .resolv = TWO,
        .timeout_ms = 5000, .tried = "127.0.0.2", .asked = "1"},
    {"there is no second, for one question",
        .servers = {{.a = {.rcode = NS_SERVFAIL}}, NOBODY, GOOD("\3")},
        .resolv = ALL, .timeout_ms = 5000, .tried = "127.0.0.3",
        .asked = "0 2"},
    {"there is none", .servers = {NOBODY, NOBODY}, .resolv = TWO,
        .timeout_ms = 5000, .tried = "", .asked = "", .says = NO_ANSWER},
    {"no route to the first", .servers = {GOOD("\2")},
        .resolv = "nameserver 255.255.255.255\nnameserver $0\n",
        .timeout_ms = 5000, .tried = "127.0.0.2", .asked = "0"},
    {"the first time is silent", .servers = {{.a = {R(1, A("\1"))}, .deaf = 2}},
        .resolv = "nameserver $0\n", .timeout_ms = 900, .tried = "127.0.0.1",
        .asked = "0 0", .takes_ms = 300},
    {"a question gets lost",
        .servers = {{.a = {R(1, A("\1"))}, .aaaa = {R(0, "")}, .deaf = 1}},
        .resolv = "nameserver $0\n", .timeout_ms = 900, .tried = "127.0.0.1",
        .takes_ms = 200},
    {"one family has an address, the other is truncated, and TCP is silent",
        .servers = {{.a = {R(1, A("\1"))},
            .aaaa = {.wrong = NS_SHORT},
            .tcp = NS_TCP_SILENT}},
        .resolv = ONE, .timeout_ms = 300, .tried = "127.0.0.1",
        .takes_ms = 150},
    {"use-vc: over TCP at once", .servers = {VC("\1")},
        .resolv = ONE "options use-vc\n", .timeout_ms = 5000,
        .tried = "127.0.0.1", .asked = "0t"},
    {"use-vc before the nameserver, among other options", .servers = {VC("\1")},
        .resolv = "options rotate use-vc timeout:1\nnameserver $0\n",
        .timeout_ms = 5000, .tried = "127.0.0.1", .asked = "0t"},
    {"use-vc, and the first refuses",
        .servers = {{.a = {R(1, A("\x66"))}, .tcp = NS_TCP_REFUSES}, VC("\2")},
        .resolv = TWO "options use-vc\n", .timeout_ms = 5000,
        .tried = "127.0.0.2", .asked = "1t"},
    {"use-vc, and the first swallows",
        .servers = {{.a = {R(1, A("\x66"))}, .tcp = NS_TCP_HOLE}, VC("\2")},
        .resolv = TWO "options use-vc\n", .timeout_ms = 900,
        .tried = "127.0.0.2", .asked = "1t", .takes_ms = 300},
    {"use-vc, and the first is silent",
        .servers = {{.a = {R(1, A("\x66"))}, .tcp = NS_TCP_SILENT}, VC("\2")},
        .resolv = TWO "options use-vc\n", .timeout_ms = 900,
        .tried = "127.0.0.2", .asked = "0t 1t", .takes_ms = 300},
    {"use-vc, and all fail",
        .servers =
            {{.tcp_a = {.rcode = NS_SERVFAIL}, .tcp_aaaa = {.wrong = NS_SHORT}},
                {.tcp_a = {.rcode = NS_SERVFAIL},
                    .tcp_aaaa = {.rcode = NS_SERVFAIL}}},
        .resolv = TWO "options use-vc attempts:2\n", .timeout_ms = 5000,
        .tried = "", .asked = "0t 1t 0t 1t", .says = NO_ANSWER},
    {"use-vc that is no option",
        .servers = {{.a = {R(1, A("\1"))}, .tcp = NS_TCP_REFUSES}},
        .resolv = ONE "search use-vc\n# options use-vc\noptions use-vcs "
                      "xuse-vc use-v use_vc use-vc:1\n",
        .timeout_ms = 5000, .tried = "127.0.0.1", .asked = "0"},
    {"a flood of strays", .servers = {FLOOD}, .resolv = ONE, .timeout_ms = 900,
        .tried = "", .asked = "0", .says = NO_ANSWER, .takes_ms = 900},
    {"a flood of strays, then a good server", .servers = {FLOOD, GOOD("\2")},
        .resolv = TWO, .timeout_ms = 900, .tried = "127.0.0.2", .asked = "0 1",
        .takes_ms = 300},
};

static void is_server(void **state) {
  const struct server_row *row = *state;
  int64_t took;
  int before;

  ns_start(row->servers, 3);
  player_configure_name(&player, NULL, ns_text("resolv.conf", row->resolv));
  player.cfg.timeout_ms = row->timeout_ms;
  assert_int_equal(hbeat_init(&player.client, &player.cfg), HBEAT_OK);
  before = open_descriptors();
  took = now_ms();
  player_look_up(&player, row->tried, row->says);
  took = now_ms() - took;
  assert_int_equal(open_descriptors(), before);
  if (row->asked) assert_string_equal(ns_asked(), row->asked);
  if (row->asked && !strchr(row->asked, 't'))
    assert_int_equal(ns_log()->connections, 0);
  if (took < row->takes_ms || took > row->takes_ms + 20)
    fail_msg("wanted %u ms, got %d", row->takes_ms, (int)took);
  hbeat_close(&player.client);
}

/* ---- Answers that come late ------------------------------------------- */

/* An answer after so long, for both families: no IPv6. */
#define LATE(ms, last)                                                         \
  {                                                                            \
    .a = {R(1, A(last)), .delay_ms = ms}, .aaaa = {.delay_ms = ms }            \
  }
#define LATE_BOTH(ms, how)                                                     \
  {                                                                            \
    .a = {how, .delay_ms = ms}, .aaaa = { how, .delay_ms = ms }                \
  }
#define LATE_SHORT(ms, how)                                                    \
  {                                                                            \
    .a = {.wrong = NS_SHORT, .delay_ms = ms},                                  \
    .aaaa = {.wrong = NS_SHORT, .delay_ms = ms}, .tcp_a = {R(1, A("\1"))},     \
    .tcp = how                                                                 \
  }

/*
 * Of 30 s each try has 5 s.  An older try is looked at whenever the newest one
 * has an answer, and each 250 ms.  What is truncated is asked for again when
 * the newest try has had 200 ms more.
 */
#define LONG .timeout_ms = 30000

static const struct server_row late_rows[] = {
    {.name = "after 6 s",
        .servers = {LATE(6000, "\1")},
        .resolv = "nameserver $0\n",
        LONG,
        .tried = "127.0.0.1",
        .asked = "0 0",
        .takes_ms = 6000},
    {.name = "after 12 s, when all was asked",
        .servers = {LATE(12000, "\1")},
        .resolv = "nameserver $0\n",
        LONG,
        .tried = "127.0.0.1",
        .asked = "0 0",
        .takes_ms = 12000},
    {.name = "after 29.9 s",
        .servers = {LATE(29900, "\1")},
        .resolv = ONE,
        LONG,
        .tried = "127.0.0.1",
        .asked = "0",
        .takes_ms = 29900},
    {.name = "after 31 s",
        .servers = {LATE(31000, "\1")},
        .resolv = "nameserver $0\n",
        LONG,
        .tried = "",
        .asked = "0 0",
        .says = NO_ANSWER,
        .takes_ms = 30000},
    {.name = "to the second try alone",
        .servers = {{.a = {R(1, A("\1")), .delay_ms = 6000},
            .aaaa = {.delay_ms = 6000},
            .deaf = 2}},
        .resolv = "nameserver $0\n",
        LONG,
        .tried = "127.0.0.1",
        .asked = "0 0",
        .takes_ms = 11000},
    {.name = "of the first server, the second is silent",
        .servers = {LATE(6000, "\1"), SILENT},
        .resolv = TWO,
        LONG,
        .tried = "127.0.0.1",
        .asked = "0 1",
        .takes_ms = 6000},
    {.name = "of the first server, when the second has failed",
        .servers = {LATE(12000, "\1"), LATE_BOTH(0, .rcode = NS_SERVFAIL)},
        .resolv = TWO,
        LONG,
        .tried = "127.0.0.1",
        .asked = "0 1",
        .takes_ms = 12000},
    {.name = "of the first of three, and the others are silent",
        .servers = {LATE(14000, "\1"), SILENT, SILENT},
        .resolv = ALL,
        LONG,
        .tried = "127.0.0.1",
        .asked = "0 1 2",
        .takes_ms = 14000},
    {.name = "to the third of five tries: the newest three are open",
        .servers = {LATE(16000, "\1")},
        .resolv = "nameserver $0\noptions attempts:5\n",
        LONG,
        .tried = "127.0.0.1",
        .asked = "0 0 0 0 0",
        .takes_ms = 26000},
    {.name = "each server for one family",
        .servers = {{.a = {R(1, A("\1")), .delay_ms = 6000},
                        .aaaa = {.silent = true}},
            {.a = {.silent = true}, .aaaa = {.delay_ms = 900}}},
        .resolv = TWO,
        LONG,
        .tried = "127.0.0.1",
        .asked = "0 1",
        .takes_ms = 6150},
    {.name = "for A, and AAAA is not awaited much longer",
        .servers = {{.a = {R(1, A("\1")), .delay_ms = 6000},
                        .aaaa = {.silent = true}},
            SILENT},
        .resolv = TWO,
        LONG,
        .tried = "127.0.0.1",
        .asked = "0 1",
        .takes_ms = 6200},
    {.name = "no such name",
        .servers = {LATE_BOTH(6000, .rcode = NS_NXDOMAIN), SILENT},
        .resolv = TWO,
        LONG,
        .tried = "",
        .asked = "0 1",
        .says = NO_NAME,
        .takes_ms = 6000},
    {.name = "no such name for A, and never a word for AAAA",
        .servers = {{.a = {.rcode = NS_NXDOMAIN, .delay_ms = 6000},
            .aaaa = {.silent = true}}},
        .resolv = ONE,
        LONG,
        .tried = "",
        .asked = "0",
        .says = NO_NAME,
        .takes_ms = 30000},
    {.name = "no address",
        .servers = {LATE_BOTH(6000, .rcode = 0), SILENT},
        .resolv = TWO,
        LONG,
        .tried = "",
        .asked = "0 1",
        .says = NO_ADDRESS,
        .takes_ms = 6000},
    {.name = "a failure, while the next server takes its time",
        .servers = {LATE_BOTH(6000, .rcode = NS_SERVFAIL), LATE(2000, "\2")},
        .resolv = TWO,
        LONG,
        .tried = "127.0.0.2",
        .asked = "0 1",
        .takes_ms = 7000},
    {.name = "failures of all",
        .servers = {LATE_BOTH(6000, .rcode = NS_SERVFAIL),
            LATE_BOTH(3000, .rcode = NS_SERVFAIL)},
        .resolv = TWO,
        LONG,
        .tried = "",
        .asked = "0 1",
        .says = NO_ANSWER,
        .takes_ms = 8000},
    {.name = "failures of all, the newest first",
        .servers = {LATE_BOTH(7500, .rcode = NS_SERVFAIL),
            LATE_BOTH(1000, .rcode = NS_SERVFAIL)},
        .resolv = TWO,
        LONG,
        .tried = "",
        .asked = "0 1",
        .says = NO_ANSWER,
        .takes_ms = 7500},
    {.name = "truncated",
        .servers = {LATE_SHORT(6000, NS_TCP_GOOD), SILENT},
        .resolv = TWO,
        LONG,
        .tried = "127.0.0.1",
        .asked = "0 1 0t",
        .takes_ms = 6200},
    {.name = "truncated, when all was asked",
        .servers = {LATE_SHORT(12000, NS_TCP_GOOD), SILENT},
        .resolv = TWO,
        LONG,
        .tried = "127.0.0.1",
        .asked = "0 1 0t",
        .takes_ms = 12200},
    {.name = "truncated, and the next answers before TCP is asked",
        .servers = {LATE_SHORT(6000, NS_TCP_GOOD), LATE(1100, "\2")},
        .resolv = TWO,
        LONG,
        .tried = "127.0.0.2",
        .asked = "0 1",
        .takes_ms = 6100},
    {.name = "truncated, and TCP refuses, while the next takes its time",
        .servers = {LATE_SHORT(6000, NS_TCP_REFUSES), LATE(9000, "\2")},
        .resolv = TWO,
        LONG,
        .tried = "127.0.0.2",
        .asked = "0 1",
        .takes_ms = 14000},
    {.name = "truncated, while another is asked over TCP",
        .servers = {LATE_SHORT(6000, NS_TCP_GOOD),
            LATE_SHORT(0, NS_TCP_SILENT)},
        .resolv = TWO,
        LONG,
        .tried = "127.0.0.1",
        .asked = "0 1 1t 0t",
        .takes_ms = 10000},
    {.name = "while another is asked over TCP",
        .servers = {LATE(6000, "\1"), LATE_SHORT(0, NS_TCP_SILENT)},
        .resolv = TWO,
        LONG,
        .tried = "127.0.0.1",
        .asked = "0 1 1t",
        .takes_ms = 6000},
    {.name = "while another is connected to over TCP",
        .servers = {LATE(6000, "\1"), LATE_SHORT(0, NS_TCP_HOLE)},
        .resolv = TWO,
        LONG,
        .tried = "127.0.0.1",
        .asked = "0 1",
        .takes_ms = 6000},
    {.name = "while another answers over TCP, in halves",
        .servers = {{.a = {.rcode = NS_SERVFAIL, .delay_ms = 5010},
                        .aaaa = {.rcode = NS_SERVFAIL, .delay_ms = 5010}},
            LATE_SHORT(0, NS_TCP_HALVES)},
        .resolv = TWO,
        LONG,
        .tried = "127.0.0.1",
        .asked = "0 1 1t",
        .takes_ms = 5020},
    {.name = "with another id",
        .servers = {{.a = {R(1, A("\x66")), .wrong = NS_ID, .delay_ms = 6000},
                        .aaaa = {.silent = true}},
            LATE(3000, "\2")},
        .resolv = TWO,
        LONG,
        .tried = "127.0.0.2",
        .asked = "0 1",
        .takes_ms = 8000},
    {.name = "with another name",
        .servers = {{.a = {R(1, A("\x66")), .wrong = NS_NAME, .delay_ms = 6000},
                        .aaaa = {.silent = true}},
            LATE(3000, "\2")},
        .resolv = TWO,
        LONG,
        .tried = "127.0.0.2",
        .asked = "0 1",
        .takes_ms = 8000},
    {.name = "from another port",
        .servers = {{.a = {R(1, A("\x66")), .wrong = NS_PORT, .delay_ms = 6000},
                        .aaaa = {.silent = true}},
            LATE(3000, "\2")},
        .resolv = TWO,
        LONG,
        .tried = "127.0.0.2",
        .asked = "0 1",
        .takes_ms = 8000},
    {.name = "from another address",
        .servers =
            {{.a = {R(1, A("\x66")), .wrong = NS_ADDRESS, .delay_ms = 6000},
                 .aaaa = {.silent = true}},
                LATE(3000, "\2")},
        .resolv = TWO,
        LONG,
        .tried = "127.0.0.2",
        .asked = "0 1",
        .takes_ms = 8000},
    {.name = "and in time from the second: the first one's still counts",
        .servers =
            {{.a = {R(1, A("\1")), .delay_ms = 375}, .aaaa = {.silent = true}},
                {.a = {R(1, A("\2")), .delay_ms = 150}}},
        .resolv = TWO,
        .timeout_ms = 900,
        .tried = "127.0.0.1",
        .asked = "0 1",
        .takes_ms = 450},
    {.name = "a flood of strays for an older try",
        .servers = {FLOOD, LATE(2000, "\2")},
        .resolv = TWO,
        LONG,
        .tried = "127.0.0.2",
        .asked = "0 1",
        .takes_ms = 7000},
};

/* A client whose nameserver is silent, with three tries open. */
static void open_three_tries(void) {
  static const struct ns_server server = SILENT;

  ns_start(&server, 1);
  player_configure_name(&player, NULL,
      ns_text("resolv.conf", "nameserver $0\noptions attempts:5\n"));
  player.cfg.timeout_ms = 30000;
  assert_int_equal(hbeat_init(&player.client, &player.cfg), HBEAT_OK);
  hbeat_start(&player.client, &player_beat, &player.reply);
  while (ns_log()->count < 6) {
    hbeat_wait w = hbeat_wants(&player.client);

    if (w.fd >= 0) clock_skip_s(5);
    assert_int_equal(hbeat_step(&player.client), HBEAT_AGAIN);
  }
}

/* However many tries there are. */
static void three_tries_are_open_at_most(void **state) {
  int before = open_descriptors(), most = 0;
  hbeat_error e = HBEAT_AGAIN;

  (void)state;
  open_three_tries();
  while (e == HBEAT_AGAIN) {
    int now = open_descriptors() - before;

    if (now > most) most = now;
    clock_skip_s(1);
    e = hbeat_step(&player.client);
  }
  assert_int_equal(e, HBEAT_ERR_RESOLVE);
  assert_string_equal(ns_asked(), "0 0 0 0 0");
  assert_int_equal(most, 3);
  assert_int_equal(open_descriptors(), before);
  hbeat_close(&player.client);
}

static void each_try_has_a_port_and_ids_of_its_own(void **state) {
  const volatile struct ns_query *q;
  unsigned same_ids = 0;

  (void)state;
  open_three_tries();
  q = ns_log()->queries;
  for (unsigned i = 0; i < 6; i++) {
    check_form(&q[i]);
    for (unsigned j = 0; j < i; j++) {
      same_ids += q[j].id == q[i].id;
      if ((q[j].port == q[i].port) != (i / 2 == j / 2))
        fail_msg(
            "queries %u and %u: ports %u and %u", j, i, q[j].port, q[i].port);
    }
  }
  assert_in_range(same_ids, 0, 1);
  hbeat_close(&player.client);
}

static void open_tries_end_with_the_exchange(void **state) {
  int before = open_descriptors();

  (void)state;
  open_three_tries();
  assert_int_equal(open_descriptors(), before + 3);
  assert_int_equal(
      hbeat_start(&player.client, &player_beat, &player.reply), HBEAT_OK);
  assert_int_equal(open_descriptors(), before);
  hbeat_close(&player.client);

  open_three_tries();
  assert_int_equal(open_descriptors(), before + 3);
  clock_skip_s(player.cfg.timeout_ms / 1000);
  assert_int_equal(hbeat_step(&player.client), HBEAT_ERR_TIMEOUT);
  assert_int_equal(open_descriptors(), before);
  hbeat_close(&player.client);

  open_three_tries();
  assert_int_equal(open_descriptors(), before + 3);
  hbeat_close(&player.client);
  assert_int_equal(open_descriptors(), before);
}

/* Only one can be polled: the others are looked at, so nobody waits long. */
static void older_tries_are_looked_at_often(void **state) {
  static const struct ns_server server = SILENT;
  hbeat_wait w;

  (void)state;
  ns_start(&server, 1);
  open_player(NULL, ns_text("resolv.conf", "nameserver $0\n"));
  hbeat_start(&player.client, &player_beat, &player.reply);
  while ((w = hbeat_wants(&player.client)).fd < 0)
    assert_int_equal(hbeat_step(&player.client), HBEAT_AGAIN);
  assert_int_equal(w.events, POLLIN);
  assert_int_equal(w.timeout_ms, 5000);
  clock_skip_s(5);
  assert_int_equal(hbeat_step(&player.client), HBEAT_AGAIN);
  assert_int_not_equal(hbeat_wants(&player.client).fd, w.fd);
  w = hbeat_wants(&player.client);
  assert_int_equal(w.events, POLLIN);
  assert_int_equal(w.timeout_ms, 250);
  hbeat_close(&player.client);
}

/* A loop that comes back late finds the answer: nobody else is asked. */
static void what_has_come_is_read_however_late(void **state) {
  (void)state;
  ns_start(&good_server, 1);
  open_player(NULL, ns_text("resolv.conf", "nameserver $0\n"));
  tried_refuse();
  hbeat_start(&player.client, &player_beat, &player.reply);
  while (hbeat_wants(&player.client).fd < 0)
    assert_int_equal(hbeat_step(&player.client), HBEAT_AGAIN);
  assert_string_equal(ns_asked(), "0");
  clock_skip_s(6);
  for (int i = 0; i < 4; i++) hbeat_step(&player.client);
  assert_string_equal(ns_asked(), "0");
  assert_string_equal(tried(), "127.0.0.1");
  hbeat_close(&player.client);
}

/* An address came, but no time is left for it. */
static void the_deadline_comes_before_the_other_family(void **state) {
  static const struct ns_server server = {
      .a = {R(1, A("\1")), .delay_ms = 29900}, .aaaa = {.silent = true}};
  int64_t start;

  (void)state;
  ns_start(&server, 1);
  player_configure_name(&player, NULL, ns_text("resolv.conf", ONE));
  player.cfg.timeout_ms = 30000;
  assert_int_equal(hbeat_init(&player.client, &player.cfg), HBEAT_OK);
  tried_refuse();
  start = now_ms();
  player_expect(&player, &player_beat, HBEAT_ERR_TIMEOUT);
  assert_in_range(now_ms() - start, 30000, 30020);
  assert_string_equal(tried(), "");
  if (!strstr(hbeat_explain(&player.client), "while looking up the name"))
    fail_msg("got \"%s\"", hbeat_explain(&player.client));
  hbeat_close(&player.client);
}

/* What is waited for: a descriptor that is open, and not for too long. */
static void wait_as_it_wants(int64_t until_ms) {
  hbeat_wait w = hbeat_wants(&player.client);
  struct pollfd p = {w.fd, w.events, 0};

  if (w.fd < 0) return;
  assert_true(fcntl(w.fd, F_GETFD) >= 0);
  assert_true(w.events == POLLIN || w.events == POLLOUT);
  assert_true(w.timeout_ms >= 0);
  if (now_ms() + w.timeout_ms > until_ms + 20)
    fail_msg("waits %d ms, while there are %d", w.timeout_ms,
        (int)(until_ms - now_ms()));
  poll(&p, 1, w.timeout_ms);
}

/* All nameservers of this machine are IPv4. */
static void expect_v4(struct call *c) {
  assert_int_equal(c->in.connect.address->sa_family, AF_INET);
  make_call(c);
}

/* resolv.conf has changed since, as where another network was joined. */
static void who_has_truncated_it_may_be_gone(void **state) {
  static const struct ns_server servers[] = {
      NOBODY, {.a = {.wrong = NS_SHORT}, .aaaa = {.wrong = NS_SHORT}}};

  (void)state;
  ns_start(servers, 2);
  open_player(NULL, ns_text("resolv.conf", TWO));
  call_goes_through(CALL_CONNECT, expect_v4);
  hbeat_start(&player.client, &player_beat, &player.reply);
  while (hbeat_wants(&player.client).fd < 0)
    assert_int_equal(hbeat_step(&player.client), HBEAT_AGAIN);
  assert_string_equal(ns_asked(), "1");
  ns_text("resolv.conf", ONE);
  while (hbeat_step(&player.client) == HBEAT_AGAIN) wait_as_it_wants(INT64_MAX);
  assert_int_equal(hbeat_step(&player.client), HBEAT_ERR_RESOLVE);
  assert_non_null(strstr(hbeat_explain(&player.client), NO_ANSWER));
  assert_int_equal(ns_log()->connections, 0);
  call_goes_through(CALL_CONNECT, NULL);
  hbeat_close(&player.client);
}

/* ---- How long an answer is believed ----------------------------------- */

/* The peer is reached, but is none: no address is dropped for that. */
struct ttl_row {
  const char *name;
  struct ns_server server;
  int64_t wait_s;
  bool again; /* it is asked for again after so long */
};

#define TTL(ttl)                                                               \
  {                                                                            \
    .a = { R(1, A_TTL(ttl, "\1")) }                                            \
  }

static const struct ttl_row ttl_rows[] = {
    {"TTL 1, at once", .server = TTL("\0\0\0\1")},
    {"TTL 1, after 1 s", .server = TTL("\0\0\0\1"), .wait_s = 1, .again = true},
    {"TTL 60, after 58 s", .server = TTL("\0\0\0\x3c"), .wait_s = 58},
    {"TTL 60, after 60 s", .server = TTL("\0\0\0\x3c"), .wait_s = 60,
        .again = true},
    {"TTL 0", .server = TTL("\0\0\0\0"), .again = true},
    {"TTL 65,536, after 65,530 s", .server = TTL("\0\1\0\0"), .wait_s = 65530},
    {"a TTL of days, after almost a day", .server = TTL("\0\x12\0\0"),
        .wait_s = 86390},
    {"a TTL of days, after a day", .server = TTL("\0\x12\0\0"), .wait_s = 86400,
        .again = true},
    {"the longest TTL, after a day", .server = TTL("\x7f\xff\xff\xff"),
        .wait_s = 86400, .again = true},
    {"a TTL with its top bit set counts as 0", .server = TTL("\x80\0\0\x3c"),
        .again = true},
    {"a TTL of all bits counts as 0", .server = TTL("\xff\xff\xff\xff"),
        .again = true},
    {"the least of two addresses",
        .server = {.a = {R(
                       2, A_TTL("\0\0\0\x3c", "\1") A_TTL("\0\0\0\5", "\2"))}},
        .wait_s = 6, .again = true},
    {"the least of two addresses, the other way round",
        .server = {.a = {R(
                       2, A_TTL("\0\0\0\5", "\1") A_TTL("\0\0\0\x3c", "\2"))}},
        .wait_s = 6, .again = true},
    {"the least of A and AAAA",
        .server = {.a = {R(1, A_TTL("\0\0\0\x3c", "\1"))},
            .aaaa = {R(1,
                ASKED "\0\x1c\0\1\0\0\0\5\0\x10"
                      "\0\0\0\0\0\0\0\0\0\0\xff\xff\x7f\0\0\1")}},
        .wait_s = 6, .again = true},
    {"the least of the address and the CNAME",
        .server = {.a = {R(2,
                       ASKED "\0\5\0\1\0\0\0\5\0\3\1b\0"
                             "\1b\0\0\1\0\1\0\0\0\x3c\0\4\x7f\0\0\1")}},
        .wait_s = 6, .again = true},
    {"what is of another name does not count",
        .server = {.a = {R(2, "\1x\0\0\1\0\1\0\0\0\1\0\4\x7f\0\0\2" A("\1"))}},
        .wait_s = 6},
};

/* One beat to a peer that does not speak TLS. */
static void beat_in_vain(void) {
  tried_watch();
  player_expect(&player, &player_beat, HBEAT_ERR_TLS);
}

static void is_ttl(void **state) {
  static const struct peer_script plain = {
      .raw = "HTTP/1.1 400 Bad\r\n\r\n", .raw_size = 20};
  const struct ttl_row *row = *state;

  ns_start(&row->server, 1);
  player_configure_name(
      &player, NULL, ns_text("resolv.conf", "nameserver $0\n"));
  player.cfg.address_port = peer_start(&plain);
  assert_int_equal(hbeat_init(&player.client, &player.cfg), HBEAT_OK);
  beat_in_vain();
  clock_skip_s(row->wait_s);
  beat_in_vain();
  assert_string_equal(ns_asked(), row->again ? "0 0" : "0");
  hbeat_close(&player.client);
}

/* Where nothing answers there may be newer addresses. */
static void addresses_of_no_use_are_forgotten(void **state) {
  (void)state;
  ns_start(&good_server, 1);
  open_player(NULL, ns_text("resolv.conf", "nameserver $0\n"));
  player_look_up(&player, "127.0.0.1", NULL);
  player_look_up(&player, "127.0.0.1", NULL);
  assert_string_equal(ns_asked(), "0 0");
  hbeat_close(&player.client);
}

/* Another client knows nothing of it. */
static void a_closed_client_forgets(void **state) {
  (void)state;
  ns_start(&good_server, 1);
  for (int i = 0; i < 2; i++) {
    open_player(NULL, ns_text("resolv.conf", "nameserver $0\n"));
    player_look_up(&player, "127.0.0.1", NULL);
    hbeat_close(&player.client);
  }
  assert_string_equal(ns_asked(), "0 0");
}

/* ---- In an event loop of others --------------------------------------- */

struct loop_row {
  const char *name;
  struct ns_server server;
  uint32_t most_ms; /* until the end of what is waited for */
  bool found;
};

#define SHORT                                                                  \
  { .wrong = NS_SHORT }

static const struct loop_row loop_rows[] = {
    {"a silent server", .server = SILENT, .most_ms = 600},
    {"a flood", .server = FLOOD, .most_ms = 600},
    {"a good server", .server = GOOD("\1"), .most_ms = 300, .found = true},
    {"a good server that says nothing of AAAA",
        .server = {.a = {R(1, A("\1"))}, .aaaa = {.silent = true}},
        .most_ms = 300, .found = true},
    {"a server that is silent over TCP",
        .server = {.a = SHORT, .aaaa = SHORT, .tcp = NS_TCP_SILENT},
        .most_ms = 300},
    {"one byte a second over TCP",
        .server = {.a = SHORT,
            .aaaa = SHORT,
            .tcp_a = {R(1, A("\1"))},
            .tcp = NS_TCP_DRIBBLES},
        .most_ms = 300},
};

/* One step, which must not wait. */
static hbeat_error step_at_once(void) {
  unsigned waits = clock_waits();
  hbeat_error e = hbeat_step(&player.client);

  assert_int_equal(clock_waits(), waits);
  return e;
}

static void is_loop(void **state) {
  const struct loop_row *row = *state;
  hbeat_error e;
  int64_t start;
  int before, steps = 0;

  ns_start(&row->server, 1);
  player_configure_name(&player, NULL, ns_text("resolv.conf", ONE));
  player.cfg.timeout_ms = 600;
  assert_int_equal(hbeat_init(&player.client, &player.cfg), HBEAT_OK);
  before = open_descriptors();
  tried_refuse();
  start = now_ms();
  hbeat_start(&player.client, &player_beat, &player.reply);
  while ((e = step_at_once()) == HBEAT_AGAIN) {
    steps++;
    wait_as_it_wants(start + row->most_ms + 20);
  }
  if (e != (row->found ? HBEAT_ERR_CONNECT : HBEAT_ERR_RESOLVE))
    fail_msg("got %s: %s", hbeat_error_name(e), hbeat_explain(&player.client));
  player_check_text(&player);
  assert_in_range(now_ms() - start, 0, row->most_ms + 20);
  assert_in_range(steps, 1, row->server.a.flood ? 20000 : 20);
  assert_int_equal(open_descriptors(), before);
  hbeat_close(&player.client);
}

/* A loop that comes back too late finds the deadline over. */
static void a_late_step_ends_the_lookup(void **state) {
  static const struct ns_server server = SILENT;
  int before;

  (void)state;
  ns_start(&server, 1);
  player_configure_name(&player, NULL, ns_text("resolv.conf", ONE));
  player.cfg.timeout_ms = 100;
  assert_int_equal(hbeat_init(&player.client, &player.cfg), HBEAT_OK);
  before = open_descriptors();
  hbeat_start(&player.client, &player_beat, &player.reply);
  while (hbeat_wants(&player.client).fd < 0)
    assert_int_equal(hbeat_step(&player.client), HBEAT_AGAIN);
  poll(NULL, 0, 120);
  assert_int_equal(hbeat_step(&player.client), HBEAT_ERR_TIMEOUT);
  player_check_text(&player);
  if (!strstr(hbeat_explain(&player.client), "while looking up the name"))
    fail_msg("got \"%s\"", hbeat_explain(&player.client));
  assert_int_equal(open_descriptors(), before);
  hbeat_close(&player.client);
}

static void a_lookup_can_be_given_up(void **state) {
  static const struct ns_server server = {.a = {R(1, A("\1"))}, .deaf = 2};
  int before = open_descriptors();

  (void)state;
  ns_start(&server, 1);
  open_player(NULL, ns_text("resolv.conf", ONE));
  hbeat_start(&player.client, &player_beat, &player.reply);
  while (hbeat_wants(&player.client).fd < 0)
    assert_int_equal(hbeat_step(&player.client), HBEAT_AGAIN);
  assert_int_equal(ns_log()->count, 2);
  player_look_up(&player, "127.0.0.1", NULL);
  assert_string_equal(ns_asked(), "0 0");
  hbeat_close(&player.client);

  ns_start(&server, 1);
  open_player(NULL, ns_text("resolv.conf", ONE));
  hbeat_start(&player.client, &player_beat, &player.reply);
  while (hbeat_wants(&player.client).fd < 0)
    assert_int_equal(hbeat_step(&player.client), HBEAT_AGAIN);
  hbeat_close(&player.client);
  assert_int_equal(open_descriptors(), before);
}

int main(void) {
  static const struct CMUnitTest named[] = {
      TEST(questions_are_well_formed_and_random),
      TEST(addresses_of_no_use_are_forgotten),
      TEST(a_closed_client_forgets),
      TEST(a_late_step_ends_the_lookup),
      TEST(a_lookup_can_be_given_up),
      TEST(three_tries_are_open_at_most),
      TEST(each_try_has_a_port_and_ids_of_its_own),
      TEST(open_tries_end_with_the_exchange),
      TEST(older_tries_are_looked_at_often),
      TEST(what_has_come_is_read_however_late),
      TEST(the_deadline_comes_before_the_other_family),
      TEST(who_has_truncated_it_may_be_gone),
  };
  static struct CMUnitTest tests[COUNT(named) + COUNT(name_rows) +
      COUNT(server_rows) + COUNT(late_rows) + COUNT(ttl_rows) +
      COUNT(loop_rows)];
  struct CMUnitTest *to = tests + COUNT(named);

  clock_begin();
  memcpy(tests, named, sizeof named);
  to = ROWS(to, is_name, name_rows);
  to = ROWS(to, is_server, server_rows);
  to = ROWS(to, is_server, late_rows);
  to = ROWS(to, is_ttl, ttl_rows);
  ROWS(to, is_loop, loop_rows);
  return cmocka_run_group_tests(tests, NULL, NULL);
}
