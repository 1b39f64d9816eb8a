# cython: language_level=3
"""Counts the bytes that a descriptor brings, in Cython, without the GIL: a wait in a nogil block."""

from libc.errno cimport EAGAIN, errno
from posix.unistd cimport read


cdef extern from "netpoll_api.h":
    ctypedef struct np_desc
    ctypedef struct netpoll_api:
        np_desc *(*desc_of)(object)
        int (*reset)(np_desc *, int) nogil
        int (*wait_nogil)(np_desc *, int) nogil
        int (*throw "raise")(np_desc *, int, int) except -1
    const netpoll_api *netpoll_import() except NULL
    int NP_OK, NP_READ


cdef const netpoll_api *np = netpoll_import()


cdef int fill(np_desc *d, int fd, char *data, ssize_t *size) noexcept nogil:
    """Read once, after having waited if need be; a result as that of np_wait."""
    cdef int rc = np.reset(d, NP_READ)
    while rc == NP_OK:
        size[0] = read(fd, data, 4096)
        if size[0] >= 0 or errno != EAGAIN:
            return NP_OK if size[0] >= 0 else -errno
        rc = np.wait_nogil(d, NP_READ)
    return rc


def count(desc):
    """How many bytes come until the end; the exceptions are those of PollDesc.wait."""
    cdef np_desc *d = np.desc_of(desc)
    cdef int fd = desc.fd
    cdef int rc
    cdef char data[4096]
    cdef ssize_t size = 0
    total = 0
    while True:
        with nogil:
            rc = fill(d, fd, data, &size)
        if rc != NP_OK:
            np.throw(d, NP_READ, rc)  # returns if a signal came, and its handler too
        elif size == 0:
            return total
        else:
            total += size
