/* The data of the iocp backend, and what its files share.  Only where NP_HAVE_IOCP is defined.
 *
 *   iocp.c             the port: its packets, polling, life
 *   iocp_watch.c       registered sockets: their polls, probes, orphans
 *   iocp_overlapped.c  the host's overlapped operations (netpoll_iocp.h)
 *   iocp_timer.c       the high-resolution timer
 *   iocp_interrupt.c   Ctrl-C
 *
 * Everything comes out of one port, as packets that differ in their key.
 *
 * A poll (afd_win32.h) reports once, so the core arms before it waits; an armed mode is one poll of
 * its own.  One more poll, the probe, lasts from open to close and asks for nothing but the
 * socket's closing.  It answers the question that Windows has no call for: is this number still the
 * socket that was opened?  A probe that can be cancelled was waiting, so it is.
 *
 * A poll's memory is the kernel's until its packet comes.  A watch and its polls therefore live
 * apart: a watch that closes cancels its polls and leaves them behind, as orphans, for whichever
 * thread gets their packets.
 */
#ifndef NP_IOCP_H
#define NP_IOCP_H

#include "backend/backend.h"
#include "netpoll_iocp.h"
#include "sys/list.h"
#include "win32/afd_win32.h"

/* Which packet it is, and what lpOverlapped is then. */
enum {
    NP_IOCP_KEY_AFD,        /* np_iocp_poll_op */
    NP_IOCP_KEY_OVERLAPPED, /* np_iocp_op */
    NP_IOCP_KEY_WAKE,       /* NULL, and below too */
    NP_IOCP_KEY_TIMER,
    NP_IOCP_KEY_INTERRUPT
};

/* What a poll is for.  READ and WRITE have their modes' numbers. */
enum { NP_IOCP_PROBE = 0, NP_IOCP_POLLS = 3 };

typedef struct np_iocp_watch np_iocp_watch;

/* One poll of one socket:
 *
 *   free       in np_iocp_kernel.free
 *   pending    owner->polls[role] is this; the kernel has it, or its packet is in the port
 *   orphan     owner is NULL; the same, but its event is no one's
 *
 * start: free -> pending.  orphan: pending -> orphan.  Its packet: either -> free.
 */
typedef struct np_iocp_poll_op {
    np_afd_poll poll; /* the first member: a packet brings its address */
    np_iocp_watch *owner;
    int role;
    struct np_iocp_poll_op *next; /* of the free ones */
} np_iocp_poll_op;

/* A registered socket. */
struct np_iocp_watch {
    np_iocp_watch *next; /* in its bucket */
    uint64_t tag;
    np_fd fd;
    SOCKET base;
    np_afd_device *device;
    np_iocp_poll_op *polls[NP_IOCP_POLLS]; /* by role; no probe: the socket has been closed */
    int overlapped;  /* modes whose readiness is the completion of an np_iocp_op: none is armed */
    bool associated; /* with the port, for those */
};

typedef struct np_iocp_kernel {
    HANDLE port;
    HANDLE timer, timer_packet; /* NULL without high-resolution timers */
    np_atomic32 timer_in_use;   /* by a thread in poll */
    np_link link;               /* in the list of iocp_interrupt.c, under its lock */

    np_mutex lock; /* everything below */
    np_iocp_watch **buckets;
    uint32_t count, capacity; /* capacity: a power of two */
    np_afd_devices devices;
    np_iocp_poll_op *free;
    uint32_t polls_in_kernel; /* pending, and orphans */
    uint32_t orphans;
    uint32_t inside;         /* threads in poll */
    uint32_t ctrl_c_count;   /* Ctrl-Cs that came while the port was open */
    uint32_t interrupts_due; /* threads in poll that do not know of the last one */
    uint32_t refs;           /* the poller, and overlapped operations from begin to finish */
    bool released;           /* by the poller: no thread is in poll, or ever will be */
} np_iocp_kernel;

/* --- the port: iocp.c ------------------------------------------------------------------------- */

bool np_iocp_post(np_iocp_kernel *k, ULONG_PTR key); /* false: the kernel is out of memory */

/* Into the port again, what another thread is to get. */
void np_iocp_repost(np_iocp_kernel *k, const OVERLAPPED_ENTRY *packet);

/* Take packets out of the port of a closed poller.  False: none came, for a slice. */
bool np_iocp_drain_packets(np_iocp_kernel *k);

void np_iocp_unref(np_iocp_kernel *k);

/* --- registered sockets: iocp_watch.c; under the lock, but for the first three ---------------- */

int np_iocp_watch_open(void *kernel, np_fd fd, uint64_t tag);
int np_iocp_watch_close(void *kernel, np_fd fd, uint64_t tag);
int np_iocp_watch_arm(void *kernel, np_fd fd, uint64_t tag, int mode);

int np_iocp_init_watches(np_iocp_kernel *k); /* 0 or -ENOMEM */
void np_iocp_close_watches(np_iocp_kernel *k);
void np_iocp_free_watches(np_iocp_kernel *k); /* their polls' packets have come */
np_iocp_watch *np_iocp_find_watch(const np_iocp_kernel *k, np_fd fd, uint64_t tag);

/* A poll's packet: true if it is an event. */
bool np_iocp_complete_poll(np_iocp_kernel *k, np_iocp_poll_op *op, np_event *out);

/* --- overlapped operations: iocp_overlapped.c; for others iocp_overlapped.h ------------------- */

/* The kernel has let go of op, or never had it.  It may be gone afterwards.  Under the lock. */
void np_iocp_retire(np_iocp_kernel *k, np_iocp_op *op);

/* --- the timer: iocp_timer.c ------------------------------------------------------------------ */

void np_iocp_open_timer(np_iocp_kernel *k);
void np_iocp_close_timer(np_iocp_kernel *k);

/* How long to block for a timeout in nanoseconds, in milliseconds, rounded up; it may be less, for
 * the caller comes back.  *timer is set if the timer was started: timer_in_use is the caller's. */
DWORD np_iocp_blocking_ms(np_iocp_kernel *k, int64_t timeout, bool *timer);

/* --- Ctrl-C: iocp_interrupt.c ----------------------------------------------------------------- */

void np_iocp_register(np_iocp_kernel *k);
void np_iocp_unregister(np_iocp_kernel *k);
void np_iocp_interrupt(void); /* all threads in poll, of all that are registered */

/* A thread has left poll with so many packets of Ctrl-C; the last one came while it was inside, or
 * not.  True if it is interrupted.  Under the lock. */
bool np_iocp_take_interrupts(np_iocp_kernel *k, uint32_t packets, bool was_inside);

#endif
