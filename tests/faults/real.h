/* What the libraries for LD_PRELOAD share: the functions that they stand before. */
#ifndef NP_TEST_REAL_H
#define NP_TEST_REAL_H

#include <dlfcn.h>
#include <stdarg.h>

/* `real`, in the function that takes its place. */
#define REAL(type, name, ...)                                                                      \
    static type (*real)(__VA_ARGS__);                                                              \
    if (!real)                                                                                     \
    real = (type (*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)

enum { SYSCALL_ARGUMENTS = 6, EPOLL_PWAIT2 = 441 };

/* However many syscall() was given: it takes as many from its caller, too. */
static inline void syscall_arguments(va_list args, long *a)
{
    for (int i = 0; i < SYSCALL_ARGUMENTS; i++)
        a[i] = va_arg(args, long);
}

#endif
