/* The JSON of codec.c, by cJSON. */
#include "parse.h"

#include <cjson/cJSON.h>

void parse(const char *text, unsigned count) {
  while (count-- > 0) {
    cJSON *value = cJSON_Parse(text);
    if (!value) quit("no JSON");
    cJSON_Delete(value);
  }
}

/* What a player wants of it, too. */
void decode(unsigned count) {
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
