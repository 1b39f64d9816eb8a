/* Scenarios of the completion way (csrc/netpoll_iocp.h), and of what else only Windows has.
 *
 * The kernel in miniature writes to an operation's memory when it completes; the memory comes from
 * the explorer's heap and is given back as soon as np_iocp_finish has returned, so a write that
 * comes later is found, and so is memory given back under an operation.
 */
#include <errno.h>
#include <string.h>

#include "core/internal.h"
#include "iocp.h"
#include "kernel.h"
#include "netpoll_iocp.h"
#include "sim.h"
#include "stage.h"

static const int64_t MS = 1000000;

static int64_t began, ended;
static int received, sent, interrupted;
static bool token_out;

static void some(int n)
{
    with(n);
    began = ex_clock();
    received = sent = interrupted = 0;
    token_out = false;
}

static void one(void)
{
    some(1);
}
static void two(void)
{
    some(2);
}

static void one_with_deadline(void)
{
    some(1);
    EXPECT(np_set_deadline(d[0], 100, NP_READ) == NP_OK);
}

/* --- what actors do ----------------------------------------------------------------------------
 */

typedef struct transfer {
    np_iocp_op op;
    uint32_t bytes;
    char buffer[8];
} transfer;

static int run(transfer *t, int i)
{
    int rc = np_iocp_begin(&t->op, d[i], NP_READ);
    if (rc != NP_OK)
        return rc;
    int error = k_wsa_recv(fd[i], t->buffer, sizeof t->buffer, &t->op.overlapped);
    while ((rc = np_iocp_finish(&t->op, error, &t->bytes)) == NP_INTERRUPTED) {
        interrupted++;
        error = 0;
    }
    EXPECT(t->bytes == 0 || (rc == NP_OK && t->buffer[0] == 'x'));
    received += (int)t->bytes;
    return rc;
}

static int receive(int i)
{
    transfer *t = sim_calloc(1, sizeof *t);
    int rc = run(t, i);
    sim_free(t);
    return rc;
}

static void receives_0(void)
{
    end_with(receive(0));
    ended = ex_clock();
}

/* The same in a stack frame, which is gone afterwards. */
static int receive_on_the_stack(void)
{
    transfer t = {.bytes = 0};
    return run(&t, 0);
}

static void receives_0_on_the_stack(void)
{
    end_with(receive_on_the_stack());
}

static void receives_0_whenever(void)
{
    int rc = receive(0);
    if (rc == NP_TIMEOUT) {
        EXPECT(ex_clock() >= began + 100);
        EXPECT(np_set_deadline(d[0], NP_NEVER, NP_READ) == NP_OK);
        rc = receive(0);
    }
    end_with(rc);
}

static void waits_then_receives_0(void)
{
    int rc = np_wait(d[0], NP_READ);
    EXPECT(rc == NP_OK || rc == NP_TIMEOUT);
    EXPECT(np_set_deadline(d[0], NP_NEVER, NP_READ) == NP_OK);
    receives_0();
}

/* Whoever is done lets the other in. */
static void receives_and_passes_on(void)
{
    receives_0();
    if (result[ex_self] == NP_OK)
        k_send(fd[0]);
}

/* What WSARecv says at once, and no packet will come. */
static void fails_to_start(void)
{
    transfer *t = sim_calloc(1, sizeof *t);
    int rc = np_iocp_begin(&t->op, d[0], NP_READ);
    if (rc == NP_OK)
        rc = np_iocp_finish(&t->op, WSAECONNRESET, &t->bytes);
    EXPECT(rc == -ECONNRESET || rc == NP_CLOSED || rc == NP_BUSY);
    sim_free(t);
    end_with(rc);
}

static void sends_0(void)
{
    k_send(fd[0]);
    sent++;
}
static void sends_twice_0(void)
{
    sends_0();
    sends_0();
}
static void sends_0_1(void)
{
    sends_0();
    k_send(fd[1]);
}
static void sends_and_makes_room(void)
{
    sends_0();
    k_writable(fd[0]);
}
static void advances_100(void)
{
    ex_advance(100);
}
static void unblocks_0(void)
{
    np_unblock(d[0]);
}
static void closes_0(void)
{
    np_close(d[0]);
}
static void closes_poller(void)
{
    np_poller_close(p);
}
static void waits_0(void)
{
    end_with(np_wait(d[0], NP_READ));
    ended = ex_clock();
}
static void waits_1(void)
{
    end_with(np_wait(d[1], NP_READ));
}
static void waits_to_write_0(void)
{
    end_with(np_wait(d[0], NP_WRITE));
}
static void wakes(void)
{
    np_wake(p);
}
static void closes_0_and_wakes(void)
{
    np_close(d[0]);
    np_wake(p);
}
static void console(void)
{
    k_ctrl_c();
}

static int poll_for(int64_t timeout)
{
    np_token out[4];
    int n = 0, rc = np_poll(p, timeout, out, 4, &n);
    ex_polled = true;
    token_out = token_out || n > 0;
    return rc;
}

static void polls_once(void)
{
    end_with(poll_for(-1));
}

static void polls_until_closed(void)
{
    int rc;
    while ((rc = poll_for(-1)) == NP_OK)
        np_yield();
    end_with(rc);
}

/* --- what must hold --------------------------------------------------------------------------- */

/* Each byte was received or is still there. */
static void nothing_lost(void)
{
    while (k_recv(fd[0]))
        received++;
    EXPECT(received == sent);
    finish();
}

static void first_ok(void)
{
    EXPECT(result[0] == NP_OK);
    nothing_lost();
}

static void two_ok(void)
{
    EXPECT(result[1] == NP_OK);
    first_ok();
}

static void first_closed(void)
{
    EXPECT(result[0] == NP_CLOSED);
    nothing_lost();
}

static void ok_or_closed(void)
{
    EXPECT(result[0] == NP_OK || result[0] == NP_CLOSED);
    EXPECT((result[0] == NP_OK) == (received > 0));
    EXPECT(receive(0) == NP_CLOSED);
    nothing_lost();
}

static void ok_or_timeout(void)
{
    EXPECT(result[0] == NP_OK || (result[0] == NP_TIMEOUT && ended >= began + 100));
    EXPECT((result[0] == NP_OK) == (received > 0));
    nothing_lost();
}

static void timeout_or_closed(void)
{
    EXPECT(result[0] == NP_CLOSED || (result[0] == NP_TIMEOUT && ended >= began + 100));
    nothing_lost();
}

static void all_closed(void)
{
    EXPECT(result[1] == NP_CLOSED);
    first_closed();
}

static void closed_and_woken(void)
{
    EXPECT(result[1] == NP_OK);
    first_closed();
}

static void one_busy_at_most(void)
{
    EXPECT(result[0] == NP_OK || result[1] == NP_OK);
    for (int i = 0; i < 2; i++)
        EXPECT(result[i] == NP_OK || result[i] == NP_BUSY);
    finish();
}

static void second_ok(void)
{
    EXPECT(result[1] == NP_OK || result[1] == NP_BUSY);
    if (result[1] == NP_BUSY)
        EXPECT(receive(0) == NP_OK);
    nothing_lost();
}

static void ended_or_busy(void)
{
    for (int i = 0; i < 2; i++)
        EXPECT(result[i] == NP_OK || result[i] == NP_BUSY);
    nothing_lost();
}

static void waiter_ok(void)
{
    EXPECT(result[1] == NP_OK);
    nothing_lost();
}

static void both_interrupted(void)
{
    for (int i = 0; i < 2; i++)
        EXPECT(result[i] == NP_INTERRUPTED);
    finish();
}

static void first_interrupted(void)
{
    EXPECT(result[0] == NP_INTERRUPTED);
    EXPECT(result[1] == NP_INTERRUPTED || result[1] == NP_OK); /* a poll may return early */
    finish();
}

/* Both have come back. */
static void event_and_interrupt(void)
{
    for (int i = 0; i < 2; i++)
        EXPECT(result[i] == NP_OK || result[i] == NP_INTERRUPTED);
    if (result[0] == NP_INTERRUPTED)
        EXPECT(np_wait(d[0], NP_READ) == NP_OK);
    finish();
}

/* --- numbers, orphans, time --------------------------------------------------------------------
 */

/* Of a descriptor that is closed the packet of a poll is still in the port; slot and number have
 * another owner, who waits. */
static void one_beside_a_stale_packet(void)
{
    np_desc *slot;
    np_token token;

    some(1);
    slot = d[0];
    EXPECT(np_park(d[0], NP_READ, 0, 0) == NP_PARKED);
    EXPECT(np_cancel(d[0], NP_READ, &token) == 1);
    k_send(fd[0]);
    np_close(d[0]);
    np_desc_unref(d[0]);
    int number = fd[0];
    k_user_close(fd[0]);
    fd[0] = k_socket();
    EXPECT(np_open(p, fd[0], &d[0]) == NP_OK);
    EXPECT(fd[0] == number && d[0] == slot);
}

static void closes_0_and_waits_on_the_next(void)
{
    np_close(d[0]);
    np_desc_unref(d[0]);
    k_user_close(fd[0]);
    fd[0] = k_socket();
    EXPECT(np_open(p, fd[0], &d[0]) == NP_OK);
    k_send(fd[0]);
    EXPECT(np_wait(d[0], NP_READ) == NP_OK);
    EXPECT(k_recv(fd[0]));
    np_wake(p);
}

static void waits_for_its_own(void)
{
    end_with(np_wait(d[0], NP_READ));
    EXPECT(k_recv(fd[0]));
    received++;
}

static void just_finish(void)
{
    finish();
}

static void open_and_close(void)
{
    int number = k_socket();
    np_desc *mine = NULL;
    EXPECT(np_open(p, number, &mine) == NP_OK);
    np_close(mine);
    np_desc_unref(mine);
    k_user_close(number);
}

/* One more, and they are cleared away (MAX_ORPHANS). */
static void one_beside_many_orphans(void)
{
    some(1);
    for (int i = 0; i < 63; i++)
        open_and_close();
}

static void one_with_deadline_in_100_ms(void)
{
    some(1);
    EXPECT(np_set_deadline(d[0], 100 * MS, NP_READ) == NP_OK);
}

static void polls_for_10_ms(void)
{
    int64_t before = ex_clock();
    end_with(poll_for(10 * MS));
    EXPECT(ex_clock() >= before + 10 * MS && ex_clock() <= before + 10 * MS + LATE);
}

/* One thread at a time inside, so the high-resolution timer is free: its steps, and no ticks. */
static void waits_finely(void)
{
    for (int i = 0; i < 2; i++) {
        int64_t before = ex_clock();
        EXPECT(np_set_deadline(d[0], 100, NP_READ) == NP_OK);
        EXPECT(np_wait(d[0], NP_READ) == NP_TIMEOUT);
        EXPECT(ex_clock() >= before + 100 && ex_clock() <= before + 200);
    }
    end_with(NP_OK);
}

static void in_100_ms(void)
{
    EXPECT(result[0] == NP_TIMEOUT);
    EXPECT(ended >= began + 100 * MS && ended <= began + 100 * MS + LATE);
    finish();
}

/* --- all of them -------------------------------------------------------------------------------
 */

const scenario overlapped_scenarios[] = {
    {"a_receive_ends_with_its_data",
     "which the kernel has put into its buffer",
     one,
     {WHO("receiver", receives_0), WHO("peer", sends_0)},
     first_ok,
     IOCP_ONLY},
    {"a_receive_on_the_stack",
     "the frame is gone when the call has returned",
     one_with_deadline,
     {WHO("receiver", receives_0_on_the_stack), WHO("peer", sends_0), WHO("evicter", unblocks_0)},
     nothing_lost,
     IOCP_ONLY},
    {"a_receive_against_a_deadline",
     "either, and the byte is not lost",
     one_with_deadline,
     {WHO("receiver", receives_0), WHO("peer", sends_0), WHO("clock", advances_100)},
     ok_or_timeout,
     IOCP_ONLY},
    {"a_receive_after_a_cancelled_one",
     "is not ended by that one's packet",
     one_with_deadline,
     {WHO("receiver", receives_0_whenever), WHO("peer", sends_0), WHO("clock", advances_100)},
     first_ok,
     IOCP_ONLY},
    {"unblock_ends_a_receive",
     "the kernel has let go of the buffer",
     one,
     {WHO("receiver", receives_0), WHO("evicter", unblocks_0)},
     first_closed,
     IOCP_ONLY},
    {"close_ends_a_receive",
     "though no event reaches the descriptor any more",
     one,
     {WHO("receiver", receives_0), WHO("closer", closes_0)},
     first_closed,
     IOCP_ONLY},
    {"a_receive_against_unblock",
     "it completes while it is cancelled: either",
     one,
     {WHO("receiver", receives_0), WHO("peer", sends_0), WHO("evicter", unblocks_0)},
     ok_or_closed,
     IOCP_ONLY},
    {"a_receive_against_close",
     "it completes while it is cancelled: either",
     one,
     {WHO("receiver", receives_0), WHO("peer", sends_0), WHO("closer", closes_0)},
     ok_or_closed,
     IOCP_ONLY},
    {"a_cancelled_receive_is_closed",
     "while it waits for the kernel (np_wait_canceled)",
     one_with_deadline,
     {WHO("receiver", receives_0), WHO("clock", advances_100), WHO("closer", closes_0)},
     timeout_or_closed,
     IOCP_ONLY},
    {"a_closed_receive_takes_no_wake",
     "that is a poll's, while it waits for the kernel",
     one,
     {WHO("receiver", receives_0), WHO("poll", polls_once), WHO("waker", closes_0_and_wakes)},
     closed_and_woken,
     IOCP_ONLY},
    {"another_collects_the_packet",
     "or the event of the other",
     two,
     {WHO("receiver", receives_0), WHO("thread", waits_1), WHO("peer", sends_0_1)},
     two_ok,
     IOCP_ONLY},
    {"a_receive_beside_a_writer",
     "one mode by completion, one by readiness",
     one,
     {WHO("receiver", receives_0), WHO("writer", waits_to_write_0),
      WHO("peer", sends_and_makes_room)},
     two_ok,
     IOCP_ONLY},
    {"a_second_receive_is_refused",
     "the first is unharmed",
     one,
     {WHO("first", receives_and_passes_on), WHO("second", receives_and_passes_on),
      WHO("peer", sends_0)},
     one_busy_at_most,
     IOCP_ONLY},
    {"a_receive_that_does_not_start",
     "leaves the mode to others",
     one,
     {WHO("failing", fails_to_start), WHO("receiver", receives_0), WHO("peer", sends_twice_0)},
     second_ok,
     IOCP_ONLY},
    {"a_receive_after_a_wait",
     "which has left a poll in flight",
     one_with_deadline,
     {WHO("reader", waits_then_receives_0), WHO("peer", sends_0), WHO("clock", advances_100)},
     first_ok,
     IOCP_ONLY},
    {"a_wait_beside_a_receive",
     "for the same mode: both end, or one is refused",
     one,
     {WHO("receiver", receives_0), WHO("waiter", waits_0), WHO("peer", sends_twice_0)},
     ended_or_busy,
     IOCP_ONLY},
    {"a_wait_beside_one_that_does_not_start",
     "is not left alone with nothing armed",
     one,
     {WHO("failing", fails_to_start), WHO("waiter", waits_0), WHO("peer", sends_0)},
     waiter_ok,
     IOCP_ONLY},
    {"a_poller_closed_under_a_receive",
     "the port stays until the packet is out",
     one,
     {WHO("receiver", receives_0), WHO("peer", sends_0), WHO("closer", closes_poller)},
     ok_or_closed,
     IOCP_ONLY},
    {"a_poller_closed_under_receive_and_poll",
     "who takes whose packets harms nobody",
     one,
     {WHO("receiver", receives_0), WHO("poll", polls_until_closed), WHO("closer", closes_poller)},
     all_closed,
     IOCP_ONLY},
    {"a_poller_closed_before_it_starts",
     "the operation gives back what it held",
     one,
     {WHO("failing", fails_to_start), WHO("closer", closes_poller)},
     just_finish,
     IOCP_ONLY},

    {"a_stale_packet_reaches_nobody",
     "slot and number have another owner",
     one_beside_a_stale_packet,
     {WHO("waiter", waits_for_its_own), WHO("peer", sends_0)},
     first_ok,
     IOCP_ONLY},
    {"polls_in_flight_at_a_close",
     "end unseen by the number's next owner",
     two,
     {WHO("recycler", closes_0_and_waits_on_the_next), WHO("driver", polls_once)},
     just_finish,
     IOCP_ONLY},
    {"orphans_are_cleared_away",
     "and nobody's packet with them",
     one_beside_many_orphans,
     {WHO("waiter", waits_0), WHO("closer", open_and_close), WHO("peer", sends_0)},
     first_ok,
     IOCP_ONLY},
    {"orphans_are_cleared_away_under_a_poll",
     "and no wake-up with them",
     one_beside_many_orphans,
     {WHO("poll", polls_once), WHO("closer", open_and_close), WHO("waker", wakes)},
     first_ok,
     IOCP_ONLY},
    {"a_far_deadline_is_met",
     "by the coarse clock first, then by the high-resolution timer",
     one_with_deadline_in_100_ms,
     {WHO("waiter", waits_0), WHO("poll", polls_for_10_ms)},
     in_100_ms,
     IOCP_ONLY},
    {"fine_deadlines_in_turn",
     "each has the timer, whoever comes in between",
     one,
     {WHO("waiter", waits_finely), WHO("waker", wakes)},
     first_ok,
     IOCP_ONLY},

    {"ctrl_c_ends_two_waits",
     "one leads, one follows",
     two,
     {WHO("first", waits_0), WHO("second", waits_1), WHO("console", console)},
     both_interrupted,
     IOCP_ONLY},
    {"ctrl_c_ends_a_wait_and_a_poll",
     "both are inside",
     one,
     {WHO("thread", waits_0), WHO("poll", polls_once), WHO("console", console)},
     first_interrupted,
     IOCP_ONLY},
    {"ctrl_c_beside_an_event",
     "neither hides the other",
     one,
     {WHO("thread", waits_0), WHO("poll", polls_once), WHO("console", console),
      WHO("peer", sends_0)},
     event_and_interrupt,
     IOCP_ONLY},
    {"ctrl_c_under_a_receive",
     "it goes on",
     one,
     {WHO("receiver", receives_0), WHO("console", console), WHO("peer", sends_0)},
     first_ok,
     IOCP_ONLY},
    {.name = NULL},
};
