/* Threads and tokens that queue for the same units at once, for the sanitizers to watch and for the
 * units to be all there in the end.  RACE_MS (default 300) is its length on each backend.
 *
 *   threads    acquire, with and without an end, and release; signals interrupt them
 *   hubs       park tokens and timers at a poller of their own, poll, resume
 *   meddlers   cancel and move what the hubs have parked, close their pollers, fork
 *   a gate     is opened and shut, and threads pass
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "check.h"
#include "forking.h"
#include "netpoll.h"

enum { SEMAS = 3, THREADS = 3, HUBS = 2, MEDDLERS = 2, TOKENS = 8 };
enum { ALL = THREADS + HUBS + MEDDLERS + 1 };
static const int64_t US = 1000;
static const uint32_t UNITS[SEMAS] = {1, 1, 3};

typedef struct parked {
    np_waiter waiter;
    bool inside;
    np_sema *sema; /* NULL: a timer */
} parked;

typedef struct hub {
    pthread_mutex_t lock; /* of all below, which meddlers use, too */
    np_poller *p;
    parked tokens[TOKENS];
} hub;

static const char *backend;
static np_sema semas[SEMAS], gate;
static atomic_int holders[SEMAS];
static hub hubs[HUBS];
static pthread_t threads[ALL];
static atomic_bool over;
static atomic_long taken, timeouts, interruptions, came_out, withdrawn, closed, forks;

static uint32_t next_random(uint64_t *state)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(*state >> 33);
}

static int64_t soon(uint64_t *r)
{
    return np_now() + next_random(r) % 1500 * US;
}

/* A unit is the caller's, for a moment or for long enough that others queue. */
static void have_a_unit(np_sema *s, uint64_t *r)
{
    long i = (long)(s - semas);
    CHECK((uint32_t)++holders[i] <= UNITS[i]);
    taken++;
    if (next_random(r) % 4 == 0)
        usleep(next_random(r) % 200);
    holders[i]--;
    np_sema_release(s, 1);
}

/* --- threads ---------------------------------------------------------------------------------- */

static void acquire_one(uint64_t *r)
{
    np_sema *s = &semas[next_random(r) % SEMAS];
    int64_t until = next_random(r) % 4 ? soon(r) : NP_NEVER;
    uint64_t place = 0, before = 0;
    int rc;

    while ((rc = np_sema_acquire(s, until, "race", &place)) == NP_INTERRUPTED) {
        CHECK(place != 0 && (before == 0 || before == place));
        before = place;
        interruptions++;
    }
    CHECK(rc == NP_OK || (rc == NP_TIMEOUT && np_now() >= until));
    if (rc == NP_OK)
        have_a_unit(s, r);
    else
        timeouts++;
}

static void pass_the_gate(void)
{
    int rc;
    while ((rc = np_sema_acquire(&gate, NP_NEVER, "gate", NULL)) == NP_INTERRUPTED) {
    }
    CHECK(rc == NP_OK);
}

static void open_and_reset(uint64_t *r)
{
    np_sema_open(&gate);
    if (next_random(r) % 2)
        np_sema_reset(&gate);
    usleep(next_random(r) % 50);
    np_sema_reset(&gate);
    pthread_kill(threads[next_random(r) % THREADS], SIGUSR1);
}

/* --- hubs ------------------------------------------------------------------------------------- */

/* With the hub's lock held. */
static void park_one(hub *h, parked *t, uint64_t *r)
{
    np_sema *s = next_random(r) % 4 ? &semas[next_random(r) % SEMAS] : NULL;
    int64_t until = next_random(r) % 4 ? soon(r) : NP_NEVER;

    int rc = s ? np_sema_park(s, &t->waiter, h->p, (np_token)t, until, "race")
               : np_timer_start(&t->waiter, h->p, (np_token)t, until, "race");
    CHECK(rc == NP_PARKED || rc == NP_CLOSED || (s && (rc == NP_OK || rc == NP_TIMEOUT)));
    t->inside = rc == NP_PARKED;
    t->sema = s;
    if (rc == NP_OK)
        have_a_unit(s, r);
}

static void resume_all(hub *h, const np_token *out, int n, uint64_t *r)
{
    pthread_mutex_lock(&h->lock);
    for (int i = 0; i < n; i++) {
        parked *t = (parked *)out[i];
        if (!t->inside)
            continue; /* a meddler has it */
        t->inside = false;
        came_out++;
        int rc = np_waiter_resume(&t->waiter);
        CHECK(rc == NP_OK || rc == NP_CLOSED || (rc == NP_TIMEOUT && t->sema));
        if (rc == NP_OK && t->sema)
            have_a_unit(t->sema, r);
    }
    pthread_mutex_unlock(&h->lock);
}

static bool has_parked(hub *h)
{
    bool some = false;
    pthread_mutex_lock(&h->lock);
    for (int i = 0; i < TOKENS; i++)
        some = some || h->tokens[i].inside;
    pthread_mutex_unlock(&h->lock);
    return some;
}

/* All tokens come out of a poller that is closed, those that are being granted a unit a little
 * later. */
static void drain(hub *h, uint64_t *r)
{
    np_token out[TOKENS];
    while (has_parked(h))
        resume_all(h, out, np_take_ready(h->p, out, TOKENS), r);
}

static void replace_poller(hub *h, uint64_t *r)
{
    np_stats stats;
    np_token out[TOKENS];

    drain(h, r);
    np_take_ready(h->p, out, TOKENS); /* those that a meddler found on their way */
    pthread_mutex_lock(&h->lock);
    np_poller_stats(h->p, &stats);
    CHECK(stats.waiters == 0);
    np_poller_unref(h->p);
    CHECK(np_poller_new(backend, &h->p) == NP_OK);
    pthread_mutex_unlock(&h->lock);
}

static void run_hub(hub *h, uint64_t *r)
{
    np_token out[TOKENS];
    int n = 0;

    pthread_mutex_lock(&h->lock);
    for (int i = 0; i < TOKENS; i++)
        if (!h->tokens[i].inside)
            park_one(h, &h->tokens[i], r);
    pthread_mutex_unlock(&h->lock);
    int rc = np_poll(h->p, next_random(r) % 300 * US, out, TOKENS, &n);
    CHECK(rc == NP_OK || rc == NP_CLOSED);
    resume_all(h, out, n, r);
    if (rc == NP_CLOSED)
        replace_poller(h, r);
}

/* Threads may wait for units that its tokens have been granted. */
static void end_hub(hub *h, uint64_t *r)
{
    np_stats stats;

    np_poller_close(h->p);
    drain(h, r);
    np_poller_stats(h->p, &stats);
    CHECK(stats.waiters == 0);
}

/* --- meddlers --------------------------------------------------------------------------------- */

static void cancel(parked *t, uint64_t *r)
{
    int rc = -1;

    withdrawn += np_waiter_cancel(&t->waiter, &rc);
    t->inside = false;
    CHECK(rc == NP_OK || rc == NP_AGAIN || rc == NP_TIMEOUT || rc == NP_CLOSED);
    if (rc == NP_OK && t->sema)
        have_a_unit(t->sema, r);
}

/* Only tokens wait there, and the threads that had units are gone with them.  The hub's lock is
 * held, so its poller is whole. */
static void child(void *h)
{
    for (int i = 0; i < SEMAS; i++) {
        np_sema_release(&semas[i], HUBS * TOKENS + 1);
        CHECK(np_sema_try(&semas[i]) == NP_OK);
        while (np_sema_try(&semas[i]) == NP_OK) {
        }
        CHECK(np_sema_acquire(&semas[i], np_now() + US, "child", NULL) == NP_TIMEOUT);
    }
    np_poller_close(((hub *)h)->p);
}

static void meddle(uint64_t *r)
{
    hub *h = &hubs[next_random(r) % HUBS];
    parked *t = &h->tokens[next_random(r) % TOKENS];
    uint32_t what = next_random(r) % 64;

    pthread_mutex_lock(&h->lock);
    if (what == 0) {
        np_poller_close(h->p);
        closed++;
    } else if (what == 1) {
        CHECK(holds_in_a_child(child, h));
        forks++;
    } else if (t->inside && what % 2) {
        cancel(t, r);
    } else if (t->inside) {
        int rc = np_timer_move(&t->waiter, next_random(r) % 4 ? soon(r) : NP_NEVER);
        CHECK(rc == 0 || rc == 1);
    }
    pthread_mutex_unlock(&h->lock);
    usleep(next_random(r) % 100);
}

/* --- all -------------------------------------------------------------------------------------- */

static void *run(void *arg)
{
    int i = (int)(intptr_t)arg;
    uint64_t r = (uint64_t)i * 7919 + 1;
    while (!over) {
        if (i < THREADS && next_random(&r) % 8 == 0)
            pass_the_gate();
        else if (i < THREADS)
            acquire_one(&r);
        else if (i < THREADS + HUBS)
            run_hub(&hubs[i - THREADS], &r);
        else if (i < THREADS + HUBS + MEDDLERS)
            meddle(&r);
        else
            open_and_reset(&r);
    }
    if (i >= THREADS && i < THREADS + HUBS)
        end_hub(&hubs[i - THREADS], &r);
    np_sema_open(&gate);
    return NULL;
}

static void interrupt(int signo)
{
    (void)signo;
}

static void set_up(void)
{
    struct sigaction action = {.sa_handler = interrupt};

    CHECK(sigaction(SIGUSR1, &action, NULL) == 0);
    over = false;
    taken = timeouts = interruptions = came_out = withdrawn = closed = forks = 0;
    np_sema_init(&gate, 0);
    for (int i = 0; i < SEMAS; i++)
        np_sema_init(&semas[i], UNITS[i]);
    for (int i = 0; i < HUBS; i++) {
        memset(&hubs[i], 0, sizeof hubs[i]);
        pthread_mutex_init(&hubs[i].lock, NULL);
        CHECK(np_poller_new(backend, &hubs[i].p) == NP_OK);
    }
}

static void tear_down(void)
{
    for (int i = 0; i < HUBS; i++)
        np_poller_unref(hubs[i].p);
    for (int i = 0; i < SEMAS; i++)
        CHECK(np_sema_count(&semas[i]) == UNITS[i]);
    np_sema_reset(&gate);
    CHECK(np_sema_count(&gate) == 0 && gate.word == 0);
}

static void every_unit_is_there_in_the_end(void)
{
    const char *length = getenv("RACE_MS");

    set_up();
    for (int i = 0; i < ALL; i++)
        CHECK(pthread_create(&threads[i], NULL, run, (void *)(intptr_t)i) == 0);
    usleep((useconds_t)(length ? atoi(length) : 300) * 1000);
    over = true;
    for (int i = ALL; i-- > 0;) /* first the one that signals the others */
        pthread_join(threads[i], NULL);
    printf("    %ld units taken, %ld timeouts, %ld interruptions, %ld tokens out, %ld withdrawn, "
           "%ld pollers closed, %ld forks\n",
           (long)taken, (long)timeouts, (long)interruptions, (long)came_out, (long)withdrawn,
           (long)closed, (long)forks);
    tear_down();
}

int main(void)
{
    for (int i = 0; (backend = np_backend_name(i)) != NULL; i++) {
        printf(" backend %s\n", backend);
        RUN(every_unit_is_there_in_the_end);
    }
    DONE();
}
