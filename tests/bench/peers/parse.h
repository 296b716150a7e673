/* What the parsers of JSON have in common: parse.c has main(), and rows that
 * call these two. */
#ifndef PARSE_H
#define PARSE_H

#include "../rows.h"
#include "../texts.h"

/* Parses a text so many times. */
void parse(const char *text, unsigned count);

/* The same of the reference's reply, and what a player wants of it. */
void decode(unsigned count);

#endif
