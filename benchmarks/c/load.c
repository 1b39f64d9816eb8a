/* Loads an echo server over TCP and measures it from outside; a process of its own, so that neither
 * waits for the other's interpreter.
 *
 *   load PORT SIZE CONNECTIONS SECONDS peak
 *       each connection sends, waits for the whole echo, sends again
 *   load PORT SIZE CONNECTIONS SECONDS open RATE
 *       so many messages a second, whatever the server does
 *   load PORT SIZE CONNECTIONS SECONDS churn
 *       connect, one message there and back, close, again
 *
 * `open` sends at random instants, independent of each other (Poisson), in turn over the
 * connections, and takes each latency from the instant at which the message was due, not from when
 * it could be sent: a server that stops for a while pays for everything that was due meanwhile (no
 * coordinated omission).
 *
 * What comes back is compared, byte for byte, with what was sent.  Of large messages that would
 * make the load the limit: every SAMPLE-th of a connection is compared, of the others the bytes are
 * counted and the kernel drops them without a copy (MSG_TRUNC); and they are sent from a file in
 * memory, whose pages the kernel sends as they are.  The first fifth of the time is the warm-up.
 * Prints one line of JSON: the messages a second, percentiles of the latency in seconds, and how
 * much of a core the load itself took.  "usual p99" is the median of the 99th percentiles of each
 * tenth of a second: a virtual machine that is stopped for some milliseconds, as happens to every
 * server, spoils a few of those and not the median.
 */
#include "rounds.h"

#include <arpa/inet.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>

enum { BATCH = 64, ROOM = 1 << 18, SOURCES = 200 };
enum { SAMPLED = 4096, SAMPLE = 8, FROM_FILE = 16384 }; /* from which size on; of how many one */

typedef struct connection {
    int fd;
    size_t to_send;  /* bytes that are due and not sent yet */
    size_t sent;     /* of the message that is being sent */
    size_t received; /* of the message that is coming */
    unsigned come;   /* messages, so far */
    double *due;     /* when the messages were due that are on their way: a ring */
    size_t head, waiting, space;
} connection;

static enum { PEAK, OPEN, CHURN } mode;
static int epfd;
static struct sockaddr_in server;
static size_t message;
static char *pattern, *room;
static int file; /* with the pattern */
static connection *all;
static int connections;

/* --- what is measured ---------------------------------------------------------------------------
 */

static double begin, end; /* of the time that counts */
static struct sample {
    int window; /* the tenth of a second to which it counts */
    float latency;
} *samples;
static size_t recorded, recorded_space;
static size_t
    outstanding; /* messages that were due in the time that counts and have not come back */

static bool counts(double instant)
{
    return instant >= begin && instant < end;
}

/* The time is prolonged until there is something to tell, within reason. */
static bool time_is_up(double now)
{
    static double prolonged;
    const double PATIENCE = 20;
    if (now < end)
        return false;
    if (recorded + outstanding > 0 || prolonged > PATIENCE)
        return true;
    prolonged += now - begin;
    end = now + (now - begin);
    return false;
}

static const double WINDOW = 0.1;

static void record(double latency, double when)
{
    if (recorded == recorded_space) {
        recorded_space = recorded_space > 0 ? 2 * recorded_space : 1 << 20;
        samples = realloc(samples, recorded_space * sizeof *samples);
        CHECK(samples != NULL);
    }
    samples[recorded++] =
        (struct sample){.window = (int)((when - begin) / WINDOW), .latency = (float)latency};
}

static int ascending(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static int by_latency(const void *a, const void *b)
{
    const struct sample *x = a, *y = b;
    return ascending(&x->latency, &y->latency);
}

static int by_window(const void *a, const void *b)
{
    const struct sample *x = a, *y = b;
    return x->window != y->window ? x->window - y->window : by_latency(a, b);
}

/* Of `count` samples, sorted by latency. */
static double percentile(const struct sample *sorted, size_t count, double share)
{
    return (double)sorted[(size_t)(share * (double)(count - 1))].latency;
}

static double usual_p99(void)
{
    size_t windows = 0;
    qsort(samples, recorded, sizeof *samples, by_window);
    float *each = allocate((size_t)samples[recorded - 1].window + 1, sizeof *each);
    for (size_t first = 0, next; first < recorded; first = next) {
        for (next = first; next < recorded && samples[next].window == samples[first].window;)
            next++;
        each[windows++] = (float)percentile(samples + first, next - first, 0.99);
    }
    qsort(each, windows, sizeof *each, ascending);
    return (double)each[windows / 2];
}

static void report(double load, double took)
{
    double usual = usual_p99();
    qsort(samples, recorded, sizeof *samples, by_latency);
    printf("{\"rate\": %.6g, \"p50\": %.6g, \"p99\": %.6g, \"p999\": %.6g, "
           "\"usual p99\": %.6g, \"load\": %.4g, \"took\": %.6g}\n",
           (double)recorded / (end - begin), percentile(samples, recorded, 0.5),
           percentile(samples, recorded, 0.99), percentile(samples, recorded, 0.999), usual, load,
           took);
}

/* --- one connection -----------------------------------------------------------------------------
 */

static void push_due(connection *c, double when)
{
    if (c->waiting == c->space) { /* the ring is full: unroll it into one of twice the size */
        double *larger = allocate(c->space > 0 ? 2 * c->space : 4, sizeof *larger);
        for (size_t i = 0; i < c->waiting; i++)
            larger[i] = c->due[(c->head + i) % c->space];
        free(c->due);
        c->due = larger;
        c->head = 0;
        c->space = c->space > 0 ? 2 * c->space : 4;
    }
    c->due[(c->head + c->waiting++) % c->space] = when;
}

static double pop_due(connection *c)
{
    CHECK(c->waiting > 0);
    double when = c->due[c->head];
    c->head = (c->head + 1) % c->space;
    c->waiting--;
    return when;
}

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

static ssize_t send_part(const connection *c)
{
    size_t part = smaller(message - c->sent, c->to_send);
    off_t from = (off_t)c->sent;
    return message >= FROM_FILE ? sendfile(c->fd, file, &from, part)
                                : write(c->fd, pattern + c->sent, part);
}

static void send_due(connection *c)
{
    while (c->to_send > 0) {
        ssize_t n = send_part(c);
        if (n < 0 && errno == EAGAIN)
            return; /* an edge will tell, also that the connection stands */
        CHECK(n > 0);
        c->to_send -= (size_t)n;
        c->sent = (c->sent + (size_t)n) % message;
    }
}

static void ask(connection *c, double when)
{
    push_due(c, when);
    c->to_send += message;
    if (mode == OPEN && counts(when))
        outstanding++;
    send_due(c);
}

/* Addresses of our own in turn, as each has a port for only so many connections in TIME_WAIT. */
static void begin_connection(connection *c)
{
    static unsigned source;
    int on = 1;
    struct sockaddr_in from = {.sin_family = AF_INET};
    from.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1 + source++ % SOURCES);
    CHECK((c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)) >= 0);
    if (mode != CHURN) /* where one message goes out, nothing is held back */
        CHECK(setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) == 0);
    CHECK(setsockopt(c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on) == 0);
    CHECK(bind(c->fd, (struct sockaddr *)&from, sizeof from) == 0);
    CHECK(connect(c->fd, (struct sockaddr *)&server, sizeof server) == 0 || errno == EINPROGRESS);
    c->to_send = c->sent = c->received = 0;
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = c};
    CHECK(epoll_ctl(epfd, EPOLL_CTL_ADD, c->fd, &event) == 0);
}

static void arrived(connection *c)
{
    double now = seconds(), due = pop_due(c);
    if (counts(mode == OPEN ? due : now))
        record(now - due, mode == OPEN ? due : now);
    if (mode == OPEN && counts(due))
        outstanding--;
    if (mode == CHURN) {
        CHECK(close(c->fd) == 0);
        begin_connection(c);
    }
    if (mode != OPEN)
        ask(c, now);
}

/* Of what was read into the room, or only counted. */
static void check(connection *c, size_t n, bool compare)
{
    for (size_t done = 0; done < n;) {
        size_t part = smaller(message - c->received, n - done);
        CHECK(!compare || memcmp(room + done, pattern + c->received, part) == 0);
        done += part;
        c->received += part;
        if (c->received == message) {
            c->received = 0;
            c->come++;
            CHECK(mode != CHURN || done == n);
            arrived(c);
        }
    }
}

static void receive(connection *c)
{
    int fd = c->fd;
    while (c->fd == fd) {
        bool sampled = message >= SAMPLED, compare = !sampled || c->come % SAMPLE == 0;
        size_t most = sampled ? message - c->received : ROOM;
        ssize_t n = recv(fd, room, most, compare ? 0 : MSG_TRUNC);
        if (n < 0 && errno == EAGAIN)
            return;
        CHECK(n > 0); /* or the server has hung up */
        check(c, (size_t)n, compare);
        if ((size_t)n < most)
            return; /* what comes later is a new edge */
    }
}

/* --- driving ------------------------------------------------------------------------------------
 */

static void look(double wait)
{
    struct epoll_event events[BATCH];
    struct timespec limit = {.tv_sec = (time_t)wait, .tv_nsec = (long)(fmod(wait, 1) * 1e9)};
    int n = epoll_pwait2(epfd, events, BATCH, &limit, NULL);
    CHECK(n >= 0);
    for (int i = 0; i < n; i++) {
        connection *c = events[i].data.ptr;
        if (events[i].events & EPOLLOUT)
            send_due(c);
        if (events[i].events & (EPOLLIN | EPOLLRDHUP))
            receive(c);
    }
}

static void drive_closed(void)
{
    for (int i = 0; i < connections; i++)
        ask(&all[i], seconds());
    for (double now; !time_is_up(now = seconds());)
        look(now < end ? end - now : 0);
}

/* Sleep while there is time, then look without sleeping: to be woken takes longer than many a gap.
 */
static void drive_open(double rate)
{
    const double WAKING = 100e-6, PATIENCE = 10;
    double due = seconds();
    for (int next = 0; !time_is_up(due); next = (next + 1) % connections) {
        double gap;
        while ((gap = due - seconds()) > 0)
            look(gap > WAKING ? gap - WAKING : 0);
        ask(&all[next], due);
        due -= log(1 - drand48()) / rate;
    }
    while (outstanding > 0 && seconds() < end + PATIENCE)
        look(0.1);
    CHECK(outstanding == 0);
}

int main(int argc, char **argv)
{
    CHECK(argc >= 6);
    server =
        (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[1]))};
    server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    message = (size_t)atol(argv[2]);
    connections = atoi(argv[3]);
    double time = atof(argv[4]);
    mode = strcmp(argv[5], "peak") == 0 ? PEAK : strcmp(argv[5], "open") == 0 ? OPEN : CHURN;
    CHECK(mode != OPEN || argc == 7);
    CHECK(prctl(PR_SET_TIMERSLACK, 1) == 0);
    srand48(1);

    pattern = allocate(message, 1);
    for (size_t i = 0; i < message; i++)
        pattern[i] = (char)(lrand48() >> 8);
    room = allocate(message > ROOM ? message : ROOM, 1);
    CHECK((file = memfd_create("pattern", MFD_CLOEXEC)) >= 0);
    CHECK(write(file, pattern, message) == (ssize_t)message);
    all = allocate((size_t)connections, sizeof *all);
    epfd = epoll_create1(EPOLL_CLOEXEC);
    for (int i = 0; i < connections; i++)
        begin_connection(&all[i]);

    double start = seconds();
    begin = start + time * 0.2;
    end = start + time;
    double cpu = cpu_seconds();
    if (mode == OPEN)
        drive_open(atof(argv[6]));
    else
        drive_closed();
    double took = seconds() - start;
    CHECK(recorded > 0);
    report((cpu_seconds() - cpu) / took, took);
    fflush(stdout);
    _exit(0); /* the server may still be writing */
}
