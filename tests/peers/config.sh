#!/bin/sh
# The file of --config: that it says the same as a command line, what the two
# are together, and what is wrong with one.  How a line is read is in
# tests/command/parts.c.
#
# usage: B=build tests/peers/config.sh
. "$(dirname "$0")/common.inc"
need jq

config=$tmp/kiosk.conf
: >"$tmp/everything" # that any run printed

with() { # OPTION...: a run with the file
    run "$command" --config "$config" "$@"
    cat "$out" "$err" >>"$tmp/everything"
}
ended() { # STATUS
    [ "$status" -eq "$1" ]
}
# STATUS, nothing on standard output, one line on the other with WORDS in it.
complained() { # STATUS WORDS
    ended "$1" && [ ! -s "$out" ] && [ "$(wc -l <"$err")" -eq 1 ] &&
        grep -qF -e "lucit-heartbeat: $2" "$err"
}

# ---- The same as a command line --------------------------------------------

start "$tmp/lucitd.log" 'listening on' "$B/lucitd" \
    --cert "$certs/server.pem" --key "$certs/server.key" \
    --device "$device" --app "$app" --token-file "$tmp/token"

cat >"$config" <<CONFIG
# a kiosk
device             $device
app                $app
lightning-version  4.2.1

info               screen: 42 inches, # portrait
info               floor 3
token-file         $tmp/token
ca                 $certs/ca.pem
connect            127.0.0.1:$port
timeout            30s
json
CONFIG
chmod 600 "$config"
with
check 'a file has all that a heartbeat needs' line_is ok .
check '... and nothing is told of it' [ ! -s "$err" ]
check '... its texts are facts' grep -qF \
    '"device_info":["screen: 42 inches, # portrait","floor 3"]' \
    "$tmp/lucitd.log"
cp "$config" "$tmp/unix.conf"
crlf "$tmp/unix.conf" >"$config"
with
check 'so it has with CR LF' line_is ok .
cp "$tmp/unix.conf" "$config"
with --info 'a third'
check 'texts of the command line come behind' grep -qF \
    '# portrait","floor 3","a third"]' "$tmp/lucitd.log"

# Those that decide what is sent; the order of --config and others does not.
with --dry-run
cp "$out" "$tmp/dry"
run "$command" --device "$device" --app "$app" --lightning-version 4.2.1 \
    --info 'screen: 42 inches, # portrait' --info 'floor 3' --dry-run
check 'the request is that of a command line' cmp "$tmp/dry" "$out"
with --dry-run --device other
check 'the command line overrides' grep -q /lightning-devices/other/ "$out"
run "$command" --device other --dry-run --config "$config"
check '... wherever --config stands' grep -q /lightning-devices/other/ "$out"

LUCIT_TOKEN=$token
export LUCIT_TOKEN
sed -i '/^token-file/d' "$config"
with
check 'LUCIT_TOKEN counts as ever' line_is ok .
unset LUCIT_TOKEN
with
check 'without it there is no token' complained 2 'no token:'

# ---- What is wrong ---------------------------------------------------------

# A file of these lines: NAME, WORDS behind "FILE:LINE: ".
wrong() { # NAME LINE WORDS [OPTION...]: the lines come on standard input
    name=$1 words="$config:$2: $3"
    shift 3
    cat >"$config"
    with "$@"
    check "wrong: $name" complained 2 "$words"
}

wrong 'an unknown option' 2 'there is no option "devcie"' <<'CONFIG'
app a
devcie b
CONFIG
wrong 'what no line can tell' 4 'url http://lucit: it must be https' <<'CONFIG'
device a
app a
lightning-version 4
url http://lucit
CONFIG
wrong 'what the library refuses' 1 'device a/b: it must consist of' \
    --dry-run <<'CONFIG'
device a/b
app a
lightning-version 4
CONFIG
wrong 'a password is not shown' 4 'proxy: the [ in front' <<'CONFIG'
device a
app a
lightning-version 4
proxy http://kiosk:hush-hush@[proxy
CONFIG
check '... at no time' eval '! grep -q hush-hush "$tmp/everything"'
printf 'device a\napp a\nlightning-version 4\nurl http://x\n' >"$config"
with --url http://y
check 'wrong: on the command line, which has no line' complained 2 \
    '--url http://y: it must be'

# Another start may find a better one.
unusable() { # NAME WORDS
    with
    check "file: $1" complained 3 "--config $config: $2"
}
rm "$config"
unusable 'it is missing' 'No such file or directory'
mkdir "$config"
unusable 'a folder' 'Is a directory'
rmdir "$config"
head -c 1048576 /dev/zero | tr '\0' x >"$config"
with
check 'wrong: a mebibyte without a line end' complained 2 \
    "--config $config: it is too long, 65535 bytes at most"
run "$command" --config
check 'wrong: no file' complained 2 '--config: its value is missing'

# ---- Whose it is -----------------------------------------------------------

told() { grep -qF -e "--config $config: $1" "$err"; } # WORDS
cat "$tmp/unix.conf" >"$config"
chmod 711 "$tmp" # else nobody gets at it
chmod 644 "$config"
with
check 'everybody may read it' [ ! -s "$err" ]
chmod 664 "$config"
with
check 'its group may write it, which is told' told 'its group may write'
echo "proxy http://kiosk:hush-hush@127.0.0.1:1" >>"$config"
sed -i /connect/d "$config"
chmod 644 "$config"
with
check 'everybody may read a password, which is told' told \
    'everybody may read this file, a secret'
with --proxy http://127.0.0.1:1
check '... though another proxy is used' told 'everybody may read'
chmod 600 "$config"
with
check 'nobody may' eval '! told "everybody may read"'

# ---- SIGHUP ----------------------------------------------------------------

cp "$tmp/unix.conf" "$config"
"$command" --config "$config" --interval 0.2 >"$tmp/log" 2>&1 </dev/null &
daemon=$!
children="$children $daemon"
await lines_are "$tmp/log" 2
: >"$tmp/lucitd.log"
echo 'devcie b' >"$config"
kill -s HUP "$daemon"
before=$(wc -l <"$tmp/log")
check 'SIGHUP leaves it alone: heartbeats go on' await lines_are "$tmp/log" \
    $((before + 3))
check '... without a word' eval '! grep -v "\"result\":\"ok\"" "$tmp/log"'
stop "$daemon"
done_testing
