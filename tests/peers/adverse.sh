#!/bin/sh
# lucit-heartbeat as a daemon in adverse surroundings: clocks that are wrong, a
# log that nobody reads, programs that neither speak nor end, a memory that can
# be neither read nor written, and answers that come late or are a refusal.
#
# usage: B=build tests/peers/adverse.sh [SCENARIO]
here=$(cd "$(dirname "$0")" && pwd)
. "$here/daemon.inc"

# ---- Surroundings ----------------------------------------------------------

# A relay to the stand-in: $relay, its port.
relay() {
    behind=$port
    start "$tmp/relay.log" 'listening on' "$python" "$here/relay.py" "$port" \
        "$requests" "$tmp/hold"
    relay=$port port=$behind
}
# From now on it keeps the answers to such requests; to all, if it is "".
hold() { # TEXT
    rm -f "$tmp/hold.held"
    printf %s "$1" >"$tmp/hold.next"
    mv "$tmp/hold.next" "$tmp/hold"
}
is_held() { [ -e "$tmp/hold.held" ]; }
release() { rm -f "$tmp/hold"; }

# The daemon has seen every signal that was sent to it.
is_heard() { grep -q '^ShdPnd:.0*$' "/proc/$daemon/status"; }

secrets() {
    printf 'login-of-the-player\nsecret-of-the-player\n' >"$tmp/secret"
    printf 'ZnJlc2g.dG9rZW4.b2YtdGhlLXBsYXllcg\n' >"$tmp/fresh"
    serve --auth login-of-the-player:secret-of-the-player \
        --auth-token "$tmp/fresh"
}

# ---- Time ------------------------------------------------------------------

# What runs and says nothing is ended in time, though nothing else wakes us.
silent_hook() {
    hook hangs 'exec sleep 300'
    serve --instruction "$(instruction hangs I1)"
    interval=40
    no_chance
    launch --hook-timeout 1
    check 'a hook: failed, at its limit' await reported I1 failed \
        '.message == "timed out after 1 s"'
    check '... and not at the next heartbeat' [ "$(count /heartbeat)" -eq 1 ]
    finish
    check 'it ends well' ended_well
}

silent_info() {
    program hangs 'exec sleep 300'
    serve
    interval=40
    no_chance
    launch --info-command "$tmp/hangs"
    check 'an info command: a heartbeat, at its limit' \
        await counts 1 '/heartbeat 200'
    check '... which says so' says_slow '[]'
    finish
    check 'it ends well' ended_well
}

# One that comes to nothing does not hold up the next.
batch() {
    hook play 'echo done'
    due=$(at 15)
    serve --instruction "$(instruction none I1 [] "$due")" \
        --instruction "$(instruction none I2 [] "$due")" \
        --instruction "$(instruction play I3 [] "$due")"
    interval=0.1
    launch
    beats 4
    finish
    before=$(count /heartbeat)
    interval=40
    no_chance
    launch
    check 'due at once, the last one runs' await ran I3 1
    check '... before the next heartbeat' \
        [ $(($(count /heartbeat) - before)) -eq 1 ]
    finish
    check 'it ends well' ended_well
}

# Two hours ahead after a restart: the server's time counts, or nothing.
fast_clock() {
    hook play 'date +%s >"$tmp/when"'
    when=$(($(date +%s) + 15)) due=$(at 15)
    serve --instruction "$(instruction play I1 [] "$(at 5400)")" \
        --instruction "$(instruction play I2 [] "$(at 1800)")" \
        --instruction "$(instruction play I3 [] "$due")"
    interval=0.1
    launch
    beats 4
    finish
    : >"$out"
    relay
    hold ''
    echo 7200 >"$tmp/ahead"
    wrap=$(pretend "$tmp/ahead" /dev/urandom)
    launch --connect "127.0.0.1:$relay"
    check 'the first exchange is under way' await is_held
    check '... and nothing runs, or is stale' eval '! grep -q "\"hook\"" "$out"'
    release
    check 'then one runs' await ran I3 1
    check '... at its time' eval '
        await [ -s "$tmp/when" ] && now=$(cat "$tmp/when") &&
        echo "$now, due at $when" && [ "$now" -ge "$when" ]'
    check '... and is reported' await reported I3 acknowledge
    check 'those of later did not run' [ "$(wc -l <"$marks")" -eq 1 ]
    check '... and are not stale' eval '! counts 1 "/I[12]/"'
    finish
    check 'it ends well' ended_well
}

# The clock of a device without a battery, and without a memory.  The log has
# the time of the build at first, and then the server's.
dead_clock() {
    cp "$tmp/token" "$tmp/mine"
    serve
    echo $((1 - $(date +%s))) >"$tmp/ahead"
    wrap=$(pretend "$tmp/ahead" /dev/urandom)
    launch --token-file "$tmp/mine" --ack-first none
    check 'in 1970: heartbeats succeed' await counts 2 '/heartbeat 200'
    check '... from the first one on' [ "$(jq -r .result "$out" |
        sort -u)" = ok ]
    rm "$tmp/mine"
    kill -s HUP "$daemon"
    check 'a complaint' await said "$tmp/mine: No such file"
    logged() { # WORDS: when, in seconds
        date -d "$(grep -e "$1" "$err" | cut -d' ' -f1)" +%s
    }
    check 'the log has no time of 1970' eval '
        [ "$(logged "--ack-first none")" -gt 1700000000 ]'
    check '... but in the end the time of the server' eval '
        when=$(logged "No such file") && now=$(date +%s) &&
        echo "$when, now $now" &&
        [ "$when" -ge $((now - 600)) ] && [ "$when" -le $((now + 60)) ]'
    finish
    check 'it ends well' ended_well
}

# A server that is broken may have a broken clock, too.
failed_date() {
    hook play 'echo done'
    server_wrap=$(pretend "$tmp/ahead" /dev/urandom)
    serve --instruction "$(instruction play I1 [] "$(at 5400)")" \
        --instruction "$(instruction play I2 [] "$(at 1800)")"
    launch
    beats 3
    fail 500
    check 'a failure' await counts 1 '/heartbeat 500'
    echo 7200 >"$tmp/ahead"
    failed=$(count '/heartbeat 500')
    check 'two more, two hours ahead' \
        await counts $((failed + 2)) '/heartbeat 500'
    rm "$tmp/ahead"
    beats 1
    mend
    check 'all is well again' await counts 4 '/heartbeat 200'
    check 'nothing of later ran' [ ! -s "$marks" ]
    check '... or was stale' eval '! counts 1 /instructions/'
    finish
    check 'it ends well' ended_well
}

# One with a run_at was sent to many devices: their heartbeats spread it out.
timed_ack() {
    hook reboot 'echo done'
    serve --again --instruction "$(instruction reboot I1 [] "$(at 4)")"
    interval=6
    no_chance
    launch --ack-first reboot
    check 'it is acknowledged' await counts 1 '/acknowledge 200'
    check '... with the next heartbeat, not when it is due' awk '
        /\/heartbeat 200/ { n++ } /\/acknowledge/ && !first { first = n }
        END { print first; exit first != 2 }' "$requests"
    check '... and runs' await ran I1 1
    finish
    check 'it ends well' ended_well
}

# ---- The log ---------------------------------------------------------------

# Standard output and error will be a pipe whose reader stands still.
stand_still() { # ROOM: for so many bytes
    cat >"$tmp/reader.py" <<'PYTHON'
# Fills PIPE but for ROOM bytes, reads while the file DRAIN is there, and so on.
import os, sys, time
pipe, room, drain = sys.argv[1:]
fd = os.open(pipe, os.O_RDWR | os.O_NONBLOCK)
while True:
    try:
        while True:
            os.write(fd, b"\n" * 512)
    except BlockingIOError:
        os.read(fd, int(room))
    print("full", flush=True)
    while not os.path.exists(drain):
        time.sleep(0.05)
    while os.path.exists(drain):
        try:
            sys.stdout.buffer.write(os.read(fd, 65536))
            sys.stdout.flush()
        except BlockingIOError:
            time.sleep(0.05)
PYTHON
    mkfifo "$tmp/pipe"
    "$python" "$tmp/reader.py" "$tmp/pipe" "$1" "$tmp/drain" >"$tmp/drained" &
    children="$children $!"
    await is_full 1
    out=$tmp/pipe err=$tmp/pipe
}
is_full() { [ "$(grep -c full "$tmp/drained")" -eq "$1" ]; } # TIMES

blocked() {
    hook play 'echo done'
    serve --instruction "$(instruction play I1)"
    interval=0.1
    stand_still 0
    launch
    check 'heartbeats go on' beats 5
    check 'hooks run, and are reported' await reported I1 acknowledge
    fail 500
    check 'failures go on' beats 2
    mend
    check 'all is well again' await counts 8 '/heartbeat 200'
    : >"$tmp/drain"
    check 'what is read in the end' await grep -q '"result":"ok"' "$tmp/drained"
    beats 2
    rm "$tmp/drain"
    await is_full 2
    check '... is whole lines' eval '
        grep -v "^full\$\|^[-0-9T:]*Z lucit-heartbeat: \|^\$" "$tmp/drained" |
            jq -R "fromjson | type" | tee "$tmp/types" &&
            [ "$(sort -u "$tmp/types")" = \"object\" ]'
    check 'heartbeats go on without it' beats 3
    finish
    check 'it ends well' ended_well
}

# There is room for a page, but the line takes more.
# Nobody reads it, and there is no memory to guard.
broken_pipe() {
    mkfifo "$tmp/pipe"
    head -n 1 <"$tmp/pipe" >"$tmp/line" &
    reader=$!
    serve
    out=$tmp/pipe err=$tmp/pipe
    bare --token-file "$tmp/token"
    out=$tmp/out err=$tmp/err
    wait "$reader"
    check 'one line is read' [ -s "$tmp/line" ]
    check 'heartbeats go on' beats 4
    fail 500
    check 'failures go on' beats 2
    finish
    check 'it ends' ended_soon
}

# ---- Programs --------------------------------------------------------------

# Told to end before it has begun, a hook ends: its process is held up behind
# each of the two descriptors that it takes over.
swallow() {
    hook slow 'sleep 1; echo done'
    serve --instruction "$(instruction slow I1)" \
        --instruction "$(instruction slow I2)"
    wrap="strace -D -f -e trace=?dup2,?dup3 -o $tmp/trace"
    wrap="$wrap --inject=?dup2,?dup3:delay_exit=300000"
    launch --hook-timeout 100ms
    for n in 1 2; do
        check "$n: ended by the first signal" await reported "I$n" failed \
            '.message == "timed out after 0.1 s" and
                .response_data.signal == 15'
    done
    finish
    check 'it ends well' ended_well
}

# The message of the last report, as JSON.  The log has \xHH for a byte.
message() { # LCUID
    reports "$1" | tail -n 1 | "$python" -c '
import re, sys
line = sys.stdin.buffer.read().partition(b" ")[2]
sys.stdout.buffer.write(re.sub(rb"\\x(..)",
    lambda m: bytes.fromhex(m[1].decode()), line))' |
        jq -c '.response_data.message'
}
# Of much that is printed the last 400 bytes are reported, but no part of a
# character.
last_words() {
    many='for n in $(seq 200); do printf "\346\227\245"; done'
    hook aligned "$many"
    hook one-off "$many; printf x"
    hook two-off "$many; printf xy"
    hook latin "for n in \$(seq 300); do printf '\\303\\274'; done; printf x"
    hook emoji "for n in \$(seq 150); do printf '\\360\\237\\230\\200'
done; printf x"
    hook torn 'printf "ab\302\n"'
    hook torn-end 'printf "ab\302"'
    hook torn-3 'printf "ab\346\227\n"'
    serve --instruction "$(instruction aligned I0)" \
        --instruction "$(instruction one-off I1)" \
        --instruction "$(instruction two-off I2)" \
        --instruction "$(instruction latin I3)" \
        --instruction "$(instruction emoji I4)" \
        --instruction "$(instruction torn T1)" \
        --instruction "$(instruction torn-end T2)" \
        --instruction "$(instruction torn-3 T3)"
    interval=0.1
    launch
    check 'all are reported' await is_reported T3
    is_cut() { # LCUID PATTERN: what is left ends like the whole
        message "$1" | tee "$tmp/message"
        [ -s "$tmp/message" ] && jq -e "test(\"$2\") and (utf8bytelength |
            . >= 399 and . <= 403)" "$tmp/message"
    }
    check 'too long: whole characters' is_cut I0 '^…日+$'
    check 'too long: whole characters, one byte on' is_cut I1 '^…日+x$'
    check 'too long: whole characters, two bytes on' is_cut I2 '^…日+xy$'
    check 'too long: those of two bytes' is_cut I3 '^…ü+x$'
    check 'too long: those of four bytes' is_cut I4 '^…😀+x$'
    is_torn() { # LCUID
        message "$1" | tee "$tmp/message"
        [ -s "$tmp/message" ] && jq -e 'test("^ab(\\?|\ufffd){1,2}$")' \
            "$tmp/message"
    }
    check 'no UTF-8: half a character' is_torn T1
    check 'no UTF-8: half a character, and no line end' is_torn T2
    check 'no UTF-8: two thirds of a character' is_torn T3
    finish
    check 'it ends well' ended_well
}

# A token that comes out of a pipe once: nobody writes there any more when the
# daemon is told to read its files again.
token_from_pipe() {
    mkfifo "$tmp/pipe"
    cat "$tmp/token" >"$tmp/pipe" &
    serve
    launch --token-file "$tmp/pipe"
    beats 1
    kill -s HUP "$daemon"
    check 'heartbeats go on behind SIGHUP' beats 3
    check '... which is told' await said 'it is no regular file'
    fail 401
    check '... and behind a token that is refused' beats 2
    finish
    check 'it ends well' ended_well
}

# An info command that no signal ends, for it is being traced.
traced() {
    cat >"$tmp/stuck" <<PYTHON
#!$python
import ctypes, os, sys, time
if os.path.exists("$tmp/tracer"):
    print("all is well")
    sys.exit()
libc = ctypes.CDLL(None)
libc.prctl(0x59616D61, -1)  # PR_SET_PTRACER: anyone may
me = os.getpid()
if os.fork() == 0:
    os.setsid()
    os.close(1)
    failed = libc.ptrace(16, me, 0, 0)  # ATTACH, and never wait
    with open("$tmp/tracer", "w") as f:
        f.write("%d %d %d\n" % (os.getpid(), me, failed))
    time.sleep(300)
time.sleep(300)
PYTHON
    chmod 755 "$tmp/stuck"
    serve
    interval=0.3
    launch --info first --info-command "$tmp/stuck"
    check 'it is traced' await grep -q ' 0$' "$tmp/tracer"
    read -r tracer stuck rest <"$tmp/tracer"
    children="$children $tracer"
    check 'a heartbeat, at its limit' await counts 1 '/heartbeat 200'
    check '... without its lines, which says so' says_slow '["first"]'
    check '... and more' beats 3
    check 'it is still there, and no other beside it' eval \
        '[ -d "/proc/$stuck" ] && ! grep "all is well" "$requests"'
    kill -s KILL "$tracer"
    check 'all is well again' await eval \
        '[ "$(info 1)" = "[\"first\",\"all is well\"]" ]'
    check 'nothing is left of it' await [ ! -d "/proc/$stuck" ]
    finish
    check 'it ends well' ended_well
}
# Of the info command, the first heartbeat, behind the others that it tells.
says_slow() { # OTHERS
    info +1 | tee "$tmp/info"
    [ -s "$tmp/info" ] && jq -e --argjson others "$1" '.[:-1] == $others and
        (.[-1] | test("--info-command .*: timed out after 5 s$"))' "$tmp/info"
}

# It was started by something that blocks its own signals.
blocked_signals() {
    cat >"$tmp/blocks.py" <<'PYTHON'
import os, signal, sys
signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 32))
os.execv(sys.argv[1], sys.argv[1:])
PYTHON
    hook play 'echo done'
    hook hangs 'exec sleep 300'
    cp "$tmp/token" "$tmp/mine"
    serve --instruction "$(instruction play I1)" \
        --instruction "$(instruction hangs I2)"
    wrap="$python $tmp/blocks.py"
    launch --token-file "$tmp/mine" --hook-timeout 1
    check 'a hook runs, and is reported' await reported I1 acknowledge
    check 'one that hangs is ended' await reported I2 failed
    echo another >"$tmp/mine"
    kill -s HUP "$daemon"
    check 'SIGHUP' await counts 1 '/heartbeat 401'
    finish
    check 'SIGTERM: it ends well' ended_well
}

# ---- Files -----------------------------------------------------------------

# What is no file would be replaced by one.
odd_token() {
    secrets
    mkfifo "$tmp/fifo"
    cat "$tmp/token" >"$tmp/fifo" &
    beat --token-file "$tmp/fifo"
    check 'where nothing is written it may be anything' results_are ok
    ln -s /dev/null "$tmp/null"
    beat --token-file "$tmp/null" --secret-file "$tmp/secret"
    check 'no regular file: it ends' eval \
        '[ "$status" -eq 3 ] && grep -q "$tmp/null" "$err"'
    check '... and it is left alone' [ "$(readlink "$tmp/null")" = /dev/null ]
    if mknod "$tmp/device" c 1 3 2>"$tmp/made"; then
        beat --token-file "$tmp/device" --secret-file "$tmp/secret"
        check 'a device: it ends' [ "$status" -eq 3 ]
        check '... and it is left alone' [ -c "$tmp/device" ]
    else
        ok "a device # SKIP it takes root: $(cat "$tmp/made")"
    fi
    check 'no log-in' eval '! counts 1 /auth'
}

# A token that cannot be one is no worse than none.
torn_token() {
    secrets
    printf 'two\nlines\n' >"$tmp/torn"
    beat --token-file "$tmp/torn" --secret-file "$tmp/secret"
    check 'a log-in, and a heartbeat' eval '[ "$status" -eq 0 ] &&
        counts 1 "/auth 200" && counts 1 "/heartbeat 200"'
    check '... and the token is in its file' \
        [ "$(cat "$tmp/torn")" = "$(cat "$tmp/fresh")" ]
    check '... which is told' \
        [ "$(cat "$err")" = 'lucit-heartbeat: logged in: the token was missing, or refused' ]
    beat --token-file "$tmp/torn" --secret-file "$tmp/none"
    check 'no secret, but a token: a heartbeat' eval '[ "$status" -eq 0 ] &&
        grep -q "^lucit-heartbeat: --secret-file $tmp/none: No such" "$err"'
}

# SIGHUP where there is no token file to read.
hup_alone() {
    secrets
    bare --secret-file "$tmp/secret"
    check 'a log-in' await counts 2 '/heartbeat 200'
    : >"$err"
    kill -s HUP "$daemon"
    check 'SIGHUP: heartbeats go on' await counts 5 '/heartbeat 200'
    check '... with the same token' [ "$(count /auth)" -eq 1 ]
    check '... and without complaint' eval '
        [ ! -s "$err" ] && [ "$(info 1)" = [] ]'
    check 'nor is the log-in told as an error' eval '! is_told "logged in"'
    finish
    check 'it ends well' ended_well
}

# SIGHUP: a person has done something about it.
hup_anew() {
    ln -s /dev/zero "$tmp/dice"
    wrap=$(pretend "$tmp/none" "$tmp/dice")
    echo another >"$tmp/mine"
    serve
    interval=1
    launch --token-file "$tmp/mine"
    check 'the token is wrong, ten times' await counts 10 '/heartbeat 401'
    tr '\0' '\377' </dev/zero | head -c 64 >"$tmp/ones"
    ln -sf "$tmp/ones" "$tmp/dice"
    is_quiet() {
        before=$(count /heartbeat)
        sleep 1.5
        [ "$(count /heartbeat)" -eq "$before" ]
    }
    check 'it is tried rarely' await is_quiet
    cp "$tmp/token" "$tmp/mine"
    kill -s HUP "$daemon"
    check 'SIGHUP: the next one comes soon' await counts 1 '/heartbeat 200'
    finish
    check 'it ends well' ended_well
}

# A memory that cannot be written is told of, but not again and again.
unwritten_for_long() {
    hook play 'echo done'
    program slow 'for n in 1 2 3 4 5 6 7 8; do echo $n; sleep 0.02; done'
    fail 500
    serve --instruction "$(instruction play I1 [] "$(at 9000)")" --again
    launch --info-command "$tmp/slow"
    beats 1
    mv "$tmp/state" "$tmp/away"
    mend
    check 'heartbeats go on' await counts 6 '/heartbeat 200'
    check 'it is told' said 'cannot be written'
    check '... at most twice a heartbeat' eval '
        told=$(grep -c "cannot be written" "$err") && of=$(count /heartbeat) &&
        echo "$told of $of" && [ "$told" -le $((2 * of)) ]'
    mv "$tmp/away" "$tmp/state"
    finish
    check 'it ends well' ended_well
}

# A memory that cannot be read.
unread() {
    hook play 'echo done'
    serve --instruction "$(instruction play I1)"
    launch
    await reported I1 acknowledge
    finish
    before=$(count '/heartbeat 200')
    wrap="strace -D -o $tmp/trace -P $state --inject=read:error=EIO"
    launch
    check 'it is told' await said "$state.*error"
    check 'heartbeats go on' await counts $((before + 3)) '/heartbeat 200'
    check 'it lives' lives
    finish
    check 'it ends well' ended_well
}

# The folder of hooks is a slip of the pen.
no_folder() {
    serve
    launch --hooks "$tmp/hoks"
    check 'it is told' await said "$tmp/hoks"
    check 'heartbeats go on' beats 3
    finish
    check 'it ends well' ended_well
}

# ---- Answers ---------------------------------------------------------------

# The end comes between an --ack-first and its answer.
lost_ack() {
    hook reboot 'echo done'
    serve --again --instruction "$(instruction reboot I1)"
    relay
    hold '/acknowledge 200'
    launch --ack-first reboot --connect "127.0.0.1:$relay"
    check 'the answer is under way' await is_held
    kill -s TERM "$daemon"
    await is_heard
    release
    finish
    check 'it ends well' ended_well
    check 'it has not run' ran I1 0
    launch --ack-first reboot
    check 'after a restart: failed, interrupted' await reported I1 failed \
        '.message == "interrupted"'
    beats 2
    check '... and it does not run' ran I1 0
    finish
}

# What is acknowledged twice may still fail.
lost_failure() {
    hook update 'while [ ! -e "$tmp/go" ]; do sleep 0.02; done
echo broken; exit 1'
    serve --instruction "$(instruction update I1)"
    relay
    launch --ack-first update --connect "127.0.0.1:$relay"
    check 'acknowledged, it runs' await ran I1 1
    beats 2 # so that the last request is none of those to be held
    stop "$server"
    hold '/I1/acknowledge 200'
    serve --instruction "$(instruction update I1)"
    check 'sent again, it is acknowledged again' await is_held
    : >"$tmp/go"
    check 'it fails before the answer' await grep -q '"hook"' "$out"
    release
    check 'that is reported' await reported I1 failed '.message == "broken"'
    check 'it ran once' ran I1 1
    finish
    check 'it ends well' ended_well
}

# There is no such instruction, says the server that sent it.
refused_ack() {
    hook reboot 'echo done'
    fail 404 - /acknowledge
    serve --again --instruction "$(instruction reboot I1)"
    launch --ack-first reboot
    check 'a 404 for what is to be acknowledged' \
        await counts 1 '/acknowledge 404'
    check 'sent again: failed' await reported I1 failed
    beats 2
    check 'it has not run' ran I1 0
    check 'it is never acknowledged' [ "$(count /acknowledge)" -eq 1 ]
    check '... nor reported again' reported_times I1 1
    finish
    check 'it ends well' ended_well
}

# What another has acknowledged runs there.
acknowledged() {
    hook play 'echo done'
    serve --again --instruction \
        '{"instruction":"play","parameters":[],"run_at":null,"status":2,
"lcuid":"I1"}'
    launch
    beats 4
    check 'it does not run' ran I1 0
    finish
    check 'it ends well' ended_well
}

# Reports that take their time are not in a heartbeat's way.
slow_reports() {
    interval=0.1
    run_eight
    finish
    mend
    relay
    echo 0.5 >"$tmp/hold.slow"
    interval=1
    launch --connect "127.0.0.1:$relay"
    for n in 1 2 3 4 5 6 7 8; do
        check "$n is reported" await reported "I$n" acknowledge
    done
    check 'never more than three between two heartbeats' awk '
        /\/heartbeat/ { n = 0 } /\/acknowledge 200/ && ++n > most { most = n }
        END { print most; exit most > 3 }' "$requests"
    rm "$tmp/hold.slow"
    finish
}

# ---- systemd ---------------------------------------------------------------

# It is ready when it may be sent signals, whatever the server does.
ready() {
    listen "$tmp/heard" "$tmp/notify"
    export NOTIFY_SOCKET
    port=1
    launch --hook-timeout soon
    wait "$daemon"
    check 'wrong usage is not READY' eval '! heard "$tmp/heard" READY=1'
    start "$tmp/mute.log" 'listening on' socat -d -d -u \
        TCP4-LISTEN:0,bind=127.0.0.1,fork OPEN:/dev/null
    launch --timeout 60000
    check 'READY, before a heartbeat has ended' await heard "$tmp/heard" READY=1
    finish
    check 'it ends well' ended_well
    check 'READY comes once' [ "$(grep -c READY=1 "$tmp/heard")" -eq 1 ]
}

# ---- All of them -----------------------------------------------------------

if [ $# -gt 0 ]; then
    "$@"
    done_testing
fi
need "${CC:-cc}" jq mkfifo setsid socat strace "$python"
# The longest first.
scenarios <<'SCENARIOS'
traced
slow_reports
timed_ack
batch
silent_info
fast_clock
failed_date
unwritten_for_long
hup_anew
blocked
blocked_signals
broken_pipe
last_words
token_from_pipe
silent_hook
lost_failure
lost_ack
acknowledged
refused_ack
hup_alone
unread
no_folder
dead_clock
swallow
ready
odd_token
torn_token
SCENARIOS
