#!/bin/sh
# lucit-heartbeat as a daemon, killed: at every system call that touches its
# memory, and at any moment; then a long life of it, to see that nothing grows.
#
# usage: B=build tests/peers/kill.sh [SCENARIO ARGUMENT...]
. "$(dirname "$0")/daemon.inc"

interval=0.1
minutes=10080 # in a week
patience=600  # seconds, for them
traced="-P $state -P $state.spare -P $state.bad -P $state.lock -P $state.end"
traced="$traced -P $state.end.new -P $tmp/state"
# What only looks changes nothing: an end there is one at the next call.
traced="$traced -e trace=!newfstatat,fstat,lstat,stat,statx,readlink,fcntl"

# What does not end when told to is killed; what has ended may have left its
# number to somebody else.
clean_up() {
    for child in $children; do
        grep -qs "^PPid:[^0-9]*$$\$" "/proc/$child/status" || continue
        kill "$child"
        await gone "$child" || kill -s KILL "$child"
    done 2>/dev/null
    wait
    rm -rf "$tmp"
}

# Ends it at once: it can do nothing about it.
crash() {
    kill -s KILL "$daemon"
    await gone "$daemon" || not_ok 'it can be killed'
}

# ---- At every system call --------------------------------------------------

# What one life with one instruction does to the memory and its folder, a line
# a call: the call, how many of its kind there were up to it, whose it is, which
# is "." for the folder, and "done" or "failed".
calls() {
    hook play 'echo done'
    serve --again --instruction "$(instruction play I1)"
    wrap="strace -D -y -o $tmp/trace $traced"
    launch
    await reported I1 acknowledge
    beats 2
    finish
    awk -v "folder=$tmp/state" '/^[a-z0-9_]*\(/ {
        of = substr($0, index($0, folder) + length(folder))
        how = / = -1 / ? "failed" : "done"
        sub(/\(.*/, "")
        match(of, /^[a-z.\/]*/)
        print $0, ++n[$0], "." substr(of, 1, RLENGTH), how
    }' "$tmp/trace"
    ended_well >&2
}

# The second life, after one that ended in whatever way: all is made good.
comes_back() {
    wrap=
    : >"$err"
    # One that was handed out, not to be again, and was not written down, is
    # lost to everyone.
    lost=false
    ! $once || ! counts 1 '/heartbeat 200' ||
        grep -q '^rename.* = 0$' "$tmp/trace" || lost=true
    launch
    $lost || check 'it comes up, and reports' await is_reported I1
    beats 3
    finish
    check 'it ends well, without complaint' eval 'ended_well &&
        ! grep -v "there is no such file: it starts empty" "$err"'
    if $lost; then
        check 'what is not written down did not run' [ ! -s "$marks" ]
    else
        check 'it ran once, or is said to be interrupted' eval '
            ran I1 1 && reported I1 acknowledge ||
            reported I1 failed ".message == \"interrupted\"" &&
                [ "$(wc -l <"$marks")" -le 1 ]'
    fi
    check 'there is nothing beside the memory' eval \
        '! ls -A "$tmp/state" | grep -vxE "memory(.lock|.spare)?"'
}

# One life ends at the N-th of these calls.  "again": the server goes on to hand
# out the instruction until it has a report.  "once": it does not, and all that
# the second life can report comes from the memory.
at_call() { # CALL N again|once
    hook play 'echo done'
    set -- "$@" --instruction "$(instruction play I1)"
    wrap="strace -D -o $tmp/trace $traced --inject=$1:signal=SIGKILL:when=$2"
    once=true
    [ "$3" = once ] || once=false
    shift 3
    $once || set -- --again "$@"
    serve "$@"
    launch
    check 'it is killed' await grep -q 'killed by SIGKILL' "$tmp/trace"
    comes_back
}

# For a whole life each of these calls fails, on the new memory or its folder:
# nothing runs that was not written down.  In the next life it does, unless it
# may have been written down as begun.
failing() { # CALL HOW [folder]
    hook play 'echo done'
    serve --again --instruction "$(instruction play I1)"
    of=$state.spare
    [ $# -ne 3 ] || of=$tmp/state
    wrap="strace -D -o $tmp/trace -P $of --inject=$1:$2"
    launch
    beats 4
    check 'it does not run' ran I1 0
    check 'it is told' said 'cannot be written'
    check 'it lives' lives
    crash
    once=false
    comes_back
    [ $# -eq 3 ] || check 'it runs after all' ran I1 1
}

# One of these calls fails, and only this one: the next write makes it good.
one_failure() { # CALL N
    hook play 'echo done'
    serve --again --instruction "$(instruction play I1)"
    wrap="strace -D -o $tmp/trace $traced --inject=$1:error=EIO:when=$2"
    launch
    check 'it is reported all the same' await reported I1 acknowledge
    beats 2
    check 'a call has failed' grep -q 'INJECTED' "$tmp/trace"
    finish
    check 'it ends well' ended_well
    check 'it ran once' ran I1 1
    once=false
    comes_back
}

# What such a call is for can be done without: all goes on, and is not told.
harmless() { # CALL HOW
    hook play 'echo done'
    serve --again --instruction "$(instruction play I1)"
    wrap="strace -D -o $tmp/trace $traced --inject=$1:$2"
    launch
    check 'it is reported all the same' await reported I1 acknowledge
    check 'a call has failed' grep -q 'INJECTED' "$tmp/trace"
    crash
    once=false
    comes_back
}

# Two on one memory would run all twice.
two() {
    hook slow 'sleep 1; echo done'
    serve --again --instruction "$(instruction slow I1)"
    launch
    await ran I1 1
    first=$daemon
    launch
    check 'a second one goes away' await gone "$daemon"
    finish
    check '... and says why' eval '[ "$status" -eq 3 ] && said "another"'
    daemon=$first
    check 'the first one goes on' await reported I1 acknowledge
    beats 2
    finish
    check '... to the end' ended_well
    check 'it ran once' ran I1 1
}

# ---- At any moment ---------------------------------------------------------

# How many of the memory's instructions are not reported.
unfinished() {
    "$python" - "$state" <<'PYTHON'
import sys
with open(sys.argv[1], "rb") as f:
    records = f.read()[20:] # behind the seal and the time
at = count = 0
while at + 20 <= len(records) and records[at + 2]: # its state; 0: no more
    count += records[at + 2] in (1, 2, 3)
    at += records[at] << 8 | records[at + 1] # its size
print(count)
PYTHON
}

# A hook that runs to its end leaves a mark as the last thing it does.  In each
# third life, which is longer, no report is taken: several pile up.
at_random() { # SEED LIVES INSTRUCTIONS
    seed=$1 lives=$2
    lcuids=$(seq -f I%.0f "$3")
    last='echo "$LUCIT_INSTRUCTION" >>"$tmp/ends"'
    : >"$tmp/ends"
    hook quick "echo done; $last"
    hook slow "sleep 0.1; echo done; $last"
    hook long "sleep 0.7; echo done; $last"
    set --
    for lcuid in $lcuids; do
        name=quick
        [ $((${lcuid#I} % 3)) -ne 0 ] || name=slow
        [ $((${lcuid#I} % 10)) -ne 0 ] || name=long
        set -- "$@" --instruction "$(instruction $name "$lcuid")"
    done
    serve --again "$@"
    life=0 most=0
    for moment in $("$python" -c '
import random, sys
chance = random.Random(int(sys.argv[1]))
print(*("%.3f" % chance.uniform(0.15, 0.75) for _ in range(int(sys.argv[2]))))
' "$seed" "$lives"); do
        life=$((life + 1))
        launch
        if [ $((life % 3)) -eq 0 ]; then
            fail 500 - /instructions/
            beats 3
        fi
        sleep "$moment"
        crash
        mend
        n=$(unfinished)
        [ "$n" -le "$most" ] || most=$n
    done
    in_time=$(sort -u "$marks" | wc -l)
    check 'several were unfinished at once' [ "$most" -ge 3 ]
    check 'no life has anything else to complain of' eval \
        '! grep -v -e " lucit-heartbeat: a report failed and is " \
            -e "there is no such file: it starts empty" "$err"'
    launch
    for lcuid in $lcuids; do await is_reported "$lcuid" || break; done
    finish
    check 'the last life ends well' ended_well
    twice=$(sort "$marks" | uniq -d)
    check 'no instruction ran twice' [ -z "$twice" ]
    missing= wrong= falsely= interrupted=0
    for lcuid in $lcuids; do
        if reported "$lcuid" acknowledge >/dev/null; then
            ran "$lcuid" 1 || wrong="$wrong $lcuid"
        elif reported "$lcuid" failed '.message == "interrupted"' \
            >/dev/null; then
            interrupted=$((interrupted + 1))
            ! grep -qx "$lcuid" "$tmp/ends" || falsely="$falsely $lcuid"
        else
            missing="$missing $lcuid"
        fi
    done
    check 'every one is reported' eval 'echo "$missing"; [ -z "$missing" ]'
    check 'whatever is acknowledged has run' eval \
        'echo "$wrong"; [ -z "$wrong" ]'
    check 'none that came to its end is said to be interrupted' eval \
        'echo "$falsely"; [ -z "$falsely" ]'
    check 'nothing is beside the memory' eval \
        '! ls -A "$tmp/state" | grep -vxE "memory(.lock|.spare)?"'
    check 'no life interrupted more than one' [ "$interrupted" -le "$life" ]
    echo "# note: seed $seed: $life lives, which ran $in_time instructions," \
        "the last life the rest; $most were unfinished at once;" \
        "$interrupted were interrupted, falsely so: ${falsely:-none}"
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

# The lcuid of every report that was taken.
taken() {
    sed -n 's,^POST [^ ]*/instructions/\([^/]*\)/[a-z]* 200 .*,\1,p' "$requests"
}

# A week's heartbeats as fast as they go: each second something else fails for a
# moment, and in the first SECONDS four instructions are to run.
week() { # SECONDS
    hook play 'echo "$LUCIT_INSTRUCTION"'
    hook broken 'yes | head -n 1000; exit 1'
    set -- "$1"
    instructions=$(($1 * 4)) hooks_due=$(($1 * 3))
    for n in $(seq "$instructions"); do
        case $((n % 4)) in
        0) name=none ;;
        1) name=broken ;;
        *) name=play ;;
        esac
        set -- "$@" --instruction \
            "$(instruction "$name" "W$n" '[1,2]' "$(at $((n / 4)))")"
    done
    shift
    serve --again "$@"
    # Ten intervals a second would take a quarter of an hour.  What has a limit
    # of time beside them gets one that it will not reach.
    interval=0.1
    no_patience
    launch --timeout 1d --hook-timeout 0 --max-age 0
    began=$(date +%s)
    turn=0 warm=
    until counts "$minutes" /heartbeat && [ -n "$warm" ] &&
        [ "$(taken | wc -l)" -ge "$instructions" ]; do
        [ $(($(date +%s) - began)) -lt "$patience" ] && lives || break
        set -- 500 '429 1' drop '500 - /acknowledge' '404 - /failed' 401
        shift $((turn % $#))
        fail $1
        sleep 0.2
        mend
        sleep 0.8
        turn=$((turn + 1))
        # All that it ever does it has done by then.
        [ -n "$warm" ] || [ "$turn" -lt 7 ] ||
            ! counts $((minutes / 4)) /heartbeat || warm=$(size)
    done
    took_s=$(($(date +%s) - began))
    beats 20
    cold=$(size)
    check 'it lives' lives
    check 'a week has passed' counts "$minutes" /heartbeat
    check 'memory is flat' eval 'echo "$warm -> $cold" &&
        [ "${cold% *}" -le $((${warm% *} + 64)) ]'
    check 'descriptors are flat' eval 'echo "$warm -> $cold" &&
        [ "${cold#* }" -le "${warm#* }" ]'
    finish
    check 'it ends well' ended_well
    check 'each instruction is reported, once' eval '
        taken | sort | uniq -c | awk "\$1 != 1 { print; bad = 1 }
            END { print NR; exit bad || NR != $instructions }"'
    check 'each with a hook ran' [ "$(wc -l <"$marks")" -eq "$hooks_due" ]
    check '... once' [ -z "$(sort "$marks" | uniq -d)" ]
    echo "# note: $(count /heartbeat) heartbeats in $took_s s," \
        "$(count /instructions/) reports, $(wc -l <"$marks") hooks; $warm," \
        "then $cold KB and descriptors"
}

# ---- All of them -----------------------------------------------------------

case ${1-} in
calls) calls; exit ;;
?*) "$@"; done_testing ;;
esac
need jq strace "$python"
check 'a life with one instruction ends well' eval '"$0" calls >"$tmp/calls"'
check 'the memory is written four times' \
    [ "$(grep -c '^rename.* done$' "$tmp/calls")" -ge 4 ]
check '... each time to the disk, then to its place, then the folder' awk '
    $4 == "failed" { next }
    $1 == "write" { dirty = 1 }
    $1 == "fsync" && $3 == "./memory.spare" { dirty = 0 }
    $1 ~ /^rename/ { bad = bad || dirty || due; due = 1 }
    $1 ~ /^unlink/ && due { bad = 1 }
    $1 == "fsync" && $3 == "." { due = 0 }
    END { exit bad || dirty || due }' "$tmp/calls"
{
    echo 'week 20'
    echo 'at_random 1 30 160'
    echo two
    echo 'failing openat error=EROFS'
    echo 'failing write error=ENOSPC'
    echo 'failing write error=EFBIG'
    echo 'failing fsync error=EIO'
    echo 'failing fsync error=EIO folder'
    echo 'failing rename error=EIO'
    echo 'failing renameat2 error=EIO'
    echo 'harmless renameat2 error=EINVAL'
    echo 'harmless renameat2 error=ENOSYS'
    echo 'harmless fallocate error=ENOSPC'
    echo 'harmless close error=EIO'
    cut -d' ' -f1,2 "$tmp/calls" | sed 's/^/at_call /; s/$/ again/'
    cut -d' ' -f1,2 "$tmp/calls" | sed 's/^/at_call /; s/$/ once/'
    cut -d' ' -f1,2 "$tmp/calls" | sed 's/^/one_failure /'
} | scenarios
