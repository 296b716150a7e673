/* The JSON of codec.c, by jsmn, which finds tokens and decodes nothing. */
#include "parse.h"

#define JSMN_STATIC
#define JSMN_STRICT
#define JSMN_PARENT_LINKS /* else it takes the square of the time */
#include <jsmn.h>

void parse(const char *text, unsigned count) {
  static jsmntok_t tokens[JSON_SIZE];
  jsmn_parser parser;

  while (count-- > 0) {
    jsmn_init(&parser);
    if (jsmn_parse(&parser, text, strlen(text), tokens, COUNT(tokens)) <= 0)
      quit("no JSON");
  }
}

void decode(unsigned count) {
  parse(BODY, count);
}
