/* The proof by WP of what reckons with the size of a record: that it stays in
 * the memory.  Records and memory are bytes alone, so that a cast between them
 * hides nothing from WP. */
#define HBEAT_NO_NET
#include "bytes.h"

#include "proof.h"

/* What read_16() makes of two bytes.  That it is no more than 65,535 is beyond
 * CVC4; the proof memory_walk shows it.  That it is the same number for the
 * same bytes is not checked: it reads nothing else. */

/*@ axiomatic numbers {
  logic integer number_at{L}(byte *at) reads at[0 .. 1];
  } */

/*@ requires \valid_read(at + (0 .. 1));
  assigns \result \from at[0 .. 1];
  ensures \result == number_at(at);
  ensures 0 <= \result <= UINT16_MAX; */
static unsigned read_16(const byte *at);

/*@ requires \valid(at + (0 .. 1));
  assigns at[0 .. 1] \from number;
  ensures \result == at + 2; */
static byte *write_16(byte *at, unsigned number);

/*@ requires \base_addr(s.at) == \base_addr(s.end);
  requires s.at <= s.end;
  assigns \result \from s;
  ensures \result == (size_t)(s.end - s.at); */
static size_t length_of(span s);

/* Any bytes at all: the proof record shows that no more is needed. */
/*@ requires \base_addr(in.at) == \base_addr(in.end);
  requires in.at <= in.end;
  requires \valid_read(in.at + (0 .. in.end - in.at - 1));
  assigns \result \from in.at[0 .. in.end - in.at - 1]; */
static bool is_record(span in);

/* A record begins in the memory, and its head is there: record_at() sees to
 * that. */

/*@ predicate begins_in(hbeat_memory *m, memory_record *r) =
  \exists integer at; 0 <= at <= HBEAT_MEMORY_SIZE - sizeof(memory_record) &&
      (byte *)r == &m->records[at];
  predicate fits(hbeat_memory *m, memory_record *r, integer size) =
  \forall integer at; (byte *)r == &m->records[at] ==>
      0 <= at && at + size <= HBEAT_MEMORY_SIZE; */

/* It may say that it has any size. */
/*@ requires \valid_read(m);
  requires begins_in(m, r);
  assigns \result \from m->records[0 .. HBEAT_MEMORY_SIZE - 1]; */
static bool is_sound(const hbeat_memory *m, const memory_record *r);

/* Its size and the new one are in the memory: is_sound() sees to the one, the
 * caller to the other, which is not shown. */
/*@ requires \valid(m);
  requires begins_in(m, r);
  requires fits(m, r, number_at(&r->size[0]));
  requires fits(m, r, size);
  assigns m->records[0 .. HBEAT_MEMORY_SIZE - 1]; */
static void resize_record(hbeat_memory *m, memory_record *r, size_t size);
