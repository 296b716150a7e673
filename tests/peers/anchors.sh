#!/bin/sh
# The roots that `anchors` prints as C: they compile, as C and as C++, are
# constants, are what is in the PEM, and a heartbeat trusts by them.  And which
# ones it takes for those that a server needs.
#
# usage: B=build tests/peers/anchors.sh
. "$(dirname "$0")/common.inc"
need curl g++ nm
. tests/bearssl.inc

anchors() { # ARGUMENT...
    run "$B/anchors" "$@"
    cp "$out" "$tmp/roots.h"
}

# ---- As a part of a program ------------------------------------------------

cat >"$tmp/roots.c" <<'C'
#include <stddef.h>
#include "roots.h"
#ifdef __cplusplus
extern "C"
#endif
const br_x509_trust_anchor *built_in_roots(size_t *count);
const br_x509_trust_anchor *built_in_roots(size_t *count) {
  *count = TRUSTED_ROOT_COUNT;
  return trusted_roots;
}
C
warnings='-Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror'
# shellcheck disable=SC2086
as_c() { # COMPILER STANDARD
    "$1" -std="$2" $warnings -Wstrict-prototypes $BR_INC -fno-pic -O2 -c \
        -o "$tmp/roots.o" "$tmp/roots.c"
}
# shellcheck disable=SC2086
as_cxx() { # COMPILER STANDARD
    "$1" -x c++ -std="$2" $warnings $BR_INC -fno-pic -O2 -c \
        -o "$tmp/roots.o" "$tmp/roots.c"
}
is_constant() {
    nm "$tmp/roots.o" >"$tmp/symbols"
    grep -q ' r .*trusted_roots' "$tmp/symbols" &&
        ! grep ' [bBdDU] ' "$tmp/symbols"
}
for file in heartbeat.c "$(dirname "$0")/rooted.c"; do
    # shellcheck disable=SC2086
    $CC -std=c99 -O1 $BR_INC -I. -c -o "$tmp/$(basename "$file" .c).o" "$file"
done
is_the_same_as() { # PEM-FILE [PORT]
    $CC -no-pie -o "$tmp/rooted" "$tmp/rooted.o" "$tmp/heartbeat.o" \
        "$tmp/roots.o" "$BR_LIB" || return
    run "$tmp/rooted" "$@"
    [ "$status" -eq 0 ] && grep -q "^$count roots$" "$out"
}

echo a-token >"$tmp/plain-token"
start "$tmp/server" 'listening on' "$B/lucitd" --port 0 \
    --cert "$certs/chain.pem" --key "$certs/server.key" \
    --device LCUID-LD-1 --app LCUID-LAP-1 --token-file "$tmp/plain-token"

# Each kind of key; a certificate that is no CA's; one that BearSSL cannot use.
for file in ca rsa4096-ca p384-ca p521-ca server; do
    cat "$certs/$file.pem"
done >"$tmp/kinds.pem"
cat "$certs/ed25519.pem" >>"$tmp/kinds.pem"
count=5
anchors "$tmp/kinds.pem"
check 'one that cannot be used is told' grep -q 'cannot use 1 of' "$err"
for standard in c99 c17; do
    check "roots of each kind as $standard" as_c "$CC" $standard
    check '... are constants' is_constant
    check '... are those of the PEM, and a heartbeat trusts by them' \
        is_the_same_as "$tmp/kinds.pem" "$port"
done
for standard in c++11 c++17 c++20; do
    check "as $standard" as_cxx g++ $standard
    check '... are constants' is_constant
    check '... are those of the PEM, and a heartbeat trusts by them' \
        is_the_same_as "$tmp/kinds.pem" "$port"
done

bundle=/etc/ssl/certs/ca-certificates.crt
anchors $bundle
count=$(grep -c 'BEGIN CERTIFICATE' $bundle)
check "the system's bundle" as_c "$CC" c99
check '... is the same' is_the_same_as $bundle

# ---- What a server needs ---------------------------------------------------

# Of all roots here, those that are printed for a chain, by their names.
all="$certs/ca.pem $certs/other-ca.pem $certs/namesake-ca.pem
    $certs/rsa4096-ca.pem $certs/p384-ca.pem"
needs() { # CHAIN ROOT...
    # shellcheck disable=SC2086
    anchors --chain "$certs/$1.pem" $all
    shift
    sed -n 's/^\/\* [0-9]*: \(.*\) \*\//\1/p' "$out" >"$tmp/needed"
    printf '%s\n' "$@" | diff - "$tmp/needed" && [ "$status" -eq 0 ]
}
while IFS='|' read -r what chain first second; do
    check "$what" needs "$chain" "$first" ${second:+"$second"}
done <<'ROWS'
a chain of one|server|heartbeat test CA
a chain as most servers have it|chain|heartbeat test CA
a long one|deep|heartbeat test CA
RSA|rsa4096|heartbeat RSA CA
P-384|p384|heartbeat P-384 CA
two that would do|cross-above|heartbeat test CA|heartbeat other CA
ROWS

curl -so /dev/null -w '%{certs}' --cacert "$certs/ca.pem" \
    --connect-to "api.lucit.app:443:127.0.0.1:$port" https://api.lucit.app \
    >"$tmp/asked.pem"
anchors --chain "$tmp/asked.pem" "$certs/other-ca.pem" "$certs/ca.pem"
check 'the chain as curl tells it' grep -q '/\* 1: heartbeat test CA' "$out"

# ---- What goes wrong -------------------------------------------------------

fails() { # STATUS TEXT ARGUMENT...
    wanted=$1 text=$2
    shift 2
    run "$B/anchors" "$@"
    [ "$status" -eq "$wanted" ] && [ ! -s "$out" ] && grep -q -e "$text" "$err"
}
head -c 300 "$certs/ca.pem" >"$tmp/torn.pem"
: >"$tmp/empty.pem"
for n in $(seq 17); do cat "$certs/server.pem"; done >"$tmp/many.pem"
ca=$certs/ca.pem
check 'no arguments' fails 2 usage
check 'no roots' fails 2 usage --chain "$ca"
check 'no chain' fails 2 usage --chain
check 'an unknown option' fails 2 usage --help
check 'a missing file' fails 1 'No such file' "$tmp/none.pem"
check 'a folder' fails 1 'Is a directory' "$tmp"
check 'a torn root' fails 1 'ends inside' "$tmp/torn.pem"
check 'an empty file' fails 1 'no root' "$tmp/empty.pem"
check 'a key' fails 1 'no root' "$certs/server.key"
check 'a torn chain' fails 1 'ends inside' --chain "$tmp/torn.pem" "$ca"
check 'an empty chain' fails 1 'no certificate' --chain "$tmp/empty.pem" "$ca"
check 'a key for a chain' fails 1 'something else' \
    --chain "$certs/server.key" "$ca"
check 'an endless chain' fails 1 'too many' --chain "$tmp/many.pem" "$ca"
check 'more than a mebibyte' fails 1 'too long' /dev/zero
for chain in expired future sha1 weak under; do
    check "a chain that no client takes: $chain" \
        fails 1 'is not valid now' --chain "$certs/$chain.pem" "$ca"
done
"$B/anchors" "$ca" >/dev/full 2>"$err"
check 'a full disk' test $? -eq 1
done_testing
