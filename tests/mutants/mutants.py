#!/usr/bin/env python3
"""Changes heartbeat.c a little in many places, and says which changes no test
notices.

usage: B=DIR JOBS=N tests/mutants/mutants.py [COUNT [TEXT]]     as root

COUNT (300) changes, a fifth of each kind of places.py, are drawn from all by
their names; where TEXT is given, from those that have it in their names.  Each
is compiled, and the C tests run against it, up to the first that fails; one
that hangs fails, too.  A change that does not compile is replaced by the next.
One that compiles to the same bytes is equivalent: no test could notice it.

Prints a line for each that is not noticed.  Those that need not be stand in
tests/mutants/survivors, a reason before each; ends with 1 if there are others.
What a run has found out is kept in $B/mutants, for as long as neither library
nor tests change: so one that was interrupted can go on.
"""
import concurrent.futures
import functools
import hashlib
import os
import pathlib
import shutil
import subprocess
import sys
import time

from places import KINDS, by_lot, places

ROOT = pathlib.Path(__file__).resolve().parents[2]
B = (ROOT / os.environ.get('B', 'build')).resolve()
FOLDER = B / 'mutants'
COMPILE = ['cc', '-std=c99', '-w', '-I', str(ROOT), '-fPIC']
# Tests wait most of the time.
JOBS = int(os.environ.get('JOBS', 2 * (os.cpu_count() or 1)))
# A test has a loopback of its own: so any number may run at a time.
ALONE = ['unshare', '-n', 'sh', '-c', 'ip link set lo up && exec "$0"']

NOTICED, EQUIVALENT, SURVIVES = 'noticed', 'equivalent', 'not noticed'


def build(source, folder):
    """Makes a folder with a shared object of `source`, in which tests find all
    that they need.  Returns the bytes of the object file."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / 'certs').symlink_to(FOLDER / 'certs')
    (folder / 'heartbeat.c').write_text(source)
    subprocess.run(COMPILE + ['-O2', '-c', 'heartbeat.c'], cwd=folder,
                   check=True)
    link(folder / 'heartbeat.o', folder)
    return (folder / 'heartbeat.o').read_bytes()


def link(built, folder, options=()):
    """Makes the shared object heartbeat.so in a folder."""
    subprocess.run(['cc', '-shared', '-Wl,-soname,heartbeat.so', *options,
                    '-o', str(folder / 'heartbeat.so'), str(built),
                    '-lbearssl'], check=True)


def compiles(source):
    return subprocess.run(COMPILE + ['-fsyntax-only', '-xc', '-'],
                          input=source.encode(), stderr=subprocess.DEVNULL,
                          cwd=ROOT).returncode == 0


def build_tests():
    """Once: a shared object stands where make expects heartbeat.o."""
    shutil.copy(FOLDER / 'original/heartbeat.so', FOLDER / 'heartbeat.o')
    subprocess.run(['make', '-s', f'-j{os.cpu_count()}', '-C', str(ROOT),
                    f'B={FOLDER}', 'programs'], check=True)
    return [test for kind in ('unit', 'command', 'network')
            for test in sorted((FOLDER / kind).iterdir())]


@functools.cache
def answered_by(test):
    """The calls of BearSSL's that this test answers in its place."""
    symbols = subprocess.run(['nm', '-D', '--defined-only', str(test)],
                             stdout=subprocess.PIPE, text=True,
                             check=True).stdout.split()
    return [s[len('__wrap_'):] for s in symbols if s.startswith('__wrap_')]


def library_for(test, folder):
    """The folder of the shared object that this test needs."""
    calls = answered_by(test)
    if not calls:
        return folder
    own = folder / test.name
    own.mkdir(exist_ok=True)
    link(folder / 'heartbeat.o', own, [f'-Wl,--wrap={c}' for c in calls])
    return own


def passes(test, folder, limit_s):
    """Whether a test passes with the library in this folder."""
    environment = dict(os.environ, B=str(folder),
                       LD_LIBRARY_PATH=str(library_for(test, folder)))
    process = subprocess.Popen(
        ALONE + [str(test)], cwd=ROOT, env=environment, start_new_session=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL)
    try:
        return process.wait(limit_s) == 0
    except subprocess.TimeoutExpired:
        return False
    finally:
        end_group(process)


def end_group(process):
    """Ends what a test has left, too."""
    try:
        os.killpg(process.pid, 9)
    except ProcessLookupError:
        pass
    process.wait()


def seconds_of(test):
    """How long a test takes with the library as it is, which must pass."""
    start = time.monotonic()
    if not passes(test, FOLDER / 'original', 900):
        sys.exit(f'{test} fails without any change')
    return time.monotonic() - start


def digest():
    """Of all that a verdict depends on."""
    files = [ROOT / 'heartbeat.c', ROOT / 'heartbeat.h', ROOT / 'Makefile']
    for folder in ('unit', 'command', 'network', 'mutants'):
        files += sorted((ROOT / 'tests' / folder).glob('*.[chp]*'))
    files += sorted((ROOT / 'examples/lucit-heartbeat').glob('*.[ch]'))
    return hashlib.sha256(b''.join(f.read_bytes() for f in files)).hexdigest()


class Verdicts(dict):
    """By name; each is written to a file at once, and found there again."""

    def __init__(self):
        self.path = FOLDER / f'verdicts-{digest()[:16]}'
        if self.path.exists():
            for line in self.path.read_text().splitlines():
                verdict, name = line.split('\t', 1)
                self[name] = verdict

    def add(self, place, verdict):
        self[place.name] = verdict
        with self.path.open('a') as file:
            file.write(f'{verdict}\t{place.name}\n')


class Jury:
    """The tests, and which of them are likely to notice a change."""

    def __init__(self, source):
        self.source = source
        self.original = build(source, FOLDER / 'original')
        tests = build_tests()
        with concurrent.futures.ThreadPoolExecutor(JOBS) as pool:
            self.seconds = dict(zip(tests, pool.map(seconds_of, tests)))
        self.order = {}  # by section

    def judge(self, place):
        changed = apply(self.source, place)
        folder = FOLDER / hashlib.sha256(place.name.encode()).hexdigest()[:16]
        try:
            if build(changed, folder) == self.original:
                return EQUIVALENT
            return NOTICED if self.notices(place, folder) else SURVIVES
        finally:
            shutil.rmtree(folder)

    def notices(self, place, folder):
        """Quick tests come first, and before them those that have noticed
        another change in the same section."""
        quick_first = sorted(self.seconds, key=self.seconds.get)
        order = self.order.setdefault(place.section, quick_first)
        for test in list(order):
            if not passes(test, folder, 30 + 10 * self.seconds[test]):
                order.remove(test)
                order.insert(0, test)
                return True
        return False


def apply(source, place):
    return source[:place.start] + place.after + source[place.end:]


def draw(source, count, text):
    """As many of each kind, of those that compile."""
    found = [p for p in by_lot(places(source)) if text in p.name]
    drawn = []
    for number, kind in enumerate(KINDS):
        wanted = (count + number) // len(KINDS)
        fit = (p for p in found
               if p.kind == kind and compiles(apply(source, p)))
        drawn += [p for p, _ in zip(fit, range(wanted))]
    return sorted(drawn, key=lambda p: p.start)


def known_survivors():
    lines = (ROOT / 'tests/mutants/survivors').read_text().splitlines()
    return {line for line in lines if line and not line.startswith('#')}


def main():
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 300
    text = sys.argv[2] if len(sys.argv) > 2 else ''
    source = (ROOT / 'heartbeat.c').read_text()
    known = known_survivors()
    FOLDER.mkdir(parents=True, exist_ok=True)
    drawn = draw(source, count, text)
    verdicts = Verdicts()
    jury = Jury(source)

    def judge(place):
        if place.name not in verdicts:
            verdicts.add(place, jury.judge(place))
        if verdicts[place.name] == SURVIVES:
            note = ' (known)' if place.name in known else ''
            print(f'heartbeat.c:{place.line}: {place.name}{note}', flush=True)

    with concurrent.futures.ThreadPoolExecutor(JOBS) as pool:
        list(pool.map(judge, by_lot(drawn)))

    survivors = {p.name for p in drawn if verdicts[p.name] == SURVIVES}
    for name in sorted(known & {p.name for p in drawn} - survivors):
        print(f'is noticed now, and still in tests/mutants/survivors: {name}')
    counts = [sum(verdicts[p.name] == verdict for p in drawn)
              for verdict in (NOTICED, EQUIVALENT, SURVIVES)]
    print('%d mutants: %d noticed, %d equivalent, %d not noticed' %
          (len(drawn), *counts))
    sys.exit(1 if survivors - known else 0)


main()
