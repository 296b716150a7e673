/*
 * The two ends of a network test: a peer, which is a TLS server in a process
 * of its own that follows a script, and a player, which is the client under
 * test with its memory.
 *
 * There is one peer at a time.  Certificates come from the folder `certs`
 * below the one that the environment names as B, by default `build`.
 */
#ifndef PEER_H
#define PEER_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "heartbeat.h"

#include <cmocka.h>

#if defined __has_feature
#if __has_feature(address_sanitizer)
#define UNDER_ASAN 1
#endif
#elif defined __SANITIZE_ADDRESS__
#define UNDER_ASAN 1
#endif
#ifndef UNDER_ASAN
#define UNDER_ASAN 0
#endif

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

/* A test of its own, named as its function is. */
#define TEST(f)                                                                \
  { #f, f, NULL, peer_stop, NULL }

/* How the peer ends a connection. */
enum peer_end {
  PEER_STAYS,
  PEER_NOTIFIES, /* close_notify, then FIN */
  PEER_FINISHES, /* FIN alone */
  PEER_RESETS,   /* RST */
  PEER_BREAKS    /* close_notify, then RST */
};

/* What becomes of a TLS session that the client would resume. */
enum peer_memory {
  PEER_FORGETS,
  PEER_REMEMBERS,
  PEER_MISTAKES_SECRET, /* resumes it, with a bit of its secret flipped */
  PEER_MISTAKES_SUITE,  /* resumes it, with another suite */
  PEER_FORGES, /* resumes whatever it is asked for, with a secret of zeros */
  PEER_BALKS   /* hangs up on whoever asks */
};

/* What the peer does with one request. */
struct peer_turn {
  const char *reply; /* NULL: PEER_REPLY; "": none */
  bool early;     /* replies to the head, before it reads the body, if at all */
  bool asks_anew; /* asks for another handshake: HelloRequest */
  bool waits;     /* does what follows when peer_go() is called */
  const char *stray;   /* one record more, which nobody asked for */
  bool together;       /* all of this turn leaves in one segment */
  bool is_forgotten;   /* from then on the network drops what the client sends,
                      * without a word */
  unsigned char alert; /* sends this one, which is fatal; 0: none */
  enum peer_end end;
};

/* Certificates that all consist of these bytes. */
struct peer_crowd {
  const char *bytes;
  size_t size;
  unsigned count;
};

/* All zero is a good server: TLS 1.2, server.pem, PEER_REPLY for ever. */
struct peer_script {
  const char *chain;       /* the file's name without .pem; NULL: server */
  const char *key;         /* without .key; NULL: server */
  struct peer_crowd crowd; /* shown behind the chain, 1,000 at most */
  const struct peer_turn *turns; /* over all connections; the last is kept */
  size_t turn_count;
  unsigned version; /* the only one spoken; 0: BR_TLS12 */
  uint16_t suite;   /* the only one offered; 0: all that BearSSL has */
  const char *raw;  /* not TLS: answers the first bytes with these, then FIN */
  size_t raw_size;
  const char *behind; /* follows its ServerHelloDone, in the same segment */
  size_t behind_size;
  bool silent;   /* not TLS: never says a word, beside what is raw */
  bool small;    /* sends records of 512 bytes */
  bool dribbles; /* sends byte by byte */
  bool slow;     /* reads little at a time, from a small window */
  bool ipv6;     /* listens on ::1 */
  bool large;    /* ignores that the client asks for small records */
  enum peer_memory memory;
  enum peer_end cut; /* PEER_FINISHES or PEER_RESETS: it does so ... */
  size_t cut_at;     /* ... when it has sent so many bytes, TLS and all */
};

/* What the peer saw, as it goes on. */
struct peer_log {
  unsigned accepted; /* connections */
  unsigned requests; /* whole heads */
  unsigned record;   /* bytes in one that the last client wants at most, or 0 */
  unsigned notified; /* connections that the client ended by close_notify */
  unsigned broken;   /* ... and by what is not TLS, or by an alert */
  char head[2048];   /* the last whole one, or its beginning */
  size_t body_size;  /* of the last request, as far as it came ... */
  uint32_t body_sum; /* ... and its peer_sum() */
  unsigned go, gone; /* calls of peer_go(), and those it has followed */
};

#define PEER_BODY "{\"success\":true}"
#define PEER_HEAD "HTTP/1.1 200 OK\r\nDate: Wed, 07 Jan 2026 00:15:19 GMT\r\n"
#define PEER_TIME_S 1767744919
#define PEER_REPLY PEER_HEAD "Content-Length: 16\r\n\r\n" PEER_BODY

/* The port on loopback where the peer now listens. */
uint16_t peer_start(const struct peer_script *script);

/*
 * The same for `openssl s_server -rev`, which shows a leaf of the certificate
 * folder (NULL: server), with an option such as "-tls1_3".
 */
uint16_t peer_start_openssl(const char *leaf, const char *option);

/* The same for nginx, with these directives for its server. */
uint16_t peer_start_nginx(const char *directives);

const volatile struct peer_log *peer_log(void);

/* Lets a turn that waits go on, and returns when the peer has done so. */
void peer_go(void);

/* Ends the peer, if there is one; fits as a teardown of cmocka's. */
int peer_stop(void **state);

/* Continues the checksum of a body; starts at 0. */
uint32_t peer_sum(uint32_t sum, const void *data, size_t size);

/* 1, or how much slower this run may be: under ASan, or what WRAP names. */
uint32_t peer_patience(void);

/* The text of a file of the certificate folder; it lasts until the next. */
const char *certs_file(const char *name, const char *type, size_t *size);

/* The path of a new file of this text; it is there until the program ends. */
const char *text_file(const char *text);

struct player {
  hbeat_config cfg;
  hbeat_client client;
  hbeat_reply reply;
  unsigned char tls[HBEAT_TLS_BUFFER_SIZE];
  char body[HBEAT_REPLY_BUFFER_SIZE];
};

extern const char player_token[];
extern const hbeat_request player_beat;

/*
 * A beat of so many facts, each of so many bytes and unlike its neighbours:
 * 10,000 and 1 MiB at most in all.  They last until the next.
 */
hbeat_request player_big_beat(size_t count, size_t size);

/* Loads an anchor file, by its name without .pem; it stays for good. */
const hbeat_anchors *player_anchors(const char *name);

/* A player that trusts ca.pem, not yet initialised / initialised. */
void player_configure(struct player *p, uint16_t port);
void player_open(struct player *p, uint16_t port);

/* The same, but all that it has is a proxy at this port of 127.0.0.1. */
void player_configure_proxy(struct player *p, uint16_t port);

/* One beat; fails the test unless it ends in `want`, explained if an error. */
void player_expect(
    struct player *p, const hbeat_request *beat, hbeat_error want);

/* Fails the test unless the explanation is a line to print, and no secret. */
void player_check_text(struct player *p);

/*
 * Makes one test of each row of a table, whose first member is its name, and
 * returns where the next table's tests go.
 */
#define ROWS(to, check, rows)                                                  \
  rows_to_tests(to, check, rows, sizeof *(rows), COUNT(rows))
struct CMUnitTest *rows_to_tests(struct CMUnitTest *to,
    CMUnitTestFunction check, const void *rows, size_t row_size, size_t count);

/* Whether some bytes hold eight in a row of a secret. */
bool holds_part(
    const void *bytes, size_t size, const void *secret, size_t secret_size);

/* Descriptors that this process has open. */
int open_descriptors(void);

int64_t now_ms(void);

/* The processor's time that this process has taken, whoever else is busy. */
int64_t busy_ms(void);

#endif
