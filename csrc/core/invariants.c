/* What must hold of the core's data, as internal.h states it where the data is: for np_assert. */
#include "core/internal.h"

#ifdef NP_DEBUG

const np_mutex *np_wake_q_lock(const np_wake_q *wake_q)
{
    return wake_q->lock;
}

#define BIT(n) (1u << (n))

bool np_sem_may_become(uint32_t from, uint32_t to)
{
    static const uint32_t next[] = {
        [SEM_NIL] = BIT(SEM_READY) | BIT(SEM_WAIT),
        [SEM_READY] = BIT(SEM_NIL),
        [SEM_READY_TOKEN] = BIT(SEM_NIL) | BIT(SEM_READY),
        [SEM_WAIT] = BIT(SEM_NIL) | BIT(SEM_WAIT_AGAIN) | BIT(SEM_WAIT_READY) | BIT(SEM_THREAD) |
                     BIT(SEM_TOKEN),
        [SEM_WAIT_AGAIN] = BIT(SEM_NIL) | BIT(SEM_WAIT_READY),
        [SEM_WAIT_READY] = BIT(SEM_READY),
        [SEM_THREAD] = BIT(SEM_NIL),
        [SEM_TOKEN] = BIT(SEM_NIL) | BIT(SEM_READY_TOKEN),
    };
    return from <= SEM_TOKEN && next[from] & BIT(to);
}

bool np_delivery_may_become(uint32_t from, uint32_t to)
{
    static const uint32_t next[] = {
        [DELIVERY_NONE] = BIT(DELIVERY_QUEUED),
        [DELIVERY_QUEUED] = BIT(DELIVERY_DROPPED) | BIT(DELIVERY_OUT),
        [DELIVERY_DROPPED] = BIT(DELIVERY_NONE),
        [DELIVERY_OUT] = BIT(DELIVERY_NONE),
    };
    return from <= DELIVERY_OUT && next[from] & BIT(to);
}

bool np_info_is_sound(uint32_t info)
{
    return (info & INFO_CLOSING || !(info & INFO_DEREGISTERED)) &&
           !(info & INFO_ERR_READY && info & INFO_EVENT_ERR);
}

bool np_deadlines_are_sound(const np_desc *d)
{
    uint32_t info = np_peek(&d->info);
    if (info & INFO_CLOSING)
        return true;
    for (int i = 0; i < 2; i++)
        if ((np_peek64(&d->side[i].deadline) < 0) != ((info & INFO_EXPIRED(i + 1)) != 0))
            return false;
    return true;
}

bool np_side_is_idle(const np_side *s)
{
    uint32_t delivery = np_peek(&s->delivery);
    return np_peek(&s->sem) < SEM_WAIT && (delivery == DELIVERY_NONE || delivery == DELIVERY_OUT);
}

bool np_heap_is_sound_at(const np_heap *h, uint32_t pos)
{
    const np_timer_entry *e = &h->entries[pos];
    if (pos >= h->count || e->owner->heap_pos != pos)
        return false;
    if (pos > 0 && h->entries[(pos - 1) / NP_HEAP_ARITY].when > e->when)
        return false;
    uint32_t first = pos * NP_HEAP_ARITY + 1;
    for (uint32_t i = first; i < first + NP_HEAP_ARITY && i < h->count; i++)
        if (h->entries[i].when < e->when || h->entries[i].owner->heap_pos != i)
            return false;
    return true;
}

static uint32_t count_parked(const np_poller *p)
{
    return np_peek(&p->parked[0]) + np_peek(&p->parked[1]) - p->unparked[0] - p->unparked[1];
}

bool np_poller_is_sound(const np_poller *p)
{
    uint32_t threads = 0;

    for (const np_link *l = p->drivers.next; l != &p->drivers; l = l->next)
        if (!NP_CONTAINER(l, np_driver, link)->inside)
            return false;
    for (const np_link *l = p->followers.next; l != &p->followers; l = l->next) {
        const np_thread_waiter *w = NP_CONTAINER(l, np_thread_waiter, link);
        if (!w->following || w->driver.inside || np_peek(&w->word) != WORD_IDLE)
            return false;
        threads += !w->home; /* the tokens of a poll that follows may be out already */
    }
    return threads <= count_parked(p) && (!p->ready.first || !p->ready.last->next);
}

bool np_poller_is_empty(const np_poller *p)
{
    return np_list_empty(&p->drivers) && np_list_empty(&p->followers) && !p->ready.first &&
           np_list_empty(&p->foreign) && np_peek(&p->foreign_work) == 0 && !p->kernel &&
           p->stats.open == 0 && p->fds.count == 0 && count_parked(p) == 0;
}

#endif
