/* The same workloads on bare system calls: what the core cannot beat by much. */
#include "rounds.h"

#include <poll.h>
#include <sys/epoll.h>

static const unsigned EDGES = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;

static int epfd;
static int *ends;
static int count;

static void register_fd(int fd, int end)
{
    struct epoll_event event = {.events = EDGES, .data.u32 = (unsigned)end};
    CHECK(epoll_ctl(epfd, EPOLL_CTL_ADD, fd, &event) == 0);
}

static void register_end(int end)
{
    register_fd(ends[end], end);
}

/* --- is it ready? -------------------------------------------------------------------------------
 */

static void ready_setup(char **args)
{
    operations = count = atoi(args[0]);
    ends = connected_pairs(count, "unix");
}

static double ready_round(void)
{
    for (int i = 0; i < count; i++)
        put_byte(ends[2 * i + 1]);
    double start = seconds();
    for (int i = 0; i < count; i++) {
        struct pollfd end = {.fd = ends[2 * i], .events = POLLIN};
        CHECK(poll(&end, 1, 1000) == 1);
    }
    double elapsed = seconds() - start;
    for (int i = 0; i < count; i++)
        take_byte(ends[2 * i]);
    return elapsed;
}

static double ready_run(int times)
{
    double elapsed = 0;
    while (times-- > 0)
        elapsed += ready_round();
    return elapsed;
}

/* --- register and unregister --------------------------------------------------------------------
 */

enum { CALLS = 1000 };

static void open_close_setup(char **args)
{
    (void)args;
    operations = CALLS;
    epfd = epoll_create1(EPOLL_CLOEXEC);
    ends = connected_pairs(1, "unix");
}

static double open_close_run(int times)
{
    double start = seconds();
    for (int i = 0; i < times * CALLS; i++) {
        register_end(0);
        CHECK(epoll_ctl(epfd, EPOLL_CTL_DEL, ends[0], NULL) == 0);
    }
    return seconds() - start;
}

/* --- ping-pong ----------------------------------------------------------------------------------
 */

static int *trips_left; /* by end */

/* The hint that a short read leaves nothing behind is taken: no read that can only fail. */
static int drained;

/* pairs, kind, idle: so many more ends are registered, on which nothing comes; "drained" or not. */
static void ping_pong_setup(char **args)
{
    int pairs = atoi(args[0]), idle = atoi(args[2]);
    drained = strcmp(args[3], "drained") == 0;
    operations = pairs;
    epfd = epoll_create1(EPOLL_CLOEXEC);
    ends = connected_pairs(idle / 2, "unix");
    for (int i = 0; i < idle / 2 * 2; i++)
        register_end(i);
    count = 2 * pairs;
    ends = connected_pairs(pairs, args[1]);
    trips_left = allocate((size_t)count, sizeof *trips_left);
    for (int i = 0; i < count; i++)
        register_end(i);
}

/* pairs, and how many imaginary descriptors (imaginary.c) are registered beside them. */
static void ping_pong_among_setup(char **args)
{
    enum { IMAGINARY = 1 << 24 };
    char kind[] = "unix", idle[] = "0", way[] = "none", *plain[] = {args[0], kind, idle, way};
    ping_pong_setup(plain);
    for (int i = 0; i < atoi(args[1]); i++)
        register_fd(IMAGINARY + i, 0);
}

/* Bounce the byte until the end would block.  True: it has done its trips. */
static int play(int end)
{
    while (trips_left[end] > 0 && take_byte(ends[end])) {
        put_byte(ends[end]);
        if (--trips_left[end] == 0)
            return 1;
        if (drained)
            return 0;
    }
    return 0; /* or it was done before, and this is the byte that came to rest */
}

static double ping_pong_run(int trips)
{
    enum { BATCH = 64 };
    struct epoll_event events[BATCH];
    int playing = count;
    for (int i = 0; i < count; i++)
        trips_left[i] = trips;
    for (int i = 1; i < count; i += 2)
        put_byte(ends[i]);
    double start = start_clocks(); /* after the bytes are let in, as in pairs.py */
    while (playing > 0) {
        int n = epoll_wait(epfd, events, BATCH, -1);
        CHECK(n >= 0);
        for (int i = 0; i < n; i++)
            if (events[i].events & EPOLLIN)
                playing -= play((int)events[i].data.u32);
    }
    double elapsed = stop_clocks(start);
    for (int i = 0; i < count; i += 2)
        CHECK(take_byte(ends[i]) && !take_byte(ends[i]));
    return elapsed;
}

int main(int argc, char **argv)
{
    static const workload workloads[] = {
        {"ready", ready_setup, ready_run},
        {"open_close", open_close_setup, open_close_run},
        {"ping_pong", ping_pong_setup, ping_pong_run},
        {"ping_pong_among", ping_pong_among_setup, ping_pong_run},
        {NULL, NULL, NULL},
    };
    return serve(argc, argv, workloads);
}
