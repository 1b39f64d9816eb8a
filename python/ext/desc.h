/* What the files of the type DescBase share: desc_type.c, desc_open.c, desc_wait.c. */
#ifndef NP_DESC_H
#define NP_DESC_H

#include "ext.h"

/* METH_FASTCALL | METH_KEYWORDS */
#define ARGUMENTS PyObject *const *args, Py_ssize_t n, PyObject *names

PyObject *ext_desc_unopened(void); /* raises, and returns NULL */

#define REQUIRE_OPENED(d)                                                                          \
    do {                                                                                           \
        if (!(d)->desc)                                                                            \
            return ext_desc_unopened();                                                            \
    } while (0)

/* desc_open.c */
int ext_desc_init(PyObject *self, PyObject *args, PyObject *kwargs);
void ext_desc_unlink(DescObject *d); /* from its poller's list */
PyObject *ext_desc_adopt(PyObject *self, PyObject *args);

/* desc_wait.c */
PyObject *ext_desc_reset(PyObject *self, ARGUMENTS);
PyObject *ext_desc_wait(PyObject *self, ARGUMENTS);
PyObject *ext_desc_wait_canceled(PyObject *self, ARGUMENTS);
PyObject *ext_desc_park(PyObject *self, ARGUMENTS);
PyObject *ext_desc_resume(PyObject *self, ARGUMENTS);
PyObject *ext_desc_cancel(PyObject *self, ARGUMENTS);
PyObject *ext_desc_set_deadline(PyObject *self, ARGUMENTS);
PyObject *ext_desc_deadline(PyObject *self, ARGUMENTS);

#endif
