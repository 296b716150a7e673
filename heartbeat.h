/*
 * heartbeat - tells the Lucit API, over HTTPS, that a digital-signage player
 * is alive, and hands back the remote instruction in the reply.
 *
 * Copy heartbeat.h and heartbeat.c into the firmware tree and link BearSSL.
 * Nothing is ever allocated: all memory is the caller's, so place the big
 * structures in static storage; the stack needs 6 KiB.  Any number of clients
 * may run in any number of threads, one thread to a client at a time.
 *
 *     static unsigned char tls[HBEAT_TLS_BUFFER_SIZE];
 *     static char body[HBEAT_REPLY_BUFFER_SIZE];
 *     static hbeat_client client;
 *
 *     hbeat_config cfg = {.device = "LCUID-LD-...", .app = "LCUID-LAP-...",
 *         .token = token, .address = "192.0.2.10",
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
 * RFC numbers name the source of a rule; "the API" is the Lucit V3 API.
 */
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

/*
 * Sizes in bytes.  Each may be set on the compiler's command line, the same
 * for heartbeat.c and for all who include this header.
 */
#ifndef HBEAT_WIRE_SIZE /* what one read takes beyond the record in hand: */
#define HBEAT_WIRE_SIZE 1024 /* a usual reply, so that it needs one read */
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
#endif

/* ---- Errors ----------------------------------------------------------- */

/* Each value asks the operator for something else. */
typedef enum hbeat_error {
    HBEAT_OK,
    HBEAT_AGAIN,           /* not done yet: wait as hbeat_wants() says */
    HBEAT_ERR_ARGUMENT,    /* a value of the caller's is missing or malformed */
    HBEAT_ERR_RESOLVE,     /* no address for the host: mend DNS or `address` */
    HBEAT_ERR_CONNECT,     /* nothing answers there: cable, route, firewall */
    HBEAT_ERR_PROXY,       /* the proxy refused: its address or password */
    HBEAT_ERR_TIMEOUT,     /* the deadline passed: slow net or silent server */
    HBEAT_ERR_TLS_VERSION, /* no TLS 1.2: the server must offer it */
    HBEAT_ERR_CERT_NAME,   /* the certificate is for another name: wrong host */
    HBEAT_ERR_CERT_TRUST,  /* no anchor vouches for it: wrong CA, or a spy */
    HBEAT_ERR_CERT_TIME,   /* expired or not valid yet: look at the clock */
    HBEAT_ERR_TLS,       /* TLS failed otherwise: a middlebox, a broken peer */
    HBEAT_ERR_TRUNCATED, /* the connection ended before the reply did */
    HBEAT_ERR_HTTP,      /* the reply breaks HTTP/1.1: a broken proxy */
    HBEAT_ERR_STATUS,    /* the status is not 2xx: see reply.http_status */
    HBEAT_ERR_REFUSED,   /* `success` is not true: see reply.message */
    HBEAT_ERR_JSON,      /* the body is not the API's JSON: a captive portal */
    HBEAT_ERR_TOO_BIG    /* a buffer is too small: the text says which */
} hbeat_error;

/* The error's name in lower case, as "cert-time"; never NULL. */
const char *hbeat_error_name(hbeat_error e);

/* ---- What goes in ----------------------------------------------------- */

/*
 * All strings are NUL-terminated.  hbeat_init() keeps the pointers, not what
 * they point to: it stays in place, unchanged, until hbeat_close().
 */
typedef struct hbeat_config {
    const char *device; /* the device's lcuid; RFC 3986 unreserved characters */
    const char *app;    /* the app's lcuid, for AppIdV3; visible ASCII */
    const char *token;  /* the Bearer token, of any length; visible ASCII */
    const char *host;   /* a DNS name, never an address: BearSSL cannot hold a
                           certificate against one.  NULL: api.lucit.app */
    uint16_t port;      /* of the host; 0: 443 */
#ifndef HBEAT_NO_NET
    const char *address;   /* IPv4 or IPv6 in figures, where the host is to be
                              reached.  NULL fails with HBEAT_ERR_RESOLVE */
    uint16_t address_port; /* TCP port at the address; 0: the host's */
    uint32_t timeout_ms;   /* for one whole exchange, a day at most; 0: 30 s */
    const br_x509_trust_anchor *anchors; /* whom to trust: at least one */
    size_t anchor_count;
    void *tls_buffer; /* HBEAT_TLS_BUFFER_SIZE bytes or more, this client's */
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

/*
 * One JSON value: a span of a text that was found to be JSON.  An array or an
 * object is its own cursor, see hbeat_json_next().
 */
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

/*
 * The instruction of a reply.  Names and status numbers that this version
 * does not know are handed on as they are.  Text is NUL-terminated UTF-8 in
 * the reply buffer; NULL where the server sent null or nothing.  Times are
 * Unix seconds beside the text that they were read from; HBEAT_NONE beside a
 * text means a form that this version cannot read: report, do not run.
 */
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

/*
 * What a reply held.  Written from the start of an exchange on, and kept
 * where the exchange fails: a status, a Retry-After or a Date that arrived
 * stays readable beside a body that was HTML, broken or too big.  Strings
 * live in the reply buffer until the next exchange starts.
 */
typedef struct hbeat_reply {
    int http_status;       /* 0: no head arrived */
    bool success;          /* `success` was true; the same as HBEAT_OK */
    int64_t retry_after_s; /* Retry-After in seconds from now, or HBEAT_NONE */
    int64_t server_time_s; /* Date in Unix seconds, or HBEAT_NONE */
    const char *message;   /* the server's own words on an error, or NULL */
    hbeat_instruction instruction;
} hbeat_reply;

/* ---- JSON (RFC 8259) -------------------------------------------------- */

/*
 * Checks that `text` is one JSON document and nothing else, to the letter of
 * RFC 8259 and in UTF-8, and sets *value to it.  HBEAT_ERR_JSON: it is not.
 * HBEAT_ERR_TRUNCATED: it ends too early, and more text could complete it.
 * HBEAT_ERR_TOO_BIG: it nests deeper than HBEAT_JSON_DEPTH.
 */
hbeat_error hbeat_json_parse(const char *text, size_t size, hbeat_json *value);

/*
 * Takes the next element off an array, or the next member off an object, and
 * says whether there was one.  *key (may be NULL) is the member's name, a
 * string, or HBEAT_JSON_NONE in an array.  To walk twice, copy the value.
 *
 *     hbeat_json rest = reply.instruction.parameters, item;
 *     while (hbeat_json_next(&rest, NULL, &item)) ...
 */
bool hbeat_json_next(hbeat_json *container, hbeat_json *key, hbeat_json *value);

/*
 * Writes a string's text, unescaped and NUL-terminated, and returns its
 * length in bytes.  Where `size` is too small for text and NUL it writes ""
 * and returns the length all the same, as it does for `out` NULL, `size` 0.
 * U+0000 becomes U+FFFD, so that no string ends early.  For a value that is
 * no string the text is "".
 */
size_t hbeat_json_string(const hbeat_json *value, char *out, size_t size);

/*
 * Reads a number.  HBEAT_ERR_JSON: not a number, or for _integer one with a
 * fraction or an exponent.  HBEAT_ERR_TOO_BIG: it does not fit the type.
 * _double rounds to nearest, whatever the locale.
 */
hbeat_error hbeat_json_integer(const hbeat_json *value, int64_t *number);
hbeat_error hbeat_json_double(const hbeat_json *value, double *number);

/* ---- The codec: one exchange as bytes out, bytes in ------------------- */

/*
 * One request and its reply, without a transport.  The client below drives
 * one of these over TLS; a host with its own HTTPS stack drives it alone
 * (examples/own_transport.c).  The members are the library's own, except
 * those described.
 */
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
    bool http10, sized, chunked, closes, trailers, digits, after_cr;
    uint8_t name_size, value_size;
    char name[20], value[64]; /* of the field in hand; full means too long */
    char port[8], length[24]; /* text of the request's numbers */
} hbeat_exchange;

/*
 * Begins a heartbeat.  `cfg` (the first five members and the reply buffer),
 * `beat` and `reply` stay in place until the exchange has ended.  Returns
 * HBEAT_OK, or HBEAT_ERR_ARGUMENT with the reason in x->what.
 */
hbeat_error hbeat_begin_beat(hbeat_exchange *x, const hbeat_config *cfg,
                             const hbeat_beat *beat, hbeat_reply *reply);

/*
 * Writes the next bytes of the request to `out` and returns their number; 0
 * once all are out.  `size` is 16 or more; a return below it is not the end.
 */
size_t hbeat_pull(hbeat_exchange *x, void *out, size_t size);

/*
 * Takes bytes that arrived, and sets *used to how many belong to this reply.
 * A `size` of 0 says that the connection was ended in good order (a TLS
 * close_notify); a connection that merely broke off must not be reported so.
 * HBEAT_AGAIN: more is to come.  Anything else ends the exchange: HBEAT_OK
 * with *reply complete, or _TRUNCATED, _HTTP, _STATUS, _REFUSED, _JSON or
 * _TOO_BIG (reply_buffer_size); afterwards _ARGUMENT.
 */
hbeat_error hbeat_push(hbeat_exchange *x, const void *in, size_t size,
                       size_t *used);

/*
 * Decodes a reply's body in place, for a host that did the HTTP itself.  It
 * keeps reply->http_status (0 counts as 200), retry_after_s and server_time_s,
 * which the caller has set, and sets the rest.  HBEAT_OK, _STATUS, _REFUSED or
 * _JSON, with the reason or NULL in *what.
 */
hbeat_error hbeat_decode(hbeat_reply *reply, char *body, size_t body_size,
                         const char **what);

#ifndef HBEAT_NO_NET
/* ---- Trust anchors ---------------------------------------------------- */

/*
 * Makes anchors of PEM text.  Set the first two members, zero the rest, hand
 * the text over in pieces of any size, and at its end call once with `size`
 * 0.  The arena holds the anchors from then on: it must outlive the clients.
 * A root takes about 500 bytes, of which the key is the most; the bundle of
 * Debian 12 (150 roots) takes 73 KiB.  While it loads, 2 KiB more are needed
 * for the certificate in hand.
 *
 * What is no certificate, or one that BearSSL cannot use (RSA below 2,048 or
 * above 4,096 bits, a curve other than P-256, P-384, P-521), is skipped and
 * counted.  HBEAT_ERR_TOO_BIG: the arena is full; the list is what fitted.
 * At the end also HBEAT_ERR_TRUNCATED: the text stops inside a certificate,
 * and HBEAT_ERR_CERT_TRUST: there is no anchor at all.
 */
typedef struct hbeat_anchors {
    void *arena;
    size_t arena_size;
    br_x509_trust_anchor *list; /* in the arena; for config.anchors */
    size_t count;
    size_t skipped;
    size_t top;      /* private from here: where names and keys begin */
    size_t der_size; /* bytes of the certificate in hand */
    uint32_t bits;   /* base64 digits not yet made bytes ... */
    uint8_t digits;  /* ... and how many */
    uint8_t padding; /* '=' seen at the end */
    uint8_t state;
    uint8_t matched; /* characters of a BEGIN or END line seen */
    hbeat_error error;
} hbeat_anchors;

hbeat_error hbeat_anchors_pem(hbeat_anchors *a, const void *pem, size_t size);

/* ---- The client ------------------------------------------------------- */

/*
 * Opaque by convention; here so that the caller can place it.  It points into
 * itself: once initialised it must not be moved or copied.
 */
typedef struct hbeat_client {
    hbeat_config cfg;
    hbeat_exchange x;
    br_ssl_client_context tls;
    br_x509_minimal_context x509;
    int state;
    int fd;
    int64_t deadline_ms;
    hbeat_error error;
    const char *what; /* the reason of the error ... */
    int code;         /* ... and its errno, BearSSL code or HTTP status */
    bool kept;        /* this exchange began on a connection of the last */
    bool answered;    /* the reply has begun */
    uint32_t heard;   /* bytes of the handshake received */
    uint16_t wire_at, wire_end; /* input not yet fed to the engine */
    uint16_t out_at, out_end;   /* small records that go out together */
    unsigned char out[208];
    char explain[HBEAT_EXPLAIN_SIZE];
} hbeat_client;

/* What an exchange waits for: poll(2) `fd` for `events`, then step. */
typedef struct hbeat_wait {
    int fd;         /* -1: nothing to wait for, step at once */
    short events;   /* POLLIN or POLLOUT */
    int timeout_ms; /* until the deadline: step then, too */
} hbeat_wait;

/*
 * Checks the configuration and prepares a client; nothing is sent yet.
 * HBEAT_ERR_ARGUMENT: hbeat_explain() names the member.
 */
hbeat_error hbeat_init(hbeat_client *c, const hbeat_config *cfg);

/*
 * Sends one heartbeat and waits for its reply: HBEAT_OK with *reply filled
 * in, or an error within timeout_ms.  The connection is kept for the next
 * one where the server allows it; when it has died in between it is replaced,
 * once and unseen.  This is hbeat_start_beat(), then hbeat_step() and poll(2)
 * by turns.
 */
hbeat_error hbeat_send(hbeat_client *c, const hbeat_beat *beat,
                       hbeat_reply *reply);

/*
 * Starts a heartbeat without waiting; its deadline runs from here.  `beat`
 * and `reply` stay in place until it has ended.  An exchange still under way
 * is given up.  HBEAT_OK or HBEAT_ERR_ARGUMENT.
 */
hbeat_error hbeat_start_beat(hbeat_client *c, const hbeat_beat *beat,
                             hbeat_reply *reply);

/*
 * Moves the exchange on as far as it goes without waiting: HBEAT_AGAIN until
 * it has ended, then HBEAT_OK or its error, which sticks until the next
 * start.  One step makes one read and one write at most.
 */
hbeat_error hbeat_step(hbeat_client *c);

/* What the exchange waits for.  An idle client waits for nothing. */
hbeat_wait hbeat_wants(const hbeat_client *c);

/*
 * The last outcome in one line for the operator, with the raw errno, BearSSL
 * code or HTTP status in it, and never a secret: «the certificate of
 * api.lucit.app is not valid today: expired or not valid yet, while the clock
 * says 1970-01-01 (BearSSL 54)».  Valid until the next call with this client.
 */
const char *hbeat_explain(hbeat_client *c);

/*
 * Ends the connection, with a close_notify where that needs no waiting, and
 * wipes the client and its TLS buffer.  hbeat_init() makes it usable again.
 */
void hbeat_close(hbeat_client *c);
#endif

#ifdef __cplusplus
}
#endif
#endif
