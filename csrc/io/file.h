/* np_file: who is inside an operation on a descriptor, who queues for it, and what ends them. */
#ifndef NP_FILE_H
#define NP_FILE_H

#include "sema/sema.h"

/* state: bits that are set and stay. */
enum {
    FILE_CLOSED = 1,        /* close or detach was called: no attempt is made any more */
    FILE_DETACHED = 2,      /* with FILE_CLOSED, by detach: the number is not ours to close */
    FILE_RETIRED_READ = 4,  /* = FILE_RETIRED(NP_READ): closed, and nothing is inside the mode */
    FILE_RETIRED_WRITE = 8, /* the call that sets the second of the two closes the number */
    FILE_RETIRED_BOTH = 12
};
#define FILE_RETIRED(mode) ((uint32_t)(mode) << 2)

/* One mode's half of a file.
 *
 * The turn has one unit: the right to operate in the mode.  The operation that has it is inside,
 * and all but what is said to be others' is its own.  Closing shuts the turn, which ends the queue;
 * the unit is then taken for good, by the closer or by the operation that released it last.
 *
 * Others tell an operation something by storing first (state, deadline, retry) and notifying its
 * wait second (waker, desc), under the file's lock; the operation publishes its wait first and
 * loads what was stored second. */
typedef struct np_half {
    np_sema turn;
    uintptr_t holder;     /* the thread that the operation inside began in: np_sema_hand_over */
    np_atomic64 deadline; /* an instant, or NP_NEVER; any thread stores it */
    np_atomic64 limit;    /* when the timeout of the token's operation is over */
    np_atomic64 option;   /* np_file_set_option_timeout; any thread stores it */
    np_atomic32 retry;    /* np_file_retry; any thread stores it */

    /* Written under the file's lock, by the operation inside; others read them under it. */
    np_desc *desc; /* where tokens wait; a reference.  The two modes share one on the same poller */
    np_waker *waker;   /* of the thread that waits */
    np_atomic64 bound; /* what desc's deadline was set to; any thread stores it, under the lock */

    bool parked;     /* a token of the operation is: see np_file_awaited */
    np_poller *home; /* of the token that parked last; to compare with others only */
    bool drained;    /* the last read or write was short: the next can only fail */
} np_half;

struct np_file {
    np_atomic32 state;
    uint8_t kind;
    bool filled; /* the last read filled a buffer of some size: so may the next; the reader's */
    np_fd fd;
    np_atomic64 timeout;
    np_half half[2]; /* READ, WRITE */
    np_link link;    /* all files of the process, under the file's lock */
    np_sema gone; /* opened when both modes are retired and the number is closed: the last access */
};

/* np_op.state */
enum {
    OP_NEW,    /* np_op_begin failed */
    OP_QUEUED, /* it wants the turn */
    OP_INSIDE,
    OP_PARKED_TURN, /* its token is parked, for the turn */
    OP_PARKED_READY,
    OP_PARKED_PAUSE
};

static inline np_half *np_half_of(np_file *f, int mode)
{
    return &f->half[mode - 1];
}

int np_file_init(np_file *f, np_fd fd, int kind);
void np_file_fini(np_file *f);
NP_COLD int np_op_refused(const np_op *op); /* the slow part of np_op_check */

/* Is it the wait for a turn at a file?  The file, which stays as long as the wait, or NULL. */
np_file *np_file_of_turn(const np_waiting *w, int *mode);

/* May an attempt be made?  NP_OK, NP_CLOSED, NP_TIMEOUT or NP_TIMED_OUT. */
static inline int np_op_check(const np_op *op)
{
    const np_file *f = op->file;
    if (np_load64(&f->half[op->mode - 1].deadline) == NP_NEVER && op->limit == NP_NEVER &&
        np_load(&f->state) == 0)
        return NP_OK;
    return np_op_refused(op);
}

#endif
