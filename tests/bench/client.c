/*
 * Sends heartbeats, or does another thing of the client's, so many times: what
 * it costs is the difference of two counts, as tests/bench/rows takes it.  The
 * server is a process of its own, which this program also is.
 *
 * usage: client serve ROW        prints its port; ends when its input does
 *        client ROW COUNT ANCHORS [PORT [SESSION-FILE]]
 */
#include "tests/network/peer.h"

#include <stdlib.h>
#include <unistd.h>

enum { TOKEN_SIZE = 1050 };

/* As the API's reference has it. */
#define BODY                                                                   \
  "{\"success\":true,\"lightning_device_remote_instruction\":{"                \
  "\"instruction\":\"reload\",\"parameters\":[],\"run_at\":null,\"status\":1," \
  "\"lcuid\":\"LCUID-LDRI-262ca932-dda6-4233-8c4f-a497481388b3\","             \
  "\"created_at\":\"2026-01-07T00:15:19.000000Z\","                            \
  "\"updated_at\":\"2026-01-07T00:15:19.000000Z\"}}"

static struct player p;
static char token[TOKEN_SIZE + 1];
static const char *const facts[] = {
    "player 4.2.1", "up 86400 s", "disk 71 % of 32 GB"};
static const hbeat_request beat = {
    .lightning_version = "4.2.1",
    .device_info = facts,
    .device_info_count = COUNT(facts),
};
static unsigned char arena[256 * 1024];
static hbeat_anchors anchors = {.arena = arena, .arena_size = sizeof arena};
static char pem[1 << 20];
static size_t pem_size;
static const char *session_file;

static void quit(const char *why) {
  fprintf(stderr, "client: %s\n", why);
  exit(1);
}

/* ---- The server ------------------------------------------------------- */

static void serve(const char *row) {
  static char reply[1024];
  struct peer_turn turn = {.reply = reply};
  struct peer_script script = {.turns = &turn, .turn_count = 1};
  bool closes = strcmp(row, "resumed") == 0 || strcmp(row, "new") == 0;

  if (closes) turn.end = PEER_NOTIFIES;
  if (strcmp(row, "new") != 0) script.memory = PEER_REMEMBERS;
  sprintf(reply, PEER_HEAD "%sContent-Length: %zu\r\n\r\n" BODY,
      closes ? "Connection: close\r\n" : "", strlen(BODY));
  printf("%u\n", (unsigned)peer_start(&script));
  fflush(stdout);
  while (getchar() != EOF) continue;
  peer_stop(NULL);
}

/* ---- The rows --------------------------------------------------------- */

static void read_anchors(void) {
  anchors.list = NULL;
  anchors.count = anchors.used = 0;
  if (hbeat_anchors_pem(&anchors, pem, pem_size) != HBEAT_OK)
    quit("bad anchors");
}

static void open_client(void) {
  p.cfg.anchors = anchors.list;
  p.cfg.anchor_count = anchors.count;
  if (hbeat_init(&p.client, &p.cfg) != HBEAT_OK) quit(hbeat_explain(&p.client));
}

static void send_beat(hbeat_connection connection) {
  if (hbeat_send(&p.client, &beat, &p.reply) != HBEAT_OK)
    quit(hbeat_explain(&p.client));
  if (p.reply.connection != connection) quit("another kind of connection");
}

/* The first heartbeat has a new connection, the others what the row says. */
static void send_beats(unsigned count, hbeat_connection connection) {
  read_anchors();
  open_client();
  send_beat(HBEAT_CONNECTION_NEW);
  while (count-- > 0) send_beat(connection);
}

static void kept(unsigned count) {
  send_beats(count, HBEAT_CONNECTION_KEPT);
}

static void resumed(unsigned count) {
  send_beats(count, HBEAT_CONNECTION_RESUMED);
}

static void fresh(unsigned count) {
  send_beats(count, HBEAT_CONNECTION_NEW);
}

static void read_only(unsigned count) {
  while (count-- > 0) read_anchors();
}

static void init(unsigned count) {
  read_anchors();
  while (count-- > 0) open_client();
}

static void init_and_close(unsigned count) {
  read_anchors();
  while (count-- > 0) {
    open_client();
    hbeat_close(&p.client);
  }
}

/* A session is not this client's: what that takes is the digest. */
static void digest(unsigned count) {
  static unsigned char other[HBEAT_SESSION_SIZE];

  read_anchors();
  open_client();
  while (count-- > 0)
    if (hbeat_session_load(&p.client, other, sizeof other)) quit("loaded");
}

/* What a process does that runs for one heartbeat; 0: the first one. */
static void process(unsigned count) {
  unsigned char session[HBEAT_SESSION_SIZE];
  FILE *f;

  read_anchors();
  open_client();
  if (count > 0) {
    f = fopen(session_file, "rb");
    if (!f || fread(session, 1, sizeof session, f) != sizeof session)
      quit("no session file");
    fclose(f);
    if (!hbeat_session_load(&p.client, session, sizeof session))
      quit("no session");
  }
  send_beat(count > 0 ? HBEAT_CONNECTION_RESUMED : HBEAT_CONNECTION_NEW);
  if (!hbeat_session_save(&p.client, session)) quit("nothing to save");
  f = fopen(session_file, "wb");
  if (!f || fwrite(session, 1, sizeof session, f) != sizeof session)
    quit("cannot write the session");
  fclose(f);
  hbeat_close(&p.client);
}

static const struct {
  const char *name;
  void (*run)(unsigned count);
} rows[] = {
    {"kept", kept},
    {"resumed", resumed},
    {"new", fresh},
    {"anchors", read_only},
    {"init", init},
    {"close", init_and_close},
    {"digest", digest},
    {"process", process},
};

static void configure(uint16_t port) {
  player_configure(&p, port);
  memset(token, 't', TOKEN_SIZE);
  p.cfg.token = token;
  p.cfg.timeout_ms = 300000; /* as slow as valgrind may be */
}

int main(int argc, char **argv) {
  if (argc == 3 && strcmp(argv[1], "serve") == 0) {
    serve(argv[2]);
    return 0;
  }
  if (argc < 4) quit("usage: client ROW COUNT ANCHORS [PORT [SESSION-FILE]]");
  FILE *f = fopen(argv[3], "rb");
  if (!f) quit("no file of anchors");
  pem_size = fread(pem, 1, sizeof pem, f);
  fclose(f);
  configure((uint16_t)(argc > 4 ? strtoul(argv[4], NULL, 10) : 0));
  if (argc > 5) session_file = argv[5];
  for (size_t i = 0; i < COUNT(rows); i++) {
    if (strcmp(argv[1], rows[i].name) != 0) continue;
    rows[i].run((unsigned)strtoul(argv[2], NULL, 10));
    return 0;
  }
  quit("there is no such row");
}
