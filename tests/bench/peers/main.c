/*
 * Sends a heartbeat, then COUNT more, and prints how much processor time these
 * took, in microseconds.  Then it waits for the end of its input, so that
 * somebody can look at it and its connection.
 *
 * Whether a connection was new, resumed or kept is up to the server.
 *
 * usage: CLIENT COUNT ADDRESS ROOTS
 */
#include "peer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

char token[TOKEN_SIZE + 1];

void quit(const char *why) {
  fprintf(stderr, "bench: %s\n", why);
  exit(1);
}

int main(int argc, char **argv) {
  if (argc != 4) quit("usage: CLIENT COUNT ADDRESS ROOTS");
  memset(token, 't', TOKEN_SIZE);
  peer_open(argv[2], argv[3]);
  peer_beat();

  unsigned long count = strtoul(argv[1], NULL, 10);
  clock_t before = clock();
  for (unsigned long i = 0; i < count; i++) peer_beat();
  printf("%ld\n", (long)((clock() - before) / (CLOCKS_PER_SEC / 1000000)));
  fflush(stdout);
  while (getchar() != EOF) continue;
  return 0;
}
