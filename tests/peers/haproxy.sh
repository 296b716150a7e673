#!/bin/sh
# Heartbeats to haproxy, as it stands in front of the API: it answers before it
# has read a request, ends idle connections, and resumes sessions.
#
# usage: B=build tests/peers/haproxy.sh
. "$(dirname "$0")/common.inc"
PATH=$PATH:/usr/sbin
need haproxy jq "$python"

# ---- The server ------------------------------------------------------------

set -- $(free_ports 4)
main=$1 short=$2 alone=$3 nothing=$4
good='{"success":true,"lightning_device_remote_instruction":null}'
cat "$certs/server.pem" "$certs/server.key" >"$tmp/both.pem"
cat >"$tmp/haproxy.conf" <<CONF
global
    quiet
defaults
    mode http
    timeout client 30s
    timeout connect 30s
    timeout server 30s
    timeout http-keep-alive 30s
frontend main
    bind 127.0.0.1:$main ssl crt $tmp/both.pem ssl-max-ver TLSv1.2
    http-request return status 401 if { path_sub /unknown/ }
    http-request deny deny_status 413 if { req.hdr_val(content-length) gt 100000 }
    http-request return status 200 content-type application/json string '$good'
frontend short
    bind 127.0.0.1:$short ssl crt $tmp/both.pem ssl-max-ver TLSv1.2
    timeout http-keep-alive 100ms
    http-request return status 200 content-type application/json string '$good'
frontend alone
    bind 127.0.0.1:$alone ssl crt $tmp/both.pem ssl-max-ver TLSv1.2
    default_backend nobody
backend nobody
    server nobody 127.0.0.1:$nothing
CONF
haproxy -db -f "$tmp/haproxy.conf" >"$tmp/log" 2>&1 </dev/null &
children="$children $!"
listens() { "$python" -c "import socket
for port in $main, $short, $alone: socket.create_connection(('127.0.0.1', port))"; }
await listens || {
    not_ok 'haproxy starts' "$(cat "$tmp/log")"
    done_testing
}

at() { # PORT OPTION...: heartbeats
    port=$1
    shift
    beat "$@"
}

# ---- Answers before the request is read ------------------------------------

# Many pieces: more than the kernel's buffers hold is still to go out.
large() { # BYTES: options
    for _ in $(seq $(($1 / 100000))); do
        head -c 100000 /dev/zero | tr '\0' x | sed 's/^/--info=/'
        echo
    done
}
while read -r bytes lcuid http_status; do
    at "$main" --device "$lcuid" $(large "$bytes")
    check "$bytes bytes: its $http_status is the outcome" \
        line_is status ".http_status == $http_status"
done <<'ROWS'
100000 some 413
1000000 some 413
1800000 some 413
100000 unknown 401
1000000 unknown 401
1800000 unknown 401
ROWS

# ---- Connections -----------------------------------------------------------

at "$main" --count 3 --interval 0.1
check 'a connection is kept' eval 'results_are ok ok ok &&
    [ "$(jq -r .connection "$out" | tr "\n" " ")" = "new kept kept " ]'
at "$short" --count 20 --interval 0.1
check 'one that ends just then costs no heartbeat' \
    results_are $(yes ok | head -n 20)
at "$short" --count 2 --interval 1
check 'it resumes, by session ID' eval 'results_are ok ok &&
    [ "$(jq -r .connection "$out" | tr "\n" " ")" = "new resumed " ]'
at "$alone"
check 'nobody behind it' line_is status '.http_status == 503'
done_testing
