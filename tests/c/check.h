/* The smallest test runner: CHECK counts and reports, RUN names a test, DONE ends main. */
#ifndef CHECK_H
#define CHECK_H

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#ifdef __wasi__
#define CHECK_LOG stderr /* standard output is the test's own: pipes.h */
#else
#define CHECK_LOG stdout
#endif

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
        fprintf(CHECK_LOG, "  %s\n", #test);                                                       \
        fflush(CHECK_LOG);                                                                         \
        test();                                                                                    \
    } while (0)

#define DONE()                                                                                     \
    do {                                                                                           \
        fprintf(CHECK_LOG, "  %d checks, %d failed\n", (int)check_count, (int)check_failures);     \
        return check_failures ? EXIT_FAILURE : EXIT_SUCCESS;                                       \
    } while (0)

#endif
