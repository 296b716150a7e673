/*
 * own_transport - a heartbeat over somebody else's HTTPS, by the codec alone.
 *
 * usage: own_transport DEVICE APP TOKEN-FILE < REPLY > REQUEST
 *
 * Build heartbeat.c and this with HBEAT_NO_NET: neither needs BearSSL then.
 * The request goes to standard output and the reply comes from standard
 * input, where a firmware would call its own TLS stack.  Under socat:
 *
 *     socat OPENSSL:api.lucit.app:443 EXEC:'own_transport ...'
 */
#include "heartbeat.h"

#include <stdio.h>
#include <string.h>

static char body[HBEAT_REPLY_BUFFER_SIZE];

static void tls_write(const char *data, size_t size) {
  fwrite(data, 1, size, stdout);
  fflush(stdout);
}

/* The bytes that are there, at least one; 0 after a close_notify. */
static size_t tls_read(char *data) {
  int c = getchar();

  *data = (char)c;
  return c != EOF;
}

static hbeat_error exchange(hbeat_exchange *x) {
  hbeat_error e = HBEAT_AGAIN;
  char window[512];
  size_t n, used;

  while ((n = hbeat_pull(x, window, sizeof window)) > 0) tls_write(window, n);
  while (e == HBEAT_AGAIN) {
    n = tls_read(window);
    e = hbeat_push(x, window, n, &used);
  }
  return e;
}

/* The first line of a file; false where there is none. */
static bool read_line(const char *path, char *line, int size) {
  FILE *file = fopen(path, "r");
  bool ok = file && fgets(line, size, file);
  if (file) fclose(file);
  line[strcspn(line, "\r\n")] = '\0';
  return ok;
}

int main(int argc, char **argv) {
  static char token[4096];
  hbeat_config cfg = {
      .token = token, .reply_buffer = body, .reply_buffer_size = sizeof body};
  hbeat_request beat = {.lightning_version = "4.2.1"};
  hbeat_exchange x;
  hbeat_reply reply;

  if (argc != 4 || !read_line(argv[3], token, sizeof token)) {
    fputs("usage: own_transport DEVICE APP TOKEN-FILE\n", stderr);
    return 2;
  }
  cfg.device = argv[1];
  cfg.app = argv[2];
  hbeat_error e = hbeat_begin(&x, &cfg, &beat, &reply);
  if (e == HBEAT_OK) e = exchange(&x);
  fprintf(stderr, "%s%s%s\n", hbeat_error_name(e), x.what ? ": " : "",
      x.what ? x.what : "");
  if (reply.instruction.name) fprintf(stderr, "%s\n", reply.instruction.name);
  return e != HBEAT_OK;
}
