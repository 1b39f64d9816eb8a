/* Text into a buffer that does not grow: what does not fit is cut off.  For signal handlers too. */
#ifndef NP_TEXT_H
#define NP_TEXT_H

#include <stddef.h>
#include <stdint.h>

#include "netpoll.h"

typedef struct np_text {
    char *start;
    int used, size; /* one byte of size is for a NUL */
} np_text;

void np_put(np_text *t, const char *s);
void np_put_plain(np_text *t, const char *s, size_t n); /* of another's, for a terminal */
void np_put_number(np_text *t, uint64_t n, unsigned base);
void np_put_hex(np_text *t, uintptr_t address);
void np_put_count(np_text *t, int n, const char *what);
void np_put_seconds(np_text *t, int64_t ns, int digits);

/* What is open as fd, in words. */
void np_put_fd(np_text *t, np_fd fd);

#endif
