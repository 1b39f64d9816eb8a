/* Where the compiler puts a function.
 *
 * A switch of greenlets lies between two system calls, whose code fills most of the first-level
 * caches: what counts there is how many of their lines and pages our code needs, more than how many
 * instructions it has.
 *
 * NP_HOT: what a message or an event passes through.  These functions lie side by side.
 * NP_COLD: what is rarely called.  It is neither inlined nor among those, and a branch to it is not
 * expected. */
#ifndef NP_LAYOUT_H
#define NP_LAYOUT_H

#ifdef __GNUC__
#define NP_HOT __attribute__((hot))
#define NP_COLD __attribute__((cold, noinline))
#elif defined(_MSC_VER)
#define NP_HOT
#define NP_COLD __declspec(noinline)
#else
#define NP_HOT
#define NP_COLD
#endif

#endif
