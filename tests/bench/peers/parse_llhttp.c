/*
 * The HTTP head of codec.c, by llhttp, which hands on where each field stands
 * and does not look into those that do not concern the framing.
 */
#include "../rows.h"
#include "../texts.h"

#include <llhttp.h>

static size_t handed_on;

static int take(llhttp_t *parser, const char *at, size_t size) {
  (void)parser;
  (void)at;
  handed_on += size;
  return 0;
}

static void head(unsigned count) {
  static const char text[] = HEAD HEAD_BODY;
  llhttp_settings_t settings;
  llhttp_t parser;

  llhttp_settings_init(&settings);
  settings.on_header_field = take;
  settings.on_header_value = take;
  settings.on_body = take;
  while (count-- > 0) {
    handed_on = 0;
    llhttp_init(&parser, HTTP_RESPONSE, &settings);
    if (llhttp_execute(&parser, text, sizeof text - 1) != HPE_OK)
      quit("no HTTP");
    if (handed_on < sizeof HEAD / 2) quit("not much of a head");
  }
}

int main(int argc, char **argv) {
  static const struct row rows[] = {{"head", head}};

  if (argc != 3) quit("usage: parse_llhttp ROW COUNT");
  run_row(rows, COUNT(rows), argv[1], argv[2]);
  return 0;
}
