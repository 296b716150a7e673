#!/bin/sh
# README's example with a server: each instruction runs once, its state was
# stored before, and the server hears what became of it.
#
# usage: B=build tests/peers/example.sh
. "$(dirname "$0")/common.inc"
. tests/bearssl.inc

sed -n '/^```c$/,/^```$/p' README.md | grep -v '^```' >"$tmp/player.c"
cat >>"$tmp/player.c" <<'C'
#include <stdlib.h>
#include <string.h>
static unsigned char stored[sizeof memory];
void store(const void *bytes, size_t size) { memcpy(stored, bytes, size); }
uint32_t random_bits(void) { return 0; }
bool run(const hbeat_instruction *i) {
    if (memcmp(stored, &memory, sizeof memory) != 0) exit(1);
    puts(i->name);
    return strcmp(i->name, "reload") == 0;
}
void wait_ms(uint32_t ms) {
    static int left = 3;
    (void)ms;
    if (left-- == 0) exit(fflush(stdout));
}
int main(int argc, char **argv) {
    static char pem[4096];
    static unsigned char arena[sizeof pem * 2];
    hbeat_anchors anchors = {.arena = arena, .arena_size = sizeof arena};
    hbeat_config cfg = {.device = "LCUID-LD-1", .app = "LCUID-LAP-1",
        .token = "token", .address = "127.0.0.1",
        .port = (uint16_t)atoi(argv[argc - 1]),
        .tls_buffer = tls, .tls_buffer_size = sizeof tls,
        .reply_buffer = body, .reply_buffer_size = sizeof body};
    if (hbeat_anchors_pem(&anchors, pem, fread(pem, 1, sizeof pem, stdin)))
        return 1;
    cfg.anchors = anchors.list;
    cfg.anchor_count = anchors.count;
    if (hbeat_memory_load(&memory, NULL, 0, NULL)) return 1;
    if (hbeat_init(&client, &cfg)) return 1;
    beat_for_ever();
}
C

# shellcheck disable=SC2086
check 'it compiles' $CC -std=c99 $BR_INC -I. -o "$tmp/player" \
    "$tmp/player.c" heartbeat.c $BR_LIB
echo token >"$tmp/plain-token"
start "$tmp/server" 'listening on' "$B/lucitd" --port 0 \
    --cert "$certs/server.pem" --key "$certs/server.key" \
    --device LCUID-LD-1 --app LCUID-LAP-1 --token-file "$tmp/plain-token" \
    --instruction reload --instruction volume
"$tmp/player" "$port" <"$certs/ca.pem" >"$out" 2>"$err"
check 'it ends well' test $? -eq 0
check 'each instruction runs once' \
    test "$(tr '\n' ' ' <"$out")" = 'reload volume '
check 'the server hears what became of them' \
    test "$(sed -n 's/^POST .*\/\([a-z]*\) 200 .*/\1/p' "$tmp/server" |
        tr '\n' ' ')" = 'heartbeat acknowledge heartbeat failed heartbeat '
done_testing
