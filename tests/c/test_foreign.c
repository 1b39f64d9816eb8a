/* Tokens at another poller than their own, on every pair of backends of this machine.  RACE_MS
 * (default 300) is the length of the race on each of them. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "check.h"
#include "forking.h"
#include "io/op.h"
#include "netpoll.h"
#include "sockets.h"

static const int64_t MS = 1000000;
static const char *home_backend, *backend;

/* p has the descriptors, home gets the tokens. */
typedef struct stage {
    np_poller *home, *p;
    int fds[2];
    np_desc *a, *b;
} stage;

static void set_up(stage *s)
{
    CHECK(np_poller_new(home_backend, &s->home) == NP_OK);
    CHECK(np_poller_new(backend, &s->p) == NP_OK);
    CHECK(nonblocking_pair(s->fds) == 0);
    CHECK(np_open(s->p, s->fds[0], &s->a) == NP_OK);
    CHECK(np_open(s->p, s->fds[1], &s->b) == NP_OK);
}

/* Nothing may be left in any queue. */
static void tear_down(stage *s)
{
    np_token out[4];
    CHECK(np_take_ready(s->home, out, 4) == 0);
    np_desc_unref(s->a);
    np_desc_unref(s->b);
    CHECK(np_take_ready(s->p, out, 4) == 0);
    np_poller_unref(s->home);
    np_poller_unref(s->p);
    close(s->fds[0]);
    close(s->fds[1]);
}

static void send_byte(int fd)
{
    CHECK(write(fd, "x", 1) == 1);
}

/* The token that comes out of q, the only one; polls until it does. */
static np_token next_token(np_poller *q)
{
    np_token out[4] = {0};
    int n = 0;
    while (n == 0)
        CHECK(np_poll(q, -1, out, 4, &n) == NP_OK);
    CHECK(n == 1);
    return out[0];
}

static pthread_t in_thread(void *(*body)(void *), void *arg)
{
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, body, arg) == 0);
    return thread;
}

/* --- events ----------------------------------------------------------------------------------- */

static void *send_soon(void *arg)
{
    stage *s = arg;
    usleep(20000);
    send_byte(s->fds[1]);
    return NULL;
}

static void a_token_comes_out_at_home_which_alone_polls(void)
{
    stage s;
    np_token out[4];
    int n;
    set_up(&s);
    CHECK(np_park_at(s.a, NP_READ, 77, 0, s.home) == NP_PARKED);
    CHECK(np_park_at(s.a, NP_READ, 78, 0, s.home) == NP_BUSY);
    CHECK(np_park(s.a, NP_READ, 78, 0) == NP_BUSY);
    CHECK(np_holds_token(s.a, NP_READ) && np_is_parked(s.a, NP_READ));
    CHECK(np_resume(s.a, NP_READ, 0) == NP_AGAIN);
    CHECK(np_poll(s.home, 0, out, 4, &n) == NP_OK && n == 0);
    pthread_t thread = in_thread(send_soon, &s);
    CHECK(next_token(s.home) == 77);
    CHECK(!np_holds_token(s.a, NP_READ));
    CHECK(np_resume(s.a, NP_READ, 0) == NP_OK);
    CHECK(np_poll(s.home, 0, out, 4, &n) == NP_OK && n == 0);
    CHECK(np_poll(s.p, 0, out, 4, &n) == NP_OK && n == 0);
    pthread_join(thread, NULL);
    tear_down(&s);
}

/* Ready at once, or by a poll of no time. */
static void a_token_that_need_not_wait(void)
{
    stage s;
    np_token out[4];
    int n;
    set_up(&s);
    send_byte(s.fds[1]);
    CHECK(np_poll(s.p, 0, out, 4, &n) == NP_OK && n == 0);
    CHECK(np_park_at(s.a, NP_WRITE, 1, 0, s.home) != NP_BUSY);
    int rc = np_park_at(s.a, NP_READ, 2, 0, s.home);
    while (rc == NP_PARKED) { /* a level-triggered backend had not been asked */
        CHECK(np_poll(s.home, 0, out, 4, &n) == NP_OK);
        for (int i = 0; i < n; i++)
            if (out[i] == 2)
                rc = np_resume(s.a, NP_READ, 0);
    }
    CHECK(rc == NP_OK);
    np_token token;
    np_cancel(s.a, NP_WRITE, &token);
    while (np_take_ready(s.home, out, 4) > 0)
        ;
    tear_down(&s);
}

static void *poll_p(void *arg)
{
    stage *s = arg;
    CHECK(np_park(s->b, NP_READ, 5, 0) == NP_PARKED);
    CHECK(next_token(s->p) == 5);
    CHECK(np_resume(s->b, NP_READ, 0) == NP_OK);
    return NULL;
}

static void *wait_in_thread(void *arg)
{
    stage *s = arg;
    CHECK(np_wait(s->b, NP_READ) == NP_OK);
    return NULL;
}

/* Others drive p, and home has nothing to ask. */
static void driven_by(void *(*body)(void *))
{
    stage s;
    set_up(&s);
    pthread_t thread = in_thread(body, &s);
    usleep(20000);
    for (int i = 0; i < 20; i++) {
        CHECK(np_park_at(s.a, NP_READ, 77, 0, s.home) == NP_PARKED);
        send_byte(s.fds[1]);
        CHECK(next_token(s.home) == 77);
        CHECK(np_resume(s.a, NP_READ, 0) == NP_OK);
        char byte;
        CHECK(read(s.fds[0], &byte, 1) == 1);
    }
    send_byte(s.fds[0]);
    pthread_join(thread, NULL);
    tear_down(&s);
}

static void a_poll_of_the_other_poller_drives_it(void)
{
    driven_by(poll_p);
}

static void a_thread_drives_the_other_poller(void)
{
    driven_by(wait_in_thread);
}

/* --- what else ends a wait -------------------------------------------------------------------- */

static void *deadline_soon(void *arg)
{
    stage *s = arg;
    usleep(10000);
    CHECK(np_set_deadline(s->a, 20 * MS, NP_READ) == NP_OK);
    return NULL;
}

/* Set before, and moved while home sleeps; and then the descriptor works again. */
static void a_deadline_at_the_other_poller(void)
{
    stage s;
    set_up(&s);
    int64_t before = np_now();
    CHECK(np_set_deadline(s.a, 20 * MS, NP_READ) == NP_OK);
    CHECK(np_park_at(s.a, NP_READ, 1, 0, s.home) == NP_PARKED);
    CHECK(next_token(s.home) == 1 && np_now() - before >= 20 * MS);
    CHECK(np_resume(s.a, NP_READ, 0) == NP_TIMEOUT);
    CHECK(np_set_deadline(s.a, 3600 * 1000 * MS, NP_READ) == NP_OK);
    CHECK(np_park_at(s.a, NP_READ, 2, 0, s.home) == NP_PARKED);
    before = np_now();
    pthread_t thread = in_thread(deadline_soon, &s);
    CHECK(next_token(s.home) == 2 && np_now() - before >= 30 * MS);
    CHECK(np_resume(s.a, NP_READ, 0) == NP_TIMEOUT);
    pthread_join(thread, NULL);
    tear_down(&s);
}

static void *close_soon(void *arg)
{
    stage *s = arg;
    usleep(10000);
    np_close(s->a);
    return NULL;
}

static void *unblock_soon(void *arg)
{
    stage *s = arg;
    usleep(10000);
    np_unblock(s->a);
    return NULL;
}

static void *close_p_soon(void *arg)
{
    stage *s = arg;
    usleep(10000);
    np_poller_close(s->p);
    return NULL;
}

static void closing_at_the_other_poller(void)
{
    void *(*const ways[])(void *) = {close_soon, unblock_soon, close_p_soon};
    for (int i = 0; i < 3; i++) {
        stage s;
        set_up(&s);
        CHECK(np_park_at(s.a, NP_READ, 1, 0, s.home) == NP_PARKED);
        pthread_t thread = in_thread(ways[i], &s);
        CHECK(next_token(s.home) == 1);
        CHECK(np_resume(s.a, NP_READ, 0) == NP_CLOSED);
        pthread_join(thread, NULL);
        CHECK(np_park_at(s.a, NP_READ, 2, 0, s.home) == NP_CLOSED);
        tear_down(&s);
    }
}

static void *close_home_soon(void *arg)
{
    stage *s = arg;
    usleep(10000);
    np_poller_close(s->home);
    return NULL;
}

static void closing_home(void)
{
    stage s;
    np_token out[4];
    int n = 0, rc;
    set_up(&s);
    CHECK(np_park_at(s.a, NP_READ, 1, 0, s.home) == NP_PARKED);
    pthread_t thread = in_thread(close_home_soon, &s);
    while ((rc = np_poll(s.home, -1, out, 4, &n)) == NP_OK)
        CHECK(n == 0);
    CHECK(rc == NP_CLOSED);
    pthread_join(thread, NULL);
    CHECK(np_take_ready(s.home, out, 4) == 1 && out[0] == 1);
    CHECK(np_resume(s.a, NP_READ, 0) == NP_AGAIN);
    CHECK(np_park_at(s.a, NP_READ, 2, 0, s.home) == NP_NO_POLLER);
    send_byte(s.fds[1]);
    CHECK(np_wait(s.a, NP_READ) == NP_OK); /* the descriptor is as good as ever */
    tear_down(&s);
}

static void a_cancelled_token_stays_in(void)
{
    stage s;
    np_token out[4], token = 0;
    int n;
    set_up(&s);
    CHECK(np_park_at(s.a, NP_READ, 1, 0, s.home) == NP_PARKED);
    CHECK(np_cancel_token(s.a, NP_READ, 2) == 0);
    CHECK(np_cancel(s.a, NP_READ, &token) == 1 && token == 1);
    CHECK(np_cancel(s.a, NP_READ, &token) == 0);
    CHECK(np_park(s.a, NP_READ, 3, 0) == NP_PARKED); /* at p from now on */
    send_byte(s.fds[1]);
    CHECK(np_poll(s.home, 0, out, 4, &n) == NP_OK && n == 0);
    CHECK(next_token(s.p) == 3 && np_resume(s.a, NP_READ, 0) == NP_OK);
    tear_down(&s);
}

/* The memory of both is still needed. */
static void all_handles_are_dropped_before_the_token_is_out(void)
{
    stage s;
    np_token out[4];
    set_up(&s);
    CHECK(np_park_at(s.a, NP_READ, 1, 0, s.home) == NP_PARKED);
    CHECK(np_park_at(s.b, NP_READ, 2, 0, s.home) == NP_PARKED);
    np_desc_unref(s.a);
    np_desc_unref(s.b);
    np_poller_unref(s.p);
    CHECK(np_take_ready(s.home, out, 4) == 2 && out[0] + out[1] == 3);
    np_poller_unref(s.home);
    close(s.fds[0]);
    close(s.fds[1]);
}

/* --- sleeping --------------------------------------------------------------------------------- */

static void *wake_home_soon(void *arg)
{
    stage *s = arg;
    usleep(20000);
    np_wake(s->home);
    return NULL;
}

static uint64_t polls_of(np_poller *q)
{
    np_stats stats;
    np_poller_stats(q, &stats);
    return stats.polls;
}

/* p has a token that nothing comes for; it is nested besides.  home sleeps all the same, or naps.
 */
static void what_is_others_does_not_keep_home_awake(void)
{
    enum { NAPS = 100, A_FEW = 20 };
    stage s;
    np_token out[4];
    np_fd outer;
    int n = 0;
    set_up(&s);
    int nested = np_poller_fileno(s.p, &outer);
    CHECK(nested == NP_OK || nested == -ENOSYS);
    CHECK(np_park(s.b, NP_READ, 9, 0) == NP_PARKED);
    CHECK(np_park_at(s.a, NP_READ, 1, 0, s.home) == NP_PARKED);
    np_unblock(s.b);
    uint64_t before = polls_of(s.p);
    int64_t until = np_now() + NAPS * MS;
    while (np_now() < until)
        CHECK(np_poll(s.home, until - np_now(), out, 4, &n) == NP_OK && n == 0);
    CHECK(polls_of(s.p) - before <= NAPS + A_FEW);
    CHECK(np_poll(s.p, 0, out, 4, &n) == NP_OK && n == 1 && out[0] == 9);
    CHECK(np_cancel(s.a, NP_READ, &out[0]) == 1);
    tear_down(&s);
}

static void a_wake_ends_the_sleep_at_home(void)
{
    stage s;
    np_token out[4];
    int n;
    set_up(&s);
    CHECK(np_park_at(s.a, NP_READ, 1, 0, s.home) == NP_PARKED);
    pthread_t thread = in_thread(wake_home_soon, &s);
    CHECK(np_poll(s.home, -1, out, 4, &n) == NP_OK && n == 0);
    pthread_join(thread, NULL);
    CHECK(np_cancel(s.a, NP_READ, &out[0]) == 1);
    tear_down(&s);
}

static void *poll_p_for_a_wake(void *arg)
{
    stage *s = arg;
    np_token out[4];
    int n;
    CHECK(np_poll(s->p, -1, out, 4, &n) == NP_OK && n == 0);
    send_byte(s->fds[1]);
    return NULL;
}

static void *wake_p_soon(void *arg)
{
    stage *s = arg;
    usleep(20000);
    np_wake(s->p);
    return NULL;
}

/* Only np_wake ends the poll of p, and only that sends what home waits for. */
static void home_does_not_take_the_others_wakes(void)
{
    for (int i = 0; i < 5; i++) {
        stage s;
        set_up(&s);
        CHECK(np_park_at(s.a, NP_READ, 1, 0, s.home) == NP_PARKED);
        pthread_t waker = in_thread(wake_p_soon, &s);
        pthread_t poller = in_thread(poll_p_for_a_wake, &s);
        CHECK(next_token(s.home) == 1 && np_resume(s.a, NP_READ, 0) == NP_OK);
        pthread_join(waker, NULL);
        pthread_join(poller, NULL);
        tear_down(&s);
    }
}

static void *park_and_send_soon(void *arg)
{
    stage *s = arg;
    usleep(20000);
    CHECK(np_park_at(s->a, NP_READ, 1, 0, s->home) == NP_PARKED);
    usleep(1000);
    send_byte(s->fds[1]);
    return NULL;
}

static void a_token_is_parked_while_home_sleeps(void)
{
    stage s;
    set_up(&s);
    pthread_t thread = in_thread(park_and_send_soon, &s);
    CHECK(next_token(s.home) == 1 && np_resume(s.a, NP_READ, 0) == NP_OK);
    pthread_join(thread, NULL);
    tear_down(&s);
}

/* A flood at one of the two pollers, one token at a time: the other's comes out all the same. */
static void neither_poller_keeps_the_other_out(void)
{
    enum { ENOUGH = 50 };
    for (int flood_home = 0; flood_home < 2; flood_home++) {
        stage s;
        np_desc *own;
        np_token out;
        int fds[2], n, polls = 0;
        set_up(&s);
        CHECK(nonblocking_pair(fds) == 0);
        CHECK(np_open(s.home, fds[0], &own) == NP_OK);
        np_desc *flooded = flood_home ? own : s.a, *other = flood_home ? s.a : own;
        CHECK(np_park_at(other, NP_READ, 2, 0, s.home) == NP_PARKED);
        send_byte(s.fds[1]);
        send_byte(fds[1]);
        for (out = 1; out == 1 && polls < ENOUGH; polls++) {
            int rc = np_park_at(flooded, NP_WRITE, 1, 0, s.home);
            while (rc == NP_OK) /* the notification of the last time */
                rc = np_park_at(flooded, NP_WRITE, 1, 0, s.home);
            np_set_deadline(flooded, polls % 2 ? NP_NEVER : 0, NP_WRITE);
            CHECK(np_poll(s.home, MS, &out, 1, &n) == NP_OK);
            if (n == 0)
                out = 1;
        }
        CHECK(out == 2 && polls < ENOUGH);
        CHECK(np_resume(other, NP_READ, 0) == NP_OK);
        np_cancel(flooded, NP_WRITE, &out);
        while (np_take_ready(s.home, &out, 1) > 0)
            ;
        np_desc_unref(own);
        close(fds[0]);
        close(fds[1]);
        tear_down(&s);
    }
}

/* --- forks ------------------------------------------------------------------------------------ */

static void *sleep_at_home(void *arg)
{
    stage *s = arg;
    CHECK(next_token(s->home) == 1);
    return NULL;
}

static void child_polls(void *arg)
{
    stage *s = arg;
    send_byte(s->fds[1]);
    CHECK(next_token(s->home) == 1);
    CHECK(np_resume(s->a, NP_READ, 0) == NP_OK);
    np_poller_close(s->p);
}

/* Parked, and ready; with a thread of the parent's that sleeps at home, and is not in the child. */
static void both_processes_go_on_after_a_fork(void)
{
    for (int ready = 0; ready < 2; ready++) {
        stage s;
        np_token out[4];
        int n;
        pthread_t thread = 0;
        set_up(&s);
        CHECK(np_park_at(s.a, NP_READ, 1, 0, s.home) == NP_PARKED);
        if (ready) {
            send_byte(s.fds[1]);
            CHECK(np_poll(s.p, 0, out, 4, &n) == NP_OK && n == 0);
        } else {
            thread = in_thread(sleep_at_home, &s);
            usleep(20000);
        }
        CHECK(holds_in_a_child(child_polls, &s));
        if (ready) {
            CHECK(next_token(s.home) == 1);
        } else {
            char byte;
            send_byte(s.fds[1]); /* besides the child's */
            pthread_join(thread, NULL);
            CHECK(read(s.fds[0], &byte, 1) == 1);
        }
        CHECK(np_resume(s.a, NP_READ, 0) == NP_OK);
        tear_down(&s);
    }
}

/* --- a number that is registered twice ---------------------------------------------------------
 */

static void wait_for_a_file(np_poller *q, np_file *f, int peer, np_token token)
{
    np_op op;
    np_waiter w;
    char byte;
    CHECK(np_op_begin(&op, f, NP_READ, 1) == NP_OK);
    for (int i = 0; i < 3; i++) {
        CHECK(np_op_try(&op) == NP_OK);
        CHECK(np_op_park(&op, q, &w, token) == NP_PARKED);
        CHECK(np_op_resume(&op, &w) == NP_AGAIN);
        send_byte(peer);
        CHECK(next_token(q) == token && np_op_resume(&op, &w) == NP_OK);
        CHECK(read((int)np_file_fd(f), &byte, 1) == 1);
        np_op_moved(&op, 1, 1);
    }
    CHECK(np_op_end(&op) == NP_OK);
}

static void end_a_files_wait(np_poller *q, np_file *f)
{
    np_op op;
    np_waiter w;
    np_token out[4];
    int n;
    np_file_set_timeout(f, 300 * MS); /* not over before it is parked, however slow the machine */
    CHECK(np_op_begin(&op, f, NP_READ, 1) == NP_OK);
    CHECK(np_op_park(&op, q, &w, 3) == NP_PARKED);
    CHECK(next_token(q) == 3 && np_op_resume(&op, &w) == NP_TIMED_OUT);
    CHECK(np_op_end(&op) == NP_OK);
    np_file_set_timeout(f, -1);
    CHECK(np_op_begin(&op, f, NP_READ, 1) == NP_OK);
    CHECK(np_op_park(&op, q, &w, 4) == NP_PARKED);
    CHECK(np_op_cancel(&op, &w) == 1);
    CHECK(np_poll(q, 0, out, 4, &n) == NP_OK && n == 0);
    CHECK(np_op_park(&op, q, &w, 5) == NP_PARKED);
    np_poller_close(q);
    CHECK(np_take_ready(q, out, 4) == 1 && out[0] == 5);
    CHECK(np_op_resume(&op, &w) == NP_OK); /* it may try, but not park */
    CHECK(np_op_park(&op, q, &w, 6) == NP_NO_POLLER);
    CHECK(np_op_end(&op) == NP_OK);
}

/* On home by another's doing: the file goes to a poller that nothing drives but home. */
static void a_files_number_is_registered_already(void)
{
    np_poller *q;
    np_desc *others;
    np_file *f;
    int fds[2];
    CHECK(np_poller_new(home_backend, &q) == NP_OK);
    CHECK(nonblocking_pair(fds) == 0);
    CHECK(np_open(q, fds[0], &others) == NP_OK);
    CHECK(np_file_new(fds[0], NP_FILE_UNIX, &f) == NP_OK);
    wait_for_a_file(q, f, fds[1], 1);
    end_a_files_wait(q, f);
    CHECK(np_file_close(f, 0) == NP_OK);
    np_file_free(f);
    np_desc_unref(others);
    np_poller_unref(q);
    close(fds[1]);
}

/* --- everything at once ------------------------------------------------------------------------
 */

/* Hubs, each with a poller, that park at each other's and at a third; threads, a
 * scheduler of the last one's own, and what ends waits. */
enum { HUBS = 2, POLLERS = HUBS + 1, SLOTS = 6, WAITERS = 2, PEERS = 1, BREAKERS = 1 };
enum { THREADS = HUBS + 1 + WAITERS + PEERS + BREAKERS };
static const int64_t US = 1000;

typedef struct slot {
    pthread_mutex_t lock; /* handles are counted, but this pointer is shared */
    np_desc *d;
    np_poller *q;
    int fd, peer;
} slot;

static np_poller *pollers[POLLERS];
static slot slots[SLOTS];
static atomic_bool over;
static atomic_long parked, came_out, withdrawn;

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
    np_desc *fresh = NULL, *old;
    pthread_mutex_lock(&s->lock);
    old = s->d;
    np_close(old);
    CHECK(np_open(s->q, s->fd, &fresh) == NP_OK);
    s->d = fresh;
    pthread_mutex_unlock(&s->lock);
    np_desc_unref(old);
}

static bool may_be_returned(int rc)
{
    return (rc >= NP_OK && rc <= NP_BUSY) || rc == NP_AGAIN;
}

static void drain(const np_desc *d)
{
    char buffer[64];
    if (read((int)np_desc_fd(d), buffer, sizeof buffer) < 0)
        CHECK(errno == EAGAIN);
}

static void take_tokens(np_poller *q, int64_t timeout, int max)
{
    np_token out[8];
    int n = 0;
    CHECK(np_poll(q, timeout, out, max, &n) == NP_OK);
    for (int i = 0; i < n; i++) {
        np_desc *d = (np_desc *)out[i]; /* its reference travels with it */
        CHECK(may_be_returned(np_resume(d, NP_READ, 0)));
        drain(d);
        np_desc_unref(d);
    }
    came_out += n;
}

static void schedule(np_poller *q, uint64_t *r)
{
    np_desc *d = borrow(&slots[next_random(r) % SLOTS]);
    np_token token;

    parked++;
    if (np_park_at(d, NP_READ, (np_token)d, 0, q) != NP_PARKED) {
        parked--;
        drain(d);
        np_desc_unref(d);
    }
    if (next_random(r) % 4)
        take_tokens(q, next_random(r) % 300 * US, 1 + (int)(next_random(r) % 8));
    d = borrow(&slots[next_random(r) % SLOTS]);
    if (next_random(r) % 4 == 0 && np_cancel(d, NP_READ, &token) == 1) {
        withdrawn++;
        np_desc_unref((np_desc *)token);
    }
    np_desc_unref(d);
}

static void wait_somewhere(uint64_t *r)
{
    slot *s = &slots[next_random(r) % SLOTS];
    np_desc *d = borrow(s);

    np_set_deadline(d, next_random(r) % 2000 * US, NP_READ);
    CHECK(may_be_returned(np_wait(d, NP_READ)));
    drain(d);
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

    switch (next_random(r) % 16) {
    case 0:
        np_unblock(d);
        break;
    case 1:
    case 2:
    case 3:
        reopen(s);
        break;
    case 4:
        np_wake(s->q);
        break;
    default:
        np_set_deadline(d, (int64_t)(next_random(r) % 3000) * US - 100 * US, NP_READ);
    }
    np_desc_unref(d);
    usleep(next_random(r) % 100);
}

static void *run(void *arg)
{
    int i = (int)(intptr_t)arg;
    uint64_t r = (uint64_t)i * 7919 + 1;
    while (!over) {
        if (i < POLLERS)
            schedule(pollers[i], &r);
        else if (i < POLLERS + WAITERS)
            wait_somewhere(&r);
        else if (i < POLLERS + WAITERS + PEERS)
            write_somewhere(&r);
        else
            break_something(&r);
    }
    return NULL;
}

static void start_race(void)
{
    parked = came_out = withdrawn = 0;
    over = false;
    for (int i = 0; i < POLLERS; i++)
        CHECK(np_poller_new(i < HUBS ? home_backend : backend, &pollers[i]) == NP_OK);
    for (int i = 0; i < SLOTS; i++) {
        slot *s = &slots[i];
        int fds[2];
        CHECK(nonblocking_pair(fds) == 0);
        pthread_mutex_init(&s->lock, NULL);
        s->fd = fds[0];
        s->peer = fds[1];
        s->q = pollers[i % POLLERS];
        CHECK(np_open(s->q, fds[0], &s->d) == NP_OK);
    }
}

static void end_race(void)
{
    np_stats stats;
    for (int i = 0; i < SLOTS; i++)
        np_close(slots[i].d);
    for (int i = 0; i < 2 * POLLERS; i++) /* one that was full may have left some */
        take_tokens(pollers[i % POLLERS], 0, 8);
    CHECK(parked == came_out + withdrawn);
    for (int i = 0; i < SLOTS; i++) {
        np_desc_unref(slots[i].d);
        close(slots[i].fd);
        close(slots[i].peer);
    }
    for (int i = 0; i < POLLERS; i++) {
        np_poller_stats(pollers[i], &stats);
        CHECK(stats.parked_readers == 0 && stats.open == 0);
        np_poller_unref(pollers[i]);
    }
}

static void everything_at_once(void)
{
    pthread_t threads[THREADS];
    const char *length = getenv("RACE_MS");

    start_race();
    for (int i = 0; i < THREADS; i++)
        threads[i] = in_thread(run, (void *)(intptr_t)i);
    usleep((useconds_t)(length ? atoi(length) : 300) * 1000);
    over = true;
    for (int k = 0; k < SLOTS; k++) {
        np_desc *d = borrow(&slots[k]);
        np_unblock(d);
        np_desc_unref(d);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    printf("    %ld tokens parked, %ld came out\n", (long)parked, (long)came_out);
    end_race();
}

static void on_each_pair(void)
{
    RUN(a_token_comes_out_at_home_which_alone_polls);
    RUN(a_token_that_need_not_wait);
    RUN(a_poll_of_the_other_poller_drives_it);
    RUN(a_thread_drives_the_other_poller);
    RUN(a_deadline_at_the_other_poller);
    RUN(closing_at_the_other_poller);
    RUN(closing_home);
    RUN(a_cancelled_token_stays_in);
    RUN(all_handles_are_dropped_before_the_token_is_out);
    RUN(what_is_others_does_not_keep_home_awake);
    RUN(a_wake_ends_the_sleep_at_home);
    RUN(home_does_not_take_the_others_wakes);
    RUN(a_token_is_parked_while_home_sleeps);
    RUN(neither_poller_keeps_the_other_out);
    RUN(both_processes_go_on_after_a_fork);
    RUN(a_files_number_is_registered_already);
    RUN(everything_at_once);
}

/* It lasts as long as the process, and is no leak. */
static void free_overflow_poller(void)
{
    np_poller *p;
    CHECK(np_file_overflow_poller(&p) == NP_OK);
    np_poller_unref(p);
}

int main(void)
{
    alarm(300); /* a lost wake-up would wait for ever */
    for (int i = 0; (home_backend = np_backend_name(i)) != NULL; i++)
        for (int k = 0; (backend = np_backend_name(k)) != NULL; k++) {
            printf(" home on %s, descriptors on %s\n", home_backend, backend);
            on_each_pair();
        }
    free_overflow_poller();
    DONE();
}
