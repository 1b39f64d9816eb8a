/* What lies below the core, as operations of the explorer. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "explore.h"
#include "netpoll.h"
#include "sim.h"

const char ex_clock_object, ex_kernel_object;

/* --- memory ----------------------------------------------------------------------------------- */

/* Nothing that was freed is used again within an execution, so that whoever still looks there is
 * found out. */
enum { ARENA = 1 << 20, GRAIN = 16 };
static char *arena;
static unsigned char state[ARENA / GRAIN]; /* 0: never given out, 1: in use, 2: freed */
static size_t used;
static int allocations;
static bool leak_expected;

/* Always in the same place: locks are chosen by addresses, and a schedule that is replayed must
 * meet in the same ones. */
void sim_start(void)
{
    void *place = (void *)(uintptr_t)UINT64_C(0x300000000000);
    arena = mmap(place, ARENA, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    if (arena == MAP_FAILED) {
        perror("explorer: memory for the core");
        exit(2);
    }
}

void *sim_calloc(size_t n, size_t size)
{
    size_t bytes = (n * size + GRAIN + GRAIN - 1) / GRAIN * GRAIN; /* its size comes first */
    if (used + bytes > ARENA)
        ex_fail("the arena is too small");
    char *p = arena + used;
    memset(p, 0, bytes);
    *(size_t *)(void *)p = bytes - GRAIN;
    memset(state + used / GRAIN, 1, bytes / GRAIN);
    used += bytes;
    allocations++;
    return p + GRAIN;
}

void *sim_malloc(size_t size)
{
    void *p = sim_calloc(1, size);
    memset(p, 0xA5, size);
    return p;
}

void sim_free(void *p)
{
    if (!p)
        return;
    size_t at = (size_t)((char *)p - arena);
    if (at >= used || state[at / GRAIN] != 1)
        ex_fail("freed twice, or never allocated");
    size_t size = *(size_t *)(void *)((char *)p - GRAIN);
    if (iocp_has(p, size))
        ex_fail("freed while an operation of the kernel's has it");
    memset(state + at / GRAIN, 2, size / GRAIN);
    memset(p, 0xDD, size);
    allocations--;
}

void *sim_realloc(void *p, size_t size)
{
    void *fresh = sim_malloc(size);
    if (p) {
        size_t old = *(size_t *)(void *)((char *)p - GRAIN);
        memcpy(fresh, p, old < size ? old : size);
        sim_free(p);
    }
    return fresh;
}

void sim_check_address(const void *p)
{
    size_t at = (size_t)((const char *)p - arena);
    if (at < ARENA && state[at / GRAIN] != 1)
        ex_fail("use after free");
    if (!ex_address_is_live(p))
        ex_fail("use of a stack frame that is gone");
}

/* --- atomics ---------------------------------------------------------------------------------- */

static void point(const void *object, bool write, const ex_site *site)
{
    op next = {.object = object, .write = write, .site = site};
    ex_point(&next);
    sim_check_address(object);
}

static void write_out(void *at, bool wide, int64_t value)
{
    if (wide)
        ((np_atomic64 *)at)->value = value;
    else
        ((np_atomic32 *)at)->value = (uint32_t)value;
}

/* What was stored weakly becomes visible to the others. */
void sim_fence(void)
{
    if (ex_self < 0)
        return;
    actor *a = &ex_actors[ex_self];
    for (int i = 0; i < a->buffered; i++) {
        sim_check_address(a->buffer[i].at);
        write_out(a->buffer[i].at, a->buffer[i].wide, a->buffer[i].value);
    }
    a->buffered = 0;
}

/* NULL: the actor has stored nothing weakly there. */
static const int64_t *delayed_by_self(const void *at)
{
    actor *self = ex_self < 0 ? NULL : &ex_actors[ex_self];
    for (int i = self ? self->buffered - 1 : -1; i >= 0; i--)
        if (self->buffer[i].at == at)
            return &self->buffer[i].value;
    return NULL;
}

/* A load may run ahead of what its actor stored weakly, but sees it.  NULL: it stored nothing
 * there. */
static const int64_t *stored_by_self(const void *at)
{
    actor *self = ex_self < 0 ? NULL : &ex_actors[ex_self];
    if (self && self->buffered > 0 && ex_choose(2) == 1)
        sim_fence();
    return delayed_by_self(at);
}

static bool delay(void *at, bool wide, int64_t value)
{
    actor *self = ex_self < 0 ? NULL : &ex_actors[ex_self];
    if (!self || self->buffered == EX_BUFFER || ex_choose(2) == 0) {
        sim_fence();
        return false;
    }
    self->buffer[self->buffered].at = at;
    self->buffer[self->buffered].wide = wide;
    self->buffer[self->buffered++].value = value;
    return true;
}

uint32_t ex_load(const np_atomic32 *a, const ex_site *site)
{
    point(a, false, site);
    const int64_t *own = stored_by_self(a);
    uint32_t v = own ? (uint32_t)*own : a->value;
    ex_trace("%s = %u", site->text, v);
    return v;
}

void ex_store(np_atomic32 *a, uint32_t v, const ex_site *site)
{
    point(a, true, site);
    sim_fence();
    a->value = v;
    ex_trace("%s: %u", site->text, v);
}

void ex_store_plain(uintptr_t *field, uintptr_t v, const ex_site *site)
{
    point(field, true, site);
    *field = v;
    ex_trace("%s: %llu", site->text, (unsigned long long)v);
}

void ex_store_weak(np_atomic32 *a, uint32_t v, const ex_site *site)
{
    point(a, true, site);
    bool delayed = delay(a, false, v);
    if (!delayed)
        a->value = v;
    ex_trace("%s: %u%s", site->text, v, delayed ? ", delayed" : "");
}

void ex_store64_weak(np_atomic64 *a, int64_t v, const ex_site *site)
{
    point(a, true, site);
    bool delayed = delay(a, true, v);
    if (!delayed)
        a->value = v;
    ex_trace("%s: %lld%s", site->text, (long long)v, delayed ? ", delayed" : "");
}

uint32_t ex_swap(np_atomic32 *a, uint32_t v, const ex_site *site)
{
    point(a, true, site);
    sim_fence();
    uint32_t old = a->value;
    a->value = v;
    ex_trace("%s = %u", site->text, old);
    return old;
}

bool ex_cas(np_atomic32 *a, uint32_t from, uint32_t to, const ex_site *site)
{
    point(a, true, site);
    sim_fence();
    bool done = a->value == from;
    ex_trace("%s: %s (it was %u)", site->text, done ? "done" : "no", a->value);
    if (done)
        a->value = to;
    return done;
}

uint32_t ex_add(np_atomic32 *a, uint32_t by, const ex_site *site)
{
    point(a, true, site);
    sim_fence();
    uint32_t old = a->value;
    a->value += by;
    ex_trace("%s: %u -> %u", site->text, old, a->value);
    if (old == 0 && by == UINT32_MAX)
        ex_fail("a count fell below zero: %s", site->text);
    return old;
}

int64_t ex_load64(const np_atomic64 *a, const ex_site *site)
{
    point(a, false, site);
    const int64_t *own = stored_by_self(a);
    int64_t v = own ? *own : a->value;
    ex_trace("%s = %lld", site->text, (long long)v);
    return v;
}

void ex_store64(np_atomic64 *a, int64_t v, const ex_site *site)
{
    point(a, true, site);
    sim_fence();
    a->value = v;
    ex_trace("%s: %lld", site->text, (long long)v);
}

/* What an assertion reads. */
uint32_t ex_peek(const np_atomic32 *a)
{
    sim_check_address(a);
    const int64_t *own = delayed_by_self(a);
    return own ? (uint32_t)*own : a->value;
}

int64_t ex_peek64(const np_atomic64 *a)
{
    sim_check_address(a);
    const int64_t *own = delayed_by_self(a);
    return own ? *own : a->value;
}

/* --- locks ------------------------------------------------------------------------------------ */

static bool is_free(void *m)
{
    return ((np_mutex *)m)->owner == 0;
}

/* To acquire is no fence for what was stored before. */
bool ex_holds(const np_mutex *m)
{
    return m->owner == ex_self + 2;
}

void ex_lock(np_mutex *m, const ex_site *site)
{
    if (ex_self >= 0 && ex_holds(m))
        ex_fail("%s: the lock is its own already", site->text);
    op next = {.object = m, .write = true, .enabled = is_free, .arg = m, .site = site};
    ex_point(&next);
    sim_check_address(m);
    m->owner = ex_self + 2;
    ex_trace("%s", site->text);
}

void ex_unlock(np_mutex *m, const ex_site *site)
{
    op next = {.object = m, .write = true, .releases = true, .site = site};
    ex_point(&next);
    sim_check_address(m);
    if (!ex_holds(m))
        ex_fail("%s: the lock is not its own", site->text);
    sim_fence();
    m->owner = 0;
    ex_trace("%s", site->text);
}

/* --- threads ---------------------------------------------------------------------------------- */

/* In setup: of whose thread what is done is. */
static int acting;

void ex_act_as(const char *name)
{
    acting = name ? 0 : EX_ACTORS;
    while (name && strcmp(ex_actors[acting].name, name) != 0)
        acting++;
}

int ex_thread(void)
{
    return ex_self >= 0 ? ex_self : acting;
}

uintptr_t np_thread_id(void)
{
    return (uintptr_t)ex_thread() + 1;
}

bool np_is_signal_thread(void)
{
    return ex_self >= 0 && ex_actors[ex_self].has_handler;
}

void np_yield(void)
{
    static const ex_site site = {"clock", 0, "np_yield"};
    op next = {.yields = true, .site = &site};
    ex_point(&next);
    sim_fence();
    ex_trace("np_yield");
}

/* --- the clock -------------------------------------------------------------------------------- */

static int64_t now;

int64_t np_now(void)
{
    static const ex_site site = {"clock", 0, "np_now"};
    op next = {.object = &ex_clock_object, .write = false, .site = &site};
    ex_point(&next);
    ex_trace("np_now = %lld", (long long)now);
    return now;
}

/* What is made of it is told to people only, so nothing depends on when it is read. */
int64_t np_now_coarse(void)
{
    return now;
}

int64_t ex_clock(void)
{
    return now;
}

void ex_advance(int64_t ns)
{
    static const ex_site site = {"scenario", 0, "the clock goes on"};
    op next = {.object = &ex_clock_object, .write = true, .site = &site};
    ex_point(&next);
    now += ns;
    ex_trace("the clock goes on to %lld", (long long)now);
}

/* All wait, and some with a timeout: it is over. */
bool sim_next_instant(void)
{
    int64_t first = kernel_next_timer();
    for (int i = 0; i < EX_ACTORS; i++)
        if (ex_actors[i].alive && ex_actors[i].due > now && ex_actors[i].due < first)
            first = ex_actors[i].due;
    if (first == INT64_MAX)
        return false;
    now = first;
    ex_note("time passes until %lld", (long long)now);
    return true;
}

/* --- the scenario's own ------------------------------------------------------------------------
 */

static bool is_set(void *flag)
{
    return *(bool *)flag;
}

bool ex_awaits(const actor *a)
{
    return a->next.enabled == is_set;
}

void ex_await(const bool *flag)
{
    static const ex_site site = {"scenario", 0, "await"};
    op next = {.object = flag,
               .write = true,
               .enabled = is_set,
               .arg = (void *)(uintptr_t)flag,
               .site = &site};
    ex_point(&next);
    ex_trace("goes on");
}

void ex_set(bool *flag)
{
    static const ex_site site = {"scenario", 0, "set"};
    op next = {.object = flag, .write = true, .site = &site};
    ex_point(&next);
    *flag = true;
    ex_trace("sets its flag");
}

/* The actor, when it is time to signal it. */
static actor *to_be_signalled(const char *name)
{
    static const ex_site site = {"scenario", 0, "signal"};
    actor *a = ex_actors;
    while (strcmp(a->name, name) != 0)
        a++;
    op next = {.object = &a->interrupted, .write = true, .site = &site};
    ex_point(&next);
    return a;
}

void ex_signal(const char *name)
{
    actor *a = to_be_signalled(name);
    a->interrupted = true;
    ex_trace("a signal for %s", name);
}

/* The signal comes to an actor whose handler only takes a note.  It ends the call in which the
 * actor is blocked, if it is; but no later one. */
void ex_signal_noted(const char *name)
{
    actor *a = to_be_signalled(name);
    a->noted = true;
    a->interrupted = a->next.reads[0] == &a->interrupted && a->next.enabled;
    ex_trace("a signal for %s, %s", name, a->interrupted ? "asleep" : "awake");
}

/* The host looks for its handler's note. */
bool ex_check_signals(void)
{
    static const ex_site site = {"scenario", 0, "look for signals"};
    actor *self = &ex_actors[ex_self];
    op next = {.object = &self->interrupted, .write = true, .site = &site};
    ex_point(&next);
    bool noted = self->noted;
    self->noted = false;
    ex_trace("looks for signals: %s", noted ? "one came" : "none");
    return noted;
}

/* In setup: this actor's thread is the one to which signals come. */
void ex_has_handler(const char *name)
{
    actor *a = ex_actors;
    while (strcmp(a->name, name) != 0)
        a++;
    a->has_handler = true;
}

void sim_reset(void)
{
    memset(state, 0, used / GRAIN + 1);
    used = 0;
    allocations = 0;
    leak_expected = false;
    acting = EX_ACTORS;
    now = 1000;
}

void ex_expect_leak(void)
{
    leak_expected = true;
}

/* Whoever writes to what was freed without a scheduling point is found out at the end. */
static void check_freed(void)
{
    uint64_t poison;
    memset(&poison, 0xDD, sizeof poison);
    for (size_t i = 0; i < used / GRAIN; i++) {
        const uint64_t *words = (const void *)(arena + i * GRAIN);
        if (state[i] == 2 && (words[0] != poison || words[1] != poison))
            ex_fail("written to after it was freed");
    }
}

void sim_finish(void)
{
    check_freed();
    if (allocations != 0 && !leak_expected)
        ex_fail("%d allocations were never freed", allocations);
}
