/* Certificates as they stream by.  Control bytes: what kind, and how to split;
 * then certificates in DER, the server's first.  Every signature counts as
 * good, so that a changed certificate gets as far as a real one. */
#include "fuzz.h"

/* SHORT: a byte of the first certificate belongs to the second. */
enum { SHORT = 1, STALE = 2, DATE = 4 };

static const char host[] = "api.lucit.app";
static const int64_t dates[] = {1650000000, 0, LAST_S, 981173106};

static hbeat_client client;
static br_x509_minimal_context original, *verifying;

static uint32_t good_ecdsa(const br_ec_impl *ec, const void *hash,
    size_t hash_size, const br_ec_public_key *key, const void *signature,
    size_t size) {
  (void)ec;
  (void)hash;
  (void)hash_size;
  (void)key;
  (void)signature;
  (void)size;
  return 1;
}

/* Hands back the hash that is expected. */
static uint32_t good_rsa(const byte *x, size_t size, const byte *oid,
    size_t hash_size, const br_rsa_public_key *key, byte *hash) {
  (void)x;
  (void)size;
  (void)oid;
  (void)key;
  memcpy(hash, verifying->tbs_hash, hash_size);
  return 1;
}

/* The name of an anchor: one attribute, a UTF8String of 17 bytes. */
#define NAME(text) "\x30\x1C\x31\x1A\x30\x18\x06\x03\x55\x04\x03\x0C\x11" text

static void prepare(void) {
  static byte point[65] = {4};
  static byte ca[] = NAME("heartbeat test CA");
  static br_x509_trust_anchor anchor = {.dn = {ca, sizeof ca - 1},
      .flags = BR_X509_TA_CA,
      .pkey = {.key_type = BR_KEYTYPE_EC,
          .key.ec = {BR_EC_secp256r1, point, sizeof point}}};
  static byte tls[HBEAT_TLS_BUFFER_SIZE];
  static char reply[16];
  static const hbeat_config cfg = {.device = "d",
      .app = "a",
      .token = "t",
      .anchors = &anchor,
      .anchor_count = 1,
      .tls_buffer = tls,
      .tls_buffer_size = sizeof tls,
      .reply_buffer = reply,
      .reply_buffer_size = sizeof reply};
  EXPECT(hbeat_init(&client, &cfg) == HBEAT_OK);
  client.certs.x509.iecdsa = good_ecdsa;
  client.certs.x509.irsa = good_rsa;
  original = client.certs.x509;
  original.vtable = &br_x509_minimal_vtable;
  br_x509_minimal_set_name_elements(&original, NULL, 0);
}

typedef struct outcome {
  unsigned error, usages;
  bool has_key;
  int64_t not_before_s, leaf_until_s;
  byte certificates;
  int name_status;
  char name[sizeof client.certs.name];
} outcome;

/* Takes the next certificate off a chain: all that is left where its own size
 * is not good. */
static span next_certificate(span *chain, bool shorter) {
  span all = *chain, content;
  if (!der_take(chain, 0x30, &content)) chain->at = chain->end;
  all.end = chain->at;
  if (shorter && length_of(all) > 1) chain->at = --all.end;
  return all;
}

/* What the client notes of the certificates that it sees is as in the middle of
 * others (STALE), or as nothing was seen yet. */
static void reset_notes(bool stale) {
  int64_t noted_s = stale ? LAST_S : 0;
  memset(client.certs.window, stale ? 0x7F : 0, sizeof client.certs.window);
  client.certs.not_before_s = noted_s;
  client.tls.server_not_after_s = noted_s;
  client.certs.dates_seen = stale;
  client.certs.count = 0;
  client.certs.not_for_servers = false;
}

/* Shows a chain to the client's class, or to BearSSL's own. */
static outcome show(
    br_x509_minimal_context *x, span chain, byte kind, byte choice) {
  int64_t now_s = dates[kind / DATE % COUNT(dates)];
  const br_x509_class **x509 = &x->vtable, *class = x->vtable;
  const br_x509_pkey *key;
  uint32_t random = choice + 1u;
  outcome o;
  int n;
  verifying = x;
  memset(&o, 0, sizeof o);
  reset_notes(kind & STALE);
  br_x509_minimal_set_time(
      x, (uint32_t)(now_s / DAY_S + DAYS_TO_1970), (uint32_t)(now_s % DAY_S));
  class->start_chain(x509, host);
  for (n = 0; chain.at < chain.end; n++) {
    span c = next_certificate(&chain, n == 0 && (kind & SHORT));
    class->start_cert(x509, (uint32_t)length_of(c));
    while (c.at < c.end) {
      size_t size = next_piece(length_of(c), choice, &random);
      class->append(x509, at_end(c.at, size), size);
      c.at += size;
    }
    class->end_cert(x509);
  }
  o.error = class->end_chain(x509);
  key = class->get_pkey(x509, &o.usages);
  o.has_key = key != NULL;
  o.not_before_s = client.certs.not_before_s;
  o.leaf_until_s = client.tls.server_not_after_s;
  o.certificates = client.certs.count;
  o.name_status = client.certs.dns_name.status;
  if (o.name_status == 1) strcpy(o.name, client.certs.name);
  return o;
}

/* What the operator and the client will see must not depend on the pieces. */
static void expect_same(const outcome *a, const outcome *b) {
  EXPECT(a->error == b->error);
  EXPECT(a->usages == b->usages && a->has_key == b->has_key);
  EXPECT(a->name_status == b->name_status);
  EXPECT(strcmp(a->name, b->name) == 0);
  if (a->error == BR_ERR_X509_EXPIRED)
    EXPECT(a->not_before_s == b->not_before_s);
  if (a->error != 0) return;
  EXPECT(a->leaf_until_s == b->leaf_until_s);
  EXPECT(a->certificates == b->certificates);
}

/* The end of the last place where these bytes are. */
static size_t last_place(span in, const char *bytes, size_t size) {
  size_t end = length_of(in);
  while (end >= size && memcmp(in.at + end - size, bytes, size) != 0) end--;
  return end >= size ? end : 0;
}

#define PLACE(in, bytes) last_place(in, bytes, sizeof(bytes) - 1)

/* Whether all uses that the server's certificate names are others'. */
static bool for_others(span certificate) {
  size_t usage = PLACE(certificate, "\x06\x03\x55\x1D\x25");
  size_t server =
      PLACE(certificate, "\x06\x08\x2B\x06\x01\x05\x05\x07\x03\x01");
  size_t any = PLACE(certificate, "\x06\x04\x55\x1D\x25\x00");
  return usage > server && usage > any;
}

/* Where only one place of the certificate looks like dates, BearSSL's decoder
 * sees the same ones. */
static void check_dates(span certificate, int64_t leaf_until_s) {
  br_x509_decoder_context d;
  const byte *at;
  unsigned places = 0;
  for (at = certificate.at; at < certificate.end; at++) {
    span in = {at, certificate.end}, two;
    int64_t s;
    places +=
        der_take(&in, 0x30, &two) && take_date(&two, &s) && take_date(&two, &s);
  }
  br_x509_decoder_init(&d, NULL, NULL);
  br_x509_decoder_push(&d, certificate.at, length_of(certificate));
  if (places != 1 || br_x509_decoder_last_error(&d) != 0) return;
  EXPECT(leaf_until_s ==
      ((int64_t)d.notafter_days - DAYS_TO_1970) * DAY_S + d.notafter_seconds);
}

/* What the client says of a chain that BearSSL finds good. */
static unsigned error_beyond_bearssl(const outcome *o, span leaf) {
  if (o->name_status == 0) return BR_ERR_X509_BAD_SERVER_NAME;
  return for_others(leaf) ? BR_ERR_WRONG_KEY_USAGE : 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  span in = span_of(data, size), leaf;
  byte kind = control(&in), choice = control(&in);
  outcome whole, pieces, bearssl;
  if (client.state == UNFIT) prepare();
  whole = show(&client.certs.x509, in, kind, 0);
  pieces = show(&client.certs.x509, in, kind, choice);
  bearssl = show(&original, in, kind, 0);
  expect_same(&whole, &pieces);
  if (bearssl.error != 0) {
    EXPECT(whole.error == bearssl.error);
    return 0;
  }
  leaf = next_certificate(&in, kind & SHORT);
  EXPECT(whole.error == error_beyond_bearssl(&whole, leaf));
  if (whole.error == 0) check_dates(leaf, whole.leaf_until_s);
  return 0;
}
