/* netpoll for extension modules: the core that the package netpoll runs on, reached through a
 * capsule.
 *
 *     #include <netpoll_api.h>               compile with -I from netpoll.get_include()
 *
 *     static const netpoll_api *np;          once, in the module's init function
 *     np = netpoll_import();
 *     if (!np)
 *         return NULL;                       ImportError is set
 *
 *     np_desc *d = np->desc_of(object);      object is a netpoll.PollDesc
 *     int rc;
 *     while ((rc = np->wait(d, NP_READ)) != NP_OK)
 *         if (np->raise(d, NP_READ, rc) < 0)
 *             return NULL;
 *
 * Every function np_xyz of netpoll.h, up to its line "cdef: end", is the member xyz; what it means
 * stands there.  Nothing is
 * linked with: there is one core in the process, and everybody shares its pollers.
 *
 * The GIL.  No function that netpoll.h calls non-blocking looks at it: call them with it or
 * without. wait, wait_canceled, poll and iocp_finish want it held, and give it back while they
 * block; a thread without it calls the forms that end in _nogil.
 *
 * Tokens.  What np->park parks comes out of whoever polls.  A Poller of Python takes its tokens for
 * Python objects: park on pollers that are yours alone (poller_new), never on Python's.
 *
 * Greenlets.  np->wait blocks the calling thread, hub or not.  PollDesc.wait, called as any method
 * of Python is, parks the greenlet.
 *
 * The ABI.  Within one major version members are added at the end only, each addition a minor
 * version, and no type that is passed changes.  So an extension runs with every netpoll of the
 * major version that it was compiled for, from that minor version on; netpoll_import sees to it.
 */
#ifndef NETPOLL_API_H
#define NETPOLL_API_H

#include <Python.h>

#include "netpoll.h"

#ifdef __cplusplus
extern "C" {
#endif

#define NETPOLL_ABI_MAJOR 1
#define NETPOLL_ABI_MINOR 0

#define NETPOLL_CAPSULE "netpoll._C_API"

struct np_iocp_op; /* netpoll_iocp.h, on Windows */

typedef struct netpoll_api {
    int abi_major, abi_minor; /* what the table is; the first members for ever */

    /* --- netpoll.h, in its order --- */
    const char *(*backend_name)(int i);
    int (*poller_new)(const char *backend, np_poller **out);
    void (*poller_close)(np_poller *p);
    void (*poller_ref)(np_poller *p);
    void (*poller_unref)(np_poller *p);
    const char *(*poller_backend)(const np_poller *p);
    int (*poller_closed)(const np_poller *p);
    int (*poll)(np_poller *p, int64_t timeout_ns, np_token *tokens, int max, int *n);
    int (*take_ready)(np_poller *p, np_token *tokens, int max);
    void (*wake)(np_poller *p);
    int (*poller_fileno)(np_poller *p, np_fd *out);
    int64_t (*next_deadline)(np_poller *p);
    int (*is_poll_descriptor)(np_poller *p, np_fd fd);
    void (*poller_stats)(np_poller *p, np_stats *out);
    int (*open)(np_poller *p, np_fd fd, np_desc **out);
    void (*desc_ref)(np_desc *d);
    void (*desc_unref)(np_desc *d);
    np_fd (*desc_fd)(const np_desc *d);
    np_poller *(*desc_poller)(const np_desc *d);
    int (*desc_closed)(const np_desc *d);
    int (*reset)(np_desc *d, int mode);
    int (*wait)(np_desc *d, int mode);
    int (*wait_canceled)(np_desc *d, int mode);
    int (*park)(np_desc *d, int mode, np_token token, int flags);
    int (*resume)(np_desc *d, int mode, int flags);
    int (*cancel)(np_desc *d, int mode, np_token *token);
    int (*cancel_token)(np_desc *d, int mode, np_token token);
    int (*set_deadline)(np_desc *d, int64_t timeout_ns, int modes);
    int (*set_deadline_at)(np_desc *d, int64_t when, int modes);
    int (*deadline)(const np_desc *d, int mode, int64_t *left);
    int (*is_ready)(const np_desc *d, int mode);
    int (*is_parked)(const np_desc *d, int mode);
    int (*holds_token)(const np_desc *d, int mode);
    void (*errors_are_ready)(np_desc *d);
    int (*short_is_drained)(const np_desc *d);
    void (*set_ready)(np_desc *d, int modes);
    int (*unblock)(np_desc *d);
    int (*close)(np_desc *d);
    int (*fdmutex_lock)(np_fdmutex *m, int mode);
    int (*fdmutex_lock_or_queue)(np_fdmutex *m, int mode);
    int (*fdmutex_unlock)(np_fdmutex *m, int mode);
    void (*fdmutex_dequeued)(np_fdmutex *m, int mode);
    int (*fdmutex_close)(np_fdmutex *m);
    int (*fdmutex_closed)(const np_fdmutex *m);
    int (*pollers)(np_poller **out, int max);
    int (*poller_snapshot)(np_poller *p, np_poller_view *poller, np_desc_view *descs, int max,
                           int64_t patience_ns);
    int (*waiting_alone)(np_alone_view *out, int max);
    int (*describe_fd)(np_fd fd, char *text, int size);
    void (*report)(int fd);
    int (*report_on_signal)(int signum, int fd, int chain);
    int64_t (*now)(void);
    void (*look_for_signals)(void);
    int (*desc_size)(void);
    const char *(*features)(void);

    /* --- netpoll_iocp.h; NULL but on Windows --- */
    int (*iocp_begin)(struct np_iocp_op *op, np_desc *d, int mode);
    int (*iocp_finish)(struct np_iocp_op *op, int error, uint32_t *bytes);

    /* --- the same for a thread that does not hold the GIL: a thread of your own, a nogil block ---
     */
    int (*wait_nogil)(np_desc *d, int mode);
    int (*wait_canceled_nogil)(np_desc *d, int mode);
    int (*poll_nogil)(np_poller *p, int64_t timeout_ns, np_token *tokens, int max, int *n);

    /* --- Python's objects; all of these with the GIL held --- */

    /* What a Poller, a PollDesc is made of: borrowed, good for as long as the object lives or
     * poller_ref, desc_ref keep it.  NULL: TypeError is set. */
    np_poller *(*poller_of)(PyObject *poller);
    np_desc *(*desc_of)(PyObject *desc);

    /* And back: a new Poller around p; a new PollDesc around d, which was opened on what poller, a
     * Poller, is made of.  One such object for each p and d, ever.  They take references of their
     * own, and what is theirs from here on is closed when they die.  NULL: an exception is set. */
    PyObject *(*poller_object)(np_poller *p);
    PyObject *(*desc_object)(PyObject *poller, np_desc *d);

    /* What a result of the core means to Python.  -1: the exception is set that PollDesc would
     * raise for it.  0: go on, for rc was NP_OK; or NP_INTERRUPTED, when the signal handlers of
     * Python have run and raised nothing. */
    int (*raise)(np_desc *d, int mode, int rc);
    int (*raise_poller)(int rc);
} netpoll_api;

/* The table, or NULL with ImportError set: there is no netpoll, it has no C interface (PyPy), or
 * not the one that you were compiled for. */
static inline const netpoll_api *netpoll_import(void)
{
    const netpoll_api *api = (const netpoll_api *)PyCapsule_Import(NETPOLL_CAPSULE, 0);

    if (!api) {
        if (PyErr_ExceptionMatches(PyExc_AttributeError))
            PyErr_SetString(PyExc_ImportError, "the netpoll that is installed has no C interface");
        return NULL;
    }
    if (api->abi_major == NETPOLL_ABI_MAJOR && api->abi_minor >= NETPOLL_ABI_MINOR)
        return api;
    PyErr_Format(PyExc_ImportError,
                 "compiled for version %d.%d of netpoll's C ABI, but the netpoll that is installed "
                 "has version %d.%d: %s",
                 NETPOLL_ABI_MAJOR, NETPOLL_ABI_MINOR, api->abi_major, api->abi_minor,
                 api->abi_major > NETPOLL_ABI_MAJOR ? "compile this extension anew"
                                                    : "install a later netpoll");
    return NULL;
}

#ifdef __cplusplus
}
#endif
#endif
