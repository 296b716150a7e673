#!/bin/sh
# The hooks of lucit-heartbeat: they end with the daemon, however that ends, and
# the next one says what became of them; what they print, what they are given,
# and what cannot be run.
#
# usage: B=build tests/peers/hooks.sh [SCENARIO]
. "$(dirname "$0")/daemon.inc"

# Hooks find the daemon's number here.
launch_told() { # OPTION...
    rm -f "$tmp/daemon"
    launch "$@"
    echo "$daemon" >"$tmp/daemon.new"
    mv "$tmp/daemon.new" "$tmp/daemon"
}
daemon_is='until [ -s "$tmp/daemon" ]; do sleep 0.02; done
daemon=$(cat "$tmp/daemon")'

crash() {
    kill -s KILL "$daemon"
    wait "$daemon" 2>/dev/null
}
# The process that is called so and has the daemon for a parent.
keeper() { pgrep -P "$daemon" -x hook-keeper; }

lives_on() { kill -0 "$1" && ! gone "$1"; } # PID

# ---- The daemon is killed --------------------------------------------------

# No hook of one daemon runs beside a hook of the next.
killed() {
    hook slow 'trap "" TERM HUP INT; echo $$ >"$tmp/slow"
sh -c "trap \"\" TERM HUP INT; echo \$\$ >$tmp/child; while :; do sleep 300; done" &
while :; do sleep 300; done'
    hook next 'for pid in $(cat "$tmp/slow" "$tmp/child"); do
    grep -h "^State:.[^Z]" "/proc/$pid/status" >>"$tmp/beside"
done; exit 0'
    : >"$tmp/beside"
    serve --instruction "$(instruction slow I1)" \
        --instruction "$(instruction next I2)"
    launch
    check 'it runs' await [ -s "$tmp/child" ]
    crash
    launch
    check 'it was interrupted' await reported I1 failed \
        '.message == "interrupted"'
    check 'the hook is gone' gone "$(cat "$tmp/slow")"
    check 'its child is gone' gone "$(cat "$tmp/child")"
    check 'the next one runs' await reported I2 acknowledge
    check '... alone' [ ! -s "$tmp/beside" ]
    check 'it ran once' ran I1 1
    finish
    check 'it ends well' ended_well
}

# The same where a service manager or a terminal signals the whole group.
group() { # SIGNAL
    hook slow 'trap "" TERM HUP INT; echo $$ >"$tmp/slow"
while :; do sleep 300; done'
    serve --instruction "$(instruction slow I1)"
    wrap='setsid'
    launch
    check 'it runs' await [ -s "$tmp/slow" ]
    kill -s "$1" -- "-$daemon"
    check 'the daemon ends' await gone "$daemon"
    wait "$daemon" 2>/dev/null
    check 'so does the hook' await gone "$(cat "$tmp/slow")"
    wrap=
    launch
    check 'it was interrupted' await reported I1 failed \
        '.message == "interrupted"'
    finish
}

# The hook ends the daemon, and has the last word.
last_word() {
    hook good "$daemon_is; kill -KILL \$daemon; sleep 0.05; echo done; exit 0"
    hook bad "$daemon_is; kill -KILL \$daemon; exit 3"
    hook signalled "$daemon_is; kill -KILL \$daemon; kill -USR1 \$\$"
    hook late "$daemon_is; kill -KILL \$daemon; sleep 300"
    hook first-good "$daemon_is; kill -KILL \$daemon; exit 0"
    hook first-bad "$daemon_is; kill -KILL \$daemon; exit 3"
    hook first-signalled "$daemon_is; kill -KILL \$daemon; kill -TERM \$\$"
    hook play 'echo done'
    serve --instruction "$(instruction good I1)" \
        --instruction "$(instruction bad I2)" \
        --instruction "$(instruction signalled I3)" \
        --instruction "$(instruction late I4)" \
        --instruction "$(instruction first-good I5)" \
        --instruction "$(instruction first-bad I6)" \
        --instruction "$(instruction first-signalled I7)" \
        --instruction "$(instruction play I8)"
    for n in 1 2 3 4 5 6 7; do
        launch_told --ack-first first-good --ack-first first-bad \
            --ack-first first-signalled
        check "life $n: its hook ends it" await gone "$daemon"
        wait "$daemon" 2>/dev/null
    done
    launch_told --ack-first first-good --ack-first first-bad \
        --ack-first first-signalled
    check 'the last life goes on' await reported I8 acknowledge
    while IFS='|' read -r lcuid kinds call filter; do
        check "$lcuid: $call" await reported "$lcuid" "$call" "$filter"
        check "$lcuid: ran once" ran "$lcuid" 1
        # One that was on its way when the daemon ended may come again.
        check "$lcuid: no other report" \
            [ "$(reports "$lcuid" | cut -d ' ' -f 1 | uniq | wc -l)" = "$kinds" ]
    done <<'ROWS'
I1|1|acknowledge|.response_data == {exit_status: 0}
I2|1|failed|.message == "exit status 3" and .response_data == {exit_status: 3}
I3|1|failed|.message == "killed by signal 10" and .response_data == {signal: 10}
I4|1|failed|.message == "interrupted"
I5|1|acknowledge|true
I6|2|failed|.message == "exit status 3"
I7|1|acknowledge|true
ROWS
    check 'the log says so, too' eval '
        jq -es "any(.hook == \"good\" and .result == \"acknowledged\")" "$out" &&
        jq -es "any(.hook == \"bad\" and .message == \"exit status 3\")" "$out"'
    check 'nothing is beside the state' eval \
        '! ls -A "$tmp/state" | grep -vxE "memory(.lock|.spare)?"'
    check 'nobody complains' eval \
        '! grep -v "there is no such file: it starts empty" "$err"'
    finish
    check 'it ends well' ended_well
}

# What is in the file of the end may be anything.
damaged() {
    hook play 'echo done'
    for text in '' 'I1' 'I1 play exited' 'I1 play slept 0' 'I1 play exited x'; do
        printf '%s\n' "$text" >"$state.end"
        : >"$err"
        serve
        launch
        beats 1
        check "'$text': it is said" said 'how the last hook ended is not known'
        check "'$text': it goes" [ ! -e "$state.end" ]
        finish
        check "'$text': it ends well" ended_well
        stop "$server"
        port=0
    done
    : >"$err"
    echo 'I1 play exited 0' >"$state.end"
    serve --instruction "$(instruction play I1)"
    launch
    check 'of an unknown instruction: it runs' await reported I1 acknowledge \
        '.response_data.message == "done"'
    check '... it goes' [ ! -e "$state.end" ]
    check '... without a word' [ ! -s "$err" ]
    finish
}

# An update: a child with a session of its own replaces the daemon.
restart() {
    hook update "$daemon_is"'; echo $$ >"$tmp/update"
setsid "$tmp/installer" >/dev/null 2>&1 &
exec sleep 300'
    hook play 'echo done'
    serve --instruction "$(instruction update I1)" \
        --instruction "$(instruction play I2)"
    program installer "daemon=\$(cat \"\$tmp/daemon\"); kill -KILL \$daemon
while grep -q '^State:.[^Z]' /proc/\$daemon/status; do sleep 0.05; done
'$command' --device $device --app $app --lightning-version 4.2.2 \
    --ca '$certs/ca.pem' --connect 127.0.0.1:$port --timeout 60s \
    --interval $interval --json --token-file \"\$tmp/token\" \
    --state '$state' --hooks '$hooks' </dev/null >>'$out' 2>>'$err' &"'
echo $! >"$tmp/restarted"
until grep -q "/I2/acknowledge 200" "$tmp/requests"; do sleep 0.05; done
echo $$ >"$tmp/alive"; exec sleep 300'
    launch_told
    check 'the daemon is ended' await gone "$daemon"
    wait "$daemon" 2>/dev/null
    check 'the next one reports' await reported I1 failed \
        '.message == "interrupted"'
    check 'the hook is gone' gone "$(cat "$tmp/update")"
    check 'the next one runs hooks' await reported I2 acknowledge
    check 'whoever has started it lives on' await [ -s "$tmp/alive" ]
    kill "$(cat "$tmp/alive")" "$(cat "$tmp/restarted")"
    check '... as long as it likes' await gone "$(cat "$tmp/restarted")"
}

# ---- Keepers ---------------------------------------------------------------

# A keeper has nothing of the daemon's, and minds no signal but the last one.
kept() {
    hook slow 'echo $$ >"$tmp/slow"; exec sleep 300'
    hook play 'echo done'
    serve --instruction "$(instruction slow I1)" \
        --instruction "$(instruction play I2)"
    launch
    check 'it runs' await [ -s "$tmp/slow" ]
    keeper=$(keeper)
    check 'it has a keeper' [ -n "$keeper" ]
    open_files() {
        for fd in "/proc/$keeper/fd"/*; do readlink "$fd"; done
    }
    check '... with a socket, three pipes and the lock' await eval '
        open_files | sed "s/:.*//;s,.*/,," | sort | tr "\n" " " |
            grep -qx "memory.lock pipe pipe pipe socket "'
    for signal in HUP INT QUIT TERM TSTP USR1 PIPE CHLD; do
        kill -s "$signal" "$keeper"
    done
    beats 2
    check '... which minds no signal' lives_on "$keeper"
    check '... nor does the hook' lives_on "$(cat "$tmp/slow")"
    kill -s KILL "$keeper"
    check 'killed, it takes the hook along' await gone "$(cat "$tmp/slow")"
    check '... which is reported' await reported I1 failed \
        '.message == "killed by signal 9"'
    check '... and the next one runs' await reported I2 acknowledge
    finish
    check 'it ends well' ended_well
}

# Children that a parent has left to the daemon.
zombies() {
    program parent 'sleep 0.2 & sleep 0.4 & sleep 0.6 & exec "$@"'
    hook play 'echo done'
    serve --instruction "$(instruction play I1)"
    wrap=$tmp/parent
    launch
    check 'a hook runs' await reported I1 acknowledge
    check 'no child is left' await eval '[ -z "$(pgrep -P "$daemon")" ]'
    beats 2
    check 'it lives' lives
    finish
    check 'it ends well' ended_well
}

# A hook that SIGKILL does not end: something else is tracing it.
stuck_hook() {
    cat >"$hooks/stuck" <<PYTHON
#!$python
import ctypes, os, time
libc = ctypes.CDLL(None)
libc.prctl(0x59616D61, -1) # PR_SET_PTRACER
me = os.getpid()
if os.fork() == 0:
    os.setsid()
    libc.ptrace(16, me, 0, 0) # PTRACE_ATTACH
    with open("$tmp/tracer.new", "w") as f:
        f.write("%d %d" % (os.getpid(), me))
    os.rename("$tmp/tracer.new", "$tmp/tracer")
    time.sleep(300)
time.sleep(300)
PYTHON
    chmod 755 "$hooks/stuck"
}
stuck() {
    stuck_hook
    hook play 'echo done'
    serve --instruction "$(instruction stuck I1)" \
        --instruction "$(instruction play I2)"
    launch --hook-timeout 5
    check 'it runs' await [ -s "$tmp/tracer" ]
    read -r tracer pid <"$tmp/tracer"
    check 'it is reported' await reported I1 failed \
        '.message | startswith("timed out after 5 s, cannot be ended: ")'
    check '... as what it is' [ -d "/proc/$pid" ]
    check 'the log says so' eval '
        jq -es "any(.hook == \"stuck\" and
            (.message | test(\"cannot be ended\")))" "$out"'
    check 'the next one runs beside it' await reported I2 acknowledge
    finish
    check 'the daemon ends all the same' ended_well
    kill -s KILL "$tracer"
}

# The same, and the daemon is killed: the next one waits, and then goes on.
stuck_alone() {
    stuck_hook
    hook play 'echo done'
    serve --instruction "$(instruction stuck I1)" \
        --instruction "$(instruction play I2)"
    launch
    check 'it runs' await [ -s "$tmp/tracer" ]
    read -r tracer pid <"$tmp/tracer"
    crash
    before=$(count /heartbeat)
    launch
    since=$(date +%s)
    check 'it is reported' await reported I1 failed \
        '.message | startswith("cannot be ended: ")'
    check '... after the time for that' [ $(($(date +%s) - since)) -ge 9 ]
    check '... as what it is' [ -d "/proc/$pid" ]
    check 'the next one runs beside it' await reported I2 acknowledge
    finish
    check 'the daemon ends all the same' ended_well
    kill -s KILL "$tracer"
}

# ---- What cannot be run ----------------------------------------------------

# The name | what is not supported.  Both the report and the log have it.
not_supported() {
    hook plain :
    chmod 644 "$hooks/plain"
    mkdir "$hooks/folder" "$hooks/noexec"
    ln -s "$tmp/nowhere" "$hooks/dangling"
    ln -s /dev/null "$hooks/device"
    printf '#!/bin/sh\r\nexit 0\r\n' >"$hooks/windows"
    printf '#!%s/none\nexit 0\n' "$tmp" >"$hooks/interpreter"
    printf 'exit 0\n' >"$hooks/no-script"
    printf '#!/dev/null\n' >"$hooks/no-program"
    chmod 755 "$hooks/windows" "$hooks/interpreter" "$hooks/no-script" \
        "$hooks/no-program"
    mount -t tmpfs -o noexec none "$hooks/noexec"
    printf '#!/bin/sh\n' >"$hooks/noexec/hook"
    chmod 755 "$hooks/noexec/hook"
    ln -s noexec/hook "$hooks/mounted"
    cat >"$tmp/rows" <<'ROWS'
none|no such file
plain|the file is not executable
folder|it is a folder
dangling|a link to a file that does not exist
device|it is not a regular file
mounted|its file system is mounted noexec
windows|its first line ends in CR LF, which must be LF alone
interpreter|the interpreter in its first line does not exist
no-script|neither a program of this machine nor a script that begins with #!
no-program|Permission denied
../none|its name cannot be that of a file
ROWS
    set --
    while IFS='|' read -r name why; do
        set -- "$@" --instruction "$(instruction "$name" "I$#")"
    done <"$tmp/rows"
    serve "$@"
    format=
    launch
    n=0
    while IFS='|' read -r name why; do
        check "$name: the report" await reported "I$n" failed \
            ".message == \"not supported: $why\""
        check "$name: the log" grep -qF \
            "hook: \"$name\" \"I$n\" \"failed\" \"not supported: $why\"" "$err"
        n=$((n + 2))
    done <"$tmp/rows"
    check 'nothing ran' [ ! -s "$marks" ]
    finish
    umount "$hooks/noexec"
    check 'it ends well' ended_well
}

# The daemon gets five more descriptors, less than a program takes.
few_descriptors() {
    fd=0 unused=0
    while [ "$unused" -lt 5 ]; do
        [ -L "/proc/$daemon/fd/$fd" ] || unused=$((unused + 1))
        fd=$((fd + 1))
    done
    prlimit --pid "$daemon" --nofile="$fd:1024"
}

# A shortage fails no instruction, until that is stale.
shortage() {
    hook play 'echo done'
    # It gets no descriptors while it waits for the time to run.
    serve --instruction "$(instruction play I1 [] "$(at 3)")"
    launch
    beats 2
    few_descriptors
    check 'it is put off' await said 'play cannot be started: Too many open'
    beats 15
    check '... it lives' lives
    check '... it has not failed' reported_times I1 0
    check '... and the log has one line of it' \
        [ "$(grep -c 'Too many open' "$err")" -eq 1 ]
    check '... as a heartbeat says' is_told 'hook play cannot be started'
    prlimit --pid "$daemon" --nofile=1024:1024
    check 'once there are enough it runs' await reported I1 acknowledge
    check '... once' ran I1 1
    finish
    stop "$server"
    port=0
    serve --instruction "$(instruction play I2 [] "$(at 3)")"
    launch --max-age 4
    beats 2
    few_descriptors
    check 'too late it fails' await reported I2 failed \
        '.message == "stale: it could not be started: Too many open files"'
    check '... and never ran' ran I2 0
    finish
    check 'it ends well' ended_well
}

# ---- What it prints --------------------------------------------------------

# What was said first, and what was said last.
printed() {
    hook service 'echo "Failed to start player.service: Unit not found." >&2
echo "See system logs and systemctl status player.service for details." >&2
exit 5'
    hook long 'for n in $(seq 200); do printf "über "; done; exit 1'
    hook both 'echo out; echo err >&2; exit 1'
    serve --instruction "$(instruction service I1)" \
        --instruction "$(instruction long I2)" \
        --instruction "$(instruction both I3)"
    launch
    check 'two lines: both are reported' await reported I1 failed '.message ==
        "Failed to start player.service: Unit not found.\nSee system logs and systemctl status player.service for details."'
    check '... and in the data' reported I1 failed '.message as $message |
        .response_data == {exit_status: 5, message: $message}'
    check '... and in the log, a line each' eval '
        said "hook service: Failed to start player.service: Unit not found.$" &&
        said "hook service: See system logs and systemctl status"'
    check 'a long one: its end' await is_reported I2
    reports I2 | "$python" -c '
import json, re, sys
body = sys.stdin.read().split(" ", 1)[1]
body = re.sub(r"\\x(..)", lambda m: chr(int(m[1], 16)), body)
message = json.loads(body)["message"].encode("latin-1").decode()
cut = message[1:].encode()
sys.exit(not (message[0] == "…" and 397 <= len(cut) <= 400 and
    ("über " * 200).endswith(message[1:])))'
    check '... at a character, behind an ellipsis' [ $? -eq 0 ]
    check 'both outputs' await reported I3 failed '.message | 
        split("\n") | sort == ["err", "out"]'
    finish
    check 'it ends well' ended_well
}

# A log that nobody reads holds up no hook, and an info command says its errors.
stalled() {
    hook noisy 'seq 200000 >&2; echo "done"'
    program info 'echo fact; echo "no sensor" >&2'
    mkfifo "$tmp/log"
    serve --instruction "$(instruction noisy I1)"
    launch --info-command "$tmp/info"
    check 'the log has what an info command says' await \
        said "--info-command $tmp/info: no sensor\$"
    check '... which is no fact' await eval '[ "$(info 1)" = "[\"fact\"]" ]'
    check 'much to say' await reported I1 acknowledge
    finish
    stop "$server"
    port=0
    serve --instruction "$(instruction noisy I2)"
    exec 8<>"$tmp/log"
    err=$tmp/log
    launch
    check 'nobody reads: the hook ends' await reported I2 acknowledge \
        '.response_data.exit_status == 0'
    beats 2
    check 'it lives' lives
    finish
    check 'it ends well' ended_well
    err=$tmp/err
    exec 8>&-
}

# Those that the daemon has open, some from whoever has started it.
count_pipes() { pipes=$(find "/proc/$daemon/fd" -lname 'pipe:*' | wc -l); }
pipes_are() { # NUMBER
    [ "$(find "/proc/$daemon/fd" -lname 'pipe:*' | wc -l)" -eq "$1" ]
}

# A child with a session of its own may print on.
prints_on() {
    hook session 'setsid sh -c "trap \"echo \$? >$tmp/ended\" EXIT
        echo \$\$ >$tmp/session; until [ -e $tmp/go ]; do sleep 0.05; done
        n=0; while [ \$n -lt 40 ]; do
            n=\$((n + 1)); echo line \$n; echo line \$n >&2; sleep 0.02
        done; seq 30000; echo \$n >$tmp/printed; exec sleep 300" &
until [ -s "$tmp/session" ]; do sleep 0.02; done; echo left'
    fail 500
    serve --instruction "$(instruction session I1)"
    launch
    beats 1
    count_pipes
    mend
    check 'its parent is reported' await reported I1 acknowledge \
        '.response_data.message == "left"'
    : >"$tmp/go"
    check 'it prints on' await [ -s "$tmp/printed" ]
    session=$(cat "$tmp/session")
    check '... and lives' lives_on "$session"
    kill "$session"
    check 'its outputs are closed behind it' await pipes_are "$pipes"
    finish
    check 'it ends well' ended_well
}

# Of many such children the outputs of the last are kept: the number is bounded.
print_on() {
    hook session 'own=$tmp/session-$LUCIT_INSTRUCTION
setsid sh -c "echo \$\$ >$own; exec sleep 300" &
until [ -s "$own" ]; do sleep 0.02; done; echo left'
    set --
    for n in 1 2 3 4 5 6 7 8 9; do
        set -- "$@" --instruction "$(instruction session "I$n")"
    done
    fail 500
    serve "$@"
    launch
    beats 1
    count_pipes
    mend
    check 'all are reported' await reported I9 acknowledge
    check 'so many outputs are open' pipes_are $((pipes + 8))
    kill $(cat "$tmp"/session-I*)
    check '... and then none' await pipes_are "$pipes"
    finish
    check 'it ends well' ended_well
}

# ---- What it is given ------------------------------------------------------

# Neither a password nor what the service manager says to the daemon.
environment() {
    hook look 'env >"$tmp/hook.env"'
    program look 'env >"$tmp/info.new"; mv "$tmp/info.new" "$tmp/info.env"
echo fact'
    serve --instruction "$(instruction look I1)"
    export https_proxy=http://user:secret@proxy.example:3128
    export HTTPS_PROXY=user:secret@proxy.example:3128
    export http_proxy=http://proxy.example:3128/
    export HTTP_PROXY=HTTP://user:se@cret@proxy.example
    export all_proxy=socks5://user:secret@proxy.example
    export ALL_PROXY=http://secret@proxy.example
    export WATCHDOG_USEC=60000000 WATCHDOG_PID=1 LUCIT_TOKEN=secret
    launch --info-command "$tmp/look"
    check 'it runs' await reported I1 acknowledge
    for of in hook info; do
        check "$of: no password" eval \
            "[ -s $tmp/$of.env ] && ! grep -e secret -e user $tmp/$of.env"
        check "$of: nothing for the daemon alone" eval \
            "! grep -e WATCHDOG -e NOTIFY -e LUCIT_TOKEN $tmp/$of.env"
        for row in https_proxy=http://proxy.example:3128 \
            HTTPS_PROXY=proxy.example:3128 \
            http_proxy=http://proxy.example:3128/ \
            HTTP_PROXY=HTTP://proxy.example \
            all_proxy=socks5://proxy.example \
            ALL_PROXY=http://proxy.example; do
            check "$of: $row" grep -qxF "$row" "$tmp/$of.env"
        done
    done
    finish
    check 'it ends well' ended_well
}

# ---- All of them -----------------------------------------------------------

if [ $# -gt 0 ]; then
    "$@"
    done_testing
fi
need jq pgrep prlimit setsid unshare "$python"
# The longest first.
scenarios <<'SCENARIOS'
stuck
stuck_alone
shortage
last_word
killed
group KILL
group INT
restart
kept
damaged
apart not_supported
stalled
printed
prints_on
print_on
zombies
environment
SCENARIOS
