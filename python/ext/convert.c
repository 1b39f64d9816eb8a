/* Arguments: modes, times, descriptors, sizes, flags. */
#include <errno.h>
#include <limits.h>
#include <math.h>

#include "ext.h"

static bool mode_up_to(long high, PyObject *arg, int *mode)
{
    long v = PyLong_Check(arg) ? PyLong_AsLong(arg) : 0;
    if (v == -1 && PyErr_Occurred())
        PyErr_Clear(); /* too large for a long: no mode in any case */
    *mode = (int)v;
    return v >= NP_READ && v <= high;
}

static bool raise_bad_mode(long long fd, const char *what, PyObject *arg)
{
    PyErr_Format(PyExc_ValueError, "fd %lld: mode is %s, not %R", fd, what, arg);
    return false;
}

static long long fd_of(const DescObject *d)
{
    return d->desc ? (long long)np_desc_fd(d->desc) : -1;
}

bool ext_mode_of_fd(long long fd, PyObject *arg, int *mode)
{
    return mode_up_to(NP_WRITE, arg, mode) || raise_bad_mode(fd, "READ or WRITE", arg);
}

bool ext_mode(const DescObject *d, PyObject *arg, int *mode)
{
    return mode_up_to(NP_WRITE, arg, mode) || raise_bad_mode(fd_of(d), "READ or WRITE", arg);
}

bool ext_modes(const DescObject *d, PyObject *arg, int *modes)
{
    return mode_up_to(NP_READ | NP_WRITE, arg, modes) ||
           raise_bad_mode(fd_of(d), "READ, WRITE or both", arg);
}

/* NaN, of which nothing else can be said. */
static bool raise_nan(const DescObject *d)
{
    if (d && d->desc)
        PyErr_Format(PyExc_ValueError, "fd %lld: the deadline is NaN",
                     (long long)np_desc_fd(d->desc));
    else
        PyErr_SetString(PyExc_ValueError, "the timeout is NaN");
    return false;
}

/* A TypeError of the conversion has no name of what was converted. */
static bool raise_no_number(const DescObject *d, PyObject *arg)
{
    if (!PyErr_ExceptionMatches(PyExc_TypeError))
        return false;
    PyErr_Clear();
    if (d && d->desc)
        PyErr_Format(PyExc_TypeError, "fd %lld: seconds must be a number or None, not %R",
                     (long long)np_desc_fd(d->desc), arg);
    else
        PyErr_Format(PyExc_TypeError, "seconds must be a number or None, not %R", arg);
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
            return raise_no_number(d, arg);
        PyErr_Clear(); /* an int too large for a double: its sign tells */
        PyObject *zero = PyLong_FromLong(0);
        int negative = zero ? PyObject_RichCompareBool(arg, zero, Py_LT) : -1;
        Py_XDECREF(zero);
        if (negative < 0)
            return false;
        seconds = negative ? -HUGE_VAL : HUGE_VAL;
    }
    if (isnan(seconds))
        return raise_nan(d);
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

NP_HOT bool ext_size(PyObject *arg, Py_ssize_t *n)
{
    *n = PyNumber_AsSsize_t(arg, PyExc_OverflowError);
    return !(*n == -1 && PyErr_Occurred());
}

NP_HOT bool ext_flags(PyObject *arg, int *flags)
{
    *flags = 0;
    if (!arg)
        return true;
    long v = PyLong_AsLong(arg);
    if (v == -1 && PyErr_Occurred())
        return false;
    if (v != (int)v) {
        PyErr_SetString(PyExc_OverflowError, "flags do not fit into a C int");
        return false;
    }
    *flags = (int)v;
    return true;
}

static bool raise_bad_count(const char *name, Py_ssize_t min, Py_ssize_t max, Py_ssize_t given)
{
    if (min == max)
        PyErr_Format(PyExc_TypeError, "%s() takes %zd argument%s (%zd given)", name, min,
                     min == 1 ? "" : "s", given);
    else
        PyErr_Format(PyExc_TypeError, "%s() takes %zd to %zd arguments (%zd given)", name, min, max,
                     given);
    return false;
}

void ext_raise_arg_count(const char *name, Py_ssize_t n, Py_ssize_t min, Py_ssize_t max)
{
    raise_bad_count(name, min, max, n);
}

/* Where the argument of that name goes; -1 for no such name. */
static int position(const ext_signature *s, PyObject *name)
{
    for (int i = 0; i < s->max; i++)
        if (PyUnicode_CompareWithASCIIString(name, s->names[i]) == 0)
            return i;
    return -1;
}

static bool raise_bad_call(const ext_signature *s, const char *what, PyObject *name)
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
            return raise_bad_call(s, "got an unexpected argument", name);
        if (out[at])
            return raise_bad_call(s, "got multiple values for argument", name);
        out[at] = args[n + i];
    }
    int given = 0;
    while (given < s->min && out[given])
        given++;
    if (given == s->min && n + named <= s->max)
        return true;
    return raise_bad_count(s->function, s->min, s->max, n + named);
}
