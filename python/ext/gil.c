/* Giving the GIL back, and when that is worth while around a call that does not block.
 *
 * A send wakes its peer.  If that is a thread of this process, it wants the GIL at once; so a
 * sender that keeps it until its own next wait makes the peer sleep twice: two switches more for
 * each message.  But beside a thread that computes, who gives the GIL back has it again after a
 * switch interval (5 ms) only.  So a send gives it back unless, lately, it took that long to come
 * again; and then keeps it for twenty times as long as it took: finding out costs a twentieth.
 */
#include "gil.h"

#include <errno.h>

#ifdef _WIN32
#include <windows.h>
#endif

enum { PATIENCE = 20, SLOW_NS = 4000000 };

/* Calls of the calling thread that began without the GIL: it has none to give back. */
static _Thread_local int without_gil;

#ifdef Py_GIL_DISABLED

bool ext_gil_is_quick(void)
{
    return false; /* there is nothing to give back */
}

static void take(PyThreadState *state)
{
    PyEval_RestoreThread(state);
}

#else

/* An instant of np_now, or 0: until then the GIL is taken to be slow to come back. */
static int64_t slow_until;

bool ext_gil_is_quick(void)
{
    if (slow_until && np_now() >= slow_until)
        slow_until = 0;
    return slow_until == 0;
}

static void take(PyThreadState *state)
{
    int64_t start = np_now();
    PyEval_RestoreThread(state);
    int64_t now = np_now();
    if (now - start > SLOW_NS)
        slow_until = now + (now - start) * PATIENCE;
}

#endif

void *ext_give_gil_back(void)
{
    return without_gil ? NULL : PyEval_SaveThread();
}

/* The error of the call before it outlives it. */
void ext_take_gil(void *state)
{
    if (!state)
        return;
#ifdef _WIN32
    DWORD error = GetLastError();
    take(state);
    SetLastError(error);
#else
    int error = errno;
    take(state);
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
