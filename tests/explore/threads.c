/* What a thread has of its own: pthread keys.  An actor's thread ends with its body, and what a key
 * holds is destroyed then; setup and check are a thread, too. */
#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "explore.h"

enum { KEYS = 2 };
static struct {
    bool used;
    void (*destroy)(void *);
    void *values[EX_ACTORS + 1];
} keys[KEYS];
static unsigned ending; /* threads that destroy what they have */

int k_pthread_key_create(pthread_key_t *key, void (*destroy)(void *))
{
    for (int i = 0; i < KEYS; i++)
        if (!keys[i].used) {
            keys[i].used = true;
            keys[i].destroy = destroy;
            *key = (pthread_key_t)i;
            return 0;
        }
    return EAGAIN;
}

void *k_pthread_getspecific(pthread_key_t key)
{
    return keys[key].values[ex_thread()];
}

int k_pthread_setspecific(pthread_key_t key, const void *value)
{
    keys[key].values[ex_thread()] = (void *)(uintptr_t)value;
    return 0;
}

/* At a fork.  What it was about to destroy stays as it was, as in any child. */
void thread_is_gone(int thread)
{
    for (int i = 0; i < KEYS; i++)
        keys[i].values[thread] = NULL;
    if (ending & 1u << thread)
        kernel_expect_stray();
}

void thread_ends(int thread)
{
    for (int i = 0; i < KEYS; i++) {
        void *value = keys[i].values[thread];
        keys[i].values[thread] = NULL;
        if (!value)
            continue;
        ending |= 1u << thread;
        keys[i].destroy(value);
        ending &= ~(1u << thread);
    }
}

void threads_reset(void)
{
    memset(keys, 0, sizeof keys);
    ending = 0;
    waker_key_reset();
}
