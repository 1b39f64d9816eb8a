/* What the C subjects share: the line protocol of benchmarks/harness.py and a clock. */
#ifndef ROUNDS_H
#define ROUNDS_H

#define _GNU_SOURCE /* socketpair, clock_gettime: include this file first */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* A workload: setup once, then a round for each line on standard input.  A round returns the
 * seconds that one operation took. */
typedef struct workload {
    const char *name;
    void (*setup)(int size);
    double (*round)(void);
} workload;

static inline double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* A benchmark has no use for errors: say where, and end. */
#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, #condition, strerror(errno));   \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

static inline void *allocate(size_t count, size_t size)
{
    void *memory = calloc(count, size);
    CHECK(memory != NULL);
    return memory;
}

/* So many socket pairs, all ends non-blocking; pair i has the ends 2i and 2i + 1. */
static inline int *connected_pairs(int pairs)
{
    int *ends = allocate((size_t)pairs * 2, sizeof *ends);
    for (int i = 0; i < pairs; i++)
        CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, &ends[2 * i]) ==
              0);
    return ends;
}

static inline void put_byte(int fd)
{
    CHECK(write(fd, "x", 1) == 1);
}

/* True: a byte was there. */
static inline int take_byte(int fd)
{
    char byte;
    ssize_t n = read(fd, &byte, 1);
    CHECK(n == 1 || (n < 0 && errno == EAGAIN));
    return n == 1;
}

static inline int serve(int argc, char **argv, const workload *workloads)
{
    CHECK(argc == 3);
    const workload *w = workloads;
    while (w->name != NULL && strcmp(w->name, argv[1]) != 0)
        w++;
    CHECK(w->name != NULL);
    if (w->setup != NULL)
        w->setup(atoi(argv[2]));
    char line[64];
    while (fgets(line, sizeof line, stdin) != NULL) {
        printf("%.12g\n", w->round());
        fflush(stdout);
    }
    _exit(0); /* a million descriptors need no orderly farewell */
}

#endif
