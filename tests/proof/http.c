/* The proofs of what reads a reply. */
#include "proof.h"

/* Three functions are to EVA what their contracts here say.  That take_bytes()
 * keeps its contract is the first proof.  decode_body() and wipe_login(), which
 * are called when a reply is over, are not proved: they may do all that theirs
 * allow, and nothing else. */

/*@ requires \base_addr(in->at) == \base_addr(in->end);
  requires \base_addr(to) == \base_addr(end);
  requires in->at <= in->end;
  requires to <= end;
  requires in->at < in->end ==>
      \valid_read(in->at) && \valid_read(in->end - 1);
  requires to < end ==> \valid(to) && \valid((char *)end - 1);
  assigns in->at \from in->at, in->end, size;
  assigns end[-(end - to) .. -1] \from in->at[0 .. in->end - in->at - 1];
  assigns \result \from to, end;
  ensures \subset(in->at, \old(in->at) + (0 .. in->end - \old(in->at)));
  ensures in->at <= in->end;
  ensures \subset(\result, to + (0 .. end - to));
  ensures \result <= end; */
static char *take_bytes(span *in, uint64_t size, char *to, const char *end);

/*@ assigns \result \from \nothing;
  assigns reply->success, reply->connection, reply->clock_offset_s,
      reply->instruction, *what \from body[0 .. body_size - 1];
  assigns reply->message \from body;
  assigns body[0 .. body_size - 1] \from body[0 .. body_size - 1];
  ensures \result == HBEAT_OK ||
          HBEAT_ERR_STATUS <= \result <= HBEAT_ERR_TOO_BIG; */
static hbeat_error decode_body(const hbeat_request *request, hbeat_reply *reply,
    char *body, size_t body_size, const char **what);

/*@ assigns body[0 .. body_size - 1] \from \nothing; */
static void wipe_login(const hbeat_request *request, hbeat_reply *reply,
    char *body, size_t body_size);

/* Each pair of these sizes by itself, of the bytes and of the memory that they
 * go to: EVA does not know that the lesser one counts. */
void http_take(void) {
  static const size_t sizes[] = {
      0, 1, 2, 3, 7, 8, 9, 95, 96, 97, 3071, 3072, 3073, BOUND - 1, BOUND};
  static char memory[BOUND];

  Frama_C_make_unknown((char *)any_memory, BOUND);
  for (size_t i = 0; i < COUNT(sizes); i++)
    for (size_t j = 0; j < COUNT(sizes); j++) {
      span in = span_of(any_memory + BOUND - sizes[i], sizes[i]);
      uint64_t wanted = Frama_C_unsigned_long_long_interval(0, UINT64_MAX);
      take_bytes(&in, wanted, memory + BOUND - sizes[j], memory + BOUND);
    }
  END_OF_PROOF();
}

/* Replies, a proxy's and a server's, of any bytes that come in any pieces, any
 * number of them. */
void http(void) {
  static char body[HBEAT_REPLY_BUFFER_SIZE];
  const hbeat_config cfg = {.device = "LCUID-LD-1",
      .app = "LCUID-LAP-1",
      .token = "token",
      .reply_buffer = body,
      .reply_buffer_size = sizeof body};
  const hbeat_request request = {.lightning_version = "1"};
  hbeat_reply reply;
  hbeat_exchange x;
  hbeat_error e = HBEAT_AGAIN;
  size_t used;

  begin_exchange(&x, &cfg, &request, &reply, NULL);
  x.in.tunnel = any_bool();
  while (e == HBEAT_AGAIN) {
    span in = any_bytes(0);
    if (any_bool()) e = push_span(&x, &in);
    else if (any_bool()) e = hbeat_push(&x, any_memory, BOUND, &used);
    else e = hbeat_push(&x, NULL, 0, &used);
    if (e == HBEAT_OK && x.in.tunnel) { /* what comes now is the server's */
      x.in.tunnel = false;
      begin_head(&x);
      e = HBEAT_AGAIN;
    }
  }
  END_OF_PROOF();
}
