/* Semaphores and timers in one thread, which has a scheduler: on systems without threads, too. */
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "core/internal.h"
#include "netpoll.h"
#include "sema/sema.h"
#include "tokens.h"

enum { MS = 1000000 };

static void units_are_taken_and_remembered(void)
{
    np_sema s;
    np_sema_init(&s, 2);
    CHECK(np_sema_try(&s) == NP_OK);
    CHECK(np_sema_acquire(&s, NP_NEVER, "test", NULL) == NP_OK);
    CHECK(np_sema_try(&s) == NP_AGAIN);
    CHECK(np_sema_acquire(&s, np_now() + MS, "test", NULL) == NP_TIMEOUT);
    np_sema_release(&s, 3);
    CHECK(np_sema_count(&s) == 3);

    np_sema_init(&s, 0); /* open before anything has waited */
    np_sema_open(&s);
    CHECK(np_sema_is_open(&s) && np_sema_try(&s) == NP_OK && np_sema_try(&s) == NP_OK);
    np_sema_reset(&s);
    CHECK(!np_sema_is_open(&s) && np_sema_try(&s) == NP_AGAIN);
}

static void no_more_than_a_limit_is_released(void)
{
    np_poller *p = new_poller();
    np_token token;
    np_waiter w;
    np_sema s;

    np_sema_init(&s, 1);
    CHECK(np_sema_release_within(&s, 1, 1) == NP_AGAIN && np_sema_count(&s) == 1);
    CHECK(np_sema_release_within(&s, 2, 3) == NP_OK && np_sema_count(&s) == 3);
    CHECK(np_sema_release_within(&s, UINT32_MAX, 3) == NP_AGAIN && np_sema_count(&s) == 3);
    np_sema_init(&s, 0);
    CHECK(np_sema_park(&s, &w, p, 5, NP_NEVER, "test") == NP_PARKED);
    CHECK(np_sema_release_within(&s, 2, 1) == NP_AGAIN);
    CHECK(np_sema_release_within(&s, 1, 1) == NP_OK && np_sema_count(&s) == 0);
    CHECK(pop(p, 0, &token) == 1 && np_waiter_resume(&w) == NP_OK);
    np_poller_unref(p);
}

static void tokens_are_served_in_the_order_of_coming(void)
{
    np_poller *p = new_poller();
    np_sema s = {0};
    np_waiter w[3];
    np_token token = 0;

    for (int i = 0; i < 3; i++)
        CHECK(np_sema_park(&s, &w[i], p, (np_token)i + 1, NP_NEVER, "test") == NP_PARKED);
    np_sema_release(&s, 2);
    CHECK(pop(p, -1, &token) == 1 && token == 1);
    CHECK(np_waiter_resume(&w[0]) == NP_OK);
    CHECK(pop(p, -1, &token) == 1 && token == 2);
    CHECK(np_waiter_resume(&w[1]) == NP_OK);
    CHECK(np_sema_try(&s) == NP_AGAIN);
    int result = 0;
    CHECK(np_waiter_cancel(&w[2], &result) == 1 && result == NP_AGAIN);
    np_sema_release(&s, 1);
    CHECK(np_sema_try(&s) == NP_OK);
    np_poller_unref(p);
}

static void a_waiter_is_parked_until_its_token_is_out(void)
{
    np_poller *p = new_poller();
    np_sema s = {0};
    np_waiter w = {{0}};
    np_token token = 0;
    int result = 0;

    CHECK(!np_waiter_parked(&w) && np_waiter_cancel(&w, &result) == 0 && result == NP_AGAIN);
    CHECK(np_sema_park(&s, &w, p, 5, NP_NEVER, "test") == NP_PARKED);
    CHECK(np_waiter_parked(&w) && np_waiter_resume(&w) == NP_AGAIN);
    np_sema_release(&s, 1); /* granted, but not polled out */
    CHECK(np_waiter_parked(&w) && np_waiter_resume(&w) == NP_AGAIN);
    CHECK(pop(p, -1, &token) == 1 && token == 5);
    CHECK(!np_waiter_parked(&w) && np_waiter_resume(&w) == NP_OK);
    CHECK(np_sema_park(&s, &w, p, 6, NP_NEVER, "test") == NP_PARKED);
    np_sema_release(&s, 1);
    CHECK(np_waiter_cancel(&w, &result) == 1 && result == NP_OK && !np_waiter_parked(&w));
    CHECK(pop(p, 0, &token) == 0 && np_sema_try(&s) == NP_AGAIN);
    np_poller_unref(p);
}

static void an_instant_ends_a_wait(void)
{
    np_poller *p = new_poller();
    np_sema s = {0};
    np_waiter w, t;
    np_token token = 0;

    CHECK(np_sema_park(&s, &w, p, 7, np_now() + 5 * MS, "test") == NP_PARKED);
    CHECK(np_timer_start(&t, p, 8, np_now() + 50 * MS, "sleep") == NP_PARKED);
    while (pop(p, -1, &token) == 0) {
    }
    CHECK(token == 7 && np_waiter_resume(&w) == NP_TIMEOUT);
    CHECK(np_timer_move(&t, np_now() + MS) == 1);
    while (pop(p, -1, &token) == 0) {
    }
    CHECK(token == 8 && np_waiter_resume(&t) == NP_OK);
    CHECK(np_timer_move(&t, np_now()) == 0);
    np_poller_unref(p);
}

static void what_has_passed_is_due(void)
{
    static const int64_t instants[] = {-NP_NEVER - 1, -5, 0, 1};
    np_poller *p = new_poller();
    np_waiter t;
    np_token token = 0;

    for (int i = 0; i < 4; i++) {
        CHECK(np_timer_start(&t, p, 3, instants[i], "sleep") == NP_PARKED);
        CHECK(np_next_deadline(p) == 0);
        CHECK(pop(p, 0, &token) == 1 && np_waiter_resume(&t) == NP_OK);
        CHECK(np_timer_start(&t, p, 3, NP_NEVER, "sleep") == NP_PARKED);
        CHECK(np_next_deadline(p) == -1 && pop(p, 0, &token) == 0);
        CHECK(np_timer_move(&t, instants[i]) == 1);
        CHECK(np_timer_move(&t, instants[3 - i]) == 1);
        CHECK(pop(p, 0, &token) == 1 && np_waiter_resume(&t) == NP_OK);
    }
    np_sema s = {0};
    CHECK(np_sema_park(&s, &t, p, 3, 0, "test") == NP_TIMEOUT);
    CHECK(np_sema_acquire(&s, -1, "test", NULL) == NP_TIMEOUT);
    np_poller_unref(p);
}

static void a_cancel_after_opening_brings_no_unit(void)
{
    np_poller *p = new_poller();
    np_sema s = {0};
    np_waiter w;
    int result = NP_OK;

    CHECK(np_sema_park(&s, &w, p, 4, NP_NEVER, "event") == NP_PARKED);
    np_sema_open(&s);
    np_sema_reset(&s);
    CHECK(np_waiter_cancel(&w, &result) == 1 && result == NP_AGAIN);
    CHECK(np_sema_count(&s) == 0);
    np_poller_unref(p);
}

static void closing_the_poller_ends_waits(void)
{
    np_poller *p = new_poller();
    np_sema s = {0};
    np_waiter w, t;
    np_token tokens[4];

    CHECK(np_sema_park(&s, &w, p, 1, NP_NEVER, "test") == NP_PARKED);
    CHECK(np_timer_start(&t, p, 2, np_now() + 1000 * MS, "sleep") == NP_PARKED);
    np_poller_close(p);
    CHECK(np_take_ready(p, tokens, 4) == 2);
    CHECK(np_waiter_resume(&w) == NP_CLOSED);
    CHECK(np_waiter_resume(&t) == NP_CLOSED);
    CHECK(np_timer_start(&t, p, 2, np_now(), "sleep") == NP_CLOSED);
    np_poller_unref(p);
}

static void a_cancel_says_what_came(void)
{
    np_poller *p = new_poller();
    np_sema s = {0};
    np_waiter w;
    np_token token = 0;
    int rc = -1;

    CHECK(np_sema_park(&s, &w, p, 1, NP_NEVER, "test") == NP_PARKED);
    CHECK(np_waiter_cancel(&w, &rc) == 1 && rc == NP_AGAIN);
    CHECK(np_waiter_cancel(&w, &rc) == 0 && rc == NP_AGAIN);

    CHECK(np_sema_park(&s, &w, p, 1, NP_NEVER, "test") == NP_PARKED);
    np_sema_release(&s, 1);
    CHECK(np_waiter_cancel(&w, &rc) == 1 && rc == NP_OK);
    CHECK(np_waiter_cancel(&w, &rc) == 0 && pop(p, 0, &token) == 0);

    CHECK(np_sema_park(&s, &w, p, 1, NP_NEVER, "test") == NP_PARKED);
    np_sema_release(&s, 1);
    CHECK(pop(p, 0, &token) == 1);
    CHECK(np_waiter_cancel(&w, &rc) == 0 && rc == NP_OK);

    CHECK(np_timer_start(&w, p, 1, 0, "test") == NP_PARKED);
    CHECK(pop(p, 0, &token) == 1);
    CHECK(np_waiter_cancel(&w, &rc) == 0 && rc == NP_OK);
    CHECK(np_sema_count(&s) == 0);
    np_poller_unref(p);
}

/* --- many timers ------------------------------------------------------------------------------ */

/* The sanitizers' runs have less memory to spare. */
static int how_many(void)
{
    return getenv("RACE_MS") ? 100 * 1000 : 1000 * 1000;
}

static np_timer_entry *copy_of_heap(const np_poller *p)
{
    size_t size = p->heap.count * sizeof(np_timer_entry);
    np_timer_entry *copy = malloc(size);
    CHECK(copy != NULL);
    memcpy(copy, p->heap.entries, size);
    return copy;
}

/* Each comes out once, when all before it are out. */
static void take_in_order(np_poller *p, np_waiter *w, const int64_t *when, int n)
{
    enum { BATCH = 1000 };
    np_token tokens[BATCH];
    int64_t last = 0;
    int got = 0, bad = 0;

    for (int left = n; left > 0; left -= got) {
        CHECK(np_poll(p, -1, tokens, BATCH, &got) == NP_OK);
        for (int i = 0; i < got; i++) {
            bad += np_waiter_resume(&w[tokens[i]]) != NP_OK || when[tokens[i]] < last;
            last = when[tokens[i]];
        }
    }
    CHECK(bad == 0);
}

static void moving_a_million_timers_later_costs_no_heap_work(void)
{
    const int n = how_many();
    np_poller *p = new_poller();
    np_waiter *w = calloc((size_t)n, sizeof *w);
    int64_t *when = calloc((size_t)n, sizeof *when), now = np_now();
    np_stats stats;
    int bad = 0;

    CHECK(w && when);
    for (int i = 0; i < n; i++) /* far, and in no order */
        bad += np_timer_start(&w[i], p, (np_token)i, now + 3600000LL * MS + i * 7919LL % n,
                              "test") != NP_PARKED;
    np_timer_entry *before = copy_of_heap(p);
    for (int times = 1; times <= 3; times++)
        for (int i = 0; i < n; i++)
            bad += np_timer_move(&w[i], now + 7200000LL * MS * times + n - i) != 1;
    CHECK(p->heap.count == (uint32_t)n);
    CHECK(memcmp(before, p->heap.entries, (size_t)n * sizeof *before) == 0);
    free(before);

    for (int i = 0; i < n; i++) { /* each has passed, in another order */
        when[i] = now - n + i * 104729LL % n;
        bad += np_timer_move(&w[i], when[i]) != 1;
    }
    CHECK(bad == 0 && p->heap.count == (uint32_t)n);
    take_in_order(p, w, when, n);
    np_poller_stats(p, &stats);
    CHECK(stats.waiters == 0 && stats.timers_fired == (uint64_t)n && p->heap.count == 0);
    np_poller_unref(p);
    free(when);
    free(w);
}

/* The heap is full, and a timer that had no instant comes into it. */
static void a_timer_moved_from_never_finds_room(void)
{
    enum { MOST = 1024 };
    np_poller *p = new_poller();
    np_waiter *w = calloc(MOST + 1, sizeof *w);
    np_token token = 0;
    int n = 0, result;

    CHECK(w != NULL);
    CHECK(np_timer_start(&w[MOST], p, 1, NP_NEVER, "test") == NP_PARKED);
    do
        CHECK(np_timer_start(&w[n], p, 2, np_now() + 3600000LL * MS, "test") == NP_PARKED);
    while (++n < MOST && p->heap.count < p->heap.capacity);
    CHECK(n < MOST);
    CHECK(np_timer_move(&w[MOST], 1) == 1);
    CHECK(p->heap.count == (uint32_t)n + 1 && p->heap.count <= p->heap.capacity);
    CHECK(pop(p, 0, &token) == 1 && token == 1);
    while (n > 0)
        CHECK(np_waiter_cancel(&w[--n], &result) == 1);
    np_poller_unref(p);
    free(w);
}

/* What takes the place of one that is gone may belong further up or down. */
static void timers_taken_from_the_middle_leave_the_others_in_order(void)
{
    enum { N = 5000 };
    np_poller *p = new_poller();
    np_waiter *w = calloc(N, sizeof *w);
    int64_t when[N], now = np_now();
    int rc = -1, bad = 0;

    CHECK(w != NULL);
    for (int i = 0; i < N; i++) {
        when[i] = now - N + i * 7919LL % N;
        bad += np_timer_start(&w[i], p, (np_token)i, when[i], "test") != NP_PARKED;
    }
    for (int i = 0; i < N; i += 3)
        bad += np_waiter_cancel(&w[i], &rc) != 1 || rc != NP_AGAIN;
    CHECK(bad == 0);
    take_in_order(p, w, when, N - (N + 2) / 3);
    np_poller_unref(p);
    free(w);
}

/* A heap has an entry a timer that waits, and forgets it with the timer. */
static void timers_leave_nothing_behind(void)
{
    np_poller *p = new_poller();
    np_sema s = {0};
    np_waiter w;
    np_token token = 0;
    int rc = -1, bad = 0;

    for (int i = 0; i < 1000; i++) {
        bad += np_timer_start(&w, p, 1, np_now() + 3600000LL * MS, "test") != NP_PARKED;
        for (int k = 0; k < 100; k++)
            bad += np_timer_move(&w, k % 2 ? NP_NEVER : np_now() + k * MS) != 1;
        bad += p->heap.count > 1;
        bad += np_waiter_cancel(&w, &rc) != 1 || p->heap.count != 0;
        bad += np_sema_park(&s, &w, p, 1, np_now() + 3600000LL * MS, "test") != NP_PARKED;
        np_sema_release(&s, 1);
        bad += p->heap.count != 0;
        bad += pop(p, 0, &token) != 1 || np_waiter_resume(&w) != NP_OK;
    }
    CHECK(bad == 0 && p->heap.capacity <= 64);
    np_poller_unref(p);
}

int main(void)
{
    RUN(units_are_taken_and_remembered);
    RUN(no_more_than_a_limit_is_released);
    RUN(tokens_are_served_in_the_order_of_coming);
    RUN(a_waiter_is_parked_until_its_token_is_out);
    RUN(an_instant_ends_a_wait);
    RUN(what_has_passed_is_due);
    RUN(a_cancel_after_opening_brings_no_unit);
    RUN(closing_the_poller_ends_waits);
    RUN(a_cancel_says_what_came);
    RUN(a_timer_moved_from_never_finds_room);
    RUN(moving_a_million_timers_later_costs_no_heap_work);
    RUN(timers_taken_from_the_middle_leave_the_others_in_order);
    RUN(timers_leave_nothing_behind);
    DONE();
}
