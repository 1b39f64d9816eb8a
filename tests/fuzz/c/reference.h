/* The rules of the poller, as simply as they can be said: one thread, lists, no lock, no timer
 * heap.
 *
 * What the reference cannot know is what the kernel will report.  It asks the kernel: an epoll of
 * its own has the same registrations, made and taken back by the same calls at the same moments
 * (backend "epoll"); or it calls poll(2) for what is armed (backend "poll").
 */
#ifndef REFERENCE_H
#define REFERENCE_H

#include <stdbool.h>
#include <stdint.h>

#include "netpoll.h"

enum { REF_DESCS = 512, REF_QUEUE = 1024, REF_WAITERS = 12 };
enum ref_delivery { REF_NONE, REF_QUEUED, REF_DROPPED, REF_OUT };

typedef struct ref_side {
    bool ready;     /* a notification is remembered */
    bool for_token; /* ... and a token on its way will report it */
    bool parked, armed;
    np_token token;
    enum ref_delivery delivery;
    int64_t deadline; /* 0: none, -1: has expired, else an instant */
} ref_side;

typedef struct ref_desc {
    ref_side side[2];
    int fd;
    int file;    /* which file the number was when it was opened */
    int handles; /* with none left, and no token in the queue, it is closed */
    bool evicted, gone, event_error, errors_ready, no_more_edges;
} ref_desc;

typedef struct ref_sema {
    uint32_t count;
    bool open, shut;
} ref_sema;

/* A token at a semaphore, or a timer. */
enum ref_place { REF_NOWHERE, REF_PARKED, REF_READY, REF_GIVEN };
typedef struct ref_waiter {
    enum ref_place place;
    ref_sema *sema; /* NULL: a timer */
    np_token token;
    int64_t until;
    int result;  /* NP_AGAIN: nothing has ended it */
    bool opened; /* its semaphore was opened: there is no unit to keep */
    int arrival; /* who parked first is served first */
} ref_waiter;

/* A token that is ready.  Those of one step have the same number: they may come in any order. */
typedef struct ref_queued {
    ref_desc *d; /* or */
    ref_waiter *w;
    int mode, step;
    np_token token;
} ref_queued;

typedef struct ref_poller {
    bool edges; /* the backend is epoll */
    bool closed, pending;
    bool outlived; /* a number was closed under its descriptor: its registration may be there still
                    */
    int shadow;    /* our epoll */
    ref_desc *descs[REF_DESCS];
    int count;
    ref_queued queue[REF_QUEUE];
    int queued, step;
    uint64_t events, stale, fired;
    ref_waiter waiters[REF_WAITERS];
    int arrivals;
    uint64_t timers_fired;
} ref_poller;

extern int64_t ref_clock; /* what np_now says */

void ref_init(ref_poller *p, bool edges);
void ref_fini(ref_poller *p);

ref_desc *ref_registered(ref_poller *p, int fd);
int ref_open(ref_poller *p, int fd, int file, ref_desc **out); /* file 0: nothing is open there */
void ref_close(ref_poller *p, ref_desc *d);
void ref_unref(ref_poller *p, ref_desc *d);
void ref_unblock(ref_poller *p, ref_desc *d);
void ref_poller_close(ref_poller *p);

int ref_reset(ref_poller *p, ref_desc *d, int mode);
int ref_park(ref_poller *p, ref_desc *d, int mode, np_token token, int flags);
int ref_resume(ref_poller *p, ref_desc *d, int mode, int flags);
int ref_cancel(ref_desc *d, int mode, np_token *token);
int ref_set_deadline(ref_poller *p, ref_desc *d, __int128 when, int modes);
void ref_set_ready(ref_poller *p, ref_desc *d, int modes);

/* What a wait says before it would sleep: NP_PARKED if it would.  Then ref_look, and
 * ref_end_of_wait. */
int ref_begin_wait(ref_poller *p, ref_desc *d, int mode, int flags);
bool ref_end_of_wait(ref_desc *d, int mode);

int ref_sema_try(ref_sema *s);
void ref_sema_release(ref_poller *p, ref_sema *s, uint32_t n);
void ref_sema_open(ref_poller *p, ref_sema *s);
void ref_sema_shut(ref_poller *p, ref_sema *s);
int ref_sema_take(ref_sema *s);
/* What it says without waiting: NP_PARKED if it would wait. */
int ref_sema_acquire(ref_sema *s, int64_t until);
int ref_sema_park(ref_poller *p, ref_waiter *w, ref_sema *s, np_token token, int64_t until);
int ref_timer_start(ref_poller *p, ref_waiter *w, np_token token, int64_t when);
int ref_timer_move(ref_waiter *w, int64_t when);
int ref_waiter_resume(ref_waiter *w);
int ref_waiter_cancel(ref_poller *p, ref_waiter *w, int *result);
void ref_expire_waiters(ref_poller *p);
void ref_close_waiters(ref_poller *p);
int ref_waiters(const ref_poller *p);                      /* parked */
void ref_first_timer(const ref_poller *p, int64_t *first); /* if it is before that, or that is 0 */

/* One look at the kernel and the clock. */
void ref_look(ref_poller *p);
/* The token came out: it must have been queued, and none that was queued in an earlier step may be
 * left. */
bool ref_take(ref_poller *p, np_token token);

int ref_state(const ref_side *s); /* NP_IDLE, ... as in np_mode_view */
int64_t ref_first_deadline(const ref_poller *p);
int ref_count(const ref_poller *p, int mode); /* parked; mode 0: descriptors open */

#endif
