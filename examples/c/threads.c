/* Threads that wait, in C: a read with a deadline, and a close from another thread.
 *
 *     ./threads
 */
#define _POSIX_C_SOURCE 200809L
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "netpoll.h"

/* Read once, and wait if need be.  NP_OK and *got; or NP_CLOSED, NP_TIMEOUT, a negated errno. */
static int receive(np_desc *d, char *data, size_t size, ssize_t *got)
{
    int rc = np_reset(d, NP_READ); /* from here on, readiness is remembered */
    while (rc == NP_OK) {
        *got = read((int)np_desc_fd(d), data, size);
        if (*got >= 0)
            return NP_OK;
        if (errno == EAGAIN)
            rc = np_wait(d, NP_READ); /* parks this thread */
        else if (errno != EINTR)
            rc = -errno;
        if (rc == NP_INTERRUPTED) /* by a signal: nothing is lost */
            rc = NP_OK;
    }
    return rc;
}

static void after(int milliseconds)
{
    struct timespec time = {0, milliseconds * 1000000L};
    nanosleep(&time, NULL);
}

static void *talk(void *socket)
{
    after(100);
    if (send(*(int *)socket, "hello", 5, 0) != 5)
        perror("send");
    return NULL;
}

static void *hang_up(void *desc)
{
    after(100);
    np_close(desc);
    return NULL;
}

static void show(np_desc *d)
{
    char data[100];
    ssize_t got;
    int rc = receive(d, data, sizeof data, &got);

    if (rc == NP_OK)
        printf("%.*s\n", (int)got, data);
    else if (rc == NP_TIMEOUT)
        printf("nothing came in time\n");
    else if (rc == NP_CLOSED)
        printf("closed by another thread\n");
    else
        printf("error: %s\n", strerror(-rc));
}

int main(void)
{
    int pair[2];
    np_poller *poller;
    np_desc *desc;
    pthread_t thread;

    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0 || fcntl(pair[0], F_SETFL, O_NONBLOCK) < 0 ||
        np_poller_new(NULL, &poller) != NP_OK || np_open(poller, pair[0], &desc) != NP_OK)
        return 1;

    pthread_create(&thread, NULL, talk, &pair[1]);
    np_set_deadline(desc, 5000000000, NP_READ); /* in 5 s: an instant, for all reads until moved */
    show(desc);
    pthread_join(thread, NULL);

    np_set_deadline(desc, 50000000, NP_READ);
    show(desc);

    np_set_deadline(desc, NP_NEVER, NP_READ); /* and it works again */
    pthread_create(&thread, NULL, hang_up, desc);
    show(desc);
    pthread_join(thread, NULL);

    np_desc_unref(desc);
    np_poller_unref(poller);
    close(pair[0]);
    close(pair[1]);
    return 0;
}
