/*
 * The bytes of a memory, as format 1 lays them out: where things are, what the
 * checksum is, and the bytes of a known life.  Nothing here is asked of the
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
  RECORDS = 20, /* 16 of them */
  RECORD = 512, /* bytes of one */
  SIZE = RECORDS + 16 * RECORD
};

/* Inside a record; its lcuid is in front. */
enum { STATE = 64, CALL = 65, RUN_AT = 66, STRINGS = 74 };

/* The offset of a byte of a record, of 0 to 15. */
#define AT(record, offset) (RECORDS + (record)*RECORD + (offset))

#define AT_ONCE "\x80\0\0\0\0\0\0\0" /* for a run_at, HBEAT_NONE */

typedef char as_wide_as_said[sizeof(hbeat_memory) == SIZE ? 1 : -1];

/* ---- The checksum ------------------------------------------------------- */

/* CRC-32, as zlib has it; a test holds it against a known one. */
static inline uint32_t crc_of(const unsigned char *bytes, size_t size) {
  static uint32_t table[256];
  uint32_t crc = 0xFFFFFFFF;

  for (uint32_t n = 0; table[255] == 0; n++) {
    uint32_t c = n;
    for (int bit = 0; bit < 8; bit++) c = c & 1 ? c >> 1 ^ 0xEDB88320 : c >> 1;
    table[n] = c;
  }
  while (size-- > 0) crc = table[(crc ^ *bytes++) & 0xFF] ^ crc >> 8;
  return ~crc;
}

/* Makes the checksum right that was changed, or is to be. */
static inline void repair(unsigned char *bytes) {
  uint32_t crc = crc_of(bytes + TIME, SIZE - TIME);

  for (int i = 0; i < 4; i++)
    bytes[CHECKSUM + i] = (unsigned char)(crc >> (24 - 8 * i));
}

/* ---- The bytes of a known life ------------------------------------------ */

/* One instruction in each state.  All other bytes are zero. */
static const struct golden_row {
  size_t offset;
  const char *bytes;
  size_t size;
} GOLDEN[] = {
    {FORMAT, TEXT("hbeat\1")},
    {CHECKSUM, TEXT("\xA5\xEC\xB8\x4F")},     /* by zlib */
    {TIME, TEXT("\0\0\0\0\x69\x5D\xA5\x97")}, /* NOW */

    /* Reported: its message, which is none, and data. */
    {AT(12, 0), TEXT("LCUID-LDRI-1")},
    {AT(12, STATE), TEXT("\4\1" AT_ONCE)},
    {AT(12, STRINGS), TEXT("\0{\"exit_status\":0}")},

    /* Ended: its message and data. */
    {AT(13, 0), TEXT("LCUID-LDRI-2")},
    {AT(13, STATE), TEXT("\3\2" AT_ONCE)},
    {AT(13, STRINGS), TEXT("caf\xC3\xA9\0{\"a\":[]}")},

    /* Taken: its name; it has no parameters. */
    {AT(14, 0), TEXT("LCUID-LDRI-3")},
    {AT(14, STATE), TEXT("\2\0" AT_ONCE)},
    {AT(14, STRINGS), TEXT("reboot")},

    /* Waiting, for the next second: its name and parameters. */
    {AT(15, 0), TEXT("LCUID-LDRI-4")},
    {AT(15, STATE), TEXT("\1\0\0\0\0\0\x69\x5D\xA5\x98")},
    {AT(15, STRINGS), TEXT("reload\0[1, \"\\u00e9\"]")},
};

static inline const unsigned char *golden(void) {
  static unsigned char bytes[SIZE];

  for (size_t i = 0; i < COUNT(GOLDEN); i++)
    memcpy(bytes + GOLDEN[i].offset, GOLDEN[i].bytes, GOLDEN[i].size);
  return bytes;
}

#endif
