/* np_poll of a poller with tokens at others: it drives all of them.
 *
 * Nothing else has to.  It enters its own poller, home, and the others as one of their drivers,
 * sleeps in poll(2) on the kernel objects of all, and leaves each as drivers do: its events are
 * dispatched, its deadlines fired, its followers seen to.  So whatever wakes a driver wakes it,
 * such as an earlier deadline; no kernel object is released while it sleeps on it; and a wake that
 * it drained is signalled again if it was another's.  A poller that others drive it follows, as
 * threads do: the last of them that leaves promotes it, and wakes home.
 *
 * Where one of them has nothing that poll(2) could sleep on, it sleeps on home alone, in naps, and
 * drives the others between them.
 */
#include <stdlib.h>

#include "core/internal.h"

#ifndef _WIN32
#include "posix/posixfd.h"
#endif

enum { NAP_NS = 1000 * 1000 };

/* One of the pollers that a call drives. */
typedef struct driven {
    np_foreign *foreign; /* in use; NULL: home itself */
    np_thread_waiter waiter;
    np_fd fd;      /* to sleep on; -1: others drive it, or it is closed and all is ready */
    bool readable; /* for all that is known */
} driven;

typedef struct driven_set {
    uint32_t count; /* without home, which is of[count] */
    uint32_t first; /* which of them is left first */
    driven of[];
} driven_set;

/* home's lock is held.  NULL: out of memory. */
static driven_set *acquire(np_poller *home)
{
    np_foreign *f = NULL;
    uint32_t room = 1;

    NP_EACH_FOREIGN(f, home)
    {
        room++;
    }
    driven_set *all = malloc(sizeof *all + room * sizeof *all->of);
    if (!all)
        return NULL;
    all->count = 0;
    NP_EACH_FOREIGN(f, home)
    {
        if (np_load(&f->tokens) == 0)
            continue;
        f->calls++;
        all->of[all->count++] = (driven){.foreign = f,
                                         .waiter = {.home = home, .driver = {.is_foreign = true}},
                                         .fd = -1,
                                         .readable = true};
    }
    all->of[all->count] =
        (driven){.waiter = {.driver = {.is_poll = true}}, .fd = -1, .readable = true};
    all->first = all->count ? home->foreign_turn / 2 % all->count : 0;
    return all;
}

/* home's lock is held, and may be released meanwhile. */
static void release(np_poller *home, driven_set *all, np_wake_q *wake_q)
{
    for (uint32_t i = 0; i < all->count; i++)
        all->of[i].foreign->calls--;
    free(all);
    np_foreign_forget_locked(home, wake_q);
}

/* The lock of p is held.  0 or -errno. */
static int kernel_fd(const np_poller *p, np_fd *fd)
{
    return p->backend->kernel_fd ? p->backend->kernel_fd(p->kernel, fd) : -ENOSYS;
}

/* Where others drive it, home follows, as threads do.  NP_OK, NP_CLOSED or -errno. */
static int enter(driven *g, int64_t until)
{
    np_poller *p = g->foreign->poller;
    np_wake_q wake_q;

    np_lock(p, &wake_q);
    int rc = np_ensure_kernel(p, &wake_q);
    if (rc == NP_OK && until != 0 && !np_list_empty(&p->drivers)) {
        np_follow(p, &g->waiter);
    } else {
        if (rc == NP_OK && until != 0)
            rc = kernel_fd(p, &g->fd);
        if (rc == NP_OK)
            np_drive_enter(p, &g->waiter.driver, until);
    }
    np_unlock(p, &wake_q);
    return rc;
}

/* False: one has nothing to sleep on, or an error that leave will meet again. */
static bool enter_all(driven_set *all, int64_t until)
{
    for (uint32_t i = 0; i < all->count; i++)
        if (enter(&all->of[i], until) < 0)
            return false;
    return true;
}

/* True: it was a follower to the end. */
static bool stop_following(driven *g)
{
    np_poller *p = g->foreign->poller;
    np_wake_q wake_q;

    np_lock(p, &wake_q);
    bool follows = g->waiter.following;
    if (follows) {
        np_unfollow(&g->waiter);
    } else if (np_load(&g->waiter.word) == WORD_LEAD) {
        np_store(&g->waiter.word, WORD_IDLE);
        np_dec(&g->foreign->home->foreign_work);
    }
    np_unlock(p, &wake_q);
    return follows;
}

/* Also of one that was not entered, which is driven now.  What becomes ready in it is fetched at
 * once, so it is as good as counted, and home need not be woken. */
static int leave(driven *g, np_tokens *out)
{
    np_foreign *f = g->foreign;
    np_driver *driver = &g->waiter.driver;
    np_event_batch batch = {.n = 0};
    np_wake_q wake_q;

    int rc = driver->inside || stop_following(g) ? NP_OK : enter(g, 0);
    bool inside = driver->inside;
    if (inside && g->readable)
        np_ask_kernel(f->poller, 0, &batch);
    np_lock(f->poller, &wake_q);
    bool counted = f->counted;
    f->counted = true;
    if (inside) {
        np_drive_leave(f->poller, driver, &batch, &wake_q);
        np_hand_over(f->poller, &wake_q);
    }
    f->counted = counted;
    np_foreign_pop(f, out);
    np_unlock(f->poller, &wake_q);
    return rc < 0 ? rc : batch.n;
}

/* Of numbers of events, or the first error. */
static int sum(int a, int b)
{
    return a < 0 ? a : b < 0 ? b : a + b;
}

static int leave_all(driven_set *all, np_tokens *out)
{
    int events = 0;

    for (uint32_t i = 0; i < all->count; i++)
        events = sum(events, leave(&all->of[(all->first + i) % all->count], out));
    return events;
}

#ifdef _WIN32

static int sleep_on(driven_set *all)
{
    (void)all;
    return -ENOSYS; /* never called, for there is no kernel_fd */
}

#else

static int sleep_on(driven_set *all)
{
    int64_t until = INT64_MAX;
    struct pollfd *pfds = malloc((all->count + 1) * sizeof *pfds);

    if (!pfds)
        return -ENOMEM;
    for (uint32_t i = 0; i <= all->count; i++) {
        const driven *g = &all->of[i];
        pfds[i] = (struct pollfd){.fd = (int)g->fd, .events = POLLIN};
        if (g->waiter.driver.inside && g->waiter.driver.until < until)
            until = g->waiter.driver.until;
    }
    int rc = np_poll_fds(pfds, all->count + 1, np_time_left(until));
    for (uint32_t i = 0; i <= all->count; i++)
        all->of[i].readable = rc > 0 && pfds[i].revents != 0;
    free(pfds);
    return rc < 0 ? rc : 0;
}

#endif

static int64_t nap(int64_t until)
{
    int64_t left = np_time_left(until);
    return left < 0 || left > NAP_NS ? NAP_NS : left;
}

/* Every other time half of the room is left for home's own, so that neither keeps the other out. */
static np_tokens share(np_poller *home, const np_tokens *out)
{
    return (np_tokens){.at = out->at, .max = home->foreign_turn++ % 2 ? out->max : out->max / 2};
}

int np_drive_foreign(np_poller *home, int64_t until, np_tokens *out, np_wake_q *wake_q)
{
    driven_set *all = acquire(home);
    if (!all)
        return -ENOMEM;
    driven *self = &all->of[all->count];
    np_tokens theirs = share(home, out);
    if (np_load(&home->foreign_work))
        until = 0;
    bool can_sleep = until != 0 && kernel_fd(home, &self->fd) == 0;
    np_drive_enter(home, &self->waiter.driver, until);
    np_unlock(home, wake_q);

    int rc = 0;
    if (can_sleep && enter_all(all, until)) {
        rc = sleep_on(all);
        until = 0;
    }
    int events = leave_all(all, &theirs);
    out->n = theirs.n;
    if (events < 0 || out->n > 0 || np_load(&home->foreign_work))
        until = 0;
    np_event_batch batch = {.n = 0};
    if (self->readable)
        np_ask_kernel(home, until == 0 ? 0 : nap(self->waiter.driver.until), &batch);

    np_lock(home, wake_q);
    np_drive_leave(home, &self->waiter.driver, &batch, wake_q);
    release(home, all, wake_q);
    return sum(rc, sum(events, batch.n));
}
