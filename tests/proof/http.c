/* The proofs of what reads a reply. */
#include "proof.h"

#include "copying.h"

/* decode_body(), which is called when a reply is over, is not proved whole: to
 * EVA it may do all that its contract here allows, and nothing else. */

/*@ assigns \result \from \nothing;
  assigns reply->success, reply->connection, reply->clock_offset_s,
      reply->instruction, *what \from body[0 .. body_size - 1];
  assigns reply->message \from body;
  assigns body[0 .. body_size - 1] \from body[0 .. body_size - 1];
  ensures \result == HBEAT_OK ||
          HBEAT_ERR_STATUS <= \result <= HBEAT_ERR_TOO_BIG; */
static hbeat_error decode_body(const hbeat_request *request, hbeat_reply *reply,
    char *body, size_t body_size, const char **what);

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
