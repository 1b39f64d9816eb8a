/* A file and its users: closing, deadlines, forks.  How an operation goes is in op.c. */
#include "io/file.h"

#include <stdlib.h>

#ifdef _WIN32
#include <winsock2.h>
#else
#include <unistd.h>
#endif

#include "io/op.h"

/* --- all files ------------------------------------------------------------------------------- */

/* Each file is in one of a few lists, chosen by its address, whose lock is the file's: so fork
 * finds the locks and the files.  (Fork holds all of them, and ThreadSanitizer can follow 64 at a
 * time.)
 *
 * Order: the registry's, a file's, a root's, a poller's.  A reference to a descriptor, which may be
 * the last to its poller, is dropped without any. */
enum { LOG_SHARDS = 4, SHARDS = 1 << LOG_SHARDS };

typedef struct shard {
    _Alignas(NP_CACHE_LINE) np_mutex lock; /* other cores take the next one's */
    np_link files;                         /* np_file.link; made at first need */
} shard;

#define SHARD {.lock = NP_MUTEX_INIT}
#define SHARD_4 SHARD, SHARD, SHARD, SHARD
static shard shards[SHARDS] = {SHARD_4, SHARD_4, SHARD_4, SHARD_4};

static shard *shard_of(const np_file *f)
{
    return &shards[((uintptr_t)f >> 4) * UINT64_C(0x9E3779B97F4A7C15) >> (64 - LOG_SHARDS)];
}

/* With the lock held. */
static np_link *files_of(shard *s)
{
    if (!s->files.next)
        np_list_init(&s->files);
    return &s->files;
}

void np_file_lock(np_file *f)
{
    np_mutex_lock(&shard_of(f)->lock);
}

void np_file_unlock(np_file *f)
{
    np_mutex_unlock(&shard_of(f)->lock);
}

static int install(void);

/* --- life ------------------------------------------------------------------------------------ */

int np_file_init(np_file *f, np_fd fd, int kind)
{
    int rc = install();
    if (rc < 0)
        return rc;
    *f = (np_file){.fd = fd, .kind = (uint8_t)kind};
    np_store64(&f->timeout, -1);
    for (int i = 0; i < 2; i++) {
        np_sema_init(&f->half[i].turn, 1);
        np_store64(&f->half[i].deadline, NP_NEVER);
        np_store64(&f->half[i].limit, NP_NEVER);
        np_store64(&f->half[i].option, -1);
        np_store64(&f->half[i].bound, NP_NEVER);
    }
    np_sema_init(&f->gone, 0);
    np_file_lock(f);
    np_list_append(files_of(shard_of(f)), &f->link);
    np_file_unlock(f);
    return NP_OK;
}

void np_file_fini(np_file *f)
{
    np_file_lock(f);
    np_list_remove(&f->link);
    np_file_unlock(f);
    for (int i = 0; i < 2; i++)
        if (f->half[i].desc)
            np_desc_unref(f->half[i].desc);
}

int np_file_new(np_fd fd, int kind, np_file **out)
{
    np_file *f = calloc(1, sizeof *f);
    int rc = f ? np_file_init(f, fd, kind) : -ENOMEM;
    if (rc < 0)
        free(f);
    else
        *out = f;
    return rc;
}

void np_file_free(np_file *f)
{
    np_file_fini(f);
    free(f);
}

/* --- closing --------------------------------------------------------------------------------- */

/* As the standard libraries of most languages do it: a reset by the peer is no error of ours, and
 * after EINTR the number is gone. */
static int close_number(np_fd fd)
{
#ifdef _WIN32
    int rc = closesocket((SOCKET)fd);
    return rc == 0 || WSAGetLastError() == WSAECONNRESET ? NP_OK : -EIO;
#else
    return close((int)fd) == 0 || errno == ECONNRESET || errno == EINTR ? NP_OK : -errno;
#endif
}

/* A lingering socket takes its time. */
static int close_number_blocking(np_fd fd)
{
    void *cookie = np_blocking_enter();
    int rc = close_number(fd);
    np_blocking_leave(cookie);
    return rc;
}

static uint32_t set_state(np_file *f, uint32_t bits)
{
    uint32_t old;

    do
        old = np_load(&f->state);
    while (!np_cas(&f->state, old, old | bits));
    return old;
}

/* The file is closed, and the mode's unit was released: take it for good.  True: both modes are
 * retired now, and the caller is to end it. */
static bool retire(np_file *f, int mode)
{
    if (np_sema_take(&np_half_of(f, mode)->turn) != NP_OK)
        return false; /* the operation that has it will come here, or has been here */
    uint32_t now = set_state(f, FILE_RETIRED(mode)) | FILE_RETIRED(mode);
    return (now & FILE_RETIRED_BOTH) == FILE_RETIRED_BOTH;
}

/* Both modes are retired. */
static int end(np_file *f)
{
    int rc = np_load(&f->state) & FILE_DETACHED ? NP_OK : close_number_blocking(f->fd);
    np_sema_open(&f->gone);
    return rc;
}

int np_file_retire(np_file *f, int mode)
{
    return retire(f, mode) ? end(f) : NP_OK;
}

/* The file's lock is held. */
static void wake_half(np_half *h)
{
#ifndef _WIN32
    if (h->waker)
        np_waker_wake(h->waker);
#else
    (void)h;
#endif
}

/* FILE_CLOSED is set.  True: the caller is to end the file.  What was done already does no
 * harm. */
static bool finish_closing(np_file *f)
{
    bool ours = false;

    np_file_lock(f);
    for (int i = 0; i < 2; i++) {
        if (f->half[i].desc)
            np_close(f->half[i].desc);
        wake_half(&f->half[i]);
    }
    np_file_unlock(f);
    for (int mode = NP_READ; mode <= NP_WRITE; mode++) {
        np_sema_shut(&np_half_of(f, mode)->turn);
        ours = retire(f, mode) || ours;
    }
    return ours;
}

int np_file_close(np_file *f, int detach)
{
    uint32_t bits = FILE_CLOSED | (detach ? (uint32_t)FILE_DETACHED : 0);
    if (!np_cas(&f->state, 0, bits))
        return NP_CLOSED;
    return finish_closing(f) ? end(f) : NP_OK;
}

/* Is the mode's operation one that cannot leave while the caller waits?  Its own (this is a signal
 * handler, or a finalizer), or of another task of this thread's scheduler, where the caller cannot
 * park.  Of the calling thread's operations alone parked is loaded, which nothing else stores. */
static bool holds_up(np_file *f, int mode, int may_park)
{
    const np_half *h = np_half_of(f, mode);
    return !(np_load(&f->state) & FILE_RETIRED(mode)) &&
           np_load_plain(&h->holder) == np_thread_id() && !(h->parked && may_park);
}

np_sema *np_file_awaited(np_file *f, int may_park)
{
    if (np_sema_is_open(&f->gone) || holds_up(f, NP_READ, may_park) ||
        holds_up(f, NP_WRITE, may_park))
        return NULL;
    return &f->gone;
}

/* --- forks ----------------------------------------------------------------------------------- */

#ifndef NP_HAVE_FORK

static int install(void)
{
    return 0; /* no fork */
}

#else

static void before_fork(void)
{
    for (int i = 0; i < SHARDS; i++)
        np_mutex_lock(&shards[i].lock);
}

static void after_fork_in_parent(void)
{
    for (int i = 0; i < SHARDS; i++)
        np_mutex_unlock(&shards[i].lock);
}

/* The thread that had the turn, or was about to, is gone, and its token with it. */
static void hand_over_for_gone(np_file *f, int mode)
{
    np_half *h = np_half_of(f, mode);
    np_token token;

    if (np_sema_count(&h->turn) > 0 || h->holder == np_thread_id() ||
        np_load(&f->state) & FILE_RETIRED(mode))
        return;
    h->waker = NULL;
    if (h->desc)
        np_withdraw(h->desc, mode, &token);
    np_sema_hand_over(&h->turn, &h->holder);
}

/* Now, not at the file's next use: its next user may be a token that waits already. */
static void repair(np_file *f)
{
    hand_over_for_gone(f, NP_READ);
    hand_over_for_gone(f, NP_WRITE);
    if (!np_file_closed(f))
        return;
    /* The thread that had begun to close it may be gone, too. */
    if (finish_closing(f) && !(np_load(&f->state) & FILE_DETACHED))
        close_number(f->fd);
    if ((np_load(&f->state) & FILE_RETIRED_BOTH) == FILE_RETIRED_BOTH)
        np_sema_open(&f->gone);
}

static void after_fork_in_child(void)
{
    for (int i = 0; i < SHARDS; i++) {
        np_link *files = files_of(&shards[i]);
        np_mutex_init(&shards[i].lock);
        for (np_link *l = files->next; l != files; l = l->next)
            repair(NP_CONTAINER(l, np_file, link));
    }
}

static np_fork_hooks hooks = {before_fork, after_fork_in_parent, after_fork_in_child, NULL};
static np_atomic32 installed;

/* After the semaphores', whose locks come after these. */
static int install(void)
{
    if (np_load(&installed))
        return 0;
    int rc = np_sema_install();
    if (rc == 0)
        rc = np_fork_add(&hooks);
    if (rc == 0)
        np_store(&installed, 1);
    return rc;
}

#endif

/* --- the overflow poller --------------------------------------------------------------------- */

static np_poller *overflow; /* under the first shard's lock */

/* Made at first need, and before a lock is taken: a new poller takes the registry's, which comes
 * before the files'. */
int np_file_overflow_poller(np_poller **out)
{
    np_poller *spare = NULL;

    np_mutex_lock(&shards[0].lock);
    *out = overflow;
    np_mutex_unlock(&shards[0].lock);
    if (*out)
        return NP_OK;
    int rc = np_poller_new(NULL, &spare);
    if (rc < 0)
        return rc;
    np_mutex_lock(&shards[0].lock);
    if (!overflow) {
        overflow = spare;
        spare = NULL;
    }
    *out = overflow;
    np_mutex_unlock(&shards[0].lock);
    if (spare)
        np_poller_unref(spare);
    return NP_OK;
}

/* --- limits ---------------------------------------------------------------------------------- */

/* The deadline of the half's descriptor, for its tokens.  The lock is held. */
int np_file_bind_locked(np_file *f, int mode)
{
    np_half *h = np_half_of(f, mode);
    int64_t when = np_half_limit(h);
    if (when == np_load64(&h->bound))
        return NP_OK;
    int rc = np_set_deadline_at(h->desc, when, mode);
    if (rc == NP_OK)
        np_store64(&h->bound, when);
    return rc;
}

/* Tell the operation that waits, or is about to.  What is moved later costs nothing: a token finds
 * out at the instant that its descriptor is bound to.  If there is no memory to bind it to an
 * earlier one, it finds that out, in its next wait. */
static void notify(np_file *f, int mode)
{
    np_half *h = np_half_of(f, mode);

    np_file_lock(f);
    wake_half(h);
    if (h->desc && np_half_limit(h) < np_load64(&h->bound) && np_file_bind_locked(f, mode) < 0)
        np_set_ready(h->desc, mode);
    np_file_unlock(f);
}

int np_file_set_deadline(np_file *f, int64_t when, int modes)
{
    if (np_file_closed(f))
        return NP_CLOSED;
    for (int mode = NP_READ; mode <= NP_WRITE; mode++)
        if (modes & mode) {
            np_store64(&np_half_of(f, mode)->deadline, when);
            notify(f, mode);
        }
    return NP_OK;
}

/* The mark first: an operation that is about to wait takes it, and one that waits is woken. */
void np_file_retry(np_file *f, int mode)
{
    np_half *h = np_half_of(f, mode);

    np_store(&h->retry, 1);
    np_file_lock(f);
    if (h->desc)
        np_set_ready(h->desc, mode);
    wake_half(h);
    np_file_unlock(f);
}

/* --- what a file is -------------------------------------------------------------------------- */

np_fd np_file_fd(const np_file *f)
{
    return f->fd;
}

int np_file_kind(const np_file *f)
{
    return f->kind;
}

int np_file_closed(const np_file *f)
{
    return (np_load(&f->state) & FILE_CLOSED) != 0;
}

int64_t np_file_timeout(const np_file *f)
{
    return np_load64(&f->timeout);
}

void np_file_set_timeout(np_file *f, int64_t ns)
{
    np_store64(&f->timeout, ns < 0 ? -1 : ns);
}

int64_t np_file_option_timeout(const np_file *f, int mode)
{
    return np_load64(&f->half[mode - 1].option);
}

void np_file_set_option_timeout(np_file *f, int64_t ns, int mode)
{
    np_store64(&np_half_of(f, mode)->option, ns < 0 ? -1 : ns);
}

int64_t np_file_deadline(const np_file *f, int mode)
{
    return np_load64(&f->half[mode - 1].deadline);
}
