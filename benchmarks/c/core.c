/* The C core on its own. */
#include "rounds.h"

#include "netpoll.h"

#include <stdint.h>

static const int64_t SECOND = 1000000000;

static np_poller *poller;
static np_desc **descs;
static int *ends;
static int count;

static void new_poller(void)
{
    CHECK(np_poller_new(NULL, &poller) == NP_OK);
}

static double size(void)
{
    return np_desc_size();
}

/* --- reset and wait when ready ------------------------------------------------------------------
 */

static void ready_setup(int pairs)
{
    new_poller();
    count = pairs;
    ends = connected_pairs(pairs);
    descs = allocate((size_t)pairs, sizeof *descs);
    for (int i = 0; i < pairs; i++)
        CHECK(np_open(poller, ends[2 * i], &descs[i]) == NP_OK);
}

static double ready_round(void)
{
    np_token none[1];
    int n;
    for (int i = 0; i < count; i++)
        put_byte(ends[2 * i + 1]);
    double start = seconds();
    for (int i = 0; i < count; i++)
        CHECK(np_reset(descs[i], NP_READ) == NP_OK);
    double reset = seconds();
    for (int i = 0; i < count; i++) /* whatever its batches, this collects everything */
        CHECK(np_poll(poller, 0, none, 1, &n) == NP_OK);
    double collected = seconds();
    for (int i = 0; i < count; i++)
        CHECK(np_wait(descs[i], NP_READ) == NP_OK);
    double end = seconds();
    for (int i = 0; i < count; i++)
        take_byte(ends[2 * i]);
    return (end - collected + reset - start) / count;
}

/* --- deadlines ----------------------------------------------------------------------------------
 */

/* From this number on there are as many descriptors as one likes: see imaginary.c. */
enum { IMAGINARY = 1 << 24 };

static void deadlines_setup(int live)
{
    new_poller();
    count = live;
    descs = allocate((size_t)live, sizeof *descs);
    for (int i = 0; i < live; i++) {
        int64_t deadline = 3600 * SECOND + i * (SECOND / 1000);
        CHECK(np_open(poller, IMAGINARY + i, &descs[i]) == NP_OK);
        CHECK(np_set_deadline(descs[i], deadline, NP_READ) == NP_OK);
    }
}

static double move_one_round(void)
{
    enum { CALLS = 1000000 };
    np_desc *one = descs[count / 2];
    double start = seconds();
    for (int i = 0; i < CALLS; i++)
        CHECK(np_set_deadline(one, 7200 * SECOND, NP_READ) == NP_OK);
    return (seconds() - start) / CALLS;
}

static double move_each_round(void)
{
    enum { CALLS = 1000000 };
    double start = seconds();
    for (int i = 0, next = 0; i < CALLS; i++) {
        CHECK(np_set_deadline(descs[next], 7200 * SECOND, NP_READ) == NP_OK);
        if (++next == count)
            next = 0;
    }
    return (seconds() - start) / CALLS;
}

/* --- open and close -----------------------------------------------------------------------------
 */

static void open_close_setup(int pairs)
{
    new_poller();
    ends = connected_pairs(pairs);
}

static double open_close_round(void)
{
    enum { CALLS = 100000 };
    double start = seconds();
    for (int i = 0; i < CALLS; i++) {
        np_desc *desc;
        CHECK(np_open(poller, ends[0], &desc) == NP_OK);
        CHECK(np_close(desc) == NP_OK);
        np_desc_unref(desc);
    }
    return (seconds() - start) / CALLS;
}

/* --- ping-pong of tokens ------------------------------------------------------------------------
 */

static int *trips_left; /* by end */

static void ping_pong_setup(int pairs)
{
    new_poller();
    count = 2 * pairs;
    ends = connected_pairs(pairs);
    descs = allocate((size_t)count, sizeof *descs);
    trips_left = allocate((size_t)count, sizeof *trips_left);
    for (int i = 0; i < count; i++)
        CHECK(np_open(poller, ends[i], &descs[i]) == NP_OK);
}

/* Bounce the byte until the end would block; park it there.  True: it has done its trips. */
static int play(int end)
{
    for (;;) {
        CHECK(np_reset(descs[end], NP_READ) == NP_OK);
        while (take_byte(ends[end])) {
            put_byte(ends[end]);
            if (--trips_left[end] == 0)
                return 1;
        }
        int result = np_park(descs[end], NP_READ, (np_token)end, 0);
        if (result == NP_PARKED)
            return 0;
        CHECK(result == NP_OK);
    }
}

static double ping_pong_round(void)
{
    enum { TRIPS = 100000, BATCH = 64 };
    np_token tokens[BATCH];
    int n, playing = count, trips = TRIPS / (count / 2);
    for (int i = 0; i < count; i++) {
        trips_left[i] = trips;
        play(i);
    }
    double start = seconds();
    for (int i = 1; i < count; i += 2)
        put_byte(ends[i]);
    while (playing > 0) {
        CHECK(np_poll(poller, -1, tokens, BATCH, &n) == NP_OK);
        for (int i = 0; i < n; i++) {
            int end = (int)tokens[i];
            CHECK(np_resume(descs[end], NP_READ, 0) == NP_OK);
            playing -= play(end);
        }
    }
    double elapsed = seconds() - start;
    for (int i = 0; i < count; i += 2)
        take_byte(ends[i]);
    return elapsed / ((double)trips * count / 2);
}

int main(int argc, char **argv)
{
    static const workload workloads[] = {
        {"size", NULL, size},
        {"ready", ready_setup, ready_round},
        {"move_one", deadlines_setup, move_one_round},
        {"move_each", deadlines_setup, move_each_round},
        {"open_close", open_close_setup, open_close_round},
        {"ping_pong", ping_pong_setup, ping_pong_round},
        {NULL, NULL, NULL},
    };
    return serve(argc, argv, workloads);
}
