# make            the library's object file and the examples
# make demo       a stand-in server, three heartbeats, the instructions
# make test       all tests, with one compiler
# make check      all tests in all builds, and the analysers: lint, test, clang,
#                 sanitized, m32, memcheck, and some of what follows
# make fuzz       the FUZZERS for some seconds each
# make fuzz-long  the FUZZERS (all), for FUZZ_SECONDS (600) each
# make mutants    changes of heartbeat.c that no test notices, of MUTANTS (300)
# make fleet      a million devices for a day, simulated
# make pictures   the client's states and an instruction's life, drawn
# make proof      no input makes parts of heartbeat.c do what is undefined
# make mcdc       lines of heartbeat.c that the C tests reach, and conditions
#                 that they show to decide
# make bench      what a heartbeat and its parts cost, beside libcurl, OpenSSL,
#                 mbedTLS and others; needs what tests/bench/run names
# make stack      bytes of stack that each call takes, and a heartbeat
# make stacks     the same on other MACHINES, emulated
# make machines   the unit tests and heartbeats on other MACHINES, emulated
# make static     the command as one static program, by musl
# make hooks-test the sample hooks under systemd, in a Debian that mmdebstrap
#                 makes
# make size       bytes of code here and on these MACHINES, and of each feature
# make sbom       the bill of materials, CycloneDX: $B/heartbeat.cdx.json
# make install    the command, its manual, its service and samples; uninstall
# make deb        the same as a package of Debian
# make deb-test   that package in a fresh Debian: debootstrap, systemd-container
#
# PREFIX=DIR      where to install (/usr/local); DESTDIR=DIR: in front of all
# BEARSSL=DIR     a BearSSL tree (inc/, build/libbearssl.a) instead of the
#                 system's
# SUITE=DIR       a JSONTestSuite, for make suite
# B=DIR           the folder to build in; CC, CFLAGS, LDFLAGS as ever

B = build
CFLAGS = -O2 -g
WARN = -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Wstrict-prototypes \
       -Werror
ifdef BEARSSL
BR_INC = -isystem $(BEARSSL)/inc
BR_LIB = $(BEARSSL)/build/libbearssl.a
else
BR_LIB = -lbearssl
endif
COMPILE = $(CC) -std=c99 $(WARN) $(BR_INC) $(CFLAGS) -I.
# Scripts compile against it and link it, too.
export BR_INC BR_LIB

EXAMPLES = $B/once $B/anchors $B/lucit-heartbeat $B/lucitd $B/own_transport
UNIT = $(patsubst tests/unit/%.c,$B/unit/%,$(wildcard tests/unit/*.c)) \
       $B/command/parts
# Those that are no tests, but parts of several.
SHARED = peer loopback relay nameserver syscalls failures virtual
NETWORK = $(patsubst tests/network/%.c,$B/network/%,\
          $(filter-out $(SHARED:%=tests/network/%.c),\
            $(wildcard tests/network/*.c)))
# Those that are parts of one.
FUZZED = world server
FUZZERS = $(filter-out $(FUZZED),\
          $(patsubst tests/fuzz/%.c,%,$(wildcard tests/fuzz/*.c)))
SCRIPTS = $(addprefix tests/,install.sh manual.sh readme.sh sbom.sh) \
          $(wildcard tests/peers/*.sh)
COMMAND = $(wildcard examples/lucit-heartbeat/*.c)
PROGRAMS = $(wildcard examples/*.c) $(COMMAND)
SOURCES = heartbeat.h heartbeat.c $(PROGRAMS) \
          $(wildcard examples/*/*.h tests/*/*.[ch] tests/bench/peers/*.[ch])

all: $B/heartbeat.o $(EXAMPLES)

$B/heartbeat.o: heartbeat.c heartbeat.h
	@mkdir -p $(@D)
	$(COMPILE) -c -o $@ heartbeat.c

$B/codec.o: heartbeat.c heartbeat.h
	@mkdir -p $(@D)
	$(COMPILE) -DHBEAT_NO_NET -c -o $@ heartbeat.c

$B/own_transport: examples/own_transport.c $B/codec.o
	$(COMPILE) -DHBEAT_NO_NET -o $@ $^ $(LDFLAGS)

$B/lucit-heartbeat: $(COMMAND) examples/lucit-heartbeat/daemon.h $B/heartbeat.o
	$(COMPILE) -o $@ $(filter %.c %.o,$^) $(LDFLAGS) $(BR_LIB)

$B/%: examples/%.c $B/heartbeat.o
	$(COMPILE) -o $@ $^ $(LDFLAGS) $(BR_LIB)

# ---- Tests ----

$B/unit/%: tests/unit/%.c tests/unit/cases.h $B/heartbeat.o
	@mkdir -p $(@D)
	$(COMPILE) -o $@ $(filter %.c %.o,$^) $(LDFLAGS) $(WRAPPED:%=-Wl,--wrap=%) \
	    -lcmocka $(BR_LIB)

# Calls of BearSSL's that the test answers in its place.
$B/unit/client: WRAPPED = br_prng_seeder_system br_x509_minimal_init \
                          br_aes_x86ni_ctr_get_vtable br_ghash_pclmul_get

MEMORY_TESTS = $B/unit/memory $B/unit/memory_life
$(MEMORY_TESTS): $(wildcard tests/unit/memory_*.h)

# The command without its main().
PARTS = $(filter-out %/main.c,$(COMMAND))

$B/command/%: tests/command/%.c tests/unit/cases.h $(PARTS) \
              examples/lucit-heartbeat/daemon.h $B/heartbeat.o
	@mkdir -p $(@D)
	$(COMPILE) -o $@ $(filter %.c %.o,$^) $(LDFLAGS) -lcmocka $(BR_LIB)

# The two ends of every network test, and what servers are made of.
ENDS = $(addprefix tests/network/,peer.c peer.h loopback.c loopback.h)

$B/network/%: tests/network/%.c $(ENDS) $B/heartbeat.o
	@mkdir -p $(@D)
	$(COMPILE) -o $@ $(filter %.c %.o,$^) $(LDFLAGS) -lcmocka $(BR_LIB)

# What a test links beside them; their headers say what each is.
NAMED = addresses answers files resolve slow walk
TIMED = $(NAMED) proxy tls
RELAYED = clock idle proxy slow walk
INTERPOSED = $(TIMED) clock faults idle kept session
FAILING = walk
WITH = $(patsubst %,tests/network/%.c,$1) $(patsubst %,tests/network/%.h,$1)
$(NAMED:%=$B/network/%): $(call WITH,nameserver)
$(TIMED:%=$B/network/%): $(call WITH,virtual)
$(RELAYED:%=$B/network/%): $(call WITH,relay)
$(INTERPOSED:%=$B/network/%): $(call WITH,syscalls)
$(FAILING:%=$B/network/%): $(call WITH,failures)

$B/fuzz/memory: tests/unit/memory_rules.h

# Each is the library, too.
$B/fuzz/%: tests/fuzz/%.c tests/fuzz/fuzz.h heartbeat.c heartbeat.h
	@mkdir -p $(@D)
	clang -std=c99 $(WARN) $(BR_INC) -O1 -g -fsanitize=fuzzer $(SANITIZE) \
	    -I. -o $@ $(filter %.c,$(filter-out heartbeat.c,$^)) $(LDFLAGS) \
	    $(FUZZ_LIB) $(BR_LIB)

$B/fuzz/chain: FUZZ_LIB = -lcrypto
$B/fuzz/chain $B/fuzz/client: tests/fuzz/certs.h

# The client's world, and who it meets there.
$B/fuzz/client: $(FUZZED:%=tests/fuzz/%.c) $(FUZZED:%=tests/fuzz/%.h) \
                $(call WITH,syscalls)

$B/jsonsuite: tests/vectors/jsonsuite.c $B/codec.o
	$(COMPILE) -DHBEAT_NO_NET -o $@ $^ $(LDFLAGS)

# Keys and certificates for tests and demo: the script says what each is for.
$B/certs/made: tests/certs
	tests/certs $B/certs >/dev/null
	touch $@

demo: all $B/certs/made
	examples/demo $B

programs: all $(UNIT) $(NETWORK) $B/certs/made

test: programs
	B=$B tests/run $(UNIT) $(NETWORK) tests/runner.sh tests/build.sh $(SCRIPTS)

suite: $B/jsonsuite
	ARGUMENT=$(SUITE) tests/run $B/jsonsuite

# ---- Every build ----

SANITIZE = -fsanitize=address,undefined -fno-sanitize-recover=all

# The scripts run with clang's code in the next one.
clang:
	$(MAKE) B=$B/clang CC=clang programs
	CC=clang B=$B/clang tests/run $(UNIT:$B/%=$B/clang/%) \
	    $(NETWORK:$B/%=$B/clang/%) tests/build.sh

sanitized:
	$(MAKE) B=$B/sanitized CC=clang CFLAGS="-O1 -g $(SANITIZE)" programs
	B=$B/sanitized tests/run $(UNIT:$B/%=$B/sanitized/%) \
	    $(NETWORK:$B/%=$B/sanitized/%) $(SCRIPTS)

# On Debian, 64 bits: fetches the 32-bit libraries to where it builds.
$B/lib32/made: tests/lib32
	tests/lib32 $B/lib32 >/dev/null
	touch $@

LIB32 = $(abspath $B)/lib32/usr/lib/i386-linux-gnu

# gcc-12-multilib does not find the headers in this folder by itself, as
# gcc-multilib does; but that one cannot be installed beside the compilers of
# other machines.
M32 = -m32 -idirafter /usr/include/x86_64-linux-gnu

m32: $B/lib32/made
	$(MAKE) B=$B/m32 CFLAGS="-O2 -g $(M32)" \
	    LDFLAGS="-L$(LIB32) -Wl,-rpath,$(LIB32)" programs
	B=$B/m32 tests/run $(UNIT:$B/%=$B/m32/%) $(NETWORK:$B/%=$B/m32/%)

memcheck: programs
	WRAP="valgrind -q --error-exitcode=9 --leak-check=full" B=$B \
	    tests/run $(UNIT) $(NETWORK)

# ---- Other machines ----

# For the scripts below, which call it with another machine's compiler, and an
# emulator in WRAP.
units: all $(UNIT)
	tests/run $(UNIT)

# On Debian: fetches the sources of BearSSL and cmocka to where it builds.
$B/machines/sources/made: tests/machines/sources
	tests/machines/sources $(@D) >/dev/null
	touch $@

# What is installed of these; the others are skipped, each with its name.
MACHINES = armhf arm64 i386 mipsel riscv64 s390x

machines: all $B/certs/made $B/machines/sources/made
	+B=$B tests/machines/run $(MACHINES)

# By musl, whose headers are stricter than glibc's: a warning is an error here,
# too.
STATIC = CC=musl-gcc BEARSSL=$B/static/bearssl \
         CFLAGS="-Os -ffunction-sections -isystem $B/static/cmocka" \
         LDFLAGS="-static -Wl,--gc-sections -L$B/static/cmocka"

static: all $B/certs/made $B/machines/sources/made
	+tests/machines/libraries $B/machines/sources $B/static musl-gcc ar
	$(MAKE) B=$B/static $(STATIC) units
	B=$B PROGRAMS=$B/static tests/run tests/machines/static.sh

# Boots a small Debian in namespaces.
hooks-test: all $B/certs/made
	B=$B tests/run tests/systemd/hooks.sh

# Long replies, too, split at every byte.
splits: $B/unit/http
	EVERY_SPLIT=1 tests/run $B/unit/http

# An input that finds a fault stays in $B/fuzz.
fuzz: $(FUZZERS:%=$B/fuzz/%) $B/certs/made
	FUZZERS="$(FUZZERS)" B=$B tests/run tests/fuzz/fuzz.sh

FUZZ_SECONDS = 600

# Adds to tests/fuzz/executions.
fuzz-long: $(FUZZERS:%=$B/fuzz/%) $B/certs/made
	TIME_LIMIT=0 FUZZ_SECONDS=$(FUZZ_SECONDS) FUZZERS="$(FUZZERS)" B=$B \
	    tests/run tests/fuzz/fuzz.sh

$B/fleet: tests/fleet/fleet.c $B/codec.o
	$(COMPILE) -DHBEAT_NO_NET -o $@ $^ $(LDFLAGS)

# The drawing in the tree is what it draws now.
fleet: $B/fleet
	ARGUMENT=$B/fleet.svg tests/run $B/fleet
	cmp $B/fleet.svg tests/fleet/fleet.svg

# Each is the library, too.  What the first one sees, it sees at the ends of the
# library's functions.
$B/pictures/%.o: tests/pictures/%.c tests/pictures/draw.h heartbeat.c \
                 heartbeat.h tests/fuzz/client.c $(wildcard tests/fuzz/*.h)
	@mkdir -p $(@D)
	clang -std=c99 $(WARN) $(BR_INC) -O1 -I. $(SEEN) -c -o $@ $<

$B/pictures/client.o: SEEN = -finstrument-functions

$B/pictures/client: $B/pictures/client.o $(FUZZED:%=tests/fuzz/%.c) \
                    $(call WITH,syscalls)
	clang -std=c99 $(WARN) $(BR_INC) -O1 -I. -o $@ $(filter %.c %.o,$^) \
	    $(LDFLAGS) $(BR_LIB)

$B/pictures/memory: $B/pictures/memory.o
	clang -o $@ $^ $(LDFLAGS)

# The drawings in the tree are what they draw now.
pictures: $B/pictures/client $B/pictures/memory $B/certs/made
	B=$B ARGUMENT=$B/pictures tests/run $B/pictures/client $B/pictures/memory
	cmp $B/pictures/client.svg tests/pictures/client.svg
	cmp $B/pictures/memory.svg tests/pictures/memory.svg

MUTANTS = 300

# What of heartbeat.c the C tests would not miss; takes an hour or two.
mutants:
	B=$B tests/mutants/mutants.py $(MUTANTS)

# Needs Frama-C (Debian's frama-c-base), Why3 and CVC4.
proof:
	B=$B tests/proof/run

# Which lines of heartbeat.c the C tests reach, and which of its conditions they
# show to decide (MC/DC): all but those in tests/mcdc/undecided.  Needs clang-19,
# llvm-19 and libclang-rt-19-dev.  Only heartbeat.c is measured; programs, and
# their children, add to one file (%m), one at a time.
MCDC = -fprofile-instr-generate -fcoverage-mapping -fcoverage-mcdc
MCDC_EXPORT = llvm-cov-19 export -instr-profile $B/mcdc/profile $B/mcdc/once

mcdc:
	$(MAKE) B=$B/mcdc CC=clang-19 CFLAGS="-O1 -g $(MCDC)" \
	    $B/mcdc/heartbeat.o $B/mcdc/codec.o
	$(MAKE) B=$B/mcdc CC=clang-19 CFLAGS="-O0 -g" \
	    LDFLAGS=-fprofile-instr-generate programs
	rm -rf $B/mcdc/raw
	LLVM_PROFILE_FILE=$(abspath $B)/mcdc/raw/%m.profraw B=$B/mcdc tests/run \
	    $(UNIT:$B/%=$B/mcdc/%) $(NETWORK:$B/%=$B/mcdc/%)
	llvm-profdata-19 merge -o $B/mcdc/profile $B/mcdc/raw/*.profraw
	$(MCDC_EXPORT) -format=text >$B/mcdc/conditions
	$(MCDC_EXPORT) -format=lcov >$B/mcdc/lines
	ARGUMENT="$B/mcdc/conditions $B/mcdc/lines tests/mcdc/undecided" \
	    tests/run tests/mcdc/report.py

# What the makers of firmware ask of code that they take in.
STRICT = -Wswitch-enum -Wimplicit-fallthrough -Wundef -Wvla
STRICT_GCC = $(STRICT) -Wlogical-op -Wcast-align=strict
STRICT_CLANG = $(STRICT) -Wcast-align -Weverything -Wno-padded \
               -Wno-declaration-after-statement -Wno-covered-switch-default \
               -Wno-switch-default -Wno-unsafe-buffer-usage
TIDY = clang-tidy-19 --quiet

lint:
	clang-format --dry-run -Werror $(SOURCES)
	for part in -UHBEAT_NO_NET -DHBEAT_NO_NET; do \
	    for size in -O2 -Os; do \
	        gcc -std=c99 $(WARN) $(STRICT_GCC) $$size -fanalyzer $$part -I. \
	            -c -o /dev/null heartbeat.c || exit 1; \
	    done; \
	    clang-19 -std=c99 $(WARN) $(STRICT_CLANG) $$part -I. \
	        -c -o /dev/null heartbeat.c || exit 1; \
	done
	clang-19 -std=c99 $(WARN) $(STRICT_CLANG) -Wno-unused-macros -I. -x c \
	    -fsyntax-only heartbeat.h
	for f in $(PROGRAMS); do \
	    gcc -std=c99 $(WARN) -O2 -fanalyzer -I. -c -o /dev/null $$f || exit 1; \
	done
	for f in heartbeat.c $(COMMAND); do \
	    $(TIDY) $$f -- -std=c99 -I. || exit 1; \
	done
	for f in $(wildcard examples/*.c); do \
	    $(TIDY) --config='{}' --warnings-as-errors='*' $$f -- -std=c99 -I. || \
	        exit 1; \
	done
	cppcheck --quiet --std=c99 --enable=warning,style,performance,portability \
	    --error-exitcode=1 -U__has_include -I. heartbeat.c $(PROGRAMS)
	g++ -std=c++11 $(filter-out -Wstrict-prototypes,$(WARN)) -x c++ \
	    -fsyntax-only heartbeat.h
	clang++ -std=c++11 -Wall -Wextra -Wpedantic -Werror -x c++ \
	    -fsyntax-only heartbeat.h

check: lint test splits fuzz fleet pictures clang sanitized m32 memcheck stack

# Some rows of its second table, instead of all of both.
ROWS =

bench: all $B/codec.o $B/certs/made
	CC="$(CC)" COMPILE="$(COMPILE)" tests/bench/run $B $(ROWS)

# Those of README's figures.
STACK_FLAGS = -Os
OBJCOPY = objcopy

$B/stack/heartbeat.o: heartbeat.c heartbeat.h
	@mkdir -p $(@D)
	$(COMPILE) $(STACK_FLAGS) -c -o $@ heartbeat.c

# What stands before the C library's functions is nobody else's in here, or
# else it would be measured in their place.  (__x86: how i386 finds its code.)
$B/stack/syscalls.o: $(call WITH,syscalls)
	@mkdir -p $(@D)
	$(COMPILE) -c -o $@ tests/network/syscalls.c
	$(OBJCOPY) -w -G '*_call' -G '*_go_through' -G '*_goes_through' \
	    -G '__x86.*' $@

$B/stack/stack: tests/bench/stack.c $(ENDS) $(call WITH,nameserver virtual) \
                $B/stack/syscalls.o $B/stack/heartbeat.o
	$(COMPILE) -o $@ $(filter %.c %.o,$^) $(LDFLAGS) -Wl,-z,now -lcmocka \
	    $(BR_LIB)

stack: $B/stack/stack $B/certs/made
	B=$B tests/run $B/stack/stack

stacks: all $B/certs/made $B/machines/sources/made
	+B=$B tests/machines/run --stack $(MACHINES)

size: $B/machines/sources/made
	+B=$B tests/bench/size $(MACHINES)

sbom:
	@mkdir -p $B
	tests/sbom >$B/heartbeat.cdx.json

# ---- Installation ----

PREFIX = /usr/local

# Where systemd looks: below those of its own, or in /etc.
SYSTEMD = $(if $(filter-out /usr /usr/local,$(PREFIX)),/etc/systemd/system,$\
            $(PREFIX)/lib/systemd/system)
FROM = examples/lucit-heartbeat
TO_BIN = $(DESTDIR)$(PREFIX)/bin
TO_MAN = $(DESTDIR)$(PREFIX)/share/man/man8
TO_DOC = $(DESTDIR)$(PREFIX)/share/doc/lucit-heartbeat
TO_SYSTEMD = $(DESTDIR)$(SYSTEMD)
CONF = $(DESTDIR)/etc/lucit-heartbeat.conf
SECRET = $(DESTDIR)/etc/lucit-heartbeat/secret
KEPT = $(DESTDIR)/var/lib/lucit-heartbeat

# Configuration, secret and what the service keeps: what is there stays.
install: $B/lucit-heartbeat
	sed 's,/usr/bin/,$(PREFIX)/bin/,' $(FROM)/lucit-heartbeat.service \
	    >$B/lucit-heartbeat.service
	install -d $(TO_BIN) $(TO_MAN) $(TO_SYSTEMD) $(TO_DOC)/examples \
	    $(DESTDIR)/etc/lucit-heartbeat/hooks
	install $B/lucit-heartbeat $(TO_BIN)
	install -m 644 $(FROM)/lucit-heartbeat.8 $(TO_MAN)
	install -m 644 $B/lucit-heartbeat.service $(TO_SYSTEMD)
	install -m 644 LICENSE $(TO_DOC)/copyright
	cp -R $(FROM)/lucit-heartbeat.conf $(wildcard $(FROM)/hooks) \
	    $(TO_DOC)/examples
	chmod -R u=rwX,go=rX $(TO_DOC)/examples
	[ -e $(CONF) ] || install -m 644 $(FROM)/lucit-heartbeat.conf $(CONF)
	[ -e $(SECRET) ] || install -m 600 /dev/null $(SECRET)
	[ -e $(KEPT) ] || install -d -m 700 $(KEPT)

uninstall:
	rm -f $(TO_BIN)/lucit-heartbeat $(TO_MAN)/lucit-heartbeat.8 \
	    $(TO_SYSTEMD)/lucit-heartbeat.service
	rm -rf $(TO_DOC)
	! cmp -s $(FROM)/lucit-heartbeat.conf $(CONF) || rm $(CONF)
	[ -s $(SECRET) ] || rm -f $(SECRET)
	-rmdir $(DESTDIR)/etc/lucit-heartbeat/hooks $(DESTDIR)/etc/lucit-heartbeat \
	    $(KEPT)

# -Wdate-time is left out: the day of the build is a floor of the clock.
BUILD_FLAGS = DEB_BUILD_MAINT_OPTIONS='hardening=+all reproducible=-timeless' \
              dpkg-buildflags --get
DEB_CFLAGS = $(shell $(BUILD_FLAGS) CPPFLAGS) $(shell $(BUILD_FLAGS) CFLAGS)
DEB_LDFLAGS = $(shell $(BUILD_FLAGS) LDFLAGS)

deb:
	rm -rf $B/deb/root $B/lucit-heartbeat_*.deb
	$(MAKE) B=$B/deb CFLAGS='$(DEB_CFLAGS)' LDFLAGS='$(DEB_LDFLAGS)' \
	    PREFIX=/usr DESTDIR=$(abspath $B)/deb/root install
	$(FROM)/debian/build $B/deb/root $B

deb-test: all deb $B/certs/made
	B=$B TIME_LIMIT=0 tests/run tests/package/run

clean:
	rm -rf $B

.PHONY: all demo programs test suite splits fuzz fuzz-long fleet pictures \
        clang sanitized m32 memcheck lint check bench stack units machines \
        stacks static size sbom install uninstall deb deb-test hooks-test \
        mutants proof mcdc clean
