/* netpoll: Go's runtime network poller as a C library.
 *
 * One page to learn it by:
 *
 *   np_poller_new    a poller: one kernel object (epoll, kqueue, ...), one heap of deadlines
 *   np_open          register a descriptor once, edge-triggered, for both modes -> np_desc
 *   np_reset         before an I/O attempt: forget a pending notification
 *   np_wait          block the calling thread until the mode is ready, its deadline passes,
 *                    or somebody closes the descriptor
 *   np_park, np_poll, np_resume, np_cancel
 *                    the same wait, cut in two for schedulers of coroutines
 *   np_set_deadline  from any thread, also under a waiter
 *   np_unblock       evict: present and later waits end with NP_CLOSED
 *   np_close         unblock and deregister; the fd itself is the caller's
 *
 * Threads.  Every function may be called from any thread at any time, provided that the caller
 * holds a reference to the object it passes (np_poller_new and np_open give one each; np_desc
 * references keep the poller's memory alive too).  np_wake may be called from a signal handler.
 *
 * Results.  A function that returns int returns NP_OK (0), one of the positive NP_ codes, or a
 * negated errno value (-EBADF, -ENOMEM, ...) when a system call failed; nothing is half done then.
 *
 * The part between the two "cdef" lines is also what the Python binding is generated from: plain
 * declarations only.
 */
#ifndef NETPOLL_H
#define NETPOLL_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* cdef: begin */

/* Modes.  The same numbers as selectors.EVENT_READ and EVENT_WRITE. */
#define NP_READ 1
#define NP_WRITE 2

/* Results of the calls that wait.  1 to 3 are Go's pollErrClosing, pollErrTimeout and
 * pollErrNotPollable, reported in this order of preference. */
#define NP_OK 0
#define NP_CLOSED 1       /* the descriptor, or its poller, was closed or evicted */
#define NP_TIMEOUT 2      /* the mode's deadline has passed */
#define NP_NOT_POLLABLE 3 /* the kernel reported an error and nothing else */
#define NP_BUSY 4         /* somebody else waits for this mode already */
#define NP_INTERRUPTED 5  /* a signal arrived; nothing is lost, call again */
#define NP_PARKED 6       /* np_park: the token will come out of np_poll */
#define NP_AGAIN 7        /* np_resume: not ready and no error: park again */

/* np_set_deadline: no deadline.  Any other value is nanoseconds from now. */
#define NP_NEVER 0x7fffffffffffffff

/* np_park: wait for readiness only; an expired deadline and np_unblock do not end the wait (Go's
 * pollWaitCanceled).  np_close and np_poller_close do: after them readiness can never come. */
#define NP_IO_ONLY 1

typedef intptr_t np_fd;     /* a file descriptor; on Windows a SOCKET or HANDLE */
typedef uintptr_t np_token; /* a scheduler's own value, not interpreted */

typedef struct np_poller np_poller;
typedef struct np_desc np_desc;

typedef struct np_stats {
    uint64_t open;            /* descriptors registered now */
    uint64_t parked_readers;  /* threads and tokens waiting for READ now */
    uint64_t parked_writers;  /* ... for WRITE */
    uint64_t polls;           /* calls into the kernel to collect events */
    uint64_t events;          /* events collected */
    uint64_t stale_events;    /* ... of them dropped, their descriptor being gone */
    uint64_t deadlines_fired; /* deadlines that expired (a combined one counts once) */
    uint64_t wakeups;         /* times that a driver was woken by np_wake or internally */
} np_stats;

/* --- pollers --------------------------------------------------------------------------------- */

/* The name of the i-th backend usable in this build on this machine, best first; NULL past the
 * last. */
const char *np_backend_name(int i);

/* Create a poller with one reference.  backend NULL: the best.  An unknown or unusable name:
 * -ENOSYS.  Out of descriptors or memory: the errno. */
int np_poller_new(const char *backend, np_poller **out);

/* Close: every waiter, every np_poll in progress and every later call gets NP_CLOSED.  Kernel
 * objects are given back as soon as the last driver has left them.  Idempotent. */
void np_poller_close(np_poller *p);

void np_poller_ref(np_poller *p);
void np_poller_unref(np_poller *p); /* the last one closes the poller and frees its memory */

const char *np_poller_backend(const np_poller *p);
int np_poller_closed(const np_poller *p);

/* Collect kernel events and fire due deadlines; wake the threads concerned; store the tokens that
 * became ready, each exactly once, in tokens[0..max) and their number in *n.  timeout_ns < 0
 * blocks, 0 never blocks.  May return NP_OK with *n == 0 before the timeout.  NP_INTERRUPTED on a
 * signal. */
int np_poll(np_poller *p, int64_t timeout_ns, np_token *tokens, int max, int *n);

/* Tokens that are ready already, without a look at the kernel; works on a closed poller too, whose
 * parked tokens all become ready.  Returns their number. */
int np_take_ready(np_poller *p, np_token *tokens, int max);

/* Go's netpollBreak: the np_poll in progress, or else the next blocking one, returns early.
 * Async-signal-safe.  Wake-ups before a poll collapse into one. */
void np_wake(np_poller *p);

/* A descriptor that is readable when np_poll(0) has work: events, tokens, a due deadline.
 * -ENOSYS where the system has none. */
int np_poller_fileno(np_poller *p, np_fd *out);

/* Nanoseconds until the earliest deadline (0: due), or -1 for none. */
int64_t np_next_deadline(np_poller *p);

/* Is fd one of the descriptors that p itself (or with NULL any open poller) is made of? */
int np_is_poll_descriptor(np_poller *p, np_fd fd);

void np_poller_stats(np_poller *p, np_stats *out);

/* --- descriptors ----------------------------------------------------------------------------- */

/* Register fd.  The caller gets one reference.  -EBADF: not a descriptor; -EPERM: a kind of file
 * that the kernel cannot poll; -EEXIST: open on this poller already; NP_CLOSED: the poller is. */
int np_open(np_poller *p, np_fd fd, np_desc **out);

/* The last one closes, and gives the slot back to the poll cache.  A token in the ready queue holds
 * one too, until np_poll gives it out. */
void np_desc_ref(np_desc *d);
void np_desc_unref(np_desc *d);

np_fd np_desc_fd(const np_desc *d);
np_poller *np_desc_poller(const np_desc *d); /* borrowed */
int np_desc_closed(const np_desc *d);        /* closed, evicted, or its poller closed */

/* Drop a pending notification.  NP_OK or what np_wait would return without blocking. */
int np_reset(np_desc *d, int mode);

/* Wait in the calling thread. */
int np_wait(np_desc *d, int mode);
int np_wait_canceled(np_desc *d, int mode); /* with NP_IO_ONLY */

/* Wait for a scheduler.  NP_OK: ready now, the notification is consumed.  NP_PARKED: token comes
 * out of exactly one later np_poll of the descriptor's poller, unless np_cancel withdraws it.
 * Then np_resume tells why. flags: 0 or NP_IO_ONLY, the same in both calls. */
int np_park(np_desc *d, int mode, np_token token, int flags);
int np_resume(np_desc *d, int mode, int flags);

/* Withdraw a parked token: 1 and *token, or 0 when there is none parked (it is out, or about to
 * come out, or the waiter is a thread). */
int np_cancel(np_desc *d, int mode, np_token *token);

/* The same for this token alone: another's stays parked, and 0 is returned.  For a host whose
 * schedulers, several on one descriptor, cannot know who parked last. */
int np_cancel_token(np_desc *d, int mode, np_token token);

/* Set the deadline of the modes (NP_READ, NP_WRITE or both) to timeout_ns nanoseconds from now;
 * <= 0 expires them at once; NP_NEVER, or an instant past the end of the clock, clears them.
 * NP_CLOSED after close; -ENOMEM leaves the deadlines as they were. */
int np_set_deadline(np_desc *d, int64_t timeout_ns, int modes);

/* The same with an instant of np_now; NP_NEVER clears. */
int np_set_deadline_at(np_desc *d, int64_t when, int modes);

/* Nanoseconds left until the mode's deadline in *left, 0 or less once expired; returns 0 if the
 * mode has no deadline, else 1. */
int np_deadline(const np_desc *d, int mode, int64_t *left);

/* Is a notification remembered for the mode?  (For repr and debugging: it may change at once.) */
int np_is_ready(const np_desc *d, int mode);
/* Does a thread or a token wait for the mode? */
int np_is_parked(const np_desc *d, int mode);

/* Is the mode's token still inside: parked, or ready and not given out?  (For a host whose garbage
 * collector wants to know who owns what; exact while nobody is in np_poll.) */
int np_holds_token(const np_desc *d, int mode);

/* From now on an event that is an error and nothing else counts as readiness: for those who meet
 * the error in their I/O. */
void np_errors_are_ready(np_desc *d);

/* Does a short read, or write, of a stream prove that the next edge is still to come?  Not any
 * more once an event has told of a hang-up, an error or urgent data: there may be more to read
 * then, and no edge to tell of it. */
int np_short_is_drained(const np_desc *d);

/* As if an event had told that modes are ready: for those who have seen that they are. */
void np_set_ready(np_desc *d, int modes);

int np_unblock(np_desc *d); /* Go's evict; idempotent */
int np_close(np_desc *d);   /* unblock and deregister before returning; idempotent */

/* --- users of a file descriptor ------------------------------------------------------------- */

/* Go's fdMutex, the lock of a descriptor's users: operations of one mode are served one at a time,
 * and the number is given back when the last operation after close has left.  All zero: open,
 * nobody inside.  mode 0 is a reference without a lock. */
typedef struct np_fdmutex {
    uint32_t state;
} np_fdmutex;

/* NP_OK: the mode is the caller's, until np_fdmutex_unlock; NP_BUSY: somebody else's; NP_CLOSED. */
int np_fdmutex_lock(np_fdmutex *m, int mode);

/* The same, for hosts that keep a queue for each mode, with the queue's lock held: instead of
 * NP_BUSY comes NP_PARKED, and the caller must enter the queue. */
int np_fdmutex_lock_or_queue(np_fdmutex *m, int mode);

/* NP_OK; NP_CLOSED: that was the last reference, give the number back; NP_BUSY: not unlocked, for
 * there is a queue: take its lock and hand the mode over to the first in it, or, if it has become
 * empty, call np_fdmutex_dequeued, with the lock held, and unlock again. */
int np_fdmutex_unlock(np_fdmutex *m, int mode);
void np_fdmutex_dequeued(np_fdmutex *m, int mode);

/* Nobody gets in from now on.  NP_OK: the caller has a reference (of mode 0), and is to end the
 * waits of those inside and in the queues; NP_CLOSED: somebody did already. */
int np_fdmutex_close(np_fdmutex *m);
int np_fdmutex_closed(const np_fdmutex *m);

/* --- seeing inside ---------------------------------------------------------------------------- */

/* What a mode of a descriptor is doing. */
#define NP_IDLE 0     /* no notification, nobody waits */
#define NP_READY 1    /* a notification is remembered */
#define NP_ENTERING 2 /* somebody is about to wait, or to find that there is no need to */
#define NP_THREAD 3   /* a thread waits */
#define NP_TOKEN 4    /* a token is parked */
#define NP_QUEUED 5   /* a token is ready, and no np_poll has given it out */
#define NP_OUT 6      /* a token was given out, and np_resume has not been called */

typedef struct np_mode_view {
    int state;
    uintptr_t waiter; /* the token, or the thread as its pthread_t or its id on Windows; else 0 */
    int64_t since;    /* when it parked: the clock at the kernel's last tick; 0: nobody did */
    int64_t deadline; /* 0: none, -1: it has expired, else the instant */
} np_mode_view;

typedef struct np_desc_view {
    np_desc *desc; /* to compare with others: it may be gone by the time that you look */
    np_fd fd;
    int evicted;          /* np_unblock was called */
    np_mode_view mode[2]; /* READ, WRITE */
} np_desc_view;

typedef struct np_poller_view {
    int closed;
    int descriptors;       /* open now */
    int polls_inside;      /* np_poll calls that are asking the kernel now */
    int threads_inside;    /* threads in np_wait that do so, for all of them: at most one */
    int threads_following; /* threads in np_wait that sleep meanwhile */
    int tokens_ready;      /* in the ready queue */
    int wake_pending;      /* np_wake was called, and no np_poll has answered it */
    int64_t deadline;      /* the earliest, an instant; 0 for none */
} np_poller_view;

/* All open pollers of the process, by age: up to max of them are stored, each with a reference for
 * the caller; returns how many there are. */
int np_pollers(np_poller **out, int max);

/* What a poller and its descriptors are doing, all at one moment.  Up to max descriptors are
 * stored; returns how many there are, or -EBUSY if patience_ns was not enough to get the poller's
 * lock (< 0: wait for it).  Nothing is allocated, and nothing is disturbed. */
int np_poller_snapshot(np_poller *p, np_poller_view *poller, np_desc_view *descs, int max,
                       int64_t patience_ns);

/* A thread in np_wait_alone, which no poller knows. */
typedef struct np_alone_view {
    np_fd fd;
    int mode;
    np_mode_view view; /* its deadline is the end of the wait */
} np_alone_view;

/* All of them.  Up to max are stored; returns how many there are. */
int np_waiting_alone(np_alone_view *out, int max);

/* What is open as fd, in words: addresses of a socket, "pipe", ...  Async-signal-safe, and fd is
 * left as it is.  Returns the length of the text, which is cut to fit and ends with a NUL. */
int np_describe_fd(np_fd fd, char *text, int size);

/* Write what np_pollers, np_poller_snapshot and np_waiting_alone see to a file descriptor, as text
 * for people. Async-signal-safe: a poller whose lock is not to be had within milliseconds is passed
 * over, saying so. */
void np_report(int fd);

/* Let a signal write the report to fd, from the handler itself: whatever the program is stuck in.
 * chain: then do what the signal did before.  -ENOSYS on Windows, -EINVAL for a signal that cannot
 * be handled, or the errno.  fd -1: no more; the signal does again what it did before. */
int np_report_on_signal(int signum, int fd, int chain);

/* --- the host program ------------------------------------------------------------------------ */

/* Monotonic nanoseconds, the clock of all deadlines. */
int64_t np_now(void);

/* The host runs handlers of its own for signals, once a call has returned NP_INTERRUPTED.  From now
 * on np_wait, np_poll and np_wait_alone return that to the main thread also when a signal may have
 * come while nobody was looking, 20 ms after the thread has run last; and if the host comes again
 * at once, after twice the time, and so on. */
void np_look_for_signals(void);

/* Bytes of one descriptor slot in the poll cache. */
int np_desc_size(void);

/* Kernel features in use, for `python -m netpoll`: a short text such as
 * "epoll_pwait2, eventfd, futex". */
const char *np_features(void);

/* cdef: end */

/* Called around the part of np_wait and np_poll that may block, never with a lock held: a host
 * with a global interpreter lock gives it back in enter() and takes it again in leave(), which
 * gets what enter() returned.  Set once, before any other call. */
void np_set_blocking_hooks(void *(*enter)(void), void (*leave)(void *));

/* --- a thread by itself ---------------------------------------------------------------------- */

/* For users that have one waiter a mode and know it: the thread waits for one descriptor without a
 * poller, and is woken by its bell for all else.  A bell belongs to one thread at a time. */
typedef struct np_bell np_bell;

#ifndef _WIN32
int np_bell_new(np_bell **out);
void np_bell_free(np_bell *b);
void np_bell_ring(np_bell *b); /* from any thread; not lost if nobody waits yet */

/* Until fd is ready for mode (NP_OK), or the clock says `until` (NP_TIMEOUT; NP_NEVER: no end), or
 * the bell rings (NP_AGAIN, and once after a fork, when it may have rung in vain); NP_INTERRUPTED
 * on a signal. */
int np_wait_alone(np_bell *b, np_fd fd, int mode, int64_t until);
#endif

#ifdef __cplusplus
}
#endif
#endif
