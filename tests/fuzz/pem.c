/* Trust anchors.  Control bytes: what kind, and two of an arena's size, beside
 * what is needed; then a PEM text, or a certificate in DER, of which one is
 * made, under one of four labels. */
#include "fuzz.h"

enum { OFFSET = 7, DER = 8, FLAGS = 16, LABEL = 64 };

enum { ALL = 1 << 14, ARENA_BIG = 1 << 17 };

enum { OLD, PLAIN, OWNED, STRANGE };

static const char *const labels[] = {[OLD] = "X509 CERTIFICATE",
    [PLAIN] = "CERTIFICATE",
    [OWNED] = "TRUSTED CERTIFICATE",
    [STRANGE] = "CERTIFICATE REQUEST"};

/* Every pointer leads into the arena, and nothing overlaps the list. */
static void check_anchors(const hbeat_anchors *a) {
  const byte *start = a->arena, *end = start + a->arena_size;
  const byte *kept = end - a->used;
  size_t i, used = 0;
  EXPECT(a->used <= a->arena_size);
  if (a->count == 0) return;
  EXPECT((uintptr_t)a->list % sizeof(void *) == 0);
  EXPECT((const byte *)a->list >= start);
  EXPECT((const byte *)(a->list + a->count) <= kept);
  for (i = 0; i < a->count; i++) {
    const br_x509_trust_anchor *ta = &a->list[i];
    const br_rsa_public_key *rsa = &ta->pkey.key.rsa;
    const br_ec_public_key *ec = &ta->pkey.key.ec;
    used += ta->dn.len;
    EXPECT(ta->dn.data >= kept && ta->dn.data + ta->dn.len <= end);
    EXPECT(ta->dn.len >= 2 && ta->dn.data[0] == 0x30);
    EXPECT((ta->flags & ~(unsigned)BR_X509_TA_CA) == 0);
    if (ta->pkey.key_type == BR_KEYTYPE_RSA) {
      EXPECT(rsa->n >= kept && rsa->n + rsa->nlen <= end);
      EXPECT(rsa->e >= kept && rsa->e + rsa->elen <= end);
      EXPECT(rsa->nlen >= RSA_MIN && rsa->nlen <= RSA_MAX);
      EXPECT(rsa->elen > 0 && rsa->n[0] != 0 && rsa->e[0] != 0);
      used += rsa->nlen + rsa->elen;
    } else {
      EXPECT(ta->pkey.key_type == BR_KEYTYPE_EC);
      EXPECT(ec->q >= kept && ec->q + ec->qlen <= end);
      EXPECT(ec->curve >= BR_EC_secp256r1 && ec->curve <= BR_EC_secp521r1);
      used += ec->qlen;
    }
  }
  EXPECT(used == a->used);
}

static bool same_anchor(
    const br_x509_trust_anchor *a, const br_x509_trust_anchor *b) {
  const br_x509_pkey *k = &a->pkey, *l = &b->pkey;
  if (a->flags != b->flags || a->dn.len != b->dn.len ||
      memcmp(a->dn.data, b->dn.data, a->dn.len) != 0 ||
      k->key_type != l->key_type)
    return false;
  if (k->key_type == BR_KEYTYPE_EC)
    return k->key.ec.curve == l->key.ec.curve &&
        k->key.ec.qlen == l->key.ec.qlen &&
        memcmp(k->key.ec.q, l->key.ec.q, k->key.ec.qlen) == 0;
  return k->key.rsa.nlen == l->key.rsa.nlen &&
      k->key.rsa.elen == l->key.rsa.elen &&
      memcmp(k->key.rsa.n, l->key.rsa.n, k->key.rsa.nlen) == 0 &&
      memcmp(k->key.rsa.e, l->key.rsa.e, k->key.rsa.elen) == 0;
}

static hbeat_error load(hbeat_anchors *a, const void *text, size_t size) {
  size_t count = a->count, skipped = a->skipped;
  hbeat_error e = hbeat_anchors_pem(a, at_end(text, size), size);
  EXPECT(e == HBEAT_OK || e == HBEAT_ERR_TOO_BIG || e == HBEAT_ERR_TRUNCATED ||
      e == HBEAT_ERR_CERT_TRUST);
  EXPECT(e != HBEAT_OK || a->count > 0);
  EXPECT(e != HBEAT_ERR_CERT_TRUST || a->count == 0);
  EXPECT(a->count >= count && a->skipped >= skipped);
  check_anchors(a);
  return e;
}

/* What fitted a small arena is what begins the big one's list. */
static void check_small(const hbeat_anchors *big, hbeat_error expected,
    const void *text, size_t size, size_t room, size_t offset) {
  hbeat_anchors a = {.arena_size = room};
  byte *block = memory(offset + room);
  hbeat_error e;
  size_t i;
  memset(block, 0xA5, offset);
  a.arena = block + offset;
  e = load(&a, text, size);
  EXPECT(e == HBEAT_ERR_TOO_BIG || e == expected);
  EXPECT(a.count <= big->count && a.skipped <= big->skipped);
  EXPECT(e == HBEAT_ERR_TOO_BIG ||
      (a.count == big->count && a.skipped == big->skipped));
  for (i = 0; i < a.count; i++) EXPECT(same_anchor(&a.list[i], &big->list[i]));
  for (i = 0; i < offset; i++) EXPECT(block[i] == 0xA5);
  free(block);
}

/* A text is the same with the line ends of DOS. */
static void check_line_ends(
    const hbeat_anchors *big, hbeat_error expected, span text) {
  hbeat_anchors a = {.arena = memory(ARENA_BIG), .arena_size = ARENA_BIG};
  byte *dos = memory(2 * length_of(text)), *at = dos;
  for (; text.at < text.end; *at++ = *text.at++)
    if (*text.at == '\n') *at++ = '\r';
  EXPECT(load(&a, dos, (size_t)(at - dos)) == expected);
  EXPECT(a.count == big->count && a.skipped == big->skipped);
  free(dos);
  free(a.arena);
}

/* A byte order mark before a text is nothing to it, if there is none yet. */
static void check_mark(
    const hbeat_anchors *big, hbeat_error expected, span text) {
  static const byte mark[] = {0xEF, 0xBB, 0xBF};
  hbeat_anchors a = {.arena = memory(ARENA_BIG), .arena_size = ARENA_BIG};
  size_t size = length_of(text);
  byte *marked = memory(size + sizeof mark);
  memcpy(marked, mark, sizeof mark);
  if (size > 0) memcpy(marked + sizeof mark, text.at, size);
  if (size < sizeof mark || memcmp(text.at, mark, sizeof mark) != 0) {
    EXPECT(load(&a, marked, size + sizeof mark) == expected);
    EXPECT(a.count == big->count && a.skipped == big->skipped);
  }
  free(marked);
  free(a.arena);
}

/* What an owner says of a root that is for servers: members of these kinds, in
 * this order, each once at most; of the first and second, the purposes. */
static bool owner_agrees(span in) {
  static const byte kinds[] = {0x30, 0xA0, 0x0C, 0x04, 0xA1};
  static const byte servers[] = {0x2B, 6, 1, 5, 5, 7, 3, 1};
  static const byte any[] = {0x55, 0x1D, 0x25, 0};
  span owner, list, id;
  size_t kind = 0;
  if (in.at == in.end) return true;
  if (!der_take(&in, 0x30, &owner) || in.at < in.end) return false;
  for (; owner.at < owner.end; kind++) {
    bool listed = false;
    while (kind < sizeof kinds && *owner.at != kinds[kind]) kind++;
    if (kind == sizeof kinds) return false;
    if (!der_take(&owner, kinds[kind], &list)) return false;
    while (kind < 2 && list.at < list.end) {
      size_t size;
      if (!der_take(&list, 6, &id)) return false;
      size = length_of(id);
      if (size == sizeof servers && memcmp(id.at, servers, size) == 0)
        listed = true;
      if (size == sizeof any && memcmp(id.at, any, size) == 0) listed = true;
    }
    if (kind < 2 && listed != (kind == 0)) return false;
  }
  return true;
}

static char *write_pem(span der, byte kind, unsigned label, size_t *size) {
  unsigned flags = kind / FLAGS & (BR_PEM_LINE64 | BR_PEM_CRLF);
  size_t length = length_of(der);
  char *pem =
      memory(br_pem_encode(NULL, NULL, length, labels[label], flags) + 1);
  *size = br_pem_encode(pem, der.at, length, labels[label], flags);
  return pem;
}

/* Under each label a certificate is the same, or its owner has objected. */
static void check_label(const hbeat_anchors *big, span der, byte kind) {
  hbeat_anchors a = {.arena = memory(ARENA_BIG), .arena_size = ARENA_BIG};
  span certificate;
  size_t size;
  char *pem = write_pem(der, kind, PLAIN, &size);
  bool wanted = kind / LABEL != STRANGE;
  load(&a, pem, size);
  EXPECT(a.count + a.skipped == 1);
  if (a.count == 1 && kind / LABEL == OWNED) {
    EXPECT(der_take(&der, 0x30, &certificate));
    wanted = owner_agrees(der);
  }
  EXPECT(big->count == (wanted ? a.count : 0));
  if (big->count == 1) EXPECT(same_anchor(&a.list[0], &big->list[0]));
  EXPECT(kind / LABEL == STRANGE || big->count + big->skipped == 1);
  free(pem);
  free(a.arena);
}

static struct {
  byte bytes[1 << 16];
  size_t size;
} subject;

static void add_subject(void *context, const void *bytes, size_t size) {
  (void)context;
  if (size > sizeof subject.bytes - subject.size) return;
  memcpy(subject.bytes + subject.size, bytes, size);
  subject.size += size;
}

/* Where BearSSL's own decoder takes the certificate, too, it sees the same. */
static void check_decoder(const hbeat_anchors *big, span der) {
  br_x509_decoder_context decoder;
  br_x509_trust_anchor ta;
  subject.size = 0;
  br_x509_decoder_init(&decoder, add_subject, NULL);
  br_x509_decoder_push(&decoder, der.at, length_of(der));
  if (br_x509_decoder_last_error(&decoder) != 0 || big->count == 0) return;
  EXPECT(big->count == 1);
  ta.dn.data = subject.bytes;
  ta.dn.len = subject.size;
  ta.pkey = *br_x509_decoder_get_pkey(&decoder);
  ta.flags = br_x509_decoder_isCA(&decoder) ? BR_X509_TA_CA : 0;
  EXPECT(same_anchor(&ta, &big->list[0]));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  span in = span_of(data, size), text;
  byte kind = control(&in);
  size_t room = (size_t)control(&in) << 8;
  hbeat_anchors a = {.arena = memory(ARENA_BIG), .arena_size = ARENA_BIG};
  char *pem = NULL;
  hbeat_error first, e;
  size_t i, count;
  room |= control(&in);
  text = in;
  if (kind & DER) {
    size_t length;
    pem = write_pem(in, kind, kind / LABEL, &length);
    text = span_of(pem, length);
  }
  first = load(&a, text.at, length_of(text));
  room = (a.count * sizeof *a.list + a.used + length_of(text)) * room / ALL;
  check_small(&a, first, text.at, length_of(text), room, kind & OFFSET);
  check_line_ends(&a, first, text);
  check_mark(&a, first, text);
  if (kind & DER) check_label(&a, in, kind);
  if (kind & DER) check_decoder(&a, in);
  count = a.count;
  e = load(&a, text.at, length_of(text));
  EXPECT(e == first || e == HBEAT_ERR_TOO_BIG);
  EXPECT(e == HBEAT_ERR_TOO_BIG || a.count == 2 * count);
  for (i = 0; count + i < a.count; i++)
    EXPECT(same_anchor(&a.list[i], &a.list[count + i]));
  free(pem);
  free(a.arena);
  return 0;
}
