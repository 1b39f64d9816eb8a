/* csrc/fork.c with its statics in reach: an execution that was given up may have left them in any
 * state, and a scenario wants to fork. */
#include "fork.c"

#include "explore.h"

void fork_reset(void)
{
    np_mutex_init(&registry_lock);
    np_list_init(&registry);
}

/* The calling actor forks, and what follows is the child: nobody else is there. */
void fork_child(void)
{
    before_fork();
    ex_become_only_actor();
    kernel_fork();
    after_fork_in_child();
}
