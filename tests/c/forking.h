/* What a forked child finds.  It ends by SIGKILL, so that no leak checker takes what its parent's
 * threads own for lost. */
#ifndef FORKING_H
#define FORKING_H

#include <signal.h>
#include <stdbool.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

/* True if no CHECK of body failed in the child. */
static inline bool holds_in_a_child(void (*body)(void *), void *arg)
{
    int ends[2], status = 0;
    char good = 0;

    fflush(stdout);
    if (pipe(ends) != 0)
        return false;
    pid_t child = fork();
    if (child == 0) {
        check_failures = 0;
        body(arg);
        good = check_failures == 0;
        if (write(ends[1], &good, 1) == 1)
            raise(SIGKILL);
        _exit(EXIT_FAILURE);
    }
    close(ends[1]);
    bool sent = child > 0 && read(ends[0], &good, 1) == 1;
    close(ends[0]);
    return child > 0 && waitpid(child, &status, 0) == child && WIFSIGNALED(status) && sent && good;
}

#endif
