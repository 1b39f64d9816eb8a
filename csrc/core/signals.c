/* Signals that come just before a sleep.
 *
 * The handlers are the host's, in whatever language it has: the C handler only sets a flag, and the
 * host checks the flag when it runs next.  A signal that comes while the core sleeps ends the sleep
 * (EINTR), and the host checks.  One that comes after the host's last check, but before the sleep
 * has begun, ends nothing: it may come just before a wait, between an interruption and the sleep
 * that goes on, or while a thread dispatches others' events between two sleeps.  No check before a
 * sleep can close that gap, only move it; to learn of the signal takes its handler, which is not
 * ours, or a mask that is lifted as the sleep begins, which a futex has not, and which would send
 * the signal to another thread.
 *
 * So no sleep of the thread that gets the signals is without an end: when its slice is over it
 * returns to the host, which checks.
 *
 * - After whatever else made the thread run (the call itself, an event, a hand-over, a signal) the
 *   next slice ends FIRST_NS later, or earlier if one is running: that is how late a signal can be
 *   that has to do with it.  A steady stream of others' events does not put the end off.
 * - A slice in which nothing happened is followed by one twice as long.  There is a gap again
 *   before that one; but what falls into it is a coincidence, of some microseconds in all the time
 *   waited so far, and then it is late by about that time at most.  So a thread that is idle for an
 *   hour comes back 17 times, and for a day 22 times.
 * - A signal that another thread raised ends no sleep at all, and is as late as that.  So the time
 *   is that of one wait: the host says when it begins another.
 */
#include "core/internal.h"

enum { FIRST_NS = 20 * 1000 * 1000 };

static np_atomic32 host_has_handlers;

/* The last slice in which nothing happened: its length, and when it ended.  Of the one thread that
 * has slices, so there is nothing to synchronize. */
static np_atomic64 idle_length, idle_end;

void np_enable_signal_checks(void)
{
    np_store64(&idle_length, 0);
    np_store(&host_has_handlers, 1);
}

void np_begin_wait(void)
{
    if (np_load64(&idle_length) != 0 && np_is_signal_thread())
        np_store64(&idle_length, 0);
}

/* The host calls again at once when its check has found nothing; later, it comes with another
 * wait. */
static int64_t next_length(int64_t now)
{
    int64_t before = np_load64(&idle_length);

    if (before == 0)
        return FIRST_NS;
    np_store64(&idle_length, 0);
    return now - np_load64(&idle_end) < FIRST_NS && before < INT64_MAX / 4 ? 2 * before : FIRST_NS;
}

np_signal_slice np_signal_slice_begin(void)
{
    if (!np_load(&host_has_handlers) || !np_is_signal_thread())
        return (np_signal_slice){.end = INT64_MAX};
    int64_t now = np_now();
    int64_t length = next_length(now);
    return (np_signal_slice){.end = length < INT64_MAX - now ? now + length : INT64_MAX - 1,
                             .length = length};
}

bool np_signal_slice_over(np_signal_slice *s, bool timed_out)
{
    if (s->end == INT64_MAX)
        return false;
    int64_t now = np_now();
    if (now >= s->end) {
        np_store64(&idle_length, timed_out ? s->length : 0);
        np_store64(&idle_end, now);
        return true;
    }
    s->length = 0; /* something ended the sleep before its time */
    if (now + FIRST_NS < s->end)
        s->end = now + FIRST_NS;
    return false;
}
