/* HTTP, as much as one writes by hand for a server that one knows. */
#define _GNU_SOURCE /* strcasestr() */
#include "peer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

size_t make_request(char *out, size_t size) {
  char *body = make_body();
  int length =
      snprintf(out, size, REQUEST_HEAD "%s", token, strlen(body), body);

  free(body);
  if (length < 0 || (size_t)length >= size) quit("a long request");
  return (size_t)length;
}

/* The body once the reply is whole, else NULL.  There is room for a NUL behind
 * the reply. */
static const char *whole_body(char *reply, size_t size, bool *closes) {
  static const char length_field[] = "\r\nContent-Length:";

  reply[size] = '\0';
  char *end = strstr(reply, "\r\n\r\n");
  if (!end) return NULL;
  const char *body = end + 4;
  const char *length = strcasestr(reply, length_field);
  if (strncmp(reply, "HTTP/1.1 200 ", 13) != 0) quit("another status");
  if (!length || length > end) quit("no length");
  length += sizeof length_field - 1;
  if (strlen(body) < strtoul(length, NULL, 10)) return NULL;
  *closes = strcasestr(reply, "\r\nConnection: close") != NULL;
  return body;
}

const char *read_body(int (*receive)(char *out, size_t size), bool *closes) {
  static char reply[REPLY_SIZE];
  const char *body = NULL;
  size_t size = 0;

  while (!body) {
    int got = receive(reply + size, sizeof reply - 1 - size);
    if (got <= 0) quit("no reply");
    size += (size_t)got;
    body = whole_body(reply, size, closes);
  }
  return body;
}
