/* The life of a descriptor: open, evict, close, references. */
#include "internal.h"

/* The descriptor leaves the table, and the kernel if it is still the one that holds the number
 * there (a file that was closed first took its registration with it, and the number may be
 * somebody else's now). */
static void close_locked(np_desc *d, np_wakes *wakes)
{
    np_poller *p = d->poller;

    if (np_fdtab_get(&p->fds, d->fd) == d) {
        if (np_load(&p->state) == STATE_OPEN &&
            p->backend->close(p->kernel, d->fd, np_tag_of(d)) > 0)
            np_kick_all(p, wakes);
        np_fdtab_remove(&p->fds, d);
    }
    if (!(np_load(&d->info) & INFO_GONE)) {
        NP_PROBE3(close, p, d, d->fd);
        p->stats.open--;
        np_evict_locked(d, INFO_CLOSING | INFO_GONE, wakes);
    }
}

/* fd is registered; take the slot into use. */
static void adopt(np_poller *p, np_desc *d, np_wakes *wakes)
{
    np_desc *old = np_fdtab_get(&p->fds, d->fd);

    NP_PROBE3(open, p, d, d->fd);
    np_fdtab_put(&p->fds, d);
    p->stats.open++;
    np_inc(&p->refs);
    if (old)
        close_locked(old, wakes); /* its file was closed under it, and the number is ours now */
}

static int open_locked(np_poller *p, np_fd fd, np_desc **out, np_wakes *wakes)
{
    int rc = np_enter(p, wakes);
    if (rc != NP_OK)
        return rc;
    if (np_fdtab_reserve(&p->fds) < 0)
        return -ENOMEM;
    np_desc *d = np_cache_alloc(p);
    if (!d)
        return -ENOMEM;
    np_desc_setup(d, fd);
    rc = p->backend->open(p->kernel, fd, np_tag_of(d));
    if (rc < 0) {
        np_cache_free(d);
        return rc;
    }
    adopt(p, d, wakes);
    *out = d;
    return NP_OK;
}

int np_open(np_poller *p, np_fd fd, np_desc **out)
{
    np_wakes wakes;

    np_lock(p, &wakes);
    int rc = open_locked(p, fd, out, &wakes);
    np_unlock(p, &wakes);
    return rc;
}

/* In a forked child.  A descriptor that cannot be registered again (the child has closed it) is
 * evicted; out of memory or watches is the caller's error. */
int np_register_again(np_desc *d, np_wakes *wakes)
{
    np_poller *p = d->poller;

    if (np_load(&d->info) & INFO_GONE)
        return 0;
    int rc = p->backend->open(p->kernel, d->fd, np_tag_of(d));
    if (rc == -EBADF || rc == -EPERM) {
        np_evict_locked(d, INFO_CLOSING, wakes);
        return 0;
    }
    for (int i = 0; rc >= 0 && p->backend->arm && i < 2; i++)
        if (np_load(&d->side[i].sem) == SEM_TOKEN)
            rc = p->backend->arm(p->kernel, d->fd, np_tag_of(d), d->side[i].mode);
    return rc < 0 && rc != -EEXIST ? rc : 0;
}

int np_close(np_desc *d)
{
    np_poller *p = d->poller;
    np_wakes wakes;

    np_lock(p, &wakes);
    close_locked(d, &wakes);
    np_unlock(p, &wakes);
    return NP_OK;
}

int np_unblock(np_desc *d)
{
    np_poller *p = d->poller;
    np_wakes wakes;

    np_lock(p, &wakes);
    if (!(np_load(&d->info) & INFO_CLOSING))
        np_evict_locked(d, INFO_CLOSING, &wakes);
    np_unlock(p, &wakes);
    return NP_OK;
}

/* --- references ------------------------------------------------------------------------------ */

void np_desc_ref(np_desc *d)
{
    np_inc(&d->refs);
}

/* One reference less.  True if it was the last one: the slot is free again, and its reference to
 * the poller is the caller's now. */
static bool unref_locked(np_desc *d, np_wakes *wakes)
{
    if (np_dec(&d->refs) != 1)
        return false;
    close_locked(d, wakes); /* may queue a parked token, which refers to d again */
    if (np_load(&d->refs) != 0)
        return false;
    np_cache_free(d);
    return true;
}

void np_unref_locked(np_desc *d, np_wakes *wakes)
{
    np_poller *p = d->poller;
    if (unref_locked(d, wakes))
        np_dec(&p->refs); /* not the last one: the caller holds another */
}

/* A count that comes to 0 does so under the lock: without it, an event could queue a parked token
 * between the two, and whoever takes that out would free the slot a second time.  Whose reference
 * it is then is no matter of ours, but the poller must stay until the lock has been left. */
void np_desc_unref(np_desc *d)
{
    np_poller *p = d->poller;
    np_wakes wakes;

    for (uint32_t refs = np_load(&d->refs); refs > 1; refs = np_load(&d->refs))
        if (np_cas(&d->refs, refs, refs - 1))
            return;
    np_lock(p, &wakes);
    if (!unref_locked(d, &wakes))
        np_poller_ref(p);
    np_unlock(p, &wakes);
    np_poller_unref(p);
}
