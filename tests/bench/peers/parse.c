/*
 * The rows of codec.c that are JSON's, by another parser.
 *
 * usage: PARSER ROW COUNT
 */
#include "parse.h"

static void strings(unsigned count) {
  parse(make_array(STRING), count);
}

static void objects(unsigned count) {
  parse(make_array(OBJECT), count);
}

int main(int argc, char **argv) {
  static const struct row rows[] = {
      {"decode", decode}, {"strings", strings}, {"objects", objects}};

  if (argc != 3) quit("usage: PARSER ROW COUNT");
  run_row(rows, COUNT(rows), argv[1], argv[2]);
  return 0;
}
