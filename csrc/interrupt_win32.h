/* Ctrl-C, for threads that are blocked in the core.
 *
 * On POSIX a signal ends the system call that a thread blocks in, and the core returns
 * NP_INTERRUPTED for the host to run its handlers.  Windows runs a console program's handlers in a
 * thread of their own, and every other thread sleeps on.  So the core has a handler too, which
 * sends everyone who is blocked back with NP_INTERRUPTED.
 *
 * It is called before the host's own (the last one installed comes first), so a thread that it
 * sends back may find that nothing has happened yet and go back to sleep.  For a second after a
 * Ctrl-C, therefore, no wait lasts longer than a slice; at all other times waits are not sliced.
 */
#ifndef NP_INTERRUPT_WIN32_H
#define NP_INTERRUPT_WIN32_H

#include "sync.h"

enum { NP_INTERRUPT_SLICE_MS = 10 };

/* Install the handler, the first time. */
void np_interrupt_install(void);

/* May the host be about to handle a Ctrl-C? */
bool np_interrupt_recent(void);

/* Who has threads blocked: each sends them back with -EINTR. */
void np_park_interrupt(void); /* park_win32.c */
void np_iocp_interrupt(void); /* backend_iocp.c */

#endif
