/* The poll cache: slots for descriptors, cut from blocks that stay mapped and keep their type while
 * the poller lives, because the kernel may hand back a tag long after its descriptor was closed.
 * Slots are given out last in, first out, which is kind to the processor's caches and the reason
 * why fdseq must tell the owners of a slot apart.
 */
#include <stdlib.h>
#include <string.h>

#include "core/internal.h"

enum { BLOCK_SIZE = 4 * 1024 };
enum { PER_BLOCK = BLOCK_SIZE / sizeof(np_desc) };

_Static_assert(sizeof(np_desc) <= 192, "a pollDesc is at most 192 bytes, both timers included");

static int grow_table(np_cache *c)
{
    if (c->block_count < c->block_capacity)
        return 0;
    if (c->block_capacity > UINT32_MAX / PER_BLOCK / 2)
        return -ENOMEM;
    uint32_t capacity = c->block_capacity ? c->block_capacity * 2 : 16;
    np_desc **blocks = realloc(c->blocks, capacity * sizeof *blocks);
    if (!blocks)
        return -ENOMEM;
    c->blocks = blocks;
    c->block_capacity = capacity;
    return 0;
}

static void setup_slot(np_poller *p, np_desc *d, uint32_t index)
{
    d->poller = p;
    d->index = index;
    d->fdseq = 1; /* so that no tag is 0 */
    for (int i = 0; i < 2; i++) {
        d->side[i].entry =
            (np_entry){.kind = KIND_SIDE, .mode = (uint8_t)(i + 1), .heap_pos = NP_NO_TIMER};
    }
    d->link = p->cache.free;
    p->cache.free = d;
}

static int add_block(np_poller *p)
{
    np_cache *c = &p->cache;
    if (grow_table(c) < 0)
        return -ENOMEM;
    np_desc *block = calloc(1, BLOCK_SIZE);
    if (!block)
        return -ENOMEM;
    uint32_t first = c->block_count * PER_BLOCK;
    c->blocks[c->block_count++] = block;
    for (uint32_t i = PER_BLOCK; i-- > 0;)
        setup_slot(p, &block[i], first + i);
    return 0;
}

np_desc *np_cache_alloc(np_poller *p)
{
    np_assert_locked(p);
    if (!p->cache.free && add_block(p) < 0)
        return NULL;
    np_desc *d = p->cache.free;
    p->cache.free = d->link;
    return d;
}

void np_cache_free(np_desc *d)
{
    np_assert_locked(d->poller);
    np_assert(np_side_is_idle(&d->side[0]) && np_side_is_idle(&d->side[1]));
    d->fdseq++; /* whatever the kernel still holds for the old owner is stale from here on */
    if (d->fdseq == 0)
        d->fdseq = 1;
    d->link = d->poller->cache.free;
    d->poller->cache.free = d;
}

NP_HOT np_desc *np_cache_at(const np_poller *p, uint32_t index)
{
    uint32_t block = index / PER_BLOCK;
    return block < p->cache.block_count ? &p->cache.blocks[block][index % PER_BLOCK] : NULL;
}

void np_cache_destroy(np_cache *c)
{
    for (uint32_t i = 0; i < c->block_count; i++)
        free(c->blocks[i]);
    free(c->blocks);
}
