/* The ping-pong on an io_uring: one system call hands in the sends and receives of all ends that
 * have a turn.  What the entries into the kernel cost epoll.c, it saves. */
#include "rounds.h"

#include <linux/io_uring.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/syscall.h>

typedef _Atomic(unsigned) shared; /* with the kernel */

static int ring;
static struct io_uring_sqe *entries;
static struct io_uring_cqe *results;
static shared *entries_tail, *results_head, *results_tail;
static unsigned *indices, entries_mask, results_mask;
static unsigned prepared, handed_in;

static int *ends, *trips_left; /* by end */
static char (*rooms)[4096];    /* by end; as in pairs.py */
static int count;

/* --- the ring ----------------------------------------------------------------------------------
 */

static void *mapped(size_t size, off_t what)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring, what);
    CHECK(memory != MAP_FAILED);
    return memory;
}

static void open_ring(unsigned room)
{
    struct io_uring_params p = {.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_COOP_TASKRUN};
    CHECK((ring = (int)syscall(SYS_io_uring_setup, room, &p)) >= 0);
    char *sq = mapped(p.sq_off.array + p.sq_entries * sizeof(unsigned), IORING_OFF_SQ_RING);
    char *cq = mapped(p.cq_off.cqes + p.cq_entries * sizeof *results, IORING_OFF_CQ_RING);
    entries = mapped(p.sq_entries * sizeof *entries, IORING_OFF_SQES);
    entries_tail = (void *)(sq + p.sq_off.tail);
    indices = (void *)(sq + p.sq_off.array);
    entries_mask = p.sq_entries - 1;
    results = (void *)(cq + p.cq_off.cqes);
    results_head = (void *)(cq + p.cq_off.head);
    results_tail = (void *)(cq + p.cq_off.tail);
    results_mask = p.cq_entries - 1;
}

static struct io_uring_sqe *next_entry(int end)
{
    unsigned i = prepared++ & entries_mask;
    indices[i] = i;
    entries[i] = (struct io_uring_sqe){.fd = ends[end], .user_data = (unsigned)end};
    return &entries[i];
}

/* No result comes of a send that succeeds. */
static void prepare_send(int end)
{
    struct io_uring_sqe *e = next_entry(end);
    e->opcode = IORING_OP_SEND;
    e->flags = IOSQE_CQE_SKIP_SUCCESS;
    e->addr = (uintptr_t)"x";
    e->len = 1;
}

/* Nothing can be there yet: no receive in vain. */
static void prepare_receive(int end)
{
    struct io_uring_sqe *e = next_entry(end);
    e->opcode = IORING_OP_RECV;
    e->ioprio = IORING_RECVSEND_POLL_FIRST;
    e->addr = (uintptr_t)rooms[end];
    e->len = sizeof rooms[end];
}

/* Hand in what is prepared, and wait for so many results. */
static void enter(unsigned wanted)
{
    unsigned more = prepared - handed_in;
    atomic_store(entries_tail, prepared);
    CHECK(syscall(SYS_io_uring_enter, ring, more, wanted, IORING_ENTER_GETEVENTS, NULL, 0) ==
          (long)more);
    handed_in = prepared;
}

/* --- ping-pong ---------------------------------------------------------------------------------
 */

/* pairs, kind */
static void ping_pong_setup(char **args)
{
    int pairs = atoi(args[0]);
    unsigned room = 1;
    operations = pairs;
    count = 2 * pairs;
    ends = connected_pairs(pairs, args[1]);
    trips_left = allocate((size_t)count, sizeof *trips_left);
    rooms = allocate((size_t)count, sizeof *rooms);
    while (room < 2 * (unsigned)count)
        room *= 2;
    open_ring(room);
}

/* A byte has come.  True: the end has done its trips. */
static int bounce(int end)
{
    prepare_send(end);
    if (--trips_left[end] == 0)
        return 1;
    prepare_receive(end);
    return 0;
}

static double ping_pong_run(int trips)
{
    int playing = count;
    for (int i = 0; i < count; i++)
        trips_left[i] = trips;
    for (int i = 0; i < count; i++)
        prepare_receive(i);
    enter(0);
    for (int i = 1; i < count; i += 2)
        put_byte(ends[i]);
    double start = start_clocks(); /* after the bytes are let in, as in pairs.py */
    while (playing > 0) {
        enter(1);
        unsigned head = atomic_load(results_head), tail = atomic_load(results_tail);
        for (; head != tail; head++) {
            const struct io_uring_cqe *result = &results[head & results_mask];
            errno = -result->res;
            CHECK(result->res == 1);
            playing -= bounce((int)result->user_data);
        }
        atomic_store(results_head, head);
    }
    enter(0); /* the last sends */
    double elapsed = stop_clocks(start);
    for (int i = 0; i < count; i += 2)
        CHECK(take_byte(ends[i]) && !take_byte(ends[i]));
    return elapsed;
}

int main(int argc, char **argv)
{
    static const workload workloads[] = {
        {"ping_pong", ping_pong_setup, ping_pong_run},
        {NULL, NULL, NULL},
    };
    return serve(argc, argv, workloads);
}
