/* The high-resolution timer of the iocp backend.
 *
 * It needs wait completion packets, which Wine does not have.  There a stand-in takes the place of
 * the three calls in the table of ntdll's functions: the thread pool waits for the timer and posts
 * the packet.  The code that is tested is the backend's own, with a real timer; what the stand-in
 * cannot show is Windows' precision, and a packet that is taken back out of the port.  Where the
 * system has the calls, they are used. */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <winsock2.h>

#include "../c/check.h"
#include "netpoll.h"
#include "win32/ntapi_win32.h"

enum { PACKETS = 32 };
static const int64_t US = 1000, MS = 1000000, SECOND = 1000000000;

/* --- the stand-in ----------------------------------------------------------------------------- */

typedef struct packet {
    HANDLE event; /* nobody waits for it: its number is the packet's */
    HANDLE timer, port, wait;
    void *key;
    volatile LONG timer_expired;
} packet;

static packet packets[PACKETS];
static volatile LONG packets_made, started, timer_expired, refused;

static NTSTATUS NTAPI create_packet(HANDLE *out, ACCESS_MASK access, OBJECT_ATTRIBUTES *attributes)
{
    LONG i = InterlockedIncrement(&packets_made) - 1;
    (void)access;
    (void)attributes;
    if (i >= PACKETS)
        return (NTSTATUS)0xC000009A; /* STATUS_INSUFFICIENT_RESOURCES */
    packets[i].event = *out = CreateEventW(NULL, FALSE, FALSE, NULL);
    return 0;
}

static packet *packet_of(HANDLE handle)
{
    for (int i = 0; i < PACKETS; i++)
        if (packets[i].event == handle)
            return &packets[i];
    abort();
}

static void CALLBACK deliver(void *context, BOOLEAN timed_out)
{
    packet *p = context;
    (void)timed_out;
    InterlockedExchange(&p->timer_expired, 1);
    InterlockedIncrement(&timer_expired);
    PostQueuedCompletionStatus(p->port, 0, (ULONG_PTR)p->key, NULL);
}

static NTSTATUS NTAPI associate_packet(HANDLE handle, HANDLE port, HANDLE target, void *key,
                                       void *context, NTSTATUS status, ULONG_PTR information,
                                       BOOLEAN *signalled)
{
    packet *p = packet_of(handle);
    HANDLE self = GetCurrentProcess();
    (void)context;
    (void)status;
    (void)information;
    (void)signalled;
    CHECK(!p->wait); /* one thing at a time: the backend takes it back first */
    p->port = port;
    p->key = key;
    p->timer_expired = 0;
    /* A handle of its own: the backend may close the timer under the thread pool. */
    CHECK(DuplicateHandle(self, target, self, &p->timer, 0, FALSE, DUPLICATE_SAME_ACCESS));
    InterlockedIncrement(&started);
    return RegisterWaitForSingleObject(&p->wait, p->timer, deliver, p, INFINITE, WT_EXECUTEONLYONCE)
               ? 0
               : (NTSTATUS)0xC0000001; /* STATUS_UNSUCCESSFUL */
}

static NTSTATUS NTAPI cancel_packet(HANDLE handle, BOOLEAN also_if_queued)
{
    packet *p = packet_of(handle);
    CHECK(also_if_queued);
    if (!p->wait)
        return (NTSTATUS)0xC0000120; /* STATUS_CANCELLED: there is nothing to cancel */
    if (started % 5 == 0 && InterlockedIncrement(&refused) % 2)
        return 0x103; /* STATUS_PENDING: as if it were going off this very moment */
    UnregisterWaitEx(p->wait, INVALID_HANDLE_VALUE);
    CloseHandle(p->timer);
    p->wait = NULL;
    return p->timer_expired ? (NTSTATUS)0xC0000120 : 0;
}

/* The table is filled at the first use of it, and read-only by convention alone. */
static void install_stand_in(void)
{
    np_ntapi *nt = (np_ntapi *)(uintptr_t)np_ntapi_get();

    printf(" wait completion packets: %s\n", nt->create_packet ? "the system's" : "a stand-in");
    if (nt->create_packet)
        return;
    nt->create_packet = create_packet;
    nt->associate_packet = associate_packet;
    nt->cancel_packet = cancel_packet;
}

static bool standing_in(void)
{
    return np_ntapi_get()->create_packet == create_packet;
}

/* --- the tests -------------------------------------------------------------------------------- */

static np_poller *new_poller(void)
{
    np_poller *p = NULL;
    CHECK(np_poller_new("iocp", &p) == NP_OK);
    return p;
}

static np_desc *silent(np_poller *p, SOCKET *s)
{
    np_desc *d = NULL;
    *s = WSASocketW(AF_INET, SOCK_DGRAM, 0, NULL, 0, WSA_FLAG_OVERLAPPED);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    CHECK(bind(*s, (struct sockaddr *)&at, sizeof at) == 0);
    CHECK(np_open(p, (np_fd)*s, &d) == NP_OK);
    return d;
}

static void expire(np_desc *d, int64_t timeout)
{
    int64_t start = np_now();
    np_set_deadline(d, timeout, NP_READ);
    CHECK(np_wait(d, NP_READ) == NP_TIMEOUT);
    CHECK(np_now() - start >= timeout);
    CHECK(np_now() - start < timeout + 5 * SECOND);
}

static void it_is_said_to_be_in_use(void)
{
    CHECK(strstr(np_features(), "high-resolution timers") != NULL);
}

/* From below the millisecond to beyond the two ticks that are left to the timer. */
static void deadlines_of_every_length_expire_and_none_early(void)
{
    static const int64_t lengths[] = {1,      50 * US, 300 * US, 999 * US, 1 * MS, 2500 * US,
                                      9 * MS, 40 * MS, 64 * MS,  65 * MS,  90 * MS};
    np_poller *p = new_poller();
    SOCKET s;
    np_desc *d = silent(p, &s);
    LONG before = started;

    for (int round = 0; round < 8; round++)
        for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++)
            expire(d, lengths[i]);
    if (standing_in())
        CHECK(started - before > 40);
    np_desc_unref(d);
    np_poller_unref(p);
    closesocket(s);
}

static void a_short_deadline_is_finer_than_the_tick(void)
{
    enum { TRIES = 40 };
    np_poller *p = new_poller();
    SOCKET s;
    np_desc *d = silent(p, &s);
    int64_t best = INT64_MAX;

    for (int i = 0; i < TRIES; i++) {
        int64_t start = np_now();
        expire(d, MS);
        int64_t took = np_now() - start;
        best = took < best ? took : best;
    }
    printf("    1 ms took %.2f ms at best\n", (double)best / 1e6);
    CHECK(best < 10 * MS);
    np_desc_unref(d);
    np_poller_unref(p);
    closesocket(s);
}

/* There is one timer a port.  Of several threads inside, the others have the coarse clock. */
static DWORD WINAPI poll_often(void *p)
{
    for (int i = 0; i < 30; i++) {
        int64_t start = np_now(), left;
        int n;
        while ((left = 3 * MS - (np_now() - start)) > 0)
            CHECK(np_poll(p, left, NULL, 0, &n) == NP_OK);
        CHECK(np_now() - start < 5 * SECOND);
    }
    return 0;
}

static void several_threads_share_it(void)
{
    enum { THREADS = 4 };
    np_poller *p = new_poller();
    HANDLE threads[THREADS];

    for (int i = 0; i < THREADS; i++)
        threads[i] = CreateThread(NULL, 0, poll_often, p, 0, NULL);
    for (int i = 0; i < THREADS; i++) {
        CHECK(WaitForSingleObject(threads[i], 60000) == WAIT_OBJECT_0);
        CloseHandle(threads[i]);
    }
    np_poller_unref(p);
}

/* What is left of a timer that nobody needs any more is an early return at most. */
static void a_wake_up_leaves_the_timer_behind_and_it_harms_nobody(void)
{
    np_poller *p = new_poller();
    SOCKET s;
    np_desc *d = silent(p, &s);
    int n;

    for (int i = 0; i < 50; i++) {
        np_wake(p);
        CHECK(np_poll(p, 20 * MS, NULL, 0, &n) == NP_OK && n == 0);
        expire(d, (i % 4) * MS + 100 * US);
        np_set_deadline(d, 30 * MS, NP_READ); /* moved before it is due */
        np_set_deadline(d, NP_NEVER, NP_READ);
    }
    np_desc_unref(d);
    np_poller_unref(p);
    closesocket(s);
}

static DWORD WINAPI poll_until_closed(void *p)
{
    int n, rc;
    while ((rc = np_poll(p, 50 * MS, NULL, 0, &n)) == NP_OK)
        ;
    CHECK(rc == NP_CLOSED);
    return 0;
}

static void a_poller_closes_under_its_timer(void)
{
    for (int i = 0; i < 5; i++) {
        np_poller *p = new_poller();
        HANDLE thread = CreateThread(NULL, 0, poll_until_closed, p, 0, NULL);
        Sleep(10);
        np_poller_close(p);
        CHECK(WaitForSingleObject(thread, 20000) == WAIT_OBJECT_0);
        CloseHandle(thread);
        np_poller_unref(p);
    }
    Sleep(100); /* what was started goes off now */
}

int main(void)
{
    WSADATA unused;
    WSAStartup(MAKEWORD(2, 2), &unused);
    install_stand_in();
    RUN(it_is_said_to_be_in_use);
    RUN(deadlines_of_every_length_expire_and_none_early);
    RUN(a_short_deadline_is_finer_than_the_tick);
    RUN(several_threads_share_it);
    RUN(a_wake_up_leaves_the_timer_behind_and_it_harms_nobody);
    RUN(a_poller_closes_under_its_timer);
    if (standing_in()) {
        printf("    %ld started, %ld gone off, %ld refused\n", started, timer_expired, refused);
        CHECK(timer_expired > 0 && timer_expired < started && refused > 0);
    }
    DONE();
}
