/* Answers of nameservers.  Control bytes: what kind, and two of flags and one
 * of the number of records for an answer whose question is the right one; or
 * the whole message is the input. */
#include "fuzz.h"

enum { IPV6 = 1, BARE = 2, FULL = 4, NAMES = 8 };

enum { ID = 0x1234, MESSAGE_MAX = 4096 };

static const char *const names[] = {"api.lucit.app", "a",
    "0123456789012345678901234567890123456789012345678901234567890."
    "0123456789012345678901234567890123456789012345678901234567890."
    "0123456789012345678901234567890123456789012345678901234567890."
    "0123456789012345678901234567890123456789012345678901234567890.a.b"};

/* Every name that a message can hold at any place is a name or none. */
static void check_names(span message) {
  const byte *start, *at;
  byte name[255];
  for (start = message.at; start < message.end; start++) {
    size_t i, size;
    at = start;
    size = dns_name(message, &at, name);
    if (size == 0) continue;
    EXPECT(size <= sizeof name && at > start && at <= message.end);
    for (i = 0; name[i] != 0; i += name[i] + 1u)
      EXPECT(name[i] <= 63 && i < size);
    EXPECT(i + 1 == size);
  }
}

/* A host's name is asked for whole, and comes back as it was. */
static void check_query(span text) {
  char host[512], plain[256];
  byte query[DNS_QUERY_MAX], name[255];
  const byte *at = query + DNS_HEADER;
  size_t i, size, length = length_of(text) < 511 ? length_of(text) : 511;
  memcpy(host, text.at, length);
  host[length] = '\0';
  if (host_length(host) == 0) return;
  plain_name(host, plain);
  EXPECT(strlen(plain) == host_length(host));
  size = dns_query(query, ID, plain, TYPE_A);
  EXPECT(size <= sizeof query);
  EXPECT(dns_name(span_of(query, size), &at, name) == strlen(plain) + 2);
  EXPECT(at + 4 == query + size);
  for (i = 0; plain[i] != '\0'; i++)
    EXPECT(plain[i] == '.' || name[i + 1] == (byte)plain[i]);
}

static bool is_one_of(const hbeat_addresses *a, const byte ip[16]) {
  for (size_t i = 0; i < a->count; i++)
    if (memcmp(a->list[i], ip, 16) == 0) return true;
  return false;
}

static bool is_in_message(span message, const byte ip[16]) {
  size_t size = is_v4(ip) ? 4 : 16;
  const byte *part = ip + 16 - size;
  for (const byte *at = message.at; at + size <= message.end; at++)
    if (memcmp(at, part, size) == 0) return true;
  return false;
}

/* From the first that is out of turn on, all are of its family. */
static void check_turns(const hbeat_addresses *a) {
  size_t n = 0;
  while (n < a->count && is_v4(a->list[n]) == (n % 2 != 0)) n++;
  for (size_t i = n; i < a->count; i++)
    EXPECT(is_v4(a->list[i]) == is_v4(a->list[n]));
}

/* The order of trying has each address once. */
static void check_order(const hbeat_addresses *a) {
  unsigned seen = 0;
  for (unsigned n = 0; n < a->count; n++) {
    size_t i = (size_t)(nth_address(a, n) - a->list[0]) / 16;
    EXPECT(i < a->count);
    EXPECT(!(seen >> i & 1));
    seen |= 1u << i;
  }
}

/* Each was in the message or there before, and the families take turns. */
static void check_addresses(
    const hbeat_addresses *a, const hbeat_addresses *before, span message) {
  EXPECT(a->count <= COUNT(a->list) && a->ttl_s <= before->ttl_s);
  EXPECT(a->count >= before->count);
  for (size_t n = 0; n < a->count; n++)
    EXPECT(is_one_of(before, a->list[n]) || is_in_message(message, a->list[n]));
  check_turns(a);
  check_order(a);
}

static size_t query_of(byte kind, byte query[DNS_QUERY_MAX]) {
  unsigned type = kind & IPV6 ? TYPE_AAAA : TYPE_A;
  return dns_query(query, ID, names[kind / NAMES % COUNT(names)], type);
}

static dns_answer answer_to(hbeat_addresses *a, span message, byte kind) {
  byte query[DNS_QUERY_MAX];
  size_t size = query_of(kind, query);
  return dns_read(a, message, query, size);
}

/* Makes the message, and returns its size. */
static size_t make_message(span in, byte kind, byte *out) {
  size_t size = 0;
  if (length_of(in) > MESSAGE_MAX) in.end = in.at + MESSAGE_MAX;
  if (!(kind & BARE)) {
    size = query_of(kind, out);
    out[2] = control(&in);
    out[3] = control(&in);
    out[7] = control(&in);
  }
  memcpy(out + size, in.at, length_of(in));
  return size + length_of(in);
}

/* What is known already: nothing, or as many addresses as there is room for. */
static hbeat_addresses known_before(byte kind) {
  hbeat_addresses a;
  memset(&a, 0, sizeof a);
  a.ttl_s = DAY_S;
  for (size_t i = 0; i < COUNT(a.list) && (kind & FULL); i++) {
    byte ip[16] = {0x20, 1, 0xD, 0xB8};
    if (i & 1) memcpy(ip, v4_prefix, sizeof v4_prefix);
    ip[15] = (byte)i;
    add_address(&a, ip);
  }
  return a;
}

/* Only an answer that is good changes what is known. */
static void check_known(dns_answer answer, const hbeat_addresses *a,
    const hbeat_addresses *before, span message) {
  if (answer == DNS_GOOD) check_addresses(a, before, message);
  else EXPECT(memcmp(a, before, sizeof *a) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  span in = span_of(data, size), message;
  byte kind = control(&in), text[MESSAGE_MAX + DNS_QUERY_MAX];
  const hbeat_addresses before = known_before(kind);
  hbeat_addresses once = before, twice = before;
  dns_answer answer;
  size_t n;
  check_query(in);
  n = make_message(in, kind, text);
  message = span_of(at_end(text, n), n);
  answer = answer_to(&once, message, kind);
  EXPECT(answer >= DNS_STRAY && answer <= DNS_GOOD);
  check_known(answer, &once, &before, message);
  check_names(message);
  /* What stands behind an answer is nothing to it; half of one may be bad. */
  text[n] = 0xC0;
  if (answer != DNS_STRAY && answer != DNS_USELESS) {
    message = span_of(at_end(text, n + 1), n + 1);
    EXPECT(answer_to(&twice, message, kind) == answer);
    EXPECT(memcmp(&once, &twice, sizeof once) == 0);
  }
  twice = before;
  n = n * kind / 256;
  message = span_of(at_end(text, n), n);
  answer = answer_to(&twice, message, kind);
  check_known(answer, &twice, &before, message);
  return 0;
}
