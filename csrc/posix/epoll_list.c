/* What an epoll has, as /proc tells it; no system call does. */
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>

#include "posix/epollfd.h"

int np_epoll_lists(int epfd, int fd, uint64_t tag)
{
    char text[256];
    bool found = false;

    snprintf(text, sizeof text, "/proc/self/fdinfo/%d", epfd);
    FILE *list = fopen(text, "re");
    if (!list)
        return -errno;
    while (!found && fgets(text, sizeof text, list)) {
        int number = -1;
        uint64_t data = 0;
        found = sscanf(text, "tfd: %d events: %*x data: %" SCNx64, &number, &data) == 2 &&
                number == fd && data == tag;
    }
    fclose(list);
    return found;
}
