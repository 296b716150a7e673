/* The JSON of codec.c, by jsmn, which finds tokens and decodes nothing. */
#include "../rows.h"
#include "../texts.h"

#define JSMN_STATIC
#define JSMN_STRICT
#define JSMN_PARENT_LINKS /* else it takes the square of the time */
#include <jsmn.h>

static void parse(const char *text, unsigned count) {
  static jsmntok_t tokens[JSON_SIZE];
  jsmn_parser parser;

  while (count-- > 0) {
    jsmn_init(&parser);
    if (jsmn_parse(&parser, text, strlen(text), tokens, COUNT(tokens)) <= 0)
      quit("no JSON");
  }
}

static void decode(unsigned count) {
  parse(BODY, count);
}

static void strings(unsigned count) {
  parse(make_array(STRING), count);
}

static void objects(unsigned count) {
  parse(make_array(OBJECT), count);
}

int main(int argc, char **argv) {
  static const struct row rows[] = {
      {"decode", decode}, {"strings", strings}, {"objects", objects}};

  if (argc != 3) quit("usage: parse_jsmn ROW COUNT");
  run_row(rows, COUNT(rows), argv[1], argv[2]);
  return 0;
}
