#!/bin/sh
# Runs the fuzzers, each over its seeds and what it makes of them.  Speaks TAP;
# a note says how many inputs each has seen, and how much of the code.
#
# usage: B=DIR tests/fuzz/fuzz.sh
#
# The programs are in $B/fuzz; two of them need the keys in $B/certs.  Without
# more, each takes a fixed number of inputs, the same in every run where
# addresses can be fixed.  With $FUZZ_SECONDS each goes on for so long, from
# where the last such run ended, by another seed; what it finds of interest is
# kept in $B/fuzz/kept, and how many inputs it has seen is added to
# tests/fuzz/executions.  $FUZZERS, in place of all, names some of them.
#
# An input that one fails with is in $B/fuzz, named after the fuzzer; the
# program takes it as its argument.
set -u
cd "$(dirname "$0")/../.." || exit 1
export B="${B:-build}"
fuzz=$B/fuzz
log=$(mktemp)
trap 'rm -f "$log"' EXIT
number=0

# libFuzzer's choices depend on addresses; and, unless told, on the clock.
fixed=
if setarch -R true 2>/dev/null; then fixed="setarch -R"; fi

# Certificates are seeds twice: as they are, and as the bytes they stand for.
# In front of each are the control bytes of pem.c and cert.c.
rm -rf "$fuzz/seeds"
mkdir -p "$fuzz/seeds/pem" "$fuzz/seeds/cert"
for file in tests/fuzz/seeds/certificates/*.pem; do
    name=$(basename "$file" .pem)
    grep -v '^-' "$file" | base64 -d >"$fuzz/seeds/der" || exit 1
    { printf '@~~' && cat "$file"; } >"$fuzz/seeds/pem/$name"
    { printf 'H~~' && cat "$fuzz/seeds/der"; } >"$fuzz/seeds/pem/$name.der"
    { printf '@@' && cat "$fuzz/seeds/der"; } >"$fuzz/seeds/cert/$name"
done

# Chains: each row of the tables of chain.c, for the server's certificate and
# for the one above it; an extension in place of each usual one, too.
byte() { # NUMBER
    printf "\\$(printf %03o "$1")"
}

chain_seed() { # NAME CHANGE...: a letter or a number is a byte
    file=$fuzz/seeds/chain/$1
    shift
    for part; do
        case $part in [0-9]*) byte "$part" ;; *) printf %s "$part" ;; esac
    done >"$fuzz/seeds/change"
    { printf '0' && cat "$fuzz/seeds/change" && printf '\n\n'; } >"$file.leaf"
    { printf '0\n' && cat "$fuzz/seeds/change" && printf '\n'; } >"$file.above"
}

mkdir -p "$fuzz/seeds/chain"
for n in $(seq 0 15); do
    for letter in v d n s k S h a A C; do
        chain_seed "$letter.$n" "$letter" "$n"
    done
    chain_seed "both.$n" a "$n" A "$n"
done
for n in $(seq 0 66); do
    for critical in 0 1; do
        chain_seed "more.$n.$critical" e "$n" "$critical"
        for other in 0 1 2 3; do
            chain_seed "other.$n.$critical.$other" r "$other" e "$n" "$critical"
        done
    done
done
rm -f "$fuzz/seeds/change"

# Those of a run that failed count, too.
add_executions() { # NAME
    more=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    sum=$(sed -n "s/^$1 \([0-9]*\) .*/\1/p" tests/fuzz/executions)
    sum=$((${sum:-0} + ${more:-0}))
    { grep -v "^$1 " tests/fuzz/executions
      echo "$1 $sum $(date -u +%F)"; } | LC_ALL=C sort >"$fuzz/executions"
    cp "$fuzz/executions" tests/fuzz/executions || exit 1
    echo "# note $name: $sum inputs in all long runs"
}

run() { # NAME INPUTS SIZE-OF-THE-LONGEST
    name=$1 inputs=$2 longest=$3
    case " ${FUZZERS-$name} " in *" $name "*) ;; *) return ;; esac
    number=$((number + 1))
    kept=$fuzz/kept/$name
    if [ -n "${FUZZ_SECONDS-}" ]; then
        much=-max_total_time=$FUZZ_SECONDS
    else
        much="-runs=$inputs -reload=0 -seed=1" kept=$fuzz/once/$name
        rm -rf "$kept"
    fi
    mkdir -p "$kept" "$fuzz/seeds/$name"
    if $fixed "$fuzz/$name" $much -max_len="$longest" -timeout=10 \
        -print_final_stats=1 -dict="tests/fuzz/$name.dict" \
        -artifact_prefix="$fuzz/$name-" \
        "$kept" "tests/fuzz/seeds/$name" "$fuzz/seeds/$name" >"$log" 2>&1
    then
        echo "ok $number - $name"
    else
        grep -v '^#.*cov: ' "$log" # nor every step on the way
        echo "not ok $number - $name"
    fi
    [ -z "${FUZZ_SECONDS-}" ] || add_executions "$name"
    echo "# note $name: $(grep '^#.*DONE' "$log" | tr -s '\t ' '  ')"
}

run json 60000 600
run http 60000 1500
run dns 25000 700
run pem 20000 2500
run hosts 60000 1000
run resolv 60000 1000
run cert 20000 2500
run memory 1500 1500
run client 3000 1500
run chain 3000 400
if [ -n "${FUZZ_SECONDS-}" ]; then
    awk '{ n += $2 } END { printf "# note all: %.0f inputs\n", n }' \
        tests/fuzz/executions
fi
echo "1..$number"
