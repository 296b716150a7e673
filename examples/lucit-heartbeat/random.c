/* Chance: 32 bits that differ from device to device, so that no two keep step.
 *
 * The kernel has them, but not everywhere: just after a boot it may have none
 * yet, and a chroot without /dev, or a process that has no descriptor left, has
 * no file to read them from.  Then what is likely to differ is mixed.  That is
 * no secret, and is used for none. */
#include "daemon.h"

#ifdef __has_include /* getrandom() is not POSIX, but nearly everywhere */
#if __has_include(<sys/random.h>)
#include <sys/random.h>
#endif
#endif
#include <time.h>
#include <unistd.h>

/* Each bit of `x` changes about half of the result's: the finalizer of
 * splitmix64. */
static uint64_t scatter(uint64_t x) {
  x = (x ^ x >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
  x = (x ^ x >> 27) * UINT64_C(0x94D049BB133111EB);
  return x ^ x >> 31;
}

/* Each value is scattered before the next one is added, so that a difference in
 * one does not make up for a difference in another. */
uint32_t mix_seed(const struct seed *seed) {
  uint64_t x = scatter((uint64_t)seed->pid + 1);

  for (const char *c = seed->device; *c != '\0'; c++)
    x = scatter(x + (unsigned char)*c + 1);
  x = scatter(x + seed->monotonic_ns);
  x = scatter(x + seed->system_ns);
  return (uint32_t)(x >> 32);
}

static uint64_t clock_ns(clockid_t id) {
  struct timespec t = {0, 0};

  clock_gettime(id, &t);
  return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static uint32_t random_of_last_resort(const struct daemon *d) {
  const struct seed seed = {.device = d->options.device,
      .pid = getpid(),
      .monotonic_ns = clock_ns(CLOCK_MONOTONIC),
      .system_ns = clock_ns(CLOCK_REALTIME)};

  return mix_seed(&seed);
}

uint32_t draw_random(const struct daemon *d) {
  const ssize_t size = sizeof(uint32_t);
  uint32_t random;

#ifdef GRND_NONBLOCK
  if (getrandom(&random, sizeof random, GRND_NONBLOCK) == size) return random;
#endif
  if (read_file("/dev/urandom", &random, sizeof random) == size) return random;
  return random_of_last_resort(d);
}
