/* The contract of a backend: one table of functions, one file a system.
 *
 * A backend turns descriptors into events.  It knows nothing of deadlines, parking or descriptors'
 * states; whatever it is asked to remember about a registration is the 64-bit tag that it got with
 * it, and it gives the tag back with each event.  Whether the owner of the tag still exists is the
 * caller's business.
 *
 * Functions that return int return 0 (or a count) or a negated errno value.
 *
 *   usable     does this machine have it?
 *   init       create the kernel object and its wake object
 *   fini       give all of it back; nobody is inside poll, and nobody will call anything again.
 *              In a forked child too, where a lock of the backend's own may be in any state
 *   renew      in a forked child: put new, empty kernel objects in place of those shared with the
 *              parent, under the same descriptor numbers, and leave no trace in the parent's; the
 *              caller registers everything again.  After an error it may be called once more
 *   open       register fd for both modes; -EEXIST if this very file is registered under this very
 *              number already, -EPERM for a kind of file that it cannot poll.  A success for an fd
 *              that was registered before means that the old registration is gone
 *   close      deregister; an fd that the kernel has forgotten already is no error.  Returns 1 if
 *              those inside poll have to be woken to let go of it
 *   arm        level-triggered backends only, NULL for the others: report mode once.  Returns 1 if
 *              somebody inside poll has to be woken to notice
 *   poll       wait for events, at most timeout nanoseconds (< 0: for ever) and store up to max;
 *              returns their number.  *woken is set if the wake object was signalled; it has been
 *              drained then.  -EINTR on a signal.  Any number of threads at once
 *   wake       signal the wake object: one poll, in progress or next, returns.  Async-signal-safe
 *   is_poll_descriptor   is fd one of its own?
 *   fileno     a descriptor that is readable when poll would return something, when the nest timer
 *              has expired, and while there is nest work; -ENOSYS if none.  A thread inside poll
 *              does not see the last two
 *   nest_timer set that timer to an instant of np_now (0: off)
 *   nest_work  is there?  NULL: the wake object is signalled instead
 *
 * All but poll and wake are called with the poller's lock held.
 */
#ifndef NP_BACKEND_H
#define NP_BACKEND_H

#include <stdbool.h>
#include <stdint.h>

#include "netpoll.h"

/* Which of them this build has: the one place where the platform is chosen. */
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

enum { NP_EVENT_BATCH = 128 };

typedef struct np_event {
    uint64_t tag;
    uint8_t modes; /* NP_READ, NP_WRITE: what may be tried now */
    bool error;    /* an error and nothing else: readers get NP_NOT_POLLABLE */
    bool last; /* edge-triggered backends: no further edge may tell of what comes with this one */
} np_event;

typedef struct np_backend {
    const char *name;
    bool (*usable)(void);
    int (*init)(void **kernel);
    void (*fini)(void *kernel);
    int (*renew)(void *kernel);
    int (*open)(void *kernel, np_fd fd, uint64_t tag);
    int (*close)(void *kernel, np_fd fd, uint64_t tag);
    int (*arm)(void *kernel, np_fd fd, uint64_t tag, int mode);
    int (*poll)(void *kernel, np_event *events, int max, int64_t timeout, bool *woken);
    int (*wake)(void *kernel);
    bool (*is_poll_descriptor)(void *kernel, np_fd fd);
    int (*fileno)(void *kernel, np_fd *out);
    int (*nest_timer)(void *kernel, int64_t when);
    int (*nest_work)(void *kernel, bool work);
} np_backend;

extern const np_backend np_backend_epoll, np_backend_kqueue, np_backend_iocp, np_backend_poll;

#endif
