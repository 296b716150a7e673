#!/bin/sh
# lucit-heartbeat as cron starts it: one heartbeat a run, with a memory and
# hooks, while another run still has a hook; and a token that somebody else has
# renewed.
#
# usage: B=build tests/peers/cron.sh [SCENARIO]
. "$(dirname "$0")/daemon.inc"

once='--count 1'

# Another run of the same kind: $status, $cron and $told, what it prints.  The
# server would refuse its token: a request of its own cannot be overlooked.
another() { # OPTION...
    echo of-another >"$tmp/of-another"
    set -- --device "$device" --app "$app" --lightning-version 4.2.1 \
        --token-file "$tmp/of-another" --ca "$certs/ca.pem" \
        --connect "127.0.0.1:$port" --timeout 60000 --state "$state" "$@"
    timeout 60 "$command" "$@" >"$tmp/cron" 2>"$tmp/cron.err" </dev/null
    status=$?
}
printed_one_line() { # PATTERN
    cat "$tmp/cron" "$tmp/cron.err"
    [ "$(wc -l <"$tmp/cron")" -eq 1 ] && grep -q "$1" "$tmp/cron"
}
# The run in the background ends by itself: $status.
ends() {
    await gone "$daemon" || return
    wait "$daemon"
    status=$?
}
slow_hook() { hook slow 'until [ -e "$tmp/go" ]; do sleep 0.05; done'; }

# ---- A hook that takes long ------------------------------------------------

# The run that has it goes on, and the others have nothing to do.
long_hook() {
    slow_hook
    serve --instruction "$(instruction slow I1)"
    launch $once
    check 'its hook runs' await ran I1 1
    check 'heartbeats go on beside it' beats 4
    another $once --hooks "$hooks" --interval 60
    check 'another run ends well' [ "$status" -eq 0 ]
    check '... with one line that says why' printed_one_line \
        '^skipped: "--state .*: another lucit-heartbeat uses it, and sends'
    check '... which is no error' [ ! -s "$tmp/cron.err" ]
    another $once --hooks "$hooks" --json
    check 'as JSON: one line' printed_one_line .
    check '... that says why' jq -e '.skipped | test("another lucit")' \
        "$tmp/cron"
    another $once
    check 'so does one without hooks' eval \
        '[ "$status" -eq 0 ] && printed_one_line ^skipped'
    another --hooks "$hooks"
    check 'a daemon is one too many' eval '[ "$status" -eq 3 ] &&
        grep -q "another lucit-heartbeat uses it" "$tmp/cron.err"'
    check 'none of them has sent anything' [ "$(count '/heartbeat 401')" -eq 0 ]
    check 'heartbeats still go on' beats 2
    touch "$tmp/go"
    check 'behind its hook the run ends' ends
    check '... well' [ "$status" -eq 0 ]
    check '... and has reported it' reported I1 acknowledge
    check '... which ran once' ran I1 1
    check '... and has printed nothing else' eval '
        ! grep -v "there is no such file: it starts empty" "$err" &&
            jq -es "all(has(\"hook\") or has(\"report\") or .result == \"ok\")" \
                "$out"'
    another $once --hooks "$hooks" --json
    check 'then another one may send' eval '
        [ "$status" -eq 1 ] && [ "$(count "/heartbeat 401")" -eq 1 ]'
}

# What comes meanwhile runs, too.
more_instructions() {
    slow_hook
    hook play 'echo done'
    serve --instruction "$(instruction slow I1)" \
        --instruction "$(instruction play I2)"
    launch $once
    check 'a hook runs' await ran I1 1
    check 'another instruction comes' await grep -q I2 "$out"
    touch "$tmp/go"
    check 'the run ends' ends
    check '... well' [ "$status" -eq 0 ]
    check 'both ran, once' eval 'ran I1 1 && ran I2 1'
    check '... and are reported' eval '
        reported I1 acknowledge && reported I2 acknowledge'
}

# The server is gone while it runs: the next run reports.
failing_server() {
    slow_hook
    serve --instruction "$(instruction slow I1)"
    launch $once
    check 'a hook runs' await ran I1 1
    fail 503
    check 'heartbeats fail beside it' await counts 2 '/heartbeat 503'
    touch "$tmp/go"
    check 'the run ends' ends
    check '... and says that heartbeats have failed' [ "$status" -eq 1 ]
    check '... and nothing is reported' reported_times I1 0
    mend
    launch $once
    check 'the next run ends' ends
    check '... well' [ "$status" -eq 0 ]
    check '... and has reported it' reported I1 acknowledge
    check 'it ran once' ran I1 1
}

# One that is quick costs no heartbeat more; nor do several.
quick_hook() {
    hook play 'echo done'
    serve --instruction "$(instruction play I1)"
    interval=60
    launch $once
    check 'the run ends' ends
    check '... well' [ "$status" -eq 0 ]
    check 'it is reported' reported I1 acknowledge
    check 'one heartbeat was sent' [ "$(count /heartbeat)" -eq 1 ]
    interval=0.1
    launch --count 3
    check 'a run of three ends' ends
    check '... well, with three' eval '
        [ "$status" -eq 0 ] && [ "$(count /heartbeat)" -eq 4 ]'
}

# SIGTERM ends it, as it ends a daemon.
stopped() {
    hook hangs 'trap "" TERM; echo $$ >"$tmp/pid"; sleep 300'
    serve --instruction "$(instruction hangs I1)"
    launch $once
    check 'a hook runs' await [ -s "$tmp/pid" ]
    finish
    check 'SIGTERM ends the run' ended_soon
    check '... and its hook' await gone "$(cat "$tmp/pid")"
}

# Nor does it leave an info command behind, which nobody waits for any more.
info_command() {
    slow_hook
    program info 'echo fact; [ -e "$tmp/once" ] || exec touch "$tmp/once"
echo $$ >"$tmp/pid"; exec sleep 300'
    serve --instruction "$(instruction slow I1)"
    launch $once --info-command "$tmp/info"
    check 'an info command runs beside a hook' await [ -s "$tmp/pid" ]
    touch "$tmp/go"
    check 'the run ends' ends
    check '... and the info command with it' await gone "$(cat "$tmp/pid")"
}

# ---- A token that another process has renewed -------------------------------

# From now on the server wants this token.
want() { # TOKEN
    stop "$server"
    echo "$1" >"$tmp/token"
    serve --auth login-of-the-player:secret-of-the-player \
        --auth-token "$tmp/token"
}
# The last requests of each kind and their answers, as "heartbeat 401".
asked() { # NUMBER
    sed -n 's,^POST [^ ]*/\([a-z]*\) \([0-9]*\) .*,\1 \2,p' "$requests" |
        tail -n "+$1" | head -n "$2" | tr '\n' ' '
}

newer_token() {
    printf 'login-of-the-player\nsecret-of-the-player\n' >"$tmp/secret"
    cp "$tmp/token" "$tmp/mine"
    serve
    launch --token-file "$tmp/mine" --secret-file "$tmp/secret"
    check 'a token that is good' beats 2
    echo renewed >"$tmp/mine"
    want renewed
    check 'it is renewed: a heartbeat' await counts 1 '/heartbeat 401'
    check '... and at once one more, with the new one' await \
        grep -q '/heartbeat 200' "$requests"
    beats 2
    first=$(sed -n 's,^POST [^ ]*/\([a-z]*\) \([0-9]*\) .*,\1 \2,p' \
        "$requests" | grep -n 401 | head -n 1 | cut -d: -f1)
    check '... without a log-in' \
        [ "$(asked "$first" 2)" = 'heartbeat 401 heartbeat 200 ' ]
    check '... which is noted' said 'its file has another one'
    check '... and is no error' eval '! is_told token'
    check 'nothing is asked for again' eval '
        [ "$(count /auth)" -eq 0 ] && [ "$(count "/heartbeat 401")" -eq 1 ]'

    # The file has another one, which is no better.
    next=$(grep -c '^POST' "$requests")
    fail 401 - /heartbeat
    echo no-better >"$tmp/mine"
    check 'it is refused, and so is the next' await counts 1 '/auth 200'
    mend
    check 'then a log-in helps' await counts 1 '/heartbeat 200'
    first=$(sed -n 's,^POST [^ ]*/\([a-z]*\) \([0-9]*\) .*,\1 \2,p' \
        "$requests" | grep -n 'auth' | head -n 1 | cut -d: -f1)
    check 'each is tried once, in this order' \
        [ "$(asked $((first - 2)) 3)" = 'heartbeat 401 heartbeat 401 auth 200 ' ]
    check 'the file has the token of the log-in' await \
        [ "$(cat "$tmp/mine")" = renewed ]
    finish
    check 'it ends well' ended_well
}

# Without a log-in the next heartbeat looks at the file again.
late_token() {
    cp "$tmp/token" "$tmp/good"
    echo expired >"$tmp/mine"
    serve
    launch --token-file "$tmp/mine"
    check 'a token that is refused' await counts 2 '/heartbeat 401'
    cp "$tmp/good" "$tmp/mine"
    check 'a better one is found' await counts 1 '/heartbeat 200'
    rm "$tmp/mine"
    fail 401 - /heartbeat
    refused=$(count '/heartbeat 401')
    check 'no file: it is refused' await \
        counts $((refused + 2)) '/heartbeat 401'
    mend
    check '... and what was read before stays in use' beats 2
    finish
    check 'it ends well' ended_well
}

# ---- All of them -----------------------------------------------------------

if [ $# -gt 0 ]; then
    "$@"
    done_testing
fi
need jq "$python"
scenarios <<'SCENARIOS'
newer_token
long_hook
late_token
info_command
failing_server
more_instructions
quick_hook
stopped
SCENARIOS
