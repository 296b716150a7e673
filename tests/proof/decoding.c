/* The proof by WP of what becomes of the members of a body, by the contracts of
 * what takes each of them. */
#define HBEAT_NO_NET
#include "proof.h"

#include "decoding.h"
