/* Names: the hosts file and resolv.conf. */
#define _DEFAULT_SOURCE
#include "loopback.h"
#include "nameserver.h"
#include "syscalls.h"

#include <sys/stat.h>
#include <unistd.h>

static struct player player;

static void open_player(const char *hosts, const char *resolv) {
  player_configure_name(&player, hosts, resolv);
  assert_int_equal(hbeat_init(&player.client, &player.cfg), HBEAT_OK);
}

/* ---- How much is read ------------------------------------------------- */

enum { MOST = 1 << 20 }; /* bytes, of each file */

static size_t bytes_read; /* by the client, since it was set to 0 */

static void see_to_read(struct call *c) {
  make_call(c);
  if (c->result > 0) bytes_read += (size_t)c->result;
}

/* ---- The hosts file --------------------------------------------------- */

/* What is not in the file is told by the nameserver, so: */
#define NOT_THERE "127.0.0.53"

struct hosts_row {
  const char *name;
  const char *text;
  size_t size;
  const char *tried;
  const char *host; /* NULL: api.lucit.app */
};

#define HOLDS(bytes) .text = (bytes), .size = sizeof(bytes) - 1
#define MARK "\xEF\xBB\xBF" /* of byte order, as editors write it */

static const struct hosts_row hosts_rows[] = {
    {"a line", HOLDS("127.0.0.2 api.lucit.app\n"), .tried = "127.0.0.2"},
    {"among others",
        HOLDS("127.0.0.1 localhost\n127.0.0.2 api.lucit.app\n::1 ip6\n"),
        .tried = "127.0.0.2"},
    {"the second name of a line", HOLDS("127.0.0.2 kiosk api.lucit.app\n"),
        .tried = "127.0.0.2"},
    {"the first of three", HOLDS("127.0.0.2 api.lucit.app kiosk kiosk2\n"),
        .tried = "127.0.0.2"},
    {"tabs", HOLDS("127.0.0.2\t\tkiosk\tapi.lucit.app\t\n"),
        .tried = "127.0.0.2"},
    {"blanks everywhere", HOLDS(" \t 127.0.0.2 \t api.lucit.app  \n"),
        .tried = "127.0.0.2"},
    {"CR LF", HOLDS("127.0.0.1 localhost\r\n127.0.0.2 api.lucit.app\r\n"),
        .tried = "127.0.0.2"},
    {"no newline at the end", HOLDS("127.0.0.2 api.lucit.app"),
        .tried = "127.0.0.2"},
    {"empty lines", HOLDS("\n\r\n \t\n127.0.0.2 api.lucit.app\n\n"),
        .tried = "127.0.0.2"},
    {"a comment behind", HOLDS("127.0.0.2 api.lucit.app # the API\n"),
        .tried = "127.0.0.2"},
    {"a comment right behind", HOLDS("127.0.0.2 api.lucit.app#the API\n"),
        .tried = "127.0.0.2"},
    {"a line that is a comment", HOLDS("#127.0.0.2 api.lucit.app\n"),
        .tried = NOT_THERE},
    {"a name in a comment", HOLDS("127.0.0.2 kiosk # api.lucit.app\n"),
        .tried = NOT_THERE},
    {"a comment behind the address", HOLDS("127.0.0.2# api.lucit.app\n"),
        .tried = NOT_THERE},
    {"upper case in the file", HOLDS("127.0.0.2 API.Lucit.APP\n"),
        .tried = "127.0.0.2"},
    {"upper case in the configuration", HOLDS("127.0.0.2 api.lucit.app\n"),
        .tried = "127.0.0.2", .host = "API.LUCIT.App"},
    {"a dot at the end in the configuration",
        HOLDS("127.0.0.2 api.lucit.app\n"), .tried = "127.0.0.2",
        .host = "api.lucit.app."},
    {"a dot at the end in the file", HOLDS("127.0.0.2 api.lucit.app.\n"),
        .tried = "127.0.0.2"},
    {"a dot at the end in the file, of the second name",
        HOLDS("127.0.0.2 kiosk. api.lucit.app. kiosk2\n"),
        .tried = "127.0.0.2"},
    {"a dot at the end of the file", HOLDS("127.0.0.2 api.lucit.app."),
        .tried = "127.0.0.2"},
    {"a dot at the end in both", HOLDS("127.0.0.2 api.lucit.app.\n"),
        .tried = "127.0.0.2", .host = "api.lucit.app."},
    {"a dot at the end of a name without one", HOLDS("127.0.0.2 kiosk.\n"),
        .tried = "127.0.0.2", .host = "kiosk"},
    {"two dots at the end in the file", HOLDS("127.0.0.2 api.lucit.app..\n"),
        .tried = NOT_THERE},
    {"a dot in front in the file", HOLDS("127.0.0.2 .api.lucit.app\n"),
        .tried = NOT_THERE},
    {"a dot for a name", HOLDS("127.0.0.1 .\n127.0.0.2 . api.lucit.app\n"),
        .tried = "127.0.0.2"},
    {"a dot for an address",
        HOLDS(". api.lucit.app\n127.0.0.2 api.lucit.app\n"),
        .tried = "127.0.0.2"},
    {"a dot at the end of an address", HOLDS("127.0.0.2. api.lucit.app\n"),
        .tried = NOT_THERE},
    {"a name without a dot", HOLDS("127.0.0.2 kiosk\n"), .tried = "127.0.0.2",
        .host = "kiosk"},

    {"IPv6", HOLDS("2001:db8::2 api.lucit.app\n"), .tried = "2001:db8::2"},
    {"IPv6 with IPv4 in it", HOLDS("::ffff:127.0.0.2 api.lucit.app\n"),
        .tried = "127.0.0.2"},
    {"IPv4, then IPv6",
        HOLDS("127.0.0.2 api.lucit.app\n2001:db8::2 api.lucit.app\n"),
        .tried = "2001:db8::2 127.0.0.2"},
    {"three of IPv4, two of IPv6",
        HOLDS("127.0.0.2 api.lucit.app\n127.0.0.3 api.lucit.app\n"
              "127.0.0.4 api.lucit.app\n2001:db8::2 api.lucit.app\n"
              "2001:db8::3 api.lucit.app\n"),
        .tried = "2001:db8::2 127.0.0.2 2001:db8::3 127.0.0.3 127.0.0.4"},
    {"ten addresses, of which eight are kept",
        HOLDS("127.0.0.1 api.lucit.app\n127.0.0.2 api.lucit.app\n"
              "127.0.0.3 api.lucit.app\n127.0.0.4 api.lucit.app\n"
              "127.0.0.5 api.lucit.app\n127.0.0.6 api.lucit.app\n"
              "127.0.0.7 api.lucit.app\n127.0.0.8 api.lucit.app\n"
              "127.0.0.9 api.lucit.app\n127.0.0.10 api.lucit.app\n"),
        .tried = "127.0.0.1 127.0.0.2 127.0.0.3 127.0.0.4 127.0.0.5 127.0.0.6 "
                 "127.0.0.7 "
                 "127.0.0.8"},

    {"a word of 10 KB as an address before",
        HOLDS("@ api.lucit.app\n127.0.0.2 api.lucit.app\n"),
        .tried = "127.0.0.2"},
    {"a word of 10 KB as a name before",
        HOLDS("127.0.0.1 @\n127.0.0.2 api.lucit.app\n"), .tried = "127.0.0.2"},
    {"10 KB of names before", HOLDS("127.0.0.1 ~\n127.0.0.2 api.lucit.app\n"),
        .tried = "127.0.0.2"},
    {"10 KB of a comment before", HOLDS("# ~\n127.0.0.2 api.lucit.app\n"),
        .tried = "127.0.0.2"},
    {"10 KB of names before, on the line", HOLDS("127.0.0.2 ~ api.lucit.app\n"),
        .tried = "127.0.0.2"},
    {"a word of 10 KB behind, on the line",
        HOLDS("127.0.0.2 api.lucit.app @\n127.0.0.1 kiosk\n"),
        .tried = "127.0.0.2"},
    {"a name of 10 KB that begins alike", HOLDS("127.0.0.2 api.lucit.app@\n"),
        .tried = NOT_THERE},
    {"10 KB behind", HOLDS("127.0.0.2 api.lucit.app\n127.0.0.1 @ ~\n# @"),
        .tried = "127.0.0.2"},

    {"NUL bytes before", HOLDS("\0\0\0\n127.0.0.2 api.lucit.app\n"),
        .tried = "127.0.0.2"},
    {"NUL bytes are blanks",
        HOLDS("\0"
              "127.0.0.2\0\0api.lucit.app\0\n"),
        .tried = "127.0.0.2"},
    {"bytes that are no text",
        HOLDS("\xff\xfe\x80 \xff\n\x01\x7f\n127.0.0.2 api.lucit.app\n"),
        .tried = "127.0.0.2"},
    {"malformed addresses",
        HOLDS("127.0.0 api.lucit.app\n127.0.0.0.1 api.lucit.app\n"
              "127.0.0.256 api.lucit.app\n0x7f.0.0.1 api.lucit.app\n"
              "2001:db8 api.lucit.app\n2001::db8:: api.lucit.app\n"
              "::1%% api.lucit.app\n[::1] api.lucit.app\n, api.lucit.app\n"
              "127.0.0.2:443 api.lucit.app\napi.lucit.app\n"
              "127.0.0.7 api.lucit.app\n"),
        .tried = "127.0.0.7"},
    {"a name alone", HOLDS("api.lucit.app\n"), .tried = NOT_THERE},
    {"an address alone", HOLDS("127.0.0.2\napi.lucit.app\n"),
        .tried = NOT_THERE},
    {"an address as the name", HOLDS("127.0.0.2 127.0.0.3\n"),
        .tried = NOT_THERE},

    {"a prefix of the name", HOLDS("127.0.0.2 api.lucit.ap api.lucit api\n"),
        .tried = NOT_THERE},
    {"a suffix of the name", HOLDS("127.0.0.2 pi.lucit.app lucit.app app\n"),
        .tried = NOT_THERE},
    {"the name is a prefix", HOLDS("127.0.0.2 api.lucit.apps\n"),
        .tried = NOT_THERE},
    {"the name is a suffix", HOLDS("127.0.0.2 www.api.lucit.app\n"),
        .tried = NOT_THERE},
    {"any letter for the dot", HOLDS("127.0.0.2 apixlucit.app\n"),
        .tried = NOT_THERE},
    {"an empty file", HOLDS(""), .tried = NOT_THERE},
    {"blanks only", HOLDS(" \t "), .tried = NOT_THERE},

    {"a byte order mark", HOLDS(MARK "127.0.0.2 api.lucit.app\n"),
        .tried = "127.0.0.2"},
    {"a byte order mark, and CR LF", HOLDS(MARK "127.0.0.2 api.lucit.app\r\n"),
        .tried = "127.0.0.2"},
    {"a byte order mark before a blank",
        HOLDS(MARK " 127.0.0.2 api.lucit.app\n"), .tried = "127.0.0.2"},
    {"a byte order mark before a comment",
        HOLDS(MARK "# The API\n127.0.0.2 api.lucit.app\n"),
        .tried = "127.0.0.2"},
    {"a byte order mark before a line that is a comment",
        HOLDS(MARK "#127.0.0.2 api.lucit.app\n"), .tried = NOT_THERE},
    {"a byte order mark before an empty line",
        HOLDS(MARK "\n127.0.0.2 api.lucit.app\n"), .tried = "127.0.0.2"},
    {"a byte order mark on the second line",
        HOLDS("127.0.0.1 kiosk\n" MARK "127.0.0.2 api.lucit.app\n"),
        .tried = NOT_THERE},
    {"a byte order mark before a name",
        HOLDS("127.0.0.2 " MARK "api.lucit.app\n"), .tried = NOT_THERE},
    {"two byte order marks", HOLDS(MARK MARK "127.0.0.2 api.lucit.app\n"),
        .tried = NOT_THERE},
    {"two bytes of a byte order mark",
        HOLDS("\xEF\xBB\x31\x32\x37.0.0.2 api.lucit.app\n"),
        .tried = NOT_THERE},
    {"a byte order mark alone", HOLDS(MARK), .tried = NOT_THERE},
    {"a byte order mark and a word of 10 KB",
        HOLDS(MARK "@ api.lucit.app\n127.0.0.2 api.lucit.app\n"),
        .tried = "127.0.0.2"},
};

static const struct ns_server good_server = {.a = {R(1, A("\x35"))}};

static void is_hosts(void **state) {
  const struct hosts_row *row = *state;
  bool there = strcmp(row->tried, NOT_THERE) != 0;
  int before;

  ns_start(&good_server, 1);
  player_configure_name(&player, ns_file("hosts", row->text, row->size),
      ns_text("resolv.conf", "nameserver $0\n"));
  player.cfg.host = row->host;
  assert_int_equal(hbeat_init(&player.client, &player.cfg), HBEAT_OK);
  before = open_descriptors();
  player_look_up(&player, row->tried, NULL);
  assert_int_equal(open_descriptors(), before);
  assert_string_equal(ns_asked(), there ? "" : "0");
  hbeat_close(&player.client);
}

/* Paths that lead to no file, or to none with anything in it. */
struct path_row {
  const char *name;
  const char *path;
};

static const struct path_row path_rows[] = {
    {"a missing file", "/nowhere/hosts"},
    {"an empty path", ""},
    {"a directory", "/"},
    {"a file as a directory", "/dev/null/hosts"},
    {"an empty device", "/dev/null"},
    {"an endless device", "/dev/zero"},
    {"a file that cannot be read", "/proc/self/mem"},
};

static void is_hosts_path(void **state) {
  const struct path_row *row = *state;
  int before;

  ns_start(&good_server, 1);
  open_player(row->path, ns_text("resolv.conf", "nameserver $0\n"));
  before = open_descriptors();
  bytes_read = 0;
  player_look_up(&player, NOT_THERE, NULL);
  assert_in_range(bytes_read, 0, MOST + 100);
  assert_int_equal(open_descriptors(), before);
  hbeat_close(&player.client);
}

/* Row: how many bytes stand before the line, of which the last may be cut. */
struct limit_row {
  const char *name;
  size_t before;
  const char *line;
  bool there;
};

#define LINE "127.0.0.2 api.lucit.app\n"

static const struct limit_row limit_rows[] = {
    {.name = "the last line of a MiB",
        .before = MOST - (sizeof LINE - 1),
        .line = LINE,
        .there = true},
    {.name = "a line whose end is cut off: it may have been longer",
        .before = MOST - (sizeof LINE - 2),
        .line = LINE},
    {.name = "a line whose last letter is cut off",
        .before = MOST - (sizeof LINE - 3),
        .line = LINE},
    {.name = "a line that is the host's where it is cut",
        .before = MOST - (sizeof LINE - 2),
        .line = "127.0.0.2 api.lucit.apple\n"},
    {.name = "the first line behind a MiB", .before = MOST, .line = LINE},
    {.name = "a line behind 3 MiB", .before = 3 * MOST, .line = LINE},
};

static void is_limit(void **state) {
  static char text[3 * MOST + 100];
  const struct limit_row *row = *state;
  size_t size = row->before + strlen(row->line);

  memset(text, '\n', row->before);
  strcpy(text + row->before, row->line);
  ns_start(&good_server, 1);
  open_player(
      ns_file("hosts", text, size), ns_text("resolv.conf", "nameserver $0\n"));
  bytes_read = 0;
  player_look_up(&player, row->there ? "127.0.0.2" : NOT_THERE, NULL);
  assert_in_range(bytes_read, 1, MOST + 100);
  hbeat_close(&player.client);
}

/* A hole of a GB behind the line. */
static const char *with_hole(const char *name, const char *text) {
  const char *path = ns_text(name, text);

  assert_int_equal(truncate(path, (off_t)1 << 30), 0);
  return path;
}

static void a_hole_behind_the_hosts_is_not_read(void **state) {
  (void)state;
  open_player(with_hole("hosts", LINE), NULL);
  bytes_read = 0;
  player_look_up(&player, "127.0.0.2", NULL);
  assert_int_equal(bytes_read, MOST);
  hbeat_close(&player.client);
}

static void a_hole_behind_the_nameservers_is_not_read(void **state) {
  (void)state;
  ns_start(&good_server, 1);
  open_player(NULL, with_hole("resolv.conf", "nameserver $0\n"));
  bytes_read = 0;
  player_look_up(&player, NOT_THERE, NULL);
  assert_int_equal(bytes_read, MOST);
  hbeat_close(&player.client);
}

/* Nobody writes to it, so that whoever waits for that waits for ever. */
static void a_hosts_file_that_is_a_pipe_is_not_waited_for(void **state) {
  const char *path = ns_no_file();

  (void)state;
  ns_start(&good_server, 1);
  assert_int_equal(mkfifo(path, 0600), 0);
  open_player(path, ns_text("resolv.conf", "nameserver $0\n"));
  alarm(60);
  player_look_up(&player, NOT_THERE, NULL);
  alarm(0);
  hbeat_close(&player.client);
  unlink(path);
}

/* A block list of the size that people use. */
static void a_big_hosts_file_is_read_to_its_end(void **state) {
  static char text[24 * 20000 + 64];
  size_t size = 0;
  int64_t start;

  (void)state;
  for (int i = 0; i < 20000; i++)
    size += (size_t)sprintf(text + size, "0.0.0.0 ads%05d.app\n", i);
  size += (size_t)sprintf(text + size, "127.0.0.2 api.lucit.app\n");
  open_player(ns_file("hosts", text, size), NULL);
  start = busy_ms();
  player_look_up(&player, "127.0.0.2", NULL);
  assert_in_range(busy_ms() - start, 0, 200 * peer_patience());
  hbeat_close(&player.client);
}

static void the_hosts_file_is_read_for_each_connection(void **state) {
  (void)state;
  open_player(ns_text("hosts", "127.0.0.2 api.lucit.app\n"), NULL);
  player_look_up(&player, "127.0.0.2", NULL);
  ns_text("hosts", "127.0.0.3 api.lucit.app\n");
  player_look_up(&player, "127.0.0.3", NULL);
  hbeat_close(&player.client);
}

/* ---- resolv.conf ------------------------------------------------------ */

/* All servers know nothing, so that each is asked as often as may be. */
struct resolv_row {
  const char *name;
  const char *text;
  size_t size;
  const char *asked; /* which servers, in turn */
};

static const struct resolv_row resolv_rows[] = {
    {"a nameserver", HOLDS("nameserver $0\n"), .asked = "0 0"},
    {"two", HOLDS("nameserver $0\nnameserver $1\n"), .asked = "0 1 0 1"},
    {"three", HOLDS("nameserver $0\nnameserver $1\nnameserver $2\n"),
        .asked = "0 1 2 0 1 2"},
    {"four, of which three are asked",
        HOLDS("nameserver $0\nnameserver $1\nnameserver $2\nnameserver $3\n"),
        .asked = "0 1 2 0 1 2"},
    {"in the order of the file",
        HOLDS("nameserver $2\nnameserver $0\nnameserver $1\n"),
        .asked = "2 0 1 2 0 1"},
    {"the same one twice", HOLDS("nameserver $0\nnameserver $0\n"),
        .asked = "0 0 0 0"},
    {"tabs", HOLDS("nameserver\t\t$0\t\n"), .asked = "0 0"},
    {"blanks between", HOLDS("nameserver  \t  $0  \n"), .asked = "0 0"},
    {"blanks before", HOLDS(" \tnameserver $0\n"), .asked = "0 0"},
    {"CR LF", HOLDS("nameserver $0\r\nnameserver $1\r\n"), .asked = "0 1 0 1"},
    {"no newline at the end", HOLDS("nameserver $0"), .asked = "0 0"},
    {"empty lines", HOLDS("\n\n \nnameserver $0\n\n"), .asked = "0 0"},
    {"comments",
        HOLDS("# nameserver $1\n; nameserver $1\n#nameserver $1\n"
              ";nameserver $1\nnameserver $0\n"),
        .asked = "0 0"},
    {"a comment behind", HOLDS("nameserver $0 # nameserver $1\n"),
        .asked = "0 0"},
    {"a comment with ; behind", HOLDS("nameserver $0 ; the shop's\n"),
        .asked = "0 0"},
    {"comments right behind",
        HOLDS("nameserver $0#nameserver\nnameserver $1;nameserver\n"),
        .asked = "0 1 0 1"},
    {"options in comments",
        HOLDS("nameserver $0\noptions # attempts:1\noptions ; attempts:1\n"),
        .asked = "0 0"},
    {"a second address on the line", HOLDS("nameserver $0 $1\n"),
        .asked = "0 0"},
    {"words that are like it",
        HOLDS("nameservers $1\nnameserver$1\nxnameserver $1\nname server $1\n"
              "nameserver $0\n"),
        .asked = "0 0"},
    {"no address, and malformed ones",
        HOLDS(
            "nameserver\nnameserver \nnameserver 127.0.0\n"
            "nameserver 127.0.0.300\nnameserver dns.example\n"
            "nameserver $1:53\nnameserver ::x\nnameserver @\nnameserver $0\n"),
        .asked = "0 0"},
    {"10 KB lines",
        HOLDS(
            "# ~\n@\noptions @ ~\nnameserver $0\nsearch ~\nnameserver $1 @\n"),
        .asked = "0 1 0 1"},
    {"NUL bytes", HOLDS("\0\0\n\0nameserver\0\0$0\0\n"), .asked = "0 0"},
    {"words of others",
        HOLDS("search lucit.app\ndomain lucit.app\nsortlist 10.0.0.0\n"
              "family inet6 inet4\nlookup file bind\nnameserver $0\n"),
        .asked = "0 0"},

    {"one attempt", HOLDS("nameserver $0\noptions attempts:1\n"), .asked = "0"},
    {"three attempts", HOLDS("nameserver $0\noptions attempts:3\n"),
        .asked = "0 0 0"},
    {"one attempt at two",
        HOLDS("nameserver $0\nnameserver $1\noptions attempts:1\n"),
        .asked = "0 1"},
    {"options before", HOLDS("options attempts:1\nnameserver $0\n"),
        .asked = "0"},
    {"options behind others",
        HOLDS("nameserver $0\noptions ndots:3 rotate\tattempts:1 edns0\n"),
        .asked = "0"},
    {"blanks before options", HOLDS("nameserver $0\noptions \t attempts:1 \n"),
        .asked = "0"},
    {"CR LF behind options", HOLDS("nameserver $0\r\noptions attempts:1\r\n"),
        .asked = "0"},
    {"no newline behind options", HOLDS("nameserver $0\noptions attempts:1"),
        .asked = "0"},
    {"rotate does nothing",
        HOLDS("nameserver $0\nnameserver $1\n"
              "options timeout:1 attempts:1 rotate\n"),
        .asked = "0 1"},
    {"the last of many options lines",
        HOLDS("options attempts:2\noptions attempts:1\noptions rotate\n"
              "options timeout:1\noptions attempts:3\nnameserver $0\n"),
        .asked = "0 0 0"},
    {"options with garbage for values",
        HOLDS(
            "nameserver $0\noptions attempts: attempts attempts:x attempts:-1 "
            "timeout:x timeout: timeout:-1 timeout : :1 xattempts:1\n"),
        .asked = "0 0"},
    {"options without any", HOLDS("nameserver $0\noptions\noptions \n"),
        .asked = "0 0"},

    {"a byte order mark", HOLDS(MARK "nameserver $0\nnameserver $1\n"),
        .asked = "0 1 0 1"},
    {"a byte order mark before a blank", HOLDS(MARK "\tnameserver $0\n"),
        .asked = "0 0"},
    {"a byte order mark before a comment",
        HOLDS(MARK "# the shop's\nnameserver $0\n"), .asked = "0 0"},
    {"a byte order mark before options",
        HOLDS(MARK "options attempts:1\nnameserver $0\n"), .asked = "0"},
    {"a byte order mark on the second line",
        HOLDS("nameserver $0\n" MARK "nameserver $1\n"), .asked = "0 0"},
};

#define KNOWS_NOTHING                                                          \
  {                                                                            \
    .a = {.rcode = NS_SERVFAIL}, .aaaa = {.rcode = NS_SERVFAIL }               \
  }

static void is_resolv(void **state) {
  static const struct ns_server servers[] = {
      KNOWS_NOTHING, KNOWS_NOTHING, KNOWS_NOTHING, KNOWS_NOTHING};
  const struct resolv_row *row = *state;
  int before;

  ns_start(servers, 4);
  open_player(NULL, ns_file("resolv.conf", row->text, row->size));
  before = open_descriptors();
  player_look_up(&player, "", NO_ANSWER);
  assert_int_equal(open_descriptors(), before);
  assert_string_equal(ns_asked(), row->asked);
  hbeat_close(&player.client);
}

/* What no resolver can mean, but what must neither hang nor flood. */
static const struct resolv_row extreme_rows[] = {
    {"no attempts", HOLDS("nameserver $0\noptions attempts:0\n")},
    {"many attempts", HOLDS("nameserver $0\noptions attempts:99999\n")},
    {"attempts beyond all numbers",
        HOLDS("nameserver $0\noptions attempts:99999999999999999999999\n")},
    {"attempts that wrap round",
        HOLDS("nameserver $0\noptions attempts:4294967297\n")},
    {"no time", HOLDS("nameserver $0\noptions timeout:0\n")},
    {"time beyond all numbers",
        HOLDS("nameserver $0\noptions timeout:99999999999999999999999\n")},
};

static void is_extreme(void **state) {
  static const struct ns_server server = KNOWS_NOTHING;
  const struct resolv_row *row = *state;

  ns_start(&server, 1);
  open_player(NULL, ns_file("resolv.conf", row->text, row->size));
  player_look_up(&player, "", NO_ANSWER);
  assert_in_range(ns_log()->count, 1, 20);
  hbeat_close(&player.client);
  ns_start(&good_server, 1);
  open_player(NULL, ns_file("resolv.conf", row->text, row->size));
  player_look_up(&player, NOT_THERE, NULL);
  hbeat_close(&player.client);
}

/* Without a nameserver, this machine is asked. */
static const struct resolv_row local_rows[] = {
    {"resolv.conf is empty", HOLDS("")},
    {"only options", HOLDS("options attempts:2\n")},
    {"only comments", HOLDS("# nameserver $3\n")},
    {"only malformed nameservers", HOLDS("nameserver x\nnameserver\n")},
};

static const struct ns_server local_server = {
    .address = "127.0.0.1", .a = {R(1, A("\x35"))}};

static void is_local(void **state) {
  const struct resolv_row *row = *state;

  ns_start(&local_server, 1);
  open_player(NULL, ns_file("resolv.conf", row->text, row->size));
  player_look_up(&player, NOT_THERE, NULL);
  assert_string_equal(ns_asked(), "0");
  hbeat_close(&player.client);
}

static void is_resolv_path(void **state) {
  const struct path_row *row = *state;
  int before;

  ns_start(&local_server, 1);
  open_player(NULL, row->path);
  before = open_descriptors();
  bytes_read = 0;
  player_look_up(&player, NOT_THERE, NULL);
  assert_in_range(bytes_read, 0, MOST);
  assert_int_equal(open_descriptors(), before);
  hbeat_close(&player.client);
}

static const struct resolv_row ipv6_rows[] = {
    {"::1", HOLDS("nameserver ::1\n"), .asked = "0"},
    {"::1%lo", HOLDS("nameserver ::1%lo\n"), .asked = "0"},
    {"::1%1, the number of lo", HOLDS("nameserver ::1%1\n"), .asked = "0"},
    {"in long", HOLDS("nameserver 0:0:0:0:0:0:0:1\n"), .asked = "0"},
    {"behind an interface that there is not",
        HOLDS("nameserver fe80::1%nowhere\nnameserver ::1\n")},
    {"behind a scope that is too long",
        HOLDS("nameserver ::1%@\nnameserver ::1\n")},
    {"behind an empty scope", HOLDS("nameserver ::1%\nnameserver ::1\n")},
};

static void is_ipv6(void **state) {
  static const struct ns_server server = {
      .address = "::1", .a = {R(1, A("\x35"))}};
  const struct resolv_row *row = *state;

  if (!has_ipv6()) return;
  ns_start(&server, 1);
  open_player(NULL, ns_file("resolv.conf", row->text, row->size));
  player_look_up(&player, NOT_THERE, NULL);
  if (row->asked) assert_string_equal(ns_asked(), row->asked);
  hbeat_close(&player.client);
}

/* The answers would not be believed a second time: TTL 0. */
static void resolv_conf_is_read_for_each_resolution(void **state) {
  static const struct ns_server servers[] = {
      {.a = {R(1, A_TTL("\0\0\0\0", "\1"))}},
      {.a = {R(1, A_TTL("\0\0\0\0", "\2"))}}};

  (void)state;
  ns_start(servers, 2);
  open_player(NULL, ns_text("resolv.conf", "nameserver $0\n"));
  player_look_up(&player, "127.0.0.1", NULL);
  ns_text("resolv.conf", "nameserver $1\n");
  player_look_up(&player, "127.0.0.2", NULL);
  assert_string_equal(ns_asked(), "0 1");
  hbeat_close(&player.client);
}

/* A box that is up before its network. */
static void a_resolv_conf_that_comes_later_is_found(void **state) {
  (void)state;
  ns_start(&good_server, 1);
  open_player(NULL, ns_text("resolv.conf", "nameserver 127.255.255.254\n"));
  player_look_up(&player, "", NO_ANSWER);
  ns_text("resolv.conf", "nameserver $0\n");
  player_look_up(&player, NOT_THERE, NULL);
  hbeat_close(&player.client);
}

int main(void) {
  static const struct CMUnitTest named[] = {
      TEST(a_hosts_file_that_is_a_pipe_is_not_waited_for),
      TEST(a_hole_behind_the_hosts_is_not_read),
      TEST(a_hole_behind_the_nameservers_is_not_read),
      TEST(a_big_hosts_file_is_read_to_its_end),
      TEST(the_hosts_file_is_read_for_each_connection),
      TEST(resolv_conf_is_read_for_each_resolution),
      TEST(a_resolv_conf_that_comes_later_is_found),
  };
  static struct CMUnitTest tests[COUNT(named) + COUNT(hosts_rows) +
      COUNT(limit_rows) + 2 * COUNT(path_rows) + COUNT(resolv_rows) +
      COUNT(extreme_rows) + COUNT(local_rows) + COUNT(ipv6_rows)];
  struct CMUnitTest *to = tests + COUNT(named);

  clock_begin();
  call_goes_through(CALL_READ, see_to_read);
  memcpy(tests, named, sizeof named);
  to = ROWS(to, is_hosts, hosts_rows);
  to = ROWS(to, is_limit, limit_rows);
  to = ROWS(to, is_hosts_path, path_rows);
  to = ROWS(to, is_resolv, resolv_rows);
  to = ROWS(to, is_extreme, extreme_rows);
  to = ROWS(to, is_local, local_rows);
  to = ROWS(to, is_resolv_path, path_rows);
  ROWS(to, is_ipv6, ipv6_rows);
  return cmocka_run_group_tests(tests, NULL, NULL);
}
