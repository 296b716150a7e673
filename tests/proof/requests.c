/* The proofs of what the caller gives, and of the request that it makes. */
#include <string.h>

/* strchr(), by a model that knows where texts end: EVA's own only knows that it
 * is somewhere in them. */
static char *model_strchr(const char *text, int c);
#define strchr model_strchr
#include "proof.h"
#undef strchr

#include "copying.h"

static hbeat_exchange x;

/* The end of a text that stands in so many bytes. */
static char *any_end(char *text, size_t size) {
  size_t length = Frama_C_size_t_interval(0, size - 1);

  //@ assert text[size - 1] == '\0';
  //@ split length;
  return text + length;
}

static char *model_strchr(const char *text, int c) {
  char *found = strchr(text, c);

  if (c != '\0' || text == x.out.form) return found;
  if (text == x.out.port || text == x.out.content_length) {
    if (x.request->call != HBEAT_LOGIN) return found;
    return any_end((char *)text,
        text == x.out.port ? sizeof x.out.port : sizeof x.out.content_length);
  }
  if (x.cfg && !x.cfg->host && text == x.out.host) return found;
  //@ assert \base_addr(text) == \base_addr(&any_text_memory[0]);
  return (char *)any_text_memory + BOUND;
}

/* ---- What the caller gives ---- */

/* Each text is any, or NULL; they stand in the same memory, of which nothing is
 * known but that it ends with a NUL. */
static const char *any_text_or_null(void) {
  return any_bool() ? any_text() : NULL;
}

/* Memory that is only handed on, or none. */
static void *any_memory_or_null(void) {
  static byte memory[1];

  return any_bool() ? memory : NULL;
}

/* Numbers are any. */
static hbeat_config any_config(void) {
  hbeat_config cfg;

  Frama_C_make_unknown((char *)&cfg, sizeof cfg);
  cfg.device = any_text_or_null();
  cfg.app = any_text_or_null();
  cfg.token = any_text_or_null();
  cfg.host = any_text_or_null();
  cfg.address = any_text_or_null();
  cfg.proxy = any_text_or_null();
  cfg.proxy_login = any_text_or_null();
  cfg.hosts_path = any_text_or_null();
  cfg.resolv_path = any_text_or_null();
  cfg.reply_buffer = any_memory_or_null();
  cfg.tls_buffer = any_memory_or_null();
  cfg.anchors = any_memory_or_null();
  return cfg;
}

enum { FACTS_MAX = 1000 };

static hbeat_request any_request(void) {
  static const char *facts[FACTS_MAX];
  hbeat_request r;

  Frama_C_make_unknown((char *)&r, sizeof r);
  for (size_t i = 0; i < FACTS_MAX; i++) facts[i] = any_text_or_null();
  r.lightning_version = any_text_or_null();
  r.device_info = any_bool() ? facts : NULL;
  r.device_info_count = Frama_C_size_t_interval(0, FACTS_MAX);
  r.instruction = any_text_or_null();
  r.message = any_text_or_null();
  r.response_data = any_text_or_null();
  r.login_token = any_text_or_null();
  r.login_secret = any_text_or_null();
  r.token_buffer = any_memory_or_null();
  return r;
}

/* The checks of it, as hbeat_init() and hbeat_begin() make them. */
void arguments(void) {
  hbeat_config cfg = any_config();
  hbeat_request r = any_request();

  check_config(&cfg);
  check_request(&r, cfg.token);
  END_OF_PROOF();
}

/* ---- A request from its first to its last byte ---- */

enum { FEW_FACTS = 2 };

/* A request that was checked: what it needs is there. */
static hbeat_request checked_request(hbeat_call call, size_t fact_count) {
  static const char *facts[FEW_FACTS];
  hbeat_request r = {.call = call,
      .lightning_version = any_text(),
      .device_info = facts,
      .device_info_count = fact_count,
      .instruction = any_text(),
      .message = any_text(),
      .response_data = any_text(),
      .login_token = any_text(),
      .login_secret = any_text()};

  for (size_t i = 0; i < FEW_FACTS; i++) facts[i] = any_text();
  if (call == HBEAT_FAILED && any_bool()) r.message = NULL;
  if (call == HBEAT_BEAT || call == HBEAT_LOGIN) return r;
  if (any_bool()) r.response_data = NULL;
  return r;
}

/* All of a request, in the state in which hbeat_begin() leaves it: by one call
 * of pull_bytes(), to which hbeat_pull() hands its window, and then run by run,
 * as a row of calls takes it.  Each goes into a window of any size that ends
 * where its array ends; or, as the body is counted, into none. */
void request(void) {
  static byte window[BOUND];
  hbeat_call call =
      (hbeat_call)Frama_C_unsigned_int_interval(HBEAT_BEAT, HBEAT_LOGIN);
  size_t fact_count = Frama_C_size_t_interval(0, FEW_FACTS);
  bool counted = any_bool();
  hbeat_config cfg = {.device = any_text(),
      .app = any_text(),
      .token = any_text(),
      .host = any_text()};
  hbeat_request r;
  const byte *end = NULL;
  byte *to;

  //@ split call;
  if (call != HBEAT_BEAT) fact_count = 0;
  //@ split fact_count;
  r = checked_request(call, fact_count);
  x.cfg = &cfg;
  x.request = &r;
  x.out.host = cfg.host;
  x.out.host_end = (const char *)span_of_host(cfg.host).end;
  /* The model makes these of any length in log-ins alone, to save time: they
   * are the same in every call. */
  memcpy(x.out.port, ":65535", sizeof ":65535");
  memset(x.out.content_length, '9', DECIMAL_MAX - 1);
  Frama_C_make_unknown((char *)window, BOUND);
  //@ split counted;
  if (!counted) end = window + BOUND;
  if (counted) begin_part(&x, BODY_PART);
  else rewind_request(&x);
  pull_bytes(&x, end ? window + Frama_C_size_t_interval(0, BOUND) : NULL, end,
      Frama_C_size_t_interval(0, SIZE_MAX));
  if (counted) begin_part(&x, BODY_PART);
  else rewind_request(&x);
  while (find_piece(&x)) {
    to = end ? window + Frama_C_size_t_interval(0, BOUND) : NULL;
    pull_some(&x, &to, end, Frama_C_size_t_interval(1, SIZE_MAX));
  }
  END_OF_PROOF();
}
