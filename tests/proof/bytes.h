/* WP does not follow a byte through a pointer to void, as memmove()'s,
 * memset()'s and memchr()'s are: so they stand here with pointers to bytes, and
 * do what C says of them. */
#include <stddef.h>
#include <string.h>

/*@ requires \valid(to + (0 .. size - 1));
  requires \valid_read(from + (0 .. size - 1));
  assigns to[0 .. size - 1] \from from[0 .. size - 1];
  assigns \result \from to;
  ensures \result == to; */
static unsigned char *move_bytes(
    unsigned char *to, const unsigned char *from, size_t size);

/*@ requires \valid(to + (0 .. size - 1));
  assigns to[0 .. size - 1] \from c;
  assigns \result \from to;
  ensures \result == to; */
static unsigned char *fill_bytes(
    unsigned char *to, unsigned char c, size_t size);

/*@ requires \valid_read(from + (0 .. size - 1));
  assigns \result \from from, from[0 .. size - 1], c;
  ensures \result == \null ||
      (\base_addr(\result) == \base_addr(from) &&
          from <= \result < from + size && *\result == c); */
static const unsigned char *find_byte(
    const unsigned char *from, unsigned char c, size_t size);

#define memmove(to, from, size)                                                \
  move_bytes((unsigned char *)(to), (const unsigned char *)(from), size)
#define memset(to, c, size) fill_bytes((unsigned char *)(to), c, size)
#define memchr(from, c, size) find_byte((const unsigned char *)(from), c, size)
