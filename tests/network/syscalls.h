/*
 * The system calls that the library makes.  Functions of the same names as the
 * C library's stand before its own, and hand every call, as a value, to a
 * function of the test's, which may look at it, change it, make it, or say
 * what came of it without making it.  Parts of a test may each see to calls of
 * another name.
 *
 * The calls of the test itself, and of servers that it starts, go the same
 * way: so the test's function knows when it is the library that calls.
 */
#ifndef SYSCALLS_H
#define SYSCALLS_H

#include <poll.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>

enum call_name {
  CALL_SOCKET,
  CALL_CONNECT,
  CALL_POLL,
  CALL_GETSOCKOPT,
  CALL_SETSOCKOPT,
  CALL_GETPEERNAME,
  CALL_SEND,
  CALL_SENDMSG,
  CALL_RECV,
  CALL_READV,
  CALL_OPEN,
  CALL_READ,
  CALL_CLOSE,
  CALL_CLOCK,
  CALL_TIME,
  CALL_RANDOM,
  CALL_IFINDEX,
  CALLS
};

/* The functions' names in C. */
extern const char *const call_names[CALLS];

/* A call, its arguments, and its result. */
struct call {
  enum call_name name;
  int fd;
  union {
    struct {
      int family, type, protocol;
    } socket;
    struct {
      const struct sockaddr *address;
      socklen_t size;
    } connect;
    struct {
      struct pollfd *list;
      nfds_t count;
      int timeout_ms;
    } poll;
    struct {
      int level, option;
      void *value; /* setsockopt() does not change it */
      socklen_t *size;
    } option;
    struct {
      struct sockaddr *address;
      socklen_t *size;
    } getpeername;
    /* Of send(), sendmsg(), recv() and readv(); the first two change none. */
    struct {
      struct msghdr header;
      int flags;
    } message;
    struct {
      const char *path;
      int flags, mode;
    } open;
    /* Of read() and getrandom(). */
    struct {
      void *bytes;
      size_t size;
      unsigned flags;
    } fill;
    struct {
      clockid_t id;
      struct timespec *now;
    } clock;
    struct {
      const char *name;
    } interface;
  } in;
  int64_t result; /* -1, with errno; if_nametoindex() has 0 for that */
};

/* From now on this function sees to all calls; NULL: they are just made. */
void syscalls_go_through(void (*see_to)(struct call *call));

/* The same for calls of one name alone. */
void call_goes_through(enum call_name name, void (*see_to)(struct call *call));

/* Makes the call, and sets its result. */
void make_call(struct call *call);

/* In place of making it: fails for this reason. */
void fail_call(struct call *call, int reason);

#endif
