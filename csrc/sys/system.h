/* What a system has: the one place where the platform is chosen.
 *
 * A file that needs what not every system has asks for it by one of these names.  Where it lacks,
 * calls that need it return -ENOSYS.
 */
#ifndef NP_SYSTEM_H
#define NP_SYSTEM_H

/* The backends of this build. */
#if defined(__linux__)
#define NP_HAVE_EPOLL 1
#endif
#if defined(__APPLE__) || defined(__FreeBSD__) || defined(__OpenBSD__) || defined(__NetBSD__) ||   \
    defined(__DragonFly__) || defined(NETPOLL_KQUEUE)
#define NP_HAVE_KQUEUE 1
#endif
#if defined(_WIN32)
#define NP_HAVE_IOCP 1
#else
#define NP_HAVE_POLL 1
#endif

/* WASI has poll(2), in its way, and one thread, which nothing can interrupt. */
#if !defined(__wasi__)
#define NP_HAVE_THREADS 1
#define NP_HAVE_SOCKET_NAMES 1 /* getsockname, getpeername, getsockopt */
#endif
#if !defined(__wasi__) && !defined(_WIN32)
#define NP_HAVE_FORK 1
#define NP_HAVE_SIGNALS 1 /* that end a system call, and have handlers: sigaction */
#endif

#endif
