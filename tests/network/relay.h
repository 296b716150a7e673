/*
 * What stands between the client and its server, in a process of its own: an
 * HTTP proxy that is asked for a tunnel by CONNECT, and follows a script; or,
 * as a line, nothing but the way.
 *
 * There is one relay at a time.  It serves one client after the other.
 */
#ifndef RELAY_H
#define RELAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RELAY_ESTABLISHED "HTTP/1.1 200 Connection established\r\n\r\n"

/* What the proxy does behind its reply, or where a tunnel is cut. */
enum relay_then {
  RELAY_TUNNELS,
  RELAY_STAYS, /* says no more */
  RELAY_FINISHES,
  RELAY_RESETS
};

/* What it does with one connection; all zero is a good proxy. */
struct relay_turn {
  const char *reply;          /* to the CONNECT; NULL: RELAY_ESTABLISHED ... */
  const char *again;          /* ... then this ... */
  size_t times;               /* ... as often ... */
  const char *tail;           /* ... and this */
  enum relay_then then;       /* what follows it all */
  int64_t drip_ms;            /* the reply goes byte by byte, that far apart */
  void (*nap_ms)(int64_t ms); /* by this clock; NULL: the machine's */
  enum relay_then cut;        /* the tunnel's end, where the script makes it */
  size_t cut_at;              /* behind so many bytes of the server's */
};

enum relay_direction { RELAY_NEITHER, RELAY_TO_CLIENT, RELAY_TO_SERVER };

struct relay_script {
  const struct relay_turn *turns; /* a connection each; the last is kept */
  size_t turn_count;              /* 0: a good proxy */
  bool splits;         /* the reply is in two: on connection N behind byte N */
  const char *address; /* where it listens; NULL: 127.0.0.1 */
  bool line;           /* there is no CONNECT */
  enum relay_direction slow; /* this way bytes go one a second ... */
  unsigned fast_records; /* ... behind so many records of application data */
};

/* What it saw, as it goes on. */
struct relay_log {
  volatile unsigned accepted, ended; /* connections */
  volatile size_t size;  /* of what clients sent, of which the first is kept */
  volatile size_t early; /* bytes behind a head before it was answered */
  volatile unsigned slow_bytes; /* those that went on their own */
  char came[65536];
};

/*
 * Starts a relay to the server's port of 127.0.0.1, in the place of the one of
 * before; returns the port where it listens.
 */
uint16_t relay_start(const struct relay_script *script, uint16_t server);

/* Ends it, if there is one; fits as a teardown of cmocka's. */
int relay_stop(void **state);

const struct relay_log *relay_log(void);

#endif
