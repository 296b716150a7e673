/*
 * What the clients that are compared have in common.  main.c has main(), which
 * sends the same heartbeat again and again; each client implements two calls.
 */
#ifndef PEER_H
#define PEER_H

#include <stdbool.h>
#include <stddef.h>

#define HOST "api.lucit.app"
#define DEVICE "LCUID-LD-00000000-0000-0000-0000-000000000001"
#define APP "LCUID-LAP-00000000-0000-0000-0000-000000000002"
#define PATH "/api/v3/analytics/lightning-devices/" DEVICE "/heartbeat"
#define LIGHTNING_VERSION "4.2.1"
#define FACTS "player 4.2.1", "up 86400 s", "disk 71 % of 32 GB"

/* USER_AGENT is the library's, and comes from the command line. */
#define REQUEST_HEAD                                                           \
  "POST " PATH " HTTP/1.1\r\n"                                                 \
  "Host:" HOST "\r\n"                                                          \
  "Authorization:Bearer %s\r\n"                                                \
  "AppIdV3:" APP "\r\n"                                                        \
  "User-Agent:" USER_AGENT "\r\n"                                              \
  "Accept:application/json\r\n"                                                \
  "Content-Type:application/json\r\n"                                          \
  "Content-Length:%zu\r\n"                                                     \
  "\r\n"

enum { TOKEN_SIZE = 1050, REQUEST_SIZE = 4096, REPLY_SIZE = 4096 };
extern char token[TOKEN_SIZE + 1];

/* ---- A client's own ---------------------------------------------------- */

/* Makes ready to send to port 443 of an address, trusting a file of roots. */
void peer_open(const char *address, const char *roots);

/*
 * Sends a heartbeat and reads the reply: on the connection that is there, else
 * on a new one, which resumes the last TLS session if the server will.
 */
void peer_beat(void);

/* ---- What they share --------------------------------------------------- */

void quit(const char *why);

/* A blocking socket, connected.  (socket.c) */
int dial(const char *address);

/* The body of the request, to be freed; checks the body of a reply. (json.c) */
char *make_body(void);
void check_body(const char *text);

/* HTTP as one writes it by hand.  (http.c) */
size_t make_request(char *out, size_t size);

/*
 * Reads the reply to a request by a function that reads some bytes, at most
 * `size`, and returns how many.  Returns its body; *closes is set to whether
 * the server ends the connection.
 */
const char *read_body(int (*receive)(char *out, size_t size), bool *closes);

#endif
