/*
 * Holds roots that are built in against the same from PEM: they are equal, byte
 * for byte; and with a port a heartbeat succeeds by them, whose TLS session a
 * client that has the roots from PEM takes over.
 *
 * usage: rooted PEM-FILE [PORT]
 *
 * built_in_roots() is compiled from what examples/anchors.c prints.
 */
#include "heartbeat.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const br_x509_trust_anchor *built_in_roots(size_t *count);

static unsigned char arena[1 << 18];
static char pem[1 << 20];
static unsigned char tls[HBEAT_TLS_BUFFER_SIZE];
static char body[HBEAT_REPLY_BUFFER_SIZE];
static unsigned char session[HBEAT_SESSION_SIZE];
static hbeat_client client;

static void expect(bool holds, const char *what) {
  if (holds) return;
  printf("not so: %s: %s\n", what, hbeat_explain(&client));
  exit(1);
}

static bool equals(
    const unsigned char *a, size_t size, const unsigned char *b, size_t other) {
  return size == other && memcmp(a, b, size) == 0;
}

static bool same_key(const br_x509_pkey *a, const br_x509_pkey *b) {
  const br_rsa_public_key *rsa = &a->key.rsa;
  const br_ec_public_key *ec = &a->key.ec;

  if (a->key_type != b->key_type) return false;
  if (a->key_type == BR_KEYTYPE_EC)
    return ec->curve == b->key.ec.curve &&
        equals(ec->q, ec->qlen, b->key.ec.q, b->key.ec.qlen);
  return equals(rsa->n, rsa->nlen, b->key.rsa.n, b->key.rsa.nlen) &&
      equals(rsa->e, rsa->elen, b->key.rsa.e, b->key.rsa.elen);
}

static bool same_root(
    const br_x509_trust_anchor *a, const br_x509_trust_anchor *b) {
  return a->flags == b->flags &&
      equals(a->dn.data, a->dn.len, b->dn.data, b->dn.len) &&
      same_key(&a->pkey, &b->pkey);
}

static void load_pem(hbeat_anchors *anchors, const char *path) {
  FILE *file = fopen(path, "rb");

  expect(file != NULL, "the PEM file is there");
  size_t size = fread(pem, 1, sizeof pem, file);
  fclose(file);
  expect(
      hbeat_anchors_pem(anchors, pem, size) == HBEAT_OK, "the PEM has roots");
}

/* Sends a heartbeat that has to take such a connection. */
static void send_beat(hbeat_connection connection) {
  hbeat_request beat = {.lightning_version = "4.2.1"};
  hbeat_reply reply;

  expect(hbeat_send(&client, &beat, &reply) == HBEAT_OK, "it succeeds");
  expect(reply.connection == connection, "its connection is such a one");
}

int main(int argc, char **argv) {
  hbeat_anchors anchors = {.arena = arena, .arena_size = sizeof arena};
  size_t count;
  const br_x509_trust_anchor *roots = built_in_roots(&count);

  expect(argc > 1, "there is an argument");
  load_pem(&anchors, argv[1]);
  expect(count == anchors.count, "there are as many");
  for (size_t i = 0; i < count; i++)
    expect(same_root(&roots[i], &anchors.list[i]), "they are equal");
  printf("%zu roots\n", count);
  if (argc == 2) return 0;

  hbeat_config cfg = {.device = "LCUID-LD-1",
      .app = "LCUID-LAP-1",
      .token = "a-token",
      .address = "127.0.0.1",
      .address_port = (uint16_t)strtoul(argv[2], NULL, 10),
      .anchors = roots,
      .anchor_count = count,
      .tls_buffer = tls,
      .tls_buffer_size = sizeof tls,
      .reply_buffer = body,
      .reply_buffer_size = sizeof body};
  expect(hbeat_init(&client, &cfg) == HBEAT_OK, "the roots are taken");
  send_beat(HBEAT_CONNECTION_NEW);
  expect(hbeat_session_save(&client, session), "there is a session");
  hbeat_close(&client);

  cfg.anchors = anchors.list;
  expect(hbeat_init(&client, &cfg) == HBEAT_OK, "those from PEM are taken");
  expect(hbeat_session_load(&client, session, sizeof session),
      "the session is of the same roots");
  send_beat(HBEAT_CONNECTION_RESUMED);
  hbeat_close(&client);

  cfg.anchor_count = count - 1;
  expect(hbeat_init(&client, &cfg) == HBEAT_OK, "fewer are taken");
  expect(!hbeat_session_load(&client, session, sizeof session),
      "the session is not of fewer");
  hbeat_close(&client);
  puts("a heartbeat");
  return 0;
}
