/* Names: what a nameserver may answer, over UDP and over TCP. */
#define _DEFAULT_SOURCE
#include "nameserver.h"

#include <stdlib.h>

/*
 * Records, written out.  The header takes 12 bytes, the question, which is for
 * api.lucit.app, 19: what stands in an answer begins at offset 31.
 */
#define HEAD_SIZE 12
#define FIRST 31
#define IS_A "\0\1\0\1" MINUTE
#define IS_AAAA "\0\x1c\0\1" MINUTE
#define IS_CNAME "\0\5\0\1" MINUTE
#define IS_TXT "\0\x10\0\1" MINUTE
#define A_OF(owner, last) owner IS_A "\0\4\x7f\0\0" last
#define AAAA_OF(owner, last)                                                   \
  owner IS_AAAA "\0\x10\x20\1\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0" last
#define AAAA(last) AAAA_OF(ASKED, last) /* 2001:db8::last */

/* A name of one letter, and a CNAME that leads from one to another. */
#define N(letter) "\1" letter "\0"
#define LINK_TO(owner, to) owner IS_CNAME "\0\3" N(to)
#define LINK(from, to) LINK_TO(N(from), to)

/* A CNAME of the name at an offset: one label more, then that name again. */
#define LONGER(at, label) "\xc0" at IS_CNAME "\0\4\1" label "\xc0" at

/* Labels of 62 and 63 bytes; and the longest name, of 255 (RFC 1035 section
 * 2.3.4). */
#define X30 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
#define X32 X30 "xx"
#define X62 "\x3e" X30 X32
#define X63 "\x3f" X30 X32 "x"
#define LONGEST X63 X63 X63 "\x3d" X30 X30 "x\0"

#define SILENT                                                                 \
  { .silent = true }
#define FAILS                                                                  \
  { .rcode = NS_SERVFAIL }
#define MISSING                                                                \
  { .rcode = NS_NXDOMAIN }
#define SHORT                                                                  \
  { .wrong = NS_SHORT }

/* The address of the second server, asked where the first was of no use. */
#define NEXT "127.0.0.99"

static const struct ns_answer good = {R(1, A("\1"))};
static const struct ns_answer good_aaaa = {R(1, AAAA("\1"))};
static const struct ns_server next_server = {.a = {R(1, A("\x63"))}};

/* The addresses of the first server; why there is none; the second's. */
#define GIVES(addresses) .tried = addresses, .asked = "0"
#define SAYS(reason) .tried = "", .asked = "0", .says = reason
#define GOES_ON .tried = NEXT, .asked = "0 1"
#define ANYHOW .tried = NULL

/* The same over TCP. */
#define TCP_GIVES(addresses) .tried = addresses, .asked = "0 0t"
#define TCP_SAYS(reason) .tried = "", .asked = "0 0t", .says = reason
#define TCP_GOES_ON .tried = NEXT, .asked = "0 0t 1"

#define TAKES(least, most) .least_ms = least, .most_ms = most

struct answer_row {
  const char *name;
  struct ns_server server;
  const char *tried;          /* the addresses; NULL: these or others */
  const char *asked;          /* which servers; NULL: these or others */
  const char *says;           /* where there is no address */
  uint32_t least_ms, most_ms; /* what it takes; 0: 20 at most */
};

static struct player player;
static struct ns_server servers[2];

static void open_player(const struct ns_server *first, uint32_t timeout_ms) {
  servers[0] = *first;
  servers[1] = next_server;
  ns_start(servers, 2);
  player_configure_name(&player, NULL,
      ns_text("resolv.conf",
          "nameserver $0\nnameserver $1\n"
          "options attempts:1\n"));
  player.cfg.timeout_ms = timeout_ms;
  assert_int_equal(hbeat_init(&player.client, &player.cfg), HBEAT_OK);
}

/* Looks up where either server may have given the address. */
static void look_up_somehow(void) {
  hbeat_error e;

  tried_refuse();
  e = hbeat_send(&player.client, &player_beat, &player.reply);
  player_check_text(&player);
  if (e != HBEAT_ERR_CONNECT && e != HBEAT_ERR_RESOLVE)
    fail_msg("got %s: %s", hbeat_error_name(e), hbeat_explain(&player.client));
  if (strlen(ns_asked()) > 6) fail_msg("asked too often: %s", ns_asked());
}

static void is_answer(void **state) {
  const struct answer_row *row = *state;
  uint32_t most_ms = row->most_ms ? row->most_ms : 20;
  int64_t took;
  int before;

  open_player(&row->server, row->least_ms ? 900 : 5000);
  before = open_descriptors();
  took = now_ms();
  if (row->tried) player_look_up(&player, row->tried, row->says);
  else look_up_somehow();
  took = now_ms() - took;
  assert_int_equal(open_descriptors(), before);
  if (row->asked) assert_string_equal(ns_asked(), row->asked);
  if (took < row->least_ms || took > most_ms)
    fail_msg("wanted %u to %u ms, got %d", row->least_ms, most_ms, (int)took);
  hbeat_close(&player.client);
}

/* ---- Addresses -------------------------------------------------------- */

#define TEN(a, b)                                                              \
  a "\1" b a "\2" b a "\3" b a "\4" b a "\5" b a "\6" b a "\7" b a "\x8" b a   \
    "\x9" b a "\xa" b

static const struct answer_row good_rows[] = {
    {"A", .server = {.a = {R(1, A("\1"))}}, GIVES("127.0.0.1")},
    {"AAAA", .server = {.aaaa = {R(1, AAAA("\1"))}}, GIVES("2001:db8::1")},
    {"A and AAAA", .server = {.a = {R(1, A("\1"))}, .aaaa = {R(1, AAAA("\1"))}},
        GIVES("2001:db8::1 127.0.0.1")},
    {"two of each",
        .server = {.a = {R(2, A("\1") A("\2"))},
            .aaaa = {R(2, AAAA("\1") AAAA("\2"))}},
        GIVES("2001:db8::1 127.0.0.1 2001:db8::2 127.0.0.2")},
    {"the question in another case",
        .server = {.a = {R(1, A("\1")), .wrong = NS_CASE}}, GIVES("127.0.0.1")},
    {"the owner written out",
        .server = {.a = {R(1, A_OF("\3api\5lucit\3app\0", "\1"))}},
        GIVES("127.0.0.1")},
    {"the owner in another case",
        .server = {.a = {R(1, A_OF("\3aPi\5LUCIT\3App\0", "\1"))}},
        GIVES("127.0.0.1")},
    {"the owner, compressed at its end",
        .server = {.a = {R(1, A_OF("\3api\xc0\x10", "\1"))}},
        GIVES("127.0.0.1")},
    {"A and AAAA in one answer", .server = {.a = {R(2, AAAA("\1") A("\1"))}},
        GIVES("127.0.0.1")},
    {"records of other types",
        .server = {.a = {R(4,
                       ASKED IS_TXT "\0\3\2hi" ASKED "\0\x2e\0\1" MINUTE
                                    "\0\0" ASKED "\0\x27\0\1" MINUTE
                                    "\0\1\0" A("\1"))}},
        GIVES("127.0.0.1")},
    {"another class beside it",
        .server = {.a = {R(
                       2, ASKED "\0\1\0\3" MINUTE "\0\4\x7f\0\0\x66" A("\1"))}},
        GIVES("127.0.0.1")},
    {"another name beside it",
        .server = {.a = {R(
                       3, A_OF(N("x"), "\x66") A("\1") A_OF(N("y"), "\x67"))}},
        GIVES("127.0.0.1")},
    {"an additional record",
        .server = {.a = {R(1, A("\1") A("\x66")), .additional = 1}},
        GIVES("127.0.0.1")},
    {"twenty A, of which eight are kept",
        .server = {.a = {R(20,
                       TEN(ASKED IS_A "\0\4\x7f\0\0", )
                           TEN(ASKED IS_A "\0\4\x7f\0\1", ))}},
        GIVES("127.0.0.1 127.0.0.2 127.0.0.3 127.0.0.4 127.0.0.5 127.0.0.6 "
              "127.0.0.7 "
              "127.0.0.8")},
    {"twenty of each, of which four are kept",
        .server = {.a = {R(20,
                       TEN(ASKED IS_A "\0\4\x7f\0\0", )
                           TEN(ASKED IS_A "\0\4\x7f\0\1", ))},
            .aaaa = {R(20,
                TEN(ASKED IS_AAAA "\0\x10\x20\1\x0d\xb8"
                                  "\0\0\0\0\0\0\0\0\0\0\0", )
                    TEN(ASKED IS_AAAA "\0\x10\x20\1\x0d\xb8"
                                      "\0\0\0\0\0\0\0\0\0\0\1", ))}},
        GIVES(
            "2001:db8::1 127.0.0.1 2001:db8::2 127.0.0.2 2001:db8::3 127.0.0.3 "
            "2001:db8::4 127.0.0.4")},
    {"twenty A, one AAAA that comes later",
        .server = {.a = {R(20,
                       TEN(ASKED IS_A "\0\4\x7f\0\0", )
                           TEN(ASKED IS_A "\0\4\x7f\0\1", ))},
            .aaaa = {R(1, AAAA("\1")), .delay_ms = 50}},
        .tried =
            "2001:db8::1 127.0.0.1 127.0.0.2 127.0.0.3 127.0.0.4 127.0.0.5 "
            "127.0.0.6 127.0.0.7",
        .asked = "0", TAKES(50, 70)},

    {"a CNAME", .server = {.a = {R(2, LINK_TO(ASKED, "b") A_OF(N("b"), "\1"))}},
        GIVES("127.0.0.1")},
    {"a CNAME that is compressed",
        .server = {.a = {R(2,
                       ASKED IS_CNAME
                       "\0\5\2b2\xc0\x10" A_OF("\xc0\x2b", "\1"))}},
        GIVES("127.0.0.1")},
    {"a CNAME to the same name in another case",
        .server = {.a = {R(2, LINK_TO(ASKED, "b") A_OF(N("B"), "\1"))}},
        GIVES("127.0.0.1")},
    {"two CNAMEs of one name, which must not be: the first counts",
        .server = {.a = {R(4,
                       LINK_TO(ASKED, "b") LINK_TO(ASKED, "c")
                           A_OF(N("b"), "\1") A_OF(N("c"), "\2"))}},
        GIVES("127.0.0.1")},
    {"CNAMEs for both families",
        .server = {.a = {R(2, LINK_TO(ASKED, "b") A_OF(N("b"), "\1"))},
            .aaaa = {R(2, LINK_TO(ASKED, "c") AAAA_OF(N("c"), "\1"))}},
        GIVES("2001:db8::1 127.0.0.1")},
    {"five CNAMEs",
        .server = {.a = {R(6,
                       LINK_TO(ASKED, "b") LINK("b", "c") LINK("c", "d")
                           LINK("d", "e") LINK("e", "f") A_OF(N("f"), "\1"))}},
        GIVES("127.0.0.1")},
    {"sixteen CNAMEs",
        .server = {.a = {R(17,
                       LINK_TO(ASKED, "b") LINK("b", "c") LINK("c", "d")
                           LINK("d", "e") LINK("e", "f") LINK("f", "g") LINK(
                               "g", "h") LINK("h", "i") LINK("i", "j")
                               LINK("j", "k") LINK("k", "l") LINK("l", "m")
                                   LINK("m", "n") LINK("n", "o") LINK("o", "p")
                                       LINK("p", "q") A_OF(N("q"), "\1"))}},
        GIVES("127.0.0.1")},
    {"nine CNAMEs, each compressed by the one before",
        .server = {.a = {R(10,
                       LONGER("\x0c", "a") LONGER("\x2b", "b") LONGER(
                           "\x3b", "c") LONGER("\x4b", "d") LONGER("\x5b", "e")
                           LONGER("\x6b", "f") LONGER("\x7b", "g")
                               LONGER("\x8b", "h") LONGER("\x9b", "i")
                                   A_OF("\xc0\xab", "\1"))}},
        GIVES("127.0.0.1")},
    {"a CNAME to the longest name",
        .server = {.a = {R(2,
                       ASKED IS_CNAME
                       "\0\xff" LONGEST A_OF("\xc0\x2b", "\1"))}},
        GIVES("127.0.0.1")},
    {"the address before its CNAME",
        .server = {.a = {R(2, A_OF(N("b"), "\1") LINK_TO(ASKED, "b"))}},
        GIVES("127.0.0.1")},
    {"five CNAMEs the other way round",
        .server = {.a = {R(6,
                       A_OF(N("f"), "\1") LINK("e", "f") LINK("d", "e")
                           LINK("c", "d") LINK("b", "c") LINK_TO(ASKED, "b"))}},
        GIVES("127.0.0.1")},
};

/* ---- One family alone ------------------------------------------------- */

static const struct answer_row family_rows[] = {
    {"A, and silence for AAAA",
        .server = {.a = {R(1, A("\1"))}, .aaaa = SILENT}, GIVES("127.0.0.1"),
        TAKES(200, 220)},
    {"AAAA, and silence for A",
        .server = {.a = SILENT, .aaaa = {R(1, AAAA("\1"))}},
        GIVES("2001:db8::1"), TAKES(200, 220)},
    {"AAAA, and A 100 ms later",
        .server = {.a = {R(1, A("\1")), .delay_ms = 100},
            .aaaa = {R(1, AAAA("\1"))}},
        GIVES("2001:db8::1 127.0.0.1"), TAKES(100, 120)},
    {"A, and AAAA too late",
        .server = {.a = {R(1, A("\1"))},
            .aaaa = {R(1, AAAA("\1")), .delay_ms = 400}},
        GIVES("127.0.0.1"), TAKES(200, 220)},
    {"A, and SERVFAIL for AAAA",
        .server = {.a = {R(1, A("\1"))}, .aaaa = FAILS}, GIVES("127.0.0.1")},
    {"AAAA, and SERVFAIL for A",
        .server = {.a = FAILS, .aaaa = {R(1, AAAA("\1"))}},
        GIVES("2001:db8::1")},
    {"A, and a malformed answer for AAAA",
        .server = {.a = {R(1, A("\1"))}, .aaaa = {R(1, "\xff")}},
        GIVES("127.0.0.1")},
    {"SERVFAIL for A, nothing for AAAA", .server = {.a = FAILS}, GOES_ON},
    {"silence for A, nothing for AAAA", .server = {.a = SILENT}, GOES_ON,
        TAKES(300, 320)},
    {"silence for AAAA, no such name for A",
        .server = {.a = MISSING, .aaaa = SILENT}, TAKES(0, 5000)},
};

/* ---- No address ------------------------------------------------------- */

static const struct answer_row none_rows[] = {
    {"no such name", .server = {.a = MISSING, .aaaa = MISSING}, SAYS(NO_NAME)},
    {"no such name for A, no address for AAAA", .server = {.a = MISSING},
        SAYS(NO_NAME)},
    {"no address", .server = {.a = {R(0, "")}}, SAYS(NO_ADDRESS)},
    {"the address of another name",
        .server = {.a = {R(1, A_OF(N("x"), "\x66"))}}, SAYS(NO_ADDRESS)},
    {"the address of a name that begins alike",
        .server = {.a = {R(1, A_OF("\3api\5lucit\3app\7example\0", "\x66"))}},
        SAYS(NO_ADDRESS)},
    {"the address of a name that ends alike",
        .server = {.a = {R(1, A_OF("\3www\xc0\x0c", "\x66"))}},
        SAYS(NO_ADDRESS)},
    {"the address of a name with other dots",
        .server = {.a = {R(1,
                       A_OF("\x9"
                            "api.lucit\3app\0",
                           "\x66"))}},
        SAYS(NO_ADDRESS)},
    {"another class",
        .server = {.a = {R(1, ASKED "\0\1\0\3" MINUTE "\0\4\x7f\0\0\x66")}},
        SAYS(NO_ADDRESS)},
    {"AAAA for A", .server = {.a = {R(1, AAAA("\x66"))}}, SAYS(NO_ADDRESS)},
    {"an additional record only",
        .server = {.a = {R(0, A("\x66")), .additional = 1}}, SAYS(NO_ADDRESS)},
    {"a CNAME without its address",
        .server = {.a = {R(1, LINK_TO(ASKED, "b"))}}, SAYS(NO_ADDRESS)},
    {"a CNAME to nobody, and the address of another name",
        .server = {.a = {R(2, LINK_TO(ASKED, "b") A_OF(N("c"), "\x66"))}},
        SAYS(NO_ADDRESS)},
    {"a CNAME to the root", .server = {.a = {R(1, ASKED IS_CNAME "\0\1\0")}},
        SAYS(NO_ADDRESS)},
    {"a CNAME of another class",
        .server = {.a = {R(2,
                       ASKED "\0\5\0\3" MINUTE "\0\3" N("b")
                           A_OF(N("b"), "\x66"))}},
        SAYS(NO_ADDRESS)},
    {"a CNAME of another name",
        .server = {.a = {R(2, LINK("x", "b") A_OF(N("b"), "\x66"))}},
        SAYS(NO_ADDRESS)},
    /* Whether it is no address or no answer is all the same. */
    {"a CNAME to itself", .server = {.a = {R(1, ASKED IS_CNAME "\0\2" ASKED)}},
        ANYHOW},
    {"CNAMEs in a circle",
        .server = {.a = {R(
                       3, LINK_TO(ASKED, "b") LINK("b", "c") LINK("c", "b"))}},
        ANYHOW},
    {"a CNAME to itself, and an address",
        .server = {.a = {R(2, A("\1") ASKED IS_CNAME "\0\2" ASKED)}}, ANYHOW},
    {"two CNAMEs of one name",
        .server = {.a = {R(3,
                       LINK_TO(ASKED, "b") LINK_TO(ASKED, "c")
                           A_OF(N("c"), "\1"))}},
        ANYHOW},
};

/* ---- Answers that are nobody's ---------------------------------------- */

/* They are passed over: what comes behind them counts. */
#define STRAY(how)                                                             \
  {                                                                            \
    .a = { R(1, A("\x66")), .wrong = how, .then = &good }                      \
  }

static const struct answer_row stray_rows[] = {
    {"another id", .server = STRAY(NS_ID), GIVES("127.0.0.1")},
    {"another name", .server = STRAY(NS_NAME), GIVES("127.0.0.1")},
    {"another type asked for", .server = STRAY(NS_TYPE), GIVES("127.0.0.1")},
    {"another class asked for", .server = STRAY(NS_CLASS), GIVES("127.0.0.1")},
    {"a query", .server = STRAY(NS_QUERY), GIVES("127.0.0.1")},
    {"from another port", .server = STRAY(NS_PORT), GIVES("127.0.0.1")},
    {"from another address", .server = STRAY(NS_ADDRESS), GIVES("127.0.0.1")},
    {"a failure with another id",
        .server = {.a = {.rcode = NS_NXDOMAIN, .wrong = NS_ID, .then = &good}},
        GIVES("127.0.0.1")},
    {"a short one with another id",
        .server = {.a = {.wrong = NS_ID | NS_SHORT, .then = &good}},
        GIVES("127.0.0.1")},
    {"a failure from another port",
        .server = {.a = {.rcode = NS_REFUSED, .wrong = NS_PORT, .then = &good}},
        GIVES("127.0.0.1")},
    {"the same answer twice",
        .server = {.a = {R(1, A("\1")), .then = &good},
            .aaaa = {.delay_ms = 50}},
        GIVES("127.0.0.1"), TAKES(50, 70)},
    {"the same AAAA twice",
        .server = {.a = {R(1, A("\1")), .delay_ms = 50},
            .aaaa = {R(1, AAAA("\1")), .then = &good_aaaa}},
        GIVES("2001:db8::1 127.0.0.1"), TAKES(50, 70)},
};

/* Whether these are strays or answers of no use is all the same. */
static const struct answer_row either_rows[] = {
    {"another opcode", .server = STRAY(NS_OPCODE), ANYHOW},
    {"no question", .server = STRAY(NS_NONE), ANYHOW},
    {"two questions", .server = STRAY(NS_TWICE), ANYHOW},
};

static void is_either(void **state) {
  const struct answer_row *row = *state;

  open_player(&row->server, 5000);
  look_up_somehow();
  if (strcmp(tried(), "127.0.0.1") != 0 && strcmp(tried(), NEXT) != 0)
    fail_msg("got the address \"%s\"", tried());
  hbeat_close(&player.client);
}

/* ---- Answers of no use ------------------------------------------------ */

#define USELESS(n, bytes) .server = {.a = {R(n, bytes)}}, GOES_ON

#define RCODE(code)                                                            \
  .server = {.a = {.rcode = code}, .aaaa = {.rcode = code}}, GOES_ON

static const struct answer_row useless_rows[] = {
    {"FORMERR", RCODE(NS_FORMERR)},
    {"SERVFAIL", RCODE(NS_SERVFAIL)},
    {"NOTIMP", RCODE(NS_NOTIMP)},
    {"REFUSED", RCODE(NS_REFUSED)},
    {"an rcode of no meaning", RCODE(15)},
    {"SERVFAIL with an address",
        .server = {.a = {R(1, A("\x66")), .rcode = NS_SERVFAIL}}, GOES_ON},

    {"an A of 3 bytes", USELESS(1, ASKED IS_A "\0\3\x7f\0\0")},
    {"an A of 5 bytes", USELESS(1, ASKED IS_A "\0\5\x7f\0\0\1\1")},
    {"an A of 16 bytes",
        USELESS(1, ASKED IS_A "\0\x10\x7f\0\0\1\0\0\0\0\0\0\0\0\0\0\0\0")},
    {"an A of no bytes", USELESS(1, ASKED IS_A "\0\0")},
    {"an A beyond the end", USELESS(1, ASKED IS_A "\0\4\x7f\0\0")},
    {"an A of 64 KB", USELESS(1, ASKED IS_A "\xff\xff\x7f\0\0\1")},
    {"a good A, then one beyond the end",
        USELESS(2, A("\x66") ASKED IS_A "\0\4\x7f\0\0")},
    {"a good A, then one of 5 bytes",
        USELESS(2, A("\x66") ASKED IS_A "\0\5\x7f\0\0\1\1")},
    {"a good A, then a TXT beyond the end",
        USELESS(2, A("\x66") ASKED IS_TXT "\0\4xxx")},
    {"a good A, then half a record", USELESS(2, A("\x66") ASKED "\0\1")},
    {"a good A, then half a pointer", USELESS(2, A("\x66") "\xc0")},
    {"more answers than there are", USELESS(2, A("\x66"))},
    {"65,535 answers, of which there is one", USELESS(65535, A("\x66"))},
    {"answers, of which there is none", USELESS(1, "")},

    {"a pointer to itself", USELESS(1, A_OF("\xc0\x1f", "\x66"))},
    {"a label, and a pointer to it", USELESS(1, A_OF("\1x\xc0\x1f", "\x66"))},
    {"a pointer forward",
        USELESS(1, A_OF("\xc0\x2f", "\x66") "\3api\5lucit\3app\0")},
    {"two pointers to each other",
        USELESS(2, ASKED IS_TXT "\0\2\xc0\x2d" A_OF("\xc0\x2b", "\x66"))},
    {"a pointer outside", USELESS(1, A_OF("\xc3\xff", "\x66"))},
    {"a pointer far outside", USELESS(1, A_OF("\xff\xff", "\x66"))},
    {"a pointer right behind the end", USELESS(1, A_OF("\xc0\x2f", "\x66"))},
    {"a label of 64", USELESS(2, A("\x66") A_OF("\x40" X32 X32 "\0", "\x67"))},
    {"a label of 128",
        USELESS(2, A("\x66") A_OF("\x80" X32 X32 X32 X32 "\0", "\x67"))},
    {"a label beyond the end", USELESS(1, A_OF("\x3fxxxx\0", "\x66"))},
    {"a name of 256 bytes",
        USELESS(2, A("\x66") A_OF(X63 X63 X63 X62 "\0", "\x67"))},
    {"a name of 257 bytes",
        USELESS(2, A("\x66") A_OF(X63 X63 X63 X63 "\0", "\x67"))},
    {"a name of 257 bytes, compressed",
        USELESS(3,
            A("\x66") A_OF(X63 X63 X63 "\0", "\x67")
                A_OF(X63 "\xc0\x2f", "\x68"))},

    {"a CNAME that is longer than its data",
        USELESS(2, ASKED IS_CNAME "\0\2\1b\0" A_OF(N("b"), "\x66"))},
    {"a CNAME that is shorter than its data",
        USELESS(2, ASKED IS_CNAME "\0\4\1b\0\0" A_OF(N("b"), "\x66"))},
    {"a CNAME of no bytes", USELESS(1, ASKED IS_CNAME "\0\0")},
    {"a CNAME beyond the end", USELESS(1, ASKED IS_CNAME "\0\4\3bb")},
    {"a CNAME that points to itself",
        USELESS(1, ASKED IS_CNAME "\0\2\xc0\x2b")},
    {"a CNAME with a label of 192",
        USELESS(1, ASKED IS_CNAME "\0\3\xc1\xff\0")},
};

/* ---- An answer, cut and spoilt ---------------------------------------- */

#define CHAIN LINK_TO(ASKED, "b") A_OF(N("b"), "\x4d")

enum { CHAIN_SIZE = FIRST + sizeof CHAIN - 1 };

/* Behind the question, what is cut is ours, and of no use. */
static void an_answer_cut_at_every_byte_is_of_no_use(void **state) {
  static const struct ns_server server = {
      .a = {R(2, CHAIN), .wrong = NS_CUT, .then = &good}};

  (void)state;
  open_player(&server, 5000);
  for (size_t at = 0; at < CHAIN_SIZE; at++) {
    ns_log()->count = 0;
    ns_log()->at = at;
    look_up_somehow();
    if (strcmp(tried(), NEXT) != 0 &&
        (at >= FIRST || strcmp(tried(), "127.0.0.1") != 0))
      fail_msg("%d bytes: got the address \"%s\"", (int)at, tried());
  }
  ns_log()->at = CHAIN_SIZE;
  player_look_up(&player, "127.0.0.77", NULL);
  hbeat_close(&player.client);
}

/* No byte of it can do worse than to give another address, or none. */
static void an_answer_with_any_byte_spoilt_does_no_harm(void **state) {
  static const struct ns_server server = {
      .a = {R(2, CHAIN), .wrong = NS_SPOILT, .then = &good}};
  static const unsigned char values[] = {0, 1, 0x3f, 0x40, 0xc0, 0xff};

  (void)state;
  open_player(&server, 5000);
  for (size_t i = 0; i < CHAIN_SIZE * COUNT(values); i++) {
    volatile struct ns_log *log = ns_log();
    int64_t start = now_ms();

    log->count = 0;
    log->at = i / COUNT(values);
    log->value = values[i % COUNT(values)];
    look_up_somehow();
    if (now_ms() - start > 20)
      fail_msg("byte %u as %u takes %d ms", (unsigned)log->at, log->value,
          (int)(now_ms() - start));
  }
  hbeat_close(&player.client);
}

/* Each one points to the one before, the first to the name asked for. */
static void a_chain_of_200_pointers_ends(void **state) {
  static char records[2 + 10 + 400 + 16];
  static struct ns_server server = {.a = {.records = records, .count = 2}};
  char *at = records;
  int64_t start;

  (void)state;
  memcpy(at, ASKED IS_TXT "\1\x90", 12);
  at += 12;
  for (int i = 0; i < 200; i++) {
    int to = i == 0 ? HEAD_SIZE : FIRST + 12 + 2 * (i - 1);

    *at++ = (char)(0xc0 | to >> 8);
    *at++ = (char)to;
  }
  memcpy(at, A_OF("\xc1\xb9", "\x4d"), 16);
  server.a.size = sizeof records;
  open_player(&server, 5000);
  start = busy_ms();
  look_up_somehow();
  if (strcmp(tried(), "127.0.0.77") != 0 && strcmp(tried(), NEXT) != 0)
    fail_msg("got the address \"%s\"", tried());
  assert_in_range(busy_ms() - start, 0, 100 * peer_patience());
  hbeat_close(&player.client);
}

enum { COSTLY_ALIASES = 15, COSTLY_POINTERS = 3950, COSTLY_RECORDS = 650 };

static char *add_bytes(char *to, const void *bytes, size_t size) {
  memcpy(to, bytes, size);
  return to + size;
}

/*
 * The longest chain of pointers that fits, as many records as fit whose names
 * are at its end, and then CNAMEs, for each of which all is read again.
 * Returns where that ends.
 */
static char *make_costly(char *at) {
  const char *start = at;
  int last = HEAD_SIZE;

  at = add_bytes(at, ASKED IS_TXT, 10);
  *at++ = (char)(2 * COSTLY_POINTERS >> 8);
  *at++ = (char)(2 * COSTLY_POINTERS & 255);
  for (int i = 0; i < COSTLY_POINTERS; i++) {
    int here = FIRST + (int)(at - start);

    *at++ = (char)(0xc0 | last >> 8);
    *at++ = (char)last;
    last = here;
  }
  for (int i = 0; i < COSTLY_RECORDS; i++) {
    *at++ = (char)(0xc0 | last >> 8);
    *at++ = (char)last;
    at = add_bytes(at, IS_TXT "\0\0", 10);
  }
  at = add_bytes(at, LINK_TO(ASKED, "a"), 15);
  for (int i = 0; i < COSTLY_ALIASES; i++) {
    const char from[] = {1, (char)('a' + i), 0};
    const char to[] = {1, (char)('b' + i), 0};

    at = add_bytes(at, from, 3);
    at = add_bytes(at, IS_CNAME "\0\3", 10);
    at = add_bytes(at, to, 3);
  }
  return at;
}

static void no_answer_takes_long_to_read(void **state) {
  static char records[17000];
  static struct ns_server server = {.a = SHORT,
      .tcp_a = {.records = records,
          .count = 1 + COSTLY_RECORDS + 1 + COSTLY_ALIASES}};
  int64_t start;

  (void)state;
  server.tcp_a.size = (size_t)(make_costly(records) - records);
  open_player(&server, 5000);
  start = busy_ms();
  look_up_somehow();
  assert_in_range(busy_ms() - start, 0, 50 * peer_patience());
  hbeat_close(&player.client);
}

/* ---- TCP -------------------------------------------------------------- */

#define OVER_TCP(how)                                                          \
  {                                                                            \
    .a = SHORT, .aaaa = SHORT, .tcp_a = {R(1, A("\1"))},                       \
    .tcp_aaaa = {R(1, AAAA("\1"))}, .tcp = how                                 \
  }

static const struct answer_row tcp_rows[] = {
    {"TCP", .server = OVER_TCP(NS_TCP_GOOD),
        TCP_GIVES("2001:db8::1 127.0.0.1")},
    {"TCP, byte by byte", .server = OVER_TCP(NS_TCP_BYTES),
        TCP_GIVES("2001:db8::1 127.0.0.1"), TAKES(0, 500)},
    {"TCP, the last first", .server = OVER_TCP(NS_TCP_REVERSED),
        TCP_GIVES("2001:db8::1 127.0.0.1")},
    {"TCP, refused", .server = OVER_TCP(NS_TCP_REFUSES), GOES_ON},
    {"TCP, swallowed", .server = OVER_TCP(NS_TCP_HOLE), GOES_ON,
        TAKES(300, 320)},
    {"TCP, reset", .server = OVER_TCP(NS_TCP_RESETS), TCP_GOES_ON},
    {"TCP, silent", .server = OVER_TCP(NS_TCP_SILENT), TCP_GOES_ON,
        TAKES(300, 320)},
    {"TCP, a byte a second", .server = OVER_TCP(NS_TCP_DRIBBLES), TCP_GOES_ON,
        TAKES(300, 320)},
    {"TCP, messages of no bytes", .server = OVER_TCP(NS_TCP_EMPTY),
        .tried = NEXT, TAKES(1, 600)},
    {"TCP, a length that is too long", .server = OVER_TCP(NS_TCP_LONG),
        TCP_GOES_ON},
    {"TCP, a length that is too short", .server = OVER_TCP(NS_TCP_LESS),
        TCP_GOES_ON, TAKES(1, 600)},
    {"TCP, the end between two answers", .server = OVER_TCP(NS_TCP_HALF),
        TAKES(0, 300)},
    {"TCP for A alone",
        .server = {.a = SHORT, .aaaa = {R(0, "")}, .tcp_a = {R(1, A("\1"))}},
        TCP_GIVES("127.0.0.1")},
    {"TCP for AAAA alone",
        .server = {.a = {R(1, A("\1"))},
            .aaaa = SHORT,
            .tcp_a = {R(1, A("\1"))},
            .tcp_aaaa = {R(1, AAAA("\1"))}},
        .tried = "2001:db8::1 127.0.0.1"},
    {"TCP refused for AAAA, after A",
        .server = {.a = {R(1, A("\1"))},
            .aaaa = {.wrong = NS_SHORT, .delay_ms = 50},
            .tcp = NS_TCP_REFUSES},
        .tried = "127.0.0.1", TAKES(0, 250)},
    {"TCP refused for AAAA, A on its way",
        .server = {.a = {R(1, A("\1"))}, .aaaa = SHORT, .tcp = NS_TCP_REFUSES},
        .tried = "127.0.0.1", TAKES(0, 350)},
    {"TCP swallowed for AAAA, after A",
        .server = {.a = {R(1, A("\1"))},
            .aaaa = {.wrong = NS_SHORT, .delay_ms = 50},
            .tcp = NS_TCP_HOLE},
        .tried = "127.0.0.1", TAKES(0, 600)},
    {"what is short has addresses, which do not count",
        .server = {.a = {R(1, A("\x66")), .wrong = NS_SHORT},
            .tcp_a = {R(1, A("\1"))}},
        TCP_GIVES("127.0.0.1")},
    {"short over TCP, too",
        .server =
            {.a = SHORT, .aaaa = SHORT, .tcp_a = SHORT, .tcp_aaaa = SHORT},
        TCP_GOES_ON},
    {"TCP, SERVFAIL",
        .server =
            {.a = SHORT, .aaaa = SHORT, .tcp_a = FAILS, .tcp_aaaa = FAILS},
        TCP_GOES_ON},
    {"TCP, no such name",
        .server =
            {.a = SHORT, .aaaa = SHORT, .tcp_a = MISSING, .tcp_aaaa = MISSING},
        TCP_SAYS(NO_NAME)},
    {"TCP, no address", .server = {.a = SHORT, .aaaa = SHORT},
        TCP_SAYS(NO_ADDRESS)},
    {"TCP, malformed",
        .server = {.a = SHORT, .aaaa = SHORT, .tcp_a = {R(2, A("\x66"))}},
        TCP_GOES_ON},
    {"TCP, another id",
        .server = {.a = SHORT,
            .aaaa = SHORT,
            .tcp_a = {R(1, A("\x66")), .wrong = NS_ID},
            .tcp_aaaa = {R(1, AAAA("\x66")), .wrong = NS_ID}},
        TCP_GOES_ON, TAKES(1, 600)},
    {"TCP, another name",
        .server = {.a = SHORT,
            .aaaa = SHORT,
            .tcp_a = {R(1, A("\x66")), .wrong = NS_NAME},
            .tcp_aaaa = {R(1, AAAA("\x66")), .wrong = NS_NAME}},
        TCP_GOES_ON, TAKES(1, 600)},
};

/* The whole message ends somewhere, whatever its length says. */
static void tcp_cut_at_every_byte_is_of_no_use(void **state) {
  static const struct ns_server server = {
      .a = SHORT, .tcp_a = {R(2, CHAIN)}, .tcp = NS_TCP_CUT};
  size_t step = peer_patience() > 1 ? 5 : 1;

  (void)state;
  open_player(&server, 5000);
  for (size_t at = 0; at < 2 + CHAIN_SIZE; at += step) {
    ns_log()->at = at;
    player_look_up(&player, NEXT, NULL);
  }
  ns_log()->at = 2 + CHAIN_SIZE;
  player_look_up(&player, "127.0.0.77", NULL);
  hbeat_close(&player.client);
}

/* As many as 200: what TCP is for. */
static void a_long_answer_over_tcp_is_read(void **state) {
  static char records[200 * 16];
  static struct ns_server server = {.a = SHORT,
      .tcp_a = {.records = records, .size = sizeof records, .count = 200}};

  (void)state;
  for (int i = 0; i < 200; i++) {
    memcpy(records + 16 * i, A("\1"), 16);
    records[16 * i + 15] = (char)(i + 1);
  }
  open_player(&server, 5000);
  player_look_up(&player,
      "127.0.0.1 127.0.0.2 127.0.0.3 127.0.0.4 127.0.0.5 "
      "127.0.0.6 127.0.0.7 127.0.0.8",
      NULL);
  hbeat_close(&player.client);
}

/* ---- The TLS buffer, which answers over TCP are read to ---------------- */

enum { SMALL = HBEAT_TLS_BUFFER_SMALL, FULL = HBEAT_TLS_BUFFER_SIZE };

struct room_row {
  const char *name;
  size_t tls_size;
  size_t size; /* of the answer, with the two bytes of its length */
  const char *tried, *asked;
  enum ns_tcp tcp;
  bool both; /* the answer for AAAA, which comes first, is as long */
};

#define FITS TCP_GIVES("127.0.0.1")
#define FITS_NOT TCP_GOES_ON

static const struct room_row room_rows[] = {
    {"TCP, a byte less than a small buffer", .tls_size = SMALL,
        .size = SMALL - 1, FITS},
    {"TCP, as long as a small buffer", .tls_size = SMALL, .size = SMALL, FITS},
    {"TCP, a byte more than a small buffer", .tls_size = SMALL,
        .size = SMALL + 1, FITS_NOT},
    {"TCP, two bytes more than a small buffer", .tls_size = SMALL,
        .size = SMALL + 2, FITS_NOT},
    {"TCP, 6,000 bytes into a small buffer", .tls_size = SMALL, .size = 6000,
        FITS_NOT},
    {"TCP, 19,000 bytes into a small buffer", .tls_size = SMALL, .size = 19000,
        FITS_NOT},
    {"TCP, as long as a small buffer, in halves", .tls_size = SMALL,
        .size = SMALL, FITS, .tcp = NS_TCP_HALVES},
    {"TCP, a byte more than a small buffer, in halves", .tls_size = SMALL,
        .size = SMALL + 1, FITS_NOT, .tcp = NS_TCP_HALVES},
    {"TCP, 10,000 bytes into a small buffer, in halves", .tls_size = SMALL,
        .size = 10000, FITS_NOT, .tcp = NS_TCP_HALVES},
    {"TCP, as long as a small buffer, the last byte late", .tls_size = SMALL,
        .size = SMALL, FITS, .tcp = NS_TCP_LATE},
    {"TCP, both 4,000 bytes into a small buffer", .tls_size = SMALL,
        .size = 4000, FITS, .both = true},
    {"TCP, both as long as a small buffer", .tls_size = SMALL, .size = SMALL,
        FITS, .both = true},
    {"TCP, both as long as a small buffer, in halves", .tls_size = SMALL,
        .size = SMALL, FITS, .tcp = NS_TCP_HALVES, .both = true},
    {"TCP, both a byte more than a small buffer", .tls_size = SMALL,
        .size = SMALL + 1, FITS_NOT, .both = true},
    {"TCP, a byte less than a full buffer", .tls_size = FULL, .size = FULL - 1,
        FITS},
    {"TCP, as long as a full buffer", .tls_size = FULL, .size = FULL, FITS},
    {"TCP, a byte more than a full buffer", .tls_size = FULL, .size = FULL + 1,
        FITS_NOT},
    {"TCP, 19,000 bytes into a full buffer", .tls_size = FULL, .size = 19000,
        FITS_NOT},
};

/* An address, and a TXT that makes the whole answer as long as it is to be. */
static size_t make_long(char *records, size_t size) {
  const size_t before = 2 + FIRST, text = 12;
  size_t left = size - before - (sizeof A("\1") - 1) - text;
  char *at = add_bytes(records, A("\1"), sizeof A("\1") - 1);

  at = add_bytes(at, ASKED IS_TXT, text - 2);
  *at++ = (char)(left >> 8);
  *at++ = (char)left;
  memset(at, 'x', left);
  return (size_t)(at + left - records);
}

/* Nothing is written behind the buffer. */
static void is_room(void **state) {
  const struct room_row *row = *state;
  static char records[20000];
  static unsigned char tls[FULL + 32768];
  struct ns_server server = {
      .a = SHORT, .tcp_a = {.records = records, .count = 2}, .tcp = row->tcp};
  int before;

  server.tcp_a.size = make_long(records, row->size);
  if (row->both) {
    server.aaaa = server.a;
    server.tcp_aaaa = server.tcp_a;
  }
  open_player(&server, 5000);
  memset(tls, 0xA5, sizeof tls);
  player.cfg.tls_buffer = tls;
  player.cfg.tls_buffer_size = row->tls_size;
  assert_int_equal(hbeat_init(&player.client, &player.cfg), HBEAT_OK);
  before = open_descriptors();
  player_look_up(&player, row->tried, NULL);
  assert_int_equal(open_descriptors(), before);
  assert_string_equal(ns_asked(), row->asked);
  hbeat_close(&player.client);
  for (size_t i = row->tls_size; i < sizeof tls; i++)
    if (tls[i] != 0xA5) fail_msg("byte %zu of %zu", i, row->tls_size);
}

int main(void) {
  static const struct CMUnitTest named[] = {
      TEST(an_answer_cut_at_every_byte_is_of_no_use),
      TEST(an_answer_with_any_byte_spoilt_does_no_harm),
      TEST(a_chain_of_200_pointers_ends),
      TEST(no_answer_takes_long_to_read),
      TEST(tcp_cut_at_every_byte_is_of_no_use),
      TEST(a_long_answer_over_tcp_is_read),
  };
  static struct CMUnitTest tests[COUNT(named) + COUNT(good_rows) +
      COUNT(family_rows) + COUNT(none_rows) + COUNT(stray_rows) +
      COUNT(either_rows) + COUNT(useless_rows) + COUNT(tcp_rows) +
      COUNT(room_rows)];
  struct CMUnitTest *to = tests + COUNT(named);

  clock_begin();
  memcpy(tests, named, sizeof named);
  to = ROWS(to, is_answer, good_rows);
  to = ROWS(to, is_answer, family_rows);
  to = ROWS(to, is_answer, none_rows);
  to = ROWS(to, is_answer, stray_rows);
  to = ROWS(to, is_either, either_rows);
  to = ROWS(to, is_answer, useless_rows);
  to = ROWS(to, is_answer, tcp_rows);
  ROWS(to, is_room, room_rows);
  return cmocka_run_group_tests(tests, NULL, NULL);
}
