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

/* The errno of the connect that is over, or 0; -1: it is not over.
 * settles: it is one that blocks (connecting.h). */
int end_connect(np_fd fd, _Bool settles);

/* Are urgent data next?  Never on Windows. */
_Bool at_urgent_mark(np_fd fd);

enum { UNIT_NONE, UNIT_WANTED, UNIT_HELD };

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

/* A lock that its owner may take again. */
typedef struct fifo_rlock {
    np_sema free; /* one unit: the right to be inside */
    uintptr_t owner;
    unsigned depth;
} fifo_rlock;

/* A block of `with`: whatever cuts it off, its end releases what it has entered.  All zero but for
 * what that is: a unit of a semaphore of which so many may be free, or a level of a lock. */
typedef struct block {
    np_sema *sema;
    uint32_t limit;
    fifo_rlock *lock; /* NULL: the semaphore's */
    uintptr_t owner;
    int state;
} block;

/* NULL for a block: there is none. */
int lock_again(fifo_rlock *l, uintptr_t me, block *b); /* 0: it is not me who has it */
void lock_with(fifo_rlock *l, uintptr_t me, unit *u, block *b);
int lock_release(fifo_rlock *l, uintptr_t me); /* 0, the same */
void lock_break(fifo_rlock *l);                /* whatever the level */

void enter_block(block *b, unit *u); /* which is the block's from here on */
int leave_block(block *b);           /* 0: it was not acquired */

/* What has not been left.  kept is not used, but must last until this is called. */
void drop_block(const void *kept, block *b);

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
