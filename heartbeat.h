/* heartbeat - tells the Lucit API, over HTTPS, that a digital-signage player
 * is alive, hands back the remote instruction in the reply, and reports what
 * became of it.
 *
 * Copy heartbeat.h and heartbeat.c into the firmware tree and link BearSSL.
 * Nothing is ever allocated: all memory is the caller's, static by preference;
 * the stack needs 7 KiB.  Any number of clients may run in any number of
 * threads, one thread to a client at a time.
 *
 * hbeat_init() a client and hbeat_send() a heartbeat: examples/once.c is the
 * shortest program.  Every member left zero is a good default.  HBEAT_NO_NET
 * leaves out sockets, TLS and client: what remains needs C99 alone and serves a
 * host that has an HTTPS stack of its own.  "The API" is the Lucit V3 API. */
#ifndef HEARTBEAT_H
#define HEARTBEAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#ifndef HBEAT_NO_NET
#include <bearssl.h>
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Version, and sizes in bytes -------------------------------------- */

#define HBEAT_VERSION "0.2.0"
#define HBEAT_REPLY_BUFFER_SIZE 3072 /* a usual reply is 450; for parameters */
#define HBEAT_WIRE_SIZE 960       /* what a read takes beyond one TLS record */
#define HBEAT_HEAD_MAX 32768      /* a reply's heads, chunk sizes, trailers */
#define HBEAT_HANDSHAKE_MAX 32768 /* from a server: 8 RSA-4096 certificates */
#define HBEAT_EXPLAIN_SIZE 192    /* a host name and a sentence around it */
#define HBEAT_JSON_DEPTH 64       /* arrays and objects in each other */
#define HBEAT_MEMORY_RECORDS 16   /* instructions that are remembered */
#ifndef HBEAT_MEMORY_TEXT         /* of each, its name and parameters, later */
#define HBEAT_MEMORY_TEXT 438     /* its report; 32 or more, always the same */
#endif
#ifndef HBEAT_NO_NET
/* One whole TLS record, which every server may send, and the wire. */
#define HBEAT_TLS_BUFFER_SIZE (BR_SSL_BUFSIZE_MONO + HBEAT_WIRE_SIZE)
/* 12 KiB less, and the least: asks for records of 4 KiB (RFC 6066).  OpenSSL,
 * nginx, BearSSL comply.  GnuTLS 3.7, Go, NSS do not; BoringSSL (as at CDNs),
 * rustls, Schannel are said not to: a larger record is HBEAT_ERR_TOO_BIG. */
#define HBEAT_TLS_BUFFER_SMALL (4096 + 325 + HBEAT_WIRE_SIZE)
#define HBEAT_SESSION_SIZE (16 + sizeof(br_ssl_session_parameters) + 32)
#endif

/* ---- Errors ----------------------------------------------------------- */

/* Each value asks the operator for something else. */
typedef enum hbeat_error {
  HBEAT_OK,
  HBEAT_AGAIN,           /* not done yet: wait as hbeat_wants() says */
  HBEAT_ERR_ARGUMENT,    /* a value of the caller's is missing or malformed */
  HBEAT_ERR_RESOLVE,     /* no address for the name: mend it, or the DNS */
  HBEAT_ERR_CONNECT,     /* nothing answers there: cable, route, firewall */
  HBEAT_ERR_PROXY,       /* the proxy refused: see reply.http_status */
  HBEAT_ERR_TIMEOUT,     /* the deadline passed: slow net or silent server */
  HBEAT_ERR_TLS_VERSION, /* no TLS 1.2: the server must offer it */
  HBEAT_ERR_CERT_NAME,   /* it is for another name: a captive portal, a typo */
  HBEAT_ERR_CERT_TRUST,  /* no anchor vouches for it: wrong CA, or a spy */
  HBEAT_ERR_CERT_TIME,   /* expired or not valid yet: look at the clock */
  HBEAT_ERR_TLS,         /* TLS failed otherwise: a middlebox, a broken peer */
  HBEAT_ERR_TRUNCATED,   /* the connection ended before the reply did */
  HBEAT_ERR_HTTP,        /* the reply breaks HTTP/1.1: a broken proxy */
  HBEAT_ERR_STATUS,      /* the status is not 2xx: see reply.http_status */
  HBEAT_ERR_REFUSED,     /* `success` is not true: see reply.message */
  HBEAT_ERR_JSON,        /* the body is not the API's JSON: a captive portal */
  HBEAT_ERR_TOO_BIG,     /* a buffer is too small: the text says which */
  HBEAT_ERR_MEMORY       /* bytes that are no memory: the disk, an update */
} hbeat_error;

/* The error's name in lower case, as "cert-time"; never NULL. */
const char *hbeat_error_name(hbeat_error e);

/* ---- What goes in ----------------------------------------------------- */

/* All strings are NUL-terminated.  What this points to stays as it is from
 * hbeat_init() to hbeat_close(), though the token's bytes may change between
 * exchanges; what a request points to until its exchange has ended. */
typedef struct hbeat_config {
  const char *device; /* the device's lcuid; RFC 3986 unreserved characters */
  const char *app;    /* the app's lcuid, for AppIdV3; visible ASCII */
  const char *token;  /* Bearer; visible ASCII.  Only a log-in needs none */
  const char *host;   /* a DNS name, no address; NULL: api.lucit.app */
  uint16_t port;      /* of the host; 0: 443 */
#ifndef HBEAT_NO_NET
  uint16_t address_port, proxy_port; /* TCP ports; 0: the host's, and 80 */
  const char *address;     /* where the host is, in figures, IPv4 or IPv6.
                                NULL: its name is looked up */
  const char *proxy;       /* for HTTP CONNECT: a name or an address in
                                figures.  NULL: none */
  const char *proxy_login; /* "user:password" for it, 255 bytes; or NULL */
  const char *hosts_path, *resolv_path; /* NULL: those in /etc */
  uint32_t timeout_ms;   /* for a whole exchange, a day at most; 0: 30 s */
  int64_t clock_floor_s; /* Unix seconds that have passed, as of the build; for
                              certificates the latest of it, the system's clock
                              and the server's last Date counts */
  const br_x509_trust_anchor *anchors; /* whom to trust: at least one */
  size_t anchor_count;
  void *tls_buffer; /* this client's, HBEAT_TLS_BUFFER_SIZE bytes */
  size_t tls_buffer_size;
#endif
  char *reply_buffer; /* one reply's body, whole, decoded in place */
  size_t reply_buffer_size;
} hbeat_config;

typedef enum hbeat_call {
  HBEAT_BEAT,        /* a heartbeat */
  HBEAT_ACKNOWLEDGE, /* a report: an instruction was carried out ... */
  HBEAT_FAILED,      /* ... or failed */
  HBEAT_LOGIN        /* for a new Bearer token */
} hbeat_call;

/* A call and the members for it.  What is not UTF-8 goes out as U+FFFD. */
typedef struct hbeat_request {
  hbeat_call call;
  const char *lightning_version;  /* heartbeat: the player's, not empty */
  const char *const *device_info; /* facts, any number and size */
  size_t device_info_count;       /* 0: the field is left out */
  const char *instruction;        /* report: the lcuid */
  const char *message;            /* of a failure; or NULL */
  const char *response_data;      /* a JSON object, sent as it is; or NULL */
  const char *login_token, *login_secret; /* log-in: not empty */
  char *token_buffer;       /* set if HBEAT_OK; may be where config.token is */
  size_t token_buffer_size; /* with the NUL; today's tokens take 1,100 bytes */
} hbeat_request;

/* ---- What comes out --------------------------------------------------- */

/* A number that the server did not send, or that cannot be read. */
#define HBEAT_NONE INT64_MIN

/* A JSON value: a span of text.  An array or object is its own cursor. */
typedef enum hbeat_json_type {
  HBEAT_JSON_NONE, /* no value */
  HBEAT_JSON_NULL,
  HBEAT_JSON_FALSE,
  HBEAT_JSON_TRUE,
  HBEAT_JSON_NUMBER,
  HBEAT_JSON_STRING,
  HBEAT_JSON_ARRAY,
  HBEAT_JSON_OBJECT
} hbeat_json_type;

typedef struct hbeat_json {
  hbeat_json_type type;
  const char *text; /* not NUL-terminated */
  size_t size;
} hbeat_json;

/* A reply's instruction.  Unknown names and numbers are handed on as they
 * are.  Text is NUL-terminated UTF-8, NULL where the server sent null or
 * nothing.  Times are Unix seconds beside their text; HBEAT_NONE beside a text
 * means a form that cannot be read: report, do not run. */
typedef struct hbeat_instruction {
  const char *name;      /* `instruction`, as "reload"; NULL: none waits */
  hbeat_json parameters; /* as it came, whatever its shape */
  int64_t status;        /* 0 pending, 1 sent, 2 acknowledged, or HBEAT_NONE */
  const char *lcuid;     /* its own identifier: run what carries it only once */
  const char *run_at, *created_at, *updated_at; /* run_at NULL: now */
  int64_t run_at_s, created_at_s, updated_at_s;
} hbeat_instruction;

typedef enum hbeat_connection {
  HBEAT_CONNECTION_NONE, /* the request did not get to the server */
  HBEAT_CONNECTION_NEW,
  HBEAT_CONNECTION_RESUMED, /* a new one, with a TLS session of before */
  HBEAT_CONNECTION_KEPT
} hbeat_connection;

/* What a reply held.  Where the exchange fails what arrived stays readable: a
 * status, a Retry-After or a Date beside a body that was HTML, broken or too
 * big.  Strings live in the reply buffer until the next exchange starts. */
typedef struct hbeat_reply {
  int http_status; /* 0: no head arrived; with HBEAT_ERR_PROXY the proxy's */
  bool success;    /* `success`, a log-in's `ok`, was true: HBEAT_OK */
  hbeat_connection connection;
  int64_t retry_after_s;  /* Retry-After in seconds from now, or HBEAT_NONE */
  int64_t server_time_s;  /* Date in Unix seconds, or HBEAT_NONE */
  int64_t clock_offset_s; /* that less the system's clock; HBEAT_NONE from the
                               codec, or past the server's certificate */
  const char *message;    /* the server's own words on an error, or NULL */
  hbeat_instruction instruction;
} hbeat_reply;

/* ---- JSON (RFC 8259) -------------------------------------------------- */

/* Checks that `text` is one JSON document and nothing else, to the letter of
 * RFC 8259 and in UTF-8, and sets *value to it.  HBEAT_ERR_JSON: it is not.
 * _TRUNCATED: more text could complete it.  _TOO_BIG: deeper than _DEPTH. */
hbeat_error hbeat_json_parse(const char *text, size_t size, hbeat_json *value);

/* Takes the next element off an array, or the next member off an object, and
 * says whether there was one.  *key (may be NULL) is the member's name, a
 * string, or HBEAT_JSON_NONE in an array.  To walk twice, copy the value. */
bool hbeat_json_next(hbeat_json *container, hbeat_json *key, hbeat_json *value);

/* Writes a string's text, unescaped and NUL-terminated, and returns its length
 * in bytes.  Where `size` is too small it writes "", or with 0 nothing.  U+0000
 * becomes U+FFFD.  The text of a value that is no string is "". */
size_t hbeat_json_string(const hbeat_json *value, char *out, size_t size);

/* Reads a number times 10^decimals: 12.5 is 1250 with 2; further decimals are
 * cut off.  HBEAT_ERR_JSON: no number, one with an exponent, or with 0 decimals
 * one with a fraction.  HBEAT_ERR_TOO_BIG: it does not fit. */
hbeat_error hbeat_json_number(
    const hbeat_json *value, unsigned decimals, int64_t *number);

/* ---- The codec: one exchange as bytes out, bytes in ------------------- */

/* One request and its reply, without a transport.  The client below drives
 * one of these over TLS; a host with its own HTTPS stack drives it alone
 * (examples/own_transport.c).  The first three members are for the caller. */
typedef struct hbeat_exchange {
  uint64_t body_size; /* of the request, behind the empty line */
  const char *what;   /* after an error: the reason in a phrase, or NULL */
  bool keep_alive;    /* after the reply: the connection may be used again */
  const hbeat_config *cfg;
  const hbeat_request *request;
  hbeat_reply *reply;
  const char *host;
  size_t host_size, piece, offset; /* where the next byte out comes from */
  int state;                       /* what the next byte in is part of */
  uint32_t head_left, line_size;
  uint64_t left;   /* bytes of the body or chunk to come */
  size_t received; /* bytes of the body in the reply buffer */
  int64_t retry_date_s;
  bool http10, sized, chunked, closes, trailers, after_cr, tunnel;
  char line[96], port[8], length[24];
} hbeat_exchange;

/* Begins an exchange.  `cfg` (the first five members and the reply buffer),
 * `request` and `reply` stay in place until its end.  Or HBEAT_ERR_ARGUMENT. */
hbeat_error hbeat_begin(hbeat_exchange *x, const hbeat_config *cfg,
    const hbeat_request *request, hbeat_reply *reply);

/* Writes the next bytes of the request to `out` and returns their number; 0
 * once all are out.  `size` is 16 or more; a return below it is not the end. */
size_t hbeat_pull(hbeat_exchange *x, void *out, size_t size);

/* Takes bytes that arrived, and sets *used to how many belong to this reply.
 * A `size` of 0 says that the connection was ended in good order (a TLS
 * close_notify); a connection that merely broke off must not be reported so.
 * HBEAT_AGAIN: more is to come.  Anything else ends the exchange: HBEAT_OK
 * with *reply complete, or _TRUNCATED, _HTTP, _STATUS, _REFUSED, _JSON or
 * _TOO_BIG (for the reply or token buffer); afterwards _ARGUMENT. */
hbeat_error hbeat_push(
    hbeat_exchange *x, const void *in, size_t size, size_t *used);

/* Decodes a reply's body in place, for a host that did the HTTP itself.  Set in
 * *reply before: http_status (0 counts as 200), retry_after_s, server_time_s.
 * The result is as that of hbeat_push(), with the reason or NULL in *what. */
hbeat_error hbeat_decode(const hbeat_request *request, hbeat_reply *reply,
    char *body, size_t body_size, const char **what);

#ifndef HBEAT_NO_NET
/* ---- Trust anchors ---------------------------------------------------- */

/* Adds anchors from a whole PEM text, such as a file or the system's bundle.
 * Set the first two members and zero the rest; more texts may follow.  The
 * arena must outlive the clients.  A root takes about 500 bytes in it; the 150
 * of Debian 12 take 73 KiB, and 4 KiB more while they load.
 *
 * What is no certificate, or one that BearSSL cannot use (RSA below 2,048 or
 * above 4,096 bits, a curve other than P-256, P-384, P-521), is skipped and
 * counted.  HBEAT_ERR_TOO_BIG: the arena is full; the list is what fitted.
 * _TRUNCATED: the text stops inside a certificate.  _CERT_TRUST: no anchor. */
typedef struct hbeat_anchors {
  void *arena;
  size_t arena_size;
  br_x509_trust_anchor *list;  /* in the arena; for config.anchors */
  size_t count, skipped, used; /* `used` is private */
} hbeat_anchors;
hbeat_error hbeat_anchors_pem(hbeat_anchors *a, const void *pem, size_t size);

/* ---- The client ------------------------------------------------------- */

/* Where a name is to be reached. */
typedef struct hbeat_addresses {
  unsigned char list[8][16], preferred[16];
  uint32_t count, ttl_s;
  int64_t expires_ms;
} hbeat_addresses;

/* Opaque by convention.  It points into itself: do not move or copy it. */
typedef struct hbeat_client {
  hbeat_config cfg;
  hbeat_exchange x;
  br_ssl_client_context tls;
  br_x509_minimal_context x509;
  br_x509_class x509_class;
  br_name_element leaf;
  int64_t not_before_s, leaf_until_s; /* seen of the server's certificates */
  bool dated, for_others;
  uint8_t certificates;
  unsigned char window[36]; /* the longest pair of dates */
  hbeat_addresses addresses;
  int state, fd;
  int64_t deadline_ms, until_ms; /* of the exchange; of what is now tried */
  int64_t session_s;             /* when the session was made */
  int64_t server_lead_s; /* the server's time less that of CLOCK_MONOTONIC */
  hbeat_error error;
  const char *what; /* the reason of the error */
  int code;         /* errno, BearSSL's or HTTP's */
  hbeat_connection connection;
  bool kept, answered, resumable, missing, over_tcp, cut;
  uint8_t wanted, unheard;    /* families to ask for; to wait for */
  uint8_t turn, tries, clock; /* of addresses; of nameservers; the one used */
  uint16_t ids[2];
  uint32_t wire_at, wire_end, out_at, out_end, heard; /* bytes */
  char explain[HBEAT_EXPLAIN_SIZE];
} hbeat_client;

/* Checks the configuration and prepares a client; nothing is sent yet.
 * HBEAT_ERR_ARGUMENT: hbeat_explain() names the member.  A server's certificate
 * must have the host in its subjectAltName (RFC 9525), and be for servers.
 * Revocation, and name constraints that are not critical, are not looked at. */
hbeat_error hbeat_init(hbeat_client *c, const hbeat_config *cfg);

/* Sends one request and waits for its reply: HBEAT_OK with *reply filled in,
 * or an error within timeout_ms.  The connection is kept for the next one where
 * the server allows it; when it has died in between it is replaced, once and
 * unseen.  This is hbeat_start(), then hbeat_step() and poll(2) by turns.
 *
 * A name is looked up in the hosts file, else with the nameservers of
 * resolv.conf, both read anew; its addresses are kept as long as the answer
 * says.  Up to eight are tried, the last one that worked first, then IPv6 and
 * IPv4 by turns, each for its share of the time that is left. */
hbeat_error hbeat_send(
    hbeat_client *c, const hbeat_request *request, hbeat_reply *reply);

/* Starts an exchange, whose deadline runs from here; one that is under way is
 * given up.  `request` and `reply` stay in place.  Or HBEAT_ERR_ARGUMENT. */
hbeat_error hbeat_start(
    hbeat_client *c, const hbeat_request *request, hbeat_reply *reply);

/* Moves it on without waiting, by one read and one write at most, and the two
 * files for a name: HBEAT_AGAIN until it has ended, then HBEAT_OK or its error,
 * which sticks until the next start. */
hbeat_error hbeat_step(hbeat_client *c);

/* What it waits for: poll(2) `fd` for `events`, then step. */
typedef struct hbeat_wait {
  int fd;         /* -1: nothing to wait for, step at once */
  short events;   /* POLLIN or POLLOUT */
  int timeout_ms; /* until something is given up: step then, too */
} hbeat_wait;
hbeat_wait hbeat_wants(const hbeat_client *c);

/* The last outcome in one line, with the raw errno, BearSSL code or HTTP status
 * and never a secret: «the certificate of api.lucit.app is not valid yet: the
 * system's clock says 1970-01-01 (BearSSL 54)».  Valid until the next call. */
const char *hbeat_explain(hbeat_client *c);

/* A TLS session spares the next process most of the handshake: 1.5 million
 * instructions instead of 27.  _save() writes the last one if it is good;
 * it is a secret like the token.  _load(), before the first exchange, tells if
 * it will be offered: not if damaged, of another host or anchors, or older than
 * a day.  What the server forgot costs a full handshake. */
bool hbeat_session_save(
    const hbeat_client *c, unsigned char out[HBEAT_SESSION_SIZE]);
bool hbeat_session_load(hbeat_client *c, const void *in, size_t size);

/* Ends the connection, with a close_notify if that needs no waiting, and wipes
 * the client and its TLS buffer.  hbeat_init() makes it usable again. */
void hbeat_close(hbeat_client *c);
#endif

/* ---- Memory ----------------------------------------------------------- */

/* What is to outlive a restart: the last instructions, each with what became of
 * it, and the server's time.  Bytes alone, the same on every machine: whenever
 * `changed` is set, clear it and keep the structure, safe from a power cut,
 * before anything else is done.  If it fails set it again, and run nothing yet.
 *
 *          learn            due            end            learn
 *     new -------> WAITING -----> TAKEN -----> ENDED <---------> REPORTED
 *
 * After a heartbeat learn; due, run, end until none is due; report, send, learn
 * until one fails.  What is sent again never runs again; if REPORTED, it is
 * reported again.  What a restart finds TAKEN is ENDED as failed: interrupted.
 * So before a reboot send an acknowledgement yourself, and learn from that. */
typedef struct hbeat_memory {
  unsigned char changed, turn, seal[10], server_time_s[8];
  struct hbeat_record {
    char lcuid[64];
    unsigned char state, call, run_at_s[8];
    char text[HBEAT_MEMORY_TEXT];
  } records[HBEAT_MEMORY_RECORDS]; /* by when they came, or were reported */
} hbeat_memory;

/* Takes what was kept; `size` 0: nothing was.  *clock_floor_s (may be NULL) is
 * raised to the server's time.  HBEAT_ERR_MEMORY: torn, foreign, or of a newer
 * version; the memory is empty then, and what ran may run again. */
hbeat_error hbeat_memory_load(
    hbeat_memory *m, const void *bytes, size_t size, int64_t *clock_floor_s);

/* Learns from an exchange that ended with `e`: of an instruction, if it is
 * not acknowledged; or that a report was taken or never will be (_REFUSED; 4xx
 * but 401, 403, 408, 425, 429).  HBEAT_ERR_JSON: one without an lcuid (63 bytes
 * at most) never runs.  _TOO_BIG: all records wait; it is sent again. */
hbeat_error hbeat_memory_learn(hbeat_memory *m, const hbeat_request *request,
    const hbeat_reply *reply, hbeat_error e);

/* Takes the next instruction whose run_at has come by now_s, in Unix seconds:
 * run it.  One longer than HBEAT_MEMORY_TEXT, with an unreadable run_at, or
 * over max_age_s late by it (0: never) is ENDED as failed.  False: none yet;
 * i->run_at_s is the next or HBEAT_NONE.  Strings live as a report's. */
bool hbeat_memory_due(
    hbeat_memory *m, int64_t now_s, int64_t max_age_s, hbeat_instruction *i);

/* Writes down how an instruction ended: HBEAT_ACKNOWLEDGE, or HBEAT_FAILED with
 * a message, and response_data; each may be NULL.  A message too long is cut;
 * data that does not fit beside it, or is no JSON object, is left out. */
void hbeat_memory_end(hbeat_memory *m, const char *lcuid, hbeat_call call,
    const char *message, const char *response_data);

/* Makes *request the next report to send, by turns; false: there is none.  Its
 * strings live until the next learn, or the end of its instruction. */
bool hbeat_memory_report(hbeat_memory *m, hbeat_request *request);

/* ---- Schedule --------------------------------------------------------- */

/* When to send: no two devices keep step, and none is silent for ever. */
typedef struct hbeat_policy {
  uint32_t interval_ms;  /* from one heartbeat to the next; 0: 60 s */
  uint32_t splay_ms;     /* the first one comes within; 0: 9/10 interval */
  uint32_t retry_max_ms; /* after failures; 0: ten intervals */
  uint32_t rare_max_ms;  /* after those that need a person; 0: an hour, or 60
                              intervals where that is longer */
} hbeat_policy;

/* The milliseconds until the next heartbeat, from the end of the last with `e`
 * and `reply` (may be NULL), or with HBEAT_AGAIN until the first.  *failures
 * counts those in a row, from 0; `random` is 32 bits, others on each device.
 * Success: the interval, or up to a tenth less.  Failure: any time up to twice
 * the interval, doubled each time up to the maximum ("full jitter"), and on top
 * a Retry-After of at most rare_max_ms.  A person has to mend 401, 403, 404 and
 * 422, HBEAT_ERR_CERT_TRUST, _CERT_NAME and _ARGUMENT. */
uint32_t hbeat_next_ms(const hbeat_policy *policy, uint32_t *failures,
    hbeat_error e, const hbeat_reply *reply, uint32_t random);

#ifdef __cplusplus
}
#endif
#endif
