/* What the fuzz targets share: the clock, which they have in their hand, and how they fail. */
#ifndef TARGET_H
#define TARGET_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

extern int64_t ref_clock; /* what np_now says */
extern const char *doing; /* the call at work */

int lowest_free_number(void);

#define AGREE(ours, theirs)                                                                        \
    do {                                                                                           \
        long long ours_ = (long long)(ours), theirs_ = (long long)(theirs);                        \
        if (ours_ != theirs_) {                                                                    \
            fprintf(stderr, "after %s: %s is %lld, the reference says %s is %lld (%s:%d)\n",       \
                    doing, #ours, ours_, #theirs, theirs_, __FILE__, __LINE__);                    \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

#endif
