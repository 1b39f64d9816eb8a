/* The data of the kqueue backend, and what its files share.  Only where NP_HAVE_KQUEUE is defined.
 *
 *   kqueue.c             registering, polling, life
 *   kqueue_wake.c        the wake object
 *   kqueue_nest.c        what a loop outside watches
 *   kqueue_libkqueue.c   tests on Linux: what differs where a library takes the kernel's place
 *
 * Facts about kqueue that shaped it:
 * - A registration is keyed by the number, and goes when the number is closed, whatever duplicates
 *   the file has.  Adding one that exists overwrites its udata; so a table of our own says which
 *   numbers were registered, and only for those the kernel is asked whether they still are.
 * - udata comes back with each event: it is the tag.
 * - EV_EOF is set on the reader's event when the other side has gone.  On some systems that is the
 *   only event that a writer gets (the write end of a pipe), so it makes both modes ready, as in
 * Go.
 * - Timeouts are nanoseconds; Darwin refuses to sleep too long.
 * - The child of a fork has no kqueue: the number is free there, or another file has it by now.
 * - A kqueue is readable while it has events.  It stays readable when they are over, until they are
 *   collected.
 */
#ifndef NP_KQUEUE_H
#define NP_KQUEUE_H

#include <sys/types.h>

#include <stdatomic.h>
#include <sys/event.h>
#include <sys/stat.h>

#include "backend/backend.h"
#include "posix/posixfd.h"

_Static_assert(sizeof(void *) >= sizeof(uint64_t), "a tag must fit in udata");

enum { NP_KQ_TAG_WAKE = 0 }; /* no descriptor's tag */

/* What was registered under a number, which may have been closed since. */
typedef struct np_kq_entry {
    uint64_t tag; /* 0: nothing */
#ifdef LIBKQUEUE
    dev_t dev; /* which file it was */
    ino_t ino;
#endif
} np_kq_entry;

/* The poller's lock guards all of it, but for fd and wake, which only a renewal changes, and nest,
 * which poll reads without the lock. */
typedef struct np_kq_kernel {
    int fd;      /* negative: it could not be renewed */
    pid_t owner; /* the process in which fd is open */
    np_wakefd wake;
    np_kq_entry *entries; /* by number */
    uint32_t size;

    /* A kqueue around fd.  -1 until fileno() asks for it; from then on nest_work is open in this
     * process, and nest if this process is nest_owner. */
    atomic_int nest;
    np_wakefd nest_work; /* readable while there is nest work */
    pid_t nest_owner;
} np_kq_kernel;

/* --- changes: kqueue.c ------------------------------------------------------------------------ */

/* Constants are passed as they stand, as their types differ from system to system. */
#define NP_KQ_CHANGE(number, filter_, flags_, ...)                                                 \
    (struct kevent)                                                                                \
    {                                                                                              \
        .ident = (uintptr_t)(number), .filter = (filter_), .flags = (flags_), __VA_ARGS__          \
    }
#define NP_KQ_TAGGED(tag) .udata = (void *)(uintptr_t)(tag)

int np_kq_create(void); /* a new kqueue, or -errno */

/* 0 or -errno; stops at the first change that fails. */
int np_kq_apply(int kq, const struct kevent *changes, int n);
int np_kq_watch_readable(int kq, int fd); /* with NP_KQ_TAG_WAKE */

/* The writer is deleted even if the reader is gone. */
void np_kq_deregister(const np_kq_kernel *k, int fd);
bool np_kq_is_registered(const np_kq_kernel *k, int fd);

/* --- the file under a number: kqueue.c, kqueue_libkqueue.c ------------------------------------ */

/* Is the file that entries[fd] is about still the one that has the number?  If not, nothing is
 * registered under it afterwards. */
bool np_kq_is_duplicate(const np_kq_kernel *k, int fd, const struct stat *st);
void np_kq_set_entry(np_kq_entry *e, uint64_t tag, const struct stat *st);

/* --- the wake object: kqueue_wake.c ----------------------------------------------------------- */

int np_kq_wake_open(np_kq_kernel *k);
int np_kq_wake_renew(np_kq_kernel *k); /* fd is a new kqueue */
void np_kq_wake_close(np_kq_kernel *k);
void np_kq_wake_drain(np_kq_kernel *k); /* its event was collected */
int np_kq_wake(void *kernel);

/* --- nesting: kqueue_nest.c ------------------------------------------------------------------- */

int np_kq_fileno(void *kernel, np_fd *out);    /* with libkqueue: kqueue_libkqueue.c */
int np_kq_kernel_fd(void *kernel, np_fd *out); /* kqueue.c, or likewise */
int np_kq_nest_timer(void *kernel, int64_t when);
int np_kq_nest_work(void *kernel, bool work);

/* These do nothing while there is no nest. */
void np_kq_nest_refresh(np_kq_kernel *k); /* events were collected from fd */
int np_kq_nest_renew(np_kq_kernel *k);    /* fd is a new kqueue */
void np_kq_nest_close(np_kq_kernel *k);
bool np_kq_nest_has(const np_kq_kernel *k, np_fd fd);

#endif
