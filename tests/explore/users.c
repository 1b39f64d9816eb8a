/* Scenarios of those who do I/O on a descriptor: the lock of csrc/fdmutex.c with a host's queue
 * beside it, as netpoll.socket has it, and reads that take a short one for "drained".
 */
#include <string.h>

#include "explore.h"
#include "internal.h"
#include "kernel.h"
#include "stage.h"

/* --- a host of the lock ----------------------------------------------------------------------- */

/* One who wants a mode that somebody has. */
typedef struct place {
    bool left, granted; /* taken out of the queue; the mode is ours.  With the queue's lock held */
    bool gate;
} place;

static np_fdmutex mutex;
static np_mutex queue_lock;
static place places[2][EX_ACTORS], *queue[2][EX_ACTORS];
static int queued[2];
static int inside[2]; /* who has the mode, + 1 */
static int served[EX_ACTORS], serving;
static bool given_back; /* the number */

static const ex_site lock_site = {"host", 0, "lock of the queue"};
static const ex_site unlock_site = {"host", 0, "unlock of the queue"};

static void one_in_use(void)
{
    with(1);
    memset(&mutex, 0, sizeof mutex);
    memset(places, 0, sizeof places);
    memset(queued, 0, sizeof queued);
    memset(inside, 0, sizeof inside);
    memset(served, 0, sizeof served);
    serving = 0;
    given_back = false;
    np_mutex_init(&queue_lock);
}

static place *pop(int mode)
{
    place **q = queue[mode - 1];
    place *first = q[0];
    queued[mode - 1]--;
    memmove(q, q + 1, (size_t)queued[mode - 1] * sizeof *q);
    return first;
}

static void let_in(place *who, bool granted)
{
    who->granted = granted;
    who->left = true;
    ex_set(&who->gate);
}

static void leave(int mode)
{
    int rc;
    while ((rc = np_fdmutex_unlock(&mutex, mode)) == NP_BUSY) {
        ex_lock(&queue_lock, &lock_site);
        bool handed = queued[mode - 1] > 0;
        if (handed)
            let_in(pop(mode), true);
        else
            np_fdmutex_dequeued(&mutex, mode);
        ex_unlock(&queue_lock, &unlock_site);
        if (handed)
            return;
    }
    if (rc == NP_CLOSED) {
        if (given_back)
            ex_fail("the number is given back twice");
        given_back = true;
    }
}

static place *enter_queue(int mode, int *rc)
{
    place *mine = &places[mode - 1][ex_self];

    ex_lock(&queue_lock, &lock_site);
    *rc = np_fdmutex_lock_or_queue(&mutex, mode);
    if (*rc == NP_PARKED)
        queue[mode - 1][queued[mode - 1]++] = mine;
    ex_unlock(&queue_lock, &unlock_site);
    return mine;
}

static int enter(int mode)
{
    int rc = np_fdmutex_lock(&mutex, mode);
    if (rc != NP_BUSY)
        return rc;
    place *mine = enter_queue(mode, &rc);
    if (rc != NP_PARKED)
        return rc;
    ex_await(&mine->gate);
    return mine->granted ? NP_OK : NP_CLOSED;
}

/* Its time is over before it is served, perhaps just then. */
static void gives_up(place *mine, int mode)
{
    ex_lock(&queue_lock, &lock_site);
    if (!mine->left) {
        mine->left = true;
        for (int i = 0; i < queued[mode - 1]; i++)
            if (queue[mode - 1][i] == mine) {
                queued[mode - 1]--;
                memmove(&queue[mode - 1][i], &queue[mode - 1][i + 1],
                        (size_t)(queued[mode - 1] - i) * sizeof mine);
                break;
            }
    }
    ex_unlock(&queue_lock, &unlock_site);
    if (mine->granted)
        leave(mode);
}

static void operate(int mode, int (*body)(void))
{
    int rc = enter(mode);
    if (rc == NP_OK) {
        EXPECT(inside[mode - 1] == 0);
        inside[mode - 1] = ex_self + 1;
        served[serving++] = ex_self;
        rc = body();
        EXPECT(inside[mode - 1] == ex_self + 1);
        inside[mode - 1] = 0;
        leave(mode);
    }
    end_with(rc);
}

/* --- operations ------------------------------------------------------------------------------- */

static int nothing(void)
{
    np_yield(); /* the others may come */
    EXPECT(!given_back);
    return NP_OK;
}

static int receive(void)
{
    for (;;) {
        EXPECT(!given_back);
        if (np_fdmutex_closed(&mutex))
            return NP_CLOSED;
        int rc = np_reset(d[0], NP_READ);
        if (rc != NP_OK)
            return rc;
        EXPECT(!given_back);
        if (k_recv(fd[0]))
            return NP_OK;
        rc = np_wait(d[0], NP_READ);
        if (rc != NP_OK)
            return rc;
    }
}

static void reads_nothing(void)
{
    operate(NP_READ, nothing);
}
static void writes_nothing(void)
{
    operate(NP_WRITE, nothing);
}
static void receives(void)
{
    operate(NP_READ, receive);
}

static void tries_and_gives_up(void)
{
    int rc = np_fdmutex_lock(&mutex, NP_READ);
    place *mine = NULL;
    if (rc == NP_BUSY)
        mine = enter_queue(NP_READ, &rc);
    if (rc == NP_PARKED)
        gives_up(mine, NP_READ);
    else if (rc == NP_OK)
        leave(NP_READ);
    end_with(NP_OK);
}

static void closes_for_all(void)
{
    if (np_fdmutex_close(&mutex) == NP_CLOSED)
        return;
    ex_lock(&queue_lock, &lock_site);
    np_close(d[0]);
    for (int mode = NP_READ; mode <= NP_WRITE; mode++) {
        while (queued[mode - 1])
            let_in(pop(mode), false);
        np_fdmutex_dequeued(&mutex, mode);
    }
    ex_unlock(&queue_lock, &unlock_site);
    leave(0);
}

static void sends_one(void)
{
    k_send(fd[0]);
}
static void sends_two(void)
{
    k_send(fd[0]);
    k_send(fd[0]);
}

/* --- what must hold --------------------------------------------------------------------------- */

static void unlocked(void)
{
    EXPECT(!given_back);
    EXPECT(np_fdmutex_lock(&mutex, NP_READ) == NP_OK);
    EXPECT(np_fdmutex_lock(&mutex, NP_WRITE) == NP_OK);
    leave(NP_READ);
    leave(NP_WRITE);
    EXPECT(mutex.state == 0);
    finish();
}

static void all_served(void)
{
    for (int i = 0; i < 3; i++)
        EXPECT(result[i] == NP_OK);
    EXPECT(serving == 3);
    unlocked();
}

static void two_served(void)
{
    EXPECT(result[0] == NP_OK && result[1] == NP_OK);
    unlocked();
}

static void others_served(void)
{
    EXPECT(result[0] == NP_OK && result[2] == NP_OK);
    unlocked();
}

static void closed_for_all(void)
{
    EXPECT(given_back);
    EXPECT(np_fdmutex_lock(&mutex, NP_READ) == NP_CLOSED);
    EXPECT(np_fdmutex_close(&mutex) == NP_CLOSED);
    for (int i = 0; i < 2; i++)
        EXPECT(result[i] == NP_OK || result[i] == NP_CLOSED);
    finish();
}

/* --- short reads ------------------------------------------------------------------------------ */

/* Who asked for more than came does not try again before the next event, unless an event has told
 * of something after which none may come. */
static void reads_to_the_end(void)
{
    for (bool drained = false;;) {
        int rc = drained ? np_wait(d[0], NP_READ) : np_reset(d[0], NP_READ);
        if (rc != NP_OK) {
            end_with(rc);
            return;
        }
        if (!k_recv(fd[0])) {
            if (k_ended(fd[0]))
                break;
            drained = true;
            continue;
        }
        drained = np_short_is_drained(d[0]);
    }
    end_with(NP_OK);
}

static void reads_to_the_end_then_frees_1(void)
{
    reads_to_the_end();
    k_send(fd[1]);
}

static void waits_for_1(void)
{
    end_with(np_wait(d[1], NP_READ));
}

static void sends_and_hangs_up(void)
{
    k_send(fd[0]);
    k_hangup(fd[0]);
}

static void one_plain(void)
{
    with(1);
}

static void two_plain(void)
{
    with(2);
}

static void first_ended(void)
{
    EXPECT(result[0] == NP_OK);
    finish();
}

static void both_ended(void)
{
    EXPECT(result[1] == NP_OK);
    first_ended();
}

/* --- threads that wait by themselves -----------------------------------------------------------
 */

/* As the host keeps them, but without its global lock: who waits makes its bell known and then
 * looks; who has something to tell stores it and then looks for a bell. */
static np_bell *bell;
static np_atomic32 known;
static np_atomic64 deadline;
static int64_t began;

static const ex_site field = {"host", 0, "a field of the host's"};

static void one_alone(void)
{
    one_in_use();
    EXPECT(np_bell_new(&bell) == NP_OK);
    known.value = 0;
    began = ex_clock();
    deadline.value = began + FAR;
}

static void ring_if_known(void)
{
    if (ex_load(&known, &field))
        np_bell_ring(bell);
}

static int wait_by_itself(void)
{
    int rc;
    ex_store(&known, 1, &field);
    do {
        if (np_fdmutex_closed(&mutex)) {
            rc = NP_CLOSED;
            break;
        }
        EXPECT(!given_back);
        rc = np_wait_alone(bell, fd[0], NP_READ, ex_load64(&deadline, &field));
    } while (rc == NP_AGAIN);
    ex_store(&known, 0, &field);
    return rc;
}

static void waits_by_itself(void)
{
    operate(NP_READ, wait_by_itself);
}

static void moves_deadline(void)
{
    ex_store64(&deadline, began + 100, &field);
    ring_if_known();
}

static void closes_and_rings(void)
{
    EXPECT(np_fdmutex_close(&mutex) == NP_OK);
    ring_if_known();
    leave(0);
}

static void signals_waiter(void)
{
    ex_signal("waiter");
}

static bool handled;

static void one_alone_with_a_handler(void)
{
    one_alone();
    np_look_for_signals();
    ex_has_handler("waiter");
    handled = false;
}

/* As Python does. */
static void waits_alone_and_handles(void)
{
    int rc;
    do {
        if (ex_look_for_signals())
            ex_set(&handled);
        rc = np_wait_alone(bell, fd[0], NP_READ, NP_NEVER);
    } while (rc == NP_INTERRUPTED);
    end_with(rc);
}

static void signals_one_who_looks(void)
{
    ex_signal_noted("waiter");
}

static void sends_once_handled(void)
{
    ex_await(&handled);
    k_send(fd[0]);
}

static void alone_ok(void)
{
    EXPECT(result[0] == NP_OK);
    np_bell_free(bell);
    finish();
}

static bool forked, waiting;

static void one_alone_before_a_fork(void)
{
    one_alone();
    forked = waiting = false;
}

static void waits_in_the_child(void)
{
    ex_set(&waiting);
    ex_await(&forked); /* the child starts it */
    waits_by_itself();
}

static void forks_and_moves_deadline(void)
{
    ex_await(&waiting);
    fork_child();
    ex_set(&forked);
    moves_deadline();
}

static void bell_gone(void)
{
    np_bell_free(bell);
    finish();
}

static void alone_in_time(void)
{
    EXPECT(result[0] == NP_TIMEOUT);
    EXPECT(ex_clock() >= began + 100 && ex_clock() < began + FAR);
    bell_gone();
}

static void alone_ready(void)
{
    EXPECT(result[0] == NP_OK || result[0] == NP_TIMEOUT);
    EXPECT(result[0] == NP_OK || ex_clock() >= began + 100);
    bell_gone();
}

static void alone_closed(void)
{
    EXPECT(result[0] == NP_CLOSED && given_back);
    bell_gone();
}

static void alone_interrupted(void)
{
    EXPECT(result[0] == NP_INTERRUPTED || result[0] == NP_OK);
    bell_gone();
}

const scenario user_scenarios[] = {
    {"users_are_served_one_at_a_time",
     "whoever leaves lets the next one in",
     one_in_use,
     {WHO("first", reads_nothing), WHO("second", reads_nothing), WHO("third", reads_nothing)},
     all_served,
     ONE_BACKEND},
    {"readers_do_not_keep_writers",
     "each mode has a lock of its own",
     one_in_use,
     {WHO("reader", reads_nothing), WHO("writer", writes_nothing), WHO("reader 2", reads_nothing)},
     all_served,
     ONE_BACKEND},
    {"who_gives_up_is_not_served",
     "or passes on what it was given",
     one_in_use,
     {WHO("first", reads_nothing), WHO("impatient", tries_and_gives_up),
      WHO("third", reads_nothing)},
     others_served,
     ONE_BACKEND},
    {"two_receivers_take_turns",
     "one waits for the other, and each gets a byte",
     one_in_use,
     {WHO("first", receives), WHO("second", receives), WHO("peer", sends_two)},
     two_served,
     0},
    {"close_ends_users_and_queue",
     "and the last to leave gives the number back",
     one_in_use,
     {WHO("first", receives), WHO("second", receives), WHO("closer", closes_for_all),
      WHO("peer", sends_one)},
     closed_for_all,
     0},
    {"close_twice_under_users",
     "the number is given back once, when both modes are free",
     one_in_use,
     {WHO("reader", reads_nothing), WHO("writer", writes_nothing), WHO("closer", closes_for_all),
      WHO("closer 2", closes_for_all)},
     closed_for_all,
     ONE_BACKEND},
    {"a_hangup_behind_a_byte",
     "is not slept over by who takes a short read for drained",
     one_plain,
     {WHO("reader", reads_to_the_end), WHO("peer", sends_and_hangs_up)},
     first_ended,
     0},
    {"a_hangup_that_another_collects",
     "is known to the reader before it is woken",
     two_plain,
     {WHO("reader", reads_to_the_end_then_frees_1), WHO("driver", waits_for_1),
      WHO("peer", sends_and_hangs_up)},
     both_ended,
     0},
    {"a_bell_tells_of_a_deadline",
     "set while its thread goes to sleep",
     one_alone,
     {WHO("waiter", waits_by_itself), WHO("mover", moves_deadline)},
     alone_in_time,
     ONE_BACKEND},
    {"a_bell_beside_an_event",
     "either, and neither is lost",
     one_alone,
     {WHO("waiter", waits_by_itself), WHO("mover", moves_deadline), WHO("peer", sends_one)},
     alone_ready,
     ONE_BACKEND},
    {"a_bell_tells_of_a_close",
     "and the number stays until its thread has left",
     one_alone,
     {WHO("waiter", waits_by_itself), WHO("closer", closes_and_rings)},
     alone_closed,
     ONE_BACKEND},
    {"a_signal_beside_a_bell",
     "ends the wait, and leaves the event",
     one_alone,
     {WHO("waiter", waits_by_itself), WHO("signal", signals_waiter), WHO("peer", sends_one)},
     alone_interrupted,
     ONE_BACKEND},
    {"a_signal_before_a_wait_alone_is_handled",
     "though it ends no sleep",
     one_alone_with_a_handler,
     {WHO("waiter", waits_alone_and_handles), WHO("signal", signals_one_who_looks),
      WHO("peer", sends_once_handled)},
     alone_ok,
     ONE_BACKEND},
    {"a_childs_bell_rings",
     "though it was made before the fork",
     one_alone_before_a_fork,
     {WHO("waiter", waits_in_the_child), WHO("forker", forks_and_moves_deadline)},
     alone_in_time,
     ONE_BACKEND},
    {.name = NULL},
};
