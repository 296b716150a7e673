/* The proof of what reads a reply. */
#define HBEAT_NO_NET
#include "proof.h"

#include "copying.h"

/* Replies, a proxy's and a server's, of any bytes that come in any pieces, any
 * number of them, up to where the body is decoded. */
void http(void) {
  static char body[HBEAT_REPLY_BUFFER_SIZE];
  size_t room = any_bool() ? 1 : sizeof body;
  //@ split room;
  const hbeat_config cfg = {.device = "LCUID-LD-1",
      .app = "LCUID-LAP-1",
      .token = "token",
      .reply_buffer = body + sizeof body - room,
      .reply_buffer_size = room};
  const hbeat_request request = {.lightning_version = "1"};
  hbeat_reply reply;
  hbeat_exchange x;
  hbeat_error e = HBEAT_AGAIN;

  begin_exchange(&x, &cfg, &request, &reply, NULL);
  x.in.tunnel = any_bool();
  while (e == HBEAT_AGAIN) {
    span in = any_bytes(0);
    if (in.at >= in.end) e = reply_end(&x);
    while (e == HBEAT_AGAIN && in.at < in.end) e = reply_bytes(&x, &in);
    if (e == HBEAT_OK && x.in.tunnel) { /* what comes now is the server's */
      x.in.tunnel = false;
      begin_head(&x);
      e = HBEAT_AGAIN;
    }
  }
  END_OF_PROOF();
}
