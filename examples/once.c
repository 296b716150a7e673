/*
 * once - sends one heartbeat and prints the instruction in the reply.
 *
 * usage: once DEVICE APP ADDRESS CA-FILE < TOKEN
 *
 * CA-FILE is the PEM file of the one root that the server's chain ends in, as a
 * player would have it built in.  The exit status is 0 after a heartbeat that
 * was taken, 1 where something failed, and 2 where the usage was wrong.
 *
 * The least that a player needs; lucit-heartbeat is the whole of it.
 */
#define _POSIX_C_SOURCE 200809L /* for the errno of fopen() and fread() */

#include "heartbeat.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define PEM_SIZE 4096             /* the roots of Debian 12 have up to 2,772 */
#define ARENA_SIZE (2 * PEM_SIZE) /* a root that loads takes twice its DER */

static unsigned char tls[HBEAT_TLS_BUFFER_SIZE];
static char body[HBEAT_REPLY_BUFFER_SIZE];
static char token[4096];
static unsigned char arena[ARENA_SIZE];
static hbeat_client client;

/* Always false, for the caller to return. */
static bool complain(const char *path, const char *what) {
  fprintf(stderr, "once: %s: %s\n", path, what);
  return false;
}

/* Loads the root in a PEM file.  False: a line says why not. */
static bool load_root(hbeat_anchors *anchors, const char *path) {
  char pem[PEM_SIZE];
  FILE *file = fopen(path, "r");

  if (!file) return complain(path, strerror(errno));
  size_t size = fread(pem, 1, sizeof pem, file);
  const char *error = ferror(file) ? strerror(errno) : NULL;
  fclose(file);
  if (error) return complain(path, error);
  if (size == sizeof pem) return complain(path, "too long for a single root");
  if (hbeat_anchors_pem(anchors, pem, size) != HBEAT_OK)
    return complain(path, "holds no root that can be used");
  return true;
}

/* Sends a heartbeat with this configuration, and prints what came of it. */
static hbeat_error send_once(const hbeat_config *cfg) {
  hbeat_request beat = {.lightning_version = "4.2.1"};
  hbeat_reply reply;
  hbeat_error e = hbeat_init(&client, cfg);

  if (e == HBEAT_OK) e = hbeat_send(&client, &beat, &reply);
  if (e != HBEAT_OK) fprintf(stderr, "%s\n", hbeat_explain(&client));
  else puts(reply.instruction.name ? reply.instruction.name : "-");
  hbeat_close(&client);
  return e;
}

int main(int argc, char **argv) {
  hbeat_anchors anchors = {.arena = arena, .arena_size = sizeof arena};

  if (argc != 5 || !fgets(token, sizeof token, stdin)) {
    fputs("usage: once DEVICE APP ADDRESS CA-FILE < TOKEN\n", stderr);
    return 2;
  }
  token[strcspn(token, "\r\n")] = '\0';
  if (!load_root(&anchors, argv[4])) return 1;
  hbeat_config cfg = {
      .device = argv[1],
      .app = argv[2],
      .token = token,
      .address = argv[3],
      .anchors = anchors.list,
      .anchor_count = anchors.count,
      .tls_buffer = tls,
      .tls_buffer_size = sizeof tls,
      .reply_buffer = body,
      .reply_buffer_size = sizeof body,
  };
  return send_once(&cfg) != HBEAT_OK;
}
