/* csrc/core/fork.c with its statics in reach: an execution that was given up may have left them in
 * any state, and a scenario wants to fork. */
#include "core/fork.c"

#include "explore.h"

/* In place of timedlock.c's: nobody here gives up a lock that he waits for. */
bool np_mutex_timedlock(np_mutex *lock, int64_t timeout_ns)
{
    (void)timeout_ns;
    np_mutex_lock(lock);
    return true;
}

void fork_reset(void)
{
    np_mutex_init(&registry_lock);
    np_list_init(&registry);
    np_list_init(&fd_waiters);
    hooks = NULL;
}

/* The calling actor forks, and what follows is the child: nobody else is there. */
void fork_child(void)
{
    before_fork();
    ex_become_only_actor();
    kernel_fork();
    after_fork_in_child();
    futex_fork();
}
