# make            the library's object file and the examples
# make demo       a stand-in server, three heartbeats, the instruction
# make test       all tests, with the compiler at hand
# make check      make test in every build, the analysers, the budgets
#
# BEARSSL=DIR     a BearSSL tree (inc/, build/libbearssl.a) instead of the
#                 system's; B=DIR the folder to build in; CC, CFLAGS, LDFLAGS
B = build
CFLAGS = -O2 -g
WARN = -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Wstrict-prototypes \
       -Werror
STD = -std=c99
ifdef BEARSSL
BR_INC = -isystem $(BEARSSL)/inc
BR_LIB = $(BEARSSL)/build/libbearssl.a
else
BR_LIB = -lbearssl
endif
COMPILE = $(CC) $(STD) $(WARN) $(BR_INC) $(CFLAGS) -I.

EXAMPLES = $B/once $B/lucit-heartbeat $B/lucitd $B/own_transport
UNIT = $(patsubst tests/unit/%.c,$B/unit/%,$(wildcard tests/unit/*.c))
NETWORK = $(patsubst tests/network/%.c,$B/network/%,\
          $(filter-out tests/network/peer.c,$(wildcard tests/network/*.c)))
SCRIPTS = $(wildcard tests/peers/*.sh)

all: $B/heartbeat.o $(EXAMPLES)

$B/heartbeat.o: heartbeat.c heartbeat.h
	@mkdir -p $(@D)
	$(COMPILE) -c -o $@ heartbeat.c

$B/codec.o: heartbeat.c heartbeat.h
	@mkdir -p $(@D)
	$(COMPILE) -DHBEAT_NO_NET -c -o $@ heartbeat.c

$B/own_transport: examples/own_transport.c $B/codec.o
	$(COMPILE) -DHBEAT_NO_NET -o $@ $^ $(LDFLAGS)

$B/%: examples/%.c $B/heartbeat.o
	$(COMPILE) -o $@ $^ $(LDFLAGS) $(BR_LIB)

$B/unit/%: tests/unit/%.c $B/heartbeat.o
	@mkdir -p $(@D)
	$(COMPILE) -o $@ $^ $(LDFLAGS) -lcmocka $(BR_LIB)

$B/network/%: tests/network/%.c tests/network/peer.c tests/network/peer.h \
              $B/heartbeat.o
	@mkdir -p $(@D)
	$(COMPILE) -o $@ $(filter %.c %.o,$^) $(LDFLAGS) -lcmocka $(BR_LIB)

# Keys and certificates of the tests and the demo: see the script.
$B/certs/made: tests/certs
	tests/certs $B/certs
	touch $@

test: all $(UNIT) $(NETWORK) $B/certs/made
	B=$B tests/run $(UNIT) $(NETWORK) $(SCRIPTS)

clean:
	rm -rf $B

.PHONY: all test clean
