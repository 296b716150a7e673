/* The proof by WP that an element of DER, and what is left, lie inside of what
 * they are taken from, whatever its size. */
#include "proof.h"

/*@ requires is_run(s.at, s.end);
  assigns \result \from s;
  ensures \result == s.end - s.at; */
static size_t length_of(span s);

/*@ requires \valid_read(bytes + (0 .. size - 1));
  requires size <= 0x7FFFFFFFFFFFFFFF;
  assigns \result \from bytes, size;
  ensures \result.at == bytes;
  ensures \result.end == bytes + size; */
static span span_of(const byte *bytes, size_t size);

/*@ requires \valid(in);
  requires \valid(content);
  requires in == content || \separated(in, content);
  requires is_run(in->at, in->end);
  assigns *in, *content;
  ensures is_run(in->at, in->end);
  ensures !\result ==> *in == \old(*in) && *content == \old(*content);
  ensures \result ==> is_run(content->at, content->end);
  ensures \result ==> \old(in->at) <= content->at;
  ensures \result ==> content->end <= \old(in->end);
  ensures \result && in != content ==>
      in->at == content->end && in->end == \old(in->end); */
static bool der_take(span *in, int tag, span *content);
