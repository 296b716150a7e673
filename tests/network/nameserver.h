/*
 * What a test of names needs: DNS servers, in processes of their own, that
 * answer as a script says; a hosts file and a resolv.conf; and a record of
 * the addresses that the client connects to.
 *
 * The servers listen on port 53, so these tests run as root.  Their addresses
 * are of 127/8 and differ from one process to the next, so that two runs do
 * not meet.
 */
#ifndef NAMESERVER_H
#define NAMESERVER_H

#include "peer.h"
#include "virtual.h"

/* What may be wrong with an answer; they go together. */
enum {
  NS_ID = 1 << 0,       /* another id */
  NS_NAME = 1 << 1,     /* the question: another name, */
  NS_TYPE = 1 << 2,     /* another type, */
  NS_CLASS = 1 << 3,    /* another class, */
  NS_CASE = 1 << 4,     /* the name in upper case (which is not wrong), */
  NS_NONE = 1 << 5,     /* none at all, */
  NS_TWICE = 1 << 6,    /* the same one twice */
  NS_QUERY = 1 << 7,    /* QR says that it is a query */
  NS_OPCODE = 1 << 8,   /* the opcode is 2 */
  NS_SHORT = 1 << 9,    /* TC: there is more */
  NS_PORT = 1 << 10,    /* it comes from another port, */
  NS_ADDRESS = 1 << 11, /* or from another address */
  NS_CUT = 1 << 12,     /* it ends behind ns_log.at bytes */
  NS_SPOILT = 1 << 13   /* its byte number ns_log.at is ns_log.value */
};

enum { NS_FORMERR = 1, NS_SERVFAIL, NS_NXDOMAIN, NS_NOTIMP, NS_REFUSED };

/* One answer to one question.  All zero: the name exists, without records. */
struct ns_answer {
  const char *records; /* all that is behind the question */
  size_t size;
  uint16_t count;      /* of the answers that the header promises ... */
  uint16_t additional; /* ... and of the additional records */
  uint8_t rcode;
  unsigned wrong;               /* NS_ID and so on */
  bool silent;                  /* there is none */
  unsigned delay_ms;            /* it comes so late */
  unsigned flood;               /* so many of them, 0.1 ms apart */
  const struct ns_answer *then; /* one more datagram */
};

/* What a server does with a TCP connection. */
enum ns_tcp {
  NS_TCP_GOOD,
  NS_TCP_REFUSES,
  NS_TCP_HOLE,     /* swallows all, as a firewall does */
  NS_TCP_RESETS,   /* when it has read the questions */
  NS_TCP_SILENT,   /* reads, and says nothing */
  NS_TCP_BYTES,    /* one byte a segment */
  NS_TCP_DRIBBLES, /* one byte a second */
  NS_TCP_HALVES,   /* two segments, 20 ms apart */
  NS_TCP_LATE,     /* the same, and the second is the last byte */
  NS_TCP_EMPTY,    /* messages of no bytes */
  NS_TCP_LONG,     /* the length says more than comes */
  NS_TCP_LESS,     /* the length says less than comes */
  NS_TCP_CUT,      /* ends behind ns_log.at bytes */
  NS_TCP_REVERSED, /* the last question's answer first */
  NS_TCP_HALF      /* ends behind the first answer */
};

/* All zero: a server that knows the name, but no address of it. */
struct ns_server {
  const char *address; /* in figures; NULL: one of this process's own */
  struct ns_answer a, aaaa, tcp_a, tcp_aaaa;
  enum ns_tcp tcp;
  unsigned deaf; /* says nothing to so many questions (not exchanges) */
  bool late;     /* answers a try by UDP when the next one begins */
  bool closed;   /* nobody listens there */
};

/* A question as it arrived. */
struct ns_query {
  unsigned server;
  bool tcp;
  uint16_t port; /* the sender's */
  uint16_t id, flags, counts[4];
  char name[256]; /* in text, without a dot at the end */
  uint16_t type, class;
  size_t behind; /* bytes behind the question */
};

enum { NS_QUERIES = 512 };

struct ns_log {
  unsigned count; /* of questions, of which the first are kept */
  struct ns_query queries[NS_QUERIES];
  unsigned connections; /* over TCP */
  size_t at;            /* for NS_CUT, NS_SPOILT and NS_TCP_CUT */
  unsigned char value;
};

enum { NS_A = 1, NS_AAAA = 28 };

/* Starts servers, up to four, in the place of those of before. */
void ns_start(const struct ns_server *servers, size_t count);

/* Ends them; fits as a teardown of cmocka's. */
int ns_stop(void **state);

/* What they saw: all that was sent to them before this call. */
volatile struct ns_log *ns_log(void);

/* The servers that were asked for A records, in turn, as "0 1 1t": t is TCP. */
const char *ns_asked(void);

/* The address of a server, in figures; number 3 is free unless started. */
const char *ns_address(unsigned server);

/* ---- Records, written out --------------------------------------------- */

#define R(n, bytes) .records = (bytes), .size = sizeof(bytes) - 1, .count = n

#define ASKED "\xc0\x0c" /* the name asked for: it stands at offset 12 */
#define MINUTE "\0\0\0\x3c"
#define A_TTL(ttl, last) ASKED "\0\1\0\1" ttl "\0\4\x7f\0\0" last
#define A(last) A_TTL(MINUTE, last) /* 127.0.0.last, for a minute */

/* ---- What the client says --------------------------------------------- */

#define NO_NAME "the name does not exist"
#define NO_ADDRESS "the name has no address"
#define NO_ANSWER "no nameserver gives an answer"

/* ---- Files ------------------------------------------------------------ */

/*
 * Writes the file "hosts" or "resolv.conf" of this process, and returns its
 * path.  In the text, $0 to $3 stand for the addresses of the servers, @ for a
 * word of 10,000 bytes, and ~ for 5,000 words of one.
 */
const char *ns_file(const char *name, const char *text, size_t size);
const char *ns_text(const char *name, const char *text);

/* The path of a file that there is not. */
const char *ns_no_file(void);

/* ---- The client's calls ----------------------------------------------- */

/*
 * What becomes of the client's connections, all but those to port 53: they are
 * noted, then made / noted, then refused (syscalls.h).  Starts a new record.
 */
void tried_watch(void);
void tried_refuse(void);

/*
 * From now on a connection to this address is seen to be made after this time
 * of the virtual clock; NULL: to none.
 */
void tried_takes_ms(const char *address, int64_t ms);

/* The addresses that were tried since, in turn, with a space between two. */
const char *tried(void);

/* When each was tried, by now_ms(). */
const int64_t *tried_ms(void);

/* ---- The player ------------------------------------------------------- */

/*
 * Like player_configure(), but the host's name is looked up in these files;
 * NULL: in one that there is not.
 */
void player_configure_name(
    struct player *p, const char *hosts, const char *resolv);

/*
 * One beat, while all connections are refused: fails the test unless it tries
 * these addresses and no others, with a space between two, and ends in
 * HBEAT_ERR_CONNECT, or in HBEAT_ERR_RESOLVE and says why.
 */
void player_look_up(struct player *p, const char *want, const char *says);

#endif
