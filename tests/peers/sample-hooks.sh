#!/bin/sh
# The sample hooks, without systemd: what they call, what they refuse, and what
# device-info prints.  What the calls do is for tests/systemd/hooks.sh.
. "$(dirname "$0")/common.inc"
need dash jq node
unset MIXER PLAYER STATUS
hooks=$PWD/examples/lucit-heartbeat/hooks
rights=$hooks/rights

# Stand-ins that leave their words in $tmp/called, in brackets.
mkdir "$tmp/bin" "$tmp/empty"
for program in amixer systemctl; do
    cat >"$tmp/bin/$program" <<STUB
#!/bin/sh
printf '[%s]' $program "\$@" >"$tmp/called"
exit \${STATUS:-0}
STUB
    chmod 755 "$tmp/bin/$program"
done

# Runs a hook in an empty folder, with the parameters on its standard input.
call() { # HOOK [VARIABLE...]
    hook=$1
    shift
    rm -f "$tmp/called"
    (cd "$tmp/empty" && env PATH="$tmp/bin:$PATH" "$@" timeout 60 \
        dash "$hooks/$hook" <"$tmp/parameters" >"$out" 2>"$err")
    status=$?
}
called() { # WORDS: with exit status 0
    [ "$status" -eq 0 ] && [ "$(cat "$tmp/called")" = "$1" ]
}
nothing_else_ran() { [ -z "$(ls -A "$tmp/empty")" ]; }

for hook in device-info reboot reload volume; do
    check "$hook is executable" [ -x "$hooks/$hook" ]
done

# ---- volume ----------------------------------------------------------------

refused() {
    [ "$status" -eq 1 ] && [ ! -e "$tmp/called" ] && [ ! -s "$out" ] &&
        [ "$(cat "$err")" = 'the parameters are not a level from 0 to 100' ] &&
        nothing_else_ran
}
volume_is() { # LEVEL|refused
    call volume
    if [ "$1" = refused ]; then refused
    else called "[amixer][-q][-M][sset][Master][$1%][unmute]"; fi
}

while read -r level parameters; do
    printf '%s' "$parameters" >"$tmp/parameters"
    check "volume: $parameters: $level" volume_is "$level"
done <<'ROWS'
40 [40]
0 [0]
7 [7]
99 [99]
100 [100]
40 [40.0]
100 [100.000]
40 ["40"]
40 ["40%"]
40 [ "40%" ]
40 {"level":40}
40 { "level" : "40%" }
40 {"percent":40}
40 {"volume":"40.0"}
5 {"0":5}
0 {"0":0}
40 {"0":"40"}
40 [{"level":40}]
40 [ { "percent" : 40 } ]
refused
refused []
refused {}
refused null
refused 40
refused "40"
refused [101]
refused [100.5]
refused [40.5]
refused [1000]
refused [-1]
refused ["+5"]
refused [4e1]
refused [007]
refused ["007"]
refused [07]
refused ["07"]
refused [40,50]
refused [[40]]
refused [true]
refused [""]
refused ["%"]
refused ["40%%"]
refused [40%]
refused ["40]
refused [40"]
refused ["4 0"]
refused ["４０"]
refused {"level":40,"level":50}
refused {"level":40,"card":1}
refused {"Level":40}
refused {"gain":40}
refused {"\u006cevel":40}
refused {"1":40}
refused {"level":[40]}
refused ["40","unmute"]
refused [40] [50]
refused [40] x
refused x [40]
refused ["40;touch owned"]
refused ["40%;touch owned"]
refused ["$(touch owned)"]
refused ["40$(touch owned)"]
refused ["`touch owned`"]
refused [$(touch owned)]
refused {"level":"40|touch owned"}
refused {"level":"40\ntouch owned"}
refused {"level":"40\u000atouch owned"}
refused {"level":"40' ; touch owned; '"}
refused {"level":"40\" ; touch owned; \""}
refused {"level":40};touch owned
refused {"level; touch owned":40}
refused ["--help"]
refused ["-c 1 40"]
refused ["*"]
refused ["${HOME}"]
refused ["$0"]
refused ["40/w owned"]
refused [40]/;w owned
refused [40]\nw owned
ROWS

row() { # NAME LEVEL|refused FORMAT
    printf "$3" >"$tmp/parameters"
    check "volume: $1: $2" volume_is "$2"
}
row 'lines and tabs' 40 '\n[\r\n\t40\r\n]\n\n'
row 'a level on each line' refused '[40]\n[50]\n'
row 'a line in a text' refused '["40\n"]'
row 'a NUL' refused '[40]\000'
row 'a NUL in a level' refused '["4\0000"]'
row 'no UTF-8' refused '["40\377"]'
row 'a level among odd bytes' refused '\377[40]'
{ printf '[' && head -c 4000 /dev/zero | tr '\0' 9 && printf ']'; } \
    >"$tmp/parameters"
check 'volume: 4,000 digits: refused' volume_is refused
{ head -c 4000 /dev/zero | tr '\0' ' ' && printf '[40]'; } >"$tmp/parameters"
check 'volume: 4,000 spaces: 40' volume_is 40

echo '[40]' >"$tmp/parameters"
call volume MIXER='PCM; touch owned'
check 'volume: another control' called \
    '[amixer][-q][-M][sset][PCM; touch owned][40%][unmute]'
check '... which runs nothing' nothing_else_ran
call volume STATUS=1
check 'volume: a card that does not take it' [ "$status" -eq 1 ]

# ---- reload, reboot --------------------------------------------------------

player() { echo "[systemctl][--no-ask-password][reload-or-restart][--][$1]"; }
reboot='[systemctl][--no-ask-password][--no-wall][reboot]'

while read -r parameters; do
    printf '%s' "$parameters" >"$tmp/parameters"
    call reload
    check "reload: $parameters" called "$(player player.service)"
    check '... which runs nothing else' nothing_else_ran
    call reboot
    check "reboot: $parameters" called "$reboot"
    check '... which runs nothing else' nothing_else_ran
done <<'ROWS'
[]
["other.service"]
["$(touch owned)"]
["--force"]
ROWS
call reload PLAYER=signage.service
check 'reload: another player' called "$(player signage.service)"
call reload PLAYER='--force; touch owned'
check 'reload: what looks like an option' called \
    "$(player '--force; touch owned')"
check '... runs nothing' nothing_else_ran
for hook in reload reboot; do
    call "$hook" STATUS=5
    check "$hook: what fails" [ "$status" -eq 5 ]
done

# ---- The rules for polkit --------------------------------------------------

# What a file of rules says of an action.
says() { # FILE ACTION UNIT VERB USER
    node -e '
        const [file, id, unit, verb, user] = process.argv.slice(1)
        let said = "nothing"
        global.polkit = { Result: { YES: "yes" },
            addRule: (rule) => {
                const known = { unit, verb }
                said = rule({ id, lookup: (name) => known[name] },
                    { user }) ?? said
            } }
        require("vm").runInThisContext(
            require("fs").readFileSync(file, "utf8"))
        console.log(said)' "$rights/$1" "$2" "$3" "$4" "$5"
}
answer_is() { # WANTED FILE ACTION UNIT VERB USER
    wanted=$1
    shift
    [ "$(says "$@")" = "$wanted" ]
}

ours=lucit-heartbeat
systemd=org.freedesktop.systemd1
login=org.freedesktop.login1

while read -r wanted user action unit verb; do
    check "reload.rules: $user may $action $verb $unit: $wanted" answer_is \
        "$wanted" reload.rules "$action" "$unit" "$verb" "$user"
done <<ROWS
yes $ours $systemd.manage-units player.service reload-or-restart
nothing $ours $systemd.manage-units player.service stop
nothing $ours $systemd.manage-units player.service start
nothing $ours $systemd.manage-units ssh.service reload-or-restart
nothing $ours $systemd.manage-unit-files player.service reload-or-restart
nothing $ours $login.reboot player.service reload-or-restart
nothing other $systemd.manage-units player.service reload-or-restart
ROWS

while read -r wanted user action; do
    check "reboot.rules: $user may $action: $wanted" answer_is \
        "$wanted" reboot.rules "$action" - - "$user"
done <<ROWS
yes $ours $login.reboot
yes $ours $login.reboot-multiple-sessions
nothing $ours $login.reboot-ignore-inhibit
nothing $ours $login.power-off
nothing $ours $systemd.manage-units
nothing other $login.reboot
ROWS

# ---- device-info -----------------------------------------------------------

# The same script, with what the kernel tells in a folder.
sed "s,/proc/,$tmp/proc/,g; s,/sys/,$tmp/sys/,g" "$hooks/device-info" \
    >"$tmp/device-info"

# A system whose kernel tells no more than each one does.
bare_system() {
    rm -rf "$tmp/proc" "$tmp/sys"
    mkdir -p "$tmp/proc/net" "$tmp/sys/class/thermal"
    echo '273912.53 500000.00' >"$tmp/proc/uptime"
    printf 'cpu  1 2 3\nbtime 1767744919\nprocesses 9\n' >"$tmp/proc/stat"
    echo '0.10 0.20 12.30 1/99 1234' >"$tmp/proc/loadavg"
    printf 'MemTotal: %d kB\nMemFree: 9 kB\nMemAvailable: %d kB\n' \
        1048576 524288 >"$tmp/proc/meminfo"
}
sensor() { # NUMBER MILLIDEGREES [KIND]
    zone=$tmp/sys/class/thermal/thermal_zone$1
    mkdir "$zone"
    echo "$2" >"$zone/temp"
    [ $# -lt 3 ] || echo "$3" >"$zone/type"
}
address() { # ADDRESS KIND
    printf '        |-- %s\n           /32 %s\n' "$1" "$2" \
        >>"$tmp/proc/net/fib_trie"
}
interface() { # ADDRESS SCOPE NAME
    echo "$1 02 40 $2 80 $3" >>"$tmp/proc/net/if_inet6"
}

# Each line but the disk's, which is this machine's, is one of these.
informs() { # LINE...
    run dash "$tmp/device-info"
    printf '%s\n' "$@" >"$tmp/wanted"
    grep -v '^disk: ' "$out" | diff - "$tmp/wanted" &&
        grep -qx 'disk: [0-9]* of [0-9]* MiB free' "$out" &&
        [ ! -s "$err" ] && [ "$status" -eq 0 ]
}
set -- 'uptime: 3 d 4 h 5 min' 'last boot: 2026-01-07T00:15:19Z' \
    'load: 0.10 0.20 12.30' 'memory: 512 of 1024 MiB available'

bare_system
check 'device-info: a bare system' informs "$@"
sed -i /MemAvailable/d "$tmp/proc/meminfo" # as before Linux 3.14
check 'device-info: no memory' informs "$1" "$2" "$3"
bare_system

sensor 0 48249 cpu-thermal
sensor 1 -500 outside
sensor 2 71000
mkdir -p "$tmp/sys/class/thermal/thermal_zone3/temp" # which cannot be read
check 'device-info: temperatures' informs "$@" \
    'temperature: 48.2 C (cpu-thermal)' 'temperature: -0.5 C (outside)' \
    'temperature: 71.0 C (unknown)'

bare_system
address 127.0.0.1 'host LOCAL'
address 192.0.2.0 'link UNICAST'
address 192.0.2.7 'host LOCAL'
address 192.0.2.255 'link BROADCAST'
address 192.0.2.7 'host LOCAL' # the kernel lists each in two tables
interface 00000000000000000000000000000001 10 lo
interface fe800000000000000000000000000007 20 eth0
interface 20010db8000000000000000000000007 00 eth0
check 'device-info: addresses' informs "$@" 'address: 192.0.2.7' \
    'address: 2001:0db8:0000:0000:0000:0000:0000:0007'

bare_system
for n in 10 11 12 13 14 15 16 17 18 19; do
    sensor "$n" "${n}000" "zone$n"
    address "192.0.2.$n" 'host LOCAL'
done
run dash "$tmp/device-info"
check 'device-info: eight temperatures at most' \
    [ "$(grep -c '^temperature: ' "$out")" -eq 8 ]
check 'device-info: eight addresses at most' \
    [ "$(grep -c '^address: ' "$out")" -eq 8 ]

is_said_so() {
    run dash "$hooks/device-info"
    [ "$status" -eq 0 ] && [ ! -s "$err" ] && ! grep -vxE \
        -e 'uptime: [0-9]+ d [0-9]+ h [0-9]+ min' \
        -e 'last boot: [0-9-]{10}T[0-9:]{8}Z' \
        -e 'load: [0-9.]+ [0-9.]+ [0-9.]+' \
        -e '(memory|disk): [0-9]+ of [0-9]+ MiB (available|free)' \
        -e 'temperature: -?[0-9]+\.[0-9] C \([^ ]+\)' \
        -e 'address: [0-9a-f.:]+' "$out" && [ "$(wc -l <"$out")" -ge 5 ]
}
check 'device-info: this machine' is_said_so

start "$tmp/requests" 'listening on' "$B/lucitd" --port 0 \
    --cert "$certs/server.pem" --key "$certs/server.key" --device "$device" \
    --app "$app" --token-file "$tmp/token"
beat --info-command "$hooks/device-info"
check 'a heartbeat with it' results_are ok
check '... has its lines' eval "sed -n 's/.*| body: //p' $tmp/requests |
    jq -e '.device_info | length >= 5 and (.[0] | test(\"^uptime: \"))'"

done_testing
