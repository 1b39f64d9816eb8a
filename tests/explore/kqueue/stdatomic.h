/* Takes the place of <stdatomic.h> for csrc/backend/kqueue.h: its atomic is a scheduling point too.
 */
#ifndef EXPLORE_STDATOMIC_H
#define EXPLORE_STDATOMIC_H

typedef np_atomic32 atomic_int;
#define atomic_init(a, v) ((void)((a)->value = (uint32_t)(v)))
#define atomic_load(a) ((int)np_load(a))
#define atomic_store(a, v) np_store((a), (uint32_t)(v))
#define atomic_exchange(a, v) ((int)np_swap((a), (uint32_t)(v)))

#endif
