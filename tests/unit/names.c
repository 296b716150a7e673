/* Names and the version: heartbeat.h, "Version" and "Errors". */
#include "cases.h"

static const struct error_row {
  const char *name;
  hbeat_error error;
} ERRORS[] = {
    {"ok", HBEAT_OK},
    {"again", HBEAT_AGAIN},
    {"argument", HBEAT_ERR_ARGUMENT},
    {"resolve", HBEAT_ERR_RESOLVE},
    {"connect", HBEAT_ERR_CONNECT},
    {"proxy", HBEAT_ERR_PROXY},
    {"timeout", HBEAT_ERR_TIMEOUT},
    {"tls-version", HBEAT_ERR_TLS_VERSION},
    {"cert-name", HBEAT_ERR_CERT_NAME},
    {"cert-trust", HBEAT_ERR_CERT_TRUST},
    {"cert-time", HBEAT_ERR_CERT_TIME},
    {"tls", HBEAT_ERR_TLS},
    {"truncated", HBEAT_ERR_TRUNCATED},
    {"http", HBEAT_ERR_HTTP},
    {"status", HBEAT_ERR_STATUS},
    {"refused", HBEAT_ERR_REFUSED},
    {"json", HBEAT_ERR_JSON},
    {"too-big", HBEAT_ERR_TOO_BIG},
    {"memory", HBEAT_ERR_MEMORY},
};

static void test_error_name(void **state) {
  const struct error_row *row = *state;

  in_hand(row->name, &row->error, sizeof row->error);
  expect_text("its name", hbeat_error_name(row->error), row->name);
}

/* What is no value of the enum still has a name, and none of the others'. */
static void test_error_name_out_of_range(void **state) {
  static const unsigned char BEYOND[] = {HBEAT_ERR_MEMORY + 1, 31};

  (void)state;
  for (size_t i = 0; i < sizeof BEYOND; i++) {
    const char *name = hbeat_error_name((hbeat_error)BEYOND[i]);
    in_hand("beyond the last", &BEYOND[i], 1);
    expect_true("there is a name", name != NULL && *name != '\0');
    for (size_t k = 0; k < COUNT(ERRORS); k++)
      expect_true(ERRORS[k].name, strcmp(name, ERRORS[k].name) != 0);
  }
}

static void test_version(void **state) {
  int major, minor, patch;
  char rest;

  (void)state;
  in_hand("HBEAT_VERSION", TEXT(HBEAT_VERSION));
  expect_int("three numbers",
      sscanf(HBEAT_VERSION, "%d.%d.%d%c", &major, &minor, &patch, &rest), 3);
}

int main(void) {
  cases_add_rows(test_error_name, ERRORS);
  cases_add("an error beyond the last", test_error_name_out_of_range, NULL);
  cases_add("the version", test_version, NULL);
  return cases_run("names");
}
