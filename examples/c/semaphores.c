/* A queue of jobs and two workers, in C: one is a thread, the other a task of an event loop.
 *
 *     ./semaphores
 */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>

#include "netpoll.h"

enum { JOBS = 20 };

static np_sema jobs; /* a unit for each job that is not taken yet */
static np_poller *poller;

/* A timer of the loop brings the jobs, one a millisecond. */
static np_waiter timer;
static int brought;

static void bring_job(void)
{
    np_waiter_resume(&timer);
    np_sema_release(&jobs, 1);
    if (++brought < JOBS)
        np_timer_start(&timer, poller, (np_token)&timer, np_now() + NP_MILLISECOND, "next job");
}

/* The thread: it waits by itself. */
static void *work(void *unused)
{
    intptr_t done = 0;
    int rc;
    (void)unused;
    while ((rc = np_sema_acquire(&jobs, NP_NEVER, "jobs", NULL)) != NP_CLOSED)
        done += rc == NP_OK; /* else a signal has come */
    return (void *)done;
}

/* The loop: whatever else it has to do, until the token of the waiter is out. */
static void run_until_out(const np_waiter *waiter)
{
    np_token token;
    int n;
    while (np_waiter_parked(waiter))
        if (np_poll(poller, -1, &token, 1, &n) == NP_OK && n > 0 && token == (np_token)&timer)
            bring_job();
}

/* The task: a token of its own waits for it, and for half a second at most. */
static int take_job(void)
{
    np_waiter waiter;
    int64_t until = np_now() + 500 * NP_MILLISECOND;
    int rc = np_sema_park(&jobs, &waiter, poller, (np_token)&waiter, until, "jobs");
    if (rc == NP_PARKED) {
        run_until_out(&waiter);
        rc = np_waiter_resume(&waiter);
    }
    return rc; /* NP_OK: the job is ours; NP_TIMEOUT; NP_CLOSED */
}

int main(void)
{
    pthread_t thread;
    void *others = NULL;
    int mine = 0, rc;

    if (np_poller_new(NULL, &poller) != NP_OK || pthread_create(&thread, NULL, work, NULL) != 0 ||
        np_timer_start(&timer, poller, (np_token)&timer, np_now(), "next job") != NP_PARKED)
        return 1;
    while ((rc = take_job()) == NP_OK)
        mine++;
    printf("%s\n", rc == NP_TIMEOUT ? "no more jobs in time" : "error");

    np_sema_shut(&jobs); /* present and later waits end with NP_CLOSED */
    printf("%s\n", take_job() == NP_CLOSED ? "the queue is shut" : "error");
    pthread_join(thread, &others);
    printf("%d jobs done\n", mine + (int)(intptr_t)others);
    np_poller_unref(poller);
    return 0;
}
