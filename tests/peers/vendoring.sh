#!/bin/sh
# What README.md says under "Vendoring", done in a folder of its own: a player is
# built by the lines for CMake and by those for make, with roots that were made
# by the lines for them, and sends a heartbeat to the server of the last lines.
#
# usage: B=build tests/peers/vendoring.sh
. "$(dirname "$0")/common.inc"
. tests/bearssl.inc
need cmake curl make
unset MAKEFLAGS MFLAGS MAKELEVEL # of a make that runs this

# The n-th piece of the section that stands between ```KIND and ```.
piece() { # KIND N
    sed -n '/^## Vendoring/,/^## The command/p' README.md | awk -v n="$2" \
        -v fence="\`\`\`$1" '
        $0 == "```" && inside { inside = 0; next }
        /^```/ { inside = 1; show = $0 == fence && ++seen == n; next }
        inside && show'
}

succeeds() { # FUNCTION ARGUMENT...
    ("$@") >"$out" 2>"$err"
    status=$?
    [ "$status" -eq 0 ]
}

tree=$tmp/tree
mkdir -p "$tree/heartbeat" "$tmp/bearssl/build"
cp heartbeat.h heartbeat.c "$tree/heartbeat"
ln -s "$B" "$tree/build"

# A tree of BearSSL as one built there is, made of what this is built with.
library=$BR_LIB
[ "$library" != -lbearssl ] ||
    library=$($CC -print-file-name=libbearssl.a)
ln -s "$(realpath "$(bearssl_headers)")" "$tmp/bearssl/inc"
ln -s "$(realpath "$library")" "$tmp/bearssl/build"

cat >"$tree/player.c" <<'C'
#include "heartbeat.h"
#include "roots.h"
#include <stdio.h>
#include <stdlib.h>

static unsigned char tls[HBEAT_TLS_BUFFER_SIZE];
static char body[HBEAT_REPLY_BUFFER_SIZE];
static hbeat_client client;

int main(int argc, char **argv) {
  hbeat_config cfg = {.device = "LCUID-LD-1", .app = "LCUID-LAP-1",
      .token = "a-token", .address = "127.0.0.1",
      .address_port = (uint16_t)atoi(argv[argc - 1]),
      .anchors = trusted_roots, .anchor_count = TRUSTED_ROOT_COUNT,
      .tls_buffer = tls, .tls_buffer_size = sizeof tls,
      .reply_buffer = body, .reply_buffer_size = sizeof body};
  hbeat_request beat = {.lightning_version = "4.2.1"};
  hbeat_reply reply = {0};
  hbeat_error e = hbeat_init(&client, &cfg);
  if (e == HBEAT_OK) e = hbeat_send(&client, &beat, &reply);
  puts(reply.instruction.name ? reply.instruction.name : "-");
  hbeat_close(&client);
  return e != HBEAT_OK;
}
C

# ---- The server ----------------------------------------------------------

# On any port, and as the process that is stopped in the end.
piece '' 3 | sed 's/ 8443 / 0 /; s/^build/exec &/' >"$tree/serve"
serve() {
    cd "$tree" && exec sh ./serve
}
start "$tmp/server" 'listening on' serve
check 'the server starts' grep -q '^exec build/lucitd' "$tree/serve"

# ---- The roots -----------------------------------------------------------

# The names of the real server and of the system's bundle lead to those of here.
cat "$certs/other-ca.pem" "$certs/ca.pem" "$certs/rsa4096-ca.pem" \
    >"$tmp/bundle.pem"
cat >"$tmp/.curlrc" <<CURL
connect-to = "api.lucit.app:443:127.0.0.1:$port"
cacert = "$certs/ca.pem"
CURL
piece '' 2 | sed "s|/etc/ssl/certs/ca-certificates.crt|$tmp/bundle.pem|" \
    >"$tree/make-roots"
make_roots() {
    cd "$tree" && HOME=$tmp CURL_HOME=$tmp sh -e ./make-roots
}
check 'the lines for the roots run' succeeds make_roots
check '... and give the one that is needed' \
    grep -q '^/\* 1: heartbeat test CA \*/$' "$tree/roots.h"
check '... and no other' grep -qx '#define TRUSTED_ROOT_COUNT 1' "$tree/roots.h"

# ---- CMake and make ------------------------------------------------------

beats() { # PROGRAM
    timeout 60 "$1" "$port" >"$out" 2>"$err"
    status=$?
    [ "$status" -eq 0 ]
}

{
    echo 'cmake_minimum_required(VERSION 3.16)'
    echo 'project(player C)'
    echo 'add_executable(player player.c)'
    piece cmake 1
} >"$tree/CMakeLists.txt"
with_cmake() {
    cmake -S "$tree" -B "$tmp/cmake" -DBEARSSL="$tmp/bearssl" \
        -DCMAKE_C_FLAGS='-Wall -Wextra -Wpedantic -Werror' &&
        cmake --build "$tmp/cmake" --verbose
}
with_make() { # OPTION...
    make -C "$tree" BEARSSL="$tmp/bearssl" "$@"
}
uses_the_flags() { # FILE
    grep -q -e '-ffunction-sections -fno-asynchronous-unwind-tables' "$1" &&
        grep -q -e '-Wl,--gc-sections' "$1" &&
        grep -q -e "-isystem $tmp/bearssl/inc" "$1"
}

check 'CMake builds a player' succeeds with_cmake
check '... by these flags' uses_the_flags "$out"
check '... that sends a heartbeat' beats "$tmp/cmake/player"
check '... and gets the instruction' grep -qx reload "$out"

piece make 1 >"$tree/Makefile"
check 'make builds a player' succeeds with_make
check '... by these flags' uses_the_flags "$out"
check '... that sends a heartbeat' beats "$tree/player"

# ---- What the flags are for ------------------------------------------------

text() { # FILE
    size "$1" | awk 'NR == 2 { print $1 }'
}
lean=$(text "$tree/player")
check 'make builds a player without the flags' \
    succeeds with_make -B CFLAGS='-std=c99 -Os' LDFLAGS=
usual=$(text "$tree/player")
echo "# note: $lean bytes, $usual without the flags"
check '... which save 10,000 bytes and more' test "$((usual - lean))" -gt 10000
done_testing
