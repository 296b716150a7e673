#define _DEFAULT_SOURCE
#include "dns.h"
#include "loopback.h"
#include "peer.h"

#include <errno.h>
#include <poll.h>
#include <unistd.h>

enum { PORT = 53, HEADER = 12, QUERY_MAX = 512, REPLY_MAX = QUERY_MAX + 16 };

static pid_t dns_pid;

/* ---- Messages --------------------------------------------------------- */

/* Whether a query, which ends there, asks for an address of IPv4. */
static bool asks_for_ipv4(const unsigned char *query, size_t end) {
  return query[end - 3] == 1;
}

/* Writes the reply to a query; returns its size, 0: that is none. */
static size_t answer(
    const unsigned char *query, size_t size, unsigned char *to, bool cut) {
  static const unsigned char record[] = {
      0xC0, HEADER, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 127, 0, 0, 1};
  size_t end = HEADER;
  bool has_record;

  while (end < size && query[end]) end += query[end] + 1u;
  end += 5;
  if (end > size) return 0;
  has_record = !cut && asks_for_ipv4(query, end);
  memcpy(to, query, end);
  to[2] = cut ? 0x83 : 0x81;
  to[3] = 0x80;
  to[7] = has_record;
  memset(to + 8, 0, 4);
  if (!has_record) return end;
  memcpy(to + end, record, sizeof record);
  return end + sizeof record;
}

/* ---- UDP -------------------------------------------------------------- */

struct datagram {
  unsigned char query[QUERY_MAX];
  size_t size; /* 0: there is none */
  union socket_address from;
};

static struct datagram take_datagram(int fd) {
  struct datagram d = {.size = 0};
  socklen_t from_size = sizeof d.from;
  ssize_t n = recvfrom(fd, d.query, sizeof d.query, 0, &d.from.any, &from_size);

  if (n > 0) d.size = (size_t)n;
  return d;
}

static void answer_datagram(int fd, const struct datagram *d, bool cut) {
  unsigned char reply[REPLY_MAX];
  size_t size = answer(d->query, d->size, reply, cut);

  sendto(fd, reply, size, 0, &d->from.any, sizeof d->from.v4);
}

/* The queries of one try, for A and for AAAA: they come from one port. */
struct try {
  struct datagram queries[2];
  size_t count;
};

static bool belongs_to(const struct try *t, const struct datagram *d) {
  return t->count < COUNT(t->queries) &&
      t->queries[0].from.v4.sin_port == d->from.v4.sin_port;
}

/* Keeps the try that a query belongs to; answers the one before it. */
static void answer_late(
    int fd, struct try *kept, const struct datagram *d, bool cut) {
  if (!belongs_to(kept, d)) {
    for (size_t i = 0; i < kept->count; i++)
      answer_datagram(fd, &kept->queries[i], cut);
    kept->count = 0;
  }
  kept->queries[kept->count++] = *d;
}

static void serve_datagram(int fd, enum dns_way way) {
  static struct try kept;
  struct datagram d = take_datagram(fd);

  switch (way) {
  case DNS_DATAGRAMS: answer_datagram(fd, &d, false); break;
  case DNS_STREAMS:
  case DNS_DRIPS: answer_datagram(fd, &d, true); break;
  case DNS_IS_LATE: answer_late(fd, &kept, &d, false); break;
  case DNS_IS_LATE_AND_CUTS: answer_late(fd, &kept, &d, true); break;
  }
}

/* ---- TCP -------------------------------------------------------------- */

static void answer_stream(int listener, bool drips) {
  unsigned char query[QUERY_MAX], reply[2 + REPLY_MAX];
  int fd = accept_client(listener);

  while (recv(fd, query, 2, MSG_WAITALL) == 2) {
    size_t size = (size_t)query[0] << 8 | query[1];

    if (drips) drip(fd, "\x01");
    if (size > sizeof query) break;
    if (recv(fd, query, size, MSG_WAITALL) != (ssize_t)size) break;
    size = answer(query, size, reply + 2, false);
    reply[0] = (unsigned char)(size >> 8);
    reply[1] = (unsigned char)size;
    send(fd, reply, size + 2, MSG_NOSIGNAL);
  }
  close(fd);
}

/* ---- The server ------------------------------------------------------- */

static void serve(int udp, int tcp, enum dns_way way) {
  struct pollfd p[2] = {{udp, POLLIN, 0}, {tcp, POLLIN, 0}};

  for (;;) {
    poll(p, 2, -1);
    if (p[0].revents) serve_datagram(udp, way);
    if (p[1].revents) answer_stream(tcp, way == DNS_DRIPS);
  }
}

/* A socket at the port; -1: somebody else has it. */
static int bind_port(int type, const char *address) {
  int fd = bind_socket(type, address, PORT, 8);

  if (fd < 0 && errno != EADDRINUSE)
    fail_msg("cannot bind port 53, which takes root: %s", strerror(errno));
  return fd;
}

const char *dns_start(enum dns_way way) {
  static char address[32];
  int udp = -1, tcp = -1;

  dns_stop(NULL);
  for (unsigned last = 1; tcp < 0; last++) {
    if (last == 255) fail_msg("port 53 is taken everywhere");
    if (udp >= 0) close(udp);
    snprintf(address, sizeof address, "127.0.53.%u", last);
    udp = bind_port(SOCK_DGRAM, address);
    if (udp >= 0) tcp = bind_port(SOCK_STREAM, address);
  }
  if (fork_server(&dns_pid)) serve(udp, tcp, way);
  close(udp);
  close(tcp);
  return address;
}

int dns_stop(void **state) {
  (void)state;
  kill_server(&dns_pid);
  return 0;
}
