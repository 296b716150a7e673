/*
 * Trust anchors from PEM text (RFC 7468), held against BearSSL's own decoders
 * of PEM and of certificates.  The certificates are made at the start, by the
 * openssl command.
 */
#include "cases.h"

#define BUNDLE "/etc/ssl/certs/ca-certificates.crt"
#define FULL_ARENA 32768

static fenced arenas;

/* ---- Certificates for the tests ----------------------------------------- */

#define CA "-addext basicConstraints=critical,CA:TRUE"

/* Row: a certificate, how to make it, and whether BearSSL can use it. */
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
    {.name = "RSA-3072", .options = "-newkey rsa:3072 " CA, .usable = true},
    {.name = "RSA-2048 with exponent 3",
     .options = "-newkey rsa:2048 -pkeyopt rsa_keygen_pubexp:3 " CA,
     .usable = true},
    {.name = "no CA",
     .options = "-newkey rsa:2048 -addext basicConstraints=CA:FALSE",
     .usable = true},
    {.name = "no extensions", .options = "-newkey rsa:2048", .usable = true},
    {.name = "a CA among many extensions",
     .options = "-newkey rsa:2048 -addext keyUsage=critical,keyCertSign"
                " -addext subjectAltName=DNS:a.example,DNS:b.example"
                " -addext basicConstraints=CA:TRUE,pathlen:0"
                " -addext extendedKeyUsage=serverAuth",
     .usable = true},
    {.name = "a certificate of 6 KB",
     .options = "-newkey rsa:2048 " CA " -addext nsComment=$(printf %06000d 0)",
     .usable = true},
    {.name = "RSA-1024", .options = "-newkey rsa:1024 " CA, .usable = false},
    {.name = "Ed25519", .options = "-newkey ed25519 " CA, .usable = false},
    {.name = "secp256k1",
     .options = "-newkey ec -pkeyopt ec_paramgen_curve:secp256k1 " CA,
     .usable = false},
};

enum { P256, P384, P521, RSA2048 };

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

    if (run("openssl req -x509 -sha256 -nodes -days 30 -config %s/config "
            "-utf8 -subj '/C=XX/O=Caf\xC3\xA9/CN=%s' "
            "-keyout %s/key -out %s/pem %s 2>%s/log",
            folder, row->name, folder, folder, row->options, folder) != 0)
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
            else
                br_pem_decoder_setdest(&pem, NULL, NULL);
            break;
        case BR_PEM_END_OBJ:
            if (r->der_size > 0 && decode_reference(r) != NULL)
                reference_count++;
            break;
        default: break;
        }
    }
}

static void expect_anchor(const br_x509_trust_anchor *ta, reference *r) {
    const br_x509_pkey *key = br_x509_decoder_get_pkey(&r->x);

    expect_bytes("the name", ta->dn.data, ta->dn.len, r->dn, r->dn_size);
    expect_int("the flags", ta->flags,
               br_x509_decoder_isCA(&r->x) ? BR_X509_TA_CA : 0);
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

/* The anchors are the first `a->count` references. */
static void expect_anchors(const hbeat_anchors *a) {
    expect_true("no more anchors than there are", a->count <= reference_count);
    for (size_t i = 0; i < a->count; i++)
        expect_anchor(&a->list[i], &references[i]);
}

/* ---- Loading ------------------------------------------------------------ */

/* Loads a text in pieces of `step` bytes, each with a fault behind it. */
static hbeat_error load(hbeat_anchors *a, char *arena, size_t arena_size,
                        const char *text, size_t size, size_t step) {
    static fenced texts;
    hbeat_error e = HBEAT_OK;

    if (texts.end == NULL) texts = fence(400000);
    memset(a, 0, sizeof *a);
    memset(arena, 0xA5, arena_size);
    a->arena = arena;
    a->arena_size = arena_size;
    for (size_t at = 0; at < size && e == HBEAT_OK; at += step) {
        size_t n = size - at < step ? size - at : step;
        e = hbeat_anchors_pem(a, at_end(&texts, text + at, n), n);
    }
    return e != HBEAT_OK ? e : hbeat_anchors_pem(a, texts.end, 0);
}

static hbeat_error load_whole(hbeat_anchors *a, const char *text, size_t size) {
    return load(a, arenas.end - FULL_ARENA, FULL_ARENA, text, size, size);
}

static void test_made(void **state) {
    const struct made_row *row = *state;
    hbeat_anchors a;

    in_hand(row->name, row->pem, row->size);
    decode_references(row->pem, row->size);
    expect_error("the outcome", load_whole(&a, row->pem, row->size),
                 row->usable ? HBEAT_OK : HBEAT_ERR_CERT_TRUST);
    expect_int("the anchors", (int64_t)a.count, row->usable);
    expect_int("the skipped", (int64_t)a.skipped, !row->usable);
    expect_anchors(&a);
}

/* All certificates that were made, usable or not, and text between. */
static char all[150000];
static size_t all_size, all_usable, all_skipped;

static void write_all(void) {
    char *p = all;

    p +=
        sprintf(p, "Roots for the tests\n===================\n\n%s\n", key_pem);
    for (size_t i = 0; i < COUNT(MADE); i++) {
        p += sprintf(p, "%s\n%s", MADE[i].name, MADE[i].pem);
        if (MADE[i].usable)
            all_usable++;
        else
            all_skipped++;
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
}

static void test_pieces(void **state) {
    hbeat_anchors a;

    (void)state;
    in_hand("pieces of every size", all, all_size);
    decode_all();
    expect_int("BearSSL's own count", (int64_t)reference_count,
               (int64_t)all_usable);
    for (size_t step = 1; step <= 101; step++) {
        expect_error("the outcome",
                     load(&a, arenas.begin, FULL_ARENA, all, all_size,
                          step <= 100 ? step : all_size),
                     HBEAT_OK);
        expect_int("the anchors", (int64_t)a.count, (int64_t)all_usable);
        expect_int("the skipped", (int64_t)a.skipped, (int64_t)all_skipped);
        expect_anchors(&a);
    }
}

/* ---- Forms of the text: RFC 7468 section 2 ------------------------------ */

#define BEGIN "-----BEGIN CERTIFICATE-----"
#define END "-----END CERTIFICATE-----"

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

static const struct form_row {
    const char *name;
    const char *before, *begin, *newline, *end, *after;
    size_t width;
    int count, skipped;
} FORMS[] = {
    {"as openssl writes it", "", BEGIN, "\n", END, "\n", 64, 1, 0},
    {"CR LF", "", BEGIN, "\r\n", END, "\r\n", 64, 1, 0},
    {"CR alone", "", BEGIN, "\r", END, "\r", 64, 1, 0},
    {"no newline at the end", "", BEGIN, "\n", END, "", 64, 1, 0},
    {"CR LF, and none at the end", "", BEGIN, "\r\n", END, "", 64, 1, 0},
    {"one long line", "", BEGIN, "\n", END, "\n", 100000, 1, 0},
    {"lines of 76", "", BEGIN, "\n", END, "\n", 76, 1, 0},
    {"lines of one digit", "", BEGIN, "\n", END, "\n", 1, 1, 0},
    {"lines of three digits", "", BEGIN, "\n", END, "\n", 3, 1, 0},
    {"empty lines", "\n\n", BEGIN, "\n\n", END, "\n\n\n", 64, 1, 0},
    {"white space behind lines", "", BEGIN, " \t\n", END, " \t\n", 64, 1, 0},
    {"text around", "# A root\nsubject: CN=a\n\n", BEGIN, "\n", END, "\nbye\n",
     64, 1, 0},
    {"dashes around", "-----\n----------\n- -----BEGIN\n", BEGIN, "\n", END,
     "\n-----\n", 64, 1, 0},
    {"dashes on the line before", "-----\n", BEGIN, "\n", END, "\n", 64, 1, 0},
    {"half a BEGIN on the line before", "-----BEGIN CERT\n", BEGIN, "\n", END,
     "\n", 64, 1, 0},
    {"bytes above ASCII around", "\xC3\xA9\xFF\n", BEGIN, "\n", END, "\n\xFF\n",
     64, 1, 0},
    {"another BEGIN before it",
     "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n"
     "-----END CERTIFICATE REQUEST-----\n",
     BEGIN, "\n", END, "\n", 64, 1, 0},
    {"BEGIN in the midst of a line", "", "see " BEGIN, "\n", END, "\n", 64, 0,
     0},
    {"a trusted certificate", "", "-----BEGIN TRUSTED CERTIFICATE-----", "\n",
     "-----END TRUSTED CERTIFICATE-----", "\n", 64, 0, 0},
    {"a private key", "", "-----BEGIN PRIVATE KEY-----", "\n",
     "-----END PRIVATE KEY-----", "\n", 64, 0, 0},
    {"a revocation list", "", "-----BEGIN X509 CRL-----", "\n",
     "-----END X509 CRL-----", "\n", 64, 0, 0},
    {"a label in lower case", "", "-----begin certificate-----", "\n",
     "-----end certificate-----", "\n", 64, 0, 0},
    {"four dashes", "", "----BEGIN CERTIFICATE----", "\n",
     "----END CERTIFICATE----", "\n", 64, 0, 0},
    {"an END of another kind", "", BEGIN, "\n", "-----END PRIVATE KEY-----",
     "\n", 64, 0, 1},
};

/* The certificate of one row as DER, by BearSSL's decoder of PEM. */
static const reference *der_of(size_t made) {
    decode_references(MADE[made].pem, MADE[made].size);
    assert_int_equal(reference_count, 1);
    return &references[0];
}

static void test_form(void **state) {
    const struct form_row *row = *state;
    const reference *r = der_of(P256);
    static char text[32768];
    char *p = text;
    hbeat_anchors a;

    p += sprintf(p, "%s%s%s", row->before, row->begin, row->newline);
    p = write_base64(p, r->der, r->der_size, row->width, row->newline);
    p += sprintf(p, "%s%s", row->end, row->after);
    in_hand(row->name, text, (size_t)(p - text));
    expect_error("the outcome", load_whole(&a, text, (size_t)(p - text)),
                 row->count > 0 ? HBEAT_OK : HBEAT_ERR_CERT_TRUST);
    expect_int("the anchors", (int64_t)a.count, row->count);
    expect_int("the skipped", (int64_t)a.skipped, row->skipped);
    expect_anchors(&a);
    expect_error(
        "byte by byte",
        load(&a, arenas.begin, FULL_ARENA, text, (size_t)(p - text), 1),
        row->count > 0 ? HBEAT_OK : HBEAT_ERR_CERT_TRUST);
    expect_int("the anchors", (int64_t)a.count, row->count);
}

static const struct none_row {
    const char *name;
    const char *text;
} NOTHING[] = {
    {"no text", ""},
    {"white space", " \r\n\t\n"},
    {"words", "There is no certificate in here.\n"},
    {"half a BEGIN", "-----BEGIN CERTIF"},
    {"an END alone", END "\n"},
};

/* The end is a size of 0, whatever the pointer. */
static void test_nothing(void **state) {
    const struct none_row *row = *state;
    hbeat_anchors a;

    in_hand(row->name, row->text, strlen(row->text));
    expect_error("the outcome", load_whole(&a, row->text, strlen(row->text)),
                 HBEAT_ERR_CERT_TRUST);
    expect_int("the anchors", (int64_t)a.count, 0);
    expect_int("the skipped", (int64_t)a.skipped, 0);
    memset(&a, 0, sizeof a);
    a.arena = arenas.begin;
    a.arena_size = FULL_ARENA;
    expect_error("the end by NULL", hbeat_anchors_pem(&a, NULL, 0),
                 HBEAT_ERR_CERT_TRUST);
}

/* Cut anywhere between BEGIN and the end of END: truncated. */
static void test_cut(void **state) {
    static char text[32768];
    size_t size = (size_t)sprintf(text, "%s%s", MADE[P256].pem, MADE[P384].pem);
    size_t begin = (size_t)(strstr(text + 1, BEGIN) - text);
    size_t inside = begin + sizeof BEGIN; /* with its newline */
    size_t end = (size_t)(strstr(text + begin, END) - text) + sizeof END - 1;
    hbeat_anchors a;

    (void)state;
    decode_references(text, size);
    for (size_t cut = begin; cut <= size; cut++) {
        bool truncated = cut >= inside && cut < end;
        if (cut == inside - 1)
            continue; /* whether the line has ended is anybody's guess */
        in_hand("a text that is cut", text, cut);
        expect_error("the outcome", load_whole(&a, text, cut),
                     truncated ? HBEAT_ERR_TRUNCATED : HBEAT_OK);
        expect_int("the anchors", (int64_t)a.count, cut < end ? 1 : 2);
        expect_int("the skipped", (int64_t)a.skipped, 0);
        expect_anchors(&a);
    }
}

/* ---- What is no certificate --------------------------------------------- */

/* Row: what becomes of a certificate's base64: text in front, how much is cut
   off its front and end, and text behind. */
static const struct base64_row {
    const char *name;
    const char *before;
    size_t cut_front, cut_end;
    const char *behind;
} BAD_BASE64[] = {
    {"nothing", "", 0, 100000, ""},
    {"only padding", "====", 0, 100000, ""},
    {"a digit of the URL's alphabet", "-", 1, 0, ""},
    {"an underscore", "_", 1, 0, ""},
    {"an exclamation mark", "!", 1, 0, ""},
    {"a header field", "Proc-Type: 4,ENCRYPTED\n", 0, 0, ""},
    {"bytes above ASCII", "\xC3\xA9", 0, 0, ""},
    {"padding in front", "=", 1, 0, ""},
    {"padding between groups", "MIIB=", 4, 0, ""},
    {"a digit lost in front", "", 1, 0, ""},
    {"a digit or padding lost at the end", "", 0, 1, ""},
    {"padding too much", "", 0, 0, "="},
    {"a group of padding", "", 0, 0, "===="},
    {"digits behind the padding", "", 0, 4, "AA==AAAA"},
    {"one digit and padding", "", 0, 4, "A==="},
    {"one digit", "", 0, 4, "A"},
    {"two digits and too little padding", "", 0, 4, "AA="},
    {"three digits and too much padding", "", 0, 4, "AAA=="},
};

/* Writes the text of a row, and behind it a good certificate. */
static size_t write_bad(char *out, const struct base64_row *row,
                        const reference *r) {
    static char base64[16384];
    char *end = write_base64(base64, r->der, r->der_size, 100000, "");
    size_t size = (size_t)(end - base64);
    size_t kept = size - row->cut_front;

    kept = row->cut_end < kept ? kept - row->cut_end : 0;
    return (size_t)sprintf(out, BEGIN "\n%s%.*s%s\n" END "\n%s", row->before,
                           (int)kept, base64 + row->cut_front, row->behind,
                           MADE[P384].pem);
}

/* What is bad is skipped and counted, and what follows is loaded. */
static void expect_one_skipped(const char *name, const char *text,
                               size_t size) {
    hbeat_anchors a;

    in_hand(name, text, size);
    decode_references(MADE[P384].pem, MADE[P384].size);
    expect_error("the outcome", load_whole(&a, text, size), HBEAT_OK);
    expect_int("the anchors", (int64_t)a.count, 1);
    expect_int("the skipped", (int64_t)a.skipped, 1);
    expect_anchors(&a);
}

/* With each certificate: their sizes leave 0, 1 and 2 bytes over. */
static void test_bad_base64(void **state) {
    static char text[40000];
    const struct base64_row *row = *state;

    for (size_t i = 0; i < COUNT(MADE); i++)
        if (MADE[i].usable)
            expect_one_skipped(row->name, text,
                               write_bad(text, row, der_of(i)));
}

/* Writes DER as PEM, and a good certificate behind it. */
static size_t write_der(char *out, const unsigned char *der, size_t size) {
    char *p = out + sprintf(out, BEGIN "\n");

    p = write_base64(p, der, size, 64, "\n");
    p += sprintf(p, END "\n%s", MADE[P384].pem);
    return (size_t)(p - out);
}

/* Row: bytes that replace those at an offset in the DER of P-256, which is
   30 82 xx xx (the certificate) 30 82 xx xx (what is signed) ... */
static const struct der_row {
    const char *name;
    size_t offset;
    const char *bytes;
    size_t size;
} LYING_DER[] = {
    {"another tag", 0, TEXT("\x31")},
    {"a length of 65,535", 2, TEXT("\xFF\xFF")},
    {"a length in no bytes", 1, TEXT("\x80")},
    {"a length in 127 bytes", 1, TEXT("\xFF")},
    {"a length in eight bytes", 1, TEXT("\x88\xFF\xFF\xFF\xFF\xFF\xFF\xFF")},
    {"a length of 2^32 - 1", 1, TEXT("\x84\xFF\xFF\xFF\xFF")},
    {"a length of 2^24 - 1", 1, TEXT("\x83\xFF\xFF\xFF")},
    {"an empty certificate", 1, TEXT("\x00")},
    {"a certificate of four bytes", 1, TEXT("\x04")},
    {"no sequence inside", 4, TEXT("\x04")},
    {"a length of 65,535 inside", 6, TEXT("\xFF\xFF")},
    {"a length of 2^64 - 1 inside", 5,
     TEXT("\x88\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF")},
    {"nothing inside", 5, TEXT("\x00")},
    {"a version that fills all", 9, TEXT("\x7F")},
    {"zeros", 4, TEXT("\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0")},
};

static void test_lying_der(void **state) {
    const struct der_row *row = *state;
    const reference *r = der_of(P256);
    unsigned char der[4096];
    static char text[32768];

    memcpy(der, r->der, r->der_size);
    assert_memory_equal(der, "\x30\x82", 2);
    assert_memory_equal(der + 4, "\x30\x82", 2);
    memcpy(der + row->offset, row->bytes, row->size);
    expect_one_skipped(row->name, text, write_der(text, der, r->der_size));
}

/* A length that is right in its lowest 32 or 64 bits. */
static void test_wrapping_length(void **state) {
    static char text[32768];
    unsigned char der[4096] = {0x30};

    (void)state;
    for (size_t bytes = 5; bytes <= 9; bytes += 4) {
        const reference *r = der_of(P256);
        size_t size = r->der_size + bytes - 2;
        memset(der + 1, 0, 1 + bytes);
        der[1] = (unsigned char)(0x80 | bytes);
        der[2] = 1;
        memcpy(der + bytes, r->der + 2, r->der_size - 2);
        expect_one_skipped("a length that wraps around", text,
                           write_der(text, der, size));
    }
}

/* The point of P-384 under the name of P-521, which is one byte away. */
static void test_wrong_curve(void **state) {
    static const char NAME[] = "\x2B\x81\x04\x00\x22";
    static char text[32768];
    const reference *r = der_of(P384);
    unsigned char der[4096];
    size_t at = 0;

    (void)state;
    memcpy(der, r->der, r->der_size);
    while (memcmp(der + at, NAME, sizeof NAME - 1) != 0) at++;
    der[at + 4] = 0x23;
    expect_one_skipped("a point of another curve", text,
                       write_der(text, der, r->der_size));
}

/* A certificate whose end is missing inside good base64. */
static void test_short_der(void **state) {
    unsigned char der[4096];
    static char text[32768];
    size_t size = der_of(P256)->der_size;

    (void)state;
    memcpy(der, references[0].der, size);
    for (size_t n = 1; n < size; n++)
        expect_one_skipped("DER that is cut", text, write_der(text, der, n));
}

static void test_random_der(void **state) {
    unsigned char der[600];
    static char text[32768];
    uint64_t seed = 7468;

    (void)state;
    for (int i = 0; i < 200; i++) {
        for (size_t k = 0; k < sizeof der; k++)
            der[k] = (unsigned char)next_random(&seed);
        der[0] = i % 2 == 0 ? 0x30 : der[0];
        expect_one_skipped("random bytes", text,
                           write_der(text, der, sizeof der));
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
    size_t der_size = der_of((size_t)(row - MADE))->der_size, size;
    hbeat_anchors a;
    reference *r = &references[0];

    memcpy(der, r->der, der_size);
    for (size_t i = 0; i < der_size * COUNT(FLIPS); i++) {
        unsigned char *b = &der[i / COUNT(FLIPS)];
        *b ^= FLIPS[i % COUNT(FLIPS)];
        size = write_der(text, der, der_size);
        in_hand("a byte changed", der, der_size);
        expect_error("the outcome", load_whole(&a, text, size), HBEAT_OK);
        expect_int("nothing is lost", (int64_t)(a.count + a.skipped), 2);
        expect_true("the next is loaded", a.count >= 1);
        memcpy(r->der, der, der_size);
        if (a.count == 2 && decode_reference(r) != NULL)
            expect_anchor(&a.list[0], r);
        *b ^= FLIPS[i % COUNT(FLIPS)];
    }
}

/* A certificate without END, then whole ones: no more than one is lost with
   it. */
static void test_missing_end(void **state) {
    static char text[65536];
    hbeat_anchors a;
    char *p = text;

    (void)state;
    p += sprintf(p, "%s%s%s", MADE[P256].pem, MADE[P384].pem, MADE[P521].pem);
    memmove(strstr(text, END), strstr(text, END) + sizeof END,
            strlen(strstr(text, END) + sizeof END) + 1);
    in_hand("a certificate without END", text, strlen(text));
    expect_error("the outcome", load_whole(&a, text, strlen(text)), HBEAT_OK);
    expect_int("the two behind it are loaded", (int64_t)a.count, 2);
    expect_int("what is lost is counted", (int64_t)a.skipped, 1);
}

/* ---- The arena ---------------------------------------------------------- */

/* In an arena of any size the list is what fitted. */
static void test_arena_sizes(void **state) {
    hbeat_anchors a;
    size_t count = 0;

    (void)state;
    decode_all();
    for (size_t size = 0; size <= FULL_ARENA; size += 40) {
        char *arena = arenas.end - size;
        hbeat_error e = load(&a, arena, size, all, all_size, all_size);
        in_hand("an arena of another size", &size, sizeof size);
        expect_error("the outcome", e,
                     a.count == all_usable ? HBEAT_OK : HBEAT_ERR_TOO_BIG);
        expect_true("no fewer in a greater one", a.count >= count);
        expect_true("the list lies in the arena",
                    a.count == 0 || ((char *)a.list >= arena &&
                                     (char *)(a.list + a.count) <= arenas.end));
        expect_anchors(&a);
        count = a.count;
    }
    expect_int("all, at last", (int64_t)count, (int64_t)all_usable);
}

/* Once full, it stays so, whatever follows. */
static void test_full_arena(void **state) {
    hbeat_anchors a;

    (void)state;
    in_hand("an arena that is full", all, all_size);
    decode_all();
    expect_error("the outcome",
                 load(&a, arenas.begin, 4000, all, all_size, all_size),
                 HBEAT_ERR_TOO_BIG);
    size_t count = a.count;
    expect_true("some fitted", count > 0);
    expect_error("more text",
                 hbeat_anchors_pem(&a, MADE[P256].pem, MADE[P256].size),
                 HBEAT_ERR_TOO_BIG);
    expect_error("the end", hbeat_anchors_pem(&a, "", 0), HBEAT_ERR_TOO_BIG);
    expect_int("the anchors", (int64_t)a.count, (int64_t)count);
    expect_anchors(&a);
}

static void test_unaligned_arena(void **state) {
    hbeat_anchors a;

    (void)state;
    in_hand("an arena at any address", all, all_size);
    decode_all();
    for (size_t i = 0; i < 32; i++) {
        expect_error(
            "the outcome",
            load(&a, arenas.begin + i, FULL_ARENA, all, all_size, all_size),
            HBEAT_OK);
        expect_int("the list's address",
                   (int64_t)((uintptr_t)a.list % sizeof(void *)), 0);
        expect_anchors(&a);
    }
}

/* ---- The system's bundle ------------------------------------------------ */

static void test_bundle(void **state) {
    static char bundle[400000], arena[96 * 1024];
    size_t size = read_file(BUNDLE, bundle, sizeof bundle);
    hbeat_anchors a;

    (void)state;
    if (size == 0) {
        print_message("# note no " BUNDLE " here: not run\n");
        return;
    }
    in_hand(BUNDLE, bundle, size);
    expect_true("all of it was read", size < sizeof bundle - 1);
    decode_references(bundle, size);
    expect_error("the outcome",
                 load(&a, arena, sizeof arena, bundle, size, 1000), HBEAT_OK);
    expect_int("the skipped", (int64_t)a.skipped, 0);
    expect_int("the anchors", (int64_t)a.count, (int64_t)reference_count);
    expect_true("there are many", a.count > 50);
    expect_anchors(&a);
}

int main(void) {
    arenas = fence(FULL_ARENA + 64);
    if (!make_all()) {
        printf("not ok - the certificates could not be made\n");
        return 1;
    }
    write_all();
    cases_add_rows(test_made, MADE);
    cases_add("pieces of every size", test_pieces, NULL);
    cases_add_rows(test_form, FORMS);
    cases_add_rows(test_nothing, NOTHING);
    cases_add("a text that is cut", test_cut, NULL);
    cases_add_rows(test_bad_base64, BAD_BASE64);
    cases_add_rows(test_lying_der, LYING_DER);
    cases_add("lengths that wrap around", test_wrapping_length, NULL);
    cases_add("a point of another curve", test_wrong_curve, NULL);
    cases_add("DER that is cut", test_short_der, NULL);
    cases_add("random bytes", test_random_der, NULL);
    cases_add("bytes of P-256 changed", test_mutations, &MADE[P256]);
    cases_add("bytes of RSA-2048 changed", test_mutations, &MADE[RSA2048]);
    cases_add("a certificate without END", test_missing_end, NULL);
    cases_add("arenas of every size", test_arena_sizes, NULL);
    cases_add("a full arena", test_full_arena, NULL);
    cases_add("an unaligned arena", test_unaligned_arena, NULL);
    cases_add("the system's bundle", test_bundle, NULL);
    return cases_run("anchors");
}
