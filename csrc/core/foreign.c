/* Tokens that are parked at another poller than their own.
 *
 * A token comes out of one poller, its home, and may be parked at a descriptor of another: there it
 * is foreign.  One np_foreign stands for all tokens of one home at one other poller; a side whose
 * token is foreign points to it.
 *
 * A foreign token that becomes ready stays with the poller of its descriptor, whose lock guards all
 * there is to it, and np_poll(home) fetches it there (foreign_poll.c).  So neither an event nor a
 * deadline, a cancel or a fork ever needs two pollers' locks, and two pollers may be foreign to
 * each other.  A call that makes one ready counts it first (home->foreign_work) and signals home's
 * wake object second; np_poll checks the count under home's lock, which it keeps until it is linked
 * as a driver.
 */
#include <stdlib.h>

#include "core/internal.h"

/* --- the list of a home: its lock is held ---------------------------------------------------- */

/* NULL: out of memory.  Calls that sleep already do not know a new one. */
static np_foreign *find_or_add(np_poller *home, np_poller *p, np_wake_q *wake_q)
{
    np_foreign *f = NULL;

    NP_EACH_FOREIGN(f, home)
    {
        if (f->poller == p)
            return f;
    }
    f = calloc(1, sizeof *f);
    if (!f)
        return NULL;
    f->home = home;
    f->poller = p;
    np_poller_ref(p);
    np_list_append(&home->foreign, &f->link);
    np_kick_polls(home, wake_q);
    return f;
}

/* Those without tokens go; a call that still sleeps on one of them is kicked.  Their references may
 * be the last ones, so the lock is released meanwhile. */
void np_foreign_forget_locked(np_poller *home, np_wake_q *wake_q)
{
    np_link unused;

    np_assert_locked(home);
    np_list_init(&unused);
    for (np_link *l = home->foreign.next, *next; l != &home->foreign; l = next) {
        const np_foreign *f = NP_CONTAINER(l, np_foreign, link);
        next = l->next;
        if (np_load(&f->tokens) > 0)
            continue;
        if (f->calls > 0) {
            np_kick_polls(home, wake_q);
            continue;
        }
        np_list_remove(l);
        np_list_append(&unused, l);
    }
    if (np_list_empty(&unused))
        return;
    np_unlock(home, wake_q);
    while (!np_list_empty(&unused)) {
        np_foreign *f = NP_CONTAINER(unused.next, np_foreign, link);
        np_list_remove(&f->link);
        np_poller_unref(f->poller);
        free(f);
    }
    np_lock(home, wake_q);
}

void np_foreign_forget(np_poller *home)
{
    np_wake_q wake_q;

    np_lock(home, &wake_q);
    np_foreign_forget_locked(home, &wake_q);
    np_unlock(home, &wake_q);
}

/* The calls that used them, and followed elsewhere, are gone; all locks were held. */
void np_foreign_reset_in_child(np_poller *home)
{
    np_foreign *f = NULL;
    uint32_t work = 0;

    NP_EACH_FOREIGN(f, home)
    {
        f->calls = 0;
        work += f->counted;
    }
    np_store(&home->foreign_work, work);
}

/* --- parking --------------------------------------------------------------------------------- */

/* The side is in SEM_WAIT, and the caller's. */
static int commit(np_desc *d, np_side *s, np_token token, np_foreign *f)
{
    s->foreign = f;
    np_inc(&f->tokens);
    np_inc(&f->home->refs);
    if (np_commit_token(d, s, token))
        return NP_PARKED;
    np_dec(&np_foreign_leave(s)->refs);
    return NP_AGAIN;
}

/* One critical section of home's: closing home, and fork, find the token parked and counted, or
 * neither. */
int np_foreign_commit(np_desc *d, np_side *s, np_token token, np_poller *home)
{
    np_wake_q wake_q;
    int rc = NP_NO_POLLER;

    np_lock(home, &wake_q);
    if (np_load(&home->state) != STATE_CLOSED) {
        np_foreign *f = find_or_add(home, d->poller, &wake_q);
        rc = f ? commit(d, s, token, f) : -ENOMEM;
        if (rc == NP_AGAIN)
            np_foreign_forget_locked(home, &wake_q);
    }
    np_unlock(home, &wake_q);
    return rc;
}

/* --- ready tokens: the lock of the descriptor's poller is held -------------------------------- */

static void count_ready(np_foreign *f)
{
    bool any = f->ready.first != NULL;

    np_assert_locked(f->poller);
    if (any == f->counted)
        return;
    f->counted = any;
    if (any) {
        np_inc(&f->home->foreign_work);
        np_wake_driver(f->home);
    } else {
        np_dec(&f->home->foreign_work);
    }
}

void np_foreign_enqueue(np_side *s)
{
    np_ready_push(&s->foreign->ready, &s->entry);
    count_ready(s->foreign);
}

void np_foreign_unqueue(np_side *s)
{
    np_ready_remove(&s->foreign->ready, &s->entry);
    count_ready(s->foreign);
}

void np_foreign_pop(np_foreign *f, np_tokens *out)
{
    np_pop(&f->ready, out);
    count_ready(f);
}

/* With its last token an np_foreign may go, so that is the last access. */
np_poller *np_foreign_leave(np_side *s)
{
    np_foreign *f = s->foreign;
    np_poller *home = f->home;

    np_assert(np_peek(&f->tokens) > 0 && np_peek(&home->refs) > 0);
    s->foreign = NULL;
    np_dec(&f->tokens);
    return home;
}

void np_foreign_left(np_poller *home)
{
    np_foreign_forget(home);
    np_poller_unref(home);
}

/* --- np_take_ready --------------------------------------------------------------------------- */

/* home is closed. */
static void end_waits(const np_foreign *f, np_wake_q *wake_q)
{
    const np_fdtab *fds = &f->poller->fds;

    for (uint32_t i = 0; i < fds->capacity; i++)
        for (int mode = NP_READ; fds->buckets[i] && mode <= NP_WRITE; mode++) {
            np_side *s = np_side_of(fds->buckets[i], mode);
            if (np_load(&s->sem) == SEM_TOKEN && s->foreign == f)
                np_unblock_locked(s, false, wake_q);
        }
}

static void take(np_foreign *f, np_tokens *out)
{
    np_wake_q wake_q;

    np_lock(f->poller, &wake_q);
    if (np_poller_closed(f->home))
        end_waits(f, &wake_q);
    np_foreign_pop(f, out);
    np_unlock(f->poller, &wake_q);
}

/* One that is in use stays in the list while the lock is released. */
void np_foreign_take(np_poller *home, np_tokens *out)
{
    np_foreign *f = NULL;
    np_wake_q wake_q;

    np_lock(home, &wake_q);
    NP_EACH_FOREIGN(f, home)
    {
        f->calls++;
        np_unlock(home, &wake_q);
        take(f, out);
        np_lock(home, &wake_q);
        f->calls--;
    }
    np_foreign_forget_locked(home, &wake_q);
    np_unlock(home, &wake_q);
}
