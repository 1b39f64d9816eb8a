/* What the engine in Python does in one call into C, so that no signal handler comes between.
 *
 * What the core gives lands in a box that releases it, or in a record that knows how far a wait has
 * come: so nothing is lost if memory runs out, or a handler raises, before an object of Python's
 * holds it.
 *
 * As in netpoll.h, what cffi declares stands between the "cdef" lines.
 */
#ifndef NP_PLAIN_H
#define NP_PLAIN_H

#include "netpoll.h"

/* cdef: begin */

/* Destructors; what a box holds is 0 until it is there.  Tokens that will not be polled out any
 * more hold their descriptors, and so the poller. */
void free_boxed_poller(np_poller **box);
void unref_boxed_desc(np_desc **box);
void free_boxed_file(np_file **box);

/* np_file_closed. */
_Bool is_file_closed(const np_file *f);

/* np_file_close. */
int close_boxed_file(np_file **box, int detach);

/* The operation's file is in the box, which must last until this is called. */
void end_op(np_file **box, np_op *op);

/* Of settle.h. */
void end_connect(np_fd fd, int number);

/* A unit of a semaphore that is wanted, and then held: how far it has come is known here alone.
 * With s NULL it is an instant that is waited for.  The results are those of the core. */
typedef struct unit {
    np_waiter wait;
    uint64_t place;
    int state;
} unit;

int acquire_unit(np_sema *s, unit *u, int64_t until, const char *what);
int park_unit(np_sema *s, unit *u, np_poller *p, np_token token, int64_t until, const char *what);
int move_unit(unit *u, int64_t when); /* np_timer_move */
int resume_unit(np_sema *s, unit *u); /* NP_AGAIN, too: it was ended */

/* Idempotent.  A unit that has been granted is passed on.  what, and what keeps the poller, are not
 * used, but must last until this is called. */
void end_unit(np_sema *s, const char *what, const void *poller, unit *u);

/* A lock that its owner may take again.  Whatever cuts a `with` block off, its end restores the
 * level that was found at its beginning. */
typedef struct fifo_rlock {
    np_sema free; /* one unit: the right to be inside */
    uintptr_t owner;
    unsigned depth;
} fifo_rlock;

typedef struct lock_level {
    uintptr_t owner;
    unsigned depth;
} lock_level;

int lock_again(fifo_rlock *l, uintptr_t me);   /* 0: it is not me who has it */
int lock_release(fifo_rlock *l, uintptr_t me); /* the same */
void lock_break(fifo_rlock *l);                /* whatever the level */
void lock_with(fifo_rlock *l, uintptr_t me, unit *u);
void note_level(const fifo_rlock *l, uintptr_t me, lock_level *found);
void restore_level(fifo_rlock *l, lock_level *found);

/* cdef: end */

#ifndef _WIN32

/* cdef for POSIX: begin */

/* A box for a number; -1: there is none.  0 or an errno. */
int dup_into_box(np_fd fd, np_fd *box);
void close_boxed_fd(np_fd *box);

/* cdef for POSIX: end */

#else

/* cdef for Windows: begin */

/* What the thread waits for in the system, if it does, fails. */
void cancel_thread_io(unsigned long thread);

/* cdef for Windows: end */

#endif
#endif
