/* The same workloads on bare system calls: what the core cannot beat by much. */
#include "rounds.h"

#include <poll.h>
#include <sys/epoll.h>

static const unsigned EDGES = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;

static int epfd;
static int *ends;
static int count;

static void register_end(int end)
{
    struct epoll_event event = {.events = EDGES, .data.u32 = (unsigned)end};
    CHECK(epoll_ctl(epfd, EPOLL_CTL_ADD, ends[end], &event) == 0);
}

/* --- is it ready? -------------------------------------------------------------------------------
 */

static void ready_setup(int pairs)
{
    count = pairs;
    ends = connected_pairs(pairs);
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
    return elapsed / count;
}

/* --- register and unregister --------------------------------------------------------------------
 */

static void open_close_setup(int pairs)
{
    epfd = epoll_create1(EPOLL_CLOEXEC);
    ends = connected_pairs(pairs);
}

static double open_close_round(void)
{
    enum { CALLS = 100000 };
    double start = seconds();
    for (int i = 0; i < CALLS; i++) {
        register_end(0);
        CHECK(epoll_ctl(epfd, EPOLL_CTL_DEL, ends[0], NULL) == 0);
    }
    return (seconds() - start) / CALLS;
}

/* --- ping-pong ----------------------------------------------------------------------------------
 */

static int *trips_left; /* by end */

static void ping_pong_setup(int pairs)
{
    epfd = epoll_create1(EPOLL_CLOEXEC);
    count = 2 * pairs;
    ends = connected_pairs(pairs);
    trips_left = allocate((size_t)count, sizeof *trips_left);
    for (int i = 0; i < count; i++)
        register_end(i);
}

/* Bounce the byte until the end would block.  True: it has done its trips. */
static int play(int end)
{
    while (trips_left[end] > 0 && take_byte(ends[end])) {
        put_byte(ends[end]);
        if (--trips_left[end] == 0)
            return 1;
    }
    return 0; /* or it was done before, and this is the byte that came to rest */
}

static double ping_pong_round(void)
{
    enum { TRIPS = 100000, BATCH = 64 };
    struct epoll_event events[BATCH];
    int playing = count, trips = TRIPS / (count / 2);
    for (int i = 0; i < count; i++)
        trips_left[i] = trips;
    double start = seconds();
    for (int i = 1; i < count; i += 2)
        put_byte(ends[i]);
    while (playing > 0) {
        int n = epoll_wait(epfd, events, BATCH, -1);
        CHECK(n >= 0);
        for (int i = 0; i < n; i++)
            playing -= play((int)events[i].data.u32);
    }
    double elapsed = seconds() - start;
    for (int i = 0; i < count; i += 2)
        take_byte(ends[i]);
    return elapsed / ((double)trips * count / 2);
}

int main(int argc, char **argv)
{
    static const workload workloads[] = {
        {"ready", ready_setup, ready_round},
        {"open_close", open_close_setup, open_close_round},
        {"ping_pong", ping_pong_setup, ping_pong_round},
        {NULL, NULL, NULL},
    };
    return serve(argc, argv, workloads);
}
