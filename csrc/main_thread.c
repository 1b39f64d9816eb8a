/* The thread to which signals come, by the system's own word for it. */
#define _GNU_SOURCE /* syscall */
#include "internal.h"

#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>

/* Two system calls, so the answer is kept, until a fork: in the child whoever forked is the main
 * thread. */
bool np_gets_signals(void)
{
    static _Thread_local uint32_t asked; /* what np_forks was, and one */
    static _Thread_local bool answer;
    uint32_t forks = np_load(&np_forks) + 1;

    if (asked != forks) {
        answer = syscall(SYS_gettid) == getpid();
        asked = forks;
    }
    return answer;
}
#elif defined(__NetBSD__)
#include <lwp.h>

bool np_gets_signals(void)
{
    return _lwp_self() == 1;
}
#elif defined(_WIN32)

/* It has no signals; Ctrl-C comes as np_park_interrupt. */
bool np_gets_signals(void)
{
    return false;
}
#else
#include <pthread.h>
#ifndef __APPLE__
#include <pthread_np.h>
#endif

bool np_gets_signals(void)
{
    return pthread_main_np() != 0;
}
#endif
