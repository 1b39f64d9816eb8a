/* What a system with kqueue offers in <sys/event.h>, for csrc/backend/kqueue*.c in the explorer; the
 * names are those of the manual page, the numbers our own.  kqueue.c is the kernel behind it. */
#ifndef EXPLORE_SYS_EVENT_H
#define EXPLORE_SYS_EVENT_H

#include <stdint.h>
#include <time.h>

struct kevent {
    uintptr_t ident;
    short filter;
    unsigned short flags;
    unsigned fflags;
    int64_t data;
    void *udata;
};

enum { EVFILT_READ = -1, EVFILT_WRITE = -2, EVFILT_TIMER = -3, EVFILT_USER = -4 };
enum {
    EV_ADD = 1,
    EV_DELETE = 2,
    EV_ENABLE = 4,
    EV_ONESHOT = 16,
    EV_CLEAR = 32,
    EV_ERROR = 64,
    EV_EOF = 128
};
enum { NOTE_TRIGGER = 1, NOTE_NSECONDS = 2 };

int kqueue(void);
int kevent(int kq, const struct kevent *changes, int changes_n, struct kevent *events, int events_n,
           const struct timespec *timeout);

#endif
