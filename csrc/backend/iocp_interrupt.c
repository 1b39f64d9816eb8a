/* Ctrl-C in the iocp backend: every thread that is in poll comes back with -EINTR.
 *
 * Each gets a packet, but any thread may take it, even all of them at once.  So a thread knows by
 * the count of Ctrl-Cs whether one came while it was in poll, and packets that are due to others go
 * back into the port.
 */
#include "backend/backend.h"

#ifdef NP_HAVE_IOCP
#include "backend/iocp.h"

static np_mutex kernels_lock = NP_MUTEX_INIT; /* taken before the lock of any of them */
static np_link kernels = {&kernels, &kernels};

void np_iocp_register(np_iocp_kernel *k)
{
    np_mutex_lock(&kernels_lock);
    np_list_append(&kernels, &k->link);
    np_mutex_unlock(&kernels_lock);
}

void np_iocp_unregister(np_iocp_kernel *k)
{
    np_mutex_lock(&kernels_lock);
    np_list_remove(&k->link);
    np_mutex_unlock(&kernels_lock);
}

static void interrupt(np_iocp_kernel *k)
{
    np_mutex_lock(&k->lock);
    k->ctrl_c_count++;
    k->interrupts_due = k->inside;
    for (uint32_t i = 0; i < k->inside; i++)
        np_iocp_post(k, NP_IOCP_KEY_INTERRUPT);
    np_mutex_unlock(&k->lock);
}

void np_iocp_interrupt(void)
{
    np_mutex_lock(&kernels_lock);
    for (np_link *l = kernels.next; l != &kernels; l = l->next)
        interrupt(NP_CONTAINER(l, np_iocp_kernel, link));
    np_mutex_unlock(&kernels_lock);
}

bool np_iocp_take_interrupts(np_iocp_kernel *k, uint32_t packets, bool was_inside)
{
    k->interrupts_due -= was_inside;
    uint32_t others = packets < k->interrupts_due ? packets : k->interrupts_due;
    for (uint32_t i = 0; i < others; i++)
        np_iocp_post(k, NP_IOCP_KEY_INTERRUPT);
    return was_inside || packets > others;
}
#endif
