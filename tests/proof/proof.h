/* What the proofs share.  A proof is a function that makes any input there can
 * be, hands it to what it is about, and says that it has come to its end.
 * Frama-C's EVA follows all runs of it at once; what is undefined in any of
 * them is an alarm.  tests/proof/run has the table of the proofs, with the
 * length of each one's input, BOUND.
 *
 * A proof of what needs no network defines HBEAT_NO_NET first: then Frama-C
 * reads heartbeat.c in a quarter of the time. */

/* Bytes that may be read, from `at` up to `end`; no memory has more than
 * PTRDIFF_MAX of them. */
/*@ predicate is_run(unsigned char *at, unsigned char *end) =
      \base_addr(at) == \base_addr(end) &&
      0 <= end - at <= 0x7FFFFFFFFFFFFFFF &&
      (at < end ==> \valid_read(at) && \valid_read(end - 1)); */

#include "heartbeat.c"

#include "__fc_builtin.h"

/* The C library's, of which EVA knows only what they may return. */

size_t strcspn(const char *text, const char *any) {
  size_t size = 0;

  while (text[size] != '\0' && !strchr(any, text[size])) size++;
  return size;
}

/* An input ends where its array ends, so that what is behind it is out of
 * bounds whatever its length: it is the beginning that can be anywhere.  So
 * what is before a short one may be read here; edges.c sees to that. */
static byte any_memory[BOUND];
static byte any_text_memory[BOUND + 1];

/* Any bytes, from `least` to BOUND of them. */
static span any_bytes(size_t least) {
  span in = {any_memory, any_memory + BOUND};

  Frama_C_make_unknown((char *)any_memory, BOUND);
  in.at += Frama_C_size_t_interval(0, BOUND - least);
  return in;
}

/* Any text of up to BOUND bytes, with its NUL, which ends where its array
 * ends. */
static char *any_text(void) {
  memset(any_text_memory, Frama_C_interval(1, 255), BOUND);
  any_text_memory[BOUND] = '\0';
  return (char *)any_text_memory + Frama_C_size_t_interval(0, BOUND);
}

static bool any_bool(void) {
  return Frama_C_nondet(0, 1);
}

static byte any_byte(void) {
  return Frama_C_unsigned_char_interval(0, 255);
}

static hbeat_error any_error(void) {
  return (hbeat_error)Frama_C_unsigned_int_interval(0, HBEAT_ERR_MEMORY);
}

#ifndef HBEAT_NO_NET
/* The system's, of which Frama-C has no model: reads a text to its end, and
 * says that it is none, or any address. */
int inet_pton(int family, const char *text, void *ip) {
  if (strlen(text) == 0 || any_bool()) return 0;
  Frama_C_make_unknown(ip, family == AF_INET ? 4 : 16);
  return 1;
}
#endif

/* The runner looks for this: calls that cannot return would hide what stands
 * behind them. */
#define END_OF_PROOF() Frama_C_show_each_end_of_proof()
