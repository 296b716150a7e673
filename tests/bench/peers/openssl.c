/* The heartbeat by OpenSSL, with HTTP by hand, and cJSON. */
#include "peer.h"

#include <openssl/ssl.h>
#include <unistd.h>

static const char *server;
static SSL_CTX *context;
static SSL_SESSION *session;
static SSL *ssl; /* NULL: no connection */

void peer_open(const char *address, const char *roots) {
  server = address;
  context = SSL_CTX_new(TLS_client_method());
  if (!context) quit("no context");
  if (SSL_CTX_load_verify_file(context, roots) != 1) quit("bad roots");
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
}

static void open_connection(void) {
  ssl = SSL_new(context);
  if (!ssl) quit("no memory");
  SSL_set_tlsext_host_name(ssl, HOST);
  SSL_set1_host(ssl, HOST);
  SSL_set_fd(ssl, dial(server));
  if (session) SSL_set_session(ssl, session);
  if (SSL_connect(ssl) != 1) quit("no handshake");
  SSL_SESSION_free(session);
  session = SSL_get1_session(ssl);
}

static void close_connection(void) {
  int fd = SSL_get_fd(ssl);

  SSL_shutdown(ssl);
  SSL_free(ssl);
  close(fd);
  ssl = NULL;
}

static void send_request(void) {
  static char request[REQUEST_SIZE];
  size_t size = make_request(request, sizeof request);

  if (SSL_write(ssl, request, (int)size) <= 0) quit("cannot write");
}

static int receive(char *out, size_t size) {
  return SSL_read(ssl, out, (int)size);
}

void peer_beat(void) {
  bool closes = false;

  if (!ssl) open_connection();
  send_request();
  check_body(read_body(receive, &closes));
  if (closes) close_connection();
}
