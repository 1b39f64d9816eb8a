/* Arguments: modes, times, descriptors. */
#include <errno.h>
#include <limits.h>
#include <math.h>

#include "ext.h"

static bool mode_between(const DescObject *d, PyObject *arg, long high, const char *what, int *out)
{
    long v = PyLong_Check(arg) ? PyLong_AsLong(arg) : 0;
    if (v == -1 && PyErr_Occurred())
        PyErr_Clear(); /* too large for a long: no mode in any case */
    if (v < NP_READ || v > high) {
        long long fd = d->desc ? (long long)np_desc_fd(d->desc) : -1;
        PyErr_Format(PyExc_ValueError, "fd %lld: mode is %s, not %R", fd, what, arg);
        return false;
    }
    *out = (int)v;
    return true;
}

bool ext_mode(const DescObject *d, PyObject *arg, int *mode)
{
    return mode_between(d, arg, NP_WRITE, "READ or WRITE", mode);
}

bool ext_modes(const DescObject *d, PyObject *arg, int *modes)
{
    return mode_between(d, arg, NP_READ | NP_WRITE, "READ, WRITE or both", modes);
}

/* NaN, of which nothing else can be said. */
static bool refuse_nan(const DescObject *d)
{
    if (d && d->desc)
        PyErr_Format(PyExc_ValueError, "fd %lld: the deadline is NaN",
                     (long long)np_desc_fd(d->desc));
    else
        PyErr_SetString(PyExc_ValueError, "the timeout is NaN");
    return false;
}

/* Rounded up, so that nothing is early.  What does not fit is for ever. */
bool ext_timeout(const DescObject *d, PyObject *arg, int64_t none, int64_t *ns)
{
    if (arg == Py_None) {
        *ns = none;
        return true;
    }
    double seconds = PyFloat_AsDouble(arg);
    if (seconds == -1.0 && PyErr_Occurred()) {
        if (!PyErr_ExceptionMatches(PyExc_OverflowError))
            return false;
        PyErr_Clear(); /* an int too large for a double: its sign tells */
        PyObject *zero = PyLong_FromLong(0);
        int negative = zero ? PyObject_RichCompareBool(arg, zero, Py_LT) : -1;
        Py_XDECREF(zero);
        if (negative < 0)
            return false;
        seconds = negative ? -HUGE_VAL : HUGE_VAL;
    }
    if (isnan(seconds))
        return refuse_nan(d);
    double nanoseconds = ceil(seconds * 1e9);
    *ns = nanoseconds <= 0 ? 0 : nanoseconds >= 9.2e18 ? none : (int64_t)nanoseconds;
    return true;
}

/* Numbers that do not fit become -1, which the kernel calls a bad one. */
bool ext_fd(PyObject *arg, np_fd *fd)
{
    int overflow = 0;
    long long v = PyLong_AsLongLongAndOverflow(arg, &overflow);
    if (v == -1 && PyErr_Occurred())
        return false;
#ifdef _WIN32
    *fd = overflow ? -1 : (np_fd)v;
#else
    *fd = overflow || v < INT_MIN || v > INT_MAX ? -1 : (np_fd)v;
#endif
    return true;
}

/* Where the argument of that name goes; -1 for no such name. */
static int position(const ext_signature *s, PyObject *name)
{
    for (int i = 0; i < s->max; i++)
        if (PyUnicode_CompareWithASCIIString(name, s->names[i]) == 0)
            return i;
    return -1;
}

static bool complain(const ext_signature *s, const char *what, PyObject *name)
{
    PyErr_Format(PyExc_TypeError, "%s() %s %R", s->function, what, name);
    return false;
}

bool ext_arguments(const ext_signature *s, PyObject *const *args, Py_ssize_t n, PyObject *names,
                   PyObject **out)
{
    Py_ssize_t named = names ? PyTuple_Size(names) : 0;

    for (Py_ssize_t i = 0; i < s->max; i++)
        out[i] = i < n ? args[i] : NULL;
    for (Py_ssize_t i = 0; i < named; i++) {
        PyObject *name = PyTuple_GetItem(names, i);
        int at = position(s, name);
        if (at < 0)
            return complain(s, "got an unexpected argument", name);
        if (out[at])
            return complain(s, "got multiple values for argument", name);
        out[at] = args[n + i];
    }
    int given = 0;
    while (given < s->min && out[given])
        given++;
    if (given == s->min && n + named <= s->max)
        return true;
    PyErr_Format(PyExc_TypeError, "%s() takes %d to %d arguments (%zd given)", s->function, s->min,
                 s->max, n + named);
    return false;
}
