/*
 * What the client of a fuzzer speaks to, in the world of world.h: nameservers,
 * a proxy, and the API, whose TLS is that of BearSSL's server engine.
 *
 * Left alone, server_go_on() makes them do what is right.  The other functions
 * make them do anything else, with the connection's own keys where there are
 * any: what an attacker could do who is the server, or stands in between.
 *
 * Certificates come from the folder `certs` below the one that the environment
 * names as B, by default `build`.
 */
#ifndef SERVER_H
#define SERVER_H

#include "world.h"

enum { SERVER_PROXY_PORT = 3128, SERVER_DNS_PORT = 53 };

extern const struct other_side server_side; /* but for act() */

/* Begins anew.  It resumes no session but the one that it had when it was told
 * to hold it. */
void server_begin(void);
void server_hold_session(void);

/* Does the next right thing; false where there is nothing to be done. */
bool server_go_on(void);

/* ---- Who it is, from the next connection on ---- */

/* The certificates that it shows, by their number; 0 is good. */
void server_be(unsigned identity);

/* It chooses this suite, or is of this version alone; 0: the usual ones. */
void server_choose_suite(uint16_t suite);
void server_choose_version(unsigned version);

/* What becomes of a session that the client would resume. */
enum server_memory {
  REMEMBERS,
  FORGETS,
  MISTAKES_SECRET, /* resumes it, with a bit of its secret flipped */
  MISTAKES_SUITE,  /* resumes it, with another suite */
  FORGES,          /* resumes whatever it is asked for, with zeros */
  MEMORIES
};
void server_remember(enum server_memory how);

/* ---- What it says on the connection in hand ---- */

/* Types of records, RFC 5246 section 6.2.1. */
enum { IS_ALERT = 21, IS_HANDSHAKE = 22, IS_DATA = 23 };

/* A record of any type, with the connection's keys or, before there are any, in
 * clear. */
void server_seal(unsigned type, const void *bytes, size_t size);

/* Bytes as they are. */
void server_write(const void *bytes, size_t size);

/* One of the API's replies, by its number. */
void server_reply(unsigned number);

/* The bits of a byte of what goes out next are flipped. */
void server_flip(unsigned at, unsigned char bits);

/* close_notify. */
void server_close(void);

/* Does not look at what comes, from here on, nor on the next connections; or
 * does again. */
void server_be_deaf(bool deaf);

/* The connection in hand; -1: none. */
int server_fd(void);

/* ---- Proxy and nameserver ---- */

/* One of the proxy's replies, by its number. */
void server_say_of_tunnel(unsigned number);

/* Answers the oldest query, in one of several ways, by its number. */
void server_answer_query(unsigned number);

/* The same, with these bytes in place of flags, counts and records. */
void server_answer_raw(const unsigned char *bytes, size_t size);

/* The socket of the oldest query; -1: none waits. */
int server_query_fd(void);

/* ---- What it has seen ---- */

/* From here on, this is the only request that may come. */
void server_expect(const void *request, size_t size);

/* What it knows of the exchange in hand. */
struct server_view {
  unsigned whole_requests; /* that came */
  bool kept;               /* its connection is older than the exchange */
  bool resumed;            /* the connection's session is an older one */
  bool good;               /* the connection's certificate is right */
  bool closed;             /* it has sent a close_notify */
  unsigned overheard; /* bytes of application data that were not kept below */
  struct server_said {
    unsigned char bytes[1 << 16]; /* of application data, on this connection */
    size_t ends[256];             /* of its records */
    unsigned count;
    unsigned before; /* records that the client has to find before it asks */
  } said;
};
const struct server_view *server_view(void);

#endif
