/* A file and its users: turns, timeouts, deadlines, closing, forks; threads and tokens.
 * test_file_race.c has what many do at once. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <pthread.h>
#include <signal.h>

#include "files.h"

enum { MS = 1000000 };

typedef struct pair {
    np_file *a, *b;
} pair;

static pair new_pair(void)
{
    int fds[2];
    CHECK(nonblocking_pair(fds) == 0);
    return (pair){file_of(fds[0]), file_of(fds[1])};
}

static bool is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

static void drop(np_file *f)
{
    int fd = (int)np_file_fd(f);
    CHECK(np_file_close(f, 0) == NP_OK);
    CHECK(!is_open(fd));
    np_file_free(f);
}

static void drop_pair(pair p)
{
    drop(p.a);
    drop(p.b);
}

static void send_byte(np_file *f, char byte)
{
    CHECK(send((int)np_file_fd(f), &byte, 1, 0) == 1);
}

static np_poller *new_hub(void)
{
    np_poller *hub = NULL;
    CHECK(np_poller_new(NULL, &hub) == NP_OK);
    return hub;
}

static void *receives(void *f)
{
    return (void *)(intptr_t)receive(f, NULL);
}

static pthread_t start(void *(*body)(void *), void *arg)
{
    pthread_t t;
    CHECK(pthread_create(&t, NULL, body, arg) == 0);
    return t;
}

static int ended(pthread_t t)
{
    void *result = NULL;
    pthread_join(t, &result);
    return (int)(intptr_t)result;
}

/* Long enough for threads that were started to wait; nothing depends on it but what is tested. */
static void let_them_wait(void)
{
    usleep(10000);
}

/* --- one after the other ---------------------------------------------------------------------- */

static void a_thread_waits_for_data(void)
{
    pair p = new_pair();
    pthread_t t = start(receives, p.a);

    let_them_wait();
    send_byte(p.b, 'x');
    CHECK(ended(t) == 'x');
    drop_pair(p);
}

static void those_that_queue_get_their_turns(void)
{
    pair p = new_pair();
    np_poller *hub = new_hub();
    pthread_t t[3];

    for (int i = 0; i < 3; i++)
        t[i] = start(receives, p.a);
    let_them_wait();
    for (char c = 'a'; c <= 'd'; c++)
        send_byte(p.b, c);
    int sum = receive(p.a, hub);
    for (int i = 0; i < 3; i++)
        sum += ended(t[i]);
    CHECK(sum == 'a' + 'b' + 'c' + 'd');
    drop_pair(p);
    np_poller_unref(hub);
}

static void a_mode_has_one_operation_at_a_time(void)
{
    pair p = new_pair();
    np_op first, second, writer;

    CHECK(np_op_begin(&first, p.a, NP_READ, 1) == NP_OK);
    CHECK(np_op_begin(&writer, p.a, NP_WRITE, 1) == NP_OK);
    CHECK(np_op_begin(&second, p.a, NP_READ, 0) == NP_AGAIN && np_op_end(&second) == NP_OK);
    CHECK(np_op_begin(&second, p.a, NP_READ, 1) == NP_BUSY && np_op_end(&second) == NP_OK);
    CHECK(np_op_end(&first) == NP_OK && np_op_end(&first) == NP_OK);
    CHECK(np_op_begin(&second, p.a, NP_READ, 0) == NP_OK && np_op_end(&second) == NP_OK);
    CHECK(np_op_end(&writer) == NP_OK);
    drop_pair(p);
}

/* --- limits ----------------------------------------------------------------------------------- */

static void limits_end_a_wait_of(np_poller *hub)
{
    pair p = new_pair();
    int64_t start = np_now();

    np_file_set_timeout(p.a, 5 * MS);
    CHECK(np_file_timeout(p.a) == 5 * MS);
    CHECK(receive(p.a, hub) == -NP_TIMED_OUT && np_now() >= start + 5 * MS);
    np_file_set_timeout(p.a, -7);
    CHECK(np_file_timeout(p.a) == -1);

    start = np_now();
    np_file_set_option_timeout(p.a, 5 * MS, NP_READ);
    CHECK(np_file_option_timeout(p.a, NP_READ) == 5 * MS);
    CHECK(np_file_option_timeout(p.a, NP_WRITE) == -1);
    CHECK(receive(p.a, hub) == -NP_TIMED_OUT && np_now() >= start + 5 * MS);
    np_file_set_option_timeout(p.a, -7, NP_READ);
    CHECK(np_file_option_timeout(p.a, NP_READ) == -1);

    int64_t when = np_now() + 5 * MS;
    CHECK(np_file_set_deadline(p.a, when, NP_READ) == NP_OK);
    CHECK(np_file_deadline(p.a, NP_READ) == when && np_file_deadline(p.a, NP_WRITE) == NP_NEVER);
    CHECK(receive(p.a, hub) == -NP_TIMEOUT && np_now() >= when);
    send_byte(p.b, 'x');
    CHECK(receive(p.a, hub) == -NP_TIMEOUT); /* until it is moved */
    CHECK(np_file_set_deadline(p.a, NP_NEVER, NP_READ | NP_WRITE) == NP_OK);
    CHECK(receive(p.a, hub) == 'x');

    np_file_set_timeout(p.a, 0);
    CHECK(receive(p.a, NULL) == -NP_TIMED_OUT); /* at its first wait */
    drop_pair(p);
}

static void limits_end_a_wait(void)
{
    np_poller *hub = new_hub();
    limits_end_a_wait_of(NULL);
    limits_end_a_wait_of(hub);
    np_poller_unref(hub);
}

static void a_timeout_binds_one_that_queues(void)
{
    pair p = new_pair();
    np_poller *hub = new_hub();
    np_op holder;

    CHECK(np_op_begin(&holder, p.a, NP_READ, 1) == NP_OK);
    np_file_set_timeout(p.a, 5 * MS);
    CHECK(receive(p.a, NULL) == -NP_TIMED_OUT);
    CHECK(receive(p.a, hub) == -NP_TIMED_OUT);
    CHECK(np_op_end(&holder) == NP_OK);
    send_byte(p.b, 'x');
    CHECK(receive(p.a, hub) == 'x');
    drop_pair(p);
    np_poller_unref(hub);
}

static void *receives_in_a_hub(void *f)
{
    np_poller *hub = new_hub();
    int rc = receive(f, hub);
    np_poller_unref(hub);
    return (void *)(intptr_t)rc;
}

static void a_deadline_moved_meanwhile_binds(void)
{
    pair p = new_pair();
    pthread_t t[] = {start(receives_in_a_hub, p.a), start(receives, p.b)};

    let_them_wait();
    CHECK(np_file_set_deadline(p.a, np_now() + 3 * MS, NP_READ) == NP_OK);
    CHECK(np_file_set_deadline(p.b, 1, NP_READ) == NP_OK);
    CHECK(ended(t[0]) == -NP_TIMEOUT && ended(t[1]) == -NP_TIMEOUT);
    drop_pair(p);
}

static atomic_bool over;

/* Wakes the reader of f all the time. */
static void *storms(void *f)
{
    int rc = NP_OK;
    while (!over && rc == NP_OK)
        rc = np_file_set_deadline(f, NP_NEVER, NP_READ);
    CHECK(rc == NP_OK);
    return NULL;
}

/* A thread that is woken again and again is ended by its timeout, and by what it waits for. */
static void a_storm_of_wakes_holds_nothing_up(void)
{
    pair p = new_pair();
    pthread_t t[2];

    over = false;
    for (int i = 0; i < 2; i++)
        t[i] = start(storms, p.a);
    np_file_set_timeout(p.a, 20 * MS);
    for (int i = 0; i < 5; i++) {
        int64_t begun = np_now();
        CHECK(receive(p.a, NULL) == -NP_TIMED_OUT && np_now() < begun + 2000 * MS);
    }
    np_file_set_timeout(p.a, -1);
    pthread_t reader = start(receives, p.a);
    let_them_wait();
    send_byte(p.b, 'x');
    CHECK(ended(reader) == 'x');
    over = true;
    for (int i = 0; i < 2; i++)
        pthread_join(t[i], NULL);
    drop_pair(p);
}

static void a_wake_hides_no_readiness(void)
{
    pair p = new_pair();
    np_waker *w = NULL;
    int fd = (int)np_file_fd(p.a);

    CHECK(np_waker_new(&w) == NP_OK);
    np_waker_wake(w);
    send_byte(p.b, 'x');
    CHECK(np_wait_fd(w, fd, NP_READ, NP_NEVER) == NP_OK);
    CHECK(receive(p.a, NULL) == 'x');
    CHECK(np_wait_fd(w, fd, NP_READ, NP_NEVER) == NP_AGAIN);
    CHECK(np_wait_fd(w, fd, NP_READ, 1) == NP_TIMEOUT);
    np_waker_free(w);
    drop_pair(p);
}

/* The peer has sent, and nothing that is tried succeeds. */
static int try_in_vain(np_file *f, np_poller *hub, int *interruptions)
{
    operation o = {.hub = hub};
    int rc = np_op_begin(&o.op, f, NP_READ, 1);
    while (rc == NP_OK || rc == NP_BUSY)
        rc = rc == NP_OK && (rc = np_op_try(&o.op)) == NP_OK ? NP_BUSY : wait_for(&o);
    np_op_end(&o.op);
    *interruptions = o.interruptions;
    return rc;
}

static void limits_bind_though_the_kernel_says_ready(void)
{
    pair p = new_pair();
    np_poller *hub = new_hub(), *level = NULL;
    int interruptions = 0;

    CHECK(np_poller_new("poll", &level) == NP_OK);
    send_byte(p.b, 'x');
    np_file_set_timeout(p.a, 20 * MS);
    CHECK(try_in_vain(p.a, NULL, &interruptions) == NP_TIMED_OUT);
    CHECK(interruptions >= 2 && interruptions < 100);
    CHECK(try_in_vain(p.a, hub, &interruptions) == NP_TIMED_OUT); /* perhaps of one event */
    CHECK(try_in_vain(p.a, level, &interruptions) == NP_TIMED_OUT);
    CHECK(interruptions >= 2 && interruptions < 100);
    drop_pair(p);
    np_poller_unref(hub);
    np_poller_unref(level);
}

/* --- closing ---------------------------------------------------------------------------------- */

static void closing_ends_those_inside_and_those_that_queue(void)
{
    pair p = new_pair();
    pthread_t t[4];
    int fd = (int)np_file_fd(p.a);

    for (int i = 0; i < 4; i++)
        t[i] = start(i % 2 ? receives : receives_in_a_hub, p.a);
    let_them_wait();
    CHECK(np_file_close(p.a, 0) == NP_OK && np_file_closed(p.a));
    CHECK(np_file_close(p.a, 0) == NP_CLOSED && np_file_close(p.a, 1) == NP_CLOSED);
    for (int i = 0; i < 4; i++)
        CHECK(ended(t[i]) == -NP_CLOSED);
    CHECK(!is_open(fd));
    CHECK(receive(p.a, NULL) == -NP_CLOSED);
    CHECK(np_file_set_deadline(p.a, NP_NEVER, NP_READ) == NP_CLOSED);
    np_file_free(p.a);
    drop(p.b);
}

static void the_number_is_closed_by_the_last_to_leave(void)
{
    pair p = new_pair();
    np_op reader, writer;
    int fd = (int)np_file_fd(p.a);

    CHECK(np_op_begin(&reader, p.a, NP_READ, 1) == NP_OK);
    CHECK(np_op_begin(&writer, p.a, NP_WRITE, 1) == NP_OK);
    CHECK(np_file_close(p.a, 0) == NP_OK && is_open(fd));
    CHECK(np_op_try(&reader) == NP_CLOSED && np_op_end(&reader) == NP_OK && is_open(fd));
    CHECK(np_op_end(&writer) == NP_OK && !is_open(fd));
    CHECK(dup((int)np_file_fd(p.b)) == fd); /* another's now */
    CHECK(np_op_end(&writer) == NP_OK && np_file_close(p.a, 0) == NP_CLOSED && is_open(fd));
    close(fd);
    np_file_free(p.a);
    drop(p.b);
}

static void detaching_leaves_the_number_open(void)
{
    pair p = new_pair();
    pthread_t t = start(receives, p.a);
    int fd = (int)np_file_fd(p.a);

    let_them_wait();
    CHECK(np_file_close(p.a, 1) == NP_OK && ended(t) == -NP_CLOSED && is_open(fd));
    np_file_free(p.a);
    CHECK(close(fd) == 0);
    drop(p.b);
}

static void an_error_of_closing_is_told(void)
{
    pair p = new_pair();
    close((int)np_file_fd(p.a));
    CHECK(np_file_close(p.a, 0) == -EBADF && np_file_close(p.a, 0) == NP_CLOSED);
    np_file_free(p.a);
    drop(p.b);
}

/* --- tokens ----------------------------------------------------------------------------------- */

static int pop(np_poller *hub, int64_t timeout, np_token *token)
{
    int n = 0;
    CHECK(np_poll(hub, timeout, token, 1, &n) == NP_OK);
    return n;
}

static void pop_this(np_poller *hub, np_token expected)
{
    np_token token = 0;
    while (pop(hub, -1, &token) == 0)
        ;
    CHECK(token == expected);
}

static void a_token_waits_for_its_turn_and_then_for_data(void)
{
    pair p = new_pair();
    np_poller *hub = new_hub();
    np_op first, second;
    np_waiter w1, w2;
    char byte;

    CHECK(np_op_begin(&first, p.a, NP_READ, 1) == NP_OK && np_op_try(&first) == NP_OK);
    CHECK(np_op_park(&first, hub, &w1, 1) == NP_PARKED);
    CHECK(np_op_resume(&first, &w1) == NP_AGAIN);
    CHECK(np_op_begin(&second, p.a, NP_READ, 1) == NP_BUSY);
    CHECK(np_op_park(&second, hub, &w2, 2) == NP_PARKED);
    CHECK(np_op_resume(&second, &w2) == NP_AGAIN);
    send_byte(p.b, 'x');
    pop_this(hub, 1);
    CHECK(np_op_resume(&first, &w1) == NP_OK && np_op_end(&first) == NP_OK);
    pop_this(hub, 2);
    CHECK(np_op_resume(&second, &w2) == NP_OK && np_op_try(&second) == NP_OK);
    CHECK(recv((int)np_file_fd(p.a), &byte, 1, 0) == 1);
    CHECK(np_op_park(&second, hub, &w2, 3) == NP_PARKED);
    int fd = (int)np_file_fd(p.a);
    CHECK(np_file_close(p.a, 0) == NP_OK);
    pop_this(hub, 3);
    CHECK(np_op_resume(&second, &w2) == NP_CLOSED && is_open(fd));
    CHECK(np_op_end(&second) == NP_OK && !is_open(fd));
    np_file_free(p.a);
    drop(p.b);
    np_poller_unref(hub);
}

static void a_token_that_is_cancelled_hands_on_what_it_has(void)
{
    pair p = new_pair();
    np_poller *hub = new_hub();
    np_op first, second;
    np_waiter w1, w2;
    np_token token;

    /* Queued, then granted, then cancelled: the turn goes on. */
    CHECK(np_op_begin(&first, p.a, NP_READ, 1) == NP_OK);
    CHECK(np_op_begin(&second, p.a, NP_READ, 1) == NP_BUSY);
    CHECK(np_op_park(&second, hub, &w2, 2) == NP_PARKED);
    CHECK(np_op_end(&first) == NP_OK);
    CHECK(np_op_cancel(&second, &w2) == 1 && np_op_end(&second) == NP_OK);
    CHECK(pop(hub, 0, &token) == 0);

    /* Parked, with its event in the ready queue. */
    CHECK(np_op_begin(&first, p.a, NP_READ, 1) == NP_OK && np_op_try(&first) == NP_OK);
    CHECK(np_op_park(&first, hub, &w1, 1) == NP_PARKED);
    send_byte(p.b, 'x');
    int n = 0;
    CHECK(np_poll(hub, 0, &token, 0, &n) == NP_OK && n == 0);
    CHECK(np_op_cancel(&first, &w1) == 1 && np_op_end(&first) == NP_OK);
    CHECK(pop(hub, 0, &token) == 0);
    CHECK(receive(p.a, hub) == 'x');

    /* Given out already. */
    CHECK(np_op_begin(&first, p.a, NP_READ, 1) == NP_OK && np_op_try(&first) == NP_OK);
    CHECK(np_op_park(&first, hub, &w1, 1) == NP_PARKED);
    send_byte(p.b, 'y');
    pop_this(hub, 1);
    CHECK(np_op_cancel(&first, &w1) == 0 && np_op_end(&first) == NP_OK);
    CHECK(receive(p.a, hub) == 'y');
    drop_pair(p);
    np_poller_unref(hub);
}

static void a_poller_that_is_closed_lets_its_tokens_go_elsewhere(void)
{
    pair p = new_pair();
    np_poller *hub = new_hub(), *other = new_hub();
    np_op op, queued;
    np_waiter w, w2;
    np_token token = 0;

    CHECK(np_op_begin(&op, p.a, NP_READ, 1) == NP_OK && np_op_try(&op) == NP_OK);
    CHECK(np_op_begin(&queued, p.a, NP_READ, 1) == NP_BUSY);
    CHECK(np_op_park(&op, hub, &w, 1) == NP_PARKED);
    CHECK(np_op_park(&queued, hub, &w2, 2) == NP_PARKED);
    np_poller_close(hub);
    CHECK(np_take_ready(hub, &token, 1) == 1 && token == 1);
    CHECK(np_take_ready(hub, &token, 1) == 1 && token == 2);
    CHECK(np_op_resume(&op, &w) == NP_OK && np_op_resume(&queued, &w2) == NP_NO_POLLER);
    CHECK(np_op_park(&op, hub, &w, 1) == NP_NO_POLLER);
    CHECK(np_op_park(&queued, hub, &w2, 2) == NP_NO_POLLER);
    CHECK(np_op_park(&op, other, &w, 3) == NP_PARKED);
    CHECK(np_op_park(&queued, other, &w2, 4) == NP_PARKED);
    send_byte(p.b, 'x');
    pop_this(other, 3);
    CHECK(np_op_resume(&op, &w) == NP_OK && np_op_end(&op) == NP_OK);
    pop_this(other, 4);
    CHECK(np_op_resume(&queued, &w2) == NP_OK && np_op_end(&queued) == NP_OK);
    drop_pair(p);
    np_poller_unref(hub);
    np_poller_unref(other);
}

static void two_modes_share_a_registration(void)
{
    pair p = new_pair();
    np_poller *hub = new_hub();
    np_op reader, writer;
    np_waiter r, w;
    np_stats stats;

    CHECK(np_op_begin(&reader, p.a, NP_READ, 1) == NP_OK && np_op_try(&reader) == NP_OK);
    CHECK(np_op_begin(&writer, p.a, NP_WRITE, 1) == NP_OK && np_op_try(&writer) == NP_OK);
    CHECK(np_op_park(&reader, hub, &r, 1) == NP_PARKED);
    CHECK(np_op_park(&writer, hub, &w, 2) == NP_PARKED);
    np_poller_stats(hub, &stats);
    CHECK(stats.open == 1 && stats.parked_readers == 1 && stats.parked_writers == 1);
    pop_this(hub, 2);
    CHECK(np_op_resume(&writer, &w) == NP_OK && np_op_end(&writer) == NP_OK);
    send_byte(p.b, 'x');
    pop_this(hub, 1);
    CHECK(np_op_resume(&reader, &r) == NP_OK && np_op_end(&reader) == NP_OK);
    drop_pair(p);
    np_poller_stats(hub, &stats);
    CHECK(stats.open == 0);
    np_poller_unref(hub);
}

/* The other end is away; what has come before it is read, and then the end, again and again. */
static void a_short_read_is_drained_unless_the_peer_is_gone(void)
{
    pair p = new_pair();
    np_poller *hub = new_hub();
    char bytes[8];
    operation o = {.hub = hub, .bytes = bytes, .wanted = sizeof bytes};

    send_byte(p.b, 'x');
    CHECK(transfer(&o, p.a, NP_READ) == NP_OK && o.moved == 1);
    CHECK(np_op_begin(&o.op, p.a, NP_READ, 1) == NP_OK && np_op_try(&o.op) == NP_BUSY);
    CHECK(np_op_end(&o.op) == NP_OK);
    send_byte(p.b, 'y');
    drop(p.b);
    CHECK(transfer(&o, p.a, NP_READ) == NP_OK && o.moved == 1);
    for (int i = 0; i < 3; i++)
        CHECK(transfer(&o, p.a, NP_READ) == NP_OK && o.moved == 0);
    drop(p.a);
    np_poller_unref(hub);
}

/* --- what others say -------------------------------------------------------------------------- */

static void *counts_tries(void *f)
{
    operation o = {.hub = NULL};
    intptr_t tries = 0;
    int rc = np_op_begin(&o.op, f, NP_READ, 1);
    while (rc == NP_OK && np_op_try(&o.op) == NP_OK && ++tries < 2)
        rc = wait_for(&o);
    np_op_end(&o.op);
    return (void *)tries;
}

static void a_retry_makes_one_that_waits_try_again(void)
{
    pair p = new_pair();
    np_poller *hub = new_hub();
    np_op op;
    np_waiter w;

    pthread_t t = start(counts_tries, p.a);
    let_them_wait();
    np_file_retry(p.a, NP_READ);
    CHECK(ended(t) == 2);
    CHECK(np_op_begin(&op, p.b, NP_READ, 1) == NP_OK && np_op_try(&op) == NP_OK);
    CHECK(np_op_park(&op, hub, &w, 1) == NP_PARKED);
    np_file_retry(p.b, NP_READ);
    pop_this(hub, 1);
    CHECK(np_op_resume(&op, &w) == NP_OK && np_op_try(&op) == NP_OK);
    CHECK(np_op_park(&op, hub, &w, 1) == NP_OK); /* the mark is taken once more at most */
    CHECK(np_op_park(&op, hub, &w, 1) == NP_PARKED);
    CHECK(np_op_cancel(&op, &w) == 1 && np_op_end(&op) == NP_OK);
    drop_pair(p);
    np_poller_unref(hub);
}

static void note_signal(int signo)
{
    (void)signo;
}

static void *counts_interruptions(void *f)
{
    char byte;
    operation o = {.bytes = &byte, .wanted = 1};
    CHECK(transfer(&o, f, NP_READ) == NP_OK);
    return (void *)(intptr_t)o.interruptions;
}

/* One that is inside, and one that queues; how many were interrupted. */
static int interrupts_two(void)
{
    pair p = new_pair();
    pthread_t t[2];

    for (int i = 0; i < 2; i++)
        t[i] = start(counts_interruptions, p.a);
    let_them_wait();
    for (int i = 0; i < 2; i++)
        CHECK(pthread_kill(t[i], SIGUSR1) == 0);
    let_them_wait();
    send_byte(p.b, 'x');
    send_byte(p.b, 'y');
    int interruptions[] = {ended(t[0]), ended(t[1])};
    CHECK(interruptions[0] <= 1 && interruptions[1] <= 1);
    drop_pair(p);
    return interruptions[0] + interruptions[1]; /* a condition variable hides the other's */
}

static void a_signal_interrupts_a_wait_which_then_goes_on(void)
{
    struct sigaction action = {.sa_handler = note_signal}, before;
    int interrupted = 0;

    CHECK(sigaction(SIGUSR1, &action, &before) == 0);
    for (int i = 0; i < 50 && !interrupted; i++) /* the threads may not be there yet */
        interrupted = interrupts_two();
    CHECK(interrupted >= 1);
    sigaction(SIGUSR1, &before, NULL);
}

/* --- forks ------------------------------------------------------------------------------------ */

/* In the parent, all the time: takes turns, waits, is granted, leaves. */
static void *uses(void *f)
{
    char byte = 0;
    while (!over) {
        operation o = {.bytes = &byte, .wanted = 1};
        int mode = byte++ % 2 ? NP_READ : NP_WRITE;
        int rc = transfer(&o, f, mode);
        CHECK(rc == NP_OK || rc == NP_TIMED_OUT);
    }
    return NULL;
}

static void *uses_in_a_hub(void *f)
{
    np_poller *hub = new_hub();
    char byte = 0;
    while (!over) {
        operation o = {.bytes = &byte, .wanted = 1, .hub = hub};
        int rc = transfer(&o, f, NP_READ);
        CHECK(rc == NP_OK || rc == NP_TIMED_OUT);
    }
    np_poller_unref(hub);
    return NULL;
}

/* One of the thread that forks, whose token may be parked. */
typedef struct forker {
    np_file *f;
    operation o;
    int rc;
} forker;

static void finish_its_operation(forker *me)
{
    if (me->rc == NP_PARKED) {
        pop_this(me->o.hub, 1);
        me->rc = np_op_resume(&me->o.op, &me->o.waiter);
    }
    CHECK(me->rc == NP_OK || me->rc == NP_TIMED_OUT);
    CHECK(np_op_end(&me->o.op) == NP_OK);
}

/* It goes on; then both modes are free, and closing closes the number. */
static bool has_the_file_to_itself(void *arg)
{
    forker *me = arg;
    int fd = (int)np_file_fd(me->f), failures = check_failures;
    np_op op;

    finish_its_operation(me);
    for (int mode = NP_READ; mode <= NP_WRITE; mode++)
        CHECK(np_op_begin(&op, me->f, mode, 1) == NP_OK && np_op_end(&op) == NP_OK);
    CHECK(np_file_close(me->f, 0) == NP_OK && !is_open(fd));
    np_file_free(me->f);
    return check_failures == failures;
}

static void forks_in_the_middle(void)
{
    pair p = new_pair();
    pthread_t t[5];
    char byte;
    forker me = {.f = p.a, .o = {.hub = new_hub(), .bytes = &byte, .wanted = 1}};

    over = false;
    np_file_set_timeout(p.a, MS / 2);
    for (int i = 0; i < 5; i++)
        t[i] = start(i < 3 ? uses : uses_in_a_hub, p.a);
    for (int i = 0; i < 40; i++) {
        me.rc = np_op_begin(&me.o.op, p.a, NP_READ, 1);
        if (me.rc == NP_BUSY)
            me.rc = np_op_park(&me.o.op, me.o.hub, &me.o.waiter, 1);
        CHECK(is_true_in_a_child(has_the_file_to_itself, &me));
        finish_its_operation(&me);
        send_byte(p.b, 'x');
        if (recv((int)np_file_fd(p.b), &byte, 1, 0) < 0)
            CHECK(errno == EAGAIN);
    }
    over = true;
    for (int i = 0; i < 5; i++)
        pthread_join(t[i], NULL);
    drop_pair(p);
    np_poller_unref(me.o.hub);
}

#ifndef __SANITIZE_THREAD__
static void *do_nothing(void)
{
    return NULL;
}

static void end_the_thread(void *cookie)
{
    (void)cookie;
    pthread_exit(NULL);
}

static bool forgets_a_thread_that_ends(void *arg)
{
    pair p = new_pair();
    pthread_t t = start(receives, p.a);

    (void)arg;
    let_them_wait();
    np_set_blocking_hooks(do_nothing, end_the_thread);
    np_file_retry(p.a, NP_READ);
    pthread_join(t, NULL);
    np_file_retry(p.a, NP_READ); /* it would wake the thread */
    return np_file_close(p.a, 0) == NP_OK;
}

/* As CPython does it to a thread that wants the GIL while the interpreter exits.  In a child: the
 * operation never ends. */
static void a_thread_is_ended_by_the_hook_after_its_wait(void)
{
    CHECK(is_true_in_a_child(forgets_a_thread_that_ends, NULL));
}
#endif

static void *closes(void *f)
{
    CHECK(np_file_close(f, 0) == NP_OK);
    return NULL;
}

/* The child has finished what another thread of its parent had begun, or has the file as it was. */
static bool is_closed_or_open(void *f)
{
    int fd = (int)np_file_fd(f);
    np_op op;

    int rc = np_op_begin(&op, f, NP_READ, 1);
    np_op_end(&op);
    if (rc == NP_OK)
        return np_file_close(f, 0) == NP_OK && !is_open(fd);
    return rc == NP_CLOSED && np_file_close(f, 0) == NP_CLOSED;
}

static void forks_in_the_middle_of_a_close(void)
{
    for (int i = 0; i < 40; i++) {
        pair p = new_pair();
        pthread_t t = start(closes, p.a);
        for (int spins = i * 50; spins > 0; spins--)
            np_now();
        CHECK(is_true_in_a_child(is_closed_or_open, p.a));
        pthread_join(t, NULL);
        np_file_free(p.a);
        drop(p.b);
    }
}

/* A wake object of each of its parent's threads would stay open in every child. */
static bool has_no_more_than(void *arg)
{
    int lowest = dup(0);
    CHECK(lowest >= 0 && close(lowest) == 0);
    return lowest == *(int *)arg;
}

static void a_child_has_no_wakers_of_its_parents_threads(void)
{
    pair p = new_pair();
    int lowest = dup(0);

    CHECK(lowest >= 0 && close(lowest) == 0);
    pthread_t t = start(receives, p.a);
    let_them_wait();
    CHECK(is_true_in_a_child(has_no_more_than, &lowest));
    send_byte(p.b, 'x');
    CHECK(ended(t) == 'x');
    drop_pair(p);
}

typedef struct waker_wait {
    np_waker *waker;
    np_fd fd;
} waker_wait;

static void *waits_at_the_waker(void *arg)
{
    const waker_wait *w = arg;
    CHECK(np_wait_fd(w->waker, w->fd, NP_READ, NP_NEVER) == NP_AGAIN);
    return NULL;
}

/* Renewed, it does not show the wait of a thread that is gone. */
static bool waits_there_alone(void *arg)
{
    const waker_wait *w = arg;
    return np_wait_fd(w->waker, w->fd, NP_READ, np_now()) == NP_AGAIN &&
           np_fd_waiters(NULL, 0) == 0 &&
           np_wait_fd(w->waker, w->fd, NP_READ, np_now()) == NP_TIMEOUT;
}

static void a_child_goes_on_with_a_waker(void)
{
    pair p = new_pair();
    waker_wait w = {.fd = np_file_fd(p.a)};

    CHECK(np_waker_new(&w.waker) == 0);
    pthread_t t = start(waits_at_the_waker, &w);
    let_them_wait();
    CHECK(np_fd_waiters(NULL, 0) == 1);
    CHECK(is_true_in_a_child(waits_there_alone, &w));
    np_waker_wake(w.waker);
    pthread_join(t, NULL);
    np_waker_free(w.waker);
    drop_pair(p);
}

/* In a thread whose end is seen: the main thread's waker stays as long as the process. */
static void *all_tests(void *unused)
{
    RUN(a_thread_waits_for_data);
    RUN(those_that_queue_get_their_turns);
    RUN(a_mode_has_one_operation_at_a_time);
    RUN(limits_end_a_wait);
    RUN(a_timeout_binds_one_that_queues);
    RUN(a_deadline_moved_meanwhile_binds);
    RUN(limits_bind_though_the_kernel_says_ready);
    RUN(a_wake_hides_no_readiness);
    RUN(a_storm_of_wakes_holds_nothing_up);
    RUN(closing_ends_those_inside_and_those_that_queue);
    RUN(the_number_is_closed_by_the_last_to_leave);
    RUN(detaching_leaves_the_number_open);
    RUN(an_error_of_closing_is_told);
    RUN(a_token_waits_for_its_turn_and_then_for_data);
    RUN(a_token_that_is_cancelled_hands_on_what_it_has);
    RUN(a_poller_that_is_closed_lets_its_tokens_go_elsewhere);
    RUN(two_modes_share_a_registration);
    RUN(a_short_read_is_drained_unless_the_peer_is_gone);
    RUN(a_retry_makes_one_that_waits_try_again);
    RUN(a_signal_interrupts_a_wait_which_then_goes_on);
#ifndef __SANITIZE_THREAD__ /* which refuses a child's threads */
    RUN(a_thread_is_ended_by_the_hook_after_its_wait);
#endif
    RUN(forks_in_the_middle);
    RUN(forks_in_the_middle_of_a_close);
    RUN(a_child_has_no_wakers_of_its_parents_threads);
    RUN(a_child_goes_on_with_a_waker);
    return unused;
}

int main(void)
{
    pthread_join(start(all_tests, NULL), NULL);
    DONE();
}
