/* The rules of semaphores and timers: a count, and who came first. */
#include <stddef.h>

#include "reference.h"

static void end_wait(ref_poller *p, ref_waiter *w, int result)
{
    w->place = REF_READY;
    w->result = result;
    p->queue[p->queued++] = (ref_queued){.w = w, .step = p->step, .token = w->token};
}

static ref_waiter *first_in_line(ref_poller *p, const ref_sema *s)
{
    ref_waiter *first = NULL;
    for (ref_waiter *w = p->waiters; w < p->waiters + REF_WAITERS; w++)
        if (w->place == REF_PARKED && w->sema == s && (!first || w->arrival < first->arrival))
            first = w;
    return first;
}

int ref_sema_take(ref_sema *s)
{
    if (s->count == 0)
        return NP_AGAIN;
    s->count--;
    return NP_OK;
}

int ref_sema_try(ref_sema *s)
{
    if (s->shut)
        return NP_CLOSED;
    return s->open ? NP_OK : ref_sema_take(s);
}

/* One after the other. */
static ref_waiter *end_first(ref_poller *p, ref_sema *s, int result)
{
    ref_waiter *w = first_in_line(p, s);
    p->step++;
    if (w)
        end_wait(p, w, result);
    return w;
}

void ref_sema_release(ref_poller *p, ref_sema *s, uint32_t n)
{
    while (n > 0 && end_first(p, s, NP_OK))
        n--;
    s->count += n;
}

void ref_sema_open(ref_poller *p, ref_sema *s)
{
    s->open = true;
    for (ref_waiter *w; (w = end_first(p, s, NP_OK)) != NULL;)
        w->opened = true;
}

void ref_sema_shut(ref_poller *p, ref_sema *s)
{
    s->shut = true;
    while (end_first(p, s, NP_CLOSED)) {
    }
}

static bool passed(int64_t until)
{
    return until != NP_NEVER && until <= ref_clock;
}

int ref_sema_acquire(ref_sema *s, int64_t until)
{
    int rc = ref_sema_try(s);
    if (rc != NP_AGAIN)
        return rc;
    return passed(until) ? NP_TIMEOUT : NP_PARKED;
}

int ref_timer_start(ref_poller *p, ref_waiter *w, np_token token, int64_t when)
{
    if (p->closed)
        return NP_CLOSED;
    *w = (ref_waiter){.place = REF_PARKED,
                      .token = token,
                      .until = when,
                      .result = NP_AGAIN,
                      .arrival = ++p->arrivals};
    return NP_PARKED;
}

int ref_sema_park(ref_poller *p, ref_waiter *w, ref_sema *s, np_token token, int64_t until)
{
    int rc = ref_sema_acquire(s, until);

    if (rc == NP_PARKED)
        rc = ref_timer_start(p, w, token, until);
    if (rc == NP_PARKED)
        w->sema = s;
    return rc;
}

int ref_timer_move(ref_waiter *w, int64_t when)
{
    if (w->place != REF_PARKED)
        return 0;
    w->until = when;
    return 1;
}

int ref_waiter_resume(ref_waiter *w)
{
    if (w->place == REF_GIVEN)
        w->place = REF_NOWHERE;
    return w->result;
}

int ref_waiter_cancel(ref_poller *p, ref_waiter *w, int *result)
{
    bool inside = w->place == REF_PARKED || w->place == REF_READY;

    if (w->place == REF_READY) {
        int i = 0;
        while (p->queue[i].w != w)
            i++;
        for (p->queued--; i < p->queued; i++)
            p->queue[i] = p->queue[i + 1];
    }
    w->place = REF_NOWHERE;
    *result = w->opened ? NP_AGAIN : w->result;
    return inside;
}

void ref_expire_waiters(ref_poller *p)
{
    for (ref_waiter *w = p->waiters; w < p->waiters + REF_WAITERS; w++)
        if (w->place == REF_PARKED && passed(w->until)) {
            p->timers_fired++;
            end_wait(p, w, w->sema ? NP_TIMEOUT : NP_OK);
        }
}

void ref_close_waiters(ref_poller *p)
{
    for (ref_waiter *w = p->waiters; w < p->waiters + REF_WAITERS; w++)
        if (w->place == REF_PARKED)
            end_wait(p, w, NP_CLOSED);
}

int ref_waiters(const ref_poller *p)
{
    int n = 0;
    for (int i = 0; i < REF_WAITERS; i++)
        n += p->waiters[i].place == REF_PARKED;
    return n;
}

/* All of the past are due at the same time. */
void ref_first_timer(const ref_poller *p, int64_t *first)
{
    for (int i = 0; i < REF_WAITERS; i++) {
        const ref_waiter *w = &p->waiters[i];
        int64_t when = w->until > 0 ? w->until : 1;
        if (w->place == REF_PARKED && when != NP_NEVER && (!*first || when < *first))
            *first = when;
    }
}
