#!/bin/sh
# The file of --status-file, as somebody who watches a device reads it: what it
# says and when, how it is replaced, and what it has of earlier runs.
#
# usage: B=build tests/peers/status.sh [SCENARIO]
. "$(dirname "$0")/daemon.inc"

status_file=$tmp/watched/status
mkdir "$tmp/watched"

# The file is one line of JSON that fulfils jq's FILTER.
says() { # FILTER
    cat "$status_file"
    [ "$(wc -l <"$status_file")" -eq 1 ] && jq -e "$1" "$status_file"
}
alone() { # nothing stands beside it
    ls -A "$tmp/watched"
    [ "$(ls -A "$tmp/watched")" = status ]
}
told_times() { # PATTERN NUMBER
    n=$(grep -c -e "$1" "$err")
    echo "$n times"
    [ "$n" -eq "$2" ]
}
# One run, as cron starts it; it waits for no moment of chance.
once() { # OPTION...
    launch --count 1 --status-file "$status_file" "$@"
    wait "$daemon"
    status=$?
}

members='["running","pid","version","last_success_s","failures","last_beat_s",
"result","http_status","connection","clock_offset_s","last_error",
"last_error_s","instruction","reports","next_beat_s"]'

# ---- A daemon --------------------------------------------------------------

slow_hook() { hook slow 'until [ -e "$tmp/go" ]; do sleep 0.05; done'; }

daemon() {
    slow_hook
    no_chance
    interval=1
    umask 077
    fail 503
    serve --instruction "$(instruction slow I1)"
    began=$(date +%s)
    launch --status-file "$status_file"
    check 'a failure' await says '.failures >= 1 and .result == "status" and
        .http_status == 503 and .last_success_s == null'
    check '... in words, with its time' says "(.last_error |
        test(\"HTTP 503\")) and .last_error_s >= $began"
    check '... no instruction, no report' says '.instruction == null and
        .reports == 0'
    check 'failures are counted' await says '.failures >= 2'
    fail 503 - /instructions/
    check 'a hook runs' await says '.instruction ==
        {"name":"slow","lcuid":"I1","state":"running"}'
    check '... after a success' says ".failures == 0 and .result == \"ok\" and
        .http_status == 200 and .last_success_s >= $began and
        .last_success_s == .last_beat_s"
    check '... what failed last is still told' says '.last_error |
        test("HTTP 503")'
    check '... the clock is right' says \
        '.clock_offset_s <= 60 and .clock_offset_s >= -60'
    check 'the next heartbeat is to come' says \
        '.next_beat_s >= .last_beat_s and .next_beat_s <= .last_beat_s + 60'
    check 'a connection is kept' await says '.connection == "kept"'
    check 'it is whose file it says' says ".running and .pid == $daemon and
        (.version | test(\"^[0-9.]+\$\"))"
    check 'all members are there at all times' says "keys_unsorted == $members"
    check 'everybody may read it, whatever the umask' \
        [ "$(stat -c %a "$status_file")" = 644 ]
    check 'no secret is in it' eval '! grep -qF "$token" "$status_file"'
    fail 503
    touch "$tmp/go"
    check 'the hook has ended, and its report waits' await says \
        '.instruction == null and .reports == 1'
    mend
    check 'it is taken' await says '.reports == 0 and .failures == 0'
    finish
    check 'it ends well' ended_well
    check 'the file stays, and says so' says ".running == false and
        .pid == $daemon and .next_beat_s == null and .last_success_s >= $began"
    check '... all members are there' says "keys_unsorted == $members"
    check '... and nothing is left beside it' alone
}

# One that is to be acknowledged before it runs waits for that.
waiting() {
    hook slow 'sleep 300'
    fail 503 - /instructions/
    serve --instruction "$(instruction slow I1)"
    launch --status-file "$status_file" --ack-first slow
    check 'an instruction waits' await says '.instruction ==
        {"name":"slow","lcuid":"I1","state":"waiting"}'
    mend
    check '... then runs' await says '.instruction.state == "running"'
    finish
    check 'the daemon has ended, and its hook' says '.instruction == null'
}

# It is replaced, never written into, and nothing waits for the disk.
replaced() {
    serve
    wrap="strace -o $tmp/trace -e trace=/^(open|rename|write|f?.*sync)"
    bare --token-file "$tmp/token" --status-file "$status_file"
    beats 3
    kill "$(jq .pid "$status_file")" # strace has a number of its own
    check 'it ends' await gone "$daemon"
    check 'it is never opened to be written' eval \
        '! grep "openat.*watched/status\".*O_WRONLY" "$tmp/trace"'
    check '... but replaced, at each heartbeat' eval \
        '[ "$(grep -c "^rename.*/status\".* = 0" "$tmp/trace")" -ge 3 ]'
    check '... in one write' eval '
        [ "$(grep -c "^write.*running" "$tmp/trace")" -eq \
            "$(grep -c "^rename" "$tmp/trace")" ]'
    check 'nothing is synced' eval '! grep "sync" "$tmp/trace"'
    check 'nothing is left beside it' alone
}

# It is written when something has changed, and not at each turn of the loop.
seldom() {
    hook slow 'for n in $(seq 200); do echo $n; done
until [ -e "$tmp/go" ]; do sleep 0.05; echo alive; done'
    serve --instruction "$(instruction slow I1)"
    interval=3600
    wrap="strace -o $tmp/trace -e trace=/^rename"
    launch --status-file "$status_file"
    await says .running
    kill -s USR1 "$(jq .pid "$status_file")"
    check 'a hook runs' await says '.instruction.state == "running"'
    sleep 1
    touch "$tmp/go"
    check 'it has ended, and is reported' await reported I1 acknowledge
    await says '.instruction == null and .reports == 0'
    # At the start, SIGUSR1, the heartbeat, the hook, its end, the report.
    times=$(grep -c "watched/status\"" "$tmp/trace")
    check "it is written $times times" [ "$times" -le 7 ]
    kill "$(jq .pid "$status_file")"
    await gone "$daemon"
}

# ---- Where it cannot be written --------------------------------------------

unwritable() {
    serve
    rmdir "$tmp/watched"
    launch --status-file "$status_file"
    check 'no folder: heartbeats go on' beats 4
    check '... and it is told, once' told_times \
        '--status-file .*: cannot be written: No such file' 1
    check '... the server, too' is_told 'status-file'
    mkdir "$tmp/watched"
    check 'it can be written again' await says '.running and .failures == 0'
    check '... which is told' await told_times 'can be written again' 1
    finish
    check 'it ends well' ended_well
}

# A device or a pipe is not to be replaced by a file; what a link leads to is.
links() {
    serve
    mkfifo "$tmp/watched/pipe"
    launch --status-file "$tmp/watched/pipe"
    check 'a pipe: heartbeats go on' beats 2
    check '... it is told' said 'it is not a regular file, and is not replaced'
    check '... and stays' [ -p "$tmp/watched/pipe" ]
    finish
    rm "$tmp/watched/pipe"
    mkdir "$tmp/there"
    ln -s ../there/status "$status_file"
    launch --status-file "$status_file"
    check 'a link is followed' await says .running
    finish
    check '... and stays' [ -L "$status_file" ]
    check '... the file is there' [ -f "$tmp/there/status" ]
}

# ---- Runs, one behind the other --------------------------------------------

cron() {
    serve
    began=$(date +%s)
    once
    check 'a run that goes well' says ".running == false and .failures == 0 and
        .last_success_s >= $began and .result == \"ok\" and .last_error == null"
    success=$(jq .last_success_s "$status_file")
    fail 500
    sleep 1.1
    once
    check 'one that fails knows of the success before' says ".failures == 1 and
        .last_success_s == $success and .last_beat_s > $success"
    once
    check '... and of failures' says ".failures == 2 and
        .last_success_s == $success"
    mend
    once
    check 'a success is the latest' says ".failures == 0 and
        .last_success_s > $success"
    check 'nothing is left beside it' alone

    # Another run has the state, and this file.
    slow_hook
    stop "$server"
    serve --instruction "$(instruction slow I1)"
    launch --count 1 --status-file "$status_file"
    first=$daemon
    check 'a run has a hook' await says '.instruction.state == "running"'
    once
    check 'another one is skipped' [ "$status" -eq 0 ]
    check '... and writes nothing' says ".running and .pid == $first"
    touch "$tmp/go"
    await gone "$first"
    check 'the first one ends' says '.running == false'
}

# Killed, it cannot say so; what it was writing is swept by the next run.
killed() {
    serve
    launch --status-file "$status_file"
    await says '.result == "ok"'
    kill -s KILL "$daemon"
    await gone "$daemon"
    check 'its process is gone' says ".running and .pid == $daemon"
    echo half >"$status_file.$daemon"
    once
    check 'the next one knows of the success' says '.last_success_s != null'
    check '... and has swept' alone
}

# What is no line of ours is written over, and nothing in it is believed.
foreign() {
    serve
    fail 500
    for text in '' 'no JSON' '[1,2]' '{"last_success_s":"x","failures":-3}' \
        '{"failures":99999999999,"last_success_s":1e3}' '{"last_success_s":5' \
        '{"failures":4294967295,"last_success_s":99999999999999999999}' \
        '{"last_success_s\u0000":5,"failures_":7}'; do
        printf '%s' "$text" >"$status_file"
        once
        check "it had $text" says '.failures == 1 and .last_success_s == null'
    done
    head -c 1048576 /dev/zero >"$status_file"
    once
    check 'it had a mebibyte' says '.failures == 1 and .last_success_s == null'
    printf '{"failures":4294967294,"last_success_s":1}' >"$status_file"
    once
    check 'it had many failures' says '.failures == 4294967295'
}

# A name may have thousands of characters, of any kind.
long_name() {
    name=$(printf '\342\200\256"%03900d' 0)
    fail 503 - /instructions/
    serve --instruction "$(instruction '\u202e\"'"$(printf %03900d 0)" I1)"
    launch --status-file "$status_file" --ack-first "$name"
    check 'it waits' await says '.instruction.state == "waiting" and
        (.instruction.name | length) == 3902'
    check '... and moves no terminal' eval \
        'grep -qF "\"name\":\"\\u202e\\\"000" "$status_file"'
    finish
    check 'it ends well' ended_well
}

if [ $# -gt 0 ]; then
    "$@"
    done_testing
fi
need jq strace
scenarios <<'SCENARIOS'
daemon
waiting
replaced
seldom
unwritable
links
cron
killed
foreign
long_name
SCENARIOS
