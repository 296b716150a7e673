/*
 * The client before it speaks: what hbeat_init() refuses, what a client does
 * that was never initialised, where it connects to, and what the machine may
 * lack.
 */
#include "cases.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static unsigned char tls[HBEAT_TLS_BUFFER_SIZE];
static char body[HBEAT_REPLY_BUFFER_SIZE];
static br_x509_trust_anchor anchor;
static hbeat_client client;
static const hbeat_request beat = {.lightning_version = "4.2.1"};

static hbeat_config good(void) {
  hbeat_config cfg = {.device = "LCUID-LD-1",
      .app = "LCUID-LAP-1",
      .token = "a-secret",
      .address = "127.0.0.1",
      .anchors = &anchor,
      .anchor_count = 1,
      .tls_buffer = tls,
      .tls_buffer_size = sizeof tls,
      .reply_buffer = body,
      .reply_buffer_size = sizeof body};
  return cfg;
}

/* ---- Arguments ---------------------------------------------------------- */

static void no_device(hbeat_config *c) {
  c->device = NULL;
}
static void no_app(hbeat_config *c) {
  c->app = NULL;
}
static void empty_host(hbeat_config *c) {
  c->host = "";
}
static void host_address(hbeat_config *c) {
  c->host = "192.0.2.1";
}
static void name_as_address(hbeat_config *c) {
  c->address = "api.lucit.app";
}
static void empty_address(hbeat_config *c) {
  c->address = "";
}
static void address_with_port(hbeat_config *c) {
  c->address = "127.0.0.1:443";
}
static void day_and_more(hbeat_config *c) {
  c->timeout_ms = 86400001;
}
static void no_anchors(hbeat_config *c) {
  c->anchors = NULL;
}
static void zero_anchors(hbeat_config *c) {
  c->anchor_count = 0;
}
static void no_tls(hbeat_config *c) {
  c->tls_buffer = NULL;
}
static void small_tls(hbeat_config *c) {
  c->tls_buffer_size = HBEAT_TLS_BUFFER_SMALL - 1;
}
static void no_body(hbeat_config *c) {
  c->reply_buffer = NULL;
}
static void empty_body(hbeat_config *c) {
  c->reply_buffer_size = 0;
}
static void a_day(hbeat_config *c) {
  c->timeout_ms = 86400000;
}
static void version_six(hbeat_config *c) {
  c->address = "2001:db8::1";
}
static void nothing(hbeat_config *c) {
  (void)c;
}

static const struct argument_row {
  const char *name;
  void (*spoil)(hbeat_config *c);
  const char *word; /* of the explanation; NULL where all is well */
} ARGUMENTS[] = {
    {"nothing wrong", nothing, NULL},
    {"a timeout of a day", a_day, NULL},
    {"IPv6", version_six, NULL},
    {"no device", no_device, "device"},
    {"no app", no_app, "app"},
    {"an empty host", empty_host, "host"},
    {"an address as host", host_address, "host"},
    {"a name as address", name_as_address, "address"},
    {"an empty address", empty_address, "address"},
    {"an address with a port", address_with_port, "address"},
    {"a timeout of more than a day", day_and_more, "timeout_ms"},
    {"anchors missing", no_anchors, "anchors"},
    {"no anchor", zero_anchors, "anchors"},
    {"no TLS buffer", no_tls, "tls_buffer"},
    {"a TLS buffer one byte small", small_tls, "tls_buffer"},
    {"no reply buffer", no_body, "reply_buffer"},
    {"a reply buffer of nothing", empty_body, "reply_buffer"},
};

static void test_argument(void **state) {
  const struct argument_row *row = *state;
  hbeat_config cfg = good();
  hbeat_reply reply;
  hbeat_error e;

  row->spoil(&cfg);
  e = hbeat_init(&client, &cfg);
  in_hand(row->name, hbeat_explain(&client), strlen(hbeat_explain(&client)));
  expect_error("the outcome", e, row->word ? HBEAT_ERR_ARGUMENT : HBEAT_OK);
  expect_true("the member is named",
      !row->word || strstr(hbeat_explain(&client), row->word));
  expect_true(
      "the token is not told", !strstr(hbeat_explain(&client), "a-secret"));
  if (row->word) {
    expect_error(
        "a start", hbeat_start(&client, &beat, &reply), HBEAT_ERR_ARGUMENT);
    expect_error("a step", hbeat_step(&client), HBEAT_ERR_ARGUMENT);
    expect_int("nothing to wait for", hbeat_wants(&client).fd, -1);
  }
  hbeat_close(&client);
}

/* ---- Tokens ------------------------------------------------------------- */

/* Only what sends a token asks for it: a log-in is how to get the first. */
static const struct token_row {
  const char *name;
  const char *token;
  bool good;
} TOKENS[] = {
    {"a token", "a-secret", .good = true},
    {"no token", NULL, .good = false},
    {"an empty token", "", .good = false},
    {"a token of two lines", "a-secret\r\nX: y", .good = false},
    {"a token with a space", "a-secret a-secret", .good = false},
};

static void test_token(void **state) {
  const struct token_row *row = *state;
  char token_buffer[64];
  const hbeat_request login = {.call = HBEAT_LOGIN,
      .login_token = "a-token",
      .login_secret = "a-secret",
      .token_buffer = token_buffer,
      .token_buffer_size = sizeof token_buffer};
  const hbeat_request report = {
      .call = HBEAT_FAILED, .instruction = "LCUID-LDRI-1"};
  const hbeat_request *requests[] = {&beat, &report, &login};
  hbeat_config cfg = good();
  hbeat_reply reply;

  in_hand(row->name, row->token, row->token ? strlen(row->token) : 0);
  cfg.token = row->token;
  expect_error("init", hbeat_init(&client, &cfg), HBEAT_OK);
  for (size_t i = 0; i < COUNT(requests); i++) {
    bool fit = row->good || requests[i]->call == HBEAT_LOGIN;
    expect_error("a start", hbeat_start(&client, requests[i], &reply),
        fit ? HBEAT_OK : HBEAT_ERR_ARGUMENT);
    if (fit) continue;
    expect_error("a step", hbeat_step(&client), HBEAT_ERR_ARGUMENT);
    expect_int("nothing to wait for", hbeat_wants(&client).fd, -1);
    expect_true("explained", strstr(hbeat_explain(&client), "token:") != NULL);
    expect_true(
        "the token is not told", !strstr(hbeat_explain(&client), "a-secret"));
  }
  hbeat_close(&client);
}

/* A client that has begun nothing says so, whatever is asked first. */
static void expect_nothing_begun(const char *word) {
  expect_error("a step", hbeat_step(&client), HBEAT_ERR_ARGUMENT);
  expect_int("nothing to wait for", hbeat_wants(&client).fd, -1);
  expect_true("the reason", strstr(hbeat_explain(&client), word) != NULL);
}

/* A client of zeros owns no descriptor, least of all number 0. */
static void test_zeros(void **state) {
  hbeat_reply reply;

  (void)state;
  in_hand("a client of zeros", TEXT(""));
  memset(&client, 0, sizeof client);
  expect_true("explained first",
      strstr(hbeat_explain(&client), "hbeat_init()") != NULL);
  expect_nothing_begun("hbeat_init()");
  memset(&client, 0, sizeof client);
  expect_nothing_begun("hbeat_init()");
  memset(&client, 0, sizeof client);
  expect_error(
      "a start", hbeat_start(&client, &beat, &reply), HBEAT_ERR_ARGUMENT);
  expect_int("the reply is cleared", reply.server_time_s, HBEAT_NONE);
  expect_nothing_begun("hbeat_init()");
  hbeat_close(&client);
  expect_nothing_begun("hbeat_init()");
  expect_true("descriptor 0 is open", isatty(0) || errno != EBADF);
}

/* Before the first start, and after the end. */
static void test_at_rest(void **state) {
  hbeat_config cfg = good();
  hbeat_reply reply;

  (void)state;
  in_hand("a client at rest", TEXT(""));
  expect_error("init", hbeat_init(&client, &cfg), HBEAT_OK);
  expect_true("explained first",
      strstr(hbeat_explain(&client), "nothing was started") != NULL);
  expect_nothing_begun("nothing was started");
  hbeat_close(&client);
  expect_nothing_begun("hbeat_init()");
  expect_error(
      "a start", hbeat_start(&client, &beat, &reply), HBEAT_ERR_ARGUMENT);
  expect_nothing_begun("hbeat_init()");
  expect_error("init", hbeat_init(&client, &cfg), HBEAT_OK);
  expect_nothing_begun("nothing was started");
  hbeat_close(&client);
  hbeat_close(&client);
  expect_nothing_begun("hbeat_init()");
}

static void test_under_way(void **state) {
  hbeat_config cfg = good();
  hbeat_reply reply;

  (void)state;
  in_hand("a client under way", TEXT(""));
  expect_error("init", hbeat_init(&client, &cfg), HBEAT_OK);
  expect_error("a start", hbeat_start(&client, &beat, &reply), HBEAT_OK);
  expect_bytes("explained", hbeat_explain(&client),
      strlen(hbeat_explain(&client)),
      TEXT("api.lucit.app has not answered yet"));
  hbeat_close(&client);
}

/* Row: a request that is none, and a word of the explanation. */
static const struct request_row {
  const char *name;
  hbeat_request request;
  const char *word;
} REQUESTS[] = {
    {"a beat without version", {.lightning_version = NULL},
        "lightning_version"},
    {"an acknowledgement of nothing", {.call = HBEAT_ACKNOWLEDGE},
        "instruction"},
    {"a report whose data is no object",
        {.call = HBEAT_FAILED, .instruction = "a", .response_data = "[]"},
        "response_data"},
    {"a log-in without token", {.call = HBEAT_LOGIN, .login_secret = "s"},
        "login_token"},
    {"a log-in without secret", {.call = HBEAT_LOGIN, .login_token = "t"},
        "login_secret"},
    {"a log-in without a place for the token",
        {.call = HBEAT_LOGIN, .login_token = "t", .login_secret = "s"},
        "token_buffer"},
    {"a log-in with a place of no byte for the token",
        {.call = HBEAT_LOGIN,
            .login_token = "t",
            .login_secret = "s",
            .token_buffer = body,
            .token_buffer_size = 0},
        "token_buffer"},
};

static void test_bad_request(void **state) {
  const struct request_row *row = *state;
  hbeat_config cfg = good();
  hbeat_reply reply;

  in_hand(row->name, TEXT(""));
  expect_error("init", hbeat_init(&client, &cfg), HBEAT_OK);
  expect_error(
      "send", hbeat_send(&client, &row->request, &reply), HBEAT_ERR_ARGUMENT);
  expect_true("explained", strstr(hbeat_explain(&client), row->word) != NULL);
  expect_true("no descriptor", client.link.fd < 0);
  hbeat_close(&client);
}

/* ---- Ports -------------------------------------------------------------- */

static bool nobody_listens;
static int asked_port; /* the last one that nobody listened at */

/* In the place of libc's. */
int connect(int fd, const struct sockaddr *address, socklen_t size) {
  struct sockaddr_in a;

  if (!nobody_listens) return (int)syscall(SYS_connect, fd, address, size);
  memcpy(&a, address, sizeof a);
  asked_port = ntohs(a.sin_port);
  errno = ECONNREFUSED;
  return -1;
}

static const struct port_row {
  const char *name;
  uint16_t port, address_port;
  const char *proxy;
  uint16_t proxy_port;
  int expected;
} PORTS[] = {
    {"the usual port", .expected = 443},
    {"a port", .port = 8443, .expected = 8443},
    {"an address's port", .address_port = 4430, .expected = 4430},
    {"an address's port before another", .port = 8443, .address_port = 4430,
        .expected = 4430},
    {"a proxy's usual port", .proxy = "127.0.0.1", .port = 8443,
        .expected = 80},
    {"a proxy's port", .proxy = "127.0.0.1", .proxy_port = 3128,
        .expected = 3128},
};

static void test_port(void **state) {
  const struct port_row *row = *state;
  hbeat_config cfg = good();
  hbeat_reply reply;

  cfg.port = row->port;
  cfg.address_port = row->address_port;
  cfg.proxy = row->proxy;
  cfg.proxy_port = row->proxy_port;
  if (row->proxy) cfg.address = NULL;
  in_hand(row->name, TEXT(""));
  nobody_listens = true;
  expect_error("init", hbeat_init(&client, &cfg), HBEAT_OK);
  expect_error("send", hbeat_send(&client, &beat, &reply), HBEAT_ERR_CONNECT);
  nobody_listens = false;
  expect_int("the port", asked_port, row->expected);
  hbeat_close(&client);
}

/* ---- What the machine lacks --------------------------------------------- */

/* What seeds BearSSL's own generator. */
enum seeder { NO_SEEDER, DRY_SEEDER };

/* All that the machine has, which it may not have. */
static struct {
  int getrandom_errno; /* 0: it is there, and has randomness */
  enum seeder seeder;
  bool aes, ghash;    /* the processor computes them itself */
  bool other_bearssl; /* than the header is of */
} machine;

/* In the place of libc's, for the library and for the test. */
ssize_t getrandom(void *buffer, size_t length, unsigned flags) {
  (void)flags;
  if (machine.getrandom_errno != 0) {
    errno = machine.getrandom_errno;
    return -1;
  }
  memset(buffer, 0x5A, length);
  return (ssize_t)length;
}

/* The linker puts what is named __wrap_ in the place of BearSSL's. */

static int give_nothing(const br_prng_class **rng) {
  (void)rng;
  return 0;
}

br_prng_seeder __wrap_br_prng_seeder_system(const char **name) {
  (void)name;
  return machine.seeder == DRY_SEEDER ? give_nothing : NULL;
}

const br_block_ctr_class *__wrap_br_aes_x86ni_ctr_get_vtable(void) {
  return machine.aes ? &br_aes_ct_ctr_vtable : NULL;
}

br_ghash __wrap_br_ghash_pclmul_get(void) {
  return machine.ghash ? br_ghash_ctmul : NULL;
}

void __real_br_x509_minimal_init(br_x509_minimal_context *x,
    const br_hash_class *hash, const br_x509_trust_anchor *anchors,
    size_t count);

/* Another version has a larger context, and clears all of it. */
void __wrap_br_x509_minimal_init(br_x509_minimal_context *x,
    const br_hash_class *hash, const br_x509_trust_anchor *anchors,
    size_t count) {
  if (machine.other_bearssl) memset(x, 0, sizeof *x + 64);
  else __real_br_x509_minimal_init(x, hash, anchors, count);
}

/* A socket that connects and never answers. */
static int listener(uint16_t *port) {
  struct sockaddr_in a;
  socklen_t size = sizeof a;
  int fd = socket(AF_INET, SOCK_STREAM, 0);

  memset(&a, 0, sizeof a);
  a.sin_family = AF_INET;
  a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof a) != 0 ||
      listen(fd, 1) != 0 || getsockname(fd, (struct sockaddr *)&a, &size) != 0)
    abort();
  *port = ntohs(a.sin_port);
  return fd;
}

/* Row: where it is first wanted: for a query, or for TLS; and what fails. */
static const struct random_row {
  const char *name;
  const char *address;
  int getrandom_errno;
  enum seeder seeder;
} NO_RANDOMNESS[] = {
    {"no randomness for TLS", .address = "127.0.0.1",
        .getrandom_errno = EAGAIN},
    {"no randomness for a query", .address = NULL, .getrandom_errno = EAGAIN},
    {"no getrandom(), and no other source", .address = "127.0.0.1",
        .getrandom_errno = ENOSYS, .seeder = NO_SEEDER},
    {"no getrandom(), and a source that is dry", .address = "127.0.0.1",
        .getrandom_errno = ENOSYS, .seeder = DRY_SEEDER},
};

static void test_no_randomness(void **state) {
  const struct random_row *row = *state;
  hbeat_config cfg = good();
  hbeat_reply reply;
  hbeat_error e;
  int fd = listener(&cfg.address_port);

  cfg.address = row->address;
  cfg.hosts_path = "/dev/null";
  cfg.resolv_path = "/dev/null";
  in_hand(row->name, TEXT(""));
  expect_error("init", hbeat_init(&client, &cfg), HBEAT_OK);
  machine.getrandom_errno = row->getrandom_errno;
  machine.seeder = row->seeder;
  e = hbeat_send(&client, &beat, &reply);
  memset(&machine, 0, sizeof machine);
  expect_error("send", e, HBEAT_ERR_TLS);
  expect_true(
      "explained", strstr(hbeat_explain(&client), "randomness") != NULL);
  hbeat_close(&client);
  close(fd);
}

/* Row: what the processor computes, and the suite that goes first then. */
static const struct processor_row {
  const char *name;
  bool aes, ghash;
  uint16_t suite;
} PROCESSORS[] = {
    {"AES and GHASH", .aes = true, .ghash = true,
        .suite = BR_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256},
    {"AES without GHASH", .aes = true,
        .suite = BR_TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256},
    {"GHASH without AES", .ghash = true,
        .suite = BR_TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256},
    {"neither AES nor GHASH",
        .suite = BR_TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256},
};

static void test_processor(void **state) {
  const struct processor_row *row = *state;
  const br_ssl_engine_context *engine = &client.tls.context.eng;
  hbeat_config cfg = good();
  hbeat_error e;

  in_hand(row->name, TEXT(""));
  machine.aes = row->aes;
  machine.ghash = row->ghash;
  e = hbeat_init(&client, &cfg);
  memset(&machine, 0, sizeof machine);
  expect_error("init", e, HBEAT_OK);
  expect_int("six suites", engine->suites_num, 6);
  expect_int("the first", engine->suites_buf[0], row->suite);
  hbeat_close(&client);
}

static void test_other_bearssl(void **state) {
  hbeat_config cfg = good();
  hbeat_reply reply;
  hbeat_error e;

  (void)state;
  in_hand("another BearSSL than the header's", TEXT(""));
  machine.other_bearssl = true;
  e = hbeat_init(&client, &cfg);
  memset(&machine, 0, sizeof machine);
  expect_error("init", e, HBEAT_ERR_ARGUMENT);
  expect_error(
      "a start", hbeat_start(&client, &beat, &reply), HBEAT_ERR_ARGUMENT);
  expect_nothing_begun("bearssl.h");
  hbeat_close(&client);
}

static void test_no_descriptor(void **state) {
  hbeat_config cfg = good();
  struct rlimit before, none;
  hbeat_reply reply;
  hbeat_error e;

  (void)state;
  in_hand("no descriptor left", TEXT(""));
  expect_error("init", hbeat_init(&client, &cfg), HBEAT_OK);
  getrlimit(RLIMIT_NOFILE, &before);
  none = before;
  none.rlim_cur = 0;
  setrlimit(RLIMIT_NOFILE, &none);
  e = hbeat_send(&client, &beat, &reply);
  setrlimit(RLIMIT_NOFILE, &before);
  expect_error("send", e, HBEAT_ERR_CONNECT);
  expect_true(
      "explained", strstr(hbeat_explain(&client), "descriptor") != NULL);
  hbeat_close(&client);
}

int main(void) {
  cases_add_rows(test_argument, ARGUMENTS);
  cases_add_rows(test_token, TOKENS);
  cases_add("a client of zeros", test_zeros, NULL);
  cases_add("a client at rest", test_at_rest, NULL);
  cases_add("a client under way", test_under_way, NULL);
  cases_add_rows(test_bad_request, REQUESTS);
  cases_add_rows(test_port, PORTS);
  cases_add_rows(test_no_randomness, NO_RANDOMNESS);
  cases_add_rows(test_processor, PROCESSORS);
  cases_add("another BearSSL than the header's", test_other_bearssl, NULL);
  cases_add("no descriptor left", test_no_descriptor, NULL);
  return cases_run("client");
}
