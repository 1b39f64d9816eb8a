/* csrc/backend/iocp_interrupt.c and csrc/win32/interrupt_win32.c with their statics in reach: an
 * execution that was given up may have left them in any state. */
#include "backend/iocp_interrupt.c"

#include "win32/interrupt_win32.c"

void interrupt_reset(void);

void interrupt_reset(void)
{
    np_mutex_init(&kernels_lock);
    np_list_init(&kernels);
    recent_until.value = 0;
}
