/* The proof of the walk through the server's certificates. */
#include "proof.h"

#include "dates.h"

static hbeat_client client;

/* ---- BearSSL ---- */

/* It may do all that its header allows: read what it is given, change all of
 * its context but the vtable, and write the name that it was asked for and its
 * status. */

static void change_context(void) {
  br_x509_minimal_context *x509 = &client.certs.x509;

  Frama_C_make_unknown((char *)x509, sizeof *x509);
  x509->vtable = &client.certs.x509_class;
  client.certs.dns_name.status = Frama_C_interval(-1, 1);
  Frama_C_make_unknown(client.certs.name, sizeof client.certs.name);
}

static void start_cert(const br_x509_class **x509, uint32_t size) {
  (void)x509;
  (void)size;
  change_context();
}

static void append(const br_x509_class **x509, const byte *in, size_t size) {
  (void)x509;
  //@ assert \valid_read(in + (0 .. size - 1));
  change_context();
}

static unsigned end_chain(const br_x509_class **x509) {
  (void)x509;
  change_context();
  return Frama_C_unsigned_int_interval(0, UINT_MAX);
}

const br_x509_class br_x509_minimal_vtable = {
    .context_size = sizeof(br_x509_minimal_context),
    .start_cert = start_cert,
    .append = append,
    .end_chain = end_chain,
};

/* ---- The walk ---- */

/* A walk that has come anywhere, and further than any has. */
static hbeat_walk any_walk(void) {
  hbeat_walk w;

  Frama_C_make_unknown((char *)&w, sizeof w);
  w.level = (byte)Frama_C_interval(0, WALK_LEVELS);
  w.state = (byte)Frama_C_interval(IN_HEADER, WALK_OVER);
  w.field = (byte)Frama_C_interval(VERSION, OTHER);
  w.kept_size = (byte)Frama_C_interval(0, sizeof w.kept);
  w.is_usage = any_bool();
  w.for_servers = any_bool();
  return w;
}

/* Certificates of any bytes that come in any pieces, any number of them, begun
 * and ended at any time. */
void walk(void) {
  const br_x509_class **x509 = &client.certs.x509.vtable;

  client.certs.walk = any_walk();
  client.certs.count = any_byte();
  change_context();
  while (any_bool()) {
    span in = any_bytes(0);
    uint32_t size = Frama_C_unsigned_int_interval(0, UINT32_MAX);
    if (any_bool()) cert_start(x509, size);
    if (any_bool()) walk_on(&client, in);
    if (any_bool()) cert_append(x509, any_memory, BOUND);
    if (any_bool()) chain_end(x509);
  }
  END_OF_PROOF();
}
