#!/bin/sh
# Another machine's programs, under an emulator, against a stand-in that is this
# machine's; and a memory that one machine's command writes and the other's
# reads.
#
# usage: B=build PROGRAMS=build/machines/s390x EMULATOR=qemu-s390x \
#            tests/machines/beat.sh
. "$(dirname "$0")/../peers/daemon.inc"
need jq

# A program of that machine's, as one of this machine's.
emulated() { # NAME
    printf '#!/bin/sh\nexec %s %s/%s "$@"\n' "$EMULATOR" \
        "$(cd "$PROGRAMS" && pwd)" "$1" >"$tmp/$1"
    chmod 755 "$tmp/$1"
}
emulated lucit-heartbeat
ours=$command theirs=$tmp/lucit-heartbeat

# ---- Heartbeats ------------------------------------------------------------

# One that hangs has failed; an emulator takes its time.
run() { # COMMAND...
    timeout 600 "$@" >"$out" 2>"$err" </dev/null
    status=$?
}

# The command of that machine, to the server that was started last.
sends() { # ROOT OPTION...
    root=$1
    shift
    run "$theirs" --json --device "$device" --app "$app" \
        --token-file "$tmp/token" --lightning-version 4.2.1 --timeout 5m \
        --ca "$certs/$root.pem" --connect "127.0.0.1:$port" "$@"
}

# The same to a server of its own.
sends_to() { # CERTIFICATE KEY ROOT OPTION...
    start "$tmp/server" 'listening on' "$B/lucitd" --port 0 \
        --cert "$certs/$1.pem" --key "$certs/$2.key" --device "$device" \
        --app "$app" --token-file "$tmp/token" --instruction reload
    shift 2
    sends "$@"
}

# The N-th line of the last run fulfils jq's FILTER.
line() { # N FILTER
    sed -n "$1p" "$out" | jq -e "$2"
}
# The first request's body does so, too.
body() { # FILTER
    sed -n 's/^POST .* | body: //p' "$tmp/server" | sed 1q | jq -e "$1"
}

sends_to server server ca --count 2 --interval 100ms --info 'screen "1": on'
check 'two heartbeats' results_are ok ok
check 'the instruction in the first reply' \
    line 1 '.instruction.instruction == "reload"'
check 'the second on the same connection' line 2 '.connection == "kept"'
check 'the request that came' body '.lightning_version == "4.2.1" and
    .device_info == ["screen \"1\": on"]'

# ---- Chains and keys -------------------------------------------------------

while read -r what chain key root result; do
    sends_to "$chain" "$key" "$root"
    check "$what: $result" results_are "$result"
done <<'ROWS'
RSA-2048 server-rsa server-rsa ca ok
RSA-4096 by-rsa server rsa4096-ca ok
P-384 p384 p384 p384-ca ok
P-521 p521 p521 p521-ca ok
a_foreign_name name server ca cert-name
a_foreign_root server server other-ca cert-trust
a_date_that_is_past expired server ca cert-time
ROWS

# ---- Sessions --------------------------------------------------------------

# Ended by its own process, and resumed by the next one.
sends_to server server ca --session "$tmp/session"
check 'a session is kept' [ -s "$tmp/session" ]
sends ca --session "$tmp/session"
check '... and resumed' line_is ok '.connection == "resumed"'

# ---- A memory that goes from one machine to the other ----------------------

# I1 has run, and nobody has taken its report, when the other one finds it.
goes_over() { # NAME WRITER READER
    name=$1
    rm -rf "$tmp/state" "$marks"
    mkdir "$tmp/state"
    : >"$marks"
    : >"$requests"
    served=0 port=0
    fail 503 - /instructions/
    serve --again --instruction "$(instruction play I1)"
    command=$2
    launch
    check "$name: it runs, and ends" await counts 1 I1/acknowledge
    check "$name: its report is not taken" [ -z "$(reports I1)" ]
    finish
    check "$name: the writer ends well" [ "$status" -eq 0 ]
    mend
    command=$3
    launch
    check "$name: the other reports it" await reported I1 acknowledge \
        '.response_data.message == "done"'
    beats 2
    check "$name: ... and does not run it again" ran I1 1
    finish
    check "$name: the reader ends well" [ "$status" -eq 0 ]
    stop "$server"
}

hook play 'echo done'
goes_over 'written there, read here' "$theirs" "$ours"
goes_over 'written here, read there' "$ours" "$theirs"

done_testing
