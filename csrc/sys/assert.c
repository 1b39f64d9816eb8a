/* What an assertion does when it fails. */
#include "sys/assert.h"

#ifdef NP_DEBUG
#include <stdio.h>
#include <stdlib.h>

void np_assert_failed(const char *file, int line, const char *condition)
{
    fprintf(stderr, "netpoll: assertion %s:%d: %s\n", file, line, condition);
    abort();
}
#endif
