/* Seeing inside: what np_poller_snapshot and the report say of each state, and that neither waits
 * for a lock for ever. */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "check.h"
#include "internal.h"
#include "sockets.h"

static const int64_t MS = 1000000, SECOND = 1000000000;
static const char *backend;

typedef struct pair {
    np_poller *p;
    int fds[2];
    np_desc *d;
    np_poller_view poller;
    np_desc_view view;
} pair;

static void pair_open(pair *t)
{
    CHECK(np_poller_new(backend, &t->p) == NP_OK);
    CHECK(nonblocking_pair(t->fds) == 0);
    CHECK(np_open(t->p, t->fds[0], &t->d) == NP_OK);
}

static void pair_close(pair *t)
{
    np_close(t->d);
    np_desc_unref(t->d);
    np_poller_unref(t->p);
    close(t->fds[0]);
    close(t->fds[1]);
}

static np_mode_view look(pair *t)
{
    CHECK(np_poller_snapshot(t->p, &t->poller, &t->view, 1, -1) == 1);
    return t->view.mode[0];
}

static np_mode_view look_until(pair *t, int state)
{
    np_mode_view v = look(t);
    for (int64_t end = np_now() + 15 * SECOND; v.state != state && np_now() < end; v = look(t))
        sched_yield();
    CHECK(v.state == state);
    return v;
}

static void *wait_for_reading(void *argument)
{
    pair *t = argument;
    return (void *)(intptr_t)np_wait(t->d, NP_READ);
}

static void a_thread_is_seen_with_its_id_since_when_and_its_deadline(void)
{
    pair t;
    pthread_t thread;
    void *result;
    pair_open(&t);
    int64_t before = np_now();
    CHECK(np_set_deadline(t.d, 60 * SECOND, NP_READ) == NP_OK);
    CHECK(pthread_create(&thread, NULL, wait_for_reading, &t) == 0);
    np_mode_view v = look_until(&t, NP_THREAD);
    CHECK(v.waiter == (uintptr_t)thread);
    CHECK(v.since > before - SECOND / 10 && v.since <= np_now());
    CHECK(v.deadline >= before + 60 * SECOND && v.deadline == t.poller.deadline);
    while (t.poller.threads_inside == 0)
        look(&t);
    CHECK(t.poller.descriptors == 1 && t.poller.threads_inside == 1);
    CHECK(t.poller.threads_following == 0 && t.poller.polls_inside == 0);
    CHECK(np_set_deadline(t.d, 0, NP_READ) == NP_OK);
    pthread_join(thread, &result);
    CHECK((intptr_t)result == NP_TIMEOUT);
    v = look(&t);
    CHECK(v.state == NP_IDLE && v.deadline == -1 && v.waiter == 0);
    pair_close(&t);
}

static void a_token_is_seen_parked_then_queued_then_out_then_no_more(void)
{
    pair t;
    np_token token;
    int n;
    pair_open(&t);
    CHECK(look(&t).state == NP_IDLE && t.view.fd == t.fds[0] && t.view.desc == t.d);
    CHECK(np_park(t.d, NP_READ, 99, 0) == NP_PARKED);
    np_mode_view v = look(&t);
    CHECK(v.state == NP_TOKEN && v.waiter == 99 && v.since > 0);
    CHECK(np_set_deadline(t.d, 0, NP_READ) == NP_OK);
    v = look(&t);
    CHECK(v.state == NP_QUEUED && v.waiter == 99 && t.poller.tokens_ready == 1);
    CHECK(np_poll(t.p, 0, &token, 1, &n) == NP_OK && n == 1);
    CHECK(look(&t).state == NP_OUT && t.poller.tokens_ready == 0);
    CHECK(np_resume(t.d, NP_READ, 0) == NP_TIMEOUT);
    CHECK(look(&t).state == NP_IDLE);
    pair_close(&t);
}

static void a_notification_an_eviction_and_a_pending_wake_are_seen(void)
{
    pair t;
    np_token token;
    int n;
    pair_open(&t);
    CHECK(np_park(t.d, NP_WRITE, 1, 0) == NP_PARKED);
    while (np_poll(t.p, -1, &token, 1, &n) == NP_OK && n == 0)
        ;
    look(&t);
    CHECK(t.view.mode[1].state == NP_OUT && !t.view.evicted && !t.poller.wake_pending);
    CHECK(np_cancel(t.d, NP_WRITE, &token) ==
          0); /* the claim is given up, the notification stays */
    look(&t);
    CHECK(t.view.mode[1].state == NP_READY);
    np_wake(t.p);
    np_unblock(t.d);
    look(&t);
    CHECK(t.poller.wake_pending && t.view.evicted && !t.poller.closed);
    pair_close(&t);
}

static void all_pollers_are_listed_by_age_each_with_a_reference(void)
{
    np_poller *made[3], *found[8];
    int before = np_pollers(found, 0);
    for (int i = 0; i < 3; i++)
        CHECK(np_poller_new(backend, &made[i]) == NP_OK);
    CHECK(np_pollers(found, 1) == before + 3);
    np_poller_unref(found[0]);
    int n = np_pollers(found, 8);
    CHECK(n == before + 3 && memcmp(found + before, made, sizeof made) == 0);
    np_poller_close(made[1]);
    for (int i = 0; i < 3; i++)
        np_poller_unref(made[i]);
    CHECK(strcmp(np_poller_backend(found[before]), backend) == 0); /* ours still */
    for (int i = 0; i < n; i++)
        np_poller_unref(found[i]);
    CHECK(np_pollers(found, 0) == before);
}

static void more_descriptors_than_room_are_counted_and_every_one_is_listed_once(void)
{
    enum { N = 100 };
    np_poller *p;
    np_poller_view poller;
    np_desc_view views[N];
    np_desc *d[N];
    int fds[N][2], seen = 0;
    CHECK(np_poller_new(backend, &p) == NP_OK);
    for (int i = 0; i < N; i++)
        CHECK(nonblocking_pair(fds[i]) == 0 && np_open(p, fds[i][0], &d[i]) == NP_OK);
    CHECK(np_poller_snapshot(p, &poller, views, 7, -1) == N);
    CHECK(np_poller_snapshot(p, &poller, views, N, -1) == N);
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++)
            seen += views[j].desc == d[i] && views[j].fd == fds[i][0];
    CHECK(seen == N);
    for (int i = 0; i < N; i++) {
        np_close(d[i]);
        np_desc_unref(d[i]);
        close(fds[i][0]);
        close(fds[i][1]);
    }
    CHECK(np_poller_snapshot(p, &poller, views, N, -1) == 0);
    np_poller_unref(p);
}

static void a_lock_that_is_held_is_not_waited_for(void)
{
    pair t;
    np_wakes wakes;
    pair_open(&t);
    np_lock(t.p, &wakes);
    CHECK(np_poller_snapshot(t.p, &t.poller, &t.view, 1, MS) == -EBUSY);
    np_unlock(t.p, &wakes);
    look(&t);
    pair_close(&t);
}

/* --- the report ------------------------------------------------------------------------------ */

static int chained;

static void count(int signum)
{
    (void)signum;
    chained++;
}

static char *report_of(void (*cause)(pair *t, int fd), pair *t)
{
    static char text[4096];
    int ends[2];
    CHECK(pipe(ends) == 0);
    cause(t, ends[1]);
    close(ends[1]);
    ssize_t n, used = 0;
    while ((n = read(ends[0], text + used, sizeof text - 1 - (size_t)used)) > 0)
        used += n;
    text[used] = 0;
    close(ends[0]);
    return text;
}

static void ask(pair *t, int fd)
{
    (void)t;
    np_report(fd);
}

/* The handler interrupts the thread that has the lock. */
static void raise_with_the_lock_held(pair *t, int fd)
{
    np_wakes wakes;
    CHECK(np_report_on_signal(SIGUSR2, fd, 1) == 0);
    np_lock(t->p, &wakes);
    raise(SIGUSR2);
    np_unlock(t->p, &wakes);
    CHECK(np_report_on_signal(SIGUSR2, -1, 0) == 0);
}

static void the_report_names_descriptors_waiters_and_deadlines(void)
{
    pair t;
    pair_open(&t);
    np_set_deadline(t.d, 90 * SECOND, NP_READ);
    CHECK(np_park(t.d, NP_READ, 0xbeef, 0) == NP_PARKED);
    const char *text = report_of(ask, &t);
    char fd[32];
    snprintf(fd, sizeof fd, "  fd %d unix unnamed -> unnamed", t.fds[0]);
    CHECK(strstr(text, fd));
    CHECK(strstr(text, "read: token 0xbeef, for "));
    CHECK(strstr(text, "deadline in "));
    CHECK(strstr(text, backend) && strstr(text, "1 descriptors"));
    np_cancel(t.d, NP_READ, &(np_token){0});
    pair_close(&t);
}

static void the_report_on_a_signal_works_under_a_held_lock_and_chains(void)
{
    pair t;
    pair_open(&t);
    chained = 0;
    signal(SIGUSR2, count);
    CHECK(strstr(report_of(raise_with_the_lock_held, &t), "is busy: its lock is held"));
    CHECK(chained == 1);
    raise(SIGUSR2); /* the other handler is back */
    CHECK(chained == 2);
    signal(SIGUSR2, SIG_DFL);
    CHECK(np_report_on_signal(0, 2, 0) == -EINVAL);
    CHECK(np_report_on_signal(SIGKILL, 2, 0) == -EINVAL);
    pair_close(&t);
}

static void a_descriptor_is_described_and_the_text_cut_to_fit(void)
{
    char text[64];
    int ends[2];
    CHECK(pipe(ends) == 0);
    CHECK(np_describe_fd(ends[0], text, sizeof text) == 4 && strcmp(text, "pipe") == 0);
    CHECK(np_describe_fd(ends[0], text, 3) == 2 && strcmp(text, "pi") == 0);
    close(ends[0]);
    close(ends[1]);
    CHECK(np_describe_fd(ends[0], text, sizeof text) == 6 && strcmp(text, "closed") == 0);
}

int main(void)
{
    for (int i = 0; (backend = np_backend_name(i)) != NULL; i++) {
        printf(" backend %s\n", backend);
        RUN(a_thread_is_seen_with_its_id_since_when_and_its_deadline);
        RUN(a_token_is_seen_parked_then_queued_then_out_then_no_more);
        RUN(a_notification_an_eviction_and_a_pending_wake_are_seen);
        RUN(all_pollers_are_listed_by_age_each_with_a_reference);
        RUN(more_descriptors_than_room_are_counted_and_every_one_is_listed_once);
        RUN(a_lock_that_is_held_is_not_waited_for);
        RUN(the_report_names_descriptors_waiters_and_deadlines);
        RUN(the_report_on_a_signal_works_under_a_held_lock_and_chains);
    }
    RUN(a_descriptor_is_described_and_the_text_cut_to_fit);
    DONE();
}
