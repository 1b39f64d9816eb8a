/* Waiting on a PollDesc: for threads, greenlets and schedulers; and deadlines.  The calls that
 * cannot block cost an argument and a few atomic instructions. */
#include "core/internal.h"
#include "desc.h"
#include "wait.h"

/* --- the note of what is parked -------------------------------------------------------------- */

/* np_park_at.  While parked the core owns a reference to the token, and may have given it out
 * before np_park_at returns. */
int ext_park(DescObject *d, int mode, PyObject *token, int flags, np_poller *home)
{
    PyObject *before = NULL;

    Py_INCREF(token);
    EXT_LOCK(d);
    int rc = np_park_at(d->desc, mode, (np_token)token, flags, home);
    if (rc == NP_PARKED) {
        before = d->parked[mode - 1];
        Py_INCREF(token);
        d->parked[mode - 1] = token;
    }
    EXT_UNLOCK(d);
    if (rc != NP_PARKED)
        Py_DECREF(token);
    Py_XDECREF(before);
    return rc;
}

/* If this token was the last that was parked: it no longer is, and may be withdrawn.  True: it will
 * not come out. */
bool ext_forget_parked(DescObject *d, int mode, PyObject *token, bool cancel)
{
    np_token withdrawn = 0;

    EXT_LOCK(d);
    bool last = d->parked[mode - 1] == token;
    if (last) {
        d->parked[mode - 1] = NULL;
        if (cancel && !np_withdraw(d->desc, mode, &withdrawn))
            withdrawn = 0;
    }
    EXT_UNLOCK(d);
    if (last)
        Py_DECREF(token);
    return withdrawn != 0;
}

/* --- waiting --------------------------------------------------------------------------------- */

/* The one argument of most methods. */
static bool mode_argument(DescObject *d, const char *function, PyObject *const *args, Py_ssize_t n,
                          PyObject *names, int *mode)
{
    ext_signature s = {function, 1, 1, {"mode"}};
    PyObject *arg;
    if (n == 1 && !names)
        arg = args[0];
    else if (!ext_arguments(&s, args, n, names, &arg))
        return false;
    if (!ext_mode(d, arg, mode))
        return false;
    if (!d->desc)
        ext_desc_unopened();
    return d->desc != NULL;
}

PyObject *ext_desc_reset(PyObject *self, ARGUMENTS)
{
    DescObject *d = (DescObject *)self;
    int mode;
    if (!mode_argument(d, "reset", args, n, names, &mode))
        return NULL;
    int rc = np_reset(d->desc, mode);
    if (rc != NP_OK)
        return ext_raise(d, mode, rc);
    Py_RETURN_NONE;
}

static PyObject *waited(const DescObject *d, int mode, int rc)
{
    if (rc == NP_OK)
        Py_RETURN_NONE;
    return rc == EXT_RAISED ? NULL : ext_raise(d, mode, rc);
}

/* In a thread with a hub the greenlet waits, elsewhere the thread. */
static PyObject *wait_here(DescObject *d, int mode, int flags)
{
    HubObject *h = ext_hub();
    if (ext_coop_yield(true) < 0)
        return NULL;
    return waited(d, mode,
                  h ? ext_wait_in_hub(h, d, mode, flags) : ext_wait_in_thread(d, mode, flags));
}

PyObject *ext_desc_wait(PyObject *self, ARGUMENTS)
{
    DescObject *d = (DescObject *)self;
    int mode;
    return mode_argument(d, "wait", args, n, names, &mode) ? wait_here(d, mode, 0) : NULL;
}

PyObject *ext_desc_wait_canceled(PyObject *self, ARGUMENTS)
{
    DescObject *d = (DescObject *)self;
    int mode;
    return mode_argument(d, "wait_canceled", args, n, names, &mode) ? wait_here(d, mode, NP_IO_ONLY)
                                                                    : NULL;
}

/* --- schedulers ------------------------------------------------------------------------------ */

PyObject *ext_desc_park(PyObject *self, ARGUMENTS)
{
    static const ext_signature s = {"park", 2, 2, {"mode", "token"}};
    DescObject *d = (DescObject *)self;
    PyObject *given[2];
    int mode;
    if (!ext_arguments(&s, args, n, names, given) || !ext_mode(d, given[0], &mode))
        return NULL;
    REQUIRE_OPENED(d);
    int rc = ext_park(d, mode, given[1], 0, np_desc_poller(d->desc));
    if (rc == NP_PARKED)
        Py_RETURN_TRUE;
    if (rc == NP_OK)
        Py_RETURN_FALSE;
    return ext_raise(d, mode, rc);
}

PyObject *ext_desc_resume(PyObject *self, ARGUMENTS)
{
    DescObject *d = (DescObject *)self;
    PyObject *note = NULL;
    int mode;
    if (!mode_argument(d, "resume", args, n, names, &mode))
        return NULL;

    EXT_LOCK(d);
    if (!np_holds_token(d->desc, mode)) { /* else another token is parked by now */
        note = d->parked[mode - 1];
        d->parked[mode - 1] = NULL;
    }
    EXT_UNLOCK(d);
    Py_XDECREF(note);
    int rc = np_resume(d->desc, mode, 0);
    if (rc == NP_OK)
        Py_RETURN_TRUE;
    if (rc == NP_AGAIN)
        Py_RETURN_FALSE;
    return ext_raise(d, mode, rc);
}

PyObject *ext_desc_cancel(PyObject *self, ARGUMENTS)
{
    DescObject *d = (DescObject *)self;
    np_token token;
    int mode;
    if (!mode_argument(d, "cancel", args, n, names, &mode))
        return NULL;

    EXT_LOCK(d);
    PyObject *note = d->parked[mode - 1];
    bool withdrawn = !(note && ext_is_waiter(note)) && np_cancel(d->desc, mode, &token);
    if (withdrawn)
        d->parked[mode - 1] = NULL;
    EXT_UNLOCK(d);
    if (!withdrawn)
        Py_RETURN_FALSE;
    Py_XDECREF(note);
    Py_DECREF((PyObject *)token);
    Py_RETURN_TRUE;
}

/* --- deadlines ------------------------------------------------------------------------------- */

PyObject *ext_desc_set_deadline(PyObject *self, ARGUMENTS)
{
    static const ext_signature s = {"set_deadline", 1, 2, {"timeout", "mode"}};
    DescObject *d = (DescObject *)self;
    PyObject *given[2];
    int64_t ns;
    int modes = NP_READ | NP_WRITE;

    if (!ext_arguments(&s, args, n, names, given) || !ext_timeout(d, given[0], NP_NEVER, &ns) ||
        (given[1] && !ext_modes(d, given[1], &modes)))
        return NULL;
    REQUIRE_OPENED(d);
    int rc = np_set_deadline(d->desc, ns, modes);
    if (rc != NP_OK)
        return ext_raise(d, modes, rc);
    Py_RETURN_NONE;
}

PyObject *ext_desc_deadline(PyObject *self, ARGUMENTS)
{
    DescObject *d = (DescObject *)self;
    int64_t left;
    int mode;
    if (!mode_argument(d, "deadline", args, n, names, &mode))
        return NULL;
    if (!np_deadline(d->desc, mode, &left))
        Py_RETURN_NONE;
    return PyFloat_FromDouble((double)left / 1e9);
}
