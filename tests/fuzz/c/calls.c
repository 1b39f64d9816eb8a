/* Bytes become calls of the C API, of pollers and descriptors, made to the core and to the
 * reference; they must agree.
 *
 * The first byte chooses the backend; then each call takes three: which, on what, with what.  All
 * happens in one thread, and the clock (np_now) goes on only when a call says so, so the same bytes
 * always do the same.  A call that might block is made only if the reference knows that it will
 * not: if it blocks all the same, a wake-up has been lost, and an alarm ends the process.
 *
 * FUZZ_TRACE=1 prints each call.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agree.h"
#include "calls.h"
#include "reference.h"
#include "target.h"

enum { FILES = 3, HANDLES = 6, KEPT = 4, CALLS = 150, FIRST_NUMBER = 200, QUEUE_ASKED = 1024 };

/* A number, the file that it is now, and the other end. */
typedef struct file {
    int fd, peer;
    int id; /* 0: the number is closed */
} file;

typedef struct handle {
    np_desc *d; /* NULL: free */
    ref_desc *ref;
} handle;

np_poller *poller;
ref_poller ref;
np_token last_token;
static file files[FILES];
static handle handles[HANDLES];
static int kept[KEPT], kept_count; /* duplicates: they keep a registration in epoll alive */
static int files_made;

/* --- files ------------------------------------------------------------------------------------ */

/* A socket, or the end of a pipe that is written to, which alone knows an error and nothing else.
 */
static void make_file(file *f, bool pipe_end)
{
    int ends[2], small = 4096;
    int rc = pipe_end ? pipe2(ends, O_NONBLOCK | O_CLOEXEC)
                      : socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends);
    if (rc < 0)
        abort();
    int ours = ends[pipe_end], fd = FIRST_NUMBER + (int)(f - files);
    if (pipe_end)
        fcntl(ours, F_SETPIPE_SZ, small);
    else
        setsockopt(ours, SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
    dup3(ours, fd, O_CLOEXEC);
    close(ours);
    *f = (file){fd, ends[!pipe_end], ++files_made};
}

static void close_peer(file *f)
{
    if (f->peer >= 0)
        close(f->peer);
    f->peer = -1;
}

static void close_number(file *f)
{
    if (f->id)
        close(f->fd);
    f->id = 0;
}

static void keep_a_duplicate(const file *f)
{
    if (f->id && kept_count < KEPT)
        kept[kept_count++] = fcntl(f->fd, F_DUPFD_CLOEXEC, 0);
}

/* For epoll the other end goes on with the file, and its events with the old registration. */
static void replace_file(file *f, int how)
{
    if (how & 1)
        keep_a_duplicate(f);
    close_number(f);
    if (how & 2)
        return;
    close_peer(f);
    make_file(f, how & 4);
}

static void empty(int fd)
{
    char buffer[4096];
    while (fd >= 0 && read(fd, buffer, sizeof buffer) > 0)
        ;
}

static void fill(int fd)
{
    static const char bytes[4096];
    while (write(fd, bytes, sizeof bytes) > 0 || write(fd, bytes, 1) > 0)
        ;
}

static void do_io(file *f, int what)
{
    switch (what) {
    case 0:
        empty(f->fd);
        break;
    case 1:
        fill(f->fd);
        break;
    case 2:
        empty(f->peer);
        break;
    case 3:
        shutdown(f->peer, SHUT_WR);
        break;
    case 4:
        close_peer(f);
        break;
    default:
        if (f->peer >= 0)
            (void)!write(f->peer, "x", 1);
    }
}

/* --- calls ------------------------------------------------------------------------------------ */

static void open_one(const file *f)
{
    handle *h = handles;
    while (h < handles + HANDLES && h->d)
        h++;
    if (h == handles + HANDLES || ref.count == REF_DESCS)
        return;
    np_desc *d = NULL;
    int rc = np_open(poller, f->fd, &d);
    AGREE(rc, ref_open(&ref, f->fd, f->id, &h->ref));
    if (rc == NP_OK)
        h->d = d;
}

static void unref_one(handle *h)
{
    np_desc *d = h->d;
    ref_unref(&ref, h->ref);
    if (h->ref->handles == 0)
        h->d = NULL;
    np_desc_unref(d);
}

/* Instants near now, the ends of the clock, and around where now + timeout leaves it. */
static int64_t timeout_of(int value)
{
    static const int64_t fixed[] = {
        NP_NEVER, 0,         -1,           INT64_MIN,    1,           1, 2, 3, 5, 100,
        1 << 20,  INT64_MAX, NP_NEVER - 1, NP_NEVER - 2, NP_NEVER / 2};
    int n = (int)(sizeof fixed / sizeof *fixed);
    value %= n + 4;
    return value < n ? fixed[value] : NP_NEVER - ref_clock + (value - n - 2);
}

static void set_deadline(const handle *h, int modes, int value, bool at)
{
    int64_t timeout = timeout_of(value);
    __int128 when = timeout == NP_NEVER ? (__int128)NP_NEVER
                    : at                ? (__int128)timeout
                                        : (__int128)ref_clock + timeout;
    int rc = at ? np_set_deadline_at(h->d, timeout, modes) : np_set_deadline(h->d, timeout, modes);
    AGREE(rc, ref_set_deadline(&ref, h->ref, when, modes));
}

/* On poll(2) a number that was closed under it is ready, but a nested poller cannot arm it. */
static bool may_not_be_armed(const handle *h)
{
    return !ref.edges && fcntl(h->ref->fd, F_GETFD) < 0;
}

static void park(const handle *h, int mode, int flags)
{
    np_token token = ++last_token;
    int rc = np_park(h->d, mode, token, flags);
    if (rc != -EBADF || !may_not_be_armed(h))
        AGREE(rc, ref_park(&ref, h->ref, mode, token, flags));
}

static void cancel(const handle *h, int mode)
{
    np_token ours = 0, theirs = 0;
    AGREE(np_cancel(h->d, mode, &ours), ref_cancel(h->ref, mode, &theirs));
    AGREE(ours, theirs);
}

static void expect_tokens(const np_token *tokens, int n, int max)
{
    for (int i = 0; i < n; i++)
        AGREE(ref_take(&ref, tokens[i]), true);
    AGREE(n == max || ref.queued == 0, true);
}

static void compare_looks(uint64_t events, uint64_t stale)
{
    np_stats stats;
    np_poller_stats(poller, &stats);
    if (ref.edges) {
        AGREE(stats.events - events, ref.events);
        AGREE(stats.stale_events - stale, ref.stale);
    }
    ref.events = ref.stale = 0;
}

/* A blocking poll is made only if it has something to bring. */
static void poll_once(int timeout, int max)
{
    static const int64_t timeouts[] = {0, -1, 1000000000, NP_NEVER, NP_NEVER - 1};
    np_token tokens[QUEUE_ASKED];
    np_stats before;
    int n = -1;
    bool answers_wake = timeout && !ref.queued && ref.pending;

    if (!answers_wake && !ref.closed)
        ref_look(&ref);
    if (!answers_wake && !ref.queued && !ref.closed)
        timeout = 0;
    np_poller_stats(poller, &before);
    int rc = np_poll(poller, timeouts[timeout], tokens, max, &n);
    AGREE(rc, ref.closed ? NP_CLOSED : NP_OK);
    ref.pending = ref.pending && !answers_wake;
    if (rc == NP_OK && !answers_wake)
        expect_tokens(tokens, n, max);
    else
        AGREE(n, 0);
    compare_looks(before.events, before.stale_events);
}

static void take_ready(int max)
{
    np_token tokens[QUEUE_ASKED];
    expect_tokens(tokens, np_take_ready(poller, tokens, max), max);
}

static bool poll_says_ready(int fd, int mode)
{
    struct pollfd pfd = {.fd = fd, .events = mode == NP_READ ? POLLIN : POLLOUT};
    return poll(&pfd, 1, 0) > 0;
}

/* A thread drives until its event comes.  Where none is to come, only the look is made. */
static void wait_in_thread(const handle *h, int mode, int flags)
{
    ref_side *s = &h->ref->side[mode - 1];
    bool armed = s->armed;
    if (may_not_be_armed(h))
        return;
    int expected = ref_begin_wait(&ref, h->ref, mode, flags);
    np_stats before;

    np_poller_stats(poller, &before);
    if (expected == NP_PARKED) {
        s->armed = ref.edges ? s->armed : poll_says_ready(h->ref->fd, mode);
        bool surely = s->armed && !ref.edges;
        s->armed = s->armed || armed;
        ref_look(&ref);
        if (ref_end_of_wait(h->ref, mode) || surely)
            expected = (flags ? h->ref->gone : h->ref->evicted) ? NP_CLOSED : NP_OK;
    }
    if (expected == NP_PARKED) {
        int n;
        AGREE(np_poll(poller, 0, NULL, 0, &n), NP_OK);
    } else {
        AGREE(flags ? np_wait_canceled(h->d, mode) : np_wait(h->d, mode), expected);
    }
    compare_looks(before.events, before.stale_events);
}

static void nest(void)
{
    np_fd fd = -1;
    int rc = np_poller_fileno(poller, &fd);
    AGREE(rc, ref.closed ? NP_CLOSED : NP_OK);
    if (rc != NP_OK)
        return;
    int64_t first = ref_first_deadline(&ref);
    struct pollfd events = {.fd = ref.shadow, .events = POLLIN};
    bool work =
        ref.queued || (first && first <= ref_clock) || (ref.edges && poll(&events, 1, 0) > 0);
    struct pollfd nested = {.fd = (int)fd, .events = POLLIN};
    if (work)
        AGREE(poll(&nested, 1, 0), 1);
}

/* --- what can be seen ------------------------------------------------------------------------- */

static void compare_side(const handle *h, int mode)
{
    const ref_side *s = &h->ref->side[mode - 1];
    bool token_inside = s->parked || s->delivery == REF_QUEUED || s->delivery == REF_DROPPED;
    int64_t left = 0;

    AGREE(np_is_ready(h->d, mode), s->ready);
    AGREE(np_is_parked(h->d, mode), s->parked);
    AGREE(np_holds_token(h->d, mode), token_inside);
    AGREE(np_deadline(h->d, mode, &left), s->deadline != 0);
    if (s->deadline)
        AGREE(left, s->deadline < 0 ? -1 : s->deadline - ref_clock);
}

static void compare_snapshot(void)
{
    np_poller_view view;
    np_desc_view seen[FILES];
    int n = np_poller_snapshot(poller, &view, seen, FILES, -1);
    int64_t first = ref_first_deadline(&ref);

    AGREE(view.closed, ref.closed);
    AGREE(view.descriptors, ref_count(&ref, 0));
    AGREE(view.tokens_ready, ref.queued);
    AGREE(view.wake_pending, ref.pending);
    AGREE(view.deadline, first);
    for (int i = 0; !ref.closed && i < n; i++) {
        const ref_desc *d = ref_registered(&ref, (int)seen[i].fd);
        AGREE(d != NULL, true);
        AGREE(seen[i].evicted, d->evicted);
        for (int m = 0; m < 2; m++) {
            AGREE(seen[i].mode[m].state, ref_state(&d->side[m]));
            AGREE(seen[i].mode[m].deadline, d->side[m].deadline);
        }
    }
    int64_t left = first - ref_clock;
    AGREE(np_next_deadline(poller), first == 0 ? -1 : left > 0 ? left : 0);
}

static void compare_all(void)
{
    np_stats stats;
    np_poller_stats(poller, &stats);
    AGREE(stats.open, ref_count(&ref, 0));
    AGREE(stats.parked_readers, ref_count(&ref, NP_READ));
    AGREE(stats.parked_writers, ref_count(&ref, NP_WRITE));
    AGREE(stats.deadlines_fired, ref.fired);
    AGREE(stats.waiters, ref_waiters(&ref));
    AGREE(stats.timers_fired, ref.timers_fired);
    AGREE(np_poller_closed(poller), ref.closed);
    for (const handle *h = handles; h < handles + HANDLES; h++) {
        if (!h->d)
            continue;
        AGREE(np_desc_closed(h->d), h->ref->evicted);
        AGREE(np_short_io_means_drained(h->d), !h->ref->no_more_edges);
        compare_side(h, NP_READ);
        compare_side(h, NP_WRITE);
    }
    compare_snapshot();
    compare_semas();
}

/* --- from bytes to calls ---------------------------------------------------------------------- */

static handle *handle_of(int which)
{
    for (int i = 0; i < HANDLES; i++) {
        handle *h = &handles[(which + i) % HANDLES];
        if (h->d)
            return h;
    }
    return NULL;
}

static void on_handle(int call, handle *h, int mode, int value)
{
    int flags = value & 7 ? 0 : NP_IO_ONLY;

    switch (call) {
    case 0:
        doing = "reset";
        AGREE(np_reset(h->d, mode), ref_reset(&ref, h->ref, mode));
        break;
    case 1:
        doing = "park";
        park(h, mode, flags);
        break;
    case 2:
        doing = "resume";
        AGREE(np_resume(h->d, mode, flags), ref_resume(&ref, h->ref, mode, flags));
        break;
    case 3:
        doing = "cancel";
        cancel(h, mode);
        break;
    case 4:
        doing = "wait";
        wait_in_thread(h, mode, flags);
        break;
    case 5:
        doing = "set_deadline";
        set_deadline(h, 1 + value % 3, value / 3, false);
        break;
    case 6:
        doing = "set_deadline_at";
        set_deadline(h, 1 + value % 3, value / 3, true);
        break;
    case 7:
        doing = "set_ready";
        np_set_ready(h->d, 1 + value % 3);
        ref_set_ready(&ref, h->ref, 1 + value % 3);
        break;
    }
}

/* Those that end something. */
static void end_something(int call, handle *h, int value)
{
    switch (call) {
    case 8:
        doing = "unblock";
        AGREE(np_unblock(h->d), NP_OK);
        ref_unblock(&ref, h->ref);
        break;
    case 9:
        doing = "close";
        AGREE(np_close(h->d), NP_OK);
        ref_close(&ref, h->ref);
        break;
    case 10:
        doing = "unref";
        unref_one(h);
        break;
    case 11:
        doing = "ref, or treat_errors_as_ready";
        if (value & 1) {
            np_desc_ref(h->d);
            h->ref->handles++;
        } else {
            np_treat_errors_as_ready(h->d);
            h->ref->errors_ready = true;
            h->ref->event_error = false;
        }
        break;
    }
}

static void on_poller(int call, int value)
{
    switch (call) {
    case 12:
        doing = "poll";
        poll_once(value % 5, value & 128 ? 1 : QUEUE_ASKED);
        break;
    case 13:
        doing = "take_ready";
        take_ready(value % 3);
        break;
    case 14:
        doing = "wake";
        np_wake(poller);
        ref.pending = true;
        break;
    case 15:
        doing = "the clock";
        ref_clock += value % 8;
        break;
    case 16:
        doing = "fileno";
        nest();
        break;
    case 17:
        doing = "poller_close";
        if (value == 77) { /* rare: nothing much can be done afterwards */
            np_poller_close(poller);
            ref_poller_close(&ref);
        }
        break;
    }
}

static void one_call(const uint8_t *bytes)
{
    enum { ON_HANDLES = 12, ON_POLLER = 6, ON_FILES = 4, ON_SEMAS = 10, ALL = 32 };
    enum { TO_OPEN = ON_HANDLES + ON_POLLER, TO_REPLACE = ALL - ON_SEMAS - 1 };
    _Static_assert(ON_HANDLES + ON_POLLER + ON_FILES + ON_SEMAS == ALL, "each byte is a call");
    int call = bytes[0] % ALL, mode = bytes[1] & 1 ? NP_WRITE : NP_READ, value = bytes[2];
    handle *h = handle_of(bytes[1] >> 1);
    file *f = &files[bytes[1] % FILES];

    if (call < ON_HANDLES) {
        if (!h)
            return;
        if (call < 8)
            on_handle(call, h, mode, value);
        else
            end_something(call, h, value);
    } else if (call < ON_HANDLES + ON_POLLER) {
        on_poller(call, value);
    } else if (call > TO_REPLACE) {
        on_sema(call - TO_REPLACE - 1, bytes[1], value);
    } else if (call == TO_OPEN) {
        doing = "open";
        open_one(f);
    } else if (call == TO_REPLACE) {
        doing = "another file under the number";
        replace_file(f, value);
    } else {
        doing = "I/O";
        do_io(f, value % 10);
    }
    if (getenv("FUZZ_TRACE"))
        fprintf(stderr, "%s: on %d, mode %d, with %d\n", doing, bytes[1], mode, value);
    compare_all();
}

/* --- a sequence ------------------------------------------------------------------------------- */

static void begin(bool edges)
{
    ref_clock = 1;
    ref_init(&ref, edges);
    files_made = kept_count = 0;
    last_token = 0;
    memset(handles, 0, sizeof handles);
    begin_semas();
    for (int i = 0; i < FILES; i++) {
        files[i].fd = FIRST_NUMBER + i;
        make_file(&files[i], i == FILES - 1);
    }
    doing = "poller_new";
    AGREE(np_poller_new(edges ? "epoll" : "poll", &poller), NP_OK);
}

static void end(void)
{
    doing = "the end";
    for (handle *h = handles; h < handles + HANDLES; h++)
        while (h->d)
            unref_one(h);
    end_semas();
    compare_all();
    take_ready(QUEUE_ASKED);
    np_poller_unref(poller);
    ref_fini(&ref);
    for (int i = 0; i < FILES; i++) {
        close_number(&files[i]);
        close_peer(&files[i]);
    }
    while (kept_count > 0)
        close(kept[--kept_count]);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    signal(SIGPIPE, SIG_IGN);
    if (size == 0)
        return 0;
    int lowest = lowest_free_number();
    alarm(20);
    begin(bytes[0] & 1);
    for (size_t i = 1; i + 3 <= size && i < 3 * CALLS; i += 3)
        one_call(bytes + i);
    end();
    alarm(0);
    AGREE(lowest_free_number(), lowest);
    return 0;
}
