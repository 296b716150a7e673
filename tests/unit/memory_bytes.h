/*
 * The bytes of a memory, as formats 1 and 2 lay them out: where things are,
 * what the checksum is, and the bytes of a known life.  Nothing is asked of the
 * library: a device that is updated reads what an older build has kept.
 */
#ifndef MEMORY_BYTES_H
#define MEMORY_BYTES_H

#include "cases.h"

/* ---- Where things are --------------------------------------------------- */

enum {
  FORMAT = 2,   /* "hbeat" and the version */
  CHECKSUM = 8, /* big-endian */
  TIME = 12,    /* the server's, in Unix seconds, big-endian */
  RECORDS = 20, /* one behind the other */
  SIZE = RECORDS + 8192
};

/* Inside a record, which begins with its size; its texts follow, each with its
 * NUL: its lcuid and two more. */
enum { STATE = 2, CALL = 3, RUN_AT = 4, CREATED_AT = 12, STRINGS = 20 };

/* Of versions 0.2 and 0.3: 16 records of a fixed size, and inside each one its
 * lcuid in front. */
enum {
  OLD_RECORD = 512,
  OLD_STATE = 64,
  OLD_CALL = 65,
  OLD_RUN_AT = 66,
  OLD_STRINGS = 74
};

/* The offset of a byte of such a record, of 0 to 15. */
#define OLD_AT(record, offset) (RECORDS + (record)*OLD_RECORD + (offset))

#define AT_ONCE "\x80\0\0\0\0\0\0\0" /* for a time, HBEAT_NONE */

typedef char as_wide_as_said[sizeof(hbeat_memory) == SIZE ? 1 : -1];

/* Makes the checksum right that was changed, or is to be. */
static inline void repair(unsigned char *bytes) {
  uint32_t crc = crc_of(bytes + TIME, SIZE - TIME);

  for (int i = 0; i < 4; i++)
    bytes[CHECKSUM + i] = (unsigned char)(crc >> (24 - 8 * i));
}

/* ---- The bytes of a known life ------------------------------------------ */

/* One instruction in each state.  All other bytes are zero. */
struct golden_row {
  size_t offset;
  const char *bytes;
  size_t size;
};

/* Where its records are. */
enum {
  REPORTED_AT = RECORDS,
  ENDED_AT = REPORTED_AT + 52,
  TAKEN_AT = ENDED_AT + 48,
  WAITING_AT = TAKEN_AT + 41,
  FREE_AT = WAITING_AT + 54
};

static const struct golden_row GOLDEN[] = {
    {FORMAT, TEXT("hbeat\2")},
    {CHECKSUM, TEXT("\x92\x9A\xBA\x59")},     /* by zlib */
    {TIME, TEXT("\0\0\0\0\x69\x5D\xA5\x97")}, /* NOW */

    /* Reported: its message, which is none, and data. */
    {REPORTED_AT, TEXT("\0\x34\4\1" AT_ONCE AT_ONCE)},
    {REPORTED_AT + STRINGS, TEXT("LCUID-LDRI-1\0\0{\"exit_status\":0}")},

    /* Ended: its message and data. */
    {ENDED_AT, TEXT("\0\x30\3\2" AT_ONCE AT_ONCE)},
    {ENDED_AT + STRINGS, TEXT("LCUID-LDRI-2\0caf\xC3\xA9\0{\"a\":[]}")},

    /* Taken: its name; it has no parameters. */
    {TAKEN_AT, TEXT("\0\x29\2\0" AT_ONCE AT_ONCE)},
    {TAKEN_AT + STRINGS, TEXT("LCUID-LDRI-3\0reboot")},

    /* Waiting, for the next second, made five seconds ago: its name and
     * parameters. */
    {WAITING_AT, TEXT("\0\x36\1\0\0\0\0\0\x69\x5D\xA5\x98")},
    {WAITING_AT + CREATED_AT, TEXT("\0\0\0\0\x69\x5D\xA5\x92")},
    {WAITING_AT + STRINGS, TEXT("LCUID-LDRI-4\0reload\0[1, \"\\u00e9\"]")},
};

/* The same life, as versions 0.2 and 0.3 kept it. */
static const struct golden_row OLD_GOLDEN[] = {
    {FORMAT, TEXT("hbeat\1")},
    {CHECKSUM, TEXT("\xA5\xEC\xB8\x4F")},     /* by zlib */
    {TIME, TEXT("\0\0\0\0\x69\x5D\xA5\x97")}, /* NOW */

    /* Reported: its message, which is none, and data. */
    {OLD_AT(12, 0), TEXT("LCUID-LDRI-1")},
    {OLD_AT(12, OLD_STATE), TEXT("\4\1" AT_ONCE)},
    {OLD_AT(12, OLD_STRINGS), TEXT("\0{\"exit_status\":0}")},

    /* Ended: its message and data. */
    {OLD_AT(13, 0), TEXT("LCUID-LDRI-2")},
    {OLD_AT(13, OLD_STATE), TEXT("\3\2" AT_ONCE)},
    {OLD_AT(13, OLD_STRINGS), TEXT("caf\xC3\xA9\0{\"a\":[]}")},

    /* Taken: its name; it has no parameters. */
    {OLD_AT(14, 0), TEXT("LCUID-LDRI-3")},
    {OLD_AT(14, OLD_STATE), TEXT("\2\0" AT_ONCE)},
    {OLD_AT(14, OLD_STRINGS), TEXT("reboot")},

    /* Waiting, for the next second: its name and parameters. */
    {OLD_AT(15, 0), TEXT("LCUID-LDRI-4")},
    {OLD_AT(15, OLD_STATE), TEXT("\1\0\0\0\0\0\x69\x5D\xA5\x98")},
    {OLD_AT(15, OLD_STRINGS), TEXT("reload\0[1, \"\\u00e9\"]")},
};

static inline void put_rows(
    unsigned char *bytes, const struct golden_row *rows, size_t count) {
  for (size_t i = 0; i < count; i++)
    memcpy(bytes + rows[i].offset, rows[i].bytes, rows[i].size);
}

static inline const unsigned char *golden(void) {
  static unsigned char bytes[SIZE];

  put_rows(bytes, GOLDEN, COUNT(GOLDEN));
  return bytes;
}

static inline const unsigned char *old_golden(void) {
  static unsigned char bytes[SIZE];

  put_rows(bytes, OLD_GOLDEN, COUNT(OLD_GOLDEN));
  return bytes;
}

#endif
