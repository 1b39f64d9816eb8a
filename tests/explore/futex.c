/* What the core's files for parking call: a futex, condition variables, and Windows' locks and
 * condition variables.  Each backend has the parking of a system that it is found on.
 */
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>

#include "explore.h"
#include "sim.h"
#include "windows.h"

enum { MS = 1000000 };

/* --- who sleeps ------------------------------------------------------------------------------- */

typedef struct sleeper {
    const void *on; /* NULL: awake */
    bool woken;
    bool hears; /* a signal ends the sleep */
} sleeper;
static sleeper sleepers[EX_ACTORS];
static int spurious; /* how many wake-ups may still come for no reason in this execution */

void ex_allow_spurious(int times)
{
    spurious = times;
}

/* From here on who wakes `on` finds us.  That a sleep ends for no reason is a choice like whose
 * turn it is; when it ends, too. */
static void enqueue(const void *on, bool hears)
{
    bool for_no_reason = spurious > 0 && ex_choose(2) == 1;
    spurious -= for_no_reason;
    sleepers[ex_self] = (sleeper){.on = on, .woken = for_no_reason, .hears = hears};
}

static bool may_wake(void *arg)
{
    const sleeper *s = arg;
    const actor *a = &ex_actors[s - sleepers];
    return s->woken || (s->hears && a->interrupted) || (a->due && a->due <= ex_clock());
}

/* due: INT64_MAX: never.  0, EINTR or ETIMEDOUT. */
static int sleep_until_woken(int64_t due, const ex_site *site)
{
    sleeper *s = &sleepers[ex_self];
    actor *self = &ex_actors[ex_self];
    op next = {.object = s->on, .write = true, .enabled = may_wake, .arg = s, .site = site};

    next.reads[0] = s->hears ? &self->interrupted : NULL;
    next.reads[1] = due == INT64_MAX ? NULL : &ex_clock_object;
    self->due = due == INT64_MAX ? 0 : due;
    ex_point(&next);
    self->due = 0;
    s->on = NULL;
    if (s->woken) {
        /* The signal has been noted by its handler, and the sleep is over anyway. */
        if (s->hears)
            self->interrupted = self->interrupted && !self->has_handler;
        ex_trace("woken");
        return 0;
    }
    bool signalled = s->hears && self->interrupted;
    ex_trace(signalled ? "interrupted by a signal" : "the time is over");
    if (signalled)
        self->interrupted = false;
    return signalled ? EINTR : ETIMEDOUT;
}

/* By address only: what is there may be gone. */
static void wake(const void *on, int most, const ex_site *site)
{
    int n = 0;
    op next = {.object = on, .write = true, .site = site};

    ex_point(&next);
    sim_fence();
    for (int i = 0; i < EX_ACTORS && n < most; i++)
        if (ex_actors[i].alive && sleepers[i].on == on && !sleepers[i].woken) {
            sleepers[i].woken = true;
            ex_trace("%s: wakes %s", site->text, ex_actors[i].name);
            n++;
        }
    if (n == 0)
        ex_trace("%s: nobody sleeps there", site->text);
}

/* --- futex ------------------------------------------------------------------------------------ */

/* A signal that comes before the call ends no sleep, unless it is one that the scenario keeps. */
static int futex_wait(const np_atomic32 *word, uint32_t expected, const struct timespec *ts)
{
    static const ex_site look = {"futex", 0, "FUTEX_WAIT: look"};
    static const ex_site sleep = {"futex", 0, "FUTEX_WAIT: asleep"};
    op first = {.object = word, .write = true, .site = &look};

    first.reads[0] = &ex_actors[ex_self].interrupted;
    ex_point(&first);
    sim_check_address(word);
    sim_fence();
    ex_trace("FUTEX_WAIT: the word is %u", word->value);
    if (word->value != expected)
        return EAGAIN;
    enqueue(word, true);
    int64_t due = ts ? ex_clock() + ts->tv_sec * INT64_C(1000000000) + ts->tv_nsec : INT64_MAX;
    return sleep_until_woken(due, &sleep);
}

long futex(va_list args)
{
    static const ex_site site = {"futex", 0, "FUTEX_WAKE"};
    const np_atomic32 *word = va_arg(args, np_atomic32 *);
    bool waits = (va_arg(args, int) & 1) == 0; /* FUTEX_WAIT is 0, FUTEX_WAKE 1, a flag on top */
    uint32_t value = va_arg(args, uint32_t);

    if (waits) {
        errno = futex_wait(word, value, va_arg(args, const struct timespec *));
        return errno ? -1 : 0;
    }
    wake(word, (int)value, &site);
    return 0;
}

/* --- POSIX' condition variables --------------------------------------------------------------- */

static void (*in_child)(void);

int k_pthread_once(pthread_once_t *once, void (*function)(void))
{
    if (*once == PTHREAD_ONCE_INIT) {
        *once = PTHREAD_ONCE_INIT + 1;
        function();
    }
    return 0;
}

/* fork.c has its own called by fork_child, in any case. */
int k_pthread_atfork(void (*before)(void), void (*parent)(void), void (*child)(void))
{
    (void)parent;
    if (!before)
        in_child = child;
    return 0;
}

int k_pthread_cond_init(pthread_cond_t *c, const void *attributes)
{
    (void)c;
    (void)attributes;
    return 0;
}

int k_pthread_condattr_init(pthread_condattr_t *a)
{
    (void)a;
    return 0;
}

int k_pthread_condattr_setclock(pthread_condattr_t *a, clockid_t clock)
{
    (void)a;
    (void)clock;
    return 0;
}

int k_pthread_condattr_destroy(pthread_condattr_t *a)
{
    (void)a;
    return 0;
}

/* To give up the lock and to fall asleep is one: who is listed first, and gives it up then, is
 * listed by the time that somebody else has it. */
static int wait_on(const void *condition, np_mutex *lock, int64_t due)
{
    static const ex_site lists = {"condition", 0, "wait: is listed"};
    static const ex_site sleep = {"condition", 0, "wait: asleep"};
    static const ex_site gives = {"condition", 0, "wait: gives up the lock"};
    static const ex_site takes = {"condition", 0, "wait: takes the lock"};
    op next = {.object = condition, .write = true, .site = &lists};

    ex_point(&next);
    enqueue(condition, false);
    ex_unlock(lock, &gives);
    int rc = sleep_until_woken(due, &sleep);
    ex_lock(lock, &takes);
    return rc;
}

int k_pthread_cond_wait(pthread_cond_t *c, pthread_mutex_t *m)
{
    return wait_on(c, (np_mutex *)(void *)m, INT64_MAX);
}

int k_pthread_cond_timedwait(pthread_cond_t *c, pthread_mutex_t *m, const struct timespec *until)
{
    return wait_on(c, (np_mutex *)(void *)m, until->tv_sec * INT64_C(1000000000) + until->tv_nsec);
}

int k_pthread_cond_broadcast(pthread_cond_t *c)
{
    static const ex_site site = {"condition", 0, "broadcast"};
    wake(c, EX_ACTORS, &site);
    return 0;
}

int k_pthread_cond_signal(pthread_cond_t *c)
{
    static const ex_site site = {"condition", 0, "signal"};
    wake(c, 1, &site);
    return 0;
}

/* --- Windows' --------------------------------------------------------------------------------- */

BOOL SleepConditionVariableSRW(CONDITION_VARIABLE *c, SRWLOCK *lock, DWORD milliseconds,
                               ULONG flags)
{
    (void)flags;
    int64_t due = milliseconds == INFINITE ? INT64_MAX : ex_clock() + (int64_t)milliseconds * MS;
    return wait_on(c, lock, due) == 0;
}

/* This one has to be there: it is the sleeper's own. */
void WakeConditionVariable(CONDITION_VARIABLE *c)
{
    static const ex_site site = {"condition", 0, "WakeConditionVariable"};
    sim_check_address(c);
    wake(c, 1, &site);
}

/* --- the core's ------------------------------------------------------------------------------- */

int linux_futex_wait(np_atomic32 *word, uint32_t expected, int64_t timeout);
void linux_futex_wake(np_atomic32 *word);
int cond_futex_wait(np_atomic32 *word, uint32_t expected, int64_t timeout);
void cond_futex_wake(np_atomic32 *word);
void cond_futex_reset(void);
int srw_futex_wait(np_atomic32 *word, uint32_t expected, int64_t timeout);
void srw_futex_wake(np_atomic32 *word);
void srw_futex_reset(void);

int np_futex_wait(np_atomic32 *word, uint32_t expected, int64_t timeout)
{
    if (strcmp(ex_backend, "kqueue") == 0)
        return cond_futex_wait(word, expected, timeout);
    if (strcmp(ex_backend, "iocp") == 0)
        return srw_futex_wait(word, expected, timeout);
    return linux_futex_wait(word, expected, timeout);
}

void np_futex_wake(np_atomic32 *word)
{
    if (strcmp(ex_backend, "kqueue") == 0)
        cond_futex_wake(word);
    else if (strcmp(ex_backend, "iocp") == 0)
        srw_futex_wake(word);
    else
        linux_futex_wake(word);
}

void futex_fork(void)
{
    if (in_child)
        in_child();
}

void futex_reset(void)
{
    memset(sleepers, 0, sizeof sleepers);
    spurious = 0;
    in_child = NULL;
    cond_futex_reset();
    srw_futex_reset();
}
