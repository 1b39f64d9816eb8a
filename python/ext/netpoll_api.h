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
 * Every function np_xyz of netpoll.h, up to its line "cdef: end", is the member xyz, documented
 * there.  The extension links with no library: there is one core in the process, and all share its
 * pollers.
 *
 * The GIL.  Call functions that cannot block with it or without.  wait,
 * wait_canceled, poll, sema_acquire, op_wait and iocp_finish want it held, and release it while
 * they block; so do file_close and op_end, which may close the number.  A thread without it calls
 * the forms that end in _nogil.
 *
 * Tokens.  A token of np->park comes out of any poll of its poller.  A Poller of Python takes its
 * tokens for Python objects: park on pollers that are yours alone (poller_new), never on Python's.
 *
 * Greenlets.  np->wait blocks the calling thread, hub or not.  PollDesc.wait, called as any method
 * of Python is, parks the greenlet.
 *
 * The ABI.  Within one major version members are added at the end only, each addition a minor
 * version, and no type that is passed changes.  So an extension runs with every netpoll of the
 * major version that it was compiled for, from that minor version on; netpoll_import checks.
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
    int (*park_at)(np_desc *d, int mode, np_token token, int flags, np_poller *home);
    int (*cancel)(np_desc *d, int mode, np_token *token);
    int (*cancel_token)(np_desc *d, int mode, np_token token);
    int (*set_deadline)(np_desc *d, int64_t timeout_ns, int modes);
    int (*set_deadline_at)(np_desc *d, int64_t when, int modes);
    int (*deadline)(const np_desc *d, int mode, int64_t *left);
    int (*is_ready)(const np_desc *d, int mode);
    int (*is_parked)(const np_desc *d, int mode);
    int (*holds_token)(const np_desc *d, int mode);
    void (*treat_errors_as_ready)(np_desc *d);
    int (*short_io_means_drained)(const np_desc *d);
    void (*set_ready)(np_desc *d, int modes);
    int (*unblock)(np_desc *d);
    int (*close)(np_desc *d);
    void (*sema_init)(np_sema *s, uint32_t count);
    int (*sema_try)(np_sema *s);
    int (*sema_acquire)(np_sema *s, int64_t until, const char *what, uint64_t *place);
    void (*sema_release)(np_sema *s, uint32_t n);
    int (*sema_release_within)(np_sema *s, uint32_t n, uint32_t limit);
    void (*sema_open)(np_sema *s);
    void (*sema_reset)(np_sema *s);
    int (*sema_is_open)(const np_sema *s);
    void (*sema_shut)(np_sema *s);
    int (*sema_is_shut)(const np_sema *s);
    int (*sema_take)(np_sema *s);
    uint32_t (*sema_count)(const np_sema *s);
    int (*sema_park)(np_sema *s, np_waiter *w, np_poller *p, np_token token, int64_t until,
                     const char *what);
    int (*timer_start)(np_waiter *w, np_poller *p, np_token token, int64_t when, const char *what);
    int (*timer_move)(np_waiter *w, int64_t when);
    int (*waiter_resume)(np_waiter *w);
    int (*waiter_cancel)(np_waiter *w, int *result);
    int (*waiter_parked)(const np_waiter *w);
    int (*file_new)(np_fd fd, int kind, np_file **out);
    void (*file_free)(np_file *f);
    np_fd (*file_fd)(const np_file *f);
    int (*file_kind)(const np_file *f);
    int (*file_closed)(const np_file *f);
    int64_t (*file_timeout)(const np_file *f);
    void (*file_set_timeout)(np_file *f, int64_t ns);
    int64_t (*file_option_timeout)(const np_file *f, int mode);
    void (*file_set_option_timeout)(np_file *f, int64_t ns, int mode);
    int (*file_set_deadline)(np_file *f, int64_t when, int modes);
    int64_t (*file_deadline)(const np_file *f, int mode);
    void (*file_retry)(np_file *f, int mode);
    int (*file_close)(np_file *f, int detach);
    np_sema *(*file_awaited)(np_file *f, int may_park);
    int (*op_begin)(np_op *op, np_file *f, int mode, int may_wait);
    int (*op_try)(np_op *op);
    void (*op_moved)(np_op *op, int64_t n, int64_t wanted);
    int (*op_wait)(np_op *op, np_poller *p);
    int (*op_park)(np_op *op, np_poller *p, np_waiter *w, np_token token);
    int (*op_resume)(np_op *op, np_waiter *w);
    int (*op_cancel)(np_op *op, np_waiter *w);
    int (*op_end)(np_op *op);
    int (*pollers)(np_poller **out, int max);
    int (*poller_snapshot)(np_poller *p, np_poller_view *poller, np_desc_view *descs, int max,
                           int64_t timeout_ns);
    int (*fd_waiters)(np_fd_wait_view *out, int max);
    int (*poller_waits)(np_poller *p, np_wait_view *out, int max, int64_t timeout_ns);
    int (*thread_waits)(np_wait_view *out, int max, int64_t timeout_ns);
    int (*describe_fd)(np_fd fd, char *text, int size);
    void (*report)(int fd);
    int (*report_on_signal)(int signum, int fd, int chain);
    int64_t (*now)(void);
    void (*enable_signal_checks)(void);
    void (*begin_wait)(void);
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
    int (*sema_acquire_nogil)(np_sema *s, int64_t until, const char *what, uint64_t *place);
    int (*file_close_nogil)(np_file *f, int detach);
    int (*op_wait_nogil)(np_op *op, np_poller *p);
    int (*op_end_nogil)(np_op *op);

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
