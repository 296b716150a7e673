#!/bin/sh
# Heartbeats to nginx: TLS and HTTP/1.1 as the world's servers speak them, and
# what an administrator does to such a server while a player is connected.
#
# usage: B=build tests/peers/nginx.sh
. "$(dirname "$0")/common.inc"
PATH=$PATH:/usr/sbin
need jq nginx ps "$python"

# ---- The servers -----------------------------------------------------------

good='{"success":true,"lightning_device_remote_instruction":{"instruction":'
good=$good'"reload","parameters":[],"run_at":null,"status":1,"lcuid":"L-1"}}'
mkdir "$tmp/site" "$tmp/logs" "$tmp/bodies"
echo '{}' >"$tmp/site/heartbeat"
certs=$(cd "$certs" && pwd)

ports=$(free_ports 25)

# The file of a whole nginx, its servers on standard input.
configuration() { # FILE
    cat >"$tmp/$1" <<CONF
user $(id -un) $(id -gn);
worker_processes 1;
daemon off;
pid $tmp/$1.pid;
error_log $tmp/logs/error-$1 info;
events {}
http {
    client_body_temp_path $tmp/bodies;
    proxy_temp_path $tmp/proxy;
    fastcgi_temp_path $tmp/fastcgi;
    uwsgi_temp_path $tmp/uwsgi;
    scgi_temp_path $tmp/scgi;
    log_format beat '\$connection \$connection_requests \$status '
        '\$request_length \$content_length \$ssl_protocol '
        '\$sent_http_transfer_encoding \$sent_http_content_length';
    default_type application/json;
    ssl_certificate $certs/server.pem;
    ssl_certificate_key $certs/server.key;
    access_log off;
$(cat)
}
CONF
}

# One that answers each heartbeat, or as its own DIRECTIVES say, on the next
# free port, which becomes the value of port_NAME.
server() { # NAME [DIRECTIVES]
    port=${ports%% *} ports=${ports#* }
    eval "port_$1=$port"
    listen="listen 127.0.0.1:$port ssl;"
    case ${2-} in *listen*) listen= ;; esac
    cat <<CONF
    server {
        $listen
        access_log $tmp/logs/$1 beat;
        root $tmp/site;
        location / { return 200 '$good'; }
        $(echo "${2-}" | sed "s/PORT/127.0.0.1:$port/")
    }
CONF
}

# What nginx answers by itself, or would in front of the API, by device.
path=/api/v3/analytics/lightning-devices
answers="
    location $path/missing/ { try_files /none =404; }
    location $path/static/ { alias $tmp/site/; }
    location $path/denied/ { deny all; }
    location $path/login/ { return 301 https://\$host/login; }
    location $path/found/ { return 302 /login; }
    location $path/unknown/ { return 401; }
    location $path/broken/ { return 500; }
    location $path/busy/ {
        add_header Retry-After 120 always;
        return 503;
    }
    location $path/dated/ {
        add_header Retry-After 'Wed, 07 Jan 2099 00:15:19 GMT' always;
        return 503;
    }
    location $path/alone/ { proxy_pass http://unix:$tmp/nobody; }
    location $path/small/ { client_max_body_size 1k; return 200 '$good'; }
    location $path/portal/ {
        default_type text/html;
        return 200 '<!DOCTYPE html><html>Welcome</html>';
    }
    location $path/hangup/ { return 444; }
    location $path/protocol/ {
        return 200 '{\"success\":true,\"lightning_device_remote_instruction\":
            {\"instruction\":\"\$ssl_alpn_protocol\",\"lcuid\":\"L-1\"}}';
    }
    location $path/file/ {
        client_body_in_file_only on;
        client_max_body_size 0;
        proxy_pass http://unix:$tmp/upstream;
    }"

{
    server tls12 'ssl_protocols TLSv1.2;'
    server both "ssl_protocols TLSv1.2 TLSv1.3; $answers"
    server rsa "ssl_certificate $certs/server-rsa.pem;
        ssl_certificate_key $certs/server-rsa.key;"
    server chain "ssl_certificate $certs/chain.pem;"
    server http2 'listen PORT ssl http2;'
    server chunked 'ssi on; ssi_types application/json;'
    server proxied "location $path { proxy_pass http://unix:$tmp/upstream; }"
    server kept
    server tenth 'keepalive_requests 10;'
    server once 'keepalive_timeout 0;'
    server drops 'keepalive_timeout 1;'
    server tls13 'ssl_protocols TLSv1.3;'
    server tls11 'ssl_protocols TLSv1.1; ssl_ciphers DEFAULT@SECLEVEL=0;'
    server cbc 'ssl_protocols TLSv1.2; ssl_ciphers ECDHE-ECDSA-AES128-SHA256;'
    server name "ssl_certificate $certs/name.pem;"
    server expired "ssl_certificate $certs/expired.pem;"
    server future "ssl_certificate $certs/future.pem;"
    server client "ssl_verify_client on; ssl_client_certificate $certs/ca.pem;"
    server plain 'listen PORT;'
    server upstream "listen unix:$tmp/upstream; client_max_body_size 0;"
} >"$tmp/servers"
# The ports, which a part of a pipe could not set.
configuration main <"$tmp/servers"
server moving >"$tmp/servers"
configuration moving <"$tmp/servers"

begin() { # CONFIGURATION: $nginx
    nginx -p "$tmp" -e "$tmp/logs/error-$1" -c "$tmp/$1" \
        >"$tmp/logs/start" 2>&1 &
    nginx=$!
    children="$children $nginx"
    await [ -s "$tmp/$1.pid" ] || {
        not_ok 'nginx starts' "$(cat "$tmp/logs/start")"
        done_testing
    }
}
begin main

to() { # NAME OPTION...: heartbeats to the server of that name
    eval "port=\$port_$1"
    shift
    beat "$@"
}

# Waits for the server NAME to have logged NUMBER requests: it does so after
# the reply, when its client may long be gone.
logged() { # NAME NUMBER
    await lines_are "$tmp/logs/$1" "$2"
    wc -l <"$tmp/logs/$1" | grep -qx " *$2"
}
# By their first requests: a new nginx counts from 1 again.
connections() { # NAME
    cut -d' ' -f2 "$tmp/logs/$1" | grep -cx 1
}

# This one is waited for at the end.
port=$port_drops
"$command" --json --device "$device" --app "$app" --token-file "$tmp/token" \
    --lightning-version 4.2.1 --ca "$certs/ca.pem" --count 4 --interval 1.5 \
    --connect "127.0.0.1:$port" >"$tmp/drops" 2>&1 &
dropping=$!
children="$children $dropping"

# ---- TLS -------------------------------------------------------------------

reload='.instruction.instruction == "reload" and .http_status == 200 and
    (.server_time_s - now | . > -10 and . < 10)'
nothing='.http_status == null and .instruction == null and (.success | not)'
older='all(.detail; test("no suite in common"))'
while IFS='|' read -r name server result filter; do
    eval "filter=\$$filter"
    to "$server" --info 'screen: on' --info 'storage: 61% free'
    check "TLS: $name" line_is "$result" "$filter"
done <<'ROWS'
1.2|tls12|ok|reload
1.2 and 1.3|both|ok|reload
RSA|rsa|ok|reload
an intermediate certificate|chain|ok|reload
HTTP/2 on offer|http2|ok|reload
1.3 only|tls13|tls-version|nothing
1.1 only|tls11|tls|older
CBC only|cbc|tls|nothing
another name|name|cert-name|nothing
expired|expired|cert-time|nothing
not valid yet|future|cert-time|nothing
HTTP without TLS|plain|tls|nothing
ROWS
to both --ca "$certs/other-ca.pem"
check 'TLS: an unknown root' line_is cert-trust "$nothing"
to both --device protocol
check 'TLS: the protocol that is offered by ALPN' \
    line_is ok '.instruction.instruction == "http/1.1"'
to both --url https://localhost
check 'TLS: another of its names' line_is ok "$reload"
to both --url https://lucit.app
check 'TLS: a name that it does not have' line_is cert-name "$nothing"
to client
check 'TLS: a client certificate demanded' line_is status '.http_status == 400'
check 'TLS: it was 1.2' eval 'logged tls12 1 &&
    [ "$(cut -d" " -f6 "$tmp/logs/tls12")" = TLSv1.2 ]'

# ---- Connections -----------------------------------------------------------

oks() { # NUMBER
    yes ok | head -n "$1"
}
to kept --count 100 --interval 0.1
check 'kept: 100 heartbeats' results_are $(oks 100)
check 'kept: all are logged' logged kept 100
check 'kept: on one connection' eval '
    [ "$(cut -d" " -f2 "$tmp/logs/kept")" = "$(seq 100)" ] &&
    [ "$(cut -d" " -f1 "$tmp/logs/kept" | sort -u | wc -l)" -eq 1 ]'
to tenth --count 100 --interval 0.1
check 'closed after 10: 100 heartbeats' results_are $(oks 100)
check 'closed after 10: all are logged, once' logged tenth 100
check 'closed after 10: on 10 connections' [ "$(connections tenth)" -eq 10 ]
to once --count 5 --interval 0.1
check 'closed after each: 5 heartbeats' results_are ok ok ok ok ok
check 'closed after each: on 5 connections' eval \
    'logged once 5 && [ "$(connections once)" -eq 5 ]'

to chunked --count 3 --interval 0.1
check 'chunked: 3 heartbeats' results_are ok ok ok
check 'chunked: the instruction' eval \
    '[ "$(jq -r .instruction.instruction "$out" | sort -u)" = reload ]'
check 'chunked: it was, on one connection' eval 'logged chunked 3 &&
    [ "$(cut -d" " -f1,7,8 "$tmp/logs/chunked" | sort -u | cut -d" " -f2,3)" \
        = "chunked -" ]'
to proxied --count 3 --interval 0.1
check 'behind a proxy: 3 heartbeats' results_are ok ok ok

# ---- Answers of its own ----------------------------------------------------

while IFS='|' read -r name answer result filter; do
    to both --device "$answer"
    check "answer: $name" line_is "$result" "$filter"
done <<'ROWS'
404|missing|status|.http_status == 404 and .message == null
405|static|status|.http_status == 405 and .message == null
403|denied|status|.http_status == 403
401|unknown|status|.http_status == 401 and .message == null
500|broken|status|.http_status == 500
502|alone|status|.http_status == 502
503, Retry-After|busy|status|.http_status == 503 and .retry_after_s == 120
503, Retry-After a date|dated|status|.retry_after_s > 2000000000
301 to a log-in|login|status|.http_status == 301 and .instruction == null
302 to a log-in|found|status|.http_status == 302 and .instruction == null
a web page|portal|json|.http_status == 200 and .instruction == null
none: it hangs up|hangup|truncated|.http_status == null
ROWS

# ---- Requests of any size --------------------------------------------------

# The request's body arrives byte for byte as --dry-run prints it, in as many
# bytes as nginx counts.
arrives() { # OPTION...
    "$command" --dry-run --device file --app "$app" --lightning-version 4.2.1 \
        "$@" | sed "s/\[redacted\]/$token/" | head -c -1 >"$tmp/request"
    sed '1,/^\r$/d' "$tmp/request" >"$tmp/body"
    rm -f "$tmp/bodies"/*
    : >"$tmp/logs/both"
    to both --device file "$@"
    line_is ok "$reload" && logged both 1 && cmp "$tmp/body" "$tmp/bodies"/* &&
        [ "$(cut -d' ' -f4,5 "$tmp/logs/both")" = \
            "$(wc -c <"$tmp/request") $(wc -c <"$tmp/body")" ]
}
check 'size: no --info' arrives
check 'size: three' arrives --info 'screen: on' --info '"\ü' --info ''
check 'size: 10,000' arrives \
    $(seq -f '--info=fact-%05.0f-of-the-player' 10000)
check 'size: ... all of them' \
    [ "$(grep -o fact- "$tmp/body" | wc -l)" -eq 10000 ]
megabyte=$(for letter in a b c d e f g h i j k; do
    head -c 100000 /dev/zero | tr '\0' "$letter" | sed 's/^/--info=/'
    echo
done)
check 'size: 1.1 MB in 11 pieces' arrives $megabyte
check 'size: ... all of it' [ "$(wc -c <"$tmp/body")" -gt 1100000 ]
to both --device small $megabyte
check 'size: 413 to 1.1 MB' line_is status '.http_status == 413'

# ---- Between the heartbeats ------------------------------------------------

# Ten heartbeats of one process; DISTURBANCE comes after three of them or some
# more.  What they came to, as one line of results, must match PATTERN.
disturbed() { # NAME PATTERN DISTURBANCE
    begin moving
    port=$port_moving
    : >"$tmp/logs/moving"
    : >"$out" # before anything is awaited there
    "$command" --json --device "$device" --app "$app" \
        --token-file "$tmp/token" --lightning-version 4.2.1 \
        --ca "$certs/ca.pem" --connect "127.0.0.1:$port" --timeout 30000 \
        --count 10 --interval 0.3 >"$out" 2>"$err" </dev/null &
    beats=$!
    children="$children $beats"
    await lines_are "$out" 3
    eval "$3"
    wait "$beats"
    status=$?
    results=$(jq -r .result "$out" | tr '\n' ' ') pattern=$2
    check "$1" eval 'echo "$results" && echo "$results" | grep -Eqx "$pattern"'
    check "$1: none was sent twice" \
        logged moving "$(echo "$results" | grep -o ok | wc -l)"
    check "$1: on two connections" [ "$(connections moving)" -eq 2 ]
    stop "$nginx"
}
again() {
    stop_by "$1"
    begin moving
}
stop_by() {
    kill -s "$1" "$nginx"
    wait "$nginx"
}
worker() {
    ps -o pid= --ppid "$nginx"
}
# Nobody listens for a while, or what was accepted ends with the server.
gap='(ok ){3,}((connect|tls|truncated) )*(ok )+'
disturbed 'reloaded' '(ok ){10}' 'kill -s HUP "$nginx"'
disturbed 'worker killed' '(ok ){10}' 'kill -s KILL $(worker)'
disturbed 'stopped gently and started' "$gap" 'again QUIT'
disturbed 'stopped at once and started' "$gap" 'again TERM'
disturbed 'started once it was missed' '(ok ){3,}(connect )+(ok )+' \
    'stop_by TERM; await grep -q :.connect. "$out"; begin moving'

wait "$dropping"
status=$?
cp "$tmp/drops" "$out"
check 'idle connections dropped: 4 heartbeats' results_are ok ok ok ok
check 'idle connections dropped: on 4 connections' eval \
    'logged drops 4 && [ "$(connections drops)" -eq 4 ]'
check 'nginx had nothing to complain of' eval \
    '! grep -av "$tmp/nobody" "$tmp/logs/error-main" |
        grep -E "\[(emerg|alert|crit)\]"'

done_testing
