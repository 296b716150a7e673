/* The proofs of what goes out. */
#include <string.h>

/* strchr(), by a model that knows where any text of the proofs ends: EVA's own
 * only knows that it is somewhere in it. */
static char *model_strchr(const char *text, int c);
#define strchr model_strchr
#include "proof.h"
#undef strchr

static hbeat_exchange x;

static char *model_strchr(const char *text, int c) {
  char *found = strchr(text, c);

  if (c != '\0' || text == x.out.form) return found;
  if (text == x.out.port || text == x.out.content_length) return found;
  //@ assert \base_addr(text) == \base_addr(&any_text_memory[0]);
  return (char *)any_text_memory + BOUND;
}

/* ---- From its first to its last byte ---- */

enum { FACTS_MAX = 3 };

/* A request that was checked: what it needs is there.  Each text is any; they
 * stand in the same memory, of which nothing is known. */
static hbeat_request any_request(hbeat_call call, size_t fact_count) {
  static const char *facts[FACTS_MAX];
  hbeat_request r = {.call = call,
      .lightning_version = any_text(),
      .device_info = facts,
      .device_info_count = fact_count,
      .instruction = any_text(),
      .message = any_bool() ? any_text() : NULL,
      .response_data = any_bool() ? any_text() : NULL,
      .login_token = any_text(),
      .login_secret = any_text()};

  for (size_t i = 0; i < FACTS_MAX; i++) facts[i] = any_text();
  return r;
}

/* All of a request, walked as its body is when it is counted: nothing is
 * copied. */
void request(void) {
  hbeat_call call =
      (hbeat_call)Frama_C_unsigned_int_interval(HBEAT_BEAT, HBEAT_LOGIN);
  size_t fact_count = Frama_C_size_t_interval(0, FACTS_MAX);
  hbeat_config cfg = {.device = any_text(),
      .app = any_text(),
      .token = any_text(),
      .host = any_text()};
  hbeat_request r;

  //@ split call;
  if (call != HBEAT_BEAT) fact_count = 0;
  //@ split fact_count;
  r = any_request(call, fact_count);
  x.cfg = &cfg;
  x.request = &r;
  x.out.host = cfg.host;
  x.out.host_end = strchr(cfg.host, '\0');
  if (any_bool()) memcpy(x.out.port, ":65535", sizeof ":65535");
  memset(x.out.content_length, '9', DECIMAL_MAX - 1);
  rewind_request(&x);
  while (find_piece(&x)) pull_some(&x, NULL, SIZE_MAX);
  END_OF_PROOF();
}

/* ---- Bytes into a window ---- */

/* What is left of a piece, of each length up to BOUND, into a window of each
 * size up to WINDOW. */
void request_bytes(void) {
  enum { WINDOW = 16 };
  static byte window[WINDOW];
  size_t left = Frama_C_size_t_interval(1, BOUND);
  size_t room = Frama_C_size_t_interval(1, WINDOW);

  Frama_C_make_unknown((char *)any_memory, BOUND);
  //@ split left;
  //@ split room;
  x.out.escaped = any_bool();
  x.out.end = (const char *)any_memory + BOUND;
  x.out.next = x.out.end - left;
  pull_some(&x, window + WINDOW - room, room);
  END_OF_PROOF();
}
