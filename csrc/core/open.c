/* The life of a descriptor: open, evict, close, references. */
#include "core/internal.h"

/* The descriptor leaves the table, and the kernel if it is still the one that holds the number
 * there (a file that was closed first took its registration with it, and the number may be
 * another's now). */
static void close_locked(np_desc *d, np_wake_q *wake_q)
{
    np_poller *p = d->poller;

    np_assert_locked(p);
    if (np_fdtab_get(&p->fds, d->fd) == d) {
        int rc = 0;
        if (np_load(&p->state) == STATE_OPEN)
            rc = p->backend->close(p->kernel, d->fd, np_tag_of(d));
        if (rc != 0)
            np_kick_all(p, wake_q);
        p->outlived = p->outlived || rc < 0;
        np_fdtab_remove(&p->fds, d);
    }
    if (!(np_load(&d->info) & INFO_DEREGISTERED)) {
        NP_PROBE3(close, p, d, d->fd);
        np_assert(p->stats.open > 0);
        p->stats.open--;
        np_evict_locked(d, INFO_CLOSING | INFO_DEREGISTERED, wake_q);
    }
}

/* fd is registered; take the slot into use. */
static void insert(np_poller *p, np_desc *d, np_wake_q *wake_q)
{
    np_desc *old = np_fdtab_get(&p->fds, d->fd);

    NP_PROBE3(open, p, d, d->fd);
    np_fdtab_put(&p->fds, d);
    p->stats.open++;
    np_inc(&p->refs);
    if (old) { /* its file was closed under it, and the number is ours now */
        p->outlived = true;
        close_locked(old, wake_q);
    }
}

/* Of a number that this very file has been registered under, the registration may be one that is
 * nobody's: np_close came when another file had the number.  Only where there may be such is it
 * worth asking, if there is a descriptor. */
static int register_fd(np_poller *p, np_fd fd, uint64_t tag)
{
    const np_desc *known = np_fdtab_get(&p->fds, fd);

    int rc = p->backend->open(p->kernel, fd, tag);
    if (rc != -EEXIST || !p->backend->reclaim || (known && !p->outlived))
        return rc;
    if (p->backend->reclaim(p->kernel, fd, known ? np_tag_of(known) : 0) != 1)
        return rc;
    return p->backend->open(p->kernel, fd, tag);
}

static int open_locked(np_poller *p, np_fd fd, np_desc **out, np_wake_q *wake_q)
{
    int rc = np_ensure_kernel(p, wake_q);
    if (rc != NP_OK)
        return rc;
    if (np_fdtab_reserve(&p->fds) < 0)
        return -ENOMEM;
    np_desc *d = np_cache_alloc(p);
    if (!d)
        return -ENOMEM;
    np_desc_setup(d, fd);
    rc = register_fd(p, fd, np_tag_of(d));
    if (rc < 0) {
        np_cache_free(d);
        return rc;
    }
    insert(p, d, wake_q);
    *out = d;
    return NP_OK;
}

int np_open(np_poller *p, np_fd fd, np_desc **out)
{
    np_wake_q wake_q;

    np_lock(p, &wake_q);
    int rc = open_locked(p, fd, out, &wake_q);
    np_unlock(p, &wake_q);
    return rc;
}

/* In a forked child.  A descriptor that cannot be registered again (the child has closed it) is
 * evicted; out of memory or watches is the caller's error. */
int np_register_again(np_desc *d, np_wake_q *wake_q)
{
    np_poller *p = d->poller;

    if (np_load(&d->info) & INFO_DEREGISTERED)
        return 0;
    int rc = p->backend->open(p->kernel, d->fd, np_tag_of(d));
    if (rc == -EBADF || rc == -EPERM) {
        np_evict_locked(d, INFO_CLOSING, wake_q);
        return 0;
    }
    for (int i = 0; rc >= 0 && p->backend->arm && i < 2; i++)
        if (np_load(&d->side[i].sem) == SEM_TOKEN)
            rc = p->backend->arm(p->kernel, d->fd, np_tag_of(d), d->side[i].entry.mode);
    return rc < 0 && rc != -EEXIST ? rc : 0;
}

int np_close(np_desc *d)
{
    np_poller *p = d->poller;
    np_wake_q wake_q;

    np_lock(p, &wake_q);
    close_locked(d, &wake_q);
    np_unlock(p, &wake_q);
    return NP_OK;
}

int np_unblock(np_desc *d)
{
    np_poller *p = d->poller;
    np_wake_q wake_q;

    np_lock(p, &wake_q);
    if (!(np_load(&d->info) & INFO_CLOSING))
        np_evict_locked(d, INFO_CLOSING, &wake_q);
    np_unlock(p, &wake_q);
    return NP_OK;
}

/* --- references ------------------------------------------------------------------------------ */

void np_desc_ref(np_desc *d)
{
    np_assert(np_peek(&d->refs) > 0);
    np_inc(&d->refs);
}

static bool is_queued(const np_side *s)
{
    uint32_t delivery = np_load(&s->delivery);
    return delivery == DELIVERY_QUEUED || delivery == DELIVERY_DROPPED;
}

/* Without references: is nothing left that points to the slot? */
static bool is_unused(const np_desc *d)
{
    return !is_queued(&d->side[0]) && !is_queued(&d->side[1]);
}

/* One reference less.  True if it was the last one and no token is queued: the slot is free again,
 * and its reference to the poller is the caller's now. */
static bool unref_locked(np_desc *d, np_wake_q *wake_q)
{
    np_assert_locked(d->poller);
    if (np_dec(&d->refs) != 1)
        return false;
    close_locked(d, wake_q); /* may queue a parked token: then the slot goes with that */
    if (!is_unused(d))
        return false;
    np_cache_free(d);
    return true;
}

NP_HOT void np_unqueued_locked(np_desc *d)
{
    np_poller *p = d->poller;

    np_assert_locked(p);
    if (np_load(&d->refs) != 0 || !is_unused(d))
        return;
    np_cache_free(d);
    np_assert(np_peek(&p->refs) > 1); /* the caller holds another */
    np_dec(&p->refs);
}

/* A count that comes to 0 does so under the lock: without it, the poll that takes out a token could
 * find 0 and free the slot, and we a second time.  If the slot stays for a token, its reference to
 * the poller is not ours, but the poller must stay until the lock is released. */
void np_desc_unref(np_desc *d)
{
    np_poller *p = d->poller;
    np_wake_q wake_q;

    for (uint32_t refs = np_load(&d->refs); refs > 1; refs = np_load(&d->refs))
        if (np_cas(&d->refs, refs, refs - 1))
            return;
    np_lock(p, &wake_q);
    if (!unref_locked(d, &wake_q))
        np_poller_ref(p);
    np_unlock(p, &wake_q);
    np_poller_unref(p);
}
