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
#include "core/internal.h"
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
    CHECK(np_cancel(t.d, NP_WRITE, &token) == 0); /* it is not resumed; the notification stays */
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
    np_wake_q wake_q;
    pair_open(&t);
    np_lock(t.p, &wake_q);
    CHECK(np_poller_snapshot(t.p, &t.poller, &t.view, 1, MS) == -EBUSY);
    np_unlock(t.p, &wake_q);
    look(&t);
    pair_close(&t);
}

/* --- semaphores and timers ------------------------------------------------------------------- */

static np_poller *new_poller(void)
{
    np_poller *p = NULL;
    CHECK(np_poller_new(backend, &p) == NP_OK);
    return p;
}

static void tokens_at_semaphores_and_timers_are_seen_by_name(void)
{
    np_poller *p = new_poller();
    np_poller_view poller;
    np_sema s = {0};
    np_waiter lock, sleep, nameless;
    np_wait_view v[4];
    np_token out[3];
    int64_t before = np_now(), end = before + 60 * SECOND;

    CHECK(np_poller_waits(p, v, 4, -1) == 0);
    CHECK(np_sema_park(&s, &lock, p, 7, NP_NEVER, "lock") == NP_PARKED);
    CHECK(np_timer_start(&sleep, p, 8, end, "sleep") == NP_PARKED);
    CHECK(np_sema_park(&s, &nameless, p, 9, NP_NEVER, NULL) == NP_PARKED);
    CHECK(np_poller_waits(p, v, 1, -1) == 3);
    CHECK(np_poller_waits(p, v, 4, -1) == 3);
    CHECK(strcmp(v[0].what, "lock") == 0 && v[0].sema == &s && v[0].mode == 0);
    CHECK(v[0].view.state == NP_TOKEN && v[0].view.waiter == 7 && v[0].view.deadline == 0);
    CHECK(v[0].view.since > before - SECOND / 10 && v[0].view.since <= np_now());
    CHECK(strcmp(v[1].what, "sleep") == 0 && v[1].sema == NULL && v[1].view.deadline == end);
    CHECK(strcmp(v[2].what, "semaphore") == 0 && v[2].view.waiter == 9);
    CHECK(np_poller_snapshot(p, &poller, NULL, 0, -1) == 0 && poller.waiters == 3);

    np_sema_release(&s, 1);
    CHECK(np_poller_waits(p, v, 4, -1) == 3);
    CHECK(v[2].view.state == NP_QUEUED && v[2].view.waiter == 7);
    CHECK(np_take_ready(p, out, 3) == 1 && np_waiter_resume(&lock) == NP_OK);
    np_poller_close(p);
    CHECK(np_take_ready(p, out, 3) == 2);
    CHECK(np_waiter_resume(&sleep) == NP_CLOSED && np_waiter_resume(&nameless) == NP_CLOSED);
    CHECK(np_poller_waits(p, v, 4, -1) == 0);
    np_poller_unref(p);
}

static void a_long_name_is_cut_and_a_held_lock_not_waited_for(void)
{
    static const char name[] = "a name that is longer than a report has room for";
    np_poller *p = new_poller();
    np_wake_q wake_q;
    np_waiter w;
    np_wait_view v;
    int result;

    CHECK(np_timer_start(&w, p, 1, NP_NEVER, name) == NP_PARKED);
    CHECK(np_poller_waits(p, &v, 1, -1) == 1);
    CHECK(strlen(v.what) == NP_WHAT_SIZE - 1 && strncmp(v.what, name, NP_WHAT_SIZE - 1) == 0);
    np_lock(p, &wake_q);
    CHECK(np_poller_waits(p, &v, 1, MS) == -EBUSY);
    np_unlock(p, &wake_q);
    CHECK(np_waiter_cancel(&w, &result) == 1);
    np_poller_unref(p);
}

static void *acquire_for_a_minute(void *s)
{
    return (void *)(intptr_t)np_sema_acquire(s, np_now() + 60 * SECOND, "queue", NULL);
}

static np_wait_view thread_view(int n)
{
    np_wait_view v = {.mode = 0};
    for (int64_t end = np_now() + 15 * SECOND; np_thread_waits(&v, 1, -1) != n && np_now() < end;)
        sched_yield();
    CHECK(np_thread_waits(&v, 1, -1) == n);
    return v;
}

static void a_thread_at_a_semaphore_is_seen_with_its_id_and_its_end(void)
{
    np_sema s = {0};
    pthread_t thread;
    int64_t before = np_now();

    CHECK(pthread_create(&thread, NULL, acquire_for_a_minute, &s) == 0);
    np_wait_view v = thread_view(1);
    CHECK(strcmp(v.what, "queue") == 0 && v.sema == &s && v.view.state == NP_THREAD);
    CHECK(v.view.waiter == (uintptr_t)thread && v.view.deadline >= before + 60 * SECOND);
    np_sema_release(&s, 1);
    pthread_join(thread, NULL);
    thread_view(0);
}

static void a_wait_for_a_turn_is_seen_with_its_file(void)
{
    np_poller *p = new_poller();
    np_file *f = NULL;
    np_op first, second;
    np_waiter w;
    np_wait_view v;
    int fds[2];

    CHECK(nonblocking_pair(fds) == 0);
    CHECK(np_file_new(fds[0], NP_FILE_MESSAGES, &f) == NP_OK);
    for (int mode = NP_READ; mode <= NP_WRITE; mode++) {
        CHECK(np_op_begin(&first, f, mode, 1) == NP_OK);
        CHECK(np_op_begin(&second, f, mode, 1) == NP_BUSY);
        CHECK(np_op_park(&second, p, &w, 5) == NP_PARKED);
        CHECK(np_poller_waits(p, &v, 1, -1) == 1);
        CHECK(v.mode == mode && v.fd == fds[0] && v.view.waiter == 5);
        CHECK(strcmp(v.what, mode == NP_READ ? "turn to read" : "turn to write") == 0);
        CHECK(np_op_cancel(&second, &w) == 1 && np_op_end(&second) == NP_OK);
        CHECK(np_op_end(&first) == NP_OK);
    }
    CHECK(np_file_close(f, 0) == NP_OK);
    np_file_free(f);
    close(fds[1]);
    np_poller_unref(p);
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
    static char text[1 << 16];
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
    np_wake_q wake_q;
    CHECK(np_report_on_signal(SIGUSR2, fd, 1) == 0);
    np_lock(t->p, &wake_q);
    raise(SIGUSR2);
    np_unlock(t->p, &wake_q);
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

static void the_report_names_waits_and_shows_what_can_be_shown(void)
{
    pair t;
    np_sema s = {0};
    np_waiter w[600];
    pthread_t thread;
    char line[64];
    int result;

    pair_open(&t);
    CHECK(np_timer_start(&w[0], t.p, 0xbeef, np_now() + 60 * SECOND, "s\x1bleep\n") == NP_PARKED);
    for (int i = 1; i < 600; i++)
        CHECK(np_sema_park(&s, &w[i], t.p, 0xf00 + (np_token)i, NP_NEVER, NULL) == NP_PARKED);
    CHECK(pthread_create(&thread, NULL, acquire_for_a_minute, &s) == 0);
    thread_view(1);
    const char *text = report_of(ask, &t);
    CHECK(strstr(text, ", 600 at semaphores and timers, first deadline in "));
    CHECK(strstr(text, "\n  s?leep?: token 0xbeef, for "));
    snprintf(line, sizeof line, "\n  semaphore 0x%jx: token 0xf01, for ", (uintmax_t)(uintptr_t)&s);
    CHECK(strstr(text, line));
    CHECK(strstr(text, "\n  and 88 more\n"));
    snprintf(line, sizeof line, "\n  queue 0x%jx: thread ", (uintmax_t)(uintptr_t)&s);
    CHECK(strstr(text, "\n1 threads at semaphores\n") && strstr(text, line));
    signal(SIGUSR2, count);
    CHECK(strstr(report_of(raise_with_the_lock_held, &t), "\n1 threads at semaphores\n"));
    signal(SIGUSR2, SIG_DFL);
    for (int i = 0; i < 600; i++)
        CHECK(np_waiter_cancel(&w[i], &result) == 1);
    np_sema_release(&s, 1);
    pthread_join(thread, NULL);
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
        RUN(tokens_at_semaphores_and_timers_are_seen_by_name);
        RUN(a_long_name_is_cut_and_a_held_lock_not_waited_for);
        RUN(a_thread_at_a_semaphore_is_seen_with_its_id_and_its_end);
        RUN(a_wait_for_a_turn_is_seen_with_its_file);
        RUN(the_report_names_descriptors_waiters_and_deadlines);
        RUN(the_report_names_waits_and_shows_what_can_be_shown);
        RUN(the_report_on_a_signal_works_under_a_held_lock_and_chains);
    }
    RUN(a_descriptor_is_described_and_the_text_cut_to_fit);
    DONE();
}
