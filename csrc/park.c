/* Parking a thread on a 32-bit word, by its address: the kernel's own way where there is a public
 * one, a table of condition variables elsewhere.  A wake-up may be spurious: the caller looks at
 * its word again.
 *
 * macOS is elsewhere.  Its kernel can do it (__ulock_wait), but privately; the public function,
 * os_sync_wait_on_address, came with 14.4 and does not promise to end on a signal.  Go parks on
 * condition variables there too.
 *
 * -DNP_PARK_COND chooses the condition variables on any system, so that they can be tested there.
 */
#define _GNU_SOURCE /* syscall */
#include <errno.h>
#include <stddef.h>

#include "sync.h"

#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>

bool np_gets_signals(void)
{
    return syscall(SYS_gettid) == getpid();
}
#elif defined(__NetBSD__)
#include <lwp.h>

bool np_gets_signals(void)
{
    return _lwp_self() == 1;
}
#elif !defined(_WIN32)
#include <pthread.h>
#ifndef __APPLE__
#include <pthread_np.h>
#endif

bool np_gets_signals(void)
{
    return pthread_main_np() != 0;
}
#endif

#if defined(__linux__) && !defined(NP_PARK_COND)
#define NP_PARK_BY_KERNEL
#include <linux/futex.h>

static int sleep_on(np_atomic32 *word, uint32_t expected)
{
    return syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, expected, NULL, NULL, 0) < 0 ? errno : 0;
}

static void wake_one(np_atomic32 *word)
{
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

#elif defined(__FreeBSD__) && !defined(NP_PARK_COND)
#define NP_PARK_BY_KERNEL
#include <sys/types.h>
#include <sys/umtx.h>

static int sleep_on(np_atomic32 *word, uint32_t expected)
{
    return _umtx_op(word, UMTX_OP_WAIT_UINT_PRIVATE, expected, NULL, NULL) < 0 ? errno : 0;
}

static void wake_one(np_atomic32 *word)
{
    _umtx_op(word, UMTX_OP_WAKE_PRIVATE, 1, NULL, NULL);
}

#elif defined(__OpenBSD__) && !defined(NP_PARK_COND)
#define NP_PARK_BY_KERNEL
#include <sys/time.h>

#include <sys/futex.h>

static int sleep_on(np_atomic32 *word, uint32_t expected)
{
    volatile uint32_t *plain = (volatile uint32_t *)word;
    int rc = futex(plain, FUTEX_WAIT_PRIVATE, (int)expected, NULL, NULL) < 0 ? errno : 0;
    return rc == ECANCELED ? EINTR : rc; /* a signal whose handler restarts system calls */
}

static void wake_one(np_atomic32 *word)
{
    futex((volatile uint32_t *)word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL);
}
#endif

#if defined(NP_PARK_BY_KERNEL)

int np_park_wait(np_atomic32 *word, uint32_t expected)
{
    while (np_load(word) == expected)
        if (sleep_on(word, expected) == EINTR)
            return -EINTR;
    return 0;
}

void np_unpark(np_atomic32 *word)
{
    wake_one(word);
}

#elif !defined(_WIN32) /* which has park_win32.c */
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

#ifdef __APPLE__

static void init_condition(pthread_cond_t *c)
{
    pthread_cond_init(c, NULL);
}

static int wait_a_slice(pthread_cond_t *c, pthread_mutex_t *lock)
{
    const struct timespec slice = {.tv_nsec = SLICE_NS};
    return pthread_cond_timedwait_relative_np(c, lock, &slice);
}

#else

/* The wall clock may be set back, and the slice would last until it has caught up. */
static void init_condition(pthread_cond_t *c)
{
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(c, &monotonic);
    pthread_condattr_destroy(&monotonic);
}

static int wait_a_slice(pthread_cond_t *c, pthread_mutex_t *lock)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += SLICE_NS;
    if (until.tv_nsec >= 1000000000) {
        until.tv_nsec -= 1000000000;
        until.tv_sec++;
    }
    return pthread_cond_timedwait(c, lock, &until);
}

#endif

/* In a forked child too: the locks may have been anybody's, and those who waited are gone. */
static void init_buckets(void)
{
    for (int i = 0; i < BUCKETS; i++) {
        pthread_mutex_init(&buckets[i].lock, NULL);
        init_condition(&buckets[i].changed);
    }
}

static void init_once(void)
{
    init_buckets();
    pthread_atfork(NULL, NULL, init_buckets);
}

static unsigned bucket_of(const np_atomic32 *word)
{
    pthread_once(&once, init_once);
    return (unsigned)(((uintptr_t)word >> 4) * 2654435761u >> 16) % BUCKETS;
}

int np_park_wait(np_atomic32 *word, uint32_t expected)
{
    unsigned i = bucket_of(word);
    int rc = 0;

    pthread_mutex_lock(&buckets[i].lock);
    while (np_load(word) == expected && rc == 0)
        rc = wait_a_slice(&buckets[i].changed, &buckets[i].lock);
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
