#!/bin/sh
# What must not be built is not: sizes beyond their bounds do not compile, files
# that disagree do not link, and a library of BearSSL that is not the header's
# is refused.  And what may be built is: alone, or included into another file.
. tests/check.inc
. tests/bearssl.inc

compile() { # OUT ARGUMENTS...
    out=$1
    shift
    # shellcheck disable=SC2086
    $CC -std=c99 -O2 $BR_INC -c -o "$work/$out" "$@"
}

# ---- Bounds --------------------------------------------------------------

# A copy of the two files, in a folder "changed", in which a line is another one.
changed() { # FILE PATTERN REPLACEMENT
    mkdir -p "$work/changed"
    cp heartbeat.h heartbeat.c "$work/changed"
    sed -i "s/$2/$3/" "$work/changed/$1"
    ! cmp -s "$1" "$work/changed/$1"
}

# Does not compile, because of this assertion.
breaks() { # ASSERTION FILE PATTERN REPLACEMENT
    changed "$2" "$3" "$4" || return
    ! compile changed.o "$work/changed/heartbeat.c" 2>"$work/errors" || return
    cat "$work/errors"
    grep -q "assert_$1" "$work/errors"
}

while read -r assertion file pattern replacement; do
    check "$assertion: $replacement" \
        breaks "$assertion" "$file" "$pattern" "$replacement"
done <<'ROWS'
a_level_is_a_bit heartbeat.h JSON_DEPTH.64 JSON_DEPTH 65
a_level_is_a_bit heartbeat.h JSON_DEPTH.64 JSON_DEPTH 100
a_message_names_this_limit heartbeat.h INSTRUCTION_MAX.4000 INSTRUCTION_MAX 4001
a_record_has_no_padding heartbeat.c byte.run_at_s.8. int64_t run_at_s
sizes_fit_16_bits heartbeat.h MEMORY_SIZE.8192 MEMORY_SIZE 65536
a_full_instruction_fits heartbeat.h MEMORY_RECORDS.16 MEMORY_RECORDS 48
a_full_instruction_fits heartbeat.h MEMORY_SIZE.8192 MEMORY_SIZE 5461
the_old_records_took_as_much heartbeat.h MEMORY_SIZE.8192 MEMORY_SIZE 8704
the_memory_has_no_padding heartbeat.h unsigned.char.seal.10. int seal
the_wire_holds_what_is_gathered heartbeat.h WIRE_SIZE.960 WIRE_SIZE 200
the_longest_text_fits heartbeat.h EXPLAIN_SIZE.272 EXPLAIN_SIZE 192
the_small_buffer_holds_a_record heartbeat.h .4096.+.325 (4096 + 324
the_port_fits heartbeat.h port.8. port[6]
the_length_fits heartbeat.h content_length.24. content_length[20]
a_line_holds_a_field heartbeat.h line.96. line[40]
a_character_fits_any_window heartbeat.c UNIT_MAX.6 UNIT_MAX 17
lines_are_counted_in_32_bits heartbeat.h HEAD_MAX.32768 HEAD_MAX 4294967296
the_walk_keeps_two_dates heartbeat.h kept.34. kept[33]
a_wait_fits_poll heartbeat.c (DAY_S.*1000) (DAY_S * INT64_C(100000))
two_queries_fit_the_scratch heartbeat.h .4096.+.325.+.HBEAT_WIRE_SIZE (500
connect_fits_the_scratch heartbeat.h .4096.+.325.+.HBEAT_WIRE_SIZE (900
addresses_are_counted_in_a_byte heartbeat.h list.8..16. list[256][16]
ROWS

# What explains an error is a phrase of less than REASON_MAX bytes; so is each
# text of a list.
reasons_are_short() {
    grep -q 'REASON_MAX = 64' heartbeat.c || return
    ! sed 's/\\0/" "/g' heartbeat.c | grep -nE '^ .*"[^"]{64,}"'
}

check "every text fits REASON_MAX" reasons_are_short

# ---- Files that disagree -------------------------------------------------

cat >"$work/user.c" <<'C'
#include "heartbeat.h"
#include <string.h>
int main(void) {
  hbeat_memory memory;
  hbeat_policy policy;
  uint32_t failures = 0;
  memset(&policy, 0, sizeof policy);
  hbeat_memory_load(&memory, NULL, 0, NULL);
  return hbeat_next_ms(&policy, &failures, HBEAT_OK, NULL, 0) == 0;
}
C

cat >"$work/codec.c" <<'C'
#include "heartbeat.h"
int main(void) {
  static hbeat_config cfg;
  static hbeat_request beat;
  static hbeat_exchange x;
  hbeat_reply reply;
  return hbeat_begin(&x, &cfg, &beat, &reply) != HBEAT_ERR_ARGUMENT;
}
C

# Links USER, compiled with these flags and this header, to heartbeat.o.
links() { # USER HEADER-FOLDER FLAGS... -- LIBRARY-FLAGS...
    user=$1 folder=$2
    shift 2
    flags=
    while [ "$1" != -- ]; do
        flags="$flags $1"
        shift
    done
    shift
    # shellcheck disable=SC2086
    compile user.o -I"$folder" $flags "$work/$user.c" || exit 1
    compile library.o "$@" heartbeat.c || exit 1
    $CC -o "$work/program" "$work/user.o" "$work/library.o" "$BR_LIB"
}

runs() {
    links "$@" && "$work/program"
}

# Both compile, and the linker does not find a call.
does_not_link() {
    ! links "$@" 2>"$work/errors" || return
    cat "$work/errors"
    grep -q 'undefined reference to .hbeat_' "$work/errors"
}

other_version() {
    changed heartbeat.h 'VERSION_NUMBER [0-9]*' 'VERSION_NUMBER 399' || return
    does_not_link "$1" "$work/changed" --
}

for user in user codec; do
    check "$user: agrees" runs $user . --
    check "$user: agrees without the network" \
        runs $user . -DHBEAT_NO_NET -- -DHBEAT_NO_NET
    check "$user: only the library without the network" \
        does_not_link $user . -- -DHBEAT_NO_NET
    check "$user: only the user without the network" \
        does_not_link $user . -DHBEAT_NO_NET --
    check "$user: another version" other_version $user
done

# Every call that the header declares is renamed.
every_call_is_renamed() {
    grep -o 'hbeat_[a-z_]*(' heartbeat.h | tr -d '(' | sort -u |
        while read -r call; do
            grep -q "^#define $call HBEAT_SYMBOL(${call}_)$" heartbeat.h ||
                { echo "$call"; exit 1; }
        done
    compile library.o heartbeat.c || return
    nm -g --defined-only "$work/library.o" | awk '{ print $3 }' >"$work/symbols"
    [ -s "$work/symbols" ] && ! grep -vE '^hbeat_[a-z_]*_500_net$' \
        "$work/symbols"
}

header_of_another_version() { # PATTERN REPLACEMENT
    changed heartbeat.h "$1" "$2" || return
    ! compile version.o "$work/changed/heartbeat.c" 2>"$work/errors" || return
    grep -q 'heartbeat.h is of another version' "$work/errors"
}

check "every call is renamed" every_call_is_renamed
check "a header of another version" \
    header_of_another_version 'VERSION_NUMBER [0-9]*' 'VERSION_NUMBER 399'
check "a header without a version" \
    header_of_another_version '^#define HBEAT_VERSION_NUMBER.*' ''

# ---- A BearSSL of another version ----------------------------------------

cat >"$work/init.c" <<'C'
#include "heartbeat.h"
#include <stdio.h>
static unsigned char tls[HBEAT_TLS_BUFFER_SIZE];
static char body[64];
static br_x509_trust_anchor anchor;
static hbeat_client client;
int main(void) {
  const hbeat_config cfg = {.device = "d",
      .app = "a",
      .token = "t",
      .anchors = &anchor,
      .anchor_count = 1,
      .tls_buffer = tls,
      .tls_buffer_size = sizeof tls,
      .reply_buffer = body,
      .reply_buffer_size = sizeof body};
  hbeat_error e = hbeat_init(&client, &cfg);
  printf("%s: %s\n", hbeat_error_name(e), hbeat_explain(&client));
  hbeat_close(&client);
  return 0;
}
C

headers=$(bearssl_headers)

# What hbeat_init() says where a line of BearSSL's contexts of certificates is
# another one.
init_says() { # TEXT SED-SCRIPT
    rm -rf "$work/bearssl"
    mkdir "$work/bearssl"
    cp "$headers"/bearssl*.h "$work/bearssl"
    sed -i "$2" "$work/bearssl/bearssl_x509.h"
    $CC -std=c99 -O2 -I"$work/bearssl" -I. -o "$work/init" "$work/init.c" \
        heartbeat.c "$BR_LIB" || return
    "$work/init" >"$work/said" || return
    cat "$work/said"
    grep -q "$1" "$work/said"
}

anchors='const br_x509_trust_anchor \*trust_anchors;'
key='unsigned char pkey_data\[BR_X509_BUFSIZE_KEY\];'
mismatch='^argument: .*bearssl.h: '
check "BearSSL: header and library agree" init_says '^ok: ' ''
for count in 1 2 25; do
    check "BearSSL: the header has $count members more" \
        init_says "$mismatch" "s/$anchors/void *added[$count]; &/"
done
check "BearSSL: the header has a smaller member" \
    init_says "$mismatch" "s/$key/unsigned char pkey_data[8];/"
check "BearSSL: the header has the anchors behind their number" \
    init_says "$mismatch" "s/$anchors//
        s/size_t trust_anchors_num;/& const br_x509_trust_anchor *trust_anchors;/"

# ---- Included into another file ------------------------------------------

included() { # STANDARD SYSTEM-HEADER...
    standard=$1
    shift
    for header; do echo "#include <$header>"; done >"$work/including.c"
    echo '#include "heartbeat.c"' >>"$work/including.c"
    # shellcheck disable=SC2086
    $CC -std="$standard" -Wall -Wextra -Werror -Wundef $BR_INC -I. -c \
        -o "$work/including.o" "$work/including.c"
}

for standard in c99 gnu99 gnu17; do
    check "included behind nothing, $standard" included $standard
    check "included behind stdio.h, $standard" included $standard stdio.h
    check "included behind many, $standard" included $standard \
        sys/types.h arpa/inet.h ctype.h errno.h fcntl.h limits.h locale.h \
        math.h net/if.h netdb.h netinet/in.h netinet/tcp.h poll.h pthread.h \
        sched.h setjmp.h signal.h stdio.h stdlib.h string.h sys/ioctl.h \
        sys/mman.h sys/select.h sys/socket.h sys/stat.h sys/time.h sys/uio.h \
        sys/wait.h syslog.h termios.h time.h unistd.h wchar.h
done

end_checks
