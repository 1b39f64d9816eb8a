/* The part of sync.h that is Windows': the lock. */
#ifndef NP_SYNC_WIN32_H
#define NP_SYNC_WIN32_H

#ifndef WIN32_LEAN_AND_MEAN
#define WIN32_LEAN_AND_MEAN /* no winsock.h, which winsock2.h does not go with */
#endif
#ifndef NOMINMAX
#define NOMINMAX
#endif
#include <windows.h>

typedef SRWLOCK np_system_mutex;
#define NP_SYSTEM_MUTEX_INIT SRWLOCK_INIT

static inline void np_system_mutex_init(np_system_mutex *m)
{
    InitializeSRWLock(m);
}
static inline void np_system_mutex_destroy(np_system_mutex *m)
{
    (void)m; /* a word, with nothing behind it */
}
static inline void np_system_mutex_lock(np_system_mutex *m)
{
    AcquireSRWLockExclusive(m);
}
static inline bool np_system_mutex_trylock(np_system_mutex *m)
{
    return TryAcquireSRWLockExclusive(m) != 0;
}
static inline void np_system_mutex_unlock(np_system_mutex *m)
{
    ReleaseSRWLockExclusive(m);
}
static inline uintptr_t np_thread_id(void)
{
    return GetCurrentThreadId();
}

#endif
