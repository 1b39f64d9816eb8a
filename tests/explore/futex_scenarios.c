/* Scenarios of parking alone: csrc/posix/futex.c on a futex and on condition variables,
 * csrc/win32/futex_win32.c. The words are in one bucket, and sleeps may end for no reason.
 */
#include <errno.h>

#include "explore.h"
#include "stage.h"

void k_ctrl_c(void); /* iocp.h, which declares Windows */

enum { MS = 1000000 };

static _Alignas(16) np_atomic32 words[2];
static np_atomic32 noted; /* the host's handler has been called */
static bool again, forked, ready, handled;
static int64_t start, ended;

static void two_words(void)
{
    with(0);
    words[0].value = words[1].value = noted.value = 0;
    again = forked = ready = handled = false;
    start = ex_clock();
    ex_allow_spurious(1);
}

static void two_words_and_a_handler(void)
{
    two_words();
    ex_has_handler("sleeper");
}

static void sleep_on(int i)
{
    while (np_load(&words[i]) == 0)
        np_futex_wait(&words[i], 0, -1);
}

static void wake(int i)
{
    np_store(&words[i], 1);
    np_futex_wake(&words[i]);
}

static void sleeps_on_0(void)
{
    sleep_on(0);
}
static void sleeps_on_1(void)
{
    sleep_on(1);
}
static void sleeps_on_0_then_wakes_1(void)
{
    sleep_on(0);
    wake(1);
}
static void wakes_0(void)
{
    wake(0);
}
static void wakes_1(void)
{
    wake(1);
}

/* As a thread whose record is on its stack: the word goes as soon as it has changed. */
static void sleeps_on_its_stack(np_atomic32 **where, bool *there)
{
    np_atomic32 word = {0};
    *where = &word;
    ex_set(there);
    while (np_load(&word) == 0)
        np_futex_wait(&word, 0, -1);
}

static np_atomic32 *shown;

static void sleeps_twice(void)
{
    sleeps_on_its_stack(&shown, &ready);
    sleeps_on_its_stack(&shown, &again);
}

static void wakes_the_first_sleep(void)
{
    ex_await(&ready);
    np_atomic32 *word = shown;
    np_store(word, 1);
    np_futex_wake(word);
}

static void wakes_the_second_sleep(void)
{
    ex_await(&again);
    np_store(shown, 1);
    np_futex_wake(shown);
}

static void sleeps_for_5_ms(void)
{
    end_with(np_futex_wait(&words[0], 0, 5 * MS));
    ended = ex_clock();
}

static void in_time(void)
{
    EXPECT(result[0] == -EINTR);
    /* Woken for no reason, or for its neighbour's, it begins anew. */
    EXPECT(ended >= start + 5 * MS && ended <= start + 15 * MS);
    finish();
}

static void sleeps_and_handles(void)
{
    while (np_load(&words[0]) == 0) {
        if (ex_check_signals())
            ex_set(&handled);
        np_futex_wait(&words[0], 0, -1);
    }
    ended = ex_clock();
}

static void signals_sleeper(void)
{
    ex_signal_noted("sleeper");
}

static void wakes_0_once_handled(void)
{
    ex_await(&handled);
    wake(0);
}

static void soon(void)
{
    EXPECT(ended <= start + 20 * MS);
    finish();
}

static void sleeps_in_the_child(void)
{
    ex_set(&ready);
    ex_await(&forked); /* the child starts it */
    sleep_on(1);
}

static void forks_and_wakes_1(void)
{
    ex_await(&ready);
    fork_child();
    ex_set(&forked);
    wake(1);
}

static void sleeps_until_noted(void)
{
    while (np_load(&noted) == 0)
        np_futex_wait(&words[0], 0, -1);
}

/* The host's handler comes last. */
static void console(void)
{
    k_ctrl_c();
    np_store(&noted, 1);
}

const scenario futex_scenarios[] = {
    {"a_wake_is_not_lost",
     "however late the sleeper looked",
     two_words,
     {WHO("sleeper", sleeps_on_0), WHO("waker", wakes_0)},
     finish,
     PARKS},
    {"two_sleepers_in_one_bucket",
     "each is woken",
     two_words,
     {WHO("sleeper", sleeps_on_0), WHO("sleeper 2", sleeps_on_1), WHO("waker", wakes_0),
      WHO("waker 2", wakes_1)},
     finish,
     PARKS},
    {"a_sleeper_wakes_its_neighbour",
     "whoever came first",
     two_words,
     {WHO("sleeper", sleeps_on_0_then_wakes_1), WHO("sleeper 2", sleeps_on_1),
      WHO("waker", wakes_0)},
     finish,
     PARKS},
    {"a_wake_may_come_late",
     "when its sleeper is asleep for something else",
     two_words,
     {WHO("sleeper", sleeps_twice), WHO("waker", wakes_the_first_sleep),
      WHO("waker 2", wakes_the_second_sleep)},
     finish,
     PARKS},
    {"a_sleep_ends_in_time",
     "never early, and not because of its neighbour",
     two_words,
     {WHO("sleeper", sleeps_for_5_ms), WHO("waker", wakes_1)},
     in_time,
     PARKS},
    {"a_signal_behind_a_condition",
     "is looked for every now and then",
     two_words_and_a_handler,
     {WHO("sleeper", sleeps_and_handles), WHO("signal", signals_sleeper),
      WHO("last", wakes_0_once_handled)},
     soon,
     PARKS | BY_CONDITION | SIGNALS},
    {"a_child_parks",
     "wherever its parent's threads were",
     two_words,
     {WHO("sleeper", sleeps_on_0), WHO("thread", sleeps_in_the_child),
      WHO("forker", forks_and_wakes_1)},
     finish,
     PARKS | FORKS},
    {"ctrl_c_ends_a_park",
     "also one that begins before the host's handler has run",
     two_words,
     {WHO("sleeper", sleeps_until_noted), WHO("console", console)},
     finish,
     IOCP_ONLY},
    {.name = NULL},
};
