/* A thread that waits for one descriptor by itself, in poll(2), beside any poller.
 *
 * Where a mode has one waiter at most, and whoever ends its waits knows who that is, a thread needs
 * neither a registration nor anybody to drive: the kernel wakes it for its descriptor, and its bell
 * for all else.  The bell is rung after what it tells of was stored, and the waiter looks only
 * after its bell was known; and it stays rung until the waiter comes.
 */
#include "internal.h"

#include <poll.h>
#include <stdlib.h>

#include "posixfd.h"

struct np_bell {
    np_wakefd wake;
    np_loner shown; /* its forks are also those of wake: a child has a bell of its own */
};

int np_bell_new(np_bell **out)
{
    np_bell *b = calloc(1, sizeof *b);
    int rc = b ? np_fork_watch() : -ENOMEM;
    if (rc == 0)
        rc = np_wakefd_open(&b->wake);
    if (rc < 0) {
        free(b);
        return rc;
    }
    np_store(&b->shown.forks, np_load(&np_forks));
    np_registry_add_loner(&b->shown);
    *out = b;
    return 0;
}

void np_bell_free(np_bell *b)
{
    np_registry_remove_loner(&b->shown);
    np_wakefd_close(&b->wake);
    free(b);
}

/* Nobody waits at a bell that is older than the process. */
void np_bell_ring(np_bell *b)
{
    if (np_load(&b->shown.forks) == np_load(&np_forks))
        np_wakefd_signal(&b->wake);
}

/* 1: the bell is new, and until now whoever rang it rang the parent's, which is to say nobody's: so
 * the caller has to look again. */
static int renew(np_bell *b)
{
    uint32_t forks = np_load(&np_forks);
    if (np_load(&b->shown.forks) == forks)
        return 0;
    int rc = np_wakefd_renew(&b->wake);
    if (rc < 0)
        return rc;
    np_store(&b->shown.forks, forks);
    return 1;
}

static int64_t left_until(int64_t until)
{
    if (until == NP_NEVER)
        return -1;
    int64_t left = until - np_now();
    return left > 0 ? left : 0;
}

static void show(np_loner *l, np_fd fd, int mode, int64_t until)
{
    np_store64(&l->fd, fd);
    np_store64(&l->thread, (int64_t)np_thread_id());
    np_store64(&l->since, np_now_roughly());
    np_store64(&l->until, until);
    np_store(&l->mode, (uint32_t)mode);
}

int np_wait_alone(np_bell *b, np_fd fd, int mode, int64_t until)
{
    int rc = renew(b);
    if (rc != 0)
        return rc < 0 ? rc : NP_AGAIN;
    struct pollfd pfds[] = {
        {.fd = (int)fd, .events = mode == NP_READ ? POLLIN : POLLOUT},
        {.fd = b->wake.reader, .events = POLLIN},
    };
    np_slice slice = np_slice_begin();
    show(&b->shown, fd, mode, until);
    void *cookie = np_blocking_enter();
    int n = np_poll_fds(pfds, 2, slice.end < until ? slice.length : left_until(until));
    np_blocking_leave(cookie);
    np_store(&b->shown.mode, 0);
    if (n < 0)
        return n == -EINTR ? NP_INTERRUPTED : n;
    if (pfds[1].revents) {
        np_wakefd_drain(&b->wake);
        return NP_AGAIN;
    }
    if (pfds[0].revents)
        return NP_OK;
    if (until <= slice.end)
        return NP_TIMEOUT;
    np_slice_over(&slice, true);
    return NP_INTERRUPTED;
}
