/*
 * What a client does beside heartbeats, and a process that sends one.
 *
 * usage: client ROW COUNT ROOTS [ADDRESS SESSION-FILE]
 */
#include "heartbeat.h"
#include "rows.h"

enum { TOKEN_SIZE = 1050 };

/* The roots as C source, which examples/anchors.c prints. */
extern const br_x509_trust_anchor *const built_in;
extern const size_t built_in_count;

static char token[TOKEN_SIZE + 1];
static const char *const facts[] = {
    "player 4.2.1", "up 86400 s", "disk 71 % of 32 GB"};
static const hbeat_request beat = {
    .lightning_version = "4.2.1",
    .device_info = facts,
    .device_info_count = COUNT(facts),
};
static unsigned char tls[HBEAT_TLS_BUFFER_SIZE];
static char reply_buffer[HBEAT_REPLY_BUFFER_SIZE];
static hbeat_config cfg = {
    .device = "LCUID-LD-00000000-0000-0000-0000-000000000001",
    .app = "LCUID-LAP-00000000-0000-0000-0000-000000000002",
    .token = token,
    .address = "127.0.0.1",
    .timeout_ms = 300000, /* as slow as valgrind may be */
    .tls_buffer = tls,
    .tls_buffer_size = sizeof tls,
    .reply_buffer = reply_buffer,
    .reply_buffer_size = sizeof reply_buffer,
};
static hbeat_client client;
static hbeat_reply reply;

static unsigned char arena[256 * 1024];
static char pem[1 << 20];
static size_t pem_size;
static const char *root_file, *session_file;

static void read_pem(void) {
  FILE *f = fopen(root_file, "rb");

  if (!f) quit("no file of roots");
  pem_size = fread(pem, 1, sizeof pem, f);
  fclose(f);
}

static void decode_pem(void) {
  hbeat_anchors anchors = {.arena = arena, .arena_size = sizeof arena};

  if (hbeat_anchors_pem(&anchors, pem, pem_size) != HBEAT_OK)
    quit("bad anchors");
  cfg.anchors = anchors.list;
  cfg.anchor_count = anchors.count;
}

static void read_anchors(void) {
  read_pem();
  decode_pem();
}

static void open_client(void) {
  if (hbeat_init(&client, &cfg) != HBEAT_OK) quit(hbeat_explain(&client));
}

/* ---- The rows ---------------------------------------------------------- */

static void anchors_alone(unsigned count) {
  read_pem();
  while (count-- > 0) decode_pem();
}

static void init(unsigned count) {
  read_anchors();
  while (count-- > 0) open_client();
}

static void init_and_close(unsigned count) {
  read_anchors();
  while (count-- > 0) {
    open_client();
    hbeat_close(&client);
  }
}

/* A session is not this client's: what that takes is the digest. */
static void digest(unsigned count) {
  static unsigned char other[HBEAT_SESSION_SIZE];

  read_anchors();
  open_client();
  while (count-- > 0)
    if (hbeat_session_load(&client, other, sizeof other)) quit("loaded");
}

static void load_session(void) {
  unsigned char session[HBEAT_SESSION_SIZE];
  FILE *f = fopen(session_file, "rb");

  if (!f || fread(session, 1, sizeof session, f) != sizeof session)
    quit("no session file");
  fclose(f);
  if (!hbeat_session_load(&client, session, sizeof session)) quit("no session");
}

static void save_session(void) {
  unsigned char session[HBEAT_SESSION_SIZE];

  if (!hbeat_session_save(&client, session)) quit("nothing to save");
  FILE *f = fopen(session_file, "wb");
  if (!f || fwrite(session, 1, sizeof session, f) != sizeof session)
    quit("cannot write the session");
  fclose(f);
}

/* What a process does that runs for one heartbeat; 0: the first one. */
static void send_once(unsigned count) {
  open_client();
  if (count > 0) load_session();
  if (hbeat_send(&client, &beat, &reply) != HBEAT_OK)
    quit(hbeat_explain(&client));
  if (count > 0 && reply.connection != HBEAT_CONNECTION_RESUMED)
    quit("the session was not resumed");
  save_session();
  hbeat_close(&client);
}

static void process(unsigned count) {
  read_anchors();
  send_once(count);
}

static void process_built_in(unsigned count) {
  cfg.anchors = built_in;
  cfg.anchor_count = built_in_count;
  send_once(count);
}

static const struct row rows[] = {
    {"anchors", anchors_alone},
    {"init", init},
    {"init_close", init_and_close},
    {"digest", digest},
    {"process", process},
    {"built_in", process_built_in},
};

int main(int argc, char **argv) {
  if (argc < 4) quit("usage: client ROW COUNT ROOTS [ADDRESS SESSION-FILE]");
  memset(token, 't', TOKEN_SIZE);
  root_file = argv[3];
  if (argc > 5) {
    cfg.address = argv[4];
    session_file = argv[5];
  }
  run_row(rows, COUNT(rows), argv[1], argv[2]);
  return 0;
}
