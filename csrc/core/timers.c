/* The heap of deadlines, one a poller, 4-ary, under the poller's lock.
 *
 * An entry's key is at or before what its owner wants.  Moving a deadline later, or clearing it,
 * leaves the entry alone: it finds out when it comes to the top, and is moved or dropped then.  So
 * the usual life of a deadline, moved forward at every operation and never reached, costs no heap
 * work, and once per period at most a sift.
 *
 * An entry is current if its owner's timer_seq equals its seq.  A slot that is closed keeps its
 * entry, stale, for its next owner to use again; so there are at most two entries a slot.
 */
#include <stdlib.h>

#include "core/internal.h"
#include "core/waiter.h"

static void place(np_heap *h, uint32_t pos, np_timer_entry e)
{
    h->entries[pos] = e;
    e.owner->heap_pos = pos;
}

static void sift_up(np_heap *h, uint32_t pos, np_timer_entry e)
{
    while (pos > 0) {
        uint32_t parent = (pos - 1) / NP_HEAP_ARITY;
        if (h->entries[parent].when <= e.when)
            break;
        place(h, pos, h->entries[parent]);
        pos = parent;
    }
    place(h, pos, e);
    np_assert(np_heap_is_sound_at(h, pos));
}

static void sift_down(np_heap *h, uint32_t pos, np_timer_entry e)
{
    for (;;) {
        uint32_t first = pos * NP_HEAP_ARITY + 1;
        if (first >= h->count)
            break;
        uint32_t last = h->count - first < NP_HEAP_ARITY ? h->count : first + NP_HEAP_ARITY;
        uint32_t least = first;
        for (uint32_t i = first + 1; i < last; i++)
            if (h->entries[i].when < h->entries[least].when)
                least = i;
        if (e.when <= h->entries[least].when)
            break;
        place(h, pos, h->entries[least]);
        pos = least;
    }
    place(h, pos, e);
    np_assert(np_heap_is_sound_at(h, pos));
}

static void remove_at(np_heap *h, uint32_t pos)
{
    np_assert(pos < h->count && h->entries[pos].owner->heap_pos == pos);
    h->entries[pos].owner->heap_pos = NP_NO_TIMER;
    h->count--;
    if (pos == h->count)
        return;
    np_timer_entry last = h->entries[h->count];
    if (pos > 0 && last.when < h->entries[(pos - 1) / NP_HEAP_ARITY].when)
        sift_up(h, pos, last);
    else
        sift_down(h, pos, last);
}

int np_heap_reserve(np_heap *h, uint32_t more)
{
    if (h->capacity - h->count >= more)
        return 0;
    if (h->capacity > UINT32_MAX / 4)
        return -ENOMEM;
    uint32_t capacity = h->capacity ? h->capacity * 2 : 64;
    np_timer_entry *entries = realloc(h->entries, capacity * sizeof *entries);
    if (!entries)
        return -ENOMEM;
    h->entries = entries;
    h->capacity = capacity;
    return 0;
}

/* The instant for which this side needs a timer: of two equal deadlines only the read side's. */
static int64_t deadline_of_side(np_side *s)
{
    int64_t when = np_load64(&s->deadline);
    if (when <= 0)
        return 0;
    if (s->entry.mode == NP_WRITE &&
        np_load64(&np_side_of(np_desc_of(s), NP_READ)->deadline) == when)
        return 0;
    return when;
}

/* 0: none. */
static int64_t deadline_of(np_entry *t)
{
    if (t->kind == KIND_SIDE)
        return deadline_of_side(NP_CONTAINER(t, np_side, entry));
    int64_t until = NP_CONTAINER(t, np_waiting, entry)->until;
    return until == INT64_MAX ? 0 : until;
}

void np_heap_update(np_heap *h, np_entry *t)
{
    int64_t when = deadline_of(t);
    if (when == 0)
        return;
    np_timer_entry e = {.when = when, .owner = t};
    if (t->heap_pos == NP_NO_TIMER) {
        np_assert(h->count < h->capacity); /* np_heap_reserve has made room */
        t->timer_seq = t->seq;
        sift_up(h, h->count++, e);
    } else if (when < h->entries[t->heap_pos].when) {
        t->timer_seq = t->seq;
        sift_up(h, t->heap_pos, e);
    }
}

void np_heap_remove(np_heap *h, np_entry *t)
{
    if (t->heap_pos != NP_NO_TIMER)
        remove_at(h, t->heap_pos);
}

/* Bring a current entry to the top. */
static void refresh_top(np_heap *h)
{
    while (h->count > 0) {
        np_entry *t = h->entries[0].owner;
        if (t->timer_seq == t->seq)
            return;
        int64_t when = deadline_of(t);
        t->timer_seq = t->seq;
        if (when > 0)
            sift_down(h, 0, (np_timer_entry){.when = when, .owner = t});
        else
            remove_at(h, 0);
    }
}

int64_t np_heap_top(np_heap *h)
{
    refresh_top(h);
    return h->count > 0 ? h->entries[0].when : INT64_MAX;
}

np_entry *np_heap_due(np_heap *h, int64_t now)
{
    if (np_heap_top(h) > now)
        return NULL;
    np_entry *t = h->entries[0].owner;
    np_assert(deadline_of(t) == h->entries[0].when); /* never early */
    remove_at(h, 0);
    return t;
}
