/* Parking on a 32-bit word, on Windows: a record for each sleeper, in a table by address.
 *
 * WaitOnAddress would be shorter, but it can be woken by a change of its one word only, and a
 * Ctrl-C has to end the wait too (interrupt_win32.h).  A condition variable of the sleeper's own,
 * with the bucket's SRW lock, takes both and costs the same: underneath it is one wait on an
 * address.
 *
 * A waker changes the word, then takes the bucket's lock; a sleeper checks the word with that lock
 * held: so no wake-up falls between the check and the sleep.
 */
#include <errno.h>

#include "sys/ms.h"
#include "sys/sync.h"
#include "win32/interrupt_win32.h"

enum { BUCKETS = 64 };

typedef struct sleeper {
    struct sleeper *next;
    const np_atomic32 *word;
    CONDITION_VARIABLE changed;
    bool interrupted;
} sleeper;

static struct {
    SRWLOCK lock;
    sleeper *first;
} buckets[BUCKETS]; /* zero is SRWLOCK_INIT */

static unsigned bucket_of(const np_atomic32 *word)
{
    return (unsigned)((uint32_t)((uintptr_t)word >> 4) * UINT32_C(2654435761) >> 16) % BUCKETS;
}

static void unlink_sleeper(sleeper **first, const sleeper *me)
{
    while (*first != me)
        first = &(*first)->next;
    *first = me->next;
}

int np_futex_wait(np_atomic32 *word, uint32_t expected, int64_t timeout)
{
    unsigned i = bucket_of(word);
    sleeper me = {.word = word, .changed = CONDITION_VARIABLE_INIT, .interrupted = false};

    AcquireSRWLockExclusive(&buckets[i].lock);
    me.next = buckets[i].first;
    buckets[i].first = &me;
    while (np_load(word) == expected && !me.interrupted) {
        DWORD limit = (DWORD)np_ms(timeout);
        if (np_interrupt_recent() && limit > NP_INTERRUPT_SLICE_MS)
            limit = NP_INTERRUPT_SLICE_MS;
        if (!SleepConditionVariableSRW(&me.changed, &buckets[i].lock, limit, 0))
            me.interrupted = true; /* a slice is over: let the host check */
    }
    unlink_sleeper(&buckets[i].first, &me);
    ReleaseSRWLockExclusive(&buckets[i].lock);
    return np_load(word) == expected ? -EINTR : 0;
}

void np_futex_wake(np_atomic32 *word)
{
    unsigned i = bucket_of(word);

    AcquireSRWLockExclusive(&buckets[i].lock);
    for (sleeper *s = buckets[i].first; s; s = s->next)
        if (s->word == word)
            WakeConditionVariable(&s->changed);
    ReleaseSRWLockExclusive(&buckets[i].lock);
}

void np_futex_interrupt(void)
{
    for (unsigned i = 0; i < BUCKETS; i++) {
        AcquireSRWLockExclusive(&buckets[i].lock);
        for (sleeper *s = buckets[i].first; s; s = s->next) {
            s->interrupted = true;
            WakeConditionVariable(&s->changed);
        }
        ReleaseSRWLockExclusive(&buckets[i].lock);
    }
}
