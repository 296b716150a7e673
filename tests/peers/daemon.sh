#!/bin/sh
# lucit-heartbeat as a daemon: instructions, hooks, reports, signals, log-in,
# and whatever may go wrong with any of them, against the stand-in.
#
# usage: B=build tests/peers/daemon.sh [SCENARIO]
. "$(dirname "$0")/daemon.inc"

# ---- Instructions ----------------------------------------------------------

# What the server sends again at every heartbeat runs once.
once() {
    hook play 'echo done'
    fail 500 - /acknowledge
    serve --again --instruction "$(instruction play I1)"
    launch
    check 'a report meets a 500' await counts 1 '/acknowledge 500'
    check 'heartbeats go on' beats 5
    check 'sent again and again, it ran once' ran I1 1
    mend
    check 'its report arrives later' await reported I1 acknowledge
    stop "$server"
    serve --again --instruction "$(instruction play I1)"
    check 'a server that has lost the report gets it again' \
        await reported_times I1 2
    finish
    check 'it ends well' ended_well
    launch
    beats 4
    check 'after a restart it has still run once' ran I1 1
    check '... and nothing is reported again' reported_times I1 2
}

# LCUID | the name, as JSON | the report | jq's filter for its body
outcomes() {
    hook good 'echo one; echo "the \"last\" \\ line"; echo; echo'
    hook quiet :
    hook unended 'printf "no line end"'
    hook control 'printf "a\tb\033[1mc\r\n"'
    hook long 'printf "%0300d\n" 0'
    hook many 'seq 50000'
    hook zero 'printf "a\0b\n"'
    hook aside 'echo aside >&2'
    hook one_2-3.sh 'echo "$LUCIT_NAME"'
    hook broken 'echo "it broke"; exit 3'
    hook broken-quietly 'exit 255'
    hook killed 'kill -KILL $$'
    hook plain 'exit 0'
    chmod 644 "$hooks/plain"
    mkdir "$hooks/folder" "$hooks/sub"
    printf '#!%s/none\n' "$tmp" >"$hooks/unread"
    chmod 755 "$hooks/unread"
    for name in ../outside .hidden sub/in 'a b' 'a;b' ü 'e
'; do hook "$name" 'exit 0'; done
    cat >"$tmp/rows" <<'ROWS'
G1|good|acknowledge|.response_data.message == "one\nthe \"last\" \\ line"
G2|quiet|acknowledge|.response_data == {exit_status: 0}
G3|unended|acknowledge|.response_data.message == "no line end"
G4|control|acknowledge|.response_data.message == "a\tb\u001b[1mc"
G5|long|acknowledge|.response_data.message | test("^0{300}$")
G6|many|acknowledge|.response_data.message | test("^…[0-9]*\n(4[0-9]{4}\n)+50000$") and length == 400
G7|zero|acknowledge|.response_data.message == "ab"
G8|aside|acknowledge|.response_data == {exit_status: 0, message: "aside"}
G9|one_2-3.sh|acknowledge|.response_data.message == "one_2-3.sh"
F1|broken|failed|.message == "it broke" and .response_data.exit_status == 3
F2|broken-quietly|failed|.message == "exit status 255"
F3|killed|failed|.message == "killed by signal 9"
N1|none|failed|.message == "not supported: no such file"
N2|plain|failed|.message == "not supported: the file is not executable"
N3|folder|failed|.message == "not supported: it is a folder"
N4|unread|failed|.message | startswith("not supported: the interpreter")
B1|../outside|failed|.message == $unnamed
B2|.hidden|failed|.message == $unnamed
B3|sub\/in|failed|.message == $unnamed
B4|a b|failed|.message == $unnamed
B5|a;b|failed|.message == $unnamed
B6|\u00fc|failed|.message == $unnamed
B7|e\n|failed|.message == $unnamed
B8|.|failed|.message == $unnamed
B9|..|failed|.message == $unnamed
B10||failed|.message == $unnamed
B11|/bin/sh|failed|.message == $unnamed
B12|good\u0000|failed|.message == $unnamed
ROWS
    set --
    while IFS='|' read -r lcuid name call filter; do
        set -- "$@" --instruction "$(instruction "$name" "$lcuid")"
    done <"$tmp/rows"
    serve "$@" --instruction "$(instruction quiet END)"
    interval=0.1
    launch
    check 'all are reported' await reported END acknowledge
    unnamed='"not supported: its name cannot be that of a file"'
    while IFS='|' read -r lcuid name call filter; do
        filter=$(printf '%s\n' "$filter" | sed "s/\$unnamed/$unnamed/")
        check "$name: $call" reported "$lcuid" "$call" "$filter"
        case $lcuid in
        G* | F*) check "$name: it ran" ran "$lcuid" 1 ;;
        *) check "$name: nothing ran" ran "$lcuid" 0 ;;
        esac
        check "$name: one report" reported_times "$lcuid" 1
    done <"$tmp/rows"
    finish
    check 'it ends well' ended_well
}

# A name that is refused is not even looked for.
names() {
    serve --instruction "$(instruction ../outside I1)" \
        --instruction "$(instruction .hidden I2)" \
        --instruction "$(instruction sub/in I3)" \
        --instruction "$(instruction none I4)"
    if ! strace -o "$tmp/trace" true 2>"$tmp/traced"; then
        ok "names # SKIP it takes strace: $(head -n 1 "$tmp/traced")"
        return
    fi
    wrap="strace -D -f -e trace=%file,execve -o $tmp/trace"
    launch
    check 'all are reported' await reported I4 failed
    check 'one that is allowed is looked for' grep -q '/none"' "$tmp/trace"
    check 'the others are not' eval \
        '! grep -E "outside|hidden|sub/in" "$tmp/trace"'
    finish
}

# What a hook is given, and what it is not.
surroundings() {
    hook look 'cat >"$tmp/stdin"; env >"$tmp/env"; ls /proc/self/fd >"$tmp/fds"
grep "^Sig" /proc/self/status >"$tmp/signals"
ps -o pid=,pgid= -p $$ >"$tmp/group"; pwd >"$tmp/pwd"
readlink /proc/self/fd/2 >"$tmp/stderr"; echo from-the-hook >&2'
    hook empty 'cat >"$tmp/stdin-$LUCIT_INSTRUCTION"'
    hook never-reads 'exec <&-; exit 0'
    hook reads-late 'sleep 0.5; tr -d "\n" | wc -c'
    parameters='["a \"b\"",{"key":[1,2.50,null]}]'
    most=[\"$(printf '%03900d' 0)\"]
    serve --instruction "$(instruction look I1 "$parameters")" \
        --instruction "$(instruction empty I2 '[]')" \
        --instruction "$(instruction empty I3 '{"a":1}')" \
        --instruction "$(instruction empty I4 null)" \
        --instruction '{"instruction":"empty","lcuid":"I5","status":1}' \
        --instruction "$(instruction never-reads I6 "$most")" \
        --instruction "$(instruction reads-late I7 "$most")" \
        --instruction "$(instruction empty I8 [\"$(printf '%04000d' 0)\"])" \
        --instruction "$(instruction empty I9)"
    ls /proc/self/fd >"$tmp/ours" </dev/null # whatever was there before us
    LUCIT_INSTRUCTION=of-before && export LUCIT_INSTRUCTION
    launch
    unset LUCIT_INSTRUCTION
    check 'all are reported' await reported I9 acknowledge
    check 'parameters: on standard input, as they came' \
        [ "$(cat "$tmp/stdin")" = "$parameters" ]
    check 'parameters: none' [ "$(cat "$tmp/stdin-I2")" = '[]' ]
    check 'parameters: an object' [ "$(cat "$tmp/stdin-I3")" = '{"a":1}' ]
    check 'parameters: null' jq -e '. == null or . == []' "$tmp/stdin-I4"
    check 'parameters: left out' [ "$(cat "$tmp/stdin-I5")" = '[]' ]
    check 'parameters: never read' reported I6 acknowledge
    check 'parameters: read late, whole' eval 'reported I7 acknowledge \
        ".response_data.message == \"${#most}\""'
    check 'parameters: too long for the memory' eval \
        'reported I8 failed "(.message | startswith(\"too long to be kept\"))" && ran I8 0'
    check 'environment: the lcuid, once' \
        [ "$(grep '^LUCIT_INSTRUCTION=' "$tmp/env")" = LUCIT_INSTRUCTION=I1 ]
    check 'environment: the name' grep -qx LUCIT_NAME=look "$tmp/env"
    check 'environment: the rest is inherited' grep -q '^PATH=' "$tmp/env"
    check 'descriptors: none of the daemon'"'"'s' eval \
        '[ -s "$tmp/fds" ] && ! grep -vxf "$tmp/ours" "$tmp/fds"'
    check 'descriptors: standard error is not the log' \
        grep -q '^pipe:' "$tmp/stderr"
    check '... but goes there' said ': hook look: from-the-hook'
    check 'signals: none is blocked' grep -q '^SigBlk:.0*$' "$tmp/signals"
    check 'signals: SIGPIPE is not ignored' \
        grep -q '^SigIgn:.*[02468ace]...$' "$tmp/signals"
    read -r pid group <"$tmp/group"
    check 'a process group of its own' [ "$pid" = "$group" ]

    # Secrets: nowhere that another user or a log could show them.
    tr '\0' '\n' <"/proc/$daemon/cmdline" >"$tmp/cmdline"
    finish
    check 'the token is in no log, argument, file or environment' eval '
        [ -s "$tmp/cmdline" ] && ! grep -rF "$token" "$out" "$err" \
            "$tmp/cmdline" "$tmp/state" "$tmp/env" "$requests"'
    check 'only the owner can read the memory' \
        [ "$(stat -c %a "$state")" = 600 ]
}

# ---- Time ------------------------------------------------------------------

# Past its limit a hook ends with all of its group; heartbeats go on meanwhile.
limit() {
    hook stubborn 'trap "" TERM; echo $$ >"$tmp/pid"; sleep 300 &
echo $! >"$tmp/grandchild"; sleep 300; sleep 300'
    hook obedient 'sleep 300'
    hook polite 'trap "echo x >$tmp/polite; exit 4" TERM; sleep 300'
    serve --instruction "$(instruction stubborn I1)" \
        --instruction "$(instruction obedient I2)" \
        --instruction "$(instruction polite I3)"
    launch --hook-timeout 5
    check 'it runs' await [ -s "$tmp/grandchild" ]
    before=$(count /heartbeat)
    check 'stubborn: failed, timed out' await reported I1 failed \
        '.message == "timed out after 5 s"'
    check 'stubborn: heartbeats went on' \
        [ $(($(count /heartbeat) - before)) -ge 3 ]
    check 'stubborn: the hook is gone' await gone "$(cat "$tmp/pid")"
    check 'stubborn: its child is gone' await gone "$(cat "$tmp/grandchild")"
    check 'obedient: failed' await reported I2 failed '.message | test("time")'
    check 'polite: failed' await reported I3 failed '.message | test("time")'
    check 'polite: its child was told, too' [ -s "$tmp/polite" ]
    finish
    check 'it ends well' ended_well
}

lives_on() { kill -0 "$1" && ! gone "$1"; } # PID

# A child that goes on must not hold up the report, wherever it went.
background() {
    hook child 'sleep 300 & echo $! >"$tmp/child"; echo left'
    hook session 'setsid sh -c "echo \$\$ >$tmp/session; exec sleep 300" &
until [ -s "$tmp/session" ]; do sleep 0.02; done; echo left'
    serve --instruction "$(instruction child I1)" \
        --instruction "$(instruction session I2)"
    launch
    check 'it runs' await ran I1 1
    check 'a child: reported' await reported I1 acknowledge \
        '.response_data.message == "left"'
    check 'a child: gone' await gone "$(cat "$tmp/child")"
    check 'a child with a session of its own: reported' \
        await reported I2 acknowledge '.response_data.message == "left"'
    check '... and not gone' lives_on "$(cat "$tmp/session")"
    kill "$(cat "$tmp/session")"
    finish
}

# 0 is no limit: a hook may run on, and nothing is too late.
no_limits() {
    hook slow 'sleep 2; echo done'
    serve --instruction "$(instruction slow I1 [] "$(at -9999999)")"
    launch --hook-timeout 0 --max-age 0
    check 'it runs, to its own end' await reported I1 acknowledge \
        '.response_data.message == "done"'
    finish
    check 'it ends well' ended_well
}

# One that spoils the reply, or cannot be told from others, is sent for ever, by
# turns with good ones: these run, and heartbeats go on at their interval.
poison() { # POISON PATTERN: the line that the log has
    hook play 'echo done'
    format=
    serve --again --instruction "$(instruction play I1)" --instruction "$1" \
        --instruction "$(instruction play I2)" \
        --instruction "$(instruction play I3)"
    launch
    for lcuid in I1 I2 I3; do
        check "$lcuid, beside it: reported" await reported "$lcuid" acknowledge
        check "$lcuid, beside it: ran once" ran "$lcuid" 1
    done
    beats 2
    check 'it is said' said "$2"
    lines=$(grep -cie "$2" "$err")
    check 'heartbeats go on' beats 30
    check '... and it is not said again' \
        [ "$(grep -cie "$2" "$err")" -eq "$lines" ]
    check '... nor is anything else of it' [ "$(wc -l <"$err")" -le 8 ]
    finish
    check 'it ends well' ended_well
}

# Without an lcuid nobody can report it.
poison_nameless() {
    poison '{"instruction":"play","lcuid":7}' 'lcuid is missing or malformed'
    check 'the log has one line of it' [ "$lines" -eq 1 ]
}

# The parser refuses the whole reply.
poison_deep() {
    deep=$(printf '%080d' 0 | tr 0 '[')$(printf '%080d' 0 | tr 0 ']')
    poison "$(instruction play D1 "$deep")" 'json:'
}

# What is for later waits, whatever happens meanwhile.
later() {
    port=$(free_ports 1)
    hook play 'date +%s >"$tmp/when"'
    when=$(($(date +%s) + 15)) one=$(instruction play I1 [] "$(at 15)")
    serve --instruction "$one"
    launch
    beats 3
    check 'it is not yet run' ran I1 0
    check 'nor reported' reported_times I1 0
    finish
    check 'it ends well' ended_well
    stop "$server"
    touch "$tmp/vouched" # by the kernel
    wrap="$(pretend "$tmp/none" /dev/urandom) VOUCHED=$tmp/vouched"
    launch
    check 'it runs, over a restart, without a server' await ran I1 1
    check 'at its time' eval '
        await [ -s "$tmp/when" ] && now=$(cat "$tmp/when") && echo "$now" &&
        [ "$now" -ge "$when" ] && [ "$now" -le $((when + 30)) ]'
    serve --instruction "$one"
    check 'it is reported' await reported I1 acknowledge
    check '... and ran once' ran I1 1
    finish
}

# What comes too late is not made up for.
stale() {
    hook play 'echo done'
    serve --instruction "$(instruction play I1 [] "$(at -100)")" \
        --instruction "$(instruction play I2 [] "$(at -5)")" \
        --instruction "$(instruction play I3 [] '"soon"')"
    launch --max-age 60
    check 'one long past: failed' await reported I1 failed \
        '(.message | startswith("stale: "))'
    check 'one long past: not run' ran I1 0
    check 'one just past: runs' await reported I2 acknowledge
    check 'one without a time that can be read: failed' await reported I3 \
        failed '.message == "run_at cannot be read"'
    check '... and not run' ran I3 0
    finish
    stop "$server"
    serve --instruction "$(instruction play J1 [] "$(at -3000)")" \
        --instruction "$(instruction play J2 [] "$(at -4000)")"
    launch
    check 'within an hour, if nothing else is said' await reported J1 \
        acknowledge
    check 'not beyond it' await reported J2 failed '(.message | startswith("stale: "))'
    finish
}

# ---- Reports ---------------------------------------------------------------

# Those that end the process are acknowledged first.
ack_first() {
    known='grep -q "/$LUCIT_INSTRUCTION/acknowledge 200" "$tmp/requests" &&
        echo "$LUCIT_INSTRUCTION" >>"$tmp/known"'
    : >"$tmp/known"
    hook reboot "$known"
    hook update "$known; echo broken; exit 1"
    hook halt "$known; kill -KILL \$(cat \"\$tmp/daemon\")"
    hook play "$known; echo done"
    fail 500 - /acknowledge
    serve --again --instruction "$(instruction reboot I1)" \
        --instruction "$(instruction play I2)" \
        --instruction "$(instruction update I3)" \
        --instruction "$(instruction halt I4)" \
        --instruction "$(instruction play I5)"
    set -- --ack-first reboot --ack-first update --ack-first halt
    launch "$@"
    echo "$daemon" >"$tmp/daemon"
    check 'it is tried' await counts 2 '/acknowledge 500'
    beats 2
    check 'not acknowledged, it does not run' ran I1 0
    mend
    check 'once acknowledged it runs' await ran I1 1
    check '... in this order' await grep -qx I1 "$tmp/known"
    check 'another is acknowledged' await reported I2 acknowledge
    check '... after it ran' eval '! grep -qx I2 "$tmp/known"'
    check 'one that fails behind it' await reported I3 failed
    check '... was acknowledged first' grep -qx I3 "$tmp/known"
    check 'one that ends the daemon runs' await ran I4 1
    check '... and ends it' await gone "$daemon"
    launch "$@"
    check 'the next one runs after the restart' await reported I5 acknowledge
    check '... and the one before did only once' ran I4 1
    check '... and has not failed' reported I4 acknowledge
    finish
}

# At once, but for what many devices were to do at the same time.
prompt() {
    hook play 'echo done'
    serve --instruction "$(instruction play I1)" \
        --instruction "$(instruction play I2 [] "$(at -1)")"
    interval=2
    launch --count 4
    heartbeats_before() { # LCUID: its report
        sed "/\/$1\/acknowledge 200/q" "$requests" |
            grep -c '^POST .*/heartbeat'
    }
    check 'a report goes out' await reported I1 acknowledge
    check '... at once' [ "$(heartbeats_before I1)" -eq 1 ]
    check 'that of a run_at' await reported I2 acknowledge
    check '... with the next heartbeat' [ "$(heartbeats_before I2)" -eq 3 ]
    finish
}

# Those that could not be sent are kept, and then go out in a row.
pending() {
    run_eight
    beats 2
    finish
    check 'none is reported' eval '! counts 1 "/acknowledge 200"'
    mend
    interval=20 # a heartbeat that is due would come between them
    launch --count 9
    for n in 1 2 3 4 5 6 7 8; do
        check "$n is reported" await reported "I$n" acknowledge
    done
    finish
    check 'each ran once' [ "$(wc -l <"$marks")" -eq 8 ]
    check 'one behind the other' awk '/\/heartbeat/ { n = 0 }
        /\/acknowledge 200/ && ++n == 8 { found = 1 }
        END { exit !found }' "$requests"
}

# A report that will never be taken is dropped, and is not in the way.
refused() {
    hook play 'echo done'
    fail 404 - /I1/acknowledge
    serve --instruction "$(instruction play I1)" \
        --instruction "$(instruction play I2)"
    launch
    check 'one that is refused' await counts 1 '/I1/acknowledge 404'
    check 'the next one' await reported I2 acknowledge
    beats 4
    check 'it is not sent again' [ "$(count '/I1/acknowledge')" -eq 1 ]
    finish
}

# ---- Failures --------------------------------------------------------------

# Retry-After, a dropped connection, and what the next heartbeat says of it.
failures() {
    serve
    launch --info 'screen: on'
    beats 2
    check 'all is well, and no error is told' [ "$(info 1)" = '["screen: on"]' ]
    since=$(date +%s%N)
    fail 429 5
    check 'a 429' await counts 1 '/heartbeat 429'
    mend
    before=$(count '/heartbeat')
    check '... and the heartbeat after it' beats 1
    waited=$((($(date +%s%N) - since) / 1000000))
    check '... comes after the five seconds' [ "$waited" -ge 4900 ]
    check '... and not much later' [ "$waited" -le 60000 ]
    info +$((before + 1)) >"$tmp/info"
    check '... and tells of it' jq -e 'length == 2 and .[0] == "screen: on" and
        (.[1] | test("^last error: .*429"))' "$tmp/info"
    beats 2
    check '... once' [ "$(info 1)" = '["screen: on"]' ]
    fail drop
    await grep -q '"result":"truncated"' "$out"
    mend
    check 'a dropped connection is told' await is_told truncated
    finish
    check 'it ends well' ended_well
}

# 401: one log-in, then the heartbeat again.
login() {
    old=$token
    fresh=ZnJlc2g.dG9rZW4.b2YtdGhlLXBsYXllcg
    echo "$fresh" >"$tmp/fresh"
    printf 'login-of-the-player\nsecret-of-the-player\n' >"$tmp/secret"
    printf 'login-of-the-player\nsecret-of-another\n' >"$tmp/wrong"
    echo expired-token >"$tmp/expired"
    chmod 644 "$tmp/expired"
    serve --auth login-of-the-player:secret-of-the-player \
        --auth-token "$tmp/fresh"
    launch --token-file "$tmp/expired" --secret-file "$tmp/secret"
    check 'a 401: a log-in' await counts 1 '/auth 200'
    check '... which is noted' await said 'logged in'
    check '... the heartbeat again' await counts 1 '/heartbeat 200'
    check '... the token is in its file' [ "$(cat "$tmp/expired")" = "$fresh" ]
    check '... only for its owner' [ "$(stat -c %a "$tmp/expired")" = 600 ]
    check '... and nothing is beside it' \
        [ "$(ls "$tmp" | grep -c '^expired')" -eq 1 ]
    beats 3
    check '... once' eval \
        '[ "$(count /auth)" -eq 1 ] && [ "$(count "/heartbeat 401")" -eq 1 ]'
    check '... and is told to nobody as an error' eval '! is_told logged'
    finish
    launch --token-file "$tmp/expired" --secret-file "$tmp/secret"
    beats 2
    check 'the next start uses that token' [ "$(count /auth)" -eq 1 ]
    finish
    launch --token-file "$tmp/none" --secret-file "$tmp/secret"
    check 'no token file: a log-in first' await counts 2 '/auth 200'
    check '... and a heartbeat' beats 1
    check '... and then there is one' [ "$(cat "$tmp/none")" = "$fresh" ]
    finish
    heartbeats=$(count '/heartbeat 401') logins=$(count '/auth 401')
    echo expired-token >"$tmp/expired"
    launch --token-file "$tmp/expired" --secret-file "$tmp/wrong"
    check 'a wrong secret' await counts $((logins + 2)) '/auth 401'
    check '... is noted' said 'the log-in with --secret-file failed'
    finish
    heartbeats=$(($(count '/heartbeat 401') - heartbeats))
    logins=$(($(count '/auth 401') - logins))
    check '... never more than one log-in a heartbeat' \
        [ "$logins" -le "$heartbeats" ]
    check '... the token file stays' [ "$(cat "$tmp/expired")" = expired-token ]
    fail 401 - /heartbeat
    launch --token-file "$tmp/expired" --secret-file "$tmp/secret"
    heartbeats=$(count '/heartbeat 401') logins=$(count '/auth 200')
    await counts $((logins + 2)) '/auth 200'
    finish
    mend
    heartbeats=$(($(count '/heartbeat 401') - heartbeats))
    logins=$(($(count '/auth 200') - logins))
    check 'a log-in that is no help: one, two heartbeats, and it backs off' \
        [ $((logins * 2)) -le $((heartbeats + 1)) ]
    check 'nothing secret is in a log' eval '! grep -E \
        "fresh|ZnJlc2g|secret-of|login-of|expired-token" "$out" "$requests" &&
        ! grep -E "ZnJlc2g|secret-of|login-of|expired-token" "$err"'
    token=$old
}

# ---- Signals ---------------------------------------------------------------

ending() {
    hook ignores 'trap "" TERM; echo $$ >"$tmp/pid"; sleep 300'
    hook obeys 'echo $$ >"$tmp/pid"; exec sleep 300'
    hook saves 'trap "echo saved; exit 0" TERM; echo $$ >"$tmp/pid"
sleep 300 & wait'
    interval=60
    serve
    launch
    sleep 0.4
    finish
    check 'before the first heartbeat' ended_well
    interval=0.2
    start "$tmp/mute.log" 'listening on' socat -d -d -u \
        TCP4-LISTEN:0,bind=127.0.0.1,fork OPEN:/dev/null
    launch
    await grep -q accepting "$tmp/mute.log"
    sleep 0.1
    finish
    check 'with a server that is silent' ended_well
    for name in ignores obeys saves; do
        stop "$server"
        port=0
        rm -f "$tmp/pid"
        serve --instruction "$(instruction "$name" "I-$name")"
        launch
        await [ -s "$tmp/pid" ]
        sleep 0.1
        finish
        check "with a hook that $name: it ends well" ended_well
        case $name in
        ignores) wanted=failed filter='.message == "interrupted"' ;;
        obeys) wanted=failed filter='.message | test("interrupted|signal")' ;;
        # Where the disk takes longer than the daemon has, what it printed is
        # not reported.
        saves) wanted=acknowledge filter='.response_data.exit_status == 0' ;;
        esac
        [ "$name" = ignores ] ||
            check "with a hook that $name: which is gone" \
                await gone "$(cat "$tmp/pid")"
        launch
        check "with a hook that $name: $wanted, by the next start" \
            await reported "I-$name" "$wanted" "$filter"
        check "with a hook that $name: it ran once" ran "I-$name" 1
        finish
    done
    launch
    beats 1
    finish INT
    check 'SIGINT, too' ended_well
}

# SIGHUP: new files, if they are any good.
reload() {
    cp "$certs/ca.pem" "$tmp/ca.pem"
    cp "$tmp/token" "$tmp/mine"
    serve
    launch --token-file "$tmp/mine" --ca "$tmp/ca.pem"
    last_is() { # RESULT [HTTP-STATUS]
        tail -n 1 "$out" | jq -e ".result == \"$1\" and (\"${2-}\" == \"\" or
            .http_status == ${2:-0})"
    }
    rehup() { # NAME WORD: with a broken file
        kill -s HUP "$daemon"
        check "$1: is told" await said "$2"
        check "$1: heartbeats go on" beats 3
        check "$1: as before" last_is ok 200
    }
    beats 1
    : >"$tmp/mine"
    rehup 'an empty token' token
    rm "$tmp/mine"
    rehup 'no token file' "$tmp/mine"
    head -n 5 "$certs/ca.pem" >"$tmp/ca.pem"
    rehup 'a broken CA file' "$tmp/ca.pem"
    rm "$tmp/ca.pem"
    rehup 'no CA file' "No such file"
    cp "$certs/ca.pem" "$tmp/ca.pem"
    echo another >"$tmp/mine"
    kill -s HUP "$daemon"
    check 'another token' await last_is status 401
    cp "$tmp/token" "$tmp/mine"
    kill -s HUP "$daemon"
    check 'the right one again' await last_is ok 200
    cp "$certs/other-ca.pem" "$tmp/ca.pem"
    kill -s HUP "$daemon"
    check 'another root' await last_is cert-trust
    cp "$certs/ca.pem" "$tmp/ca.pem"
    kill -s HUP "$daemon"
    check 'the right one again' await last_is ok 200
    check 'it lives' lives
    finish
    check 'it ends well' ended_well
}

# ---- What it tells ---------------------------------------------------------

# The lines of a command, if it comes to an end.
command_info() {
    printf '#!/bin/sh\n%s\n' 'echo "load: 1"; echo; echo "free: \"2\""' \
        >"$tmp/two lines"
    printf '#!/bin/sh\n%s\n' 'echo "a line"; exit 3' >"$tmp/fails"
    printf '#!/bin/sh\n%s\n' 'printf "a\tb\377c\n"; cat' >"$tmp/odd"
    printf '#!/bin/sh\n%s\n' 'yes endless' >"$tmp/endless"
    printf '#!/bin/sh\n%s\n' 'yes | tr -d "\n"' >"$tmp/one-line"
    printf '#!/bin/sh\n%s\n' 'echo $$ >>"$0.pid"; echo first; exec sleep 300' \
        >"$tmp/hangs"
    chmod 755 "$tmp/two lines" "$tmp/fails" "$tmp/odd" "$tmp/endless" \
        "$tmp/one-line" "$tmp/hangs"
    serve
    told() { # NAME FILTER COMMAND
        launch --info first --info-command "$3"
        check "$1: a heartbeat" beats 1
        info 1 >"$tmp/info"
        check "$1: $2" jq -e "$2" "$tmp/info"
        finish
        check "$1: it ends well" ended_well
    }
    told 'two lines' '.[0] == "first" and (.[1:] - [""]) ==
        ["load: 1", "free: \"2\""]' "$tmp/two lines"
    told 'failing' 'length >= 2 and (.[1:] | tostring | test("3"))' "$tmp/fails"
    told 'not there' 'length >= 2' "$tmp/none"
    told 'odd bytes, and standard input' \
        'length == 2 and (.[1] | test("^a.b.c$"))' "$tmp/odd"
    told 'endless' 'length | . >= 2 and . < 1000' "$tmp/endless"
    told 'endless, one line' \
        'length >= 2 and (tostring | length < 70000)' "$tmp/one-line"
    hanging=$(date +%s)
    told 'hanging' '.[0] == "first" and length >= 2' "$tmp/hangs"
    check 'hanging: for five seconds' [ $(($(date +%s) - hanging)) -ge 4 ]
    check 'hanging: it is gone' await gone "$(tail -n 1 "$tmp/hangs.pid")"
    rm "$tmp/hangs.pid" # it may have been started more than once
    no_hurry # it has five minutes
    launch --info-command "$tmp/hangs"
    await lines_are "$tmp/hangs.pid" 1
    finish
    check 'hanging, at the end' ended_well
}

# As systemd would hear it.
notify() {
    # It goes on until three have come.
    hook slow 'alive() { grep -c WATCHDOG=1 "$tmp/one"; }
env >"$tmp/env"; before=$(alive)
while [ "$(alive)" -lt $((before + 3)) ]; do sleep 0.05; done'
    fail 500 - /heartbeat
    serve --instruction "$(instruction slow I1)"
    listen "$tmp/one" "$tmp/notify"
    export NOTIFY_SOCKET
    WATCHDOG_USEC=600000 && export WATCHDOG_USEC
    launch
    check 'READY' await heard "$tmp/one" READY=1
    mend
    check 'WATCHDOG, while a hook runs, too' await reported I1 acknowledge
    finish
    check 'STOPPING' await heard "$tmp/one" STOPPING=1
    check 'READY comes once' [ "$(grep -c READY=1 "$tmp/one")" -eq 1 ]
    interval=3600
    before=$(grep -c WATCHDOG=1 "$tmp/one")
    launch
    check 'WATCHDOG, while there is nothing to do' await eval \
        '[ $(($(grep -c WATCHDOG=1 "$tmp/one") - before)) -ge 4 ]'
    finish
    interval=0.2
    WATCHDOG_PID=1 && export WATCHDOG_PID
    listen "$tmp/two" "@heartbeat-$$"
    launch
    check 'READY, by an abstract name' await heard "$tmp/two" READY=1
    sleep 0.7
    finish
    check 'no WATCHDOG for another process' eval '! heard "$tmp/two" WATCHDOG=1'
    unset WATCHDOG_USEC WATCHDOG_PID
    NOTIFY_SOCKET=$tmp/nobody
    launch
    check 'a socket that is not there' beats 2
    unset NOTIFY_SOCKET
    finish
    check 'it ends well' ended_well
}

# A line a heartbeat, and one a hook.
log() {
    hook play 'echo done'
    hook noisy 'printf "\033[2J\n"; exit 3'
    serve --instruction "$(instruction play I1)" \
        --instruction "$(instruction noisy I2)" \
        --instruction "$(instruction '\u001b[2J' I3)"
    launch
    check 'all are reported' await reported I3 failed
    fail 500
    beats 2
    mend
    beats 2
    finish
    check 'as JSON: each line is an object' eval '
        jq -Re "fromjson | type == \"object\"" "$out" >"$tmp/types" &&
            ! grep -vx true "$tmp/types"'
    check 'as JSON: a line a heartbeat' [ "$(jq -r 'select(.result != null and
        .connection != null) | .result' "$out" | wc -l)" -ge \
        "$(count /heartbeat)" ]
    check 'as JSON: the hook that ended' grep -q I1 "$out"
    stop "$server"
    port=0
    serve --instruction "$(instruction play J1)" \
        --instruction "$(instruction noisy J2)" \
        --instruction "$(instruction '\u001b[2J' J3)"
    : >"$out"
    : >"$err"
    as_text() { # OPTION...
        "$command" --device "$device" --app "$app" --token-file "$tmp/token" \
            --lightning-version 4.2.1 --ca "$certs/ca.pem" --connect \
            "127.0.0.1:$port" --interval 0.2 --state "$state" \
            --hooks "$hooks" "$@" >>"$out" 2>>"$err" </dev/null &
        daemon=$!
        children="$children $daemon"
    }
    as_text
    heartbeats=$(count /heartbeat)
    check 'as text: all are reported' await reported J3 failed
    beats 3
    finish
    heartbeats=$(($(count /heartbeat) - heartbeats))
    # Three hooks, or what stands for them, and three reports at most.
    check 'as text: a line a heartbeat, one a hook' eval '
        lines=$(cat "$out" "$err" | wc -l) && echo "$lines of $heartbeats" &&
        [ "$lines" -ge "$heartbeats" ] && [ "$lines" -le $((heartbeats + 7)) ]'
    check 'as text: no byte that a terminal obeys' eval \
        '! grep -qP "[\x00-\x08\x0b-\x1f\x7f]|\xc2[\x80-\x9f]" "$out" "$err"'
    stamp='^20[0-9][0-9]-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-6][0-9]Z '
    unstamped() { grep -hv "$stamp" "$@"; } # FILE...
    check 'as text: each line begins with the time' eval '
        [ -s "$out" ] && [ -s "$err" ] && ! unstamped "$out" "$err"'

    # The journal is where JOURNAL_STREAM says: there lines have a time already.
    : >"$out"
    : >"$err"
    JOURNAL_STREAM=$(stat -c %d:%i "$err") && export JOURNAL_STREAM
    as_text --ack-first none
    beats 2
    fail 500
    beats 2
    mend
    finish
    unset JOURNAL_STREAM
    check 'in the journal: what goes there has no time' eval '
        grep -q "^lucit-heartbeat: --ack-first none: " "$err" &&
        grep -q "^status: " "$err" && ! grep "$stamp" "$err"'
    check 'in the journal: what goes elsewhere has one' eval '
        [ -s "$out" ] && ! unstamped "$out"'
}

# ---- Signals that ask for a heartbeat ---------------------------------------

# SIGUSR1: one now, and one a second at most, however often it comes.
asked() {
    hook look 'grep "^Sig" /proc/self/status >"$tmp/signals"'
    serve --instruction "$(instruction look I1)"
    interval=3600
    wrap='env --ignore-signal=USR1'
    launch
    await minds
    kill -s USR1 "$daemon"
    check 'before the first one is due' await counts 1 '/heartbeat 200'
    check 'a hook' await reported I1 acknowledge
    check '... does not ignore it' \
        grep -q '^SigIgn:.*[014589cd]..$' "$tmp/signals"
    fail 500
    kill -s USR1 "$daemon"
    check 'before the next one is due' await counts 1 '/heartbeat 500'
    kill -s USR1 "$daemon"
    check 'while it backs off' await counts 2 '/heartbeat 500'
    before=$(count /heartbeat) since=$(date +%s)
    for _ in $(seq 300); do
        kill -s USR1 "$daemon"
        sleep 0.01
    done
    check 'three hundred of them: some more' \
        await counts $((before + 1)) /heartbeat
    more=$(($(count /heartbeat) - before)) took_s=$(($(date +%s) - since))
    check "... $more, not more than one a second, in $took_s s" \
        [ "$more" -le $((took_s + 2)) ]
    check 'it lives' lives
    finish
    check 'it ends well' ended_well
}

# ---- What systemctl shows ---------------------------------------------------

# STATUS= is told when something changes, and at no other time.
status() {
    hook slow 'for n in $(seq 200); do echo $n; done
until [ -e "$tmp/go" ]; do sleep 0.05; echo alive; done'
    serve --instruction "$(instruction slow I1)"
    listen "$tmp/told" "$tmp/notify"
    export NOTIFY_SOCKET
    interval=3600
    launch
    time='20[0-9-]*T[0-9:]*Z'
    told() { # PATTERN
        grep -q " STATUS=$1\$" "$tmp/told"
    }
    check 'at the start' await told \
        "no heartbeat yet; the next one at $time"
    kill -s USR1 "$daemon"
    ok="last heartbeat: ok (HTTP 200) at $time; the next one at $time"
    check 'a hook runs' await told "$ok; hook slow runs"
    sleep 1
    touch "$tmp/go"
    check 'it has ended' await told "$ok"
    await reported I1 acknowledge
    # At the start, SIGUSR1, the heartbeat, its hook, and the hook's end.
    times=$(grep -c STATUS= "$tmp/told")
    check "it is told $times times, not at each turn" [ "$times" -le 5 ]
    fail 503
    kill -s USR1 "$daemon"
    check 'a failure' await told \
        "last heartbeat: status (HTTP 503) at $time; the next one at $time"
    stop "$server"
    kill -s USR1 "$daemon"
    check 'no server' await told \
        "last heartbeat: connect at $time; the next one at $time"
    check 'READY comes once' [ "$(grep -c READY=1 "$tmp/told")" -eq 1 ]
    finish
    check 'STOPPING' await heard "$tmp/told" STOPPING=1
    check '... and nothing behind it' eval \
        'tail -n 1 "$tmp/told" | grep -q STOPPING=1'
}

# ---- The memory's lock ------------------------------------------------------

# One daemon to a file.
lock() {
    hook play 'echo done'
    serve
    launch
    first=$daemon
    beats 1
    run timeout 50 "$command" --device "$device" --app "$app" \
        --token-file "$tmp/token" --lightning-version 4.2.1 \
        --ca "$certs/ca.pem" --connect "127.0.0.1:$port" --interval 0.2 \
        --state "$state" --hooks "$hooks"
    check 'a second daemon refuses, in words' eval \
        '[ "$status" -eq 3 ] && said "another lucit-heartbeat"'
    check '... and the first goes on' beats 2
    daemon=$first
    kill -s KILL "$daemon"
    wait "$daemon"
    launch
    check 'one that was killed is in nobody'"'"'s way' beats 2
    check '... it lives' lives
    finish
    check 'it ends well' ended_well
}

# What is in the file may be anything.
torn() {
    hook play 'echo done'
    serve --instruction "$(instruction play I1)"
    launch
    await reported I1 acknowledge
    beats 2
    finish
    cp "$state" "$tmp/good"
    size=$(stat -c %s "$state")
    n=1
    : >"$tmp/empty"
    head -c $((size - 1)) "$tmp/good" >"$tmp/cut"
    { cat "$tmp/good" && echo; } >"$tmp/longer"
    head -c 100000 /dev/urandom >"$tmp/foreign"
    { head -c 200 "$tmp/good" && printf x && tail -c +202 "$tmp/good"; } \
        >"$tmp/changed"
    for name in cut longer foreign changed empty; do
        n=$((n + 1))
        stop "$server"
        port=0
        serve --instruction "$(instruction play "I$n")"
        cp "$tmp/$name" "$state"
        : >"$err"
        launch
        check "$name: it starts all the same" await reported "I$n" acknowledge
        check "$name: with a warning" said "kept as $state.bad"
        check "$name: it is kept" cmp "$tmp/$name" "$state.bad"
        finish
        check "$name: and leaves a good one" eval \
            '[ "$(stat -c %s "$state")" -eq "$size" ] && ended_well'
    done
    : >"$err"
    launch
    beats 2
    finish
    check 'a good one: no warning' [ ! -s "$err" ]
}

# What cannot be written down does not run.
unwritten() {
    hook play 'echo done'
    fail 500
    serve --instruction "$(instruction play I1)" --again
    launch
    beats 1
    mv "$tmp/state" "$tmp/away"
    mend
    beats 4
    check 'the folder is gone: it does not run' ran I1 0
    check 'the folder is gone: is told' said 'No such file'
    check 'the folder is gone: it lives' lives
    mv "$tmp/away" "$tmp/state"
    check 'the folder is back: it runs' await ran I1 1
    check 'the folder is back: it is reported' await reported I1 acknowledge
    beats 2
    check 'the folder is back: it ran once' ran I1 1
    finish
    check 'it ends well' ended_well
}

disk() {
    hook play 'echo done'
    mount -t tmpfs -o size=64k none "$tmp/state"
    head -c 1000000 /dev/zero >"$tmp/state/filler" 2>/dev/null
    serve --instruction "$(instruction play I1)" --again
    launch
    beats 4
    check 'full: it does not run' ran I1 0
    check 'full: is told' said 'No space left'
    rm "$tmp/state/filler"
    check 'room again: it runs' await ran I1 1
    check 'room again: it is reported' await reported I1 acknowledge
    beats 2
    check 'room again: nothing is left beside it' eval \
        '! ls -A "$tmp/state" | grep -vxE "memory(.lock|.spare)?"'
    finish
    stop "$server"
    port=0
    fail 500
    serve --instruction "$(instruction play I2)" --again
    launch
    beats 1
    mount --bind "$tmp/state" "$tmp/state"
    mount -o remount,bind,ro "$tmp/state"
    mend
    beats 4
    check 'read-only: it does not run' ran I2 0
    check 'read-only: is told' said 'Read-only'
    umount "$tmp/state"
    check 'no longer so: it runs' await ran I2 1
    check 'no longer so: it is reported' await reported I2 acknowledge
    finish
    check 'it ends well' ended_well
    umount "$tmp/state"
}

# Without hooks it only learns, and prints.
no_hooks() {
    serve --instruction "$(instruction play I1)" --again
    plain() { # OPTION...: one run
        run "$command" --device "$device" --app "$app" --token-file \
            "$tmp/token" --lightning-version 4.2.1 --ca "$certs/ca.pem" \
            --connect "127.0.0.1:$port" --json "$@"
    }
    plain --state "$state" --count 3 --interval 0.1
    check 'three heartbeats, and the instruction' eval \
        'results_are ok ok ok && [ "$(grep -c I1 "$out")" -eq 3 ]'
    check 'nothing is reported' eval '! counts 1 /instructions/'
    plain --hooks "$hooks"
    check 'hooks without a memory: wrong usage' eval \
        '[ "$status" -eq 2 ] && grep -q -e --state "$err"'
    for option in hook-timeout max-age; do
        for value in -1 soon 1x 99999d ''; do
            plain --state "$state" --hooks "$hooks" "--$option" "$value"
            check "--$option '$value': wrong usage" eval \
                '[ "$status" -eq 2 ] && grep -q -e "--$option" "$err"'
        done
    done
}

# ---- All of them -----------------------------------------------------------

if [ $# -gt 0 ]; then
    "$@"
    done_testing
fi
need jq ps setsid socat strace unshare "$python"
# The longest first.
scenarios <<'SCENARIOS'
command_info
limit
outcomes
later
ending
reload
torn
login
notify
unwritten
apart disk
asked
status
prompt
ack_first
failures
stale
poison_nameless
poison_deep
surroundings
log
pending
once
background
refused
no_limits
lock
names
no_hooks
SCENARIOS
