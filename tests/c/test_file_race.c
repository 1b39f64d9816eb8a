/* Many at once on the same files, for the sanitizers to watch and for the counts to come out right
 * in the end.  RACE_MS (default 300) is its length.
 *
 *   users      receive and send, as threads and at hubs of their own, with timeouts
 *   victims    park tokens at hubs, and cancel them
 *   peer       sends and drains at the other ends
 *   breakers   move deadlines and timeouts, retry, close, detach
 *   stranger   opens and closes numbers of its own, which nobody else may close
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <unistd.h>

#include "files.h"

enum { FILES = 3, USERS = 4, VICTIMS = 2, PEERS = 1, BREAKERS = 2, STRANGERS = 1 };
enum { THREADS = USERS + VICTIMS + PEERS + BREAKERS + STRANGERS };
static const int64_t US = 1000;

/* A file, while somebody has it. */
typedef struct shared {
    np_file *f;
    int peer;
    ino_t inode;
    atomic_int refs;
    atomic_bool detached;
    long operations[2]; /* of each mode: counted by whoever is inside it, and by nothing else */
} shared;

/* The pointer to the one that is open. */
typedef struct slot {
    pthread_mutex_t lock;
    shared *now;
} slot;

static slot slots[FILES];
static atomic_bool over;
static atomic_int running;
static atomic_long begun, done, closed, timed_out, parked, came_out, withdrawn;

static uint32_t next_random(uint64_t *state)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(*state >> 33);
}

/* --- files that are shared -------------------------------------------------------------------- */

static ino_t inode_of(int fd)
{
    struct stat st;
    return fstat(fd, &st) == 0 ? st.st_ino : 0;
}

static shared *new_shared(void)
{
    shared *s = calloc(1, sizeof *s);
    int fds[2];
    CHECK(s && nonblocking_pair(fds) == 0);
    s->f = file_of(fds[0]);
    s->peer = fds[1];
    s->inode = inode_of(fds[0]);
    s->refs = 1;
    return s;
}

static void give_back(shared *s)
{
    if (--s->refs > 0)
        return;
    int fd = (int)np_file_fd(s->f);
    CHECK(np_file_closed(s->f));
    np_file_free(s->f);
    if (s->detached) {
        CHECK(inode_of(fd) == s->inode);
        CHECK(close(fd) == 0);
    }
    close(s->peer);
    free(s);
}

static shared *borrow_from(slot *at)
{
    pthread_mutex_lock(&at->lock);
    shared *s = at->now;
    s->refs++;
    pthread_mutex_unlock(&at->lock);
    return s;
}

static shared *borrow(uint64_t *r)
{
    return borrow_from(&slots[next_random(r) % FILES]);
}

/* It is closed: the next operations are on another. */
static void replace(shared *s)
{
    for (int i = 0; i < FILES; i++) {
        pthread_mutex_lock(&slots[i].lock);
        bool here = slots[i].now == s;
        if (here)
            slots[i].now = new_shared();
        pthread_mutex_unlock(&slots[i].lock);
        if (here)
            give_back(s);
    }
}

/* --- users ------------------------------------------------------------------------------------ */

/* The mode is the caller's: nobody else counts, and the number is the file's. */
static void note_turn(const np_op *op, shared *s)
{
    s->operations[op->mode - 1]++;
    CHECK(inode_of((int)np_file_fd(s->f)) == s->inode);
}

static bool may_end_with(int rc)
{
    timed_out += rc == NP_TIMED_OUT || rc == NP_TIMEOUT;
    closed += rc == NP_CLOSED;
    done += rc == NP_OK;
    return rc == NP_OK || rc == NP_TIMED_OUT || rc == NP_TIMEOUT || rc == NP_CLOSED || rc == -EPIPE;
}

static void use(shared *s, np_poller *hub, uint64_t *r)
{
    char bytes[16] = {0};
    operation o = {.hub = hub, .bytes = bytes, .wanted = 1 + (int)(next_random(r) % 16)};
    int mode = next_random(r) % 3 ? NP_READ : NP_WRITE;

    begun++;
    int rc = np_op_begin(&o.op, s->f, mode, 1);
    while (rc == NP_BUSY)
        rc = wait_for(&o);
    if (rc == NP_OK) {
        note_turn(&o.op, s);
        rc = go_on(&o, rc);
        note_turn(&o.op, s);
    }
    CHECK(may_end_with(rc));
    CHECK(np_op_end(&o.op) == NP_OK);
}

/* Parks, and does not wait for long. */
static void park_and_cancel(shared *s, np_poller *hub, uint64_t *r)
{
    operation o = {.hub = hub};
    np_token token = 0;
    int n = 0, rc = np_op_begin(&o.op, s->f, NP_READ, 1);

    begun++;
    if (rc == NP_OK)
        rc = np_op_try(&o.op) == NP_CLOSED ? NP_CLOSED : NP_BUSY;
    if (rc == NP_BUSY && (rc = np_op_park(&o.op, hub, &o.waiter, 1)) == NP_PARKED) {
        parked++;
        CHECK(np_poll(hub, next_random(r) % 200 * US, &token, (int)(next_random(r) % 2), &n) ==
              NP_OK);
        if (n == 1) {
            rc = np_op_resume(&o.op, &o.waiter);
            came_out++;
        } else {
            CHECK(np_op_cancel(&o.op, &o.waiter) == 1);
            withdrawn++;
            rc = NP_OK;
        }
        CHECK(np_take_ready(hub, &token, 1) == 0);
    }
    CHECK(may_end_with(rc));
    CHECK(np_op_end(&o.op) == NP_OK);
}

static void *user(void *arg)
{
    uint64_t r = (uintptr_t)arg;
    np_poller *hub = NULL;
    CHECK(np_poller_new(NULL, &hub) == NP_OK);
    while (!over) {
        shared *s = borrow(&r);
        use(s, r % 2 ? hub : NULL, &r);
        give_back(s);
    }
    np_poller_unref(hub);
    running--;
    return NULL;
}

static void *victim(void *arg)
{
    uint64_t r = (uintptr_t)arg;
    np_poller *hub = NULL;
    CHECK(np_poller_new(NULL, &hub) == NP_OK);
    while (!over) {
        shared *s = borrow(&r);
        park_and_cancel(s, hub, &r);
        give_back(s);
    }
    np_poller_unref(hub);
    running--;
    return NULL;
}

/* --- the others ------------------------------------------------------------------------------- */

static void *peer(void *arg)
{
    uint64_t r = (uintptr_t)arg;
    char bytes[256] = {0};
    while (!over) {
        shared *s = borrow(&r);
        if (send(s->peer, bytes, next_random(&r) % 32, 0) < 0)
            CHECK(errno == EAGAIN || errno == EPIPE);
        if (recv(s->peer, bytes, sizeof bytes, 0) < 0)
            CHECK(errno == EAGAIN || errno == ECONNRESET);
        give_back(s);
        if (next_random(&r) % 4 == 0)
            usleep(50);
    }
    running--;
    return NULL;
}

static void break_something(shared *s, uint64_t *r)
{
    int modes = 1 + (int)(next_random(r) % 3), rc;
    switch (next_random(r) % 16) {
    case 0:
        rc = np_file_close(s->f, 0);
        CHECK(rc == NP_OK || rc == NP_CLOSED);
        replace(s);
        break;
    case 1:
        if (np_file_close(s->f, 1) == NP_OK)
            s->detached = true;
        replace(s);
        break;
    case 2:
    case 3:
    case 4:
        np_file_set_timeout(s->f, next_random(r) % 500 * US);
        break;
    case 5:
    case 6:
        np_file_retry(s->f, 1 + (int)(next_random(r) % 2));
        break;
    case 7:
    case 8:
        rc = np_file_set_deadline(s->f, NP_NEVER, modes);
        CHECK(rc == NP_OK || rc == NP_CLOSED);
        break;
    default:
        rc = np_file_set_deadline(s->f, np_now() + next_random(r) % 500 * US, modes);
        CHECK(rc == NP_OK || rc == NP_CLOSED);
    }
}

static void *breaker(void *arg)
{
    uint64_t r = (uintptr_t)arg;
    while (!over) {
        shared *s = borrow(&r);
        break_something(s, &r);
        give_back(s);
        usleep(next_random(&r) % 50);
    }
    running--;
    return NULL;
}

static void *stranger(void *arg)
{
    (void)arg;
    while (!over) {
        int fds[2];
        CHECK(pipe(fds) == 0);
        ino_t inode = inode_of(fds[0]);
        usleep(20);
        CHECK(inode_of(fds[0]) == inode && inode != 0);
        CHECK(close(fds[0]) == 0 && close(fds[1]) == 0);
    }
    running--;
    return NULL;
}

/* --- all of them ------------------------------------------------------------------------------ */

static void close_all(void)
{
    for (int i = 0; i < FILES; i++) {
        shared *s = borrow_from(&slots[i]);
        np_file_close(s->f, 0);
        give_back(s);
    }
}

/* Those that wait are ended, on files that were opened meanwhile, too. */
static void end_all(pthread_t threads[THREADS])
{
    over = true;
    while (running > 0) {
        close_all();
        usleep(100);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    close_all();
    for (int i = 0; i < FILES; i++)
        give_back(slots[i].now);
}

static void everything_at_once(void)
{
    static void *(*const bodies[])(void *) = {user, victim, peer, breaker, stranger};
    static const int counts[] = {USERS, VICTIMS, PEERS, BREAKERS, STRANGERS};
    const char *length = getenv("RACE_MS");
    pthread_t threads[THREADS];
    int n = 0;

    for (int i = 0; i < FILES; i++) {
        pthread_mutex_init(&slots[i].lock, NULL);
        slots[i].now = new_shared();
    }
    running = THREADS;
    for (int kind = 0; kind < 5; kind++)
        for (int i = 0; i < counts[kind]; i++, n++)
            CHECK(pthread_create(&threads[n], NULL, bodies[kind], (void *)(uintptr_t)(n + 1)) == 0);
    usleep((useconds_t)(length ? atoi(length) : 300) * 1000);
    end_all(threads);
    printf("  %ld operations begun, %ld done, %ld closed, %ld timed out; %ld tokens parked\n",
           (long)begun, (long)done, (long)closed, (long)timed_out, (long)parked);
    CHECK(parked == came_out + withdrawn && begun == done + closed + timed_out);
    CHECK(done > 0 && closed > 0 && timed_out > 0 && came_out > 0 && withdrawn > 0);
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    RUN(everything_at_once);
    DONE();
}
