/* Scenarios of semaphores and timers: threads and tokens that queue for units, and whatever may end
 * their waits.
 *
 * That no unit is lost or doubled is checked in every execution: what was released is what was
 * taken and what is left.  So is that no queue, poller or heap keeps a waiter whose wait is over:
 * waiters are freed as soon as they may be.
 */
#include <string.h>

#include "core/internal.h"
#include "explore.h"
#include "kernel.h"
#include "sema/sema.h"
#include "semas.h"
#include "sim.h"
#include "stage.h"

#define np_poll(...) (ex_polled = true, np_poll(__VA_ARGS__))

enum { SOON = 100, LATER = 300 };

/* A token is its address. */
typedef struct waiting {
    np_waiter waiter;
    bool out;
} waiting;

enum {
    CROWD = 34
}; /* more than are granted at a time, if each is at another poller than the last */

static np_sema *s;
static np_poller *q; /* another one */
static waiting *parked[CROWD];
static int64_t start, ended[EX_ACTORS];
static uint32_t taken, released;
static bool flag[3];
static int withdrawn, cancelled;

/* --- before and after --------------------------------------------------------------------------
 */

static void with_units(uint32_t count)
{
    with(0);
    s = sim_calloc(1, sizeof *s);
    np_sema_init(s, count);
    released = count;
    taken = 0;
    q = NULL;
    withdrawn = cancelled = -1;
    start = ex_clock();
    memset(parked, 0, sizeof parked);
    memset(ended, 0, sizeof ended);
    memset(flag, 0, sizeof flag);
}

static void no_units(void)
{
    with_units(0);
}
static void one_unit(void)
{
    with_units(1);
}

static void another_poller(void)
{
    EXPECT(np_poller_new(ex_backend, &q) == NP_OK);
}

static waiting *new_waiting(void)
{
    return sim_calloc(1, sizeof(waiting));
}

static waiting *park_at(np_poller *at, int64_t until)
{
    waiting *w = new_waiting();
    EXPECT(np_sema_park(s, &w->waiter, at, (np_token)w, until, "test") == NP_PARKED);
    return w;
}

static waiting *timer_at(np_poller *at, int64_t when)
{
    waiting *w = new_waiting();
    EXPECT(np_timer_start(&w->waiter, at, (np_token)w, when, "test") == NP_PARKED);
    return w;
}

static void token_parked(void)
{
    no_units();
    parked[0] = park_at(p, NP_NEVER);
}
static void two_tokens_parked(void)
{
    token_parked();
    parked[1] = park_at(p, NP_NEVER);
}
static void token_parked_for_a_while(void)
{
    no_units();
    parked[0] = park_at(p, start + SOON);
}
static void token_parked_elsewhere(void)
{
    no_units();
    another_poller();
    parked[0] = park_at(q, NP_NEVER);
}
static void token_at_each_poller(void)
{
    token_parked_elsewhere();
    parked[1] = park_at(p, NP_NEVER);
}

static void free_token(waiting **w)
{
    sim_free(*w);
    *w = NULL;
}

static void poller_is_idle(np_poller *at)
{
    np_stats stats;
    np_poller_stats(at, &stats);
    EXPECT(stats.waiters == 0 && np_list_empty(&at->waiters));
    EXPECT(at->heap.count == 0);
}

static void drop_other_poller(void)
{
    np_token out[1];
    poller_is_idle(q);
    EXPECT(np_take_ready(q, out, 1) == 0);
    EXPECT(np_load(&q->refs) == 1);
    np_poller_unref(q);
}

static void all_is_over(void)
{
    EXPECT(sema_check_queues() == 0);
    EXPECT(released == taken + np_sema_count(s));
    poller_is_idle(p);
    if (q)
        drop_other_poller();
    sim_free(s);
    finish();
}

static void all_ok(int n)
{
    for (int i = 0; i < n; i++)
        EXPECT(result[i] == NP_OK);
    all_is_over();
}
static void first_ok(void)
{
    all_ok(1);
}
static void two_ok(void)
{
    all_ok(2);
}
static void three_ok(void)
{
    all_ok(3);
}

/* --- what actors do ----------------------------------------------------------------------------
 */

static int took(int rc)
{
    taken += rc == NP_OK;
    return rc;
}

static void ends(int rc)
{
    end_with(took(rc));
    ended[ex_self] = ex_clock();
}

static void release(uint32_t n)
{
    released += n;
    np_sema_release(s, n);
}

static void acquires(void)
{
    ends(np_sema_acquire(s, NP_NEVER, "test", NULL));
}
static void acquires_for_a_while(void)
{
    ends(np_sema_acquire(s, start + SOON, "test", NULL));
}
static void acquires_for_longer(void)
{
    ends(np_sema_acquire(s, start + LATER, "test", NULL));
}
static void releases_1(void)
{
    release(1);
}
static void releases_2(void)
{
    release(2);
}
static void releases_4(void)
{
    release(4);
}
/* One unit is free at a time. */
static void releases_within_1(void)
{
    if (np_sema_release_within(s, 1, 1) == NP_OK)
        released++;
    EXPECT(np_sema_count(s) <= 1);
}
static void opens(void)
{
    np_sema_open(s);
}

static void mark(const np_token *out, int n)
{
    for (int i = 0; i < n; i++) {
        waiting *w = (waiting *)out[i];
        EXPECT(!w->out);
        w->out = true;
    }
}

/* Also when it is closed. */
static void poll_until_out(np_poller *at, const waiting *mine)
{
    np_token out[4];
    int n;
    while (!mine->out) {
        if (np_poll(at, -1, out, 4, &n) == NP_CLOSED)
            n = np_take_ready(at, out, 4);
        mark(out, n);
        if (!mine->out)
            np_yield();
    }
}

static int resume(waiting **w)
{
    int rc = np_waiter_resume(&(*w)->waiter);
    EXPECT(rc != NP_AGAIN);
    free_token(w);
    return rc;
}

static int wait_as_token(np_poller *at, int64_t until)
{
    waiting *w = new_waiting();
    int rc = np_sema_park(s, &w->waiter, at, (np_token)w, until, "test");
    if (rc != NP_PARKED) {
        sim_free(w);
        return rc;
    }
    poll_until_out(at, w);
    return resume(&w);
}

static void takes_token_0(void)
{
    poll_until_out(p, parked[0]);
    ends(resume(&parked[0]));
}
static void takes_token_1(void)
{
    poll_until_out(p, parked[1]);
    ends(resume(&parked[1]));
}
static void takes_token_0_elsewhere(void)
{
    poll_until_out(q, parked[0]);
    ends(resume(&parked[0]));
}
static void takes_a_token(void)
{
    np_token out = 0;
    int n = 0;
    for (;;) {
        EXPECT(np_poll(p, -1, &out, 1, &n) == NP_OK);
        if (n > 0)
            break;
        np_yield();
    }
    mark(&out, 1);
    waiting *w = (waiting *)out;
    ends(resume(&w));
}
static void schedules(void)
{
    ends(wait_as_token(p, NP_NEVER));
}
static void schedules_for_a_while(void)
{
    ends(wait_as_token(p, start + SOON));
}

static void clock_goes_on(void)
{
    ex_advance(SOON);
}

/* --- the order of the queue --------------------------------------------------------------
 */

static bool enough_wait(void *n)
{
    return sema_is_settled(s) && sema_waiters(s) >= *(const int *)n;
}

static void await_waiters(int n)
{
    sema_await_waiters(s, enough_wait, &n);
}

/* --- threads ---------------------------------------------------------------------------------- */

static int inside;
static uint32_t turns;

static void a_lock(void)
{
    one_unit();
    inside = 0;
    turns = 0;
}

static void a_lock_and_another_poller(void)
{
    a_lock();
    another_poller();
}

static void under_the_lock(int rc)
{
    if (rc == NP_OK) {
        EXPECT(inside++ == 0);
        np_yield();
        EXPECT(--inside == 0);
        turns++;
        release(1);
    }
    ends(rc);
}

static void locks(void)
{
    under_the_lock(np_sema_acquire(s, NP_NEVER, "test", NULL));
}
static void locks_for_a_while(void)
{
    under_the_lock(np_sema_acquire(s, start + SOON, "test", NULL));
}
static void locks_as_token(void)
{
    under_the_lock(wait_as_token(p, NP_NEVER));
}
static void locks_as_token_elsewhere(void)
{
    under_the_lock(wait_as_token(q, NP_NEVER));
}

static void lock_is_free(void)
{
    EXPECT(np_sema_count(s) == 1);
    all_ok((int)turns);
}
static void all_had_it(void)
{
    EXPECT(turns == 3);
    lock_is_free();
}
static void two_hubs_had_it(void)
{
    EXPECT(turns == 2);
    lock_is_free();
}
static void two_had_it_or_gave_up(void)
{
    EXPECT(result[0] == NP_OK && result[1] == NP_OK);
    EXPECT(result[2] == NP_OK || (result[2] == NP_TIMEOUT && ended[2] >= start + SOON));
    EXPECT(np_sema_count(s) == 1);
    all_is_over();
}

/* Its record is gone as soon as it knows, and another is in its place. */
static void acquires_twice(void)
{
    acquires();
    acquires();
}

/* The owner of the last unit may free the semaphore. */
static void acquires_and_frees(void)
{
    end_with(took(np_sema_acquire(s, NP_NEVER, "test", NULL)));
    sim_free(s);
}
static void schedules_and_frees(void)
{
    end_with(took(wait_as_token(p, NP_NEVER)));
    sim_free(s);
}
static void it_is_gone(void)
{
    EXPECT(result[0] == NP_OK && taken == 1);
    EXPECT(sema_check_queues() == 0);
    poller_is_idle(p);
    finish();
}

/* --- ends of waits ---------------------------------------------------------------------------- */

static void ok_or_timeout(int i)
{
    EXPECT(result[i] == NP_OK || (result[i] == NP_TIMEOUT && ended[i] >= start + SOON));
}
static void first_ok_or_timeout(void)
{
    ok_or_timeout(0);
    all_is_over();
}
/* The one unit, in time for both or for the second. */
static void either_has_it(void)
{
    ok_or_timeout(0);
    EXPECT(result[1] == (result[0] == NP_OK ? NP_TIMEOUT : NP_OK));
    all_is_over();
}
static void timed_out(void)
{
    EXPECT(result[0] == NP_TIMEOUT && ended[0] >= start + SOON);
    EXPECT(ended[0] <= start + SOON + LATE);
    all_is_over();
}

/* A unit that came with the cancel, or was there before, is passed on. */
static void cancels_0(void)
{
    waiting *w = parked[0];
    cancelled = np_waiter_cancel(&w->waiter, &withdrawn);
    EXPECT(withdrawn == NP_OK || withdrawn == NP_AGAIN || withdrawn == NP_TIMEOUT ||
           withdrawn == NP_CLOSED);
    if (took(withdrawn) == NP_OK)
        release(1);
    if (cancelled)
        free_token(&parked[0]);
    ex_set(&flag[0]);
    np_wake(p);
}

/* A scheduler whose tokens another may withdraw. */
static void polls_unless_cancelled(void)
{
    np_token out[4];
    int n;
    while (!flag[0] && (!parked[0] || !parked[0]->out)) {
        EXPECT(np_poll(p, -1, out, 4, &n) == NP_OK);
        mark(out, n);
        if (n == 0)
            np_yield();
    }
}

static void out_or_withdrawn(void)
{
    EXPECT(cancelled == (parked[0] == NULL));
    if (!cancelled) {
        EXPECT(parked[0]->out && withdrawn != NP_AGAIN);
        free_token(&parked[0]);
    }
    all_is_over();
}

static void nothing_to_pass_on(void)
{
    EXPECT(cancelled == (parked[0] == NULL) && withdrawn == NP_AGAIN);
    if (!cancelled) {
        EXPECT(parked[0]->out);
        free_token(&parked[0]);
    }
    all_is_over();
}

static void resumes_too_early(void)
{
    EXPECT(np_waiter_resume(&parked[0]->waiter) == NP_AGAIN);
    takes_token_0();
}

static void second_took_its_unit(void)
{
    EXPECT(result[1] == NP_OK && np_sema_count(s) == 0);
    out_or_withdrawn();
}

static void closes_poller(void)
{
    np_poller_close(p);
}

static void first_ok_or_closed(void)
{
    EXPECT(result[0] == NP_OK || result[0] == NP_CLOSED);
    bool left = np_sema_count(s) > 0;
    EXPECT(left == (result[0] == NP_CLOSED));
    int rc = np_sema_park(s, &(np_waiter){{0}}, p, 0, NP_NEVER, "test");
    EXPECT(took(rc) == (left ? NP_OK : NP_CLOSED));
    all_is_over();
}

static void closed_and_ok(void)
{
    EXPECT(result[0] == NP_CLOSED || result[0] == NP_OK);
    EXPECT(result[1] == NP_OK);
    all_is_over();
}

/* One parks, another polls: the waiter is gone before the first has returned. */
static void parks_for_a_while(void)
{
    waiting *w = new_waiting();
    int rc = np_sema_park(s, &w->waiter, p, (np_token)w, start + SOON, "test");
    if (rc != NP_PARKED)
        sim_free(w);
    ends(rc);
    if (rc != NP_PARKED)
        np_wake(p);
}

static void resumes_whatever_comes(void)
{
    np_token out[4];
    int n = 0, rc = np_poll(p, -1, out, 4, &n);
    if (rc == NP_CLOSED)
        n = np_take_ready(p, out, 4);
    for (int i = 0; i < n; i++) {
        waiting *w = (waiting *)out[i];
        ends(resume(&w));
    }
}

static void frees_whatever_comes_late(void)
{
    np_token out[4];
    for (int n = np_take_ready(p, out, 4); n-- > 0;) {
        waiting *w = (waiting *)out[n];
        took(resume(&w));
    }
}

static void parked_and_gone(void)
{
    np_token out[4];
    int n = 0;
    if (!np_poller_closed(p)) {
        ex_advance(SOON);
        EXPECT(np_poll(p, 0, out, 4, &n) == NP_OK);
        for (int i = 0; i < n; i++) {
            waiting *w = (waiting *)out[i];
            took(resume(&w));
        }
    }
    frees_whatever_comes_late();
    all_is_over();
}

/* --- signals ---------------------------------------------------------------------------------- */

static void signals_first(void)
{
    ex_signal("first");
}

static void ok_or_interrupted(void)
{
    EXPECT(result[0] == NP_OK || result[0] == NP_INTERRUPTED);
    all_is_over();
}

static void interrupted_or_in_time(void)
{
    EXPECT(result[0] == NP_INTERRUPTED || result[0] == NP_TIMEOUT);
    EXPECT(result[0] == NP_INTERRUPTED || ended[0] >= start + SOON);
    all_is_over();
}

/* As Python does; flag 0: a signal came, flag 1: it has its unit. */
static void acquires_with_a_place(void)
{
    uint64_t place = 0, before = 0;
    int rc;
    do {
        before = place;
        rc = np_sema_acquire(s, NP_NEVER, "test", &place);
        EXPECT(place == before || before == 0);
        if (rc == NP_INTERRUPTED)
            ex_set(&flag[0]);
    } while (rc == NP_INTERRUPTED);
    ends(rc);
    ex_set(&flag[1]);
}

static void acquires_as_second(void)
{
    await_waiters(1);
    ex_set(&flag[2]);
    acquires();
    EXPECT(flag[1]);
}

/* When both wait, and the first has been interrupted and is back, they are served one by one. */
static void signals_and_releases(void)
{
    ex_await(&flag[2]);
    await_waiters(2);
    ex_signal("first");
    ex_await(&flag[0]);
    await_waiters(2);
    release(1);
    ex_await(&flag[1]);
    release(1);
}

static void no_units_and_a_handler(void)
{
    no_units();
    np_enable_signal_checks();
    ex_has_handler("first");
}

static void acquires_and_handles(void)
{
    int rc;
    do {
        if (ex_check_signals())
            ex_set(&flag[0]);
        rc = np_sema_acquire(s, NP_NEVER, "test", NULL);
    } while (rc == NP_INTERRUPTED);
    ends(rc);
}

static void signals_one_who_looks(void)
{
    ex_signal_noted("first");
}

static void releases_once_handled(void)
{
    ex_await(&flag[0]);
    release(1);
}

static void no_units_where_sleeps_end_for_no_reason(void)
{
    no_units();
    ex_allow_spurious(2);
}

/* --- order ------------------------------------------------------------------------------------ */

/* A token is first, and no unit passes it. */
static void tries_in_vain(void)
{
    EXPECT(np_sema_try(s) == NP_AGAIN);
    end_with(np_sema_acquire(s, start + SOON, "test", NULL));
}

static void first_ok_second_in_vain(void)
{
    EXPECT(result[0] == NP_OK && result[1] == NP_TIMEOUT);
    all_is_over();
}

/* The token was there before the thread. */
static void acquires_after_the_token(void)
{
    acquires();
    EXPECT(flag[0]);
}

static void takes_token_0_first(void)
{
    poll_until_out(p, parked[0]);
    ex_set(&flag[0]);
    ends(resume(&parked[0]));
}

static void releases_one_by_one(void)
{
    await_waiters(2);
    release(1);
    ex_await(&flag[0]);
    release(1);
}

/* The thread was there before the token. */
static void acquires_before_the_token(void)
{
    acquires();
    ex_set(&flag[0]);
}

static void schedules_after_the_thread(void)
{
    await_waiters(1);
    schedules();
    EXPECT(flag[0]);
}

/* --- waiters can be listed ---------------------------------------------------------------------
 */

static int seen;

static void see(const np_waiting *w, void *context)
{
    EXPECT(context == &seen && ex_address_is_live(w) && w->at_sema && w->sema == s);
    seen++;
}

static void looks_at_all(void)
{
    seen = 0;
    EXPECT(np_sema_each(-1, see, &seen));
    EXPECT(seen <= 2);
    end_with(NP_OK);
}

/* --- open and shut ---------------------------------------------------------------------------- */

static void all_pass(int n)
{
    uint32_t left = np_sema_count(s);

    for (int i = 0; i < n; i++)
        EXPECT(result[i] == NP_OK);
    EXPECT(np_sema_is_open(s) && np_sema_try(s) == NP_OK);
    EXPECT(np_sema_acquire(s, 0, "test", NULL) == NP_OK);
    np_sema_reset(s);
    EXPECT(!np_sema_is_open(s) && np_sema_count(s) == left && left <= released);
    taken = released - left;
    all_is_over();
}
static void two_pass(void)
{
    all_pass(2);
}
static void three_pass(void)
{
    all_pass(3);
}

static void a_crowd(void)
{
    no_units();
    another_poller();
    for (int i = 0; i < CROWD; i++)
        parked[i] = park_at(i % 2 ? q : p, NP_NEVER);
}

static void free_the_crowd(void)
{
    np_token out[CROWD];
    mark(out, np_take_ready(p, out, CROWD));
    mark(out, np_take_ready(q, out, CROWD));
    for (int i = 0; i < CROWD; i++) {
        EXPECT(parked[i]->out && np_waiter_resume(&parked[i]->waiter) == NP_OK);
        free_token(&parked[i]);
    }
}

/* One that has passed shuts it for the next time. */
static void passes_and_shuts(void)
{
    poll_until_out(p, parked[0]);
    np_sema_reset(s);
    end_with(np_sema_acquire(s, start + SOON, "test", NULL));
}

static void all_served_and_shut(void)
{
    EXPECT(result[0] == NP_TIMEOUT && !np_sema_is_open(s));
    free_the_crowd();
    all_is_over();
}

static void opens_and_shuts(void)
{
    np_sema_open(s);
    np_sema_reset(s);
}

static void comes_late(void)
{
    end_with(np_sema_acquire(s, NP_NEVER, "test", NULL));
}

static void all_served_and_open(void)
{
    EXPECT(result[0] == NP_OK && np_sema_is_open(s));
    free_the_crowd();
    all_is_over();
}

static void releases_to_all(void)
{
    release(CROWD);
}

static void acquires_beside_the_crowd(void)
{
    end_with(np_sema_acquire(s, start + SOON, "test", NULL));
}

/* All were there before the thread. */
static void all_served(void)
{
    EXPECT(result[0] == NP_TIMEOUT);
    free_the_crowd();
    EXPECT(np_sema_count(s) == 0);
    taken = released;
    all_is_over();
}

static void crowd_passed(void)
{
    free_the_crowd();
    all_is_over();
}

/* --- timers ----------------------------------------------------------------------------------- */

static void a_far_timer(void)
{
    no_units();
    parked[0] = timer_at(p, start + FAR);
}
static void a_timer(void)
{
    no_units();
    parked[0] = timer_at(p, start + SOON);
}
static void a_far_timer_behind_another(void)
{
    a_far_timer();
    parked[1] = timer_at(p, start + LATER);
}
static void two_timers(void)
{
    a_timer();
    parked[1] = timer_at(p, start + LATER);
}

static void starts_a_timer(void)
{
    parked[1] = timer_at(p, start + SOON);
    ex_set(&flag[0]);
}

/* Asleep for the far timer, or not yet, when the other is started. */
static void polls_for_the_new_timer(void)
{
    np_token out[4];
    int n;
    while (!parked[1] || !parked[1]->out) {
        EXPECT(np_poll(p, -1, out, 4, &n) == NP_OK);
        mark(out, n);
        if (n == 0)
            np_yield();
    }
    end_with(resume(&parked[1]));
    ended[ex_self] = ex_clock();
}

static void cancel_parked(int i)
{
    EXPECT(np_waiter_cancel(&parked[i]->waiter, &withdrawn) == 1 && withdrawn == NP_AGAIN);
    free_token(&parked[i]);
}

static void fired(int who, int64_t after)
{
    EXPECT(result[who] == NP_OK);
    EXPECT(ended[who] >= start + after && ended[who] <= start + after + LATE);
}

static void new_timer_fired(void)
{
    fired(0, SOON);
    cancel_parked(0);
    all_is_over();
}

static void waits_for_timer_0(void)
{
    poll_until_out(p, parked[0]);
    end_with(np_waiter_resume(&parked[0]->waiter));
    ended[ex_self] = ex_clock();
}

static int moved;
static void moves_to(int64_t when)
{
    moved = np_timer_move(&parked[0]->waiter, when);
    EXPECT(moved == 1 || moved == 0);
}
static void moves_earlier(void)
{
    moves_to(start + SOON);
}
static void moves_later(void)
{
    moves_to(start + LATER);
}
static void moves_to_never_and_back(void)
{
    moves_to(NP_NEVER);
    if (moved)
        moves_to(start + LATER);
}
static void moves_back_and_forth(void)
{
    moves_to(start + LATER);
    if (moved)
        moves_to(start + SOON);
}

static void free_timer_0(void)
{
    free_token(&parked[0]);
    all_is_over();
}
static void fired_soon(void)
{
    fired(0, SOON);
    free_timer_0();
}
static void fired_before_the_other(void)
{
    fired(0, SOON);
    cancel_parked(1);
    free_timer_0();
}
static void fired_when_it_said(void)
{
    int64_t after = moved ? LATER : SOON;
    EXPECT(result[0] == NP_OK && ended[0] >= start + after);
    EXPECT(ended[0] <= start + after + SOON + LATE); /* the clock may have gone on once more */
    free_timer_0();
}

/* The second is behind the one that goes. */
static void cancels_timer_0(void)
{
    cancelled = np_waiter_cancel(&parked[0]->waiter, &withdrawn);
    EXPECT(withdrawn == (cancelled ? withdrawn : NP_OK));
    if (cancelled)
        free_token(&parked[0]);
    ex_set(&flag[0]);
}

static void takes_and_keeps_token_0(void)
{
    poll_until_out(p, parked[0]);
    ends(np_waiter_resume(&parked[0]->waiter));
}

/* The instant of a wait for a unit moves as a timer's does. */
static void ok_or_in_time(void)
{
    EXPECT(result[0] == NP_OK ||
           (result[0] == NP_TIMEOUT && ended[0] >= start + (moved ? LATER : SOON)));
    free_timer_0();
}

static void waits_for_timer_1(void)
{
    poll_until_out(p, parked[1]);
    end_with(resume(&parked[1]));
    ended[ex_self] = ex_clock();
}

static void one_fired_and_one_cancelled(void)
{
    EXPECT(result[0] == NP_OK && ended[0] >= start + LATER);
    EXPECT(cancelled == (parked[0] == NULL));
    if (parked[0]) {
        EXPECT(parked[0]->out && withdrawn == NP_OK);
        free_token(&parked[0]);
    }
    all_is_over();
}

/* Four children each: the last one, 20, goes to the place of 60, whose parent is 50. */
static const int instants[] = {1, 50, 10, 70, 71, 60, 61, 62, 63, 20};
enum { TIMERS = sizeof instants / sizeof *instants, GOES = 5 };

static void many_timers(void)
{
    no_units();
    for (int i = 0; i < TIMERS; i++)
        parked[i] = timer_at(p, start + instants[i]);
}

static void cancels_one_and_polls(void)
{
    np_token out[1];
    int n = 0;

    cancel_parked(GOES);
    for (int left = TIMERS - 1; left > 0; left -= n) {
        EXPECT(np_poll(p, -1, out, 1, &n) == NP_OK);
        mark(out, n);
        for (int i = 0; i < TIMERS; i++)
            EXPECT(i == GOES || parked[i]->out || ex_clock() <= start + instants[i]);
    }
    for (int i = 0; i < TIMERS; i++)
        if (i != GOES)
            EXPECT(resume(&parked[i]) == NP_OK);
}

static void polls_for_what_has_passed(void)
{
    np_token out[4];
    int n;

    parked[0] = timer_at(p, 0);
    parked[1] = timer_at(p, start + FAR);
    EXPECT(np_timer_move(&parked[1]->waiter, -3) == 1);
    EXPECT(np_timer_move(&parked[1]->waiter, -2) == 1);
    EXPECT(np_poll(p, -1, out, 4, &n) == NP_OK && n == 2);
    mark(out, n);
    EXPECT(resume(&parked[0]) == NP_OK && resume(&parked[1]) == NP_OK && ex_clock() == start);
}

/* The last in the ready queue goes, and another comes. */
static void cancels_what_is_ready(void)
{
    np_token out[4];
    int n;

    release(2);
    EXPECT(np_waiter_cancel(&parked[1]->waiter, &withdrawn) == 1 && took(withdrawn) == NP_OK);
    EXPECT(np_waiter_cancel(&parked[1]->waiter, &withdrawn) == 0 && withdrawn == NP_OK);
    free_token(&parked[1]);
    parked[1] = park_at(p, NP_NEVER);
    release(1);
    EXPECT(np_poll(p, -1, out, 4, &n) == NP_OK && n == 2);
    mark(out, n);
    EXPECT(took(resume(&parked[0])) == NP_OK && took(resume(&parked[1])) == NP_OK);
}

/* A thread drives, and no poll is inside, when the timer is due. */
static void a_thread_and_a_timer(void)
{
    a_timer();
    fd[0] = k_socket();
    EXPECT(np_open(p, fd[0], &d[0]) == NP_OK);
}

static void waits_for_the_descriptor(void)
{
    end_with(np_wait(d[0], NP_READ));
}

static void waits_for_timer_0_and_sends(void)
{
    waits_for_timer_0();
    k_send(fd[0]);
}

static void thread_and_timer(void)
{
    fired(0, SOON);
    EXPECT(result[1] == NP_OK);
    free_timer_0();
}

/* In another loop. */
static np_fd outer;

static void nested_token(void)
{
    token_parked();
    EXPECT(np_poller_fileno(p, &outer) == NP_OK);
}
static void nested_far_timer(void)
{
    a_far_timer();
    EXPECT(np_poller_fileno(p, &outer) == NP_OK);
}

static void outer_loop(void)
{
    np_token out[4];
    int n;
    while (!parked[0]->out) {
        k_wait_readable((int)outer);
        EXPECT(np_poll(p, 0, out, 4, &n) == NP_OK);
        mark(out, n);
        if (n == 0)
            np_yield();
    }
    ends(np_waiter_resume(&parked[0]->waiter));
}

static void outer_got_the_token(void)
{
    EXPECT(result[0] == NP_OK);
    free_timer_0();
}
static void outer_got_the_timer(void)
{
    taken = 0; /* timers take none */
    EXPECT(result[0] == NP_OK && ended[0] >= start + SOON && ended[0] < start + FAR);
    free_timer_0();
}

/* --- the last reference ----------------------------------------------------------------------- */

static void drops_the_other_poller(void)
{
    np_poller *mine = q;
    q = NULL;
    np_poller_unref(mine);
}

/* The token that was granted to a poller which nobody polls any more. */
static void cancels_and_frees_the_poller(void)
{
    cancelled = np_waiter_cancel(&parked[0]->waiter, &withdrawn);
    EXPECT(cancelled == 1);
    took(withdrawn);
    free_token(&parked[0]);
}

static void polls_elsewhere_and_drops(void)
{
    np_poller *mine = q;
    q = NULL;
    poll_until_out(mine, parked[0]);
    ends(resume(&parked[0]));
    np_poller_unref(mine);
}

/* --- fork ------------------------------------------------------------------------------------- */

static void forks(void)
{
    fork_child();
    ex_note("the child goes on");
    sema_check_queues();
}

/* Its scheduler is the one that goes on in the child. */
static void token_of_the_forker(void)
{
    ex_act_as("forker");
    token_parked();
    ex_act_as(NULL);
}

static void token_of_the_forker_for_a_while(void)
{
    ex_act_as("forker");
    token_parked_for_a_while();
    ex_act_as(NULL);
}

/* The dead threads' waits and units are gone with them, and what they held. */
static void over_in_the_child(void)
{
    EXPECT(sema_check_queues() == 0);
    poller_is_idle(p);
    ex_expect_leak();
    np_poller_close(p);
    np_poller_unref(p);
}

/* Nothing waits in the child, so a unit stays for the next to come. */
static void forks_and_takes_its_own(void)
{
    forks();
    EXPECT(sema_check_queues() == 0 && s->word == np_sema_count(s) * 8);
    release(1);
    EXPECT(np_sema_try(s) == NP_OK);
    end_with(NP_OK);
}

/* The token waits behind a thread, of which the child has none. */
static void parks_behind_and_forks(void)
{
    await_waiters(1);
    parked[0] = park_at(p, NP_NEVER);
    forks();
    EXPECT(sema_check_queues() <= 1);
    release(1);
    takes_token_0();
}

static void forks_and_releases(void)
{
    forks();
    release(1);
    takes_token_0();
    EXPECT(np_sema_count(s) <= 1);
}

static void forks_and_waits(void)
{
    forks();
    takes_token_0();
}

/* The waiter stays as it is: whether it was withdrawn is not known. */
static void cancels_and_keeps(void)
{
    int rc;
    np_waiter_cancel(&parked[0]->waiter, &rc);
    ex_set(&flag[0]);
}

static bool is_inside(const waiting *w)
{
    for (const np_link *l = p->waiters.next; l != &p->waiters; l = l->next)
        if ((const char *)l >= (const char *)w && (const char *)l < (const char *)(w + 1))
            return true;
    return false;
}

/* Its owner in the child finds it parked, or not: never one that no release reaches. */
static void forks_and_finds_it_whole(void)
{
    forks();
    bool waits = is_inside(parked[0]);
    EXPECT(sema_check_queues() == waits);
    release(1);
    if (waits)
        takes_token_0();
    EXPECT(np_sema_count(s) == !waits);
    end_with(NP_OK);
}

static bool begun;

static void child_to_be(void)
{
    token_of_the_forker();
    begun = false;
}

static void acquires_in_the_child(void)
{
    ex_set(&begun);
    ex_await(&flag[0]); /* the child starts it */
    acquires();
}

static void forks_and_starts_a_thread(void)
{
    ex_await(&begun);
    forks();
    ex_set(&flag[0]);
    release(2);
    takes_token_0();
}

static void first_timed_out_in_the_child(void)
{
    EXPECT(result[1] == NP_TIMEOUT && ended[1] >= start + SOON);
    over_in_the_child();
}
static void timer_fired_in_the_child(void)
{
    fired(0, SOON);
    free_token(&parked[0]);
    over_in_the_child();
}
static void forker_ok(void)
{
    EXPECT(result[1] == NP_OK);
    over_in_the_child();
}
static void forker_and_thread_ok(void)
{
    EXPECT(result[0] == NP_OK);
    forker_ok();
}

static void forks_and_waits_for_the_timer(void)
{
    forks();
    waits_for_timer_0();
}

const scenario sema_scenarios[] = {
    {"a_unit_wakes_a_thread",
     "however late it goes to sleep",
     no_units,
     {WHO("first", acquires), WHO("releaser", releases_1)},
     first_ok,
     PARKS},
    {"units_of_two_releasers",
     "reach two threads",
     no_units,
     {WHO("first", acquires), WHO("second", acquires), WHO("releaser", releases_1),
      WHO("releaser 2", releases_1)},
     two_ok,
     ONE_BACKEND},
    {"a_release_within_a_limit",
     "reaches a thread, and no second unit is remembered",
     no_units,
     {WHO("first", acquires), WHO("releaser", releases_within_1),
      WHO("releaser 2", releases_within_1)},
     first_ok,
     ONE_BACKEND},
    {"a_release_of_several",
     "reaches all that wait, and the rest is remembered",
     no_units,
     {WHO("first", acquires), WHO("second", acquires), WHO("third", acquires),
      WHO("releaser", releases_4)},
     three_ok,
     ONE_BACKEND},
    {"a_semaphore_of_one_is_a_lock",
     "of threads",
     a_lock,
     {WHO("first", locks), WHO("second", locks), WHO("third", locks)},
     all_had_it,
     ONE_BACKEND},
    {"a_lock_of_threads_and_tokens",
     "one at a time, and each has its turn",
     a_lock,
     {WHO("first", locks), WHO("scheduler", locks_as_token), WHO("impatient", locks_for_a_while)},
     two_had_it_or_gave_up,
     ONE_BACKEND},
    {"a_thread_that_was_granted_is_gone",
     "and its record, which nobody touches",
     no_units,
     {WHO("first", acquires_twice), WHO("releaser", releases_1), WHO("releaser 2", releases_1)},
     first_ok,
     PARKS},
    {"a_thread_frees_the_semaphore",
     "when it has the last unit",
     no_units,
     {WHO("first", acquires_and_frees), WHO("releaser", releases_1)},
     it_is_gone,
     ONE_BACKEND},
    {"a_scheduler_frees_the_semaphore",
     "when it has the last unit",
     no_units,
     {WHO("first", schedules_and_frees), WHO("releaser", releases_1)},
     it_is_gone,
     ONE_BACKEND},
    {"sleeps_that_end_for_no_reason",
     "end no wait",
     no_units_where_sleeps_end_for_no_reason,
     {WHO("first", acquires), WHO("second", acquires), WHO("releaser", releases_2)},
     two_ok,
     PARKS},

    {"a_unit_brings_a_token_out",
     "of the poll that sleeps",
     no_units,
     {WHO("scheduler", schedules), WHO("releaser", releases_1)},
     first_ok,
     0},
    {"a_unit_for_a_token_and_a_thread",
     "each",
     no_units,
     {WHO("scheduler", schedules), WHO("second", acquires), WHO("releaser", releases_2)},
     two_ok,
     0},
    {"two_tokens_at_one_poller",
     "each has its own unit",
     two_tokens_parked,
     {WHO("poll", takes_a_token), WHO("poll 2", takes_a_token), WHO("releaser", releases_2)},
     two_ok,
     ONE_BACKEND},
    {"two_hubs_share_a_lock",
     "each at a poller of its own",
     token_at_each_poller,
     {WHO("hub", takes_token_0_elsewhere), WHO("hub 2", takes_token_1),
      WHO("releaser", releases_2)},
     two_ok,
     0},
    {"one_unit_passes_between_hubs",
     "the one that has had it passes it on",
     a_lock_and_another_poller,
     {WHO("hub", locks_as_token), WHO("hub 2", locks_as_token_elsewhere)},
     two_hubs_had_it,
     0},

    {"no_unit_passes_a_token",
     "that waits",
     token_parked,
     {WHO("scheduler", takes_token_0), WHO("second", tries_in_vain), WHO("releaser", releases_1)},
     first_ok_second_in_vain,
     ONE_BACKEND},
    {"a_token_before_a_thread",
     "is served before it",
     token_parked,
     {WHO("scheduler", takes_token_0_first), WHO("second", acquires_after_the_token),
      WHO("releaser", releases_one_by_one)},
     two_ok,
     ONE_BACKEND},
    {"a_thread_before_a_token",
     "is served before it",
     no_units,
     {WHO("first", acquires_before_the_token), WHO("scheduler", schedules_after_the_thread),
      WHO("releaser", releases_one_by_one)},
     two_ok,
     ONE_BACKEND},

    {"a_timeout_against_a_release",
     "the unit is taken or remembered",
     no_units,
     {WHO("first", acquires_for_a_while), WHO("releaser", releases_1), WHO("clock", clock_goes_on)},
     first_ok_or_timeout,
     PARKS},
    {"a_timeout_alone",
     "ends the wait in time",
     no_units,
     {WHO("first", acquires_for_a_while)},
     timed_out,
     PARKS},
    {"a_timeout_blocks_no_other",
     "the unit goes to the next",
     no_units,
     {WHO("impatient", acquires_for_a_while), WHO("second", acquires_for_longer),
      WHO("releaser", releases_1), WHO("clock", clock_goes_on)},
     either_has_it,
     ONE_BACKEND},
    {"a_tokens_timeout_against_a_release",
     "the unit is taken or remembered",
     token_parked_for_a_while,
     {WHO("scheduler", takes_token_0), WHO("releaser", releases_1), WHO("clock", clock_goes_on)},
     first_ok_or_timeout,
     0},
    {"a_tokens_timeout_alone",
     "brings it out in time",
     no_units,
     {WHO("scheduler", schedules_for_a_while)},
     timed_out,
     0},
    {"an_expired_token_blocks_no_other",
     "though nobody has resumed it",
     token_parked_for_a_while,
     {WHO("scheduler", takes_token_0), WHO("second", acquires_for_longer),
      WHO("releaser", releases_1), WHO("clock", clock_goes_on)},
     either_has_it,
     ONE_BACKEND},
    {"a_token_parks_and_another_polls",
     "its waiter may be gone before the first has returned",
     no_units,
     {WHO("parker", parks_for_a_while), WHO("poll", resumes_whatever_comes),
      WHO("clock", clock_goes_on)},
     parked_and_gone,
     ONE_BACKEND},
    {"a_token_parks_at_a_closing_poller",
     "and another takes it",
     no_units,
     {WHO("parker", parks_for_a_while), WHO("poll", resumes_whatever_comes),
      WHO("closer", closes_poller)},
     parked_and_gone,
     ONE_BACKEND},
    {"a_token_parks_against_a_release",
     "and its timeout",
     no_units,
     {WHO("scheduler", schedules_for_a_while), WHO("releaser", releases_1),
      WHO("clock", clock_goes_on)},
     first_ok_or_timeout,
     ONE_BACKEND},

    {"a_wait_prolonged_against_a_release",
     "and its timeout",
     token_parked_for_a_while,
     {WHO("scheduler", takes_and_keeps_token_0), WHO("mover", moves_later),
      WHO("releaser", releases_1), WHO("clock", clock_goes_on)},
     ok_or_in_time,
     ONE_BACKEND},

    {"a_cancel_against_a_release",
     "the unit is the canceller's, or remembered",
     token_parked,
     {WHO("scheduler", polls_unless_cancelled), WHO("canceller", cancels_0),
      WHO("releaser", releases_1)},
     out_or_withdrawn,
     0},
    {"a_cancel_before_a_thread",
     "the unit is passed on to it",
     token_parked,
     {WHO("scheduler", polls_unless_cancelled), WHO("second", acquires),
      WHO("canceller", cancels_0), WHO("releaser", releases_1)},
     second_took_its_unit,
     ONE_BACKEND},
    {"a_cancel_against_a_timeout",
     "either, and a release",
     token_parked_for_a_while,
     {WHO("scheduler", polls_unless_cancelled), WHO("canceller", cancels_0),
      WHO("releaser", releases_1), WHO("clock", clock_goes_on)},
     out_or_withdrawn,
     ONE_BACKEND},

    {"a_cancel_against_an_open",
     "it has no unit to pass on",
     token_parked,
     {WHO("scheduler", polls_unless_cancelled), WHO("canceller", cancels_0), WHO("opener", opens)},
     nothing_to_pass_on,
     ONE_BACKEND},
    {"a_resume_before_the_token_is_out",
     "says so, whatever was granted",
     token_parked,
     {WHO("scheduler", resumes_too_early), WHO("releaser", releases_1)},
     first_ok,
     ONE_BACKEND},

    {"a_poller_closed_under_a_waiting_token",
     "it comes out, and the unit is taken or remembered",
     token_parked,
     {WHO("scheduler", takes_token_0), WHO("closer", closes_poller), WHO("releaser", releases_1)},
     first_ok_or_closed,
     ONE_BACKEND},
    {"a_closed_poller_keeps_no_unit",
     "from those behind its token",
     token_parked,
     {WHO("scheduler", takes_token_0), WHO("second", acquires), WHO("closer", closes_poller),
      WHO("releaser", releases_2)},
     closed_and_ok,
     ONE_BACKEND},

    {"a_signal_against_a_release",
     "the unit is taken or remembered",
     no_units,
     {WHO("first", acquires), WHO("signal", signals_first), WHO("releaser", releases_1)},
     ok_or_interrupted,
     ONE_BACKEND},
    {"a_signal_before_a_timeout",
     "is no timeout",
     no_units,
     {WHO("first", acquires_for_a_while), WHO("signal", signals_first)},
     interrupted_or_in_time,
     ONE_BACKEND},
    {"a_signal_keeps_the_place",
     "one that ran a handler is served before those behind it",
     no_units,
     {WHO("first", acquires_with_a_place), WHO("second", acquires_as_second),
      WHO("releaser", signals_and_releases)},
     two_ok,
     ONE_BACKEND},
    {"a_signal_before_an_acquire_is_handled",
     "though it ends no sleep",
     no_units_and_a_handler,
     {WHO("first", acquires_and_handles), WHO("signal", signals_one_who_looks),
      WHO("releaser", releases_once_handled)},
     first_ok,
     PARKS | SIGNALS},

    {"all_that_wait_can_be_seen",
     "while it lasts",
     token_parked,
     {WHO("first", acquires), WHO("scheduler", takes_token_0), WHO("looker", looks_at_all),
      WHO("releaser", releases_2)},
     three_ok,
     ONE_BACKEND},

    {"opening_lets_all_pass",
     "those that wait, and those that come",
     no_units,
     {WHO("first", acquires), WHO("scheduler", schedules), WHO("third", acquires),
      WHO("opener", opens)},
     three_pass,
     ONE_BACKEND},
    {"opening_against_a_release",
     "nobody waits any more",
     no_units,
     {WHO("first", acquires), WHO("scheduler", schedules), WHO("opener", opens),
      WHO("releaser", releases_1)},
     two_pass,
     ONE_BACKEND},
    {"one_of_a_crowd_shuts_it",
     "behind itself: the others pass, and nobody else does",
     a_crowd,
     {WHO("first", passes_and_shuts), WHO("opener", opens)},
     all_served_and_shut,
     ONE_BACKEND},
    {"a_crowd_passes_what_is_shut_at_once",
     "for it was there",
     a_crowd,
     {WHO("opener", opens_and_shuts), WHO("opener 2", opens_and_shuts)},
     crowd_passed,
     ONE_BACKEND},
    {"one_comes_while_a_crowd_passes",
     "and passes too",
     a_crowd,
     {WHO("late", comes_late), WHO("opener", opens)},
     all_served_and_open,
     ONE_BACKEND},
    {"units_for_a_crowd",
     "one each, and none for a latecomer",
     a_crowd,
     {WHO("late", acquires_beside_the_crowd), WHO("releaser", releases_to_all)},
     all_served,
     ONE_BACKEND},

    {"a_timer_reaches_a_poll_asleep",
     "past its instant",
     a_far_timer,
     {WHO("scheduler", polls_for_the_new_timer), WHO("starter", starts_a_timer)},
     new_timer_fired,
     0},
    {"a_timer_moved_earlier",
     "fires in time, whether the poll sleeps or not",
     a_far_timer_behind_another,
     {WHO("scheduler", waits_for_timer_0), WHO("mover", moves_earlier)},
     fired_before_the_other,
     0},
    {"a_timer_moved_later",
     "fires then and not before, or has fired",
     a_timer,
     {WHO("scheduler", waits_for_timer_0), WHO("mover", moves_later), WHO("clock", clock_goes_on)},
     fired_when_it_said,
     0},
    {"a_timer_moved_to_never_and_back",
     "fires when it was said last",
     a_timer,
     {WHO("scheduler", waits_for_timer_0), WHO("mover", moves_to_never_and_back)},
     fired_when_it_said,
     ONE_BACKEND},
    {"a_timer_moved_back_and_forth",
     "fires when it was said last",
     a_timer,
     {WHO("scheduler", waits_for_timer_0), WHO("mover", moves_back_and_forth)},
     fired_soon,
     ONE_BACKEND},
    {"a_timer_cancelled_as_it_fires",
     "either, and the next one fires",
     two_timers,
     {WHO("scheduler", waits_for_timer_1), WHO("canceller", cancels_timer_0),
      WHO("clock", clock_goes_on)},
     one_fired_and_one_cancelled,
     0},
    {"a_timer_taken_from_the_middle",
     "leaves the others in order",
     many_timers,
     {WHO("scheduler", cancels_one_and_polls)},
     all_is_over,
     ONE_BACKEND},
    {"a_timer_of_the_past",
     "is due",
     no_units,
     {WHO("scheduler", polls_for_what_has_passed)},
     all_is_over,
     ONE_BACKEND},
    {"the_last_token_that_is_ready_is_cancelled",
     "and the next one comes behind the others",
     two_tokens_parked,
     {WHO("scheduler", cancels_what_is_ready)},
     all_is_over,
     ONE_BACKEND},
    {"a_timer_beside_a_thread",
     "that drives",
     a_thread_and_a_timer,
     {WHO("scheduler", waits_for_timer_0_and_sends), WHO("thread", waits_for_the_descriptor)},
     thread_and_timer,
     0},
    {"an_outer_loop_misses_no_unit",
     "it makes fileno() readable",
     nested_token,
     {WHO("outer", outer_loop), WHO("releaser", releases_1)},
     outer_got_the_token,
     NESTS},
    {"an_outer_loop_misses_no_timer",
     "it makes fileno() readable",
     nested_far_timer,
     {WHO("outer", outer_loop), WHO("mover", moves_earlier)},
     outer_got_the_timer,
     NESTS},

    {"a_poller_dropped_under_a_token",
     "lives until it was cancelled",
     token_parked_elsewhere,
     {WHO("owner", drops_the_other_poller), WHO("releaser", releases_1),
      WHO("canceller", cancels_and_frees_the_poller)},
     all_is_over,
     ONE_BACKEND},
    {"a_poller_dropped_with_its_token_out",
     "not before the releaser has left its lock",
     token_parked_elsewhere,
     {WHO("hub", polls_elsewhere_and_drops), WHO("releaser", releases_1)},
     first_ok,
     0},

    {"a_childs_threads_do_not_wait",
     "whatever they were doing at the fork",
     no_units,
     {WHO("first", acquires), WHO("forker", forks_and_takes_its_own),
      WHO("impatient", acquires_for_a_while), WHO("releaser", releases_1)},
     forker_ok,
     ONE_BACKEND | FORKS},
    {"a_childs_token_moves_up",
     "to the place of its parent's thread",
     no_units,
     {WHO("first", acquires), WHO("forker", parks_behind_and_forks)},
     forker_ok,
     ONE_BACKEND | FORKS},
    {"a_fork_in_the_middle_of_a_release",
     "the child's token has its unit, or is to have it",
     token_of_the_forker,
     {WHO("releaser", releases_1), WHO("forker", forks_and_releases), WHO("thread", acquires)},
     forker_ok,
     FORKS},
    {"a_fork_in_the_middle_of_a_cancel",
     "the child's token waits, or does not",
     token_of_the_forker,
     {WHO("canceller", cancels_and_keeps), WHO("forker", forks_and_finds_it_whole)},
     forker_ok,
     ONE_BACKEND | FORKS},
    {"a_childs_token_times_out",
     "as its parent's",
     token_of_the_forker_for_a_while,
     {WHO("first", acquires), WHO("forker", forks_and_waits)},
     first_timed_out_in_the_child,
     FORKS},
    {"a_childs_timer_fires",
     "as its parent's",
     a_timer,
     {WHO("forker", forks_and_waits_for_the_timer)},
     timer_fired_in_the_child,
     FORKS},
    {"a_childs_thread_waits",
     "behind its token",
     child_to_be,
     {WHO("thread", acquires_in_the_child), WHO("forker", forks_and_starts_a_thread),
      WHO("first", acquires), WHO("releaser", releases_1)},
     forker_and_thread_ok,
     ONE_BACKEND | FORKS},
    {.name = NULL},
};
