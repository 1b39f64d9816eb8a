/* Parking a thread on a 32-bit word, by its address: the kernel's own way where there is a public
 * one, a table of condition variables elsewhere.  A wake-up may be spurious: the caller checks
 * its word again.
 *
 * macOS is elsewhere.  Its kernel can do it (__ulock_wait), but privately; the public function,
 * os_sync_wait_on_address, came with 14.4 and does not promise to end on a signal.  Go parks on
 * condition variables there too.
 *
 * -DNP_FUTEX_COND chooses the condition variables on any system, so that they can be tested there.
 */
#define _GNU_SOURCE /* syscall */
#include <errno.h>
#include <stddef.h>

#include "netpoll.h"
#include "sys/sync.h"
#include "sys/system.h"

#ifndef _WIN32
#include "posix/timespec.h"
#endif

#if defined(__linux__) && !defined(NP_FUTEX_COND)
#define NP_FUTEX_KERNEL
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

static int sleep_on(np_atomic32 *word, uint32_t expected, int64_t timeout)
{
    /* What this call takes for a timespec, however wide the C library's time_t is. */
    const struct {
        long tv_sec, tv_nsec;
    } ts = {(long)np_seconds(timeout, sizeof(long)), (long)(timeout % NP_NS_PER_S)},
      *limit = timeout < 0 ? NULL : &ts;
    return syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, expected, limit, NULL, 0) < 0 ? errno : 0;
}

static void wake_one(np_atomic32 *word)
{
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

#elif defined(__FreeBSD__) && !defined(NP_FUTEX_COND)
#define NP_FUTEX_KERNEL
#include <sys/types.h>
#include <sys/umtx.h>

/* A plain timespec would be measured by the wall clock, which may be set back.  The fourth argument
 * says which of the two the fifth is, by its size. */
static int sleep_on(np_atomic32 *word, uint32_t expected, int64_t timeout)
{
    struct _umtx_time limit = {._timeout = np_timespec(timeout), ._clockid = CLOCK_MONOTONIC};
    void *size = timeout < 0 ? NULL : (void *)sizeof limit;
    void *at = timeout < 0 ? NULL : &limit;
    return _umtx_op(word, UMTX_OP_WAIT_UINT_PRIVATE, expected, size, at) < 0 ? errno : 0;
}

static void wake_one(np_atomic32 *word)
{
    _umtx_op(word, UMTX_OP_WAKE_PRIVATE, 1, NULL, NULL);
}

#elif defined(__OpenBSD__) && !defined(NP_FUTEX_COND)
#define NP_FUTEX_KERNEL
#include <sys/time.h>

#include <sys/futex.h>

static int sleep_on(np_atomic32 *word, uint32_t expected, int64_t timeout)
{
    volatile uint32_t *plain = (volatile uint32_t *)word;
    struct timespec ts = np_timespec(timeout);
    const struct timespec *limit = timeout < 0 ? NULL : &ts;
    int rc = futex(plain, FUTEX_WAIT_PRIVATE, (int)expected, limit, NULL) < 0 ? errno : 0;
    return rc == ECANCELED ? EINTR : rc; /* a signal whose handler restarts system calls */
}

static void wake_one(np_atomic32 *word)
{
    futex((volatile uint32_t *)word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL);
}
#endif

#if defined(NP_FUTEX_KERNEL)

/* After a spurious wake-up it sleeps for the whole time again: that is rare, and a wake that is
 * meant for another word comes once. */
int np_futex_wait(np_atomic32 *word, uint32_t expected, int64_t timeout)
{
    while (np_load(word) == expected) {
        int error = sleep_on(word, expected, timeout);
        if (error == EINTR || error == ETIMEDOUT)
            return -EINTR;
    }
    return 0;
}

void np_futex_wake(np_atomic32 *word)
{
    wake_one(word);
}

#elif !defined(NP_HAVE_THREADS)

/* There is none that could wake this one: all it can wait for is the time. */
int np_futex_wait(np_atomic32 *word, uint32_t expected, int64_t timeout)
{
    const struct timespec ts = np_timespec(timeout);

    if (np_load(word) != expected)
        return 0;
    if (timeout < 0)
        return -ENOSYS;
    return clock_nanosleep(CLOCK_MONOTONIC, 0, &ts, NULL) == 0 ? -EINTR : -ENOSYS;
}

void np_futex_wake(np_atomic32 *word)
{
    (void)word;
}

#elif !defined(_WIN32) /* which has futex_win32.c */
#include <pthread.h>

/* A waker changes the word, then takes the bucket's lock; a sleeper checks the word with that lock
 * held: so no wake-up falls between the check and the sleep.  A condition variable hides signals
 * from its sleeper: the thread that gets them returns every SLICE_NS to let the host check,
 * whatever its timeout. */
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

static int wait_for(pthread_cond_t *c, pthread_mutex_t *lock, int64_t ns)
{
    const struct timespec ts = np_timespec(ns);
    if (ns < 0)
        return pthread_cond_wait(c, lock);
    return pthread_cond_timedwait_relative_np(c, lock, &ts);
}

#else

/* The wall clock may be set back, and the slice would last until it has caught up.  np_now is this
 * one. */
static void init_condition(pthread_cond_t *c)
{
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(c, &monotonic);
    pthread_condattr_destroy(&monotonic);
}

static int wait_for(pthread_cond_t *c, pthread_mutex_t *lock, int64_t ns)
{
    const struct timespec until = np_timespec(np_now() + ns);
    if (ns < 0)
        return pthread_cond_wait(c, lock);
    return pthread_cond_timedwait(c, lock, &until);
}

#endif

/* In a forked child too: any thread may have held the locks, and the sleepers are gone. */
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

int np_futex_wait(np_atomic32 *word, uint32_t expected, int64_t timeout)
{
    unsigned i = bucket_of(word);
    int rc = 0;

    if (np_is_signal_thread() && (timeout < 0 || timeout > SLICE_NS))
        timeout = SLICE_NS;
    pthread_mutex_lock(&buckets[i].lock);
    while (np_load(word) == expected && rc == 0)
        rc = wait_for(&buckets[i].changed, &buckets[i].lock, timeout);
    pthread_mutex_unlock(&buckets[i].lock);
    return rc == ETIMEDOUT ? -EINTR : 0;
}

void np_futex_wake(np_atomic32 *word)
{
    unsigned i = bucket_of(word);
    pthread_mutex_lock(&buckets[i].lock);
    pthread_cond_broadcast(&buckets[i].changed);
    pthread_mutex_unlock(&buckets[i].lock);
}
#endif
