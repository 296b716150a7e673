/* The contracts of take_bytes(), front_of() and scan_text(), which EVA takes
 * for them.  WP shows that they hold, in copying.c.  Of the first two EVA does
 * not know that the lesser of two sizes counts; of scan_text(), that a NUL that
 * is found stands in what was searched.
 *
 * Nothing checks the `\from`.  Of a pointer it only says which array that
 * points into, as the `ensures` does, which WP shows; a byte may be any. */

/*@ requires \valid(in);
  requires \base_addr(in->at) == \base_addr(in->end);
  requires \base_addr(to) == \base_addr(end);
  requires in->at <= in->end;
  requires to <= end;
  requires in->at < in->end ==>
      \valid_read(in->at) && \valid_read(in->end - 1);
  requires to < end ==> \valid(to) && \valid((byte *)end - 1);
  requires \separated(in, to + (0 .. end - to - 1));
  assigns in->at \from in->at, in->end, size;
  assigns end[-(end - to) .. -1] \from in->at[0 .. in->end - in->at - 1];
  assigns \result \from to, end;
  ensures \subset(in->at, \old(in->at) + (0 .. in->end - \old(in->at)));
  ensures in->at <= in->end;
  ensures \subset(\result, to + (0 .. end - to));
  ensures \result <= end; */
static byte *take_bytes(span *in, uint64_t size, byte *to, const byte *end);

/*@ requires \base_addr(in.at) == \base_addr(in.end);
  requires in.at <= in.end;
  assigns \result \from in, size;
  ensures \result.at == in.at;
  ensures \subset(\result.end, in.at + (0 .. in.end - in.at));
  ensures \result.end <= in.end; */
static span front_of(span in, size_t size);

/*@ requires \valid(in);
  requires \base_addr(in->at) == \base_addr(in->end);
  requires in->at <= in->end;
  requires in->at < in->end ==>
      \valid_read(in->at) && \valid_read(in->end - 1);
  requires \separated(in, in->at + (0 .. in->end - in->at - 1));
  assigns in->at \from in->at, in->end, in->at[0 .. in->end - in->at - 1];
  assigns \result \from in->at[0 .. in->end - in->at - 1];
  ensures \subset(in->at, \old(in->at) + (0 .. in->end - \old(in->at)));
  ensures in->at <= in->end;
  ensures \result == 0 || (\result == 1 && \old(in->at) < in->at); */
static bool scan_text(span *in);
