/* SPDX-License-Identifier: MIT */

/* heartbeat - tells the Lucit API, over HTTPS, that a digital-signage player
 * is alive, hands back the remote instruction in the reply, and reports what
 * became of it.
 *
 * Copy heartbeat.h and heartbeat.c into the firmware tree, compile heartbeat.c
 * with the rest (C99, POSIX.1-2008) and link BearSSL 0.6.  One heartbeat:
 *
 *     static unsigned char tls[HBEAT_TLS_BUFFER_SIZE], arena[8192];
 *     static char body[HBEAT_REPLY_BUFFER_SIZE];
 *     static hbeat_client client;
 *
 *     hbeat_anchors anchors = {.arena = arena, .arena_size = sizeof arena};
 *     hbeat_anchors_pem(&anchors, roots, roots_size);
 *     hbeat_config cfg = {.device = "LCUID-LD-...", .app = "LCUID-LAP-...",
 *         .token = token,
 *         .anchors = anchors.list, .anchor_count = anchors.count,
 *         .tls_buffer = tls, .tls_buffer_size = sizeof tls,
 *         .reply_buffer = body, .reply_buffer_size = sizeof body};
 *     hbeat_request beat = {.lightning_version = "4.2.1"};
 *     hbeat_reply reply;
 *     hbeat_error e = hbeat_init(&client, &cfg);
 *     if (e == HBEAT_OK) e = hbeat_send(&client, &beat, &reply);
 *     if (e != HBEAT_OK) fprintf(stderr, "%s\n", hbeat_explain(&client));
 *     else if (reply.instruction.name) puts(reply.instruction.name);
 *     hbeat_close(&client);
 *
 * `roots` is the text of a PEM file: the roots that the firmware trusts.  The
 * complete program is examples/once.c.
 *
 * Memory: the library never allocates.  It works in memory of the caller's,
 * best in static storage, and no call takes more than 8 KiB of stack, or 9 KiB
 * with a BearSSL newer than 0.6.  Threads: there are no globals but constants.
 * Any number of clients may run in any number of threads, as long as no two
 * threads use the same client at the same time.  The process around it: no
 * SIGPIPE is raised, no signal handler is touched, and a program that is
 * executed inherits no descriptor.
 *
 * A member of a structure that is left zero has a good default, unless its
 * comment says that it is required.
 *
 * Define HBEAT_NO_NET for every file to leave out sockets, TLS and the client.
 * What remains needs nothing but C99; it is for a program that has an HTTPS
 * stack of its own.  "The API" is the Lucit V3 API; RFC numbers name the source
 * of a rule. */
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

/* ---- Version ----------------------------------------------------------- */

#define HBEAT_VERSION "0.5.0"
#define HBEAT_VERSION_NUMBER 500 /* two decimal digits a part: MMmmpp */

/* ---- Sizes, in bytes where no other unit is named ---------------------- */

/* A good size for config.reply_buffer: the body of a reply usually has 270
 * bytes; the rest is room for the parameters of an instruction. */
#define HBEAT_REPLY_BUFFER_SIZE 3072

/* The end of the TLS buffer: room for what one read takes beyond the current
 * record. */
#define HBEAT_WIRE_SIZE 960

/* The most that the lines of a reply may take together: heads, chunk sizes,
 * trailers, and the head of a proxy's reply before it.  Beyond it:
 * HBEAT_ERR_HTTP. */
#define HBEAT_HEAD_MAX 32768

/* The most that a server may send in a TLS handshake: room for 8 certificates
 * of RSA-4096.  Beyond it: HBEAT_ERR_TLS. */
#define HBEAT_HANDSHAKE_MAX 32768

/* The longest text of hbeat_explain(), with its NUL. */
#define HBEAT_EXPLAIN_SIZE 272

/* How deep arrays and objects may nest in a JSON text; at most 64, because the
 * parser keeps a bit for each level. */
#define HBEAT_JSON_DEPTH 64

/* What hbeat_memory holds: one instruction of the largest size, or sixteen of
 * 400 bytes, or more that are shorter. */
#define HBEAT_MEMORY_SIZE 8192

/* The longest instruction, as bytes of its name and its parameters; and the
 * longest report, as bytes of its message and its response_data. */
#define HBEAT_INSTRUCTION_MAX 4000

/* So many of the youngest instructions are remembered, whatever their size. */
#define HBEAT_MEMORY_RECORDS 16

#ifndef HBEAT_NO_NET
/* A TLS buffer for any server: one whole TLS record, and room to read ahead. */
#define HBEAT_TLS_BUFFER_SIZE (BR_SSL_BUFSIZE_MONO + HBEAT_WIRE_SIZE)

/* The smallest TLS buffer, 12 KiB smaller.  With it the client asks the server
 * for records of at most 4 KiB (RFC 6066 section 4).  OpenSSL, nginx and
 * BearSSL comply; GnuTLS 3.7, Go and NSS do not, and BoringSSL (used by CDNs),
 * rustls and Schannel are said not to.  If the server sends a larger record,
 * the exchange fails with HBEAT_ERR_TOO_BIG. */
#define HBEAT_TLS_BUFFER_SMALL (4096 + 325 + HBEAT_WIRE_SIZE)

/* A saved TLS session: two times, an address, BearSSL's parameters, a SHA-256
 * digest. */
#define HBEAT_SESSION_SIZE (32 + sizeof(br_ssl_session_parameters) + 32)
#endif

/* ---- Names for the linker ---------------------------------------------- */

/* The structures below have another layout in another version of this header,
 * and with HBEAT_NO_NET.  Files that disagree must not link: so every call's
 * symbol names both, and hbeat_send() is hbeat_send_500_net to the linker and
 * the debugger. */
#define HBEAT_SYMBOL(call) HBEAT_PASTE(call, HBEAT_VERSION_NUMBER)
#define HBEAT_PASTE(call, version) HBEAT_PASTE_TOKENS(call, version)
#ifdef HBEAT_NO_NET
#define HBEAT_PASTE_TOKENS(call, version) call##version##_codec
#else
#define HBEAT_PASTE_TOKENS(call, version) call##version##_net
#endif

#define hbeat_error_name HBEAT_SYMBOL(hbeat_error_name_)
#define hbeat_json_parse HBEAT_SYMBOL(hbeat_json_parse_)
#define hbeat_json_next HBEAT_SYMBOL(hbeat_json_next_)
#define hbeat_json_string HBEAT_SYMBOL(hbeat_json_string_)
#define hbeat_json_number HBEAT_SYMBOL(hbeat_json_number_)
#define hbeat_begin HBEAT_SYMBOL(hbeat_begin_)
#define hbeat_pull HBEAT_SYMBOL(hbeat_pull_)
#define hbeat_push HBEAT_SYMBOL(hbeat_push_)
#define hbeat_decode HBEAT_SYMBOL(hbeat_decode_)
#define hbeat_anchors_pem HBEAT_SYMBOL(hbeat_anchors_pem_)
#define hbeat_init HBEAT_SYMBOL(hbeat_init_)
#define hbeat_send HBEAT_SYMBOL(hbeat_send_)
#define hbeat_start HBEAT_SYMBOL(hbeat_start_)
#define hbeat_step HBEAT_SYMBOL(hbeat_step_)
#define hbeat_wants HBEAT_SYMBOL(hbeat_wants_)
#define hbeat_explain HBEAT_SYMBOL(hbeat_explain_)
#define hbeat_session_save HBEAT_SYMBOL(hbeat_session_save_)
#define hbeat_session_load HBEAT_SYMBOL(hbeat_session_load_)
#define hbeat_close HBEAT_SYMBOL(hbeat_close_)
#define hbeat_memory_load HBEAT_SYMBOL(hbeat_memory_load_)
#define hbeat_memory_merge HBEAT_SYMBOL(hbeat_memory_merge_)
#define hbeat_memory_learn HBEAT_SYMBOL(hbeat_memory_learn_)
#define hbeat_memory_due HBEAT_SYMBOL(hbeat_memory_due_)
#define hbeat_memory_end HBEAT_SYMBOL(hbeat_memory_end_)
#define hbeat_memory_report HBEAT_SYMBOL(hbeat_memory_report_)
#define hbeat_next_ms HBEAT_SYMBOL(hbeat_next_ms_)

/* ---- Errors ------------------------------------------------------------ */

/* Each error calls for another action by the operator. */
typedef enum hbeat_error {
  HBEAT_OK,
  HBEAT_AGAIN,           /* not done yet: step, or push, again */
  HBEAT_ERR_ARGUMENT,    /* a value from the caller is missing or malformed */
  HBEAT_ERR_RESOLVE,     /* no address for the name: check it, and the DNS */
  HBEAT_ERR_CONNECT,     /* no connection: check cable, route, firewall */
  HBEAT_ERR_PROXY,       /* the proxy refused: see reply.http_status */
  HBEAT_ERR_TIMEOUT,     /* no reply in time: slow network or silent server */
  HBEAT_ERR_TLS_VERSION, /* no TLS 1.2: the server must offer it */
  HBEAT_ERR_CERT_NAME,   /* certificate of another name: captive portal, typo */
  HBEAT_ERR_CERT_TRUST,  /* certificate not trusted: wrong roots, interceptor */
  HBEAT_ERR_CERT_TIME,   /* certificate not valid at this time: check clocks */
  HBEAT_ERR_TLS,         /* otherwise: middlebox, broken peer, no random bits */
  HBEAT_ERR_TRUNCATED,   /* the connection ended before the reply did */
  HBEAT_ERR_HTTP,        /* the reply is not HTTP/1.1: a broken proxy */
  HBEAT_ERR_STATUS,      /* the status is not 2xx: see reply.http_status */
  HBEAT_ERR_REFUSED,     /* `success` is not true: see reply.message */
  HBEAT_ERR_JSON,        /* the body is not the API's JSON: captive portal */
  HBEAT_ERR_TOO_BIG,     /* a buffer is too small: the text says which */
  HBEAT_ERR_MEMORY       /* stored memory: torn write, or another version */
} hbeat_error;

/* Returns the name of an error in lower case, such as "cert-time", or "unknown"
 * if there is no such error.  Never NULL. */
const char *hbeat_error_name(hbeat_error e);

/* ---- What goes in ------------------------------------------------------ */

/* Who the device is, and how it reaches the server.  All strings are
 * NUL-terminated.
 *
 * hbeat_init() copies the structure, but not what it points to: that must stay
 * unchanged until hbeat_close().  Only the bytes of the token may change,
 * between exchanges.  hbeat_begin() copies nothing. */
typedef struct hbeat_config {
  /* The device's lcuid.  Required; letters, digits and -._~ only, the
   * unreserved characters of RFC 3986 section 2.3. */
  const char *device;

  /* The app's lcuid, sent as AppIdV3.  Required; visible ASCII. */
  const char *app;

  /* The Bearer token.  Required, except for a log-in; visible ASCII.  Where the
   * server answers 401 it is yours to send HBEAT_LOGIN, and to put here the
   * token that comes. */
  const char *token;

  /* The server's DNS name; its certificate must be for that name.  No IP
   * address.  NULL: api.lucit.app. */
  const char *host;

  /* The server's port, which goes into the Host field.  0: 443. */
  uint16_t port;

  /* Memory for the body of one reply, which is decoded in place.  Required;
   * HBEAT_REPLY_BUFFER_SIZE is a good size.  hbeat_close() wipes it only while
   * an exchange is under way; no token of a log-in stays there. */
  char *reply_buffer;
  size_t reply_buffer_size;

#ifndef HBEAT_NO_NET
  /* The port to connect to, if it is another one.  0: `port`. */
  uint16_t address_port;

  /* The proxy's port.  0: 80. */
  uint16_t proxy_port;

  /* A numeric IPv4 or IPv6 address to connect to.  NULL: look `host` up. */
  const char *address;

  /* The name or numeric address of an HTTP proxy to CONNECT through.  Not
   * together with `address`.  NULL: no proxy. */
  const char *proxy;

  /* "user:password" for the proxy, at most 255 bytes.  NULL: none. */
  const char *proxy_login;

  /* The paths of hosts(5) and resolv.conf(5).  NULL: those in /etc. */
  const char *hosts_path;
  const char *resolv_path;

  /* How long a whole exchange may take from hbeat_start() on, in milliseconds;
   * a day at most.  0: 30,000. */
  uint32_t timeout_ms;

  /* A time that is certainly past, such as the build of the firmware, in Unix
   * seconds: for a device whose clock starts in 1970.  The validity of
   * certificates is checked at the latest of this time, the system clock's, and
   * that of the server's last Date.  0: none. */
  int64_t clock_floor_s;

  /* The system clock is right: somebody has set it, such as NTP.  Then a saved
   * TLS session that comes from the future is not offered.  (A server's Date
   * says as much, later on.)  false: it may be wrong, or dead. */
  bool clock_is_set;

  /* The trusted roots, as hbeat_anchors_pem() makes them.  Required. */
  const br_x509_trust_anchor *anchors;
  size_t anchor_count;

  /* Memory for TLS records, with any alignment; no two clients may share it.
   * Required; its size is HBEAT_TLS_BUFFER_SIZE or HBEAT_TLS_BUFFER_SMALL (a
   * size between them gains nothing). */
  void *tls_buffer;
  size_t tls_buffer_size;
#endif
} hbeat_config;

/* The calls of the API. */
typedef enum hbeat_call {
  HBEAT_BEAT,        /* a heartbeat */
  HBEAT_ACKNOWLEDGE, /* a report: the instruction was carried out */
  HBEAT_FAILED,      /* a report: the instruction failed */
  HBEAT_LOGIN        /* asks for a new Bearer token */
} hbeat_call;

/* A request: the call, and the members that belong to that call.  All strings
 * are NUL-terminated.  They go out as UTF-8; bytes that are not valid UTF-8
 * become U+FFFD.  What the structure points to must stay unchanged until the
 * exchange has ended. */
typedef struct hbeat_request {
  hbeat_call call;

  /* HBEAT_BEAT: the version of the player's software.  Required; not empty. */
  const char *lightning_version;

  /* HBEAT_BEAT: facts about the device, any number of any size.  Count 0: the
   * field is left out. */
  const char *const *device_info;
  size_t device_info_count;

  /* HBEAT_ACKNOWLEDGE, HBEAT_FAILED: the instruction's lcuid.  Required;
   * unreserved characters of RFC 3986. */
  const char *instruction;

  /* HBEAT_FAILED: why.  NULL: the field is left out. */
  const char *message;

  /* HBEAT_ACKNOWLEDGE, HBEAT_FAILED: a JSON object, sent as it is.  NULL: the
   * field is left out. */
  const char *response_data;

  /* HBEAT_LOGIN: the API token and its secret.  Required; not empty. */
  const char *login_token;
  const char *login_secret;

  /* HBEAT_LOGIN: memory for the new token and its NUL.  Required; today's
   * tokens take 1,100 bytes.  It is written only if the outcome is HBEAT_OK, so
   * that it may be the memory that config.token points to. */
  char *token_buffer;
  size_t token_buffer_size;
} hbeat_request;

/* ---- What comes out ---------------------------------------------------- */

/* Stands for a number that the server did not send, and for a time that cannot
 * be parsed. */
#define HBEAT_NONE INT64_MIN

/* The types of JSON values. */
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

/* A JSON value: the piece of text that it was parsed from.  hbeat_json_next()
 * takes elements off the front of an array or object. */
typedef struct hbeat_json {
  hbeat_json_type type;
  const char *text; /* not NUL-terminated; lives where it was parsed */
  size_t size;      /* in bytes; a string's quotes count */
} hbeat_json;

/* The instruction in a reply.  Texts are NUL-terminated UTF-8, and NULL where
 * the server sent null or nothing.  Times are Unix seconds beside their text;
 * HBEAT_NONE beside a text means that it cannot be read: the text is then what
 * came, of whatever type.  Names and numbers that this version does not know
 * are handed on as they are.  What cannot be read leaves the rest readable. */
typedef struct hbeat_instruction {
  /* What to do, as "reload".  NULL: no instruction waits, or it is
   * `unreadable`. */
  const char *name;

  /* One waits whose name cannot be read, or whose name or parameters come
   * twice: report it as failed, if it has an lcuid. */
  bool unreadable;

  /* Its parameters, whatever their type. */
  hbeat_json parameters;

  /* 0 pending, 1 sent, 2 acknowledged, or another; HBEAT_NONE: it did not come,
   * or is no integer. */
  int64_t status;

  /* The identifier of the instruction.  If the same one comes again it is the
   * same instruction: run it only once. */
  const char *lcuid;

  /* When to run it.  NULL with HBEAT_NONE: now.  A text with HBEAT_NONE cannot
   * be parsed: do not run the instruction, report it as failed. */
  const char *run_at;
  int64_t run_at_s;

  /* When it was made, and when it was last changed. */
  const char *created_at;
  int64_t created_at_s;
  const char *updated_at;
  int64_t updated_at_s;
} hbeat_instruction;

/* The connection that a request went over. */
typedef enum hbeat_connection {
  HBEAT_CONNECTION_NONE,    /* none: there was no connection to the server */
  HBEAT_CONNECTION_NEW,     /* a new one, after a full TLS handshake */
  HBEAT_CONNECTION_RESUMED, /* a new one, with an earlier TLS session */
  HBEAT_CONNECTION_KEPT     /* the one of the exchange before */
} hbeat_connection;

/* A reply.  If an exchange fails, what had arrived by then is still there: a
 * status, a Retry-After or a Date, even if the body is HTML, broken or too big.
 * Texts stand in the reply buffer, and are valid until the next exchange
 * starts. */
typedef struct hbeat_reply {
  /* The HTTP status; with HBEAT_ERR_PROXY it is the proxy's.  0: there was
   * none. */
  int http_status;

  /* Whether the outcome is HBEAT_OK: `success`, or the `ok` of a log-in, was
   * true, and the rest could be parsed. */
  bool success;

  /* Set by the client; HBEAT_CONNECTION_NONE from the codec. */
  hbeat_connection connection;

  /* Retry-After in seconds from now; HBEAT_NONE: there was none, or one that is
   * a date, and no Date to compare it with. */
  int64_t retry_after_s;

  /* Date in Unix seconds; HBEAT_NONE: there was none. */
  int64_t server_time_s;

  /* How many seconds the system's clock is slow: server_time_s minus its time;
   * negative if it is fast.  HBEAT_NONE from the codec, and if the Date is
   * later than the end of the server's own certificate: such a Date cannot be
   * right. */
  int64_t clock_offset_s;

  /* What the server says about an error; or NULL. */
  const char *message;

  /* The instruction for the device; its name is NULL if there is none. */
  hbeat_instruction instruction;
} hbeat_reply;

/* ---- JSON (RFC 8259) --------------------------------------------------- */

/* Checks that `size` bytes of text are one JSON document and nothing else, to
 * the letter of RFC 8259 and in UTF-8, and sets *value to it.  Half of a
 * surrogate pair, escaped as \u, is let through.
 *
 * HBEAT_OK: it is one.  Else *value is HBEAT_JSON_NONE:
 * HBEAT_ERR_JSON: no text that begins so can be one.
 * HBEAT_ERR_TRUNCATED: it ends early; more text could complete it.
 * HBEAT_ERR_TOO_BIG: it nests deeper than HBEAT_JSON_DEPTH. */
hbeat_error hbeat_json_parse(const char *text, size_t size, hbeat_json *value);

/* Takes the next element off an array, or the next member off an object, and
 * returns whether there was one.  *key (may be NULL) is set to the member's
 * name, a string, or to HBEAT_JSON_NONE in an array.  To walk a container
 * twice, walk a copy of it first.  A value that is no container, or is
 * malformed, has no more elements.
 *
 * Each call reads all of the element that it takes: to walk a text down to its
 * innermost values takes its size times its depth. */
bool hbeat_json_next(hbeat_json *container, hbeat_json *key, hbeat_json *value);

/* Writes the text of a string to `out`, unescaped and NUL-terminated, and
 * returns its length in bytes, not counting the NUL.  If the length is `size`
 * or more the text does not fit: `out` is set to "", unless `size` is 0.
 * U+0000 becomes U+FFFD.  A value that is no string has the text "".  `out` may
 * be the memory in which the string stands.  In a value that no parser made, a
 * bad escape or a NUL becomes U+FFFD and ends the text. */
size_t hbeat_json_string(const hbeat_json *value, char *out, size_t size);

/* Sets *number to a number times 10^decimals: 12.5 with 2 decimals is 1250.
 * Further decimals are cut off, not rounded.  On an error *number is unchanged.
 *
 * HBEAT_ERR_JSON: it is no number, has an exponent, or has a fraction although
 * `decimals` is 0.  HBEAT_ERR_TOO_BIG: it does not fit *number. */
hbeat_error hbeat_json_number(
    const hbeat_json *value, unsigned decimals, int64_t *number);

/* ---- The codec: one exchange as bytes out, bytes in -------------------- */

/* One request and its reply, without a transport.  The client below sends and
 * receives the bytes over TLS.  A program with its own HTTPS stack does so
 * itself, as examples/own_transport.c does. */
typedef struct hbeat_exchange {
  /* For the caller: the size of the request's body, in bytes. */
  uint64_t body_size;

  /* For the caller: after an error the reason in a phrase, a constant; or
   * NULL. */
  const char *what;

  /* For the caller: after the reply, whether the connection may be used for
   * another exchange. */
  bool keep_alive;

  /* Private from here on. */
  const hbeat_config *cfg;
  const hbeat_request *request;
  hbeat_reply *reply;

  /* The reply, and how far it came. */
  struct {
    uint8_t state;          /* what the next byte is part of */
    bool tunnel;            /* it is a proxy's, to CONNECT */
    bool http10;            /* it is of HTTP/1.0 */
    bool closes;            /* its Connection says close */
    bool chunked;           /* its Transfer-Encoding is chunked */
    bool encoded;           /* it has a Content-Encoding */
    bool challenged;        /* the proxy says how to log in there ... */
    bool takes_basic;       /* ... and that Basic is a way */
    bool after_cr;          /* the line's CR came, its LF has not */
    uint32_t line_size;     /* bytes of `line` */
    uint32_t head_left;     /* bytes that its lines may still have */
    int64_t content_length; /* HBEAT_NONE: it has none */
    int64_t retry_date_s;   /* Retry-After as a date; HBEAT_NONE */
    uint64_t body_left;     /* bytes of the body or chunk to come */
    size_t body_size;       /* bytes of the body in the reply buffer */
  } in;

  /* The request, and how far it is out. */
  struct {
    const char *next;     /* of the present piece; NULL: the request is out */
    const char *end;      /* where that ends */
    const char *form;     /* what of the present part's form is to come */
    size_t fact;          /* the next of device_info */
    uint8_t part;         /* the present part */
    bool escaped;         /* the piece goes inside a JSON string */
    const char *host;     /* for the Host field ... */
    const char *host_end; /* ... up to here: no trailing dot */
    char port[8];         /* ":8443", or "" for the usual one */
    char content_length[24]; /* body_size in decimal */
  } out;

  char line[96]; /* the beginning of the reply's line under way */
} hbeat_exchange;

/* Begins an exchange.  Of `cfg` the codec uses device, app, token, host, port
 * and the reply buffer.  All four structures, and what they point to, must stay
 * in place until the exchange has ended.
 *
 * HBEAT_OK: pull the request, then push the reply.
 * HBEAT_ERR_ARGUMENT: x->what names the member that is missing or malformed. */
hbeat_error hbeat_begin(hbeat_exchange *x, const hbeat_config *cfg,
    const hbeat_request *request, hbeat_reply *reply);

/* Writes the next bytes of the request to `out`, at most `size`, and returns
 * how many.  `size` must be 16 or more.  Only 0 says that the request is
 * complete: any call may write fewer bytes than `size`.  The last x->body_size
 * bytes of all are the body; in front of them stands the head (RFC 9112). */
size_t hbeat_pull(hbeat_exchange *x, void *out, size_t size);

/* Takes bytes that arrived, and sets *used to how many of them belong to this
 * reply; the others are left to the caller.  Call it with a `size` of 0 (`in`
 * may be NULL) if the peer has ended the connection with a TLS close_notify;
 * never if the connection just broke (RFC 9112 section 9.8).
 *
 * HBEAT_AGAIN: push more.  Everything else ends the exchange:
 * HBEAT_OK:  *reply is complete.
 * HBEAT_ERR_TRUNCATED: the connection ended before the reply.
 * HBEAT_ERR_HTTP: it is no HTTP/1.1 (RFC 9112).
 * HBEAT_ERR_STATUS: its status is not 2xx.
 * HBEAT_ERR_REFUSED: its `success`, or a log-in's `ok`, is not true.
 * HBEAT_ERR_JSON: its body is not the API's JSON.
 * HBEAT_ERR_TOO_BIG: it does not fit reply_buffer, or the token token_buffer.
 * HBEAT_ERR_ARGUMENT: the exchange had ended before. */
hbeat_error hbeat_push(
    hbeat_exchange *x, const void *in, size_t size, size_t *used);

/* Decodes the body of a reply in place, for a program that does HTTP itself.
 * Set three members of *reply before the call: http_status (0 counts as 200),
 * retry_after_s and server_time_s (HBEAT_NONE if there was none).
 *
 * Returns what hbeat_push() returns at the end of a reply; *what is set to the
 * reason of an error in a phrase, a constant, or to NULL. */
hbeat_error hbeat_decode(const hbeat_request *request, hbeat_reply *reply,
    char *body, size_t body_size, const char **what);

#ifndef HBEAT_NO_NET
/* ---- Trust anchors ----------------------------------------------------- */

/* The trusted roots.  They stand in an arena, which is memory of the caller's
 * with any alignment, and must outlive the clients.  A root takes about 500
 * bytes; the 150 of Debian 12 take 72,900, and 4,096 more while they load.  Set
 * the first two members and leave the rest zero. */
typedef struct hbeat_anchors {
  void *arena;
  size_t arena_size;

  /* For config.anchors and config.anchor_count: a list inside the arena. */
  br_x509_trust_anchor *list;
  size_t count;

  /* Certificates that were skipped. */
  size_t skipped;

  /* Private: bytes at the arena's end that hold names and keys. */
  size_t used;
} hbeat_anchors;

/* Adds the roots of a whole PEM text (RFC 7468), such as a file or the system's
 * bundle, which lies outside the arena and is not needed afterwards.  More
 * texts may follow.  The labels CERTIFICATE, X509 CERTIFICATE and TRUSTED
 * CERTIFICATE are read, with or without a byte order mark before them.
 *
 * What is no certificate, or one that BearSSL cannot use, is skipped and
 * counted: RSA keys below 2,048 or above 4,096 bits, curves other than P-256,
 * P-384 and P-521, other kinds of keys.  So is a TRUSTED CERTIFICATE that its
 * owner has rejected for servers or for any purpose, or trusts for other
 * purposes alone (openssl x509 -addreject, -addtrust).
 *
 * HBEAT_OK: the list holds one root or more.
 * HBEAT_ERR_TOO_BIG: the arena is full; the list is what fitted.
 * HBEAT_ERR_TRUNCATED: the text stops inside a certificate; the list is what
 * came before.
 * HBEAT_ERR_CERT_TRUST: there is no root in the list. */
hbeat_error hbeat_anchors_pem(hbeat_anchors *a, const void *pem, size_t size);

/* ---- The client -------------------------------------------------------- */

/* Private: the addresses of a name. */
typedef struct hbeat_addresses {
  uint32_t count;              /* of the list */
  uint32_t ttl_s;              /* how long the nameserver allows to keep them */
  int64_t expires_ms;          /* when that ends, by CLOCK_MONOTONIC */
  unsigned char list[8][16];   /* IPv6, or IPv4 mapped into it, to be tried */
  unsigned char preferred[16]; /* the one of these that goes first */
} hbeat_addresses;

/* Private: one question to a nameserver, which may still be answered. */
typedef struct hbeat_try {
  int fd;                      /* its socket */
  uint16_t ids[2];             /* of its queries: AAAA's, A's */
  uint8_t server;              /* which nameserver of resolv.conf */
  uint8_t families_unanswered; /* of those that it asks for, as bits */
} hbeat_try;

/* Private: the walk through a certificate, as its bytes stream by. */
typedef struct hbeat_walk {
  uint32_t at;            /* bytes of the certificate so far */
  uint32_t ends[7];       /* where the elements end that the walk is in */
  uint32_t content_left;  /* bytes of the present content to come */
  uint32_t name_sum;      /* of the present name's bytes */
  uint32_t issuer_sum;    /* of the issuer's */
  uint8_t level;          /* elements that the walk is in */
  uint8_t state;          /* what the next byte is */
  uint8_t field;          /* the present field of the TBSCertificate */
  uint8_t kept_size;      /* bytes that are kept */
  bool is_usage;          /* the extension is extendedKeyUsage ... */
  bool for_servers;       /* ... and names the purpose of servers */
  unsigned char kept[34]; /* a header, or the first bytes of a content */
} hbeat_walk;

/* A client.  It points into itself: do not move or copy it.  All members are
 * private.  Zero it before the first call for it: then hbeat_close(), and any
 * other call, is safe before hbeat_init(), too. */
typedef struct hbeat_client {
  /* What is looked at all the time comes first: it is near, so that the code
   * is shorter. */
  uint8_t state;       /* what the next step waits for */
  uint8_t connection;  /* the one that the request took */
  int64_t deadline_ms; /* when the exchange is given up */
  int64_t attempt_ms;  /* when the present try is: an address, a nameserver */

  /* How the last exchange ended, or HBEAT_AGAIN during one. */
  struct {
    uint8_t error;      /* an hbeat_error */
    int code;           /* errno, BearSSL's or HTTP's; 0: none */
    const char *reason; /* in a phrase; or NULL */
  } outcome;

  /* The connection, and the bytes beside TLS on their way through it. */
  struct {
    int64_t begun_ms;  /* when its socket was opened */
    int fd;            /* its socket; -1: none */
    uint32_t out_next; /* where the next byte to send is, in scratch or wire */
    uint32_t out_end;  /* where the bytes to send end */
    uint32_t in_next;  /* where the next byte to look at is */
    uint32_t in_end;   /* where the bytes to look at end */
  } link;

  /* The kept connection, and how long one may have been idle. */
  struct {
    int64_t since_ms;     /* when the last exchange on it ended */
    int64_t learnt_at_ms; /* when longest_ms was learnt; it counts for a day */
    uint32_t longest_ms;  /* half of an idle time that killed one; 0: none */
    uint32_t before_ms;   /* how long it was idle before this exchange */
    bool killed; /* it was found dead in this one, and had said nothing */
    bool acks_are_timed; /* the kernel ends it where nobody acknowledges */
  } idle;

  /* Where the server, or the proxy, is to be reached. */
  struct {
    uint8_t address;         /* the present one, in the order of trying */
    uint8_t tried;           /* addresses of this round, as bits */
    uint8_t slow;            /* those that are tried again in the next */
    uint8_t round;           /* over the addresses, from 0 on */
    uint8_t try_count;       /* of the tries that are open */
    uint8_t tries_made;      /* in all, but for those again over TCP */
    uint8_t families_wanted; /* to ask for, as bits */
    bool no_such_name;       /* a nameserver said so */
    bool truncated;          /* an answer was: TCP has it whole ... */
    uint8_t truncated_by;    /* ... from this nameserver of resolv.conf */
    hbeat_try tries[3];      /* at nameservers, that are open; newest last */
    hbeat_addresses addresses;
  } lookup;

  hbeat_exchange x; /* the request and its reply */
  hbeat_config cfg; /* as given, with the defaults filled in */

  /* The server's clock minus CLOCK_MONOTONIC; HBEAT_NONE: not known. */
  int64_t server_lead_s;

  /* For hbeat_explain(). */
  char text[HBEAT_EXPLAIN_SIZE];

  /* The server's certificates, as they come. */
  struct {
    hbeat_walk walk;              /* through the present certificate */
    uint32_t issuer_sum;          /* of the issuer's name in the last one */
    int64_t not_before_s;         /* notBefore of the certificate last seen */
    uint8_t count;                /* of certificates so far, up to 255 */
    bool not_for_servers;         /* one of them excludes servers */
    bool out_of_order;            /* one is not of the issuer of the last */
    bool malformed;               /* the walk could not go on */
    uint8_t clock;                /* the clock that they are held against */
    br_x509_minimal_context x509; /* BearSSL's validation of them */
    br_x509_class x509_class;     /* that, with our callbacks in front of it */
    br_name_element dns_name;     /* asks for the server's first DNS name */
    char name[96];                /* that name, for hbeat_explain() */
  } certs;

  /* TLS, and the session that the next handshake may resume. */
  struct {
    uint32_t handshake_size;    /* bytes of a handshake that came */
    bool resumable;             /* whether the session may be offered */
    bool hello_was_requested;   /* and was declined: no renegotiation */
    int64_t session_made_s;     /* when, by the clock of certificates */
    int64_t server_not_after_s; /* notAfter of its certificate then */
    br_ssl_client_context context;
  } tls;
} hbeat_client;

/* Checks the configuration and prepares a client.  Nothing is sent yet.  Close
 * a client that is in use before you prepare it again.
 *
 * The server's certificate must have the host in its subjectAltName (RFC 9525),
 * lead to an anchor, be valid now, and be for servers.  Revocation is not
 * checked; name constraints are checked only if they are critical.
 *
 * HBEAT_OK: the client is ready.  The token is not looked at before an exchange
 * starts.
 * HBEAT_ERR_ARGUMENT: hbeat_explain() names the member that is missing or
 * malformed, or says that the bearssl.h that heartbeat.c was compiled with is
 * not the linked library's: compile with the right one. */
hbeat_error hbeat_init(hbeat_client *c, const hbeat_config *cfg);

/* Sends one request and waits for its reply, up to config.timeout_ms.  It calls
 * hbeat_start(), then hbeat_step() and poll(2) in turn.
 *
 * The connection is kept for the next request if the server allows it, for two
 * minutes.  If it turns out to be dead before a byte of the reply has come, a
 * new one replaces it, once in an exchange and within the same deadline; so a
 * server may see a request twice.  It is dead if it was ended, if it is
 * answered 408, or if nobody acknowledges the request for 5 s or a quarter of
 * the timeout, whichever is longer, but half of the timeout at most
 * (TCP_USER_TIMEOUT, RFC 5482).  Where the system has no such option, and
 * behind a proxy, it is dead if it says nothing for a third of the timeout.  A
 * log-in is not sent again for such silence.  Half of the idle time that killed
 * a connection is the longest that is trusted for a day, unless the new one
 * took a second or more to stand: then the way to the server had been down.
 *
 * A name is looked up in the hosts file, else with the nameservers of
 * resolv.conf, whose options timeout, attempts and use-vc count.  Both files
 * are read anew each time, up to 1 MiB of each.  A nameserver that is slow is
 * heard up to the deadline, though others, or it again, were asked meanwhile:
 * the last three tries stay open, unless they are over TCP.  Addresses are kept
 * as long as the nameserver says.
 *
 * Up to eight addresses are tried: the one that last gave a whole reply, then
 * IPv6 and IPv4 in turn.  If there are several, each has a second to connect;
 * those that did not come again and get two seconds, then four, and so on up to
 * the deadline.  One that connects has half of the time that is left to say its
 * first word.  After any other failure of a new connection the next
 * exchange begins with the next address.
 *
 * If a request cannot be sent to its end, since the server has had enough of
 * it, what the server said before is the reply.
 *
 * HBEAT_OK: *reply is complete.  Any error but HBEAT_ERR_MEMORY may occur: its
 * comment above tells what to check, hbeat_explain() what happened. */
hbeat_error hbeat_send(
    hbeat_client *c, const hbeat_request *request, hbeat_reply *reply);

/* Starts an exchange without waiting; its time runs from here.  An exchange
 * that is under way is given up.  `request` and `reply` must stay in place
 * until the exchange has ended.
 *
 * HBEAT_OK: call hbeat_step() until it ends.
 * HBEAT_ERR_ARGUMENT: hbeat_explain() names the member of the request, or the
 * token, that is missing or malformed; or the client was never initialised. */
hbeat_error hbeat_start(
    hbeat_client *c, const hbeat_request *request, hbeat_reply *reply);

/* Moves the exchange on without waiting: by at most one read and one write on a
 * connection, or by reading what nameservers sent, hosts and resolv.conf, and
 * sending a query to a nameserver.  It does not wait, but it computes: in few
 * steps of a new connection are most of its 31 million instructions.  If that
 * is too long for the loop, give the client a thread.
 *
 * HBEAT_AGAIN: it has not ended.  Else it has, and the result is that of
 * hbeat_send(); it stays so until the next start.  HBEAT_ERR_ARGUMENT before
 * the first, and after hbeat_close(). */
hbeat_error hbeat_step(hbeat_client *c);

/* What a client waits for. */
typedef struct hbeat_wait {
  int fd;         /* the descriptor to poll(2); -1: none, step at once */
  short events;   /* POLLIN or POLLOUT */
  int timeout_ms; /* step after so many milliseconds even without an event */
} hbeat_wait;

/* Returns what to wait for before the next hbeat_step().  Ask again after each
 * step: it may have closed the descriptor and opened another one.  Where
 * several tries at nameservers are open, it is the newest one's, and each step
 * reads the others as well: so the wait is 250 ms at most.  Do not ask while no
 * exchange is under way: it says -1 and 0 ms then, and there is no step to
 * make. */
hbeat_wait hbeat_wants(const hbeat_client *c);

/* Describes the last outcome in one line for the operator, with the raw errno,
 * BearSSL code or HTTP status, and never with a secret: "the certificate of
 * api.lucit.app is not valid yet: the system's clock says 1970-01-01 (BearSSL
 * 54)".  Never NULL; the text stands in the client, and is valid until the next
 * call for that client. */
const char *hbeat_explain(hbeat_client *c);

/* Writes the last TLS session to `out`, if there is a good one, and returns
 * whether there is.  The address that last gave a reply goes with it.  A
 * process that loads it saves most of its first handshake: a heartbeat takes
 * 0.8 million instructions then instead of 31 million.  After hbeat_close()
 * there is none.
 *
 * The bytes are worth as much as the roots and the token.  Whoever can read
 * them can read what is sent in that session.  Whoever can write them is the
 * server: no certificate is looked at when a session is resumed, and their
 * digest is no signature.  So keep them where nobody but this program can write
 * or read: in a file of its own user's, mode 600, in a folder of its own. */
bool hbeat_session_save(
    const hbeat_client *c, unsigned char out[HBEAT_SESSION_SIZE]);

/* Loads what hbeat_session_save() wrote, before the first exchange, and returns
 * whether the session will be offered to the server.  It is not offered if it
 * is damaged, is of another host, port or set of anchors, is older than a day,
 * is past the end of the server's certificate, or is of the future (see
 * config.clock_is_set).  If the server has forgotten it, a full handshake
 * follows, and nothing else.  Give it only bytes that nobody else could have
 * written: see above. */
bool hbeat_session_load(hbeat_client *c, const void *in, size_t size);

/* Gives up an exchange that is under way, ends the connection, with a
 * close_notify if that can be sent without waiting, and wipes the client and
 * its TLS buffer.  hbeat_init() prepares it again. */
void hbeat_close(hbeat_client *c);
#endif

/* ---- Memory ------------------------------------------------------------ */

/* What must outlive a restart: the last instructions, each with what became of
 * it, and the server's time.  It is bytes alone, the same on every machine:
 * keep it in a file or a flash page as it is.
 *
 * Whenever `changed` is set: clear it and store the structure, safe from a
 * power cut, before you do anything else.  If storing fails, set it again, and
 * run nothing until it succeeds.
 *
 *          learn            due            end            learn
 *     new -------> WAITING -----> TAKEN -----> ENDED <---------> REPORTED
 *
 * After each heartbeat: call learn.  Then, until nothing is due: call due, run
 * the instruction, call end.  Then, until there is no report, or one fails:
 * call report, send it, call learn.
 *
 * An instruction that is sent again never runs again; if it was REPORTED, it is
 * reported again.  What cannot run becomes ENDED at once, as failed: with "it
 * cannot be read", "run_at cannot be read", "too long to be kept" or "stale"
 * for a message, and with "interrupted" what a restart finds TAKEN.  So before
 * you run what ends the process, such as a reboot, send an acknowledgement
 * yourself, and learn from that: it leads from TAKEN to REPORTED.
 *
 * One that is WAITING is forgotten if the server comes to have it as
 * acknowledged.  Those that wait for a run_at of more than an hour from now
 * never take more than three quarters of the room. */
typedef struct hbeat_memory {
  unsigned char changed; /* for the caller, the only member that is */

  /* Private. */
  unsigned char next_report; /* the record that is looked at first */
  unsigned char seal[10];    /* a name, a version and a checksum */
  unsigned char server_time_s[8];
  unsigned char records[HBEAT_MEMORY_SIZE];
} hbeat_memory;

/* Takes what was kept, before any other call for it.  `size` is
 * sizeof(hbeat_memory), or 0 where nothing was kept (`bytes` may be NULL then);
 * any other is no memory's.  The bytes of versions 0.2 and 0.3 are taken over;
 * they must lie outside of *m.  *clock_floor_s (may be NULL) is raised to the
 * server's time in them, for config.clock_floor_s.
 *
 * HBEAT_OK: go on.
 * HBEAT_ERR_MEMORY: the bytes are torn, foreign, or of another version.  The
 * memory is empty now, so that what ran may run again. */
hbeat_error hbeat_memory_load(
    hbeat_memory *m, const void *bytes, size_t size, int64_t *clock_floor_s);

/* Takes over what another memory knows and *m does not.  It is for a store that
 * was not there when *m was loaded, or was an older one, such as a file system
 * that was mounted late: load what is found there into *other, and merge before
 * anything is stored in its place.  The two do not overlap.
 *
 * An instruction that *m does not remember, or has WAITING, becomes what it is
 * in *other; of any other one *m knows more.  If there is no room, those that
 * are WAITING in *m are forgotten, since the server sends them again; if there
 * is none even then, for nothing but reports to be sent, *m does not learn of
 * the instruction.  `changed` is set. */
void hbeat_memory_merge(hbeat_memory *m, const hbeat_memory *other);

/* Learns from an exchange that ended with `e`.  Of a heartbeat: its
 * instruction.  Of a report: that it was taken (HBEAT_OK, or a 2xx whose body
 * could not be used), or never will be (HBEAT_ERR_REFUSED, and 4xx but for 401,
 * 403, 408, 425 and 429).  Of any success of a client's whose clock_offset_s is
 * known: the server's time.
 *
 * HBEAT_OK: learnt, if there was anything.
 * HBEAT_ERR_JSON: the instruction has no lcuid, or one that is not of 1 to 63
 * unreserved characters; it never runs.
 * HBEAT_ERR_TOO_BIG: there is no room until others have been run and reported;
 * the server will send the instruction again. */
hbeat_error hbeat_memory_learn(hbeat_memory *m, const hbeat_request *request,
    const hbeat_reply *reply, hbeat_error e);

/* How old an instruction may be that is to run.  0: no limit. */
typedef struct hbeat_limits {
  int64_t max_age_s;  /* seconds from its run_at on */
  int64_t max_wait_s; /* without a run_at, seconds from its created_at on */
} hbeat_limits;

/* Takes the next instruction whose run_at has come by `now_s`, and returns
 * true: run it.  Its name, parameters, lcuid, run_at_s and created_at_s are
 * set; its texts live until the next learn, due, end, merge or load.
 *
 * `now_s` is in Unix seconds, by a clock that somebody vouches for: the
 * server's last time, or the kernel's if it is synchronized.  HBEAT_NONE where
 * there is none: what has no run_at is due, and all else waits.
 *
 * One that is older than its limit is not handed out, but ENDED as failed.
 *
 * False: none is due, and i->run_at_s is when the next one will be, or
 * HBEAT_NONE; the rest of *i is empty. */
bool hbeat_memory_due(hbeat_memory *m, int64_t now_s,
    const hbeat_limits *limits, hbeat_instruction *i);

/* Writes down how an instruction ended: HBEAT_ACKNOWLEDGE, or HBEAT_FAILED
 * with a message; either with response_data.  Both may be NULL; they and the
 * lcuid may lie in the memory.  A message that is too long is cut; data that
 * does not fit beside it, or is no JSON object, is left out.  One that was
 * REPORTED is reported again; an lcuid that is not remembered is ignored. */
void hbeat_memory_end(hbeat_memory *m, const char *lcuid, hbeat_call call,
    const char *message, const char *response_data);

/* Makes *request the next report to send, each in turn, and returns whether
 * there is one.  Its texts live until the next learn, due, end, merge or load:
 * copy them where one of these may come while the report is under way. */
bool hbeat_memory_report(hbeat_memory *m, hbeat_request *request);

/* ---- Schedule ---------------------------------------------------------- */

/* When to send: so that devices do not send at the same moment, and none stays
 * silent for ever. */
typedef struct hbeat_policy {
  /* The longest time from the end of one heartbeat to the next, without
   * failures.  0: 60,000. */
  uint32_t interval_ms;

  /* The first heartbeat comes within this.  0: nine tenths of the interval. */
  uint32_t splay_ms;

  /* The longest wait after failures, without the second that is added to each.
   * 0: ten intervals. */
  uint32_t retry_max_ms;

  /* The same after failures that need a person.  0: an hour, or 60 intervals
   * where that is longer. */
  uint32_t rare_max_ms;
} hbeat_policy;

/* Returns how many milliseconds after the end of the last heartbeat the next
 * one is due.  `e` and `reply` (may be NULL) are the outcome of the last one;
 * an `e` of HBEAT_AGAIN says that there was none yet.  *failures counts
 * failures in a row; set it to 0 at the start.  `random` is 32 random bits,
 * which must differ from device to device.
 *
 * After a success, and after a 2xx whose body could not be used, the wait is
 * the interval, or up to a tenth less.  After a failure it is a second, and any
 * time from 0 up to a limit ("full jitter"): twice the interval after the first
 * failure, doubled by each further one, at most the longest wait above.  So it
 * is never less than a second, whatever the policy and the random number.  A
 * Retry-After is added to it, up to rare_max_ms.  A person is needed for
 * HBEAT_ERR_ARGUMENT, _CERT_NAME and _CERT_TRUST, and for the statuses 401,
 * 403, 404 and 422. */
uint32_t hbeat_next_ms(const hbeat_policy *policy, uint32_t *failures,
    hbeat_error e, const hbeat_reply *reply, uint32_t random);

#ifdef __cplusplus
}
#endif
#endif
