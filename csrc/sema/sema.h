/* Semaphores, for the layers above: the public functions stand in netpoll.h. */
#ifndef NP_SEMA_H
#define NP_SEMA_H

#include "core/waiter.h"

int np_sema_install(void); /* before the first waiter; 0 or -ENOMEM */

/* Release the unit of a semaphore that has one only, and whose owner keeps in *holder the thread
 * that has it: stored after it was taken.  Here *holder becomes 0 before the unit is free, or the
 * thread that it is handed to in the same critical section.  So in a forked child a unit that is
 * taken, and not by the thread that is left, is lost, and has to be released there. */
void np_sema_hand_over(np_sema *s, uintptr_t *holder);

/* For reports: visit all waiters at semaphores, threads and tokens, under their roots' locks.
 * False if some were left out, whose lock was not free within timeout_ns (< 0: wait for it). */
bool np_sema_each(int64_t timeout_ns, void (*visit)(const np_waiting *w, void *context),
                  void *context);

#endif
