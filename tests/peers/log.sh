#!/bin/sh
# The log of lucit-heartbeat: readers that stand still, are gone or come back,
# files and disks that are full, and a line for whatever becomes of an
# instruction.
#
# usage: B=build tests/peers/log.sh [SCENARIO [ARGUMENT...]]
. "$(dirname "$0")/daemon.inc"

# ---- Readers that stand still ----------------------------------------------

# "hold.py KIND COMMAND...": becomes COMMAND, with this as its standard output
# and standard error.  A process beside it has the other end, and writes what it
# reads there to $tmp/log, but not before SIGUSR1.
#
#     pipe     a pipe of one page, where a line may not fit
#     room     one of 64 KiB, full but for a page
#     socket   a socket, as the journal's stream is one
#     pty      a terminal
#     stopped  one that was stopped by ^S, and goes on by ^Q
beside= # words before the command
hold() { # KIND
    cat >"$tmp/hold.py" <<'PYTHON'
import fcntl, os, pty, signal, socket, sys, termios

tmp, kind, command = sys.argv[1], sys.argv[2], sys.argv[3:]
first = b""
if kind in ("pipe", "room"):
    theirs, ours = os.pipe()
    size = fcntl.fcntl(ours, 1031, 4096 if kind == "pipe" else 65536)
    if kind == "room":
        os.write(ours, b"\n" * size)
        os.read(theirs, 4096)
elif kind == "socket":
    one, other = socket.socketpair()
    other.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16384)
    theirs, ours = one.detach(), other.detach()
else:
    theirs, ours = pty.openpty()
    mode = termios.tcgetattr(ours)
    mode[3] &= ~termios.ECHO
    termios.tcsetattr(ours, termios.TCSANOW, mode)
    if kind == "stopped":
        os.write(theirs, b"\x13")
    first = b"\x11"
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
if os.fork() == 0:
    os.close(ours)
    with open(tmp + "/holder", "w") as file:
        file.write("%d\n" % os.getpid())
    signal.sigwait([signal.SIGUSR1])
    if first:
        os.write(theirs, first)
    with open(tmp + "/log", "wb", 0) as log:
        while True:
            try:
                some = os.read(theirs, 65536)
            except OSError: # a terminal that nobody has
                some = b""
            if not some:
                break
            log.write(some.replace(b"\r\n", b"\n"))
    os._exit(0)
os.close(theirs)
os.dup2(ours, 1)
os.dup2(ours, 2)
if ours > 2:
    os.close(ours)
signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGUSR1])
for number in (signal.SIGPIPE, signal.SIGXFSZ): # Python ignores them
    signal.signal(number, signal.SIG_DFL)
os.execvp(command[0], command)
PYTHON
    : >"$tmp/log"
    wrap="$python $tmp/hold.py $tmp $1 $beside"
}
is_held() { [ -s "$tmp/holder" ]; }
read_on() {
    await is_held
    kill -s USR1 "$(cat "$tmp/holder")"
}
let_go() {
    kill -s KILL "$(cat "$tmp/holder")"
    rm "$tmp/holder"
    wrap=
}

# An instruction that each heartbeat shows, and that is longer than a page: for
# daemons without a memory.
long=[\"$(head -c 6000 /dev/zero | tr '\0' x)\"]
serve_long() {
    serve --again --instruction "$(instruction play I1 "$long")"
}
launch_long() { bare --token-file "$tmp/token"; }

# Each line of FILE is one of the daemon's, whole; but for one before each line
# that says how much was dropped, which may be torn.  JSON and text may be mixed.
is_whole_or_told() { # FILE
    "$python" - "$1" <<'PYTHON'
import json, re, sys

stamp = r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ "
whole = re.compile(stamp + r"(ok: .*, took \d+ ms(, instruction .*, lcuid "
    r'"I1")?|lucit-heartbeat: .*|hook: .*|report: .*)')
told = re.compile(stamp + r"lucit-heartbeat: \[[1-9]\d* bytes of the log were "
    r'dropped\]|\{"dropped_bytes":[1-9]\d*\}')

def is_whole(line):
    if not line.startswith("{"):
        return whole.fullmatch(line)
    try:
        return json.loads(line)
    except ValueError:
        return False

lines = open(sys.argv[1]).read().split("\n")
# A daemon that ends may leave a torn line, and what is held back is blank.
lines = [line for line in lines[:-1] if line]
print(len(lines), "lines")
for line, following in zip(lines, lines[1:]):
    if not is_whole(line) and not told.fullmatch(following):
        sys.exit("neither whole nor told: " + line[:60] + " ... " + line[-60:])
if not any(told.fullmatch(line) for line in lines):
    sys.exit("nothing is told")
PYTHON
}

# A daemon whose reader stands still goes on, says what was dropped once it is
# read again, and ends when it is told to.
held() { # KIND
    interval=0.1
    serve_long
    hold "$1"
    launch_long
    check 'heartbeats go on' beats 40
    check '... and it sleeps between them' eval \
        'await grep -q "^State:.S" "/proc/$daemon/status"'
    check 'its flags are not of those who write there, too' \
        eval '! shares_its_flags'
    read_on
    check 'what was dropped is told' await grep -qx \
        '{"dropped_bytes":[1-9][0-9]*}' "$tmp/log"
    beats 5
    check 'then there is a line a heartbeat' await log_ends_with_a_beat
    finish
    check 'it ends well' ended_well
    check 'each line is JSON, or is torn and then told' \
        is_whole_or_told "$tmp/log"
    let_go

    hold "$1"
    launch_long
    beats 40
    finish
    check 'it ends while nobody reads' ended_well
    let_go

    format=
    hold "$1"
    launch_long
    check 'as text: heartbeats go on' beats 40
    read_on
    check 'as text: what was dropped is told' await grep -q \
        'Z lucit-heartbeat: \[[1-9][0-9]* bytes of the log were dropped\]$' \
        "$tmp/log"
    beats 5
    finish
    check 'as text: it ends well' ended_well
    check 'as text: each line has a time, or is torn and then told' \
        is_whole_or_told "$tmp/log"
    let_go
}
# The same without /proc: its descriptors cannot be opened again.
unaided() { # KIND
    program unaided 'mount -t tmpfs none /proc && exec "$@"'
    beside="unshare --mount $tmp/unaided"
    $beside true 2>"$tmp/unshared" || beside="unshare --mount --map-root-user
        $tmp/unaided"
    held "$1"
}
# A sanitizer wants /proc: there is no such build without it.
needs_proc() {
    nm "$command" | grep -q __asan_init
}
# The descriptor that others have as well waits as ever.
shares_its_flags() {
    flags=$(sed -n 's/^flags:\t*//p' "/proc/$daemon/fdinfo/1")
    [ $((flags & 04000)) -ne 0 ]
}
log_ends_with_a_beat() {
    tail -n 1 "$tmp/log" | jq -e '.result == "ok"'
}

# A daemon behind a pipe to a program that is stopped, and goes on.
stopped_reader() {
    interval=0.1
    serve_long
    mkfifo "$tmp/pipe"
    cat "$tmp/pipe" >"$tmp/log" &
    reader=$!
    children="$children $reader"
    out=$tmp/pipe
    launch_long
    await lines_are "$tmp/log" 3
    kill -s STOP "$reader"
    check 'stopped: heartbeats go on' beats 40
    kill -s CONT "$reader"
    check 'it goes on: what was dropped is told' await grep -qx \
        '{"dropped_bytes":[1-9][0-9]*}' "$tmp/log"
    kill -s KILL "$reader"
    wait "$reader"
    check 'gone: heartbeats go on' beats 10
    : >"$tmp/log"
    cat "$tmp/pipe" >"$tmp/log" &
    reader=$!
    children="$children $reader"
    check 'another one comes: what was dropped is told' await grep -qx \
        '{"dropped_bytes":[1-9][0-9]*}' "$tmp/log"
    kill -s STOP "$reader"
    beats 40
    out=$tmp/out
    finish
    check 'stopped again: it ends well' ended_well
    kill -s CONT "$reader"
}

# A log without a reader is not tried all the time.
no_loop() {
    if ! strace -o "$tmp/trace" true 2>"$tmp/traced"; then
        ok "no_loop # SKIP it takes strace: $(head -n 1 "$tmp/traced")"
        return
    fi
    interval=0.1
    serve_long
    hold room
    wrap="$wrap strace -D -o $tmp/trace"
    launch_long
    beats 5
    calls=$(wc -l <"$tmp/trace") from=$(count /heartbeat)
    beats 40
    calls=$(($(wc -l <"$tmp/trace") - calls))
    heartbeats=$(($(count /heartbeat) - from))
    # With a connection, its certificates and the state: below 200.
    check 'few system calls a heartbeat' eval '
        echo "$calls in $heartbeats" && [ "$calls" -ge "$heartbeats" ] &&
        [ "$calls" -le $((heartbeats * 400)) ]'
    finish
    check 'it ends well' ended_well
}

# ---- Full files and disks --------------------------------------------------

# A log at the size that a file may have: RLIMIT_FSIZE, and SIGXFSZ.
limited() {
    interval=0.1
    hook play 'grep "^SigIgn" /proc/self/status >"$tmp/ignored"'
    # The second one has no lcuid, so that it never is settled.
    serve --again --instruction "$(instruction play I0)" --instruction \
        "{\"instruction\":\"play\",\"parameters\":$long,\"status\":1}"
    program limited 'ulimit -f 40 && exec "$@"' # 20 KiB
    wrap=$tmp/limited
    launch
    check 'at its limit' await is_full "$out"
    check '... heartbeats go on' beats 20
    check '... it is no larger' is_full "$out"
    check 'a hook has the signal as usual' eval '
        mask=0x$(cut -f 2 "$tmp/ignored" | tail -c 9) &&
        [ $((mask >> 24 & 1)) -eq 0 ]'
    cp "$out" "$tmp/log"
    : >"$out"
    check 'room again: what was dropped is told' await grep -qx \
        '{"dropped_bytes":[1-9][0-9]*}' "$out"
    cat "$out" >>"$tmp/log"
    check 'each line is JSON, or is torn and then told' \
        is_whole_or_told "$tmp/log"
    finish
    check 'it ends well' ended_well
    stop "$server"
    port=0
    serve_long
    format= out=$err
    launch_long
    check 'standard error, too' await is_full "$err"
    check '... heartbeats go on' beats 20
    finish
    check '... it ends well' ended_well
}
is_full() { [ "$(stat -c %s "$1")" -eq 20480 ]; } # FILE

# A disk without room; a descriptor that came closed.
nowhere() {
    interval=0.1
    serve_long
    out=/dev/full
    err=/dev/full
    launch_long
    check '/dev/full: heartbeats go on' beats 10
    out=$tmp/out err=$tmp/err
    finish
    check '/dev/full: it ends well' ended_well
    program closed 'exec "$@" >&- 2>&-'
    wrap=$tmp/closed
    launch_long
    check 'closed: heartbeats go on' beats 10
    finish
    check 'closed: it ends well' ended_well
    wrap=
    "$command" --device "$device" --app "$app" --token-file "$tmp/token" \
        --lightning-version 4.2.1 --ca "$certs/ca.pem" --connect \
        "127.0.0.1:$port" --json >/dev/full 2>"$err"
    status=$?
    check 'a single run says that it could not print' [ "$status" -eq 1 ]
}

# A single run waits for its reader, and prints all.
waits() {
    interval=0.1
    serve_long
    hold room
    bare --token-file "$tmp/token" --count 12
    await counts 1 /heartbeat
    sleep 1 # less is no failure, but no test either
    check 'it waits' lives
    read_on
    wait "$daemon"
    status=$?
    check 'and goes on: it ends well' [ "$status" -eq 0 ]
    check 'a line a heartbeat' await eval \
        '[ "$(jq -r .result "$tmp/log" | grep -cx ok)" -eq 12 ]'
    check '... and none was dropped' eval '! grep dropped "$tmp/log"'
}

# ---- A line for each instruction -------------------------------------------

# Those that no hook is started for: they are reported, and the report is logged.
each_has_a_line() { # FORMAT
    format=$1
    hook play 'echo done'
    hook slow 'echo began >>"$tmp/began"; sleep 600'
    set -- --instruction "$(instruction play STALE [] "$(at -9000)")" \
        --instruction "$(instruction play SOON [] '"soon"')" \
        --instruction "$(instruction play LONG "$long")" \
        --instruction \
        '{"instruction":7,"lcuid":"NAMELESS","parameters":[],"status":1}' \
        --instruction "$(instruction none UNKNOWN)" \
        --instruction "$(instruction play GOOD)"
    : >"$tmp/began"
    serve "$@" --instruction "$(instruction slow CUT)"
    launch
    check 'all came' await [ -s "$tmp/began" ]
    await is_reported GOOD
    kill -s KILL "$daemon"
    wait "$daemon"
    launch
    await is_reported CUT
    beats 2
    finish
    cat "$out" "$err" >"$tmp/log"
    while IFS='|' read -r lcuid result message; do
        case $format in
        --json)
            line="{\"report\":\"$lcuid\",\"result\":\"$result\",\"message\":"
            line="$line${message:+\"}${message:-null}"
            ;;
        *) line="Z report: \"$lcuid\" $result${message:+ \"$message}" ;;
        esac
        check "$lcuid: its report has a line" grep -qF "$line" "$tmp/log"
        check "$lcuid: ... and one only" \
            [ "$(grep -c "report\"*: *\"$lcuid\"" "$tmp/log")" -eq 1 ]
    done <<'ROWS'
STALE|failed|stale: 
SOON|failed|run_at cannot be read"
LONG|failed|too long to be kept: over 4000 bytes"
NAMELESS|failed|it cannot be read"
UNKNOWN|failed|not supported: no such file"
GOOD|acknowledged|
CUT|failed|interrupted"
ROWS
}
as_json() { each_has_a_line --json; }
as_text() { each_has_a_line ''; }

# A report that fails says which one it is.
failed_report() {
    fail 503 - /instructions/
    hook play 'echo done'
    hook broken 'echo "it \"broke\""; exit 1'
    serve --instruction "$(instruction play I1)"
    launch
    check 'an acknowledgement' await said \
        'a report failed and is sent again later: I1 acknowledged: '
    stop "$server"
    mend
    fail 404 - /instructions/
    port=0
    finish
    serve --instruction "$(instruction broken I2)"
    launch
    check 'a failure, and the words that it has' await said \
        'a report failed and is dropped: I2 failed "it \\"broke\\"": '
    finish
}

# What no hook will ever run is noted once.
no_hook() {
    serve --again --instruction "$(instruction play I1)"
    bare --token-file "$tmp/token" --state "$state"
    check 'no --hooks: it is noted' await said \
        'instruction I1 is kept and does not run: there is no --hooks'
    beats 5
    check '... once' [ "$(grep -c 'I1 is kept' "$err")" -eq 1 ]
    finish
    stop "$server"
    port=0
    hook play 'echo done'
    serve --instruction "$(instruction play I2 [] "$(at 3600)")" --instruction \
        "$(instruction play I2 [] "$(at 3600)" | sed 's/"status":1/"status":2/')"
    launch
    check 'acknowledged while it waits: it is noted' await said \
        'instruction I2 does not run: it came as acknowledged'
    beats 3
    check '... once' [ "$(grep -c 'I2 does not' "$err")" -eq 1 ]
    finish
}

# ---- What a terminal would obey --------------------------------------------

# U+202E and its like, as UTF-8, and bytes that are no UTF-8.
hidden() {
    rlo=$(printf '\342\200\256') pdi=$(printf '\342\201\251')
    bom=$(printf '\357\273\277')
    hook play "printf 'a${rlo}b\\n'"
    hook foreign 'printf "a\\233\\355\\240\\200b\\n"; exit 1'
    serve --instruction "$(instruction play I1 "[\"gpj$rlo.exe$pdi\"]")" \
        --instruction "$(instruction foreign I2)" \
        --instruction "$(instruction "a$bom" I3)"
    launch
    check 'all are reported' await is_reported I3
    finish
    check 'as JSON: escaped' grep -qF '"parameters":["gpj\u202e.exe\u2069"]' \
        "$out"
    check 'as JSON: a hook'"'"'s words' grep -qF '"message":"a\u202eb"' "$out"
    check 'as JSON: a name' grep -qF '"hook":"a\ufeff"' "$out"
    format=
    stop "$server"
    port=0
    serve --instruction "$(instruction play J1 "[\"gpj$rlo.exe$pdi\"]")" \
        --instruction "$(instruction foreign J2)" \
        --instruction "$(instruction "a$bom" J3)"
    launch --state "$tmp/state/other" --info "$rlo"
    check 'all are reported' await is_reported J3
    finish
    check 'as text: escaped' grep -qF '["gpj\u202e.exe\u2069"]' "$out"
    run "$command" --decode "$tmp/none$rlo"
    cat "$out" "$err" >>"$tmp/out"
    check 'a path' grep -q 'none???: No such file' "$err"
    check 'none is there as it is, and all is UTF-8' eval '
        ! grep -F -e "$rlo" -e "$pdi" -e "$bom" "$tmp/out" "$tmp/err" &&
            iconv -f UTF-8 "$tmp/out" "$tmp/err" >/dev/null'
}

# ---- All of them -----------------------------------------------------------

if [ $# -gt 0 ]; then
    "$@"
    done_testing
fi
need iconv jq strace unshare "$python"
unaided='unaided pipe
unaided pty
unaided stopped'
! needs_proc || unaided=
sed '/^$/d' <<SCENARIOS >"$tmp/all"
held pipe
held room
held socket
held pty
held stopped
$unaided
stopped_reader
limited
waits
nowhere
no_loop
as_json
as_text
failed_report
no_hook
hidden
SCENARIOS
scenarios <"$tmp/all"
