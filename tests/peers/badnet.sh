#!/bin/sh
# Heartbeats to lucitd over a bad network, at once: in each direction three
# packets of ten are lost, the others take 300 ms and overtake each other.
#
# Player and server live in network namespaces of their own, and all that ties
# these is a program with a TUN device in each, badnet.py: its losses come from
# a seed, and it needs less of the kernel than netem.  The player finds the
# name by the nameserver there, dnsmasq.
#
# usage: B=build tests/peers/badnet.sh
. "$(dirname "$0")/common.inc"
PATH=$PATH:/usr/sbin:/sbin
need dnsmasq ip jq mount nsenter socat unshare "$python"

beats=20
deadline_ms=30000

# ---- Two namespaces and the net between them -------------------------------

if ! unshare --net --mount --pid true 2>"$err" || ! [ -c /dev/net/tun ]; then
    echo "ok 1 - a bad network # SKIP it takes root's right to make" \
        "namespaces, and /dev/net/tun: $(cat "$err")"
    echo 1..1
    exit
fi

# In the player's, the names are looked up as on a box of its own.
echo '127.0.0.1 localhost' >"$tmp/hosts"
printf '%s\n' 'nameserver 10.53.0.2' 'options timeout:2 attempts:5' \
    >"$tmp/resolv.conf"
# The first process of a house holds it open; its end is the end of all in it.
cat >"$tmp/house" <<'HOUSE'
read -r process _ </proc/self/stat
mount -t proc proc /proc
[ ! -f "$1/resolv.conf" ] || mount --bind "$1/resolv.conf" /etc/resolv.conf
[ ! -f "$1/hosts" ] || mount --bind "$1/hosts" /etc/hosts
trap exit TERM
echo "process $process"
sleep 600 &
wait
HOUSE
house() { # NAME FOLDER
    start "$tmp/$1.log" process unshare --net --mount --pid --fork \
        sh "$tmp/house" "$2"
    children="$children $port"
}
house player "$tmp"
player=$port
house server /nowhere
server=$port
in_player="nsenter --target $player --net --mount --pid"
in_server="nsenter --target $server --net --mount --pid"
: >"$tmp/relay.log"
unshare --net "$python" "$(dirname "$0")/badnet.py" 3 player server \
    >"$tmp/relay.log" 2>&1 </dev/null &
relay=$!
children="$children $relay"
await grep -q ready "$tmp/relay.log"

move() { # DEVICE PROCESS ADDRESS PEER
    nsenter --target "$relay" --net ip link set "$1" netns "$2" &&
        nsenter --target "$2" --net ip link set lo up &&
        nsenter --target "$2" --net ip link set "$1" up mtu 1500 &&
        nsenter --target "$2" --net ip address add "$3" peer "$4" dev "$1"
}
check 'the network: the player end' move player "$player" 10.53.0.1 10.53.0.2
check 'the network: the server end' move server "$server" 10.53.0.2 10.53.0.1

start "$tmp/lucitd.log" 'listening on' $in_server "$B/lucitd" \
    --cert "$certs/server.pem" --key "$certs/server.key" \
    --device "$device" --app "$app" --token-file "$tmp/token"
$in_server socat TCP-LISTEN:443,bind=10.53.0.2,fork,backlog=64 \
    "TCP:127.0.0.1:$port" >"$tmp/socat.log" 2>&1 </dev/null &
children="$children $!"
$in_server dnsmasq --keep-in-foreground --conf-file=/dev/null --user=root \
    --pid-file= --log-facility=- --no-resolv --no-hosts --bind-interfaces \
    --listen-address=10.53.0.2 --local=/app/ \
    --host-record=api.lucit.app,10.53.0.2,60 \
    >"$tmp/dnsmasq.log" 2>&1 </dev/null &
children="$children $!"
serves() { # PROTOCOL PORT
    $in_server cat "/proc/net/$1" | grep -q "0200350A:$(printf %04X "$2") "
}
check 'the server answers there' await serves tcp 443
check 'the nameserver does' await serves udp 53

# ---- Heartbeats ------------------------------------------------------------

now_ms() {
    echo $(($(date +%s%N) / 1000000))
}
heartbeat() { # NUMBER
    since=$(now_ms)
    $in_player timeout 90 "$command" --json --device "$device" --app "$app" \
        --token-file "$tmp/token" --lightning-version 4.2.1 \
        --ca "$certs/ca.pem" --timeout "$deadline_ms" \
        >"$tmp/out.$1" 2>"$tmp/err.$1" </dev/null
    echo "$? $(($(now_ms) - since))" >"$tmp/end.$1"
}
sent=
for i in $(seq "$beats"); do
    heartbeat "$i" &
    sent="$sent $!"
done
wait $sent

# Well or with an error that has a name; `timeout` ends one that goes on.
ended() { # NUMBER
    read -r status took_ms <"$tmp/end.$1"
    cp "$tmp/out.$1" "$out"
    cp "$tmp/err.$1" "$err"
    echo "in $took_ms ms"
    [ "$status" -ne 124 ] && [ ! -s "$err" ] &&
        case $(jq -r .result "$out") in
        ok) [ "$status" -eq 0 ] ;;
        resolve | connect | timeout | truncated) [ "$status" -eq 1 ] ;;
        *) false ;;
        esac
}
for i in $(seq "$beats"); do
    check "heartbeat $i of $beats: its end" ended "$i"
done
good=$(cat "$tmp"/out.* | jq -r .result | grep -c '^ok$')
echo "# note: $good of $beats heartbeats over the bad network came through," \
    "the slowest in $(cut -d' ' -f2 "$tmp"/end.* | sort -n | tail -n 1) ms"
cat "$tmp"/out.* >"$out"
check 'most of them come through' [ "$good" -gt $((beats / 2)) ]

# ---- The network was as bad as that ----------------------------------------

kill "$relay"
wait "$relay"
relayed() {
    cat "$tmp/relay.log"
    tail -n 1 "$tmp/relay.log" | {
        read -r _ packets _ lost _ overtaken
        [ "$packets" -ge $((10 * beats)) ] &&
            [ $((lost * 100 / packets)) -ge 20 ] &&
            [ $((lost * 100 / packets)) -le 40 ] &&
            [ "$overtaken" -ge $((packets / 20)) ]
    }
}
check 'the network lost three in ten, and changed the order' relayed
done_testing
