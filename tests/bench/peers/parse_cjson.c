/* The JSON of codec.c, by cJSON. */
#include "../rows.h"
#include "../texts.h"

#include <cjson/cJSON.h>

static void parse(const char *text, unsigned count) {
  while (count-- > 0) {
    cJSON *value = cJSON_Parse(text);
    if (!value) quit("no JSON");
    cJSON_Delete(value);
  }
}

/* What a player wants of it, too. */
static void decode(unsigned count) {
  while (count-- > 0) {
    cJSON *body = cJSON_Parse(BODY);
    const cJSON *i = cJSON_GetObjectItemCaseSensitive(
        body, "lightning_device_remote_instruction");
    const char *const names[] = {"instruction", "lcuid", "status", "parameters",
        "run_at", "created_at", "updated_at"};

    if (!cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(body, "success")))
      quit("no success");
    for (size_t n = 0; n < COUNT(names); n++)
      if (!cJSON_GetObjectItemCaseSensitive(i, names[n])) quit(names[n]);
    cJSON_Delete(body);
  }
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

  if (argc != 3) quit("usage: parse_cjson ROW COUNT");
  run_row(rows, COUNT(rows), argv[1], argv[2]);
  return 0;
}
