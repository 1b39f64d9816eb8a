/* fd -> descriptor, for all that are registered on a poller.  A hash, not an array, because on
 * Windows an fd is a handle.  Linear probing; removal shifts back, so there are no tombstones.
 */
#include <stdlib.h>

#include "core/internal.h"

static uint32_t home(const np_fdtab *t, np_fd fd)
{
    /* Fibonacci hashing: neighbouring numbers, which fds are, spread evenly. */
    return (uint32_t)((uint64_t)fd * UINT64_C(0x9E3779B97F4A7C15) >> 32) & (t->capacity - 1);
}

/* The bucket of fd, or the empty one where it would go. */
static uint32_t find(const np_fdtab *t, np_fd fd)
{
    uint32_t i = home(t, fd);
    while (t->buckets[i] && t->buckets[i]->fd != fd)
        i = (i + 1) & (t->capacity - 1);
    return i;
}

int np_fdtab_reserve(np_fdtab *t)
{
    if (t->count + 1 <= t->capacity / 2)
        return 0;
    if (t->capacity > UINT32_MAX / 4)
        return -ENOMEM;
    np_fdtab bigger = {.count = t->count, .capacity = t->capacity ? t->capacity * 2 : 32};
    bigger.buckets = calloc(bigger.capacity, sizeof(np_desc *));
    if (!bigger.buckets)
        return -ENOMEM;
    for (uint32_t i = 0; i < t->capacity; i++)
        if (t->buckets[i])
            bigger.buckets[find(&bigger, t->buckets[i]->fd)] = t->buckets[i];
    free(t->buckets);
    *t = bigger;
    return 0;
}

np_desc *np_fdtab_get(const np_fdtab *t, np_fd fd)
{
    return t->capacity ? t->buckets[find(t, fd)] : NULL;
}

void np_fdtab_put(np_fdtab *t, np_desc *d)
{
    uint32_t i = find(t, d->fd);
    np_assert(t->buckets[i] || t->count < t->capacity / 2); /* np_fdtab_reserve has made room */
    t->count += t->buckets[i] == NULL;
    t->buckets[i] = d;
}

void np_fdtab_remove(np_fdtab *t, const np_desc *d)
{
    uint32_t mask = t->capacity - 1, hole = find(t, d->fd);

    np_assert(t->buckets[hole] == d && t->count > 0);
    t->buckets[hole] = NULL;
    t->count--;
    for (uint32_t i = (hole + 1) & mask; t->buckets[i]; i = (i + 1) & mask) {
        uint32_t h = home(t, t->buckets[i]->fd);
        if (((i - h) & mask) >= ((i - hole) & mask)) {
            t->buckets[hole] = t->buckets[i];
            t->buckets[i] = NULL;
            hole = i;
        }
    }
}
