#!/bin/sh
# What a server, a CDN, a proxy or a captive portal may answer, end to end:
# each case is a reply as it stands on the wire, and what becomes of it.
#
# usage: B=build tests/peers/hostile.sh
. "$(dirname "$0")/common.inc"
need jq "$python"
mkdir "$tmp/replies"
start "$tmp/server.log" 'listening on' "$python" \
    "$(dirname "$0")/hostile.py" "$certs/server.pem" "$certs/server.key" \
    "$tmp/replies"

# The reply comes from standard input, see hostile.py; the device of the case
# is its number.  A name that names no result is a slip in this file.
answer() {
    case=case-$((tests + 1))
    cat >"$tmp/replies/$case"
}
reply() { # NAME RESULT FILTER [OPTION...] < REPLY
    name=$1 result=$2 filter=$3
    shift 3
    answer
    beat --device "$case" "$@"
    check "$name" line_is "$result" "$filter"
}
zeros() { # NUMBER
    head -c "$1" /dev/zero | tr '\0' 0
}

good='{"success":true,"lightning_device_remote_instruction":{"instruction":'
good=$good'"reload","parameters":[],"run_at":null,"status":1,"lcuid":"L-1"}}'
reload='.instruction.instruction == "reload"'

# ---- The API's own ---------------------------------------------------------

reply '200: an instruction' ok "$reload and .http_status == 200 and
    .server_time_s == 1767744919" <<REPLY
@length
HTTP/1.1 200 OK
Date: Wed, 07 Jan 2026 00:15:19 GMT
Content-Type: application/json

$good
REPLY
check '200: the request on the wire is the one of --dry-run' eval '
    "$command" --dry-run --device case-1 --app "$app" \
        --lightning-version 4.2.1 --connect "127.0.0.1:$port" |
        sed "s/\[redacted\]/$token/" | head -c -1 |
        cmp - "$tmp/replies/case-1.request"'

field='"lightning_device_remote_instruction"'
# Each of these is the body of a 200: "with" stands for one that has that field.
while IFS='|' read -r name result filter body; do
    case $body in
    with*) body="{\"success\":true,$field:${body#with}}" ;;
    esac
    reply "200: $name" "$result" "$filter" <<REPLY
@length
HTTP/1.1 200 OK

$body
REPLY
done <<'ROWS'
a slash as \/|ok|.instruction.parameters == ["a/b"]|with {"instruction":"x","parameters":["a\/b"]}
a surrogate pair|ok|.instruction.instruction == "😀ü"|with {"instruction":"\ud83d\ude00\u00fc"}
parameters {}|ok|.instruction.parameters == {}|with {"instruction":"x","parameters":{}}
parameters with keys|ok|.instruction.parameters == {"0":"a"}|with {"instruction":"x","parameters":{"0":"a"}}
parameters null|ok|.instruction.parameters == null|with {"instruction":"x","parameters":null}
no instruction: missing|ok|.instruction == null|{"success":true}
no instruction: null|ok|.instruction == null|with null
no instruction: []|ok|.instruction == null|with []
no instruction: {}|ok|.instruction == null|with {}
a time with Z|ok|.instruction.run_at_s == 1767744919|with {"instruction":"x","run_at":"2026-01-07T00:15:19.000000Z"}
a time with an offset|ok|.instruction.run_at_s == 1767737719|with {"instruction":"x","run_at":"2026-01-07T00:15:19+02:00"}
a time with a space|ok|.instruction.run_at_s == 1767744919|with {"instruction":"x","run_at":"2026-01-07 00:15:19"}
unknown fields, name and status|ok|.instruction.status == 9|{"a":{"b":[]},"success":true,"lightning_device_remote_instruction":{"c":1,"instruction":"dance","status":9}}
success is false|refused|.message == "No."|{"success":false,"message":"No."}
an error of the API's own|refused|.message == "Gone."|{"ok":false,"message":"Gone.","code":"x_1"}
success comes twice|json|.instruction == null|{"success":true,"success":true}
a web page|json|all(.detail; test("web page"))|<!DOCTYPE html><html><title>Welcome to our WiFi</title></html>
not all of a document|json|.message == null|{"success":true,
a script around it|json|.message == null|callback({"success":true})
an empty body but for a line end|json|.message == null|
ROWS

# ---- Statuses --------------------------------------------------------------

# FIELD stands in the head; "-" for none.
while IFS='|' read -r status_line filter field body; do
    reply "$status_line: $field: $(printf %.40s "$body")" status \
        ".http_status == ${status_line%% *} and $filter" <<REPLY
@length
HTTP/1.1 $status_line
Date: Wed, 07 Jan 2026 00:15:19 GMT
${field:-X-None: -}

$body
REPLY
done <<'ROWS'
401 Unauthorized|.message == "Unauthenticated."|Content-Type: application/json|{"message":"Unauthenticated."}
403 Forbidden|.message == "No."||{"message":"No."}
404 Not Found|.message == "No query results."||{"message":"No query results."}
405 Method Not Allowed|.message == "Use POST."|Allow: POST|{"message":"Use POST."}
422 Unprocessable Content|.message == "Required."||{"message":"Required.","errors":{"lightning_version":["Required."]}}
429 Too Many Requests|.retry_after_s == 60|Retry-After: 60|{"message":"Too Many Attempts."}
500 Internal Server Error|.message == "Server Error"||{"message":"Server Error"}
500 Internal Server Error|.message == null||<html>
503 Service Unavailable|.retry_after_s == 3600|Retry-After: 3600|<html>Be right back.</html>
503 Service Unavailable|.retry_after_s == 41|Retry-After: Wed, 07 Jan 2026 00:16:00 GMT|{"message":"Service Unavailable"}
503 Service Unavailable|.retry_after_s == 0|Retry-After: Wed, 07 Jan 2026 00:15:00 GMT|
503 Service Unavailable|.retry_after_s == null|Retry-After: soon|
503 Service Unavailable|.retry_after_s == null|Retry-After: -5|
520 Web Server Returned an Unknown Error|.message == null|Server: cloudflare|<!DOCTYPE html><html>
522 Connection Timed Out|.retry_after_s == 120|Retry-After: 120|error code: 522
527 Railgun Error|.message == null|CF-RAY: 1|<html>
302 Found|.instruction == null|Location: https://api.lucit.app/login|<html>Redirecting</html>
301 Moved Permanently|.instruction == null|Location: https://www.lucit.app/|
307 Temporary Redirect|.success == false|Location: https://other.example/|{"success":true}
403 Forbidden|.message == null|cf-mitigated: challenge|error code: 1015
ROWS

reply '401: empty' status '.http_status == 401 and .message == null' <<'REPLY'
HTTP/1.1 401 Unauthorized
Content-Length: 0

REPLY
trace='{"message":"Server Error","exception":"E","trace":["'$(zeros 40000)'"]}'
for how in length chunked; do
    reply "500: a stack trace of 40 KB, $how" status \
        '.http_status == 500 and .message == "Server Error"' <<REPLY
@$how
HTTP/1.1 500 Internal Server Error

$trace
REPLY
done
trace=$(zeros 400000)
for how in length chunked; do
    reply "500: 400 KB, more than there is room for, $how" status \
        '.http_status == 500 and .retry_after_s == 7 and
        .message == "Server Error"' <<REPLY
@$how
HTTP/1.1 500 Internal Server Error
Retry-After: 7

{"message":"Server Error","trace":["$trace"]}
REPLY
done
reply '520: a page of 100 KB' status '.http_status == 520' <<REPLY
@chunked
HTTP/1.1 520 Web Server Returned an Unknown Error
Server: cloudflare

<!DOCTYPE html><html><title>520</title>$(zeros 100000)</html>
REPLY

# ---- Framing ---------------------------------------------------------------

reply 'chunked' ok "$reload" <<REPLY
@chunked
HTTP/1.1 200 OK

$good
REPLY
answer <<REPLY
@length
HTTP/1.1 200 OK

$good
%%
@chunked
HTTP/1.1 200 OK

$good
%%
@length
HTTP/1.1 401 Unauthorized

{"message":"Unauthenticated."}
%%
@chunked
HTTP/1.1 200 OK

$good
REPLY
beat --device "$case" --count 4 --interval 0.1
check 'length and chunked by turns: four heartbeats' results_are ok ok status ok
check 'length and chunked by turns: on one connection' eval \
    '[ "$(grep " $case\$" "$tmp/server.log" | sort | uniq -c | wc -l)" -eq 1 ]'

reply 'interim answers in front' ok "$reload" <<REPLY
@raw
$(printf 'HTTP/1.1 100 Continue\r\n\r\n')
$(printf 'HTTP/1.1 103 Early Hints\r\nA: b\r\n\r\n')
$(printf 'HTTP/1.1 200 OK\r\nContent-Length: %s\r\n\r' ${#good})
$good
REPLY
reply 'HTTP/1.0 until the close' ok "$reload" <<REPLY
@close
HTTP/1.0 200 OK

$good
REPLY
reply 'until a close that is not in good order' truncated \
    '.http_status == 200 and .instruction == null' <<REPLY
@cut
HTTP/1.1 200 OK

$good
REPLY
reply 'shorter than its length' truncated '.http_status == 200' <<REPLY
@close
HTTP/1.1 200 OK
Content-Length: 9999

$good
REPLY
reply 'without the last chunk' truncated '.http_status == 200' <<REPLY
@raw
@close
$(printf 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r' ${#good})
$good$(printf '\r')
REPLY
reply 'closed without an answer' truncated '.http_status == null' <<'REPLY'
@raw
@close
REPLY
reply 'more behind it' ok "$reload" --count 1 <<REPLY
HTTP/1.1 200 OK
Content-Length: ${#good}

${good}HTTP/1.1 200 OK
REPLY
answer <<REPLY
@length
HTTP/1.1 200 OK

$good
%%
HTTP/1.1 200 OK
Content-Length: ${#good}

${good}HTTP/1.1 200 OK
Content-Length: 16

{"success":true}
%%
@length
HTTP/1.1 503 Service Unavailable

REPLY
beat --device "$case" --count 3 --interval 0.1
check 'an answer that nobody asked for is not taken' results_are ok ok status

# What becomes of a second and a third heartbeat on a kept connection, after
# one that went well, when the server does THIS with the second request.
then_this() { # NAME RESULT... < THIS
    name=$1
    shift
    cat >"$tmp/this"
    answer <<REPLY
@length
HTTP/1.1 200 OK

$good
%%
$(cat "$tmp/this")
%%
@length
HTTP/1.1 200 OK

$good
REPLY
    beat --device "$case" --count 3 --interval 0.1 --timeout 10000
    check "second request: $name" results_are "$@"
}
then_this 'closed in good order: it is sent again, unseen' ok ok ok <<'REPLY'
@raw
@close
REPLY
then_this 'cut off: it is sent again, unseen' ok ok ok <<'REPLY'
@raw
@cut
REPLY
then_this 'closed twice: not a third time' ok truncated ok <<'REPLY'
@raw
@cut
%%
@raw
@cut
REPLY
then_this 'cut off within the head' ok truncated ok <<'REPLY'
@raw
@cut
HTTP/1.1 200
REPLY
then_this 'cut off within the body' ok truncated ok <<'REPLY'
@cut
HTTP/1.1 200 OK
Content-Length: 100

{"success":
REPLY
then_this 'never answered: then a new connection' ok timeout ok <<'REPLY'
@raw
REPLY
then_this 'a broken answer: then a new connection' ok http ok <<'REPLY'
HTTP/1.1 200 OK
Content-Length: x

{}
REPLY

# Each of these heads stands for a whole reply; \ooo is a byte.
while IFS='|' read -r name result head; do
    printf '@raw\n%b' "$head$good" >"$tmp/head"
    reply "$name" "$result" '.success == false' <"$tmp/head"
done <<'ROWS'
a gigabyte announced|too-big|HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n
a chunk of a gigabyte|too-big|HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n40000000\r\n
a length beyond 64 bits|http|HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n
a chunk beyond 64 bits|http|HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFF\r\n
a length below zero|http|HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n
two lengths|http|HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n
a length and chunked|http|HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n
an unknown coding|http|HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n
a chunk size that is none|http|HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n
a folded line|http|HTTP/1.1 200 OK\r\nA: b\r\n c\r\nContent-Length: 5\r\n\r\n
a bare CR|http|HTTP/1.1 200 OK\r\nA: b\rC: d\r\nContent-Length: 5\r\n\r\n
a NUL|http|HTTP/1.1 200 OK\r\nA: \0000\r\nContent-Length: 5\r\n\r\n
a field without colon|http|HTTP/1.1 200 OK\r\nA b\r\nContent-Length: 5\r\n\r\n
a space in front of the colon|http|HTTP/1.1 200 OK\r\nContent-Length : 5\r\n\r\n
no HTTP|http|SSH-2.0-OpenSSH_9.2\r\n\r\n
HTTP/2|http|HTTP/2 200 OK\r\nContent-Length: 5\r\n\r\n
a status of two digits|http|HTTP/1.1 20 OK\r\nContent-Length: 5\r\n\r\n
only a body|http|{}\r\n\r\n
ROWS
reply 'a head of 200 KB' http '.http_status == 200' <<REPLY
@length
HTTP/1.1 200 OK
$(for i in $(seq 200); do echo "X-Padding-$i: $(zeros 1000)"; done)

$good
REPLY

# ---- Time ------------------------------------------------------------------

reply 'a gigabyte is not waited for' too-big '.http_status == 200' <<'REPLY'
HTTP/1.1 200 OK
Content-Length: 1073741824

{"success":true,
REPLY

# These take all of their time, side by side: each ends by it, not before.
deadline_ms=10000 late_children=
wait_for() { # NUMBER < REPLY
    cat >"$tmp/replies/late-$1"
    (
        out=$tmp/out.$1 err=$tmp/err.$1
        since=$(date +%s%N)
        beat --device "late-$1" --timeout "$deadline_ms"
        echo "$status $((($(date +%s%N) - since) / 1000000))" >"$tmp/end.$1"
    ) &
    late_children="$late_children $!"
}
has_waited() { # NUMBER NAME FILTER
    read -r status took_ms <"$tmp/end.$1"
    cp "$tmp/out.$1" "$out"
    cp "$tmp/err.$1" "$err"
    check "$2" line_is timeout "$3"
    check "$2: at its deadline" [ "$took_ms" -ge "$deadline_ms" ]
}
wait_for 1 <<REPLY
@slow
@length
HTTP/1.1 200 $(zeros 600)

$good
REPLY
wait_for 2 <<REPLY
@slow
HTTP/1.1 200 OK

$good$(zeros 600)
REPLY
wait_for 3 <<'REPLY'
HTTP/1.1 503 Service Unavailable
Retry-After: 9
Content-Length: 100

{"message":
REPLY
wait $late_children
has_waited 1 'a byte every 100 ms: the head' '.http_status == null'
has_waited 2 'a byte every 100 ms: the body' '.http_status == 200'
has_waited 3 'the rest never comes' \
    '.http_status == 503 and .retry_after_s == 9'

# Beats that are late go out once, not one for each that was missed.
answer <<REPLY
@raw
%%
@length
HTTP/1.1 200 OK

$good
REPLY
since=$(date +%s%N)
beat --device "$case" --timeout "$deadline_ms" --count 5 --interval 0.2
took_ms=$((($(date +%s%N) - since) / 1000000))
check 'a beat of 10 s, one each 200 ms' results_are timeout ok ok ok ok
check 'those that were missed are not made up for' [ "$took_ms" -ge 10500 ]

check 'the server itself had no trouble' \
    eval '! grep -A9 Trace "$tmp/server.log"'
done_testing
