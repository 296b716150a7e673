#!/bin/sh
# Heartbeats through proxies as offices and shops have them: tinyproxy and
# squid, with and without a password, and the variables that name one.
#
# usage: B=build tests/peers/proxy.sh
. "$(dirname "$0")/common.inc"
PATH=$PATH:/usr/sbin
need jq openssl socat squid tinyproxy unshare "$python"

# ---- The proxies -----------------------------------------------------------

set -- $(free_ports 5)
tiny=$1 tiny_locked=$2 squid=$3 squid_locked=$4 nothing=$5

lucitd() { # NAME OPTION...
    log=$tmp/$1.log
    shift
    start "$log" 'listening on' "$B/lucitd" --port 0 \
        --cert "$certs/server.pem" --key "$certs/server.key" \
        --device "$device" --app "$app" --token-file "$tmp/token" "$@"
}
lucitd api --instruction play
api=$port
lucitd forbidden
forbidden=$port

loopback6=
grep -q '^0\{31\}1 ' /proc/net/if_inet6 2>/dev/null && loopback6=::1
[ -n "$loopback6" ] || echo '# note: no IPv6 on loopback, so it is not tested'

begin_tiny() { # PORT DIRECTIVE: $child
    cat >"$tmp/tiny-$1" <<CONF
Port $1
Listen 127.0.0.1
${loopback6:+Listen $loopback6}
LogLevel Connect
LogFile "$tmp/tiny-$1.log"
MaxClients 20
ConnectPort $api
ConnectPort $nothing
$2
CONF
    tinyproxy -d -c "$tmp/tiny-$1" >"$tmp/tiny-$1.out" 2>&1 </dev/null &
    child=$!
    children="$children $child"
    must_listen "$1" tinyproxy "$tmp/tiny-$1.out"
}
listens() { # PORT
    socat -u OPEN:/dev/null "TCP4:127.0.0.1:$1"
}
must_listen() { # PORT PROGRAM WHAT-IT-SAID
    await listens "$1" || {
        not_ok "$2 starts" "$(cat "$3")"
        done_testing
    }
}
begin_tiny "$tiny_locked" 'BasicAuth kiosk secret'
begin_tiny "$tiny" ''
tiny_child=$child

# Its own files are another user's, where it is started as root.
mkdir "$tmp/squid"
chmod 711 "$tmp"
chown proxy "$tmp/squid" 2>/dev/null
for login in 'kiosk secret' 'ki@sk p:ss/w%rd secret-ü'; do
    printf '%s:%s\n' "${login%% *}" "$(openssl passwd -apr1 "${login#* }")"
done >"$tmp/squid-logins"
printf '127.0.0.1 %s\n' api.lucit.app lucit.app localhost >"$tmp/squid-hosts"
cat >"$tmp/squid.conf" <<CONF
http_port 127.0.0.1:$squid name=open
http_port 127.0.0.1:$squid_locked name=locked
hosts_file $tmp/squid-hosts
pid_filename $tmp/squid/pid
cache_log $tmp/squid/cache.log
access_log stdio:$tmp/squid/access.log
coredump_dir $tmp/squid
visible_hostname localhost
cache deny all
auth_param basic program /usr/lib/squid/basic_ncsa_auth $tmp/squid-logins
auth_param basic children 1 startup=1 idle=1
acl locked myportname locked
acl known proxy_auth REQUIRED
acl served port $api $nothing
http_access deny !served
http_access deny locked !known
http_access allow all
CONF
squid -N -f "$tmp/squid.conf" >"$tmp/squid.out" 2>&1 </dev/null &
squid_child=$!
# A gentle end takes it seconds, and it has nothing to lose.
trap 'kill -s KILL "$squid_child" 2>/dev/null; clean_up' EXIT
must_listen "$squid" squid "$tmp/squid.out"

: >"$tmp/everything" # that any run printed

# A heartbeat to the API as the proxy finds it: without --connect.
via() { # PROXY OPTION...
    proxy=$1
    shift
    run "$command" --json --device "$device" --app "$app" \
        --token-file "$tmp/token" --lightning-version 4.2.1 \
        --ca "$certs/ca.pem" --timeout 30000 --url "https://localhost:$api" \
        ${proxy:+--proxy "$proxy"} "$@"
    cat "$out" "$err" >>"$tmp/everything"
}

# What a proxy's own answer leaves: its status, and nothing else of it.
refused_with() { # STATUS
    line_is proxy ".http_status == $1 and (.detail | test(\"HTTP $1\")) and
        .instruction == null and .message == null and .connection == null and
        .retry_after_s == null and .server_time_s == null and
        .clock_offset_s == null"
}

# ---- Through them ----------------------------------------------------------

via "http://127.0.0.1:$tiny"
check 'tinyproxy: a heartbeat' line_is ok \
    '.instruction.instruction == "play" and .connection == "new"'
tunnels() { # PORT: how many tunnels tinyproxy was asked for
    grep -c ': CONNECT localhost:' "$tmp/tiny-$1.log"
}
check 'tinyproxy: ... went through it' [ "$(tunnels "$tiny")" -eq 1 ]
via "http://127.0.0.1:$squid"
check 'squid: a heartbeat' line_is ok '.connection == "new"'
via "http://127.0.0.1:$squid" --url "https://api.lucit.app:$api"
check 'squid: a name that it alone can look up' line_is ok true

# Each of them, with the port that asks for a password, and its own words for
# a wrong one and for a server that is down.
while read -r name open locked wrong down; do
    via "http://127.0.0.1:$open" --count 3 --interval 0.1
    check "$name: three heartbeats" results_are ok ok ok
    check "$name: ... in one tunnel" eval \
        '[ "$(jq -r .connection "$out" | tr "\n" " ")" = "new kept kept " ]'
    via "127.0.0.1:$open"
    check "$name: without http://" line_is ok true
    via "HTTP://127.0.0.1:$open/"
    check "$name: with a slash behind it" line_is ok true
    via "http://localhost:$open"
    check "$name: by name" line_is ok true
    via "http://me:secret@127.0.0.1:$open"
    check "$name: a login that it does not want" line_is ok true

    via "http://kiosk:secret@127.0.0.1:$locked"
    check "$name: with a password" line_is ok true
    via "http://kiosk:%73ecre%74@127.0.0.1:$locked" --count 3 --interval 0.1
    check "$name: with a password in percent codes" results_are ok ok ok
    via "http://127.0.0.1:$locked"
    check "$name: without the password" refused_with 407
    check "$name: ... the text says so" jq -e \
        '.detail | test("another user or password")' "$out"
    via "http://kiosk:secret2@127.0.0.1:$locked"
    check "$name: a wrong password" refused_with "$wrong"
    via "http://kiosk:@127.0.0.1:$locked"
    check "$name: an empty password" refused_with "$wrong"
    via "http://kiosk@127.0.0.1:$locked"
    check "$name: a user alone" refused_with "$wrong"
    via "http://somebody:secret@127.0.0.1:$locked"
    check "$name: another user" refused_with "$wrong"

    via "http://127.0.0.1:$open" --url "https://localhost:$forbidden"
    check "$name: a port that it forbids" refused_with 403
    via "http://127.0.0.1:$open" --url "https://localhost:$nothing"
    check "$name: a server that is down" refused_with "$down"
    via "http://127.0.0.1:$open" --ca "$certs/other-ca.pem"
    check "$name: an unknown root" line_is cert-trust '.http_status == null'
    via "http://127.0.0.1:$open" --session "$tmp/$name.session"
    via "http://127.0.0.1:$open" --session "$tmp/$name.session"
    check "$name: a session is resumed" line_is ok '.connection == "resumed"'
done <<ROWS
tinyproxy $tiny $tiny_locked 401 500
squid $squid $squid_locked 407 503
ROWS
via "http://127.0.0.1:$squid" --url "https://lucit.app:$api"
check 'squid: a name that is not the certificate'"'"'s' \
    line_is cert-name '.http_status == null'
via "http://ki%40sk:p%3ass%2Fw%25rd%20secret-%c3%bc@127.0.0.1:$squid_locked"
check 'squid: odd letters in percent codes' line_is ok true
via "http://ki@sk:p:ss/w%25rd secret-ü@127.0.0.1:$squid_locked"
check 'squid: odd letters as they are' line_is ok true
if [ -n "$loopback6" ]; then
    via "http://kiosk:secret@[::1]:$tiny_locked"
    check 'tinyproxy: over IPv6' line_is ok true
fi
via "http://127.0.0.1:$nothing"
check 'nothing listens' line_is connect '.http_status == null'
check 'the forbidden port was never reached' eval \
    '! grep "^POST" "$tmp/forbidden.log"'

# ---- The variables ---------------------------------------------------------

# All was well, with so many tunnels through tinyproxy since the last time.
through() { # NAME TUNNELS
    now=$(($(tunnels "$tiny") + $(tunnels "$tiny_locked")))
    check "$1" eval "line_is ok true && [ $((now - before)) -eq $2 ]"
    before=$now
}
before=$(($(tunnels "$tiny") + $(tunnels "$tiny_locked")))
export https_proxy HTTPS_PROXY
https_proxy=http://127.0.0.1:$tiny
via ''
through 'https_proxy' 1
run "$command" --json --device "$device" --app "$app" --token-file \
    "$tmp/token" --lightning-version 4.2.1 --ca "$certs/ca.pem" \
    --connect "127.0.0.1:$api"
through 'https_proxy: not with --connect' 0
via '' --proxy ''
through 'https_proxy: not with an empty --proxy' 0
via "http://127.0.0.1:$squid"
through 'https_proxy: --proxy wins' 0
HTTPS_PROXY=http://127.0.0.1:$nothing
via ''
through 'https_proxy wins over HTTPS_PROXY' 1
https_proxy= HTTPS_PROXY=http://127.0.0.1:$tiny/
via ''
through 'HTTPS_PROXY' 1
HTTPS_PROXY=
via ''
through 'both are empty' 0
https_proxy=http://kiosk:secret@127.0.0.1:$tiny_locked
via ''
through 'https_proxy: with a password' 1
https_proxy=http://kiosk:wrong-secret@127.0.0.1:$tiny_locked
via ''
check 'https_proxy: with a wrong password' refused_with 401
for https_proxy in socks5://me:secret@proxy http://me:se%zcret@proxy \
    http://proxy:port; do
    via ''
    check "https_proxy: $https_proxy" eval \
        '[ "$status" -eq 2 ] && grep -q ": https_proxy: " "$err"'
done

# Without any network the outcome tells which way a heartbeat would have gone:
# there is nobody to ask for the name, or no way to the proxy.
goes() { # NAME RESULT OPTION...
    name=$1 wanted=$2
    shift 2
    run unshare -n "$command" --json --device "$device" --app "$app" \
        --token-file "$tmp/token" --lightning-version 4.2.1 \
        --ca "$certs/ca.pem" --timeout 30000 "$@"
    check "no_proxy: $name" line_is "$wanted" true
}
export no_proxy NO_PROXY
https_proxy=http://127.0.0.1:$tiny no_proxy= NO_PROXY=
if unshare -n true 2>/dev/null; then
    while IFS='|' read -r name no_proxy wanted; do
        goes "$name" "$wanted"
    done <<'ROWS'
nothing||connect
the host|api.lucit.app|resolve
its domain|lucit.app|resolve
its domain, with a dot|.lucit.app|resolve
the host, with a dot|.api.lucit.app|resolve
the top of it|app|resolve
in capitals|API.Lucit.APP|resolve
all|*|resolve
all, among others|a, *|resolve
the last of several|localhost,example.com,lucit.app|resolve
the first of several|lucit.app,localhost|resolve
by spaces|localhost lucit.app example.com|resolve
by commas and spaces|localhost , lucit.app|resolve
with its port|api.lucit.app:443|resolve
its domain and port|a,lucit.app:443,b|resolve
all of a port|*:443|resolve
another host|www.lucit.app|connect
another domain|example.com,lucit.com|connect
the end of a label|cit.app|connect
the end of the host|pi.lucit.app|connect
the start of it|api.lucit|connect
more than it|my.api.lucit.app|connect
another port|api.lucit.app:8443|connect
all of another port|*:8443|connect
stars in a name|*.lucit.app|connect
commas alone|, ,,|connect
a colon alone|:|connect
a port alone|:443|connect
a dot alone|.|connect
an address|127.0.0.1,10.0.0.0/8|connect
ROWS
    no_proxy=lucit.app:8443
    goes 'the port of the URL' resolve --url https://api.lucit.app:8443
    no_proxy=api.lucit.app
    goes 'a dot behind the host' resolve --url https://api.lucit.app.
    goes '--proxy is asked for all the same' connect \
        --proxy "http://127.0.0.1:$tiny"
    NO_PROXY=api.lucit.app no_proxy=localhost
    goes 'wins over NO_PROXY' connect
    no_proxy=
    goes 'NO_PROXY' resolve
else
    echo '# note: no network namespaces, so no_proxy is not tested'
fi
unset https_proxy HTTPS_PROXY no_proxy NO_PROXY

# ---- Between the heartbeats ------------------------------------------------

# The proxy is gone for a while, and its tunnel with it; as it goes it may take
# a connection and end it.
: >"$out"
"$command" --json --device "$device" --app "$app" --token-file "$tmp/token" \
    --lightning-version 4.2.1 --ca "$certs/ca.pem" --timeout 30000 \
    --url "https://localhost:$api" --proxy "http://127.0.0.1:$tiny" \
    --count 30 --interval 0.1 >"$out" 2>"$err" </dev/null &
beats=$!
children="$children $beats"
await lines_are "$out" 2
stop "$tiny_child"
await grep -q '"connect"' "$out"
begin_tiny "$tiny" ''
wait "$beats"
status=$?
results=$(jq -r .result "$out" | sed 's/^proxy$/connect/' | uniq | tr '\n' ' ')
check 'restarted: heartbeats, none, and heartbeats again' \
    [ "$results" = 'ok connect ok ' ]

# ---- Secrets ---------------------------------------------------------------

# A password on the command line is gone from there as soon as it is read.
start "$tmp/mute.log" 'listening on' socat -d -d -u \
    TCP4-LISTEN:0,bind=127.0.0.1,fork "OPEN:$tmp/heard,creat,append"
for option in "--proxy http://me:secret@127.0.0.1:$port" \
    "--proxy=http://me:secret@127.0.0.1:$port"; do
    : >"$tmp/heard"
    "$command" --device "$device" --app "$app" --token-file "$tmp/token" \
        --lightning-version 4.2.1 --ca "$certs/ca.pem" $option \
        >"$out" 2>"$err" &
    child=$!
    children="$children $child"
    await grep -q '^Proxy-Authorization: Basic bWU6c2VjcmV0' "$tmp/heard"
    tr '\0' '\n' <"/proc/$child/cmdline" >"$tmp/arguments"
    stop "$child"
    check "the password is not in the list of processes: ${option%%h*}" eval \
        'grep -q "\*@127.0.0.1:$port" "$tmp/arguments" &&
        ! grep -q -e me: -e secret "$tmp/arguments"'
done
check 'no run printed a password or the token' eval '[ -s "$tmp/everything" ] &&
    ! grep -an -e secret -e c2VjcmV0 -e eyJhbGci -e c2Vjc "$tmp/everything"'
check 'no proxy was told the token' eval '[ -s "$tmp/squid/access.log" ] &&
    [ -s "$tmp/heard" ] && ! grep -anr -e eyJhbGci -e c2Vjcm -e Bearer \
        "$tmp"/tiny-* "$tmp/squid"'
check 'squid had nothing to complain of' eval \
    '! grep -E "FATAL|ERROR|assertion" "$tmp/squid/cache.log"'

done_testing
