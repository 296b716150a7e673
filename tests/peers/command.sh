#!/bin/sh
# lucit-heartbeat, option by option: what it accepts, sends, prints and
# returns; then the other programs of the examples.
#
# usage: B=build tests/peers/command.sh
. "$(dirname "$0")/common.inc"
need jq openssl socat unshare "$python"

: >"$tmp/everything" # that any run printed: searched for the token at the end

hb() { # OPTION...
    run "$command" "$@"
    cat "$out" "$err" >>"$tmp/everything"
}

# All that a heartbeat needs but an address.
full() { # OPTION...
    hb --device "$device" --app "$app" --token-file "$tmp/token" \
        --lightning-version 4.2.1 --ca "$certs/ca.pem" "$@"
}

# The last run ended with STATUS; what it printed is in $out and $err.
ended() { [ "$status" -eq "$1" ]; }
silent() { [ ! -s "$out" ]; }

# ---- Wrong options, and files that cannot be used --------------------------

# STATUS, one line on standard error that has WORDS in it, nothing else.
complained() { # STATUS WORDS
    ended "$1" && silent && [ "$(wc -l <"$err")" -eq 1 ] &&
        grep -q "^lucit-heartbeat: " "$err" && grep -qF -e "$2" "$err"
}

wrong() { # NAME WORDS OPTION...
    name=$1 words=$2
    shift 2
    hb "$@"
    check "usage: $name" complained 2 "$words"
}

wrong_full() { # NAME WORDS OPTION...
    name=$1 words=$2
    shift 2
    full "$@"
    check "usage: $name" complained 2 "$words"
}

# A file that is missing, or of no use: another start may find a better one.
unusable() { # NAME WORDS OPTION...
    name=$1 words=$2
    shift 2
    full "$@"
    check "file: $name" complained 3 "$words"
}

: >"$tmp/empty"
printf 'se\ncret-in-two-lines\n' >"$tmp/two-lines"
printf 'se\001cret\n' >"$tmp/control"
printf '\357\273\277%s\n' "$token" >"$tmp/marked"
printf 'one-cret-line\n' >"$tmp/one-line"
head -c 20000 /dev/zero | tr '\0' t >"$tmp/long"
head -n 5 "$certs/ca.pem" >"$tmp/cut.pem"

wrong 'no argument at all' device
wrong 'an empty argument' 'word 1 of the command line' ''
wrong 'a word' 'word 1 of the command line' reload --json
wrong 'a word that is a secret' 'word 1 of the' http://me:secret@proxy
wrong 'a word behind a switch' '--json takes no value' --json secret
wrong 'a second name' \
    'word 3 of the command line is not an option: --ack-first takes one NAME' \
    --ack-first reboot secret
wrong 'a dash' 'unknown option' - --json
wrong 'two dashes' 'unknown option' -- --json
wrong 'an equals sign' 'word 1 of the command line' = --json
wrong 'an unknown option' '--insecure' --insecure --json
wrong 'an unknown option at the end' 'unknown option' --insecure
wrong 'an unknown option with a value' '--insecure' --insecure=1
wrong 'part of an option' '--devic' --devic x
wrong 'the token as an argument' '--token' --token x
wrong 'the token behind an equals sign' '--token' "--token=$token"
wrong 'a switch with a value' '--json' --json=1
for option in device app token-file secret-file lightning-version info \
    info-command url connect proxy ca session timeout count interval state \
    hooks hook-timeout max-age ack-first decode; do
    wrong "--$option without its value" "--$option: its value is missing" \
        "--$option"
done

base="--token-file $tmp/token --ca $certs/ca.pem"
wrong 'no --device' '--device is required' $base --app A --lightning-version 1
wrong 'no --app' '--app is required' $base --device D --lightning-version 1
wrong 'no --lightning-version' '--lightning-version is required' $base \
    --device D --app A
without_token() { # NAME WORDS
    wrong "$1" "$2" $nowhere --ca "$certs/ca.pem" --device D --app A \
        --lightning-version 1
}

# What follows --connect must never be tried: there is nothing there.
nowhere='--connect 127.0.0.1:1'
no_token='no token: give --token-file FILE or --secret-file FILE, or set LUCIT'
without_token 'no token' "$no_token"
LUCIT_TOKEN= && export LUCIT_TOKEN
without_token 'an empty LUCIT_TOKEN' "$no_token"
LUCIT_TOKEN='se cret'
without_token 'a space in LUCIT_TOKEN' 'LUCIT_TOKEN: byte 3, 0x20, cannot'
LUCIT_TOKEN=$(head -c 20000 "$tmp/long")
without_token 'a LUCIT_TOKEN that is too long' 'LUCIT_TOKEN: it is too long'
unset LUCIT_TOKEN
while IFS='|' read -r name words option value; do
    wrong_full "$name" "$words" $nowhere "$option" "$value"
done <<ROWS
an empty device|--device "": it must|--device|
a slash in the device|--device LCUID/1: it must consist of|--device|LCUID/1
a question mark in the device|device|--device|LCUID?1
a percent sign in the device|device|--device|LCUID%31
a space in the device|device|--device|LCUID 1
an empty app|--app "": it must|--app|
a space in the app|--app LCUID 1: it must|--app|LCUID 1
an empty version|--lightning-version "": it must|--lightning-version|
no time out|--timeout "": it must be a time|--timeout|
a time out of nothing|--timeout 0: it must be a time from 1ms to|--timeout|0
a time out below zero|--timeout|--timeout|-1
a time out in words|--timeout|--timeout|soon
a time out with another unit|--timeout|--timeout|10w
a time out above a day|--timeout|--timeout|86400001
an endless time out|--timeout|--timeout|inf
no count|--count|--count|
a count of none|--count 0: it must be a whole number from 1 to|--count|0
a count below zero|--count|--count|-3
a count in words|--count|--count|many
half a heartbeat|--count|--count|1.5
an interval below zero|--interval|--interval|-1
an interval in words|--interval|--interval|nan
an interval with another unit|--interval|--interval|60x
an interval of nothing|--interval 0: it must be a time from 100ms|--interval|0
an interval below the least|--interval 50ms: it must|--interval|50ms
a time for hooks above a day|or 0 for no limit|--hook-timeout|2d
no URL|--url|--url|
a URL of http|--url|--url|http://api.lucit.app
a URL without scheme|--url|--url|api.lucit.app
a URL without slashes|--url|--url|https:api.lucit.app
a URL without host|HOST|--url|https://
a URL of slashes|HOST|--url|https:///
a URL with a path|app/api: it must be|--url|https://api.lucit.app/api
a URL with a user|HOST|--url|https://me@api.lucit.app
a URL with a password|--url: the port must be|--url|https://me:secret@host
a URL with a space|HOST|--url|https://api lucit.app
a URL with two ports|HOST|--url|https://api.lucit.app:1:2
a URL of IPv4|goes into --connect|--url|https://127.0.0.1
a URL of IPv4 and a port|HOST|--url|https://127.0.0.1:443
a URL of IPv6|HOST|--url|https://[::1]
a URL of IPv6 and a port|HOST|--url|https://[::1]:443
a URL with an open bracket|--url|--url|https://[::1
a port of the URL that is empty|--url|--url|https://api.lucit.app:
port 0 of the URL|app:0: the port must be|--url|https://api.lucit.app:0
port 65536 of the URL|--url|--url|https://api.lucit.app:65536
a port of the URL in words|--url|--url|https://api.lucit.app:abc
a port of the URL with a sign|--url|--url|https://api.lucit.app:+443
a port of the URL and a path|--url|--url|https://api.lucit.app:443/api
no address|address|--connect|
an address that is a name|--connect localhost: it must|--connect|localhost
an address out of range|address|--connect|127.0.0.256
an address of three parts|address|--connect|127.0.1
port 0 of the address|--connect|--connect|127.0.0.1:0
port 65536 of the address|--connect|--connect|127.0.0.1:65536
a port of the address in words|--connect|--connect|127.0.0.1:abc
a port of the address that is empty|--connect|--connect|127.0.0.1:
an address with an open bracket|--connect|--connect|[::1
an address with more behind|--connect|--connect|[::1]x
an address, and a proxy|exclude each other|--proxy|http://127.0.0.1:1
ROWS
# A proxy excludes --connect; it is nowhere, too.
while IFS='|' read -r name words option value; do
    wrong_full "$name" "$words" "$option" "$value"
done <<ROWS
an empty name of a proxy|proxy|--proxy|http://
a proxy of a port alone|proxy|--proxy|:3128
a proxy over TLS|must be http://|--proxy|https://proxy:3128
a proxy of SOCKS|must be http://|--proxy|socks5h://proxy:1080
a proxy over TLS, with a login|http://|--proxy|https://me:secret@proxy:3128
port 0 of the proxy|--proxy|--proxy|http://proxy:0
port 65536 of the proxy|--proxy|--proxy|http://proxy:65536
a port of the proxy in words|--proxy|--proxy|http://proxy:abc
a port of the proxy that is empty|--proxy|--proxy|http://me:secret@proxy:
a path of the proxy|--proxy|--proxy|http://me:secret@proxy:3128/path
a proxy with an open bracket|--proxy|--proxy|http://me:secret@[::1
a proxy with more behind|--proxy|--proxy|http://[::1]x
a percent sign in a password|percent|--proxy|http://me:se%cret@proxy
a percent sign at the end of it|percent|--proxy|http://me:secret%@proxy
a percent sign and a digit|percent|--proxy|http://me:secret%4@proxy
a percent code of NUL|percent|--proxy|http://me:se%00cret@proxy
ROWS
while IFS='|' read -r name words option value; do
    unusable "$name" "$words" $nowhere "$option" "$value"
done <<ROWS
no token file|--token-file $tmp/none: No such file|--token-file|$tmp/none
an empty token file|--token-file $tmp/empty: it is empty|--token-file|$tmp/empty
a token file that is a folder|directory|--token-file|/
a token file without end|/dev/zero: the file is too long|--token-file|/dev/zero
a token that is too long|the file is too long|--token-file|$tmp/long
a line end in the token|two-lines: byte 3, 0x0A,|--token-file|$tmp/two-lines
a control byte in the token|control: byte 3, 0x01,|--token-file|$tmp/control
a byte order mark|marked: byte 1, 0xEF, cannot|--token-file|$tmp/marked
a CA file that is not there|--ca $tmp/none: No such file|--ca|$tmp/none
a CA file that is empty|empty: it has no certificate|--ca|$tmp/empty
a CA file with a key only|no certificate|--ca|$certs/server.key
a CA file that is a folder|--ca /: Is a directory|--ca|/
a CA file that is cut off|it ends inside a certificate|--ca|$tmp/cut.pem
a state that is no file|it is not a regular file|--state|/dev/null
a reply's file that is not there|No such file|--decode|$tmp/none
a reply's file that is a folder|--decode /: Is a directory|--decode|/
a reply's file without name|No such file|--decode|
ROWS
for name in none empty one-line; do
    unusable "neither a token nor a secret: $name" \
        "--secret-file $tmp/$name: " $nowhere --token-file "$tmp/none" \
        --secret-file "$tmp/$name"
done
wrong_full 'a line end in the device' device $nowhere --device 'a
b'
wrong_full 'a line end in the app' app $nowhere --app 'a
b'
wrong_full 'a URL that is too long' HOST $nowhere \
    --url "https://$(head -c 254 /dev/zero | tr '\0' a)"
wrong_full 'a URL that is far too long' '--url' $nowhere \
    --url "https://$(head -c 9999 /dev/zero | tr '\0' a)"
wrong_full 'an address that is far too long' '--connect' \
    --connect "$(head -c 9999 /dev/zero | tr '\0' 1)"
wrong_full 'a proxy that is far too long' '--proxy' \
    --proxy "http://$(head -c 9999 /dev/zero | tr '\0' p)"
long_login=http://me:secret$(head -c 247 /dev/zero | tr '\0' x)@127.0.0.1:1
wrong_full 'a login of 256 bytes' '255 bytes at most' --proxy "$long_login"

# ---- Help and version ------------------------------------------------------

run "$command" --help
check 'help: on standard output, status 0' \
    eval 'ended 0 && [ ! -s "$err" ] && grep -q "^usage: " "$out"'
cp "$out" "$tmp/help"
run "$command" -h
check 'help: -h is the same' eval 'ended 0 && cmp "$out" "$tmp/help"'
for option in device app token-file secret-file lightning-version info \
    info-command url connect proxy ca session timeout count interval state \
    hooks hook-timeout max-age ack-first json dry-run decode version help; do
    check "help: has --$option" grep -qe "--$option" "$out"
done
for variable in LUCIT_TOKEN https_proxy no_proxy; do
    check "help: has $variable" grep -q "$variable" "$out"
done
check 'help: at most 80 columns' eval '! grep -E "^.{81}" "$out"'
for words in 'timeout TIME .*default: 30s$' ' default: 1m$' \
    'hook-timeout TIME .*default: 5m; 0: no limit$' \
    ' default: 1h; 0: no limit$' '^TIME is a number with ms, s, m' '^Exit status: 0 .* 1 .* 2 .* 3 '; do
    check "help: says $words" grep -q -e "$words" "$out"
done
run "$command" --version
check 'version: one line of two words, status 0' eval 'ended 0 &&
    [ ! -s "$err" ] && lines_are "$out" 1 &&
    grep -Eqx "lucit-heartbeat [0-9]+\.[0-9]+\.[0-9]+" "$out"'
version=$(sed 's/.* //' "$out")

# ---- The request -----------------------------------------------------------

request() { # HOST BODY
    printf 'POST /api/v3/analytics/lightning-devices/%s/heartbeat ' "$device"
    printf 'HTTP/1.1\r\nHost:%s\r\nAuthorization:Bearer [redacted]\r\n' "$1"
    printf 'AppIdV3:%s\r\nUser-Agent:hbeat/%s\r\n' "$app" "$version"
    printf 'Accept:application/json\r\nContent-Type:application/json\r\n'
    printf 'Content-Length:%s\r\n\r\n%s\n' "${#2}" "$2"
}

# --dry-run prints exactly this, byte for byte, and a line end behind it.
prints() { # NAME HOST BODY OPTION...
    name=$1
    request "$2" "$3" >"$tmp/request"
    shift 3
    hb --dry-run --device "$device" --app "$app" --lightning-version 4.2.1 "$@"
    check "request: $name" \
        eval 'ended 0 && cmp "$tmp/request" "$out" && [ ! -s "$err" ]'
}

plain='{"lightning_version":"4.2.1"}'
with_info='{"lightning_version":"4.2.1","device_info":'
host=api.lucit.app
prints 'no token is needed to look at it' $host "$plain"
prints 'the token of a file' $host "$plain" --token-file "$tmp/token"
LUCIT_TOKEN=$token && export LUCIT_TOKEN
prints 'the token of the environment' $host "$plain"
unset LUCIT_TOKEN
prints 'one --info' $host "${with_info}[\"screen: on\"]}" --info 'screen: on'
prints 'many, in order' $host "${with_info}[\"b\",\"a\",\"\",\"b\"]}" \
    --info b --info a --info '' --info b
prints 'an --info like an option' $host "${with_info}[\"--json\"]}" \
    --info --json
prints 'an equals sign' $host "${with_info}[\"a=b\",\"=\"]}" \
    --info=a=b --info==
prints 'an empty value after an equals sign' $host "${with_info}[\"\"]}" --info=
prints 'quotes' $host "${with_info}[\"\\\"a\\\\\"]}" --info '"a\'
prints 'control bytes' $host \
    "${with_info}[\"\\u0009\\u000a\\u001b\"]}" --info "$(printf '\t\n\033')"
prints 'UTF-8' $host "${with_info}[\"Gerät 😀\"]}" --info 'Gerät 😀'
prints 'what is not UTF-8' $host "${with_info}[\"a�b\"]}" \
    --info "$(printf 'a\377b')"
prints 'the last of two values counts' $host "$plain" \
    --lightning-version 4.2.0 --lightning-version 4.2.1 \
    --url https://other.example --url https://api.lucit.app
prints 'another host' other.example "$plain" --url https://other.example
prints 'a slash behind the host' $host "$plain" --url https://api.lucit.app/
prints 'the usual port' $host "$plain" --url https://api.lucit.app:443
prints 'another port' $host:8443 "$plain" --url https://api.lucit.app:8443
prints 'a port and a slash' $host:65535 "$plain" \
    --url https://api.lucit.app:65535/
prints 'a dot behind the host' $host "$plain" --url https://api.lucit.app.
prints 'where it goes is not in it' $host "$plain" --connect 127.0.0.1:99
prints 'nor by which proxy' $host "$plain" --proxy http://me:secret@[::1]:99/
prints 'the other options change nothing' $host "$plain" --json \
    --timeout 1 --count 3 --interval 0.5 --ca "$tmp/none" \
    --session "$tmp/none"

# ---- Replies from a file ---------------------------------------------------

# One line of UTF-8 and JSON, the keys as they are promised, each of its type.
cat >"$tmp/line.py" <<'PYTHON'
import json, sys

TEXT, WHOLE, NONE = str, int, type(None)
LINE = dict(result=[TEXT], http_status=[WHOLE, NONE], success=[bool],
            instruction=[dict, NONE], retry_after_s=[WHOLE, NONE],
            server_time_s=[WHOLE, NONE], message=[TEXT, NONE], detail=[TEXT],
            connection=[TEXT, NONE], clock_offset_s=[WHOLE, NONE])
INSTRUCTION = dict(instruction=[TEXT], parameters=None, run_at=[TEXT, NONE],
                   run_at_s=[WHOLE, NONE], status=[WHOLE, NONE],
                   lcuid=[TEXT, NONE], created_at=[TEXT, NONE],
                   updated_at=[TEXT, NONE])

def agrees(value, shape):
    return list(value) == list(shape) and all(
        shape[key] is None or type(value[key]) in shape[key] for key in shape)

lines = open(sys.argv[1], "rb").read().split(b"\n")
assert len(lines) > 1 and lines[-1] == b"", "no line, or not ended"
for line in lines[:-1]:
    assert not any(byte < 0x20 for byte in line), "a control byte"
    value = json.loads(line.decode("utf-8"))
    assert agrees(value, LINE), list(value)
    i = value["instruction"]
    assert i is None or agrees(i, INSTRUCTION), list(i)
    assert (value["result"] == "ok") == value["success"]
    assert value["connection"] in (None, "new", "resumed", "kept")
PYTHON
lines_are_valid() { "$python" "$tmp/line.py" "$out"; }
one_line_is() { # RESULT FILTER
    lines_are_valid && line_is "$1" "$2"
}

# What --decode makes of TEXT, in which \ooo is a byte and \\ a backslash.
decode() { # NAME RESULT FILTER TEXT
    printf '%b' "$4" >"$tmp/reply"
    hb --json --decode "$tmp/reply"
    check "decode: $1" one_line_is "$2" "$3"
}

# An instruction whose member KEY is VALUE.
having() { # KEY VALUE
    printf '{"success":true,"lightning_device_remote_instruction":'
    case $1 in
    instruction) printf '{"instruction":%s}}' "$2" ;;
    *) printf '{"instruction":"reload","%s":%s}}' "$1" "$2" ;;
    esac
}
part() { # NAME FILTER KEY VALUE
    decode "$1" ok ".instruction$2" "$(having "$3" "$4")"
}
broken() { # NAME KEY VALUE
    decode "$1" json '.instruction == null' "$(having "$2" "$3")"
}

decode 'all fields' ok '.success and .http_status == null and
    .connection == null and .clock_offset_s == null and
    .message == null and .retry_after_s == null and .instruction == {
    instruction: "reload", parameters: [], run_at: "2026-01-07T02:15:19+02:00",
    run_at_s: 1767744919, status: 1, lcuid: "LCUID-LDRI-1",
    created_at: "2026-01-07T00:15:19.000000Z",
    updated_at: "2026-01-07 00:15:19"}' '{"success":true,
    "lightning_device_remote_instruction":{"instruction":"reload",
    "parameters":[],"run_at":"2026-01-07T02:15:19+02:00","status":1,
    "lcuid":"LCUID-LDRI-1","created_at":"2026-01-07T00:15:19.000000Z",
    "updated_at":"2026-01-07 00:15:19"}}\r\n'
none='.success and .instruction == null'
field='"lightning_device_remote_instruction"'
decode 'no instruction: missing' ok "$none" '{"success":true}'
decode 'no instruction: null' ok "$none" "{\"success\":true,$field:null}"
decode 'no instruction: []' ok "$none" "{\"success\":true,$field:[]}"
decode 'no instruction: {}' ok "$none" "{\"success\":true,$field:{}}"
decode 'unknown fields' ok '.instruction.instruction == "a"' \
    "{\"x\":[{}],\"success\":true,$field:{\"y\":{},\"instruction\":\"a\"}}"

part 'a name with a slash' '.instruction == "a/b"' instruction '"a\\/b"'
part 'a name with an emoji' '.instruction == "😀"' \
    instruction '"\\ud83d\\ude00"'
part 'a name with quotes' '.instruction == "\"\\"' instruction '"\\"\\\\"'
part 'a name with line ends' '.instruction == "\r\n\t"' \
    instruction '"\\r\\n\\t"'
part 'a name with control characters' \
    '.instruction == "\u0001\u001b[2J\u007f\u009b"' \
    instruction '"\\u0001\\u001b[2J\\u007f\\u009b"'
part 'a name with U+0000' '.instruction == "a\ufffdb"' \
    instruction '"a\\u0000b"'
part 'a name with U+2028' '.instruction == "\u2028"' \
    instruction '"\0342\0200\0250"'
part 'a name with all of Unicode at its edges' \
    '.instruction == "\u0080\u07ff\u0800\uffff\ud800\udc00\udbff\udfff"' \
    instruction \
    '"\\u0080\\u07ff\\u0800\\uffff\\ud800\\udc00\\udbff\\udfff"'
part 'a name with a lone high surrogate' '.instruction == "\ufffd"' \
    instruction '"\\ud83d"'
part 'a name with a lone low surrogate' '.instruction == "\ufffd"' \
    instruction '"\\ude00"'
part 'a name with surrogates swapped' '.instruction == "\ufffd\ufffd"' \
    instruction '"\\ude00\\ud83d"'
broken 'a name that is not UTF-8' instruction '"a\0377b"'
broken 'a name with an overlong slash' instruction '"\0300\0257"'
broken 'a name with a surrogate as bytes' instruction '"\0355\0240\0200"'
broken 'a name with a raw line end' instruction '"a\nb"'
broken 'a name with a raw NUL' instruction '"a\0000b"'
broken 'a name with an unknown escape' instruction '"\\x41"'
decode 'a name that is a number' ok "$none" \
    "{\"success\":true,$field:{\"instruction\":1}}"
decode '... beside an lcuid' ok "$none" \
    "{\"success\":true,$field:{\"instruction\":1,\"lcuid\":\"a\"}}"

part 'parameters: null' '.parameters == null' parameters null
part 'parameters: an object' '.parameters == {"0":"a"}' parameters '{"0":"a"}'
part 'parameters: of every type' \
    '.parameters == [1.5e3,true,false,null,"x",[],{}]' \
    parameters '[1.5e3,true,false,null,"x",[],{}]'
part 'parameters: line ends between' '.parameters == [1,{"a":2}]' \
    parameters '[\r\n\t1,\n{\n"a":\t2}\r\n]'
part 'parameters: escapes as they came' \
    '.parameters == ["/\u0000\n\u001b\u2028"]' \
    parameters '["\\/\\u0000\\n\\u001b\0342\0200\0250"]'
part 'parameters: a number beyond a double stays' '.parameters | length == 1' \
    parameters '[123456789012345678901234567890]'
check 'decode: parameters: ... digit for digit' \
    grep -q '\[123456789012345678901234567890\]' "$out"
part 'parameters: a lone surrogate' '.parameters == ["\ufffd😀\ufffd"]' \
    parameters '["\\ud83d\\ud83d\\ude00\\ude00"]'
broken 'parameters: not UTF-8' parameters '["\0200"]'

part 'a number that is not known' '.status == 77' status 77
part 'a status below zero' '.status == -1' status -1
part 'a time in UTC' '.run_at_s == 1767744919' run_at '"2026-01-07 00:15:19"'
part 'a time that cannot be read' \
    ' | .run_at == "soon" and .run_at_s == null' run_at '"soon"'
part 'a time that is a number' \
    ' | .run_at == "1767744919" and .run_at_s == null' run_at 1767744919
part 'a time that is an object' \
    ' | .created_at == "{\"date\":1}" and .created_at_s == null' \
    created_at '{"date":1}'
part 'a status that is a string' '.status == null' status '"1"'
part 'a status with a fraction' '.status == null' status 1.0

decode 'success is false' refused \
    '(.success | not) and .message == "Not today"' \
    '{"success":false,"message":"Not today"}'
decode 'success is missing' refused '.message == null' '{}'
decode 'success is 1' ok .success '{"success":1}'
decode 'success is "true"' ok .success '{"success":"true"}'
decode 'success is 0' refused '.success | not' '{"success":0}'
decode 'success is "false"' refused '.success | not' '{"success":"false"}'
decode 'success is missing beside no instruction' ok "$none" "{$field:null}"
decode 'success is null' refused '.success | not' '{"success":null}'
decode 'a message like a command to the terminal' refused \
    '.message == "\u001b]0;\u0007\"\\\n\u009b"' \
    '{"message":"\\u001b]0;\\u0007\\"\\\\\\n\\u009b"}'
decode 'a message that is no text' refused '.message == null' \
    '{"success":false,"message":{"a":1}}'

for text in null true 1 '"success"' '[]' '[{"success":true}]'; do
    decode "only $text" json '.message == null' "$text"
done
decode 'an empty file' json true ''
decode 'white space only' json true ' \r\n\t'
decode 'a web page' json '.detail | test("web page")' '<!DOCTYPE html><html>'
decode 'two values' json true '{"success":true}{"success":true}'
decode 'cut off' json true '{"success":true'
decode 'a byte order mark' json true '\0357\0273\0277{"success":true}'
decode 'success comes twice' json true '{"success":true,"success":false}'
decode 'a NUL behind it' json true '{"success":true}\0000'
decode '64 deep' ok '.success' \
    "{\"success\":true,\"x\":$(printf '%063d' 0 | tr 0 '[')$(
        printf '%063d' 0 | tr 0 ']')}"
decode 'a million deep' json true "$(head -c 100000 /dev/zero | tr '\0' '[')"

# Of any size up to 256 KiB, which is the buffer.
sized() { # BYTES
    having parameters '["' | head -c -2
    head -c $(($1 - 97)) /dev/zero | tr '\0' x
    printf '"]}}'
}
while read -r size result filter; do
    sized "$size" >"$tmp/reply"
    hb --json --decode "$tmp/reply"
    check "decode: $size bytes" one_line_is "$result" "$filter"
done <<ROWS
200000 ok (.instruction.parameters[0]|length)==199903
262143 ok (.instruction.parameters[0]|length)==262046
ROWS
for size in 262144 1000000; do
    sized "$size" >"$tmp/reply"
    hb --json --decode "$tmp/reply"
    check "decode: $size bytes" complained 3 '256 KiB'
done

having parameters '[1]' >"$tmp/reply"
"$command" --json --decode - <"$tmp/reply" >"$out" 2>"$err"
status=$?
check 'decode: standard input' one_line_is ok '.instruction.parameters == [1]'
"$command" --json --decode - <&- >"$out" 2>"$err"
status=$?
check 'decode: standard input is closed' ended 1

# For people: the same, and never a byte that a terminal would obey.
tame() { # FILE...
    ! cat "$@" | grep -qP '[\x00-\x08\x0b-\x1f\x7f]|\xc2[\x80-\x9f]'
}
having instruction '"\u001b\u007f\u009bplay"' >"$tmp/reply"
hb --decode "$tmp/reply"
check 'text: an instruction' eval 'ended 0 && grep -q play "$out"'
check 'text: an instruction cannot reach the terminal' tame "$out" "$err"
having parameters "[\"$(printf '\302\233\177')\"]" >"$tmp/reply"
hb --decode "$tmp/reply"
check 'text: parameters cannot reach the terminal' tame "$out" "$err"
printf '{"message":"\\u001b\\u009bNot today"}' >"$tmp/reply"
hb --decode "$tmp/reply"
check 'text: a refusal' eval 'ended 1 && silent && grep -q "Not today" "$err" &&
    grep -q "^refused: " "$err"'
check 'text: a message cannot reach the terminal' tame "$out" "$err"

# ---- Heartbeats to the stand-in --------------------------------------------

lucitd() { # NAME OPTION...
    name=$1
    shift
    start "$tmp/$name.log" 'listening on' "$B/lucitd" --port 0 \
        --cert "$certs/server.pem" --key "$certs/server.key" \
        --device "$device" --app "$app" --token-file "$tmp/token" "$@"
}
requests() { # NAME NUMBER
    [ "$(grep -c '^POST' "$tmp/$1.log")" -eq "$2" ]
}

lucitd main --instruction play --instruction reload
main=$port main_server=$child
live() { # OPTION...
    full --json --connect "127.0.0.1:$main" --timeout 30000 "$@"
}

now=$(date +%s)
live
check 'live: the first instruction' one_line_is ok \
    ".http_status == 200 and .instruction.instruction == \"play\" and
    (.server_time_s - $now | . >= -1 and . < 60) and .retry_after_s == null and
    .connection == \"new\" and (.clock_offset_s | . >= -30 and . <= 2)"
live --info a --info b
check 'live: the second instruction' one_line_is ok \
    '.instruction.instruction == "reload" and .instruction.status == 1'
live
check 'live: none is left' one_line_is ok '.instruction == null'
hb --device="$device" --app="$app" --token-file="$tmp/token" --json \
    --lightning-version=4.2.1 --ca="$certs/ca.pem" --connect="127.0.0.1:$main"
check 'live: --option=value' one_line_is ok true
live --url "https://api.lucit.app:$main" --connect 127.0.0.1
check 'live: the port is the URL'"'"'s' one_line_is ok true
live --url https://API.LUCIT.APP
check 'live: a name in capitals' one_line_is ok true
live --url https://api.lucit.app.
check 'live: a name with a dot behind' one_line_is ok true
live --url https://localhost/
check 'live: another name of the certificate' one_line_is ok true
live --url https://lucit.app
check 'live: a name that is not the certificate'"'"'s' \
    one_line_is cert-name '.http_status == null and (.success | not)'
live --device LCUID-LD-other
check 'live: an unknown device' one_line_is status \
    '.http_status == 404 and .message == "No query results for this device."'
live --app LCUID-LAP-other
check 'live: an unknown app' one_line_is status \
    '.http_status == 403 and .message == "The app is not known."'

# The token: of the file, and else of the environment.
echo another-token-of-the-player >"$tmp/another"
live --token-file "$tmp/another"
check 'token: a wrong one' one_line_is status \
    '.http_status == 401 and .message == "Unauthenticated."'
by_environment() { # OPTION...
    hb --json --device "$device" --app "$app" --lightning-version 4.2.1 \
        --ca "$certs/ca.pem" --connect "127.0.0.1:$main" "$@"
}
LUCIT_TOKEN=$token && export LUCIT_TOKEN
by_environment
check 'token: LUCIT_TOKEN' one_line_is ok true
by_environment --token-file "$tmp/another"
check 'token: a file wins over LUCIT_TOKEN' one_line_is status \
    '.http_status == 401'
unset LUCIT_TOKEN
for ends in '' '\n' '\r\n' '\n\n' ' \t\n'; do
    printf "%s$ends" "$token" >"$tmp/ends"
    live --token-file "$tmp/ends"
    check "token: a file that ends in '$ends'" one_line_is ok true
done
head -c 4096 /dev/zero | tr '\0' T >"$tmp/4k"
lucitd long --token-file "$tmp/4k"
full --json --connect "127.0.0.1:$port" --token-file "$tmp/4k"
check 'token: of 4 KiB' one_line_is ok true

# Whom to trust.
live --ca "$certs/other-ca.pem"
check 'ca: another root' one_line_is cert-trust '.http_status == null'
cat "$certs/other-ca.pem" "$certs/ca.pem" >"$tmp/both.pem"
live --ca "$tmp/both.pem"
check 'ca: a file of two roots' one_line_is ok true
hb --json --device "$device" --app "$app" --token-file "$tmp/token" \
    --lightning-version 4.2.1 --connect "127.0.0.1:$main"
check 'ca: without --ca the roots of the system' one_line_is cert-trust true

# Where to.
if unshare -n true 2>/dev/null; then
    # Where there is no network at all, every nameserver is out of reach.
    run unshare -n "$command" --json --device "$device" --app "$app" \
        --token-file "$tmp/token" --lightning-version 4.2.1 \
        --ca "$certs/ca.pem"
    check 'connect: no address, and no nameserver' one_line_is resolve \
        '.http_status == null and .connection == null'
else
    echo '# note: no network namespaces, so a name is looked up nowhere'
fi
full --json --url "https://localhost:$main"
check 'connect: by a name of the hosts file' one_line_is ok true
lucitd gone
stop "$child"
full --json --connect "127.0.0.1:$port"
check 'connect: nothing listens' one_line_is connect \
    '.detail | test("refused")'
if grep -q '^0\{31\}1 ' /proc/net/if_inet6 2>/dev/null; then
    # Over IPv6 to the stand-in, which has IPv4 only.
    start "$tmp/six.log" 'listening on' socat -d -d \
        "TCP6-LISTEN:0,bind=[::1],fork" "TCP4:127.0.0.1:$main"
    full --json --connect "[::1]:$port"
    check 'connect: IPv6 in brackets' one_line_is ok true
    full --json --url "https://api.lucit.app:$port" --connect '[::1]'
    check 'connect: IPv6 in brackets without a port' one_line_is ok true
    full --json --url "https://api.lucit.app:$port" --connect ::1
    check 'connect: IPv6 without brackets' one_line_is ok true
else
    echo '# note: no IPv6 on loopback, so it is not tested'
fi

# ---- Sessions --------------------------------------------------------------

mkdir "$tmp/sessions"
session=$tmp/sessions/one
with_session() { # OPTION...
    live --session "$session" "$@"
}
# The last run, to JSON, was on connections of these kinds, and had nothing to
# complain of.
connections_are() { # KIND...
    printf '%s\n' "$@" >"$tmp/wanted"
    lines_are_valid && jq -r .connection "$out" | diff - "$tmp/wanted" &&
        [ ! -s "$err" ]
}
# There is this one file in the folder, and only its owner may read it.
is_whole() {
    [ "$(ls -A "$tmp/sessions")" = one ] &&
        [ "$(stat -c '%s %a %F' "$session")" = "$size 600 regular file" ]
}

with_session
check 'session: none yet' connections_are new
size=$(stat -c %s "$session")
check 'session: ... now there is' is_whole
cp "$session" "$tmp/session"
written=$(stat -c '%i %y' "$session")
with_session
check 'session: the next run resumes it' connections_are resumed
server_agrees() {
    [ "$(tail -n 1 "$tmp/main.log" | cut -d' ' -f4)" = resumed ]
}
check 'session: ... and the server agrees' await server_agrees
with_session --count 3 --interval 0.1
check 'session: and goes on with it' connections_are resumed kept kept
check 'session: ... the file is as it was' eval \
    '[ "$(stat -c "%i %y" "$session")" = "$written" ]'
live
check 'session: without the option' connections_are new
live --session "$tmp/none/one"
check 'session: a folder that is not there' eval 'one_line_is ok \
    ".connection == \"new\"" && ended 0 && grep -q "No such file" "$err"'

# What is not a session of this host and these roots is not offered, and is
# replaced.
offered() { # NAME OPTION...
    name=$1
    shift
    with_session "$@"
    check "session: $name: is ignored" connections_are new
    check "session: $name: is replaced" is_whole
    with_session "$@"
    check "session: $name: ... by a good one" connections_are resumed
    cp "$tmp/session" "$session"
}
: >"$session"
offered 'empty'
head -c $((size - 1)) "$tmp/session" >"$session"
offered 'cut off'
echo >>"$session"
offered 'too long'
head -c "$size" /dev/zero >"$session"
offered 'zeros'
openssl rand "$size" >"$session"
offered 'random bytes'
# The last byte is no part of it: it counts refusals.
for at in 1 13 60 $((size - 1)); do
    "$python" - "$session" "$at" <<'PYTHON'
import sys
session = bytearray(open(sys.argv[1], "rb").read())
session[int(sys.argv[2]) - 1] ^= 1
open(sys.argv[1], "wb").write(session)
PYTHON
    offered "another bit in byte $at"
done
offered 'another host' --url https://localhost
cat "$certs/other-ca.pem" "$certs/ca.pem" >"$tmp/both.pem"
offered 'other roots' --ca "$tmp/both.pem"
chmod 644 "$session"
with_session
check 'session: others can read it, and it is used' connections_are resumed
lucitd forgetful
full --json --session "$session" --connect "127.0.0.1:$port"
check 'session: a server that does not know it' connections_are new
check 'session: ... whose own comes in its place' is_whole
stop "$child"
cp "$session" "$tmp/session"
full --json --session "$session" --connect "127.0.0.1:$port"
check 'session: a heartbeat that fails' one_line_is connect \
    '.connection == null'
check 'session: ... leaves it as it was' cmp "$session" "$tmp/session"

# What is no file is neither read nor replaced.
for path in /dev/null "$tmp/sessions"; do
    live --session "$path"
    check "session: $path" eval 'one_line_is ok true && ended 0 &&
        grep -q "not a regular file" "$err" && lines_are "$err" 1'
done
check 'session: ... stays what it is' [ -c /dev/null ]
mkfifo "$tmp/fifo"
live --session "$tmp/fifo"
check 'session: a FIFO' eval \
    'one_line_is ok true && [ -p "$tmp/fifo" ] && grep -q regular "$err"'

# ---- For people ------------------------------------------------------------

people() { # OPTION...
    full --connect "127.0.0.1:$main" "$@"
}
people
check 'text: a new connection' grep -qx '  connection   new' "$out"
people --count 2 --interval 0.1
check 'text: a kept one' grep -qx '  connection   kept' "$out"
check 'text: the clock is right' eval '! grep -q clock "$out"'

# A server whose clock says something else than this machine's.
identity=cert=$certs/server.pem,key=$certs/server.key
tells() { # SECONDS
    date=$(date -u -d "$1 seconds" '+%a, %d %b %Y %H:%M:%S GMT')
    printf 'HTTP/1.1 200 OK\r\nContent-Length: 16\r\nDate: %s\r\n\r\n%s' \
        "$date" '{"success":true}' >"$tmp/told"
    start "$tmp/teller.log" 'listening on' socat -d -d \
        "OPENSSL-LISTEN:0,bind=127.0.0.1,fork,verify=0,$identity" \
        "SYSTEM:cat $tmp/told; sleep 1"
    full --json --connect "127.0.0.1:$port"
    check "clock: $1 s: as JSON" one_line_is ok \
        "(.clock_offset_s - ($1) | . >= -30 and . <= 1)"
    full --connect "127.0.0.1:$port"
    stop "$child"
}
tells 120
check 'clock: slow' grep -Eqx '  clock        (9[0-9]|1[01][0-9]|120) s slow' "$out"
tells -7200
check 'clock: fast' grep -Eqx '  clock        72[0-3][0-9] s fast' "$out"
tells 40
check 'clock: nearly right' eval 'ended 0 && ! grep -q clock "$out"'

# ---- Time ------------------------------------------------------------------

# The last timed run took so long, but less than any default of seconds.
took() { # LEAST-MS
    echo "took $took_ms ms"
    [ "$took_ms" -ge "$1" ] && [ "$took_ms" -le 25000 ]
}
timed() { # COMMAND...
    since=$(date +%s%N)
    "$@"
    took_ms=$((($(date +%s%N) - since) / 1000000))
}

start "$tmp/mute.log" 'listening on' socat -d -d -u \
    TCP4-LISTEN:0,bind=127.0.0.1,fork OPEN:/dev/null
timed full --json --connect "127.0.0.1:$port" --timeout 400
check 'time: --timeout against a server that says nothing' \
    one_line_is timeout '.http_status == null'
check 'time: ... and at that time' took 400
timed live --count 4 --interval 0.2
check 'time: --count 4' results_are ok ok ok ok
# Each is up to a tenth shorter.
check 'time: ... --interval 0.2' took 540
check 'time: ... each line is valid' lines_are_valid
timed live --count 5 --interval 100ms
check 'time: the least interval' eval 'results_are ok ok ok ok ok && took 360'
full --json --connect "127.0.0.1:$port" --timeout 0.1s --count 2 --interval 0.1
check 'time: each one that fails has its line' results_are timeout timeout
check 'time: ... which says the limit' eval \
    '[ "$(jq -r .detail "$out" | grep -c "after 100 ms: ")" -eq 2 ]'
full --json --connect "127.0.0.1:$port" --timeout 0.0001
check 'time: a limit of nearly nothing' line_is timeout \
    '.detail | test("after 1 ms: ")'

# Without --count for ever, without --interval a minute apart.
for options in '--interval 0.1' '--count 2'; do
    : >"$tmp/lines"
    "$command" --json --device "$device" --app "$app" --token-file \
        "$tmp/token" --lightning-version 4.2.1 --ca "$certs/ca.pem" \
        --connect "127.0.0.1:$main" $options >"$tmp/lines" 2>"$err" &
    child=$!
    children="$children $child"
    case $options in
    --interval*)
        check 'time: --interval alone goes on' await lines_are "$tmp/lines" 4
        ;;
    --count*)
        await lines_are "$tmp/lines" 1
        sleep 0.5
        check 'time: --count alone waits' eval '
            [ "$(wc -l <"$tmp/lines")" -eq 1 ] && kill -0 "$child"'
        ;;
    esac
    stop "$child"
    cp "$tmp/lines" "$out"
    check 'time: ... and what was printed stays' lines_are_valid
done

# ---- Nowhere to print ------------------------------------------------------

printf '{"success":true}' >"$tmp/reply"
unprinted() { # NAME OPTION...
    name=$1
    shift
    "$command" "$@" >/dev/full 2>"$err"
    status=$?
    check "output: full: $name" [ "$status" -ne 0 ]
    "$command" "$@" >&- 2>"$err"
    status=$?
    check "output: closed: $name" [ "$status" -ne 0 ]
}
: >"$out"
beat_to="--connect 127.0.0.1:$main --device $device --app $app --token-file
    $tmp/token --lightning-version 4.2.1 --ca $certs/ca.pem"
unprinted --help --help
unprinted --version --version
unprinted --dry-run $beat_to --dry-run
unprinted --decode --decode "$tmp/reply"
unprinted 'a heartbeat' $beat_to
unprinted 'a heartbeat, --json' $beat_to --json
unprinted 'two heartbeats' $beat_to --count 2 --interval 0.1
"$command" $beat_to --url https://lucit.app >"$out" 2>&-
status=$?
check 'output: standard error is closed' ended 1
"$command" $beat_to --json >"$out" 2>"$err" <&-
status=$?
check 'output: standard input is closed' one_line_is ok true
# What is printed must not end up in the connection.
stop "$main_server"
check 'output: none of it went to the server' \
    eval '! grep -n "^tls: error" "$tmp/main.log"'

# ---- The token is a secret -------------------------------------------------

check 'token: no run printed any part of it' eval '
    [ -s "$tmp/everything" ] && ! grep -aEn "eyJhbGci|c2Vjc|another-token|TTTT" \
        "$tmp/everything" &&
        ! sed "s/--secret-file//g; s/ and its secret\$//" "$tmp/everything" |
        grep -an cret'
check 'token: nor did the stand-in' eval \
    '! grep -aEn "eyJhbGci|c2Vjc|another-token|TTTT" "$tmp"/*.log'

# ---- once, own_transport, lucitd -------------------------------------------

once_complains() { # NAME ARGUMENT...
    name=$1
    shift
    run "$B/once" "$@"
    check "once: $name" eval 'ended 2 && silent && grep -q "^usage: " "$err"'
}
once_complains 'no argument'
once_complains 'too few' D A 127.0.0.1
once_complains 'too many' D A 127.0.0.1 "$certs/ca.pem" x
once_complains 'no token' D A 127.0.0.1 "$certs/ca.pem"
"$B/once" D A 127.0.0.1 "$tmp/none" <"$tmp/token" >"$out" 2>"$err"
status=$?
check 'once: no CA' eval '
    ended 1 && silent && grep -q "none: No such file or directory$" "$err"'

own() { # REPLY-TEXT: in which \ooo is a byte
    printf '%b' "$1" |
        "$B/own_transport" "$device" "$app" "$tmp/token" >"$out" 2>"$err"
    status=$?
}
body='{"success":true,"lightning_device_remote_instruction":'
body=$body'{"instruction":"reload","parameters":[]}}'
own "HTTP/1.1 200 OK\r\nContent-Length: ${#body}\r\n\r\n$body"
check 'own_transport: a recorded reply' eval \
    'ended 0 && [ "$(cat "$err")" = "ok
reload" ]'
request $host "$plain" | sed "s/\[redacted\]/$token/" | head -c -1 \
    >"$tmp/request"
check 'own_transport: its request' cmp "$tmp/request" "$out"
own 'HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n'
check 'own_transport: a 401' eval 'ended 1 && grep -q "^status" "$err"'
own "HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n$body"
check 'own_transport: cut off' eval 'ended 1 && grep -q "^truncated" "$err"'
own '<html>\r\n'
check 'own_transport: no HTTP' eval 'ended 1 && grep -q "^http" "$err"'
own ''
check 'own_transport: nothing' eval 'ended 1 && grep -q "^truncated" "$err"'
run "$B/own_transport" "$device" "$app" "$tmp/none"
check 'own_transport: no token' eval 'ended 2 && grep -q "^usage: " "$err"'

lucitd own --count 1 --instruction play
own_server=$child
run socat \
    "OPENSSL:127.0.0.1:$port,cafile=$certs/ca.pem,commonname=api.lucit.app" \
    "EXEC:$B/own_transport $device $app $tmp/token"
check 'own_transport: for real, over TLS of another' eval \
    'ended 0 && grep -qx ok "$err" && grep -qx play "$err"'
check 'own_transport: ... and the server agrees' requests own 1
ends() { # CHILD
    await eval "! kill -0 $1" && wait "$1"
}
check 'lucitd: --count ends it' ends "$own_server"

lucitd queue --count 5 --instruction a --instruction b \
    --instruction '{"instruction":"c","parameters":{"n":[1]}}'
full --json --connect "127.0.0.1:$port" --count 2 --interval 0.1
cp "$out" "$tmp/lines"
full --json --connect "127.0.0.1:$port" --count 3 --interval 0.1
cat "$out" >>"$tmp/lines"
check 'lucitd: each instruction once, in order' eval '
    [ "$(jq -c "[.instruction.instruction, .instruction.parameters]" \
        "$tmp/lines")" = "$(printf "%s\n" "[\"a\",[]]" "[\"b\",[]]" \
        "[\"c\",{\"n\":[1]}]" "[null,null]" "[null,null]")" ]'
check 'lucitd: ends after the last of --count' ends "$child"
check 'lucitd: a line for each request' requests queue 5

# An lcuid of any length is acknowledged by all of its bytes.
lcuid=$(head -c 200 /dev/zero | tr '\0' l)
lucitd reports \
    --instruction "{\"instruction\":\"a\",\"lcuid\":\"$lcuid\"}"
full --json --connect "127.0.0.1:$port"
check 'lucitd: an lcuid of 200 bytes' one_line_is ok \
    ".instruction.lcuid == \"$lcuid\""
acknowledge() { # LCUID
    {
        printf 'POST /api/v3/lightning/devices/%s' "$device"
        printf '/instructions/%s/acknowledge ' "$1"
        printf 'HTTP/1.1\r\nHost: api.lucit.app\r\nAppIdV3: %s\r\n' "$app"
        printf 'Authorization: Bearer %s\r\nConnection: close\r\n' "$token"
        printf 'Accept: application/json\r\nContent-Type: application/json\r\n'
        printf 'Content-Length: 2\r\n\r\n{}'
    } >"$tmp/request"
    to=OPENSSL:127.0.0.1:$port,cafile=$certs/ca.pem
    timeout 60 socat -t 60 - "$to,commonname=api.lucit.app" \
        <"$tmp/request" >"$out" 2>"$err"
}
answered() { # STATUS
    head -n 1 "$out" | grep -q "^HTTP/1.1 $1 "
}
while read -r answer other; do
    acknowledge "$other"
    check "lucitd: acknowledged: ${#other} bytes: $answer" answered "$answer"
done <<ROWS
404 $(head -c 127 /dev/zero | tr '\0' l)
404 $(head -c 128 /dev/zero | tr '\0' l)
404 $(head -c 199 /dev/zero | tr '\0' l)
404 $(head -c 199 /dev/zero | tr '\0' l)k
404 ${lcuid}l
200 $lcuid
ROWS

done_testing
