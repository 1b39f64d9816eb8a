/* What waits at semaphores and timers: read under their locks, and nothing is changed. */
#include "inspect/waits.h"

#include <string.h>

#include "io/file.h"

typedef struct list {
    np_wait_view *out;
    int skip, max, count;
} list;

static void set_what(np_wait_view *v, const np_waiting *w)
{
    const char *what = w->what ? w->what : w->sema ? "semaphore" : "timer";
    strncpy(v->what, what, sizeof v->what - 1);
}

static void set_file(np_wait_view *v, const np_waiting *w)
{
    int mode;
    const np_file *f = np_file_of_turn(w, &mode);
    if (f) {
        v->mode = mode;
        v->fd = f->fd;
    }
}

static void add(list *l, const np_waiting *w, int state)
{
    int i = l->count++ - l->skip;
    if (i < 0 || i >= l->max)
        return;
    np_wait_view *v = &l->out[i];
    *v = (np_wait_view){
        .sema = w->sema,
        .view = {.state = state,
                 .waiter = w->is_thread ? w->thread : w->entry.token,
                 .since = w->since,
                 .deadline = w->until == INT64_MAX ? 0 : w->until},
    };
    set_what(v, w);
    set_file(v, w);
}

static void add_tokens(list *l, const np_poller *p)
{
    for (const np_link *k = p->waiters.next; k != &p->waiters; k = k->next)
        add(l, NP_CONTAINER(k, np_waiting, poller_link), NP_TOKEN);
    for (np_entry *e = p->ready.first; e; e = e->next)
        if (e->kind == KIND_WAITER)
            add(l, NP_CONTAINER(e, np_waiting, entry), NP_QUEUED);
}

static void add_thread(const np_waiting *w, void *context)
{
    if (w->is_thread)
        add(context, w, NP_THREAD);
}

bool np_waits_from(np_poller *p, int skip, np_wait_view *out, int max, int64_t timeout_ns, int *n)
{
    list l = {.out = out, .skip = skip, .max = max, .count = 0};
    bool all;

    if (!p) {
        all = np_sema_each(timeout_ns, add_thread, &l);
    } else if ((all = np_mutex_timedlock(&p->lock, timeout_ns))) {
        add_tokens(&l, p);
        np_mutex_unlock(&p->lock);
    }
    *n = l.count;
    return all;
}

int np_poller_waits(np_poller *p, np_wait_view *out, int max, int64_t timeout_ns)
{
    int n;
    return np_waits_from(p, 0, out, max, timeout_ns, &n) ? n : -EBUSY;
}

int np_thread_waits(np_wait_view *out, int max, int64_t timeout_ns)
{
    int n;
    return np_waits_from(NULL, 0, out, max, timeout_ns, &n) ? n : -EBUSY;
}
