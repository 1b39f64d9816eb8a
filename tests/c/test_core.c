/* The core without Python: what a C program relies on, on every backend of this machine. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>

#include "check.h"
#include "netpoll.h"
#include "sockets.h"

static const int64_t MS = 1000000;
static const char *backend;

typedef struct pair {
    np_poller *p;
    int fds[2];
    np_desc *a, *b;
} pair;

static void pair_open(pair *t)
{
    CHECK(np_poller_new(backend, &t->p) == NP_OK);
    CHECK(nonblocking_pair(t->fds) == 0);
    CHECK(np_open(t->p, t->fds[0], &t->a) == NP_OK);
    CHECK(np_open(t->p, t->fds[1], &t->b) == NP_OK);
}

static void pair_close(pair *t)
{
    np_close(t->a);
    np_close(t->b);
    np_desc_unref(t->a);
    np_desc_unref(t->b);
    np_poller_unref(t->p);
    close(t->fds[0]);
    close(t->fds[1]);
}

static void send_byte(int fd)
{
    CHECK(write(fd, "x", 1) == 1);
}

static void *close_soon(void *arg)
{
    usleep(20000);
    np_close(arg);
    return NULL;
}

static void close_ends_a_wait_in_another_thread(void)
{
    pair t;
    pthread_t thread;
    pair_open(&t);
    CHECK(pthread_create(&thread, NULL, close_soon, t.a) == 0);
    CHECK(np_wait(t.a, NP_READ) == NP_CLOSED);
    pthread_join(thread, NULL);
    CHECK(np_wait(t.a, NP_READ) == NP_CLOSED);
    CHECK(np_set_deadline(t.a, MS, NP_READ) == NP_CLOSED);
    pair_close(&t);
}

static void a_token_for_input_and_output_alone_ignores_the_eviction(void)
{
    pair t;
    np_token out[4];
    int n;

    pair_open(&t);
    CHECK(np_park(t.a, NP_READ, 7, NP_IO_ONLY) == NP_PARKED);
    send_byte(t.fds[1]);
    CHECK(np_poll(t.p, -1, out, 4, &n) == NP_OK && n == 1 && out[0] == 7);
    np_unblock(t.a);
    CHECK(np_resume(t.a, NP_READ, NP_IO_ONLY) == NP_OK);
    CHECK(np_wait(t.a, NP_READ) == NP_CLOSED);
    pair_close(&t);
}

static void the_same_number_twice_is_refused_and_a_file_closed_underneath_is_replaced(void)
{
    pair t;
    np_desc *again;
    pair_open(&t);
    CHECK(np_open(t.p, t.fds[0], &again) == -EEXIST);
    CHECK(np_open(t.p, -1, &again) == -EBADF);
    int other = socket(AF_UNIX, SOCK_STREAM, 0);
    CHECK(dup2(other, t.fds[0]) == t.fds[0]);
    close(other);
    CHECK(np_open(t.p, t.fds[0], &again) == NP_OK);
    CHECK(np_wait(t.a, NP_READ) == NP_CLOSED);
    np_close(t.a); /* must not reach the new owner of the number */
    CHECK(np_wait(again, NP_WRITE) == NP_OK);
    np_close(again);
    np_desc_unref(again);
    pair_close(&t);
}

enum { WAITERS = 8, ROUNDS = 2000 };

typedef struct echo {
    np_desc *d;
    int fd;
    int rounds;
} echo;

static void read_byte(echo *e)
{
    char c;
    while (np_reset(e->d, NP_READ) == NP_OK && read(e->fd, &c, 1) < 0)
        CHECK(np_wait(e->d, NP_READ) == NP_OK);
}

static void *echo_thread(void *arg)
{
    echo *e = arg;
    for (int i = 0; i < e->rounds; i++) {
        read_byte(e);
        send_byte(e->fd);
    }
    return NULL;
}

/* Sixteen threads on one poller, driving in turn: a lost wake-up would hang the test. */
static void threads_drive_in_turn_and_none_is_lost(void)
{
    np_poller *p;
    pthread_t threads[WAITERS * 2];
    echo ends[WAITERS * 2];
    CHECK(np_poller_new(backend, &p) == NP_OK);
    for (int i = 0; i < WAITERS; i++) {
        int fds[2];
        CHECK(nonblocking_pair(fds) == 0);
        for (int k = 0; k < 2; k++) {
            echo *e = &ends[i * 2 + k];
            *e = (echo){.fd = fds[k], .rounds = ROUNDS};
            CHECK(np_open(p, fds[k], &e->d) == NP_OK);
        }
        send_byte(fds[0]);
    }
    for (int i = 0; i < WAITERS * 2; i++)
        CHECK(pthread_create(&threads[i], NULL, echo_thread, &ends[i]) == 0);
    for (int i = 0; i < WAITERS * 2; i++)
        pthread_join(threads[i], NULL);
    np_stats stats;
    np_poller_stats(p, &stats);
    CHECK(stats.parked_readers == 0 && stats.open == WAITERS * 2);
    for (int i = 0; i < WAITERS * 2; i++) {
        np_close(ends[i].d);
        np_desc_unref(ends[i].d);
        close(ends[i].fd);
    }
    np_poller_unref(p);
}

static void *wait_to_the_end(void *d)
{
    return (void *)(intptr_t)np_wait(d, NP_READ);
}

/* More than are woken in one go. */
static void closing_the_poller_ends_many_waits(void)
{
    enum { N = 40 };
    np_poller *p;
    pthread_t threads[N];
    int fds[N][2];
    np_desc *d[N];

    CHECK(np_poller_new(backend, &p) == NP_OK);
    for (int i = 0; i < N; i++) {
        CHECK(nonblocking_pair(fds[i]) == 0);
        CHECK(np_open(p, fds[i][0], &d[i]) == NP_OK);
        CHECK(pthread_create(&threads[i], NULL, wait_to_the_end, d[i]) == 0);
        while (!np_is_parked(d[i], NP_READ))
            sched_yield();
    }
    np_poller_close(p);
    for (int i = 0; i < N; i++) {
        void *rc;
        CHECK(pthread_join(threads[i], &rc) == 0 && (intptr_t)rc == NP_CLOSED);
        np_close(d[i]);
        np_desc_unref(d[i]);
        close(fds[i][0]);
        close(fds[i][1]);
    }
    np_poller_unref(p);
}

static void many_deadlines_fire_in_order_of_time(void)
{
    enum { N = 300 };
    np_poller *p;
    np_desc *d[N];
    int fds[N];
    np_token out[N];
    int64_t earliest[N], latest[N], last = 0; /* between which instants the deadline lies */
    int n, fired = 0;
    CHECK(np_poller_new(backend, &p) == NP_OK);
    for (int i = 0; i < N; i++) {
        fds[i] = socket(AF_UNIX, SOCK_DGRAM, 0);
        CHECK(np_open(p, fds[i], &d[i]) == NP_OK);
        CHECK(np_park(d[i], NP_READ, (np_token)i, 0) == NP_PARKED);
        int64_t when = 20 * MS + (int64_t)((i * 7919) % N) * MS / 3;
        CHECK(np_set_deadline(d[i], when / 2, NP_READ) == NP_OK);
        earliest[i] = np_now() + when;
        CHECK(np_set_deadline(d[i], when, NP_READ | NP_WRITE) == NP_OK);
        latest[i] = np_now() + when;
    }
    while (fired < N && np_poll(p, -1, out, N, &n) == NP_OK)
        for (int i = 0; i < n; i++, fired++) {
            CHECK(np_now() >= earliest[out[i]]);
            CHECK(latest[out[i]] >= last); /* it is not before one that has fired already */
            last = earliest[out[i]] > last ? earliest[out[i]] : last;
            CHECK(np_resume(d[out[i]], NP_READ, 0) == NP_TIMEOUT);
        }
    np_stats stats;
    np_poller_stats(p, &stats);
    CHECK(stats.deadlines_fired == N);
    for (int i = 0; i < N; i++) {
        np_close(d[i]);
        np_desc_unref(d[i]);
        close(fds[i]);
    }
    np_poller_unref(p);
}

/* They take more than one block of the poll cache, and its table grows. */
static void each_of_many_descriptors_has_events_of_its_own(void)
{
    enum { PAIRS = 300, N = 2 * PAIRS };
    np_poller *p;
    np_desc *d[N];
    int fds[N];
    np_token out[N];
    int n;

    CHECK(np_poller_new(backend, &p) == NP_OK);
    for (int i = 0; i < N; i += 2)
        CHECK(nonblocking_pair(&fds[i]) == 0);
    for (int i = 0; i < N; i++) {
        CHECK(np_open(p, fds[i], &d[i]) == NP_OK);
        CHECK(np_park(d[i], NP_READ, (np_token)i, 0) == NP_PARKED);
    }
    for (int i = 0; i < N; i++) {
        send_byte(fds[i ^ 1]);
        CHECK(np_poll(p, 1000 * MS, out, N, &n) == NP_OK);
        CHECK(n == 1 && out[0] == (np_token)i);
        CHECK(np_resume(d[i], NP_READ, 0) == NP_OK);
    }
    for (int i = 0; i < N; i++) {
        np_close(d[i]);
        np_desc_unref(d[i]);
        close(fds[i]);
    }
    np_poller_unref(p);
}

int main(void)
{
    for (int i = 0; (backend = np_backend_name(i)) != NULL; i++) {
        printf(" backend %s\n", backend);
        RUN(close_ends_a_wait_in_another_thread);
        RUN(a_token_for_input_and_output_alone_ignores_the_eviction);
        RUN(the_same_number_twice_is_refused_and_a_file_closed_underneath_is_replaced);
        RUN(threads_drive_in_turn_and_none_is_lost);
        RUN(closing_the_poller_ends_many_waits);
        RUN(many_deadlines_fire_in_order_of_time);
        RUN(each_of_many_descriptors_has_events_of_its_own);
    }
    DONE();
}
