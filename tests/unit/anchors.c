/*
 * Trust anchors from PEM text (RFC 7468), held against BearSSL's own decoders
 * of PEM and of certificates.  The certificates are made at the start, by the
 * openssl command.
 */
#include "cases.h"

#define BUNDLE "/etc/ssl/certs/ca-certificates.crt"
#define BUNDLE_MAX (1 << 20)
#define BUNDLE_ARENA (1 << 18)
#define FULL_ARENA 32768 /* for all certificates that are made here ... */
#define SMALL_ARENA 4096 /* ... and for any two but the greatest */

static fenced arenas, texts;

/* ---- Certificates for the tests ----------------------------------------- */

#define CA "-addext basicConstraints=critical,CA:TRUE"

/* Row: a certificate, how to make it, and whether BearSSL can use it.  `key`
   is the one that was made last. */
static struct made_row {
  const char *name;
  const char *options;
  bool usable;
  char pem[16384];
  size_t size;
} MADE[] = {
    {.name = "P-256",
        .options = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 " CA,
        .usable = true},
    {.name = "P-384",
        .options = "-newkey ec -pkeyopt ec_paramgen_curve:P-384 " CA,
        .usable = true},
    {.name = "P-521",
        .options = "-newkey ec -pkeyopt ec_paramgen_curve:P-521 " CA,
        .usable = true},
    {.name = "RSA-2048", .options = "-newkey rsa:2048 " CA, .usable = true},
    {.name = "no CA",
        .options = "-key key -addext basicConstraints=CA:FALSE",
        .usable = true},
    {.name = "no extensions", .options = "-key key", .usable = true},
    {.name = "a CA among many extensions",
        .options = "-key key -addext keyUsage=critical,keyCertSign"
                   " -addext subjectAltName=DNS:a.example,DNS:b.example"
                   " -addext basicConstraints=CA:TRUE,pathlen:0"
                   " -addext extendedKeyUsage=serverAuth",
        .usable = true},
    {.name = "a certificate of 6 KB",
        .options = "-key key " CA " -addext nsComment=$(printf %06000d 0)",
        .usable = true},
    {.name = "a long name",
        .options = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 " CA
                   " -subj $(printf /OU=%064d 1 2 3 4 5 6 7 8 9)",
        .usable = true},
    {.name = "RSA-3072", .options = "-newkey rsa:3072 " CA, .usable = true},
    {.name = "RSA-2048 with exponent 3",
        .options = "-newkey rsa:2048 -pkeyopt rsa_keygen_pubexp:3 " CA,
        .usable = true},
    {.name = "RSA-1024", .options = "-newkey rsa:1024 " CA, .usable = false},
    {.name = "Ed25519", .options = "-newkey ed25519 " CA, .usable = false},
    {.name = "secp256k1",
        .options = "-newkey ec -pkeyopt ec_paramgen_curve:secp256k1 " CA,
        .usable = false},
    {.name = "P-256, its parameters spelt out",
        .options = "-newkey ec -pkeyopt ec_paramgen_curve:P-256"
                   " -pkeyopt ec_param_enc:explicit " CA,
        .usable = false},
};

enum { P256, P384, P521, RSA2048, GREATEST = 7, LONG_NAME };

static char key_pem[4096]; /* a PRIVATE KEY of one of them */

static size_t read_file(const char *path, char *out, size_t room) {
  FILE *f = fopen(path, "rb");
  size_t size = 0;

  if (f != NULL) {
    size = fread(out, 1, room - 1, f);
    fclose(f);
  }
  out[size] = '\0';
  return size;
}

static int run(const char *format, ...) {
  char command[1024];
  va_list values;

  va_start(values, format);
  vsnprintf(command, sizeof command, format, values);
  va_end(values);
  return system(command);
}

/* Makes the certificate of one row in `folder`; false where that fails. */
static bool make(struct made_row *row, const char *folder) {
  char path[200];

  if (run("cd %s && openssl req -x509 -sha256 -nodes -days 30 -config config "
          "-utf8 -subj '/C=XX/O=Caf\xC3\xA9/CN=%s' "
          "-keyout key -out pem %s 2>log",
          folder, row->name, row->options) != 0)
    return false;
  snprintf(path, sizeof path, "%s/pem", folder);
  row->size = read_file(path, row->pem, sizeof row->pem);
  snprintf(path, sizeof path, "%s/key", folder);
  read_file(path, key_pem, sizeof key_pem);
  return row->size > 0;
}

static bool make_all(void) {
  char folder[] = "/tmp/heartbeat-anchors-XXXXXX";
  bool made = true;

  if (mkdtemp(folder) == NULL ||
      run("printf '[req]\\ndistinguished_name=dn\\n[dn]\\n' >%s/config",
          folder) != 0)
    return false;
  for (size_t i = 0; i < COUNT(MADE) && made; i++) {
    made = make(&MADE[i], folder);
    if (!made) {
      print_message("# openssl failed to make %s:\n", MADE[i].name);
      run("cat %s/log", folder);
    }
  }
  return run("rm -r %s", folder) == 0 && made;
}

/* ---- What BearSSL says -------------------------------------------------- */

/* A certificate as BearSSL decodes it; `x` holds the key. */
typedef struct reference {
  br_x509_decoder_context x;
  unsigned char dn[1024], der[8192];
  size_t dn_size, der_size;
} reference;

static reference references[512];
static size_t reference_count;

static void append_dn(void *to, const void *bytes, size_t size) {
  reference *r = to;

  assert_true(size <= sizeof r->dn - r->dn_size);
  memcpy(r->dn + r->dn_size, bytes, size);
  r->dn_size += size;
}

static void append_der(void *to, const void *bytes, size_t size) {
  reference *r = to;

  assert_true(size <= sizeof r->der - r->der_size);
  memcpy(r->der + r->der_size, bytes, size);
  r->der_size += size;
}

/* Decodes r->der; NULL where BearSSL finds no key that it knows. */
static const br_x509_pkey *decode_reference(reference *r) {
  r->dn_size = 0;
  br_x509_decoder_init(&r->x, append_dn, r);
  br_x509_decoder_push(&r->x, r->der, r->der_size);
  return br_x509_decoder_get_pkey(&r->x);
}

/* Reads all certificates of a text into `references`. */
static void decode_references(const char *text, size_t size) {
  br_pem_decoder_context pem;
  reference *r = references;

  reference_count = 0;
  br_pem_decoder_init(&pem);
  while (size > 0) {
    size_t n = br_pem_decoder_push(&pem, text, size);
    text += n;
    size -= n;
    switch (br_pem_decoder_event(&pem)) {
    case BR_PEM_BEGIN_OBJ:
      assert_true(reference_count < COUNT(references));
      r = &references[reference_count];
      r->der_size = 0;
      if (strcmp(br_pem_decoder_name(&pem), "CERTIFICATE") == 0)
        br_pem_decoder_setdest(&pem, append_der, r);
      else br_pem_decoder_setdest(&pem, NULL, NULL);
      break;
    case BR_PEM_END_OBJ:
      if (r->der_size > 0 && decode_reference(r) != NULL) reference_count++;
      break;
    default: break;
    }
  }
}

static void expect_inside(
    const hbeat_anchors *a, const void *bytes, size_t size) {
  uintptr_t begin = (uintptr_t)a->arena, at = (uintptr_t)bytes;

  expect_true("it lies in the arena",
      at >= begin && size <= a->arena_size &&
          at - begin <= a->arena_size - size);
}

/* The anchor owns all that it points to.  Returns the bytes that it takes. */
static size_t expect_kept(
    const hbeat_anchors *a, const br_x509_trust_anchor *ta) {
  const br_rsa_public_key *rsa = &ta->pkey.key.rsa;
  const br_ec_public_key *ec = &ta->pkey.key.ec;

  expect_inside(a, ta, sizeof *ta);
  expect_inside(a, ta->dn.data, ta->dn.len);
  if (ta->pkey.key_type == BR_KEYTYPE_EC) {
    expect_inside(a, ec->q, ec->qlen);
    return sizeof *ta + ta->dn.len + ec->qlen;
  }
  expect_inside(a, rsa->n, rsa->nlen);
  expect_inside(a, rsa->e, rsa->elen);
  return sizeof *ta + ta->dn.len + rsa->nlen + rsa->elen;
}

static void expect_anchor(const br_x509_trust_anchor *ta, reference *r) {
  const br_x509_pkey *key = br_x509_decoder_get_pkey(&r->x);

  expect_bytes("the name", ta->dn.data, ta->dn.len, r->dn, r->dn_size);
  expect_int(
      "the flags", ta->flags, br_x509_decoder_isCA(&r->x) ? BR_X509_TA_CA : 0);
  expect_int("the type of key", ta->pkey.key_type, key->key_type);
  if (key->key_type == BR_KEYTYPE_EC) {
    expect_int("the curve", ta->pkey.key.ec.curve, key->key.ec.curve);
    expect_bytes("the point", ta->pkey.key.ec.q, ta->pkey.key.ec.qlen,
        key->key.ec.q, key->key.ec.qlen);
  } else {
    expect_bytes("the modulus", ta->pkey.key.rsa.n, ta->pkey.key.rsa.nlen,
        key->key.rsa.n, key->key.rsa.nlen);
    expect_bytes("the exponent", ta->pkey.key.rsa.e, ta->pkey.key.rsa.elen,
        key->key.rsa.e, key->key.rsa.elen);
  }
}

/* The anchors are the first references.  Returns the bytes that they take. */
static size_t expect_anchors(const hbeat_anchors *a) {
  size_t sum = 0;

  expect_true("no more anchors than there are", a->count <= reference_count);
  for (size_t i = 0; i < a->count; i++) {
    expect_anchor(&a->list[i], &references[i]);
    sum += expect_kept(a, &a->list[i]);
  }
  return sum;
}

/* ---- Loading ------------------------------------------------------------ */

/* Adds a text that lies before a fault, and that is gone afterwards. */
static hbeat_error add(hbeat_anchors *a, const char *text, size_t size) {
  char *copy = at_end(&texts, text, size);
  hbeat_error e = hbeat_anchors_pem(a, copy, size);

  memset(copy, 0x5A, size);
  return e;
}

/* Loads a text into an arena inside `arenas`, and looks at what is around. */
static hbeat_error load(hbeat_anchors *a, char *arena, size_t arena_size,
    const char *text, size_t size) {
  enum { GUARD = 64 };
  static const char UNTOUCHED[GUARD];
  char *end = arena + arena_size;
  size_t before = (size_t)(arena - arenas.begin);
  size_t after = (size_t)(arenas.end - end);
  hbeat_error e;

  if (before > GUARD) before = GUARD;
  if (after > GUARD) after = GUARD;
  memset(arena, 0xA5, arena_size);
  memset(arena - before, 0, before);
  memset(end, 0, after);
  *a = (hbeat_anchors){.arena = arena, .arena_size = arena_size};
  e = add(a, text, size);
  expect_bytes("before the arena", arena - before, before, UNTOUCHED, before);
  expect_bytes("behind the arena", end, after, UNTOUCHED, after);
  return e;
}

/* Loads a text into an arena that ends at a fault. */
static hbeat_error load_into(
    hbeat_anchors *a, size_t arena_size, const char *text, size_t size) {
  return load(a, arenas.end - arena_size, arena_size, text, size);
}

static hbeat_error load_whole(hbeat_anchors *a, const char *text, size_t size) {
  return load_into(a, FULL_ARENA, text, size);
}

static void expect_counts(
    const hbeat_anchors *a, size_t count, size_t skipped) {
  expect_int("the anchors", (int64_t)a->count, (int64_t)count);
  expect_int("the skipped", (int64_t)a->skipped, (int64_t)skipped);
}

static void test_made(void **state) {
  const struct made_row *row = *state;
  hbeat_anchors a;

  in_hand(row->name, row->pem, row->size);
  decode_references(row->pem, row->size);
  expect_error("the outcome", load_whole(&a, row->pem, row->size),
      row->usable ? HBEAT_OK : HBEAT_ERR_CERT_TRUST);
  expect_counts(&a, row->usable, !row->usable);
  expect_anchors(&a);
}

/* All certificates that were made, usable or not, and text between. */
static char all[150000];
static size_t all_size, all_usable, all_skipped;

static void write_all(void) {
  char *p = all;

  p += sprintf(p, "Roots for the tests\n===================\n\n%s\n", key_pem);
  for (size_t i = 0; i < COUNT(MADE); i++) {
    p += sprintf(p, "%s\n%s", MADE[i].name, MADE[i].pem);
    if (MADE[i].usable) all_usable++;
    else all_skipped++;
  }
  all_size = (size_t)(p - all);
}

/* BearSSL knows the key of RSA-1024 and has no minimum: left out here. */
static void decode_all(void) {
  static char usable[sizeof all];
  char *p = usable;

  for (size_t i = 0; i < COUNT(MADE); i++)
    if (MADE[i].usable) p += sprintf(p, "%s", MADE[i].pem);
  decode_references(usable, (size_t)(p - usable));
  expect_int(
      "BearSSL's own count", (int64_t)reference_count, (int64_t)all_usable);
}

/* A text each, between texts that hold nothing, in one arena. */
static void test_texts(void **state) {
  static const char WORDS[] = "There is nothing in here.\n";
  hbeat_anchors a;

  (void)state;
  in_hand("a text each", all, all_size);
  decode_all();
  expect_error(
      "nothing yet", load_whole(&a, TEXT(WORDS)), HBEAT_ERR_CERT_TRUST);
  for (size_t i = 0; i < COUNT(MADE); i++) {
    expect_error("the outcome", add(&a, MADE[i].pem, MADE[i].size), HBEAT_OK);
    expect_error("a text of nothing", add(&a, TEXT(WORDS)), HBEAT_OK);
    expect_error("no text", hbeat_anchors_pem(&a, NULL, 0), HBEAT_OK);
  }
  expect_counts(&a, all_usable, all_skipped);
  expect_anchors(&a);
}

/* ---- Forms of the text: RFC 7468 section 2 ------------------------------ */

#define BEGIN "-----BEGIN CERTIFICATE-----"
#define END "-----END CERTIFICATE-----"
#define MARK "\xEF\xBB\xBF"

/* The labels, and what is behind each line; what is not set is empty. */
#define CERTIFICATE .begin = BEGIN, .end = END
#define LINES .newline = "\n", .after = "\n", .width = 64

/* Writes DER as base64 in lines of `width` digits; returns the text's end. */
static char *write_base64(char *out, const unsigned char *der, size_t size,
    size_t width, const char *newline) {
  static const char DIGITS[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmn"
                               "opqrstuvwxyz0123456789+/";
  size_t column = 0;

  for (size_t i = 0; i < size; i += 3) {
    size_t left = size - i;
    unsigned bits = (unsigned)der[i] << 16 |
        (left > 1 ? (unsigned)der[i + 1] << 8 : 0) |
        (left > 2 ? der[i + 2] : 0);
    for (size_t k = 0; k < 4; k++) {
      *out++ = k > left ? '=' : DIGITS[bits >> (18 - 6 * k) & 63];
      if (++column % width == 0 || (i + 3 >= size && k == 3))
        out += sprintf(out, "%s", newline);
    }
  }
  return out;
}

static const char *or_empty(const char *text) {
  return text ? text : "";
}

static const struct form_row {
  const char *name;
  const char *before, *begin, *newline, *end, *after;
  size_t width;
  int count, skipped;
} FORMS[] = {
    {"as openssl writes it", CERTIFICATE, LINES, .count = 1},
    {"CR LF", CERTIFICATE, .newline = "\r\n", .after = "\r\n", .width = 64,
        .count = 1},
    {"CR alone", CERTIFICATE, .newline = "\r", .after = "\r", .width = 64,
        .count = 1},
    {"CR alone, and text around", .before = "A root\rsubject: CN=a\r\r",
        CERTIFICATE, .newline = "\r", .after = "\rbye\r", .width = 64,
        .count = 1},
    {"CR alone, and none at the end", .before = "\r", CERTIFICATE,
        .newline = "\r", .width = 64, .count = 1},
    {"CR alone before it, LF in it", .before = "A root\r", CERTIFICATE, LINES,
        .count = 1},
    {"another byte than CR before it", .before = "A root\v", CERTIFICATE,
        LINES},
    {"no newline at the end", CERTIFICATE, .newline = "\n", .width = 64,
        .count = 1},
    {"CR LF, and none at the end", CERTIFICATE, .newline = "\r\n", .width = 64,
        .count = 1},
    {"one long line", CERTIFICATE, .newline = "\n", .after = "\n",
        .width = 100000, .count = 1},
    {"lines of 76", CERTIFICATE, .newline = "\n", .after = "\n", .width = 76,
        .count = 1},
    {"lines of one digit", CERTIFICATE, .newline = "\n", .after = "\n",
        .width = 1, .count = 1},
    {"lines of three digits", CERTIFICATE, .newline = "\n", .after = "\n",
        .width = 3, .count = 1},
    {"empty lines", .before = "\n\n", CERTIFICATE, .newline = "\n\n",
        .after = "\n\n\n", .width = 64, .count = 1},
    {"white space behind lines", CERTIFICATE, .newline = " \t\n",
        .after = " \t\n", .width = 64, .count = 1},
    {"text around", .before = "# A root\nsubject: CN=a\n\n", CERTIFICATE,
        .newline = "\n", .after = "\nbye\n", .width = 64, .count = 1},
    {"dashes around", .before = "-----\n----------\n- -----BEGIN\n",
        CERTIFICATE, .newline = "\n", .after = "\n-----\n", .width = 64,
        .count = 1},
    {"dashes on the line before", .before = "-----\n", CERTIFICATE, LINES,
        .count = 1},
    {"half a BEGIN on the line before", .before = "-----BEGIN CERT\n",
        CERTIFICATE, LINES, .count = 1},
    {"bytes above ASCII around", .before = "\xC3\xA9\xFF\n", CERTIFICATE,
        .newline = "\n", .after = "\n\xFF\n", .width = 64, .count = 1},
    {"another BEGIN before it",
        .before = "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n"
                  "-----END CERTIFICATE REQUEST-----\n",
        CERTIFICATE, LINES, .count = 1},
    {"BEGIN in the midst of a line", .begin = "see " BEGIN, .end = END, LINES},
    {"a private key", .begin = "-----BEGIN PRIVATE KEY-----",
        .end = "-----END PRIVATE KEY-----", LINES},
    {"a revocation list", .begin = "-----BEGIN X509 CRL-----",
        .end = "-----END X509 CRL-----", LINES},
    {"a label in lower case", .begin = "-----begin certificate-----",
        .end = "-----end certificate-----", LINES},
    {"four dashes", .begin = "----BEGIN CERTIFICATE----",
        .end = "----END CERTIFICATE----", LINES},
    {"an END of another kind", .begin = BEGIN,
        .end = "-----END PRIVATE KEY-----", LINES, .skipped = 1},
    {"the label of old", .begin = "-----BEGIN X509 CERTIFICATE-----",
        .end = "-----END X509 CERTIFICATE-----", LINES, .count = 1},
    {"OpenSSL's label", .begin = "-----BEGIN TRUSTED CERTIFICATE-----",
        .end = "-----END TRUSTED CERTIFICATE-----", LINES, .count = 1},
    {"the BEGIN of old, the END of today",
        .begin = "-----BEGIN X509 CERTIFICATE-----", .end = END, LINES,
        .skipped = 1},
    {"the BEGIN of today, the END of OpenSSL", .begin = BEGIN,
        .end = "-----END TRUSTED CERTIFICATE-----", LINES, .skipped = 1},
    {"a byte order mark", .before = MARK, CERTIFICATE, LINES, .count = 1},
    {"a byte order mark, and CR LF", .before = MARK, CERTIFICATE,
        .newline = "\r\n", .after = "\r\n", .width = 64, .count = 1},
    {"a byte order mark, and OpenSSL's label", .before = MARK,
        .begin = "-----BEGIN TRUSTED CERTIFICATE-----",
        .end = "-----END TRUSTED CERTIFICATE-----", LINES, .count = 1},
    {"a byte order mark, and text on lines before", .before = MARK "A root\n",
        CERTIFICATE, LINES, .count = 1},
    {"a byte order mark where another file begins", .before = "A root\n" MARK,
        CERTIFICATE, LINES, .count = 1},
    {"a byte order mark in the midst of a line", .before = "A root " MARK,
        CERTIFICATE, LINES},
    {"two byte order marks", .before = MARK MARK, CERTIFICATE, LINES},
    {"two bytes of a byte order mark", .before = "\xEF\xBB", CERTIFICATE,
        LINES},
    {"another last byte of a byte order mark", .before = "\xEF\xBB\xBE",
        CERTIFICATE, LINES},
};

/* The certificate of one row as DER, by BearSSL's decoder of PEM. */
static reference *der_of(size_t made) {
  decode_references(MADE[made].pem, MADE[made].size);
  assert_int_equal(reference_count, 1);
  return &references[0];
}

static size_t copy_der(unsigned char *out, size_t made) {
  const reference *r = der_of(made);

  memcpy(out, r->der, r->der_size);
  return r->der_size;
}

static void test_form(void **state) {
  const struct form_row *row = *state;
  const reference *r = der_of(P256);
  static char text[32768];
  char *p = text;
  hbeat_anchors a;

  p += sprintf(p, "%s%s%s", or_empty(row->before), row->begin, row->newline);
  p = write_base64(p, r->der, r->der_size, row->width, row->newline);
  p += sprintf(p, "%s%s", row->end, or_empty(row->after));
  in_hand(row->name, text, (size_t)(p - text));
  expect_error("the outcome", load_whole(&a, text, (size_t)(p - text)),
      row->count > 0 ? HBEAT_OK : HBEAT_ERR_CERT_TRUST);
  expect_counts(&a, (size_t)row->count, (size_t)row->skipped);
  expect_anchors(&a);
}

static const struct none_row {
  const char *name;
  const char *text;
} NOTHING[] = {
    {"no text", ""},
    {"white space", " \r\n\t\n"},
    {"words", "There is no certificate in here.\n"},
    {"half a BEGIN", "-----BEGIN CERTIF"},
    {"half a BEGIN of old", "-----BEGIN X509 CERTIF"},
    {"a byte order mark", MARK},
    {"half a BEGIN behind a byte order mark", MARK "-----BEGIN CERTIF"},
    {"a BEGIN that lacks a dash", "-----BEGIN CERTIFICATE----"},
    {"an END alone", END "\n"},
};

static void test_nothing(void **state) {
  const struct none_row *row = *state;
  hbeat_anchors a;

  in_hand(row->name, row->text, strlen(row->text));
  expect_error("the outcome", load_whole(&a, row->text, strlen(row->text)),
      HBEAT_ERR_CERT_TRUST);
  expect_counts(&a, 0, 0);
  a = (hbeat_anchors){.arena = arenas.begin, .arena_size = FULL_ARENA};
  expect_error(
      "no text at all", hbeat_anchors_pem(&a, NULL, 0), HBEAT_ERR_CERT_TRUST);
}

/*
 * Every prefix of a text with two certificates.  One has begun when its BEGIN
 * line has its last dash, and ended when its END line has.  What is cut is not
 * put together again by the text that follows.
 */
static void test_cut(void **state) {
  static char text[65536];
  size_t size = (size_t)sprintf(
      text, "Two roots\n\n%s\nthe other\n%s\n", MADE[P256].pem, MADE[P384].pem);
  hbeat_anchors a;

  (void)state;
  decode_references(text, size);
  for (size_t cut = 0; cut <= size; cut++) {
    size_t count = 0, lost = 0;
    bool truncated = false;
    hbeat_error wanted;
    const char *at = text;
    while ((at = strstr(at, BEGIN)) != NULL) {
      size_t begin = (size_t)(at - text);
      at = strstr(at, END) + sizeof END - 1;
      size_t end = (size_t)(at - text);
      count += cut >= end;
      lost += cut > begin && cut < end;
      truncated |= cut >= begin + sizeof BEGIN - 1 && cut < end;
    }
    wanted = count > 0 ? HBEAT_OK : HBEAT_ERR_CERT_TRUST;
    if (truncated) wanted = HBEAT_ERR_TRUNCATED;
    in_hand("a text that is cut", text, cut);
    expect_error("the outcome", load_into(&a, SMALL_ARENA, text, cut), wanted);
    expect_counts(&a, count, 0);
    expect_anchors(&a);
    expect_error("the rest", add(&a, text + cut, size - cut), HBEAT_OK);
    expect_counts(&a, 2 - lost, 0);
  }
}

/* ---- What is no certificate --------------------------------------------- */

/* Row: what becomes of a certificate's base64: text in front, how much is cut
   off its front and end, and text behind; what is not set is empty. */
static const struct base64_row {
  const char *name;
  const char *before;
  size_t cut_front, cut_end;
  const char *behind;
} BAD_BASE64[] = {
    {"nothing", .cut_end = 100000},
    {"only padding", .before = "====", .cut_end = 100000},
    {"a digit of the URL's alphabet", .before = "-", .cut_front = 1},
    {"an underscore", .before = "_", .cut_front = 1},
    {"an exclamation mark", .before = "!", .cut_front = 1},
    {"a header field", .before = "Proc-Type: 4,ENCRYPTED\n"},
    {"bytes above ASCII", .before = "\xC3\xA9"},
    {"padding in front", .before = "=", .cut_front = 1},
    {"padding between groups", .before = "MIIB=", .cut_front = 4},
    {"a digit lost in front", .cut_front = 1},
    {"a digit or padding lost at the end", .cut_end = 1},
    {"padding too much", .behind = "="},
    {"a group of padding", .behind = "===="},
    {"digits behind the padding", .cut_end = 4, .behind = "AA==AAAA"},
    {"one digit and padding", .cut_end = 4, .behind = "A==="},
    {"one digit", .cut_end = 4, .behind = "A"},
    {"two digits and too little padding", .cut_end = 4, .behind = "AA="},
    {"three digits and too much padding", .cut_end = 4, .behind = "AAA=="},
};

/* Writes the text of a row, and behind it a good certificate. */
static size_t write_bad(
    char *out, const struct base64_row *row, const reference *r) {
  static char base64[16384];
  char *end = write_base64(base64, r->der, r->der_size, 100000, "");
  size_t size = (size_t)(end - base64);
  size_t kept = size - row->cut_front;

  kept = row->cut_end < kept ? kept - row->cut_end : 0;
  return (size_t)sprintf(out, BEGIN "\n%s%.*s%s\n" END "\n%s",
      or_empty(row->before), (int)kept, base64 + row->cut_front,
      or_empty(row->behind), MADE[P384].pem);
}

/* What is bad is skipped and counted, and what follows is loaded. */
static void expect_one_skipped(
    const char *name, const char *text, size_t size) {
  hbeat_anchors a;

  in_hand(name, text, size);
  decode_references(MADE[P384].pem, MADE[P384].size);
  expect_error("the outcome", load_whole(&a, text, size), HBEAT_OK);
  expect_counts(&a, 1, 1);
  expect_anchors(&a);
}

/* With each certificate: their sizes leave 0, 1 and 2 bytes over. */
static void test_bad_base64(void **state) {
  static char text[40000];
  const struct base64_row *row = *state;

  for (size_t i = 0; i < COUNT(MADE); i++)
    if (MADE[i].usable)
      expect_one_skipped(row->name, text, write_bad(text, row, der_of(i)));
}

/* Writes DER as PEM, and a good certificate behind it. */
static size_t write_der(char *out, const unsigned char *der, size_t size) {
  char *p = out + sprintf(out, BEGIN "\n");

  p = write_base64(p, der, size, 64, "\n");
  p += sprintf(p, END "\n%s", MADE[P384].pem);
  return (size_t)(p - out);
}

static void expect_der_skipped(
    const char *name, const unsigned char *der, size_t size) {
  static char text[32768];

  expect_one_skipped(name, text, write_der(text, der, size));
}

#define BYTES(literal) .bytes = (literal), .size = sizeof(literal) - 1

/* Row: bytes that replace those at an offset in the DER of P-256, which is
   30 82 xx xx (the certificate) 30 82 xx xx (what is signed) ... */
static const struct der_row {
  const char *name;
  size_t offset;
  const char *bytes;
  size_t size;
} LYING_DER[] = {
    {"another tag", BYTES("\x31")},
    {"a length of 65,535", .offset = 2, BYTES("\xFF\xFF")},
    {"a length in no bytes", .offset = 1, BYTES("\x80")},
    {"a length in 127 bytes", .offset = 1, BYTES("\xFF")},
    {"a length in eight bytes", .offset = 1,
        BYTES("\x88\xFF\xFF\xFF\xFF\xFF\xFF\xFF")},
    {"a length of 2^32 - 1", .offset = 1, BYTES("\x84\xFF\xFF\xFF\xFF")},
    {"a length of 2^24 - 1", .offset = 1, BYTES("\x83\xFF\xFF\xFF")},
    {"an empty certificate", .offset = 1, BYTES("\x00")},
    {"a certificate of four bytes", .offset = 1, BYTES("\x04")},
    {"a certificate of a length's first byte", .offset = 2, BYTES("\x00\x02")},
    {"a certificate of half a length", .offset = 2, BYTES("\x00\x03")},
    {"no sequence inside", .offset = 4, BYTES("\x04")},
    {"a length of 65,535 inside", .offset = 6, BYTES("\xFF\xFF")},
    {"a length of 2^64 - 1 inside", .offset = 5,
        BYTES("\x88\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF")},
    {"nothing inside", .offset = 5, BYTES("\x00")},
    {"a version that fills all", .offset = 9, BYTES("\x7F")},
    {"zeros", .offset = 4,
        BYTES("\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0")},
};

static void test_lying_der(void **state) {
  const struct der_row *row = *state;
  unsigned char der[4096];
  size_t size = copy_der(der, P256);

  assert_memory_equal(der, "\x30\x82", 2);
  assert_memory_equal(der + 4, "\x30\x82", 2);
  memcpy(der + row->offset, row->bytes, row->size);
  expect_der_skipped(row->name, der, size);
}

/* A length that is right in its lowest 32 or 64 bits. */
static void test_wrapping_length(void **state) {
  unsigned char der[4096];

  (void)state;
  for (size_t more = 3; more <= 7; more += 4) {
    size_t size = copy_der(der, P256);
    memmove(der + 2 + more, der + 2, size - 2);
    memset(der + 1, 0, 1 + more);
    der[1] = (unsigned char)(0x82 + more);
    der[2] = 1;
    expect_der_skipped("a length that wraps around", der, size + more);
  }
}

/* One with a signature so long that the length takes two bytes or three. */
static void test_large(void **state) {
  static const struct {
    const char *head;
    size_t head_size, inside;
  } sizes[] = {
      {TEXT("\x30\x82\xFF\xFF"), 0xFFFF},
      {TEXT("\x30\x83\x01\x00\x00"), 0x10000},
  };
  static unsigned char der[5 + 0x10000], small[4096];
  static char text[98304];
  size_t size = copy_der(small, P256);

  (void)state;
  for (size_t i = 0; i < COUNT(sizes); i++) {
    hbeat_anchors a;
    memset(der, 0, sizeof der);
    memcpy(der, sizes[i].head, sizes[i].head_size);
    memcpy(der + sizes[i].head_size, small + 4, size - 4);
    size_t text_size =
        write_der(text, der, sizes[i].head_size + sizes[i].inside);
    in_hand("a large certificate", text, text_size);
    expect_error(
        "the outcome", load_into(&a, BUNDLE_ARENA, text, text_size), HBEAT_OK);
    expect_counts(&a, 2, 0);
  }
}

/* Row: what stands in a root where it says that it is a CA's. */
static const struct flag_row {
  const char *name;
  const char *bytes;
  bool is_ca;
} FLAGS[] = {
    {"the flag of a CA", "\x30\x03\x01\x01\xFF", .is_ca = true},
    {"a flag that is false", "\x30\x03\x01\x01\x00", .is_ca = false},
    {"a flag of no byte, and a byte", "\x30\x03\x01\x00\xFF", .is_ca = false},
};

static void test_flag(void **state) {
  const struct flag_row *row = *state;
  unsigned char der[4096];
  size_t size = copy_der(der, P256), at = 0;
  static char text[8192];
  hbeat_anchors a;

  while (memcmp(der + at, FLAGS[0].bytes, 5) != 0) at++;
  memcpy(der + at, row->bytes, 5);
  size = write_der(text, der, size);
  in_hand(row->name, text, size);
  expect_error("the outcome", load_whole(&a, text, size), HBEAT_OK);
  expect_counts(&a, 2, 0);
  expect_int("the flag", a.list[0].flags, row->is_ca ? BR_X509_TA_CA : 0);
}

/* The point of P-384 under the name of P-521, which is one byte away. */
static void test_wrong_curve(void **state) {
  static const char NAME[] = "\x2B\x81\x04\x00\x22";
  unsigned char der[4096];
  size_t size = copy_der(der, P384), at = 0;

  (void)state;
  while (memcmp(der + at, NAME, sizeof NAME - 1) != 0) at++;
  der[at + 4] = 0x23;
  expect_der_skipped("a point of another curve", der, size);
}

/* Row: bytes that replace those in front of the key, from `back` bytes before
   it on.  There stand 03 42 00 (a string of 66 bytes, of which the first says
   how many bits of the last are not used) before the point of P-256, and 03 82
   xx xx 00, with 30 82 xx xx 02 82 xx xx 00 behind it, before the modulus. */
static const struct key_row {
  const char *name;
  size_t made, back;
  const char *bytes;
  size_t size;
} LYING_KEYS[] = {
    {"an EC key of no bytes", .made = P256, .back = 2, BYTES("\x00")},
    {"an EC key of no point", .made = P256, .back = 2, BYTES("\x01")},
    {"an EC key that is a byte short", .made = P256, .back = 2, BYTES("\x41")},
    {"an EC key with one bit unused", .made = P256, .back = 1, BYTES("\x01")},
    {"an EC key with seven bits unused", .made = P256, .back = 1,
        BYTES("\x07")},
    {"an EC key with 255 bits unused", .made = P256, .back = 1, BYTES("\xFF")},
    {"an EC key in a string of bytes", .made = P256, .back = 3, BYTES("\x04")},
    {"an RSA key of no bytes", .made = RSA2048, .back = 12, BYTES("\x00\x00")},
    {"an RSA key of one byte", .made = RSA2048, .back = 12, BYTES("\x00\x01")},
    {"an RSA key of two bytes", .made = RSA2048, .back = 12, BYTES("\x00\x02")},
    {"an RSA key with one bit unused", .made = RSA2048, .back = 10,
        BYTES("\x01")},
    {"an RSA key with seven bits unused", .made = RSA2048, .back = 10,
        BYTES("\x07")},
    {"an RSA key with 128 bits unused", .made = RSA2048, .back = 10,
        BYTES("\x80")},
    {"an RSA key in a string of bytes", .made = RSA2048, .back = 14,
        BYTES("\x04")},
};

static void test_lying_key(void **state) {
  const struct key_row *row = *state;
  reference *r = der_of(row->made);
  const br_x509_pkey *key = br_x509_decoder_get_pkey(&r->x);
  bool ec = key->key_type == BR_KEYTYPE_EC;
  const unsigned char *start = ec ? key->key.ec.q : key->key.rsa.n;
  unsigned char der[4096];
  size_t at = 0, size = r->der_size;

  while (memcmp(r->der + at, start, 64) != 0) at++;
  memcpy(der, r->der, size);
  assert_memory_equal(
      der + at - (ec ? 3 : 14), ec ? "\x03\x42" : "\x03\x82", 2);
  memcpy(der + at - row->back, row->bytes, row->size);
  expect_der_skipped(row->name, der, size);
}

/* A certificate whose end is missing inside good base64. */
static void test_short_der(void **state) {
  unsigned char der[4096];
  size_t size = copy_der(der, P256);

  (void)state;
  while (--size > 0) expect_der_skipped("DER that is cut", der, size);
}

static void test_random_der(void **state) {
  unsigned char der[600];
  uint64_t seed = 7468;

  (void)state;
  for (int i = 0; i < 200; i++) {
    for (size_t k = 0; k < sizeof der; k++)
      der[k] = (unsigned char)next_random(&seed);
    if (i % 2 == 0) der[0] = 0x30;
    expect_der_skipped("random bytes", der, sizeof der);
  }
}

/*
 * Each byte of a certificate changed, in five ways.  It is an anchor or it
 * is skipped; the one behind it is loaded; and where BearSSL, too, can read
 * the change, both read the same.
 */
static void test_mutations(void **state) {
  static const unsigned char FLIPS[] = {0x01, 0x20, 0x80, 0x7F, 0xFF};
  const struct made_row *row = *state;
  unsigned char der[4096];
  static char text[32768];
  size_t der_size = copy_der(der, (size_t)(row - MADE)), size;
  hbeat_anchors a;
  reference *r = &references[0];

  for (size_t i = 0; i < der_size * COUNT(FLIPS); i++) {
    unsigned char *b = &der[i / COUNT(FLIPS)];
    *b ^= FLIPS[i % COUNT(FLIPS)];
    size = write_der(text, der, der_size);
    in_hand("a byte changed", der, der_size);
    expect_error(
        "the outcome", load_into(&a, SMALL_ARENA, text, size), HBEAT_OK);
    expect_int("nothing is lost", (int64_t)(a.count + a.skipped), 2);
    expect_true("the next is loaded", a.count >= 1);
    memcpy(r->der, der, der_size);
    if (a.count == 2 && decode_reference(r) != NULL)
      expect_anchor(&a.list[0], r);
    *b ^= FLIPS[i % COUNT(FLIPS)];
  }
}

/*
 * Each byte of a certificate's text damaged.  The one behind it is loaded,
 * whatever the damage.
 */
static void test_damage(void **state) {
  static const char DAMAGE[] = "-!\xFF\0=A\n"; /* four are no base64 */
  static char text[65536];
  size_t size = (size_t)sprintf(text, "%s%s", MADE[P256].pem, MADE[P384].pem);
  size_t end = (size_t)(strstr(text, END) - text);
  hbeat_anchors a;

  (void)state;
  for (size_t i = 0; i < end + sizeof END - 1; i++) {
    char good = text[i];
    for (size_t k = 0; k < sizeof DAMAGE - 1; k++) {
      if (DAMAGE[k] == good) continue;
      text[i] = DAMAGE[k];
      in_hand("a damaged byte", text, size);
      expect_error(
          "the outcome", load_into(&a, SMALL_ARENA, text, size), HBEAT_OK);
      expect_true("the next is loaded", a.count >= 1);
      expect_int("what is lost is counted, if it had begun",
          (int64_t)(a.count + a.skipped), i < sizeof BEGIN - 1 ? 1 : 2);
      if (i >= end || (i >= sizeof BEGIN - 1 && k < 4)) expect_counts(&a, 1, 1);
      for (size_t n = 0; n < a.count; n++) expect_kept(&a, &a.list[n]);
    }
    text[i] = good;
  }
}

/* A certificate without END is lost, and none of those behind it. */
static void test_missing_end(void **state) {
  static char text[65536];
  hbeat_anchors a;
  char *end;

  (void)state;
  sprintf(text, "%s%s%s", MADE[P256].pem, MADE[P384].pem, MADE[P521].pem);
  end = strstr(text, END);
  memmove(end, end + sizeof END, strlen(end + sizeof END) + 1);
  in_hand("a certificate without END", text, strlen(text));
  expect_error("the outcome", load_whole(&a, text, strlen(text)), HBEAT_OK);
  expect_counts(&a, 2, 1);
  decode_references(strstr(text + 1, BEGIN), strlen(strstr(text + 1, BEGIN)));
  expect_anchors(&a);
}

/* ---- What OpenSSL keeps behind a certificate ---------------------------- */

/* Row: what its owner had openssl write, and whether openssl itself has the
   root vouch for servers then. */
static const struct owner_row {
  const char *name;
  const char *options; /* of openssl x509 -trustout */
  bool usable;
} OWNERS[] = {
    {.name = "nothing said", .options = "", .usable = true},
    {.name = "trusted for servers",
        .options = "-addtrust serverAuth",
        .usable = true},
    {.name = "trusted for anything",
        .options = "-addtrust anyExtendedKeyUsage",
        .usable = true},
    {.name = "trusted for servers among others",
        .options = "-addtrust clientAuth -addtrust serverAuth"
                   " -addtrust emailProtection",
        .usable = true},
    {.name = "trusted for clients", .options = "-addtrust clientAuth"},
    {.name = "trusted for e-mail and code",
        .options = "-addtrust emailProtection -addtrust codeSigning"},
    {.name = "rejected for servers", .options = "-addreject serverAuth"},
    {.name = "rejected for anything",
        .options = "-addreject anyExtendedKeyUsage"},
    {.name = "rejected for servers among others",
        .options = "-addreject emailProtection -addreject serverAuth"
                   " -addreject clientAuth"},
    {.name = "rejected for clients",
        .options = "-addreject clientAuth",
        .usable = true},
    {.name = "trusted and rejected for servers",
        .options = "-addtrust serverAuth -addreject serverAuth"},
    {.name = "trusted for servers, rejected for anything",
        .options = "-addtrust serverAuth -addreject anyExtendedKeyUsage"},
    {.name = "trusted for servers, rejected for clients",
        .options = "-addtrust serverAuth -addreject clientAuth",
        .usable = true},
    {.name = "a name", .options = "-setalias Caf\xC3\xA9", .usable = true},
    {.name = "a name, and trusted for clients",
        .options = "-setalias root -addtrust clientAuth"},
    {.name = "a name, and rejected for servers",
        .options = "-setalias root -addreject serverAuth"},
};

static char owned[COUNT(OWNERS)][4096]; /* P-256 as each row has it */

/* Of the trust that openssl has: a chain of the root alone. */
static bool openssl_trusts(const char *folder) {
  return run("cd %s && openssl verify -purpose sslserver -trusted owned owned "
             ">log 2>&1",
             folder) == 0;
}

static bool make_owned(void) {
  char folder[] = "/tmp/heartbeat-anchors-XXXXXX", path[200];
  bool made = mkdtemp(folder) != NULL;
  FILE *f;

  snprintf(path, sizeof path, "%s/pem", folder);
  f = fopen(path, "w");
  made = made && f != NULL && fputs(MADE[P256].pem, f) >= 0;
  if (f != NULL) fclose(f);
  snprintf(path, sizeof path, "%s/owned", folder);
  for (size_t i = 0; i < COUNT(OWNERS) && made; i++) {
    made = run("cd %s && openssl x509 -in pem -trustout %s -out owned 2>log",
               folder, OWNERS[i].options) == 0 &&
        read_file(path, owned[i], sizeof owned[i]) > 0;
    if (made && openssl_trusts(folder) != OWNERS[i].usable) {
      print_message("# openssl has it otherwise: %s\n", OWNERS[i].name);
      made = false;
    }
  }
  return run("rm -r %s", folder) == 0 && made;
}

static void test_owner(void **state) {
  const struct owner_row *row = *state;
  const char *text = owned[row - OWNERS];
  hbeat_anchors a;

  in_hand(row->name, text, strlen(text));
  expect_true("the label", strstr(text, "-----BEGIN TRUSTED CERT") == text);
  decode_references(MADE[P256].pem, MADE[P256].size);
  expect_error("the outcome", load_whole(&a, text, strlen(text)),
      row->usable ? HBEAT_OK : HBEAT_ERR_CERT_TRUST);
  expect_counts(&a, row->usable, !row->usable);
  expect_anchors(&a);
}

#define SERVERS "\x06\x08\x2B\x06\x01\x05\x05\x07\x03\x01"
#define CLIENTS "\x06\x08\x2B\x06\x01\x05\x05\x07\x03\x02"

/* Row: the bytes behind the certificate, and whether it is loaded then.  What
   cannot be read might reject it. */
static const struct owned_row {
  const char *name;
  const char *bytes;
  size_t size;
  bool usable;
} BEHIND[] = {
    {.name = "an empty statement", BYTES("\x30\x00"), .usable = true},
    {.name = "trusted for servers",
        BYTES("\x30\x0C\x30\x0A" SERVERS),
        .usable = true},
    {.name = "trusted for nothing", BYTES("\x30\x02\x30\x00")},
    {.name = "rejected for nothing", BYTES("\x30\x02\xA0\x00"), .usable = true},
    {.name = "all members",
        BYTES("\x30\x24\x30\x0A" SERVERS "\xA0\x0A" CLIENTS
              "\x0C\x01x\x04\x02\x01\x02\xA1\x03\x30\x01\x00"),
        .usable = true},
    {.name = "a purpose that begins like that of servers",
        BYTES("\x30\x0D\x30\x0B"
              "\x06\x09\x2B\x06\x01\x05\x05\x07\x03\x01\x01")},
    {.name = "a purpose that ends early",
        BYTES("\x30\x0C\x30\x0A\x06\x09" CLIENTS)},
    {.name = "a list that ends early", BYTES("\x30\x0C\xA0\x0B" CLIENTS)},
    {.name = "a statement that ends early", BYTES("\x30\x0D\x30\x0A" SERVERS)},
    {.name = "trusted for servers, and for what is no purpose",
        BYTES("\x30\x0E\x30\x0C" SERVERS "\x05\x00")},
    {.name = "rejected for clients, and for what is no purpose",
        BYTES("\x30\x0E\xA0\x0C" CLIENTS "\x05\x00")},
    {.name = "rejected first, then trusted",
        BYTES("\x30\x18\xA0\x0A" SERVERS "\x30\x0A" SERVERS)},
    {.name = "rejected behind the name",
        BYTES("\x30\x0F\x0C\x01x\xA0\x0A" SERVERS)},
    {.name = "trusted twice",
        BYTES("\x30\x18\x30\x0A" SERVERS "\x30\x0A" SERVERS)},
    {.name = "a member that is not known", BYTES("\x30\x02\xA2\x00")},
    {.name = "two statements", BYTES("\x30\x00\x30\x00")},
    {.name = "a byte behind the statement", BYTES("\x30\x00\x00")},
    {.name = "no statement", BYTES("\x31\x00")},
    {.name = "half a statement", BYTES("\x30")},
    {.name = "a zero", BYTES("\x00")},
};

/* Under the other labels what stands behind a certificate says nothing. */
static void test_behind(void **state) {
  static const char *const LABELS[] = {"CERTIFICATE", "X509 CERTIFICATE"};
  const struct owned_row *row = *state;
  unsigned char der[4096];
  char text[8192], *p;
  size_t size = copy_der(der, P256);
  hbeat_anchors a;

  memcpy(der + size, row->bytes, row->size);
  size += row->size;
  p = text + sprintf(text, "-----BEGIN TRUSTED CERTIFICATE-----\n");
  p = write_base64(p, der, size, 64, "\n");
  p += sprintf(p, "-----END TRUSTED CERTIFICATE-----\n");
  in_hand(row->name, text, (size_t)(p - text));
  expect_error("the outcome", load_whole(&a, text, (size_t)(p - text)),
      row->usable ? HBEAT_OK : HBEAT_ERR_CERT_TRUST);
  expect_counts(&a, row->usable, !row->usable);
  expect_anchors(&a);
  for (size_t i = 0; i < COUNT(LABELS); i++) {
    p = text + sprintf(text, "-----BEGIN %s-----\n", LABELS[i]);
    p = write_base64(p, der, size, 64, "\n");
    p += sprintf(p, "-----END %s-----\n", LABELS[i]);
    expect_error("under another label",
        load_whole(&a, text, (size_t)(p - text)), HBEAT_OK);
    expect_counts(&a, 1, 0);
    expect_anchors(&a);
  }
}

/* Every prefix of what a certificate has behind it: none but the whole, and
   none at all, is a statement. */
static void test_behind_cut(void **state) {
  static const char WHOLE[] =
      "\x30\x1B\x30\x0A" SERVERS "\xA0\x0A" CLIENTS "\x0C\x01x";
  unsigned char der[4096];
  char text[8192], *p;
  size_t size = copy_der(der, P256);
  hbeat_anchors a;

  (void)state;
  memcpy(der + size, WHOLE, sizeof WHOLE - 1);
  for (size_t cut = 0; cut < sizeof WHOLE; cut++) {
    bool usable = cut == 0 || cut == sizeof WHOLE - 1;

    p = text + sprintf(text, "-----BEGIN TRUSTED CERTIFICATE-----\n");
    p = write_base64(p, der, size + cut, 64, "\n");
    p += sprintf(p, "-----END TRUSTED CERTIFICATE-----\n");
    in_hand("a statement that is cut", text, (size_t)(p - text));
    expect_error("the outcome", load_whole(&a, text, (size_t)(p - text)),
        usable ? HBEAT_OK : HBEAT_ERR_CERT_TRUST);
    expect_counts(&a, usable, !usable);
  }
}

/* ---- The limits of RSA -------------------------------------------------- */

/* Row: a modulus by its bytes and the first of them. */
static const struct modulus_row {
  const char *name;
  size_t size;
  unsigned char first;
  bool usable;
} MODULI[] = {
    {"RSA of 2,040 bits", .size = 255, .first = 0xFF},
    {"RSA of 2,047 bits", .size = 256, .first = 0x7F},
    {"RSA of 2,048 bits", .size = 256, .first = 0x80, .usable = true},
    {"RSA of 2,049 bits", .size = 257, .first = 0x01, .usable = true},
    {"RSA of 4,095 bits", .size = 512, .first = 0x7F, .usable = true},
    {"RSA of 4,096 bits", .size = 512, .first = 0xFF, .usable = true},
    {"RSA of 4,097 bits", .size = 513, .first = 0x01},
    {"RSA of 8,192 bits", .size = 1024, .first = 0xFF},
};

static void add_length(unsigned char *at, size_t more) {
  size_t length = ((size_t)at[0] << 8 | at[1]) + more;

  at[0] = (unsigned char)(length >> 8);
  at[1] = (unsigned char)length;
}

/*
 * The certificate with RSA-2048 and a modulus of another size.  In front of
 * the 256 bytes stand 30 82 xx xx (the key's info), 15 bytes (RSA), 03 82 xx
 * xx 00 (a string of bits), 30 82 xx xx (the key), 02 82 xx xx 00 (modulus).
 */
static size_t write_modulus(unsigned char *der, const struct modulus_row *row) {
  reference *r = der_of(RSA2048);
  const br_rsa_public_key *key = &br_x509_decoder_get_pkey(&r->x)->key.rsa;
  const size_t LENGTHS[] = {31, 12, 7, 3};
  size_t at = 0, more = row->size - 256;

  while (memcmp(r->der + at, key->n, 256) != 0) at++;
  memcpy(der, r->der, at);
  add_length(der + 2, more);
  add_length(der + 6, more);
  for (size_t i = 0; i < COUNT(LENGTHS); i++)
    add_length(der + at - LENGTHS[i], more);
  memset(der + at, 0xA7, row->size);
  der[at] = row->first;
  memcpy(der + at + row->size, r->der + at + 256, r->der_size - at - 256);
  return r->der_size + more;
}

static void test_modulus(void **state) {
  const struct modulus_row *row = *state;
  unsigned char der[4096];
  size_t size = write_modulus(der, row);
  static char text[32768];
  hbeat_anchors a;

  size = write_der(text, der, size);
  in_hand(row->name, text, size);
  expect_error("the outcome", load_whole(&a, text, size), HBEAT_OK);
  expect_counts(&a, row->usable ? 2 : 1, !row->usable);
  decode_references(text, size);
  if (row->usable) expect_anchors(&a);
}

/* ---- The arena ---------------------------------------------------------- */

/* A root, and nowhere to put it. */
static void test_no_arena(void **state) {
  const struct made_row *row = *state;
  hbeat_anchors a;

  memset(&a, 0, sizeof a);
  in_hand("no arena", row->pem, row->size);
  expect_error("the outcome", add(&a, row->pem, row->size), HBEAT_ERR_TOO_BIG);
  expect_counts(&a, 0, 0);
}

/* One root in an arena of every size that is too small, and of some more. */
static void test_arena_sizes(void **state) {
  const struct made_row *row = *state;
  size_t der_size = der_of((size_t)(row - MADE))->der_size;
  size_t enough = sizeof(br_x509_trust_anchor) + 2 * der_size + 16;
  hbeat_anchors a;

  for (size_t odd = 0; odd < 2; odd++) {
    size_t count = 0;
    for (size_t size = 0; size <= enough; size++) {
      char *arena = odd ? arenas.begin + 1 : arenas.end - size;
      hbeat_error e = load(&a, arena, size, row->pem, row->size);
      in_hand("an arena of another size", &size, sizeof size);
      expect_true("not less in a greater one", a.count >= count);
      expect_error(
          "the outcome", e, a.count > 0 ? HBEAT_OK : HBEAT_ERR_TOO_BIG);
      expect_int("the skipped", (int64_t)a.skipped, 0);
      expect_anchors(&a);
      count = a.count;
    }
    expect_int("twice the certificate is enough", (int64_t)count, 1);
  }
}

/*
 * Many roots in arenas of many sizes: the list is what fitted, and stays that
 * when the greatest of them does not fit either.
 */
static void test_arena_fills(void **state) {
  const struct made_row *more = &MADE[GREATEST];
  hbeat_anchors a;
  size_t count = 0;

  (void)state;
  decode_all();
  for (size_t size = 0; size <= FULL_ARENA; size += 152) {
    hbeat_error e = load_into(&a, size, all, all_size);
    in_hand("an arena of another size", &size, sizeof size);
    expect_error(
        "the outcome", e, a.count == all_usable ? HBEAT_OK : HBEAT_ERR_TOO_BIG);
    expect_true("no fewer in a greater one", a.count >= count);
    count = a.count;
    if (e == HBEAT_ERR_TOO_BIG)
      expect_error("more", add(&a, more->pem, more->size), e);
    expect_int("the anchors", (int64_t)a.count, (int64_t)count);
    expect_anchors(&a);
  }
  expect_int("all, at last", (int64_t)count, (int64_t)all_usable);
}

static void test_unaligned_arena(void **state) {
  hbeat_anchors a;

  (void)state;
  in_hand("an arena at any address", all, all_size);
  decode_all();
  for (size_t i = 0; i < 32; i++) {
    expect_error("the outcome",
        load(&a, arenas.begin + i, FULL_ARENA, all, all_size), HBEAT_OK);
    expect_int(
        "the list's address", (int64_t)((uintptr_t)a.list % sizeof(void *)), 0);
    expect_counts(&a, all_usable, all_skipped);
    expect_anchors(&a);
  }
}

/* ---- The system's bundle ------------------------------------------------ */

static void test_bundle(void **state) {
  static char bundle[BUNDLE_MAX];
  size_t size = read_file(BUNDLE, bundle, sizeof bundle), greatest = 0, kept;
  hbeat_anchors a;

  (void)state;
  if (size == 0) {
    print_message("# note no " BUNDLE " here\n");
    skip();
  }
  in_hand(BUNDLE, bundle, size);
  expect_true("all of it was read", size < sizeof bundle - 1);
  decode_references(bundle, size);
  expect_error(
      "the outcome", load_into(&a, BUNDLE_ARENA, bundle, size), HBEAT_OK);
  expect_counts(&a, reference_count, 0);
  expect_true("there are many", a.count > 50);
  kept = expect_anchors(&a);
  for (size_t i = 0; i < reference_count; i++)
    if (references[i].der_size > greatest) greatest = references[i].der_size;
  print_message("# note: %zu roots in %zu bytes of arena\n", a.count, kept);
  expect_error("two certificates' room is enough to load",
      load_into(&a, kept + 2 * greatest + 16, bundle, size), HBEAT_OK);
}

int main(void) {
  arenas = fence(BUNDLE_ARENA);
  texts = fence(BUNDLE_MAX);
  if (!make_all() || !make_owned()) {
    printf("not ok - the certificates could not be made\n");
    return 1;
  }
  write_all();
  cases_add_rows(test_made, MADE);
  cases_add("a text each", test_texts, NULL);
  cases_add_rows(test_form, FORMS);
  cases_add_rows(test_nothing, NOTHING);
  cases_add("a text that is cut", test_cut, NULL);
  cases_add_rows(test_bad_base64, BAD_BASE64);
  cases_add_rows(test_lying_der, LYING_DER);
  cases_add_rows(test_lying_key, LYING_KEYS);
  cases_add("lengths that wrap around", test_wrapping_length, NULL);
  cases_add("certificates of 64 KiB", test_large, NULL);
  cases_add_rows(test_flag, FLAGS);
  cases_add("a point of another curve", test_wrong_curve, NULL);
  cases_add("DER that is cut", test_short_der, NULL);
  cases_add("random bytes", test_random_der, NULL);
  cases_add("bytes of P-256 changed", test_mutations, &MADE[P256]);
  cases_add("bytes of RSA-2048 changed", test_mutations, &MADE[RSA2048]);
  cases_add("bytes of the text changed", test_damage, NULL);
  cases_add("a certificate without END", test_missing_end, NULL);
  cases_add_rows(test_owner, OWNERS);
  cases_add_rows(test_behind, BEHIND);
  cases_add("a statement that is cut", test_behind_cut, NULL);
  cases_add_rows(test_modulus, MODULI);
  cases_add("a root without an arena", test_no_arena, &MADE[P256]);
  cases_add("P-256 in arenas of every size", test_arena_sizes, &MADE[P256]);
  cases_add("RSA in arenas of every size", test_arena_sizes, &MADE[RSA2048]);
  cases_add(
      "a name in arenas of every size", test_arena_sizes, &MADE[LONG_NAME]);
  cases_add("arenas that fill", test_arena_fills, NULL);
  cases_add("an unaligned arena", test_unaligned_arena, NULL);
  cases_add("the system's bundle", test_bundle, NULL);
  return cases_run("anchors");
}
