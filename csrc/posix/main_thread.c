/* The thread that gets the process's signals, as the system itself names it. */
#define _GNU_SOURCE /* syscall */
#include "sys/sync.h"
#include "sys/system.h"

#if !defined(NP_HAVE_SIGNALS)

bool np_is_signal_thread(void)
{
    return false;
}
#elif defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>

/* It takes two system calls, so the answer is cached until a fork: the thread that forks is the
 * child's main thread. */
bool np_is_signal_thread(void)
{
    static _Thread_local uint32_t cached; /* np_fork_generation then, plus one; 0: not yet */
    static _Thread_local bool is_main;
    uint32_t generation = np_load(&np_fork_generation) + 1;

    if (cached != generation) {
        is_main = syscall(SYS_gettid) == getpid();
        cached = generation;
    }
    return is_main;
}
#elif defined(__NetBSD__)
#include <lwp.h>

bool np_is_signal_thread(void)
{
    return _lwp_self() == 1;
}
#else
#include <pthread.h>
#ifndef __APPLE__
#include <pthread_np.h>
#endif

bool np_is_signal_thread(void)
{
    return pthread_main_np() != 0;
}
#endif
