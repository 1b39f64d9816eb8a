/* Methods of the standard class, called again when the descriptor is ready. */
#include "bind.h"
#include "blocking.h"
#include "socket_ops.h"

#ifndef MSG_FASTOPEN
#define MSG_FASTOPEN 0
#endif

static int call_part(np_op *op, PyObject *bound, PyObject *args, PyObject **got)
{
    int rc = ext_between_parts();

    while (rc == 0 && (rc = ext_try_part(op)) == 0) {
        *got = PyObject_Call(bound, args, NULL);
        if (*got || !PyErr_ExceptionMatches(PyExc_OSError))
            return *got ? 0 : -1;
        if (!PyErr_ExceptionMatches(PyExc_BlockingIOError))
            return EXT_ENDED;
        PyErr_Clear();
        rc = ext_wait(op);
    }
    return rc;
}

/* The parts that a socket in blocking mode would go on with: a generator of _parts.py has the
 * arguments of each.  Takes over the generator; gives the result of the whole. */
static PyObject *call_parts(np_op *op, PyObject *bound, PyObject *parts)
{
    PyObject *got = Py_NewRef(Py_None), *next = NULL;
    PySendResult step = PYGEN_ERROR;

    while (parts && got && (step = PyIter_Send(parts, got, &next)) == PYGEN_NEXT) {
        Py_CLEAR(got);
        int rc = call_part(op, bound, next, &got);
        if (rc < 0 && ext_keep_partial(1, rc))
            got = Py_NewRef(Py_None);
        Py_CLEAR(next);
    }
    Py_XDECREF(got);
    Py_XDECREF(parts);
    return step == PYGEN_RETURN ? next : NULL;
}

/* Its first result is taken over, and that of the whole given. */
typedef PyObject *(*finisher)(np_op *op, PyObject *bound, PyObject *args, int flags, PyObject *got);

static PyObject *call_stdlib(PyObject *self, const char *name, int mode, PyObject *args,
                             Py_ssize_t flags_at, ext_maker eof, finisher finish)
{
    np_op op;
    int flags = 0;
    FdObject *f = ext_fd_of(self);
    PyObject *given = flags_at < PyTuple_Size(args) ? PyTuple_GetItem(args, flags_at) : NULL;

    if (!f || (given && PyLong_Check(given) && !ext_flags(given, &flags)))
        return NULL;
    PyObject *method = PyObject_GetAttrString(ext_bound.standard_socket, name);
    PyObject *bound = method ? PyObject_CallMethod(method, "__get__", "O", self) : NULL;
    PyObject *result = NULL;
    if (bound && ext_begin(&op, f, mode, flags) == 0) {
        if (mode == NP_WRITE || ext_wait_for_low_water(&op, PY_SSIZE_T_MAX, flags) == 0)
            result = ext_call(&op, eof, bound, args);
        if (result && finish && ext_blocks(&op))
            result = finish(&op, bound, args, flags, result);
        ext_end(&op);
    }
    Py_XDECREF(bound);
    Py_XDECREF(method);
    return result;
}

PyObject *ext_call_stdlib(PyObject *self, const char *name, int mode, PyObject *args,
                          Py_ssize_t flags_at, ext_maker eof)
{
    return call_stdlib(self, name, mode, args, flags_at, eof, NULL);
}

static PyObject *finish_sending(np_op *op, PyObject *bound, PyObject *args, int flags,
                                PyObject *sent, PyObject *parts)
{
    PyObject *whole = NULL;
    if (!(flags & MSG_FASTOPEN) || ext_await_connection(op) == 0)
        whole = call_parts(op, bound, PyObject_CallFunctionObjArgs(parts, args, sent, NULL));
    Py_DECREF(sent);
    return whole;
}

static PyObject *finish_sendto(np_op *op, PyObject *bound, PyObject *args, int flags,
                               PyObject *sent)
{
    return finish_sending(op, bound, args, flags, sent, ext_bound.sent_to);
}

/* The arguments, whose last one is an address that may be a name, with one that is none. */
static PyObject *known(PyObject *self, PyObject *args)
{
    return PyObject_CallMethod(self, "_known", "(O)", args);
}

PyObject *ext_sendto_stdlib(PyObject *self, PyObject *args)
{
    Py_ssize_t flags_at = PyTuple_Size(args) == 3 ? 1 : 3;
    PyObject *given = known(self, args);
    PyObject *result =
        given ? call_stdlib(self, "sendto", NP_WRITE, given, flags_at, NULL, finish_sendto) : NULL;
    Py_XDECREF(given);
    return result;
}

static PyObject *sock_accept(PyObject *self, PyObject *args)
{
#ifdef EXT_ACCEPT
    FdObject *f = ext_fd_of(self);
    if (!f || f->file.kind != NP_FILE_MESSAGES)
        return f ? ext_accept(f) : NULL;
#endif
    return ext_call_stdlib(self, "_accept", NP_READ, args, 0, NULL);
}

#ifndef _WIN32
/* What they give for a direction that has ended. */

static PyObject *no_message(void)
{
    return Py_BuildValue("(y[]iO)", "", 0, Py_None);
}

static PyObject *no_message_into(void)
{
    return Py_BuildValue("(i[]iO)", 0, 0, Py_None);
}

/* An iterator would serve one attempt only. */
static PyObject *repeatable(PyObject *args)
{
    for (Py_ssize_t i = 0; i < PyTuple_Size(args); i++)
        if (PyIter_Check(PyTuple_GetItem(args, i)))
            return PyObject_CallFunctionObjArgs(ext_bound.repeatable, args, NULL);
    return Py_NewRef(args);
}

static PyObject *call_repeatable(PyObject *self, const char *name, int mode, PyObject *args,
                                 ext_maker eof, finisher finish)
{
    PyObject *given = repeatable(args);
    PyObject *result = given ? call_stdlib(self, name, mode, given, 2, eof, finish) : NULL;
    Py_XDECREF(given);
    return result;
}

static PyObject *finish_receiving(np_op *op, PyObject *bound, PyObject *args, int flags,
                                  PyObject *got, PyObject *parts)
{
    Py_ssize_t wanted = ext_read_target(op, PY_SSIZE_T_MAX, flags);
    if (wanted <= 1)
        return got;
    PyObject *generator = PyObject_CallFunction(parts, "OOn", args, got, wanted);
    Py_DECREF(got);
    return call_parts(op, bound, generator);
}

static PyObject *finish_recvmsg(np_op *op, PyObject *bound, PyObject *args, int flags,
                                PyObject *got)
{
    return finish_receiving(op, bound, args, flags, got, ext_bound.received);
}

static PyObject *finish_recvmsg_into(np_op *op, PyObject *bound, PyObject *args, int flags,
                                     PyObject *got)
{
    return finish_receiving(op, bound, args, flags, got, ext_bound.received_into);
}

static PyObject *finish_sendmsg(np_op *op, PyObject *bound, PyObject *args, int flags,
                                PyObject *sent)
{
    return finish_sending(op, bound, args, flags, sent, ext_bound.sent_message);
}

static PyObject *sock_recvmsg(PyObject *self, PyObject *args)
{
    return call_stdlib(self, "recvmsg", NP_READ, args, 2, no_message, finish_recvmsg);
}

static PyObject *sock_recvmsg_into(PyObject *self, PyObject *args)
{
    return call_repeatable(self, "recvmsg_into", NP_READ, args, no_message_into,
                           finish_recvmsg_into);
}

static PyObject *sock_sendmsg(PyObject *self, PyObject *args)
{
    enum { WITH_ADDRESS = 4 };
    PyObject *given = PyTuple_Size(args) == WITH_ADDRESS ? known(self, args) : Py_NewRef(args);
    PyObject *result =
        given ? call_repeatable(self, "sendmsg", NP_WRITE, given, NULL, finish_sendmsg) : NULL;
    Py_XDECREF(given);
    return result;
}
#endif

PyMethodDef ext_stdlib_methods[] = {
    {"_accept", sock_accept, METH_VARARGS, NULL},
#ifndef _WIN32
    {"recvmsg", sock_recvmsg, METH_VARARGS, NULL},
    {"recvmsg_into", sock_recvmsg_into, METH_VARARGS, NULL},
    {"sendmsg", sock_sendmsg, METH_VARARGS, NULL},
#endif
    {NULL, NULL, 0, NULL},
};
