/*
 * lucit-heartbeat - sends heartbeats from the command line, for cron or a
 * shell script.  The sections stand in the order of a run: options, files,
 * what is printed, the heartbeats, and a reply from a file.
 */
#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L
#endif

#include "heartbeat.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define SYSTEM_CA "/etc/ssl/certs/ca-certificates.crt"
#define EXIT_USAGE 2

/* ---- Options ---------------------------------------------------------- */

typedef struct options {
    const char *device, *app, *token_file, *lightning_version;
    const char *url, *connect, *ca, *timeout, *count, *interval, *decode;
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
    "  --url https://HOST[:PORT]        default: https://api.lucit.app\n"
    "  --connect ADDRESS[:PORT]         where HOST is, in figures\n"
    "  --ca FILE               trusted roots in PEM; default: the system's\n"
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

static void die(const char *what, const char *which) {
    fprintf(stderr, "lucit-heartbeat: %s%s%s\n", what, which ? ": " : "",
            which ? which : "");
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
        {"--ca", &o->ca},
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

/*
 * `--name value` or `--name=value`.  The values of --info gather at the front
 * of argv, which has room for all of them.
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
        if (!info && !value) die("unknown option, see --help", argv[i]);
        if (!given) die("a value is missing", argv[i]);
        if (given == argv[i + 1]) i++;
        if (value)
            *value = given;
        else
            argv[o->info_count++] = given;
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

/* Splits NAME, NAME:PORT, [V6] or [V6]:PORT into `name` and *port. */
static void split_port(const char *text, const char *option, char *name,
                       size_t size, uint16_t *port) {
    bool bracket = *text == '[';
    const char *first = strchr(text, ':');
    const char *end = bracket                            ? strchr(text, ']')
                      : first && !strchr(first + 1, ':') ? first
                                                         : text + strlen(text);
    size_t length;

    if (!end) die("a bracket is not closed", option);
    text += bracket;
    length = (size_t)(end - text);
    if (length >= size) die("too long", option);
    memcpy(name, text, length);
    name[length] = '\0';
    end += bracket;
    if (*end == ':')
        *port = (uint16_t)whole_number(end + 1, option, 65535);
    else if (*end != '\0')
        die("not a host and a port", option);
}

/* ---- Files ------------------------------------------------------------ */

static char token[16384];
static char name[512], address[128]; /* of --url and --connect */
static unsigned char arena[262144];  /* room for four hundred roots */

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
    char piece[4096];
    FILE *file = open_file(path);
    hbeat_error e;
    size_t size;

    anchors->arena = arena;
    anchors->arena_size = sizeof arena;
    while ((size = fread(piece, 1, sizeof piece, file)) > 0)
        hbeat_anchors_pem(anchors, piece, size);
    fclose(file);
    e = hbeat_anchors_pem(anchors, NULL, 0);
    if (e == HBEAT_ERR_TRUNCATED) die("ends inside a certificate", path);
    if (e == HBEAT_ERR_TOO_BIG) die("more certificates than fit", path);
    if (e != HBEAT_OK) die("no certificate that can be used", path);
}

/* ---- What is printed -------------------------------------------------- */

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
static hbeat_client client;

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
    if (o->url) {
        static const char scheme[] = "https://";
        char authority[sizeof name];
        size_t size;
        if (strncmp(o->url, scheme, sizeof scheme - 1) != 0)
            die("not https://HOST[:PORT]", "--url");
        size = strlen(o->url + sizeof scheme - 1);
        if (size >= sizeof authority) die("too long", "--url");
        memcpy(authority, o->url + sizeof scheme - 1, size + 1);
        if (size > 0 && authority[size - 1] == '/') authority[size - 1] = '\0';
        split_port(authority, "--url", name, sizeof name, &cfg->port);
        cfg->host = name;
    }
    if (o->connect) {
        split_port(o->connect, "--connect", address, sizeof address,
                   &cfg->address_port);
        cfg->address = address;
    }
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

    if (hbeat_init(&client, cfg) != HBEAT_OK) die(hbeat_explain(&client), NULL);
    clock_gettime(CLOCK_MONOTONIC, &start);
    for (; left > 0; left--) {
        hbeat_reply reply;
        hbeat_error e = hbeat_send(&client, beat, &reply);
        if (e == HBEAT_ERR_ARGUMENT) die(hbeat_explain(&client), NULL);
        print_outcome(o, e, &reply, hbeat_explain(&client));
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
                         .server_time_s = HBEAT_NONE};
    const char *what = "the file is larger than 256 KiB";
    hbeat_error e = HBEAT_ERR_TOO_BIG;

    if (ferror(file)) die(o->decode, strerror(errno));
    if (!standard) fclose(file);
    if (size < sizeof body) e = hbeat_decode(&reply, body, size, &what);
    print_outcome(o, e, &reply, what ? what : "the reply is the API's");
    return e == HBEAT_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}

int main(int argc, char **argv) {
    options o = {.ca = SYSTEM_CA};
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
