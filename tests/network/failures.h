/*
 * All that can go wrong with the system calls of the library: a table of ways,
 * and a plan, which says at which call one of them happens.
 *
 * Only calls while the client is at work count, and go wrong.  Its clock then
 * stands still but for a millisecond a look, and jumps over every wait in
 * vain: so hours pass in no time, and no outcome depends on how busy the
 * machine is.
 */
#ifndef FAILURES_H
#define FAILURES_H

#include "syscalls.h"

#include <stdbool.h>
#include <stddef.h>

enum way {
  FAILS,   /* with an errno */
  LATE,    /* is done, and fails all the same */
  BYTE,    /* one byte, of a stream */
  NOTHING, /* the end of a file, no event, nothing random */
  GIVES,   /* a pending error, the time */
  JUMPS    /* by so many seconds */
};

enum severity { HARMFUL, HARMLESS };

/*
 * A way in which a call goes wrong.  A harmless one, if it happens once, must
 * not change the outcome.
 */
struct effect {
  enum call_name call;
  enum way way;
  int64_t value; /* the errno, the pending error, the time, the seconds */
  const char *name;
  enum severity severity;
};

/*
 * All that POSIX and Linux have, except what only a caller's own mistake
 * brings about.
 */
extern const struct effect effects[];
extern const size_t effect_count;

struct plan {
  const struct effect *effect; /* NULL: none */
  size_t at;                   /* which call goes wrong, from 0 on */
  bool for_good;               /* all later ones of its kind as well */
  int patience_ms; /* once one has gone wrong: a wait longer than that, by the
                      machine's clock, is in vain */
};

/* Begins anew: no plan, no calls so far, nothing open. */
void failures_begin(void);

/*
 * Its nameserver answers a try when the next one begins (ns_server), which only
 * the client's clock brings about: while one try is open nothing is awaited by
 * the machine's clock, and while there are more, an answer to any of them.
 * Until failures_begin().
 */
void failures_answers_are_late(void);

/* The client is at work / is not. */
void failures_watch(bool watched);

/* From now on this is what goes wrong; calls so far do not count. */
void failures_plan(const struct plan *plan);

/* What has become of it. */
struct failures {
  bool watched;
  int64_t clock_ms;        /* the client's clock, without jumps of the plan's */
  size_t calls[CALLS];     /* of each kind, since the plan was made */
  bool struck;             /* it has happened ... */
  bool excused;            /* ... to a datagram, which cannot be halved */
  const char *broken_rule; /* of the client's manners; NULL: none */
};

const struct failures *failures(void);

/* Descriptors that the client has opened, and has not closed. */
size_t failures_open_descriptors(void);

#endif
