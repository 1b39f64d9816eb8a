/* How should a thread wait?  The schemes that docs/design.md compares, in ping-pong over
 * socketpairs:
 *
 *   driver    netpoll's: one thread drives the shared epoll, the others are parked on futexes
 *   own-poll  each thread in poll(2) on its descriptor and on a wake object of its own
 *   blocking  what blocking sockets with a timeout do: poll(2), then recv
 *
 *   cc -O2 -Icsrc -o build/schemes benchmarks/c/schemes.c \
 *      $(ls csrc/*.c | grep -v -e iocp -e kqueue -e win32) -pthread
 *   build/schemes
 *
 * Interleaved rounds, medians; microseconds a round trip over all pairs.
 */
#include "rounds.h"

#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <sys/eventfd.h>

#include "netpoll.h"

enum { ROUNDS = 9, MAX_PAIRS = 100 };

typedef struct end {
    np_desc *desc;
    int fd, wake, trips;
    bool serves;
    void (*get)(struct end *e);
} end;

static void get_driver(end *e)
{
    char c;
    for (;;) {
        CHECK(np_reset(e->desc, NP_READ) == NP_OK);
        if (read(e->fd, &c, 1) == 1)
            return;
        CHECK(np_wait(e->desc, NP_READ) == NP_OK);
    }
}

static void get_own_poll(end *e)
{
    char c;
    struct pollfd pfds[2] = {{.fd = e->fd, .events = POLLIN}, {.fd = e->wake, .events = POLLIN}};
    while (read(e->fd, &c, 1) != 1)
        CHECK(poll(pfds, 2, 30000) > 0);
}

static void get_blocking(end *e)
{
    char c;
    struct pollfd pfd = {.fd = e->fd, .events = POLLIN};
    CHECK(poll(&pfd, 1, 30000) > 0);
    CHECK(read(e->fd, &c, 1) == 1);
}

static void *play(void *arg)
{
    end *e = arg;
    for (int i = 0; i < e->trips; i++) {
        if (e->serves)
            put_byte(e->fd);
        e->get(e);
        if (!e->serves)
            put_byte(e->fd);
    }
    return NULL;
}

static double measure(int pairs, void (*get)(end *))
{
    static end ends[MAX_PAIRS * 2];
    pthread_t threads[MAX_PAIRS * 2];
    int *fds = connected_pairs(pairs, "unix"), trips = 20000 / pairs;
    np_poller *p;
    CHECK(np_poller_new(NULL, &p) == NP_OK);
    for (int i = 0; i < pairs * 2; i++) {
        ends[i] = (end){.fd = fds[i], .trips = trips, .serves = i % 2 == 0, .get = get};
        ends[i].wake = eventfd(0, EFD_NONBLOCK);
        CHECK(np_open(p, fds[i], &ends[i].desc) == NP_OK);
    }
    double begin = seconds();
    for (int i = 0; i < pairs * 2; i++)
        CHECK(pthread_create(&threads[i], NULL, play, &ends[i]) == 0);
    for (int i = 0; i < pairs * 2; i++)
        pthread_join(threads[i], NULL);
    double each = (seconds() - begin) / (trips * pairs);
    for (int i = 0; i < pairs * 2; i++) {
        np_close(ends[i].desc);
        np_desc_unref(ends[i].desc);
        close(ends[i].wake);
        close(fds[i]);
    }
    np_poller_unref(p);
    free(fds);
    return each;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int main(void)
{
    static const struct {
        const char *name;
        void (*get)(end *);
    } schemes[] = {{"driver", get_driver}, {"own-poll", get_own_poll}, {"blocking", get_blocking}};
    enum { SCHEMES = sizeof schemes / sizeof *schemes };

    for (int pairs = 1; pairs <= MAX_PAIRS; pairs *= 100) {
        double took[SCHEMES][ROUNDS];
        for (int r = 0; r < ROUNDS; r++)
            for (int s = 0; s < SCHEMES; s++)
                took[s][r] = measure(pairs, schemes[s].get);
        for (int s = 0; s < SCHEMES; s++) {
            qsort(took[s], ROUNDS, sizeof(double), ascending);
            printf("%4d threads  %-9s %7.2f us\n", pairs * 2, schemes[s].name,
                   took[s][ROUNDS / 2] * 1e6);
        }
    }
    return 0;
}
