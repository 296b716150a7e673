#!/usr/bin/env python3
"""Which conditions of heartbeat.c the tests have not shown to decide.

usage: report.py COVERAGE.json LIST

COVERAGE.json is what `llvm-cov export -format=text` says of a program that was
compiled with -fcoverage-mcdc.  A condition of a decision that has several is
shown to decide by MC/DC: two tests that differ in this condition alone, as far
as the others are looked at, and in the outcome.  One that is a decision by
itself is shown by both outcomes.

LIST names those that may stay undecided, a line each,

    FUNCTION: DECISION: NUMBER: REASON

where NUMBER of the conditions are undecided.  Prints TAP: a test for each line
of LIST, which fails where the tests say otherwise now, and one for each decision that
LIST does not have.
"""
import json
import re
import sys

tests = 0
failures = 0


def test(good, name, why=""):
    global tests, failures
    tests += 1
    print(("ok" if good else "not ok"), tests, "-", name)
    if not good:
        failures += 1
        print("#    ", why)


def text_of(source, region):
    """The source text of a region, on one line."""
    first, from_column, last, to_column = region[:4]
    lines = source[first - 1:last]
    lines[-1] = lines[-1][:to_column - 1]
    lines[0] = lines[0][from_column - 1:]
    return " ".join(" ".join(lines).split())


def is_of_a_switch(source, region):
    """The regions of a switch are no conditions."""
    before = source[region[0] - 1][:region[1] - 1]
    return (re.search(r"\bswitch \($", before) is not None
            or re.match(r"(case|default)\b", text_of(source, region)) is not None)


def function_at(source, line):
    """The name of the function that a line is in: they begin at column 0."""
    while line > 0:
        name = re.match(r"[a-z].*?(\w+)\(", source[line - 1])
        if name:
            return name.group(1)
        line -= 1
    return "?"


def within(inner, outer):
    return tuple(outer[:2]) <= tuple(inner[:2]) and \
        tuple(inner[2:4]) <= tuple(outer[2:4])


def undecided_of(coverage, source):
    """Yields (function, text, number of undecided conditions, of how many)."""
    decisions = coverage["mcdc_records"]
    for d in decisions:
        shown = d[-1]
        if not all(shown):
            yield function_at(source, d[0]), text_of(source, d), \
                shown.count(False), len(shown)
    for b in coverage["branches"]:
        alone = not any(within(b, d) for d in decisions)
        if alone and not is_of_a_switch(source, b) and 0 in b[4:6]:
            yield function_at(source, b[0]), text_of(source, b), 1, 1


def conditions(coverage, source):
    """How many conditions there are."""
    return sum(not is_of_a_switch(source, b) for b in coverage["branches"])


def read_list(path):
    """The lines of the list: {(function, decision, number): reason}."""
    allowed = {}
    for line in open(path, encoding="utf-8"):
        line = line.strip()
        if line and not line.startswith("#"):
            function, rest = line.split(": ", 1)
            decision, number, reason = re.fullmatch(
                r"(.*): (\d+): (.*)", rest).groups()
            allowed[function, decision, int(number)] = reason
    return allowed


def main():
    data = json.load(open(sys.argv[1], encoding="utf-8"))["data"][0]
    coverage = next(f for f in data["files"]
                    if f["filename"].endswith("heartbeat.c"))
    source = open(coverage["filename"], encoding="utf-8").read().split("\n")
    allowed = read_list(sys.argv[2])
    found = set()
    undecided = 0
    for function, text, number, total in undecided_of(coverage, source):
        undecided += number
        key = function, text, number
        found.add(key)
        if key not in allowed:
            test(False, f"{function}: {text}",
                 f"{number} of {total} conditions: no test shows that they"
                 " decide")
    for function, text, number in allowed:
        test((function, text, number) in found,
             f"{function}: {text}: {number} undecided, as listed",
             "the list says so, the tests say otherwise: mend the list")
    total = conditions(coverage, source)
    test(total > 0, "the conditions of heartbeat.c are found")
    print(f"# note: {total - undecided} of {total} conditions of heartbeat.c"
          " are shown to decide")
    print(f"1..{tests}")
    sys.exit(failures > 0)


main()
