/* Threads that do everything to the same descriptors at once, for the sanitizers to watch and for
 * the counts to come out right in the end.  RACE_MS (default 300) is its length on each backend.
 *
 *   waiters     wait, in threads, with deadlines that others move
 *   schedulers  park tokens, poll, resume, cancel; every token must come out or be withdrawn
 *   peers       write and drain
 *   breakers    set deadlines, unblock, close, open again on the same number, wake
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "check.h"
#include "netpoll.h"
#include "sockets.h"

enum { SLOTS = 6, WAITERS = 4, SCHEDULERS = 2, PEERS = 1, BREAKERS = 2 };
enum { THREADS = WAITERS + SCHEDULERS + PEERS + BREAKERS };
static const int64_t US = 1000;

typedef struct slot {
    pthread_mutex_t lock; /* handles are counted, but this pointer is shared */
    np_desc *d;
    int fd, peer;
} slot;

static const char *backend;
static np_poller *p;
static slot slots[SLOTS];
static atomic_bool over;
static atomic_long parked, came_out, withdrawn, waits;

static uint32_t next_random(uint64_t *state)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(*state >> 33);
}

static np_desc *borrow(slot *s)
{
    pthread_mutex_lock(&s->lock);
    np_desc *d = s->d;
    np_desc_ref(d);
    pthread_mutex_unlock(&s->lock);
    return d;
}

static void reopen(slot *s)
{
    np_desc *fresh, *old;
    pthread_mutex_lock(&s->lock);
    old = s->d;
    np_close(old);
    CHECK(np_open(p, s->fd, &fresh) == NP_OK);
    s->d = fresh;
    pthread_mutex_unlock(&s->lock);
    np_desc_unref(old);
}

static bool may_be_returned(int rc)
{
    return (rc >= NP_OK && rc <= NP_BUSY) || rc == NP_AGAIN;
}

static void wait_somewhere(uint64_t *r)
{
    slot *s = &slots[next_random(r) % SLOTS];
    np_desc *d = borrow(s);
    int mode = next_random(r) % 8 ? NP_READ : NP_WRITE;
    char buffer[64];

    np_set_deadline(d, next_random(r) % 2000 * US, mode);
    if (next_random(r) % 2)
        np_reset(d, mode);
    CHECK(may_be_returned(np_wait(d, mode)));
    waits++;
    if (read(s->fd, buffer, sizeof buffer) < 0)
        CHECK(errno == EAGAIN);
    np_desc_unref(d);
}

static void take_tokens(int64_t timeout)
{
    np_token out[8];
    int n = 0;
    CHECK(np_poll(p, timeout, out, 8, &n) == NP_OK);
    for (int i = 0; i < n; i++) {
        np_desc *d = (np_desc *)out[i]; /* its reference travels with it */
        CHECK(may_be_returned(np_resume(d, NP_READ, 0)));
        np_desc_unref(d);
    }
    came_out += n;
}

static void park_somewhere(uint64_t *r)
{
    np_desc *d = borrow(&slots[next_random(r) % SLOTS]);
    np_token token;

    parked++;
    int rc = np_park(d, NP_READ, (np_token)d, 0);
    if (rc != NP_PARKED) {
        parked--;
        np_desc_unref(d);
    }
    if (next_random(r) % 4)
        take_tokens(next_random(r) % 300 * US);
    d = borrow(&slots[next_random(r) % SLOTS]);
    if (np_cancel(d, NP_READ, &token) == 1) {
        withdrawn++;
        np_desc_unref((np_desc *)token);
    }
    np_desc_unref(d);
}

static void write_somewhere(uint64_t *r)
{
    if (write(slots[next_random(r) % SLOTS].peer, "x", 1) < 0)
        CHECK(errno == EAGAIN);
    usleep(next_random(r) % 50);
}

static void break_something(uint64_t *r)
{
    slot *s = &slots[next_random(r) % SLOTS];
    np_desc *d = borrow(s);
    np_stats stats;
    int64_t left;

    switch (next_random(r) % 8) {
    case 0:
        np_unblock(d);
        break;
    case 1:
        reopen(s);
        break;
    case 2:
        np_wake(p);
        break;
    case 3:
        np_poller_stats(p, &stats);
        np_next_deadline(p);
        break;
    case 4:
        np_deadline(d, NP_READ, &left);
        np_is_parked(d, NP_READ);
        np_is_ready(d, NP_WRITE);
        break;
    default:
        np_set_deadline(d, (int64_t)(next_random(r) % 3000) * US - 100 * US,
                        (int)(next_random(r) % 3) + 1);
    }
    np_desc_unref(d);
    usleep(next_random(r) % 20);
}

static void *run(void *arg)
{
    int i = (int)(intptr_t)arg;
    uint64_t r = (uint64_t)i * 7919 + 1;
    while (!over) {
        if (i < WAITERS)
            wait_somewhere(&r);
        else if (i < WAITERS + SCHEDULERS)
            park_somewhere(&r);
        else if (i < WAITERS + SCHEDULERS + PEERS)
            write_somewhere(&r);
        else
            break_something(&r);
    }
    return NULL;
}

static void set_up(void)
{
    CHECK(np_poller_new(backend, &p) == NP_OK);
    parked = came_out = withdrawn = 0;
    over = false;
    for (int i = 0; i < SLOTS; i++) {
        int fds[2];
        CHECK(nonblocking_pair(fds) == 0);
        pthread_mutex_init(&slots[i].lock, NULL);
        slots[i].fd = fds[0];
        slots[i].peer = fds[1];
        CHECK(np_open(p, fds[0], &slots[i].d) == NP_OK);
    }
}

static void tear_down(void)
{
    np_stats stats;
    for (int i = 0; i < SLOTS; i++) {
        np_close(slots[i].d);
        take_tokens(0);
        np_desc_unref(slots[i].d);
        close(slots[i].fd);
        close(slots[i].peer);
    }
    take_tokens(0);
    CHECK(parked == came_out + withdrawn);
    np_poller_stats(p, &stats);
    CHECK(stats.parked_readers == 0 && stats.parked_writers == 0 && stats.open == 0);
    np_poller_unref(p);
}

static void everything_at_once(void)
{
    pthread_t threads[THREADS];
    const char *length = getenv("RACE_MS");

    set_up();
    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, run, (void *)(intptr_t)i) == 0);
    usleep((useconds_t)(length ? atoi(length) : 300) * 1000);
    over = true;
    for (int i = 0; i < WAITERS; i++) /* whoever waits gets an end */
        for (int k = 0; k < SLOTS; k++) {
            np_desc *d = borrow(&slots[k]);
            np_unblock(d);
            np_desc_unref(d);
        }
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    printf("    %ld waits, %ld tokens parked\n", (long)waits, (long)parked);
    tear_down();
}

int main(void)
{
    for (int i = 0; (backend = np_backend_name(i)) != NULL; i++) {
        printf(" backend %s\n", backend);
        RUN(everything_at_once);
    }
    DONE();
}
