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
  byte counted; /* of these, so many came before BearSSL's verdict */
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
  memset(&client.certs.walk, stale ? 0x7F : 0, sizeof client.certs.walk);
  client.certs.not_before_s = noted_s;
  client.tls.server_not_after_s = noted_s;
  client.certs.count = 0;
  client.certs.not_for_servers = false;
  client.certs.out_of_order = false;
  client.certs.malformed = false;
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
    o.counted += x->err == 0;
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

/* ---- What a certificate says, parsed whole ---- */

typedef struct parsed {
  span validity;
  bool malformed;       /* its extendedKeyUsage is none */
  bool not_for_servers; /* it has one that excludes servers */
} parsed;

/* Takes the element at the front, whatever it is. */
static span take_any(span *in) {
  span content = *in;
  EXPECT(in->at < in->end && der_take(in, *in->at, &content));
  return content;
}

/* The purposes of an extendedKeyUsage. */
static void parse_usage(parsed *p, span value) {
  bool for_servers = false;
  while (value.at < value.end) {
    span purposes, purpose;
    if (!der_take(&value, DER_SEQUENCE, &purposes)) {
      p->malformed = true;
      return;
    }
    while (purposes.at < purposes.end) {
      if (!der_take(&purposes, DER_OID, &purpose)) {
        p->malformed = true;
        return;
      }
      for_servers |= der_is(purpose, &oid_server_auth);
      for_servers |= der_is(purpose, &oid_any_purpose);
    }
  }
  if (!for_servers) p->not_for_servers = true;
}

static void parse_extension(parsed *p, span extension) {
  span oid = take_any(&extension);
  span value = take_any(&extension);
  if (extension.at < extension.end) value = take_any(&extension);
  if (der_is(oid, &oid_usage)) parse_usage(p, value);
}

/* One that BearSSL has accepted. */
static parsed parse(span certificate) {
  parsed p = {.malformed = false};
  span whole = take_any(&certificate);
  span tbs = take_any(&whole);
  if (*tbs.at == DER_CONSTRUCTED_0) take_any(&tbs);
  for (int field = SERIAL; field < VALIDITY; field++) take_any(&tbs);
  p.validity = take_any(&tbs);
  for (int field = SUBJECT; field <= OTHER; field++) take_any(&tbs);
  while (tbs.at < tbs.end) {
    bool has_extensions = *tbs.at == DER_CONSTRUCTED_3;
    span extensions = take_any(&tbs);
    if (!has_extensions) continue;
    extensions = take_any(&extensions);
    while (extensions.at < extensions.end)
      parse_extension(&p, take_any(&extensions));
  }
  return p;
}

/* What the client says of a chain that BearSSL finds good. */
static unsigned error_beyond_bearssl(
    const outcome *o, span chain, byte kind, byte counted) {
  bool malformed = false, not_for_servers = false;
  if (o->name_status == 0) return BR_ERR_X509_BAD_SERVER_NAME;
  for (byte n = 0; n < counted; n++) {
    parsed p = parse(next_certificate(&chain, n == 0 && (kind & SHORT)));
    malformed |= p.malformed;
    not_for_servers |= p.not_for_servers;
  }
  if (malformed) return BR_ERR_X509_INVALID_VALUE;
  return not_for_servers ? BR_ERR_WRONG_KEY_USAGE : 0;
}

/* BearSSL's decoder sees the same end of the server's own certificate. */
static void check_dates(span certificate, int64_t leaf_until_s) {
  br_x509_decoder_context d;
  br_x509_decoder_init(&d, NULL, NULL);
  br_x509_decoder_push(&d, certificate.at, length_of(certificate));
  if (br_x509_decoder_last_error(&d) != 0) return;
  EXPECT(leaf_until_s ==
      ((int64_t)d.notafter_days - DAYS_TO_1970) * DAY_S + d.notafter_seconds);
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
  EXPECT(
      whole.error == error_beyond_bearssl(&whole, in, kind, bearssl.counted));
  leaf = next_certificate(&in, kind & SHORT);
  if (whole.error == 0) check_dates(leaf, whole.leaf_until_s);
  return 0;
}
