/* The heartbeat by mbedTLS, with HTTP by hand, and cJSON. */
#include "peer.h"

#include <mbedtls/ctr_drbg.h>
#include <mbedtls/entropy.h>
#include <mbedtls/net_sockets.h>
#include <mbedtls/ssl.h>

static const char *server;
static mbedtls_entropy_context entropy;
static mbedtls_ctr_drbg_context drbg;
static mbedtls_x509_crt roots;
static mbedtls_ssl_config config;
static mbedtls_ssl_context ssl;
static mbedtls_ssl_session session;
static mbedtls_net_context net;
static bool connected, has_session;

static void must(int result, const char *what) {
  if (result != 0) quit(what);
}

void peer_open(const char *address, const char *root_file) {
  server = address;
  mbedtls_entropy_init(&entropy);
  mbedtls_ctr_drbg_init(&drbg);
  mbedtls_x509_crt_init(&roots);
  mbedtls_ssl_config_init(&config);
  mbedtls_ssl_init(&ssl);
  mbedtls_ssl_session_init(&session);
  mbedtls_net_init(&net);
  must(mbedtls_ctr_drbg_seed(&drbg, mbedtls_entropy_func, &entropy, NULL, 0),
      "no entropy");
  must(mbedtls_x509_crt_parse_file(&roots, root_file), "bad roots");
  must(mbedtls_ssl_config_defaults(&config, MBEDTLS_SSL_IS_CLIENT,
           MBEDTLS_SSL_TRANSPORT_STREAM, MBEDTLS_SSL_PRESET_DEFAULT),
      "no defaults");
  mbedtls_ssl_conf_ca_chain(&config, &roots, NULL);
  mbedtls_ssl_conf_rng(&config, mbedtls_ctr_drbg_random, &drbg);
  must(mbedtls_ssl_setup(&ssl, &config), "no memory");
  must(mbedtls_ssl_set_hostname(&ssl, HOST), "no memory");
  mbedtls_ssl_set_bio(&ssl, &net, mbedtls_net_send, mbedtls_net_recv, NULL);
}

static void open_connection(void) {
  net.fd = dial(server);
  if (has_session)
    must(mbedtls_ssl_set_session(&ssl, &session), "a bad session");
  must(mbedtls_ssl_handshake(&ssl), "no handshake");
  mbedtls_ssl_session_free(&session);
  must(mbedtls_ssl_get_session(&ssl, &session), "no session");
  connected = has_session = true;
}

static void close_connection(void) {
  mbedtls_ssl_close_notify(&ssl);
  mbedtls_net_free(&net);
  must(mbedtls_ssl_session_reset(&ssl), "no memory");
  connected = false;
}

static void send_request(void) {
  static char request[REQUEST_SIZE];
  size_t size = make_request(request, sizeof request);

  for (size_t sent = 0; sent < size;) {
    int n = mbedtls_ssl_write(
        &ssl, (const unsigned char *)request + sent, size - sent);
    if (n <= 0) quit("cannot write");
    sent += (size_t)n;
  }
}

static int receive(char *out, size_t size) {
  return mbedtls_ssl_read(&ssl, (unsigned char *)out, size);
}

void peer_beat(void) {
  bool closes = false;

  if (!connected) open_connection();
  send_request();
  check_body(read_body(receive, &closes));
  if (closes) close_connection();
}
