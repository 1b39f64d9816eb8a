/* The lock of a file descriptor's users: Go's fdMutex, in one word.
 *
 *   CLOSED       close was called: nobody gets in any more
 *   LOCKED(mode) somebody has the mode; operations of one mode are served one at a time
 *   QUEUED(mode) the host keeps a queue of those who want the mode
 *   the rest     references: one for each operation, and for the close in progress
 *
 * The number of the descriptor may be given back by whoever drops the last reference after CLOSED
 * was set, and by nobody else: so it cannot become another file's under a running operation.
 *
 * Those who find the mode locked wait in a queue of the host's, which knows threads and greenlets.
 * The queue has a lock of its own; QUEUED is set and cleared under that only.  While QUEUED is set,
 * unlock does not unlock: the mode, and the reference with it, is handed over to the first in the
 * queue.  So they are served in order, and nobody who comes later can overtake them.
 */
#include "netpoll.h"
#include "sync.h"

enum { CLOSED = 1, REFERENCE = 32 };
#define LOCKED(mode) ((uint32_t)(mode) << 1)
#define QUEUED(mode) ((uint32_t)(mode) << 3)

_Static_assert(sizeof(np_atomic32) == sizeof(uint32_t), "the word is declared as a plain integer");

static np_atomic32 *word_of(np_fdmutex *m)
{
    return (np_atomic32 *)(void *)&m->state;
}

int np_fdmutex_lock(np_fdmutex *m, int mode)
{
    np_atomic32 *word = word_of(m);
    uint32_t old;

    do {
        old = np_load(word);
        if (old & CLOSED)
            return NP_CLOSED;
        if (old & LOCKED(mode))
            return NP_BUSY;
    } while (!np_cas(word, old, (old | LOCKED(mode)) + REFERENCE));
    return NP_OK;
}

int np_fdmutex_lock_or_queue(np_fdmutex *m, int mode)
{
    np_atomic32 *word = word_of(m);

    for (;;) {
        int rc = np_fdmutex_lock(m, mode);
        if (rc != NP_BUSY)
            return rc;
        uint32_t old = np_load(word);
        if (old & LOCKED(mode) && !(old & CLOSED) && np_cas(word, old, old | QUEUED(mode)))
            return NP_PARKED;
    }
}

int np_fdmutex_unlock(np_fdmutex *m, int mode)
{
    np_atomic32 *word = word_of(m);
    uint32_t old, next;

    do {
        old = np_load(word);
        if (old & QUEUED(mode))
            return NP_BUSY;
        next = (old & ~LOCKED(mode)) - REFERENCE;
    } while (!np_cas(word, old, next));
    return next & CLOSED && next < REFERENCE ? NP_CLOSED : NP_OK;
}

void np_fdmutex_dequeued(np_fdmutex *m, int mode)
{
    np_atomic32 *word = word_of(m);
    uint32_t old;

    do
        old = np_load(word);
    while (!np_cas(word, old, old & ~QUEUED(mode)));
}

int np_fdmutex_close(np_fdmutex *m)
{
    np_atomic32 *word = word_of(m);
    uint32_t old;

    do {
        old = np_load(word);
        if (old & CLOSED)
            return NP_CLOSED;
    } while (!np_cas(word, old, (old | CLOSED) + REFERENCE));
    return NP_OK;
}

int np_fdmutex_closed(const np_fdmutex *m)
{
    return (np_load((const np_atomic32 *)(const void *)&m->state) & CLOSED) != 0;
}
