#!/usr/bin/env python3
"""What of heartbeat.c the tests do not reach, or do not show to decide.

usage: report.py CONDITIONS LINES LIST

CONDITIONS is what `llvm-cov export -format=text` says of a program that was
compiled with -fcoverage-mcdc, LINES what it says with -format=lcov.

A condition of a decision that has several is shown to decide by MC/DC: two
tests that differ in this condition, as far as the others are looked at, and in
the outcome.  One that is a decision by itself is shown by both outcomes.  A
line is reached where a test has run it.

LIST names what may stay so, and below each, indented, why:

    FUNCTION: DECISION
    FUNCTION: DECISION, condition N of M
    FUNCTION: LINES

Line numbers are not in it, as they change with all that stands above.  Prints
TAP: a test for each line of LIST, which fails where the tests say otherwise
now, and one for all that LIST does not have, which fails.
"""
import json
import re
import sys
from collections import Counter
from itertools import groupby


def squeezed(text):
    return " ".join(text.split())


def text_of(source, region):
    """The source text of a region: where it begins, where it ends."""
    first, from_column, last, to_column = region[:4]
    lines = source[first - 1:last]
    lines[-1] = lines[-1][:to_column - 1]
    lines[0] = lines[0][from_column - 1:]
    return squeezed(" ".join(lines))


def is_of_a_switch(source, region):
    """The branches of a switch are no conditions."""
    before = source[region[0] - 1][:region[1] - 1]
    return (re.search(r"\bswitch \($", before) is not None
            or re.match(r"(case|default)\b", text_of(source, region)) is not None)


def within(inner, outer):
    return outer[:2] <= inner[:2] and inner[2:4] <= outer[2:4]


def name_of_function(source, line):
    """By the line of its opening brace; its first line has it at column 0."""
    while not (match := re.match(r"\w.*?(\w+)\(", source[line - 1])):
        line -= 1
    return match.group(1)


class Function:
    """What is known of a function; see `llvm-cov export`."""

    def __init__(self, exported, source, counts):
        first, _, last = exported["regions"][0][:3]
        self.name = name_of_function(source, first)
        self.source = source
        self.counts = {n: counts[n] for n in range(first, last + 1)
                       if n in counts}
        self.decisions = exported["mcdc_records"]
        self.conditions = [b for b in exported["branches"]
                           if not is_of_a_switch(source, b)]

    def named(self, region):
        return f"{self.name}: {text_of(self.source, region)}"

    def undecided(self):
        """Yields a name for each condition that is not shown to decide."""
        incomplete = [d for d in self.decisions if not all(d[-1])]
        for decision in incomplete:
            shown = decision[-1]
            for n, is_shown in enumerate(shown, 1):
                if not is_shown:
                    yield (self.named(decision)
                           + f", condition {n} of {len(shown)}")
        for c in self.conditions:
            true_count, false_count = c[4:6]
            if (true_count == 0 or false_count == 0) and \
                    not any(within(c, d) for d in incomplete):
                yield self.named(c)

    def unreached(self):
        """Yields a name for each row of lines that no test reaches."""
        rows = groupby(self.counts, lambda number: self.counts[number] == 0)
        for is_unreached, numbers in rows:
            if is_unreached:
                text = " ".join(self.source[n - 1] for n in numbers)
                yield f"{self.name}: {squeezed(text)}"


def read_counts(path, source):
    """How often each line has run, {number: count}: those with code in it."""
    counts = {}
    is_heartbeat = False
    for line in open(path, encoding="utf-8"):
        if line.startswith("SF:"):
            is_heartbeat = line.strip().endswith("/heartbeat.c")
        if line.startswith("DA:") and is_heartbeat:
            number, count = line[3:].split(",")[:2]
            text = source[int(number) - 1].strip()
            if text and not text.startswith(("/*", "* ")):
                counts[int(number)] = int(count)
    return counts


def read_functions(conditions_path, lines_path):
    data = json.load(open(conditions_path, encoding="utf-8"))["data"][0]
    exported = [f for f in data["functions"]
                if f["filenames"][0].endswith("/heartbeat.c")]
    source = open(exported[0]["filenames"][0],
                  encoding="utf-8").read().split("\n")
    counts = read_counts(lines_path, source)
    return [Function(f, source, counts) for f in exported]


def read_list(path):
    """The names in the list; each has its reason behind it."""
    names = []
    reasons = 0
    for line in open(path, encoding="utf-8"):
        if line[0].isspace():
            reasons += line.strip() != ""
        elif not line.startswith("#"):
            assert reasons >= len(names), f"{names[-1]}: no reason"
            names.append(squeezed(line))
            reasons = len(names) - 1
    assert reasons >= len(names), f"{names[-1]}: no reason"
    return Counter(names)


def main():
    functions = read_functions(sys.argv[1], sys.argv[2])
    listed = read_list(sys.argv[3])
    undecided = Counter(n for f in functions for n in f.undecided())
    unreached = Counter(n for f in functions for n in f.unreached())
    found = undecided + unreached
    counts = [c for f in functions for c in f.counts.values()]
    total = sum(len(f.conditions) for f in functions)

    results = [(found[n] == listed[n], f"{n}: is as listed") for n in listed]
    results += [(False, f"{n}: is neither shown nor listed")
                for n in found if n not in listed]
    results.append((total > 0 and max(counts) > 0, "heartbeat.c was measured"))
    for number, (is_good, name) in enumerate(results, 1):
        print("ok" if is_good else "not ok", number, "-", name)
    print(f"# note: {total - undecided.total()} of {total} conditions are shown"
          f" to decide, {sum(c > 0 for c in counts)} of {len(counts)} lines are"
          f" reached; {listed.total()} are listed")
    print(f"1..{len(results)}")
    sys.exit(not all(is_good for is_good, _ in results))


main()
