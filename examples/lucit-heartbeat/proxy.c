/* The proxy: from the command line, or else from the environment, as curl and
 * others have it: https_proxy, and no_proxy for the hosts that need none.  The
 * names in lower case count before those in upper case. */
#include "daemon.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Decodes %41 and the like in place, or ends the process. */
static void decode_percent(struct daemon *d, char *text, const char *source) {
  char *to = text;

  for (; *text != '\0'; text++, to++) {
    char code[3] = "";
    *to = *text;
    if (*text != '%') continue;
    sscanf(text + 1, "%2[0-9A-Fa-f]", code);
    *to = (char)strtol(code, NULL, 16);
    if (*to == '\0' || code[1] == '\0')
      refuse_value(d, source,
          "two hexadecimal digits, other than 00, must follow each percent sign"
          " in USER:PASSWORD; write the sign itself as %25");
    text += 2;
  }
  *to = '\0';
}

/* Takes [http://][USER[:PASSWORD]@]HOST[:PORT] in d->proxy_url apart. */
static void use_proxy(struct daemon *d, const char *source) {
  hbeat_config *cfg = &d->cfg;
  char *url = d->proxy_url;

  if (strncasecmp(url, "http://", 7) == 0) url += 7;
  if (strstr(url, "://"))
    refuse_value(d, source, "it must be http://[USER:PASSWORD@]HOST[:PORT]");
  char *at = strrchr(url, '@');
  cfg->proxy =
      split_port(d, at ? at + 1 : url, source, d->proxy_host, &cfg->proxy_port);
  if (!at) return;
  /* A user without a password has a colon, too: it takes the place of the @. */
  if (!memchr(url, ':', (size_t)(at - url))) *at++ = ':';
  *at = '\0';
  decode_percent(d, url, source);
  cfg->proxy_login = url;
}

/* Whether a host is the domain of `size` bytes, or below it. */
static bool is_below(
    const char *host, size_t host_size, const char *domain, size_t size) {
  const char *tail = host_size > size ? host + host_size - size : host;

  if (tail != host && tail[-1] != '.') return false;
  return strncasecmp(tail, domain, size) == 0;
}

/* Whether a list exempts a host.  A name in it stands for all below it, too,
 * and `*` for every one; one with a port, for that port alone. */
static bool is_exempt(const char *list, const char *host, unsigned port) {
  size_t host_size = strlen(host);

  if (host_size > 0 && host[host_size - 1] == '.') host_size--;
  while (*list != '\0') {
    list += strspn(list, ", \t.:");
    size_t size = strcspn(list, ":, \t");
    const char *end = list + size;
    bool every = size == 1 && *list == '*';
    bool this_port = *end != ':' || strtoul(end + 1, NULL, 10) == port;
    if (this_port && (every || is_below(host, host_size, list, size)))
      return true;
    list += strcspn(list, ", \t");
  }
  return false;
}

/* A variable of the environment under either name; "" is none. */
static const char *variable(const char *name, const char *other) {
  const char *value = getenv(name);

  if (!value || *value == '\0') value = getenv(other);
  return value && *value != '\0' ? value : NULL;
}

/* --proxy counts before the environment; --connect is a way of its own. */
void find_proxy(struct daemon *d) {
  const struct options *o = &d->options;
  const char *url = variable("https_proxy", "HTTPS_PROXY");
  const char *list = variable("no_proxy", "NO_PROXY");

  if (d->proxy_url[0] != '\0') use_proxy(d, "--proxy");
  if (o->proxy || o->connect || !url) return;
  if (list && is_exempt(list, d->cfg.host, d->cfg.port)) return;
  if (strlen(url) >= VALUE_SIZE)
    die(d, EXIT_USAGE, "https_proxy: it is too long, %d bytes at most",
        VALUE_SIZE - 1);
  memcpy(d->proxy_url, url, strlen(url) + 1);
  use_proxy(d, "https_proxy");
}
