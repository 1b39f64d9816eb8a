/* libkqueue, a kqueue on top of epoll, in the kernel's place: the backend's tests run on Linux so
 * (NETPOLL_KQUEUE=1).  Its <sys/event.h> defines LIBKQUEUE.
 *
 * - It does not see that a number is closed, and keeps the registration: so the table says which
 *   file each number had.
 * - Its descriptor is not the object that has the events, so nothing can be nested around it.
 * - It has user events (kqueue_wake.c).
 */
#define _GNU_SOURCE
#include "backend/backend.h"

#ifdef NP_HAVE_KQUEUE
#include <errno.h>

#include "backend/kqueue.h"

#ifdef LIBKQUEUE
bool np_kq_is_duplicate(const np_kq_kernel *k, int fd, const struct stat *st)
{
    const np_kq_entry *e = &k->entries[fd];
    if (e->dev == st->st_dev && e->ino == st->st_ino && np_kq_is_registered(k, fd))
        return true;
    np_kq_deregister(k, fd);
    return false;
}

void np_kq_set_entry(np_kq_entry *e, uint64_t tag, const struct stat *st)
{
    *e = (np_kq_entry){.tag = tag, .dev = st->st_dev, .ino = st->st_ino};
}

int np_kq_kernel_fd(void *kernel, np_fd *out)
{
    (void)kernel;
    (void)out;
    return -ENOSYS;
}

int np_kq_fileno(void *kernel, np_fd *out)
{
    (void)kernel;
    (void)out;
    return -ENOSYS;
}
#endif
#endif
