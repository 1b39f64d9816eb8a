/* Ctrl-C, for threads that are blocked in the core.
 *
 * On POSIX a signal ends the system call that a thread blocks in, and the core returns
 * NP_INTERRUPTED for the host to run its handlers.  Windows runs a console program's handlers in a
 * thread of their own, and every other thread sleeps on.  So the core has a handler too, which
 * makes every blocked call return NP_INTERRUPTED.
 *
 * It is called before the host's own (the last one installed comes first), so a thread that it
 * interrupts may find that nothing has happened yet and go back to sleep.  For a second after a
 * Ctrl-C, therefore, no wait lasts longer than a slice; at all other times waits are not sliced.
 */
#ifndef NP_INTERRUPT_WIN32_H
#define NP_INTERRUPT_WIN32_H

#include "sys/sync.h"

enum { NP_INTERRUPT_SLICE_MS = 10 };

/* Install the handler, the first time.  It calls of_pollers, which makes the threads that are
 * blocked in a poller's kernel object return -EINTR. */
void np_interrupt_install(void (*of_pollers)(void));

/* May the host be about to handle a Ctrl-C? */
bool np_interrupt_recent(void);

/* futex_win32.c: the same, for threads that are parked. */
void np_futex_interrupt(void);

#endif
