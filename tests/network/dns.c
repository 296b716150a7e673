#define _DEFAULT_SOURCE
#include "dns.h"
#include "loopback.h"
#include "peer.h"

#include <errno.h>
#include <poll.h>
#include <unistd.h>

enum { PORT = 53, HEADER = 12, QUERY_MAX = 512, REPLY_MAX = QUERY_MAX + 16 };

static pid_t dns_pid;

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

static void answer_datagram(int fd, bool cut) {
  unsigned char query[QUERY_MAX], reply[REPLY_MAX];
  union socket_address from;
  socklen_t from_size = sizeof from;
  ssize_t n = recvfrom(fd, query, sizeof query, 0, &from.any, &from_size);
  size_t size = n > 0 ? answer(query, (size_t)n, reply, cut) : 0;

  sendto(fd, reply, size, 0, &from.any, from_size);
}

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

static void serve(int udp, int tcp, enum dns_way way) {
  struct pollfd p[2] = {{udp, POLLIN, 0}, {tcp, POLLIN, 0}};

  for (;;) {
    poll(p, 2, -1);
    if (p[0].revents) answer_datagram(udp, way != DNS_DATAGRAMS);
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
