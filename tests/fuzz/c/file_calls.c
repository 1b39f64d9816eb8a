/* Bytes become calls of the C API, of files and their users, made to the core and to the reference;
 * they must agree.
 *
 * The first byte chooses the backend; then each call takes three: which, on what, with what.  All
 * happens in one thread, with two hubs and several operations, and the clock (np_now) goes on only
 * when a call says so.  A call that might block is made only if the reference knows that it will
 * not.  After most calls the hubs are polled, and all that has to come out is seen to.
 *
 * FUZZ_TRACE=1 prints each call.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "calls.h"
#include "file_reference.h"
#include "target.h"

enum { FILES = 2, CALLS = 150, MANY = 16 };

typedef struct file {
    np_file *f;
    ref_file ref;
    int fd, peer;
    ino_t inode;
    bool open;      /* the number */
    bool unsettled; /* the peer has gone: whether an event has told so is not known */
} file;

typedef struct hub {
    np_poller *p;
    ref_hub ref;
} hub;

/* A slot for an operation. */
typedef struct user {
    np_op op;
    np_waiter waiter;
    file *f; /* NULL: free */
    hub *at;
    np_token token; /* of the last park */
    bool out;       /* it came out, and the operation has not been resumed */
} user;

static bool edges;
static file files[FILES];
static hub hubs[REF_HUBS];
static user users[REF_OPS];
static ref_op refs[REF_OPS]; /* of the users */
static np_token last_token;

static ref_op *ref_of(const user *u)
{
    return &refs[u - users];
}

static bool is_parked(const user *u)
{
    return u->f && ref_of(u)->wait != REF_RUNS;
}

static bool is_ready(int fd, int mode)
{
    struct pollfd pfd = {.fd = fd, .events = mode == NP_READ ? POLLIN : POLLOUT};
    return poll(&pfd, 1, 0) > 0;
}

static ino_t inode_of(int fd)
{
    struct stat st;
    return fstat(fd, &st) == 0 ? st.st_ino : 0;
}

/* --- files and hubs --------------------------------------------------------------------------- */

static void make_file(file *f)
{
    static const int kinds[] = {NP_FILE_UNIX, NP_FILE_MESSAGES};
    int ends[2], small = 4096;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) < 0)
        abort();
    setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
    *f = (file){.fd = ends[0], .peer = ends[1], .open = true, .inode = inode_of(ends[0])};
    ref_init(&f->ref);
    AGREE(np_file_new(f->fd, kinds[f - files], &f->f), NP_OK);
}

static bool is_in_use(const file *f)
{
    for (const user *u = users; u < users + REF_OPS; u++)
        if (u->f == f)
            return true;
    return false;
}

static void drop_file(file *f)
{
    np_file_free(f->f);
    if (f->open)
        close(f->fd);
    close(f->peer);
}

/* Once it is closed and nothing is inside. */
static void replace_file(file *f)
{
    if (!f->ref.closed || is_in_use(f))
        return;
    drop_file(f);
    make_file(f);
}

static void make_hub(hub *h)
{
    *h = (hub){.p = NULL};
    AGREE(np_poller_new(edges ? "epoll" : "poll", &h->p), NP_OK);
}

static void replace_hub(hub *h)
{
    if (!h->ref.closed)
        return;
    for (const user *u = users; u < users + REF_OPS; u++)
        if (is_parked(u) && u->at == h)
            return;
    np_poller_unref(h->p);
    make_hub(h);
}

/* --- tokens ----------------------------------------------------------------------------------- */

static void note_out(const hub *h, np_token token)
{
    for (user *u = users; u < users + REF_OPS; u++)
        if (is_parked(u) && u->token == token) {
            AGREE(u->at == h, true);
            AGREE(u->out, false);
            u->out = true;
            return;
        }
    doing = "a token that nobody has parked";
    AGREE(token, 0);
}

/* Those that have to come out do. */
static void poll_hub(hub *h)
{
    np_token tokens[MANY];
    int n = 0;

    AGREE(np_poll(h->p, 0, tokens, MANY, &n), h->ref.closed ? NP_CLOSED : NP_OK);
    ref_hub_polled(&h->ref, refs, REF_OPS);
    if (h->ref.closed)
        n = np_take_ready(h->p, tokens, MANY);
    for (int i = 0; i < n; i++)
        note_out(h, tokens[i]);
    for (const user *u = users; u < users + REF_OPS; u++)
        if (is_parked(u) && u->at == h && !u->out)
            AGREE(ref_must_come_out(ref_of(u), is_ready(u->f->fd, u->op.mode)), false);
}

/* --- operations ------------------------------------------------------------------------------- */

static void begin(user *u, file *f, int mode, bool may_wait)
{
    if (u->f)
        return;
    AGREE(np_op_begin(&u->op, f->f, mode, may_wait), ref_begin(ref_of(u), &f->ref, mode, may_wait));
    u->f = f;
    u->out = false;
}

static int attempt(user *u, int wanted)
{
    static char bytes[4096];
    ssize_t n = u->op.mode == NP_READ ? recv(u->f->fd, bytes, (size_t)wanted, 0)
                                      : send(u->f->fd, bytes, (size_t)wanted, 0);
    if (n < 0)
        return errno == EAGAIN ? NP_BUSY : -errno;
    np_op_moved(&u->op, n, wanted);
    bool tells = np_file_kind(u->f->f) != NP_FILE_MESSAGES && (n > 0 || u->op.mode == NP_WRITE);
    ref_moved(ref_of(u), tells && n < wanted);
    return NP_OK;
}

static int try_once(user *u, int wanted)
{
    int rc = np_op_try(&u->op), expected = ref_try(ref_of(u));
    if (!(rc == NP_OK && expected == NP_BUSY && u->f->unsettled))
        AGREE(rc, expected);
    return rc == NP_OK ? attempt(u, wanted) : rc;
}

/* As the loop in netpoll.h: an attempt that fails, or would, comes first. */
static bool has_to_wait(user *u, int wanted)
{
    enum ref_stage stage = ref_of(u)->stage;
    return stage == REF_WANTS_TURN || (stage == REF_INSIDE && try_once(u, wanted) == NP_BUSY);
}

static void park(user *u, hub *h)
{
    u->at = h;
    u->out = false;
    u->token = ++last_token;
    int rc = np_op_park(&u->op, h->p, &u->waiter, u->token);
    int expected = ref_park(ref_of(u), &h->ref);
    if (rc == NP_OK && expected == NP_PARKED && ref_of(u)->wait == REF_FOR_READY)
        ref_resume(ref_of(u));
    else
        AGREE(rc, expected);
}

static void wait_in_thread(user *u)
{
    int expected = ref_wait_in_thread(ref_of(u), is_ready(u->f->fd, u->op.mode));
    if (expected != NP_PARKED)
        AGREE(np_op_wait(&u->op, NULL), expected);
}

static void resume(user *u)
{
    if (!is_parked(u))
        return;
    if (u->out)
        AGREE(np_op_resume(&u->op, &u->waiter), ref_resume(ref_of(u)));
    else if (ref_of(u)->wait == REF_FOR_READY)
        AGREE(np_op_resume(&u->op, &u->waiter), NP_AGAIN);
}

static void cancel(user *u)
{
    if (!is_parked(u))
        return;
    AGREE(np_op_cancel(&u->op, &u->waiter), !u->out);
    ref_cancel(ref_of(u));
}

/* A number that was closed before may be another's. */
static void note_closed(file *f, bool is_closed)
{
    f->open = f->open && !is_closed;
    if (f->open || is_closed)
        AGREE(inode_of(f->fd), f->open ? f->inode : 0);
}

static void end(user *u)
{
    file *f = u->f;
    cancel(u);
    AGREE(np_op_end(&u->op), NP_OK);
    note_closed(f, ref_end(ref_of(u)));
    u->f = NULL;
}

/* The loop in netpoll.h, up to the next wait; one whose token is still parked may be killed. */
static void go_on(user *u, file *f, int value)
{
    if (!u->f)
        begin(u, f, 1 + (value & 1), true);
    if (is_parked(u) && !u->out && value % 8 == 0)
        cancel(u);
    resume(u);
    if (is_parked(u))
        return;
    if (!has_to_wait(u, 1 + value % 4 * 1365))
        end(u);
    else if (value & 32)
        wait_in_thread(u);
    else
        park(u, &hubs[value >> 1 & 1]);
}

/* --- calls ------------------------------------------------------------------------------------ */

static void close_file(file *f, bool detach)
{
    bool first = !f->ref.closed;
    AGREE(np_file_close(f->f, detach), first ? NP_OK : NP_CLOSED);
    note_closed(f, first && ref_close(&f->ref, detach));
}

static void set_deadline(file *f, int modes, int value)
{
    int64_t when = value % 5 == 0 ? NP_NEVER : value % 5 == 1 ? value - 100 : ref_clock + value % 9;
    AGREE(np_file_set_deadline(f->f, when, modes), f->ref.closed ? NP_CLOSED : NP_OK);
    for (int mode = NP_READ; mode <= NP_WRITE && !f->ref.closed; mode++)
        if (modes & mode)
            f->ref.mode[mode - 1].deadline = when;
}

static void set_timeout(file *f, int value)
{
    int64_t ns = value % 4 == 0 ? -1 : value % 4 == 1 ? NP_NEVER - value : value % 9;
    np_file_set_timeout(f->f, ns);
    f->ref.timeout = ns;
}

static void do_io(file *f, int what)
{
    char bytes[4096] = {0};
    switch (what) {
    case 0:
        while (recv(f->peer, bytes, sizeof bytes, 0) > 0)
            ;
        break;
    case 1:
    case 2:
        (void)!send(f->peer, bytes, 1, 0);
        shutdown(f->peer, SHUT_WR);
        f->unsettled = true;
        break;
    default:
        (void)!send(f->peer, bytes, (size_t)what % 8, 0);
    }
}

/* And perhaps that they were quick. */
static void note_vain_waits(user *u, int value)
{
    u->op.vain = ref_of(u)->vain = (uint32_t)(14 + value % 2);
    u->op.since = ref_of(u)->since = value & 2 ? ref_clock : 0;
}

static void on_user(int call, user *u, int which, int value)
{
    switch (call) {
    case 0:
        doing = "begin";
        begin(u, &files[which % FILES], 1 + (value & 1), value & 14);
        break;
    case 1:
        doing = "try";
        if (u->f && !is_parked(u) && ref_of(u)->stage == REF_INSIDE)
            try_once(u, 1 + value % 8 * 500);
        break;
    case 2:
        doing = "park";
        if (u->f && !is_parked(u) && has_to_wait(u, 1))
            park(u, &hubs[value % REF_HUBS]);
        break;
    case 3:
        doing = "wait";
        if (u->f && !is_parked(u) && has_to_wait(u, 1))
            wait_in_thread(u);
        break;
    case 4:
        doing = "resume";
        resume(u);
        break;
    case 5:
        doing = "cancel";
        cancel(u);
        break;
    case 6:
        doing = "end";
        if (u->f)
            end(u);
        break;
    case 7:
        doing = "many waits in vain";
        if (u->f && !is_parked(u))
            note_vain_waits(u, value);
        break;
    default:
        doing = "go on";
        go_on(u, &files[which % FILES], value);
    }
}

static void on_file(int call, file *f, int value)
{
    switch (call) {
    case 8:
        doing = "set_deadline";
        set_deadline(f, 1 + value % 3, value / 3);
        break;
    case 9:
        doing = "set_timeout";
        set_timeout(f, value);
        break;
    case 10:
        doing = "retry";
        np_file_retry(f->f, 1 + value % 2);
        f->ref.mode[value % 2].retry = true;
        break;
    case 11:
        doing = "close";
        if (value % 4 == 0)
            close_file(f, value % 8 == 0);
        break;
    case 12:
        doing = "another file";
        replace_file(f);
        break;
    default:
        doing = "I/O";
        do_io(f, value % 32);
    }
}

static void on_hub(int call, hub *h, int value)
{
    switch (call) {
    case 16:
        doing = "poll";
        poll_hub(h);
        break;
    case 17:
        doing = "the clock";
        ref_clock += value % 8 == 7 ? 2000000 : value % 8;
        break;
    case 18:
        doing = "poller_close, or another hub";
        if (value % 8 == 1) {
            np_poller_close(h->p);
            ref_hub_close(&h->ref, refs, REF_OPS);
        } else {
            replace_hub(h);
        }
        break;
    }
}

/* --- what can be seen ------------------------------------------------------------------------- */

static int count(const hub *h, bool ready)
{
    int n = 0;
    for (const user *u = users; u < users + REF_OPS; u++)
        n += is_parked(u) && u->at == h && !u->out && (ref_of(u)->wait == REF_FOR_READY) == ready;
    return n;
}

static void compare_hubs(void)
{
    for (hub *h = hubs; h < hubs + REF_HUBS; h++) {
        np_stats stats;
        poll_hub(h);
        np_poller_stats(h->p, &stats);
        AGREE(stats.waiters, count(h, false));
        AGREE(stats.parked_readers + stats.parked_writers, count(h, true));
    }
}

static void compare_files(void)
{
    for (const file *f = files; f < files + FILES; f++) {
        AGREE(np_file_closed(f->f), f->ref.closed);
        AGREE(np_file_fd(f->f), f->fd);
        AGREE(np_file_timeout(f->f), f->ref.timeout);
        for (int mode = NP_READ; mode <= NP_WRITE; mode++)
            AGREE(np_file_deadline(f->f, mode), f->ref.mode[mode - 1].deadline);
    }
}

static void one_call(const uint8_t *bytes)
{
    enum { ON_USERS = 8, ON_FILES = 8, ON_HUBS = 3, ALL = 28 };
    int call = bytes[0] % ALL, which = bytes[1], value = bytes[2];

    if (call < ON_USERS || call >= ON_USERS + ON_FILES + ON_HUBS)
        on_user(call, &users[which % REF_OPS], which / REF_OPS, value);
    else if (call < ON_USERS + ON_FILES)
        on_file(call, &files[which % FILES], value);
    else
        on_hub(call, &hubs[which % REF_HUBS], value);
    if (getenv("FUZZ_TRACE"))
        fprintf(stderr, "%s: on %d, with %d\n", doing, which, value);
    compare_files();
    if (bytes[2] & 0xC0)
        compare_hubs();
}

/* --- a sequence ------------------------------------------------------------------------------- */

static void begin_sequence(void)
{
    ref_clock = 1;
    last_token = 0;
    memset(users, 0, sizeof users);
    memset(refs, 0, sizeof refs);
    for (int i = 0; i < FILES; i++)
        make_file(&files[i]);
    for (int i = 0; i < REF_HUBS; i++)
        make_hub(&hubs[i]);
}

/* Files before hubs, or the other way round. */
static void end_sequence(bool hubs_first)
{
    doing = "the end";
    for (user *u = users; u < users + REF_OPS; u++)
        if (u->f)
            end(u);
    compare_files();
    compare_hubs();
    for (int i = 0; i < REF_HUBS && hubs_first; i++)
        np_poller_unref(hubs[i].p);
    for (int i = 0; i < FILES; i++) {
        close_file(&files[i], false);
        AGREE(files[i].open, files[i].ref.detached);
        drop_file(&files[i]);
    }
    for (int i = 0; i < REF_HUBS && !hubs_first; i++)
        np_poller_unref(hubs[i].p);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static bool warm;
    int error, lowest = lowest_free_number();

    signal(SIGPIPE, SIG_IGN);
    if (size == 0)
        return 0;
    if (!warm && !np_thread_waker(&error)) /* it stays as long as the thread */
        abort();
    lowest = warm ? lowest : lowest_free_number();
    warm = true;
    alarm(20);
    edges = bytes[0] & 1;
    begin_sequence();
    for (size_t i = 1; i + 3 <= size && i < 3 * CALLS; i += 3)
        one_call(bytes + i);
    end_sequence(bytes[0] & 2);
    alarm(0);
    AGREE(lowest_free_number(), lowest);
    return 0;
}
