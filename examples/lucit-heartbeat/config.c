/* The file of --config: options as on the command line, one a line.
 *
 *     # a kiosk
 *     device    LCUID-LD-3f2b8a52
 *     info      screen: 42 inches, portrait
 *     interval  1m
 *     json
 *
 * The value is the rest of the line, without the white space around it; it has
 * no quotes and no escapes, and a # inside it is part of it.  What is wrong is
 * told with its line, and ends the process: no option is passed over. */
#include "daemon.h"

#include <errno.h>
#include <string.h>

#define BLANKS " \t"

/* Cuts the blanks off the end of a text. */
static void trim(char *text) {
  size_t size = strlen(text);

  while (size > 0 && strchr(BLANKS, text[size - 1])) size--;
  text[size] = '\0';
}

/* Takes a line without its end.  A CR is part of no value: a file with nothing
 * else between its lines would be a single one. */
static void take(struct daemon *d, char *line, size_t number) {
  size_t size = strlen(line);

  if (size > 0 && line[size - 1] == '\r') line[size - 1] = '\0';
  if (strchr(line, '\r'))
    die(d, EXIT_USAGE, "%s:%zu: it has a CR that no LF follows",
        d->options.config, number);
  char *name = line + strspn(line, BLANKS);
  if (*name == '\0' || *name == '#') return;
  trim(name);
  char *value = name + strcspn(name, BLANKS);
  if (*value == '\0') {
    take_line(d, name, NULL, number);
    return;
  }
  *value++ = '\0';
  take_line(d, name, value + strspn(value, BLANKS), number);
}

/* Reads the file to d->config; returns its size.  One that is not there may be
 * there at the next start; one that is too long will be so again. */
static size_t load_text(struct daemon *d) {
  const char *path = d->options.config;
  ssize_t n = read_file(path, d->config, sizeof d->config);

  if (n < 0) die(d, EXIT_FILE, "--config %s: %s", path, strerror(errno));
  if (n == sizeof d->config)
    die(d, EXIT_USAGE, "--config %s: it is too long, %d bytes at most", path,
        CONFIG_SIZE - 1);
  d->config[n] = '\0';
  return (size_t)n;
}

/* An editor may have put a byte order mark in front. */
void read_config(struct daemon *d) {
  static const char mark[] = "\xef\xbb\xbf";
  char *line = d->config;
  char *end = line + load_text(d);
  size_t number = 0;

  if (strncmp(line, mark, strlen(mark)) == 0) line += strlen(mark);
  while (line < end) {
    char *line_end = memchr(line, '\n', (size_t)(end - line));
    if (!line_end) line_end = end;
    *line_end = '\0';
    number++;
    if (line + strlen(line) < line_end)
      die(d, EXIT_USAGE, "%s:%zu: it is no text: it has a NUL",
          d->options.config, number);
    take(d, line, number);
    line = line_end + 1;
  }
}

void note_config(struct daemon *d) {
  const char *path = d->options.config;

  if (!path) return;
  note_writers(d, "--config", path);
  if (d->options.config_is_secret) note_readers(d, "--config", path);
}
