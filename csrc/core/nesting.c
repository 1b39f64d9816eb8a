/* Nesting: what a poller shows to a loop around it.  posix/nest.c makes the descriptor. */
#include "core/internal.h"

int np_poller_fileno(np_poller *p, np_fd *out)
{
    np_wake_q wake_q;

    np_lock(p, &wake_q);
    int rc = np_ensure_kernel(p, &wake_q);
    if (rc == NP_OK)
        rc = p->backend->fileno(p->kernel, out);
    p->nested = p->nested || rc == 0;
    np_unlock(p, &wake_q);
    return rc;
}

/* Before the lock is released.  The timer expires at the first deadline, or before: it is not set
 * anew when that moves later, but when it has expired and np_poll has found nothing due. */
void np_sync_nest(np_poller *p)
{
    bool work = p->ready.first || np_load(&p->foreign_work);
    int64_t first = np_heap_top(&p->heap), when = first == INT64_MAX ? 0 : first;
    bool timer_expired = p->nest_when && p->nest_when <= np_now();

    if ((when && (!p->nest_when || when < p->nest_when)) || timer_expired) {
        p->backend->nest_timer(p->kernel, when);
        p->nest_when = when;
    }
    if (work == p->nest_work)
        return;
    p->nest_work = work;
    p->backend->nest_work(p->kernel, work);
}
