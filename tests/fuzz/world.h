/*
 * The machine that the client of a fuzzer runs on: its clock, sockets, files
 * and randomness, all of them virtual.  Every system call of the library's
 * (tests/network/syscalls.h) is answered here while world_enter() holds.
 *
 * Nothing is left to chance: what a run does follows from its input alone.  The
 * clock moves only where somebody waits.  Who waits lets the other side act,
 * one act at a time, until there is something to see or no act is left; then
 * the time of the wait passes.
 */
#ifndef WORLD_H
#define WORLD_H

#include "../network/syscalls.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Three tries at nameservers, and a file that is read: the library has no more
 * descriptors open at a time. */
enum { DESCRIPTORS = 4, FIRST_DESCRIPTOR = 1000 };

/* When the world begins, by its two clocks. */
#define WORLD_BEGINS_MS INT64_C(86400000)
#define WORLD_BEGINS_S INT64_C(1767744919) /* 2026-01-07T00:15:19Z */

/* What the next connect() comes to. */
enum connecting {
  CONNECTS_SOON, /* EINPROGRESS, and poll() finds it done */
  CONNECTS_AT_ONCE,
  CONNECTS_SLOWLY, /* after a second and a half */
  IS_INTERRUPTED,  /* EINTR, and goes on */
  IS_REFUSED,      /* EINPROGRESS, and then ECONNREFUSED */
  IS_UNREACHABLE,  /* ENETUNREACH at once */
  NEVER_CONNECTS,
  CONNECTINGS
};

/* What the client's side hears of the other one. */
struct other_side {
  /* Does one thing; false where there is nothing left to do. */
  bool (*act)(void);

  /* A socket is connected. */
  void (*meets)(int fd, int type, uint16_t port);

  /* Bytes, or a datagram, come from the client. */
  void (*hears)(int fd, int type, const void *bytes, size_t size);

  /* The client has closed a socket. */
  void (*leaves)(int fd);
};

/* ---- The world as a whole ---- */

/* Begins a new one. */
void world_begin(const struct other_side *other, uint32_t seed);

/* From here on / no longer, the process lives in it. */
void world_enter(void);
void world_leave(void);

/* The text of a file; there are two, which must stay in place. */
void world_write_file(const char *path, const void *text, size_t size);

/* Descriptors that are open now. */
unsigned world_open_count(void);

/* A sum of every call, and of what came of it. */
uint64_t world_digest(void);

/* Bytes that look random, from the seed. */
void world_random(void *bytes, size_t size);

/* Aborts where one of these secrets goes out in clear; each has its NUL, an
 * empty one ends the list. */
void world_watch_for(const char *secrets);

/* Whether bytes hold any of these secrets. */
bool world_is_secret(const void *bytes, size_t size);

/* Something has happened: whoever goes round in circles starts anew. */
void world_note_progress(void);

/* ---- Time ---- */

int64_t world_now_ms(void);

/* The clock jumps: a process that was not scheduled, a machine that slept.  How
 * much of the time was taken so is counted. */
void world_jump_ms(int64_t ms);
int64_t world_jumped_ms(void);

/* Sets the system's clock. */
void world_set_clock_s(int64_t unix_s);

/* Who waits now waits for so long first. */
void world_idle_ms(int64_t ms);

/* poll(2) for one descriptor; -1 where it was told to stop. */
int world_wait(int fd, short events, int timeout_ms);
void world_stop_waiting(void);

/* ---- What happens to sockets and calls ---- */

void world_deliver(int fd, const void *bytes, size_t size);

/* What is delivered from here on is seen only once it is released. */
void world_hold(int fd);
bool world_holds(int fd);
void world_release(int fd);

/* Nothing is held, and the socket takes any number of bytes. */
void world_free(int fd);

/* The other side ends the connection / breaks it, with this errno. */
void world_end(int fd);
void world_break(int fd, int error);

/* The socket takes so many bytes more; SIZE_MAX: any number. */
void world_set_room(int fd, size_t room);

/* One read or write moves so many bytes at most; 0: any number. */
void world_limit_reads(size_t most);
void world_limit_writes(size_t most);

/* The next `count` calls of this name fail; but none says falsely that there is
 * nothing to be read where it only looks whether there is. */
void world_fail(enum call_name name, int error, unsigned count);

/* What the next connections come to; behind them, they connect soon. */
void world_next_connecting(enum connecting next);

/* No randomness: the kernel's, and what BearSSL finds without it. */
void world_take_randomness(void);

#endif
