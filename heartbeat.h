/* heartbeat - tells the Lucit API, over HTTPS, that a digital-signage player
 * is alive, and hands back the remote instruction in the reply.
 *
 * Copy heartbeat.h and heartbeat.c into the firmware tree and link BearSSL.
 * Nothing is ever allocated: all memory is the caller's, so place the big
 * structures in static storage; the stack needs 7 KiB.  Any number of clients
 * may run in any number of threads, one thread to a client at a time.
 *
 *     static unsigned char tls[HBEAT_TLS_BUFFER_SIZE];
 *     static char body[HBEAT_REPLY_BUFFER_SIZE];
 *     static hbeat_client client;
 *
 *     hbeat_config cfg = {.device = "LCUID-LD-...", .app = "LCUID-LAP-...",
 *         .token = token,
 *         .anchors = anchors.list, .anchor_count = anchors.count,
 *         .tls_buffer = tls, .tls_buffer_size = sizeof tls,
 *         .reply_buffer = body, .reply_buffer_size = sizeof body};
 *     hbeat_beat beat = {.lightning_version = "4.2.1"};
 *     hbeat_reply reply;
 *     hbeat_error e = hbeat_init(&client, &cfg);
 *     if (e == HBEAT_OK) e = hbeat_send(&client, &beat, &reply);
 *     if (e != HBEAT_OK) fprintf(stderr, "%s\n", hbeat_explain(&client));
 *     else if (reply.instruction.name) puts(reply.instruction.name);
 *     hbeat_close(&client);
 *
 * Every member left zero is a good default.  With HBEAT_NO_NET defined the
 * sockets, TLS and client are left out: what remains, the codec, needs C99
 * alone and serves a host that has an HTTPS stack of its own.
 *
 * RFC numbers name the source of a rule; "the API" is the Lucit V3 API. */
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

/* ---- Version and sizes ------------------------------------------------ */

#define HBEAT_VERSION "0.1.0"
#define HBEAT_VERSION_NUMBER 100 /* two decimal digits a part: MMmmpp */

/* The version that was linked, to hold against HBEAT_VERSION. */
const char *hbeat_version(void);

/* Sizes in bytes.  Each may be set on the compiler's command line, the same
 * for heartbeat.c and for all who include this header. */
#ifndef HBEAT_WIRE_SIZE     /* what one read takes beyond the record in hand: */
#define HBEAT_WIRE_SIZE 960 /* a usual reply, in one read; 256 at least */
#endif
#ifndef HBEAT_REPLY_BUFFER_SIZE /* a reply of the API is 450 bytes; the rest */
#define HBEAT_REPLY_BUFFER_SIZE 3072 /* is room for parameters */
#endif
#ifndef HBEAT_HEAD_MAX /* a reply's heads, chunk sizes and trailers in all: */
#define HBEAT_HEAD_MAX 32768 /* twice what common servers let through */
#endif
#ifndef HBEAT_HANDSHAKE_MAX /* what a server may send before the first byte */
#define HBEAT_HANDSHAKE_MAX 32768 /* of a reply: eight RSA-4096 certificates */
#endif
#ifndef HBEAT_EXPLAIN_SIZE /* a host name and a sentence around it */
#define HBEAT_EXPLAIN_SIZE 192
#endif
#define HBEAT_JSON_DEPTH 64 /* arrays and objects in each other: one bit each */

#ifndef HBEAT_NO_NET
/* One whole TLS record, which every server may send, and the wire. */
#define HBEAT_TLS_BUFFER_SIZE (BR_SSL_BUFSIZE_MONO + HBEAT_WIRE_SIZE)
/* 12 KiB less, and the least there is.  Asks for records of at most 4 KiB (RFC
 * 6066 section 4).  OpenSSL, nginx with it, and BearSSL comply.  GnuTLS 3.7
 * says so and does not; Go and NSS ignore it; BoringSSL (the CDNs of Cloudflare
 * and Google), rustls and Schannel are said to.  There an encrypted record of
 * more than 4 KiB is HBEAT_ERR_TOO_BIG. */
#define HBEAT_TLS_BUFFER_SMALL (4096 + 325 + HBEAT_WIRE_SIZE)
/* A TLS session as bytes. */
#define HBEAT_SESSION_SIZE (8 + sizeof(br_ssl_session_parameters) + 32)
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
    HBEAT_ERR_CERT_NAME,  /* it is for another name: a captive portal, a typo */
    HBEAT_ERR_CERT_TRUST, /* no anchor vouches for it: wrong CA, or a spy */
    HBEAT_ERR_CERT_TIME,  /* expired or not valid yet: look at the clock */
    HBEAT_ERR_TLS,        /* TLS failed otherwise: a middlebox, a broken peer */
    HBEAT_ERR_TRUNCATED,  /* the connection ended before the reply did */
    HBEAT_ERR_HTTP,       /* the reply breaks HTTP/1.1: a broken proxy */
    HBEAT_ERR_STATUS,     /* the status is not 2xx: see reply.http_status */
    HBEAT_ERR_REFUSED,    /* `success` is not true: see reply.message */
    HBEAT_ERR_JSON,       /* the body is not the API's JSON: a captive portal */
    HBEAT_ERR_TOO_BIG     /* a buffer is too small: the text says which */
} hbeat_error;

/* The error's name in lower case, as "cert-time"; never NULL. */
const char *hbeat_error_name(hbeat_error e);

/* ---- What goes in ----------------------------------------------------- */

/* All strings are NUL-terminated.  hbeat_init() keeps the pointers, not what
 * they point to: it stays in place, unchanged, until hbeat_close(). */
typedef struct hbeat_config {
    const char *device; /* the device's lcuid; RFC 3986 unreserved characters */
    const char *app;    /* the app's lcuid, for AppIdV3; visible ASCII */
    const char *token;  /* the Bearer token, of any length; visible ASCII */
    const char *host;   /* a DNS name, never an address: BearSSL cannot hold a
                           certificate against one.  NULL: api.lucit.app */
    uint16_t port;      /* of the host; 0: 443 */
#ifndef HBEAT_NO_NET
    const char *address;   /* IPv4 or IPv6 in figures, where the host is to be
                              reached.  NULL: its name is looked up */
    uint16_t address_port; /* TCP port that is connected to; 0: the host's */
    uint16_t proxy_port;   /* TCP port of the proxy; 0: 80 */
    const char *proxy;     /* for HTTP CONNECT, a name or an address in figures;
                              no `address` beside it.  NULL: none */
    const char *proxy_login; /* "user:password" for it, 255 bytes; or NULL */
    const char *hosts_path;  /* NULL: /etc/hosts */
    const char *resolv_path; /* NULL: /etc/resolv.conf */
    int64_t clock_floor_s;   /* Unix seconds that have surely passed, as of the
                                firmware's build.  Certificates are held against
                                the latest of this, the system's clock and the
                                server's last Date */
    uint32_t timeout_ms;     /* for a whole exchange, a day at most; 0: 30 s */
    const br_x509_trust_anchor *anchors; /* whom to trust: at least one */
    size_t anchor_count;
    void *tls_buffer; /* this client's, HBEAT_TLS_BUFFER_SIZE bytes */
    size_t tls_buffer_size;
#endif
    char *reply_buffer; /* one reply's body, whole, decoded in place */
    size_t reply_buffer_size;
} hbeat_config;

/* One heartbeat.  All of it stays in place until the exchange has ended. */
typedef struct hbeat_beat {
    const char *lightning_version;  /* the player's version; not empty */
    const char *const *device_info; /* facts for the dashboard, any number and
                              size; what is not UTF-8 goes out as U+FFFD */
    size_t device_info_count;       /* 0: the field is left out */
} hbeat_beat;

/* ---- What comes out --------------------------------------------------- */

/* A number that the server did not send, or that cannot be read. */
#define HBEAT_NONE INT64_MIN

/* One JSON value: a span of a text that was found to be JSON.  An array or an
 * object is its own cursor, see hbeat_json_next(). */
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

/* The instruction of a reply.  Names and status numbers that this version
 * does not know are handed on as they are.  Text is NUL-terminated UTF-8 in
 * the reply buffer; NULL where the server sent null or nothing.  Times are
 * Unix seconds beside the text that they were read from; HBEAT_NONE beside a
 * text means a form that this version cannot read: report, do not run. */
typedef struct hbeat_instruction {
    const char *name;      /* `instruction`, as "reload"; NULL: none waits */
    hbeat_json parameters; /* as it came, whatever its shape */
    const char *run_at;    /* NULL: now */
    int64_t run_at_s;
    int64_t status;    /* 0 pending, 1 sent, 2 acknowledged, or HBEAT_NONE */
    const char *lcuid; /* its own identifier: run what carries it only once */
    const char *created_at;
    int64_t created_at_s;
    const char *updated_at;
    int64_t updated_at_s;
} hbeat_instruction;

/* How the request got to the server. */
typedef enum hbeat_connection {
    HBEAT_CONNECTION_NONE, /* it did not */
    HBEAT_CONNECTION_NEW,
    HBEAT_CONNECTION_RESUMED, /* a new one, with a TLS session of before */
    HBEAT_CONNECTION_KEPT
} hbeat_connection;

/* What a reply held.  Written from the start of an exchange on, and kept
 * where the exchange fails: a status, a Retry-After or a Date that arrived
 * stays readable beside a body that was HTML, broken or too big.  Strings
 * live in the reply buffer until the next exchange starts. */
typedef struct hbeat_reply {
    int http_status; /* 0: no head arrived */
    bool success;    /* `success` was true; the same as HBEAT_OK */
    hbeat_connection connection;
    int64_t retry_after_s;  /* Retry-After in seconds from now, or HBEAT_NONE */
    int64_t server_time_s;  /* Date in Unix seconds, or HBEAT_NONE */
    int64_t clock_offset_s; /* server_time_s less the system's clock, to set it
                               by; HBEAT_NONE as that, or without the client */
    const char *message;    /* the server's own words on an error, or NULL */
    hbeat_instruction instruction;
} hbeat_reply;

/* ---- JSON (RFC 8259) -------------------------------------------------- */

/* Checks that `text` is one JSON document and nothing else, to the letter of
 * RFC 8259 and in UTF-8, and sets *value to it.  HBEAT_ERR_JSON: it is not.
 * HBEAT_ERR_TRUNCATED: it ends too early, and more text could complete it.
 * HBEAT_ERR_TOO_BIG: it nests deeper than HBEAT_JSON_DEPTH. */
hbeat_error hbeat_json_parse(const char *text, size_t size, hbeat_json *value);

/* Takes the next element off an array, or the next member off an object, and
 * says whether there was one.  *key (may be NULL) is the member's name, a
 * string, or HBEAT_JSON_NONE in an array.  To walk twice, copy the value.
 *
 *     hbeat_json rest = reply.instruction.parameters, item;
 *     while (hbeat_json_next(&rest, NULL, &item)) ... */
bool hbeat_json_next(hbeat_json *container, hbeat_json *key, hbeat_json *value);

/* Writes a string's text, unescaped and NUL-terminated, and returns its
 * length in bytes.  Where `size` is too small for text and NUL it writes ""
 * and returns the length all the same, as it does for `out` NULL, `size` 0.
 * U+0000 becomes U+FFFD, so that no string ends early.  For a value that is
 * no string the text is "". */
size_t hbeat_json_string(const hbeat_json *value, char *out, size_t size);

/* Reads a number times 10^decimals: 12.5 is 125 with 1, 1250 with 2.  What
 * is behind those decimals is cut off.  HBEAT_ERR_JSON: not a number, one with
 * an exponent, or with 0 decimals one with a fraction.  HBEAT_ERR_TOO_BIG: it
 * does not fit. */
hbeat_error hbeat_json_number(const hbeat_json *value, unsigned decimals,
                              int64_t *number);

/* ---- The codec: one exchange as bytes out, bytes in ------------------- */

/* One request and its reply, without a transport.  The client below drives
 * one of these over TLS; a host with its own HTTPS stack drives it alone
 * (examples/own_transport.c).  The members are the library's own, except
 * those described. */
typedef struct hbeat_exchange {
    uint64_t body_size; /* of the request, behind the empty line */
    const char *what;   /* after an error: the reason in a phrase, or NULL */
    bool keep_alive;    /* after the reply: the connection may be used again */
    const hbeat_config *cfg;
    const hbeat_beat *beat;
    hbeat_reply *reply;
    const char *host; /* without a trailing dot: host_size bytes */
    size_t host_size;
    size_t piece, offset; /* the request: where the next byte comes from */
    int state;            /* the reply: what the next byte is part of */
    uint32_t head_left;   /* bytes that heads and trailers may still take */
    uint64_t left;        /* bytes of the body or chunk to come */
    size_t received;      /* bytes of the body in the reply buffer */
    int64_t retry_date_s; /* a Retry-After that was a date */
    bool http10, sized, chunked, closes, trailers, after_cr, tunnel;
    uint8_t line_size;
    char line[96];            /* of the head, as much as matters of each */
    char port[8], length[24]; /* text of the request's numbers */
} hbeat_exchange;

/* Begins a heartbeat.  `cfg` (the first five members and the reply buffer),
 * `beat` and `reply` stay in place until the exchange has ended.  Returns
 * HBEAT_OK, or HBEAT_ERR_ARGUMENT with the reason in x->what. */
hbeat_error hbeat_begin_beat(hbeat_exchange *x, const hbeat_config *cfg,
                             const hbeat_beat *beat, hbeat_reply *reply);

/* Writes the next bytes of the request to `out` and returns their number; 0
 * once all are out.  `size` is 16 or more; a return below it is not the end. */
size_t hbeat_pull(hbeat_exchange *x, void *out, size_t size);

/* Takes bytes that arrived, and sets *used to how many belong to this reply.
 * A `size` of 0 says that the connection was ended in good order (a TLS
 * close_notify); a connection that merely broke off must not be reported so.
 * HBEAT_AGAIN: more is to come.  Anything else ends the exchange: HBEAT_OK
 * with *reply complete, or _TRUNCATED, _HTTP, _STATUS, _REFUSED, _JSON or
 * _TOO_BIG (reply_buffer_size); afterwards _ARGUMENT. */
hbeat_error hbeat_push(hbeat_exchange *x, const void *in, size_t size,
                       size_t *used);

/* Decodes a reply's body in place, for a host that did the HTTP itself.  It
 * keeps reply->http_status (0 counts as 200), retry_after_s and server_time_s,
 * which the caller has set, and sets the rest.  HBEAT_OK, _STATUS, _REFUSED or
 * _JSON, with the reason or NULL in *what. */
hbeat_error hbeat_decode(hbeat_reply *reply, char *body, size_t body_size,
                         const char **what);

#ifndef HBEAT_NO_NET
/* ---- Trust anchors ---------------------------------------------------- */

/* Adds anchors from a whole PEM text, such as a file or the system's bundle.
 * Set the first two members and zero the rest; more texts may follow.  The
 * arena holds the anchors from then on: it must outlive the clients.  A root
 * takes about 500 bytes, of which the key is the most; the bundle of Debian 12
 * (150 roots) takes 73 KiB, and 4 KiB more while it loads.
 *
 * What is no certificate, or one that BearSSL cannot use (RSA below 2,048 or
 * above 4,096 bits, a curve other than P-256, P-384, P-521), is skipped and
 * counted.  HBEAT_ERR_TOO_BIG: the arena is full; the list is what fitted.
 * HBEAT_ERR_TRUNCATED: the text stops inside a certificate.
 * HBEAT_ERR_CERT_TRUST: there is no anchor at all. */
typedef struct hbeat_anchors {
    void *arena;
    size_t arena_size;
    br_x509_trust_anchor *list; /* in the arena; for config.anchors */
    size_t count;
    size_t skipped;
    size_t used; /* private: bytes at the arena's end */
} hbeat_anchors;

hbeat_error hbeat_anchors_pem(hbeat_anchors *a, const void *pem, size_t size);

/* ---- The client ------------------------------------------------------- */

/* Where a name is to be reached: IPv6 from the front, IPv4 from the back. */
typedef struct hbeat_addresses {
    unsigned char list[8][16], preferred[16];
    uint8_t v6_count, v4_count;
    uint32_t ttl_s;
    int64_t expires_ms;
} hbeat_addresses;

/* What was seen of the server's certificates. */
typedef struct hbeat_look {
    int64_t not_before_s, leaf_until_s;
    uint8_t certificates;
    bool dated, for_others;
    unsigned char window[36]; /* the longest pair of dates */
} hbeat_look;

/* Opaque by convention; here so that the caller can place it.  It points into
 * itself: once initialised it must not be moved or copied. */
typedef struct hbeat_client {
    hbeat_config cfg;
    hbeat_exchange x;
    br_ssl_client_context tls;
    br_x509_minimal_context x509;
    br_x509_class x509_class;
    br_name_element leaf;
    hbeat_look look;
    hbeat_addresses addresses;
    int state;
    int fd;
    int64_t deadline_ms;
    int64_t until_ms;      /* when what is now tried is given up */
    int64_t session_s;     /* when the session was made */
    int64_t server_lead_s; /* the server's time less that of CLOCK_MONOTONIC */
    hbeat_error error;
    const char *what; /* the reason of the error ... */
    int code;         /* ... and its errno, BearSSL code or HTTP status */
    hbeat_connection connection;
    bool kept;           /* this exchange began on a connection of the last */
    bool answered;       /* the reply has begun */
    bool resumable;      /* the engine has a session to offer */
    bool missing;        /* a nameserver says that the name does not exist */
    uint8_t clock;       /* which one certificates are held against */
    uint8_t turn, tries; /* of the addresses, of the nameservers */
    uint8_t wanted, unheard; /* families to ask for; to wait for */
    bool over_tcp, cut;      /* how they are asked for; TCP has to */
    uint16_t ids[2];
    uint32_t wire_at, wire_end; /* input not yet taken */
    uint32_t out_at, out_end;   /* output that was put together */
    uint32_t heard;             /* bytes of the handshake received */
    char explain[HBEAT_EXPLAIN_SIZE];
} hbeat_client;

/* What an exchange waits for: poll(2) `fd` for `events`, then step. */
typedef struct hbeat_wait {
    int fd;         /* -1: nothing to wait for, step at once */
    short events;   /* POLLIN or POLLOUT */
    int timeout_ms; /* until something is given up: step then, too */
} hbeat_wait;

/* Checks the configuration and prepares a client; nothing is sent yet.
 * HBEAT_ERR_ARGUMENT: hbeat_explain() names the member.  A server's certificate
 * must have the host in its subjectAltName (RFC 9525), and be for servers.
 * Revocation, and name constraints that are not critical, are not looked at. */
hbeat_error hbeat_init(hbeat_client *c, const hbeat_config *cfg);

/* Sends one heartbeat and waits for its reply: HBEAT_OK with *reply filled
 * in, or an error within timeout_ms.  The connection is kept for the next
 * one where the server allows it; when it has died in between it is replaced,
 * once and unseen.  This is hbeat_start_beat(), then hbeat_step() and poll(2)
 * by turns.
 *
 * A name is looked up in the hosts file, else with the nameservers of
 * resolv.conf, both read anew each time; its addresses are kept for as long
 * as the answer says.  Up to eight are tried, the last one that worked first,
 * then IPv6 and IPv4 by turns, each for its share of the time that is left. */
hbeat_error hbeat_send(hbeat_client *c, const hbeat_beat *beat,
                       hbeat_reply *reply);

/* Starts a heartbeat without waiting; its deadline runs from here.  `beat`
 * and `reply` stay in place until it has ended.  An exchange still under way
 * is given up.  HBEAT_OK or HBEAT_ERR_ARGUMENT. */
hbeat_error hbeat_start_beat(hbeat_client *c, const hbeat_beat *beat,
                             hbeat_reply *reply);

/* Moves the exchange on as far as it goes without waiting: HBEAT_AGAIN until
 * it has ended, then HBEAT_OK or its error, which sticks until the next
 * start.  One step makes one read and one write at most; the one that looks a
 * name up reads the two files as well. */
hbeat_error hbeat_step(hbeat_client *c);

/* What the exchange waits for.  An idle client waits for nothing. */
hbeat_wait hbeat_wants(const hbeat_client *c);

/* The last outcome in one line for the operator, with the raw errno, BearSSL
 * code or HTTP status in it, and never a secret: «the certificate of
 * api.lucit.app is not valid yet: the system's clock says 1970-01-01 (BearSSL
 * 54)».  Valid until the next call with this client. */
const char *hbeat_explain(hbeat_client *c);

/* A TLS session spares the next process most of the handshake: 1.5 million
 * instructions instead of 27.  _save() writes the last one, if there is one
 * that is still good; its bytes are a secret like the token.  _load(), before
 * the first heartbeat, says whether they will be offered to the server: not
 * those of another host or other anchors, nor what is damaged or older than a
 * day.  What the server forgot costs nothing but the full handshake. */
bool hbeat_session_save(const hbeat_client *c,
                        unsigned char out[HBEAT_SESSION_SIZE]);
bool hbeat_session_load(hbeat_client *c, const void *in, size_t size);

/* Ends the connection, with a close_notify where that needs no waiting, and
 * wipes the client and its TLS buffer.  hbeat_init() makes it usable again. */
void hbeat_close(hbeat_client *c);
#endif

#ifdef __cplusplus
}
#endif
#endif
