#!/bin/sh
# lucit-heartbeat as a daemon, killed: at every system call that touches its
# memory, and at any moment; then a long life of it, to see that nothing grows.
#
# usage: B=build tests/peers/kill.sh [SCENARIO ARGUMENT...]
. "$(dirname "$0")/daemon.inc"

interval=0.1
traced="-P $state -P $state.new -P $state.lock -P $tmp/state"

# ---- At every system call --------------------------------------------------

# What one life with one instruction does to the memory and its folder, a line
# a call: the call, and how many of its kind there were up to it.
calls() {
    hook play 'echo done'
    serve --again --instruction "$(instruction play I1)"
    wrap="strace -D -o $tmp/trace $traced"
    launch
    await reported I1 acknowledge
    beats 2
    finish
    sed -n 's/^\([a-z0-9_]*\)(.*/\1/p' "$tmp/trace" |
        awk '{ print $1, ++n[$1] }'
}

# The second life, after one that ended in whatever way: all is made good.
comes_back() {
    wrap=
    : >"$err"
    launch
    check 'it comes up, and reports' await is_reported I1
    beats 3
    finish
    check 'it ends well, without complaint' eval \
        'ended_well && [ ! -s "$err" ]'
    check 'it ran once, or is said to be interrupted' eval '
        ran I1 1 && reported I1 acknowledge ||
        reported I1 failed ".message == \"interrupted\"" && ! ran I1 2'
    check 'there is nothing beside the memory' eval \
        '! ls -A "$tmp/state" | grep -vxE "memory(.lock)?"'
}

# One life ends at the N-th of these calls.
at_call() { # CALL N
    hook play 'echo done'
    serve --again --instruction "$(instruction play I1)"
    wrap="strace -D -o $tmp/trace $traced --inject=$1:signal=SIGKILL:when=$2"
    launch
    check 'it is killed' await grep -q 'killed by SIGKILL' "$tmp/trace"
    comes_back
}

# For a whole life each of these calls fails: nothing runs that was not written
# down, and it does in the next one.
failing() { # CALL ERROR
    hook play 'echo done'
    serve --again --instruction "$(instruction play I1)"
    wrap="strace -D -o $tmp/trace -P $state.new --inject=$1:error=$2"
    launch
    beats 4
    check 'it does not run' ran I1 0
    check 'it is told' [ -s "$err" ]
    check 'it lives' lives
    kill -s KILL "$daemon"
    await gone "$daemon"
    comes_back
    check 'it runs after all' ran I1 1
}

# ---- At any moment ---------------------------------------------------------

at_random() { # SEED
    lcuids=$(seq -f I%.0f 120)
    hook quick 'echo done'
    hook slow 'sleep 0.1; echo done'
    set -- "$1"
    for lcuid in $lcuids; do
        name=quick
        [ $((${lcuid#I} % 3)) -ne 0 ] || name=slow
        set -- "$@" --instruction "$(instruction $name "$lcuid")"
    done
    seed=$1
    shift
    serve --again "$@"
    for moment in $("$python" -c '
import random, sys
chance = random.Random(int(sys.argv[1]))
print(*("%.3f" % chance.uniform(0.2, 0.9) for _ in range(30)))' "$seed"); do
        launch
        sleep "$moment"
        kill -s KILL "$daemon"
        wait "$daemon" 2>/dev/null
    done
    in_time=$(sort -u "$marks" | wc -l)
    [ ! -s "$err" ] || not_ok 'no life has anything to complain of'
    launch
    for lcuid in $lcuids; do await is_reported "$lcuid"; done
    finish
    check 'the last life ends well' ended_well
    twice=$(sort "$marks" | uniq -d)
    check 'no instruction ran twice' [ -z "$twice" ]
    missing= wrong= interrupted=0
    for lcuid in $lcuids; do
        if reported "$lcuid" acknowledge >/dev/null; then
            ran "$lcuid" 1 || wrong="$wrong $lcuid"
        elif reported "$lcuid" failed '.message == "interrupted"' \
            >/dev/null; then
            interrupted=$((interrupted + 1))
        else
            missing="$missing $lcuid"
        fi
    done
    check 'every one is reported' eval 'echo "$missing"; [ -z "$missing" ]'
    check 'whatever is acknowledged has run' eval \
        'echo "$wrong"; [ -z "$wrong" ]'
    echo "# note: seed $seed: 30 lives, which ran $in_time instructions, the" \
        "last life the rest; $interrupted were interrupted"
}

# ---- A long life -----------------------------------------------------------

# Memory and descriptors, as "KILOBYTES NUMBER": the least of some looks, for
# a hook that runs is not to count.
size() {
    for _ in 1 2 3 4 5 6 7 8; do
        sed -n 's/^VmRSS:[^0-9]*\([0-9]*\).*/\1/p' "/proc/$daemon/status"
        ls "/proc/$daemon/fd" | wc -l
        sleep 0.02
    done | xargs -n 2 | awk 'NR == 1 || $1 < kb { kb = $1 }
        NR == 1 || $2 < n { n = $2 } END { print kb, n }'
}

# A week has 10,080 minutes.  As many heartbeats as go into SECONDS: each second
# something else fails for a moment, and four instructions are to run.
week() { # SECONDS
    hook play 'echo "$LUCIT_INSTRUCTION"'
    hook broken 'yes | head -n 1000; exit 1'
    set -- "$1"
    for n in $(seq $(($1 * 4))); do
        case $((n % 4)) in
        0) name=none ;;
        1) name=broken ;;
        *) name=play ;;
        esac
        set -- "$@" --instruction \
            "$(instruction "$name" "W$n" '[1,2]' "$(at $((n / 4)))")"
    done
    seconds=$1
    shift
    serve --again "$@"
    interval=0.001
    launch
    ends=$(($(date +%s) + seconds))
    turn=0 warm=
    while [ "$(date +%s)" -lt "$ends" ]; do
        set -- 500 '429 1' drop '500 - /acknowledge' '404 - /failed' 401
        shift $((turn % $#))
        fail $1
        sleep 0.2
        mend
        sleep 0.8
        turn=$((turn + 1))
        # All that it ever does it has done by then.
        [ "$turn" -ne 7 ] || warm=$(size)
    done
    await counts 1 "/heartbeat 200"
    beats 20
    cold=$(size)
    check 'it lives' lives
    check 'memory is flat' eval 'echo "$warm -> $cold" &&
        [ "${cold% *}" -le $((${warm% *} + 64)) ]'
    check 'descriptors are flat' eval 'echo "$warm -> $cold" &&
        [ "${cold#* }" -le "${warm#* }" ]'
    finish
    check 'it ends well' ended_well
    check 'no instruction ran twice' [ -z "$(sort "$marks" | uniq -d)" ]
    check 'instructions ran' [ "$(wc -l <"$marks")" -ge 5 ]
    echo "# note: $(count /heartbeat) heartbeats (a week has 10080) in" \
        "$seconds s, $(count /instructions/) reports, $(wc -l <"$marks")" \
        "hooks; $warm, then $cold KB and descriptors"
}

# ---- All of them -----------------------------------------------------------

if [ $# -gt 0 ]; then
    "$@"
    [ "$1" = calls ] || done_testing
    exit
fi
need jq strace "$python"
"$0" calls >"$tmp/calls"
check 'the memory is written four times' \
    [ "$(grep -c '^rename' "$tmp/calls")" -ge 4 ]
check '... each time to the disk, and the folder' \
    [ "$(grep -c '^fsync' "$tmp/calls")" -ge 8 ]
{
    echo 'week 25'
    echo 'at_random 1'
    echo 'failing openat EROFS'
    echo 'failing write ENOSPC'
    echo 'failing fsync EIO'
    echo 'failing rename EIO'
    sed 's/^/at_call /' "$tmp/calls"
} | scenarios
