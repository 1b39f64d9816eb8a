/* Signals that come while nobody looks.
 *
 * The handlers are the host's, in whatever language it has: in the handler proper it only notes
 * that a signal came, and looks for the note when it runs the next time.  A signal that comes while
 * the core sleeps ends the sleep (EINTR), and the host looks.  One that comes after the host has
 * looked last, but before the sleep has begun, ends nothing: it may come just before a wait,
 * between an interruption and the sleep that goes on, or while a thread hands out others' events
 * between two sleeps.  No look before a sleep can close that gap, only move it; to be told of the
 * signal takes its handler, which is not ours, or a mask that is lifted as the sleep begins, which
 * a futex has not, and which would give the signal to another thread.
 *
 * So no sleep of the thread to which signals come is without an end: when its slice is over it goes
 * back to the host, which looks.
 *
 * - After whatever else made the thread run (the call itself, an event, a hand-over, a signal) the
 *   next slice ends FIRST_NS later, or earlier if one is running: that is how late a signal can be
 *   that has to do with it.  A steady stream of others' events does not put the end off.
 * - A slice in which nothing happened is followed by one twice as long.  There is a gap again
 *   before that one; but what falls into it is a coincidence, of some microseconds in all the time
 *   waited so far, and then it is late by about that time at most.  So a thread that is idle for an
 *   hour comes back 17 times, and for a day 22 times.
 */
#include "internal.h"

enum { FIRST_NS = 20 * 1000 * 1000 };

static np_atomic32 host_has_handlers;

/* The last slice in which nothing happened: its length, and when it ended.  Of the one thread that
 * has slices, so nobody else is to be waited for. */
static np_atomic64 quiet_length, quiet_end;

void np_look_for_signals(void)
{
    np_store64(&quiet_length, 0);
    np_store(&host_has_handlers, 1);
}

/* The host comes again at once when its look has found nothing; later, it comes with another wait.
 * (With another wait at once, if the last one ended while it looked: for the slice to be too long
 * then does harm only if the gap before it is hit, too.) */
static int64_t next_length(int64_t now)
{
    int64_t before = np_load64(&quiet_length);

    if (before == 0)
        return FIRST_NS;
    np_store64(&quiet_length, 0);
    return now - np_load64(&quiet_end) < FIRST_NS && before < INT64_MAX / 4 ? 2 * before : FIRST_NS;
}

np_slice np_slice_begin(void)
{
    if (!np_load(&host_has_handlers) || !np_gets_signals())
        return (np_slice){.end = INT64_MAX};
    int64_t now = np_now();
    int64_t length = next_length(now);
    return (np_slice){.end = length < INT64_MAX - now ? now + length : INT64_MAX - 1,
                      .length = length};
}

bool np_slice_over(np_slice *s, bool quiet)
{
    if (s->end == INT64_MAX)
        return false;
    int64_t now = np_now();
    if (now >= s->end) {
        np_store64(&quiet_length, quiet ? s->length : 0);
        np_store64(&quiet_end, now);
        return true;
    }
    s->length = 0; /* something ended the sleep before its time */
    if (now + FIRST_NS < s->end)
        s->end = now + FIRST_NS;
    return false;
}
