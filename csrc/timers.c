/* The heap of deadlines, one a poller, 4-ary, under the poller's lock.
 *
 * An entry's key is at or before what its side wants.  Moving a deadline later, or clearing it,
 * leaves the entry alone: it finds out when it comes to the top, and is moved or dropped then.  So
 * the usual life of a deadline, moved forward at every operation and never reached, costs no heap
 * work, and once per period at most a sift.
 *
 * An entry is current if its side's timer_seq equals its seq.  A slot that is closed keeps its
 * entry, stale, for its next owner to use again; so there are at most two entries a slot.
 */
#include <stdlib.h>

#include "internal.h"

enum { ARITY = 4 };

static void place(np_heap *h, uint32_t pos, np_timer_entry e)
{
    h->entries[pos] = e;
    e.side->heap_pos = pos;
}

static void sift_up(np_heap *h, uint32_t pos, np_timer_entry e)
{
    while (pos > 0) {
        uint32_t parent = (pos - 1) / ARITY;
        if (h->entries[parent].when <= e.when)
            break;
        place(h, pos, h->entries[parent]);
        pos = parent;
    }
    place(h, pos, e);
}

static void sift_down(np_heap *h, uint32_t pos, np_timer_entry e)
{
    for (;;) {
        uint32_t first = pos * ARITY + 1;
        if (first >= h->count)
            break;
        uint32_t last = h->count - first < ARITY ? h->count : first + ARITY;
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
}

static void remove_top(np_heap *h)
{
    h->entries[0].side->heap_pos = NP_NO_TIMER;
    h->count--;
    if (h->count > 0)
        sift_down(h, 0, h->entries[h->count]);
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
static int64_t wanted(np_side *s)
{
    int64_t when = np_load64(&s->deadline);
    if (when <= 0)
        return 0;
    if (s->mode == NP_WRITE && np_load64(&np_side_of(np_desc_of(s), NP_READ)->deadline) == when)
        return 0;
    return when;
}

void np_heap_want(np_heap *h, np_side *s)
{
    int64_t when = wanted(s);
    if (when == 0)
        return;
    np_timer_entry e = {.when = when, .side = s};
    if (s->heap_pos == NP_NO_TIMER) {
        s->timer_seq = s->seq;
        sift_up(h, h->count++, e); /* np_heap_reserve has made room */
    } else if (when < h->entries[s->heap_pos].when) {
        s->timer_seq = s->seq;
        sift_up(h, s->heap_pos, e);
    }
}

/* Bring a current entry to the top. */
static void settle(np_heap *h)
{
    while (h->count > 0) {
        np_side *s = h->entries[0].side;
        if (s->timer_seq == s->seq)
            return;
        int64_t when = wanted(s);
        s->timer_seq = s->seq;
        if (when > 0)
            sift_down(h, 0, (np_timer_entry){.when = when, .side = s});
        else
            remove_top(h);
    }
}

int64_t np_heap_top(np_heap *h)
{
    settle(h);
    return h->count > 0 ? h->entries[0].when : INT64_MAX;
}

np_side *np_heap_due(np_heap *h, int64_t now)
{
    if (np_heap_top(h) > now)
        return NULL;
    np_side *s = h->entries[0].side;
    remove_top(h);
    return s;
}
