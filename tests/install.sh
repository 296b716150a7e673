#!/bin/sh
# `make install` puts each file where PREFIX says, and overwrites nothing that
# is the user's; `make uninstall` takes away what nobody has changed.
B=${B:-build}
. tests/check.inc
unset MAKEFLAGS MFLAGS MAKELEVEL # of the make that runs this
sample=examples/lucit-heartbeat
root=$work/root
umask 077 # which changes nothing

make_target() { # TARGET PREFIX
    make -s B="$B" "$1" PREFIX="$2" DESTDIR="$root"
}

# Folders aside: mode and path of each.
files() {
    (cd "$root" && find . -type f -printf '%m %P\n' | LC_ALL=C sort -k 2)
}

# Where PREFIX is, and where its units are.
files_are() { # PREFIX UNITS
    {
        sed "s,PREFIX,$1,; s,UNITS,$2," <<'ROWS'
600 etc/lucit-heartbeat/secret
644 etc/lucit-heartbeat.conf
755 PREFIX/bin/lucit-heartbeat
644 UNITS/lucit-heartbeat.service
644 PREFIX/share/doc/lucit-heartbeat/copyright
644 PREFIX/share/doc/lucit-heartbeat/examples/lucit-heartbeat.conf
644 PREFIX/share/man/man8/lucit-heartbeat.8
ROWS
        (cd $sample && find hooks -type f -printf '%m %p\n') |
            sed "s, , $1/share/doc/lucit-heartbeat/examples/,"
    } | LC_ALL=C sort -k 2 >"$work/wanted"
    files | diff "$work/wanted" -
}

# The folders that not everybody may enter are this one.
closed_are() { # FOLDER
    (cd "$root" && find . -mindepth 1 -type d ! -perm -55 -printf '%P\n') |
        tee "$work/closed"
    [ "$(cat "$work/closed")" = "$1" ]
}

unit_runs() { # PATH UNITS
    grep -qx "ExecStart=$1 --config /etc/lucit-heartbeat.conf" \
        "$root/$2/lucit-heartbeat.service"
}

while read -r prefix units; do
    check "$prefix: installs" make_target install "/$prefix"
    check "$prefix: each file is there" files_are "$prefix" "$units"
    check "$prefix: the unit runs it" \
        unit_runs "/$prefix/bin/lucit-heartbeat" "$units"
    check "$prefix: all may enter each folder but the service's own" \
        closed_are var/lib/lucit-heartbeat
    check "$prefix: uninstalls" make_target uninstall "/$prefix"
    check "$prefix: no file is left" eval '[ -z "$(files)" ]'
    check "$prefix: nor a folder of its own" \
        eval '! find "$root" -name "*lucit*" | grep .'
    rm -rf "$root"
done <<'ROWS'
usr usr/lib/systemd/system
usr/local usr/local/lib/systemd/system
opt/kiosk etc/systemd/system
ROWS

# ---- What is the user's ----------------------------------------------------

fill_in() {
    echo 'device LCUID-LD-1' >>"$root/etc/lucit-heartbeat.conf"
    echo token >"$root/etc/lucit-heartbeat/secret"
    echo state >"$root/var/lib/lucit-heartbeat/memory"
    echo hook >"$root/etc/lucit-heartbeat/hooks/reload"
    files | grep 'etc/lucit\|var/lib' >"$work/users"
    [ "$(wc -l <"$work/users")" -eq 4 ]
}

users_stay() {
    files | grep 'etc/lucit\|var/lib' | diff "$work/users" - &&
        grep -qx 'device LCUID-LD-1' "$root/etc/lucit-heartbeat.conf" &&
        grep -qx token "$root/etc/lucit-heartbeat/secret"
}

check "installs" make_target install /usr
check "the user fills in what is his" fill_in
check "installs over it" make_target install /usr
check "that stays" users_stay
check "uninstalls" make_target uninstall /usr
check "that stays, too" users_stay
check "and nothing else" [ "$(files | wc -l)" -eq 4 ]
end_checks
