/* The proofs of the files hosts and resolv.conf, and of addresses. */
#include "proof.h"

/* The system's, of which Frama-C has no model. */

/* Any bytes, as many as may be, or an error. */
ssize_t read(int fd, void *buffer, size_t size) {
  (void)fd;
  Frama_C_make_unknown(buffer, size);
  return any_bool() ? (ssize_t)Frama_C_size_t_interval(0, size) : -1;
}

/* Reads a name to its end, and says that it is none, or any interface's. */
unsigned if_nametoindex(const char *name) {
  return strlen(name) == 0 ? 0 : Frama_C_unsigned_int_interval(0, UINT_MAX);
}

/* A file that is read through a buffer of BOUND bytes, in pieces of any length;
 * EVA is told where lengths and counts may come to rest. */
static word_reader any_file(void) {
  static byte buffer[BOUND];
  word_reader w;

  //@ widen_hints global:"all", 8, 255;
  open_words(&w, "/etc/file", buffer, sizeof buffer);
  return w;
}

void hosts(void) {
  word_reader w = any_file();
  hbeat_addresses addresses;

  memset(&addresses, 0, sizeof addresses);
  read_hosts(&w, "api.lucit.app", &addresses);
  END_OF_PROOF();
}

void resolv(void) {
  word_reader w = any_file();
  resolver r;

  read_resolv(&w, &r);
  END_OF_PROOF();
}

/* ---- Addresses ---- */

/* Up to as many as there can be, and no less than so many. */
static hbeat_addresses any_addresses(unsigned least) {
  hbeat_addresses a;

  Frama_C_make_unknown((char *)&a, sizeof a);
  a.count = Frama_C_unsigned_int_interval(least, COUNT(a.list));
  return a;
}

void addresses(void) {
  hbeat_addresses a = any_addresses(0);
  byte ip[16];

  if (read_ip(any_text(), ip)) add_address(&a, ip);
  a = any_addresses(1); /* the client asks for none where there is none */
  nth_address(&a, Frama_C_unsigned_int_interval(0, a.count - 1));
  prefer_address(&a, Frama_C_unsigned_int_interval(0, UINT_MAX));
  END_OF_PROOF();
}

/* ---- Text ---- */

void text(void) {
  char memory[BOUND];
  sink s = sink_of(memory, sizeof memory);

  any_text();
  put_base64(&s, (char *)any_text_memory);
  END_OF_PROOF();
}
