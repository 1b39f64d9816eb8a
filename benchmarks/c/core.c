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

/* Not measured but known. */
static void size(char **args)
{
    (void)args;
    printf("{\"bytes\": %u}\n", (unsigned)np_desc_size());
}

/* --- reset and wait when ready ------------------------------------------------------------------
 */

static void ready_setup(char **args)
{
    new_poller();
    operations = count = atoi(args[0]);
    ends = connected_pairs(count, "unix");
    descs = allocate((size_t)count, sizeof *descs);
    for (int i = 0; i < count; i++)
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
    return end - collected + reset - start;
}

static double ready_run(int times)
{
    double elapsed = 0;
    while (times-- > 0)
        elapsed += ready_round();
    return elapsed;
}

/* --- deadlines ----------------------------------------------------------------------------------
 */

/* From this number on there are as many descriptors as one likes: see imaginary.c. */
enum { IMAGINARY = 1 << 24 };

static void deadlines_setup(char **args)
{
    new_poller();
    count = atoi(args[0]);
    descs = allocate((size_t)count, sizeof *descs);
    for (int i = 0; i < count; i++) {
        int64_t deadline = 3600 * SECOND + i * (SECOND / 1000);
        CHECK(np_open(poller, IMAGINARY + i, &descs[i]) == NP_OK);
        CHECK(np_set_deadline(descs[i], deadline, NP_READ) == NP_OK);
    }
}

enum { MOVES = 1000, MOVES_OF_ALL = 1000000, CALLS = 1000 };

static void move_one_setup(char **args)
{
    deadlines_setup(args);
    operations = MOVES;
}

static double move_one_run(int times)
{
    np_desc *one = descs[count / 2];
    double start = seconds();
    for (int i = 0; i < times * MOVES; i++)
        CHECK(np_set_deadline(one, 7200 * SECOND, NP_READ) == NP_OK);
    return seconds() - start;
}

static void move_each_setup(char **args)
{
    deadlines_setup(args);
    operations = MOVES_OF_ALL;
}

static double move_each_run(int times)
{
    double start = seconds();
    for (int i = 0, next = 0; i < times * MOVES_OF_ALL; i++) {
        CHECK(np_set_deadline(descs[next], 7200 * SECOND, NP_READ) == NP_OK);
        if (++next == count)
            next = 0;
    }
    return seconds() - start;
}

/* --- open and close -----------------------------------------------------------------------------
 */

static void open_close_setup(char **args)
{
    (void)args;
    new_poller();
    operations = CALLS;
    ends = connected_pairs(1, "unix");
}

static double open_close_run(int times)
{
    double start = seconds();
    for (int i = 0; i < times * CALLS; i++) {
        np_desc *desc;
        CHECK(np_open(poller, ends[0], &desc) == NP_OK);
        CHECK(np_close(desc) == NP_OK);
        np_desc_unref(desc);
    }
    return seconds() - start;
}

/* --- ping-pong of tokens ------------------------------------------------------------------------
 */

static int *trips_left; /* by end */

static void ping_pong_setup(char **args)
{
    new_poller();
    operations = atoi(args[0]);
    count = 2 * operations;
    ends = connected_pairs(operations, "unix");
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

static double ping_pong_run(int trips)
{
    enum { BATCH = 64 };
    np_token tokens[BATCH];
    int n, playing = count;
    for (int i = 0; i < count; i++) {
        trips_left[i] = trips;
        play(i);
    }
    for (int i = 1; i < count; i += 2)
        put_byte(ends[i]);
    double start = seconds(); /* after the bytes are let in, as in pairs.py */
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
        CHECK(take_byte(ends[i]) && !take_byte(ends[i]));
    return elapsed;
}

int main(int argc, char **argv)
{
    static const workload workloads[] = {
        {"size", size, NULL},
        {"ready", ready_setup, ready_run},
        {"move_one", move_one_setup, move_one_run},
        {"move_each", move_each_setup, move_each_run},
        {"open_close", open_close_setup, open_close_run},
        {"ping_pong", ping_pong_setup, ping_pong_run},
        {NULL, NULL, NULL},
    };
    return serve(argc, argv, workloads);
}
