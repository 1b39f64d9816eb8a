/* netpoll: Go's runtime network poller as a C library.
 *
 * One page to learn it by:
 *
 *   np_poller_new    a poller: one kernel object (epoll, kqueue, ...), one heap of deadlines
 *   np_open          register a descriptor once, edge-triggered, for both modes -> np_desc
 *   np_reset         before an I/O attempt: forget a pending notification
 *   np_wait          block the calling thread until the mode is ready, its deadline passes,
 *                    or the descriptor is closed
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
#define NP_BUSY 4         /* another waits for this mode already */
#define NP_INTERRUPTED 5  /* a signal arrived; nothing is lost, call again */
#define NP_PARKED 6       /* np_park: the token will come out of np_poll */
#define NP_AGAIN 7        /* np_resume: not ready and no error: park again */
#define NP_TIMED_OUT 8    /* np_op_wait, np_op_park: the operation's own timeout is over */
#define NP_NO_POLLER 9    /* np_park_at, np_op_park: the poller for the token is closed */

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
    uint64_t waiters;         /* tokens that wait at semaphores and timers now */
    uint64_t timers_fired;    /* waits of those that their instant ended */
} np_stats;

/* --- pollers --------------------------------------------------------------------------------- */

/* The name of the i-th backend usable in this build on this machine, best first; NULL past the
 * last. */
const char *np_backend_name(int i);

/* Create a poller with one reference.  backend NULL: the best.  An unknown or unusable name:
 * -ENOSYS.  Out of descriptors or memory: the errno. */
int np_poller_new(const char *backend, np_poller **out);

/* Close: every waiter, every np_poll in progress and every later call gets NP_CLOSED.  Kernel
 * objects are released as soon as the last driver has left them.  Idempotent. */
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

/* Tokens that are ready already, without polling the kernel; works on a closed poller too, whose
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

/* The last one closes, and returns the slot to the poll cache.  A token in the ready queue holds
 * one too, until np_poll returns it. */
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

/* np_park, but the token comes out of home, which may be another poller than the descriptor's and
 * of another backend.  Nothing else has to poll that one: while tokens of home are parked there,
 * np_poll(home) does, too (a loop around home, which sleeps on np_poller_fileno(home) instead, does
 * not).  np_resume, np_cancel and the others are as after np_park.  Closing home makes its tokens
 * ready: they come out of np_take_ready, and np_resume returns NP_AGAIN.  NP_NO_POLLER: home is
 * closed.  -ENOMEM. */
int np_park_at(np_desc *d, int mode, np_token token, int flags, np_poller *home);

/* Withdraw a parked token: 1 and *token, or 0 when there is none parked (it is out, or about to
 * come out, or the waiter is a thread). */
int np_cancel(np_desc *d, int mode, np_token *token);

/* The same for this token alone: another's stays parked, and 0 is returned.  For a host whose
 * schedulers, several on one descriptor, cannot know which parked last. */
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

/* Is the mode's token still inside: parked, or ready and not returned yet?  (For a host whose
 * garbage collector must know the owner; exact while no thread is in np_poll.) */
int np_holds_token(const np_desc *d, int mode);

/* From now on an event that is an error and nothing else counts as readiness: for users that meet
 * the error in their I/O. */
void np_treat_errors_as_ready(np_desc *d);

/* Does a short read, or write, of a stream prove that the next edge is still to come?  Not any more
 * once an event has reported a hang-up, an error or urgent data: there may be more to read then,
 * and no edge for it. */
int np_short_io_means_drained(const np_desc *d);

/* As if an event had reported modes as ready: for users that have found that they are. */
void np_set_ready(np_desc *d, int modes);

int np_unblock(np_desc *d); /* Go's evict; idempotent */
int np_close(np_desc *d);   /* unblock and deregister before returning; idempotent */

/* --- semaphores and timers ------------------------------------------------------------------- */

/* Go's semacquire and semrelease: a count of units, and a queue of those that want one: threads and
 * tokens, first in, first out.  All zero is a semaphore without units.  It stays where it is, and
 * exists as long as anything waits for it: a token waits until it has been resumed or cancelled. */
typedef struct np_sema {
    uint32_t word;
    void *queue[2];
} np_sema;

/* It has never more than 2^30 - 1 units. */
void np_sema_init(np_sema *s, uint32_t count);

/* Take a unit if there is one: NP_OK, or NP_AGAIN. */
int np_sema_try(np_sema *s);

/* Wait in the calling thread, until the instant (NP_NEVER: no end).  NP_OK, NP_TIMEOUT, -ENOMEM;
 * NP_INTERRUPTED on a signal: call again.  what names the wait in reports, and is kept as long as
 * it lasts.  place, if not NULL, is 0 at the first call and keeps the place in the queue across
 * interruptions. */
int np_sema_acquire(np_sema *s, int64_t until, const char *what, uint64_t *place);

/* Release units, from any thread: they go to the waiters, in the order of coming; those left over
 * are remembered.  The owner of the last one may free the semaphore.  Not async-signal-safe. */
void np_sema_release(np_sema *s, uint32_t n);

/* The same, unless more than limit would be free then: NP_OK, or NP_AGAIN, and nothing is
 * released. */
int np_sema_release_within(np_sema *s, uint32_t n, uint32_t limit);

/* From now on every acquire succeeds at once and takes nothing, and so do those that wait; until
 * np_sema_reset.  For events, and the end of something. */
void np_sema_open(np_sema *s);
void np_sema_reset(np_sema *s);
int np_sema_is_open(const np_sema *s);

/* From now on every acquire ends with NP_CLOSED, and so do those that wait.  Units can still be
 * released; np_sema_take, which is np_sema_try for a semaphore that is shut, takes one. */
void np_sema_shut(np_sema *s);
int np_sema_is_shut(const np_sema *s);
int np_sema_take(np_sema *s);

uint32_t np_sema_count(const np_sema *s); /* units that are free */

/* One wait of a token, in memory of the scheduler's, which is the core's from a result NP_PARKED
 * until the token has been resumed or cancelled.  It needs no initialization. */
typedef struct np_waiter {
    uint64_t opaque[26];
} np_waiter;

/* Wait for a scheduler.  NP_OK: a unit was there, and is the caller's.  NP_PARKED: token comes out
 * of exactly one later np_poll of p, unless np_waiter_cancel withdraws it; then np_waiter_resume
 * tells why.  NP_TIMEOUT: the instant has passed already.  NP_CLOSED: p is.  -ENOMEM. */
int np_sema_park(np_sema *s, np_waiter *w, np_poller *p, np_token token, int64_t until,
                 const char *what);

/* A timer: token comes out of p at the instant when, or if p is closed.  NP_PARKED, NP_CLOSED,
 * -ENOMEM. */
int np_timer_start(np_waiter *w, np_poller *p, np_token token, int64_t when, const char *what);

/* To another instant, of a timer or of a wait for a unit; later costs nothing.  1; 0: the wait is
 * over; -ENOMEM: it is as before.  Here and in np_waiter_cancel the caller keeps the poller, for
 * the waiter does so only until its token comes out. */
int np_timer_move(np_waiter *w, int64_t when);

/* Call it for each token that came out, once.  NP_OK: the unit is the caller's; of a timer, its
 * instant has come.  NP_TIMEOUT: the instant came first.  NP_CLOSED: the poller was closed first.
 * NP_AGAIN: it has not come out yet. */
int np_waiter_resume(np_waiter *w);

/* End the wait.  1: the token does not come out; 0: it has been given out.  Either way the memory
 * is the caller's again, and *result is what np_waiter_resume would say, or NP_AGAIN if nothing had
 * ended the wait, or np_sema_open did.  NP_OK: the unit is the caller's, to keep or to release. One
 * that is all zero waits for nothing. */
int np_waiter_cancel(np_waiter *w, int *result);

/* Is its token still inside: parked, or ready and not returned yet? */
int np_waiter_parked(const np_waiter *w);

/* --- a file and its users -------------------------------------------------------------------- */

/* Go's internal/poll.FD: a descriptor in non-blocking mode, and the operations on it.  Operations
 * of one mode are served one at a time, in the order of coming; each may take `timeout`; an
 * instant, the deadline of its mode, binds present and later ones; np_file_close ends them all, and
 * the number is closed when the last has left, so it cannot become another file's under a running
 * operation.
 *
 * An operation is:
 *
 *     rc = np_op_begin(&op, file, mode, may_wait);
 *     while (rc == NP_OK || rc == NP_BUSY) {
 *         if (rc == NP_OK && (rc = np_op_try(&op)) == NP_OK) {
 *             n = recv(...);                          // the attempt
 *             if (n >= 0) { np_op_moved(&op, n, wanted); break; }
 *             if (errno != EAGAIN) break;
 *             rc = NP_BUSY;
 *         }
 *         if (rc == NP_BUSY)
 *             rc = np_op_wait(&op, NULL);             // or np_op_park and np_op_resume
 *     }
 *     np_op_end(&op);
 */
typedef struct np_file np_file;

#define NP_FILE_MESSAGES 0 /* what one read or write does says nothing of the next */
#define NP_FILE_TCP 1      /* a stream: a short read or write means that the next one has to wait */
#define NP_FILE_UNIX 2     /* the same, but messages with descriptors or credentials end a read */

int np_file_new(np_fd fd, int kind, np_file **out);
void np_file_free(np_file *f); /* nothing is inside; the number is left as it is */

np_fd np_file_fd(const np_file *f);
int np_file_kind(const np_file *f);
int np_file_closed(const np_file *f);

/* Nanoseconds that an operation may take; 0: it never waits; < 0: no limit, as at first. */
int64_t np_file_timeout(const np_file *f);
void np_file_set_timeout(np_file *f, int64_t ns);

/* The same for one mode, which counts while there is no limit by the other: what SO_RCVTIMEO and
 * SO_SNDTIMEO are to a socket that blocks. */
int64_t np_file_option_timeout(const np_file *f, int mode);
void np_file_set_option_timeout(np_file *f, int64_t ns, int mode);

/* The deadline of modes: an instant of np_now, or NP_NEVER.  NP_OK or NP_CLOSED. */
int np_file_set_deadline(np_file *f, int64_t when, int modes);
int64_t np_file_deadline(const np_file *f, int mode);

/* What the operation that waits for mode has seen is out of date: it is to try once more. */
void np_file_retry(np_file *f, int mode);

/* End all operations with NP_CLOSED, and close the number when the last has left; detach: leave it
 * open, it is the caller's then.  NP_OK, or NP_CLOSED: another call did already.  Negative: -errno
 * of the number's closing; it is closed all the same. */
int np_file_close(np_file *f, int detach);

/* After np_file_close: the semaphore that is opened when the last operation has left, and the
 * number is closed; so whoever acquires it finds the number free, and what was bound to it.  NULL:
 * that is so already, or would never be while the caller waits, as an operation of its own is
 * inside.  may_park: the caller is a task that parks, and so lets others of its thread leave. */
np_sema *np_file_awaited(np_file *f, int may_park);

typedef struct np_op {
    np_file *file;
    int mode;
    int may_wait;
    int state;      /* the rest is np_op's own */
    int limited;    /* is limit known? */
    int64_t limit;  /* when its timeout is over */
    uint32_t vain;  /* waits since there was progress */
    int64_t since;  /* when the last pause was over */
    uint64_t place; /* in the queue */
    np_desc *desc;  /* where its token is parked */
} np_op;

/* NP_OK: the mode is the operation's.  NP_BUSY: another has it: wait.  NP_AGAIN: another has it,
 * and this one may not wait.  NP_CLOSED.  Every begun operation is ended, whatever came. */
int np_op_begin(np_op *op, np_file *f, int mode, int may_wait);

/* Before each attempt.  NP_OK: make it now.  NP_BUSY: it could only fail: wait.  NP_CLOSED,
 * NP_TIMEOUT (the deadline), NP_TIMED_OUT. */
int np_op_try(np_op *op);

/* After an attempt that moved n bytes of wanted. */
void np_op_moved(np_op *op, int64_t n, int64_t wanted);

/* Wait in the calling thread until an attempt, or np_op_try, may have another result: NP_OK.
 * NP_INTERRUPTED: check for signals, let others have the host's lock, and wait again; the place in
 * the queue is kept.  So it also ends now and then while attempts keep failing that the kernel says
 * may be made.  NP_CLOSED, NP_TIMEOUT, NP_TIMED_OUT, -errno.
 * p: where the system has no np_waker (Windows) the descriptor is registered there; else NULL. */
int np_op_wait(np_op *op, np_poller *p);

/* The same for a scheduler.  NP_PARKED: token comes out of p; w is the core's until then.  Then
 * np_op_resume: as np_op_wait, or NP_AGAIN: the token has not come out yet.  NP_NO_POLLER: p is
 * closed.
 *
 * In a forked child the operations that other threads began are gone, with their tokens. */
int np_op_park(np_op *op, np_poller *p, np_waiter *w, np_token token);
int np_op_resume(np_op *op, np_waiter *w);

/* Stop waiting.  1: the token does not come out; 0: it has been given out, or none is parked. */
int np_op_cancel(np_op *op, np_waiter *w);

/* Leave.  NP_OK, or -errno: the number was closed, with this error.  Again, or of an np_op that is
 * all zero: nothing. */
int np_op_end(np_op *op);

/* --- inspection ------------------------------------------------------------------------------- */

/* What a mode of a descriptor is doing. */
#define NP_IDLE 0     /* no notification, no waiter */
#define NP_READY 1    /* a notification is remembered */
#define NP_ENTERING 2 /* a waiter is about to park, or to find that it need not */
#define NP_THREAD 3   /* a thread waits */
#define NP_TOKEN 4    /* a token is parked */
#define NP_QUEUED 5   /* a token is ready, and no np_poll has returned it */
#define NP_OUT 6      /* np_poll returned a token, and np_resume has not been called */

typedef struct np_mode_view {
    int state;
    uintptr_t waiter; /* the token, or the thread as its pthread_t or its id on Windows; else 0 */
    int64_t since;    /* when it parked: the clock at the kernel's last tick; 0: none did */
    int64_t deadline; /* 0: none, -1: it has expired, else the instant */
} np_mode_view;

typedef struct np_desc_view {
    np_desc *desc; /* to compare with others: it may be gone by the time that you use it */
    np_fd fd;
    int evicted;          /* np_unblock was called */
    np_mode_view mode[2]; /* READ, WRITE */
} np_desc_view;

typedef struct np_poller_view {
    int closed;
    int descriptors;       /* open now */
    int waiters;           /* tokens at semaphores and timers: np_poller_waits */
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
 * stored; returns how many there are, or -EBUSY if timeout_ns was not enough to get the poller's
 * lock (< 0: wait for it).  Nothing is allocated, and nothing is disturbed. */
int np_poller_snapshot(np_poller *p, np_poller_view *poller, np_desc_view *descs, int max,
                       int64_t timeout_ns);

/* A thread in np_wait_fd, which no poller knows. */
typedef struct np_fd_wait_view {
    np_fd fd;
    int mode;
    np_mode_view view; /* its deadline is the end of the wait */
} np_fd_wait_view;

/* All of them.  Up to max are stored; returns how many there are. */
int np_fd_waiters(np_fd_wait_view *out, int max);

/* A wait at a semaphore or for a timer. */
#define NP_WHAT_SIZE 40
typedef struct np_wait_view {
    char what[NP_WHAT_SIZE]; /* its name, cut to fit */
    const void *sema;        /* the semaphore, to compare with others; NULL for a timer */
    np_fd fd;                /* of a file whose turn it waits for, with its mode */
    int mode;                /* 0: it waits for something else */
    np_mode_view view;       /* its deadline is the end of the wait */
} np_wait_view;

/* The tokens that wait so at a poller, those in the ready queue too.  Up to max are stored; returns
 * how many there are, or -EBUSY as np_poller_snapshot. */
int np_poller_waits(np_poller *p, np_wait_view *out, int max, int64_t timeout_ns);

/* The threads that wait at semaphores; the same, with the locks of those. */
int np_thread_waits(np_wait_view *out, int max, int64_t timeout_ns);

/* What is open as fd, in words: addresses of a socket, "pipe", ...  Async-signal-safe, and fd is
 * left as it is.  Returns the length of the text, which is cut to fit and ends with a NUL. */
int np_describe_fd(np_fd fd, char *text, int size);

/* Write what all of the above see to a file descriptor, as text for people.  Async-signal-safe:
 * what is behind a lock that is not free within milliseconds is skipped, and the report says so. */
void np_report(int fd);

/* Let a signal write the report to fd, from the handler itself: whatever the program is stuck in.
 * chain: then do what the signal did before.  -ENOSYS on Windows, -EINVAL for a signal that cannot
 * be handled, or the errno.  fd -1: no more; the signal does again what it did before. */
int np_report_on_signal(int signum, int fd, int chain);

/* --- the host program ------------------------------------------------------------------------ */

/* Monotonic nanoseconds, the clock of all deadlines. */
int64_t np_now(void);

/* The host runs handlers of its own for signals, once a call has returned NP_INTERRUPTED.  From now
 * on np_wait, np_poll and np_wait_fd return that to the main thread also when a signal may have
 * come just before it slept, 20 ms after the thread has run last; and if the host calls again at
 * once, after twice the time, and so on. */
void np_enable_signal_checks(void);

/* The host's next wait is another one, not the last one called again: 20 ms count anew.  Without it
 * a handler that ends a wait, by a long jump or an exception, would leave its time to the next. */
void np_begin_wait(void);

/* Bytes of one descriptor slot in the poll cache. */
int np_desc_size(void);

/* Kernel features in use, for `python -m netpoll`: a short text such as
 * "epoll_pwait2, eventfd, futex". */
const char *np_features(void);

/* cdef: end */

/* Units of time, for what is in nanoseconds: np_set_deadline(d, NP_READ, 5 * NP_SECOND). */
#define NP_MICROSECOND INT64_C(1000)
#define NP_MILLISECOND INT64_C(1000000)
#define NP_SECOND INT64_C(1000000000)

/* Called around the part of np_wait and np_poll that may block, never with a lock held: a host
 * with a global interpreter lock releases it in enter() and acquires it again in leave(), which
 * gets what enter() returned.  Set once, before any other call. */
void np_set_blocking_hooks(void *(*enter)(void), void (*leave)(void *));

/* --- waiting for one descriptor outside any poller -------------------------------------------- */

/* For users that have one waiter a mode and know it: the thread waits for one descriptor without a
 * poller, and its waker ends the wait for everything else.  A waker belongs to one thread at a
 * time.
 */
typedef struct np_waker np_waker;

#ifndef _WIN32
int np_waker_new(np_waker **out);
void np_waker_free(np_waker *w);
np_waker *np_thread_waker(int *error); /* the calling thread's own; NULL: -errno in *error */
void np_waker_wake(np_waker *w);       /* from any thread; not lost if nobody waits yet */

/* Until fd is ready for mode (NP_OK), or the clock says `until` (NP_TIMEOUT; NP_NEVER: no end), or
 * a wake comes (NP_AGAIN, and once after a fork, when one may have been lost); NP_INTERRUPTED on a
 * signal. */
int np_wait_fd(np_waker *w, np_fd fd, int mode, int64_t until);
#endif

#ifdef __cplusplus
}
#endif
#endif
