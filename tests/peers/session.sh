#!/bin/sh
# TLS sessions that lucit-heartbeat keeps in a file between its runs: what nginx
# makes of them, and what becomes of the file.
#
# usage: B=build tests/peers/session.sh
. "$(dirname "$0")/common.inc"
PATH=$PATH:/usr/sbin
need jq nginx unshare "$python"

mkdir "$tmp/logs" "$tmp/sessions"
certs=$(cd "$certs" && pwd)
session=$tmp/sessions/one

# ---- The servers -----------------------------------------------------------

ports=$(free_ports 4)

# One that closes each connection behind its reply, and logs whether it was
# resumed; its port becomes the value of port_NAME.
server() { # NAME DIRECTIVES
    port=${ports%% *} ports=${ports#* }
    eval "port_$1=$port"
    cat <<CONF
    server {
        listen 127.0.0.1:$port ssl;
        access_log $tmp/logs/$1 beat;
        keepalive_timeout 0;
        location / { return 200 '{"success":true}'; }
        $2
    }
CONF
}
{
    server shared 'ssl_session_cache shared:all:1m; ssl_session_tickets on;'
    server other 'ssl_session_cache shared:all:1m;'
    server none 'ssl_session_cache none; ssl_session_tickets off;'
    server off 'ssl_session_cache off; ssl_session_tickets on;'
} >"$tmp/servers"
cat >"$tmp/main" <<CONF
user $(id -un) $(id -gn);
worker_processes 1;
daemon off;
pid $tmp/main.pid;
error_log $tmp/logs/error info;
events {}
http {
    client_body_temp_path $tmp/bodies;
    proxy_temp_path $tmp/proxy;
    fastcgi_temp_path $tmp/fastcgi;
    uwsgi_temp_path $tmp/uwsgi;
    scgi_temp_path $tmp/scgi;
    log_format beat '\$status \$ssl_session_reused';
    default_type application/json;
    ssl_certificate $certs/server.pem;
    ssl_certificate_key $certs/server.key;
$(cat "$tmp/servers")
}
CONF

begin() { # $nginx
    rm -f "$tmp/main.pid"
    nginx -p "$tmp" -e "$tmp/logs/error" -c "$tmp/main" \
        >"$tmp/logs/start" 2>&1 &
    nginx=$!
    children="$children $nginx"
    await [ -s "$tmp/main.pid" ] || {
        not_ok 'nginx starts' "$(cat "$tmp/logs/start")"
        done_testing
    }
}
begin

to() { # NAME OPTION...: one run, with the session in its file
    eval "port=\$port_$1"
    shift
    beat --session "$session" "$@"
}
is_on() { # CONNECTION: the last run was, and was good
    line_is ok ".connection == \"$1\"" && [ ! -s "$err" ]
}
# The file is there, whole, and for its owner alone.
is_whole() {
    [ "$(stat -c '%s %a %F' "$session")" = "$size 600 regular file" ]
}

# ---- Servers with a cache, and without -------------------------------------

to shared
check 'a first run' is_on new
size=$(stat -c %s "$session")
check 'a first run leaves a session' is_whole
for run in second third; do
    to shared
    check "a $run run resumes it" is_on resumed
done
agrees() {
    [ "$(tr '\n' ' ' <"$tmp/logs/shared")" = '200 . 200 r 200 r ' ]
}
check 'nginx agrees' await agrees
to other
check 'a server of the same cache' is_on resumed
to other --ca "$certs/server.pem"
check 'other roots' is_on new
to shared
check 'the first roots again' is_on new
to shared --url https://localhost
check 'another name of the same server' is_on new
to shared
check 'the first name again' is_on new
kill -s HUP "$nginx"
sleep 0.2
to shared
check 'nginx reloaded, which keeps its cache' is_on resumed
kill -s TERM "$nginx"
wait "$nginx"
to shared
check 'nginx stopped' line_is connect '.connection == null'
begin
to shared
check 'nginx started, which knows no session' is_on new
to shared
check '... but the next run does' is_on resumed
for server in none off; do
    to shared
    for run in first second; do
        to "$server"
        check "nginx with its cache $server: a $run run" is_on new
    done
done

# ---- Servers that never resume ---------------------------------------------

# A file that is written is another one: it is replaced.
file_number() {
    stat -c %i "$session"
}
is_written_by() { # SERVER: the run
    before=$(file_number)
    to "$1"
    is_on new && [ "$(file_number)" != "$before" ]
}
is_left_by() { # SERVER: the run
    before=$(file_number)
    to "$1"
    is_on new && [ "$(file_number)" = "$before" ]
}
rm -f "$session"
to none
check 'a server that never resumes: a first session' is_whole
check '... the first refusal' is_written_by none
for refusal in second third; do
    check "... the $refusal refusal, on the same day" is_left_by none
done
touch -d '25 hours ago' "$session"
check '... a day later' is_written_by none
check '... and once is enough' is_left_by none
touch -d 'next year' "$session"
check '... of a file from the future' is_written_by none
rm -f "$session"
to shared
check 'a server that resumes' is_on new
to shared
check '... as ever' is_on resumed

# ---- The file --------------------------------------------------------------

# Where nothing can be written: by root neither, in a namespace of its own.
apart='unshare --mount'
$apart true 2>"$err" || apart="$apart --map-root-user"
sealed() { # OPTION...
    run $apart sh -c '
        mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" &&
            shift && exec "$@"' - "$tmp/sessions" \
        "$command" --json --device "$device" --app "$app" \
        --token-file "$tmp/token" --lightning-version 4.2.1 \
        --ca "$certs/ca.pem" --connect "127.0.0.1:$port_shared" "$@"
}
rm -f "$session"
to shared
if $apart true 2>"$err"; then
    sealed --session "$session"
    check 'a read-only place: what is there is used' is_on resumed
    sealed --session "$tmp/sessions/two"
    check 'a read-only place: a heartbeat all the same' eval '
        line_is ok ".connection == \"new\"" && grep -q "Read-only" "$err"'
    echo nonsense >"$session"
    sealed --session "$session"
    check 'a read-only place: and with nonsense there' \
        line_is ok '.connection == "new"'
else
    ok "a read-only place # SKIP it takes a namespace: $(cat "$err")"
fi

# No file may grow: a write fails, or is the process's end, which is what a
# full disk or a cut wire would be in the midst of it.
no_room() { # [SIGNAL-TO-IGNORE]
    rm -f "$session"
    to none
    cp "$session" "$tmp/before"
    {
        (
            [ $# -eq 0 ] || trap '' "$1"
            ulimit -f 0
            exec "$command" --json --device "$device" --app "$app" \
                --token-file "$tmp/token" --lightning-version 4.2.1 \
                --ca "$certs/ca.pem" --connect "127.0.0.1:$port_none" \
                --session "$session" 2>&1
        )
        echo "status $?"
    } 2>&1 | cat >"$out"
    cmp "$session" "$tmp/before" && is_whole
}
check 'no room, and the write fails: the file is as it was' no_room XFSZ
check 'no room, and the write fails: a heartbeat all the same' eval '
    grep -q "\"result\":\"ok\"" "$out" && grep -qx "status 0" "$out" &&
        grep -q "File too large" "$out" && [ "$(ls -A "$tmp/sessions")" = one ]'
check 'no room, and the write kills: the file is as it was' no_room
check 'no room, and the write kills: it did' grep -qx 'status 153' "$out"
rm -f "$session"*

# Runs that are killed at any moment.  The server forgets each session at once,
# and the file is a day old, so that each run that gets there writes it.
kills() { # WHETHER-THERE-IS-A-FILE
    "$python" - "$session" "$size" "$1" "$command" --json --device "$device" \
        --app "$app" --token-file "$tmp/token" --lightning-version 4.2.1 \
        --ca "$certs/ca.pem" --connect "127.0.0.1:$port_none" \
        --session "$session" <<'PYTHON'
import os, random, stat, subprocess, sys, time
path, size, there = sys.argv[1], int(sys.argv[2]), sys.argv[3] == "yes"
null = subprocess.DEVNULL
def start():
    return subprocess.Popen(sys.argv[4:], stdin=null, stdout=null, stderr=null)
began = time.monotonic()
start().wait()
whole = time.monotonic() - began
written = killed = 0
for i in range(30):
    if not there:
        os.path.lexists(path) and os.unlink(path)
    before = there and os.stat(path).st_ino
    there and os.utime(path, (0, 0))
    child = start()
    time.sleep(random.uniform(0.3, 1) * whole)
    child.kill()
    late = child.wait() >= 0
    killed += not late
    whole *= 0.8 if late else 1.1
    if there or os.path.lexists(path):
        s = os.lstat(path)
        if s.st_size != size or s.st_mode != stat.S_IFREG | 0o600:
            sys.exit(f"{s.st_size} bytes, mode {s.st_mode:o}")
        written += s.st_ino != before
print(f"{killed} of 30 runs were killed, {written} had written the file")
sys.exit(not 0 < killed)
PYTHON
}
check 'killed: the file is whole or not there' kills no
cat "$tmp/checked" | sed 's/^/# note: /'
to none
check 'killed: the file is always there, and whole' kills yes
rm -f "$session".*
touch -d '25 hours ago' "$session"
to shared
to shared
check 'killed: the next runs are as ever' is_on resumed

# All that run at once share the file.
rm -f "$session"
for i in 1 2 3 4 5 6 7 8; do
    "$command" --json --device "$device" --app "$app" \
        --token-file "$tmp/token" --lightning-version 4.2.1 \
        --ca "$certs/ca.pem" --connect "127.0.0.1:$port_none" --count 3 \
        --interval 0.1 --session "$session" >"$tmp/at-once-$i" 2>&1 &
    wanted="${wanted-} $!"
done
status=0
for child in $wanted; do wait "$child" || status=$?; done
cat "$tmp"/at-once-* >"$out"
check 'eight at once: all are good' results_are $(yes ok | head -n 24)
check 'eight at once: the file is whole' is_whole
check 'eight at once: there is nothing beside it' \
    [ "$(ls -A "$tmp/sessions")" = one ]

# ---- Whoever does not stand a session --------------------------------------

# A middlebox that hangs up on each ClientHello which asks for one.
cat >"$tmp/middlebox" <<'PYTHON'
import select, socket, sys
box = socket.create_server(("127.0.0.1", 0))
print("listening on", box.getsockname()[1], flush=True)
while True:
    client, _ = box.accept()
    hello = client.recv(4096)
    if len(hello) > 43 and hello[43] == 0:
        server = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
        server.sendall(hello)
        other = {client: server, server: client}
        data = b"x"
        while data:
            for end in select.select(list(other), [], [])[0]:
                data = end.recv(65536)
                data and other[end].sendall(data)
        server.close()
    client.close()
PYTHON
start "$tmp/middlebox.log" 'listening on' "$python" "$tmp/middlebox" \
    "$port_shared"
port_middlebox=$port
rm -f "$session"
to middlebox
check 'hung up on: the first run is good' is_on new
to middlebox
check 'hung up on: the second may fail' [ "$status" -le 1 ]
to middlebox
check 'hung up on: the third is good' is_on new

check 'nginx had nothing to complain of' eval \
    '! grep -E "\[(emerg|alert|crit)\]" "$tmp/logs/error"'
done_testing
