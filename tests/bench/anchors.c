/*
 * Prints the roots of a PEM file as C source, for a program that has them built
 * in: built_in[] and built_in_count.
 *
 * usage: anchors PEM-FILE
 */
#include "heartbeat.h"

#include <stdio.h>
#include <stdlib.h>

static unsigned char arena[256 * 1024];
static char pem[1 << 20];

static void quit(const char *why) {
  fprintf(stderr, "anchors: %s\n", why);
  exit(1);
}

static void print_bytes(
    const char *name, size_t i, const unsigned char *bytes, size_t size) {
  printf("static const unsigned char %s_%zu[] = {", name, i);
  for (size_t j = 0; j < size; j++)
    printf("%s%d,", j % 16 == 0 ? "\n  " : "", bytes[j]);
  printf("\n};\n");
}

static void print_parts(size_t i, const br_x509_trust_anchor *root) {
  print_bytes("name", i, root->dn.data, root->dn.len);
  if (root->pkey.key_type == BR_KEYTYPE_EC) {
    print_bytes("q", i, root->pkey.key.ec.q, root->pkey.key.ec.qlen);
    return;
  }
  print_bytes("n", i, root->pkey.key.rsa.n, root->pkey.key.rsa.nlen);
  print_bytes("e", i, root->pkey.key.rsa.e, root->pkey.key.rsa.elen);
}

#define BYTES(name) "(unsigned char *)" #name "_%zu, sizeof " #name "_%zu"

static void print_root(size_t i, const br_x509_trust_anchor *root) {
  printf("  {{" BYTES(name) "}, %u, ", i, i, root->flags);
  if (root->pkey.key_type == BR_KEYTYPE_EC)
    printf("{BR_KEYTYPE_EC, {.ec = {%d, " BYTES(q) "}}}},\n",
        root->pkey.key.ec.curve, i, i);
  else
    printf("{BR_KEYTYPE_RSA, {.rsa = {" BYTES(n) ", " BYTES(e) "}}}},\n", i, i,
        i, i);
}

int main(int argc, char **argv) {
  hbeat_anchors anchors = {.arena = arena, .arena_size = sizeof arena};
  FILE *f = argc == 2 ? fopen(argv[1], "rb") : NULL;

  if (!f) quit("usage: anchors PEM-FILE");
  if (hbeat_anchors_pem(&anchors, pem, fread(pem, 1, sizeof pem, f)) !=
      HBEAT_OK)
    quit("bad anchors");
  fclose(f);
  printf("#include <bearssl.h>\n");
  for (size_t i = 0; i < anchors.count; i++) print_parts(i, &anchors.list[i]);
  printf("extern const br_x509_trust_anchor built_in[];\n"
         "extern const size_t built_in_count;\n"
         "const size_t built_in_count = %zu;\n"
         "const br_x509_trust_anchor built_in[] = {\n",
      anchors.count);
  for (size_t i = 0; i < anchors.count; i++) print_root(i, &anchors.list[i]);
  printf("};\n");
  return 0;
}
