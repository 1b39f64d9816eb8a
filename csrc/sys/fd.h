/* What the core asks of a descriptor itself: posix/posixfd.c, win32/afd_win32.c. */
#ifndef NP_FD_H
#define NP_FD_H

#include <stdbool.h>

#include "netpoll.h"

/* Does the kernel report an error and nothing else, and is it the descriptor's end?  A socket's is
 * not: its reads and writes report it, and go on. */
bool np_fd_is_broken(np_fd fd);

#endif
