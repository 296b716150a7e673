/* Answers of nameservers.  Control bytes: what kind, and two of flags and one
 * of the number of records for an answer whose question is the right one; or
 * the whole message is the input. */
#include "fuzz.h"

enum { IPV6 = 1, BARE = 2, FULL = 4, NAME = 8 };

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
    size_t i, size = dns_name(message, (at = start, &at), name);
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

/* Each was in the message or there before, and the families take turns. */
static void check_addresses(
    const hbeat_addresses *a, const hbeat_addresses *before, span message) {
  unsigned n, i, seen = 0;
  EXPECT(a->count <= COUNT(a->list) && a->ttl_s <= before->ttl_s);
  EXPECT(a->count >= before->count);
  for (n = 0; n < a->count; n++) {
    const byte *ip = a->list[n], *part = is_v4(ip) ? ip + 12 : ip, *at;
    size_t size = is_v4(ip) ? 4 : 16;
    bool old = false;
    for (i = 0; i < before->count; i++)
      old = old || memcmp(before->list[i], ip, 16) == 0;
    for (at = message.at; at + size <= message.end; at++)
      if (memcmp(at, part, size) == 0) break;
    EXPECT(old || at + size <= message.end);
    if (is_v4(ip) == (n % 2 == 0)) /* out of turn: the rest is as it */
      for (i = n; i < a->count; i++) EXPECT(is_v4(a->list[i]) == is_v4(ip));
  }
  for (n = 0; n < a->count; n++) {
    i = (unsigned)((nth_address(a, n) - a->list[0]) / 16);
    EXPECT(i < a->count && !(seen >> i & 1));
    seen |= 1u << i;
  }
}

static dns_answer answer_to(hbeat_addresses *a, span message, byte kind) {
  unsigned type = kind & IPV6 ? TYPE_AAAA : TYPE_A;
  byte query[DNS_QUERY_MAX];
  size_t size = dns_query(query, ID, names[kind / NAME % COUNT(names)], type);
  return dns_read(a, message, query, size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  span in = span_of(data, size), message;
  byte kind = control(&in), text[MESSAGE_MAX + DNS_QUERY_MAX];
  hbeat_addresses before, once, twice;
  dns_answer answer;
  size_t i, n = 0;
  check_query(in);
  if (length_of(in) > MESSAGE_MAX) in.end = in.at + MESSAGE_MAX;
  if (!(kind & BARE)) {
    n = dns_query(text, ID, names[kind / NAME % COUNT(names)],
        kind & IPV6 ? TYPE_AAAA : TYPE_A);
    text[2] = control(&in);
    text[3] = control(&in);
    text[7] = control(&in);
  }
  memcpy(text + n, in.at, length_of(in));
  n += length_of(in);
  message = span_of(at_end(text, n), n);
  memset(&before, 0, sizeof before);
  before.ttl_s = DAY_S;
  for (i = 0; i < COUNT(before.list) && (kind & FULL); i++) {
    byte ip[16] = {0x20, 1, 0xD, 0xB8};
    if (i & 1) memcpy(ip, v4_prefix, sizeof v4_prefix);
    ip[15] = (byte)i;
    add_address(&before, ip);
  }
  once = twice = before;
  answer = answer_to(&once, message, kind);
  EXPECT(answer >= DNS_STRAY && answer <= DNS_GOOD);
  if (answer == DNS_GOOD) check_addresses(&once, &before, message);
  else EXPECT(memcmp(&once, &before, sizeof once) == 0);
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
  if (answer_to(&twice, message, kind) != DNS_GOOD)
    EXPECT(memcmp(&twice, &before, sizeof twice) == 0);
  else check_addresses(&twice, &before, message);
  return 0;
}
