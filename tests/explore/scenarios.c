/* The scenarios: two to four actors on one poller, and what must hold in every interleaving.
 *
 * That nobody waits for ever, that counts stay above zero, that no memory is used after its end,
 * that no system call meets a descriptor that was closed, and that nothing is left in the end is
 * checked in every execution and needs no word here.
 */
#include <string.h>

#include "core/internal.h"
#include "explore.h"
#include "kernel.h"
#include "stage.h"

/* What these backends report is a level: nobody took the byte, so it is there again. */
#define LEVEL (strcmp(ex_backend, "poll") == 0 || strcmp(ex_backend, "iocp") == 0)

np_poller *p;
np_desc *d[DESCS];
int fd[DESCS], result[EX_ACTORS];
static int peer; /* fd[0]'s file under another number */
static int64_t start, ended[EX_ACTORS];
static bool flag[2];
static int tokens_out[DESCS];
static int withdrawn;

/* --- before and after --------------------------------------------------------------------------
 */

/* For a host with a global lock np_poll looks at the kernel twice, first without blocking.  Nobody
 * holds this one, so the others may come in between any two steps. */
static void *no_lock_to_give(void)
{
    return NULL;
}
static void no_lock_to_take(void *cookie)
{
    (void)cookie;
}

#define np_poll(...) (ex_polled = true, np_poll(__VA_ARGS__))

void with(int n)
{
    memset(result, -1, sizeof result);
    memset(ended, 0, sizeof ended);
    memset(flag, 0, sizeof flag);
    memset(tokens_out, 0, sizeof tokens_out);
    memset(d, 0, sizeof d);
    withdrawn = 0;
    start = ex_clock();
    np_set_blocking_hooks(ex_hooks ? no_lock_to_give : NULL, ex_hooks ? no_lock_to_take : NULL);
    EXPECT(np_poller_new(ex_backend, &p) == NP_OK);
    for (int i = 0; i < n; i++) {
        fd[i] = k_socket();
        EXPECT(np_open(p, fd[i], &d[i]) == NP_OK);
    }
}

static void one(void)
{
    with(1);
}

static void none(void)
{
    with(0);
}

static void one_pipe(void)
{
    with(0);
    fd[0] = k_pipe();
    EXPECT(np_open(p, fd[0], &d[0]) == NP_OK);
}

static void two(void)
{
    with(2);
}

static void three(void)
{
    with(3);
}

static void two_where_sleeps_end_for_no_reason(void)
{
    with(2);
    ex_allow_spurious(2);
}

static void two_with_a_handler(void)
{
    with(2);
    np_enable_signal_checks();
    ex_has_handler("first");
}

void finish(void)
{
    np_stats stats;
    np_poller_stats(p, &stats);
    EXPECT(stats.parked_readers == 0 && stats.parked_writers == 0);
    EXPECT(np_list_empty(&p->drivers) && np_list_empty(&p->followers));
    for (int i = 0; i < DESCS; i++)
        if (d[i]) {
            np_close(d[i]);
            np_desc_unref(d[i]);
        }
    np_token out[8];
    EXPECT(np_take_ready(p, out, 8) == 0);
    np_poller_stats(p, &stats);
    EXPECT(stats.open == 0);
    EXPECT(np_load(&p->refs) == 1);
    np_poller_unref(p);
}

/* --- what actors do ----------------------------------------------------------------------------
 */

/* The loop of rule 1. */
static int read_byte(int i)
{
    for (;;) {
        int rc = np_reset(d[i], NP_READ);
        if (rc != NP_OK || k_recv(fd[i]))
            return rc;
        rc = np_wait(d[i], NP_READ);
        if (rc != NP_OK)
            return rc;
    }
}

void end_with(int rc)
{
    result[ex_self] = rc;
    ended[ex_self] = ex_clock();
    ex_note("result %d", rc);
}

static void reads_0(void)
{
    end_with(read_byte(0));
}
static void reads_1(void)
{
    end_with(read_byte(1));
}
static void reads_2(void)
{
    end_with(read_byte(2));
}
static void waits_0(void)
{
    end_with(np_wait(d[0], NP_READ));
}
static void waits_1(void)
{
    end_with(np_wait(d[1], NP_READ));
}
static void waits_to_write_0(void)
{
    end_with(np_wait(d[0], NP_WRITE));
}
static void waits_0_then_frees_1(void)
{
    end_with(np_wait(d[0], NP_READ));
    k_send(fd[1]);
}
static void waits_1_then_frees_0(void)
{
    end_with(np_wait(d[1], NP_READ));
    k_send(fd[0]);
}
static void sends_0(void)
{
    k_send(fd[0]);
}
static void sends_1(void)
{
    k_send(fd[1]);
}
static void sends_0_1(void)
{
    k_send(fd[0]);
    k_send(fd[1]);
}
static void sends_2_0_1(void)
{
    k_send(fd[2]);
    k_send(fd[0]);
    k_send(fd[1]);
}
static void closes_0(void)
{
    np_close(d[0]);
}
static void deadline_now(void)
{
    EXPECT(np_set_deadline(d[0], 0, NP_READ) == NP_OK);
}
static void unblocks_0(void)
{
    np_unblock(d[0]);
}
static void deadline_100(void)
{
    EXPECT(np_set_deadline(d[0], 100, NP_READ) == NP_OK);
}
static void advances_100(void)
{
    ex_advance(100);
}
static void wakes(void)
{
    np_wake(p);
}

static void take(const np_token *out, int n)
{
    for (int i = 0; i < n; i++)
        tokens_out[out[i]]++;
}

/* np_poll until the token i has come out. */
static void poll_until_out(int i, int max)
{
    np_token out[4];
    int n;
    while (tokens_out[i] == 0) {
        EXPECT(np_poll(p, -1, out, max, &n) == NP_OK);
        take(out, n);
        if (n == 0)
            np_yield(); /* an early return is allowed, for ever is not */
    }
}

/* A scheduler's wait on descriptor i, in the words of the contract. */
static int scheduler_wait(int i)
{
    for (;;) {
        int rc = np_park(d[i], NP_READ, (np_token)i, 0);
        if (rc != NP_PARKED)
            return rc;
        tokens_out[i] = 0;
        poll_until_out(i, 4);
        EXPECT(tokens_out[i] == 1);
        rc = np_resume(d[i], NP_READ, 0);
        if (rc != NP_AGAIN)
            return rc;
    }
}

/* Is the notification still there, be it in the semaphore or in the kernel? */
static bool ready_after_all(int i)
{
    np_token out[4];
    int n, rc = np_park(d[i], NP_READ, (np_token)i, 0);
    if (rc != NP_PARKED)
        return rc == NP_OK;
    EXPECT(np_poll(p, 0, out, 4, &n) == NP_OK);
    if (n == 1)
        return np_resume(d[i], NP_READ, 0) == NP_OK;
    np_token token;
    EXPECT(np_cancel(d[i], NP_READ, &token) == 1);
    return false;
}

static void park_0(void)
{
    EXPECT(np_park(d[0], NP_READ, 0, 0) == NP_PARKED);
}

/* --- threads ---------------------------------------------------------------------------------- */

static void all_ok(int n)
{
    for (int i = 0; i < n; i++)
        EXPECT(result[i] == NP_OK);
    finish();
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

static void first_closed(void)
{
    EXPECT(result[0] == NP_CLOSED);
    EXPECT(np_wait(d[0], NP_READ) == NP_CLOSED);
    finish();
}

static void ok_or_closed(void)
{
    EXPECT(result[0] == NP_OK || result[0] == NP_CLOSED);
    EXPECT(np_reset(d[0], NP_READ) == NP_CLOSED);
    finish();
}

static void closed_and_ok(void)
{
    EXPECT(result[0] == NP_CLOSED && result[1] == NP_OK);
    finish();
}

static void two_closed(void)
{
    EXPECT(result[0] == NP_CLOSED && result[1] == NP_CLOSED);
    finish();
}

/* Whoever is done lets the other in. */
static void waits_and_passes_on(void)
{
    int rc = np_wait(d[0], NP_READ);
    end_with(rc);
    if (rc == NP_OK)
        k_send(fd[0]);
}

static void one_busy_at_most(void)
{
    EXPECT(result[0] == NP_OK || result[1] == NP_OK);
    for (int i = 0; i < 2; i++)
        EXPECT(result[i] == NP_OK || result[i] == NP_BUSY);
    finish();
}

static void signals_first(void)
{
    ex_signal("first");
}

static void interrupted_and_ok(void)
{
    EXPECT(result[0] == NP_INTERRUPTED && result[1] == NP_OK);
    finish();
}

/* What Python does: when a wait is interrupted, look whether a handler has to run. */
static void waits_0_and_handles(void)
{
    int rc;
    do {
        if (ex_check_signals())
            ex_set(&flag[0]);
        rc = np_wait(d[0], NP_READ);
    } while (rc == NP_INTERRUPTED);
    end_with(rc);
}

static void polls_and_handles(void)
{
    int rc, n = 0;
    do {
        if (ex_check_signals())
            ex_set(&flag[0]);
        np_token token;
        rc = np_poll(p, -1, &token, 1, &n);
        if (rc == NP_OK && n == 0)
            np_yield(); /* what it drained was meant for the other */
    } while (rc == NP_INTERRUPTED || (rc == NP_OK && n == 0));
    end_with(rc);
}

static void token_0_and_two_waiters(void)
{
    two_with_a_handler();
    EXPECT(np_park(d[0], NP_READ, 7, 0) == NP_PARKED);
}

static void event_and_signal(void)
{
    k_send(fd[1]);
    ex_signal_noted("first");
}

static void signal_alone(void)
{
    ex_signal_noted("first");
}

static void ends_both_once_handled(void)
{
    ex_await(&flag[0]);
    k_send(fd[0]);
    k_send(fd[1]);
}

static void ends_it_once_handled(void)
{
    ex_await(&flag[0]);
    k_send(fd[0]);
}

static void waits_0_then_wakes(void)
{
    waits_0();
    np_wake(p);
}

static void waits_twice_0(void)
{
    int rc = np_wait(d[0], NP_READ);
    while (rc == NP_INTERRUPTED)
        rc = np_wait(d[0], NP_READ);
    end_with(rc);
}

static void waits_canceled_0(void)
{
    end_with(np_wait_canceled(d[0], NP_READ));
}

static void closes_poller(void)
{
    np_poller_close(p);
}

static void error_0(void)
{
    k_error(fd[0]);
}

static void pollable(void)
{
    EXPECT(result[0] == NP_OK && result[1] == NP_OK);
    EXPECT(np_reset(d[0], NP_READ) == NP_OK && np_reset(d[0], NP_WRITE) == NP_OK);
    finish();
}

static void pollable_again(void)
{
    bool reported = result[0] == NP_NOT_POLLABLE;
    EXPECT((reported || result[0] == NP_OK) && result[1] == NP_OK);
    k_error_over(fd[0]);
    EXPECT(np_reset(d[0], NP_READ) == NP_OK);
    k_error(fd[0]);
    EXPECT(np_wait(d[0], NP_READ) == NP_OK); /* meet it */
    EXPECT(np_reset(d[0], NP_READ) == NP_NOT_POLLABLE);
    finish();
}

static void pollable_with_room(void)
{
    k_writable(fd[0]);
    EXPECT(np_reset(d[0], NP_READ) == NP_OK);
    finish();
}

static void not_pollable(void)
{
    EXPECT(result[0] == NP_NOT_POLLABLE || result[0] == NP_OK); /* OK: go and meet it */
    EXPECT(result[1] == NP_OK);
    EXPECT(np_wait(d[0], NP_READ) == NP_NOT_POLLABLE && np_reset(d[0], NP_WRITE) == NP_OK);
    finish();
}

static void hangs_up_0(void)
{
    k_hangup(fd[0]);
}

/* --- deadlines -------------------------------------------------------------------------------- */

static void one_with_deadline(void)
{
    with(1);
    EXPECT(np_set_deadline(d[0], 100, NP_READ) == NP_OK);
}

static void one_with_far_deadline(void)
{
    with(1);
    EXPECT(np_set_deadline(d[0], FAR, NP_READ) == NP_OK);
}

static void two_with_far_deadlines(void)
{
    with(2);
    EXPECT(np_set_deadline(d[0], FAR, NP_READ) == NP_OK);
    EXPECT(np_set_deadline(d[1], FAR, NP_READ) == NP_OK);
}

static void in_time(int who, int64_t after)
{
    EXPECT(result[who] == NP_TIMEOUT);
    EXPECT(ended[who] >= start + after); /* never early */
    EXPECT(ended[who] < start + FAR);    /* and not by the deadline that it replaced */
}

static void first_in_time(void)
{
    in_time(0, 100);
    EXPECT(np_wait(d[0], NP_READ) == NP_TIMEOUT);
    EXPECT(np_set_deadline(d[0], NP_NEVER, NP_READ) == NP_OK);
    EXPECT(np_reset(d[0], NP_READ) == NP_OK);
    finish();
}

static void expired_now(void)
{
    EXPECT(result[0] == NP_TIMEOUT && np_reset(d[0], NP_READ) == NP_TIMEOUT);
    finish();
}

/* Past, and nobody has looked yet. */
static void one_with_a_passed_deadline(void)
{
    one_with_deadline();
    ex_advance(100);
}

static void finds_it_expired(void)
{
    end_with(np_reset(d[0], NP_READ));
}

static void deadline_100_for_1(void)
{
    EXPECT(np_set_deadline(d[1], 100, NP_READ) == NP_OK);
}

static void second_in_time(void)
{
    in_time(1, 100);
    EXPECT(result[0] == NP_OK);
    finish();
}

static int64_t moved_from, moved_at;

static void moves_to_300(void)
{
    moved_from = ex_clock();
    EXPECT(np_set_deadline(d[0], 300, NP_READ) == NP_OK);
    moved_at = ex_clock();
    ex_set(&flag[0]);
}

static void waits_from_whenever(void)
{
    bool moved = flag[0];
    int rc = np_wait(d[0], NP_READ);
    end_with(rc);
    EXPECT(rc == NP_TIMEOUT);
    EXPECT(ex_clock() >= start + (moved ? 300 : 100));
}

static void moved_deadline_counts(void)
{
    int rc = np_reset(d[0], NP_READ);
    EXPECT(ex_clock() >= moved_from + 300 || rc == NP_OK);
    EXPECT(ex_clock() < moved_at + 300 || rc == NP_TIMEOUT);
    finish();
}

/* The deadline is cleared under the waiter, so only the event may end the wait, unless the waiter
 * came to know of the expiry first. */
static void clears_then_sends(void)
{
    EXPECT(np_set_deadline(d[0], NP_NEVER, NP_READ) == NP_OK);
    k_send(fd[0]);
}

static void ok_or_timeout_and_nothing_lost(void)
{
    EXPECT(result[0] == NP_OK || (result[0] == NP_TIMEOUT && ended[0] >= start + 100));
    EXPECT(np_set_deadline(d[0], NP_NEVER, NP_READ) == NP_OK);
    if (result[0] == NP_TIMEOUT)
        EXPECT(ready_after_all(0));
    else if (!LEVEL)
        EXPECT(!ready_after_all(0)); /* consumed once */
    finish();
}

static void sends_0_and_polls(void)
{
    np_token out[4];
    int n;
    k_send(fd[0]);
    EXPECT(np_poll(p, 0, out, 4, &n) == NP_OK && n == 0);
}

/* One that has not parked yet may take the event, having seen no close before. */
static void sends_0_polls_and_unblocks(void)
{
    bool parked = np_is_parked(d[0], NP_READ);
    sends_0_and_polls();
    np_unblock(d[0]);
    flag[0] = parked; /* in one step with the last of np_unblock */
}

/* It was told of the byte before, but the close is older than its return. */
static void waits_0_and_knows_of_the_end(void)
{
    waits_0();
    EXPECT(!flag[0] || result[0] == NP_CLOSED);
}

static void ok_or_expired_and_nothing_lost(void)
{
    EXPECT(result[0] == NP_OK || result[0] == NP_TIMEOUT);
    EXPECT(np_set_deadline(d[0], NP_NEVER, NP_READ) == NP_OK);
    if (result[0] == NP_TIMEOUT)
        EXPECT(ready_after_all(0));
    finish();
}

static void resets_0(void)
{
    int rc = np_reset(d[0], NP_READ);
    EXPECT(rc == NP_OK || (rc == NP_TIMEOUT && ex_clock() >= start + 100));
    EXPECT(ex_clock() < start + 100 || np_reset(d[0], NP_READ) == NP_TIMEOUT);
}

static void fired_once(void)
{
    np_stats stats;
    in_time(0, 100);
    np_poller_stats(p, &stats);
    EXPECT(stats.deadlines_fired == 1);
    finish();
}

static void one_with_equal_deadlines(void)
{
    with(1);
    EXPECT(np_set_deadline(d[0], 100, NP_READ | NP_WRITE) == NP_OK);
    EXPECT(p->heap.count == 1);
}

static void both_in_time(void)
{
    np_stats stats;
    in_time(0, 100);
    in_time(1, 100);
    np_poller_stats(p, &stats);
    EXPECT(stats.deadlines_fired == 1);
    finish();
}

static void moves_read_to_300(void)
{
    np_set_deadline(d[0], 300, NP_READ);
}

static void writer_in_time(void)
{
    in_time(0, 100);
    in_time(1, 100);
    EXPECT(ended[1] < start + 300);
    finish();
}

/* --- the slot's next owner ----------------------------------------------------------------------
 */

static void one_with_peer(void)
{
    with(1);
    peer = k_user_dup(fd[0]);
    park_0();
}

/* Armed, as the level-triggered backend needs it, but nobody waits: the slot is free as soon as it
 * is closed. */
static void one_armed(void)
{
    np_token token;
    one_with_peer();
    EXPECT(np_cancel(d[0], NP_READ, &token) == 1);
}

static void peer_sends(void)
{
    k_send(peer);
}

static void polls_once(void)
{
    np_token out[4];
    int n, rc = np_poll(p, -1, out, 4, &n);
    end_with(rc);
    if (rc == NP_OK)
        take(out, n);
}

static void polls_once_and_wakes(void)
{
    polls_once();
    np_wake(p);
}

static np_desc *reopen(void)
{
    np_desc *fresh = NULL;
    k_user_close(fd[0]);
    fd[0] = k_socket();
    EXPECT(np_open(p, fd[0], &fresh) == NP_OK);
    return fresh;
}

static void recycles(void)
{
    np_desc *slot = d[0];
    np_close(d[0]);
    np_desc_unref(d[0]);
    d[0] = NULL;
    d[0] = reopen();
    EXPECT(d[0] == slot);
    np_wake(p);
}

/* A driver may be asleep with what was armed of the slot's last owner, under the same number. */
static void recycles_and_waits(void)
{
    np_close(d[0]);
    np_desc_unref(d[0]);
    d[0] = NULL;
    d[0] = reopen();
    ex_set(&flag[0]);
    end_with(np_wait(d[0], NP_READ));
    np_wake(p);
}

static void sends_0_once_it_is_open(void)
{
    ex_await(&flag[0]);
    k_send(fd[0]);
}

static void second_ok(void)
{
    EXPECT(result[1] == NP_OK);
    finish();
}

static void new_owner_untouched(void)
{
    EXPECT(!np_is_ready(d[0], NP_READ));
    EXPECT(np_reset(d[0], NP_READ) == NP_OK);
    EXPECT(!ready_after_all(0));
    k_send(fd[0]);
    EXPECT(ready_after_all(0));
    finish();
}

/* The file is closed behind our back and lives on elsewhere; its number is opened again. */
static void replaces(void)
{
    d[1] = reopen();
    np_wake(p);
}

static void replaced(void)
{
    np_token out[4];
    EXPECT(tokens_out[0] + np_take_ready(p, out, 4) == 1);
    EXPECT(np_reset(d[0], NP_READ) == NP_CLOSED);
    np_close(d[0]);
    EXPECT(!ready_after_all(1));
    k_send(fd[0]);
    EXPECT(ready_after_all(1));
    finish();
}

static void two_with_peer(void)
{
    with(2);
    peer = k_user_dup(fd[0]);
}

static np_desc *open_again(void)
{
    np_desc *fresh = NULL;
    EXPECT(np_open(p, fd[0], &fresh) == NP_OK);
    return fresh;
}

/* The number is another file's for a while, and its descriptor is closed only then. */
static void redirects_0_and_waits(void)
{
    k_user_dup2(fd[1], fd[0]);
    np_close(d[0]);
    np_desc_unref(d[0]);
    k_user_dup2(peer, fd[0]);
    d[0] = open_again();
    end_with(np_wait(d[0], NP_READ));
}

/* The same, and each file is opened under it; each makes way for the next. */
static void redirects_0_and_opens(void)
{
    np_desc *first = d[0], *unused = NULL;
    k_user_dup2(fd[1], fd[0]);
    d[2] = open_again();
    k_user_dup2(peer, fd[0]);
    d[0] = open_again();
    EXPECT(np_desc_closed(first) && np_desc_closed(d[2]) && !np_desc_closed(d[0]));
    np_desc_unref(first);
    EXPECT(np_open(p, fd[0], &unused) == -EEXIST);
    end_with(np_wait(d[0], NP_READ));
}

static void one_armed_with_deadline(void)
{
    one_armed();
    EXPECT(np_set_deadline(d[0], 100, NP_READ) == NP_OK);
}

static void drops_0(void)
{
    np_desc *mine = d[0];
    d[0] = NULL;
    np_desc_unref(mine);
    np_wake(p);
}

/* The next owner of the slot, if it is free already, parks a token of its own. */
static void drops_and_opens(void)
{
    drops_0();
    d[1] = reopen();
    EXPECT(np_park(d[1], NP_READ, 1, 0) == NP_PARKED);
    k_send(fd[0]);
    poll_until_out(1, 4);
}

static void dropped(void)
{
    np_token out[4];
    take(out, np_take_ready(p, out, 4));
    EXPECT(tokens_out[0] == 1);
    EXPECT(np_load(&p->refs) == (d[1] ? 2u : 1u)); /* the slot went back */
    finish();
}

static void one_with_two_tokens(void)
{
    one_with_peer();
    EXPECT(np_park(d[0], NP_WRITE, 1, 0) == NP_PARKED);
}

/* One at a time. */
static void takes_two(void)
{
    np_token out[1];
    for (int i = 0; i < 2; i++)
        take(out, np_take_ready(p, out, 1));
}

static void both_dropped(void)
{
    takes_two();
    EXPECT(tokens_out[0] == 1 && tokens_out[1] == 1);
    EXPECT(np_load(&p->refs) == 1); /* the slot went back */
    finish();
}

/* The poller may be gone before the dropper has left its lock. */
static void polls_once_and_lets_go(void)
{
    polls_once();
    np_poller_unref(p);
}

static void drops_0_and_no_more(void)
{
    np_desc *mine = d[0];
    d[0] = NULL;
    np_desc_unref(mine);
}

static void token_out(void)
{
    EXPECT(tokens_out[0] == 1);
}

static np_desc *second_handle;

static void one_with_two_handles(void)
{
    with(1);
    second_handle = d[0];
    np_desc_ref(d[0]);
}

static void waits_with_its_own_handle(void)
{
    end_with(np_wait(second_handle, NP_READ));
    np_desc_unref(second_handle);
}

/* The next owner of the slot, if it is free already, waits too. */
static void closes_drops_and_opens(void)
{
    np_desc *mine = d[0];
    d[0] = NULL;
    np_close(mine);
    np_desc_unref(mine);
    d[1] = reopen();
    k_send(fd[0]);
    end_with(np_wait(d[1], NP_READ));
}

/* --- tokens ----------------------------------------------------------------------------------- */

static void schedules_0(void)
{
    end_with(scheduler_wait(0));
}

static void one_parked(void)
{
    with(1);
    park_0();
}

static void cancels(void)
{
    np_token token = 99;
    withdrawn = np_cancel(d[0], NP_READ, &token);
    EXPECT(!withdrawn || token == 0);
    np_wake(p);
}

static void withdrawn_or_out(void)
{
    np_token out[4];
    int n;
    EXPECT(np_poll(p, 0, out, 4, &n) == NP_OK);
    EXPECT(tokens_out[0] + n == (withdrawn ? 0 : 1));
    EXPECT(ready_after_all(0)); /* the notification stays for the next */
    finish();
}

static void takes_token_0(void)
{
    poll_until_out(0, 4);
    end_with(np_resume(d[0], NP_READ, 0));
}

static void token_once_and_ok(void)
{
    EXPECT(tokens_out[0] == 1 && result[0] == NP_OK);
    finish();
}

static void just_resets_0(void)
{
    np_reset(d[0], NP_READ);
}

static void two_parked(void)
{
    with(2);
    park_0();
    EXPECT(np_park(d[1], NP_READ, 1, 0) == NP_PARKED);
}

static void takes_any_token(void)
{
    np_token out[1];
    int n = 0;
    for (;;) {
        EXPECT(np_poll(p, -1, out, 1, &n) == NP_OK);
        take(out, n);
        if (n)
            return;
        np_yield();
    }
}

static void takes_both_tokens(void)
{
    poll_until_out(0, 1);
    poll_until_out(1, 1);
}

static void each_token_once(void)
{
    EXPECT(tokens_out[0] == 1 && tokens_out[1] == 1);
    EXPECT(np_resume(d[0], NP_READ, 0) == NP_OK && np_resume(d[1], NP_READ, 0) == NP_OK);
    finish();
}

static void scheduler_ok(void)
{
    EXPECT(tokens_out[0] == 1 && result[0] == NP_OK && result[2] == NP_OK);
    finish();
}

/* Another scheduler parks on the same side while the first one's token is on its way, whose
 * notification it may have taken. */
static void parks_another(void)
{
    int rc = np_park(d[0], NP_READ, 1, 0);
    if (rc == NP_OK)
        rc = np_park(d[0], NP_READ, 1, 0);
    end_with(rc);
    if (rc != NP_PARKED)
        return;
    k_send(fd[0]);
    poll_until_out(1, 4);
}

/* Two schedulers, two tokens, one side: who is done lets the other in, and who takes a token that
 * is not his wakes the other. */
static int contend_once(int i)
{
    int rc;
    do {
        rc = np_park(d[0], NP_READ, (np_token)i, 0);
        if (rc != NP_PARKED)
            break;
        tokens_out[i] = 0;
        while (tokens_out[i] == 0) {
            np_token out[4];
            int n;
            EXPECT(np_poll(p, -1, out, 4, &n) == NP_OK);
            take(out, n);
            if (n > 0 && out[0] != (np_token)i)
                np_wake(p);
            np_yield();
        }
        EXPECT(tokens_out[i] == 1);
        rc = np_resume(d[0], NP_READ, 0);
    } while (rc == NP_AGAIN);
    if (rc == NP_OK)
        k_send(fd[0]);
    return rc;
}

static void contends(int i)
{
    int rc = contend_once(i);
    if (rc == NP_OK)
        contend_once(i);
    end_with(rc);
}

static void contends_with_0(void)
{
    contends(0);
}
static void contends_with_1(void)
{
    contends(1);
}

/* The side is taken, used up and taken again by the second, while the first is about to park. */
static void one_with_a_byte(void)
{
    with(1);
    k_send(fd[0]);
}

static void parks_slowly(void)
{
    int rc = np_park(d[0], NP_READ, 0, 0);
    end_with(rc);
    if (rc == NP_PARKED)
        poll_until_out(0, 4);
    np_wake(p);
}

static void parks_twice(void)
{
    np_token out[4];
    int n;
    EXPECT(np_poll(p, 0, out, 4, &n) == NP_OK);
    take(out, n);
    int rc = np_park(d[0], NP_READ, 1, 0);
    if (rc == NP_OK)
        rc = np_park(d[0], NP_READ, 1, 0);
    end_with(rc);
    k_send(fd[0]);
    if (rc == NP_PARKED)
        poll_until_out(1, 4);
    np_wake(p);
}

static void parked_get_their_own(void)
{
    for (int i = 0; i < 2; i++) {
        EXPECT(result[i] == NP_OK || result[i] == NP_PARKED || result[i] == NP_BUSY);
        EXPECT(tokens_out[i] == (result[i] == NP_PARKED));
    }
    finish();
}

static void polls_for_token_0(void)
{
    poll_until_out(0, 4);
    np_wake(p);
}

static void tokens_apart(void)
{
    np_token out[4];
    int n = np_take_ready(p, out, 4);
    take(out, n);
    EXPECT(tokens_out[0] == 1);
    EXPECT(result[1] == NP_PARKED ? tokens_out[1] == 1 : tokens_out[1] == 0);
    finish();
}

/* It parks and gives up, not knowing what has become of its token, or who has parked since. */
static void parks_and_withdraws(void)
{
    int rc = np_park(d[0], NP_READ, 0, 0);
    end_with(rc);
    if (rc == NP_PARKED)
        withdrawn = np_cancel_token(d[0], NP_READ, 0);
}

static void polls_and_parks_another(void)
{
    np_token out[4];
    int n;
    EXPECT(np_poll(p, 0, out, 4, &n) == NP_OK);
    take(out, n);
    parks_another();
}

static void only_its_own_is_withdrawn(void)
{
    np_token out[4];
    take(out, np_take_ready(p, out, 4));
    EXPECT(tokens_out[0] == (result[0] == NP_PARKED && !withdrawn));
    EXPECT(tokens_out[1] == (result[1] == NP_PARKED));
    finish();
}

static void waits_after_token(void)
{
    int rc = np_wait(d[0], NP_READ);
    end_with(rc);
}

static void token_and_thread(void)
{
    np_token out[4];
    take(out, np_take_ready(p, out, 4));
    EXPECT(tokens_out[0] == 1);
    EXPECT(result[1] == NP_OK || result[1] == NP_BUSY || result[1] == NP_TIMEOUT);
    finish();
}

static void unblocks_softly(void)
{
    EXPECT(np_set_deadline(d[0], 0, NP_READ) == NP_OK);
    EXPECT(np_set_deadline(d[0], NP_NEVER, NP_READ) == NP_OK);
    k_send(fd[0]);
}

/* A scheduler that meets its deadline clears it and goes on: in the end it gets its byte. */
static void schedules_against_deadlines(void)
{
    int rc;
    while ((rc = scheduler_wait(0)) == NP_TIMEOUT) {
        EXPECT(ex_clock() >= start + 100);
        EXPECT(np_set_deadline(d[0], NP_NEVER, NP_READ) == NP_OK);
    }
    end_with(rc);
}

static void one_parked_beside_a_thread(void)
{
    with(2);
    park_0();
}

static void parks_and_takes_unless_busy(void)
{
    int rc = scheduler_wait(0);
    end_with(rc);
    if (rc == NP_OK)
        k_send(fd[0]);
}

/* A deadline queues the token, and is taken back; the thread parks where the token was. */
static void waits_while_its_token_is_queued(void)
{
    np_token out[4];
    int n;
    EXPECT(np_park(d[0], NP_READ, 77, 0) == NP_PARKED);
    np_set_deadline(d[0], 0, NP_READ);
    np_set_deadline(d[0], NP_NEVER, NP_READ);
    end_with(np_wait(d[0], NP_READ));
    EXPECT(np_poll(p, 0, out, 4, &n) == NP_OK && n == 1 && out[0] == 77);
}

static void polls_0(void)
{
    np_token out[4];
    int n;
    EXPECT(np_poll(p, 0, out, 4, &n) == NP_OK && n == 0);
}

static void polls_then_frees_thread(void)
{
    polls_once();
    k_send(fd[0]);
}

static void polls_50_then_ends(void)
{
    np_token out[4];
    int n;
    int64_t before = ex_clock();
    end_with(np_poll(p, 50, out, 4, &n));
    EXPECT(ex_clock() <= before + 100 + LATE);
}

static void thread_in_time(void)
{
    EXPECT(result[1] == NP_TIMEOUT && ended[1] >= start + 100 && ended[1] < start + FAR);
    finish();
}

static void two_first_deadline(void)
{
    with(2);
    EXPECT(np_set_deadline(d[1], 100, NP_READ) == NP_OK);
}

static void one_parked_far(void)
{
    one_parked();
    EXPECT(np_set_deadline(d[0], FAR, NP_READ) == NP_OK);
}

static void polls_long(void)
{
    np_token out[4];
    int n;
    while (tokens_out[0] == 0) {
        int rc = np_poll(p, 500, out, 4, &n);
        EXPECT(rc == NP_OK);
        take(out, n);
        if (n == 0)
            np_yield();
    }
    ended[ex_self] = ex_clock();
    np_wake(p); /* the other goes too */
}

static void polls_50(void)
{
    np_token out[4];
    int n;
    EXPECT(np_poll(p, 50, out, 4, &n) == NP_OK);
    take(out, n);
    if (n > 0)
        np_wake(p);
}

static void polls_until_it_is_out(void)
{
    np_token out[4];
    int n;
    while (tokens_out[0] == 0) {
        EXPECT(np_poll(p, -1, out, 4, &n) == NP_OK);
        take(out, n);
    }
    np_wake(p);
}

static void token_expired(void)
{
    EXPECT(tokens_out[0] == 1);
    EXPECT(ex_clock() >= start + 100 && ex_clock() < start + FAR);
    EXPECT(np_resume(d[0], NP_READ, 0) == NP_TIMEOUT);
    finish();
}

static void polls_to_the_end_of_the_clock(void)
{
    np_token out[4];
    int n;
    end_with(np_poll(p, NP_NEVER - 1, out, 4, &n));
    EXPECT(flag[0]);
}

static void sets_and_wakes(void)
{
    ex_set(&flag[0]);
    np_wake(p);
}

static void token_in_time(void)
{
    EXPECT(tokens_out[0] == 1);
    EXPECT(ended[0] >= start + 100 && ended[0] <= start + 500 + LATE);
    EXPECT(np_resume(d[0], NP_READ, 0) == NP_TIMEOUT);
    finish();
}

/* A resume that is nobody's, while the token is in the queue: it is the scheduler's turn only
 * afterwards. */
static void resumes_what_is_not_out(void)
{
    EXPECT(np_resume(d[0], NP_READ, 0) == NP_AGAIN);
    ex_set(&flag[0]);
}

static void takes_token_0_afterwards(void)
{
    ex_await(&flag[0]);
    takes_token_0();
}

/* The reference that a scheduler has travels with its token: whoever gets the token may drop it,
 * and the poller with it. */
static void parks_and_forgets(void)
{
    np_desc *mine = d[0];
    d[0] = NULL;
    int rc = np_park(mine, NP_READ, (np_token)(uintptr_t)mine, 0);
    if (rc == NP_PARKED)
        return;
    EXPECT(rc == NP_CLOSED);
    np_desc_unref(mine);
}

static void closes_and_drops_all(void)
{
    np_token out[4];
    np_poller_close(p);
    for (int n = np_take_ready(p, out, 4); n-- > 0;)
        np_desc_unref((np_desc *)(uintptr_t)out[n]);
    np_poller_unref(p);
}

static void nothing_left(void)
{
}

static void drops_poller(void)
{
    np_poller_unref(p);
}

static void drops_descriptor(void)
{
    np_desc *mine = d[0];
    d[0] = NULL;
    np_desc_unref(mine);
}

static void asks_all_pollers(void)
{
    EXPECT(!np_is_poll_descriptor(NULL, fd[0]));
}

/* --- waking and closing the poller -------------------------------------------------------------
 */

static void wakes_twice(void)
{
    np_wake(p);
    np_wake(p);
}

static void poll_ended(void)
{
    EXPECT(result[0] == NP_OK || result[0] == NP_CLOSED);
    EXPECT(np_poll(p, -1, NULL, 0, &(int){0}) == NP_CLOSED);
    finish();
}

static void polls_until_closed(void)
{
    np_token out[4];
    int n, rc;
    while ((rc = np_poll(p, -1, out, 4, &n)) == NP_OK) {
        take(out, n);
        np_yield();
    }
    end_with(rc);
}

static void all_closed(void)
{
    for (int i = 0; i < 3; i++)
        EXPECT(result[i] == NP_CLOSED);
    finish();
}

static void poll_and_token_closed(void)
{
    np_token out[4];
    EXPECT(result[0] == NP_CLOSED);
    tokens_out[0] += np_take_ready(p, out, 4);
    EXPECT(tokens_out[0] == 1);
    EXPECT(np_resume(d[0], NP_READ, 0) == NP_CLOSED);
    finish();
}

static void opens_another(void)
{
    int number = k_socket();
    np_desc *mine = NULL;
    int rc = np_open(p, number, &mine);
    end_with(rc);
    EXPECT(rc == NP_OK || rc == NP_CLOSED);
    if (rc == NP_OK) {
        np_close(mine);
        np_desc_unref(mine);
    }
}

static void just_finish(void)
{
    finish();
}

/* --- nesting, a global lock, fork --------------------------------------------------------------
 */

static np_fd outer_fd;

static void nested(void)
{
    two_parked();
    fd[2] = k_socket();
    EXPECT(np_open(p, fd[2], &d[2]) == NP_OK);
    EXPECT(np_poller_fileno(p, &outer_fd) == NP_OK);
}

static void outer_loop(void)
{
    np_token out[1];
    int n;
    while (tokens_out[0] == 0) {
        k_wait_readable((int)outer_fd);
        EXPECT(np_poll(p, 0, out, 1, &n) == NP_OK);
        take(out, n);
        if (n == 0)
            np_yield();
    }
}

static void outer_done(void)
{
    np_token token;
    EXPECT(tokens_out[0] == 1);
    EXPECT(np_cancel(d[1], NP_READ, &token) == 1);
    finish();
}

static void nested_with_peer(void)
{
    with(1);
    peer = k_user_dup(fd[0]);
    EXPECT(np_poller_fileno(p, &outer_fd) == NP_OK);
    park_0();
}

/* Its file has lost the number, and lives on. */
static void closes_0_too_late(void)
{
    k_user_close(fd[0]);
    np_close(d[0]);
}

static void outer_loop_at_rest(void)
{
    np_token out[1];
    int n;
    EXPECT(tokens_out[0] == 1);
    k_send(peer);
    for (int i = 0; i < 2; i++) /* there may be an event of it, once */
        EXPECT(np_poll(p, 0, out, 1, &n) == NP_OK && n == 0);
    EXPECT(!k_is_readable((int)outer_fd));
    finish();
}

static void outer_loop_then_frees_2(void)
{
    outer_loop();
    k_send(fd[2]);
}

static void moves_0_to_300_and_wakes(void)
{
    EXPECT(np_set_deadline(d[0], 300, NP_READ) == NP_OK);
    np_wake(p);
}

static void nested_with_deadline(void)
{
    nested();
    EXPECT(np_set_deadline(d[0], 100, NP_READ) == NP_OK);
}

static void nested_with_far_deadline(void)
{
    nested();
    EXPECT(np_set_deadline(d[0], FAR, NP_READ) == NP_OK);
}

static void outer_done_after_all(void)
{
    EXPECT(ex_clock() >= start + 100 && ex_clock() < start + FAR);
    outer_done();
}

static void forks_nested(void)
{
    fork_child();
    EXPECT(np_poller_fileno(p, &outer_fd) == NP_OK); /* renews */
    np_unblock(d[0]);
    outer_loop();
}

static void forks_nested_and_reads(void)
{
    fork_child();
    EXPECT(np_poller_fileno(p, &outer_fd) == NP_OK); /* renews */
    k_send(fd[0]);
    outer_loop();
}

static void forks_nested_and_times_out(void)
{
    fork_child();
    EXPECT(np_poller_fileno(p, &outer_fd) == NP_OK); /* renews */
    outer_loop();
}

static np_mutex global_lock;
static const ex_site taken = {"host", 0, "the global lock"}, given = {"host", 0, "gives it back"};

static void *give_global(void)
{
    ex_unlock(&global_lock, &given);
    return NULL;
}
static void take_global(void *cookie)
{
    (void)cookie;
    ex_lock(&global_lock, &taken);
}

static void with_global_lock(void)
{
    with(2);
    np_mutex_init(&global_lock);
    np_set_blocking_hooks(give_global, take_global);
}

static void under_global(void (*body)(void))
{
    ex_lock(&global_lock, &taken);
    body();
    ex_unlock(&global_lock, &given);
}

static void global_reads_0(void)
{
    under_global(reads_0);
}
static void global_schedules_1(void)
{
    ex_lock(&global_lock, &taken);
    end_with(scheduler_wait(1));
    ex_unlock(&global_lock, &given);
}
static void global_sends(void)
{
    under_global(sends_0_1);
}
static void global_done(void)
{
    np_set_blocking_hooks(NULL, NULL);
    two_ok();
}

static void forks(void)
{
    fork_child();
    ex_note("the child goes on");
    k_send(fd[0]);
    EXPECT(np_wait(d[0], NP_READ) == NP_OK);
    np_wake(p);
    polls_once();
}

static void one_woken(void)
{
    with(1);
    np_wake(p);
}

static void forks_and_wakes(void)
{
    np_token out[4];
    int n;
    ex_await(&flag[1]);
    fork_child();
    EXPECT(np_poll(p, -1, out, 4, &n) == NP_OK); /* the wake-up from before the fork */
    ex_set(&flag[0]);
    np_wake(p);
    end_with(NP_OK);
}

static void polls_in_the_child(void)
{
    ex_set(&flag[1]);
    ex_await(&flag[0]); /* the child starts it */
    polls_once();
}

/* For the second time. */
static void one_parked_to_write(void)
{
    np_token token;

    with(1);
    EXPECT(np_park(d[0], NP_WRITE, 0, 0) == NP_PARKED);
    EXPECT(np_cancel(d[0], NP_WRITE, &token) == 1);
    EXPECT(np_park(d[0], NP_WRITE, 0, 0) == NP_PARKED);
}

static void forks_and_takes_token_0(void)
{
    np_stats stats;

    fork_child();
    np_poller_stats(p, &stats);
    EXPECT(stats.parked_readers == 0 && stats.parked_writers == 1);
    k_writable(fd[0]);
    poll_until_out(0, 1);
    EXPECT(np_resume(d[0], NP_WRITE, 0) == NP_OK);
}

/* And the first child has not used its poller. */
static void forks_twice_and_takes_token_0(void)
{
    fork_child();
    forks_and_takes_token_0();
}

static void closes_the_poller_and_forks(void)
{
    np_poller_close(p);
    fork_child();
    end_with(np_wait(d[0], NP_READ));
}

static void two_with_room(void)
{
    with(2);
    EXPECT(np_set_deadline(d[1], FAR, NP_READ) == NP_OK);
}

static void forked(void)
{
    EXPECT(result[2] == NP_OK);
    EXPECT(np_is_parked(d[0], NP_READ) == 0 && np_is_parked(d[1], NP_READ) == 0);
    ex_expect_leak(); /* what a thread inside poll(2) had on its stack has no owner in the child */
    finish();
}

/* The child closes a poller that it has not used; the number of the kernel object may be another's.
 */
static void forks_and_closes(void)
{
    fork_child();
    int strangers = k_socket();
    np_poller_close(p);
    EXPECT(!k_recv(strangers));
    end_with(np_wait(d[0], NP_READ));
}

/* Whoever was inside will not come out here, and release the kernel object. */
static void child_of_a_closed_poller(void)
{
    EXPECT(result[1] == NP_CLOSED && !p->kernel);
    ex_expect_leak();
    finish();
}

static void child_closed(void)
{
    EXPECT(result[1] == NP_CLOSED);
    ex_expect_leak();
    finish();
}

static void makes_room(void)
{
    k_writable(fd[0]);
}

/* --- calls that meet a side in whatever state ---------------------------------------------------
 */

/* Of a waiter that is none of theirs. */
static void asks_everything_of_0(void)
{
    np_token token;
    EXPECT(np_cancel(d[0], NP_READ, &token) == 0);
    int rc = np_resume(d[0], NP_READ, 0);
    EXPECT(rc == NP_AGAIN || rc == NP_TIMEOUT);
    rc = np_reset(d[0], NP_READ);
    EXPECT(rc == NP_OK || rc == NP_TIMEOUT);
}

/* The first half of a wait, and what others may do before the second. */
static void takes_0_slowly(void)
{
    np_side *s = np_side_of(d[0], NP_READ);
    np_token out[2];
    int n;
    EXPECT(np_block_begin(d[0], s, 0) == NP_PARKED);
    EXPECT(np_set_deadline(d[0], 0, NP_READ) == NP_OK);
    asks_everything_of_0();
    k_send(fd[0]);
    EXPECT(np_poll(p, 0, out, 2, &n) == NP_OK && n == 0);
    asks_everything_of_0();
    np_block_abort(s);
    EXPECT(np_set_deadline(d[0], NP_NEVER, NP_READ) == NP_OK);
    end_with(np_wait(d[0], NP_READ)); /* the event that came meanwhile */
}

/* No edge is sure to be left, but a wait ends as it should. */
static void ends_and_is_usable(void)
{
    EXPECT(result[0] == NP_OK || result[0] == NP_TIMEOUT);
    EXPECT(!np_is_parked(d[0], NP_READ));
    EXPECT(np_set_deadline(d[0], NP_NEVER, NP_READ) == NP_OK);
    k_send(fd[0]);
    EXPECT(np_wait(d[0], NP_READ) == NP_OK);
    finish();
}

static void forks_and_reads_0(void)
{
    fork_child();
    EXPECT(!np_is_parked(d[0], NP_READ));
    EXPECT(np_set_deadline(d[0], NP_NEVER, NP_READ) == NP_OK);
    k_send(fd[0]);
    end_with(read_byte(0));
}

static void child_read(void)
{
    EXPECT(result[3] == NP_OK);
    ex_expect_leak(); /* of a thread that was inside poll(2) */
    finish();
}

/* A token that is in the queue, and given up more than once. */
static void drops_token_0(void)
{
    np_token token, out[2];
    EXPECT(np_set_deadline(d[0], 0, NP_READ) == NP_OK);
    for (int i = 0; i < 2; i++) {
        EXPECT(np_cancel(d[0], NP_READ, &token) == 0);
        EXPECT(np_resume(d[0], NP_READ, 0) == NP_TIMEOUT);
    }
    EXPECT(np_take_ready(p, out, 2) == 1 && out[0] == 0);
    EXPECT(np_take_ready(p, out, 2) == 0);
}

static void token_dropped(void)
{
    EXPECT(np_set_deadline(d[0], NP_NEVER, NP_READ) == NP_OK);
    EXPECT(!ready_after_all(0));
    finish();
}

/* --- all of them -------------------------------------------------------------------------------
 */

const scenario scenarios[] = {
    {"an_event_ends_a_wait",
     "a thread reads; a byte comes",
     one,
     {WHO("reader", reads_0), WHO("peer", sends_0)},
     first_ok,
     0},
    {"two_threads_drive_in_turn",
     "the leader hands over",
     two,
     {WHO("first", reads_0), WHO("second", reads_1), WHO("peer", sends_0_1)},
     two_ok,
     0},
    {"three_threads_drive_in_turn",
     "two followers, three events",
     three,
     {WHO("first", reads_0), WHO("second", reads_1), WHO("third", reads_2),
      WHO("peer", sends_2_0_1)},
     three_ok,
     0},
    {"sleeps_that_end_for_no_reason",
     "harm nobody",
     two_where_sleeps_end_for_no_reason,
     {WHO("first", reads_0), WHO("second", reads_1), WHO("peer", sends_0_1)},
     two_ok,
     0},
    {"the_followers_event_comes_first",
     "the leader knows of it",
     two,
     {WHO("first", reads_0), WHO("second", waits_1_then_frees_0), WHO("peer", sends_1)},
     two_ok,
     0},
    {"reader_and_writer_are_independent",
     "one descriptor, both modes",
     one,
     {WHO("reader", waits_0), WHO("writer", waits_to_write_0), WHO("peer", sends_0),
      WHO("room", makes_room)},
     two_ok,
     0},
    {"a_second_waiter_is_refused",
     "the first is unharmed",
     one,
     {WHO("first", waits_and_passes_on), WHO("second", waits_and_passes_on), WHO("peer", sends_0)},
     one_busy_at_most,
     0},
    {"a_thread_and_a_token_on_one_side",
     "one of them is refused, at most",
     one,
     {WHO("thread", waits_and_passes_on), WHO("scheduler", parks_and_takes_unless_busy),
      WHO("peer", sends_0)},
     one_busy_at_most,
     0},
    {"a_thread_parks_while_a_token_is_queued",
     "the token comes out as it was",
     one,
     {WHO("thread", waits_while_its_token_is_queued), WHO("peer", sends_0)},
     first_ok,
     0},
    {"unblock_ends_a_wait",
     "and every later one",
     one,
     {WHO("reader", waits_0), WHO("evicter", unblocks_0)},
     first_closed,
     0},
    {"a_thread_that_was_ready_is_closed",
     "if it has not run before",
     one,
     {WHO("reader", waits_0_and_knows_of_the_end), WHO("evicter", sends_0_polls_and_unblocks)},
     ok_or_closed,
     0},
    {"close_ends_a_wait",
     "twice at once",
     one,
     {WHO("reader", waits_0), WHO("closer", closes_0), WHO("closer 2", closes_0)},
     first_closed,
     0},
    {"close_ends_reader_and_writer",
     "both",
     one,
     {WHO("reader", waits_0), WHO("writer", waits_to_write_0), WHO("closer", closes_0)},
     two_closed,
     0},
    {"close_of_one_leaves_the_other",
     "the leader is closed, the follower leads",
     two,
     {WHO("closed", waits_0), WHO("second", reads_1), WHO("closer", closes_0),
      WHO("peer", sends_1)},
     closed_and_ok,
     0},
    {"close_against_an_event",
     "either, and closed ever after",
     one,
     {WHO("reader", reads_0), WHO("peer", sends_0), WHO("closer", closes_0)},
     ok_or_closed,
     0},
    {"wait_canceled_ignores_unblock",
     "readiness alone ends it",
     one,
     {WHO("waiter", waits_canceled_0), WHO("evicter", unblocks_0), WHO("peer", sends_0)},
     first_ok,
     0},
    {"wait_canceled_ends_with_close",
     "for readiness cannot come",
     one,
     {WHO("waiter", waits_canceled_0), WHO("evicter", unblocks_0), WHO("closer", closes_0)},
     first_closed,
     0},
    {"an_error_event_is_for_readers",
     "the writer goes on to its write",
     one_pipe,
     {WHO("reader", waits_0), WHO("writer", waits_to_write_0), WHO("peer", error_0)},
     not_pollable,
     ERROR_EVENTS},
    {"an_error_of_a_socket_is_met_by_both",
     "its reads report it, and go on afterwards",
     one,
     {WHO("reader", waits_0), WHO("writer", waits_to_write_0), WHO("peer", error_0)},
     pollable,
     ERROR_EVENTS},
    {"an_error_that_is_over",
     "whether an event tells its end or not",
     one_pipe,
     {WHO("reader", waits_0), WHO("writer", waits_to_write_0), WHO("peer", error_0)},
     pollable_again,
     ERROR_EVENTS},
    {"an_error_beside_room_to_write",
     "is no error alone, whatever was asked for",
     one_pipe,
     {WHO("reader", waits_0), WHO("writer", waits_to_write_0), WHO("peer", error_0)},
     pollable_with_room,
     ERROR_EVENTS},
    {"a_hangup_is_for_both",
     "no further event may come",
     one,
     {WHO("reader", waits_0), WHO("writer", waits_to_write_0), WHO("peer", hangs_up_0)},
     two_ok,
     0},
    {"a_signal_hands_over",
     "who is interrupted leaves nobody stranded",
     two,
     {WHO("first", waits_0), WHO("second", reads_1), WHO("signal", signals_first),
      WHO("peer", sends_1)},
     interrupted_and_ok,
     SIGNALS},
    {"a_signal_loses_nothing",
     "an interrupted wait, taken up again",
     one,
     {WHO("first", waits_twice_0), WHO("signal", signals_first), WHO("peer", sends_0)},
     first_ok,
     SIGNALS},

    {"a_signal_between_two_sleeps_is_handled",
     "whether the thread it is for drives for another, follows, or changes from one to the other",
     two_with_a_handler,
     {WHO("first", waits_0_and_handles), WHO("second", waits_1), WHO("signal", event_and_signal),
      WHO("last", ends_it_once_handled)},
     two_ok,
     SIGNALS},

    {"a_signal_before_a_follower_sleeps_is_handled",
     "though nothing else happens that would wake it",
     two_with_a_handler,
     {WHO("first", waits_0_and_handles), WHO("second", waits_1), WHO("signal", signal_alone),
      WHO("last", ends_both_once_handled)},
     two_ok,
     SIGNALS},

    {"a_signal_between_two_polls_is_handled",
     "also in a poll that hands out others' events",
     token_0_and_two_waiters,
     {WHO("first", polls_and_handles), WHO("second", waits_1), WHO("signal", event_and_signal),
      WHO("last", ends_it_once_handled)},
     two_ok,
     SIGNALS},

    {"a_deadline_reaches_the_waiter",
     "set while it parks",
     one_with_far_deadline,
     {WHO("reader", waits_0), WHO("mover", deadline_100)},
     first_in_time,
     0},
    {"a_deadline_of_now_reaches_the_waiter",
     "expired at once, while it parks",
     one,
     {WHO("reader", waits_0), WHO("mover", deadline_now)},
     expired_now,
     0},
    {"a_deadline_reaches_a_follower",
     "whoever drives must wake for it",
     two_with_far_deadlines,
     {WHO("first", waits_0), WHO("second", waits_1_then_frees_0), WHO("mover", deadline_100_for_1)},
     second_in_time,
     0},
    {"a_deadline_moved_while_it_fires",
     "the new one counts",
     one_with_deadline,
     {WHO("reader", waits_from_whenever), WHO("mover", moves_to_300), WHO("clock", advances_100)},
     moved_deadline_counts,
     0},
    {"a_deadline_cleared_while_it_fires",
     "the event ends the wait",
     one_with_deadline,
     {WHO("reader", waits_0), WHO("mover", clears_then_sends), WHO("clock", advances_100)},
     ok_or_timeout_and_nothing_lost,
     0},
    {"a_deadline_against_an_event",
     "either, and the event is not lost",
     one_with_deadline,
     {WHO("reader", waits_0), WHO("peer", sends_0), WHO("clock", advances_100)},
     ok_or_timeout_and_nothing_lost,
     0},
    {"a_deadline_and_an_event_as_a_waiter_parks",
     "in either order, and the event is not lost",
     one,
     {WHO("reader", waits_0), WHO("mover", deadline_now), WHO("poll", sends_0_and_polls)},
     ok_or_expired_and_nothing_lost,
     0},
    {"a_passed_deadline_replaced_by_now",
     "has passed all the while",
     one_with_a_passed_deadline,
     {WHO("looker", finds_it_expired), WHO("mover", deadline_now)},
     expired_now,
     0},
    {"expiry_is_seen_by_all",
     "the clock has passed it: one firing",
     one_with_deadline,
     {WHO("reader", waits_0), WHO("other", resets_0), WHO("clock", advances_100)},
     fired_once,
     0},
    {"equal_deadlines_fire_together",
     "one timer wakes both",
     one_with_equal_deadlines,
     {WHO("reader", waits_0), WHO("writer", waits_to_write_0), WHO("clock", advances_100)},
     both_in_time,
     0},
    {"equal_deadlines_parted",
     "the write deadline stays",
     one_with_equal_deadlines,
     {WHO("reader", waits_from_whenever), WHO("writer", waits_to_write_0),
      WHO("mover", moves_read_to_300)},
     writer_in_time,
     0},
    {"a_poll_that_ends_leaves_deadlines_covered",
     "the thread drives on",
     two_first_deadline,
     {WHO("poll", polls_50_then_ends), WHO("thread", waits_1)},
     thread_in_time,
     0},
    {"a_deadline_reaches_polls",
     "two of them, asleep",
     one_parked_far,
     {WHO("poll", polls_long), WHO("other", polls_once), WHO("mover", deadline_100)},
     token_in_time,
     0},

    {"a_poll_to_the_end_of_the_clock",
     "does not come back before",
     one,
     {WHO("poll", polls_to_the_end_of_the_clock), WHO("waker", sets_and_wakes)},
     first_ok,
     0},
    {"a_deadline_is_covered_by_a_poll_that_leaves_first",
     "the one that stays wakes for it",
     one_parked_far,
     {WHO("poll", polls_until_it_is_out), WHO("other", polls_50), WHO("mover", deadline_100)},
     token_expired,
     0},
    {"a_stale_event_reaches_nobody",
     "the slot has another owner",
     one_armed,
     {WHO("driver", polls_once), WHO("peer", peer_sends), WHO("recycler", recycles)},
     new_owner_untouched,
     0},
    {"an_event_of_the_slots_next_owner",
     "is not lost on a driver that slept through the change",
     one_armed,
     {WHO("driver", polls_once), WHO("recycler", recycles_and_waits),
      WHO("peer", sends_0_once_it_is_open)},
     second_ok,
     0},
    {"a_number_closed_underneath",
     "goes to the new owner",
     one_with_peer,
     {WHO("driver", polls_once), WHO("peer", peer_sends), WHO("replacer", replaces)},
     replaced,
     FILE_LIVES_ON},
    {"a_socket_closed_underneath",
     "goes, and its number has a new owner",
     one_parked,
     {WHO("driver", polls_once), WHO("replacer", replaces)},
     replaced,
     0},
    {"a_number_that_comes_back",
     "a registration that outlived it is not in the way",
     two_with_peer,
     {WHO("user", redirects_0_and_waits), WHO("peer", peer_sends)},
     first_ok,
     FILE_LIVES_ON},
    {"a_number_that_is_opened_each_time",
     "the descriptor that is there is told from registrations that nobody has",
     two_with_peer,
     {WHO("user", redirects_0_and_opens), WHO("peer", peer_sends)},
     first_ok,
     FILE_LIVES_ON},
    {"a_stale_deadline_fires_on_nobody",
     "the slot has another owner",
     one_armed_with_deadline,
     {WHO("driver", polls_once), WHO("clock", advances_100), WHO("recycler", recycles)},
     new_owner_untouched,
     0},
    {"the_last_handle_goes_under_an_event",
     "the token comes out, the slot goes back",
     one_with_peer,
     {WHO("driver", polls_once), WHO("peer", peer_sends), WHO("dropper", drops_0)},
     dropped,
     0},
    {"the_poller_goes_with_its_last_descriptor",
     "not before the lock has been left",
     one_with_peer,
     {WHO("driver", polls_once_and_lets_go), WHO("peer", peer_sends),
      WHO("dropper", drops_0_and_no_more)},
     token_out,
     0},
    {"the_last_handle_goes_under_a_waiter",
     "the slot goes back when it has left",
     one_with_two_handles,
     {WHO("waiter", waits_with_its_own_handle), WHO("closer", closes_drops_and_opens)},
     closed_and_ok,
     0},
    {"the_last_handle_goes_with_a_token_queued",
     "the slot waits until the token is out",
     one_with_peer,
     {WHO("driver", polls_once_and_wakes), WHO("dropper", drops_and_opens)},
     dropped,
     0},
    {"the_last_handle_goes_with_two_tokens_queued",
     "the slot waits until both are out",
     one_with_two_tokens,
     {WHO("scheduler", takes_two), WHO("dropper", drops_0)},
     both_dropped,
     0},

    {"a_token_comes_out_once",
     "and resume says ready",
     one,
     {WHO("scheduler", schedules_0), WHO("peer", sends_0)},
     first_ok,
     0},
    {"a_resume_of_what_is_not_out",
     "takes nothing from the token in the queue",
     one_parked_beside_a_thread,
     {WHO("scheduler", takes_token_0_afterwards), WHO("stray", resumes_what_is_not_out),
      WHO("thread", reads_1), WHO("peer", sends_0_1)},
     scheduler_ok,
     0},
    {"a_token_takes_its_reference_along",
     "who has parked it looks at nothing any more",
     one,
     {WHO("scheduler", parks_and_forgets), WHO("closer", closes_and_drops_all)},
     nothing_left,
     0},
    {"cancel_against_an_event",
     "withdrawn or out, never both; the event stays",
     one_parked,
     {WHO("driver", polls_once), WHO("peer", sends_0), WHO("canceller", cancels)},
     withdrawn_or_out,
     0},
    {"who_gives_up_withdraws_its_own",
     "another's token, parked since, still comes out",
     one,
     {WHO("first", parks_and_withdraws), WHO("second", polls_and_parks_another),
      WHO("mover", unblocks_softly)},
     only_its_own_is_withdrawn,
     0},
    {"a_side_changes_hands_while_one_parks",
     "who parks keeps its own token",
     one_with_a_byte,
     {WHO("first", parks_slowly), WHO("second", parks_twice)},
     parked_get_their_own,
     0},
    {"two_schedulers_on_one_side",
     "each gets its own token, or is refused",
     one,
     {WHO("first", contends_with_0), WHO("second", contends_with_1), WHO("peer", sends_0)},
     one_busy_at_most,
     0},
    {"a_token_beside_one_on_its_way",
     "each comes out once, or is refused",
     one_parked,
     {WHO("first", polls_for_token_0), WHO("second", parks_another), WHO("mover", unblocks_softly)},
     tokens_apart,
     0},
    {"a_token_parks_while_one_is_queued",
     "each comes out once",
     one_parked,
     {WHO("first", polls_for_token_0), WHO("second", parks_another), WHO("peer", sends_0)},
     tokens_apart,
     0},
    {"a_thread_beside_a_token_on_its_way",
     "each gets its own",
     one_parked,
     {WHO("first", polls_for_token_0), WHO("thread", waits_after_token),
      WHO("mover", unblocks_softly)},
     token_and_thread,
     0},
    {"reset_spares_the_news",
     "of a token on its way",
     one_parked,
     {WHO("scheduler", takes_token_0), WHO("peer", sends_0), WHO("resetter", just_resets_0)},
     token_once_and_ok,
     0},
    {"unblock_brings_the_token_out",
     "of the poll that sleeps",
     one,
     {WHO("scheduler", schedules_0), WHO("evicter", unblocks_0)},
     first_closed,
     0},
    {"a_token_against_deadlines",
     "fired and moved: park again",
     one_with_deadline,
     {WHO("scheduler", schedules_against_deadlines), WHO("mover", clears_then_sends),
      WHO("clock", advances_100)},
     first_ok,
     0},
    {"two_polls_share_the_tokens",
     "each comes out once",
     two_parked,
     {WHO("poll", takes_any_token), WHO("poll 2", takes_any_token), WHO("peer", sends_0_1)},
     each_token_once,
     0},
    {"more_tokens_than_room",
     "the rest comes out next time",
     two_parked,
     {WHO("poll", takes_both_tokens), WHO("peer", sends_0_1)},
     each_token_once,
     0},
    {"a_poll_that_returns_lets_a_thread_lead",
     "rule 12",
     one_parked_beside_a_thread,
     {WHO("scheduler", takes_token_0), WHO("thread", reads_1), WHO("peer", sends_0_1)},
     two_ok,
     0},
    {"a_poll_of_no_time_steals_nothing",
     "the one that sleeps is woken",
     one,
     {WHO("sleeper", polls_once), WHO("other", polls_0), WHO("waker", wakes)},
     first_ok,
     0},
    {"a_poll_of_no_time_beside_a_new_waiter",
     "the driver gets to know what was armed, though the poll has drained its wake",
     two,
     {WHO("waiter", waits_0_then_frees_1), WHO("driver", waits_1), WHO("other", polls_0),
      WHO("peer", sends_0)},
     two_ok,
     0},
    {"a_wake_is_not_a_threads",
     "the poll returns, the thread waits on",
     one,
     {WHO("poll", polls_then_frees_thread), WHO("thread", reads_0), WHO("waker", wakes)},
     two_ok,
     0},
    {"a_first_look_takes_no_threads_wake",
     "or hands it on before it sleeps",
     one,
     {WHO("thread", waits_0_then_wakes), WHO("poll", polls_once), WHO("evicter", unblocks_0)},
     closed_and_ok,
     0},
    {"a_threads_wake_hides_no_other",
     "who drains one looks for what else was meant",
     one,
     {WHO("thread", waits_0), WHO("poll", polls_once), WHO("evicter", unblocks_0),
      WHO("waker", wakes)},
     closed_and_ok,
     0},
    {"wakes_before_a_poll_are_not_lost",
     "and may collapse",
     one,
     {WHO("poll", polls_once), WHO("waker", wakes_twice)},
     first_ok,
     0},

    {"a_poller_closed_under_all",
     "threads and poll",
     two,
     {WHO("first", waits_0), WHO("second", waits_1), WHO("poll", polls_until_closed),
      WHO("closer", closes_poller)},
     all_closed,
     0},
    {"a_poller_closed_under_a_token",
     "the token comes out",
     one_parked,
     {WHO("poll", polls_until_closed), WHO("peer", sends_0), WHO("closer", closes_poller)},
     poll_and_token_closed,
     0},
    {"wake_against_the_closing_poller",
     "as from a signal handler",
     one,
     {WHO("poll", polls_once), WHO("waker", wakes_twice), WHO("closer", closes_poller)},
     poll_ended,
     0},
    {"wake_against_a_closing_empty_poller",
     "the kernel object outlives the write",
     none,
     {WHO("waker", wakes_twice), WHO("closer", closes_poller)},
     just_finish,
     0},
    {"poller_and_descriptor_dropped_at_once",
     "and somebody looks at all pollers",
     one,
     {WHO("poller", drops_poller), WHO("descriptor", drops_descriptor),
      WHO("looker", asks_all_pollers)},
     nothing_left,
     0},
    {"open_against_the_closing_poller",
     "either",
     one,
     {WHO("opener", opens_another), WHO("closer", closes_poller), WHO("waiter", waits_0)},
     just_finish,
     0},

    {"an_outer_loop_misses_no_token",
     "it makes fileno() readable",
     nested,
     {WHO("outer", outer_loop), WHO("evicter", unblocks_0)},
     outer_done,
     NESTS},
    {"an_outer_loop_misses_no_event",
     "it makes fileno() readable",
     nested,
     {WHO("outer", outer_loop), WHO("peer", sends_0), WHO("waker", wakes)},
     outer_done,
     NESTS},
    {"an_outer_loop_misses_no_deadline",
     "it makes fileno() readable",
     nested,
     {WHO("outer", outer_loop), WHO("mover", deadline_100), WHO("waker", wakes)},
     outer_done,
     NESTS},
    {"an_outer_loop_and_a_deadline_moved_later",
     "its timer goes off early, and is set anew",
     nested_with_deadline,
     {WHO("outer", outer_loop), WHO("mover", moves_0_to_300_and_wakes)},
     outer_done_after_all,
     NESTS},
    {"an_outer_loop_and_an_earlier_deadline",
     "than the one that its timer is set to",
     nested_with_far_deadline,
     {WHO("outer", outer_loop), WHO("mover", deadline_100)},
     outer_done_after_all,
     NESTS},
    {"an_outer_loop_beside_a_thread",
     "who takes the event, the outer loop gets the token",
     nested,
     {WHO("outer", outer_loop_then_frees_2), WHO("thread", reads_2), WHO("peer", sends_0)},
     outer_done,
     NESTS},
    {"an_outer_loop_comes_to_rest",
     "whatever has become of a file that was armed",
     nested_with_peer,
     {WHO("outer", outer_loop), WHO("closer", closes_0_too_late)},
     outer_loop_at_rest,
     NESTS | FILE_LIVES_ON},
    {"a_nested_child_goes_on",
     "fileno() is one of its own",
     nested,
     {WHO("forker", forks_nested), WHO("waker", wakes)},
     outer_done,
     NESTS | FORKS},
    {"a_nested_child_has_its_events",
     "which its own kernel object reports",
     nested,
     {WHO("forker", forks_nested_and_reads)},
     outer_done,
     NESTS | FORKS},
    {"a_nested_child_has_its_deadlines",
     "which its parent's timer was set to",
     nested_with_deadline,
     {WHO("forker", forks_nested_and_times_out)},
     outer_done_after_all,
     NESTS | FORKS},
    {"calls_beside_a_waiter_that_parks",
     "do it no harm, whatever has come meanwhile",
     one,
     {WHO("reader", waits_0), WHO("mover", deadline_now), WHO("poll", sends_0_and_polls),
      WHO("asker", asks_everything_of_0)},
     ends_and_is_usable,
     0},
    {"calls_before_a_waiter_parks",
     "do it no harm, and an event after them is remembered",
     one,
     {WHO("reader", takes_0_slowly)},
     first_ok,
     0},
    {"a_fork_beside_a_waiter_that_parks",
     "leaves the side free, whatever has come meanwhile",
     one,
     {WHO("reader", waits_0), WHO("mover", deadline_now), WHO("poll", sends_0_and_polls),
      WHO("forker", forks_and_reads_0)},
     child_read,
     FORKS},
    {"a_token_that_is_given_up_twice",
     "comes out once",
     one_parked,
     {WHO("scheduler", drops_token_0)},
     token_dropped,
     0},
    {"a_child_has_the_tokens_of_writers_too",
     "and its poller reports the room",
     one_parked_to_write,
     {WHO("forker", forks_and_takes_token_0), WHO("waker", wakes)},
     finish,
     FORKS},
    {"a_grandchild_has_the_tokens_of_writers_too",
     "whose parent did nothing",
     one_parked_to_write,
     {WHO("forker", forks_twice_and_takes_token_0)},
     finish,
     FORKS},
    {"a_child_of_a_closed_poller",
     "releases what a thread that is gone was inside of",
     one,
     {WHO("first", waits_0), WHO("forker", closes_the_poller_and_forks)},
     child_of_a_closed_poller,
     FORKS},
    {"wakes_reach_a_childs_threads",
     "though one was under way at the fork",
     one_woken,
     {WHO("forker", forks_and_wakes), WHO("thread", polls_in_the_child)},
     two_ok,
     FORKS},
    {"a_global_lock_is_given_back",
     "where it blocks, and only there",
     with_global_lock,
     {WHO("first", global_reads_0), WHO("scheduler", global_schedules_1),
      WHO("peer", global_sends)},
     global_done,
     OWN_HOOKS},
    {"a_child_closes_an_unused_poller",
     "and nothing else",
     two,
     {WHO("first", waits_0), WHO("forker", forks_and_closes)},
     child_closed,
     FORKS},
    {"a_child_goes_on",
     "whatever the others were doing at the fork",
     two_with_room,
     {WHO("first", waits_0), WHO("second", waits_1), WHO("forker", forks)},
     forked,
     FORKS},
    {NULL},
};
