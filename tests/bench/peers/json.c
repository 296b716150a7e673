/* The two bodies, by cJSON. */
#include "peer.h"

#include <cjson/cJSON.h>

char *make_body(void) {
  static const char *const facts[] = {FACTS};
  cJSON *body = cJSON_CreateObject();

  cJSON_AddStringToObject(body, "lightning_version", LIGHTNING_VERSION);
  cJSON_AddItemToObject(body, "device_info",
      cJSON_CreateStringArray(facts, sizeof facts / sizeof *facts));
  char *text = cJSON_PrintUnformatted(body);
  if (!text) quit("no memory");
  cJSON_Delete(body);
  return text;
}

static bool has_text(const cJSON *object, const char *name) {
  return cJSON_IsString(cJSON_GetObjectItemCaseSensitive(object, name));
}

void check_body(const char *text) {
  cJSON *body = cJSON_Parse(text);
  const cJSON *i = cJSON_GetObjectItemCaseSensitive(
      body, "lightning_device_remote_instruction");

  if (!cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(body, "success")))
    quit("no success");
  if (!has_text(i, "instruction") || !has_text(i, "lcuid"))
    quit("no instruction");
  if (!has_text(i, "created_at") || !has_text(i, "updated_at"))
    quit("no times");
  if (!cJSON_IsNumber(cJSON_GetObjectItemCaseSensitive(i, "status")))
    quit("no status");
  cJSON_Delete(body);
}
