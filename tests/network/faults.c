/*
 * System calls that fail, or do less than they were asked for: what is read
 * and written goes wrong as a test says, and is counted.
 */
#define _DEFAULT_SOURCE
#include "peer.h"
#include "syscalls.h"

#include <errno.h>

static const struct peer_script good = {0};

static struct net {
  bool watched;     /* the rest counts only while this is set */
  size_t calls;     /* to read, write, and poll, so far */
  size_t fail_call; /* the number of the call that fails, from 1 on ... */
  bool fail_again;  /* ... and of every third one behind it */
  int fail_errno;
  size_t read_most, write_most; /* bytes a call; 0: as asked for */
  bool input_ends;              /* after `input_left` more bytes: */
  size_t input_left;
  int input_errno;     /* 0: the end of file */
  unsigned char flips; /* these bits of the byte ... */
  size_t flip_at;      /* ... with so many bytes read before it */
  int write_errno;     /* the first write fails */
  int connect_errno;
  bool struck; /* one of the faults has happened */
  size_t largest_write;
  /* A letter a call: (r)ead, or (a) when there was nothing to read, (w)rite, or
     (b) when there was no room, (p)oll. */
  char trace[4096];
  size_t traced;
} net;

static void trace(char call) {
  if (net.traced < sizeof net.trace - 1) net.trace[net.traced++] = call;
}

/* Fails a call for the reason given. */
static void strike(struct call *c, int error_number) {
  net.struck = true;
  fail_call(c, error_number);
}

/* Whether this call is one that is to fail. */
static bool is_due(void) {
  size_t behind = ++net.calls - net.fail_call;

  if (net.fail_call == 0 || net.calls < net.fail_call) return false;
  return net.fail_again ? behind % 3 == 0 : behind == 0;
}

/* Shortens what a message has room for. */
static void shorten(struct iovec *to, struct msghdr *m, size_t most) {
  size_t count = 0;

  for (; count < m->msg_iovlen && most > 0; count++) {
    to[count] = m->msg_iov[count];
    if (to[count].iov_len > most) to[count].iov_len = most;
    most -= to[count].iov_len;
  }
  m->msg_iov = to;
  m->msg_iovlen = count;
}

/* The input's end, once: what is read behind it comes from the peer again. */
static void end_input(struct call *c) {
  net.input_ends = false;
  strike(c, net.input_errno);
  if (net.input_errno == 0) c->result = 0;
}

/* Flips bits of the input, if their byte is in what was just read. */
static void flip(const struct msghdr *m, size_t size) {
  size_t at = net.flip_at;

  net.flip_at -= at < size ? at : size;
  if (at >= size || net.struck) return;
  for (size_t i = 0; i < m->msg_iovlen; i++) {
    if (at < m->msg_iov[i].iov_len) {
      ((unsigned char *)m->msg_iov[i].iov_base)[at] ^= net.flips;
      break;
    }
    at -= m->msg_iov[i].iov_len;
  }
  net.struck = true;
}

enum { PIECES_MAX = 8 }; /* of one message */

static void read_message(struct call *c) {
  struct msghdr *m = &c->in.message.header;
  struct iovec pieces[PIECES_MAX];
  size_t most = net.read_most ? net.read_most : SIZE_MAX;

  assert_true(m->msg_iovlen <= COUNT(pieces));
  if (net.input_ends && most > net.input_left) most = net.input_left;
  shorten(pieces, m, most);
  if (is_due()) strike(c, net.fail_errno);
  else if (most == 0) end_input(c);
  else make_call(c);
  if (c->result > 0 && net.input_ends) net.input_left -= (size_t)c->result;
  if (c->result > 0 && net.flips) flip(m, (size_t)c->result);
  trace(c->result < 0 ? 'a' : 'r');
}

static void write_message(struct call *c) {
  struct msghdr *m = &c->in.message.header;
  struct iovec pieces[PIECES_MAX];

  assert_true(c->in.message.flags & MSG_NOSIGNAL);
  assert_true(m->msg_iovlen <= COUNT(pieces));
  shorten(pieces, m, net.write_most ? net.write_most : SIZE_MAX);
  if (net.write_errno && !net.struck) strike(c, net.write_errno);
  else if (is_due()) strike(c, net.fail_errno);
  else make_call(c);
  if (c->result > 0 && (size_t)c->result > net.largest_write)
    net.largest_write = (size_t)c->result;
  trace(c->result < 0 ? 'b' : 'w');
}

static void wait_for_events(struct call *c) {
  trace('p');
  if (is_due() && net.fail_errno == EINTR) strike(c, EINTR);
  else make_call(c);
}

static void connect_or_fail(struct call *c) {
  if (net.connect_errno) strike(c, net.connect_errno);
  else make_call(c);
}

static void see_to(struct call *c) {
  if (!net.watched) {
    make_call(c);
    return;
  }
  switch (c->name) {
  case CALL_RECV:
  case CALL_READV: read_message(c); break;
  case CALL_SEND:
  case CALL_SENDMSG: write_message(c); break;
  case CALL_POLL: wait_for_events(c); break;
  case CALL_CONNECT: connect_or_fail(c); break;
  default: make_call(c);
  }
}

/* ---- One exchange under faults ---------------------------------------- */

/* One beat with the faults of `how`; after it `net` says what happened. */
static hbeat_error beat_with(
    struct player *p, const hbeat_request *beat, const struct net *how) {
  hbeat_error e;

  net = *how;
  net.watched = true;
  e = hbeat_send(&p->client, beat, &p->reply);
  net.watched = false;
  if (e != HBEAT_OK) player_check_text(p);
  return e;
}

static struct player lone; /* of beat_alone() */

/* A connection of its own for one beat, which leaves no descriptor behind. */
static hbeat_error beat_alone(
    uint16_t port, uint32_t timeout_ms, const struct net *how) {
  int before = open_descriptors();
  hbeat_error e;

  player_configure(&lone, port);
  lone.cfg.timeout_ms = timeout_ms * peer_patience();
  assert_int_equal(hbeat_init(&lone.client, &lone.cfg), HBEAT_OK);
  e = beat_with(&lone, &player_beat, how);
  if (e != HBEAT_OK) assert_int_equal(open_descriptors(), before);
  assert_int_equal(lone.reply.success, e == HBEAT_OK);
  hbeat_close(&lone.client);
  assert_int_equal(open_descriptors(), before);
  return e;
}

/* Faults that slow an exchange down, but do not change how it ends. */
struct harmless_row {
  const char *name;
  struct net how;
};

static const struct harmless_row harmless_rows[] = {
    {"one byte a read", {.read_most = 1}},
    {"one byte a write", {.write_most = 1}},
    {"one byte a call", {.read_most = 1, .write_most = 1}},
    {"seven bytes a call", {.read_most = 7, .write_most = 7}},
    {"every third call is EAGAIN",
        {.fail_call = 1, .fail_again = true, .fail_errno = EAGAIN}},
    {"every third call is EINTR",
        {.fail_call = 1, .fail_again = true, .fail_errno = EINTR}},
    {"one byte a call, every third one EAGAIN",
        {.read_most = 1,
            .write_most = 1,
            .fail_call = 1,
            .fail_again = true,
            .fail_errno = EAGAIN}},
    {"one byte a call, every third one EINTR",
        {.read_most = 1,
            .write_most = 1,
            .fail_call = 1,
            .fail_again = true,
            .fail_errno = EINTR}},
};

/* On a fresh connection, and on a kept one. */
static void is_harmless(void **state) {
  const struct harmless_row *row = *state;
  static struct player p;

  player_open(&p, peer_start(&good));
  for (int i = 0; i < 3; i++) {
    hbeat_error e = beat_with(&p, &player_beat, &row->how);

    if (e != HBEAT_OK)
      fail_msg(
          "beat %d: %s: %s", i, hbeat_error_name(e), hbeat_explain(&p.client));
  }
  assert_int_equal(peer_log()->accepted, 1);
  hbeat_close(&p.client);
}

/* A fault at one call, at each in turn until the exchange has fewer calls. */
struct each_call_row {
  const char *name;
  int error_number;
};

static const struct each_call_row each_call_rows[] = {
    {"EAGAIN at each call", EAGAIN},
    {"EINTR at each call", EINTR},
};

static void is_each_call(void **state) {
  const struct each_call_row *row = *state;
  uint16_t port = peer_start(&good);
  struct net how = {.fail_call = 0, .fail_errno = row->error_number};

  do {
    hbeat_error e;

    how.fail_call++;
    e = beat_alone(port, 30000, &how);
    if (e != HBEAT_OK)
      fail_msg("call %zu: %s", how.fail_call, hbeat_error_name(e));
  } while (net.calls >= how.fail_call);
  assert_true(how.fail_call >= 6);
}

/* ---- The end at each byte --------------------------------------------- */

struct each_byte_row {
  const char *name;
  int error_number; /* 0: the end of file */
  bool kept;
};

static const struct each_byte_row each_byte_rows[] = {
    {"end of file at each byte", .error_number = 0},
    {"ECONNRESET at each byte", .error_number = ECONNRESET},
    {"end of file at each byte of a kept connection", .error_number = 0,
        .kept = true},
    {"ECONNRESET at each byte of a kept connection", .error_number = ECONNRESET,
        .kept = true},
};

/* Fresh: the handshake or the reply is cut, or all is good where the reply was
 * whole before. */
static void check_fresh_end(uint16_t port, const struct net *how) {
  hbeat_error e = beat_alone(port, 30000, how);
  bool shook_hands = lone.reply.connection == HBEAT_CONNECTION_NEW;
  hbeat_error cut = shook_hands ? HBEAT_ERR_TRUNCATED : HBEAT_ERR_TLS;
  hbeat_error want = net.struck ? cut : HBEAT_OK;

  if (e != want)
    fail_msg("byte %zu: wanted %s, got %s", how->input_left,
        hbeat_error_name(want), hbeat_error_name(e));
}

/* Kept: replaced, as its reply is one record and so has come whole or not. */
static void check_kept_end(uint16_t port, const struct net *how) {
  static struct player p;
  unsigned before = peer_log()->accepted;
  hbeat_error e;

  player_open(&p, port);
  player_expect(&p, &player_beat, HBEAT_OK);
  e = beat_with(&p, &player_beat, how);
  if (e != HBEAT_OK)
    fail_msg(
        "byte %zu: wanted ok, got %s", how->input_left, hbeat_error_name(e));
  assert_int_equal(peer_log()->accepted - before, net.struck ? 2 : 1);
  hbeat_close(&p.client);
}

static void is_each_byte(void **state) {
  const struct each_byte_row *row = *state;
  uint16_t port = peer_start(&good);
  size_t stride = peer_patience(); /* all would take minutes */
  struct net how = {.input_ends = true, .input_errno = row->error_number};

  do {
    if (row->kept) check_kept_end(port, &how);
    else check_fresh_end(port, &how);
    how.input_left += stride;
  } while (net.struck);
  assert_true(how.input_left > (row->kept ? 100 : 700));
}

/* ---- Bits that flip on the way ---------------------------------------- */

struct flip_row {
  const char *name;
  unsigned char bits;
};

static const struct flip_row flip_rows[] = {
    {"the lowest bit of each byte flipped", 0x01},
    {"the highest bit of each byte flipped", 0x80},
};

/*
 * A beat of which one byte is flipped, or which has fewer bytes and is good;
 * that takes longer where a busy machine did not get to the byte in time.
 */
static hbeat_error beat_flipped(uint16_t port, const struct net *how) {
  hbeat_error e = HBEAT_OK;

  for (uint32_t timeout_ms = 200; timeout_ms <= 25600; timeout_ms *= 2) {
    e = beat_alone(port, timeout_ms, how);
    if (net.struck || e == HBEAT_OK) return e;
  }
  fail_msg("byte %zu never comes: %s", how->flip_at, hbeat_error_name(e));
  return e;
}

/* No byte can change unseen; a length that grew is waited for in vain. */
static void is_flip(void **state) {
  const struct flip_row *row = *state;
  uint16_t port = peer_start(&good);
  struct net how = {.flips = row->bits};

  for (;;) {
    hbeat_error e = beat_flipped(port, &how);

    if (!net.struck) break;
    if (e == HBEAT_OK)
      fail_msg("byte %zu: wanted an error, got ok", how.flip_at);
    how.flip_at += peer_patience();
  }
  assert_true(how.flip_at > 700);
}

/* ---- Calls that fail for good ----------------------------------------- */

struct broken_row {
  const char *name;
  struct net how;
  bool kept;
  hbeat_error error;
};

static const struct broken_row broken_rows[] = {
    {"no route to connect on", .how = {.connect_errno = ENETUNREACH},
        .error = HBEAT_ERR_CONNECT},
    {"no port to connect from", .how = {.connect_errno = EADDRNOTAVAIL},
        .error = HBEAT_ERR_CONNECT},
    {"EPIPE on a fresh connection", .how = {.write_errno = EPIPE},
        .error = HBEAT_ERR_TLS},
    {"ECONNRESET on a fresh connection", .how = {.write_errno = ECONNRESET},
        .error = HBEAT_ERR_TLS},
    {"ENETDOWN on a fresh connection", .how = {.write_errno = ENETDOWN},
        .error = HBEAT_ERR_TRUNCATED},
    {"EPIPE on a kept connection", .how = {.write_errno = EPIPE}, .kept = true},
    {"ECONNRESET on a kept connection", .how = {.write_errno = ECONNRESET},
        .kept = true},
    {"no way to replace a kept connection",
        .how = {.write_errno = EPIPE, .connect_errno = ENETUNREACH},
        .kept = true, .error = HBEAT_ERR_CONNECT},
};

static void is_broken(void **state) {
  const struct broken_row *row = *state;
  static struct player p;
  uint16_t port = peer_start(&good);
  int before = open_descriptors();
  hbeat_error e;

  player_open(&p, port);
  if (row->kept) player_expect(&p, &player_beat, HBEAT_OK);
  e = beat_with(&p, &player_beat, &row->how);
  assert_true(net.struck);
  if (e != row->error)
    fail_msg("wanted %s, got %s: %s", hbeat_error_name(row->error),
        hbeat_error_name(e), hbeat_explain(&p.client));
  assert_int_equal(open_descriptors(), before + (e == HBEAT_OK));
  hbeat_close(&p.client);
}

/* ---- How many calls, and how many bytes ------------------------------- */

static size_t count_letters(const char *text, char letter) {
  size_t count = 0;

  for (; *text; text++) count += *text == letter;
  return count;
}

/* ClientHello; key exchange, change of cipher and Finished; the request. */
static void a_fresh_beat_makes_three_writes(void **state) {
  static const struct net faultless = {.watched = true};
  static struct player p;

  (void)state;
  player_open(&p, peer_start(&good));
  assert_int_equal(beat_with(&p, &player_beat, &faultless), HBEAT_OK);
  if (count_letters(net.trace, 'w') != 3)
    fail_msg("the calls of a fresh beat: %s", net.trace);
  hbeat_close(&p.client);
}

/* A look whether the connection still lives, then one of each. */
static void a_kept_beat_makes_one_write_one_poll_one_read(void **state) {
  static const struct net faultless = {.watched = true};
  static struct player p;

  (void)state;
  player_open(&p, peer_start(&good));
  player_expect(&p, &player_beat, HBEAT_OK);
  for (int i = 0; i < 10; i++) {
    assert_int_equal(beat_with(&p, &player_beat, &faultless), HBEAT_OK);
    assert_string_equal(net.trace, "awpr");
  }
  hbeat_close(&p.client);
}

/* The bytes that one beat of a usual size puts on the wire, in one write. */
static size_t wire_size(uint16_t port, const char *device, const char *app) {
  static const struct net faultless = {.watched = true};
  static const char *const facts[] = {
      "display=on  ", "temp=41.5 C ", "uptime=86400"};
  static const hbeat_request beat = {.lightning_version = "4.2.1",
      .device_info = facts,
      .device_info_count = COUNT(facts)};
  static struct player p;
  char token[1050 + 1];

  memset(token, 'T', sizeof token - 1);
  token[sizeof token - 1] = 0;
  player_configure(&p, port);
  p.cfg.device = device;
  p.cfg.app = app;
  p.cfg.token = token;
  assert_int_equal(hbeat_init(&p.client, &p.cfg), HBEAT_OK);
  player_expect(&p, &beat, HBEAT_OK);
  assert_int_equal(beat_with(&p, &beat, &faultless), HBEAT_OK);
  assert_int_equal(count_letters(net.trace, 'w'), 1);
  hbeat_close(&p.client);
  return net.largest_write;
}

/*
 * The reference's heartbeat: a token of 1,050 bytes, lcuids of 45 and 46, a
 * version of 5 and three strings of 12.  One segment (1,448 bytes: Ethernet
 * with time stamps) leaves 266 bytes for all else: 28 too few.  TLS takes 29 of
 * them, the required text 241, User-Agent 24, without which some firewalls
 * refuse a request.  So a token of 1,022 bytes fits.
 */
static void a_beat_adds_294_bytes_to_its_values(void **state) {
  size_t values = 1050 + 45 + 46 + 5 + 3 * 12;
  size_t whole = wire_size(peer_start(&good),
      "LCUID-LD-00000000-0000-0000-0000-000000000001",
      "LCUID-LAP-00000000-0000-0000-0000-000000000002");

  (void)state;
  printf("# note: the reference's heartbeat takes %zu bytes on the wire; "
         "one segment holds 1448\n",
      whole);
  assert_int_equal(whole, values + 294);
}

int main(void) {
  static const struct CMUnitTest named[] = {
      TEST(a_fresh_beat_makes_three_writes),
      TEST(a_kept_beat_makes_one_write_one_poll_one_read),
      TEST(a_beat_adds_294_bytes_to_its_values),
  };
  struct CMUnitTest tests[COUNT(named) + COUNT(harmless_rows) +
      COUNT(each_call_rows) + COUNT(each_byte_rows) + COUNT(flip_rows) +
      COUNT(broken_rows)];
  struct CMUnitTest *to = tests + COUNT(named);

  syscalls_go_through(see_to);
  memcpy(tests, named, sizeof named);
  to = ROWS(to, is_harmless, harmless_rows);
  to = ROWS(to, is_each_call, each_call_rows);
  to = ROWS(to, is_each_byte, each_byte_rows);
  to = ROWS(to, is_flip, flip_rows);
  ROWS(to, is_broken, broken_rows);
  return cmocka_run_group_tests(tests, NULL, NULL);
}
