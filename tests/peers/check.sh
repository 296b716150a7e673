#!/bin/sh
# --check: what it finds, what it calls wrong, and that it leaves everything as
# it is, a running daemon too.
#
# usage: B=build tests/peers/check.sh [SCENARIO]
. "$(dirname "$0")/daemon.inc"

# A check of all that launch() would run with.  The name is in the hosts file.
look() { # OPTION...
    # A sanitizer cannot look for leaks where something else is tracing.
    ASAN_OPTIONS=${ASAN_OPTIONS-}${wrap:+:detect_leaks=0} \
        run $wrap "$command" --check --device "$device" --app "$app" \
        --lightning-version 4.2.1 --ca "$certs/ca.pem" \
        --token-file "$tmp/token" --state "$state" --hooks "$hooks" \
        --url https://localhost --interval 1m "$@"
}
# VERDICT THING WORDS: a row of the table has these.
row() {
    grep -q "^$1 *$2 .*$3" "$out"
}
silent() { [ ! -s "$err" ]; }
# It ended with STATUS, by what the table says.
ended() { # STATUS
    [ "$status" -eq "$1" ] && silent
}
is_wrong() { # THING WORDS
    ended 2 && row wrong "$1" "$2"
}
is_told() { # THING WORDS
    ended 0 && row told "$1" "$2"
}

# Everything that is on the disk, as it was left.
snapshot() {
    find "$tmp/state" "$tmp/kept" "$hooks" "$tmp/token" \
        -printf '%p %i %m %s %T@ %C@\n' | sort
}

# ---- All is well -----------------------------------------------------------

fine() {
    hook reboot exit
    mkdir "$tmp/kept"
    program facts 'touch "$tmp/facts-ran"'
    printf 'login\nsecret\n' >"$tmp/kept/secret"
    chmod 600 "$tmp/kept/secret"
    # What killed runs have left: a start would take it up, or sweep it.
    echo 'I1 play exited 0' >"$state.end"
    echo half >"$state.end.new"
    echo half >"$tmp/kept/session.999999"
    echo half >"$tmp/kept/status.999999"
    snapshot >"$tmp/before"
    wrap="strace -f -o $tmp/trace -e trace=%process,connect,sendto"
    look --ack-first reboot --secret-file "$tmp/kept/secret" \
        --session "$tmp/kept/session" --status-file "$tmp/kept/status" \
        --info-command "$tmp/facts"
    check 'all is well: it ends with 0' ended 0
    check '... nothing is wrong' eval '! grep ^wrong "$out"'
    things='user options config token secret info-command hooks ack-first'
    things="$things state status-file clock roots route session name"
    check 'each thing has a row' [ "$(awk '{ print $2 }' "$out" |
        tr '\n' ' ')" = "$things " ]
    check '... with what was found' eval '
        row ok options "$device: a heartbeat each 1m" &&
        row ok token "$tmp/token: 61 bytes" &&
        row ok hooks "$hooks: those that can run: 1" &&
        row ok state "$state: it is made at the start" &&
        row ok roots "$certs/ca.pem: [0-9]* roots" &&
        row ok route "straight to localhost" &&
        row ok name "localhost has an address"'
    check '... no secret' eval '! grep -qF -e "$token" -e login "$out"'
    snapshot | cmp - "$tmp/before" >"$tmp/compared" 2>&1
    check 'no file is another one' [ ! -s "$tmp/compared" ]
    check 'no program has run' eval '[ ! -e "$tmp/facts-ran" ] && ran I1 0 &&
        [ "$(grep -c "execve(\|clone(\|fork(" "$tmp/trace")" -eq 1 ]'
    check 'nothing is sent, nobody is connected to' eval '
        ! grep "connect(\|sendto(" "$tmp/trace"'
    look --json
    check 'as JSON: a row a line' jq -es '(length > 10) and
        all(keys == ["check", "detail", "verdict"])' "$out"
    check '... with the same words' jq -es "any(.check == \"name\" and
        .verdict == \"ok\" and (.detail | test(\"^localhost has\")))" "$out"
}

# Roots, hooks and so on from a file, which has a row itself.
from_file() {
    mkdir "$tmp/kept"
    cat >"$tmp/kept/conf" <<CONFIG
device $device
app $app
lightning-version 4.2.1
ca $certs/ca.pem
token-file $tmp/token
url https://localhost
count 3
json
CONFIG
    run "$command" --check --config "$tmp/kept/conf"
    check 'all is well' eval '[ "$status" -eq 0 ] && silent'
    check '... the file is named' jq -es "any(.check == \"config\" and
        .verdict == \"ok\" and (.detail | test(\"kept/conf\")))" "$out"
    check '... it is no daemon' grep -q '3 in number' "$out"
    chmod 666 "$tmp/kept/conf"
    run "$command" --check --config "$tmp/kept/conf"
    check 'everybody may write it, which is told' jq -es "
        any(.check == \"config\" and .verdict == \"told\" and
        (.detail | test(\"everybody may write\")))" "$out"
    echo 'lightning-version' >>"$tmp/kept/conf"
    run "$command" --check --config "$tmp/kept/conf"
    check 'a line that is wrong ends it' eval '[ "$status" -eq 2 ] &&
        grep -q "conf:9: lightning-version" "$err"'
}

# ---- What is wrong, and what is told ---------------------------------------

# A row: whether it is wrong or told; the thing; words; and options.
rows() {
    printf 'just-one\n' >"$tmp/one-line"
    printf 'login\nsecret\n' >"$tmp/secret"
    chmod 600 "$tmp/secret" "$tmp/one-line"
    echo 'no root' >"$tmp/no.pem"
    : >"$tmp/empty"
    echo foreign >"$tmp/foreign"
    mkfifo "$tmp/pipe"
    mkdir "$tmp/others"
    chmod 777 "$tmp/others"
    touch "$hooks/README"
    ln -s nowhere "$hooks/dangling"
    mkdir "$tmp/open-hooks"
    chmod 777 "$tmp/open-hooks"
    printf '#!/bin/sh\n' >"$hooks/open"
    chmod 777 "$hooks/open"
    while read -r verdict thing words; do
        read -r options
        look $(eval echo "$options")
        check "$verdict: $thing $options" eval "is_$verdict $thing '$words'"
    done <<'ROWS'
wrong options it must consist of letters
--device a/b
wrong options it must be https://
--url http://localhost
wrong options exclude each other
--connect 127.0.0.1 --proxy localhost
wrong token No such file
--token-file $tmp/none
wrong token it is empty
--token-file $tmp/empty
wrong token the file is too long
--token-file $B/heartbeat.o
told token No such file or directory: it begins with a log-in
--token-file $tmp/none --secret-file $tmp/secret
told token is not read here
--token-file $tmp/pipe
wrong token it is not a regular file
--token-file $hooks --secret-file $tmp/secret
wrong token its folder cannot be written: No such file
--token-file $tmp/none/token --secret-file $tmp/secret
wrong secret two lines
--secret-file $tmp/one-line
wrong secret No such file
--secret-file $tmp/none
wrong info-command not executable
--info-command $tmp/empty
wrong info-command no such file
--info-command $tmp/none
wrong hooks No such file
--hooks $tmp/none
wrong hooks Not a directory
--hooks $tmp/empty
told hooks README: the file is not executable: it is no hook
--hooks $hooks
told hooks dangling: a link to a file that does not exist
--hooks $hooks
told hooks open: everybody may write this file
--hooks $hooks
told hooks everybody may write it, which decides what runs
--hooks $tmp/open-hooks
wrong ack-first --ack-first reobot: no such file
--ack-first open --ack-first reobot
wrong ack-first cannot be that of a file
--ack-first ../open
wrong state it is empty
--state $tmp/empty
wrong state it is damaged, foreign
--state $tmp/foreign
wrong state its folder cannot be written: No such file
--state $tmp/none/memory
wrong state it is not a regular file
--state $tmp/pipe
told state everybody may write its folder
--state $tmp/others/memory
wrong session everybody may write its folder: no session
--session $tmp/others/session
wrong session its folder cannot be written: No such file
--session $tmp/none/session
wrong status-file it is not a regular file
--status-file $tmp/pipe
wrong status-file its folder cannot be written: No such file
--status-file $tmp/none/status
wrong roots No such file
--ca $tmp/none
wrong roots it has no certificate
--ca $tmp/no.pem
wrong route it must be a numeric address
--connect 1.2.3
wrong route HOST must be a name or a numeric address
--proxy a..b
ROWS
    look --proxy http://kiosk:hush-hush@localhost:3128
    check 'a proxy is told of' row ok route \
        'proxy: localhost, port 3128, with a login'
    check '... without its password' eval '! grep -q hush "$out"'
    check '... whose name is looked up' row ok name '^*localhost has'
    https_proxy=http://localhost:1 look
    check 'that of the environment, too' row ok route \
        'https_proxy: localhost, port 1$'
    look --connect 192.0.2.1
    check 'an address is not looked up' eval '
        row ok route "connect 192.0.2.1" && row ok name "is not looked up"'
    look --ca "$tmp/none" --ack-first reobot
    check 'what is wrong hides nothing behind it' eval '
        row wrong ack-first . && row wrong roots . && row ok name .'
    run "$command" --check --app "$app"
    check 'without a device there is nothing to look at' is_wrong options \
        'device is required'
}

# As root, of what belongs to the user that the service runs as.
service_user() {
    if [ "$(id -u)" -ne 0 ]; then
        ok 'service_user # SKIP it takes root'
        return
    fi
    kept=$tmp/kept
    mkdir "$kept"
    cp "$tmp/token" "$kept/token"
    printf 'login\nsecret\n' >"$kept/secret"
    : >"$kept/memory.lock"
    head -c 87 /dev/zero >"$kept/session"
    chmod -R go= "$kept"
    chown -R 65534 "$kept"
    snapshot >"$tmp/before"
    look --token-file "$kept/token" --secret-file "$kept/secret" \
        --state "$kept/memory" --session "$kept/session"
    check 'a folder of another user: nothing is wrong' ended 0
    check '... whose it is, is told' eval '
        row told token "another user owns its folder" &&
        row told state "another user owns its folder" &&
        row told session "user 65534 owns its folder, and may keep one"'
    snapshot | cmp - "$tmp/before" >"$tmp/compared" 2>&1
    check '... no file is another one' [ ! -s "$tmp/compared" ]
    chmod 770 "$kept"
    look --session "$kept/session"
    check 'which its group may write' is_wrong session \
        'another user owns its folder: no session'
    chmod 755 "$tmp" "$kept"
    cp "$command" "$tmp/lucit-heartbeat"
    cp "$certs/ca.pem" "$tmp/ca.pem"
    command=$tmp/lucit-heartbeat
    wrap='setpriv --reuid=65533 --regid=65533 --clear-groups'
    look --ca "$tmp/ca.pem" --session "$kept/session"
    check 'somebody else, who is not root' is_wrong session \
        'another user owns its folder: no session'
}

# As a user who may do less.
other_user() {
    if [ "$(id -u)" -ne 0 ]; then
        ok 'other_user # SKIP it takes root'
        return
    fi
    nobody=65534
    cp "$command" "$tmp/lucit-heartbeat"
    cp "$certs/ca.pem" "$tmp/ca.pem"
    chmod 711 "$tmp"
    : >"$state.lock"
    chmod 600 "$state.lock"
    command=$tmp/lucit-heartbeat
    wrap="setpriv --reuid=$nobody --regid=$nobody --clear-groups"
    look --ca "$tmp/ca.pem"
    check 'it says which user looks' row ok user 'number 65534'
    check 'a token that root alone may read' is_wrong token \
        'Permission denied'
    check '... and a folder that root alone may write' row wrong state \
        'its folder cannot be written: Permission denied'
    check '... and a lock of another user' row wrong state \
        'lock: cannot be locked: Permission denied'
}

# ---- The name --------------------------------------------------------------

# By nameservers, as a heartbeat looks it up; in a house of its own.
names() { apart names_apart --net; }
names_apart() {
    ip link set lo up
    echo '127.0.0.1 localhost' >"$tmp/hosts"
    echo 'nameserver 127.0.0.1' >"$tmp/resolv.conf"
    mount --bind "$tmp/hosts" /etc/hosts
    mount --bind "$tmp/resolv.conf" /etc/resolv.conf
    dnsmasq --keep-in-foreground --conf-file=/dev/null --user=root \
        --pid-file= --log-facility=- --no-resolv --no-hosts --bind-interfaces \
        --listen-address=127.0.0.1 --local=/app/ \
        --host-record=api.lucit.app,127.0.0.1,60 \
        >"$tmp/dnsmasq.log" 2>&1 </dev/null &
    nameserver=$!
    children="$children $nameserver"
    check 'a nameserver' await grep -q ':0035 ' /proc/net/udp
    # Whoever connects is seen.
    start "$tmp/socat.log" 'listening on' socat -d -d \
        TCP-LISTEN:0,bind=127.0.0.1,fork,reuseaddr "EXEC:cat"
    look --url "https://api.lucit.app:$port"
    check 'a name that it knows' row ok name 'api.lucit.app has an address'
    check '... to which nobody connects' eval '
        ! grep accepting "$tmp/socat.log"'
    look --url "https://nobody.lucit.app:$port"
    check 'a name that does not exist' is_wrong name \
        'no address for nobody.lucit.app: the name does not exist'
    stop "$nameserver"
    look --url "https://api.lucit.app:$port" --timeout 2000
    check 'no nameserver' is_wrong name 'no address for api.lucit.app'
}

# ---- The clock -------------------------------------------------------------

clock() {
    echo 0 >"$tmp/ahead"
    wrap="$(pretend "$tmp/ahead" /dev/urandom) VOUCHED=$tmp/vouched"
    look
    check 'nobody vouches for the clock' is_told clock 'not synchronized'
    touch "$tmp/vouched"
    look
    check 'somebody does' row ok clock ', synchronized'
    echo -1000000000 >"$tmp/ahead"
    look
    check 'it is years behind' is_told clock 'is past: until the server'
}

# ---- Beside a daemon -------------------------------------------------------

beside() {
    hook slow 'until [ -e "$tmp/go" ]; do sleep 0.05; done'
    fail 503 - /instructions/
    serve --instruction "$(instruction slow I1)"
    launch
    check 'a daemon has a hook' await ran I1 1
    mkdir "$tmp/kept"
    cp "$out" "$tmp/out.daemon"
    printed=$out
    out=$tmp/table
    look
    check 'a check beside it ends well' [ "$status" -eq 0 ]
    check '... and says so' row ok state 'in use by a running daemon'
    out=$printed
    beats 2
    run "$command" --state "$state" --device "$device" --app "$app" \
        --lightning-version 4.2.1 --token-file "$tmp/token" \
        --ca "$certs/ca.pem" --hooks "$hooks"
    check 'the daemon still has its state' grep -q 'another lucit-heartbeat' \
        "$err"
    touch "$tmp/go"
    check 'its hook ends, and its report waits' eval \
        'await counts 1 "acknowledge 503"'
    out=$tmp/table
    look
    check '... of which a check knows' row ok state \
        'reports that wait: 1; in use'
    kill "$daemon"
    await gone "$daemon"
    look
    check 'behind its end nobody uses the state' row ok state \
        'reports that wait: 1$'
    mend
    check 'the hook ran once' ran I1 1
}

if [ $# -gt 0 ]; then
    "$@"
    done_testing
fi
PATH=$PATH:/usr/sbin:/sbin
need dnsmasq ip jq setpriv socat strace unshare
scenarios <<'SCENARIOS'
fine
from_file
rows
service_user
other_user
names
clock
beside
SCENARIOS
