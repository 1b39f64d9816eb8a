/* The engine in Python, in C: boxes, units, the lock. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* F_DUPFD_CLOEXEC */
#endif
#include "plain.h"

#ifdef _WIN32
#include <winsock2.h> /* before windows.h */

#include <windows.h>
#else
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>
#endif

#include "budgets.h"
#include "connecting.h"

void free_boxed_poller(np_poller **box)
{
    np_token tokens[EXT_TOKEN_BATCH];
    np_poller *p = *box;

    if (!p)
        return;
    np_poller_close(p);
    while (np_take_ready(p, tokens, EXT_TOKEN_BATCH) > 0)
        ;
    np_poller_unref(p);
}

void unref_boxed_desc(np_desc **box)
{
    if (*box)
        np_desc_unref(*box);
}

void free_boxed_file(np_file **box)
{
    if (*box)
        np_file_free(*box);
}

int end_connect(np_fd fd, _Bool settles)
{
    int number = connect_result((socket_fd)fd);
    if (number == IN_PROGRESS)
        return -1;
    if (settles)
        settle_connect(fd, number);
    return number;
}

_Bool at_urgent_mark(np_fd fd)
{
#ifdef _WIN32
    (void)fd;
    return 0;
#else
    return sockatmark((int)fd) == 1;
#endif
}

_Bool is_file_closed(const np_file *f)
{
    return np_file_closed(f);
}

int close_boxed_file(np_file **box, int detach)
{
    return np_file_close(*box, detach);
}

static int note_unit(const np_sema *s, unit *u, int rc)
{
    u->state = s && rc == NP_OK ? UNIT_HELD : UNIT_NONE;
    return rc;
}

int acquire_unit(np_sema *s, unit *u, int64_t until, const char *what)
{
    return note_unit(s, u, np_sema_acquire(s, until, what, &u->place));
}

/* Once it is parked it may be resumed in another thread. */
int park_unit(np_sema *s, unit *u, np_poller *p, np_token token, int64_t until, const char *what)
{
    u->state = UNIT_WANTED;
    int rc = s ? np_sema_park(s, &u->wait, p, token, until, what)
               : np_timer_start(&u->wait, p, token, until, what);
    return rc == NP_PARKED ? rc : note_unit(s, u, rc);
}

int move_unit(unit *u, int64_t when)
{
    return u->state == UNIT_WANTED ? np_timer_move(&u->wait, when) : 0;
}

int resume_unit(np_sema *s, unit *u)
{
    if (u->state == UNIT_NONE)
        return NP_AGAIN;
    int rc = np_waiter_resume(&u->wait);
    return rc == NP_AGAIN ? rc : note_unit(s, u, rc);
}

void end_unit(np_sema *s, const char *what, const void *poller, unit *u)
{
    int state = u->state, result = NP_AGAIN;
    (void)what;
    (void)poller;
    u->state = UNIT_NONE;
    if (state == UNIT_WANTED)
        np_waiter_cancel(&u->wait, &result);
    if (s && (state == UNIT_HELD || result == NP_OK))
        np_sema_release(s, 1);
}

enum { BLOCK_BEGUN, BLOCK_ENTERED, BLOCK_LEFT };

static void note_entered(block *b)
{
    if (b && b->state == BLOCK_BEGUN)
        b->state = BLOCK_ENTERED;
}

void enter_block(block *b, unit *u)
{
    u->state = UNIT_NONE;
    note_entered(b);
}

int leave_block(block *b)
{
    b->state = BLOCK_LEFT;
    return b->lock ? lock_release(b->lock, b->owner)
                   : np_sema_release_within(b->sema, 1, b->limit) == NP_OK;
}

void drop_block(const void *kept, block *b)
{
    (void)kept;
    if (b->state == BLOCK_ENTERED)
        (void)leave_block(b); /* whoever has released it meanwhile has done it */
    b->state = BLOCK_LEFT;
}

int lock_again(fifo_rlock *l, uintptr_t me, block *b)
{
    if (l->owner != me)
        return 0;
    l->depth++;
    note_entered(b);
    return 1;
}

/* The unit is the lock's from here on. */
void lock_with(fifo_rlock *l, uintptr_t me, unit *u, block *b)
{
    enter_block(b, u);
    l->owner = me;
    l->depth = 1;
}

void lock_break(fifo_rlock *l)
{
    l->owner = 0;
    l->depth = 0;
    (void)np_sema_release_within(&l->free, 1, 1); /* it may not be locked */
}

int lock_release(fifo_rlock *l, uintptr_t me)
{
    if (l->owner != me)
        return 0;
    if (--l->depth == 0)
        lock_break(l);
    return 1;
}

void end_op(np_file **box, np_op *op)
{
    (void)box;
    np_op_end(op);
}

#ifndef _WIN32

int dup_into_box(np_fd fd, np_fd *box)
{
    *box = fcntl((int)fd, F_DUPFD_CLOEXEC, 0);
    return *box < 0 ? errno : 0;
}

/* Idempotent.  An error is for nobody: it is a duplicate. */
void close_boxed_fd(np_fd *box)
{
    np_fd fd = *box;
    *box = -1;
    if (fd >= 0)
        (void)close((int)fd);
}

#else

void cancel_thread_io(unsigned long thread)
{
    HANDLE handle = OpenThread(THREAD_TERMINATE, FALSE, thread);

    if (!handle)
        return;
    (void)CancelSynchronousIo(handle); /* fails if the thread waits for nothing */
    CloseHandle(handle);
}

#endif
