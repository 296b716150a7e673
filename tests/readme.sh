#!/bin/sh
# README.md says what is so: its example compiles, its table of errors is the
# library's, its figures are the ones that a build of today gives.
B=${B:-build}
. tests/check.inc
. tests/bearssl.inc

example_compiles() {
    sed -n '/^```c$/,/^```$/p' README.md | grep -v '^```' >"$work/example.c"
    # shellcheck disable=SC2086
    grep -q hbeat_send "$work/example.c" &&
        $CC -std=c99 -Wall -Wextra -Wpedantic -Werror $BR_INC -I. -c \
            -o "$work/example.o" "$work/example.c"
}

# The header's own example, in a function that is handed what it takes for granted.
header_example_compiles() {
    {
        echo '#include "heartbeat.h"'
        echo '#include <stdio.h>'
        echo 'void f(const char *token, const void *roots, size_t roots_size);'
        echo 'void f(const char *token, const void *roots, size_t roots_size) {'
        sed -n '/One heartbeat:$/,/`roots`/s/^ \*     //p' heartbeat.h
        echo '}'
    } >"$work/header.c"
    # shellcheck disable=SC2086
    grep -q hbeat_send "$work/header.c" &&
        $CC -std=c99 -Wall -Wextra -Wpedantic -Werror $BR_INC -I. -c \
            -o "$work/header.o" "$work/header.c"
}

errors_are_the_library_s() {
    sed -n 's/^| `\([a-z-]*\)` |.*/\1/p' README.md >"$work/readme"
    cat >"$work/names.c" <<'C'
#include "heartbeat.h"
#include <stdio.h>
int main(void) {
    for (int e = HBEAT_ERR_ARGUMENT; e <= HBEAT_ERR_MEMORY; e++)
        puts(hbeat_error_name((hbeat_error)e));
    return 0;
}
C
    $CC -std=c99 -DHBEAT_NO_NET -I. -o "$work/names" "$work/names.c" \
        heartbeat.c || return
    "$work/names" >"$work/library"
    [ -s "$work/library" ] &&
        diff "$work/readme" "$work/library"
}

version_is_in_the_changelog() {
    version=$(sed -n 's/^#define HBEAT_VERSION "\(.*\)"/\1/p' heartbeat.h)
    grep -q "^## $version " CHANGELOG.md
}

# 0.5.0 is 500, in the header and in the file that asks for that header.
version_is_a_number() {
    number=$(sed -n 's/^#define HBEAT_VERSION "\(.*\)"/\1/p' heartbeat.h |
        awk -F. '{ print $1 * 10000 + $2 * 100 + $3 }')
    grep -q "^#define HBEAT_VERSION_NUMBER $number " heartbeat.h &&
        grep -q "HBEAT_VERSION_NUMBER != $number\$" heartbeat.c
}

sizes_are_true() {
    cat >"$work/sizes.c" <<'C'
#include "heartbeat.h"
#include <stdio.h>
/* A client has so many bytes more with the snapshots that have this. */
#ifdef BR_FEATURE_X509_TIME_CALLBACK
enum { MORE = 8 };
#else
enum { MORE = 0 };
#endif
int main(void) {
    if (sizeof(void *) != 8) return 0;
    printf("| %zu |\n| %zu |\n| %zu |\n| %zu |\n",
           sizeof(hbeat_client) - MORE, (size_t)HBEAT_TLS_BUFFER_SIZE,
           (size_t)HBEAT_REPLY_BUFFER_SIZE, sizeof(hbeat_memory));
    return 0;
}
C
    # shellcheck disable=SC2086
    $CC -std=c99 $BR_INC -I. -o "$work/sizes" "$work/sizes.c" || return
    "$work/sizes" | while read -r line; do
        tr -d , <README.md | grep -F "$line" || exit 1
    done
}

# `make fleet` holds the simulation to the same figures, in hundredths.
peaks_are_the_fleet_s() {
    tr '\n' ' ' <README.md >"$work/readme"
    while read -r limit before after; do
        peak=$(sed -n "s/^ *$limit = \([0-9]*\),*$/\1/p" tests/fleet/fleet.c)
        peak=$(awk -v p="$peak" 'BEGIN { print p / 100 }')
        grep -F "$before $peak $after" "$work/readme" || return
    done <<'ROWS'
LIMIT_AFTER within times the mean
NAIVE_AFTER reaches times.
LIMIT_SILENCE to times.
LIMIT_BLIP gives times,
NAIVE_BLIP has times.
ROWS
}

# What a section says is so by the tests that it names, of a folder.
tests_are_there() { # HEADING NEXT-HEADING FOLDER
    sed -n "/^## $1/,/^## $2/p" README.md |
        grep -o '`[a-z/]*\.\(c\|sh\)`' | tr -d '`' >"$work/tests"
    [ "$(wc -l <"$work/tests")" -ge 7 ] || return
    while read -r file; do
        case $file in
        tests/*) ;;
        *) file=$3/$file ;;
        esac
        [ -e "$file" ] || { echo "there is no $file"; return 1; }
    done <"$work/tests"
}

# What stands in backquotes, of a text.
quoted() { # FILE
    grep -o '`[^`]*`' "$1" | tr -d '`'
}

# Files and folders that a text names: those with a slash or an ending.
files_are_there() { # FILE
    quoted "$1" | grep -E '^\.?[a-z_/.-]+(/|/run|\.(c|h|sh|md))$|^Makefile$' |
        sort -u >"$work/files"
    [ "$(wc -l <"$work/files")" -ge 15 ] || return
    while read -r file; do
        [ -e "$file" ] || [ -e "tests/$file" ] ||
            [ -e "examples/lucit-heartbeat/$file" ] ||
            { echo "there is no $file"; return 1; }
    done <"$work/files"
}

# Goals of make that a text names.
goals_are_there() { # FILE
    quoted "$1" | sed -n 's/^make \([a-z0-9-]*\).*/\1/p' | sort -u >"$work/goals"
    [ -s "$work/goals" ] || return
    while read -r goal; do
        grep -q "^$goal:" Makefile || { echo "no goal $goal"; return 1; }
    done <"$work/goals"
}

# Each folder of tests, and each example, has its place in the house.
house_is_whole() {
    for place in examples/*.c tests/*/; do
        grep -qF "\`$place\`" CONTRIBUTING.md || { echo "$place"; return 1; }
    done
}

check "the example compiles" example_compiles
check "the header's example compiles" header_example_compiles
check "the table of errors is the library's" errors_are_the_library_s
check "the changelog knows this version" version_is_in_the_changelog
check "the version's number is the version" version_is_a_number
check "the sizes are those of this build" sizes_are_true
check "the tests of the service are there" \
    tests_are_there 'As a service' 'On a bad' tests/peers
check "the tests of the network are there" \
    tests_are_there 'On a bad' 'What it survives' tests/network
check "the tests of what it survives are there" \
    tests_are_there 'What it survives' 'What it takes' tests
for text in SECURITY.md CONTRIBUTING.md; do
    check "the files of $text are there" files_are_there $text
    check "the goals of $text are there" goals_are_there $text
done
check "CONTRIBUTING.md knows every folder" house_is_whole
check "the goals of README.md are there" goals_are_there README.md
check "the peaks are those of the fleet" peaks_are_the_fleet_s
end_checks
