/* Static probes, for bpftrace, perf, SystemTap and gdb: a nop each, and a note in the object file
 * that says where it is and where its arguments are.  They are there on Linux when <sys/sdt.h> is
 * found (Debian: systemtap-sdt-dev); -DNP_NO_PROBES leaves them out.
 *
 *   netpoll:open      poller, desc, fd
 *   netpoll:close     poller, desc, fd
 *   netpoll:park      desc, fd, mode         a thread or a token begins to wait
 *   netpoll:unpark    desc, fd, mode, ready  it may go on: an event, or a deadline or close
 *   netpoll:ready     desc, fd, modes        an event
 *   netpoll:deadline  desc, fd, mode         a deadline has passed (READ for equal ones)
 *   netpoll:poll      poller, events, woken  the kernel was asked; events < 0: -errno
 *
 * desc is the address of the slot: the same fd opened again may have another.
 */
#ifndef NP_PROBE_H
#define NP_PROBE_H

#if defined(__linux__) && defined(__has_include) && !defined(NP_NO_PROBES)
#if __has_include(<sys/sdt.h>)
#include <sys/sdt.h>
#define NP_HAVE_PROBES 1
#define NP_PROBE3(name, a, b, c) DTRACE_PROBE3(netpoll, name, a, b, c)
#define NP_PROBE4(name, a, b, c, d) DTRACE_PROBE4(netpoll, name, a, b, c, d)
#endif
#endif

#ifndef NP_HAVE_PROBES
#define NP_PROBE3(name, a, b, c) ((void)(a), (void)(b), (void)(c))
#define NP_PROBE4(name, a, b, c, d) ((void)(a), (void)(b), (void)(c), (void)(d))
#endif

#endif
