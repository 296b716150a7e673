/* The contracts of what reads a certificate's dates from the bytes that the
 * walk keeps.  EVA shows that take_date() keeps its own, and WP from that that
 * see_validity() does, for the second date begins anywhere, where the first one
 * ends.  The walk's proof takes this for see_validity(). */

/*@ requires \valid(in);
  requires \valid(unix_s);
  requires \separated(in, unix_s);
  requires \base_addr(in->at) == \base_addr(in->end);
  requires 0 <= in->end - in->at <= 34;
  requires \valid_read(in->at + (0 .. in->end - in->at - 1));
  assigns in->at, *unix_s;
  ensures \base_addr(in->at) == \base_addr(in->end);
  ensures 0 <= in->end - in->at <= \old(in->end - in->at); */
static bool take_date(span *in, int64_t *unix_s);

/*@ requires \valid(c);
  requires \base_addr(in.at) == \base_addr(in.end);
  requires 0 <= in.end - in.at <= 34;
  requires \valid_read(in.at + (0 .. in.end - in.at - 1));
  assigns c->certs.not_before_s, c->tls.server_not_after_s
      \from in.at[0 .. in.end - in.at - 1], c->certs.count; */
static void see_validity(hbeat_client *c, span in);
