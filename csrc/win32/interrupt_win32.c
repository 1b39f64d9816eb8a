/* Ctrl-C: see interrupt_win32.h. */
#include "win32/interrupt_win32.h"

#include "netpoll.h"

static const int64_t RECENT = 1000000000;

static np_atomic64 recent_until;
static void (*interrupt_pollers)(void); /* set before the handler is installed */

bool np_interrupt_recent(void)
{
    int64_t until = np_load64(&recent_until);
    return until != 0 && np_now() < until;
}

static BOOL WINAPI on_console_event(DWORD event)
{
    if (event == CTRL_C_EVENT || event == CTRL_BREAK_EVENT) {
        np_store64(&recent_until, np_now() + RECENT);
        np_futex_interrupt();
        interrupt_pollers();
    }
    return FALSE; /* not handled: the host's handler comes next */
}

static BOOL CALLBACK install(INIT_ONCE *once, void *argument, void **context)
{
    (void)once;
    (void)context;
    interrupt_pollers = *(void (**)(void))argument;
    SetConsoleCtrlHandler(on_console_event, TRUE); /* a program without a console needs none */
    return TRUE;
}

void np_interrupt_install(void (*of_pollers)(void))
{
    static INIT_ONCE once = INIT_ONCE_STATIC_INIT;
    InitOnceExecuteOnce(&once, install, &of_pollers, NULL);
}
