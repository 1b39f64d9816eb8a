/* The smallest test runner: CHECK counts and reports, RUN names a test, DONE ends main. */
#ifndef CHECK_H
#define CHECK_H

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

static atomic_int check_failures, check_count;

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        check_count++;                                                                             \
        if (!(condition)) {                                                                        \
            check_failures++;                                                                      \
            fprintf(stderr, "%s:%d: %s: not true: %s\n", __FILE__, __LINE__, __func__,             \
                    #condition);                                                                   \
        }                                                                                          \
    } while (0)

#define RUN(test)                                                                                  \
    do {                                                                                           \
        printf("  %s\n", #test);                                                                   \
        fflush(stdout);                                                                            \
        test();                                                                                    \
    } while (0)

#define DONE()                                                                                     \
    do {                                                                                           \
        printf("  %d checks, %d failed\n", (int)check_count, (int)check_failures);                 \
        return check_failures ? EXIT_FAILURE : EXIT_SUCCESS;                                       \
    } while (0)

#endif
