#!/bin/sh
# tests/run counts what programs say and does not say, whatever they do.
. tests/check.inc

# A program that runs these commands.
program() { # NAME < COMMANDS
    { echo '#!/bin/sh' && cat; } >"$work/$1"
    chmod 755 "$work/$1"
}

# tests/run, alone with these programs: $ended, and what it prints in $said.
run_these() { # NAME...
    for file; do
        shift
        set -- "$@" "$work/$file"
    done
    WRAP='' ARGUMENT='' tests/run "$@" >"$work/said" 2>&1
    ended=$?
    cat "$work/said"
    return "$ended"
}

# One program: its line, why it failed ("" for none), and the closing line.
comes_to() { # NAME COUNTS [WHY]
    run_these "$1"
    grep -qE "^$work/$1 +$2\$" "$work/said" || return
    [ "$(tail -n 1 "$work/said")" = "$2" ] || return
    case $2 in
    *' 0 failed'*) [ "$ended" -eq 0 ] ;;
    *) [ "$ended" -eq 1 ] && grep -qE "^exit status $3; its output:" \
        "$work/said" ;;
    esac
}

# ---- One program ---------------------------------------------------------

program good <<'SH'
printf '1..2\nok 1 - a\nok 2 - b\n'
SH
program good-plan-last <<'SH'
printf 'ok 1 - a\nokay\nok 2\n1..2\n'
SH
program bad <<'SH'
printf 'ok 1 - a\nnot ok 2 - b\nok 3 - c\n1..3\n'
exit 1
SH
program bad-but-pleased <<'SH'
printf 'ok 1 - a\nnot ok 2 - b\n1..2\n'
SH
program short <<'SH'
printf '1..5\nok 1 - a\n'
SH
program short-and-bad <<'SH'
printf '1..5\nok 1 - a\nnot ok 2 - b\n'
exit 1
SH
program long <<'SH'
printf '1..1\nok 1 - a\nok 2 - b\n'
SH
program no-plan <<'SH'
printf 'ok 1 - a\nok 2 - b\n'
SH
program two-plans <<'SH'
printf '1..1\nok 1 - a\n1..1\nok 1 - a\n'
SH
program no-tests <<'SH'
echo 1..0
SH
program nothing <<'SH'
exit 0
SH
program skips <<'SH'
printf 'ok 1 - a\nok 2 - b # SKIP no root\nok 3 # skip\n1..3\n'
SH
program cmocka-skips <<'SH'
printf '1..2\nnot ok 1 # SKIP a\nok 2 - b\n'
SH
program skips-all <<'SH'
echo '1..0 # skip no root'
SH
program ends-badly <<'SH'
printf '1..1\nok 1 - a\n'
exit 9
SH
program killed <<'SH'
printf '1..3\nok 1 - a\n'
kill -KILL $$
SH
program terminated <<'SH'
printf 'ok 1 - a\n1..1\n'
kill -TERM $$
SH
program two-bytes <<'SH'
printf '1..1\nok 1 - \377\000\n'
SH

while IFS='|' read -r file counts why; do
    check "$file: $counts" comes_to "$file" "$counts" "$why"
done <<'ROWS'
good|2 passed, 0 failed
good-plan-last|2 passed, 0 failed
bad|2 passed, 1 failed|1
bad-but-pleased|1 passed, 1 failed|0
short|1 passed, 4 failed|0, 4 of 5 tests missing
short-and-bad|1 passed, 4 failed|1, 3 of 5 tests missing
long|2 passed, 1 failed|0, 1 more tests than planned
no-plan|2 passed, 1 failed|0, 0 plans
two-plans|2 passed, 1 failed|0, 2 plans
no-tests|0 passed, 1 failed|0, no tests
nothing|0 passed, 1 failed|0, 0 plans
skips|1 passed, 0 failed, 2 skipped
cmocka-skips|1 passed, 0 failed, 1 skipped
skips-all|0 passed, 0 failed, 1 skipped
ends-badly|1 passed, 1 failed|9
killed|1 passed, 2 failed|137, 2 of 3 tests missing
terminated|1 passed, 1 failed|143
not-there|0 passed, 1 failed|127, 0 plans
two-bytes|1 passed, 0 failed
ROWS

# ---- Those that hang -----------------------------------------------------

program hangs <<SH
printf '1..2\nok 1 - a\n'
sleep 600 & echo \$! >"$work/child"
wait
SH
program hangs-at-its-end <<'SH'
printf '1..1\nok 1 - a\n'
exec sleep 600
SH
program ignores-sigterm <<SH
trap '' TERM
echo 1..1
sleep 600 & echo \$! >"$work/deaf-child"
while :; do sleep 600; done
SH

# Side by side, with a limit that lets them get so far on a busy machine.
export JOBS=3 TIME_LIMIT=20
check 'three that hang' eval '
    ! run_these hangs hangs-at-its-end ignores-sigterm &&
        grep -qx "2 passed, 3 failed" "$work/said"'
unset JOBS TIME_LIMIT
cp "$work/said" "$work/hung"

is_ended() { # NAME COUNTS WHY
    cat "$work/hung"
    grep -A 1 -E "^$work/$1 +$2\$" "$work/hung" |
        grep -qx "exit status $3; its output:"
}

# Waits until it is; a zombie is gone, too, whose ever it is.
is_gone() { # CHILD
    [ -n "$1" ] || return
    for _ in $(seq 300); do
        case $(sed -n 's/^State:.//p' "/proc/$1/status") in
        '' | Z*) return ;;
        esac
        sleep 0.1
    done
    return 1
}

check 'hangs' is_ended hangs '1 passed, 1 failed' \
    '124, killed after 20 s, 1 of 2 tests missing'
check '... its child is gone' is_gone "$(cat "$work/child")"
check 'hangs at its end' is_ended hangs-at-its-end '1 passed, 1 failed' \
    '124, killed after 20 s'
check 'hangs and ignores SIGTERM' is_ended ignores-sigterm \
    '0 passed, 1 failed' '137, killed after 20 s, 1 of 1 tests missing'
check '... its child is gone' is_gone "$(cat "$work/deaf-child")"
export TIME_LIMIT=0
check 'no limit' comes_to good '2 passed, 0 failed'
unset TIME_LIMIT

# ---- Several -------------------------------------------------------------

several() {
    run_these good short skips skips-all bad
    [ "$(tail -n 1 "$work/said")" = '6 passed, 5 failed, 3 skipped' ] &&
        [ "$ended" -eq 1 ]
}

notes() {
    program notes <<'SH'
printf '1..1\n# note: 7 bytes\nok 1 - a # SKIP no root\n# other\n'
SH
    run_these notes
    grep -qx '# note: 7 bytes' "$work/said" &&
        grep -qx 'ok 1 - a # SKIP no root' "$work/said" &&
        ! grep -q '# other' "$work/said"
}

wraps() {
    program wrap <<'SH'
echo '# note: wrapped'
exec "$@"
SH
    program argument <<'SH'
echo "ok 1 - $1"
echo 1..1
[ "$1" = given ]
SH
    WRAP=$work/wrap ARGUMENT=given tests/run "$work/argument" >"$work/said" &&
        grep -qx '# note: wrapped' "$work/said"
}

check 'several are added up' several
check 'notes and skips are shown' notes
check 'WRAP and ARGUMENT' wraps
end_checks
