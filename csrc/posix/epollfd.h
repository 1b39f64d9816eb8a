/* epoll as a tool, for epoll.c, and for what poll.c cannot do alone: know a file again by its
 * number, and be watched by a loop outside.  -ENOSYS on systems without one.
 *
 * An epoll keys its registrations by file and number.  One whose number was given to another file
 * (closed, or dup2) before it was removed stays while the file lives on under another number, and
 * cannot be removed; until the file gets the number back, when it is in the way.
 */
#ifndef NP_EPOLLFD_H
#define NP_EPOLLFD_H

#include <stdint.h>

int np_epoll_create(void); /* the descriptor */
int np_epoll_add(int epfd, int fd, uint32_t events, uint64_t tag);
int np_epoll_remove(int epfd, int fd);
/* Is epfd an epoll, and was this very file added as fd?  1, 0, or -errno if nobody can tell now. */
int np_epoll_has(int epfd, int fd);

/* Level-triggered: from some of POLLIN and POLLOUT to others (0: none). */
int np_epoll_watch(int epfd, int fd, int before, int after);

/* np_epoll_add has failed with -EEXIST.  1: a registration that outlived its number was in the way,
 * and is gone.  0: it is the one with tag, known to the caller (0: it knows of none). */
int np_epoll_reclaim(int epfd, int fd, uint32_t events, uint64_t tag);

/* epoll_list.c: has it a registration of the number with this tag, whatever its file? */
int np_epoll_lists(int epfd, int fd, uint64_t tag);

#endif
