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

/* A thread that waits for one descriptor by itself. */
static void wait_alone(const int pair[2])
{
    np_bell *b;

    if (OK_OR_FAULT(np_bell_new(&b)) != NP_OK)
        return;
    int rc = np_wait_alone(b, pair[0], NP_READ, np_now() + MS);
    CHECK(rc == NP_TIMEOUT || is_fault(rc));
    np_bell_ring(b);
    rc = np_wait_alone(b, pair[0], NP_READ, np_now() + MS);
    CHECK(rc == NP_AGAIN || rc == NP_TIMEOUT || is_fault(rc)); /* its write was what failed */
    np_bell_free(b);
}

static void everything(np_poller *p)
{
    np_desc *d[DESCS];
    np_fd nested;
    int opened = 0;

    if (strcmp(getenv("FAULT_CALL"), "futex") == 0)
        follow(p);
    wait_alone(fds[0]);
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

/* What a child finds: a poller that is nested, has a wake-up under way, a token parked, and
 * descriptors.  The first call that needs the kernel renews all that, and may fail, but for once;
 * what was registered is registered again, and comes out. */
static void be_the_child(np_poller *p, np_desc *const *d, long n)
{
    int before = open_descriptors();
    np_token out[4];
    int tokens = 0;

    arm(n);
    OK_OR_FAULT(np_poll(p, 0, out, 4, &tokens));
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
    the_poller_still_works(p);
    CHECK(open_descriptors() == before);
}

static bool run_in_a_child(long n)
{
    np_poller *p;
    np_desc *d[HEIRLOOMS];
    np_fd nested;
    int status;

    CHECK(np_poller_new(backend, &p) == NP_OK);
    int nests = np_poller_fileno(p, &nested);
    CHECK(nests == NP_OK || nests == -ENOSYS);
    for (int i = 0; i < HEIRLOOMS; i++)
        CHECK(np_open(p, fds[i][0], &d[i]) == NP_OK);
    CHECK(np_park(d[0], NP_READ, 1, 0) == NP_PARKED);
    np_wake(p);
    pid_t child = fork();
    if (child == 0) {
        be_the_child(p, d, n);
        _exit(check_failures ? 2 : fault_hit && fault_hit());
    }
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) < 2);
    the_poller_still_works(p);
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
    for (int i = 0; (backend = np_backend_name(i)) != NULL; i++)
        printf("%ld %ld ", until_untouched(one_run), until_untouched(run_in_a_child));
    return check_failures ? EXIT_FAILURE : EXIT_SUCCESS;
}
