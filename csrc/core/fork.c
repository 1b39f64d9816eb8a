/* All pollers of the process, and what fork does to them.
 *
 * A kernel object is shared after a fork: what one process deregisters or drains there, the other
 * has lost.  So the child gets objects of its own.  The handlers here only see to it that the
 * child finds every poller whole (all locks are held across the fork) and marked; the first call
 * that needs the kernel then renews it (np_ensure_kernel), where an error can be reported.
 *
 * The child's only thread is the one that forked.  It is not inside the core (a signal handler
 * that forks runs after its wait was withdrawn), so every thread that was parked or driving is
 * gone; tokens stay, for their schedulers may go on.
 *
 * Order of locks: the registry's, those of the layers above (np_fork_hooks, the last added first),
 * the pollers'.  In the child the lowest layer goes first, so each finds those below in order.
 */
#include "core/internal.h"

static np_mutex registry_lock = NP_MUTEX_INIT;
static np_link registry = {&registry, &registry};
static np_link fd_waiters = {&fd_waiters, &fd_waiters}; /* the same lock guards them */
np_atomic32 np_fork_generation;
static np_fork_hooks *hooks; /* likewise guarded */

#define EACH_POLLER(p)                                                                             \
    for (np_link *l = registry.next;                                                               \
         l != &registry && (p = NP_CONTAINER(l, np_poller, registry)) != NULL; l = l->next)

#ifdef NP_HAVE_FORK

static void before_fork(void)
{
    np_poller *p = NULL;
    np_mutex_lock(&registry_lock);
    for (np_fork_hooks *h = hooks; h; h = h->next)
        h->before();
    EACH_POLLER(p)
    {
        np_mutex_lock(&p->lock);
    }
}

static void after_fork_in_parent(void)
{
    np_poller *p = NULL;
    EACH_POLLER(p)
    {
        np_mutex_unlock(&p->lock);
    }
    for (np_fork_hooks *h = hooks; h; h = h->next)
        h->parent();
    np_mutex_unlock(&registry_lock);
}

static void drop_threads(np_desc *d)
{
    for (int i = 0; i < 2; i++) {
        np_met(sem, np_peek(&d->side[i].sem), "fork");
        if (np_load(&d->side[i].sem) == SEM_THREAD)
            np_store(&d->side[i].sem, SEM_NIL);
        else
            np_block_abort(&d->side[i]);
    }
}

static uint32_t tokens_parked(const np_poller *p, int mode)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < p->fds.capacity; i++)
        if (p->fds.buckets[i])
            n += np_load(&np_side_of(p->fds.buckets[i], mode)->sem) == SEM_TOKEN;
    return n;
}

static void reset_in_child(np_poller *p)
{
    np_mutex_init(&p->lock);
    np_list_init(&p->drivers);
    np_list_init(&p->followers);
    np_foreign_reset_in_child(p);
    np_store(&p->signallers, 0);
    np_store(&p->signalled, 0);
    for (uint32_t i = 0; i < p->fds.capacity; i++)
        if (p->fds.buckets[i])
            drop_threads(p->fds.buckets[i]);
    for (int mode = NP_READ; mode <= NP_WRITE; mode++) {
        np_store(&p->parked[mode - 1], tokens_parked(p, mode));
        p->unparked[mode - 1] = 0;
    }
    if (np_load(&p->state) == STATE_OPEN)
        np_store(&p->state, STATE_FORKED);
    else if (np_load(&p->state) == STATE_CLOSED)
        np_release_kernel(p);
}

static void reset_layers_in_child(const np_fork_hooks *highest)
{
    if (!highest)
        return;
    reset_layers_in_child(highest->next);
    highest->child();
}

static void after_fork_in_child(void)
{
    np_poller *p = NULL;
    np_inc(&np_fork_generation);
    np_mutex_init(&registry_lock);
    EACH_POLLER(p)
    {
        reset_in_child(p);
    }
    reset_layers_in_child(hooks);
}

static int install(void)
{
    static bool installed; /* under the registry's lock */
    if (!installed && pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child) != 0)
        return -ENOMEM;
    installed = true;
    return 0;
}

#else

static int install(void)
{
    return 0; /* no fork */
}

#endif

int np_fork_install(void)
{
    np_mutex_lock(&registry_lock);
    int rc = install();
    np_mutex_unlock(&registry_lock);
    return rc;
}

int np_fork_add(np_fork_hooks *added)
{
    np_mutex_lock(&registry_lock);
    int rc = install();
    bool known = false;
    for (const np_fork_hooks *h = hooks; h; h = h->next)
        known = known || h == added;
    if (rc == 0 && !known) {
        added->next = hooks;
        hooks = added;
    }
    np_mutex_unlock(&registry_lock);
    return rc;
}

int np_registry_add(np_poller *p)
{
    np_mutex_lock(&registry_lock);
    int rc = install();
    if (rc == 0)
        np_list_append(&registry, &p->registry);
    np_mutex_unlock(&registry_lock);
    return rc;
}

void np_registry_remove(np_poller *p)
{
    np_mutex_lock(&registry_lock);
    np_list_remove(&p->registry);
    np_mutex_unlock(&registry_lock);
}

bool np_registry_each(int64_t timeout_ns, void (*visit)(np_poller *p, void *context), void *context)
{
    np_poller *p = NULL;
    if (!np_mutex_timedlock(&registry_lock, timeout_ns))
        return false;
    EACH_POLLER(p)
    {
        visit(p, context);
    }
    np_mutex_unlock(&registry_lock);
    return true;
}

void np_registry_add_fd_waiter(np_fd_waiter *w)
{
    np_mutex_lock(&registry_lock);
    np_list_append(&fd_waiters, &w->link);
    np_mutex_unlock(&registry_lock);
}

void np_registry_remove_fd_waiter(np_fd_waiter *w)
{
    np_mutex_lock(&registry_lock);
    np_list_remove(&w->link);
    np_mutex_unlock(&registry_lock);
}

bool np_registry_each_fd_waiter(int64_t timeout_ns,
                                void (*visit)(const np_fd_waiter *w, void *context), void *context)
{
    if (!np_mutex_timedlock(&registry_lock, timeout_ns))
        return false;
    for (np_link *l = fd_waiters.next; l != &fd_waiters; l = l->next)
        visit(NP_CONTAINER(l, np_fd_waiter, link), context);
    np_mutex_unlock(&registry_lock);
    return true;
}

static bool owns_fd(np_poller *p, np_fd fd)
{
    np_mutex_lock(&p->lock);
    bool ours = p->kernel && p->backend->is_poll_descriptor(p->kernel, fd);
    np_mutex_unlock(&p->lock);
    return ours;
}

int np_is_poll_descriptor(np_poller *p, np_fd fd)
{
    if (p)
        return owns_fd(p, fd);
    bool found = false;
    np_mutex_lock(&registry_lock);
    EACH_POLLER(p)
    {
        found = found || owns_fd(p, fd);
    }
    np_mutex_unlock(&registry_lock);
    return found;
}
