#define _DEFAULT_SOURCE
#include "relay.h"
#include "loopback.h"
#include "peer.h"

#include <poll.h>
#include <unistd.h>

enum { HEAD_MAX = 4096, REPLY_MAX = 65536, APPLICATION_DATA = 23 };

static pid_t relay_pid;
static struct relay_log *seen;

/* ---- What clients send ------------------------------------------------ */

static void note(const char *bytes, size_t size) {
  size_t room = sizeof seen->came - 1 - seen->size;

  if (size > room) size = room;
  memcpy(seen->came + seen->size, bytes, size);
  seen->size += size;
}

/* Takes some of it; returns how much, 0 at its end. */
static size_t take(int client, char *bytes, size_t room, int flags) {
  ssize_t n = recv(client, bytes, room, flags);

  if (n <= 0) return 0;
  note(bytes, (size_t)n);
  return (size_t)n;
}

/* All that the client still says. */
static void hear_out(int client) {
  char rest[4096];

  while (take(client, rest, sizeof rest, 0) > 0) continue;
}

/* Reads the CONNECT, and waits whether more comes uninvited. */
static bool read_connect(int client) {
  char head[HEAD_MAX + 1];
  const char *end = NULL;
  size_t size = 0;

  while (!end) {
    size_t n = take(client, head + size, HEAD_MAX - size, 0);

    if (n == 0) return false;
    size += n;
    head[size] = '\0';
    end = strstr(head, "\r\n\r\n");
  }
  nap_ms(1);
  size += take(client, head + size, HEAD_MAX - size, MSG_DONTWAIT);
  seen->early += (size_t)(head + size - (end + 4));
  return true;
}

/* ---- What the proxy says ---------------------------------------------- */

static bool put(int fd, const char *bytes, size_t size) {
  return send(fd, bytes, size, MSG_NOSIGNAL) == (ssize_t)size;
}

static size_t write_reply(char text[REPLY_MAX], const struct relay_turn *turn) {
  char *at = text;

  at += sprintf(at, "%s", turn->reply ? turn->reply : RELAY_ESTABLISHED);
  for (size_t i = 0; i < turn->times; i++) at += sprintf(at, "%s", turn->again);
  if (turn->tail) at += sprintf(at, "%s", turn->tail);
  return (size_t)(at - text);
}

/* Answers the CONNECT; what is before the split goes on its own. */
static void answer(int client, const struct relay_turn *turn, size_t split) {
  static char text[REPLY_MAX];
  void (*nap)(int64_t ms) = turn->nap_ms ? turn->nap_ms : nap_ms;
  size_t size = write_reply(text, turn);
  size_t piece = turn->drip_ms > 0 ? 1 : size;

  if (split > 0) {
    put(client, text, split);
    nap_ms(1);
  }
  for (size_t at = split; at < size; at += piece) {
    size_t left = size - at;

    if (!put(client, text + at, left < piece ? left : piece)) return;
    if (turn->drip_ms > 0) seen->slow_bytes++;
    if (turn->drip_ms > 0) nap(turn->drip_ms);
  }
}

/* Ends a connection in the turn's way. */
static void end(int client, enum relay_then how) {
  if (how == RELAY_RESETS) {
    nap_ms(2); /* or what was said would be lost with it */
    reset_on_close(client);
    return;
  }
  if (how != RELAY_STAYS) shutdown(client, SHUT_WR);
  hear_out(client);
}

/* ---- Both ways -------------------------------------------------------- */

/* Bytes on their way from one end to the other. */
struct flow {
  int from, to;
  bool noted;
  size_t left; /* bytes until it is cut */
  /* Where it may get slow: the records of TLS are followed. */
  bool followed, slow;
  unsigned fast_records;
  unsigned char head[5]; /* of a record */
  size_t head_size, record_left;
};

/* Follows the records of a flow, byte by byte where one begins. */
static void follow(struct flow *f, const char *bytes, size_t size) {
  if (f->record_left > 0) {
    f->record_left -= size;
    return;
  }
  f->head[f->head_size++] = (unsigned char)bytes[0];
  if (f->head_size < sizeof f->head) return;
  f->head_size = 0;
  f->record_left = (size_t)f->head[3] << 8 | f->head[4];
  if (f->head[0] != APPLICATION_DATA) return;
  if (f->fast_records == 0) f->slow = true;
  if (f->fast_records > 0) f->fast_records--;
}

/* How many bytes may go at a time. */
static size_t most(const struct flow *f, size_t room) {
  size_t size = f->left < room ? f->left : room;

  if (f->slow) return 1;
  if (f->followed && f->record_left == 0) return 1;
  if (f->followed && f->record_left < size) return f->record_left;
  return size;
}

/* Moves some bytes; false: the flow has ended. */
static bool move(struct flow *f) {
  char bytes[4096];
  ssize_t n;

  if (f->slow) nap_ms(1000);
  n = recv(f->from, bytes, most(f, sizeof bytes), 0);
  if (n <= 0) return false;
  if (f->noted) note(bytes, (size_t)n);
  if (f->followed && !f->slow) follow(f, bytes, (size_t)n);
  f->left -= (size_t)n;
  seen->slow_bytes += f->slow;
  put(f->to, bytes, (size_t)n); /* whoever is gone has an end to be read */
  return true;
}

/* Carries bytes until the client, the server or the script has had enough. */
static void carry(int client, int server, const struct relay_script *s,
    const struct relay_turn *turn) {
  struct pollfd ends[2] = {{client, POLLIN, 0}, {server, POLLIN, 0}};
  struct flow up = {.from = client,
      .to = server,
      .noted = true,
      .left = SIZE_MAX,
      .followed = s->slow == RELAY_TO_SERVER,
      .fast_records = s->fast_records};
  struct flow down = {.from = server,
      .to = client,
      .left = turn->cut ? turn->cut_at : SIZE_MAX,
      .followed = s->slow == RELAY_TO_CLIENT,
      .fast_records = s->fast_records};

  while (down.left > 0 && poll(ends, 2, -1) > 0) {
    if (ends[0].revents && !move(&up)) return;
    if (ends[1].revents && !move(&down)) break;
  }
  end(client, turn->cut);
}

/* ---- The relay's process ---------------------------------------------- */

/* The proxy's part; false: there is no tunnel. */
static bool open_tunnel(
    int client, const struct relay_script *s, const struct relay_turn *turn) {
  if (!read_connect(client)) return false;
  answer(client, turn, s->splits ? seen->accepted : 0);
  if (turn->then == RELAY_TUNNELS) return true;
  end(client, turn->then);
  return false;
}

static void serve(int client, uint16_t port, const struct relay_script *s,
    const struct relay_turn *turn) {
  int server;

  if (!s->line && !open_tunnel(client, s, turn)) return;
  server = connect_to(port);
  if (server < 0) return;
  carry(client, server, s, turn);
  close(server);
}

static void serve_all(
    const struct relay_script *s, int listener, uint16_t server) {
  static const struct relay_turn good;

  for (;;) {
    int client = accept_client(listener);
    const struct relay_turn *turn = &good;
    unsigned n = seen->accepted;

    if (s->turn_count > 0)
      turn = &s->turns[n < s->turn_count ? n : s->turn_count - 1];
    seen->accepted++;
    serve(client, server, s, turn);
    close(client);
    seen->ended++;
  }
}

/* ---- The relay, seen from the test ------------------------------------ */

uint16_t relay_start(const struct relay_script *s, uint16_t server) {
  const char *address = s->address ? s->address : "127.0.0.1";
  int listener;
  uint16_t port;

  relay_stop(NULL);
  if (!seen) seen = share_memory(sizeof *seen);
  memset(seen, 0, sizeof *seen);
  listener = bind_socket(SOCK_STREAM, address, 0, 8);
  if (listener < 0) fail_msg("cannot listen at %s", address);
  port = port_of(listener);
  if (fork_server(&relay_pid)) serve_all(s, listener, server);
  close(listener);
  return port;
}

int relay_stop(void **state) {
  (void)state;
  kill_server(&relay_pid);
  return 0;
}

const struct relay_log *relay_log(void) {
  return seen;
}
