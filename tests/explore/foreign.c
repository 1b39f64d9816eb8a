/* Scenarios of tokens that are parked at another poller than their own.  The descriptors' poller is
 * p; the tokens come out of home. */
#include <string.h>

#include "core/internal.h"
#include "explore.h"
#include "kernel.h"
#include "stage.h"

#define np_poll(...) (ex_polled = true, np_poll(__VA_ARGS__))

enum { TOKENS = 4 };

static np_poller *home;
static np_desc *at_home; /* a descriptor of home's own, or NULL */
static int fd_at_home;
static int came_out[TOKENS], withdrawn;
static int64_t start;
static bool flag, thread_has_ended;

/* --- before and after ------------------------------------------------------------------------- */

static void two_pollers(int n)
{
    with(n);
    memset(came_out, 0, sizeof came_out);
    withdrawn = 0;
    flag = thread_has_ended = false;
    at_home = NULL;
    start = ex_clock();
    EXPECT(np_poller_new(ex_backend, &home) == NP_OK);
}

static void one_foreign(void)
{
    two_pollers(1);
}

static void two_foreign(void)
{
    two_pollers(2);
}

/* Nothing is left of any token. */
static void finish_both(void)
{
    np_token out[4];

    EXPECT(np_take_ready(home, out, 4) == 0);
    EXPECT(np_list_empty(&home->foreign) && np_list_empty(&home->drivers));
    EXPECT(np_load(&home->foreign_work) == 0);
    if (at_home) {
        np_close(at_home);
        np_desc_unref(at_home);
    }
    EXPECT(np_load(&home->refs) == 1);
    np_poller_unref(home);
    finish();
}

/* --- what actors do --------------------------------------------------------------------------- */

/* What comes out of q, until token i has; a poll that comes back early lets the others run. */
static void poll_until_out(np_poller *q, int i)
{
    np_token out[TOKENS];
    int n;

    while (came_out[i] == 0) {
        EXPECT(np_poll(q, -1, out, TOKENS, &n) == NP_OK);
        for (int k = 0; k < n; k++)
            came_out[out[k]]++;
        if (n == 0)
            np_yield();
    }
    EXPECT(came_out[i] == 1);
}

/* The wait of a scheduler that polls q, on descriptor d. */
static int wait_at(np_poller *q, np_desc *desc, int i)
{
    for (;;) {
        int rc = np_park_at(desc, NP_READ, (np_token)i, 0, q);
        if (rc != NP_PARKED)
            return rc;
        came_out[i] = 0;
        poll_until_out(q, i);
        EXPECT(!np_holds_token(desc, NP_READ));
        rc = np_resume(desc, NP_READ, 0);
        if (rc != NP_AGAIN)
            return rc;
    }
}

static void hub_waits_for_0(void)
{
    end_with(wait_at(home, d[0], 0));
}

static void hub_waits_for_0_then_sets_the_flag(void)
{
    hub_waits_for_0();
    ex_set(&flag);
}

static void scheduler_waits_for_1(void)
{
    end_with(wait_at(p, d[1], 1));
}

static void thread_waits_for_1(void)
{
    end_with(np_wait(d[1], NP_READ));
}

static void sends_0(void)
{
    k_send(fd[0]);
}

static void sends_0_1(void)
{
    k_send(fd[0]);
    k_send(fd[1]);
}

static void sends_1_0(void)
{
    k_send(fd[1]);
    k_send(fd[0]);
}

static void sends_0_then_1_once_the_hub_is_gone(void)
{
    k_send(fd[0]);
    ex_await(&flag);
    k_send(fd[1]);
}

static void closes_0(void)
{
    np_close(d[0]);
}

static void unblocks_0(void)
{
    np_unblock(d[0]);
}

static void deadline_100(void)
{
    EXPECT(np_set_deadline(d[0], 100, NP_READ) == NP_OK);
}

static void closes_p(void)
{
    np_poller_close(p);
}

/* --- what must hold --------------------------------------------------------------------------- */

static void first_ok(void)
{
    EXPECT(result[0] == NP_OK);
    finish_both();
}

static void first_ok_without_a_wake(void)
{
    np_stats stats;
    np_poller_stats(home, &stats);
    EXPECT(stats.wakeups == 0 && np_load(&home->signalled) == 0);
    first_ok();
}

static void two_ok(void)
{
    EXPECT(result[1] == NP_OK);
    first_ok();
}

static void first_closed(void)
{
    EXPECT(result[0] == NP_CLOSED);
    finish_both();
}

static void ok_or_closed(void)
{
    EXPECT(result[0] == NP_OK || result[0] == NP_CLOSED);
    finish_both();
}

static void two_closed(void)
{
    EXPECT(result[1] == NP_CLOSED);
    first_closed();
}

static void first_in_time(void)
{
    EXPECT(result[0] == NP_TIMEOUT);
    EXPECT(ex_clock() >= start + 100 && ex_clock() < start + FAR);
    finish_both();
}

static void one_with_a_far_deadline(void)
{
    one_foreign();
    EXPECT(np_set_deadline(d[0], FAR, NP_READ) == NP_OK);
}

/* --- taking tokens back ----------------------------------------------------------------------- */

static void one_parked(void)
{
    one_foreign();
    EXPECT(np_park_at(d[0], NP_READ, 0, 0, home) == NP_PARKED);
}

static void two_and_one_parked(void)
{
    two_foreign();
    EXPECT(np_park_at(d[0], NP_READ, 0, 0, home) == NP_PARKED);
}

/* Once, and what it gets counts. */
static void hub_polls_once(void)
{
    np_token out[TOKENS];
    int n = 0;

    end_with(np_poll(home, -1, out, TOKENS, &n));
    for (int k = 0; k < n; k++)
        came_out[out[k]]++;
}

static void cancels_0_and_wakes(void)
{
    np_token token = 7;
    withdrawn = np_cancel(d[0], NP_READ, &token);
    EXPECT(token == (withdrawn ? 0 : 7));
    np_wake(home);
}

static void withdraws_0_and_wakes(void)
{
    np_token token = 7;
    withdrawn = np_withdraw(d[0], NP_READ, &token);
    EXPECT(token == (withdrawn ? 0 : 7));
    EXPECT(!np_holds_token(d[0], NP_READ));
    np_wake(home);
}

static void out_or_withdrawn(void)
{
    np_token out[TOKENS];
    int n = np_take_ready(home, out, TOKENS);
    EXPECT(came_out[0] + n + withdrawn == 1);
    finish_both();
}

/* And the byte is there for the next waiter. */
static void withdrawn_or_out_and_nothing_lost(void)
{
    np_token out[TOKENS];
    int n = 0;

    EXPECT(came_out[0] + withdrawn == 1);
    if (np_resume(d[0], NP_READ, 0) != NP_OK && np_park(d[0], NP_READ, 3, 0) == NP_PARKED) {
        EXPECT(np_poll(p, 0, out, TOKENS, &n) == NP_OK && n == 1 && out[0] == 3);
        EXPECT(np_resume(d[0], NP_READ, 0) == NP_OK);
    }
    finish_both();
}

/* The last token goes, and with it all that held p but for the call that sleeps on it. */
static void takes_all_of_p_and_wakes(void)
{
    np_token token;
    EXPECT(np_cancel(d[0], NP_READ, &token) == 1);
    np_desc_unref(d[0]);
    np_poller_unref(p);
    np_wake(home);
}

static void p_is_gone(void)
{
    EXPECT(result[0] == NP_OK && came_out[0] == 0);
    EXPECT(np_list_empty(&home->foreign) && np_load(&home->refs) == 1);
    np_poller_unref(home);
}

/* Nothing but that p is gone has its number closed: so the call has to come back for it. */
static void takes_all_of_p_and_wakes_once_it_is_gone(void)
{
    np_fd number = -1;
    EXPECT(p->backend->kernel_fd(p->kernel, &number) == NP_OK);
    np_token token;
    EXPECT(np_cancel(d[0], NP_READ, &token) == 1);
    np_desc_unref(d[0]);
    np_poller_unref(p);
    while (k_serial((int)number))
        np_yield();
    np_wake(home);
}

static void drops_home(void)
{
    np_poller_unref(home);
}

static void cancels_0(void)
{
    np_token token;
    np_cancel(d[0], NP_READ, &token);
}

static void parks_another(void)
{
    int rc;
    while ((rc = np_park_at(d[0], NP_READ, 1, 0, home)) == NP_BUSY)
        np_yield();
    EXPECT(rc == NP_PARKED);
}

static void the_other_is_parked(void)
{
    np_token token;
    EXPECT(np_cancel(d[0], NP_READ, &token) == 1 && token == 1);
    finish_both();
}

/* --- a call that sleeps already --------------------------------------------------------------- */

static void parks_0(void)
{
    EXPECT(np_park_at(d[0], NP_READ, 0, 0, home) == NP_PARKED);
}

static void parks_0_and_sends(void)
{
    parks_0();
    k_send(fd[0]);
}

static void hub_polls_for_0(void)
{
    poll_until_out(home, 0);
    end_with(np_resume(d[0], NP_READ, 0));
}

/* --- wakes ------------------------------------------------------------------------------------ */

/* Returns for the wake: no token of p's own is ever ready. */
static void polls_p_once_then_sends_0(void)
{
    np_token out[TOKENS];
    int n = 0;
    end_with(np_poll(p, -1, out, TOKENS, &n));
    EXPECT(n == 0);
    k_send(fd[0]);
}

static void wakes_p(void)
{
    np_wake(p);
}

static void wakes_home(void)
{
    np_wake(home);
}

static void signals_hub(void)
{
    ex_signal("hub");
}

static void still_parked(int rc)
{
    np_token token;
    EXPECT(result[0] == rc && came_out[0] == 0);
    EXPECT(np_cancel(d[0], NP_READ, &token) == 1 && token == 0);
    finish_both();
}

static void woken(void)
{
    still_parked(NP_OK);
}

static void interrupted(void)
{
    still_parked(NP_INTERRUPTED);
}

/* --- others at home --------------------------------------------------------------------------- */

static void with_one_at_home(int n)
{
    two_pollers(n);
    fd_at_home = k_socket();
    EXPECT(np_open(home, fd_at_home, &at_home) == NP_OK);
}

static void two_and_one_at_home(void)
{
    with_one_at_home(2);
}

static void thread_waits_at_home(void)
{
    end_with(np_wait(at_home, NP_READ));
}

static void sends_0_1_then_home_once_the_hub_is_gone(void)
{
    sends_0_1();
    ex_await(&flag);
    k_send(fd_at_home);
}

static void thread_waits_for_1_and_is_gone(void)
{
    thread_waits_for_1();
    ex_set(&thread_has_ended);
}

static void sends_1_then_0_then_home(void)
{
    k_send(fd[1]);
    ex_await(&thread_has_ended);
    k_send(fd[0]);
    ex_await(&flag);
    k_send(fd_at_home);
}

static void three_ok(void)
{
    EXPECT(result[2] == NP_OK);
    two_ok();
}

/* One at a time: of two foreign tokens, and of one that is home's own. */
static void parks_three_and_polls_for_one_each(void)
{
    np_token out;
    int n;

    EXPECT(np_park_at(d[0], NP_READ, 0, 0, home) == NP_PARKED);
    EXPECT(np_park_at(d[1], NP_READ, 1, 0, home) == NP_PARKED);
    EXPECT(np_park(at_home, NP_READ, 2, 0) == NP_PARKED);
    sends_0_1();
    k_send(fd_at_home);
    for (int all = 0; all < 3; all += n) {
        EXPECT(np_poll(home, -1, &out, 1, &n) == NP_OK);
        if (n == 1)
            EXPECT(came_out[out]++ == 0);
    }
    end_with(np_resume(d[0], NP_READ, 0));
    EXPECT(np_resume(d[1], NP_READ, 0) == NP_OK && np_resume(at_home, NP_READ, 0) == NP_OK);
}

/* Of n that are ready again and again, until all have come out. */
static void polls_for_one(np_desc *const of[], const int numbers[], int n)
{
    np_token out, token;
    int got, missing = n;

    for (int i = 0; i < n; i++) {
        k_send(numbers[i]);
        EXPECT(np_park_at(of[i], NP_READ, (np_token)i, 0, home) == NP_PARKED);
    }
    for (int times = 0; missing > 0; times++) {
        EXPECT(times < 12);
        EXPECT(np_poll(home, -1, &out, 1, &got) == NP_OK);
        if (got == 0)
            continue;
        missing -= came_out[out]++ == 0;
        EXPECT(np_resume(of[out], NP_READ, 0) == NP_OK);
        k_send(numbers[out]);
        EXPECT(np_park_at(of[out], NP_READ, out, 0, home) == NP_PARKED);
    }
    for (int i = 0; i < n; i++)
        np_withdraw(of[i], NP_READ, &token);
}

static void polls_for_one_of_two_pollers(void)
{
    polls_for_one((np_desc *[]){d[0], at_home}, (int[]){fd[0], fd_at_home}, 2);
}

/* The first has two tokens, so one of them is always there. */
static void polls_for_one_of_two_foreign_pollers(void)
{
    np_poller *other;
    np_desc *theirs;
    int number = k_socket();

    EXPECT(np_poller_new(ex_backend, &other) == NP_OK);
    EXPECT(np_open(other, number, &theirs) == NP_OK);
    polls_for_one((np_desc *[]){d[0], d[1], theirs}, (int[]){fd[0], fd[1], number}, 3);
    np_close(theirs);
    np_desc_unref(theirs);
    np_poller_unref(other);
}

static void polls_for_what_is_ready(void)
{
    np_token out[2]; /* half of which is room for it */
    int n = 0;

    EXPECT(np_park_at(d[0], NP_READ, 0, 0, home) == NP_PARKED);
    k_send(fd[0]);
    while (n == 0)
        EXPECT(np_poll(home, -1, out, 2, &n) == NP_OK);
    EXPECT(ex_clock() == start);
    end_with(np_resume(d[0], NP_READ, 0));
}

/* --- a closed home ---------------------------------------------------------------------------- */

static void hub_polls_to_its_end(void)
{
    np_token out[TOKENS];
    int n = 0, rc;

    while ((rc = np_poll(home, -1, out, TOKENS, &n)) == NP_OK) {
        came_out[0] += n;
        if (n == 0)
            np_yield();
    }
    EXPECT(rc == NP_CLOSED && n == 0);
    came_out[0] += np_take_ready(home, out, TOKENS);
    EXPECT(came_out[0] == 1);
    rc = np_resume(d[0], NP_READ, 0);
    if (rc == NP_AGAIN)
        rc = np_park_at(d[0], NP_READ, 0, 0, home);
    end_with(rc);
}

static void closes_home(void)
{
    np_poller_close(home);
}

static void refused(void)
{
    EXPECT(result[0] == NP_NO_POLLER);
    finish_both();
}

static void ok_or_refused(void)
{
    EXPECT(result[0] == NP_OK || result[0] == NP_NO_POLLER);
    finish_both();
}

/* While home is being closed: it is parked, and comes out, or it is refused. */
static void parks_at_the_end(void)
{
    np_token out[TOKENS];
    int rc = np_park_at(d[0], NP_READ, 0, 0, home);

    EXPECT(rc == NP_PARKED || rc == NP_NO_POLLER);
    if (rc == NP_PARKED) {
        ex_await(&flag);
        EXPECT(np_take_ready(home, out, TOKENS) == 1 && out[0] == 0);
        EXPECT(np_resume(d[0], NP_READ, 0) == NP_AGAIN);
    }
}

static void closes_home_and_sets_the_flag(void)
{
    np_poller_close(home);
    ex_set(&flag);
}

/* --- two hubs, each with a token at the other's poller ---------------------------------------- */

static void one_and_one_at_home(void)
{
    with_one_at_home(1);
}

static void hub_waits_and_frees_the_other(void)
{
    hub_waits_for_0();
    k_send(fd_at_home);
}

static void other_hub_waits(void)
{
    end_with(wait_at(p, at_home, 1));
}

/* --- forks ------------------------------------------------------------------------------------ */

static void one_parked_before_a_fork(void)
{
    one_parked();
    ex_expect_leak(); /* what a call that is gone had allocated, and its references */
}

static void one_ready_before_a_fork(void)
{
    one_parked_before_a_fork();
    k_send(fd[0]);
}

static void one_foreign_before_a_fork(void)
{
    one_foreign();
    ex_expect_leak();
}

static void drives_p(void)
{
    np_token out[TOKENS];
    int n = 0;
    EXPECT(np_poll(p, 0, out, TOKENS, &n) == NP_OK && n == 0);
}

/* The token is where the calls that are gone had left it, or is not parked, and counts are right.
 */
static void polls_in_the_child(void)
{
    np_token out[TOKENS];
    bool inside = np_holds_token(d[0], NP_READ);

    if (inside) {
        poll_until_out(home, 0);
        EXPECT(np_resume(d[0], NP_READ, 0) == NP_OK);
    }
    EXPECT(np_take_ready(home, out, TOKENS) == 0);
    EXPECT(np_list_empty(&home->foreign) && np_load(&home->foreign_work) == 0);
}

static void forks_and_polls(void)
{
    fork_child();
    polls_in_the_child();
}

static void forks_sends_and_polls(void)
{
    fork_child();
    k_send(fd[0]);
    polls_in_the_child();
}

static void close_both(void)
{
    np_poller_close(home);
    np_poller_close(p);
}

/* --- a loop around home ----------------------------------------------------------------------- */

static np_fd outer;

static void nested(void)
{
    with_one_at_home(2);
    EXPECT(np_park_at(d[0], NP_READ, 0, 0, home) == NP_PARKED);
    EXPECT(np_poller_fileno(home, &outer) == NP_OK);
}

static void loop_waits_for_0_then_sends_home(void)
{
    np_token out[TOKENS];
    int n = 0;
    while (came_out[0] == 0) {
        k_wait_readable((int)outer);
        EXPECT(np_poll(home, 0, out, TOKENS, &n) == NP_OK);
        came_out[0] += n;
    }
    end_with(np_resume(d[0], NP_READ, 0));
    k_send(fd_at_home);
}

static void taken_without_a_poll(void)
{
    np_token out[TOKENS];
    EXPECT(result[0] == NP_OK);
    EXPECT(np_take_ready(home, out, TOKENS) == 1 && out[0] == 0);
    EXPECT(np_resume(d[0], NP_READ, 0) == NP_OK);
    finish_both();
}

const scenario foreign_scenarios[] = {
    {"a_foreign_token_comes_out_at_home",
     "though nothing but home's np_poll drives the descriptor's poller",
     one_foreign,
     {WHO("hub", hub_waits_for_0), WHO("peer", sends_0)},
     first_ok_without_a_wake,
     0},
    {"a_thread_drives_a_foreign_token",
     "or home drives for both",
     two_foreign,
     {WHO("hub", hub_waits_for_0), WHO("thread", thread_waits_for_1), WHO("peer", sends_0_1)},
     two_ok,
     0},
    {"a_poll_drives_a_foreign_token",
     "and each token comes out of its own poller",
     two_foreign,
     {WHO("hub", hub_waits_for_0), WHO("scheduler", scheduler_waits_for_1), WHO("peer", sends_1_0)},
     two_ok,
     0},
    {"a_hub_that_leaves_lets_a_thread_lead",
     "at the foreign poller, too",
     two_foreign,
     {WHO("hub", hub_waits_for_0_then_sets_the_flag), WHO("thread", thread_waits_for_1),
      WHO("peer", sends_0_then_1_once_the_hub_is_gone)},
     two_ok,
     0},
    {"close_ends_a_foreign_wait",
     "at home",
     one_foreign,
     {WHO("hub", hub_waits_for_0), WHO("closer", closes_0)},
     first_closed,
     0},
    {"close_beside_a_foreign_event",
     "the token comes out once",
     one_foreign,
     {WHO("hub", hub_waits_for_0), WHO("closer", closes_0), WHO("peer", sends_0)},
     ok_or_closed,
     0},
    {"unblock_ends_a_foreign_wait",
     "at home",
     one_foreign,
     {WHO("hub", hub_waits_for_0), WHO("breaker", unblocks_0)},
     first_closed,
     0},
    {"a_deadline_ends_a_foreign_wait",
     "set while home sleeps, or before",
     one_foreign,
     {WHO("hub", hub_waits_for_0), WHO("mover", deadline_100)},
     first_in_time,
     0},
    {"an_earlier_deadline_wakes_home",
     "though it is another poller's",
     one_with_a_far_deadline,
     {WHO("hub", hub_waits_for_0), WHO("mover", deadline_100)},
     first_in_time,
     0},
    {"a_foreign_poller_is_closed",
     "its token comes out at home, and no kernel object goes while home sleeps on it",
     one_foreign,
     {WHO("hub", hub_waits_for_0), WHO("closer", closes_p)},
     first_closed,
     0},
    {"a_foreign_poller_is_closed_beside_a_thread",
     "each gets to know",
     two_foreign,
     {WHO("hub", hub_waits_for_0), WHO("thread", thread_waits_for_1), WHO("closer", closes_p)},
     two_closed,
     0},
    {"a_foreign_token_is_cancelled",
     "or comes out, never both",
     one_parked,
     {WHO("hub", hub_polls_once), WHO("canceller", cancels_0_and_wakes), WHO("peer", sends_0)},
     out_or_withdrawn,
     0},
    {"a_foreign_token_is_withdrawn",
     "from the ready queue, too, and its event stays",
     one_parked,
     {WHO("hub", hub_polls_once), WHO("canceller", withdraws_0_and_wakes), WHO("peer", sends_0)},
     withdrawn_or_out_and_nothing_lost,
     0},
    {"the_last_foreign_token_goes",
     "and home lets go of the other poller, also while it sleeps on it",
     one_parked,
     {WHO("hub", hub_polls_once), WHO("owner", takes_all_of_p_and_wakes)},
     p_is_gone,
     0},
    {"the_last_foreign_token_goes_for_good",
     "home lets go of the other poller at once",
     one_parked,
     {WHO("hub", hub_polls_once), WHO("owner", takes_all_of_p_and_wakes_once_it_is_gone)},
     p_is_gone,
     NESTS},
    {"home_goes_with_a_foreign_token",
     "which held the last reference to it",
     one_parked,
     {WHO("owner", drops_home), WHO("canceller", cancels_0)},
     finish,
     0},
    {"a_foreign_token_is_replaced",
     "by one that parks as soon as it is withdrawn",
     one_parked,
     {WHO("canceller", cancels_0), WHO("parker", parks_another)},
     the_other_is_parked,
     0},
    {"a_token_is_parked_while_home_sleeps",
     "which does not know the other poller yet",
     one_foreign,
     {WHO("hub", hub_polls_for_0), WHO("other", parks_0_and_sends)},
     first_ok,
     0},
    {"a_wake_of_the_foreign_poller",
     "is for its own np_poll, though home drives it",
     one_parked,
     {WHO("hub", hub_polls_for_0), WHO("poller", polls_p_once_then_sends_0), WHO("waker", wakes_p)},
     first_ok,
     0},
    {"a_wake_of_home",
     "which sleeps on two pollers",
     one_parked,
     {WHO("hub", hub_polls_once), WHO("waker", wakes_home)},
     woken,
     0},
    {"a_signal_at_home",
     "which sleeps on two pollers",
     one_parked,
     {WHO("hub", hub_polls_once), WHO("signal", signals_hub)},
     interrupted,
     SIGNALS},
    {"a_thread_at_home_drains_the_wake",
     "and signals it again, for the foreign token",
     two_and_one_at_home,
     {WHO("hub", hub_waits_for_0_then_sets_the_flag), WHO("thread", thread_waits_for_1),
      WHO("thread 2", thread_waits_at_home), WHO("peer", sends_0_1_then_home_once_the_hub_is_gone)},
     three_ok,
     0},
    {"a_thread_at_home_drains_a_promotion",
     "and signals it again, for home has to drive the other poller now",
     two_and_one_at_home,
     {WHO("hub", hub_waits_for_0_then_sets_the_flag), WHO("thread", thread_waits_for_1_and_is_gone),
      WHO("thread 2", thread_waits_at_home), WHO("peer", sends_1_then_0_then_home)},
     three_ok,
     0},
    {"tokens_of_two_pollers_one_at_a_time",
     "all come out",
     two_and_one_at_home,
     {WHO("hub", parks_three_and_polls_for_one_each)},
     first_ok,
     0},
    {"tokens_of_two_pollers_that_are_always_ready",
     "neither keeps the other out",
     one_and_one_at_home,
     {WHO("hub", polls_for_one_of_two_pollers)},
     finish_both,
     0},
    {"tokens_of_two_foreign_pollers_that_are_always_ready",
     "neither keeps the other out",
     two_foreign,
     {WHO("hub", polls_for_one_of_two_foreign_pollers)},
     finish_both,
     0},
    {"a_foreign_token_that_is_ready_is_not_slept_over",
     "not for a moment",
     one_foreign,
     {WHO("hub", polls_for_what_is_ready)},
     first_ok,
     0},
    {"home_is_closed",
     "its foreign token comes out, and is refused from then on",
     one_parked,
     {WHO("hub", hub_polls_to_its_end), WHO("closer", closes_home)},
     refused,
     0},
    {"home_is_closed_beside_an_event",
     "the token comes out once",
     one_parked,
     {WHO("hub", hub_polls_to_its_end), WHO("closer", closes_home), WHO("peer", sends_0)},
     ok_or_refused,
     0},
    {"home_is_closed_while_a_token_parks",
     "it is parked and comes out, or refused",
     one_foreign,
     {WHO("parker", parks_at_the_end), WHO("closer", closes_home_and_sets_the_flag)},
     finish_both,
     0},
    {"two_hubs_wait_at_each_others_pollers",
     "and both go on",
     one_and_one_at_home,
     {WHO("hub", hub_waits_and_frees_the_other), WHO("other hub", other_hub_waits),
      WHO("peer", sends_0)},
     two_ok,
     0},
    {"fork_while_a_foreign_token_becomes_ready",
     "it comes out in the child, from wherever it was",
     one_ready_before_a_fork,
     {WHO("forker", forks_and_polls), WHO("driver", drives_p)},
     close_both,
     FORKS},
    {"fork_while_home_sleeps_on_two_pollers",
     "the token comes out in the child, which then lets go of the other poller",
     one_parked_before_a_fork,
     {WHO("forker", forks_sends_and_polls), WHO("hub", hub_polls_once)},
     close_both,
     FORKS},
    {"fork_while_a_foreign_token_parks",
     "in the child it is parked, or not",
     one_foreign_before_a_fork,
     {WHO("forker", forks_sends_and_polls), WHO("parker", parks_0)},
     close_both,
     FORKS},
    {"fork_while_a_foreign_token_is_cancelled",
     "in the child it is parked, or not",
     one_parked_before_a_fork,
     {WHO("forker", forks_sends_and_polls), WHO("canceller", cancels_0)},
     close_both,
     FORKS},
    {"a_loop_around_home",
     "sees foreign tokens that others make ready",
     nested,
     {WHO("loop", loop_waits_for_0_then_sends_home), WHO("thread", thread_waits_for_1),
      WHO("thread 2", thread_waits_at_home), WHO("peer", sends_0_1)},
     three_ok,
     NESTS},
    {"a_foreign_token_is_taken_without_a_poll",
     "once another has driven its descriptor's poller",
     two_and_one_parked,
     {WHO("thread", thread_waits_for_1), WHO("peer", sends_0_1)},
     taken_without_a_poll,
     0},
    {.name = NULL},
};
