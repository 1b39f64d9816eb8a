/* Releasing the GIL, and when that pays around a call that does not block.
 *
 * A send wakes its peer.  If that is a thread of this process, it wants the GIL at once; a sender
 * that keeps it until its own next wait makes the peer sleep twice: two switches more for each
 * message.  But beside a thread that computes, a released GIL comes back only after a switch
 * interval (5 ms).  So a send releases it unless, lately, it took that long to get it again; then
 * it keeps it for BACKOFF_FACTOR times as long as that took: finding out costs a twentieth.
 */
#include "gil.h"

#include <errno.h>

#ifdef _WIN32
#include <windows.h>
#endif

enum { BACKOFF_FACTOR = 20, SLOW_NS = 4000000, SWITCH_INTERVAL_NS = 5000000 };

/* Calls of the calling thread that began without the GIL: it has none to release. */
static _Thread_local int without_gil;

#ifdef Py_GIL_DISABLED

bool ext_gil_uncontended(void)
{
    return false; /* there is nothing to release */
}

static void restore(PyThreadState *state)
{
    PyEval_RestoreThread(state);
}

static void yield_gil(void)
{
}

#else

/* An instant of np_now, or 0: until then the GIL counts as contended. */
static int64_t contended_until;

bool ext_gil_uncontended(void)
{
    if (contended_until && np_now() >= contended_until)
        contended_until = 0;
    return contended_until == 0;
}

static void restore(PyThreadState *state)
{
    int64_t start = np_now();
    PyEval_RestoreThread(state);
    int64_t now = np_now();
    if (now - start > SLOW_NS)
        contended_until = now + (now - start) * BACKOFF_FACTOR;
}

/* When it was last yielded; by whichever thread, as there is one GIL. */
static int64_t yielded;

static void yield_gil(void)
{
    if (without_gil || np_now() - yielded < SWITCH_INTERVAL_NS)
        return;
    PyEval_RestoreThread(PyEval_SaveThread());
    yielded = np_now();
}

#endif

int ext_check_eval_breaker(void)
{
    yield_gil();
    return PyErr_CheckSignals();
}

void *ext_release_gil(void)
{
    return without_gil ? NULL : PyEval_SaveThread();
}

/* The error of the call before it outlives it. */
void ext_acquire_gil(void *state)
{
    if (!state)
        return;
#ifdef _WIN32
    DWORD error = GetLastError();
    restore(state);
    SetLastError(error);
#else
    int error = errno;
    restore(state);
    errno = error;
#endif
}

int ext_wait_nogil(np_desc *d, int mode)
{
    without_gil++;
    int rc = np_wait(d, mode);
    without_gil--;
    return rc;
}

int ext_wait_canceled_nogil(np_desc *d, int mode)
{
    without_gil++;
    int rc = np_wait_canceled(d, mode);
    without_gil--;
    return rc;
}

int ext_poll_nogil(np_poller *p, int64_t timeout_ns, np_token *tokens, int max, int *n)
{
    without_gil++;
    int rc = np_poll(p, timeout_ns, tokens, max, n);
    without_gil--;
    return rc;
}

int ext_sema_acquire_nogil(np_sema *s, int64_t until, const char *what, uint64_t *place)
{
    without_gil++;
    int rc = np_sema_acquire(s, until, what, place);
    without_gil--;
    return rc;
}

int ext_file_close_nogil(np_file *f, int detach)
{
    without_gil++;
    int rc = np_file_close(f, detach);
    without_gil--;
    return rc;
}

int ext_op_wait_nogil(np_op *op, np_poller *p)
{
    without_gil++;
    int rc = np_op_wait(op, p);
    without_gil--;
    return rc;
}

int ext_op_end_nogil(np_op *op)
{
    without_gil++;
    int rc = np_op_end(op);
    without_gil--;
    return rc;
}
