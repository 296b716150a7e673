/* Chains of certificates that are signed as they should be, whatever stands in
 * them, held against OpenSSL: for the same chain, root, host and time, what the
 * client makes of it (BearSSL's engine behind the callbacks of "Certificates")
 * and what X509_verify_cert() does, with the purpose of TLS servers.  Where
 * they differ the kind of difference has a row in a table below, or the run is
 * aborted.
 *
 * The input is a script: which host and which time, then a line for each
 * certificate, the server's first, and a last one for the chain.  A line begins
 * with what a certificate is good for to begin with, a letter each for what is
 * changed follows, with what belongs to it.
 *
 * Keys come from the folder `certs` below the one that the environment names as
 * B, by default `build`. */
#include "fuzz.h"
#include "certs.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>

enum { CERTIFICATES = 4, EXTENSIONS_MAX = 12, EDITS_MAX = 6, SHOWN_MAX = 6 };
enum { DER_MAX = 16384, FILE_MAX = 8192 };

static const char *const hosts[] = {
    "api.lucit.app", "localhost", "a.b.lucit.app", "x--y.lucit.app"};

/* Of 2026, 2020's first second, a leap year's end, 2049's, 2050's. */
static const int64_t times_s[] = {
    1767744919, 1577836800, 1735603200, 2524607999, 2524608000, 4102444800};

/* ---- Keys ---- */

enum { KEY_CA, KEY_BETWEEN, KEY_SERVER, KEYS = 10 };

static const char *const key_names[KEYS] = {"ca", "between", "server",
    "other-ca", "server-rsa", "weak", "p384", "p521", "ed25519", "k256"};

static EVP_PKEY *keys[KEYS];
static byte *public_keys[KEYS];
static int public_key_sizes[KEYS];

/* ---- DER ---- */

typedef struct writer {
  byte bytes[DER_MAX];
  size_t size;
} writer;

static void append(writer *w, const void *bytes, size_t size) {
  EXPECT(size <= sizeof w->bytes - w->size - 4);
  if (size > 0) memcpy(w->bytes + w->size, bytes, size);
  w->size += size;
}

/* Begins an element; returns where its content does. */
static size_t begin(writer *w, byte tag) {
  append(w, &tag, 1);
  return w->size;
}

/* Ends it: only now its length is known. */
static void finish(writer *w, size_t start) {
  size_t size = w->size - start, more = 0;
  byte length[3] = {(byte)size};

  if (size >= 0x80) {
    more = size < 0x100 ? 1 : 2;
    length[0] = (byte)(0x80 | more);
    length[1] = (byte)(more == 1 ? size : size >> 8);
    length[2] = (byte)size;
  }
  memmove(w->bytes + start + 1 + more, w->bytes + start, size);
  memcpy(w->bytes + start, length, 1 + more);
  w->size += 1 + more;
}

static void append_element(
    writer *w, byte tag, const void *content, size_t size) {
  size_t start = begin(w, tag);

  append(w, content, size);
  finish(w, start);
}

/* ---- What certificates are made of ---- */

typedef struct bytes {
  const char *at;
  size_t size;
} bytes;

#define BYTES_OF(text)                                                         \
  { text, sizeof text - 1 }

/* A common name, and the type of its string. */
static const struct {
  byte tag;
  const char *text;
} names[] = {{0x0C, "heartbeat test CA"}, {0x0C, "heartbeat intermediate"},
    {0x0C, "a server"}, {0x0C, "api.lucit.app"}, {0, ""},
    {0x13, "heartbeat test CA"}, {0x0C, "Heartbeat  Test ca"},
    {0x0C, "heartbeat lower intermediate"}, {0x1E, "\0a\0b"},
    {0x0C, "localhost"}, {0x17, "260107001519Z"}};

enum { NAME_CA, NAME_BETWEEN, NAME_SERVER };

static const struct {
  byte tags[2];
  const char *from, *to;
} dates[] = {{{0x17, 0x17}, "200101000000Z", "491231235959Z"},
    {{0x17, 0x17}, "200101000000Z", "260107001519Z"},
    {{0x17, 0x17}, "260107001519Z", "491231235959Z"},
    {{0x17, 0x17}, "260107001520Z", "491231235959Z"},
    {{0x17, 0x17}, "200101000000Z", "260107001518Z"},
    {{0x17, 0x18}, "200101000000Z", "20500101000000Z"},
    {{0x18, 0x18}, "20200101000000Z", "20491231235959Z"},
    {{0x17, 0x18}, "200101000000Z", "99991231235959Z"},
    {{0x17, 0x17}, "491231235959Z", "200101000000Z"},
    {{0x17, 0x17}, "2001010000Z", "4912312359Z"},
    {{0x17, 0x17}, "200101000000+0000", "491231235959-0100"},
    {{0x18, 0x18}, "20200101000000.5Z", "20491231235959.5Z"},
    {{0x17, 0x17}, "200230000000Z", "490230000000Z"},
    {{0x17, 0x17}, "200101000060Z", "491231236060Z"},
    {{0x17, 0x17}, "500101000000Z", "491231235959Z"},
    {{0x18, 0x18}, "00000101000000Z", "20491231235959Z"}};

static const bytes oids[] = {BYTES_OF("\125\035\023"), /* basicConstraints */
    BYTES_OF("\125\035\017"),                          /* keyUsage */
    BYTES_OF("\125\035\045"),                          /* extKeyUsage */
    BYTES_OF("\125\035\021"),                          /* subjectAltName */
    BYTES_OF("\125\035\036"),                          /* nameConstraints */
    BYTES_OF("\125\035\016"), /* subjectKeyIdentifier */
    BYTES_OF("\125\035\043"), /* authorityKeyIdentifier */
    BYTES_OF("\125\035\040"), /* certificatePolicies */
    BYTES_OF("\125\035\041"), /* policyMappings */
    BYTES_OF("\125\035\044"), /* policyConstraints */
    BYTES_OF("\125\035\066"), /* inhibitAnyPolicy */
    BYTES_OF("\125\035\037"), /* cRLDistributionPoints */
    BYTES_OF("\125\035\022"), /* issuerAltName */
    BYTES_OF("\140\206\110\001\206\370\102\001\001"), /* nsCertType */
    BYTES_OF("\053\006\001\005\005\007\001\016"),     /* proxyCertInfo */
    BYTES_OF("\053\006\001\005\005\007\001\001"),     /* authorityInfoAccess */
    BYTES_OF("\053\006\001\005\005\007\001\030"),     /* tlsfeature */
    BYTES_OF("\053\006\001\004\001\326\171\002\004\003"), /* CT poison */
    BYTES_OF("\052\003\004"),                             /* unknown */
    BYTES_OF("\053\006\001\005\005\007\001\007"),         /* sbgp-ipAddrBlock */
    BYTES_OF("\053\006\001\005\005\007\001\010")};        /* autonomousSysNum */

enum {
  BASIC,
  KEY_USAGE,
  PURPOSE_LIST,
  ALT_NAME,
  CONSTRAINTS,
  SUBJECT_KEY,
  AUTHORITY_KEY,
  POLICIES,
  MAPPINGS,
  POLICY_LIMITS,
  INHIBIT_ANY,
  CRL_POINTS,
  ISSUER_ALT,
  NS_TYPE,
  PROXY,
  ACCESS,
  FEATURE,
  POISON,
  UNKNOWN,
  IP_BLOCKS,
  AS_NUMBERS,
  OIDS
};

/* A purpose's OID, id-kp and its number; and a DNS name. */
#define KP(n) "\006\010\053\006\001\005\005\007\003" n
#define DNS(length, text) "\202" length text

static const struct {
  byte oid;
  bytes value;
} values[] = {{BASIC, BYTES_OF("\060\0")}, {BASIC, BYTES_OF("\060\3\1\1\377")},
    {BASIC, BYTES_OF("\060\6\1\1\377\2\1\0")},
    {BASIC, BYTES_OF("\060\6\1\1\377\2\1\1")},
    {KEY_USAGE, BYTES_OF("\3\2\5\240")}, {KEY_USAGE, BYTES_OF("\3\2\2\4")},
    {PURPOSE_LIST, BYTES_OF("\060\012" KP("\1"))},
    {ALT_NAME, BYTES_OF("\060\017" DNS("\015", "api.lucit.app"))},
    /* These are what the usual certificates have; the others, what odd ones
     * may. */
    {BASIC, BYTES_OF("\060\3\1\1\0")},
    {BASIC, BYTES_OF("\060\6\1\1\377\2\1\377")},
    {BASIC, BYTES_OF("\060\3\2\1\0")}, {BASIC, BYTES_OF("\060\3\1\1\1")},
    {BASIC, BYTES_OF("\060\7\1\1\377\2\2\1\0")}, {BASIC, BYTES_OF("\4\0")},
    {KEY_USAGE, BYTES_OF("\3\2\7\200")}, {KEY_USAGE, BYTES_OF("\3\2\5\040")},
    {KEY_USAGE, BYTES_OF("\3\2\3\010")}, {KEY_USAGE, BYTES_OF("\3\1\0")},
    {KEY_USAGE, BYTES_OF("\3\3\7\377\200")}, {KEY_USAGE, BYTES_OF("\3\2\1\2")},
    {KEY_USAGE, BYTES_OF("\3\2\1\206")}, {KEY_USAGE, BYTES_OF("\3\2\6\100")},
    {PURPOSE_LIST, BYTES_OF("\060\012" KP("\2"))},
    {PURPOSE_LIST, BYTES_OF("\060\6\6\4\125\035\045\0")},
    {PURPOSE_LIST, BYTES_OF("\060\024" KP("\2") KP("\1"))},
    {PURPOSE_LIST, BYTES_OF("\060\013\6\011\140\206\110\001\206\370\102\4\1")},
    {PURPOSE_LIST, BYTES_OF("\060\0")},
    {PURPOSE_LIST, BYTES_OF("\060\012" KP("\011"))},
    {PURPOSE_LIST, BYTES_OF("\060\012" KP("\010"))},
    {ALT_NAME, BYTES_OF("\060\017" DNS("\015", "*.lucit.app.."))},
    {ALT_NAME, BYTES_OF("\060\015" DNS("\013", "*.lucit.app"))},
    {ALT_NAME, BYTES_OF("\060\017" DNS("\015", "API.Lucit.APP"))},
    {ALT_NAME, BYTES_OF("\060\013" DNS("\011", "localhost"))},
    {ALT_NAME, BYTES_OF("\060\007" DNS("\005", "*.app"))},
    {ALT_NAME, BYTES_OF("\060\003" DNS("\001", "*"))},
    {ALT_NAME, BYTES_OF("\060\016" DNS("\014", "a*.lucit.app"))},
    {ALT_NAME, BYTES_OF("\060\020" DNS("\016", "api.lucit.app."))},
    {ALT_NAME, BYTES_OF("\060\020" DNS("\016", "api.lucit.app\0"))},
    {ALT_NAME, BYTES_OF("\060\020" DNS("\016", ".api.lucit.app"))},
    {ALT_NAME, BYTES_OF("\060\6\207\4\177\0\0\1")},
    {ALT_NAME, BYTES_OF("\060\0")},
    {ALT_NAME,
        BYTES_OF("\060\035" DNS("\014", "none.example")
                DNS("\015", "api.lucit.app"))},
    {ALT_NAME,
        BYTES_OF("\060\021\202\201\015"
                 "api.lucit.app\5\0")},
    {CONSTRAINTS, BYTES_OF("\060\021\240\017\060\015\202\013example.com")},
    {CONSTRAINTS, BYTES_OF("\060\017\241\015\060\013\202\011lucit.app")},
    {CONSTRAINTS, BYTES_OF("\060\017\240\015\060\013\202\011lucit.app")},
    {SUBJECT_KEY, BYTES_OF("\4\4key1")},
    {AUTHORITY_KEY, BYTES_OF("\060\6\200\4key1")},
    {AUTHORITY_KEY, BYTES_OF("\060\6\200\4key2")},
    {AUTHORITY_KEY, BYTES_OF("\060\0")},
    {POLICIES, BYTES_OF("\060\010\060\6\6\4\125\035\040\0")},
    {MAPPINGS, BYTES_OF("\060\0")}, {POLICY_LIMITS, BYTES_OF("\060\3\200\1\0")},
    {INHIBIT_ANY, BYTES_OF("\2\1\0")}, {CRL_POINTS, BYTES_OF("\060\0")},
    {ISSUER_ALT, BYTES_OF("\060\003" DNS("\001", "a"))},
    {NS_TYPE, BYTES_OF("\3\2\6\100")}, {NS_TYPE, BYTES_OF("\3\2\7\200")},
    {NS_TYPE, BYTES_OF("\3\2\2\4")},
    {PROXY, BYTES_OF("\060\014\060\012\6\010\053\6\1\5\5\7\025\1")},
    {ACCESS, BYTES_OF("\060\0")}, {FEATURE, BYTES_OF("\060\3\2\1\5")},
    {POISON, BYTES_OF("\5\0")}, {UNKNOWN, BYTES_OF("\5\0")},
    {IP_BLOCKS, BYTES_OF("\060\0")}, {AS_NUMBERS, BYTES_OF("\060\0")}};

enum {
  NO_CA,
  IS_CA,
  IS_LAST_CA,
  IS_SECOND_LAST_CA,
  FOR_KEYS,
  FOR_CERTS,
  SERVER_AUTH,
  FOR_HOST
};

/* AlgorithmIdentifiers; the first is what goes with key and hash. */
#define ECDSA(n) "\6\010\052\206\110\316\075\4\3" n
#define PKCS(n) "\6\011\052\206\110\206\367\015\1\1" n
static const bytes algorithms[] = {{NULL, 0}, BYTES_OF("\060\012" ECDSA("\2")),
    BYTES_OF("\060\012" ECDSA("\3")), BYTES_OF("\060\012" ECDSA("\4")),
    BYTES_OF("\060\014" ECDSA("\2") "\5\0"),
    BYTES_OF("\060\015" ECDSA("\2") "\2\1\1"),
    BYTES_OF("\060\011\6\7\052\206\110\316\075\4\1"),
    BYTES_OF("\060\012" ECDSA("\1")), BYTES_OF("\060\015" PKCS("\013") "\5\0"),
    BYTES_OF("\060\013" PKCS("\013")),
    BYTES_OF("\060\016" PKCS("\013") "\2\1\1"),
    BYTES_OF("\060\015" PKCS("\014") "\5\0"),
    BYTES_OF("\060\015" PKCS("\005") "\5\0"),
    BYTES_OF("\060\015" PKCS("\012") "\060\0"),
    BYTES_OF("\060\5\6\3\053\145\160"), BYTES_OF("\060\0")};

typedef struct extension {
  byte oid;
  byte critical; /* by the row of `criticals` */
  span value;
} extension;

static const bytes criticals[] = {
    {NULL, 0}, BYTES_OF("\1\1\377"), BYTES_OF("\1\1\0"), BYTES_OF("\1\1\1")};

/* A change of a byte. */
typedef struct edit {
  unsigned at;
  byte bits;
  bool inserts;
} edit;

typedef struct certificate {
  byte version, dates, issuer, subject, key, signer, hash, inner, outer;
  bool is_signed_wrongly;
  extension extensions[EXTENSIONS_MAX];
  byte extension_count;
  edit edits[EDITS_MAX]; /* of what is signed, before it is */
  byte edit_count;
  edit later_edit; /* of the whole, behind that */
  writer der;
} certificate;

static certificate made[CERTIFICATES];

/* Those that are shown, in this order; and where the root may come in, too. */
static struct {
  span list[SHOWN_MAX];
  byte count;
  byte counted; /* of these, so many come before the client's verdict */
  const char *host;
  int64_t now_s;
} shown;

static X509 *root;
static byte root_der[FILE_MAX];
static size_t root_size;

/* ---- The script ---- */

static void add_extension(certificate *c, byte oid, byte critical, span value) {
  if (c->extension_count == EXTENSIONS_MAX) return;
  c->extensions[c->extension_count++] = (extension){
      (byte)(oid % OIDS), (byte)(critical % COUNT(criticals)), value};
}

static void add_value(certificate *c, byte n, byte critical) {
  n %= COUNT(values);
  add_extension(c, values[n].oid, critical,
      span_of(values[n].value.at, values[n].value.size));
}

/* What is usual. */
static void begin_certificate(certificate *c, bool is_ca) {
  memset(c, 0, offsetof(certificate, der));
  c->der.size = 0;
  c->version = 2;
  c->issuer = is_ca ? NAME_CA : NAME_BETWEEN;
  c->subject = is_ca ? NAME_BETWEEN : NAME_SERVER;
  c->key = is_ca ? KEY_BETWEEN : KEY_SERVER;
  c->signer = is_ca ? KEY_CA : KEY_BETWEEN;
  add_value(c, is_ca ? IS_CA : NO_CA, 1);
  add_value(c, is_ca ? FOR_CERTS : FOR_KEYS, 1);
  if (is_ca) return;
  add_value(c, SERVER_AUTH, 0);
  add_value(c, FOR_HOST, 0);
}

static span take_content(span *in) {
  size_t size = control(in);
  span s = *in;

  if (size > length_of(s)) size = length_of(s);
  s.end = s.at + size;
  in->at = s.end;
  return s;
}

static extension *take_extension(certificate *c, span *in) {
  static extension none;
  byte n = control(in);

  return c->extension_count > 0 ? &c->extensions[n % c->extension_count]
                                : &none;
}

static void remove_extension(certificate *c, span *in) {
  extension *e = take_extension(c, in);

  if (c->extension_count == 0) return;
  c->extension_count--;
  memmove(e, e + 1,
      (size_t)((byte *)&c->extensions[c->extension_count] - (byte *)e));
}

static edit take_edit(span *in, bool inserts) {
  edit e = {control(in), 0, inserts};

  e.at += 256u * (control(in) & 3);
  e.bits = control(in);
  return e;
}

static void add_edit(certificate *c, edit e) {
  if (c->edit_count < EDITS_MAX) c->edits[c->edit_count++] = e;
}

static void change(certificate *c, byte letter, span *in) {
  static const char letters[] = "vdnskShaAercCVxiXw";
  extension *e;
  byte n;

  if (!strchr(letters, letter) || letter == 0)
    letter = (byte)letters[letter % (sizeof letters - 1)];
  switch (letter) {
  case 'v': c->version = control(in) % 5; break;
  case 'd': c->dates = control(in) % COUNT(dates); break;
  case 'n': c->issuer = control(in) % COUNT(names); break;
  case 's': c->subject = control(in) % COUNT(names); break;
  case 'k': c->key = control(in) % KEYS; break;
  case 'S': c->signer = control(in) % KEYS; break;
  case 'h': c->hash = control(in); break;
  case 'a': c->inner = control(in) % COUNT(algorithms); break;
  case 'A': c->outer = control(in) % COUNT(algorithms); break;
  case 'e':
    n = control(in);
    add_value(c, n, control(in));
    break;
  case 'r': remove_extension(c, in); break;
  case 'c':
    e = take_extension(c, in);
    e->critical = control(in) % COUNT(criticals);
    break;
  case 'C': /* a second one like it */
    e = take_extension(c, in);
    if (c->extension_count > 0) add_extension(c, e->oid, e->critical, e->value);
    break;
  case 'V': /* of any bytes */
    n = control(in);
    add_extension(c, n, control(in), take_content(in));
    break;
  case 'x': add_edit(c, take_edit(in, false)); break;
  case 'i': add_edit(c, take_edit(in, true)); break;
  case 'X': c->later_edit = take_edit(in, false); break;
  case 'w': c->is_signed_wrongly = true; break;
  default: break;
  }
}

/* ---- Making what the script says ---- */

static void write_name(writer *w, byte n) {
  size_t all = begin(w, 0x30), set, pair;

  if (names[n].tag != 0) {
    size_t size = names[n].tag == 0x1E ? 4 : strlen(names[n].text);
    set = begin(w, 0x31);
    pair = begin(w, 0x30);
    append(w, "\6\3\125\4\3", 5);
    append_element(w, names[n].tag, names[n].text, size);
    finish(w, pair);
    finish(w, set);
  }
  finish(w, all);
}

static const EVP_MD *hash_of(const certificate *c) {
  switch (c->hash % 8) {
  case 1: return EVP_sha384();
  case 2: return EVP_sha512();
  case 3: return EVP_sha1();
  case 4: return EVP_sha224();
  default: return EVP_sha256();
  }
}

static void write_algorithm(writer *w, const certificate *c, byte choice) {
  EVP_PKEY *key = keys[c->signer];
  int kind = EVP_PKEY_get_base_id(key), id = NID_undef;
  size_t start;
  unsigned char oid[32], *at = oid;

  if (algorithms[choice].size > 0) {
    append(w, algorithms[choice].at, algorithms[choice].size);
    return;
  }
  if (kind == EVP_PKEY_ED25519) id = NID_ED25519;
  else OBJ_find_sigid_by_algs(&id, EVP_MD_get_type(hash_of(c)), kind);
  start = begin(w, 0x30);
  append(w, oid, (size_t)i2d_ASN1_OBJECT(OBJ_nid2obj(id), &at));
  if (kind == EVP_PKEY_RSA) append(w, "\5\0", 2);
  finish(w, start);
}

static void write_extensions(writer *w, const certificate *c) {
  size_t outer, list, one;

  if (c->extension_count == 0) return;
  outer = begin(w, 0xA3);
  list = begin(w, 0x30);
  for (byte i = 0; i < c->extension_count; i++) {
    const extension *e = &c->extensions[i];
    one = begin(w, 0x30);
    append_element(w, 0x06, oids[e->oid].at, oids[e->oid].size);
    append(w, criticals[e->critical].at, criticals[e->critical].size);
    append_element(w, 0x04, e->value.at, length_of(e->value));
    finish(w, one);
  }
  finish(w, list);
  finish(w, outer);
}

static void write_signed_part(writer *w, const certificate *c) {
  size_t all = begin(w, 0x30), validity, version;

  if (c->version > 0) {
    byte number = c->version;
    version = begin(w, 0xA0);
    append_element(w, 0x02, &number, 1);
    finish(w, version);
  }
  append(w, "\2\1\5", 3);
  write_algorithm(w, c, c->inner);
  write_name(w, c->issuer);
  validity = begin(w, 0x30);
  append_element(w, dates[c->dates].tags[0], dates[c->dates].from,
      strlen(dates[c->dates].from));
  append_element(w, dates[c->dates].tags[1], dates[c->dates].to,
      strlen(dates[c->dates].to));
  finish(w, validity);
  write_name(w, c->subject);
  append(w, public_keys[c->key], (size_t)public_key_sizes[c->key]);
  write_extensions(w, c);
  finish(w, all);
}

static void do_edit(writer *w, const edit *e) {
  size_t at = w->size > 0 ? e->at % w->size : 0;

  if (!e->inserts) {
    w->bytes[at] ^= e->bits;
    return;
  }
  memmove(w->bytes + at + 1, w->bytes + at, w->size - at);
  w->bytes[at] = e->bits;
  w->size++;
}

static void sign(writer *w, const writer *part, const certificate *c) {
  byte signature[600];
  size_t size = sizeof signature;
  EVP_MD_CTX *context = EVP_MD_CTX_new();
  EVP_PKEY *key = keys[c->signer];
  bool ed = EVP_PKEY_get_base_id(key) == EVP_PKEY_ED25519;
  size_t start;

  EXPECT(EVP_DigestSignInit(context, NULL, ed ? NULL : hash_of(c), NULL, key));
  EXPECT(EVP_DigestSign(context, signature, &size, part->bytes, part->size));
  EVP_MD_CTX_free(context);
  if (c->is_signed_wrongly) signature[size / 2] ^= 1;
  start = begin(w, 0x03);
  append(w, "\0", 1);
  append(w, signature, size);
  finish(w, start);
}

static void make(certificate *c) {
  static writer part;
  size_t start;

  part.size = 0;
  write_signed_part(&part, c);
  for (byte i = 0; i < c->edit_count; i++) do_edit(&part, &c->edits[i]);
  c->der.size = 0;
  start = begin(&c->der, 0x30);
  append(&c->der, part.bytes, part.size);
  write_algorithm(&c->der, c, c->outer);
  sign(&c->der, &part, c);
  finish(&c->der, start);
  if (c->later_edit.bits != 0) do_edit(&c->der, &c->later_edit);
}

/* ---- The client's verdict ---- */

static hbeat_client client;
static hbeat_anchors anchors;

/* BearSSL's error, or ours; 0 where the client would go on. */
static unsigned judge_by_client(void) {
  const br_x509_class **x509 = &client.certs.x509.vtable, *class = *x509;
  int64_t days = shown.now_s / DAY_S + DAYS_TO_1970;
  unsigned usages = 0, error;
  const br_x509_pkey *key;

  client.certs.count = 0;
  client.certs.not_for_servers = false;
  client.certs.out_of_order = false;
  client.certs.malformed = false;
  br_x509_minimal_set_time(
      &client.certs.x509, (uint32_t)days, (uint32_t)(shown.now_s % DAY_S));
  class->start_chain(x509, shown.host);
  for (byte i = 0; i < shown.count; i++) {
    span c = shown.list[i];
    shown.counted += client.certs.x509.err == 0;
    class->start_cert(x509, (uint32_t)length_of(c));
    class->append(x509, at_end(c.at, length_of(c)), length_of(c));
    class->end_cert(x509);
  }
  error = class->end_chain(x509);
  if (error != 0) return error;
  /* The engine asks for a key that signs, as all suites are ECDHE. */
  key = class->get_pkey(x509, &usages);
  return key && (usages & BR_KEYTYPE_SIGN) ? 0 : BR_ERR_WRONG_KEY_USAGE;
}

/* ---- How OpenSSL may be stricter ---- */

/* What the client accepts and OpenSSL does not.  A row excuses one error of
 * OpenSSL's, where its condition holds of the certificate that it is about, or
 * of the one that has signed that; all other errors must be ours, too. */

/* The last second of a certificate is one of its own, RFC 5280 section
 * 4.1.2.5; to OpenSSL it is the first one behind. */
static bool ends_now(X509 *x) {
  const ASN1_TIME *end = X509_get0_notAfter(x);
  return ASN1_TIME_cmp_time_t(end, (time_t)shown.now_s) == 0;
}

static bool has_fraction(X509 *x) {
  const ASN1_TIME *from = X509_get0_notBefore(x), *to = X509_get0_notAfter(x);

  return memchr(from->data, '.', (size_t)from->length) ||
      memchr(to->data, '.', (size_t)to->length);
}

static bool is_self_issued(X509 *x) {
  return X509_NAME_cmp(X509_get_subject_name(x), X509_get_issuer_name(x)) == 0;
}

/* The algorithm of the signature stands in the signed part, too. */
static bool names_two_algorithms(X509 *x) {
  const X509_ALGOR *outer;

  X509_get0_signature(NULL, &outer, x);
  return X509_ALGOR_cmp(outer, X509_get0_tbs_sigalg(x)) != 0;
}

static bool has(X509 *x, int id, bool critical) {
  int at = -1;

  while ((at = X509_get_ext_by_NID(x, id, at)) >= 0)
    if (!critical || X509_EXTENSION_get_critical(X509_get_ext(x, at)))
      return true;
  return false;
}

static bool has_authority_key(X509 *x) {
  return has(x, NID_authority_key_identifier, false);
}

static bool is_for_any_purpose(X509 *x) {
  bool names_any = X509_get_extended_key_usage(x) & XKU_ANYEKU;
  return has(x, NID_ext_key_usage, false) && names_any;
}

/* keyUsage has nonRepudiation in the place of digitalSignature. */
static bool signs_documents(X509 *x) {
  uint32_t usage = X509_get_key_usage(x);

  return (usage & KU_NON_REPUDIATION) && !(usage & KU_DIGITAL_SIGNATURE);
}

static bool is_of_netscape(X509 *x) {
  return has(x, NID_netscape_cert_type, false);
}

static bool has_name_constraints(X509 *x) {
  return has(x, NID_name_constraints, false) &&
      !has(x, NID_name_constraints, true);
}

static bool has_ignored_critical(X509 *x) {
  static const int ids[] = {NID_subject_key_identifier,
      NID_authority_key_identifier, NID_issuer_alt_name,
      NID_subject_directory_attributes, NID_crl_distribution_points,
      NID_freshest_crl, NID_info_access, NID_sinfo_access};
  bool found = false;

  for (size_t i = 0; i < COUNT(ids); i++) found |= has(x, ids[i], true);
  return found;
}

static bool has_double(X509 *x) {
  int count = X509_get_ext_count(x);

  for (int i = 0; i < count; i++) {
    ASN1_OBJECT *id = X509_EXTENSION_get_object(X509_get_ext(x, i));
    if (X509_get_ext_by_OBJ(x, id, i) >= 0) return true;
  }
  return false;
}

static bool is_malformed(X509_EXTENSION *e) {
  const X509V3_EXT_METHOD *method = X509V3_EXT_get(e);
  void *value = X509V3_EXT_d2i(e);

  if (value && method->it) ASN1_item_free(value, ASN1_ITEM_ptr(method->it));
  return !value;
}

/* The certificates of a chain whose errors may be excused. */
static X509 *servers_own;
static STACK_OF(X509) * all_others;

/* OpenSSL cannot parse an extension that says nothing to BearSSL. */
static bool has_malformed_bystander(X509 *x) {
  static const int ids[] = {NID_subject_key_identifier,
      NID_authority_key_identifier, NID_issuer_alt_name, NID_name_constraints,
      NID_crl_distribution_points, NID_proxyCertInfo, NID_sbgp_ipAddrBlock,
      NID_sbgp_autonomousSysNum, NID_netscape_cert_type, NID_subject_alt_name};
  size_t count = COUNT(ids) - (x == servers_own);
  bool found = false;

  for (size_t i = 0; i < count; i++) {
    int at = X509_get_ext_by_NID(x, ids[i], -1);
    found |= at >= 0 && is_malformed(X509_get_ext(x, at));
  }
  return found;
}

static bool has_issued(X509 *issuer, X509 *x) {
  X509_NAME *name = X509_get_subject_name(issuer);
  return X509_NAME_cmp(name, X509_get_issuer_name(x)) == 0;
}

/* Two others have the issuer's name, or the root and one. */
static bool has_rival_issuers(X509 *x) {
  X509 *first = has_issued(root, x) ? root : NULL;

  for (int n = 0; n < sk_X509_num(all_others); n++) {
    X509 *other = sk_X509_value(all_others, n);
    if (!has_issued(other, x)) continue;
    if (first && X509_cmp(first, other) != 0) return true;
    first = other;
  }
  return false;
}

/* A key that is none, as a point that is not on its curve.  It is the server's
 * own: it is first used for the handshake's signature, which it never fits. */
static bool has_no_key(X509 *x) {
  return x == servers_own && !X509_get0_pubkey(x);
}

/* Whether the server's own certificate is a CA's, and how far, is nothing to
 * the client: it signs no other. */
static bool has_odd_constraints(X509 *x) {
  bool is_odd = X509_get_extension_flags(x) & EXFLAG_INVALID;
  return x == servers_own && is_odd && has(x, NID_basic_constraints, false);
}

/* RFC 3820 wants it to be critical; then the client refuses it. */
static bool is_proxy(X509 *x) {
  return has(x, NID_proxyCertInfo, false) && !has(x, NID_proxyCertInfo, true);
}

/* In place of errors of OpenSSL's: one certificate has not issued the other;
 * and a certificate is so odd to OpenSSL that it looks at no chain with it. */
enum { NOT_ISSUED = X509_V_ERR_SUBJECT_ISSUER_MISMATCH, NOT_COMPARED = -2 };

static const struct {
  int error;
  bool (*holds)(X509 *x);
  const char *why;
} stricter[] = {
    {NOT_COMPARED, has_double,
        "of two extensions of a kind both count; a CA has signed them"},
    {NOT_COMPARED, has_malformed_bystander,
        "BearSSL passes over what an extension says that excludes nobody"},
    {NOT_COMPARED, is_proxy, "nobody asks who signs for whom: a CA has"},
    {NOT_COMPARED, has_odd_constraints, "it signs no other certificate"},
    {NOT_COMPARED, has_no_key, "the handshake cannot succeed with it"},
    {NOT_ISSUED, names_two_algorithms,
        "BearSSL passes over the algorithm inside; the outer one verified"},
    {NOT_ISSUED, has_authority_key,
        "BearSSL passes over key identifiers; the signature decides"},
    {X509_V_ERR_CERT_SIGNATURE_FAILURE, names_two_algorithms,
        "BearSSL passes over the algorithm inside; the outer one verified"},
    {X509_V_ERR_CERT_SIGNATURE_FAILURE, has_rival_issuers,
        "the next one is the issuer; OpenSSL takes any of its name"},
    {X509_V_ERR_CERT_HAS_EXPIRED, ends_now,
        "its last second is one of its own"},
    {X509_V_ERR_ERROR_IN_CERT_NOT_BEFORE_FIELD, has_fraction,
        "BearSSL reads past a fraction of a second"},
    {X509_V_ERR_ERROR_IN_CERT_NOT_AFTER_FIELD, has_fraction,
        "BearSSL reads past a fraction of a second"},
    {X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT, is_self_issued,
        "who has its issuer's name may still be signed by another"},
    {X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN, is_self_issued,
        "who has its issuer's name may still be signed by another"},
    {X509_V_ERR_INVALID_PURPOSE, is_for_any_purpose,
        "any purpose is that of servers, too: RFC 5280 section 4.2.1.12"},
    {X509_V_ERR_INVALID_PURPOSE, signs_documents,
        "to BearSSL, a key that may sign documents may sign handshakes"},
    {X509_V_ERR_INVALID_PURPOSE, is_of_netscape,
        "Netscape's types are no part of RFC 5280"},
    {X509_V_ERR_PROXY_CERTIFICATES_NOT_ALLOWED, is_proxy,
        "nobody asks who signs for whom: a CA has"},
    {X509_V_ERR_UNHANDLED_CRITICAL_EXTENSION, has_ignored_critical,
        "a critical extension of those that exclude nobody"},
    {X509_V_ERR_PERMITTED_VIOLATION, has_name_constraints,
        "name constraints count only where they are critical"},
    {X509_V_ERR_EXCLUDED_VIOLATION, has_name_constraints,
        "name constraints count only where they are critical"},
    {X509_V_ERR_HOSTNAME_MISMATCH, has_double,
        "of two lists of names either may have the host's"},
};

/* What OpenSSL cannot parse and BearSSL passes over: it is what a CA that we
 * trust has signed, and says nothing of host, dates, purpose or key. */
static const char *const passed_over[] = {
    "Field=signature, Type=X509_CINF", "Field=issuer, Type=X509_CINF",
    "Field=subject, Type=X509_CINF", "Field=serialNumber, Type=X509_CINF",
    "Field=parameter, Type=X509_ALGOR",  /* where it says nothing */
    "Field=object, Type=X509_EXTENSION", /* of one that is not critical */
};

/* ---- OpenSSL's verdict ---- */

enum { NOT_PARSED = -1 };

static X509_STORE *store;

/* Set where the client accepts the chain: what is excused is no error. */
static bool seeks_excuses;

static X509 *parse(span der) {
  const byte *at = der.at;
  X509 *x = d2i_X509(NULL, &at, (long)length_of(der));

  if (x && at != der.end) {
    X509_free(x);
    x = NULL;
  }
  return x;
}

/* Whether an error is excused by what holds of a certificate. */
static bool is_excused_by(int error, X509 *x) {
  for (size_t i = 0; i < COUNT(stricter); i++)
    if (stricter[i].error == error && stricter[i].holds(x)) return true;
  return false;
}

/* X509_verify_cert() asks whether to go on behind an error. */
static int see_error(int ok, X509_STORE_CTX *context) {
  STACK_OF(X509) *all = X509_STORE_CTX_get0_chain(context);
  int error = X509_STORE_CTX_get_error(context);

  if (ok || !seeks_excuses) return ok;
  if (error != X509_V_ERR_PERMITTED_VIOLATION &&
      error != X509_V_ERR_EXCLUDED_VIOLATION)
    return is_excused_by(error, X509_STORE_CTX_get_current_cert(context));
  for (int n = 0; n < sk_X509_num(all); n++) /* one above sets the limit */
    if (is_excused_by(error, sk_X509_value(all, n))) return 1;
  return 0;
}

/* It asks whether one certificate has issued another, by all but the
 * signature. */
static int see_issuer(X509_STORE_CTX *context, X509 *x, X509 *issuer) {
  X509_NAME *name = X509_get_subject_name(issuer);
  int error = X509_check_issued(issuer, x);

  (void)context;
  if (error == X509_V_OK || error == X509_V_ERR_KEYUSAGE_NO_CERTSIGN) return 1;
  if (!seeks_excuses || X509_NAME_cmp(name, X509_get_issuer_name(x)) != 0)
    return 0;
  return is_excused_by(NOT_ISSUED, x);
}

static bool is_compared(X509 *leaf, STACK_OF(X509) * others) {
  bool excused;

  servers_own = leaf;
  all_others = others;
  excused = is_excused_by(NOT_COMPARED, leaf);
  for (int n = 0; n < sk_X509_num(others); n++)
    excused |= is_excused_by(NOT_COMPARED, sk_X509_value(others, n));
  return !seeks_excuses || !excused;
}

static int verify(X509 *leaf, STACK_OF(X509) * others) {
  X509_STORE_CTX *context = X509_STORE_CTX_new();
  X509_VERIFY_PARAM *p;
  int error;

  EXPECT(X509_STORE_CTX_init(context, store, leaf, others));
  X509_STORE_CTX_set_verify_cb(context, see_error);
  p = X509_STORE_CTX_get0_param(context);
  X509_VERIFY_PARAM_set_time(p, (time_t)shown.now_s);
  X509_VERIFY_PARAM_set_auth_level(p, 2);
  X509_VERIFY_PARAM_set_hostflags(p,
      X509_CHECK_FLAG_NEVER_CHECK_SUBJECT |
          X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
  EXPECT(X509_VERIFY_PARAM_set1_host(p, shown.host, 0));
  EXPECT(X509_VERIFY_PARAM_set_purpose(p, X509_PURPOSE_SSL_SERVER));
  error = X509_verify_cert(context) == 1 ? X509_V_OK
                                         : X509_STORE_CTX_get_error(context);
  X509_STORE_CTX_free(context);
  return error;
}

/* Whether the errors that parsing left are those of what is passed over. */
static bool is_passed_over(void) {
  const char *data;
  int flags;
  bool found = false;

  while (ERR_get_error_all(NULL, NULL, NULL, &data, &flags) != 0)
    for (size_t i = 0; i < COUNT(passed_over); i++)
      found |= strcmp(data, passed_over[i]) == 0;
  return found;
}

/* X509_V_OK, another X509_V_ERR, or NOT_PARSED.  Where excuses are sought, what
 * is behind the client's verdict is none of its business: once an anchor has
 * vouched, nothing matters any more. */
static int judge_by_openssl(void) {
  STACK_OF(X509) *others = sk_X509_new_null();
  X509 *leaf = NULL;
  byte count = seeks_excuses ? shown.counted : shown.count;
  bool all = true;
  int error = X509_V_OK;

  for (byte i = 0; i < count; i++) {
    X509 *x = parse(shown.list[i]);
    if (i == 0) leaf = x;
    else if (x) sk_X509_push(others, x);
    all &= x != NULL;
    if (!x && !(seeks_excuses && is_passed_over())) error = NOT_PARSED;
    ERR_clear_error();
  }
  if (all && is_compared(leaf, others)) error = verify(leaf, others);
  sk_X509_pop_free(others, X509_free);
  X509_free(leaf);
  ERR_clear_error();
  return error;
}

/* ---- How the client may be stricter ---- */

static const struct {
  unsigned first, last; /* BearSSL's errors */
  const char *why;
} reasons[] = {
    {BR_ERR_WRONG_KEY_USAGE, BR_ERR_WRONG_KEY_USAGE,
        "the key must sign; every certificate that is shown must be for "
        "servers; Netscape's and Microsoft's purposes are not theirs"},
    {BR_ERR_X509_INVALID_VALUE, BR_ERR_X509_BAD_TIME,
        "BearSSL takes DER alone, the walk an extendedKeyUsage that is one"},
    {BR_ERR_X509_UNSUPPORTED, BR_ERR_X509_WRONG_KEY_TYPE,
        "PSS, EdDSA, curves but P-256, P-384 and P-521, hashes but SHA-2"},
    {BR_ERR_X509_EXPIRED, BR_ERR_X509_EXPIRED,
        "a certificate counts even if the path does not need it"},
    {BR_ERR_X509_DN_MISMATCH, BR_ERR_X509_DN_MISMATCH,
        "a chain is in order, RFC 5246 section 7.4.2: OpenSSL sorts it"},
    {BR_ERR_X509_BAD_SERVER_NAME, BR_ERR_X509_BAD_SERVER_NAME,
        "a name is compared without its dot, and a wildcard is a label"},
    {BR_ERR_X509_CRITICAL_EXTENSION, BR_ERR_X509_CRITICAL_EXTENSION,
        "BearSSL knows fewer: extendedKeyUsage, policies, constraints"},
    {BR_ERR_X509_NOT_CA, BR_ERR_X509_FORBIDDEN_KEY_USAGE,
        "a certificate counts even if the path does not need it"},
    {BR_ERR_X509_WEAK_PUBLIC_KEY, BR_ERR_X509_WEAK_PUBLIC_KEY,
        "a certificate counts even if the path does not need it"},
    {BR_ERR_X509_NOT_TRUSTED, BR_ERR_X509_NOT_TRUSTED,
        "an anchor's name is compared byte by byte"},
};

static bool has_reason(unsigned ours) {
  for (size_t i = 0; i < COUNT(reasons); i++)
    if (ours >= reasons[i].first && ours <= reasons[i].last) return true;
  return false;
}

/* Where the client accepts, every error of OpenSSL's must be excused. */
static void compare(unsigned ours, int theirs) {
  if ((ours == 0) == (theirs == X509_V_OK)) return;
  if (ours == 0) {
    seeks_excuses = true;
    theirs = judge_by_openssl();
    seeks_excuses = false;
    if (theirs == X509_V_OK) return;
  } else if (has_reason(ours)) {
    return;
  }
  fprintf(stderr, "the client says %u, OpenSSL %d (%s)\n", ours, theirs,
      theirs < 0 ? "not parsed" : X509_verify_cert_error_string(theirs));
  abort();
}

/* ---- Runs ---- */

static void load_keys(void) {
  static byte text[FILE_MAX];

  for (int i = 0; i < KEYS; i++) {
    size_t size = read_cert_file(key_names[i], "key", text, sizeof text);
    BIO *in = BIO_new_mem_buf(text, (int)size);
    keys[i] = PEM_read_bio_PrivateKey(in, NULL, NULL, NULL);
    EXPECT(keys[i]);
    BIO_free(in);
    public_key_sizes[i] = i2d_PUBKEY(keys[i], &public_keys[i]);
  }
}

static void load_root(void) {
  static byte text[FILE_MAX], arena[2048];
  size_t size = read_cert_file("ca", "pem", text, sizeof text);
  BIO *in = BIO_new_mem_buf(text, (int)size);
  byte *at = root_der;

  root = PEM_read_bio_X509(in, NULL, NULL, NULL);
  BIO_free(in);
  store = X509_STORE_new();
  X509_STORE_set_check_issued(store, see_issuer);
  EXPECT(root && X509_STORE_add_cert(store, root));
  root_size = (size_t)i2d_X509(root, &at);
  anchors.arena = arena;
  anchors.arena_size = sizeof arena;
  EXPECT(hbeat_anchors_pem(&anchors, text, size) == HBEAT_OK);
}

static void prepare(void) {
  static byte tls[HBEAT_TLS_BUFFER_SIZE];
  static char reply[16];
  hbeat_config cfg = {.device = "d",
      .app = "a",
      .token = "t",
      .tls_buffer = tls,
      .tls_buffer_size = sizeof tls,
      .reply_buffer = reply,
      .reply_buffer_size = sizeof reply};

  load_keys();
  load_root();
  cfg.anchors = anchors.list;
  cfg.anchor_count = anchors.count;
  EXPECT(hbeat_init(&client, &cfg) == HBEAT_OK);
}

static void show(span der) {
  if (shown.count < SHOWN_MAX) shown.list[shown.count++] = der;
}

/* The last line: without one, all are shown as they were made. */
static void show_chain(span *in, byte count) {
  if (in->at >= in->end)
    for (byte i = 0; i < count; i++)
      show(span_of(made[i].der.bytes, made[i].der.size));
  while (in->at < in->end) {
    byte n = control(in) % (count + 1);
    if (n == count) show(span_of(root_der, root_size));
    else show(span_of(made[n].der.bytes, made[n].der.size));
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  span in = span_of(data, size);
  byte kind = control(&in), count = 0;
  unsigned ours;
  int theirs;

  if (client.state == UNFIT) prepare();
  memset(&shown, 0, sizeof shown);
  shown.host = hosts[kind % COUNT(hosts)];
  shown.now_s = times_s[kind / 16 % COUNT(times_s)];
  do {
    certificate *c = &made[count];
    begin_certificate(c, count > 0);
    while (in.at < in.end && *in.at != '\n') {
      byte letter = control(&in);
      change(c, letter, &in);
    }
    control(&in);
    make(c);
    count++;
  } while (count < 2 || (count < CERTIFICATES && scan_byte(&in, '+')));
  show_chain(&in, count);
  if (shown.count == 0) return 0;
  ours = judge_by_client();
  theirs = judge_by_openssl();
  compare(ours, theirs);
  return 0;
}
