/* The kernel in miniature, inside: files, descriptors, sleepers; kernel.c, kqueue.c and iocp.c. */
#ifndef FILES_H
#define FILES_H

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>

#include "explore.h"

enum { FILES = 24, FDS = 24, REGS = 16 };
enum {
    FREE,
    A_SOCKET, /* Windows has SOCKET */
    EVENTFD,
    TIMERFD,
    EPOLL,
    KQUEUE,
    PORT, /* iocp.c: a completion port */
    AFD,  /* a handle of the driver of sockets */
    WAITABLE_TIMER,
    WAIT_PACKET /* brings a timer into a port */
};

/* What epoll was told of one descriptor. */
typedef struct registration {
    int file, fd; /* fd -1: free */
    uint32_t events;
    uint64_t data;
    bool listed; /* on the kernel's ready list: to be looked at by epoll_wait */
} registration;

/* One filter of a kqueue. */
typedef struct knote {
    uintptr_t ident;
    int filter; /* 0: free */
    int file;   /* that ident is a descriptor of, if it is one */
    unsigned flags;
    bool active; /* queued: to be looked at by kevent */
    int64_t when;
    void *udata;
} knote;

typedef struct file {
    int kind, refs;
    unsigned serial; /* the inode's number, which no two files have */
    int inside;      /* in epoll_wait, kevent or a port's call on it */
    uint64_t bytes;
    bool writable, error, hangup;
    bool pipe;    /* fstat says so */
    int64_t when; /* of a timer */
    registration regs[REGS];
    knote knotes[REGS];

    /* Of what reports through a completion port. */
    struct file *port;   /* NULL: it does not */
    uintptr_t key;       /* of its packets */
    struct file *target; /* of a WAIT_PACKET: the timer */
} file;

extern file files[FILES];
extern int fds[FDS]; /* file + 1, 0: closed */

/* Somebody asleep in a system call. */
typedef struct sleep_call {
    file *epoll, *kqueue, *port; /* or, if none: */
    const struct pollfd *pfds;
    nfds_t n;
    int64_t due;  /* 0: do not sleep, INT64_MAX: for ever */
    bool outside; /* a loop around a poller, which may be closed under it */
    actor *who;
} sleep_call;

void kernel_point(const char *text);            /* a system call is made */
bool kernel_fails(int error, const char *text); /* a choice; errno is set */
file *file_of(int fd);
file *must(int fd, int kind);
int new_file(int kind);
uint32_t state_of(const file *f); /* as EPOLLIN, EPOLLOUT, ... */
void changed(const file *f, uint32_t what);
int64_t due_in(int64_t timeout);
bool sleep_until(sleep_call *c, const char *text); /* false: interrupted */

/* kqueue.c */
bool kqueue_is_readable(const file *kq);
bool kqueue_has_events(const file *kq);
void kqueue_changed(const file *f, uint32_t what);
void kqueue_forget(int fd); /* the number is closed */
int64_t kqueue_next_timer(void);

/* iocp.c */
bool iocp_has_packets(const file *port);
void iocp_changed(const file *f);
void iocp_gone(const file *f); /* its last handle is closed */
int64_t iocp_next_timer(void);
void iocp_reset(void);
void iocp_finish(void);

#endif
