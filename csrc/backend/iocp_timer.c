/* How long a thread blocks in the port, and the high-resolution timer.
 *
 * A port's own timeouts count in ticks of 15.6 ms.  Since Windows 10 1803 there is a better timer,
 * and a packet that it puts into the port when it expires.  A port has one; of several threads in
 * poll the first takes it.
 */
#include "backend/backend.h"

#ifdef NP_HAVE_IOCP
#include "backend/iocp.h"
#include "sys/ms.h"
#include "win32/interrupt_win32.h"

enum { COARSE_MS = 32 }; /* two ticks */

void np_iocp_open_timer(np_iocp_kernel *k)
{
    if (!np_open_highres_timer(&k->timer, &k->timer_packet))
        k->timer = NULL;
}

void np_iocp_close_timer(np_iocp_kernel *k)
{
    if (!k->timer)
        return;
    CloseHandle(k->timer_packet);
    CloseHandle(k->timer);
}

static bool start_timer(np_iocp_kernel *k, int64_t timeout)
{
    const np_ntapi *nt = np_ntapi_get();
    LARGE_INTEGER due = {.QuadPart = -((timeout + 99) / 100)}; /* negative: from now */
    void *key = (void *)(uintptr_t)NP_IOCP_KEY_TIMER;

    /* Since its last use the packet may still wait for the timer, or be in the port: it is taken
     * back.  That fails while the timer is just expiring; then one poll returns early. */
    if (nt->cancel_packet(k->timer_packet, TRUE) == STATUS_PENDING)
        return false;
    return SetWaitableTimer(k->timer, &due, 0, NULL, NULL, FALSE) &&
           NT_SUCCESS(
               nt->associate_packet(k->timer_packet, k->port, k->timer, key, NULL, 0, 0, NULL));
}

/* With the timer running the port's timeout is only a safety net.  A timeout that is far away is
 * approached by the coarse clock first. */
DWORD np_iocp_blocking_ms(np_iocp_kernel *k, int64_t timeout, bool *timer)
{
    const int64_t ms = 1000000;

    if (np_interrupt_recent() && (timeout < 0 || timeout > NP_INTERRUPT_SLICE_MS * ms))
        return NP_INTERRUPT_SLICE_MS;
    if (timeout < 0)
        return INFINITE;
    if (timeout > 0 && k->timer) {
        if (timeout > 2 * COARSE_MS * ms)
            timeout -= COARSE_MS * ms;
        else if (np_cas(&k->timer_in_use, 0, 1))
            *timer = start_timer(k, timeout) || (np_store(&k->timer_in_use, 0), false);
    }
    return (DWORD)np_ms(timeout);
}
#endif
