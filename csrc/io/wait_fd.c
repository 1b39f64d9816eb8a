/* A thread that waits for one descriptor in poll(2), outside any poller.
 *
 * Where a mode has at most one waiter, known to every call that ends its waits, a thread needs
 * neither a registration nor a driver: the kernel wakes it for its descriptor, and its waker for
 * everything else.  A wake comes after the store of what it announces; the waiter publishes its
 * waker before it checks; and a wake is kept until the waiter takes it.
 */
#include "core/internal.h"
#include "io/op.h"

#ifndef _WIN32
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>

#include "posix/posixfd.h"

struct np_waker {
    np_wakefd wake;
    np_fd_waiter waiter; /* its generation is that of wake too: a child has a waker of its own */
    uintptr_t owner;     /* the thread whose own it is, or 0 */
    np_waker *next;
};

static np_fork_hooks hooks;

static int make_waker(uintptr_t owner, np_waker **out)
{
    np_waker *w = calloc(1, sizeof *w);
    int rc = w ? np_fork_add(&hooks) : -ENOMEM;
    if (rc == 0)
        rc = np_wakefd_open(&w->wake);
    if (rc < 0) {
        free(w);
        return rc;
    }
    w->owner = owner;
    np_store(&w->waiter.generation, np_load(&np_fork_generation));
    np_registry_add_fd_waiter(&w->waiter);
    *out = w;
    return 0;
}

int np_waker_new(np_waker **out)
{
    return make_waker(0, out);
}

void np_waker_free(np_waker *w)
{
    np_assert(np_peek(&w->waiter.mode) == 0 || /* or the thread that waited is gone since a fork */
              np_peek(&w->waiter.generation) != np_peek(&np_fork_generation));
    np_registry_remove_fd_waiter(&w->waiter);
    np_wakefd_close(&w->wake);
    free(w);
}

/* --- each thread's own ----------------------------------------------------------------------- */

static pthread_key_t key;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static int key_error;

static void free_waker(void *w)
{
    np_waker_free(w);
}

static void make_key(void)
{
    key_error = -pthread_key_create(&key, free_waker);
}

np_waker *np_thread_waker(int *error)
{
    pthread_once(&once, make_key);
    *error = key_error;
    if (key_error)
        return NULL;
    np_waker *w = pthread_getspecific(key);
    if (w)
        return w;
    *error = make_waker(np_thread_id(), &w);
    if (*error == 0 && (*error = -pthread_setspecific(key, w)) != 0)
        np_waker_free(w);
    return *error == 0 ? w : NULL;
}

/* In a forked child: of the other threads none will free its own. */
static void collect_gone(const np_fd_waiter *waiter, void *first)
{
    np_waker *w = NP_CONTAINER(waiter, np_waker, waiter), **gone = first;
    if (w->owner == 0 || w->owner == np_thread_id())
        return;
    w->next = *gone;
    *gone = w;
}

static void free_gone(void)
{
    np_waker *w = NULL;
    np_registry_each_fd_waiter(-1, collect_gone, &w);
    while (w) {
        np_waker *next = w->next;
        np_waker_free(w);
        w = next;
    }
}

static void no_locks(void)
{
}

static np_fork_hooks hooks = {no_locks, no_locks, free_gone, NULL};

/* --- waking and waiting ---------------------------------------------------------------------- */

/* No thread waits on a waker that is older than the process. */
void np_waker_wake(np_waker *w)
{
    if (np_load(&w->waiter.generation) == np_load(&np_fork_generation))
        np_wakefd_signal(&w->wake);
}

/* 1: the wake object is new, and wakes before now went to none: the caller must check again. */
static int renew(np_waker *w)
{
    uint32_t generation = np_load(&np_fork_generation);
    if (np_load(&w->waiter.generation) == generation)
        return 0;
    int rc = np_wakefd_renew(&w->wake);
    if (rc < 0)
        return rc;
    np_store(&w->waiter.mode, 0); /* before it counts again: a thread that waited then is gone */
    np_store(&w->waiter.generation, generation);
    return 1;
}

/* Most waits are like the one before, and a store costs twenty loads. */
static void store_if_changed(np_atomic64 *a, int64_t v)
{
    if (np_load64(a) != v)
        np_store64(a, v);
}

static void publish(np_fd_waiter *w, np_fd fd, int mode, int64_t until)
{
    store_if_changed(&w->fd, fd);
    store_if_changed(&w->thread, (int64_t)np_thread_id());
    store_if_changed(&w->since, np_now_coarse());
    store_if_changed(&w->until, until);
    np_store(&w->mode, (uint32_t)mode);
}

int np_wait_fd_released(np_waker *w, np_fd fd, int mode, int64_t until)
{
    int rc = renew(w);
    if (rc != 0)
        return rc < 0 ? rc : NP_AGAIN;
    struct pollfd pfds[2] = {
        [1] = {.fd = mode ? (int)fd : -1, .events = mode == NP_READ ? POLLIN : POLLOUT}};
    np_signal_slice slice = np_signal_slice_begin();
    np_assert(np_peek(&w->waiter.mode) == 0); /* one thread at a time */
    publish(&w->waiter, fd, mode, until);
    int n =
        np_poll_wakefd(&w->wake, pfds, 2, slice.end < until ? slice.length : np_time_left(until));
    np_store(&w->waiter.mode, 0);
    if (n < 0)
        return n == -EINTR ? NP_INTERRUPTED : n;
    if (pfds[1].revents) /* also if a wake came: it is kept for the next wait */
        return NP_OK;
    if (pfds[0].revents) {
        np_wakefd_drain(&w->wake);
        return NP_AGAIN;
    }
    if (until <= slice.end)
        return NP_TIMEOUT;
    np_signal_slice_over(&slice, true);
    return NP_INTERRUPTED;
}

int np_wait_fd(np_waker *w, np_fd fd, int mode, int64_t until)
{
    void *cookie = np_blocking_enter();
    int rc = np_wait_fd_released(w, fd, mode, until);
    np_blocking_leave(cookie);
    return rc;
}
#endif
