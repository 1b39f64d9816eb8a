/* csrc/backend_iocp.c and csrc/interrupt_win32.c with their statics in reach: an execution that was
 * given up may have left them in any state. */
#include "backend_iocp.c"

#include "interrupt_win32.c"

void iocp_core_reset(void);

void iocp_core_reset(void)
{
    np_mutex_init(&all_lock);
    all = NULL;
    recent_until.value = 0;
}
