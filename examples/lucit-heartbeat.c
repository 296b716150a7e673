/*
 * lucit-heartbeat - sends heartbeats from the command line, for cron or a
 * shell script.  The sections stand in the order of a run: options, the proxy,
 * files, what is printed, the heartbeats, and a reply from a file.
 */
#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L
#endif

#include "heartbeat.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define API "https://api.lucit.app"
#define SYSTEM_CA "/etc/ssl/certs/ca-certificates.crt"
#define EXIT_USAGE 2

/* ---- Options ---------------------------------------------------------- */

typedef struct options {
    const char *device, *app, *token_file, *lightning_version;
    const char *url, *connect, *proxy, *ca, *session;
    const char *timeout, *count, *interval, *decode;
    bool json, dry_run;
    const char *const *info;
    size_t info_count;
} options;

static const char usage[] =
    "usage: lucit-heartbeat [options]      one heartbeat, or --count of them\n"
    "  --device LCUID          the device that is alive\n"
    "  --app LCUID             the app, for AppIdV3\n"
    "  --token-file FILE       holds the Bearer token (else: $LUCIT_TOKEN)\n"
    "  --lightning-version V   the version of the player\n"
    "  --info TEXT             a line of device_info; may be repeated\n"
    "  --url https://HOST[:PORT]        default: " API "\n"
    "  --connect ADDRESS[:PORT]         where HOST is, in figures\n"
    "  --proxy http://[USER:PASSWORD@]HOST[:PORT]     port 80 if not given;\n"
    "                          else: $https_proxy, but not for $no_proxy\n"
    "  --ca FILE               trusted roots in PEM; default: the system's\n"
    "  --session FILE          keeps the TLS session, a secret, between runs\n"
    "  --timeout MS            for a whole heartbeat; default: 30000\n"
    "  --count N               how many; without --interval, 60 s apart\n"
    "  --interval SECONDS      from start to start; without --count, for ever\n"
    "  --json                  one JSON object a heartbeat\n"
    "  --dry-run               print the request, the token redacted\n"
    "  --decode FILE           decode a reply's body (-: standard input)\n"
    "  --version  --help\n"
    "exit status: 0 all went well, 1 a heartbeat failed, 2 wrong usage\n";

/*
 * A standard descriptor that came closed would be given to the connection,
 * and what is printed would go to the server: it is held here instead, for
 * reading, so that printing to it fails.
 */
static void hold_descriptors(void) {
    int fd;

    do fd = open("/dev/null", O_RDONLY);
    while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd >= 0) close(fd);
}

/* The exit status, unless standard output did not take all. */
static int printed(int status) {
    return fflush(stdout) != 0 || ferror(stdout) ? EXIT_FAILURE : status;
}

static void warn(const char *what, const char *which) {
    fprintf(stderr, "lucit-heartbeat: %s%s%s\n", what, which ? ": " : "",
            which ? which : "");
}

static void die(const char *what, const char *which) {
    warn(what, which);
    exit(EXIT_USAGE);
}

/* Where an option's value goes; NULL for one that is not known. */
static const char **value_of(options *o, const char *name, size_t size) {
    const struct {
        const char *name;
        const char **value;
    } known[] = {
        {"--device", &o->device},
        {"--app", &o->app},
        {"--token-file", &o->token_file},
        {"--lightning-version", &o->lightning_version},
        {"--url", &o->url},
        {"--connect", &o->connect},
        {"--proxy", &o->proxy},
        {"--ca", &o->ca},
        {"--session", &o->session},
        {"--timeout", &o->timeout},
        {"--count", &o->count},
        {"--interval", &o->interval},
        {"--decode", &o->decode},
    };
    size_t i;

    for (i = 0; i < sizeof known / sizeof known[0]; i++)
        if (strlen(known[i].name) == size &&
            memcmp(known[i].name, name, size) == 0)
            return known[i].value;
    return NULL;
}

/* An option without a value; false if it is none of these. */
static bool take_switch(options *o, const char *name) {
    if (strcmp(name, "--json") == 0) {
        o->json = true;
    } else if (strcmp(name, "--dry-run") == 0) {
        o->dry_run = true;
    } else if (strcmp(name, "--help") == 0) {
        fputs(usage, stdout);
        exit(printed(EXIT_SUCCESS));
    } else if (strcmp(name, "--version") == 0) {
        printf("lucit-heartbeat %s\n", hbeat_version());
        exit(printed(EXIT_SUCCESS));
    } else {
        return false;
    }
    return true;
}

static char proxy[1024]; /* its URL, then the parts of that */

static const char *keep_proxy(const char *url, const char *source) {
    size_t size = strlen(url);

    if (size >= sizeof proxy) die("too long", source);
    return memcpy(proxy, url, size + 1);
}

/*
 * `--name value` or `--name=value`.  The values of --info gather at the front
 * of argv, which has room for all of them.  A password goes out of argv, where
 * every user of the machine can read it.
 */
static void parse_options(options *o, int argc, char **argv) {
    int i;

    o->info = (const char *const *)argv;
    for (i = 1; i < argc; i++) {
        size_t size = strcspn(argv[i], "=");
        bool info = size == 6 && memcmp(argv[i], "--info", size) == 0;
        const char **value = value_of(o, argv[i], size);
        char *given = argv[i] + size + 1;

        if (take_switch(o, argv[i])) continue;
        if (argv[i][size] == '\0') given = argv[i + 1];
        argv[i][size] = '\0'; /* no error text holds a value */
        if (!info && !value)
            die("unknown option, see --help", *argv[i] == '-' ? argv[i] : NULL);
        if (!given) die("a value is missing", argv[i]);
        if (given == argv[i + 1]) i++;
        if (value == &o->proxy) {
            char *at = strrchr(given, '@');
            *value = keep_proxy(given, "--proxy");
            if (at) memset(given, '*', (size_t)(at - given));
        } else if (value) {
            *value = given;
        } else {
            argv[o->info_count++] = given;
        }
    }
}

static double number(const char *text, const char *option, double low,
                     double high) {
    char *end;
    double n = strtod(text, &end);

    if (*text == '\0' || *end != '\0' || !(n >= low && n <= high))
        die("not a number, or out of range", option);
    return n;
}

static double whole_number(const char *text, const char *option, double high) {
    if (strspn(text, "0123456789") != strlen(text))
        die("not a whole number", option);
    return number(text, option, 1, high);
}

/* Splits NAME[:PORT][/] or [V6][:PORT][/] into `name` and *port. */
static void split_port(const char *text, const char *option, char *name,
                       size_t size, uint16_t *port) {
    size_t length = strlen(text);
    char *end;

    if (length > 0 && text[length - 1] == '/') length--;
    if (length >= size) die("too long", option);
    memcpy(name, text, length);
    name[length] = '\0';
    if (*name == '[') {
        memmove(name, name + 1, length);
        end = strchr(name, ']');
        if (!end) die("a bracket is not closed", option);
        *end++ = '\0';
    } else {
        end = name + strcspn(name, ":");
        if (strchr(end, ':') != strrchr(end, ':')) return; /* IPv6 */
    }
    if (*end == '\0') return;
    if (*end != ':') die("not a host and a port", option);
    *end = '\0';
    *port = (uint16_t)whole_number(end + 1, option, 65535);
}

/* ---- The proxy -------------------------------------------------------- */

static void decode_percent(char *text, const char *source) {
    char *to = text;

    for (; *text; text++, to++) {
        *to = *text;
        if (*text == '%') {
            char digits[3] = {text[1], text[1] ? text[2] : '\0', '\0'};
            bool hex = strspn(digits, "0123456789abcdefABCDEF") == 2;
            *to = hex ? (char)strtol(digits, NULL, 16) : '\0';
            if (*to == '\0') die("a malformed percent code", source);
            text += 2;
        }
    }
    *to = '\0';
}

/* Takes [http://][USER[:PASSWORD]@]HOST[:PORT] apart. */
static void use_proxy(hbeat_config *cfg, const char *source) {
    static char host[256];
    char *url = proxy + (strncasecmp(proxy, "http://", 7) == 0 ? 7 : 0);
    char *at = strrchr(url, '@');

    if (strstr(url, "://")) die("not http://HOST[:PORT]", source);
    split_port(at ? at + 1 : url, source, host, sizeof host, &cfg->proxy_port);
    cfg->proxy = host;
    if (!at) return;
    if (!memchr(url, ':', (size_t)(at - url))) *at++ = ':';
    *at = '\0';
    decode_percent(url, source);
    cfg->proxy_login = url;
}

/* A name in the list stands for all below it, too, and `*` for every one. */
static bool is_exempt(const char *list, const char *host, unsigned port) {
    size_t host_size = strlen(host);

    if (host_size > 0 && host[host_size - 1] == '.') host_size--;
    for (; *list; list += strcspn(list, ", \t")) {
        size_t size = strcspn(list += strspn(list, ", \t.:"), ":, \t");
        const char *end = list + size;
        const char *tail = host_size > size ? host + host_size - size : host;
        bool below = (tail == host || tail[-1] == '.') &&
                     strncasecmp(tail, list, size) == 0;
        if ((below || (size == 1 && *list == '*')) &&
            (*end != ':' || strtoul(end + 1, NULL, 10) == port))
            return true;
    }
    return false;
}

/* Of a variable of two names; as for curl, that in small letters goes first. */
static const char *either(const char *name, const char *capitals) {
    const char *value = getenv(name);

    return value && *value ? value : getenv(capitals);
}

static void find_proxy(const options *o, hbeat_config *cfg) {
    const char *source = "--proxy";

    if (!o->proxy && !o->connect) {
        const char *url = either("https_proxy", "HTTPS_PROXY");
        const char *list = either("no_proxy", "NO_PROXY");
        if (!url || (list && is_exempt(list, cfg->host, cfg->port))) return;
        keep_proxy(url, source = "https_proxy");
    }
    if (*proxy) use_proxy(cfg, source);
}

/* ---- Files ------------------------------------------------------------ */

static char token[16384];
static char name[512], address[128]; /* of --url and --connect */
static unsigned char arena[262144];  /* room for four hundred roots */
static hbeat_client client;

static FILE *open_file(const char *path) {
    FILE *file = fopen(path, "rb");

    if (!file) die(path, strerror(errno));
    return file;
}

/* The token's file, without the line end that editors leave there. */
static void read_token(const options *o) {
    const char *variable = getenv("LUCIT_TOKEN");
    size_t size;

    if (o->token_file) {
        FILE *file = open_file(o->token_file);
        size = fread(token, 1, sizeof token, file);
        fclose(file);
        if (size == sizeof token) die("too long", o->token_file);
    } else {
        if (!variable) die("no --token-file and no LUCIT_TOKEN", NULL);
        size = strlen(variable);
        if (size >= sizeof token) die("too long", "LUCIT_TOKEN");
        memcpy(token, variable, size);
    }
    while (size > 0 && strchr("\r\n\t ", token[size - 1])) size--;
    token[size] = '\0';
}

static void load_anchors(const char *path, hbeat_anchors *anchors) {
    static char pem[1 << 20];
    FILE *file = open_file(path);
    size_t size = fread(pem, 1, sizeof pem, file);
    hbeat_error e;

    fclose(file);
    if (size == sizeof pem) die("too long", path);
    anchors->arena = arena;
    anchors->arena_size = sizeof arena;
    e = hbeat_anchors_pem(anchors, pem, size);
    if (e == HBEAT_ERR_TRUNCATED) die("ends inside a certificate", path);
    if (e == HBEAT_ERR_TOO_BIG) die("more certificates than fit", path);
    if (e != HBEAT_OK) die("no certificate that can be used", path);
}

/*
 * Offers the session that an earlier run left; says whether this one may leave
 * its own.  A device is not to be replaced by a file.
 */
static bool load_session(const char *path) {
    struct stat s;
    FILE *file;

    if (stat(path, &s) == 0 && !S_ISREG(s.st_mode)) {
        warn(path, "not a regular file");
        return false;
    }
    file = fopen(path, "rb");
    if (file) {
        unsigned char bytes[HBEAT_SESSION_SIZE + 1];
        size_t size = fread(bytes, 1, sizeof bytes, file);
        fclose(file);
        hbeat_session_load(&client, bytes, size);
    } else if (errno != ENOENT) {
        warn(path, strerror(errno));
    }
    return true;
}

/* Whole or not at all, and by mkstemp() for its owner's eyes only. */
static void save_session(const char *path) {
    unsigned char bytes[HBEAT_SESSION_SIZE];
    char beside[4096];
    bool saved;
    int fd;

    if (!hbeat_session_save(&client, bytes)) return;
    snprintf(beside, sizeof beside, "%s.XXXXXX", path);
    fd = mkstemp(beside);
    saved = fd >= 0 && write(fd, bytes, sizeof bytes) == sizeof bytes &&
            fsync(fd) == 0 && rename(beside, path) == 0;
    if (!saved) warn(path, strerror(errno));
    if (fd < 0) return;
    if (!saved) unlink(beside);
    close(fd);
}

/* One that was offered and came to nothing must not be so for ever. */
static void drop_session(const char *path) {
    unsigned char bytes[HBEAT_SESSION_SIZE];

    if (!hbeat_session_save(&client, bytes)) unlink(path);
}

/* ---- What is printed -------------------------------------------------- */

static const char *const connections[] = {NULL, "new", "resumed", "kept"};

/* A string in JSON's quotes, which also keep a terminal from obeying it. */
static void print_string(FILE *out, const char *text) {
    if (!text) {
        fputs("null", out);
        return;
    }
    putc('"', out);
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\')
            fprintf(out, "\\%c", c);
        else if (c < 0x20 || c == 0x7F)
            fprintf(out, "\\u%04x", c);
        else if (c == 0xC2 && (unsigned char)text[1] < 0xA0)
            fprintf(out, "\\u%04x", (unsigned char)*++text); /* C1 */
        else
            putc(c, out);
    }
    putc('"', out);
}

static void print_number(FILE *out, int64_t n) {
    if (n == HBEAT_NONE)
        fputs("null", out);
    else
        fprintf(out, "%lld", (long long)n);
}

/*
 * A JSON value as it came, on one line: a line end in it is white space.
 * Other bytes that a terminal obeys stand in strings only, and are escaped.
 */
static void print_value(FILE *out, hbeat_json value) {
    size_t i;

    if (value.type == HBEAT_JSON_NONE) fputs("null", out);
    for (i = 0; i < value.size; i++) {
        unsigned char c = (unsigned char)value.text[i];
        if (c == 0xC2 && (unsigned char)value.text[i + 1] < 0xA0)
            fprintf(out, "\\u%04x", (unsigned char)value.text[++i]);
        else if (c == 0x7F)
            fputs("\\u007f", out);
        else
            putc(c < 0x20 ? ' ' : c, out);
    }
}

static void print_member(const char *key, const char *text) {
    printf(",\"%s\":", key);
    print_string(stdout, text);
}

static void print_member_number(const char *key, int64_t n) {
    printf(",\"%s\":", key);
    print_number(stdout, n);
}

static void print_instruction(const hbeat_instruction *i) {
    fputs("{\"instruction\":", stdout);
    print_string(stdout, i->name);
    fputs(",\"parameters\":", stdout);
    print_value(stdout, i->parameters);
    print_member("run_at", i->run_at);
    print_member_number("run_at_s", i->run_at_s);
    print_member_number("status", i->status);
    print_member("lcuid", i->lcuid);
    print_member("created_at", i->created_at);
    print_member("updated_at", i->updated_at);
    putchar('}');
}

static void print_json(hbeat_error e, const hbeat_reply *r,
                       const char *detail) {
    printf("{\"result\":\"%s\"", hbeat_error_name(e));
    print_member_number("http_status",
                        r->http_status ? r->http_status : HBEAT_NONE);
    printf(",\"success\":%s,\"instruction\":", r->success ? "true" : "false");
    if (r->instruction.name)
        print_instruction(&r->instruction);
    else
        fputs("null", stdout);
    print_member_number("retry_after_s", r->retry_after_s);
    print_member_number("server_time_s", r->server_time_s);
    print_member("message", r->message);
    print_member("detail", detail);
    print_member("connection", connections[r->connection]);
    print_member_number("clock_offset_s", r->clock_offset_s);
    puts("}");
}

static void print_text(hbeat_error e, const hbeat_reply *r,
                       const char *detail) {
    FILE *out = e == HBEAT_OK ? stdout : stderr;

    fprintf(out, "%s: %s\n", hbeat_error_name(e), detail);
    if (r->message) {
        fputs("  message      ", out);
        print_string(out, r->message);
        putc('\n', out);
    }
    if (r->retry_after_s != HBEAT_NONE)
        fprintf(out, "  retry after  %lld s\n", (long long)r->retry_after_s);
    if (r->connection != HBEAT_CONNECTION_NONE)
        fprintf(out, "  connection   %s\n", connections[r->connection]);
    if (r->clock_offset_s != HBEAT_NONE && llabs(r->clock_offset_s) >= 60)
        fprintf(out, "  clock        %lld s %s\n", llabs(r->clock_offset_s),
                r->clock_offset_s > 0 ? "slow" : "fast");
    if (!r->instruction.name) return;
    fputs("  instruction  ", out);
    print_string(out, r->instruction.name);
    fputs("\n  parameters   ", out);
    print_value(out, r->instruction.parameters);
    fputs("\n  run at       ", out);
    print_string(out, r->instruction.run_at ? r->instruction.run_at : "now");
    fputs("\n  lcuid        ", out);
    print_string(out, r->instruction.lcuid);
    putc('\n', out);
}

static void print_outcome(const options *o, hbeat_error e, const hbeat_reply *r,
                          const char *detail) {
    if (o->json)
        print_json(e, r, detail);
    else
        print_text(e, r, detail);
    fflush(stdout);
}

/* ---- Heartbeats ------------------------------------------------------- */

static unsigned char tls[HBEAT_TLS_BUFFER_SIZE];
static char body[262144];

static void read_url(const char *url, hbeat_config *cfg) {
    static const char scheme[] = "https://";
    struct in6_addr any;

    if (strncmp(url, scheme, sizeof scheme - 1) != 0)
        die("not https://HOST[:PORT]", "--url");
    cfg->port = 443;
    cfg->host = name;
    split_port(url + sizeof scheme - 1, "--url", name, sizeof name, &cfg->port);
    if (inet_pton(AF_INET, name, &any) == 1 ||
        inet_pton(AF_INET6, name, &any) == 1)
        die("the host must be a name, which its certificate is checked "
            "against; an address goes to --connect",
            "--url");
}

static void configure(const options *o, hbeat_config *cfg) {
    if (!o->device) die("missing, see --help", "--device");
    if (!o->app) die("missing, see --help", "--app");
    cfg->device = o->device;
    cfg->app = o->app;
    cfg->token = token;
    cfg->reply_buffer = body;
    cfg->reply_buffer_size = sizeof body;
    if (o->timeout)
        cfg->timeout_ms =
            (uint32_t)whole_number(o->timeout, "--timeout", 86400000);
    read_url(o->url, cfg);
    if (o->connect) {
        split_port(o->connect, "--connect", address, sizeof address,
                   &cfg->address_port);
        cfg->address = address;
    }
    find_proxy(o, cfg);
}

/* The request that would be sent, with another token in its place. */
static int dry_run(hbeat_config *cfg, const hbeat_beat *beat) {
    hbeat_exchange x;
    hbeat_reply reply;
    char window[1024];
    size_t n;

    cfg->token = "[redacted]";
    if (hbeat_begin_beat(&x, cfg, beat, &reply) != HBEAT_OK) die(x.what, NULL);
    while ((n = hbeat_pull(&x, window, sizeof window)) > 0)
        fwrite(window, 1, n, stdout);
    putchar('\n');
    return EXIT_SUCCESS;
}

/*
 * Sleeps until `seconds` after *start, and moves *start there.  Beats that a
 * slow one took the time of are left out, not made up for.
 */
static void sleep_until(struct timespec *start, double seconds) {
    struct timespec now;
    time_t whole = (time_t)seconds;

    start->tv_sec += whole;
    start->tv_nsec += (long)((seconds - (double)whole) * 1e9);
    if (start->tv_nsec >= 1000000000) {
        start->tv_nsec -= 1000000000;
        start->tv_sec++;
    }
    clock_gettime(CLOCK_MONOTONIC, &now);
    if (now.tv_sec > start->tv_sec ||
        (now.tv_sec == start->tv_sec && now.tv_nsec > start->tv_nsec))
        *start = now;
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, start, NULL) ==
           EINTR)
        ;
}

static int run(const options *o, const hbeat_config *cfg,
               const hbeat_beat *beat) {
    double interval_s =
        o->interval ? number(o->interval, "--interval", 0, 86400) : 60;
    int64_t left = o->count ? (int64_t)whole_number(o->count, "--count", 1e15)
                   : o->interval ? INT64_MAX
                                 : 1;
    int status = EXIT_SUCCESS;
    struct timespec start;
    bool keeps;

    if (hbeat_init(&client, cfg) != HBEAT_OK) die(hbeat_explain(&client), NULL);
    keeps = o->session && load_session(o->session);
    clock_gettime(CLOCK_MONOTONIC, &start);
    for (; left > 0; left--) {
        hbeat_reply reply;
        hbeat_error e = hbeat_send(&client, beat, &reply);
        if (e == HBEAT_ERR_ARGUMENT) die(hbeat_explain(&client), NULL);
        print_outcome(o, e, &reply, hbeat_explain(&client));
        if (keeps && reply.connection == HBEAT_CONNECTION_NEW)
            save_session(o->session); /* otherwise it is what it was */
        if (keeps && reply.connection == HBEAT_CONNECTION_NONE)
            drop_session(o->session);
        if (e != HBEAT_OK) status = EXIT_FAILURE;
        if (left > 1) sleep_until(&start, interval_s);
    }
    hbeat_close(&client);
    return status;
}

/* ---- A reply from a file ---------------------------------------------- */

static int decode(const options *o) {
    bool standard = strcmp(o->decode, "-") == 0;
    FILE *file = standard ? stdin : open_file(o->decode);
    size_t size = fread(body, 1, sizeof body, file);
    hbeat_reply reply = {.http_status = 0,
                         .retry_after_s = HBEAT_NONE,
                         .server_time_s = HBEAT_NONE,
                         .clock_offset_s = HBEAT_NONE};
    const char *what = "the file is larger than 256 KiB";
    hbeat_error e = HBEAT_ERR_TOO_BIG;

    if (ferror(file)) die(o->decode, strerror(errno));
    if (!standard) fclose(file);
    if (size < sizeof body) e = hbeat_decode(&reply, body, size, &what);
    print_outcome(o, e, &reply, what ? what : "the reply is the API's");
    return e == HBEAT_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}

int main(int argc, char **argv) {
    options o = {.url = API, .ca = SYSTEM_CA};
    hbeat_config cfg = {.tls_buffer = tls, .tls_buffer_size = sizeof tls};
    hbeat_anchors anchors = {.arena = NULL};
    hbeat_beat beat = {.lightning_version = NULL};
    int status;

    hold_descriptors();
    parse_options(&o, argc, argv);
    if (o.decode) {
        status = decode(&o);
    } else {
        configure(&o, &cfg);
        if (!o.lightning_version) die("missing", "--lightning-version");
        beat.lightning_version = o.lightning_version;
        beat.device_info = o.info;
        beat.device_info_count = o.info_count;
        if (o.dry_run) {
            status = dry_run(&cfg, &beat);
        } else {
            read_token(&o);
            load_anchors(o.ca, &anchors);
            cfg.anchors = anchors.list;
            cfg.anchor_count = anchors.count;
            status = run(&o, &cfg, &beat);
        }
    }
    return printed(status);
}
