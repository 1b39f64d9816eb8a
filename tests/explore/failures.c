/* Scenarios of system calls that fail: each of those that need memory or a descriptor may, once or
 * twice in an execution, so the search finds the n-th call for every n.  tests/faults does it to
 * the real kernel; here are also kqueue, and a child that opens files under the numbers that its
 * parent's poller had.
 */
#include <errno.h>

#include "core/internal.h"
#include "explore.h"
#include "kernel.h"
#include "stage.h"

/* What failed once is done when it is asked for again. */
#define AGAIN_IF_IT_FAILS(call)                                                                    \
    do {                                                                                           \
        int tries_ = 0, rc_;                                                                       \
        while ((rc_ = (call)) != NP_OK) {                                                          \
            EXPECT(rc_ == -EMFILE || rc_ == -ENOMEM || rc_ == NP_INTERRUPTED);                     \
            EXPECT(++tries_ <= MOST);                                                              \
        }                                                                                          \
    } while (0)

enum { MOST = 2, STRANGERS = 4 };

static int strangers[STRANGERS];

static void one_plain(void)
{
    with(1);
}

static void nested_with_a_token(void)
{
    np_fd outer;
    with(2);
    EXPECT(np_park(d[0], NP_READ, 7, 0) == NP_PARKED);
    EXPECT(np_poller_fileno(p, &outer) == NP_OK);
}

/* A whole life of a poller. */
static void lives(void)
{
    np_poller *mine = NULL;
    np_desc *desc = NULL;
    np_fd outer;
    np_token out[4];
    int n, socket = k_socket();

    k_allow_failures(1);
    AGAIN_IF_IT_FAILS(np_poller_new(ex_backend, &mine));
    AGAIN_IF_IT_FAILS(np_open(mine, socket, &desc));
    EXPECT(desc->index == 0); /* the slot that the first try had */
    AGAIN_IF_IT_FAILS(np_set_deadline(desc, FAR, NP_READ));
    k_send(socket);
    AGAIN_IF_IT_FAILS(np_wait(desc, NP_READ));
    EXPECT(k_recv(socket));
    AGAIN_IF_IT_FAILS(np_poller_fileno(mine, &outer));
    np_wake(mine);
    AGAIN_IF_IT_FAILS(np_poll(mine, -1, out, 4, &n));
    np_close(desc);
    np_desc_unref(desc);
    np_poller_unref(mine);
    end_with(NP_OK);
}

/* Whatever numbers the child has free are other files' now. */
static void open_strangers(void)
{
    for (int i = 0; i < STRANGERS; i++)
        strangers[i] = k_socket();
}

static void strangers_are_untouched(void)
{
    for (int i = 0; i < STRANGERS; i++) {
        k_send(strangers[i]);
        EXPECT(k_recv(strangers[i]) && !k_recv(strangers[i]));
    }
}

static void forks_and_renews(void)
{
    np_token out[4];
    int n = 0;

    fork_child();
    open_strangers();
    k_allow_failures(MOST);
    AGAIN_IF_IT_FAILS(np_poll(p, 0, out, 4, &n));
    np_unblock(d[0]); /* work for the loop outside */
    while (n == 0)
        AGAIN_IF_IT_FAILS(np_poll(p, 0, out, 4, &n));
    EXPECT(n == 1 && out[0] == 7);
    k_send(fd[1]);
    AGAIN_IF_IT_FAILS(np_wait(d[1], NP_READ));
    strangers_are_untouched();
    end_with(NP_OK);
}

static void forks_tries_and_closes(void)
{
    np_token out[4];
    int n = 0;

    fork_child();
    open_strangers();
    k_allow_failures(1);
    end_with(np_poll(p, 0, out, 4, &n));
    np_poller_close(p);
    EXPECT(np_take_ready(p, out, 4) == 1);
    strangers_are_untouched();
}

static void done(void)
{
    EXPECT(result[0] == NP_OK);
    finish();
}

static void done_or_failed(void)
{
    EXPECT(result[0] == NP_OK || result[0] == NP_INTERRUPTED || result[0] == -EMFILE ||
           result[0] == -ENOMEM);
    finish();
}

const scenario failing_scenarios[] = {
    {"a_call_that_fails_leaves_nothing",
     "and is made again when it is asked for again",
     one_plain,
     {WHO("user", lives)},
     done,
     NESTS},
    {"a_child_renews_where_calls_fail",
     "in the end it has all that it had, and touches no stranger",
     nested_with_a_token,
     {WHO("forker", forks_and_renews)},
     done,
     NESTS | FORKS},
    {"a_child_closes_what_it_could_not_renew",
     "and no stranger",
     nested_with_a_token,
     {WHO("forker", forks_tries_and_closes)},
     done_or_failed,
     NESTS | FORKS},
    {.name = NULL},
};
