#!/bin/sh
# The clients that the API's reference shows - cURL, JavaScript's fetch, PHP's
# Guzzle, Python's requests - and lucit-heartbeat, one after the other against
# lucitd: all five must make the same request and get the same answer.
#
# usage: B=BUILD-FOLDER tests/peers/clients.sh
#
# What a request was is what lucitd logged of it; what a program was told is
# what it printed.  cURL is held against what stands here, the others against
# cURL.
. "$(dirname "$0")/common.inc"

clients=$(dirname "$0")/clients
instruction='{"instruction":"reload","parameters":["a\/b",{"n":1.5},null],
"run_at":"2026-01-07T02:20:00+02:00","status":1,"lcuid":
"LCUID-LDRI-262ca932-dda6-4233-8c4f-a497481388b3","created_at":
"2026-01-07T00:15:19.000000Z","updated_at":"2026-01-07T00:15:19.000000Z"}'
# As long as the API's own, and one that is not it.
printf 'eyJ%01047d\n' 1 >"$tmp/token"
printf 'eyJ%01047d\n' 2 >"$tmp/wrong-token"

# No setting of this machine may reach the clients.
unset NODE_OPTIONS NODE_TLS_REJECT_UNAUTHORIZED
export NETRC=/dev/null

# Prints the status, a line feed and the body; lucit-heartbeat its own JSON.
request() { # CLIENT [LIGHTNING-VERSION [INFO...]]
    shift
    case $one in
    curl)
        if [ -n "${BODY+set}" ]; then set -- --data "$BODY"
        else set -- --request POST
        fi
        curl -q --silent --show-error --max-time 20 --cacert "$CA" \
            --resolve "localhost:$port:127.0.0.1" \
            --header "Authorization: Bearer $TOKEN" \
            --header 'Content-Type: application/json' \
            --header 'Accept: application/json' \
            --header "AppIdV3: $APP" \
            --output "$tmp/body" --write-out '%{http_code}\n' "$@" "$URL" &&
            cat "$tmp/body"
        ;;
    fetch) node --dns-result-order=ipv4first "$clients/client.js" ;;
    guzzle) php "$clients/client.php" ;;
    requests) "$python" "$clients/client.py" ;;
    lucit-heartbeat)
        version=$1
        shift
        for info; do
            shift
            set -- "$@" --info "$info"
        done
        "$command" --url "https://localhost:$port" \
            --connect "127.0.0.1:$port" --ca "$CA" --timeout 20000 --json \
            --device "$to" --app "$APP" --token-file "$token_file" \
            --lightning-version "$version" "$@"
        ;;
    esac
}

# One request by one client to a new lucitd: the request in $tmp/CLIENT.log,
# the answer in $tmp/CLIENT.answer.
converse() { # CLIENT [LIGHTNING-VERSION [INFO...]]
    one=$1
    start "$tmp/$one.log" 'listening on' "$B/lucitd" \
        --cert "$certs/server.pem" --key "$certs/server.key" \
        --device "$device" --app "$app" --token-file "$tmp/token" \
        --instruction "$instruction"
    URL=https://localhost:$port$path NODE_EXTRA_CA_CERTS=$CA
    export URL CA NODE_EXTRA_CA_CERTS TOKEN APP
    request "$@" >"$out" 2>"$err" </dev/null
    status=$?
    stop "$child"
    cp "$out" "$tmp/$one.answer"
}

# All clients make one request and get one answer, which is given as lucitd
# writes it.  With no LIGHTNING-VERSION the request has no body.
compare() { # NAME STATUS REPLY TOKEN DEVICE APP [LIGHTNING-VERSION [INFO...]]
    title=$1 token_file=$tmp/$4 to=$5
    path=/api/v3/analytics/lightning-devices/$5/heartbeat
    bearer='Bearer ***'
    [ "$4" = token ] || bearer='(wrong)'
    TOKEN=$(cat "$token_file") APP=$6 CA=$certs/ca.pem
    printf '%s\n%s' "$2" "$3" >"$tmp/expected.answer"
    printf '%s' "POST $path $2 | authorization: $bearer" \
        ' | content-type: application/json | accept: application/json' \
        " | appidv3: $APP | body: " >"$tmp/expected.log"
    shift 6
    unset BODY
    who='curl fetch guzzle requests'
    if [ $# -gt 0 ]; then
        who="$who lucit-heartbeat"
        BODY=$("$python" "$clients/check.py" body "$@")
        printf '%s' "$BODY" >>"$tmp/expected.log"
        export BODY
    fi
    like=expected
    for one in $who; do
        converse "$one" "$@"
        check "$title: the request of $one" "$python" "$clients/check.py" \
            request "$tmp/$one.log" "$tmp/$like.log"
        check "$title: the answer to $one" "$python" "$clients/check.py" \
            answer "$tmp/$one.answer" "$tmp/$like.answer"
        like=curl
    done
}

# What works above must not work where only the CA is another one.
distrust() { # CLIENT...
    path=/ token_file=$tmp/token to=$device TOKEN=secret APP=$app
    CA=$certs/other-ca.pem BODY='{"lightning_version":"4.2.1"}'
    export BODY
    for one; do
        converse "$one" 4.2.1
        check "unknown CA: no request of $one" no_request "$tmp/$one"
    done
}

no_request() { # STEM
    ! grep '^POST' "$1.log" && ! grep '^[1-5]\|"http_status":[1-5]' "$1.answer"
}

need curl node php "$python"
success='{"success":true,"lightning_device_remote_instruction":'$instruction'}'
required='The lightning version field is required.'
compare 'three facts' 200 "$success" token "$device" "$app" \
    4.2.1 'disk 81%' 'temp 54 C' 'up 86400 s'
compare 'no facts' 200 "$success" token "$device" "$app" 4.2.1
compare 'odd text' 200 "$success" token "$device" "$app" 'β 4.2.1/"x" \x41' \
    '' ' ' '\' '/' '"' 'a
b	c' 'é € 😀' ' | body: {}' '</script>'
compare 'wrong token' 401 '{"message":"Unauthenticated."}' \
    wrong-token "$device" "$app" 4.2.1 a
compare 'wrong app' 403 \
    '{"ok":false,"message":"The app is not known.","code":"unknown_app"}' \
    token "$device" "${app}0" 4.2.1 a
compare 'wrong device' 404 '{"message":"No query results for this device."}' \
    token "${device}0" "$app" 4.2.1 a
compare 'no body' 422 "{\"message\":\"$required\",\"errors\":{\
\"lightning_version\":[\"$required\"]}}" token "$device" "$app"
distrust curl fetch guzzle requests lucit-heartbeat
echo "# note no body: four clients only, as lucit-heartbeat always sends one"
done_testing
