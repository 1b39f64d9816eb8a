/* Parking a thread on a 32-bit word: futex on Linux, a table of condition variables elsewhere.
 *
 * Both work by address, and a wake-up may be spurious: the caller looks at its word again.
 */
#define _GNU_SOURCE /* syscall */
#include <errno.h>

#include "sync.h"

#if defined(__linux__)
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

int np_park_wait(np_atomic32 *word, uint32_t expected)
{
    while (np_load(word) == expected)
        if (syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, expected, NULL, NULL, 0) < 0 &&
            errno == EINTR)
            return -EINTR;
    return 0;
}

void np_unpark(np_atomic32 *word)
{
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

#elif !defined(_WIN32)
#include <time.h>

/* A waker changes the word, then takes the bucket's lock; a sleeper looks at the word with that
 * lock held: so no wake-up falls between the look and the sleep.  A condition variable hides
 * signals from its sleeper: it comes back every SLICE to let the host look for them. */
enum { BUCKETS = 64, SLICE_NS = 20 * 1000 * 1000 };

static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
} buckets[BUCKETS];
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void init_buckets(void)
{
    for (int i = 0; i < BUCKETS; i++) {
        pthread_mutex_init(&buckets[i].lock, NULL);
        pthread_cond_init(&buckets[i].changed, NULL);
    }
}

static unsigned bucket_of(const np_atomic32 *word)
{
    pthread_once(&once, init_buckets);
    return (unsigned)(((uintptr_t)word >> 4) * 2654435761u >> 16) % BUCKETS;
}

int np_park_wait(np_atomic32 *word, uint32_t expected)
{
    unsigned i = bucket_of(word);
    struct timespec until;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += SLICE_NS;
    if (until.tv_nsec >= 1000000000) {
        until.tv_nsec -= 1000000000;
        until.tv_sec++;
    }
    int rc = 0;
    pthread_mutex_lock(&buckets[i].lock);
    while (np_load(word) == expected && rc == 0)
        rc = pthread_cond_timedwait(&buckets[i].changed, &buckets[i].lock, &until);
    pthread_mutex_unlock(&buckets[i].lock);
    return rc == ETIMEDOUT ? -EINTR : 0;
}

void np_unpark(np_atomic32 *word)
{
    unsigned i = bucket_of(word);
    pthread_mutex_lock(&buckets[i].lock);
    pthread_cond_broadcast(&buckets[i].changed);
    pthread_mutex_unlock(&buckets[i].lock);
}
#endif
