/* Assertions: what must hold inside the core, checked where the code relies on it.
 *
 * They run in builds with NP_DEBUG: the C tests, the explorer, the fuzzers, the sanitizers, the
 * faults, and Python modules that are built with NETPOLL_DEBUG=1 in the environment.  Elsewhere
 * they compile to no code.  A false one ends the process; in the explorer it is a failure like any
 * other, with the schedule that led to it.
 *
 * A condition has no side effect.  It reads atomics with np_peek (sync.h), which is no step of the
 * algorithm, and so no scheduling point of the explorer's.
 */
#ifndef NP_ASSERT_H
#define NP_ASSERT_H

#ifdef NP_DEBUG
_Noreturn void np_assert_failed(const char *file, int line, const char *condition);
#define np_assert(condition)                                                                       \
    ((condition) ? (void)0 : np_assert_failed(__FILE__, __LINE__, #condition))
#else
#define np_assert(condition)                                                                       \
    ((void)sizeof((condition) ? 1 : 0)) /* checked by the compiler only                            \
                                         */
#endif

#endif
