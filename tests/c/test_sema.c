/* Semaphores: threads and tokens.  test_one_thread_sema.c has what needs no second thread. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "check.h"
#include "core/internal.h"
#include "forking.h"
#include "netpoll.h"
#include "sema/sema.h"
#include "tokens.h"

enum { MS = 1000000 };

static void count_one(const np_waiting *w, void *n)
{
    (void)w;
    ++*(int *)n;
}

/* Until n threads and tokens wait, in this whole process. */
static void await_waiters(int n)
{
    for (int found = -1; found != n; usleep(100)) {
        found = 0;
        CHECK(np_sema_each(-1, count_one, &found));
    }
}

static void *take_one(void *s)
{
    return (void *)(intptr_t)np_sema_acquire(s, NP_NEVER, "test", NULL);
}

static void opening_lets_all_pass(void)
{
    np_poller *p = new_poller();
    np_sema s = {0};
    np_waiter w;
    np_token token = 0;
    pthread_t threads[4];

    for (int i = 0; i < 4; i++)
        CHECK(pthread_create(&threads[i], NULL, take_one, &s) == 0);
    CHECK(np_sema_park(&s, &w, p, 9, NP_NEVER, "join") == NP_PARKED);
    np_sema_open(&s);
    for (int i = 0; i < 4; i++) {
        void *rc = NULL;
        pthread_join(threads[i], &rc);
        CHECK((intptr_t)rc == NP_OK);
    }
    while (pop(p, -1, &token) == 0) {
    }
    CHECK(token == 9 && np_waiter_resume(&w) == NP_OK);
    CHECK(np_sema_try(&s) == NP_OK);
    np_poller_unref(p);
}

typedef struct before_fork {
    np_sema sema;
    np_poller *p;
    np_waiter w;
} before_fork;

static void child_of_a_fork(void *arg)
{
    before_fork *b = arg;
    np_token token = 0;

    np_sema_release(&b->sema, 2); /* for the token, and nobody else is there */
    CHECK(pop(b->p, 0, &token) == 1 && token == 6);
    CHECK(np_waiter_resume(&b->w) == NP_OK);
    CHECK(np_sema_try(&b->sema) == NP_OK && np_sema_try(&b->sema) == NP_AGAIN);
    np_poller_unref(b->p);
}

static void waiting_threads_do_not_survive_a_fork_and_tokens_do(void)
{
    before_fork b = {.p = new_poller()};
    np_token token = 0;
    np_stats stats = {0};
    pthread_t thread;

    CHECK(pthread_create(&thread, NULL, take_one, &b.sema) == 0);
    await_waiters(1);
    CHECK(np_sema_park(&b.sema, &b.w, b.p, 6, NP_NEVER, "test") == NP_PARKED);
    CHECK(holds_in_a_child(child_of_a_fork, &b));
    np_sema_release(&b.sema, 1);
    pthread_join(thread, NULL);
    CHECK(pop(b.p, 0, &token) == 0);
    np_sema_release(&b.sema, 1);
    CHECK(pop(b.p, 0, &token) == 1 && np_waiter_resume(&b.w) == NP_OK);
    np_poller_stats(b.p, &stats);
    CHECK(stats.waiters == 0);
    np_poller_unref(b.p);
}

/* --- order ------------------------------------------------------------------------------------ */

enum { IN_LINE = 12 };
static np_sema line;
static atomic_int next_in_line;
static np_sema served; /* a unit for each that has been */

static void *stand_in_line(void *place)
{
    CHECK(np_sema_acquire(&line, NP_NEVER, "line", NULL) == NP_OK);
    CHECK(next_in_line++ == (intptr_t)place);
    np_sema_release(&served, 1);
    return NULL;
}

static void serve_token(np_poller *p, np_waiter *w, int place)
{
    np_token token = 0;
    while (pop(p, -1, &token) == 0) {
    }
    CHECK(token == (np_token)place && np_waiter_resume(&w[place]) == NP_OK);
    CHECK(next_in_line++ == place);
}

/* Every third is a token. */
static void threads_and_tokens_are_served_in_one_order(void)
{
    np_poller *p = new_poller();
    pthread_t threads[IN_LINE];
    np_waiter w[IN_LINE];

    np_sema_init(&line, 0);
    np_sema_init(&served, 0);
    next_in_line = 0;
    for (int i = 0; i < IN_LINE; i++) {
        if (i % 3 == 0)
            CHECK(np_sema_park(&line, &w[i], p, (np_token)i, NP_NEVER, "line") == NP_PARKED);
        else
            CHECK(pthread_create(&threads[i], NULL, stand_in_line, (void *)(intptr_t)i) == 0);
        await_waiters(i + 1);
    }
    for (int i = 0; i < IN_LINE; i++) {
        CHECK(np_sema_try(&line) == NP_AGAIN);
        np_sema_release(&line, 1);
        if (i % 3 == 0)
            serve_token(p, w, i);
        else
            CHECK(np_sema_acquire(&served, NP_NEVER, "served", NULL) == NP_OK);
    }
    for (int i = 0; i < IN_LINE; i++)
        if (i % 3 != 0)
            pthread_join(threads[i], NULL);
    CHECK(np_sema_count(&line) == 0);
    np_poller_unref(p);
}

static atomic_int interruptions;

static void note(int signo)
{
    (void)signo;
}

/* Serves two, when both stand and the first, which is the main thread, has been interrupted often
 * enough. */
static void *interrupt_and_serve(void *main_thread)
{
    while (interruptions < 3) {
        pthread_kill(*(pthread_t *)main_thread, SIGUSR1);
        usleep(1000);
    }
    await_waiters(2);
    np_sema_release(&line, 1);
    CHECK(np_sema_acquire(&served, NP_NEVER, "served", NULL) == NP_OK);
    np_sema_release(&line, 1);
    return NULL;
}

static void *stand_behind_the_first(void *unused)
{
    (void)unused;
    await_waiters(1);
    return stand_in_line((void *)1);
}

/* The last test: from here on the main thread comes back for signals. */
static void an_interruption_costs_no_place(void)
{
    struct sigaction action = {.sa_handler = note};
    pthread_t self = pthread_self(), second, server;
    uint64_t place = 0;

    np_enable_signal_checks();
    CHECK(sigaction(SIGUSR1, &action, NULL) == 0);
    np_sema_init(&line, 0);
    np_sema_init(&served, 0);
    next_in_line = interruptions = 0;
    CHECK(pthread_create(&second, NULL, stand_behind_the_first, NULL) == 0);
    CHECK(pthread_create(&server, NULL, interrupt_and_serve, &self) == 0);
    while (np_sema_acquire(&line, NP_NEVER, "line", &place) == NP_INTERRUPTED)
        interruptions++;
    CHECK(next_in_line++ == 0);
    np_sema_release(&served, 1);
    pthread_join(second, NULL);
    pthread_join(server, NULL);
}

/* A handler that raises ends a wait: the next one has not been idle. */
static void another_wait_is_checked_as_soon_as_the_first(void)
{
    uint64_t place = 0;

    np_enable_signal_checks();
    np_sema_init(&line, 0);
    for (int i = 0; i < 5; i++) /* 20 ms to 320 */
        CHECK(np_sema_acquire(&line, NP_NEVER, "line", &place) == NP_INTERRUPTED);
    np_begin_wait();
    int64_t began = np_now();
    CHECK(np_sema_acquire(&line, NP_NEVER, "line", &place) == NP_INTERRUPTED);
    CHECK(np_now() - began < 600 * MS);
    np_sema_release(&line, 1);
    CHECK(np_sema_acquire(&line, NP_NEVER, "line", &place) == NP_OK);
}

/* More threads than are woken, and more pollers than are left, at a time. */
enum { CROWD = 40 };

static void await_crowd(pthread_t *threads)
{
    for (int i = 0; i < CROWD; i++) {
        void *rc = NULL;
        pthread_join(threads[i], &rc);
        CHECK((intptr_t)rc == NP_OK);
    }
}

static void a_crowd_of(np_sema *s, np_poller **p, np_waiter *w, pthread_t *threads)
{
    for (int i = 0; i < CROWD; i++) {
        CHECK(pthread_create(&threads[i], NULL, take_one, s) == 0);
        CHECK(np_sema_park(s, &w[i], p[i % 2], (np_token)i, NP_NEVER, "crowd") == NP_PARKED);
    }
    await_waiters(2 * CROWD);
}

static void take_crowd(np_poller **p, np_waiter *w)
{
    for (int i = 0; i < CROWD; i++) {
        np_token token = 0;
        CHECK(pop(p[i % 2], 0, &token) == 1 && token == (np_token)i);
        CHECK(np_waiter_resume(&w[i]) == NP_OK);
    }
}

static void a_crowd_is_served(void)
{
    np_poller *p[2] = {new_poller(), new_poller()};
    np_sema s = {0};
    np_waiter w[CROWD];
    pthread_t threads[CROWD];

    a_crowd_of(&s, p, w, threads);
    np_sema_release(&s, 2 * CROWD + 1);
    await_crowd(threads);
    take_crowd(p, w);
    CHECK(np_sema_try(&s) == NP_OK && np_sema_count(&s) == 0);

    a_crowd_of(&s, p, w, threads);
    np_sema_open(&s);
    await_crowd(threads);
    take_crowd(p, w);
    CHECK(np_sema_is_open(&s) && np_sema_count(&s) == 0);
    np_poller_unref(p[0]);
    np_poller_unref(p[1]);
}

/* --- a lock ----------------------------------------------------------------------------------- */

enum { ROUNDS = 20000 };
static np_sema turn = {0};
static int counter;

static void *count_up(void *unused)
{
    (void)unused;
    for (int i = 0; i < ROUNDS; i++) {
        CHECK(np_sema_acquire(&turn, NP_NEVER, "lock", NULL) == NP_OK);
        counter++;
        np_sema_release(&turn, 1);
    }
    return NULL;
}

static np_sema request;
static np_sema *answer;

static void *answer_all(void *unused)
{
    (void)unused;
    for (int i = 0; i < ROUNDS; i++) {
        CHECK(np_sema_acquire(&request, NP_NEVER, "request", NULL) == NP_OK);
        np_sema_release(answer, 1);
    }
    return NULL;
}

/* The one that releases touches it no more. */
static void the_owner_of_the_last_unit_frees_the_semaphore(void)
{
    pthread_t thread;
    int bad = 0;

    np_sema_init(&request, 0);
    CHECK(pthread_create(&thread, NULL, answer_all, NULL) == 0);
    for (int i = 0; i < ROUNDS; i++) {
        answer = calloc(1, sizeof *answer);
        CHECK(answer != NULL);
        np_sema_release(&request, 1);
        bad += np_sema_acquire(answer, NP_NEVER, "answer", NULL) != NP_OK;
        free(answer);
    }
    pthread_join(thread, NULL);
    CHECK(bad == 0);
}

static void a_semaphore_of_one_is_a_lock(void)
{
    pthread_t threads[4];

    np_sema_init(&turn, 1);
    for (int i = 0; i < 4; i++)
        CHECK(pthread_create(&threads[i], NULL, count_up, NULL) == 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    CHECK(counter == 4 * ROUNDS);
}

int main(void)
{
    RUN(opening_lets_all_pass);
    RUN(waiting_threads_do_not_survive_a_fork_and_tokens_do);
    RUN(threads_and_tokens_are_served_in_one_order);
    RUN(a_crowd_is_served);
    RUN(the_owner_of_the_last_unit_frees_the_semaphore);
    RUN(a_semaphore_of_one_is_a_lock);
    RUN(an_interruption_costs_no_place);
    RUN(another_wait_is_checked_as_soon_as_the_first);
    DONE();
}
