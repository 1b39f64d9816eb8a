/* A program with one thread, on every backend: on systems that have no other, too, and there what
 * could never end is refused. */
#include <errno.h>
#include <string.h>

#include "check.h"
#include "netpoll.h"
#include "pipes.h"
#include "sys/system.h"

static const int64_t MS = 1000000;
static const char *backend;

static void writable_at_once_and_readable_when_data_comes(void)
{
    piped t;
    piped_open(&t, backend);
    CHECK(np_wait(t.writer, NP_WRITE) == NP_OK);
    put_byte(t.fds[1]);
    CHECK(np_wait(t.reader, NP_READ) == NP_OK);
    piped_close(&t);
}

static void a_deadline_ends_the_wait_and_moving_it_revives_the_descriptor(void)
{
    piped t;
    piped_open(&t, backend);
    int64_t before = np_now();
    CHECK(np_set_deadline(t.reader, 20 * MS, NP_READ) == NP_OK);
    CHECK(np_wait(t.reader, NP_READ) == NP_TIMEOUT);
    CHECK(np_now() - before >= 20 * MS);
    CHECK(np_reset(t.reader, NP_READ) == NP_TIMEOUT);
    CHECK(np_reset(t.reader, NP_WRITE) == NP_OK);
    CHECK(np_set_deadline(t.reader, NP_NEVER, NP_READ) == NP_OK);
    CHECK(np_reset(t.reader, NP_READ) == NP_OK);
    piped_close(&t);
}

static void a_token_comes_out_once_and_resume_tells_why(void)
{
    piped t;
    np_token out[4];
    int n;
    piped_open(&t, backend);
    CHECK(np_park(t.reader, NP_READ, 77, 0) == NP_PARKED);
    CHECK(np_park(t.reader, NP_READ, 78, 0) == NP_BUSY);
    CHECK(np_resume(t.reader, NP_READ, 0) == NP_AGAIN);
    CHECK(np_poll(t.p, 0, out, 4, &n) == NP_OK && n == 0);
    put_byte(t.fds[1]);
    CHECK(np_poll(t.p, -1, out, 4, &n) == NP_OK && n == 1 && out[0] == 77);
    CHECK(np_poll(t.p, 0, out, 4, &n) == NP_OK && n == 0);
    CHECK(np_reset(t.reader, NP_READ) == NP_OK);
    CHECK(np_resume(t.reader, NP_READ, 0) == NP_OK);
    CHECK(np_resume(t.reader, NP_READ, 0) == NP_AGAIN);
    piped_close(&t);
}

static void a_cancelled_token_stays_in(void)
{
    piped t;
    np_token out[4], token = 0;
    int n;
    piped_open(&t, backend);
    CHECK(np_park(t.reader, NP_READ, 77, 0) == NP_PARKED);
    CHECK(np_cancel(t.reader, NP_READ, &token) == 1 && token == 77);
    CHECK(np_cancel(t.reader, NP_READ, &token) == 0);
    put_byte(t.fds[1]);
    CHECK(np_poll(t.p, 0, out, 4, &n) == NP_OK && n == 0);
    CHECK(np_wait(t.reader, NP_READ) == NP_OK);
    piped_close(&t);
}

static void only_the_token_that_is_named_is_withdrawn(void)
{
    piped t;
    np_token out[4];
    int n;
    piped_open(&t, backend);
    CHECK(np_park(t.reader, NP_READ, 77, 0) == NP_PARKED);
    CHECK(np_cancel_token(t.reader, NP_READ, 78) == 0);
    CHECK(np_cancel_token(t.reader, NP_WRITE, 77) == 0);
    CHECK(np_cancel_token(t.reader, NP_READ, 77) == 1);
    CHECK(np_cancel_token(t.reader, NP_READ, 77) == 0);
    CHECK(np_park(t.reader, NP_READ, 78, 0) == NP_PARKED);
    CHECK(np_cancel_token(t.reader, NP_READ, 77) == 0);
    put_byte(t.fds[1]);
    CHECK(np_poll(t.p, -1, out, 4, &n) == NP_OK && n == 1 && out[0] == 78);
    CHECK(np_cancel_token(t.reader, NP_READ, 78) == 0);
    CHECK(np_wait(t.reader, NP_READ) == NP_OK); /* the notification stays for the next */
    piped_close(&t);
}

static void wakes_are_remembered_and_collapse(void)
{
    np_poller *p;
    np_token out[1];
    int n;
    CHECK(np_poller_new(backend, &p) == NP_OK);
    np_wake(p);
    np_wake(p);
    CHECK(np_poll(p, -1, out, 1, &n) == NP_OK && n == 0);
    int64_t before = np_now();
    CHECK(np_poll(p, 10 * MS, out, 1, &n) == NP_OK && n == 0);
    CHECK(np_now() - before >= 10 * MS);
    np_poller_close(p);
    CHECK(np_poll(p, -1, out, 1, &n) == NP_CLOSED);
    np_poller_unref(p);
}

/* --- without a poller of its own -------------------------------------------------------------- */

static void a_waker_ends_a_wait_and_is_remembered(void)
{
    np_waker *w = NULL;
    int fds[2];
    CHECK(np_waker_new(&w) == NP_OK && open_pipe(fds) == 0);
    np_waker_wake(w);
    np_waker_wake(w);
    CHECK(np_wait_fd(w, fds[0], NP_READ, NP_NEVER) == NP_AGAIN);
    CHECK(np_wait_fd(w, fds[1], NP_WRITE, NP_NEVER) == NP_OK);
    int64_t until = np_now() + 5 * MS;
    CHECK(np_wait_fd(w, fds[0], NP_READ, until) == NP_TIMEOUT && np_now() >= until);
    put_byte(fds[1]);
    CHECK(np_wait_fd(w, fds[0], NP_READ, NP_NEVER) == NP_OK); /* it has arrived */
    np_waker_wake(w);
    CHECK(np_wait_fd(w, fds[0], NP_READ, NP_NEVER) == NP_OK);
    CHECK(np_wait_fd(w, fds[0], 0, NP_NEVER) == NP_AGAIN); /* it was kept */
    np_waker_free(w);
    close_pipe(fds);
}

static int read_as(np_file *f, int *waits)
{
    np_op op;
    char byte = 0;
    int rc = np_op_begin(&op, f, NP_READ, 1);
    while (rc == NP_OK && (rc = np_op_try(&op)) == NP_OK) {
        if (*waits > 0) {
            CHECK(read((int)np_file_fd(f), &byte, 1) == 1);
            break;
        }
        rc = np_op_wait(&op, NULL);
        *waits += 1;
    }
    CHECK(np_op_end(&op) == NP_OK);
    return rc == NP_OK ? byte : -rc;
}

static void a_file_is_read_within_its_limits(void)
{
    np_file *f = NULL;
    int fds[2], waits = 0;
    CHECK(open_pipe(fds) == 0 && np_file_new(fds[0], NP_FILE_MESSAGES, &f) == NP_OK);
    np_file_set_timeout(f, 5 * MS);
    CHECK(read_as(f, &waits) == -NP_TIMED_OUT && waits == 1);
    CHECK(np_file_set_deadline(f, np_now() + MS, NP_READ) == NP_OK);
    waits = 0;
    CHECK(read_as(f, &waits) == -NP_TIMEOUT && waits == 1);
    CHECK(np_file_set_deadline(f, NP_NEVER, NP_READ) == NP_OK);
    put_byte(fds[1]);
    waits = 0;
    CHECK(read_as(f, &waits) == 'x' && waits == 1);
    CHECK(np_file_close(f, 1) == NP_OK && read_as(f, &waits) == -NP_CLOSED);
    np_file_free(f);
    close_pipe(fds);
}

static void the_report_is_written(void)
{
    static const char head[] = "netpoll:\n";
    char text[sizeof head] = {0};
    int fds[2];
    CHECK(open_pipe(fds) == 0);
    np_report(fds[1]);
    CHECK(read(fds[0], text, sizeof text - 1) == sizeof text - 1 && strcmp(text, head) == 0);
    close_pipe(fds);
}

#ifndef NP_HAVE_THREADS

static void what_nothing_can_end_is_refused(void)
{
    np_poller *p = NULL;
    np_waker *w = NULL;
    np_sema s = {0};
    np_token out[1];
    np_fd fd = -1;
    int n;
    CHECK(np_poller_new(backend, &p) == NP_OK && np_waker_new(&w) == NP_OK);
    CHECK(np_poll(p, -1, out, 1, &n) == -ENOSYS && n == 0);
    CHECK(np_wait_fd(w, -1, 0, NP_NEVER) == -ENOSYS);
    CHECK(np_sema_acquire(&s, NP_NEVER, "test", NULL) == -ENOSYS);
    np_sema_release(&s, 1); /* and nothing is left of it */
    CHECK(np_sema_count(&s) == 1 && np_sema_acquire(&s, NP_NEVER, "test", NULL) == NP_OK);
    CHECK(np_report_on_signal(1, 2, 0) == -ENOSYS);
    CHECK(np_poller_fileno(p, &fd) == -ENOSYS);
    np_waker_free(w);
    np_poller_unref(p);
}

#endif

int main(void)
{
    for (int i = 0; (backend = np_backend_name(i)) != NULL; i++) {
        fprintf(CHECK_LOG, " backend %s\n", backend);
        RUN(writable_at_once_and_readable_when_data_comes);
        RUN(a_deadline_ends_the_wait_and_moving_it_revives_the_descriptor);
        RUN(a_token_comes_out_once_and_resume_tells_why);
        RUN(a_cancelled_token_stays_in);
        RUN(only_the_token_that_is_named_is_withdrawn);
        RUN(wakes_are_remembered_and_collapse);
#ifndef NP_HAVE_THREADS
        RUN(what_nothing_can_end_is_refused);
#endif
    }
    RUN(a_waker_ends_a_wait_and_is_remembered);
    RUN(a_file_is_read_within_its_limits);
    RUN(the_report_is_written);
    DONE();
}
