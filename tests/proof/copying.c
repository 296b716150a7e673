/* The proof by WP that these functions keep their contracts, for all sizes.
 * WP does not follow a byte through a pointer to void, as memmove()'s and
 * memchr()'s are: so they stand here with pointers to bytes, and do what C says
 * of them. */
#include <stddef.h>
#include <string.h>

/*@ requires \valid(to + (0 .. size - 1));
  requires \valid_read(from + (0 .. size - 1));
  assigns to[0 .. size - 1] \from from[0 .. size - 1];
  ensures \result == to; */
static unsigned char *move_bytes(
    unsigned char *to, const unsigned char *from, size_t size);

#define memmove(to, from, size)                                                \
  move_bytes((unsigned char *)(to), (const unsigned char *)(from), size)

/*@ requires \valid_read(from + (0 .. size - 1));
  assigns \result \from from, from[0 .. size - 1], c;
  ensures \result == \null ||
      (\base_addr(\result) == \base_addr(from) &&
          from <= \result < from + size && *\result == c); */
static const unsigned char *find_byte(
    const unsigned char *from, unsigned char c, size_t size);

#define memchr(from, c, size) find_byte((const unsigned char *)(from), c, size)

#include "proof.h"

#include "copying.h"

/*@ requires \base_addr(s.at) == \base_addr(s.end);
  requires s.at <= s.end;
  assigns \result \from s;
  ensures \result == (size_t)(s.end - s.at); */
static size_t length_of(span s);
