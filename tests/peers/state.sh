#!/bin/sh
# What lucit-heartbeat has on the disk, and what becomes of it there: a state
# that is mounted late, emptied, restored or out of reach, its lock, links, a
# full disk, and files in which others have a hand.
#
# usage: B=build tests/peers/state.sh [SCENARIO]
. "$(dirname "$0")/daemon.inc"

# How often a line with these words was printed.
told_times() { # PATTERN NUMBER
    n=$(grep -c "$1" "$err")
    echo "$n times"
    [ "$n" -eq "$2" ]
}

ended_with() { # STATUS
    echo "exit status $status"
    [ "$status" -eq "$1" ]
}

# Runs the daemon as another user than the one whose files there are.
as_nobody() {
    nobody=65534
    [ "$(id -u)" -eq 0 ] || return
    cp "$command" "$tmp/lucit-heartbeat"
    cp "$certs/ca.pem" "$tmp/ca.pem"
    chown "$nobody" "$tmp/token"
    chmod 600 "$tmp/token"
    chmod 711 "$tmp"
    chmod 666 "$marks"
    command=$tmp/lucit-heartbeat
    wrap="setpriv --reuid=$nobody --regid=$nobody --clear-groups"
}

# ---- A file that comes, goes or changes ------------------------------------

# Writes over a file in place and at once: a daemon that looks meanwhile sees it
# whole, before or after.  (cp would empty it first.)
write_over() { # FROM TO
    dd if="$1" of="$2" bs=64k conv=notrunc 2>/dev/null
}

# A first life on a partition, whose report nobody takes; then a boot before it
# is mounted, and without a network.
boot_before_mount() {
    hook play 'echo done'
    fail 500 - /instructions/
    serve --again --instruction "$(instruction play I1)" \
        --instruction "$(instruction play I2)"
    mkdir "$tmp/part"
    mount -t tmpfs none "$tmp/part"
    mount --bind "$tmp/part" "$tmp/state"
    launch
    await ran I2 1
    beats 2
    finish
    cp "$state" "$tmp/first"
    umount "$tmp/state"
    : >"$err"
}

late() {
    boot_before_mount
    fail 500
    launch
    beats 2
    check 'not mounted yet: it says that there is no state' \
        said "$state: there is no such file: it starts empty"
    mount --bind "$tmp/part" "$tmp/state"
    mend
    check 'mounted: it is told' await said "$state: another file is there now"
    check 'mounted: what is in it is reported' await reported I1 acknowledge
    check 'mounted: ... all of it' await reported I2 acknowledge
    beats 3
    check 'mounted: it does not run again' eval 'ran I1 1 && ran I2 1'
    finish
    launch
    beats 2
    finish
    check 'the next start knows, too' eval 'ran I1 1 && ran I2 1'
    check '... and has nothing to report' reported_times I1 1
    umount "$tmp/state" "$tmp/part"
}

# The folder is only there with all that is in it.  (A folder that is there, and
# empty, for a moment before something is mounted over it, is one without a
# state.)
late_folder() {
    boot_before_mount
    rmdir "$tmp/state"
    cp -a "$tmp/part" "$tmp/whole"
    mend
    launch
    beats 4
    check 'no folder: nothing runs' eval 'ran I1 1 && ran I2 1'
    check 'no folder: it is told, once' told_times 'No such file' 1
    mv "$tmp/whole" "$tmp/state"
    check 'there it is: what is in it is reported' await reported I1 acknowledge
    beats 3
    check 'there it is: it does not run again' eval 'ran I1 1 && ran I2 1'
    check 'there it is: it says that it writes again' said 'can be written again'
    finish
    umount "$tmp/part"
}

# An instruction that waits for its acknowledgement when the file appears in
# which it ran: it does not run.
late_for_one() {
    hook reboot 'echo done'
    fail 500 - /instructions/
    serve --again --instruction "$(instruction reboot I1)"
    launch
    await ran I1 1
    finish
    mv "$state" "$tmp/first"
    before=$(count '/I1/acknowledge 500') # a slow machine sees it sent again
    launch --ack-first reboot
    check 'it is to be acknowledged first' \
        await counts $((before + 1)) '/I1/acknowledge 500'
    mv "$tmp/first" "$state"
    check 'the file is read' await said 'another file is there now'
    mend
    check 'it has failed, by its report' await reported I1 failed \
        '.message | test("replaced")'
    beats 2
    check 'it did not run again' ran I1 1
    finish
}

# What is done to the file of a daemon that runs | what it says.
changed() {
    hook play 'echo done'
    serve --again --instruction "$(instruction play I1)"
    launch
    await reported I1 acknowledge
    beats 2
    cp "$state" "$tmp/old"
    while IFS='|' read -r name do says; do
        stop "$server"
        port_was=$port
        : >"$err"
        eval "$do"
        serve --again --instruction "$(instruction play I1)" \
            --instruction "$(instruction play "I-$name")"
        check "$name: it is told" await said "$says"
        check "$name: what comes then runs" await reported "I-$name" acknowledge
        beats 2
        check "$name: what ran does not" ran I1 1
        [ "$port" = "$port_was" ] || not_ok 'the port stays'
        finish
        launch
        beats 3
        check "$name: after a restart, too" eval \
            'ran I1 1 && ran "I-$name" 1'
        check "$name: it is told once" told_times "$says" 1
    done <<'ROWS'
emptied|: >"$state"|: it is empty: it is kept as .*bad, and what only it knew
torn|truncate -s 100 "$state"|: it is damaged.* is kept as .*bad
overwritten|echo hello >"$tmp/new"; mv "$tmp/new" "$state"|: it is damaged.* is kept as .*bad
restored|write_over "$tmp/old" "$state"|: another file is there now
swapped|cp "$tmp/old" "$tmp/new"; mv "$tmp/new" "$state"|: another file is there now
deleted|rm "$state"|: it is gone, and is written anew
ROWS
    finish
    check 'what was no state is kept: the last one' \
        [ "$(cat "$state.bad")" = hello ]
}

# An older file knows less than the daemon, and is made good at once.
restored() {
    hook play 'echo done'
    fail 500 - /instructions/
    serve --again --instruction "$(instruction play I1)" \
        --instruction "$(instruction play I2)"
    launch
    await ran I1 1
    await ran I2 1
    beats 1
    finish
    cp "$state" "$tmp/both"
    mv "$state" "$tmp/away"
    stop "$server"
    serve --again --instruction "$(instruction play I3)"
    launch
    await ran I3 1
    beats 2
    write_over "$tmp/both" "$state"
    beats 2
    kill -s KILL "$daemon"
    await gone "$daemon"
    stop "$server"
    serve --again --instruction "$(instruction play I1)" \
        --instruction "$(instruction play I2)" \
        --instruction "$(instruction play I3)"
    mend
    launch
    check 'what the file knew is reported' await reported I1 acknowledge
    check '... all of it' await reported I2 acknowledge
    check 'so is what the daemon knew' await reported I3 acknowledge
    beats 2
    check 'each ran once' eval 'ran I1 1 && ran I2 1 && ran I3 1'
    finish
}

# A file that cannot be read: by a user who has no right to, and by a disk that
# fails.
unreadable() {
    hook play 'echo done'
    if ! as_nobody; then
        ok 'unreadable # SKIP it takes another user'
        return
    fi
    chown "$nobody" "$tmp/state"
    serve --again --instruction "$(instruction play I1)"
    launch --ca "$tmp/ca.pem"
    await reported I1 acknowledge
    finish
    chmod 0 "$state"
    stop "$server"
    serve --again --instruction "$(instruction play I1)" \
        --instruction "$(instruction play I2)"
    launch --ca "$tmp/ca.pem"
    check 'at the start: it is told' await said 'cannot be read: Permission'
    beats 4
    check 'at the start: nothing runs' eval 'ran I1 1 && ran I2 0'
    check 'at the start: it is told once' told_times 'Permission denied' 1
    chmod 600 "$state"
    check 'then it can: what comes runs' await reported I2 acknowledge
    check 'then it can: what ran does not' ran I1 1
    check 'then it can: it is told' said 'can be read again'
    cp "$state" "$tmp/old"
    chmod 600 "$tmp/old"
    mv "$tmp/old" "$state" # which is root's
    stop "$server"
    serve --again --instruction "$(instruction play I3)"
    beats 4
    check 'later: nothing runs' ran I3 0
    check 'later: it is told once' told_times 'Permission denied' 2
    chown "$nobody" "$state"
    check 'later: then it can' await reported I3 acknowledge
    check 'later: each ran once' eval 'ran I1 1 && ran I2 1'
    finish
    check 'it ends well' ended_well
    wrap="strace -D -o $tmp/trace -P $state --inject=read:error=EIO:when=1..3"
    stop "$server"
    serve --again --instruction "$(instruction play I1)" \
        --instruction "$(instruction play I4)"
    launch
    check 'an I/O error: it is told' await said 'Input/output error'
    check 'an I/O error: then it is over' await reported I4 acknowledge
    check 'an I/O error: what ran does not run' ran I1 1
    finish
}

# ---- The lock --------------------------------------------------------------

# The lock's file is gone, and with it the lock.
lock_deleted() {
    hook play 'echo done'
    serve
    launch
    beats 1
    await [ -e "$state" ]
    rm "$state.lock"
    stop "$server"
    serve --instruction "$(instruction play I1)"
    check 'it goes on' await reported I1 acknowledge
    first=$daemon
    launch
    finish
    check '... and a second one refuses' eval \
        '[ "$status" -eq 3 ] && said "another lucit-heartbeat uses it"'
    kill -s STOP "$first" # or else it would make and lock a new one at once
    rm "$state.lock"
    before=$(count /heartbeat)
    launch
    second=$daemon
    check 'where a second one is faster: it goes on' await \
        counts $((before + 2)) /heartbeat
    kill -s CONT "$first"
    check '... the first one ends' await gone "$first"
    daemon=$first
    finish
    check '... with status 3' ended_with 3
    check '... and says why' said 'another lucit-heartbeat has locked it'
    daemon=$second
    check '... the second one goes on' lives
    finish
    check '... to its end' ended_well
}

# A hook that runs when its daemon has lost the lock is ended.
lock_lost() {
    hook long 'echo $$ >"$tmp/pid"; exec sleep 300'
    serve --instruction "$(instruction long I1)"
    launch
    await [ -s "$tmp/pid" ]
    mv "$state.lock" "$tmp/away"
    "$python" - "$state.lock" <<'PYTHON' &
import fcntl, sys, time
f = open(sys.argv[1], "w")
fcntl.lockf(f, fcntl.LOCK_EX, 1, 0)
print("locked", file=f, flush=True)
time.sleep(300)
PYTHON
    children="$children $!"
    await [ -s "$state.lock" ]
    stop "$server"
    serve --instruction "$(instruction long I2)"
    check 'the daemon ends at its next write' await gone "$daemon"
    finish
    check '... with status 3' ended_with 3
    check '... and says why' said 'another lucit-heartbeat has locked it'
    check 'so does its hook' await gone "$(cat "$tmp/pid")"
}

# One byte of it is locked, and no more.
lock_byte() {
    serve
    launch
    beats 1
    locks() { # BYTE
        "$python" - "$state.lock" "$1" <<'PYTHON'
import fcntl, sys
f = open(sys.argv[1], "r+")
fcntl.lockf(f, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, int(sys.argv[2]))
PYTHON
    }
    check 'the first byte is locked' eval '! locks 0'
    check 'the second one is free' locks 1
    finish
}

# What stands in the lock's place | what makes it.
lock_odd() {
    serve
    while IFS='|' read -r name do; do
        rm -rf "$state.lock"
        eval "$do"
        launch
        finish
        check "$name: refused" eval '[ "$status" -eq 3 ] &&
            said "its lock file $state.lock is not a regular file"'
        : >"$err"
    done <<'ROWS'
a link|: >"$tmp/target"; ln -s "$tmp/target" "$state.lock"
a link that leads nowhere|ln -s "$tmp/none" "$state.lock"
a FIFO|mkfifo "$state.lock"
a folder|mkdir "$state.lock"
ROWS
    check 'a link is not followed' [ ! -e "$tmp/none" ]
}

# ---- Links -----------------------------------------------------------------

# Links out of a place that is read-only: they stay, and what they lead to is
# replaced.
links() {
    hook play 'echo done'
    mkdir "$tmp/data" "$tmp/etc" "$tmp/lib"
    printf 'login-of-the-player\nsecret-of-the-player\n' >"$tmp/secret"
    mount -t tmpfs -o mode=755 none "$tmp/etc"
    ln -s ../data/memory "$tmp/etc/memory"
    ln -s ../lib/token "$tmp/etc/token"
    ln -s "$tmp/data/token" "$tmp/lib/token"
    ln -s "$tmp/data" "$tmp/etc/data"
    mount -o remount,ro "$tmp/etc"
    echo expired-token >"$tmp/data/token"
    chmod 600 "$tmp/data/token"
    serve --auth login-of-the-player:secret-of-the-player \
        --auth-token "$tmp/token" --instruction "$(instruction play I1)"
    launch --state "$tmp/etc/memory" --token-file "$tmp/etc/token" \
        --secret-file "$tmp/secret" --session "$tmp/etc/data/session"
    check 'it runs' await reported I1 acknowledge
    beats 2
    finish
    check 'it ends well, and has only one thing to say' eval 'ended_well &&
        ! grep -v -e "starts empty" -e "logged in" "$err"'
    check 'the links are links' eval '[ -L "$tmp/etc/memory" ] &&
        [ -L "$tmp/etc/token" ] && [ -L "$tmp/lib/token" ]'
    check 'a link that led nowhere: the state is there' eval '
        [ -f "$tmp/data/memory" ] && [ ! -L "$tmp/data/memory" ]'
    check 'over two links: the token is there' \
        [ "$(cat "$tmp/data/token")" = "$token" ]
    check 'over the link of a folder: the session is there' eval '
        [ -f "$tmp/data/session" ]'
    check 'what is beside them is there, too' [ "$(ls "$tmp/data" | xargs)" = \
        'memory memory.lock memory.spare session token' ]
    umount "$tmp/etc"
    ln -s loop "$tmp/lib/loop"
    launch --state "$tmp/lib/loop"
    finish
    check 'a loop: the state' eval '[ "$status" -eq 3 ] &&
        said "^[^ ]* lucit-heartbeat: --state $tmp/lib/loop: Too many levels"'
    launch --token-file "$tmp/lib/loop"
    finish
    check 'a loop: the token' eval '[ "$status" -eq 3 ] &&
        said -- "--token-file $tmp/lib/loop: Too many levels"'
    launch --session "$tmp/lib/loop"
    beats 2
    finish
    check 'a loop: the session' eval 'ended_well &&
        said -- "--session $tmp/lib/loop: Too many levels"'
}

# ---- Other hands -----------------------------------------------------------

# One run; what kind of connection it was on.
session_run() { # PATH
    run $wrap "$command" --json --device "$device" --app "$app" \
        --token-file "$tmp/token" --lightning-version 4.2.1 \
        --ca "$tmp/ca.pem" --connect "127.0.0.1:$port" --session "$1"
}
is_on() { # CONNECTION
    jq -e ".result == \"ok\" and .connection == \"$1\"" "$out"
}
has_said() { # WORDS: "" is nothing
    [ -z "$1" ] && [ ! -s "$err" ] || { [ -n "$1" ] && grep -q "$1" "$err"; }
}

# what is done | the connection | what it says | "new": the file is replaced
sessions() {
    if ! as_nobody; then
        ok 'sessions # SKIP it takes another user'
        return
    fi
    other=1
    serve
    while IFS='|' read -r name do connection says after; do
        rm -rf "$tmp/a" "$tmp/b"
        mkdir -m 755 "$tmp/a" "$tmp/b"
        chown "$nobody" "$tmp/a"
        path=$tmp/a/session
        session_run "$path"
        is_on new >"$tmp/checked" && [ -f "$path" ] ||
            not_ok "$name: there is a session"
        eval "$do"
        was=$(stat -L -c %i "$path")
        session_run "$path"
        check "$name: $connection" is_on "$connection"
        check "$name: says ${says:-nothing}" has_said "$says"
        is=$(stat -L -c %i "$path")
        check "$name: the file is ${after:-the old one}" \
            [ "${after:-old}" = "$([ "$was" = "$is" ] && echo old || echo new)" ]
    done <<'ROWS'
our own|:|resumed||
root's|chown 0:$nobody "$path"; chmod 640 "$path"|resumed||
readable by all|chmod 644 "$path"|resumed||
another user's|chown "$other" "$path"; chmod 644 "$path"|new|another user owns the file|new
its group may write|chmod 660 "$path"|new|its group may write the file|new
all may write|chmod 602 "$path"|new|everybody may write the file|new
another user's folder|chown "$other" "$tmp/a"; chmod 777 "$tmp/a"|new|another user owns its folder|
a folder for its group|chmod 775 "$tmp/a"|new|its group may write its folder|
a folder for all|chmod 777 "$tmp/a"|new|everybody may write its folder|
a sticky folder for all|chmod 1777 "$tmp/a"|new|everybody may write its folder|
root's link|path=$tmp/b/link; ln -s "$tmp/a/session" "$path"|resumed||
root's link to the folder|ln -s "$tmp/a" "$tmp/b/a"; path=$tmp/b/a/session|resumed||
another user's link|path=$tmp/b/link; ln -s "$tmp/a/session" "$path"; chown -h "$other" "$path"|new|another user owns a link|
another user's link to the folder|ln -s "$tmp/a" "$tmp/b/a"; chown -h "$other" "$tmp/b/a"; path=$tmp/b/a/session|new|another user owns a link|
a link in a folder for all|path=$tmp/b/link; ln -s "$tmp/a/session" "$path"; chmod 1777 "$tmp/b"|new|others may change a link|
a link to another user's file|path=$tmp/b/link; ln -s "$tmp/a/session" "$path"; chown "$other" "$tmp/a/session"; chmod 644 "$tmp/a/session"|new|another user owns the file|new
ROWS
}

# What others may write or read is told, and used: the path's option | what is
# done | what is said
others() {
    hook play 'echo done'
    printf 'login-of-the-player\nsecret-of-the-player\n' >"$tmp/secret"
    mkdir "$tmp/own"
    serve
    while IFS='|' read -r option do says; do
        rm -rf "$tmp/own" "$err"
        mkdir -m 700 "$tmp/own"
        cp "$tmp/token" "$tmp/own/token"
        cp "$tmp/secret" "$tmp/own/secret"
        chmod 600 "$tmp/own/token" "$tmp/own/secret"
        eval "$do"
        launch --token-file "$tmp/own/token" --secret-file "$tmp/own/secret" \
            --state "$tmp/own/memory"
        check "$option: $says: a heartbeat" beats 1
        finish
        check "$option: $says" \
            said "$option $tmp/own/[a-z]*: ${says:-nothing}"
        : >"$err"
    done <<'ROWS'
--token-file|chmod 620 "$tmp/own/token"|its group may write this file
--token-file|chmod 602 "$tmp/own/token"|everybody may write this file
--token-file|chmod 770 "$tmp/own"|its group may write its folder
--token-file|chmod 644 "$tmp/own/token"; chmod 711 "$tmp/own"|everybody may read this file, a secret
--secret-file|chmod 620 "$tmp/own/secret"|its group may write this file
--secret-file|chmod 777 "$tmp/own"|everybody may write its folder
--secret-file|chmod 644 "$tmp/own/secret"; chmod 755 "$tmp/own"|everybody may read this file, a secret
--state|: >"$tmp/own/memory"; chmod 666 "$tmp/own/memory"|everybody may write this file
--state|chmod 770 "$tmp/own"|its group may write its folder
ROWS
    rm -rf "$tmp/own"
    mkdir -m 700 "$tmp/own"
    cp "$tmp/token" "$tmp/own/token"
    chmod 644 "$tmp/own/token"
    launch --token-file "$tmp/own/token"
    beats 1
    finish
    check 'what is in a folder of our own alone: nothing is told' eval \
        '! grep -v "starts empty" "$err"'
}

# ---- Disks -----------------------------------------------------------------

# On a disk that is full to the last block, and where another process takes each
# block that becomes free.
fill() {
    cat >"$tmp/grab.py" <<'PYTHON'
import sys, time
with open(sys.argv[1], "ab", buffering=0) as f:
    while True:
        try:
            f.write(bytes(512))
        except OSError:
            print("full", flush=True)
            time.sleep(0.001)
PYTHON
    "$python" "$tmp/grab.py" "$tmp/state/grabbed" >"$tmp/grab.log" &
    grabber=$!
    children="$children $grabber"
    await lines_are "$tmp/grab.log" 2
}
is_full() {
    before=$(stat -c %s "$tmp/state/grabbed")
    n=$(wc -l <"$tmp/grab.log")
    await lines_are "$tmp/grab.log" $((n + 2))
    [ "$(df --output=avail "$tmp/state" | tail -n 1)" -le 4 ]
}

full_disk() {
    hook free 'rm "$tmp/state/filler"; echo freed'
    hook play 'echo done'
    serve
    launch
    await [ -s "$state" ]
    head -c 40000 /dev/zero >"$tmp/state/filler"
    sync "$tmp/state/filler"
    fill
    check 'it is full' is_full
    stop "$server"
    serve --again --instruction "$(instruction play I1)" \
        --instruction "$(instruction free I2)" \
        --instruction "$(instruction play I3)"
    check 'one before: is reported' await reported I1 acknowledge
    check 'the one that makes room: is reported' await reported I2 \
        acknowledge '.response_data.message == "freed"'
    check 'one after it: is reported' await reported I3 acknowledge
    check 'it is full again' is_full
    check 'nothing is told of it' eval '! said "cannot be written"'
    finish
    check 'it ends well' ended_well
    launch
    beats 3
    finish
    check 'after a restart: each ran once' eval \
        'ran I1 1 && ran I2 1 && ran I3 1'
    stop "$grabber"
}

full_tmpfs() {
    mount -t tmpfs -o size=256k,mode=755 none "$tmp/state"
    full_disk
    umount "$tmp/state"
}

full_ext4() {
    PATH=$PATH:/usr/sbin:/sbin
    truncate -s 4M "$tmp/image"
    if ! { mkfs.ext4 -q "$tmp/image" &&
        mount -o loop "$tmp/image" "$tmp/state"; } >"$tmp/checked" 2>&1; then
        ok "full_ext4 # SKIP it takes a loop mount: $(head -n 1 "$tmp/checked")"
        return
    fi
    full_disk
    umount "$tmp/state"
}

# Read-only from the start, without a lock file, and later not.
read_only() {
    hook play 'echo done'
    mount -t tmpfs -o ro,mode=755 none "$tmp/state"
    serve --again --instruction "$(instruction play I1)"
    launch
    beats 5
    check 'heartbeats go on' await counts 5 '/heartbeat 200'
    check 'nothing runs' ran I1 0
    check 'it is told once' told_times Read-only 1
    mount -o remount,rw "$tmp/state"
    check 'then it can be written: it runs' await reported I1 acknowledge
    check '... which is told' said 'can be written again'
    beats 2
    mount --bind "$tmp/state" "$tmp/state"
    mount -o remount,bind,ro "$tmp/state"
    stop "$server"
    serve --again --instruction "$(instruction play I2)"
    beats 5
    check 'read-only again: nothing runs' ran I2 0
    check 'read-only again: it is told once' told_times Read-only 2
    umount "$tmp/state"
    check 'then it can be written again: it runs' await reported I2 acknowledge
    finish
    check 'it ends well' ended_well
    check 'each ran once' eval 'ran I1 1 && ran I2 1'
    umount "$tmp/state"
}

# No file may grow that far; no block is left of a quota.
limits() {
    hook play 'echo done'
    serve --again --instruction "$(instruction play I1)"
    printf '#!/bin/sh\ntrap "" XFSZ\nulimit -f 8\nexec "$@"\n' >"$tmp/limited"
    chmod 755 "$tmp/limited"
    wrap=$tmp/limited
    out=/dev/null
    launch
    check 'a limit: it is told' await said 'cannot be written: File too large'
    beats 3
    check 'a limit: nothing runs' ran I1 0
    check 'a limit: it is told once' told_times 'File too large' 1
    finish
    check 'a limit: it ends well' ended_well
    wrap="strace -D -o $tmp/trace -P $state.spare"
    wrap="$wrap --inject=write:error=EDQUOT:when=1..2"
    launch
    check 'a quota: it is told' await said 'cannot be written: Disk quota'
    check 'a quota: then it is over' await reported I1 acknowledge
    finish
    check 'a quota: it ends well' ended_well
    check 'a quota: it ran once' ran I1 1
}

# What runs that were killed have left beside the files.
left_overs() {
    serve
    mkdir "$tmp/tls"
    "$python" -c 'import os; print(os.getpid())' >"$tmp/dead"
    dead=$(cat "$tmp/dead")
    cd "$tmp/tls" || return
    : >"session.$dead"
    : >"session.$$"
    : >"session.$dead.old"
    : >session.20991231
    : >session.
    : >session.old
    : >"other.$dead"
    head -c 5000 /dev/zero >"session.00$dead"
    mkdir session.4194304
    cd "$OLDPWD" || return
    : >"$state.new" >"$state.end.new"
    : >"$state.old"
    launch --session "$tmp/tls/session"
    beats 2
    finish
    check 'it ends well' ended_well
    check 'what a dead one has left is gone, and nothing else' eval '
        ls "$tmp/tls" | sort >"$tmp/is" && printf "%s\n" "other.$dead" session \
            session. "session.$$" "session.00$dead" session.20991231 \
            session.4194304 "session.$dead.old" session.old | sort |
            diff - "$tmp/is"'
    check 'so is what was not finished beside the state' eval '
        [ "$(ls "$tmp/state" | xargs)" = \
            "memory memory.lock memory.old memory.spare" ]'
}

# A backup that shares its files with what it is made of is left alone.
linked() {
    hook play 'echo done'
    serve --instruction "$(instruction play I1)"
    launch
    await reported I1 acknowledge
    beats 1
    ln "$state" "$tmp/copy"
    ln "$state.spare" "$tmp/spare-copy"
    cp "$tmp/copy" "$tmp/as-it-was"
    cp "$tmp/spare-copy" "$tmp/spare-as-it-was"
    stop "$server"
    serve --instruction "$(instruction play I2)" \
        --instruction "$(instruction play I3)"
    check 'it goes on' await reported I3 acknowledge
    beats 1
    finish
    check 'the copies are as they were' eval 'cmp "$tmp/copy" "$tmp/as-it-was" &&
        cmp "$tmp/spare-copy" "$tmp/spare-as-it-was"'
}

# ---- All of them -----------------------------------------------------------

if [ $# -gt 0 ]; then
    "$@"
    done_testing
fi
need jq mkfifo setpriv strace truncate unshare "$python"
# The longest first.
scenarios <<'SCENARIOS'
changed
unreadable
sessions
others
apart late
apart late_folder
late_for_one
restored
lock_deleted
lock_lost
lock_byte
lock_odd
apart links
apart full_tmpfs
apart full_ext4
apart read_only
limits
left_overs
linked
SCENARIOS
