/*
 * anchors - prints trusted roots as C, for firmware that has them built in:
 * then it carries no PEM, and reads none at each start.
 *
 * usage: anchors [--chain FILE] ROOTS... > roots.h
 *
 * ROOTS are PEM files, such as one of a single root, or the system's bundle.
 * With --chain only those roots are printed that a server needs: each of them
 * alone makes the chain in FILE valid now.  FILE is PEM, the server's own
 * certificate first; this asks a server for it:
 *
 *     curl -so /dev/null -w '%{certs}' https://api.lucit.app > chain.pem
 *
 * The exit status is 0 if there is a root, 1 if not or if something failed, and
 * 2 if the usage was wrong.  Nothing is printed then.
 */
#define _POSIX_C_SOURCE 200809L /* for the errno of fopen() and fread() */

#include "heartbeat.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PEM_MAX ((size_t)1 << 20)      /* Debian's bundle has 220,000 bytes */
#define ARENA_SIZE ((size_t)1 << 18)   /* its roots take 77,000 */
#define CHAIN_MAX 16                   /* certificates; a server has 2 to 4 */
#define CHAIN_SIZE ((size_t)128 << 10) /* in DER, in all */
#define TITLE_SIZE 64
#define DAY_S 86400
#define DAYS_TO_1970 719528 /* from the year 0 on, as BearSSL counts */
#define RSA_MIN 256         /* bytes of a modulus, as for heartbeat.c */

/* The server's certificates, one behind the other. */
struct chain {
  unsigned char der[CHAIN_SIZE];
  size_t size;
  size_t ends[CHAIN_MAX];
  size_t count;
};

static unsigned char arena[ARENA_SIZE]; /* of the roots */
static char pem[PEM_MAX];               /* the present file */

static void fail(const char *which, const char *what) {
  fprintf(stderr, "anchors: %s: %s\n", which, what);
  exit(1);
}

/* Reads a whole file to `pem`, with a line end behind it, and returns its
 * size. */
static size_t read_file(const char *path) {
  FILE *file = fopen(path, "rb");

  if (!file) fail(path, strerror(errno));
  size_t size = fread(pem, 1, PEM_MAX, file);
  if (ferror(file)) fail(path, strerror(errno));
  if (size == PEM_MAX) fail(path, "too long");
  fclose(file);
  pem[size] = '\n';
  return size + 1;
}

static void load_roots(hbeat_anchors *roots, const char *path) {
  size_t size = read_file(path);

  switch (hbeat_anchors_pem(roots, pem, size)) {
  case HBEAT_OK: break;
  case HBEAT_ERR_TOO_BIG: fail(path, "too many roots"); break;
  case HBEAT_ERR_TRUNCATED: fail(path, "ends inside a certificate"); break;
  default: fail(path, "holds no root that can be used"); break;
  }
}

/* ---- Which root signed the chain -------------------------------------- */

static void append_der(void *to, const void *bytes, size_t size) {
  struct chain *chain = to;

  if (size > sizeof chain->der - chain->size) fail("--chain", "too long");
  memcpy(chain->der + chain->size, bytes, size);
  chain->size += size;
}

static void end_certificate(struct chain *chain) {
  if (chain->count == CHAIN_MAX) fail("--chain", "too many certificates");
  chain->ends[chain->count++] = chain->size;
}

static void load_chain(struct chain *chain, const char *path) {
  br_pem_decoder_context decoder;
  size_t at = 0;
  size_t size = read_file(path);
  bool inside = false;

  br_pem_decoder_init(&decoder);
  while (at < size) {
    at += br_pem_decoder_push(&decoder, pem + at, size - at);
    switch (br_pem_decoder_event(&decoder)) {
    case BR_PEM_BEGIN_OBJ:
      if (strcmp(br_pem_decoder_name(&decoder), "CERTIFICATE") != 0)
        fail(path, "holds something else than certificates");
      br_pem_decoder_setdest(&decoder, append_der, chain);
      inside = true;
      break;
    case BR_PEM_END_OBJ:
      end_certificate(chain);
      inside = false;
      break;
    case BR_PEM_ERROR: fail(path, "is not valid PEM"); break;
    default: break; /* the text goes on */
    }
  }
  if (inside) fail(path, "ends inside a certificate");
  if (chain->count == 0) fail(path, "holds no certificate");
}

/* Whether the chain is valid now if this root is trusted, and no other.  Its
 * name is not looked at: that is the client's business. */
static bool is_valid_by(
    const struct chain *chain, const br_x509_trust_anchor *root) {
  br_x509_minimal_context x509;
  const br_x509_class **check = &x509.vtable;
  time_t now = time(NULL);
  size_t start = 0;

  br_x509_minimal_init(&x509, &br_sha256_vtable, root, 1);
  br_x509_minimal_set_rsa(&x509, br_rsa_pkcs1_vrfy_get_default());
  br_x509_minimal_set_ecdsa(
      &x509, br_ec_get_default(), br_ecdsa_vrfy_asn1_get_default());
  br_x509_minimal_set_hash(&x509, br_sha256_ID, &br_sha256_vtable);
  br_x509_minimal_set_hash(&x509, br_sha384_ID, &br_sha384_vtable);
  br_x509_minimal_set_hash(&x509, br_sha512_ID, &br_sha512_vtable);
  br_x509_minimal_set_minrsa(&x509, RSA_MIN);
  br_x509_minimal_set_time(
      &x509, (uint32_t)(now / DAY_S + DAYS_TO_1970), (uint32_t)(now % DAY_S));
  (*check)->start_chain(check, NULL);
  for (size_t i = 0; i < chain->count; i++) {
    size_t size = chain->ends[i] - start;
    (*check)->start_cert(check, (uint32_t)size);
    (*check)->append(check, chain->der + start, size);
    (*check)->end_cert(check);
    start = chain->ends[i];
  }
  return (*check)->end_chain(check) == 0;
}

/* Leaves of the roots only those that the chain needs. */
static void choose_roots(hbeat_anchors *roots, const struct chain *chain) {
  size_t chosen = 0;

  for (size_t i = 0; i < roots->count; i++)
    if (is_valid_by(chain, &roots->list[i]))
      roots->list[chosen++] = roots->list[i];
  if (chosen == 0) fail("--chain", "is not valid now by any of these roots");
  roots->count = chosen;
}

/* ---- What a root is called -------------------------------------------- */

struct bytes {
  const unsigned char *at;
  const unsigned char *end;
};

/* Takes the next element off DER, and returns its content; or nothing, and all
 * is taken, where there is none or it is not whole. */
static struct bytes take(struct bytes *in) {
  struct bytes content = {in->end, in->end};
  const unsigned char *at = in->at;
  size_t left = (size_t)(in->end - at);

  in->at = in->end;
  if (left < 2) return content;
  size_t size = at[1];
  size_t more = size > 0x80 ? size & 0x7F : 0; /* bytes of its length */
  if (size == 0x80 || more > 2 || left < 2 + more) return content;
  at += 2;
  if (more > 0) size = 0;
  for (size_t i = 0; i < more; i++) size = size << 8 | *at++;
  if (size > (size_t)(content.end - at)) return content;
  content.at = at;
  content.end = at + size;
  in->at = content.end;
  return content;
}

/* Writes the last value of a root's name, which is its common name as a rule,
 * with nothing in it that could end a comment. */
static void write_title(
    const br_x509_trust_anchor *root, char title[TITLE_SIZE]) {
  static const char plain[] = "abcdefghijklmnopqrstuvwxyz0123456789"
                              "ABCDEFGHIJKLMNOPQRSTUVWXYZ .,-()'@";
  struct bytes name = {root->dn.data, root->dn.data + root->dn.len};
  struct bytes parts = take(&name);
  struct bytes last = parts;
  size_t size = 0;

  while (parts.at < parts.end) last = take(&parts);
  struct bytes attribute = take(&last);
  take(&attribute); /* its type */
  struct bytes value = take(&attribute);
  for (; value.at < value.end && size < TITLE_SIZE - 1; value.at++) {
    char c = (char)*value.at;
    title[size++] = '_';
    if (c != '\0' && strchr(plain, c)) title[size - 1] = c;
  }
  title[size] = '\0';
}

/* ---- The output ------------------------------------------------------- */

static void print_bytes(
    size_t number, const char *part, const unsigned char *bytes, size_t size) {
  printf("static const unsigned char root_%zu_%s[] = {", number, part);
  for (size_t i = 0; i < size; i++)
    printf("%s0x%02x,", i % 12 == 0 ? "\n    " : " ", bytes[i]);
  printf("\n};\n");
}

static void print_parts(const br_x509_trust_anchor *root, size_t number) {
  const br_x509_pkey *key = &root->pkey;
  char title[TITLE_SIZE];

  write_title(root, title);
  printf("\n/* %zu: %s */\n", number, title);
  print_bytes(number, "name", root->dn.data, root->dn.len);
  if (key->key_type == BR_KEYTYPE_EC) {
    print_bytes(number, "point", key->key.ec.q, key->key.ec.qlen);
  } else {
    print_bytes(number, "modulus", key->key.rsa.n, key->key.rsa.nlen);
    print_bytes(number, "exponent", key->key.rsa.e, key->key.rsa.elen);
  }
}

static const char *name_of_curve(int curve) {
  switch (curve) {
  case BR_EC_secp256r1: return "BR_EC_secp256r1";
  case BR_EC_secp384r1: return "BR_EC_secp384r1";
  default: return "BR_EC_secp521r1";
  }
}

static void print_root(const br_x509_trust_anchor *root, size_t number) {
  bool is_ca = (root->flags & BR_X509_TA_CA) != 0;

  printf("    {{ROOT_BYTES(root_%zu_name)}, %s,\n", number,
      is_ca ? "BR_X509_TA_CA" : "0");
  if (root->pkey.key_type == BR_KEYTYPE_EC)
    printf("        {BR_KEYTYPE_EC,\n            {.ec = {%s,\n"
           "                 ROOT_BYTES(root_%zu_point)}}}},\n",
        name_of_curve(root->pkey.key.ec.curve), number);
  else
    printf("        {BR_KEYTYPE_RSA,\n"
           "            {.rsa = {ROOT_BYTES(root_%zu_modulus),\n"
           "                 ROOT_BYTES(root_%zu_exponent)}}}},\n",
        number, number);
}

static void print_roots(const hbeat_anchors *roots) {
  puts("/* Made by examples/anchors.c of heartbeat " HBEAT_VERSION ": the roots"
       " that the\n * firmware trusts, for config.anchors.  Include it in one"
       " file. */\n"
       "#ifndef TRUSTED_ROOTS_H\n"
       "#define TRUSTED_ROOTS_H\n\n"
       "#ifdef __cplusplus\n"
       "#pragma GCC system_header /* for .ec and .rsa, before C++20 */\n"
       "#endif\n"
       "#include <bearssl.h>");
  for (size_t i = 0; i < roots->count; i++) print_parts(&roots->list[i], i + 1);
  puts("\n/* BearSSL's members are not const, and nobody writes to them. */\n"
       "#define ROOT_BYTES(array) (unsigned char *)(array), sizeof(array)\n"
       "static const br_x509_trust_anchor trusted_roots[] = {");
  for (size_t i = 0; i < roots->count; i++) print_root(&roots->list[i], i + 1);
  puts("};\n#undef ROOT_BYTES");
  printf("#define TRUSTED_ROOT_COUNT %zu\n\n#endif\n", roots->count);
}

int main(int argc, char **argv) {
  static struct chain chain;
  hbeat_anchors roots = {.arena = arena, .arena_size = sizeof arena};
  bool chooses = argc > 1 && strcmp(argv[1], "--chain") == 0;
  int first = chooses ? 3 : 1;

  if (argc <= first || argv[first][0] == '-') {
    fputs("usage: anchors [--chain FILE] ROOTS... > roots.h\n", stderr);
    return 2;
  }
  if (chooses) load_chain(&chain, argv[2]);
  for (int i = first; i < argc; i++) load_roots(&roots, argv[i]);
  if (chooses) choose_roots(&roots, &chain);
  if (roots.skipped > 0)
    fprintf(stderr, "anchors: BearSSL cannot use %zu of these certificates\n",
        roots.skipped);
  print_roots(&roots);
  if (fflush(stdout) != 0 || ferror(stdout)) fail("output", strerror(errno));
  return 0;
}
