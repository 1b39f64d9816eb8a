/* How should a thread wait?  The schemes that docs/design.md compares, a byte in ping-pong between
 * two threads a pair:
 *
 *   driver    netpoll's: one thread drives the shared epoll, the others are parked on futexes
 *   own_poll  each thread in poll(2) on its descriptor and on a wake object of its own
 *   blocking  what blocking sockets with a timeout do: poll(2), then recv
 */
#include "rounds.h"

#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <sys/eventfd.h>

#include "netpoll.h"

typedef struct end {
    np_desc *desc;
    int fd, wake, trips;
    bool serves;
    cpu_set_t core;
} end;

static end *ends;
static int count;
static void (*get)(end *e);
static pthread_barrier_t beginning;

static void get_driver(end *e)
{
    for (;;) {
        CHECK(np_reset(e->desc, NP_READ) == NP_OK);
        if (take_byte(e->fd))
            return;
        CHECK(np_wait(e->desc, NP_READ) == NP_OK);
    }
}

static void get_own_poll(end *e)
{
    struct pollfd pfds[2] = {{.fd = e->fd, .events = POLLIN}, {.fd = e->wake, .events = POLLIN}};
    while (!take_byte(e->fd))
        CHECK(poll(pfds, 2, 30000) > 0);
}

static void get_blocking(end *e)
{
    struct pollfd pfd = {.fd = e->fd, .events = POLLIN};
    CHECK(poll(&pfd, 1, 30000) > 0);
    CHECK(take_byte(e->fd));
}

/* Where the kernel may put the thread of that number: on one of so many cores, in turn. */
static cpu_set_t core_of(int number, int cores)
{
    cpu_set_t all, one;
    CHECK(sched_getaffinity(0, sizeof all, &all) == 0);
    int nth = number % cores, core = 0;
    while (!CPU_ISSET(core, &all) || nth-- > 0)
        core++;
    CPU_ZERO(&one);
    CPU_SET(core, &one);
    return one;
}

/* pairs, cores */
static void setup(char **args)
{
    operations = atoi(args[0]);
    count = 2 * operations;
    ends = allocate((size_t)count, sizeof *ends);
    int *fds = connected_pairs(operations, "unix");
    for (int i = 0; i < count; i++)
        ends[i] = (end){.fd = fds[i], .serves = i % 2 == 0, .core = core_of(i, atoi(args[1]))};
}

static void setup_driver(char **args)
{
    np_poller *poller;
    setup(args);
    get = get_driver;
    CHECK(np_poller_new(NULL, &poller) == NP_OK);
    for (int i = 0; i < count; i++)
        CHECK(np_open(poller, ends[i].fd, &ends[i].desc) == NP_OK);
}

static void setup_own_poll(char **args)
{
    setup(args);
    get = get_own_poll;
    for (int i = 0; i < count; i++)
        CHECK((ends[i].wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) >= 0);
}

static void setup_blocking(char **args)
{
    setup(args);
    get = get_blocking;
}

static void *play(void *arg)
{
    end *e = arg;
    pthread_barrier_wait(&beginning);
    for (int i = 0; i < e->trips; i++) {
        if (e->serves)
            put_byte(e->fd);
        get(e);
        if (!e->serves)
            put_byte(e->fd);
    }
    return NULL;
}

static double run(int times)
{
    pthread_t *threads = allocate((size_t)count, sizeof *threads);
    CHECK(pthread_barrier_init(&beginning, NULL, (unsigned)count + 1) == 0);
    for (int i = 0; i < count; i++) {
        pthread_attr_t attributes;
        ends[i].trips = times;
        CHECK(pthread_attr_init(&attributes) == 0);
        CHECK(pthread_attr_setaffinity_np(&attributes, sizeof ends[i].core, &ends[i].core) == 0);
        CHECK(pthread_create(&threads[i], &attributes, play, &ends[i]) == 0);
        CHECK(pthread_attr_destroy(&attributes) == 0);
    }
    double start = seconds();
    pthread_barrier_wait(&beginning);
    for (int i = 0; i < count; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    double elapsed = seconds() - start;
    for (int i = 0; i < count; i++)
        CHECK(!take_byte(ends[i].fd));
    pthread_barrier_destroy(&beginning);
    free(threads);
    return elapsed;
}

int main(int argc, char **argv)
{
    static const workload workloads[] = {
        {"driver", setup_driver, run},
        {"own_poll", setup_own_poll, run},
        {"blocking", setup_blocking, run},
        {NULL, NULL, NULL},
    };
    return serve(argc, argv, workloads);
}
