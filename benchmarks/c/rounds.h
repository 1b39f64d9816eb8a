/* What the C subjects share: how a workload is repeated and its result printed, and a clock. */
#ifndef ROUNDS_H
#define ROUNDS_H

#define _GNU_SOURCE /* socketpair, clock_gettime: include this file first */

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* A workload: set up once from the arguments that follow the target, then run.  `run` does it so
 * many times and returns the seconds that took; `operations` are done each time. */
typedef struct workload {
    const char *name;
    void (*setup)(char **args);
    double (*run)(int times);
} workload;

static int operations = 1; /* of one time; set by setup */

/* So many seconds a run may take at most, where little of it is what is measured. */
static const double PATIENCE = 5;

static inline double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static inline double cpu_seconds(void)
{
    struct timespec used;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    return (double)used.tv_sec + (double)used.tv_nsec * 1e-9;
}

/* The processor's seconds of what run measured, where it takes both times by these two. */
static double cpu_measured;

static inline double start_clocks(void)
{
    cpu_measured = -cpu_seconds();
    return seconds();
}

static inline double stop_clocks(double start)
{
    double elapsed = seconds() - start;
    cpu_measured += cpu_seconds();
    return elapsed;
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

/* A connection over loopback that sends each byte at once and leaves no TIME_WAIT behind. */
static inline void tcp_pair(int listener, int *pair)
{
    struct sockaddr_in address;
    socklen_t size = sizeof address;
    int on = 1;
    struct linger reset = {.l_onoff = 1, .l_linger = 0};
    CHECK(getsockname(listener, (struct sockaddr *)&address, &size) == 0);
    CHECK((pair[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) >= 0);
    CHECK(connect(pair[0], (struct sockaddr *)&address, size) == 0);
    CHECK((pair[1] = accept(listener, NULL, NULL)) >= 0);
    for (int i = 0; i < 2; i++) {
        CHECK(setsockopt(pair[i], IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) == 0);
        CHECK(setsockopt(pair[i], SOL_SOCKET, SO_LINGER, &reset, sizeof reset) == 0);
        CHECK(fcntl(pair[i], F_SETFL, O_NONBLOCK) == 0);
    }
}

static inline int listen_anywhere(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(listener >= 0);
    CHECK(bind(listener, (struct sockaddr *)&address, sizeof address) == 0);
    CHECK(listen(listener, 4096) == 0);
    return listener;
}

/* So many pairs, "unix" or "tcp", all ends non-blocking; pair i has the ends 2i and 2i + 1. */
static inline int *connected_pairs(int pairs, const char *kind)
{
    int *ends = allocate((size_t)pairs * 2 + 1, sizeof *ends);
    int tcp = strcmp(kind, "tcp") == 0, listener = tcp ? listen_anywhere() : -1;
    for (int i = 0; i < pairs; i++) {
        if (tcp)
            tcp_pair(listener, &ends[2 * i]);
        else
            CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0,
                             &ends[2 * i]) == 0);
    }
    if (tcp)
        close(listener);
    return ends;
}

static inline void put_byte(int fd)
{
    CHECK(write(fd, "x", 1) == 1);
}

/* True: a byte was there. */
static inline int take_byte(int fd)
{
    char room[4096]; /* as in pairs.py */
    ssize_t n = read(fd, room, sizeof room);
    CHECK(n == 1 || (n < 0 && errno == EAGAIN));
    return n == 1;
}

/* As next_try() in bout.py. */
static inline int next_try(int times, double elapsed, double whole, double target)
{
    double more = 1.05 * target / (elapsed > 1e-9 ? elapsed : 1e-9);
    double most = PATIENCE / (whole > 1e-9 ? whole : 1e-9);
    more = more < 10 ? more : 10;
    int next = (int)(times * (more < most ? more : most)) + 1;
    return next > times ? next : times + 1;
}

/* As measured() in bout.py: repeat it until it takes about `target` seconds, or PATIENCE with what
 * is not measured; what came before was the warm-up. Below 0 it is how many times, at once. */
static inline void measure(const workload *w, double target)
{
    int times = target < 0 ? (int)-target : 1, all = times;
    double start = seconds(), elapsed = w->run(times);
    for (double whole; elapsed < target * 0.7 && (whole = seconds() - start) < PATIENCE * 0.7;) {
        times = next_try(times, elapsed, whole, target);
        start = seconds();
        elapsed = w->run(times);
        all += times;
    }
    double done = (double)times * operations;
    printf("{\"time\": %.12g, \"operations\": %.0f, \"all\": %.0f", elapsed / done, done,
           (double)all * operations);
    if (cpu_measured > 0)
        printf(", \"cpu\": %.12g", cpu_measured / done);
    printf("}\n");
}

/* PROGRAM workload target [argument ...] */
static inline int serve(int argc, char **argv, const workload *workloads)
{
    CHECK(argc >= 3);
    const workload *w = workloads;
    while (w->name != NULL && strcmp(w->name, argv[1]) != 0)
        w++;
    CHECK(w->name != NULL);
    w->setup(argv + 3);
    if (w->run != NULL)
        measure(w, atof(argv[2]));
    fflush(stdout);
    _exit(0); /* a million descriptors need no orderly farewell */
}

#endif
