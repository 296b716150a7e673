/* The memory of one client, all that it needs beside its anchors. */
#include "peer.h"

static void a_client_fits_29184_bytes(void **state) {
  size_t client = sizeof(hbeat_client), reply = 3072;
  size_t sum = client + HBEAT_TLS_BUFFER_SIZE + reply;

  (void)state;
  printf("# note: a client %zu + TLS %u + reply %zu = %zu bytes of 29,184\n",
      client, (unsigned)HBEAT_TLS_BUFFER_SIZE, reply, sum);
  assert_in_range(sum, 1, 29184);
  assert_int_equal(HBEAT_REPLY_BUFFER_SIZE, reply);
}

int main(void) {
  const struct CMUnitTest tests[] = {TEST(a_client_fits_29184_bytes)};

  return cmocka_run_group_tests(tests, NULL, NULL);
}
