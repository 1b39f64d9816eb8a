/* What scenarios of semaphores see of them: sema_whole.c. */
#ifndef SEMAS_H
#define SEMAS_H

#include <stdbool.h>

#include "netpoll.h"

int sema_waiters(const np_sema *s);     /* in its queue */
bool sema_is_settled(const np_sema *s); /* nobody changes the queue */
int sema_check_queues(void);            /* all are whole; how many wait in them */
void sema_await_waiters(np_sema *s, bool (*enabled)(void *), void *arg);

#endif
