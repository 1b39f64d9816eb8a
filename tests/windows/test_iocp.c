/* The completion way (netpoll_iocp.h), and what is particular to the iocp backend. */
#include "netpoll_iocp.h"

#include <errno.h>
#include <mswsock.h>
#include <stdbool.h>
#include <string.h>
#include <ws2tcpip.h>

#include "../c/check.h"

enum { SECOND = 1000000000 };
static const int64_t MS = 1000000;

/* --- sockets ---------------------------------------------------------------------------------- */

static SOCKET tcp(void)
{
    return WSASocketW(AF_INET, SOCK_STREAM, 0, NULL, 0, WSA_FLAG_OVERLAPPED);
}

static SOCKET listener(struct sockaddr_in *at)
{
    int length = sizeof *at;
    SOCKET s = tcp();

    *at = (struct sockaddr_in){.sin_family = AF_INET};
    at->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK(bind(s, (struct sockaddr *)at, sizeof *at) == 0);
    CHECK(listen(s, SOMAXCONN) == 0);
    CHECK(getsockname(s, (struct sockaddr *)at, &length) == 0);
    return s;
}

static void nonblocking(SOCKET s)
{
    u_long yes = 1;
    ioctlsocket(s, (long)FIONBIO, &yes);
}

static void connected(SOCKET pair[2])
{
    struct sockaddr_in at;
    SOCKET l = listener(&at);

    pair[0] = tcp();
    CHECK(connect(pair[0], (struct sockaddr *)&at, sizeof at) == 0);
    pair[1] = accept(l, NULL, NULL);
    closesocket(l);
    nonblocking(pair[0]);
    nonblocking(pair[1]);
}

static void close_pair(SOCKET pair[2])
{
    closesocket(pair[0]);
    closesocket(pair[1]);
}

static np_poller *new_poller(void)
{
    np_poller *p = NULL;
    CHECK(np_poller_new("iocp", &p) == NP_OK);
    return p;
}

static np_desc *opened(np_poller *p, SOCKET s)
{
    np_desc *d = NULL;
    CHECK(np_open(p, (np_fd)s, &d) == NP_OK);
    return d;
}

/* --- threads ---------------------------------------------------------------------------------- */

typedef struct later {
    void (*function)(void *);
    void *argument;
    DWORD ms;
    HANDLE thread;
} later;

static DWORD WINAPI run_later(void *argument)
{
    later *l = argument;
    Sleep(l->ms);
    l->function(l->argument);
    return 0;
}

static void start_later(later *l, DWORD ms, void (*function)(void *), void *argument)
{
    *l = (later){.function = function, .argument = argument, .ms = ms};
    l->thread = CreateThread(NULL, 0, run_later, l, 0, NULL);
}

static void join(later *l)
{
    CHECK(WaitForSingleObject(l->thread, 20000) == WAIT_OBJECT_0);
    CloseHandle(l->thread);
}

static void send_five(void *s)
{
    CHECK(send(*(SOCKET *)s, "hello", 5, 0) == 5);
}
static void unblock(void *d)
{
    np_unblock(d);
}
static void close_desc(void *d)
{
    np_close(d);
}
static void close_poller(void *p)
{
    np_poller_close(p);
}

/* --- one receive --------------------------------------------------------------------------------
 */

typedef struct receive {
    np_iocp_op op;
    char buffer[64];
    uint32_t bytes;
} receive;

/* WSARecv itself: 0 or Windows' error. */
static int start_receive(receive *r)
{
    WSABUF buf = {.len = sizeof r->buffer, .buf = r->buffer};
    SOCKET s = (SOCKET)np_desc_fd(r->op.desc);
    DWORD flags = 0;

    return WSARecv(s, &buf, 1, NULL, &flags, &r->op.overlapped, NULL) == 0 ? 0 : WSAGetLastError();
}

static int receive_some(receive *r, np_desc *d)
{
    int rc = np_iocp_begin(&r->op, d, NP_READ);
    return rc == NP_OK ? np_iocp_finish(&r->op, start_receive(r), &r->bytes) : rc;
}

/* After the call has returned nobody writes to the buffer: what the peer sends then stays in the
 * socket. */
static void check_left_alone(receive *r, SOCKET pair[2])
{
    char untouched[sizeof r->buffer], late[8];

    memset(r->buffer, 0x5a, sizeof r->buffer);
    memset(untouched, 0x5a, sizeof untouched);
    CHECK(send(pair[1], "late", 4, 0) == 4);
    Sleep(50);
    CHECK(memcmp(r->buffer, untouched, sizeof untouched) == 0);
    CHECK(recv(pair[0], late, sizeof late, 0) == 4);
    CHECK(memcmp(late, "late", 4) == 0);
}

/* What check_left_alone is worth: of an operation that still runs it does not hold. */
static void a_buffer_that_the_kernel_still_has_is_touched(void)
{
    SOCKET pair[2];
    receive r = {0};
    DWORD bytes, flags;
    connected(pair);
    WSABUF buf = {.len = sizeof r.buffer, .buf = r.buffer};

    flags = 0;
    CHECK(WSARecv(pair[0], &buf, 1, NULL, &flags, &r.op.overlapped, NULL) != 0);
    CHECK(WSAGetLastError() == WSA_IO_PENDING);
    CHECK(send(pair[1], "late", 4, 0) == 4);
    CHECK(WSAGetOverlappedResult(pair[0], &r.op.overlapped, &bytes, TRUE, &flags));
    CHECK(bytes == 4 && memcmp(r.buffer, "late", 4) == 0);
    close_pair(pair);
}

static void a_receive_waits_for_its_data(void)
{
    SOCKET pair[2];
    later sender;
    receive r;
    connected(pair);
    np_poller *p = new_poller();
    np_desc *d = opened(p, pair[0]);

    start_later(&sender, 50, send_five, &pair[1]);
    CHECK(receive_some(&r, d) == NP_OK);
    CHECK(r.bytes == 5 && memcmp(r.buffer, "hello", 5) == 0);
    join(&sender);
    send_five(&pair[1]);
    CHECK(receive_some(&r, d) == NP_OK && r.bytes == 5);
    shutdown(pair[1], SD_SEND);
    CHECK(receive_some(&r, d) == NP_OK && r.bytes == 0);
    np_desc_unref(d);
    np_poller_unref(p);
    close_pair(pair);
}

static void a_deadline_cancels_and_the_buffer_is_left_alone(void)
{
    SOCKET pair[2];
    receive r;
    connected(pair);
    np_poller *p = new_poller();
    np_desc *d = opened(p, pair[0]);
    int64_t start = np_now();

    np_set_deadline(d, 40 * MS, NP_READ);
    CHECK(receive_some(&r, d) == NP_TIMEOUT);
    CHECK(np_now() - start >= 40 * MS && np_now() - start < 5 * (int64_t)SECOND);
    check_left_alone(&r, pair);

    CHECK(receive_some(&r, d) == NP_TIMEOUT); /* until it is moved */
    np_set_deadline(d, NP_NEVER, NP_READ);
    send_five(&pair[1]);
    CHECK(receive_some(&r, d) == NP_OK && r.bytes == 5);
    np_desc_unref(d);
    np_poller_unref(p);
    close_pair(pair);
}

static void check_ended_by(void (*end)(void *), bool of_poller)
{
    SOCKET pair[2];
    later ending;
    receive r;
    connected(pair);
    np_poller *p = new_poller();
    np_desc *d = opened(p, pair[0]);

    start_later(&ending, 30, end, of_poller ? (void *)p : (void *)d);
    CHECK(receive_some(&r, d) == NP_CLOSED);
    join(&ending);
    check_left_alone(&r, pair);
    CHECK(receive_some(&r, d) == NP_CLOSED);
    np_desc_unref(d);
    np_poller_unref(p);
    close_pair(pair);
}

static void unblock_cancels_and_the_buffer_is_left_alone(void)
{
    check_ended_by(unblock, false);
}

static void close_cancels_and_the_buffer_is_left_alone(void)
{
    check_ended_by(close_desc, false);
}

static void closing_the_poller_cancels_and_the_buffer_is_left_alone(void)
{
    check_ended_by(close_poller, true);
}

/* The poller closes between the start of the operation and the wait for it: nobody is inside. */
static void a_poller_closed_before_the_wait_still_gives_the_buffer_back(void)
{
    SOCKET pair[2];
    receive r;
    connected(pair);
    np_poller *p = new_poller();
    np_desc *d = opened(p, pair[0]);

    CHECK(np_iocp_begin(&r.op, d, NP_READ) == NP_OK);
    int error = start_receive(&r);
    CHECK(error == 0 || error == WSA_IO_PENDING);
    np_poller_close(p);
    CHECK(np_iocp_finish(&r.op, error, &r.bytes) == NP_CLOSED);
    check_left_alone(&r, pair);
    np_desc_unref(d);
    np_poller_unref(p);
    close_pair(pair);
}

static void what_is_done_before_the_deadline_counts(void)
{
    SOCKET pair[2];
    receive r;
    connected(pair);
    np_poller *p = new_poller();
    np_desc *d = opened(p, pair[0]);

    CHECK(np_iocp_begin(&r.op, d, NP_READ) == NP_OK);
    int error = start_receive(&r);
    CHECK(error == WSA_IO_PENDING);
    send_five(&pair[1]);
    Sleep(50);
    np_set_deadline(d, 0, NP_READ);
    CHECK(np_iocp_finish(&r.op, error, &r.bytes) == NP_OK && r.bytes == 5);
    np_desc_unref(d);
    np_poller_unref(p);
    close_pair(pair);
}

static void one_operation_a_mode_and_two_modes(void)
{
    SOCKET pair[2];
    receive r, second;
    np_iocp_op w;
    uint32_t bytes;
    WSABUF buf = {.len = 4, .buf = (char[]){"ping"}};
    connected(pair);
    np_poller *p = new_poller();
    np_desc *d = opened(p, pair[0]);

    CHECK(np_iocp_begin(&r.op, d, NP_READ) == NP_OK);
    int error = start_receive(&r);
    CHECK(np_iocp_begin(&second.op, d, NP_READ) == NP_BUSY);
    CHECK(np_iocp_begin(&w, d, NP_WRITE) == NP_OK);
    int rc = WSASend(pair[0], &buf, 1, NULL, 0, &w.overlapped, NULL);
    CHECK(np_iocp_finish(&w, rc == 0 ? 0 : WSAGetLastError(), &bytes) == NP_OK && bytes == 4);
    send_five(&pair[1]);
    CHECK(np_iocp_finish(&r.op, error, &r.bytes) == NP_OK && r.bytes == 5);
    np_desc_unref(d);
    np_poller_unref(p);
    close_pair(pair);
}

static void an_operation_that_fails_to_start_leaves_the_mode_free(void)
{
    np_poller *p = new_poller();
    SOCKET s = tcp(); /* neither bound nor connected */
    np_desc *d = opened(p, s);
    receive r;

    CHECK(receive_some(&r, d) == -ENOTCONN);
    CHECK(np_iocp_begin(&r.op, d, NP_READ) == NP_OK);
    CHECK(np_iocp_finish(&r.op, WSAENOTCONN, &r.bytes) == -ENOTCONN);
    np_desc_unref(d);
    np_poller_unref(p);
    closesocket(s);
}

/* Completions for what was an operation, readiness for what is none. */
static void readiness_and_completion_take_turns(void)
{
    SOCKET pair[2];
    receive r;
    connected(pair);
    np_poller *p = new_poller();
    np_desc *d = opened(p, pair[0]);

    for (int i = 0; i < 20; i++) {
        np_set_deadline(d, 5 * (int64_t)SECOND, NP_READ | NP_WRITE);
        send_five(&pair[1]);
        CHECK(np_reset(d, NP_READ) == NP_OK);
        CHECK(np_wait(d, NP_READ) == NP_OK);
        CHECK(recv(pair[0], r.buffer, sizeof r.buffer, 0) == 5);
        np_set_deadline(d, 2 * MS, NP_READ);
        CHECK(receive_some(&r, d) == NP_TIMEOUT);
        np_set_deadline(d, 5 * (int64_t)SECOND, NP_READ);
        send_five(&pair[1]);
        CHECK(receive_some(&r, d) == NP_OK && r.bytes == 5);
    }
    np_desc_unref(d);
    np_poller_unref(p);
    close_pair(pair);
}

static void *extension_function(SOCKET s, GUID id)
{
    void *function = NULL;
    DWORD bytes;
    CHECK(WSAIoctl(s, SIO_GET_EXTENSION_FUNCTION_POINTER, &id, sizeof id, &function,
                   sizeof function, &bytes, NULL, NULL) == 0);
    return function;
}

static void accept_and_connect(void)
{
    struct sockaddr_in at, any = {.sin_family = AF_INET};
    SOCKET l = listener(&at), server = tcp(), client = tcp();
    char addresses[2 * (sizeof(struct sockaddr_in) + 16)];
    DWORD unused;
    uint32_t bytes;
    np_iocp_op accepting, connecting;
    np_poller *p = new_poller();
    np_desc *dl = opened(p, l), *dc = opened(p, client);
    LPFN_ACCEPTEX accept_ex;
    LPFN_CONNECTEX connect_ex;

    *(void **)&accept_ex = extension_function(l, (GUID)WSAID_ACCEPTEX);
    *(void **)&connect_ex = extension_function(l, (GUID)WSAID_CONNECTEX);
    CHECK(bind(client, (struct sockaddr *)&any, sizeof any) == 0);
    np_set_deadline(dl, 10 * (int64_t)SECOND, NP_READ);
    np_set_deadline(dc, 10 * (int64_t)SECOND, NP_WRITE);

    CHECK(np_iocp_begin(&accepting, dl, NP_READ) == NP_OK);
    int accepted = accept_ex(l, server, addresses, 0, sizeof(struct sockaddr_in) + 16,
                             sizeof(struct sockaddr_in) + 16, &unused, &accepting.overlapped)
                       ? 0
                       : WSAGetLastError();
    CHECK(np_iocp_begin(&connecting, dc, NP_WRITE) == NP_OK);
    int connected =
        connect_ex(client, (struct sockaddr *)&at, sizeof at, NULL, 0, NULL, &connecting.overlapped)
            ? 0
            : WSAGetLastError();
    CHECK(np_iocp_finish(&connecting, connected, &bytes) == NP_OK);
    CHECK(np_iocp_finish(&accepting, accepted, &bytes) == NP_OK);
    np_desc_unref(dl);
    np_desc_unref(dc);
    np_poller_unref(p);
    closesocket(server);
    closesocket(client);
    closesocket(l);
}

/* The next connection is not taken by the operation that was cancelled. */
static void a_deadline_cancels_an_accept(void)
{
    struct sockaddr_in at;
    SOCKET l = listener(&at), server = tcp(), client = tcp();
    char addresses[2 * (sizeof(struct sockaddr_in) + 16)], untouched[sizeof addresses];
    DWORD unused;
    uint32_t bytes;
    np_iocp_op op;
    np_poller *p = new_poller();
    np_desc *d = opened(p, l);
    LPFN_ACCEPTEX accept_ex;

    *(void **)&accept_ex = extension_function(l, (GUID)WSAID_ACCEPTEX);
    np_set_deadline(d, 40 * MS, NP_READ);
    CHECK(np_iocp_begin(&op, d, NP_READ) == NP_OK);
    int error = accept_ex(l, server, addresses, 0, sizeof(struct sockaddr_in) + 16,
                          sizeof(struct sockaddr_in) + 16, &unused, &op.overlapped)
                    ? 0
                    : WSAGetLastError();
    CHECK(error == WSA_IO_PENDING);
    CHECK(np_iocp_finish(&op, error, &bytes) == NP_TIMEOUT);
    memset(addresses, 0x5a, sizeof addresses);
    memset(untouched, 0x5a, sizeof untouched);
    CHECK(connect(client, (struct sockaddr *)&at, sizeof at) == 0);
    SOCKET other = accept(l, NULL, NULL);
    CHECK(other != INVALID_SOCKET);
    Sleep(50);
    CHECK(memcmp(addresses, untouched, sizeof untouched) == 0);
    np_desc_unref(d);
    np_poller_unref(p);
    closesocket(other);
    closesocket(server);
    closesocket(client);
    closesocket(l);
}

/* A send of more than the connection holds: what the peer gets is what was sent, and nothing that
 * the buffer held after the call had returned. */
static void a_deadline_cancels_a_send_and_the_buffer_is_not_read_any_more(void)
{
    enum { SIZE = 16 << 20 };
    SOCKET pair[2];
    np_iocp_op op;
    uint32_t bytes;
    char *data = malloc(SIZE), part[65536];
    WSABUF buf = {.len = SIZE, .buf = data};
    connected(pair);
    np_poller *p = new_poller();
    np_desc *d = opened(p, pair[0]);
    int n, wrong = 0;

    memset(data, 'a', SIZE);
    np_set_deadline(d, 40 * MS, NP_WRITE);
    CHECK(np_iocp_begin(&op, d, NP_WRITE) == NP_OK);
    int rc = WSASend(pair[0], &buf, 1, NULL, 0, &op.overlapped, NULL);
    rc = np_iocp_finish(&op, rc == 0 ? 0 : WSAGetLastError(), &bytes);
    CHECK(rc == NP_TIMEOUT || (rc == NP_OK && bytes > 0)); /* systems differ in what they take */
    printf("    %s, %u bytes\n", rc == NP_TIMEOUT ? "cancelled" : "taken", bytes);
    memset(data, 'b', SIZE);
    shutdown(pair[0], SD_SEND);
    u_long no = 0;
    ioctlsocket(pair[1], (long)FIONBIO, &no);
    while ((n = recv(pair[1], part, sizeof part, 0)) > 0)
        for (int i = 0; i < n; i++)
            wrong += part[i] != 'a';
    CHECK(n == 0 && wrong == 0);
    np_desc_unref(d);
    np_poller_unref(p);
    close_pair(pair);
    free(data);
}

/* --- the backend ------------------------------------------------------------------------------ */

static void what_is_no_socket_is_told_apart(void)
{
    np_poller *p = new_poller();
    np_desc *d;
    HANDLE event = CreateEventW(NULL, FALSE, FALSE, NULL);

    CHECK(np_open(p, (np_fd)event, &d) == -EPERM);
    CHECK(np_open(p, -1, &d) == -EBADF);
    CHECK(np_open(p, 0x7ffffff0, &d) == -EBADF);
    CloseHandle(event);
    np_poller_unref(p);
}

static void the_same_socket_twice_is_refused_as_often_as_it_is_tried(void)
{
    SOCKET pair[2];
    connected(pair);
    np_poller *p = new_poller();
    np_desc *d = opened(p, pair[0]), *other;

    for (int i = 0; i < 200; i++)
        CHECK(np_open(p, (np_fd)pair[0], &other) == -EEXIST);
    send_five(&pair[1]);
    CHECK(np_wait(d, NP_READ) == NP_OK);
    np_desc_unref(d);
    np_poller_unref(p);
    close_pair(pair);
}

/* Windows gives a freed number to the next socket. */
static void a_socket_closed_behind_our_back_makes_room_for_the_next(void)
{
    enum { ROUNDS = 300 };
    np_poller *p = new_poller();
    np_desc *old = NULL;
    int reused = 0;
    np_fd last = 0;

    for (int i = 0; i < ROUNDS; i++) {
        SOCKET s = tcp();
        np_desc *d = opened(p, s);
        reused += (np_fd)s == last;
        if (old && (np_fd)s == last)
            CHECK(np_desc_closed(old));
        if (old)
            np_desc_unref(old);
        old = d;
        last = (np_fd)s;
        closesocket(s);
    }
    CHECK(reused > ROUNDS / 2);
    np_desc_unref(old);
    np_poller_unref(p);
}

/* Nobody polls, so nobody but open and close themselves takes cancelled polls out of the port. */
static void open_and_close_without_polling_does_not_pile_up(void)
{
    SOCKET pair[2];
    np_token token;
    connected(pair);
    np_poller *p = new_poller();

    for (int i = 0; i < 2000; i++) {
        np_desc *d = opened(p, pair[0]);
        CHECK(np_park(d, NP_READ, 1, 0) == NP_PARKED);
        CHECK(np_cancel(d, NP_READ, &token) == 1);
        np_close(d);
        np_desc_unref(d);
    }
    np_desc *d = opened(p, pair[0]);
    send_five(&pair[1]);
    CHECK(np_wait(d, NP_READ) == NP_OK);
    np_desc_unref(d);
    np_poller_unref(p);
    close_pair(pair);
}

static void a_wake_up_survives_the_reaping_of_orphans(void)
{
    SOCKET pair[2];
    np_token token;
    int n;
    connected(pair);
    np_poller *p = new_poller();

    np_wake(p);
    for (int i = 0; i < 200; i++) {
        np_desc *d = opened(p, pair[0]);
        CHECK(np_park(d, NP_READ, 1, 0) == NP_PARKED);
        np_close(d);
        np_desc_unref(d);
        np_take_ready(p, &token, 1);
    }
    int64_t start = np_now();
    CHECK(np_poll(p, 20 * (int64_t)SECOND, &token, 1, &n) == NP_OK);
    CHECK(np_now() - start < 10 * (int64_t)SECOND);
    np_poller_unref(p);
    close_pair(pair);
}

static void a_reset_connection_is_ready_both_ways(void)
{
    SOCKET pair[2];
    struct linger abort = {.l_onoff = 1, .l_linger = 0};
    char filler[65536] = {0};
    connected(pair);
    np_poller *p = new_poller();
    np_desc *d = opened(p, pair[0]);

    while (send(pair[0], filler, sizeof filler, 0) > 0)
        ;
    np_set_deadline(d, 10 * (int64_t)SECOND, NP_READ | NP_WRITE);
    setsockopt(pair[1], SOL_SOCKET, SO_LINGER, (char *)&abort, sizeof abort);
    closesocket(pair[1]);
    CHECK(np_wait(d, NP_READ) == NP_OK);
    CHECK(np_wait(d, NP_WRITE) == NP_OK);
    np_desc_unref(d);
    np_poller_unref(p);
    closesocket(pair[0]);
}

static void a_refused_connection_is_ready_both_ways(void)
{
    struct sockaddr_in at;
    SOCKET l = listener(&at), s = tcp();
    np_poller *p = new_poller();
    np_desc *d = opened(p, s);

    closesocket(l);
    nonblocking(s);
    np_set_deadline(d, 10 * (int64_t)SECOND, NP_READ | NP_WRITE);
    CHECK(connect(s, (struct sockaddr *)&at, sizeof at) < 0);
    CHECK(np_wait(d, NP_WRITE) == NP_OK);
    CHECK(np_wait(d, NP_READ) == NP_OK);
    np_desc_unref(d);
    np_poller_unref(p);
    closesocket(s);
}

/* Sleeps of 1 ms: the clock's tick, if that were all there is, is 15.6 ms.  (Under Wine a
 * millisecond is a millisecond.) */
static void deadlines_are_never_early_and_finer_than_the_tick(void)
{
    enum { SLEEPS = 50 };
    np_poller *p = new_poller();
    int64_t begin = np_now();
    int n;

    for (int i = 0; i < SLEEPS; i++) {
        int64_t start = np_now();
        while (np_now() - start < MS)
            CHECK(np_poll(p, MS - (np_now() - start), NULL, 0, &n) == NP_OK);
    }
    int64_t took = np_now() - begin;
    printf("    1 ms took %.2f ms\n", (double)took / SLEEPS / 1e6);
    CHECK(took >= SLEEPS * MS);
    CHECK(took < SLEEPS * 15 * MS);
    np_poller_unref(p);
}

static void its_own_handles_are_known(void)
{
    np_poller *p = new_poller();
    SOCKET s = tcp();
    np_desc *d = opened(p, s);
    np_fd fd;

    CHECK(!np_is_poll_descriptor(p, (np_fd)s));
    CHECK(!np_is_poll_descriptor(p, 0));
    CHECK(np_poller_fileno(p, &fd) == -ENOSYS);
    np_desc_unref(d);
    np_poller_unref(p);
    closesocket(s);
}

/* Ctrl-C: the thread that waits comes back to let its host look.  (Called directly: a test has no
 * console of its own.) */
void np_futex_interrupt(void);
void np_iocp_interrupt(void);

static void interrupt(void *unused)
{
    (void)unused;
    np_iocp_interrupt();
    np_futex_interrupt();
}

static void ctrl_c_ends_a_wait_and_loses_nothing(void)
{
    SOCKET pair[2];
    later interrupting;
    connected(pair);
    np_poller *p = new_poller();
    np_desc *d = opened(p, pair[0]);

    start_later(&interrupting, 50, interrupt, NULL);
    CHECK(np_wait(d, NP_READ) == NP_INTERRUPTED);
    join(&interrupting);
    send_five(&pair[1]);
    CHECK(np_wait(d, NP_READ) == NP_OK);
    np_desc_unref(d);
    np_poller_unref(p);
    close_pair(pair);
}

int main(void)
{
    WSADATA unused;
    WSAStartup(MAKEWORD(2, 2), &unused);
    RUN(a_buffer_that_the_kernel_still_has_is_touched);
    RUN(a_receive_waits_for_its_data);
    RUN(a_deadline_cancels_and_the_buffer_is_left_alone);
    RUN(unblock_cancels_and_the_buffer_is_left_alone);
    RUN(close_cancels_and_the_buffer_is_left_alone);
    RUN(closing_the_poller_cancels_and_the_buffer_is_left_alone);
    RUN(a_poller_closed_before_the_wait_still_gives_the_buffer_back);
    RUN(what_is_done_before_the_deadline_counts);
    RUN(one_operation_a_mode_and_two_modes);
    RUN(an_operation_that_fails_to_start_leaves_the_mode_free);
    RUN(readiness_and_completion_take_turns);
    RUN(accept_and_connect);
    RUN(a_deadline_cancels_an_accept);
    RUN(a_deadline_cancels_a_send_and_the_buffer_is_not_read_any_more);
    RUN(what_is_no_socket_is_told_apart);
    RUN(the_same_socket_twice_is_refused_as_often_as_it_is_tried);
    RUN(a_socket_closed_behind_our_back_makes_room_for_the_next);
    RUN(open_and_close_without_polling_does_not_pile_up);
    RUN(a_wake_up_survives_the_reaping_of_orphans);
    RUN(a_reset_connection_is_ready_both_ways);
    RUN(a_refused_connection_is_ready_both_ways);
    RUN(deadlines_are_never_early_and_finer_than_the_tick);
    RUN(its_own_handles_are_known);
    RUN(ctrl_c_ends_a_wait_and_loses_nothing);
    DONE();
}
