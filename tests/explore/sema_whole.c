/* csrc/sema/sema.c with its statics in reach: an execution that was given up may have left them in
 * any state, and scenarios want to see the queues. */
#include "sema/sema.c"

#include "explore.h"
#include "semas.h"

void sema_reset(void)
{
    for (int i = 0; i < ROOTS; i++)
        roots[i] = (root)ROOT;
    installed.value = 0;
}

int sema_waiters(const np_sema *s)
{
    int n = 0;
    if (s->word & WAITERS)
        for (const np_link *l = queue_of((np_sema *)(uintptr_t)s)->next; l != (void *)s->queue;
             l = l->next)
            n++;
    return n;
}

/* The scheduling point is one of the lock's, under which queues change. */
void sema_await_waiters(np_sema *s, bool (*enabled)(void *), void *arg)
{
    static const ex_site site = {"scenario", 0, "await waiters"};
    op next = {
        .object = &root_of(s)->lock, .write = true, .enabled = enabled, .arg = arg, .site = &site};
    ex_point(&next);
    ex_trace("goes on");
}

bool sema_is_settled(const np_sema *s)
{
    return root_of(s)->lock.owner == 0;
}

/* Every waiter of a root is in the queue of its semaphore, in the order of coming, and the word
 * says so. */
static void check_waiter(np_waiting *w)
{
    np_link *queue = queue_of(w->sema), *l = queue->next;

    EXPECT(w->at_sema && (word_of(w->sema)->value & WAITERS));
    EXPECT(word_of(w->sema)->value < UNIT);
    while (l != queue && l != &w->sema_link)
        l = l->next;
    EXPECT(l == &w->sema_link);
    EXPECT(l->prev == queue || NP_CONTAINER(l->prev, np_waiting, sema_link)->arrival < w->arrival);
}

int sema_check_queues(void)
{
    int n = 0;
    for (int i = 0; i < ROOTS; i++) {
        EXPECT(roots[i].lock.owner == 0);
        np_link *waiters = waiters_of(&roots[i]);
        for (np_link *l = waiters->next; l != waiters; l = l->next, n++)
            check_waiter(NP_CONTAINER(l, np_waiting, root_link));
    }
    return n;
}
