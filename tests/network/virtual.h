/*
 * A virtual clock for a test and the servers in its child processes: what a
 * test sees of time is the same on a machine that is busy.
 *
 * The test's clock, and its poll(), are seen to here (syscalls.h).  The clock
 * stands still but for a millisecond a poll() that finds something, and
 * for waits in vain: where poll() finds nothing, and all servers are asleep,
 * the clock jumps to the end of the wait, or to the end of a server's nap, if
 * that is sooner.
 */
#ifndef VIRTUAL_H
#define VIRTUAL_H

#include <stdint.h>

/* Begins with it, in the process of the test, before there are servers. */
void clock_begin(void);

/* Puts the clock forward. */
void clock_skip_s(int64_t seconds);

/* Sleeps by the test's clock, in a server; without a clock_begin(), truly. */
void clock_nap_ms(int64_t ms);

/*
 * Before this time is over poll() finds nothing at the descriptor; 0: what
 * there is.  It holds for one descriptor, the last.
 */
void clock_hold_ms(int fd, int64_t ms);

/* Forgets the naps of servers that have been killed. */
void clock_forget_naps(void);

/* The calls of poll() so far that would have waited. */
unsigned clock_waits(void);

#endif
