#!/bin/sh
# lucit-heartbeat(8) says what is so: its options are those of --help, in both
# directions, and so are exit statuses and defaults; its example of a
# configuration can be used; and it is sound mdoc(7).
B=${B:-build}
. tests/check.inc
folder=examples/lucit-heartbeat
manual=$folder/lucit-heartbeat.8
command=$B/lucit-heartbeat

section() { # HEADING
    sed -n "/^\.Sh $1\$/,/^\.Sh /p" "$manual"
}

is_sound() {
    mandoc -Tlint -W warning "$manual"
}

# What two commands print, in whatever order, is the same, and is something.
agree() { # COMMAND COMMAND
    "$1" | sort -u >"$work/first"
    "$2" | sort -u >"$work/second"
    [ -s "$work/first" ] && diff "$work/first" "$work/second"
}

# "--device LCUID", a line each.
options_of_help() {
    "$command" --help | sed -n 's/^  \(--.*\)/\1/p' | sed 's/  .*//; s/ $//'
}

options_of_manual() {
    sed -n 's/^\.It Fl -/--/p' "$manual" | sed 's/ Ar / /'
}

# "--timeout 30s", a line each that has a number.
defaults_of_help() {
    "$command" --help | awk '
        /^  --/ { name = $1 }
        match($0, /default: [0-9]+[a-z]*/) {
            print name, substr($0, RSTART + 9, RLENGTH - 9)
        }'
}

defaults_of_manual() {
    awk '
        /^\.It Fl -/ { name = "-" $3 }
        match($0, /default is [0-9]+[a-z]*/) {
            print name, substr($0, RSTART + 11, RLENGTH - 11)
        }' "$manual"
}

statuses_of_help() {
    "$command" --help | sed -n '/^Exit status:/,$p' | grep -o '\<[0-9]\>'
}

statuses_of_manual() {
    section 'EXIT STATUS' | sed -n 's/^\.It //p'
}

# Each line of what COMMAND prints is a word of a section.
are_told() { # HEADING COMMAND
    section "$1" >"$work/section"
    "$2" | sort -u >"$work/words"
    [ -s "$work/words" ] || return
    while read -r word; do
        grep -qw -e "$word" "$work/section" || { echo "no $word"; return 1; }
    done <"$work/words"
}

variables() {
    grep -oh '\(getenv\|variable\)("[^)]*)' $folder/*.c |
        grep -o '"[A-Za-z_]*"' | tr -d '"'
}

hooks_variables() {
    grep -oh '"\(LUCIT\|NOTIFY\|WATCHDOG\)_[A-Z]*"' $folder/jobs.c \
        $folder/keeper.c | tr -d '"'
}

signals() {
    sed -n 's/.* caught\[\] = {\(.*\)};/\1/p' $folder/main.c | tr -d ' ' |
        tr , '\n' | grep -v SIGCHLD
}

# Nobody answers there, which the file tells, too.
members_of_status() {
    LUCIT_TOKEN=x "$command" --device x --app x --lightning-version x \
        --ca "$B/certs/ca.pem" --connect 127.0.0.1:1 \
        --status-file "$work/status" >"$work/outcome"
    jq -r 'keys[]' "$work/status"
}

members_of_manual() {
    section MONITORING | sed -n 's/^\.It //p' | sed 's/ , /\n/g'
}

# The literal lines of a section.
literal() { # HEADING
    section "$1" | sed -n '/^\.Bd/,/^\.Ed/p' | sed '/^\./d; s/\\&//; s/\\e/\\/g'
}

example_can_be_used() {
    literal 'CONFIGURATION FILE' >"$work/example"
    "$command" --config "$work/example" --dry-run
}

check "the manual is sound" is_sound
check "its options are those of the command" \
    agree options_of_help options_of_manual
check "its defaults are those of the command" \
    agree defaults_of_help defaults_of_manual
check "its exit statuses are those of the command" \
    agree statuses_of_help statuses_of_manual
check "it tells of each variable" are_told ENVIRONMENT variables
check "it tells of each variable of a hook" are_told HOOKS hooks_variables
check "it tells of each signal" are_told SIGNALS signals
check "the members of the status are those of the command" \
    agree members_of_status members_of_manual
check "its configuration can be used" example_can_be_used
end_checks
