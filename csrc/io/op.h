/* Between file.c and op.c. */
#ifndef NP_OP_H
#define NP_OP_H

#include "io/file.h"

void np_file_lock(np_file *f);
void np_file_unlock(np_file *f);
NP_COLD int np_file_retire(np_file *f, int mode);
int np_file_bind_locked(np_file *f, int mode);
/* For numbers that another has registered with the poller that is wanted; one for all files. */
int np_file_overflow_poller(np_poller **out);

#ifndef _WIN32
/* np_wait_fd, between np_blocking_enter and np_blocking_leave. */
int np_wait_fd_released(np_waker *w, np_fd fd, int mode, int64_t until);
#endif

static inline int64_t np_earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static inline int64_t np_half_limit(const np_half *h)
{
    return np_earlier(np_load64(&h->limit), np_load64(&h->deadline));
}

#endif
