/* One run of everything that the core does, with the n-th call of one function failing, for every n
 * until a run passes untouched.
 *
 * After each run: every call of the API returned what its contract allows, nothing hangs (a
 * watchdog sees to that), the poller is usable or was never made, and no descriptor and no block of
 * memory is left.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../c/check.h"
#include "netpoll.h"

void fault_arm(long n) __attribute__((weak));
int fault_hit(void) __attribute__((weak));
long fault_blocks(void) __attribute__((weak));

enum { DESCS = 40, HEIRLOOMS = 3 };
static const int64_t MS = 1000000;
static const char *backend;
static int fds[DESCS][2];

static void arm(long n)
{
    if (fault_arm)
        fault_arm(n);
}

static int open_descriptors(void)
{
    int n = 0;
    DIR *dir = opendir("/proc/self/fd");
    while (readdir(dir))
        n++;
    closedir(dir);
    return n;
}

/* An error of the system call that failed, and nothing else. */
static bool is_fault(int rc)
{
    const char *wanted = getenv("FAULT_ERRNO");
    return wanted && (rc == -atoi(wanted) || (atoi(wanted) == EINTR && rc == NP_INTERRUPTED) ||
                      rc == -ENOMEM);
}

#define OK_OR_FAULT(call)                                                                          \
    __extension__({                                                                                \
        int rc_ = (call);                                                                          \
        CHECK(rc_ == NP_OK || is_fault(rc_));                                                      \
        rc_;                                                                                       \
    })

static void drain(int fd)
{
    char c;
    while (recv(fd, &c, 1, MSG_DONTWAIT) == 1)
        ;
}

/* Whatever failed before, a second try must do what it is asked. */
static void the_poller_still_works(np_poller *p)
{
    np_desc *d;
    int pair[2];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) == 0);
    CHECK(np_open(p, pair[0], &d) == NP_OK);
    CHECK(send(pair[1], "x", 1, 0) == 1);
    CHECK(np_wait(d, NP_READ) == NP_OK);
    CHECK(np_set_deadline(d, MS, NP_READ) == NP_OK);
    drain(pair[0]);
    int rc;
    while ((rc = np_wait(d, NP_READ)) == NP_OK)
        ; /* poll(2) may report once more */
    CHECK(rc == NP_TIMEOUT);
    np_close(d);
    np_desc_unref(d);
    close(pair[0]);
    close(pair[1]);
}

static void use_one(np_poller *p, np_desc *d, const int pair[2])
{
    np_token out[4];
    int n = 0;

    OK_OR_FAULT(np_set_deadline(d, 60000 * MS, NP_READ | NP_WRITE));
    send(pair[1], "x", 1, 0);
    OK_OR_FAULT(np_wait(d, NP_READ));
    drain(pair[0]);
    OK_OR_FAULT(np_reset(d, NP_READ));
    OK_OR_FAULT(np_poll(p, 0, out, 4, &n));
    int rc = np_park(d, NP_READ, 1, 0);
    CHECK(rc == NP_PARKED || rc == NP_OK || is_fault(rc));
    if (rc == NP_PARKED) {
        send(pair[1], "x", 1, 0);
        for (int i = 0; n == 0 && i < 100; i++)
            OK_OR_FAULT(np_poll(p, MS, out, 4, &n));
        CHECK(n == 1 && out[0] == 1);
        rc = np_resume(d, NP_READ, 0);
        CHECK(rc == NP_OK);
    }
    drain(pair[0]);
}

static void *drive(void *d)
{
    CHECK(np_wait(d, NP_READ) == NP_CLOSED);
    return NULL;
}

/* Another thread drives, and this one is parked on a futex. */
static void follow(np_poller *p)
{
    pthread_t driver;
    np_desc *a, *b;
    np_stats stats = {0};

    if (np_open(p, fds[0][0], &a) != NP_OK)
        return;
    if (np_open(p, fds[1][0], &b) == NP_OK) {
        CHECK(pthread_create(&driver, NULL, drive, a) == 0);
        while (stats.parked_readers == 0)
            np_poller_stats(p, &stats);
        usleep(1000);
        OK_OR_FAULT(np_set_deadline(b, MS, NP_READ));
        int rc = np_wait(b, NP_READ);
        CHECK(rc == NP_TIMEOUT || is_fault(rc));
        np_close(a);
        pthread_join(driver, NULL);
        np_close(b);
        np_desc_unref(b);
    }
    np_close(a);
    np_desc_unref(a);
}

/* A thread that waits for one descriptor outside any poller. */
static void wait_outside(const int pair[2])
{
    np_waker *w;

    if (OK_OR_FAULT(np_waker_new(&w)) != NP_OK)
        return;
    int rc = np_wait_fd(w, pair[0], NP_READ, np_now() + MS);
    CHECK(rc == NP_TIMEOUT || is_fault(rc));
    np_waker_wake(w);
    rc = np_wait_fd(w, pair[0], NP_READ, np_now() + MS);
    CHECK(rc == NP_AGAIN || rc == NP_TIMEOUT || is_fault(rc)); /* its write was what failed */
    np_waker_free(w);
}

static void comes_out(np_poller *p, np_token token)
{
    np_token out = 0;
    int n = 0;

    for (int i = 0; n == 0 && i < 100; i++)
        OK_OR_FAULT(np_poll(p, MS, &out, 1, &n));
    CHECK(n == 1 && out == token);
}

/* A timer that could not be moved waits as before; one that could is due. */
static void move_a_timer(np_poller *p)
{
    np_waiter t;
    int rc, why;

    CHECK(np_timer_start(&t, p, 2, NP_NEVER, "fault") == NP_PARKED);
    rc = np_timer_move(&t, np_now());
    CHECK(rc == 1 || is_fault(rc));
    if (rc == 1)
        comes_out(p, 2);
    CHECK(np_waiter_cancel(&t, &why) == (rc != 1) && why == (rc == 1 ? NP_OK : NP_AGAIN));
}

/* A token that could not park is in no queue. */
static void park_for_a_unit(np_poller *p)
{
    np_sema s = {0};
    np_waiter w;
    np_stats stats;

    int rc = np_sema_park(&s, &w, p, 3, np_now() + 60000 * MS, "fault");
    CHECK(rc == NP_PARKED || is_fault(rc));
    np_poller_stats(p, &stats);
    CHECK(stats.waiters == (rc == NP_PARKED));
    np_sema_release(&s, 1);
    CHECK(np_sema_count(&s) == (rc != NP_PARKED));
    if (rc != NP_PARKED)
        return;
    comes_out(p, 3);
    CHECK(np_waiter_resume(&w) == NP_OK);
}

static void *release_late(void *s)
{
    usleep(1000);
    np_sema_release(s, 1);
    return NULL;
}

/* A thread that was interrupted leaves the unit to the next. */
static void acquire_a_unit(void)
{
    pthread_t releaser;
    np_sema s = {0};
    uint64_t place = 0;

    int rc = np_sema_acquire(&s, np_now() + MS, "fault", &place);
    CHECK((rc == NP_TIMEOUT || is_fault(rc)) && s.word == 0);
    CHECK(pthread_create(&releaser, NULL, release_late, &s) == 0);
    rc = np_sema_acquire(&s, NP_NEVER, "fault", &place);
    CHECK(rc == NP_OK || is_fault(rc));
    pthread_join(releaser, NULL);
    CHECK(np_sema_count(&s) == (rc != NP_OK));
}

/* On pollers of their own, whose heaps are still to be allocated. */
static void wait_for_units(void)
{
    void (*const waits[])(np_poller *) = {move_a_timer, park_for_a_unit};

    for (int i = 0; i < 2; i++) {
        np_poller *p = NULL;
        if (OK_OR_FAULT(np_poller_new(backend, &p)) != NP_OK)
            continue;
        waits[i](p);
        np_poller_unref(p);
    }
    acquire_a_unit();
}

static void everything(np_poller *p)
{
    np_desc *d[DESCS];
    np_fd nested;
    int opened = 0;

    if (strcmp(getenv("FAULT_CALL"), "futex") == 0)
        follow(p);
    wait_outside(fds[0]);
    wait_for_units();
    for (int i = 0; i < DESCS; i++) {
        int rc = OK_OR_FAULT(np_open(p, fds[i][0], &d[opened]));
        if (rc == NP_OK && i == 0)
            use_one(p, d[opened], fds[i]);
        if (rc == NP_OK)
            OK_OR_FAULT(np_set_deadline(d[opened++], 1000000 * MS, NP_READ));
    }
    OK_OR_FAULT(np_poller_fileno(p, &nested));
    np_wake(p);
    np_token out[4];
    int n;
    OK_OR_FAULT(np_poll(p, 0, out, 4, &n));
    OK_OR_FAULT(np_poll(p, MS, out, 4, &n));
    while (opened-- > 0) {
        CHECK(np_close(d[opened]) == NP_OK);
        np_desc_unref(d[opened]);
    }
}

static bool one_run(long n)
{
    np_poller *p = NULL;
    int before = open_descriptors();
    long blocks = fault_blocks ? fault_blocks() : 0;

    arm(n);
    if (OK_OR_FAULT(np_poller_new(backend, &p)) == NP_OK) {
        everything(p);
        arm(0);
        the_poller_still_works(p);
        np_poller_unref(p);
    }
    arm(0);
    CHECK(open_descriptors() == before);
    CHECK(n == 0 || !fault_blocks || fault_blocks() == blocks); /* the first run warms up */
    return fault_hit && fault_hit();
}

/* --- a file and its users --------------------------------------------------------------------- */

/* Once: what failed is asked for again. */
#define ENDS_WITH(expected, call)                                                                  \
    do {                                                                                           \
        int end_ = (call);                                                                         \
        if (is_fault(end_))                                                                        \
            end_ = (call);                                                                         \
        CHECK(end_ == (expected));                                                                 \
    } while (0)

/* What a thread does with a file; at hubs, if it has any, else by itself. */
typedef struct file_user {
    np_file *f;
    int peer;
    np_poller *hubs[2];
    long n;
    bool hit;
} file_user;

static int wait_for_op(np_op *op, np_poller *hub, np_waiter *w)
{
    np_token token = 0;
    int n = 0;

    if (!hub)
        return np_op_wait(op, NULL);
    int rc = np_op_park(op, hub, w, 7);
    if (rc != NP_PARKED)
        return rc;
    for (int i = 0; n == 0 && i < 1000; i++)
        OK_OR_FAULT(np_poll(hub, MS, &token, 1, &n));
    CHECK(n == 1 && token == 7);
    return np_op_resume(op, w);
}

/* One byte; vain: as if so many waits had been in vain. */
static int receive(np_file *f, np_poller *hub, uint32_t vain)
{
    np_op op;
    np_waiter w;
    char c;

    int rc = np_op_begin(&op, f, NP_READ, 1);
    op.vain = vain;
    while (rc == NP_OK || rc == NP_BUSY) {
        if (rc == NP_OK && (rc = np_op_try(&op)) == NP_OK) {
            if (recv((int)np_file_fd(f), &c, 1, 0) == 1)
                break;
            rc = NP_BUSY;
        }
        if (rc == NP_BUSY)
            rc = wait_for_op(&op, hub, &w);
        if (rc == NP_INTERRUPTED && vain) { /* the pause is over */
            vain = 0;
            rc = NP_BUSY;
        }
    }
    CHECK(np_op_end(&op) == NP_OK);
    return rc;
}

static void receive_in_time(file_user *me, np_poller *hub)
{
    np_file_set_timeout(me->f, MS);
    ENDS_WITH(NP_TIMED_OUT, receive(me->f, hub, 0));
    np_file_set_timeout(me->f, -1);
    send(me->peer, "x", 1, 0);
    ENDS_WITH(NP_OK, receive(me->f, hub, 15));
    CHECK(np_file_set_deadline(me->f, np_now() + MS, NP_READ) == NP_OK);
    ENDS_WITH(NP_TIMEOUT, receive(me->f, hub, 15));
    CHECK(np_file_set_deadline(me->f, NP_NEVER, NP_READ) == NP_OK);
}

static int queue(np_file *f, np_poller *hub)
{
    np_op op;
    np_waiter w;
    int rc = np_op_begin(&op, f, NP_READ, 1);
    CHECK(rc == NP_BUSY);
    rc = wait_for_op(&op, hub, &w);
    CHECK(np_op_end(&op) == NP_OK);
    return rc;
}

static void queue_in_time(file_user *me, np_poller *hub)
{
    np_op holder;
    CHECK(np_op_begin(&holder, me->f, NP_READ, 1) == NP_OK);
    np_file_set_timeout(me->f, MS);
    ENDS_WITH(NP_TIMED_OUT, queue(me->f, hub));
    np_file_set_timeout(me->f, -1);
    CHECK(np_op_end(&holder) == NP_OK);
}

/* If there is no memory to bind the token, its next wait says so. */
static void move_a_deadline(file_user *me, np_poller *hub)
{
    np_op op;
    np_waiter w;
    np_token token = 0;
    int n = 0, rc = NP_AGAIN;

    CHECK(np_op_begin(&op, me->f, NP_READ, 1) == NP_OK && np_op_try(&op) == NP_OK);
    for (int tries = 0; tries < 3 && rc != NP_PARKED; tries++)
        rc = np_op_park(&op, hub, &w, 7);
    CHECK(rc == NP_PARKED);
    CHECK(np_file_set_deadline(me->f, np_now() + MS, NP_READ) == NP_OK);
    for (int i = 0; n == 0 && i < 1000; i++)
        OK_OR_FAULT(np_poll(hub, MS, &token, 1, &n));
    rc = np_op_resume(&op, &w);
    for (int tries = 0; tries < 3 && (rc == NP_OK || is_fault(rc)); tries++)
        rc = wait_for_op(&op, hub, &w);
    CHECK(rc == NP_TIMEOUT);
    CHECK(np_op_end(&op) == NP_OK);
    CHECK(np_file_set_deadline(me->f, NP_NEVER, NP_READ) == NP_OK);
}

static void *use_file(void *arg)
{
    file_user *me = arg;
    int pair[2];

    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) == 0);
    me->peer = pair[1];
    arm(me->n);
    ENDS_WITH(NP_OK, np_file_new(pair[0], NP_FILE_UNIX, &me->f));
    for (int i = 0; i < 2; i++) {
        move_a_deadline(me, me->hubs[i]);
        receive_in_time(me, me->hubs[i]);
        queue_in_time(me, me->hubs[i]);
    }
    receive_in_time(me, NULL);
    queue_in_time(me, NULL);
    CHECK(np_file_close(me->f, 0) == NP_OK && fcntl(pair[0], F_GETFD) < 0);
    np_file_free(me->f);
    arm(0);
    me->hit = fault_hit && fault_hit();
    close(pair[1]);
    return NULL;
}

/* In a thread, whose waker comes and goes with it. */
static bool run_with_a_file(long n)
{
    file_user me = {.n = n};
    pthread_t thread;
    long blocks = fault_blocks ? fault_blocks() : 0;

    for (int i = 0; i < 2; i++)
        CHECK(np_poller_new(backend, &me.hubs[i]) == NP_OK);
    int before = open_descriptors();
    CHECK(pthread_create(&thread, NULL, use_file, &me) == 0);
    pthread_join(thread, NULL);
    CHECK(open_descriptors() == before);
    for (int i = 0; i < 2; i++) {
        the_poller_still_works(me.hubs[i]);
        np_poller_unref(me.hubs[i]);
    }
    CHECK(n == 0 || !fault_blocks || fault_blocks() == blocks);
    return me.hit;
}

/* --- a forked child --------------------------------------------------------------------------- */

static np_sema heirs;
static np_waiter heir, timer;

/* What a child finds: a poller that is nested, has a wake-up under way, tokens parked, and
 * descriptors.  The first call that needs the kernel renews all that, and may fail, but for once;
 * what was registered is registered again, and comes out. */
static void be_the_child(np_poller *p, np_desc *const *d, np_file *f, long n)
{
    int before = open_descriptors();
    np_token out[4];
    int tokens = 0;

    arm(n);
    OK_OR_FAULT(np_poll(p, 0, out, 4, &tokens));
    ENDS_WITH(NP_TIMEOUT, receive(f, NULL, 0)); /* the thread's waker is the parent's at first */
    arm(0);
    CHECK(tokens == 0);
    for (int i = 0; i < HEIRLOOMS; i++)
        CHECK(!np_desc_closed(d[i]));
    send(fds[0][1], "x", 1, 0);
    for (int i = 0; tokens == 0 && i < 100; i++)
        CHECK(np_poll(p, MS, out, 4, &tokens) == NP_OK);
    CHECK(tokens == 1 && out[0] == 1 && np_resume(d[0], NP_READ, 0) == NP_OK);
    drain(fds[0][0]);
    send(fds[1][1], "x", 1, 0);
    CHECK(np_wait(d[1], NP_READ) == NP_OK);
    drain(fds[1][0]);
    np_sema_release(&heirs, 1);
    comes_out(p, 2);
    CHECK(np_waiter_resume(&heir) == NP_OK);
    CHECK(np_timer_move(&timer, np_now()) == 1);
    comes_out(p, 3);
    CHECK(np_waiter_resume(&timer) == NP_OK);
    the_poller_still_works(p);
    CHECK(open_descriptors() == before);
}

static bool run_in_a_child(long n)
{
    np_poller *p;
    np_desc *d[HEIRLOOMS];
    np_file *f;
    np_fd nested;
    int status;

    CHECK(np_poller_new(backend, &p) == NP_OK);
    CHECK(np_file_new(dup(fds[HEIRLOOMS][0]), NP_FILE_UNIX, &f) == NP_OK);
    CHECK(np_file_set_deadline(f, np_now() + MS, NP_READ) == NP_OK);
    CHECK(receive(f, NULL, 0) == NP_TIMEOUT);
    int nests = np_poller_fileno(p, &nested);
    CHECK(nests == NP_OK || nests == -ENOSYS);
    for (int i = 0; i < HEIRLOOMS; i++)
        CHECK(np_open(p, fds[i][0], &d[i]) == NP_OK);
    CHECK(np_park(d[0], NP_READ, 1, 0) == NP_PARKED);
    np_sema_init(&heirs, 0);
    CHECK(np_sema_park(&heirs, &heir, p, 2, NP_NEVER, "fault") == NP_PARKED);
    CHECK(np_timer_start(&timer, p, 3, np_now() + 60000 * MS, "fault") == NP_PARKED);
    np_wake(p);
    pid_t child = fork();
    if (child == 0) {
        be_the_child(p, d, f, n);
        _exit(check_failures ? 2 : fault_hit && fault_hit());
    }
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) < 2);
    int why;
    CHECK(np_waiter_cancel(&heir, &why) == 1 && why == NP_AGAIN);
    CHECK(np_waiter_cancel(&timer, &why) == 1 && why == NP_AGAIN);
    the_poller_still_works(p);
    CHECK(np_file_close(f, 0) == NP_OK);
    np_file_free(f);
    for (int i = 0; i < HEIRLOOMS; i++) {
        np_close(d[i]);
        np_desc_unref(d[i]);
    }
    np_token out[4];
    np_take_ready(p, out, 4);
    np_poller_unref(p);
    return WIFEXITED(status) && WEXITSTATUS(status) == 1;
}

static long until_untouched(bool (*run)(long))
{
    long n = 1;
    run(0); /* what is allocated once for all */
    while (run(n) && n < 100000)
        n++;
    return n - 1;
}

int main(void)
{
    alarm(120); /* nothing hangs */
    for (int i = 0; i < DESCS; i++)
        CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds[i]) == 0);
    for (int i = 0; (backend = np_backend_name(i)) != NULL; i++) {
        printf("%ld ", until_untouched(one_run));
        printf("%ld ", until_untouched(run_with_a_file));
        printf("%ld ", until_untouched(run_in_a_child));
    }
    return check_failures ? EXIT_FAILURE : EXIT_SUCCESS;
}
