#!/bin/sh
# lucit-heartbeat where the time and chance are not what they should be: no
# random bits, clocks that nobody vouches for, and a box that was suspended.
#
# usage: B=build tests/peers/clock.sh [SCENARIO]
here=$(cd "$(dirname "$0")" && pwd)
. "$here/daemon.inc"

# ---- Chance ----------------------------------------------------------------

# Runs a scenario half a minute after the boot: the milliseconds since then have
# no high bits, which waits are drawn from.
after_boot() { # SCENARIO
    up_s=$(cut -d. -f1 /proc/uptime)
    apart "$1" --time --fork --monotonic -$((up_s - 30)) \
        --boottime -$((up_s - 30))
}

# It fails once, and then backs off.  Four failures more in ten seconds would be
# chance of less than one in a million.
backs_off() { # NAME COMMAND...: which counts failures
    name=$1
    shift
    before=$("$@")
    sleep 10
    more=$(($("$@") - before))
    check "$name: it backs off: $more more" [ "$more" -lt 4 ]
}
failures() { grep -c '"result":"[^o]' "$out"; }
has_failed() { [ "$(failures)" -gt 0 ]; }

# An empty /dev, as in a chroot, and a kernel that has no getrandom().  It minds
# SIGUSR1 to fail at once.
no_dev() {
    if ! strace -o "$tmp/trace" true 2>"$tmp/traced"; then
        ok "no_dev # SKIP it takes strace: $(head -n 1 "$tmp/traced")"
        return
    fi
    serve
    fail 500
    mkdir "$tmp/dev"
    mount -t tmpfs none "$tmp/dev"
    touch "$tmp/dev/null"
    mount --bind /dev/null "$tmp/dev/null"
    mount --rbind "$tmp/dev" /dev
    wrap="strace -D -o $tmp/trace --inject=getrandom:error=ENOSYS"
    interval=60
    launch
    await minds
    kill -s USR1 "$daemon"
    check 'nothing gives random bits: a heartbeat fails' await has_failed
    check '... for they were looked for' eval '
        grep "getrandom(.*ENOSYS" "$tmp/trace" &&
        grep "/dev/urandom.*ENOENT" "$tmp/trace"'
    backs_off 'nothing gives random bits' failures
    finish
    check 'it ends well' ended_well
    umount -R /dev
    umount "$tmp/dev/null" "$tmp/dev"
}

# No descriptor is left, neither for a file nor for a connection.
no_descriptors() {
    serve
    interval=60
    launch
    await minds
    prlimit --pid "$daemon" --nofile=3: # the soft limit alone
    kill -s USR1 "$daemon"
    check 'no descriptors: a heartbeat fails' await has_failed
    check '... for this reason' grep -q 'no descriptor left' "$out"
    backs_off 'no descriptors' failures
    prlimit --pid "$daemon" --nofile=256: # a sanitizer needs some at the end
    finish
    check 'it ends well' ended_well
}

# A second at least, whatever the interval and the random bits.
at_most_one_a_second() {
    serve
    fail 500
    interval=0.1
    no_chance
    since=$(date +%s%N)
    launch
    check 'eight failures, without a wait that chance adds' \
        await counts 8 '/heartbeat 500'
    took_ms=$((($(date +%s%N) - since) / 1000000))
    check "... take seven seconds: $took_ms ms" [ "$took_ms" -ge 7000 ]
    finish
    check 'it ends well' ended_well
}

# ---- A clock that nobody vouches for ----------------------------------------

# The daemon's clock is so many seconds ahead, and the kernel says that it is
# synchronized as long as this file is there: $tmp/vouched.
clock_is_ahead() { # SECONDS
    echo "$1" >"$tmp/ahead"
    wrap="$(pretend "$tmp/ahead" /dev/zero) VOUCHED=$tmp/vouched"
}
outcomes_are() { [ "$(failures)" -ge "$1" ]; }

# An RTC in local time, and no network at the boot.
fast_rtc() {
    hook play 'echo done'
    set -- --again --instruction "$(instruction play I1 [] "$(at 5400)")" \
        --instruction "$(instruction play I2 [] "$(at 3000)")" \
        --instruction "$(instruction play I3 [] "$(at -60)")"
    serve "$@"
    bare --token-file "$tmp/token" --state "$state"
    beats 4
    finish
    stop "$server"
    : >"$out"
    clock_is_ahead 7200
    launch
    check 'two hours ahead, no server: heartbeats fail' await outcomes_are 5
    check '... and nothing runs' [ ! -s "$marks" ]
    check '... or is stale' eval '! grep -q "\"hook\"" "$out"'
    check '... which is said' said 'nobody vouches for the clock'
    check '... once' [ "$(grep -c vouches "$err")" -eq 1 ]
    serve "$@"
    check 'the server is there: what is due runs' await reported I3 acknowledge
    check '... and nothing else' [ "$(cat "$marks")" = I3 ]
    check '... or is stale' eval '! counts 1 "/I[12]/"'
    finish
    check 'it ends well' ended_well
}

# What is to run now is not held up.
without_a_time() {
    hook play 'echo done'
    serve --instruction "$(instruction play I1)" \
        --instruction "$(instruction play I2 [] "$(at 3000)")"
    bare --token-file "$tmp/token" --state "$state"
    beats 3
    finish
    stop "$server"
    clock_is_ahead 7200
    launch
    check 'no clock: what is to run now runs' await ran I1 1
    check '... and the other does not' ran I2 0
    finish
    check 'it ends well' ended_well
}

# A time daemon has synchronized the clock, and the server is not there.
kernels_clock() {
    hook play 'echo done'
    set -- --instruction "$(instruction play I1 [] "$(at 5400)")" \
        --instruction "$(instruction play I2 [] "$(at 1800)")"
    serve "$@"
    bare --token-file "$tmp/token" --state "$state"
    beats 3
    finish
    stop "$server"
    : >"$out"
    clock_is_ahead 5000
    launch
    check 'nobody vouches for the clock' await said 'vouches for the clock'
    check '... nothing runs' [ ! -s "$marks" ]
    echo 5500 >"$tmp/ahead"
    touch "$tmp/vouched"
    check 'then the kernel does: what is due runs' await ran I1 1
    serve "$@"
    check '... and what is too old is stale' await reported I2 failed \
        '.message | startswith("stale: ")'
    check '... and did not run' ran I2 0
    finish
    check 'it ends well' ended_well
}

# How the first heartbeat of a daemon went to the server.
first_connection() {
    : >"$out"
    launch --session "$tmp/session"
    beats 1
    finish
    jq -rn 'input | .connection' "$out"
}

# A TLS session that was made while the clock was two hours fast: it is offered
# as long as nobody says that the clock is right now.
session_of_the_future() {
    serve
    clock_is_ahead 7200
    check 'the clock is fast: a session is made' [ "$(first_connection)" = new ]
    rm "$tmp/ahead"
    check 'nobody vouches for the clock: it is offered' \
        [ "$(first_connection)" = resumed ]
    touch "$tmp/vouched"
    check 'the kernel vouches: it is not' [ "$(first_connection)" = new ]
    check '... and the new one is' [ "$(first_connection)" = resumed ]
}

# A state has an instruction whose time has come, and the server is gone.
remember_an_instruction() {
    hook play 'echo done'
    serve --instruction "$(instruction play I1 [] "$(at -60)")"
    bare --token-file "$tmp/token" --state "$state"
    beats 2
    finish
    stop "$server"
    : >"$out"
}

# The clock is said to be right, but it was later than that already.
contradiction() {
    remember_an_instruction
    touch "$tmp/vouched"
    clock_is_ahead -30
    launch
    check 'before the last heartbeat: heartbeats fail' await outcomes_are 3
    check '... and nothing runs' [ ! -s "$marks" ]
    finish
    check 'it ends well' ended_well
}

# The real adjtimex(), whatever it says: the daemon agrees with it.
real_kernel() {
    remember_an_instruction
    launch
    await outcomes_are 3
    cat >"$tmp/adjtimex.py" <<'PYTHON'
import ctypes
timex = (ctypes.c_long * 64)()
state = ctypes.CDLL(None, use_errno=True).adjtimex(timex)
# `status` stands behind modes, offset, freq, maxerror and esterror.
status = ctypes.cast(timex, ctypes.POINTER(ctypes.c_int))[
    5 * ctypes.sizeof(ctypes.c_long) // ctypes.sizeof(ctypes.c_int)]
print("yes" if state >= 0 and not status & 0x40 else "no")
PYTHON
    vouched=$("$python" "$tmp/adjtimex.py")
    case $vouched in
    yes) check 'synchronized: it runs' await ran I1 1 ;;
    *) check 'not synchronized: it does not run' eval '
        ran I1 0 && said "vouches for the clock"' ;;
    esac
    finish
    check 'it ends well' ended_well
}

# ---- A box that was suspended -----------------------------------------------

# Six days, in which the monotonic clock stood still; the next heartbeat is far.
suspended() {
    hook play 'echo done'
    serve --instruction "$(instruction play I1 [] "$(at 500000)")"
    wrap="$(pretend "$tmp/none" /dev/zero) QUICKLY=20 SLEPT=$tmp/slept"
    interval=1d
    launch --max-age 0
    check 'a heartbeat' await counts 1 '/heartbeat 200'
    check 'what is to run in six days does not run' ran I1 0
    echo 520000 >"$tmp/slept"
    check 'after six days of sleep it runs' await ran I1 1
    check '... without another heartbeat' [ "$(count /heartbeat)" -eq 1 ]
    finish
    check 'it ends well' ended_well
}

# ---- The unit ---------------------------------------------------------------

unit=examples/lucit-heartbeat/lucit-heartbeat.service

# The system calls of a set, a line each; sets may hold sets.
calls_of() { # NAME...
    for name; do
        case $name in
        @*) systemd-analyze --no-pager syscall-filter "$name" |
            sed -n 's/^    \([-@a-z0-9_]*\)$/\1/p' >"$tmp/set.$name"
            calls_of $(cat "$tmp/set.$name") ;;
        *) echo "$name" ;;
        esac
    done | sort -u
}

# What the unit's filters let through, line by line.
allowed_calls() {
    : >"$tmp/allowed"
    sed -n 's/^SystemCallFilter=//p' "$unit" >"$tmp/filters"
    while read -r filter; do
        calls_of ${filter#"~"} >"$tmp/calls"
        case $filter in
        "~"*) grep -vxFf "$tmp/calls" "$tmp/allowed" >"$tmp/next" ;;
        *) sort -u "$tmp/allowed" "$tmp/calls" >"$tmp/next" ;;
        esac
        mv "$tmp/next" "$tmp/allowed"
    done <"$tmp/filters"
}

filters() {
    if ! command -v systemd-analyze >"$tmp/checked"; then
        ok 'filters # SKIP it takes systemd-analyze'
        return
    fi
    allowed_calls
    is_allowed() { grep -qx "$1" "$tmp/allowed"; }
    check 'the unit lets through what any program needs' is_allowed ppoll
    check '... and what tells whether the clock is synchronized' eval '
        is_allowed adjtimex && is_allowed clock_adjtime'
    check '... but not what sets it' eval '
        ! is_allowed clock_settime && ! is_allowed settimeofday'
    check '... and ProtectClock= does not forbid it' \
        grep -qx 'ProtectClock=no' "$unit"
    check '... but nobody in it may set a clock' \
        grep -qx 'CapabilityBoundingSet=' "$unit"
}

# ---- All of them ------------------------------------------------------------

if [ $# -gt 0 ]; then
    "$@"
    done_testing
fi
need jq prlimit strace unshare "$python"
# The longest first.
scenarios <<'SCENARIOS'
after_boot no_dev
after_boot no_descriptors
at_most_one_a_second
fast_rtc
kernels_clock
suspended
without_a_time
contradiction
session_of_the_future
real_kernel
filters
SCENARIOS
