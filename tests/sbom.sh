#!/bin/sh
# The bill of materials has what CycloneDX 1.5 requires, and says what is so.
. tests/check.inc

env -u SOURCE_DATE_EPOCH tests/sbom >"$work/sbom"

holds() { # JQ-FILTER
    jq -e "$1" "$work/sbom"
}

# What the compiler sees, and another program's digest.
header_says() { # MACRO
    echo "$1" | ${CC:-cc} -E -P -DHBEAT_NO_NET -include heartbeat.h -x c - |
        tail -1
}
version_is_the_header_s() {
    version=$(header_says HBEAT_VERSION)
    [ "$version" != HBEAT_VERSION ] &&
        holds ".metadata.component.version == $version"
}
hash_is_right() { # FILE
    hash=$(openssl dgst -sha256 -r "$1" | cut -d ' ' -f 1)
    holds "[.metadata.component.components[] | select(.name == \"$1\") |
        .hashes == [{alg: \"SHA-256\", content: \"$hash\"}]] == [true]"
}
is_the_same_again() {
    env -u SOURCE_DATE_EPOCH tests/sbom | cmp - "$work/sbom"
}
has_the_time_it_is_told() {
    SOURCE_DATE_EPOCH=1767744919 tests/sbom >"$work/timed" || return
    jq -e '.metadata.timestamp == "2026-01-07T00:15:19Z"' "$work/timed" &&
        jq 'del(.metadata.timestamp)' "$work/timed" >"$work/a" &&
        jq . "$work/sbom" | cmp - "$work/a"
}
refuses() { # SOURCE_DATE_EPOCH
    ! SOURCE_DATE_EPOCH=$1 tests/sbom
}
refuses_a_header_without_a_version() {
    mkdir "$work/other"
    cp heartbeat.c "$work/other"
    sed '/HBEAT_VERSION "/d' heartbeat.h >"$work/other/heartbeat.h"
    sbom=$PWD/tests/sbom
    ! (cd "$work/other" && "$sbom")
}

while IFS='|' read -r name filter; do
    check "$name" holds "$filter"
done <<'ROWS'
it is of CycloneDX|.bomFormat == "CycloneDX" and .specVersion == "1.5"
it is a first version|.version == 1
its members are known|keys - ["$schema", "bomFormat", "components", "dependencies", "metadata", "specVersion", "version"] == []
each component has a type and a name|[.. | .components? // empty | .[] | (.type | IN("library", "file")) and (.name | length > 0)] | length == 3 and all
each library has a licence|[.metadata.component, .components[]] | all(.licenses[0].license.id == "MIT")
BearSSL is the one that README names|.components[0] | .name == "BearSSL" and .version == "0.6" and .purl == "pkg:generic/bearssl@0.6"
heartbeat depends on it|.dependencies[0] == {ref: "heartbeat", dependsOn: ["bearssl"]}
what depends is there|([.metadata.component, .components[]] | map(."bom-ref")) == (.dependencies | map(.ref))
it has no time of its own|.metadata | has("timestamp") | not
ROWS
check "the version is the header's" version_is_the_header_s
check "the hash of heartbeat.h" hash_is_right heartbeat.h
check "the hash of heartbeat.c" hash_is_right heartbeat.c
check "it is the same again" is_the_same_again
check "it has the time that it is told" has_the_time_it_is_told
check "a time that is none" refuses yesterday-ish
check "a header without a version" refuses_a_header_without_a_version
end_checks
