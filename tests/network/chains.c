/*
 * Certificates: for which names, under which chains and with which usage a
 * server is believed, and what the operator is told of one that is not.
 * tests/certs says how each of the files was made.
 */
#define _POSIX_C_SOURCE 200809L
#include "peer.h"

/* What a server shows, and what becomes of it. */
struct row {
  const char *name;
  const char *chain; /* the certificates shown */
  hbeat_error error;
  int code;                /* BearSSL's */
  const char *says[2];     /* in the explanation */
  const char *key;         /* NULL: server */
  const char *anchor;      /* NULL: ca */
  const char *host;        /* NULL: the default */
  bool dribbles;           /* byte by byte */
  struct peer_crowd crowd; /* behind these certificates */
};

/* ---- Names ------------------------------------------------------------ */

#define NAME(...)                                                              \
  .error = HBEAT_ERR_CERT_NAME, .code = BR_ERR_X509_BAD_SERVER_NAME,           \
  .says = {__VA_ARGS__}

#define XS_61 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
#define HOST_253 XS_61 "xx." XS_61 "xx." XS_61 "xx." XS_61

static const struct row name_rows[] = {
    {"one name", .chain = "name-only"},
    {"one name, capitals in it", .chain = "name-upper"},
    {"capitals in the host", .chain = "name-only", .host = "Api.LUCIT.App"},
    {"a dot behind the host", .chain = "name-only", .host = "api.lucit.app."},
    {"the last of 40 names", .chain = "name-last"},
    {"the last of 7 KB of names", .chain = "name-crowd"},
    {"no subject beside the names", .chain = "name-no-subject"},
    {"a name of 253 characters", .chain = "name-253", .host = HOST_253},
    {"a name of 300 characters before the right one", .chain = "name-300-too"},

    {"a wildcard for one label", .chain = "name-wild"},
    {"a wildcard, capitals in the host", .chain = "name-wild",
        .host = "API.LUCIT.APP"},
    {"a wildcard, a dot behind the host", .chain = "name-wild",
        .host = "api.lucit.app."},
    {"a wildcard is not for two labels", .chain = "name-wild",
        NAME("not for v3.api.lucit.app", "*.lucit.app"),
        .host = "v3.api.lucit.app"},
    {"a wildcard is not for none", .chain = "name-wild",
        NAME("not for lucit.app", "*.lucit.app"), .host = "lucit.app"},
    {"a wildcard one label too low", .chain = "name-wild-below",
        NAME("not for api.lucit.app", "*.api.lucit.app")},
    {"a wildcard in the middle", .chain = "name-wild-inner", NAME("api.*.app")},
    {"a wildcard within a label", .chain = "name-wild-part",
        NAME("a*.lucit.app")},
    {"two wildcards", .chain = "name-wild-two", NAME("*.*.app")},
    {"a wildcard alone", .chain = "name-wild-all",
        NAME("not for api.lucit.app")},
    /* BearSSL knows no list of public suffixes: the CA's rules do. */
    {"a wildcard for a whole top-level domain", .chain = "name-wild-app",
        .host = "lucit.app"},

    {"another name", .chain = "name",
        NAME("not for api.lucit.app", "other.example")},
    {"a dot behind the name", .chain = "name-dot", NAME("api.lucit.app.")},
    {"the right name, then NUL", .chain = "name-nul",
        NAME("not for api.lucit.app")},
    {"NUL, then the right name", .chain = "name-nul-first",
        NAME("api.lucit.app")},
    {"an IP address", .chain = "name-ip", NAME("api.lucit.app")},
    {"an empty name", .chain = "name-empty", NAME("api.lucit.app")},
    {"no name in the extension", .chain = "name-none", NAME("api.lucit.app")},
    /* RFC 9525 section 2: a common name is not the name of a server. */
    {"a common name alone", .chain = "name-cn", NAME("not for api.lucit.app")},
    {"a common name and an IP address", .chain = "name-cn-ip",
        NAME("api.lucit.app")},
    {"a common name and an e-mail address", .chain = "name-cn-mail",
        NAME("not for api.lucit.app")},

    {"a host of 253 characters, and another name", .chain = "name",
        NAME("not for xxxxxxxxxx"), .host = HOST_253},
    {"another name of 253 characters", .chain = "name-253",
        NAME("not for api.lucit.app")},
    {"another name of 300 characters", .chain = "name-300",
        NAME("not for api.lucit.app")},
    {"another name of escape sequences", .chain = "name-escape",
        NAME("api.lucit.app")},
    {"another name of several lines", .chain = "name-lines",
        NAME("foreign.example??the?heartbeat?reached")},
    {"another name with a byte that deletes", .chain = "name-delete",
        NAME("fore?ign.example")},
    {"another name in UTF-8, with one letter that turns the text around",
        .chain = "name-utf8", NAME("api.lucit.app")},
    {"another name in Latin-1", .chain = "name-latin1", NAME("api.lucit.app")},
    {"a common name of escape sequences", .chain = "name-cn-escape",
        NAME("api.lucit.app")},
    /* BearSSL skips the mark; a CA that signs it means the same host. */
    {"a byte order mark before the name", .chain = "name-bom"},
};

/* ---- Chains ----------------------------------------------------------- */

#define TRUST(c, ...)                                                          \
  .error = HBEAT_ERR_CERT_TRUST, .code = BR_ERR_X509_##c, .says = {__VA_ARGS__}

static const struct row chain_rows[] = {
    {"eight intermediates", .chain = "deeper"},
    {"the root as well", .chain = "root-too"},
    {"strangers behind the chain", .chain = "more-behind"},
    {"strangers behind a leaf of the root's", .chain = "more-behind-leaf"},
    {"the intermediate is missing", .chain = "under",
        TRUST(NOT_TRUSTED,
            "api.lucit.app is not trusted: ", ": it is for api.lucit.app")},
    {"the root before the intermediate", .chain = "root-first",
        TRUST(DN_MISMATCH, "order")},
    {"a stranger before the intermediate", .chain = "more-between",
        TRUST(DN_MISMATCH, "order")},
    {"a stranger that has expired", .chain = "stranger-expired",
        .error = HBEAT_ERR_CERT_TRUST, .code = BR_ERR_X509_EXPIRED,
        .says = {"its chain is out of order"}},
    {"the leaf twice", .chain = "leaf-twice", TRUST(DN_MISMATCH, "order")},
    {"the leaf behind its intermediate", .chain = "leaf-last",
        NAME("not for api.lucit.app")},

    {"an intermediate that may sign nothing", .chain = "no-signing",
        TRUST(FORBIDDEN_KEY_USAGE, "sign")},
    {"an intermediate that is no CA", .chain = "no-ca", TRUST(NOT_CA, "CA")},
    {"an intermediate that does not say that it is a CA",
        .chain = "no-constraints", TRUST(NOT_CA, "CA")},
    {"an intermediate without key usage", .chain = "any-key-usage"},
    {"an intermediate with a namesake's key", .chain = "forged",
        TRUST(BAD_SIGNATURE, "signature")},
    {"a root with a namesake's key", .chain = "server",
        TRUST(NOT_TRUSTED, "anchor"), .anchor = "namesake-ca"},
    {"two roots of one name", .chain = "server", .anchor = "namesakes"},
    {"a path as long as it may be", .chain = "path-0"},
    {"a path of two as long as it may be", .chain = "path-1"},
    {"a path longer than it may be", .chain = "path-broken",
        TRUST(NOT_CA, "CA")},
    /* An anchor is a name and a key: RFC 5280 section 6.1.1 (d). */
    {"a path longer than the root's own limit", .chain = "chain",
        .anchor = "limited-ca"},

    {"two paths, the first root trusted", .chain = "cross-direct"},
    {"two paths, the second root trusted by itself", .chain = "cross-direct",
        TRUST(DN_MISMATCH, "order"), .anchor = "other-ca"},
    {"two paths, the first root not trusted", .chain = "cross-beside",
        TRUST(DN_MISMATCH, "order")},
    {"two paths, the second not needed", .chain = "cross-beside",
        .anchor = "other-ca"},
    {"a root that another one vouches for", .chain = "cross-above"},
    {"a root that another one need not vouch for", .chain = "cross-above",
        .anchor = "other-ca"},

    {"it vouches for itself", .chain = "self",
        TRUST(NOT_TRUSTED, "api.lucit.app is not trusted", "anchor")},
    {"it vouches for itself as a CA", .chain = "self-ca",
        TRUST(NOT_TRUSTED, "anchor")},
    {"it is an anchor", .chain = "self", .anchor = "self"},
    {"it is an anchor and a CA", .chain = "self-ca", .anchor = "self-ca"},
    {"it is an anchor that others signed", .chain = "server",
        .anchor = "server"},
    {"it is an anchor for other names", .chain = "portal",
        NAME("not for api.lucit.app", "other.example"), .anchor = "portal"},
    {"an anchor that is no CA has signed it", .chain = "by-self",
        TRUST(NOT_TRUSTED, "anchor"), .anchor = "self"},

    {"a leaf and a root of P-384", .chain = "p384", .key = "p384",
        .anchor = "p384-ca"},
    {"a leaf and a root of P-521", .chain = "p521", .key = "p521",
        .anchor = "p521-ca"},
    {"a root of RSA-4096", .chain = "by-rsa", .anchor = "rsa4096-ca"},
    {"RSA of 4,160 bits", .chain = "rsa4160",
        TRUST(LIMIT_EXCEEDED, "api.lucit.app")},
    {"a leaf of Ed25519", .chain = "ed25519", TRUST(UNSUPPORTED, "kind")},
    {"a leaf of secp256k1", .chain = "k256", TRUST(UNSUPPORTED, "kind")},
    {"a curve of its own", .chain = "spelt", TRUST(UNEXPECTED, "kind")},
    {"a signature with RSA-PSS", .chain = "by-pss", TRUST(UNSUPPORTED, "kind"),
        .anchor = "rsa4096-ca"},
    {"a signature over MD5", .chain = "by-md5", TRUST(UNSUPPORTED, "kind"),
        .anchor = "rsa4096-ca"},
    {"a signature over SHA-224", .chain = "by-sha224",
        TRUST(UNSUPPORTED, "kind")},
    {"a signature over SHA-1, of the intermediate", .chain = "by-sha1",
        TRUST(UNSUPPORTED, "kind")},
};

/* ---- Usage ------------------------------------------------------------ */

#define NOT_FOR_SERVERS                                                        \
  .error = HBEAT_ERR_CERT_TRUST, .code = BR_ERR_WRONG_KEY_USAGE,               \
  .says = {"api.lucit.app is not trusted", "it is not for servers"}

static const struct row usage_rows[] = {
    {"any use", .chain = "use-none"},
    {"servers and clients", .chain = "use-both"},
    {"anyExtendedKeyUsage", .chain = "use-any"},
    {"eight uses, servers the last", .chain = "use-eight"},
    {"twenty uses, servers the first", .chain = "use-twenty"},
    {"seven uses, none of them servers", .chain = "use-seven", NOT_FOR_SERVERS},
    {"clients only", .chain = "use-client", NOT_FOR_SERVERS},
    {"code and e-mail only", .chain = "use-code", NOT_FOR_SERVERS},
    {"a use below that of servers", .chain = "use-longer", NOT_FOR_SERVERS},
    {"a use above that of servers", .chain = "use-shorter", NOT_FOR_SERVERS},
    {"no use at all", .chain = "use-empty", NOT_FOR_SERVERS},
    {"uses that are cut short", .chain = "use-broken",
        .error = HBEAT_ERR_CERT_TRUST, .code = BR_ERR_X509_INVALID_VALUE,
        .says = {"malformed, or of a kind"}},
    {"servers, before 3 KB of names", .chain = "use-serverAuth-first"},
    {"servers, behind 3 KB of names", .chain = "use-serverAuth-last"},
    {"clients, before 3 KB of names", .chain = "use-clientAuth-first",
        NOT_FOR_SERVERS},
    {"clients, behind 3 KB of names", .chain = "use-clientAuth-last",
        NOT_FOR_SERVERS},
    {"servers, behind 3 KB of names, byte by byte",
        .chain = "use-serverAuth-last", .dribbles = true},
    {"clients, behind 3 KB of names, byte by byte",
        .chain = "use-clientAuth-last", NOT_FOR_SERVERS, .dribbles = true},
    /* BearSSL does not know the extension, so it may not skip it. */
    {"servers, and critical", .chain = "use-critical",
        TRUST(CRITICAL_EXTENSION, "critical")},
    /* Only the leaf's counts, as in RFC 5280. */
    {"an intermediate for clients", .chain = "for-clients", NOT_FOR_SERVERS},

    {"a key that signs and no more", .chain = "key-signs"},
    {"a key that only decrypts", .chain = "key-decrypts",
        .error = HBEAT_ERR_CERT_TRUST, .code = BR_ERR_WRONG_KEY_USAGE,
        .says = {"api.lucit.app is not trusted"}},
    {"a key that only agrees on keys", .chain = "key-agrees",
        .error = HBEAT_ERR_CERT_TRUST, .code = BR_ERR_WRONG_KEY_USAGE,
        .says = {"api.lucit.app is not trusted"}},

    {"an extension that nobody knows", .chain = "unknown"},
    {"an extension that nobody knows, and critical",
        .chain = "unknown-critical", TRUST(CRITICAL_EXTENSION, "critical")},
    /*
     * BearSSL 0.6 knows no name constraints.  RFC 5280 wants them critical,
     * and then it refuses them; those that are not, it does not see.
     */
    {"names outside an intermediate's constraints", .chain = "names-outside"},
    {"an intermediate's constraints, and critical", .chain = "names-critical",
        TRUST(CRITICAL_EXTENSION, "critical")},
};

/* ---- Many certificates ------------------------------------------------- */

#define CROWD(bytes, n) .crowd = {(bytes), sizeof(bytes) - 1, (n)}
#define ID_USAGE "\x06\x03\x55\x1d\x25" /* of extKeyUsage, of serverAuth */
#define ID_SERVERS "\x06\x08\x2b\x06\x01\x05\x05\x07\x03\x01"

/* The leaf is the first one, however many there are. */
static const struct row many_rows[] = {
    {"255 certificates in all", .chain = "server", CROWD("x", 254)},
    {"256 certificates in all", .chain = "server", CROWD("x", 255)},
    {"257 certificates in all", .chain = "server", CROWD("x", 256)},
    {"258 certificates in all", .chain = "server", CROWD("x", 257)},
    {"1,001 certificates in all", .chain = "server", CROWD("x", 1000)},
    {"a certificate that is an empty SEQUENCE, and no intermediate",
        .chain = "under", CROWD("\x30\0", 1), .error = HBEAT_ERR_CERT_TRUST,
        .says = {"api.lucit.app is not trusted"}},
    {"300 certificates of no byte behind the leaf", .chain = "server",
        CROWD("", 300)},
    {"300 certificates behind a chain", .chain = "deep", CROWD("x", 300)},
    {"300 certificates and no intermediate", .chain = "under", CROWD("x", 300),
        .error = HBEAT_ERR_CERT_TRUST,
        .says = {"api.lucit.app is not trusted"}},
    {"for servers, and 600 for others behind it", .chain = "server",
        CROWD(ID_USAGE, 600)},
    {"for clients, and 600 for servers behind it", .chain = "use-client",
        CROWD(ID_SERVERS, 600), NOT_FOR_SERVERS},
    {"for others, and 600 for servers behind it", .chain = "use-seven",
        CROWD(ID_SERVERS, 600), NOT_FOR_SERVERS},
    {"more than HBEAT_HANDSHAKE_MAX of them", .chain = "server",
        CROWD(ID_SERVERS ID_SERVERS ID_SERVERS ID_SERVERS, 1000),
        .error = HBEAT_ERR_TLS, .says = {"HBEAT_HANDSHAKE_MAX"}},
};

/* ---- One row ---------------------------------------------------------- */

/* The anchors of a file; they stay until the next. */
static const hbeat_anchors *trust(const char *name) {
  static unsigned char arena[8192];
  static hbeat_anchors a;
  size_t size;
  const char *text = certs_file(name, "pem", &size);

  a = (hbeat_anchors){.arena = arena, .arena_size = sizeof arena};
  assert_int_equal(hbeat_anchors_pem(&a, text, size), HBEAT_OK);
  assert_int_equal(hbeat_anchors_pem(&a, text, 0), HBEAT_OK);
  assert_int_equal(a.skipped, 0);
  return &a;
}

static void check_ascii(const char *text) {
  for (const char *c = text; *c; c++)
    if (*c < ' ' || *c > '~')
      fail_msg("byte %d of \"%s\" is not ASCII", (int)(c - text), text);
}

/* One line of ASCII, whatever the certificate holds, with words and code. */
static void check_words(struct player *p, const char *const says[2], int code) {
  const char *text = hbeat_explain(&p->client);
  char number[32];

  check_ascii(text);
  for (int i = 0; i < 2; i++)
    if (says[i] && !strstr(text, says[i]))
      fail_msg("no \"%s\" in: %s", says[i], text);
  snprintf(number, sizeof number, "(BearSSL %d)", code);
  if (code && !strstr(text, number)) fail_msg("no %s in: %s", number, text);
}

static void is_row(void **state) {
  const struct row *row = *state;
  struct peer_script script = {.chain = row->chain,
      .key = row->key,
      .dribbles = row->dribbles,
      .crowd = row->crowd};
  static struct player p;
  const hbeat_anchors *anchors = trust(row->anchor ? row->anchor : "ca");
  uint16_t port = peer_start(&script);
  int before = open_descriptors();

  player_configure(&p, port);
  p.cfg.host = row->host;
  p.cfg.anchors = anchors->list;
  p.cfg.anchor_count = anchors->count;
  assert_int_equal(hbeat_init(&p.client, &p.cfg), HBEAT_OK);
  player_expect(&p, &player_beat, row->error);
  if (row->error != HBEAT_OK) {
    assert_int_equal(open_descriptors(), before);
    check_words(&p, row->says, row->code);
    assert_int_equal(peer_log()->requests, 0);
  } else {
    assert_int_equal(p.reply.connection, HBEAT_CONNECTION_NEW);
    assert_true(p.reply.clock_offset_s != HBEAT_NONE);
  }
  hbeat_close(&p.client);
  assert_int_equal(open_descriptors(), before);
}

/* ---- Keys that the peer cannot use ------------------------------------ */

static const struct row openssl_rows[] = {
    /* It is understood, and sends the request's lines back to front. */
    {"openssl, a leaf and a root of RSA-4096", .chain = "rsa4096",
        .error = HBEAT_ERR_HTTP, .anchor = "rsa4096-ca"},
    /* It has nothing to show to a client that does not ask for Ed25519. */
    {"openssl, a leaf of Ed25519", .chain = "ed25519", .error = HBEAT_ERR_TLS,
        .code = BR_ERR_RECV_FATAL_ALERT + 40, .says = {"no suite in common"}},
};

static void is_openssl(void **state) {
  const struct row *row = *state;
  static struct player p;
  const hbeat_anchors *anchors = trust(row->anchor ? row->anchor : "ca");
  uint16_t port = peer_start_openssl(row->chain, "-tls1_2");
  int before = open_descriptors();

  player_configure(&p, port);
  p.cfg.anchors = anchors->list;
  p.cfg.anchor_count = anchors->count;
  assert_int_equal(hbeat_init(&p.client, &p.cfg), HBEAT_OK);
  player_expect(&p, &player_beat, row->error);
  assert_int_equal(open_descriptors(), before);
  check_words(&p, row->says, row->code);
  hbeat_close(&p.client);
}

int main(void) {
  struct CMUnitTest tests[COUNT(name_rows) + COUNT(chain_rows) +
      COUNT(usage_rows) + COUNT(many_rows) + COUNT(openssl_rows)];
  struct CMUnitTest *to = tests;

  to = ROWS(to, is_row, name_rows);
  to = ROWS(to, is_row, chain_rows);
  to = ROWS(to, is_row, usage_rows);
  to = ROWS(to, is_row, many_rows);
  ROWS(to, is_openssl, openssl_rows);
  return cmocka_run_group_tests(tests, NULL, NULL);
}
