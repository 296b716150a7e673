/* What the rows without a network read, whoever reads it. */
#ifndef TEXTS_H
#define TEXTS_H

#include <stddef.h>
#include <string.h>

#define LCUID "LCUID-LDRI-262ca932-dda6-4233-8c4f-a497481388b3"

/* The reply of the API's reference, without white space, as PHP writes it. */
#define BODY                                                                   \
  "{\"success\":true,\"lightning_device_remote_instruction\":{"                \
  "\"instruction\":\"reload\",\"parameters\":[],\"run_at\":null,\"status\":1," \
  "\"lcuid\":\"" LCUID "\","                                                   \
  "\"created_at\":\"2026-01-07T00:15:19.000000Z\","                            \
  "\"updated_at\":\"2026-01-07T00:15:19.000000Z\"}}"

/* 700 bytes, as of a framework behind nginx. */
#define HEAD                                                                   \
  "HTTP/1.1 200 OK\r\n"                                                        \
  "Server: nginx/1.24.0\r\n"                                                   \
  "Content-Type: application/json\r\n"                                         \
  "Content-Length: 16\r\n"                                                     \
  "Connection: keep-alive\r\n"                                                 \
  "Vary: Accept-Encoding\r\n"                                                  \
  "Cache-Control: no-cache, private\r\n"                                       \
  "Date: Wed, 07 Jan 2026 00:15:19 GMT\r\n"                                    \
  "X-RateLimit-Limit: 600\r\n"                                                 \
  "X-RateLimit-Remaining: 599\r\n"                                             \
  "Access-Control-Allow-Origin: *\r\n"                                         \
  "X-Content-Type-Options: nosniff\r\n"                                        \
  "Referrer-Policy: no-referrer-when-downgrade\r\n"                            \
  "Content-Security-Policy: default-src 'self'; img-src 'self' data:; "        \
  "style-src 'self' 'unsafe-inline'; frame-ancestors 'none'; base-uri "        \
  "'self'\r\n"                                                                 \
  "Strict-Transport-Security: max-age=31536000; includeSubDomains; "           \
  "preload\r\n"                                                                \
  "Via: 1.1 abcdef0123456789.cloudfront.net (CloudFront)\r\n"                  \
  "X-Amz-Cf-Id: 0123456789abcdef0123456789abcdef01234567\r\n"                  \
  "\r\n"

#define HEAD_BODY "{\"success\":true}"

enum { JSON_SIZE = 100000 };
#define STRING "\"playlist-12\","
#define OBJECT                                                                 \
  "{\"id\":1207,\"name\":\"lobby left\",\"on\":true,\"at\":[1.5,-2,null]},"

/* An array of JSON_SIZE bytes, of one element again and again; then a NUL. */
static inline const char *make_array(const char *element) {
  static char text[JSON_SIZE + 1];
  size_t size = strlen(element);
  size_t end = 1;

  memset(text, ' ', JSON_SIZE);
  text[0] = '[';
  for (; end + size < JSON_SIZE; end += size) memcpy(text + end, element, size);
  text[end - 1] = ']'; /* in the place of the last comma */
  return text;
}

#endif
