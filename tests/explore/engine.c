/* Actors, scheduler and search.  One process, one thread. */
#include <limits.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <ucontext.h>

#include "explore.h"
#include "netpoll.h"
#include "sim.h"

actor ex_actors[EX_ACTORS];
int ex_self = -1;
bool ex_tracing;
const char *ex_backend;
bool ex_hooks, ex_polled;
void (*ex_at_fork)(void);
const ex_site *ex_site_now;

/* --- actors ----------------------------------------------------------------------------------- */

/* A coroutine is started once and lives for ever: each execution begins with a jump to its base,
 * from wherever the last execution left it. */
enum { STACK = 256 * 1024 };
static struct {
    sigjmp_buf base, at;
    ucontext_t context;
    bool fresh; /* has not run in this execution: enter at the base */
} coroutines[EX_ACTORS];
static sigjmp_buf engine_at;
static ucontext_t engine_context;
static const scenario *running;
static int actor_count;

enum { RUN_ENDED = 1, RUN_FAILED, RUN_REDUNDANT };

static void schedule(void);

static void coroutine_main(int self)
{
    if (_setjmp(coroutines[self].base) == 0)
        swapcontext(&coroutines[self].context, &engine_context);
    running->actors[self].body();
    thread_ends(self);
    sim_fence();
    ex_actors[self].alive = false;
    ex_trace("ends");
    schedule();
}

static void on_fault(int signo)
{
    (void)signo;
    ex_fail("a wild pointer: segmentation fault");
}

/* A wild pointer is a failure with a trace like any other. */
static void catch_faults(void)
{
    static char stack[64 * 1024];
    stack_t alternate = {.ss_sp = stack, .ss_size = sizeof stack};
    struct sigaction action = {.sa_handler = on_fault, .sa_flags = SA_ONSTACK | SA_NODEFER};
    sigaltstack(&alternate, NULL);
    sigaction(SIGSEGV, &action, NULL);
    sigaction(SIGBUS, &action, NULL);
}

static volatile sig_atomic_t points; /* scheduling points passed, of all executions */

/* So is a loop that comes to no scheduling point, as in a list that bites its tail. */
static void on_tick(int signo)
{
    static sig_atomic_t before = -1;
    (void)signo;
    if (points == before)
        ex_fail("it goes round and round, and nobody else can run");
    before = points;
}

static void catch_loops(void)
{
    struct sigaction action = {.sa_handler = on_tick, .sa_flags = SA_ONSTACK | SA_NODEFER};
    struct itimerval second = {{1, 0}, {1, 0}};
    sigaction(SIGVTALRM, &action, NULL);
    setitimer(ITIMER_VIRTUAL, &second, NULL);
}

static void start_coroutines(void)
{
    /* Always in the same place: futex.c's buckets are chosen by addresses, and a schedule that is
     * replayed must meet in the same ones. */
    void *place = (void *)(uintptr_t)UINT64_C(0x200000000000);
    char *stacks = mmap(place, EX_ACTORS * STACK, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    if (stacks == MAP_FAILED) {
        perror("explorer: stacks for the actors");
        exit(2);
    }
    for (int i = 0; i < EX_ACTORS; i++) {
        ex_actors[i].stack_low = stacks + i * STACK;
        ex_actors[i].stack_high = stacks + (i + 1) * STACK;
        getcontext(&coroutines[i].context);
        coroutines[i].context.uc_stack.ss_sp = ex_actors[i].stack_low;
        coroutines[i].context.uc_stack.ss_size = STACK;
        makecontext(&coroutines[i].context, (void (*)(void))coroutine_main, 1, i);
        swapcontext(&engine_context, &coroutines[i].context);
    }
}

_Noreturn static void resume(int i)
{
    ex_self = i;
    if (coroutines[i].fresh) {
        coroutines[i].fresh = false;
        _longjmp(coroutines[i].base, 1);
    }
    _longjmp(coroutines[i].at, 1);
}

bool ex_address_is_live(const void *p)
{
    const char *c = p;
    for (int i = 0; i < actor_count; i++)
        if (c >= ex_actors[i].stack_low && c < ex_actors[i].stack_high)
            return i == ex_self || (ex_actors[i].alive && c >= ex_actors[i].stack_now);
    return true;
}

/* --- the search ------------------------------------------------------------------------------- */

/* One node for each step of the execution at hand.  Sets of actors (or of options) are bit masks.
 */
typedef struct node {
    uint16_t enabled, todo, done, sleep;
    uint8_t chosen;
    int8_t last;      /* who ran before, -1: nobody, or it is a choice of ex_choose */
    uint8_t preempts; /* used up before this node */
} node;

static bool may_stay(const node *n)
{
    return n->last >= 0 && n->enabled & 1u << n->last;
}

static int preempts_after(const node *n)
{
    return n->preempts + (may_stay(n) && n->chosen != n->last);
}

enum { BOUNDED, ALL }; /* up to a number of preemptions; or every interleaving, reduced (DPOR) */

static struct {
    int mode, bound;
    node nodes[EX_DEPTH];
    int depth;  /* nodes of this execution so far */
    int prefix; /* nodes whose choice is fixed */
    uint64_t executions, redundant;
    uint16_t sleep; /* for the next node */
    int last;       /* who ran last */
    bool replaying;
    char failure[1024];
} search;

static int lowest(unsigned mask)
{
    return __builtin_ctz(mask);
}

/* --- happens-before, for the reduced search ----------------------------------------------------
 */

/* Dynamic partial-order reduction (Flanagan and Godefroid 2005) with sleep sets.  Steps are
 * numbered from 1; clock[q] is the last step of q that is known to have happened before. */
typedef struct clock_vector {
    int at[EX_ACTORS];
} clock_vector;

typedef struct object {
    const void *key;
    uint64_t execution;
    int last_write[EX_ACTORS], last_read[EX_ACTORS]; /* steps */
    clock_vector writes, reads;
} object;

enum { OBJECTS = 1024 };
static object objects[OBJECTS];
static clock_vector clocks[EX_ACTORS];

static object *object_of(const void *key)
{
    unsigned i = (unsigned)((uintptr_t)key * UINT64_C(0x9E3779B97F4A7C15) >> 54) % OBJECTS;
    while (objects[i].execution == search.executions && objects[i].key != key)
        i = (i + 1) % OBJECTS;
    if (objects[i].execution != search.executions)
        objects[i] = (object){.key = key, .execution = search.executions};
    return &objects[i];
}

static void join(clock_vector *to, const clock_vector *from)
{
    for (int i = 0; i < EX_ACTORS; i++)
        if (from->at[i] > to->at[i])
            to->at[i] = from->at[i];
}

/* Step `before` of another actor and the step at hand could have come the other way round. */
static void add_backtrack(int before, int p)
{
    node *n = &search.nodes[before - 1];
    n->todo |= n->enabled & 1u << p ? (uint16_t)(1u << p) : n->enabled;
}

static void find_races(const object *o, int p, bool write, bool releases)
{
    for (int q = 0; q < actor_count && !releases; q++) {
        if (q == p)
            continue;
        if (o->last_write[q] > clocks[p].at[q])
            add_backtrack(o->last_write[q], p);
        if (write && o->last_read[q] > clocks[p].at[q])
            add_backtrack(o->last_read[q], p);
    }
}

static void touch(const void *key, int p, int step, const op *what, bool write)
{
    if (!key)
        return;
    object *o = object_of(key);
    find_races(o, p, write, what->releases);
    join(&clocks[p], &o->writes);
    if (write)
        join(&clocks[p], &o->reads);
    clocks[p].at[p] = step;
    join(write ? &o->writes : &o->reads, &clocks[p]);
    if (!what->releases)
        (write ? o->last_write : o->last_read)[p] = step;
}

static bool writes_what_is_read(const op *a, const op *b)
{
    return a->write && (a->object == b->reads[0] || a->object == b->reads[1]);
}

static bool independent(const op *a, const op *b)
{
    if (a->forks || b->forks)
        return false;
    if (!a->object || !b->object)
        return true;
    return !(a->object == b->object && (a->write || b->write)) && !writes_what_is_read(a, b) &&
           !writes_what_is_read(b, a);
}

static void account(int p, node *n)
{
    const op *what = &ex_actors[p].next;
    uint16_t asleep = (uint16_t)((n->sleep | n->done) & ~(1u << p));

    search.sleep = 0;
    for (int q = 0; q < actor_count; q++)
        if (asleep & 1u << q && independent(&ex_actors[q].next, what))
            search.sleep |= (uint16_t)(1u << q);
    clocks[p].at[p] = search.depth;
    touch(what->object, p, search.depth, what, what->write);
    touch(what->reads[0], p, search.depth, what, false);
    touch(what->reads[1], p, search.depth, what, false);
    if (running->flags & FORKS) /* as if all that there is were one object more */
        touch(&ex_actors, p, search.depth, what, what->forks);
}

/* --- the scheduler ---------------------------------------------------------------------------- */

/* Who spins comes last: a loop that waits for another's step must not run for ever without it. */
static unsigned enabled_actors(void)
{
    unsigned mask = 0, spinning = 0;
    for (int i = 0; i < actor_count; i++) {
        const op *o = &ex_actors[i].next;
        if (!ex_actors[i].alive || (o->enabled && !o->enabled(o->arg)))
            continue;
        if (o->yields && ex_actors[i].last_step == search.depth)
            spinning |= 1u << i;
        else
            mask |= 1u << i;
    }
    return mask ? mask : spinning;
}

static bool anybody_alive(void)
{
    for (int i = 0; i < actor_count; i++)
        if (ex_actors[i].alive)
            return true;
    return false;
}

_Noreturn static void end_run(int how)
{
    _longjmp(engine_at, how);
}

static void report_stuck(void)
{
    size_t at = 0;
    at += (size_t)snprintf(search.failure, sizeof search.failure, "waits for ever:");
    for (int i = 0; i < actor_count; i++)
        if (ex_actors[i].alive && at < sizeof search.failure)
            at += (size_t)snprintf(search.failure + at, sizeof search.failure - at, " %s in %s,",
                                   ex_actors[i].name, ex_actors[i].next.site->text);
    search.failure[strlen(search.failure) - 1] = 0;
    end_run(RUN_FAILED);
}

static void choose_first(node *n, bool is_value)
{
    unsigned from = n->enabled;
    if (search.mode == ALL && !is_value)
        from &= ~(unsigned)n->sleep;
    if (!from)
        end_run(RUN_REDUNDANT);
    n->chosen = (uint8_t)(may_stay(n) && from & 1u << n->last ? n->last : lowest(from));
    if (is_value || (search.mode == BOUNDED && !(may_stay(n) && n->preempts >= search.bound)))
        n->todo = n->enabled;
    else
        n->todo = (uint16_t)(1u << n->chosen); /* races found later add to it */
}

static node *next_node(unsigned enabled, bool is_value)
{
    if (search.depth >= EX_DEPTH)
        ex_fail("more than %d steps: it goes round and round", EX_DEPTH);
    node *n = &search.nodes[search.depth];

    if (search.depth >= search.prefix) {
        *n = (node){.enabled = (uint16_t)enabled, .last = (int8_t)(is_value ? -1 : search.last)};
        n->sleep = search.mode == ALL && !is_value ? search.sleep : 0;
        n->preempts = (uint8_t)(search.depth ? preempts_after(n - 1) : 0);
        choose_first(n, is_value);
    } else if (search.replaying && !(enabled & 1u << n->chosen)) {
        ex_fail("the schedule does not fit: that actor cannot run here");
    } else if (!search.replaying && n->enabled != enabled) {
        fprintf(stderr, "explorer: the same schedule gave another execution\n");
        abort();
    }
    search.depth++;
    if (!is_value) {
        search.last = n->chosen;
        ex_actors[n->chosen].last_step = search.depth;
    }
    return n;
}

/* Nobody can run before some timeout is over.  That comes after all that has happened. */
static void let_time_pass(void)
{
    if (!anybody_alive())
        end_run(RUN_ENDED);
    if (!sim_next_instant())
        report_stuck();
    for (int i = 1; i < actor_count; i++)
        join(&clocks[0], &clocks[i]);
    for (int i = 1; i < actor_count; i++)
        clocks[i] = clocks[0];
    search.sleep = 0;
}

/* Whose turn is it?  Does not return if it is another's, until it is ours again. */
static void schedule(void)
{
    unsigned enabled;
    while ((enabled = enabled_actors()) == 0)
        let_time_pass();
    int self = ex_self;
    node *n = next_node(enabled, false);
    int p = n->chosen;
    if (search.mode == ALL)
        account(p, n);
    if (p == self && ex_actors[p].alive)
        return;
    if (self >= 0 && ex_actors[self].alive) {
        ex_actors[self].stack_now = __builtin_frame_address(0);
        if (_setjmp(coroutines[self].at) != 0)
            return;
    }
    resume(p);
}

void ex_point(const op *next)
{
    points = (points + 1) & INT_MAX;
    if (ex_self < 0) { /* setup and check run alone */
        if (next->enabled && !next->enabled(next->arg))
            ex_fail("setup or check would block in %s", next->site->text);
        return;
    }
    ex_actors[ex_self].next = *next;
    schedule();
    ex_site_now = next->site;
}

int ex_choose(int options)
{
    if (ex_self < 0)
        return 0;
    return next_node((1u << options) - 1, true)->chosen;
}

void ex_fail(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(search.failure, sizeof search.failure, format, args);
    va_end(args);
    end_run(RUN_FAILED);
}

void np_assert_failed(const char *file, int line, const char *condition)
{
    ex_fail("assertion %s:%d: %s", ex_file_name(file), line, condition);
}

void ex_become_only_actor(void)
{
    static const ex_site site = {"scenario", 0, "fork"};
    op next = {.forks = true, .site = &site};
    ex_point(&next);
    ex_trace("forks");
    for (int i = 0; i < actor_count; i++)
        if (i != ex_self && !ex_awaits(&ex_actors[i])) {
            ex_actors[i].alive = false;
            thread_is_gone(i);
        }
    thread_is_gone(EX_ACTORS);
    if (ex_at_fork)
        ex_at_fork();
}

/* --- the trace -------------------------------------------------------------------------------- */

static void print_line(const ex_site *site, const char *text)
{
    char where[64] = "";
    if (site)
        snprintf(where, sizeof where, "%s:%d", ex_file_name(site->file), site->line);
    printf("%5d  %-10s %-20s %s\n", search.depth, ex_self < 0 ? "-" : ex_actors[ex_self].name,
           where, text);
}

void ex_trace(const char *format, ...)
{
    char text[512];
    va_list args;
    if (!ex_tracing)
        return;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    print_line(ex_site_now, text);
}

void ex_note(const char *format, ...)
{
    char text[512];
    va_list args;
    if (!ex_tracing)
        return;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    print_line(NULL, text);
}

/* A schedule is written as who ran how often: "0x12.1x3.0"; a choice of ex_choose counts too. */
static void print_schedule(int length)
{
    for (int i = 0; i < length;) {
        int n = 1;
        while (i + n < length && search.nodes[i + n].chosen == search.nodes[i].chosen)
            n++;
        printf("%s%d", i ? "." : "", search.nodes[i].chosen);
        if (n > 1)
            printf("x%d", n);
        i += n;
    }
    printf("\n");
}

static bool read_schedule(const char *s)
{
    search.prefix = 0;
    while (*s) {
        char *end;
        long who = strtol(s, &end, 10), times = 1;
        if (end == s || who < 0 || who >= EX_ACTORS)
            return false;
        if (*end == 'x')
            times = strtol(end + 1, &end, 10);
        for (; times > 0 && search.prefix < EX_DEPTH; times--)
            search.nodes[search.prefix++] = (node){.chosen = (uint8_t)who};
        s = *end == '.' ? end + 1 : end;
    }
    return true;
}

/* --- one execution, and all of them ------------------------------------------------------------
 */

static void prepare(const scenario *s)
{
    running = s;
    for (actor_count = 0; actor_count < EX_ACTORS && s->actors[actor_count].body; actor_count++) {
        actor *a = &ex_actors[actor_count];
        static const ex_site start = {"", 0, "start"};
        a->name = s->actors[actor_count].name;
        a->alive = true;
        a->interrupted = a->has_handler = a->noted = false;
        a->buffered = 0;
        a->due = 0;
        a->last_step = 0;
        a->next = (op){.site = &start};
        a->stack_now = a->stack_high;
        coroutines[actor_count].fresh = true;
        clocks[actor_count] = (clock_vector){{0}};
    }
    ex_self = -1;
    search.depth = 0;
    search.last = -1;
    search.sleep = 0;
    search.executions++;
    ex_at_fork = NULL;
    sim_reset();
    kernel_reset();
    futex_reset();
    fork_reset();
    sema_reset();
    file_reset();
    threads_reset();
    interrupt_reset();
}

static int run_once(const scenario *s)
{
    int how = _setjmp(engine_at);
    if (how == 0) {
        prepare(s);
        s->setup();
        schedule();
    }
    ex_self = -1;
    if (how != RUN_ENDED)
        return how;
    how = _setjmp(engine_at);
    if (how != 0)
        return how;
    s->check();
    ex_act_as(NULL);
    file_finish();
    thread_ends(EX_ACTORS);
    kernel_finish();
    sim_finish();
    return RUN_ENDED;
}

/* The deepest node with a choice not made yet: that is where the next execution differs. */
static bool next_schedule(void)
{
    for (int i = search.depth - 1; i >= 0; i--) {
        node *n = &search.nodes[i];
        n->done |= (uint16_t)(1u << n->chosen);
        unsigned left = n->todo & ~(unsigned)n->done & ~(unsigned)n->sleep;
        if (!left)
            continue;
        n->chosen = (uint8_t)lowest(left);
        search.prefix = i + 1;
        return true;
    }
    return false;
}

/* Of our own, unless all has to end within a time: how much is searched should not depend on what
 * else the machine does. */
static clockid_t measured_by = CLOCK_PROCESS_CPUTIME_ID;

static double seconds(void)
{
    struct timespec ts;
    clock_gettime(measured_by, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

enum { FOUND = -1, PARTIAL, COMPLETE };

/* All schedules of s within the mode and bound, or until the time is up. */
static int explore(const scenario *s, int mode, int bound, double until)
{
    search.mode = mode;
    search.bound = bound;
    search.prefix = 0;
    search.executions = search.redundant = 0;
    memset(objects, 0, sizeof objects);
    for (;;) {
        int how = run_once(s);
        if (how == RUN_FAILED)
            return FOUND;
        search.redundant += how == RUN_REDUNDANT;
        if (!next_schedule())
            return COMPLETE;
        if (search.executions % 64 == 0 && seconds() > until)
            return PARTIAL;
    }
}

/* "epoll", or "epoll+hooks". */
static const char *stage(void)
{
    static char text[24];
    snprintf(text, sizeof text, "%s%s", ex_backend, ex_hooks ? "+hooks" : "");
    return text;
}

static void show_failure(const scenario *s, const char *how)
{
    int length = search.depth;
    uint64_t number = search.executions;
    printf("FAILED %s/%s: %s\n", s->name, stage(), search.failure);
    printf("  execution %llu, %s; to have it again:\n  explore --replay %s/%s ",
           (unsigned long long)number, how, s->name, stage());
    print_schedule(length);
    search.prefix = length;
    search.replaying = true;
    ex_tracing = true;
    run_once(s);
    printf("       ***        %s\n", search.failure);
    ex_tracing = search.replaying = false;
}

static bool bounded_only; /* without the reduction, to check the reduction */

/* Raise the bound while there is time; then all interleavings, reduced; whatever is left of the
 * time goes to higher bounds.  Returns false if it failed. */
static bool examine(const scenario *s, double budget, int floor)
{
    double start = seconds();
    uint64_t total = 0;
    int bound = 0;
    char how[40];

    printf("%-40s %-12s", s->name, stage());
    for (bool all = false; bound <= 9; bound++) {
        double until = bound <= floor ? start + 20 * budget : start + budget;
        int rc = explore(s, BOUNDED, bound, until);
        total += search.executions;
        if (rc == FOUND) {
            printf("\n");
            snprintf(how, sizeof how, "%d preemptions", bound);
            show_failure(s, how);
            return false;
        }
        if (rc == PARTIAL)
            break;
        if (bound < floor || all || bounded_only)
            continue;
        all = true;
        double left = start + budget - seconds();
        rc = explore(s, ALL, 0, seconds() + left * 0.6);
        total += search.executions;
        if (rc == FOUND) {
            printf("\n");
            show_failure(s, "any number of preemptions");
            return false;
        }
        if (rc == COMPLETE) {
            bound = 99;
            break;
        }
    }
    if (bound > 9)
        printf(" %9llu executions, every interleaving", (unsigned long long)total);
    else
        printf(" %9llu executions, every one of %d preemptions", (unsigned long long)total,
               bound - 1);
    printf("  %.1f s\n", seconds() - start);
    fflush(stdout);
    return true;
}

/* Without a host's global lock, and with one where that makes a difference. */
static bool examine_both(const scenario *s, double budget, int floor)
{
    ex_polled = ex_hooks = false;
    bool good = examine(s, budget, floor);
    ex_hooks = ex_polled && !(s->flags & OWN_HOOKS);
    return ex_hooks ? examine(s, budget, floor) && good : good;
}

static bool matches(const char *list, const char *name)
{
    size_t n = strlen(name);
    for (const char *at = list; at && (at = strstr(at, name)) != NULL; at += n)
        if ((at == list || at[-1] == ',') && (at[n] == 0 || at[n] == ',' || at[n] == '/'))
            return true;
    return !list;
}

static const char *const BACKENDS[] = {"epoll", "kqueue", "poll", "iocp"};
enum { BACKEND_COUNT = sizeof BACKENDS / sizeof *BACKENDS };

/* On the nth backend? */
static bool applies(const scenario *s, int nth)
{
    if (strcmp(BACKENDS[nth], "iocp") == 0)
        return !(s->flags & (ONE_BACKEND | ERROR_EVENTS | FORKS | NESTS | SIGNALS | FILE_LIVES_ON));
    if (s->flags & IOCP_ONLY || (s->flags & ONE_BACKEND && nth > 0))
        return false;
    if (strcmp(BACKENDS[nth], "kqueue") == 0)
        return !(s->flags & ERROR_EVENTS);
    return !(s->flags & BY_CONDITION || (s->flags & PARKS && strcmp(BACKENDS[nth], "poll") == 0));
}

/* Of all tables, one after the other. */
static const scenario *after(const scenario *s)
{
    static const scenario *const tables[] = {
        scenarios,         user_scenarios,    overlapped_scenarios, futex_scenarios,
        failing_scenarios, foreign_scenarios, sema_scenarios};
    static size_t table;
    if (!s)
        table = 0;
    s = s ? s + 1 : tables[0];
    if (!s->name && ++table < sizeof tables / sizeof *tables)
        s = tables[table];
    return s->name ? s : NULL;
}

static int replay(const char *which, const char *schedule_text)
{
    const char *slash = strchr(which, '/');
    for (const scenario *s = NULL; slash && (s = after(s)) != NULL;)
        if (strncmp(s->name, which, (size_t)(slash - which)) == 0 && s->name[slash - which] == 0 &&
            read_schedule(schedule_text)) {
            static char backend[24];
            snprintf(backend, sizeof backend, "%s", slash + 1);
            char *plus = strchr(backend, '+');
            ex_hooks = plus != NULL;
            if (plus)
                *plus = 0;
            ex_backend = backend;
            search.replaying = ex_tracing = true;
            int how = run_once(s);
            printf("%s\n", how == RUN_FAILED ? search.failure : "ends well");
            return how == RUN_FAILED;
        }
    fprintf(stderr, "no such scenario, or no schedule\n");
    return 2;
}

static int usage(void)
{
    fprintf(stderr,
            "usage: explore [--seconds PER_SCENARIO | --within SECONDS] [--bound FLOOR] "
            "[--part I/N]\n"
            "               [--scenarios NAME,...] [--backend epoll|iocp|kqueue|poll] [--first] "
            "[--unreduced]\n"
            "       explore --replay SCENARIO/BACKEND SCHEDULE\n"
            "       explore --list\n");
    return 2;
}

/* What this run is to examine. */
enum { MOST = 1024 };
static struct {
    const scenario *scenario;
    const char *backend;
} picked[MOST];

static int pick(const char *only, const char *backend, int part, int parts)
{
    int count = 0, number = 0;
    for (const scenario *s = NULL; (s = after(s)) != NULL;)
        for (int b = 0; b < BACKEND_COUNT && count < MOST; b++) {
            if (!matches(only, s->name) || (backend && strcmp(backend, BACKENDS[b]) != 0) ||
                !applies(s, b) || number++ % parts != part)
                continue;
            picked[count].scenario = s;
            picked[count++].backend = BACKENDS[b];
        }
    return count;
}

/* --- what met what ------------------------------------------------------------------------------
 */

static struct meeting {
    const char *table, *event;
    uint32_t state;
    long times;
} meetings[128];

void ex_met(const char *table, uint32_t state, const char *event)
{
    struct meeting *m = meetings;

    while (m->table && (m->state != state || strcmp(m->event, event) || strcmp(m->table, table)))
        m++;
    if (!m->table)
        *m = (struct meeting){.table = table, .event = event, .state = state};
    m->times++;
}

static void print_meetings(void)
{
    for (const struct meeting *m = meetings; m->table; m++)
        printf("met %s %u %s %ld\n", m->table, m->state, m->event, m->times);
}

int main(int argc, char **argv)
{
    double budget = 1, within = 0;
    int floor = 2, part = 0, parts = 1, failed = 0;
    bool first_only = false;
    const char *only = NULL, *backend = NULL;

    start_coroutines();
    sim_start();
    catch_faults();
    catch_loops();
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--list") == 0) {
            for (const scenario *s = NULL; (s = after(s)) != NULL;)
                printf("%-34s %s\n", s->name, s->what);
            return 0;
        }
        if (strcmp(argv[i], "--unreduced") == 0) {
            bounded_only = true;
            continue;
        }
        if (strcmp(argv[i], "--first") == 0) {
            first_only = true;
            continue;
        }
        if (i + 1 >= argc)
            return usage();
        const char *value = argv[++i];
        if (strcmp(argv[i - 1], "--seconds") == 0)
            budget = atof(value);
        else if (strcmp(argv[i - 1], "--within") == 0) {
            within = atof(value);
            measured_by = CLOCK_MONOTONIC;
        } else if (strcmp(argv[i - 1], "--bound") == 0)
            floor = atoi(value);
        else if (strcmp(argv[i - 1], "--scenarios") == 0)
            only = value;
        else if (strcmp(argv[i - 1], "--backend") == 0)
            backend = value;
        else if (strcmp(argv[i - 1], "--part") == 0 && sscanf(value, "%d/%d", &part, &parts) == 2)
            continue;
        else if (strcmp(argv[i - 1], "--replay") == 0 && i + 1 < argc)
            return replay(value, argv[i + 1]);
        else
            return usage();
    }
    int count = pick(only, backend, part, parts);
    double end = seconds() + within;
    for (int i = 0; i < count; i++) {
        /* Twice each, if there are hooks.  What one leaves of its share is for those behind it. */
        if (within > 0)
            budget = (end - seconds()) / (2 * (count - i));
        ex_backend = picked[i].backend;
        if (!examine_both(picked[i].scenario, budget, floor) && ++failed && first_only)
            return 1;
    }
    print_meetings();
    return failed ? 1 : count == 0 ? usage() : 0;
}
