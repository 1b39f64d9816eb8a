/* The contract of a backend: one table of functions for each system.
 *
 * A backend turns descriptors into events.  It knows nothing of deadlines, parking or descriptors'
 * states; whatever it is asked to remember about a registration is the 64-bit tag that it got with
 * it, and it returns the tag with each event.  Whether the owner of the tag still exists is the
 * caller's business.
 *
 * Functions that return int return 0 (or a count) or a negated errno value.
 *
 *   usable     does this machine have it?
 *   init       create the kernel object and its wake object
 *   fini       release all of it; no thread is inside poll, and no other call follows.
 *              In a forked child too, where a lock of the backend's own may be in any state
 *   renew      in a forked child: put new, empty kernel objects in place of those shared with the
 *              parent, under the same descriptor numbers, and leave no trace in the parent's; the
 *              caller registers everything again.  After an error it may be called once more
 *   open       register fd for both modes; -EEXIST if this very file is registered under this very
 *              number already, -EPERM for a kind of file that it cannot poll.  A success for an fd
 *              that was registered before means that the old registration is gone
 *   reclaim    open has returned -EEXIST.  1: in its way was a registration that outlived its
 * number, and that is gone.  0: it is the one with the tag known (0: there is none known). NULL:
 * there are no others close      deregister.  Returns 1 if threads inside poll must be woken to let
 * go of it; an error if the number is closed, or another file's, and then as well: the registration
 * may outlive it arm        level-triggered backends only, NULL for the others: report mode once.
 * Returns 1 if a thread inside poll must be woken to notice poll       wait for events, at most
 * timeout nanoseconds (< 0: for ever) and store up to max; returns their number.  *woken is set if
 * the wake object was signalled; it has been drained then.  -EINTR on a signal.  Any number of
 * threads at once wake       signal the wake object: one poll, in progress or next, returns.
 * Async-signal-safe is_poll_descriptor   is fd one of its own? kernel_fd  a descriptor that is
 * readable when poll would return something, for a poll(2) beside others.  Negative if there is
 * none now.  NULL: never fileno     a descriptor that is readable when poll would return something,
 * when the nest timer has expired, and while there is nest work; -ENOSYS if none.  A thread inside
 * poll does not see the last two nest_timer set that timer to an instant of np_now (0: off); NULL
 * where fileno has none nest_work  is there?  NULL there, too
 *
 * All but poll and wake are called with the poller's lock held.
 */
#ifndef NP_BACKEND_H
#define NP_BACKEND_H

#include <stdbool.h>
#include <stdint.h>

#include "netpoll.h"
#include "sys/system.h"

enum { NP_EVENT_BATCH = 128 };

typedef struct np_event {
    uint64_t tag;
    uint8_t modes; /* NP_READ, NP_WRITE: what may be tried now */
    bool error;    /* an error and nothing else: readers get NP_NOT_POLLABLE */
    /* Edge-triggered backends: what comes with this event may raise no further edge. */
    bool no_more_edges;
} np_event;

typedef struct np_backend {
    const char *name;
    bool (*usable)(void);
    int (*init)(void **kernel);
    void (*fini)(void *kernel);
    int (*renew)(void *kernel);
    int (*open)(void *kernel, np_fd fd, uint64_t tag);
    int (*reclaim)(void *kernel, np_fd fd, uint64_t known);
    int (*close)(void *kernel, np_fd fd, uint64_t tag);
    int (*arm)(void *kernel, np_fd fd, uint64_t tag, int mode);
    int (*poll)(void *kernel, np_event *events, int max, int64_t timeout, bool *woken);
    int (*wake)(void *kernel);
    bool (*is_poll_descriptor)(void *kernel, np_fd fd);
    int (*kernel_fd)(void *kernel, np_fd *out);
    int (*fileno)(void *kernel, np_fd *out);
    int (*nest_timer)(void *kernel, int64_t when);
    int (*nest_work)(void *kernel, bool work);
} np_backend;

extern const np_backend np_backend_epoll, np_backend_kqueue, np_backend_iocp, np_backend_poll;

#endif
