/* Scenarios of files and their users (csrc/io): threads and tokens that queue for a mode, wait for
 * readiness, and are ended by limits, closes, signals, kills and forks.
 *
 * In every execution one operation at most is inside a mode, the number is the file's as long as
 * one is, it is closed once, and in the end each mode is free or retired.
 */
#include <errno.h>
#include <string.h>

#include "core/internal.h"
#include "explore.h"
#include "io/file.h"
#include "kernel.h"
#include "semas.h"
#include "sim.h"
#include "stage.h"

#define np_poll(...) (ex_polled = true, np_poll(__VA_ARGS__))

enum { SOON = 100, PATIENT = 5000000 };

static np_file *f;
static int number, peer; /* what is sent there comes in here */
static unsigned serial;  /* of what is open there */
static np_poller *q;     /* another hub's */
static int inside[2];    /* the actor that has the mode, + 1 */
static int served[8], serving;
static bool out[EX_ACTORS], flag[3], more, detached;
static int64_t start, ended[EX_ACTORS];
static int interruptions, attempts, withdrawn;

/* --- before and after --------------------------------------------------------------------------
 */

static void a_file_of(int kind)
{
    with(0);
    q = NULL;
    number = k_socket();
    peer = number;
    serial = k_serial(number);
    EXPECT(np_file_new(number, kind, &f) == NP_OK);
    memset(inside, 0, sizeof inside);
    memset(out, 0, sizeof out);
    memset(flag, 0, sizeof flag);
    memset(ended, 0, sizeof ended);
    serving = interruptions = attempts = 0;
    withdrawn = -1;
    more = detached = false;
    start = ex_clock();
}

static void a_file(void)
{
    a_file_of(NP_FILE_TCP);
}

/* The other end is there when the number is closed. */
static void a_file_and_its_peer(void)
{
    a_file();
    peer = k_user_dup(number);
}

static void a_file_and_two_hubs(void)
{
    a_file();
    EXPECT(np_poller_new(ex_backend, &q) == NP_OK);
}

static bool number_is_ours(void)
{
    return k_serial(number) == serial;
}

static void drop_other_hub(void)
{
    np_stats stats;
    if (!q)
        return;
    np_poller_stats(q, &stats);
    EXPECT(stats.waiters == 0 && stats.parked_readers == 0 && stats.open == 0);
    EXPECT(np_load(&q->refs) == 1);
    np_poller_unref(q);
}

static void free_file(void)
{
    EXPECT(inside[0] == 0 && inside[1] == 0);
    EXPECT((np_load(&f->state) & FILE_RETIRED_BOTH) == FILE_RETIRED_BOTH);
    EXPECT(number_is_ours() == detached);
    np_file_free(f);
}

static void file_is_over(void)
{
    np_stats stats;
    free_file();
    np_poller_stats(p, &stats);
    EXPECT(stats.waiters == 0);
    drop_other_hub();
    finish();
}

/* Both modes are free. */
static void open_file_is_over(void)
{
    EXPECT(np_load(&f->state) == 0 && number_is_ours());
    for (int mode = NP_READ; mode <= NP_WRITE; mode++) {
        np_half *h = np_half_of(f, mode);
        EXPECT(h->turn.word == 8 && np_sema_count(&h->turn) == 1);
        EXPECT(h->holder == 0 && !h->waker);
    }
    EXPECT(np_file_close(f, 0) == NP_OK);
    EXPECT(np_file_close(f, 0) == NP_CLOSED);
    file_is_over();
}

/* --- an operation ------------------------------------------------------------------------------
 */

typedef struct user {
    np_op op;
    np_poller *hub; /* NULL: a thread */
    int want;       /* bytes, at most */
    int bytes, tries;
    bool in, at_end;
    np_waiter *waiter;
    int (*attempt)(struct user *);
} user;

static void note_entry(user *u)
{
    int *owner = &inside[u->op.mode - 1];
    if (u->in || u->op.state != OP_INSIDE)
        return;
    EXPECT(*owner == 0 && number_is_ours());
    *owner = ex_self + 1;
    u->in = true;
    served[serving++ % 8] = ex_self;
}

static int begin(user *u, int mode)
{
    int rc = np_op_begin(&u->op, f, mode, 1);
    note_entry(u);
    return rc;
}

static void leave(user *u)
{
    if (u->in) {
        EXPECT(inside[u->op.mode - 1] == ex_self + 1 && number_is_ours());
        inside[u->op.mode - 1] = 0;
        u->in = false;
    }
    EXPECT(np_op_end(&u->op) == NP_OK);
    EXPECT(np_op_end(&u->op) == NP_OK);
}

static void mark(const np_token *tokens, int n)
{
    for (int i = 0; i < n; i++) {
        EXPECT(!out[tokens[i]]);
        out[tokens[i]] = true;
    }
}

/* Until the token is out; also when the poller is closed. */
static void poll_until_out(np_poller *hub, int token)
{
    np_token tokens[4];
    int n;
    while (!out[token]) {
        int rc = np_poll(hub, -1, tokens, 4, &n);
        if (rc == NP_CLOSED)
            n = np_take_ready(hub, tokens, 4);
        mark(tokens, n);
        if (!out[token])
            np_yield();
    }
}

static int park_as(user *u, int token)
{
    u->waiter = sim_calloc(1, sizeof *u->waiter);
    out[token] = false;
    int rc = np_op_park(&u->op, u->hub, u->waiter, (np_token)token);
    if (rc != NP_PARKED)
        sim_free(u->waiter);
    note_entry(u);
    return rc;
}

static int park(user *u)
{
    return park_as(u, ex_self);
}

static int resume(user *u)
{
    int rc = np_op_resume(&u->op, u->waiter);
    EXPECT(rc != NP_AGAIN);
    sim_free(u->waiter);
    note_entry(u);
    return rc;
}

static int cancel(user *u)
{
    int rc = np_op_cancel(&u->op, u->waiter);
    sim_free(u->waiter);
    note_entry(u);
    return rc;
}

static int wait_in_hub(user *u)
{
    int rc = park(u);
    if (rc != NP_PARKED)
        return rc;
    poll_until_out(u->hub, ex_self);
    return resume(u);
}

static int wait_in_thread(user *u)
{
    int rc = np_op_wait(&u->op, NULL);
    note_entry(u);
    return rc;
}

/* A wait is over: try, or wait again. */
static int after_wait(user *u, int rc);

static int wait_once(user *u)
{
    return after_wait(u, u->hub ? wait_in_hub(u) : wait_in_thread(u));
}

static int try_once(user *u)
{
    int rc = np_op_try(&u->op);
    if (rc != NP_OK)
        return rc;
    EXPECT(inside[u->op.mode - 1] == ex_self + 1 && number_is_ours());
    u->tries++;
    return u->attempt(u);
}

static int after_wait(user *u, int rc)
{
    switch (rc) {
    case NP_OK:
        return try_once(u);
    case NP_INTERRUPTED:
        interruptions++;
        return NP_BUSY;
    case NP_NO_POLLER: /* closed under it: the other hub's from now on */
        EXPECT(u->hub == p && np_poller_closed(p));
        u->hub = q;
        return NP_BUSY;
    default:
        return rc;
    }
}

static int run(user *u, int mode)
{
    int rc = begin(u, mode);
    if (rc == NP_OK)
        rc = try_once(u);
    while (rc == NP_BUSY)
        rc = wait_once(u);
    leave(u);
    return rc;
}

static void runs(user *u, int mode)
{
    end_with(run(u, mode));
    ended[ex_self] = ex_clock();
}

/* --- what operations do ----------------------------------------------------------------------- */

static int nothing(user *u)
{
    (void)u;
    np_yield(); /* the others may come */
    EXPECT(number_is_ours());
    return NP_OK;
}

static int receive(user *u)
{
    attempts++;
    int n = k_recv_some(number, u->want);
    if (n < 0)
        return NP_BUSY;
    np_op_moved(&u->op, n, u->want);
    u->bytes += n;
    u->at_end = n == 0;
    return NP_OK;
}

static int put(user *u)
{
    if (!k_put(number))
        return NP_BUSY;
    np_op_moved(&u->op, 1, u->want);
    return NP_OK;
}

/* The kernel says ready, and it is not for what is tried. */
static int fail(user *u)
{
    (void)u;
    attempts++;
    return NP_BUSY;
}

/* Each wait brings something, and more is wanted. */
static int go_on(user *u)
{
    np_op_moved(&u->op, 1, 1);
    return u->tries < 40 ? NP_BUSY : NP_OK;
}

/* Each part is taken at once, and more is wanted, for ever. */
static int take_a_part(user *u)
{
    attempts++;
    np_op_moved(&u->op, 1, 1);
    ex_advance(SOON);
    return try_once(u);
}

/* What np_file_retry announces. */
static int find_more(user *u)
{
    (void)u;
    return more ? NP_OK : NP_BUSY;
}

static void reads_nothing(void)
{
    runs(&(user){.attempt = nothing}, NP_READ);
}
static void writes_nothing(void)
{
    runs(&(user){.attempt = nothing}, NP_WRITE);
}
static void receives(void)
{
    runs(&(user){.attempt = receive, .want = 1}, NP_READ);
}
static void receives_in_hub(void)
{
    runs(&(user){.attempt = receive, .want = 1, .hub = p}, NP_READ);
}
static void receives_in_other_hub(void)
{
    runs(&(user){.attempt = receive, .want = 1, .hub = q}, NP_READ);
}
static void writes_in_other_hub(void)
{
    runs(&(user){.attempt = put, .want = 1, .hub = q}, NP_WRITE);
}
static void waits_for_more(void)
{
    runs(&(user){.attempt = find_more}, NP_READ);
}
static void waits_for_more_in_hub(void)
{
    runs(&(user){.attempt = find_more, .hub = p}, NP_READ);
}
static void fails(void)
{
    runs(&(user){.attempt = fail}, NP_READ);
}
static void fails_in_hub(void)
{
    runs(&(user){.attempt = fail, .hub = p}, NP_READ);
}

static void takes_parts(void)
{
    runs(&(user){.attempt = take_a_part}, NP_READ);
}

static void sends_one(void)
{
    k_send(peer);
}
static void sends_two(void)
{
    k_send(peer);
    k_send(peer);
}
static void sends_three(void)
{
    sends_two();
    k_send(peer);
}
static void closes(void)
{
    end_with(np_file_close(f, 0));
}
static void detaches(void)
{
    int rc = np_file_close(f, 1);
    detached = rc == NP_OK;
    end_with(rc);
}
static void clock_goes_on(void)
{
    ex_advance(SOON);
}

/* --- turns ------------------------------------------------------------------------------------ */

static void all_ok(int n)
{
    for (int i = 0; i < n; i++)
        EXPECT(result[i] == NP_OK);
    open_file_is_over();
}
static void one_ok(void)
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

static user holder;

/* The turn is the holder's. */
static void a_file_in_use(void)
{
    a_file();
    ex_act_as("holder");
    EXPECT(np_op_begin(&holder.op, f, NP_READ, 1) == NP_OK);
    ex_act_as(NULL);
}

static bool one_queues(void *turn)
{
    return sema_waiters(turn) == 1;
}
static bool two_queue(void *turn)
{
    return sema_waiters(turn) == 2;
}
/* While it runs its handlers it does not queue. */
static bool two_queue_after_the_signal(void *turn)
{
    return interruptions > 0 && two_queue(turn);
}

static void await_queue(bool (*length)(void *))
{
    np_sema *turn = &f->half[0].turn;
    sema_await_waiters(turn, length, turn);
}

static void receives_second(void)
{
    await_queue(one_queues);
    reads_nothing();
}

static void leaves_to_two(void)
{
    await_queue(two_queue);
    np_op_end(&holder.op);
}

static void in_order(void)
{
    EXPECT(serving == 2 && served[0] == 0 && served[1] == 1);
    two_ok();
}

static void signals_first(void)
{
    await_queue(two_queue);
    ex_signal("first");
}

static void leaves_to_two_once_signalled(void)
{
    await_queue(two_queue_after_the_signal);
    np_op_end(&holder.op);
}

static void others_ok(void)
{
    EXPECT(result[0] == NP_OK && result[2] == NP_OK);
    open_file_is_over();
}

/* --- the timeout of an operation -------------------------------------------------------------- */

static void a_file_with_a_timeout(void)
{
    a_file();
    np_file_set_timeout(f, SOON);
}

static void ok_or_timed_out(int i, int code, int64_t after)
{
    EXPECT(result[i] == NP_OK || result[i] == code);
    EXPECT(result[i] == NP_OK || ended[i] >= start + after);
}

static void each_in_time(void)
{
    ok_or_timed_out(0, NP_TIMED_OUT, SOON);
    ok_or_timed_out(1, NP_TIMED_OUT, SOON);
    open_file_is_over();
}

static void a_file_in_use_with_a_timeout(void)
{
    a_file_in_use();
    np_file_set_timeout(f, SOON);
}

static void receives_and_lets_go(void)
{
    receives();
    ex_set(&flag[0]);
}
static void receives_in_hub_and_lets_go(void)
{
    receives_in_hub();
    ex_set(&flag[0]);
}

static void leaves_once_let(void)
{
    ex_await(&flag[0]);
    np_op_end(&holder.op);
}

static void first_timed_out(void)
{
    EXPECT(result[0] == NP_TIMED_OUT && ended[0] >= start + SOON);
    open_file_is_over();
}

static void both_timed_out(void)
{
    for (int i = 0; i < 2; i++)
        EXPECT(result[i] == NP_TIMED_OUT);
    each_in_time();
}

/* --- closing ---------------------------------------------------------------------------------- */

static void closed(int users)
{
    for (int i = 0; i < users; i++)
        EXPECT(result[i] == NP_OK || result[i] == NP_CLOSED);
    EXPECT(np_file_close(f, 0) == NP_CLOSED && np_file_set_deadline(f, 1, NP_READ) == NP_CLOSED);
    np_op op;
    EXPECT(np_op_begin(&op, f, NP_READ, 1) == NP_CLOSED && np_op_end(&op) == NP_OK);
    file_is_over();
}

static void one_closed(void)
{
    EXPECT(result[0] == NP_CLOSED);
    closed(1);
}
static void two_closed(void)
{
    closed(2);
}
static void three_closed(void)
{
    closed(3);
}

static void closed_inside(void)
{
    EXPECT(result[0] == NP_OK);
    closed(2);
}

static void closed_by_itself(void)
{
    EXPECT(result[0] == NP_OK);
    closed(1);
}

static void two_closed_once(void)
{
    EXPECT((result[2] == NP_OK) + (result[3] == NP_OK) == 1);
    EXPECT(result[2] + result[3] == NP_CLOSED);
    closed(2);
}

static bool nothing_is_left(void)
{
    return inside[0] == 0 && inside[1] == 0 && number_is_ours() == detached;
}

static void wait_for_the_end(void)
{
    np_sema *gone = np_file_awaited(f, 0);
    int rc = NP_OK;

    do
        rc = gone ? np_sema_acquire(gone, NP_NEVER, "close", NULL) : NP_OK;
    while (rc == NP_INTERRUPTED);
    EXPECT(rc == NP_OK && nothing_is_left());
}

static void closes_and_waits(void)
{
    closes();
    wait_for_the_end();
}

static void detaches_and_waits(void)
{
    detaches();
    wait_for_the_end();
}

/* As a signal handler might, in the midst of an operation. */
static int close_inside(user *u)
{
    (void)u;
    EXPECT(np_file_close(f, 0) == NP_OK);
    EXPECT(!np_file_awaited(f, 0) && !np_file_awaited(f, 1) && number_is_ours());
    return NP_OK;
}

static void closes_inside(void)
{
    runs(&(user){.attempt = close_inside}, NP_READ);
}

/* The same in a task that has waited. */
static int close_after_a_wait(user *u)
{
    int rc = u->tries == 1 ? receive(u) : NP_OK;
    return rc == NP_OK ? close_inside(u) : rc;
}

static void closes_inside_after_a_wait(void)
{
    runs(&(user){.attempt = close_after_a_wait, .want = 1, .hub = p}, NP_READ);
}

/* Two tasks of one thread: one is parked in an operation, and the other closes the file. */
static void closes_under_its_own_token(void)
{
    user u = {.attempt = receive, .want = 1, .hub = p};
    int rc = begin(&u, NP_READ);
    EXPECT(rc == NP_OK && np_op_try(&u.op) == NP_OK && park_as(&u, 0) == NP_PARKED);
    EXPECT(np_file_close(f, 0) == NP_OK);
    EXPECT(!np_file_awaited(f, 0));
    np_sema *gone = np_file_awaited(f, 1);
    EXPECT(gone != NULL);
    np_waiter *w = sim_calloc(1, sizeof *w);
    out[1] = false;
    EXPECT(np_sema_park(gone, w, p, 1, NP_NEVER, "close") == NP_PARKED);
    poll_until_out(p, 0);
    EXPECT(!out[1] && resume(&u) == NP_CLOSED);
    leave(&u);
    poll_until_out(p, 1);
    EXPECT(np_waiter_resume(w) == NP_OK && nothing_is_left());
    sim_free(w);
    end_with(NP_CLOSED);
}

static int stranger;

/* The number is another file's as soon as it is free. */
static void closes_and_opens(void)
{
    closes();
    stranger = k_socket();
}

static void opens(void)
{
    stranger = k_socket();
}

static void stranger_is_untouched(void)
{
    EXPECT(k_serial(stranger) != 0 && k_serial(stranger) != serial);
    two_closed();
}

/* --- deadlines, moved by others --------------------------------------------------------------- */

static void a_file_with_a_far_deadline(void)
{
    a_file();
    EXPECT(np_file_set_deadline(f, start + FAR, NP_READ | NP_WRITE) == NP_OK);
}

static void a_file_with_a_deadline(void)
{
    a_file();
    EXPECT(np_file_set_deadline(f, start + SOON, NP_READ) == NP_OK);
}

static void a_file_with_a_deadline_and_two_hubs(void)
{
    a_file_and_two_hubs();
    EXPECT(np_file_set_deadline(f, start + SOON, NP_READ) == NP_OK);
}

static void moves_deadline(void)
{
    EXPECT(np_file_set_deadline(f, start + SOON, NP_READ) == NP_OK);
}

static void clears_deadline_and_sends(void)
{
    EXPECT(np_file_set_deadline(f, NP_NEVER, NP_READ) == NP_OK);
    k_send(peer);
}

static void in_time(void)
{
    EXPECT(result[0] == NP_TIMEOUT && ended[0] >= start + SOON && ended[0] < start + FAR);
    EXPECT(np_file_deadline(f, NP_READ) == start + SOON);
    open_file_is_over();
}

static void ready_or_in_time(void)
{
    ok_or_timed_out(0, NP_TIMEOUT, SOON);
    open_file_is_over();
}

/* What was over is moved away, and the mode is as before. */
static void receives_late(user *u)
{
    EXPECT(ex_clock() >= start + SOON);
    np_file_set_timeout(f, -1);
    EXPECT(np_file_set_deadline(f, NP_NEVER, NP_READ) == NP_OK);
    ex_set(&flag[0]);
    u->tries = 0;
    runs(u, NP_READ);
    EXPECT(u->tries <= 3);
}

static void misses_a_deadline_and_receives(void)
{
    user u = {.attempt = receive, .want = 1, .hub = p};
    EXPECT(run(&u, NP_READ) == NP_TIMEOUT);
    receives_late(&u);
}

static void times_out_and_receives(void)
{
    user u = {.attempt = receive, .want = 1, .hub = p};
    EXPECT(run(&u, NP_READ) == NP_TIMED_OUT);
    receives_late(&u);
}

/* The deadline binds the wait at the second hub as that at the first. */
static void receives_and_then_elsewhere(void)
{
    user u = {.attempt = receive, .want = 1, .hub = p};
    EXPECT(run(&u, NP_READ) == NP_OK);
    u.hub = q;
    runs(&u, NP_READ);
}

static void sends_once_it_was_late(void)
{
    ex_await(&flag[0]);
    k_send(peer);
}

/* --- what a wait has seen is out of date ------------------------------------------------------ */

static void has_more(void)
{
    more = true;
    np_file_retry(f, NP_READ);
}

static void pauses_and_waits_for_more(void)
{
    user u = {.attempt = find_more};
    int rc = begin(&u, NP_READ);
    EXPECT(rc == NP_OK && try_once(&u) != NP_CLOSED);
    u.op.vain = 15;
    for (rc = NP_BUSY; rc == NP_BUSY;)
        rc = wait_once(&u);
    leave(&u);
    end_with(rc);
}

static void moves_and_retries(void)
{
    int rc = np_file_set_deadline(f, start + FAR, NP_READ | NP_WRITE);
    EXPECT(rc == NP_OK || rc == NP_CLOSED);
    np_file_retry(f, NP_READ);
}

/* --- short reads ------------------------------------------------------------------------------ */

static void reads_to_the_end(void)
{
    user u = {.attempt = receive, .want = 2, .hub = p};
    int rc;
    do
        rc = run(&u, NP_READ);
    while (rc == NP_OK && !u.at_end);
    EXPECT(begin(&u, NP_READ) == NP_OK && np_op_try(&u.op) == NP_OK); /* the end stays */
    leave(&u);
    end_with(rc);
}

static void reads_two(void)
{
    user u = {.attempt = receive, .want = 2, .hub = p};
    while (u.bytes < 2)
        EXPECT(run(&u, NP_READ) == NP_OK);
    end_with(NP_OK);
}

static void sends_and_hangs_up(void)
{
    k_send(peer);
    k_hangup(number);
}

static void reads_to_the_end_then_frees_0(void)
{
    reads_to_the_end();
    k_send(fd[0]);
}

static void a_file_and_a_descriptor(void)
{
    a_file();
    fd[0] = k_socket();
    EXPECT(np_open(p, fd[0], &d[0]) == NP_OK);
}

static void waits_for_0(void)
{
    end_with(np_wait(d[0], NP_READ));
}

/* A byte is there, and the last read was short. */
static void a_file_read_short(void)
{
    a_file();
    f->half[0].drained = true;
    k_send(peer);
}

/* --- limits bind though the kernel says ready --------------------------------------------------
 */

static void a_file_always_ready(void)
{
    a_file();
    k_send(peer);
}

static void a_file_always_ready_with_a_timeout(void)
{
    a_file_always_ready();
    np_file_set_timeout(f, PATIENT);
}

/* Neither at once for ever nor without a chance for signals. */
static void tried_with_pauses(void)
{
    EXPECT(result[0] == NP_TIMED_OUT);
    EXPECT(ended[0] >= start + PATIENT && ended[0] <= start + PATIENT + LATE);
    EXPECT(attempts < 100);
    open_file_is_over();
}

static void tried_with_pauses_and_checks(void)
{
    EXPECT(interruptions >= 3 && attempts > 16);
    tried_with_pauses();
}

/* Where an event comes once, it is not tried again. */
static void tried_once_or_with_checks(void)
{
    EXPECT(attempts <= 16 || interruptions >= 3);
    tried_with_pauses();
}

static void a_file_of_parts(void)
{
    a_file();
    np_file_set_timeout(f, 3 * SOON);
}

static void parts_ended(void)
{
    EXPECT(result[0] == NP_TIMED_OUT && attempts >= 3 && attempts <= 5);
    open_file_is_over();
}

static void gets_on(void)
{
    runs(&(user){.attempt = go_on}, NP_READ);
}

static void got_on_without_pauses(void)
{
    EXPECT(interruptions == 0 && ended[0] == start);
    one_ok();
}

/* The next wait is a pause. */
static int begin_pause(user *u)
{
    int rc = begin(u, NP_READ);
    u->op.vain = 15;
    u->op.since = start;
    return rc == NP_OK ? NP_BUSY : rc;
}

static void pauses(void)
{
    user u = {.attempt = fail};
    int rc = begin_pause(&u);
    if (rc == NP_BUSY)
        rc = wait_once(&u);
    leave(&u);
    end_with(rc);
    ended[ex_self] = ex_clock();
}

static void pauses_in_hub(void)
{
    user u = {.attempt = fail, .hub = p};
    EXPECT(begin_pause(&u) == NP_BUSY);
    end_with(wait_in_hub(&u));
    ended[ex_self] = ex_clock();
    leave(&u);
}

static void ended_at_the_deadline(void)
{
    EXPECT(result[0] == NP_TIMEOUT && ended[0] < start + 2 * SOON);
    open_file_is_over();
}

static void a_file_and_a_deadline_that_passes(void)
{
    a_file_with_a_deadline();
    np_enable_signal_checks();
    ex_has_handler("user");
}

static void signals_user_late(void)
{
    ex_advance(2 * SOON);
    ex_signal("user");
}

static void waits_until_the_signal(void)
{
    user u = {.attempt = fail};
    int rc = begin(&u, NP_READ);
    EXPECT(rc == NP_OK);
    rc = wait_in_thread(&u);
    ended[ex_self] = ex_clock();
    leave(&u);
    end_with(rc);
}

/* Interrupted only before it was over. */
static void limit_or_nothing(void)
{
    EXPECT(result[0] == NP_TIMEOUT || (result[0] == NP_INTERRUPTED && ended[0] < start + SOON));
    open_file_is_over();
}

static void closed_at_once(void)
{
    EXPECT(result[0] == NP_CLOSED || ex_clock() > start);
    EXPECT(result[0] == NP_CLOSED || result[0] == NP_BUSY);
    closed(0);
}

/* --- signals ---------------------------------------------------------------------------------- */

static void signals_user(void)
{
    ex_signal("user");
}

static void a_file_and_a_handler(void)
{
    a_file();
    np_enable_signal_checks();
    ex_has_handler("user");
}

/* As Python does. */
static void receives_and_handles(void)
{
    user u = {.attempt = receive, .want = 1};
    int rc = begin(&u, NP_READ);
    if (rc == NP_OK)
        rc = try_once(&u);
    while (rc == NP_BUSY) {
        if (ex_check_signals())
            ex_set(&flag[0]);
        rc = wait_once(&u);
    }
    leave(&u);
    end_with(rc);
}

static void signals_one_that_checks(void)
{
    ex_signal_noted("user");
}

static void sends_once_handled(void)
{
    ex_await(&flag[0]);
    k_send(peer);
}

/* --- kills ------------------------------------------------------------------------------------ */

/* Parks, is killed, and leaves. */
static void parks_and_is_killed(void)
{
    user u = {.attempt = receive, .want = 1, .hub = p};
    int rc = begin(&u, NP_READ);
    if (rc == NP_OK)
        rc = try_once(&u);
    if (rc == NP_BUSY && (rc = park(&u)) == NP_PARKED)
        withdrawn = cancel(&u);
    leave(&u);
    np_wake(p);
    end_with(NP_OK);
}

static void pauses_and_is_killed(void)
{
    user u = {.attempt = fail, .hub = p};
    EXPECT(begin_pause(&u) == NP_BUSY);
    EXPECT(park(&u) == NP_PARKED && u.op.state == OP_PARKED_PAUSE);
    ex_set(&flag[0]);
    np_yield();
    withdrawn = cancel(&u);
    leave(&u);
    np_wake(p);
    end_with(NP_OK);
}

/* In another thread than the token's scheduler. */
static void polls(void)
{
    np_token tokens[4];
    int n = 0;
    EXPECT(np_poll(p, -1, tokens, 4, &n) == NP_OK);
    mark(tokens, n);
}

static void polls_once_it_pauses(void)
{
    ex_await(&flag[0]);
    polls();
}

/* The token came out, or it did not. */
static void killed_and_next_ok(void)
{
    EXPECT(withdrawn < 0 || withdrawn != (int)out[0]);
    EXPECT(result[0] == NP_OK && result[1] == NP_OK);
    open_file_is_over();
}

static void killed(void)
{
    EXPECT(withdrawn != (int)out[0]);
    open_file_is_over();
}

static void killed_and_closed(void)
{
    EXPECT(withdrawn < 0 || withdrawn != (int)out[0]);
    closed(2);
}

/* --- two modes, two hubs ---------------------------------------------------------------------- */

static bool waits(int rc)
{
    return rc == NP_BUSY || rc == NP_PARKED;
}

static int park_or_try(user *u, int token)
{
    int rc = park_as(u, token);
    return rc == NP_PARKED ? rc : after_wait(u, rc);
}

static void poll_once(void)
{
    np_token tokens[4];
    int n = 0;
    EXPECT(np_poll(p, -1, tokens, 4, &n) == NP_OK);
    mark(tokens, n);
    if (n == 0)
        np_yield();
}

/* One scheduler with two operations. */
static void reads_and_writes(void)
{
    user r = {.attempt = receive, .want = 1, .hub = p}, w = {.attempt = put, .want = 1, .hub = p};
    int rc[2] = {begin(&r, NP_READ), begin(&w, NP_WRITE)};

    rc[0] = rc[0] == NP_OK ? try_once(&r) : rc[0];
    rc[1] = rc[1] == NP_OK ? try_once(&w) : rc[1];
    while (waits(rc[0]) || waits(rc[1])) {
        if (rc[0] == NP_BUSY)
            rc[0] = park_or_try(&r, 0);
        if (rc[1] == NP_BUSY)
            rc[1] = park_or_try(&w, 1);
        if (rc[0] != NP_PARKED && rc[1] != NP_PARKED)
            continue;
        if (rc[0] == NP_PARKED && rc[1] == NP_PARKED)
            EXPECT(f->half[0].desc == f->half[1].desc);
        poll_once();
        if (rc[0] == NP_PARKED && out[0])
            rc[0] = after_wait(&r, resume(&r));
        if (rc[1] == NP_PARKED && out[1])
            rc[1] = after_wait(&w, resume(&w));
    }
    leave(&r);
    leave(&w);
    end_with(rc[0] == rc[1] ? rc[0] : -1);
}

/* And does not spin meanwhile. */
static void went_on_at_once(void)
{
    EXPECT(attempts <= 4);
    one_ok();
}

static void sends_and_makes_room(void)
{
    k_send(peer);
    k_writable(number);
}

static void closes_hub(void)
{
    np_poller_close(p);
}

static void closes_hub_and_sends(void)
{
    closes_hub();
    k_send(peer);
}

/* Both modes park at p, which is closed then: each goes on at q. */
static void reads_and_writes_at_a_closed_hub(void)
{
    user r = {.attempt = receive, .want = 1, .hub = p}, w = {.attempt = put, .want = 1, .hub = p};
    EXPECT(begin(&r, NP_READ) == NP_OK && begin(&w, NP_WRITE) == NP_OK);
    EXPECT(park_as(&r, 0) == NP_PARKED && park_as(&w, 1) == NP_PARKED);
    np_poller_close(p);
    poll_until_out(p, 0);
    poll_until_out(p, 1);
    int rc[2] = {after_wait(&r, resume(&r)), after_wait(&w, resume(&w))};
    ex_set(&flag[0]);
    while (rc[0] == NP_BUSY)
        rc[0] = wait_once(&r);
    while (rc[1] == NP_BUSY)
        rc[1] = wait_once(&w);
    leave(&r);
    leave(&w);
    EXPECT(r.tries <= 4 && w.tries <= 4);
    end_with(rc[0] == rc[1] ? rc[0] : -1);
}

static void sends_and_makes_room_later(void)
{
    ex_await(&flag[0]);
    sends_and_makes_room();
}

/* --- in one thread ---------------------------------------------------------------------------- */

/* What came before an attempt says nothing of what comes after it; and a token that is not out
 * cannot be resumed. */
static void forgets_what_came_before(void)
{
    user u = {.attempt = receive, .want = 1, .hub = p};
    np_token token;
    int n = 0;

    k_send(peer);
    EXPECT(begin(&u, NP_READ) == NP_OK && wait_in_hub(&u) == NP_OK && try_once(&u) == NP_OK);
    k_send(peer);
    EXPECT(np_poll(p, 0, &token, 1, &n) == NP_OK && n == 0);
    EXPECT(try_once(&u) == NP_OK);
    EXPECT(park(&u) == NP_PARKED && np_op_resume(&u.op, u.waiter) == NP_AGAIN);
    EXPECT(np_is_parked(f->half[0].desc, NP_READ));
    EXPECT(cancel(&u) == 1);
    leave(&u);
    end_with(NP_OK);
}

/* The event has been collected, and the token waits to be given out. */
static void is_killed_when_ready(void)
{
    user u = {.attempt = receive, .want = 1, .hub = p};
    np_token token;
    int n = 0;

    EXPECT(begin(&u, NP_READ) == NP_OK && park(&u) == NP_PARKED);
    k_send(peer);
    EXPECT(np_poll(p, 0, &token, 0, &n) == NP_OK && n == 0);
    EXPECT(cancel(&u) == 1 && np_take_ready(p, &token, 1) == 0);
    EXPECT(np_is_ready(f->half[0].desc, NP_READ));
    leave(&u);
    receives_in_hub();
}

/* One that may not wait is told so, and tries though the last read was short. */
static void may_not_wait(void)
{
    user u = {.attempt = receive, .want = 2};
    np_op op;

    EXPECT(begin(&u, NP_READ) == NP_OK);
    EXPECT(np_op_begin(&op, f, NP_READ, 0) == NP_AGAIN && np_op_end(&op) == NP_OK);
    k_send(peer);
    EXPECT(try_once(&u) == NP_OK && np_op_try(&u.op) == NP_BUSY);
    leave(&u);
    EXPECT(np_op_begin(&op, f, NP_READ, 0) == NP_OK && np_op_try(&op) == NP_OK);
    EXPECT(np_op_end(&op) == NP_OK);
    end_with(NP_OK);
}

/* --- forks ------------------------------------------------------------------------------------ */

static uint32_t state_then;

static void note_state(void)
{
    state_then = f->state.value;
}

/* A waker that is being made at the fork stays in the child, so they are there before. */
static void make_waker(const char *who)
{
    int error = 0;
    ex_act_as(who);
    EXPECT(np_thread_waker(&error) != NULL);
    ex_act_as(NULL);
}

static void a_file_and_a_thread(void)
{
    a_file();
    make_waker("user");
}

static void forks(void)
{
    ex_at_fork = note_state;
    fork_child();
    ex_note("the child goes on");
    for (int i = 0; i < 2; i++)
        if (inside[i] != ex_self + 1)
            inside[i] = 0;
}

/* Also what the dead threads had. */
static void over_in_the_child(void)
{
    ex_expect_leak();
    np_poller_close(p);
    np_poller_unref(p);
    if (q) {
        np_poller_close(q);
        np_poller_unref(q);
    }
}

static void modes_are_free(void)
{
    for (int mode = NP_READ; mode <= NP_WRITE; mode++)
        EXPECT(np_half_of(f, mode)->turn.word == 8);
}

static void uses_forks_and_uses(void)
{
    reads_nothing();
    forks();
    modes_are_free();
    reads_nothing();
    EXPECT(result[ex_self] == NP_OK);
    writes_nothing();
}

static void forks_and_receives_in_hub(void)
{
    user u = {.attempt = receive, .want = 1, .hub = p};
    forks();
    modes_are_free();
    EXPECT(begin(&u, NP_READ) == NP_OK && try_once(&u) == NP_BUSY && park(&u) == NP_PARKED);
    k_send(peer);
    poll_until_out(p, ex_self);
    end_with(after_wait(&u, resume(&u)));
    leave(&u);
    EXPECT(!out[0]);
}

static user forker;

/* The forker's token is parked, for the turn or for readiness; or it has the turn. */
static void parks_and_forks(void)
{
    forker = (user){.attempt = nothing, .hub = p};
    int rc = begin(&forker, NP_READ);
    if (rc == NP_BUSY)
        rc = park(&forker);
    forks();
    if (rc == NP_PARKED) {
        poll_until_out(p, ex_self);
        rc = resume(&forker);
    }
    if (rc == NP_OK)
        rc = try_once(&forker);
    leave(&forker);
    end_with(rc);
}

static void parks_inside_and_forks(void)
{
    forker = (user){.attempt = receive, .want = 1, .hub = p};
    int rc = begin(&forker, NP_READ);
    if (rc == NP_OK)
        rc = try_once(&forker);
    if (rc == NP_BUSY)
        rc = park(&forker);
    forks();
    k_send(peer);
    if (rc == NP_PARKED) {
        poll_until_out(p, ex_self);
        rc = after_wait(&forker, resume(&forker));
    }
    while (rc == NP_BUSY)
        rc = wait_once(&forker);
    leave(&forker);
    end_with(rc);
}

static void forker_ok(void)
{
    EXPECT(result[1] == NP_OK);
    EXPECT(np_load(&f->state) == 0 && number_is_ours());
    modes_are_free();
    EXPECT(np_file_close(f, 0) == NP_OK);
    free_file();
    over_in_the_child();
}

/* Whatever the closer had done, the child has the rest done; but if only the number was left, it
 * cannot know. */
static void closed_or_not(void)
{
    uint32_t state = np_load(&f->state);

    EXPECT(result[1] == NP_OK || result[1] == NP_CLOSED);
    if (state == 0) {
        forker_ok();
        return;
    }
    EXPECT((state & FILE_RETIRED_BOTH) == FILE_RETIRED_BOTH);
    EXPECT(!number_is_ours() || (state_then & FILE_RETIRED_BOTH) == FILE_RETIRED_BOTH);
    np_file_free(f);
    over_in_the_child();
}

static void forks_beside_a_closer(void)
{
    forks();
    user u = {.attempt = nothing};
    end_with(run(&u, NP_READ));
}

/* The forker's waker is older than the child. */
static void a_file_and_a_waker(void)
{
    a_file_with_a_far_deadline();
    make_waker("forker");
}

static void moves_deadline_in_the_child(void)
{
    ex_set(&flag[1]);
    ex_await(&flag[0]); /* the child starts it */
    moves_deadline();
}

static void forks_and_waits(void)
{
    ex_await(&flag[1]);
    forks();
    ex_set(&flag[0]);
    receives();
}

static void forker_in_time(void)
{
    EXPECT(result[1] == NP_TIMEOUT && ended[1] >= start + SOON && ended[1] < start + FAR);
    EXPECT(np_file_close(f, 0) == NP_OK);
    free_file();
    over_in_the_child();
}

/* --- system calls that fail --------------------------------------------------------------------
 */

static int receive_where_calls_fail(np_poller *hub)
{
    user u = {.attempt = receive, .want = 1, .hub = hub};
    int rc, tries = 0;
    k_allow_failures(2);
    while ((rc = run(&u, NP_READ)) != NP_OK) {
        EXPECT(rc == -EMFILE || rc == -ENOMEM);
        EXPECT(++tries <= 2);
    }
    return rc;
}

static void receives_where_calls_fail(void)
{
    end_with(receive_where_calls_fail(NULL));
}
static void receives_in_hub_where_calls_fail(void)
{
    end_with(receive_where_calls_fail(p));
}

const scenario user_scenarios[] = {
    {"users_are_served_one_at_a_time",
     "one that leaves lets the next one in",
     a_file,
     {WHO("first", reads_nothing), WHO("second", reads_nothing), WHO("third", reads_nothing)},
     three_ok,
     ONE_BACKEND},
    {"readers_do_not_keep_writers",
     "each mode has a turn of its own",
     a_file,
     {WHO("reader", reads_nothing), WHO("writer", writes_nothing), WHO("reader 2", reads_nothing)},
     three_ok,
     ONE_BACKEND},
    {"users_are_served_in_the_order_of_coming",
     "whatever wakes first",
     a_file_in_use,
     {WHO("first", reads_nothing), WHO("second", receives_second), WHO("holder", leaves_to_two)},
     in_order,
     ONE_BACKEND},
    {"a_signal_keeps_the_place_in_the_queue",
     "the wait goes on where it was",
     a_file_in_use,
     {WHO("first", reads_nothing), WHO("second", receives_second),
      WHO("holder", leaves_to_two_once_signalled), WHO("signal", signals_first)},
     in_order,
     ONE_BACKEND},
    {"two_receivers_take_turns",
     "one waits for the other, and each gets a byte",
     a_file,
     {WHO("first", receives), WHO("second", receives), WHO("peer", sends_two)},
     two_ok,
     ONE_BACKEND},
    {"a_token_and_a_thread_take_turns",
     "each gets a byte",
     a_file,
     {WHO("hub", receives_in_hub), WHO("thread", receives), WHO("peer", sends_two)},
     two_ok,
     0},

    {"a_timeout_ends_the_one_inside_and_the_queue",
     "and the mode is free again",
     a_file_with_a_timeout,
     {WHO("first", receives), WHO("second", receives)},
     both_timed_out,
     ONE_BACKEND},
    {"a_timeout_beside_a_turn",
     "one that gives up is not served, or hands on what it was granted",
     a_file_with_a_timeout,
     {WHO("first", receives), WHO("second", receives), WHO("peer", sends_one),
      WHO("clock", clock_goes_on)},
     each_in_time,
     ONE_BACKEND},
    {"a_timeout_in_the_queue",
     "of a thread, ends its wait for one that does not leave",
     a_file_in_use_with_a_timeout,
     {WHO("user", receives_and_lets_go), WHO("holder", leaves_once_let)},
     first_timed_out,
     ONE_BACKEND},
    {"a_tokens_timeout_in_the_queue",
     "ends its wait for one that does not leave",
     a_file_in_use_with_a_timeout,
     {WHO("hub", receives_in_hub_and_lets_go), WHO("holder", leaves_once_let)},
     first_timed_out,
     0},
    {"a_tokens_timeout",
     "ends its wait, for the turn too",
     a_file_with_a_timeout,
     {WHO("hub", receives_in_hub), WHO("thread", receives)},
     both_timed_out,
     0},
    {"a_tokens_timeout_beside_an_event",
     "either, and the mode is free again",
     a_file_with_a_timeout,
     {WHO("hub", receives_in_hub), WHO("thread", receives), WHO("peer", sends_one)},
     each_in_time,
     0},

    {"close_ends_users_and_queue",
     "and the last to leave closes the number",
     a_file_and_its_peer,
     {WHO("first", receives), WHO("second", receives), WHO("closer", closes),
      WHO("peer", sends_one)},
     two_closed,
     ONE_BACKEND},
    {"close_ends_tokens_inside_and_queued",
     "and the last to leave closes the number",
     a_file_and_two_hubs,
     {WHO("hub", receives_in_hub), WHO("other hub", receives_in_other_hub), WHO("closer", closes)},
     two_closed,
     0},
    {"close_twice_under_users",
     "the number is closed once, when both modes are free",
     a_file,
     {WHO("reader", reads_nothing), WHO("writer", writes_nothing), WHO("closer", closes),
      WHO("closer 2", closes)},
     two_closed_once,
     ONE_BACKEND},
    {"a_close_that_waits",
     "finds the number free",
     a_file,
     {WHO("reader", reads_nothing), WHO("writer", writes_nothing), WHO("closer", closes_and_waits)},
     two_closed,
     ONE_BACKEND},
    {"a_close_that_waits_for_a_task",
     "finds the number free",
     a_file,
     {WHO("hub", receives_in_hub), WHO("closer", closes_and_waits)},
     one_closed,
     0},
    {"a_close_that_waits_beside_another",
     "whichever comes first",
     a_file,
     {WHO("reader", reads_nothing), WHO("closer", closes_and_waits),
      WHO("closer 2", closes_and_waits)},
     three_closed,
     ONE_BACKEND},
    {"a_detach_that_waits",
     "finds no operation left",
     a_file,
     {WHO("reader", reads_nothing), WHO("detacher", detaches_and_waits)},
     two_closed,
     ONE_BACKEND},
    {"a_close_in_its_own_operation",
     "does not wait for itself",
     a_file,
     {WHO("user", closes_inside), WHO("writer", writes_nothing)},
     closed_inside,
     ONE_BACKEND},
    {"a_close_in_a_task_that_woke",
     "does not wait for itself",
     a_file,
     {WHO("hub", closes_inside_after_a_wait), WHO("peer", sends_one)},
     closed_by_itself,
     0},
    {"a_close_under_a_token_of_its_thread",
     "waits if it parks",
     a_file,
     {WHO("hub", closes_under_its_own_token)},
     one_closed,
     0},
    {"a_number_is_not_anothers_under_an_operation",
     "nor closed when it is",
     a_file,
     {WHO("reader", reads_nothing), WHO("writer", writes_nothing), WHO("closer", closes_and_opens)},
     stranger_is_untouched,
     ONE_BACKEND},
    {"a_number_that_is_free_is_not_closed_again",
     "by the operation that leaves meanwhile",
     a_file,
     {WHO("reader", reads_nothing), WHO("closer", closes), WHO("stranger", opens)},
     stranger_is_untouched,
     ONE_BACKEND},
    {"detach_ends_users_and_leaves_the_number",
     "open",
     a_file_and_its_peer,
     {WHO("first", receives), WHO("second", receives), WHO("closer", detaches),
      WHO("peer", sends_one)},
     two_closed,
     ONE_BACKEND},
    {"detach_beside_close",
     "one of them decides",
     a_file,
     {WHO("reader", reads_nothing), WHO("closer", closes), WHO("detacher", detaches)},
     three_closed,
     ONE_BACKEND},
    {"a_move_and_a_retry_beside_a_close",
     "reach what is still there",
     a_file,
     {WHO("hub", receives_in_hub), WHO("closer", closes), WHO("mover", moves_and_retries)},
     one_closed,
     ONE_BACKEND},

    {"a_deadline_moved_under_a_thread",
     "also while it goes to sleep",
     a_file_with_a_far_deadline,
     {WHO("user", receives), WHO("mover", moves_deadline)},
     in_time,
     ONE_BACKEND},
    {"a_deadline_moved_under_a_token",
     "also while it parks",
     a_file_with_a_far_deadline,
     {WHO("hub", receives_in_hub), WHO("mover", moves_deadline)},
     in_time,
     0},
    {"a_deadline_moved_beside_an_event",
     "either, and neither is lost",
     a_file_with_a_far_deadline,
     {WHO("user", receives), WHO("mover", moves_deadline), WHO("peer", sends_one)},
     ready_or_in_time,
     ONE_BACKEND},
    {"a_deadline_cleared_under_a_thread",
     "does not end the wait, unless it did before",
     a_file_with_a_deadline,
     {WHO("user", receives), WHO("mover", clears_deadline_and_sends)},
     ready_or_in_time,
     ONE_BACKEND},
    {"a_deadline_cleared_under_a_token",
     "does not end the wait, unless it did before",
     a_file_with_a_deadline,
     {WHO("hub", receives_in_hub), WHO("mover", clears_deadline_and_sends)},
     ready_or_in_time,
     0},
    {"a_deadline_that_was_met_and_moved",
     "leaves no trace",
     a_file_with_a_deadline,
     {WHO("hub", misses_a_deadline_and_receives), WHO("peer", sends_once_it_was_late)},
     one_ok,
     0},
    {"a_timeout_that_was_met",
     "leaves no trace",
     a_file_with_a_timeout,
     {WHO("hub", times_out_and_receives), WHO("peer", sends_once_it_was_late)},
     one_ok,
     0},
    {"a_deadline_at_the_next_hub",
     "binds there, too",
     a_file_with_a_deadline_and_two_hubs,
     {WHO("hub", receives_and_then_elsewhere), WHO("peer", sends_one)},
     in_time,
     0},

    {"a_retry_under_a_thread",
     "is not lost, though no event comes",
     a_file,
     {WHO("user", waits_for_more), WHO("other", has_more)},
     one_ok,
     ONE_BACKEND},
    {"a_retry_under_a_token",
     "is not lost, though no event comes",
     a_file,
     {WHO("hub", waits_for_more_in_hub), WHO("other", has_more)},
     one_ok,
     0},
    {"a_retry_under_a_pause",
     "is for the wait that follows",
     a_file,
     {WHO("user", pauses_and_waits_for_more), WHO("other", has_more)},
     one_ok,
     ONE_BACKEND},

    {"a_byte_behind_a_short_read",
     "is waited for, not tried for, and there",
     a_file_read_short,
     {WHO("hub", reads_two), WHO("peer", sends_one)},
     one_ok,
     0},
    {"a_hangup_behind_a_byte",
     "is not slept over by one that takes a short read for drained",
     a_file,
     {WHO("hub", reads_to_the_end), WHO("peer", sends_and_hangs_up)},
     one_ok,
     0},
    {"a_hangup_that_another_collects",
     "is known to the reader before it is woken",
     a_file_and_a_descriptor,
     {WHO("hub", reads_to_the_end_then_frees_0), WHO("driver", waits_for_0),
      WHO("peer", sends_and_hangs_up)},
     two_ok,
     0},

    {"a_thread_that_is_always_ready",
     "and always fails pauses, checks for signals, and ends in time",
     a_file_always_ready_with_a_timeout,
     {WHO("user", fails)},
     tried_with_pauses_and_checks,
     ONE_BACKEND},
    {"a_token_that_is_always_ready",
     "and always fails pauses, checks for signals, and ends in time",
     a_file_always_ready_with_a_timeout,
     {WHO("hub", fails_in_hub)},
     tried_once_or_with_checks,
     0},
    {"an_operation_in_parts",
     "that never has to wait ends in time",
     a_file_of_parts,
     {WHO("user", takes_parts)},
     parts_ended,
     ONE_BACKEND},
    {"a_deadline_in_a_pause",
     "ends the pause of a token",
     a_file_with_a_deadline,
     {WHO("hub", pauses_in_hub)},
     ended_at_the_deadline,
     0},
    {"a_signal_at_the_limit",
     "does not prolong the wait that it ends",
     a_file_and_a_deadline_that_passes,
     {WHO("user", waits_until_the_signal), WHO("signal", signals_user_late)},
     limit_or_nothing,
     ONE_BACKEND},
    {"a_thread_that_gets_on",
     "does not pause, however often it waits",
     a_file_always_ready,
     {WHO("user", gets_on)},
     got_on_without_pauses,
     ONE_BACKEND},
    {"a_close_under_one_that_is_always_ready",
     "ends it",
     a_file_always_ready,
     {WHO("user", fails), WHO("closer", closes)},
     one_closed,
     ONE_BACKEND},
    {"a_close_under_a_pause",
     "ends it at once",
     a_file,
     {WHO("user", pauses), WHO("closer", closes)},
     closed_at_once,
     ONE_BACKEND},

    {"a_signal_beside_an_event",
     "ends the wait, and leaves the event",
     a_file,
     {WHO("user", receives), WHO("signal", signals_user), WHO("peer", sends_one)},
     one_ok,
     ONE_BACKEND},
    {"a_signal_before_np_wait_fd_is_handled",
     "though it ends no sleep",
     a_file_and_a_handler,
     {WHO("user", receives_and_handles), WHO("signal", signals_one_that_checks),
      WHO("peer", sends_once_handled)},
     one_ok,
     ONE_BACKEND},

    {"a_kill_beside_an_event",
     "the token comes out or does not, and the next one has the mode",
     a_file,
     {WHO("hub", parks_and_is_killed), WHO("next", receives), WHO("driver", polls),
      WHO("peer", sends_two)},
     killed_and_next_ok,
     0},
    {"a_kill_beside_a_turn",
     "the token comes out or does not, and the turn is handed on",
     a_file,
     {WHO("hub", parks_and_is_killed), WHO("user", reads_nothing), WHO("driver", polls),
      WHO("next", reads_nothing)},
     killed_and_next_ok,
     0},
    {"a_kill_beside_a_close",
     "the token comes out or does not, and the number is closed once",
     a_file,
     {WHO("hub", parks_and_is_killed), WHO("user", receives), WHO("driver", polls),
      WHO("closer", closes)},
     killed_and_closed,
     0},
    {"a_kill_of_one_that_pauses",
     "the token comes out or does not",
     a_file,
     {WHO("hub", pauses_and_is_killed), WHO("driver", polls_once_it_pauses)},
     killed,
     0},

    {"two_modes_share_a_descriptor",
     "on one poller",
     a_file,
     {WHO("hub", reads_and_writes), WHO("peer", sends_and_makes_room)},
     one_ok,
     0},
    {"a_close_ends_both_modes",
     "of one descriptor",
     a_file,
     {WHO("hub", reads_and_writes), WHO("closer", closes)},
     one_closed,
     0},
    {"a_file_in_two_hubs_and_a_thread",
     "each gets a byte",
     a_file_and_two_hubs,
     {WHO("hub", receives_in_hub), WHO("other hub", receives_in_other_hub), WHO("thread", receives),
      WHO("peer", sends_three)},
     three_ok,
     0},
    {"two_modes_in_two_hubs",
     "each has a descriptor, and one more reader takes a turn",
     a_file_and_two_hubs,
     {WHO("hub", receives_in_hub), WHO("other hub", writes_in_other_hub),
      WHO("peer", sends_and_makes_room)},
     two_ok,
     0},
    {"a_poller_closed_under_a_token",
     "lets it wait at another",
     a_file_and_two_hubs,
     {WHO("hub", receives_in_hub), WHO("closer", closes_hub_and_sends)},
     went_on_at_once,
     0},
    {"a_poller_closed_under_both_modes",
     "lets them wait at another",
     a_file_and_two_hubs,
     {WHO("hub", reads_and_writes_at_a_closed_hub), WHO("peer", sends_and_makes_room_later)},
     one_ok,
     0},
    {"a_poller_closed_under_the_queue",
     "lets it wait at another",
     a_file_and_two_hubs,
     {WHO("hub", receives_in_hub), WHO("user", receives), WHO("closer", closes_hub),
      WHO("peer", sends_two)},
     two_ok,
     0},

    {"an_attempt_forgets_what_came_before",
     "as it will see for itself",
     a_file,
     {WHO("hub", forgets_what_came_before)},
     one_ok,
     0},
    {"a_kill_of_one_that_is_ready",
     "its token does not come out, and the next one has its event",
     a_file,
     {WHO("hub", is_killed_when_ready)},
     one_ok,
     0},
    {"one_that_may_not_wait", "does not", a_file, {WHO("user", may_not_wait)}, one_ok, ONE_BACKEND},

    {"a_child_has_the_turn",
     "whatever its parent's threads were doing",
     a_file,
     {WHO("user", reads_nothing), WHO("forker", uses_forks_and_uses), WHO("second", reads_nothing)},
     forker_ok,
     ONE_BACKEND | FORKS},
    {"a_child_has_the_turn_of_a_hub",
     "that is gone, on its poller",
     a_file,
     {WHO("hub", receives_in_hub), WHO("forker", forks_and_receives_in_hub)},
     forker_ok,
     FORKS},
    {"a_childs_token_gets_the_turn",
     "that a gone thread has, or was just given",
     a_file_and_two_hubs,
     {WHO("user", reads_nothing), WHO("forker", parks_and_forks),
      WHO("other hub", receives_in_other_hub)},
     forker_ok,
     FORKS},
    {"a_childs_token_inside_goes_on",
     "and those that queued are gone",
     a_file_and_a_thread,
     {WHO("user", receives), WHO("forker", parks_inside_and_forks)},
     forker_ok,
     FORKS},
    {"a_fork_in_the_middle_of_a_close",
     "the child's file is closed, or open",
     a_file,
     {WHO("closer", closes), WHO("forker", forks_beside_a_closer), WHO("user", reads_nothing)},
     closed_or_not,
     ONE_BACKEND | FORKS},
    {"a_fork_in_the_middle_of_a_close_under_a_token",
     "that waits for its turn, in the child too",
     a_file_and_a_thread,
     {WHO("closer", closes), WHO("forker", parks_and_forks), WHO("user", receives)},
     closed_or_not,
     FORKS},
    {"a_childs_waker_wakes",
     "though it was made before the fork",
     a_file_and_a_waker,
     {WHO("mover", moves_deadline_in_the_child), WHO("forker", forks_and_waits)},
     forker_in_time,
     ONE_BACKEND | FORKS},

    {"a_thread_waits_where_calls_fail",
     "when it asks again",
     a_file,
     {WHO("user", receives_where_calls_fail), WHO("peer", sends_one)},
     one_ok,
     ONE_BACKEND},
    {"a_token_waits_where_calls_fail",
     "when it asks again",
     a_file,
     {WHO("hub", receives_in_hub_where_calls_fail), WHO("peer", sends_one)},
     one_ok,
     NESTS},
    {.name = NULL},
};
