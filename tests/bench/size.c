/*
 * A program that sends a heartbeat, and does what else is defined: what the
 * linker keeps of it tells what each call costs.  It is linked, and never run.
 */
#include "heartbeat.h"

static unsigned char tls[HBEAT_TLS_BUFFER_SIZE];
static char body[HBEAT_REPLY_BUFFER_SIZE];
static br_x509_trust_anchor root; /* as firmware has it built in */
static hbeat_client client;

#ifdef PEM
static unsigned char arena[8192];
#endif
#ifdef MEMORY
static hbeat_memory memory;
#endif
#ifdef SESSION
static unsigned char session[HBEAT_SESSION_SIZE];
#endif

int main(int argc, char **argv) {
  hbeat_config cfg = {.device = argv[0],
      .app = argv[0],
      .token = argv[0],
      .anchors = &root,
      .anchor_count = 1,
      .tls_buffer = tls,
      .tls_buffer_size = sizeof tls,
      .reply_buffer = body,
      .reply_buffer_size = sizeof body};
  hbeat_request beat = {.lightning_version = "1"};
  hbeat_reply reply;
  volatile int result = argc;

#ifdef PEM
  hbeat_anchors anchors = {.arena = arena, .arena_size = sizeof arena};
  result = hbeat_anchors_pem(&anchors, argv[0], (size_t)argc);
#endif
#ifdef MEMORY
  hbeat_limits limits = {0, 0};
  hbeat_instruction i;
  result = hbeat_memory_load(&memory, argv[0], (size_t)argc, NULL);
#endif

  result = hbeat_init(&client, &cfg);
#ifdef SESSION
  result = hbeat_session_load(&client, session, sizeof session);
#endif
  hbeat_error e = hbeat_send(&client, &beat, &reply);
#ifdef SESSION
  result = hbeat_session_save(&client, session);
#endif
#ifdef EXPLAIN
  result = hbeat_explain(&client)[0];
#endif
#ifdef MEMORY
  result = hbeat_memory_learn(&memory, &beat, &reply, e);
  result = hbeat_memory_due(&memory, argc, &limits, &i);
  hbeat_memory_end(&memory, i.lcuid, HBEAT_FAILED, NULL, NULL);
  result = hbeat_memory_report(&memory, &beat);
#endif
#ifdef SCHEDULE
  uint32_t failures = 0;
  result = (int)hbeat_next_ms(NULL, &failures, e, &reply, (uint32_t)argc);
#endif
  hbeat_close(&client);
  return result + (int)e;
}
