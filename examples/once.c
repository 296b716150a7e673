/*
 * once - sends one heartbeat and prints the instruction in the reply.
 *
 * usage: once DEVICE APP ADDRESS CA-FILE < TOKEN
 *
 * The least that a player needs; lucit-heartbeat.c is the whole of it.
 */
#include "heartbeat.h"

#include <stdio.h>
#include <string.h>

static unsigned char tls[HBEAT_TLS_BUFFER_SIZE];
static char body[HBEAT_REPLY_BUFFER_SIZE];
static char token[4096];
static long long arena[12000]; /* 96 KB: the whole bundle of a system */
static hbeat_client client;

static hbeat_error load_anchors(hbeat_anchors *anchors, const char *path) {
  static char pem[1 << 20];
  FILE *file = fopen(path, "r");
  size_t size;

  if (!file) return HBEAT_ERR_ARGUMENT;
  size = fread(pem, 1, sizeof pem, file);
  fclose(file);
  if (size == sizeof pem) return HBEAT_ERR_TOO_BIG; /* there may be more */
  return hbeat_anchors_pem(anchors, pem, size);
}

int main(int argc, char **argv) {
  hbeat_anchors anchors = {.arena = arena, .arena_size = sizeof arena};
  hbeat_request beat = {.lightning_version = "4.2.1"};
  hbeat_reply reply;

  if (argc != 5 || !fgets(token, sizeof token, stdin) ||
      load_anchors(&anchors, argv[4]) != HBEAT_OK) {
    fputs("usage: once DEVICE APP ADDRESS CA-FILE < TOKEN\n", stderr);
    return 2;
  }
  token[strcspn(token, "\r\n")] = '\0';
  hbeat_config cfg = {.device = argv[1],
      .app = argv[2],
      .token = token,
      .address = argv[3],
      .anchors = anchors.list,
      .anchor_count = anchors.count,
      .tls_buffer = tls,
      .tls_buffer_size = sizeof tls,
      .reply_buffer = body,
      .reply_buffer_size = sizeof body};
  hbeat_error e = hbeat_init(&client, &cfg);
  if (e == HBEAT_OK) e = hbeat_send(&client, &beat, &reply);
  if (e != HBEAT_OK) fprintf(stderr, "%s\n", hbeat_explain(&client));
  else puts(reply.instruction.name ? reply.instruction.name : "-");
  hbeat_close(&client);
  return e != HBEAT_OK;
}
