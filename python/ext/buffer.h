/* The memory of bytes-like objects: buffer.c. */
#ifndef NP_BUFFER_H
#define NP_BUFFER_H

#include "ext.h"

typedef struct ext_buffer {
    PyObject *view; /* a reference that keeps the memory in its place, or NULL */
    char *start;
    Py_ssize_t size;
} ext_buffer;

/* 0, or -1 with an exception set. */
int ext_get_buffer_readable(PyObject *data, ext_buffer *b);
int ext_get_buffer_writable(PyObject *data, ext_buffer *b);
void ext_release_buffer(ext_buffer *b);

#endif
