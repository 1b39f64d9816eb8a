/* What pollers and descriptors are doing, for debugging: read under the lock, and nothing is
 * changed. */
#include "core/internal.h"

/* --- a descriptor ---------------------------------------------------------------------------- */

static int state_of_delivery(const np_side *s, int otherwise)
{
    switch (np_load(&s->delivery)) {
    case DELIVERY_QUEUED:
    case DELIVERY_DROPPED:
        return NP_QUEUED;
    case DELIVERY_OUT:
        return NP_OUT;
    default:
        return otherwise;
    }
}

/* THREAD and TOKEN are left under the lock only, so the waiter's record is still there. */
static void view_side(const np_side *s, np_mode_view *v)
{
    *v = (np_mode_view){.deadline = np_load64(&s->deadline)};
    switch (np_load(&s->sem)) {
    case SEM_NIL:
        v->state = state_of_delivery(s, NP_IDLE);
        break;
    case SEM_READY_TOKEN:
        v->state = state_of_delivery(s, NP_READY);
        break;
    case SEM_READY:
        v->state = NP_READY;
        break;
    case SEM_THREAD:
        v->state = NP_THREAD;
        v->waiter = s->thread->thread;
        v->since = s->thread->since;
        break;
    case SEM_TOKEN:
        v->state = NP_TOKEN;
        v->since = s->since;
        break;
    default:
        v->state = NP_ENTERING;
    }
    if (v->state >= NP_TOKEN)
        v->waiter = s->entry.token;
}

static void view_desc(np_desc *d, np_desc_view *v)
{
    v->desc = d;
    v->fd = d->fd;
    v->evicted = np_desc_closed(d);
    for (int i = 0; i < 2; i++)
        view_side(&d->side[i], &v->mode[i]);
}

/* --- a poller -------------------------------------------------------------------------------- */

static void view_poller(np_poller *p, np_poller_view *v)
{
    int64_t first = np_heap_top(&p->heap);

    *v = (np_poller_view){
        .closed = np_poller_closed(p),
        .descriptors = (int)p->stats.open,
        .waiters = (int)p->stats.waiters,
        .wake_pending = np_load(&p->pending) != 0,
        .deadline = first == INT64_MAX ? 0 : first,
    };
    for (np_link *l = p->drivers.next; l != &p->drivers; l = l->next)
        if (NP_CONTAINER(l, np_driver, link)->is_poll ||
            NP_CONTAINER(l, np_driver, link)->is_foreign)
            v->polls_inside++;
        else
            v->threads_inside++;
    for (np_link *l = p->followers.next; l != &p->followers; l = l->next)
        v->threads_following += NP_CONTAINER(l, np_thread_waiter, link)->home == NULL;
    for (np_entry *e = p->ready.first; e; e = e->next)
        v->tokens_ready++;
}

int np_snapshot_chunk(np_poller *p, np_poller_view *poller, np_desc_view *descs, int max,
                      uint32_t *next, int64_t timeout_ns)
{
    int n = 0;

    if (!np_mutex_timedlock(&p->lock, timeout_ns))
        return -EBUSY;
    view_poller(p, poller);
    for (; *next < p->fds.capacity && n < max; ++*next) {
        np_desc *d = p->fds.buckets[*next];
        if (d && !(np_load(&d->info) & INFO_DEREGISTERED))
            view_desc(d, &descs[n++]);
    }
    np_mutex_unlock(&p->lock);
    return n;
}

int np_poller_snapshot(np_poller *p, np_poller_view *poller, np_desc_view *descs, int max,
                       int64_t timeout_ns)
{
    uint32_t next = 0;
    int n = np_snapshot_chunk(p, poller, descs, max, &next, timeout_ns);
    return n < 0 ? n : poller->descriptors;
}

/* --- all of them ----------------------------------------------------------------------------- */

typedef struct list {
    np_poller **out;
    int max, count;
} list;

/* One whose last reference is gone is about to leave the registry, and is not revived. */
static bool try_ref(np_poller *p)
{
    uint32_t refs;
    while ((refs = np_load(&p->refs)) > 0)
        if (np_cas(&p->refs, refs, refs + 1))
            return true;
    return false;
}

static void add_to_list(np_poller *p, void *context)
{
    list *l = context;
    if (np_poller_closed(p))
        return;
    if (l->count >= l->max)
        l->count++;
    else if (try_ref(p))
        l->out[l->count++] = p;
}

int np_pollers(np_poller **out, int max)
{
    list l = {.out = out, .max = max, .count = 0};
    np_registry_each(-1, add_to_list, &l);
    return l.count;
}

/* --- threads in np_wait_fd -------------------------------------------------------------------- */

void np_fd_waiter_view(const np_fd_waiter *w, np_fd_wait_view *v)
{
    *v = (np_fd_wait_view){.fd = (np_fd)np_load64(&w->fd)};
    if (np_load(&w->generation) == np_load(&np_fork_generation))
        v->mode = (int)np_load(&w->mode);
    int64_t until = np_load64(&w->until);
    v->view = (np_mode_view){.state = NP_THREAD,
                             .waiter = (uintptr_t)np_load64(&w->thread),
                             .since = np_load64(&w->since),
                             .deadline = until == NP_NEVER ? 0 : until};
}

typedef struct fd_waiter_list {
    np_fd_wait_view *out;
    int max, count;
} fd_waiter_list;

static void add_fd_waiter(const np_fd_waiter *w, void *context)
{
    fd_waiter_list *all = context;
    np_fd_wait_view v;
    np_fd_waiter_view(w, &v);
    if (v.mode == 0)
        return;
    if (all->count < all->max)
        all->out[all->count] = v;
    all->count++;
}

int np_fd_waiters(np_fd_wait_view *out, int max)
{
    fd_waiter_list all = {.out = out, .max = max, .count = 0};
    np_registry_each_fd_waiter(-1, add_fd_waiter, &all);
    return all.count;
}
