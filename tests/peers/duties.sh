#!/bin/sh
# lucit-heartbeat as a daemon: the clock that it goes by, what it finishes, what
# is on the disk before it is said, and what a hook finds around it.
#
# usage: B=build tests/peers/duties.sh [SCENARIO]
. "$(dirname "$0")/daemon.inc"

# A server whose clock is so many seconds ahead of ours: $port.  It takes its
# time, and says the same to everybody.
teller() { # SECONDS DELAY REPLY
    date=$(date -u -d "$1 seconds" '+%a, %d %b %Y %H:%M:%S GMT')
    printf 'HTTP/1.1 200 OK\r\nContent-Length: %s\r\nDate: %s\r\n\r\n%s' \
        "${#3}" "$date" "$3" >"$tmp/told"
    identity=cert=$certs/server.pem,key=$certs/server.key
    start "$tmp/teller.log" 'listening on' socat -d -d \
        "OPENSSL-LISTEN:0,bind=127.0.0.1,fork,verify=0,$identity" \
        "SYSTEM:sleep $2; cat $tmp/told; sleep 1"
    teller=$child
}
is_asked() { grep -q 'starting data transfer' "$tmp/teller.log"; }
hands_out() { # INSTRUCTION
    printf '{"success":true,"lightning_device_remote_instruction":%s}' "$1"
}
has_printed() { [ "$(wc -l <"$out")" -ge "$1" ]; } # LINES

# ---- Time ------------------------------------------------------------------

servers_clock() {
    hook play 'echo done'
    teller -1000 0 "$(hands_out "$(instruction play I1 [] "$(at -900)")")"
    launch
    check 'four heartbeats' await has_printed 4
    check 'run_at is by the clock of the server' ran I1 0
    finish
}

# After a restart, and though the system's clock is behind: the server's word of
# before is a time that has passed, but nobody's word for what it is now.
kept_clock() {
    hook play 'echo done'
    teller 1000 0 "$(hands_out "$(instruction play I1 [] "$(at 1015)")")"
    launch
    check 'an instruction comes' await grep -q I1 "$out"
    finish
    stop "$teller"
    check 'it is not run before its time' ran I1 0
    sleep 15
    : >"$out"
    launch
    check 'nobody tells the time: heartbeats fail' await has_printed 3
    check '... and it is not run' ran I1 0
    finish
    teller 1020 0 '{"success":true}'
    launch
    check 'its time has come by the clock of the server' await ran I1 1
    finish
}

first_heartbeat() {
    interval=3600
    serve
    launch
    sleep 1
    check 'the first heartbeat is splayed' [ "$(count /heartbeat)" -eq 0 ]
    finish
}

back_off() {
    interval=0.1
    serve
    fail 500
    launch
    check 'some failures' await counts 6 /heartbeat
    before=$(count /heartbeat)
    sleep 8
    more=$(($(count /heartbeat) - before))
    check "then fewer: $more" [ "$more" -le 35 ]
    check '... but not none' await counts $((before + 4)) /heartbeat
    finish
}

# ---- What is under way -----------------------------------------------------

finished() {
    teller 0 0.6 '{"success":true}'
    no_hurry # a minute is the second that it has at its end
    launch
    check 'a heartbeat is under way' await is_asked
    finish
    check 'SIGTERM lets it end' eval '
        ended_well && [ "$(tail -n 1 "$out" | jq -r .result)" = ok ]'
}

undisturbed() {
    teller 0 0.6 '{"success":true}'
    launch
    check 'a heartbeat is under way' await is_asked
    kill -s HUP "$daemon"
    check 'it ends' await has_printed 1
    check 'SIGHUP does not disturb it' eval 'head -n 1 "$out" |
        jq -e ".result == \"ok\" and .http_status == 200"'
    finish
}

# ---- Reports ---------------------------------------------------------------

ack_once() {
    hook reboot 'echo x'
    hook fails 'echo y; exit 1'
    hook long 'echo $$ >"$tmp/pid"; exec sleep 300'
    serve --instruction "$(instruction reboot I1)" \
        --instruction "$(instruction fails I2)" \
        --instruction "$(instruction long I3)"
    launch --ack-first reboot --ack-first fails --ack-first long
    check 'the last one runs' await [ -s "$tmp/pid" ]
    beats 2
    check 'one that went well: acknowledged, once' reported_times I1 1
    check 'one that failed: both' reported_times I2 2
    finish
    launch --ack-first reboot
    beats 3
    check 'one that ended with us: acknowledged, and no failure' eval '
        reported I3 acknowledge && reported_times I3 1'
    finish
}

ack_too_late() {
    hook reboot 'echo x'
    fail 500 - /acknowledge
    serve --instruction "$(instruction reboot I1)"
    launch --ack-first reboot --max-age 1
    check 'nobody takes it' await counts 1 '/I1/acknowledge 500'
    sleep 2
    mend
    check 'then it is too late' await reported I1 failed '.message == "stale"'
    check '... and does not run' ran I1 0
    finish
}

# The file cannot be replaced from that time on.
unwritable_from() { # NUMBER
    wrap="strace -D -o $tmp/trace -P $state.spare"
    wrap="$wrap --inject=renameat2:error=EIO:when=$1+"
}

unwritten_report() {
    hook play 'echo done'
    serve --instruction "$(instruction play I1)"
    unwritable_from 3
    launch
    check 'it runs' await ran I1 1
    beats 4
    check 'what is not written down is not reported' reported_times I1 0
    kill -s KILL "$daemon"
    await gone "$daemon"
    wrap=
    launch
    check 'after a kill: one report' await is_reported I1
    beats 3
    check '... and no other' reported_times I1 1
    finish
}

unwritten_ack() {
    hook reboot 'echo x'
    serve --again --instruction "$(instruction reboot I1)"
    unwritable_from 2
    launch --ack-first reboot
    beats 5
    check 'what is not written down is not acknowledged' reported_times I1 0
    check '... and does not run' ran I1 0
    finish KILL
}

written_at_once() {
    hook play 'echo done'
    serve --instruction "$(instruction play I1 [] "$(at -1)")"
    interval=4
    launch
    check 'a hook ends' await grep -q '"hook":"play"' "$out"
    sleep 0.3
    kill -s KILL "$daemon"
    await gone "$daemon"
    interval=0.2
    launch
    check 'how is on the disk at once' eval '
        await is_reported I1 && reported I1 acknowledge'
    finish
}

complaint() {
    hook play 'echo done'
    serve --again --instruction "$(instruction play I1)"
    fail 500
    launch
    beats 1
    mv "$tmp/state" "$tmp/away"
    mend
    check 'a complaint travels in the next heartbeat' await is_told \
        'cannot be written'
    mv "$tmp/away" "$tmp/state"
    check '... and what it held up runs' await reported I1 acknowledge
    finish
}

# ---- Around a hook ---------------------------------------------------------

no_shell() {
    serve --instruction "$(instruction bare I1)"
    echo "echo I1 >>$marks" >"$hooks/bare"
    chmod 755 "$hooks/bare"
    launch
    check 'without an interpreter: failed' await reported I1 failed
    check '... and no shell runs it' ran I1 0
    finish
}

# A shell would mend its own.
signal_mask() {
    cat >"$hooks/raw" <<HOOK
#!$python
import shutil
shutil.copy("/proc/self/status", "$tmp/status")
HOOK
    chmod 755 "$hooks/raw"
    serve --instruction "$(instruction raw I1)"
    launch
    check 'a hook that is no shell' await reported I1 acknowledge
    check 'no signal is blocked' grep -q '^SigBlk:.0*$' "$tmp/status"
    finish
}

environment() {
    hook look 'env >"$tmp/env"'
    serve --instruction "$(instruction look I1)"
    LUCIT_TOKEN=a-token-in-the-environment NOTIFY_SOCKET=$tmp/nobody
    export LUCIT_TOKEN NOTIFY_SOCKET
    launch
    check 'a hook' await reported I1 acknowledge
    finish
    check 'finds its instruction' grep -qx LUCIT_INSTRUCTION=I1 "$tmp/env"
    check '... but no token, nor our socket' eval '
        ! grep -E "^(LUCIT_TOKEN|NOTIFY_SOCKET)=" "$tmp/env"'
}

stubborn_at_the_end() {
    hook ignores 'trap "" TERM; echo $$ >"$tmp/pid"; sleep 300'
    serve --instruction "$(instruction ignores I1)"
    launch
    check 'a hook that ignores SIGTERM' await [ -s "$tmp/pid" ]
    finish
    check 'is gone after us' await gone "$(cat "$tmp/pid")"
}

whole_output() {
    hook many 'exec seq 10000'
    hook latin 'printf "caf\351\n"'
    serve --instruction "$(instruction many I1)" \
        --instruction "$(instruction many I2)" \
        --instruction "$(instruction many I3)" \
        --instruction "$(instruction latin I4)"
    launch
    for n in 1 2 3; do
        check "the last lines of many, $n" await reported I$n acknowledge \
            '.response_data.message | endswith("\n9999\n10000")'
    done
    check 'what is no UTF-8' await reported I4 acknowledge \
        '.response_data.message == "caf?"'
    finish
}

# ---- The info command ------------------------------------------------------

info_limits() {
    program most 'seq 64'
    program more 'seq 65; exec sleep 300'
    program endless 'yes endless'
    serve
    for name in most more endless; do
        launch --info-command "$tmp/$name"
        check "$name: heartbeats" beats 1
        finish
        info 1 >"$tmp/info"
        case $name in
        most) filter='length == 64 and .[63] == "64"' ;;
        *) filter='length == 65 and (.[64] | test("it prints more than 64"))' ;;
        esac
        check "$name: $filter" jq -e "$filter" "$tmp/info"
    done
}

info_at_the_end() {
    program hangs 'echo $$ >"$tmp/pid"; exec sleep 300'
    serve
    no_hurry # it has five minutes
    launch --info-command "$tmp/hangs"
    check 'an info command that hangs' await [ -s "$tmp/pid" ]
    finish
    check 'does not keep us' ended_well
    check '... and is gone after us' await gone "$(cat "$tmp/pid")"
}

# ---- Files -----------------------------------------------------------------

odd_state() {
    mkfifo "$tmp/fifo"
    serve
    run timeout 50 "$command" --device "$device" --app "$app" \
        --token-file "$tmp/token" --lightning-version 4.2.1 \
        --ca "$certs/ca.pem" --connect "127.0.0.1:$port" --state "$tmp/fifo"
    check 'a state that is no file' eval '
        [ "$status" -eq 3 ] && [ -p "$tmp/fifo" ] && said "not a regular file"'
}

unit() {
    folder=examples/lucit-heartbeat
    unit=$folder/lucit-heartbeat.service
    check 'the unit reads its options from the configuration' eval '
        [ "$(sed -n "s/^ExecStart=[^ ]* //p" $unit)" = \
            "--config /etc/lucit-heartbeat.conf" ]'
    # Those that are commented out, too.
    sed 's/^#\([a-z]\)/\1/' $folder/lucit-heartbeat.conf >"$tmp/conf"
    check 'which has options that there are' \
        "$command" --config "$tmp/conf" --dry-run
    check 'the unit ends for good where these are wrong' \
        grep -qx RestartPreventExitStatus=2 $unit
}

# ---- All of them -----------------------------------------------------------

if [ $# -gt 0 ]; then
    "$@"
    done_testing
fi
need jq mkfifo socat strace "$python"
# The longest first.
scenarios <<'SCENARIOS'
kept_clock
written_at_once
back_off
ack_too_late
unwritten_report
unwritten_ack
info_limits
info_at_the_end
ack_once
complaint
servers_clock
first_heartbeat
finished
undisturbed
no_shell
signal_mask
environment
stubborn_at_the_end
whole_output
odd_state
unit
SCENARIOS
