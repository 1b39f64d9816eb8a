/* Calls on semaphores and timers. */
#include <string.h>

#include "agree.h"

enum { SEMAS = 2 };

static np_sema semas[SEMAS];
static ref_sema ref_semas[SEMAS];
static np_waiter waiters[REF_WAITERS];

/* Of the past, of never, and around now. */
static int64_t instant_of(int value)
{
    static const int64_t fixed[] = {NP_NEVER, NP_NEVER, NP_NEVER - 1, 0, -1, INT64_MIN};
    int n = (int)(sizeof fixed / sizeof *fixed);
    value %= 32;
    return value < n ? fixed[value] : ref_clock + value - n;
}

static void forget_parking(int i)
{
    ref.waiters[i] = (ref_waiter){.place = REF_NOWHERE};
    memset(&waiters[i], 0xA5, sizeof waiters[i]); /* the core keeps no hold of it */
}

static void park(int i, int k, int value)
{
    np_token token = ++last_token;
    int64_t until = instant_of(value);

    forget_parking(i);
    AGREE(np_sema_park(&semas[k], &waiters[i], poller, token, until, "fuzz"),
          ref_sema_park(&ref, &ref.waiters[i], &ref_semas[k], token, until));
}

static void start(int i, int value)
{
    np_token token = ++last_token;
    int64_t when = instant_of(value);

    forget_parking(i);
    AGREE(np_timer_start(&waiters[i], poller, token, when, "fuzz"),
          ref_timer_start(&ref, &ref.waiters[i], token, when));
}

static void cancel(int i)
{
    int ours = -1, theirs = -1;
    AGREE(np_waiter_cancel(&waiters[i], &ours), ref_waiter_cancel(&ref, &ref.waiters[i], &theirs));
    AGREE(ours, theirs);
}

/* Where it would wait, it queues for some nanoseconds; but the clock, which stands, says that these
 * are not over. */
static void acquire(int k, int value)
{
    uint64_t place = 0;
    int64_t until = instant_of(value);
    int expected = ref_sema_acquire(&ref_semas[k], until);

    if (expected == NP_PARKED)
        until = ref_clock + 50;
    int rc = np_sema_acquire(&semas[k], until, "fuzz", &place);
    AGREE(rc, expected == NP_PARKED ? NP_INTERRUPTED : expected);
    AGREE(place != 0, rc == NP_INTERRUPTED);
}

static void open_reset_or_shut(int k, int value)
{
    switch (value % 8) {
    case 0:
        np_sema_shut(&semas[k]);
        ref_sema_shut(&ref, &ref_semas[k]);
        break;
    case 1:
    case 3:
    case 5:
    case 7:
        np_sema_open(&semas[k]);
        ref_sema_open(&ref, &ref_semas[k]);
        break;
    default:
        np_sema_reset(&semas[k]);
        ref_semas[k].open = false;
    }
}

/* Made anew, if nothing waits for it. */
static void init(int k, int value)
{
    for (int i = 0; i < REF_WAITERS; i++)
        if (ref.waiters[i].place != REF_NOWHERE && ref.waiters[i].sema == &ref_semas[k])
            return;
    np_sema_init(&semas[k], (uint32_t)value % 3);
    ref_semas[k] = (ref_sema){.count = (uint32_t)value % 3};
}

static void on_waiter(int call, int i, int k, int value)
{
    ref_waiter *w = &ref.waiters[i];

    switch (call) {
    case 0:
        doing = "sema_park";
        if (w->place == REF_NOWHERE)
            park(i, k, value);
        break;
    case 1:
        doing = "timer_start";
        if (w->place == REF_NOWHERE)
            start(i, value);
        break;
    case 2:
        doing = "timer_move";
        if (w->token)
            AGREE(np_timer_move(&waiters[i], instant_of(value)),
                  ref_timer_move(w, instant_of(value)));
        break;
    case 3:
        doing = "waiter_resume";
        if (w->place == REF_PARKED || w->place == REF_GIVEN)
            AGREE(np_waiter_resume(&waiters[i]), ref_waiter_resume(w));
        break;
    case 4:
        doing = "waiter_cancel";
        if (w->token)
            cancel(i);
        break;
    }
}

void on_sema(int call, int which, int value)
{
    int k = which % SEMAS;

    switch (call) {
    case 5:
        doing = "sema_release";
        np_sema_release(&semas[k], (uint32_t)value % 4);
        ref_sema_release(&ref, &ref_semas[k], (uint32_t)value % 4);
        break;
    case 6:
        doing = "sema_try, or sema_take";
        if (value % 2)
            AGREE(np_sema_try(&semas[k]), ref_sema_try(&ref_semas[k]));
        else
            AGREE(np_sema_take(&semas[k]), ref_sema_take(&ref_semas[k]));
        break;
    case 7:
        doing = "sema_acquire";
        acquire(k, value);
        break;
    case 8:
        doing = "sema_open, sema_reset, or sema_shut";
        open_reset_or_shut(k, value);
        break;
    case 9:
        doing = "sema_init";
        init(k, value);
        break;
    default:
        on_waiter(call, which / SEMAS % REF_WAITERS, k, value);
    }
}

void compare_semas(void)
{
    for (int k = 0; k < SEMAS; k++) {
        AGREE(np_sema_count(&semas[k]), ref_semas[k].count);
        AGREE(np_sema_is_open(&semas[k]), ref_semas[k].open);
        AGREE(np_sema_is_shut(&semas[k]), ref_semas[k].shut);
    }
}

void begin_semas(void)
{
    memset(semas, 0, sizeof semas);
    memset(ref_semas, 0, sizeof ref_semas);
    for (int i = 0; i < REF_WAITERS; i++)
        forget_parking(i);
}

void end_semas(void)
{
    for (int i = 0; i < REF_WAITERS; i++)
        if (ref.waiters[i].place != REF_NOWHERE)
            cancel(i);
}
