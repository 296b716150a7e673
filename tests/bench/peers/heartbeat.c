/* The heartbeat by heartbeat.c, in static memory. */
#include "peer.h"

#include "heartbeat.h"

#include <stdio.h>

static unsigned char tls[HBEAT_TLS_BUFFER_SIZE], arena[8192];
static char reply_buffer[HBEAT_REPLY_BUFFER_SIZE];
static hbeat_client client;

static void read_roots(hbeat_anchors *anchors, const char *path) {
  static char pem[8192];
  FILE *f = fopen(path, "rb");

  if (!f) quit("no file of roots");
  if (hbeat_anchors_pem(anchors, pem, fread(pem, 1, sizeof pem, f)) != HBEAT_OK)
    quit("bad roots");
  fclose(f);
}

void peer_open(const char *address, const char *roots) {
  hbeat_anchors anchors = {.arena = arena, .arena_size = sizeof arena};
  read_roots(&anchors, roots);
  hbeat_config cfg = {.device = DEVICE,
      .app = APP,
      .token = token,
      .host = HOST,
      .address = address,
      .anchors = anchors.list,
      .anchor_count = anchors.count,
      .timeout_ms = 300000, /* as slow as valgrind may be */
      .tls_buffer = tls,
      .tls_buffer_size = sizeof tls,
      .reply_buffer = reply_buffer,
      .reply_buffer_size = sizeof reply_buffer};
  if (hbeat_init(&client, &cfg) != HBEAT_OK) quit(hbeat_explain(&client));
}

void peer_beat(void) {
  static const char *const facts[] = {FACTS};
  static const hbeat_request beat = {.lightning_version = LIGHTNING_VERSION,
      .device_info = facts,
      .device_info_count = sizeof facts / sizeof *facts};
  hbeat_reply reply;

  if (hbeat_send(&client, &beat, &reply) != HBEAT_OK)
    quit(hbeat_explain(&client));
  if (!reply.instruction.name) quit("no instruction");
}
