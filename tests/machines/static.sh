#!/bin/sh
# The command as one static program.  Each heartbeat is sent from a folder that
# becomes the program's root, and that has nothing in it but the program, a
# token, a root and what is named: no libraries, no /dev, no /etc.
#
# usage: B=build PROGRAMS=build/static tests/machines/static.sh
#
# Needs root, as chroot does.
. "$(dirname "$0")/common.inc"
PATH=$PATH:/usr/sbin:/sbin
need chroot dnsmasq jq strip

empty=$tmp/empty
mkdir "$empty"
strip -o "$empty/lucit-heartbeat" "$PROGRAMS/lucit-heartbeat"
cp "$certs/ca.pem" "$tmp/token" "$empty"

start "$tmp/server" 'listening on' "$B/lucitd" --port 0 \
    --cert "$certs/server.pem" --key "$certs/server.key" --device "$device" \
    --app "$app" --token-file "$tmp/token"

sends() { # OPTION...
    run chroot "$empty" /lucit-heartbeat --json --device "$device" \
        --app "$app" --token-file /token --lightning-version 4.2.1 \
        --ca /ca.pem --url "https://api.lucit.app:$port" "$@"
}
holds() { # FILE...: and nothing else
    printf '%s\n' "$@" | diff - "$tmp/held"
}
look() { (cd "$empty" && find . -mindepth 1) | sort >"$tmp/held"; }

look
check 'three files' holds ./ca.pem ./lucit-heartbeat ./token
sends --connect 127.0.0.1 --count 2 --interval 100ms
check 'heartbeats to an address' results_are ok ok
look
check '... leave nothing behind' holds ./ca.pem ./lucit-heartbeat ./token
sends
check 'to a name, without a nameserver: a named error' results_are resolve

# A memory and a session, whose files it makes itself.
sends --connect 127.0.0.1 --session /session --state /state --count 1
check 'with a memory' results_are ok
sends --connect 127.0.0.1 --session /session --state /state --count 1
check '... and the session of the run before' \
    line_is ok '.connection == "resumed"'

dnsmasq --keep-in-foreground --conf-file=/dev/null --user=root --pid-file= \
    --log-facility=- --no-resolv --no-hosts --bind-interfaces \
    --listen-address=127.53.0.1 --host-record=api.lucit.app,127.0.0.1 \
    >"$tmp/dnsmasq.log" 2>&1 </dev/null &
children="$children $!"
mkdir "$empty/etc"
echo nameserver 127.53.0.1 >"$empty/etc/resolv.conf"
is_resolved() {
    sends
    results_are ok
}
check 'to a name, by a nameserver' await is_resolved

echo "# note: $(wc -c <"$empty/lucit-heartbeat") bytes, stripped"
done_testing
