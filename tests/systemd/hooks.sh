#!/bin/sh
# The sample hooks in a Debian with nothing that they do not ask for, under its
# own systemd, polkit and D-Bus: what each does once its rights are there, that
# it fails and is reported before, and that nothing else is allowed.  The
# stand-in for the API runs outside, in the same network.
#
# There is no sound card: amixer is a stand-in, too, which opens the device that
# it would open.
. "$(dirname "$0")/daemon.inc"
. "$(dirname "$0")/boot.inc"
need ip jq journalctl mmdebstrap nsenter unshare
from=examples/lucit-heartbeat
sample=$from/hooks
unit=lucit-heartbeat.service

# ---- The kiosk -------------------------------------------------------------

# The service as it comes, but for where it finds the server, and how often.
install_service() {
    units=$inside/etc/systemd/system
    etc=$inside/etc/lucit-heartbeat
    mkdir -p "$etc/hooks" "$units/$unit.d"
    cp "$command" "$inside/usr/bin/"
    cp "$from/$unit" "$units/"
    cp "$certs/ca.pem" "$etc/"
    cp "$sample/reboot" "$sample/reload" "$sample/volume" "$etc/hooks/"
    cp "$sample/device-info" "$etc/"
    (umask 077 && printf 'the-token\nthe-secret\n' >"$etc/secret")
    sed '/^interval 1m/d' "$from/lucit-heartbeat.conf" - \
        >"$inside/etc/lucit-heartbeat.conf" <<CONF
device $device
app $app
lightning-version 4.2.1
connect 127.0.0.1:$port
ca /etc/lucit-heartbeat/ca.pem
info-command /etc/lucit-heartbeat/device-info
interval 200ms
ack-first reboot
CONF
}

install_player() {
    for player in player other; do
        printf '[Service]\nExecStart=/bin/sleep infinity\n' \
            >"$units/$player.service"
    done
}

# A hook that does what it should not be able to do.
install_hook() { # NAME COMMAND
    printf '#!/bin/sh\nexec %s\n' "$2" >"$etc/hooks/$1"
    chmod 755 "$etc/hooks/$1"
}

restart_service() {
    inside systemctl daemon-reload
    inside systemctl restart "$unit"
}

# Starts the stand-in, with an instruction that stays until it is reported.
serve_one() { # NAME LCUID [PARAMETERS]
    server_wrap="nsenter --target $init --net"
    serve --auth the-token:the-secret --auth-token "$tmp/token" --again \
        --instruction "$(instruction "$@")"
}

# Starts it with another one, which the next heartbeat brings.
hand_out() { # NAME LCUID [PARAMETERS]
    stop "$server"
    serve_one "$@"
    inside systemctl kill -s USR1 --kill-who=main "$unit"
}

fails() { # NAME LCUID FILTER [PARAMETERS]
    hand_out "$1" "$2" "${4:-[]}"
    await reported "$2" failed "$3"
}
works() { # NAME LCUID FILTER [PARAMETERS]
    hand_out "$1" "$2" "${4:-[]}"
    await reported "$2" acknowledge "$3"
}

# Which run of a unit it is.
run_of() { inside systemctl show --value -p InvocationID "$1"; }
denied='.message | test("authentication required")'

# What the system tells where something is not as it should be.
evidence() {
    tail -n 8 "$requests" | cut -c -500 | cat -v | sed 's/^/requests: /'
    [ -z "$init" ] || inside journalctl -n 20 --no-pager -o cat |
        cut -c -200 | sed 's/^/journal: /'
}

# ---- Heartbeats ------------------------------------------------------------

make_system alsa-utils dbus libbearssl0 polkitd
boot
nsenter --target "$init" --net ip address add 192.0.2.7/32 dev lo
port=$(free_ports 1)
install_service
install_player
inside systemctl daemon-reload
inside systemctl start player other
inside systemctl enable -q "$unit"
serve_one none I0
inside systemctl start "$unit"
check 'the service is up' inside systemctl is-active "$unit"
[ "$failures" -eq 0 ] || done_testing
check 'heartbeats, behind a log-in' await counts 3 '/heartbeat 200'
check '... with what device-info prints' eval 'info 1 | tee "$out" |
    jq -e "length >= 6 and (.[0] | test(\"^uptime: \")) and
        any(. == \"address: 192.0.2.7\")"'
check 'an instruction without a hook' await reported I0 failed

# ---- reload ----------------------------------------------------------------

before=$(run_of player)
check 'reload, by a user without an entry: D-Bus hangs up' fails reload I1 \
    '.message | test("not connected")'
mkdir -p "$inside/etc/sysusers.d"
cp "$sample/rights/user.conf" "$inside/etc/sysusers.d/lucit-heartbeat.conf"
inside systemd-sysusers
restart_service
check 'reload, without a rule' fails reload I2 "$denied"
check '... leaves the player alone' [ "$(run_of player)" = "$before" ]

rules=$inside/etc/polkit-1/rules.d
cp "$sample/rights/reload.rules" "$rules/"
inside systemctl restart polkit
check 'reload' works reload I3 '.response_data.exit_status == 0'
check '... has restarted the player' [ "$(run_of player)" != "$before" ]
check '... which is up' inside systemctl is-active player

mkdir "$units/player.service.d"
printf '[Service]\nExecReload=/bin/touch /run/player-is-told\n' \
    >"$units/player.service.d/reload.conf"
inside systemctl daemon-reload
before=$(run_of player)
check 'reload, of a player that can be told' works reload I4 true
check '... has told it' [ -e "$inside/run/player-is-told" ]
check '... and not restarted it' [ "$(run_of player)" = "$before" ]

other=$(run_of other)
install_hook stop-player 'systemctl --no-ask-password stop player'
install_hook reload-other \
    'systemctl --no-ask-password reload-or-restart other.service'
check 'the player may not be stopped' fails stop-player I5 "$denied"
check '... and was not' [ "$(run_of player)" = "$before" ]
check 'no other unit may be restarted' fails reload-other I6 "$denied"
check '... and none was' [ "$(run_of other)" = "$other" ]

# ---- volume ----------------------------------------------------------------

check 'volume, where there is no card' fails volume V1 \
    '.message | test("amixer: Mixer attach default error")' '[40]'

# A number that no driver has: who may open it hears that there is no device.
inside sh -ec 'mkdir /dev/snd && cd /dev/snd && mknod controlC0 c 116 255
    chgrp audio controlC0 && chmod 660 controlC0
    mknod -m 666 /dev/none c 1 255'
cat >"$inside/usr/local/bin/amixer" <<'AMIXER'
#!/bin/sh
echo "words: $*"
head -c 1 /dev/snd/controlC0 2>&1
head -c 1 /dev/none 2>&1
exit 0
AMIXER
chmod 755 "$inside/usr/local/bin/amixer"
words='words: -q -M sset Master 40% unmute'
check 'volume, without its drop-in: no device' works volume V2 \
    ".response_data.message | test(\"^$words\\n.*controlC0.*No such file\")" \
    '[40]'
cp "$sample/rights/volume.conf" "$units/$unit.d/"
restart_service
check 'volume: it can open the device' works volume V3 \
    ".response_data.message |
        test(\"^$words\\n.*controlC0.*No such device or address\")" \
    '[{"level":40}]'
check '... and no other one' reported V3 acknowledge \
    '.response_data.message | test("none.*Operation not permitted")'
check 'volume, hostile' fails volume V4 \
    '.message | test("not a level")' '["40%; touch /tmp/owned"]'
check 'volume, the next one' works volume V5 true '["0%"]'

# ---- reboot ----------------------------------------------------------------

install_hook poweroff 'systemctl --no-ask-password --no-wall poweroff'
check 'reboot, without a rule' fails reboot B1 "$denied"
check '... was acknowledged, and failed after all' reported_times B1 2
cp "$sample/rights/reboot.rules" "$rules/"
inside systemctl restart polkit
check 'no power-off' fails poweroff B2 "$denied"
check 'the system is up' is_up

hand_out reboot B3
await_end
check 'reboot: systemd asks the kernel for it' [ "$ended" = reboot ]
check '... by reboot.target' eval 'journalctl --no-pager -o cat \
    -D "$tmp/changes/var/log/journal" | grep "Reached target.*reboot.target"'
check '... and was acknowledged before' reported B3 acknowledge

stop "$server"
boot
serve_one reboot B3 # as if the server had not heard of it
check 'the service begins with the system' await reported_times B3 2
check '... and acknowledges that reboot' reported B3 acknowledge
check '... which does not run again: the next hook does' works reload I7 true
check '... and the system is up' is_up

done_testing
