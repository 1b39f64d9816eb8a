/* The explorer: runs small scenarios of the real core through their interleavings.
 *
 *   engine.c    the actors (coroutines), the scheduler, the search over schedules, the trace
 *   sim.c       what lies below the core: atomics, locks, parking, the clock, memory
 *   threads.c   what threads have of their own
 *   kernel.c    a kernel in miniature: epoll, poll, eventfd, timerfd, sockets
 *   kqueue.c    ... and kqueue
 *   iocp.c      ... and completion ports, AFD polls, overlapped receives
 *   win32.c     ... and what else of Windows the core calls
 *   scenarios.c who does what, and what must hold at the end
 *   users.c     ... of files and their users
 *   semas.c     ... of semaphores and timers
 *   foreign.c   ... of tokens at another poller than their own
 *   overlapped.c ... of the completion way, and what only Windows has
 *   explore.py  builds it, plants the bugs, spends the time
 *
 * An actor gives up control just before each operation that others can see (ex_point), so between
 * two points it runs alone.  A schedule is the list of who ran at each point; the same schedule
 * gives the same execution, always.
 */
#ifndef EXPLORE_H
#define EXPLORE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "sync.h"

enum { EX_ACTORS = 5, EX_DEPTH = 6000, EX_BUFFER = 8 };

/* --- for scenarios ---------------------------------------------------------------------------- */

typedef struct scenario {
    const char *name;
    const char *what; /* one line: what must hold */
    void (*setup)(void);
    struct {
        const char *name;
        void (*body)(void);
    } actors[EX_ACTORS];
    void (*check)(void); /* after all actors have ended; then everything is torn down */
    int flags;
} scenario;

/* Where a scenario is not run, and why. */
enum {
    OWN_HOOKS = 1,      /* the scenario sets the host's hooks itself */
    ONE_BACKEND = 2,    /* the kernel has no part in it */
    ERROR_EVENTS = 4,   /* kqueue and iocp have none that tell of an error and nothing else */
    FORKS = 8,          /* Windows has no fork */
    NESTS = 16,         /* a completion port has no fileno() */
    SIGNALS = 32,       /* on Windows none ends a call; Ctrl-C has scenarios of its own */
    FILE_LIVES_ON = 64, /* under another number, which iocp cannot tell (docs/windows.md) */
    IOCP_ONLY = 128,
    PARKS = 256,       /* poll parks as epoll does: futex.c */
    BY_CONDITION = 512 /* only kqueue's parking has conditions that hide signals */
};

extern const scenario scenarios[], user_scenarios[], overlapped_scenarios[], futex_scenarios[],
    failing_scenarios[], foreign_scenarios[], sema_scenarios[];
extern const char *ex_backend; /* of this search */
extern bool ex_hooks;          /* the host has a global lock: np_poll looks twice */
extern bool ex_polled;         /* np_poll was called in this search */

_Noreturn void ex_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
static inline const char *ex_file_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

#define EXPECT(condition)                                                                          \
    do {                                                                                           \
        if (!(condition))                                                                          \
            ex_fail("%s:%d: not true: %s", ex_file_name(__FILE__), __LINE__, #condition);          \
    } while (0)
void ex_note(const char *format, ...) __attribute__((format(printf, 1, 2))); /* in the trace */

void ex_advance(int64_t ns);       /* the clock goes on */
int64_t ex_clock(void);            /* what it says, without a scheduling point */
void ex_await(const bool *flag);   /* until another actor has set it */
void ex_set(bool *flag);           /* ... like this */
void ex_signal(const char *actor); /* a signal interrupts that actor's next blocking call */
void ex_has_handler(const char *actor);
void ex_signal_noted(const char *actor);
bool ex_check_signals(void);
void ex_act_as(
    const char *actor);          /* in setup: what follows is done by its thread; NULL: by none's */
extern void (*ex_at_fork)(void); /* called before the child repairs what the fork has torn */
void ex_become_only_actor(void); /* a fork: the others are gone, but for those in ex_await,
                                    who are threads that the child will start */
void ex_allow_spurious(int times); /* so many sleeps may end for no reason, in this execution */
void ex_expect_leak(void);         /* memory may be left in this execution */

/* --- between engine and sim ------------------------------------------------------------------- */

/* What an actor is about to do.  Two operations on the same object depend on each other unless both
 * only read it. */
typedef struct op {
    const void *object;
    bool write;
    const void *reads[2];    /* further objects, which it only reads */
    bool releases;           /* a lock, which nobody can acquire at the same time */
    bool forks;              /* depends on whatever the others do */
    bool yields;             /* comes after others' steps, if anybody else can make one */
    bool (*enabled)(void *); /* NULL: always */
    void *arg;
    const ex_site *site;
} op;

typedef struct actor {
    const char *name;
    bool alive;
    bool interrupted; /* a signal is pending, or has come while it was asleep */
    bool has_handler, noted;
    op next;
    char *stack_low, *stack_high, *stack_now;
    struct {
        void *at;
        bool wide;
        int64_t value;
    } buffer[EX_BUFFER]; /* delayed stores, the oldest first */
    int buffered;
    int last_step;
    int64_t due; /* when its timeout is over, INT64_MAX: none, 0: it has none */
} actor;

extern actor ex_actors[EX_ACTORS];
extern int ex_self; /* who runs, -1: setup or check */
extern bool ex_tracing;

bool ex_awaits(const actor *a);
void ex_point(const op *next); /* others may run here; then do it */
int ex_choose(int options);    /* a choice that is not whose turn it is */
void ex_trace(const char *format, ...) __attribute__((format(printf, 1, 2)));
bool ex_address_is_live(const void *p); /* not in a stack frame that is gone */

void sim_reset(void);
void sim_finish(void); /* nothing may be left */
bool sim_next_instant(void);
extern const char ex_clock_object, ex_kernel_object;

int64_t kernel_next_timer(void);
bool iocp_has(const void *p, size_t n); /* is an operation of the kernel's writing there? */
void interrupt_reset(void);
void kernel_fork(void);
void kernel_expect_stray(void); /* a wake object may be left in this execution */
void kernel_reset(void);
void kernel_finish(void);
long futex(va_list args); /* futex.c: what syscall was given */
void futex_fork(void);
void futex_reset(void);
void fork_reset(void);
void sema_reset(void);
void file_reset(void);
void file_finish(void);
int ex_thread(void);      /* who runs, or acts in setup; else EX_ACTORS */
void threads_reset(void); /* threads.c */
void waker_key_reset(void);
void thread_ends(int thread);
void thread_is_gone(int thread);
void fork_child(void);

#endif
