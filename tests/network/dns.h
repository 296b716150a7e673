/*
 * A nameserver for tests that see to the client's system calls themselves
 * (syscalls.h), which those of nameserver.h do not go together with.  It has
 * one answer: 127.0.0.1 for a minute, and no IPv6.
 *
 * There is one at a time, on port 53, which takes root.
 */
#ifndef DNS_H
#define DNS_H

enum dns_way {
  DNS_DATAGRAMS,       /* answers by UDP */
  DNS_STREAMS,         /* by TCP, as by UDP there would be more to say */
  DNS_DRIPS,           /* the same, by a byte a second that is no answer */
  DNS_IS_LATE,         /* answers a try by UDP when the next one begins */
  DNS_IS_LATE_AND_CUTS /* the same, and TCP has the answer */
};

/* Starts it, and returns its address, in figures, of this process's own. */
const char *dns_start(enum dns_way way);

/* Ends it, if there is one; fits as a teardown of cmocka's. */
int dns_stop(void **state);

#endif
