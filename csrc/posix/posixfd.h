/* Small tools that the POSIX backends share: a wake object, replacing a descriptor under its
 * number. */
#ifndef NP_POSIXFD_H
#define NP_POSIXFD_H

#include <stdbool.h>
#include <stdint.h>

#include "sys/fd.h"

#ifndef _WIN32 /* where nest.c is compiled too */
#include <poll.h>
#endif

/* Something that a signal handler can make readable: an eventfd on Linux, a pipe elsewhere.  Where
 * there is one thread, and no handlers, nothing is signalled while it sleeps: there it is a flag,
 * and its numbers are negative. */
typedef struct np_wakefd {
    int reader, writer;
    bool signalled;
} np_wakefd;

int np_wakefd_open(np_wakefd *w);
void np_wakefd_close(np_wakefd *w);
int np_wakefd_renew(np_wakefd *w); /* after a fork: a new one, as np_replace_fd */
int np_wakefd_signal(np_wakefd *w);
void np_wakefd_drain(np_wakefd *w);

/* Put fresh in the place of the descriptor number, or where another file has that by now, leave
 * that alone: fresh is the number from then on.  A negative number is any.  Negative: -errno. */
int np_replace_fd(int fresh, int *number);

#ifndef _WIN32
/* poll(2), to the nanosecond where the system can; < 0: for ever.  The count, or -errno; -ENOSYS if
 * nothing could ever end it. */
int np_poll_fds(struct pollfd *pfds, nfds_t n, int64_t timeout);

/* The same, with the wake object in pfds[0], which the caller need not fill in. */
int np_poll_wakefd(const np_wakefd *w, struct pollfd *pfds, nfds_t n, int64_t timeout);
#endif

#endif
